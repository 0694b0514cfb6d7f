"""The paginator: a plan for a walk, which chooses a strategy when it begins and another when the server changes.

What lives here: the options of a walk and the choice. The walk itself is in `walking`, the evidence in `probing`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from magento_pager.errors import FilterIgnoredError, NoStrategyError, PagerError
from magento_pager.walk.probing import (
    HOLDS_EVERYWHERE,
    ProbeReport,
    Sighting,
    believe_emptiness,
    ground,
    judged,
    probe,
)
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.reading import PATIENCE, Known, Reader, Row, Source
from magento_pager.walk.strategies import KEY, Prefix, Strategy
from magento_pager.walk.walking import CURSOR_VERSION, DEFAULT_GOAL, Cursor, Page, Walk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from magento_pager.walk.conditions import Condition, Query
    from magento_pager.walk.windows import Goal

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
        stages: what is done to every page, in this order, before it is delivered.
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
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        IdRange(self.first, self.last)
        for one in self.candidates if self.strategy is None and self.candidates else (self.strategy,):
            if not isinstance(one, Strategy):
                raise TypeError(f"a strategy has a name and a method queries(window, known); {one!r} has not")
            self._walk_with(one).pace  # noqa: B018  refuses an impossible window before anything is asked

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
        windows = IdRange(self.first, self.last).tile(self._walk_with(strategy).pace.width)
        return (
            replace(query, conditions=query.conditions + self.where)
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

    def _finished(self, cursor: Cursor) -> Iterator[Page]:
        """The pages of the walk, after all stages; where one fails, its page is still to come."""
        with closing(self._pages(cursor)) as pages:
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

    def _pages(self, cursor: Cursor) -> Generator[Page]:
        """The walk; where the server no longer honours what it did, the rest of it with a strategy that holds now."""
        strategy, known, spent = self._chosen(cursor)
        failed_at = -1
        nothing = bool(self.candidates) and (cursor.next_id, cursor.last_id) == (0, MAX_ID)
        undecided = self.strategy is None and known is None and cursor.next_id == 0
        seen: list[Sighting] | None = [] if undecided else None
        while True:
            try:
                for page in self._walk_with(strategy).pages(cursor, known):
                    nothing = nothing and not page.rows and not page.quarantined
                    if nothing and page.cursor.next_id > MAX_ID:
                        believe_emptiness(self._reader)
                    yield page.with_calls(spent)
                    cursor, spent = page.cursor, 0
                    if seen is not None and (report := self._judged(page, seen)):
                        seen, spent = None, report.calls
                        if report.chosen is not None:
                            strategy, known = self._best(report), _known(report)
                            break
                else:
                    return
            except FilterIgnoredError as error:
                # A strategy chosen by name is kept, unless its canary may merely have been deleted.
                if not self.candidates or (self.strategy is not None and error.missing_canary is None):
                    raise
                before = strategy
                strategy, known, spent = self._chosen(cursor)
                if strategy == before and cursor.next_id == failed_at:
                    raise  # it passes the test and fails in use: there is no trusting it
                failed_at = cursor.next_id
            except PagerError as error:
                error.cursor = error.cursor or cursor
                raise

    def _judged(self, page: Page, seen: list[Sighting]) -> ProbeReport | None:
        """What the walk's own first rows prove, where the probe found too few at its price; none below is unknown."""
        if page.rows:
            seen.append(Sighting(page.window, tuple(map(self._reader.token, page.rows))))
        return judged(self._reader, self.candidates, seen) if page.rows and ground(seen) else None

    def _chosen(self, cursor: Cursor) -> tuple[Strategy, Known | None, int]:
        """The strategy to walk with, once the server was asked; a row that was met on the way; the calls made."""
        try:
            if self.strategy is None:
                report = self.probe()
                strategy = self._best(report)
            elif self.candidates and not isinstance(self.strategy, HOLDS_EVERYWHERE):
                report, strategy = self._tested(self.strategy), self.strategy
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

    def _tested(self, strategy: Strategy) -> ProbeReport:
        """The evidence for a strategy that was chosen by name; an error unless the server honours it."""
        report = probe(self._reader, [strategy])
        if report.holds(strategy.name) is False:
            best = self.probe()
            raise NoStrategyError(
                f"{self.operation}: the strategy {strategy.name} does not hold on this server: "
                f"{report.trials[0].outcome}; use the strategy {best.chosen or 'prefix'}",
                report=report,
            )
        return report

    def _walk_with(self, strategy: Strategy) -> Walk:
        return Walk(self._reader, strategy, self.window, self.goal)

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


def _known(report: ProbeReport) -> Known | None:
    """The row that a probe met, which may serve as a canary."""
    return None if report.canary is None else Known(report.canary, report.canary)
