"""The paginator: a plan for a walk.

What lives here: the options of a walk, and how flows and their driver are put together. The walk itself is in `walk`.
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
"""What is done to every page before it is delivered. The window stays as it is."""


@runtime_checkable
class FlowStage(Protocol):
    """What takes part in a walk, and may ask the server for more: records in full, say."""

    def through(self, walk: Flow[None]) -> Flow[None]:
        """Go on with a walk, and deliver what becomes of its pieces."""


class WireChoice(Protocol):
    """Says by which source a list is read, where it can be by several."""

    def begin(self, asked: Paginator) -> Paginator:
        """Return a paginator that asks for the same, by the source to begin with."""

    def instead(self, asked: Paginator, failed: Paginator, error: RemoteError) -> Paginator | None:
        """Return one by another source than that of one that failed; None where there is none."""

    def cost(self) -> int:
        """Return how many calls were made to choose since this was asked last."""

    def used(self) -> Mapping[str, Any]:
        """Return what a report says of the source: `wire`, and `wire_reason`."""


Stage: TypeAlias = PageStage | FlowStage
"""Those of flows come first, whatever their place among the stages: they take part before there are pages."""


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
            on every sixteenth page to be the same that another strategy brings.
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
        new_from: with `since`, the first id of new rows: those with it or a higher one come whenever they were changed;
            None where only the time counts.
        ranges: two bounds on one column each, as further conditions. How the server is told so is tried likewise; a
            bound that it would drop is applied to the rows that come.
        last_run: with `since` and `new_from`, what an earlier walk left behind, so that little that changed takes a
            handful of calls; None where nothing is known of one.
        stages: what is done to every page, in this order, before it is delivered; see `Stage`.
        lookahead: ask for the next window while a page is decoded and used; still one call under way at a time.
        parallel: calls that may be under way at once, at least 1; "auto" raises it as long as more rows come.
        check: "full" to ask for each window by two strategies, and to deliver what both bring.
        nice: seconds to leave the server alone after a call, for each second that the call took.
        asked: the user's own conditions as they were given, which checkpoints compare; `where` is what is sent.
        calls_under_way: shared by all paginators of one shop, so that its limit of calls holds for all their walks.
        wires: gives the source, strategy and candidates that take the place of these once something is asked; None to
            use these.
        tables: makes tables of Arrow of pages; None where the columns of the list are not known.
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
            raise ValueError(f"nice is 0 or more, at most {MOST_NICE} times what a call takes, not {self.nice}")
        if max(self.last, self.window or 0) > LARGEST_NUMBER:
            raise ValueError(f"an id or a window is at most {LARGEST_NUMBER}")
        for one in self.candidates if self.strategy is None and self.candidates else (self.strategy,):
            if not isinstance(one, Strategy):
                raise TypeError(f"a strategy has a name and a method queries(window, known); {one!r} has not")
            self._walk.pace(one)

    def __iter__(self) -> Iterator[Row]:
        for page in self.pages():
            yield from page.rows

    def pages(self, resume: Cursor | None = None, came: Iterable[str] = ()) -> Iterator[Page]:
        """The pages of the walk, empty ones included: the last one's cursor says that all ids were covered.

        Args:
            resume: the cursor of the last page that is safe, or of a `PagerError`.
            came: where rows carry no ids, the identities of those before the cursor: one that comes again is noticed.
                Without them the first page is compared with what another strategy brings.

        Raises:
            ValueError: the cursor belongs to another list or form, or to rows of other conditions.
            PagerError: the walk cannot go on; its `cursor` says where to resume.
        """
        if resume is None:
            resume = Cursor(self.operation, self.first, self.last)
        if (resume.operation, resume.version) != (self.operation, CURSOR_VERSION):
            raise ValueError(f"{resume} does not belong to a walk over {self.operation!r}; start anew without it")
        if resume.asked not in {None, self._digest}:
            raise ValueError(
                "the cursor is of a walk with another `where`, `since` or `new_from`: the rows before it are not those "
                "that are asked for now; ask for the same, or start anew without it"
            )
        return self._pages(replace(resume, asked=self._digest), came)

    def record_batches(self, resume: Cursor | None = None) -> Iterator[pa.RecordBatch]:
        """The rows as batches of Arrow, one for each page that has any, with the columns of a dump as Parquet.

        A warning names values that do not fit, which are null, and rows that are skipped. Needs pyarrow.

        Args:
            resume: as in `pages`.

        Raises:
            ValueError: pyarrow is not installed, or the columns of the list are not known.
            PagerError: the walk cannot go on.
        """
        return require_tables(self.tables).batches(self, resume)

    def to_arrow_reader(self, resume: Cursor | None = None) -> pa.RecordBatchReader:
        """The same batches in a reader, for DuckDB, polars or pandas: a page is asked for when it is read.

        Closing the reader ends the walk. A `PagerError` comes as an error of Arrow with the same message.
        """
        return require_tables(self.tables).reader(self, resume)

    def settled(self) -> Paginator:
        """Return this with the source by which it begins, where it can be read by several.

        Raises:
            RemoteError: none of them brings rows.
        """
        return self if self.wires is None else self.wires.begin(self)

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
        old, new = self._parted(IdRange(self.first, self.last))
        return (
            replace(query, conditions=query.conditions + sent)
            for part, sent in ((old, self._sent), (new, self.where))
            if part is not None
            for window in part.tile(self._walk.pace(strategy).width)
            for query in strategy.queries(window, None)
        )

    def probe(self, *, exhaustive: bool = False) -> ProbeReport:
        """Ask the server which of the candidates it honours for this list.

        Args:
            exhaustive: judge every candidate, instead of ending with the first that holds.

        Raises:
            NoStrategyError: the server does not even honour `like`, or no row came because replies break; the message
                quotes what the last one broke with.
            RemoteError: a call failed in a way that says nothing of filters.
        """
        if self.wires is not None:
            return self._by_wire(self.wires, lambda one: one.probe(exhaustive=exhaustive))
        return self._calls().result(self._walk.choosing.probe(self.candidates, exhaustive=exhaustive, strict=True))

    def plan(self) -> Plan:
        """Say how many rows there are, about, and what a walk would cost, from some six small calls.

        They are more on servers before 1.6 and where rows carry no ids, and twice as many with `new_from`. `since`,
        `new_from` and ranges are honoured as the walk does, but for a bound that is applied to the rows that come: rows
        beyond it are counted.

        Raises:
            NoStrategyError: the strategy does not hold on this server, or none does.
            RemoteError: a call failed.
        """
        if self.wires is not None:
            found = self._by_wire(self.wires, Paginator.plan)
            reason = self.wires.used()["wire_reason"]
            return replace(found, spent=found.spent + self.wires.cost(), wire_reason=reason)
        calls = self._calls()
        old, new = self._parted(IdRange(self.first, self.last))
        ranges, plans = sent_conditions(self._bounds(calls)), []
        for part, where in ((old, self._changes(calls)[1] if old else ()), (new, ())):
            if part is not None:
                found = calls.result(filtered(plan(self._walk, part), (*where, *ranges)))
                sent = (*self.where, *where, *ranges)
                queries = tuple(replace(one, conditions=one.conditions + sent) for one in found.queries)
                plans.append(replace(found, queries=queries))
        used: dict[str, Any] = getattr(self.source, "used", dict)()
        return replace(joined(plans), spent=calls.spent, wire=used.get("wire"))

    def parts(self, ranges: Iterable[IdRange]) -> Iterator[Page]:
        """The pages of some ranges of ids alone; the strategy is chosen once. Stages are left out.

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
        chosen = calls.result(filtered(self._walk.choosing.tested(), sent_conditions(bounds)))
        for one in ranges:
            flow = apply_bounds(self._walk.flow(one, chosen), bounds, self.operation)
            yield from calls.pages(flow, Cursor(self.operation, one.first, one.last))

    def partitions(self, n: int) -> tuple[Cursor, ...]:
        """Cut the list for several readers: cursors that cover every id exactly once, of about as many rows each.

        A partition is a cursor, which is where its walk begins and ends: it is fit for JSON and for pickle, and another
        process or machine reads it with a paginator of its own that asks for the same: `pages(resume=partition)`. A
        page's cursor goes on with the same partition. Together the partitions bring the rows of one walk.

        Args:
            n: partitions at most, at least 1; there are fewer where there are few rows. To cut the list takes up to 24
                small calls, with `since` or ranges those that try how they are told as well, and none where `n` is 1.
                The parts are less even where rows carry no ids, and with `new_from`, as only rows that changed since
                are counted.

        Raises:
            ValueError: `n` is below 1.
            RemoteError: a call failed.
        """
        if n < 1:
            raise ValueError(f"a list is cut into 1 partition or more, not {n}")
        span = IdRange(self.first, self.last)
        if n == 1:
            return (Cursor(self.operation, span.first, span.last, asked=self._digest),)
        if self.wires is not None:
            return self._by_wire(self.wires, lambda one: one.partitions(n))
        calls = self._calls()
        where = (*self._changes(calls)[1], *sent_conditions(self._bounds(calls)))
        parts = calls.result(filtered(cut(self._walk, span, n), where))
        return tuple(Cursor(self.operation, one.first, one.last, asked=self._digest) for one in parts)

    def _pages(self, cursor: Cursor, came: Iterable[str]) -> Generator[Page]:
        """Walk over the rows that are wanted, once it is known how the server is told so."""
        if cursor.next_id > cursor.last_id:
            return
        if self.wires is not None:
            yield from self._pages_by_wire(self.wires, cursor, came)
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
            flow = apply_bounds(self._flow(span, where, came, increment), bounds, self.operation)
            del increment  # or its rows take memory
            for stage in self.stages:
                if isinstance(stage, FlowStage):
                    flow = stage.through(flow)
            with closing(calls.pages(flow, cursor)) as pages:
                for one in pages:
                    page = replace(one, changes=changes, bounds=bounds)
                    for stage in self.stages:
                        page = page if isinstance(stage, FlowStage) else stage(page)
                    cursor = page.cursor
                    yield page
                    del one, page  # nobody else may want its rows, and the next ones take as much memory
        except PagerError as error:
            error.cursor = cursor
            raise

    def _by_wire(self, wires: WireChoice, asking: Callable[[Paginator], T]) -> T:
        """Send the request by one source, and by the next one where it fails."""
        begun = wires.begin(self)
        try:
            return asking(begun)
        except RemoteError as error:
            other = wires.instead(self, begun, error)
            if other is None:
                raise
        return asking(other)

    def _pages_by_wire(self, wires: WireChoice, cursor: Cursor, came: Iterable[str]) -> Generator[Page]:
        """Walk by one source, and resume by the next one where it fails."""
        begun = other = None
        try:
            begun = wires.begin(self)
            yield from _with_cost(begun.pages(cursor, came), wires)
        except RemoteError as error:
            cursor = error.cursor = error.cursor or cursor
            other = wires.instead(self, begun, error) if begun else None
            if other is None:
                raise
        if other is not None:
            yield from _with_cost(other.pages(cursor), wires)

    def _flow(
        self, span: IdRange, where: tuple[Condition, ...], came: Iterable[str], increment: SmallIncrement | None
    ) -> Flow[None]:
        """Walk over the rows that some conditions hold for, then over new ones, which need not meet them."""
        old, new = self._parted(span)
        if old is not None and increment is not None:
            yield from cut_pieces(increment.reply, old, self.window)
        elif old is not None:
            yield from filtered(self._walk.flow(old, came=came), where)
        if new is not None:
            yield from cover_added(self._walk, new, came, increment and increment.last)

    def _small_increment(self, calls: Calls, span: IdRange) -> SmallIncrement | None:
        """Find what changed among the rows of an earlier walk in a few calls; None where that takes a walk."""
        old, new = self._parted(span)
        plain = self.candidates and self.strategy is None and self.check == "usual" and not self.ranges
        if self.last_run is None or self.since is None or not plain or old is None or new is None or old.first > 0:
            return None
        before = calls.spent
        increment = calls.result(small_increment(self._walk, old, self.since, self.last_run))
        return increment and increment._replace(changes=replace(increment.changes, calls=calls.spent - before))

    def _parted(self, span: IdRange) -> tuple[IdRange | None, IdRange | None]:
        """Part ids into those of rows that must have changed, and those of new rows; None for none."""
        if self.new_from is None:
            return span, None
        old = span.intersection(IdRange(0, self.new_from - 1)) if self.new_from else None
        return old, span.intersection(IdRange(self.new_from, LARGEST_NUMBER))

    def _calls(self, limit: int = 1) -> Calls:
        """Return who asks the server."""
        reader = Reader(self.source, self.id_field, self.identity_field, self.operation, self.where, self.repairing)
        where_check = WhereCheck(self.where, self.key, self.operation) if self.where else None
        return Calls(reader, self.patience, CallLimiter(limit, self.nice, self.calls_under_way), where_check)

    def _changes(self, calls: Calls) -> tuple[Changes | None, tuple[Condition, ...]]:
        """Find out how the server is told to send what changed alone: what was found, and the conditions for that."""
        if self.since is None:
            return None, ()
        before = calls.spent
        changes = calls.result(find_changes(self._walk.prefix_walk, self.key, self.operation, self.since))
        return replace(changes, calls=calls.spent - before), changes.conditions

    def _bounds(self, calls: Calls) -> tuple[Bounds, ...]:
        """Find out how the server is told each range."""
        found = []
        for one in self.ranges:
            before = calls.spent
            bounds = calls.result(find_bounds(self._walk.prefix_walk, self.key, self.operation, one))
            found.append(replace(bounds, calls=calls.spent - before))
        return tuple(found)

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
        """Which rows are wanted, for cursors; empty where all are."""
        said = sorted(map(str, self._sent)) + ([] if self.new_from is None else [f"new_from {self.new_from}"])
        return blake2b("\n".join(said).encode(), digest_size=8).hexdigest() if said else ""

    @property
    def _sent(self) -> tuple[Condition, ...]:
        """The user's conditions; ranges and the one on time as most servers take them, as that is not tried yet."""
        bounds = tuple(bound for one in self.ranges for bound in one.default_conditions)
        return (*self.where, *bounds, *([default_condition(self.since)] if self.since is not None else []))


def _with_cost(pages: Iterator[Page], wires: WireChoice) -> Iterator[Page]:
    """Yield pages, with the calls that were made to choose their source among those of the first."""
    for page in pages:
        calls = wires.cost()
        stats = replace(page.stats, calls=page.stats.calls + calls, checks=page.stats.checks + calls)
        yield replace(page, stats=stats) if calls else page
        del page


def _check_new_from(new_from: object, since: datetime | None) -> None:
    if type(new_from) is not int:
        raise TypeError(f"new_from is an id, a whole number, not {new_from!r}")
    if not 0 <= new_from <= MAX_ID + 1:
        raise ValueError(f"new_from is an id, or {MAX_ID + 1} where there is none behind the last, not {new_from}")
    if since is None:
        raise ValueError("new_from is for updated_since: give that as well; without it all rows come anyway")


def _check_parallel(parallel: object) -> None:
    if parallel != "auto" and not (isinstance(parallel, int) and parallel >= 1):
        raise ValueError(f'parallel is "auto" or at least 1 call, not {parallel!r}')
