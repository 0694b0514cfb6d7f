"""Every trouble of the embedded shop: what it is over the wire, and what the client makes of it.

The table is the shop's, the advice the client's; they share no code.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import requests

import magento_pager
from magento_pager import RemoteError
from magento_pager.cli import run
from magento_pager.fake import TROUBLES, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

HARMLESS = {"blanks"}
OF_THE_SHOP = {
    # what no row can be the cause of; a walk stops, or waits
    "bot-check": "a bot check in front of the shop",
    "fault-schema": "the shop's WSDL is broken, usually by a module",
    "fault-extension": "PHP on the server lacks the extension soap",
    "fault-wsdl": "enable the WSDL cache",
    "fault-database": "its database is busy",
    "json-403": "a firewall or bot protection refused the call",
    "page": "a page of HTML came instead of a reply ('My shop')",
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
    "fatal": "PHP gave up on the call in these words",
    "fatal-page": "PHP gave up on the call in these words",
    "fatal-500": "PHP gave up on the call in these words",
    "debug": "something is printed before the XML",
    "report-200": "Magento's error report",
    "empty": "the reply is empty",
    "half": "was cut short",
    "firewall": "a firewall in front of the shop refused the call",
    "json": "a firewall in front of the shop refused the call",
    "gzip": "is compressed (gzip)",
    "zlib": "is compressed (deflate)",
    "deflate": "is compressed (deflate)",
    "short-length": "Content-Length is shorter than the body: PHP output in front of it",
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
    """A shop of each flavour, and a pager for it, connected before anything is wrong."""
    with ExitStack() as stack:
        found = {}
        for flavour in ("rpc", "wsi"):
            shop = stack.enter_context(Shop(orders=60, flavour=flavour))
            found[flavour] = shop, stack.enter_context(magento_pager.connect(shop.url, shop.user, shop.key))
        yield found


def test_every_trouble_is_tried() -> None:
    """None is left out here."""
    assert TROUBLES.keys() == HARMLESS | OF_THE_SHOP.keys() | OF_A_ROW.keys()
    assert not OF_THE_SHOP.keys() & OF_A_ROW.keys()


@pytest.mark.parametrize("name", [*OF_A_ROW, *HARMLESS])
@pytest.mark.parametrize(
    ("flavour", "entity"), [("rpc", "orders"), ("wsi", "orders"), ("rpc", "shipments"), ("rpc", "customers")]
)
def test_a_row_in_trouble_is_skipped_by_name(shops: dict[str, Any], name: str, flavour: str, entity: str) -> None:
    """All others come, and the words say what was wrong with it."""
    if flavour == "wsi" and name in {"wrong-count", "wrong-type"}:
        pytest.skip("WS-I announces nothing")
    shop, pager = shops[flavour]
    ids = sorted(shop.database.ids(entity))
    shop.change(trouble=name, trouble_rows=ids[7:8], trouble_list=entity)
    rows: list[Any] = []
    skipped: dict[int, str] = {}
    for page in pager.list(entity, patience=5.0).pages():  # a wrong length ends the connection
        rows += page.rows
        skipped |= {one.id: one.reason for one in page.quarantined}
    shop.change(trouble="")
    if name in HARMLESS:
        assert (len(rows), skipped) == (len(ids), {})
        return
    assert len(rows) == len(ids) - 1
    assert list(skipped) == [ids[7]]
    assert OF_A_ROW[name] in skipped[ids[7]]


@pytest.mark.parametrize("name", OF_THE_SHOP)
def test_a_shop_in_trouble_is_told(shops: dict[str, Any], name: str) -> None:
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
        ("fatal", "PHP gave up on the call in these words"),
        ("bot-check", "a bot check in front of the shop"),
        ("gzip", "is compressed (gzip)"),
        ("empty", "PHP gave up while making the WSDL"),
        ("half", "it was cut short"),
    ],
)
def test_a_wsdl_in_trouble_is_told(name: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """By the library, the command line and `doctor`, with one advice."""
    with Shop(orders=5, trouble=name, trouble_at="wsdl") as shop:
        assert run(["dump", "orders", "--url", shop.url, "--user", shop.user, "--key", shop.key]) == 1
        assert words in capfd.readouterr().err
        assert words in magento_pager.doctor(shop.url, shop.user, shop.key).advice[0]
        shop.change(trouble="blanks", trouble_at="everything")
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            assert sum(len(page.rows) for page in pager.orders().pages()) == 5


def test_records_in_trouble(shops: dict[str, Any]) -> None:
    """A row whose reply is broken is skipped with details, too, whether by XML-RPC or by SOAP."""
    for shop, pager in shops.values():
        ids = sorted(shop.database.ids("customers"))
        for name in ("fault", "fatal", "notice", "http-501", "wrong-count"):
            shop.change(trouble=name, trouble_rows=[ids[7]], trouble_list="customers")
            found = list(pager.customers(details=True, patience=0.0).pages())
            shop.change(trouble="")
            if name == "wrong-count" and pager.connection.flavour == "wsi":
                continue
            assert [one.id for page in found for one in page.quarantined] == [ids[7]]
            assert sum(len(page.rows) for page in found) == len(ids) - 1


def test_xml_rpc_is_in_trouble_too(shops: dict[str, Any]) -> None:
    """Where every reply is."""
    shop, _ = shops["rpc"]
    shop.change(trouble="json-403", trouble_rows=())
    assert requests.post(shop.xmlrpc_url, data=b"<methodCall/>", timeout=5).status_code == 403
    shop.change(trouble="")


def test_what_is_no_trouble_is_refused() -> None:
    """The error names those there are."""
    with pytest.raises(ValueError, match="no trouble 'x': choose one of fault, "):
        Shop(trouble="x")
    with pytest.raises(ValueError, match="trouble_at is calls, wsdl, everything"):
        Shop(trouble_at="x")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match="no list 'x' in trouble"):
        Shop(trouble_list="x")
