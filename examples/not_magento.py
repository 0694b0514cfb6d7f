"""Another legacy list, not Magento: a warehouse system that hands out its documents as XML, all that match, unpaged.

`Paginator` pages any list whose rows have a numeric key and whose server filters on that key. What it needs is a
*source*: an object with one method, `fetch(query)`, a generator of rows as dicts. `DocumentSource` below is one, over
HTTP. The rest of the file is the warehouse itself, a small server on this machine, so that the example runs.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import requests
from lxml import etree

from magento_pager import MalformedReplyError, Paginator, Query, Range, TransportError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


# ---------------------------------------------------------------------------------------------------- the seam


class DocumentSource:
    """The warehouse's list of documents.

    It must answer what the strategy asks (`Range`: `from` and `to` on the key, both inclusive), and `like` on the key
    with `_` for any one digit: with that the walk sounds wide windows before it asks for them whole.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def fetch(self, query: Query) -> Generator[dict[str, Any]]:
        """The documents that satisfy all conditions of the query, as they arrive.

        Raises:
            TransportError: the call failed; `remedy` says what the walk shall do about it.
            MalformedReplyError: what came back is no list of documents.
        """
        request = etree.Element("ListDocuments")
        for condition in query.conditions:
            etree.SubElement(request, "Filter", field=condition.field, op=condition.operator).text = condition.value
        try:
            with requests.post(self.url, etree.tostring(request), timeout=60, stream=True) as response:
                if response.status_code != requests.codes.ok:
                    busy = response.status_code == requests.codes.service_unavailable
                    raise TransportError(
                        f"ListDocuments: HTTP {response.status_code}", remedy="again" if busy else "stop"
                    )
                parser: Any = etree.XMLPullParser(events=("end",), tag="Document", resolve_entities=False)
                for piece in response.iter_content(65_536):
                    parser.feed(piece)
                    for _, element in parser.read_events():
                        yield {field.tag: field.text for field in element if field.text is not None}
                        element.clear()
                if (root := parser.close()).tag != "Documents":  # an error page must never pass for an empty list
                    raise MalformedReplyError(f"ListDocuments: the reply is <{root.tag}>, no list of documents")
        except requests.RequestException as error:
            raise TransportError(f"ListDocuments: {error}", remedy="again") from error
        except etree.XMLSyntaxError as error:
            raise MalformedReplyError(f"ListDocuments: the reply is cut short or no XML: {error}") from error


def documents(url: str, *, window: int | None = None) -> Paginator:
    """Every document of the warehouse.

    Args:
        url: where the warehouse listens.
        window: ids in each window with rows; None to aim at 2,000 rows and a second a call.
    """
    return Paginator(
        DocumentSource(url),
        Range(key="DocNo"),  # how a window is put to the server
        id_field="DocNo",  # what a row calls its key; its text must be a number from 0 to 4,294,967,295
        key="DocNo",  # what filters call it
        operation="ListDocuments",  # for messages and cursors
        window=window,
    )


# ------------------------------------------------------------------------------------------------ the warehouse


NUMBERS = (*range(1, 4_001), *range(70_000, 71_500), *range(9_000_000, 9_000_250))
"""The documents that exist: three series, as they came with each new fiscal system."""


class Warehouse(BaseHTTPRequestHandler):
    """Answers a POST with every document that passes all filters, newest first."""

    def do_POST(self) -> None:
        """Read the filters, write the documents."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        filters = [(node.get("op"), node.text or "") for node in etree.fromstring(body, _parser())]
        reply = etree.Element("Documents")
        for number in reversed(NUMBERS):
            if all(_passes(number, operator, operand) for operator, operand in filters):
                document = etree.SubElement(reply, "Document")
                etree.SubElement(document, "DocNo").text = str(number)
                etree.SubElement(document, "Kind").text = ("receipt", "transfer", "issue")[number % 3]
        sent = etree.tostring(reply)
        self.send_response(200)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name http.server gives it
        """Stay quiet."""


def _passes(number: int, operator: str | None, operand: str) -> bool:
    match operator:
        case "from":
            return number >= int(operand)
        case "to":
            return number <= int(operand)
        case "like":
            return re.fullmatch(operand.replace("_", "[0-9]"), str(number)) is not None
    raise ValueError(f"the warehouse knows no operator {operator!r}")


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True)


@contextmanager
def warehouse() -> Iterator[str]:
    """A running warehouse; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Warehouse)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main() -> None:
    """Page everything; then go on from the middle."""
    with warehouse() as url:
        rows = list(documents(url))
        print(f"{len(rows)} documents, {rows[0]['DocNo']} to {rows[-1]['DocNo']}; all: {len(rows) == len(NUMBERS)}")

        pages = documents(url, window=500).pages()
        first = next(pages)
        rest = sum(len(page.rows) for page in documents(url, window=500).pages(resume=first.cursor))
        print(f"{len(first.rows)} on the first page, {rest} after it")


if __name__ == "__main__":
    main()
