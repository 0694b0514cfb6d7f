r"""PHP's conversions of plain values: numbers in texts, texts of numbers, dates. Pure functions.

A PHP array is a `list` here if it was sent as a list, and otherwise a `dict`; its keys are texts, such as `"0"`.
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
_DATE_TIME = re.compile(
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
    match = _LEADING.match(text)
    if match is None:
        return 0
    try:
        value = int(match[1]) if match[1].lstrip("+-").isdecimal() else int(float(match[1]))
    except OverflowError:  # infinite
        value = -INT_MAX - 1 if match[1].startswith("-") else INT_MAX
    return max(-INT_MAX - 1, min(INT_MAX, value))


def double(text: str) -> float:
    """Return the number at the beginning of a text; 0 if there is none.

    >>> [double(text) for text in ("1e1", " 7.5 apples", "abc")]
    [10.0, 7.5, 0.0]
    """
    match = _LEADING.match(text)
    return float(match[1]) if match else 0.0


def overlong(text: str) -> bool:
    """Return whether a text is greater than the largest integer of PHP 8; other texts than numbers compare as texts.

    >>> [overlong(text) for text in ("7", "7abc", "99999999999999999999", "abc", "")]
    [False, False, True, True, False]
    """
    match = _NUMERIC.fullmatch(text)
    return text > str(INT_MAX) if match is None else float(match[1]) > float(INT_MAX)


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
    """Return whether a value is empty for PHP's `empty`.

    >>> [is_empty(value) for value in (None, "", "0", 0, [], "0.0", " ")]
    [True, True, True, True, True, False, False]
    """
    return not value or value == "0"


def date_time(text: str) -> datetime | None:
    """Return the time of a text in ISO format; None if it is in another format.

    A day after the end of its month is a day of the next month. PHP's other formats are not supported here.

    >>> str(date_time("2024-02-30")), str(date_time("20230101T00:00:00+02:00")), date_time("soon")
    ('2024-03-01 00:00:00+00:00', '2023-01-01 00:00:00+02:00', None)
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None or "0" in {match[1].strip("0") or "0", match[3].strip("0") or "0"}:
        return None
    year, month, day, hours, minutes, seconds = (int(match[group] or 0) for group in (1, 3, 4, 5, 6, 7))
    zone = datetime.strptime(match[8], "%z").tzinfo if match[8] and not match[8].isalpha() else UTC
    offset = timedelta(days=day - 1, hours=hours, minutes=minutes, seconds=seconds)
    return datetime(year, month, 1, tzinfo=zone) + offset


def date(value: Php, form: str) -> str:
    """Return a date as text, in UTC. A value that cannot be read is the beginning of 1970.

    Args:
        value: a Unix timestamp or a text; True for now.
        form: the format, as of `strftime`.

    >>> date("2026-10-26 07:21:56", "%Y-%m-%d"), date(5, "%H:%M:%S"), date("nonsense", "%Y-%m-%d")
    ('2026-10-26', '00:00:05', '1970-01-01')
    """
    if value is True:
        return datetime.now(UTC).strftime(form)
    if isinstance(value, str) and not is_numeric(value):
        return (date_time(value) or _EPOCH).astimezone(UTC).strftime(form)
    return (_EPOCH + timedelta(seconds=max(0, min(integer(text(value)), _LAST)))).strftime(form)
