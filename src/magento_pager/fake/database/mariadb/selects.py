"""The SELECT of a list call as the shop would send it, and that of whole records. Text only, no connection.

For sales lists it is exactly `queries.mysql_select`. For customers and products the shop selects first the entities and
then their values; here both are one statement, in which the second part is a LEFT JOIN for each attribute. These joins
change neither the rows nor the meaning of a name in the WHERE clause.
"""

# ruff: noqa: S608 -- the shop inserts a client's field names and quotes its values in the same way, faults included

from __future__ import annotations

from typing import TYPE_CHECKING

from magento_pager.fake.database.mariadb.schema import ATTRIBUTES_OF
from magento_pager.fake.database.queries import ListCall, mysql_select, website_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from magento_pager.fake.tables import Table


def statement(call: ListCall) -> str:
    """Return the SELECT of a list call.

    Raises:
        ShopFault: the shop itself refuses a field or the store.
        PhpFatal: a field kills PHP.

    >>> from magento_pager.fake.lists import LISTINGS
    >>> from magento_pager.fake.profiles import profile
    >>> call = ListCall(profile("20.0.20"), "rpc", LISTINGS["shipments"], [], [("shipment_id", "regexp", "^1.$")])
    >>> print(statement(call))  # doctest: +NORMALIZE_WHITESPACE
    SELECT `main_table`.`increment_id`, `main_table`.`created_at`, `main_table`.`total_qty`
        FROM `sales_flat_shipment` AS `main_table` WHERE (`entity_id` REGEXP '^1.$')
    """
    listing = call.listing
    filters = call.conditions
    where = [f"({condition})" for condition in filters.where]
    if listing.name == "customers":
        where.insert(0, "(`e`.`entity_type_id` = '1')")
    elif website := website_of(call):
        where.append(f"FIND_IN_SET('{website}', `e`.`website_ids`)")
    if listing.eav:
        attributes = ATTRIBUTES_OF[listing.table.name]
        joins = [attributes[code].joined("INNER", alias) for alias, code in filters.joined.items()]
        select = whole(listing.table, attributes.keys() & set(listing.columns), joins)
    else:
        select = mysql_select(listing)
    return f"{select} WHERE {' AND '.join(where)}" if where else select


def whole(table: Table, codes: Iterable[str] | None = None, joins: Iterable[str] = ()) -> str:
    """Return the SELECT of a table with its attributes; the alias of the table is `e`.

    Args:
        table: one of `tables`.
        codes: the attributes; None: all.
        joins: further joins.

    >>> from magento_pager.fake.tables import INVOICE
    >>> whole(INVOICE)
    'SELECT `e`.* FROM `sales_flat_invoice` AS `e`'
    """
    attributes = ATTRIBUTES_OF[table.name]
    chosen = [attributes[code] for code in sorted(attributes if codes is None else codes)]
    columns = ["`e`.*", *(f"`v_{attribute.code}`.`value` AS `{attribute.code}`" for attribute in chosen)]
    values = (attribute.joined("LEFT", f"v_{attribute.code}") for attribute in chosen)
    return " ".join((f"SELECT {', '.join(columns)} FROM `{table.name}` AS `e`", *joins, *values))
