"""The connection to a shop: both flavours of its WSDL, the session, and the errors for its faults.

What lives here: the login, the calls, and the turning of faults into errors. This module does not know which strategy
sends a query, and it does not read rows: `decoding` does, by the shape that `wsdl` took from the types zeep read.
"""

from __future__ import annotations

import logging
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from lxml import etree

from magento_pager.errors import FaultError, MalformedReplyError, PagerError, RemoteError
from magento_pager.shop import xmlrpc
from magento_pager.shop.decoding import (
    ReplyFaultError,
    UnpromisedReplyError,
    breaks_lines,
    decode,
    decode_record,
    decode_small,
    plain,
)
from magento_pager.shop.failures import CODES, adapted_to_no_rows, fault_error, short_length, status_error
from magento_pager.shop.guards import CutReplyError
from magento_pager.shop.origins import canonical_url, redacted_url
from magento_pager.shop.repairing import without_forbidden
from magento_pager.shop.transport import OK, HttpOptions, HttpReply, HttpSession, http_time
from magento_pager.shop.wsdl import Wsdl, check_address, find, load, wsdl_candidates
from magento_pager.walk.reading import with_retries

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from lxml.etree import _Element as Element

    from magento_pager.lists import ListSpec
    from magento_pager.shop.decoding import Shape, Struct
    from magento_pager.shop.failures import Purpose
    from magento_pager.shop.xmlrpc import Argument
    from magento_pager.walk.conditions import Condition
    from magento_pager.walk.pages import Row

SESSION_EXPIRED = "5"
LONGEST_FAULT = 1 << 16  # characters of a fault's text that are kept
LONGEST_RECORDS = 1 << 24
"""The limit for a reply with records in full, in bytes: its tree takes many times as much memory."""
END_SESSION_TIMEOUT = 10.0  # seconds; a session that is not ended will expire
NO_PROCEDURE = "not present"  # in the fault for a call of another flavour or namespace than the server's
LOGIN, MULTI_CALL = "login", "multiCall"
XML_BODY = {"Content-Type": "text/xml; charset=utf-8"}

Send: TypeAlias = "Callable[[Wsdl, str], Generator[Any]]"

log = logging.getLogger(__name__)


class Connection:
    """One shop and one API user.

    The session begins at the first call, and again when it has expired; `close` ends it. Safe to use from several
    threads.

    Attributes:
        url: the shop's address as given, in canonical form and without query.
        alias: the name of the shop in checkpoints; empty to use its addresses.
        bytes_received: of all replies with rows or records so far, decompressed.
        characters_removed: how many characters that XML forbids were removed from replies so far; see
            `ListSource.repair`.
        clock: the server's time in its last answer; None before the first, or if that had none.
        keeps_lists: a row with a list inside it arrived by SOAP, so this shop does not lose lists.
        tells_empty: the shop's SOAP writes an empty text as a line break, as from 1.8 on; known after the login.
    """

    def __init__(self, url: str, user: str, key: str, options: HttpOptions | None = None) -> None:
        """Fetch and read the WSDL.

        Args:
            url: the shop's base address, or the address of any of its APIs or of its WSDL.
            user: the API user.
            key: the API key.
            options: how the shop is reached.

        Raises:
            ValueError: the address cannot be that of a shop.
            TransportError: the WSDL could not be fetched.
            MalformedReplyError: the document is not the WSDL of a Magento.
        """
        self._user = user
        self._key = key
        self._session_id: str | None = None
        self._closed = False
        self._login = threading.Lock()
        self._reading = threading.Lock()
        self._counting = threading.Lock()
        candidates = wsdl_candidates(url)
        self._http = HttpSession(options or HttpOptions(), candidates[0], key)
        self.url = redacted_url(canonical_url(url))
        self.alias = ""
        self.bytes_received = 0
        self.characters_removed = 0
        self.clock: datetime | None = None
        self.tells_empty = False
        self.keeps_lists = False
        try:
            self._wsdl = with_retries(
                lambda: self._read(lambda: find(self._http, candidates)), self._http.options.patience, failed=_announce
            )
            check_address(self._http, self._wsdl)
        except BaseException:
            self._http.close()
            raise

    def __repr__(self) -> str:
        return f"<Connection to {self.redacted(self.address)}, {self.flavour}>"

    @property
    def flavour(self) -> str:
        """Either "rpc" or "wsi", by the WSDL."""
        return self._wsdl.flavour

    @property
    def namespace(self) -> str:
        """The WSDL's target namespace."""
        return self._wsdl.namespace

    @property
    def address(self) -> str:
        """The address of calls, by the WSDL."""
        return self._wsdl.address

    def has(self, operation: str) -> bool:
        """Return True if the shop's WSDL declares the operation."""
        return self._wsdl.has(operation)

    def refused(self, error: RemoteError) -> None:
        """Save the reply that this thread read last, if replies are saved; its content was refused."""
        self._http.save(error, self._http.latest.exchange)

    def redacted(self, text: str) -> str:
        """Return a text from outside without secrets: the key, sessions, passwords, headers."""
        return self._http.redacted(text)

    def login(self) -> None:
        """Begin a session, unless there is one.

        Raises:
            FaultError: the shop refuses this user and key.
        """
        with_retries(self._session, self._http.options.patience, failed=_announce)

    def call(self, operation: str, **arguments: Any) -> Any:
        """Make a short call, in the session unless it is the login; return its value as text, or as a dict of texts.

        Raises:
            RemoteError: it failed; the `remedy` is one for a call that requests no rows.
        """

        def send(wsdl: Wsdl, session: str) -> Generator[Any]:
            yield self._ask(wsdl, operation, {"sessionId": session, **arguments} if session else arguments)

        try:
            (answer,) = self._values(operation, None, send)
        except RemoteError as error:
            raise adapted_to_no_rows(error) from None
        return answer

    def rows(self, spec: ListSpec, conditions: Sequence[Condition], *, repair: bool = False) -> Generator[Row]:
        """Yield the rows of a list that satisfy all conditions, as they arrive.

        Args:
            spec: the list.
            conditions: at least one: without conditions the shop would send its whole table.
            repair: remove characters that XML forbids from the reply before it is read.

        Raises:
            ValueError: there is no condition, or the connection is closed.
            RemoteError: the call failed; the rows yielded before are incomplete.
        """
        if not conditions:
            raise ValueError(f"{spec.operation}: without a condition the shop would send its whole table")
        self._http.latest.exchange = None
        self._wsdl.check_has(spec)  # before a login
        yield from self._values(
            spec.operation,
            spec.right,
            lambda wsdl, session: self._rows(wsdl, spec, conditions, session, repair=repair),
            [condition.field for condition in conditions],
        )

    def xmlrpc_rows(
        self, spec: ListSpec, filters: Mapping[str, Mapping[str, Argument]], *, repair: bool = False
    ) -> Generator[dict[str, Any]]:
        """Yield the rows of a list by XML-RPC as they arrive, with all columns of the shop, see `xmlrpc`.

        Args:
            spec: the list.
            filters: operands by field and operator, at least one; rows satisfy all of them.
            repair: remove characters that XML forbids from the reply before it is read.

        Raises:
            ValueError: there is no filter, or the connection is closed.
            RemoteError: the call failed; the rows yielded before are incomplete.
        """
        if not filters or not all(filters.values()):
            raise ValueError(f"{spec.path}: without a filter the shop would send its whole table")
        self._http.latest.exchange = None

        def send(wsdl: Wsdl, session: str) -> Generator[Any]:
            body = xmlrpc.request("call", session, spec.path, [filters])
            with self._post_xmlrpc(wsdl, spec.path, body, repair=repair) as pieces:
                yield from xmlrpc.rows(pieces, spec.path)

        yield from self._values(spec.path, spec.right, send, list(filters))

    def row_shape(self, spec: ListSpec) -> Struct:
        """Return the shape of a row by the WSDL.

        Raises:
            RemoteError: the WSDL does not declare the list.
        """
        self._wsdl.check_has(spec)  # before a login
        return self._wsdl.shape(spec.operation)[0].row

    def record(self, operation: str, key: str, *, right: str, repair: bool = False) -> Any:
        """Return one record in full by SOAP, or what belongs to one, in the shape of `record_shape`.

        Args:
            operation: one that takes a key: an increment id, or an id.
            key: of the record.
            right: the right that the API user's role needs for it.
            repair: remove characters that XML forbids from the reply before it is read.

        Raises:
            RemoteError: the call failed.
        """

        def send(wsdl: Wsdl, session: str) -> Generator[Any]:
            request = wsdl.record_request(operation, session, key)
            with self._post(wsdl, operation, request) as reply, self._pieces(reply, repair=repair) as pieces:
                yield decode_record(_whole(pieces, operation), wsdl.record_shape(operation))

        (record,) = self._values(operation, right, send)
        return record

    def record_shape(self, operation: str) -> Shape:
        """Return the shape of a record in full by the WSDL.

        Raises:
            RemoteError: the WSDL does not declare the operation.
        """
        return self._wsdl.record_shape(operation).value

    def multi_call(
        self, calls: Sequence[tuple[str, Sequence[Argument]]], *, right: str, repair: bool = False
    ) -> list[Any]:
        """Make several calls in one by XML-RPC, and return their values.

        It uses the session of SOAP: the shop keeps one table of sessions for both, and up to 1.3.1 the second login of
        a user ended the first.

        Args:
            calls: paths, such as "sales_order.info", each with its arguments.
            right: the right that the API user's role needs for them.
            repair: remove characters that XML forbids from the reply before it is read.

        Returns:
            One value for each call, see `xmlrpc`. The value of a call that failed is a dict with the keys isFault,
            faultCode and faultMessage.

        Raises:
            RemoteError: all of it failed, or the shop has no XML-RPC next to its SOAP.
        """
        call_list = [[path, list(arguments)] for path, arguments in calls]

        def send(wsdl: Wsdl, session: str) -> Generator[Any]:
            body = xmlrpc.request(MULTI_CALL, session, call_list)
            with self._post_xmlrpc(wsdl, MULTI_CALL, body, repair=repair) as pieces:
                yield xmlrpc.value_of(_whole(pieces, MULTI_CALL), MULTI_CALL)

        (results,) = self._values(MULTI_CALL, right, send)
        if not isinstance(results, list) or len(results) != len(calls):
            raise MalformedReplyError(
                f"{MULTI_CALL}: the reply does not hold one value for each of the {len(calls)} calls", remedy="isolate"
            )
        for result in results:
            for name in {"faultCode", "faultMessage"} & result.keys() if isinstance(result, dict) else ():
                result[name] = self.redacted(str(result[name]))
        return results

    def close(self) -> None:
        """End the session and close all connections; later calls are refused."""
        with self._login:
            self._closed = True
            session, self._session_id = self._session_id, None
        if session is not None:
            with suppress(PagerError, ReplyFaultError):  # a session that cannot be ended will expire
                self._ask(self._wsdl, "endSession", {"sessionId": session}, END_SESSION_TIMEOUT)
        self._http.close()

    def _session(self) -> str:
        with self._login:
            if self._closed:
                raise ValueError("the connection to the shop is closed. Connect again")
            if self._session_id is None:
                answer = self.call(LOGIN, username=self._user, apiKey=self._key)
                if not isinstance(answer, str) or not answer.strip():
                    raise MalformedReplyError("login: the shop's answer has no session id. Check the shop's address")
                self._http.keep_secret(answer)
                self._session_id = answer
            return self._session_id

    def _values(self, operation: str, right: str | None, send: Send, fields: Sequence[str] = ()) -> Generator[Any]:
        """Yield the values of a call. All calls except the one that ends a session are made, and repeated, here.

        Before its first value, a call is repeated once if the session had expired, and once if the shop contradicts its
        WSDL and has another one now, as after an upgrade. Between two values, the error's `remedy` is "retry" instead.

        Args:
            operation: what is called.
            right: the right that the API user's role needs for it; None for a call that requests no rows.
            send: builds the request by a WSDL and for a session (empty for a login), and reads the reply.
            fields: the fields of the call's filters.
        """
        fixable = {"session", "WSDL"}
        while True:
            session = "" if operation == LOGIN else self._session()
            wsdl, begun, self._http.latest.exchange = self._wsdl, False, None
            try:
                with self._explained(operation, right, fields), closing(send(wsdl, session)) as values:
                    for value in values:
                        begun = True
                        yield value
            except RemoteError as error:
                latest = self._http.latest.exchange
                cause = self._fixed(error, wsdl, session)
                if cause in fixable and not begun:
                    fixable.remove(cause)
                    continue
                if cause in fixable:  # never by a fault, which replaces all values
                    error.remedy = "retry"
                self._http.save(error, latest)
                raise
            else:
                return

    @contextmanager
    def _explained(self, operation: str, right: str | None, fields: Sequence[str]) -> Generator[None]:
        """Turn a fault into an error that says what to do; no error that is raised within shows a secret."""
        try:
            with self._http.unrevealing():
                yield
        except ReplyFaultError as fault:
            code = fault.code if fault.code in CODES else self.redacted(fault.code)
            raise fault_error(code, self.redacted(fault.text[:LONGEST_FAULT]), operation, right, fields) from None

    def _fixed(self, error: RemoteError, wsdl: Wsdl, session: str) -> str | None:
        """Return the cause of an error if it is removed now; the call was made by this WSDL and in this session."""
        if isinstance(error, FaultError):
            if error.code == SESSION_EXPIRED and session:
                with self._login:
                    if self._session_id == session:  # otherwise another thread logged in already
                        self._session_id = None
                return "session"
            if NO_PROCEDURE not in error.text:
                return None
        elif not isinstance(error, UnpromisedReplyError):
            return None
        return "WSDL" if self._renewed(wsdl) else None

    def _read(self, reading: Callable[[], Wsdl]) -> Wsdl:
        """Read and return a WSDL; save one that cannot be read if replies are saved."""
        self._http.latest.exchange = None
        try:
            return reading()
        except RemoteError as error:
            self.refused(error)
            raise

    def _renewed(self, wsdl: Wsdl) -> bool:
        """Return True if the shop has another WSDL now."""
        with self._reading:
            if self._wsdl is wsdl:
                fresh = self._read(lambda: load(self._http, wsdl.location))
                if fresh.documents == wsdl.documents:
                    return False
                try:
                    check_address(self._http, fresh)
                except ValueError as error:  # not the caller's mistake any more
                    raise RemoteError(str(error)) from None
                log.info("the shop has another WSDL now: %s, %s", self.redacted(fresh.namespace), fresh.flavour)
                self._wsdl = fresh
            return True

    def _ask(self, wsdl: Wsdl, operation: str, arguments: dict[str, Any], timeout: float | None = None) -> Any:
        """Return the value of a short call."""
        request = wsdl.message(operation, arguments)
        with self._post(wsdl, operation, request, timeout, purpose="call") as reply:
            answer = decode_small(reply.body(), operation, "call")
        self.tells_empty = breaks_lines(answer)
        if len(answer) != 1:
            raise MalformedReplyError(f"{operation}: the reply has {len(answer)} values instead of one")
        return plain(answer[0])

    def _rows(
        self, wsdl: Wsdl, spec: ListSpec, conditions: Sequence[Condition], session: str, *, repair: bool
    ) -> Generator[Row]:
        wsdl.check_has(spec)
        request = wsdl.list_request(spec.operation, session, conditions)
        shape, forms = wsdl.shape(spec.operation)
        with self._post(wsdl, spec.operation, request) as reply, self._pieces(reply, repair=repair) as pieces:
            yield from decode(pieces, shape, forms)

    @contextmanager
    def _pieces(self, reply: HttpReply, *, repair: bool) -> Generator[Iterable[bytes]]:
        """Give the body of a reply with rows or records as it arrives; count its bytes."""
        try:
            yield without_forbidden(reply.pieces(), self._removed) if repair else reply.pieces()
        finally:
            with self._counting:
                self.bytes_received += reply.bytes

    def _removed(self, count: int) -> None:
        with self._counting:
            self.characters_removed += count

    def _post(
        self, wsdl: Wsdl, operation: str, request: Element, timeout: float | None = None, *, purpose: Purpose = "rows"
    ) -> AbstractContextManager[HttpReply]:
        """Send a call by SOAP."""
        body = etree.tostring(request, xml_declaration=True, encoding="utf-8")
        headers = XML_BODY | {"SOAPAction": f'"{wsdl.binding.get(operation).soapaction}"'}
        return self._posted(wsdl.address, body, headers, operation, timeout, purpose=purpose)

    @contextmanager
    def _post_xmlrpc(self, wsdl: Wsdl, path: str, body: bytes, *, repair: bool) -> Generator[Iterable[bytes]]:
        """Send a call by XML-RPC; give the body of the answer as it arrives."""
        address = xmlrpc.address_beside(wsdl.address)
        if address is None:
            raise RemoteError(f"{path}: the address of XML-RPC cannot be derived from {redacted_url(wsdl.address)}")
        with (
            self._posted(address, body, XML_BODY, path, purpose="XML-RPC") as reply,
            self._pieces(reply, repair=repair) as pieces,
        ):
            yield pieces

    @contextmanager
    def _posted(
        self,
        address: str,
        body: bytes,
        headers: Mapping[str, str],
        operation: str,
        timeout: float | None = None,
        *,
        purpose: Purpose = "rows",
    ) -> Generator[HttpReply]:
        """Send a call. An answer that is not a success raises its fault, or an error for its status."""
        headers = {**headers, "Cache-Control": "no-cache"}
        with self._http.post(address, body, headers, operation, timeout) as reply:
            self.clock = http_time(reply.date)
            if reply.status != OK:
                body = reply.error_body()
                with suppress(MalformedReplyError):
                    decode_small(body, operation)
                raise status_error(
                    reply.status, operation, body, redact=self.redacted, pause=reply.pause, purpose=purpose
                )
            try:
                yield reply
            except CutReplyError as error:
                raise (short_length(operation, reply.bytes) if reply.bytes == reply.announced else error) from None


def _whole(pieces: Iterable[bytes], operation: str) -> bytes:
    """Return the body of a reply with records in full."""
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > LONGEST_RECORDS:
            raise MalformedReplyError(f"{operation}: the reply is longer than {LONGEST_RECORDS} bytes", remedy="split")
    return bytes(body)


def _announce(error: BaseException | None, seconds: float) -> None:
    """Warn, because the caller of `connect` is waiting."""
    log.warning("%s; trying again in %.0f s", error, seconds)
