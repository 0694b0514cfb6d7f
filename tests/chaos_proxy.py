"""A proxy in front of an embedded shop that disturbs calls as networks, web servers and old PHP do.

It is a server on loopback with an event loop in a thread of its own. For each call a function chooses the fault to
cause, or none. Faults are real ones, on the socket, and they are counted.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from types import TracebackType
    from typing import Self

    from magento_pager.fake import Shop

Fault: TypeAlias = Literal[
    "reset", "reset midway", "stall", "cut", "short", "empty", "page", "drip", "expire", "429", "500", "502", "503",
    "503 later", "504",
]  # fmt: skip
"""Faults of a call.

- `reset`: the connection is reset before the reply; `reset midway`: in the middle of it.
- `stall`: no reply, until the client gives up.
- `cut`: the connection ends in the middle of the body; `short`: half a body, with a length that
  makes it look complete to HTTP; `empty`: an empty body.
- `page`: HTTP 200 with an HTML page.
- `drip`: the body comes byte by byte, more slowly than any client waits for.
- `expire`: all sessions end just before the call.
- a number: an error page with this HTTP status; `later`: with a `Retry-After` of one second.
"""

KINDS: tuple[Fault, ...] = get_args(Fault)
Choose: TypeAlias = "Callable[[str], Fault | None]"
"""Chooses the fault of a call, by its operation; the operation of a GET is an empty text."""

_OPERATION = re.compile(
    rb"Body[^>]*>\s*<(?:[\w-]+:)?(\w+?)(?:RequestParam|Param)?[\s/>]|<methodName>call<.*?<string>(\w+\.list)<",
    re.DOTALL,
)
"""The operation of a SOAP call, or the path of a list in XML-RPC."""
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_PAGE = b"<!DOCTYPE html>\n<html><head><title>Not now</title></head><body><p>Come back.</p></body></html>\n"
_DRIP = 0.05  # seconds from byte to byte
_AT_ONCE = struct.pack("ii", 1, 0)  # for SO_LINGER: closing sends a reset


def no_faults(_operation: str) -> None:
    """Cause no fault."""


def randomly(seed: int, fraction: float, kinds: Collection[Fault] = KINDS) -> Choose:
    """Return a function that causes faults of these kinds, all equally likely, in a fraction of all calls."""
    chance, choices = random.Random(seed), sorted(kinds)  # noqa: S311  no secret
    return lambda _: chance.choice(choices) if chance.random() < fraction else None


def in_turn(faults: Iterable[Fault | None], operation: str = "") -> Choose:
    """Return a function that causes these faults in turn, in calls of one operation or of all, and then none."""
    left = iter(faults)
    return lambda called: next(left, None) if operation in {"", called} else None


class Reply(NamedTuple):
    """A reply of the shop.

    Attributes:
        head: without the empty line after it and without the headers that frame the body.
        length: of the body, as announced; None if it was not announced.
        body: which may be shorter.
    """

    head: bytes
    length: int | None
    body: bytes


class ChaosProxy:
    """The proxy; a context manager.

    Attributes:
        choose: chooses the fault of each call; may be replaced at any time.
        poison: texts that break a reply, each with the body that replaces such a reply.
        headers: values of headers, by name, that replace those of the shop.
        counts: how often each fault occurred; `poison` counts replaced replies, `passed` undisturbed calls.
        operations: the operations called, in order.
    """

    def __init__(self, shop: Shop, choose: Choose = no_faults) -> None:
        self.choose = choose
        self.poison: dict[bytes, bytes] = {}
        self.headers: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.operations: list[str] = []
        self._shop = shop
        self._shop_url = urlsplit(shop.url)
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="chaos proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """The address for SOAP calls. The WSDL names the requested host, so later calls use the proxy as well."""
        return urlunsplit(self._shop_url._replace(netloc=f"127.0.0.1:{self._port}"))

    @property
    def faults(self) -> int:
        """Number of faults so far."""
        return sum(count for kind, count in self.counts.items() if kind in KINDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        async with server:
            self._port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._end.wait()
            server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests on one connection until one side closes it."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                await self._answer(head, body, reader, writer)
        writer.close()

    async def _answer(
        self, head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request, with the fault that is chosen for it."""
        operation_match = _OPERATION.search(body)
        operation = (operation_match[1] or operation_match[2]).decode() if operation_match else ""
        self.operations.append(operation)
        kind = self.choose(operation)
        self.counts[kind or "passed"] += 1
        match kind:
            case "reset":
                _reset(writer)
            case "stall":
                await reader.read(1)  # returns when the client closes the connection
                writer.close()
            case "page":
                await _send(writer, "200 OK", _PAGE)
            case "empty":
                await _send(writer, "200 OK", b"")
            case "503 later":
                await _send(writer, "503 Service Unavailable", _PAGE, "Retry-After: 1")
            case "429" | "500" | "502" | "503" | "504":
                await _send(writer, f"{kind} Not now", _PAGE)
            case _:
                if kind == "expire":
                    self._shop.sessions.end_all()
                await self._pass_on(kind, await self._forward(head, body), reader, writer)

    async def _forward(self, head: bytes, body: bytes) -> Reply:
        """Send a request to the shop and return the reply: in HTTP 1.0, so that it is in one piece and ends there."""
        reader, writer = await asyncio.open_connection(self._shop_url.hostname, self._shop_url.port)
        first_line, *headers = head.split(b"\r\n")
        headers = [line for line in headers if not line.lower().startswith(b"connection:")]
        writer.write(b"\r\n".join([first_line.replace(b"HTTP/1.1", b"HTTP/1.0"), *headers]) + body)
        reply = await reader.read()
        writer.close()
        reply_head, _, body = reply.partition(b"\r\n\r\n")
        length = _LENGTH.search(reply_head)
        lines = [
            line for line in reply_head.split(b"\r\n") if not line.lower().startswith((b"content-length", b"connect"))
        ]
        for name, value in self.headers.items():
            lines = [line for line in lines if not line.lower().startswith(f"{name.lower()}:".encode())]
            lines.append(f"{name}: {value}".encode("latin-1"))
        return Reply(b"\r\n".join(lines), int(length[1]) if length else None, body)

    async def _pass_on(
        self, kind: Fault | None, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Send a reply to the client, or a part of it."""
        whole, length = reply.body, reply.length
        for text, replacement in self.poison.items():
            if text in whole:
                whole, length = replacement, len(replacement)
                self.counts["poison"] += 1
        half = whole[: len(whole) // 2]
        announced = len(half) if kind == "short" else len(whole) if length is None else length
        head = b"%b\r\nContent-Length: %d\r\n\r\n" % (reply.head, announced)
        match kind:
            case "drip":
                await _drip(head, whole, reader, writer)
            case "reset midway" | "cut":
                writer.write(head + half)
                await writer.drain()
                _reset(writer) if kind == "reset midway" else writer.close()
            case _:
                writer.write(head + (half if kind == "short" else whole))
                await writer.drain()
                if announced > len(whole):
                    writer.close()


async def _send(writer: asyncio.StreamWriter, status: str, body: bytes, *headers: str) -> None:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: text/html", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + body)
    await writer.drain()


async def _drip(head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a body byte by byte, until the client closes the connection."""
    writer.write(head)
    for number in range(len(body)):
        writer.write(body[number : number + 1])
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), _DRIP)
            break
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection so that the other side sees a reset."""
    writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()
