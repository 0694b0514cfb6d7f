"""Every night into SQLite: what a job of cron, Airflow or a task queue calls.

The first night brings every order, each later one those that changed since, put over the rows that are there. A run
that was stopped is gone on with by the next; two at a time are refused. Below, three nights go by on an embedded shop.
One line of cron does the same:

    17 3 * * *  magento-pager dump orders --out shop.sqlite --state shop.state --wait 300

What was deleted changes nothing that could be asked for: `verify` finds it.
"""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import magento_pager
from magento_pager.fake import Shop

FILE, STATE = Path("shop.sqlite"), Path("shop.state")


def night(shop: Shop, now: str) -> str:
    """What is called each night, here at a time of the shop's clock; what came of it."""
    shop.change(clock=now)
    with magento_pager.connect(shop.url, shop.user, shop.key, wait=300) as pager:
        return f"{magento_pager.dump(pager.orders(), FILE, state=STATE).rows} orders"


def by_status() -> str:
    """What a report of the next morning would ask."""
    with closing(sqlite3.connect(FILE)) as database:
        rows = database.execute("SELECT status, count(*) FROM orders GROUP BY status ORDER BY status")
        return ", ".join(f"{number} {status}" for status, number in rows)


def main() -> None:
    """Three nights."""
    warnings.filterwarnings("ignore", "The shop's clock says")  # it is not ours: nights go by in seconds here
    with Shop(orders=500) as shop:
        first, second, third, *_ = shop.database.ids("orders")
        print(f"first night:  {night(shop, '2026-03-01 03:17:00')}: {by_status()}")

        for number in (first, second):
            shop.database.update("orders", number, {"status": "lost", "updated_at": "2026-03-01 15:00:00"})
        shop.database.insert("orders", {"status": "new", "updated_at": "2026-03-01 16:00:00"})
        print(f"second night: {night(shop, '2026-03-02 03:17:00')}: {by_status()}")

        shop.database.delete("orders", third)
        print(f"third night:  {night(shop, '2026-03-03 03:17:00')}: {by_status()}")

        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            compared = magento_pager.verify(pager, FILE, "orders")
        print(f"verify: {compared.differences[0]}")


if __name__ == "__main__":
    main()
