"""How far a dump is: a bar on a terminal, else a plain line every so often.

The rows still expected are estimated from the sample of ids that the walk takes anyway: progress needs no calls.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from magento_pager.cli import terminal
from magento_pager.cli.terminal import doing, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager.export.report import Progress

PLAIN_EVERY, BAR_EVERY = 10.0, 0.1  # seconds between two plain lines, and between two states of the bar
SHORTEST_BAR = 10  # columns


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a dump is. Its text is a line for a log.

    Attributes:
        entity: the list.
        rows: rows in the output, of all runs.
        calls: calls made for them, in all runs.
        retries: calls that this run repeated.
        window: the ids of the last page; empty before the first.
        rate: rows per second, in this run.
        ahead: estimate of the rows still expected; None if unknown.

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
        """Estimate of the seconds still needed; None if unknown."""
        return None if self.ahead is None or not self.rate else self.ahead / self.rate

    @property
    def fraction(self) -> float | None:
        """Estimate of the fraction of rows that are written; None if unknown."""
        return None if self.ahead is None else self.rows / max(1, self.rows + self.ahead)

    def __str__(self) -> str:
        parts = [
            self._rows + ("" if self.fraction is None else f" ({self.fraction:.0%})"),
            f"{self.rate:,.0f}/s",
            "" if self.left is None else f"about {_duration(self.left)} left",
            f"ids {self.window}" if self.window else "",
            self._calls,
            f"{self.retries:,} {'retry' if self.retries == 1 else 'retries'}" if self.retries else "",
        ]
        return ", ".join(filter(None, parts))

    def bar(self, columns: int, *, filled: str = "#", empty: str = "-") -> tuple[str, str, str]:
        """Return a line of at most that many columns: what is before, in and after the filled part of a bar.

        >>> standing = Standing("orders", 12_000, 31, 2, "", 412.3, 86_213)
        >>> print(*standing.bar(79), sep="")
        12,000 of about 98,000 orders  ##-----------------  12%  3 min 29 s left  412/s
        >>> print(*standing.bar(39), sep="")
        12,000 of about 98,000 orders  12%
        >>> print(*Standing("orders", 12_000, 31, 2, "", 412.3).bar(79), sep="")
        12,000 orders  412/s  31 calls
        """
        if self.fraction is None:
            return _joined([self._rows, f"{self.rate:,.0f}/s", self._calls], columns), "", ""
        time_left = "" if self.left is None else f"{_duration(self.left)} left"
        after = [f"{self.fraction:.0%}", time_left, f"{self.rate:,.0f}/s"]
        line = _joined([self._rows, *after], columns)
        width = columns - len(line) - 2
        if width < SHORTEST_BAR:
            return line, "", ""
        full = round(width * self.fraction)
        return f"{self._rows}  ", filled * full, f"{empty * (width - full)}{line[len(self._rows) :]}"

    @property
    def _calls(self) -> str:
        return f"{self.calls:,} call{'s' * (self.calls != 1)}"

    @property
    def _rows(self) -> str:
        from magento_pager.walk.estimating import rounded

        if self.ahead is None:
            return f"{self.rows:,} {self.entity}"
        return f"{self.rows:,} of about {rounded(self.rows + self.ahead):,} {self.entity}"


def progress(entity: str) -> Callable[[Progress], None]:
    """Return a function that shows how far a dump is, and nothing with `--quiet`; the dump begins now."""
    began = shown = time.monotonic()
    every = PLAIN_EVERY if terminal.line_columns() is None else BAR_EVERY
    silent = terminal.quiet()

    def show(page: Progress) -> None:
        nonlocal shown
        now = time.monotonic()
        if silent or now - shown < every:
            return
        shown = now
        rate = page.fresh / (now - began) if now > began else 0.0
        standing = Standing(entity, page.rows, page.calls, page.retries, str(page.window), rate, page.ahead)
        columns = terminal.line_columns()
        if columns is None:
            say(str(standing))
        else:
            terminal.draw(_drawn(standing, columns))

    doing(f"Exporting {entity}...")
    return show


def _drawn(standing: Standing, columns: int) -> str:
    """Return a bar with colour, unless NO_COLOR is set, in characters that the terminal can show."""
    try:
        "━─".encode(sys.stderr.encoding or "ascii")
        before, full, after = standing.bar(columns, filled="━", empty="─")
    except (LookupError, UnicodeEncodeError):
        before, full, after = standing.bar(columns)
    return before + (full if os.environ.get("NO_COLOR") else click.style(full, fg="green")) + after


def _joined(parts: list[str], columns: int) -> str:
    """Join as many of the first parts as fit, at least one."""
    line, *more = filter(None, parts)
    for part in more:
        if len(line) + 2 + len(part) > columns:
            break
        line += f"  {part}"
    return terminal.shortened(line, columns)


def _duration(seconds: float) -> str:
    from magento_pager.walk.planning import duration

    return duration(seconds)
