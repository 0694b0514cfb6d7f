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
"""Condition forms in order of preference. The second name is for shops where an extension joins a table that has a
column of the first name."""

ONE_SECOND = timedelta(seconds=1)
LONG_AGO, NOT_SOON = datetime(1970, 1, 2, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)
"""Near the limits of a TIMESTAMP column of MySQL."""


def format_timestamp(timestamp: datetime) -> str:
    """Return a timestamp as servers write and compare it: in UTC, rounded down to the second.

    Raises:
        ValueError: it has no time zone, or cannot be represented in UTC.
        TypeError: it is not a datetime.

    >>> format_timestamp(datetime.fromisoformat("2024-05-01T12:00:00.9+02:00"))
    '2024-05-01 10:00:00'
    >>> format_timestamp(datetime(2024, 5, 1))
    Traceback (most recent call last):
    ...
    ValueError: 2024-05-01T00:00:00 has no time zone, and shops use UTC: write 2024-05-01T00:00:00Z, or add an offset
    """
    given: object = timestamp
    if not isinstance(given, datetime):
        raise TypeError(
            f"a time is an aware datetime, such as datetime(2024, 5, 1, tzinfo=timezone.utc), not {given!r}"
        )
    text = timestamp.isoformat()
    if timestamp.utcoffset() is None:
        raise ValueError(f"{text} has no time zone, and shops use UTC: write {text}Z, or add an offset")
    try:
        return timestamp.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat(" ")
    except OverflowError:
        raise ValueError(f"{text} cannot be represented in UTC") from None


def default_condition(since: datetime) -> Condition:
    """Return the condition in the form that most servers honour.

    Raises:
        ValueError: as `format_timestamp`.

    >>> str(default_condition(datetime(2024, 5, 1, 10, tzinfo=UTC)))
    "updated_at gteq '2024-05-01 10:00:00'"
    """
    field, operator = FORMS[0]
    return Condition(field, operator, format_timestamp(since))


def timestamp_of(text: object) -> datetime | None:
    """Return the timestamp that a row's text means; None where it means none.

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
    """Return timestamps a second below, at and above that of a row, see `Around`.

    >>> around_time("2024-05-01 10:00:00")[-1], around_time(None)[1]
    ('2024-05-01 09:59:59', '2037-12-31 00:00:00')
    """
    timestamp = timestamp_of(full_time(value)) if isinstance(value, str) else None
    if timestamp is None or timestamp.year in {MINYEAR, MAXYEAR}:
        return {-1: format_timestamp(LONG_AGO), 1: format_timestamp(NOT_SOON)}
    return {step: format_timestamp(timestamp + step * ONE_SECOND) for step in (-1, 0, 1)}


def refuse_with_since(where: Iterable[Condition]) -> None:
    """Refuse conditions on the column that `since` needs.

    Raises:
        ValueError: there is one; the message names the alternative.
    """
    for condition in where:
        if column_of(condition.field) == FIELD:
            raise ValueError(
                f"where {condition}: {option('since')} and {option('state')} need a condition on the same field, and "
                "servers silently drop one of two. For a range, give its two bounds as conditions, "
                f"{FIELD}:from:... and {FIELD}:to:..., without {option('since')} or {option('state')}"
            )


def find_changes(prefix_walk: Callable[[], Flow[None]], key: str, operation: str, since: datetime) -> Flow[Changes]:
    """Find the condition form by which this server sends only what changed, on rows at the low end of the ids.

    The caller counts the calls.

    Args:
        prefix_walk: returns a walk over all ids by `prefix`, in windows of some hundred ids. Its own
            conditions apply as well: rows that they exclude do not matter.
        key: the name of the key in filters.
        operation: the operation of the list, for messages.
        since: the timestamp, inclusive.

    Raises:
        FilterIgnoredError: the server honours no form.
        RemoteError: a call failed in a way that says nothing about the condition: connection, login, rights.
    """
    form, rows = yield from find_form(prefix_walk, key, FIELD, around_time, [(bound,) for bound in FORMS])
    if rows is None:
        return Changes(format_timestamp(since), "", "", "empty", None, 0)
    if form is None:
        raise FilterIgnoredError(
            f"{operation}: this server cannot send only the rows that changed since a time: it ignores, misreads or "
            f"refuses each form of the condition, such as {FIELD} gteq, tried on row {rows.name}; dump the whole list "
            "instead",
            span=rows.span,
        )
    ((field, operator),) = form
    return Changes(format_timestamp(since), field, operator, "rows" if rows.has_value else "probe", rows.name, 0)
