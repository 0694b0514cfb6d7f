"""What each failure means and what may help: one table of faults, HTTP statuses and texts that are not replies.

What lives here: the table with the message and the `remedy` of each failure, and the quoting of a body that is not a
reply. docs/reference/errors.md documents the table, and a test compares the two. This module does not know how calls
are made.
"""

from __future__ import annotations

import html
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from magento_pager.errors import QUOTED, SMALLER, FaultError, MalformedReplyError, RemoteError, TransportError
from magento_pager.lists import list_of
from magento_pager.shop.redacting import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from magento_pager.errors import Remedy

Purpose: TypeAlias = Literal["rows", "XML-RPC", "call", "WSDL"]
"""What a call requests: rows or records, the same by XML-RPC, another call such as `login`, or a document."""

MAX_EXAMINED = 20_000  # bytes of a body that is not a reply
OK = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure. It matches where all of its conditions match.

    Attributes:
        name: for tests.
        remedy: what a walk can do about it.
        advice: what it means, and what the reader of the message can do. `{allowed}` stands for a right, `{list}` for a
            list of rows, `{name}` for the group of that name in `pattern`, `{like}` for a column with a similar name.
        pattern: a regular expression, searched for in the server's text without regard to case.
        codes: fault codes.
        statuses: HTTP statuses of answers that are not SOAP, `OK` among them.
        purpose: of the call; None for any.
        fault: True for faults only, False for other answers only, None for both.
    """

    name: str
    remedy: Remedy
    advice: str
    pattern: str = ""
    codes: Collection[str] = ()
    statuses: Collection[int] = ()
    purpose: Purpose | None = None
    fault: bool | None = None

    def matches(self, text: str, code: str | None, status: int, purpose: Purpose) -> bool:
        """Return True if the failure is of this kind."""
        return (
            self.fault in {None, code is not None}
            and (self.purpose in {None, purpose} or (self.purpose, purpose) == ("rows", "XML-RPC"))
            and (not self.codes or code in self.codes)
            and (not self.statuses or (code is None and status in self.statuses))
            and re.search(self.pattern, text, re.IGNORECASE | re.DOTALL) is not None
        )


_FATAL = r"((catchable |recoverable )?fatal error|parse error|uncaught (exception|\w*error))"
_SPEAKS = rf"(php )?({_FATAL}|notice|warning|deprecated|strict standards)(</b>)?\s*:\s"
_PHP = rf"\A(<[^>]*>|[^\w<])*+{_SPEAKS}|{_FATAL}(</b>)?\s*:\s|{_SPEAKS}.{{0,2000}}?on line (<\w>)?\d|xdebug-error"
_XML = r"<([\w.-]+:)?(envelope|methodresponse|definitions)\b"
_BUSY = "the shop's database is busy or restarting. Try again later"
_MEMORY = r"allowed memory size|out of memory|cannot allocate memory"
_TIME = r"maximum execution time|maximum statement execution time|max_statement_time|query execution was interrupted"
_BOT = (
    # Cloudflare, Sucuri, Imperva, DataDome, PerimeterX, Distil, F5, AWS, Vercel, Anubis, Imunify360, and their kind
    r"just a moment\s*\.\.\.|attention required!? *\| *cloudflare|checking (if the site connection|your browser)"
    r"|cf-browser-verification|_cf_chl_|ddos[ -]protection|ddos-guard|verif(y|ying) (that )?you are (a )?human"
    r"|human verification|bot verification|are you (a )?(human|robot)|not a (ro)?bot\b|security check(point)?\b"
    r"|sucuri_cloudproxy|you are being redirected\s*\.\.\.|_incapsula_resource|incapsula incident"
    r"|pardon our interruption|captcha-delivery\.com|px-captcha|perimeterx|one moment, please"
    r"|(complete|solve) the captcha|<title>[^<]*(captcha|challenge|robot|please wait\.\.\.)"
    r"|enable javascript and cookies to continue|browser (integrity )?check"
)
_FIREWALL = (
    r"mod_?security|not acceptable|web application firewall|sucuri website firewall|wordfence|imunify360|bitninja"
    r"|request rejected|requested url was rejected|web page blocked|(has|have) been (temporarily )?(blocked|denied)"
    r"|access (is |has been |was )?(denied|blocked)|blocked by|request (was |is |has been )?(blocked|denied)|forbidden"
    r"|error 10(06|07|08|09|10|12|20)\b"
)
_TOO_MANY = r"too many requests|rate.?limit|quota exceeded|resource limit is reached|bandwidth limit exceeded"

# fmt: off
FAILURES: tuple[Failure, ...] = (
    # PHP's limits
    Failure("memory call", "retry", "PHP does not have enough memory for this call. Raise its memory_limit", _MEMORY,
        purpose="call"),
    Failure("memory WSDL", "retry", "PHP does not have enough memory for the WSDL. Raise its memory_limit", _MEMORY,
        purpose="WSDL"),
    Failure("memory", "split", f"PHP does not have enough memory for this many rows. {SMALLER}", _MEMORY),
    Failure("time", "split", f"the server takes too long for this many rows. {SMALLER}", _TIME, purpose="rows"),
    Failure("time call", "retry", "PHP or the database stopped at its time limit. Raise max_execution_time", _TIME),
    # Rows
    Failure("pattern", "split", f"the pattern for this many ids is too large for the database. {SMALLER}",
        r"regular expression is too (large|big)|timeout exceeded in regular expression"),
    Failure("packet", "split", f"the query for this many ids is too large for the database. {SMALLER}",
        r"max_allowed_packet"),
    Failure("same id", "isolate",
        "the row has two addresses of one kind in the database, so every window with it fails",
        r"with the same id"),
    Failure("utf-8", "isolate", "a row contains text that is not UTF-8, so every window with it fails",
        r"is not a valid utf-8 string|malformed utf-8"),
    Failure("no property", "isolate",
        "a row lacks the field {name!r}, which the WSDL requires, so every window with it fails. Fill it in the shop",
        r"SOAP-ERROR: Encoding: object has(?:n't| no) '(?P<name>[^']*)' property"),
    Failure("encoding", "isolate",
        "PHP cannot write a row as the WSDL declares it: a value has another type, so every window with it fails",
        r"SOAP-ERROR: Encoding"),
    # The database
    Failure("database busy", "retry", _BUSY,
        r"gone away|lost connection to mysql|deadlock found|lock wait timeout|too many connections"
        r"|max_user_connections|SQLSTATE\[(HY000|08\w*|28000)\] \[\d|server shutdown in progress"
        r"|connection was killed"),
    Failure("ws-i", "stop",
        "WS-I of Magento 1.5.1 to 1.6.2 takes the operator for the column, so every filter fails. Switch WS-I "
        "off (System, Configuration, Magento Core API, WS-I Compliance), or use XML-RPC (--wire xml-rpc)",
        r"(SQLSTATE\[42000\].*near '`?|^invalid attribute name: )"
        r"(like|from|to|in|nin|eq|neq|gt|lt|gteq|lteq|moreq|regexp|null|notnull)(`? *=|$)"),
    Failure("no column", "stop", "{list} have no column {name!r}{like}",
        r"(SQLSTATE\[42S22\].*unknown column|invalid attribute name:) *'?`?(?:[\w`]+\.)?(?P<name>[^\s'`]+)",
        purpose="rows"),
    Failure("ambiguous column", "stop",
        "two of the tables behind {list} have a column {name!r}. Write main_table.{name}",
        r"column '(?P<name>[^']+)' in .* is ambiguous", purpose="rows"),
    # The WSDL, and PHP's extensions
    Failure("broken WSDL", "stop",
        "the shop's WSDL is broken, usually by a module. Correct what the message names in that module's wsdl.xml or "
        "wsi.xml, and refresh the shop's cache",
        r"SOAP-ERROR: Parsing (WSDL|Schema): (?!couldn't load|can't import schema)"
        r"|SOAP-ERROR: Parsing WSDL: couldn't load .* : (xml declaration allowed|extra content|entityref|opening and)"),
    Failure("own WSDL", "retry",
        "the server cannot fetch its own WSDL. Enable the WSDL cache (System, Configuration, Magento Core API) and "
        "check that the server can reach its own address", codes={"WSDL"}),
    Failure("own WSDL by text", "retry",
        "the server cannot fetch its own WSDL. Enable the WSDL cache (System, Configuration, Magento Core API) and "
        "check that the server can reach its own address",
        r"SOAP-ERROR: Parsing (WSDL|Schema): (couldn't load|can't import schema)"),
    Failure("no ext-soap", "stop", "PHP on the server lacks the extension soap. Install and enable it",
        r"unable to load soap extension|class .?.?(Zend_)?Soap_?(Server|Fault)\b.* not found"),
    Failure("not present", "stop",
        "the server lacks what its WSDL declares. Check that the WSDL is this shop's and not an old one",
        r"^(procedure|function) '[^']*' not present$", fault=True),
    Failure("bad request", "stop",
        "the call did not reach the server as it was sent. Check whether a proxy or a firewall alters it",
        r"^bad request$|^looks like we got (no xml|xml|bad)|^cannot find parameter$|^dtd are not supported by soap$",
        fault=True),
    # Faults by code
    Failure("0", "isolate",
        "the server gives no reason. A filter names a column that the list does not have{like}, or a row fails",
        codes={"0"}, purpose="rows"),
    Failure("2", "stop",
        "the user or key is wrong, or a right is missing; the server does not say which. Check --user and --key, and "
        "that the API user is active and its role {allowed}", codes={"2"}),
    Failure("3", "stop", "the server does not know this API path. Check the shop's address", codes={"3"}),
    Failure("4", "stop", "the server cannot call this API path. An extension may have replaced the API", codes={"4"}),
    Failure("5", "stop",
        "the session ended, and a new login did not help. Check the session timeout of the shop's API",
        codes={"5"}),
    Failure("6", "stop", "the server says that a parameter is missing. Check that the WSDL is this shop's own",
        codes={"6"}),
    Failure("101", "isolate", "the server refuses a filter, or a row fails", codes={"101"},
        purpose="rows"),
    Failure("Sender", "stop",
        "the call did not reach the server as it was sent. Check whether a proxy or a firewall alters it",
        codes={"Sender", "SOAP-ENV:Sender", "env:Sender"}),
    Failure("version", "stop",
        "the server does not read the call as SOAP 1.1. Check whether a proxy or a firewall alters it",
        codes={"env:VersionMismatch", "SOAP-ENV:VersionMismatch", "SOAP-ENV:MustUnderstand"}),
    Failure("1", "isolate", "the shop failed with an error of its own. Its var/log/exception.log may say more",
        codes={"1"}),
    Failure("fault", "isolate", "the server could not process the call. Its logs may say more", fault=True),
    # Answers that are not SOAP, by their sender
    Failure("bot check", "stop",
        "a bot check in front of the shop blocks all programs. Ask its operator to allow this machine to use the API",
        _BOT),
    Failure("too many", "retry", "something in front of the shop asks for fewer calls. Try again later", _TOO_MANY),
    Failure("document type", "stop",
        "it has a DOCTYPE, which no shop sends and with which XML attacks begin. Find out who answers at this address",
        r"\A\s*<!(doctype|entity)\b(?!\s+html)", statuses={OK}),
    Failure("before XML", "isolate",
        "PHP prints a notice before the XML. Switch display_errors off on the server, or fix what the notice is about",
        rf"({_PHP}).*({_XML})"),
    Failure("before XML unknown", "isolate",
        "a module or PHP prints something before the XML. Switch display_errors off on the server",
        _XML, statuses={OK}),
    Failure("PHP", "isolate", "PHP failed with this message. The server's error log may say more", _PHP),
    Failure("report", "retry",
        "Magento's error report: the shop is in maintenance, its database is down, or a row or a filter fails. Look up "
        "the report's number in var/report on the server",
        r"there has been an error processing your request|error log record number|exception printing is disabled",
        statuses=range(500, 600)),
    Failure("report 200", "isolate",
        "Magento's error report. Look up its number in var/report on the server",
        r"there has been an error processing your request|error log record number|exception printing is disabled"),
    Failure("401", "stop", "the web server itself asks for a login. Set --basic-auth", statuses={401}),
    Failure("no XML-RPC", "stop",
        "the host has no XML-RPC, or blocks it. Read by SOAP (--wire soap, or auto), or ask the host to allow it",
        statuses={403, 404, 405}, purpose="XML-RPC"),
    Failure("403", "stop",
        "a firewall or bot protection refused the call. Ask the host to allow it (--header may help)",
        statuses={403}),
    Failure("404", "stop", "there is no API at this address. Check the shop's address", statuses={404}),
    Failure("405", "stop", "the web server does not pass calls to the API. Check the shop's address",
        statuses={405}),
    Failure("407", "stop", "a proxy on the way asks for a login. Set --proxy with user and password", statuses={407}),
    Failure("redirect", "stop", "the server redirects the call. Check the shop's address",
        statuses=range(300, 400)),
    Failure("firewall", "isolate",
        "a firewall in front of the shop refused the call. Ask its operator to allow the API", _FIREWALL),
    Failure("firewall by status", "isolate",
        "a firewall in front of the shop refused the call. Ask its operator to allow the API",
        statuses={406, 418, 444, 451, 493, 999}),
    Failure("JSON", "isolate", "something in front of the shop answered in JSON. Check whether it refuses the call",
        r"^\s*[\[{]", statuses={OK}),
    Failure("too long", "split", f"the web server refuses a request of this length. {SMALLER}",
        statuses={413, 414, 431}),
    Failure("429", "retry", "the server asks for fewer calls", statuses={425, 429, 509, 529}),
    Failure("500 WSDL", "retry", "the server failed while making its WSDL. See its error log", statuses={500},
        purpose="WSDL"),
    Failure("500 call", "retry", "PHP failed. See the server's error log", statuses={500}, purpose="call"),
    Failure("500", "split", f"PHP failed, often for lack of memory. {SMALLER}", statuses={500}),
    Failure("503", "retry", "the shop is in maintenance or its database is down. Try again later", statuses={503}),
    # 520 and above are Cloudflare's own, for a server that it cannot reach or no longer waits for
    Failure("gateway", "retry", "the server or a proxy in front of it gave up. Try again later",
        statuses={408, 502, 504, 508, *range(520, 528), 530, 598, 599}),
    Failure("empty WSDL", "retry", "PHP failed while making the WSDL. See the server's error log", r"\A\Z",
        purpose="WSDL"),
    Failure("page", "retry",
        "if this lasts, check the shop's address, and that only the shop answers there",
        r"<(html|head|body|title)\b|<!doctype html", statuses={OK}),
    Failure("no XML", "isolate", "check the shop's address, and that only the shop answers there",
        statuses={OK}),
    Failure("status", "isolate", "the server or a proxy in front of it failed"),
)
# fmt: on
"""Every failure; the first that matches counts. An unknown failure may be caused by one row, so the row is searched."""

CODES = frozenset(code for failure in FAILURES for code in failure.codes)

BLANK = b" \t\r\n\f\v\xef\xbb\xbf"
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # in no text


def failure_of(text: str, *, code: str | None = None, status: int = OK, purpose: Purpose = "rows") -> Failure:
    """Return the kind of a failure.

    Args:
        text: the server's.
        code: of a fault; None for an answer that is not a fault.
        status: of HTTP, for an answer that is not a fault.
        purpose: of the call.

    >>> failure_of("Allowed memory size of 134217728 bytes exhausted", code="SOAP-ENV:Server").remedy
    'split'
    >>> failure_of("Access denied.", code="2").remedy, failure_of("?", code="77").remedy
    ('stop', 'isolate')
    """
    return next(failure for failure in FAILURES if failure.matches(text[:MAX_EXAMINED], code, status, purpose))


def fault_error(
    code: str, text: str, operation: str, right: str | None = None, fields: Collection[str] = ()
) -> FaultError:
    """Return the error for a fault, which says what it means and what to do.

    Args:
        code: as the server sent it.
        text: as the server sent it.
        operation: what was called.
        right: the right that the API user's role needs for it; None for a call that requests no rows.
        fields: the fields of the call's filters.

    >>> print(fault_error("101", "Invalid attribute name: emial", "customerCustomerList", "Customers"))
    customerCustomerList: fault 101, 'Invalid attribute name: emial': customers have no column 'emial' (did you mean \
'email'?)
    """
    failure = failure_of(text, code=code, purpose="rows" if right else "call")
    line = " ".join(text.split())
    shown = line if len(line) <= QUOTED else f"{line[:QUOTED]}..."
    return FaultError(
        f"{operation}: fault {code}, {shown!r}: {_advice(failure, text, operation, right, fields)}",
        code=code,
        text=text,
        operation=operation,
        remedy=failure.remedy,
    )


def _advice(failure: Failure, text: str, operation: str, right: str | None, fields: Collection[str]) -> str:
    """Return the advice of a failure with its placeholders filled in."""
    match = re.search(failure.pattern, text[:MAX_EXAMINED], re.IGNORECASE | re.DOTALL)
    name = (match.groupdict() if match else {}).get("name", "")
    spec = list_of(operation)
    unknown = [name] if name else [field for field in fields if spec and not spec.has(field.rpartition(".")[2])]
    column, similar = next(((field, names) for field in unknown if spec and (names := spec.similar(field))), ("", []))
    named = f", such as {column!r}" if column and not name else ""
    return failure.advice.format(
        allowed=f"has the right {right!r}" if right else "has the rights it needs",
        list=spec.name if spec else "the rows",
        name=name,
        like=f"{named} (did you mean {' or '.join(map(repr, similar))}?)" if similar else "",
    )


def status_error(
    status: int,
    subject: str,
    body: bytes = b"",
    *,
    redact: Callable[[str], str] = redacted,
    pause: float = 0.0,
    purpose: Purpose = "rows",
) -> TransportError:
    """Return the error for an HTTP status without a SOAP reply.

    Args:
        status: the HTTP status.
        subject: the operation or document, for the message.
        body: of the answer.
        redact: removes secrets from a text.
        pause: seconds for which the server asks for no calls.
        purpose: of the call.

    >>> print(status_error(429, "salesOrderList", b"Slow down"))
    salesOrderList: HTTP 429; the server asks for fewer calls. It said: Slow down
    """
    failure = failure_of(text_of(body), status=status, purpose=purpose)
    words = excerpt(body, redact)
    quoted = f" It said: {words}" if words else ""
    return TransportError(
        f"{subject}: HTTP {status}; {failure.advice}.{quoted}", remedy=failure.remedy, status=status, pause=pause
    )


def body_error(
    body: bytes, subject: str, purpose: Purpose = "rows", redact: Callable[[str], str] = redacted
) -> MalformedReplyError:
    """Return the error for a body with HTTP 200 that is not XML of a shop's API; see `status_error`.

    >>> print(body_error(b"<b>Notice</b>: Undefined index: x in /a.php on line 3 <e:Envelope>", "login", "call"))
    login: the reply is not XML; it begins with 'Notice: Undefined index: x in /a.php on line 3': PHP prints a notice \
before the XML. Switch display_errors off on the server, or fix what the notice is about
    """
    fact = "answers with something other than a WSDL" if purpose == "WSDL" else "the reply is not XML"
    colon = "" if purpose == "WSDL" else ":"
    if compression := compression_of(body):
        return MalformedReplyError(
            f"{subject}{colon} {fact}: it is compressed ({compression}) without a Content-Encoding header. Find out "
            "what compresses it: PHP's zlib.output_compression, or a proxy",
            remedy="isolate",
        )
    failure = failure_of(text_of(body), purpose=purpose)
    words = excerpt(body, redact)
    if purpose == "WSDL":
        fact = f"{fact} ({words!r})"
    elif is_page(body):
        fact = f"a page of HTML arrived instead of a reply ({words!r})"
    else:
        fact = f"{fact}; it begins with {words!r}"
    return MalformedReplyError(f"{subject}{colon} {fact}: {failure.advice}", remedy=failure.remedy)


def short_length(operation: str, length: int) -> MalformedReplyError:
    """Return the error for a reply that lacks its end, but is as long as its Content-Length says."""
    return MalformedReplyError(
        f"{operation}: the reply was cut short at {length} bytes: Content-Length is shorter than the body. Either PHP "
        f"prints something in front of it, such as a notice, or PHP failed, often for lack of memory. {SMALLER}",
        remedy="split",
    )


def compression_of(body: bytes) -> str:
    r"""Return how a body is, or seems to be, compressed; empty for text.

    >>> [compression_of(body) for body in (b"\x1f\x8b\x08rest", zlib.compress(b"<a/>"), b"<a/>", b"\x8b\x03<")]
    ['gzip', 'deflate', '', 'brotli?']
    """
    if body.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        return "gzip" if body.startswith(b"\x1f") else "zstd"
    for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        try:
            text = zlib.decompressobj(bits).decompress(body[:MAX_EXAMINED], 64)
        except zlib.error:
            continue
        if text.lstrip(BLANK)[:1] == b"<":
            return "deflate"
    return "brotli?" if _BINARY.search(body[:MAX_EXAMINED]) else ""


class LostListError(MalformedReplyError):
    """A reply of Magento 1.9.3.0, which turns every list inside a list into the text "Array".

    PHP then writes that text as a list without a length, or as a record without a field.

    >>> print(LostListError("catalogProductList", "<category_ids> has no length"))  # doctest: +ELLIPSIS
    catalogProductList: <category_ids> has no length. This is the bug of Magento 1.9.3.0, ... Update the shop to ...
    """

    def __init__(self, operation: str, evidence: str) -> None:
        """Make the message.

        Args:
            operation: what was called.
            evidence: what is wrong with the reply.
        """
        super().__init__(
            f"{operation}: {evidence}. This is the bug of Magento 1.9.3.0, which turns every list inside a reply into "
            "the text 'Array'. Update the shop to 1.9.3.1 or later, or patch processingMethodResult in "
            "app/code/core/Mage/Api/Model/Server/Handler/Abstract.php as 1.9.3.1 does",
            remedy="stop",
        )


_WITHOUT_ROWS: dict[Remedy, Remedy] = {"split": "retry", "isolate": "stop"}
"""What may help instead where a call requests no rows, so that there is nothing to split or to skip."""
_SMALLER = re.compile(rf"{SMALLER}( or (?=a longer))?")


def adapted_to_no_rows(error: RemoteError) -> RemoteError:
    """Return the error of a call that requests no rows, with a remedy and advice for such calls.

    >>> error = adapted_to_no_rows(RemoteError(f"login: the reply is empty. {SMALLER}", remedy="split"))
    >>> print(error, "->", error.remedy)
    login: the reply is empty. See the server's error log -> retry
    """
    error.remedy = _WITHOUT_ROWS.get(error.remedy, error.remedy)
    error.args = (_SMALLER.sub(lambda match: "Use " if match[1] else "See the server's error log", error.args[0]),)
    return error


_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?(\s|<\?xml[^>]*\?>|<!--((?!-->).)*-->)*<(!doctype\s+)?html\b", re.IGNORECASE | re.DOTALL
)


def is_page(body: bytes) -> bool:
    """Return True for a body that begins as a page of HTML, which no shop's API sends.

    >>> is_page(b"<!DOCTYPE html><p>Back soon"), is_page(b"<br /><b>Warning</b>"), is_page(b"<?xml version='1.0'?>")
    (True, False, False)
    """
    return _PAGE.match(body) is not None


def text_of(body: bytes) -> str:
    """Return the beginning of a body as text."""
    return body[:MAX_EXAMINED].decode("utf-8", "replace")


def excerpt(body: bytes, redact: Callable[[str], str] = redacted) -> str:
    """Return a page's title, or the first words of another body, on one line and without markup or the text of XML.

    Args:
        body: of the answer.
        redact: removes secrets. It is called before the words are cut, because half a secret would not be found.

    >>> excerpt(b"<html><title>503 Service Unavailable</title><p>Sorry")
    '503 Service Unavailable'
    >>> excerpt(b"<p>Back <b>so</b>on &amp; well</p><script>x()</script>"), excerpt(b"debug<?xml version='1.0'?><a>me")
    ('Back soon & well', 'debug')
    """
    text = text_of(body)
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title and title[1].strip():
        text = title[1]
    text = re.split(rf"<\?xml\s|{_XML}", text, maxsplit=1, flags=re.IGNORECASE)[0].strip() or text
    text = re.sub(r"<(script|style).*?(</\1>|$)|<!--.*?(-->|$)", " ", text, flags=re.DOTALL | re.IGNORECASE)
    text = re.sub(r"<(?!/?(b|i|em|strong|u|a|span|code)\b)[^>]*>", " ", text, flags=re.IGNORECASE)
    words = " ".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())
    return redact(words)[:QUOTED]
