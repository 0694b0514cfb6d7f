"""A shop behind its WSDL: both flavours, the session, and what its faults mean.

What lives here: the login, the calls, and the words with which faults are passed on. It does not know which strategy
asked, and it does not read rows: it tells `decoding` their shape, which `wsdl` took from the types that zeep read.
"""

from __future__ import annotations

import logging
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from lxml import etree

from magento_pager.errors import MalformedReplyError, PagerError, RemoteError, TransportError
from magento_pager.shop import xmlrpc
from magento_pager.shop.decoding import (
    ReplyFaultError,
    UnpromisedReplyError,
    breaks_lines,
    decode,
    decode_record,
    decode_small,
    is_list,
    plain,
)
from magento_pager.shop.failures import BY_CODE, LostListError, excerpt, fault_error, status_error, without_rows
from magento_pager.shop.origins import origin
from magento_pager.shop.repairing import without_forbidden
from magento_pager.shop.transport import OK, HttpOptions, HttpReply, HttpSession, bare, check_secrecy, http_time
from magento_pager.shop.wsdl import ALL_STORES, Wsdl, check_rendered, load, wsdl_candidates
from magento_pager.walk.reading import persistently

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from datetime import datetime

    from lxml.etree import _Element as Element

    from magento_pager.lists import ListSpec
    from magento_pager.shop.decoding import Shape
    from magento_pager.shop.xmlrpc import Argument
    from magento_pager.walk.conditions import Condition, Query
    from magento_pager.walk.pages import Row

SESSION_EXPIRED = "5"
LONGEST_FAULT = 1 << 16  # characters of a fault that are kept
LONGEST_RECORDS = 1 << 24
"""Bytes of one reply with records in full: they are parsed as a whole, and a tree takes many times as much."""
FAREWELL = 10.0  # seconds that ending a session may take at most: one that is not ended will expire
NO_PROCEDURE = "not present"  # what a server says to a call of another flavour or namespace than its own
MULTI_CALL = "multiCall"

log = logging.getLogger(__name__)


class Connection:
    """One shop, one API user.

    The session is begun at the first call and again when it has expired; `close` ends it. Safe to use from several
    threads.

    Attributes:
        url: the shop's address as it was given, without user, password and query.
        alias: what checkpoints call the shop; empty for its addresses.
        bytes_received: of all replies to lists and for records in full so far, unpacked.
        characters_removed: those that XML forbids and that were taken out of replies so far; see `ListSource.repair`.
        server_date: the `Date` header of the last answer, the server's own clock; None before the first or without one.
        tells_empty: the shop's SOAP writes an empty text as a line break, as it does from 1.8 on; known once logged in.
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
        self._counting = threading.Lock()
        candidates = wsdl_candidates(url)
        self._http = HttpSession(options or HttpOptions(), candidates[0], key)
        self.url = bare(url)
        self.alias = ""
        self.bytes_received = 0
        self.characters_removed = 0
        self.server_date: str | None = None
        self.tells_empty = False
        self._lists_come = False  # a row came with a list inside it: lists are not lost
        try:
            self._wsdl = persistently(lambda: self._found(candidates), self._http.options.patience, failed=_announce)
            self._check_address(self._wsdl)
        except BaseException:
            self._http.close()
            raise

    def __repr__(self) -> str:
        return f"<Connection to {self.redacted(self.address)}, {self.flavour}>"

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

    @property
    def clock(self) -> datetime | None:
        """The time that the last answer said it was there; None before the first, or where it said none."""
        return http_time(self.server_date)

    def has(self, operation: str) -> bool:
        """True where the shop's WSDL declares the operation."""
        return self._wsdl.has(operation)

    def redacted(self, text: str) -> str:
        """Return a text from outside without what nobody may read: the key, sessions, passwords, headers."""
        return self._http.redacted(text)

    def login(self) -> None:
        """Begin a session, unless there is one.

        Raises:
            FaultError: the shop refuses this user and key.
        """
        persistently(self._session, self._http.options.patience, failed=_announce)

    def call(self, operation: str, **arguments: Any) -> Any:
        """A short call, in a session: its value as text, or as a dict of texts.

        Raises:
            RemoteError: it failed.
        """
        return self._in_session(operation, lambda session: self._short(operation, sessionId=session, **arguments))

    def rows(self, spec: ListSpec, conditions: Sequence[Condition], *, repair: bool = False) -> Generator[Row]:
        """The rows of a list that satisfy all conditions, as they arrive.

        The request is built and sent once more, before any row was given, where the session had expired, and where the
        shop speaks otherwise than its WSDL said and now has another WSDL, as after an upgrade. Where it changes amid
        rows, the error's `remedy` is "again".

        Args:
            spec: the list.
            conditions: at least one: without any the shop would send its whole table.
            repair: take characters that XML forbids out of the reply before it is read.

        Raises:
            ValueError: there is no condition, or the connection is closed.
            RemoteError: the call failed; rows delivered before are not all there were.
        """
        if not conditions:
            raise ValueError(f"{spec.operation}: without a condition the shop would send its whole table at once")
        mended: set[str] = set()
        while True:
            self._wsdl.check_has(spec)
            session, wsdl, begun = self._session(), self._wsdl, False
            try:
                with closing(self._rows(wsdl, spec, conditions, session, repair=repair)) as rows:
                    for row in rows:
                        begun = True
                        yield row
            except ReplyFaultError as fault:
                # A fault comes instead of rows, never after some: the request may be rebuilt and sent again.
                if not self._mended(fault, wsdl, session, mended):
                    raise fault_error(fault.code, fault.text, spec.operation, spec.right) from None
            except UnpromisedReplyError as error:
                if not self._mended(error, wsdl, session, mended):
                    raise
                if begun:
                    error.remedy = "again"
                    raise
            else:
                return

    def record(self, operation: str, key: str, *, right: str, repair: bool = False) -> Any:
        """One record in full by SOAP, or what belongs to one, as `record_shape` says: texts, dicts and lists.

        Args:
            operation: one that takes a key: an increment id, or else an id.
            key: which record.
            right: what the API user's role must allow for it.
            repair: take characters that XML forbids out of the reply before it is read.

        Raises:
            RemoteError: the call failed.
        """

        def send(wsdl: Wsdl, session: str) -> Any:
            request = self._message(wsdl, operation, wsdl.about(operation, session, key))
            with self._post(wsdl, operation, request) as reply:
                return decode_record(self._whole(reply, operation, repair=repair), wsdl.record_shape(operation))

        return self._mending(operation, right, send)

    def record_shape(self, operation: str) -> Shape:
        """What the WSDL promises of a record in full.

        Raises:
            RemoteError: it does not declare the operation.
        """
        return self._wsdl.record_shape(operation).value

    def multi_call(
        self, calls: Sequence[tuple[str, Sequence[Argument]]], *, right: str, repair: bool = False
    ) -> list[Any]:
        """What several calls answer that are made in one, by XML-RPC.

        It goes on in the session of SOAP: the shop keeps one table of sessions for both, and up to 1.3.1 the second
        login of a user ended the first.

        Args:
            calls: paths, such as "sales_order.info", each with its arguments.
            right: what the API user's role must allow for them.
            repair: take characters that XML forbids out of the reply before it is read.

        Returns:
            As many values, see `xmlrpc`; that of a call that failed is a dict with the keys isFault, faultCode and
            faultMessage.

        Raises:
            RemoteError: all of it failed, or the shop has no XML-RPC beside its SOAP.
        """
        headers = {"Content-Type": "text/xml; charset=utf-8"}
        arguments = [[path, list(given)] for path, given in calls]

        def send(wsdl: Wsdl, session: str) -> Any:
            address = xmlrpc.address_beside(wsdl.address)
            if address is None:
                raise RemoteError(f"{MULTI_CALL}: where XML-RPC would be cannot be told from {bare(wsdl.address)}")
            body = xmlrpc.request(MULTI_CALL, session, arguments)
            with self._posted(address, body, headers, MULTI_CALL) as reply:
                return xmlrpc.value_of(self._whole(reply, MULTI_CALL, repair=repair), MULTI_CALL)

        results = self._mending(MULTI_CALL, right, send)
        if not isinstance(results, list) or len(results) != len(calls):
            raise MalformedReplyError(
                f"{MULTI_CALL}: {len(calls)} calls were made in one, and not as many answered", remedy="isolate"
            )
        for result in results:
            for name in {"faultCode", "faultMessage"} & result.keys() if isinstance(result, dict) else ():
                result[name] = self.redacted(str(result[name]))
        return results

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
                self._http.keep_secret(answer)
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

    def _mending(self, operation: str, right: str, send: Callable[[Wsdl, str], Any]) -> Any:
        """What `send` gives; once more where the session had expired, or where the shop has another WSDL now."""
        mended: set[str] = set()
        while True:
            session, wsdl = self._session(), self._wsdl
            try:
                return send(wsdl, session)
            except ReplyFaultError as fault:
                if not self._mended(fault, wsdl, session, mended):
                    raise fault_error(fault.code, fault.text, operation, right) from None
            except UnpromisedReplyError as error:
                if not self._mended(error, wsdl, session, mended):
                    raise

    def _whole(self, reply: HttpReply, operation: str, *, repair: bool) -> bytes:
        """The body of a reply with records in full."""
        body = bytearray()
        try:
            for piece in without_forbidden(reply.pieces(), self._removed) if repair else reply.pieces():
                body += piece
                if len(body) > LONGEST_RECORDS:
                    raise MalformedReplyError(
                        f"{operation}: the reply is longer than {LONGEST_RECORDS} bytes", remedy="split"
                    )
        finally:
            self._received(reply.bytes)
        return bytes(body)

    def _short(self, operation: str, **arguments: Any) -> Any:
        """The answer to a call, asked for once more where the shop has another WSDL now."""
        wsdl = self._wsdl
        try:
            return self._ask(wsdl, operation, arguments)
        except ReplyFaultError as fault:
            if not self._renewed(wsdl, fault):
                raise
        return self._ask(self._wsdl, operation, arguments)

    def _ask(self, wsdl: Wsdl, operation: str, arguments: dict[str, Any], timeout: float | None = None) -> Any:
        request = self._message(wsdl, operation, arguments)
        with self._post(wsdl, operation, request, timeout) as reply:
            answer = decode_small(reply.body(), operation)
        self.tells_empty = breaks_lines(answer)
        return plain(_only_child(answer, operation))

    def _rows(
        self, wsdl: Wsdl, spec: ListSpec, conditions: Sequence[Condition], session: str, *, repair: bool
    ) -> Generator[Row]:
        arguments = {"sessionId": session, "filters": wsdl.filters(spec.operation, conditions)}
        for store in {"store", "storeView"} & wsdl.parts(spec.operation).keys():
            arguments[store] = ALL_STORES
        request = self._message(wsdl, spec.operation, arguments)
        check_rendered(request, conditions, spec.operation)
        shape, forms = wsdl.shape(spec.operation)
        with self._post(wsdl, spec.operation, request) as reply:
            pieces = without_forbidden(reply.pieces(), self._removed) if repair else reply.pieces()
            try:
                rows = decode(pieces, shape, forms)
                lists = [name for name in shape.row.required if is_list(shape.row.fields[name])]
                yield from self._with_lists(rows, lists, spec) if lists and not self._lists_come else rows
            finally:
                self._received(reply.bytes)

    def _with_lists(self, rows: Iterable[Row], lists: Sequence[str], spec: ListSpec) -> Generator[Row]:
        """Rows as they come; an error where the lists inside them were lost.

        In WS-I a list of ids that Magento 1.9.3.0 lost looks like an empty one. Where no product of a reply has one,
        the record of the last tells: in records that version keeps lists of ids.

        Args:
            rows: of one reply.
            lists: the fields of a row that are lists, and required: those of products.
            spec: the list.
        """
        row: Row | None = None
        for row in rows:
            self._lists_come = self._lists_come or any(row.get(name) for name in lists)
            yield row
        if row is None or self._lists_come or spec.record is None:
            return
        try:
            record = self.record(spec.record.soap, row[spec.record.key], right=spec.record.right)
        except LostListError:
            raise
        except RemoteError as error:
            log.warning("%s: whether the lists in its rows are lost cannot be told: %s", spec.operation, error)
            return
        if any(record.get(name) for name in (*lists, "categories", "websites")):
            raise LostListError(spec.operation, f"<{'> and <'.join(sorted(lists))}> came empty, but not in records")

    def _received(self, count: int) -> None:
        with self._counting:
            self.bytes_received += count

    def _removed(self, count: int) -> None:
        with self._counting:
            self.characters_removed += count

    @contextmanager
    def _post(self, wsdl: Wsdl, operation: str, request: Element, timeout: float | None = None) -> Generator[HttpReply]:
        """Send a call by SOAP; see `_posted`."""
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": f'"{wsdl.binding.get(operation).soapaction}"',
        }
        body = etree.tostring(request, xml_declaration=True, encoding="utf-8")
        with self._posted(wsdl.address, body, headers, operation, timeout) as reply:
            yield reply

    @contextmanager
    def _posted(
        self, address: str, body: bytes, headers: dict[str, str], operation: str, timeout: float | None = None
    ) -> Generator[HttpReply]:
        """Send a call. An answer that is no success is an error; nothing that is raised within shows a secret."""
        try:
            with self._http.post(address, body, headers, operation, timeout) as reply:
                self.server_date = reply.date
                if reply.status != OK:
                    self._refuse(reply, operation)
                yield reply
        except ReplyFaultError as fault:
            code = fault.code if fault.code in BY_CODE else self.redacted(fault.code)
            raise ReplyFaultError(code, self.redacted(fault.text[:LONGEST_FAULT])) from None

    def _refuse(self, reply: HttpReply, operation: str) -> NoReturn:
        """Raise what an answer that is no success means: the fault in it, or else its status."""
        body = reply.words()
        with suppress(MalformedReplyError):
            decode_small(body, operation)
        raise status_error(reply.status, operation, excerpt(body, self.redacted), reply.pause)

    def _message(self, wsdl: Wsdl, operation: str, arguments: dict[str, Any]) -> Element:
        try:
            return wsdl.message(operation, arguments)
        except RemoteError as error:
            raise RemoteError(self.redacted(str(error))) from None

    def _mended(
        self, failure: ReplyFaultError | UnpromisedReplyError, wsdl: Wsdl, session: str, mended: set[str]
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

    def _renewed(self, wsdl: Wsdl, failure: ReplyFaultError | UnpromisedReplyError) -> bool:
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
                log.info("the shop has another WSDL now: %s, %s", self.redacted(fresh.namespace), fresh.flavour)
                self._wsdl = fresh
            return True

    def _found(self, candidates: Sequence[str]) -> Wsdl:
        """The WSDL at the first address that answers with one."""
        for candidate in candidates[:-1]:
            try:
                return self._load(candidate)
            except (TransportError, MalformedReplyError) as error:
                if isinstance(error, TransportError) and error.status in {None, 401, 429, 503}:
                    raise  # the next address would fare no better
                log.debug("no WSDL at %s: %s", bare(candidate), error)
        return self._load(candidates[-1])

    def _load(self, address: str) -> Wsdl:
        """The WSDL at an address."""
        return load(self._http, address)

    def _check_address(self, wsdl: Wsdl) -> None:
        """Refuse a WSDL that sends calls, and the key with them, where the user did not mean them to go."""
        if not self._http.admits(wsdl.address):
            asked, told = origin(wsdl.location), origin(wsdl.address)
            shown = told if told.place == asked.place else told.place
            raise ValueError(
                self.redacted(
                    f"the WSDL of {asked.place} sends calls to {shown}; connect to {shown} itself, or allow it with "
                    f"allow_hosts=[{told.place!r}] (--allow-host {told.place})"
                )
            )
        check_secrecy(wsdl.address, self._http.options)


@dataclass(frozen=True, slots=True)
class ListSource:
    """One list of one shop: a `Source` for a `Paginator`.

    Attributes:
        connection: to the shop.
        spec: the list.
        repair: take characters that XML forbids out of replies before they are read, as strictly as ever; what that
            was is counted by the connection's `characters_removed`.
    """

    connection: Connection
    spec: ListSpec
    repair: bool = False

    @property
    def bytes_received(self) -> int:
        """Of all replies to lists so far, unpacked; a plan reads it."""
        return self.connection.bytes_received

    @property
    def shop(self) -> str:
        """Where calls go, without user, password and query."""
        return self.connection.alias or bare(self.connection.address)

    @property
    def url(self) -> str:
        """The shop's address as it was given, likewise."""
        return self.connection.alias or self.connection.url

    @property
    def clock(self) -> datetime | None:
        """The time that the last answer said it was there; None where it said none."""
        return self.connection.clock

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call."""
        return self.connection.rows(self.spec, query.conditions, repair=self.repair)


def _only_child(payload: Element, operation: str) -> Element:
    if len(payload) != 1:
        raise MalformedReplyError(f"{operation}: the reply has {len(payload)} parts instead of one")
    return payload[0]


@contextmanager
def _without_rows(operation: str) -> Generator[None]:
    """Turn the failures of a call that asks for no rows into errors with a remedy that fits it."""
    try:
        yield
    except ReplyFaultError as fault:
        raise without_rows(fault_error(fault.code, fault.text, operation)) from None
    except RemoteError as error:
        raise without_rows(error) from None


def _announce(error: BaseException | None, seconds: float) -> None:
    """Warn: who connects waits for it."""
    log.warning("%s; trying again in %.0f s", error, seconds)
