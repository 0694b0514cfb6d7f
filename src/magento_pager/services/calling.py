"""A call of a SOAP service by zeep: what it returns becomes rows of texts; what it raises, an error with a remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import requests
import zeep.exceptions
import zeep.xsd
from lxml import etree
from zeep.helpers import serialize_object

from magento_pager.errors import FaultError, MalformedReplyError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from magento_pager.errors import Remedy
    from magento_pager.lists import Kind
    from magento_pager.walk.pages import Row

Rows: TypeAlias = Callable[[Any], "Iterable[Any] | None"]

BUSY = frozenset({429, 502, 503, 504})
"""HTTP statuses that may pass; behind a gateway, a large reply causes the last ones, too, which the walk finds out."""


@dataclass(frozen=True, slots=True)
class Call:
    """An operation that returns rows.

    Attributes:
        operation: of zeep, or a function that calls one.
        rows: finds the rows in what it returns; None where that is a list, or holds a single one.
        remedies: for words of a fault, what may help.
    """

    operation: Callable[..., Any]
    rows: Rows | None = None
    remedies: Mapping[str, Remedy] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What messages call the operation."""
        return str(getattr(self.operation, "_op_name", None) or getattr(self.operation, "__name__", "the operation"))

    def answer(self, arguments: Mapping[str, Any]) -> tuple[Any, list[Row]]:
        """Return what the operation returns, and its rows as texts.

        Raises:
            FaultError: the server answered with a fault.
            TransportError: no answer came.
            MalformedReplyError: the answer is not what the WSDL promises, or its rows are not found.
        """
        try:
            result = self._called(arguments)
        except (zeep.exceptions.Error, requests.RequestException, etree.XMLSyntaxError) as error:
            self._fail(error)
        rows = [as_text(serialize_object(row, dict)) for row in self._found(result)]
        for row in rows:
            if not isinstance(row, dict):
                raise MalformedReplyError(f"{self.name}: a row is {row!r:.50} and no record; see to `rows`")
        return result, rows

    def columns(self, field: str) -> tuple[dict[str, Kind], frozenset[str]]:
        """Return the columns of rows as the WSDL declares them, each with its kind, and those that hold more than text.

        Dates are text, as each service has its own zone. There are none where the WSDL has no record with that field.
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
            if field in types:
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
            remedy: Remedy = "retry" if status in BUSY else "stop" if 400 <= status < 500 else "split"  # noqa: PLR2004
            raise TransportError(f"{self.name}: HTTP {status}, and no SOAP: {said!r}", remedy=remedy, status=status)
        operation = binding.get(self.name)
        result, promised = binding.process_reply(client, operation, response), operation.output.body
        found = etree.fromstring(response.content, _parser()).find(f"{{*}}Body/{promised.qname.text}")
        if found is None:  # zeep would take an element of any name for an answer, and an empty one for no rows
            raise MalformedReplyError(f"{self.name}: the reply holds no <{promised.qname.localname}>", remedy="split")
        return result

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
            raise TransportError(f"{self.name}: {said}", remedy="retry") from None
        if isinstance(error, zeep.exceptions.ValidationError | zeep.exceptions.LookupError):
            raise error  # of the arguments
        raise MalformedReplyError(
            f"{self.name}: the reply is cut short, or is not what the WSDL promises: {said}", remedy="split"
        ) from None


class Service:
    """What sources of other services have in common; the attributes are those of `Call`, and where the service is."""

    __slots__ = ()
    operation: Callable[..., Any]
    rows: Rows | None
    remedies: Mapping[str, Remedy]
    url: str

    @property
    def shop(self) -> str:
        """Where calls go, as a checkpoint knows it."""
        return self.url

    @property
    def name(self) -> str:
        """What messages call the operation."""
        return self._call.name

    @property
    def _call(self) -> Call:
        return Call(self.operation, self.rows, self.remedies)


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
