"""Every recorded failure, sent again over HTTP: its error, and that the page on errors agrees.

Failures that could not be recorded, or that are caused by something in front of the shop, are made up.
"""

from __future__ import annotations

import gzip
import re
import time
import zlib
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from conftest import SAMPLES
from connections import KEY, UP_TO_400, fault, login_reply
from loopback import Request, reply, serving
from test_decoding import ROWS, rendered
from test_failures import (
    PHP,
    WARNING,
    behind_a_wsdl,
    breaking_off_a_page,
    cut_gzip,
    dripping,
    hanging_up,
    stalling,
    stalling_after_rows,
)

from magento_pager.errors import FaultError, MalformedReplyError, RemoteError, TransportError
from magento_pager.lists import ORDERS
from magento_pager.shop.connection import Connection
from magento_pager.shop.failures import FAILURES, adapted_to_no_rows, body_error, failure_of, fault_error, status_error
from magento_pager.shop.transport import HttpOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from magento_pager.errors import Remedy
    from magento_pager.shop.failures import Purpose

    Answer = Callable[[socket.socket, Request], None]

PAGE = Path(__file__).parents[2] / "docs/reference/errors.md"


class Outcome(NamedTuple):
    """The expected error for a recording.

    Attributes:
        known_by: a fault's code, a page's status; None for a reply that cannot be read.
        remedy: what a walk can do about it.
        advice: words of the message that say what it means or what to do.
    """

    known_by: str | int | None
    remedy: Remedy
    advice: str


SERVER = "SOAP-ENV:Server"
DENIED = Outcome(
    "2", "stop", "Check --user and --key, and that the API user is active and its role has the right 'Sales"
)
EXPIRED = Outcome("5", "stop", "a new login did not help. Check the session timeout of the shop's API")
MEMORY = Outcome(SERVER, "split", "enough memory for this many rows. Use a smaller --window")
NO_PROCEDURE = Outcome(SERVER, "stop", "lacks what its WSDL declares")
NO_XML = Outcome("Sender", "stop", "whether a proxy or a firewall alters it")
SELF_FETCH = Outcome("WSDL", "retry", "Enable the WSDL cache")

RECORDED: dict[str, Outcome] = {
    "fault_access_denied": DENIED,
    "fault_duplicate_address_row": Outcome("1", "isolate", "the row has two addresses of one kind"),
    "fault_empty_body": NO_XML,
    "fault_empty_login": Outcome("6", "stop", "says that a parameter is missing"),
    "fault_empty_session": EXPIRED,
    "fault_http_413_body_too_large": Outcome(413, "split", "refuses a request of this length. Use a smaller --window"),
    "fault_invalid_filter_field": Outcome("1", "stop", "orders have no column 'no_such_field'"),
    "fault_invalid_filter_field_customer": Outcome("101", "stop", "orders have no column 'no_such_field'"),
    "fault_invalid_filter_field_invoice": Outcome("1", "stop", "orders have no column 'no_such_field'"),
    "fault_invalid_filter_field_product": Outcome("0", "isolate", "filter names a column that the list does not have"),
    "fault_malformed_xml": NO_XML,
    "fault_max_execution_time": Outcome(SERVER, "split", "takes too long for this many rows. Use a smaller --window"),
    "fault_memory_limit": MEMORY,
    "fault_memory_limit_display_errors": MEMORY,
    "fault_missing_param": Outcome("100", "isolate", "could not process the call"),
    "fault_not_soap": Outcome("env:VersionMismatch", "stop", "whether a proxy or a firewall alters it"),
    "fault_order_not_exists": Outcome("100", "isolate", "could not process the call"),
    "fault_other_flavour_request": NO_PROCEDURE,
    "fault_session_after_endSession": EXPIRED,
    "fault_session_timed_out": EXPIRED,
    "fault_soap_encoding_schema_unreachable": SELF_FETCH,
    "fault_unknown_operation": NO_PROCEDURE,
    "fault_unknown_session": EXPIRED,
    "fault_wrong_login": DENIED,
    "fault_wsdl_self_fetch_failed": SELF_FETCH,
    "http_503_maintenance": Outcome(503, "retry", "in maintenance or its database is down"),
    "http_db_down": Outcome(503, "retry", "in maintenance, its database is down"),
    "pre193_control_char_0x01": Outcome(None, "isolate", "--repair control-characters"),
    "pre193_invalid_utf8": Outcome(SERVER, "isolate", "a row contains text that is not UTF-8"),
    "salesOrderList_two_conditions": MEMORY,  # `lt` was dropped, and all orders are too many
    "wrong_namespace_urn_Magento": NO_PROCEDURE,
    "wsi/fault_missing_param": Outcome("6", "stop", "says that a parameter is missing"),
}
"""By name; with its flavour in front where the flavours differ."""

NONE_AT_ALL = {
    "rpc/fault_invalid_condition",  # an unknown operator reads as equality
    "wsi/fault_invalid_condition",
    "rpc/wrong_namespace_urn_Magento",  # RPC takes any namespace
}
"""Recordings that are named as failures and hold rows."""


def outcome_of(name: str) -> Outcome | None:
    """Return the expected error for a recording; None if it is not a failure."""
    return None if name in NONE_AT_ALL else RECORDED.get(name) or RECORDED.get(name.partition("/")[2])


def failures() -> list[str]:
    """Return the recordings of failures, as rpc/NAME and wsi/NAME; a missing one if there are none."""
    names = [
        f"{folder.name}/{path.name.removesuffix('.response.xml')}"
        for folder in (SAMPLES / "rpc", SAMPLES / "wsi")
        for path in sorted(folder.glob("*.response.xml"))
    ]
    return [name for name in names if outcome_of(name)] or ["rpc/none"]


def test_every_recorded_failure_is_tested(samples: Path) -> None:
    """Every recording named as a failure is sent here, and every outcome here is recorded."""
    found = {
        f"{flavour}/{path.name.split('.')[0]}"
        for flavour in ("rpc", "wsi")
        for pattern in ("fault_*", "http_*", "pre193_*", "wrong_*")
        for path in (samples / flavour).glob(pattern)
    }
    replies = {name for name in found if (samples / f"{name}.response.xml").exists()}
    assert replies == found
    assert replies - NONE_AT_ALL <= set(failures())
    assert len(replies) > 45
    sent = {name for full in failures() for name in (full, full.partition("/")[2])}
    assert RECORDED.keys() <= sent


def http_reply(name: str) -> bytes:
    """Return a recorded answer as HTTP; without a recorded head, the status is that of PHP."""
    head, body = SAMPLES / f"{name}.response.http", (SAMPLES / f"{name}.response.xml").read_bytes()
    kept = head.read_text(encoding="utf-8").splitlines() if head.exists() else []
    status = kept[0].partition(" ")[2] if kept else "500 Internal Server Error" if b":Fault>" in body else "200 OK"
    return reply(
        body, *(line for line in kept if line.startswith(("Content-Type", "Date", "Set-Cookie"))), status=status
    )


class Playback:
    """A server with a recorded WSDL that answers each list with a given reply."""

    def __init__(self, flavour: str) -> None:
        self.answer = b""
        self._wsdl = (SAMPLES / flavour / "wsdl.xml").read_bytes()
        self._login = reply(login_reply("rpc" if flavour == "rpc" else "wsi"))

    def converse(self, connection: socket.socket, request: Request) -> None:
        """Answer one request."""
        host, port = connection.getsockname()
        if request.head.startswith(b"GET"):
            address = rb'location="http://%s:%d/api/v2_soap/"' % (host.encode(), port)
            connection.sendall(reply(re.sub(rb'location="http://127[^"]*"', address, self._wsdl)))
        elif b"<apiKey" in request.body:
            connection.sendall(self._login)
        else:
            connection.sendall(self.answer)


@pytest.fixture(scope="module")
def playbacks(samples: Path) -> Iterator[Callable[[str], tuple[Playback, Connection]]]:
    """Return a server and a connection for each flavour, because reading a recorded WSDL takes time."""
    del samples
    with (
        serving((rpc := Playback("rpc")).converse) as one,
        serving((wsi := Playback("wsi")).converse) as other,
        closing(Connection(one, "me", KEY)) as by_rpc,
        closing(Connection(other, "me", KEY)) as by_wsi,
    ):
        yield lambda flavour: (rpc, by_rpc) if flavour == "rpc" else (wsi, by_wsi)


@pytest.mark.parametrize("name", failures())
def test_a_recorded_failure(playbacks: Callable[[str], tuple[Playback, Connection]], name: str) -> None:
    """It raises the error of its class, with its code or status, its remedy and advice, on one line."""
    outcome = outcome_of(name)
    assert outcome
    server, connection = playbacks(name.partition("/")[0])
    server.answer = http_reply(name)
    with pytest.raises(RemoteError) as caught:
        list(connection.rows(ORDERS, UP_TO_400))
    error = caught.value
    if isinstance(outcome.known_by, str):
        assert isinstance(error, FaultError)
        assert (error.code, error.operation) == (outcome.known_by, "salesOrderList")
        assert error.text
    elif isinstance(outcome.known_by, int):
        assert isinstance(error, TransportError)
        assert error.status == outcome.known_by
        assert "It said: " in str(error)
    else:
        assert isinstance(error, MalformedReplyError)
    assert (error.remedy, error.pause) == (outcome.remedy, 0)
    assert outcome.advice in str(error)
    assert str(error).startswith("salesOrderList: ")
    assert "\n" not in str(error)
    assert len(str(error)) < 700
    assert documented(error) == outcome.remedy


# What the page says


def unquoted(text: str) -> str:
    """Return a text without the characters that depend on its quoting."""
    return re.sub(r"[\"'\\]", "", text)


@cache
def rows_of_the_page() -> tuple[tuple[tuple[re.Pattern[str], ...], Remedy], ...]:
    """Return what each row on a failure says: its messages, and the remedy, which is the last that it names.

    A row on all the rest is about no failure in particular.
    """
    rows = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = line.strip("|").split(" | ")
        remedies = re.findall(r"\*\*(retry|split|isolate|stop)\*\*", cells[2] if len(cells) == 4 else "")
        messages = re.findall(r"`([^`]+)`", cells[0])
        if remedies and messages and "another text" not in cells[0]:
            patterns = tuple(re.compile(".*".join(map(re.escape, unquoted(one).split("...")))) for one in messages)
            rows.append((patterns, remedies[-1]))
    return tuple(rows)


def documented(error: RemoteError) -> str | None:
    """Return the remedy that the page has for an error; None without a row."""
    text = unquoted(str(error))
    return next(
        (remedy for patterns, remedy in rows_of_the_page() if any(form.search(text) for form in patterns)), None
    )


class Example(NamedTuple):
    """A text of a server.

    Attributes:
        words: a fault's text, or the body of an answer that is none.
        code: of the fault; None where it is none.
        status: of HTTP, where it is none.
        purpose: what was asked for.
    """

    words: str
    code: str | None = None
    status: int = 200
    purpose: Purpose = "rows"

    def error(self) -> RemoteError:
        """Return the resulting error."""
        if self.code is not None:
            return fault_error(self.code, self.words, "salesOrderList", "Sales" if self.purpose == "rows" else None)
        if self.status == 200:
            return body_error(self.words.encode(), "salesOrderList", self.purpose)
        return status_error(self.status, "salesOrderList", self.words.encode(), purpose=self.purpose)


def page(title: str, text: str = "") -> str:
    """Return a page of HTML."""
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{text}</body></html>"


NOTICE = "<br />\n<b>Notice</b>:  Undefined variable: x in <b>/var/www/a.php</b> on line <b>3</b><br />\n"
ENVELOPE = '<?xml version="1.0"?>\n<SOAP-ENV:Envelope>'
EXAMPLES: dict[str, list[Example]] = {
    "memory call": [Example("Allowed memory size of 9 bytes exhausted", SERVER, purpose="call")],
    "memory WSDL": [Example("Fatal error: Allowed memory size of 9 bytes exhausted", status=500, purpose="WSDL")],
    "memory": [
        Example("Allowed memory size of 9 bytes exhausted (tried to allocate 2 bytes)", SERVER),
        Example("Out of memory (allocated 5) (tried to allocate 2 bytes)", SERVER),
        Example("<b>Fatal error</b>:  Allowed memory size of 9 bytes exhausted"),
    ],
    "time": [
        Example("Maximum execution time of 1 second exceeded", SERVER),
        Example("SQLSTATE[HY000]: General error: 3024 Query execution was interrupted", "1"),
        Example("Query execution was interrupted (max_statement_time exceeded)", "1"),
    ],
    "time call": [Example("Maximum execution time of 30 seconds exceeded", SERVER, purpose="call")],
    "pattern": [
        Example("1139 Got error 'regular expression is too large' from regexp", "1"),
        Example("1139 Regex error 'Timeout exceeded in regular expression match.'", "1"),
    ],
    "packet": [Example("1153 Got a packet bigger than 'max_allowed_packet' bytes", "1")],
    "same id": [Example('Item (Mage_Sales_Model_Order) with the same id "100" already exist', "1")],
    "utf-8": [Example("SOAP-ERROR: Encoding: string 'Bj\\xf6...' is not a valid utf-8 string", SERVER)],
    "no property": [
        Example("SOAP-ERROR: Encoding: object has no 'code' property", SERVER),
        Example("SOAP-ERROR: Encoding: object hasn't 'sku' property", SERVER),
    ],
    "encoding": [
        Example("SOAP-ERROR: Encoding: Violation of encoding rules", SERVER),
        Example("SOAP-ERROR: Encoding: Can't decode apache map, missing key", SERVER),
    ],
    "database busy": [
        Example("SQLSTATE[HY000]: General error: 2006 MySQL server has gone away", "1"),
        Example("General error: 2013 Lost connection to MySQL server during query", "1"),
        Example("SQLSTATE[40001]: Serialization failure: 1213 Deadlock found when trying to get lock", "1"),
        Example("SQLSTATE[HY000]: General error: 1205 Lock wait timeout exceeded", "1"),
        Example("SQLSTATE[08004] [1040] Too many connections", "1"),
        Example("[1203] User shop already has more than 'max_user_connections' active connections", "1"),
        Example("SQLSTATE[HY000] [2002] Connection refused", "1"),
        Example("SQLSTATE[28000] [1045] Access denied for user 'shop'@'localhost'", "1"),
    ],
    "ws-i": [
        Example("SQLSTATE[42000]: Syntax error or access violation: 1064 ... to use near 'like = '_')' at line 1", "1"),
        Example("SQLSTATE[42000]: Syntax error or access violation: 1064 ... to use near 'from = '1')' at line 1", "1"),
        Example("Invalid attribute name: like", "101"),
    ],
    "no column": [
        Example("SQLSTATE[42S22]: Column not found: 1054 Unknown column 'stat' in 'where clause'", "1"),
        Example("SQLSTATE[42S22]: Column not found: 1054 Unknown column 'main_table.stat' in 'WHERE'", "101"),
        Example("Invalid attribute name: emial", "101"),
    ],
    "ambiguous column": [Example("SQLSTATE[23000]: ... 1052 Column 'created_at' in where clause is ambiguous", "1")],
    "broken WSDL": [
        Example("SOAP-ERROR: Parsing Schema: unexpected <foo> in sequence", "WSDL"),
        Example("SOAP-ERROR: Parsing Schema: element 'x' already defined", "WSDL"),
        Example("SOAP-ERROR: Parsing WSDL: Unknown required WSDL extension 'x'", SERVER),
        Example("SOAP-ERROR: Parsing WSDL: <message> 'salesOrderListRequest' already defined", "WSDL"),
        Example("SOAP-ERROR: Parsing WSDL: Couldn't load from 'http://a/' : Extra content at the end", "WSDL"),
    ],
    "own WSDL": [Example("SOAP-ERROR: Parsing WSDL: Couldn't load from 'http://shop.example/?wsdl=1'", "WSDL")],
    "own WSDL by text": [Example("SOAP-ERROR: Parsing WSDL: Couldn't load from 'http://shop.example/'", SERVER)],
    "no ext-soap": [
        Example("Unable to load Soap extension on the server", "0"),
        Example("Unable to load Soap extension", "0", purpose="call"),
        Example("Uncaught Error: Class 'SoapServer' not found in /a.php:3", status=500, purpose="call"),
        Example('Fatal error: Uncaught Error: Class "SoapServer" not found in /a.php:3'),
    ],
    "not present": [Example("Procedure 'salesOrderList' not present", SERVER)],
    "bad request": [
        Example("Bad Request", "SOAP-ENV:Client"),
        Example('looks like we got XML without "Envelope" element', "SOAP-ENV:Client"),
    ],
    "0": [Example("Unknown Error", "0")],
    "2": [Example("Access denied.", "2"), Example("Access denied.", "2", purpose="call")],
    "3": [Example("Invalid api path.", "3")],
    "4": [Example("Resource path is not callable.", "4")],
    "5": [Example("Session expired. Try to relogin.", "5")],
    "6": [Example('Required parameter is missing, for more details see "exception.log".', "6")],
    "101": [Example("Invalid filters given. Details in error message.", "101")],
    "Sender": [Example("Invalid XML", "Sender")],
    "version": [Example("Wrong Version", "env:VersionMismatch")],
    "1": [Example("No date part in '' found.", "1"), Example("Internal Error. Please see log for details.", "1")],
    "fault": [
        Example("Call to undefined method X::y()", SERVER),
        Example("never heard of", "77"),
        Example("Unknown Error", "0", purpose="call"),
    ],
    "bot check": [
        *[Example(page("Just a moment..."), status=status) for status in (200, 403, 503)],
        Example(page("Attention Required! | Cloudflare"), status=403),
        Example(page("", "<h1>Checking your browser before accessing shop.example.</h1>"), status=503),
        Example(page("", "Request unsuccessful. Incapsula incident ID: 4-7"), status=200),
        Example(page("Pardon Our Interruption"), status=405),
        Example('{"url":"https://geo.captcha-delivery.com/captcha/?initialCid=A"}', status=403),
        Example(page("Human Verification"), status=202),
        Example(page("You are being redirected..."), status=307),
        Example(page("Making sure you're not a bot!"), status=200),
        Example(page("Vercel Security Checkpoint"), status=429),
        Example(page("Please Wait... | Cloudflare"), status=503),
        Example(page("Robot Challenge Screen"), status=200),
        Example(page("Client Challenge"), status=403),
    ],
    "too many": [
        Example(page("429 Too Many Requests"), status=403),
        Example('{"message":"API rate limit exceeded"}'),
        Example(page("508 Resource Limit Is Reached"), status=508),
    ],
    "document type": [Example('<!DOCTYPE r [<!ENTITY a "x">]><methodResponse/>'), Example("<!ENTITY e 'x'>")],
    "before XML": [
        Example(NOTICE + ENVELOPE),
        Example(f"\nWarning: Invalid argument supplied for foreach() in /a.php on line 7\n{ENVELOPE}"),
        Example(f"PHP Deprecated:  Function split() is deprecated in /a.php on line 7\n{ENVELOPE}"),
        Example(f"Strict Standards: Non-static method A::b() in /a.php on line 7 {ENVELOPE}", status=500),
        Example(f"<br /><font size='1'><table class='xdebug-error xe-notice'><tr><td>Notice{ENVELOPE}"),
        Example(f"{NOTICE}<?xml version='1.0'?><definitions>", purpose="WSDL"),
    ],
    "before XML unknown": [Example(f"array(1) {{}}\n{ENVELOPE}"), Example(f"<pre>debug</pre>{ENVELOPE}")],
    "PHP": [
        Example("Fatal error: Call to a member function getX() on a non-object in /a.php on line 12"),
        Example("PHP Fatal error:  Uncaught TypeError: x in /a.php:3", status=500),
        Example(page("", "<b>Fatal error</b>:  Uncaught Error: Call to undefined method X::y() in /a.php:12")),
        Example("<br />\n<b>Parse error</b>:  syntax error, unexpected 'x' in <b>/a.php</b> on line <b>3</b>"),
        Example("Fatal error: x in /a.php on line 3", purpose="WSDL"),
    ],
    "report": [Example(page("Error 503", "There has been an error processing your request"), status=503)],
    "report 200": [Example("There has been an error processing your request. Error log record number: 12")],
    "401": [Example(page("401 Unauthorized"), status=401)],
    "no XML-RPC": [Example(page("Not so"), status=status, purpose="XML-RPC") for status in (403, 404, 405)],
    "403": [Example(page("403 Forbidden"), status=403), Example('{"error":"blocked"}', status=403)],
    "404": [Example(page("404 Not Found"), status=404)],
    "405": [Example(page("405 Not Allowed"), status=405)],
    "407": [Example("", status=407)],
    "redirect": [Example("", status=300)],
    "firewall": [
        Example(page("Not Acceptable!", "This error was generated by Mod_Security."), status=406),
        Example('{"success":false,"message":"Your request has been blocked by the firewall"}'),
        Example(page("Request Rejected", "The requested URL was rejected. Your support ID is: 1"), status=200),
        Example(page("Web Page Blocked!"), status=500),
    ],
    "firewall by status": [Example("I'm a teapot", status=418), Example("", status=406), Example("", status=451)],
    "JSON": [Example('{"error": 7}'), Example(' [{"code": "E1"}]')],
    "too long": [Example("", status=413), Example("", status=414), Example("", status=431)],
    "429": [Example("", status=429), Example("", status=509)],
    "500 WSDL": [Example("", status=500, purpose="WSDL")],
    "500 call": [Example("", status=500, purpose="call")],
    "500": [Example("", status=500)],
    "503": [Example(page("Be back soon"), status=503)],
    "gateway": [Example("", status=status) for status in (408, 502, 504, 520, 521, 522, 523, 524, 525, 530)],
    "page": [Example(page("Welcome")), Example(page("My shop"), purpose="WSDL")],
    "empty WSDL": [Example("", purpose="WSDL")],
    "no XML": [Example("OK"), Example("<p>Back soon</p>")],
    "status": [Example("", status=status) for status in (204, 400, 402, 409, 410, 422, 501, 505)],
}
"""What servers said, by the name of the failure that it is."""


def test_every_failure_has_an_example() -> None:
    """No entry of the table is unused or hidden by another."""
    assert EXAMPLES.keys() == {failure.name for failure in FAILURES}
    assert len(EXAMPLES) == len(FAILURES)


@pytest.mark.parametrize(("name", "example"), [(name, one) for name, some in EXAMPLES.items() for one in some])
def test_a_failure_is_identified_by_its_text(name: str, example: Example) -> None:
    """It is in the table, its message has its advice, and the page has a row with the same remedy."""
    failure = failure_of(example.words, code=example.code, status=example.status, purpose=example.purpose)
    error = example.error()
    assert (failure.name, error.remedy) == (name, failure.remedy)
    assert failure.advice.partition("{")[0].strip() in str(error)
    assert documented(error) == failure.remedy


@pytest.mark.parametrize(
    ("how", "body"),
    [
        ("gzip", gzip.compress(b"<?xml version='1.0'?>", mtime=0)),
        ("deflate", zlib.compress(b"<?xml version='1.0'?>")),
        ("deflate", zlib.compress(b"<?xml version='1.0'?>", wbits=-15)),
        ("zstd", bytes.fromhex("28b52ffd2015a900003c3f786d6c2076657273696f6e3d27312e30273f3e")),
        ("brotli?", bytes.fromhex("0b0a803c3f786d6c2076657273696f6e3d27312e30273f3e03")),
    ],
)
def test_a_compressed_body_without_a_header_is_identified(how: str, body: bytes) -> None:
    """By its bytes, none of which are shown."""
    error = body_error(body, "salesOrderList")
    assert f"compressed ({how}) without" in str(error)
    assert str(error).isprintable()
    assert documented(error) == error.remedy == "isolate"


@pytest.mark.parametrize(
    "part",
    [
        "<>",
        "<",
        "<a>",
        "Notice: ",
        "<b>Warning</b>: x ",
        "Fatal error: ",
        "SQLSTATE[42S22] ",
        "<script>",
        "<title>",
        "\n",
    ],
)
def test_no_body_takes_long_to_classify(part: str) -> None:
    """Repetitive bodies included: backtracking patterns would take minutes."""
    body = (part * 20_000).encode()
    began = time.process_time()
    for status in (200, 500):
        status_error(status, "salesOrderList", body)
    body_error(body, "salesOrderList")
    fault_error("1", part * 20_000, "salesOrderList", "Sales")
    assert time.process_time() - began < 5


@pytest.mark.parametrize("purpose", ["call", "WSDL"])
def test_advice_for_calls_without_rows_names_no_window(purpose: Purpose) -> None:
    """A login or a WSDL cannot request fewer rows."""
    for example in (one for some in EXAMPLES.values() for one in some):
        error = adapted_to_no_rows(example._replace(purpose=purpose).error())
        assert "--window" not in str(error)
        assert error.remedy in {"retry", "stop"}


def sending(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """Send a whole answer."""
    return lambda connection, _: connection.sendall(reply(body, *headers, status=status))


def hanging_up_at_once(_: socket.socket, __: Request) -> None:
    """Send no answer."""


WHOLE = rendered("rpc", ROWS)
ENDLESS = {stalling, stalling_after_rows, dripping}
MADE_UP: list[tuple[Answer, Remedy]] = [
    (hanging_up_at_once, "retry"),
    (hanging_up, "split"),
    (cut_gzip, "split"),
    (stalling, "split"),
    (stalling_after_rows, "split"),
    (dripping, "split"),
    (breaking_off_a_page, "retry"),
    (sending(b""), "split"),
    (sending(b"<!DOCTYPE html><title>Back soon</title>"), "retry"),
    (sending(WHOLE[:-80]), "split"),
    (sending(WHOLE.replace(b"complete", b"\x0b")), "isolate"),
    (sending(WHOLE.replace(b"complete", b"Bj\xf6rn")), "isolate"),
    (sending(PHP), "split"),
    (sending(b"Maximum execution time of 9 seconds exceeded"), "split"),
    (sending(WARNING + WHOLE), "isolate"),
    (sending(WHOLE + b"<!-- in 0.3 s -->"), "isolate"),
    (sending(WHOLE + b"junk"), "isolate"),
    (sending(WHOLE.replace(b"UTF-8", b"UTF-16", 1)), "isolate"),
    (sending(WHOLE.replace(b"<status", b"<colour/><status")), "isolate"),
    (sending(WHOLE.replace(b"Magento", b"Other")), "isolate"),
    (sending(b"plain", "Content-Encoding: gzip"), "isolate"),
    (sending(b"", "Location: https://shop.example/", status="302 Found"), "stop"),
    (sending(bytes(300_000)), "split"),
    (sending(fault("1", "SQLSTATE[HY000]: General error: 2006 MySQL server has gone away")), "retry"),
    (sending(fault("1", "SQLSTATE[HY000]: General error: 1139 Got error 'regular expression is too large'")), "split"),
]


@pytest.mark.parametrize(("answer", "remedy"), MADE_UP)
def test_a_made_up_failure(answer: Answer, remedy: Remedy) -> None:
    """Failures that were never recorded have their remedy and a row on the page too."""
    options = HttpOptions(timeout=2 if answer in ENDLESS else 60, max_reply_bytes=200_000)
    with (
        serving(behind_a_wsdl(answer)) as url,
        closing(Connection(url, "me", KEY, options)) as connection,
        pytest.raises(RemoteError) as caught,
    ):
        list(connection.rows(ORDERS, UP_TO_400))
    assert caught.value.remedy == remedy, str(caught.value)
    assert documented(caught.value) == remedy, str(caught.value)
    waits = "no answer in time" in str(caught.value) or "not complete" in str(caught.value)
    assert (caught.value.pause > 0) == waits
