"""The parts of a WSDL: fields and operations, and a short notation for them. No particular one is defined here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

Flavour: TypeAlias = Literal["rpc", "wsi"]

_SIMPLE = {"string", "int", "boolean", "double", "anyType"}
_WSI_NAMES = {"storeView": "store"}
"""Arguments with another name in WS-I."""


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a record, or one argument or result of an operation.

    Attributes:
        name: the element.
        type: `xsd:string`, `xsd:int`, `xsd:boolean`, or the name of a type of the WSDL itself, without a prefix.
        required: declared without `minOccurs="0"`: a NULL is sent as nil instead of being omitted.
    """

    name: str
    type: str = "xsd:string"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    Attributes:
        name: as in the WSDL.
        inputs: its arguments, in order; the names are those of RPC.
        result: the only part of its RPC reply. In WS-I the part is always called `result`.
        since: the first version that has it.
        short: in WS-I the arguments are wrapped in `loginParam`, not in `loginRequestParam`.
    """

    name: str
    inputs: tuple[Field, ...]
    result: Field
    since: tuple[int, ...] = ()
    short: bool = False

    def request_element(self, flavour: Flavour) -> str:
        """Return the element inside the SOAP body of a request.

        >>> from magento_pager.fake.schema import OPERATIONS
        >>> OPERATIONS["login"].request_element("wsi"), OPERATIONS["storeList"].request_element("wsi")
        ('loginParam', 'storeListRequestParam')
        """
        if flavour == "rpc":
            return self.name
        return self.name + ("Param" if self.short else "RequestParam")

    def reply_element(self, flavour: Flavour) -> str:
        """Return the element inside the SOAP body of a reply.

        >>> from magento_pager.fake.schema import OPERATIONS
        >>> OPERATIONS["login"].reply_element("rpc"), OPERATIONS["login"].reply_element("wsi")
        ('loginResponse', 'loginResponseParam')
        """
        return self.name + ("Response" if flavour == "rpc" else "ResponseParam")

    def reply_part(self, flavour: Flavour) -> Field:
        """Return the element that holds the result.

        >>> from magento_pager.fake.schema import OPERATIONS
        >>> OPERATIONS["customerCustomerList"].reply_part("rpc").name
        'storeView'
        """
        return self.result if flavour == "rpc" else Field("result", self.result.type, required=True)

    def arguments(self, flavour: Flavour) -> tuple[Field, ...]:
        """Return the arguments with their names in that flavour.

        >>> from magento_pager.fake.schema import OPERATIONS
        >>> [field.name for field in OPERATIONS["catalogProductList"].arguments("wsi")]
        ['sessionId', 'filters', 'store']
        """
        if flavour == "rpc":
            return self.inputs
        return tuple(replace(field, name=_WSI_NAMES.get(field.name, field.name)) for field in self.inputs)


def read_field(text: str) -> Field:
    """Read a field from `name:type`, by default a string; `?` at the end makes it optional.

    >>> read_field("store_id:int"), read_field("region?").required
    (Field(name='store_id', type='xsd:int', required=True), False)
    """
    name, _, kind = text.rstrip("?").partition(":")
    plain = kind or "string"
    return Field(name, f"xsd:{plain}" if plain in _SIMPLE else plain, required=not text.endswith("?"))


def read_fields(names: str) -> tuple[Field, ...]:
    """Read fields as in `read_field`, separated by blanks."""
    return tuple(map(read_field, names.split()))


def optional_fields(names: str) -> tuple[Field, ...]:
    """Read fields that are all optional."""
    return tuple(read_field(f"{name}?") for name in names.split())


def operation(name: str, inputs: str, result: str, since: tuple[int, ...] = (), *, short: bool = False) -> Operation:
    """Return an operation, its arguments and its result given as in `read_field`."""
    return Operation(name, read_fields(inputs), read_field(result), since, short)
