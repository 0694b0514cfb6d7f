"""How far a dump is: a live line on a terminal, else a plain line every so often.

How much is left is estimated once, when a dump has lasted some seconds: at most 10 small calls, beside the walk's own
and in no report. A short dump pays nothing for it.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from magento_pager.cli.ending import say
from magento_pager.errors import PagerError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from magento_pager.export.dumping import Progress
    from magento_pager.walk.paginator import Paginator
    from magento_pager.walk.surveying import Survey

PLAIN_EVERY = 10.0  # seconds between two plain lines
ESTIMATED_AFTER = 5.0  # seconds of this run
ESTIMATING = 10  # calls


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a dump is.

    Attributes:
        rows: in the output, of all runs; so are calls and retries.
        window: the ids of the last page; empty before the first.
        rate: rows a second, in this run.
        covered: the fraction that is behind, of the ids up to the highest known one; None where that is unknown.
        of: rows there are, about; None where that is unknown.

    >>> print(Standing("orders", 12_000, 31, 2, "18000-19999", 412.3, 0.12, 98_213))
    12,000 of about 98,000 orders, 12% of ids, 412/s, about 3 min 29 s left, ids 18000-19999, 31 calls, 2 retries
    >>> print(Standing("orders", 12_000, 31, 0, "18000-19999", 412.3))
    12,000 orders, 412/s, ids 18000-19999, 31 calls
    """

    entity: str
    rows: int = 0
    calls: int = 0
    retries: int = 0
    window: str = ""
    rate: float = 0.0
    covered: float | None = None
    of: int | None = None

    @property
    def left(self) -> float | None:
        """Seconds to go, about: by rows, or by ids where there are more rows than were thought; None if unknown."""
        if self.of is None or not self.covered or not self.rate:
            return None
        by_ids = self.rows / self.covered - self.rows
        return (self.of - self.rows if self.of > self.rows else by_ids) / self.rate

    def __str__(self) -> str:
        from magento_pager.walk.planning import duration
        from magento_pager.walk.surveying import rounded

        of = f" of about {rounded(self.of):,}" if self.of else ""
        parts = [
            f"{self.rows:,}{of} {self.entity}",
            "" if self.covered is None else f"{self.covered:.0%} of ids",
            f"{self.rate:,.0f}/s",
            "" if self.left is None else f"about {duration(self.left)} left",
            f"ids {self.window}" if self.window else "",
            f"{self.calls:,} calls",
            f"{self.retries:,} retries" if self.retries else "",
        ]
        return ", ".join(filter(None, parts))


@contextmanager
def progress(entity: str, paginator: Paginator) -> Generator[Callable[[Progress], None]]:
    """Show how far a dump of the paginator's list is, whenever the function that is given is called."""
    began, estimated = time.monotonic(), False
    survey: Survey | None = None

    def standing(page: Progress) -> Standing:
        nonlocal estimated, survey
        seconds = time.monotonic() - began
        if seconds >= ESTIMATED_AFTER and not estimated:
            estimated = True
            with suppress(PagerError):  # what ails the shop shows where rows are asked for
                survey = paginator.survey(ESTIMATING)
        rate = page.fresh / seconds if seconds else 0.0
        found = Standing(entity, page.rows, page.calls, page.retries, str(page.window), rate)
        if survey is None:
            return found
        first, ids = paginator.first, survey.highest - paginator.first + 1
        covered = min(1.0, (page.next_id - first) / ids) if ids > 0 else None
        return replace(found, covered=covered, of=survey.rows.about)

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
