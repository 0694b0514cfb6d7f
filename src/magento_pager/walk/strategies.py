"""Strategies: ways to request a window of ids from a server that honours few filters.

What lives here: one small frozen class per strategy, which turns a window into queries. Nothing here knows the
network, or how wide a window should be.

For each query, a strategy states the *span* in which every row must lie, so that a dropped condition is noticed. Where
missing rows could go unnoticed, it adds a *canary*: the id of a row known to exist, put last, that must be returned.
Which server honours which conditions was observed on running servers (docs: filters by version).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from magento_pager.lists import LISTS, list_of
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.regexps import ids_regexp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEY = "entity_id"
"""The filter field of the key: every version accepts it for all six lists, whatever its name in rows."""

WITHOUT_WSI = "switch WS-I off (System, Configuration, Magento Core API, WS-I Compliance)"
"""The advice for a shop whose WS-I breaks every filter."""

WIDEST_BY_DEFAULT = 10_000  # ids in a window, for a strategy without `widest`

INTEGER_KEYS = frozenset({KEY, "main_table.entity_id"} | {spec.key for spec in LISTS.values()})
"""Names of the lists' key in filters. Any other field may hold text, in which `.` is not always a digit."""


@runtime_checkable
class Strategy(Protocol):
    """Turns a window into queries whose spans cover it.

    Any object with a name and this method is a strategy; it needs no registration. Two optional attributes are read:
    `widest` (the most ids in one window; 10,000 by default) and `needs_canary` (True where a reply without a known id
    proves nothing; False by default).

    >>> [str(query) for query in Range().queries(IdRange(0, 9), None)]
    ["entity_id from '0' and entity_id to '9'"]
    """

    @property
    def name(self) -> str:
        """The strategy's name in the report."""

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:
        """Return the queries for `window`.

        Args:
            window: the ids to request, inclusive.
            known: the id of a row known to exist, inside the window or not; None where none is known.
        """


def widest(strategy: Strategy) -> int:
    """Return the most ids that a strategy requests in one window.

    >>> widest(InList()), widest(Prefix())
    (10000, 4294967296)
    """
    return getattr(strategy, "widest", WIDEST_BY_DEFAULT)


def needs_canary(strategy: Strategy) -> bool:
    """Return whether a reply without a known id proves nothing.

    >>> needs_canary(InList()), needs_canary(Range())
    (True, False)
    """
    return getattr(strategy, "needs_canary", False)


def is_decimal(strategy: Strategy) -> bool:
    """Return whether a strategy requests decimal blocks, so that its windows should be blocks.

    >>> is_decimal(Prefix()), is_decimal(Range())
    (True, False)
    """
    return getattr(strategy, "decimal", False)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Both bounds on the key, and the lower bound again on another name of the key: a key range on every version.

    Where the server combines `from` and `to` on one field, the third condition repeats the first. Where it keeps the
    last condition on a field, that is `to`, and the third carries the lower bound. Where it applies all, all hold. Only
    customers and products of Magento 1.7.0.1 and 1.7.0.2 lose the lower bound, because both names are the same there.

    Attributes:
        field: the name of the key. Where a server treats both names as one, the condition on this one must survive.
        other: a second name of the key; None where the server takes both bounds as one condition, as by XML-RPC.
    """

    field: str = KEY
    other: str | None = "main_table.entity_id"
    name: str = "key-range"
    widest: int = MAX_ID + 1

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  the span shows a dropped bound
        """Return one query.

        >>> str(next(KeyRange().queries(IdRange(100, 199), None)))
        "entity_id from '100' and entity_id to '199' and main_table.entity_id from '100'"
        """
        between = _between(self.field, self.field, window)
        repeated = () if self.other is None else (Condition(self.other, "from", str(window.first)),)
        yield replace(between, conditions=(*between.conditions, *repeated))


@dataclass(frozen=True, slots=True)
class Range:
    """`from` and `to` on the key: a key range, exact on Magento 1.8 and newer for all six lists."""

    key: str = KEY
    name: str = "range"
    widest: int = MAX_ID + 1

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  the span shows a dropped bound
        """Return one query.

        >>> [str(query) for query in Range().queries(IdRange(100, 199), None)]
        ["entity_id from '100' and entity_id to '199'"]
        """
        yield _between(self.key, self.key, window)


@dataclass(frozen=True, slots=True)
class Alias:
    """`from` on the key, `to` on its qualified name: a key range on flat tables, which the four sales lists have."""

    key: str = KEY
    alias: str = "main_table.entity_id"
    name: str = "alias"
    widest: int = MAX_ID + 1

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  as in Range
        """Return one query.

        >>> [str(query) for query in Alias().queries(IdRange(100, 199), None)]
        ["entity_id from '100' and main_table.entity_id to '199'"]
        """
        yield _between(self.key, self.alias, window)


@dataclass(frozen=True, slots=True)
class Mapped:
    """`from` on the key, `to` on its name in rows: exact up to Magento 1.7.0.0.

    From 1.7.0.1 on both names are one field, and only the condition on the mapped name survives. It must therefore be
    the *upper* bound: at the low end of the ids, a reply without the lower bound has few rows too many.

    Attributes:
        mapped: the name of the key in rows: customer_id, product_id, order_id, ...
    """

    mapped: str
    key: str = KEY
    name: str = "mapped"
    widest: int = MAX_ID + 1

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  as in Range
        """Return one query.

        >>> [str(query) for query in Mapped("customer_id").queries(IdRange(100, 199), None)]
        ["entity_id from '100' and customer_id to '199'"]
        """
        yield _between(self.key, self.mapped, window)


@dataclass(frozen=True, slots=True)
class InList:
    """Every id of the window in one `in` list: a key range on Magento 1.7.0.1 and newer.

    Older servers do not split the list and answer with its first id alone. The canary, put last, reveals that.

    Attributes:
        widest: most ids in one list. 10,000 ids of ten digits are 110 kB, well under the usual body limit of 1 MB.
    """

    key: str = KEY
    name: str = "in-list"
    widest: int = 10_000
    needs_canary: bool = True

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:
        """Return one query for each `widest` ids.

        >>> [str(query) for query in InList().queries(IdRange(5, 7), 3)]
        ["entity_id in '5,6,7,3'"]

        A canary inside the window goes last as well: as the first id it would prove nothing.

        >>> [str(query) for query in InList().queries(IdRange(5, 7), 5)]
        ["entity_id in '6,7,5'"]
        """
        for part in window.tile(self.widest) if len(window) > self.widest else (window,):
            ids = [number for number in part if number != known]
            if known is not None:
                ids.append(known)
            yield Query((Condition(self.key, "in", ",".join(map(str, ids))),), part, known)


@dataclass(frozen=True, slots=True)
class Prefix:
    """`like` with a fixed prefix, one query per decimal block: exact on every version and list. Scans the table."""

    key: str = KEY
    name: str = "prefix"
    widest: int = MAX_ID + 1
    decimal: bool = True

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  every server honours `like`
        """Return one query per decimal block.

        >>> [str(query) for query in Prefix().queries(IdRange(90, 199), None)]
        ["entity_id like '9_'", "entity_id like '1__'"]

        All ids of one length are a block too, so that gaps are skipped in few calls. No id has more than ten digits,
        so the last block may be requested whole.

        >>> [str(query) for query in Prefix().queries(IdRange(100_000, MAX_ID), None)][0::2]
        ["entity_id like '______'", "entity_id like '________'", "entity_id like '__________'"]
        """
        last = 9_999_999_999 if window.last == MAX_ID else window.last
        for block in IdRange(window.first, last).blocks():
            if block.first <= window.last:
                span = IdRange(block.first, min(block.last, MAX_ID))
                yield Query((Condition(self.key, "like", like_pattern(block)),), span)


@dataclass(frozen=True, slots=True)
class Regexp:
    """The shortest `regexp` of the window and its canary: Magento 1.6 and newer; each query scans the table.

    The pattern is strict unless the key is one of `INTEGER_KEYS`.

    Older servers compare the key with the text of the pattern and find nothing. The canary reveals that.
    """

    key: str = KEY
    name: str = "regexp"
    widest: int = MAX_ID + 1
    needs_canary: bool = True
    decimal: bool = True

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:
        """Return one query.

        >>> [str(query) for query in Regexp().queries(IdRange(100, 199), None)]
        ["entity_id regexp '^1..$'"]
        >>> [str(query) for query in Regexp("document_no").queries(IdRange(100, 199), None)]
        ["document_no regexp '^1[0-9]{2}$'"]
        """
        ids = [window] if known is None or known in window else [window, IdRange(known, known)]
        pattern = ids_regexp(ids, strict=self.key not in INTEGER_KEYS)
        yield Query((Condition(self.key, "regexp", pattern),), window, known)


@dataclass(frozen=True, slots=True)
class SingleFilter:
    """One bound alone: works on every version and list, but each reply has all higher ids; the client trims it.

    A window that begins at id 0 needs no lower bound: its upper bound is enough.
    """

    key: str = KEY
    name: str = "single-filter"
    widest: int = MAX_ID + 1

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  one bound cannot be dropped
        """Return one query, whose span is everything from the window's first id on, or up to its last.

        >>> next(SingleFilter().queries(IdRange(100, 199), None))
        Query(conditions=(Condition(field='entity_id', operator='gteq', value='100'),), \
span=IdRange(first=100, last=4294967295), canary=None)
        >>> str(next(SingleFilter().queries(IdRange(0, 199), None)))
        "entity_id to '199'"
        """
        if window.first == 0 and window.last < MAX_ID:
            yield Query((Condition(self.key, "to", str(window.last)),), window)
        else:
            span = IdRange(window.first, max(window.last, MAX_ID))
            yield Query((Condition(self.key, "gteq", str(window.first)),), span)


def equivalent_ranges(candidates: Iterable[Strategy]) -> tuple[Strategy, ...]:
    """Return strategies with an equivalent query that scans no table, in order of preference.

    >>> [found.name for found in equivalent_ranges([KeyRange(), Range(), Alias(), InList(), Prefix()])]
    ['in-list', 'alias']
    >>> equivalent_ranges([KeyRange("customer_id", KEY), Alias(), Mapped("customer_id")])[0].name
    'mapped'
    """
    known = list(candidates)
    flat = any(isinstance(strategy, KeyRange) and strategy.other == Alias().alias for strategy in known)
    kinds = (InList, Alias if flat else Mapped)  # an alias may fault on other tables
    return tuple(strategy for kind in kinds for strategy in known if isinstance(strategy, kind))


def strategy_advice(operation: str) -> str:
    """Return the advice for a list on which a strategy fails.

    >>> strategy_advice("salesOrderList"), strategy_advice("ListDocuments")
    ('use another strategy (prefix works on every version)', 'use a strategy whose conditions this server honours')
    """
    if list_of(operation) is None:
        return "use a strategy whose conditions this server honours"
    return "use another strategy (prefix works on every version)"


def like_pattern(block: IdRange) -> str:
    """Return the `like` pattern of a decimal block: its fixed digits, then one `_` for each free digit.

    Raises:
        ValueError: the range is not a decimal block.

    >>> like_pattern(IdRange(1200, 1299)), like_pattern(IdRange(7, 7)), like_pattern(IdRange(10, 99))
    ('12__', '7', '__')
    """
    if next(block.blocks()) != block:
        raise ValueError(f"{block} is not a decimal block: split it with IdRange.blocks()")
    first, last = str(block.first), str(block.last)
    return "".join(low if low == high else "_" for low, high in zip(first, last, strict=True))


def _between(lower: str, upper: str, window: IdRange) -> Query:
    conditions = (Condition(lower, "from", str(window.first)), Condition(upper, "to", str(window.last)))
    return Query(conditions, window)
