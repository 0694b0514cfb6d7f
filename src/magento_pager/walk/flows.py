"""Flows: conversations with a server as generators that do no I/O.

A flow yields a `WindowRequest` and is sent the `Reply`; a failure is thrown into it as a `RemoteError`.
What it has to deliver, it yields as well, as a `Piece`, and is sent nothing. Who drives it asks, retries, checks,
counts and waits (see `calls`); a test drives it with replies from a list.

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
        strategy: how the window is put to the server.
        window: the ids wanted, inclusive.
        known: a row that may serve as a canary.
        insist: how often to try again also where a narrower window might help, as it cannot.
        attempts: at most so many, also where waiting may help, as the flow finds out itself whether the server is well;
            0 for as many as the driver has patience for.
        repair: read rows without the characters that XML forbids.
        where: conditions beside those of the list.
        any_row: leave out the list's own conditions, to see rows that no longer meet them.
        tokens_only: keep the identifiers of the rows alone, to save memory.
        unchecked: take so many rows at most as they come, in any order, from outside of the window too; 0 to check.
        most: give up on a reply with more rows than that; 0 for as many as there are.
        check: a call that checks another one, and is counted as such.
        following: the window that the flow will probably ask for behind another one, with the same strategy, so that it
            may be asked for early; None where the flow cannot know. None instead of a function: a request on the side.
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
"""What a list leaves out of a row: the record in full, or the list that belongs to one."""
Answer: TypeAlias = "Record | RemoteError"
"""What came of asking for one; an error is about this one alone."""


class RecordSource(Protocol):
    """The seam to the network for records in full."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    def fetch(self, keys: Sequence[str], *, repair: bool = False) -> list[Answer]:
        """Return as many answers, in order, by one call.

        Raises:
            RemoteError: the call failed.
        """


@dataclass(frozen=True, slots=True)
class RecordsRequest:
    """A request for records in full; the answer is in `Reply.records`.

    Attributes:
        source: who is asked.
        keys: what the records are known by, one at least.
        insist: as in `WindowRequest`.
        attempts: as in `WindowRequest`.
        repair: as in `WindowRequest`.
        patience: seconds at most for which the call is tried again; None for as long as any other.
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
        rows: each with its token, by id; by identity where rows carry no id.
        calls: requests answered for it.
        empty_calls: those of them that brought no row.
        seconds: from each request to the end of its answer, together.
        waited: the part of it before the first row of each: the server's own work.
        ahead: the window that is being asked for already, inclusive; None where none is.
        received: bytes of the answers, unpacked, with those of calls beside it; None where the source does not count.
        records: what came of each of the records that were asked for, in order.
        brought: the ids of each query, and what the rows that came are known by, where there were several.
    """

    rows: tuple[tuple[Token, Row], ...] = ()
    calls: int = 0
    empty_calls: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    ahead: IdRange | None = None
    received: int | None = None
    records: tuple[Answer, ...] = ()
    brought: tuple[tuple[IdRange, list[Token]], ...] = ()

    @cached_property
    def by_ids(self) -> bool:
        """True where every row carries its id."""
        return all(isinstance(token, int) for token, _ in self.rows)

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        """What the rows are known by."""
        return tuple(token for token, _ in self.rows)

    @cached_property
    def ids(self) -> list[int]:
        """The ids of the rows that carry one."""
        return [token for token in self.tokens if isinstance(token, int)]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some ids that are covered, and their rows.

    Attributes:
        window: the ids, inclusive.
        rows: all rows of the window, in order, each with what it is known by.
        strategy: the name of the strategy that carries rows on this walk.
        asked_by: the name of the one that asked for this window.
        by_ids: True where every row was checked by its own id.
        quarantined: rows that are skipped.
        repaired: ids of rows that were readable only after characters were removed.
        ahead: rows expected behind it, about; None where that is unknown.
        twice: True where two strategies brought the same rows.
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
"""A conversation that ends with a T. A piece needs no answer; it is sent an empty reply."""

NOTHING = Reply()
"""The answer to a piece."""


@dataclass(frozen=True, slots=True)
class Exactly:
    """One query as it is, as a strategy: for samples."""

    query: Query
    name: str = "sample"

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  it is said already
        """Give the query."""
        yield self.query


def attempt_flow(flow: Flow[T]) -> Flow[T | RemoteError]:
    """Go on with a flow, and give its failure as a value where there is one."""
    try:
        return (yield from flow)
    except RemoteError as error:
        error.__traceback__ = None  # its frames hold rows
        return error


def attempt(item: Item) -> Flow[Reply | RemoteError]:
    """Send the request, and give the failure as a value where there is one."""
    try:
        return (yield item)
    except RemoteError as error:
        error.__traceback__ = None
        return error


def advance(flow: Flow[T], answer: Reply | RemoteError | None) -> Item:
    """Return the next item of a flow that is sent an answer, thrown a failure, or begun with None."""
    if isinstance(answer, RemoteError):
        return flow.throw(answer)
    return flow.send(answer)  # type: ignore[arg-type]  # None begins


def relayed(flow: Flow[T], relay: Callable[[Item], Flow[Reply]]) -> Flow[T]:
    """Go on with a flow whose items another one takes: what that returns or raises is the answer to each."""
    answer: Reply | RemoteError | None = None
    with closing(flow):
        while True:
            try:
                item = advance(flow, answer)
            except StopIteration as ended:
                value: T = ended.value
                return value
            answer = yield from attempt_flow(relay(item))
            del item  # or its rows take memory while the next ones come


def filtered(flow: Flow[T], where: tuple[Condition, ...], *, any_row: bool = False) -> Flow[T]:
    """Go on with a flow, and add conditions to what it asks for; with `any_row`, in place of the list's own.

    What it asks of any row is left as it is.
    """

    def relay(item: Item) -> Flow[Reply]:
        if isinstance(item, WindowRequest) and not item.any_row:
            item = replace(item, where=(*where, *item.where), any_row=any_row)
        return (yield item)

    return (yield from relayed(flow, relay)) if where or any_row else (yield from flow)


def next_piece(flow: Flow[None]) -> Flow[Piece | None]:
    """Go on with a flow, on the side, up to its next piece; None where it ends."""
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
    """Go on with a flow up to its first piece with rows; None where it has none."""
    while (piece := (yield from next_piece(flow))) is not None and not piece.rows:
        pass
    flow.close()
    return piece


def find_row(window: IdRange, key: str) -> Flow[KnownRow | None]:
    """Find a row of a window, with its id; None where there are none."""
    reply = yield WindowRequest(Prefix(key), window)
    return (yield from find_known_row(reply, window, key))


def find_known_row(reply: Reply, window: IdRange, key: str, *, insist: int = 0) -> Flow[KnownRow | None]:
    """Find a row of the reply to a window with its id; by ever narrower blocks where rows carry none.

    Returns:
        None where its rows vanished meanwhile, or there are none.
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
