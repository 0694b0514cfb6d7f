"""How calls, time and CPU of a whole `dump` grow with the shop, and how soon the first row is there.

    python -m benchmarks.scale [ORDERS...]

By default 10,000, 100,000 and 1,000,000 orders, which takes a few minutes. A JSON line for each size. Between three
sizes or more a line for each cost: `ratio` is what an order more costs from the last size but one to the last, over
what it costs from the first size to the second; 1 is a straight line, more a curve that rises.

The last line is about the first row, at the cost of a live server, 40 ms a call and 0.24 ms an order, once the session
is there: `calls` and `seconds` up to the first row, `ratio` these over the time of the call that brought the row.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runs import CALL, ROW, serving
from magento_pager import connect

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SIZES = (10_000, 100_000, 1_000_000)
FIRST_ROW_OF = 20_000


def dumped(orders: int, folder: Path) -> dict[str, float]:
    """What a dump of so many orders costs."""
    with serving(orders) as shop:
        run = shop.dump(folder / "orders.ndjson")
        calls = shop.calls()
    return {
        "calls": len(calls),
        "empty_calls": sum(not call["rows"] for call in calls),
        "wall_s": round(run.wall, 2),
        "client_cpu_s": round(run.cpu, 2),
        "shop_s": round(sum(call["seconds"] for call in calls), 2),
        "cpu_us_per_order": round(run.cpu * 1e6 / orders, 1),
    }


def bends(found: Mapping[int, Mapping[str, float]]) -> dict[str, float | None]:
    """For each cost, that of an order more at the end over that at the beginning; None where that was nothing.

    >>> bends({10: {"calls": 5, "wall_s": 2.0, "client_cpu_s": 1.0}, 20: {"calls": 6, "wall_s": 3.0, "client_cpu_s": 2},
    ...        40: {"calls": 8, "wall_s": 5.0, "client_cpu_s": 6}})
    {'calls': 1.0, 'wall_s': 1.0, 'client_cpu_s': 2.0}
    """
    sizes = sorted(found)
    ratios: dict[str, float | None] = {}
    for cost in ("calls", "wall_s", "client_cpu_s"):
        steps = [(found[large][cost] - found[small][cost]) / (large - small) for small, large in pairwise(sizes)]
        ratios[cost] = round(steps[-1] / steps[0], 2) if steps[0] > 0 else None
    return ratios


def first_row(orders: int) -> dict[str, float]:
    """How soon the first row is there."""
    with (
        serving(orders, "--latency", str(CALL), "--latency-per-row", str(ROW)) as shop,
        connect(shop.url, shop.user, shop.key) as pager,
    ):
        shop.calls()
        began = time.perf_counter()
        for page in pager.orders().pages():
            if page.rows:
                break
        seconds = time.perf_counter() - began
        call = shop.calls()
    asked = [one for one in call if one["operation"] == "salesOrderList"]
    brought = CALL + asked[-1]["rows"] * ROW
    return {
        "orders": orders,
        "calls": len(asked),
        "seconds": round(seconds, 3),
        "page_rows": asked[-1]["rows"],
        "ratio": round(seconds / brought, 2),
    }


def main(arguments: Sequence[str]) -> int:
    """Print the figures."""
    sizes = sorted(map(int, arguments)) or SIZES
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for orders in sizes:
            found[orders] = dumped(orders, Path(folder))
            line = {"figure": "dump", "orders": orders, **found[orders]}
            print(json.dumps({"benchmark": "scale", **line}), flush=True)
    for cost, ratio in bends(found).items() if len(found) > 2 else ():  # noqa: PLR2004 - two points are always straight
        print(json.dumps({"benchmark": "scale", "figure": f"straightness of {cost}", "ratio": ratio}))
    line = {"figure": "first row", **first_row(min(sizes[0], FIRST_ROW_OF))}
    print(json.dumps({"benchmark": "scale", **line}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
