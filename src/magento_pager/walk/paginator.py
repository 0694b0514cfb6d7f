"""The paginator: the options of a walk.

What lives here: these options, and the code that connects flows with their driver. The walk itself is in `walk`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar, get_args, runtime_checkable

from magento_pager.errors import PagerError, RemoteError
from magento_pager.walk.added import cover_added, cut_pieces
from magento_pager.walk.ahead import Tuner
from magento_pager.walk.bounds import apply_bounds, find_bounds, sent_conditions
from magento_pager.walk.calls import Calls
from magento_pager.walk.changes import default_condition, find_changes
from magento_pager.walk.flows import Flow, filtered
from magento_pager.walk.increment import LastRun, SmallIncrement, small_increment
from magento_pager.walk.limiter import CallLimiter, CallsUnderWay
from magento_pager.walk.names import Check
from magento_pager.walk.pages import CURSOR_VERSION, Cursor, Page, Row, require_tables
from magento_pager.walk.partitions import cut
from magento_pager.walk.planning import Plan, joined, plan
from magento_pager.walk.ranges import LARGEST_NUMBER, MAX_ID, IdRange
from magento_pager.walk.reading import PATIENCE, Reader, Source
from magento_pager.walk.strategies import KEY, Strategy
from magento_pager.walk.walk import DEFAULT_GOAL, Walk
from magento_pager.walk.where_check import WhereCheck

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from datetime import datetime

    import pyarrow as pa

    from magento_pager.walk.bounds import ColumnRange
    from magento_pager.walk.conditions import Condition, Query
    from magento_pager.walk.evidence import ProbeReport
    from magento_pager.walk.pages import Bounds, Changes, Tables
    from magento_pager.walk.windows import Goal

T = TypeVar("T")

MOST_NICE = 1_000_000
PageStage: TypeAlias = Callable[[Page], Page]
"""A function applied to every page before it is delivered. It must keep the window."""


@runtime_checkable
class FlowStage(Protocol):
    """A stage that takes part in a walk and can make requests of its own, such as for full records."""

    def through(self, walk: Flow[None]) -> Flow[None]:
        """Run a walk, and yield its pieces after changing them."""


class WireChoice(Protocol):
    """Chooses the source of a list that can be read by several protocols."""

    def begin(self, paginator: Paginator) -> Paginator:
        """Return a paginator for the same rows, with the source to start with."""

    def instead(self, paginator: Paginator, failed: Paginator, error: RemoteError) -> Paginator | None:
        """Return a paginator with another source than the one that failed; None where there is none."""

    def cost(self) -> int:
        """Return the number of calls made to choose a source since the last call of this method."""

    def used(self) -> Mapping[str, Any]:
        """Return the report entries `wire` and `wire_reason`."""


Stage: TypeAlias = PageStage | FlowStage
"""A stage of a walk. Flow stages run before page stages, whatever their order in `stages`."""


@dataclass(frozen=True, slots=True)
class Paginator:
    """Every row of a list, each exactly once, in order of id.

    Immutable and reusable: each iteration is a separate walk, and makes no call before the first row is requested.
    Rows that exist during the whole walk are delivered exactly once; rows inserted or deleted meanwhile at most once.

    Attributes:
        source: provides the rows.
        strategy: turns windows into queries; None for the first of `candidates` that the server honours.
        id_field: the name of the key in rows, `order_id` in orders.
        identity_field: another field that identifies rows, for lists whose rows may carry no id; None where every row
            must carry one. Rows without ids get weaker checks: they must differ from all others of this page and the
            page before, and on every sixteenth page match the rows that another strategy returns.
        operation: the name of the list, for cursors and messages.
        key: the name of the key in filters.
        where: the user's conditions, sent with every query and checked on every row that has their field.
        window: ids in each window with rows, at least 1; None to aim at `goal`.
        first: the first id to cover, inclusive.
        last: the last id to cover, inclusive.
        goal: rows and seconds per call, where `window` is None.
        patience: seconds for which a temporary failure is retried, with growing pauses, before it ends the walk.
        repairing: the same list, read without the characters that XML forbids. If given, rows that these characters
            break are read from there; otherwise such rows are skipped and named, like all rows that break replies.
        candidates: strategies in order of preference. If there are any, the server is probed before the walk, and again
            when it stops honouring the strategy; if there are none, `strategy` is used without a test.
        since: only rows changed at that time or later; None for all. The condition is tested on a known row at the
            start of a walk.
        new_from: with `since`, the first id of new rows: rows with this id or a higher one are included whenever they
            were changed; None to select by time alone.
        ranges: two bounds on one column each, as further conditions. They are tested in the same way; a bound that the
            server ignores is applied to the rows it returns.
        last_run: with `since` and `new_from`, the results of an earlier walk, so that a few changes take a handful of
            calls; None if there was none.
        stages: functions and flows applied to every page, in this order, before it is delivered; see `Stage`.
        lookahead: request the next window while a page is decoded and used; there is still one call at a time.
        parallel: the limit of concurrent calls, at least 1; "auto" raises it while that increases the throughput.
        check: "full" to read each window by two strategies, and to deliver only rows that both return.
        nice: seconds to pause after a call, for each second that the call took.
        asked: the user's conditions as given, which checkpoints compare; `where` has them as they are sent.
        calls_under_way: shared by all paginators of one shop, so its limit of calls applies to all their walks.
        wires: provides source, strategy and candidates instead of these before the first call; None to use these.
        tables: converts pages to Arrow; None if the columns of the list are not known.

    >>> from magento_pager import connect, fake
    >>> with fake.Shop(orders=3) as shop, connect(shop.url, shop.user, shop.key) as pager:
    ...     [page.window for page in pager.orders(last=99).pages()]
    [IdRange(first=0, last=99)]
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
    new_from: int | None = None
    ranges: tuple[ColumnRange, ...] = ()
    last_run: LastRun | None = None
    stages: tuple[Stage, ...] = ()
    lookahead: bool = False
    parallel: int | Literal["auto"] = 1
    nice: float = 0.0
    check: Check = "usual"
    asked: tuple[Condition, ...] = ()
    calls_under_way: CallsUnderWay = field(default_factory=CallsUnderWay, compare=False, repr=False)
    wires: WireChoice | None = field(default=None, compare=False, repr=False)
    tables: Tables[Paginator] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        IdRange(self.first, self.last)
        if self.since is not None:
            default_condition(self.since)  # refuses a time without a zone
        if self.new_from is not None:
            _check_new_from(self.new_from, self.since)
        _check_parallel(self.parallel)
        if self.check not in get_args(Check):
            raise ValueError(f'check is "usual" or "full", not {self.check!r}')
        if not 0 <= self.nice <= MOST_NICE:
            raise ValueError(f"nice is from 0 to {MOST_NICE} times the time of a call, not {self.nice}")
        if max(self.last, self.window or 0) > LARGEST_NUMBER:
            raise ValueError(f"an id or a window is at most {LARGEST_NUMBER}")
        for strategy in self.candidates if self.strategy is None and self.candidates else (self.strategy,):
            if not isinstance(strategy, Strategy):
                raise TypeError(f"a strategy needs a name and a method queries(window, known); {strategy!r} lacks them")
            self._walk.pace(strategy)

    def __iter__(self) -> Iterator[Row]:
        for page in self.pages():
            yield from page.rows

    def pages(self, resume: Cursor | None = None, came: Iterable[str] = ()) -> Iterator[Page]:
        """Yield the pages of the walk, including empty ones: the last cursor shows that all ids were covered.

        Args:
            resume: the cursor of the last page that was stored, or of a `PagerError`.
            came: where rows carry no ids, the identities of the rows before the cursor, so that a repeated one is
                noticed. Without them the first page is compared with the rows that another strategy returns.

        Raises:
            ValueError: the cursor belongs to another list, format or set of conditions.
            PagerError: the walk cannot continue; `cursor` of the error is where to resume.
        """
        if resume is None:
            resume = Cursor(self.operation, self.first, self.last)
        if (resume.operation, resume.version) != (self.operation, CURSOR_VERSION):
            raise ValueError(f"{resume} does not belong to a walk over {self.operation!r}; start without it")
        if resume.asked not in {None, self._digest}:
            raise ValueError(
                "the cursor belongs to a walk with another `where`, `since` or `new_from`; use the same conditions, or "
                "start without the cursor"
            )
        return self._pages(replace(resume, asked=self._digest), came)

    def record_batches(self, resume: Cursor | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows as Arrow batches, one for each page with rows, with the columns of a Parquet dump.

        A warning names skipped rows, and invalid values, which become null. Needs pyarrow.

        Args:
            resume: as in `pages`.

        Raises:
            ValueError: pyarrow is not installed, or the columns of the list are not known.
            PagerError: the walk cannot continue.
        """
        return require_tables(self.tables).batches(self, resume)

    def to_arrow_reader(self, resume: Cursor | None = None) -> pa.RecordBatchReader:
        """Return the same batches as a reader, for DuckDB, polars or pandas: a page is requested when it is read.

        Closing the reader ends the walk. A `PagerError` becomes an Arrow error with the same message.
        """
        return require_tables(self.tables).reader(self, resume)

    def settled(self) -> Paginator:
        """Return this paginator with the source to start with, if the list can be read by several protocols.

        Raises:
            RemoteError: no protocol returns rows.
        """
        return self if self.wires is None else self.wires.begin(self)

    def queries(self) -> Iterator[Query]:
        """Yield the queries for consecutive windows, without any call.

        Raises:
            ValueError: no strategy is named, so the server would have to be tested.
        """
        strategy = self.strategy
        if strategy is None:
            raise ValueError(
                "without a strategy the server must be tested first: name a strategy to see its queries offline"
            )
        old, new = self._parted(IdRange(self.first, self.last))
        return (
            replace(query, conditions=query.conditions + sent)
            for part, sent in ((old, self._conditions), (new, self.where))
            if part is not None
            for window in part.tile(self._walk.pace(strategy).width)
            for query in strategy.queries(window, None)
        )

    def probe(self, *, exhaustive: bool = False) -> ProbeReport:
        """Ask the server which of the candidates it honours for this list.

        Args:
            exhaustive: test every candidate, instead of stopping at the first that is honoured.

        Raises:
            NoStrategyError: the server does not even honour `like`, or no row could be read because replies are broken;
                the message quotes the last error.
            RemoteError: a call failed for a reason unrelated to filters.
        """
        if self.wires is not None:
            return self._by_wire(self.wires, lambda chosen: chosen.probe(exhaustive=exhaustive))
        return self._calls().result(self._walk.choosing.probe(self.candidates, exhaustive=exhaustive, strict=True))

    def plan(self) -> Plan:
        """Estimate the number of rows and the cost of a walk from about six small calls.

        Servers before 1.6 and lists whose rows carry no ids need more calls, and `new_from` needs twice as many.
        `since`, `new_from` and ranges apply as in the walk, with one exception: rows beyond a bound that the server
        ignores are counted.

        Raises:
            NoStrategyError: the server does not honour the strategy, or any strategy.
            RemoteError: a call failed.
        """
        if self.wires is not None:
            estimate = self._by_wire(self.wires, Paginator.plan)
            reason = self.wires.used()["wire_reason"]
            return replace(estimate, spent=estimate.spent + self.wires.cost(), wire_reason=reason)
        calls = self._calls()
        old, new = self._parted(IdRange(self.first, self.last))
        ranges, plans = sent_conditions(self._bounds(calls)), []
        for part, where in ((old, self._changes(calls)[1] if old else ()), (new, ())):
            if part is not None:
                estimate = calls.result(filtered(plan(self._walk, part), (*where, *ranges)))
                sent = (*self.where, *where, *ranges)
                queries = tuple(replace(query, conditions=query.conditions + sent) for query in estimate.queries)
                plans.append(replace(estimate, queries=queries))
        used: dict[str, Any] = getattr(self.source, "used", dict)()
        return replace(joined(plans), spent=calls.spent, wire=used.get("wire"))

    def parts(self, ranges: Iterable[IdRange]) -> Iterator[Page]:
        """Yield the pages of some ranges of ids only; the strategy is chosen once. Stages are not applied.

        Args:
            ranges: the ids to cover, each inclusive, in any order.

        Raises:
            PagerError: as `pages`.
        """
        if self.wires is not None:
            yield from self.settled().parts(ranges)
            return
        calls = self._calls()
        bounds = self._bounds(calls)
        choice = calls.result(filtered(self._walk.choosing.tested(), sent_conditions(bounds)))
        for ids in ranges:
            flow = apply_bounds(self._walk.flow(ids, choice), bounds, self.operation)
            yield from calls.pages(flow, Cursor(self.operation, ids.first, ids.last))

    def partitions(self, n: int) -> tuple[Cursor, ...]:
        """Partition the list for several readers: cursors that cover every id exactly once, with about equal rows.

        A partition is a cursor: the start and end of its walk. It can be stored as JSON or pickled, and another process
        or machine reads it with an equal paginator: `pages(resume=partition)`. The cursor of a page resumes the same
        partition. Together the partitions return the rows of one walk.

        Args:
            n: the largest number of partitions, at least 1; there are fewer for few rows. Partitioning takes up to 24
                small calls, plus those that test `since` or ranges, and none if `n` is 1. The parts are less even where
                rows carry no ids, and with `new_from`, because only changed rows are counted.

        Raises:
            ValueError: `n` is below 1.
            RemoteError: a call failed.
        """
        if n < 1:
            raise ValueError(f"the number of partitions must be at least 1, not {n}")
        span = IdRange(self.first, self.last)
        if n == 1:
            return (Cursor(self.operation, span.first, span.last, asked=self._digest),)
        if self.wires is not None:
            return self._by_wire(self.wires, lambda chosen: chosen.partitions(n))
        calls = self._calls()
        where = (*self._changes(calls)[1], *sent_conditions(self._bounds(calls)))
        parts = calls.result(filtered(cut(self._walk, span, n), where))
        return tuple(Cursor(self.operation, part.first, part.last, asked=self._digest) for part in parts)

    def _pages(self, cursor: Cursor, identities: Iterable[str]) -> Generator[Page]:
        """Yield the pages of a walk, after testing the conditions for changes and ranges."""
        if cursor.next_id > cursor.last_id:
            return
        if self.wires is not None:
            yield from self._pages_by_wire(self.wires, cursor, identities)
            return
        calls = self._calls(1 if self.parallel == "auto" else self.parallel)
        try:
            span = IdRange(cursor.next_id, cursor.last_id)
            increment = self._small_increment(calls, span)
            known = self._parted(span)[0] is None or increment is not None
            changes, where = (increment and increment.changes, ()) if known else self._changes(calls)
            bounds = self._bounds(calls)
            if self.lookahead or self.parallel != 1:
                calls.read_ahead(Tuner() if self.parallel == "auto" else None)
            flow = apply_bounds(self._flow(span, where, identities, increment), bounds, self.operation)
            del increment  # or its rows take memory
            for stage in self.stages:
                if isinstance(stage, FlowStage):
                    flow = stage.through(flow)
            with closing(calls.pages(flow, cursor)) as pages:
                for plain_page in pages:
                    page = replace(plain_page, changes=changes, bounds=bounds)
                    for stage in self.stages:
                        page = page if isinstance(stage, FlowStage) else stage(page)
                    cursor = page.cursor
                    yield page
                    del plain_page, page  # or their rows take memory while the next ones arrive
        except PagerError as error:
            error.cursor = cursor
            raise

    def _by_wire(self, wires: WireChoice, read: Callable[[Paginator], T]) -> T:
        """Call a function with one source, and with the next one if that fails."""
        first = wires.begin(self)
        try:
            return read(first)
        except RemoteError as error:
            fallback = wires.instead(self, first, error)
            if fallback is None:
                raise
        return read(fallback)

    def _pages_by_wire(self, wires: WireChoice, cursor: Cursor, identities: Iterable[str]) -> Generator[Page]:
        """Yield the pages from one source, and resume with the next one if that fails."""
        first = fallback = None
        try:
            first = wires.begin(self)
            yield from _with_cost(first.pages(cursor, identities), wires)
        except RemoteError as error:
            cursor = error.cursor = error.cursor or cursor
            fallback = wires.instead(self, first, error) if first else None
            if fallback is None:
                raise
        if fallback is not None:
            yield from _with_cost(fallback.pages(cursor), wires)

    def _flow(
        self, span: IdRange, where: tuple[Condition, ...], identities: Iterable[str], increment: SmallIncrement | None
    ) -> Flow[None]:
        """Walk over the rows that meet some conditions, then over new rows, which need not meet them."""
        old, new = self._parted(span)
        if old is not None and increment is not None:
            yield from cut_pieces(increment.reply, old, self.window)
        elif old is not None:
            yield from filtered(self._walk.flow(old, identities=identities), where)
        if new is not None:
            yield from cover_added(self._walk, new, identities, increment and increment.last)

    def _small_increment(self, calls: Calls, span: IdRange) -> SmallIncrement | None:
        """Find the changes among the rows of an earlier walk in a few calls; None if that takes a walk."""
        old, new = self._parted(span)
        plain = self.candidates and self.strategy is None and self.check == "usual" and not self.ranges
        if self.last_run is None or self.since is None or not plain or old is None or new is None or old.first > 0:
            return None
        before = calls.spent
        increment = calls.result(small_increment(self._walk, old, self.since, self.last_run))
        return increment and increment._replace(changes=replace(increment.changes, calls=calls.spent - before))

    def _parted(self, span: IdRange) -> tuple[IdRange | None, IdRange | None]:
        """Split ids into those of rows that must have changed, and those of new rows; None for none."""
        if self.new_from is None:
            return span, None
        old = span.intersection(IdRange(0, self.new_from - 1)) if self.new_from else None
        return old, span.intersection(IdRange(self.new_from, LARGEST_NUMBER))

    def _calls(self, limit: int = 1) -> Calls:
        """Return the driver that makes the calls."""
        reader = Reader(self.source, self.id_field, self.identity_field, self.operation, self.where, self.repairing)
        where_check = WhereCheck(self.where, self.key, self.operation) if self.where else None
        return Calls(reader, self.patience, CallLimiter(limit, self.nice, self.calls_under_way), where_check)

    def _changes(self, calls: Calls) -> tuple[Changes | None, tuple[Condition, ...]]:
        """Find the condition for changed rows: the evidence, and the conditions to send."""
        if self.since is None:
            return None, ()
        before = calls.spent
        changes = calls.result(find_changes(self._walk.prefix_walk, self.key, self.operation, self.since))
        return replace(changes, calls=calls.spent - before), changes.conditions

    def _bounds(self, calls: Calls) -> tuple[Bounds, ...]:
        """Find the bounds for each range that the server honours."""
        tested = []
        for column_range in self.ranges:
            before = calls.spent
            bounds = calls.result(find_bounds(self._walk.prefix_walk, self.key, self.operation, column_range))
            tested.append(replace(bounds, calls=calls.spent - before))
        return tuple(tested)

    @property
    def _walk(self) -> Walk:
        return Walk(
            self.strategy,
            self.operation,
            self.key,
            self.identity_field,
            self.window,
            self.goal,
            repair=self.repairing is not None,
            twice=self.check == "full",
            candidates=self.candidates,
        )

    @property
    def _digest(self) -> str:
        """A digest of the conditions, for cursors; empty if there are none."""
        parts = sorted(map(str, self._conditions)) + ([] if self.new_from is None else [f"new_from {self.new_from}"])
        return blake2b("\n".join(parts).encode(), digest_size=8).hexdigest() if parts else ""

    @property
    def _conditions(self) -> tuple[Condition, ...]:
        """The user's conditions, with ranges and time in the form that most servers honour, before any test."""
        bounds = tuple(bound for column_range in self.ranges for bound in column_range.default_conditions)
        return (*self.where, *bounds, *([default_condition(self.since)] if self.since is not None else []))


def _with_cost(pages: Iterator[Page], wires: WireChoice) -> Iterator[Page]:
    """Yield pages; the first one includes the cost of choosing the source."""
    for page in pages:
        calls = wires.cost()
        stats = replace(page.stats, calls=page.stats.calls + calls, checks=page.stats.checks + calls)
        yield replace(page, stats=stats) if calls else page
        del page


def _check_new_from(new_from: object, since: datetime | None) -> None:
    if type(new_from) is not int:
        raise TypeError(f"new_from is an id, a whole number, not {new_from!r}")
    if not 0 <= new_from <= MAX_ID + 1:
        raise ValueError(f"new_from is an id, or {MAX_ID + 1} if the last id is taken, not {new_from}")
    if since is None:
        raise ValueError("new_from needs updated_since: give both; without updated_since all rows are included anyway")


def _check_parallel(parallel: object) -> None:
    if parallel != "auto" and not (isinstance(parallel, int) and parallel >= 1):
        raise ValueError(f'parallel is "auto" or at least 1 call, not {parallel!r}')
