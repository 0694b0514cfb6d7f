"""Keep a SQLite database up to date every night, as a job of cron, Airflow or a task queue would do.

The first run dumps all orders. Each later run dumps the new and changed orders, and replaces their rows. The next run
resumes a run that was stopped, and two runs at the same time are refused. This script simulates three nights on an
embedded shop. The same in a crontab:

    17 3 * * *  magento-pager dump orders --out shop.sqlite --state shop.state --wait 300

An incremental run cannot see that a row was deleted; `verify` reports it.
"""

from __future__ import annotations

import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

import magento_pager
from magento_pager.fake import Shop

FILE, STATE = Path("shop.sqlite"), Path("shop.state")


def nightly_run(shop: Shop, now: str) -> str:
    """Dump the new and changed orders, and return their number as text."""
    shop.change(clock=now)  # simulates the night
    with magento_pager.connect(shop.url, shop.user, shop.key, wait=300) as pager:
        return f"{magento_pager.dump(pager.orders(), FILE, state=STATE).rows} orders"


def by_status() -> str:
    """Return the number of orders by status, as text."""
    with closing(sqlite3.connect(FILE)) as database:
        rows = database.execute("SELECT status, count(*) FROM orders GROUP BY status ORDER BY status")
        return ", ".join(f"{count} {status}" for status, count in rows)


def main() -> None:
    """Simulate three nights."""
    warnings.filterwarnings("ignore", "The shop's clock says")  # the simulated clock differs from this machine's
    with Shop(orders=500) as shop:
        first, second, third, *_ = shop.database.ids("orders")
        print(f"first night:  {nightly_run(shop, '2026-03-01 03:17:00')}: {by_status()}")

        for number in (first, second):
            shop.database.update("orders", number, {"status": "lost", "updated_at": "2026-03-01 15:00:00"})
        shop.database.insert("orders", {"status": "new", "updated_at": "2026-03-01 16:00:00"})
        print(f"second night: {nightly_run(shop, '2026-03-02 03:17:00')}: {by_status()}")

        shop.database.delete("orders", third)
        print(f"third night:  {nightly_run(shop, '2026-03-03 03:17:00')}: {by_status()}")

        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            verification = magento_pager.verify(pager, FILE, "orders")
        print(f"verify: {verification.differences[0]}")


if __name__ == "__main__":
    main()
