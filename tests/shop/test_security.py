"""A hostile server, over real HTTP: its replies are refused with an error, and memory stays bounded.

Each case is tried on the WSDL, the login and a list. Redirects, certificates, plain http, other hosts and secrets are
tested in other modules.
"""

from __future__ import annotations

import gzip
import zlib
from collections import deque
from contextlib import closing, contextmanager
from itertools import chain, count, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from conftest import missing
from connections import KEY, UP_TO_400, login_reply
from loopback import Request, reply, serving
from test_decoding import ROWS, rendered
from wsdls import wsdl

from magento_pager.errors import MalformedReplyError, RemoteError, TransportError
from magento_pager.lists import ORDERS
from magento_pager.shop.connection import Connection
from magento_pager.shop.transport import HttpOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator

MOST = 30_000_000
"""Bytes that an attack may take; the body has no end, or decompresses to many times as much."""
AS_A_TREE = 100_000_000
"""The same where the limit is on what was sent (`LONGEST_ROW`), and a tree of very small elements is built of it."""
CAP = 20_000_000
PIECE = 1 << 16
ALIKE = b"<item><order_id>1</order_id></item>"
HEAD = rendered("rpc", ROWS).partition(b"</result>")[0].replace(b"Entity[5]", b"Entity[999999999]")
GOOD = {"wsdl": wsdl("rpc"), "login": login_reply("rpc"), "list": rendered("rpc", ROWS)}
STAGES = list(GOOD)


class Attack(NamedTuple):
    """The bytes that a hostile server sends.

    Attributes:
        body: an endless one in pieces, or a whole.
        headers: sent with it.
        headless: the body is sent as more headers.
        most: bytes that it may take.
    """

    body: Iterable[bytes]
    headers: tuple[str, ...] = ()
    headless: bool = False
    most: int = MOST


def endless(start: bytes, part: bytes) -> Iterator[bytes]:
    """Return a body that never ends."""
    return chain([start], repeat(part * (1 + PIECE // len(part))))


def entities(good: bytes, document_type: str) -> bytes:
    """Return a valid answer with a document type, and a reference to its entity in a text."""
    text = good.replace(b"complete", b"&e;").replace(b"feedface", b"&e;").replace(b'name="Shop"', b'name="&e;"')
    assert text != good
    head, mark, rest = text.partition(b"?>")
    return head + mark + document_type.encode() + rest


LAUGHS = "".join(f'<!ENTITY {name} "{f"&{inner};" * 10}">' for inner, name in zip("abcdefgh", "bcdefghi", strict=True))
WITH_ENTITIES = {
    "document type": "<!DOCTYPE a [<!ELEMENT a ANY>]>",
    "internal entity": '<!DOCTYPE a [<!ENTITY e "harmless">]>',
    "billion laughs": f'<!DOCTYPE a [<!ENTITY a "ha">{LAUGHS}<!ENTITY e "&i;">]>',
    "quadratic blow-up": f'<!DOCTYPE a [<!ENTITY e "{"a" * 100_000}">]>',
    "external entity": '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
    "entity over http": '<!DOCTYPE a [<!ENTITY e SYSTEM "ELSEWHERE">]>',
    "parameter entity": '<!DOCTYPE a [<!ENTITY % p SYSTEM "ELSEWHERE"> %p;]>',
    "external subset": '<!DOCTYPE a SYSTEM "ELSEWHERE">',
    "behind a comment": '<!-- a --><!DOCTYPE a SYSTEM "ELSEWHERE">',
}


@contextmanager
def hostile(stage: str, attack: Attack, anew: Callable[[], Attack] | None = None) -> Iterator[str]:
    """Serve correct replies up to a stage, then an attack.

    A client that tries again reads the rest of the body; or all of it, where `anew` makes another attack each time.
    """

    def answer(connection: socket.socket, request: Request) -> None:
        host, port = connection.getsockname()
        asked = "wsdl" if request.head.startswith(b"GET") else "login" if b"<apiKey" in request.body else "list"
        if asked != stage:
            address = f"http://{host}:{port}/api/v2_soap/"
            connection.sendall(reply(wsdl("rpc", address=address) if asked == "wsdl" else GOOD[asked]))
            return
        head = ["HTTP/1.1 200 OK", "Connection: close", *attack.headers, *([] if attack.headless else [""]), ""]
        connection.sendall("\r\n".join(head).encode())
        for piece in (anew() if anew else attack).body:  # two threads cannot share a generator
            connection.sendall(piece)

    with serving(answer) as url:
        yield url


def attacked(url: str) -> RemoteError:
    """Return the error that reading a list from a hostile server raises."""
    with pytest.raises(RemoteError) as caught:
        read(url)
    assert "\n" not in str(caught.value)
    return caught.value


def read(url: str) -> list[dict[str, Any]]:
    """Return the last rows of a list, starting with the WSDL."""
    with closing(Connection(url, "me", KEY, HttpOptions(timeout=20, max_reply_bytes=CAP))) as connection:
        return list(deque(connection.rows(ORDERS, UP_TO_400), maxlen=len(ROWS)))


def grown(url: str) -> tuple[RemoteError, int]:
    """Return the error, and the growth of the process in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is from now on
    except OSError:
        missing("the peak of this process's memory cannot be measured")
    before = memory("VmRSS")
    error = attacked(url)
    return error, memory("VmHWM") - before


def memory(name: str) -> int:
    """Return the bytes of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


@pytest.mark.sampled
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", WITH_ENTITIES)
def test_no_entity_is_read(stage: str, kind: str) -> None:
    """A document type is refused before anything in it is expanded, read from a file or fetched."""
    asked: list[bytes] = []

    def elsewhere(connection: socket.socket, request: Request) -> None:
        asked.append(request.head)
        connection.sendall(reply(b'<!ENTITY e "harmless">'))

    with serving(elsewhere) as url:
        body = entities(GOOD[stage], WITH_ENTITIES[kind].replace("ELSEWHERE", url))
        with hostile(stage, Attack([body])) as shop:
            error, growth = grown(shop)
    assert isinstance(error, MalformedReplyError)
    assert error.remedy == "stop"
    assert "document type" in str(error) or "something other than a WSDL" in str(error)
    assert not asked
    assert growth < MOST


def zeros() -> Iterator[bytes]:
    """Yield 200 MB of zeros."""
    return repeat(bytes(1_000_000), 200)


def compressed(window: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Compress bytes as they are requested; in zlib's numbers, 31 is gzip and 15 is deflate."""
    packer = zlib.compressobj(wbits=window)
    yield from map(packer.compress, pieces)
    yield packer.flush()


def attacks(stage: str) -> dict[str, Attack]:
    """Return the attacks on the answer of a stage."""
    good = GOOD[stage]
    start = HEAD if stage == "list" else good[: good.rindex(b"<")]
    return {
        "deep nesting": Attack(endless(start, b"<a>")),
        "huge text": Attack(endless(start + b"<item><status>", b"a")),
        "huge attribute": Attack(endless(start + b"<item a='", b"a")),
        "many attributes": Attack(chain([start + b"<item "], (b"a%d='b' " % number for number in range(10**9)))),
        "many namespaces": Attack(chain([start + b"<item "], (b"xmlns:a%d='b' " % number for number in range(10**9)))),
        "huge tag": Attack(endless(start + b"<", b"a")),
        "comment": Attack(endless(start + b"<!--", b"a")),
        "cdata": Attack(endless(start + b"<![CDATA[", b"a")),
        "instruction": Attack(endless(start + b"<?php ", b"a")),
        "blank": Attack(endless(b"", b" ")),
        "look-alikes in a wrapper": Attack(endless(start + b"<junk>", ALIKE), most=AS_A_TREE),
        "look-alikes in look-alikes": Attack(endless(start, b"<item>" + ALIKE), most=AS_A_TREE),
        "junk among the rows": Attack(endless(start, ALIKE + b"<junk/>")),
        "rows without an end": Attack(endless(start, ALIKE)),
        "junk behind the end": Attack(endless(good, b"junk")),
        "blanks behind the end": Attack(endless(good, b"\n")),
        "elements behind the end": Attack(endless(good, ALIKE)),
        "a page": Attack(endless(b"<html><body>", b"<p>Welcome</p>")),
        "gzip bomb": Attack(compressed(31, zeros()), ("Content-Encoding: gzip",)),
        "deflate bomb": Attack(compressed(15, zeros()), ("Content-Encoding: deflate",)),
        "gzip bomb in a gzip": Attack(compressed(31, compressed(31, zeros())), ("Content-Encoding: gzip, gzip",)),
        "endless gzip": Attack(repeat(gzip.compress(bytes(1_000_000))), ("Content-Encoding: gzip",)),
        "endless header": Attack(endless(b"X: ", b"a"), headless=True),
        "endless headers": Attack(endless(b"", b"X: a\r\n"), headless=True),
        "endless chunk size": Attack(endless(b"", b"0"), ("Transfer-Encoding: chunked",)),
        "tiny chunks": Attack(endless(b"", b"10\r\n                \r\n"), ("Transfer-Encoding: chunked",)),
    }


@pytest.mark.sampled
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", attacks("list"))
def test_an_attack_ends_and_takes_no_memory(stage: str, kind: str) -> None:
    """Endless bodies and compression bombs are refused before they take much memory."""
    attack = attacks(stage)[kind]
    with hostile(stage, attack, lambda: attacks(stage)[kind]) as url:
        error, growth = grown(url)
    assert isinstance(error, MalformedReplyError | TransportError)
    assert growth < attack.most, f"{growth:,} bytes for: {error}"


@pytest.mark.parametrize("asked", [b"GET", b"POST"])
def test_the_body_of_a_redirect_is_not_read(asked: bytes) -> None:
    """The head is enough, and the body may have no end."""

    def answer(connection: socket.socket, request: Request) -> None:
        if not request.head.startswith(asked):
            host, port = connection.getsockname()
            connection.sendall(reply(wsdl("rpc", address=f"http://{host}:{port}/api/v2_soap/")))
            return
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\nConnection: close\r\n\r\n")
        for _ in range(100):
            connection.sendall(bytes(1_000_000))

    with serving(answer) as url:
        error, growth = grown(url)
    assert isinstance(error, TransportError)
    assert growth < MOST, f"{growth:,} bytes for: {error}"


@pytest.mark.parametrize(
    "more",
    [
        '<import namespace="urn:more" location="?more={}"/>',
        '<types><x:schema><x:import namespace="urn:more{0}" schemaLocation="?more={0}"/></x:schema></types>',
        '<types><x:schema><x:include schemaLocation="?more={}"/></x:schema></types>',
    ],
)
def test_endless_references_between_documents_are_refused(more: str) -> None:
    """Before Python's stack overflows."""
    numbers = count()

    def answer(connection: socket.socket, request: Request) -> None:
        leads = more.format(next(numbers))
        head = 'xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:x="http://www.w3.org/2001/XMLSchema"'
        body = f"<definitions {head}>{leads}</definitions>"
        if b"more=" in request.head and "x:schema" in more:
            body = leads[len("<types>") : -len("</types>")].replace("<x:schema", f"<x:schema {head}", 1)
        connection.sendall(reply(body.encode()))

    with serving(answer) as url, pytest.raises(MalformedReplyError, match="refers to more than 20 documents"):
        read(f"{url}?wsdl")


def test_a_valid_answer_is_read() -> None:
    """Otherwise the tests above would prove nothing."""
    with hostile("list", Attack([GOOD["list"]])) as url:
        assert read(url) == ROWS
