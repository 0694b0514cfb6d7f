"""The differences between versions, as data.

Everything that depends on the shop's version is a field of `Profile`; the other modules read these fields and never
the name. A profile is frozen: use `dataclasses.replace` for variations, and `on_php5` for the best-known one.

The five profiles are the five filter parsers whose answers were recorded. The recordings were made with each version's
own filter code on one database layer (PHP 8, the newest base classes). A real shop of that age differs in some points,
which are known from the source only: `on_php5` returns such a profile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from magento_pager.fake.lists import LISTINGS, NEW_CUSTOMER_FIELDS, OLD_ORDER_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magento_pager.fake.declarations import Flavour
    from magento_pager.fake.lists import Listing


class Parser(Enum):
    """The ways in which lists turn `filter` and `complex_filter` into conditions, before any SQL."""

    LAST = "last"
    """Keyed by the name as sent, the later one wins, aliases are mapped afterwards: two names, two conditions."""
    EACH = "each"
    """Every condition is applied, in the order sent."""
    CREDITMEMO = "creditmemo"
    """Keyed like LAST, but a simple filter wins over a complex one, and the alias overwrites the real name."""
    MAPPED = "mapped"
    """Keyed like LAST; at the end the alias takes the place of the real name, and its condition wins."""
    MERGED = "merged"
    """Conditions on one name are collected, the first of each operator stays; simple wins over complex; then MAPPED."""


class Builder(Enum):
    """The ways in which the conditions on one field become SQL."""

    FIRST_SENT = "first sent"
    """From and to together, else the first known operator in the order sent, else an OR of equalities (from 1.6)."""
    FIXED_ORDER = "fixed order"
    """From and to together, else the first that is present in a fixed order of operators (up to 1.5.1)."""


OPERATORS = (
    "eq",
    "neq",
    "like",
    "nlike",
    "in",
    "nin",
    "is",
    "notnull",
    "null",
    "gt",
    "lt",
    "gteq",
    "lteq",
    "finset",
    "regexp",
    "from",
    "to",
    "seq",
    "sneq",
)
"""The operators from 1.6 on. Any other word means `eq`."""

OLD_OPERATORS = (
    "eq",
    "neq",
    "like",
    "nlike",
    "in",
    "nin",
    "is",
    "notnull",
    "null",
    "moreq",
    "gt",
    "lt",
    "gteq",
    "lteq",
    "finset",
    "from",
    "to",
)
"""The operators up to 1.5.1, in the order in which the server looks for them: no regexp, but `moreq`."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One version of the shop.

    Attributes:
        name: the version, as in `PROFILES`.
        version: the same as numbers, for "since": `profile.version >= (1, 6, 1, 0)`. OpenMage's 20 is above all 1.x.
        magento_version: the answer of `magentoInfo`; None where that operation does not exist (before 1.7.0.0).
        namespace: the target namespace of the WSDL.
        flavours: those that the shop can be configured for.
        parser: how lists read filters.
        parsers: the parsers of the lists that read filters in another way.
        builder: how conditions on one field become SQL.
        operators: the known operators; other words mean equality.
        splits_lists: `in`, `nin`, `finset` of a complex filter are split at commas (from 1.7.0.1).
        replaces_marks_flat: a `?` in a value becomes `''` on the four sales lists.
        replaces_marks_eav: a `?` in a value becomes `''` on customers and products.
        mends_from: a `?` in a `from` with a `to` is kept (before, it became the value of `to`).
        quotes_fields: field names are quoted; before 1.9.2.2 they are inserted into the SQL as they are.
        echoes_sql: the fault of a database error quotes the whole query (from 1.8; before from source, never seen).
        unmapped: the lists whose alias (`invoice_id`) is unknown although the rows have a field of that name.
        missing_ids: the lists whose rows are returned without their id.
        unknown_attribute_kills: a field that is not an attribute of customers or products kills PHP: no fault.
        store_restricts: the store of a product list restricts the rows to its website (1.5.0.0 to 20.0.14).
        wsi_filters: False: WS-I exists but every filter is broken (1.5.1.0 to 1.6.2.0; from source, never seen).
        wsi_creditmemo_filters: False: WS-I ignores the filters of credit memos (1.6.1.0 to 1.7.0.0; from source).
        newline_for_empty: an empty string is sent as a line break (from 1.8).
        breaks_between_tags: replies have a line break between tags (from 1.8: the cause of `newline_for_empty`).
        escapes_controls: a control character is sent as the text `&#N;` (from 1.9.3); raw before.
        drops_invalid_utf8: a value that is not UTF-8 is omitted (from 1.9.3); a fault before.
        bare_wsdl: `?wsdl` without a value returns the WSDL (from 1.4.2); otherwise `?wsdl=1` is needed.
        long_session_ids: session ids have 64 characters instead of 32 (from 20.18).
        php5: the shop behaves as on PHP 5 with all of its own classes, which differs from the recordings.

    >>> PROFILES["1.7.0.2"].flavours
    ('rpc', 'wsi')
    """

    name: str
    version: tuple[int, ...]
    magento_version: str | None
    namespace: str
    flavours: tuple[Flavour, ...]
    parser: Parser
    parsers: Mapping[str, Parser]
    builder: Builder
    operators: tuple[str, ...]
    splits_lists: bool
    replaces_marks_flat: bool
    replaces_marks_eav: bool
    mends_from: bool
    quotes_fields: bool
    echoes_sql: bool
    unmapped: frozenset[str]
    missing_ids: frozenset[str]
    unknown_attribute_kills: bool
    store_restricts: bool
    wsi_filters: bool
    wsi_creditmemo_filters: bool
    newline_for_empty: bool
    breaks_between_tags: bool
    escapes_controls: bool
    drops_invalid_utf8: bool
    bare_wsdl: bool
    long_session_ids: bool = False
    php5: bool = False

    @property
    def lists(self) -> tuple[str, ...]:
        """The lists of the version: no credit memos before 1.6.1.0."""
        return tuple(name for name, listing in LISTINGS.items() if self.version >= listing.since)


_NEWEST = Profile(
    name="20.0.20",
    version=(20, 0, 20),
    magento_version="1.9.4.5",
    namespace="urn:OpenMage",
    flavours=("rpc", "wsi"),
    parser=Parser.MERGED,
    parsers=MappingProxyType({}),
    builder=Builder.FIRST_SENT,
    operators=OPERATORS,
    splits_lists=True,
    replaces_marks_flat=True,
    replaces_marks_eav=False,
    mends_from=True,
    quotes_fields=True,
    echoes_sql=True,
    unmapped=frozenset(),
    missing_ids=frozenset({"shipments"}),
    unknown_attribute_kills=False,
    store_restricts=False,
    wsi_filters=True,
    wsi_creditmemo_filters=True,
    newline_for_empty=True,
    breaks_between_tags=True,
    escapes_controls=True,
    drops_invalid_utf8=True,
    bare_wsdl=True,
)

_1810 = replace(
    _NEWEST,
    name="1.8.1.0",
    version=(1, 8, 1, 0),
    magento_version="1.8.1.0",
    namespace="urn:Magento",
    quotes_fields=False,
    store_restricts=True,
    escapes_controls=False,
    drops_invalid_utf8=False,
)

_1702 = replace(
    _1810,
    name="1.7.0.2",
    version=(1, 7, 0, 2),
    magento_version="1.7.0.2",
    parser=Parser.MAPPED,
    echoes_sql=False,
    newline_for_empty=False,
    breaks_between_tags=False,
)

_1620 = replace(
    _1702,
    name="1.6.2.0",
    version=(1, 6, 2, 0),
    magento_version=None,
    flavours=("rpc",),
    parser=Parser.LAST,
    parsers=MappingProxyType(
        {"orders": Parser.EACH, "invoices": Parser.EACH, "creditmemos": Parser.CREDITMEMO},
    ),
    splits_lists=False,
    unmapped=frozenset({"invoices"}),
    missing_ids=frozenset({"shipments", "invoices"}),
    wsi_filters=False,
    wsi_creditmemo_filters=False,
)

_1411 = replace(
    _1620,
    name="1.4.1.1",
    version=(1, 4, 1, 1),
    parsers=MappingProxyType({}),
    builder=Builder.FIXED_ORDER,
    operators=OLD_OPERATORS,
    unmapped=frozenset(),
    store_restricts=False,
    bare_wsdl=False,
)

PROFILES: Mapping[str, Profile] = MappingProxyType({p.name: p for p in (_1411, _1620, _1702, _1810, _NEWEST)})
"""The five profiles, oldest first.

>>> list(PROFILES)
['1.4.1.1', '1.6.2.0', '1.7.0.2', '1.8.1.0', '20.0.20']
"""


def on_php5(plain: Profile) -> Profile:
    """Return the profile of the same version on PHP 5, with all of its own classes, as on a shop of that age.

    The recordings had only the filter code of each version; the other differences were read in the source, not seen. A
    field that is not an attribute kills PHP (1.6 to 1.9.2); a `?` stays in a value (1.4.2 to 1.6.2) or is replaced on
    every list (up to 1.4.1); a `?` in `from` takes the value of `to` (1.6 to 1.9.3).

    Raises:
        ValueError: the version needs a newer PHP.

    >>> on_php5(profile("1.6.2.0")).unknown_attribute_kills, on_php5(profile("1.4.1.1")).unknown_attribute_kills
    (True, False)
    """
    if plain.version >= (20,):
        raise ValueError(f"{plain.name} does not run on PHP 5")
    old = plain.builder is Builder.FIXED_ORDER
    return replace(
        plain,
        replaces_marks_flat=old or plain.version >= (1, 7, 0, 0),
        replaces_marks_eav=old,
        mends_from=old,
        unknown_attribute_kills=not old,
        php5=True,
    )


def profile(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        ValueError: there is no such profile; the message lists those that exist.

    >>> profile("1.7.0.2").splits_lists
    True
    >>> profile("1.9")
    Traceback (most recent call last):
    ...
    ValueError: There is no profile '1.9'. Choose one of 1.4.1.1, 1.6.2.0, 1.7.0.2, 1.8.1.0, 20.0.20.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise ValueError(f"There is no profile {name!r}. Choose one of {', '.join(PROFILES)}.") from None


def listing(name: str, profile: Profile) -> Listing:
    """Return a list as the version declares it.

    Up to 1.5.0.1 orders have another row type, with fewer fields, and up to 1.4.1 customers have 12 fields.

    Raises:
        ValueError: that version has no such list.

    >>> listing("customers", profile("1.4.1.1")).columns[:3]
    ('customer_id', 'created_at', 'updated_at')
    >>> listing("creditmemos", profile("1.4.1.1"))
    Traceback (most recent call last):
    ...
    ValueError: 1.4.1.1 has no list 'creditmemos'. It has orders, invoices, shipments, customers, products.
    """
    if name not in profile.lists:
        raise ValueError(f"{profile.name} has no list {name!r}. It has {', '.join(profile.lists)}.")
    newest = LISTINGS[name]
    if name == "orders" and profile.version < (1, 5, 1, 0):
        return replace(newest, row_type="salesOrderEntity", fields=OLD_ORDER_FIELDS)
    if name == "customers" and profile.version < (1, 4, 2, 0):
        return replace(newest, fields=tuple(field for field in newest.fields if field.name not in NEW_CUSTOMER_FIELDS))
    return newest
