"""Wires: the protocols by which a list can be read, and the choice between them for `auto`.

What lives here: one table of the protocols (`wire`), with the source and the strategies of each, and the comparison of
rows read by both. A protocol is a source: neither the walk nor an export knows which one it is.

XML-RPC is chosen only after the rows of a window were equal by both, and SOAP replaces it if it fails. SOAP is the
default and always needed: its WSDL provides the address of XML-RPC and the declared columns, and its login the session.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from magento_pager.errors import RemoteError
from magento_pager.shop.records import as_declared
from magento_pager.shop.sources import ListSource, XmlRpcSource, search_rows
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
"""Seconds for which a protocol is retried before the other one is chosen."""
RECORDS = 3
"""Rows that are compared with their records, if SOAP returns no rows."""
NO_ROW = "there was no row to compare"
FAILED = "rows cannot be read"
"""How the reason begins if the other protocol was tried before."""
ONE_CALL = (
    "parallel auto stays at one call at a time by SOAP, because more would block a shop without WSDL cache. Use "
    'XML-RPC (--wire xml-rpc, wire="xml-rpc"), or --wsdl-cache (wsdl_cache=True) if the shop\'s WSDL cache is on'
)
LOW_END = IdRange(0, 299)
"""The ids that are searched for rows first."""
COMPARED = 2
"""How often rows are compared at most, because they may have changed between two calls."""

log = logging.getLogger(__name__)


def _by_soap(spec: ListSpec) -> tuple[Strategy, ...]:
    key_range = KeyRange() if spec.flat else KeyRange(spec.key, KEY)
    return (key_range, Range(), Alias(), Mapped(spec.key), InList(), Prefix(), Regexp(), SingleFilter())


def _by_xmlrpc(_: ListSpec) -> tuple[Strategy, ...]:
    return (KeyRange(KEY, None), Range(), InList(), Prefix(), Regexp(), SingleFilter())


class WireKind(NamedTuple):
    """What differs between protocols.

    Attributes:
        source: makes the source of a list.
        strategies: of a list, in order of preference: key ranges first, then scans.
    """

    source: Callable[..., ListSource]
    strategies: Callable[[ListSpec], tuple[Strategy, ...]]


WIRES: Mapping[Wire, WireKind] = {
    "soap": WireKind(ListSource, _by_soap),
    "xml-rpc": WireKind(XmlRpcSource, _by_xmlrpc),
}
"""The protocols by name."""


def strategy_for(strategy: str | Strategy, spec: ListSpec, wire: Wire = "soap") -> Strategy | None:
    """Return the strategy of that name for a list, None for "auto"; a custom object is returned as it is.

    Raises:
        ValueError: an unknown name, or one that this protocol does not have.
    """
    if not isinstance(strategy, str):
        return strategy
    if strategy not in STRATEGIES:
        raise ValueError(f"there is no strategy {strategy!r}; the strategies are {', '.join(STRATEGIES)}")
    by_name = {known.name: known for known in WIRES[wire].strategies(spec)}
    if strategy != "auto" and strategy not in by_name:
        raise ValueError(f"the strategy {strategy} is for SOAP; by XML-RPC there are auto, {', '.join(by_name)}")
    return by_name.get(strategy)


def paginator_options(
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
    """Return the options of a paginator that depend on the protocol, from the options of `Pager.list`.

    By SOAP, `parallel="auto"` is one call at a time unless the shop caches its WSDL. Seen on a live OpenMage: with two
    workers and no WSDL cache, two concurrent calls blocked the shop for a minute.
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


def warn_of_one_call(requested: int | str, allowed: int | str) -> None:
    """Warn if `parallel="auto"` stays at one call at a time."""
    if requested == "auto" and allowed == 1:
        warnings.warn(ONE_CALL, stacklevel=3)


class Wires:
    """Chooses the protocol of a paginator before its first call: a `WireChoice`.

    Attributes:
        wire: the last choice; None before the first.
        why: the reason for that choice as text; empty if there is none.
    """

    def __init__(
        self, spec: ListSpec, options: Mapping[Wire, Mapping[str, Any]], compared: dict[str, tuple[Wire, str]]
    ) -> None:
        """Prepare the choice; nothing is sent before the first `begin`.

        Args:
            spec: the list.
            options: of a paginator, by protocol.
            compared: the result of each comparison and its reason, by list; this choice adds its own.
        """
        self.wire: Wire | None = None
        self.why = ""
        self._calls = 0
        self._spec, self._options, self._compared = spec, options, compared

    def begin(self, paginator: Paginator) -> Paginator:
        """Return a paginator by the protocol to begin with.

        Raises:
            RemoteError: no row can be read by SOAP, and XML-RPC cannot replace it.
        """
        if self._spec.cheaper == "soap":
            return self._chosen(paginator, "soap", "it costs the shop less than XML-RPC")
        name = self._spec.name
        if name not in self._compared:
            try:
                equal, reason = self.comparison(paginator)
            except RemoteError as error:
                other = self._by_xmlrpc(paginator, error)
                if other is None:
                    raise
                return other
            more = "; it costs the shop less than SOAP" if equal else ""
            self._compared[name] = ("xml-rpc" if equal else "soap"), reason + more
        return self._chosen(paginator, *self._compared[name])

    def instead(self, paginator: Paginator, failed: Paginator, error: RemoteError) -> Paginator | None:
        """Return a paginator by the other protocol after one failed; None if the other one cannot be trusted."""
        if failed.source is self._options["xml-rpc"]["source"]:
            return self._chosen(paginator, "soap", f"{FAILED} by XML-RPC: {error}")
        return self._by_xmlrpc(paginator, error)

    def _by_xmlrpc(self, paginator: Paginator, error: RemoteError) -> Paginator | None:
        """Return a paginator by XML-RPC because SOAP failed; None if its rows cannot be trusted."""
        equal, reason = self.comparison_of_records(paginator)
        if not equal:
            log.info("%s: %s", self._spec.path, reason)
            return None
        return self._chosen(paginator, "xml-rpc", f"{FAILED} by SOAP: {error}; {reason}")

    def cost(self) -> int:
        """Return how many calls were made to choose since the last time this was called."""
        calls, self._calls = self._calls, 0
        return calls

    def used(self) -> dict[str, Any]:
        """Return the report's entries about the protocol, see `ListSource.used`."""
        used = self._options[self.wire or "soap"]["source"].used()
        return {**used, "wire": self.wire, "wire_reason": self.why or None}

    def _chosen(self, paginator: Paginator, wire: Wire, why: str) -> Paginator:
        self.wire, self.why = wire, why
        warn_of_one_call(self._options["xml-rpc"]["parallel"], self._options[wire]["parallel"])
        log.info("%s: by %s%s", self._spec.operation, wire, why and f": {why}")
        return replace(paginator, wires=None, **self._options[wire])

    def comparison(self, paginator: Paginator) -> tuple[bool, str]:
        """Compare all rows of a range by both protocols; return whether they are equal, and the evidence as text.

        Raises:
            RemoteError: no row can be read by SOAP.
        """
        window, expected = self._first_rows(paginator, "soap")
        if not expected:
            return False, NO_ROW
        reason = ""
        for _ in range(COMPARED):
            try:
                rows = self._rows(paginator, "xml-rpc", window)
            except RemoteError as error:
                return False, f"XML-RPC fails: {error}"
            reason = difference(expected, rows)
            if not reason:
                return True, f"{len(rows)} rows of ids {window} were equal by both"
            expected = self._rows(paginator, "soap", window)
        return False, reason

    def comparison_of_records(self, paginator: Paginator) -> tuple[bool, str]:
        """Compare the first rows by XML-RPC with their records by SOAP, because lists fail by SOAP."""
        connection, part = self._options["xml-rpc"]["source"].connection, self._spec.record
        if part is None:
            return False, "there are no records to compare with"
        operation, name = (part.row, self._spec.key) if part.row else (part.soap, part.key)
        try:
            rows = [row for row in self._first_rows(paginator, "xml-rpc")[1].values() if name in row][:RECORDS]
            for row in rows:
                self._calls += 1
                record = connection.record(operation, row[name], right=self._spec.right)
                record = as_declared(record, connection.record_shape(operation), tells_empty=connection.tells_empty)
                both = record.keys() & row.keys() - self._spec.nested
                if name not in both:
                    return False, f"the record of {name} {row[name]} by SOAP does not contain its {name}"
                by_soap, by_xmlrpc = ({row[name]: {field: values[field] for field in both}} for values in (record, row))
                if reason := difference(by_soap, by_xmlrpc):
                    return False, reason
        except RemoteError as error:
            return False, f"XML-RPC cannot replace it: {error}"
        return bool(rows), f"{len(rows)} rows were equal to their records by SOAP" if rows else NO_ROW

    def _first_rows(self, paginator: Paginator, wire: Wire) -> tuple[IdRange, Mapping[Token, Row]]:
        """Return all rows of a range at the low end of the ids, in one call if they begin there."""
        with suppress(RemoteError):
            if rows := self._rows(paginator, wire, LOW_END):
                return LOW_END, rows
        piece = self._result(paginator, wire, first_piece_with_rows(search_rows(self._spec)))
        return (piece.window, dict(piece.rows)) if piece else (LOW_END, {})

    def _rows(self, paginator: Paginator, wire: Wire, window: IdRange) -> Mapping[Token, Row]:
        """Return all rows of a range at the low end of the ids, by identifier."""

        def rows() -> Flow[Reply]:
            return (yield WindowRequest(self._options[wire]["candidates"][0], window))

        return dict(self._result(paginator, wire, rows()).rows)

    def _result(self, paginator: Paginator, wire: Wire, flow: Flow[T]) -> T:
        """Return the result of a flow whose requests are sent by one protocol."""
        source = self._options[wire]["source"]
        source = source if wire == "soap" else replace(source, all_columns=False)
        reader = Reader(source, self._spec.key, self._spec.identity, self._spec.operation)
        calls = Calls(reader, PATIENCE, CallLimiter(1, paginator.nice, paginator.calls_under_way))
        try:
            return calls.result(flow)
        finally:
            self._calls += calls.spent


def difference(by_soap: Mapping[Token, Row], by_xmlrpc: Mapping[Token, Row]) -> str:
    """Return as text how rows by XML-RPC differ from those by SOAP; empty if they do not.

    >>> difference({7: {"order_id": "7"}}, {7: {"order_id": "7"}})
    ''
    >>> difference({7: {"order_id": "7", "status": "new"}}, {7: {"order_id": "7"}})
    "XML-RPC returns no 'status' for row 7, and SOAP does"
    """
    for token, row in by_soap.items():
        if token not in by_xmlrpc:
            return f"XML-RPC omits row {token}, and SOAP does not"
        other = by_xmlrpc[token]
        for name in dict.fromkeys((*row, *other)):
            if row.get(name) == other.get(name):
                continue
            if name not in other:
                return f"XML-RPC returns no {name!r} for row {token}, and SOAP does"
            return f"XML-RPC returns another {name!r} for row {token} than SOAP"
    more = by_xmlrpc.keys() - by_soap.keys()
    return f"SOAP omits row {min(more, key=str)}, and XML-RPC does not" if more else ""
