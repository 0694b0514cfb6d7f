"""A list of a shop as the walk wants it: a `Source`, by either wire.

What lives here: the seam between a walk and a connection. By XML-RPC that is how conditions are put as nested filters,
and how its rows, which have every column that the shop has, get the form of those of SOAP.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from magento_pager.errors import FilterIgnoredError, MalformedReplyError, RemoteError
from magento_pager.shop.decoding import ANYTHING, Leaf, is_list
from magento_pager.shop.failures import LostListError
from magento_pager.shop.origins import canonical_url, redacted_url
from magento_pager.shop.records import fitted
from magento_pager.walk.conditions import OPERATORS
from magento_pager.walk.strategies import KEY, Prefix
from magento_pager.walk.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from magento_pager.lists import ListSpec
    from magento_pager.shop.connection import Connection
    from magento_pager.shop.decoding import Struct
    from magento_pager.shop.xmlrpc import Argument
    from magento_pager.walk.conditions import Condition, Query
    from magento_pager.walk.flows import Flow
    from magento_pager.walk.pages import Row
    from magento_pager.walk.ranges import IdRange

LISTED = frozenset({"in", "nin"})
"""Operators whose operands go as an array: a server takes a text with commas for the first of them."""
BARE = frozenset({"null", "notnull"})
"""Operators that compare with nothing."""
STRING = "{http://www.w3.org/2001/XMLSchema}string"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListSource:
    """One list of one shop, by SOAP: a `Source` for a `Paginator`.

    Attributes:
        connection: to the shop.
        spec: the list.
        repair: take characters that XML forbids out of replies before they are read, as strictly as ever; what that
            was is counted by the connection's `characters_removed`.
    """

    connection: Connection
    spec: ListSpec
    repair: bool = False

    def used(self) -> dict[str, Any]:
        """Return what a report says of the wire: its name, why it was taken, and columns that no WSDL declares."""
        return {"wire": "soap", "wire_reason": None, "undeclared_columns": []}

    @property
    def bytes_received(self) -> int:
        """Of all replies to lists so far, unpacked; a plan reads it."""
        return self.connection.bytes_received

    @property
    def shop(self) -> str:
        """Where calls go, without user, password and query."""
        return self.connection.alias or redacted_url(canonical_url(self.connection.address))

    @property
    def url(self) -> str:
        """The shop's address as it was given, likewise."""
        return self.connection.alias or self.connection.url

    @property
    def clock(self) -> datetime | None:
        """The time that the last answer said it was there; None where it said none."""
        return self.connection.clock

    def refused(self, error: RemoteError) -> None:
        """Save the last reply of this thread, where replies are saved: its rows are refused."""
        self.connection.refused(error)

    def fetch(self, query: Query) -> Generator[Row]:
        """Return the rows of one call."""
        declared = self.connection.row_shape(self.spec)
        lists = [name for name in declared.required if is_list(declared.fields[name])]
        rows = self.connection.rows(self.spec, query.conditions, repair=self.repair)
        return self._with_lists(rows, lists) if lists and not self.connection.keeps_lists else rows

    def _with_lists(self, rows: Iterable[Row], lists: Sequence[str]) -> Generator[Row]:
        """Yield rows as they come; an error where the lists inside them were lost.

        In WS-I a list of ids that Magento 1.9.3.0 lost looks like an empty one. Where no product of a reply has one,
        the record of the last tells: in records that version keeps lists of ids. `lists` are the fields of a row that
        are lists, and required: those of products.
        """
        row: Row | None = None
        for row in rows:
            self.connection.keeps_lists = self.connection.keeps_lists or any(row.get(name) for name in lists)
            yield row
        if row is not None and not self.connection.keeps_lists:
            self._check_record_of(row, lists)

    def _check_record_of(self, row: Row, lists: Sequence[str]) -> None:
        operation, part = self.spec.operation, self.spec.record
        if part is None:
            return
        try:
            record = self.connection.record(part.soap, row[self.spec.key], right=part.right)
        except LostListError:
            raise
        except RemoteError as error:
            log.warning("%s: whether the lists in its rows are lost cannot be told: %s", operation, error)
            return
        if any(record.get(name) for name in (*lists, "categories", "websites")):
            raise LostListError(operation, f"<{'> and <'.join(sorted(lists))}> came empty, but not in records")


@dataclass(frozen=True, slots=True)
class XmlRpcSource(ListSource):
    """One list of one shop, by XML-RPC, in the session of SOAP. Rows have the form of those of SOAP.

    Attributes:
        all_columns: keep the columns that the WSDL does not declare, as text; and an empty text where a server's SOAP
            does not tell it from NULL.
        undeclared: the names of the columns that came and that the WSDL does not declare, NULL or not.
    """

    all_columns: bool = False
    undeclared: set[str] = field(default_factory=set, compare=False)

    def used(self) -> dict[str, Any]:
        """Return what a report says of the wire, see `ListSource.used`."""
        return {"wire": "xml-rpc", "wire_reason": None, "undeclared_columns": sorted(self.undeclared)}

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of one call."""
        filters = nested(query.conditions, self.spec.path, query.span)
        declared = self.connection.row_shape(self.spec)
        texts = {name for name, one in declared.fields.items() if isinstance(one, Leaf) and one.type == STRING}
        for row in self.connection.xmlrpc_rows(self.spec, filters, repair=self.repair):
            yield self._fitted(row, declared, texts)

    def _fitted(self, row: Row, declared: Struct, texts: AbstractSet[str]) -> Row:
        """Return a row as SOAP sends it, with the columns in the order of the WSDL, and others behind them.

        `texts` are the declared fields that hold text: nearly all.
        """
        found = {name: value for name in declared.fields if (value := row.get(name)) is not None}
        unsure = found.keys() - texts
        values = found.values()
        if {*map(type, values)} != {str} or "" in values or "\n" in values:  # of which SOAP makes something else
            unsure = {
                name
                for name, value in found.items()
                if name not in texts or type(value) is not str or value in {"", "\n"}
            }
        unsure.discard(self.spec.key)  # where SOAP promises an integer, PHP would make 3 of "3_6": no id is guessed
        tells_empty = self.connection.tells_empty or self.all_columns
        for name in unsure:
            try:
                value = fitted(found[name], declared.fields[name], tells_empty=tells_empty)
            except MalformedReplyError as error:
                error.args = (f"{self.spec.path}: {name}: {error}",)
                raise
            if value is None or (value == "" and name in declared.required and not tells_empty):
                del found[name]
            else:
                found[name] = value
        if more := [name for name in row if name not in declared.fields]:
            self.undeclared.update(more)
            if self.all_columns:
                found |= {name: value for name in more if (value := fitted(row[name], ANYTHING)) is not None}
        return found


def looking_at(spec: ListSpec) -> Flow[None]:
    """Look for rows of a list by `like`, in narrow windows, without those that break their replies."""
    prefix = Prefix(KEY)
    return Walk(prefix, spec.operation, KEY, spec.identity, candidates=(prefix,)).prefix_walk()


def nested(conditions: Sequence[Condition], path: str, span: IdRange) -> Mapping[str, Mapping[str, Argument]]:
    """Return conditions as XML-RPC takes them: by field, with both bounds of a range together.

    All operands are texts: the server compares them as numbers where the column is one, and an integer of XML-RPC ends
    at 2147483647. What the server would silently misread is refused, as no call may bring the whole table.

    Args:
        conditions: all of which must hold; at least one.
        path: what is called, for messages.
        span: the ids that are asked for, for errors.

    Raises:
        ValueError: no condition; an unknown operator, of which the server makes `=`; an empty operand, of which it
            makes 0 or nothing at all.
        FilterIgnoredError: two conditions on one field that are no `from` and `to`: the server drops one of them.

    >>> from magento_pager.walk.conditions import Condition
    >>> from magento_pager.walk.ranges import IdRange
    >>> both = [Condition("entity_id", "from", "100"), Condition("entity_id", "to", "199")]
    >>> nested([*both, Condition("store_id", "in", "1,2")], "sales_order.list", IdRange(100, 199))
    {'entity_id': {'from': '100', 'to': '199'}, 'store_id': {'in': ['1', '2']}}
    """
    filters: dict[str, dict[str, Argument]] = {}
    for one in conditions:
        if one.operator not in OPERATORS:
            raise ValueError(f"{path}: no server knows the operator {one.operator!r}, and all would read it as '='")
        if not one.field or not (one.value or one.operator in BARE):
            raise ValueError(f"{path}: {one} has no {'operand' if one.field else 'field'}")
        operand = one.value.split(",") if one.operator in LISTED else one.value or "1"
        asked = filters.setdefault(one.field, {})
        asked[one.operator] = asked.get(one.operator, operand)
        if asked[one.operator] != operand or (len(asked) > 1 and asked.keys() != {"from", "to"}):
            raise FilterIgnoredError(
                f"{path}: XML-RPC takes no two conditions on {one.field} but `from` and `to`: a server drops one of "
                f"them, here {one}",
                span=span,
            )
    if not filters:
        raise ValueError(f"{path}: without a condition the shop would send its whole table at once")
    return filters
