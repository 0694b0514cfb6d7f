"""Calls of another SOAP service by zeep: results become rows of text, exceptions become errors with a remedy."""

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
"""HTTP statuses of failures that may pass. A large reply behind a gateway causes 502 to 504 too: the walk splits it."""


@dataclass(frozen=True, slots=True)
class Call:
    """An operation that returns rows.

    Attributes:
        operation: of zeep, or a function that calls one.
        rows: finds the rows in its result; None if the result is a list, or contains exactly one.
        remedies: for a part of a fault's text, the remedy.
    """

    operation: Callable[..., Any]
    rows: Rows | None = None
    remedies: Mapping[str, Remedy] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the operation in messages."""
        return str(getattr(self.operation, "_op_name", None) or getattr(self.operation, "__name__", "the operation"))

    def answer(self, arguments: Mapping[str, Any]) -> tuple[Any, list[Row]]:
        """Call the operation; return its result, and the rows in it as text.

        Raises:
            FaultError: the server answered with a fault.
            TransportError: there was no answer.
            MalformedReplyError: the answer is not what the WSDL promises, or its rows cannot be found.
        """
        try:
            result = self._called(arguments)
        except (zeep.exceptions.Error, requests.RequestException, etree.XMLSyntaxError) as error:
            self._fail(error)
        rows = [as_text(serialize_object(row, dict)) for row in self._rows_in(result)]
        for row in rows:
            if not isinstance(row, dict):
                raise MalformedReplyError(f"{self.name}: a row is {row!r:.50} instead of a record. Correct `rows`")
        return result, rows

    def columns(self, field: str) -> tuple[dict[str, Kind], frozenset[str]]:
        """Return the declared columns of rows, each with its kind, and the names of those that contain more than text.

        Dates are text, because each service has its own time zone. If the WSDL has no record with that field, there are
        no columns.
        """
        proxy = getattr(self.operation, "_proxy", None)
        remaining = [] if proxy is None else [proxy._binding.get(self.name).output.body.type]  # noqa: SLF001
        done: list[Any] = []
        while remaining:
            record = remaining.pop()
            if any(record is other for other in done):
                continue
            done.append(record)
            types = {name: element.type for name, element in record.elements if hasattr(element, "type")}
            if field in types:
                nested = {name for name, declared in types.items() if isinstance(declared, zeep.xsd.ComplexType)}
                return {name: _kind(declared) for name, declared in types.items()}, frozenset(nested)
            remaining += [declared for declared in types.values() if isinstance(declared, zeep.xsd.ComplexType)]
        return {}, frozenset()

    def _called(self, arguments: Mapping[str, Any]) -> Any:
        """Call the operation. Zeep itself would take a page of HTML that is well-formed XML for a fault.

        Raises:
            TransportError: the answer is not SOAP.
        """
        proxy = getattr(self.operation, "_proxy", None)
        if proxy is None:
            return self.operation(**arguments)
        client, binding = proxy._client, proxy._binding  # noqa: SLF001  zeep has no public access
        with client.settings(raw_response=True):
            response = self.operation(**arguments)
        if b"Envelope" not in response.content:
            status, text = response.status_code, " ".join(response.text.split())[:100]
            remedy: Remedy = "retry" if status in BUSY else "stop" if 400 <= status < 500 else "split"  # noqa: PLR2004
            raise TransportError(
                f"{self.name}: HTTP {status}, and the answer is not SOAP: {text!r}", remedy=remedy, status=status
            )
        operation = binding.get(self.name)
        result, declared = binding.process_reply(client, operation, response), operation.output.body
        element = etree.fromstring(response.content, _parser()).find(f"{{*}}Body/{declared.qname.text}")
        if element is None:  # zeep would take an element of any name for an answer, and an empty one for no rows
            raise MalformedReplyError(f"{self.name}: the reply has no <{declared.qname.localname}>", remedy="split")
        return result

    def _rows_in(self, result: Any) -> Iterable[Any]:
        """Return the rows of a result."""
        if self.rows is not None:
            rows = self.rows(result)
        elif result is None or isinstance(result, list):
            rows = result
        else:
            values = serialize_object(result, dict)
            lists = [value for value in values.values() if isinstance(value, list)] if isinstance(values, dict) else []
            if len(lists) != 1:
                content = ", ".join(values) if isinstance(values, dict) else repr(values)[:50]
                raise MalformedReplyError(
                    f"{self.name}: the rows cannot be found: the reply contains {len(lists)} lists ({content}). "
                    "Set `rows`, such as rows=lambda result: result.Documents"
                )
            rows = lists[0]
        return rows or ()

    def _fail(self, error: Exception) -> NoReturn:
        """Raise our error for a failure."""
        reason = " ".join(str(error).split())[:200]
        if isinstance(error, zeep.exceptions.Fault):
            text = str(error.message)
            known = (remedy for part, remedy in self.remedies.items() if part.lower() in text.lower())
            remedy: Remedy = next(known, "stop")
            hint = "" if remedy != "stop" else ". If this may pass, or too many rows are the cause, set `remedies`"
            raise FaultError(
                f"{self.name}: fault {error.code}, {reason!r}{hint}",
                code=str(error.code),
                text=text,
                operation=self.name,
                remedy=remedy,
            ) from None
        if isinstance(error, requests.ReadTimeout):
            raise TransportError(f"{self.name}: there was no answer in time ({reason})", remedy="split") from None
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            raise TransportError(f"{self.name}: the answer was cut short ({reason})", remedy="split") from None
        if isinstance(error, requests.RequestException):
            raise TransportError(f"{self.name}: the connection failed: {reason}", remedy="retry") from None
        if isinstance(error, zeep.exceptions.ValidationError | zeep.exceptions.LookupError):
            raise error  # the arguments are invalid
        raise MalformedReplyError(
            f"{self.name}: the reply is cut short, or is not what the WSDL promises: {reason}", remedy="split"
        ) from None


class Service:
    """The base of the sources of other services: the attributes of `Call`, and the address of the service."""

    __slots__ = ()
    operation: Callable[..., Any]
    rows: Rows | None
    remedies: Mapping[str, Remedy]
    url: str

    @property
    def shop(self) -> str:
        """The address of the service, for checkpoints."""
        return self.url

    @property
    def name(self) -> str:
        """The name of the operation in messages."""
        return self._call.name

    @property
    def _call(self) -> Call:
        return Call(self.operation, self.rows, self.remedies)


def _kind(declared: Any) -> Kind:
    """Return the kind of a type of XML Schema, in which integers are decimals."""
    if isinstance(declared, zeep.xsd.Integer):
        return "integer"
    return "decimal" if isinstance(declared, zeep.xsd.Decimal) else "text"


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)


def as_text(value: Any) -> Any:
    """Return a value of zeep as XML writes it: lists and records keep their form, and None is dropped.

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
