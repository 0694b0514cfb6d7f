"""RPC and WS-I give the same rows, key by key: switching the flavour of a shop changes no row."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import responses
from connections import UP_TO_400, URL, connection_to, envelope, login_reply
from wsdls import Flavour, wsdl

import magento_pager
from magento_pager.fake import Shop
from magento_pager.fake.profiles import PROFILES
from magento_pager.lists import LISTS, ORDERS
from magento_pager.shop.connection import Connection
from magento_pager.walk.conditions import Condition

if TYPE_CHECKING:
    from magento_pager.walk.pages import Row

BOTH = [name for name, profile in PROFILES.items() if "wsi" in profile.flavours]
SEVERAL = ["1.7.0.2", "1.8.1.0", "20.0.20"]


@pytest.fixture(scope="module", params=SEVERAL)
def flavours(request: pytest.FixtureRequest) -> Any:
    """Return a shop in both flavours, with NULLs, empty texts and empty lists in it."""
    with (
        Shop(profile=request.param, flavour="rpc", orders=60) as rpc,
        Shop(profile=request.param, flavour="wsi", orders=60) as wsi,
    ):
        for shop in (rpc, wsi):
            for number, values in enumerate(({"category_ids": "", "website_ids": ""}, {"category_ids": "7"}), 1):
                shop.database.update("products", number, values)
            shop.database.update("orders", min(shop.database.ids("orders")), {"customer_firstname": "", "status": None})
        yield rpc, wsi


def test_every_version_with_both_flavours_is_compared() -> None:
    """Every version that speaks both is compared."""
    assert set(BOTH) <= set(SEVERAL)


@pytest.mark.parametrize("details", [False, True])
@pytest.mark.parametrize("name", list(LISTS))
def test_both_flavours_give_the_same_rows(flavours: tuple[Shop, Shop], name: Any, *, details: bool) -> None:
    """Keys, values, and which of them are texts, lists and records."""
    rows: list[list[Row]] = []
    for shop in flavours:
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            if details and LISTS[name].record is None:
                pytest.skip("no records in full")
            rows.append([row for page in pager.list(name, details=details).pages() for row in page.rows])
    assert rows[0]
    for one, other in zip(*rows, strict=True):
        assert one == other


@pytest.mark.parametrize("name", [name for name, spec in LISTS.items() if spec.record])
def test_both_flavours_give_the_same_record(flavours: tuple[Shop, Shop], name: Any) -> None:
    """By SOAP, as received, except that an absent list of WS-I is a list, not a record of one field."""
    spec = LISTS[name]
    assert spec.record
    found: list[Any] = []
    for shop in flavours:
        with connection_to(shop) as connection:
            first = next(iter(connection.rows(spec, [Condition("entity_id", "lteq", "400")])))
            found.append(connection.record(spec.record.soap, first[spec.record.key], right=""))
    assert forms(found[0]) == forms(found[1])


def forms(value: Any) -> Any:
    """Return a value without its texts, and without absent or empty ones."""
    if isinstance(value, dict):
        return {name: form for name, one in value.items() if (form := forms(one))}
    return [forms(one) for one in value] if isinstance(value, list) else "text" if value else ""


# Types that only a reply tells

XML = (
    'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xmlns:enc="http://schemas.xmlsoap.org/soap/encoding/" xmlns:map="http://xml.apache.org/xml-soap"'
)
DECLARED = {
    "anyType": '<x:element name="more" type="x:anyType" minOccurs="0"/>',
    "anySimpleType": '<x:element name="more" type="x:anySimpleType" minOccurs="0"/>',
    "no type": '<x:element name="more" minOccurs="0"/>',
    "a type that is none": '<x:element name="more" type="x:any" minOccurs="0"/>',
    "any element": '<x:any minOccurs="0" processContents="lax"/>',
    "an array of SOAP": '<x:element name="more" type="enc:Array" minOccurs="0"/>',
    "a text of SOAP": '<x:element name="more" type="enc:string" minOccurs="0"/>',
}
ARRAYS = {
    "rpc": """<x:complexType name="Several"><x:complexContent><x:restriction base="enc:Array">
        <x:attribute ref="enc:arrayType" w:arrayType="x:KIND[]"/></x:restriction></x:complexContent></x:complexType>""",
    "wsi": """<x:complexType name="Several"><x:sequence>
        <x:element name="complexObjectArray" type="x:KIND" minOccurs="0" maxOccurs="unbounded"/>
      </x:sequence></x:complexType>""",
}
SENT = {
    '<more xsi:type="xsd:string">hi</more>': "hi",
    '<more xsi:type="xsd:int">7</more>': "7",
    '<more xsi:type="enc:string">hi</more>': "hi",
    "<more>hi</more>": "hi",
    '<more xsi:nil="true"/>': None,
    '<more enc:arrayType="xsd:string[2]" xsi:type="enc:Array"><item>a</item><item>b</item></more>': ["a", "b"],
    '<more enc:arrayType="xsd:ur-type[0]" xsi:type="enc:Array"/>': [],
    "<more><complexObjectArray>a</complexObjectArray><complexObjectArray>b</complexObjectArray></more>": ["a", "b"],
    '<more xsi:type="map:Map"><item><key>k</key><value xsi:type="xsd:int">1</value></item></more>': {"k": "1"},
    "<more><sku>a</sku><tags><item>x</item></tags></more>": {"sku": "a", "tags": ["x"]},
}


def rows_of(flavour: Flavour, declared: str, sent: str, more: str = "") -> list[Row]:
    """Return the rows of a reply with this element in one, from a shop whose WSDL declares the column."""
    document = wsdl(flavour, more=more).decode()
    note = '<x:element name="customer_note" type="x:string" minOccurs="0"/>'
    assert note in document
    if flavour == "rpc":
        name, item = "salesOrderListResponse", "item"
        head = '<result enc:arrayType="n:salesOrderListEntity[1]" xsi:type="n:salesOrderListEntityArray">'
    else:
        name, item, head = "salesOrderListResponseParam", "complexObjectArray", "<result>"
    row = f"<{item}><order_id>5</order_id>{sent}</{item}>"
    with responses.RequestsMock(assert_all_requests_are_fired=False) as web:
        web.get(URL, body=document.replace(note, declared))
        web.post(URL, body=login_reply(flavour))
        web.post(URL, body=envelope(f"<n:{name} {XML}>{head}{row}</result></n:{name}>"))
        with closing(Connection(f"{URL}?wsdl=1", "me", "key")) as connection:
            return list(connection.rows(ORDERS, UP_TO_400))


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_column_of_any_type_is_read_by_its_content(flavour: Flavour, declared: str, sent: str) -> None:
    """Text, list, map or record, whatever an extension declares."""
    expected = {"order_id": "5"} | ({} if SENT[sent] is None else {"more": SENT[sent]})
    assert rows_of(flavour, DECLARED[declared], sent) == [expected]


@pytest.mark.parametrize("kind", ["anyType", "ur-type", "any"])
@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_list_of_any_type(flavour: Flavour, kind: str) -> None:
    """Its members are read by their content."""
    declared = '<x:element name="more" type="t:Several" minOccurs="0"/>'
    items = ['<I xsi:type="xsd:string">a</I>', '<I xsi:type="xsd:int">2</I>', "<I><sku>s</sku></I>"]
    sent = "".join(items).replace("<I", "<item").replace("/I>", "/item>")
    head = '<more enc:arrayType="xsd:ur-type[3]" xsi:type="n:Several">'
    if flavour == "wsi":
        sent, head = sent.replace("item", "complexObjectArray"), "<more>"
    rows = rows_of(flavour, declared, f"{head}{sent}</more>", ARRAYS[flavour].replace("KIND", kind))
    assert rows == [{"order_id": "5", "more": ["a", "2", {"sku": "s"}]}]


@pytest.mark.parametrize("sent", ['<more href="#1"/>', "<more><a/><a/><b/></more>"])
def test_a_column_that_cannot_be_read_is_named(sent: str) -> None:
    """A reference or a contradiction is an error with the name of the column."""
    with pytest.raises(magento_pager.MalformedReplyError, match="<more>"):
        rows_of("rpc", DECLARED["anyType"], sent)
