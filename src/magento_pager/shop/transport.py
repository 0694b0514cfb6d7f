"""HTTP with guards: one session, no cookies, a deadline and a byte cap on every call, no redirects of a POST.

What lives here: everything about requests and TLS, the reading of HTTP statuses, and who is sent what is secret. It
knows no SOAP and no zeep.
"""

from __future__ import annotations

import logging
import re
import ssl
import threading
import time
from base64 import b64encode
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from urllib.request import getproxies

import requests
import urllib3
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema

from magento_pager.errors import RemoteError, TransportError
from magento_pager.shop.origins import allowed_host, check_secrecy, origin, redacted_url
from magento_pager.shop.redacting import login_in_address, login_in_header, redact_library_logs, redacted, redacted_body
from magento_pager.shop.saving import Exchange, Latest, ReplyFolder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

PIECE = 1 << 18  # bytes read at once
SHORT = 1 << 23  # bytes of an answer that is no list, a WSDL or a page, are never more: none seen had half a million
SHORTEST_SECRET = 8  # characters of a header

OK = 200
MOST_REDIRECTS = 5
LONGEST_PAUSE = 300.0  # seconds that a server's Retry-After is heeded at most
SESSIONS_KEPT = 8  # of those that ended, for a server that speaks of one later

_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # a reset, as seen from within TLS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the shop is reached.

    Attributes:
        timeout: seconds one call may take in all, more than 0; only a server that drips its headers can take longer.
        headers: sent to the shop with every call and every request for a document.
        basic_auth: user and password of the web server's own protection, not of the API; sent as `headers` are.
        ca_bundle: path of the certificates to trust, instead of the usual ones.
        proxy: address of an HTTP proxy; without it `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are heeded.
        legacy_tls: also accept TLS 1.0 and the ciphers of its time; only for hosts that know nothing newer.
        insecure_http: also send the key over plain http to a host that is not this machine.
        allow_hosts: further hosts, each HOST (any port of it) or HOST:PORT. The shop's WSDL may send calls there, which
            then carry all that they carry to the shop, and documents may come from there, which are asked for without
            `basic_auth` and `headers`.
        max_reply_bytes: a longer reply, unpacked, is refused.
        patience: seconds to go on trying to fetch the WSDL and to log in where that fails in a way that may pass, as
            when the shop is in maintenance; 0 to try once. Lists are not tried again here.
        save_replies: a folder for the request and the reply of each call that fails, see `saving`; None to save none.
    """

    timeout: float = 120.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    proxy: str | None = field(default=None, repr=False)
    legacy_tls: bool = False
    insecure_http: bool = False
    allow_hosts: frozenset[str] = frozenset()
    max_reply_bytes: int = 1 << 28
    patience: float = 0.0
    save_replies: ReplyFolder | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is sent with calls and no message may repeat. Short headers are none, and would tear words apart."""
        found = [value for value in self.headers.values() if len(value) >= SHORTEST_SECRET]
        logins = [self.basic_auth or ("", ""), *map(login_in_header, found)]
        logins += map(login_in_address, (self.proxy or "", *getproxies().values()))
        for user, password in logins:
            found += [password, _basic(user, password)] if password else []
        return tuple(found)

    def __post_init__(self) -> None:
        if not 0 < self.timeout < threading.TIMEOUT_MAX:
            raise ValueError(f"a timeout is more than 0 seconds, not {self.timeout}")
        if not 0 <= self.patience < threading.TIMEOUT_MAX:
            raise ValueError(f"patience is 0 seconds or more, not {self.patience}")
        if self.ca_bundle and not Path(self.ca_bundle).exists():
            raise ValueError(f"there is no file of certificates {self.ca_bundle}")
        for name, value in self.headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(
                r"[!-~]([ -~]*[!-~])?", value
            ):
                raise ValueError(f"the header {name!r} has a name or a value that HTTP does not allow")
        for host in self.allow_hosts:
            allowed_host(host)


class HttpReply:
    """An answer whose body is still to be read.

    Attributes:
        status: the HTTP status.
        date: the server's own clock, its `Date` header; None where it sent none.
        location: where it redirects to; None where it does not.
        pause: seconds that it asks to be left alone, as `retry_after` reads it.
        bytes: of the body read so far, unpacked.
        announced: bytes of the body, as its Content-Length says; None where it says nothing of the unpacked body.
    """

    def __init__(self, exchange: Exchange, began: float, timeout: float, options: HttpOptions, what: str) -> None:
        response = exchange.response
        self.status = response.status_code
        self.date = response.headers.get("Date")
        self.location = _target(str(response.url), response.headers["Location"]) if response.is_redirect else None
        self.pause = retry_after(response.headers.get("Retry-After"), self.date)
        self.bytes = 0
        length = response.headers.get("Content-Length", "")
        packing = response.headers.get("Content-Encoding", "")
        self.announced = int(length) if length.isdecimal() and not packing else None
        self._packing = {one.strip().lower() for one in packing.split(",")} - {""}
        self._raw = response.raw
        self._body = exchange.body() if options.save_replies else response.raw
        self._began = began
        self._timeout = timeout
        self._options = options
        self._what = what

    def pieces(self, limit: int | None = None) -> Iterator[bytes]:
        """The body as it arrives, unpacked.

        Args:
            limit: bytes that are too many, where fewer are expected than the options allow.

        Raises:
            TransportError: it was cut short, took too long, or is longer than allowed.
        """
        if unknown := self._packing - set(urllib3.HTTPResponse.CONTENT_DECODERS) - {"identity"}:
            raise TransportError(
                f"{self._what}: the answer cannot be unpacked: it is packed by {min(unknown)!r}; gzip was asked for",
                remedy="isolate",
                status=self.status,
            )
        most = self._options.max_reply_bytes
        limit = min(limit or most, most)
        with _explained(self._what, self._began):
            while piece := self._read():
                self.bytes += len(piece)
                if self.bytes > limit:
                    raise TransportError(
                        f"{self._what}: the answer is longer than {limit} bytes; ask for less at once (--window)",
                        remedy="split" if limit == most else "stop",
                        status=self.status,
                    )
                yield piece

    def body(self) -> bytes:
        """The whole of a body that is expected to be short.

        Raises:
            TransportError: see `pieces`; it is longer than `SHORT`.
        """
        body = bytearray()  # a list of pieces could take many times as much, if they are small
        for piece in self.pieces(SHORT):
            body += piece
        return bytes(body)

    def words(self) -> bytes:
        """The body of an answer that is no success; nothing where it cannot be read, for its status says enough."""
        with suppress(TransportError):
            return self.body()
        return b""

    def _read(self) -> bytes:
        """What has arrived, at most a piece: to wait for a whole one would let a dripping server outlast any limit."""
        waited = time.monotonic() - self._began
        left = self._timeout - waited
        if left <= 0:
            raise TransportError(
                f"{self._what}: still no end of the answer after {self._timeout:g} s; ask for less at once "
                "(--window) or allow more time (--timeout)",
                remedy="split",
                status=self.status,
                pause=waited,  # the server may be busy with it as long again
            )
        if self._raw.connection is not None and self._raw.connection.sock is not None:
            self._raw.connection.sock.settimeout(left)
        piece: bytes = self._body.read1(PIECE, decode_content=True)
        return piece


class HttpSession:
    """One client of one shop. Safe to use from several threads, one call each.

    Attributes:
        options: how the shop is reached.
        closed: True once nothing is sent any more.
        latest: the last call of each thread, where replies are saved.
    """

    def __init__(self, options: HttpOptions, shop: str, *secrets: str) -> None:
        """Connect to nothing yet.

        Args:
            options: how the shop is reached.
            shop: an address of the shop; what is secret is bound to its scheme, host and port.
            secrets: what else no message may repeat.
        """
        self.options = options
        self.closed = False
        self._shop = origin(shop)
        self._allowed = [allowed_host(host) for host in options.allow_hosts]
        self._secrets = (*secrets, *options.secrets)
        self._sessions: deque[str] = deque(maxlen=SESSIONS_KEPT)
        self.latest = Latest()
        redact_library_logs(self)
        self._session = requests.Session()
        # PHP locks a cookie's session for the length of a call: sent back, it would put all calls in a row.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": "magento-pager", "Accept-Encoding": "gzip"})
        self._session.auth = self._authorized
        self._proxies = {"http": options.proxy, "https": options.proxy} if options.proxy else {}
        if options.legacy_tls:
            self._session.mount("https://", _LegacyTls())

    def keep_secret(self, session: str) -> None:
        """Let no message repeat a session id, one of those begun last."""
        self._sessions.append(session)

    def redacted(self, text: str) -> str:
        """Return a text from outside without what nobody may read."""
        return redacted(text, *self._secrets, *tuple(self._sessions))

    def redacted_body(self, body: bytes, *more: str, login: bool = False) -> bytes:
        """Return a body without what nobody may read, and without `more`."""
        return redacted_body(body, *self._secrets, *tuple(self._sessions), *more, login=login)

    def save(self, error: RemoteError, exchange: Exchange | None) -> None:
        """Write down the call that an error is about, where replies are saved, and let the error name the file."""
        if self.options.save_replies and exchange and error.reply_file is None:
            error.reply_file = self.options.save_replies.save(exchange, error, self)

    def admits(self, url: str) -> bool:
        """Return True for an address of the shop itself, or of a host that the user allows."""
        try:
            where = origin(url)
        except ValueError:
            return False
        return self._shop.covers(where) or any(
            where.host == host and port in {None, where.port} for host, port in self._allowed
        )

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Put what only the shop may see on a request: the one place where that is done, and where a call is let go.

        requests calls its `auth` for each request, and then takes no password from ~/.netrc or an address.

        Raises:
            ValueError: it would go to neither the shop nor an allowed host, or readable by anyone.
        """
        url = str(request.url)
        if not self.admits(url):
            raise ValueError(
                self.redacted(
                    f"{redacted_url(url)} is not at {self._shop}. If you trust it, allow it with --allow-host"
                )
            )
        check_secrecy(url, insecure_http=self.options.insecure_http)
        if request.method == "POST" or self._shop.covers(origin(url)):
            for name, value in self.options.headers.items():
                if name not in request.headers or name in self._session.headers:
                    request.headers[name] = value
            if self.options.basic_auth is not None:
                request.headers["Authorization"] = f"Basic {_basic(*self.options.basic_auth)}"
        return request

    @contextmanager
    def get(self, url: str, what: str) -> Generator[HttpReply]:
        """Fetch a document; redirects are followed to the shop itself and to allowed hosts.

        Raises:
            TransportError: no answer, or a redirect that is not followed.
        """
        for _ in range(MOST_REDIRECTS):
            with self._exchange("GET", url, what) as reply:
                if reply.location is None:
                    yield reply
                    return
                if not self.admits(reply.location):
                    raise _redirected(what, reply.location, reply.status)
                url = reply.location
        raise TransportError(
            self.redacted(f"{what}: the server redirects in a circle, at last to {redacted_url(url)}"), remedy="stop"
        )

    @contextmanager
    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], what: str, timeout: float | None = None
    ) -> Generator[HttpReply]:
        """Send a call; the connection is closed when the block is left before the body was read to its end.

        Args:
            url: where to.
            body: what to say.
            headers: sent with it.
            what: the operation, for messages.
            timeout: seconds the call may take in all, where that is less than the options allow.

        Raises:
            TransportError: no answer, or a redirect.
        """
        with self._exchange("POST", url, what, timeout, data=body, headers=headers) as reply:
            if reply.location is not None:
                raise _redirected(what, reply.location, reply.status)
            yield reply

    def close(self) -> None:
        """Close all connections; nothing is sent afterwards."""
        self.closed = True
        self._session.close()

    @contextmanager
    def _exchange(
        self, method: str, url: str, what: str, timeout: float | None = None, **arguments: Any
    ) -> Generator[HttpReply]:
        """Send a request; no RemoteError that is raised from it or within shows a secret."""
        if self.closed:
            raise ValueError(f"{what}: the connection to the shop is closed")
        timeout = min(timeout or self.options.timeout, self.options.timeout)
        began = time.monotonic()
        with self.unrevealing():
            with _explained(what, began):
                request = self._session.prepare_request(requests.Request(method, url, **arguments))
                address = str(request.url)
                # What is given comes before the environment, and that before what is set for the session.
                ways: Any = self._session.merge_environment_settings(
                    address, dict(self._proxies), stream=True, verify=self.options.ca_bundle or True, cert=None
                )
                # Not by the session's `send`, which reads the whole body of a redirect, whatever its length.
                response = self._session.get_adapter(address).send(request, timeout=(min(timeout, 15), timeout), **ways)
            exchange = Exchange(what if method == "POST" else "WSDL", request, response, self.options.headers)
            reply = HttpReply(exchange, began, timeout, self.options, what)
            try:
                yield reply
            except Exception:
                if self.options.save_replies:
                    exchange.read_on(timeout - (time.monotonic() - began))
                raise
            finally:
                self.latest.exchange = exchange if self.options.save_replies else None
                response.close()
                waited = time.monotonic() - began
                log.debug("%s: HTTP %d, %d bytes, %.3f s", self.redacted(what), reply.status, reply.bytes, waited)

    @contextmanager
    def unrevealing(self) -> Generator[None]:
        """Let no RemoteError that is raised within show a secret."""
        try:
            yield
        except RemoteError as error:
            error.args = (self.redacted(error.args[0]),)
            raise


def retry_after(value: str | None, date: str | None) -> float:
    """Seconds that a server asks to be left alone, at most `LONGEST_PAUSE`; 0.0 where it asks for nothing sensible.

    Args:
        value: its `Retry-After` header: seconds, or the time from which on it may be asked again.
        date: its `Date` header, by whose clock that time is; without it, ours.

    >>> retry_after("20", None), retry_after("86400", None), retry_after("-1", None), retry_after("soon", None)
    (20.0, 300.0, 0.0, 0.0)
    >>> retry_after("Sun, 22 Nov 2026 08:57:23 GMT", "Sun, 22 Nov 2026 08:56:53 GMT"), retry_after(None, None)
    (30.0, 0.0)
    """
    if value is None:
        return 0.0
    if re.fullmatch(r"\s*[0-9]+\s*", value):
        return min(float(value), LONGEST_PAUSE)
    until, now = http_time(value), http_time(date) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_PAUSE) if until else 0.0


def http_time(date: str | None) -> datetime | None:
    """Return a time as HTTP writes it, in UTC; None where it is none.

    >>> http_time("Wed, 01 May 2024 12:00:00 +0200").isoformat(), http_time("Fri, 31 Dec 9999 23:59:59 -2300")
    ('2024-05-01T10:00:00+00:00', None)
    """
    try:
        time_said = parsedate_to_datetime(date or "")
        return (time_said if time_said.tzinfo else time_said.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):  # of a year, an offset or a part that no time has
        return None


@contextmanager
def _explained(what: str, began: float) -> Generator[None]:
    """Turn what requests and urllib3 raise into an error that says what to do; the clock of `began` is monotonic."""
    try:
        yield
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _translated(error, what, time.monotonic() - began) from None


def _translated(error: Exception, what: str, waited: float) -> Exception:
    """What an error of requests or urllib3 means, after so many seconds; the order of the kinds counts."""
    cause = _innermost(error)
    said = (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__
    reason = " ".join(redacted(said).split())
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError) and not isinstance(
        cause, _HUNG_UP
    ):
        return TransportError(
            f"{what}: no trusted connection: {reason}; if the host is of an older age try --legacy-tls, for a "
            "certificate of your own --ca-bundle",
            remedy="stop",
        )
    if isinstance(error, requests.exceptions.ConnectTimeout | urllib3.exceptions.ConnectTimeoutError):
        return TransportError(
            f"{what}: the connection failed: no answer; check the address and that the server is up", remedy="retry"
        )
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return TransportError(
            f"{what}: no answer in time; ask for less at once (--window) or allow more time (--timeout)",
            remedy="split",
            pause=waited,  # the server may be busy with it as long again
        )
    if isinstance(error, InvalidURL | InvalidSchema | MissingSchema):
        return ValueError(f"{what}: an address that cannot be used: {redacted(str(error))}")
    if isinstance(error, urllib3.exceptions.DecodeError):
        return TransportError(f"{what}: the answer cannot be unpacked: {reason}", remedy="isolate")
    if isinstance(error, urllib3.exceptions.ProtocolError) and not isinstance(cause, OSError):
        return TransportError(
            f"{what}: the answer was cut short: {reason}: PHP gave up, often for lack of memory, or Content-Length is "
            "longer than the body; ask for less at once (--window)",
            remedy="split",
        )
    if isinstance(error, urllib3.exceptions.HTTPError | requests.exceptions.ConnectionError):
        return TransportError(
            f"{what}: the connection failed: {reason}; check the address and that the server is up", remedy="retry"
        )
    return TransportError(f"{what}: {reason}", remedy="stop")


def _innermost(error: BaseException) -> BaseException:
    """The error at the bottom of a nested one: the outer layers repeat addresses."""
    nested = [getattr(error, "reason", None), *reversed(error.args), error.__cause__]
    inner = next((part for part in nested if isinstance(part, BaseException)), None)
    return _innermost(inner) if inner else error


def _target(url: str, location: str) -> str:
    """Where a redirect leads; as it says itself where it is no address."""
    try:
        return urljoin(url, location)
    except ValueError:
        return location


def _basic(user: str, password: str) -> str:
    """A login as HTTP sends it."""
    pair = f"{user}:{password}"
    try:
        return b64encode(pair.encode("latin-1")).decode()
    except UnicodeEncodeError:
        return b64encode(pair.encode()).decode()


def _redirected(what: str, target: str, status: int) -> TransportError:
    return TransportError(
        f"{what}: HTTP {status}; the server redirects to {redacted_url(target)}. Use that address as the shop's",
        remedy="stop",
        status=status,
    )


class _LegacyTls(HTTPAdapter):
    """TLS as it was when these shops were young."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        super().init_poolmanager(*args, ssl_context=context, **kwargs)
