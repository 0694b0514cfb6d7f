"""The lists of a shop as a `Source` for the walk, by SOAP or by XML-RPC.

What lives here: the seam between a walk and a connection. For XML-RPC that includes writing conditions as nested
filters, and converting its rows, which have all columns of the shop, to the form of SOAP's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from magento_pager.errors import FilterIgnoredError, MalformedReplyError, RemoteError
from magento_pager.shop.decoding import ANYTHING, Leaf, is_list
from magento_pager.shop.failures import LostListError
from magento_pager.shop.origins import canonical_url, redacted_url
from magento_pager.shop.records import as_declared
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
"""Operators whose operands are sent as an array: a server would read only the first of a text with commas."""
WITHOUT_OPERAND = frozenset({"null", "notnull"})
"""Operators without an operand."""
STRING = "{http://www.w3.org/2001/XMLSchema}string"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListSource:
    """One list of one shop, by SOAP: a `Source` for a `Paginator`.

    Attributes:
        connection: to the shop.
        spec: the list.
        repair: remove characters that XML forbids from replies before they are read; the connection counts them in
            `characters_removed`.
    """

    connection: Connection
    spec: ListSpec
    repair: bool = False

    def used(self) -> dict[str, Any]:
        """Return the report's entries about the protocol: its name, why it was chosen, and undeclared columns."""
        return {"wire": "soap", "wire_reason": None, "undeclared_columns": []}

    @property
    def bytes_received(self) -> int:
        """Bytes of all replies to lists so far, decompressed; a plan reads it."""
        return self.connection.bytes_received

    @property
    def shop(self) -> str:
        """The address of calls, without user, password and query."""
        return self.connection.alias or redacted_url(canonical_url(self.connection.address))

    @property
    def url(self) -> str:
        """The shop's address as given, without user, password and query."""
        return self.connection.alias or self.connection.url

    @property
    def clock(self) -> datetime | None:
        """The server's time in its last answer; None if it had none."""
        return self.connection.clock

    def refused(self, error: RemoteError) -> None:
        """Save the last reply of this thread, whose rows were refused, if replies are saved."""
        self.connection.refused(error)

    def fetch(self, query: Query) -> Generator[Row]:
        """Return the rows of one call."""
        declared = self.connection.row_shape(self.spec)
        lists = [name for name in declared.required if is_list(declared.fields[name])]
        rows = self.connection.rows(self.spec, query.conditions, repair=self.repair)
        return self._with_lists(rows, lists) if lists and not self.connection.keeps_lists else rows

    def _with_lists(self, rows: Iterable[Row], lists: Sequence[str]) -> Generator[Row]:
        """Yield rows as they arrive; raise an error if the lists inside them were lost.

        In WS-I a list of ids that Magento 1.9.3.0 lost looks like an empty one. If no product of a reply has one, the
        record of the last product decides: in records, that version keeps lists of ids. `lists` are the fields of a row
        that are required lists, as products have them.
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
            log.warning("%s: it cannot be determined whether the lists in its rows are lost: %s", operation, error)
            return
        if any(record.get(name) for name in (*lists, "categories", "websites")):
            raise LostListError(operation, f"<{'> and <'.join(sorted(lists))}> are empty, but not in records")


@dataclass(frozen=True, slots=True)
class XmlRpcSource(ListSource):
    """One list of one shop, by XML-RPC, in the session of SOAP. Rows have the form of SOAP's.

    Attributes:
        all_columns: keep the columns that the WSDL does not declare, as text, and empty texts that the server's SOAP
            does not distinguish from NULL.
        undeclared: the names of the received columns that the WSDL does not declare, NULL or not.
    """

    all_columns: bool = False
    undeclared: set[str] = field(default_factory=set, compare=False)

    def used(self) -> dict[str, Any]:
        """Return the report's entries about the protocol, see `ListSource.used`."""
        return {"wire": "xml-rpc", "wire_reason": None, "undeclared_columns": sorted(self.undeclared)}

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of one call."""
        filters = nested_filters(query.conditions, self.spec.path, query.span)
        declared = self.connection.row_shape(self.spec)
        texts = {name for name, shape in declared.fields.items() if isinstance(shape, Leaf) and shape.type == STRING}
        for row in self.connection.xmlrpc_rows(self.spec, filters, repair=self.repair):
            yield self._as_by_soap(row, declared, texts)

    def _as_by_soap(self, row: Row, declared: Struct, texts: AbstractSet[str]) -> Row:
        """Return a row as SOAP sends it, with the columns in the order of the WSDL and undeclared ones after them.

        `texts` are the declared fields that contain text: nearly all.
        """
        converted = {name: value for name in declared.fields if (value := row.get(name)) is not None}
        unsure = converted.keys() - texts
        values = converted.values()
        if {*map(type, values)} != {str} or "" in values or "\n" in values:  # which SOAP sends in another form
            unsure = {
                name
                for name, value in converted.items()
                if name not in texts or type(value) is not str or value in {"", "\n"}
            }
        unsure.discard(self.spec.key)  # as an integer, PHP would turn "3_6" into 3: no id is guessed
        tells_empty = self.connection.tells_empty or self.all_columns
        for name in unsure:
            try:
                value = as_declared(converted[name], declared.fields[name], tells_empty=tells_empty)
            except MalformedReplyError as error:
                error.args = (f"{self.spec.path}: {name}: {error}",)
                raise
            if value is None or (value == "" and name in declared.required and not tells_empty):
                del converted[name]
            else:
                converted[name] = value
        if more := [name for name in row if name not in declared.fields]:
            self.undeclared.update(more)
            if self.all_columns:
                converted |= {name: value for name in more if (value := as_declared(row[name], ANYTHING)) is not None}
        return converted


def search_rows(spec: ListSpec) -> Flow[None]:
    """Search for rows of a list by `like`, in narrow windows, skipping rows that break their replies."""
    prefix = Prefix(KEY)
    return Walk(prefix, spec.operation, KEY, spec.identity, candidates=(prefix,)).prefix_walk()


def nested_filters(conditions: Sequence[Condition], path: str, span: IdRange) -> Mapping[str, Mapping[str, Argument]]:
    """Return conditions as XML-RPC takes them: by field, with both bounds of a range together.

    All operands are texts: the server compares them as numbers if the column is a number, and an integer of XML-RPC
    ends at 2147483647. Conditions that the server would silently misread are refused, because no call may return the
    whole table.

    Args:
        conditions: at least one; rows satisfy all of them.
        path: the called path, for messages.
        span: the requested ids, for errors.

    Raises:
        ValueError: no condition, an unknown operator (the server would read it as `=`), or an empty operand (it would
            read it as 0 or nothing).
        FilterIgnoredError: two conditions on one field other than `from` and `to`: the server drops one of them.

    >>> from magento_pager.walk.conditions import Condition
    >>> from magento_pager.walk.ranges import IdRange
    >>> both = [Condition("entity_id", "from", "100"), Condition("entity_id", "to", "199")]
    >>> nested_filters([*both, Condition("store_id", "in", "1,2")], "sales_order.list", IdRange(100, 199))
    {'entity_id': {'from': '100', 'to': '199'}, 'store_id': {'in': ['1', '2']}}
    """
    filters: dict[str, dict[str, Argument]] = {}
    for condition in conditions:
        field, operator = condition.field, condition.operator
        if operator not in OPERATORS:
            raise ValueError(f"{path}: the operator {operator!r} does not exist, and servers would read it as '='")
        if not field or not (condition.value or operator in WITHOUT_OPERAND):
            raise ValueError(f"{path}: {condition} has no {'operand' if field else 'field'}")
        operand = condition.value.split(",") if operator in LISTED else condition.value or "1"
        operands = filters.setdefault(field, {})
        operands[operator] = operands.get(operator, operand)
        if operands[operator] != operand or (len(operands) > 1 and operands.keys() != {"from", "to"}):
            raise FilterIgnoredError(
                f"{path}: XML-RPC takes one condition on {field}, or `from` and `to`: a server drops any other, here "
                f"{condition}",
                span=span,
            )
    if not filters:
        raise ValueError(f"{path}: without a condition the shop would send its whole table")
    return filters
