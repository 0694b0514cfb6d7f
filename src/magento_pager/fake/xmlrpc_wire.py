"""The XML of XML-RPC, as Zend Framework reads and writes it: from a request to PHP values, from a result to a reply.

Zend reads a value by SimpleXML, so the first element, comment or attribute inside it is its type, and text without a
type is kept as it is in the XML, `&amp;` included. Nothing here knows methods or paths.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.dom import Node, minidom
from xml.parsers.expat import ExpatError

from magento_pager.fake import php
from magento_pager.fake.faults import PhpFatal, ShopFault
from magento_pager.fake.replies import escaped, legible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from magento_pager.fake.php import Php
    from magento_pager.fake.profiles import Profile
    from magento_pager.fake.replies import Value

NO_BODY = ("630", "Unable to read request")
FORBIDDEN_ENTITY = ("631", "Failed to parse request")
NO_METHOD_NAME = ("632", "Invalid request, no method passed; request must contain a 'methodName' tag")
NO_VALUE = ("633", "Param must contain a value")
BAD_VALUE = ("636", "Error creating xmlrpc value")

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_EMPTY_ARRAY = "<array><data/></array>"
_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]')
"""Characters that are not sent as they are."""
_INTS_SINCE = (20,)
"""The first version whose PHP (8.1 or later) has a driver that returns numbers as such, and not as texts."""


class _BadValueError(Exception):
    """A value that Zend refuses."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: its name.
        types: of the arguments, as named by XML-RPC; `int` for `i4` too.
        arguments: their values.
    """

    method: str
    types: tuple[str, ...]
    arguments: Sequence[Php]


def read(body: bytes) -> Request:
    """Read a request.

    Raises:
        ShopFault: the request, or a value in it, is invalid.
        PhpFatal: the request kills PHP.

    >>> read(b"<methodCall><methodName>go</methodName><params><param><value>me</value></param></params></methodCall>")
    Request(method='go', types=('string',), arguments=['me'])
    """
    if not body:
        raise ShopFault(*NO_BODY)
    if b"<!ENTITY" in body:
        raise ShopFault(*FORBIDDEN_ENTITY)
    try:
        document = minidom.parseString(body)  # noqa: S318 -- without entities, and only tests send anything
    except (ExpatError, LookupError, ValueError):
        raise ShopFault(*NO_METHOD_NAME) from None
    root = next(_elements(document))
    name, params = _child(root, "methodName"), _child(root, "params")
    if name is None or _text(name) in {"", "0"}:
        raise ShopFault(*NO_METHOD_NAME)
    values = []
    for param in _elements(params) if params is not None else ():
        if (value := _child(param, "value")) is None:
            raise ShopFault(*NO_VALUE)
        try:
            values.append(_value(value))
        except (_BadValueError, RecursionError):
            raise ShopFault(*BAD_VALUE) from None
    return Request(_text(name), tuple(kind for kind, _ in values), [value for _, value in values])


def _value(node: minidom.Element) -> tuple[str, Php]:
    """Return the type and the value of a `value` element."""
    if any(not name.startswith("xmlns") for name in node.attributes.keys()):  # noqa: SIM118 -- no mapping
        raise _BadValueError
    inner = next((child for child in node.childNodes if _names_type(child)), None)
    if inner is None:
        return "string", _untyped(node)
    kind, text = str(inner.nodeName), _text(inner)
    if inner.nodeType != Node.ELEMENT_NODE or len(list(_elements(node, kind))) > 1:
        raise _BadValueError
    if kind == "array":
        return kind, _array(inner, text)
    if kind == "struct":
        return kind, _struct(inner)
    if kind not in _SCALARS:
        raise _BadValueError
    return "int" if kind == "i4" else kind, _SCALARS[kind](text)


def _names_type(node: minidom.Node) -> bool:
    """Return whether SimpleXML shows a node as a member; elements with a namespace prefix are not shown."""
    if node.nodeType == Node.ELEMENT_NODE:
        return ":" not in str(node.nodeName)
    return node.nodeType in {Node.COMMENT_NODE, Node.PROCESSING_INSTRUCTION_NODE}


def _untyped(node: minidom.Element) -> str:
    """Return the value of an element without a type: the XML between its tags or, with a line break in it, the text."""
    inside = "".join(map(_serialized, node.childNodes))
    return _text(node) if "\n" in inside or node.attributes.length else inside


def _serialized(node: Any) -> str:
    """Return a piece of text, of CDATA, or an element with a prefix, as XML."""
    if isinstance(node, minidom.CDATASection):
        return f"<![CDATA[{node.data}]]>"
    if isinstance(node, minidom.Text):
        return escaped(node.data)
    head = node.nodeName + "".join(f' {name}="{escaped(value)}"' for name, value in node.attributes.items())
    inside = "".join(map(_serialized, node.childNodes))
    return f"<{head}>{inside}</{node.nodeName}>" if inside else f"<{head}/>"


def _array(node: minidom.Element, text: str) -> list[Php]:
    """Return the members of an `array` element."""
    if text and not list(_elements(node)):
        raise PhpFatal("Call to a member function children() on string")
    if (data := _child(node, "data")) is None:
        raise _BadValueError
    return [_value(member)[1] for member in _elements(data, "value")]


def _struct(node: minidom.Element) -> dict[str, Php]:
    """Return the members of a `struct` element; of several with one name, the last value in the first place."""
    members: dict[str, Php] = {}
    for member in _elements(node, "member"):
        name, value = _child(member, "name"), _child(member, "value")
        if name is not None and value is not None:
            members[_text(name)] = _value(value)[1]
    return members


def _integer(text: str) -> int:
    """Read an integer."""
    if php.overlong(text):
        raise _BadValueError
    return php.integer(text)


def _date_time(text: str) -> str:
    """Read a time, and return it in the format of Zend."""
    if php.is_numeric(text) or not text.strip():
        return php.date(text if text.strip() else True, "%Y%m%dT%H:%M:%S")
    if (time := php.date_time(text)) is None:
        raise _BadValueError
    return time.strftime("%Y%m%dT%H:%M:%S")


def _decoded(text: str) -> str:
    """Return the text of base64; other characters are skipped.

    >>> _decoded("M TA="), _decoded("MTAw!")
    ('10', '100')
    """
    letters = re.sub(r"[^A-Za-z0-9+/]", "", text)
    whole = letters[: len(letters) - (len(letters) % 4 == 1)]
    return base64.b64decode(whole + "=" * (-len(whole) % 4)).decode("utf-8", "replace")


_SCALARS: Mapping[str, Callable[[str], Php]] = {
    "int": _integer,
    "i4": _integer,
    "i8": str,
    "double": lambda text: float(f"{php.double(text):.14f}"),
    "boolean": lambda text: text not in {"", "0"},
    "string": str,
    "dateTime.iso8601": _date_time,
    "base64": _decoded,
    "nil": lambda _: None,
}
"""Functions that read the text of each type."""


def _elements(node: minidom.Node, name: str = "") -> Iterator[minidom.Element]:
    """Return the elements in a node, or those with a name."""
    children = (child for child in node.childNodes if isinstance(child, minidom.Element))
    return (child for child in children if not name or child.nodeName == name)


def _child(node: minidom.Node, name: str) -> minidom.Element | None:
    """Return the first element with a name in a node."""
    return next(_elements(node, name), None)


def _text(node: minidom.Node) -> str:
    """Return the text of a node, without that of elements in it."""
    return "".join(child.data for child in node.childNodes if isinstance(child, minidom.Text))


# --- writing ---------------------------------------------------------------------------------------------------------


def reply(result: Value, profile: Profile) -> str:
    """Return a reply.

    Raises:
        ShopFault: a text in it is not UTF-8, and the version does not omit it.

    >>> from magento_pager.fake.profiles import profile
    >>> print(reply([{"store_id": 2, "is_active": True, "name": None}], profile("20.0.20")))  # doctest: +ELLIPSIS
    <?xml version="1.0" encoding="UTF-8"?>
    <methodResponse><params><param><value><array><data><value><struct><member><name>store_id</name><value><int>2<...
    """
    return f"{_DECLARATION}<methodResponse><params><param>{_written(result, profile)}</param></params></methodResponse>"


def fault(code: int, text: str, profile: Profile) -> str:
    """Return the reply with a fault."""
    members = _struct_of({"faultCode": f"<value><int>{code}</int></value>", "faultString": _written(text, profile)})
    return f"{_DECLARATION}<methodResponse><fault><value>{members}</value></fault></methodResponse>"


def _written(value: Value, profile: Profile) -> str:
    """Return a value as XML. An empty record is an empty list, because they are the same in PHP.

    Numbers from the database are texts, as from PHP's driver up to 8.0; the newest version runs on 8.2.

    >>> from magento_pager.fake.profiles import profile
    >>> _written(2, profile("1.8.1.0")), _written(2, profile("20.0.20")), _written({}, profile("20.0.20"))
    ('<value><string>2</string></value>', '<value><int>2</int></value>', '<value><array><data/></array></value>')
    """
    if value is None:
        return "<value><nil/></value>"
    if type(value) is str and _SPECIAL.search(value) is None:  # nearly all values
        return f"<value><string>{value}</string></value>"
    if isinstance(value, Mapping) and value:
        inside = _struct_of({name: _written(member, profile) for name, member in value.items()})
    elif isinstance(value, list | tuple) and value:
        inside = f"<array><data>{''.join([_written(member, profile) for member in value])}</data></array>"
    elif isinstance(value, Mapping | list | tuple):
        inside = _EMPTY_ARRAY
    elif isinstance(value, bool):
        inside = f"<boolean>{value:d}</boolean>"
    elif isinstance(value, int) and profile.version >= _INTS_SINCE:
        inside = f"<int>{value}</int>"
    else:
        text = legible(str(value) if isinstance(value, int | float) else value, profile)
        inside = "<nil/>" if text is None else f"<string>{_escaped(str(text))}</string>"
    return f"<value>{inside}</value>"


def _struct_of(members: Mapping[str, str]) -> str:
    inside = "".join([f"<member><name>{name}</name>{value}</member>" for name, value in members.items()])
    return f"<struct>{inside}</struct>"


def _escaped(text: str) -> str:
    """Return text as escaped by libxml's writer, quotes included."""
    return escaped(text).replace('"', "&quot;")
