"""Rows that no reply survives: what is wrong with single orders of the shop.

Applied to rows on their way from the database to the wire, so that a clean database can be poisoned and cured while
the shop runs. Knows nothing of XML.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from magento_pager.fake.faults import ShopFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from magento_pager.fake.lists import Listing
    from magento_pager.fake.replies import Row, Value
    from magento_pager.fake.settings import Settings

INVALID_UTF8 = b"Bj\xf6rn"
"""A name as a database in another encoding holds it."""
CONTROL_CHARACTER = "A\x01B"
"""A name with a character that XML forbids."""

_NAMES = frozenset({"billing_firstname", "shipping_firstname", "customer_firstname", "firstname"})
"""The columns of an order that hold the name."""


def poisoned(rows: Iterable[Row], listing: Listing, settings: Settings) -> Iterable[Row]:
    """The rows with what the settings put into them.

    Raises:
        ShopFault: while iterating, at an order that two billing addresses make appear twice.
    """
    marked = settings.duplicate_address | settings.invalid_utf8 | settings.control_characters
    return _poisoned(rows, listing, settings) if marked and listing.name == "orders" else rows


def spoiled(record: Mapping[str, Value], settings: Settings) -> Mapping[str, Value]:
    """The full record of an order with what the settings put into it, its addresses included."""
    name = _name(int(str(record["order_id"])), settings)
    return record if name is None else {field: _spoiled(field, value, name) for field, value in record.items()}


def _spoiled(field: str, value: Value, name: str | bytes) -> Value:
    """A field of a record, with another name in it where there was a name."""
    if isinstance(value, Mapping):
        return {inner: _spoiled(inner, one, name) for inner, one in value.items()}
    return name if field in _NAMES else value


def _name(order: int, settings: Settings) -> str | bytes | None:
    """The name that an order gets; None: it keeps its own."""
    if order in settings.control_characters:
        return CONTROL_CHARACTER
    return INVALID_UTF8 if order in settings.invalid_utf8 else None


def _poisoned(rows: Iterable[Row], listing: Listing, settings: Settings) -> Iterator[Row]:
    """The same for a list of orders."""
    key = listing.columns.index(listing.key_field)
    names = [number for number, name in enumerate(listing.columns) if name in _NAMES]
    for row in rows:
        order = int(str(row[key]))
        if order in settings.duplicate_address:
            raise ShopFault("1", f'Item ({listing.model}) with the same id "{order}" already exist')
        name = _name(order, settings)
        if name is None:
            yield row
        else:
            yield [name if number in names else value for number, value in enumerate(row)]
