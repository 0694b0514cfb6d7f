"""Rows that no reply survives: what is wrong with single orders of the shop.

Applied to rows on their way from the database to the wire, so that a clean database can be poisoned and cured while
the shop runs. Knows nothing of XML.
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
"""A name as a database in another encoding holds it."""
CONTROL_CHARACTER = "A\x01B"
"""A name with a character that XML forbids."""

TOO_DEEP = 2
"""How many arrays an array may not be in on 1.9.3.0: the result, and one of its members."""

_NAMES = frozenset({"billing_firstname", "shipping_firstname", "customer_firstname", "firstname"})
"""The columns of an order that hold the name."""


def poisoned(rows: Iterable[Row], listing: Listing, settings: Settings, troubled: Iterable[str] = ()) -> Iterable[Row]:
    """The rows with what the settings put into them.

    Args:
        rows: of the list.
        listing: the list.
        settings: of the shop.
        troubled: ids and numbers of rows whose replies are in trouble.

    Raises:
        ShopFault: while iterating, at an order that two billing addresses make appear twice.
        Troubled: likewise, at a row whose replies are in trouble.
    """
    if troubled:
        rows = _met(rows, listing, frozenset(troubled))
    marked = settings.duplicate_address | settings.invalid_utf8 | settings.control_characters
    if settings.nested_arrays_lost:
        rows = ([shallow(value, TOO_DEEP) for value in row] for row in rows)
    return _poisoned(rows, listing, settings) if marked and listing.name == "orders" else rows


def _met(rows: Iterable[Row], listing: Listing, troubled: frozenset[str]) -> Iterator[Row]:
    """The rows up to one in trouble; those that carry no id are known by their number."""
    names = [place for place, name in enumerate(listing.columns) if name in {listing.key_field, "increment_id"}]
    for row in rows:
        if not troubled.isdisjoint(str(row[place]) for place in names):
            raise Troubled
        yield row


def spoiled(record: Mapping[str, Value], settings: Settings) -> Mapping[str, Value]:
    """The full record of an order with what the settings put into it, its addresses included."""
    name = _name(int(str(record["order_id"])), settings)
    return record if name is None else {field: _spoiled(field, value, name) for field, value in record.items()}


def shallow(value: Value, depth: int = 0) -> Value:
    """Return a result with the text "Array" for each array inside an array of it, as 1.9.3.0 lets it out.

    Args:
        value: the result, or a part of it.
        depth: how many arrays that part is in: 0 for the result itself.

    >>> shallow({"order_id": 3, "items": [{"sku": "a"}, {"sku": "b"}], "payment": {"method": "checkmo", "more": []}})
    {'order_id': 3, 'items': ['Array', 'Array'], 'payment': {'method': 'checkmo', 'more': 'Array'}}
    """
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth == TOO_DEEP:
        return "Array"
    if isinstance(value, Mapping):
        return {name: shallow(one, depth + 1) for name, one in value.items()}
    return [shallow(one, depth + 1) for one in value]


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
            raise same_id(order)
        name = _name(order, settings)
        if name is None:
            yield row
        else:
            yield [name if number in names else value for number, value in enumerate(row)]
