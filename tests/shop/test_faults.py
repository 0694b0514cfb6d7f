"""Every recorded failure, sent again over HTTP: what it becomes, and that the page on faults says the same.

Beside the recordings stand failures that nobody could record, or that come from what stands between.
"""

from __future__ import annotations

import re
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from conftest import SAMPLES
from loopback import Request, reply, serving
from scripted import KEY, SOME, fault, logged_in
from test_decoding import ROWS, rendered
from test_failures import (
    PHP,
    WARNING,
    behind_a_wsdl,
    breaking_off_a_page,
    dripping,
    hanging_up,
    packing_half,
    stalling,
    stalling_amid_rows,
)

from magento_pager.errors import FaultError, MalformedReplyError, RemoteError, TransportError
from magento_pager.lists import ORDERS
from magento_pager.shop.connection import Connection
from magento_pager.shop.failures import BY_CODE, BY_STATUS, BY_WORDS, fault_error, status_error
from magento_pager.shop.transport import HttpOptions

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from magento_pager.errors import Remedy

    Answer = Callable[[socket.socket, Request], None]

PAGE = Path(__file__).parents[2] / "docs/reference/faults.md"


class Outcome(NamedTuple):
    """What a recording becomes.

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
    "2", "stop", "check --user and --key, and that the API user is active and its role has the right 'Sales"
)
EXPIRED = Outcome("5", "stop", "a new login did not help; is the session timeout of the shop's API near zero?")
MEMORY = Outcome(SERVER, "split", "more than its memory takes: choose a smaller --window")
NO_PROCEDURE = Outcome(SERVER, "stop", "does not speak as its WSDL says")
NO_XML = Outcome("Sender", "stop", "does a proxy or a firewall alter it?")
SELF_FETCH = Outcome("WSDL", "again", "enable the WSDL cache")

RECORDED: dict[str, Outcome] = {
    "fault_access_denied": DENIED,
    "fault_duplicate_address_row": Outcome("1", "isolate", "the row has two addresses of one kind"),
    "fault_empty_body": NO_XML,
    "fault_empty_login": Outcome("6", "stop", "misses a parameter"),
    "fault_empty_session": EXPIRED,
    "fault_http_413_body_too_large": Outcome(413, "split", "refuses so long a request: choose a smaller --window"),
    "fault_invalid_filter_field": Outcome("1", "stop", "the server's own error"),
    "fault_invalid_filter_field_customer": Outcome("101", "stop", "the server refuses a filter"),
    "fault_invalid_filter_field_invoice": Outcome("1", "stop", "the server's own error"),
    "fault_invalid_filter_field_product": Outcome("0", "stop", "a filter names something the list does not have"),
    "fault_malformed_xml": NO_XML,
    "fault_max_execution_time": Outcome(SERVER, "split", "take it too long: choose a smaller --window"),
    "fault_memory_limit": MEMORY,
    "fault_memory_limit_display_errors": MEMORY,
    "fault_missing_param": Outcome("100", "stop", "gave up on the call"),
    "fault_not_soap": Outcome("env:VersionMismatch", "stop", "does a proxy or a firewall alter it?"),
    "fault_order_not_exists": Outcome("100", "stop", "gave up on the call"),
    "fault_other_flavour_request": NO_PROCEDURE,
    "fault_session_after_endSession": EXPIRED,
    "fault_session_timed_out": EXPIRED,
    "fault_soap_encoding_schema_unreachable": SELF_FETCH,
    "fault_unknown_operation": NO_PROCEDURE,
    "fault_unknown_session": EXPIRED,
    "fault_wrong_login": DENIED,
    "fault_wsdl_self_fetch_failed": SELF_FETCH,
    "http_503_maintenance": Outcome(503, "again", "in maintenance or its database is down"),
    "http_db_down": Outcome(503, "again", "in maintenance or its database is down"),
    "pre193_control_char_0x01": Outcome(None, "isolate", "--repair control-characters"),
    "pre193_invalid_utf8": Outcome(SERVER, "isolate", "a row holds a text that is not UTF-8"),
    "salesOrderList_two_conditions": MEMORY,  # `lt` was dropped, and all orders are too many
    "wrong_namespace_urn_Magento": NO_PROCEDURE,
    "wsi/fault_missing_param": Outcome("6", "stop", "misses a parameter"),
}
"""By name; with its flavour in front where the flavours differ."""

NONE_AT_ALL = {
    "rpc/fault_invalid_condition",  # an unknown operator reads as equality
    "wsi/fault_invalid_condition",
    "rpc/wrong_namespace_urn_Magento",  # RPC takes any namespace
}
"""Recordings that are named as failures and hold rows."""


def outcome_of(name: str) -> Outcome | None:
    """What a recording becomes; None where it is no failure."""
    return None if name in NONE_AT_ALL else RECORDED.get(name) or RECORDED.get(name.partition("/")[2])


def failures() -> list[str]:
    """The recordings of failures, as rpc/NAME and wsi/NAME; one that is missing where there are none."""
    names = [
        f"{folder.name}/{path.name.removesuffix('.response.xml')}"
        for folder in (SAMPLES / "rpc", SAMPLES / "wsi")
        for path in sorted(folder.glob("*.response.xml"))
    ]
    return [name for name in names if outcome_of(name)] or ["rpc/none"]


def test_no_recorded_failure_is_left_out(samples: Path) -> None:
    """Every recording whose name says that it is a failure is sent again here, and every outcome here is recorded."""
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


def wire(name: str) -> bytes:
    """A recorded answer as it goes over the wire; the status of those whose head was not kept is that of PHP."""
    head, body = SAMPLES / f"{name}.response.http", (SAMPLES / f"{name}.response.xml").read_bytes()
    kept = head.read_text(encoding="utf-8").splitlines() if head.exists() else []
    status = kept[0].partition(" ")[2] if kept else "500 Internal Server Error" if b":Fault>" in body else "200 OK"
    return reply(
        body, *(line for line in kept if line.startswith(("Content-Type", "Date", "Set-Cookie"))), status=status
    )


class Playback:
    """A server with a recorded WSDL that answers each list as told."""

    def __init__(self, flavour: str) -> None:
        self.answer = b""
        self._wsdl = (SAMPLES / flavour / "wsdl.xml").read_bytes()
        self._login = reply(logged_in("rpc" if flavour == "rpc" else "wsi"))

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
    """A server and a connection for each flavour, for a recorded WSDL takes its time to read."""
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
    """Sent again, it is the error of its class, with its code or status, its remedy, advice, and a line of its own."""
    outcome = outcome_of(name)
    assert outcome
    server, connection = playbacks(name.partition("/")[0])
    server.answer = wire(name)
    with pytest.raises(RemoteError) as caught:
        list(connection.rows(ORDERS, SOME))
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


def bare(text: str) -> str:
    """A text without the marks that depend on how it is quoted."""
    return re.sub(r"[\"'\\]", "", text)


@cache
def rows_of_the_page() -> tuple[tuple[tuple[re.Pattern[str], ...], Remedy], ...]:
    """What each row on a failure says: the messages it is about, and the remedy, which is the last that it names.

    A row on all the rest is about no failure in particular.
    """
    rows = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = line.strip("|").split(" | ")
        remedies = re.findall(r"\*\*(again|split|isolate|stop)\*\*", cells[2] if len(cells) == 4 else "")
        messages = re.findall(r"`([^`]+)`", cells[0])
        if remedies and messages and "another text" not in cells[0]:
            patterns = tuple(re.compile(".*".join(map(re.escape, bare(one).split("...")))) for one in messages)
            rows.append((patterns, remedies[-1]))
    return tuple(rows)


def documented(error: RemoteError) -> str | None:
    """The remedy that the page promises for an error; None where no row is about it."""
    said = bare(str(error))
    return next((remedy for patterns, remedy in rows_of_the_page() if any(one.search(said) for one in patterns)), None)


WORDS = {
    "Allowed memory size": (SERVER, "Allowed memory size of 9 bytes exhausted (tried to allocate 2 bytes)"),
    "Maximum execution time": (SERVER, "Maximum execution time of 1 second exceeded"),
    "Query execution was interrupted": ("1", "General error: 3024 Query execution was interrupted, maximum exceeded"),
    "regular expression is too large": ("1", "1139 Regex error 'regular expression is too large'"),
    "with the same id": ("1", 'Item (Mage_Sales_Model_Order) with the same id "100" already exist'),
    "SOAP-ERROR: Encoding": (SERVER, "SOAP-ERROR: Encoding: string 'Bj\\xf6...' is not a valid utf-8 string"),
    "gone away": ("1", "SQLSTATE[HY000]: General error: 2006 MySQL server has gone away"),
    "Lost connection to MySQL": ("1", "General error: 2013 Lost connection to MySQL server during query"),
    "Deadlock found": ("1", "SQLSTATE[40001]: Serialization failure: 1213 Deadlock found when trying to get lock"),
    "Lock wait timeout": ("1", "SQLSTATE[HY000]: General error: 1205 Lock wait timeout exceeded"),
    "Too many connections": ("1", "SQLSTATE[08004] [1040] Too many connections"),
    "max_user_connections": ("1", "[1203] User shop already has more than 'max_user_connections' active connections"),
    "SQLSTATE[HY000] [20": ("1", "SQLSTATE[HY000] [2002] Connection refused"),
    "not present": (SERVER, "Procedure 'salesOrderList' not present"),
}
CODES = {
    "0": "Unknown Error",
    "1": "SQLSTATE[42S22]: Column not found: 1054 Unknown column 'x' in 'WHERE'",
    "2": "Access denied.",
    "3": "Invalid api path.",
    "4": "Resource path is not callable.",
    "5": "Session expired. Try to relogin.",
    "6": 'Required parameter is missing, for more details see "exception.log".',
    "101": "Invalid attribute name: x",
    "WSDL": "SOAP-ERROR: Parsing WSDL: Couldn't load from 'http://shop.example/?wsdl=1'",
    "Sender": "Invalid XML",
    "env:VersionMismatch": "Wrong Version",
}


def test_what_we_know_of_is_on_the_page() -> None:
    """Every fault and status that has a meaning of its own here has a row there, with the same remedy."""
    assert WORDS.keys() == {words for words, _ in BY_WORDS}
    assert CODES.keys() == BY_CODE.keys()
    for words, meaning in BY_WORDS:
        error = fault_error(*WORDS[words], "salesOrderList")
        assert (documented(error), error.remedy) == (meaning.remedy, meaning.remedy), words
    for code, meaning in BY_CODE.items():
        error = fault_error(code, CODES[code], "salesOrderList")
        assert (documented(error), error.remedy) == (meaning.remedy, meaning.remedy), code
    for status, meaning in BY_STATUS.items():
        assert documented(status_error(status, "salesOrderList", "")) == meaning.remedy, status
    assert documented(fault_error("77", "never heard of", "salesOrderList")) is None


def sending(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """An answer as a whole."""
    return lambda connection, _: connection.sendall(reply(body, *headers, status=status))


def hanging_up_at_once(_: socket.socket, __: Request) -> None:
    """No answer."""


WHOLE = rendered("rpc", ROWS)
MADE_UP: list[tuple[Answer, Remedy]] = [
    (hanging_up_at_once, "again"),
    (hanging_up, "split"),
    (packing_half, "split"),
    (stalling, "split"),
    (stalling_amid_rows, "split"),
    (dripping, "split"),
    (breaking_off_a_page, "again"),
    (sending(b""), "split"),
    (sending(b"<!DOCTYPE html><title>Back soon</title>"), "again"),
    (sending(WHOLE[:-80]), "split"),
    (sending(WHOLE.replace(b"complete", b"\x0b")), "isolate"),
    (sending(WHOLE.replace(b"complete", b"Bj\xf6rn")), "isolate"),
    (sending(PHP), "split"),
    (sending(b"Maximum execution time of 9 seconds exceeded"), "split"),
    (sending(WARNING + WHOLE), "stop"),
    (sending(WHOLE + b"<!-- in 0.3 s -->"), "stop"),
    (sending(WHOLE + b"junk"), "stop"),
    (sending(WHOLE.replace(b"UTF-8", b"UTF-16", 1)), "stop"),
    (sending(WHOLE.replace(b"<status", b"<colour/><status")), "stop"),
    (sending(WHOLE.replace(b"Magento", b"Other")), "stop"),
    (sending(b"plain", "Content-Encoding: gzip"), "stop"),
    (sending(b"", "Location: https://shop.example/", status="302 Found"), "stop"),
    (sending(bytes(300_000)), "split"),
    (sending(fault("1", "SQLSTATE[HY000]: General error: 2006 MySQL server has gone away")), "again"),
    (sending(fault("1", "SQLSTATE[HY000]: General error: 1139 Got error 'regular expression is too large'")), "split"),
]


@pytest.mark.parametrize(("answer", "remedy"), MADE_UP)
def test_a_made_up_failure(answer: Answer, remedy: Remedy) -> None:
    """What was never recorded has its remedy, too, and a row on the page that says so."""
    options = HttpOptions(timeout=0.4, max_reply_bytes=200_000)
    with (
        serving(behind_a_wsdl(answer)) as url,
        closing(Connection(url, "me", KEY, options)) as connection,
        pytest.raises(RemoteError) as caught,
    ):
        list(connection.rows(ORDERS, SOME))
    assert caught.value.remedy == remedy, str(caught.value)
    assert documented(caught.value) == remedy, str(caught.value)
    waits = "no answer in time" in str(caught.value) or "still no end" in str(caught.value)
    assert (caught.value.pause > 0) == waits
