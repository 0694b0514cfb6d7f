r"""How PHP reads and writes plain values: numbers in texts, texts of numbers, dates. Pure functions.

An array of PHP is a `list` here when it was sent as one, else a `dict`; its keys are texts, as `"0"`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

Php: TypeAlias = "bool | int | float | str | list[Php] | dict[str, Php] | None"
"""A value of PHP."""

INT_MAX = (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253402300799
"""The last second of the year 9999."""

_BLANKS = r"[ \t\n\r\v\f]*"
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_NUMERIC = re.compile(f"{_BLANKS}({_NUMBER}){_BLANKS}")
_LEADING = re.compile(f"{_BLANKS}({_NUMBER})")
_MOMENT = re.compile(
    r"\s*([0-9]{4})([-/]?)(0?[0-9]|1[0-2])\2(0?[0-9]|[12][0-9]|3[01])"
    r"(?:[T\s]\s*([01]?[0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9])(?:\.[0-9]+)?)?)?\s*(Z|UTC|[+-][0-9]{2}:?[0-9]{2})?\s*"
)


def is_numeric(text: str) -> bool:
    r"""Return whether a text is a number, blanks around it allowed.

    >>> [is_numeric(text) for text in ("7", " -7.5e1\n", ".5", "7 8", "0x1A", "")]
    [True, True, True, False, False, False]
    """
    return _NUMERIC.fullmatch(text) is not None


def integer(text: str) -> int:
    """Return the number at the beginning of a text as an integer of 64 bits; 0 if there is none.

    >>> [integer(text) for text in ("7", " +7 ", "007", "7.9", "1e3", "7 apples", "abc", "", "-1e30")]
    [7, 7, 7, 7, 1000, 7, 0, 0, -9223372036854775808]
    """
    found = _LEADING.match(text)
    if found is None:
        return 0
    try:
        value = int(found[1]) if found[1].lstrip("+-").isdecimal() else int(float(found[1]))
    except OverflowError:  # infinite
        value = -INT_MAX - 1 if found[1].startswith("-") else INT_MAX
    return max(-INT_MAX - 1, min(INT_MAX, value))


def double(text: str) -> float:
    """Return the number at the beginning of a text; 0 if there is none.

    >>> [double(text) for text in ("1e1", " 7.5 apples", "abc")]
    [10.0, 7.5, 0.0]
    """
    found = _LEADING.match(text)
    return float(found[1]) if found else 0.0


def overlong(text: str) -> bool:
    """Return whether PHP 8 takes a text for greater than its largest integer; what is no number is compared as text.

    >>> [overlong(text) for text in ("7", "7abc", "99999999999999999999", "abc", "")]
    [False, False, True, True, False]
    """
    found = _NUMERIC.fullmatch(text)
    return text > str(INT_MAX) if found is None else float(found[1]) > float(INT_MAX)


def text(value: Php) -> str:
    """Return a value as text.

    >>> [text(value) for value in (None, False, True, 7, 7.0, 0.1 + 0.2, 1e25, 1e-5, -0.0, [7])]
    ['', '', '1', '7', '7', '0.3', '1.0E+25', '1.0E-5', '-0', 'Array']
    """
    if value is None or value is False:
        return ""
    if value is True:
        return "1"
    if isinstance(value, float):
        mantissa, _, exponent = f"{value:.14G}".partition("E")
        return f"{mantissa}{'' if '.' in mantissa else '.0'}E{int(exponent):+d}" if exponent else mantissa
    return "Array" if isinstance(value, Mapping | list) else str(value)


def is_empty(value: Php) -> bool:
    """Return whether PHP's `empty` holds.

    >>> [is_empty(value) for value in (None, "", "0", 0, [], "0.0", " ")]
    [True, True, True, True, True, False, False]
    """
    return not value or value == "0"


def moment(text: str) -> datetime | None:
    """Return the point in time that a text in ISO's form says; None: it is in no such form.

    A day that its month does not have is one of the next month. PHP knows other forms too, which are not read here.

    >>> str(moment("2024-02-30")), str(moment("20230101T00:00:00+02:00")), moment("soon")
    ('2024-03-01 00:00:00+00:00', '2023-01-01 00:00:00+02:00', None)
    """
    found = _MOMENT.fullmatch(text)
    if found is None or "0" in {found[1].strip("0") or "0", found[3].strip("0") or "0"}:
        return None
    year, month, day, hours, minutes, seconds = (int(found[at] or 0) for at in (1, 3, 4, 5, 6, 7))
    zone = datetime.strptime(found[8], "%z").tzinfo if found[8] and not found[8].isalpha() else UTC
    passed = timedelta(days=day - 1, hours=hours, minutes=minutes, seconds=seconds)
    return datetime(year, month, 1, tzinfo=zone) + passed


def date(value: Php, form: str) -> str:
    """Return a moment as text, in UTC: of a Unix timestamp, of a text, or now. What cannot be read is 1970.

    Args:
        value: which moment; true is now.
        form: of `strftime`.

    >>> date("2026-10-26 07:21:56", "%Y-%m-%d"), date(5, "%H:%M:%S"), date("nonsense", "%Y-%m-%d")
    ('2026-10-26', '00:00:05', '1970-01-01')
    """
    if value is True:
        return datetime.now(UTC).strftime(form)
    if isinstance(value, str) and not is_numeric(value):
        return (moment(value) or _EPOCH).astimezone(UTC).strftime(form)
    return (_EPOCH + timedelta(seconds=max(0, min(integer(text(value)), _LAST)))).strftime(form)
