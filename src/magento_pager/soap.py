"""Lists of other SOAP services: an operation of zeep as a source for a `Paginator`.

What lives here: how conditions become the arguments of an operation, how what it returns becomes rows, and which remedy
belongs to which failure. Magento's own lists are read by `shop`, which decodes replies as they arrive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import requests
import zeep.exceptions
import zeep.xsd
from lxml import etree
from zeep.helpers import serialize_object

from magento_pager.errors import FaultError, FilterIgnoredError, MalformedReplyError, RemoteError, TransportError
from magento_pager.keys import Key, Numbers, Texts
from magento_pager.trying import Evidence, tried_on
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.paginator import Paginator
from magento_pager.walk.ranges import MAX_ID
from magento_pager.walk.strategies import Range

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from magento_pager.errors import Remedy
    from magento_pager.lists import Kind
    from magento_pager.walk.pages import Row
    from magento_pager.walk.ranges import IdRange

Arguments: TypeAlias = Callable[[tuple[Condition, ...]], Mapping[str, Any]]
Rows: TypeAlias = Callable[[Any], "Iterable[Any] | None"]

BUSY = frozenset({429, 502, 503, 504})
"""HTTP statuses that may pass; behind a gateway, a large reply causes the last ones, too, which the walk finds out."""
NO_FIELD = "(number)"
"""What rows call a number that they do not have."""
_BLOCK = re.compile("([0-9]*)(_*)")
_BOUNDS = {"gteq": "from", "lteq": "to"}


@dataclass(frozen=True, slots=True)
class StartsWith:
    """How a text begins, one call for each beginning: for services that know no bounds on it."""

    key: Texts
    name: str = "starts-with"
    widest: int = MAX_ID + 1
    decimal: bool = True

    def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:  # noqa: ARG002  nothing can be dropped
        """One call for each beginning."""
        for operator, value in self.key.beginnings(window.first, window.last):
            yield Query((Condition(self.key.field, operator, value),), window)


@dataclass(frozen=True, slots=True)
class SoapSource:
    """A list of any SOAP service: an operation that takes bounds and returns rows. `paginator` walks it.

    The walk asks with `from` and `to` on the key, both inclusive; for the rows behind a gap with one of them alone.
    Where it would ask with `like`, for a block of ids such as 1200 to 1299, the source asks with both bounds instead;
    samples of the ids, for which a server needs wildcards, are left out, unless `wildcards` says that it has them.

    Rows come as texts: numbers, dates and true or false as XML writes them; lists and records keep their form.

    Attributes:
        operation: of zeep, such as `client.service.ListDocuments`; or a function that calls one. Its client should have
            a time limit: `zeep.Transport(operation_timeout=60)`.
        arguments: makes the arguments of the operation, by name, from the conditions, all of which must hold.
        key: what the list is cut by: `Numbers`, `PaddedNumbers`, `Times`, or `Texts`, for which the operators are
            `starts with` and `eq`.
        rows: finds the rows in what the operation returns; None where that is a list, or holds a single one.
        wildcards: the server has `like` on the key, with `_` for any one digit: gaps are then crossed in fewer calls.
            For `Numbers` of 32 bits.
        remedies: for words of a fault (their case does not matter), what may help: "again", "split", "isolate" or
            "stop"; a fault with none of them ends the walk.
        url: of the service, for checkpoints: a dump is resumed from the same one only.

    Raises:
        ValueError: wildcards on a key that is no number.
    """

    operation: Callable[..., Any]
    arguments: Arguments
    key: Key
    rows: Rows | None = None
    wildcards: bool = False
    remedies: Mapping[str, Remedy] = field(default_factory=dict)
    url: str = ""

    def __post_init__(self) -> None:
        if self.wildcards and not self._plain:
            raise ValueError(f"wildcards are for Numbers of 32 bits: a pattern of digits finds none of {self.key}")

    def paginator(self, name: str, **options: Any) -> Paginator:
        """Return what walks the list.

        Args:
            name: what messages, cursors and tables call the list.
            options: those of `Paginator`, such as `window` and `nice`; `first` and `last` are keys. Where one number
                stands for several keys, all of these come.
        """
        for bound in {"first", "last"} & options.keys():
            if isinstance(options[bound], str) or isinstance(self.key, Numbers):
                options[bound] = self.key.number(str(options[bound]))
        identity = None if self._plain else self.key.identity
        options = {"last": self.key.highest, "identity_field": identity, **options}
        id_field = self.key.field if self._plain else NO_FIELD
        strategy = StartsWith(self.key) if isinstance(self.key, Texts) else Range(self.key.field)
        return Paginator(self, strategy, id_field, operation=name, key=self.key.field, **options)

    @property
    def place(self) -> Callable[[Row], int] | None:
        """Says which number stands for a row, where its key is no number itself and belongs to it alone."""
        return self.number_of if self.key.alone and not self._plain else None

    @property
    def shares(self) -> bool:
        """True where several rows may have one number."""
        return not self.key.alone

    @property
    def _plain(self) -> bool:
        return isinstance(self.key, Numbers) and self.key.plain

    @property
    def shop(self) -> str:
        """Where calls go, as a checkpoint knows it."""
        return self.url

    @property
    def name(self) -> str:
        """What messages call the operation."""
        return str(getattr(self.operation, "_op_name", None) or getattr(self.operation, "__name__", "the operation"))

    def examine(self, **options: Any) -> Evidence:
        """Try on the first rows which bounds the service honours, and return the evidence; `print` it.

        Args:
            options: those of `paginator`: `first`, where the first key is far from zero.
        """
        return tried_on(self.paginator(self.name, **options), self)

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call.

        Raises:
            FaultError: the server answered with a fault.
            TransportError: no answer came.
            MalformedReplyError: the answer is not what the WSDL promises, or its rows are not found.
            FilterIgnoredError: a row came whose key was not asked for.
        """
        for row in self.read(query):
            if not self.key.alone and self.number_of(row) not in query.span:
                first, last = self.key.text(query.span.first), self.key.text(query.span.last, upper=True)
                raise FilterIgnoredError(
                    f"{self.name}: asked for {self.key.field} from {first} to {last}, the server also sent "
                    f"{row[self.key.field]}: it dropped a bound, or compares in another way than {self.key}",
                    span=query.span,
                )
            yield row

    def read(self, query: Query) -> Iterator[Row]:
        """The rows of one call, whatever their keys are; for the rest as `fetch`."""
        conditions = query.conditions if self.wildcards else tuple(self._bounds(query.conditions))
        if any(one.operator == "from" and self._number(one) > self.key.highest for one in conditions):
            return  # no key is so high
        if isinstance(self.key, Texts):
            for said in self._beginning(conditions, self.key):
                yield from self._rows_of(said)
        else:
            yield from self._rows_of(conditions if self.wildcards else tuple(map(self.said, conditions)))

    def _rows_of(self, conditions: tuple[Condition, ...]) -> Iterator[Row]:
        """The rows of one call with these conditions, as the service writes them."""
        arguments = self.arguments(conditions)  # a mistake in there is the caller's, and no failure of the service
        try:
            result = self._called(arguments)
        except (zeep.exceptions.Error, requests.RequestException, etree.XMLSyntaxError) as error:
            self._fail(error)
        for row in self._found(result):
            found = as_text(serialize_object(row, dict))
            if not isinstance(found, dict):
                raise MalformedReplyError(f"{self.name}: a row is {found!r:.50} and no record; see to `rows`")
            yield found

    def number_of(self, row: Row) -> int:
        """Return the number that stands for the key of a row."""
        text = row.get(self.key.field)
        try:
            return self.key.number(text if isinstance(text, str) else "")
        except ValueError as error:
            said = error if text else f"a row came without {self.key.field}"
            raise MalformedReplyError(f"{self.name}: {said}", remedy="isolate") from None

    def columns(self) -> tuple[dict[str, Kind], frozenset[str]]:
        """Return the columns of rows as the WSDL declares them, each with its kind, and those that hold more than text.

        Dates are text, as each service has its own zone. There are none where the WSDL has no record with that key.
        """
        proxy = getattr(self.operation, "_proxy", None)
        left = [] if proxy is None else [proxy._binding.get(self.name).output.body.type]  # noqa: SLF001
        seen: list[Any] = []
        while left:
            found = left.pop()
            if any(found is one for one in seen):
                continue
            seen.append(found)
            types = {name: element.type for name, element in found.elements if hasattr(element, "type")}
            if self.key.field in types:
                nested = {name for name, one in types.items() if isinstance(one, zeep.xsd.ComplexType)}
                return {name: _kind(one) for name, one in types.items()}, frozenset(nested)
            left += [one for one in types.values() if isinstance(one, zeep.xsd.ComplexType)]
        return {}, frozenset()

    def _called(self, arguments: Mapping[str, Any]) -> Any:
        """Call the operation. Zeep's own reading would take any page of HTML that is sound XML for a fault.

        Raises:
            TransportError: what came is no SOAP.
        """
        proxy = getattr(self.operation, "_proxy", None)
        if proxy is None:
            return self.operation(**arguments)
        client, binding = proxy._client, proxy._binding  # noqa: SLF001  zeep has no other way to them
        with client.settings(raw_response=True):
            response = self.operation(**arguments)
        if b"Envelope" not in response.content:
            status, said = response.status_code, " ".join(response.text.split())[:100]
            remedy: Remedy = "again" if status in BUSY else "stop" if 400 <= status < 500 else "split"  # noqa: PLR2004
            raise TransportError(f"{self.name}: HTTP {status}, and no SOAP: {said!r}", remedy=remedy, status=status)
        operation = binding.get(self.name)
        result, promised = binding.process_reply(client, operation, response), operation.output.body
        found = etree.fromstring(response.content, _parser()).find(f"{{*}}Body/{promised.qname.text}")
        if found is None:  # zeep would take an element of any name for an answer, and an empty one for no rows
            raise MalformedReplyError(f"{self.name}: the reply holds no <{promised.qname.localname}>", remedy="split")
        return result

    def _bounds(self, conditions: Iterable[Condition]) -> Iterator[Condition]:
        """Yield conditions with `from` and `to` for all that says as much on a block of ids."""
        for one in conditions:
            block = _BLOCK.fullmatch(one.value) if one.operator == "like" else None
            if block:
                head, free = block[1], len(block[2])
                first = head + "0" * free if head else "1" + "0" * (free - 1) if free > 1 else "0"
                yield replace(one, operator="from", value=first)
                yield replace(one, operator="to", value=head + "9" * free)
            elif one.operator in {"like", "regexp"} or self._names_a_row(one):
                raise RemoteError(f"{self.name}: no sample can be had where a server has bounds alone", remedy="split")
            else:
                yield replace(one, operator=_BOUNDS.get(one.operator, one.operator))

    def _names_a_row(self, one: Condition) -> bool:
        """True where one row is asked for by what it is known by, for which only `Texts` have an operator."""
        return (one.field, one.operator) == (self.key.identity, "eq") and not isinstance(self.key, Texts)

    def said(self, one: Condition) -> Condition:
        """Return a condition with the key as the service writes it."""
        if one.field != self.key.field:
            return one
        number = min(int(one.value), self.key.highest)
        return replace(one, value=self.key.text(number, upper=one.operator == "to"))

    def _beginning(self, conditions: tuple[Condition, ...], key: Texts) -> Iterator[tuple[Condition, ...]]:
        """Yield the conditions of each call that bounds on a text take: all but the bounds, and how it begins."""
        others = tuple(one for one in conditions if one.field != key.field)
        bounds = {one.operator: self._number(one) for one in conditions if one.operator in {"from", "to"}}
        asked = [one for one in conditions if one.field == key.field and one.operator not in bounds]
        if asked:
            yield (*asked, *others)
            return
        for operator, value in key.beginnings(bounds.get("from", 0), bounds.get("to", key.highest)):
            yield (Condition(key.field, operator, value), *others)

    def _number(self, one: Condition) -> int:
        """Return the number that a condition compares the key with; -1 where it is on another column."""
        return int(one.value) if one.field == self.key.field and one.operator in {"from", "to"} else -1

    def _found(self, result: Any) -> Iterable[Any]:
        """Return the rows of a result."""
        if self.rows is not None:
            found = self.rows(result)
        elif result is None or isinstance(result, list):
            found = result
        else:
            values = serialize_object(result, dict)
            lists = [one for one in values.values() if isinstance(one, list)] if isinstance(values, dict) else []
            if len(lists) != 1:
                held = ", ".join(values) if isinstance(values, dict) else repr(values)[:50]
                raise MalformedReplyError(
                    f"{self.name}: which of the parts of the reply are its rows? It holds {len(lists)} lists ({held}): "
                    "give `rows`, such as rows=lambda result: result.Documents"
                )
            found = lists[0]
        return found or ()

    def _fail(self, error: Exception) -> NoReturn:
        """Raise what a failure means for a walk."""
        said = " ".join(str(error).split())[:200]
        if isinstance(error, zeep.exceptions.Fault):
            text = str(error.message)
            known = (remedy for words, remedy in self.remedies.items() if words.lower() in text.lower())
            remedy: Remedy = next(known, "stop")
            hint = "" if remedy != "stop" else "; if that may pass or comes of too many rows, say so in `remedies`"
            raise FaultError(
                f"{self.name}: fault {error.code}, {said!r}{hint}",
                code=str(error.code),
                text=text,
                operation=self.name,
                remedy=remedy,
            ) from None
        if isinstance(error, requests.ReadTimeout):
            raise TransportError(f"{self.name}: no answer in time ({said})", remedy="split") from None
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            raise TransportError(f"{self.name}: the answer was cut short ({said})", remedy="split") from None
        if isinstance(error, requests.RequestException):
            raise TransportError(f"{self.name}: {said}", remedy="again") from None
        if isinstance(error, zeep.exceptions.ValidationError | zeep.exceptions.LookupError):
            raise error  # of the arguments
        raise MalformedReplyError(
            f"{self.name}: the reply is cut short, or is not what the WSDL promises: {said}", remedy="split"
        ) from None


def _kind(declared: Any) -> Kind:
    """Return what texts of a type of XML Schema hold; integers are decimals there."""
    if isinstance(declared, zeep.xsd.Integer):
        return "integer"
    return "decimal" if isinstance(declared, zeep.xsd.Decimal) else "text"


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)


def as_text(value: Any) -> Any:
    """Return what zeep made of XML as text again: lists and records keep their form, without what is None.

    >>> from decimal import Decimal
    >>> as_text({"No": 7, "Paid": True, "Sum": Decimal("1.50"), "Day": date(2024, 5, 1), "Note": None, "Tags": ["a"]})
    {'No': '7', 'Paid': 'true', 'Sum': '1.50', 'Day': '2024-05-01', 'Tags': ['a']}
    """
    if isinstance(value, dict):
        return {str(name): as_text(part) for name, part in value.items() if part is not None}
    if isinstance(value, list):
        return [as_text(part) for part in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return value if value is None or isinstance(value, str) else str(value)
