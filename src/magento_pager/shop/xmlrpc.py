"""XML-RPC, the oldest API of a shop: a request to bytes, and a reply to plain values, as strictly as SOAP is read.

What lives here: the wire format and nothing else. Where the shop listens and who is logged in is the connection's
matter, what the values mean is not known here. Replies pass the same guards as those of SOAP: no entities, no document
type, nothing from the network, a bounded depth, and no element or attribute that the format does not have.

A value comes out as PHP meant it: `None`, a bool, a list, a dict, or the server's text, numbers included.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from lxml import etree

from magento_pager.errors import MalformedReplyError
from magento_pager.shop.decoding import ReplyFaultError
from magento_pager.shop.streaming import parsed_small

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lxml.etree import _Element as Element

Argument: TypeAlias = "str | Sequence[Argument] | None"
"""What a call may be given. Numbers travel as text: PHP does not mind, and the API takes increment ids."""

_SOAP_PATH = re.compile(r"(?P<before>.*/api/)(v2_soap|soap_wsi|soap_v2|soap)(/.*)?")
_SOAP_TYPE = re.compile(r"(?<=\btype=)(v2_soap|soap_wsi|soap_v2|soap)\b")
_NUMBERS = frozenset({"int", "i4", "i8", "double"})
_STRAY = etree.XPath("boolean(//@*) or boolean(//*[*]/text()[normalize-space()])")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")


def address_beside(soap: str) -> str | None:
    """Where a shop that takes SOAP calls at an address takes those of XML-RPC; None where that cannot be told.

    >>> address_beside("https://shop.example/index.php/api/v2_soap/index/")
    'https://shop.example/index.php/api/xmlrpc/'
    >>> address_beside("https://shop.example/api-secret.php?type=v2_soap")
    'https://shop.example/api-secret.php?type=xmlrpc'
    >>> address_beside("https://shop.example/gateway") is None
    True
    """
    parts = urlsplit(soap)
    if found := _SOAP_PATH.fullmatch(parts.path):
        return urlunsplit((parts.scheme, parts.netloc, f"{found['before']}xmlrpc/", "", ""))
    if parts.path.endswith(".php") and _SOAP_TYPE.search(parts.query):
        return urlunsplit((parts.scheme, parts.netloc, parts.path, _SOAP_TYPE.sub("xmlrpc", parts.query), ""))
    return None


def request(method: str, *arguments: Argument) -> bytes:
    """A call as bytes.

    >>> b"<methodName>login</methodName>" in request("login", "me", "my key")
    True
    """
    call = etree.Element("methodCall")
    etree.SubElement(call, "methodName").text = method
    params = etree.SubElement(call, "params")
    for argument in arguments:
        _write(etree.SubElement(params, "param"), argument)
    return etree.tostring(call, xml_declaration=True, encoding="utf-8")


def value_of(reply: bytes, method: str) -> Any:
    """The value of a reply.

    Args:
        reply: its body.
        method: for messages.

    Raises:
        ReplyFaultError: the reply is a fault.
        MalformedReplyError: it is no reply of XML-RPC.

    >>> value_of(b"<methodResponse><params><param><value><i4>7</i4></value></param></params></methodResponse>", "add")
    '7'
    """
    root = parsed_small(reply, method)
    if _STRAY(root):
        raise MalformedReplyError(
            f"{method}: the reply is no XML-RPC: it has attributes, or text beside markup", remedy="isolate"
        )
    try:
        body = _only(_named(root, "methodResponse"))
        if body.tag != "fault":
            return _value(_only(_named(_only(_named(body, "params")), "param")))
        fault = _value(_only(body))
    except _UnexpectedError as error:
        raise MalformedReplyError(f"{method}: the reply is no XML-RPC: it has {error}", remedy="isolate") from None
    if not isinstance(fault, dict) or not {"faultCode", "faultString"} <= fault.keys():
        raise MalformedReplyError(
            f"{method}: the reply is a fault of XML-RPC without a code or without words", remedy="isolate"
        )
    raise ReplyFaultError(str(fault["faultCode"]), str(fault["faultString"]))


class _UnexpectedError(Exception):
    """Something that the format does not have in its place."""


def _write(parent: Element, argument: Argument) -> None:
    value = etree.SubElement(parent, "value")
    if argument is None:
        etree.SubElement(value, "nil")
    elif isinstance(argument, str):
        etree.SubElement(value, "string").text = argument
    else:
        data = etree.SubElement(etree.SubElement(value, "array"), "data")
        for one in argument:
            _write(data, one)


def _named(element: Element, tag: str) -> Element:
    """The element, which must have that tag."""
    if element.tag != tag:
        raise _UnexpectedError(f"<{element.tag}> instead of <{tag}>")
    return element


def _only(element: Element) -> Element:
    """The only child of an element."""
    if len(element) != 1:
        raise _UnexpectedError(f"{len(element)} elements instead of one in <{element.tag}>")
    return element[0]


def _text(element: Element) -> str:
    if len(element):
        raise _UnexpectedError(f"markup in <{element.tag}>")
    return element.text or ""


def _value(element: Element) -> Any:
    """What stands in a <value>."""
    if element.tag != "value":
        raise _UnexpectedError(f"<{element.tag}> instead of <value>")
    if len(element) == 0:
        return element.text or ""
    typed = _only(element)
    kind = typed.tag
    if kind == "string":
        return _text(typed)
    if kind in _NUMBERS:
        text = _text(typed).strip()
        if not _NUMBER.fullmatch(text):
            raise _UnexpectedError(f"{text[:50]!r} as a number")
        return text.removesuffix(".")  # PHP cuts the zeros off a double, and leaves the point
    if kind == "boolean" and _text(typed) in {"0", "1"}:
        return _text(typed) == "1"
    if kind == "nil" and not _text(typed):
        return None
    if kind == "array":
        return [_value(one) for one in _named(_only(typed), "data")]
    if kind == "struct":
        return _struct(typed)
    raise _UnexpectedError(f"a <{kind}>")


def _struct(element: Element) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for member in element:
        parts = list(member)
        if member.tag != "member" or len(parts) != 2 or parts[0].tag != "name":  # noqa: PLR2004  a name and a value
            raise _UnexpectedError("a <member> that is no <name> with a <value>")
        name = _text(parts[0])
        if name in members:
            raise _UnexpectedError(f"two members {name[:50]!r}")
        members[name] = _value(parts[1])
    return members
