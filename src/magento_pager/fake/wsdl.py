"""The WSDL of the embedded shop, generated from `schema` for each version and flavour.

It has only what a client or PHP's SoapServer reads: types, messages, port type, binding, service. As in the API, RPC is
RPC/encoded with SOAP arrays and unordered records, WS-I is document/literal with sequences and `complexObjectArray`.
Nothing here knows HTTP: the address of the service is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lxml import etree

from magento_pager.fake.schema import ARRAYS, operations, records

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from magento_pager.fake.declarations import Field, Flavour, Operation
    from magento_pager.fake.profiles import Profile

WSDL = "http://schemas.xmlsoap.org/wsdl/"
SOAP = "http://schemas.xmlsoap.org/wsdl/soap/"
XSD = "http://www.w3.org/2001/XMLSchema"
ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
TRANSPORT = "http://schemas.xmlsoap.org/soap/http"

_HANDLER = {"rpc": "Mage_Api_Model_Server_V2_Handler", "wsi": ""}
"""The prefix of the names of port type, binding and port."""
_ACTION = "urn:Mage_Api_Model_Server_V2_HandlerAction"


def wsdl(profile: Profile, flavour: Flavour, address: str) -> bytes:
    """Return the WSDL document.

    Args:
        profile: the version, with its namespace, operations and types.
        flavour: `rpc` or `wsi`.
        address: for calls.

    >>> from magento_pager.fake.profiles import profile
    >>> b'location="http://localhost/"' in wsdl(profile("1.7.0.2"), "rpc", "http://localhost/")
    True
    """
    handler = _HANDLER[flavour]
    declared = operations(profile)
    names = {"wsdl": WSDL, "soap": SOAP, "xsd": XSD, "typens": profile.namespace}
    if flavour == "rpc":
        names["soapenc"] = ENCODING
    root = etree.Element(f"{{{WSDL}}}definitions", nsmap=names, name="Magento", targetNamespace=profile.namespace)
    root.append(_wsdl("types", _schema(profile, flavour, declared)))
    for operation in declared.values():
        root.extend(_messages(operation, flavour))
    ports = _wsdl("portType", name=f"{handler}PortType")
    binding = _wsdl(
        "binding",
        _soap("binding", style="rpc" if flavour == "rpc" else "document", transport=TRANSPORT),
        name=f"{handler}Binding",
        type=f"typens:{handler}PortType",
    )
    for name in declared:
        ports.append(
            _wsdl(
                "operation",
                _wsdl("input", message=f"typens:{name}Request"),
                _wsdl("output", message=f"typens:{name}Response"),
                name=name,
            ),
        )
        binding.append(_bound(name, profile.namespace, flavour))
    root.extend((ports, binding))
    port = _wsdl("port", _soap("address", location=address), name=f"{handler}Port", binding=f"typens:{handler}Binding")
    root.append(_wsdl("service", port, name="MagentoService"))
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _tag(namespace: str, tag: str, children: tuple[etree._Element, ...], attributes: dict[str, str]) -> etree._Element:
    """Return an element with its children."""
    element = etree.Element(f"{{{namespace}}}{tag}", attributes)
    element.extend(children)
    return element


def _wsdl(tag: str, *children: etree._Element, **attributes: str) -> etree._Element:
    """Return an element of the WSDL itself."""
    return _tag(WSDL, tag, children, attributes)


def _soap(tag: str, **attributes: str) -> etree._Element:
    """Return an element of the SOAP binding."""
    return _tag(SOAP, tag, (), attributes)


def _xsd(tag: str, *children: etree._Element, **attributes: str) -> etree._Element:
    """Return an element of the schema."""
    return _tag(XSD, tag, children, attributes)


def _schema(profile: Profile, flavour: Flavour, declared: Mapping[str, Operation]) -> etree._Element:
    """Return the schema: the types of the operations, and in WS-I the elements that wrap arguments and results."""
    schema = _xsd("schema", targetNamespace=profile.namespace)
    if flavour == "rpc":
        schema.append(_xsd("import", namespace=ENCODING, schemaLocation=ENCODING))
    known = records(profile, flavour)
    for name in _reachable(known, declared.values()):
        if name in known:
            schema.append(_record(name, known[name], flavour))
        else:
            schema.append(_array(name, ARRAYS[name], flavour))
    if flavour == "wsi":
        for operation in declared.values():
            if operation.inputs:
                schema.append(_wrapper(operation.request_element(flavour), operation.arguments(flavour)))
            schema.append(_wrapper(operation.reply_element(flavour), (operation.reply_part(flavour),)))
    return schema


def _reachable(known: Mapping[str, tuple[Field, ...]], declared: Iterable[Operation]) -> list[str]:
    """Return the names of the types that the operations need, each once, a type before those inside it."""
    names: dict[str, None] = {}
    waiting = [field.type for operation in declared for field in (*operation.inputs, operation.result)]
    while waiting:
        name = waiting.pop(0)
        if name.startswith("xsd:") or name in names:
            continue
        names[name] = None
        waiting.extend([ARRAYS[name]] if name in ARRAYS else [field.type for field in known[name]])
    return list(names)


def _qualified(kind: str) -> str:
    """Return the qualified name of a type."""
    return kind if kind.startswith("xsd:") else f"typens:{kind}"


def _element(field: Field) -> etree._Element:
    """Return a field as an element of a record."""
    optional = {} if field.required else {"minOccurs": "0"}
    return _xsd("element", name=field.name, type=_qualified(field.type), **optional)


def _record(name: str, fields: Iterable[Field], flavour: Flavour) -> etree._Element:
    """Return a record type."""
    group = _xsd("all" if flavour == "rpc" else "sequence", *map(_element, fields))
    return _xsd("complexType", group, name=name)


def _array(name: str, item: str, flavour: Flavour) -> etree._Element:
    """Return an array type: a restriction of the SOAP array, or a sequence of `complexObjectArray`."""
    if flavour == "wsi":
        repeated = _xsd(
            "element",
            name="complexObjectArray",
            type=_qualified(item),
            minOccurs="0",
            maxOccurs="unbounded",
        )
        return _xsd("complexType", _xsd("sequence", repeated), name=name)
    attribute = _xsd("attribute", ref="soapenc:arrayType")
    attribute.set(f"{{{WSDL}}}arrayType", f"{_qualified(item)}[]")
    restriction = _xsd("restriction", attribute, base="soapenc:Array")
    return _xsd("complexType", _xsd("complexContent", restriction), name=name)


def _wrapper(name: str, fields: Iterable[Field]) -> etree._Element:
    """Return the element of a WS-I request or reply."""
    return _xsd("element", _xsd("complexType", _xsd("sequence", *map(_element, fields))), name=name)


def _messages(operation: Operation, flavour: Flavour) -> list[etree._Element]:
    """Return the request and the reply of an operation."""
    if flavour == "wsi":
        request = [_wsdl("part", name="parameters", element=f"typens:{operation.request_element(flavour)}")]
        reply = _wsdl("part", name="parameters", element=f"typens:{operation.reply_element(flavour)}")
    else:
        request = [_wsdl("part", name=field.name, type=_qualified(field.type)) for field in operation.inputs]
        reply = _wsdl("part", name=operation.result.name, type=_qualified(operation.result.type))
    return [
        _wsdl("message", *(request if operation.inputs else ()), name=f"{operation.name}Request"),
        _wsdl("message", reply, name=f"{operation.name}Response"),
    ]


def _bound(name: str, namespace: str, flavour: Flavour) -> etree._Element:
    """Return an operation in the binding."""
    coding = {"use": "literal"}
    if flavour == "rpc":
        coding = {"use": "encoded", "namespace": namespace, "encodingStyle": ENCODING}
    return _wsdl(
        "operation",
        _soap("operation", soapAction=_ACTION if flavour == "rpc" else ""),
        _wsdl("input", _soap("body", **coding)),
        _wsdl("output", _soap("body", **coding)),
        name=name,
    )
