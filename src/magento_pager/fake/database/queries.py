"""The SELECT of a list call: Magento's for MySQL, and the one for SQLite instead.

The MySQL text is the whole statement, because the fault of a database error quotes it. Its WHERE clause is made by
`filters`; the rest is fixed for each list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from magento_pager.fake.data import STORE_VIEWS
from magento_pager.fake.database.reading import Scope, SqlError, read
from magento_pager.fake.faults import PhpFatal, ShopFault
from magento_pager.fake.filters import conditions
from magento_pager.fake.tables import ADDRESS, ORDER_JOINS

if TYPE_CHECKING:
    from magento_pager.fake.declarations import Flavour
    from magento_pager.fake.filters import Complex, Conditions, Simple
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.php import Php
    from magento_pager.fake.profiles import Profile

_REPORT = "<!DOCTYPE html>\n<html><body><h1>There has been an error processing your request</h1></body></html>\n"
"""The page sent instead of a reply after a database error in customers or products, or without a server."""


@dataclass(frozen=True, slots=True)
class Query:
    """A list call as a query for SQLite.

    Attributes:
        columns: the selected columns, in the order of `listing.columns`.
        tables: the tables, joined.
        key: the key, with the alias of its table.
        conditions: rows must satisfy all of them.
        driver: the column along whose index MySQL might read; empty if it would read along the key.
    """

    columns: str
    tables: str
    key: str
    conditions: tuple[str, ...]
    driver: str = ""

    def select(self, columns: str = "", *conditions: str) -> str:
        """Return the SELECT, with other columns or further conditions.

        >>> Query("one, two", "FROM t", "id", ("id > 5",)).select("id", "two = 2")
        'SELECT id FROM t WHERE id > 5 AND two = 2'
        """
        where = " AND ".join((*self.conditions, *conditions))
        head = f"SELECT {columns or self.columns} {self.tables}"
        return f"{head} WHERE {where}" if where else head


@dataclass(frozen=True, slots=True)
class ListCall:
    """A list call as received.

    Attributes:
        profile: the version.
        flavour: `rpc` or `wsi`.
        listing: the list, of that version.
        simple: fields and values of `filter`, in the order sent.
        complex: fields, operators and values of `complex_filter`, in the order sent.
        store: of a product list: an id or a code.
        nested: the filters of a call by XML-RPC, instead of `simple` and `complex`.
    """

    profile: Profile
    flavour: Flavour
    listing: Listing
    simple: Simple = ()
    complex: Complex = ()
    store: str = ""
    nested: Php = None

    @property
    def conditions(self) -> Conditions:
        """The conditions of its filters, as SQL.

        Raises:
            ShopFault: the shop itself refuses a field.
            PhpFatal: a field kills PHP.
        """
        return conditions(self.profile, self.flavour, self.listing, self.simple, self.complex, nested=self.nested)


def plan(call: ListCall) -> Query:
    """Make the query of a list call.

    Raises:
        ShopFault: the shop or its database refuses it.
        PhpFatal: the call kills PHP, or PHP prints a page and ends.

    >>> from magento_pager.fake.lists import LISTINGS
    >>> from magento_pager.fake.profiles import profile
    >>> plan(ListCall(profile("20.0.20"), "rpc", LISTINGS["shipments"], [("shipment_id", "5abc")])).select("total_qty")
    'SELECT total_qty FROM sales_flat_shipment AS main_table WHERE (main_table.entity_id = 5)'
    """
    profile, listing = call.profile, call.listing
    filters = call.conditions
    website = website_of(call)
    clause = " AND ".join(f"({condition})" for condition in filters.where)
    try:
        read_clause = read(clause, _scope(listing, filters)) if clause else None
    except SqlError as error:
        statement = "" if listing.eav else f"{mysql_select(listing)} WHERE {clause}"
        raise refusal(call, str(error), statement) from None
    where = [read_clause.sql] if read_clause else []
    # An attribute is joined by INNER JOIN: rows without a value for it never match, whatever the condition.
    where += [f"e.{code} IS NOT NULL" for code in filters.joined.values()]
    where += [f"',' || e.website_ids || ',' LIKE '%,{website},%'"] if website else []
    return Query(
        _columns(profile, listing),
        _tables(listing),
        f"{_alias(listing)}.entity_id",
        tuple(where),
        _driver(listing, read_clause.bounded) if read_clause else "",
    )


def _driver(listing: Listing, bounded: tuple[str, ...]) -> str:
    """Return the first column that is compared with a constant and has an index, unless the key is such a column."""
    alias = _alias(listing)
    if f"{alias}.entity_id" in bounded:
        return ""
    indexed = {f"{alias}.{column}" for column in listing.table.indexed}
    return next((column for column in bounded if column in indexed), "")


def _alias(listing: Listing) -> str:
    """Return the alias of the main table in the query."""
    return "e" if listing.eav else "main_table"


def _scope(listing: Listing, filters: Conditions) -> Scope:
    """Return the tables that the WHERE clause can name, and the attributes that are columns here."""
    table = listing.table
    if listing.eav:
        renamed = {(alias, "value"): ("e", code) for alias, code in filters.joined.items()}
        return Scope({"e": table, **dict.fromkeys(filters.joined, table)}, renamed)
    joins = dict.fromkeys(ORDER_JOINS, ADDRESS) if listing.joined else {}
    return Scope({"main_table": table, **joins}, {}, first_line=1 + len(joins))


def _tables(listing: Listing) -> str:
    """Return the FROM clause, with the joins of orders."""
    joins = "".join(
        f" LEFT JOIN {ADDRESS.name} AS {joined} ON main_table.entity_id = {joined}.parent_id"
        f" AND {joined}.address_type = '{kind}'"
        for joined, kind in (ORDER_JOINS.items() if listing.joined else ())
    )
    return f"FROM {listing.table.name} AS {_alias(listing)}{joins}"


def _columns(profile: Profile, listing: Listing) -> str:
    """Return the selected columns."""
    alias = _alias(listing)
    special = {**listing.joined, **{field: f"{alias}.{column}" for field, column in listing.aliases.items()}}
    if listing.name in profile.missing_ids:
        special[listing.key_field] = "NULL"
    return ", ".join(special.get(column, f"{alias}.{column}") for column in listing.columns)


def website_of(call: ListCall) -> str:
    """Return the website to which the store of a product list restricts the rows; empty if there is none.

    Raises:
        ShopFault: there is no such store.
    """
    if call.listing.name != "products" or call.store in {"", "0", "admin"}:
        return ""
    if not any(call.store in {str(number), code} for number, code, _ in STORE_VIEWS):
        raise ShopFault("100", "Requested store view not found.")
    return "1" if call.profile.store_restricts else ""


def fatal(error: str) -> PhpFatal:
    """Return the error after which PHP prints its error page and ends."""
    return PhpFatal(error, 503, _REPORT)


def refusal(call: ListCall, error: str, statement: str) -> ShopFault | PhpFatal:
    """Return the error for a call whose statement the database refuses.

    Args:
        call: the call.
        error: the message of the database, as PDO shows it.
        statement: the whole SELECT.
    """
    if call.listing.eav:
        return fatal(error)
    echo = f", query was: {statement}" if call.profile.echoes_sql else ""
    return ShopFault(call.listing.sql_fault, f"{error}{echo}")


# --- MySQL's text ----------------------------------------------------------------------------------------------------

_ADDRESS_COLUMNS = ("firstname", "middlename", "lastname", "telephone", "postcode")


def mysql_select(listing: Listing) -> str:
    """Return the SELECT of a sales list up to its WHERE clause."""
    columns = ", ".join(f"`main_table`.`{column}`" for column in listing.selected) or "`main_table`.*"
    head = f"FROM `{listing.table.name}` AS `main_table`"
    if not listing.joined:
        return f"SELECT {columns} {head}"
    columns += "".join(f", `{alias}`.`{column}`" for alias in ORDER_JOINS for column in _ADDRESS_COLUMNS)
    columns += "".join(
        f", {alias}.{column} AS `{kind}_{column}`"
        for alias, kind in ORDER_JOINS.items()
        for column in ("firstname", "lastname")
    )
    for (alias, kind), blank in zip(ORDER_JOINS.items(), ("' '", '" "'), strict=True):
        columns += f", CONCAT({alias}.firstname, {blank}, {alias}.lastname) AS `{kind}_name`"
    joins = "".join(
        f"\n LEFT JOIN `{ADDRESS.name}` AS `{alias}` ON (main_table.entity_id = {alias}.parent_id"
        f" AND {alias}.address_type = '{kind}')"
        for alias, kind in ORDER_JOINS.items()
    )
    return f"SELECT {columns} {head}{joins}"
