"""A proxy in front of an embedded shop that does to calls what networks, web servers and old PHP do to them.

It is a server on loopback with an event loop in a thread of its own. For each call a chooser names the fault to
commit, or none; whatever is chosen is done for real, on the socket. What it did is counted.
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
    "reset", "reset amid", "stall", "cut", "short", "empty", "page", "drip", "expire", "429", "500", "502", "503",
    "503 later", "504",
]  # fmt: skip
"""What can be done to a call.

- `reset`: the connection is reset before an answer; `reset amid`: in the middle of it.
- `stall`: no answer, until the client gives up.
- `cut`: the connection ends in the middle of the body; `short`: half a body that HTTP takes for a whole one; `empty`:
  none at all.
- `page`: HTTP 200 with a page of HTML.
- `drip`: the body comes byte by byte, more slowly than any client waits for.
- `expire`: all sessions end just before the call.
- a number: an error page with this status; `later`: which asks to be left alone for a second.
"""

KINDS: tuple[Fault, ...] = get_args(Fault)
Choose: TypeAlias = "Callable[[str], Fault | None]"
"""Which fault to commit at a call to that operation; the operation of a GET is empty."""

_OPERATION = re.compile(
    rb"Body[^>]*>\s*<(?:[\w-]+:)?(\w+?)(?:RequestParam|Param)?[\s/>]|<methodName>call<.*?<string>(\w+\.list)<",
    re.DOTALL,
)
"""The operation of a SOAP call, or the path of a list by XML-RPC."""
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_PAGE = b"<!DOCTYPE html>\n<html><head><title>Not now</title></head><body><p>Come back.</p></body></html>\n"
_DRIP = 0.05  # seconds from byte to byte
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets


def calm(_operation: str) -> None:
    """Commit no fault."""


def at_random(seed: int, share: float, kinds: Collection[Fault] = KINDS) -> Choose:
    """Commit faults of these kinds, each as likely as the others, at a share of all calls."""
    chance, choices = random.Random(seed), sorted(kinds)  # noqa: S311  no secret
    return lambda _: chance.choice(choices) if chance.random() < share else None


def planned(faults: Iterable[Fault | None], operation: str = "") -> Choose:
    """Commit these faults one after another, at calls to an operation or, by default, at all; then none."""
    left = iter(faults)
    return lambda called: next(left, None) if operation in {"", called} else None


class Answer(NamedTuple):
    """What the shop answered.

    Attributes:
        head: without the empty line behind it and without its framing.
        length: of the body, as announced; None where it was not.
        body: which may be shorter.
    """

    head: bytes
    length: int | None
    body: bytes


class ChaosProxy:
    """The proxy; a context manager.

    Attributes:
        choose: names the fault for each call; may be replaced at any time.
        poison: texts that no reply may hold, and the body with which such a reply is replaced.
        headers: values of headers, by name, that are put in the place of the shop's.
        done: how often each fault was committed; `poison` counts replies that were replaced, `passed` the others.
        asked: the operations called, in the order in which they came.
    """

    def __init__(self, shop: Shop, choose: Choose = calm) -> None:
        self.choose = choose
        self.poison: dict[bytes, bytes] = {}
        self.headers: dict[str, str] = {}
        self.done: Counter[str] = Counter()
        self.asked: list[str] = []
        self._shop = shop
        self._behind = urlsplit(shop.url)
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
        """Where SOAP calls go: the shop's WSDL names the host it was asked for, so calls come here too."""
        return urlunsplit(self._behind._replace(netloc=f"127.0.0.1:{self._port}"))

    @property
    def faults(self) -> int:
        """How many faults were committed."""
        return sum(count for kind, count in self.done.items() if kind in KINDS)

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
        """Answer the requests on one connection until one side has had enough."""
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
        """Answer one request, in the way that is chosen for it."""
        found = _OPERATION.search(body)
        operation = (found[1] or found[2]).decode() if found else ""
        self.asked.append(operation)
        kind = self.choose(operation)
        self.done[kind or "passed"] += 1
        match kind:
            case "reset":
                _reset(writer)
            case "stall":
                await reader.read(1)  # nothing more comes from a client but its end
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
                await self._pass_on(kind, await self._ask(head, body), reader, writer)

    async def _ask(self, head: bytes, body: bytes) -> Answer:
        """What the shop answers: in HTTP 1.0, so that its reply is in one piece and ends the connection."""
        reader, writer = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        asked, *headers = head.split(b"\r\n")
        headers = [line for line in headers if not line.lower().startswith(b"connection:")]
        writer.write(b"\r\n".join([asked.replace(b"HTTP/1.1", b"HTTP/1.0"), *headers]) + body)
        reply = await reader.read()
        writer.close()
        first, _, body = reply.partition(b"\r\n\r\n")
        length = _LENGTH.search(first)
        lines = [line for line in first.split(b"\r\n") if not line.lower().startswith((b"content-length", b"connect"))]
        for name, value in self.headers.items():
            lines = [line for line in lines if not line.lower().startswith(f"{name.lower()}:".encode())]
            lines.append(f"{name}: {value}".encode("latin-1"))
        return Answer(b"\r\n".join(lines), int(length[1]) if length else None, body)

    async def _pass_on(
        self, kind: Fault | None, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass an answer on, or a part of it."""
        whole, length = answer.body, answer.length
        for text, other in self.poison.items():
            if text in whole:
                whole, length = other, len(other)
                self.done["poison"] += 1
        half = whole[: len(whole) // 2]
        announced = len(half) if kind == "short" else len(whole) if length is None else length
        head = b"%b\r\nContent-Length: %d\r\n\r\n" % (answer.head, announced)
        match kind:
            case "drip":
                await _drip(head, whole, reader, writer)
            case "reset amid" | "cut":
                writer.write(head + half)
                await writer.drain()
                _reset(writer) if kind == "reset amid" else writer.close()
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
    """Send a body byte by byte, until the client hangs up."""
    writer.write(head)
    for number in range(len(body)):
        writer.write(body[number : number + 1])
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1), _DRIP)
            break
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Hang up so that the other side sees a reset."""
    writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    writer.transport.abort()
