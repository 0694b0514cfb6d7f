"""Values: what the texts of a row stand for, by the kinds that `lists` declares for its columns.

An empty text, and the zero date that MySQL has for no date, are null in a column of another kind than text. Every other
invalid value is null too, and it is reported: a `Misfit`. A column that is not declared is text, whatever is in it;
what is no text at all, but a list or a record (the items of an order), is left as it is.
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
"""Where formats with fixed columns put those that are not declared: one JSON object, the last column."""
PASSWORD_HASH = "password_hash"  # noqa: S105  a name
"""The column that is dropped unless it is asked for."""
SECRET_COLUMNS = frozenset({PASSWORD_HASH, "rp_token"})
"""It, and what is dropped with it: with this token, which XML-RPC sends, anybody can set a new password."""

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
    """Return a row of a list with values instead of texts, and the invalid ones, which are None in it.

    `label` is what to call it, where its id is not among its columns.

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
    """Return the value that a text stands for; None where it stands for nothing.

    Raises:
        ValueError: it does not fit.

    >>> value_of("2023-10-01 04:52:26", "datetime")
    datetime.datetime(2023, 10, 1, 4, 52, 26, tzinfo=datetime.timezone.utc)
    >>> value_of("1.0E-5", "decimal"), value_of("1e3", "decimal"), value_of("+.5", "decimal")
    (Decimal('0.000010'), Decimal('1000'), Decimal('0.5'))
    >>> value_of("-750.7600", "decimal"), value_of("0012", "integer"), value_of("0000-00-00 00:00:00", "datetime")
    (Decimal('-750.7600'), 12, None)
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no text")  # noqa: TRY004  what does not fit is a ValueError, whatever it is
    return _VALUES[kind](text) if text else None


def all_plain(texts: Collection[str], kind: Kind) -> bool:
    r"""Return whether all texts are written as Magento writes values of that kind.

    They are: integers of at most 18 digits; decimals within bounds, without zeros before them, that a Decimal writes in
    the same way; times without fractions of a second, whose day may not be in the calendar.

    >>> all_plain(["-0.5000", "12"], "decimal"), all_plain(["1e3"], "decimal"), all_plain(["1\n2"], "integer")
    (True, False, False)
    """
    lines = "\n".join(texts) + "\n" * bool(texts)
    return lines.count("\n") == len(texts) and _PLAIN_LINES[kind].fullmatch(lines) is not None


def _integer(text: str) -> int:
    found = _INTEGER.fullmatch(text)
    if found and len(text) < 64 and (value := int(found[1])) in INTEGERS:  # noqa: PLR2004  longer is no such number
        return value
    raise ValueError(f"{text} is no integer of 64 bits")


def _decimal(text: str) -> Decimal:
    if found := _PLAIN.fullmatch(text):
        return Decimal(found[1] + (found[2] or ""))  # without more zeros than Arrow takes
    number = number_of(text) if len(text) < LONGEST_NUMBER else None  # as PHP writes floats
    if number is not None and _PLAIN.fullmatch(plain := format(number, "f")):
        return Decimal(plain)
    raise ValueError(f"{text} is no decimal of {WHOLE_DIGITS} and {FRACTION_DIGITS} digits")


def _datetime(text: str) -> datetime | None:
    if _DATETIME.fullmatch(text):
        return None if _NO_DATE.fullmatch(text) else datetime.fromisoformat(text).replace(tzinfo=UTC)
    raise ValueError(f"{text} is no moment")


_VALUES: Mapping[Kind, Callable[[str], Any]] = MappingProxyType(
    {"integer": _integer, "decimal": _decimal, "datetime": _datetime, "text": str}
)


@dataclass(frozen=True, slots=True)
class TypedPages:
    """A stage of a paginator of this list that puts values into rows."""

    spec: ListSpec

    def __call__(self, page: Page) -> Page:
        """Return the page with values in its rows."""
        found = [typed_row(self.spec, row) for row in page.rows]
        misfits = (misfit for _, more in found for misfit in more)
        return replace(page, rows=tuple(row for row, _ in found), misfits=(*page.misfits, *misfits))


def without_secrets(page: Page) -> Page:
    """Return a page whose rows have no `password_hash` and no `rp_token`; a stage of a paginator."""
    if not any(name in row for name in SECRET_COLUMNS for row in page.rows):
        return page
    return replace(
        page, rows=tuple({name: row[name] for name in row if name not in SECRET_COLUMNS} for row in page.rows)
    )
