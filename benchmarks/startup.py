"""What `magento-pager --help` costs beside `python -c pass`.

    python -m benchmarks.startup [ROUNDS]

One JSON line: milliseconds of CPU, the least of many rounds in which the sides take turns, and `ratio`, ours over
Python's own. All run in the same interpreter, with their bytecode at hand. `click_ms` is what the library of the
command line costs alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.runs import measured

ROUNDS = 40
SCRIPT = Path(sys.executable).with_name("magento-pager")
"""The command as it was installed beside this Python."""
SIDES = {
    "python": (sys.executable, "-c", "pass"),
    "click": (sys.executable, "-c", "import click"),
    "help": (str(SCRIPT), "--help"),
}


def least(rounds: int) -> dict[str, float]:
    """Seconds of CPU that each side takes at least."""
    best = dict.fromkeys(SIDES, float("inf"))
    for _ in range(rounds):
        for name, command in SIDES.items():
            best[name] = min(best[name], measured(command).cpu)
    return best


def main(arguments: list[str]) -> int:
    """Print the figure."""
    rounds = int(arguments[0]) if arguments else ROUNDS
    cpu = least(rounds)
    figures = {f"{name}_ms": round(seconds * 1e3, 1) for name, seconds in cpu.items()}
    line = {"figure": "--help beside python -c pass", **figures, "ratio": round(cpu["help"] / cpu["python"], 2)}
    print(json.dumps({"benchmark": "startup", **line}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
