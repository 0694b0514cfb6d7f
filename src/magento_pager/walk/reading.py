"""The reader of one window: it calls the source, checks every row as it arrives, and returns all rows or none.

What lives here: the interface to the network (`Source`), the checks that make a reply trustworthy, and retries. It does
not know which window comes next, or why this one was requested.

A row is identified by its id; in lists whose rows carry none, by another field that no two rows share. Rows outside the
span show a dropped condition. Missing rows are detected by the canary: a known row that the query must return.
"""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol, TypeVar

from tenacity import RetryCallState, Retrying, stop_after_attempt, stop_any, stop_before_delay, wait_random_exponential

from magento_pager.errors import FilterIgnoredError, MalformedReplyError, RemoteError
from magento_pager.walk.conditions import Condition, Query, contradicts
from magento_pager.walk.flows import Reply
from magento_pager.walk.pages import row_order
from magento_pager.walk.ranges import read_id
from magento_pager.walk.strategies import strategy_advice

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from magento_pager.walk.flows import WindowRequest
    from magento_pager.walk.limiter import CallLimiter
    from magento_pager.walk.pages import KnownRow, Row, Token
    from magento_pager.walk.ranges import IdRange

T = TypeVar("T")

log = logging.getLogger(__name__)

PATIENCE = 300.0  # seconds: a web server that restarts, a database that is backed up
BACKOFF = wait_random_exponential(multiplier=0.5, max=30)


def row_label(row: Row, id_field: str, identity_field: str | None = None) -> str:
    """Return the identifier of a row as text: its id, or its identity where it carries no id.

    >>> row_label({"order_id": "7", "increment_id": "100000014"}, "order_id")
    '7'
    >>> row_label({"increment_id": "100000014"}, "shipment_id", "increment_id")
    '100000014'
    """
    return str(row.get(id_field, row.get(identity_field or id_field, "?")))


def token_of(row: Row, id_field: str, identity_field: str | None, operation: str) -> Token:
    """Return the identifier of a row: its id, or its identity where it carries no id.

    Raises:
        MalformedReplyError: the row has neither a usable id nor an identity.
    """
    number = row.get(id_field)
    if number is None and identity_field is not None:
        if isinstance(identity := row.get(identity_field), str):
            return identity
        raise MalformedReplyError(
            f"{operation}: a row has neither {id_field} nor {identity_field}, so it cannot be identified; give it a "
            "number in the shop's database",
            remedy="isolate",
        )
    try:
        return read_id(number)
    except ValueError:
        text = number[:50] if isinstance(number, str) else ""
        raise MalformedReplyError(
            f"{operation}: a row has {id_field}={text or number!r}, which is not an id; is this the right list?",
            remedy="isolate",
        ) from None


class Source(Protocol):
    """The interface to the network. Any list that accepts conditions can be a source.

    Optional attributes: `place(row)` returns the number that stands for a row whose key is not a number; `shares` is
    True where several rows may have the same number.

    >>> from magento_pager import Paginator, Range
    >>> class Numbers:
    ...     def fetch(self, query):
    ...         yield from ({"id": str(number)} for number in (3, 7) if number in query.span)
    >>> list(Paginator(Numbers(), Range("id"), "id", last=99))
    [{'id': '3'}, {'id': '7'}]
    """

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of one call as they arrive. Closing the generator closes the connection.

        Raises:
            RemoteError: the call failed; its `remedy` says what may help, by default nothing.
        """


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads windows of one list.

    Attributes:
        source: provides the rows.
        id_field: the name of the key in rows.
        identity_field: another field that identifies rows that carry no id; None where every row has one.
        operation: the name of the list, for messages.
        where: the user's conditions, sent with every query and checked on every row that has their field.
        repairing: the same list, read without the characters that XML forbids; None to keep replies unchanged.
    """

    source: Source
    id_field: str
    identity_field: str | None = None
    operation: str = ""
    where: tuple[Condition, ...] = ()
    repairing: Source | None = None

    def read(self, request: WindowRequest, limiter: CallLimiter) -> Generator[None, None, Reply]:
        """Read a window, in a generator that yields before each call and after each row; close it to stop.

        Args:
            request: the window, and how to read it.
            limiter: delays each call until a slot is free.

        Raises:
            FilterIgnoredError: a row from outside the window was returned, or the canary was not.
            MalformedReplyError: a row cannot belong to this list, or was returned twice.
            RemoteError: a call failed.
        """
        source = self.repairing if request.repair and self.repairing is not None else self.source
        where = request.where if request.any_row else (*self.where, *request.where)
        rows: list[tuple[Token, Row]] = []
        by_query: list[tuple[IdRange, list[tuple[Token, Row]]]] = []
        seconds = waited = 0.0
        before = _received(source)
        for query in request.strategy.queries(request.window, request.known.id if request.known else None):
            query_rows: list[tuple[Token, Row]] = []
            log.debug("%s: requesting ids %s: %.160s", self.operation, query.span, query)
            with limiter.call() as call:
                yield
                with (
                    refusals_saved(source),
                    closing(source.fetch(replace(query, conditions=query.conditions + where))) as reply,
                ):
                    if request.unchecked:
                        pairs = self._tokens(islice(reply, request.unchecked - len(rows)))
                    else:
                        pairs = self._checked(reply, query, request.known, where)
                    for pair in pairs:
                        if call.waited is None:
                            call.arrived()
                        query_rows.append((pair[0], {}) if request.tokens_only else pair)
                        if 0 < request.most < len(query_rows):
                            raise RemoteError(
                                f"{self.operation}: ids {request.window} contain more than {request.most} rows",
                                remedy="split",
                            )
                        yield
            by_query.append((query.span, query_rows))
            seconds, waited = seconds + call.seconds, waited + (call.waited or 0.0)
            if request.unchecked:
                rows += query_rows
                continue
            if query.span not in request.window and any(isinstance(token, str) for token, _ in query_rows):
                raise FilterIgnoredError(
                    f"{self.operation}: rows carry no ids, so rows that {request.strategy.name} returns beyond ids "
                    f"{request.window} look like requested ones; use the strategy key-range or prefix",
                    span=request.window,
                )
            rows += (pair for pair in query_rows if isinstance(pair[0], str) or pair[0] in request.window)
        if not request.unchecked:
            with refusals_saved(source) if len(by_query) == 1 else nullcontext():
                self._sort(rows, request.window)
        received = None if before is None else (_received(source) or 0) - before
        empty = sum(not pairs for _, pairs in by_query)
        several = tuple((span, [token for token, _ in pairs]) for span, pairs in by_query) if len(by_query) > 1 else ()
        return Reply(tuple(rows), len(by_query), empty, seconds, waited, received=received, by_query=several)

    def _tokens(self, rows: Iterable[Row]) -> Iterator[tuple[Token, Row]]:
        """Yield rows unchecked, each with its token; a source may compute the id instead of reading the column."""
        place = getattr(self.source, "place", None)
        if place is not None:
            return ((place(row), row) for row in rows)
        return ((token_of(row, self.id_field, self.identity_field, self.operation), row) for row in rows)

    def _checked(
        self, rows: Iterable[Row], query: Query, known: KnownRow | None, where: Sequence[Condition]
    ) -> Iterator[tuple[Token, Row]]:
        """Yield the rows of one call, except the canary, each checked as it arrives, with its token."""
        canary = known.token if known and known.id == query.canary else query.canary
        canary_seen = canary is None
        first, last = query.span.first, query.span.last
        for token, row in self._tokens(rows):
            if token == canary:
                canary_seen = True
                if query.canary not in query.span:
                    continue
            if isinstance(token, int) and not first <= token <= last:
                raise FilterIgnoredError(
                    f"{self.operation}: requested ids {query.span} ({query}), but the server also sent id {token}: it "
                    f"dropped a condition; {strategy_advice(self.operation)}",
                    span=query.span,
                    stray=[token],
                )
            for condition in where:
                if contradicts(condition, row):
                    raise FilterIgnoredError(
                        f"{self.operation}: the server ignored or misread where {condition}: it sent a row with "
                        f"{row.get(condition.field.rpartition('.')[2])!r}; remove the condition and filter the rows",
                        span=query.span,
                        stray=[token] if isinstance(token, int) else [],
                    )
            yield token, row
        if not canary_seen:
            raise FilterIgnoredError(
                f"{self.operation}: requested ids {query.span} and the existing id {query.canary}, but the latter was "
                f"not returned ({str(query)[:200]}): the server misread the condition; "
                f"{strategy_advice(self.operation)}",
                span=query.span,
                missing_canary=query.canary,
            )

    def _sort(self, rows: list[tuple[Token, Row]], window: IdRange) -> None:
        """Sort rows in place; refuse a row that was returned twice, and several rows without ids for a single id.

        Two rows without ids may share an identity in the database; requested separately, each can be read.
        """
        numbered = all(isinstance(token, int) for token, _ in rows)
        rows.sort(key=itemgetter(0) if numbered else lambda pair: row_order(pair[0]))
        shared = getattr(self.source, "shares", False)
        if len(rows) > len(window) == 1 and isinstance(rows[-1][0], str) and not shared:
            raise FilterIgnoredError(
                f"{self.operation}: {len(rows)} rows were returned for id {window.first}: the server dropped a "
                f"condition; {strategy_advice(self.operation)}",
                span=window,
            )
        for (token, _), (next_token, _) in pairwise(rows):
            if token == next_token:
                raise MalformedReplyError(
                    f"{self.operation}: row {token} was returned twice for ids {window}",
                    remedy="isolate" if isinstance(token, str) else "stop",
                )


@contextmanager
def refusals_saved(source: object) -> Iterator[None]:
    """Pass the error to a source that saves replies, if its last reply is refused."""
    try:
        yield
    except RemoteError as error:
        if refused := getattr(source, "refused", None):
            refused(error)
        raise


def _received(source: Source) -> int | None:
    """Return the bytes that a source has read so far; None if it does not count them."""
    return getattr(source, "bytes_received", None)


def with_retries(
    attempt: Callable[[], T],
    patience: float,
    *,
    insist: int = 0,
    attempts: int = 0,
    failed: Callable[[BaseException | None, float], None],
) -> T:
    """Return the result of `attempt`, retried after temporary failures, and `insist` times after others that may pass.

    The pauses are random, grow each time, and are never shorter than the server requested.

    Args:
        attempt: the function to call.
        patience: seconds after which it is not retried.
        insist: number of retries for failures where waiting alone does not help.
        attempts: the largest number of attempts; 0 for no limit except `patience`.
        failed: called before each retry, with the failure and the pause in seconds.
    """

    def may_pass(state: RetryCallState) -> bool:
        error = _failure(state)
        remedy = error.remedy if isinstance(error, RemoteError) else "stop"
        return remedy == "retry" or (remedy != "stop" and state.attempt_number <= insist)

    retrying = Retrying(
        retry=may_pass,
        stop=stop_any(stop_before_delay(patience), *([stop_after_attempt(attempts)] if attempts else [])),
        wait=lambda state: max(BACKOFF(state), getattr(_failure(state), "pause", 0.0)),
        before_sleep=lambda state: failed(_failure(state), state.upcoming_sleep),
        reraise=True,
    )
    return retrying(attempt)


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
