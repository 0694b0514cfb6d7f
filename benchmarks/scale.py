"""Growth of calls, time and CPU of a whole `dump` with the size of the shop, and the time to the first row.

    python -m benchmarks.scale [ORDERS...]

By default for 10,000, 100,000 and 1,000,000 orders, which takes a few minutes. A JSON line for each size. For three or
more sizes, a line for each cost: `ratio` is the cost of one more order between the last two sizes over that between the
first two; 1 is linear growth, more is a rising curve.

The last line is about the first row, with the latency of a live server, 40 ms a call and 0.24 ms an order, after the
login: `calls` and `seconds` up to the first row, and `ratio`, that time over the time of the call with the row.
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
    """Return the cost of a dump of that many orders."""
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


def growth(costs: Mapping[int, Mapping[str, float]]) -> dict[str, float | None]:
    """Return for each cost that of one more order at the end over that at the beginning; None if the latter is zero.

    >>> small = {"calls": 5, "wall_s": 2.0, "client_cpu_s": 1.0}
    >>> growth({10: small, 20: {"calls": 6, "wall_s": 3.0, "client_cpu_s": 2},
    ...         40: {"calls": 8, "wall_s": 5.0, "client_cpu_s": 6}})
    {'calls': 1.0, 'wall_s': 1.0, 'client_cpu_s': 2.0}
    """
    sizes = sorted(costs)
    ratios: dict[str, float | None] = {}
    for cost in ("calls", "wall_s", "client_cpu_s"):
        steps = [(costs[large][cost] - costs[small][cost]) / (large - small) for small, large in pairwise(sizes)]
        ratios[cost] = round(steps[-1] / steps[0], 2) if steps[0] > 0 else None
    return ratios


def first_row(orders: int) -> dict[str, float]:
    """Return the calls and the time up to the first row."""
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
        calls = [call for call in shop.calls() if call["operation"] == "salesOrderList"]
    last_call = CALL + calls[-1]["rows"] * ROW
    return {
        "orders": orders,
        "calls": len(calls),
        "seconds": round(seconds, 3),
        "page_rows": calls[-1]["rows"],
        "ratio": round(seconds / last_call, 2),
    }


def main(arguments: Sequence[str]) -> int:
    """Print the figures."""
    sizes = sorted(map(int, arguments)) or SIZES
    costs = {}
    with tempfile.TemporaryDirectory() as folder:
        for orders in sizes:
            costs[orders] = dumped(orders, Path(folder))
            line = {"figure": "dump", "orders": orders, **costs[orders]}
            print(json.dumps({"benchmark": "scale", **line}), flush=True)
    for cost, ratio in growth(costs).items() if len(costs) > 2 else ():  # noqa: PLR2004 - two points are always straight
        print(json.dumps({"benchmark": "scale", "figure": f"growth of {cost}", "ratio": ratio}))
    line = {"figure": "first row", **first_row(min(sizes[0], FIRST_ROW_OF))}
    print(json.dumps({"benchmark": "scale", **line}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
