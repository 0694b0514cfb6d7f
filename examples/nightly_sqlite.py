"""Every night into SQLite, by one line of cron.

The line:

    17 3 * * *  magento-pager dump orders --out shop.sqlite --state shop.state --wait 300

The first night brings every order, each later one those that changed since, put over the rows that are there; the
newest one of the night before comes again. A run that was stopped is gone on with by the next; two at a time are
refused. Below, three nights go by on an embedded shop.

What was deleted changes nothing that could be asked for: `magento-pager verify` finds it.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from magento_pager.fake import Shop

FILE, STATE = Path("shop.sqlite"), Path("shop.state")


def night(shop: Shop, now: str) -> str:
    """What cron would run, at a time of the shop's clock; what it said last."""
    shop.change(clock=now)
    command = [sys.executable, "-m", "magento_pager", "dump", "orders", "--out", str(FILE), "--state", str(STATE)]
    ended = subprocess.run(command, env=environment(shop), capture_output=True, text=True, check=True)  # noqa: S603
    return ended.stderr.splitlines()[-1].partition(" in ")[0]


def environment(shop: Shop) -> dict[str, str]:
    """The variables that lead the command to a shop."""
    return os.environ | {"MAGENTO_URL": shop.url, "MAGENTO_API_USER": shop.user, "MAGENTO_API_KEY": shop.key}


def by_status() -> str:
    """What a report of the next morning would ask."""
    with closing(sqlite3.connect(FILE)) as database:
        rows = database.execute("SELECT status, count(*) FROM orders GROUP BY status ORDER BY status")
        return ", ".join(f"{number} {status}" for status, number in rows)


def main() -> None:
    """Three nights."""
    with Shop(orders=500) as shop:
        first, second, third, *_ = shop.database.ids("orders")
        print(f"first night:  {night(shop, '2026-03-01 03:17:00')}: {by_status()}")

        for number in (first, second):
            shop.database.update("orders", number, {"status": "lost", "updated_at": "2026-03-01 15:00:00"})
        shop.database.insert("orders", {"status": "new", "updated_at": "2026-03-01 16:00:00"})
        print(f"second night: {night(shop, '2026-03-02 03:17:00')}: {by_status()}")

        shop.database.delete("orders", third)
        print(f"third night:  {night(shop, '2026-03-03 03:17:00')}: {by_status()}")

        command = [sys.executable, "-m", "magento_pager", "verify", str(FILE), "orders"]
        ended = subprocess.run(command, env=environment(shop), capture_output=True, text=True, check=False)  # noqa: S603
        print(f"verify, exit status {ended.returncode}: {ended.stdout.splitlines()[0]}")


if __name__ == "__main__":
    main()
