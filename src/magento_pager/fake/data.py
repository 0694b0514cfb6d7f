"""Made-up rows, and rows read from a file.

A made-up row depends only on its id and on the number of rows before it, so a shop of the same size is always the
same. The values are SQL expressions: the database itself makes the rows, a million orders in seconds. A value that all
rows share is a default of its column, and costs nothing.

The data is as varied as that of a real shop: names from many alphabets, with markup and quotes in them, NULLs, empty
texts, texts of several lines, orders of guests, orders without anything to ship.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.tables import is_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Cell: TypeAlias = "str | bytes | int | float | None"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The recipe for the rows of one table.

    Attributes:
        values: columns and the SQL of their value. It may use `id`; `n`, the number of rows before this one; `step`,
            seconds from row to row; `a`, `b` and `c`, three pseudorandom numbers below 65,536; the names in `DERIVED`;
            `parent`, the id of an order; the tables `person` and `view`, a customer's name and a store view; and `o`,
            the order with the id `parent`.
        defaults: columns and the value that all rows have; the columns in neither are NULL.
        rows_per_order: the number of rows for a number of orders, such as (1, 2).
    """

    values: Mapping[str, str]
    defaults: Mapping[str, Cell] = field(default_factory=dict)
    rows_per_order: tuple[int, int] = (1, 1)

    @property
    def derived(self) -> tuple[str, ...]:
        """The names in `DERIVED` that the values use."""
        words = set(re.findall(r"\w+", " ".join(self.values.values())))
        return tuple(name for name in DERIVED if name in words)


PEOPLE: Sequence[tuple[str, str | None]] = (
    ("Anna", "Müller"),
    ("José", "García"),
    ("Łukasz", "Wójcik"),
    ("花子", "山田"),
    ("Иван", "Иванов"),
    ("Zoë", "O'Neil"),
    ("Tom & Jerry", "Smith"),
    ("<b>Bob</b>", "d\u2019Arc"),
    ("Ma\tRie", "Ångström"),
    ("Noël", None),
    ("محمد", "الفارسي"),
    ("Ελένη", "Παππά"),
    ("Mary Ann", 'van "der" Berg'),
    ("Björn", "Þórsson"),
    ("Emoji 😀", "]]>"),
    ("", "Nguyễn"),
)
"""First and last names. One has no last name, one an empty first name."""

STORE_VIEWS: Sequence[tuple[int, str, str]] = (
    (1, "default", "Main Website\nMain Store\nDefault Store View"),
    (2, "deutsch", "Main Website\nMain Store\nDeutsch für alle"),
    (3, "nihongo", "日本語"),
)
"""Id, code and, as an order stores it, the name of the store views. Store 0 is the administration, without orders."""

STATUSES: Sequence[tuple[int, str, str]] = (
    (58, "complete", "complete"),
    (74, "processing", "processing"),
    (84, "pending", "new"),
    (92, "canceled", "canceled"),
    (96, "holded", "holded"),
    (98, "closed", "closed"),
    (100, "pending_payment", "pending_payment"),
)
"""The cumulative percentage of orders, the status, and the state that belongs to it."""


def _cases(number: str, column: int) -> str:
    """Return SQL for the status or the state of a number from 0 to 99."""
    cases = " ".join(f"WHEN {number} < {row[0]} THEN '{row[column]}'" for row in STATUSES)
    return f"CASE {cases} END"


def _money(sql: str) -> str:
    """Return SQL for an amount in cents, as MySQL shows a DECIMAL(12,4)."""
    return f"printf('%d.%02d00', ({sql}) / 100, ({sql}) % 100)"


_CREATED_AT = "datetime(1696118400 + n * step + a % max(1, step), 'unixepoch')"
_VIRTUAL = "c % 22 = 0"
_CENTS = "1000 + (a * 65536 + b) % 150000"
_SHIPPING = f"CASE WHEN {_VIRTUAL} THEN '0.0000' ELSE '5.0000' END"

DERIVED: Mapping[str, str] = {
    "created": _CREATED_AT,
    "goods": _money(_CENTS),
    "total": _money(f"{_CENTS} + CASE WHEN {_VIRTUAL} THEN 0 ELSE 500 END"),
}
"""Values that several columns of a row use, computed once: the time of its creation and its amounts."""

_ITEMS = "(1 + b % 4)"
_PAID = "b % 100 < 74"
_COUPON = "c % 7 = 0"

_TAXES = """
tax_amount base_tax_amount discount_amount base_discount_amount shipping_tax_amount base_shipping_tax_amount
hidden_tax_amount base_hidden_tax_amount
"""
_RATES = {
    "store_to_base_rate": "1.0000",
    "store_to_order_rate": "1.0000",
    "base_to_global_rate": "1.0000",
    "base_to_order_rate": "1.0000",
}
_CURRENCIES = {
    f"{kind}_currency_code": "EUR" if kind == "order" else "USD" for kind in ("global", "base", "store", "order")
}

_ORDERS = Recipe(
    values={
        "entity_id": "id",
        "state": _cases("b % 100", 2),
        "status": _cases("b % 100", 1),
        "coupon_code": f"CASE WHEN {_COUPON} THEN 'SAVE' || (a % 20) END",
        "coupon_rule_name": f"CASE WHEN {_COUPON} THEN 'Rule ' || (1 + a % 20) END",
        "erp_number": "CASE WHEN a % 3 THEN 'ERP-' || id END",
        "applied_rule_ids": f"CASE WHEN {_COUPON} THEN 1 + a % 20 || ',7' END",
        "protect_code": "printf('%06x', a * 256 + b % 256)",
        "shipping_description": f"CASE WHEN {_VIRTUAL} THEN NULL ELSE 'Flat Rate - Fixed' END",
        "shipping_method": f"CASE WHEN {_VIRTUAL} THEN NULL ELSE 'flatrate_flatrate' END",
        "is_virtual": _VIRTUAL,
        "store_id": "view.store",
        "store_name": "view.name",
        "customer_id": "CASE WHEN a % 10 < 7 THEN 1 + (a * 65536 + c) % 6000 END",
        "customer_is_guest": "a % 10 >= 7",
        "customer_group_id": "CASE WHEN a % 10 < 7 THEN 1 + c % 3 ELSE 0 END",
        "customer_email": "'u' || id || '@example.com'",
        "customer_firstname": "person.first",
        "customer_lastname": "person.last",
        "customer_note": "CASE WHEN c % 45 = 0 THEN 'Please ring twice.\r\nThank you.' WHEN c % 45 = 1 THEN '' END",
        "subtotal": "goods",
        "base_subtotal": "goods",
        "subtotal_incl_tax": "goods",
        "base_subtotal_incl_tax": "goods",
        "shipping_amount": _SHIPPING,
        "base_shipping_amount": _SHIPPING,
        "shipping_incl_tax": _SHIPPING,
        "base_shipping_incl_tax": _SHIPPING,
        "grand_total": "total",
        "base_grand_total": "total",
        "total_paid": f"CASE WHEN {_PAID} THEN total END",
        "total_due": f"CASE WHEN {_PAID} THEN '0.0000' ELSE total END",
        "total_qty_ordered": f"{_ITEMS} || '.0000'",
        "base_total_qty_ordered": f"{_ITEMS} || '.0000'",
        "weight": f"{_ITEMS} || '.0000'",
        "total_item_count": _ITEMS,
        "billing_address_id": "2 * id",
        "shipping_address_id": f"CASE WHEN {_VIRTUAL} THEN NULL ELSE 2 * id + 1 END",
        "quote_id": "id + 10",
        "increment_id": "view.store || printf('%08d', id)",
        "remote_ip": "'10.' || c % 256 || '.' || a % 256 || '.' || b % 256",
        "created_at": "created",
        "updated_at": "datetime(created, '+' || (b * 73 + c) || ' seconds')",
    },
    defaults={
        **_RATES,
        **_CURRENCIES,
        **dict.fromkeys(_TAXES.split(), "0.0000"),
        "customer_note_notify": 1,
        "email_sent": 1,
        "paypal_ipn_customer_notified": 0,
    },
)

_ADDRESS_VALUES = {
    "parent_id": "id",
    "customer_id": "CASE WHEN a % 10 < 7 THEN 1 + (a * 65536 + c) % 6000 END",
    "firstname": "person.first",
    "lastname": "person.last",
    "postcode": "printf('%05d', a % 90000 + 1000)",
    "street": "'Street ' || (b % 300) || char(10) || 'Flat ' || (c % 40)",
    "telephone": "'+49 ' || (a * 16 + c % 16)",
}
_ADDRESS_DEFAULTS: Mapping[str, Cell] = {"city": "Köln", "region": "Nordrhein-Westfalen", "country_id": "DE"}

ADDRESSES: Sequence[tuple[Recipe, str]] = (
    (
        Recipe(
            {"entity_id": "2 * id", "address_type": "'billing'", **_ADDRESS_VALUES},
            _ADDRESS_DEFAULTS,
        ),
        "1",
    ),
    (
        Recipe(
            {"entity_id": "2 * id + 1", "address_type": "'shipping'", **_ADDRESS_VALUES},
            _ADDRESS_DEFAULTS,
        ),
        f"NOT ({_VIRTUAL})",
    ),
)
"""The addresses of orders, each with the condition for orders that have it."""

_DATED = {
    "entity_id": "id",
    "created_at": "created",
    "updated_at": "datetime(created, '+' || (b * 37) || ' seconds')",
}
_DOCUMENT = {
    "entity_id": "id",
    "order_id": "parent",
    "store_id": "coalesce(o.store_id, view.store)",
    "increment_id": "view.store || printf('%08d', id)",
    "created_at": "coalesce(o.created_at, created)",
    "updated_at": "datetime(coalesce(o.created_at, created), '+' || (b * 61 + c) || ' seconds')",
}
_AMOUNTS = {
    "subtotal": "coalesce(o.subtotal, goods)",
    "base_subtotal": "coalesce(o.subtotal, goods)",
    "grand_total": "coalesce(o.grand_total, total)",
    "base_grand_total": "coalesce(o.grand_total, total)",
    "shipping_amount": f"coalesce(o.shipping_amount, {_SHIPPING})",
    "base_shipping_amount": f"coalesce(o.shipping_amount, {_SHIPPING})",
}

_CUSTOMERS = Recipe(
    values={
        "entity_id": "id",
        "store_id": "view.store",
        "email": "'cust' || id || '@example.com'",
        "increment_id": "CASE WHEN c % 3 = 0 THEN printf('%09d', id) END",
        "group_id": "1 + a % 3",
        "created_at": "created",
        "updated_at": "datetime(created, '+' || (b * 41) || ' seconds')",
        "firstname": "person.first",
        "lastname": "coalesce(person.last, 'Ω')",
        "middlename": "CASE WHEN b % 5 = 0 THEN 'M.' END",
        "prefix": "CASE WHEN b % 11 = 0 THEN 'Dr.' END",
        "dob": "CASE WHEN a % 4 = 0 THEN date('1950-01-01', '+' || (a % 20000) || ' days') || ' 00:00:00' END",
        "taxvat": "CASE WHEN c % 9 = 0 THEN 'DE' || (100000000 + a * 256 + b % 256) END",
        "confirmation": "CASE WHEN c % 13 = 0 THEN printf('%08x', a * 65536 + b) END",
        "loyalty_code": "CASE WHEN b % 4 = 0 THEN 'LOY-' || id || ' ü&<>' END",
        "password_hash": "printf('%08x%08x%08x%08x:Qx', a * 65536 + b, b * 65536 + c, c * 65536 + a, a * b)",
        "default_billing": "CASE WHEN id % 4 THEN 2 * id END",  # as in `addresses`
        "default_shipping": "CASE WHEN id % 4 THEN 2 * id END",
    },
    defaults={
        "entity_type_id": 1,
        "attribute_set_id": 0,
        "website_id": 1,
        "is_active": 1,
        "disable_auto_group_change": 0,
        "created_in": "Default Store View",
    },
    rows_per_order=(3, 10),
)

_PRODUCTS = Recipe(
    values={
        **_DATED,
        "type_id": "CASE WHEN a % 10 < 8 THEN 'simple' WHEN a % 10 < 9 THEN 'configurable' ELSE 'virtual' END",
        "sku": "printf('SKU-%05d', id)",
        "name": "CASE WHEN c % 97 <> 0 THEN 'Product ' || id || ' Größe ' || person.first END",
        "price": "goods",
        "weight": f"{_ITEMS} || '.0000'",
        "url_key": "'product-' || id",
        "color": "1 + a % 5",
        "manufacturer": "1 + b % 5",
        "category_ids": "CASE WHEN b % 3 = 0 THEN '' WHEN b % 3 = 1 THEN 2 + a % 30 ELSE 2 + a % 9 || ',' || 20 END",
        "website_ids": "CASE WHEN c % 40 = 0 THEN '' ELSE '1' END",
    },
    defaults={
        "entity_type_id": 4,
        "attribute_set_id": 4,
        "has_options": 0,
        "required_options": 0,
        "status": 1,
        "visibility": 4,
        "tax_class_id": 2,
        "description": "Made of nothing,\nfor nobody.",
        "short_description": "Nothing",
        "options_container": "container1",
    },
    rows_per_order=(3, 20),
)

RECIPES: Mapping[str, Recipe] = {
    "orders": _ORDERS,
    "invoices": Recipe(
        {**_DOCUMENT, **_AMOUNTS, "total_qty": f"{_ITEMS} || '.0000'"},
        {**_RATES, **_CURRENCIES, "state": 2, "tax_amount": "0.0000", "base_tax_amount": "0.0000"},
        rows_per_order=(13, 20),
    ),
    "shipments": Recipe(
        {**_DOCUMENT, "total_qty": f"{_ITEMS} || '.0000'", "customer_id": "o.customer_id"},
        rows_per_order=(1, 2),
    ),
    "creditmemos": Recipe(
        {
            **_DOCUMENT,
            **_AMOUNTS,
            "invoice_id": "CASE WHEN a % 2 THEN 1 + b END",
            "discount_description": "CASE WHEN c % 5 = 0 THEN 'Half price' WHEN c % 5 = 1 THEN '' END",
        },
        {**_RATES, **_CURRENCIES, "state": 2, "adjustment": "0.0000", "base_adjustment": "0.0000"},
        rows_per_order=(1, 20),
    ),
    "customers": _CUSTOMERS,
    "products": _PRODUCTS,
}
"""The recipe of each list's own table."""

_MULTIPLIERS = ((1103515245, 12345), (69069, 3039), (40692, 24036))
"""Of three well-known generators; small enough that the product with any id is a 64-bit integer."""


def randoms() -> str:
    """Return SQL for the numbers `a`, `b` and `c` of an id."""
    pairs = zip("abc", _MULTIPLIERS, strict=True)
    return ", ".join(f"((id * {times} + {plus}) >> 7 & 65535) AS {name}" for name, (times, plus) in pairs)


SPAN = 94_000_000
"""Maximum time from the first row of a table to the last, in seconds: about three years."""
_LONGEST_STEP = 4740


def step(rows: int) -> int:
    """Return the seconds from one made-up row to the next.

    >>> step(2_000), step(1_000_000)
    (4740, 94)
    """
    return max(1, min(_LONGEST_STEP, SPAN // max(1, rows)))


_JUMP = 100_000
_JUMP_TAIL = 20
"""One in this many rows is after the jump."""


def ids(count: int) -> Iterator[int]:
    """Yield the ids of a table: from 3 on, with single holes, gaps of a hundred and of two thousand ids, and a jump.

    The last twentieth is after a jump to the next multiple of 100,000, as after an import.

    >>> numbers = list(ids(2_000))
    >>> numbers[:5], len(numbers), sorted(set(numbers)) == numbers, numbers[-1] > 100_000
    ([3, 4, 6, 7, 8], 2000, True, True)
    >>> list(ids(3))
    [3, 4, 6]
    """
    tail = count // _JUMP_TAIL
    last = 2
    for made in range(count):
        last += 2 if made % 13 == 2 else 1  # noqa: PLR2004 -- one hole in each thirteen rows
        if made and made % 900 == 0:
            last += 2000 if made % 9000 == 900 else 100  # noqa: PLR2004 -- few wide gaps, more narrow ones
        if tail and made == count - tail:
            last = max(_JUMP, (last // _JUMP + 1) * _JUMP)
        yield last


def sizes(orders: int) -> dict[str, int]:
    """Return the number of rows of each list in a shop with that many orders.

    >>> sizes(2000)
    {'orders': 2000, 'invoices': 1300, 'shipments': 1000, 'creditmemos': 100, 'customers': 600, 'products': 300}
    """
    return {name: orders * recipe.rows_per_order[0] // recipe.rows_per_order[1] for name, recipe in RECIPES.items()}


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a list.

    Attributes:
        columns: their columns; `entity_id` is one of them.
        rows: their values, in that order.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]


def read_rows(path: Path) -> dict[str, Rows]:
    """Read rows from a JSON file: `{list: {"columns": [...], "rows": [[...], ...]}}`.

    Missing columns are made up. Missing lists stay empty.

    Raises:
        ValueError: it is not such a file; the message says where.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON in UTF-8: {error}") from None
    if not isinstance(document, dict):
        raise ValueError(f"{path}: the file must contain an object of lists")  # noqa: TRY004 -- a value of the file, not a type
    return {name: _rows(f"{path}: {name}", name, content) for name, content in document.items()}


def _rows(where: str, name: str, content: object) -> Rows:
    """Return one list of such a file."""
    if name not in LISTINGS:
        raise ValueError(f"{where}: no such list; the lists are {', '.join(LISTINGS)}")
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("columns"), list)
        or not isinstance(content.get("rows"), list)
    ):
        raise ValueError(f"{where}: a list needs `columns` and `rows`")  # noqa: TRY004 -- a value of the file, not a type
    table, columns = LISTINGS[name].table, tuple(map(str, content["columns"]))
    if "entity_id" not in columns:
        raise ValueError(f"{where}: the column entity_id is missing")
    if len(set(columns)) < len(columns):
        raise ValueError(f"{where}: a column occurs twice")
    for column in columns:
        if column not in table.columns:
            raise ValueError(f"{where}: {table.name} has no column {column!r}")
    for number, row in enumerate(content["rows"]):
        _check_row(f"{where}: row {number}", columns, row)
    return Rows(columns, content["rows"])


def _check_row(where: str, columns: Sequence[str], row: object) -> None:
    """Refuse a row that no table can store."""
    if not isinstance(row, list) or len(row) != len(columns):
        raise ValueError(f"{where} does not have {len(columns)} values")
    for column, value in zip(columns, row, strict=True):
        if column == "entity_id" and not re.fullmatch("[0-9]{1,10}", str(value)):
            raise ValueError(f"{where}: {value!r:.60} is not an id")
        if not is_cell(value):
            raise ValueError(f"{where}: {column} must be a text, a number or null, not {value!r:.60}")
