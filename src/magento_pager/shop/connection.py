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
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urljoin, urlsplit

import zeep
import zeep.exceptions
import zeep.xsd
from lxml import etree
from tenacity import Retrying, retry_if_exception, stop_before_delay
from zeep.wsdl.bindings import Soap11Binding

from magento_pager.errors import MalformedReplyError, PagerError, RemoteError, TransportError
from magento_pager.shop.decoding import (
    Array,
    Forms,
    Leaf,
    ReplyFaultError,
    ReplyShape,
    Shape,
    Struct,
    UnpromisedReplyError,
    decode,
    decode_small,
    plain,
)
from magento_pager.shop.failures import excerpt, fault_error, status_error
from magento_pager.shop.repairing import without_forbidden
from magento_pager.shop.transport import (
    HttpOptions,
    HttpReply,
    HttpSession,
    bare,
    check_secrecy,
    redacted,
)
from magento_pager.walk.reading import backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from lxml.etree import _Element as Element
    from tenacity import RetryCallState

    from magento_pager.errors import Remedy
    from magento_pager.shop.operations import Operation
    from magento_pager.walk.conditions import Condition, Query
    from magento_pager.walk.reading import Row

ENCODING_SCHEMA = "http://schemas.xmlsoap.org/soap/encoding"
WSDL_PATHS = ("api/v2_soap/?wsdl=1", "index.php/api/v2_soap/?wsdl=1")
SESSION_EXPIRED = "5"
ALL_STORES = "0"  # any other store may restrict products to its website
FAREWELL = 10.0  # seconds that ending a session may take at most: one that is not ended will expire
OK = 200
NO_PROCEDURE = "not present"  # what a server says to a call of another flavour or namespace than its own

_WITHOUT_ROWS: dict[Remedy, Remedy] = {"split": "again", "isolate": "stop"}
"""What else may help a call that asks for no rows, of which none can be left out."""

_WSDL_START = re.compile(
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*\?>)?(\s|<!--((?!-->).)*-->)*<([\w.-]+:)?(definitions|schema)\b", re.DOTALL
)

T = TypeVar("T")

log = logging.getLogger(__name__)


class Connection:
    """One shop, one API user.

    The session is begun at the first call and again when it has expired; `close` ends it. Safe to use from several
    threads.

    Attributes:
        bytes_received: of all replies to lists so far, unpacked.
        characters_removed: those that XML forbids and that were taken out of replies so far; see `ListSource.repair`.
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
        self._reading = threading.Lock()
        self._http = HttpSession(options or HttpOptions())
        self.bytes_received = 0
        self.characters_removed = 0
        self.server_date: str | None = None
        try:
            candidates = wsdl_candidates(url)
            self._wsdl = self._patiently(lambda: self._found(candidates))
            self._check_address(self._wsdl)
        except BaseException:
            self._http.close()
            raise

    def __repr__(self) -> str:
        return f"<Connection to {self.address}, {self.flavour}>"

    @property
    def flavour(self) -> str:
        """Either "rpc" or "wsi", as the WSDL says."""
        return self._wsdl.flavour

    @property
    def namespace(self) -> str:
        """The WSDL's target namespace."""
        return self._wsdl.namespace

    @property
    def address(self) -> str:
        """Where calls go, as the WSDL says."""
        return self._wsdl.address

    def has(self, operation: str) -> bool:
        """True where the shop's WSDL declares the operation."""
        return self._wsdl.has(operation)

    def login(self) -> None:
        """Begin a session, unless there is one.

        Raises:
            FaultError: the shop refuses this user and key.
        """
        self._patiently(self._session)

    def call(self, operation: str, **arguments: Any) -> Any:
        """A short call, in a session: its value as text, or as a dict of texts.

        Raises:
            RemoteError: it failed.
        """
        return self._in_session(operation, lambda session: self._short(operation, sessionId=session, **arguments))

    def rows(self, operation: Operation, conditions: Sequence[Condition], *, repair: bool = False) -> Generator[Row]:
        """The rows of a list that satisfy all conditions, as they arrive.

        The request is built and sent once more, before any row was given, where the session had expired, and where the
        shop speaks otherwise than its WSDL said and now has another WSDL, as after an upgrade. Where it changes amid
        rows, the error's `remedy` is "again".

        Args:
            operation: the list.
            conditions: at least one: without any the shop would send its whole table.
            repair: take characters that XML forbids out of the reply before it is read.

        Raises:
            ValueError: there is no condition, or the connection is closed.
            RemoteError: the call failed; rows delivered before are not all there were.
        """
        if not conditions:
            raise ValueError(f"{operation.name}: without a condition the shop would send its whole table at once")
        mended: set[str] = set()
        while True:
            self._wsdl.check_has(operation)
            session, wsdl, begun = self._session(), self._wsdl, False
            try:
                with closing(self._rows(wsdl, operation, conditions, session, repair=repair)) as rows:
                    for row in rows:
                        begun = True
                        yield row
            except ReplyFaultError as fault:
                # A fault comes instead of rows, never after some: the request may be rebuilt and sent again.
                if not self._mended(fault, wsdl, session, mended):
                    raise fault_error(fault.code, fault.text, operation.name, operation.right) from None
            except UnpromisedReplyError as error:
                if not self._mended(error, wsdl, session, mended):
                    raise
                if begun:
                    error.remedy = "again"
                    raise
            else:
                return

    def close(self) -> None:
        """End the session and close all connections; nothing is sent afterwards."""
        with self._login:
            self._closed = True
            session, self._session_id = self._session_id, None
        if session is not None:
            with suppress(PagerError, ReplyFaultError):  # a session that cannot be ended will expire
                self._ask(self._wsdl, "endSession", {"sessionId": session}, FAREWELL)
        self._http.close()

    def _session(self) -> str:
        with self._login:
            if self._closed:
                raise ValueError("this connection to the shop is closed; connect anew")
            if self._session_id is None:
                with _without_rows("login"):
                    answer = self._short("login", username=self._user, apiKey=self._key)
                if not isinstance(answer, str) or not answer.strip():
                    raise MalformedReplyError("login: the shop answered without a session id")
                self._session_id = answer
            return self._session_id

    def _forget(self, session: str) -> None:
        """Log in anew at the next call, unless another thread already did."""
        with self._login:
            if self._session_id == session:
                self._session_id = None

    def _in_session(self, operation: str, send: Callable[[str], Any]) -> Any:
        with _without_rows(operation):
            session = self._session()
            try:
                return send(session)
            except ReplyFaultError as fault:
                if fault.code != SESSION_EXPIRED:
                    raise
            self._forget(session)
            return send(self._session())

    def _short(self, operation: str, **arguments: Any) -> Any:
        """The answer to a call, asked for once more where the shop has another WSDL now."""
        wsdl = self._wsdl
        try:
            return self._ask(wsdl, operation, arguments)
        except ReplyFaultError as fault:
            if not self._renewed(wsdl, fault):
                raise
        return self._ask(self._wsdl, operation, arguments)

    def _ask(self, wsdl: _Wsdl, operation: str, arguments: dict[str, Any], timeout: float | None = None) -> Any:
        request = self._message(wsdl, operation, arguments)
        with self._post(wsdl, operation, request, timeout) as reply:
            return plain(_only_child(decode_small(reply.body(), operation), operation))

    def _rows(
        self, wsdl: _Wsdl, operation: Operation, conditions: Sequence[Condition], session: str, *, repair: bool
    ) -> Generator[Row]:
        arguments = {"sessionId": session, "filters": wsdl.filters(operation.name, conditions)}
        for store in {"store", "storeView"} & wsdl.parts(operation.name).keys():
            arguments[store] = ALL_STORES
        request = self._message(wsdl, operation.name, arguments)
        check_rendered(request, conditions, operation.name)
        shape, forms = wsdl.shape(operation.name)
        with self._post(wsdl, operation.name, request) as reply:
            pieces = without_forbidden(reply.pieces(), self._removed) if repair else reply.pieces()
            try:
                yield from decode(pieces, shape, forms)
            finally:
                self.bytes_received += reply.bytes

    def _removed(self, count: int) -> None:
        self.characters_removed += count

    @contextmanager
    def _post(
        self, wsdl: _Wsdl, operation: str, request: Element, timeout: float | None = None
    ) -> Generator[HttpReply]:
        """Send a call. An answer that is no success is an error; nothing that is raised within shows a secret."""
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": f'"{wsdl.binding.get(operation).soapaction}"',
        }
        body = etree.tostring(request, xml_declaration=True, encoding="utf-8")
        try:
            with self._http.post(wsdl.address, body, headers, operation, timeout) as reply:
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
        return redacted(text, self._key, self._session_id or "", *self._http.options.secrets)

    def _message(self, wsdl: _Wsdl, operation: str, arguments: dict[str, Any]) -> Element:
        if not wsdl.has(operation):
            raise RemoteError(f"{operation}: this shop's WSDL does not declare it")
        try:
            message: Element = wsdl.client.create_message(wsdl.client.service, operation, **arguments)
        except (zeep.exceptions.Error, AttributeError, TypeError, ValueError) as error:
            raise RemoteError(f"{operation}: no request fits this shop's WSDL: {self._redacted(str(error))}") from None
        return message

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """What `attempt` gives; tried again, for as long as the options say, where it fails in a way that may pass."""
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, RemoteError) and error.remedy == "again"),
            stop=stop_before_delay(self._http.options.patience),
            wait=backoff,
            before_sleep=_announce,
            reraise=True,
        )
        return retrying(attempt)

    def _mended(
        self, failure: ReplyFaultError | UnpromisedReplyError, wsdl: _Wsdl, session: str, mended: set[str]
    ) -> bool:
        """Whether the cause of a failure was found and is gone, so that the call may be built and sent again.

        Args:
            failure: of a call.
            wsdl: by which it was made.
            session: in which it was made.
            mended: the causes that were found before, which may not be found again; a new one is added.
        """
        if isinstance(failure, ReplyFaultError) and failure.code == SESSION_EXPIRED:
            cause = "session"
            self._forget(session)
        elif self._renewed(wsdl, failure):
            cause = "WSDL"
        else:
            return False
        again = cause in mended
        mended.add(cause)
        return not again

    def _renewed(self, wsdl: _Wsdl, failure: ReplyFaultError | UnpromisedReplyError) -> bool:
        """Whether the shop has another WSDL than the one a call was made by, as after an upgrade, and so it failed."""
        if isinstance(failure, ReplyFaultError) and NO_PROCEDURE not in failure.text:
            return False
        with self._reading:
            if self._wsdl is wsdl:
                fresh = self._load(wsdl.location)
                if fresh.documents == wsdl.documents:
                    return False
                try:
                    self._check_address(fresh)
                except ValueError as error:  # no longer a mistake of the caller's
                    raise RemoteError(str(error)) from None
                log.info("the shop has another WSDL now: %s, %s", fresh.namespace, fresh.flavour)
                self._wsdl = fresh
            return True

    def _found(self, candidates: Sequence[str]) -> _Wsdl:
        """The WSDL at the first address that answers with one."""
        for candidate in candidates[:-1]:
            try:
                return self._load(candidate)
            except (TransportError, MalformedReplyError) as error:
                if isinstance(error, TransportError) and error.status in {None, 401, 429, 503}:
                    raise  # the next address would fare no better
                log.debug("no WSDL at %s: %s", bare(candidate), error)
        return self._load(candidates[-1])

    def _load(self, address: str) -> _Wsdl:
        """The WSDL at an address."""
        loader = _WsdlLoader(self._http, address)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # zeep passes over what modules broke; so must we
                client = zeep.Client(
                    address,
                    transport=loader,
                    settings=zeep.Settings(strict=True, xml_huge_tree=False),
                )
        except (zeep.exceptions.Error, etree.XMLSyntaxError, AttributeError, IndexError, KeyError, TypeError) as error:
            raise MalformedReplyError(
                f"what {bare(address)} answers is no WSDL that can be used: {redacted(str(error), self._key)}"
            ) from None
        return _Wsdl(client, tuple(loader.documents))

    def _check_address(self, wsdl: _Wsdl) -> None:
        """Refuse a WSDL that sends calls, and the key with them, where the user did not mean them to go."""
        asked, told = urlsplit(wsdl.location).hostname, urlsplit(wsdl.address).hostname
        if told != asked and told not in self._http.options.allow_hosts:
            raise ValueError(
                f"the WSDL of {asked} sends calls to {told}; connect to {told} itself, or allow it with "
                f"allow_hosts=[{told!r}] (--allow-host {told})"
            )
        check_secrecy(wsdl.address, self._http.options)


@dataclass(frozen=True, slots=True)
class ListSource:
    """One list of one shop: a `Source` for a `Paginator`.

    Attributes:
        connection: to the shop.
        operation: the list.
        repair: take characters that XML forbids out of replies before they are read, as strictly as ever; what that
            was is counted by the connection's `characters_removed`.
    """

    connection: Connection
    operation: Operation
    repair: bool = False

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call."""
        return self.connection.rows(self.operation, query.conditions, repair=self.repair)


class _Wsdl:
    """A shop's WSDL as it was read, and what follows from it; all that is to be replaced when it changes.

    Attributes:
        client: zeep's.
        documents: the WSDL's bytes, and those of all it refers to.
        location: where it is.
        binding: zeep's, of the operations.
        address: where calls go.
        flavour: "rpc" or "wsi".
        namespace: its target namespace.
    """

    def __init__(self, client: Any, documents: tuple[bytes, ...]) -> None:
        self.client = client
        self.documents = documents
        self.location: str = client.wsdl.location
        self.binding, self.address = _soap_port(client)
        styles = {operation.style for operation in self.binding.all().values()}
        self.flavour = "rpc" if "rpc" in styles else "wsi"
        self.namespace: str = self.binding.name.namespace
        self._shapes: dict[str, tuple[ReplyShape, Forms]] = {}

    def has(self, operation: str) -> bool:
        """True where it declares the operation."""
        return operation in self.binding.all()

    def check_has(self, operation: Operation) -> None:
        """Refuse a list that it does not declare."""
        if not self.has(operation.name):
            since = f"; the list came with Magento {operation.since}" if operation.since else ""
            other = "" if self.has("salesOrderList") else "; is this the address of SOAP V2, .../api/v2_soap/?wsdl=1?"
            raise RemoteError(f"{operation.name}: this shop's WSDL has no {operation.entity}{since}{other}")

    def parts(self, operation: str) -> dict[str, Any]:
        """The input parts of an operation and their zeep elements."""
        return dict(self.binding.get(operation).input.body.type.elements)

    def filters(self, operation: str, conditions: Sequence[Condition]) -> Any:
        """The conditions as the WSDL's own types, whatever it calls them and however it nests them.

        Read from the types and not assumed: 1.7.0.0 alone declares the operand as anyType (RPC) or as a list (WS-I).
        """
        try:
            filters = self.parts(operation)["filters"].type
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

    def shape(self, operation: str) -> tuple[ReplyShape, Forms]:
        """What the list's replies look like, and the forms of row met in them."""
        if operation not in self._shapes:
            self._shapes[operation] = reply_shape(self.binding.get(operation)), Forms()
        return self._shapes[operation]


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
    body = _said(reply)
    with suppress(MalformedReplyError):
        decode_small(body, operation)
    raise status_error(reply.status, operation, excerpt(body), reply.pause)


def _said(reply: HttpReply) -> bytes:
    """The body of an answer that is no success; nothing where it cannot be read, for its status says enough."""
    with suppress(TransportError):
        return reply.body()
    return b""


@contextmanager
def _without_rows(operation: str) -> Generator[None]:
    """Turn the failures of a call that asks for no rows into errors with a remedy that fits it."""
    try:
        yield
    except ReplyFaultError as fault:
        error = fault_error(fault.code, fault.text, operation)
        error.remedy = _WITHOUT_ROWS.get(error.remedy, error.remedy)
        raise error from None
    except RemoteError as error:
        error.remedy = _WITHOUT_ROWS.get(error.remedy, error.remedy)
        raise


def _announce(state: RetryCallState) -> None:
    failure = state.outcome.exception() if state.outcome else None
    log.warning("%s; trying again in %.0f s", failure, state.upcoming_sleep)


def _soap_port(client: Any) -> tuple[Any, str]:
    """The first SOAP binding of a WSDL, and where its calls go."""
    for service in client.wsdl.services.values():
        for port in service.ports.values():
            address = port.binding_options.get("address")
            if isinstance(port.binding, Soap11Binding) and urlsplit(address or "").hostname:
                return port.binding, address
    raise MalformedReplyError(f"the WSDL at {bare(client.wsdl.location)} does not say where SOAP calls go")


class _WsdlLoader:
    """What zeep calls a transport: fetches documents of the shop itself, and has our own schema for a third host's."""

    def __init__(self, http: HttpSession, address: str) -> None:
        self._http = http
        self._hosts = {urlsplit(address).hostname} | http.options.allow_hosts
        self.documents: list[bytes] = []

    def load(self, url: str) -> bytes:
        """The document at an address; called by zeep for the WSDL and for all it refers to."""
        if url.rstrip("/") == ENCODING_SCHEMA:
            return resources.files(__package__).joinpath("encoding.xsd").read_bytes()
        if urlsplit(url).scheme not in {"http", "https"} or urlsplit(url).hostname not in self._hosts:
            raise MalformedReplyError(
                f"the WSDL refers to {redacted(url)}, on another host; allow it with --allow-host if you trust it"
            )
        what = f"the WSDL at {bare(url)}"
        with _without_rows(what), self._http.get(url, what) as reply:
            if reply.status != OK:
                raise status_error(reply.status, what, redacted(excerpt(_said(reply))), reply.pause)
            body = reply.body()
        if not _WSDL_START.match(body):
            raise MalformedReplyError(
                f"{bare(url)} answers with something else than a WSDL ({redacted(excerpt(body))!r}): check the shop's "
                "address"
            )
        self.documents.append(body)
        return body
