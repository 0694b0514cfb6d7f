"""A shop behind its WSDL: finding it, its lists, the session, failures, and what must never show."""

from __future__ import annotations

import gzip
import logging
import threading
import traceback
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any

import pytest
import responses
import zeep
import zeep.transports
from conftest import SPOKEN
from loopback import Request, reply, serving
from lxml import etree
from test_decoding import ROWS, rendered
from wsdls import Flavour, wsdl
from zeep.helpers import serialize_object
from zeep.plugins import HistoryPlugin
from zeep_oracle import ENCODING_SCHEMA, same_rows

from magento_pager import connect
from magento_pager.errors import FaultError, MalformedReplyError, PagerError, RemoteError, TransportError
from magento_pager.fake import Shop
from magento_pager.shop.connection import Connection, ListSource, wsdl_candidates
from magento_pager.shop.operations import CREDITMEMOS, CUSTOMERS, OPERATIONS, ORDERS, PRODUCTS
from magento_pager.shop.transport import HttpOptions
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import IdRange

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from magento_pager.fake.settings import Outage

URL = "http://127.0.0.1/api/v2_soap/"
FLAVOURS: list[Flavour] = ["rpc", "wsi"]
SOME = [Condition("entity_id", "lteq", "400")]
ALL = [Condition("entity_id", "gteq", "0")]
KEY, SESSION, NEXT_SESSION = "s3same-key", "feedfacefeedfacefeedfacefeedface", "cafebabecafebabecafebabecafebabe"
HASH = "5f4dcc3b5aa765d61d8327deb882cf99:sA"
QUICK = HttpOptions(timeout=0.4)


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """HTTP without a network."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def shop() -> Iterator[Shop]:
    """An embedded shop of its own, to be changed by the test."""
    with Shop(orders=200) as running:
        yield running


def connection_to(shop: Shop, **options: Any) -> closing[Connection]:
    """A connection to the embedded shop; closed at the end of a with statement."""
    return closing(Connection(shop.url, shop.user, shop.key, HttpOptions(**options)))


def operations(shop: Shop) -> list[str]:
    """The calls that the shop answered, in order."""
    return [call.operation for call in shop.log]


def envelope(body: str) -> bytes:
    """A reply."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
      <e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:n="urn:Magento"><e:Body>{body}</e:Body>
      </e:Envelope>""".encode()


def fault(code: str, text: str) -> bytes:
    """A fault."""
    return envelope(f"<e:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring></e:Fault>")


def logged_in(flavour: Flavour, session: str = SESSION) -> bytes:
    """The answer to a login."""
    if flavour == "rpc":
        return envelope(f"<n:loginResponse><loginReturn>{session}</loginReturn></n:loginResponse>")
    return envelope(f"<n:loginResponseParam><result>{session}</result></n:loginResponseParam>")


def scripted(web: responses.RequestsMock, flavour: Flavour, *answers: bytes | tuple[int, bytes]) -> Connection:
    """A connection to a server that answers these in turn, and the last one ever after."""
    web.get(URL, body=wsdl(flavour))
    for answer in answers:
        status, body = (200, answer) if isinstance(answer, bytes) else answer
        web.post(URL, body=body, status=status)
    return Connection(f"{URL}?wsdl=1", "me", KEY)


def sent(web: responses.RequestsMock) -> list[bytes]:
    """The bodies of the calls that were made."""
    return [call.request.body for call in web.calls if isinstance(call.request.body, bytes)]


# Finding the shop


@pytest.mark.parametrize(("profile", "flavour"), SPOKEN)
def test_a_shop_says_what_it_is(shop_of: Callable[[str, str], Shop], profile: str, flavour: str) -> None:
    """Flavour, namespace and address are read from the WSDL."""
    shop = shop_of(profile, flavour)
    with connection_to(shop) as connection:
        assert connection.flavour == flavour
        assert connection.namespace == ("urn:OpenMage" if profile == "20.0.20" else "urn:Magento")
        assert connection.address.startswith(shop.base_url)
        assert repr(connection) == f"<Connection to {connection.address}, {flavour}>"
        assert connection.has("salesOrderList")
        assert connection.has("salesOrderCreditmemoList") == (profile != "1.4.1.1")


def test_every_way_to_say_where_the_shop_is(shop: Shop) -> None:
    """Its base address, its endpoint and the address of its WSDL all lead to it."""
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
        ("https://a.b/api/v2_soap/?wsdl", ["https://a.b/api/v2_soap/?wsdl"]),
        ("https://a.b/api/v2_soap/index/wsdl/1", ["https://a.b/api/v2_soap/index/wsdl/1"]),
        (
            "https://wsdl.a.b/nowsdl",
            ["https://wsdl.a.b/nowsdl/api/v2_soap/?wsdl=1", "https://wsdl.a.b/nowsdl/index.php/api/v2_soap/?wsdl=1"],
        ),
    ],
)
def test_where_a_wsdl_may_be(url: str, candidates: list[str]) -> None:
    """An address is a WSDL's, an endpoint's, or a shop's."""
    assert wsdl_candidates(url) == candidates


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "begins with http:// or https://"),
        ("shop.example", "begins with http:// or https://"),
        ("ftp://shop.example/", "begins with http:// or https://"),
        ("http://", "names a host"),
        ("https://me:s3same@shop.example/", "--basic-auth"),
        ("http://shop.example/", "--insecure-http"),
        ("http://192.0.2.7:8080/", "--insecure-http"),
    ],
)
def test_an_address_that_is_none(url: str, message: str) -> None:
    """A wrong address is a mistake of the caller's: one line that says what to write."""
    with pytest.raises(ValueError, match=message) as caught:
        Connection(url, "me", KEY)
    assert "\n" not in str(caught.value)
    assert "s3same" not in str(caught.value)


@pytest.mark.parametrize(
    "first", [(404, "No such page"), (403, "No"), (500, ""), (200, "<html>Welcome</html>"), (200, "")]
)
def test_a_shop_without_url_rewriting(web: responses.RequestsMock, first: tuple[int, str]) -> None:
    """Where /api/ leads nowhere, /index.php/api/ is tried."""
    web.get(URL, status=first[0], body=first[1])
    web.get(
        "http://127.0.0.1/index.php/api/v2_soap/", body=wsdl("rpc", address="http://127.0.0.1/index.php/api/v2_soap/")
    )
    assert Connection("http://127.0.0.1/", "me", KEY).address == "http://127.0.0.1/index.php/api/v2_soap/"


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_server_that_wants_to_be_left_alone(web: responses.RequestsMock, status: int) -> None:
    """Where another address would fare no better, none is tried."""
    web.get(URL, status=status)
    with pytest.raises(TransportError) as caught:
        Connection("http://127.0.0.1/", "me", KEY)
    assert caught.value.status == status
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html><title>My shop</title><body>Welcome</body></html>", r"something else than a WSDL \('My shop'\)"),
        (b"<!DOCTYPE html><html><body><p>Please <b>log in</b></p></body></html>", "'Please log in'"),
        (b"", "something else than a WSDL"),
        (b"{}", "something else than a WSDL"),
        (b"<?xml version='1.0'?><!DOCTYPE definitions [<!ENTITY a 'b'>]><definitions/>", "something else than a WSDL"),
        (b"<definitions", "no WSDL that can be used"),
        (b"<definitions/>", "does not say where SOAP calls go"),
        (b'<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>', "does not say where SOAP calls go"),
        (wsdl("rpc").partition(b"<service")[0] + b"</definitions>", "does not say where SOAP calls go"),
        (wsdl("rpc", address=""), "does not say where SOAP calls go"),
        (wsdl("rpc").replace(b'binding="t:Binding"', b'binding="t:Nothing"'), "does not say where SOAP calls go"),
        (wsdl("rpc")[:-100], "no WSDL that can be used"),
        (wsdl("rpc").replace(b"<types>", b"<types>\x01"), "no WSDL that can be used"),
    ],
)
def test_what_answers_is_no_wsdl(web: responses.RequestsMock, body: bytes, message: str) -> None:
    """A page, or a WSDL that is broken, is named as such, in one line, with the address without its query."""
    web.get(URL, body=body)
    with pytest.raises(MalformedReplyError, match=message) as caught:
        Connection(f"{URL}?wsdl=1&token=s3same", "me", KEY)
    assert "\n" not in str(caught.value)
    assert "s3same" not in str(caught.value)


def test_a_wsdl_that_a_module_broke(web: responses.RequestsMock) -> None:
    """An operation without its messages is passed over; only who calls it hears of it."""
    web.get(URL, body=wsdl("rpc").replace(b'message="t:magentoInfo"', b'message="t:nothing"'))
    web.post(URL, body=logged_in("rpc"))
    connection = Connection(f"{URL}?wsdl=1", "me", KEY)
    connection.login()
    with pytest.raises(RemoteError, match="magentoInfo: this shop's WSDL does not declare it"):
        connection.call("magentoInfo")


def test_the_wsdl_of_soap_v1(web: responses.RequestsMock) -> None:
    """The older API has no lists of its own; the message names the address of the right one."""
    web.get(URL, body=wsdl("rpc").replace(b"salesOrderList", b"call"))
    with pytest.raises(
        RemoteError, match=r"salesOrderList: .* has no orders; is this the address of SOAP V2, .*v2_soap"
    ):
        list(Connection(f"{URL}?wsdl=1", "me", KEY).rows(ORDERS, SOME))


def test_no_document_of_another_host_is_fetched(web: responses.RequestsMock) -> None:
    """A WSDL that refers to another host is refused, unless that host is allowed; the encoding schema is our own."""
    more = '<x:import namespace="urn:more" schemaLocation="http://elsewhere.example/more.xsd"/>'
    text = wsdl("rpc").replace(b"<x:import", more.encode() + b"<x:import", 1)
    web.get(URL, body=text)
    with pytest.raises(MalformedReplyError, match=r"refers to http://elsewhere\.example/more\.xsd, on another host"):
        Connection(f"{URL}?wsdl=1", "me", KEY)
    web.get("http://elsewhere.example/more.xsd", body='<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema"/>')
    options = HttpOptions(allow_hosts=frozenset({"elsewhere.example"}), insecure_http=True)
    assert Connection(f"{URL}?wsdl=1", "me", KEY, options).has("salesOrderList")


def test_no_document_is_fetched_but_over_http(web: responses.RequestsMock) -> None:
    """A WSDL cannot make the client read files."""
    more = '<x:import namespace="urn:more" schemaLocation="file:///etc/hostname"/>'
    web.get(URL, body=wsdl("rpc").replace(b"<x:import", more.encode() + b"<x:import", 1))
    with pytest.raises(MalformedReplyError, match="refers to"):
        Connection(f"{URL}?wsdl=1", "me", KEY)


def test_calls_to_another_host_are_refused(web: responses.RequestsMock) -> None:
    """A WSDL cannot send the key to another host, unless that host is allowed."""
    web.get(URL, body=wsdl("wsi", address="https://elsewhere.example/api/v2_soap/"))
    with pytest.raises(ValueError, match=r"sends calls to elsewhere\.example; .*--allow-host elsewhere\.example"):
        Connection(f"{URL}?wsdl=1", "me", KEY)
    options = HttpOptions(allow_hosts=frozenset({"elsewhere.example"}))
    assert Connection(f"{URL}?wsdl=1", "me", KEY, options).address == "https://elsewhere.example/api/v2_soap/"


def test_an_allowed_host_is_not_called_over_plain_http(web: responses.RequestsMock) -> None:
    """Where calls go is checked when the WSDL is read, before anything is sent there."""
    web.get(URL, body=wsdl("wsi", address="http://elsewhere.example/api/v2_soap/"))
    with pytest.raises(ValueError, match=r"http://elsewhere\.example/api/v2_soap/ is plain http"):
        Connection(f"{URL}?wsdl=1", "me", KEY, HttpOptions(allow_hosts=frozenset({"elsewhere.example"})))


def test_a_wsdl_cannot_lead_out_of_tls(web: responses.RequestsMock) -> None:
    """Behind a proxy a shop may think that it is plain http; a key that was meant for https goes over https."""
    web.get("https://shop.example/api/v2_soap/", body=wsdl("rpc", address="http://shop.example/api/v2_soap/"))
    assert Connection("https://shop.example/", "me", KEY).address == "https://shop.example/api/v2_soap/"


def test_a_list_without_a_condition_is_refused(web: responses.RequestsMock) -> None:
    """No condition would mean the whole table in one reply."""
    web.get(URL, body=wsdl("rpc"))
    with pytest.raises(ValueError, match="its whole table at once"):
        list(Connection(f"{URL}?wsdl=1", "me", KEY).rows(ORDERS, []))
    assert len(web.calls) == 1


def test_an_unknown_call(shop: Shop) -> None:
    """An operation that the WSDL lacks is not sent."""
    with connection_to(shop) as connection:
        with pytest.raises(RemoteError, match="salesOrderFrobnicate: this shop's WSDL does not declare it"):
            connection.call("salesOrderFrobnicate")
        with pytest.raises(RemoteError, match="magentoInfo: no request fits"):
            connection.call("magentoInfo", colour="red")
    assert set(operations(shop)) <= {"login", "endSession"}


# Lists


@pytest.mark.parametrize("entity", OPERATIONS)
@pytest.mark.parametrize(("profile", "flavour"), SPOKEN)
def test_rows_are_those_of_zeep(shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: str) -> None:
    """For every version, flavour and list of the embedded shop, zeep by itself gets the same rows."""
    shop, operation = shop_of(profile, flavour), OPERATIONS[entity]
    with connection_to(shop) as connection:
        if not connection.has(operation.name):
            with pytest.raises(RemoteError, match="has no"):
                list(connection.rows(operation, SOME))
            return
        ours = list(connection.rows(operation, SOME))
    theirs, body = zeep_alone(shop, operation.name)
    assert len(ours) > 10
    assert same_rows(ours, theirs, body)


def zeep_alone(shop: Shop, operation: str) -> tuple[list[Any], bytes]:
    """The rows that zeep's own client gets, over its own transport, and the body they came in."""

    class Offline(zeep.transports.Transport):
        def load(self, url: str) -> bytes:
            ours = ENCODING_SCHEMA if "soap/encoding" in url else None
            return ours or bytes(super().load(url))  # type: ignore[no-untyped-call]  # zeep's annotations are partial

    history = HistoryPlugin()
    client: Any = zeep.Client(f"{shop.url}?wsdl=1", transport=Offline(), plugins=[history])  # type: ignore[no-untyped-call]
    session = client.service.login(shop.user, shop.key)
    pair = [{"key": one.field, "value": {"key": one.operator, "value": one.value}} for one in SOME]
    rpc = shop.settings.flavour == "rpc"
    filters = {"complex_filter": pair if rpc else {"complexObjectArray": pair}}
    stores = ({"storeView": "0"} if rpc else {"store": "0"}) if operation == "catalogProductList" else {}
    result = client.service[operation](sessionId=session, filters=filters, **stores)
    client.transport.session.close()
    received = history.last_received
    assert received
    return serialize_object(result, dict) or [], etree.tostring(received["envelope"])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_products_of_all_stores_are_asked_for(flavour: Flavour) -> None:
    """Any other store but 0 may leave out the products of other websites; the flavours call the part differently."""
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
            connection.sendall(reply(logged_in(flavour)))

    with serving(answer) as url, closing(Connection(url, "me", KEY)) as connection, suppress(MalformedReplyError):
        list(connection.rows(PRODUCTS, SOME))
    call = next(etree.fromstring(one) for one in asked if b"catalogProductList" in one)
    assert call.findtext(".//storeView" if flavour == "rpc" else ".//store") == "0"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_conditions_are_anded(shop_of: Callable[[str, str], Shop], flavour: str) -> None:
    """Several conditions go out in one call, and the shop applies them all."""
    shop = shop_of("20.0.20", flavour)
    window = [Condition("entity_id", "from", "100"), Condition("main_table.entity_id", "to", "199")]
    with connection_to(shop) as connection:
        ids = [int(row["order_id"]) for row in connection.rows(ORDERS, window)]
        assert connection.bytes_received > 1000
    assert sorted(ids) == [one for one in sorted(shop.database.ids("orders")) if 100 <= one <= 199]


def test_a_list_is_a_source(shop_of: Callable[[str, str], Shop]) -> None:
    """A list of a connection can be walked: it takes queries."""
    with connection_to(shop_of("20.0.20", "rpc")) as connection:
        source = ListSource(connection, CUSTOMERS)
        query = Query((Condition("entity_id", "eq", "7"),), IdRange(7, 7), None)
        assert [row["customer_id"] for row in source.fetch(query)] == ["7"]
        assert "Connection to" in repr(source)


def test_leaving_a_list_early(shop: Shop) -> None:
    """Who closes the generator of rows hangs up; the next call works."""
    with connection_to(shop) as connection:
        rows = connection.rows(ORDERS, ALL)
        next(rows)
        rows.close()
        assert len(list(connection.rows(ORDERS, ALL))) == 200


def test_a_list_over_the_cap(shop: Shop) -> None:
    """A reply longer than allowed ends with what to do."""
    with (
        connection_to(shop, max_reply_bytes=100_000) as connection,
        pytest.raises(TransportError, match=r"salesOrderList: the answer is longer than 100000 bytes; .*--window"),
    ):
        list(connection.rows(ORDERS, ALL))


# The session


def test_one_login_for_many_calls(shop: Shop) -> None:
    """The session begins at the first call and ends with the connection; nothing is sent afterwards."""
    with connection_to(shop) as connection:
        assert operations(shop) == []
        for _ in range(3):
            list(connection.rows(CUSTOMERS, SOME))
        assert connection.call("magentoInfo")["magento_version"]
    told = ["login", *["customerCustomerList"] * 3, "magentoInfo", "endSession"]
    assert operations(shop) == told
    assert len(shop.sessions) == 0
    with pytest.raises(ValueError, match="closed"):
        list(connection.rows(CUSTOMERS, SOME))
    with pytest.raises(ValueError, match="closed"):
        connection.call("magentoInfo")
    with pytest.raises(ValueError, match="closed"):
        connection.login()
    connection.close()
    assert operations(shop) == told


def test_closing_without_a_session_sends_nothing(shop: Shop) -> None:
    """There is nothing to end."""
    with connection_to(shop):
        pass
    assert operations(shop) == []


def test_closing_when_the_shop_is_gone() -> None:
    """A session that cannot be ended will expire: closing is no error."""
    with Shop(orders=10) as shop:
        connection = Connection(shop.url, shop.user, shop.key)
        connection.login()
    connection.close()


def test_an_expired_session_is_renewed(shop: Shop) -> None:
    """Fault 5 leads to one more login, and the same rows."""
    with connection_to(shop) as connection:
        before = list(connection.rows(CUSTOMERS, SOME))
        shop.sessions.end_all()
        assert list(connection.rows(CUSTOMERS, SOME)) == before
        shop.sessions.end_all()
        assert connection.call("magentoInfo")["magento_edition"]
    assert operations(shop) == [
        *["login", "customerCustomerList", "customerCustomerList", "login", "customerCustomerList"],
        *["magentoInfo", "login", "magentoInfo", "endSession"],
    ]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_request_is_rebuilt_with_the_new_session(web: responses.RequestsMock, flavour: Flavour) -> None:
    """The old session id is not sent again."""
    connection = scripted(
        web,
        flavour,
        logged_in(flavour),
        fault("5", "Session expired. Try to relogin."),
        logged_in(flavour, NEXT_SESSION),
        rendered(flavour, ROWS),
    )
    assert list(connection.rows(ORDERS, SOME)) == ROWS
    login, first, again, second = sent(web)
    assert login == again
    assert SESSION.encode() in first
    assert second == first.replace(SESSION.encode(), NEXT_SESSION.encode())


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_session_that_never_lasts(web: responses.RequestsMock, flavour: Flavour) -> None:
    """A second fault 5 in a row is an error, in a list as in a short call: there is no third login."""
    connection = scripted(web, flavour, logged_in(flavour), fault("5", "x"), logged_in(flavour), fault("5", "x"))
    with pytest.raises(FaultError, match="a new login did not help; is the session timeout"):
        list(connection.rows(ORDERS, SOME))
    assert len(sent(web)) == 4
    web.reset()
    connection = scripted(web, flavour, logged_in(flavour), fault("5", "x"), logged_in(flavour), fault("5", "x"))
    with pytest.raises(FaultError, match="a new login did not help"):
        connection.call("magentoInfo")
    assert len(sent(web)) == 4


def test_many_threads_one_login(shop: Shop) -> None:
    """Threads share the session, and renew it once when it has expired for all of them."""
    with connection_to(shop) as connection:
        for logins in (1, 2):
            assert all(len(rows) > 10 for rows in in_threads(8, lambda: list(connection.rows(CUSTOMERS, SOME))))
            assert operations(shop).count("login") == logins
            shop.sessions.end_all()


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    """What the work gives in so many threads that begin together."""
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
    """An empty answer to the login is no session."""
    connection = scripted(web, flavour, logged_in(flavour, session))
    with pytest.raises(MalformedReplyError, match="login: the shop answered without a session id"):
        connection.login()


@pytest.mark.parametrize(("user", "key"), [("demo", "wrong"), ("nobody", "demo-key")])
def test_a_wrong_key(shop: Shop, user: str, key: str) -> None:
    """The server says the same for a bad login and for a missing right, so both are named."""
    with pytest.raises(FaultError, match="wrong user or key and for a missing right: check --user and --key") as caught:
        connect(shop.url, user, key)
    assert caught.value.code == "2"
    assert caught.value.operation == "login"
    assert operations(shop) == ["login"]


def test_a_missing_right(shop: Shop) -> None:
    """Where a list is denied, the message names the right that its role needs."""
    shop.change(denied={"orders"})
    with connection_to(shop) as connection:
        assert list(connection.rows(CUSTOMERS, SOME))
        with pytest.raises(FaultError, match="has the right 'Sales/Order/Retrieve orders info'"):
            list(connection.rows(ORDERS, SOME))


def test_credit_memos_before_they_were(shop_of: Callable[[str, str], Shop]) -> None:
    """A list that came later is named with the version that brought it."""
    with (
        connection_to(shop_of("1.4.1.1", "rpc")) as connection,
        pytest.raises(RemoteError, match=r"has no creditmemos; the list came with Magento 1\.6\.1\.0$"),
    ):
        list(connection.rows(CREDITMEMOS, SOME))


# Failures


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *[(401, False), (403, False), (404, False), (405, False), (413, False), (429, True)],
        *[(500, False), (502, True), (503, True), (504, True)],
    ],
)
def test_a_page_instead_of_a_reply(
    web: responses.RequestsMock, flavour: Flavour, status: int, *, retryable: bool
) -> None:
    """A page with a failure's status is a TransportError, with its title, in a list as in a login."""
    page = b"<html><head><title>Go\naway</title></head><body>no</body></html>"
    connection = scripted(web, flavour, logged_in(flavour), (status, page))
    with pytest.raises(TransportError, match=f"salesOrderList: HTTP {status}; .* It said: Go away$") as caught:
        list(connection.rows(ORDERS, SOME))
    assert (caught.value.status, caught.value.retryable) == (status, retryable)
    web.reset()
    connection = scripted(web, flavour, (status, page))
    with pytest.raises(TransportError, match=f"login: HTTP {status}; ") as caught:
        connection.login()
    assert (caught.value.status, caught.value.retryable) == (status, retryable)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", r"the reply is empty: PHP gave up, often for lack of memory; choose a smaller --window"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "not XML; it begins with '<!DOCTYPE html>"),
        (b"<html><body>Log in</body></html>", "no SOAP envelope but <html>"),
        (envelope("<n:other/>"), "answers with <{urn:Magento}other>"),
        (rendered("rpc", ROWS)[:-60], "malformed or was cut short"),
    ],
)
def test_another_body_with_status_200(web: responses.RequestsMock, body: bytes, message: str) -> None:
    """Success by its status is none by its body."""
    connection = scripted(web, "rpc", logged_in("rpc"), body)
    with pytest.raises(MalformedReplyError, match=f"salesOrderList: .*{message}"):
        list(connection.rows(ORDERS, SOME))


def test_a_fault_with_status_500_is_the_fault(web: responses.RequestsMock) -> None:
    """PHP's own faults come with status 500, and count as faults."""
    connection = scripted(web, "rpc", logged_in("rpc"), (500, fault("SOAP-ENV:Server", "Allowed memory size")))
    with pytest.raises(FaultError, match="Allowed memory size") as caught:
        list(connection.rows(ORDERS, SOME))
    assert caught.value.code == "SOAP-ENV:Server"


@pytest.mark.parametrize(
    ("code", "text", "advice"),
    [
        ("0", "Unknown Error", "a filter names something the list does not have"),
        ("1", "SQLSTATE[42S22]: Column not found", "the server's own error"),
        ("1", 'Item (Mage_Sales_Model_Order) with the same id "100" already exist', "two addresses of one kind"),
        ("2", "Access denied.", "check --user and --key, and that the API user is active and its role has the right"),
        ("3", "Invalid api path.", "does not know this API path"),
        ("4", "Resource path is not callable.", "cannot call this API path"),
        ("6", "Required parameter is missing", "misses a parameter"),
        ("101", "Invalid attribute name: x", "refuses a filter"),
        ("100", "Requested order not exists.", "gave up on the call"),
        ("SOAP-ENV:Server", "Allowed memory size of 9 bytes exhausted", "choose a smaller --window"),
        ("SOAP-ENV:Server", "Maximum execution time of 1 second exceeded", "choose a smaller --window"),
        ("SOAP-ENV:Server", "SOAP-ERROR: Encoding: string 'Bj...' is not a valid utf-8 string", "is not UTF-8"),
        ("SOAP-ENV:Server", "Procedure 'x' not present", "does not speak as its WSDL says"),
        ("WSDL", "SOAP-ERROR: Parsing WSDL: Couldn't load", "enable the WSDL cache"),
    ],
)
def test_each_fault_has_its_advice(web: responses.RequestsMock, code: str, text: str, advice: str) -> None:
    """A fault's message holds its code, the server's words, and what to do."""
    connection = scripted(web, "rpc", logged_in("rpc"), fault(code, text))
    with pytest.raises(FaultError) as caught:
        list(connection.rows(ORDERS, SOME))
    assert str(caught.value).startswith(f"salesOrderList: fault {code}, {text!r}: ")
    assert advice in str(caught.value).partition(repr(text))[2]
    assert (caught.value.code, caught.value.text) == (code, text)


def test_a_long_fault_is_shown_in_short(web: responses.RequestsMock) -> None:
    """Some faults hold a whole SQL statement: the message shows its beginning, `text` holds all."""
    connection = scripted(web, "rpc", logged_in("rpc"), fault("1", "SQLSTATE\n" + "SELECT a, " * 500))
    with pytest.raises(FaultError) as caught:
        list(connection.rows(ORDERS, SOME))
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)
    assert len(caught.value.text) > 5000


def behind_a_wsdl(answer: Callable[[socket.socket, Request], None]) -> Callable[[socket.socket, Request], None]:
    """A server that gives a WSDL and a session, and answers all else as told."""

    def converse(connection: socket.socket, request: Request) -> None:
        if request.head.startswith(b"GET"):
            host, port = connection.getsockname()
            connection.sendall(reply(wsdl("rpc", address=f"http://{host}:{port}/api/v2_soap/")))
        elif b"<apiKey" in request.body:
            connection.sendall(reply(logged_in("rpc")))
        elif b"endSession" not in request.body:
            answer(connection, request)

    return converse


def stalling(connection: socket.socket, _: Request) -> None:
    """No answer."""
    connection.recv(1)


def stalling_amid_rows(connection: socket.socket, _: Request) -> None:
    """Rows, and then nothing."""
    connection.sendall(reply(rendered("rpc", ROWS))[:-400])
    connection.recv(1)


def dripping(connection: socket.socket, _: Request) -> None:
    """A row now and then, without an end."""
    body = rendered("rpc", ROWS * 1000)
    connection.sendall(reply(body)[: -len(body)])
    for start in range(0, len(body), 50):
        connection.sendall(body[start : start + 50])
        threading.Event().wait(0.01)


def hanging_up(connection: socket.socket, _: Request) -> None:
    """Half an answer."""
    connection.sendall(reply(rendered("rpc", ROWS))[:-400])


def packing_half(connection: socket.socket, _: Request) -> None:
    """A packed body that is cut, with a length that fits."""
    connection.sendall(reply(gzip.compress(rendered("rpc", ROWS))[:-100], "Content-Encoding: gzip"))


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (stalling, TransportError, "no answer in time"),
        (stalling_amid_rows, TransportError, "no answer in time"),
        (dripping, TransportError, "still no end of the answer after 0.4 s|no answer in time"),
        (hanging_up, TransportError, "the answer was cut short"),
        (packing_half, MalformedReplyError, "malformed or was cut short"),
    ],
)
def test_a_way_that_fails(
    answer: Callable[[socket.socket, Request], None], kind: type[RemoteError], message: str
) -> None:
    """Stalling, dripping and hanging up end in an error that names the call; rows that came before were right."""
    rows: list[dict[str, Any]] = []
    with (
        serving(behind_a_wsdl(answer)) as url,
        closing(Connection(url, "me", KEY, QUICK)) as connection,
        pytest.raises(kind, match=f"salesOrderList: .*({message})"),
    ):
        rows.extend(connection.rows(ORDERS, SOME))
    assert rows == (ROWS * 1000)[: len(rows)]


def test_a_shop_that_does_not_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ending the session is tried for a short time only, however patient the caller is with lists."""
    monkeypatch.setattr("magento_pager.shop.connection.FAREWELL", 0.2)
    left = threading.Event()

    def answer(connection: socket.socket, request: Request) -> None:
        behind_a_wsdl(stalling)(connection, request)
        if b"endSession" in request.body:
            connection.settimeout(10)
            connection.recv(1)
            left.set()

    with serving(answer) as url:
        connection = Connection(url, "me", KEY, HttpOptions(timeout=60))
        connection.login()
        connection.close()
        assert left.wait(5)


def test_no_login_while_closing() -> None:
    """While the session is being ended, no other thread begins a new one."""
    outcomes: list[str] = []
    logins: list[bytes] = []

    def answer(connection: socket.socket, request: Request) -> None:
        if b"<apiKey" in request.body:
            logins.append(request.body)
        if b"endSession" in request.body:
            try:
                closing_one.login()
            except ValueError as error:
                outcomes.append(str(error))
        behind_a_wsdl(stalling)(connection, request)

    with serving(answer) as url:
        closing_one = Connection(url, "me", KEY, HttpOptions(timeout=10))
        closing_one.login()
        closing_one.close()
    assert outcomes == ["this connection to the shop is closed; connect anew"]
    assert len(logins) == 1


OUTAGES: list[tuple[Outage, type[RemoteError], str]] = [
    ("maintenance", TransportError, "HTTP 503; the shop is in maintenance"),
    ("database", TransportError, "HTTP 503; "),
    ("firewall", TransportError, "HTTP 403; a firewall or bot protection"),
    ("redirect", TransportError, "HTTP 302; the server redirects to https://"),
    ("wsdl", FaultError, "fault WSDL, .* enable the WSDL cache"),
    ("schema", FaultError, "fault WSDL, .* enable the WSDL cache"),
]


@pytest.mark.parametrize(("outage", "kind", "message"), OUTAGES)
def test_the_outages_of_a_shop(shop: Shop, outage: Outage, kind: type[RemoteError], message: str) -> None:
    """Whatever befalls the shop between two calls, the message says what it was and what to do."""
    with connection_to(shop) as connection:
        list(connection.rows(CUSTOMERS, SOME))
        shop.change(outage=outage)
        with pytest.raises(kind, match=f"customerCustomerList: {message}"):
            list(connection.rows(CUSTOMERS, SOME))
        shop.change(outage="")
        assert list(connection.rows(CUSTOMERS, SOME))


def test_a_server_out_of_memory(shop: Shop) -> None:
    """A list too long for PHP is a fault, or an answer without its body."""
    shop.change(memory_limit_rows=50)
    with connection_to(shop) as connection:
        with pytest.raises(FaultError, match="Allowed memory size"):
            list(connection.rows(ORDERS, ALL))
        shop.change(memory_failure="empty")
        with pytest.raises(TransportError, match="the answer was cut short"):
            list(connection.rows(ORDERS, ALL))
        shop.change(memory_limit_rows=0)
        assert len(list(connection.rows(ORDERS, ALL))) == 200


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_poison_of_old_servers(flavour: Flavour) -> None:
    """A row that breaks its page does so with the documented error, and its neighbours are untouched."""
    with Shop(profile="1.7.0.2", flavour=flavour, orders=50) as shop, connection_to(shop) as connection:
        first, second, *_ = sorted(shop.database.ids("orders"))
        one = [Condition("entity_id", "eq", str(first))]
        shop.change(duplicate_address={first})
        with pytest.raises(FaultError, match=f'same id "{first}" already exist'):
            list(connection.rows(ORDERS, one))
        shop.change(duplicate_address=(), invalid_utf8={first})
        with pytest.raises(FaultError, match="Encoding: string"):
            list(connection.rows(ORDERS, one))
        shop.change(invalid_utf8=(), control_characters={first})
        with pytest.raises(MalformedReplyError, match="malformed"):
            list(connection.rows(ORDERS, one))
        assert len(list(connection.rows(ORDERS, [Condition("entity_id", "eq", str(second))]))) == 1


# Secrets


SECRETS = [KEY, SESSION, NEXT_SESSION, HASH, "b4sic", "h3ader"]
LEAKS = [
    fault("1", f"query was: ... WHERE sessid = '{SESSION}' AND hash = '{HASH}' AND api_key = '{KEY}'"),
    fault("WSDL", "SOAP-ERROR: Couldn't load from 'http://me:b4sic@127.0.0.1/?wsdl=1'"),
    fault("5", f"Session {SESSION} expired"),
    (500, f"<html><title>{SESSION} {KEY} {HASH}</title></html>".encode()),
    (503, KEY.encode()),
    f"{SESSION} {KEY} {HASH}".encode(),
    f"<html>{HASH}</html>".encode(),
    f"<{KEY}/>".encode(),
    envelope(f"<{KEY}/>"),
    rendered("rpc", ROWS).replace(b"<status", f"<{KEY}/><status".encode()),
    rendered("rpc", ROWS).replace(b'"xsd:string">c', f'"{HASH}">c'.encode()),
    rendered("rpc", ROWS)[:-100],
]


@pytest.mark.parametrize("leak", LEAKS)
def test_no_secret_shows(
    web: responses.RequestsMock, caplog: pytest.LogCaptureFixture, leak: bytes | tuple[int, bytes]
) -> None:
    """Key, session id, password hash and basic auth are in no log at any level, no error, no traceback, no repr."""
    caplog.set_level(logging.DEBUG)
    status, body = (200, leak) if isinstance(leak, bytes) else leak
    options = HttpOptions(basic_auth=("me", "b4sic"), headers={"X-Pass": "h3ader"})
    web.get(URL, body=wsdl("rpc"))
    web.post(URL, body=logged_in("rpc"))
    web.post(URL, body=body, status=status)
    connection = Connection(f"{URL}?wsdl=1", "me", KEY, options)
    connection.login()
    shown = [repr(connection), repr(ListSource(connection, ORDERS)), repr(options)]
    with pytest.raises(PagerError) as caught:
        list(connection.rows(ORDERS, SOME))
    shown += everything_about(caught.value)
    try:
        connection.call("magentoInfo")  # which would take a list for an answer
    except PagerError as error:
        shown += everything_about(error)
    connection.close()
    for secret in SECRETS:
        assert not any(secret in text for text in [*shown, caplog.text])


def everything_about(error: Exception) -> list[str]:
    """All that an error can show."""
    return [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]


def test_no_secret_is_logged_when_all_is_well(caplog: pytest.LogCaptureFixture) -> None:
    """The same over real HTTP, with rows that hold password hashes."""
    caplog.set_level(logging.DEBUG)
    with ExitStack() as stack:
        shop = stack.enter_context(Shop(orders=50, key=KEY))
        connection = stack.enter_context(closing(Connection(shop.url, shop.user, shop.key)))
        hashes = {row["password_hash"] for row in connection.rows(CUSTOMERS, ALL) if "password_hash" in row}
        assert hashes
        session = next(iter(_open_sessions(shop)))
    assert caplog.records
    for secret in (KEY, session, *hashes):
        assert secret not in caplog.text


def _open_sessions(shop: Shop) -> list[str]:
    """The ids that the shop handed out."""
    return list(shop.sessions._seen)  # noqa: SLF001  the shop tells nobody else


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_is_sent_holds_the_secrets(web: responses.RequestsMock, flavour: Flavour) -> None:
    """The guard of the tests above: key and session id are sent, so that they could have shown."""
    connection = scripted(web, flavour, logged_in(flavour), rendered(flavour, ROWS))
    list(connection.rows(ORDERS, SOME))
    login, call = sent(web)
    assert KEY.encode() in login
    assert SESSION.encode() in call
