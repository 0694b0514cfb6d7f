"""The recordings of a live server.

Every list decodes to what zeep gives; every request says what ours says for the same query. The recorded failures are
sent again in `test_faults`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pytest
import responses
from conftest import SAMPLES
from lxml import etree
from test_faults import failures, outcome_of
from zeep_oracle import Oracle, same_rows

from magento_pager.errors import RemoteError
from magento_pager.lists import LISTS, ORDERS, ListSpec
from magento_pager.shop.connection import Connection
from magento_pager.shop.decoding import decode
from magento_pager.walk.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lxml.etree import _Element as Element

SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
BY_NAME = {operation.operation: operation for operation in LISTS.values()}
SESSION = "0123456789abcdef0123456789abcdef"

ROWS = {  # recordings of a list's rows that are not named after the list
    "rpc/fault_invalid_condition": ORDERS,  # an unknown operator is no fault: it reads as equality
    "wsi/fault_invalid_condition": ORDERS,
    "rpc/wrong_namespace_urn_Magento": ORDERS,  # RPC takes any namespace
}
NEVER_OURS = {  # requests that no client of a WSDL sends, or that use the simple filter, which we never do
    "fault_empty_body",
    "fault_empty_login",
    "fault_empty_session",
    "fault_malformed_xml",
    "fault_missing_param",
    "fault_not_soap",
    "fault_other_flavour_request",
    "fault_unknown_operation",
    "salesOrderList_simple_and_complex",
    "salesOrderList_simple_filter",
    "wrong_namespace_urn_Magento",
}


def recorded(suffix: str) -> list[str]:
    """Return the recordings with this suffix, as rpc/NAME and wsi/NAME; a missing one if there are none."""
    names = [
        f"{flavour}/{path.name.removesuffix(suffix)}"
        for flavour in ("rpc", "wsi")
        for path in sorted((SAMPLES / flavour).glob(f"*{suffix}"))
    ]
    return names or ["rpc/none"]


def list_of(name: str) -> ListSpec | None:
    """Return the list whose rows a recorded reply has."""
    return ROWS.get(name) or (None if outcome_of(name) else BY_NAME.get(re.split(r"[/_]", name)[1]))


REPLIES = recorded(".response.xml")
RECORDED = [name for name in REPLIES if list_of(name)] or REPLIES
REQUESTS = [name for name in recorded(".request.xml") if name.partition("/")[2] not in NEVER_OURS]


@cache
def wsdl_for(name: str) -> bytes:
    """Return the WSDL of the server of a recording."""
    flavour = name.partition("/")[0]
    which = "wsdl_urn_Magento.xml" if name.endswith("rows_urn_Magento") else "wsdl.xml"
    return (SAMPLES / flavour / which).read_bytes()


@cache
def oracle_of(wsdl: bytes) -> Oracle:
    """Return the oracle of a WSDL, read once."""
    return Oracle(wsdl)


def reply(name: str) -> bytes:
    """Return a recorded body."""
    return (SAMPLES / f"{name}.response.xml").read_bytes()


def status(name: str) -> int:
    """Return a recorded status; if only the body was recorded, that of a PHP error for a fault."""
    head = SAMPLES / f"{name}.response.http"
    if head.exists():
        return int(head.read_text(encoding="utf-8").split()[1])
    return 500 if b":Fault>" in reply(name) else 200


def login_reply(flavour: str) -> bytes:
    """Return the reply to a login of the server of that flavour."""
    answer, part = ("loginResponse", "loginReturn") if flavour == "rpc" else ("loginResponseParam", "result")
    return f"""<e:Envelope xmlns:e="{SOAP[1:-1]}"><e:Body><n:{answer} xmlns:n="urn:OpenMage"><{part}>{SESSION}</{part}>
      </n:{answer}></e:Body></e:Envelope>""".encode()


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """HTTP without a network."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def connected(web: responses.RequestsMock, name: str) -> Connection:
    """Return a connection, logged in, to a server with the WSDL of a recording; the test sets its next answers."""
    wsdl = wsdl_for(name)
    url = str(etree.fromstring(wsdl).xpath("string(//@location[contains(., 'v2_soap')])"))
    web.get(url, body=wsdl)
    connection = Connection(f"{url}?wsdl=1", "pager", "secret12345")
    web.post(url, body=login_reply(name.partition("/")[0]))
    connection.login()
    return connection


def answer(web: responses.RequestsMock, connection: Connection, body: bytes, code: int = 200) -> None:
    """Let the server answer every call except logins with this."""
    flavour = "rpc" if connection.flavour == "rpc" else "wsi"

    def respond(request: Any) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, login_reply(flavour)) if b"<apiKey" in request.body else (code, {}, body)

    web.remove(responses.POST, connection.address)
    web.add_callback(responses.POST, connection.address, respond)


def test_every_recorded_reply_is_tested(samples: Path) -> None:
    """Each is a list's rows, a known failure, or the reply of a short call."""
    del samples
    short = {f"{flavour}/{name}" for flavour in ("rpc", "wsi") for name in SHORT}
    assert set(REPLIES) == {*RECORDED, *failures(), *short}
    assert len(RECORDED) > 30


@pytest.mark.parametrize("name", RECORDED)
def test_a_list_is_read_as_zeep_reads_it(samples: Path, name: str) -> None:
    """In order, whatever the sizes of the pieces."""
    del samples
    operation, body, oracle = list_of(name), reply(name), oracle_of(wsdl_for(name))
    assert operation
    theirs = oracle.rows(operation.operation, body)
    sizes = [1, 7, 1 << 16, len(body)] if len(body) < 1 << 17 else [4093, 1 << 16, len(body)]
    for size in sizes:
        pieces = (body[start : start + size] for start in range(0, len(body), size))
        ours = list(decode(pieces, oracle.shape(operation.operation)))
        assert same_rows(ours, theirs, body), f"in pieces of {size}"
    assert len(theirs) == body.count(f"<{operation.key}".encode()) or operation.name == "shipments"


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_long_reply_in_pieces_of_changing_size(samples: Path, flavour: str) -> None:
    """A thousand rows are the same."""
    del samples
    body, oracle = reply(f"{flavour}/salesOrderList_1000rows"), oracle_of(wsdl_for(f"{flavour}/"))

    def pieces() -> Iterator[bytes]:
        start = 0
        for size in cycle([1, 3, 16, 4096, 2, 30011, 257]):
            if start >= len(body):
                return
            yield body[start : start + size]
            start += size

    shape = oracle.shape("salesOrderList")
    rows = list(decode(pieces(), shape))
    assert len(rows) == 1000
    assert rows == list(decode([body], shape))


@pytest.mark.parametrize("name", RECORDED)
def test_a_list_is_complete_over_http(samples: Path, web: responses.RequestsMock, name: str) -> None:
    """Requested by our own request."""
    del samples
    operation, body = list_of(name), reply(name)
    assert operation
    connection = connected(web, name)
    answer(web, connection, body, status(name))
    rows = list(connection.rows(operation, [Condition("entity_id", "gteq", "1")]))
    assert same_rows(rows, oracle_of(wsdl_for(name)).rows(operation.operation, body), body)
    assert connection.bytes_received == len(body)


SHORT = {
    "login": None,
    "endSession": None,
    "magentoInfo": {"magento_edition": "Community", "magento_version": "1.9.4.5"},
    "storeList": None,
    "salesOrderInfo": None,
}


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_the_version_of_a_shop(samples: Path, web: responses.RequestsMock, flavour: str) -> None:
    """The recorded answer to magentoInfo is read as texts by name."""
    del samples
    name = f"{flavour}/magentoInfo"
    connection = connected(web, name)
    answer(web, connection, reply(name))
    assert connection.call("magentoInfo") == SHORT["magentoInfo"]


@pytest.mark.parametrize("name", REQUESTS)
def test_our_requests_mean_the_same_as_the_recorded_ones(samples: Path, web: responses.RequestsMock, name: str) -> None:
    """They differ only in prefixes, types and tags of array items."""
    del samples
    theirs = etree.fromstring((SAMPLES / f"{name}.request.xml").read_bytes())
    operation, namespace, parts, conditions = meaning(theirs)
    connection = connected(web, name)
    answer(web, connection, b"no reply")
    with suppress(RemoteError):
        if operation == "login":
            Connection(f"{connection.address}?wsdl=1", parts["username"], parts["apiKey"]).call("magentoInfo")
        elif operation in BY_NAME:
            list(connection.rows(BY_NAME[operation], [Condition(*condition) for condition in conditions]))
        else:
            connection.call(operation, **{part: text for part, text in parts.items() if part != "sessionId"})
    ours = etree.fromstring(posted(web, "apiKey" if operation == "login" else operation))
    assert parts.keys() >= {"sessionId"} or operation == "login"
    meant = meaning(ours)
    if "sessionId" in parts:
        assert meant[2].pop("sessionId") == SESSION
        del parts["sessionId"]
    if operation == "catalogProductList":  # which the recording leaves to the server's default
        assert meant[2].pop("storeView" if name.startswith("rpc") else "store") == "0"
    assert meant == (operation, namespace, parts, conditions)


def posted(web: responses.RequestsMock, word: str) -> bytes:
    """Return the last request that contains the word."""
    bodies = [call.request.body for call in web.calls if call.request.method == "POST"]
    found = [body for body in bodies if isinstance(body, bytes) and word.encode() in body]
    return found[-1]


def meaning(request: Element) -> tuple[str, str, dict[str, str], list[tuple[str, str, str]]]:
    """Return the meaning of a request: operation, namespace, other parts, conditions."""
    body = request.find(f"{SOAP}Body")
    assert body is not None
    (call,) = body
    tag = etree.QName(call)
    conditions = [
        (item.findtext("key") or "", item.findtext("value/key") or "", item.findtext("value/value") or "")
        for item in call.findall("filters/complex_filter/*")
    ]
    parts = {str(part.tag): part.text or "" for part in call if part.tag != "filters"}
    return re.sub(r"(Request)?Param$", "", tag.localname), tag.namespace or "", parts, conditions
