"""The embedded shop writes the replies that were recorded on a live server: the same bytes, the same headers."""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from lxml import etree

from magento_pager.fake import PROFILES, Shop
from magento_pager.fake.api import Api, Context
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.replies import ENVELOPE, Encoder
from magento_pager.fake.schema import ARRAYS, OPERATIONS, records
from magento_pager.fake.server import SOAP_PATH, HttpRequest, answering

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from magento_pager.fake.declarations import Field, Flavour
    from magento_pager.fake.profiles import Profile

FLAVOURS: tuple[Flavour, ...] = ("rpc", "wsi")
LIVE = PROFILES["20.0.20"]
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

REPLIES = [
    "login",
    "endSession",
    "magentoInfo",
    "storeList",
    "salesOrderInfo",
    *(entry.operation for entry in LISTINGS.values()),
    "customerCustomerList_empty",
    "salesOrderInvoiceList_entity_id",
    "salesOrderList_1row",
    "salesOrderList_5rows",
    "salesOrderList_empty",
    "salesOrderList_empty_string_becomes_newline",
    "salesOrderList_null_row",
    "salesOrderList_simple_and_complex",
    "salesOrderList_simple_filter",
    "salesOrderList_1000rows",
]
REPLIES.remove("salesOrderList")
"""Recorded replies that are no faults; the operation is what stands before the underline."""


def _value(element: etree._Element, field: Field, profile: Profile, flavour: Flavour) -> Any:
    """Return the value of an element, as in a database."""
    if element.get(NIL) == "true":
        return None
    if field.type in ARRAYS:
        item = replace(field, type=ARRAYS[field.type])
        return [_value(child, item, profile, flavour) for child in element]
    types = records(profile, flavour)
    if field.type in types:
        parts = {member.name: member for member in types[field.type]}
        return {child.tag: _value(child, parts[str(child.tag)], profile, flavour) for child in element}
    return "" if element.text in {None, "\n"} else element.text


def _read(body: bytes, name: str, profile: Profile, flavour: Flavour) -> Any:
    """Return the result in a recorded reply."""
    part = OPERATIONS[name.partition("_")[0]].reply_part(flavour)
    (result,) = etree.fromstring(body).iter(part.name)
    return _value(result, part, profile, flavour)


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_values_of_a_recorded_reply_are_written_as_the_same_bytes(
    samples: Path,
    flavour: Flavour,
    name: str,
) -> None:
    """The values read from a recorded reply are written byte by byte as recorded."""
    recorded = (samples / flavour / f"{name}.response.xml").read_bytes()
    encoder, operation = Encoder(LIVE, flavour), OPERATIONS[name.partition("_")[0]]
    result = _read(recorded, name, LIVE, flavour)
    assert encoder.reply(operation, result) == recorded
    requested = {entry.operation: entry for entry in LISTINGS.values()}.get(operation.name)
    if requested is not None:
        write, size = encoder.rows(requested), len(result)
        rows = b"".join(write([row.get(column) for column in requested.columns]) for row in result)
        assert encoder.opening(operation, size) + rows + encoder.closing(operation, size) == recorded


def test_a_recorded_control_character_is_written_raw_by_old_versions(samples: Path) -> None:
    """Before 1.9.3 the character is sent unchanged, and the reply is not XML."""
    recorded = (samples / "rpc" / "pre193_control_char_0x01.response.xml").read_bytes()
    with pytest.raises(etree.XMLSyntaxError):
        etree.fromstring(recorded)
    profile = replace(LIVE, escapes_controls=False)
    stand_in = "\ue001".encode()
    rows = _read(recorded.replace(b"\x01", stand_in), "salesOrderList_1row", profile, "rpc")
    broken = [{name: text.replace("\ue001", "\x01") for name, text in row.items()} for row in rows]
    assert Encoder(profile, "rpc").reply(OPERATIONS["salesOrderList"], broken) == recorded


def test_a_reply_in_the_old_namespace_has_no_other_difference(samples: Path) -> None:
    """The recording in urn:Magento is what the same shop writes with that namespace."""
    recorded = (samples / "rpc" / "salesOrderList_5rows_urn_Magento.response.xml").read_bytes()
    profile = replace(LIVE, namespace="urn:Magento")
    result = _read(recorded, "salesOrderList", profile, "rpc")
    assert Encoder(profile, "rpc").reply(OPERATIONS["salesOrderList"], result) == recorded


KNOBS: Mapping[str, Mapping[str, Any]] = {
    "fault_access_denied": {"denied": {"orders"}},
    "salesOrderList_two_conditions": {"memory_limit_rows": 10},
}
"""What a shop needs so that it answers a recorded request as the live one did that day."""
STRANGERS = ("fault_unknown_session", "fault_session_after_endSession", "fault_session_timed_out")
"""Requests whose session is not open."""
REQUESTS = [
    *(entry.operation for entry in LISTINGS.values()),
    "login",
    "endSession",
    "magentoInfo",
    "storeList",
    "salesOrderInfo",
    "customerCustomerList_empty",
    "salesOrderList_1row",
    "salesOrderList_5rows",
    "salesOrderList_empty",
    "salesOrderList_simple_and_complex",
    "salesOrderList_simple_filter",
    "salesOrderList_two_conditions",
    "wrong_namespace_urn_Magento",
    "fault_access_denied",
    "fault_empty_body",
    "fault_empty_login",
    "fault_empty_session",
    "fault_invalid_condition",
    "fault_invalid_filter_field",
    "fault_invalid_filter_field_customer",
    "fault_invalid_filter_field_invoice",
    "fault_invalid_filter_field_product",
    "fault_malformed_xml",
    "fault_missing_param",
    "fault_not_soap",
    "fault_order_not_exists",
    "fault_other_flavour_request",
    "fault_unknown_operation",
    "fault_wrong_login",
    *STRANGERS,
]
REQUESTS.remove("salesOrderList")
DEPTH_OF_RESULT = 4
"""Envelope, body, reply, result."""


@pytest.fixture(scope="module")
def shops() -> Iterator[Mapping[Flavour, Shop]]:
    """Return a shop with the user of the recordings, in each flavour."""
    rpc = Shop(orders=100, user="pager", key="secret12345")
    wsi = Shop(orders=100, user="pager", key="secret12345", flavour="wsi")
    with rpc, wsi:
        yield {"rpc": rpc, "wsi": wsi}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_recorded_request_gets_the_recorded_headers(
    samples: Path,
    shops: Mapping[Flavour, Shop],
    flavour: Flavour,
    name: str,
) -> None:
    """The status, the order of the headers and the content type are as recorded; faults are equal to the last byte."""
    shop = shops[flavour]
    request = (samples / flavour / f"{name}.request.xml").read_bytes()
    if name not in STRANGERS:
        session = shop.sessions.login("pager", 60).encode()
        request = re.sub(rb">[0-9a-f]{32}</sessionId>", b">%b</sessionId>" % session, request)
    order = next(iter(shop.database.select(LIVE, flavour, LISTINGS["orders"], [], [])))[0]
    request = request.replace(b">100000057<", b">%b<" % str(order).encode())
    recorded = (samples / flavour / f"{name}.response.http").read_text()
    shop.change(**KNOBS.get(name, {}))
    status, headers, body = _post(shop, request, cookie="secure" in recorded)
    shop.change(denied=(), memory_limit_rows=0)
    lines = recorded.splitlines()
    assert status == int(lines[0].split()[1])
    assert [header for header, _ in headers] == [line.partition(":")[0] for line in lines[1:]]
    theirs = dict(line.split(": ", 1) for line in lines[1:])
    ours = dict(headers)
    assert ours["Content-Length"] == str(len(body))
    for same in ("Content-Type", "Connection", "Expires", "Cache-Control", "Pragma"):
        assert ours[same] == theirs[same]
    masked = re.compile(r"(?<=PHPSESSID=)[^;]+|(?<=expires=)[^;]+")
    assert masked.sub("", ours["Set-Cookie"]) == masked.sub("", theirs["Set-Cookie"])
    expected = (samples / flavour / f"{name}.response.xml").read_bytes()
    if b"Fault>" in expected:
        assert body == expected
    else:
        mine, recorded_shape = _shape(body), _shape(expected)
        assert {path: mine[path] for path in mine if path in recorded_shape} == {
            path: recorded_shape[path] for path in recorded_shape if path in mine
        }
        wrappers = [{path for path in shape if len(path) <= DEPTH_OF_RESULT} for shape in (mine, recorded_shape)]
        assert wrappers[0] == wrappers[1]


def _shape(body: bytes) -> dict[tuple[str, ...], dict[str, str]]:
    """Return the elements of a reply by their path, with their attributes, without the lengths of arrays."""
    root = etree.fromstring(body)
    elements = {}
    for element in root.iter():
        path = (*(str(parent.tag) for parent in reversed(list(element.iterancestors()))), str(element.tag))
        elements[path] = {str(name): re.sub(r"\[\d+\]", "[]", str(value)) for name, value in element.attrib.items()}
    return elements


def _post(shop: Shop, body: bytes, *, cookie: bool) -> tuple[int, list[tuple[str, str]], bytes]:
    """Send a request, with or without a cookie."""
    connection = http.client.HTTPConnection(urlsplit(shop.url).netloc)
    try:
        connection.request("POST", "/api/v2_soap/", body, {"Cookie": "PHPSESSID=abc"} if cookie else {})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def _list_call(session: str) -> bytes:
    """Return a call for all orders."""
    inner = f"<salesOrderList><sessionId>{session}</sessionId><filters/></salesOrderList>"
    return f'<e:Envelope xmlns:e="{ENVELOPE}"><e:Body>{inner}</e:Body></e:Envelope>'.encode()


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("fault_duplicate_address_row", {"duplicate_address": {100}}),
        ("fault_soap_encoding_schema_unreachable", {"outage": "schema"}),
        ("fault_wsdl_self_fetch_failed", {"base_url": "http://shop.invalid:8970/"}),
        ("salesOrderList_two_conditions", {"memory_limit_rows": 10}),
    ],
)
def test_a_setting_causes_the_recorded_failure(samples: Path, name: str, knobs: Mapping[str, Any]) -> None:
    """Failures that no request alone can cause are equal to the last byte with the setting."""
    with Shop(orders=200, **knobs) as shop:
        assert 100 in set(shop.database.ids("orders"))
        body = _list_call(shop.sessions.login("demo", 60))
        request = HttpRequest("POST", SOAP_PATH, {}, "shop.invalid:8971", None, body)
        with answering(request, shop, Context(shop.settings, time.monotonic())) as answer:
            assert b"".join(answer.pieces) == (samples / "rpc" / f"{name}.response.xml").read_bytes()


def test_a_call_that_takes_too_long_gives_the_recorded_fault(samples: Path) -> None:
    """PHP aborts it at its time limit; until then the client waits."""
    waited: list[float] = []
    with Shop(orders=1, max_execution_time=1, latency=2) as shop:
        api = Api(shop.database, shop.sessions, shop.user, shop.key, waited.append)
        answer = api.answer(_list_call(shop.sessions.login("demo", 60)), Context(shop.settings, time.monotonic()))
    assert b"".join(answer.pieces) == (samples / "rpc" / "fault_max_execution_time.response.xml").read_bytes()
    assert [round(seconds, 1) for seconds in waited] == [1.0]


def test_text_that_is_not_utf8_gives_the_recorded_fault_on_old_versions(samples: Path) -> None:
    """Before 1.9.3 the invalid name breaks the reply; later versions omit it."""
    with Shop(orders=20, invalid_utf8={3}) as shop:
        session = shop.sessions.login("demo", 60)
        _, _, body = _post(shop, _list_call(session), cookie=False)
        rows = _read(body, "salesOrderList", LIVE, "rpc")
        assert [("customer_firstname" in row, "customer_lastname" in row) for row in rows[:1]] == [(False, True)]
        shop.set_profile(replace(LIVE, drops_invalid_utf8=False))
        status, _, body = _post(shop, _list_call(session), cookie=False)
        assert status == 500
        assert body == (samples / "rpc" / "pre193_invalid_utf8.response.xml").read_bytes()


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("http_503_maintenance", {"outage": "maintenance"}),
        ("http_db_down", {"outage": "database"}),
        ("fault_http_413_body_too_large", {"body_limit": 10}),
    ],
)
def test_pages_have_the_recorded_headers(samples: Path, name: str, knobs: Mapping[str, Any]) -> None:
    """Replies of the web server itself have the recorded status and headers; the page is our own."""
    with Shop(orders=1, **knobs) as shop:
        status, headers, _ = _post(shop, b"x" * 100, cookie=False)
    lines = (samples / "rpc" / f"{name}.response.http").read_text().splitlines()
    assert status == int(lines[0].split()[1])
    assert [header for header, _ in headers] == [line.partition(":")[0] for line in lines[1:]]
    assert dict(headers)["Content-Type"] == dict(line.split(": ", 1) for line in lines[1:])["Content-Type"]
