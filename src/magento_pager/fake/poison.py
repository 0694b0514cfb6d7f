"""Rows that break every reply that contains them.

The defects are applied to rows between the database and the encoder, so they can be added and removed while the shop
runs. Nothing here knows XML.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from magento_pager.fake.faults import same_id
from magento_pager.fake.troubles import Troubled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from magento_pager.fake.lists import Listing
    from magento_pager.fake.replies import Row, Value
    from magento_pager.fake.settings import Settings

INVALID_UTF8 = b"Bj\xf6rn"
"""A name from a database in another encoding."""
CONTROL_CHARACTER = "A\x01B"
"""A name with a character that XML forbids."""

TOO_DEEP = 2
"""Depth at which 1.9.3.0 loses arrays: inside the result and one of its members."""

_NAMES = frozenset({"billing_firstname", "shipping_firstname", "customer_firstname", "firstname"})
"""The columns of an order that hold the name."""


def poisoned(rows: Iterable[Row], listing: Listing, settings: Settings, troubled: Iterable[str] = ()) -> Iterable[Row]:
    """Return the rows with the defects that the settings demand.

    Args:
        rows: of the list.
        listing: the list.
        settings: of the shop.
        troubled: ids and increment ids of the rows that cause trouble.

    Raises:
        ShopFault: while iterating, at an order that occurs twice because it has two billing addresses.
        Troubled: while iterating, at a row that causes trouble.
    """
    if troubled:
        rows = _until_trouble(rows, listing, frozenset(troubled))
    defective = settings.duplicate_address | settings.invalid_utf8 | settings.control_characters
    if settings.nested_arrays_lost:
        rows = ([shallow(value, TOO_DEEP) for value in row] for row in rows)
    return _poisoned(rows, listing, settings) if defective and listing.name == "orders" else rows


def _until_trouble(rows: Iterable[Row], listing: Listing, troubled: frozenset[str]) -> Iterator[Row]:
    """Yield the rows up to one that causes trouble, identified by its id or, without an id, by its increment id."""
    places = [place for place, name in enumerate(listing.columns) if name in {listing.key_field, "increment_id"}]
    for row in rows:
        if not troubled.isdisjoint(str(row[place]) for place in places):
            raise Troubled
        yield row


def spoiled(record: Mapping[str, Value], settings: Settings) -> Mapping[str, Value]:
    """Return the record of an order with the defects that the settings demand, also in its addresses."""
    name = _name(int(str(record["order_id"])), settings)
    return record if name is None else {field: _spoiled(field, value, name) for field, value in record.items()}


def shallow(value: Value, depth: int = 0) -> Value:
    """Return a result with the text "Array" for each array inside an array of it, as 1.9.3.0 sends it.

    Args:
        value: the result, or a part of it.
        depth: number of arrays around that part: 0 for the result itself.

    >>> shallow({"order_id": 3, "items": [{"sku": "a"}, {"sku": "b"}], "payment": {"method": "checkmo", "more": []}})
    {'order_id': 3, 'items': ['Array', 'Array'], 'payment': {'method': 'checkmo', 'more': 'Array'}}
    """
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth == TOO_DEEP:
        return "Array"
    if isinstance(value, Mapping):
        return {name: shallow(member, depth + 1) for name, member in value.items()}
    return [shallow(member, depth + 1) for member in value]


def _spoiled(field: str, value: Value, name: str | bytes) -> Value:
    """Return a field of a record, with its names replaced."""
    if isinstance(value, Mapping):
        return {inner: _spoiled(inner, member, name) for inner, member in value.items()}
    return name if field in _NAMES else value


def _name(order: int, settings: Settings) -> str | bytes | None:
    """Return the name to put into an order; None to keep its own."""
    if order in settings.control_characters:
        return CONTROL_CHARACTER
    return INVALID_UTF8 if order in settings.invalid_utf8 else None


def _poisoned(rows: Iterable[Row], listing: Listing, settings: Settings) -> Iterator[Row]:
    """Yield the rows of a list of orders with the defects that the settings demand."""
    key = listing.columns.index(listing.key_field)
    names = [number for number, name in enumerate(listing.columns) if name in _NAMES]
    for row in rows:
        order = int(str(row[key]))
        if order in settings.duplicate_address:
            raise same_id(order)
        name = _name(order, settings)
        if name is None:
            yield row
        else:
            yield [name if number in names else value for number, value in enumerate(row)]
