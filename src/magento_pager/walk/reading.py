"""Reading one window: ask, check every row as it arrives, and give all of it or nothing.

What lives here: the seam to the network (`Source`), the checks that make a reply trustworthy, and the retries around
the unit that reads one window. It does not know which window comes next, or why this one was asked for.

A row is known by its id; in lists whose rows carry none, by another field that no two rows share. Rows outside the
span show a dropped condition. They cannot show rows that are missing: that is what the canary is for.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Protocol, TypeVar

from tenacity import RetryCallState, Retrying, stop_before_delay, wait_random_exponential

from magento_pager.errors import FilterIgnoredError, MalformedReplyError, RemoteError
from magento_pager.walk.conditions import Condition, Query, contradicts
from magento_pager.walk.ranges import read_id
from magento_pager.walk.strategies import KEY, Strategy
from magento_pager.walk.turns import CallLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from magento_pager.walk.pages import Known, Row, Token
    from magento_pager.walk.ranges import IdRange
    from magento_pager.walk.turns import Turn

T = TypeVar("T")

log = logging.getLogger(__name__)

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


class Source(Protocol):
    """The seam to the network. Any list that takes conditions can be one."""

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call, as they arrive. Closing the generator closes the connection.

        Raises:
            RemoteError: the call failed; its `remedy` says what may help, which by default is nothing.
        """


@dataclass(frozen=True, slots=True)
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
    """

    rows: tuple[tuple[Token, Row], ...]
    calls: int
    empty_calls: int
    seconds: float = 0.0
    waited: float = 0.0
    ahead: IdRange | None = None
    received: int | None = None

    @property
    def by_ids(self) -> bool:
        """True where every row carries its id."""
        return all(isinstance(token, int) for token, _ in self.rows)

    @property
    def tokens(self) -> tuple[Token, ...]:
        """What the rows are known by."""
        return tuple(token for token, _ in self.rows)

    @property
    def ids(self) -> list[int]:
        """The ids of the rows that carry one."""
        return [token for token in self.tokens if isinstance(token, int)]


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads windows of one list.

    Attributes:
        source: where rows come from.
        id_field: what rows call the key.
        identity_field: another field that no two rows share, where rows may carry no id; else None.
        operation: the name of the list, for messages.
        key: what filters call the key.
        where: the user's own conditions, sent with every query and checked on every row that holds their field.
        patience: seconds for which a call is tried again, ever more slowly, where a failure may pass.
        repairing: the same list with characters taken out of replies that XML forbids; None to take none out.
        bare: give rows without their fields, where what they are known by is enough.
        turn: holds back a call until there is room for it; see `turns`.
    """

    source: Source
    id_field: str
    identity_field: str | None = None
    operation: str = ""
    key: str = KEY
    where: tuple[Condition, ...] = ()
    patience: float = PATIENCE
    repairing: Source | None = None
    bare: bool = False
    turn: Callable[[], AbstractContextManager[Turn]] = field(default_factory=lambda: CallLimiter().call)

    def read(self, strategy: Strategy, window: IdRange, known: Known | None = None, *, insist: int = 0) -> Reply:
        """All rows of a window.

        Args:
            strategy: how the window is put to the server.
            window: the ids wanted, inclusive.
            known: a row that may serve as a canary, or None.
            insist: how often to try again also where narrower windows might help, as they cannot.

        Raises:
            FilterIgnoredError: a row from outside came, or the canary did not.
            MalformedReplyError: a row came that cannot be one of this list, or came twice.
            RemoteError: the call failed, and did so again as long as it was tried.
        """
        return self.persistently(lambda: self.attempt(strategy, window, known), insist=insist)

    def tokens(self, query: Query) -> Iterator[Token]:
        """What the rows of one call are known by, unchecked, as they arrive."""
        with self.turn() as turn, closing(self.source.fetch(self._with_where(query))) as rows:
            for row in rows:
                turn.arrived()
                yield self.token(row)

    def token(self, row: Row) -> Token:
        """What a row is known by.

        Raises:
            MalformedReplyError: it has neither a usable id nor an identity.
        """
        number = row.get(self.id_field)
        if number is None and self.identity_field is not None:
            if isinstance(identity := row.get(self.identity_field), str):
                return identity
            raise MalformedReplyError(
                f"{self.operation}: a row came without {self.id_field} and without {self.identity_field}: it cannot be "
                "told from others; give it a number in the shop's database",
                remedy="isolate",
            )
        try:
            return read_id(number)
        except ValueError:
            text = number[:50] if isinstance(number, str) else ""
            odd = any(map(str.isdigit, text)) and not any(map(str.isalpha, text))  # a number, but not as it is stored
            raise MalformedReplyError(
                f"{self.operation}: a row came with {self.id_field}={text or number!r}, which is no id; is this the "
                "right list?",
                remedy="isolate" if odd else "stop",
            ) from None

    def persistently(
        self, attempt: Callable[[], T], *, insist: int = 0, failed: Callable[[], None] = lambda: None
    ) -> T:
        """As the function `persistently`; `failed` is called before each further attempt."""

        def tell(error: BaseException | None, seconds: float) -> None:
            log.info("again in %.1f s: %s", seconds, error)
            failed()

        return persistently(attempt, self.patience, insist=insist, failed=tell)

    def unchecked(self, strategy: Strategy, window: IdRange, known: Known | None, most: int) -> Reply:
        """As `attempt`, with whatever rows come, in that order, up to so many."""
        rows: list[tuple[Token, Row]] = []
        calls, seconds = 0, 0.0
        for query in strategy.queries(window, known.id if known else None):
            with self.turn() as turn, closing(self.source.fetch(self._with_where(query))) as found:
                for row in islice(found, most - len(rows)):
                    turn.arrived()
                    rows.append((self.token(row), row))
            calls, seconds = calls + 1, seconds + turn.seconds
        return Reply(tuple(rows), calls, int(not rows), seconds)

    def attempt(self, strategy: Strategy, window: IdRange, known: Known | None) -> Reply:
        """As `read`, and nothing is tried again."""
        rows: list[tuple[Token, Row]] = []
        calls = empty_calls = 0
        seconds = waited = 0.0
        before = self._received
        for query in strategy.queries(window, known.id if known else None):
            with self.turn() as turn:
                found = list(self._admitted(query, known, turn))
            seconds, waited = seconds + turn.seconds, waited + (turn.waited or 0.0)
            if query.span not in window and any(isinstance(token, str) for token, _ in found):
                raise FilterIgnoredError(
                    f"{self.operation}: rows come without ids, so what {strategy.name} returns beyond ids {window} "
                    "cannot be told from what was asked; use the strategy alias or prefix",
                    span=window,
                )
            rows += (pair for pair in found if isinstance(pair[0], str) or pair[0] in window)
            calls, empty_calls = calls + 1, empty_calls + (not found)
        rows.sort(key=lambda pair: _order(pair[0]))
        for (one, _), (other, _) in pairwise(rows):
            if one == other:
                raise MalformedReplyError(f"{self.operation}: row {one} came twice for ids {window}")
        received = None if before is None else (self._received or 0) - before
        return Reply(tuple(rows), calls, empty_calls, seconds, waited, received=received)

    @property
    def _received(self) -> int | None:
        """Bytes that the source has read so far; None where it does not count them."""
        return getattr(self.source, "bytes_received", None)

    def _admitted(self, query: Query, known: Known | None, turn: Turn) -> Iterator[tuple[Token, Row]]:
        """The rows of one call, each checked as it arrives; the connection is closed at the first stray one."""
        canary = known.token if known and known.id == query.canary else query.canary
        met = canary is None
        with closing(self.source.fetch(self._with_where(query))) as rows:
            for row in rows:
                turn.arrived()
                token = self.token(row)
                if token == canary:
                    met = True
                    if query.canary not in query.span:
                        continue
                if isinstance(token, int) and token not in query.span:
                    raise FilterIgnoredError(
                        f"{self.operation}: asked for ids {query.span} ({query}), the server also sent id {token}: it "
                        "dropped a condition; use another strategy (prefix holds on every version)",
                        span=query.span,
                        stray=[token],
                    )
                self._check_where(row, token, query)
                yield token, {} if self.bare else row
        if not met:
            raise FilterIgnoredError(
                f"{self.operation}: asked for ids {query.span} and id {query.canary}, which exists, yet it did not "
                f"come back ({str(query)[:200]}): the server misread the condition; use another strategy (prefix "
                "holds on every version)",
                span=query.span,
                missing_canary=query.canary,
            )

    def _check_where(self, row: Row, token: Token, query: Query) -> None:
        for condition in self.where:
            if contradicts(condition, row):
                raise FilterIgnoredError(
                    f"{self.operation}: the server ignored or misread where {condition}: it sent a row with "
                    f"{row.get(condition.field.rpartition('.')[2])!r}; leave it out and filter the rows",
                    span=query.span,
                    stray=[token] if isinstance(token, int) else [],
                )

    def _with_where(self, query: Query) -> Query:
        return replace(query, conditions=query.conditions + self.where)


def persistently(
    attempt: Callable[[], T], patience: float, *, insist: int = 0, failed: Callable[[BaseException | None, float], None]
) -> T:
    """Return what `attempt` gives, tried again where its failure may pass, and `insist` times where anything may help.

    The pauses are random, longer each time, and never shorter than the server asked for.

    Args:
        attempt: what to try.
        patience: seconds after which it is not tried again.
        insist: how often to try again also where waiting alone does not help.
        failed: called before each further attempt, with the failure and the seconds until then.
    """

    def may_pass(state: RetryCallState) -> bool:
        error = _failure(state)
        remedy = error.remedy if isinstance(error, RemoteError) else "stop"
        return remedy == "again" or (remedy != "stop" and state.attempt_number <= insist)

    retrying = Retrying(
        retry=may_pass,
        stop=stop_before_delay(patience),
        wait=lambda state: max(BACKOFF(state), getattr(_failure(state), "pause", 0.0)),
        before_sleep=lambda state: failed(_failure(state), state.upcoming_sleep),
        reraise=True,
    )
    return retrying(attempt)


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _order(token: Token) -> tuple[int, int | str]:
    """What rows are sorted by: ids before identities, and of those the shorter ones first, as numbers in text are.

    >>> sorted(["100000002", "99", 5, "100000001"], key=_order)
    [5, '99', '100000001', '100000002']
    """
    return (0, token) if isinstance(token, int) else (len(token), token)
