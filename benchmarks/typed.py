"""CPU of the client for a dump of typed values, to Parquet, SQLite and text, compared with untyped NDJSON.

    python -m benchmarks.typed [--flavour rpc|wsi] [--orders N] [--rounds N]

The formats take turns, so that other load on the machine affects all of them. CPU is the minimum of all rounds, with
start-up, which for Parquet includes the import of pyarrow. `ratio` is the format's CPU over that of NDJSON.
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
    from collections.abc import Iterator, Sequence

OUTPUTS = {
    "ndjson": ("orders.ndjson",),
    "ndjson typed": ("typed.ndjson", "--typed"),
    "csv typed": ("typed.csv", "--typed"),
    "parquet": ("orders.parquet",),
    "sqlite": ("orders.db",),
}
"""The file and further options of each format."""


def figures(orders: int, flavour: str, rounds: int, folder: Path) -> Iterator[dict[str, object]]:
    """Yield the cost of each format."""
    cpu, peak = dict.fromkeys(OUTPUTS, float("inf")), dict.fromkeys(OUTPUTS, 0)
    with serving(orders, "--flavour", flavour) as shop:
        for _ in range(rounds):
            for form, (name, *options) in OUTPUTS.items():
                run = shop.dump(folder / name, *options)
                cpu[form], peak[form] = min(cpu[form], run.cpu), max(peak[form], run.peak)
    for form, seconds in cpu.items():
        ratio = round(seconds / cpu["ndjson"], 2)
        peak_mb = round(peak[form] / 1e6, 1)
        yield {"format": form, "orders": orders, "cpu_s": round(seconds, 2), "peak_mb": peak_mb, "ratio": ratio}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.typed")
    parser.add_argument("--flavour", choices=["rpc", "wsi"], default="rpc")
    parser.add_argument("--orders", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        for line in figures(options.orders, options.flavour, options.rounds, Path(name)):
            print(json.dumps({"benchmark": "typed", "flavour": options.flavour, **line}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
