"""CPU for each row of a reply: full decoding by zeep or `xmlrpc.client`, by our decoder, and parsing only by lxml.

`python -m benchmarks.decode` prints a JSON line for each protocol (RPC, WS-I, XML-RPC) and number of rows. The replies
are lists of orders: the recorded ones if they are next to the checkout, repeated up to the number of rows; otherwise
those of the embedded shop. Each is decoded in pieces of 64 KiB, as received over HTTP, and the rows of both sides are
asserted to be equal.

Keys: `zeep_us` or `client_us`, `ours_us` and `lxml_us` are microseconds of CPU for each row, the minimum of several
rounds in which the sides take turns; `ratio` is zeep, or `xmlrpc.client`, over ours, `ratio_lxml` lxml over ours;
`cold_us`, of SOAP, is ours if each reply is the first one of its connection, before any form of row is known.
"""

from __future__ import annotations

import json
import re
import sys
import time
import xmlrpc.client
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

import requests
import zeep
from lxml import etree
from zeep.helpers import serialize_object

from magento_pager.fake import Shop
from magento_pager.shop import xmlrpc as ours
from magento_pager.shop.decoding import Forms, decode
from magento_pager.shop.wsdl import reply_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from magento_pager.shop.decoding import ReplyShape

Flavour = Literal["rpc", "wsi"]
SAMPLES = Path(__file__).resolve().parents[2] / "shared" / "samples"
"""The folder of the recordings, which are not part of the project."""
OPERATION = "salesOrderList"
SIZES = (100, 1000, 10_000)
ROUNDS = {100: 30, 1000: 5, 10_000: 2}
PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Case:
    """A reply, and its decoding by each side.

    Attributes:
        source: "recording" or "embedded shop".
        body: the reply.
        client: of zeep.
        operation: as read by zeep.
        shape: of the reply, for our decoder.
    """

    source: str
    body: bytes
    client: Any
    operation: Any
    shape: ReplyShape

    def decode_by_us(self, forms: Forms) -> list[dict[str, Any]]:
        """Return all rows, decoded by us."""
        return list(decode(pieces(self.body), self.shape, forms))

    def decode_by_zeep(self) -> Any:
        """Return all rows, decoded by zeep."""
        response = SimpleNamespace(
            status_code=200, headers={"Content-Type": "text/xml; charset=utf-8"}, content=self.body, encoding="utf-8"
        )
        return self.operation.binding.process_reply(self.client, self.operation, response)

    def parse_by_lxml(self) -> None:
        """Parse the same pieces by lxml."""
        parser = etree.XMLPullParser(events=())
        for piece in pieces(self.body):
            parser.feed(piece)
        parser.close()


def pieces(body: bytes) -> Iterator[bytes]:
    """Return the pieces of a reply, as received."""
    return (body[start : start + PIECE] for start in range(0, len(body), PIECE))


def case_of(flavour: Flavour, rows: int) -> Case:
    """Return a reply with that many rows, recorded if possible."""
    recorded = SAMPLES / flavour / f"{OPERATION}_1000rows.response.xml"
    if recorded.exists():
        source, wsdl = "recording", (SAMPLES / flavour / "wsdl.xml").read_bytes()
        body = repeated(recorded.read_bytes(), rows)
    else:
        source, (wsdl, body) = "embedded shop", made_up(flavour, rows)
    client = zeep_client(wsdl)
    service = next(iter(client.wsdl.services.values()))
    operation = next(iter(service.ports.values())).binding.get(OPERATION)
    return Case(source, body, client, operation, reply_shape(operation))


def zeep_client(wsdl: bytes) -> Any:
    """Return a zeep client without a network."""
    encoding = resources.files("magento_pager.shop").joinpath("encoding.xsd").read_bytes()
    documents = {"http://localhost/?wsdl=1": wsdl, "http://schemas.xmlsoap.org/soap/encoding/": encoding}
    return zeep.Client("http://localhost/?wsdl=1", transport=SimpleNamespace(load=documents.__getitem__))


def repeated(body: bytes, rows: int) -> bytes:
    """Return a reply with its rows repeated up to that many rows.

    >>> repeated(b"<result t='x[2]'><item>a</item><item>b</item></result>", 3)
    b"<result t='x[3]'><item>a</item><item>b</item><item>a</item></result>"
    """
    end = next(end for end in (b"</item>", b"</complexObjectArray>", b"</struct></value>") if end in body)
    start = re.search(rb"\s*<(item|complexObjectArray|value><struct)\b", body)
    if start is None:
        raise ValueError("a reply without rows cannot be repeated")
    head, rest = body[: start.start()], body[start.start() :]
    *all_rows, tail = rest.split(end)
    repeated_rows = b"".join(all_rows[number % len(all_rows)] + end for number in range(rows))
    return re.sub(rb"\[[0-9]+\]", b"[%d]" % rows, head) + repeated_rows + tail


def made_up(flavour: Flavour, rows: int) -> tuple[bytes, bytes]:
    """Return the WSDL of an embedded shop, and its reply with that many orders."""
    with Shop(flavour=flavour, orders=rows) as shop:
        wsdl = requests.get(f"{shop.url}?wsdl=1", timeout=60).content
        client = zeep_client(wsdl)
        login = client.create_message(client.service, "login", username=shop.user, apiKey=shop.key)
        answer = etree.fromstring(requests.post(shop.url, data=etree.tostring(login), timeout=60).content)
        session = answer.findtext(".//loginReturn") or answer.findtext(".//result")
        call = client.create_message(client.service, OPERATION, sessionId=session, filters={})
        return wsdl, requests.post(shop.url, data=etree.tostring(call), timeout=600).content


def check_identical(case: Case, rows: int) -> None:
    """Check that both sides return the same rows.

    Raises:
        AssertionError: a row differs, except in the documented reading of empty texts.
    """
    has_line_breaks = etree.fromstring(case.body).text == "\n"
    theirs = [
        {name: "" if has_line_breaks and text == "\n" else text for name, text in row.items() if text is not None}
        for row in serialize_object(case.decode_by_zeep(), dict)
    ]
    ours = case.decode_by_us(Forms())
    if len(ours) != rows or ours != theirs:
        raise AssertionError(f"{case.shape.operation}: {len(ours)} rows by us are not the {len(theirs)} by zeep")


def minimum_cpu(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the minimum CPU seconds of each side, in rounds in which they take turns."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, run in sides.items():
            began = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - began)
    return best


def figures(flavour: Flavour, rows: int) -> dict[str, object]:
    """Return one line of the output."""
    case = case_of(flavour, rows)
    check_identical(case, rows)
    forms = Forms()
    seconds = minimum_cpu(
        {
            "zeep": case.decode_by_zeep,
            "ours": lambda: case.decode_by_us(forms),
            "cold": lambda: case.decode_by_us(Forms()),
            "lxml": case.parse_by_lxml,
        },
        ROUNDS[rows],
    )
    return line(flavour, rows, case.source, case.body, seconds, peer="zeep")


def xmlrpc_figures(rows: int) -> dict[str, object]:
    """Return one line of the output, for XML-RPC."""
    recorded = SAMPLES / "xmlrpc" / "sales_order.list_typical.response.xml"
    if recorded.exists():
        source, body = "recording", repeated(recorded.read_bytes(), rows)
    else:
        source, body = "embedded shop", made_up_xmlrpc(rows)
    theirs: Any = xmlrpc.client.loads(body)[0][0]
    texts = [{name: str(value) if isinstance(value, int) else value for name, value in row.items()} for row in theirs]
    assert list(ours.rows(pieces(body), "call")) == texts, "our rows are not those of xmlrpc.client"
    seconds = minimum_cpu(
        {
            "client": lambda: xmlrpc.client.loads(body),
            "ours": lambda: list(ours.rows(pieces(body), "call")),
            "lxml": lambda: etree.fromstring(body),
        },
        ROUNDS[rows],
    )
    return line("xml-rpc", rows, source, body, seconds, peer="client")


def made_up_xmlrpc(rows: int) -> bytes:
    """Return the XML-RPC reply of an embedded shop with that many orders."""
    with Shop(orders=rows) as shop:
        login = requests.post(shop.xmlrpc_url, data=ours.request("login", shop.user, shop.key), timeout=60)
        call = ours.request("call", ours.value_of(login.content, "login"), "sales_order.list")
        return requests.post(shop.xmlrpc_url, data=call, timeout=600).content


def line(
    flavour: str, rows: int, source: str, body: bytes, seconds: Mapping[str, float], *, peer: str
) -> dict[str, object]:
    """Return the figures of a reply from the seconds of each side; `peer` is the side to compare ours with."""
    return {
        "benchmark": "decode",
        "flavour": flavour,
        "rows": rows,
        "body": source,
        "bytes_per_row": round(len(body) / rows),
        **{f"{name}_us": round(cpu * 1e6 / rows, 1) for name, cpu in seconds.items()},
        "ratio": round(seconds[peer] / seconds["ours"], 1),
        "ratio_lxml": round(seconds["lxml"] / seconds["ours"], 2),
        "identical": True,
    }


def main() -> int:
    """Print the figures."""
    flavours: tuple[Flavour, ...] = ("rpc", "wsi")
    for flavour in flavours:
        for rows in SIZES:
            print(json.dumps(figures(flavour, rows)), flush=True)
    for rows in SIZES:
        print(json.dumps(xmlrpc_figures(rows)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
