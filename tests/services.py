"""Made-up SOAP services other than Magento, on loopback: each has a list with filters.

A service has its own WSDL, in document/literal style, and a function that returns rows for the filters of a request.
"""

from __future__ import annotations

import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Answer = Callable[[dict[str, str]], Iterable[Mapping[str, object]]]

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
NAMESPACE = "urn:made-up"


class Refusal(Exception):  # noqa: N818  it is an answer, and no error of the service
    """The service answers with a fault."""


@dataclass(slots=True)
class Service:
    """A list.

    Attributes:
        operation: its name.
        filters: the names of its filters, all optional.
        columns: the names of its columns, with their types in XML Schema.
        answer: gives the rows for the filters of a request; raises `Refusal`.
        instead: HTTP statuses and bodies of the next answers, in place of rows.
        missing: bytes that the connection ends too early.
        asked: the filters of each request so far.
    """

    operation: str
    filters: Mapping[str, str]
    columns: Mapping[str, str]
    answer: Answer
    instead: list[tuple[int, bytes]] = field(default_factory=list)
    missing: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)

    def wsdl(self, url: str) -> str:
        """Return the WSDL of the service."""
        filters = _elements(self.filters)
        columns = _elements(self.columns)
        name = self.operation
        return f"""<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:t="{NAMESPACE}"
          xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" targetNamespace="{NAMESPACE}">
          <types><schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="{NAMESPACE}"
            elementFormDefault="qualified">
            <element name="{name}"><complexType><sequence>{filters}</sequence></complexType></element>
            <element name="{name}Response"><complexType><sequence>
              <element name="Row" minOccurs="0" maxOccurs="unbounded">
                <complexType><sequence>{columns}</sequence></complexType>
              </element></sequence></complexType></element>
          </schema></types>
          <message name="Asked"><part name="parameters" element="t:{name}"/></message>
          <message name="Answered"><part name="parameters" element="t:{name}Response"/></message>
          <portType name="Port"><operation name="{name}">
            <input message="t:Asked"/><output message="t:Answered"/></operation></portType>
          <binding name="Binding" type="t:Port">
            <s:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
            <operation name="{name}"><s:operation soapAction=""/>
              <input><s:body use="literal"/></input><output><s:body use="literal"/></output></operation></binding>
          <service name="Service"><port name="Port" binding="t:Binding"><s:address location="{url}"/></port></service>
        </definitions>"""

    def reply(self, request: bytes) -> tuple[int, bytes]:
        """Return the HTTP status and the envelope for a request."""
        body = etree.fromstring(request, etree.XMLParser(resolve_entities=False, no_network=True))
        asked = body.find(f"{{{SOAP}}}Body/{{{NAMESPACE}}}{self.operation}")
        assert asked is not None, "another operation"
        filters = {etree.QName(one).localname: one.text or "" for one in asked}
        self.asked.append(filters)
        if self.instead:
            return self.instead.pop(0)
        try:
            rows = "".join(f"<Row>{_values(row)}</Row>" for row in self.answer(filters))
        except Refusal as refusal:
            text = escape(str(refusal))
            return 500, _envelope(
                f"<e:Fault><faultcode>e:Server</faultcode><faultstring>{text}</faultstring></e:Fault>"
            )
        return 200, _envelope(f'<{self.operation}Response xmlns="{NAMESPACE}">{rows}</{self.operation}Response>')


def _elements(types: Mapping[str, str]) -> str:
    return "".join(f'<element name="{name}" type="{kind}" minOccurs="0"/>' for name, kind in types.items())


def _values(row: Mapping[str, object]) -> str:
    return "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in row.items())


def _envelope(body: str) -> bytes:
    return f'<e:Envelope xmlns:e="{SOAP}"><e:Body>{body}</e:Body></e:Envelope>'.encode()


@contextmanager
def running(service: Service) -> Iterator[str]:
    """Run a service; yield the address of its WSDL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host, port = server.server_address[:2]
            self._send(200, service.wsdl(f"http://{host!s}:{port}/").encode())

        def do_POST(self) -> None:
            self._send(*service.reply(self.rfile.read(int(self.headers["Content-Length"]))))

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "text/xml; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) - service.missing])
            self.close_connection = bool(service.missing)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name http.server gives it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/?wsdl"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


NUMBERS = (*range(1, 4_001), *range(70_000, 71_500), *range(9_000_000, 9_000_250), 2_147_483_647)
MOST = 3_000
COLUMNS = {"DocNo": "int", "Kind": "string", "Booked": "dateTime", "Weight": "decimal", "Void": "boolean"}


def row(number: int) -> dict[str, object]:
    """Return a document."""
    return {
        "DocNo": number,
        "Kind": ("receipt", "transfer", "issue & return")[number % 3],
        "Booked": f"2024-05-{number % 28 + 1:02}T10:00:00",
        "Weight": "1.50",
        "Void": "true",
    }


def honest(filters: dict[str, str]) -> list[dict[str, object]]:
    """Return the documents of a range; raise a fault if they are too many."""
    first, last = int(filters.get("FirstNo", 0)), int(filters.get("LastNo", 1 << 31))
    found = [row(number) for number in reversed(NUMBERS) if first <= number <= last]
    if len(found) > MOST:
        raise Refusal(f"Error 17: Too many rows ({len(found)})")
    return found


def warehouse(answer: Answer = honest) -> Service:
    """Return a warehouse."""
    return Service("ListDocuments", {"FirstNo": "int", "LastNo": "int"}, COLUMNS, answer)


INVOICES = [f"INV-{number:06}" for number in (*range(3, 2_900), *range(40_000, 45_000), 999_999)]


def honest_invoices(filters: dict[str, str]) -> list[dict[str, object]]:
    """Compare as text, like the database."""
    first, last = filters.get("From", ""), filters.get("Until", "~")
    return [{"InvoiceNo": one, "Net": "10.00"} for one in INVOICES if first <= one <= last]


def erp(answer: Answer = honest_invoices) -> Service:
    """Return the invoices of an ERP, by prefixed number."""
    return Service(
        "FindInvoices", {"From": "string", "Until": "string"}, {"InvoiceNo": "string", "Net": "decimal"}, answer
    )


def timestamps(rows: int, alike: int) -> list[tuple[str, str]]:
    """Return timestamps in order with what changed then, and some more in one second."""
    chance = random.Random(7)  # noqa: S311  no secret
    found, at = [], datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    for number in range(rows):
        at += timedelta(seconds=chance.choice((0, 0, 1, 5, 60, 300)))
        found.append((at, f"C{number}"))
    often = datetime(2023, 11, 15, 6, 13, 20, tzinfo=UTC)
    found += [(often, f"E{number}") for number in range(alike)]
    return [(at.replace(tzinfo=None).isoformat(), name) for at, name in sorted(found)]


def modified(there: list[tuple[str, str]], filters: dict[str, str]) -> list[dict[str, object]]:
    """Return the contacts modified between two timestamps."""
    first, last = filters.get("Since", ""), filters.get("Until", "~")
    return [{"ContactId": name, "ModifiedAt": at} for at, name in there if first <= at <= last]


def crm(answer: Answer) -> Service:
    """Return the contacts of a CRM, by the time of their last change."""
    columns = {"ContactId": "string", "ModifiedAt": "dateTime"}
    return Service("ContactsModified", {"Since": "dateTime", "Until": "dateTime"}, columns, answer)


ARTICLES = sorted(
    {
        "7",
        "A",
        "AB",
        *(f"{family}{number}" for family in ("A", "AB", "ABC", "X-", "Z0") for number in range(0, 4_000, 7)),
        *(f"BOLT-M{size}-{length}" for size in range(1, 9) for length in range(60)),
    }
)


def matching_articles(filters: dict[str, str]) -> list[dict[str, object]]:
    """Search by a whole number or by its beginning; raise a fault if there are too many."""
    exact, begins = filters.get("ArticleNo"), filters.get("Begins", "")
    found = [one for one in ARTICLES if (one == exact if exact else one.startswith(begins))]
    if len(found) > MOST // 3:
        raise Refusal(f"too many articles ({len(found)})")
    return [{"ArticleNo": one, "Stock": 5} for one in found]


def floor(answer: Answer = matching_articles) -> Service:
    """Return the articles of a shop floor system, by text."""
    columns = {"ArticleNo": "string", "Stock": "int"}
    return Service("FindArticles", {"Begins": "string", "ArticleNo": "string"}, columns, answer)
