"""Differences between WSDLs: the flavour, the namespace, and how 1.7.0.0 types the operand of a filter."""

from __future__ import annotations

from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import connections
import pytest
import responses
import test_decoding
import zeep
from lxml import etree
from wsdls import Flavour, Operand, wsdl
from zeep.exceptions import XMLParseError
from zeep_oracle import ENCODING_SCHEMA, Oracle, same_rows

from magento_pager.errors import MalformedReplyError, RemoteError
from magento_pager.lists import CREDITMEMOS, ORDERS
from magento_pager.shop.connection import Connection
from magento_pager.shop.decoding import decode
from magento_pager.shop.wsdl import check_rendered
from magento_pager.walk.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lxml.etree import _Element as Element

URL = "http://127.0.0.1/api/v2_soap/"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
SCHEMA = "http://www.w3.org/2001/XMLSchema"
WINDOW = [Condition("entity_id", "from", "100"), Condition("main_table.entity_id", "to", "199")]
CONDITIONS = [("entity_id", "from", "100"), ("main_table.entity_id", "to", "199")]
DICTS = [{"key": one.field, "value": {"key": one.operator, "value": one.value}} for one in WINDOW]
NO_ROWS = '<result xmlns:c="http://schemas.xmlsoap.org/soap/encoding/" c:arrayType="n:salesOrderListEntity[0]"/>'
VARIANTS: list[tuple[Flavour, Operand]] = [("rpc", "string"), ("rpc", "any"), ("wsi", "string"), ("wsi", "strings")]


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """HTTP without a network."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def envelope(body: str, namespace: str) -> bytes:
    """Return a reply."""
    return f"""<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:n="{namespace}">
        <e:Body>{body}</e:Body></e:Envelope>""".encode()


def sent_request(
    web: responses.RequestsMock, text: bytes, *, namespace: str = "urn:Magento", conditions: list[Condition] = WINDOW
) -> Element:
    """Return the request for orders that a connection to a server with this WSDL sends."""
    web.get(URL, body=text)
    connection = Connection(f"{URL}?wsdl=1", "user", "key")
    if connection.flavour == "rpc":
        answers = [
            "<n:loginResponse><loginReturn>77</loginReturn></n:loginResponse>",
            f"<n:salesOrderListResponse>{NO_ROWS}</n:salesOrderListResponse>",
        ]
    else:
        answers = [
            "<n:loginResponseParam><result>77</result></n:loginResponseParam>",
            "<n:salesOrderListResponseParam><result/></n:salesOrderListResponseParam>",
        ]
    for answer in answers:
        web.post(URL, body=envelope(answer, namespace))
    assert list(connection.rows(ORDERS, conditions)) == []
    body = web.calls[-1].request.body
    assert isinstance(body, bytes)
    return etree.fromstring(body)


@pytest.mark.parametrize(("flavour", "operand"), VARIANTS)
def test_every_type_of_operand_carries_the_query(
    web: responses.RequestsMock, flavour: Flavour, operand: Operand
) -> None:
    """The field, operator and value of each condition are in their place, in order."""
    request = sent_request(web, wsdl(flavour, operand=operand))
    items = request.findall(".//filters/complex_filter/*")
    place = "value/value/complexObjectArray" if operand == "strings" else "value/value"
    assert [(one.findtext("key"), one.findtext("value/key"), one.findtext(place)) for one in items] == CONDITIONS
    assert request.findtext(".//sessionId") == "77"


def test_an_operand_of_any_type_has_a_type(web: responses.RequestsMock) -> None:
    """PHP cannot read an anyType without xsi:type: it must be xsd:string, under a bound prefix."""
    request = sent_request(web, wsdl("rpc", operand="any"))
    for operand in request.iterfind(".//value/value"):
        prefix, _, local = str(operand.get(XSI_TYPE)).partition(":")
        assert (operand.nsmap[prefix], local) == (SCHEMA, "string")


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
@pytest.mark.parametrize("namespace", ["urn:Magento", "urn:OpenMage"])
def test_the_namespace_is_that_of_the_wsdl(web: responses.RequestsMock, flavour: Flavour, namespace: str) -> None:
    """WS-I refuses any other namespace, so it is read from the WSDL and never assumed."""
    request = sent_request(web, wsdl(flavour, namespace=namespace), namespace=namespace)
    call = request.find("{*}Body/*")
    assert call is not None
    name = "salesOrderList" if flavour == "rpc" else "salesOrderListRequestParam"
    assert call.tag == f"{{{namespace}}}{name}"


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
@pytest.mark.parametrize("value", ["", " 5 ", "a&b<c>", "Zoë\n山田", "^1([0-4].|5[0-3])$", "]]>"])
def test_a_value_is_sent_unchanged(web: responses.RequestsMock, flavour: Flavour, value: str) -> None:
    """No character of a value is lost in the request."""
    request = sent_request(web, wsdl(flavour), conditions=[Condition("increment_id", "eq", value)])
    assert (request.findtext(".//value/value") or "") == value


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_value_with_a_forbidden_character_is_refused(web: responses.RequestsMock, flavour: Flavour) -> None:
    """A control character cannot be sent, and nothing is sent in its place."""
    with pytest.raises(RemoteError, match="this shop's WSDL does not allow the request"):
        sent_request(web, wsdl(flavour), conditions=[Condition("increment_id", "eq", "\x01")])
    assert not any(b"complex" in (call.request.body or b"") for call in web.calls)


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_list_that_the_wsdl_lacks_is_reported(web: responses.RequestsMock, flavour: Flavour) -> None:
    """Credit memos exist since 1.6.1.0: before, the message says so and nothing is sent."""
    web.get(URL, body=wsdl(flavour))
    connection = Connection(f"{URL}?wsdl=1", "user", "key")
    with pytest.raises(RemoteError, match=r"has no creditmemos; Magento has that list since 1\.6\.1\.0"):
        list(connection.rows(CREDITMEMOS, WINDOW))
    assert len(web.calls) == 1


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_request_that_cannot_be_built_shows_no_key(web: responses.RequestsMock, flavour: Flavour) -> None:
    """Zeep quotes values that do not fit their type."""
    web.get(URL, body=wsdl(flavour).replace(b'name="apiKey" type="x:string"', b'name="apiKey" type="x:duration"'))
    with pytest.raises(RemoteError, match=r"login: this shop's WSDL does not allow the request: .* '\*\*\*'$"):
        Connection(f"{URL}?wsdl=1", "me", "s3same-key").login()


def test_filters_of_an_unknown_form_are_refused(web: responses.RequestsMock) -> None:
    """A WSDL whose filters cannot carry conditions raises an error; no call without a filter is sent."""
    web.get(URL, body=wsdl("wsi").replace(b'name="complex_filter"', b'name="other_filter"'))
    web.post(URL, body=envelope("<n:loginResponseParam><result>77</result></n:loginResponseParam>", "urn:Magento"))
    connection = Connection(f"{URL}?wsdl=1", "user", "key")
    with pytest.raises(MalformedReplyError, match="filters in an unknown form"):
        list(connection.rows(ORDERS, WINDOW))


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_query_that_zeep_alters_is_not_sent(web: responses.RequestsMock, flavour: Flavour) -> None:
    """If the WSDL's types change our query, the call is refused before it is sent."""
    web.get(URL, body=wsdl(flavour).replace(b'name="key" type="x:string"', b'name="key" type="x:boolean"'))
    answer = (
        "<n:loginResponse><loginReturn>77</loginReturn></n:loginResponse>"
        if flavour == "rpc"
        else "<n:loginResponseParam><result>77</result></n:loginResponseParam>"
    )
    web.post(URL, body=envelope(answer, "urn:Magento"))
    connection = Connection(f"{URL}?wsdl=1", "user", "key")
    with pytest.raises(RemoteError, match=r"the request would not carry the whole query: it has .*'true'"):
        list(connection.rows(ORDERS, WINDOW))
    assert len(web.calls) == len(["the WSDL", "login"])


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_required_field_must_be_there(flavour: Flavour) -> None:
    """In WS-I a row without a field that the WSDL requires is refused, as by zeep; in RPC zeep accepts it."""
    optional, required = b'name="order_id" type="x:string" minOccurs="0"', b'name="order_id" type="x:string"'
    oracle = Oracle(wsdl(flavour).replace(optional, required))
    body = test_decoding.rendered(flavour, [{"increment_id": "5"}])
    reply = decode([body], oracle.shape("salesOrderList"))
    if flavour == "rpc":
        assert same_rows(list(reply), oracle.rows("salesOrderList", body), body)
    else:
        with pytest.raises(MalformedReplyError, match="a row lacks <order_id>"):
            list(reply)
        with pytest.raises(XMLParseError):
            oracle.rows("salesOrderList", body)


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_unneeded_parts_of_a_wsdl_are_ignored(web: responses.RequestsMock, flavour: Flavour) -> None:
    """Such as a comment before the root, a byte order mark and unused types."""
    more = """<x:complexType name="loop"><x:sequence><x:element name="loop" type="t:loop" minOccurs="0"/></x:sequence>
      </x:complexType>"""
    text = wsdl(flavour, more=more).replace(b"<definitions", b"<!-- a shop -->\n<definitions", 1)
    request = sent_request(web, b"\xef\xbb\xbf" + text)
    assert len(request.findall(".//filters/complex_filter/*")) == len(WINDOW)


def test_an_undeclared_type_is_named(web: responses.RequestsMock) -> None:
    """Modules break WSDLs: the message names the type that is missing."""
    web.get(URL, body=wsdl("wsi", more='<x:element name="odd" type="t:thirdPartyEntity"/>'))
    with pytest.raises(MalformedReplyError, match="thirdPartyEntity"):
        Connection(f"{URL}?wsdl=1", "user", "key")


# What zeep does with filters in a shape it does not expect. These tests know zeep's ways and keep our guard honest.


def client(text: bytes) -> Any:
    """Return a plain client of zeep."""
    documents = {URL: text, "http://schemas.xmlsoap.org/soap/encoding/": ENCODING_SCHEMA}
    return zeep.Client(URL, transport=SimpleNamespace(load=documents.__getitem__))


def rendered(shop: Any, filters: Any) -> Element:
    """Return zeep's request with these filters."""
    request: Element = shop.create_message(shop.service, "salesOrderList", sessionId="77", filters=filters)
    return request


def typed(factory: Any) -> list[Any]:
    """Return the conditions as zeep's own objects."""
    return [
        factory.complexFilter(key=one.field, value=factory.associativeEntity(key=one.operator, value=one.value))
        for one in WINDOW
    ]


@pytest.mark.parametrize(
    ("flavour", "left", "shape"),
    [
        ("wsi", 0, lambda factory: {"complex_filter": typed(factory)}),
        ("wsi", 0, lambda factory: factory.filters(complex_filter=typed(factory))),
        ("wsi", 1, lambda _: {"complex_filter": [{"complexObjectArray": [one]} for one in DICTS]}),
        ("wsi", 0, typed),
        ("wsi", 0, lambda _: {"complex_filter": []}),
        ("wsi", 0, lambda _: {}),
        ("rpc", 0, typed),
        ("rpc", 0, lambda factory: factory.filters()),
        ("rpc", 1, lambda _: {"complex_filter": [None]}),
        ("rpc", 0, lambda _: {}),
    ],
)
def test_a_query_with_dropped_conditions_is_not_sent(flavour: Flavour, left: int, shape: Callable[[Any], Any]) -> None:
    """Zeep drops filters in another shape than it expects: the server would send every order."""
    shop = client(wsdl(flavour))
    request = rendered(shop, shape(shop.type_factory("urn:Magento")))
    assert len(request.findall(".//complex_filter/*")) == left, "zeep keeps it now"
    with pytest.raises(RemoteError, match="would not carry the whole query"):
        check_rendered(request, WINDOW, "salesOrderList")


def test_a_whole_query_passes() -> None:
    """The shape that zeep expects carries everything, and our guard accepts it."""
    request = rendered(client(wsdl("wsi")), {"complex_filter": {"complexObjectArray": DICTS}})
    check_rendered(request, WINDOW, "salesOrderList")


@pytest.mark.parametrize(
    "damage",
    [
        (b"<key>entity_id</key>", b"<key>increment_id</key>"),
        (b"<key>from</key>", b"<key>gteq</key>"),
        (b"<key>from</key>", b"<key/>"),
        (b"<value>100</value>", b"<value>10</value>"),
        (b"<value>100</value>", b"<value/>"),
        (b"<value>100</value>", b""),
        (b"<value>100</value>", b"<value>100</value><value>200</value>"),
        (b"<value>100</value>", b"<value><a>100</a><a>200</a></value>"),
        (b"<key>entity_id</key><value>", b"<value><key>entity_id</key>"),
        (b"<key>from</key><value>100</value>", b"<value>from</value><key>100</key>"),
        (b"<complex_filter>", b"<filter><a><key>status</key><value>new</value></a></filter><complex_filter>"),
        (b"<complex_filter>", b"<complex_filter/><complex_filter><a><key>a</key></a>"),
    ],
    ids=lambda damage: damage[1].decode(),
)
def test_a_damaged_query_is_refused(damage: tuple[bytes, bytes]) -> None:
    """A request with anything missing, altered, added or in another place is not sent."""
    whole = etree.tostring(rendered(client(wsdl("wsi")), {"complex_filter": {"complexObjectArray": DICTS}}))
    assert whole.count(damage[0]) == 1
    with pytest.raises(RemoteError, match="would not carry the whole query"):
        check_rendered(etree.fromstring(whole.replace(*damage)), WINDOW, "salesOrderList")


def test_conditions_in_another_order_are_refused() -> None:
    """From 1.8 on the first of two conditions wins: their order is part of the query."""
    request = rendered(client(wsdl("wsi")), {"complex_filter": {"complexObjectArray": DICTS[::-1]}})
    with pytest.raises(RemoteError, match="would not carry the whole query"):
        check_rendered(request, WINDOW, "salesOrderList")


OTHER_PORTS = {
    "a service of another binding": (
        '<service name="Other"><port name="Http" binding="t:Other"><http:address location="http://127.0.0.1/other/"/>'
        "</port></service>"
    ),
    "a port of another binding": "",
}


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
@pytest.mark.parametrize("where", OTHER_PORTS)
def test_calls_use_the_first_soap_port(web: responses.RequestsMock, flavour: Flavour, where: str) -> None:
    """A service or port for another protocol may be first: its address is not used."""
    text = wsdl(flavour).decode()
    other = """<binding name="Other" type="t:PortType" xmlns:http="http://schemas.xmlsoap.org/wsdl/http/">
        <http:binding verb="POST"/>
        <operation name="login"><http:operation location="login"/><input/><output/></operation>
      </binding>"""
    ports = OTHER_PORTS[where].replace("<service", '<service xmlns:http="http://schemas.xmlsoap.org/wsdl/http/"')
    text = text.replace('<service name="Shop">', f'{other}{ports}<service name="Shop">')
    if not ports:
        port = '<port name="Http" binding="t:Other"><a:address location="http://127.0.0.1/other/"/></port>'
        port = port.replace("<a:address", '<a:address xmlns:a="http://schemas.xmlsoap.org/wsdl/http/"')
        text = text.replace('<service name="Shop">', f'<service name="Shop">{port}')
    web.get(URL, body=text.encode())
    web.post(URL, body=connections.login_reply(flavour))
    with closing(Connection(f"{URL}?wsdl=1", "me", connections.KEY)) as connection:
        assert connection.address == URL
        connection.login()
    assert b"Envelope" in connections.sent_bodies(web)[0]
