"""What a run of `--state` costs on a night on which little changed: calls, and seconds on a slow shop.

    python -m benchmarks.nights [ORDERS]

- For each list and version: the calls for the list on a night on which no row, 5, and 2,000 changed (or half of the
  rows, where there are fewer), and one more is new: `within` is true where there are at most 5.
- Six lists in one process and one login, on a shop that takes 100 ms for a call: the seconds of a night on which
  nothing changed, and `ratio` over those of its calls alone.

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

MOST = 5
CHANGED = (0, 5, 2_000)
CALL = 0.1
"""Seconds that a call takes at the slow shop."""


def rows_of_a_run(pager: Pager, name: ListName, folder: Path) -> int:
    """Dump what is new and changed, and return how many rows came."""
    out = folder / f"{name}-{time.time_ns()}-{{time}}.ndjson"
    return magento_pager.dump(pager.list(name), out, state=folder / "state").rows


def lists_called(shop: Shop) -> int:
    """Calls for lists since the last time."""
    found = sum(call.operation.endswith("List") for call in shop.log)
    shop.clear_log()
    return found


def nights(version: str, orders: int) -> Iterator[dict[str, object]]:
    """The nights of each list of a version."""
    with Shop(profile=version, orders=orders) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        for name in (one for one in LISTS if one in PROFILES[version].lists):
            with tempfile.TemporaryDirectory() as folder:
                rows_of_a_run(pager, LISTS[name].name, Path(folder))
                ids = sorted(shop.database.ids(name))
                for count in CHANGED:
                    changed = ids[: min(count, len(ids) // 2)]
                    now = {"updated_at": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())}
                    for number in changed:
                        shop.database.update(name, number, now)
                    if changed:
                        shop.database.insert(name, now)
                    lists_called(shop)
                    rows = rows_of_a_run(pager, LISTS[name].name, Path(folder))
                    calls = lists_called(shop)
                    assert rows >= len(changed)
                    said = {"version": version, "list": name, "changed": len(changed), "rows": rows, "calls": calls}
                    yield said | {"within": calls <= MOST}


def all_lists(orders: int) -> dict[str, object]:
    """A night of all lists on which nothing changed."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Shop(orders=orders) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        for spec in LISTS.values():
            rows_of_a_run(pager, spec.name, Path(folder))
        lists_called(shop)
        shop.change(latency=CALL)
        began = time.perf_counter()
        for spec in LISTS.values():
            rows_of_a_run(pager, spec.name, Path(folder))
        seconds = time.perf_counter() - began
        calls = lists_called(shop)
    return {
        "lists": len(LISTS),
        "calls": calls,
        "seconds": round(seconds, 2),
        "ratio": round(seconds / calls / CALL, 2),
    }


def main(arguments: list[str]) -> int:
    """Print a line for each night."""
    orders = int(arguments[0]) if arguments else 6_000
    for version in PROFILES:
        for line in nights(version, orders):
            print(json.dumps({"benchmark": "nights", **line}), flush=True)
    print(json.dumps({"benchmark": "nights", **all_lists(orders)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
