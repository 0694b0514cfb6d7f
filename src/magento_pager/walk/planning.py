"""Before a long walk: how many rows there are, about, and what it will cost. A few small calls answer.

What lives here: the plan, which puts together a survey of the ids, one real window and the arithmetic of windows. Like
the walk it knows no network; unlike the walk it proves nothing but the end.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import ceil
from statistics import median
from typing import TYPE_CHECKING, Any

from magento_pager.errors import RemoteError
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import IdRange
from magento_pager.walk.strategies import Prefix, SingleFilter, Strategy, like_pattern
from magento_pager.walk.surveying import MOST_ROWS, Estimate, Metered, Survey, rounded, survey
from magento_pager.walk.windows import Goal, Pace

if TYPE_CHECKING:
    from magento_pager.walk.reading import Known, Reader

MOST_CALLS = 60  # of a plan, with the probe's
MEASURING = 4  # calls at most to measure a window
ENOUGH = 50  # rows in a measured window
FEW = 10  # rows in a reply whose time is that of a call as such
CROSSING = 24  # calls of a walk that bring few rows or none: soundings, emptiness, the end
SHOWN = 160  # characters of a query


@dataclass(frozen=True, slots=True)
class Plan:
    """What a walk will be like.

    Attributes:
        operation: the list.
        strategy: the name of the one that would carry rows.
        rows: how many there are.
        first_id: the lowest id that was met; None where rows carry none, or there are none.
        last_id: the highest, likewise.
        proved: True where a call for all that is above it brought nothing.
        density: rows per id where rows are.
        window: ids in each window with rows: the best width, or the user's own.
        calls: requests of the whole walk, about.
        seconds: that they will take, about.
        bytes: that they will bring, unpacked, about; None where the source does not count them.
        queries: the first three of its windows with rows.
        spent: calls that this plan took, the probe's included.
    """

    operation: str
    strategy: str
    rows: Estimate
    first_id: int | None
    last_id: int | None
    proved: bool
    density: float
    window: int
    calls: int
    seconds: float
    bytes: int | None
    queries: tuple[Query, ...]
    spent: int

    def as_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return asdict(self) | {"queries": list(map(str, self.queries))}

    def __str__(self) -> str:
        if self.first_id is None:
            ids = "not in the rows" if self.rows.most else "none"
        else:
            end = "" if self.proved else ", and none was met above; that was sampled, not asked for"
            ids = f"{self.first_id:,} to {self.last_id:,}{end}"
        size = "" if self.bytes is None else f", {_size(self.bytes)}"
        lines = [
            f"rows      {self.rows}",
            f"ids       {ids}",
            f"strategy  {self.strategy}",
            f"window    {self.window:,} ids, {round(self.window * self.density):,} rows",
            f"cost      about {rounded(self.calls):,} calls{size}, {duration(self.seconds)}",
            *(f"query     {shown(query)}" for query in self.queries),
            f"          ({self.spent} calls were made for this plan)",
        ]
        return "\n".join(lines)


def plan(
    reader: Reader,
    chosen: tuple[Strategy, Known | None, int],
    span: IdRange,
    goal: Goal,
    window: int | None = None,
) -> Plan:
    """Say what a walk will be like, from at most 60 small calls.

    Args:
        reader: reads the list.
        chosen: the strategy that would carry rows, a row for its canary, and the calls that were made to find out.
        span: the ids that would be covered, inclusive.
        goal: what one call should bring.
        window: the user's own width, or None.

    Raises:
        RemoteError: a call failed.
    """
    strategy, known, spent = chosen
    seen = survey(reader, span, MOST_CALLS - MEASURING - spent)
    measured = _measured(reader, strategy, known, seen, span)
    pace = _steady(strategy, goal, window, measured)
    rows = seen.rows
    per_window = max(1.0, pace.width * measured.density)
    windows = ceil(rows.about / per_window)
    first = max(span.first, seen.first_id or 0)
    ahead = IdRange(first, span.last).tile(pace.width)
    queries = tuple(islice((query for one in ahead for query in strategy.queries(one, known and known.id)), 3))
    middle = IdRange(measured.middle, span.last).tile(pace.width)
    each = max(1, sum(len(list(strategy.queries(one, known and known.id))) for one in islice(middle, 8)) // 8)
    # One bound alone brings the whole rest of the table each time.
    carried = rows.about * (windows + 1) / 2 if isinstance(strategy, SingleFilter) else rows.about
    calls = windows * each + CROSSING
    return Plan(
        reader.operation,
        strategy.name,
        rows,
        seen.first_id,
        seen.last_id,
        seen.proved,
        measured.density,
        pace.width,
        calls,
        round(calls * measured.per_call + carried * measured.per_row, 1),
        None if measured.bytes_per_row is None else round(carried * measured.bytes_per_row),
        tuple(replace(query, conditions=query.conditions + reader.where) for query in queries),
        spent + seen.calls + measured.calls,
    )


def shown(query: Query) -> str:
    """A query as one line, cut where it is long.

    >>> shown(Query((Condition("entity_id", "in", "1,2," * 99),), IdRange(1, 2)))[-20:]
    '2,1,2,1,2,1,2,1,2...'
    """
    text = str(query)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


@dataclass(frozen=True, slots=True)
class _Measured:
    """What calls of the plan itself showed.

    Attributes:
        middle: an id with as many rows below as above it.
        density: rows per id there.
        per_call: seconds of a call as such.
        per_row: and of each row in its reply.
        bytes_per_row: None where the source does not count bytes.
        calls: that were made.
    """

    middle: int
    density: float
    per_call: float
    per_row: float
    bytes_per_row: float | None
    calls: int


def _measured(reader: Reader, strategy: Strategy, known: Known | None, seen: Survey, span: IdRange) -> _Measured:
    """Ask for one real window, and for a wider one as long as it brings too few rows to tell."""
    meter = Metered(reader.source)
    reader = replace(reader, source=meter, repairing=None)
    blind = getattr(strategy, "needs_canary", False) and known is None
    if isinstance(strategy, SingleFilter) or blind:  # its replies would be the whole rest, or prove nothing
        strategy = Prefix(reader.key)
    reader.sample(Query((Condition(reader.key, "like", like_pattern(IdRange(0, 0))),), IdRange(0, 0)))
    middle = _middle(seen)
    density, bytes_per_row, per_row = 1.0, None, 0.0
    width = max(10, min(1_000, 10 ** len(str(int(1 / max(_density(seen, middle), 1e-9)))) * 10))
    while len(meter.times) < MEASURING:
        first = max(span.first, middle - middle % width)
        window = IdRange(first, min(first + width - 1, span.last))
        before, began = meter.bytes_received, time.monotonic()
        try:
            reply = reader.read(strategy, window, known)
        except RemoteError as error:
            if error.remedy not in {"split", "isolate"} or width == 1:
                raise
            width = max(1, width // 10)
            continue
        seconds, rows = time.monotonic() - began, len(reply.rows)
        after = meter.bytes_received
        if rows:
            density, per_row = rows / len(window), seconds / rows
            bytes_per_row = None if before is None or after is None else (after - before) / rows
        if rows >= ENOUGH or rows * 2 >= seen.rows.about or rows * 10 > MOST_ROWS:
            break
        width *= 10
    per_call = median([seconds for seconds, rows in meter.times if rows <= FEW] or [0.0])
    per_row = max(0.0, per_row - per_call / max(1, meter.times[-1][1]))
    return _Measured(middle, density, per_call, per_row, bytes_per_row, len(meter.times))


def _steady(strategy: Strategy, goal: Goal, window: int | None, measured: _Measured) -> Pace:
    """The pace that a walk comes to."""
    pace = Pace.start(goal, window, decimal=getattr(strategy, "decimal", False))
    for _ in range(12):
        ids = IdRange(0, max(pace.width, ceil(1 / measured.density)) - 1)
        rows = max(1, round(len(ids) * measured.density))
        pace = pace.after(ids, rows, measured.per_call + rows * measured.per_row)
    return pace


def _middle(seen: Survey) -> int:
    """The id in the middle of all rows, about."""
    below, half = 0.0, sum(one.rows for one in seen.strata) / 2
    for one in seen.strata:
        below += one.rows
        if one.rows and below >= half:
            return one.run.first if one.run else one.ids.first
    return seen.first_id or 0


def _density(seen: Survey, number: int) -> float:
    """Rows per id around an id."""
    place = next((at for at, one in enumerate(seen.strata) if number in one.ids), 0)
    around = seen.strata[max(0, place - 5) : place + 6]
    return sum(one.found for one in around) / sum(one.sampled for one in around)


def _size(count: int) -> str:
    """Bytes in a unit that fits.

    >>> _size(999), _size(74_700_000)
    ('999 B', '75 MB')
    """
    number, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if number < 1_000:  # noqa: PLR2004
            break
        number, unit = number / 1_000, larger
    return f"{number:.3g} {unit}" if number < 10 else f"{number:.0f} {unit}"  # noqa: PLR2004


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(3.21), duration(75), duration(7_384)
    ('3 s', '1 min 15 s', '2 h 3 min')
    """
    whole = max(1, round(seconds))
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
