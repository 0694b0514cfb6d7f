"""Failures of a connection: pages, faults, stalls, outages, broken rows; and secrets, which are never shown."""

from __future__ import annotations

import gzip
import logging
import threading
import traceback
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from connections import (
    ALL_IDS,
    FLAVOURS,
    HASH,
    KEY,
    NEXT_SESSION,
    SESSION,
    SHORT_TIMEOUT,
    UP_TO_400,
    URL,
    connection_to,
    envelope,
    fault,
    login_reply,
    scripted_connection,
    sent_bodies,
)
from loopback import Request, reply, serving
from test_decoding import ROWS, rendered
from wsdls import Flavour, wsdl

from magento_pager.errors import FaultError, MalformedReplyError, PagerError, RemoteError, TransportError
from magento_pager.fake import Shop
from magento_pager.lists import CUSTOMERS, ORDERS
from magento_pager.shop.connection import Connection
from magento_pager.shop.sources import ListSource
from magento_pager.shop.transport import HttpOptions
from magento_pager.walk.conditions import Condition

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import responses

    from magento_pager.errors import Remedy
    from magento_pager.fake.settings import Outage


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        *[(401, "stop"), (403, "stop"), (404, "stop"), (405, "stop"), (406, "isolate"), (407, "stop")],
        *[(413, "split"), (414, "split"), (418, "isolate"), (429, "retry"), (451, "isolate"), (300, "stop")],
        *[
            (500, "split"),
            (501, "isolate"),
            (508, "retry"),
            (502, "retry"),
            (503, "retry"),
            (504, "retry"),
            (524, "retry"),
        ],
    ],
)
def test_a_page_instead_of_a_reply(web: responses.RequestsMock, flavour: Flavour, status: int, remedy: Remedy) -> None:
    """A page with a failure's status is a TransportError with its title; such a failed login is not split."""
    page = b"<html><head><title>Go\naway</title></head><body>no</body></html>"
    connection = scripted_connection(web, flavour, login_reply(flavour), (status, page))
    with pytest.raises(TransportError, match=f"salesOrderList: HTTP {status}; .* It said: Go away$") as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert (caught.value.status, caught.value.remedy) == (status, remedy)
    web.reset()
    connection = scripted_connection(web, flavour, (status, page))
    with pytest.raises(TransportError, match=f"login: HTTP {status}; ") as caught:
        connection.login()
    assert (caught.value.status, caught.value.remedy) == (
        status,
        {"split": "retry", "isolate": "stop"}.get(remedy, remedy),
    )


PHP = b"<br />\n<b>Fatal error</b>:  Allowed memory size of 9 bytes exhausted in <b>/a.php</b> on line <b>1</b><br />\n"
WARNING = b"<br />\n<b>Warning</b>:  Invalid argument in <b>/a.php</b> on line <b>1</b><br />\n"


@pytest.mark.parametrize(
    ("body", "remedy", "message"),
    [
        (b"", "split", r"the reply is empty: PHP failed, often for lack of memory. Use a smaller --window"),
        (b"\n", "split", "the reply is empty"),
        (b"<!DOCTYPE html><html><title>Back soon</title></html>", "retry", r"a page of HTML arrived .*\('Back soon'\)"),
        (b"<html><body>Log in</body></html>", "retry", r"a page of HTML arrived .*\('Log in'\)"),
        (b"\xef\xbb\xbf\n<!-- a --><HTML lang='en'><br></HTML>", "retry", "a page of HTML arrived"),
        (b"<?xml version='1.0'?><!DOCTYPE html PUBLIC 'x' 'y'><html/>", "retry", "a page of HTML arrived"),
        (b"<htmlish/>", "isolate", "not a SOAP envelope but <htmlish>"),
        (envelope("<n:other/>"), "isolate", "answers with <{urn:Magento}other>"),
        (rendered("rpc", ROWS)[:-60], "split", "was cut short"),
        (rendered("rpc", ROWS)[:40], "split", "was cut short"),
        (rendered("rpc", ROWS)[:4], "split", "was cut short"),
        (rendered("rpc", ROWS).replace(b"complete", b"com\x01plete"), "isolate", "malformed: .*--repair control-chara"),
        (rendered("rpc", ROWS).replace(b"complete", b"&#2;"), "isolate", "malformed: .*--repair control-characters"),
        (rendered("rpc", ROWS).replace(b"complete", b"Bj\xf6rn"), "isolate", "malformed: .*a row is not valid XML"),
        (rendered("rpc", ROWS).replace(b"complete", b"a < b"), "isolate", "malformed: .*a row is not valid XML"),
        (rendered("rpc", ROWS) + b"junk", "isolate", r"something follows the reply \('junk'\)"),
        (rendered("rpc", ROWS) + WARNING, "isolate", r"something follows the reply \('Warning: Invalid argument in /a"),
        (
            WARNING + rendered("rpc", ROWS),
            "isolate",
            "begins with 'Warning: Invalid argument in /a.php on line 1': PHP prints a notice before the XML. Switch",
        ),
        (b"Warning: Invalid argument", "isolate", "not XML; it begins with 'Warning: Invalid argument': PHP failed"),
        (PHP, "split", "not XML; it begins with 'Fatal error: Allowed memory.*Use a smaller --window"),
        (b"Fatal error: Maximum execution time of 9 seconds exceeded", "split", "not XML; .*Use a smaller --window"),
        (b"PDO::query(): MySQL server has gone away", "retry", "not XML; .*Try again later"),
        (rendered("rpc", ROWS).replace(b"?>", b"?><!DOCTYPE a>", 1), "stop", "document type"),
        (rendered("rpc", ROWS).replace(b"UTF-8", b"UTF-16", 1), "isolate", "encoded in 'UTF-16'"),
        (rendered("rpc", ROWS).replace(b"Entity[5]", b"Entity[6]"), "isolate", "announces 6 rows and has 5"),
    ],
)
def test_another_body_with_status_200(web: responses.RequestsMock, body: bytes, remedy: Remedy, message: str) -> None:
    """A reply with status 200 can still be a failure; the remedy depends on its body."""
    connection = scripted_connection(web, "rpc", login_reply("rpc"), body)
    with pytest.raises(MalformedReplyError, match=f"salesOrderList: .*{message}") as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert (caught.value.remedy, caught.value.pause) == (remedy, 0)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_reply_cut_anywhere_is_split(web: responses.RequestsMock, flavour: Flavour) -> None:
    """It is never taken for a broken row, and a complete reply is never taken for a cut one."""
    whole = rendered(flavour, ROWS[:2]).rstrip()
    connection = scripted_connection(web, flavour, login_reply(flavour))
    connection.login()
    for length in range(len(whole)):
        web.replace("POST", URL, body=whole[:length])
        with pytest.raises(MalformedReplyError, match=r"was cut short|is empty") as caught:
            list(connection.rows(ORDERS, UP_TO_400))
        assert caught.value.remedy == "split", whole[:length]


def test_a_fault_with_status_500_is_a_fault(web: responses.RequestsMock) -> None:
    """PHP's own faults have status 500."""
    connection = scripted_connection(
        web, "rpc", login_reply("rpc"), (500, fault("SOAP-ENV:Server", "Allowed memory size"))
    )
    with pytest.raises(FaultError, match="Allowed memory size") as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert caught.value.code == "SOAP-ENV:Server"


@pytest.mark.parametrize(
    ("code", "text", "remedy", "advice"),
    [
        ("0", "Unknown Error", "isolate", "filter names a column that the list does not have"),
        (
            "1",
            "Call to a member function getId() on a non-object",
            "isolate",
            "failed with an error of its own",
        ),
        (
            "1",
            "SQLSTATE[42S22]: 1054 Unknown column 'stat' in 'WHERE'",
            "stop",
            "no column 'stat' (did you mean 'status'",
        ),
        ("1", 'Item (Mage_Sales_Model_Order) with the same id "100" already exist', "isolate", "two addresses"),
        ("1", "1139 Regex error 'regular expression is too large'", "split", "Use a smaller --window"),
        ("1", "General error: 2006 MySQL server has gone away", "retry", "database is busy"),
        ("1", "SQLSTATE[40001]: Deadlock found when trying to get lock", "retry", "database is busy"),
        ("1", "General error: 1205 Lock wait timeout exceeded", "retry", "database is busy"),
        ("1", "SQLSTATE[HY000] [1040] Too many connections", "retry", "database is busy"),
        ("1", "SQLSTATE[HY000] [2002] Connection refused", "retry", "database is busy"),
        ("2", "Access denied.", "stop", "Check --user and --key, and that the API user is active and its role has the"),
        ("3", "Invalid api path.", "stop", "does not know this API path"),
        ("4", "Resource path is not callable.", "stop", "cannot call this API path"),
        ("6", "Required parameter is missing", "stop", "says that a parameter is missing"),
        ("101", "Invalid attribute name: x", "stop", "orders have no column 'x'"),
        ("101", "Invalid filters given.", "isolate", "refuses a filter"),
        ("100", "Requested order not exists.", "isolate", "could not process the call"),
        ("SOAP-ENV:Server", "Allowed memory size of 9 bytes exhausted", "split", "Use a smaller --window"),
        ("SOAP-ENV:Server", "Maximum execution time of 1 second exceeded", "split", "Use a smaller --window"),
        ("SOAP-ENV:Server", "SOAP-ERROR: Encoding: string 'Bj...' is not a valid utf-8 string", "isolate", "not UTF-8"),
        ("SOAP-ENV:Server", "Procedure 'x' not present", "stop", "lacks what its WSDL declares"),
        ("SOAP-ENV:Server", "Internal Error", "isolate", "could not process the call"),
        # words of a module that begin as PHP's do
        ("1", "Bad request to the payment gateway", "isolate", "failed with an error of its own"),
        ("1", "Function eval() is not present", "isolate", "failed with an error of its own"),
        ("1", "The parcel was killed", "isolate", "failed with an error of its own"),
        (
            "SOAP-ENV:Client",
            "looks like we got no XML document",
            "stop",
            "whether a proxy or a firewall alters it",
        ),
        ("Sender", "Invalid XML", "stop", "whether a proxy or a firewall alters it"),
        ("WSDL", "SOAP-ERROR: Parsing WSDL: Couldn't load", "retry", "Enable the WSDL cache"),
    ],
)
def test_each_fault_has_its_advice(
    web: responses.RequestsMock, code: str, text: str, remedy: Remedy, advice: str
) -> None:
    """The message has the fault's code, the server's text, and what to do; the remedy is for the walk."""
    connection = scripted_connection(web, "rpc", login_reply("rpc"), fault(code, text))
    with pytest.raises(FaultError) as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert str(caught.value).startswith(f"salesOrderList: fault {code}, {text!r}: ")
    assert advice in str(caught.value).partition(repr(text))[2]
    assert (caught.value.code, caught.value.text, caught.value.remedy) == (code, text, remedy)


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (fault("SOAP-ENV:Server", "Allowed memory size of 9 bytes exhausted"), "retry"),
        (fault("SOAP-ENV:Server", "SOAP-ERROR: Encoding: string"), "stop"),
        (fault("WSDL", "SOAP-ERROR: Parsing WSDL"), "retry"),
        (fault("2", "Access denied."), "stop"),
        (b"", "retry"),
        (login_reply("rpc")[:-30], "retry"),
        (login_reply("rpc", "\x01"), "stop"),
        (b"<html><title>Back soon</title></html>", "retry"),
    ],
)
def test_a_call_without_rows_is_retried_or_stops(web: responses.RequestsMock, answer: bytes, remedy: Remedy) -> None:
    """A login or another short call has nothing to split, and no row to isolate."""
    connection = scripted_connection(web, "rpc", answer)
    with pytest.raises(RemoteError, match="login: ") as caught:
        connection.login()
    assert caught.value.remedy == remedy
    with pytest.raises(RemoteError, match="login: ") as caught:  # at the beginning of a list, too
        list(connection.rows(ORDERS, UP_TO_400))
    assert caught.value.remedy == remedy
    web.reset()
    connection = scripted_connection(web, "rpc", login_reply("rpc"), answer)
    with pytest.raises(RemoteError, match="magentoInfo: ") as caught:
        connection.call("magentoInfo")
    assert caught.value.remedy == remedy


def test_retry_after_becomes_the_pause(web: responses.RequestsMock) -> None:
    """`Retry-After` becomes the error's pause."""
    connection = scripted_connection(web, "rpc", login_reply("rpc"))
    connection.login()
    web.replace("POST", URL, status=503, body="Back soon", headers={"Retry-After": "17"})
    with pytest.raises(TransportError, match="It said: Back soon") as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert (caught.value.remedy, caught.value.pause) == ("retry", 17)


def test_a_long_fault_is_shown_in_short(web: responses.RequestsMock) -> None:
    """Some faults contain a whole SQL statement: the message has its beginning, `text` all of it."""
    connection = scripted_connection(web, "rpc", login_reply("rpc"), fault("1", "SQLSTATE\n" + "SELECT a, " * 500))
    with pytest.raises(FaultError) as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)
    assert len(caught.value.text) > 5000


def behind_a_wsdl(answer: Callable[[socket.socket, Request], None]) -> Callable[[socket.socket, Request], None]:
    """Serve a WSDL and a session, and answer everything else with `answer`."""

    def converse(connection: socket.socket, request: Request) -> None:
        if request.head.startswith(b"GET"):
            host, port = connection.getsockname()
            connection.sendall(reply(wsdl("rpc", address=f"http://{host}:{port}/api/v2_soap/")))
        elif b"<apiKey" in request.body:
            connection.sendall(reply(login_reply("rpc")))
        elif b"endSession" not in request.body:
            answer(connection, request)

    return converse


def stalling(connection: socket.socket, _: Request) -> None:
    """Send no answer."""
    connection.recv(1)


def stalling_after_rows(connection: socket.socket, _: Request) -> None:
    """Send rows, and then nothing."""
    connection.sendall(reply(rendered("rpc", ROWS))[:-400])
    connection.recv(1)


def dripping(connection: socket.socket, _: Request) -> None:
    """Send a row now and then, without an end."""
    body = rendered("rpc", ROWS * 1000)
    connection.sendall(reply(body)[: -len(body)])
    for start in range(0, len(body), 50):
        connection.sendall(body[start : start + 50])
        threading.Event().wait(0.01)


def hanging_up(connection: socket.socket, _: Request) -> None:
    """Send half an answer."""
    connection.sendall(reply(rendered("rpc", ROWS))[:-400])


def cut_gzip(connection: socket.socket, _: Request) -> None:
    """Send a gzipped body that is cut, with a length that matches."""
    connection.sendall(reply(gzip.compress(rendered("rpc", ROWS))[:-100], "Content-Encoding: gzip"))


def breaking_off_a_page(connection: socket.socket, _: Request) -> None:
    """Send half a page of a proxy."""
    connection.sendall(reply(b"<html><title>Bad gateway</title>", status="502 Bad Gateway")[:-10])


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (stalling, TransportError, "no answer in time"),
        (stalling_after_rows, TransportError, "no answer in time"),
        (dripping, TransportError, "the answer was not complete after 1 s|no answer in time"),
        (hanging_up, TransportError, "the answer was cut short"),
        (cut_gzip, MalformedReplyError, "was cut short"),
        (breaking_off_a_page, TransportError, "HTTP 502; "),
    ],
)
def test_a_failing_connection(
    answer: Callable[[socket.socket, Request], None], kind: type[RemoteError], message: str
) -> None:
    """Stalling, dripping and hanging up raise an error that names the call; rows before it were right."""
    rows: list[dict[str, Any]] = []
    with (
        serving(behind_a_wsdl(answer)) as url,
        closing(Connection(url, "me", KEY, SHORT_TIMEOUT)) as connection,
        pytest.raises(kind, match=f"salesOrderList: .*({message})"),
    ):
        rows.extend(connection.rows(ORDERS, UP_TO_400))
    assert rows == (ROWS * 1000)[: len(rows)]


def test_ending_the_session_has_a_short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the timeout of other calls is."""
    monkeypatch.setattr("magento_pager.shop.connection.END_SESSION_TIMEOUT", 0.2)
    left = threading.Event()

    def answer(connection: socket.socket, request: Request) -> None:
        behind_a_wsdl(stalling)(connection, request)
        if b"endSession" in request.body:
            connection.settimeout(10)
            connection.recv(1)
            left.set()

    with serving(answer) as url:
        connection = Connection(url, "me", KEY, HttpOptions(timeout=60))
        connection.login()
        connection.close()
        assert left.wait(5)


def test_no_login_while_closing() -> None:
    """While the session is being ended, no other thread begins a new one."""
    outcomes: list[str] = []
    logins: list[bytes] = []

    def answer(connection: socket.socket, request: Request) -> None:
        if b"<apiKey" in request.body:
            logins.append(request.body)
        if b"endSession" in request.body:
            try:
                closing_one.login()
            except ValueError as error:
                outcomes.append(str(error))
        behind_a_wsdl(stalling)(connection, request)

    with serving(answer) as url:
        closing_one = Connection(url, "me", KEY, HttpOptions(timeout=10))
        closing_one.login()
        closing_one.close()
    assert outcomes == ["the connection to the shop is closed. Connect again"]
    assert len(logins) == 1


OUTAGES: list[tuple[Outage, type[RemoteError], str]] = [
    ("maintenance", TransportError, "HTTP 503; the shop is in maintenance"),
    ("database", TransportError, "HTTP 503; "),
    ("firewall", TransportError, "HTTP 403; a firewall or bot protection"),
    ("redirect", TransportError, "HTTP 302; the server redirects to https://"),
    ("wsdl", FaultError, "fault WSDL, .* Enable the WSDL cache"),
    ("schema", FaultError, "fault WSDL, .* Enable the WSDL cache"),
]


@pytest.mark.parametrize(("outage", "kind", "message"), OUTAGES)
def test_the_outages_of_a_shop(shop: Shop, outage: Outage, kind: type[RemoteError], message: str) -> None:
    """The message says what happened and what to do."""
    with connection_to(shop) as connection:
        list(connection.rows(CUSTOMERS, UP_TO_400))
        shop.change(outage=outage)
        with pytest.raises(kind, match=f"customerCustomerList: {message}"):
            list(connection.rows(CUSTOMERS, UP_TO_400))
        shop.change(outage="")
        assert list(connection.rows(CUSTOMERS, UP_TO_400))


def test_a_server_out_of_memory(shop: Shop) -> None:
    """A list too large for PHP is a fault, or an answer without its body."""
    shop.change(memory_limit_rows=50)
    with connection_to(shop) as connection:
        with pytest.raises(FaultError, match="Allowed memory size"):
            list(connection.rows(ORDERS, ALL_IDS))
        shop.change(memory_failure="empty")
        with pytest.raises(TransportError, match="the answer was cut short"):
            list(connection.rows(ORDERS, ALL_IDS))
        shop.change(memory_limit_rows=0)
        assert len(list(connection.rows(ORDERS, ALL_IDS))) == 200


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_rows_that_break_replies_of_old_servers(flavour: Flavour) -> None:
    """The error is the documented one, and the neighbours can be read."""
    with Shop(profile="1.7.0.2", flavour=flavour, orders=50) as shop, connection_to(shop) as connection:
        first, second, *_ = sorted(shop.database.ids("orders"))
        one = [Condition("entity_id", "eq", str(first))]
        shop.change(duplicate_address={first})
        with pytest.raises(FaultError, match=f'same id "{first}" already exist'):
            list(connection.rows(ORDERS, one))
        shop.change(duplicate_address=(), invalid_utf8={first})
        with pytest.raises(FaultError, match="Encoding: string"):
            list(connection.rows(ORDERS, one))
        shop.change(invalid_utf8=(), control_characters={first})
        with pytest.raises(MalformedReplyError, match="malformed"):
            list(connection.rows(ORDERS, one))
        assert len(list(connection.rows(ORDERS, [Condition("entity_id", "eq", str(second))]))) == 1


# Secrets


SECRETS = [KEY, SESSION, NEXT_SESSION, HASH, "b4sic", "h3ader"]
LEAKS = [
    fault("1", f"query was: ... WHERE sessid = '{SESSION}' AND hash = '{HASH}' AND api_key = '{KEY}'"),
    fault("WSDL", "SOAP-ERROR: Couldn't load from 'http://me:b4sic@127.0.0.1/?wsdl=1'"),
    fault("5", f"Session {SESSION} expired"),
    (500, f"<html><title>{SESSION} {KEY} {HASH}</title></html>".encode()),
    (503, KEY.encode()),
    f"{SESSION} {KEY} {HASH}".encode(),
    f"<html>{HASH}</html>".encode(),
    f"<{KEY}/>".encode(),
    envelope(f"<{KEY}/>"),
    rendered("rpc", ROWS).replace(b"<status", f"<{KEY}/><status".encode()),
    rendered("rpc", ROWS).replace(b'"xsd:string">c', f'"{HASH}">c'.encode()),
    rendered("rpc", ROWS)[:-100],
]


@pytest.mark.parametrize("leak", LEAKS)
def test_no_secret_shows(
    web: responses.RequestsMock, caplog: pytest.LogCaptureFixture, leak: bytes | tuple[int, bytes]
) -> None:
    """Key, session id, password hash and basic auth are in no log at any level, no error, no traceback, no repr."""
    caplog.set_level(logging.DEBUG)
    status, body = (200, leak) if isinstance(leak, bytes) else leak
    options = HttpOptions(basic_auth=("me", "b4sic"), headers={"X-Pass": "h3ader"})
    web.get(URL, body=wsdl("rpc"))
    web.post(URL, body=login_reply("rpc"))
    web.post(URL, body=body, status=status)
    connection = Connection(f"{URL}?wsdl=1", "me", KEY, options)
    connection.login()
    shown = [repr(connection), repr(ListSource(connection, ORDERS)), repr(options)]
    with pytest.raises(PagerError) as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    shown += everything_about(caught.value)
    try:
        connection.call("magentoInfo")  # which would take a list for an answer
    except PagerError as error:
        shown += everything_about(error)
    connection.close()
    for secret in SECRETS:
        assert not any(secret in text for text in [*shown, caplog.text])


def everything_about(error: Exception) -> list[str]:
    """Return everything that an error can show."""
    return [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]


def test_no_secret_is_logged_without_failures(caplog: pytest.LogCaptureFixture) -> None:
    """Over real HTTP, with rows that contain password hashes."""
    caplog.set_level(logging.DEBUG)
    with ExitStack() as stack:
        shop = stack.enter_context(Shop(orders=50, key=KEY))
        connection = stack.enter_context(closing(Connection(shop.url, shop.user, shop.key)))
        hashes = {row["password_hash"] for row in connection.rows(CUSTOMERS, ALL_IDS) if "password_hash" in row}
        assert hashes
        session = next(iter(_open_sessions(shop)))
    assert caplog.records
    for secret in (KEY, session, *hashes):
        assert secret not in caplog.text


def _open_sessions(shop: Shop) -> list[str]:
    """Return the ids of the shop's sessions."""
    return list(shop.sessions._active)  # noqa: SLF001  the shop tells nobody else


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_requests_contain_the_secrets(web: responses.RequestsMock, flavour: Flavour) -> None:
    """Otherwise the tests above would prove nothing."""
    connection = scripted_connection(web, flavour, login_reply(flavour), rendered(flavour, ROWS))
    list(connection.rows(ORDERS, UP_TO_400))
    login, call = sent_bodies(web)
    assert KEY.encode() in login
    assert SESSION.encode() in call
