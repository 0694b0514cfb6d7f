"""Failed calls as files for the shop's admin: the request and the raw reply, without secrets.

What lives here: the recording of a reply while it is read, the folder with its limits, and the format of a file. The
sender of a call knows its secrets, and the reader of a reply reports the failure.

A reply is kept in memory as it was received, and decompressed only when it is written.
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
"""The limit for the bytes that are kept of a reply, both as received and as decompressed."""
MOST_FILES = 1000
MOST_BYTES = 1 << 28
"""The limits for the files and bytes in a folder, those of earlier runs included."""
READ_ON = 5.0  # seconds, the limit for reading the rest of a refused reply

_STEP = 1 << 8  # bytes decompressed at once: about this many are lost where the compressed data is broken
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-\w*\.txt")


class Redactor(Protocol):
    """Removes secrets from texts and bodies."""

    def redacted(self, text: str) -> str:
        """Return a text without secrets."""

    def redacted_body(self, body: bytes, *more: str, login: bool = False) -> bytes:
        """Return a body without secrets and without `more`; for a login, also without its key and session."""


@dataclass(slots=True)
class Exchange:
    """A request, and the part of its reply that was read so far.

    Attributes:
        operation: what was called.
        request: as it was sent.
        response: the head, and the body, which may not be read yet.
        own_headers: the names of the user's headers, whose values are secret.
        received: the bytes of the body so far, as received, at most `LONGEST`.
        length: how many bytes were received.
    """

    operation: str
    request: requests.PreparedRequest
    response: requests.Response
    own_headers: Iterable[str] = ()
    received: bytearray = field(default_factory=bytearray)
    length: int = 0

    @property
    def is_login(self) -> bool:
        """True if the request contains the key, and the reply a session."""
        return self.operation == "login"

    def body(self) -> Any:
        """Return the body as urllib3 has it, recording what is read of it."""
        return _decompressing(_Recorder(self), self.response.headers.get("Content-Encoding", ""))

    def read(self, amount: int) -> bytes:
        """Read and keep what has arrived, at most `amount` bytes."""
        piece: bytes = self.response.raw.read1(amount, decode_content=False)
        self.received += piece[: LONGEST - len(self.received)]
        self.length += len(piece)
        return piece

    def read_on(self, seconds: float) -> None:
        """Read the rest, within the limits of size and time."""
        until = time.monotonic() + min(seconds, READ_ON)
        with suppress(urllib3.exceptions.HTTPError, OSError, ValueError):  # closed, or failed before
            while self.length < LONGEST and (left := until - time.monotonic()) > 0:
                connection = self.response.raw.connection
                if connection is not None and connection.sock is not None:
                    connection.sock.settimeout(left)
                if not self.read(1 << 16):
                    return

    def decompressed(self) -> tuple[bytes, bool]:
        """Return the body as far as it can be decompressed, and whether that is all of it."""
        received = bytes(self.received)
        declared = self.response.headers.get("Content-Encoding", "").lower().replace(" ", "")
        kind = declared if declared not in {"", "identity"} else compression_of(received)
        if not received or kind in {"", "brotli?"}:  # the latter is any data that is not text
            return received, True
        if set(kind.split(",")) - {*urllib3.HTTPResponse.CONTENT_DECODERS, "identity"}:
            return b"", False
        source, body = _decompressing(io.BytesIO(received), kind), bytearray()
        with suppress(urllib3.exceptions.HTTPError):
            while len(body) < LONGEST and (piece := source.read1(_STEP)):
                body += piece
            return bytes(body), True
        return bytes(body), False


class Latest(threading.local):
    """The last exchange of each thread.

    Attributes:
        exchange: this thread's; None if there is none, or replies are not saved.
    """

    exchange: Exchange | None = None


class _Recorder:
    """The body of a reply as a file that records what is read of it."""

    closed = False

    def __init__(self, exchange: Exchange) -> None:
        self.read = self.read1 = exchange.read

    def close(self) -> None:
        """Do nothing: the connection is closed elsewhere."""


def _decompressing(file: Any, encoding: str) -> urllib3.HTTPResponse:
    """Return a body that is decompressed while it is read from a file in this encoding."""
    headers = {"Content-Encoding": encoding} if encoding else {}
    return urllib3.HTTPResponse(file, headers=headers, preload_content=False)


class ReplyFolder:
    """A folder for failed calls. Safe to use from several threads, and by several processes at once."""

    def __init__(self, path: str | Path) -> None:
        """Create the folder, and check that files can be written to it.

        Raises:
            ValueError: they cannot.
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
                f"replies cannot be saved in {self.path}: {error.strerror}. Use a folder that can be written to"
            ) from None

    def save(self, exchange: Exchange, error: RemoteError, redactor: Redactor) -> Path | None:
        """Write a failed call to a file, and return its path.

        The same failure of the same request is written once, however often it is repeated.

        Returns:
            None if the file could not be written.
        """
        request = _request(exchange, redactor)
        words = re.sub(r"[0-9]+", "", str(error))  # without seconds and bytes, which vary
        digest = hashlib.sha256(b"%b\0%d\0%b" % (request, exchange.response.status_code, words.encode())).digest()
        with self._lock:
            if (before := self._written.get(digest)) is not None and before.exists():
                return before
            parts = [f"{error}\n\n---- request ----\n".encode(), request, *_reply(exchange, redactor)]
            try:
                if self._is_full(sum(map(len, parts))):
                    self._warn("it is full. Move its files elsewhere")
                    return None
                path = self._written[digest] = self._write(exchange.operation, parts)
            except OSError as failure:
                self._warn(str(failure.strerror))
                return None
        return path

    def _is_full(self, more: int) -> bool:
        with os.scandir(self.path) as entries:
            sizes = [entry.stat().st_size for entry in entries if _NAME.fullmatch(entry.name)]
        return len(sizes) >= MOST_FILES or sum(sizes) + more > MOST_BYTES

    def _write(self, operation: str, parts: Iterable[bytes]) -> Path:
        """Write a file that other users cannot read; leave none if it cannot be written completely."""
        name = re.sub(r"\W+", "_", operation, flags=re.ASCII)[:60]
        descriptor = None
        while descriptor is None:
            path = self.path / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{name}.txt"
            with suppress(FileExistsError):  # created in the same microsecond
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  a file descriptor
                file.writelines(parts)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"a reply could not be saved in {self.path}: {reason}", stacklevel=2)


def _request(exchange: Exchange, redactor: Redactor) -> bytes:
    """Return the request as it was sent, without secrets."""
    request = exchange.request
    body = request.body or b""
    shown = redactor.redacted_body(body.encode() if isinstance(body, str) else body, login=exchange.is_login)
    line = redactor.redacted(f"{request.method} {request.url}")
    return b"%b\n%b\n%b" % (line.encode(), _headers(exchange, request.headers.items(), redactor), shown)


def _reply(exchange: Exchange, redactor: Redactor) -> list[bytes]:
    """Return the reply with its body decompressed, or also as received if it could not be decompressed completely."""
    response = exchange.response
    cookies = re.findall(r"(?:^|, )[^=;,\s]+=([^;,\s]{8,})", response.headers.get("Set-Cookie", ""))
    body, whole = exchange.decompressed()
    shown = redactor.redacted_body(body[:LONGEST], *cookies, login=exchange.is_login)
    cut = f" (the first {LONGEST} bytes)" if max(exchange.length, len(body)) > LONGEST else ""
    line = redactor.redacted(f"HTTP {response.status_code} {response.reason or ''}").rstrip()
    head = _headers(exchange, response.raw.headers.items(), redactor)
    parts = [f"\n\n---- reply{cut} ----\n{line}\n".encode(), head, b"\n", shown]
    if whole:
        return parts
    if exchange.is_login or shown != body[:LONGEST]:  # compressed data cannot be searched
        return [*parts, b"\n\n---- it cannot be decompressed to its end; the raw bytes may contain secrets ----\n"]
    raw = redactor.redacted_body(bytes(exchange.received), *cookies)  # it may not be compressed at all
    return [*parts, b"\n\n---- it cannot be decompressed to its end; as received ----\n", raw]


def _headers(exchange: Exchange, headers: Iterable[tuple[str, str]], redactor: Redactor) -> bytes:
    """Return headers as HTTP writes them, without secrets."""
    hidden = {*_SECRET_HEADERS, *map(str.lower, exchange.own_headers)}
    shown = [(name, HIDDEN if name.lower() in hidden else redactor.redacted(value)) for name, value in headers]
    return "".join(f"{name}: {value}\n" for name, value in shown).encode()
