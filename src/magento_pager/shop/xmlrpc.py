"""XML-RPC, the oldest API of a shop: a request to bytes, and a reply to plain values, as strictly as SOAP is read.

What lives here: the wire format and nothing else. Where the shop listens and who is logged in is the connection's
matter, what the values mean is not known here. Replies pass the same guards as those of SOAP: no entities, no document
type, nothing from the network, a bounded depth, and no element or attribute that the format does not have.

A value comes out as PHP meant it: `None`, a bool, a list, a dict, or the server's text, numbers included. Short replies
are read as a whole (`value_of`), lists of records as they arrive (`rows`). There a row that is written as PHP writes
rows is read by one regular expression, in a fifth of the time; all that is not goes through the parser and every check.
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
"""What a call may be given. Numbers travel as text: PHP does not mind, and the API takes increment ids."""

_SOAP_PATH = re.compile(r"(?P<before>.*/api/)(v2_soap|soap_wsi|soap_v2|soap)(/.*)?")
_SOAP_TYPE = re.compile(r"(?<=\btype=)(v2_soap|soap_wsi|soap_v2|soap)\b")
_SCALARS = "string|int|i4|i8|double|boolean"
_STRAY = etree.XPath("boolean(//@*) or boolean(//text()[normalize-space()][../*])")  # in the whole document
_STRAYED = "attributes, or text beside markup"
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")

_PATH = ["data", "array", "value", "param", "params", "methodResponse"]
"""Where rows stand, from the inside."""
_GAP = "[ \t\r\n]*+"  # between tags, where PHP writes nothing
_TEXT = f"[^<>{UNFIT}]*"
_ROW_START = re.compile(f"</value>{_GAP}<value>{_GAP}<struct>{_GAP}".encode())  # behind the end tag of another row
_SCALAR = f"nil/|(?P<kind>{_SCALARS})>(?P<text>{_TEXT})</(?P=kind)"
_ITEM = re.compile(f"{_GAP}<value>{_GAP}<(?:{_SCALAR})>{_GAP}</value>{_GAP}")
_LIST = f"<data/>|<data>(?:{_GAP}<value>{_GAP}<(?:nil/|(?:{_SCALARS})>{_TEXT}</\\w++)>{_GAP}</value>)*{_GAP}</data>"
_VALUE = f"<value>{_GAP}<(?:{_SCALAR}|array>{_GAP}(?P<list>{_LIST}){_GAP}</array)>{_GAP}</value>"
_MEMBER = re.compile(f"<member>{_GAP}<name>([^&<>{UNFIT}]*)</name>{_GAP}{_VALUE}{_GAP}</member>{_GAP}")


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
    with _refusing(method):
        return _value(_result(root))


def rows(pieces: Iterable[bytes], method: str) -> Generator[Row]:
    """The rows of a reply that is a list of records, each as soon as its bytes are in.

    Rows come before the end of the reply is known: only when the generator is exhausted without an error were they
    all there were. They hold what `value_of` gives.

    Args:
        pieces: the body, in pieces of any size.
        method: for messages.

    Raises:
        ReplyFaultError: the reply is a fault.
        MalformedReplyError: it is anything else than a list of records, each of them with a member at least.
    """
    with _refusing(method):
        yield from _Rows(method, "struct").read(pieces)


class _UnexpectedError(Exception):
    """Something that the format does not have in its place."""


@contextmanager
def _refusing(method: str) -> Generator[None]:
    """Refuse a reply in which something unexpected is found: a single row may be the cause."""
    try:
        yield
    except _UnexpectedError as error:
        raise MalformedReplyError(f"{method}: the reply is no XML-RPC: it has {error}", remedy="isolate") from None


class _Rows(RowStream):
    """Turns the bytes of one reply into rows. A row is known when its <struct> ends; its <value> ends a tag later."""

    _data: Element | None = None  # what holds the rows; None before the first row

    def refusal(self, reason: str) -> Exception:
        return _UnexpectedError(reason)

    def _recognised(self, segment: bytes) -> Row | None:
        """Return a row that is written as PHP does it: members that are NULL, single values, or lists of such."""
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
                    raise _UnexpectedError(_STRAYED)
        self._advance(value, data)
        if _STRAY(value):
            raise _UnexpectedError(_STRAYED)
        row = _struct(_only(_named(value, "value")))
        if not row:
            raise _UnexpectedError("a record without members")
        return row

    def _is_data(self, data: Element) -> bool:
        """True for the element that holds the rows, in its place in the reply; it is remembered."""
        if self._data is not None or [data.tag, *(part.tag for part in data.iterancestors())] != _PATH:
            return False
        self._data = data
        return True

    def _check_end(self, root: Element) -> None:
        for row in _named(_only(_named(_only(_result(root)), "array")), "data"):
            if row is not self._last:
                raise _UnexpectedError(f"a <{row.tag}> that is no record among the rows")
            _only(row)


def _write(parent: Element, argument: Argument) -> None:
    value = etree.SubElement(parent, "value")
    if argument is None:
        etree.SubElement(value, "nil")
    elif isinstance(argument, str):
        etree.SubElement(value, "string").text = argument
    elif isinstance(argument, Mapping):
        struct = etree.SubElement(value, "struct")
        for name, one in argument.items():
            member = etree.SubElement(struct, "member")
            etree.SubElement(member, "name").text = name
            _write(member, one)
    else:
        data = etree.SubElement(etree.SubElement(value, "array"), "data")
        for one in argument:
            _write(data, one)


def _result(root: Element) -> Element:
    """The <value> that a reply answers with; a fault is raised."""
    if _STRAY(root):
        raise _UnexpectedError(_STRAYED)
    body = _only(_named(root, "methodResponse"))
    if body.tag != "fault":
        return _named(_only(_named(_only(_named(body, "params")), "param")), "value")
    fault = _value(_only(body))
    if not isinstance(fault, dict) or not {"faultCode", "faultString"} <= fault.keys():
        raise _UnexpectedError("a fault without a code or without words")
    raise ReplyFaultError(str(fault["faultCode"]), str(fault["faultString"]))


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
    _named(element, "value")
    if len(element) == 0:
        return element.text or ""
    typed = _only(element)
    if typed.tag == "array":
        return [_value(one) for one in _named(_only(typed), "data")]
    if typed.tag == "struct":
        return _struct(typed)
    return _scalar(typed.tag, _text(typed))


def _scalar(kind: str, text: str) -> Any:
    """A value that is not made of others."""
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
    return text.removesuffix(".")  # PHP cuts the zeros off a double, and leaves the point


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


def _scalars(kinds: Sequence[str | None], texts: Sequence[str | None], source: str) -> list[Any] | None:
    """Values of a row as `_SCALAR` finds them in a source; None where only a parser can tell what they mean."""
    resolved = without_references(texts, source)
    if resolved is None:
        return None
    return [
        text if text is None or kind is None or kind == "string" else _scalar(kind, text)
        for kind, text in zip(kinds, resolved, strict=True)
    ]
