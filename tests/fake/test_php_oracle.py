"""The embedded shop reads and writes what PHP's own SoapServer reads and writes, over our WSDL.

A shop is Magento's code behind this very class. Needs the commands of Debian's php-cli with php-soap; without them the
tests are skipped, but fail in CI.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients import client, envelope, filters, message
from conftest import missing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magento_pager.fake import PROFILES, Database, ShopFault
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.poison import shallow
from magento_pager.fake.profiles import listing
from magento_pager.fake.replies import Encoder, legible
from magento_pager.fake.requests import read_request
from magento_pager.fake.schema import operations
from magento_pager.fake.wsdl import wsdl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from magento_pager.fake.declarations import Flavour, Operation

FLAVOURS: tuple[Flavour, ...] = ("rpc", "wsi")
PLAYED = {name: PROFILES[name] for name in ("20.0.20", "1.7.0.2")}


@dataclass(frozen=True, slots=True)
class Heard:
    """PHP's reading of a request: the method, its arguments, and the reply; or only the fault that ended PHP."""

    called: str
    arguments: Sequence[Any]
    reply: bytes


class Php:
    """PHP's SoapServer over one WSDL, restarted after each fault that ends it."""

    def __init__(self, path: Path, flavour: Flavour) -> None:
        script = Path(__file__).with_name("oracle.php")
        self._command = ["php", "-d", "display_errors=0", "-d", "log_errors=0", str(script), str(path), flavour]
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, body: bytes, result: Any = None) -> Heard:
        """Send a request to PHP, with the result of the method."""
        self._process = self._process or subprocess.Popen(  # noqa: S603 -- our own script
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        entry, output = self._process.stdin, self._process.stdout
        assert entry is not None
        assert output is not None
        entry.write(json.dumps({"body": base64.b64encode(body).decode(), "result": _encoded(result)}).encode() + b"\n")
        entry.flush()
        line = output.readline()
        if not line.startswith(b"{"):
            line += output.read()
            self.stop()
            return Heard("", (), line)
        heard = json.loads(line)
        return Heard(heard["called"] or "", heard["arguments"] or (), base64.b64decode(heard["reply"]))

    def stop(self) -> None:
        """Stop PHP."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


def _encoded(value: Any) -> Any:
    """Return a result in the form for PHP: bytes that are not text in base64."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: _encoded(member) for name, member in value.items()}
    return [_encoded(member) for member in value] if isinstance(value, list | tuple) else value


def _installed() -> bool:
    """Return whether there is a php with its soap extension."""
    command = shutil.which("php")
    if command is None:
        return False
    modules = subprocess.run([command, "-m"], capture_output=True, check=True).stdout  # noqa: S603 -- a fixed command
    return b"soap" in modules.split()


@pytest.fixture(scope="module")
def php(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[tuple[str, Flavour], Php]]:
    """Return PHP over the WSDL of each version and flavour."""
    if not _installed():
        missing("php with its soap extension (Debian: php-cli php-soap) is not installed")
    folder = tmp_path_factory.mktemp("wsdl")
    servers = {}
    for (name, profile), flavour in product(PLAYED.items(), FLAVOURS):
        path = folder / f"{name}.{flavour}.wsdl"
        # PHP knows the types of SOAP encoding by heart, but would fetch the schema from a public host all the same.
        text = wsdl(profile, flavour, "http://localhost/")
        path.write_bytes(text.replace(b' schemaLocation="http://schemas.xmlsoap.org/soap/encoding/"', b""))
        servers[name, flavour] = Php(path, flavour)
    yield servers
    for server in servers.values():
        server.stop()


SHAPES: Mapping[str, tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str, str]]]] = {
    "range": ((), [("entity_id", "from", "100"), ("entity_id", "to", "199")]),
    "alias": ((), [("entity_id", "from", "100"), ("main_table.entity_id", "to", "199")]),
    "mapped": ((), [("entity_id", "from", "100"), ("order_id", "to", "199")]),
    "in-list": ((), [("entity_id", "in", ",".join(map(str, range(100, 200))))]),
    "prefix": ((), [("entity_id", "like", "12__")]),
    "regexp": ((), [("entity_id", "regexp", "^1(0[0-9]{2}|1[0-4][0-9])$")]),
    "single-filter": ((), [("entity_id", "gteq", "4294967295")]),
    "none": ((), ()),
    "simple": ([("status", "complete")], ()),
    "both": ([("status", "complete"), ("store_id", "1")], [("entity_id", "gteq", "5"), ("created_at", "to", "2020")]),
    "odd text": ([("a&b", "<é 日本 \"'>")], [("<field>", "", ""), (" entity_id ", "like", " %\t\n ")]),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LISTINGS)
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("version", PLAYED)
def test_php_and_the_shop_read_the_conditions_given_to_zeep(
    *,
    php: Mapping[tuple[str, Flavour], Php],
    clients: Mapping[tuple[str, Flavour], Any],
    version: str,
    flavour: Flavour,
    name: str,
    shape: str,
) -> None:
    """For each list, flavour and form of filters both read the same conditions."""
    simple, complex_ = SHAPES[shape]
    zeep_client, operation = clients[version, flavour], LISTINGS[name].operation
    stores = ["0"] if name == "products" else []
    body = message(zeep_client, operation, "a session", filters(zeep_client, simple, complex_), *stores)
    heard = php[version, flavour].ask(body, [])
    assert heard.called == operation
    assert _read_conditions(heard.arguments, flavour) == (list(simple), list(complex_))
    ours = read_request(body, PLAYED[version], flavour)
    assert (ours.operation.name, ours.texts["sessionId"]) == (operation, "a session")
    assert (list(ours.filters.simple), list(ours.filters.complex)) == (list(simple), list(complex_))


@pytest.fixture(scope="module")
def clients() -> Mapping[tuple[str, Flavour], Any]:
    """Return a zeep client of each version and flavour."""
    return {
        (name, flavour): client(wsdl(profile, flavour, "http://localhost/"))
        for (name, profile), flavour in product(PLAYED.items(), FLAVOURS)
    }


def _read_conditions(arguments: Sequence[Any], flavour: Flavour) -> tuple[list[Any], list[Any]]:
    """Return the simple and the complex conditions among the arguments of a PHP method."""
    arrays_ = (arguments[0].get("filters") if flavour == "wsi" else arguments[1]) or {}
    items_by_part: dict[str, Any] = {part: arrays_.get(part) or {} for part in ("filter", "complex_filter")}
    if flavour == "wsi":
        items_by_part = {part: array.get("complexObjectArray", []) for part, array in items_by_part.items()}
        items_by_part = {part: [items] if isinstance(items, dict) else items for part, items in items_by_part.items()}
    return (
        [(item["key"], item.get("value")) for item in items_by_part["filter"]],
        [(item["key"], item["value"]["key"], item["value"]["value"]) for item in items_by_part["complex_filter"]],
    )


FILTER = "<key>entity_id</key><value><key>gteq</key><value>5</value></value>"


def _rpc(inner: str, item: str = "item") -> str:
    """Return a list call with one complex filter and more inside."""
    filters = f"<filters><complex_filter><{item}>{FILTER}</{item}></complex_filter></filters>"
    return f"<n:salesOrderList><sessionId>s</sessionId>{inner or filters}</n:salesOrderList>"


def _wsi(inner: str, item: str = "complexObjectArray") -> str:
    """Return the same in WS-I."""
    return _rpc(inner, item).replace("salesOrderList", "salesOrderListRequestParam")


TYPED = """
<n:salesOrderList><sessionId i:type="x:string">s</sessionId><filters i:type="n:filters">
<complex_filter c:arrayType="n:complexFilter[1]" i:type="n:complexFilterArray"><item i:type="n:complexFilter">
<key i:type="x:string">entity_id</key><value i:type="n:associativeEntity"><key i:type="x:string">gteq</key>
<value i:type="x:string">5</value></value></item></complex_filter></filters></n:salesOrderList>
"""
REFERENCES = f"""
<n:salesOrderList><sessionId>s</sessionId><filters href="#f"/></n:salesOrderList>
<n:f id="f"><complex_filter href="#g"/></n:f><n:g id="g"><item href="#h"/></n:g><n:h id="h">{FILTER}</n:h>
"""
NIL = """
<filters><filter><{0}><key>a</key><value i:nil="1"/></{0}><{0}><key>b</key><value>1</value></{0}></filter></filters>
"""

RPC_REQUESTS: Mapping[str, str] = {
    "as declared": _rpc(""),
    "no namespace": _rpc("").replace("n:salesOrderList", "salesOrderList"),
    "another namespace": _rpc("").replace("<n:salesOrderList>", '<n:salesOrderList xmlns:n="urn:other">'),
    "any item tag": _rpc("", "n:anything"),
    "items of the other flavour": _rpc("", "complexObjectArray"),
    "types": TYPED,
    "references": REFERENCES,
    "a reference to nothing": _rpc('<filters href="#nothing"/>'),
    "lower case": _rpc("").replace("salesOrderList", "salesorderlist"),
    "by position": _rpc("").replace("sessionId", "a").replace("filters>", "b>"),
    "fewer by position": "<n:salesOrderList><a>s</a></n:salesOrderList>",
    "more by position": "<n:salesOrderList><a>s</a><b/><c/></n:salesOrderList>",
    "more by name": _rpc("<filters/><more/>"),
    "another order": "<n:salesOrderList><filters/><sessionId>s</sessionId></n:salesOrderList>",
    "no filters": _rpc("<other/>"),
    "nil filters": _rpc('<filters i:nil="true"/>'),
    "empty filters": _rpc("<filters/>"),
    "an empty complex filter": _rpc("<filters><complex_filter/></filters>"),
    "a nil value": _rpc(NIL.format("item")),
    "no value": _rpc("<filters><filter><item><key>a</key></item></filter></filters>"),
    "a comment in a text": _rpc("").replace(">5<", "><!-- not 4 -->5<!-- nor 6 --><"),
    "a marked section": _rpc("").replace(">5<", "><![CDATA[<5>]]><"),
    "an argument twice": _rpc("<sessionId>t</sessionId>"),
    "no arguments": "<n:salesOrderList/>",
    "two calls": _rpc("") + "<n:endSession><sessionId>s</sessionId></n:endSession>",
    "no call": "",
    "a number": "<n:customerAddressList><sessionId>s</sessionId><customerId> 5 </customerId></n:customerAddressList>",
    "not a number": "<n:customerAddressList><sessionId>s</sessionId><customerId>x</customerId></n:customerAddressList>",
    "an unknown call": "<n:frobnicate/>",
    "the other flavour": _wsi(""),
    "nothing needed": "<n:startSession/>",
}
WSI_REQUESTS: Mapping[str, str] = {
    "as declared": _wsi(""),
    "no namespace": _wsi("").replace("n:sales", "sales"),
    "another namespace": _wsi("").replace("RequestParam>", 'RequestParam xmlns:n="urn:other">', 1),
    "lower case": _wsi("").replace("salesOrderList", "salesorderlist"),
    "qualified children": _wsi("")
    .replace("complex_filter>", "n:complex_filter>")
    .replace("sessionId>", "n:sessionId>"),
    "no items": _wsi(f"<filters><complex_filter>{FILTER}</complex_filter></filters>"),
    "items of the other flavour": _wsi("", "item"),
    "items of both flavours": _wsi("").replace("</complexObjectArray>", f"</complexObjectArray><item>{FILTER}</item>"),
    "another order": _wsi("<filters/>").replace(
        "<sessionId>s</sessionId><filters/>", "<filters/><sessionId>s</sessionId>"
    ),
    "no filters": _wsi("<other/>"),
    "nil filters": _wsi('<filters i:nil="true"/>'),
    "empty filters": _wsi("<filters/>"),
    "a nil value": _wsi(NIL.format("complexObjectArray")),
    "two calls": _wsi("") + "<n:endSessionParam><sessionId>s</sessionId></n:endSessionParam>",
    "no arguments": "<n:salesOrderListRequestParam/>",
    "an unknown call": "<n:frobnicateRequestParam/>",
    "the other flavour": _rpc(""),
    "nothing needed": "<n:startSession/>",
}
REQUESTS = [("rpc", name) for name in RPC_REQUESTS] + [("wsi", name) for name in WSI_REQUESTS]


@pytest.mark.parametrize(("flavour", "name"), REQUESTS)
def test_requests_are_read_as_by_php(
    php: Mapping[tuple[str, Flavour], Php],
    flavour: Flavour,
    name: str,
) -> None:
    """Whatever a client sends, the shop accepts, ignores or refuses what PHP does, with the same texts."""
    profile = PLAYED["20.0.20"]
    body = envelope((RPC_REQUESTS if flavour == "rpc" else WSI_REQUESTS)[name])
    heard = php[profile.name, flavour].ask(body)
    if not heard.called:
        with pytest.raises(ShopFault) as caught:
            read_request(body, profile, flavour)
        assert heard.reply == Encoder(profile, flavour).fault(caught.value)
        return
    ours = read_request(body, profile, flavour)
    assert heard.called == ours.operation.name
    session = heard.arguments[:1] if flavour == "rpc" else [argument.get("sessionId") for argument in heard.arguments]
    assert ours.texts.get("sessionId") == (session[0] if session else None)
    if ours.operation.name == "salesOrderList":
        simple, complex_ = _read_conditions([*heard.arguments, None], flavour)
        assert list(ours.filters.complex) == complex_
        assert list(ours.filters.simple) == [pair for pair in simple if pair[1] is not None]  # as Magento skips them


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.sampled_from(
    ["", "0", "1", "\n", "a & b", "<b>", "]]>", "\r\n", "\x01", "日本", "\ufffe", "0.0000", "5abc", " "],
)


@st.composite
def lists(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]]]:
    """Return the name of a list and records for it: texts, NULLs and integers in some of the columns."""
    name = draw(st.sampled_from(list(LISTINGS)))
    arrays = {field.name for field in LISTINGS[name].fields if field.type == "ArrayOfString"}
    columns = st.sampled_from([column for column in LISTINGS[name].columns if column not in arrays])
    scalars = st.none() | TEXTS | st.integers(0, 2**32 - 1)
    record = st.dictionaries(columns, scalars, max_size=10)
    ids = st.fixed_dictionaries({column: st.lists(TEXTS, max_size=3) for column in sorted(arrays)})
    records = st.builds(lambda scalar, array: scalar | array, record, ids)
    return name, draw(st.lists(records, max_size=3))


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("version", PLAYED)
@given(sent=lists())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_lists_are_written_byte_by_byte_as_by_php(
    php: Mapping[tuple[str, Flavour], Php],
    version: str,
    flavour: Flavour,
    sent: tuple[str, list[dict[str, Any]]],
) -> None:
    """PHP writes the same list, except the line breaks that Magento adds afterwards from 1.8 on."""
    name, records = sent
    profile, requested = PLAYED[version], LISTINGS[name]
    operation, encoder = operations(profile)[requested.operation], Encoder(profile, flavour)
    rows = map(encoder.rows(requested), ([record.get(column) for column in requested.columns] for record in records))
    size = len(records)
    ours = b"".join([encoder.opening(operation, size), *rows, encoder.closing(operation, size)])
    required = {field.name: None for field in requested.fields if field.required}
    result: Any = [legible(required | record, profile) for record in records]
    heard = php[version, flavour].ask(envelope(_empty_call(operation, flavour), profile.namespace), result)
    theirs = heard.reply.replace(b"><", b">\n<") if profile.breaks_between_tags else heard.reply
    assert _without_namespaces(ours) == _without_namespaces(theirs)
    assert _without_namespaces(encoder.reply(operation, result)) == _without_namespaces(theirs)


def _without_namespaces(reply: bytes) -> bytes:
    """Return a reply without its namespace declarations, because their order differs."""
    return re.sub(rb' xmlns:(xsd|xsi|SOAP-ENC)="[^"]*"', b"", reply)


def _empty_call(operation: Operation, flavour: Flavour) -> str:
    """Return a call with no arguments but a session."""
    name = operation.request_element(flavour)
    return f"<n:{name}><sessionId>s</sessionId></n:{name}>"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """Return a made-up shop."""
    with Database() as populated:
        populated.populate(orders=100)
        yield populated


INFOS = {
    "salesOrderInfo": ("orders", "increment_id"),
    "salesOrderInvoiceInfo": ("invoices", "increment_id"),
    "salesOrderShipmentInfo": ("shipments", "increment_id"),
    "salesOrderCreditmemoInfo": ("creditmemos", "increment_id"),
    "customerCustomerInfo": ("customers", "customer_id"),
    "catalogProductInfo": ("products", "product_id"),
}


@pytest.mark.parametrize("name", INFOS)
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("version", PLAYED)
def test_single_records_are_written_byte_by_byte_as_by_php(
    php: Mapping[tuple[str, Flavour], Php],
    database: Database,
    version: str,
    flavour: Flavour,
    name: str,
) -> None:
    """PHP writes the same record with all its parts, also where arrays in it are lost."""
    profile = PLAYED[version]
    operation = operations(profile)[name]
    requested = listing(INFOS[name][0], profile)
    for row in islice(database.select(profile, flavour, requested, [], []), 25):  # some without a shipping address
        key = dict(zip(requested.columns, row, strict=True))[INFOS[name][1]]
        record = database.record(requested.name, str(key))
        assert record is not None
        for result in (record, shallow(record)):
            heard = php[version, flavour].ask(envelope(_empty_call(operation, flavour), profile.namespace), result)
            theirs = heard.reply.replace(b"><", b">\n<") if profile.breaks_between_tags else heard.reply
            assert _without_namespaces(Encoder(profile, flavour).reply(operation, result)) == _without_namespaces(
                theirs
            )


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_text_that_is_not_utf8_is_the_fault_of_php(
    php: Mapping[tuple[str, Flavour], Php],
    flavour: Flavour,
) -> None:
    """On versions without a check PHP's own text names the place."""
    profile = PLAYED["1.7.0.2"]
    requested = LISTINGS["orders"]
    operation = operations(profile)[requested.operation]
    record: dict[str, Any] = {"order_id": 1, "firstname": b"Bj\xf6rn"}
    heard = php["1.7.0.2", flavour].ask(envelope(_empty_call(operation, flavour), profile.namespace), [record])
    encoder = Encoder(profile, flavour)
    with pytest.raises(ShopFault) as caught:
        encoder.rows(requested)([record.get(column) for column in requested.columns])
    assert encoder.fault(caught.value) == heard.reply
