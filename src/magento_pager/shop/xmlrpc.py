"""XML-RPC, the oldest API of a shop: requests to bytes, and replies to plain values, read as strictly as SOAP.

What lives here: the wire format and nothing else. Addresses and the login belong to the connection, and this module
does not know what the values mean. Replies pass the same guards as those of SOAP: no entities, no document type,
nothing from the network, a bounded depth, and no element or attribute that the format does not have.

A value is read as PHP meant it: `None`, a bool, a list, a dict, or the server's text, numbers included. Short replies
are read as a whole (`value_of`), lists of records as they arrive (`rows`). In a list, a row in the form that PHP writes
is read by one regular expression, in a fifth of the time; every other row goes through the parser and every check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from lxml import etree

from magento_pager.errors import MalformedReplyError
from magento_pager.shop.decoding import ReplyFaultError
from magento_pager.shop.streaming import UNFIT, RowStream, parsed_small, without_references

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from lxml.etree import _Element as Element

    from magento_pager.walk.pages import Row

Argument: TypeAlias = "str | Sequence[Argument] | Mapping[str, Argument] | None"
"""An argument of a call. Numbers are sent as text: PHP accepts that, and the API takes increment ids."""

_SOAP_PATH = re.compile(r"(?P<before>.*/api/)(v2_soap|soap_wsi|soap_v2|soap)(/.*)?")
_SOAP_TYPE = re.compile(r"(?<=\btype=)(v2_soap|soap_wsi|soap_v2|soap)\b")
_SCALARS = "string|int|i4|i8|double|boolean"
_UNEXPECTED = etree.XPath("boolean(//@*) or boolean(//text()[normalize-space()][../*])")  # in the whole document
_UNEXPECTED_PARTS = "attributes, or text next to markup"
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")

_PATH = ["data", "array", "value", "param", "params", "methodResponse"]
"""The elements around a row, from the inside."""
_GAP = "[ \t\r\n]*+"  # allowed between tags; PHP writes nothing there
_TEXT = f"[^<>{UNFIT}]*"
_ROW_START = re.compile(f"</value>{_GAP}<value>{_GAP}<struct>{_GAP}".encode())  # after the end tag of another row
_SCALAR = f"nil/|(?P<kind>{_SCALARS})>(?P<text>{_TEXT})</(?P=kind)"
_ITEM = re.compile(f"{_GAP}<value>{_GAP}<(?:{_SCALAR})>{_GAP}</value>{_GAP}")
_LIST = f"<data/>|<data>(?:{_GAP}<value>{_GAP}<(?:nil/|(?:{_SCALARS})>{_TEXT}</\\w++)>{_GAP}</value>)*{_GAP}</data>"
_VALUE = f"<value>{_GAP}<(?:{_SCALAR}|array>{_GAP}(?P<list>{_LIST}){_GAP}</array)>{_GAP}</value>"
_MEMBER = re.compile(f"<member>{_GAP}<name>([^&<>{UNFIT}]*)</name>{_GAP}{_VALUE}{_GAP}</member>{_GAP}")


def address_beside(soap: str) -> str | None:
    """Return the address of XML-RPC for an address of SOAP; None if it cannot be derived.

    >>> address_beside("https://shop.example/index.php/api/v2_soap/index/")
    'https://shop.example/index.php/api/xmlrpc/'
    >>> address_beside("https://shop.example/api-secret.php?type=v2_soap")
    'https://shop.example/api-secret.php?type=xmlrpc'
    >>> address_beside("https://shop.example/gateway") is None
    True
    """
    parts = urlsplit(soap)
    if match := _SOAP_PATH.fullmatch(parts.path):
        return urlunsplit((parts.scheme, parts.netloc, f"{match['before']}xmlrpc/", "", ""))
    if parts.path.endswith(".php") and _SOAP_TYPE.search(parts.query):
        return urlunsplit((parts.scheme, parts.netloc, parts.path, _SOAP_TYPE.sub("xmlrpc", parts.query), ""))
    return None


def request(method: str, *arguments: Argument) -> bytes:
    """Return a call as bytes.

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
    """Return the value of a reply.

    Args:
        reply: its body.
        method: for messages.

    Raises:
        ReplyFaultError: the reply is a fault.
        MalformedReplyError: it is not a reply of XML-RPC.

    >>> value_of(b"<methodResponse><params><param><value><i4>7</i4></value></param></params></methodResponse>", "add")
    '7'
    """
    root = parsed_small(reply, method)
    with _refusing(method):
        return _value(_result(root))


def rows(pieces: Iterable[bytes], method: str) -> Generator[Row]:
    """Yield the rows of a reply with a list of records, each as soon as its bytes have arrived.

    Rows are yielded before the end of the reply is known: they are complete only if the generator ends without an
    error. Their values are those of `value_of`.

    Args:
        pieces: the body, in pieces of any size.
        method: for messages.

    Raises:
        ReplyFaultError: the reply is a fault.
        MalformedReplyError: it is not a list of records, each with at least one member.
    """
    with _refusing(method):
        yield from _Rows(method, "struct").read(pieces)


class _UnexpectedError(Exception):
    """Something that the format does not allow in its place."""


@contextmanager
def _refusing(method: str) -> Generator[None]:
    """Refuse a reply with something unexpected in it; a single row may be the cause."""
    try:
        yield
    except _UnexpectedError as error:
        raise MalformedReplyError(f"{method}: the reply is not XML-RPC: it has {error}", remedy="isolate") from None


class _Rows(RowStream):
    """Turns the bytes of one reply into rows. A row is complete when its <struct> ends, one tag before its <value>."""

    _data: Element | None = None  # contains the rows; None before the first row

    def refusal(self, reason: str) -> Exception:
        return _UnexpectedError(reason)

    def _recognised(self, segment: bytes) -> Row | None:
        """Return a row in the form that PHP writes: members that are NULL, single values, or lists of these."""
        start = self._between_rows and _ROW_START.match(segment)
        if not start:
            return None
        try:
            source = segment[start.end() :].decode()
        except UnicodeDecodeError:
            return None
        parts = _MEMBER.split(source)
        names, lists = parts[1::5], parts[4::5]
        values = None if any(parts[::5]) else _scalars(parts[2::5], parts[3::5], source)
        if values is None:
            return None
        row: Row = dict(zip(names, values, strict=True))
        if len(row) < max(len(names), 1):
            return None
        for name, data in zip(names, lists, strict=True) if any(lists) else ():
            if data:
                items = _ITEM.split(data[len("<data>") : -len("</data>")])
                if any(items[::3]):
                    return None
                row[name] = _scalars(items[1::3], items[2::3], data)
        return row

    def _row(self, element: Element) -> Row | None:
        value = element.getparent()
        data = None if value is None else value.getparent()
        if value is None or data is None or (data is not self._data and not self._is_data(data)):
            return None
        if self._last is not None:
            for ended in (_only(self._last), self._last):
                if (ended.tail or "").strip(" \t\r\n"):
                    raise _UnexpectedError(_UNEXPECTED_PARTS)
        self._advance(value, data)
        if _UNEXPECTED(value):
            raise _UnexpectedError(_UNEXPECTED_PARTS)
        row = _struct(_only(_named(value, "value")))
        if not row:
            raise _UnexpectedError("a record without members")
        return row

    def _is_data(self, data: Element) -> bool:
        """Return True for the element that contains the rows, in its place in the reply, and remember it."""
        if self._data is not None or [data.tag, *(part.tag for part in data.iterancestors())] != _PATH:
            return False
        self._data = data
        return True

    def _check_end(self, root: Element) -> None:
        for row in _named(_only(_named(_only(_result(root)), "array")), "data"):
            if row is not self._last:
                raise _UnexpectedError(f"a <{row.tag}> among the rows that is not a record")
            _only(row)


def _write(parent: Element, argument: Argument) -> None:
    value = etree.SubElement(parent, "value")
    if argument is None:
        etree.SubElement(value, "nil")
    elif isinstance(argument, str):
        etree.SubElement(value, "string").text = argument
    elif isinstance(argument, Mapping):
        struct = etree.SubElement(value, "struct")
        for name, item in argument.items():
            member = etree.SubElement(struct, "member")
            etree.SubElement(member, "name").text = name
            _write(member, item)
    else:
        data = etree.SubElement(etree.SubElement(value, "array"), "data")
        for item in argument:
            _write(data, item)


def _result(root: Element) -> Element:
    """Return the <value> of a reply; raise its fault."""
    if _UNEXPECTED(root):
        raise _UnexpectedError(_UNEXPECTED_PARTS)
    body = _only(_named(root, "methodResponse"))
    if body.tag != "fault":
        return _named(_only(_named(_only(_named(body, "params")), "param")), "value")
    fault = _value(_only(body))
    if not isinstance(fault, dict) or not {"faultCode", "faultString"} <= fault.keys():
        raise _UnexpectedError("a fault without a code or a text")
    raise ReplyFaultError(str(fault["faultCode"]), str(fault["faultString"]))


def _named(element: Element, tag: str) -> Element:
    """Return the element, which must have that tag."""
    if element.tag != tag:
        raise _UnexpectedError(f"<{element.tag}> instead of <{tag}>")
    return element


def _only(element: Element) -> Element:
    """Return the only child of an element."""
    if len(element) != 1:
        raise _UnexpectedError(f"{len(element)} elements instead of one in <{element.tag}>")
    return element[0]


def _text(element: Element) -> str:
    if len(element):
        raise _UnexpectedError(f"markup in <{element.tag}>")
    return element.text or ""


def _value(element: Element) -> Any:
    """Return the content of a <value>."""
    _named(element, "value")
    if len(element) == 0:
        return element.text or ""
    typed = _only(element)
    if typed.tag == "array":
        return [_value(item) for item in _named(_only(typed), "data")]
    if typed.tag == "struct":
        return _struct(typed)
    return _scalar(typed.tag, _text(typed))


def _scalar(kind: str, text: str) -> Any:
    """Return a single value."""
    if kind == "string":
        return text
    if kind == "nil" and not text:
        return None
    if kind == "boolean" and text in {"0", "1"}:
        return text == "1"
    if kind not in {"int", "i4", "i8", "double"}:
        raise _UnexpectedError(f"a <{kind}>")
    if not _NUMBER.fullmatch(text):
        raise _UnexpectedError(f"{text[:50]!r} as a number")
    return text.removesuffix(".")  # PHP removes the zeros of a double, but not the point


def _struct(element: Element) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for member in element:
        parts = list(member)
        if member.tag != "member" or len(parts) != 2 or parts[0].tag != "name":  # noqa: PLR2004  a name and a value
            raise _UnexpectedError("a <member> that is not a <name> with a <value>")
        name = _text(parts[0])
        if name in members:
            raise _UnexpectedError(f"two members {name[:50]!r}")
        members[name] = _value(parts[1])
    return members


def _scalars(kinds: Sequence[str | None], texts: Sequence[str | None], source: str) -> list[Any] | None:
    """Return the values of a row as `_SCALAR` matches them; None if only a parser can read them."""
    resolved = without_references(texts, source)
    if resolved is None:
        return None
    return [
        text if text is None or kind is None or kind == "string" else _scalar(kind, text)
        for kind, text in zip(kinds, resolved, strict=True)
    ]
