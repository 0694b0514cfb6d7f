"""Failed calls as files, for the shop's admin: the request and the raw reply, without what nobody may read.

What lives here: what a call leaves behind as its reply is read, the folder with its bounds, and what a file looks like.
What is secret is known to who sends it, and that a call failed is said by who reads its reply.

A reply is kept as it comes over the wire, and unpacked only when it is written.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import urllib3
import urllib3.exceptions

from magento_pager.shop.failures import compression_of
from magento_pager.shop.redacting import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    import requests

    from magento_pager.errors import RemoteError

LONGEST = 1 << 24
"""Bytes of a reply that are kept, both of those that came and of those that were unpacked from them."""
MOST_FILES = 1000
MOST_BYTES = 1 << 28
"""Files and bytes that a folder may hold; those of earlier runs count."""
READ_ON = 5.0  # seconds at most for which the rest of a reply that was refused is read

_UNPACKED = 1 << 8  # bytes unpacked at once: about so many are lost where packed ones are broken
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-\w*\.txt")


class Redactor(Protocol):
    """Who knows what nobody may read."""

    def redacted(self, text: str) -> str:
        """Return a text without it."""

    def redacted_body(self, body: bytes, *more: str, login: bool = False) -> bytes:
        """Return a body without it and without `more`; that of a login also without what only a login holds."""


@dataclass(slots=True)
class Exchange:
    """A request, and what came of its reply so far.

    Attributes:
        operation: what was called.
        request: as it was sent.
        response: the head, and the body that is still to be read.
        own_headers: those that the user gave, whose values nobody may read.
        came: the bytes of the body so far, as they came, `LONGEST` at most.
        length: how many there were.
    """

    operation: str
    request: requests.PreparedRequest
    response: requests.Response
    own_headers: Iterable[str] = ()
    came: bytearray = field(default_factory=bytearray)
    length: int = 0

    @property
    def is_login(self) -> bool:
        """True where the request holds the key, and the reply a session."""
        return self.operation == "login"

    def body(self) -> Any:
        """Return the body as urllib3 has it; what is read of it is kept."""
        return _uncompression_of(_Tap(self), self.response.headers.get("Content-Encoding", ""))

    def read(self, amount: int) -> bytes:
        """Read what has arrived, at most `amount` bytes of it, and keep it."""
        piece: bytes = self.response.raw.read1(amount, decode_content=False)
        self.came += piece[: LONGEST - len(self.came)]
        self.length += len(piece)
        return piece

    def read_on(self, seconds: float) -> None:
        """Read the rest, as far as it is kept and comes in time."""
        until = time.monotonic() + min(seconds, READ_ON)
        with suppress(urllib3.exceptions.HTTPError, OSError, ValueError):  # closed, or whatever ended it before
            while self.length < LONGEST and (left := until - time.monotonic()) > 0:
                connection = self.response.raw.connection
                if connection is not None and connection.sock is not None:
                    connection.sock.settimeout(left)
                if not self.read(1 << 16):
                    return

    def unpacked(self) -> tuple[bytes, bool]:
        """Return the body as far as it can be unpacked, and whether it could be to its end."""
        came = bytes(self.came)
        declared = self.response.headers.get("Content-Encoding", "").lower().replace(" ", "")
        kind = declared if declared not in {"", "identity"} else compression_of(came)
        if not came or kind in {"", "brotli?"}:  # the latter is any byte that is no text
            return came, True
        if set(kind.split(",")) - {*urllib3.HTTPResponse.CONTENT_DECODERS, "identity"}:
            return b"", False
        source, body = _uncompression_of(io.BytesIO(came), kind), bytearray()
        with suppress(urllib3.exceptions.HTTPError):
            while len(body) < LONGEST and (piece := source.read1(_UNPACKED)):
                body += piece
            return bytes(body), True
        return bytes(body), False


class Latest(threading.local):
    """What each thread sent and received last.

    Attributes:
        exchange: this thread's; None where there is none, or replies are not saved.
    """

    exchange: Exchange | None = None


class _Tap:
    """The body of a reply as a file, which keeps what is read of it."""

    closed = False

    def __init__(self, exchange: Exchange) -> None:
        self.read = self.read1 = exchange.read

    def close(self) -> None:
        """Leave the connection to whoever has it."""


def _uncompression_of(file: Any, packed: str) -> urllib3.HTTPResponse:
    """A body that is unpacked as it is read, from a file that has it packed so."""
    headers = {"Content-Encoding": packed} if packed else {}
    return urllib3.HTTPResponse(file, headers=headers, preload_content=False)


class ReplyFolder:
    """A folder for failed calls. Safe to use from several threads, and by several processes at once."""

    def __init__(self, path: str | Path) -> None:
        """Make the folder, and see that it takes files.

        Raises:
            ValueError: it does not.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        self._written: dict[bytes, Path] = {}
        self._warned = False
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write("trial", [b"?"]).unlink()
        except OSError as error:
            raise ValueError(
                f"replies cannot be saved in {self.path}: {error.strerror}; name a folder that can be written"
            ) from None

    def save(self, exchange: Exchange, error: RemoteError, redactor: Redactor) -> Path | None:
        """Write down a call that failed, and return the file.

        The same failure of the same request is written once, however often it is tried again.

        Returns:
            None where it could not be written.
        """
        request = _request(exchange, redactor)
        words = re.sub(r"[0-9]+", "", str(error))  # without seconds and bytes, which vary
        what = hashlib.sha256(b"%b\0%d\0%b" % (request, exchange.response.status_code, words.encode())).digest()
        with self._lock:
            if (before := self._written.get(what)) is not None and before.exists():
                return before
            parts = [f"{error}\n\n---- request ----\n".encode(), request, *_reply(exchange, redactor)]
            try:
                if self._is_full(sum(map(len, parts))):
                    self._warn("it is full, so that no more are; move its files away")
                    return None
                path = self._written[what] = self._write(exchange.operation, parts)
            except OSError as failure:
                self._warn(str(failure.strerror))
                return None
        return path

    def _is_full(self, more: int) -> bool:
        with os.scandir(self.path) as entries:
            sizes = [entry.stat().st_size for entry in entries if _NAME.fullmatch(entry.name)]
        return len(sizes) >= MOST_FILES or sum(sizes) + more > MOST_BYTES

    def _write(self, operation: str, parts: Iterable[bytes]) -> Path:
        """Write a file that nobody else may read; none where it cannot be written whole."""
        name = re.sub(r"\W+", "_", operation, flags=re.ASCII)[:60]
        descriptor = None
        while descriptor is None:
            path = self.path / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{name}.txt"
            with suppress(FileExistsError):  # in the same microsecond
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  it is open
                file.writelines(parts)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _warn(self, words: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"a reply could not be saved in {self.path}: {words}", stacklevel=2)


def _request(exchange: Exchange, redactor: Redactor) -> bytes:
    """The request as it was sent."""
    request = exchange.request
    body = request.body or b""
    sent = redactor.redacted_body(body.encode() if isinstance(body, str) else body, login=exchange.is_login)
    line = redactor.redacted(f"{request.method} {request.url}")
    return b"%b\n%b\n%b" % (line.encode(), _headers(exchange, request.headers.items(), redactor), sent)


def _reply(exchange: Exchange, redactor: Redactor) -> list[bytes]:
    """The reply: its body unpacked, and as it came where it could not be unpacked to its end."""
    response = exchange.response
    cookies = re.findall(r"(?:^|, )[^=;,\s]+=([^;,\s]{8,})", response.headers.get("Set-Cookie", ""))
    body, whole = exchange.unpacked()
    shown = redactor.redacted_body(body[:LONGEST], *cookies, login=exchange.is_login)
    cut = f" (the first {LONGEST} bytes)" if max(exchange.length, len(body)) > LONGEST else ""
    line = redactor.redacted(f"HTTP {response.status_code} {response.reason or ''}").rstrip()
    head = _headers(exchange, response.raw.headers.items(), redactor)
    parts = [f"\n\n---- reply{cut} ----\n{line}\n".encode(), head, b"\n", shown]
    if whole:
        return parts
    if exchange.is_login or shown != body[:LONGEST]:  # what is packed cannot be searched
        return [*parts, b"\n\n---- it cannot be unpacked to its end; as it came, it may hold what is secret ----\n"]
    packed = redactor.redacted_body(bytes(exchange.came), *cookies)  # it may not be packed at all
    return [*parts, b"\n\n---- it cannot be unpacked to its end; as it came ----\n", packed]


def _headers(exchange: Exchange, headers: Iterable[tuple[str, str]], redactor: Redactor) -> bytes:
    """Headers as HTTP has them."""
    hidden = {*_SECRET_HEADERS, *map(str.lower, exchange.own_headers)}
    shown = [(name, HIDDEN if name.lower() in hidden else redactor.redacted(value)) for name, value in headers]
    return "".join(f"{name}: {value}\n" for name, value in shown).encode()
