"""Which servers receive secrets: servers on several ports of loopback record everything that they receive."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from connections import KEY, SESSION, UP_TO_400, URL, connection_to, login_reply
from loopback import Request, reply, serving
from test_decoding import ROWS, rendered
from wsdls import wsdl

from magento_pager.cli import run
from magento_pager.errors import PagerError, RemoteError, TransportError
from magento_pager.lists import ORDERS
from magento_pager.shop.connection import Connection
from magento_pager.shop.transport import HttpOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import responses

    from magento_pager.fake import Shop

HEADER, PASSWORD = "planted-header-1", "planted-basic-1"
SENT = {"basic_auth": ("me", PASSWORD), "headers": {"X-Pass": HEADER}}
AUTHORIZED = b"\r\nAuthorization: Basic bWU6cGxhbnRlZC1iYXNpYy0x"
SECRETS = (KEY.encode(), SESSION.encode(), HEADER.encode(), b"authorization", b"x-pass")
SCHEMA = b'<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema"/>'
DEFINITIONS = b'<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"/>'


class Site:
    """A server on its own port, which answers as a shop does and records the requests.

    Attributes:
        port: where it listens.
        received: the requests.
        address: where its WSDL sends calls.
        more: put before a place in its WSDL: (place, text).
        location: where it redirects documents to; None where it does not.
        status: of its redirects.
    """

    def __init__(self) -> None:
        self.port = 0
        self.received: list[Request] = []
        self.address = ""
        self.more = (b"", "")
        self.location: str | None = None
        self.status = 302

    def __call__(self, connection: socket.socket, request: Request) -> None:
        """Answer a request."""
        self.received.append(request)
        if self.location is not None and (request.head.startswith(b"GET /api") or self.status in {307, 308}):
            connection.sendall(reply(b"", f"Location: {self.location}", status=f"{self.status} Moved"))
        elif b"GET /more" in request.head:
            connection.sendall(reply(DEFINITIONS if b"definitions" in request.head else SCHEMA))
        elif request.head.startswith(b"GET"):
            place, text = self.more
            connection.sendall(reply(wsdl("rpc", address=self.address).replace(place, text.encode() + place, 1)))
        elif b"<apiKey" in request.body:
            connection.sendall(reply(login_reply("rpc")))
        else:
            connection.sendall(reply(rendered("rpc", ROWS)))

    @property
    def at(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.port}"

    def received_secrets(self) -> list[bytes]:
        """Return the secrets among everything that it received."""
        everything = b"".join(one.head + one.body for one in self.received)
        return [secret for secret in SECRETS if secret in everything or secret in everything.lower()]


@pytest.fixture
def sites() -> Iterator[tuple[Site, Site]]:
    """Return a shop, and another server on another port of the same machine."""
    both = Site(), Site()
    with ExitStack() as stack:
        for site in both:
            site.port = urlsplit(stack.enter_context(serving(site))).port or 0
            site.address = f"http://{site.at}/api/v2_soap/"
        yield both


def rows_of(site: Site, **options: Any) -> list[dict[str, Any]]:
    """Return the rows of a list, starting with the WSDL."""
    given = HttpOptions(timeout=20, **SENT, **options)  # type: ignore[arg-type]  # of two kinds
    with closing(Connection(f"http://{site.at}/api/v2_soap/?wsdl=1", "me", KEY, given)) as connection:
        return list(connection.rows(ORDERS, UP_TO_400))


def sent_elsewhere(shop: Site, way: str, to: str) -> None:
    """Make a shop's documents direct the client to an address, in one of several ways."""
    if way == "soap:address":
        shop.address = f"{to}/api/v2_soap/"
    elif way.isdigit():
        shop.status, shop.location = int(way), f"{to}/more.xsd"
    elif way == "import of a schema":
        shop.more = b"<x:import", f'<x:import namespace="urn:more" schemaLocation="{to}/more.xsd"/>'
    elif way == "include":
        shop.more = b"<x:import", f'<x:include schemaLocation="{to}/more.xsd"/>'
    else:
        shop.more = b"<types>", f'<import namespace="urn:more" location="{to}/more.xsd?definitions"/>'


DOCUMENTS = ["import of a schema", "include", "import of a WSDL"]
WAYS = ["soap:address", "301", "302", "303", "307", "308", *DOCUMENTS]


def test_the_shop_itself_receives_the_secrets(sites: tuple[Site, Site]) -> None:
    """With every document and every call; otherwise the tests below would prove nothing."""
    shop, _ = sites
    sent_elsewhere(shop, "import of a schema", f"http://{shop.at}")
    assert rows_of(shop) == ROWS
    assert [one.head[:9] for one in shop.received] == [b"GET /api/", b"GET /more", *[b"POST /api"] * 3]
    for one in shop.received:
        assert AUTHORIZED in one.head
        assert b"\r\nX-Pass: planted-header-1" in one.head


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "spelling",
    [
        "http://127.0.0.1:{other}",
        "HTTP://127.0.0.1:{other}",
        "//127.0.0.1:{other}",
        "http://me:pw@127.0.0.1:{other}",
        "http://127.0.0.1:{shop}@127.0.0.1:{other}",
        "http://127.0.0.1.:{other}",
        "http://localhost:{other}",
        "http://[::ffff:127.0.0.1]:{other}",
        "https://127.0.0.1:{shop}",
        "https://127.0.0.1:{other}",
    ],
)
def test_another_port_is_sent_nothing(sites: tuple[Site, Site], way: str, spelling: str) -> None:
    """Not even a request: another port or scheme of the same host may belong to anyone."""
    shop, other = sites
    to = spelling.format(shop=shop.port, other=other.port)
    if way == "soap:address" and to.startswith("//"):
        pytest.skip("no address of a call")
    sent_elsewhere(shop, way, to)
    with pytest.raises((ValueError, RemoteError), match=r"sends calls to |redirects to |refers to ") as caught:
        rows_of(shop)
    assert "\n" not in str(caught.value)
    assert "pw" not in str(caught.value)
    assert not other.received
    assert len(shop.received) == 1


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "spelling",
    [
        "http://127.0.0.1:{shop}\\@127.0.0.1:{other}",
        "http:\\\\127.0.0.1:{other}",
        "/\\127.0.0.1:{other}",
        "\\\\127.0.0.1:{other}",
        "http:127.0.0.1:{other}",
        "http:///127.0.0.1:{other}",
        "http://127.0.0.1:{shop}&#x9;@127.0.0.1:{other}",
        "http://127.0.0.1:{shop}#@127.0.0.1:{other}",
        "http://127.0.0.1:{shop}?@127.0.0.1:{other}",
        "http://127.0.0.1:{shop};@127.0.0.1:{other}",
        "http://127.0.0.1:{shop}:@127.0.0.1:{other}",
        "http://127.0.0.1:99999",
        "http://[::1",
        "javascript:alert(1)",
    ],
)
def test_no_odd_spelling_leads_to_another_port(sites: tuple[Site, Site], way: str, spelling: str) -> None:
    """Addresses that two parsers could read differently are sent to the shop or to nobody."""
    shop, other = sites
    sent_elsewhere(shop, way, spelling.format(shop=shop.port, other=other.port))
    try:
        rows_of(shop)
    except (ValueError, PagerError) as error:
        assert "\n" not in str(error)  # noqa: PT017  it need not fail
    assert not other.received


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirected_call_goes_nowhere(sites: tuple[Site, Site], status: int) -> None:
    """A call contains the key and is not redirected, neither to another port nor to the shop itself."""
    shop, other = sites
    for location in (f"http://{other.at}/api/v2_soap/", "/elsewhere/"):
        shop.received.clear()
        shop.location = None
        with closing(Connection(f"http://{shop.at}/api/v2_soap/", "me", KEY)) as connection:
            shop.status, shop.location = 307, location
            with pytest.raises(TransportError, match="HTTP 307; the server redirects to "):
                connection.login()
        assert len(shop.received) == 2, status
    assert not other.received


@pytest.mark.parametrize("allowed", ["127.0.0.1:{other}", "127.0.0.1"])
@pytest.mark.parametrize("way", [*DOCUMENTS, "302"])
def test_documents_of_an_allowed_host_are_fetched_without_secrets(
    sites: tuple[Site, Site], way: str, allowed: str
) -> None:
    """A schema may be there; no password or header is sent."""
    shop, other = sites
    sent_elsewhere(shop, way, f"http://{other.at}" if way != "302" else f"http://{other.at}/api/v2_soap/?")
    if way == "302":
        other.address = shop.address
    assert rows_of(shop, allow_hosts=frozenset({allowed.format(other=other.port)})) == ROWS
    assert len(other.received) == 1
    assert other.received_secrets() == []
    assert len(shop.received_secrets()) == len(SECRETS)


@pytest.mark.parametrize("allowed", ["127.0.0.1:{other}", "127.0.0.1", "LOCALHOST.:{other}", "localhost"])
def test_an_allowed_host_gets_calls(sites: tuple[Site, Site], allowed: str) -> None:
    """If the WSDL directs calls there, they are sent with everything they need."""
    shop, other = sites
    host = "localhost" if "local" in allowed.lower() else "127.0.0.1"
    sent_elsewhere(shop, "soap:address", f"http://{host}:{other.port}")
    assert rows_of(shop, allow_hosts=frozenset({allowed.format(other=other.port)})) == ROWS
    assert [one.head[:4] for one in shop.received] == [b"GET "]
    assert [one.head[:4] for one in other.received] == [b"POST"] * 3
    assert all(AUTHORIZED in one.head for one in other.received)


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
def test_only_the_allowed_port_is_allowed(sites: tuple[Site, Site], way: str) -> None:
    """HOST:PORT allows that port only."""
    shop, other = sites
    sent_elsewhere(shop, way, f"http://{other.at}")
    with pytest.raises((ValueError, RemoteError)):
        rows_of(shop, allow_hosts=frozenset({f"127.0.0.1:{other.port + 1}", f"localhost:{other.port}"}))
    assert not other.received


@pytest.mark.parametrize("text", ["https://api.shop.example", "a/b", "", "a b", ":80", "a:", "a:b", "me@a", "a:99999"])
def test_an_invalid_allowed_host_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A value that could never match is refused at once."""
    with pytest.raises(ValueError, match=r"HOST or HOST:PORT"):
        HttpOptions(allow_hosts=frozenset({text}))
    assert run(["dump", "--url", URL, "--user", "me", "--key", KEY, "--allow-host", text]) == 2
    assert "HOST or HOST:PORT" in capsys.readouterr().err


def test_what_to_do_about_calls_to_another_port(sites: tuple[Site, Site]) -> None:
    """The message names the port in the form of `--allow-host`."""
    shop, other = sites
    sent_elsewhere(shop, "soap:address", f"http://{other.at}")
    with pytest.raises(ValueError, match=f"sends calls to {other.at}. .*--allow-host {other.at}"):
        rows_of(shop)


# Default ports, on which no test can listen


@pytest.mark.parametrize(
    "address",
    [
        "https://shop.example/api/v2_soap/",
        "https://shop.example:443/api/v2_soap/",
        "HTTPS://SHOP.example./api/v2_soap/",
        "http://shop.example:80/api/v2_soap/",
        " https://shop.example/api/v2_soap/\n",
    ],
)
def test_plain_http_may_lead_to_https(web: responses.RequestsMock, address: str) -> None:
    """On the default ports of one host, however it is spelled."""
    web.get("http://shop.example/api/v2_soap/", status=301, headers={"Location": address.strip()})
    for host in ("https://shop.example", "https://shop.example:443", "https://shop.example.", "http://shop.example:80"):
        web.get(f"{host}/api/v2_soap/", body=wsdl("rpc", address=address))
        web.post(f"{host}/api/v2_soap/", body=login_reply("rpc"))
    options = HttpOptions(insecure_http=True, **SENT)  # type: ignore[arg-type]  # of two kinds
    if "http://" in address:
        web.replace("GET", "http://shop.example/api/v2_soap/", body=wsdl("rpc", address=address))
    Connection("http://shop.example/api/v2_soap/?wsdl=1", "me", KEY, options).login()
    for call in web.calls:
        assert call.request.headers["X-Pass"] == HEADER
        assert "Authorization" in call.request.headers


@pytest.mark.parametrize(
    ("shop", "address"),
    [
        ("https://shop.example", "https://shop.example:8443"),
        ("https://shop.example:8443", "https://shop.example"),
        ("https://shop.example:8443", "http://shop.example:8443"),
        ("http://shop.example:8080", "https://shop.example"),
        ("http://shop.example:8080", "https://shop.example:8443"),
        ("http://shop.example", "https://shop.example:80"),
        ("http://shop.example", "http://shop.example:443"),
        ("http://shop.example", "https://www.shop.example"),
        ("https://shop.example", "https://shop.example.evil.example"),
        ("https://strasse.example", "https://stra\u00dfe.example"),
        ("https://[::1]", "https://[::1]:444"),
        ("https://127.0.0.1", "https://127.1"),
    ],
)
@pytest.mark.parametrize("redirected", [False, True])
def test_nothing_else_is_the_same_shop(
    web: responses.RequestsMock, shop: str, address: str, *, redirected: bool
) -> None:
    """Neither another port, nor another host, nor http instead of https."""
    options = HttpOptions(insecure_http=True, **SENT)  # type: ignore[arg-type]  # of two kinds
    if redirected:
        web.get(f"{shop}/api/v2_soap/", status=302, headers={"Location": f"{address}/api/v2_soap/"})
    elif shop.startswith("https") and address.startswith("http:"):
        pytest.skip("zeep makes https of it")
    else:
        web.get(f"{shop}/api/v2_soap/", body=wsdl("rpc", address=f"{address}/api/v2_soap/"))
    with pytest.raises((ValueError, RemoteError), match=r"sends calls to |redirects to "):
        Connection(f"{shop}/api/v2_soap/?wsdl=1", "me", KEY, options)
    assert len(web.calls) == 1


@pytest.mark.parametrize(
    ("shop", "address"),
    [
        ("https://shop.example", "https://shop.example:443"),
        ("https://SHOP.example.", "https://shop.EXAMPLE"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example", "https://B\u00dcCHER.example."),
        ("https://[0:0:0:0:0:0:0:1]", "https://[::1]:443"),
        ("https://shop.example", "https://me:pw@shop.example"),
    ],
)
def test_one_shop_spelled_in_two_ways(web: responses.RequestsMock, shop: str, address: str) -> None:
    """A default port, upper case, a final dot, an umlaut or a long IPv6 address do not change the shop."""
    web.get(f"{shop}/api/v2_soap/", body=wsdl("rpc", address=f"{address}/api/v2_soap/"))
    connection = Connection(f"{shop}/api/v2_soap/?wsdl=1", "me", KEY)
    assert "pw" not in connection.address + repr(connection)


# What the environment brings in


def listening(heads: list[Request], answer: Callable[[], bytes]) -> Callable[[socket.socket, Request], None]:
    """Return a server that records its requests and always answers the same."""

    def converse(connection: socket.socket, request: Request) -> None:
        heads.append(request)
        connection.sendall(answer())

    return converse


@pytest.mark.parametrize("place", [".netrc", "_netrc", "elsewhere"])
@pytest.mark.parametrize("whose", ["machine 127.0.0.1", "default"])
def test_no_netrc_is_read(
    sites: tuple[Site, Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, whose: str
) -> None:
    """Passwords of other programs are sent to nobody, and replace no header."""
    (tmp_path / place).write_text(f"{whose} login netrc-user password planted-netrc\n")
    (tmp_path / place).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    if place == "elsewhere":
        monkeypatch.setenv("NETRC", str(tmp_path / place))
    shop, other = sites
    for options in (HttpOptions(), HttpOptions(headers={"Authorization": "Bearer planted"})):
        sent_elsewhere(shop, "302", f"http://{shop.at}/index.php/api/v2_soap/?")
        with closing(Connection(f"http://{shop.at}/api/v2_soap/", "me", KEY, options)) as connection:
            assert list(connection.rows(ORDERS, UP_TO_400)) == ROWS
        assert len(shop.received) == 5
        for one in shop.received:
            assert (b"\r\nAuthorization: Bearer planted" in one.head) == bool(options.headers)
            assert b"Basic" not in one.head
        shop.received.clear()
    assert not other.received


def test_a_proxy_of_the_environment_is_used(
    shop: Shop, sites: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its password is only sent to the proxy; NO_PROXY is honoured."""
    (tmp_path / ".netrc").write_text("default login netrc-user password planted-netrc\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    proxy, _ = sites
    proxy.address = "http://shop.example/api/v2_soap/"
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://me:planted-proxy@{proxy.at}/")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    options = HttpOptions(insecure_http=True)
    with closing(Connection("http://shop.example/api/v2_soap/", "me", KEY, options)) as connection:
        assert list(connection.rows(ORDERS, UP_TO_400)) == ROWS
    assert len(proxy.received) == 4
    for one in proxy.received:
        assert b" http://shop.example/api/v2_soap/" in one.head
        assert b"\r\nProxy-Authorization: Basic bWU6cGxhbnRlZC1wcm94eQ==" in one.head
        assert b"\r\nAuthorization" not in one.head
    with connection_to(shop) as connection:
        connection.login()
    assert len(proxy.received) == 4
