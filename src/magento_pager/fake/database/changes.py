"""Changes of a row: its own columns and, for an order, those of its addresses. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.tables import ADDRESS, Kind, is_cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magento_pager.fake.data import Cell
    from magento_pager.fake.tables import Column


@dataclass(frozen=True, slots=True)
class Changes:
    """New values of one row.

    Attributes:
        own: values by column of the list's own table.
        addresses: values by kind of address (`billing`, `shipping`) and column; for orders only.
    """

    own: Mapping[str, Cell]
    addresses: Mapping[tuple[str, str], Cell]


def checked_changes(name: str, changes: Mapping[str, Cell]) -> Changes:
    """Check new values, and group them by table.

    Args:
        name: the list.
        changes: values by column; `billing_` and `shipping_` before a column of an address mean the order's address.

    Raises:
        ValueError: there is no such column.

    >>> checked_changes("orders", {"grand_total": 5, "billing_address_id": 7, "billing_city": "Bonn"})
    Changes(own={'grand_total': '5.0000', 'billing_address_id': 7}, addresses={('billing', 'city'): 'Bonn'})
    >>> checked_changes("invoices", {"billing_city": "Bonn"})
    Traceback (most recent call last):
    ...
    ValueError: sales_flat_invoice has no column 'billing_city'
    """
    table = LISTINGS[name].table
    own: dict[str, Cell] = {}
    addresses: dict[tuple[str, str], Cell] = {}
    for column, value in changes.items():
        kind, _, rest = column.partition("_")
        if column in table.columns:
            own[column] = stored(table.columns[column], value)
        elif name == "orders" and kind in {"billing", "shipping"} and rest in ADDRESS.columns:
            addresses[kind, rest] = stored(ADDRESS.columns[rest], value)
        else:
            raise ValueError(f"{table.name} has no column {column!r}")
    return Changes(own, addresses)


def stored(column: Column, value: Cell) -> Cell:
    """Return a value as MySQL would store it: amounts have four decimals.

    Raises:
        ValueError: no column can store it.

    >>> from magento_pager.fake.tables import ORDER
    >>> stored(ORDER.columns["grand_total"], 7.5), stored(ORDER.columns["store_id"], 7)
    ('7.5000', 7)
    """
    if not is_cell(value):
        raise ValueError(f"{column.name} must be a text, a number or null, not {value!r:.60}")
    return f"{value:.4f}" if column.kind is Kind.DECIMAL and isinstance(value, int | float) else value
