"""Bounds: a range of dates or numbers on one column, in a form that this server honours.

What lives here: `between`, its conditions, the forms of two bounds on one column, and the alternative where the server
drops one bound in each form: the client applies that bound to the rows that it receives.

Most servers silently drop one of two conditions on a field, and which one depends on the version. From 1.8 on `from`
and `to` are combined. Before, a second name of the column counts as another field: the name with its table in the sales
lists, the name in capitals for customers and products. `condition_forms` tries each form on an existing row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from magento_pager.errors import FilterIgnoredError
from magento_pager.walk.changes import ONE_SECOND, around_time, format_timestamp
from magento_pager.walk.condition_forms import INSIST, find_form
from magento_pager.walk.conditions import (
    ORDERS,
    Condition,
    as_condition,
    column_of,
    number_of,
    order_of,
    value_in,
)
from magento_pager.walk.flows import Flow, Item, Piece, Reply, WindowRequest, filtered, relayed
from magento_pager.walk.pages import Bounds
from magento_pager.walk.strategies import Prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from magento_pager.walk.pages import Row
    from magento_pager.walk.ranges import IdRange

Bound: TypeAlias = datetime | Decimal | int | str
COMBINED = {"gteq": "from", "lteq": "to"}
"""For some operators, the equivalent one that servers combine with another bound."""
TOO_LARGE = "1000000000000"
"""Larger than all numbers in Magento's columns, with either sign."""


@dataclass(frozen=True, slots=True)
class Between:
    """Two bounds, as `between` returns them.

    Attributes:
        start: the lower bound, inclusive, as text.
        end: the upper bound, as text.
        half_open: True where the upper bound itself is excluded.
    """

    start: str
    end: str
    half_open: bool = False

    def conditions(self, field: str) -> tuple[Condition, Condition]:
        """Return the two conditions on a field.

        >>> [str(condition) for condition in between(100, 200).conditions("grand_total")]
        ["grand_total from '100'", "grand_total to '200'"]
        """
        return Condition(field, "from", self.start), Condition(field, "lt" if self.half_open else "to", self.end)


Where: TypeAlias = "Iterable[Condition | tuple[str, str, str]] | Mapping[str, str | Between | tuple[str, str]]"
"""A user's own conditions. In a mapping, a text means `eq`, and a pair is an operator and a value."""


def between(start: Bound, end: Bound, *, half_open: bool = False) -> Between:
    """Return a range of times or numbers.

    Use it as the value of a column: `where={"created_at": magento_pager.between(start, end)}`.

    Args:
        start: the lower bound, inclusive: an aware datetime, a number (int or Decimal), or a text as in a condition.
        end: the upper bound, inclusive, of the same kind. A date as a text means 00:00:00 of that day.
        half_open: exclude the upper bound itself.

    Raises:
        ValueError: the start is after the end, a time has no zone, or the two cannot be compared.
        TypeError: a bound is not a datetime, int, Decimal or text.

    >>> from datetime import UTC
    >>> between(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC), half_open=True)
    Between(start='2024-01-01 00:00:00', end='2024-02-01 00:00:00', half_open=True)
    >>> between("200", "100")
    Traceback (most recent call last):
    ...
    ValueError: nothing is between '200' and '100': the start is after the end
    """
    lower, upper = _text(start, up=True), _text(end, up=half_open)  # rows hold whole seconds
    order = order_of(lower, upper, text=False)
    if order is None:
        raise ValueError(
            f"a range needs two bounds of the same kind: whole dates, times or numbers, not {lower!r} and {upper!r}"
        )
    if order == 1:
        raise ValueError(f"nothing is between {lower!r} and {upper!r}: the start is after the end")
    return Between(lower, upper, half_open)


def _text(bound: Bound, *, up: bool) -> str:
    """Return a bound as servers write it; times to the second, rounded `up` or down."""
    given: object = bound
    match given:
        case datetime():
            text = format_timestamp(given)
            return format_timestamp(given + ONE_SECOND) if up and given.microsecond else text
        case str():
            return given
        case int() | Decimal() if not isinstance(given, bool):
            return f"{given:f}" if isinstance(given, Decimal) else str(given)
    raise TypeError(
        "a bound is an aware datetime, such as datetime(2024, 5, 1, tzinfo=timezone.utc), an int, a Decimal or a text, "
        f"not {given!r}"
    )


def as_conditions(where: Where) -> tuple[Condition, ...]:
    """Return conditions that were given in any form as `Condition` objects.

    Raises:
        TypeError: an item is not a condition.

    >>> [str(condition) for condition in as_conditions({"status": "complete", "grand_total": ("gteq", "100")})]
    ["status eq 'complete'", "grand_total gteq '100'"]
    """
    if not isinstance(where, Mapping):
        return tuple(map(as_condition, where))
    conditions: list[Condition] = []
    for field, value in where.items():
        match value:
            case Between():
                conditions += value.conditions(field)
            case str():
                conditions.append(as_condition((field, "eq", value)))
            case (operator, operand):
                conditions.append(as_condition((field, operator, operand)))
            case _:
                raise TypeError(
                    f"where {field!r}: a condition is a text that must be equal, an operator and a value such as "
                    f'("gteq", "100"), or a range, between(start, end), not {value!r}'
                )
    return tuple(conditions)


@dataclass(frozen=True, slots=True)
class ColumnRange:
    """A range as the user gave it.

    Attributes:
        lower: the lower bound, on the name of the column in filters.
        upper: the upper bound.
        aliases: other names of the column in filters, at least one, in order of preference.
        number: True where the column holds numbers, False where it holds dates.
    """

    lower: Condition
    upper: Condition
    aliases: tuple[str, ...] = ()
    number: bool = False

    @property
    def column(self) -> str:
        """The name of the column in rows."""
        return column_of(self.lower.field)

    @property
    def default_conditions(self) -> tuple[Condition, Condition]:
        """The conditions in the form that most servers honour."""
        lower, upper = (
            replace(bound, field=self.lower.field, operator=COMBINED.get(bound.operator, bound.operator))
            for bound in (self.lower, self.upper)
        )
        return lower, upper

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the column in filters."""
        return tuple(dict.fromkeys((self.lower.field, *self.aliases)))


def around_number(value: object) -> Mapping[int, str]:
    """Return numbers below, at and above that of a row, see `Around`.

    >>> dict(around_number("99.5000"))
    {-1: '98.5000', 0: '99.5000', 1: '100.5000'}
    """
    number = number_of(value) if isinstance(value, str) else None
    if number is None:
        return {-1: f"-{TOO_LARGE}", 1: TOO_LARGE}
    return {step: f"{number + step:f}" for step in (-1, 0, 1)}


def find_bounds(
    prefix_walk: Callable[[], Flow[None]], key: str, operation: str, column_range: ColumnRange
) -> Flow[Bounds]:
    """Find the condition form by which this server applies a range.

    That is both bounds at once; otherwise the lower bound, and the client applies the upper one.

    Args: see `find_changes`.

    Raises:
        FilterIgnoredError: the server drops one bound in each form, and rows do not carry the column; or it does not
            honour one bound alone.
        RemoteError: a call failed in a way that says nothing about the condition: connection, login, rights.
    """
    lower, upper = column_range.default_conditions
    names = [(first, other) for first, second in pairwise(column_range.names) for other in (first, second)]
    pairs = [((first, lower.operator), (other, upper.operator)) for first, other in names]
    on_column = key, column_range.column, around_number if column_range.number else around_time
    both, rows = yield from find_form(prefix_walk, *on_column, pairs)
    if both is None and rows is not None and not rows.has_value:
        without = rows  # the column may be empty in these rows, and not in others
        prefix_walk = partial(_not_null, prefix_walk, Condition(lower.field, "notnull", "1"))
        both, rows = yield from find_form(prefix_walk, *on_column, pairs)
        if rows is None:
            reply = yield WindowRequest(
                Prefix(key), without.span, insist=INSIST, where=(Condition(lower.field, "null", "1"),)
            )
            rows = None if without.tokens.issubset(reply.tokens) else without
    if rows is None:
        return Bounds(column_range.column, (lower,), (lower, upper), "empty", None)
    if both is not None:
        sent = tuple(replace(bound, field=field) for bound, (field, _) in zip((lower, upper), both, strict=True))
        return Bounds(column_range.column, sent, (), "rows" if rows.has_value else "probe", rows.name)
    single = None
    if rows.has_value:
        single, _ = yield from find_form(
            prefix_walk, *on_column, [((name, lower.operator),) for name in column_range.names]
        )
    if single is None:
        dropped = f"drops one of two bounds, and its rows carry no {column_range.column}"
        reason = "misreads one bound" if rows.has_value else dropped
        raise FilterIgnoredError(
            f"{operation}: this server cannot apply {lower} and {upper}: it {reason}; give one bound alone, and filter "
            "the rows yourself",
            span=rows.span,
        )
    return Bounds(column_range.column, (replace(lower, field=single[0][0]),), (upper,), "rows", rows.name)


def _not_null(prefix_walk: Callable[[], Flow[None]], condition: Condition) -> Flow[None]:
    return (yield from filtered(prefix_walk(), (condition,)))


def sent_conditions(bounds: Iterable[Bounds]) -> tuple[Condition, ...]:
    """Return the conditions that are sent with every query."""
    return tuple(condition for bound in bounds for condition in bound.sent)


def apply_bounds(walk: Flow[None], bounds: Sequence[Bounds], operation: str) -> Flow[None]:
    """Run a walk over the rows that lie within some ranges. The client's own bounds apply after all checks.

    Raises:
        FilterIgnoredError: a row does not carry the column, or has no date or number there.
    """
    own = tuple(condition for bound in bounds for condition in bound.here)

    def relay(item: Item) -> Flow[Reply]:
        if isinstance(item, Piece):
            rows = tuple(
                pair for pair in item.rows if all(_satisfies(pair[1], bound, operation, item.window) for bound in own)
            )
            item = replace(item, rows=rows)
        return (yield item)

    walk = filtered(walk, sent_conditions(bounds))
    return (yield from relayed(walk, relay)) if own else (yield from walk)


def _satisfies(row: Row, condition: Condition, operation: str, window: IdRange) -> bool:
    value = value_in(row, condition)
    order = None if value is None else order_of(value, condition.value, text=False)
    if order is None:
        raise FilterIgnoredError(
            f"{operation}: the client must apply {condition}, and cannot: a row has {value!r} in that column; give one "
            "bound alone, and filter the rows yourself",
            span=window,
        )
    return order in ORDERS[condition.operator]
