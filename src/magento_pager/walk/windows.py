"""The width of the next window.

Pure: a pace takes the result of each call and returns the next width. Where there are rows, widths aim at a number of
rows and a time per call, by a weighted average of the last windows (as pt-table-checksum does). Where there are none,
each width is the next power of ten; a sample shows how far such a window may reach. Windows end just below a multiple
of their width, which keeps `like` patterns and regexps short.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

from magento_pager.walk.ranges import LARGEST_NUMBER, IdRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STEPS = (1, 2, 3, 4, 5, 6, 8, 10)  # widths, times a power of ten
ROUNDING_UP = 1.3  # a width may be this many times the computed one, to end at a round id
WIDEST = 10_000_000_000  # a power of ten above every id: a window of this width ends at the last id


@dataclass(frozen=True, slots=True)
class Goal:
    """Rows and time that one call should take.

    Attributes:
        rows: approximate number of rows in one reply, from 1 to 2^63 - 1.
        seconds: approximate time of one call, more than 0.

    >>> Goal(rows=500, seconds=0.5)
    Goal(rows=500, seconds=0.5)
    """

    rows: int = 2_000
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if not (1 <= self.rows <= LARGEST_NUMBER and 0 < self.seconds < inf):
            raise ValueError(f"a goal needs at least 1 row and more than 0 seconds, not {self}")


@dataclass(frozen=True, slots=True)
class Pace:
    """Width of the next window, and what it is computed from.

    Attributes:
        goal: rows and seconds per call.
        fixed: the width that the user set, in ids: windows that return rows have exactly this width; None to adapt.
        decimal: widths are 10^k or 2*10^k, for strategies that send one call per decimal block.
        width: of the next window, in ids.
        fraction: the part of the goal, or of the user's width, that the server can handle; below 1 after a reply was
            too large for it.
        failed_at: the fraction at which that happened; it is approached again slowly.
        density: rows per id where there are rows, estimated cautiously; None before the first row.
        seconds_per_row: a weighted average over windows with rows; None before the first.

    >>> pace = Pace.start(Goal(rows=2000))
    >>> pace.window(0, last=10_000)
    IdRange(first=0, last=999)

    Half of the ids exist, so the width is twice the goal, rounded to steps such as 1, 2 and 5:

    >>> pace.after(IdRange(0, 999), rows=500, seconds=0.1).width
    5000

    No rows: the width is the next power of ten.

    >>> pace.after(IdRange(0, 999), rows=0, seconds=0.1).window(1000, last=99_999)
    IdRange(first=1000, last=9999)
    """

    goal: Goal
    fixed: int | None
    decimal: bool
    width: int
    fraction: float = 1.0
    failed_at: float = inf
    density: float | None = None
    seconds_per_row: float | None = None

    @classmethod
    def start(cls, goal: Goal, fixed: int | None = None, *, decimal: bool = False) -> Pace:
        """Return the pace before the first reply.

        Raises:
            ValueError: `fixed` is below 1.
        """
        if fixed is not None and fixed < 1:
            raise ValueError(f"a window is at least 1 id wide, not {fixed}")
        if fixed is not None and decimal:
            fixed = _decimal_below(fixed)
        first = fixed or _decimal_below(min(1_000, goal.rows))
        return cls(goal, fixed, decimal, first)

    @property
    def rows(self) -> int:
        """Rows that a reply should have, reduced to what the server can handle."""
        return max(1, int(self.goal.rows * self.fraction))

    @property
    def fixed_width(self) -> int | None:
        """The user's width, reduced to what the server can handle; None to adapt."""
        if self.fixed is None or self.fraction == 1:
            return self.fixed
        width = max(1, int(self.fixed * self.fraction))
        return _decimal_below(width) if self.decimal else width

    @property
    def safe_width(self) -> int:
        """Most ids to request without a sample: a reply with a row for each of them is still small enough."""
        return self.fixed_width or 3 * self.rows

    @property
    def careful(self) -> bool:
        """Whether a window over a gap is at most ten times the user's width: a sample cannot show that few rows."""
        return self.fixed_width is not None and self.width <= 10 * self.fixed_width

    @property
    def max_rows(self) -> int:
        """Most rows that a window may hold according to a sample."""
        return self.fixed_width or 2 * self.rows

    def window(self, position: int, last: int) -> IdRange:
        """Return the next window: from `position` to just below the next multiple of the width, at most to `last`."""
        start = position if self.fraction < 1 and self.fixed and not self.decimal else position - position % self.width
        return IdRange(position, min(last, start + self.width - 1))

    def after(self, window: IdRange, rows: int, seconds: float) -> Pace:
        """Return the pace after `window` returned `rows` rows in `seconds` seconds."""
        if rows == 0:
            return replace(self, width=min(WIDEST, 10 ** len(str(self.width))))
        wide_enough = self.density is not None and 2 * len(window) * self.density >= self.rows
        density = _blended_density(self.density, rows / len(window), wide_enough=wide_enough)
        per_row = _average(self.seconds_per_row, seconds / rows)
        pace = replace(self._after_success(window), density=density, seconds_per_row=per_row)
        if pace.fixed_width:
            return replace(pace, width=pace.fixed_width)
        goal_rows = min(pace.rows, self.goal.seconds / per_row) if per_row else pace.rows
        width = min(max(1, round(goal_rows / density)), 10 * len(window), WIDEST)
        if self.decimal:
            return replace(pace, width=_decimal_near(width) if pace.fraction == 1 else _decimal_below(width))
        return replace(pace, width=_round_width(width))

    def for_strategy(self, *, decimal: bool) -> Pace:
        """Return the pace for another strategy; `decimal` if it sends one call per decimal block."""
        if not decimal:
            return replace(self, decimal=False)
        fixed = self.fixed and _decimal_below(self.fixed)
        return replace(self, decimal=True, fixed=fixed, width=_decimal_below(self.width))

    def after_failure(self, window: IdRange) -> Pace:
        """Return the pace after the reply to `window` was too large for the server: half as much.

        >>> pace = Pace.start(Goal(rows=2000)).after_failure(IdRange(0, 9_999))
        >>> pace.rows, pace.after(IdRange(0, 999), rows=1000, seconds=0.1).rows
        (1000, 1050)
        """
        size = len(window) / self.fixed if self.fixed else len(window) * (self.density or 1) / self.goal.rows
        failed_at = min(self.fraction, size)
        pace = replace(self, fraction=max(failed_at / 2, 1e-6), failed_at=failed_at)
        return replace(pace, width=min(self.width, pace.fixed_width or pace.rows))

    def _after_success(self, window: IdRange) -> Pace:
        """Return the pace after the server handled a window: twice as much, or slightly more if twice was too much."""
        if self.fraction == 1 or 2 * len(window) < self.width:  # too small a window shows nothing
            return self
        fraction = self.fraction * (2 if self.fraction * 2 < self.failed_at else 1.05)
        return replace(
            self, fraction=min(fraction, 1.0), failed_at=inf if fraction > self.failed_at else self.failed_at
        )


def part_width(window: IdRange, *, decimal: bool) -> int:
    """Return the width for a window that failed: about half, or the next lower power of ten.

    >>> part_width(IdRange(0, 1999), decimal=False), part_width(IdRange(7, 8), decimal=True)
    (1000, 1)
    """
    return 10 ** _places_below(len(window)) if decimal else (len(window) + 1) // 2


def round_end(window: IdRange) -> IdRange:
    """Return a window without the ids at its end that need many decimal blocks; at least nine tenths remain.

    >>> str(round_end(IdRange(100, 853))), str(round_end(IdRange(2_000, 9_153))), str(round_end(IdRange(7, 8)))
    ('100-799', '2000-8999', '7-8')
    """
    end, power = window.last + 1, 1
    while end % (10 * power) <= len(window) // 10:
        power *= 10
    return IdRange(window.first, end - end % power - 1)


def _places_below(width: int) -> int:
    """Return the exponent of the greatest power of ten below `width`, which is at least 2."""
    return len(str(width - 1)) - 1


def _blended_density(before: float | None, measured: float, *, wide_enough: bool) -> float:
    """Return the density to expect: it rises at once, and falls slowly once windows are wide enough, as after a gap.

    >>> _blended_density(0.5, 0.75, wide_enough=True), _blended_density(0.5, 0.25, wide_enough=True)
    (0.75, 0.4375)
    >>> _blended_density(0.5, 0.25, wide_enough=False)
    0.375
    """
    if before is None or measured > before:
        return measured
    return (3 * before + measured) / 4 if wide_enough else (before + measured) / 2


def _average(before: float | None, measured: float) -> float:
    """Return a weighted average in which the past counts half: a server may slow down tenfold at noon."""
    return measured if before is None else (before + measured) / 2


def _decimal_below(width: int) -> int:
    """Return the greatest of 1, 2, 10, 20, 100, ... that is at most `width`.

    >>> [_decimal_below(width) for width in (1, 9, 10, 1873, 2000, 999)]
    [1, 2, 10, 1000, 2000, 200]
    """
    power: int = 10 ** (len(str(width)) - 1)
    return 2 * power if width >= 2 * power else power


def _decimal_near(width: int) -> int:
    """Return the greatest power of ten up to four times `width`: one `like` covers it; no reply exceeds 4 goals."""
    power: int = 10 ** (len(str(width * 4)) - 1)
    return power


def _round_width(width: int) -> int:
    """Return the greatest of 1, 2, 3, 4, 5, 6, 8, 10, 20, ... up to 1.3 times `width`, so windows end at round ids.

    >>> [_round_width(width) for width in (1, 3, 4, 8, 1_500, 2_000, 2_392, 6_000)]
    [1, 3, 5, 10, 1000, 2000, 3000, 6000]
    """
    power: int = 10 ** (len(str(width)) - 1)
    return max(step * power for step in STEPS if step * power <= width * ROUNDING_UP)


def cut_at(window: IdRange, ids: Iterable[int], width: int) -> Iterator[IdRange]:
    """Cover a window, in order: a tile of `width` around every id, and one range for each gap between tiles.

    >>> [str(part) for part in cut_at(IdRange(600, 999), [733, 738, 990], 100)]
    ['600-699', '700-799', '800-899', '900-999']
    """
    start = window.first
    for tile in sorted({number // width * width for number in ids}):
        first, last = max(tile, window.first), min(tile + width - 1, window.last)
        if first > start:
            yield IdRange(start, first - 1)
        yield IdRange(first, last)
        start = last + 1
    if start <= window.last:
        yield IdRange(start, window.last)
