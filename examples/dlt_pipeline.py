"""A dlt pipeline over a shop: a resource that yields our pages, and dlt's own incremental state. Needs dlt[duckdb].

dlt keeps the highest `updated_at` that it has loaded, and hands it back at the next run; `updated_since` asks the shop
for what changed from there on. Ten minutes are looked back, for what was committed late; `merge` by the key makes rows
that come twice one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dlt

import magento_pager
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

LATE = timedelta(minutes=10)
LATER = "2030-01-01 00:00:00"
BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)


@dlt.resource(name="orders", primary_key="order_id", write_disposition="merge")
def orders(
    url: str,
    user: str,
    key: str,
    updated_at: dlt.sources.incremental[datetime] = dlt.sources.incremental("updated_at", BEGINNING, lag=LATE.seconds),  # noqa: B008
) -> Iterator[list[dict[str, Any]]]:
    """What changed since the last run, a page at a time."""
    since = updated_at.last_value if updated_at.last_value != BEGINNING else None
    with magento_pager.connect(url, user, key) as pager:
        for page in pager.orders(updated_since=since, typed=True).pages():
            if page.rows:
                yield list(page.rows)


def main() -> None:
    """Two runs, and a change between them."""
    dlt.config["runtime.dlthub_telemetry"] = False
    warehouse = dlt.destinations.duckdb("shop.duckdb")
    pipeline = dlt.pipeline("shop", "pipelines", destination=warehouse, dataset_name="magento")
    with Shop(orders=300) as shop:
        pipeline.run(orders(shop.url, shop.user, shop.key))
        print("first run:", counted(pipeline))
        number = next(iter(shop.database.ids("orders")))
        shop.database.update("orders", number, {"status": "lost", "updated_at": LATER})
        shop.database.insert("orders", {"status": "new", "updated_at": LATER})
        shop.clear_log()
        pipeline.run(orders(shop.url, shop.user, shop.key))
        print("second run:", counted(pipeline))
        print("rows asked for in the second run are fewer:", sum(call.rows for call in shop.log) < 300)  # noqa: PLR2004


def counted(pipeline: dlt.Pipeline) -> str:
    """Return the number of orders there are in the warehouse."""
    asked = "SELECT count(*), count(DISTINCT order_id), sum(CAST(status = 'lost' AS INT)) FROM orders"
    with pipeline.sql_client() as client:
        ((orders, different, lost),) = client.execute_sql(asked) or [(0, 0, 0)]
    return f"{orders} orders, {different} of them different, {lost} lost"


if __name__ == "__main__":
    main()
