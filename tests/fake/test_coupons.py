"""A made-up list, added to a copy of the embedded shop as docs/contributing.md describes.

The copy runs in another process, by `serve`, and is tested over HTTP, so that the whole shop is tested and not only the
parts that a test would call.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xmlrpc.client
from contextlib import closing, contextmanager
from dataclasses import dataclass
from html import escape
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, cast

import pytest
import requests
from added_list import size, with_coupons
from clients import client, envelope, filters
from conftest import SPOKEN
from lxml import etree
from mariadb_server import running_mariadb

from magento_pager.fake.profiles import PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from magento_pager.fake.declarations import Flavour

LATER = """
        since=(1, 7, 0, 0),
        details=(operation("salesCouponInfo", "sessionId couponId:int", "result:salesCouponEntity"),),
"""
ROWS = {
    "orders": {"columns": ["entity_id"], "rows": [[7], [8]]},
    "coupons": {
        "columns": ["entity_id", "code", "times_used", "discount_amount", "updated_at"],
        "rows": [
            [3, "A", 0, "5.0000", "2024-03-01 08:00:00"],
            [5, "B<&", 1, "7.5000", "2024-03-02 00:00:00"],
            [10, "C", 1, None, "2024-03-03 10:00:00"],
            [12, "d", 4, "5.0000", "2024-03-04 10:30:00"],
            [103, "ä", 9, "100.0000", "2024-04-01 00:00:00"],
        ],
    },
}
FLAVOURS: tuple[Flavour, ...] = ("rpc", "wsi")
ASKED: list[tuple[list[tuple[str, str, str]], list[int] | str]] = [
    ([], [3, 5, 10, 12, 103]),
    ([("coupon_id", "", "10")], [10]),
    ([("entity_id", "gteq", "12")], [12, 103]),
    ([("code", "", "D")], [12]),
    ([("code", "like", "%<&%")], [5]),
    ([("times_used", "", "1"), ("coupon_id", "lt", "6")], [5]),
    ([("updated_at", "from", "2024-03-03 00:00:00"), ("coupon_id", "lteq", "12")], [10, 12]),
    ([("discount_amount", "null", "1")], [10]),
    ([("discount_amount", "gt", "6")], [5, 103]),
    ([("coupon", "", "1")], "1"),
]
"""Conditions, as field, operator and value, and the ids or the fault that every version answers."""
BOTH_NAMES = [("coupon_id", "gteq", "5"), ("entity_id", "lt", "12")]
"""Two conditions on one column under two names: up to 1.6.2.0 both hold, later the one on the row's field wins."""
ONE_NAME = [("coupon_id", "gteq", "5"), ("coupon_id", "lt", "12")]
"""Two conditions on one name, of which one is lost: the first up to 1.7.0.2, the second from 1.8.1.0."""


@dataclass(frozen=True)
class Served:
    """A shop in another process.

    Attributes:
        url: the address for SOAP calls.
        user: the name of its API user.
        key: the key of that user.
        commands: its standard input.
        answers: its standard output.
    """

    url: str
    user: str
    key: str
    commands: IO[str]
    answers: IO[str]

    def command(self, **command: Any) -> Any:
        """Send a command that changes the running shop."""
        self.commands.write(json.dumps(command) + "\n")
        self.commands.flush()
        return json.loads(self.answers.readline())["ok"]

    def xmlrpc(self, path: str, *arguments: Any) -> Any:
        """Log in, and call by path."""
        transport = xmlrpc.client.Transport()
        url = self.url.replace("v2_soap", "xmlrpc")
        with closing(transport), xmlrpc.client.ServerProxy(url, transport, allow_none=True) as proxy:
            return proxy.call(proxy.login(self.user, self.key), path, list(arguments))


@dataclass(frozen=True)
class Soap:
    """A client that writes its requests by hand.

    Attributes:
        shop: the shop to call.
        version: its version.
        flavour: `rpc` or `wsi`.
    """

    shop: Served
    version: str
    flavour: Flavour

    @property
    def item(self) -> str:
        """The element of one item of an array."""
        return "item" if self.flavour == "rpc" else "complexObjectArray"

    def call(self, operation: str, **arguments: str) -> etree._Element | str:
        """Call an operation, and return the element of its result, or the code of its fault."""
        name = operation
        if self.flavour == "wsi":
            name += "Param" if operation == "login" else "RequestParam"
        inner = "".join(f"<{key}>{value}</{key}>" for key, value in arguments.items())
        body = envelope(f"<n:{name}>{inner}</n:{name}>", PROFILES[self.version].namespace)
        reply = etree.fromstring(requests.post(self.shop.url, body, timeout=30).content)
        fault = reply.findtext(".//faultcode")
        return fault if fault is not None else reply[0][0][0]

    def result(self, operation: str, **arguments: str) -> etree._Element:
        """Call an operation that must not fail, and return the element of its result."""
        element = self.call(operation, **arguments)
        assert not isinstance(element, str), element
        return element

    def login(self) -> str:
        """Return the id of a new session."""
        return str(self.result("login", username=self.shop.user, apiKey=self.shop.key).text)

    def list_call(self, *conditions: tuple[str, str, str]) -> etree._Element | str:
        """Call the added list; a condition without an operator is a simple filter."""
        simple = "".join(
            f"<{self.item}>{_pair(field, value)}</{self.item}>" for field, op, value in conditions if not op
        )
        complex_ = "".join(
            f"<{self.item}><key>{field}</key><value>{_pair(op, value)}</value></{self.item}>"
            for field, op, value in conditions
            if op
        )
        filter_xml = f"<filter>{simple}</filter><complex_filter>{complex_}</complex_filter>"
        return self.call("salesCouponList", sessionId=self.login(), filters=filter_xml)

    def coupons(self, *conditions: tuple[str, str, str]) -> list[dict[str, str]]:
        """Return the rows of the added list."""
        rows = self.list_call(*conditions)
        assert not isinstance(rows, str), rows
        assert {row.tag for row in rows} <= {self.item}
        return [{field.tag: field.text or "" for field in row} for row in rows]

    def ids(self, *conditions: tuple[str, str, str]) -> list[int] | str:
        """Return the ids of the rows, sorted, or the code of a fault."""
        rows = self.list_call(*conditions)
        return rows if isinstance(rows, str) else sorted(int(row.findtext("coupon_id") or 0) for row in rows)


def _pair(key: str, value: str) -> str:
    return f"<key>{key}</key><value>{escape(value)}</value>"


@contextmanager
def served(sources: Path, *options: str) -> Iterator[Served]:
    """Run a shop from these sources by the command line."""
    command = [sys.executable, "-m", "magento_pager", "serve", "--control", *options]
    environment = {**os.environ, "PYTHONPATH": str(sources)}
    with subprocess.Popen(  # noqa: S603 -- our own
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Served(**json.loads(process.stdout.readline()), commands=process.stdin, answers=process.stdout)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the copy with the added list."""
    return with_coupons(tmp_path_factory.mktemp("seventh"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of rows."""
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shop(sources: Path, rows: Path) -> Iterator[Served]:
    """Return a shop with the rows of the file; the tests do not change it."""
    with served(sources, "--rows", str(rows)) as running:
        yield running


def test_a_list_takes_at_most_twenty_lines() -> None:
    """The entries for the embedded shop fit on one screen."""
    assert 0 < size(of="/fake/") <= 20


@pytest.mark.parametrize(("version", "flavour"), SPOKEN)
def test_every_version_filters_the_list(shop: Served, version: str, flavour: Flavour) -> None:
    """Each filter returns the right rows, with those declared fields that the table has."""
    shop.command(profile=[version, flavour])
    soap = Soap(shop, version, flavour)
    assert [soap.ids(*conditions) for conditions, _ in ASKED] == [answer for _, answer in ASKED]
    assert soap.ids(*BOTH_NAMES) == ([5, 10] if version < "1.7" else [5, 10, 12, 103])
    assert soap.ids(*ONE_NAME) == ([3, 5, 10] if version < "1.8" else [5, 10, 12, 103])
    (first,) = soap.coupons(("coupon_id", "", "3"))
    assert list(first) == ["coupon_id", "code", "rule_id", "times_used", "discount_amount", "created_at", "updated_at"]
    assert (first["code"], first["rule_id"], first["updated_at"]) == ("A", "1", "2024-03-01 08:00:00")


@pytest.mark.sampled
@pytest.mark.parametrize(("version", "flavour"), SPOKEN)
def test_the_wsdl_declares_the_list(shop: Served, version: str, flavour: Flavour) -> None:
    """A client that knows only the WSDL reads the rows, with the declared types."""
    shop.command(profile=[version, flavour])
    zeep_client = client(cast("Any", SimpleNamespace(url=shop.url)))
    session = zeep_client.service.login(shop.user, shop.key)
    rows = zeep_client.service.salesCouponList(session, filters(zeep_client, complex_=[("coupon_id", "from", "12")]))
    assert [(coupon["coupon_id"], coupon["code"], coupon["gift_message"]) for coupon in rows] == [
        (12, "d", None),
        (103, "ä", None),
    ]


@pytest.mark.parametrize("path", ["sales_coupon", "coupon"])
def test_xmlrpc_returns_the_list(shop: Served, path: str) -> None:
    """Nested filters are exact, each row has all columns of the table, and there is no call for a record."""
    shop.command(profile="20.0.20")
    coupons = shop.xmlrpc(f"{path}.list", {"coupon_id": {"from": 5, "to": 12}, "times_used": 1})
    assert [coupon["coupon_id"] for coupon in coupons] == [5, 10]
    assert coupons[1].items() >= {"code": "C", "discount_amount": None, "usage_limit": None}.items()
    with pytest.raises(xmlrpc.client.Fault, match="Invalid api path"):
        shop.xmlrpc(f"{path}.info", 5)


def test_settings_affect_the_list(shop: Served) -> None:
    """The right to it can be withdrawn, and too many of its rows exhaust the memory."""
    shop.command(profile=["20.0.20", "rpc"])
    soap = Soap(shop, "20.0.20", "rpc")
    shop.command(knobs={"denied": ["coupons"]})
    assert soap.ids() == "2"
    shop.command(knobs={"denied": [], "memory_limit_rows": 4})
    assert soap.ids() == "SOAP-ENV:Server"
    assert soap.ids(("coupon_id", "lt", "100")) == [3, 5, 10, 12]
    shop.command(knobs={"memory_limit_rows": 0})
    assert soap.ids() == [3, 5, 10, 12, 103]


def test_rows_of_the_list_are_made_up_and_can_change(sources: Path) -> None:
    """Their number depends on the number of orders, and they are inserted, updated and deleted like other rows."""
    with served(sources, "--orders", "400") as shop:
        soap = Soap(shop, "20.0.20", "rpc")
        coupons = soap.coupons()
        assert len(coupons) == 100
        assert {coupon["rule_id"] for coupon in coupons} == {"1"}
        assert all(coupon["code"] == f"SAVE{coupon['coupon_id']}" for coupon in coupons)
        assert all("2023" < coupon["created_at"] <= coupon["updated_at"] for coupon in coupons)
        new = shop.command(insert=["coupons", {"code": "MINE", "discount_amount": 5}])
        assert new == max(int(coupon["coupon_id"]) for coupon in coupons) + 1
        (coupon,) = soap.coupons(("code", "", "MINE"))
        assert (coupon["coupon_id"], coupon["discount_amount"], coupon["rule_id"]) == (str(new), "5.0000", "1")
        assert shop.command(update=["coupons", new, {"updated_at": "2040-01-01 00:00:00"}]) is True
        assert soap.ids(("updated_at", "gteq", "2040-01-01")) == [new]
        assert shop.command(delete=["coupons", new]) is True
        assert soap.ids(("code", "", "MINE")) == []


def test_the_list_may_have_a_first_version_and_details(tmp_path: Path, rows: Path) -> None:
    """With two more lines older versions lack the list, and newer ones return single records, under the same right."""
    with served(with_coupons(tmp_path, LATER), "--rows", str(rows), "--profile", "1.6.2.0") as shop:
        assert Soap(shop, "1.6.2.0", "rpc").ids() == "SOAP-ENV:Server"
        with pytest.raises(xmlrpc.client.Fault, match="Invalid api path"):
            shop.xmlrpc("sales_coupon.list")
        for flavour in FLAVOURS:
            shop.command(profile=["1.7.0.2", flavour])
            soap = Soap(shop, "1.7.0.2", flavour)
            record = soap.result("salesCouponInfo", sessionId=soap.login(), couponId="12")
            assert (record.findtext("coupon_id"), record.findtext("code")) == ("12", "d")
            assert soap.call("salesCouponInfo", sessionId=soap.login(), couponId="13") == "100"
            assert soap.ids() == [3, 5, 10, 12, 103]
        assert shop.xmlrpc("sales_coupon.info", "12")["code"] == "d"
        shop.command(knobs={"denied": ["coupons"]})
        assert soap.call("salesCouponInfo", sessionId=soap.login(), couponId="12") == "2"


@pytest.mark.slow
def test_the_list_works_on_mariadb(sources: Path, rows: Path) -> None:
    """The answers are the same on a real database, and rows are made up and change there too."""
    with running_mariadb() as mariadb:
        with served(sources, "--rows", str(rows), "--database", mariadb.url()) as shop:
            soap = Soap(shop, "20.0.20", "rpc")
            assert [soap.ids(*conditions) for conditions, _ in ASKED] == [answer for _, answer in ASKED]
            assert len(soap.coupons()[0]) == 7
            assert shop.command(insert=["coupons", {"code": "MINE"}]) == 104
            assert shop.command(update=["coupons", 104, {"times_used": 77}]) is True
            assert soap.ids(("times_used", "", "77")) == [104]
            assert shop.command(delete=["coupons", 104]) is True
            assert soap.ids(("times_used", "", "77")) == []
        with served(sources, "--orders", "40", "--database", mariadb.url()) as shop:
            assert len(Soap(shop, "20.0.20", "rpc").coupons()) == 10
