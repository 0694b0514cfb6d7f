"""HTTP: sockets, threads, addresses, cookies, limits. What nginx and PHP-FPM do in front of the API.

One thread per connection, kept alive. An answer is sent with its length if that is known, otherwise in pieces. Requests
are dispatched by their address here; the contents of SOAP and XML-RPC are not known here.
"""

from __future__ import annotations

import re
import secrets
import socket
import socketserver
import threading
import time
import zlib
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, urljoin, urlsplit

from magento_pager.fake import pages
from magento_pager.fake.api import PAGE_TYPE, REPLY_TYPE, Answer, Context, faulty, troubled, whole
from magento_pager.fake.faults import ShopFault
from magento_pager.fake.wsdl import ENCODING, wsdl

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from magento_pager.fake.api import Call
    from magento_pager.fake.sessions import CookieLocks
    from magento_pager.fake.settings import Settings
    from magento_pager.fake.workers import Workers

SOAP_PATH = "/index.php/api/v2_soap/"
"""The path for calls in the WSDL; without `/index.php`, or with `index/` at the end, it is answered too."""
XMLRPC_PATH = "/index.php/api/xmlrpc/"

_SOAP = re.compile(r"(/index\.php)?/api/v2_soap(/|/index/?|(?P<wsdl>/index/wsdl/1/?))?")
_XMLRPC = re.compile(r"(/index\.php)?/api/xmlrpc(/|/index/?)?")
_COOKIE = re.compile(r"PHPSESSID=([A-Za-z0-9,-]+)")
_COOKIE_SECONDS = 10_800
_NEVER_CACHE = (
    ("Expires", "Thu, 19 Nov 1981 08:52:00 GMT"),
    ("Cache-Control", "no-store, no-cache, must-revalidate"),
    ("Pragma", "no-cache"),
)
_DISCARDED = 2**26
"""Bytes of a refused request that are read and discarded, so that the client receives the answer."""


class Backend(Protocol):
    """The shop, as the web server sees it."""

    cookies: CookieLocks

    @property
    def settings(self) -> Settings:
        """The current settings."""
        ...

    @property
    def workers(self) -> Workers:
        """The current pool of PHP workers."""
        ...

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer a SOAP request."""
        ...

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer an XML-RPC request."""
        ...

    def record(self, call: Call) -> None:
        """Add an answered call to the log."""
        ...


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, as far as the shop reads it.

    Attributes:
        method: `GET` or `POST`.
        path: without the query.
        query: the last value of each name; empty if it has none.
        host: the requested host and port.
        cookie: the PHP session that the client sent back; None if it sent none.
        body: of a POST.
    """

    method: str
    path: str
    query: Mapping[str, str]
    host: str
    cookie: str | None
    body: bytes


@contextmanager
def answering(request: HttpRequest, shop: Backend, context: Context) -> Iterator[Answer]:
    """Answer a request. A worker and the PHP session of the cookie are held until the block ends.

    Raises:
        ConnectionAbortedError: the shop is stopped.
    """
    page = _without_php(request, context.settings)
    if page is not None:
        yield page
        return
    with shop.workers.place() as held, shop.cookies.held(request.cookie):
        if not held:
            raise ConnectionAbortedError
        # The time of a call is the worker's: waiting in the queue is additional.
        yield _by_php(request, shop, replace(context, started=time.monotonic()))


def _without_php(request: HttpRequest, settings: Settings) -> Answer | None:
    """Return the answer of the web server itself; None if the request is for the API."""
    if settings.outage == "maintenance":
        return _page(HTTPStatus.SERVICE_UNAVAILABLE, pages.MAINTENANCE)
    if settings.outage == "database":
        return _page(HTTPStatus.SERVICE_UNAVAILABLE, pages.DATABASE_DOWN)
    if settings.outage == "firewall":
        return _page(HTTPStatus.FORBIDDEN, pages.FORBIDDEN)
    if settings.outage == "redirect":
        return _moved(f"https://{request.host}{request.path}")
    if _SOAP.fullmatch(request.path) or (_XMLRPC.fullmatch(request.path) and not settings.no_xmlrpc):
        return None
    if request.path.removeprefix("/index.php") in {"", "/"}:
        return _page(HTTPStatus.OK, pages.STOREFRONT)
    return _page(HTTPStatus.NOT_FOUND, pages.NOT_FOUND)


def _by_php(request: HttpRequest, shop: Backend, context: Context) -> Answer:
    """Return the answer of the API."""
    soap_path = _SOAP.fullmatch(request.path)
    settings = context.settings.seen_by("xmlrpc" if soap_path is None else "soap")
    context = replace(context, settings=settings)
    if soap_path is None:
        answer = shop.xmlrpc(request.body, context)
        return troubled(answer, settings.trouble) if settings.in_trouble("calls") else answer
    base = settings.base_url or f"http://{request.host}/"
    address = urljoin(base, SOAP_PATH)
    other_host = urlsplit(base).netloc != request.host
    if request.method == "GET" and (soap_path["wsdl"] or _wants_wsdl(request.query, settings)):
        if other_host:
            return _moved(f"{address}?wsdl=1")
        answer = whole(200, REPLY_TYPE, wsdl(settings.profile, settings.flavour, address))
        return troubled(answer, settings.trouble) if settings.in_trouble("wsdl") else answer
    fault = _not_loaded(f"{address}?wsdl=1", shop.workers, settings, other_host=other_host)
    answer = shop.soap(request.body, context) if fault is None else faulty(fault, context)
    return troubled(answer, settings.trouble) if settings.in_trouble("calls") else answer


def _page(status: HTTPStatus, body: bytes) -> Answer:
    """Return an HTML page, sent without its length as by a live server."""
    return Answer(status, PAGE_TYPE, (body,), None, php=False)


def _moved(location: str) -> Answer:
    """Return a redirect."""
    return replace(_page(HTTPStatus.FOUND, pages.MOVED), location=location)


def _wants_wsdl(query: Mapping[str, str], settings: Settings) -> bool:
    """Return whether the request is for the WSDL; old versions need a value that is true in PHP."""
    return "wsdl" in query and (settings.profile.bare_wsdl or query["wsdl"] not in {"", "0"})


def _not_loaded(address: str, workers: Workers, settings: Settings, *, other_host: bool) -> ShopFault | None:
    """Return the fault if PHP cannot load the shop's own WSDL, which takes a second worker without a cache."""
    failed = settings.outage == "wsdl" or other_host
    if not failed and not settings.wsdl_cache:
        with workers.place(settings.socket_timeout) as granted:
            failed = not granted
    if failed:
        text = f"Parsing WSDL: Couldn't load from '{address}' : failed to load external entity \"{address}\"\n"
    elif settings.outage == "schema" and settings.flavour == "rpc":
        text = f"Parsing Schema: can't import schema from '{ENCODING}'"
    else:
        return None
    return ShopFault("WSDL", f"SOAP-ERROR: {text}", 500)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "magento_pager-embedded-shop"
    sys_version = ""
    wbufsize = 2**16
    disable_nagle_algorithm = True
    server: WebServer

    def setup(self) -> None:
        """Set up, and register the connection."""
        super().setup()
        self.server.register(self.connection)

    def finish(self) -> None:
        """Clean up; data that the client has not received is lost."""
        self.server.unregister(self.connection)
        with suppress(OSError):
            super().finish()

    def handle(self) -> None:
        """Answer requests until the client disconnects, the shop is stopped, or a row breaks a reply that has begun."""
        with suppress(ConnectionError, TimeoutError, ShopFault):
            super().handle()

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer(Context(self.server.shop.settings, time.monotonic()), b"")

    def do_POST(self) -> None:
        """Answer a POST."""
        settings = self.server.shop.settings
        text = self.headers.get("Content-Length", "")
        if not text.isdecimal():
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        length = int(text)
        if 0 < settings.body_limit < length:
            self._refuse(length)
            return
        body = self.rfile.read(length)
        self._answer(Context(settings, time.monotonic()), body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the `Date` of an answer, by the shop's own clock if it has one."""
        return super().date_time_string(self.server.shop.settings.now if timestamp is None else timestamp)

    def log_message(self, *_: object) -> None:
        """Log nothing: the shop keeps its own log."""

    def _answer(self, context: Context, body: bytes) -> None:
        """Answer a request that has been read, and log the call."""
        url = urlsplit(self.path)
        cookie = _COOKIE.search(self.headers.get("Cookie", ""))
        request = HttpRequest(
            self.command,
            url.path,
            dict(parse_qsl(url.query, keep_blank_values=True)),
            self.headers.get("Host") or self.server.host,
            cookie[1] if cookie else None,
            body,
        )
        with answering(request, self.server.shop, context) as answer:

            def log(size: int) -> None:
                if answer.call is not None:
                    seconds = time.monotonic() - context.started
                    self.server.shop.record(replace(answer.call, bytes=size, seconds=seconds))

            with closing(_logged(answer.pieces, log)) as pieces:
                self._send(replace(answer, pieces=pieces), request, compress=context.settings.gzip)

    def _send(self, answer: Answer, request: HttpRequest, *, compress: bool) -> None:
        """Send an answer."""
        pieces, length = answer.pieces, answer.length
        compress = compress and answer.php and "gzip" in self.headers.get("Accept-Encoding", "")
        if compress:
            pieces, length = _compressed(pieces), None
        in_chunks = length is None and self.request_version != "HTTP/1.0"
        self.close_connection = self.close_connection or (length is None and not in_chunks)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        if length is not None:
            self.send_header("Content-Length", str(length))
        elif in_chunks:
            self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close" if self.close_connection else "keep-alive")
        if compress:
            self.send_header("Content-Encoding", "gzip")
        if answer.location:
            self.send_header("Location", answer.location)
        for name, value in _php_headers(request) if answer.php else ():
            self.send_header(name, value)
        self.end_headers()
        self._send_body(pieces, length, in_chunks=in_chunks)

    def _send_body(self, pieces: Iterable[bytes], length: int | None, *, in_chunks: bool) -> None:
        """Send the body; if it is shorter than announced, the connection ends."""
        sent = 0
        for piece in pieces:
            if in_chunks and piece:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                self.wfile.write(piece)
            sent += len(piece)
        if in_chunks:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        if length is not None and sent != length:
            self.close_connection = True

    def _refuse(self, length: int) -> None:
        """Refuse a body as too large, unread; the connection ends."""
        self.close_connection = True
        self.send_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(pages.TOO_LARGE)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(pages.TOO_LARGE)
        self.wfile.flush()
        remaining = min(length, _DISCARDED)
        while remaining > 0 and (piece := self.rfile.read1(2**16)):
            remaining -= len(piece)


class WebServer(socketserver.ThreadingTCPServer):
    """The listening socket, and a thread for each connection.

    Args:
        address: host and port; port 0 takes a free one.
        shop: answers the requests.

    Attributes:
        host: the address it listens on, as a client would write it.
        shop: answers the requests.
    """

    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], shop: Backend) -> None:
        self.shop = shop
        self._open: set[socket.socket] = set()
        self._ending = False
        self._lock = threading.Lock()
        super().__init__(address, Handler)
        self.host = f"{address[0]}:{self.server_address[1]}"

    def register(self, connection: socket.socket) -> None:
        """Register a connection."""
        with self._lock:
            self._open.add(connection)
            if self._ending:
                _hang_up(connection)

    def unregister(self, connection: socket.socket) -> None:
        """Unregister a connection."""
        with self._lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """Stop listening, and close every connection; `server_close` then waits for their threads."""
        self.shutdown()
        with self._lock:
            self._ending = True
            for connection in self._open:
                _hang_up(connection)


def _logged(pieces: Iterable[bytes], log: Callable[[int], None]) -> Generator[bytes]:
    """Yield the pieces. Their size is logged before the last one, so the call is logged once the client has them all.

    >>> sizes = []
    >>> [(piece, *sizes) for piece in _logged([b"one", b"three"], sizes.append)]
    [(b'one',), (b'three', 8)]
    """
    size, last = 0, b""
    try:
        for piece in pieces:
            if last:
                yield last
            size, last = size + len(piece), piece
    finally:
        log(size)
    yield last


def _hang_up(connection: socket.socket) -> None:
    """Close a connection that another thread may be reading from or writing to."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in gzip's format.

    >>> import gzip
    >>> gzip.decompress(b"".join(_compressed([b"one ", b"two"])))
    b'one two'
    """
    gzip = zlib.compressobj(level=1, wbits=16 + zlib.MAX_WBITS)
    for piece in pieces:
        yield gzip.compress(piece)
    yield gzip.flush()


def _php_headers(request: HttpRequest) -> Iterator[tuple[str, str]]:
    """Yield the headers that PHP adds: a cookie, and headers that forbid caching.

    A client that sends its cookie back gets it once more, for longer and for secure connections only, as recorded.
    """
    lifetime = f"expires={formatdate(time.time() + _COOKIE_SECONDS, usegmt=True)}; Max-Age={_COOKIE_SECONDS}"
    cookie = (
        f"PHPSESSID={request.cookie or secrets.token_hex(13)}; {lifetime}; path=/; domain={request.host.split(':')[0]}"
    )
    if request.cookie is None:
        yield "Set-Cookie", f"{cookie}; HttpOnly"
    yield from _NEVER_CACHE
    if request.cookie is not None:
        yield "Set-Cookie", f"{cookie}; secure; HttpOnly; SameSite=None"
