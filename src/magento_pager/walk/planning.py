"""Estimates before a long walk: the number of rows and the cost, from a few small calls.

What lives here: the plan, as a flow. It reads the first ids, samples the rest, reads a window in the middle of the rows
and requests everything above the highest id found. Like the walk it knows no network; unlike the walk it proves only
where the list ends.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any

from magento_pager.errors import RemoteError
from magento_pager.walk.estimating import Estimate, estimated, placed, rounded
from magento_pager.walk.flows import Flow, WindowRequest, attempt, attempt_flow, find_known_row
from magento_pager.walk.gaps import EVERY, Gaps
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.recovery import action
from magento_pager.walk.sampling import ROWS_TO_COUNT, Sample
from magento_pager.walk.strategies import InList, Prefix, Regexp, SingleFilter, Strategy, needs_canary, widest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from magento_pager.walk.conditions import Query
    from magento_pager.walk.flows import Reply
    from magento_pager.walk.pages import KnownRow
    from magento_pager.walk.trials import Choice
    from magento_pager.walk.walk import Walk
    from magento_pager.walk.windows import Pace

FIRST = 1_000  # ids read at the low end
OVERHEAD, BLOCK_OVERHEAD = 7, 16  # calls with few rows or none: samples, gaps, the end; with decimal blocks
NEIGHBOURS = 5  # sampled rows on each side that give the density around an id
MOST_SHOWN = 160  # characters of a query


@dataclass(frozen=True, slots=True)
class Plan:
    """Estimated size and cost of a walk.

    Attributes:
        operation: the name of the list.
        strategy: the name of the strategy that would read the rows.
        rows: the number of rows.
        first_id: the lowest id found; None where rows carry no ids, or there are no rows.
        last_id: the highest id found; None in the same cases.
        proved: True where a call for everything above `last_id` returned nothing.
        density: rows per id where there are rows.
        window: ids in each window with rows: the best width, or the one the user set.
        calls: approximate number of calls of the whole walk.
        seconds: approximate time of these calls.
        bytes: approximate size of their replies, decompressed; None where the source does not count bytes.
        queries: the first three queries for windows with rows.
        spent: calls made for this plan, including the probe.
        wire: the protocol that would be used; None where the source supports only one.
        wire_reason: why that protocol was chosen; None where there was no choice.

    >>> from magento_pager import connect, fake
    >>> with fake.Shop(orders=3) as shop, connect(shop.url, shop.user, shop.key) as pager:
    ...     pager.orders().plan().last_id
    6
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
    wire: str | None = None
    wire_reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return asdict(self) | {"queries": list(map(str, self.queries))}

    def __str__(self) -> str:
        if self.first_id is None:
            ids = "not in the rows" if self.rows.most else "none"
        else:
            end = "" if self.proved else ", and none found above it (sampled, not proved)"
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
            *([f"wire      {': '.join(filter(None, (self.wire, self.wire_reason)))}"] if self.wire else []),
        ]
        return "\n".join(lines)


def plan(walk: Walk, span: IdRange) -> Flow[Plan]:
    """Estimate the size and cost of a walk from a few small calls.

    The driver counts the calls.

    Args:
        walk: the walk.
        span: the ids that it would cover, inclusive.

    Raises:
        NoStrategyError: the server does not honour the strategy, or any strategy.
        RemoteError: a call failed.
    """
    choice = yield from walk.choosing.initial(span.first)
    result = yield from attempt_flow(_planned(walk, span, choice))
    if isinstance(result, RemoteError):
        if not walk.choosing.may_change(result):
            raise result
        choice = yield from walk.choosing.replacement(choice.strategy, ())
        result = yield from _planned(walk, span, choice)
    return result


def joined(plans: Sequence[Plan]) -> Plan:
    """Combine the plans of some ranges of ids, in order; strategy and window are those of the range with most rows.

    Args:
        plans: one for each range, at least one.
    """
    largest = max(plans, key=lambda plan: plan.rows.about)
    sizes = [plan.bytes for plan in plans if plan.bytes is not None]
    return replace(
        largest,
        rows=Estimate(*(sum(getattr(plan.rows, part) for plan in plans) for part in ("about", "least", "most"))),
        first_id=next((plan.first_id for plan in plans if plan.first_id is not None), None),
        last_id=next((plan.last_id for plan in reversed(plans) if plan.last_id is not None), None),
        proved=plans[-1].proved,
        calls=sum(plan.calls for plan in plans),
        seconds=round(sum(plan.seconds for plan in plans), 1),
        bytes=sum(sizes) if sizes else None,
    )


def _planned(walk: Walk, span: IdRange, choice: Choice) -> Flow[Plan]:
    """Estimate the size and cost of a walk with a strategy."""
    strategy = choice.strategy
    survey = yield from take_survey(walk, span, choice)
    measured = yield from _measure(walk, span, survey)
    proved = yield from _prove_the_end(walk, span, survey)
    rows, canary = survey.estimate(), survey.known and survey.known.id
    density, per_call, per_row, bytes_per_row = _costs(survey, measured)
    pace = _steady(walk.pace(strategy), density, per_call, per_row)
    ids = survey.ids
    if pace.width > widest(strategy):
        strategy = Regexp(walk.key) if isinstance(strategy, InList) else Prefix(walk.key)
    windows = IdRange(max(span.first, ids[0]) if ids else span.first, span.last).tile(pace.width)
    queries = tuple(islice((query for window in windows for query in strategy.queries(window, canary)), 3))
    middle = IdRange(max(span.first, survey.middle - survey.middle % pace.width), span.last).tile(pace.width)
    per_window = max(1, sum(len(list(strategy.queries(window, canary))) for window in islice(middle, 8)) // 8)
    window_count = ceil(rows.about / max(1.0, pace.width * density))
    # With one bound alone each call returns the whole rest of the table.
    rows_sent = rows.about * (window_count + 1) / 2 if isinstance(strategy, SingleFilter) else rows.about
    calls = window_count * per_window + (BLOCK_OVERHEAD if pace.decimal else OVERHEAD)
    return Plan(
        walk.operation,
        choice.strategy.name,
        rows,
        ids[0] if ids else None,
        ids[-1] if ids else None,
        proved,
        density,
        pace.width,
        calls,
        round(calls * per_call + rows_sent * per_row, 1),
        None if bytes_per_row is None else round(rows_sent * bytes_per_row),
        queries,
        0,
    )


@dataclass(slots=True)
class Survey:
    """Windows that were read from a list, and samples of the rest.

    Attributes:
        span: the ids to survey, inclusive.
        strategy: reads windows.
        known: a known row; None where none was found.
        gaps: takes samples.
        read: the windows that were read, and their replies.
        samples: samples of the ids after the first window.
    """

    span: IdRange
    strategy: Strategy
    known: KnownRow | None
    gaps: Gaps
    read: list[tuple[IdRange, Reply]]
    samples: list[Sample]

    @property
    def ids(self) -> list[int]:
        """All ids found, in order; empty where rows carry no ids."""
        hits = {number for sample in self.samples for number, _ in sample.hits if number in self.span}
        return sorted(hits.union(*(reply.ids for _, reply in self.read)))

    @property
    def numbered(self) -> bool:
        """True unless rows arrived without ids."""
        sampled_ids = all(sample.hits or not sample.rows for sample in self.samples)
        return sampled_ids and all(reply.by_ids for _, reply in self.read)

    def estimate(self) -> Estimate:
        """Estimate the number of rows."""
        unknown = [self.span]
        for window, _ in self.read:
            unknown = [part for ids in unknown for part in _without(ids, window)]
        rows, known = sum(len(reply.rows) for _, reply in self.read), len(self.ids)
        if not self.samples:  # they failed, so every unknown id may exist
            return Estimate(rows, rows, rows + sum(map(len, unknown)))
        rest = estimated(self.samples, unknown)
        return Estimate(max(rows + rest.about, known), max(rows + rest.least, known), max(rows + rest.most, known))

    def stretches(self) -> list[tuple[IdRange, float]]:
        """Return ranges of ids in order, each with its approximate number of rows.

        A sampled row stands for the ids after the sampled row before it.
        """
        if not self.numbered:
            blocks: dict[IdRange, list[Sample]] = {window: [] for window, _ in self.read[:1]}
            for sample in self.samples:
                blocks.setdefault(sample.block, []).append(sample)
            exact = {window: len(reply.rows) for window, reply in self.read}
            rows = {block: exact.get(block) or estimated(samples, [block]).about for block, samples in blocks.items()}
            return [
                (ids, rows[block] * len(ids) / len(block))
                for block in sorted(blocks, key=lambda block: block.first)
                if rows[block] and (ids := block.intersection(self.span))
            ]
        last_read = self.read[0][0].last if self.read else self.span.first - 1
        weights = [(number, 1.0) for _, reply in self.read[:1] for number in reply.ids]
        if last_read < self.span.last:
            numbers, weight = placed(self.samples, IdRange(last_read + 1, self.span.last))
            weights += [(number, weight) for number in numbers]
        firsts = [self.span.first, *(number + 1 for number, _ in weights)]
        return [
            (IdRange(first, number), rows)
            for first, (number, rows) in zip(firsts, weights, strict=False)
            if first <= number
        ]

    @property
    def middle(self) -> int:
        """An id with about the same number of rows below and above it."""
        stretches = self.stretches()
        half, below = sum(rows for _, rows in stretches) / 2, 0.0
        for ids, rows in stretches:
            below += rows
            if below >= half:
                return ids.last
        return self.span.first


def take_survey(walk: Walk, span: IdRange, choice: Choice, kinds: frozenset[str] = EVERY) -> Flow[Survey]:
    """Read the first ids of a list, and sample the rest.

    Args:
        walk: how the list is walked.
        span: the ids to survey, inclusive.
        choice: the strategy, and a known row if there is one already.
        kinds: the kinds of patterns to sample with where rows carry no ids.

    Raises:
        RemoteError: a call failed.
    """
    low = IdRange(span.first, min(span.last, span.first - span.first % FIRST + FIRST - 1))
    gaps = Gaps(walk.key, walk.operation, choice.known, plain=not walk.candidates, patient=True)
    survey = Survey(span, choice.strategy, choice.known, gaps, [], [])
    reply = yield from _read(walk, low, survey)
    if reply and reply.rows:
        if survey.known is None and needs_canary(survey.strategy):
            survey.known = yield from find_known_row(reply, low, walk.key)
        gaps.record_page(reply.tokens, low)
    if low.last < span.last:
        numbered = not reply or reply.by_ids
        survey.samples = yield from gaps.take_samples(IdRange(low.last + 1, span.last), EVERY if numbered else kinds)
    return survey


def _read(walk: Walk, window: IdRange, survey: Survey, strategy: Strategy | None = None) -> Flow[Reply | None]:
    """Read a window, by the walk's strategy if possible; None where a row breaks the reply or it is too large."""
    unverified = needs_canary(survey.strategy) and survey.known is None
    if strategy is None:  # one bound alone would return the whole rest of the table
        strategy = survey.strategy
        if unverified or isinstance(strategy, SingleFilter | Prefix):
            strategy = Prefix(walk.key) if window.first else SingleFilter(walk.key)
    answer = yield from attempt(WindowRequest(strategy, window, survey.known))
    if not isinstance(answer, RemoteError):
        survey.read.append((window, answer))
        return answer
    if action(answer, narrowed=True) == "stop":
        raise answer
    return None


def _measure(walk: Walk, span: IdRange, survey: Survey) -> Flow[tuple[IdRange, Reply] | None]:
    """Read a window in the middle of the rows; where its size is unknown, use the first window instead."""
    hits = sorted(number for sample in survey.samples for number, _ in sample.hits if number in span)
    middle, stretches = survey.middle, survey.stretches()
    last_read = survey.read[0][0].last if survey.read else span.first - 1
    if not hits or not survey.numbered or middle <= last_read:
        return survey.read[0] if survey.read else None
    place = bisect_left(hits, middle)
    density = 0.0  # the higher of those below and above, because there may be a gap on one side
    for around in (hits[max(0, place - NEIGHBOURS) : place + 1], hits[place : place + NEIGHBOURS + 1]):
        if len(around) > 1:
            rows = sum(rows for ids, rows in stretches if around[0] < ids.last <= around[-1])
            density = max(density, rows / (around[-1] - around[0] + 1))
    density = density or 1 / len(span)
    width = int(10 ** (len(str(int(ROWS_TO_COUNT / min(1.0, density)))) - 1))
    width = min(width, widest(survey.strategy))
    while width:
        first = max(middle - middle % width, last_read + 1)
        window = IdRange(first, min(middle - middle % width + width - 1, span.last))
        if (yield from _read(walk, window, survey)) is not None:
            break
        width //= 100
    return survey.read[-1] if survey.read else None


def _prove_the_end(walk: Walk, span: IdRange, survey: Survey) -> Flow[bool]:
    """Request all rows above the highest id met; where rows carry none, above the last length of ids with rows."""
    if span.last < MAX_ID or not survey.read or not survey.samples:
        return False
    top = max((ids.last for ids, _ in survey.stretches()), default=survey.read[0][0].last)
    top = max([top, *survey.ids[-1:], survey.read[0][0].last])
    if top == MAX_ID:
        return True
    return (yield from _read(walk, IdRange(top + 1, MAX_ID), survey, SingleFilter(walk.key))) is not None


def _costs(survey: Survey, measured: tuple[IdRange, Reply] | None) -> tuple[float, float, float, float | None]:
    """Return rows per id, seconds per call and per row, and bytes per row (None if not counted)."""
    per_call = min((reply.waited or reply.seconds for _, reply in survey.read), default=0.0)
    if measured is None or not measured[1].rows:
        return 1.0, per_call, 0.0, None
    window, reply = measured
    rows = len(reply.rows)
    received = None if reply.received is None else reply.received / rows
    return rows / len(window), per_call, max(0.0, reply.seconds - per_call * reply.calls) / rows, received


def _without(ids: IdRange, window: IdRange) -> Iterator[IdRange]:
    """Yield the ids outside a window.

    >>> [str(part) for part in _without(IdRange(0, 99), IdRange(50, 59))]
    ['0-49', '60-99']
    """
    if ids.first < window.first:
        yield IdRange(ids.first, min(ids.last, window.first - 1))
    if ids.last > window.last:
        yield IdRange(max(ids.first, window.last + 1), ids.last)


def _steady(pace: Pace, density: float, per_call: float, per_row: float) -> Pace:
    """Return the pace that a walk reaches after some windows."""
    for _ in range(12):
        ids = IdRange(0, max(pace.width, ceil(1 / density)) - 1)
        rows = max(1, round(len(ids) * density))
        pace = pace.after(ids, rows, per_call + rows * per_row)
    return pace


def shown(query: Query) -> str:
    """Return a query as one line, shortened if it is long.

    >>> from magento_pager.walk.conditions import Condition, Query
    >>> shown(Query((Condition("entity_id", "in", "1,2," * 99),), IdRange(1, 2)))[-20:]
    '2,1,2,1,2,1,2,1,2...'
    """
    text = str(query)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def _size(count: int) -> str:
    """Return a number of bytes as text, in a suitable unit.

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
    """Return a number of seconds as text.

    >>> duration(3.21), duration(75), duration(7_384)
    ('3 s', '1 min 15 s', '2 h 3 min')
    """
    whole = max(1, round(seconds))
    minutes, hours = whole // 60, whole // 3600
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
