"""Clients for the tests of the embedded shop: zeep, and requests written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zeep
from lxml import etree
from zeep.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magento_pager.fake import Shop

ENCODING = "http://schemas.xmlsoap.org/soap/encoding"
_SCHEMA = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:e="http://schemas.xmlsoap.org/soap/encoding/"
  targetNamespace="http://schemas.xmlsoap.org/soap/encoding/">
  <xs:attribute name="arrayType" type="xs:string"/>
  <xs:group name="Array">
    <xs:sequence><xs:any namespace="##any" minOccurs="0" maxOccurs="unbounded" processContents="lax"/></xs:sequence>
  </xs:group>
  <xs:complexType name="Array">
    <xs:group ref="e:Array" minOccurs="0"/>
    <xs:attribute ref="e:arrayType"/>
    <xs:anyAttribute namespace="##other" processContents="lax"/>
  </xs:complexType>
</xs:schema>"""

Simple = "Sequence[tuple[str, str]]"
Complex = "Sequence[tuple[str, str, str]]"


class OfflineTransport(Transport):
    """zeep's transport, with a local copy of the schema of SOAP encoding and, if given, of the WSDL."""

    def __init__(self, wsdl: bytes = b"", **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # zeep ships no types
        self._wsdl = wsdl

    def load(self, url: str) -> Any:
        """Return the document at an address."""
        if url.rstrip("/") == ENCODING:
            return _SCHEMA
        return self._wsdl or super().load(url)  # type: ignore[no-untyped-call]


def client(wsdl: Shop | bytes) -> Any:
    """Return a zeep client of a shop, or of a WSDL."""
    if isinstance(wsdl, bytes):
        return zeep.Client("http://localhost/?wsdl=1", transport=OfflineTransport(wsdl))
    return zeep.Client(f"{wsdl.url}?wsdl=1", transport=OfflineTransport())


def filters(
    zeep_client: Any,
    simple: Sequence[tuple[str, str]] = (),
    complex_: Sequence[tuple[str, str, str]] = (),
) -> Any:
    """Return filters in the form that zeep needs: typed objects in RPC, dicts in WS-I."""
    namespace = zeep_client.wsdl.types.prefix_map["ns0"]
    types = zeep_client.type_factory(namespace)
    if zeep_client.service._binding.name.localname == "Binding":  # noqa: SLF001 -- zeep has no public way to ask
        arrays = {
            "filter": [{"key": key, "value": value} for key, value in simple],
            "complex_filter": [
                {"key": key, "value": {"key": operator, "value": value}} for key, operator, value in complex_
            ],
        }
        return {name: {"complexObjectArray": items} for name, items in arrays.items() if items}
    pair = types.associativeEntity
    arguments = {}
    if simple:
        arguments["filter"] = types.associativeArray([pair(key=key, value=value) for key, value in simple])
    if complex_:
        arguments["complex_filter"] = types.complexFilterArray(
            [types.complexFilter(key=key, value=pair(key=operator, value=value)) for key, operator, value in complex_],
        )
    return types.filters(**arguments)


def message(zeep_client: Any, operation: str, *arguments: Any) -> bytes:
    """Return the request that zeep would send."""
    return bytes(etree.tostring(zeep_client.create_message(zeep_client.service, operation, *arguments)))


def envelope(inner: str, namespace: str = "urn:OpenMage") -> bytes:
    """Return a request written by hand: `n` is the prefix of its namespace, the others are those of SOAP requests."""
    return (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:x="http://www.w3.org/2001/XMLSchema"'
        ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance" xmlns:c="http://schemas.xmlsoap.org/soap/encoding/"'
        f' xmlns:n="{namespace}"><e:Body>{inner}</e:Body></e:Envelope>'
    ).encode()
