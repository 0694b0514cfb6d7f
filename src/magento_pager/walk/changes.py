"""Only the rows that changed since a timestamp: the condition in a form that this server honours.

What lives here: timestamps as servers write them, the forms of the condition, and the evidence. `condition_forms` tries
the forms; the walk finds the rows, as the condition goes with every query, like a user's own `where`.

The rows of invoices, shipments and products do not say when they were changed: there the trial is all the evidence.
"""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from typing import TYPE_CHECKING

from magento_pager.errors import FilterIgnoredError, option
from magento_pager.walk.condition_forms import find_form
from magento_pager.walk.conditions import Condition, column_of, full_time
from magento_pager.walk.pages import Changes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from magento_pager.walk.flows import Flow

FIELD = "updated_at"
FORMS = tuple((field, operator) for field in (FIELD, f"main_table.{FIELD}") for operator in ("gteq", "from"))
"""In order of preference. The second name is for shops where an extension joins a table with a column of that name."""

A_SECOND = timedelta(seconds=1)
LONG_AGO, NOT_SOON = datetime(1970, 1, 2, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
"""What a TIMESTAMP column of MySQL can hold."""


def format_timestamp(moment: datetime) -> str:
    """A moment as servers write and compare it: in UTC, to the second, which is rounded down.

    Raises:
        ValueError: it does not say in which time zone it is, or is beyond all calendars in UTC.
        TypeError: it is no datetime.

    >>> format_timestamp(datetime.fromisoformat("2024-05-01T12:00:00.9+02:00"))
    '2024-05-01 10:00:00'
    >>> format_timestamp(datetime(2024, 5, 1))
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


def default_condition(since: datetime) -> Condition:
    """The condition as most servers take it.

    Raises:
        ValueError: as `format_timestamp`.

    >>> str(default_condition(datetime(2024, 5, 1, 10, tzinfo=UTC)))
    "updated_at gteq '2024-05-01 10:00:00'"
    """
    field, operator = FORMS[0]
    return Condition(field, operator, format_timestamp(since))


def timestamp_of(text: object) -> datetime | None:
    """The moment that a row's time says; None where it says none.

    >>> timestamp_of("2024-05-01 10:00:00").isoformat()
    '2024-05-01T10:00:00+00:00'
    >>> timestamp_of("0000-00-00 00:00:00"), timestamp_of(None)
    (None, None)
    """
    try:
        return datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def around_time(value: object) -> Mapping[int, str]:
    """Return times a second below, at and above that of a row, see `Around`.

    >>> around_time("2024-05-01 10:00:00")[-1], around_time(None)[1]
    ('2024-05-01 09:59:59', '2037-12-31 00:00:00')
    """
    moment = timestamp_of(full_time(value)) if isinstance(value, str) else None
    if moment is None or moment.year in {MINYEAR, MAXYEAR}:
        return {-1: format_timestamp(LONG_AGO), 1: format_timestamp(NOT_SOON)}
    return {step: format_timestamp(moment + step * A_SECOND) for step in (-1, 0, 1)}


def refuse_with_since(where: Iterable[Condition]) -> None:
    """Refuse conditions on the column that `since` needs; a ValueError that says what to ask for instead."""
    for one in where:
        if column_of(one.field) == FIELD:
            raise ValueError(
                f"where {one}: a second condition on one field, which {option('since')} and {option('state')} need: "
                "one of them would be dropped silently. For a range give its two bounds as conditions, "
                f"{FIELD}:from:... and {FIELD}:to:..., and no time beside them"
            )


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
        FilterIgnoredError: no form holds.
        RemoteError: a call failed in a way that says nothing of the condition: connection, login, rights.
    """
    tried = [(form,) for form in FORMS]
    form, rows = yield from find_form(looking, key, FIELD, around_time, tried)
    if rows is None:
        return Changes(format_timestamp(since), "", "", "empty", None, 0)
    if form is None:
        raise FilterIgnoredError(
            f"{operation}: this server does not tell what was changed since a moment: it ignores, misreads or refuses "
            f"each way to ask for it, such as {FIELD} gteq, tried on row {rows.name}; dump the whole list instead",
            span=rows.span,
        )
    ((field, operator),) = form
    return Changes(format_timestamp(since), field, operator, "rows" if rows.says else "probe", rows.name, 0)
