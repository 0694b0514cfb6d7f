"""Cost of SOAP and of XML-RPC for the client, list by list: calls, bytes and CPU.

`python -m benchmarks.protocols [ORDERS]` prints a JSON line for each list and protocol. The figures are of a whole dump
to NDJSON with the declared columns: `us_per_row` is its CPU minus that of a dump without rows (start-up, WSDL, login),
and `ratio` is XML-RPC's over SOAP's in the same run. Both files are asserted to be equal. The cost of each protocol for
a server cannot be measured on the embedded shop.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.runs import OURS, measured, serving
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from benchmarks.runs import Served

ROUNDS = 3
NO_ROWS = ("--first", "4294967295")
"""Options of a dump without rows."""


def dumped(shop: Served, name: str, wire: str, path: Path, *options: str) -> tuple[float, dict[str, Any]]:
    """Return the CPU seconds of a dump, the minimum of a few, and its report."""
    report = path.with_suffix(".json")
    output = ("--wire", wire, "--declared-columns", "--out", str(path), "--overwrite", "--report", str(report))
    command = (*OURS, "dump", name, *output, *options)
    cpu = min(measured(command, shop.environment).cpu for _ in range(ROUNDS))
    return cpu, json.loads(report.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    """Print a line for each list and protocol."""
    orders = int(arguments[0]) if arguments else 10_000
    with serving(orders) as shop, tempfile.TemporaryDirectory() as folder:
        for name in LISTS:
            costs, bodies = [], []
            for wire in ("soap", "xml-rpc"):
                path = Path(folder) / f"{name}-{wire}"
                start_up, _ = dumped(shop, name, wire, path, *NO_ROWS)
                cpu, report = dumped(shop, name, wire, path)
                costs.append((cpu - start_up) / report["rows"])
                bodies.append(path.read_bytes())
                figures = {
                    "benchmark": "protocols",
                    "list": name,
                    "wire": wire,
                    "rows": report["rows"],
                    "calls": report["calls"],
                }
                figures |= {
                    "bytes_per_row": round(report["bytes"] / report["rows"]),
                    "us_per_row": round(costs[-1] * 1e6),
                }
                print(json.dumps(figures | {"ratio": round(costs[-1] / costs[0], 2)}), flush=True)
            assert bodies[0] == bodies[1]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
