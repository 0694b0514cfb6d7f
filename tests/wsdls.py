"""Small WSDLs in the form of a shop's, for tests that do not depend on its 150 operations."""

from __future__ import annotations

from typing import Literal, TypeAlias

from lxml import etree

Flavour: TypeAlias = Literal["rpc", "wsi"]
Operand: TypeAlias = Literal["string", "any", "strings"]

LISTS = {"salesOrderList": ("order_id", "increment_id", "status", "customer_note")}


def wsdl(
    flavour: Flavour,
    *,
    namespace: str = "urn:Magento",
    address: str = "http://127.0.0.1/api/v2_soap/",
    operand: Operand = "string",
    more: str = "",
) -> bytes:
    """Return a WSDL with `login`, `endSession`, `magentoInfo` and a list of orders.

    Args:
        flavour: rpc or wsi.
        namespace: the target namespace.
        address: for calls.
        operand: the type of the value in a filter. Only 1.7.0.0 differs: `any` in RPC, `strings` (a list) in WS-I.
        more: further content of the schema.
    """
    text = _rpc(namespace, operand, more) if flavour == "rpc" else _wsi(namespace, operand, more)
    text += f"""
      <service name="Shop"><port name="Port" binding="t:Binding"><soap:address location="{address}"/></port></service>
    </definitions>"""
    return etree.tostring(etree.fromstring(text.encode()), xml_declaration=True, encoding="utf-8")


def _head(namespace: str, schema: str) -> str:
    return f"""<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
        xmlns:x="http://www.w3.org/2001/XMLSchema" xmlns:enc="http://schemas.xmlsoap.org/soap/encoding/"
        xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:t="{namespace}" name="Shop" targetNamespace="{namespace}">
      <types><x:schema targetNamespace="{namespace}">{schema}</x:schema></types>"""


def _struct(name: str, content: str, indicator: str) -> str:
    return f'<x:complexType name="{name}"><x:{indicator}>{content}</x:{indicator}></x:complexType>'


def _field(name: str, kind: str = "x:string", more: str = "") -> str:
    return f'<x:element name="{name}" type="{kind}" {more}/>'


def _rpc(namespace: str, operand: Operand, more: str) -> str:
    def array(name: str, item: str) -> str:
        return f"""<x:complexType name="{name}"><x:complexContent><x:restriction base="enc:Array">
            <x:attribute ref="enc:arrayType" w:arrayType="{item}[]"/>
          </x:restriction></x:complexContent></x:complexType>"""

    optional = 'minOccurs="0"'
    pair = "associativeAnyTypeEntity" if operand == "any" else "associativeEntity"
    value = "x:anyType" if operand == "any" else "x:string"
    schema = (
        """<x:import namespace="http://schemas.xmlsoap.org/soap/encoding/"
              schemaLocation="http://schemas.xmlsoap.org/soap/encoding/"/>"""
        + _struct(pair, _field("key") + _field("value", value), "all")
        + _struct("complexFilter", _field("key") + _field("value", f"t:{pair}"), "all")
        + array("complexFilterArray", "t:complexFilter")
        + _struct("filters", _field("complex_filter", "t:complexFilterArray", optional), "all")
        + _struct("magentoInfoEntity", _field("magento_version") + _field("magento_edition"), "all")
        + more
    )
    messages = {
        "login": (["username", "apiKey"], ("loginReturn", "x:string")),
        "endSession": (["sessionId"], ("endSessionReturn", "x:boolean")),
        "magentoInfo": (["sessionId"], ("info", "t:magentoInfoEntity")),
    }
    parts = ""
    for name, (arguments, (result, kind)) in messages.items():
        parts += f'<message name="{name}">' + "".join(
            f'<part name="{argument}" type="x:string"/>' for argument in arguments
        )
        parts += f'</message><message name="{name}Response"><part name="{result}" type="{kind}"/></message>'
    for name, fields in LISTS.items():
        schema += _struct(f"{name}Entity", "".join(_field(field, more=optional) for field in fields), "all")
        schema += array(f"{name}EntityArray", f"t:{name}Entity")
        parts += f"""<message name="{name}"><part name="sessionId" type="x:string"/>
              <part name="filters" type="t:filters"/></message>
            <message name="{name}Response"><part name="result" type="t:{name}EntityArray"/></message>"""
    return _head(namespace, schema) + parts + _ports([*messages, *LISTS], "rpc", namespace)


def _wsi(namespace: str, operand: Operand, more: str) -> str:
    def array(name: str, item: str) -> str:
        return _struct(name, _field("complexObjectArray", item, 'minOccurs="0" maxOccurs="unbounded"'), "sequence")

    def body(name: str, content: str) -> str:
        return f'<x:element name="{name}"><x:complexType><x:sequence>{content}</x:sequence></x:complexType></x:element>'

    optional = 'minOccurs="0"'
    pair = "associativeMultiEntity" if operand == "strings" else "associativeEntity"
    value = "t:ArrayOfString" if operand == "strings" else "x:string"
    schema = (
        array("ArrayOfString", "x:string")
        + _struct(pair, _field("key") + _field("value", value), "sequence")
        + _struct("complexFilter", _field("key") + _field("value", f"t:{pair}"), "sequence")
        + array("complexFilterArray", "t:complexFilter")
        + _struct("filters", _field("complex_filter", "t:complexFilterArray", optional), "sequence")
        + _struct("magentoInfoEntity", _field("magento_version") + _field("magento_edition"), "sequence")
        + body("loginParam", _field("username") + _field("apiKey"))
        + body("loginResponseParam", _field("result"))
        + body("endSessionParam", _field("sessionId"))
        + body("endSessionResponseParam", _field("result", "x:boolean"))
        + body("magentoInfoRequestParam", _field("sessionId"))
        + body("magentoInfoResponseParam", _field("result", "t:magentoInfoEntity"))
        + more
    )
    for name, fields in LISTS.items():
        schema += _struct(f"{name}Entity", "".join(_field(field, more=optional) for field in fields), "sequence")
        schema += array(f"{name}EntityArray", f"t:{name}Entity")
        schema += body(f"{name}RequestParam", _field("sessionId") + _field("filters", "t:filters"))
        schema += body(f"{name}ResponseParam", _field("result", f"t:{name}EntityArray"))
    operations = ["login", "endSession", "magentoInfo", *LISTS]
    parts = ""
    for name in operations:
        request = f"{name}Param" if name in {"login", "endSession"} else f"{name}RequestParam"
        for message, element in ((name, request), (f"{name}Response", f"{name}ResponseParam")):
            parts += f'<message name="{message}"><part name="parameters" element="t:{element}"/></message>'
    return _head(namespace, schema) + parts + _ports(operations, "document", namespace)


def _ports(operations: list[str], style: str, namespace: str) -> str:
    use = (
        f'use="encoded" namespace="{namespace}" encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"'
        if style == "rpc"
        else 'use="literal"'
    )
    abstract = "".join(
        f'<operation name="{name}"><input message="t:{name}"/><output message="t:{name}Response"/></operation>'
        for name in operations
    )
    concrete = "".join(
        f"""<operation name="{name}"><soap:operation soapAction="urn:ShopAction"/>
          <input><soap:body {use}/></input><output><soap:body {use}/></output></operation>"""
        for name in operations
    )
    return f"""<portType name="PortType">{abstract}</portType>
      <binding name="Binding" type="t:PortType">
        <soap:binding style="{style}" transport="http://schemas.xmlsoap.org/soap/http"/>{concrete}
      </binding>"""
