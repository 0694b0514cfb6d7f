"""Orders per second with 1, 2, 4, 8 and `auto` concurrent calls, on shops with as many workers.

    python -m benchmarks.parallel [--orders N] [--workers N...] [--parallel N|auto...]

Each embedded shop has that many PHP workers, and a call takes as long as on a live shop: 40 ms plus 0.24 ms per order.
A JSON line for each pair; `ratio` of `auto` is the best fixed number's rate over its own, so 1 would be perfect.
`client` is the fraction of the time in which our process was busy: near 1, our own core is the limit and not the shop.

The last figure is of a shop in its default configuration, with two workers: each call needs a second worker for the
WSDL. With four concurrent calls it starves; `ratio` is the time of that dump over the time of one with one call at a
time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runs import CALL, ROW, Run, Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AUTO = "auto"
WORKERS = (1, 2, 4, 8)
STARVED = 2
"""Number of workers of the shop that starves."""


def dumped(shop: Served, orders: int, folder: Path, parallel: str) -> Run:
    """Dump with that many concurrent calls, and check the number of rows."""
    out = folder / "orders.ndjson"
    run = shop.dump(out, "--parallel", parallel, "--wsdl-cache")
    with out.open("rb") as lines:
        assert sum(1 for _ in lines) == orders, "rows are missing"
    return run


def side_by_side(orders: int, workers: int, calls: Sequence[str], folder: Path) -> Iterator[dict[str, object]]:
    """Yield the figures of each number of calls with one number of workers; last `auto`, compared with the best."""
    rates: dict[str, float] = {}
    with serving(orders) as shop:
        shop.command(knobs={"latency": CALL, "latency_per_row": ROW, "workers": workers})
        for parallel in calls:
            run = dumped(shop, orders, folder, parallel)
            rates[parallel] = orders / run.wall
            line: dict[str, object] = {
                "figure": "orders a second",
                "workers": workers,
                "parallel": parallel,
                "orders": orders,
                "orders_per_s": round(rates[parallel]),
                "client": round(run.cpu / run.wall, 2),
                "peak_mb": round(run.peak / 1e6, 1),
            }
            fixed = {name: rate for name, rate in rates.items() if name != AUTO}
            if parallel == AUTO and fixed:
                best = max(fixed, key=fixed.__getitem__)
                line |= {"best_fixed": int(best), "ratio": round(fixed[best] / rates[AUTO], 3)}
            yield line


def starved(orders: int, folder: Path) -> dict[str, object]:
    """Return the figures of a shop whose calls block each other, with four calls at a time and with one."""
    with serving(orders) as shop:
        # A live PHP waits for a minute; a second has the same effect.
        shop.command(knobs={"latency": CALL, "latency_per_row": ROW, "workers": STARVED, "socket_timeout": 1.0})
        shop.command(knobs={"wsdl_cache": False})
        single, four = (dumped(shop, orders, folder, parallel) for parallel in ("1", "4"))
    return {
        "figure": "a pool that starves",
        "workers": STARVED,
        "orders": orders,
        "one_at_a_time_s": round(single.wall, 2),
        "four_at_once_s": round(four.wall, 2),
        "ratio": round(four.wall / single.wall, 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parallel")
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--parallel", nargs="*", default=["1", "2", "4", "8", AUTO])
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for workers in options.workers:
            for line in side_by_side(options.orders, workers, options.parallel, folder):
                print(json.dumps({"benchmark": "parallel", **line}), flush=True)
        print(json.dumps({"benchmark": "parallel", **starved(min(options.orders, 20_000), folder)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
