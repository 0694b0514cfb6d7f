"""The SELECT of a list call as the shop would send it, and that of whole records. Text only, no connection.

Of the sales lists it is `queries.mysql_select` to the letter. Of customers and products the shop asks for the entities
first and for their values afterwards; here both are one statement, in which the second part is a LEFT JOIN for each
attribute. Those change neither which rows come nor what a name in the WHERE clause means.
"""

# ruff: noqa: S608 -- pasting a client's field names and quoting its values is what the shop does, faults and all

from __future__ import annotations

from typing import TYPE_CHECKING

from magento_pager.fake.database.mariadb.schema import ATTRIBUTES_OF
from magento_pager.fake.database.queries import Asked, mysql_select, website_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from magento_pager.fake.tables import Table


def statement(asked: Asked) -> str:
    """The SELECT of a list call.

    Raises:
        ShopFault: the shop itself refuses a field or the store.
        PhpFatal: PHP dies of a field.

    >>> from magento_pager.fake.lists import LISTINGS
    >>> from magento_pager.fake.profiles import profile
    >>> asked = Asked(profile("20.0.20"), "rpc", LISTINGS["shipments"], [], [("shipment_id", "regexp", "^1.$")])
    >>> print(statement(asked))  # doctest: +NORMALIZE_WHITESPACE
    SELECT `main_table`.`increment_id`, `main_table`.`created_at`, `main_table`.`total_qty`
        FROM `sales_flat_shipment` AS `main_table` WHERE (`entity_id` REGEXP '^1.$')
    """
    listing = asked.listing
    made = asked.conditions
    where = [f"({one})" for one in made.where]
    if listing.name == "customers":
        where.insert(0, "(`e`.`entity_type_id` = '1')")
    elif website := website_of(asked):
        where.append(f"FIND_IN_SET('{website}', `e`.`website_ids`)")
    if listing.eav:
        attributes = ATTRIBUTES_OF[listing.table.name]
        joins = [attributes[code].joined("INNER", alias) for alias, code in made.joined.items()]
        select = whole(listing.table, attributes.keys() & set(listing.columns), joins)
    else:
        select = mysql_select(listing)
    return f"{select} WHERE {' AND '.join(where)}" if where else select


def whole(table: Table, codes: Iterable[str] | None = None, joins: Iterable[str] = ()) -> str:
    """The SELECT of a table with its attributes beside it; the table is called `e`.

    Args:
        table: one of `tables`.
        codes: which attributes; None: all.
        joins: further joins.

    >>> from magento_pager.fake.tables import INVOICE
    >>> whole(INVOICE)
    'SELECT `e`.* FROM `sales_flat_invoice` AS `e`'
    """
    attributes = ATTRIBUTES_OF[table.name]
    chosen = [attributes[code] for code in sorted(attributes if codes is None else codes)]
    columns = ["`e`.*", *(f"`v_{one.code}`.`value` AS `{one.code}`" for one in chosen)]
    values = (one.joined("LEFT", f"v_{one.code}") for one in chosen)
    return " ".join((f"SELECT {', '.join(columns)} FROM `{table.name}` AS `e`", *joins, *values))
