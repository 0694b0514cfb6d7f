"""One walk over the ids, with a strategy that is taken at its word.

What lives here: the loop from window to page, the crossing of emptiness, and the end of the walk. Reading a window is
the reader's work, and whether the server honours the strategy was found out before.

The walk holds two strategies: the one asked for, which carries rows, and one that holds on every server and crosses
what the first cannot (windows wider than it takes, and the time before an id is known that may serve as its canary).
It ends when every id up to the last has been covered by an answered query: an empty page proves nothing about what
follows it.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from magento_pager.errors import FaultError, FilterIgnoredError, MalformedReplyError, PagerError, RemoteError
from magento_pager.walk.pages import Cursor, Page, PageStats, Quarantined
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.reading import Reply
from magento_pager.walk.strategies import InList, Prefix, Regexp, SingleFilter, Strategy
from magento_pager.walk.windows import (
    SMALL,
    WIDEST,
    Goal,
    Pace,
    apart,
    crowd,
    further,
    narrowed,
    part,
    sounding,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Generator, Iterable, Iterator

    from magento_pager.errors import Remedy
    from magento_pager.walk.ahead import Ahead, Job
    from magento_pager.walk.reading import Known, Reader, Token

log = logging.getLogger(__name__)

WIDEST_BY_DEFAULT = 10_000
DEFAULT_GOAL = Goal()
COMPARED_EVERY = 16  # pages of rows without ids
NARROWING = frozenset({"split", "isolate"})  # remedies
GATEWAY_TIRED = frozenset({502, 504, 524})  # statuses: the server may be down, or the window too much for it
SOUNDED_ANEW = 3  # attempts at a sounding that a row breaks
SECOND_THOUGHTS = 4  # more attempts at a row whose failure may be the server's
MOST_IN_A_ROW = 20  # rows left out: then the server is sick, not the rows
REMEMBERED = 32_768  # rows without ids that soundings recognise as lying behind


@dataclass(slots=True)
class _Cost:
    """What was spent on the page to come."""

    began: float = field(default_factory=time.monotonic)
    calls: int = 0
    empty_calls: int = 0
    retries: int = 0

    def failed(self) -> None:
        self.retries += 1

    def add(self, reply: Reply) -> None:
        self.calls += reply.calls
        self.empty_calls += reply.empty_calls


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of a window.

    Attributes:
        window: the ids covered.
        reply: their rows.
        asked_by: the strategy that asked.
        blind: True where soundings met rows of which nobody knows where they are.
        quarantined: as on the page.
        repaired: as on the page.
    """

    window: IdRange
    reply: Reply
    asked_by: Strategy
    blind: bool = False
    quarantined: tuple[Quarantined, ...] = ()
    repaired: tuple[int, ...] = ()


@dataclass(slots=True)
class _State:
    """What one walk remembers from page to page.

    Attributes:
        pace: how wide windows are.
        known: a row that may serve as a canary.
        untouched: True as long as no row lies below the cursor.
        good: a row of the last reply that had any, and its window: it should answer if the server is well.
        before: what the rows of the last page are known by, where they carry no id.
        behind: and those of the last pages, in order.
        compared: pages of rows without ids.
        asked: the window that is being asked for.
        suspect: a window that failed; what is left of it is asked for in parts.
        width: of these parts, in ids.
        isolating: True where a row is sought that breaks its replies.
        bearable: True where the window did not fail, but was too wide for the few rows without ids that it holds.
        in_a_row: rows left out since one arrived.
        cost: what was spent since the last page.
        ahead: what is asked for before its turn; None to ask for one window after the other.
        flowing: True where the last window brought rows, so that the next may be asked for before its turn.
    """

    pace: Pace
    known: Known | None
    untouched: bool
    ahead: Ahead | None = None
    flowing: bool = False
    cost: _Cost = field(default_factory=_Cost)
    good: tuple[Reply, IdRange] | None = None
    before: frozenset[object] = frozenset()
    behind: dict[Token, None] = field(default_factory=dict)
    compared: int = 0
    asked: IdRange | None = None
    suspect: IdRange | None = None
    width: int = 0
    isolating: bool = False
    bearable: bool = False
    in_a_row: int = 0

    def proposed(self, cursor: Cursor) -> IdRange:
        """The next window: by pace, or a part of one that failed."""
        if self.suspect is None or cursor.next_id > self.suspect.last:
            self.suspect = None
            return self.pace.window(cursor.next_id, cursor.last_id)
        left = IdRange(cursor.next_id, self.suspect.last)
        aligned = self.aligned(self.suspect)
        if self.isolating and 1 < len(left) <= self.width and left != self.suspect:
            self.width = part(left, decimal=aligned)  # all before it came, so what is sought is in here
        if self.bearable and self.width <= self.pace.safe:
            return self.pace.at_rows().window(cursor.next_id, cursor.last_id)
        start = left.first - left.first % self.width if aligned else left.first
        return IdRange(left.first, min(left.last, start + self.width - 1))

    def aligned(self, window: IdRange) -> bool:
        """True where the parts of a window are decimal blocks: of a wide one, or for a strategy that likes them."""
        return self.pace.decimal or self.bearable or len(window) > 10 * self.pace.safe

    def narrow(self, window: IdRange, remedy: Remedy, *, again: bool = False) -> None:
        """Ask for a window that failed in parts; if it was too large, for less from now on.

        Args:
            window: what failed.
            remedy: what may help.
            again: first ask for all of it with another strategy.
        """
        self.suspect, self.isolating, self.bearable = window, remedy == "isolate", False
        self.width = len(window) if again else part(window, decimal=self.aligned(window))
        if not self.isolating:
            self.pace = self.pace.strained(window)

    def approach(self, window: IdRange) -> None:
        """Look for the rows of a window in ever narrower parts, up to the user's own width."""
        self.suspect, self.isolating, self.bearable = window, True, True
        self.width = part(window, decimal=True)


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk with one strategy.

    Attributes:
        reader: reads windows.
        strategy: carries the rows.
        window: ids in each window with rows, at least 1; None to aim at `goal`.
        goal: rows and seconds that a call should bring, where `window` is None.
        lenient: leave out a row that breaks its replies without asking whether others arrive; for looking about.
        ahead: makes what asks for windows before their turn; None to ask for one after the other.
    """

    reader: Reader
    strategy: Strategy
    window: int | None = None
    goal: Goal = DEFAULT_GOAL
    lenient: bool = False
    ahead: Callable[[Reader], Ahead] | None = None

    @property
    def pace(self) -> Pace:
        """How wide the first window is."""
        return Pace.start(self.goal, self.window, decimal=getattr(self.strategy, "decimal", False))

    def pages(self, cursor: Cursor, known: Known | None = None) -> Generator[Page]:
        """The pages from a cursor to its last id, empty ones included.

        Args:
            cursor: where to begin.
            known: a row that may serve as a canary, where one is known already.

        Raises:
            PagerError: the walk cannot go on; its `cursor` says where to resume.
        """
        ahead = self.ahead(self.reader) if self.ahead else None
        state = _State(self.pace, known, untouched=cursor.next_id == 0, ahead=ahead)
        try:
            while cursor.next_id <= cursor.last_id:
                try:
                    pages = self._next(cursor, state)
                except PagerError as error:
                    error.cursor = cursor
                    raise
                while pages:
                    cursor = pages[0].cursor
                    yield pages.pop(0)  # and not keep it: rows take memory
        finally:
            if ahead is not None:
                ahead.close()

    def _next(self, cursor: Cursor, state: _State) -> list[Page]:
        """The next pages; none where the window must be asked for in another way."""
        cost = state.cost
        early = state.ahead.at(cursor.next_id) if state.ahead else None
        proposed = early.window if early else state.proposed(cursor)
        try:
            answer = self._answer(proposed, cursor.last_id, state, early)
        except RemoteError as error:
            state.flowing = False
            tired = getattr(error, "status", None) in GATEWAY_TIRED and not state.suspect
            if error.remedy not in NARROWING and not tired:
                raise
            time.sleep(error.pause)
            failed = state.asked or proposed
            cost.failed()
            if len(failed) > 1:
                log.info("ids %s in narrower windows: %s", failed, error)
                tail = isinstance(self.strategy, SingleFilter) and not state.suspect  # the trouble may lie behind
                state.narrow(failed, error.remedy, again=tail)
                return []
            answer = self._alone(failed.first, error, state)
        reply, window = answer.reply, answer.window
        if not reply.by_ids and self.window and len(window) > self.window:
            state.approach(window)  # too wide for the user, and such rows cannot be cut into narrower pages
            return []
        self._learn(answer, proposed, state)
        state.cost = _Cost()
        return list(self._pages(answer, cursor, cost, state.ahead.limit if state.ahead else 1))

    def _answer(self, proposed: IdRange, last: int, state: _State, early: Job | None) -> _Answer:
        """The rows of a window, or of what soundings make of it, checked; `early` is being read already."""
        state.asked = window = proposed
        blind, cost = False, state.cost
        if early is None and not (state.suspect and state.isolating):  # else it has been sounded
            last = proposed.last if state.suspect else last
            window, blind = self._sounded(proposed, state.pace, last, state.behind, cost)
            state.asked = window
        strategy = early.strategy if early else self._strategy_for(window, state)
        reply = self._read(strategy, window, last, state)
        cost.add(reply)
        if below := [number for number in reply.ids if number < window.first]:
            self._check_inserted(below[0])
        if not reply.by_ids:
            self._check_unlike(state.before, reply, window)
            if strategy is self.strategy and state.compared % COMPARED_EVERY == 0:
                self._compare(reply, window, cost)
        if reply.rows and state.known is None and window.last < last:
            state.known = self._canary(reply, window)
        return _Answer(window, reply, strategy, blind)

    def _read(self, strategy: Strategy, window: IdRange, last: int, state: _State) -> Reply:
        """The reply to a window; where rows are flowing, windows behind it are asked for meanwhile."""
        asked, ahead = _asked(strategy, window, untouched=state.untouched), state.ahead

        def following(before: IdRange) -> IdRange | None:
            if not state.flowing or state.suspect is not None or before.last >= last:
                return None
            window = state.pace.window(before.last + 1, last)
            certain = len(window) <= state.pace.safe and self._strategy_for(window, state) is strategy
            return window if certain else None

        def attempt() -> Reply:
            if ahead is None:
                return self.reader.attempt(strategy, asked, state.known)
            return ahead.read(strategy, asked, state.known, following)

        return self.reader.persistently(attempt, failed=state.cost.failed)

    def _learn(self, answer: _Answer, proposed: IdRange, state: _State) -> None:
        """What an answer says about those to come."""
        reply, window, pace = answer.reply, answer.window, state.pace
        state.flowing = (
            bool(reply.rows) and answer.asked_by is self.strategy and not isinstance(self.strategy, SingleFilter)
        )
        if reply.rows:
            state.untouched, state.in_a_row = False, 0
        if reply.rows and not answer.repaired:
            state.good = replace(reply, rows=reply.rows[:1]), window
        if not reply.by_ids:
            state.before = frozenset(reply.tokens)
            state.compared += answer.asked_by is self.strategy
            state.behind = dict.fromkeys([*state.behind, *reply.tokens][-REMEMBERED:])
        if answer.quarantined or answer.repaired:
            state.suspect, state.untouched, state.flowing = None, False, False
        elif not reply.rows and window.last < proposed.last:  # a sounding met rows behind this emptiness
            state.pace = pace.steady(window) if answer.blind else pace.at_rows()
        elif state.suspect in (None, window) or (reply.rows and not state.isolating):
            state.pace = pace.after(window, len(reply.rows), reply.seconds)

    def _alone(self, number: int, error: RemoteError, state: _State) -> _Answer:
        """What to make of an id whose reply fails: its row after all, repaired, or left out."""
        prefix, one = Prefix(self.reader.key), IdRange(number, number)
        if self.reader.repairing and isinstance(error, MalformedReplyError):
            with suppress(RemoteError):
                repaired = replace(self.reader, source=self.reader.repairing).read(prefix, one)
                return _Answer(one, repaired, prefix, repaired=(number,))
        if not self.lenient:
            self._check_well(number, error, state)
            try:
                reply = self.reader.read(prefix, one, insist=SECOND_THOUGHTS if error.remedy == "split" else 0)
            except RemoteError as again:
                if again.remedy not in NARROWING:
                    raise
                error = again
            else:
                state.known = None  # or was it the canary that broke the reply?
                return _Answer(one, reply, prefix)
            self._check_well(number, error, state)
        state.in_a_row += 1
        if state.in_a_row == MOST_IN_A_ROW:
            raise RemoteError(
                f"{self.reader.operation}: {MOST_IN_A_ROW} rows in a row could not be read, the last is id {number} "
                f"({error}): the server is unwell; resume when it is not"
            )
        reason = error.text if isinstance(error, FaultError) else str(error)
        return _Answer(one, Reply((), 1, 1), prefix, quarantined=(Quarantined(number, reason),))

    def _check_well(self, number: int, error: RemoteError, state: _State) -> None:
        """Raise unless a row that came before, or any other, can be read again."""
        for _ in range(2):  # the row may have been deleted
            if state.good is None:
                state.good = self._good_beside(number)
            if state.good is None:
                raise error
            where = state.good[1]
            try:
                good = self.reader.acquaintance(*state.good, insist=MAX_ID)
                if good is None:
                    state.good = None
                    continue
                reply = self.reader.read(Prefix(self.reader.key), IdRange(good.id, good.id), insist=MAX_ID)
            except RemoteError as other:
                raise RemoteError(
                    f"{self.reader.operation}: id {number} cannot be read ({error}), and neither can a row of ids "
                    f"{where}, which could before ({other}): the server is unwell; resume when it is not",
                ) from other
            if good.token in reply.tokens:
                return
            state.good = None
        raise error

    def _good_beside(self, number: int) -> tuple[Reply, IdRange] | None:
        """Return the first rows behind an id, else the first before it, where none came on this walk."""
        walk = replace(self, strategy=Prefix(self.reader.key), lenient=True, ahead=None)
        for first, last in ((number + 1, MAX_ID), (0, number - 1)):
            for page in walk.pages(Cursor(self.reader.operation, first, last)):
                if page.rows:
                    return Reply(tuple((self.reader.token(row), row) for row in page.rows), 1, 0), page.window
        return None

    def _strategy_for(self, window: IdRange, state: _State) -> Strategy:
        """The strategy asked for, or one that holds everywhere where that one cannot take the window.

        To the end of all ids one bound is enough (and a key range); so it is across emptiness as long as no row is
        below. Elsewhere `prefix` crosses, or where lists are split `regexp`, which came before that and takes one call
        instead of one per decimal block. Where a window failed, one bound would meet the same trouble in its tail.
        """
        known, untouched = state.known, state.untouched and len(window) > state.pace.safe
        if state.suspect and isinstance(self.strategy, SingleFilter):
            return Prefix(self.reader.key)
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
            below, met, found, inside, by, failures = WIDEST, 0, list[int](), list[int](), None, 0
            unseen = True
            while asked := sounding(
                sounded,
                pace,
                self.reader.key,
                below=below,
                since=window.first,
                failures=failures,
                met=bool(inside),
            ):
                if by and crowd(found, by, asked) > max(pace.allowance, SMALL // 2):
                    sounded, by = apart(sounded, found), None  # else what lies behind the window would come, in plenty
                    continue
                try:
                    reply = self.reader.sample(asked.query)
                except RemoteError as error:
                    if error.remedy not in NARROWING:
                        raise
                    failures += 1  # other ids may avoid the row that breaks it; else see what the window itself brings
                    if error.remedy == "split" or failures == SOUNDED_ANEW:
                        below, failures = asked.spacing, 0
                    continue
                failures, unseen = 0, False
                cost.add(reply)
                found, by = reply.ids, asked
                inside = [number for number in reply.ids if number in sounded]
                count = len(inside) if reply.by_ids else sum(token not in behind for token in reply.tokens)
                before, sounded = sounded, narrowed(sounded, asked, inside or None, count, pace)
                blind, met = blind or (not reply.by_ids and count > 0), met + count
                # Without ids nobody knows where in the window the rows are: what is left is sounded as finely again.
                below = asked.spacing + (sounded != before and not reply.by_ids)
            window = IdRange(window.first, sounded.last)
            sounded = None if met or unseen else further(sounded, last)
        return window, blind

    def _canary(self, reply: Reply, window: IdRange) -> Known | None:
        """A row that serves as a canary from now on, where the strategy needs one."""
        if not getattr(self.strategy, "needs_canary", False):
            return None
        return self.reader.acquaintance(reply, window, insist=SECOND_THOUGHTS)

    def _check_inserted(self, number: int) -> None:
        """A row below an emptiness must be a new one: what was there before, `like` would have brought."""
        one = IdRange(number, number)
        if number not in self.reader.read(Prefix(self.reader.key), one).ids:
            raise FilterIgnoredError(
                f"{self.reader.operation}: row {number} exists, and like does not bring it: this server honours no "
                "filter that a walk could rest on, as with WS-I on Magento 1.5.1 to 1.6.2; switch WS-I off there",
                span=one,
            )

    def _check_unlike(self, before: frozenset[object], reply: Reply, window: IdRange) -> None:
        """Raise if a row without id was on the page before: the only sign of a dropped bound."""
        if again := before & frozenset(reply.tokens):
            raise FilterIgnoredError(
                f"{self.reader.operation}: {self.reader.identity_field} {min(map(str, again))} came twice around ids "
                f"{window}: the server dropped a condition; use another strategy (prefix holds on every version)",
                span=window,
            )

    def _compare(self, reply: Reply, window: IdRange, cost: _Cost) -> None:
        """Ask again with `prefix`: without ids, rows that are missing show in no other way.

        Rows may come and go between two calls; but one that was there before a call and after it was there meanwhile.
        """
        prefix = Prefix(self.reader.key)
        first, second = set(reply.tokens), set(self._again(prefix, window, cost))
        if first == second:
            return
        third, fourth = (set(self._again(one, window, cost)) for one in (self.strategy, prefix))
        if lost := ((second & fourth) - third) | ((first & third) - second):
            raise FilterIgnoredError(
                f"{self.reader.operation}: {self.strategy.name} and prefix disagree about ids {window}: only one "
                f"brings {self.reader.identity_field} {min(map(str, lost))}; the server misreads a condition; use the "
                "strategy prefix",
                span=window,
            )

    def _again(self, strategy: Strategy, window: IdRange, cost: _Cost) -> tuple[Token, ...]:
        reply = self.reader.read(strategy, window)
        cost.add(reply)
        return reply.tokens

    def _pages(self, answer: _Answer, cursor: Cursor, cost: _Cost, parallel: int) -> Iterator[Page]:
        """The answer as one page; cut at the user's own width where a window over emptiness met rows after all."""
        reply, window = answer.reply, answer.window
        seconds = time.monotonic() - cost.began
        names = self.strategy.name, answer.asked_by.name
        stats = PageStats(*names, cost.calls, cost.empty_calls, seconds, reply.by_ids, cost.retries, parallel)
        tiles = [window]
        if self.window and reply.rows and len(window) > self.window:
            tiles = list(_cut(window, reply.ids, self.window))
        for tile in tiles:
            rows = tuple(row for token, row in reply.rows if isinstance(token, str) or token in tile)
            after = replace(cursor, next_id=tile.last + 1)
            yield Page(tile, rows, after, stats, answer.quarantined, answer.repaired)
            stats = replace(stats, calls=0, empty_calls=0, seconds=0.0, retries=0)  # paid for by the first


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
