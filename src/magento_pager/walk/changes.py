"""Only the rows that changed since a moment: how that is said so that this server understands it.

What lives here: the spellings of the condition, the trial of one on a row that is known, and the evidence. Which rows
come of it is the walk's work: the condition goes with every query, as a user's own `where` does.

Nothing is trusted because it did not fault. A condition that is dropped brings all rows, one that is read as `=` hardly
any, and neither shows where rows do not say when they were changed: invoices, shipments and products do not. So the
condition is tried on a row that exists: it must come back since before it was changed, and must not since after.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from typing import TYPE_CHECKING

from magento_pager.errors import FilterIgnoredError, RemoteError
from magento_pager.walk.conditions import Condition
from magento_pager.walk.flows import Ask, Flow, attempt, first_rows
from magento_pager.walk.pages import Changes, Verified
from magento_pager.walk.ranges import IdRange
from magento_pager.walk.recovery import is_verdict
from magento_pager.walk.strategies import Prefix

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager.walk.pages import Token

FIELD = "updated_at"
SPELLINGS = tuple((field, operator) for field in (FIELD, f"main_table.{FIELD}") for operator in ("gteq", "from"))
"""In order of preference. The second name is for shops where an extension joins a table with a column of that name."""

LOOKED_AT = 200  # ids in a window while rows are sought
TRIED = 3  # rows: the time of one may be in the hour that comes twice, where the database keeps summer time
INSIST = 4  # more attempts where a small reply fails
ATTEMPTS = 3  # at a row that is changed or deleted while it is looked at
A_SECOND = timedelta(seconds=1)
LONG_AGO, NOT_SOON = datetime(1970, 1, 2, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
"""What a TIMESTAMP column of MySQL can hold."""


def text_of(moment: datetime) -> str:
    """A moment as servers write and compare it: in UTC, to the second, which is rounded down.

    Raises:
        ValueError: it does not say in which time zone it is, or is beyond all calendars in UTC.
        TypeError: it is no datetime.

    >>> text_of(datetime.fromisoformat("2024-05-01T12:00:00.9+02:00"))
    '2024-05-01 10:00:00'
    >>> text_of(datetime(2024, 5, 1))
    Traceback (most recent call last):
    ...
    ValueError: 2024-05-01T00:00:00 is in no time zone, and shops keep UTC: say 2024-05-01T00:00:00Z, or which one it is
    """
    given: object = moment
    if not isinstance(given, datetime):
        raise TypeError(
            f"a time is an aware datetime, such as datetime(2024, 5, 1, tzinfo=timezone.utc), not {given!r}"
        )
    if moment.utcoffset() is None:
        said = moment.isoformat()
        raise ValueError(f"{said} is in no time zone, and shops keep UTC: say {said}Z, or which one it is")
    try:
        return moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat(" ")
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} is no time that UTC has") from None


def usual(since: datetime) -> Condition:
    """The condition as most servers take it.

    Raises:
        ValueError: as `text_of`.

    >>> str(usual(datetime(2024, 5, 1, 10, tzinfo=UTC)))
    "updated_at gteq '2024-05-01 10:00:00'"
    """
    field, operator = SPELLINGS[0]
    return Condition(field, operator, text_of(since))


def moment_of(text: object) -> datetime | None:
    """The moment that a row's time says; None where it says none.

    >>> moment_of("2024-05-01 10:00:00").isoformat()
    '2024-05-01T10:00:00+00:00'
    >>> moment_of("0000-00-00 00:00:00"), moment_of(None)
    (None, None)
    """
    try:
        return datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def find_changes(looking: Callable[[], Flow[None]], key: str, operation: str, since: datetime) -> Flow[Changes]:
    """Find out how this server is told to send only what changed, on a row at the low end of the ids.

    Who drives it knows how many calls that took.

    Args:
        looking: gives a walk over all ids that rests on `prefix`, in windows of some hundred ids. Its own conditions
            hold as well: of rows that they exclude none need be kept back.
        key: what filters call the key.
        operation: the name of the list, for messages.
        since: the moment, inclusive.

    Raises:
        FilterIgnoredError: no spelling holds.
        RemoteError: a call failed in a way that says nothing of the condition: connection, login, rights.
    """
    met: tuple[_Met, ...] = ()
    for _ in range(ATTEMPTS):
        before, met = met, (yield from _met(looking()))
        if not met:
            return Changes(text_of(since), "", "", "empty", None, 0)
        if met == before:
            break  # nothing has changed meanwhile, so the trials were fair
        for one, (field, operator) in product(met, SPELLINGS):
            if (yield from _holds(field, operator, one, key)):
                verified: Verified = "rows" if one.changed else "probe"
                return Changes(text_of(since), field, operator, verified, one.name, 0)
    raise FilterIgnoredError(
        f"{operation}: this server does not tell what was changed since a moment: it ignores, misreads or refuses each "
        f"way to ask for it, such as {FIELD} gteq, tried on row {met[0].name}; dump the whole list instead",
        span=met[0].span,
    )


@dataclass(frozen=True, slots=True)
class _Met:
    """Rows that are known.

    Attributes:
        span: ids, inclusive, in which there are no others.
        tokens: what they are known by.
        changed: when the only one of them was; None where rows do not say.
    """

    span: IdRange
    tokens: frozenset[Token]
    changed: datetime | None

    @property
    def name(self) -> Token:
        """What one of them is known by."""
        return min(self.tokens, key=str)


def _met(looking: Flow[None]) -> Flow[tuple[_Met, ...]]:
    """Find some of the first rows that say when they were changed, else all rows of the first window that has any."""
    piece = yield from first_rows(looking)
    if piece is None:
        return ()
    by_token = {token: moment_of(row.get(FIELD)) for token, row in piece.rows}
    saying = (
        _Met(IdRange(token, token), frozenset([token]), changed)
        for token, changed in by_token.items()
        if changed and isinstance(token, int)
    )
    return tuple(islice(saying, TRIED)) or (_Met(piece.window, frozenset(by_token), None),)


def _holds(field: str, operator: str, met: _Met, key: str) -> Flow[bool]:
    """Find out whether rows come back since before they were changed, and do not since after.

    To the second where it is known when that was. A second before shows that the operator does not mean `=`.
    """
    if met.changed:
        trials = [(met.changed - A_SECOND, True), (met.changed, True), (met.changed + A_SECOND, False)]
    else:
        trials = [(LONG_AGO, True), (NOT_SOON, False)]
    for moment, there in trials:
        condition = Condition(field, operator, text_of(moment))
        reply = yield from attempt(Ask(Prefix(key), met.span, insist=INSIST, where=(condition,)))
        if isinstance(reply, RemoteError):
            if not isinstance(reply, FilterIgnoredError) and not is_verdict(reply):  # a row came that changed before
                raise reply
            return False
        if met.tokens.isdisjoint(reply.tokens) is there:
            return False
    return True
