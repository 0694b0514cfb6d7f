"""The generated WSDL, as read by zeep, declares what a live server declared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from clients import client, filters, message
from lxml import etree

from magento_pager.fake import PROFILES
from magento_pager.fake.requests import read_request
from magento_pager.fake.schema import ANY_VALUE_VERSION, operations
from magento_pager.fake.wsdl import wsdl

if TYPE_CHECKING:
    from pathlib import Path

    from magento_pager.fake.declarations import Flavour

ADDRESS = "http://localhost:8080/index.php/api/v2_soap/"
WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
XSD = "{http://www.w3.org/2001/XMLSchema}"
SPOKEN = [(name, flavour) for name, profile in PROFILES.items() for flavour in profile.flavours]


@pytest.mark.parametrize(("version", "flavour"), SPOKEN)
def test_zeep_loads_the_wsdl(version: str, flavour: Flavour) -> None:
    """Every version and flavour loads without a network, with the operations, address and namespace of the version."""
    profile = PROFILES[version]
    zeep_client = client(wsdl(profile, flavour, ADDRESS))
    (service,) = zeep_client.wsdl.services.values()
    (port,) = service.ports.values()
    assert set(port.binding._operations) == set(operations(profile))  # noqa: SLF001 -- zeep has no public way to ask
    assert port.binding_options["address"] == ADDRESS
    assert zeep_client.wsdl.types.prefix_map["ns0"] == profile.namespace


@pytest.mark.parametrize(
    ("version", "has", "lacks"),
    [
        ("1.4.1.1", {"salesOrderList", "catalogProductList"}, {"salesOrderCreditmemoList", "storeList", "magentoInfo"}),
        ("1.6.2.0", {"salesOrderCreditmemoList", "storeList"}, {"magentoInfo"}),
        ("1.7.0.2", {"salesOrderCreditmemoList", "magentoInfo"}, set()),
    ],
)
def test_operations_exist_from_their_first_version(version: str, has: set[str], lacks: set[str]) -> None:
    """Credit memos and stores exist since 1.6.1.0, magentoInfo since 1.7.0.0."""
    declared = set(operations(PROFILES[version]))
    assert has <= declared
    assert not lacks & declared


def test_old_orders_have_the_row_type_of_a_single_order() -> None:
    """Up to 1.5.0.1 the list returns the type that salesOrderInfo still returns."""
    results = {name: operations(PROFILES[name])["salesOrderList"].result.type for name in ("1.4.1.1", "1.6.2.0")}
    assert results == {"1.4.1.1": "salesOrderEntityArray", "1.6.2.0": "salesOrderListEntityArray"}


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_1_7_0_0_has_other_filter_types(flavour: Flavour) -> None:
    """Only this version has any type in RPC and a list of texts in WS-I; both are read."""
    profile = replace(PROFILES["1.7.0.2"], name="1.7.0.0", version=ANY_VALUE_VERSION)
    zeep_client = client(wsdl(profile, flavour, ADDRESS))
    if flavour == "rpc":
        types = zeep_client.type_factory(profile.namespace)
        value = types.associativeAnyTypeEntity(key="gteq", value="5")
        zeep_filters: Any = types.filters(
            complex_filter=types.complexFilterArray([types.complexFilter("order_id", value)])
        )
    else:
        value = {"key": "gteq", "value": {"complexObjectArray": ["5"]}}
        zeep_filters = {"complex_filter": {"complexObjectArray": [{"key": "order_id", "value": value}]}}
    read = read_request(message(zeep_client, "salesOrderList", "s", zeep_filters), profile, flavour)
    assert read.filters.complex == (("order_id", "gteq", "5"),)


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_the_wsdl_declares_what_the_recorded_one_declares(samples: Path, flavour: Flavour) -> None:
    """Each operation has the recorded arguments and result, with all types inside, in the recorded order."""
    profile = PROFILES["20.0.20"]
    recorded = etree.parse(samples / flavour / "wsdl.xml").getroot()
    ours = etree.fromstring(wsdl(profile, flavour, ADDRESS))
    names = set(operations(profile))
    assert _signatures(ours, names) == _signatures(recorded, names)


def _signatures(root: etree._Element, names: set[str]) -> dict[str, Any]:
    """Return the operations of a WSDL: their arguments and results, with all types written out."""
    types = {element.get("name"): element for element in root.iter(f"{XSD}complexType") if element.get("name")}
    schema = next(root.iter(f"{XSD}schema"))
    elements = {element.get("name"): element for element in schema.iterchildren(f"{XSD}element")}
    messages = {element.get("name"): element for element in root.iter(f"{WSDL}message")}

    def local(name: str | None) -> str:
        return (name or "").partition(":")[2]

    def fields(parent: etree._Element) -> list[Any]:
        signatures = (element for element in parent.iter(f"{XSD}element") if element is not parent)
        return [
            (element.get("name"), element.get("minOccurs") != "0", described(element.get("type")))
            for element in signatures
        ]

    def described(kind: str | None) -> Any:
        declared = types.get(local(kind))
        if declared is None:
            return local(kind)
        array = next(declared.iter(f"{XSD}attribute"), None)
        if array is not None:
            return local(kind), "array", described((array.get(f"{WSDL}arrayType") or "").removesuffix("[]"))
        return local(kind), fields(declared)

    def parts(message: etree._Element) -> list[Any]:
        return [
            (part.get("element"), fields(elements[local(part.get("element"))]))
            if part.get("element")
            else (part.get("name"), described(part.get("type")))
            for part in message
        ]

    signatures = {}
    for element in next(root.iter(f"{WSDL}portType")).iterchildren(f"{WSDL}operation"):
        if element.get("name") not in names:
            continue
        request, reply = (element.find(f"{WSDL}{way}") for way in ("input", "output"))
        assert request is not None
        assert reply is not None
        signatures[element.get("name") or ""] = (
            parts(messages[local(request.get("message"))]),
            parts(messages[local(reply.get("message"))]),
        )
    return signatures


def test_zeep_sends_the_given_filters() -> None:
    """The helper of these tests sends every condition, in both flavours: zeep drops none silently."""
    profile = PROFILES["20.0.20"]
    for flavour in profile.flavours:
        zeep_client = client(wsdl(profile, flavour, ADDRESS))
        zeep_filters = filters(zeep_client, [("status", "new")], [("entity_id", "from", "1"), ("entity_id", "to", "9")])
        read = read_request(message(zeep_client, "salesOrderList", "s", zeep_filters), profile, flavour).filters
        assert read.simple == (("status", "new"),)
        assert read.complex == (("entity_id", "from", "1"), ("entity_id", "to", "9"))
