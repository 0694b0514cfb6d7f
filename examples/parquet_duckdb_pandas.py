"""Dump orders with their items to Parquet, and query them by DuckDB and pandas. Needs duckdb, pandas and pyarrow.

A dump to Parquet is a folder of part files with the same columns: ids are integers, amounts are decimals, timestamps
are in UTC. Nested values, such as the items of an order, are a column of JSON text, which both tools can unnest.
"""

from __future__ import annotations

import duckdb
import pandas as pd

import magento_pager
from magento_pager.fake import Shop

FOLDER = "orders.parquet"

BY_DAY = f"""
    SELECT strftime(make_timestamp(epoch_us(created_at)), '%Y-%m-%d') AS day, count(*) AS orders,
        sum(base_grand_total) AS turnover
    FROM '{FOLDER}/*.parquet' GROUP BY day ORDER BY day DESC LIMIT 2
"""  # noqa: S608 - our own name
"""Timestamps are converted by `epoch_us`, because DuckDB needs an extension for timestamps with a time zone."""
BEST_SELLERS = f"""
    SELECT item ->> 'sku' AS sku, sum(CAST(item ->> 'qty_ordered' AS DECIMAL(12, 4))) AS pieces
    FROM (SELECT unnest(CAST(items AS JSON[])) AS item FROM '{FOLDER}/*.parquet')
    GROUP BY sku ORDER BY pieces DESC, sku LIMIT 2
"""  # noqa: S608 - our own name


def main() -> None:
    """Dump orders, and compute the turnover by day with both tools."""
    with Shop(orders=400) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        magento_pager.dump(pager.orders(details=True), FOLDER)

    with duckdb.connect() as database:
        days = database.sql(BY_DAY).fetchall()
        for day, orders, turnover in days:
            print(f"{day}: {orders} orders, {turnover:.2f}")
        for sku, pieces in database.sql(BEST_SELLERS).fetchall():
            print(f"best seller {sku}: {pieces:.0f} pieces")

    frame = pd.read_parquet(FOLDER, columns=["order_id", "created_at", "base_grand_total"])
    frame["day"] = frame["created_at"].dt.strftime("%Y-%m-%d")
    totals = frame.groupby("day")["base_grand_total"].sum()
    is_same = all(totals[day] == turnover for day, _, turnover in days)
    print(f"pandas: {len(frame)} orders, ids are {frame['order_id'].dtype}, the same turnover: {is_same}")


if __name__ == "__main__":
    main()
