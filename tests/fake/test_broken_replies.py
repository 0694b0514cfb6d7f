"""Every trouble of the embedded shop, as a reply and as reported by the client.

The table of troubles belongs to the shop, the advice to the client; they share no code.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from functools import cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests

import magento_pager
from magento_pager import RemoteError
from magento_pager.cli import run
from magento_pager.fake import TROUBLES, Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from magento_pager.fake.declarations import Flavour
    from magento_pager.fake.settings import TroubleAt
    from magento_pager.lists import ListName, Wire

HARMLESS = {"blanks"}
UNDETECTABLE = {"column-missing", "value-changed"}
"""Correct replies with other rows, which only a comparison with the other protocol shows."""
OF_THE_SHOP = {
    # troubles that no row can cause; a walk stops or waits
    "bot-check": "a bot check in front of the shop",
    "fault-schema": "the shop's WSDL is broken, usually by a module",
    "fault-extension": "PHP on the server lacks the extension soap",
    "fault-wsdl": "Enable the WSDL cache",
    "fault-database": "database is busy",
    "json-403": "a firewall or bot protection refused the call",
    "page": "a page of HTML arrived instead of a reply ('My shop')",
    "report": "Magento's error report",
    **{f"http-{status}": f"HTTP {status}; " for status in (401, 403, 404, 405, 429, 502, 503, 504, 508, 520)},
}
OF_A_ROW = {
    "fault": "No date part in",
    "fault-php": "Call to undefined method",
    "fault-0": "Unknown Error",
    "fault-property": "object has no 'code' property",
    "fault-encoding": "is not a valid utf-8 string",
    "fault-memory": "Allowed memory size",
    "fault-time": "Maximum execution time",
    "notice": "PHP prints a notice before the XML",
    "notice-behind": "something follows the reply ('Notice: Undefined variable",
    "fatal": "PHP failed with this message",
    "fatal-page": "PHP failed with this message",
    "fatal-500": "PHP failed with this message",
    "debug": "prints something before the XML",
    "report-200": "Magento's error report",
    "empty": "the reply is empty",
    "half": "was cut short",
    "firewall": "a firewall in front of the shop refused the call",
    "json": "a firewall in front of the shop refused the call",
    "gzip": "is compressed (gzip)",
    "zlib": "is compressed (deflate)",
    "deflate": "is compressed (deflate)",
    "short-length": "Content-Length is shorter than the body. Either PHP prints",
    "long-length": "Content-Length is longer than the body",
    **{f"http-{status}": f"HTTP {status}; " for status in (400, 409, 418, 500, 501)},
    "markup": "malformed",
    "control-character": "--repair control-characters",
    "not-utf-8": "malformed",
    "undeclared": "which the WSDL does not declare",
    "doubled": "twice",
    "comment": "a comment",
    "cdata": "a CDATA section",
    "wrong-count": "announces 9",
    "wrong-type": "is typed 'xsd:string'",
    "large": "no row ends",
}


@pytest.fixture(scope="module")
def shops() -> Iterator[dict[str, Any]]:
    """Return a shop of each flavour, with a pager that was connected before the trouble began."""
    with ExitStack() as stack:
        by_flavour = {}
        for flavour in ("rpc", "wsi"):
            shop = stack.enter_context(Shop(orders=150, flavour=flavour))
            by_flavour[flavour] = shop, stack.enter_context(magento_pager.connect(shop.url, shop.user, shop.key))
        yield by_flavour


def test_every_trouble_is_tested() -> None:
    """None is missing here."""
    assert TROUBLES.keys() == HARMLESS | UNDETECTABLE | OF_THE_SHOP.keys() | OF_A_ROW.keys()
    assert not OF_THE_SHOP.keys() & OF_A_ROW.keys()


PASSING = {
    # temporary troubles, which are permanent if a row causes them
    "fault-database": "MySQL server has gone away",
    "fault-wsdl": "Couldn't load from",
    "page": "a page of HTML arrived",
    "report": "Magento's error report",
    **{f"http-{status}": f"HTTP {status}; " for status in (429, 502, 503, 504, 508, 520)},
}
BY_XML_RPC = {
    # without PHP's SOAP server, which sends the text of fatal errors
    **dict.fromkeys(
        ("fault-php", "fault-property", "fault-encoding", "fault-memory", "fault-time"), "HTTP 500; PHP failed"
    ),
    "fault-wsdl": "HTTP 500; PHP failed",
    **dict.fromkeys(("undeclared", "doubled"), "<member> that is not a <name> with a <value>"),
}


class Place(NamedTuple):
    """A list, and the replies with the trouble."""

    flavour: Flavour
    entity: ListName
    at: TroubleAt
    no_xmlrpc: bool = False
    wire: Wire = "soap"


WIRES = {
    "orders by RPC": Place("rpc", "orders", "lists"),
    "orders by WS-I": Place("wsi", "orders", "lists"),
    "orders by XML-RPC": Place("wsi", "orders", "lists", wire="xml-rpc"),
    "shipments, which carry no ids": Place("rpc", "shipments", "lists"),
    "shipments by XML-RPC": Place("rpc", "shipments", "lists", wire="xml-rpc"),
    "customers, in lists and records": Place("wsi", "customers", "calls"),
    "customers, in lists and records by XML-RPC": Place("rpc", "customers", "calls", wire="xml-rpc"),
    "records of orders by SOAP": Place("rpc", "orders", "records", no_xmlrpc=True),
    "records of orders by XML-RPC": Place("wsi", "orders", "records"),
    "addresses of customers by SOAP": Place("wsi", "customers", "records", no_xmlrpc=True),
    "records of products by XML-RPC": Place("rpc", "products", "records"),
}
CHOICES: dict[str, Callable[[list[int]], list[int]]] = {
    "one row": lambda ids: ids[len(ids) // 2 :][:1],
    "2 % of the rows": lambda ids: [*ids[20:-1:50], ids[-1]],
    "the first five rows": lambda ids: ids[:5],
}
ALL_CHOICES = ("orders by RPC", "shipments by XML-RPC", "addresses of customers by SOAP")
"""Lists that are also tested with several such rows: one by each protocol, with ids and without, and records."""


@pytest.fixture(scope="module")
def plain(shops: dict[str, Any]) -> Callable[[str], tuple[dict[int, Any], int]]:
    """Return the rows of a protocol by id without trouble, and the number of calls for all of them."""

    @cache
    def of(wire: str) -> tuple[dict[int, Any], int]:
        flavour, entity, at, no_xmlrpc, name = WIRES[wire]
        shop, pager = shops[flavour]
        shop.change(no_xmlrpc=no_xmlrpc)
        listing = partial(pager.list, entity, details=at != "lists", wire=name, columns="declared")
        list(listing())
        shop.clear_log()
        rows = list(listing())
        calls = len(shop.log)
        if entity == "shipments":  # their increment ids consist of the store and the id
            rows.sort(key=lambda row: int(row["increment_id"][1:]))
        return dict(zip(sorted(shop.database.ids(entity)), rows, strict=True)), calls

    return of


@pytest.mark.sampled
@pytest.mark.parametrize("name", [*OF_A_ROW, *PASSING, *HARMLESS])
@pytest.mark.parametrize(
    ("wire", "rows_with_trouble"),
    [(wire, choice) for choice in CHOICES for wire in (WIRES if choice == "one row" else ALL_CHOICES)],
)
@pytest.mark.usefixtures("hurried")
def test_rows_that_cause_trouble_are_skipped_and_named(
    shops: dict[str, Any],
    plain: Callable[[str], tuple[dict[int, Any], int]],
    name: str,
    wire: str,
    rows_with_trouble: str,
) -> None:
    """All other rows are delivered, the reason is named, and it takes neither many calls nor much time."""
    flavour, entity, at, no_xmlrpc, protocol = WIRES[wire]
    if name in {"wrong-count", "wrong-type"} and (
        flavour == "wsi" or protocol == "xml-rpc" or (at == "records" and not no_xmlrpc)
    ):
        pytest.skip("WS-I and XML-RPC announce nothing")
    if name == "large" and at == "records":
        pytest.skip("a record may be longer than a row")
    shop, pager = shops[flavour]
    expected, normal_calls = plain(wire)
    troubled = CHOICES[rows_with_trouble]([number for number, row in expected.items() if row.get("addresses") != []])
    broken = [] if name in HARMLESS else troubled
    shop.change(trouble=name, trouble_rows=troubled, trouble_list=entity, trouble_at=at, no_xmlrpc=no_xmlrpc)
    shop.clear_log()
    rows: list[Any] = []
    skipped: dict[int, str] = {}
    began = time.monotonic()
    try:
        for page in pager.list(entity, details=at != "lists", wire=protocol, columns="declared").pages():
            rows += page.rows
            skipped |= {row.id: row.reason for row in page.quarantined}
    finally:
        calls, seconds = len(shop.log), time.monotonic() - began
        shop.change(trouble="", trouble_rows=(), trouble_at="calls", no_xmlrpc=False)
    assert list(skipped) == broken
    order = itemgetter("increment_id") if entity == "shipments" else lambda _: 0
    assert sorted(rows, key=order) == sorted(
        (expected[number] for number in expected if number not in broken), key=order
    )
    text = (OF_A_ROW | PASSING | (BY_XML_RPC if protocol == "xml-rpc" else {})).get(name, "")
    alternative = "Remote end closed" if name == "short-length" else text  # if the rest of the reply before is read
    assert [reason for reason in skipped.values() if text not in reason and alternative not in reason] == []
    assert calls - normal_calls <= 60 * len(troubled)
    assert seconds < 120


@pytest.mark.parametrize("name", OF_THE_SHOP)
def test_trouble_of_every_reply_is_reported(shops: dict[str, Any], name: str) -> None:
    """The message names the cause, and `doctor` gives the same advice."""
    shop, pager = shops["rpc"]
    shop.change(trouble=name, trouble_rows=())
    try:
        with pytest.raises(RemoteError, match=re.escape(OF_THE_SHOP[name])) as caught:
            list(pager.orders(patience=0.0).pages())
        advice = " ".join(magento_pager.doctor(shop.url, shop.user, shop.key).advice)
    finally:
        shop.change(trouble="")
    assert advice.removeprefix("login: ")[:60] == str(caught.value).partition(": ")[2][:60]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("notice", "PHP prints a notice before the XML"),
        ("http-500", "the server failed while making its WSDL"),
        ("fatal", "PHP failed with this message"),
        ("bot-check", "a bot check in front of the shop"),
        ("gzip", "is compressed (gzip)"),
        ("empty", "PHP failed while making the WSDL"),
        ("half", "It was cut short"),
    ],
)
def test_trouble_of_the_wsdl_is_reported(name: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The library, the command line and `doctor` report it with the same advice."""
    with Shop(orders=5, trouble=name, trouble_at="wsdl") as shop:
        assert run(["dump", "orders", "--url", shop.url, "--user", shop.user, "--key", shop.key]) == 1
        assert words in capfd.readouterr().err
        assert words in magento_pager.doctor(shop.url, shop.user, shop.key).advice[0]
        shop.change(trouble="blanks", trouble_at="everything")
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            assert sum(len(page.rows) for page in pager.orders().pages()) == 5


def test_trouble_of_every_reply_includes_xml_rpc(shops: dict[str, Any]) -> None:
    """By default a trouble affects both protocols."""
    shop, _ = shops["rpc"]
    shop.change(trouble="json-403", trouble_rows=())
    assert requests.post(shop.xmlrpc_url, data=b"<methodCall/>", timeout=5).status_code == 403
    shop.change(trouble="")


def test_an_unknown_trouble_is_refused() -> None:
    """The error lists the known ones."""
    with pytest.raises(ValueError, match=r"There is no trouble 'x'\. Choose one of fault, "):
        Shop(trouble="x")
    with pytest.raises(ValueError, match="trouble_at must be one of calls, wsdl, everything"):
        Shop(trouble_at="x")  # type: ignore[arg-type]  # an invalid value
    with pytest.raises(ValueError, match="There is no list 'x' for trouble_list"):
        Shop(trouble_list="x")
