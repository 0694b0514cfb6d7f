"""One walk over the ids, as a flow: from a range of ids to pages that cover every one of them.

What lives here: the loop from window to page, gaps, failures, and the end. How calls are made is known to `calls`.

The walk is a stack of ranges still to be covered; together they are all ids from the last page on. One is taken off; if
the window at its front is wide, a sample says how far it may reach; it is asked for; its page is delivered. Where that
fails in a way that a smaller window may fix, its parts are pushed instead. The walk ends when the stack is empty: every
id was then covered by an answered query. An empty page says nothing about what follows it.

A walk holds two strategies: the one that carries rows, and another that takes what the first cannot: windows too wide
for it, or asked for before a row is known that may serve as its canary.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from magento_pager.errors import FilterIgnoredError, RemoteError
from magento_pager.walk.flows import Ask, Flow, Piece, attempt, find_known
from magento_pager.walk.gaps import Gaps
from magento_pager.walk.isolation import SINGLE_ROW_RETRIES, Fate, Isolation
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.recovery import action
from magento_pager.walk.strategies import KEY, InList, Prefix, Regexp, SingleFilter, Strategy
from magento_pager.walk.windows import Goal, Pace, part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from magento_pager.walk.reading import Known, Reply, Token

log = logging.getLogger(__name__)

WIDEST_BY_DEFAULT = 10_000  # ids in a window, for a strategy that does not say
DEFAULT_GOAL = Goal()
COMPARED_EVERY = 16  # pages of rows without ids


class Work(NamedTuple):
    """Ids still to be covered.

    Attributes:
        ids: the range, inclusive.
        cause: why it is asked for in parts: the failure of a wider window; None where there was none.
        suspect: True where the failing row must be in here if all parts before it came.
        crowded: True where a reply said that there are few rows in here, so that no sample is needed.
    """

    ids: IdRange
    cause: RemoteError | None = None
    suspect: bool = False
    crowded: bool = False


@dataclass(slots=True)
class _Course:
    """What the next ask depends on.

    Attributes:
        pace: how wide the next window is.
        gaps: how far a wide one may reach.
        isolation: what becomes of a row that breaks its replies.
        known: a row that may serve as a canary.
        untouched: True as long as no row lies below.
        flowing: True where the last window brought rows by the walk's own strategy.
        early: the window that the driver asks for already, inclusive.
        flawed: rows that broke their replies since one came that did not; behind two, more are to be expected.
    """

    pace: Pace
    gaps: Gaps
    isolation: Isolation
    known: Known | None
    untouched: bool
    flowing: bool = False
    early: IdRange | None = None
    flawed: int = 0


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk with one strategy.

    Attributes:
        strategy: carries the rows.
        operation: the name of the list, for messages.
        key: what filters call the key.
        identity_field: another field that no two rows share, where rows may carry no id; else None.
        window: ids in each window with rows, at least 1; None to aim at `goal`.
        goal: rows and seconds that a call should bring, where `window` is None.
        repair: read a row in which control characters break the XML without them.
        lenient: skip a row that breaks its replies without asking whether others arrive; for looking about.
        plain: take samples by nothing but `like` with `_`, as of a server that is not Magento's.
    """

    strategy: Strategy
    operation: str = ""
    key: str = KEY
    identity_field: str | None = None
    window: int | None = None
    goal: Goal = DEFAULT_GOAL
    repair: bool = False
    lenient: bool = False
    plain: bool = False

    @property
    def pace(self) -> Pace:
        """How wide the first window is."""
        return Pace.start(self.goal, self.window, decimal=getattr(self.strategy, "decimal", False))

    def flow(self, span: IdRange, known: Known | None = None) -> Flow[None]:
        """Cover a range of ids, in order.

        Args:
            span: the ids, inclusive.
            known: a row that may serve as a canary, where one is known already.

        Raises:
            FilterIgnoredError: the server does not honour the strategy.
            RemoteError: a call failed in a way that no smaller window mends.
        """
        isolation = Isolation(self.key, self.operation, None if self.lenient else self._beside, repair=self.repair)
        gaps, without_ids = Gaps(self.key, self.operation, known, plain=self.plain), _WithoutIds(self)
        course = _Course(self.pace, gaps, isolation, known, untouched=span.first == 0)
        stack = [Work(span)]
        while stack:
            work = stack.pop()
            if work.suspect and len(work.ids) > 1:  # all parts before it came: it would fail again
                stack += _parts(work.ids, work.cause, course.pace)
                continue
            window = yield from self._window(work, course)
            if window.last < work.ids.last:
                stack.append(work._replace(ids=IdRange(window.last + 1, work.ids.last)))
            carrier = self._carrier(window, course, failed=work.cause is not None)
            answer = yield from attempt(self._ask(carrier, window, work, course, span.last))
            fate: Fate | None = None
            if isinstance(answer, RemoteError):
                what = action(answer, narrowed=work.cause is not None)
                if what == "stop":
                    raise answer
                if len(window) > 1:
                    self._narrow(stack, work, window, answer, course)
                    continue
                fate = yield from isolation.alone(window, answer)
                answer, carrier = fate.reply, fate.carrier
            elif not answer.by_ids and self.window and len(window) > self.window:
                stack += [Work(tenth, crowded=True) for tenth in reversed(list(window.tenths()))]
                continue  # such rows cannot be cut into narrower pages
            yield from self._check_inserted(answer, window)
            if not answer.by_ids:
                yield from without_ids.check(answer, window, carrier)
            course.flawed = course.flawed + 1 if fate else 0
            if course.flawed == 1 or (work.cause is not None and answer.rows and work.cause.remedy != "isolate"):
                stack = [Work(IdRange(window.last + 1, span.last))] if window.last < span.last else []
            yield from self._learn(answer, window, course, work=work, carrier=carrier, fate=fate)
            yield from self._pieces(answer, window, carrier, fate)
            del answer  # or its rows take memory while the next ones come

    def _ask(self, carrier: Strategy, window: IdRange, work: Work, course: _Course, last: int) -> Ask:
        """Put a window to the server; where rows are flowing, the ones behind it may be asked for meanwhile."""
        pace, known = course.pace, course.known

        def following(before: IdRange) -> IdRange | None:
            if before.last >= last or not course.flowing or work.cause is not None:
                return None
            window = pace.window(before.last + 1, last)
            return window if len(window) <= pace.safe and self._carrier(window, course) is carrier else None

        bounded = course.untouched and isinstance(carrier, SingleFilter) and window.last < MAX_ID
        asked = IdRange(0, window.last) if bounded else window  # one bound is enough where no row lies below
        return Ask(carrier, asked, known, following=following)

    def _learn(
        self, answer: Reply, window: IdRange, course: _Course, *, work: Work, carrier: Strategy, fate: Fate | None
    ) -> Flow[None]:
        """Take a reply into account for those to come."""
        course.early = answer.ahead
        if answer.rows:
            if fate:
                course.known = None  # or was it the canary that broke the reply?
            if course.known is None and getattr(self.strategy, "needs_canary", False) and window.last < MAX_ID:
                course.known = yield from find_known(answer, window, self.key, insist=SINGLE_ROW_RETRIES)
            course.untouched = False
            course.gaps.passed(answer.tokens, window)
            course.isolation.came(answer, window, repaired=bool(fate and fate.repaired))
        course.flowing = bool(answer.rows) and carrier is self.strategy and not isinstance(carrier, SingleFilter)
        if fate and (fate.skipped or fate.repaired):
            course.untouched = course.flowing = False
        elif work.cause is None or (answer.rows and work.cause.remedy != "isolate"):
            course.pace = course.pace.after(window, len(answer.rows), answer.seconds)

    def _beside(self, number: int) -> Iterator[Flow[None]]:
        """Look for rows behind an id, then before it, whatever becomes of others that break their replies."""
        looking = replace(self, strategy=Prefix(self.key), lenient=True)
        if number < MAX_ID:
            yield looking.flow(IdRange(number + 1, MAX_ID))
        if number > 0:
            yield looking.flow(IdRange(0, number - 1))

    def _window(self, work: Work, course: _Course) -> Flow[IdRange]:
        """The window at the front of a range: all of a part that failed, else as the pace says and samples allow."""
        ids, pace = work.ids, course.pace
        if course.early is not None and course.early.first == ids.first:
            return course.early
        if work.cause is not None or work.crowded:
            return ids
        window = pace.window(ids.first, ids.last)
        if len(window) <= pace.safe:
            return window
        reach = yield from course.gaps.reach(ids, pace, flowing=course.flowing)
        if reach is None:
            return window
        last = min(reach, window.last) if course.flowing or pace.fixed else reach
        return IdRange(ids.first, max(last, min(ids.first + pace.safe - 1, ids.last)))

    def _narrow(self, stack: list[Work], work: Work, window: IdRange, error: RemoteError, course: _Course) -> None:
        """Push the parts of a window that failed; if it was too large, ask for less from now on."""
        log.info("ids %s in narrower windows: %s", window, error)
        course.flowing, course.early = False, None
        if stack and stack[-1].suspect:  # what failed was before it
            stack[-1] = stack[-1]._replace(suspect=False)
        if error.remedy != "isolate":
            course.pace = course.pace.strained(window)
        if isinstance(self.strategy, SingleFilter) and work.cause is None:
            stack.append(Work(window, error))  # the trouble may lie in the tail behind the window
        else:
            stack += _parts(window, error, course.pace)

    def _carrier(self, window: IdRange, course: _Course, *, failed: bool = False) -> Strategy:
        """The strategy asked for, or one that holds everywhere where that one cannot take the window.

        To the end of all ids one bound is enough (and a key range); so it is across a gap as long as no row is below.
        Elsewhere `prefix` crosses, or where lists are split `regexp`, which came before that and takes one call instead
        of one per decimal block. Where a window failed, one bound would meet the same trouble in its tail.
        """
        if failed and isinstance(self.strategy, SingleFilter):
            return Prefix(self.key)
        untouched = course.untouched and len(window) > course.pace.safe
        takes = len(window) <= getattr(self.strategy, "widest", WIDEST_BY_DEFAULT)
        sure = course.known is not None or not getattr(self.strategy, "needs_canary", False)
        scans = getattr(self.strategy, "decimal", False)
        if takes and sure and not (scans and (window.last == MAX_ID or untouched)):
            return self.strategy
        if window.last == MAX_ID or untouched:
            return SingleFilter(self.key)
        return Regexp(self.key) if isinstance(self.strategy, InList) and course.known else Prefix(self.key)

    def _check_inserted(self, answer: Reply, window: IdRange) -> Flow[None]:
        """A row below a gap must be a new one: what was there before, `like` would have brought."""
        below = next((number for number in answer.ids if number < window.first), None)
        if below is None:
            return
        one = IdRange(below, below)
        reply = yield Ask(Prefix(self.key), one)
        if below not in reply.ids:
            raise FilterIgnoredError(
                f"{self.operation}: row {below} exists, and like does not bring it: this server honours no filter that "
                "a walk could rest on, as with WS-I on Magento 1.5.1 to 1.6.2; switch WS-I off there",
                span=one,
            )

    def _pieces(
        self,
        answer: Reply,
        window: IdRange,
        carrier: Strategy,
        fate: Fate | None,
    ) -> Flow[None]:
        """Deliver a reply; in pages of the user's own width where a window over a gap met rows after all."""
        tiles = [window]
        if self.window and answer.rows and len(window) > self.window:
            tiles = list(_cut(window, answer.ids, self.window))
        for tile in tiles:
            rows = tuple(pair for pair in answer.rows if isinstance(pair[0], str) or pair[0] in tile)
            yield Piece(tile, rows, self.strategy.name, carrier.name, answer.by_ids, *(fate[2:] if fate else ()))


class _WithoutIds:
    """The checks of rows that carry no id: what is wrong with them shows only beside other replies."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._before: frozenset[Token] = frozenset()
        self._pages = 0

    def check(self, answer: Reply, window: IdRange, carrier: Strategy) -> Flow[None]:
        """Compare a page with the one before, and every sixteenth one with what another strategy brings.

        Raises:
            FilterIgnoredError: the server misread a condition.
        """
        now = frozenset(answer.tokens)
        if again := self._before & now:
            raise FilterIgnoredError(
                f"{self._walk.operation}: {self._walk.identity_field} {min(map(str, again))} came twice around ids "
                f"{window}: the server dropped a condition; use another strategy (prefix holds on every version)",
                span=window,
            )
        self._before = now
        if carrier is self._walk.strategy:
            if self._pages % COMPARED_EVERY == 0:
                yield from self._compare(now, window)
            self._pages += 1

    def _compare(self, first: frozenset[Token], window: IdRange) -> Flow[None]:
        """Ask again in a way that holds everywhere: without ids, rows that are missing show in no other way.

        That is `prefix`, or at the low end of the ids the upper bound alone, in a single call.
        Rows may come and go between two calls; but one that was there before a call and after it was there meanwhile.
        """
        strategy, key = self._walk.strategy, self._walk.key
        other = SingleFilter(key) if window.first == 0 and window.last < MAX_ID else Prefix(key)
        second = set((yield Ask(other, window)).tokens)
        if first == second:
            return
        third = set((yield Ask(strategy, window)).tokens)
        fourth = set((yield Ask(other, window)).tokens)
        if lost := ((second & fourth) - third) | ((first & third) - second):
            raise FilterIgnoredError(
                f"{self._walk.operation}: {strategy.name} and {other.name} disagree about ids {window}: only one "
                f"brings {self._walk.identity_field} {min(map(str, lost))}; the server misreads a condition; use the "
                "strategy prefix",
                span=window,
            )


def _parts(ids: IdRange, cause: RemoteError | None, pace: Pace) -> Iterator[Work]:
    """The parts of ids that failed, the last one first: decimal blocks where they are wide, else halves."""
    decimal = pace.decimal or len(ids) > 10 * pace.safe
    parts = list(ids.tile(part(ids, decimal=True)) if decimal else ids.halves())
    isolating = cause is not None and cause.remedy == "isolate"
    for place, one in enumerate(reversed(parts)):
        yield Work(one, cause, suspect=isolating and place == 0)


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
