"""Records in full: both protocols give the same rows, and a broken record affects no other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

import pytest
import responses
from conftest import SPOKEN, slow_after
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

import magento_pager
from magento_pager import FaultError, Goal, MalformedReplyError, PagerError, RemoteError
from magento_pager.cli import run
from magento_pager.fake import Shop, ShopFault
from magento_pager.fake.api import faulty, whole
from magento_pager.fake.profiles import profile
from magento_pager.lists import LISTS, ListName
from magento_pager.shop.connection import Connection
from magento_pager.shop.decoding import Array, Leaf, ReplyFaultError, Struct
from magento_pager.shop.details import MOST_AT_ONCE, Details
from magento_pager.shop.records import as_declared
from magento_pager.shop.xmlrpc import address_beside, request, value_of
from magento_pager.walk.flows import Piece, relayed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from magento_pager import ListName, Page, Pager, Paginator
    from magento_pager.fake.api import Answer, Context
    from magento_pager.fake.declarations import Flavour
    from magento_pager.walk.flows import Flow, Item, Reply
    from magento_pager.walk.pages import Row

CELLS = [(version, flavour, name) for version, flavour in SPOKEN for name in profile(version).lists]
SOME = 150  # ids
MORTAL = Path(__file__).parents[1] / "killed_dumps.py"

MULTI_CALL = b"<methodName>multiCall</methodName>"
"""What is in a call for records by XML-RPC, and in none for a list."""


class OddShop(Shop):
    """A shop whose records and XML-RPC can be changed by a test.

    Attributes:
        lost: keys of records of which it says that there is none.
        broken: keys of records that are a fault.
        mangle: what becomes of the bytes of a reply of XML-RPC.
        exchange: what becomes of a record of XML-RPC.
        heard: methods called by XML-RPC.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lost: set[str] = set()
        self.broken: set[str] = set()
        self.mangle: Callable[[bytes], bytes] = lambda body: body
        self.exchange: Callable[[Any], Any] = lambda record: record
        self.heard: list[int] = []

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer by SOAP."""
        key = next((one.text for one in etree.fromstring(body).iter() if str(one.tag).endswith("IncrementId")), "")
        if key in self.broken:
            return faulty(ShopFault("1", f"SQLSTATE[42S22]: no such column in {key}"), context)
        if key in self.lost:
            return faulty(ShopFault("100", "Requested order not exists."), context)
        return super().soap(body, context)

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer by XML-RPC."""
        answer = super().xmlrpc(body, context)
        if MULTI_CALL not in body:
            return answer
        calls: Any = xmlrpc.client.loads(body)[0][1]
        self.heard.append(len(calls))
        given = b"".join(answer.pieces)
        try:
            results: Any = xmlrpc.client.loads(given)[0][0]
        except (xmlrpc.client.Fault, ExpatError):
            return whole(answer.status, answer.content_type, given, answer.call)
        for number, (_, (key, *_)) in enumerate(calls):
            if key in self.broken:
                results[number] = {"isFault": True, "faultCode": "1", "faultMessage": "Internal Error."}
            elif key in self.lost:
                results[number] = {"isFault": True, "faultCode": "100", "faultMessage": "Requested order not exists."}
            else:
                results[number] = self.exchange(results[number])
        dumped = xmlrpc.client.dumps((results,), methodresponse=True, allow_none=True, encoding="UTF-8")
        return whole(200, answer.content_type, self.mangle(dumped.replace("\r", "&#13;").encode()), answer.call)


@pytest.fixture
def odd() -> Iterator[OddShop]:
    """Return a shop that can be changed."""
    with OddShop(orders=120) as running:
        yield running


@pytest.fixture
def pager(odd: OddShop) -> Iterator[Pager]:
    """Return a pager for the shop."""
    with magento_pager.connect(odd.url, odd.user, odd.key) as connected:
        yield connected


def in_full(pager: Pager, name: ListName = "orders", **options: Any) -> Paginator:
    """Return a list with details, without patience."""
    return pager.list(name, **{"details": True, "patience": 0.0, **options})


def way_of(paginator: Paginator) -> str | None:
    """Return the protocol of the records."""
    details = Details.of(paginator.stages)
    assert details is not None
    return details.way


def why_of(paginator: Paginator) -> str:
    """Return the reason for it."""
    details = Details.of(paginator.stages)
    assert details is not None
    return details.why


@dataclass(frozen=True)
class Between:
    """An event between a page and its details."""

    act: Callable[[Piece], None]

    def through(self, walk: Flow[None]) -> Flow[None]:
        """Continue the walk."""

        def relay(item: Item) -> Flow[Reply]:
            if isinstance(item, Piece):
                self.act(item)
            return (yield item)

        return relayed(walk, relay)


def before_details(paginator: Paginator, act: Callable[[Piece], None]) -> Paginator:
    """Return a paginator with an event between a page and its details."""
    return replace(paginator, stages=(Between(act), *paginator.stages))


def walk_with_skipped_rows(paginator: Paginator) -> tuple[list[Row], dict[int, str]]:
    """Return the rows of a walk, and the reasons for the skipped ones."""
    rows: list[Row] = []
    left_out: dict[int, str] = {}
    for page in paginator.pages():
        rows += page.rows
        left_out |= {one.id: one.reason for one in page.quarantined}
    return rows, left_out


@pytest.mark.sampled
@pytest.mark.parametrize(("version", "flavour", "name"), CELLS)
def test_both_protocols_give_the_same_rows(
    shop_of: Callable[[str, str], Shop], version: str, flavour: str, name: ListName
) -> None:
    """On every version, in both flavours, for all lists, field by field, and more fields than the list."""
    shop = shop_of(version, flavour)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plain = list(pager.list(name, last=SOME))
        fast = in_full(pager, name, last=SOME)
        by_xmlrpc = list(fast)
        shop.change(no_xmlrpc=True)
        try:
            slow = in_full(pager, name, last=SOME)
            by_soap = list(slow)
        finally:
            shop.change(no_xmlrpc=False)
    assert (way_of(fast), why_of(fast)) == ("xml-rpc", "")
    assert way_of(slow) == "soap"
    assert by_xmlrpc == by_soap
    assert len(plain) == len(by_soap) > 5
    for row, more in zip(plain, by_soap, strict=True):
        assert row.items() <= more.items()
        assert len(more) > len(row)
        assert all(value is not None for value in more.values())


@pytest.mark.parametrize(("version", "flavour"), SPOKEN)
def test_an_empty_text_is_kept(tmp_path: Path, version: str, flavour: Flavour) -> None:
    """In rows, in records by both protocols, and in files, on every version: it is not NULL."""
    with Shop(profile=version, flavour=flavour, orders=20) as shop:
        empty, null, *_ = sorted(shop.database.ids("orders"))
        for number, text in ((empty, ""), (null, None)):
            shop.database.update("orders", number, {"customer_firstname": text})
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            found = [list(pager.orders(last=null)), list(in_full(pager, last=null))]
            shop.change(no_xmlrpc=True)
            found.append(list(in_full(pager, last=null)))
        out = tmp_path / "rows.csv"
        asking = ["--url", shop.url, "--user", shop.user, "--key", shop.key, "--columns", "order_id,customer_firstname"]
        assert run(["dump", "--out", str(out), "--last", str(null), *asking]) == 0
    for rows in found:
        assert [row.get("customer_firstname") for row in rows] == ["", None]
    assert out.read_text().splitlines()[1:] == [f'{empty},""', f"{null},"]


def test_an_order_in_full(shop_of: Callable[[str, str], Shop]) -> None:
    """Items, addresses, payment and history, as text; an order without anything to ship has no shipping address."""
    shop = shop_of("20.0.20", "rpc")
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        orders = {order["order_id"]: order for order in in_full(pager, last=400)}
        (customer,) = in_full(pager, "customers", first=7, last=7)
        (product,) = in_full(pager, "products", first=15, last=15)
        shipments = list(in_full(pager, "shipments", last=50))
    order = orders["3"]
    assert [item["order_id"] for item in order["items"]] == ["3"] * int(float(order["total_qty_ordered"]))
    assert order["billing_address"]["street"].startswith("Street ")
    assert order["payment"]["method"] == "checkmo"
    assert [one["status"] for one in order["status_history"]] == [order["status"]]
    for one in orders.values():
        assert ("shipping_address" in one) == (one["is_virtual"] == "0")
    assert {order["is_virtual"] for order in orders.values()} == {"0", "1"}
    assert [one["is_default_billing"] for one in customer["addresses"]] == ["true", "false"]
    assert product["tier_price"] == [{"price": "9.99"}]
    assert all(shipment["shipment_id"] and shipment["tracks"] for shipment in shipments)


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_recorded_order(samples: Path, web: responses.RequestsMock, flavour: str) -> None:
    """A live server's answer for one order is read to the same record in both flavours."""
    found = {}
    for one in ("rpc", "wsi"):
        address = f"http://127.0.0.1:8970/{one}/api/v2_soap/?wsdl=1"  # where it was recorded
        web.add(responses.GET, address, body=(samples / one / "wsdl.xml").read_bytes())
        connection = Connection(address, "demo", "demo-key")
        for name in ("login", "salesOrderInfo"):
            web.add(responses.POST, connection.address, body=(samples / one / f"{name}.response.xml").read_bytes())
        shape = connection.record_shape("salesOrderInfo")
        found[one] = as_declared(connection.record("salesOrderInfo", "100000057", right=""), shape)
        web.reset()
    order = found[flavour]
    assert order == found["rpc"]
    assert (order["order_id"], order["store_name"].splitlines()[1]) == ("100", "Madison Island")
    assert [item["item_id"] for item in order["items"]] == ["240", "241"]
    assert order["billing_address"]["city"] == "New York"
    assert order["payment"]["payment_id"] == "92"
    assert [one["comment"] for one in order["status_history"]] == ["created"]


def without_xmlrpc(shop: OddShop) -> None:
    """Answer that nothing is there."""
    shop.change(no_xmlrpc=True)


def without_the_method(shop: OddShop) -> None:
    """Answer as an XML-RPC server of something else."""
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(620, "Method does not exist")).encode()
    shop.mangle = lambda _: fault


def without_the_path(shop: OddShop) -> None:
    """Answer as an API without orders."""
    shop.exchange = lambda _: {"isFault": True, "faultCode": "3", "faultMessage": "Invalid api path."}


def with_a_page(shop: OddShop) -> None:
    """Answer with a page of HTML and status 200."""
    shop.mangle = lambda _: b"<!DOCTYPE html><title>Shop</title><p>Not here"


def with_other_records(shop: OddShop) -> None:
    """Answer as if a module changed the records of XML-RPC."""
    shop.exchange = lambda record: {**record, "grand_total": "0.0000"}


def with_less(shop: OddShop) -> None:
    """Answer as if a module removed a field."""
    shop.exchange = lambda record: {name: value for name, value in record.items() if name != "items"}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("turn", "why"),
    [
        (without_xmlrpc, "HTTP 404"),
        (without_the_method, "fault 620"),
        (without_the_path, "fault 3"),
        (with_a_page, "a page of HTML"),
        (with_other_records, "different records"),
        (with_less, "different records"),
    ],
)
def test_soap_where_xmlrpc_cannot_be_trusted(
    odd: OddShop, pager: Pager, turn: Callable[[OddShop], None], why: str
) -> None:
    """Whatever is wrong with XML-RPC, the rows are those of SOAP, and the reason is reported."""
    expected = list(in_full(pager, last=60))
    turn(odd)
    orders = in_full(pager, last=60)
    assert list(orders) == expected
    assert way_of(orders) == "soap"
    assert why in why_of(orders)


def test_the_protocols_are_compared_once_per_walk(odd: OddShop, pager: Pager) -> None:
    """All pages use the same one, and only the first record is requested by both."""
    orders = in_full(pager, window=10, last=100)
    assert way_of(orders) is None
    odd.clear_log()
    rows = list(orders)
    calls = [call.operation for call in odd.log]
    assert calls.count("salesOrderInfo") == 1
    assert sum(odd.heard) == len(rows) + 1


def test_empty_pages_cost_no_calls(odd: OddShop, pager: Pager) -> None:
    """Empty pages cost no call more."""
    odd.clear_log()
    orders = in_full(pager, first=50_000, last=60_000)
    assert list(orders) == []
    assert way_of(orders) is None
    assert {call.operation for call in odd.log} == {"salesOrderList"}


@pytest.mark.sampled
@pytest.mark.parametrize("without", [False, True])
@pytest.mark.parametrize("pick", [slice(60, 61), slice(0, 1), slice(-1, None), slice(5, None, 17), slice(50, 53)])
def test_a_broken_record_is_skipped_by_name(odd: OddShop, pager: Pager, pick: slice, *, without: bool) -> None:
    """By both protocols, with the text that only SOAP has; all others are delivered."""
    ids = sorted(odd.database.ids("orders"))
    odd.change(no_xmlrpc=without, broken_records=ids[pick])
    rows, left_out = walk_with_skipped_rows(in_full(pager))
    assert [int(row["order_id"]) for row in rows] == [number for number in ids if number not in ids[pick]]
    assert list(left_out) == ids[pick]
    assert all("fault 1, 'Call to a member function getMethod() on bool': " in one for one in left_out.values())


@pytest.mark.usefixtures("wire")
def test_a_broken_record_is_requested_by_soap_before_it_is_skipped(odd: OddShop, pager: Pager) -> None:
    """SOAP returns what failed by XML-RPC."""
    keys = [row["increment_id"] for row in pager.orders(last=100)]
    sick = {keys[20], keys[40]}
    fault = {"isFault": True, "faultCode": "1", "faultMessage": "Internal Error."}
    odd.exchange = lambda record: fault if record["increment_id"] in sick else record
    rows, left_out = walk_with_skipped_rows(in_full(pager, last=100))
    assert [row["increment_id"] for row in rows] == keys
    assert left_out == {}


@pytest.mark.usefixtures("wire")
def test_a_broken_shipment_is_named_by_its_id(odd: OddShop, pager: Pager) -> None:
    """Although the rows of that list carry no id."""
    keys = [row["increment_id"] for row in pager.shipments()]
    number = int(keys[20][1:])  # behind the digit of the store
    odd.broken = {keys[20]}
    rows, left_out = walk_with_skipped_rows(in_full(pager, "shipments"))
    assert [row["increment_id"] for row in rows] == [key for key in keys if key != keys[20]]
    assert list(left_out) == [number]
    assert f"'SQLSTATE[42S22]: no such column in {keys[20]}'" in left_out[number]


def test_the_only_order_of_a_shop_is_broken(odd: OddShop, pager: Pager) -> None:
    """Nothing shows whether the server or the row is failing, so it is not skipped."""
    for number in sorted(odd.database.ids("orders"))[1:]:
        odd.database.delete("orders", number)
    odd.change(broken_records=list(odd.database.ids("orders")))
    with pytest.raises(FaultError, match="getMethod"):
        list(in_full(pager))


def test_the_only_order_of_a_page_is_broken(odd: OddShop, pager: Pager) -> None:
    """Other orders, which this walk has not read, show that the server works."""
    last = max(odd.database.ids("orders"))
    odd.change(broken_records=[last])
    rows, left_out = walk_with_skipped_rows(in_full(pager, first=last))
    assert (rows, list(left_out)) == ([], [last])
    assert "fault 1, 'Call to a member function getMethod() on bool': " in left_out[last]


@pytest.mark.parametrize("without", [False, True])
def test_a_failing_server_ends_the_walk(odd: OddShop, pager: Pager, *, without: bool) -> None:
    """If one record after another fails, the walk ends; resumed on a working server, it continues from there."""
    ids = sorted(odd.database.ids("orders"))
    odd.change(no_xmlrpc=without)
    expected = list(in_full(pager))
    orders = in_full(pager, window=20)
    pages: list[Page] = []

    def fall_ill(page: Piece) -> None:
        if page.window.first == 40:
            odd.change(broken_records=ids)

    with pytest.raises(RemoteError, match="the server is failing") as caught:
        pages += before_details(orders, fall_ill).pages()
    assert caught.value.cursor is not None
    assert caught.value.cursor.next_id == 40
    odd.change(broken_records=())
    rest = orders.pages(resume=caught.value.cursor)
    before = [row for row in expected if int(row["order_id"]) < 40]
    assert [*before, *(row for page in rest for row in page.rows)] == expected


@pytest.mark.sampled
@pytest.mark.parametrize("without", [False, True])
@pytest.mark.parametrize("name", ["orders", "shipments", "customers", "products"])
def test_rows_that_are_deleted_meanwhile(odd: OddShop, pager: Pager, name: ListName, *, without: bool) -> None:
    """A row whose record is deleted before it is requested is dropped, without an error."""
    odd.change(no_xmlrpc=without)
    ids = sorted(odd.database.ids(name))
    expected = list(in_full(pager, name))
    gone = ids[::7]

    def delete(_: Piece) -> None:
        for number in gone:
            odd.database.delete(name, number)

    rows, left_out = walk_with_skipped_rows(before_details(in_full(pager, name, window=1000), delete))
    assert rows == [row for row in expected if int(row[f"{name[:-1]}_id"]) not in gone]
    assert left_out == {}


@pytest.mark.usefixtures("wire")
def test_a_row_that_the_list_still_has_is_not_dropped(odd: OddShop, pager: Pager) -> None:
    """If the shop says that the order does not exist but lists it, it is skipped by name."""
    keys = {row["order_id"]: row["increment_id"] for row in pager.orders(last=100)}
    odd.lost = {keys["8"], keys["30"]}
    rows, left_out = walk_with_skipped_rows(in_full(pager, last=100))
    assert len(rows) == len(keys) - 2
    assert list(left_out) == [8, 30]
    assert all("fault 100, 'Requested order not exists.'" in one for one in left_out.values())


@pytest.mark.usefixtures("wire")
def test_a_record_of_another_order_is_refused(odd: OddShop, pager: Pager) -> None:
    """The key of a record must be the requested one."""
    keys = [row["increment_id"] for row in pager.orders(last=100)]
    other = {keys[5]: keys[6], keys[6]: keys[5]}
    odd.exchange = lambda record: {**record, "increment_id": other.get(record["increment_id"], record["increment_id"])}
    rows, left_out = walk_with_skipped_rows(in_full(pager, last=100))
    assert [row["increment_id"] for row in rows] == keys
    assert [row["items"][0]["order_id"] for row in rows] == [row["order_id"] for row in rows]
    assert left_out == {}


def test_a_product_is_not_confused_with_one_whose_sku_is_its_id(odd: OddShop, pager: Pager) -> None:
    """It is requested by its id."""
    odd.database.update("products", 4, {"sku": "3"})
    for without in (False, True):
        odd.change(no_xmlrpc=without)
        products = {one["product_id"]: one for one in in_full(pager, "products", last=6)}
        assert products["3"]["url_key"] == "product-3"
        assert products["4"]["url_key"] == "product-4"


@pytest.mark.parametrize("without", [False, True])
def test_a_session_that_expires_during_details(odd: OddShop, pager: Pager, *, without: bool) -> None:
    """Both protocols log in again, once, and no row is lost."""
    odd.change(no_xmlrpc=without)
    expected = list(in_full(pager, last=60))
    odd.clear_log()
    orders = before_details(in_full(pager, window=20, last=60), lambda _: odd.sessions.end_all())
    assert list(orders) == expected
    assert 3 <= sum(call.operation == "login" for call in odd.log) <= 4


@pytest.mark.parametrize("without", [False, True])
def test_an_upgrade_during_details(odd: OddShop, pager: Pager, *, without: bool) -> None:
    """A change of namespace and flavour loses no row."""
    odd.change(no_xmlrpc=without)
    expected = list(in_full(pager, last=60))
    odd.set_profile("1.8.1.0")
    with magento_pager.connect(odd.url, odd.user, odd.key) as old:

        def upgrade(page: Piece) -> None:
            if page.window.first == 20:
                odd.set_profile("20.0.20", flavour="wsi")

        assert list(before_details(in_full(old, window=20, last=60), upgrade)) == expected


@pytest.mark.parametrize("without", [False, True])
def test_a_right_that_is_missing_ends_the_walk(odd: OddShop, pager: Pager, *, without: bool) -> None:
    """No row is skipped for it: the error names the right, and has a cursor."""
    odd.change(no_xmlrpc=without)

    def deny(page: Piece) -> None:
        odd.change(denied=["customers"] if page.window.first == 20 else [])

    customers = before_details(in_full(pager, "customers", window=10), deny)
    with pytest.raises(FaultError, match="Customers/Addresses/Retrieve address info") as caught:
        list(customers)
    assert caught.value.code == "2"
    assert caught.value.cursor is not None
    assert caught.value.cursor.next_id == 20


@pytest.mark.slow
def test_replies_that_are_cut_short_are_split(odd: OddShop, pager: Pager) -> None:
    """Down to single records by SOAP."""
    expected = list(in_full(pager))
    odd.heard.clear()
    odd.mangle = lambda body: body[: len(body) // 2] if len(body) > 200_000 else body
    orders = in_full(pager)
    assert list(orders) == expected
    assert way_of(orders) == "xml-rpc"
    after = odd.heard[odd.heard.index(max(odd.heard)) :]
    assert sum(after) < 3 * sum(odd.heard), "it does not begin with as much again each time"
    odd.mangle = lambda body: body[: len(body) // 2] if b"100000050" in body or len(body) > 30_000 else body
    assert list(in_full(pager)) == expected


@pytest.mark.slow
def test_replies_over_the_memory_limit_are_split(odd: OddShop, pager: Pager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply over the limit is not read to its end."""
    expected = list(in_full(pager))
    monkeypatch.setattr("magento_pager.shop.connection.LONGEST_RECORDS", 300_000)
    odd.heard.clear()
    assert list(in_full(pager)) == expected
    assert odd.heard[-1] <= 15


@pytest.mark.slow
@pytest.mark.parametrize("seconds", slow_after(1, [0.05, 0.5]))
def test_batches_aim_at_a_time(seconds: float) -> None:
    """A call has as many records as fit into its time, and never more than the limit."""
    with OddShop(orders=150, latency_per_row=0.01) as odd, magento_pager.connect(odd.url, odd.user, odd.key) as pager:
        assert len(list(in_full(pager, last=400, goal=Goal(seconds=seconds)))) > 120
        later = odd.heard[2:]  # the first is compared with SOAP's, the second finds out how fast the server is
        assert seconds / 0.01 / 10 <= max(later) <= seconds / 0.01


@pytest.mark.slow
def test_batches_are_bounded(shop_of: Callable[[str, str], Shop]) -> None:
    """However fast the server is."""
    shop = shop_of("20.0.20", "rpc")
    shop.clear_log()
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        assert len(list(in_full(pager, last=1500, goal=Goal(seconds=60.0)))) > 800
    assert MOST_AT_ONCE / 2 < max(call.rows for call in shop.log if call.operation == "multiCall") <= MOST_AT_ONCE


def test_calls_and_bytes_of_details_are_counted(odd: OddShop, pager: Pager) -> None:
    """A page counts those of its window and those of its details."""
    odd.clear_log()
    pages = list(in_full(pager, window=50).pages())
    assert sum(page.stats.calls for page in pages) == sum(call.operation != "login" for call in odd.log)
    assert pager.connection.bytes_received == sum(call.bytes for call in odd.log)


def test_characters_that_xml_forbids(odd: OddShop) -> None:
    """Before 1.9.3 they break the record like the list: it is skipped, or repaired with `repair`."""
    ids = sorted(odd.database.ids("orders"))[:30]
    odd.set_profile("1.8.1.0")
    bad = {ids[4], ids[11]}
    with magento_pager.connect(odd.url, odd.user, odd.key) as pager:
        expected = list(in_full(pager, last=ids[-1], repair=True))
        orders = before_details(in_full(pager, last=ids[-1], repair=True), lambda _: odd.change(control_characters=bad))
        pages = list(orders.pages())
        rows = [row for page in pages for row in page.rows]
        assert [row["order_id"] for row in rows] == [row["order_id"] for row in expected]
        assert {number for page in pages for number in page.repaired} == bad
        assert rows[4]["billing_address"]["firstname"] == "AB"
        odd.change(control_characters=())
        orders = before_details(in_full(pager, last=ids[-1]), lambda _: odd.change(control_characters=bad))
        rows, left_out = walk_with_skipped_rows(orders)
        assert set(left_out) == bad
        assert rows == [row for row in expected if int(row["order_id"]) not in bad]


FORGED = {
    "an entity": b'<!DOCTYPE r [<!ENTITY a "x">]><methodResponse><params><param><value>&a;</value></param></params>'
    b"</methodResponse>",
    "a comment": b"<methodResponse><!-- --><params><param><value/></param></params></methodResponse>",
    "another document": b"<rss/>",
    "a request": request("login", "me"),
    "nothing": b"",
    "a page": b"<html><body>Hello",
    "two parameters": b"<methodResponse><params>%b</params></methodResponse>" % (b"<param><value/></param>" * 2),
    "depth": b"<methodResponse><params><param>" + b"<value><array><data>" * 5000,
    "text": b"<methodResponse><params>x<param><value/></param></params></methodResponse>",
    "an attribute": b"<methodResponse><params><param><value a='1'/></param></params></methodResponse>",
    "a wordless fault": b"<methodResponse><fault><value>no</value></fault></methodResponse>",
    "half": b"<methodResponse><params><param><value><string>Hello",
    "more": b"<methodResponse><params><param><value/></param></params></methodResponse><more/>",
    "another encoding": b"<?xml version='1.0' encoding='UTF-7'?><methodResponse/>",
    "a file": b'<?xml-stylesheet href="file:///etc/passwd"?><methodResponse/>',
}
FORGED |= {
    f"value: {value.decode()}": b"<methodResponse><params><param><value>%b</value></param></params></methodResponse>"
    % value
    for value in (
        b"<int>many</int>",
        b"<boolean>2</boolean>",
        b"<base64>aGk=</base64>",
        b"<nil>x</nil>",
        b"<string><b/></string>",
        b"x<string/>",
        b"<string/>x",
        b"<array>x<data/></array>",
        b"<array><data><value/>x</data></array>",
        b"<struct><member>x<name>a</name><value/></member></struct>",
        b"<struct><member><name>a</name>x<value/></member></struct>",
        b"<struct><member><name a='>'>a</name><value/></member></struct>",
        b"<string\nxmlns='x'>a</string>",
        b"<string/><string/>",
        b"<array/>",
        b"<array><data><int>1</int></data></array>",
        b"<struct><value/></struct>",
        b"<struct><member><name>a</name></member></struct>",
        b"<struct><member><name>a</name><value/></member><member><name>a</name><value/></member></struct>",
    )
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_invalid_xmlrpc_is_refused(forged: bytes) -> None:
    """Anything that the format does not allow."""
    with pytest.raises(MalformedReplyError):
        value_of(forged, "multiCall")


def test_a_fault_of_xmlrpc() -> None:
    """It has the server's code and text."""
    with pytest.raises(ReplyFaultError) as caught:
        value_of(xmlrpc.client.dumps(xmlrpc.client.Fault(5, "Session expired."), encoding="UTF-8").encode(), "x")
    assert (caught.value.code, caught.value.text) == ("5", "Session expired.")


PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)


def texts(value: Any) -> Any:
    """Return a value with its numbers as text."""
    if isinstance(value, dict):
        return {name: texts(one) for name, one in value.items()}
    if isinstance(value, list):
        return [texts(one) for one in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


@given(VALUES)
def test_values_are_those_of_pythons_own_writer(value: Any) -> None:
    """Values written by another implementation are read unchanged, except numbers, which stay text."""
    written = xmlrpc.client.dumps((value,), methodresponse=True, allow_none=True, encoding="UTF-8")
    assert value_of(written.encode(), "any") == texts(value)


ARGUMENTS: st.SearchStrategy[Any] = st.recursive(
    st.none() | PLAIN, lambda inner: st.lists(inner, max_size=3), max_leaves=8
)


@given(st.lists(ARGUMENTS, max_size=4))
def test_requests_are_read_by_pythons_own_reader(arguments: list[Any]) -> None:
    """Another implementation reads our requests."""
    read, method = xmlrpc.client.loads(request("multiCall", *arguments))
    assert (list(read), method) == (arguments, "multiCall")


SOUND = xmlrpc.client.dumps(([{"a": "1", "b": [None, True]}],), methodresponse=True, allow_none=True).encode()


@given(st.data())
def test_any_bytes_are_a_value_a_fault_or_refused(data: st.DataObject) -> None:
    """A reply that was tampered with is a value, a fault or a refusal, never anything else."""
    start = data.draw(st.integers(0, len(SOUND)))
    end = data.draw(st.integers(start, len(SOUND)))
    middle = data.draw(
        st.binary(max_size=8) | st.sampled_from([b"<", b"</value>", b"<value>", b"<![CDATA[x]]>", b"&#1;"])
    )
    with suppress(ReplyFaultError, MalformedReplyError):
        value_of(SOUND[:start] + middle + SOUND[end:], "any")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("name", ["an entity", "depth", "two parameters", "half"])
def test_forged_replies_lose_no_row(odd: OddShop, pager: Pager, name: str) -> None:
    """The first record shows an attacker on XML-RPC: SOAP is used instead."""
    expected = list(in_full(pager, last=30))
    odd.mangle = lambda _: FORGED[name]
    orders = in_full(pager, last=30)
    assert list(orders) == expected
    assert way_of(orders) == "soap"


def test_forged_replies_later_end_the_walk(odd: OddShop, pager: Pager) -> None:
    """During the walk they cause an error with a cursor."""
    orders = in_full(pager, window=20)

    def forge(page: Piece) -> None:
        if page.window.first == 40:
            odd.mangle = lambda _: FORGED["an entity"]

    with pytest.raises(MalformedReplyError, match="DOCTYPE") as caught:
        list(before_details(orders, forge))
    assert caught.value.cursor is not None
    assert caught.value.cursor.next_id == 40


def test_a_page_whose_details_fail_is_delivered_on_resume(odd: OddShop, pager: Pager) -> None:
    """Whichever call fails, no page is delivered in part."""
    expected = list(in_full(pager))
    for fails_at in (2, 4, 7):

        def fail(body: bytes, *, at: int = fails_at) -> bytes:
            return b"<rss/>" if len(odd.heard) == at else body

        odd.heard.clear()
        odd.mangle = fail
        orders = in_full(pager, window=30)
        rows: list[Row] = []
        cursor = None
        try:
            for page in orders.pages():
                rows += page.rows
        except PagerError as error:
            cursor = error.cursor
        if len(rows) < len(expected):
            odd.mangle = lambda body: body
            rows += [row for page in orders.pages(resume=cursor) for row in page.rows]
        assert rows == expected, fails_at


_XSD = "{http://www.w3.org/2001/XMLSchema}"
LEAVES = st.sampled_from([Leaf(f"{_XSD}string"), Leaf(f"{_XSD}int", integer=True), Leaf(f"{_XSD}boolean")])
LEAVES |= st.just(Leaf(f"{_XSD}double"))
SHAPES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Array, st.just("list"), inner)
        | st.builds(
            lambda fields: Struct("record", fields, ordered=False),
            st.dictionaries(st.sampled_from("abcd"), inner, min_size=1, max_size=3),
        )
    ),
    max_leaves=6,
)


@given(VALUES, SHAPES, st.booleans())
def test_a_converted_value_is_not_changed_again(value: Any, shape: Any, tells_empty: bool) -> None:  # noqa: FBT001  hypothesis
    """It contains no NULL anywhere."""
    try:
        once = as_declared(value, shape, tells_empty=tells_empty)
    except MalformedReplyError:
        return
    assert as_declared(once, shape, tells_empty=tells_empty) == once
    assert "null" not in json.dumps(once, default=str) or once is None or "null" in str(value)


_TEXT = Leaf(f"{_XSD}string")
_ITEM = Struct("item", {"sku": _TEXT}, ordered=False)
_ITEMS = Struct("items", {"complexObjectArray": _ITEM}, ordered=True, repeated=frozenset({"complexObjectArray"}))


@pytest.mark.parametrize("value", ["Array", ["Array", "Array"], {"1": "Array"}, [{"sku": "a"}, "Array"]])
@pytest.mark.parametrize("promised", [Array("items", _ITEM), _ITEMS])
def test_a_lost_list_is_not_empty(promised: Array | Struct, value: Any) -> None:
    """By XML-RPC Magento 1.9.3.0 sends the text "Array" for a list, or for each of its items."""
    with pytest.raises(MalformedReplyError, match=r"text 'Array' .* bug of Magento 1\.9\.3\.0") as caught:
        as_declared({"items": value}, Struct("order", {"items": promised}, ordered=False))
    assert caught.value.remedy == "stop"


@pytest.mark.parametrize("value", ["", "7,9", False, "array"])
@pytest.mark.parametrize("promised", [Array("items", _ITEM), Array("ids", _TEXT), _ITEMS])
def test_a_value_instead_of_a_list_breaks_the_record(promised: Array | Struct, value: Any) -> None:
    """Only NULL is a list without members."""
    with pytest.raises(MalformedReplyError, match="instead of a list") as caught:
        as_declared(value, promised)
    assert caught.value.remedy == "isolate"
    assert as_declared(None, promised) == []


def test_the_text_array_is_allowed_in_text_fields() -> None:
    """PHP writes it for an array, and a product may have that name."""
    assert as_declared({"sku": "Array"}, _ITEM) == {"sku": "Array"}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("036", "36"),
        ("-7 of 9", "-7"),
        ("none", "0"),
        ("9" * 5000, "9223372036854775807"),
        ("-" + "9" * 99, "-9223372036854775808"),
    ],
)
def test_numbers_are_truncated_like_in_php(text: str, number: str) -> None:
    """XML-RPC has the text where SOAP has PHP's int of 64 bits."""
    assert as_declared(text, Leaf(f"{_XSD}int", integer=True)) == number


@pytest.mark.parametrize("way", ["soap", "xml-rpc"])
@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
@pytest.mark.parametrize("name", ["orders", "invoices", "shipments", "creditmemos"])
def test_a_shop_that_loses_lists_is_reported(flavour: str, name: ListName, way: str) -> None:
    """Magento 1.9.3.0 sends no items: the walk ends with an error about the shop, also during details."""
    with (
        Shop(profile="1.8.1.0", flavour=flavour, orders=600, no_xmlrpc=way == "soap") as shop,  # type: ignore[arg-type]  # a literal
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        records = in_full(pager, name, window=20)

        def lose(page: Piece) -> None:
            shop.change(nested_arrays_lost=page.window.first >= 20)

        rows: list[Row] = []
        with pytest.raises(MalformedReplyError, match=r"bug of Magento 1\.9\.3\.0") as caught:
            rows += before_details(records, lose)
        assert way_of(records) == way
        assert caught.value.cursor is not None
        assert caught.value.cursor.next_id == 20


@pytest.mark.parametrize(
    "path", ["/api/v2_soap", "/api/v2_soap/", "/api/v2_soap/index/", "/index.php/de/api/soap_wsi/"]
)
def test_the_address_of_xmlrpc(path: str) -> None:
    """Next to SOAP, with and without index.php and store codes."""
    before = path.partition("/api/")[0]
    assert address_beside(f"https://shop.example:8443{path}") == f"https://shop.example:8443{before}/api/xmlrpc/"


def test_each_list_has_details(pager: Pager) -> None:
    """And the WSDL declares them on the newest version."""
    for spec in LISTS.values():
        assert spec.record
        assert pager.connection.has(spec.record.soap)


def test_the_report_has_the_protocol_of_the_records(odd: OddShop, tmp_path: Path) -> None:
    """Rows in full are in the file; the exit status is 3 if a record is broken."""
    out, report = tmp_path / "orders.ndjson", tmp_path / "report.json"
    where = ["--url", odd.url, "--user", odd.user, "--key", odd.key]
    command = ["dump", *where, "--details", "--out", str(out), "--report", str(report)]
    odd.change(broken_records=[8])
    assert run(command) == 3
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert len(rows) == 119
    assert all(row["items"] for row in rows)
    report_keys = json.loads(report.read_bytes())
    assert report_keys["details"] == {"way": "xml-rpc", "why": None}
    assert [one["id"] for one in report_keys["quarantined"]] == [8]
    odd.change(broken_records=(), no_xmlrpc=True)
    assert run([*command, "--overwrite"]) == 0
    report_keys = json.loads(report.read_bytes())
    assert report_keys["details"]["way"] == "soap"
    assert "404" in report_keys["details"]["why"]
    assert run([*command[:-2], "--overwrite", "--report", str(report), "--last", "4"]) == 0
    assert run(["dump", *where, "--out", str(out), "--overwrite", "--report", str(report)]) == 0
    assert json.loads(report.read_bytes())["details"] is None


@pytest.mark.usefixtures("hurried")
def test_a_dump_with_details_is_not_resumed_without(odd: OddShop, tmp_path: Path) -> None:
    """Its rows would have different fields."""
    out = tmp_path / "orders.ndjson"
    command = ["dump", "--url", odd.url, "--user", odd.user, "--key", odd.key, "--out", str(out), "--window", "40"]
    odd.change(broken_records=[number for number in odd.database.ids("orders") if number >= 40])
    assert run([*command, "--details"]) == 1
    assert run([*command, "--resume"]) == 2
    odd.change(broken_records=())
    assert run([*command, "--resume", "--details"]) == 0
    assert len(out.read_bytes().splitlines()) == 120


@pytest.mark.parametrize("fraction", slow_after(1, [0.6, 0.25]))
def test_a_killed_dump_with_details_is_resumed(odd: OddShop, tmp_path: Path, fraction: float) -> None:
    """Killed between its steps and resumed, it has the same bytes."""
    where = ("--url", odd.url, "--user", odd.user, "--key", odd.key, "--details", "--window", "20")
    with subprocess.Popen(  # noqa: S603  our own script
        [sys.executable, str(MORTAL)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(out: Path, *more: str, die_at: int = 0) -> dict[str, Any]:
            request = {"arguments": ["dump", *where, "--out", str(out), *more], "die_at": die_at}
            process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]  # it is there
            process.stdin.flush()  # type: ignore[union-attr]
            answer: dict[str, Any] = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            return answer

        calm = ask(tmp_path / "calm")
        assert calm["status"] == 0, calm
        assert ask(tmp_path / "killed", die_at=int(calm["steps"] * fraction))["status"] == -signal.SIGKILL
        resumed = ask(tmp_path / "killed", "--resume")
        assert resumed["status"] == 0, resumed
        process.stdin.close()
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "calm").read_bytes()


def test_walks_with_details_share_nothing() -> None:
    """A paginator can be iterated twice, and in two threads at once, each with its own protocol and pace."""
    with Shop(orders=60) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        paginator = pager.orders(details=True, window=20)
        first, second = list(paginator.pages()), list(paginator.pages())
        assert [page.stats.calls for page in first] == [page.stats.calls for page in second]
        with ThreadPoolExecutor(2) as threads:
            both: list[list[Row]] = list(threads.map(list, (paginator, paginator)))
        rows = [row for page in first for row in page.rows]
        assert both == [rows, rows]
        assert all(row["items"] for row in rows)
        (stage,) = (one for one in paginator.stages if isinstance(one, Details))
        assert stage.way == "xml-rpc"


class Counted(Shop):
    """A shop that counts its concurrent requests; each takes some time."""

    most = now = 0

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer by SOAP."""
        return self._counted(super().soap, body, context)

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer by XML-RPC."""
        return self._counted(super().xmlrpc, body, context)

    def _counted(self, answer: Callable[[bytes, Context], Answer], body: bytes, context: Context) -> Answer:
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.005)
        try:
            return answer(body, context)
        finally:
            self.now -= 1


@pytest.mark.parametrize("without", [False, True], ids=["xml-rpc", "soap"])
def test_one_call_at_a_time_with_lookahead_too(without: bool) -> None:  # noqa: FBT001  a parameter of pytest
    """Records are not requested at the same time as a list, even with lookahead."""
    with Counted(orders=60, no_xmlrpc=without) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        rows = list(pager.orders(details=True, lookahead=True, window=10, strategy="range"))
        assert len(rows) == 60
        assert shop.most == 1


def test_pages_with_details_have_at_most_250_rows() -> None:
    """However wide the window: each has its own cursor, from which a walk can be resumed."""
    with Shop(orders=900) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        orders = pager.orders(details=True, window=1000)
        pages = list(orders.pages())
        assert max(len(page.rows) for page in pages) <= MOST_AT_ONCE < len(pages[0].rows) * 2
        assert [page.window.first for page in pages] == [0, *(page.window.last + 1 for page in pages[:-1])]
        expected = [row for page in pages for row in page.rows]
        assert [row["order_id"] for row in expected] == [row["order_id"] for row in pager.orders()]
        resumed = [row for page in orders.pages(pages[1].cursor) for row in page.rows]
        assert resumed == expected[len(pages[0].rows) + len(pages[1].rows) :]


@pytest.mark.parametrize("without", [False, True], ids=["xml-rpc", "soap"])
@pytest.mark.parametrize("status", slow_after(1, [504, 502]))
def test_a_record_at_which_a_gateway_gives_up(status: int, without: bool, hurried: None) -> None:  # noqa: ARG001, FBT001  parameters of pytest
    """It is skipped by name; the others are delivered, in at most 60 more calls."""

    class Behind(Counted):
        poison = b"none"

        def _counted(self, answer: Callable[[bytes, Context], Answer], body: bytes, context: Context) -> Answer:
            given = answer(body, context)
            return given if self.poison not in body else whole(status, "text/html", b"<html>gave up</html>", given.call)

    with Behind(orders=300, no_xmlrpc=without) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        orders = pager.orders(details=True)
        expected = list(orders)
        calls, bad = len(shop.log), expected[150]
        shop.poison = bad["increment_id"].encode()
        rows, skipped = walk_with_skipped_rows(orders)
        assert rows == [*expected[:150], *expected[151:]]
        assert list(skipped) == [int(bad["order_id"])]
        assert len(shop.log) - calls <= calls + 60


@pytest.mark.parametrize("no_xmlrpc", slow_after(1, [True, False]))
def test_the_time_of_a_page_is_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch, no_xmlrpc: bool) -> None:  # noqa: FBT001
    """Slow records make small pages, each with its own cursor, so that an interruption loses little."""
    monkeypatch.setattr("magento_pager.shop.details.SECONDS_OF_PAGE", 0.3)
    shop.change(no_xmlrpc=no_xmlrpc, latency=0.01, latency_per_row=0.02)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        sizes = [len(page.rows) for page in pager.orders(details=True, last=60).pages()]
    assert max(sizes) <= (20 if no_xmlrpc else 60)  # of one call, which aims at a second
    assert sum(sizes) == len([number for number in shop.database.ids("orders") if number <= 60])
