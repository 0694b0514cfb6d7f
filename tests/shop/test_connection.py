"""The connection to a shop: finding it, its lists, the session, failures, and secrets."""

from __future__ import annotations

import re
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
import zeep
import zeep.transports
from conftest import SPOKEN
from connections import (
    ALL_IDS,
    FLAVOURS,
    HASH,
    KEY,
    NEXT_SESSION,
    SESSION,
    UP_TO_400,
    URL,
    connection_to,
    fault,
    login_reply,
    operations,
    scripted_connection,
    sent_bodies,
)
from loopback import Request, reply, serving
from lxml import etree
from test_decoding import ROWS, rendered
from wsdls import Flavour, wsdl
from zeep.helpers import serialize_object
from zeep.plugins import HistoryPlugin
from zeep_oracle import ENCODING_SCHEMA, same_rows

from magento_pager import Pager, connect
from magento_pager.errors import FaultError, MalformedReplyError, RemoteError, TransportError
from magento_pager.export.checkpoints import shop_key
from magento_pager.fake import Shop
from magento_pager.lists import CREDITMEMOS, CUSTOMERS, LISTS, ORDERS, PRODUCTS
from magento_pager.shop.connection import Connection
from magento_pager.shop.sources import ListSource
from magento_pager.shop.transport import HttpOptions
from magento_pager.shop.wsdl import wsdl_candidates
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import IdRange
from magento_pager.walk.windows import Goal

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import responses

    from magento_pager import ListName


# Finding the shop


@pytest.mark.parametrize(("profile", "flavour"), SPOKEN)
def test_flavour_namespace_and_address_are_read_from_the_wsdl(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str
) -> None:
    """Flavour, namespace and address are read from the WSDL."""
    shop = shop_of(profile, flavour)
    with connection_to(shop) as connection:
        assert connection.flavour == flavour
        assert connection.namespace == ("urn:OpenMage" if profile == "20.0.20" else "urn:Magento")
        assert connection.address.startswith(shop.base_url)
        assert repr(connection) == f"<Connection to {connection.address}, {flavour}>"
        assert connection.has("salesOrderList")
        assert connection.has("salesOrderCreditmemoList") == (profile != "1.4.1.1")


def test_a_shop_is_found_by_each_of_its_addresses(shop: Shop) -> None:
    """Its base address, its endpoint and the address of its WSDL all work."""
    for url in (
        shop.base_url,
        shop.base_url.rstrip("/"),
        f"{shop.base_url}index.php",
        shop.url,
        shop.url.rstrip("/"),
        f"{shop.url}index/",
        f"{shop.url}?wsdl=1",
        f"{shop.url}?wsdl",
        f"{shop.url}index/wsdl/1",
        f" {shop.url}\n",
        f"{shop.base_url}api",
        f"{shop.base_url}api/",
        f"{shop.base_url}api/?wsdl",
        f"{shop.base_url}api/soap/?wsdl=1",
        f"{shop.base_url}index.php/api/xmlrpc/",
        f"{shop.base_url}api/jsonrpc",
        f"{shop.base_url}api/rest/",
        f"{shop.url}index/index/",
        shop.url.replace("http", "HTTP"),
    ):
        with closing(Connection(url, shop.user, shop.key)) as connection:
            assert connection.has("salesOrderList"), url


@pytest.mark.parametrize(
    ("url", "candidates"),
    [
        ("https://a.b", ["https://a.b/api/v2_soap/?wsdl=1", "https://a.b/index.php/api/v2_soap/?wsdl=1"]),
        ("https://a.b/x?y#z", ["https://a.b/x/api/v2_soap/?wsdl=1", "https://a.b/x/index.php/api/v2_soap/?wsdl=1"]),
        ("https://a.b/api/v2_soap", ["https://a.b/api/v2_soap?wsdl=1"]),
        ("https://a.b/api/v2_soap/index/", ["https://a.b/api/v2_soap/index/?wsdl=1"]),
        ("https://a.b/api.php?type=v2_soap", ["https://a.b/api.php?type=v2_soap&wsdl=1"]),
        ("https://a.b/api.php?type=soap_v2&wsdl", ["https://a.b/api.php?type=soap_v2&wsdl"]),
        ("https://a.b/api-secret.php?type=soap_v2", ["https://a.b/api-secret.php?type=soap_v2&wsdl=1"]),
        *[
            (url, [f"https://a.b/api.php?type={one}&wsdl=1" for one in ("v2_soap", "soap_v2", "soap_wsi")])
            for url in ("https://a.b/api.php", "https://a.b/api.php?type=xmlrpc", "https://a.b/api.php?wsdl&type=soap")
        ],
        *[
            (url, ["https://a.b/de/api/v2_soap/?wsdl=1", "https://a.b/de/index.php/api/v2_soap/?wsdl=1"])
            for url in (
                "https://a.b/de/",
                "https://a.b/de/api/",
                "https://a.b/de/api/soap?wsdl",
                " https://a.b/de/api\t",
            )
        ],
        *[
            (url, ["https://a.b/index.php/de/api/v2_soap/?wsdl=1", "https://a.b/de/api/v2_soap/?wsdl=1"])
            for url in ("https://a.b/index.php/de", "https://a.b/index.php/de/api/xmlrpc/")
        ],
        ("https://a.b/api/v2_soap/#top", ["https://a.b/api/v2_soap/?wsdl=1"]),
        ("https://a.b/api/v2_soap/?wsdl", ["https://a.b/api/v2_soap/?wsdl"]),
        ("https://a.b/api/v2_soap/index/wsdl/1", ["https://a.b/api/v2_soap/index/wsdl/1"]),
        (
            "https://wsdl.a.b/nowsdl",
            ["https://wsdl.a.b/nowsdl/api/v2_soap/?wsdl=1", "https://wsdl.a.b/nowsdl/index.php/api/v2_soap/?wsdl=1"],
        ),
    ],
)
def test_possible_addresses_of_a_wsdl(url: str, candidates: list[str]) -> None:
    """They follow from the address of a WSDL, of an endpoint, or of a shop."""
    assert wsdl_candidates(url) == candidates


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must begin with http:// or https://"),
        ("shop.example", r"must begin with http:// or https:// .*\. Did you mean https://shop.example?"),
        ("ftp://shop.example/", "must begin with http:// or https://"),
        ("http://", "name a host"),
        ("https://me:s3same@shop.example/", "--basic-auth"),
        ("http://shop.example/", "--insecure-http"),
        ("http://192.0.2.7:8080/", "--insecure-http"),
    ],
)
def test_an_invalid_address_is_a_value_error(url: str, message: str) -> None:
    """The message is one line that says what to write."""
    with pytest.raises(ValueError, match=message) as caught:
        Connection(url, "me", KEY)
    assert "\n" not in str(caught.value)
    assert "s3same" not in str(caught.value)


@pytest.mark.parametrize(
    "first", [(404, "No such page"), (403, "No"), (500, ""), (200, "<html>Welcome</html>"), (200, "")]
)
def test_a_shop_without_url_rewriting(web: responses.RequestsMock, first: tuple[int, str]) -> None:
    """If /api/ is not found, /index.php/api/ is tried."""
    web.get(URL, status=first[0], body=first[1])
    web.get(
        "http://127.0.0.1/index.php/api/v2_soap/", body=wsdl("rpc", address="http://127.0.0.1/index.php/api/v2_soap/")
    )
    assert Connection("http://127.0.0.1/", "me", KEY).address == "http://127.0.0.1/index.php/api/v2_soap/"


@pytest.mark.parametrize(
    "url",
    [
        "https://b\u00fccher.example",
        "https://XN--Bcher-kva.example:443/",
        "https://B\u00dcCHER.example./index.php/",
        " https://xn--bcher-kva.example/api/v2_soap/?wsdl=1\n",
    ],
)
def test_a_shop_has_one_canonical_address(web: responses.RequestsMock, url: str) -> None:
    """Checkpoints and messages have the same address however its host is spelled."""
    web.get(
        re.compile("https://(xn--bcher-kva|b\u00fccher).example", re.IGNORECASE), body=wsdl("rpc", address=f" {url} ")
    )
    connection = Connection(url, "me", KEY)
    source = ListSource(connection, ORDERS)
    assert source.url.startswith("https://xn--bcher-kva.example/") or source.url == "https://xn--bcher-kva.example"
    assert shop_key(source.shop) == shop_key(source.url) == "xn--bcher-kva.example"


@pytest.mark.parametrize("status", [401, 429, 503])
def test_no_other_address_is_tried_after_retry_after(web: responses.RequestsMock, status: int) -> None:
    """No other address is tried if it would fail the same way."""
    web.get(URL, status=status)
    with pytest.raises(TransportError) as caught:
        Connection("http://127.0.0.1/", "me", KEY)
    assert caught.value.status == status
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><title>My shop</title><body>Welcome</body></html>", r"something other than a WSDL \('My shop'\)"),
        (b"<!DOCTYPE html><html><body><p>Please <b>log in</b></p></body></html>", "'Please log in'"),
        (b"", "something other than a WSDL"),
        (b"{}", "something other than a WSDL"),
        (b"<?xml version='1.0'?><!DOCTYPE definitions [<!ENTITY a 'b'>]><definitions/>", "something other than a WSDL"),
        (b"<definitions", "the WSDL of .* cannot be used"),
        (b"<definitions/>", "has no address for SOAP calls"),
        (b'<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>', "has no address for SOAP calls"),
        (wsdl("rpc").partition(b"<service")[0] + b"</definitions>", "has no address for SOAP calls"),
        (wsdl("rpc", address=""), "has no address for SOAP calls"),
        (wsdl("rpc").replace(b'binding="t:Binding"', b'binding="t:Nothing"'), "has no address for SOAP calls"),
        (wsdl("rpc")[:-100], "the WSDL of .* cannot be used"),
        (wsdl("rpc").replace(b"<types>", b"<types>\x01"), "the WSDL of .* cannot be used"),
    ],
)
def test_an_answer_that_is_not_a_wsdl_is_reported(web: responses.RequestsMock, body: bytes, message: str) -> None:
    """A page or a broken WSDL is reported on one line, with the address without its query."""
    web.get(URL, body=body)
    with pytest.raises(MalformedReplyError, match=message) as caught:
        Connection(f"{URL}?wsdl=1&token=s3same", "me", KEY)
    assert "\n" not in str(caught.value)
    assert "s3same" not in str(caught.value)


def test_a_wsdl_that_a_module_broke(web: responses.RequestsMock) -> None:
    """An operation without its messages is skipped; only a call of it fails."""
    web.get(URL, body=wsdl("rpc").replace(b'message="t:magentoInfo"', b'message="t:nothing"'))
    web.post(URL, body=login_reply("rpc"))
    connection = Connection(f"{URL}?wsdl=1", "me", KEY)
    connection.login()
    with pytest.raises(RemoteError, match="magentoInfo: this shop's WSDL does not declare it"):
        connection.call("magentoInfo")


def test_the_wsdl_of_soap_v1(web: responses.RequestsMock) -> None:
    """The older API has no lists of its own; the message names the address of the right one."""
    web.get(URL, body=wsdl("rpc").replace(b"salesOrderList", b"call"))
    with pytest.raises(RemoteError, match=r"salesOrderList: .* has no orders. Use the address of SOAP V2, .*v2_soap"):
        list(Connection(f"{URL}?wsdl=1", "me", KEY).rows(ORDERS, UP_TO_400))


@pytest.mark.parametrize(
    ("place", "more"),
    [
        (b"<x:import", '<x:import namespace="urn:more" schemaLocation="http://elsewhere.example/more.xsd"/>'),
        (b"<x:import", '<x:include schemaLocation="//elsewhere.example/more.xsd"/>'),
        (b"<types>", '<import namespace="urn:more" location="http://elsewhere.example/more.xsd"/>'),
    ],
)
def test_no_document_of_another_host_is_fetched(web: responses.RequestsMock, place: bytes, more: str) -> None:
    """A WSDL that refers to another host is refused unless that host is allowed. The encoding schema is local."""
    web.get(URL, body=wsdl("rpc").replace(place, more.encode() + place, 1))
    with pytest.raises(MalformedReplyError, match=r"refers to http://elsewhere\.example/more\.xsd, on another host"):
        Connection(f"{URL}?wsdl=1", "me", KEY)
    schema = '<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema"/>'
    definitions = '<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>'
    web.get("http://elsewhere.example/more.xsd", body=definitions if place == b"<types>" else schema)
    options = HttpOptions(allow_hosts=frozenset({"elsewhere.example"}), insecure_http=True)
    assert Connection(f"{URL}?wsdl=1", "me", KEY, options).has("salesOrderList")


def test_nested_references_to_another_host_are_refused(web: responses.RequestsMock) -> None:
    """A document that the WSDL refers to is checked like the WSDL."""
    more = '<x:import namespace="urn:more" schemaLocation="/more.xsd"/>'
    web.get(URL, body=wsdl("rpc").replace(b"<x:import", more.encode() + b"<x:import", 1))
    further = '<x:import namespace="urn:further" schemaLocation="http://elsewhere.example/further.xsd"/>'
    schema = f'<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:more">{further}</x:schema>'
    web.get("http://127.0.0.1/more.xsd", body=schema)
    with pytest.raises(MalformedReplyError, match=r"refers to http://elsewhere\.example/further\.xsd, on another host"):
        Connection(f"{URL}?wsdl=1", "me", KEY)


def test_a_redirect_of_the_wsdl_to_another_host_is_refused(web: responses.RequestsMock) -> None:
    """The message names the host."""
    web.get(URL, status=302, headers={"Location": "https://elsewhere.example/?wsdl=1"})
    with pytest.raises(TransportError, match=r"redirects to https://elsewhere\.example/"):
        Connection(f"{URL}?wsdl=1", "me", KEY)
    assert len(web.calls) == 1


def test_documents_are_only_fetched_over_http(web: responses.RequestsMock) -> None:
    """A WSDL cannot make the client read files."""
    more = '<x:import namespace="urn:more" schemaLocation="file:///etc/hostname"/>'
    web.get(URL, body=wsdl("rpc").replace(b"<x:import", more.encode() + b"<x:import", 1))
    with pytest.raises(MalformedReplyError, match="refers to"):
        Connection(f"{URL}?wsdl=1", "me", KEY)


def test_calls_to_another_host_are_refused(web: responses.RequestsMock) -> None:
    """A WSDL cannot send the key to another host, unless that host is allowed."""
    web.get(URL, body=wsdl("wsi", address="https://elsewhere.example/api/v2_soap/"))
    with pytest.raises(ValueError, match=r"sends calls to elsewhere\.example\. .*--allow-host elsewhere\.example"):
        Connection(f"{URL}?wsdl=1", "me", KEY)
    options = HttpOptions(allow_hosts=frozenset({"elsewhere.example"}))
    assert Connection(f"{URL}?wsdl=1", "me", KEY, options).address == "https://elsewhere.example/api/v2_soap/"


def test_an_allowed_host_is_not_called_over_plain_http(web: responses.RequestsMock) -> None:
    """The address of calls is checked when the WSDL is read, before anything is sent there."""
    web.get(URL, body=wsdl("wsi", address="http://elsewhere.example/api/v2_soap/"))
    with pytest.raises(ValueError, match=r"http://elsewhere\.example/api/v2_soap/ is plain http"):
        Connection(f"{URL}?wsdl=1", "me", KEY, HttpOptions(allow_hosts=frozenset({"elsewhere.example"})))


def test_a_wsdl_cannot_lead_out_of_tls(web: responses.RequestsMock) -> None:
    """Behind a proxy a shop may name a plain http address; a key meant for https is still sent over https."""
    web.get("https://shop.example/api/v2_soap/", body=wsdl("rpc", address="http://shop.example/api/v2_soap/"))
    assert Connection("https://shop.example/", "me", KEY).address == "https://shop.example/api/v2_soap/"


def test_a_list_without_a_condition_is_refused(web: responses.RequestsMock) -> None:
    """Without a condition, the reply would be the whole table."""
    web.get(URL, body=wsdl("rpc"))
    with pytest.raises(ValueError, match="its whole table"):
        list(Connection(f"{URL}?wsdl=1", "me", KEY).rows(ORDERS, []))
    assert len(web.calls) == 1


def test_an_operation_that_the_wsdl_lacks_is_not_sent(shop: Shop) -> None:
    """It raises an error instead."""
    with connection_to(shop) as connection:
        with pytest.raises(RemoteError, match="salesOrderFrobnicate: this shop's WSDL does not declare it"):
            connection.call("salesOrderFrobnicate")
        with pytest.raises(RemoteError, match="magentoInfo: this shop's WSDL does not allow the request"):
            connection.call("magentoInfo", colour="red")
    assert set(operations(shop)) <= {"login", "endSession"}


# Lists


@pytest.mark.sampled
@pytest.mark.parametrize("entity", LISTS)
@pytest.mark.parametrize(("profile", "flavour"), SPOKEN)
def test_rows_are_equal_to_those_of_zeep(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: str
) -> None:
    """For every version, flavour and list of the embedded shop."""
    shop, operation = shop_of(profile, flavour), LISTS[entity]
    with connection_to(shop) as connection:
        if not connection.has(operation.operation):
            with pytest.raises(RemoteError, match="has no"):
                list(connection.rows(operation, UP_TO_400))
            return
        ours = list(connection.rows(operation, UP_TO_400))
    theirs, body = zeep_alone(shop, operation.operation)
    assert len(ours) > 10
    assert same_rows(ours, theirs, body)


def zeep_alone(shop: Shop, operation: str) -> tuple[list[Any], bytes]:
    """Return the rows that zeep's own client gets by its own transport, and the body with them."""

    class Offline(zeep.transports.Transport):
        def load(self, url: str) -> bytes:
            ours = ENCODING_SCHEMA if "soap/encoding" in url else None
            return ours or bytes(super().load(url))  # type: ignore[no-untyped-call]  # zeep's annotations are partial

    history = HistoryPlugin()
    client: Any = zeep.Client(f"{shop.url}?wsdl=1", transport=Offline(), plugins=[history])  # type: ignore[no-untyped-call]
    session = client.service.login(shop.user, shop.key)
    pair = [{"key": one.field, "value": {"key": one.operator, "value": one.value}} for one in UP_TO_400]
    rpc = shop.settings.flavour == "rpc"
    filters = {"complex_filter": pair if rpc else {"complexObjectArray": pair}}
    stores = ({"storeView": "0"} if rpc else {"store": "0"}) if operation == "catalogProductList" else {}
    result = client.service[operation](sessionId=session, filters=filters, **stores)
    client.transport.session.close()
    received = history.last_received
    assert received
    return serialize_object(result, dict) or [], etree.tostring(received["envelope"])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_products_of_all_stores_are_requested(flavour: Flavour) -> None:
    """Any store except 0 may omit the products of other websites; the flavours name the argument differently."""
    asked: list[bytes] = []

    def answer(connection: socket.socket, request: Request) -> None:
        if request.head.startswith(b"GET"):
            text = wsdl(flavour, address=url).replace(b"salesOrderList", b"catalogProductList")
            part = (
                b'<part name="storeView" type="x:string"/>',
                b'<x:element name="store" type="x:string" minOccurs="0"/>',
            )
            text = text.replace(b'type="t:filters"/></message>', b'type="t:filters"/>' + part[0] + b"</message>")
            text = text.replace(b'type="t:filters"/></x:seq', b'type="t:filters"/>' + part[1] + b"</x:seq")
            connection.sendall(reply(text))
        else:
            asked.append(request.body)
            connection.sendall(reply(login_reply(flavour)))

    with serving(answer) as url, closing(Connection(url, "me", KEY)) as connection, suppress(MalformedReplyError):
        list(connection.rows(PRODUCTS, UP_TO_400))
    call = next(etree.fromstring(one) for one in asked if b"catalogProductList" in one)
    assert call.findtext(".//storeView" if flavour == "rpc" else ".//store") == "0"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_all_conditions_apply(shop_of: Callable[[str, str], Shop], flavour: str) -> None:
    """Several conditions are sent in one call, and the shop applies them all."""
    shop = shop_of("20.0.20", flavour)
    window = [Condition("entity_id", "from", "100"), Condition("main_table.entity_id", "to", "199")]
    with connection_to(shop) as connection:
        ids = [int(row["order_id"]) for row in connection.rows(ORDERS, window)]
        assert connection.bytes_received > 1000
    assert sorted(ids) == [one for one in sorted(shop.database.ids("orders")) if 100 <= one <= 199]


def test_a_list_is_a_source(shop_of: Callable[[str, str], Shop]) -> None:
    """A list of a connection can be walked, because it accepts queries."""
    with connection_to(shop_of("20.0.20", "rpc")) as connection:
        source = ListSource(connection, CUSTOMERS)
        query = Query((Condition("entity_id", "eq", "7"),), IdRange(7, 7), None)
        assert [row["customer_id"] for row in source.fetch(query)] == ["7"]
        assert "Connection to" in repr(source)


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_lost_lists_of_products_are_noticed(flavour: Flavour) -> None:
    """Magento 1.9.3.0 sends no ids of categories and websites; in WS-I these lists look empty."""
    with Shop(profile="1.8.1.0", flavour=flavour, orders=60, nested_arrays_lost=True) as shop:
        with (
            connect(shop.url, shop.user, shop.key) as pager,
            pytest.raises(MalformedReplyError, match=r"bug of Magento 1\.9\.3\.0"),
        ):
            list(pager.products(patience=0.0))
        shop.change(nested_arrays_lost=False)
        shop.clear_log()
        with connect(shop.url, shop.user, shop.key) as pager:
            assert len(list(pager.products(patience=0.0))) == len(list(shop.database.ids("products")))
        assert "catalogProductInfo" not in operations(shop)  # one list that came is enough


def test_products_may_be_in_no_category_and_on_no_website(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Their records agree; and if the shop returns no record, products without lists do not stop the walk."""
    shop.set_profile("1.8.1.0", flavour="wsi")
    for number in shop.database.ids("products"):
        shop.database.update("products", number, {"category_ids": "", "website_ids": ""})
    window = Query((Condition("entity_id", "lteq", "40"),), IdRange(0, 40))
    with closing(Connection(shop.url, shop.user, shop.key)) as connection:
        source = ListSource(connection, PRODUCTS)
        rows = list(source.fetch(window))
        assert rows
        assert all(row["category_ids"] == row["website_ids"] == [] for row in rows)
        assert operations(shop)[-1] == "catalogProductInfo"
        shop.database.delete("products", int(rows[-1]["product_id"]))
        asked = iter(source.fetch(window))
        last = next(asked)
        for last in asked:
            if last["product_id"] == rows[-2]["product_id"]:
                shop.database.delete("products", int(last["product_id"]))
        assert last == rows[-2]
    assert "are lost: catalogProductInfo: fault 101" in caplog.text


def test_leaving_a_list_early(shop: Shop) -> None:
    """Closing the generator of rows closes the connection; the next call works."""
    with connection_to(shop) as connection:
        rows = connection.rows(ORDERS, ALL_IDS)
        next(rows)
        rows.close()
        assert len(list(connection.rows(ORDERS, ALL_IDS))) == 200


def test_a_reply_over_the_limit_is_refused(shop: Shop) -> None:
    """The message says what to do."""
    with (
        connection_to(shop, max_reply_bytes=100_000) as connection,
        pytest.raises(TransportError, match=r"salesOrderList: the answer is longer than 100000 bytes\. .*--window"),
    ):
        list(connection.rows(ORDERS, ALL_IDS))


# The session


def test_one_login_for_many_calls(shop: Shop) -> None:
    """The session begins at the first call and ends with the connection; later calls are refused."""
    with connection_to(shop) as connection:
        assert operations(shop) == []
        for _ in range(3):
            list(connection.rows(CUSTOMERS, UP_TO_400))
        assert connection.call("magentoInfo")["magento_version"]
    expected = ["login", *["customerCustomerList"] * 3, "magentoInfo", "endSession"]
    assert operations(shop) == expected
    assert len(shop.sessions) == 0
    with pytest.raises(ValueError, match="closed"):
        list(connection.rows(CUSTOMERS, UP_TO_400))
    with pytest.raises(ValueError, match="closed"):
        connection.call("magentoInfo")
    with pytest.raises(ValueError, match="closed"):
        connection.login()
    connection.close()
    assert operations(shop) == expected


def test_closing_without_a_session_sends_nothing(shop: Shop) -> None:
    """There is no session to end."""
    with connection_to(shop):
        pass
    assert operations(shop) == []


def test_closing_when_the_shop_is_gone() -> None:
    """A session that cannot be ended will expire, so closing raises no error."""
    with Shop(orders=10) as shop:
        connection = Connection(shop.url, shop.user, shop.key)
        connection.login()
    connection.close()


def test_an_expired_session_is_renewed(shop: Shop) -> None:
    """Fault 5 causes one more login, and the rows are the same."""
    with connection_to(shop) as connection:
        before = list(connection.rows(CUSTOMERS, UP_TO_400))
        shop.sessions.end_all()
        assert list(connection.rows(CUSTOMERS, UP_TO_400)) == before
        shop.sessions.end_all()
        assert connection.call("magentoInfo")["magento_edition"]
    assert operations(shop) == [
        *["login", "customerCustomerList", "customerCustomerList", "login", "customerCustomerList"],
        *["magentoInfo", "login", "magentoInfo", "endSession"],
    ]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_request_is_rebuilt_with_the_new_session(web: responses.RequestsMock, flavour: Flavour) -> None:
    """The old session id is not sent again."""
    connection = scripted_connection(
        web,
        flavour,
        login_reply(flavour),
        fault("5", "Session expired. Try to relogin."),
        login_reply(flavour, NEXT_SESSION),
        rendered(flavour, ROWS),
    )
    assert list(connection.rows(ORDERS, UP_TO_400)) == ROWS
    login, first, second_login, second = sent_bodies(web)
    assert login == second_login
    assert SESSION.encode() in first
    assert second == first.replace(SESSION.encode(), NEXT_SESSION.encode())


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_second_fault_5_in_a_row_is_an_error(web: responses.RequestsMock, flavour: Flavour) -> None:
    """In a list as in a short call: there is no third login."""
    connection = scripted_connection(
        web, flavour, login_reply(flavour), fault("5", "x"), login_reply(flavour), fault("5", "x")
    )
    with pytest.raises(FaultError, match=r"a new login did not help\. Check the session timeout"):
        list(connection.rows(ORDERS, UP_TO_400))
    assert len(sent_bodies(web)) == 4
    web.reset()
    connection = scripted_connection(
        web, flavour, login_reply(flavour), fault("5", "x"), login_reply(flavour), fault("5", "x")
    )
    with pytest.raises(FaultError, match="a new login did not help"):
        connection.call("magentoInfo")
    assert len(sent_bodies(web)) == 4


def test_many_threads_one_login(shop: Shop) -> None:
    """Threads share the session, and renew it once when it has expired for all of them."""
    with connection_to(shop) as connection:
        for logins in (1, 2):
            assert all(len(rows) > 10 for rows in in_threads(8, lambda: list(connection.rows(CUSTOMERS, UP_TO_400))))
            assert operations(shop).count("login") == logins
            shop.sessions.end_all()


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """Return the results of the work in several threads that begin together."""
    barrier = threading.Barrier(count)
    outcomes: list[Any] = []

    def run() -> None:
        barrier.wait()
        outcomes.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == count
    return outcomes


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("session", ["", " "])
def test_a_login_without_a_session_id(web: responses.RequestsMock, flavour: Flavour, session: str) -> None:
    """An empty answer to the login is an error."""
    connection = scripted_connection(web, flavour, login_reply(flavour, session))
    with pytest.raises(MalformedReplyError, match="login: the shop's answer has no session id"):
        connection.login()


# A shop that becomes another while it is read


OTHERS: list[tuple[str, Flavour]] = [("1.7.0.2", "rpc"), ("1.8.1.0", "wsi"), ("20.0.20", "wsi"), ("20.0.20", "rpc")]


@pytest.mark.parametrize("entity", ["orders", "customers"])
def test_a_call_is_repeated_after_an_upgrade(shop: Shop, entity: str) -> None:
    """Namespace and flavour may change between two calls: the WSDL is read again, once."""
    operation = LISTS[entity]
    with connection_to(shop) as connection:
        ids = {row[operation.key] for row in connection.rows(operation, ALL_IDS)}
        for profile, flavour in OTHERS:
            shop.set_profile(profile, flavour=flavour)
            shop.clear_log()
            assert {row[operation.key] for row in connection.rows(operation, ALL_IDS)} == ids
            assert (connection.flavour, connection.namespace) == (
                flavour,
                "urn:OpenMage" if profile == "20.0.20" else "urn:Magento",
            )
            assert list(connection.rows(operation, [Condition("entity_id", "eq", "0")])) == []
            assert operations(shop).count("") <= 1, operations(shop)


@pytest.mark.parametrize(("profile", "flavour"), OTHERS[:3])
def test_a_login_or_a_short_call_is_repeated_after_an_upgrade(shop: Shop, profile: str, flavour: Flavour) -> None:
    """The WSDL is read again."""
    with connection_to(shop) as connection:
        shop.set_profile(profile, flavour=flavour)
        connection.login()
        assert len(list(connection.rows(ORDERS, ALL_IDS))) == 200
    shop.set_profile("20.0.20", flavour="rpc")
    with connection_to(shop) as connection:
        connection.login()
        shop.set_profile(profile, flavour=flavour)
        assert connection.call("magentoInfo")["magento_version"]


@pytest.mark.parametrize("lookahead", [False, True])
@pytest.mark.parametrize("entity", ["orders", "customers", "shipments"])
def test_a_walk_through_upgrades(shop: Shop, entity: ListName, *, lookahead: bool) -> None:
    """`auto` continues with a strategy that the shop honours now, and each row is returned once.

    With lookahead a call is under way when the shop changes; to change twice during one call is more than shops do.
    """
    operation = LISTS[entity]
    changes = [("1.7.0.2", "rpc"), ("20.0.20", "wsi"), ("1.7.0.2", "wsi"), ("20.0.20", "rpc")]
    if lookahead:
        changes = [("1.7.0.2", "wsi")]
    with Pager(Connection(shop.url, shop.user, shop.key)) as pager:
        rows_read: list[dict[str, Any]] = []
        for page in pager.list(entity, goal=Goal(rows=10), lookahead=lookahead).pages():
            rows_read += page.rows
            if page.rows and changes:
                profile, flavour = changes.pop(0)
                shop.set_profile(profile, flavour=flavour)  # type: ignore[arg-type]  # a literal
        assert not changes
    key = operation.identity or operation.key
    with connection_to(shop) as connection:
        expected = sorted(row[key] for row in connection.rows(operation, ALL_IDS))
    assert sorted(row[key] for row in rows_read) == expected


def changing(web: responses.RequestsMock, now: bytes, *replies: bytes) -> Connection:
    """Return a connection, logged in, to a server whose WSDL has changed, and that sends these replies in turn."""
    connection = scripted_connection(web, "rpc", login_reply("rpc"))
    connection.login()
    web.replace("GET", URL, body=now)
    web.remove("POST", URL)
    for one in replies:
        web.post(URL, body=one)
    return connection


COLOURED = wsdl("rpc").replace(
    b'<x:element name="status"', b'<x:element name="colour" type="x:string"/><x:element name="status"'
)
"""A WSDL that declares one more field."""
RED = [ROWS[0], ROWS[1] | {"colour": "red"}, *ROWS[2:]]


def test_a_new_field_after_rows_is_an_error_to_retry(web: responses.RequestsMock) -> None:
    """Only the shop's present WSDL declares it: the error's remedy is "retry"."""
    connection = changing(web, COLOURED, rendered("rpc", RED))
    rows = connection.rows(ORDERS, UP_TO_400)
    assert next(rows) == ROWS[0]
    with pytest.raises(MalformedReplyError, match="contains <colour>") as caught:
        next(rows)
    assert caught.value.remedy == "retry"
    assert list(connection.rows(ORDERS, UP_TO_400)) == RED
    assert len(sent_bodies(web)) == 3


def test_a_new_field_in_the_first_row_repeats_the_call(web: responses.RequestsMock) -> None:
    """No error is raised before a row was returned."""
    connection = changing(web, COLOURED, rendered("rpc", RED[1:]))
    assert list(connection.rows(ORDERS, UP_TO_400)) == RED[1:]
    assert len(sent_bodies(web)) == 3


@pytest.mark.parametrize("rows", [RED, RED[1:]])
def test_an_undeclared_field_is_isolated(web: responses.RequestsMock, rows: list[dict[str, str]]) -> None:
    """If the WSDL is unchanged, a row may be the cause."""
    connection = changing(web, wsdl("rpc"), rendered("rpc", rows))
    with pytest.raises(MalformedReplyError, match="contains <colour>") as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert caught.value.remedy == "isolate"
    assert len(sent_bodies(web)) == 2


def test_the_wsdl_is_read_again_once_per_call(web: responses.RequestsMock) -> None:
    """Even if it changes each time."""
    connection = changing(web, COLOURED, fault("SOAP-ENV:Server", "Procedure 'salesOrderList' not present"))
    with pytest.raises(FaultError, match="lacks what its WSDL declares") as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert caught.value.remedy == "stop"
    assert len(sent_bodies(web)) == 3
    web.reset()
    connection = changing(web, wsdl("rpc"), fault("SOAP-ENV:Server", "Procedure 'magentoInfo' not present"))
    with pytest.raises(FaultError, match="lacks what its WSDL declares"):
        connection.call("magentoInfo")
    assert len(sent_bodies(web)) == 2


def test_a_new_wsdl_that_cannot_be_fetched_yet_is_retried(web: responses.RequestsMock) -> None:
    """During an upgrade the shop is in maintenance; afterwards the list is read."""
    connection = changing(web, COLOURED, rendered("rpc", RED[1:]))
    web.replace("GET", URL, status=503)
    with pytest.raises(TransportError, match=r"the WSDL at .*: HTTP 503") as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert caught.value.remedy == "retry"
    web.replace("GET", URL, body=COLOURED)
    assert list(connection.rows(ORDERS, UP_TO_400)) == RED[1:]


def test_a_new_wsdl_that_lacks_the_list(shop: Shop) -> None:
    """The message names the list, as for the first WSDL."""
    with connection_to(shop) as connection:
        connection.login()
        shop.set_profile("1.4.1.1")
        with pytest.raises(RemoteError, match="has no creditmemos; Magento has that list since 1"):
            list(connection.rows(CREDITMEMOS, UP_TO_400))


def test_a_new_wsdl_is_checked_like_the_first(web: responses.RequestsMock) -> None:
    """Its calls to another host are refused, and nothing is sent there."""
    connection = changing(web, wsdl("rpc", address="https://elsewhere.example/"), rendered("rpc", RED[1:]))
    with pytest.raises(RemoteError, match=r"sends calls to elsewhere\.example") as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert caught.value.remedy == "stop"
    assert len(sent_bodies(web)) == 2
    assert connection.address == URL


def test_many_threads_one_new_wsdl(shop: Shop) -> None:
    """Threads that notice the change at the same time read the WSDL once."""
    with connection_to(shop) as connection:
        connection.login()
        shop.set_profile("1.7.0.2", flavour="wsi")
        shop.clear_log()
        assert all(len(rows) == 200 for rows in in_threads(6, lambda: list(connection.rows(ORDERS, ALL_IDS))))


# A shop that is unwell when it is first asked


def test_a_shop_in_maintenance_is_waited_for(web: responses.RequestsMock, caplog: pytest.LogCaptureFixture) -> None:
    """WSDL and login are retried for as long as the options say, and each wait is logged."""
    web.get(URL, status=503)
    web.get(URL, body=wsdl("rpc"))
    web.post(URL, body=fault("WSDL", "SOAP-ERROR: Parsing WSDL"))
    web.post(URL, status=500, body=f"no {KEY} for {HASH}")
    web.post(URL, body=login_reply("rpc"))
    connection = Connection(f"{URL}?wsdl=1", "me", KEY, HttpOptions(patience=60))
    connection.login()
    assert len(web.calls) == 5
    announced = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [one.partition(";")[0].partition(",")[0] for one in announced] == [
        "the WSDL at http://127.0.0.1/api/v2_soap/: HTTP 503",
        "login: fault WSDL",
        "login: HTTP 500",
    ]
    assert all("; trying again in " in one for one in announced)
    assert KEY not in caplog.text
    assert HASH not in caplog.text


@pytest.mark.parametrize(("patience", "header"), [(0, "0"), (5, "20")])
def test_patience_ends(web: responses.RequestsMock, patience: float, header: str) -> None:
    """Without patience there is one attempt; and a server that asks for a longer pause is not retried."""
    web.get(URL, status=503, headers={"Retry-After": header})
    with pytest.raises(TransportError, match="HTTP 503"):
        Connection(f"{URL}?wsdl=1", "me", KEY, HttpOptions(patience=patience))
    assert len(web.calls) == 1


def test_permanent_failures_are_not_retried(web: responses.RequestsMock) -> None:
    """A wrong key and a wrong address are reported at once."""
    web.get(URL, body=wsdl("rpc"))
    web.post(URL, body=fault("2", "Access denied."))
    with pytest.raises(FaultError, match="Access denied"):
        Connection(f"{URL}?wsdl=1", "me", KEY, HttpOptions(patience=60)).login()
    web.replace("GET", URL, status=404)
    with pytest.raises(TransportError, match="HTTP 404"):
        Connection(f"{URL}?wsdl=1", "me", KEY, HttpOptions(patience=60))
    assert len(web.calls) == 3


# A wrong key, a missing right


@pytest.mark.parametrize(("user", "key"), [("demo", "wrong"), ("nobody", "demo-key")])
def test_a_wrong_key(shop: Shop, user: str, key: str) -> None:
    """The server sends the same for a bad login and for a missing right, so the message names both."""
    with pytest.raises(
        FaultError, match=r"user or key is wrong, or a right is missing; .*\. Check --user and"
    ) as caught:
        connect(shop.url, user, key)
    assert caught.value.code == "2"
    assert caught.value.operation == "login"
    assert operations(shop) == ["login"]


def test_a_missing_right(shop: Shop) -> None:
    """If a list is denied, the message names the right that the role needs."""
    shop.change(denied={"orders"})
    with connection_to(shop) as connection:
        assert list(connection.rows(CUSTOMERS, UP_TO_400))
        with pytest.raises(FaultError, match="has the right 'Sales/Order/Retrieve orders info'"):
            list(connection.rows(ORDERS, UP_TO_400))


def test_a_list_that_the_version_lacks_is_reported(shop_of: Callable[[str, str], Shop]) -> None:
    """The message names the version that introduced the list."""
    with (
        connection_to(shop_of("1.4.1.1", "rpc")) as connection,
        pytest.raises(RemoteError, match=r"has no creditmemos; Magento has that list since 1\.6\.1\.0$"),
    ):
        list(connection.rows(CREDITMEMOS, UP_TO_400))
