"""Requests: bytes to an operation and its arguments, as leniently as PHP's SoapServer reads them.

RPC takes any namespace, any item tag, arguments by name or by position, with or without types; WS-I takes the exact
element and its arguments by name. What is not shaped like a filter is ignored without a word. Knows the types in
`schema`; knows neither HTTP nor the database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lxml import etree

from magento_pager.fake.faults import ShopFault
from magento_pager.fake.schema import operations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from magento_pager.fake.declarations import Field, Flavour, Operation
    from magento_pager.fake.profiles import Profile

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a list call, as sent.

    Attributes:
        simple: (field, value), equality.
        complex: (field, operator, value), in the order sent.
    """

    simple: tuple[tuple[str, str], ...] = ()
    complex: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for.

    Attributes:
        operation: as declared by the version.
        texts: the scalar arguments by their RPC names; None when absent or nil.
        filters: the filters, empty when the operation has none.
    """

    operation: Operation
    texts: Mapping[str, str | None]
    filters: Filters


def read_request(body: bytes, profile: Profile, flavour: Flavour) -> Request:
    """Read a request as PHP does.

    Raises:
        ShopFault: not XML, not SOAP 1.1, no such operation in this version and flavour, or arguments that PHP refuses.

    >>> from magento_pager.fake.profiles import profile
    >>> read_request(b"", profile("20.0.20"), "rpc")
    Traceback (most recent call last):
    ...
    magento_pager.fake.faults.ShopFault: fault Sender: Invalid XML
    """
    root = _root(body)
    if root.tag != f"{{{ENVELOPE}}}Envelope":
        raise ShopFault("VersionMismatch", "Wrong Version", 500)
    first = next((one for one in root if one.tag != f"{{{ENVELOPE}}}Header"), None)
    if first is None or first.tag != f"{{{ENVELOPE}}}Body":
        raise ShopFault("SOAP-ENV:Client", "Body must be present in a SOAP envelope", 500)
    if not len(first):
        raise ShopFault("SOAP-ENV:Client", 'looks like we got "Body" without function call', 500)
    call = first[0]
    operation = _operation_of(call, profile, flavour)
    if flavour == "wsi" and len(first) > 1:
        raise ShopFault("SOAP-ENV:Client", "Error cannot find parameter", 500)
    given = _given(call, operation.arguments(flavour), flavour)
    texts: dict[str, str | None] = {}
    filters = Filters()
    for field, sent in zip(operation.inputs, given, strict=True):
        if field.type == "filters":
            filters = _filters(sent, flavour)
        else:
            texts[field.name] = _text(sent)
            if field.type == "xsd:int":
                _check_number(texts[field.name])
    return Request(operation, texts, filters)


def _root(body: bytes) -> etree._Element:
    """The root element of a request; a document type is refused, as Zend refuses it."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    if b"<!DOCTYPE" in body:
        raise ShopFault("Sender", "Invalid XML", 500)
    try:
        return etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise ShopFault("Sender", "Invalid XML", 500) from None


def _local(element: etree._Element) -> str:
    """The name of an element without its namespace."""
    return etree.QName(element).localname


def _operation_of(call: etree._Element, profile: Profile, flavour: Flavour) -> Operation:
    """The operation an element of the body stands for: by its local name in RPC, by its full name in WS-I."""
    name, namespace = _local(call), etree.QName(call).namespace
    for one in operations(profile).values():
        if flavour == "rpc" and one.name.lower() == name.lower():  # PHP keeps its functions in lower case
            return one
        if flavour == "wsi" and one.inputs and (name, namespace) == (one.request_element("wsi"), profile.namespace):
            return one
        if flavour == "wsi" and not one.inputs and name == one.name:  # no arguments, so no element that wraps them
            return one
    raise ShopFault("SOAP-ENV:Server", f"Procedure '{name}' not present", 500)


def _given(call: etree._Element, declared: Sequence[Field], flavour: Flavour) -> list[etree._Element | None]:
    """The arguments in declared order: by name, or, when no name fits and the flavour is RPC, by position."""
    sent = list(call)
    by_name: dict[str, etree._Element] = {}
    for one in sent:
        by_name.setdefault(_local(one), one)
    if flavour == "wsi" or any(field.name in by_name for field in declared):
        return [by_name.get(field.name) for field in declared]
    if len(sent) > len(declared):
        raise ShopFault("SOAP-ENV:Client", "Error cannot find parameter", 500)
    if declared and not sent:
        raise ShopFault("SOAP-ENV:Client", "Missing parameter", 500)
    return [*sent, *[None] * (len(declared) - len(sent))]


def _check_number(text: str | None) -> None:
    """Refuse what PHP does not take for a whole number; nothing at all is a null.

    >>> _check_number(" 5 ")
    >>> _check_number("5x")
    Traceback (most recent call last):
    ...
    magento_pager.fake.faults.ShopFault: fault SOAP-ENV:Server: SOAP-ERROR: Encoding: Violation of encoding rules
    """
    if text and not re.fullmatch(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?\s*", text):
        raise ShopFault("SOAP-ENV:Server", "SOAP-ERROR: Encoding: Violation of encoding rules", 500)


def _present(element: etree._Element | None) -> etree._Element | None:
    """The element itself, or the one its `href` points to; None when it is absent or nil.

    Raises:
        ShopFault: it points to nothing.
    """
    if element is None or element.get(_NIL) in {"true", "1"}:
        return None
    target = element.get("href")
    if target is None:
        return element
    for one in element.getroottree().iter():
        if f"#{one.get('id')}" == target:
            return one
    raise ShopFault("SOAP-ENV:Server", f"SOAP-ERROR: Encoding: Unresolved reference '{target}'", 500)


def _child(element: etree._Element, name: str) -> etree._Element | None:
    """The first child of that name, in any namespace."""
    return next((_present(one) for one in element if _local(one) == name), None)


def _text(element: etree._Element | None) -> str | None:
    """The text of a scalar; texts of nested elements (a list of strings in 1.7.0.0) are joined by commas."""
    found = _present(element)
    if found is None:
        return None
    inner = list(found)
    return ",".join(_text(one) or "" for one in inner) if inner else (found.text or "")


def _filters(element: etree._Element | None, flavour: Flavour) -> Filters:
    """The filters; whatever is not shaped like one is ignored without a word, as the server ignores it."""
    found = _present(element)
    if found is None:
        return Filters()
    simple, complex_ = [], []
    for one in _items(_child(found, "filter"), flavour):
        field, value = _text(_child(one, "key")), _text(_child(one, "value"))
        if field is not None and value is not None:
            simple.append((field, value))
    for one in _items(_child(found, "complex_filter"), flavour):
        field, condition = _text(_child(one, "key")), _child(one, "value")
        if field is None or condition is None:
            continue
        operator, value = _text(_child(condition, "key")), _text(_child(condition, "value"))
        if operator is not None and value is not None:
            complex_.append((field, operator, value))
    return Filters(tuple(simple), tuple(complex_))


def _items(array: etree._Element | None, flavour: Flavour) -> list[etree._Element]:
    """The items of an array: all children in RPC, those of the right name in WS-I."""
    if array is None:
        return []
    found = [_present(one) for one in array if flavour == "rpc" or _local(one) == "complexObjectArray"]
    return [one for one in found if one is not None]
