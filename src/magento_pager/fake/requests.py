"""Requests: from bytes to an operation and its arguments, read as leniently as by PHP's SoapServer.

RPC accepts any namespace, any item tag, arguments by name or by position, with or without types; WS-I accepts the exact
element and its arguments by name. Anything that does not have the form of a filter is silently ignored. Uses the types
in `schema`, and knows neither HTTP nor the database.
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
    """A request of a client.

    Attributes:
        operation: as declared by the version.
        texts: the scalar arguments by their RPC names; None if absent or nil.
        filters: the filters, empty if the operation has none.
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
    soap_body = next((child for child in root if child.tag != f"{{{ENVELOPE}}}Header"), None)
    if soap_body is None or soap_body.tag != f"{{{ENVELOPE}}}Body":
        raise ShopFault("SOAP-ENV:Client", "Body must be present in a SOAP envelope", 500)
    if not len(soap_body):
        raise ShopFault("SOAP-ENV:Client", 'looks like we got "Body" without function call', 500)
    call = soap_body[0]
    operation = _operation_of(call, profile, flavour)
    if flavour == "wsi" and len(soap_body) > 1:
        raise ShopFault("SOAP-ENV:Client", "Error cannot find parameter", 500)
    elements = _arguments(call, operation.arguments(flavour), flavour)
    texts: dict[str, str | None] = {}
    filters = Filters()
    for field, element in zip(operation.inputs, elements, strict=True):
        if field.type == "filters":
            filters = _filters(element, flavour)
        else:
            texts[field.name] = _text(element)
            if field.type == "xsd:int":
                _check_number(texts[field.name])
    return Request(operation, texts, filters)


def _root(body: bytes) -> etree._Element:
    """Return the root element of a request; a document type is refused, as by Zend."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    if b"<!DOCTYPE" in body:
        raise ShopFault("Sender", "Invalid XML", 500)
    try:
        return etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise ShopFault("Sender", "Invalid XML", 500) from None


def _local(element: etree._Element) -> str:
    """Return the name of an element without its namespace."""
    return etree.QName(element).localname


def _operation_of(call: etree._Element, profile: Profile, flavour: Flavour) -> Operation:
    """Return the operation of an element in the body: by its local name in RPC, by its full name in WS-I."""
    name, namespace = _local(call), etree.QName(call).namespace
    for operation in operations(profile).values():
        if flavour == "rpc" and operation.name.lower() == name.lower():  # PHP's names of functions ignore case
            return operation
        wrapper = (operation.request_element("wsi"), profile.namespace)
        if flavour == "wsi" and operation.inputs and (name, namespace) == wrapper:
            return operation
        if flavour == "wsi" and not operation.inputs and name == operation.name:  # no arguments, so no wrapper
            return operation
    raise ShopFault("SOAP-ENV:Server", f"Procedure '{name}' not present", 500)


def _arguments(call: etree._Element, declared: Sequence[Field], flavour: Flavour) -> list[etree._Element | None]:
    """Return the arguments in declared order: by name or, if no name matches and the flavour is RPC, by position."""
    elements = list(call)
    by_name: dict[str, etree._Element] = {}
    for element in elements:
        by_name.setdefault(_local(element), element)
    if flavour == "wsi" or any(field.name in by_name for field in declared):
        return [by_name.get(field.name) for field in declared]
    if len(elements) > len(declared):
        raise ShopFault("SOAP-ENV:Client", "Error cannot find parameter", 500)
    if declared and not elements:
        raise ShopFault("SOAP-ENV:Client", "Missing parameter", 500)
    return [*elements, *[None] * (len(declared) - len(elements))]


def _check_number(text: str | None) -> None:
    """Refuse a text that is not an integer for PHP; an empty text is null.

    >>> _check_number(" 5 ")
    >>> _check_number("5x")
    Traceback (most recent call last):
    ...
    magento_pager.fake.faults.ShopFault: fault SOAP-ENV:Server: SOAP-ERROR: Encoding: Violation of encoding rules
    """
    if text and not re.fullmatch(r"\s*[-+]?\d+(\.\d*)?([eE][-+]?\d+)?\s*", text):
        raise ShopFault("SOAP-ENV:Server", "SOAP-ERROR: Encoding: Violation of encoding rules", 500)


def _present(element: etree._Element | None) -> etree._Element | None:
    """Return the element itself, or the target of its `href`; None if it is absent or nil.

    Raises:
        ShopFault: the target does not exist.
    """
    if element is None or element.get(_NIL) in {"true", "1"}:
        return None
    target = element.get("href")
    if target is None:
        return element
    for candidate in element.getroottree().iter():
        if f"#{candidate.get('id')}" == target:
            return candidate
    raise ShopFault("SOAP-ENV:Server", f"SOAP-ERROR: Encoding: Unresolved reference '{target}'", 500)


def _child(element: etree._Element, name: str) -> etree._Element | None:
    """Return the first child of that name, in any namespace."""
    return next((_present(child) for child in element if _local(child) == name), None)


def _text(element: etree._Element | None) -> str | None:
    """Return the text of a scalar; texts of nested elements (a list of strings in 1.7.0.0) are joined by commas."""
    present = _present(element)
    if present is None:
        return None
    children = list(present)
    return ",".join(_text(child) or "" for child in children) if children else (present.text or "")


def _filters(element: etree._Element | None, flavour: Flavour) -> Filters:
    """Return the filters; anything that does not have the form of a filter is silently ignored, as by the server."""
    present = _present(element)
    if present is None:
        return Filters()
    simple, complex_ = [], []
    for item in _items(_child(present, "filter"), flavour):
        field, value = _text(_child(item, "key")), _text(_child(item, "value"))
        if field is not None and value is not None:
            simple.append((field, value))
    for item in _items(_child(present, "complex_filter"), flavour):
        field, condition = _text(_child(item, "key")), _child(item, "value")
        if field is None or condition is None:
            continue
        operator, value = _text(_child(condition, "key")), _text(_child(condition, "value"))
        if operator is not None and value is not None:
            complex_.append((field, operator, value))
    return Filters(tuple(simple), tuple(complex_))


def _items(array: etree._Element | None, flavour: Flavour) -> list[etree._Element]:
    """Return the items of an array: all children in RPC, those of the right name in WS-I."""
    if array is None:
        return []
    items = [_present(child) for child in array if flavour == "rpc" or _local(child) == "complexObjectArray"]
    return [item for item in items if item is not None]
