"""Memory of a whole `dump` at its peak, for a small shop and a large one.

    python -m benchmarks.memory [ORDERS...] [--window N] [--wire WIRE]

By default 20,000 and 1,000,000 orders, which takes a few minutes. A JSON line for each size; the last one compares the
largest with the smallest: `growth_mb`, and `ratio`, the peak of the largest over that of the smallest. A megabyte has
10^6 bytes. `page_rows` is the largest reply: pages are whole, so it is what the peak depends on.
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
    """Bytes of memory that a dump of so many orders takes at most, and the rows of its largest reply.

    Args:
        orders: of the shop.
        folder: where the dump may go.
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
    parser.add_argument("--wire", default="soap", help="soap or xml-rpc")
    given = parser.parse_args(arguments)
    sizes, found = sorted(given.orders), {}
    options = ("--wire", given.wire, *(("--window", str(given.window)) if given.window else ()))
    with tempfile.TemporaryDirectory() as folder:
        for orders in sizes:
            found[orders], rows = peak(orders, Path(folder), *options)
            line = {
                "orders": orders,
                "window": given.window,
                "wire": given.wire,
                "peak_mb": round(found[orders] / 1e6, 1),
                "page_rows": rows,
            }
            print(json.dumps({"benchmark": "memory", "figure": "peak", **line}), flush=True)
    least, most = found[sizes[0]], found[sizes[-1]]
    growth = {"growth_mb": round((most - least) / 1e6, 1), "ratio": round(most / least, 3)}
    line = {"orders": sizes[-1], "beside": sizes[0], "window": given.window, "wire": given.wire, **growth}
    print(json.dumps({"benchmark": "memory", "figure": "growth", **line}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
