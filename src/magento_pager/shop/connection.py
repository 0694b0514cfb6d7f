"""A shop behind its WSDL: both flavours, the session, and what its faults mean.

What lives here: zeep (this is the only module that imports it), which reads the WSDL and builds every request; the
login; and the words with which faults are passed on. It does not know which strategy asked, and it does not read rows:
it tells `decoding` their shape as plain data, taken from the types zeep read.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urljoin, urlsplit

import zeep
import zeep.exceptions
import zeep.xsd
from lxml import etree
from zeep.wsdl.bindings import Soap11Binding

from magento_pager.errors import FaultError, MalformedReplyError, PagerError, RemoteError, TransportError
from magento_pager.shop.decoding import (
    Array,
    Forms,
    Leaf,
    ReplyFaultError,
    ReplyShape,
    Shape,
    Struct,
    decode,
    decode_small,
    plain,
)
from magento_pager.shop.transport import (
    HttpOptions,
    HttpReply,
    HttpSession,
    bare,
    check_secrecy,
    redacted,
    status_error,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from lxml.etree import _Element as Element

    from magento_pager.shop.operations import Operation
    from magento_pager.walk.conditions import Condition, Query
    from magento_pager.walk.reading import Row

ENCODING_SCHEMA = "http://schemas.xmlsoap.org/soap/encoding"
WSDL_PATHS = ("api/v2_soap/?wsdl=1", "index.php/api/v2_soap/?wsdl=1")
SESSION_EXPIRED = "5"
ALL_STORES = "0"  # any other store may restrict products to its website
FAREWELL = 10.0  # seconds that ending a session may take at most: one that is not ended will expire
OK = 200

_ADVICE = {
    "0": "the server gives no reason; a filter names something the list does not have",
    "1": "the server's own error",
    "2": "the server says the same for a wrong user or key and for a missing right: check --user and --key, and that "
    "the API user is active and its role {allowed}",
    "3": "the server does not know this API path",
    "4": "the server cannot call this API path",
    "5": "the session ended and a new login did not help; is the session timeout of the shop's API near zero?",
    "6": "the server misses a parameter; is this the right WSDL for it?",
    "101": "the server refuses a filter",
    "WSDL": "the server cannot fetch its own WSDL: enable the WSDL cache (System, Configuration, Magento Core API) and "
    "see that the server can reach its own address",
}
_ADVICE_BY_WORDS = {
    "Allowed memory size": "so many rows are more than its memory takes: choose a smaller --window",
    "Maximum execution time": "so many rows take it too long: choose a smaller --window",
    "with the same id": "the row has two addresses of one kind in the database, and fails every window it is in",
    "SOAP-ERROR: Encoding": "a row holds a text that is not UTF-8, and fails every window it is in",
    "not present": "the server does not speak as its WSDL says: is it this shop's WSDL, or an old one?",
}

_WSDL_START = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*\?>)?(\s|<!--((?!-->).)*-->)*<([\w.-]+:)?(definitions|schema)\b", re.DOTALL
)

log = logging.getLogger(__name__)


class Connection:
    """One shop, one API user.

    The session is begun at the first call and again when it has expired; `close` ends it. Safe to use from several
    threads.

    Attributes:
        flavour: "rpc" or "wsi", as the WSDL says.
        namespace: the WSDL's target namespace.
        address: where calls go, as the WSDL says.
        bytes_received: of all replies to lists so far, unpacked.
        server_date: the `Date` header of the last answer, the server's own clock; None before the first or without one.
    """

    def __init__(self, url: str, user: str, key: str, options: HttpOptions | None = None) -> None:
        """Fetch and read the WSDL.

        Args:
            url: the shop's base address, its SOAP endpoint, or the address of its WSDL.
            user: the API user.
            key: the API key.
            options: how the shop is reached.

        Raises:
            ValueError: the address cannot be one of a shop.
            TransportError: the WSDL could not be fetched.
            MalformedReplyError: what was fetched is no WSDL of a Magento.
        """
        self._user = user
        self._key = key
        self._session_id: str | None = None
        self._closed = False
        self._login = threading.Lock()
        self._shapes: dict[str, tuple[ReplyShape, Forms]] = {}
        self._http = HttpSession(options or HttpOptions())
        self.bytes_received = 0
        self.server_date: str | None = None
        try:
            self._client = self._found(wsdl_candidates(url))
            self._binding, self.address = _soap_port(self._client)
            self._check_address(url)
        except BaseException:
            self._http.close()
            raise
        some_operation = next(iter(self._binding.all().values()))
        self.flavour = "rpc" if some_operation.style == "rpc" else "wsi"
        self.namespace: str = self._binding.name.namespace

    def __repr__(self) -> str:
        return f"<Connection to {self.address}, {self.flavour}>"

    def has(self, operation: str) -> bool:
        """True where the shop's WSDL declares the operation."""
        return operation in self._binding.all()

    def login(self) -> None:
        """Begin a session, unless there is one.

        Raises:
            FaultError: the shop refuses this user and key.
        """
        self._session()

    def call(self, operation: str, **arguments: Any) -> Any:
        """A short call, in a session: its value as text, or as a dict of texts.

        Raises:
            RemoteError: it failed.
        """
        return self._in_session(operation, lambda session: self._short(operation, sessionId=session, **arguments))

    def rows(self, operation: Operation, conditions: Sequence[Condition]) -> Generator[Row]:
        """The rows of a list that satisfy all conditions, as they arrive.

        Args:
            operation: the list.
            conditions: at least one: without any the shop would send its whole table.

        Raises:
            ValueError: there is no condition, or the connection is closed.
            RemoteError: the call failed; rows delivered before are not all there were.
        """
        if not conditions:
            raise ValueError(f"{operation.name}: without a condition the shop would send its whole table at once")
        if not self.has(operation.name):
            since = f"; the list came with Magento {operation.since}" if operation.since else ""
            other = "" if self.has("salesOrderList") else "; is this the address of SOAP V2, .../api/v2_soap/?wsdl=1?"
            raise RemoteError(f"{operation.name}: this shop's WSDL has no {operation.entity}{since}{other}")
        for attempt in (1, 2):
            session = self._session()
            try:
                yield from self._rows(operation, conditions, session)
            except ReplyFaultError as fault:
                # A fault comes instead of rows, never after some: the request may be rebuilt and sent again.
                if fault.code != SESSION_EXPIRED or attempt == 2:  # noqa: PLR2004  the second attempt is the last
                    raise explained(fault, operation.name, operation.right) from None
                self._forget(session)
            else:
                return

    def close(self) -> None:
        """End the session and close all connections; nothing is sent afterwards."""
        with self._login:
            self._closed = True
            session, self._session_id = self._session_id, None
        if session is not None:
            with suppress(PagerError, ReplyFaultError):  # a session that cannot be ended will expire
                self._short("endSession", timeout=FAREWELL, sessionId=session)
        self._http.close()

    def _session(self) -> str:
        with self._login:
            if self._closed:
                raise ValueError("this connection to the shop is closed; connect anew")
            if self._session_id is None:
                try:
                    answer = self._short("login", username=self._user, apiKey=self._key)
                except ReplyFaultError as fault:
                    raise explained(fault, "login", None) from None
                if not isinstance(answer, str) or not answer.strip():
                    raise MalformedReplyError("login: the shop answered without a session id")
                self._session_id = answer
            return self._session_id

    def _forget(self, session: str) -> None:
        """Log in anew at the next call, unless another thread already did."""
        with self._login:
            if self._session_id == session:
                self._session_id = None

    def _in_session(self, operation: str, send: Any) -> Any:
        session = self._session()
        try:
            return send(session)
        except ReplyFaultError as fault:
            if fault.code != SESSION_EXPIRED:
                raise explained(fault, operation, None) from None
        self._forget(session)
        try:
            return send(self._session())
        except ReplyFaultError as fault:
            raise explained(fault, operation, None) from None

    def _short(self, operation: str, *, timeout: float | None = None, **arguments: Any) -> Any:
        request = self._message(operation, arguments)
        with self._post(operation, request, timeout) as reply:
            return plain(_only_child(decode_small(reply.body(), operation), operation))

    def _rows(self, operation: Operation, conditions: Sequence[Condition], session: str) -> Generator[Row]:
        arguments = {"sessionId": session, "filters": self._filters(operation.name, conditions)}
        for store in {"store", "storeView"} & self._parts(operation.name).keys():
            arguments[store] = ALL_STORES
        request = self._message(operation.name, arguments)
        check_rendered(request, conditions, operation.name)
        shape, forms = self._shape(operation.name)
        with self._post(operation.name, request) as reply:
            try:
                yield from decode(reply.pieces(), shape, forms)
            finally:
                self.bytes_received += reply.bytes

    @contextmanager
    def _post(self, operation: str, request: Element, timeout: float | None = None) -> Generator[HttpReply]:
        """Send a call. An answer that is no success is an error; nothing that is raised within shows a secret."""
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": f'"{self._binding.get(operation).soapaction}"',
        }
        body = etree.tostring(request, xml_declaration=True, encoding="utf-8")
        try:
            with self._http.post(self.address, body, headers, operation, timeout) as reply:
                self.server_date = reply.date
                if reply.status != OK:
                    _refuse(reply, operation)
                yield reply
        except ReplyFaultError as fault:
            raise ReplyFaultError(fault.code, self._redacted(fault.text)) from None
        except RemoteError as error:
            error.args = (self._redacted(str(error)),)
            raise

    def _redacted(self, text: str) -> str:
        return redacted(text, self._key, self._session_id or "")

    def _message(self, operation: str, arguments: dict[str, Any]) -> Element:
        if not self.has(operation):
            raise RemoteError(f"{operation}: this shop's WSDL does not declare it")
        try:
            message: Element = self._client.create_message(self._client.service, operation, **arguments)
        except (zeep.exceptions.Error, AttributeError, TypeError, ValueError) as error:
            raise RemoteError(f"{operation}: no request fits this shop's WSDL: {self._redacted(str(error))}") from None
        return message

    def _parts(self, operation: str) -> dict[str, Any]:
        """The input parts of an operation and their zeep elements."""
        return dict(self._binding.get(operation).input.body.type.elements)

    def _filters(self, operation: str, conditions: Sequence[Condition]) -> Any:
        """The conditions as the WSDL's own types, whatever it calls them and however it nests them.

        Read from the types and not assumed: 1.7.0.0 alone declares the operand as anyType (RPC) or as a list (WS-I).
        """
        try:
            filters = self._parts(operation)["filters"].type
            array = dict(filters.elements)["complex_filter"].type
            item = _item_type(array)
            pair = dict(item.elements)["value"].type
            operand = dict(pair.elements)["value"].type
            items = [
                item(key=condition.field, value=pair(key=condition.operator, value=_operand(operand, condition.value)))
                for condition in conditions
            ]
            return filters(complex_filter=_array_of(array, items))
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise MalformedReplyError(
                f"{operation}: the shop's WSDL declares filters of an unknown form: {error!r}"
            ) from None

    def _shape(self, operation: str) -> tuple[ReplyShape, Forms]:
        """What the list's replies look like, and the forms of row met in them."""
        if operation not in self._shapes:
            self._shapes[operation] = reply_shape(self._binding.get(operation)), Forms()
        return self._shapes[operation]

    def _found(self, candidates: Sequence[str]) -> Any:
        """The zeep client of the first address that answers with a WSDL."""
        for candidate in candidates[:-1]:
            try:
                return self._load(candidate)
            except (TransportError, MalformedReplyError) as error:
                if isinstance(error, TransportError) and error.status in {None, 401, 429, 503}:
                    raise  # the next address would fare no better
                log.debug("no WSDL at %s: %s", bare(candidate), error)
        return self._load(candidates[-1])

    def _load(self, address: str) -> Any:
        """The zeep client of a WSDL."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # zeep passes over what modules broke; so must we
                client = zeep.Client(
                    address,
                    transport=_WsdlLoader(self._http, address),
                    settings=zeep.Settings(strict=True, xml_huge_tree=False),
                )
        except (zeep.exceptions.Error, etree.XMLSyntaxError, AttributeError, IndexError, KeyError, TypeError) as error:
            raise MalformedReplyError(
                f"what {bare(address)} answers is no WSDL that can be used: {redacted(str(error), self._key)}"
            ) from None
        return client

    def _check_address(self, url: str) -> None:
        """Refuse a WSDL that sends calls, and the key with them, where the user did not mean them to go."""
        asked, told = urlsplit(url).hostname, urlsplit(self.address).hostname
        if told != asked and told not in self._http.options.allow_hosts:
            raise ValueError(
                f"the WSDL of {asked} sends calls to {told}; connect to {told} itself, or allow it with "
                f"allow_hosts=[{told!r}] (--allow-host {told})"
            )
        check_secrecy(self.address, self._http.options)


@dataclass(frozen=True, slots=True)
class ListSource:
    """One list of one shop: a `Source` for a `Paginator`."""

    connection: Connection
    operation: Operation

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call."""
        return self.connection.rows(self.operation, query.conditions)


def wsdl_candidates(url: str) -> list[str]:
    """The addresses under which the WSDL may be found, likeliest first.

    Raises:
        ValueError: not an http address.

    >>> wsdl_candidates("https://shop.example")
    ['https://shop.example/api/v2_soap/?wsdl=1', 'https://shop.example/index.php/api/v2_soap/?wsdl=1']
    >>> wsdl_candidates("https://shop.example/index.php/api/v2_soap/")
    ['https://shop.example/index.php/api/v2_soap/?wsdl=1']
    >>> wsdl_candidates("https://shop.example/api/v2_soap/index/wsdl/1")
    ['https://shop.example/api/v2_soap/index/wsdl/1']
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"a shop's address begins with http:// or https:// and names a host, not {redacted(url)!r}")
    if parts.username is not None:
        raise ValueError(
            "an address is no place for a password: give the web server's user and password as --basic-auth"
        )
    if re.search(r"(^|[/?&])wsdl\b", f"{parts.path}?{parts.query}"):
        return [url]
    if re.search(r"/api/(v2_soap|soap_wsi)(/index)?/?$", parts.path) or parts.path.endswith("api.php"):
        return [f"{url}{'&' if parts.query else '?'}wsdl=1"]
    return [urljoin(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/", path) for path in WSDL_PATHS]


def check_rendered(request: Element, conditions: Sequence[Condition], operation: str) -> None:
    """Refuse a request that does not say the whole query: zeep drops filters given in a shape it does not expect.

    Raises:
        RemoteError: a condition is missing, altered, or in another place.
    """
    said = [_condition_in(item) for filters in request.iter("complex_filter") for item in filters]
    meant = [(condition.field, condition.operator, condition.value) for condition in conditions]
    if said != meant or next(request.iter("filter"), None) is not None:
        raise RemoteError(f"{operation}: the request would not carry the query: it says {said!r} for {meant!r}")


def _condition_in(item: Element) -> tuple[str | None, ...]:
    """What one element of a complex filter says: field, operator, value, and whatever else it holds."""
    places = ["key", "value/key", "value/value/*" if len(item.findall("value/value/*")) else "value/value"]
    more = [node.text for node in item.iter() if len(node) == 0][len(places) :]
    return (*(item.findtext(place) for place in places), *more)


def explained(fault: ReplyFaultError, operation: str, right: str | None) -> FaultError:
    """A fault with what it means and what to do.

    Args:
        fault: as the server sent it.
        operation: what was called.
        right: what the API user's role must allow for it, or None.
    """
    by_words = (advice for words, advice in _ADVICE_BY_WORDS.items() if words in fault.text)
    advice = next(by_words, None) or _ADVICE.get(fault.code, "the server gave up on the call")
    allowed = f"has the right {right!r}" if right else "has the rights it needs"
    text = " ".join(fault.text.split())
    shown = text if len(text) <= 300 else f"{text[:300]}..."  # noqa: PLR2004  a fault may hold a whole SQL statement
    return FaultError(
        f"{operation}: fault {fault.code}, {shown!r}: {advice.format(allowed=allowed)}",
        code=fault.code,
        text=fault.text,
        operation=operation,
    )


def reply_shape(operation: Any) -> ReplyShape:
    """What a list's replies look like, told from the types in the WSDL.

    Args:
        operation: as zeep read it.

    Raises:
        MalformedReplyError: it is no list of records.
    """
    body = operation.output.body
    (result, element), *others = body.type.elements
    if others or not isinstance(element.type, zeep.xsd.ComplexType):
        raise MalformedReplyError(f"{operation.name}: the WSDL promises no list")
    row = shape_of(_item_type(element.type), {})
    if not isinstance(row, Struct):
        raise MalformedReplyError(f"{operation.name}: the WSDL promises a list of values, not of records")
    item = "item" if _is_encoded_array(element.type) else element.type.elements[0][0]
    return ReplyShape(operation.name, body.qname.text, result, element.type.qname.text, item, row)


def shape_of(declared: Any, known: dict[int, Shape]) -> Shape:
    """What a zeep type looks like in a reply.

    Args:
        declared: the zeep type.
        known: types already seen in this call, so that a type may hold itself.
    """
    if not isinstance(declared, zeep.xsd.ComplexType):
        return Leaf(declared.qname.text, isinstance(declared, zeep.xsd.Integer))
    if id(declared) in known:
        return known[id(declared)]
    if _is_encoded_array(declared):
        return Array(declared.qname.text, shape_of(_item_type(declared), known))
    fields: dict[str, Shape] = {}
    elements = declared.elements
    ordered = isinstance(declared._element, zeep.xsd.Sequence)  # noqa: SLF001  zeep names it nowhere else
    shape = Struct(
        declared.qname.text,
        fields,
        ordered,
        required=frozenset(name for name, element in elements if ordered and not element.is_optional),
        repeated=frozenset(name for name, element in elements if element.accepts_multiple),
    )
    known[id(declared)] = shape
    fields.update((name, shape_of(element.type, known)) for name, element in elements)
    return shape


def _is_encoded_array(declared: Any) -> bool:
    """True for a SOAP-encoded array (RPC); WS-I's arrays are records with one repeated element."""
    return declared._array_type is not None  # noqa: SLF001  zeep names it nowhere else


def _item_type(array: Any) -> Any:
    """What an array holds, in either flavour."""
    if _is_encoded_array(array):
        return array._array_type.array_type  # noqa: SLF001  zeep names it nowhere else
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


def _only_child(payload: Element, operation: str) -> Element:
    if len(payload) != 1:
        raise MalformedReplyError(f"{operation}: the reply has {len(payload)} parts instead of one")
    return payload[0]


def _refuse(reply: HttpReply, operation: str) -> NoReturn:
    """Raise what an answer that is no success means: the fault in it, or else its status."""
    body = reply.body()
    with suppress(MalformedReplyError):
        decode_small(body, operation)
    raise status_error(reply.status, operation, _excerpt(body))


def _soap_port(client: Any) -> tuple[Any, str]:
    """The first SOAP binding of a WSDL, and where its calls go."""
    for service in client.wsdl.services.values():
        for port in service.ports.values():
            address = port.binding_options.get("address")
            if isinstance(port.binding, Soap11Binding) and urlsplit(address or "").hostname:
                return port.binding, address
    raise MalformedReplyError(f"the WSDL at {bare(client.wsdl.location)} does not say where SOAP calls go")


def _excerpt(body: bytes) -> str:
    """A page's title, or its first words."""
    text = body[:20_000].decode("utf-8", "replace")
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    words = " ".join(
        re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", title[1] if title else text, flags=re.DOTALL).split()
    )
    return words[:120]


class _WsdlLoader:
    """What zeep calls a transport: fetches documents of the shop itself, and has our own schema for a third host's."""

    def __init__(self, http: HttpSession, address: str) -> None:
        self._http = http
        self._hosts = {urlsplit(address).hostname} | http.options.allow_hosts

    def load(self, url: str) -> bytes:
        """The document at an address; called by zeep for the WSDL and for all it refers to."""
        if url.rstrip("/") == ENCODING_SCHEMA:
            return resources.files(__package__).joinpath("encoding.xsd").read_bytes()
        if urlsplit(url).scheme not in {"http", "https"} or urlsplit(url).hostname not in self._hosts:
            raise MalformedReplyError(
                f"the WSDL refers to {redacted(url)}, on another host; allow it with --allow-host if you trust it"
            )
        what = f"the WSDL at {bare(url)}"
        with self._http.get(url, what) as reply:
            body = reply.body()
            if reply.status != OK:
                raise status_error(reply.status, what, redacted(_excerpt(body)))
        if not _WSDL_START.match(body):
            raise MalformedReplyError(
                f"{bare(url)} answers with something else than a WSDL ({redacted(_excerpt(body))!r}): check the shop's "
                "address"
            )
        return body
