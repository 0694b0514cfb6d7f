"""HTTP with guards: one session, no cookies, a deadline and a byte cap on every call, no redirects of a POST.

What lives here: requests and TLS, the reading of HTTP statuses, and which hosts receive secrets; neither SOAP nor zeep.
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

from magento_pager.errors import SMALLER, RemoteError, TransportError
from magento_pager.shop.origins import allowed_host, check_secrecy, origin, redacted_url
from magento_pager.shop.redacting import login_in_address, login_in_header, redact_library_logs, redacted, redacted_body
from magento_pager.shop.saving import Exchange, Latest, ReplyFolder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

PIECE = 1 << 18  # bytes read at once
SHORT = 1 << 23  # bytes, the limit for a body that is not a list, such as a WSDL; the longest known has half a million
SHORTEST_SECRET = 8  # characters of a header's value

OK = 200
MOST_REDIRECTS = 5
LONGEST_PAUSE = 300.0  # seconds, the limit for a server's Retry-After
SESSIONS_KEPT = 8  # ended sessions that are still redacted, because a server may quote one later

_ALTERED = "Check whether a proxy alters it"
_HUNG_UP = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # a reset, as seen from within TLS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the shop is reached.

    Attributes:
        timeout: time limit for one call, in seconds, more than 0; only a server that drips its headers can exceed it.
        headers: sent to the shop with every call and every request for a document.
        basic_auth: user and password of the web server's own login, not of the API; sent like `headers`.
        ca_bundle: path of the certificates to trust, instead of the system's.
        proxy: address of an HTTP proxy; None for that of `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
        legacy_tls: also accept TLS 1.0 and the ciphers of its time; only for hosts that support nothing newer.
        insecure_http: also send the key over plain http to a host that is not this machine.
        allow_hosts: further hosts, each HOST (any port) or HOST:PORT. The shop's WSDL may direct calls there, with
            everything that calls to the shop carry, and documents may be fetched from there, without `basic_auth` and
            `headers`.
        max_reply_bytes: the limit for the decompressed bytes of a reply.
        patience: seconds for which to retry fetching the WSDL and logging in after a failure that may pass, such as
            maintenance mode; 0 to try once. Lists are not retried here.
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
        """The secrets that calls carry. Short header values do not count: redacting them would damage other words."""
        secrets = [value for value in self.headers.values() if len(value) >= SHORTEST_SECRET]
        logins = [self.basic_auth or ("", ""), *map(login_in_header, secrets)]
        logins += map(login_in_address, (self.proxy or "", *getproxies().values()))
        for user, password in logins:
            secrets += [password, _basic(user, password)] if password else []
        return tuple(secrets)

    def __post_init__(self) -> None:
        if not 0 < self.timeout < threading.TIMEOUT_MAX:
            raise ValueError(f"the timeout must be more than 0 seconds, not {self.timeout}")
        if not 0 <= self.patience < threading.TIMEOUT_MAX:
            raise ValueError(f"the time to wait must be 0 seconds or more, not {self.patience}")
        if self.ca_bundle and not Path(self.ca_bundle).exists():
            raise ValueError(f"the file of certificates {self.ca_bundle} does not exist")
        for name, value in self.headers.items():
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or not re.fullmatch(
                r"[!-~]([ -~]*[!-~])?", value
            ):
                raise ValueError(f"the header {name!r} has a name or a value that HTTP does not allow")
        for host in self.allow_hosts:
            allowed_host(host)


class HttpReply:
    """An answer whose body is not read yet.

    Attributes:
        status: the HTTP status.
        date: the server's own clock, its `Date` header; None where it sent none.
        location: the address it redirects to; None if it does not redirect.
        pause: seconds for which it asks for no calls, as `retry_after` reads them.
        bytes: how many bytes of the body were read so far, decompressed.
        announced: bytes of the body by its Content-Length; None if that is unknown or counts compressed bytes.
    """

    def __init__(self, exchange: Exchange, began: float, timeout: float, options: HttpOptions, subject: str) -> None:
        response = exchange.response
        self.status = response.status_code
        self.date = response.headers.get("Date")
        self.location = _target(str(response.url), response.headers["Location"]) if response.is_redirect else None
        self.pause = retry_after(response.headers.get("Retry-After"), self.date)
        self.bytes = 0
        length = response.headers.get("Content-Length", "")
        encoding = response.headers.get("Content-Encoding", "")
        self.announced = int(length) if length.isdecimal() and not encoding else None
        self._encodings = {name.strip().lower() for name in encoding.split(",")} - {""}
        self._raw = response.raw
        self._body = exchange.body() if options.save_replies else response.raw
        self._began = began
        self._timeout = timeout
        self._options = options
        self._subject = subject

    def pieces(self, limit: int | None = None) -> Iterator[bytes]:
        """Yield the body as it arrives, decompressed.

        Args:
            limit: in bytes, if lower than that of the options.

        Raises:
            TransportError: the body was cut short, took too long, or is longer than allowed.
        """
        if unknown := self._encodings - set(urllib3.HTTPResponse.CONTENT_DECODERS) - {"identity"}:
            raise TransportError(
                f"{self._subject}: the answer cannot be decompressed: it is encoded as {min(unknown)!r}, not as gzip. "
                f"{_ALTERED}",
                remedy="isolate",
                status=self.status,
            )
        most = self._options.max_reply_bytes
        limit = min(limit or most, most)
        with _explained(self._subject, self._began):
            while piece := self._read():
                self.bytes += len(piece)
                if self.bytes > limit:
                    raise TransportError(
                        f"{self._subject}: the answer is longer than {limit} bytes. {SMALLER}",
                        remedy="split" if limit == most else "stop",
                        status=self.status,
                    )
                yield piece

    def body(self) -> bytes:
        """Return the whole of a short body.

        Raises:
            TransportError: see `pieces`, or it is longer than `SHORT`.
        """
        body = bytearray()  # a list of small pieces could take many times the memory
        for piece in self.pieces(SHORT):
            body += piece
        return bytes(body)

    def error_body(self) -> bytes:
        """Return the body of a failure; nothing if it cannot be read, because the status says enough."""
        with suppress(TransportError):
            return self.body()
        return b""

    def _read(self) -> bytes:
        """Return what has arrived, at most a piece; a dripping server could delay a whole piece beyond any limit."""
        waited = time.monotonic() - self._began
        left = self._timeout - waited
        if left <= 0:
            raise TransportError(
                f"{self._subject}: the answer was not complete after {self._timeout:g} s. {SMALLER} or a longer "
                "--timeout",
                remedy="split",
                status=self.status,
                pause=waited,  # the server may be busy with it for that long again
            )
        if self._raw.connection is not None and self._raw.connection.sock is not None:
            self._raw.connection.sock.settimeout(left)
        piece: bytes = self._body.read1(PIECE, decode_content=True)
        return piece


class HttpSession:
    """One client of one shop. Safe to use from several threads, one call each.

    Attributes:
        options: how the shop is reached.
        closed: True once the session is closed and sends nothing.
        latest: the last call of each thread, if replies are saved.
    """

    def __init__(self, options: HttpOptions, shop: str, *secrets: str) -> None:
        """Prepare the session without connecting.

        Args:
            options: how the shop is reached.
            shop: an address of the shop; secrets are bound to its scheme, host and port.
            secrets: further texts that no message may repeat.
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
        # PHP locks a cookie's session during a call: with the cookie, calls would run one after another.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": "magento-pager", "Accept-Encoding": "gzip"})
        self._session.auth = self._authorized
        self._proxies = {"http": options.proxy, "https": options.proxy} if options.proxy else {}
        if options.legacy_tls:
            self._session.mount("https://", _LegacyTls())

    def keep_secret(self, session: str) -> None:
        """Redact a session id from now on; only the latest ones are kept."""
        self._sessions.append(session)

    def redacted(self, text: str) -> str:
        """Return a text from outside without secrets."""
        return redacted(text, *self._secrets, *tuple(self._sessions))

    def redacted_body(self, body: bytes, *more: str, login: bool = False) -> bytes:
        """Return a body without secrets, and without `more`."""
        return redacted_body(body, *self._secrets, *tuple(self._sessions), *more, login=login)

    def save(self, error: RemoteError, exchange: Exchange | None) -> None:
        """Save the call of an error if replies are saved, and let the error name the file."""
        if self.options.save_replies and exchange and error.reply_file is None:
            error.reply_file = self.options.save_replies.save(exchange, error, self)

    def admits(self, url: str) -> bool:
        """Return True for an address of the shop itself, or of a host that the user allows."""
        try:
            target = origin(url)
        except ValueError:
            return False
        return self._shop.covers(target) or any(
            target.host == host and port in {None, target.port} for host, port in self._allowed
        )

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the secrets of the shop to a request, after checking its address; nothing else adds them.

        Because requests calls it as `auth`, no password is taken from ~/.netrc or an address.

        Raises:
            ValueError: the request would go to another host than the shop or an allowed one, or unencrypted.
        """
        url = str(request.url)
        if not self.admits(url):
            reason = f"{redacted_url(url)} is not at {self._shop}. If you trust it, allow it with --allow-host"
            raise ValueError(self.redacted(reason))
        check_secrecy(url, insecure_http=self.options.insecure_http)
        if request.method == "POST" or self._shop.covers(origin(url)):
            for name, value in self.options.headers.items():
                if name not in request.headers or name in self._session.headers:
                    request.headers[name] = value
            if self.options.basic_auth is not None:
                request.headers["Authorization"] = f"Basic {_basic(*self.options.basic_auth)}"
        return request

    @contextmanager
    def get(self, url: str, subject: str) -> Generator[HttpReply]:
        """Fetch a document; follow redirects to the shop itself and to allowed hosts.

        Raises:
            TransportError: there is no answer, or a redirect that is not followed.
        """
        for _ in range(MOST_REDIRECTS):
            with self._exchange("GET", url, subject) as reply:
                if reply.location is None:
                    yield reply
                    return
                if not self.admits(reply.location):
                    raise _redirected(subject, reply.location, reply.status)
                url = reply.location
        reason = f"{subject}: the server redirects more than {MOST_REDIRECTS} times, at last to {redacted_url(url)}"
        raise TransportError(self.redacted(reason), remedy="stop")

    @contextmanager
    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], subject: str, timeout: float | None = None
    ) -> Generator[HttpReply]:
        """Send a call; the connection is closed if the block is left before the body was read to its end.

        Args:
            url: the address.
            body: the call.
            headers: sent with it.
            subject: the operation, for messages.
            timeout: for the call, in seconds, if lower than that of the options.

        Raises:
            TransportError: there is no answer, or a redirect.
        """
        with self._exchange("POST", url, subject, timeout, data=body, headers=headers) as reply:
            if reply.location is not None:
                raise _redirected(subject, reply.location, reply.status)
            yield reply

    def close(self) -> None:
        """Close all connections; later calls are refused."""
        self.closed = True
        self._session.close()

    @contextmanager
    def _exchange(
        self, method: str, url: str, subject: str, timeout: float | None = None, **arguments: Any
    ) -> Generator[HttpReply]:
        """Send a request; no RemoteError that is raised by it or within the block contains a secret."""
        if self.closed:
            raise ValueError(f"{subject}: the connection to the shop is closed. Connect again")
        timeout = min(timeout or self.options.timeout, self.options.timeout)
        began = time.monotonic()
        with self.unrevealing():
            with _explained(subject, began):
                request = self._session.prepare_request(requests.Request(method, url, **arguments))
                address = str(request.url)
                # Options win over the environment, and the environment over the session.
                settings: Any = self._session.merge_environment_settings(
                    address, dict(self._proxies), stream=True, verify=self.options.ca_bundle or True, cert=None
                )
                # Not with the session's `send`, which reads the whole body of a redirect, whatever its length.
                send = self._session.get_adapter(address).send
                response = send(request, timeout=(min(timeout, 15), timeout), **settings)
            exchange = Exchange(subject if method == "POST" else "WSDL", request, response, self.options.headers)
            reply = HttpReply(exchange, began, timeout, self.options, subject)
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
                log.debug("%s: HTTP %d, %d bytes, %.3f s", self.redacted(subject), reply.status, reply.bytes, waited)

    @contextmanager
    def unrevealing(self) -> Generator[None]:
        """Redact every RemoteError that is raised within."""
        try:
            yield
        except RemoteError as error:
            error.args = (self.redacted(error.args[0]),)
            raise


def retry_after(value: str | None, date: str | None) -> float:
    """Return the seconds for which a server asks for no calls, at most `LONGEST_PAUSE`; 0.0 without a valid value.

    Args:
        value: its `Retry-After` header: seconds, or the time of the next call.
        date: its `Date` header, the clock of that time; None for this machine's clock.

    >>> retry_after("20", None), retry_after("86400", None), retry_after("-1", None), retry_after("soon", None)
    (20.0, 300.0, 0.0, 0.0)
    >>> retry_after("Sun, 22 Nov 2026 08:57:23 GMT", "Sun, 22 Nov 2026 08:56:53 GMT"), retry_after(None, None)
    (30.0, 0.0)
    """
    if value is None:
        return 0.0
    if re.fullmatch(r"[ \t]*[0-9]+[ \t]*", value):
        return min(float(value), LONGEST_PAUSE)
    until, now = http_time(value), http_time(date) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), LONGEST_PAUSE) if until else 0.0


def http_time(date: str | None) -> datetime | None:
    """Return a time as HTTP writes it, in UTC; None for any other text.

    >>> http_time("Wed, 01 May 2024 12:00:00 +0200").isoformat(), http_time("Fri, 31 Dec 9999 23:59:59 -2300")
    ('2024-05-01T10:00:00+00:00', None)
    """
    try:
        time_sent = parsedate_to_datetime(date or "")
        return (time_sent if time_sent.tzinfo else time_sent.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):  # for an impossible year, offset or part
        return None


@contextmanager
def _explained(subject: str, began: float) -> Generator[None]:
    """Turn errors of requests and urllib3 into errors that say what to do; `began` is a monotonic time."""
    try:
        yield
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _translated(error, subject, time.monotonic() - began) from None


def _translated(error: Exception, subject: str, waited: float) -> Exception:
    """Return our error for one of requests or urllib3 after `waited` seconds; the order of the kinds counts."""
    cause = _innermost(error)
    text = (cause.strerror if isinstance(cause, OSError) else None) or str(cause) or type(cause).__name__
    reason = " ".join(redacted(text).split())
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError) and not isinstance(
        cause, _HUNG_UP
    ):
        return TransportError(
            f"{subject}: no trusted connection: {reason}. Use --ca-bundle for a certificate of your own, "
            "or --legacy-tls if the host supports only old TLS",
            remedy="stop",
        )
    if isinstance(error, requests.exceptions.ConnectTimeout | urllib3.exceptions.ConnectTimeoutError):
        return TransportError(
            f"{subject}: the connection failed: no answer. Check the address and that the server is up", remedy="retry"
        )
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return TransportError(
            f"{subject}: there was no answer in time. {SMALLER} or a longer --timeout",
            remedy="split",
            pause=waited,  # the server may be busy with it for that long again
        )
    if isinstance(error, InvalidURL | InvalidSchema | MissingSchema):
        return ValueError(f"{subject}: the address cannot be used: {redacted(str(error))}")
    if isinstance(error, urllib3.exceptions.DecodeError):
        return TransportError(f"{subject}: the answer cannot be decompressed: {reason}. {_ALTERED}", remedy="isolate")
    if isinstance(error, urllib3.exceptions.ProtocolError) and not isinstance(cause, OSError):
        return TransportError(
            f"{subject}: the answer was cut short: {reason}. PHP failed, often for lack of memory, or Content-Length "
            f"is longer than the body. {SMALLER}",
            remedy="split",
        )
    if isinstance(error, urllib3.exceptions.HTTPError | requests.exceptions.ConnectionError):
        return TransportError(
            f"{subject}: the connection failed: {reason}. Check the address and that the server is up", remedy="retry"
        )
    return TransportError(f"{subject}: {reason}", remedy="stop")


def _innermost(error: BaseException) -> BaseException:
    """Return the innermost of nested errors, because the outer ones repeat addresses."""
    nested = [getattr(error, "reason", None), *reversed(error.args), error.__cause__]
    inner = next((item for item in nested if isinstance(item, BaseException)), None)
    return _innermost(inner) if inner else error


def _target(url: str, location: str) -> str:
    """Return the address that a redirect leads to, or its own text if that is not an address."""
    try:
        return urljoin(url, location)
    except ValueError:
        return location


def _basic(user: str, password: str) -> str:
    """Return a login as HTTP sends it."""
    pair = f"{user}:{password}"
    try:
        return b64encode(pair.encode("latin-1")).decode()
    except UnicodeEncodeError:
        return b64encode(pair.encode()).decode()


def _redirected(subject: str, target: str, status: int) -> TransportError:
    return TransportError(
        f"{subject}: HTTP {status}; the server redirects to {redacted_url(target)}. Use that address as the shop's",
        remedy="stop",
        status=status,
    )


class _LegacyTls(HTTPAdapter):
    """TLS 1.0 and its ciphers, for hosts that support nothing newer."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("DEFAULT@SECLEVEL=0")
        super().init_poolmanager(*args, ssl_context=context, **kwargs)
