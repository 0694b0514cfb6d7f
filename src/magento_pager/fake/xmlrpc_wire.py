"""The XML of XML-RPC, as Zend Framework reads and writes it: a request to values of PHP, a result to a reply.

Zend looks at a value through SimpleXML, so that the first element, comment or attribute inside it names its type, and
text without a type is kept as it stands in the XML, `&amp;` included. Knows no methods and no paths.
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
"""What does not go out as it is."""
_INTS_SINCE = (20,)
"""The first version that is played on a PHP whose driver gives numbers and not texts (8.1)."""


class _BadValueError(Exception):
    """A value that Zend refuses."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        method: its name.
        types: of the arguments, in the words of XML-RPC; `int` for `i4` too.
        arguments: their values.
    """

    method: str
    types: tuple[str, ...]
    arguments: Sequence[Php]


def read(body: bytes) -> Request:
    """Return what a request asks for.

    Raises:
        ShopFault: it is none, or a value in it is none.
        PhpFatal: PHP dies of it.

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
    found = []
    for param in _elements(params) if params is not None else ():
        if (value := _child(param, "value")) is None:
            raise ShopFault(*NO_VALUE)
        try:
            found.append(_value(value))
        except (_BadValueError, RecursionError):
            raise ShopFault(*BAD_VALUE) from None
    return Request(_text(name), tuple(kind for kind, _ in found), [value for _, value in found])


def _value(node: minidom.Element) -> tuple[str, Php]:
    """The type and the value of a `value` element."""
    if any(not name.startswith("xmlns") for name in node.attributes.keys()):  # noqa: SIM118 -- no mapping
        raise _BadValueError
    inner = next((one for one in node.childNodes if _names_type(one)), None)
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
    """Whether SimpleXML shows a node as a member; elements of a namespace with a prefix are not among them."""
    if node.nodeType == Node.ELEMENT_NODE:
        return ":" not in str(node.nodeName)
    return node.nodeType in {Node.COMMENT_NODE, Node.PROCESSING_INSTRUCTION_NODE}


def _untyped(node: minidom.Element) -> str:
    """The value of an element without a type: what stands between its tags, unless that has a line break."""
    inside = "".join(map(_serialized, node.childNodes))
    return _text(node) if "\n" in inside or node.attributes.length else inside


def _serialized(node: Any) -> str:
    """A piece of text, of CDATA, or an element with a prefix, as XML."""
    if isinstance(node, minidom.CDATASection):
        return f"<![CDATA[{node.data}]]>"
    if isinstance(node, minidom.Text):
        return escaped(node.data)
    head = node.nodeName + "".join(f' {name}="{escaped(value)}"' for name, value in node.attributes.items())
    inside = "".join(map(_serialized, node.childNodes))
    return f"<{head}>{inside}</{node.nodeName}>" if inside else f"<{head}/>"


def _array(node: minidom.Element, text: str) -> list[Php]:
    """The members of an `array` element."""
    if text and not list(_elements(node)):
        raise PhpFatal("Call to a member function children() on string")
    if (data := _child(node, "data")) is None:
        raise _BadValueError
    return [_value(one)[1] for one in _elements(data, "value")]


def _struct(node: minidom.Element) -> dict[str, Php]:
    """The members of a `struct` element; the last one of a name counts, in the place of the first."""
    found: dict[str, Php] = {}
    for member in _elements(node, "member"):
        name, value = _child(member, "name"), _child(member, "value")
        if name is not None and value is not None:
            found[_text(name)] = _value(value)[1]
    return found


def _integer(text: str) -> int:
    """An integer."""
    if php.overlong(text):
        raise _BadValueError
    return php.integer(text)


def _moment(text: str) -> str:
    """A moment, in the form that Zend gives it."""
    if php.is_numeric(text) or not text.strip():
        return php.date(text if text.strip() else True, "%Y%m%dT%H:%M:%S")
    if (found := php.moment(text)) is None:
        raise _BadValueError
    return found.strftime("%Y%m%dT%H:%M:%S")


def _decoded(text: str) -> str:
    """What base64 stands for; anything else in it is skipped.

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
    "dateTime.iso8601": _moment,
    "base64": _decoded,
    "nil": lambda _: None,
}
"""What the text of a type stands for."""


def _elements(node: minidom.Node, name: str = "") -> Iterator[minidom.Element]:
    """The elements in a node, or those of a name."""
    return (one for one in node.childNodes if isinstance(one, minidom.Element) and (not name or one.nodeName == name))


def _child(node: minidom.Node, name: str) -> minidom.Element | None:
    """The first element of a name in a node."""
    return next(_elements(node, name), None)


def _text(node: minidom.Node) -> str:
    """The text of a node, without that of elements in it."""
    return "".join(one.data for one in node.childNodes if isinstance(one, minidom.Text))


# --- writing ---------------------------------------------------------------------------------------------------------


def reply(result: Value, profile: Profile) -> str:
    """Return a reply.

    Raises:
        ShopFault: a text in it is not UTF-8, and the version does not leave it out.

    >>> from magento_pager.fake.profiles import profile
    >>> print(reply([{"store_id": 2, "is_active": True, "name": None}], profile("20.0.20")))  # doctest: +ELLIPSIS
    <?xml version="1.0" encoding="UTF-8"?>
    <methodResponse><params><param><value><array><data><value><struct><member><name>store_id</name><value><int>2<...
    """
    return f"{_DECLARATION}<methodResponse><params><param>{_written(result, profile)}</param></params></methodResponse>"


def fault(code: int, text: str, profile: Profile) -> str:
    """Return the reply that a fault is."""
    members = _struct_of({"faultCode": f"<value><int>{code}</int></value>", "faultString": _written(text, profile)})
    return f"{_DECLARATION}<methodResponse><fault><value>{members}</value></fault></methodResponse>"


def _written(value: Value, profile: Profile) -> str:
    """A value. An empty record is an empty list: PHP does not tell them apart.

    Numbers from the database are text, as PHP's driver gave them up to 8.0; the newest version runs on 8.2.

    >>> from magento_pager.fake.profiles import profile
    >>> _written(2, profile("1.8.1.0")), _written(2, profile("20.0.20")), _written({}, profile("20.0.20"))
    ('<value><string>2</string></value>', '<value><int>2</int></value>', '<value><array><data/></array></value>')
    """
    if value is None:
        return "<value><nil/></value>"
    if type(value) is str and _SPECIAL.search(value) is None:  # nearly all there is
        return f"<value><string>{value}</string></value>"
    if isinstance(value, Mapping) and value:
        inside = _struct_of({name: _written(one, profile) for name, one in value.items()})
    elif isinstance(value, list | tuple) and value:
        inside = f"<array><data>{''.join([_written(one, profile) for one in value])}</data></array>"
    elif isinstance(value, Mapping | list | tuple):
        inside = _EMPTY_ARRAY
    elif isinstance(value, bool):
        inside = f"<boolean>{value:d}</boolean>"
    elif isinstance(value, int) and profile.version >= _INTS_SINCE:
        inside = f"<int>{value}</int>"
    else:
        shown = legible(str(value) if isinstance(value, int | float) else value, profile)
        inside = "<nil/>" if shown is None else f"<string>{_escaped(str(shown))}</string>"
    return f"<value>{inside}</value>"


def _struct_of(members: Mapping[str, str]) -> str:
    inside = "".join([f"<member><name>{name}</name>{value}</member>" for name, value in members.items()])
    return f"<struct>{inside}</struct>"


def _escaped(text: str) -> str:
    """Text as libxml's writer escapes it, quotes included."""
    return escaped(text).replace('"', "&quot;")
