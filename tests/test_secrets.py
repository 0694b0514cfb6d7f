"""What nobody may read is planted, everything is tried, and all that was written is searched for it."""

from __future__ import annotations

import base64
import http.client
import json
import logging
import traceback
import xmlrpc.client
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import pytest
from loopback import Request, reply, serving

import magento_pager
from magento_pager import PagerError
from magento_pager.cli import run
from magento_pager.fake import Shop
from magento_pager.fake.sessions import Sessions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from magento_pager.fake.settings import Outage

pytestmark = pytest.mark.usefixtures("hurried")

KEY, BASIC, PROXY, HEADER, URL = (f"planted-{name}-5f1c" for name in ("key", "basic", "proxy", "header", "url"))
IN_HEADERS = tuple(base64.b64encode(f"me:{one}".encode()).decode() for one in (BASIC, PROXY))
SECRETS = (KEY, BASIC, PROXY, HEADER, URL, *IN_HEADERS)
LIST = b"customerCustomerList"


class Remembering(Sessions):
    """The sessions of a shop, with every id that was ever handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[str] = []

    def draw(self, length: int = 32) -> str:
        """Hand out an id."""
        self.drawn.append(super().draw(length))
        return self.drawn[-1]


class Relay:
    """Stands before a shop, as its web server or as a proxy, and can be told to blab."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.blab: Callable[[Request], bytes] | None = None
        self.about = LIST
        self.spared = 0
        self.heads: list[bytes] = []

    def __call__(self, connection: socket.socket, request: Request) -> None:
        """Pass a request on, or answer it with what it says."""
        self.heads.append(request.head)
        told = self.blab is not None and self.about in request.body
        self.spared -= told
        if self.blab is not None and told and self.spared < 0:
            connection.sendall(self.blab(request))
            return
        line, *lines = request.head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ")
        onward = http.client.HTTPConnection(urlsplit(self.shop.url).netloc, timeout=30)
        onward.request(
            method,
            urlsplit(target)._replace(scheme="", netloc="").geturl(),
            request.body or None,
            dict(one.split(": ", 1) for one in lines),
        )
        answer = onward.getresponse()
        body = answer.read()
        onward.close()
        kind = answer.headers.get("Content-Type", "text/xml")
        headers = [f"Content-Type: {kind}", *(f"Location: {one}" for one in answer.headers.get_all("Location", []))]
        connection.sendall(reply(body, *headers, status=f"{answer.status} {answer.reason}"))


def page_of(request: Request) -> bytes:
    """An error page that shows the request, as a server does that is set up for its developers."""
    shown = request.head + b"<br>" + request.body.replace(b"<", b"&lt;")
    return reply(b"<html><body>" + shown + b"</body></html>", "Content-Type: text/html", status="500 Error")


def plain_page_of(request: Request) -> bytes:
    """The same, said to be a success."""
    return page_of(request).replace(b"500 Error", b"200 OK", 1)


def fault_of(request: Request) -> bytes:
    """A fault whose words are the request."""
    words = (request.head + request.body).replace(b"&", b"&amp;").replace(b"<", b"&lt;")
    envelope = b"http://schemas.xmlsoap.org/soap/envelope/"
    return reply(
        b'<e:Envelope xmlns:e="'
        + envelope
        + b'"><e:Body><e:Fault><faultcode>1</faultcode><faultstring>'
        + words
        + b"</faultstring></e:Fault></e:Body></e:Envelope>",
        "Content-Type: text/xml",
    )


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop that remembers its sessions."""
    shop = Shop(orders=60, key=KEY)
    shop.sessions = Remembering()
    with shop:
        yield shop


class Stage:
    """A shop with a relay before it, a folder, and what commands came to."""

    def __init__(self, shop: Shop, folder: Path, address: str, relay: Relay) -> None:
        self.shop = shop
        self.relay = relay
        self.address = address
        self.folder = folder
        self.statuses: dict[str, int] = {}
        self.how = ("--url", address, "--user", shop.user, "--header", f"X-Pass: {HEADER}")
        self.basic = ("--basic-auth", f"me:{BASIC}")

    def dump(self, name: str, *arguments: str, out: str = "") -> int:
        """Dump the customers, by default to standard output, with a report."""
        to = ("--out", str(self.folder / out)) if out else ()
        report = ("--report", str(self.folder / f"{out or name}.json"))
        self.statuses[name] = run(["dump", "customers", *self.how, "--window", "10", *report, *to, *arguments])
        return self.statuses[name]

    @property
    def sessions(self) -> Remembering:
        """The sessions of the shop."""
        assert isinstance(self.shop.sessions, Remembering)
        return self.shop.sessions

    def secrets(self) -> list[str]:
        """Everything that must not show: what was planted, and the shop's own sessions and hashes."""
        assert self.sessions.drawn, "nobody ever logged in"
        with magento_pager.connect(self.shop.url, self.shop.user, self.shop.key) as pager:
            rows = list(pager.customers(last=200, password_hash=True))
        hashes = [row["password_hash"] for row in rows if row.get("password_hash")]
        assert hashes
        return [*SECRETS, *self.sessions.drawn, *hashes, *(one.partition(":")[0] for one in hashes)]


@pytest.fixture
def stage(shop: Shop, tmp_path: Path) -> Iterator[Stage]:
    """All of it."""
    relay = Relay(shop)
    with serving(relay) as url:
        yield Stage(shop, tmp_path, urljoin(url, "/"), relay)


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Every logger there is logs all it can."""
    caplog.set_level(logging.DEBUG)
    loggers = [one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.NOTSET)
    yield
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)


OUTAGES: tuple[Outage, ...] = ("maintenance", "database", "wsdl", "schema", "firewall")
BLABS: list[tuple[Callable[[Request], bytes], bytes]] = [
    (page, about) for page in (page_of, plain_page_of, fault_of) for about in (LIST, b"login")
]


def all_is_well(stage: Stage) -> None:
    """Commands that succeed, with each way to give a key and a password."""
    key_file = stage.folder / "key"
    key_file.write_text(KEY)
    proxy = f"http://me:{PROXY}@{urlsplit(stage.address).netloc}"
    assert stage.dump("well", *stage.basic, out="rows") == 0
    assert stage.dump("through a proxy", "--url", stage.shop.url, "--proxy", proxy, out="by proxy") == 0
    assert stage.dump("key from a file", "--key-file", str(key_file), "--last", "5") == 0
    assert stage.dump("key", "--key", KEY, "--last", "5") == 0
    assert run(["doctor", *stage.how, *stage.basic, "--json"]) == 0
    key_file.unlink()


def the_command_is_wrong(stage: Stage) -> None:
    """Secrets in places where none belong, and what is malformed."""
    nowhere = f"me:{URL}@127.0.0.1:9/"
    assert stage.dump("exists", out="rows") == 2
    assert stage.dump("basic", "--basic-auth", BASIC) == 2
    assert stage.dump("header", "--header", HEADER) == 2
    assert stage.dump("forbidden", "--header", f"X-Pass: {HEADER}\nX: y") == 2
    assert stage.dump("password in the address", "--url", f"http://{nowhere}") == 2
    assert stage.dump("plain", "--url", f"http://me:{URL}@shop.example/") == 2
    assert stage.dump("scheme", "--url", f"ftp://{nowhere}") == 2
    assert stage.dump("proxy", "--proxy", f"ftp://{nowhere}") in {1, 2}
    assert stage.dump("key", "--key", f"{KEY}x") == 1


def the_shop_is_unwell(stage: Stage) -> None:
    """Every outage, and a way to it that leads nowhere."""
    assert stage.dump("no proxy", *stage.basic, "--proxy", f"http://me:{PROXY}@127.0.0.1:9/") == 1
    assert stage.dump("no shop", *stage.basic, "--url", "http://127.0.0.1:9/") == 1
    assert stage.dump("no api", *stage.basic, "--url", f"{stage.address}somewhere/else/?wsdl=1") == 1
    for outage in OUTAGES:
        stage.shop.change(outage=outage)
        assert stage.dump(outage, *stage.basic, out=outage) == 1
    stage.shop.change(outage="redirect")  # to https: not by way of the relay, which would wait for plain words
    assert stage.dump("redirect", *stage.basic, "--url", stage.shop.url) == 1
    stage.shop.change(outage="", denied={"customers"})
    assert stage.dump("denied", *stage.basic) == 1
    stage.shop.change(denied=())


def the_server_blabs(stage: Stage) -> None:
    """It answers a call, or the login, with a page or a fault that repeats all it was told."""
    for stage.relay.blab, stage.relay.about in BLABS:
        name = f"{stage.relay.blab.__name__} {stage.relay.about.decode()}"
        assert stage.dump(name, *stage.basic, out=name) == 1
        run(["doctor", *stage.how, *stage.basic])
    stage.relay.blab = None


def fault_among_results_of(request: Request) -> bytes:
    """A reply of XML-RPC whose only result is a fault, and its words the request."""
    words = (request.head + request.body).decode("latin-1")
    result = [{"isFault": True, "faultCode": "1", "faultMessage": words}]
    body = xmlrpc.client.dumps((result,), methodresponse=True, encoding="UTF-8").replace("\r", "&#13;")
    return reply(body.encode(), "Content-Type: text/xml")


def xmlrpc_blabs(stage: Stage) -> None:
    """It answers a call by XML-RPC so: the first, whereupon SOAP takes over, or a later one, which ends the dump."""
    for stage.relay.blab in (page_of, plain_page_of, fault_of, fault_among_results_of):
        for stage.relay.spared in (0, 1):
            name = f"xmlrpc {stage.relay.blab.__name__} {stage.relay.spared}"
            stage.relay.about = b"multiCall"
            assert stage.dump(name, *stage.basic, "--details", out=name) in {0, 1}
            assert json.loads((stage.folder / f"{name}.json").read_text())["details"]["way"]
    stage.relay.blab, stage.relay.spared = None, 0


def it_ends_half_way(stage: Stage) -> None:
    """A dump that leaves a part and a checkpoint, and is not gone on with."""

    def later(request: Request) -> bytes:
        stage.sessions.end_all()
        return page_of(request)

    stage.relay.blab, stage.relay.about, stage.relay.spared = later, LIST, 2
    half = (*stage.basic, "--strategy", "prefix")
    assert stage.dump("half", *half, out="half") == 1
    assert (stage.folder / "half.checkpoint").exists()
    assert stage.dump("unfinished", *half, out="half") == 2
    assert stage.dump("mismatch", *half, "--resume", "--last", "7", out="half") == 2
    stage.relay.blab = None


def test_no_command_writes_a_secret(
    stage: Stage,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Success, each kind of failure, a server that repeats what it was told: no file, line or log holds a secret."""
    monkeypatch.setenv("MAGENTO_API_KEY", KEY)
    for act in (
        all_is_well,
        the_command_is_wrong,
        the_shop_is_unwell,
        the_server_blabs,
        xmlrpc_blabs,
        it_ends_half_way,
    ):
        act(stage)
    sent = b"".join(stage.relay.heads).decode()
    assert all(one in sent for one in (HEADER, *IN_HEADERS)), "what is sent does hold them"
    capture = capfd.readouterr()
    written = {"standard error": capture.err, "the log": caplog.text}
    rows = {"standard output": capture.out}
    for path in stage.folder.iterdir():
        (written if path.suffix in {".json", ".checkpoint"} else rows)[path.name] = path.read_text()
    assert {"half.checkpoint", "half.json", "rows.json"} <= written.keys()
    assert {"rows", "by proxy", "half.part"} <= rows.keys()
    secrets = stage.secrets()
    for where, text in (written | rows).items():
        assert text, where
        for secret in secrets:
            assert secret not in text, (where, secret)
    assert "password_hash" not in rows["rows"], "rows hold what the server sent, but for this"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and all that led to it, as far as a traceback tells."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_no_object_and_no_error_of_the_library_shows_a_secret(stage: Stage) -> None:
    """What a program prints, logs or hands to its error tracker: representations, messages, tracebacks, chains."""
    shown: list[str] = []

    def show(*things: Any) -> None:
        shown.extend(text for thing in things for text in (repr(thing), str(thing)))

    def attempt(key: str = KEY) -> None:
        secret = {"basic_auth": ("me", BASIC), "headers": {"X-Pass": HEADER}}
        try:
            with magento_pager.connect(stage.address, stage.shop.user, key, **secret) as pager:  # type: ignore[arg-type]  # two kinds
                show(pager, pager.connection, vars(pager.connection)["_http"], vars(pager.connection)["_http"].options)
                customers = pager.customers(window=10, last=60, details=True)
                show(*customers.stages)
                show(customers, customers.source, customers.probe())
                for page in customers.pages():
                    show(page.cursor, page.stats, page.window)
        except PagerError as error:
            show(*chain(error), vars(error))
            shown.append("".join(traceback.format_exception(error)))

    attempt()
    attempt(f"{KEY}x")
    for outage in OUTAGES:
        stage.shop.change(outage=outage)
        attempt()
    stage.shop.change(outage="")
    for stage.relay.blab, stage.relay.about in BLABS:
        attempt()
    stage.relay.blab = None
    assert len(shown) > 100
    for secret in stage.secrets():
        for text in shown:
            assert secret not in text, text
