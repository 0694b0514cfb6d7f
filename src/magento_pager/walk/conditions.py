"""Conditions: what the server is asked to apply, what it must not be asked, and whether a row contradicts one.

What lives here: one predicate (`Condition`), one call (`Query`), the rules by which a user's own `where` is refused,
and the client's own reading of a condition. The server never says that it dropped or misread one: an unknown operator
means `=`, a second condition on a field is lost, a `?` in a value is replaced, an empty operand matches everything
(facts seen on a running server; docs: filters by version). This module knows no window and no network.
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
"""For each comparison, how a column may stand to the operand: -1 below, 0 equal, 1 above."""

_LOWER, _UPPER = frozenset({"from", "gteq", "gt"}), frozenset({"to", "lteq", "lt"})

OPERATORS = (
    frozenset(ORDERS) | {"neq", "like", "nlike", "in", "nin", "finset", "null", "notnull"} | {"regexp", "seq", "sneq"}
)
"""The operators a server knows. `regexp`, `seq` and `sneq` came with 1.6.0.0, lists for `in` and `nin` with 1.7.0.1."""

_SPELLED_OTHERWISE = {"=": "eq", "!=": "neq", ">": "gt", ">=": "gteq", "<": "lt", "<=": "lteq", "moreq": "gteq"}
_LISTS = frozenset({"in", "nin", "finset"})  # their values are cut at commas
_NO_TIME = frozenset({"like", "nlike", "regexp", "null", "notnull"})  # compare a text, or nothing
_TIME = "%Y-%m-%d %H:%M:%S"
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([Ee][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_SECOND = "a second condition on one field, however it is spelled: one of them would be dropped silently"
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?")


@dataclass(frozen=True, slots=True)
class Condition:
    """One predicate the server is asked to apply.

    Attributes:
        field: the column or attribute, as the server spells it.
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
            ValueError: there are not three parts.

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
        conditions: all of them must hold (no OR can be said in this API).
        span: every row that comes back lies in here, the canary excepted.
        canary: an id known to exist that must be among the rows, or None where none is needed.
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
    """Return a user's own conditions, once none of them can be misread by a server.

    Two on one column are a range: a lower bound and an upper one, on a column of dates or numbers.

    Args:
        where: conditions, or (field, operator, value) triples. All must hold.
        key_names: the names of the key, which the walk needs for itself.
        dates: columns that hold dates or times. What they are compared with is a whole date, to which 00:00:00 is
            added, or a date and a time.
        numbers: columns that hold numbers.

    Raises:
        ValueError: a condition that some server would silently misread; the message says which and what to do.
        TypeError: something that is neither a Condition nor three texts.

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
        if len(same) > 1 and (reason := _no_range(same, column, dates, numbers)):
            raise ValueError(f"where {same[1]}: {reason}")
    return tuple(conditions)


def bound_pairs(conditions: Iterable[Condition]) -> dict[str, tuple[Condition, Condition]]:
    """Return the ranges among checked conditions: the lower and the upper bound, by column.

    >>> bound_pairs([Condition("created_at", "lt", "2024-02-01"), Condition("created_at", "from", "2024-01-01")])
    {'created_at': (Condition(field='created_at', operator='from', value='2024-01-01'), \
Condition(field='created_at', operator='lt', value='2024-02-01'))}
    """
    found = {}
    for column, same in _by_column(conditions).items():
        if len(same) > 1:
            upper, lower = sorted(same, key=lambda one: one.operator in _LOWER)
            found[column] = lower, upper
    return found


def contradicts(condition: Condition, row: Mapping[str, Any]) -> bool:
    """True where `row` certainly does not satisfy `condition`: the server then dropped or misread it.

    Where the field is not in the row, or where the database's collation decides, nothing is certain and the answer is
    False: a false alarm would stop an honest server. A whole number may stand in a column of numbers or of text, and
    databases order these differently: it contradicts only what both forbid.

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
    have = value_in(row, condition)
    if have is None:
        return False
    want, operator = condition.value, condition.operator
    if operator in ORDERS:
        orders = [order_of(have, want, text=operator == "eq")]
        if _WHOLE.fullmatch(have):
            orders.append(_order_of_texts(have, want))
        return all(order is not None and order not in ORDERS[operator] for order in orders)
    if operator == "in":
        return all(order_of(have, one, text=True) not in {0, None} for one in want.split(","))
    if operator in {"neq", "nin"}:
        return have in (want.split(",") if operator == "nin" else [want])
    if operator == "like":
        return have.isascii() and want.isascii() and "\\" not in want and not _like(want).fullmatch(have)
    return operator == "null"


def value_in(row: Mapping[str, Any], condition: Condition) -> str | None:
    """Return the text that a row has in the column of a condition; None where it has none.

    >>> value_in({"created_at": "2024-05-01 00:00:00"}, Condition("main_table.CREATED_AT", "to", "2024-05-01"))
    '2024-05-01 00:00:00'
    """
    name = condition.field.rpartition(".")[2]
    have = row.get(name, row.get(name.lower()))
    return have if isinstance(have, str) else None


def full_time(text: str) -> str | None:
    """Return a date or a time as columns hold it, with the time of day; None where it is no whole one.

    >>> full_time("2024-02-29"), full_time("2023-02-29"), full_time("2024-01")
    ('2024-02-29 00:00:00', None, None)
    """
    full = _moment(text) or ""
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
            "00:00:00 of that day, or a date and a time in UTC, such as 2024-01-05 10:30:00; databases read other text "
            f"as another date, or as none{_hint(condition.value)}"
        )
    return replace(condition, value=",".join(filter(None, times)))


def _hint(value: str) -> str:
    """What a time with a zone is in UTC."""
    try:
        time = datetime.fromisoformat(value)
        return f". Did you mean {time.astimezone(UTC):{_TIME}}?" if time.utcoffset() is not None else ""
    except (ValueError, OverflowError):
        return ""


def as_condition(given: object) -> Condition:
    """Return a condition that is one already, or three texts.

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
    found: dict[str, list[Condition]] = {}
    for one in conditions:
        found.setdefault(column_of(one.field), []).append(one)
    return found


def _no_range(same: list[Condition], column: str, dates: Collection[str], numbers: Collection[str]) -> str | None:
    """Why several conditions on one column are no range that can be asked for, or None."""
    lower = [one for one in same if one.operator in _LOWER]
    upper = [one for one in same if one.operator in _UPPER]
    if not (len(lower) == len(upper) == 1 and len(same) == len(lower + upper)):
        bounds = "one lower bound (from, gteq or gt) and one upper bound (to, lteq or lt)"
        return f"{_SECOND}. Only a range takes two: {bounds}"
    if column not in dates and column not in numbers:
        reason = f"{column} is not known to hold any: give one bound, and filter the rows"
        return f"{_SECOND}. A range is of dates or numbers, and {reason}"
    if column in numbers and None in [number_of(one.value) for one in same]:
        return "the bounds of a range of numbers are numbers, such as 100 or 99.50"
    if order_of(lower[0].value, upper[0].value, text=False) == 1:
        return f"no row can meet that and {same[0]}: the lower bound is above the upper one"
    return None


def _refusal(condition: Condition, keys: set[str]) -> str | None:
    """Why a server could misread `condition`, or None."""
    field, operator, value = condition.field, condition.operator, condition.value
    if not _FIELD.fullmatch(field):
        return "a field is a name such as status or main_table.status; old servers paste it into SQL as it is"
    if column_of(field) in keys:
        return "the walk itself needs conditions on the key, and a second one would be dropped; use first and last"
    if operator not in OPERATORS:
        hint = f"did you mean {_SPELLED_OTHERWISE[operator]!r}? " if operator in _SPELLED_OTHERWISE else ""
        known = ", ".join(sorted(OPERATORS))
        return f"{hint}no server knows {operator!r} and all would read it as '='; the operators are {known}"
    if value == "" and operator in ({*ORDERS} - {"eq"}) | {"in", "nin", "finset", "like", "nlike", "regexp"}:
        return f"an empty value with {operator!r} does not compare: it matches everything or nothing"
    if "?" in value:
        return "servers replace '?' in a value; with like, use _ for any one character"
    if "{{" in value:
        return "servers replace '{{...}}' in a value by a field's name"
    if any(char < " " and char not in "\t\n\r" for char in value):
        return "a control character cannot be sent in XML"
    return None


def column_of(field: str) -> str:
    """Return the column behind a spelling: MySQL reads column names without case, and tables may be named before them.

    >>> column_of("main_table.Entity_ID")
    'entity_id'
    """
    return field.rpartition(".")[2].strip("` ").lower()


def order_of(have: str, want: str, *, text: bool) -> int | None:
    """Return how MySQL orders a column's text and an operand: -1, 0 or 1; None where only the database knows.

    Numbers and times are compared as such where both sides are (a day alone is its midnight). Other text is compared
    where `text` is asked for, without case and trailing blanks, and only in ASCII: the rest is up to the collation.

    >>> order_of("10.0000", "9", text=False), order_of("2024-01-31 00:00:00", "2024-01-31", text=False)
    (1, 0)
    >>> order_of("abc", "abd", text=False), order_of("10.0000", "10abc", text=True)
    (None, None)
    """
    readings: tuple[tuple[Callable[[str], Any], Callable[[str], Any]], ...] = (
        (number_of, number_of),
        (_moment, full_time),
    )
    for of_column, of_operand in readings:
        left, right = of_column(have), of_operand(want)
        if left is not None and right is not None:
            return int(left > right) - int(left < right)
        if left is not None:
            return None  # the server casts the operand in its own way
    return _order_of_texts(have, want) if text else None


def _order_of_texts(have: str, want: str) -> int | None:
    if not (have.isascii() and want.isascii()):
        return None
    one, other = have.rstrip(" ").lower(), want.rstrip(" ").lower()
    return (one > other) - (one < other)


def number_of(text: str) -> Decimal | None:
    """Return the number that a text is, as MySQL keeps it or as PHP writes its floats; None where it is none.

    >>> number_of("10.0000"), number_of("1.0E-5"), number_of("+.5"), number_of("0x10"), number_of("1e3 ")
    (Decimal('10.0000'), Decimal('0.000010'), Decimal('0.5'), None, None)
    """
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _moment(text: str) -> str | None:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", text, re.ASCII):
        return None
    return text if " " in text else f"{text} 00:00:00"


def _like(pattern: str) -> re.Pattern[str]:
    parts = (".*" if char == "%" else "." if char == "_" else re.escape(char) for char in pattern)
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
