"""One walk over the ids, as a flow: it yields pages that together cover every id of a range.

What lives here: the loop from window to page, gaps, failures, and the end. The driver in `calls` makes the calls.

The walk is a stack of ranges that remain to be covered; together they are all ids after the last page. The walk takes
one off; if the window at its start is wide, a sample shows how far it may reach; it requests the window and delivers
its page. After a failure that a smaller window may fix, it pushes the parts of the window instead. The walk ends when
the stack is empty: every id was then covered by an answered query. An empty page says nothing about the ids after it.

A walk uses two strategies: one that reads the rows, and another for windows that the first cannot read: too wide ones,
and those before a known row is found that the first strategy needs.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from magento_pager.errors import RemoteError
from magento_pager.walk.checks import Checks
from magento_pager.walk.evidence import FoundRows
from magento_pager.walk.flows import Flow, Piece, Reply, WindowRequest, attempt_flow, filtered, find_known_row
from magento_pager.walk.gaps import Gaps
from magento_pager.walk.isolation import SINGLE_ROW_RETRIES, Isolation, Outcome, ReadableRow
from magento_pager.walk.pages import Quarantined
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.recovery import FEW_ATTEMPTS, action
from magento_pager.walk.strategies import (
    KEY,
    InList,
    Prefix,
    Regexp,
    SingleFilter,
    Strategy,
    equivalent_ranges,
    is_decimal,
    needs_canary,
    widest,
)
from magento_pager.walk.trials import Choice, Choosing
from magento_pager.walk.windows import Goal, Pace, cut_at, round_end
from magento_pager.walk.work import Stack, Work, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

DEFAULT_GOAL = Goal()
SAMPLED_AFTER = 3  # pages with rows: then a sample, needed at the end anyway, estimates the rows ahead
LOOKING_WIDTH = 200  # ids in a window while searching for rows
MOST_DOUBTS = 2  # ids that fail only with this strategy: then it drops a bound, and a row elsewhere breaks replies
ATTEMPTS = 3  # to get a reply that contains a known row
ENOUGH_SEEN = 8  # pages with rows to remember, for tests of strategies


@dataclass(frozen=True, slots=True)
class Walk:
    """Options of a walk.

    Attributes:
        strategy: reads the rows; None to test the candidates and choose one.
        operation: the name of the list, for messages.
        key: the name of the key in filters.
        identity_field: another field that identifies rows that carry no id; None where every row has one.
        window: ids in each window with rows, at least 1; None to aim at `goal`.
        goal: rows and seconds per call, where `window` is None.
        repair: read rows that control characters break without these characters.
        lenient: skip a row that breaks its replies without testing whether others can be read; for searches.
        once: with `lenient`, make only one attempt at each window, even if waiting may help.
        twice: read each window a second time, by another strategy.
        candidates: strategies in order of preference. If there are none, the server is not Magento: the strategy is not
            tested, and samples use only `like` with `_`.
    """

    strategy: Strategy | None
    operation: str = ""
    key: str = KEY
    identity_field: str | None = None
    window: int | None = None
    goal: Goal = DEFAULT_GOAL
    repair: bool = False
    lenient: bool = False
    once: bool = False
    twice: bool = False
    candidates: tuple[Strategy, ...] = ()

    def flow(self, span: IdRange, choice: Choice | None = None, identities: Iterable[str] = ()) -> Flow[None]:
        """Cover a range of ids, in order.

        Args:
            span: the ids, inclusive.
            choice: the strategy and a known row, if both were found already.
            identities: the identities of rows without ids before this range.

        Raises:
            NoStrategyError: the server does not honour the strategy, or any strategy.
            FilterIgnoredError: the server does not honour the strategy, and no other may be used.
            RemoteError: a call failed in a way that no smaller window fixes.
        """
        choice = choice or (yield from self.choosing.initial(span.first))
        second = (yield from self.choosing.second_strategy(choice.strategy)) if self.twice else None
        yield from _Course(self, span, choice, identities, second).flow()

    @property
    def choosing(self) -> Choosing:
        """The choice of the strategy, and of its replacement."""
        return Choosing(self.candidates, self.strategy, self.key, self.operation, self.prefix_walk)

    def pace(self, strategy: Strategy) -> Pace:
        """Return the pace for the first window of a strategy."""
        return Pace.start(self.goal, self.window, decimal=is_decimal(strategy))

    def prefix_walk(self) -> Flow[None]:
        """Look for rows: all ids `by_prefix`, in narrow windows."""
        return self.by_prefix(IdRange(0, MAX_ID), LOOKING_WIDTH)

    def by_prefix(self, span: IdRange, window: int | None, *, once: bool = False) -> Flow[None]:
        """Walk over some ids by `prefix`, which every server honours, and skip rows that break their replies."""
        prefix = Prefix(self.key)
        walk = replace(self, strategy=prefix, window=window, repair=False, lenient=True, once=once, twice=False)
        return _Course(walk, span, Choice(prefix), ()).flow()


class _Course:
    """State of a running walk: the ranges that remain, and everything that the next request depends on."""

    def __init__(
        self, walk: Walk, span: IdRange, choice: Choice, identities: Iterable[str], second: Strategy | None = None
    ) -> None:
        self._walk = walk
        self._key = walk.key
        self._span = span
        self._stack = Stack([Work(span)])
        self._strategy, self._known = choice
        self._pace = walk.pace(self._strategy)
        self._gaps = Gaps(walk.key, walk.operation, self._known, plain=not walk.candidates)
        self._isolation = Isolation(walk.operation, partial(ReadableRow.still_exists, key=walk.key), repair=walk.repair)
        names, ranges = (walk.key, walk.operation, walk.identity_field), equivalent_ranges(walk.candidates)
        self._checks = Checks(self._gaps, *names, identities=identities, second=second, ranges=ranges)
        self._held: IdRange | None = None  # ids without rows, which the next window covers again
        self._doubtful = False  # whether rows are likely in the held ids
        self._no_rows_below = span.first == 0  # no row found yet, from id 0 on
        self._estimates = bool(walk.candidates) and not walk.lenient and span.last == MAX_ID
        self._empty = True  # no row was returned yet
        self._confirms = bool(walk.candidates) and not walk.lenient  # check once more that an empty list is empty
        self._pages = 0  # with rows
        self._after_rows = False  # the last window returned rows by the strategy of the walk
        self._early: IdRange | None = None  # the window that the driver requested early
        self._doubts = 0  # ids for which only the strategy of the walk failed, since it last returned rows
        self._broken_rows = 0  # in a row; after two, expect more
        self._seen: list[FoundRows] = []  # the first pages with rows
        self._failed: set[str] = set()  # strategies that were not honoured for the present window
        self._failed_at = -1
        self._gave_up = False  # a window was split although waiting might have helped
        self._wide: Pace | None = None  # the pace before windows were split

    def flow(self) -> Flow[None]:
        """Cover the ids."""
        while self._stack or self._held:
            work = self._stack.pop() if self._stack else None
            if work is None:
                yield from self._end()
            elif work.suspect and len(work.ids) > 1:  # all parts before it could be read: it would fail again
                self._stack += parts_of(work.ids, work.cause, self._pace)
            else:
                yield from self._cover(work)

    def _cover(self, work: Work) -> Flow[None]:
        """Request the window at the start of a range and deliver it; push the rest of the range."""
        window = yield from self._window(work)
        strategy = self._strategy_for(window, failed=work.cause is not None)
        if self._held and self._may_cover(window, work, strategy):
            window = IdRange(self._held.first, window.last)
        reading = self._recheck(window) if work.recheck else self._checked(strategy, window, work)
        answer = yield from attempt_flow(reading)
        if isinstance(answer, RemoteError) and self._walk.choosing.may_change(answer):
            yield from self._change_over(answer, work.ids.first)
            self._stack.append(work)
            return
        if window.last < work.ids.last:
            self._stack.append(work._replace(ids=IdRange(window.last + 1, work.ids.last)))
        if isinstance(answer, RemoteError):
            yield from self._recover(answer, window, work, strategy)
        elif not answer.by_ids and self._walk.window and len(window) > self._walk.window:
            self._stack.split_dense(window, work, len(answer.rows))  # such rows cannot be cut into narrower pages
        else:
            part = yield from self._covered(answer, window, work, strategy)
            yield from self._deliver(answer, window, work, strategy, part=part)

    def _recover(self, error: RemoteError, window: IdRange, work: Work, strategy: Strategy) -> Flow[None]:
        """Decide how to continue after a window failed.

        If waiting may help, wait until a row that was read before can be read again, or find another readable one. Then
        try the window once more, and split it: the server, or a gateway before it, gave up on this window.
        """
        if self._held and self._held.first >= window.first:
            self._held = None  # the window includes them
        readable = None if self._walk.lenient else self._isolation.readable
        if error.remedy == "retry" and not self._walk.once:
            gateway = action(error, narrowed=False) == "narrow" and len(window) > 1
            if readable is None and not (gateway or self._walk.lenient):
                readable = self._isolation.readable = yield from self._any_readable()
            elif readable is not None and not work.cause and not self._gave_up:
                self._isolation.readable = readable if (yield from self._isolation.still_works(readable)) else None
            unknown = readable is None and not gateway  # the server may be down
            early = not (work.cause or self._gave_up) and (unknown or readable is not None)
            if not work.retried and (early or (unknown and not self._walk.lenient)):
                self._stack.append(work._replace(ids=window, retried=True))
                return
            if unknown:
                raise error
            self._gave_up = True
        elif error.remedy != "retry" and action(error, narrowed=work.cause is not None) == "stop":
            raise error
        if self._held and self._held.last < window.first:  # cover the held ids first
            self._stack += [work._replace(ids=window), Work(self._held, recheck=True)]
            self._held = None
        elif len(window) > 1:
            self._narrow(work, window, error)
        else:
            outcome = yield from self._isolate(window, error, own=strategy is self._strategy)
            answer, prefix = outcome.value or Reply(), Prefix(self._key)
            yield from self._deliver(answer, window, work, prefix, part=window, outcome=outcome)

    def _deliver(
        self,
        answer: Reply,
        window: IdRange,
        work: Work,
        strategy: Strategy,
        *,
        part: IdRange | None,
        outcome: Outcome[Reply] | None = None,
    ) -> Flow[None]:
        """Learn from a reply, and deliver the part of its window that is covered."""
        yield from self._learn(answer, window, work, strategy, outcome)
        if part is not None:
            self._checks.accepted(answer, part)
            yield from self._pieces(answer, part, strategy, outcome)
        if work.dense:
            self._stack.count_rows(len(answer.rows))

    def _covered(self, answer: Reply, window: IdRange, work: Work, strategy: Strategy) -> Flow[IdRange | None]:
        """Return the ids of a window that are definitely covered; None for none.

        An empty window is held back, and so are the ids after the last row if more rows are likely: the next window
        begins there, which costs no call. So a reply that lacks rows at its end is never accepted alone.
        """
        held, self._held = self._held, None
        if held is not None and window.first > held.last:  # they were requested already
            if not answer.rows:
                self._doubtful |= self._checks.rows_likely(answer, window, after_rows=self._after_rows)
                self._held = IdRange(held.first, window.last)
                return None
            recheck = (yield from attempt_flow(self._recheck(held))) if self._doubtful else Reply()
            if isinstance(recheck, RemoteError) or recheck.rows:
                plain = self._stack and self._stack[-1] == Work(self._stack[-1].ids)
                last = self._stack.pop().ids.last if plain else window.last
                self._stack.append(Work(IdRange(held.first, last)))
                return None
            yield from self._pieces(Reply(), held, strategy, None)
        if work.recheck or work.cause or work.dense or self._walk.lenient:
            return window
        first = self._checks.tail_start(answer, window, strategy)
        self._doubtful = first is not None and self._checks.rows_likely(answer, window, after_rows=self._after_rows)
        costs = is_decimal(strategy) and len(window) > self._pace.safe_width  # covering it again takes several calls
        if first is None or not (self._doubtful or (first == window.first and not costs)):
            return window
        self._held = IdRange(first, window.last)
        return IdRange(window.first, first - 1) if first > window.first else None

    def _end(self) -> Flow[None]:
        """Cover the ids that are held back, after all others."""
        held, self._held = self._held, None
        if held is not None and self._doubtful:
            self._stack.append(Work(held, recheck=True))
        elif held is not None:
            yield from self._pieces(Reply(), held, self._strategy, None)

    def _recheck(self, ids: IdRange) -> Flow[Reply]:
        """Request ids without rows once more, starting at the last row, which must be returned."""
        strategy, last = self._strategy_for(ids), self._checks.last
        first = ids.first if last is None or is_decimal(strategy) else last
        for _ in range(ATTEMPTS):
            attempts = FEW_ATTEMPTS if self._isolation.readable else 0  # as for other windows
            reply = yield WindowRequest(strategy, IdRange(first, ids.last), self._known, attempts=attempts, check=True)
            if first == ids.first or last in reply.tokens:
                break
        return replace(reply, rows=tuple(pair for pair in reply.rows if isinstance(pair[0], str) or pair[0] in ids))

    def _request(self, strategy: Strategy, window: IdRange, work: Work) -> WindowRequest:
        """Return the request of a window; after a window with rows, the next ones may be requested ahead."""
        last, pace = work.ids.last, self._pace
        steady = self._after_rows and work.cause is None and not work.dense  # the next window is not a part

        def following(before: IdRange) -> IdRange | None:
            if before.last >= last or not steady:
                return None
            window = pace.window(before.last + 1, last)
            return window if len(window) <= pace.safe_width and self._strategy_for(window) is strategy else None

        bounded = self._no_rows_below and isinstance(strategy, SingleFilter) and window.last < MAX_ID
        ids = IdRange(0, window.last) if bounded else window  # one bound is enough if there is no row below
        return WindowRequest(strategy, ids, self._known, attempts=self._attempts(window, work), following=following)

    def _attempts(self, window: IdRange, work: Work) -> int:
        """Return the attempts at a window before testing a known row; 0 to retry as long as patience lasts."""
        if self._walk.once or (self._isolation.readable is not None and not self._walk.lenient):
            return 1 if self._walk.once or work.retried or work.cause or self._gave_up else FEW_ATTEMPTS
        return FEW_ATTEMPTS if not work.retried and (len(window) > 1 or not self._walk.lenient) else 0

    def _checked(self, strategy: Strategy, window: IdRange, work: Work) -> Flow[Reply]:
        """Request a window, and make the checks that compare several replies."""
        request = self._request(strategy, window, work)
        answer = yield request
        yield from self._checks.check_inserted(answer, window)
        fits = not self._walk.window or len(window) <= self._walk.window
        if not fits and self._checks.repeated_identities(answer):
            answer = yield replace(request, following=None, check=True)
        dense = not (fits or answer.by_ids)
        if dense or self._walk.lenient:  # it will be split
            return answer
        own = strategy is self._strategy
        fresh, held = window.first, self._held
        if held and held.last < window.last and not (self._doubtful and held.first - 1 == self._checks.last):
            fresh = held.last + 1
        least = self._stack.rows_expected(work)
        confirm = partial(self._checks.confirm, own=own, after_rows=self._after_rows, least=least)
        return (yield from confirm(answer, request, window, fresh))

    def _may_cover(self, window: IdRange, work: Work, strategy: Strategy) -> bool:
        """Return whether a window may begin at the ids that are held back."""
        early = self._early is not None and self._early.first == window.first
        held = self._held if window.first == work.ids.first else None
        plain = not (early or work.cause or work.dense or work.recheck)
        return held is not None and plain and window.last + 1 - held.first <= widest(strategy)

    def _isolate(self, window: IdRange, error: RemoteError, *, own: bool) -> Flow[Outcome[Reply]]:
        """Decide about one id whose request failed, and about the strategy if the row is not broken."""
        prefix = Prefix(self._key)

        def request_again(insist: int, repair: bool) -> Flow[Reply]:  # noqa: FBT001  see RequestAgain
            request = WindowRequest(
                prefix, window, insist=insist, attempts=max(FEW_ATTEMPTS, insist + 1), repair=repair
            )
            reply = yield request
            if self._walk.lenient:
                return reply
            confirm = partial(self._checks.confirm, own=False, after_rows=False, least=0)
            return (yield from confirm(reply, request, window, window.first))

        others = None if self._walk.lenient else partial(self._other_rows, window.first)
        outcome = yield from self._isolation.decide(f"id {window.first}", error, request_again, others)
        if own and not outcome.broken:
            self._doubts += 1
            if self._doubts == MOST_DOUBTS and self._walk.candidates and self._walk.strategy is None:
                yield from self._change_over(error, window.first)
        return outcome

    def _other_rows(self, number: int) -> Iterator[Flow[ReadableRow | None]]:
        """Find a readable row after an id, then before it; skip others that break their replies."""
        after = IdRange(number + 1, MAX_ID) if number < MAX_ID else None
        before = IdRange(0, number - 1) if number > 0 else None
        for span in filter(None, (after, before)):
            yield ReadableRow.first_of(filtered(self._walk.by_prefix(span, self._walk.window), (), any_row=True))

    def _any_readable(self) -> Flow[ReadableRow | None]:
        """Find a row that can be read at once, to distinguish a broken window from a failing server."""
        all_rows = self._walk.by_prefix(IdRange(0, MAX_ID), LOOKING_WIDTH, once=True)
        first = yield from attempt_flow(ReadableRow.first_of(all_rows))
        return None if isinstance(first, RemoteError) else first

    def _change_over(self, error: RemoteError, position: int) -> Flow[None]:
        """Continue from an id with a strategy that the server honours now."""
        self._failed = {self._strategy.name} | (self._failed if position == self._failed_at else set())
        repeated = position == self._failed_at  # a strategy that failed elsewhere may work here
        self._failed_at = position
        self._strategy, self._known = yield from self._walk.choosing.replacement(self._strategy, self._seen)
        if repeated and self._strategy.name in self._failed:
            raise error  # it passes the test but fails in use
        log.info("continuing from id %d with strategy %s: %s", position, self._strategy.name, error)
        self._after_rows, self._early = False, None
        self._pace = self._pace.for_strategy(decimal=is_decimal(self._strategy))

    def _learn(
        self, answer: Reply, window: IdRange, work: Work, strategy: Strategy, outcome: Outcome[Reply] | None
    ) -> Flow[None]:
        """Update the state after a reply."""
        self._early = answer.ahead
        self._broken_rows = self._broken_rows + 1 if outcome else 0
        if self._broken_rows == 1 or (work.cause is not None and answer.rows and work.cause.remedy == "split"):
            rest = [Work(IdRange(window.last + 1, self._span.last))] if window.last < self._span.last else []
            self._stack = Stack(rest)
        if answer.rows:
            yield from self._learn_rows(answer, window, work, outcome)
        self._empty = self._empty and not answer.rows and not outcome
        if self._empty and not self._stack and self._confirms and self._span == IdRange(0, MAX_ID):
            yield from self._walk.choosing.confirm_empty()
        self._after_rows = bool(answer.rows) and strategy is self._strategy and not isinstance(strategy, SingleFilter)
        self._doubts = 0 if self._after_rows else self._doubts
        if outcome and outcome.broken:
            self._no_rows_below = self._after_rows = False
            self._pace, self._wide = self._wide or self._pace, None
        elif not work.cause or len(window) >= self._pace.width or (answer.rows and work.cause.remedy != "isolate"):
            self._pace = self._pace.after(window, len(answer.rows), answer.seconds)
        if self._pages == SAMPLED_AFTER and self._estimates and window.last < MAX_ID and answer.rows and answer.by_ids:
            yield from self._gaps.refresh(window.last + 1)

    def _learn_rows(self, answer: Reply, window: IdRange, work: Work, outcome: Outcome[Reply] | None) -> Flow[None]:
        """Update the state after rows were returned."""
        self._wide = self._wide if work.cause else None
        if outcome:
            self._known = None  # the known row may have broken the reply
        if self._known is None and needs_canary(self._strategy) and window.last < MAX_ID:
            self._known = yield from find_known_row(answer, window, self._key, insist=SINGLE_ROW_RETRIES)
        if len(self._seen) < ENOUGH_SEEN:
            self._seen.append(FoundRows(window, answer.tokens))
        self._no_rows_below = False
        self._pages += 1
        self._gaps.record_page(answer.tokens, window)
        row = Reply(answer.rows[:1])
        self._isolation.remember(None if outcome and outcome.repaired else ReadableRow(row, window))

    def _window(self, work: Work) -> Flow[IdRange]:
        """Return the window at the start of a range: all of a part, else what the pace and samples allow."""
        ids, pace = work.ids, self._pace
        if self._early is not None and self._early.first == ids.first:
            return self._early
        if work.cause is not None or work.dense or work.recheck:
            return ids
        window = pace.window(ids.first, ids.last)
        if len(window) <= pace.safe_width:
            return window
        reach = yield from self._gaps.reach(ids, pace, after_rows=self._after_rows)
        if reach is None:
            return window
        reach = min(reach, window.last) if self._after_rows or pace.careful else reach
        last = max(reach, ids.first + pace.safe_width - 1)
        window = IdRange(ids.first, min(last, ids.last))
        cut = pace.decimal and last < ids.last and not self._no_rows_below  # else one bound reads it whole
        return round_end(window) if cut else window

    def _narrow(self, work: Work, window: IdRange, error: RemoteError) -> None:
        """Push the parts of a window that failed; if it was too large, request less from now on."""
        log.info("splitting ids %s into narrower windows: %s", window, error)
        self._after_rows, self._early = False, None
        if self._stack and self._stack[-1].suspect:  # what failed was before it
            self._stack[-1] = self._stack[-1]._replace(suspect=False)
        if error.remedy != "isolate":
            self._wide = self._wide or self._pace
            self._pace = self._pace.after_failure(window)
        if isinstance(self._strategy, SingleFilter) and work.cause is None:
            self._stack.append(Work(window, error))  # the cause may be after the window
        else:
            self._stack += parts_of(window, error, self._pace)

    def _strategy_for(self, window: IdRange, *, failed: bool = False) -> Strategy:
        """Return the strategy of the walk, or one that every server honours if that one cannot read the window.

        At the end of all ids one bound is enough, and also across a gap if no row is below. Elsewhere `prefix` reads a
        wide window; with `in` lists, `regexp` does so in one call instead of one per decimal block. After a failed
        window, one bound would fail again on the ids after it.
        """
        if failed and isinstance(self._strategy, SingleFilter):
            return Prefix(self._key)
        low_end = self._no_rows_below and len(window) > self._pace.safe_width
        fits = len(window) <= widest(self._strategy)
        verifiable = self._known is not None or not needs_canary(self._strategy)
        scans = is_decimal(self._strategy)
        if fits and verifiable and not (scans and (window.last == MAX_ID or low_end)):
            return self._strategy
        if window.last == MAX_ID or low_end:
            return SingleFilter(self._key)
        return Regexp(self._key) if isinstance(self._strategy, InList) and self._known else Prefix(self._key)

    def _pieces(self, answer: Reply, window: IdRange, strategy: Strategy, outcome: Outcome[Reply] | None) -> Flow[None]:
        """Deliver a reply; in pages of the user's width if a window over a gap contained rows after all."""
        tiles = [window]
        if self._walk.window and answer.rows and len(window) > self._walk.window:
            tiles = list(cut_at(window, answer.ids, self._walk.window))
        for tile in tiles:
            rows = tuple(pair for pair in answer.rows if isinstance(pair[0], str) or pair[0] in tile)
            ahead = self._gaps.rows_ahead(tile.last, self._span.last)
            skipped = (Quarantined(tile.first, outcome.reason),) if outcome and outcome.value is None else ()
            repaired = (tile.first,) if outcome and outcome.repaired else ()
            yield Piece(
                tile,
                rows,
                self._strategy.name,
                strategy.name,
                answer.by_ids,
                skipped,
                repaired,
                ahead,
                twice=self._walk.twice,
            )
