"""From the filters of a call to the SQL that the shop would run, version by version.

Two steps, as in the shop: a parser turns `filter` and `complex_filter`, or the nested array that XML-RPC brings, into
conditions by field, and a builder turns each condition into SQL, with MySQL's own quoting and with every accident on
the way: lost duplicates, mapped names, unknown operators, `?` and `{{fieldName}}` inside values. Nothing here depends
on the database, except which names are attributes of customers and products: the shop looks these up first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from magento_pager.fake import php
from magento_pager.fake.faults import PhpFatal, ShopFault
from magento_pager.fake.profiles import Builder, Parser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from magento_pager.fake.declarations import Flavour
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.php import Php
    from magento_pager.fake.profiles import Profile
    from magento_pager.fake.tables import Attributes

Simple: TypeAlias = "Sequence[tuple[str, str]]"
"""The entries of `filter`, in the order sent: field and value."""
Complex: TypeAlias = "Sequence[tuple[str, str, str]]"
"""The entries of `complex_filter`, in the order sent: field, operator and value."""
Value: TypeAlias = "str | list[str]"
Condition: TypeAlias = "str | dict[str, Value]"
"""The condition on one field in a call by SOAP: a value, or values by operator in the order sent. In a call by XML-RPC
it may be any value of PHP."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a call, as SQL.

    Attributes:
        where: SQL conditions; rows must satisfy all of them.
        joined: attributes of customers and products joined to the query, by the alias of their table.
    """

    where: tuple[str, ...]
    joined: Mapping[str, str]


def conditions(
    profile: Profile, flavour: Flavour, listing: Listing, simple: Simple, complex_: Complex, *, nested: Php = None
) -> Conditions:
    """Return the SQL that this version makes of these filters.

    Args:
        profile: the version.
        flavour: of SOAP.
        listing: the list.
        simple: the entries of `filter`.
        complex_: the entries of `complex_filter`.
        nested: the argument of a call by XML-RPC, instead of these; no condition if it is not an array.

    Raises:
        ShopFault: a field is not an attribute of customers or products.
        PhpFatal: the same, on versions where this kills PHP.

    >>> from magento_pager.fake.lists import LISTINGS
    >>> from magento_pager.fake.profiles import profile
    >>> bounds = [("entity_id", "from", "5"), ("entity_id", "to", "9")]
    >>> for name in ("1.4.1.1", "1.6.2.0", "20.0.20"):
    ...     conditions(profile(name), "rpc", LISTINGS["orders"], [], bounds).where
    ("main_table.entity_id <= '9'",)
    ("main_table.entity_id >= '5'", "main_table.entity_id <= '9'")
    ("main_table.entity_id >= '5' AND main_table.entity_id <= '9'",)
    """
    where: list[str] = []
    joined: dict[str, str] = {}
    by_field: Sequence[tuple[str, Php | Condition]]
    if nested is None:
        by_field = parsed(profile, flavour, listing, simple, complex_)
    else:
        by_field = _nested(profile, listing, nested)
    for field, condition in by_field:
        if listing.attributes:
            column = _attribute(profile, listing, listing.attributes, field, joined)
            sql = _built(profile, column, condition)
            replaced = profile.replaces_marks_eav
        else:
            sql = _built(profile, _column(profile, listing, field), condition)
            replaced = profile.replaces_marks_flat
        # Magento applies quoteInto to the finished condition once more, with an empty value.
        where.append(sql.replace("?", "''") if replaced else sql)
    return Conditions(tuple(where), joined)


# --- parsing ---------------------------------------------------------------------------------------------------------


def parsed(
    profile: Profile,
    flavour: Flavour,
    listing: Listing,
    simple: Simple,
    complex_: Complex,
) -> list[tuple[str, Condition]]:
    """Return fields and conditions as the shop passes them to its collection, in that order.

    >>> from magento_pager.fake.lists import LISTINGS
    >>> from magento_pager.fake.profiles import profile
    >>> same_column = [("order_id", "gteq", "5"), ("entity_id", "lt", "9")]
    >>> for name in ("1.4.1.1", "1.7.0.2"):
    ...     parsed(profile(name), "rpc", LISTINGS["orders"], [], same_column)
    [('entity_id', {'gteq': '5'}), ('entity_id', {'lt': '9'})]
    [('entity_id', {'gteq': '5'})]
    """
    if flavour == "wsi" and not profile.wsi_creditmemo_filters and listing.name == "creditmemos":
        return []
    aliases = {} if listing.name in profile.unmapped else listing.aliases
    if flavour == "wsi" and not profile.wsi_filters:
        # Unwrapped twice: the operator takes the place of the field, and a simple filter loses its field.
        broken = chain(((operator, value) for _, operator, value in complex_), (("", "") for _ in simple))
        return [(aliases.get(field, field), value) for field, value in broken]
    triples = [(field, operator, _split(profile, operator, value)) for field, operator, value in complex_]
    return _PARSERS[profile.parsers.get(listing.name, profile.parser)](simple, triples, aliases)


_T = TypeVar("_T")
_Triples: TypeAlias = "Sequence[tuple[str, str, Value]]"
_Parsed: TypeAlias = "list[tuple[str, Condition]]"


def _split(profile: Profile, operator: str, value: str) -> Value:
    """Return a value, split at commas if the operator takes a list and the version splits lists."""
    return value.split(",") if profile.splits_lists and operator in {"in", "nin", "finset"} else value


def _last(simple: Simple, complex_: _Triples) -> dict[str, Condition]:
    """Return the last condition of each name as sent."""
    last: dict[str, Condition] = dict(simple)
    last.update({field: {operator: value} for field, operator, value in complex_})
    return last


def _parse_last(simple: Simple, complex_: _Triples, aliases: Mapping[str, str]) -> _Parsed:
    return [(aliases.get(field, field), condition) for field, condition in _last(simple, complex_).items()]


def _parse_each(simple: Simple, complex_: _Triples, aliases: Mapping[str, str]) -> _Parsed:
    pairs: list[tuple[str, Condition]] = [*simple, *((field, {operator: value}) for field, operator, value in complex_)]
    return [(aliases.get(field, field), condition) for field, condition in pairs]


def _parse_creditmemo(simple: Simple, complex_: _Triples, aliases: Mapping[str, str]) -> _Parsed:
    return _map_names({**_last([], complex_), **dict(simple)}, aliases)


def _parse_mapped(simple: Simple, complex_: _Triples, aliases: Mapping[str, str]) -> _Parsed:
    return _map_names(_last(simple, complex_), aliases)


def _parse_merged(simple: Simple, complex_: _Triples, aliases: Mapping[str, str]) -> _Parsed:
    merged: dict[str, Condition] = {}
    for field, operator, value in complex_:
        words = merged.setdefault(field, {})
        if isinstance(words, dict):
            words.setdefault(operator, value)
    return _map_names({**dict(simple), **{f: c for f, c in merged.items() if f not in dict(simple)}}, aliases)


def _nested(profile: Profile, listing: Listing, filters: Php) -> list[tuple[str, Php]]:
    """Return fields and conditions of a call by XML-RPC, which the older versions pass on one by one.

    >>> from magento_pager.fake.lists import LISTINGS
    >>> from magento_pager.fake.profiles import profile
    >>> for name in ("1.4.1.1", "1.7.0.2"):
    ...     _nested(profile(name), LISTINGS["orders"], {"order_id": {"from": 5}, "entity_id": 9})
    [('entity_id', {'from': 5}), ('entity_id', 9)]
    [('entity_id', {'from': 5})]
    """
    entries = _entries(filters) if isinstance(filters, list | dict) else {}
    if listing.eav and any(map(php.is_numeric, entries)):
        # PHP looks the field up as the id of an attribute, which does not exist.
        raise PhpFatal("Call to a member function getAttributeCode() on bool")
    if profile.parsers.get(listing.name, profile.parser) in {Parser.LAST, Parser.EACH}:
        return [(listing.aliases.get(field, field), condition) for field, condition in entries.items()]
    return _map_names(entries, listing.aliases)


def _entries(array: Sequence[Php] | Mapping[str, Any]) -> dict[str, Php]:
    """Return the entries of an array by their keys."""
    return dict(array) if isinstance(array, Mapping) else {str(index): value for index, value in enumerate(array)}


def _map_names(by_name: dict[str, _T], aliases: Mapping[str, str]) -> list[tuple[str, _T]]:
    """Replace the condition on a real name by that on its alias."""
    for field in list(by_name):
        if field in aliases:
            by_name[aliases[field]] = by_name.pop(field)
    return list(by_name.items())


_PARSERS: Mapping[Parser, Callable[[Simple, _Triples, Mapping[str, str]], _Parsed]] = {
    Parser.LAST: _parse_last,
    Parser.EACH: _parse_each,
    Parser.CREDITMEMO: _parse_creditmemo,
    Parser.MAPPED: _parse_mapped,
    Parser.MERGED: _parse_merged,
}


# --- naming the column -----------------------------------------------------------------------------------------------

_ADDRESS_FIELDS = ("firstname", "middlename", "lastname", "telephone", "postcode")

_ORDER_MAP = {
    **{name: f"main_table.{name}" for name in ("entity_id", "customer_id", "quote_address_id")},
    **{f"{kind}_{name}": f"{kind}_o_a.{name}" for kind in ("billing", "shipping") for name in _ADDRESS_FIELDS},
}
"""The names of these fields in the collection of orders, because their bare names would be ambiguous."""


def _column(profile: Profile, listing: Listing, field: str) -> str:
    """Return the name of a column of a sales list in SQL."""
    if listing.joined and field in _ORDER_MAP:
        return _ORDER_MAP[field]
    return quoted_name(field) if profile.quotes_fields else field


def quoted_name(name: str) -> str:
    """Return a name in backticks, part by part.

    >>> quoted_name("main_table.entity_id"), quoted_name("odd`name")
    ('`main_table`.`entity_id`', '`odd``name`')
    """
    return ".".join("`" + part.replace("`", "``") + "`" for part in name.split("."))


def _attribute(profile: Profile, listing: Listing, known: Attributes, field: str, joined: dict[str, str]) -> str:
    """Return the SQL name of an attribute of customers or products; add one with a table of its own to `joined`."""
    code = field.lower()
    if field in known.exact or code in known.static:
        return quoted_name(f"e.{field}")
    if code in known.joined:
        alias = f"at_{field}"
        joined[alias] = code
        return f"{alias}.value"
    if profile.unknown_attribute_kills:
        raise PhpFatal("Call to a member function getBackend() on a non-object")
    text = "Unknown Error" if listing.filter_fault == "0" else f"Invalid attribute name: {field}"
    raise ShopFault(listing.filter_fault, text)


# --- building SQL ----------------------------------------------------------------------------------------------------

_TEMPLATES = {
    "eq": "{{fieldName}} = ?",
    "neq": "{{fieldName}} != ?",
    "like": "{{fieldName}} LIKE ?",
    "nlike": "{{fieldName}} NOT LIKE ?",
    "in": "{{fieldName}} IN(?)",
    "nin": "{{fieldName}} NOT IN(?)",
    "is": "{{fieldName}} IS ?",
    "notnull": "{{fieldName}} IS NOT NULL",
    "null": "{{fieldName}} IS NULL",
    "moreq": "{{fieldName}} >= ?",
    "gt": "{{fieldName}} > ?",
    "lt": "{{fieldName}} < ?",
    "gteq": "{{fieldName}} >= ?",
    "lteq": "{{fieldName}} <= ?",
    "finset": "FIND_IN_SET(?, {{fieldName}})",
    "regexp": "{{fieldName}} REGEXP ?",
    "from": "{{fieldName}} >= ?",
    "to": "{{fieldName}} <= ?",
}

_ESCAPES = str.maketrans(
    {"\0": "\\0", "\n": "\\n", "\r": "\\r", "\\": "\\\\", "'": "\\'", '"': '\\"', "\x1a": "\\Z"},
)


def quoted(value: Php) -> str:
    r"""Return a value as a MySQL literal, and an array as its members separated by commas.

    >>> print(quoted("it's"), quoted(["1", " 2"]), quoted([]), quoted([7, 7.5, None, True, [8, "x"]]))
    'it\'s' '1', ' 2' NULL 7, 7.5, '', '1', 8, 'x'
    """
    return _listed(value) if value else _literal(value)


def _literal(value: Php) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return php.text(value)
    return "NULL" if isinstance(value, list | dict) else "'" + php.text(value).translate(_ESCAPES) + "'"


def _listed(value: Php) -> str:
    """Return a value as a literal; an empty array inside an array is an empty text."""
    if isinstance(value, list | dict):
        return ", ".join(map(_listed, _entries(value).values()))
    return _literal(value)


@dataclass(frozen=True, slots=True)
class _Raw:
    """SQL instead of a value."""

    sql: str


def _filled(template: str, value: Php | _Raw, column: str) -> str:
    """Return a condition from its template: each `?` becomes the value, and then each placeholder the column."""
    sql = value.sql if isinstance(value, _Raw) else quoted(value.replace("\0", "") if isinstance(value, str) else value)
    return template.replace("?", sql).replace("{{fieldName}}", column)


def _filled_old(template: str, value: Php | _Raw, column: str) -> str:
    """Return a condition as up to 1.5.1: column first, so a `?` in it is replaced, a placeholder in a value is not."""
    sql = value.sql if isinstance(value, _Raw) else quoted(value)
    return template.replace("{{fieldName}}", column).replace("?", sql)


def _built(profile: Profile, column: str, condition: Php | Condition) -> str:
    """Return one condition as SQL."""
    old = profile.builder is Builder.FIXED_ORDER
    filled = _filled_old if old else _filled
    if not isinstance(condition, list | dict):
        return filled(_TEMPLATES["eq"], php.text(condition), column)
    entries = _entries(condition)
    if entries.get("from") is not None or entries.get("to") is not None:
        return _built_range(profile, column, entries, filled)
    # The old builder ignores an operator whose value is NULL.
    words = [word for word, value in entries.items() if word in profile.operators and not (old and value is None)]
    if not words:
        return "(" + " OR ".join(f"({_built(profile, column, value)})" for value in entries.values()) + ")"
    if old:
        words.sort(key=profile.operators.index)
    word, value = words[0], entries[words[0]]
    if word in {"seq", "sneq"}:
        has_value = php.text(value) != ""
        word = {"seq": "eq" if has_value else "null", "sneq": "neq" if has_value else "notnull"}[word]
    return filled(_TEMPLATES[word], value, column)


def _built_range(
    profile: Profile,
    column: str,
    condition: Mapping[str, Php],
    filled: Callable[[str, Php | _Raw, str], str],
) -> str:
    """Return `from` and `to`, or only one of them, as SQL; other operators are lost, except `date`."""
    bounds = {word: _bound(profile, condition, word) for word in ("from", "to") if condition.get(word) is not None}
    parts = [filled(_TEMPLATES[word], value, column) for word, value in bounds.items()]
    if len(parts) > 1 and not profile.mends_from:
        # The upper bound is filled into the finished lower one, so a `?` in the lower value counts as a placeholder.
        return filled(f"{parts[0]} AND {_TEMPLATES['to']}", bounds["to"], column)
    return " AND ".join(parts)


def _bound(profile: Profile, condition: Mapping[str, Php], word: str) -> Php | _Raw:
    """Return the value of `from` or `to`, as a date with `date` or `datetime`. From 1.6 on both keep the time."""
    value, dated = condition[word], not php.is_empty(condition.get("date"))
    if not dated and php.is_empty(condition.get("datetime")):
        return value
    if php.is_empty(value):
        return _Raw("NULL")
    if isinstance(value, list | dict):
        raise PhpFatal("strtotime(): Argument #1 must be of type string, array given")
    return php.date(value, "%Y-%m-%d" if dated and profile.builder is Builder.FIXED_ORDER else "%Y-%m-%d %H:%M:%S")
