"""The picture of a terminal in the README: three commands, run for it against the embedded shop.

    python -m docs._picture

Writes `docs/terminal.svg`. The commands print what is in it, wrapped as in a terminal; only the prompt is added.
"""

# ruff: noqa: INP001  docs are no package

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent / "terminal.svg"
COMMANDS = (
    "magento-pager plan orders --demo",
    "magento-pager dump orders --demo --out orders.parquet --report orders.json",
    "magento-pager verify orders.parquet --demo --report orders.json",
)
WIDTH = 90


def output_of(command: str, folder: str) -> str:
    """Return what a command prints, on both of its streams."""
    words = [sys.executable, "-m", "magento_pager", *command.split()[1:]]
    ended = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)  # noqa: S603 - our own commands
    return ended.stdout.rstrip()


def picture() -> str:
    """Return the commands and their output as an SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        for number, command in enumerate(COMMANDS):
            console.print(Text("\n$ " if number else "$ ", "bold green") + Text(command, "bold"))
            console.print(Text(output_of(command, folder)))
    svg = console.export_svg(title="magento-pager", unique_id="terminal")
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)  # no font from another host
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
