"""Wires: the protocols by which a list can be read, and which one `auto` takes.

What lives here: one table of the wires, with the source and the strategies of each, and the comparison of rows that
are known on both. A wire is a source: neither the walk nor an export knows which one it is.

XML-RPC is taken only after the rows of a window came equal by both, and SOAP in its place when it fails. SOAP is the
default, and needed: the session, the address of XML-RPC and what rows declare come from its WSDL.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from magento_pager.errors import RemoteError
from magento_pager.shop.records import fitted
from magento_pager.shop.sources import ListSource, XmlRpcSource, looking_at
from magento_pager.walk.calls import Calls
from magento_pager.walk.flows import WindowRequest, first_piece_with_rows
from magento_pager.walk.limiter import CallLimiter
from magento_pager.walk.names import STRATEGIES
from magento_pager.walk.ranges import IdRange
from magento_pager.walk.reading import Reader
from magento_pager.walk.strategies import (
    KEY,
    Alias,
    InList,
    KeyRange,
    Mapped,
    Prefix,
    Range,
    Regexp,
    SingleFilter,
    Strategy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from magento_pager.lists import ListSpec, Wire
    from magento_pager.shop.connection import Connection
    from magento_pager.walk.flows import Flow, Reply
    from magento_pager.walk.pages import Row, Token
    from magento_pager.walk.paginator import Paginator

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds for which a wire is tried again before the other one is taken."""
RECORDS = 3
"""Rows that are compared with their records, where SOAP brings no rows."""
NO_ROW = "no row came to compare"
FAILED = "rows do not come"
"""How the reason begins where the other wire was tried before."""
ONE_CALL = (
    "parallel auto stays at one call at a time by SOAP, as a shop without WSDL cache would be blocked; use XML-RPC "
    '(--wire xml-rpc, wire="xml-rpc"), or if the shop\'s WSDL cache is on say so (--wsdl-cache, wsdl_cache=True)'
)
LOW_END = IdRange(0, 299)
"""Ids among which rows are looked for first."""
COMPARED = 2
"""Times at most that rows are compared: they may have been changed between two calls."""

log = logging.getLogger(__name__)


def _by_soap(spec: ListSpec) -> tuple[Strategy, ...]:
    key_range = KeyRange() if spec.flat else KeyRange(spec.key, KEY)
    return (key_range, Range(), Alias(), Mapped(spec.key), InList(), Prefix(), Regexp(), SingleFilter())


def _by_xmlrpc(_: ListSpec) -> tuple[Strategy, ...]:
    return (KeyRange(KEY, None), Range(), InList(), Prefix(), Regexp(), SingleFilter())


class WireKind(NamedTuple):
    """What is special about a wire.

    Attributes:
        source: makes the source of a list.
        strategies: those of a list, in order of preference: key ranges first, then scans.
    """

    source: Callable[..., ListSource]
    strategies: Callable[[ListSpec], tuple[Strategy, ...]]


WIRES: Mapping[Wire, WireKind] = {
    "soap": WireKind(ListSource, _by_soap),
    "xml-rpc": WireKind(XmlRpcSource, _by_xmlrpc),
}
"""The wires by name."""


def strategy_for(strategy: str | Strategy, spec: ListSpec, wire: Wire = "soap") -> Strategy | None:
    """Return the strategy of that name for a list, None for "auto"; an object of the user's own is taken as it is.

    Raises:
        ValueError: an unknown name, or one that this wire has not.
    """
    if not isinstance(strategy, str):
        return strategy
    if strategy not in STRATEGIES:
        raise ValueError(f"there is no strategy {strategy!r}; the strategies are {', '.join(STRATEGIES)}")
    by_name = {known.name: known for known in WIRES[wire].strategies(spec)}
    if strategy != "auto" and strategy not in by_name:
        raise ValueError(f"the strategy {strategy} is for SOAP; by XML-RPC there are auto, {', '.join(by_name)}")
    return by_name.get(strategy)


def attributes(
    wire: Wire,
    connection: Connection,
    spec: ListSpec,
    *,
    strategy: str | Strategy,
    repair: bool,
    all_columns: bool,
    parallel: int | str,
    wsdl_cache: bool,
) -> dict[str, Any]:
    """Return the attributes that a paginator of a list has by a wire, from the options of `Pager.list`.

    By SOAP, `parallel="auto"` is one call at a time unless the shop keeps its WSDL. Seen on a live OpenMage: with two
    workers and no WSDL cache, two calls at once blocked the shop for a minute.
    """
    more = {"all_columns": all_columns} if wire == "xml-rpc" else {}
    source = WIRES[wire].source(connection, spec, **more)
    return {
        "source": source,
        "repairing": replace(source, repair=True) if repair else None,
        "strategy": strategy_for(strategy, spec, wire),
        "candidates": WIRES[wire].strategies(spec),
        "parallel": 1 if wire == "soap" and parallel == "auto" and not wsdl_cache else parallel,
    }


def warn_of_one_call(asked: int | str, allowed: int | str) -> None:
    """Warn where `parallel="auto"` stays at one call at a time."""
    if asked == "auto" and allowed == 1:
        warnings.warn(ONE_CALL, stacklevel=3)


class Wires:
    """Chooses the wire of a paginator, once something is to be asked: a `WireChoice`.

    Attributes:
        wire: the one that was taken last; None as long as none was.
        why: in words, why it is this one and not the other; empty where there is nothing to say.
    """

    def __init__(
        self, spec: ListSpec, by: Mapping[Wire, Mapping[str, Any]], compared: dict[str, tuple[Wire, str]]
    ) -> None:
        """Get ready; nothing is asked before the first `begin`.

        Args:
            spec: the list.
            by: the attributes of a paginator by each wire.
            compared: what comparisons of the wires came to, by list; it is added to.
        """
        self.wire: Wire | None = None
        self.why = ""
        self._calls = 0
        self._spec, self._by, self._compared = spec, by, compared

    def begin(self, asked: Paginator) -> Paginator:
        """Return a paginator by the wire to begin with.

        Raises:
            RemoteError: no row comes by SOAP, and XML-RPC cannot take its place.
        """
        if self._spec.cheaper == "soap":
            return self._taken(asked, "soap", "it costs the shop less than XML-RPC")
        name = self._spec.name
        if name not in self._compared:
            try:
                alike, words = self.comparison(asked)
            except RemoteError as error:
                other = self._by_xmlrpc(asked, error)
                if other is None:
                    raise
                return other
            more = "; it costs the shop less than SOAP" if alike else ""
            self._compared[name] = ("xml-rpc" if alike else "soap"), words + more
        return self._taken(asked, *self._compared[name])

    def instead(self, asked: Paginator, failed: Paginator, error: RemoteError) -> Paginator | None:
        """Return a paginator by the other wire than one that failed; None where that cannot be trusted."""
        if failed.source is self._by["xml-rpc"]["source"]:
            return self._taken(asked, "soap", f"{FAILED} by XML-RPC: {error}")
        return self._by_xmlrpc(asked, error)

    def _by_xmlrpc(self, asked: Paginator, error: RemoteError) -> Paginator | None:
        """Return a paginator by XML-RPC, as rows do not come by SOAP; None where its own cannot be trusted."""
        alike, words = self.comparison_of_records(asked)
        if not alike:
            log.info("%s: %s", self._spec.path, words)
            return None
        return self._taken(asked, "xml-rpc", f"{FAILED} by SOAP: {error}; {words}")

    def cost(self) -> int:
        """Return how many calls were made to choose since this was asked last."""
        calls, self._calls = self._calls, 0
        return calls

    def used(self) -> dict[str, Any]:
        """Return what a report says of the wire, see `ListSource.used`."""
        used = self._by[self.wire or "soap"]["source"].used()
        return {**used, "wire": self.wire, "wire_reason": self.why or None}

    def _taken(self, asked: Paginator, wire: Wire, why: str) -> Paginator:
        self.wire, self.why = wire, why
        warn_of_one_call(self._by["xml-rpc"]["parallel"], self._by[wire]["parallel"])
        log.info("%s: by %s%s", self._spec.operation, wire, why and f": {why}")
        return replace(asked, wires=None, **self._by[wire])

    def comparison(self, asked: Paginator) -> tuple[bool, str]:
        """Compare all rows of a range by both wires: whether they are alike, and the evidence in words.

        Raises:
            RemoteError: none comes by SOAP.
        """
        window, expected = self._first_rows(asked, "soap")
        if not expected:
            return False, NO_ROW
        words = ""
        for _ in range(COMPARED):
            try:
                found = self._rows(asked, "xml-rpc", window)
            except RemoteError as error:
                return False, f"XML-RPC fails: {error}"
            words = difference(expected, found)
            if not words:
                return True, f"{len(found)} rows of ids {window} came alike by both"
            expected = self._rows(asked, "soap", window)
        return False, words

    def comparison_of_records(self, asked: Paginator) -> tuple[bool, str]:
        """Compare the first rows by XML-RPC with their records by SOAP, where its lists fail, likewise."""
        connection, part = self._by["xml-rpc"]["source"].connection, self._spec.record
        if part is None:
            return False, "there are no records to compare with"
        operation, name = (part.row, self._spec.key) if part.row else (part.soap, part.key)
        try:
            rows = [row for row in self._first_rows(asked, "xml-rpc")[1].values() if name in row][:RECORDS]
            for row in rows:
                self._calls += 1
                record = connection.record(operation, row[name], right=self._spec.right)
                record = fitted(record, connection.record_shape(operation), tells_empty=connection.tells_empty)
                both = record.keys() & row.keys() - self._spec.nested
                if name not in both:
                    return False, f"the record of {name} {row[name]} by SOAP does not say which it is"
                expected, found = ({row[name]: {one: of[one] for one in both}} for of in (record, row))
                if words := difference(expected, found):
                    return False, words
        except RemoteError as error:
            return False, f"XML-RPC cannot take its place: {error}"
        return bool(rows), f"{len(rows)} rows came as in their records by SOAP" if rows else NO_ROW

    def _first_rows(self, asked: Paginator, wire: Wire) -> tuple[IdRange, Mapping[Token, Row]]:
        """Find all rows of a range at the low end of the ids, in one call where they begin there."""
        with suppress(RemoteError):
            if rows := self._rows(asked, wire, LOW_END):
                return LOW_END, rows
        piece = self._asked(asked, wire, first_piece_with_rows(looking_at(self._spec)))
        return (piece.window, dict(piece.rows)) if piece else (LOW_END, {})

    def _rows(self, asked: Paginator, wire: Wire, window: IdRange) -> Mapping[Token, Row]:
        """Return all rows of a range at the low end of the ids, by what each is known by."""

        def rows() -> Flow[Reply]:
            return (yield WindowRequest(self._by[wire]["candidates"][0], window))

        return dict(self._asked(asked, wire, rows()).rows)

    def _asked(self, asked: Paginator, wire: Wire, flow: Flow[T]) -> T:
        """Return what a flow ends with that asks by one wire."""
        source = self._by[wire]["source"]
        source = source if wire == "soap" else replace(source, all_columns=False)
        reader = Reader(source, self._spec.key, self._spec.identity, self._spec.operation)
        calls = Calls(reader, PATIENCE, CallLimiter(1, asked.nice, asked.calls_under_way))
        try:
            return calls.result(flow)
        finally:
            self._calls += calls.spent


def difference(expected: Mapping[Token, Row], found: Mapping[Token, Row]) -> str:
    """Return in words how rows by XML-RPC differ from those by SOAP; empty where they do not.

    >>> difference({7: {"order_id": "7"}}, {7: {"order_id": "7"}})
    ''
    >>> difference({7: {"order_id": "7", "status": "new"}}, {7: {"order_id": "7"}})
    "XML-RPC gives no 'status' for row 7, and SOAP does"
    """
    for token, row in expected.items():
        if token not in found:
            return f"XML-RPC leaves row {token} out, and SOAP does not"
        other = found[token]
        for name in dict.fromkeys((*row, *other)):
            if row.get(name) == other.get(name):
                continue
            if name not in other:
                return f"XML-RPC gives no {name!r} for row {token}, and SOAP does"
            return f"XML-RPC gives another {name!r} for row {token} than SOAP"
    more = found.keys() - expected.keys()
    return f"SOAP leaves row {min(more, key=str)} out, and XML-RPC does not" if more else ""
