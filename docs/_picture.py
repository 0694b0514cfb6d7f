"""The picture of a terminal in the README: three commands, run for it, the last one stopped while it shows a bar.

    python -m docs._picture

Writes `docs/terminal.svg`. The commands print what is in it, on a terminal of that width; only the prompt is added.
"""

# ruff: noqa: INP001  docs are no package

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.text import Text

from magento_pager.fake import Shop

PICTURE = Path(__file__).parent / "terminal.svg"
COMMANDS = (
    "magento-pager dump orders --demo --out orders.ndjson --report orders.json",
    "magento-pager verify orders.ndjson --demo --report orders.json",
    "magento-pager dump orders --out orders.csv",
)
WIDTH = 90
WIPED, BAR = "\r\x1b[2K", re.compile(r"(?:[4-6]\d)%")


def last_state(command: str, folder: str, shop: Shop, *, until: re.Pattern[str] | None = None) -> str:
    """Return what a terminal shows when a command has ended, or once it shows `until`."""
    ours, theirs = pty.openpty()
    variables = {"MAGENTO_URL": shop.url, "MAGENTO_API_USER": shop.user, "MAGENTO_API_KEY": shop.key}
    variables |= {"COLUMNS": str(WIDTH), "TERM": "xterm", "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-m", "magento_pager", *command.split()[1:]]
    text = ""
    with subprocess.Popen(words, cwd=folder, stdout=theirs, stderr=theirs, env=os.environ | variables) as running:  # noqa: S603 - our own commands
        os.close(theirs)
        with suppress(OSError):  # so a terminal ends
            while data := os.read(ours, 4096):
                text += data.decode()
                if until and until.search(text.rpartition(WIPED)[2]):
                    running.terminate()
                    break
        if until is None and running.wait():
            raise SystemExit(f"{command}: exit status {running.returncode}\n{text}")
    os.close(ours)
    lines = [line.rpartition(WIPED)[2] for line in text.replace("\r\n", "\n").split("\n")]
    return "\n".join(lines).rstrip()


def picture() -> str:
    """Return the commands and what a terminal shows as an SVG."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    with tempfile.TemporaryDirectory() as folder, Shop(orders=20_000, latency=0.2) as shop:
        for command in COMMANDS:
            until = BAR if command == COMMANDS[-1] else None
            console.print(Text("$ ", "bold green") + Text(command, "bold"))
            console.print(Text.from_ansi(last_state(command, folder, shop, until=until)), end="\n\n")
    svg = console.export_svg(title="magento-pager", unique_id="terminal")
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "\n", svg, flags=re.DOTALL)  # no font from another host
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
