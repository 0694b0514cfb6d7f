"""The picture of a terminal in the README: three commands, run for it against the embedded shop.

    python -m docs._picture

Writes `docs/terminal.svg`. What is in it was said by the commands; only the prompt is added.
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
WIDTH = 112


def said(command: str, folder: str) -> str:
    """What a command says, on both of its streams."""
    words = [sys.executable, "-m", "magento_pager", *command.split()[1:]]
    ended = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)  # noqa: S603 - our own commands
    return ended.stdout.rstrip()


def picture() -> str:
    """The commands and what they say, as an SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS:
            console.print(Text("$ ", "bold green") + Text(command, "bold"))
            console.print(Text(said(command, folder)))
    svg = console.export_svg(title="magento-pager", unique_id="terminal")
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)  # no font from elsewhere
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
