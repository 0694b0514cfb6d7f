"""What the two wires cost the client, list by list: calls, bytes and CPU, side by side.

`python -m benchmarks.wires [ORDERS]` prints a JSON line for each list and wire. They are of a whole dump to NDJSON with
the declared columns: `us_per_row` is its CPU, less that of a dump of no row (start-up, WSDL, login), and `ratio` that
by XML-RPC over that by SOAP in the same run. The rows are asserted to be the same bytes. What each wire costs a server
cannot be measured on the embedded shop.
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
NOTHING = ("--first", "4294967295")
"""Options of a dump that brings no row."""


def dumped(shop: Served, name: str, wire: str, path: Path, *options: str) -> tuple[float, dict[str, Any]]:
    """Return the CPU seconds of a dump, the least of a few, and its report."""
    report = path.with_suffix(".json")
    how = ("--wire", wire, "--declared-columns", "--out", str(path), "--overwrite", "--report", str(report))
    command = (*OURS, "dump", name, *how, *options)
    cpu = min(measured(command, shop.environment).cpu for _ in range(ROUNDS))
    return cpu, json.loads(report.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    """Print a line for each list and wire."""
    orders = int(arguments[0]) if arguments else 10_000
    with serving(orders) as shop, tempfile.TemporaryDirectory() as folder:
        for name in LISTS:
            costs, bodies = [], []
            for wire in ("soap", "xml-rpc"):
                path = Path(folder) / f"{name}-{wire}"
                nothing, _ = dumped(shop, name, wire, path, *NOTHING)
                cpu, report = dumped(shop, name, wire, path)
                costs.append((cpu - nothing) / report["rows"])
                bodies.append(path.read_bytes())
                said = {
                    "benchmark": "wires",
                    "list": name,
                    "wire": wire,
                    "rows": report["rows"],
                    "calls": report["calls"],
                }
                said |= {"bytes_per_row": round(report["bytes"] / report["rows"]), "us_per_row": round(costs[-1] * 1e6)}
                print(json.dumps(said | {"ratio": round(costs[-1] / costs[0], 2)}), flush=True)
            assert bodies[0] == bodies[1]
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
