"""The cost of each strategy for the database: rows examined per row returned, and time.

    python -m benchmarks.server_cost [ORDERS]

A MariaDB is started in a temporary folder, with the embedded shop's tables (Magento's own column types, keys and
joins) and by default 1,000,000 orders; it all takes about two minutes. A JSON line for each strategy, on a version that
honours it, and one for the regexp that lists all ids (`naive alternation`); each for windows of 100 and 1,000 ids.

- `examined` are the rows of the table of orders that were read, as counted by `ANALYZE FORMAT=JSON`; `ratio` is their
  number over that of the rows returned.
- `handler_reads` are the reads of all tables, the `Handler_read_*` counters of the session: each returned order joins
  its two addresses, with the same number of reads for every strategy.
- `ms` is the time in the server, the minimum of several runs, without sending and without PHP. All data is in memory.
  `times_naive` is the time of the regexp that lists all ids over that time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pymysql

from benchmarks.naive import alternation
from magento_pager.fake import profile
from magento_pager.fake.database import MariaDatabase
from magento_pager.fake.database.mariadb.schema import own_columns
from magento_pager.fake.database.mariadb.selects import statement
from magento_pager.fake.database.queries import ListCall
from magento_pager.fake.profiles import listing
from magento_pager.fake.tables import ADDRESS, ORDER
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import IdRange
from magento_pager.walk.strategies import Alias, InList, Mapped, Prefix, Range, Regexp, SingleFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymysql.cursors import Cursor

    from magento_pager.walk.strategies import Strategy

ORDERS = 1_000_000
WIDTHS = (100, 1000)
CANARY = 7
ROUNDS = 3
DOUBLINGS = 6
START_UP = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Alternation:
    """The regexp that lists all ids of a window."""

    name: str = "naive alternation"

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:
        """Yield one query."""
        del known
        yield Query((Condition("entity_id", "regexp", alternation(window.first, len(window))),), window)


CASES: tuple[tuple[Strategy, str], ...] = (
    (Alternation(), "20.0.20"),
    (Range(), "20.0.20"),
    (Alias(), "1.7.0.2"),
    (Mapped("order_id"), "1.4.1.1"),
    (InList(), "20.0.20"),
    (SingleFilter(), "20.0.20"),
    (Prefix(), "20.0.20"),
    (Regexp(), "20.0.20"),
)
"""Each strategy and a version that honours it; the first one is the reference for the others."""


@contextmanager
def mariadb() -> Iterator[str]:
    """Start a server without databases, and yield its socket; root needs no password.

    Raises:
        RuntimeError: MariaDB is not installed, or does not start.
    """
    paths = {
        name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in ("mariadb-install-db", "mariadbd")
    }
    install, serve = paths.values()
    if install is None or serve is None:
        raise RuntimeError("MariaDB is not installed: on Debian it is the package mariadb-server-core")
    with tempfile.TemporaryDirectory(prefix="cost-") as name:  # short, because the path of a socket must be short
        folder = Path(name)
        options = ["--no-defaults", f"--datadir={folder / 'data'}"] + ["--user=root"] * (os.geteuid() == 0)
        subprocess.run(
            [install, *options, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            capture_output=True,
        )
        options += [f"--socket={folder / 'socket'}", "--skip-networking", "--skip-log-bin", "--performance-schema=OFF"]
        options += ["--innodb-buffer-pool-size=2G", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"]
        with (folder / "log").open("wb") as log, subprocess.Popen([serve, *options], stdout=log, stderr=log) as process:
            try:
                deadline = time.monotonic() + START_UP
                while b"ready for connections" not in (folder / "log").read_bytes():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"mariadbd does not start: {(folder / 'log').read_text()[-1000:]}")
                    time.sleep(0.05)
                yield str(folder / "socket")
            finally:
                process.terminate()


def multiply(cursor: Cursor, orders: int) -> int:
    """Double the orders and their addresses until there are about that many.

    Args:
        cursor: of the shop's database, with `orders` >> `DOUBLINGS` orders, from id 1 on without holes.
        orders: the desired number.

    Returns:
        The actual number, at most `orders`.
    """
    count = orders >> DOUBLINGS
    own = [name for name in own_columns(ORDER) if name not in {"entity_id", "increment_id"}]
    address = [name for name in own_columns(ADDRESS) if name not in {"entity_id", "parent_id"}]
    cursor.execute("SET unique_checks = 0, foreign_key_checks = 0")
    for _ in range(DOUBLINGS):
        new_id = f"entity_id + {count}"
        columns = ", ".join(f"`{name}`" for name in own)
        cursor.execute(
            f"INSERT INTO {ORDER.name} (entity_id, increment_id, {columns})"  # noqa: S608 - our own names
            f" SELECT {new_id}, concat('1', lpad({new_id}, 8, '0')), {columns} FROM {ORDER.name}"
        )
        columns = ", ".join(f"`{name}`" for name in address)
        cursor.execute(
            f"INSERT INTO {ADDRESS.name} (parent_id, {columns})"  # noqa: S608 - our own names
            f" SELECT parent_id + {count}, {columns} FROM {ADDRESS.name}"
        )
        count *= 2
    cursor.execute(f"ANALYZE TABLE {ORDER.name}, {ADDRESS.name}")
    return count


def measured(cursor: Cursor, sql: str) -> dict[str, float]:
    """Return the cost of a SELECT: orders read and returned, reads of all tables, milliseconds."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        cursor.execute("FLUSH STATUS")
        cursor.execute(f"ANALYZE FORMAT=JSON {sql.replace('%', '%%')}", ())
        ((plan,),) = cursor.fetchall()
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        reads = sum(int(count) for _, count in cursor.fetchall())
        block = json.loads(plan)["query_block"]
        orders = next(table for table in tables(block) if table["table_name"] == "main_table")
        examined = orders["r_loops"] * orders["r_rows"]
        costs = {
            "examined": round(examined),
            "returned": round(examined * orders["r_filtered"] / 100),
            "handler_reads": reads,
            "ms": round(block["r_total_time_ms"], 2),
        }
        if not best or costs["ms"] < best["ms"]:
            best = costs
    return best


def tables(plan: Any) -> Iterator[dict[str, Any]]:
    """Yield the tables in a plan, however it nests them.

    >>> [table["table_name"] for table in tables({"nested_loop": [{"table": {"table_name": "a"}}]})]
    ['a']
    """
    if isinstance(plan, list):
        for part in plan:
            yield from tables(part)
    elif isinstance(plan, dict):
        if "table_name" in plan:
            yield plan
        yield from tables([part for part in plan.values() if isinstance(part, list | dict)])


def figures(cursor: Cursor, strategy: Strategy, version: str, window: IdRange) -> dict[str, Any]:
    """Return the total cost of a strategy's calls for a window."""
    shop = profile(version)
    total: dict[str, float] = {}
    calls = 0
    for query in strategy.queries(window, CANARY):
        conditions = [(condition.field, condition.operator, condition.value) for condition in query.conditions]
        sql = statement(ListCall(shop, "rpc", listing("orders", shop), [], conditions))
        for name, value in measured(cursor, sql).items():
            total[name] = round(total.get(name, 0) + value, 2)
        calls += 1
    assert total["returned"] >= len(window), f"{strategy.name} returned {total['returned']} rows of {window}"
    return {
        "strategy": strategy.name,
        "version": version,
        "ids": len(window),
        "calls": calls,
        **total,
        "ratio": round(total["examined"] / total["returned"], 3),
    }


def main(arguments: list[str]) -> int:
    """Print the figures."""
    orders = int(arguments[0]) if arguments else ORDERS
    with mariadb() as socket, MariaDatabase(f"mysql://root@/shop?unix_socket={quote(socket)}") as database:
        database.populate(range(1, (orders >> DOUBLINGS) + 1))
        with (
            pymysql.connect(unix_socket=socket, user="root", database="shop", autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            count = multiply(cursor, orders)
            for width in (width for width in WIDTHS if 2 * width <= count):
                first = count // 2 // width * width
                window = IdRange(first, first + width - 1)
                naive = None
                for strategy, version in CASES:
                    costs = figures(cursor, strategy, version, window)
                    naive = naive or costs["ms"]
                    line = {"orders": count, **costs, "times_naive": round(naive / costs["ms"], 1)}
                    print(json.dumps({"benchmark": "server_cost", **line}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
