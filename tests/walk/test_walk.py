"""The walk as a flow: whole walks on replies from a list, failures included, without a thread or a socket."""

from __future__ import annotations

import ast
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.readings import honest, no_lists
from memory_source import MemorySource

import magento_pager
from magento_pager import (
    MAX_ID,
    FaultError,
    IdRange,
    KeyRange,
    Paginator,
    Prefix,
    RemoteError,
    TransportError,
)
from magento_pager.lists import ORDERS
from magento_pager.shop.details import Details
from magento_pager.walk.calls import Calls
from magento_pager.walk.flows import NOTHING, Piece, RecordsRequest, Reply, WindowRequest, advance, attempt
from magento_pager.walk.reading import Reader
from magento_pager.walk.sampling import MOST_ROWS, extra_digits, matching, patterns
from magento_pager.walk.trials import Choice
from magento_pager.walk.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from magento_pager import Query
    from magento_pager.walk.flows import Flow
    from magento_pager.walk.pages import KnownRow, Row, Token

FLOWS = (
    "flows",
    "sampling",
    "recovery",
    "gaps",
    "isolation",
    "evidence",
    "trials",
    "changes",
    "checks",
    "work",
    "walk",
    "windows",
    "strategies",
    "conditions",
    "ranges",
    "planning",
    "partitions",
    "estimating",
    "../shop/details",
)


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_does_no_io(name: str) -> None:
    """No module of the walk except the driver uses threads, clocks or retries."""
    path = Path(str(magento_pager.__file__)).parent / "walk" / f"{name}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"threading", "time", "tenacity", "socket", "requests"}


class Script:
    """Answers requests from a set of ids, without I/O: it is called, and gives a reply or raises."""

    def __init__(self, ids: Iterable[int], broken: Callable[[set[int]], RemoteError | None] | None = None) -> None:
        self.memory = MemorySource(ids)
        self.broken = broken
        self.requests: list[WindowRequest] = []
        self.more: Callable[[int], Row] = lambda number: {"id": str(number)}

    def __call__(self, request: WindowRequest | RecordsRequest) -> Reply:
        """Return the reply."""
        assert isinstance(request, WindowRequest)
        self.requests.append(request)
        pairs: list[tuple[Token, Row]] = []
        for query in request.strategy.queries(request.window, request.known.id if request.known else None):
            numbers = (int(row["id"]) for row in self.memory.fetch(query))
            pairs += [(number, self.more(number)) for number in numbers if number in request.window]
        error = self.broken({int(token) for token, _ in pairs}) if self.broken else None
        if error is not None:
            raise error
        return Reply(tuple(sorted(pairs, key=lambda pair: pair[0])), 1, int(not pairs))


def play(flow: Flow[None], answering: Callable[[WindowRequest | RecordsRequest], Reply], first: int = 0) -> list[Piece]:
    """Drive a flow, and return its pieces; each must begin after the one before."""
    pieces: list[Piece] = []
    answer: Reply | RemoteError | None = None
    while True:
        try:
            item = advance(flow, answer)
        except StopIteration:
            return pieces
        if isinstance(item, Piece):
            assert item.window.first == (pieces[-1].window.last + 1 if pieces else first)
            pieces.append(item)
            answer = NOTHING
            continue
        try:
            answer = answering(item)
        except RemoteError as error:
            answer = error


def walk_through(walk: Walk, server: Script, span: IdRange, known: KnownRow | None = None) -> list[Piece]:
    """Return the pieces of a walk; they must cover the span, in order, each id once."""
    flow = walk.flow(span, Choice(walk.strategy, known) if known and walk.strategy else None)
    pieces = play(flow, server, span.first)
    assert pieces[-1].window.last == span.last
    return pieces


def ids_of(pieces: Iterable[Piece]) -> list[Token]:
    """Return the identifiers of the rows of some pieces."""
    return [token for piece in pieces for token, _ in piece.rows]


@pytest.mark.parametrize("strategy", [KeyRange(), Prefix()], ids=lambda strategy: strategy.name)
@pytest.mark.parametrize("seed", range(20))
def test_a_walk_covers_every_id_once(strategy: KeyRange | Prefix, seed: int) -> None:
    """On random tables every row is delivered once, in order, and the pieces cover all possible ids."""
    chance = random.Random(seed)  # noqa: S311  not a secret
    start = chance.randrange(10 ** chance.randrange(1, 10))
    ids = sorted({start + chance.randrange(1, 50_000) for _ in range(chance.randrange(5_000))} - {MAX_ID + 1})
    ids = [number for number in ids if number <= MAX_ID]
    server = Script(ids)
    assert ids_of(walk_through(Walk(strategy), server, IdRange(0, MAX_ID))) == ids


def poisoned(*numbers: int, error: RemoteError) -> Callable[[set[int]], RemoteError | None]:
    """Every reply with one of these rows fails."""
    return lambda patterns: error if patterns & set(numbers) else None


@pytest.mark.parametrize(
    "error",
    [
        FaultError("bad", code="1", text="with the same id", operation="list", remedy="isolate"),
        FaultError("bad", code="SOAP-ENV:Server", text="Allowed memory size", operation="list", remedy="split"),
        TransportError("bad", status=500, remedy="split"),
    ],
    ids=["isolate", "memory", "500"],
)
@pytest.mark.parametrize("numbers", [(5,), (3, 4, 5, 6, 7), (999, 1000), (2999,)])
def test_a_row_that_breaks_its_replies_is_skipped_by_name(numbers: tuple[int, ...], error: RemoteError) -> None:
    """The others are delivered, with some additional calls: a known row proves that the server works."""
    server, plain = Script(range(1, 3_000), poisoned(*numbers, error=error)), Script(range(1, 3_000))
    pieces = walk_through(Walk(KeyRange()), server, IdRange(0, 9_999))
    walk_through(Walk(KeyRange()), plain, IdRange(0, 9_999))
    assert ids_of(pieces) == [number for number in range(1, 3_000) if number not in numbers]
    assert [row.id for piece in pieces for row in piece.quarantined] == list(numbers)
    assert len(server.requests) <= len(plain.requests) + 60 * len(numbers)


def test_a_failing_server_is_not_mistaken_for_broken_rows() -> None:
    """When no row can be read any more, the walk ends instead of skipping every row."""
    state = {"well": True}

    def failing(_: set[int]) -> RemoteError | None:
        return None if state["well"] else TransportError("down", status=500, remedy="split")

    server = Script(range(1, 5_000), failing)
    walk = Walk(KeyRange(), window=100)
    flow = walk.flow(IdRange(0, 9_999))
    answer: Reply | RemoteError = NOTHING
    item = next(flow)
    with pytest.raises(RemoteError, match="the server is failing"):  # noqa: PT012  the loop is needed
        while True:
            if isinstance(item, Piece):
                state["well"] = item.window.last < 1_000
                answer = NOTHING
            else:
                try:
                    answer = server(item)
                except RemoteError as error:
                    answer = error
            item = flow.throw(answer) if isinstance(answer, RemoteError) else flow.send(answer)


def test_a_failure_that_no_window_fixes_ends_the_walk() -> None:
    """The error of a refused login is raised unchanged."""
    denied = FaultError("denied", code="2", text="Access denied.", operation="list")
    with pytest.raises(FaultError, match="denied"):
        walk_through(Walk(KeyRange()), Script([5], lambda _: denied), IdRange(0, MAX_ID))


@pytest.mark.parametrize("seed", range(50))
def test_a_sample_finds_every_dense_range(seed: int) -> None:
    """The single patterns find one of any 2,000 neighbouring ids, and about one id in 350 of a dense table."""
    of = patterns(f"list/{seed}")
    chance = random.Random(seed)  # noqa: S311  not a secret
    start = chance.randrange(10_000, 10**9)
    matches = [matching(number, of) for number in range(start, start + 2_000)]
    assert any(pattern.kind == "single" for patterns in matches for pattern in patterns)
    assert {int(one.digits[-1]) for one in of if one.kind == "single"} == set(range(10))
    fraction = sum(10.0 ** -sum(digit != "." for digit in one.digits) for one in of)
    assert 300 < 1 / fraction < 400


@pytest.mark.parametrize("rows", [0, 1, 10, 100, 1_000, 100_000])
def test_a_sample_returns_few_rows(rows: int) -> None:
    """No reply to a sample has more than 9,000 rows, judging by the smaller sample before it."""
    extra = extra_digits(rows)
    assert rows * 10 ** (2 - extra) <= MOST_ROWS or extra == 2


def calls_for(ids: Iterable[int], *, regexps: bool = True) -> int:
    """Return the number of calls of a whole walk."""
    source = MemorySource(ids, honest if regexps else no_lists)
    rows = list(Paginator(source, None, "id", None, "list", candidates=(KeyRange(), Prefix())))
    assert rows == source.rows()
    return len(source.queries)


@pytest.mark.parametrize("count", [2_000, 20_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_a_dump_takes_few_calls(count: int) -> None:
    """A dense table of N rows takes N / 1,700 + 8 calls, including its end; five more without regexp."""
    assert calls_for(range(3, count + 3)) <= count / 1_700 + 8
    assert calls_for(range(3, count + 3), regexps=False) <= count / 1_700 + 13


@pytest.mark.parametrize("clusters", [1, 2, 3, 5, 8])
def test_a_cluster_takes_two_more_calls(clusters: int) -> None:
    """Clusters of ids far from each other are found by one sample."""
    ids = [
        number for place in range(clusters) for number in range(1 + place * 400_000_000, 1_001 + place * 400_000_000)
    ]
    assert calls_for(ids) <= len(ids) / 1_700 + 8 + 2 * clusters


@pytest.mark.parametrize("residue", [0, 7, 500])
def test_the_calls_for_sparse_rows_are_bounded(residue: int) -> None:
    """With every thousandth id, a sample may find few rows or none."""
    assert calls_for(range(residue + 1000, 20_000_000, 1_000)) <= 100


class Records:
    """Returns records by key, in one call, without I/O; some of them break every reply that contains them."""

    def __init__(self, broken: Iterable[str] = (), most: int = 250) -> None:
        self.broken = set(broken)
        self.most = most
        self.batches: list[Sequence[str]] = []

    def __call__(self, request: RecordsRequest) -> Reply:
        """Return the reply."""
        self.batches.append(request.keys)
        if len(request.keys) > self.most:
            raise TransportError("too large", remedy="split")
        if bad := self.broken.intersection(request.keys):
            text = f"no such column in {min(bad)}"
            raise FaultError(text, code="1", text=text, operation="info", remedy="isolate")
        return Reply(calls=1, records=tuple({"increment_id": key, "items": key} for key in request.keys))


@pytest.mark.parametrize("most", [250, 7, 1])
@pytest.mark.parametrize("broken", [[], ["100000005"], ["100000001", "100000040", "100000041", "100000600"]])
def test_full_records_on_replies_from_a_list(broken: list[str], most: int) -> None:
    """Records are read in batches, which are halved when they fail; a record that fails alone is skipped by name."""
    numbers = range(1, 601)
    rows, records = Script(numbers), Records(broken, most)
    rows.more = lambda number: {"order_id": str(number), "increment_id": str(100_000_000 + number)}
    connection: Any = None  # the test answers the requests
    flow = Details(connection, ORDERS).through(Walk(KeyRange()).flow(IdRange(0, MAX_ID)))
    pieces = play(flow, lambda request: records(request) if isinstance(request, RecordsRequest) else rows(request))
    kept = [number for number in numbers if str(100_000_000 + number) not in broken]
    assert ids_of(pieces) == kept
    assert [row["items"] for piece in pieces for _, row in piece.rows] == [str(100_000_000 + one) for one in kept]
    skipped = [(row.id, row.reason) for piece in pieces for row in piece.quarantined]
    assert skipped == [(int(key) - 100_000_000, f"no such column in {key}") for key in broken]
    assert max(len(piece.rows) for piece in pieces) <= 250
    if most == 250:
        assert len(records.batches) <= 12 + 25 * len(broken)


def test_the_driver_returns_the_result_of_a_flow() -> None:
    """It sends replies, throws failures, drops pieces, and counts every call."""

    def flow() -> Flow[int]:
        reply = yield WindowRequest(Prefix("id"), IdRange(0, 9))
        yield Piece(IdRange(0, 9), reply.rows, "prefix", "prefix")
        failure = yield from attempt(WindowRequest(KeyRange("id"), IdRange(10, 19)))
        assert isinstance(failure, RemoteError)
        return len(reply.rows)

    class Failing(MemorySource):
        def fetch(self, query: Query) -> Generator[Row]:
            if query.conditions[0].operator != "like":
                raise TransportError("too large", remedy="split")
            return super().fetch(query)

    calls = Calls(Reader(Failing(range(5)), "id"))
    assert calls.result(flow()) == 5
    assert calls.spent == 2
