"""A shop's WSDL as zeep reads it: the address of calls, their requests, and the shapes of their replies.

What lives here: zeep (no other module of `shop` imports it), and the shapes of replies as plain data, taken from the
types zeep read. This module fetches the WSDL and makes no calls; sessions and faults belong to `connection`.
"""

from __future__ import annotations

import logging
import re
import warnings
from contextlib import suppress
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import zeep
import zeep.exceptions
import zeep.xsd
from lxml import etree
from zeep.proxy import ServiceProxy
from zeep.wsdl.bindings import Soap11Binding

from magento_pager.errors import MalformedReplyError, RemoteError, TransportError
from magento_pager.shop.decoding import ANYTHING, Array, Forms, Leaf, RecordShape, ReplyShape, Shape, Struct
from magento_pager.shop.failures import BLANK, adapted_to_no_rows, body_error, status_error
from magento_pager.shop.origins import canonical_url, check_secrecy, origin, redacted_url
from magento_pager.shop.transport import OK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lxml.etree import _Element as Element

    from magento_pager.lists import ListSpec
    from magento_pager.shop.transport import HttpSession
    from magento_pager.walk.conditions import Condition

ENCODING_SCHEMA = "http://schemas.xmlsoap.org/soap/encoding"
MOST_DOCUMENTS = 20  # of one WSDL, which has one or two; endless references would end in a RecursionError
_SOAP_V2 = ("v2_soap", "soap_v2", "soap_wsi")
_ASKS_FOR_WSDL = re.compile(r"(^|&)wsdl\b")
ALL_STORES = "0"  # any other store may restrict products to its website
XSD = "http://www.w3.org/2001/XMLSchema"
XSD_TYPES = frozenset(type_.qname.localname for type_ in zeep.xsd.types.builtins.default_types.values() if type_.qname)
ARRAY_TYPE_OF_WSDL = "{http://schemas.xmlsoap.org/wsdl/}arrayType"
ANY_ELEMENT = "any-element"
"""The name given to an element that stands for any other, where zeep accepts none."""
_MORE_ARGUMENTS = {
    "store": ALL_STORES,
    "storeView": ALL_STORES,
    "identifierType": "id",
    "productIdentifierType": "id",
}
"""Of operations for one record; a product's key could otherwise be taken for a SKU."""

_WSDL_START = re.compile(rb"(<\?xml[^>]*\?>)?(\s|<!--((?!-->).)*-->)*<([\w.-]+:)?(definitions|schema)\b", re.DOTALL)

log = logging.getLogger(__name__)


class Wsdl:
    """A shop's WSDL and everything derived from it, which is replaced as a whole when the WSDL changes.

    Attributes:
        client: zeep's.
        documents: the bytes of the WSDL, and of every document it refers to.
        location: the address of the WSDL.
        binding: zeep's, of the operations.
        address: the address of calls.
        flavour: "rpc" or "wsi".
        namespace: its target namespace.
    """

    def __init__(self, client: Any, documents: tuple[bytes, ...]) -> None:
        self.client = client
        self.documents = documents
        self.location: str = client.wsdl.location
        port, self.address = _soap_port(client)
        self.binding = port.binding
        self._service = ServiceProxy(client, port.binding, **port.binding_options)
        styles = {operation.style for operation in self.binding.all().values()}
        self.flavour = "rpc" if "rpc" in styles else "wsi"
        self.namespace: str = self.binding.name.namespace
        self._shapes: dict[str, tuple[ReplyShape, Forms]] = {}
        self._records: dict[str, RecordShape] = {}

    def has(self, operation: str) -> bool:
        """Return True if it declares the operation."""
        return operation in self.binding.all()

    def check_has(self, spec: ListSpec) -> None:
        """Refuse a list that it does not declare."""
        if not self.has(spec.operation):
            since = f"; Magento has that list since {spec.since}" if spec.since else ""
            hint = "" if self.has("salesOrderList") else ". Use the address of SOAP V2, .../api/v2_soap/?wsdl=1"
            raise RemoteError(f"{spec.operation}: this shop's WSDL has no {spec.name}{since}{hint}")

    def list_request(self, operation: str, session: str, conditions: Sequence[Condition]) -> Element:
        """Return the request of a list, with the conditions in the WSDL's own types.

        Their names and nesting are read from the types: 1.7.0.0 alone declares the operand as anyType (RPC) or as a
        list (WS-I).
        """
        try:
            parts = self._parts(operation)
            filters = parts["filters"].type
            array = dict(filters.elements)["complex_filter"].type
            item = _item_type(array)
            pair = dict(item.elements)["value"].type
            operand = dict(pair.elements)["value"].type
            items = [
                item(key=condition.field, value=pair(key=condition.operator, value=_operand(operand, condition.value)))
                for condition in conditions
            ]
            whole = filters(complex_filter=_array_of(array, items))
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise MalformedReplyError(
                f"{operation}: the shop's WSDL declares filters in an unknown form: {error!r}"
            ) from None
        stores = dict.fromkeys({"store", "storeView"} & parts.keys(), ALL_STORES)
        request = self.message(operation, {"sessionId": session, "filters": whole, **stores})
        check_rendered(request, conditions, operation)
        return request

    def record_request(self, operation: str, session: str, key: str) -> Element:
        """Return the request of one record, with the operation's further arguments.

        The names of the arguments differ between versions; their order does not.
        """
        first, second, *others = self._parts(operation)
        more = {name: _MORE_ARGUMENTS.get(name, zeep.xsd.SkipValue) for name in others}
        return self.message(operation, {first: session, second: key, **more})

    def shape(self, operation: str) -> tuple[ReplyShape, Forms]:
        """Return the shape of the list's replies, and the forms of row found in them so far."""
        if operation not in self._shapes:
            self._shapes[operation] = reply_shape(self.binding.get(operation)), Forms()
        return self._shapes[operation]

    def record_shape(self, operation: str) -> RecordShape:
        """Return the shape of the reply of an operation for one record."""
        if operation not in self._records:
            body = self._declared(operation).output.body
            (result, element), *others = body.type.elements
            if others or not isinstance(element.type, zeep.xsd.ComplexType):
                raise MalformedReplyError(f"{operation}: by the WSDL, the reply is not a record")
            self._records[operation] = RecordShape(operation, body.qname.text, result, shape_of(element.type, {}))
        return self._records[operation]

    def message(self, operation: str, arguments: dict[str, Any]) -> Element:
        """Return the request of a call.

        Raises:
            RemoteError: there is no such operation, or it does not take these arguments.
        """
        self._declared(operation)
        try:
            message: Element = self.client.create_message(self._service, operation, **arguments)
        except (zeep.exceptions.Error, AttributeError, TypeError, ValueError) as error:
            raise RemoteError(f"{operation}: this shop's WSDL does not allow the request: {error}") from None
        return message

    def _declared(self, operation: str) -> Any:
        """Return an operation as zeep read it."""
        if not self.has(operation):
            raise RemoteError(f"{operation}: this shop's WSDL does not declare it")
        return self.binding.get(operation)

    def _parts(self, operation: str) -> dict[str, Any]:
        """Return the input parts of an operation and their zeep elements."""
        return dict(self._declared(operation).input.body.type.elements)


def load(http: HttpSession, address: str) -> Wsdl:
    """Load the WSDL at an address.

    Args:
        http: fetches it, and every document it refers to.
        address: of the WSDL.

    Raises:
        TransportError: it cannot be fetched.
        MalformedReplyError: the document is not the WSDL of a Magento.
    """
    loader = _Loader(http)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # zeep skips what modules broke; so must we
            client = zeep.Client(address, transport=loader, settings=zeep.Settings(strict=True, xml_huge_tree=False))
    except (
        zeep.exceptions.Error,
        etree.XMLSyntaxError,
        AssertionError,
        AttributeError,
        LookupError,
        TypeError,
    ) as error:
        why = "It is broken, usually by a module"
        if loader.documents and not loader.documents[-1].endswith(b">"):
            why = "It was cut short: PHP failed, or prints something before it, so that Content-Length is too short"
        raise MalformedReplyError(
            f"the WSDL of {redacted_url(address)} cannot be used: {http.redacted(str(error))}. {why}"
        ) from None
    return Wsdl(client, tuple(loader.documents))


def find(http: HttpSession, candidates: Sequence[str]) -> Wsdl:
    """Load the WSDL at the first of some addresses that has one; raise as `load` does."""
    for candidate in candidates[:-1]:
        try:
            return load(http, candidate)
        except (TransportError, MalformedReplyError) as error:
            if isinstance(error, TransportError) and error.status in {None, 401, 429, 503}:
                raise  # the next address would fail the same way
            log.debug("no WSDL at %s: %s", redacted_url(candidate), error)
    return load(http, candidates[-1])


def check_address(http: HttpSession, wsdl: Wsdl) -> None:
    """Refuse a WSDL that sends calls, and the key with them, to an address that the user did not allow.

    Raises:
        ValueError: calls would go to another host, or unencrypted.
    """
    if not http.admits(wsdl.address):
        shop, target = origin(wsdl.location), origin(wsdl.address)
        shown = target if target.place == shop.place else target.place
        raise ValueError(
            http.redacted(
                f"the WSDL of {shop.place} sends calls to {shown}. Connect to {shown} itself, or allow it with "
                f"allow_hosts=[{target.place!r}] (--allow-host {target.place})"
            )
        )
    check_secrecy(wsdl.address, insecure_http=http.options.insecure_http)


def wsdl_candidates(url: str) -> list[str]:
    r"""Return the possible addresses of the WSDL of SOAP V2, the likeliest first.

    Args:
        url: of the shop, of any of its APIs, or of a WSDL.

    Raises:
        ValueError: it is not an address of http or https.

    >>> wsdl_candidates("https://shop.example")
    ['https://shop.example/api/v2_soap/?wsdl=1', 'https://shop.example/index.php/api/v2_soap/?wsdl=1']
    >>> wsdl_candidates("https://shop.example/index.php/api/v2_soap/")
    ['https://shop.example/index.php/api/v2_soap/?wsdl=1']
    >>> wsdl_candidates("https://shop.example/index.php/api/xmlrpc")
    ['https://shop.example/index.php/api/v2_soap/?wsdl=1', 'https://shop.example/api/v2_soap/?wsdl=1']
    >>> wsdl_candidates(" https://shop.example/api-secret.php?type=soap_v2\n")
    ['https://shop.example/api-secret.php?type=soap_v2&wsdl=1']
    """
    canonical_url(url)  # raises for anything but an address
    parts = urlsplit(url.strip())._replace(fragment="")
    parts = parts._replace(path=re.sub(r"(/index){2,}/?$", "/", parts.path))
    site = f"{parts.scheme}://{parts.netloc}"
    api = re.search(r"(?:^|&)type=(\w*)", parts.query)
    if parts.path.endswith("/api.php") or (parts.path.endswith(".php") and api):
        if api and api[1] in _SOAP_V2:
            return [parts.geturl() if _ASKS_FOR_WSDL.search(parts.query) else f"{parts.geturl()}&wsdl=1"]
        return [f"{site}{parts.path}?type={kind}&wsdl=1" for kind in _SOAP_V2]
    if api_path := re.fullmatch(r"(.*?)/api(/(soap|xmlrpc|jsonrpc))?(/(?!v2_soap|soap_v2|soap_wsi).*)?", parts.path):
        parts = parts._replace(path=api_path[1], query="")
    if re.search(r"(^|[/?&])wsdl\b", f"{parts.path}?{parts.query}"):
        return [parts.geturl()]
    if re.search(r"/api/(v2_soap|soap_v2|soap_wsi)(/index)?/?$", parts.path):
        return [f"{parts.geturl()}{'&' if parts.query else '?'}wsdl=1"]
    base, index, store = parts.path.rstrip("/").partition("/index.php")
    paths = [f"{base}/index.php{store}", f"{base}{store}"]
    return [f"{site}{path}/api/v2_soap/?wsdl=1" for path in (paths if index else reversed(paths))]


def check_rendered(request: Element, conditions: Sequence[Condition], operation: str) -> None:
    """Refuse a request without the whole query: zeep drops filters in a shape that it does not expect.

    Raises:
        RemoteError: a condition is missing, altered, or in another place.
    """
    written = [_condition_in(item) for filters in request.iter("complex_filter") for item in filters]
    expected = [(condition.field, condition.operator, condition.value) for condition in conditions]
    if written != expected or next(request.iter("filter"), None) is not None:
        raise RemoteError(
            f"{operation}: the request would not carry the whole query: it has {written!r} instead of {expected!r}"
        )


def _condition_in(item: Element) -> tuple[str | None, ...]:
    """Return the field, operator and value of one element of a complex filter, and any further texts in it."""
    paths = ["key", "value/key", "value/value/*" if len(item.findall("value/value/*")) else "value/value"]
    more = [node.text for node in item.iter() if len(node) == 0][len(paths) :]
    return (*(item.findtext(path) for path in paths), *more)


def reply_shape(operation: Any) -> ReplyShape:
    """Return the shape of a list's replies from the types in the WSDL.

    Args:
        operation: as zeep read it.

    Raises:
        MalformedReplyError: it is not a list of records.
    """
    body = operation.output.body
    (result, element), *others = body.type.elements
    if others or not isinstance(element.type, zeep.xsd.ComplexType):
        raise MalformedReplyError(f"{operation.name}: by the WSDL, the reply is not a list")
    row = shape_of(_item_type(element.type), {})
    if not isinstance(row, Struct):
        raise MalformedReplyError(f"{operation.name}: by the WSDL, the reply is a list of values, not of records")
    counted = _is_encoded_array(element.type)
    item = "item" if counted else element.type.elements[0][0]
    return ReplyShape(operation.name, body.qname.text, result, element.type.qname.text, item, row, counted)


def shape_of(declared: Any, known: dict[int, Shape]) -> Shape:
    """Return the shape of a zeep type in a reply.

    Args:
        declared: the zeep type.
        known: types already found by this call, because a type may contain itself.
    """
    if type(declared) in {zeep.xsd.AnyType, zeep.xsd.AnySimpleType}:
        return ANYTHING
    if not isinstance(declared, zeep.xsd.ComplexType):
        return Leaf(declared.qname.text, isinstance(declared, zeep.xsd.Integer))
    if id(declared) in known:
        return known[id(declared)]
    if _is_encoded_array(declared):
        return Array(declared.qname.text, shape_of(_item_type(declared), known))
    fields: dict[str, Shape] = {}
    elements = [(name, element) for name, element in declared.elements if not _is_wildcard(name, element)]
    ordered = isinstance(declared._element, zeep.xsd.Sequence)  # noqa: SLF001  zeep has no public name for it
    shape = Struct(
        declared.qname.text,
        fields,
        ordered,
        required=frozenset(name for name, element in elements if ordered and not element.is_optional),
        repeated=frozenset(name for name, element in elements if element.accepts_multiple),
        open=len(elements) < len(declared.elements),
    )
    known[id(declared)] = shape
    fields.update((name, shape_of(element.type, known)) for name, element in elements)
    return shape


def _is_wildcard(name: str, element: Any) -> bool:
    """Return True for an element that stands for any other."""
    return name == ANY_ELEMENT or isinstance(element, zeep.xsd.Any)


def _is_encoded_array(declared: Any) -> bool:
    """Return True for a SOAP-encoded array (RPC); WS-I's arrays are records with one repeated element."""
    return declared._array_type is not None  # noqa: SLF001  zeep has no public name for it


def _item_type(array: Any) -> Any:
    """Return the type of an array's items, in either flavour."""
    if _is_encoded_array(array):
        return array._array_type.array_type  # noqa: SLF001  zeep has no public name for it
    return array.elements[0][1].type


def _array_of(array: Any, items: list[Any]) -> Any:
    if _is_encoded_array(array):
        return array(items)
    return array(**{array.elements[0][0]: items})


def _operand(declared: Any, value: str) -> Any:
    if isinstance(declared, zeep.xsd.ComplexType):
        return _array_of(declared, [value])
    if isinstance(declared, zeep.xsd.AnySimpleType):
        return value
    return zeep.xsd.AnyObject(zeep.xsd.String(), value)


def _soap_port(client: Any) -> tuple[Any, str]:
    """Return the first port for SOAP 1.1 of a WSDL, in any service, and the address of its calls."""
    for service in client.wsdl.services.values():
        for port in service.ports.values():
            address = (port.binding_options.get("address") or "").strip()
            if isinstance(port.binding, Soap11Binding):
                with suppress(ValueError):  # it is not an address
                    origin(address)
                    parts = urlsplit(address)
                    # A password in it would be shown with the address; calls carry that of --basic-auth.
                    return port, urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    raise MalformedReplyError(f"the WSDL at {redacted_url(client.wsdl.location)} has no address for SOAP calls")


class _Loader:
    """A transport for zeep: fetches documents of the shop, and has a copy of the one public schema that is needed."""

    def __init__(self, http: HttpSession) -> None:
        self._http = http
        self.documents: list[bytes] = []

    def load(self, url: str) -> bytes:
        """Return the document at an address; zeep calls this for the WSDL and for every document it refers to."""
        if url.rstrip("/") == ENCODING_SCHEMA:
            return resources.files(__package__).joinpath("encoding.xsd").read_bytes()
        if not self._http.admits(url):
            raise MalformedReplyError(
                f"the WSDL refers to {self._http.redacted(url)}, on another host or port. If you trust it, allow it "
                "with --allow-host"
            )
        address = self._http.redacted(redacted_url(url))
        subject = f"the WSDL at {address}"
        if len(self.documents) == MOST_DOCUMENTS:
            raise MalformedReplyError(f"{subject} refers to more than {MOST_DOCUMENTS} documents")
        try:
            with self._http.get(url, subject) as reply:
                if reply.status != OK:
                    body = reply.error_body()
                    raise status_error(
                        reply.status, subject, body, redact=self._http.redacted, pause=reply.pause, purpose="WSDL"
                    )
                body = reply.body().strip(BLANK)
            if not _WSDL_START.match(body):
                raise body_error(body, address, "WSDL", redact=self._http.redacted)
        except RemoteError as error:
            raise adapted_to_no_rows(error) from None
        self.documents.append(body)
        return with_known_types(body)


def with_known_types(document: bytes) -> bytes:
    """Return a document of a WSDL with types that zeep knows.

    Extensions declare columns of invalid types, such as xsd:any, or of types that only PHP knows, such as those of
    SOAP's encoding, and wildcards where XML Schema allows none. All of these become xsd:anyType.
    """
    try:
        root = etree.fromstring(document, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    except etree.XMLSyntaxError:
        return document  # zeep reports the error
    changed = False
    for element in root.iter(f"{{{XSD}}}element", f"{{{XSD}}}attribute", f"{{{XSD}}}any"):
        namespaces = element.nsmap  # made anew each time, and a WSDL has thousands of elements
        if element.tag == f"{{{XSD}}}any":
            parent = element.getparent()
            if parent is not None and parent.tag == f"{{{XSD}}}all":
                element.tag, changed = f"{{{XSD}}}element", True
                element.attrib.clear()
                element.attrib.update({"name": ANY_ELEMENT, "type": _anything(namespaces), "minOccurs": "0"})
            continue
        for attribute, brackets in (("type", ""), (ARRAY_TYPE_OF_WSDL, "[]")):
            prefix, _, name = element.get(attribute, "").removesuffix(brackets).rpartition(":")
            namespace = namespaces.get(prefix or None)
            if name and (
                (namespace == XSD and name not in XSD_TYPES) or (namespace or "").rstrip("/") == ENCODING_SCHEMA
            ):
                element.set(attribute, f"{_anything(namespaces)}{brackets}")
                changed = True
    return etree.tostring(root, xml_declaration=True, encoding="utf-8") if changed else document


def _anything(namespaces: Mapping[str | None, str]) -> str:
    """Return the qualified name of xsd:anyType under these declarations."""
    return next(f"{prefix}:anyType" if prefix else "anyType" for prefix, name in namespaces.items() if name == XSD)
