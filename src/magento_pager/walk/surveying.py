"""How many rows there are, about, and where: a survey of the ids of a list by few and small calls.

What lives here: the samples, what follows from them, and the choice of the next one. What a walk costs is not known.

The API cannot count. So ids are sampled: all up to 999 in one call, then for each length of ids one `like` that
takes 10 neighbours out of each of 90 even strata: at most 900 rows, whatever the table. What is found in a stratum is
scaled up to it. Where neighbouring strata differ, as at the end of a table, the stratum is sampled again, more finely.
At last one bound asks for everything above the highest id that was met; by then little or nothing is left there, so
that call proves the end.

How far to trust the figure: the bar is two standard errors wide on either side. The error is estimated from how far
neighbouring strata differ (which takes an end within a stratum for what it is), and above that as many rows are allowed
for as may hide among strata in which none was met, were they scattered. What no sample shows, and the bar does not
cover: a dense stretch shorter than the distance between two samples, in the middle of emptiness; and rows at even
distances of 100 or more, which samples of fixed digits all meet or all miss.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from math import ceil, sqrt
from random import Random
from typing import TYPE_CHECKING, cast

from magento_pager.errors import RemoteError
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.strategies import Prefix, SingleFilter

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from magento_pager.walk.reading import Reader, Row, Source

MOST_ROWS = 1_000  # in one reply
RUN = 10  # neighbours that are sampled in a stratum
TAIL = 400  # rows that may be expected of the call that proves the end
FINE = 7  # digits: where ids of this length or more show no row, they are sampled more finely before that call
CLOSE = 0.02  # of the rows: a standard error that is small enough
NEAR = 10  # rows: and so is one of no more than these
FULL = 0.4  # rows per id in a run that shows an edge, beside one with none
LATELY = 20  # strata that say how thinly rows lie
MOST_AGAIN = 6  # samples of the same strata
STEP = "37173717"  # the first digits of it, however many, go through all numbers of as many digits
HIDDEN = 3.0  # of so many rows in a sample none is met in one case of twenty


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was sampled.

    Attributes:
        about: the best guess.
        least: the low end of the bar.
        most: its high end; all three are the same where the number is known.

    >>> print(Estimate(98_213, 90_214, 105_871), Estimate(7, 7, 7), sep="; ")
    about 98,000 (between 90,200 and 106,000); 7
    """

    about: int
    least: int
    most: int

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.about:,}"
        least, most = rounded(self.least, up=False), rounded(self.most, up=True)
        return f"about {rounded(self.about):,} (between {least:,} and {most:,})"


@dataclass(frozen=True, slots=True)
class Stratum:
    """A stretch of ids, and what a sample of it held.

    Attributes:
        ids: the stretch, inclusive.
        sampled: how many ids were looked at.
        found: how many of them exist.
        run: where they lie, inclusive; None where they are spread over the stretch.
    """

    ids: IdRange
    sampled: int
    found: int
    run: IdRange | None = None

    @property
    def exact(self) -> bool:
        """True where every id was looked at."""
        return self.sampled == len(self.ids)

    @property
    def density(self) -> float:
        """Rows per id."""
        return self.found / self.sampled

    @property
    def rows(self) -> float:
        """Rows of the stretch, scaled up."""
        return self.density * len(self.ids)

    @property
    def uncertainty(self) -> float:
        """The variance of its rows as far as this sample tells: its runs are there or not, each as a whole."""
        runs = max(1, self.sampled // RUN)
        share = 1 - self.sampled / len(self.ids)
        return len(self.ids) ** 2 * share * self.density * (1 - self.density) / runs


@dataclass(frozen=True, slots=True)
class Survey:
    """What is known of the ids of a list.

    Attributes:
        strata: they cover the ids, in order.
        met: rows that were seen, each counted once where rows carry ids.
        first_id: the lowest id that was met; None where rows carry none.
        last_id: the highest.
        proved: True where no row is above `last_id` (rows without ids: above the last stratum that holds some).
        surprised: True where the call that should have proved it brought more rows than any sample had shown.
        calls: that were made.
    """

    strata: tuple[Stratum, ...]
    met: int
    first_id: int | None
    last_id: int | None
    proved: bool
    surprised: bool
    calls: int

    @property
    def rows(self) -> Estimate:
        """How many there are."""
        about = round(sum(one.rows for one in self.strata))
        error = 2 * sqrt(sum(variances(self.strata)))
        sampled = [one for one in self.strata if not one.exact]
        unseen = _unseen([one for one in sampled if one.found])  # rows that may be missing, or more than there seem
        hidden = unseen + _unseen([one for one in sampled if not one.found])
        least, most = max(self.met, round(about - error - unseen)), round(about + error + hidden)
        if self.surprised:
            most = max(10 * most, 10 * about)
        most = min(most, sum(one.found if one.exact else len(one.ids) for one in self.strata))
        return Estimate(max(about, self.met), least, max(most, about, self.met))

    @property
    def highest(self) -> int:
        """The highest id there can be, as far as was seen; -1 where there is none."""
        if self.last_id is not None:
            return self.last_id
        return max((one.ids.last for one in self.strata if one.found), default=-1)


def variances(strata: Sequence[Stratum]) -> list[float]:
    """For each stratum what it adds to the variance of the number of rows.

    Neighbours whose densities differ say how far off a sample may be. Strata that are known exactly say nothing of
    others. Without a neighbour, its own sample must do.

    >>> strata = [Stratum(IdRange(n, n + 99), 10, met, IdRange(n, n + 9)) for n, met in ((100, 10), (200, 5), (300, 0))]
    >>> variances(strata), variances([strata[0], strata[2]])
    ([1125.0, 1125.0, 1125.0], [4500.0, 4500.0])
    """
    found = []
    for place, one in enumerate(strata):
        beside = [strata[at] for at in (place - 1, place + 1) if 0 <= at < len(strata)]
        steps = [(one.density - other.density) ** 2 for other in beside if other.run and not other.exact]
        if one.exact:
            found.append(0.0)
        elif one.run and steps:
            free = 1 - one.sampled / len(one.ids)
            found.append(round(len(one.ids) ** 2 * free * sum(steps) / len(steps) / 2, 6))
        else:
            found.append(one.uncertainty)
    return found


def survey(reader: Reader, span: IdRange, most: int, *, prove: bool = True) -> Survey:
    """Sample the ids of a list.

    Args:
        reader: reads it.
        span: the ids to look at, inclusive.
        most: calls at most; 8 are needed to see every length of ids.
        prove: ask for what is above the highest id that was met, where `span` has no end of its own.

    Raises:
        RemoteError: a call failed.
    """
    surveyor = _Surveyor(reader, span, most)
    surveyor.look()
    if prove and span.last == MAX_ID:
        surveyor.end()
    surveyor.refine()
    return surveyor.seen


@dataclass(slots=True)
class Metered:
    """A source that counts calls and takes their time."""

    source: Source
    times: list[tuple[float, int]] = field(default_factory=list)

    @property
    def bytes_received(self) -> int | None:
        """As the source says; None where it does not."""
        return getattr(self.source, "bytes_received", None)

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call."""
        began, rows = time.monotonic(), 0
        try:
            with closing(self.source.fetch(query)) as reply:
                for row in reply:
                    rows += 1
                    yield row
        finally:
            self.times.append((time.monotonic() - began, rows))


class _Surveyor:
    """The strata of a list, and the calls that make them finer."""

    def __init__(self, reader: Reader, span: IdRange, most: int) -> None:
        self._meter = Metered(reader.source)
        self._reader = replace(reader, source=self._meter, repairing=None)
        self._span = span
        self._most = most
        self._strata: list[Stratum] = []
        self._ids: set[int] = set()  # met; a few thousand at most
        self._without_ids = 0
        self._proved = False
        self._surprised = False
        self._overflowed = 0
        self._blocks: dict[IdRange, int] = {}  # that were sampled, and how often

    @property
    def seen(self) -> Survey:
        """What is known by now."""
        met = len(self._ids) or self._without_ids
        first, last = min(self._ids, default=None), max(self._ids, default=None)
        return Survey(tuple(self._strata), met, first, last, self._proved, self._surprised, len(self._meter.times))

    @property
    def _left(self) -> int:
        return self._most - len(self._meter.times)

    def look(self) -> None:
        """All ids up to 999, and a sample of each length of ids."""
        for digits in range(3, len(str(MAX_ID)) + 1):
            block = IdRange(0 if digits == 3 else 10 ** (digits - 1), min(10**digits - 1, MAX_ID))  # noqa: PLR2004
            if within := block.intersection(self._span):
                self._strata += self._sampled(_around(within) if digits > 3 else block)  # noqa: PLR2004

    def end(self) -> None:
        """Prove what the highest id is."""
        for digits in range(FINE, len(str(MAX_ID)) + 1):
            block = IdRange(10 ** (digits - 1), min(10**digits - 1, MAX_ID))
            inside = [one for one in self._strata if one.ids in block]
            if self._left > 1 and inside and not any(one.found for one in inside):
                self._sample_finely(block)
        while self._left > 0 and not self._asked_for_the_rest():
            pass

    def refine(self) -> None:
        """Sample again where the number of rows is least sure: an edge more finely, else the same strata elsewhere."""
        while self._left > 0:
            added = variances(self._strata)
            error, rows = sqrt(sum(added)), sum(one.rows for one in self._strata)
            if error <= CLOSE * rows or error < NEAR:
                return
            if (edge := self._edge(added)) is not None:
                self._make_finer(edge)
            elif not self._sampled_again(added):
                return

    def _edge(self, added: Sequence[float]) -> int | None:
        """Where rows begin or end in the middle of a stratum that matters; None where there is no such place.

        Only a full run beside an empty one tells so. To sample those again that happen to differ would bend the
        figure: of rows that are thinly spread, strata that show some show more than there are.
        """
        edges = [
            (added[place] + added[place + 1], place if len(one.ids) >= len(other.ids) else place + 1)
            for place, (one, other) in enumerate(pairwise(self._strata))
            if one.run and other.run and min(one.found, other.found) == 0
            if max(one.density, other.density) >= FULL and max(len(one.ids), len(other.ids)) > RUN * RUN
        ]
        share, place = max(edges, default=(0.0, 0))
        return place if share > sum(added) / 50 else None

    def _sampled_again(self, added: Sequence[float]) -> bool:
        """Take other ids of all strata of the block that adds most to the error; False where that is no use."""
        by_block: dict[IdRange, float] = {}
        for one, share in zip(self._strata, added, strict=True):
            block = next((block for block in self._blocks if one.ids in block), None)
            if block is not None and one.run:
                by_block[block] = by_block.get(block, 0.0) + share
        block = max(by_block, key=by_block.__getitem__, default=None)
        if block is None or self._blocks[block] >= MOST_AGAIN:
            return False
        places = {one.ids: place for place, one in enumerate(self._strata) if one.run and not one.exact}
        for one in self._sampled(block):
            if (place := places.get(one.ids)) is not None:
                before = self._strata[place]
                self._strata[place] = replace(
                    before, sampled=before.sampled + one.sampled, found=before.found + one.found
                )
        return True

    def _asked_for_the_rest(self) -> bool:
        """Ask for all above the highest id that was met, or first sample again where too many may be there."""
        place = max((at for at, one in enumerate(self._strata) if one.found), default=-1)
        top = self._strata[place].ids.last if place >= 0 else self._span.first - 1
        if self._ids:
            top = max(self._ids)
            place = bisect_right([one.ids.first for one in self._strata], top) - 1
            if (doubtful := self._doubtful(place, top)) is not None:
                self._make_finer(doubtful)
                return False
        if top >= MAX_ID:
            self._proved = True
            return True
        (query,) = SingleFilter(self._reader.key).queries(IdRange(top + 1, MAX_ID), None)
        with closing(cast("Generator[int | str]", self._reader.tokens(query))) as tokens:
            met = set(islice(tokens, MOST_ROWS + 1))
        self._note(met)
        if len(met) > MOST_ROWS:  # they hid from all samples
            return not self._looked_around(top, sorted(token for token in met if isinstance(token, int)))
        rest = IdRange(top + 1, MAX_ID)
        below = [_cut(one, IdRange(0, top)) for one in self._strata if one.ids.first <= top]
        self._strata = [*below, Stratum(rest, len(rest), len(met))]
        self._proved = True
        return True

    def _doubtful(self, place: int, top: int) -> int | None:
        """The stratum to sample more finely before all above `top`, which lies in that at `place`, may be asked for."""
        one = self._strata[place]
        density = max(beside.density for beside in self._strata[max(0, place - 1) : place + 1])
        if one.exact:  # the end was seen, unless it is the stratum's own
            if top + NEAR / max(density, 0.01) < one.ids.last:
                return None
            place += 1
        elif len(one.ids) / one.sampled * HIDDEN > TAIL:  # thin rows may go on so far
            return place
        ahead = [(at, one) for at, one in enumerate(self._strata[place:], place) if one.run and not one.exact]
        behind = next((one.run.first for _, one in ahead if one.run and one.run.first > top), None)
        if behind is None:
            return None
        lately = self._strata[max(0, place - LATELY) : place + 1]
        thinly = sum(one.found for one in lately) / sum(one.sampled for one in lately)
        runs = ceil(1 / max(thinly * RUN, 1e-3))  # so many may be empty by chance
        for dense, end in ((density, behind), (thinly, [one.ids.last for _, one in ahead][:runs][-1])):
            inside = [
                (len(shared), at)
                for at, one in ahead
                if end > top and (shared := one.ids.intersection(IdRange(top, end)))
            ]
            if dense * sum(length for length, _ in inside) > TAIL:
                return max(inside)[1]
        return None

    def _looked_around(self, top: int, met: Sequence[int]) -> bool:
        """Sample more finely around rows that no sample had shown; False where that is no use."""
        self._surprised = True
        self._overflowed += 1
        at = bisect_right([one.ids.first for one in self._strata], met[len(met) // 2]) - 1 if met else -1
        if at < 0 or self._strata[at].exact or self._overflowed > 2:  # noqa: PLR2004  twice is enough
            return False
        self._make_finer(at)
        above = sum(one.rows for one in self._strata if one.ids.first > top)
        self._surprised = above < MOST_ROWS / 2
        return True

    def _make_finer(self, place: int) -> None:
        """Put finer strata in the place of one, and of those beside it in the same decimal block."""
        ids = self._strata[place].ids
        block = _around(ids)
        wider = _tenfold(block)
        if all(len(one.ids) <= len(block) for one in self._strata if one.ids in wider):
            block = wider
        inside = [at for at, one in enumerate(self._strata) if one.ids in block and not one.exact]
        covered = IdRange(self._strata[inside[0]].ids.first, self._strata[inside[-1]].ids.last)
        finer = [_cut(one, covered) for one in self._sampled(block) if one.ids.intersection(covered)]
        self._strata[inside[0] : inside[-1] + 1] = finer

    def _sample_finely(self, block: IdRange) -> None:
        """Look for dense stretches in ids of one length that seem to be empty: ten neighbours of every ten thousand."""
        digits = len(str(block.first))
        spot = self._digits(3, block)
        tokens = self._reader.sample(self._like("_" * (digits - 4) + spot + "_", block)).tokens
        self._note(set(tokens))
        numbers = sorted(token for token in tokens if isinstance(token, int))
        if len(numbers) < len(tokens):
            place = next(at for at, one in enumerate(self._strata) if one.ids in block)
            self._strata[place] = Stratum(block, len(block) // 1_000, len(tokens))
        for number in numbers:
            place = bisect_right([one.ids.first for one in self._strata], number) - 1
            if not self._strata[place].found and not self._strata[place].exact and self._left > 1:
                self._make_finer(place)

    def _sampled(self, block: IdRange) -> list[Stratum]:
        """The strata of a decimal block, or of all ids of one length: every id, or ten neighbours out of each."""
        within = block.intersection(self._span) or block
        if len(block) <= MOST_ROWS:
            strategy = SingleFilter(self._reader.key) if block.first == 0 else Prefix(self._reader.key)
            (query,) = strategy.queries(block, None)
            tokens = self._reader.sample(query).tokens
            self._note(set(tokens))
            numbers = [token for token in tokens if isinstance(token, int)]
            if len(numbers) < len(tokens) and within != block:
                return [Stratum(within, len(within), round(len(tokens) * len(within) / len(block)))]
            inside = sum(number in within for number in numbers) if numbers else len(tokens)
            return [Stratum(within, len(within), inside)]
        prefix = block.prefix()
        free = len(str(block.first)) - len(prefix)
        fixed, tokens = self._some_of_each(block, prefix, free)
        self._note(set(tokens))
        width = 10 ** (free - 2)
        runs = [
            (IdRange(first, min(first + width - 1, block.last)), first + int(fixed or "0") * RUN)
            for first in range(block.first, block.last + 1, width)
        ]
        numbers = sorted(token for token in tokens if isinstance(token, int))
        if len(numbers) < len(tokens):
            share = len(within) / len(block)
            return [Stratum(within, max(1, round(len(runs) * RUN * share)), round(len(tokens) * share))]
        strata = []
        for ids, start in runs:
            found = bisect_right(numbers, ids.last) - bisect_right(numbers, ids.first - 1)
            if ids.intersection(within):
                strata.append(_cut(Stratum(ids, RUN, found, IdRange(start, start + RUN - 1)), within))
        return strata

    def _some_of_each(self, block: IdRange, prefix: str, free: int) -> tuple[str, tuple[int | str, ...]]:
        """The digits that were fixed, and the rows that came; other digits where a row breaks its reply."""
        for last in (False, False, True):
            fixed = self._digits(free - 3, block)
            self._blocks[block] = self._blocks.get(block, 0) + 1
            try:
                return fixed, self._reader.sample(self._like(f"{prefix}__{fixed}_", block)).tokens
            except RemoteError as error:
                if last or error.remedy not in {"split", "isolate"}:
                    raise
        raise AssertionError

    def _digits(self, count: int, block: IdRange) -> str:
        """Digits to fix: other ones each time, and the same ones in the same survey of the same list."""
        start = Random(f"{block}/{count}").randrange(10**count)  # noqa: S311  no secret: an even spread
        often = self._blocks.get(block, 0)
        return f"{(start + often * int(STEP[:count] or 0)) % 10**count:0{count}d}" if count else ""

    def _note(self, tokens: set[int | str]) -> None:
        """Remember what was met."""
        numbers = {token for token in tokens if isinstance(token, int)}
        self._ids |= {number for number in numbers if number in self._span}
        self._without_ids += len(tokens) - len(numbers)

    def _like(self, pattern: str, block: IdRange) -> Query:
        return Query((Condition(self._reader.key, "like", pattern),), block)


def _unseen(strata: Sequence[Stratum]) -> float:
    """So many ids of these may be unlike all that were sampled."""
    return HIDDEN * sum(len(one.ids) for one in strata) / max(1, sum(one.sampled for one in strata))


def _cut(stratum: Stratum, within: IdRange) -> Stratum:
    """What of a stratum lies within a range, which has some of it."""
    ids = stratum.ids.intersection(within)
    if ids is None or ids == stratum.ids:
        return stratum
    if stratum.exact:
        return Stratum(ids, len(ids), min(len(ids), stratum.found))
    return replace(stratum, ids=ids, sampled=min(stratum.sampled, len(ids)), found=min(stratum.found, len(ids)))


def _around(ids: IdRange) -> IdRange:
    """The smallest decimal block, or length of ids, that holds ids of one length.

    >>> str(_around(IdRange(1200, 1234))), str(_around(IdRange(1999, 4000))), str(_around(IdRange(77, 77)))
    ('1200-1299', '1000-9999', '77-77')
    """
    shared, digits = ids.prefix(), len(str(ids.first))
    low = int(shared.ljust(digits, "0")) if shared else 10 ** (digits - 1)
    return IdRange(low, min(int(shared.ljust(digits, "9")), MAX_ID))


def rounded(number: int, *, up: bool | None = None) -> int:
    """The nearest number of two significant digits, or the next of three down or up.

    >>> rounded(98_213), rounded(98_213, up=True), rounded(98_813, up=False), rounded(7)
    (98000, 98300, 98800, 7)
    """
    power: int = 10 ** max(0, len(str(number)) - (2 if up is None else 3))
    if up is None:
        return (number + power // 2) // power * power
    return -(-number // power) * power if up else number // power * power


def _tenfold(block: IdRange) -> IdRange:
    """The ids of one length, among them a block, that share one digit less.

    >>> str(_tenfold(IdRange(1200, 1299))), str(_tenfold(IdRange(1000, 1999))), str(_tenfold(IdRange(77, 77)))
    ('1000-1999', '1000-9999', '70-79')
    """
    width, digits = 10 * len(block), len(str(block.first))
    first = block.first - block.first % width
    return IdRange(max(first, 10 ** (digits - 1)), min(first + width, 10**digits, MAX_ID + 1) - 1)
