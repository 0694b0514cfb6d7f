"""The tables as Magento 1.6 and later create them in MySQL: types, keys, and the value tables of attributes. Data.

The names of the columns are in `tables`; their types are here. Attributes of customers and products without a column of
their own are in one table for each type of value, with a row for each value that is not NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.tables import ADDRESS, Column, Kind, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DEFAULT_TYPES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.INT: "INT UNSIGNED",
        Kind.DECIMAL: "DECIMAL(12,4)",
        Kind.TIME: "TIMESTAMP NULL",
        Kind.TEXT: "VARCHAR(255)",
    },
)
_OTHER_TYPES: Mapping[Kind, Mapping[str, str]] = MappingProxyType(
    {
        Kind.INT: {
            "SMALLINT UNSIGNED": """
store_id website_id group_id entity_type_id attribute_set_id is_active disable_auto_group_change is_virtual
can_ship_partially can_ship_partially_item customer_is_guest customer_note_notify email_sent
forced_shipment_with_invoice total_item_count is_used_for_refund can_void_flag required_options
""",
            "SMALLINT": "customer_group_id has_options vat_is_valid vat_request_success",
            "INT": """
state creditmemo_status shipment_status invoice_id edit_increment payment_auth_expiration customer_gender
paypal_ipn_customer_notified gift_message_id quote_address_id customer_address_id region_id
""",
            # INT in Magento. Here an address has twice the id of its order, and a quote that id plus ten.
            "BIGINT UNSIGNED": "billing_address_id shipping_address_id quote_id",
        },
        Kind.DECIMAL: {},
        Kind.TIME: {"DATETIME": "customer_dob"},
        Kind.TEXT: {
            "VARCHAR(2)": "country_id",
            "VARCHAR(3)": "global_currency_code base_currency_code store_currency_code order_currency_code",
            "VARCHAR(32)": """
state status type_id relation_child_id relation_child_real_id relation_parent_id relation_parent_real_id
""",
            "VARCHAR(50)": "increment_id original_increment_id",
            "VARCHAR(64)": "sku",
            "TEXT": """
customer_note packages shipping_label vat_id vat_request_id vat_request_date category_ids website_ids
""",
        },
    },
)
"""The columns of each kind with another type, whatever their table."""

_LONG_TEXTS = frozenset({"description", "short_description", "meta_keyword", "custom_layout_update"})
_VALUES: Mapping[str, str] = MappingProxyType(
    {"int": "INT", "decimal": "DECIMAL(12,4)", "datetime": "DATETIME", "varchar": "VARCHAR(255)", "text": "TEXT"},
)
"""The types of value tables, by the end of their name."""
_OPTIONS = "ENGINE=InnoDB DEFAULT CHARACTER SET utf8 COLLATE utf8_general_ci"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that has no column in the table of its entity.

    Attributes:
        code: its name.
        number: its `attribute_id`.
        table: the table of its values.
        scope: a further condition on that table, as SQL: the default store, for products; or empty.
    """

    code: str
    number: int
    table: str
    scope: str

    def joined(self, kind: str, alias: str) -> str:
        """Return the JOIN that adds the value to the entity `e`, as `alias.value`.

        >>> print(Attribute("name", 71, "catalog_product_entity_varchar", "`store_id` = 0").joined("INNER", "at_name"))
        ... # doctest: +NORMALIZE_WHITESPACE
        INNER JOIN `catalog_product_entity_varchar` AS `at_name` ON (`at_name`.`entity_id` = `e`.`entity_id`)
            AND (`at_name`.`attribute_id` = '71') AND (`at_name`.`store_id` = 0)
        """
        scope = f" AND (`{alias}`.{self.scope})" if self.scope else ""
        return (
            f"{kind} JOIN `{self.table}` AS `{alias}` ON (`{alias}`.`entity_id` = `e`.`entity_id`)"
            f" AND (`{alias}`.`attribute_id` = '{self.number}'){scope}"
        )


def _attributes() -> Iterator[tuple[str, Attribute]]:
    """Yield the attributes with the tables of their entities, numbered across entities."""
    number = 0
    for name, listing in LISTINGS.items():
        table, scope = listing.table, "`store_id` = 0" if name == "products" else ""
        for code in sorted(listing.attributes.joined) if listing.attributes else ():
            number += 1
            yield table.name, Attribute(code, number, f"{table.name}_{_backend(table.columns[code])}", scope)


def _backend(column: Column) -> str:
    """Return the type of the value table of an attribute.

    >>> _backend(Column("price", Kind.DECIMAL)), _backend(Column("name", Kind.TEXT)), _backend(Column("dob", Kind.TIME))
    ('decimal', 'varchar', 'datetime')
    """
    if column.kind is Kind.TEXT:
        return "text" if column.name in _LONG_TEXTS else "varchar"
    return {Kind.INT: "int", Kind.DECIMAL: "decimal", Kind.TIME: "datetime"}[column.kind]


ATTRIBUTES_OF: Mapping[str, Mapping[str, Attribute]] = MappingProxyType(
    {
        table.name: {attribute.code: attribute for owner, attribute in _attributes() if owner == table.name}
        for table in (*(listing.table for listing in LISTINGS.values()), ADDRESS)
    },
)
"""By table, the attributes in value tables; sales tables have none."""


def own_columns(table: Table) -> tuple[str, ...]:
    """Return the columns of the table itself: those that are not attributes in value tables.

    >>> from magento_pager.fake.tables import CUSTOMER
    >>> own_columns(CUSTOMER)[:3], "firstname" in own_columns(CUSTOMER)
    (('entity_id', 'entity_type_id', 'attribute_set_id'), False)
    """
    return tuple(column for column in table.columns if column not in ATTRIBUTES_OF[table.name])


def column_type(table: Table, name: str) -> str:
    """Return the type of a column.

    >>> from magento_pager.fake.tables import ORDER
    >>> [column_type(ORDER, name) for name in ("entity_id", "state", "grand_total", "created_at")]
    ['INT UNSIGNED NOT NULL AUTO_INCREMENT', 'VARCHAR(32)', 'DECIMAL(12,4)', 'TIMESTAMP NULL']
    """
    kind = table.columns[name].kind
    if name == "entity_id":
        # INT in Magento for addresses too, see above.
        return f"{'BIGINT' if table is ADDRESS else 'INT'} UNSIGNED NOT NULL AUTO_INCREMENT"
    return next((type_ for type_, names in _OTHER_TYPES[kind].items() if name in names.split()), _DEFAULT_TYPES[kind])


def creations() -> dict[str, str]:
    """Return CREATE TABLE of every table, by name, ordered so that no table refers to a later one.

    >>> statements = creations()
    >>> list(statements)[:2], "customer_entity_varchar" in statements
    (['sales_flat_order', 'sales_flat_order_address'], True)
    """
    statements: dict[str, str] = {}
    for name, listing in LISTINGS.items():
        table = listing.table
        unique = ("increment_id",) if "increment_id" in table.indexed else ()
        statements[table.name] = _creation(table, unique)
        if name == "orders":
            statements[ADDRESS.name] = _creation(ADDRESS, (), _cascading_key("parent_id", table))
        for values in sorted({attribute.table for attribute in ATTRIBUTES_OF[table.name].values()}):
            statements[values] = _value_table(values, table, scoped=name == "products")
    return statements


def _creation(table: Table, unique: tuple[str, ...], *more: str) -> str:
    """Return CREATE TABLE of a table with its own columns and secondary indexes."""
    lines = [f"`{name}` {column_type(table, name)}" for name in own_columns(table)]
    lines += ["PRIMARY KEY (`entity_id`)", *(f"UNIQUE KEY (`{name}`)" for name in unique)]
    lines += [f"KEY (`{name}`)" for name in sorted(table.indexed.difference(unique))]
    return f"CREATE TABLE `{table.name}` ({', '.join((*lines, *more))}) {_OPTIONS}"


def _value_table(name: str, entity: Table, *, scoped: bool) -> str:
    """Return CREATE TABLE of a value table; a `scoped` one can have a value for each store."""
    store = "`store_id` SMALLINT UNSIGNED NOT NULL DEFAULT 0, " if scoped else ""
    key = "`entity_id`, `attribute_id`" + (", `store_id`" if scoped else "")
    return (
        f"CREATE TABLE `{name}` (`value_id` INT NOT NULL AUTO_INCREMENT, "
        "`entity_type_id` SMALLINT UNSIGNED NOT NULL DEFAULT 0, `attribute_id` SMALLINT UNSIGNED NOT NULL, "
        f"{store}`entity_id` INT UNSIGNED NOT NULL, `value` {_VALUES[name.rpartition('_')[2]]}, "
        f"PRIMARY KEY (`value_id`), UNIQUE KEY ({key}), KEY (`attribute_id`), {_cascading_key('entity_id', entity)}) "
        f"{_OPTIONS}"
    )


def _cascading_key(column: str, table: Table) -> str:
    """Return a foreign key whose rows are deleted with the row they belong to."""
    return f"FOREIGN KEY (`{column}`) REFERENCES `{table.name}` (`entity_id`) ON DELETE CASCADE"
