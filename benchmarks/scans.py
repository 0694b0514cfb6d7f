"""Number of full table scans of a walk, as counted by MariaDB.

    python -m benchmarks.scans [ORDERS] [VERSION...]

A MariaDB in a temporary folder contains the embedded shop: by default 200,000 orders, which take two minutes to make
up, and the other lists. A JSON line for each version, list and run: `scans` is `Handler_read_rnd_next` over the rows of
the table. The first run is a dump with a state, the second one an increment of five changed orders. Only orders and
credit memos have an index on `updated_at`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pymysql

import magento_pager
from benchmarks.server_cost import mariadb
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager import ListName

ORDERS = 200_000
VERSIONS = ("20.0.20", "1.6.2.0")
MEASURED: tuple[ListName, ...] = ("orders", "customers")
CHANGED = 5


def scanned(socket: str) -> int:
    """Return the number of rows that the server has read in full scans so far."""
    with pymysql.connect(unix_socket=socket, user="root") as connection, connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Handler_read_rnd_next'")
        ((_, count),) = cursor.fetchall()
        return int(count)


def runs(socket: str, version: str, orders: int, folder: Path) -> Iterator[dict[str, object]]:
    """Dump lists of a version, and then their changes."""
    database = f"mysql://root@/scans_{version.replace('.', '_')}?unix_socket={quote(socket)}"
    with (
        Shop(profile=version, orders=orders, database=database) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        for name in MEASURED:
            for run in ("dump", "increment"):
                shop.clear_log()
                before = scanned(socket)
                out = folder / f"{version}-{name}-{run}-{{time}}.ndjson"
                rows = magento_pager.dump(pager.list(name), out, state=folder / version).rows
                scans = (scanned(socket) - before) / shop.database.count(name)
                calls = sum(call.operation.endswith("List") for call in shop.log)
                figures = {"version": version, "list": name, "run": run, "rows": rows, "calls": calls}
                yield figures | {"scans": round(scans, 2)}
                now = {"updated_at": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())}
                for number in list(shop.database.ids(name))[:CHANGED]:
                    shop.database.update(name, number, now)


def main(arguments: list[str]) -> int:
    """Print a line for each run."""
    orders = int(arguments[0]) if arguments else ORDERS
    warnings.simplefilter("ignore")
    with mariadb() as socket, tempfile.TemporaryDirectory() as folder:
        for version in arguments[1:] or VERSIONS:
            for line in runs(socket, version, orders, Path(folder)):
                print(json.dumps({"benchmark": "scans", **line}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
