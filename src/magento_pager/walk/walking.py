"""One walk over the ids, with a strategy that is taken at its word.

What lives here: the loop from window to page, the crossing of emptiness, and the end of the walk. Reading a window is
the reader's work, and whether the server honours the strategy was found out before.

The walk holds two strategies: the one asked for, which carries rows, and one that holds on every server and crosses
what the first cannot (windows wider than it takes, and the time before an id is known that may serve as its canary).
It ends when every id up to the last has been covered by an answered query: an empty page proves nothing about what
follows it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from magento_pager.errors import FilterIgnoredError, PagerError
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.strategies import InList, Prefix, Regexp, SingleFilter, Strategy
from magento_pager.walk.windows import SMALL, WIDEST, Goal, Pace, apart, crowd, further, narrowed, sounding

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from magento_pager.walk.reading import Known, Reader, Reply, Row, Token

WIDEST_BY_DEFAULT = 10_000
DEFAULT_GOAL = Goal()
CURSOR_VERSION = 1
COMPARED_EVERY = 16  # pages of rows without ids
REMEMBERED = 32_768  # rows without ids that soundings recognise as lying behind


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a walk stands: plain values, fit for JSON.

    Attributes:
        operation: the list that is walked; a cursor of another is refused.
        next_id: the first id not yet covered, inclusive; above `last_id` when the walk is done.
        last_id: the last id to cover, inclusive, frozen when the walk began.
        version: of this form.
    """

    operation: str
    next_id: int
    last_id: int
    version: int = CURSOR_VERSION


@dataclass(frozen=True, slots=True)
class PageStats:
    """What a page cost.

    Attributes:
        strategy: the name of the one that carries rows on this walk.
        asked_by: the name of the one that asked for this window: the same, or one that crosses what that cannot.
        calls: requests answered for it, soundings and probes before it included.
        empty_calls: those of them that brought no row.
        seconds: spent waiting for and reading the answers.
        by_ids: True where every row was checked by its own id; False where rows carry none.
    """

    strategy: str
    asked_by: str
    calls: int
    empty_calls: int
    seconds: float
    by_ids: bool = True


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that is left out because every reply it is in fails, while others arrive.

    Attributes:
        id: its id.
        reason: the server's words, or what is wrong with its reply.
    """

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one window: whole, checked and sorted.

    Attributes:
        window: the ids covered, inclusive.
        rows: all rows of the window, by id; by identity where rows carry no id. May be empty.
        cursor: where the walk goes on once this page is safe.
        stats: what it cost.
        quarantined: ids of the window whose rows are left out, with the reason.
        repaired: ids of the window whose rows are only readable after characters were taken out that XML forbids.
    """

    window: IdRange
    rows: tuple[Row, ...]
    cursor: Cursor
    stats: PageStats
    quarantined: tuple[Quarantined, ...] = ()
    repaired: tuple[int, ...] = ()

    def with_calls(self, more: int) -> Page:
        """The same page, before which so many more calls were made."""
        return replace(self, stats=replace(self.stats, calls=self.stats.calls + more))


@dataclass(slots=True)
class _Cost:
    """What was spent on the page to come."""

    began: float = field(default_factory=time.monotonic)
    calls: int = 0
    empty_calls: int = 0

    def add(self, reply: Reply) -> None:
        self.calls += reply.calls
        self.empty_calls += reply.empty_calls


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk with one strategy.

    Attributes:
        reader: reads windows.
        strategy: carries the rows.
        window: ids in each window with rows, at least 1; None to aim at `goal`.
        goal: rows and seconds that a call should bring, where `window` is None.
    """

    reader: Reader
    strategy: Strategy
    window: int | None = None
    goal: Goal = DEFAULT_GOAL

    @property
    def pace(self) -> Pace:
        """How wide the first window is."""
        return Pace.start(self.goal, self.window, decimal=getattr(self.strategy, "decimal", False))

    def pages(self, cursor: Cursor, known: Known | None = None) -> Iterator[Page]:
        """The pages from a cursor to its last id, empty ones included.

        Args:
            cursor: where to begin.
            known: a row that may serve as a canary, where one is known already.

        Raises:
            PagerError: the walk cannot go on; its `cursor` says where to resume.
        """
        pace = self.pace
        before: frozenset[object] = frozenset()  # what the rows of the last page are known by, where they have no ids
        behind: dict[Token, None] = {}  # and those of the last pages, in order
        compared = 0
        untouched = cursor.next_id == 0  # no row lies below the cursor
        while cursor.next_id <= cursor.last_id:
            cost = _Cost()
            proposed = pace.window(cursor.next_id, cursor.last_id)
            try:
                window, blind = self._sounded(proposed, pace, cursor.last_id, behind, cost)
                strategy = self._strategy_for(window, known, untouched=untouched and len(window) > pace.safe)
                began = time.monotonic()
                reply = self.reader.read(strategy, _asked(strategy, window, untouched=untouched), known)
                seconds = time.monotonic() - began
                cost.add(reply)
                if below := [number for number in reply.ids if number < window.first]:
                    self._check_inserted(below[0])
                if not reply.by_ids:
                    before = self._check_unlike(before, reply, window)
                    if strategy is self.strategy and compared % COMPARED_EVERY == 0:
                        self._compare(reply, window, cost)
                    compared += strategy is self.strategy
                if reply.rows and known is None and window.last < cursor.last_id:
                    known = self._canary(reply, window)
            except PagerError as error:
                error.cursor = cursor
                raise
            if not reply.by_ids and self.window and len(window) > self.window:
                before = frozenset()
                pace = pace.at_rows()  # too wide for the user, and rows without ids cannot be cut into narrower pages
                continue
            untouched = untouched and not reply.rows
            if not reply.by_ids:
                behind = dict.fromkeys([*behind, *reply.tokens][-REMEMBERED:])
            paced, pace = pace, pace.after(window, len(reply.rows), seconds)
            if not reply.rows and window.last < proposed.last:  # a sounding met rows behind this emptiness
                pace = paced.steady(window) if blind else paced.at_rows()
            for page in self._pages(window, reply, cursor, self._stats(strategy, reply, cost)):
                cursor = page.cursor
                yield page

    def _stats(self, strategy: Strategy, reply: Reply, cost: _Cost) -> PageStats:
        seconds = time.monotonic() - cost.began
        return PageStats(self.strategy.name, strategy.name, cost.calls, cost.empty_calls, seconds, reply.by_ids)

    def _strategy_for(self, window: IdRange, known: Known | None, *, untouched: bool) -> Strategy:
        """The strategy asked for, or one that holds everywhere where that one cannot take the window.

        To the end of all ids one bound is enough (and a key range); so it is across emptiness as long as no row is
        below. Elsewhere `prefix` crosses, or where lists are split `regexp`, which came before that and takes one call
        instead of one per decimal block.
        """
        takes = len(window) <= getattr(self.strategy, "widest", WIDEST_BY_DEFAULT)
        sure = known is not None or not getattr(self.strategy, "needs_canary", False)
        scans = getattr(self.strategy, "decimal", False)
        if takes and sure and not (scans and (window.last == MAX_ID or untouched)):
            return self.strategy
        if window.last == MAX_ID or untouched:
            return SingleFilter(self.reader.key)
        return Regexp(self.reader.key) if isinstance(self.strategy, InList) and known else Prefix(self.reader.key)

    def _sounded(
        self, window: IdRange, pace: Pace, last: int, behind: Container[Token], cost: _Cost
    ) -> tuple[IdRange, bool]:
        """What may be asked for at once: less than `window` where a sounding met too much, more where none met any.

        Soundings take whole decimal blocks. Of rows without ids, those of pages before are known not to lie ahead.

        Returns:
            The window, and whether rows were met of which nobody knows where they are.
        """
        blind = False
        sounded: IdRange | None = window
        while sounded and len(window) > pace.safe:
            below, met, found, by = WIDEST, 0, list[int](), None
            while asked := sounding(sounded, pace, self.reader.key, below=below, since=window.first):
                if by and crowd(found, by, asked) > max(pace.allowance, SMALL // 2):
                    sounded, by = apart(sounded, found), None  # else what lies behind the window would come, in plenty
                    continue
                reply = self.reader.sample(asked.query)
                cost.add(reply)
                found, by = reply.ids, asked
                inside = [number for number in reply.ids if number in sounded]
                count = len(inside) if reply.by_ids else sum(token not in behind for token in reply.tokens)
                before, sounded = sounded, narrowed(sounded, asked, inside or None, count, pace)
                blind, met = blind or (not reply.by_ids and count > 0), met + count
                # Without ids nobody knows where in the window the rows are: what is left is sounded as finely again.
                below = asked.spacing + (sounded != before and not reply.by_ids)
            window = IdRange(window.first, sounded.last)
            sounded = None if met else further(sounded, last)
        return window, blind

    def _canary(self, reply: Reply, window: IdRange) -> Known | None:
        """A row that serves as a canary from now on, where the strategy needs one."""
        return self.reader.acquaintance(reply, window) if getattr(self.strategy, "needs_canary", False) else None

    def _check_inserted(self, number: int) -> None:
        """A row below an emptiness must be a new one: what was there before, `like` would have brought."""
        one = IdRange(number, number)
        if number not in self.reader.read(Prefix(self.reader.key), one).ids:
            raise FilterIgnoredError(
                f"{self.reader.operation}: row {number} exists, and `like` does not bring it: this server honours no "
                "filter that a walk could rest on, as with WS-I on Magento 1.5.1 to 1.6.2; switch WS-I off there",
                span=one,
            )

    def _check_unlike(self, before: frozenset[object], reply: Reply, window: IdRange) -> frozenset[object]:
        """What the rows are known by, once none of them was on the page before: the only sign of a dropped bound."""
        tokens = frozenset(reply.tokens)
        if again := before & tokens:
            raise FilterIgnoredError(
                f"{self.reader.operation}: {self.reader.identity_field} {min(map(str, again))} came twice around ids "
                f"{window}: the server dropped a condition; use another strategy (prefix holds on every version)",
                span=window,
            )
        return tokens

    def _compare(self, reply: Reply, window: IdRange, cost: _Cost) -> None:
        """Ask again with `prefix`: without ids, rows that are missing show in no other way."""
        for _ in range(2):  # a row that comes or goes between two calls is no lie
            other = self.reader.read(Prefix(self.reader.key), window)
            cost.add(other)
            if other.tokens == reply.tokens:
                return
            reply = self.reader.read(self.strategy, window)
            cost.add(reply)
        raise FilterIgnoredError(
            f"{self.reader.operation}: {self.strategy.name} brought {len(reply.rows)} rows for ids {window}, prefix "
            f"{len(other.rows)}: the server misreads a condition; use the strategy prefix",
            span=window,
        )

    def _pages(self, window: IdRange, reply: Reply, cursor: Cursor, stats: PageStats) -> Iterator[Page]:
        """The reply as one page; cut at the user's own width where a window over emptiness met rows after all."""
        tiles = [window]
        if self.window and reply.rows and len(window) > self.window:
            tiles = list(_cut(window, reply.ids, self.window))
        for tile in tiles:
            rows = tuple(row for token, row in reply.rows if isinstance(token, str) or token in tile)
            yield Page(tile, rows, replace(cursor, next_id=tile.last + 1), stats)
            stats = replace(stats, calls=0, empty_calls=0, seconds=0.0)  # paid for by the first


def _asked(strategy: Strategy, window: IdRange, *, untouched: bool) -> IdRange:
    """The ids to ask for: with one bound, all up to the window's last where no row lies below it."""
    bounded = untouched and window.last < MAX_ID and isinstance(strategy, SingleFilter)
    return IdRange(0, window.last) if bounded else window


def _cut(window: IdRange, ids: Iterable[int], width: int) -> Iterator[IdRange]:
    """Cover a window, in order: a tile of `width` around every id, and what lies between them as it is.

    >>> [str(part) for part in _cut(IdRange(600, 999), [733, 738, 990], 100)]
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
