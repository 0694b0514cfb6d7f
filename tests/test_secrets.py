"""Secrets are planted, every command and failure is tried, and everything that was written is searched for them."""

from __future__ import annotations

import base64
import contextlib
import html
import http.client
import json
import logging
import re
import traceback
import xmlrpc.client
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, urljoin, urlsplit
from xml.sax.saxutils import escape, quoteattr

import pytest
from conftest import slow_after
from connections import UP_TO_400, login_reply
from loopback import Request, reply, serving
from wsdls import wsdl

import magento_pager
from magento_pager import PagerError
from magento_pager.cli import run
from magento_pager.fake import Shop
from magento_pager.fake.sessions import Sessions
from magento_pager.lists import ORDERS
from magento_pager.shop.connection import Connection
from magento_pager.shop.saving import ReplyFolder
from magento_pager.shop.transport import HttpOptions

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


class RememberingSessions(Sessions):
    """The sessions of a shop, with every id that was ever issued."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[str] = []

    def draw(self, length: int = 32) -> str:
        """Issue an id."""
        self.drawn.append(super().draw(length))
        return self.drawn[-1]


class Relay:
    """A web server or proxy in front of a shop, which can repeat its requests in answers."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.blab: Callable[[Request], bytes] | None = None
        self.about = LIST
        self.spared = 0
        self.heads: list[bytes] = []

    def __call__(self, connection: socket.socket, request: Request) -> None:
        """Pass a request on, or answer it with what it says."""
        self.heads.append(request.head)
        matches = self.blab is not None and self.about in request.body
        self.spared -= matches
        if self.blab is not None and matches and self.spared < 0:
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
    """Return an error page that shows the request, as a server for developers does."""
    shown = request.head + b"<br>" + request.body.replace(b"<", b"&lt;")
    return reply(b"<html><body>" + shown + b"</body></html>", "Content-Type: text/html", status="500 Error")


def plain_page_of(request: Request) -> bytes:
    """Return the same page with status 200."""
    return page_of(request).replace(b"500 Error", b"200 OK", 1)


def fault_of(request: Request) -> bytes:
    """Return a fault whose text is the request."""
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
    """Return a shop that remembers its sessions."""
    shop = Shop(orders=60, key=KEY)
    shop.sessions = RememberingSessions()
    with shop:
        yield shop


class Stage:
    """A shop with a relay in front of it, a folder, and the results of commands."""

    def __init__(self, shop: Shop, folder: Path, address: str, relay: Relay) -> None:
        self.shop = shop
        self.relay = relay
        self.address = address
        self.folder = folder
        self.statuses: dict[str, int] = {}
        self.replies = folder / "replies"
        saved = ("--save-replies", str(self.replies))
        self.how = ("--url", address, "--user", shop.user, "--header", f"X-Pass: {HEADER}", *saved)
        self.basic = ("--basic-auth", f"me:{BASIC}")

    def dump(self, name: str, *arguments: str, out: str = "") -> int:
        """Dump the customers, by default to standard output, with a report."""
        to = ("--out", str(self.folder / out)) if out else ()
        report = ("--report", str(self.folder / f"{out or name}.json"))
        self.statuses[name] = run(["dump", "customers", *self.how, "--window", "10", *report, *to, *arguments])
        return self.statuses[name]

    @property
    def sessions(self) -> RememberingSessions:
        """The sessions of the shop."""
        assert isinstance(self.shop.sessions, RememberingSessions)
        return self.shop.sessions

    def secrets(self) -> list[str]:
        """Return everything that must not be shown: the planted secrets, and the shop's own sessions and hashes."""
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
    """Make every logger log everything."""
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


def commands_that_succeed(stage: Stage) -> None:
    """Run commands that succeed, with each way to pass a key and a password."""
    key_file = stage.folder / "key"
    key_file.write_text(KEY)
    proxy = f"http://me:{PROXY}@{urlsplit(stage.address).netloc}"
    assert stage.dump("well", *stage.basic, out="rows") == 0
    assert stage.dump("by xml-rpc", *stage.basic, "--wire", "xml-rpc", out="by xml-rpc") == 0
    assert stage.dump("through a proxy", "--url", stage.shop.url, "--proxy", proxy, out="by proxy") == 0
    assert stage.dump("key from a file", "--key-file", str(key_file), "--last", "5") == 0
    assert stage.dump("key", "--key", KEY, "--last", "5") == 0
    assert run(["doctor", *stage.how, *stage.basic, "--json"]) == 0
    key_file.unlink()


def wrong_commands(stage: Stage) -> None:
    """Run commands with secrets in wrong places, and with malformed values."""
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


def commands_on_a_failing_shop(stage: Stage) -> None:
    """Run commands on a shop with every outage, and with an unreachable address."""
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


def a_server_that_repeats_requests(stage: Stage) -> None:
    """Let it answer a call, or the login, with a page or a fault that repeats the request."""
    for stage.relay.blab, stage.relay.about in BLABS:
        name = f"{stage.relay.blab.__name__} {stage.relay.about.decode()}"
        assert stage.dump(name, *stage.basic, out=name) == 1
        run(["doctor", *stage.how, *stage.basic])
    stage.relay.blab = None


def fault_among_results_of(request: Request) -> bytes:
    """Return a reply of XML-RPC whose only result is a fault with the request as its text."""
    words = (request.head + request.body).decode("latin-1")
    result = [{"isFault": True, "faultCode": "1", "faultMessage": words}]
    body = xmlrpc.client.dumps((result,), methodresponse=True, encoding="UTF-8").replace("\r", "&#13;")
    return reply(body.encode(), "Content-Type: text/xml")


def xmlrpc_repeats_requests(stage: Stage) -> None:
    """Let XML-RPC do so: at the first call, after which SOAP is used, or at a later one, which ends the dump."""
    for stage.relay.blab in (page_of, plain_page_of, fault_of, fault_among_results_of):
        for stage.relay.spared in (0, 1):
            name = f"xmlrpc {stage.relay.blab.__name__} {stage.relay.spared}"
            stage.relay.about = b"multiCall"
            assert stage.dump(name, *stage.basic, "--details", out=name) in {0, 1}
            assert json.loads((stage.folder / f"{name}.json").read_text())["details"]["way"]
    stage.relay.blab, stage.relay.spared = None, 0


def xmlrpc_fault_of(request: Request) -> bytes:
    """Return a fault of XML-RPC whose text is the request."""
    words = (request.head + request.body).decode("latin-1")
    body = xmlrpc.client.dumps(xmlrpc.client.Fault(1, words), methodresponse=True).replace("\r", "&#13;")
    return reply(body.encode(), "Content-Type: text/xml")


def lists_by_xmlrpc_repeat_requests(stage: Stage) -> None:
    """Let them do so: a dump by XML-RPC ends, and one by `auto` continues by SOAP and says why."""
    for stage.relay.blab in (page_of, plain_page_of, fault_of, xmlrpc_fault_of):
        stage.relay.about = b"customer.list"
        name = f"lists by xmlrpc {stage.relay.blab.__name__}"
        assert stage.dump(name, *stage.basic, "--wire", "xml-rpc", out=name) == 1
        assert stage.dump(f"{name} auto", *stage.basic, "--wire", "auto", out=f"{name} auto") == 0
        report = json.loads((stage.folder / f"{name} auto.json").read_text())
        assert report["wire_reason"].startswith("XML-RPC fails: ")
    stage.relay.blab = None


def an_interrupted_dump(stage: Stage) -> None:
    """Leave an incomplete output and a checkpoint."""

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


@pytest.mark.slow
def test_no_command_writes_a_secret(
    stage: Stage,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Success, each kind of failure, a server that repeats requests: no file, line or log contains a secret."""
    monkeypatch.setenv("MAGENTO_API_KEY", KEY)
    for act in (
        commands_that_succeed,
        wrong_commands,
        commands_on_a_failing_shop,
        a_server_that_repeats_requests,
        xmlrpc_repeats_requests,
        lists_by_xmlrpc_repeat_requests,
        an_interrupted_dump,
    ):
        act(stage)
    sent = b"".join(stage.relay.heads).decode()
    assert all(one in sent for one in (HEADER, *IN_HEADERS)), "what is sent does hold them"
    capture = capfd.readouterr()
    written = {"standard error": capture.err, "the log": caplog.text}
    rows = {"standard output": capture.out}
    saved = list(stage.replies.iterdir())
    assert len(saved) > 20
    written |= {path.name: path.read_text("latin-1") for path in saved}
    stage.replies.rename(stage.folder.with_name("replies"))
    for path in stage.folder.iterdir():
        (written if path.suffix in {".json", ".checkpoint"} else rows)[path.name] = path.read_text()
    assert {"half.checkpoint", "half.json", "rows.json"} <= written.keys()
    assert {"rows", "by proxy", "half.part"} <= rows.keys()
    secrets = stage.secrets()
    for where, text in (written | rows).items():
        assert text, where
        for secret in secrets:
            assert secret not in text, (where, secret)
    assert "password_hash" not in rows["rows"], "rows contain what the server sent, except this"


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and all its causes, as far as a traceback shows them."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_no_object_and_no_error_of_the_library_shows_a_secret(stage: Stage) -> None:
    """Representations, messages, tracebacks and chains, as programs and error trackers show them."""
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


# A server that repeats what it was told in any form, in any place of its answer

ODD_KEY, ODD_PASSWORD, ODD_HEADER = (f"p&ss 'w<o>rd\\ +%41/\u00fc{one}xyz" for one in ("key-1", "basic-2", "h-3"))
ODD_SESSION, ODD_PROXY = "feedface,cafebabe-12 session", "px&ss%w<o>rd-5"
ODD_HEADER = ODD_HEADER.replace("\u00fc", "u")  # a header is ASCII
ODD = {
    ODD_KEY,
    ODD_PASSWORD,
    ODD_HEADER,
    ODD_SESSION,
    f"me:{ODD_PASSWORD}",
    base64.b64encode(f"me:{ODD_PASSWORD}".encode("latin-1")).decode(),
}
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "for an address": lambda one: quote(one, safe=""),
    "for a form": quote_plus,
    "all in percent": lambda one: "".join(f"%{byte:02x}" for byte in one.encode()),
    "for HTML": html.escape,
    "for XML": escape,
    "in numbers": lambda one: "".join(f"&#{ord(character)};" for character in one),
    "in hexadecimal numbers": lambda one: "".join(f"&#x{ord(character):X};" for character in one),
    "as JSON": json.dumps,
    "as PHP's JSON": lambda one: json.dumps(one).replace("/", "\\/"),
    "as Python": repr,
    "all in backslashes": lambda one: "".join(f"\\u{ord(character):04x}" for character in one),
    "an address in an address": lambda one: quote(quote(one, safe=""), safe=""),
    "an address in HTML": lambda one: html.escape(f"?key={quote_plus(one)}&x=1"),
    "HTML in JSON": lambda one: json.dumps(html.escape(one)),
    "HTML in HTML": lambda one: html.escape(html.escape(one)),
    "broken into lines": lambda one: "\r\n ".join(one[start : start + 5] for start in range(0, len(one), 5)),
    "its beginning": lambda one: f"#0 login('me', '{one[:15]}...')",
    "its end": lambda one: f"...{one[-12:]}",
    "at the end of a quote": lambda one: f"{'x' * (119 - len(one))} {one}",
    "in Latin-1": lambda one: one.encode().decode("latin-1"),
    "in an address's password": lambda one: f"http://me:{quote(one, safe='')}@shop.example/",
}
ENVELOPE = '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>{}</e:Body></e:Envelope>'
FAULT = ENVELOPE.format("<e:Fault><faultcode>{}</faultcode><faultstring>{}</faultstring></e:Fault>")
XML_FAULT = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>1</int></value></member>"
PLACES: dict[str, Callable[[str], bytes]] = {
    "a page that fails": lambda words: reply(f"<p>{words}</p>".encode(), status="500 Error"),
    "a page that refuses": lambda words: reply(f"<title>No {words}</title>".encode(), status="401 Unauthorized"),
    "a page": lambda words: reply(f"<html><body>Sorry, {words}</body></html>".encode()),
    "plain words": lambda words: reply(f"Notice: {words}".encode()),
    "a fault": lambda words: reply(FAULT.format("1", escape(words)).encode()),
    "a fault that fails": lambda words: reply(FAULT.format("1", escape(words)).encode(), status="500 Error"),
    "the code of a fault": lambda words: reply(FAULT.format(escape(words), "No").encode()),
    "a reply": lambda words: reply(ENVELOPE.format(escape(words)).encode()),
    "an attribute": lambda words: reply(ENVELOPE.format(f"<a b={quoteattr(words)}/>").encode()),
    "a comment": lambda words: reply(ENVELOPE.format(f"<!-- {words.replace('-', '')} -->").encode()),
    "broken XML": lambda words: reply(f"<?xml version='1.0'?><definitions a='{words}".encode()),
    "a reason": lambda words: reply(b"", status=f"503 {one_line(words)}"),
    "no status": lambda words: one_line(words).encode() + b"\r\n\r\n",
    "no header": lambda words: reply(b"", one_line(words), f"X: {one_line(words)}", status="404 Not Found"),
    "a length": lambda words: b"HTTP/1.1 200 OK\r\nContent-Length: " + one_line(words).encode() + b"\r\n\r\n",
    "the size of a chunk": lambda words: (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + one_line(words).encode() + b"\r\n\r\n"
    ),
    "a pause": lambda words: reply(b"", f"Retry-After: {one_line(words)}", status="503 Error"),
    "a redirect": lambda words: reply(b"", f"Location: /{one_line(words)}", status="302 Found"),
    "a redirect elsewhere": lambda words: reply(
        b"", f"Location: http://shop.example/{one_line(words)}?{one_line(words)}", status="302 Found"
    ),
    "a redirect to a user": lambda words: reply(
        b"", f"Location: http://me:{quote(words, safe='')}@shop.example/", status="302 Found"
    ),
    "an import": lambda words: reply(
        f"<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'><import location={quoteattr(words)}/>".encode()
        + b"</definitions>"
    ),
    "an import from elsewhere": lambda words: reply(
        "<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'>"
        f"<import location={quoteattr(f'http://shop.example/{words}')}/></definitions>".encode()
    ),
}


def one_line(words: str) -> str:
    """Return a text that fits into a header."""
    return " ".join(words.split())


def unescaped(code: re.Match[str]) -> str:
    """Return the character for a backslash and a number."""
    return chr(int(code[1], 16))


def parts_shown(text: str) -> list[str]:
    """Return the parts of secrets that a text shows, in any form; ten characters in a row are one."""
    texts = [text]
    for undo in (
        unquote,
        html.unescape,
        lambda one: re.sub(r"\\\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), one),
    ):
        texts += [undo(one) for one in texts]
    dense = "\n".join("".join(one.split()).replace("+", "") for one in texts)
    wholes = ["".join(secret.split()).replace("+", "") for secret in (*ODD, ODD_PROXY)]
    parts = {whole[start : start + 10] for whole in wholes for start in range(len(whole) - 9)}
    return [part for part in parts if part in dense]


class Echo:
    """A shop that at one stage answers with the secrets that it received so far.

    Attributes:
        stage: "wsdl", "login", "list" or "multiCall".
        place: where in its answer they stand.
        form: how they are written.
    """

    def __init__(self, stage: str, place: str) -> None:
        self.stage = stage
        self.place = place
        self.form: Callable[[str], str] = str

    def __call__(self, connection: socket.socket, request: Request) -> None:
        """Answer a request."""
        host, port = connection.getsockname()
        other = next((one for one in ("login", "multiCall") if one.encode() in request.body), "list")
        asked = "wsdl" if request.head.startswith(b"GET") else other
        if asked == self.stage:
            secrets_sent = ODD if asked in {"list", "multiCall"} else ODD - {ODD_SESSION}
            connection.sendall(PLACES[self.place](" ".join(map(self.form, sorted(secrets_sent)))))
        elif asked == "wsdl":
            connection.sendall(reply(wsdl("rpc", address=f"http://{host}:{port}/api/v2_soap/")))
        else:
            connection.sendall(reply(login_reply("rpc", ODD_SESSION)))


def quoted(ask: Callable[[], object]) -> str:
    """Return everything that a program shows of a value, or of an error."""
    try:
        return repr(ask())
    except (PagerError, ValueError) as error:
        assert "\n" not in str(error)  # noqa: PT017  it need not fail
        return "\n".join([repr(error), str(vars(error)), *traceback.format_exception(error)])


ODD_OPTIONS = HttpOptions(timeout=60, basic_auth=("me", ODD_PASSWORD), headers={"X-Pass": ODD_HEADER})


def taken_from(folder: Path) -> str:
    """Return everything that was saved in a folder since the last time, in either encoding."""
    texts = []
    for path in folder.iterdir():
        body = path.read_bytes()
        texts += [path.name, body.decode("latin-1"), body.decode(errors="replace")]
        path.unlink()
    return "\n".join(texts)


@pytest.mark.sampled
@pytest.mark.parametrize("stage", ["list", "multiCall"])
@pytest.mark.parametrize("place", PLACES)
def test_no_secret_in_an_answer_to_a_call_is_shown(
    stage: str, place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every secret, form and place: no error, log line, output or saved reply shows a part of it."""
    echo = Echo(stage, place)
    options = replace(ODD_OPTIONS, save_replies=ReplyFolder(tmp_path))
    with serving(echo) as url, contextlib.closing(Connection(url, "me", ODD_KEY, options)) as connection:
        for name, echo.form in FORMS.items():
            if stage == "list":
                shown = quoted(lambda: list(connection.rows(ORDERS, UP_TO_400)))
            else:
                shown = quoted(lambda: connection.multi_call([("a.b", ["1"])], right="x"))
            shown += "\n".join([caplog.text, *capfd.readouterr(), taken_from(tmp_path)])
            assert not parts_shown(shown), (name, shown)
            caplog.clear()


@pytest.mark.sampled
@pytest.mark.parametrize("stage", ["wsdl", "login"])
@pytest.mark.parametrize("place", slow_after(3, PLACES))
def test_no_secret_in_a_wsdl_or_an_answer_to_a_login_is_shown(
    stage: str, place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same for the WSDL and the login."""
    options = replace(ODD_OPTIONS, save_replies=ReplyFolder(tmp_path))
    echo = Echo(stage, place)
    with serving(echo) as url:
        for name in ("as it is", "for HTML", "at the end of a quote", "its beginning"):
            echo.form = FORMS[name]

            def ask() -> None:
                with contextlib.closing(Connection(url, "me", ODD_KEY, options)) as connection:
                    connection.login()

            shown = "\n".join([quoted(ask), caplog.text, *capfd.readouterr(), taken_from(tmp_path)])
            assert not parts_shown(shown), (name, shown)
            caplog.clear()


def test_a_proxy_that_repeats_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given as an option or by the environment."""
    heads: list[bytes] = []

    def answer(connection: socket.socket, request: Request) -> None:
        heads.append(request.head)
        words = html.escape(request.head.decode() + ODD_PROXY)
        connection.sendall(reply(f"<p>{words[words.index('Proxy') :]}".encode(), status="407 Who are you?"))

    encoded = base64.b64encode(f"me:{ODD_PROXY}".encode()).decode()
    with serving(answer) as url:
        proxy = f"http://me:{quote(ODD_PROXY, safe='')}@{urlsplit(url).netloc}/"
        for by_option in (True, False):
            if not by_option:
                monkeypatch.setenv("HTTP_PROXY", proxy)
                monkeypatch.setenv("http_proxy", proxy)
            options = HttpOptions(proxy=proxy if by_option else None, insecure_http=True)
            with pytest.raises(PagerError, match="HTTP 407") as caught:
                Connection("http://shop.example/", "me", ODD_KEY, options)
            assert encoded not in str(caught.value)
            assert not parts_shown(str(caught.value))
    assert all(encoded in one.decode() for one in heads)
