"""Failures of HTTP: servers on loopback that stall, drip, hang up, mislead and redirect."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Request, receive, reply, reset, serving

from magento_pager.errors import TransportError
from magento_pager.shop.redacting import redacted
from magento_pager.shop.transport import LONGEST_PAUSE, PIECE, SHORT, HttpOptions, HttpSession, http_time, retry_after

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENOUGH = 20.0  # seconds in which everything here is over, if it ends at all
QUICK = HttpOptions(timeout=1)
PATIENT = HttpOptions(timeout=ENOUGH)
NO_HEADERS: dict[str, str] = {}


def fetched(url: str, options: HttpOptions) -> bytes:
    """Return the server's answer to a call."""
    session = HttpSession(options, url)
    try:
        with session.post(url, b"<ask/>", NO_HEADERS, "someCall") as answer:
            return b"".join(answer.pieces())
    finally:
        session.close()


def failure(answer: Callable[[socket.socket, Request], None], options: HttpOptions) -> TransportError:
    """Return the error for an answer; its message is one line and names the call."""
    with serving(answer) as url, pytest.raises(TransportError) as caught:
        fetched(url, options)
    assert str(caught.value).startswith("someCall: ")
    assert "\n" not in str(caught.value)
    return caught.value


def test_any_body_is_returned_unchanged() -> None:
    """Any body comes back as it was sent."""
    body = bytes(range(256)) * 1000
    with serving(lambda connection, _: connection.sendall(reply(body))) as url:
        assert fetched(url, PATIENT) == body


def test_an_answer_in_chunks_is_joined() -> None:
    """The size of the chunks makes no difference."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for size in (1, 70_000, 3):
            connection.sendall(b"%x\r\n%s\r\n" % (size, b"a" * size))
        connection.sendall(b"0\r\n\r\n")

    with serving(answer) as url:
        assert fetched(url, PATIENT) == b"a" * 70_004


def test_a_gzipped_answer_is_decompressed() -> None:
    """A server may use gzip."""
    body = b"a long story " * 10_000
    with serving(lambda connection, _: connection.sendall(reply(gzip.compress(body), "Content-Encoding: gzip"))) as url:
        assert fetched(url, PATIENT) == body


def test_a_server_that_stalls() -> None:
    """No answer at all ends with the timeout."""
    error = failure(lambda connection, _: _wait_for_the_end(connection), QUICK)
    assert (error.status, error.remedy) == (None, "split")
    assert error.pause >= QUICK.timeout, "the server may be busy with it as long again"
    assert "there was no answer in time. Use a smaller --window or a longer --timeout" in str(error)


def test_a_server_that_stalls_in_the_body() -> None:
    """An answer that stops without an end does too."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        _wait_for_the_end(connection)

    error = failure(answer, QUICK)
    assert "no answer in time" in str(error)
    assert (error.remedy, error.pause >= QUICK.timeout) == ("split", True)


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_server_that_drips(*, gzipped: bool) -> None:
    """A byte now and then does not extend a call beyond its timeout."""
    sent: list[int] = []

    def answer(connection: socket.socket, _: Request) -> None:
        body = b"a" * 2000
        body = gzip.compress(body, 0) if gzipped else body
        connection.sendall(reply(body, *(["Content-Encoding: gzip"] if gzipped else []))[: -len(body)])
        for byte in body:
            sent.append(connection.send(bytes([byte])))
            time.sleep(0.01)

    error = failure(answer, QUICK)
    assert "the answer was not complete after 1 s" in str(error) or "no answer in time" in str(error)
    assert (error.remedy, error.pause >= QUICK.timeout) == ("split", True)
    assert len(sent) < 1000


def test_a_server_that_drips_and_stalls() -> None:
    """The last wait is for the rest of the timeout, not for all of it again."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _second in range(9):
            time.sleep(1.2)
            connection.sendall(b"a")

    assert "no answer in time" in str(failure(answer, HttpOptions(timeout=2)))


def test_a_body_shorter_than_announced() -> None:
    """PHP that fails late has already sent a length."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 71000000\r\n\r\nsome")

    error = failure(answer, PATIENT)
    assert (error.remedy, error.pause) == ("split", 0)
    assert "the answer was cut short" in str(error)


def test_no_body_where_one_was_announced() -> None:
    """The recorded answer of a server out of memory: status 200, a length, and no body."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 71000000\r\n\r\n")

    error = failure(answer, PATIENT)
    assert error.remedy == "split"
    assert "the answer was cut short" in str(error)


def test_a_body_in_chunks_without_its_end() -> None:
    """The last chunk is missing."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n")

    error = failure(answer, PATIENT)
    assert error.remedy == "split"
    assert "the answer was cut short" in str(error)


def test_a_reset_in_the_body() -> None:
    """The connection breaks while the body is read."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        time.sleep(0.05)  # so that the sent bytes are not discarded with the connection
        reset(connection)

    error = failure(answer, PATIENT)
    assert error.retryable
    assert "the connection failed: Connection reset by peer" in str(error)


def test_a_server_that_hangs_up() -> None:
    """The connection ends without an answer."""
    error = failure(lambda *_: None, PATIENT)
    assert error.retryable
    assert "the connection failed: " in str(error)


def test_a_refused_connection() -> None:
    """No server listens on the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match=r"someCall: the connection failed: Connection refused\. Check") as caught:
        fetched(f"http://127.0.0.1:{port}/", PATIENT)
    assert caught.value.retryable


def test_no_such_host() -> None:
    """The DNS does not know the name."""
    with pytest.raises(TransportError, match="someCall: the connection failed: "):
        fetched("https://no-such-host.invalid/", PATIENT)


def test_a_connection_that_ends_during_the_handshake() -> None:
    """This is not about trust, and may pass."""

    def hang_up() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(TransportError, match="someCall: the connection failed: ") as caught:
            fetched(f"https://127.0.0.1:{listener.getsockname()[1]}/", PATIENT)
        thread.join()
    assert caught.value.retryable


def test_an_answer_that_is_not_http() -> None:
    """Something else listens on the port."""
    error = failure(lambda connection, _: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), PATIENT)
    assert "the connection failed: SSH-2.0-OpenSSH_9.2" in str(error)


def test_an_invalid_gzip_body() -> None:
    """A body that cannot be decompressed is an error."""
    error = failure(lambda connection, _: connection.sendall(reply(b"plain", "Content-Encoding: gzip")), PATIENT)
    assert error.remedy == "isolate"
    assert "the answer cannot be decompressed" in str(error)


@pytest.mark.parametrize("encoding", ["compress", "gzip, lzma", "Lzma"])
def test_another_encoding_than_gzip_is_refused(encoding: str) -> None:
    """It is named, and the body is not read."""
    error = failure(lambda connection, _: connection.sendall(reply(b"plain", f"Content-Encoding: {encoding}")), PATIENT)
    assert error.remedy == "isolate"
    assert "the answer cannot be decompressed: it is encoded as " in str(error)
    assert ", not as gzip. " in str(error)


def test_a_longer_answer_than_allowed() -> None:
    """The limit counts bytes that were read, and only the current piece is read beyond it."""
    sent: list[int] = []

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while True:
            sent.append(connection.send(b"a" * 65536))

    error = failure(answer, HttpOptions(timeout=ENOUGH, max_reply_bytes=1_000_000))
    assert (error.status, error.remedy) == (200, "split")
    assert "the answer is longer than 1000000 bytes. Use a smaller --window" in str(error)


def test_a_compression_bomb() -> None:
    """The limit counts decompressed bytes, and the body is decompressed piece by piece."""
    bomb = gzip.compress(bytes(200_000_000))
    options = HttpOptions(timeout=ENOUGH, max_reply_bytes=5_000_000)
    pieces: list[int] = []
    with (
        serving(lambda connection, _: connection.sendall(reply(bomb, "Content-Encoding: gzip"))) as url,
        closing(HttpSession(options, url)) as session,
        session.post(url, b"", NO_HEADERS, "someCall") as answer,
        pytest.raises(TransportError, match="longer than"),
    ):
        pieces.extend(len(piece) for piece in answer.pieces())
    assert max(pieces) <= PIECE
    assert sum(pieces) <= options.max_reply_bytes


def test_a_long_page_is_not_read() -> None:
    """Bodies that are not lists have a much lower limit."""
    with (
        serving(lambda connection, _: connection.sendall(reply(bytes(SHORT + 1)))) as url,
        closing(HttpSession(PATIENT, url)) as session,
        session.get(url, "the WSDL") as answer,
        pytest.raises(TransportError, match=f"longer than {SHORT} bytes") as caught,
    ):
        answer.body()
    assert caught.value.remedy == "stop", "no part of it can be missing"


def test_leaving_early_closes_the_connection() -> None:
    """So the server need not send the rest."""
    over = threading.Event()

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        try:
            while True:
                connection.sendall(b"a" * 65536)
        finally:
            over.set()

    with serving(answer) as url, closing(HttpSession(PATIENT, url)) as session:
        with session.post(url, b"", NO_HEADERS, "someCall") as reading:
            assert next(iter(reading.pieces()))
        assert over.wait(ENOUGH)


def test_connections_are_kept_and_cookies_are_not() -> None:
    """Two calls share a connection, and a cookie is never sent back: PHP would lock its session for each call."""
    heads: list[bytes] = []
    connections: list[socket.socket] = []

    def answer(connection: socket.socket, first: Request) -> None:
        connections.append(connection)
        asked = first
        while True:
            heads.append(asked.head)
            connection.sendall(reply(b"fine", "Set-Cookie: PHPSESSID=abc; path=/; domain=127.0.0.1", last=False))
            asked = receive(connection)

    options = HttpOptions(timeout=ENOUGH, headers={"X-Shop": "mine"})
    with serving(answer) as url, closing(HttpSession(options, url)) as session:
        for _ in range(3):
            with session.post(url, b"<ask/>", {"SOAPAction": '"x"'}, "someCall") as reading:
                assert reading.body() == b"fine"
    assert (len(heads), len(connections)) == (3, 1)
    for head in heads:
        assert b"cookie" not in head.lower()
        assert b"\r\nX-Shop: mine" in head
        assert b'\r\nSOAPAction: "x"' in head
        assert b"\r\nAccept-Encoding: gzip" in head
        assert b"\r\nUser-Agent: magento-pager" in head


def test_the_web_servers_own_password() -> None:
    """Basic auth is sent with every call, and when the WSDL is fetched."""
    heads: list[bytes] = []

    def answer(connection: socket.socket, request: Request) -> None:
        heads.append(request.head)
        connection.sendall(reply(b"fine"))

    options = HttpOptions(timeout=ENOUGH, basic_auth=("me", "pw"))
    with serving(answer) as url, closing(HttpSession(options, url)) as session:
        with session.get(url, "the WSDL") as reading:
            reading.body()
        with session.post(url, b"", NO_HEADERS, "someCall") as reading:
            reading.body()
    assert all(b"\r\nAuthorization: Basic bWU6cHc=" in head for head in heads)
    assert len(heads) == 2


def test_nothing_is_sent_after_closing() -> None:
    """A closed session refuses calls, and opens no connection."""
    session = HttpSession(PATIENT, "http://127.0.0.1:9/")
    session.close()
    with pytest.raises(ValueError, match="is closed"), session.post("http://127.0.0.1:9/", b"", NO_HEADERS, "someCall"):
        pass


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://www.shop.example/api/v2_soap/index/?a=b", "https://www.shop.example/api/v2_soap/index/"),
        ("https://me:pw@www.shop.example/", "https://www.shop.example/"),
        ("/index.php/api/v2_soap/", "/index.php/api/v2_soap/"),
    ],
)
def test_a_redirect_of_a_call_is_refused(status: int, location: str, shown: str) -> None:
    """It would become a GET, or send the key elsewhere; the message says which address to use."""
    calls: list[bytes] = []

    def answer(connection: socket.socket, request: Request) -> None:
        calls.append(request.head)
        connection.sendall(reply(b"", f"Location: {location}", status=f"{status} Moved"))

    error = failure(answer, PATIENT)
    assert (error.status, error.remedy) == (status, "stop")
    assert f"HTTP {status}; the server redirects to " in str(error)
    assert f"{shown}. Use that address as the shop's" in str(error)
    assert "pw" not in str(error)
    assert len(calls) == 1


def test_a_redirect_of_a_document_is_followed() -> None:
    """The WSDL's address may redirect on the same host."""

    def answer(connection: socket.socket, request: Request) -> None:
        if b"GET /api/v2_soap/ " in request.head:
            connection.sendall(reply(b"", "Location: /there", status="301 Moved"))
        else:
            assert b"GET /there " in request.head
            connection.sendall(reply(b"found"))

    with (
        serving(answer) as url,
        closing(HttpSession(PATIENT, url)) as session,
        session.get(url, "the WSDL") as reading,
    ):
        assert reading.body() == b"found"


def test_a_redirect_to_another_host_is_refused() -> None:
    """It would take the headers and their secrets to another host, unless that is allowed."""
    with serving(lambda connection, _: connection.sendall(reply(b"found"))) as other:
        elsewhere = other.replace("127.0.0.1", "localhost")

        def answer(connection: socket.socket, _: Request) -> None:
            connection.sendall(reply(b"", f"Location: {elsewhere}", status="302 Found"))

        options = HttpOptions(allow_hosts=frozenset({"localhost"}))
        with (
            serving(answer) as url,
            closing(HttpSession(PATIENT, url)) as session,
            closing(HttpSession(options, url)) as allowed,
        ):
            with pytest.raises(TransportError, match="redirects to http://localhost"), session.get(url, "the WSDL"):
                pass
            with allowed.get(url, "the WSDL") as reading:
                assert reading.body() == b"found"


def test_endless_redirects_are_refused() -> None:
    """Of a document."""

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(reply(b"", "Location: /round", status="302 Found"))

    with (
        serving(answer) as url,
        closing(HttpSession(PATIENT, url)) as session,
        pytest.raises(TransportError, match="redirects more than 5 times"),
        session.get(url, "the WSDL"),
    ):
        pass


# Secrecy


def test_plain_http_to_another_machine_is_refused() -> None:
    """The key is not sent unencrypted, except with `insecure_http`."""
    with (
        closing(HttpSession(PATIENT, "http://shop.example/")) as session,
        pytest.raises(ValueError, match=r"http://shop.example/a is plain http: .*--insecure-http"),
        session.post("http://shop.example/a?b=c", b"", NO_HEADERS, "someCall"),
    ):
        pass
    with (
        closing(HttpSession(PATIENT, "http://192.0.2.7/")) as session,
        pytest.raises(ValueError, match="plain http"),
        session.get("http://192.0.2.7/", "the WSDL"),
    ):
        pass


def test_a_document_is_not_fetched_over_plain_http_after_a_redirect() -> None:
    """A redirect from https to http is refused."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(reply(b"", "Location: http://192.0.2.7/", status="302 Found"))

    with authority.cert_pem.tempfile() as path, serving(answer, server) as url:
        session = HttpSession(HttpOptions(ca_bundle=path, allow_hosts=frozenset({"192.0.2.7"})), url)
        with pytest.raises(ValueError, match="plain http"), session.get(url, "the WSDL"):
            pass
        session.close()


def test_certificates_are_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An unknown authority is refused with advice; `ca_bundle` is trusted, whatever the environment has."""
    authority, stranger = trustme.CA(), trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    ours, theirs = tmp_path / "ours.pem", tmp_path / "theirs.pem"
    authority.cert_pem.write_to_path(str(ours))
    stranger.cert_pem.write_to_path(str(theirs))
    with serving(lambda connection, _: connection.sendall(reply(b"fine")), server) as url:
        with pytest.raises(TransportError, match=r"no trusted connection: .*--ca-bundle.*--legacy-tls") as caught:
            fetched(url, PATIENT)
        assert not caught.value.retryable
        with pytest.raises(TransportError, match="no trusted connection"):
            fetched(url.replace("127.0.0.1", "localhost"), HttpOptions(ca_bundle=str(ours)))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(theirs))
        assert fetched(url, HttpOptions(ca_bundle=str(ours))) == b"fine"
        assert fetched(url, HttpOptions(ca_bundle=str(ours), legacy_tls=True)) == b"fine"
        with pytest.raises(TransportError, match="no trusted connection"):
            fetched(url, HttpOptions(ca_bundle=str(theirs), legacy_tls=True))


def test_old_tls_is_opt_in() -> None:
    """A host that only supports TLS 1.1 is reached with `legacy_tls`."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.set_ciphers("ALL:@SECLEVEL=0")
    server.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    authority.issue_cert("127.0.0.1").configure_cert(server)
    with (
        authority.cert_pem.tempfile() as path,
        serving(lambda connection, _: connection.sendall(reply(b"fine")), server) as url,
    ):
        with pytest.raises(TransportError, match="no trusted connection"):
            fetched(url, HttpOptions(ca_bundle=path))
        assert fetched(url, HttpOptions(ca_bundle=path, legacy_tls=True)) == b"fine"


def test_the_proxy_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option comes before the environment."""
    heads: list[bytes] = []

    def answer(connection: socket.socket, request: Request) -> None:
        heads.append(request.head)
        connection.sendall(reply(b"by proxy"))

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    with serving(answer) as proxy:
        options = HttpOptions(timeout=ENOUGH, proxy=proxy, insecure_http=True)
        assert fetched("http://shop.example/api/", options) == b"by proxy"
    assert heads[0].startswith(b"POST http://shop.example/api/ ")


def test_options_are_checked() -> None:
    """Invalid values are refused before anything is sent, without showing secrets."""
    for timeout in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="more than 0 seconds"):
            HttpOptions(timeout=timeout)
    for patience in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="0 seconds or more"):
            HttpOptions(patience=patience)
    with pytest.raises(ValueError, match=r"the file of certificates nowhere\.pem"):
        HttpOptions(ca_bundle="nowhere.pem")
    for name, value in (("X\r\nY", "a"), ("", "a"), ("X", "s3same\r\nY: b"), ("X", " s3same"), ("X", "s3s\u00e4me")):
        with pytest.raises(ValueError, match="does not allow") as caught:
            HttpOptions(headers={name: value})
        assert "s3s" not in str(caught.value)


def test_options_keep_secrets() -> None:
    """The repr of the options shows no password, header or proxy."""
    options = HttpOptions(
        headers={"Authorization": "Bearer s3same"}, basic_auth=("me", "s3same"), proxy="http://me:s3same@127.0.0.1:9/"
    )
    assert "s3same" not in repr(options)


def test_requests_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No logger at any level shows headers or bodies."""
    caplog.set_level(logging.DEBUG)
    options = HttpOptions(timeout=ENOUGH, headers={"X-Secret": "s3same"}, basic_auth=("me", "s3same"))
    with (
        serving(lambda connection, _: connection.sendall(reply(b"s3same"))) as url,
        closing(HttpSession(options, url)) as session,
        session.post(url, b"<apiKey>s3same</apiKey>", NO_HEADERS, "someCall") as reading,
    ):
        reading.body()
    assert any("someCall: HTTP 200, 6 bytes" in record.getMessage() for record in caplog.records)
    assert "s3same" not in caplog.text


# Words


NOW = "Sun, 22 Nov 2026 08:56:53 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", None, 7),
        (" 7 ", NOW, 7),
        ("0", None, 0),
        ("4000", None, LONGEST_PAUSE),
        ("9" * 400, None, LONGEST_PAUSE),
        ("Sun, 22 Nov 2026 08:57:03 GMT", NOW, 10),
        ("Sunday, 22-Nov-26 08:57:03 GMT", NOW, 10),
        ("Sun Nov 22 08:57:03 2026", NOW, 10),
        ("Sun, 22 Nov 2026 08:57:03 -0000", NOW, 10),
        ("Sun, 22 Nov 2026 08:55:00 GMT", NOW, 0),
        ("Mon, 23 Nov 2026 08:55:00 GMT", NOW, LONGEST_PAUSE),
        ("Mon, 23 Nov 2099 08:55:00 GMT", None, LONGEST_PAUSE),
        ("Mon, 23 Nov 2009 08:55:00 GMT", "no date", 0),
        ("-7", None, 0),
        ("1.5", None, 0),
        ("\u0667", None, 0),
        ("tomorrow", NOW, 0),
        ("", None, 0),
        (None, NOW, 0),
    ],
)
def test_retry_after_is_limited(value: str | None, date: str | None, seconds: float) -> None:
    """It is seconds, or a time by the server's clock; other texts are ignored."""
    assert retry_after(value, date) == seconds


ODD_TIMES = [
    "Wed, 01 May 2024 10:00:00",
    "Wed, 01 May 2024 10:00:00 -0000",
    "Fri, 31 Dec 9999 23:59:59 -2300",
    "Mon, 01 Jan 0001 00:00:00 +2300",
    "Wed, 01 May 2024 10:00:00 +9999",
    "Wed, 01 May 2024 10:00:00 +99999999999999",
    "Wed, 01 May 99999 10:00:00 GMT",
    "Wed, 32 May 2024 10:00:00 GMT",
    "Wed, 01 May 2024 24:61:61 GMT",
    "Wed, 01 May 2024 10:00:00 (comment",
    "2024-05-01T10:00:00Z",
    "1 1 1 1 1 1 1",
    "9" * 5000,
    "0\x1f",
    "",
    ",",
]


@settings(deadline=None)
@given(
    st.sampled_from(ODD_TIMES) | st.text(max_size=40) | st.from_regex(r"\w{3}, \d+ \w{3} \d{1,5} \d+:\d+:\d+ \S+"),
    st.sampled_from(ODD_TIMES),
)
def test_an_invalid_time_in_a_header_is_none(value: str, date: str) -> None:
    """The result is a time in UTC, or None."""
    header_time = http_time(value)
    assert header_time is None or header_time.tzinfo is UTC
    assert 0.0 <= retry_after(value, date) <= LONGEST_PAUSE


@pytest.mark.parametrize("zone", ["", " GMT", " -0000", " +0000", " UT"])
def test_a_time_without_a_zone_is_in_utc(zone: str) -> None:
    """As HTTP defines it."""
    assert http_time(f"Wed, 01 May 2024 10:00:00{zone}") == datetime(2024, 5, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "Couldn't load from 'http://me:pw@shop.example/?wsdl=1'",
            "Couldn't load from 'http://***@shop.example/?wsdl=1'",
        ),
        ("sessid = '0123456789abcdef0123456789abcdef'", "sessid = '***'"),
        ("hash 5f4dcc3b5aa765d61d8327deb882cf99:ab.", "hash ***."),
        ("a" * 64, "***"),
        ("order 100000001, 2023-10-01", "order 100000001, 2023-10-01"),
        ("mail me@shop.example", "mail me@shop.example"),
    ],
)
def test_texts_of_the_server_are_redacted(text: str, shown: str) -> None:
    """Passwords in addresses, session ids and hashes are removed."""
    assert redacted(text) == shown


def _wait_for_the_end(connection: socket.socket) -> None:
    """Stall until the client hangs up."""
    connection.settimeout(ENOUGH)
    connection.recv(1)
