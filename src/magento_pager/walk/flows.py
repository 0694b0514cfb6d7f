"""Flows: conversations with a server as generators that do no I/O.

A flow yields a `WindowRequest` and is sent the `Reply`; a failure is thrown into it as a `RemoteError`.
It also yields its results, each as a `Piece`, and is sent nothing for them. The driver (see `calls`) makes the calls,
retries, checks, counts and waits; a test drives a flow with replies from a list.

No flow yields within `except` or `finally`: the context of the error would keep rows in memory.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from magento_pager.errors import RemoteError
from magento_pager.walk.pages import KnownRow
from magento_pager.walk.strategies import Prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from magento_pager.walk.conditions import Condition, Query
    from magento_pager.walk.pages import Quarantined, Row, Token
    from magento_pager.walk.ranges import IdRange
    from magento_pager.walk.strategies import Strategy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """A request for the rows of one window.

    Attributes:
        strategy: turns the window into queries.
        window: the ids, inclusive.
        known: a known row, for strategies whose query must return one; None if there is none.
        insist: number of retries for failures that a narrower window might fix, where the flow cannot use one.
        attempts: the largest number of attempts, even if waiting may help, where the flow tests itself whether the
            server is failing; 0 to retry for as long as the driver's patience lasts.
        repair: read rows without the characters that XML forbids.
        where: conditions in addition to those of the list.
        any_row: omit the conditions of the list, to see rows that no longer meet them.
        tokens_only: keep the identifiers of the rows alone, to save memory.
        unchecked: accept up to this many rows without checks, in any order, from outside the window as well; 0 to
            check every row.
        most: fail on a reply with more rows than this; 0 for no limit.
        check: the call checks another one, and is counted as a check.
        following: returns the window that the flow will probably request after a given one, with the same strategy, so
            that it can be requested early; it returns None where that is unknown. None for a request that nothing
            follows.
    """

    strategy: Strategy
    window: IdRange
    known: KnownRow | None = None
    insist: int = 0
    attempts: int = 0
    repair: bool = False
    where: tuple[Condition, ...] = ()
    any_row: bool = False
    tokens_only: bool = False
    unchecked: int = 0
    most: int = 0
    check: bool = False
    following: Callable[[IdRange], IdRange | None] | None = None


Record: TypeAlias = "dict[str, Any] | list[Any]"
"""Data that the rows of a list lack: the full record, or the list that belongs to it."""
Answer: TypeAlias = "Record | RemoteError"
"""The result for one record; an error concerns this record alone."""


class RecordSource(Protocol):
    """The interface to the network for full records."""

    @property
    def name(self) -> str:
        """The name in reports."""

    def fetch(self, keys: Sequence[str], *, repair: bool = False) -> list[Answer]:
        """Return one answer for each key, in order, from one call.

        Raises:
            RemoteError: the call failed.
        """


@dataclass(frozen=True, slots=True)
class RecordsRequest:
    """A request for full records; the answers are in `Reply.records`.

    Attributes:
        source: reads the records.
        keys: the keys of the records, at least one.
        insist: as in `WindowRequest`.
        attempts: as in `WindowRequest`.
        repair: as in `WindowRequest`.
        patience: seconds for which the call is retried at most; None for the default.
    """

    source: RecordSource
    keys: Sequence[str]
    insist: int = 0
    attempts: int = 0
    repair: bool = False
    patience: float | None = None


@dataclass(frozen=True)
class Reply:
    """Checked rows, in order.

    Attributes:
        rows: each with its token, sorted by id; by identity where rows carry no id.
        calls: answered calls.
        empty_calls: calls among them that returned no row.
        seconds: total time from the start of each call to the end of its reply.
        waited: the part of it before the first row of each reply: the server's working time.
        ahead: the next window, if it was already requested; else None.
        received: bytes of the replies, decompressed, with those of concurrent calls; None if the source does not count.
        records: the answers for the requested records, in order.
        by_query: the ids and the tokens of the rows of each query, if there were several queries.
    """

    rows: tuple[tuple[Token, Row], ...] = ()
    calls: int = 0
    empty_calls: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    ahead: IdRange | None = None
    received: int | None = None
    records: tuple[Answer, ...] = ()
    by_query: tuple[tuple[IdRange, list[Token]], ...] = ()

    @cached_property
    def by_ids(self) -> bool:
        """True where every row carries its id."""
        return all(isinstance(token, int) for token, _ in self.rows)

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """The identifiers of the rows."""
        return tuple(token for token, _ in self.rows)

    @cached_property
    def ids(self) -> list[int]:
        """The ids of the rows that carry one."""
        return [token for token in self.tokens if isinstance(token, int)]


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of covered ids, and its rows.

    Attributes:
        window: the ids, inclusive.
        rows: all rows of the window, in order, each with its token.
        strategy: the name of the strategy that reads the rows of this walk.
        asked_by: the name of the strategy that read this window.
        by_ids: True where every row was checked by its own id.
        quarantined: rows that are skipped.
        repaired: ids of rows that are readable only without the characters that XML forbids.
        ahead: estimated number of rows after it; None where unknown.
        twice: True where two strategies returned the same rows.
    """

    window: IdRange
    rows: tuple[tuple[Token, Row], ...]
    strategy: str
    asked_by: str
    by_ids: bool = True
    quarantined: tuple[Quarantined, ...] = ()
    repaired: tuple[int, ...] = ()
    ahead: int | None = None
    twice: bool = False


Item: TypeAlias = WindowRequest | RecordsRequest | Piece
Flow: TypeAlias = Generator[Item, Reply, T]
"""A conversation that returns a T. A piece needs no answer; the flow is sent an empty reply."""

NOTHING = Reply()
"""The answer to a piece."""


@dataclass(frozen=True, slots=True)
class Exactly:
    """A strategy that returns one given query, for samples."""

    query: Query
    name: str = "sample"

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  the query is given
        """Yield the query."""
        yield self.query


def attempt_flow(flow: Flow[T]) -> Flow[T | RemoteError]:
    """Run a flow to its end; return its failure as a value if it fails."""
    try:
        return (yield from flow)
    except RemoteError as error:
        error.__traceback__ = None  # its frames hold rows
        return error


def attempt(item: Item) -> Flow[Reply | RemoteError]:
    """Send one request; return its failure as a value if it fails."""
    try:
        return (yield item)
    except RemoteError as error:
        error.__traceback__ = None
        return error


def advance(flow: Flow[T], answer: Reply | RemoteError | None) -> Item:
    """Return the next item of a flow: send it the answer, throw the failure into it, or start it with None."""
    if isinstance(answer, RemoteError):
        return flow.throw(answer)
    return flow.send(answer)  # type: ignore[arg-type]  # None starts it


def relayed(flow: Flow[T], relay: Callable[[Item], Flow[Reply]]) -> Flow[T]:
    """Run a flow, and answer each of its items with what the flow `relay(item)` returns or raises."""
    answer: Reply | RemoteError | None = None
    with closing(flow):
        while True:
            try:
                item = advance(flow, answer)
            except StopIteration as ended:
                value: T = ended.value
                return value
            answer = yield from attempt_flow(relay(item))
            del item  # or its rows take memory while the next ones arrive


def filtered(flow: Flow[T], where: tuple[Condition, ...], *, any_row: bool = False) -> Flow[T]:
    """Run a flow, and add conditions to its requests; with `any_row`, they replace those of the list.

    Requests that already have `any_row` stay unchanged.
    """

    def relay(item: Item) -> Flow[Reply]:
        if isinstance(item, WindowRequest) and not item.any_row:
            item = replace(item, where=(*where, *item.where), any_row=any_row)
        return (yield item)

    return (yield from relayed(flow, relay)) if where or any_row else (yield from flow)


def next_piece(flow: Flow[None]) -> Flow[Piece | None]:
    """Run a flow up to its next piece, without requesting windows early; return None where it ends."""
    answer: Reply | RemoteError | None = None
    try:
        while True:
            item = advance(flow, answer)
            if isinstance(item, Piece):
                return item
            answer = yield from attempt(replace(item, following=None) if isinstance(item, WindowRequest) else item)
    except StopIteration:
        return None


def first_piece_with_rows(flow: Flow[None]) -> Flow[Piece | None]:
    """Run a flow up to its first piece with rows, then close it; return None where no piece has rows."""
    while (piece := (yield from next_piece(flow))) is not None and not piece.rows:
        pass
    flow.close()
    return piece


def find_row(window: IdRange, key: str) -> Flow[KnownRow | None]:
    """Return a row of a window, with its id; None where the window is empty."""
    reply = yield WindowRequest(Prefix(key), window)
    return (yield from find_known_row(reply, window, key))


def find_known_row(reply: Reply, window: IdRange, key: str, *, insist: int = 0) -> Flow[KnownRow | None]:
    """Return a row of a reply, with its id; where rows carry no ids, by requesting ever narrower blocks.

    Returns:
        None where the reply has no rows, or they were deleted meanwhile.
    """
    while reply.rows:
        token = reply.tokens[0]
        if isinstance(token, int):
            return KnownRow(token, token)
        if len(window) == 1:
            return KnownRow(window.first, token)
        for part in window.tenths():
            reply = yield WindowRequest(Prefix(key), part, insist=insist)
            if reply.rows:
                window = part
                break
    return None
