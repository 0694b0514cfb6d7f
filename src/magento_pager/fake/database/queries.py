"""The one SELECT of a list call: what Magento sends to MySQL, and what SQLite is asked instead.

The MySQL text is what the shop would run, whole, because a database error is answered with it. Its WHERE clause is
what `filters` made; the rest is fixed for each list.
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
"""The page that takes the place of a reply when customers or products meet a database error, or there is no server."""


@dataclass(frozen=True, slots=True)
class Query:
    """A list call in SQLite's words.

    Attributes:
        columns: what is selected, in the order of `listing.columns`.
        tables: the tables, joined.
        key: the key, with the alias of its table.
        conditions: each true for the rows wanted.
        driver: the column along whose index MySQL might read; empty when it would read along the key.
    """

    columns: str
    tables: str
    key: str
    conditions: tuple[str, ...]
    driver: str = ""

    def select(self, columns: str = "", *conditions: str) -> str:
        """The SELECT, of other columns or under further conditions.

        >>> Query("one, two", "FROM t", "id", ("id > 5",)).select("id", "two = 2")
        'SELECT id FROM t WHERE id > 5 AND two = 2'
        """
        where = " AND ".join((*self.conditions, *conditions))
        head = f"SELECT {columns or self.columns} {self.tables}"
        return f"{head} WHERE {where}" if where else head


@dataclass(frozen=True, slots=True)
class Asked:
    """A list call as it came in.

    Attributes:
        profile: the version that is asked.
        flavour: `rpc` or `wsi`.
        listing: the list, of that version.
        simple: fields and values of `filter`, in the order sent.
        complex: fields, operators and values of `complex_filter`, in the order sent.
        store: of a product list, an id or a code.
        nested: instead of `simple` and `complex`, the filters of a call by XML-RPC.
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
        """What its filters come to.

        Raises:
            ShopFault: the shop itself refuses a field.
            PhpFatal: PHP dies of a field.
        """
        return conditions(self.profile, self.flavour, self.listing, self.simple, self.complex, nested=self.nested)


def plan(asked: Asked) -> Query:
    """Make the query of a list call.

    Raises:
        ShopFault: the shop or its database refuses it.
        PhpFatal: PHP dies of it, or prints a page and ends.

    >>> from magento_pager.fake.lists import LISTINGS
    >>> from magento_pager.fake.profiles import profile
    >>> plan(Asked(profile("20.0.20"), "rpc", LISTINGS["shipments"], [("shipment_id", "5abc")])).select("total_qty")
    'SELECT total_qty FROM sales_flat_shipment AS main_table WHERE (main_table.entity_id = 5)'
    """
    profile, listing = asked.profile, asked.listing
    made = asked.conditions
    website = website_of(asked)
    clause = " AND ".join(f"({one})" for one in made.where)
    try:
        read_clause = read(clause, _scope(listing, made)) if clause else None
    except SqlError as error:
        statement = "" if listing.eav else f"{mysql_select(listing)} WHERE {clause}"
        raise refusal(asked, str(error), statement) from None
    where = [read_clause.sql] if read_clause else []
    # An attribute is joined by INNER JOIN: rows without a value for it are gone whatever the condition says.
    where += [f"e.{code} IS NOT NULL" for code in made.joined.values()]
    where += [f"',' || e.website_ids || ',' LIKE '%,{website},%'"] if website else []
    return Query(
        _columns(profile, listing),
        _tables(listing),
        f"{_alias(listing)}.entity_id",
        tuple(where),
        _driver(listing, read_clause.bounded) if read_clause else "",
    )


def _driver(listing: Listing, bounded: tuple[str, ...]) -> str:
    """The first column that is compared with a constant and has an index, unless the key is such a column."""
    alias = _alias(listing)
    if f"{alias}.entity_id" in bounded:
        return ""
    indexed = {f"{alias}.{column}" for column in listing.table.indexed}
    return next((column for column in bounded if column in indexed), "")


def _alias(listing: Listing) -> str:
    """What the main table is called in the query."""
    return "e" if listing.eav else "main_table"


def _scope(listing: Listing, made: Conditions) -> Scope:
    """The tables that the WHERE clause can name, and the attributes that are kept as columns here."""
    table = listing.table
    if listing.eav:
        renamed = {(alias, "value"): ("e", code) for alias, code in made.joined.items()}
        return Scope({"e": table, **dict.fromkeys(made.joined, table)}, renamed)
    joins = dict.fromkeys(ORDER_JOINS, ADDRESS) if listing.joined else {}
    return Scope({"main_table": table, **joins}, {}, first_line=1 + len(joins))


def _tables(listing: Listing) -> str:
    """FROM, with the joins of orders."""
    joins = "".join(
        f" LEFT JOIN {ADDRESS.name} AS {joined} ON main_table.entity_id = {joined}.parent_id"
        f" AND {joined}.address_type = '{kind}'"
        for joined, kind in (ORDER_JOINS.items() if listing.joined else ())
    )
    return f"FROM {listing.table.name} AS {_alias(listing)}{joins}"


def _columns(profile: Profile, listing: Listing) -> str:
    """What is selected."""
    alias = _alias(listing)
    special = {**listing.joined, **{field: f"{alias}.{column}" for field, column in listing.aliases.items()}}
    if listing.name in profile.missing_ids:
        special[listing.key_field] = "NULL"
    return ", ".join(special.get(column, f"{alias}.{column}") for column in listing.columns)


def website_of(asked: Asked) -> str:
    """The website to which the store of a product list restricts the rows; empty: none.

    Raises:
        ShopFault: there is no such store.
    """
    if asked.listing.name != "products" or asked.store in {"", "0", "admin"}:
        return ""
    if not any(asked.store in {str(number), code} for number, code, _ in STORE_VIEWS):
        raise ShopFault("100", "Requested store view not found.")
    return "1" if asked.profile.store_restricts else ""


def fatal(error: str) -> PhpFatal:
    """PHP prints its page on errors, and ends."""
    return PhpFatal(error, 503, _REPORT)


def refusal(asked: Asked, error: str, statement: str) -> ShopFault | PhpFatal:
    """What becomes of a call whose statement the database refuses.

    Args:
        asked: the call.
        error: what the database says, as PDO shows it.
        statement: the whole SELECT.
    """
    if asked.listing.eav:
        return fatal(error)
    echo = f", query was: {statement}" if asked.profile.echoes_sql else ""
    return ShopFault(asked.listing.sql_fault, f"{error}{echo}")


# --- MySQL's text ----------------------------------------------------------------------------------------------------

_ADDRESS_COLUMNS = ("firstname", "middlename", "lastname", "telephone", "postcode")


def mysql_select(listing: Listing) -> str:
    """The SELECT of a sales list up to its WHERE clause."""
    columns = ", ".join(f"`main_table`.`{one}`" for one in listing.selected) or "`main_table`.*"
    head = f"FROM `{listing.table.name}` AS `main_table`"
    if not listing.joined:
        return f"SELECT {columns} {head}"
    columns += "".join(f", `{alias}`.`{one}`" for alias in ORDER_JOINS for one in _ADDRESS_COLUMNS)
    columns += "".join(
        f", {alias}.{one} AS `{kind}_{one}`" for alias, kind in ORDER_JOINS.items() for one in ("firstname", "lastname")
    )
    for (alias, kind), blank in zip(ORDER_JOINS.items(), ("' '", '" "'), strict=True):
        columns += f", CONCAT({alias}.firstname, {blank}, {alias}.lastname) AS `{kind}_name`"
    joins = "".join(
        f"\n LEFT JOIN `{ADDRESS.name}` AS `{alias}` ON (main_table.entity_id = {alias}.parent_id"
        f" AND {alias}.address_type = '{kind}')"
        for alias, kind in ORDER_JOINS.items()
    )
    return f"SELECT {columns} {head}{joins}"
