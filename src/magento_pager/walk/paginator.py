"""The one loop: window, queries, fetch, check, page; and the end of the walk.

What lives here: the walk over the ids, the checks that make a page trustworthy, retries around the unit that fetches
one window, and the cursor. It knows no network (rows come from a `Source`) and no files.

The walk holds two strategies: the one asked for, which carries rows, and `prefix`, which holds on every server and
crosses what the first cannot (windows wider than it takes, and the time before an id is known that may serve as its
canary). It ends when every id up to the last has been covered by an answered query: an empty page proves nothing
about what follows it.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from magento_pager.errors import FilterIgnoredError, MalformedReplyError, PagerError, TransportError
from magento_pager.walk.conditions import Condition, Query, contradicts
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.strategies import KEY, Prefix, SingleFilter, Strategy
from magento_pager.walk.windows import WIDEST, Goal, Pace, further, narrowed, sounding

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

T = TypeVar("T")
Row: TypeAlias = dict[str, Any]
"""One record as the server sent it: text by field name; a field that is NULL there is an absent key."""

WIDEST_BY_DEFAULT = 10_000
DEFAULT_GOAL = Goal()
CURSOR_VERSION = 1


class Source(Protocol):
    """The seam to the network. Any list that takes conditions can be one."""

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call, as they arrive. Closing the generator closes the connection.

        Raises:
            RemoteError: the call failed; one whose `retryable` is True is tried again.
        """


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
        strategy: the name of the one that asked.
        calls: requests answered for it, soundings before it included.
        empty_calls: those of them that brought no row.
        seconds: spent waiting for and reading the answers.
        by_ids: True where every row was checked by its own id; False where rows carry none.
    """

    strategy: str
    calls: int
    empty_calls: int
    seconds: float
    by_ids: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one window: whole, checked and sorted.

    Attributes:
        window: the ids covered, inclusive.
        rows: all rows of the window, by id; by increment_id where rows carry no id. May be empty.
        cursor: where the walk goes on once this page is safe.
        stats: what it cost.
    """

    window: IdRange
    rows: tuple[Row, ...]
    cursor: Cursor
    stats: PageStats


class _Known(NamedTuple):
    """A row known to exist, which may serve as a canary."""

    id: int
    identity: str | None  # how to know it again where rows carry no id


class _Reply(NamedTuple):
    """The admitted rows of a window: (id, row) pairs; the id is None in lists whose rows carry none."""

    rows: list[tuple[int | None, Row]]
    calls: int
    empty_calls: int

    @property
    def by_ids(self) -> bool:
        return all(number is not None for number, _ in self.rows)


@dataclass(frozen=True, slots=True)
class Paginator:
    """Every row of a list, each exactly once, in order of id.

    Immutable and reusable: each iteration is a walk of its own, and nothing is asked before the first row is wanted.
    Rows that exist during the whole walk are delivered exactly once; rows inserted or deleted meanwhile at most once.

    Attributes:
        source: where rows come from.
        strategy: how a window is put to the server.
        id_field: what rows call the key, `order_id` in orders.
        identity_field: another field that no two rows share, for lists whose rows may carry no id; None where every
            row must carry one. Such rows can be checked less: to be unique in their page and its neighbours.
        operation: the name of the list, for cursors and messages.
        key: what filters call the key.
        where: the user's own conditions, sent with every query and checked on every row that holds their field.
        window: ids in each window with rows, at least 1; None to aim at `goal`.
        first: the first id to cover, inclusive.
        last: the last id to cover, inclusive.
        goal: rows and seconds that a call should bring, where `window` is None.
        attempts: how often a window is tried before a passing failure ends the walk.
    """

    source: Source
    strategy: Strategy
    id_field: str
    identity_field: str | None = None
    operation: str = ""
    key: str = KEY
    where: tuple[Condition, ...] = ()
    window: int | None = None
    first: int = 0
    last: int = MAX_ID
    goal: Goal = DEFAULT_GOAL
    attempts: int = 5

    def __post_init__(self) -> None:
        IdRange(self.first, self.last)
        if not isinstance(self.strategy, Strategy):
            raise TypeError(f"a strategy has a name and a method queries(window, known); {self.strategy!r} has not")
        self._pace()

    def __iter__(self) -> Iterator[Row]:
        for page in self.pages():
            yield from page.rows

    def pages(self, resume: Cursor | None = None) -> Iterator[Page]:
        """The pages of the walk, empty ones included: the last one's cursor is the proof that all ids were covered.

        Args:
            resume: the cursor of the last page that is safe, or of a `PagerError`.

        Raises:
            ValueError: the cursor belongs to another list or form.
            PagerError: the walk cannot go on; its `cursor` says where to resume.
        """
        if resume is None:
            resume = Cursor(self.operation, self.first, self.last)
        if (resume.operation, resume.version) != (self.operation, CURSOR_VERSION):
            raise ValueError(f"{resume} does not belong to a walk over {self.operation!r}; start anew without it")
        return self._walk(resume)

    def queries(self) -> Iterator[Query]:
        """The queries of consecutive windows, without asking anything: what the strategy would say."""
        pace = self._pace()
        for window in IdRange(self.first, self.last).tile(pace.width):
            for query in self.strategy.queries(window, None):
                yield replace(query, conditions=query.conditions + self.where)

    def _pace(self) -> Pace:
        return Pace.start(self.goal, self.window, decimal=getattr(self.strategy, "decimal", False))

    def _walk(self, cursor: Cursor) -> Iterator[Page]:
        pace, known = self._pace(), None
        before: frozenset[str] = frozenset()  # identities on the last page with rows, where rows carry no id
        position, last = cursor.next_id, cursor.last_id
        while position <= last:
            began = time.monotonic()
            proposed = pace.window(position, last)
            try:
                window, sounded = self._sounded(proposed, pace, last)
                strategy = self._strategy_for(window, known)
                asked = time.monotonic()
                reply = self._retrying(lambda: self._fetch(strategy, window, known))  # noqa: B023  called at once
                identities = self._unlike(before, reply, window)
                if reply.rows and known is None and window.last < last:
                    known = self._acquaintance(reply, window)
            except PagerError as error:
                error.cursor = replace(cursor, next_id=position)
                raise
            seconds = time.monotonic() - asked
            if reply.rows and self.window and len(window) > self.window and not reply.by_ids:
                pace = pace.at_rows()  # too wide for the user, and rows without ids cannot be cut into narrower pages
                continue
            stats = PageStats(
                strategy.name,
                reply.calls + sounded.calls,
                reply.empty_calls + sounded.empty_calls,
                time.monotonic() - began,
                reply.by_ids,
            )
            paced, pace = pace, pace.after(window, len(reply.rows), seconds)
            if not reply.rows and window.last < proposed.last:  # a sounding met rows behind this emptiness
                pace = paced.at_rows() if sounded.by_ids else paced.steady(window)
            before = identities or before
            for page in self._pages(window, reply, stats, cursor):
                position = page.cursor.next_id
                yield page

    def _strategy_for(self, window: IdRange, known: _Known | None) -> Strategy:
        """The strategy asked for, or one that holds everywhere where that one cannot take the window.

        To the end of all ids one bound is enough (and a key range); elsewhere `prefix` crosses.
        """
        takes = len(window) <= getattr(self.strategy, "widest", WIDEST_BY_DEFAULT)
        sure = known is not None or not getattr(self.strategy, "needs_canary", False)
        if takes and sure and not (getattr(self.strategy, "decimal", False) and window.last == MAX_ID):
            return self.strategy
        return SingleFilter(self.key) if window.last == MAX_ID else Prefix(self.key)

    def _sounded(self, window: IdRange, pace: Pace, last: int) -> tuple[IdRange, _Reply]:
        """What may be asked for at once: less than `window` where a sounding met too much, more where none met any."""
        calls = empty_calls = 0
        met_rows: list[tuple[int | None, Row]] = []
        sounded: IdRange | None = window
        while sounded and len(window) > pace.safe:
            below, met, proposed = WIDEST, False, sounded
            while asked := sounding(sounded, pace, self.key, below=below):
                query = replace(asked.query, conditions=asked.query.conditions + self.where)
                found = self._retrying(lambda: list(self._admitted(query, None)))  # noqa: B023  called at once
                calls, empty_calls = calls + 1, empty_calls + (not found)
                inside = [number for number, _ in found if number is None or number in sounded]
                ids = [number for number in inside if number is not None]
                before, sounded = sounded, narrowed(sounded, asked, ids or None, len(inside), pace)
                met = met or bool(inside)
                met_rows += found[:1]
                # Without ids nobody knows where in the window the rows are: what is left is sounded as finely again.
                below = asked.spacing + (sounded != before and not ids)
            if met and proposed != window:
                break  # what lies before is known to be empty, or nearly so: it is asked for alone
            window = IdRange(window.first, sounded.last)
            sounded = None if met or sounded != proposed else further(sounded, last)
        return window, _Reply(met_rows, calls, empty_calls)

    def _fetch(self, strategy: Strategy, window: IdRange, known: _Known | None) -> _Reply:
        """All rows of a window, checked and in order."""
        rows: list[tuple[int | None, Row]] = []
        calls = empty_calls = 0
        for query in strategy.queries(window, known.id if known else None):
            found = list(self._admitted(replace(query, conditions=query.conditions + self.where), known))
            if query.span not in window and any(number is None for number, _ in found):
                raise FilterIgnoredError(
                    f"{self.operation}: rows come without ids, so what {strategy.name} returns beyond ids {window} "
                    "cannot be told from what was asked; use the strategy alias or prefix",
                    span=window,
                )
            rows += (pair for pair in found if pair[0] is None or pair[0] in window)
            calls, empty_calls = calls + 1, empty_calls + (not found)
        rows.sort(key=lambda pair: (pair[0] or 0, str(pair[1].get(self.identity_field or ""))))
        for (one, _), (other, _) in pairwise(rows):
            if one is not None and one == other:
                raise MalformedReplyError(f"{self.operation}: id {one} came twice in the window {window}")
        return _Reply(rows, calls, empty_calls)

    def _admitted(self, query: Query, known: _Known | None) -> Iterator[tuple[int | None, Row]]:
        """The rows of one call, each checked as it arrives; the connection is closed at the first stray one."""
        canary = known if query.canary is not None and known and known.id == query.canary else None
        met = query.canary is None
        with closing(self.source.fetch(query)) as reply:
            for row in reply:
                number = self._id_of(row)
                is_canary = number == query.canary if number is not None else self._is_same(canary, row)
                met = met or (is_canary and query.canary is not None)
                if is_canary and query.canary not in query.span:
                    continue
                if number is not None and number not in query.span:
                    raise FilterIgnoredError(
                        f"{self.operation}: asked for ids {query.span} ({query}), the server also sent id {number}: it "
                        "dropped a condition; use another strategy (prefix holds on every version)",
                        span=query.span,
                        stray=[number],
                    )
                for condition in self.where:
                    if contradicts(condition, row):
                        raise FilterIgnoredError(
                            f"{self.operation}: the server ignored or misread where {condition}: it sent a row with "
                            f"{row.get(condition.field.rpartition('.')[2])!r}; leave it out and filter the rows",
                            span=query.span,
                            stray=[] if number is None else [number],
                        )
                yield number, row
        if not met:
            raise FilterIgnoredError(
                f"{self.operation}: asked for ids {query.span} and id {query.canary}, which exists, yet it did not "
                f"come back ({str(query)[:200]}): the server misread the condition; use another strategy (prefix "
                "holds on every version)",
                span=query.span,
                missing_canary=query.canary,
            )

    def _id_of(self, row: Row) -> int | None:
        text = row.get(self.id_field)
        if text is None and self.identity_field is not None:
            return None
        try:
            return int(text or "")
        except ValueError:
            raise MalformedReplyError(
                f"{self.operation}: a row came with {self.id_field}={text!r}, which is no id; is this the right list?"
            ) from None

    def _is_same(self, canary: _Known | None, row: Row) -> bool:
        return canary is not None and row.get(self.identity_field or "") == canary.identity

    def _unlike(self, before: frozenset[str], reply: _Reply, window: IdRange) -> frozenset[str]:
        """The identities of rows without ids, once they are unlike each other and those of the page before."""
        if reply.by_ids or self.identity_field is None:
            return frozenset()
        seen: set[str] = set()
        for _, row in reply.rows:
            identity = row.get(self.identity_field)
            if not isinstance(identity, str):
                raise MalformedReplyError(f"{self.operation}: a row has neither {self.id_field} nor an identity")
            if identity in seen or identity in before:
                raise FilterIgnoredError(
                    f"{self.operation}: {self.identity_field} {identity} came twice around ids {window}: the server "
                    "dropped a condition; use another strategy (prefix holds on every version)",
                    span=window,
                )
            seen.add(identity)
        return frozenset(seen)

    def _acquaintance(self, reply: _Reply, window: IdRange) -> _Known | None:
        """A row that may serve as a canary from now on; found by ever narrower blocks where rows carry no id."""
        if not getattr(self.strategy, "needs_canary", False):
            return None
        number, row = reply.rows[0]
        while number is None:
            if len(window) == 1:
                return _Known(window.first, reply.rows[0][1].get(self.identity_field or ""))
            for part in window.tile(10 ** (len(str(len(window) - 1)) - 1)):
                reply = self._retrying(lambda: self._fetch(Prefix(self.key), part, None))  # noqa: B023  called at once
                if reply.rows:
                    window = part
                    break
            else:
                return None  # its rows were deleted meanwhile: another window will do
            number, row = reply.rows[0]
        return _Known(number, row.get(self.identity_field or ""))

    def _pages(self, window: IdRange, reply: _Reply, stats: PageStats, cursor: Cursor) -> Iterator[Page]:
        """The reply as one page; cut at the user's own width where a window over emptiness met rows after all."""
        tiles = [window]
        if self.window and reply.rows and len(window) > self.window:
            tiles = list(_cut(window, [number or 0 for number, _ in reply.rows], self.window))
        for tile in tiles:
            rows = tuple(row for number, row in reply.rows if number is None or number in tile)
            yield Page(tile, rows, replace(cursor, next_id=tile.last + 1), stats)
            stats = replace(stats, calls=0, empty_calls=0, seconds=0.0)  # paid for by the first

    def _retrying(self, fetch: Callable[[], T]) -> T:
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, TransportError) and error.retryable),
            stop=stop_after_attempt(self.attempts),
            wait=wait_random_exponential(multiplier=0.5, max=30),
            reraise=True,
        )
        return retrying(fetch)


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
