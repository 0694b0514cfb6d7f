"""One record in full, as returned by the operations for a single record.

The record itself is a row of its table with all columns; its parts (the items of an order, a payment, comments) are
made up here from the row, the same each time. Pure: from dicts to dicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from magento_pager.fake.database.values import number
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.tables import ADDRESS, ORDER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from magento_pager.fake.data import Cell
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.tables import Table

Record: TypeAlias = "dict[str, Any]"
"""Fields and values; a value is a scalar, a record, or a list of them."""
Find: TypeAlias = "Callable[[Table, Mapping[str, Cell]], Record | None]"
"""The first row of a table with these values, all columns; None if there is none."""

_NO_MONEY = "0.0000"
_NO_AMOUNTS = """
tax_percent tax_amount base_tax_amount tax_invoiced base_tax_invoiced discount_percent discount_amount
base_discount_amount discount_invoiced base_discount_invoiced amount_refunded base_amount_refunded row_invoiced
base_row_invoiced row_weight qty_canceled qty_invoiced qty_refunded qty_shipped
"""
_PRICES = "price base_price original_price base_original_price row_total base_row_total"
_ITEM_PRICE = 29_90
"""The price of the cheapest item, in cents."""


def find_record(name: str, key: str, find: Find, *, by_id: bool = False) -> Record | None:
    """Find one record, and return it in full; None if there is none.

    Args:
        name: its list.
        key: its increment id; for a product the SKU or the id; for customers, and lists with neither, the id.
        find: finds a row in the database.
        by_id: the key is a product's id, even if it is the SKU of another product.
    """
    listing, table = LISTINGS[name], LISTINGS[name].table
    code = {"customers": "", "products": "" if by_id else "sku"}.get(name, "increment_id")
    row = find(table, {code: key}) if code in table.columns else None
    if row is None and (code == "sku" or code not in table.columns):
        row = find(table, {"entity_id": int(number(key))})
    if row is None:
        return None
    if name != "orders":
        order = find(ORDER, {"entity_id": row["order_id"]}) if "order_id" in row else None
        return _record(listing, row, order or {}, {})
    addresses: dict[str, Record] = {}
    for kind in ("billing", "shipping"):
        address = find(ADDRESS, {"parent_id": row["entity_id"], "address_type": kind})
        addresses |= {kind: address} if address else {}
    return _record(listing, row, row, addresses)


def _record(
    listing: Listing, row: Mapping[str, Any], order: Mapping[str, Any], addresses: Mapping[str, Record]
) -> Record:
    """Return a record in full.

    Args:
        listing: its list.
        row: the row of its table, all columns.
        order: the order it belongs to; for an order itself, its own row. Empty if there is none.
        addresses: the order's addresses by their type.
    """
    record = {column: value for column, value in row.items() if column != "entity_id"}
    record[listing.key_field] = row["entity_id"]
    if listing.name == "orders":
        return {**record, **_order(row, addresses)}
    if listing.name == "products":
        return {**record, **_product(row)}
    if "order_id" not in row:
        return record
    order_fields = {"order_increment_id": order.get("increment_id"), "order_created_at": order.get("created_at")}
    parts = {"items": _document_items(row, order), "comments": _comments(row)}
    if listing.name == "shipments":
        parts["tracks"] = [_track(row)]
    return {**order_fields, **record, **parts}


def _money(cents: int) -> str:
    """Return an amount as MySQL shows a DECIMAL(12,4).

    >>> _money(2990)
    '29.9000'
    """
    return f"{cents // 100}.{cents % 100:02}00"


def _address(row: Mapping[str, Any] | None) -> Record:
    """Return an address of an order, with its id under another name; an empty record if there is none."""
    if row is None:
        return {}
    return {**{column: value for column, value in row.items() if column != "entity_id"}, "address_id": row["entity_id"]}


def _order(row: Mapping[str, Any], addresses: Mapping[str, Record]) -> Record:
    """Return the parts of an order that are not in its row."""
    billing, shipping = _address(addresses.get("billing")), _address(addresses.get("shipping"))
    names = {
        f"{kind}_{name}": address[name]
        for kind, address in (("billing", billing), ("shipping", shipping))
        if address
        for name in ("firstname", "lastname")
    }
    return {
        **names,
        "shipping_address": shipping,
        "billing_address": billing,
        "items": _items(row),
        "payment": {
            "parent_id": row["entity_id"],
            "amount_ordered": row["grand_total"],
            "base_amount_ordered": row["base_grand_total"],
            "shipping_amount": row["shipping_amount"],
            "base_shipping_amount": row["base_shipping_amount"],
            "method": "checkmo",
            "payment_id": row["entity_id"] + 1,
        },
        "status_history": [
            {
                "parent_id": row["entity_id"],
                "created_at": row["created_at"],
                "is_customer_notified": 1,
                "status": row["status"],
                "comment": "created",
            },
        ],
    }


def _items(order: Mapping[str, Any]) -> list[Record]:
    """Return the items of an order."""
    key, count = order["entity_id"], int(order.get("total_item_count") or 1)
    return [_item(order, key * 4 + number, 1 + (key * 7 + number * 13) % 3000) for number in range(count)]


def _item(order: Mapping[str, Any], item: int, product: int) -> Record:
    """Return one item of an order."""
    price = _money(_ITEM_PRICE + product * 10)
    return {
        **dict.fromkeys(_NO_AMOUNTS.split(), _NO_MONEY),
        **dict.fromkeys(_PRICES.split(), price),
        "item_id": item,
        "order_id": order["entity_id"],
        "created_at": order["created_at"],
        "updated_at": order["updated_at"],
        "product_id": product,
        "product_type": "simple",
        "product_options": 'a:1:{s:15:"info_buyRequest";a:1:{s:3:"qty";i:1;}}',
        "weight": "1.0000",
        "is_virtual": order["is_virtual"],
        "sku": f"SKU-{product:05}",
        "name": f"Product {product} Größe",
        "free_shipping": 0,
        "no_discount": 0,
        "qty_ordered": "1.0000",
    }


def _document_items(row: Mapping[str, Any], order: Mapping[str, Any]) -> list[Record]:
    """Return the items of an invoice, a shipment or a credit memo: those of its order."""
    fields = ("price", "base_price", "row_total", "base_row_total", "product_id", "sku", "name", "weight")
    return [
        {
            **{name: item[name] for name in fields},
            "parent_id": row["entity_id"],
            "item_id": item["item_id"] + 1,
            "order_item_id": item["item_id"],
            "qty": item["qty_ordered"],
        }
        for item in (_items(order) if order else [])
    ]


def _comments(row: Mapping[str, Any]) -> list[Record]:
    """Return the comments of a document: one for every third document."""
    if row["entity_id"] % 3:
        return []
    return [
        {
            "comment_id": row["entity_id"],
            "parent_id": row["entity_id"],
            "created_at": row["created_at"],
            "comment": "Checked & sent",
            "is_customer_notified": 0,
        },
    ]


def _track(row: Mapping[str, Any]) -> Record:
    """Return the tracking number of a shipment."""
    return {
        "track_id": row["entity_id"],
        "parent_id": row["entity_id"],
        "order_id": row["order_id"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
        "carrier_code": "custom",
        "title": "Express",
        "number": f"TR{row['entity_id']:010}",
    }


def _tier_prices(row: Mapping[str, Any]) -> list[Record]:
    """Return the price of every fifth product for five pieces. Only one of its fields is in the WSDL."""
    if row["entity_id"] % 5:
        return []
    return [
        {
            "price_id": row["entity_id"],
            "website_id": 0,
            "all_groups": 1,
            "cust_group": 32000,
            "price": "9.9900",
            "price_qty": "5.0000",
        },
    ]


def _product(row: Mapping[str, Any]) -> Record:
    """Return the fields of a product under other names."""
    categories, websites = (
        [number for number in str(row[name] or "").split(",") if number] for name in ("category_ids", "website_ids")
    )
    return {
        "set": row["attribute_set_id"],
        "type": row["type_id"],
        "categories": categories,
        "category_ids": categories,
        "websites": websites,
        "website_ids": websites,
        "tier_price": _tier_prices(row),
    }
