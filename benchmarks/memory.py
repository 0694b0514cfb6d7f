"""Peak memory of a whole `dump`, for a small shop and a large one.

    python -m benchmarks.memory [ORDERS...] [--window N] [--wire WIRE]

By default for 20,000 and 1,000,000 orders, which takes a few minutes. A JSON line for each size; the last line compares
the largest with the smallest: `growth_mb`, and `ratio`, the peak of the largest over that of the smallest. A megabyte
has 10^6 bytes. `page_rows` is the largest reply, on which the peak depends, because pages are held as a whole.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.runs import serving

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = (20_000, 1_000_000)


def peak(orders: int, folder: Path, *options: str) -> tuple[int, int]:
    """Return the peak memory in bytes of a dump of that many orders, and the rows of its largest reply.

    Args:
        orders: of the shop.
        folder: for the dump.
        options: further ones of `dump`.
    """
    out = folder / "orders.ndjson"
    with serving(orders) as shop:
        run = shop.dump(out, *options)
        rows = max((call["rows"] for call in shop.calls()), default=0)
    with out.open("rb") as lines:
        assert sum(1 for _ in lines) == orders, "rows are missing"
    return run.peak, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("orders", type=int, nargs="*", default=SIZES)
    parser.add_argument("--window", type=int, help="ids in each window with rows; by default the walk decides")
    parser.add_argument("--wire", default="soap", help="protocol: soap or xml-rpc")
    options = parser.parse_args(arguments)
    sizes, peaks = sorted(options.orders), {}
    window = ("--window", str(options.window)) if options.window else ()
    dump_options = ("--wire", options.wire, *window)
    with tempfile.TemporaryDirectory() as folder:
        for orders in sizes:
            peaks[orders], rows = peak(orders, Path(folder), *dump_options)
            line = {
                "orders": orders,
                "window": options.window,
                "wire": options.wire,
                "peak_mb": round(peaks[orders] / 1e6, 1),
                "page_rows": rows,
            }
            print(json.dumps({"benchmark": "memory", "figure": "peak", **line}), flush=True)
    smallest, largest = peaks[sizes[0]], peaks[sizes[-1]]
    growth = {"growth_mb": round((largest - smallest) / 1e6, 1), "ratio": round(largest / smallest, 3)}
    line = {"orders": sizes[-1], "compared_with": sizes[0], "window": options.window, "wire": options.wire, **growth}
    print(json.dumps({"benchmark": "memory", "figure": "growth", **line}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
