"""What a failure means and what may help: faults, HTTP statuses and words instead of a reply, as one table.

What lives here: the table behind the messages and the `remedy` of each failure, and how a body that is no reply is
quoted. The table is documented in docs/reference/errors.md, and a test compares the two. How a call is made is not
known here.
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
"""What was asked for: rows or records, the same by XML-RPC, another call such as `login`, or a document."""

LOOKED_AT = 20_000  # bytes of a body that is no reply
OK = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure. It fits where all that it names does.

    Attributes:
        name: for tests.
        remedy: what a walk can do about it.
        advice: what it means, or what its reader can do; `{allowed}` stands for a right, `{list}` for a list of rows,
            `{name}` for what the group of that name in `words` found, `{like}` for a column that looks like it.
        words: a pattern that is found in the server's words, in upper or lower case.
        codes: of faults.
        statuses: of answers that are no SOAP: HTTP's, `OK` among them.
        purpose: of the call; None for any.
        fault: True for faults only, False for other answers only; None for both.
    """

    name: str
    remedy: Remedy
    advice: str
    words: str = ""
    codes: Collection[str] = ()
    statuses: Collection[int] = ()
    purpose: Purpose | None = None
    fault: bool | None = None

    def fits(self, words: str, code: str | None, status: int, purpose: Purpose) -> bool:
        """Return whether it is this one."""
        return (
            self.fault in {None, code is not None}
            and (self.purpose in {None, purpose} or (self.purpose, purpose) == ("rows", "XML-RPC"))
            and (not self.codes or code in self.codes)
            and (not self.statuses or (code is None and status in self.statuses))
            and re.search(self.words, words, re.IGNORECASE | re.DOTALL) is not None
        )


_FATAL = r"((catchable |recoverable )?fatal error|parse error|uncaught (exception|\w*error))"
_SPEAKS = rf"(php )?({_FATAL}|notice|warning|deprecated|strict standards)(</b>)?\s*:\s"
_PHP = rf"\A(<[^>]*>|[^\w<])*+{_SPEAKS}|{_FATAL}(</b>)?\s*:\s|{_SPEAKS}.{{0,2000}}?on line (<\w>)?\d|xdebug-error"
_XML = r"<([\w.-]+:)?(envelope|methodresponse|definitions)\b"
_BUSY = "its database is busy or restarts: try again later"
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
    Failure("memory call", "retry", "PHP's memory does not suffice for any call: raise its memory_limit", _MEMORY,
        purpose="call"),
    Failure("memory WSDL", "retry", "PHP's memory does not suffice for the WSDL: raise its memory_limit", _MEMORY,
        purpose="WSDL"),
    Failure("memory", "split", f"so many rows are more than its memory takes: {SMALLER}", _MEMORY),
    Failure("time", "split", f"so many rows take it too long: {SMALLER}", _TIME, purpose="rows"),
    Failure("time call", "retry", "PHP or the database gave up after a time: raise max_execution_time", _TIME),
    # Rows
    Failure("pattern", "split", f"the pattern for so many ids is more than the database takes: {SMALLER}",
        r"regular expression is too (large|big)|timeout exceeded in regular expression"),
    Failure("packet", "split", f"the query for so many ids is more than the database takes: {SMALLER}",
        r"max_allowed_packet"),
    Failure("same id", "isolate",
        "the row has two addresses of one kind in the database, and fails every window it is in",
        r"with the same id"),
    Failure("utf-8", "isolate", "a row holds a text that is not UTF-8, and fails every window it is in",
        r"is not a valid utf-8 string|malformed utf-8"),
    Failure("no property", "isolate",
        "a row lacks the field {name!r}, which the WSDL requires, and fails every window it is in: fill it in the shop",
        r"SOAP-ERROR: Encoding: object has(?:n't| no) '(?P<name>[^']*)' property"),
    Failure("encoding", "isolate",
        "PHP cannot write a row as the WSDL promises it: a value is of another type, and fails every window it is in",
        r"SOAP-ERROR: Encoding"),
    # The database
    Failure("database busy", "retry", _BUSY,
        r"gone away|lost connection to mysql|deadlock found|lock wait timeout|too many connections"
        r"|max_user_connections|SQLSTATE\[(HY000|08\w*|28000)\] \[\d|server shutdown in progress"
        r"|connection was killed"),
    Failure("ws-i", "stop",
        "WS-I of Magento 1.5.1 to 1.6.2 takes the operator for the column, so that every filter breaks: switch WS-I "
        "off (System, Configuration, Magento Core API, WS-I Compliance), or use XML-RPC (--wire xml-rpc)",
        r"(SQLSTATE\[42000\].*near '`?|^invalid attribute name: )"
        r"(like|from|to|in|nin|eq|neq|gt|lt|gteq|lteq|moreq|regexp|null|notnull)(`? *=|$)"),
    Failure("no column", "stop", "{list} have no column {name!r}{like}",
        r"(SQLSTATE\[42S22\].*unknown column|invalid attribute name:) *'?`?(?:[\w`]+\.)?(?P<name>[^\s'`]+)",
        purpose="rows"),
    Failure("ambiguous column", "stop",
        "two of the tables behind {list} have a column {name!r}: write main_table.{name}",
        r"column '(?P<name>[^']+)' in .* is ambiguous", purpose="rows"),
    # The WSDL, and PHP's extensions
    Failure("broken WSDL", "stop",
        "the shop's WSDL is broken, usually by a module: look for the file that the words name in its wsdl.xml or "
        "wsi.xml, and refresh the shop's cache",
        r"SOAP-ERROR: Parsing (WSDL|Schema): (?!couldn't load|can't import schema)"
        r"|SOAP-ERROR: Parsing WSDL: couldn't load .* : (xml declaration allowed|extra content|entityref|opening and)"),
    Failure("own WSDL", "retry",
        "the server cannot fetch its own WSDL: enable the WSDL cache (System, Configuration, Magento Core API) and "
        "see that the server can reach its own address", codes={"WSDL"}),
    Failure("own WSDL by words", "retry",
        "the server cannot fetch its own WSDL: enable the WSDL cache (System, Configuration, Magento Core API) and "
        "see that the server can reach its own address",
        r"SOAP-ERROR: Parsing (WSDL|Schema): (couldn't load|can't import schema)"),
    Failure("no ext-soap", "stop", "PHP on the server lacks the extension soap: install and enable it",
        r"unable to load soap extension|class .?.?(Zend_)?Soap_?(Server|Fault)\b.* not found"),
    Failure("not present", "stop",
        "the server does not speak as its WSDL says: is it this shop's WSDL, or an old one?",
        r"^(procedure|function) '[^']*' not present$", fault=True),
    Failure("bad request", "stop",
        "the call did not reach the server as it was sent: does a proxy or a firewall alter it?",
        r"^bad request$|^looks like we got (no xml|xml|bad)|^cannot find parameter$|^dtd are not supported by soap$",
        fault=True),
    # Faults by code
    Failure("0", "isolate",
        "the server gives no reason; a filter names something the list does not have{like}, or a row breaks",
        codes={"0"}, purpose="rows"),
    Failure("2", "stop",
        "the server says the same for a wrong user or key and for a missing right: check --user and --key, and that "
        "the API user is active and its role {allowed}", codes={"2"}),
    Failure("3", "stop", "the server does not know this API path", codes={"3"}),
    Failure("4", "stop", "the server cannot call this API path", codes={"4"}),
    Failure("5", "stop",
        "the session ended and a new login did not help; is the session timeout of the shop's API near zero?",
        codes={"5"}),
    Failure("6", "stop", "the server misses a parameter; is this the right WSDL for it?", codes={"6"}),
    Failure("101", "isolate", "the server refuses a filter, or a row breaks", codes={"101"}, purpose="rows"),
    Failure("Sender", "stop",
        "the call did not reach the server as it was sent: does a proxy or a firewall alter it?",
        codes={"Sender", "SOAP-ENV:Sender", "env:Sender"}),
    Failure("version", "stop",
        "the server does not take the call for SOAP 1.1: does a proxy or a firewall alter it?",
        codes={"env:VersionMismatch", "SOAP-ENV:VersionMismatch", "SOAP-ENV:MustUnderstand"}),
    Failure("1", "isolate", "the server's own error: its var/log/exception.log may say more", codes={"1"}),
    Failure("fault", "isolate", "the server gave up on the call", fault=True),
    # What is no SOAP: who says so
    Failure("bot check", "stop",
        "a bot check in front of the shop, which no program passes: ask who runs it to admit this machine to the API",
        _BOT),
    Failure("too many", "retry", "something in front of the shop asks for fewer calls", _TOO_MANY),
    Failure("document type", "stop",
        "it has a DOCTYPE, which no shop sends, and with which XML attacks begin: find out who answers there",
        r"\A\s*<!(doctype|entity)\b(?!\s+html)", statuses={OK}),
    Failure("before XML", "isolate",
        "PHP prints a notice before the XML: switch display_errors off on the server, or see to what it says",
        rf"({_PHP}).*({_XML})"),
    Failure("before XML unknown", "isolate",
        "something is printed before the XML: by a module, or by PHP, whose display_errors is to be off on the server",
        _XML, statuses={OK}),
    Failure("PHP", "isolate", "PHP gave up on the call in these words", _PHP),
    Failure("report", "retry",
        "the shop is in maintenance or its database is down, or a row or a filter breaks: Magento's error report, "
        "whose number names a file in var/report on the server",
        r"there has been an error processing your request|error log record number|exception printing is disabled",
        statuses=range(500, 600)),
    Failure("report 200", "isolate",
        "Magento's error report: its number names a file in var/report on the server, which says more",
        r"there has been an error processing your request|error log record number|exception printing is disabled"),
    Failure("401", "stop", "the web server itself asks for a login: give --basic-auth", statuses={401}),
    Failure("no XML-RPC", "stop",
        "the host has no XML-RPC, or blocks it: read by SOAP (--wire soap, or auto), or ask the host to admit it",
        statuses={403, 404, 405}, purpose="XML-RPC"),
    Failure("403", "stop",
        "a firewall or bot protection refused the call: ask the host to admit it (--header may help)",
        statuses={403}),
    Failure("404", "stop", "there is no API at this address: check the shop's address", statuses={404}),
    Failure("405", "stop", "the web server does not let calls through to the API: check the shop's address",
        statuses={405}),
    Failure("407", "stop", "a proxy on the way asks for a login: give --proxy with user and password", statuses={407}),
    Failure("redirect", "stop", "the server sends the call elsewhere: check the shop's address",
        statuses=range(300, 400)),
    Failure("firewall", "isolate",
        "a firewall in front of the shop refused the call: ask who runs it to admit the API", _FIREWALL),
    Failure("firewall by status", "isolate",
        "a firewall in front of the shop refused the call: ask who runs it to admit the API",
        statuses={406, 418, 444, 451, 493, 999}),
    Failure("JSON", "isolate", "something in front of the shop answered in JSON: does it refuse the call?",
        r"^\s*[\[{]", statuses={OK}),
    Failure("too long", "split", f"the web server refuses so long a request: {SMALLER}", statuses={413, 414, 431}),
    Failure("429", "retry", "the server asks for fewer calls", statuses={425, 429, 509, 529}),
    Failure("500 WSDL", "retry", "the server failed while making its WSDL: see its error log", statuses={500},
        purpose="WSDL"),
    Failure("500 call", "retry", "PHP gave up: see its error log", statuses={500}, purpose="call"),
    Failure("500", "split", f"PHP gave up, often for lack of memory: {SMALLER}", statuses={500}),
    Failure("503", "retry", "the shop is in maintenance or its database is down: try again later", statuses={503}),
    # 520 and above are Cloudflare's own, for a server that it cannot reach or wait for
    Failure("gateway", "retry", "the server or a proxy before it gave up: try again later",
        statuses={408, 502, 504, 508, *range(520, 528), 530, 598, 599}),
    Failure("empty WSDL", "retry", "PHP gave up while making the WSDL: see its error log", r"\A\Z", purpose="WSDL"),
    Failure("page", "retry",
        "if it stays so, is this the shop's address, and does nothing but the shop answer there?",
        r"<(html|head|body|title)\b|<!doctype html", statuses={OK}),
    Failure("no XML", "isolate", "is this the shop's address, and does nothing but the shop answer there?",
        statuses={OK}),
    Failure("status", "isolate", "the server or a proxy before it gave up"),
)
# fmt: on
"""Every failure; the first that fits counts. What is not known may be one row's doing, so that it is looked for."""

CODES = frozenset(code for failure in FAILURES for code in failure.codes)

BLANK = b" \t\r\n\f\v\xef\xbb\xbf"
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # what no text holds


def failure_of(words: str, *, code: str | None = None, status: int = OK, purpose: Purpose = "rows") -> Failure:
    """Return what a failure is.

    Args:
        words: the server's.
        code: of a fault; None for an answer that is none.
        status: of HTTP, where it is none.
        purpose: what was asked for.

    >>> failure_of("Allowed memory size of 134217728 bytes exhausted", code="SOAP-ENV:Server").remedy
    'split'
    >>> failure_of("Access denied.", code="2").remedy, failure_of("?", code="77").remedy
    ('stop', 'isolate')
    """
    return next(failure for failure in FAILURES if failure.fits(words[:LOOKED_AT], code, status, purpose))


def fault_error(
    code: str, text: str, operation: str, right: str | None = None, fields: Collection[str] = ()
) -> FaultError:
    """The error for a fault: what it means and what to do.

    Args:
        code: as the server sent it.
        text: the server's words.
        operation: what was called.
        right: what the API user's role must allow for it; None for what asks for no rows.
        fields: those that it was filtered by.

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
    """The advice of a failure, filled in."""
    found = re.search(failure.words, text[:LOOKED_AT], re.IGNORECASE | re.DOTALL)
    name = (found.groupdict() if found else {}).get("name", "")
    spec = list_of(operation)
    doubtful = [name] if name else [field for field in fields if spec and not spec.has(field.rpartition(".")[2])]
    column, likes = next(((one, likes) for one in doubtful if spec and (likes := spec.similar(one))), ("", []))
    named = f", such as {column!r}" if column and not name else ""
    return failure.advice.format(
        allowed=f"has the right {right!r}" if right else "has the rights it needs",
        list=spec.name if spec else "the rows",
        name=name,
        like=f"{named} (did you mean {' or '.join(map(repr, likes))}?)" if likes else "",
    )


def status_error(
    status: int,
    what: str,
    body: bytes = b"",
    *,
    redact: Callable[[str], str] = redacted,
    pause: float = 0.0,
    purpose: Purpose = "rows",
) -> TransportError:
    """The error for an HTTP status that came with no SOAP reply.

    Args:
        status: the HTTP status.
        what: the operation and window.
        body: what came with it.
        redact: takes out of a text what nobody may read.
        pause: seconds that the server asks to be left alone.
        purpose: what was asked for.

    >>> print(status_error(429, "salesOrderList", b"Slow down"))
    salesOrderList: HTTP 429; the server asks for fewer calls. It said: Slow down
    """
    failure = failure_of(text_of(body), status=status, purpose=purpose)
    words = excerpt(body, redact)
    quoted = f" It said: {words}" if words else ""
    return TransportError(
        f"{what}: HTTP {status}; {failure.advice}.{quoted}", remedy=failure.remedy, status=status, pause=pause
    )


def body_error(
    body: bytes, what: str, purpose: Purpose = "rows", redact: Callable[[str], str] = redacted
) -> MalformedReplyError:
    """The error for a body that came with HTTP 200 and is no XML of a shop's API; see `status_error`.

    >>> print(body_error(b"<b>Notice</b>: Undefined index: x in /a.php on line 3 <e:Envelope>", "login", "call"))
    login: the reply is not XML; it begins with 'Notice: Undefined index: x in /a.php on line 3': PHP prints a notice \
before the XML: switch display_errors off on the server, or see to what it says
    """
    subject = "answers with something else than a WSDL" if purpose == "WSDL" else "the reply is not XML"
    colon = "" if purpose == "WSDL" else ":"
    packed = packing(body)
    if packed:
        return MalformedReplyError(
            f"{what}{colon} {subject}: it is compressed ({packed}) without a header Content-Encoding that says so: see "
            "to what compresses it, PHP's zlib.output_compression or a proxy",
            remedy="isolate",
        )
    failure = failure_of(text_of(body), purpose=purpose)
    words = excerpt(body, redact)
    if purpose == "WSDL":
        shown = f"{subject} ({words!r})"
    elif is_page(body):
        shown = f"a page of HTML came instead of a reply ({words!r})"
    else:
        shown = f"{subject}; it begins with {words!r}"
    return MalformedReplyError(f"{what}{colon} {shown}: {failure.advice}", remedy=failure.remedy)


def short_length(what: str, length: int) -> MalformedReplyError:
    """The error for a reply without its end that has the bytes which its Content-Length announced."""
    return MalformedReplyError(
        f"{what}: the reply was cut short at {length} bytes: Content-Length is shorter than the body: PHP output in "
        f"front of it, such as a notice or a blank line; or PHP gave up, often for lack of memory; {SMALLER}",
        remedy="split",
    )


def packing(body: bytes) -> str:
    r"""How a body is packed, or seems to be; empty where it is text.

    >>> packing(b"\x1f\x8b\x08rest"), packing(zlib.compress(b"<a/>")), packing(b"<a/>"), packing(b"\x8b\x03<")
    ('gzip', 'deflate', '', 'brotli?')
    """
    if body.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        return "gzip" if body.startswith(b"\x1f") else "zstd"
    for bits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        try:
            text = zlib.decompressobj(bits).decompress(body[:LOOKED_AT], 64)
        except zlib.error:
            continue
        if text.lstrip(BLANK)[:1] == b"<":
            return "deflate"
    return "brotli?" if _BINARY.search(body[:LOOKED_AT]) else ""


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


_WITHOUT_ROWS: dict[Remedy, Remedy] = {"split": "retry", "isolate": "stop"}
"""What else may help a call that asks for no rows, of which none can be left out."""
_SMALLER = re.compile(rf"{SMALLER}|ask for less at once \(--window\)( or (?=allow))?")


def without_rows(error: RemoteError) -> RemoteError:
    """The error of a call that asks for no rows, with a remedy and advice that fit it.

    >>> error = without_rows(RemoteError(f"login: the reply is empty; {SMALLER}", remedy="split"))
    >>> print(error, "->", error.remedy)
    login: the reply is empty; see the server's error log -> retry
    """
    error.remedy = _WITHOUT_ROWS.get(error.remedy, error.remedy)
    error.args = (_SMALLER.sub(lambda found: "" if found[1] else "see the server's error log", error.args[0]),)
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


def text_of(body: bytes) -> str:
    """The beginning of a body as text."""
    return body[:LOOKED_AT].decode("utf-8", "replace")


def excerpt(body: bytes, redact: Callable[[str], str] = redacted) -> str:
    """A page's title, or the first words of what is none, without markup and in one line; what is in XML is not quoted.

    Args:
        body: what came.
        redact: takes out what nobody may read, before the words are cut short and it could not be found any more.

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
