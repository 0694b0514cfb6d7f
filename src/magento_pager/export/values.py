"""Values: typed values for the texts of a row, by the kinds that `lists` declares for its columns.

In a column that is not text, an empty text and MySQL's zero date are null. Every other invalid value is null too, and
is reported as a `Misfit`. A column that is not declared is text, whatever it contains; a list or a record (the items of
an order) is left unchanged.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from magento_pager.walk.conditions import number_of
from magento_pager.walk.pages import Misfit
from magento_pager.walk.reading import row_label

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from magento_pager.lists import Kind, ListSpec
    from magento_pager.walk.pages import Page, Row

OTHER_COLUMNS = "other_columns"
"""Last column of formats with fixed columns: the columns that are not declared, as one JSON object."""
PASSWORD_HASH = "password_hash"  # noqa: S105  a name
"""Column that is exported only on request."""
SECRET_COLUMNS = frozenset({PASSWORD_HASH, "rp_token"})
"""Columns exported only on request. With `rp_token`, which XML-RPC sends, anybody can set a new password."""

WHOLE_DIGITS, FRACTION_DIGITS = 29, 9
LONGEST_NUMBER = 100  # characters of a decimal with an exponent
INTEGERS = range(-(1 << 63), 1 << 63)

_INTEGER = re.compile(r"(-?[0-9]+)(?:\.0*)?")
_PLAIN = re.compile(rf"(-?0*[0-9]{{1,{WHOLE_DIGITS}}})(?:(\.[0-9]{{1,{FRACTION_DIGITS}}})0*)?")
_DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?")
_NO_DATE = re.compile(r"0000-00-00 00:00:00(?:\.0*)?")
_PLAIN_LINES: Mapping[Kind, re.Pattern[str]] = MappingProxyType(
    {
        "integer": re.compile(r"(?:-?[0-9]{1,18}\n)*+"),
        "decimal": re.compile(
            rf"(?:-?(?:0|[1-9][0-9]{{0,{WHOLE_DIGITS - 1}}})(?:\.[0-9]{{1,{FRACTION_DIGITS}}})?\n)*+"
        ),
        "datetime": re.compile(r"(?:[12][0-9]{3}-[0-9]{2}-[0-9]{2} (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\n)*+"),
    }
)


def typed_row(spec: ListSpec, row: Row, label: str | None = None) -> tuple[Row, tuple[Misfit, ...]]:
    """Return a row of a list with typed values instead of texts, and its invalid values, which are None in the row.

    `label` is the row's identifier, where its columns do not include one.

    >>> from magento_pager.lists import LISTS
    >>> row = {"order_id": "7", "tax_amount": "0.5000", "total_due": "n/a", "status": "new", "total_paid": ""}
    >>> typed_row(LISTS["orders"], row)
    ({'order_id': 7, 'tax_amount': Decimal('0.5000'), 'total_due': None, 'status': 'new', 'total_paid': None}, \
(Misfit(id='7', column='total_due', value='n/a'),))
    """
    values: Row = {}
    misfits: list[Misfit] = []
    for column, value in row.items():
        kind = spec.kind(column)
        if kind == "text" or value is None:
            values[column] = value
            continue
        try:
            values[column] = value_of(value, kind)
        except ValueError:
            values[column] = None
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            misfits.append(Misfit(label or row_label(row, spec.key, spec.identity), column, text))
    return values, tuple(misfits)


def value_of(text: Any, kind: Kind) -> Any:
    """Return the typed value of a text; None where it means "no value".

    Raises:
        ValueError: the text is not a valid value of that kind.

    >>> value_of("2023-10-01 04:52:26", "datetime")
    datetime.datetime(2023, 10, 1, 4, 52, 26, tzinfo=datetime.timezone.utc)
    >>> value_of("1.0E-5", "decimal"), value_of("1e3", "decimal"), value_of("+.5", "decimal")
    (Decimal('0.000010'), Decimal('1000'), Decimal('0.5'))
    >>> value_of("-750.7600", "decimal"), value_of("0012", "integer"), value_of("0000-00-00 00:00:00", "datetime")
    (Decimal('-750.7600'), 12, None)
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not text")  # noqa: TRY004  every invalid value is a ValueError
    return _VALUES[kind](text) if text else None


def all_plain(texts: Collection[str], kind: Kind) -> bool:
    r"""Return whether all texts have the format in which Magento writes values of that kind.

    These are: integers of at most 18 digits; decimals within bounds and without leading zeros, which a Decimal writes
    the same way; times without fractions of a second, even on a day that does not exist.

    >>> all_plain(["-0.5000", "12"], "decimal"), all_plain(["1e3"], "decimal"), all_plain(["1\n2"], "integer")
    (True, False, False)
    """
    lines = "\n".join(texts) + "\n" * bool(texts)
    return lines.count("\n") == len(texts) and _PLAIN_LINES[kind].fullmatch(lines) is not None


def _integer(text: str) -> int:
    match = _INTEGER.fullmatch(text)
    if match and len(text) < 64 and (value := int(match[1])) in INTEGERS:  # noqa: PLR2004  longer ones are out of range
        return value
    raise ValueError(f"{text} is not a 64-bit integer")


def _decimal(text: str) -> Decimal:
    if match := _PLAIN.fullmatch(text):
        return Decimal(match[1] + (match[2] or ""))  # without the trailing zeros that Arrow refuses
    number = number_of(text) if len(text) < LONGEST_NUMBER else None  # as PHP writes floats
    if number is not None and _PLAIN.fullmatch(plain := format(number, "f")):
        return Decimal(plain)
    raise ValueError(f"{text} is not a decimal with at most {WHOLE_DIGITS} and {FRACTION_DIGITS} digits")


def _datetime(text: str) -> datetime | None:
    if _DATETIME.fullmatch(text):
        return None if _NO_DATE.fullmatch(text) else datetime.fromisoformat(text).replace(tzinfo=UTC)
    raise ValueError(f"{text} is not a time")


_VALUES: Mapping[Kind, Callable[[str], Any]] = MappingProxyType(
    {"integer": _integer, "decimal": _decimal, "datetime": _datetime, "text": str}
)


@dataclass(frozen=True, slots=True)
class TypedPages:
    """A stage of a paginator that converts the texts of rows into typed values."""

    spec: ListSpec

    def __call__(self, page: Page) -> Page:
        """Return the page with typed values in its rows."""
        typed = [typed_row(self.spec, row) for row in page.rows]
        misfits = (misfit for _, invalid in typed for misfit in invalid)
        return replace(page, rows=tuple(row for row, _ in typed), misfits=(*page.misfits, *misfits))


def without_secrets(page: Page) -> Page:
    """Return a page whose rows have no `password_hash` and no `rp_token`; a stage of a paginator."""
    if not any(name in row for name in SECRET_COLUMNS for row in page.rows):
        return page
    return replace(
        page, rows=tuple({name: row[name] for name in row if name not in SECRET_COLUMNS} for row in page.rows)
    )
