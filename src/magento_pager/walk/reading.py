"""Reading one window: ask, check every row as it arrives, and give all of it or nothing.

What lives here: the seam to the network (`Source`), the checks that make a reply trustworthy, and how a call is tried
again. It does not know which window comes next, or why this one was asked for.

A row is known by its id; in lists whose rows carry none, by another field that no two rows share. Rows outside the
span show a dropped condition. They cannot show rows that are missing: that is what the canary is for.
"""

from __future__ import annotations

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

PATIENCE = 300.0  # seconds: a web server that restarts, a database that is backed up
BACKOFF = wait_random_exponential(multiplier=0.5, max=30)


def row_label(row: Row, id_field: str, identity_field: str | None = None) -> str:
    """Return what tells a row from all others of its list, as text: its id, or its identity where it carries no id.

    >>> row_label({"order_id": "7", "increment_id": "100000014"}, "order_id")
    '7'
    >>> row_label({"increment_id": "100000014"}, "shipment_id", "increment_id")
    '100000014'
    """
    return str(row.get(id_field, row.get(identity_field or id_field, "?")))


def token_of(row: Row, id_field: str, identity_field: str | None, operation: str) -> Token:
    """Return what a row is known by: its id, or its identity where it carries none.

    Raises:
        MalformedReplyError: it has neither a usable id nor an identity.
    """
    number = row.get(id_field)
    if number is None and identity_field is not None:
        if isinstance(identity := row.get(identity_field), str):
            return identity
        raise MalformedReplyError(
            f"{operation}: a row came without {id_field} and without {identity_field}: it cannot be "
            "told from others; give it a number in the shop's database",
            remedy="isolate",
        )
    try:
        return read_id(number)
    except ValueError:
        text = number[:50] if isinstance(number, str) else ""
        raise MalformedReplyError(
            f"{operation}: a row came with {id_field}={text or number!r}, which is not an id; is this the right list?",
            remedy="isolate",
        ) from None


class Source(Protocol):
    """The seam to the network. Any list that takes conditions can be one.

    More is read where an object has it: `place(row)`, which number stands for a row whose key is none, and `shares`,
    True where several rows may have one number.
    """

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call, as they arrive. Closing the generator closes the connection.

        Raises:
            RemoteError: the call failed; its `remedy` says what may help, which by default is nothing.
        """


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads windows of one list.

    Attributes:
        source: where rows come from.
        id_field: what rows call the key.
        identity_field: another field that no two rows share, where rows may carry no id; else None.
        operation: the name of the list, for messages.
        where: the user's own conditions, sent with every query and checked on every row that holds their field.
        repairing: the same list with characters taken out of replies that XML forbids; None to take none out.
    """

    source: Source
    id_field: str
    identity_field: str | None = None
    operation: str = ""
    where: tuple[Condition, ...] = ()
    repairing: Source | None = None

    def read(self, request: WindowRequest, limiter: CallLimiter) -> Generator[None, None, Reply]:
        """Read what is asked for, in a generator that yields before each call and behind each row; close it to stop.

        Args:
            request: the window, and how to read it.
            limiter: holds back each call until there is room for it.

        Raises:
            FilterIgnoredError: a row from outside came, or the canary did not.
            MalformedReplyError: a row came that cannot be one of this list, or came twice.
            RemoteError: a call failed.
        """
        source = self.repairing if request.repair and self.repairing is not None else self.source
        where = request.where if request.any_row else (*self.where, *request.where)
        rows: list[tuple[Token, Row]] = []
        brought: list[tuple[IdRange, list[tuple[Token, Row]]]] = []
        seconds = waited = 0.0
        before = _received(source)
        for query in request.strategy.queries(request.window, request.known.id if request.known else None):
            came: list[tuple[Token, Row]] = []
            with limiter.call() as call:
                yield
                with (
                    refusals_saved(source),
                    closing(source.fetch(replace(query, conditions=query.conditions + where))) as sent,
                ):
                    some = islice(sent, request.unchecked - len(rows)) if request.unchecked else sent
                    for pair in (
                        self._tokens(some) if request.unchecked else self._checked(some, query, request.known, where)
                    ):
                        if call.waited is None:
                            call.arrived()
                        came.append((pair[0], {}) if request.tokens_only else pair)
                        if 0 < request.most < len(came):
                            raise RemoteError(
                                f"{self.operation}: ids {request.window} hold more than {request.most} rows",
                                remedy="split",
                            )
                        yield
            brought.append((query.span, came))
            seconds, waited = seconds + call.seconds, waited + (call.waited or 0.0)
            if request.unchecked:
                rows += came
                continue
            if query.span not in request.window and any(isinstance(token, str) for token, _ in came):
                raise FilterIgnoredError(
                    f"{self.operation}: rows come without ids, so what {request.strategy.name} returns beyond ids "
                    f"{request.window} cannot be told from what was asked; use the strategy key-range or prefix",
                    span=request.window,
                )
            rows += (pair for pair in came if isinstance(pair[0], str) or pair[0] in request.window)
        if not request.unchecked:
            with refusals_saved(source) if len(brought) == 1 else nullcontext():
                self._sort(rows, request.window)
        received = None if before is None else (_received(source) or 0) - before
        empty = sum(not came for _, came in brought)
        several = tuple((span, [token for token, _ in came]) for span, came in brought) if len(brought) > 1 else ()
        return Reply(tuple(rows), len(brought), empty, seconds, waited, received=received, brought=several)

    def _tokens(self, rows: Iterable[Row]) -> Iterator[tuple[Token, Row]]:
        """Yield rows as they are, each with its token; a source may know better than the column which id a row has."""
        place = getattr(self.source, "place", None)
        if place is not None:
            return ((place(row), row) for row in rows)
        return ((token_of(row, self.id_field, self.identity_field, self.operation), row) for row in rows)

    def _checked(
        self, rows: Iterable[Row], query: Query, known: KnownRow | None, where: Sequence[Condition]
    ) -> Iterator[tuple[Token, Row]]:
        """Yield the rows of one call, each checked as it arrives, with its token; without the canary."""
        canary = known.token if known and known.id == query.canary else query.canary
        met = canary is None
        first, last = query.span.first, query.span.last
        for token, row in self._tokens(rows):
            if token == canary:
                met = True
                if query.canary not in query.span:
                    continue
            if isinstance(token, int) and not first <= token <= last:
                raise FilterIgnoredError(
                    f"{self.operation}: asked for ids {query.span} ({query}), the server also sent id {token}: it "
                    f"dropped a condition; {strategy_advice(self.operation)}",
                    span=query.span,
                    stray=[token],
                )
            for condition in where:
                if contradicts(condition, row):
                    raise FilterIgnoredError(
                        f"{self.operation}: the server ignored or misread where {condition}: it sent a row with "
                        f"{row.get(condition.field.rpartition('.')[2])!r}; leave it out and filter the rows",
                        span=query.span,
                        stray=[token] if isinstance(token, int) else [],
                    )
            yield token, row
        if not met:
            raise FilterIgnoredError(
                f"{self.operation}: asked for ids {query.span} and id {query.canary}, which exists, yet it did not "
                f"come back ({str(query)[:200]}): the server misread the condition; {strategy_advice(self.operation)}",
                span=query.span,
                missing_canary=query.canary,
            )

    def _sort(self, rows: list[tuple[Token, Row]], window: IdRange) -> None:
        """Put rows in order, in place; refuse one that came twice, and several without ids for a single id.

        Of rows without ids two may have one identity in the database: apart, each is sound.
        """
        numbered = all(isinstance(token, int) for token, _ in rows)
        rows.sort(key=itemgetter(0) if numbered else lambda pair: row_order(pair[0]))
        shared = getattr(self.source, "shares", False)
        if len(rows) > len(window) == 1 and isinstance(rows[-1][0], str) and not shared:
            raise FilterIgnoredError(
                f"{self.operation}: {len(rows)} rows came for id {window.first}: the server dropped a condition; "
                f"{strategy_advice(self.operation)}",
                span=window,
            )
        for (one, _), (other, _) in pairwise(rows):
            if one == other:
                raise MalformedReplyError(
                    f"{self.operation}: row {one} came twice for ids {window}",
                    remedy="isolate" if isinstance(one, str) else "stop",
                )


@contextmanager
def refusals_saved(source: object) -> Iterator[None]:
    """Let a source that saves replies know the error for which its last one is refused."""
    try:
        yield
    except RemoteError as error:
        if refused := getattr(source, "refused", None):
            refused(error)
        raise


def _received(source: Source) -> int | None:
    """Return the bytes that a source has read so far; None where it does not count them."""
    return getattr(source, "bytes_received", None)


def with_retries(
    attempt: Callable[[], T],
    patience: float,
    *,
    insist: int = 0,
    attempts: int = 0,
    failed: Callable[[BaseException | None, float], None],
) -> T:
    """Return what `attempt` gives, tried again where its failure may pass, and `insist` times where anything may help.

    The pauses are random, longer each time, and never shorter than the server asked for.

    Args:
        attempt: what to try.
        patience: seconds after which it is not tried again.
        insist: how often to try again also where waiting alone does not help.
        attempts: at most; 0 for as many as there is patience for.
        failed: called before each further attempt, with the failure and the seconds until then.
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
