"""The paginator: a plan for a walk, which chooses a strategy when it begins and another when the server changes.

What lives here: the options of a walk and the choice. The walk itself is in `walking`, the evidence in `probing`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from magento_pager.errors import FilterIgnoredError, NoStrategyError, PagerError, RemoteError
from magento_pager.walk.ahead import Ahead, Tuner
from magento_pager.walk.calls import walked
from magento_pager.walk.changes import find_changes, usual
from magento_pager.walk.pages import CURSOR_VERSION, Cursor, Page
from magento_pager.walk.partitions import shares
from magento_pager.walk.planning import Plan, plan
from magento_pager.walk.probing import (
    HOLDS_EVERYWHERE,
    ProbeReport,
    Sighting,
    believe_emptiness,
    ground,
    judged,
    others,
    probe,
)
from magento_pager.walk.ranges import LARGEST_NUMBER, MAX_ID, IdRange
from magento_pager.walk.reading import PATIENCE, Known, Reader, Row, Source
from magento_pager.walk.recovery import is_verdict
from magento_pager.walk.strategies import KEY, KeyRange, Prefix, Strategy
from magento_pager.walk.surveying import Survey, survey
from magento_pager.walk.turns import Turnstile
from magento_pager.walk.walk import DEFAULT_GOAL
from magento_pager.walk.windows import Pace

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from datetime import datetime

    from magento_pager.walk.conditions import Condition, Query
    from magento_pager.walk.windows import Goal

MOST_NICE = 1_000_000
ENOUGH_SEEN = 8  # pages with rows, before they are given up as a ground to judge strategies on
SURVEYED = 24  # calls at most, to cut a list into even parts
Stage: TypeAlias = Callable[[Page], Page]
"""What is done to every page before it is delivered: more fields to its rows, say. The window stays as it is."""


@dataclass(frozen=True, slots=True)
class Paginator:
    """Every row of a list, each exactly once, in order of id.

    Immutable and reusable: each iteration is a walk of its own, and nothing is asked before the first row is wanted.
    Rows that exist during the whole walk are delivered exactly once; rows inserted or deleted meanwhile at most once.

    Attributes:
        source: where rows come from.
        strategy: how a window is put to the server; None to take the first of `candidates` that holds.
        id_field: what rows call the key, `order_id` in orders.
        identity_field: another field that no two rows share, for lists whose rows may carry no id; None where every
            row must carry one. Such rows can be checked less: to be unlike those of the page and the page before, and
            on every sixteenth page to be the same that `prefix` brings.
        operation: the name of the list, for cursors and messages.
        key: what filters call the key.
        where: the user's own conditions, sent with every query and checked on every row that holds their field.
        window: ids in each window with rows, at least 1; None to aim at `goal`.
        first: the first id to cover, inclusive.
        last: the last id to cover, inclusive.
        goal: rows and seconds that a call should bring, where `window` is None.
        patience: seconds for which a window is tried again, ever more slowly, before a passing failure ends the walk.
        repairing: the same list with characters taken out of replies that XML forbids. Where it is given, a row that
            breaks its replies is read from there; else, like others that break theirs, it is left out and named.
        candidates: strategies in order of preference. Where there are any, the server is probed before the walk, and
            again when it no longer honours what it did; where there are none, `strategy` is used as it is.
        since: only rows that were changed at that moment or later; None for all. How the server is told so is tried at
            the beginning of a walk, on a row that is known.
        stages: what is done to every page, in this order, before it is delivered.
        lookahead: ask for the next window while a page is decoded and used; still one call under way at a time.
        parallel: calls that may be under way at once, at least 1; "auto" raises it as long as more rows come.
        nice: seconds to leave the server alone after a call, for each second that the call took.
        asked: the user's own conditions as they were given, which checkpoints compare; `where` is what is sent.
    """

    source: Source
    strategy: Strategy | None
    id_field: str
    identity_field: str | None = None
    operation: str = ""
    key: str = KEY
    where: tuple[Condition, ...] = ()
    window: int | None = None
    first: int = 0
    last: int = MAX_ID
    goal: Goal = DEFAULT_GOAL
    patience: float = PATIENCE
    repairing: Source | None = None
    candidates: tuple[Strategy, ...] = ()
    since: datetime | None = None
    stages: tuple[Stage, ...] = ()
    lookahead: bool = False
    parallel: int | Literal["auto"] = 1
    nice: float = 0.0
    asked: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        IdRange(self.first, self.last)
        if self.since is not None:
            usual(self.since)  # refuses a time without a zone
        _check_parallel(self.parallel)
        if not 0 <= self.nice <= MOST_NICE:
            raise ValueError(f"nice is 0 or more, at most {MOST_NICE} times what a call takes, not {self.nice}")
        if max(self.last, self.window or 0) > LARGEST_NUMBER:
            raise ValueError(f"an id or a window is at most {LARGEST_NUMBER}")
        for one in self.candidates if self.strategy is None and self.candidates else (self.strategy,):
            if not isinstance(one, Strategy):
                raise TypeError(f"a strategy has a name and a method queries(window, known); {one!r} has not")
            self._pace(one)

    def __iter__(self) -> Iterator[Row]:
        for page in self.pages():
            yield from page.rows

    def pages(self, resume: Cursor | None = None) -> Iterator[Page]:
        """The pages of the walk, empty ones included: the last one's cursor says that all ids were covered.

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
        return self._finished(resume)

    def queries(self) -> Iterator[Query]:
        """The queries of consecutive windows, without asking anything: what the strategy would say.

        Raises:
            ValueError: the strategy is still to be chosen by asking the server.
        """
        strategy = self.strategy
        if strategy is None:
            raise ValueError(
                "which strategy holds is decided by asking the server: name one to see its queries offline"
            )
        windows = IdRange(self.first, self.last).tile(self._pace(strategy).width)
        return (
            replace(query, conditions=query.conditions + self._sent)
            for window in windows
            for query in strategy.queries(window, None)
        )

    def probe(self, *, exhaustive: bool = False) -> ProbeReport:
        """Ask the server which of the candidates it honours for this list.

        Args:
            exhaustive: judge every candidate, instead of ending with the first that holds.

        Raises:
            NoStrategyError: the server does not even honour `like`.
            RemoteError: a call failed in a way that says nothing of filters.
        """
        return probe(self._reader, self.candidates, exhaustive=exhaustive)

    def plan(self) -> Plan:
        """Say how many rows there are, about, and what a walk would cost, from at most 60 calls of 1,000 rows at most.

        Raises:
            NoStrategyError: the strategy does not hold on this server, or none does.
            RemoteError: a call failed.
        """
        reader = replace(self._reader, where=self._sent, turn=Turnstile(1, self.nice).call)
        chosen = self._chosen(Cursor(self.operation, self.first, self.last), reader)
        return plan(reader, chosen, IdRange(self.first, self.last), self.goal, self.window)

    def survey(self, most: int) -> Survey:
        """How many rows there are, about, and up to which id, from so many small calls at most; nothing is retried.

        Raises:
            RemoteError: a call failed.
        """
        reader = replace(self._reader, patience=0.0, turn=Turnstile(1, self.nice).call)
        return survey(reader, IdRange(self.first, self.last), most, prove=False)

    def parts(self, ranges: Iterable[IdRange]) -> Iterator[Page]:
        """The pages of some ranges of ids alone; the strategy is chosen once. Stages are left out.

        Args:
            ranges: the ids to cover, each inclusive, in any order.

        Raises:
            PagerError: as `pages`.
        """
        reader = replace(self._reader, turn=Turnstile(1, self.nice).call)
        strategy, known, _ = self._chosen(Cursor(self.operation, self.first, self.last), reader)
        for one in ranges:
            yield from self._walked(strategy, reader, Cursor(self.operation, one.first, one.last), known)

    def partitions(self, n: int) -> tuple[Cursor, ...]:
        """Cut the list for several readers: cursors that cover every id exactly once, of about as many rows each.

        A partition is a cursor, which is where its walk begins and ends: it is fit for JSON and for pickle, and another
        process or machine reads it with a paginator of its own that asks for the same: `pages(resume=partition)`. A
        page's cursor goes on with the same partition. Together the partitions bring the rows of one walk.

        Args:
            n: partitions at most, at least 1; there are fewer where there are few rows. To cut the list takes up to 24
                small calls, and none where `n` is 1. The parts are less even where rows carry no ids.

        Raises:
            ValueError: `n` is below 1.
            RemoteError: a call failed.
        """
        if n < 1:
            raise ValueError(f"a list is cut into 1 partition or more, not {n}")
        span = IdRange(self.first, self.last)
        if n == 1:
            return (Cursor(self.operation, span.first, span.last),)
        reader = replace(self._reader, where=self._sent, turn=Turnstile(1, self.nice).call)
        parts = shares(survey(reader, span, SURVEYED, prove=False), span, n)
        return tuple(Cursor(self.operation, one.first, one.last) for one in parts)

    def _finished(self, cursor: Cursor) -> Iterator[Page]:
        """The pages of the walk, after all stages; where one fails, its page is still to come."""
        with closing(self._pages(cursor) if self.since is None else self._changed(cursor, self.since)) as pages:
            for walked in pages:
                page = walked
                try:
                    for stage in self.stages:
                        page = stage(page)
                except PagerError as error:
                    error.cursor = cursor
                    raise
                cursor = page.cursor
                yield page
                del walked, page  # nobody else may want its rows, and the next ones take as much memory

    def _changed(self, cursor: Cursor, since: datetime) -> Generator[Page]:
        """The walk over what changed, once it is known how the server is told so."""
        try:
            changes = find_changes(self._reader, since)
        except PagerError as error:
            error.cursor = cursor
            raise
        spent = changes.calls
        plan = replace(self, where=(*self.where, *changes.conditions), since=None, stages=())
        with closing(cast("Generator[Page]", plan.pages(cursor))) as pages:
            for page in pages:
                yield replace(page, changes=changes).with_calls(spent)
                spent = 0
                del page  # as in _finished

    def _pages(self, cursor: Cursor) -> Generator[Page]:
        """The walk; where the server no longer honours what it did, the rest of it with a strategy that holds now.

        From the low end of the ids no probe is needed for a key range: its first pages with rows are its test.
        """
        turnstile = Turnstile(1 if self.parallel == "auto" else self.parallel, self.nice)
        reader = replace(self._reader, turn=turnstile.call)
        untested = self.strategy is None and cursor.next_id == 0 and isinstance(self.candidates[0], KeyRange)
        strategy, known, spent = (self.candidates[0], None, 0) if untested else self._chosen(cursor, reader)
        failed_at = -1
        nothing = bool(self.candidates) and (cursor.next_id, cursor.last_id) == (0, MAX_ID)
        undecided = self.strategy is None and known is None and cursor.next_id == 0
        seen: list[Sighting] | None = [] if undecided else None
        while True:
            try:
                with closing(self._walked(strategy, reader, cursor, known, turnstile)) as pages:
                    for page in pages:
                        nothing = nothing and not page.rows and not page.quarantined
                        if nothing and page.cursor.next_id > MAX_ID:
                            believe_emptiness(reader)
                        yield page.with_calls(spent)
                        cursor, spent = page.cursor, 0
                        if seen is not None and page.rows:
                            seen.append(Sighting(page.window, tuple(map(reader.token, page.rows))))
                            untested = untested and page.window.first == 0
                            if not untested and (ground(seen) or len(seen) > ENOUGH_SEEN):
                                report, seen = self._judged(strategy, seen, reader), None
                                if report is not None and report.chosen is not None:
                                    strategy, known, spent = self._best(report), _known(report), report.calls
                                    break
                        del page
                    else:
                        return
            except RemoteError as error:
                error.cursor = error.cursor or cursor
                if not self._may_change(error):
                    raise
                before = strategy
                strategy, known, spent = self._fallback(before, seen or [], cursor, reader)
                if strategy == before and cursor.next_id == failed_at:
                    raise  # it passes the test and fails in use: there is no trusting it
                failed_at, untested, seen = cursor.next_id, False, None

    def _may_change(self, error: RemoteError) -> bool:
        """Whether a failure says that the strategy is not honoured, and another one may be taken."""
        if self.strategy is None and error.remedy == "stop" and is_verdict(error):
            return True
        # A strategy chosen by name is kept, unless its canary may merely have been deleted.
        chosen = self.strategy is None or getattr(error, "missing_canary", None) is not None
        return isinstance(error, FilterIgnoredError) and bool(self.candidates) and chosen

    def _fallback(
        self, failed: Strategy, seen: Sequence[Sighting], cursor: Cursor, reader: Reader
    ) -> tuple[Strategy, Known | None, int]:
        """The strategy to go on with, tried on rows that came already where they are enough for that."""
        if isinstance(failed, KeyRange) and self.strategy is None and ground(seen):
            report = judged(reader, others(self.candidates, failed), seen)
            if report.chosen is not None:
                return self._best(report), _known(report), report.calls
        return self._chosen(cursor, reader)

    def _judged(self, strategy: Strategy, seen: list[Sighting], reader: Reader) -> ProbeReport | None:
        """What the walk's own first rows prove, where the probe found too few at its price; none below is unknown."""
        if isinstance(strategy, KeyRange):
            return None
        return judged(reader, self.candidates, seen)

    def _chosen(self, cursor: Cursor, reader: Reader) -> tuple[Strategy, Known | None, int]:
        """The strategy to walk with, once the server was asked; a row that was met on the way; the calls made."""
        try:
            if self.strategy is None:
                report = probe(reader, self.candidates)
                strategy = self._best(report)
            elif self.candidates and not isinstance(self.strategy, HOLDS_EVERYWHERE):
                report, strategy = self._tested(self.strategy, reader), self.strategy
            else:
                return self.strategy, None, 0
        except PagerError as error:
            error.cursor = cursor
            raise
        return strategy, _known(report), report.calls

    def _best(self, report: ProbeReport) -> Strategy:
        """The first candidate that holds."""
        if report.chosen is None and report.trials:
            raise NoStrategyError(f"{self.operation}: no strategy holds on this server\n{report}", report=report)
        by_name = {candidate.name: candidate for candidate in self.candidates}
        return by_name[report.chosen] if report.chosen else Prefix(self.key)

    def _tested(self, strategy: Strategy, reader: Reader) -> ProbeReport:
        """The evidence for a strategy that was chosen by name; an error unless the server honours it."""
        report = probe(reader, [strategy])
        if report.holds(strategy.name) is False:
            best = probe(reader, self.candidates)
            raise NoStrategyError(
                f"{self.operation}: the strategy {strategy.name} does not hold on this server: "
                f"{report.trials[0].outcome}; use the strategy {best.chosen or 'prefix'}",
                report=report,
            )
        return report

    def _walked(
        self,
        strategy: Strategy,
        reader: Reader,
        cursor: Cursor,
        known: Known | None,
        turnstile: Turnstile | None = None,
    ) -> Generator[Page]:
        """The walk with a strategy; with a turnstile it asks ahead, if it may at all."""
        ahead = None
        if turnstile is not None and (self.lookahead or self.parallel != 1):
            ahead = Ahead(reader, turnstile, Tuner() if self.parallel == "auto" else None)
        return walked(
            reader,
            strategy,
            cursor,
            known,
            window=self.window,
            goal=self.goal,
            plain=not self.candidates,
            ahead=ahead,
        )

    def _pace(self, strategy: Strategy) -> Pace:
        """How wide windows are at first."""
        return Pace.start(self.goal, self.window, decimal=getattr(strategy, "decimal", False))

    @property
    def _sent(self) -> tuple[Condition, ...]:
        """The user's conditions and, as most servers take it, the one on time, where it is not tried before."""
        return self.where if self.since is None else (*self.where, usual(self.since))

    @property
    def _reader(self) -> Reader:
        return Reader(
            self.source,
            self.id_field,
            self.identity_field,
            self.operation,
            self.key,
            self.where,
            self.patience,
            self.repairing,
        )


def _check_parallel(parallel: object) -> None:
    if parallel != "auto" and not (isinstance(parallel, int) and parallel >= 1):
        raise ValueError(f'parallel is "auto" or at least 1 call, not {parallel!r}')


def _known(report: ProbeReport) -> Known | None:
    """The row that a probe met, which may serve as a canary."""
    return None if report.canary is None else Known(report.canary, report.canary)
