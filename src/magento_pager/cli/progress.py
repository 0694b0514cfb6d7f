"""How far a dump is: a live line on a terminal, else a plain line every so often.

How much is left is what the walk's own sample of the ids says, once it took one; nothing is asked for it.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from magento_pager.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from magento_pager.export.report import Progress

PLAIN_EVERY = 10.0  # seconds between two plain lines


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a dump is.

    Attributes:
        rows: in the output, of all runs; so are calls and retries.
        window: the ids of the last page; empty before the first.
        rate: rows a second, in this run.
        ahead: rows still to come, about; None where that is unknown.

    >>> print(Standing("orders", 12_000, 31, 2, "18000-19999", 412.3, 86_213))
    12,000 of about 98,000 orders (12%), 412/s, about 3 min 29 s left, ids 18000-19999, 31 calls, 2 retries
    >>> print(Standing("orders", 12_000, 31, 0, "18000-19999", 412.3))
    12,000 orders, 412/s, ids 18000-19999, 31 calls
    """

    entity: str
    rows: int = 0
    calls: int = 0
    retries: int = 0
    window: str = ""
    rate: float = 0.0
    ahead: int | None = None

    @property
    def left(self) -> float | None:
        """Seconds to go, about; None if unknown."""
        return None if self.ahead is None or not self.rate else self.ahead / self.rate

    def __str__(self) -> str:
        from magento_pager.walk.estimating import rounded
        from magento_pager.walk.planning import duration

        rows = f"{self.rows:,} {self.entity}"
        if self.ahead is not None:
            of = self.rows + self.ahead
            rows = f"{self.rows:,} of about {rounded(of):,} {self.entity} ({self.rows / max(1, of):.0%})"
        parts = [
            rows,
            f"{self.rate:,.0f}/s",
            "" if self.left is None else f"about {duration(self.left)} left",
            f"ids {self.window}" if self.window else "",
            f"{self.calls:,} calls",
            f"{self.retries:,} retries" if self.retries else "",
        ]
        return ", ".join(filter(None, parts))


@contextmanager
def progress(entity: str) -> Generator[Callable[[Progress], None]]:
    """Show how far a dump is, whenever the function that is given is called."""
    began = time.monotonic()

    def standing(page: Progress) -> Standing:
        seconds = time.monotonic() - began
        rate = page.fresh / seconds if seconds else 0.0
        return Standing(entity, page.rows, page.calls, page.retries, str(page.window), rate, page.ahead)

    with _live(entity) if sys.stderr.isatty() else nullcontext(_plain()) as show:
        yield lambda page: show(standing(page))


def _plain() -> Callable[[Standing], None]:
    """Plain lines, for a log."""
    last = time.monotonic()

    def show(standing: Standing) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_EVERY:
            last = time.monotonic()
            say(str(standing))

    return show


@contextmanager
def _live(entity: str) -> Generator[Callable[[Standing], None]]:
    """One line that changes, for a terminal."""
    from rich.console import Console
    from rich.progress import Progress as Live
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Live(*columns, console=Console(stderr=True), transient=True) as live:
        task = live.add_task(f"{entity} ...")
        yield lambda standing: live.update(task, description=str(standing))
