"""What a failure means and what may help: the shop's faults and HTTP statuses, as data.

What lives here: the tables behind the messages and the `remedy` of each, and how a page of HTML is told and quoted.
They are documented in docs/reference/faults.md, and a test compares the two. Nothing here knows how a call is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from magento_pager.errors import FaultError, MalformedReplyError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager.errors import Remedy, RemoteError

LONGEST_WORDS = 2000  # characters of a page that are looked at
LONGEST_QUOTE = 300  # characters of a fault in a message: it may hold a whole SQL statement


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a failure means.

    Attributes:
        remedy: what a walk can do about it.
        advice: what it means or what its reader can do; in a fault's, `{allowed}` stands for a right.
    """

    remedy: Remedy
    advice: str


_MEMORY = Meaning("split", "so many rows are more than its memory takes: choose a smaller --window")
_TIME = Meaning("split", "so many rows take it too long: choose a smaller --window")
_DATABASE = Meaning("again", "its database is busy or restarts: try again later")

BY_WORDS: tuple[tuple[str, Meaning], ...] = (
    ("Allowed memory size", _MEMORY),
    ("Maximum execution time", _TIME),
    ("Query execution was interrupted", _TIME),  # MySQL's own limit, or somebody who ended the query
    (
        "regular expression is too large",  # PCRE's limit: met at 30,300 bytes on MariaDB
        Meaning("split", "the pattern for so many ids is more than the database takes: choose a smaller --window"),
    ),
    (
        "with the same id",
        Meaning("isolate", "the row has two addresses of one kind in the database, and fails every window it is in"),
    ),
    (
        "SOAP-ERROR: Encoding",
        Meaning("isolate", "a row holds a text that is not UTF-8, and fails every window it is in"),
    ),
    ("gone away", _DATABASE),
    ("Lost connection to MySQL", _DATABASE),
    ("Deadlock found", _DATABASE),
    ("Lock wait timeout", _DATABASE),
    ("Too many connections", _DATABASE),
    ("max_user_connections", _DATABASE),
    ("SQLSTATE[HY000] [20", _DATABASE),  # 2002, 2003, ...: what MySQL's client says when it cannot connect
    (
        "not present",
        Meaning("stop", "the server does not speak as its WSDL says: is it this shop's WSDL, or an old one?"),
    ),
)
"""Faults by words in their text, the first that is found counts; they say more than the code does."""

BY_CODE = {
    "0": Meaning("stop", "the server gives no reason; a filter names something the list does not have"),
    "1": Meaning("stop", "the server's own error"),
    "2": Meaning(
        "stop",
        "the server says the same for a wrong user or key and for a missing right: check --user and --key, and that "
        "the API user is active and its role {allowed}",
    ),
    "3": Meaning("stop", "the server does not know this API path"),
    "4": Meaning("stop", "the server cannot call this API path"),
    "5": Meaning(
        "stop", "the session ended and a new login did not help; is the session timeout of the shop's API near zero?"
    ),
    "6": Meaning("stop", "the server misses a parameter; is this the right WSDL for it?"),
    "101": Meaning("stop", "the server refuses a filter"),
    "WSDL": Meaning(
        "again",
        "the server cannot fetch its own WSDL: enable the WSDL cache (System, Configuration, Magento Core API) and see "
        "that the server can reach its own address",
    ),
    "Sender": Meaning("stop", "the call did not reach the server as it was sent: does a proxy or a firewall alter it?"),
    "env:VersionMismatch": Meaning(
        "stop", "the server does not take the call for SOAP 1.1: does a proxy or a firewall alter it?"
    ),
}
"""Faults by their code."""

UNKNOWN_FAULT = Meaning("stop", "the server gave up on the call")

_PROXY = Meaning("again", "the server or a proxy before it gave up: try again later")

BY_STATUS = {
    401: Meaning("stop", "the web server itself asks for a login: give --basic-auth"),
    403: Meaning("stop", "a firewall or bot protection refused the call: ask the host to admit it (--header may help)"),
    404: Meaning("stop", "there is no API at this address: check the shop's address"),
    405: Meaning("stop", "the web server does not let calls through to the API: check the shop's address"),
    408: _PROXY,
    413: Meaning("split", "the web server refuses so long a request: choose a smaller --window"),
    429: Meaning("again", "the server asks for fewer calls"),
    500: Meaning("split", "PHP gave up, often for lack of memory: choose a smaller --window"),
    502: _PROXY,
    503: Meaning("again", "the shop is in maintenance or its database is down: try again later"),
    504: _PROXY,
    **dict.fromkeys(range(520, 525), _PROXY),  # Cloudflare's own, for a server that it cannot reach or wait for
}
"""HTTP statuses that come without a SOAP reply."""

UNKNOWN_STATUS = Meaning("stop", "the server or a proxy before it gave up: try again later")


def meaning_of_fault(code: str, text: str) -> Meaning:
    """What a fault means: by its words, or else by its code.

    >>> meaning_of_fault("SOAP-ENV:Server", "Allowed memory size of 134217728 bytes exhausted").remedy
    'split'
    >>> meaning_of_fault("1", 'Item (Mage_Sales_Model_Order) with the same id "100" already exist').remedy
    'isolate'
    >>> meaning_of_fault("2", "Access denied.").remedy, meaning_of_fault("77", "?").remedy
    ('stop', 'stop')
    """
    return meaning_of_words(text) or BY_CODE.get(code, UNKNOWN_FAULT)


def meaning_of_words(text: str) -> Meaning | None:
    """What the server's words mean, wherever they stand; None where they are not known."""
    return next((meaning for words, meaning in BY_WORDS if words in text), None)


def meaning_of_status(status: int) -> Meaning:
    """What an HTTP status means that came with no SOAP reply.

    >>> meaning_of_status(503).remedy, meaning_of_status(418).remedy
    ('again', 'stop')
    """
    return BY_STATUS.get(status, UNKNOWN_STATUS)


def fault_error(code: str, text: str, operation: str, right: str | None = None) -> FaultError:
    """The error for a fault: what it means and what to do.

    Args:
        code: as the server sent it.
        text: the server's words.
        operation: what was called.
        right: what the API user's role must allow for it, or None.

    >>> print(fault_error("101", "Invalid attribute name: x", "customerCustomerList"))
    customerCustomerList: fault 101, 'Invalid attribute name: x': the server refuses a filter
    """
    meaning = meaning_of_fault(code, text)
    allowed = f"has the right {right!r}" if right else "has the rights it needs"
    line = " ".join(text.split())
    shown = line if len(line) <= LONGEST_QUOTE else f"{line[:LONGEST_QUOTE]}..."
    return FaultError(
        f"{operation}: fault {code}, {shown!r}: {meaning.advice.format(allowed=allowed)}",
        code=code,
        text=text,
        operation=operation,
        remedy=meaning.remedy,
    )


def status_error(status: int, what: str, said: str, pause: float = 0.0) -> TransportError:
    """The error for an HTTP status that came with no SOAP reply.

    Args:
        status: the HTTP status.
        what: the operation and window.
        said: the beginning of the body, as text, without markup.
        pause: seconds that the server asks to be left alone.

    >>> print(status_error(429, "salesOrderList", "Slow down"))
    salesOrderList: HTTP 429; the server asks for fewer calls. It said: Slow down
    """
    meaning = meaning_of_status(status)
    quoted = f" It said: {said}" if said else ""
    return TransportError(
        f"{what}: HTTP {status}; {meaning.advice}.{quoted}", remedy=meaning.remedy, status=status, pause=pause
    )


class LostListError(MalformedReplyError):
    """What Magento 1.9.3.0 makes of an array inside an array: the text "Array".

    PHP then writes that text as a list without a length, or as a record without a field.

    >>> print(LostListError("catalogProductList", "<category_ids> came without a length"))  # doctest: +ELLIPSIS
    catalogProductList: <category_ids> came without a length: the bug of Magento 1.9.3.0, ... update the shop to ...
    """

    def __init__(self, operation: str, evidence: str) -> None:
        """Say what is wrong with the shop.

        Args:
            operation: what was called.
            evidence: what came.
        """
        super().__init__(
            f"{operation}: {evidence}: the bug of Magento 1.9.3.0, which turns every list inside a reply into the text "
            "'Array': update the shop to 1.9.3.1 or later, or patch processingMethodResult in "
            "app/code/core/Mage/Api/Model/Server/Handler/Abstract.php as 1.9.3.1 has it",
            remedy="stop",
        )


_WITHOUT_ROWS: dict[Remedy, Remedy] = {"split": "again", "isolate": "stop"}
"""What else may help a call that asks for no rows, of which none can be left out."""


def without_rows(error: RemoteError) -> RemoteError:
    """The error of a call that asks for no rows, with a remedy that fits it.

    >>> without_rows(status_error(500, "login", "")).remedy
    'again'
    """
    error.remedy = _WITHOUT_ROWS.get(error.remedy, error.remedy)
    return error


_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?(\s|<\?xml[^>]*\?>|<!--((?!-->).)*-->)*<(!doctype\s+)?html\b", re.IGNORECASE | re.DOTALL
)


def is_page(body: bytes) -> bool:
    """True where a body begins as a page of HTML does: nothing a shop's API answers.

    >>> is_page(b"<!DOCTYPE html><p>Back soon"), is_page(b"<br /><b>Warning</b>"), is_page(b"<?xml version='1.0'?>")
    (True, False, False)
    """
    return _PAGE.match(body) is not None


def excerpt(body: bytes, redact: Callable[[str], str] = str) -> str:
    """A page's title, or its first words.

    Args:
        body: the page.
        redact: takes out what nobody may read, before the words are cut short and it could not be found any more.

    >>> excerpt(b"<html><title>503 Service Unavailable</title><p>Sorry")
    '503 Service Unavailable'
    >>> excerpt(b"<p>Back <b>soon</b></p><script>x()</script>")
    'Back soon'
    """
    text = body[:20_000].decode("utf-8", "replace")
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    words = " ".join(
        re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", title[1] if title else text, flags=re.DOTALL).split()
    )
    return redact(words[:LONGEST_WORDS])[:120]
