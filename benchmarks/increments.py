"""Cost of a run of `dump --state` when few rows have changed: calls, and seconds on a slow shop.

    python -m benchmarks.increments [ORDERS]

- For each list and version: the calls for the list in a run before which no row, 5 rows, or 2,000 rows (or half of the
  rows, if there are fewer) were changed and one was added. `within_limit` is true if there are at most 5.
- Six lists in one process and one session, on a shop that takes 100 ms for a call: the seconds of a run before which
  nothing changed; `ratio` is that time over the time of its calls alone.

By default the shop has 6,000 orders. It runs in this process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import magento_pager
from magento_pager.fake import PROFILES, Shop
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager import ListName, Pager

MOST_CALLS = 5
CHANGED = (0, 5, 2_000)
CALL = 0.1
"""Seconds for each call to the slow shop."""


def rows_of_run(pager: Pager, name: ListName, folder: Path) -> int:
    """Dump the new and changed rows, and return how many there were."""
    out = folder / f"{name}-{time.time_ns()}-{{time}}.ndjson"
    return magento_pager.dump(pager.list(name), out, state=folder / "state").rows


def lists_called(shop: Shop) -> int:
    """Return the number of calls for lists since the last time."""
    calls = sum(call.operation.endswith("List") for call in shop.log)
    shop.clear_log()
    return calls


def increments(version: str, orders: int) -> Iterator[dict[str, object]]:
    """Yield a line for each run of each list of a version."""
    with Shop(profile=version, orders=orders) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        for name in (name for name in LISTS if name in PROFILES[version].lists):
            with tempfile.TemporaryDirectory() as folder:
                rows_of_run(pager, LISTS[name].name, Path(folder))
                ids = sorted(shop.database.ids(name))
                for count in CHANGED:
                    changed = ids[: min(count, len(ids) // 2)]
                    now = {"updated_at": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())}
                    for number in changed:
                        shop.database.update(name, number, now)
                    if changed:
                        shop.database.insert(name, now)
                    lists_called(shop)
                    rows = rows_of_run(pager, LISTS[name].name, Path(folder))
                    calls = lists_called(shop)
                    assert rows >= len(changed)
                    figures = {"version": version, "list": name, "changed": len(changed), "rows": rows, "calls": calls}
                    yield figures | {"within_limit": calls <= MOST_CALLS}


def all_lists(orders: int) -> dict[str, object]:
    """Measure a run of all lists before which nothing changed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Shop(orders=orders) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        for spec in LISTS.values():
            rows_of_run(pager, spec.name, Path(folder))
        lists_called(shop)
        shop.change(latency=CALL)
        began = time.perf_counter()
        for spec in LISTS.values():
            rows_of_run(pager, spec.name, Path(folder))
        seconds = time.perf_counter() - began
        calls = lists_called(shop)
    return {
        "lists": len(LISTS),
        "calls": calls,
        "seconds": round(seconds, 2),
        "ratio": round(seconds / calls / CALL, 2),
    }


def main(arguments: list[str]) -> int:
    """Print a line for each run."""
    orders = int(arguments[0]) if arguments else 6_000
    for version in PROFILES:
        for line in increments(version, orders):
            print(json.dumps({"benchmark": "increments", **line}), flush=True)
    print(json.dumps({"benchmark": "increments", **all_lists(orders)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
