"""Small servers on loopback that do what no correct server does: stall, drip, disconnect, send wrong lengths."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


class Request(NamedTuple):
    """A request of a client."""

    head: bytes
    body: bytes


@contextmanager
def serving(answer: Callable[[socket.socket, Request], None], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server that reads a whole request and then calls `answer`, and yield its address.

    Each connection has a thread.

    Args:
        answer: called with the connection and the first request; the connection is closed when it returns.
        tls: a context for TLS; None: no TLS.
    """
    connections: list[socket.socket] = []

    def converse(connection: socket.socket) -> None:
        with suppress(OSError):
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            with connection:
                answer(connection, receive(connection))

    def listen() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threading.Thread(target=converse, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=listen, daemon=True).start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}/api/v2_soap/"
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def receive(connection: socket.socket) -> Request:
    """Read the next request on a connection; raise ConnectionError if there is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive_part(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += _receive_part(connection)
    return Request(head, body)


def _receive_part(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the client closed the connection")
    return data


def reply(body: bytes, *headers: str, status: str = "200 OK", last: bool = True) -> bytes:
    """Return an HTTP reply as bytes; the last one of a connection has `Connection: close`."""
    closing = ["Connection: close"] if last else []
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *closing, *headers, "", ""]
    return "\r\n".join(head).encode() + body


def reset(connection: socket.socket) -> None:
    """Close the connection so that the other side sees a reset and not an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
