"""Conditions: those the server applies, those it must not get, and whether a row contradicts one.

What lives here: one predicate (`Condition`), one call (`Query`), the rules by which a user's own `where` is refused,
and the client's own reading of a condition. The server never reports that it dropped or misread one: an unknown
operator means `=`, a second condition on a field is lost, a `?` in a value is replaced, an empty operand matches
everything (observed on running servers; docs: filters by version). This module knows no window and no network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from magento_pager.walk.ranges import IdRange

ORDERS = {"eq": {0}, "gt": {1}, "gteq": {0, 1}, "from": {0, 1}, "lt": {-1}, "lteq": {-1, 0}, "to": {-1, 0}}
"""For each comparison, the allowed orders of a column and the operand: -1 below, 0 equal, 1 above."""

_LOWER, _UPPER = frozenset({"from", "gteq", "gt"}), frozenset({"to", "lteq", "lt"})

OPERATORS = (
    frozenset(ORDERS) | {"neq", "like", "nlike", "in", "nin", "finset", "null", "notnull"} | {"regexp", "seq", "sneq"}
)
"""The operators of servers. `regexp`, `seq` and `sneq` came with 1.6.0.0, lists for `in` and `nin` with 1.7.0.1."""

_OPERATOR_SYNONYMS = {"=": "eq", "!=": "neq", ">": "gt", ">=": "gteq", "<": "lt", "<=": "lteq", "moreq": "gteq"}
_LISTS = frozenset({"in", "nin", "finset"})  # their values are split at commas
_NO_TIME = frozenset({"like", "nlike", "regexp", "null", "notnull"})  # compare text, or nothing
_TIME = "%Y-%m-%d %H:%M:%S"
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([Ee][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_SECOND_CONDITION = "a second condition on one field, whatever its name: some servers would silently drop one of them"
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")


@dataclass(frozen=True, slots=True)
class Condition:
    """One predicate for the server to apply.

    Attributes:
        field: the name of the column or attribute on the server.
        operator: Magento's name of the comparison: eq, gteq, like, from, ...
        value: the operand, as text.
    """

    field: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {self.value!r}"

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read FIELD:OP:VALUE; the value may hold colons.

        Raises:
            ValueError: the text does not have three parts.

        >>> Condition.parse("created_at:gteq:2024-01-01 00:00:00")
        Condition(field='created_at', operator='gteq', value='2024-01-01 00:00:00')
        """
        parts = text.split(":", 2)
        if len(parts) != len(("FIELD", "OP", "VALUE")):
            raise ValueError(f"a condition is FIELD:OP:VALUE, such as status:eq:complete, not {text!r}")
        return cls(*parts)


@dataclass(frozen=True, slots=True)
class Query:
    """One call.

    Attributes:
        conditions: a row must satisfy all of them; the API has no OR.
        span: every returned row must lie in it, except the canary.
        canary: an id known to exist that must be among the rows; None where none is needed.

    >>> from magento_pager import IdRange
    >>> str(Query((Condition("entity_id", "gteq", "5"), Condition("status", "eq", "new")), IdRange(5, 9)))
    "entity_id gteq '5' and status eq 'new'"
    """

    conditions: tuple[Condition, ...]
    span: IdRange
    canary: int | None = None

    def __str__(self) -> str:
        return " and ".join(map(str, self.conditions))


def checked_where(
    where: Iterable[Condition | tuple[str, str, str]],
    key_names: Collection[str] = ("entity_id",),
    dates: Collection[str] = (),
    numbers: Collection[str] = (),
) -> tuple[Condition, ...]:
    """Return a user's own conditions, after checking that no server can misread them.

    Two on one column are a range: a lower bound and an upper one, on a column of dates or numbers.

    Args:
        where: conditions, or (field, operator, value) triples. All must hold.
        key_names: the names of the key, on which the walk needs its own conditions.
        dates: columns that hold dates or times. Their operand must be a whole date, to which 00:00:00 is added, or a
            date and a time.
        numbers: columns that hold numbers.

    Raises:
        ValueError: some server would silently misread a condition; the message names it and the alternative.
        TypeError: an item is neither a Condition nor three texts.

    >>> checked_where([("status", "eq", "complete")])
    (Condition(field='status', operator='eq', value='complete'),)
    >>> checked_where([("created_at", "gteq", "2024-01-05")], dates=["created_at"])
    (Condition(field='created_at', operator='gteq', value='2024-01-05 00:00:00'),)
    >>> checked_where([("status", "equals", "complete")])
    Traceback (most recent call last):
    ...
    ValueError: where status equals 'complete': no server knows 'equals' and all would read it as '='; the operators \
are eq, finset, from, gt, gteq, in, like, lt, lteq, neq, nin, nlike, notnull, null, regexp, seq, sneq, to
    """
    conditions = []
    for condition in map(as_condition, where):
        if reason := _refusal(condition, {column_of(name) for name in key_names}):
            raise ValueError(f"where {condition}: {reason}")
        conditions.append(_with_times(condition) if column_of(condition.field) in dates else condition)
    for column, same in _by_column(conditions).items():
        if len(same) > 1 and (reason := _range_refusal(same, column, dates, numbers)):
            raise ValueError(f"where {same[1]}: {reason}")
    return tuple(conditions)


def bound_pairs(conditions: Iterable[Condition]) -> dict[str, tuple[Condition, Condition]]:
    """Return the lower and the upper bound of each range among checked conditions, by column.

    >>> bound_pairs([Condition("created_at", "lt", "2024-02-01"), Condition("created_at", "from", "2024-01-01")])
    {'created_at': (Condition(field='created_at', operator='from', value='2024-01-01'), \
Condition(field='created_at', operator='lt', value='2024-02-01'))}
    """
    pairs = {}
    for column, same in _by_column(conditions).items():
        if len(same) > 1:
            upper, lower = sorted(same, key=lambda bound: bound.operator in _LOWER)
            pairs[column] = lower, upper
    return pairs


def contradicts(condition: Condition, row: Mapping[str, Any]) -> bool:
    """Return whether a row certainly does not satisfy a condition, so that the server dropped or misread it.

    Where the row lacks the field, or the database's collation decides, nothing is certain and the result is False: a
    false alarm would end a correct walk. A whole number may be in a column of numbers or of text, which databases order
    differently: it contradicts a condition only in both orders.

    >>> contradicts(Condition("status", "eq", "complete"), {"status": "pending"})
    True
    >>> contradicts(Condition("status", "eq", "COMPLETE"), {"status": "complete"})
    False
    >>> contradicts(Condition("grand_total", "gteq", "100"), {"grand_total": "99.5000"})
    True
    >>> contradicts(Condition("created_at", "from", "2024-05-01"), {"created_at": "2024-04-30 23:59:59"})
    True
    >>> contradicts(Condition("increment_id", "lteq", "2"), {"increment_id": "100000001"})  # "1..." is below "2"
    False
    """
    value = value_in(row, condition)
    if value is None:
        return False
    operand, operator = condition.value, condition.operator
    if operator in ORDERS:
        orders = [order_of(value, operand, text=operator == "eq")]
        if _WHOLE.fullmatch(value):
            orders.append(_order_of_texts(value, operand))
        return all(order is not None and order not in ORDERS[operator] for order in orders)
    if operator == "in":
        return all(order_of(value, item, text=True) not in {0, None} for item in operand.split(","))
    if operator in {"neq", "nin"}:
        return value in (operand.split(",") if operator == "nin" else [operand])
    if operator == "like":
        return value.isascii() and operand.isascii() and "\\" not in operand and not _like(operand).fullmatch(value)
    return operator == "null"


def value_in(row: Mapping[str, Any], condition: Condition) -> str | None:
    """Return the text of a row in the column of a condition; None where it has none.

    >>> value_in({"created_at": "2024-05-01 00:00:00"}, Condition("main_table.CREATED_AT", "to", "2024-05-01"))
    '2024-05-01 00:00:00'
    """
    name = condition.field.rpartition(".")[2]
    value = row.get(name, row.get(name.lower()))
    return value if isinstance(value, str) else None


def full_time(text: str) -> str | None:
    """Return a date or a timestamp as columns hold it, with the time of day; None where it is not a complete one.

    >>> full_time("2024-02-29"), full_time("2023-02-29"), full_time("2024-01")
    ('2024-02-29 00:00:00', None, None)
    """
    full = _timestamp(text) or ""
    try:
        datetime.strptime(full, _TIME)  # noqa: DTZ007  columns are in UTC
    except ValueError:
        return None
    return full


def _with_times(condition: Condition) -> Condition:
    """Return a condition on a date column with the time of day in its value."""
    if condition.operator in _NO_TIME:
        return condition
    values = condition.value.split(",") if condition.operator in _LISTS else [condition.value]
    times = list(map(full_time, values))
    if None in times:
        raise ValueError(
            f"where {condition}: {condition.field} is compared with a whole date, such as 2024-01-05, which means "
            "00:00:00 of that day, or a date and a time in UTC, such as 2024-01-05 10:30:00; databases misread other "
            f"text{_hint(condition.value)}"
        )
    return replace(condition, value=",".join(filter(None, times)))


def _hint(value: str) -> str:
    """Return a suggestion in UTC for a time with a zone."""
    try:
        time = datetime.fromisoformat(value)
        return f". Did you mean {time.astimezone(UTC):{_TIME}}?" if time.utcoffset() is not None else ""
    except (ValueError, OverflowError):
        return ""


def as_condition(given: object) -> Condition:
    """Return the condition of a Condition or of three texts.

    Raises:
        TypeError: it is neither.

    >>> as_condition(("status", "eq", "complete"))
    Condition(field='status', operator='eq', value='complete')
    """
    match given:
        case Condition():
            return given
        case (str(field), str(operator), str(value)):  # a sequence, but not a text
            return Condition(field, operator, value)
    raise TypeError(f'a condition is a Condition or three texts, such as ("status", "eq", "complete"), not {given!r}')


def _by_column(conditions: Iterable[Condition]) -> dict[str, list[Condition]]:
    by_column: dict[str, list[Condition]] = {}
    for condition in conditions:
        by_column.setdefault(column_of(condition.field), []).append(condition)
    return by_column


def _range_refusal(same: list[Condition], column: str, dates: Collection[str], numbers: Collection[str]) -> str | None:
    """Return why several conditions on one column are not a range that can be requested, or None."""
    lower = [condition for condition in same if condition.operator in _LOWER]
    upper = [condition for condition in same if condition.operator in _UPPER]
    if not (len(lower) == len(upper) == 1 and len(same) == len(lower + upper)):
        bounds = "one lower bound (from, gteq or gt) and one upper bound (to, lteq or lt)"
        return f"{_SECOND_CONDITION}. Only a range may have two: {bounds}"
    if column not in dates and column not in numbers:
        reason = f"{column} is not known to hold any: give one bound, and filter the rows yourself"
        return f"{_SECOND_CONDITION}. A range needs dates or numbers, and {reason}"
    if column in numbers and None in [number_of(condition.value) for condition in same]:
        return "a range of numbers needs numbers as bounds, such as 100 or 99.50"
    if order_of(lower[0].value, upper[0].value, text=False) == 1:
        return f"no row can satisfy both this and {same[0]}: the lower bound is above the upper one"
    return None


def _refusal(condition: Condition, keys: set[str]) -> str | None:
    """Return why a server could misread a condition, or None."""
    field, operator, value = condition.field, condition.operator, condition.value
    if not _FIELD.fullmatch(field):
        return "a field is a name such as status or main_table.status; old servers insert it into SQL unchanged"
    if column_of(field) in keys:
        return "the walk needs its own conditions on the key, and a second one would be dropped; use first and last"
    if operator not in OPERATORS:
        hint = f" (did you mean {_OPERATOR_SYNONYMS[operator]!r}?)" if operator in _OPERATOR_SYNONYMS else ""
        known = ", ".join(sorted(OPERATORS))
        return f"no server knows {operator!r} and all would read it as '='{hint}; the operators are {known}"
    if value == "" and operator in ({*ORDERS} - {"eq"}) | {"in", "nin", "finset", "like", "nlike", "regexp"}:
        return f"an empty value with {operator!r} does not compare: it matches everything or nothing"
    if "?" in value:
        return "servers replace '?' in a value; with like, use _ for any single character"
    if "{{" in value:
        return "servers replace '{{...}}' in a value by a field's name"
    if any(char < " " and char not in "\t\n\r" for char in value):
        return "a control character cannot be sent in XML"
    return None


def column_of(field: str) -> str:
    """Return the column that a field names, without a table's name and in lower case, as MySQL reads it.

    >>> column_of("main_table.Entity_ID")
    'entity_id'
    """
    return field.rpartition(".")[2].strip("` ").lower()


def order_of(value: str, operand: str, *, text: bool) -> int | None:
    """Return how MySQL orders a column's text and an operand: -1, 0 or 1; None where only the database knows.

    Numbers and timestamps are compared as such if both sides are (a day means its midnight). Other text is compared
    only with `text`, ignoring case and trailing blanks, and only in ASCII: the collation decides the rest.

    >>> order_of("10.0000", "9", text=False), order_of("2024-01-31 00:00:00", "2024-01-31", text=False)
    (1, 0)
    >>> order_of("abc", "abd", text=False), order_of("10.0000", "10abc", text=True)
    (None, None)
    """
    readings: tuple[tuple[Callable[[str], Any], Callable[[str], Any]], ...] = (
        (number_of, number_of),
        (_timestamp, full_time),
    )
    for of_column, of_operand in readings:
        left, right = of_column(value), of_operand(operand)
        if left is not None and right is not None:
            return int(left > right) - int(left < right)
        if left is not None:
            return None  # the server casts the operand in its own way
    return _order_of_texts(value, operand) if text else None


def _order_of_texts(value: str, operand: str) -> int | None:
    if not (value.isascii() and operand.isascii()):
        return None
    left, right = value.rstrip(" ").lower(), operand.rstrip(" ").lower()
    return (left > right) - (left < right)


def number_of(text: str) -> Decimal | None:
    """Return the number that a text is, as MySQL stores it or as PHP writes floats; None where it is not a number.

    >>> number_of("10.0000"), number_of("1.0E-5"), number_of("+.5"), number_of("0x10"), number_of("1e3 ")
    (Decimal('10.0000'), Decimal('0.000010'), Decimal('0.5'), None, None)
    """
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _timestamp(text: str) -> str | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", text, re.ASCII):
        return None
    return text if " " in text else f"{text} 00:00:00"


def _like(pattern: str) -> re.Pattern[str]:
    parts = (".*" if char == "%" else "." if char == "_" else re.escape(char) for char in pattern)
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
