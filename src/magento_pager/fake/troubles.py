"""Defects of replies, caused by PHP, by data, or by servers between PHP and the client.

One table of troubles by name, each of which turns a correct answer into a broken one. The settings decide which replies
have a trouble.
"""

from __future__ import annotations

import gzip
import re
import xmlrpc.client
import zlib
from http.client import OK
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from magento_pager.fake.pages import page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


Trouble: TypeAlias = "Callable[[bytes], bytes | tuple[int, bytes] | tuple[int, bytes, int]]"
"""Turns a body into another one, with the HTTP status before it and an error of Content-Length in bytes after it."""


class Troubled(Exception):  # noqa: N818  a signal, not an error
    """The reply has a row that causes trouble."""


_NOTICE = b"<br />\n<b>Notice</b>:  Undefined variable: total in <b>/var/www/shop/Api.php</b> on line <b>12</b><br />\n"
_FATAL = b"Fatal error: Call to a member function getName() on a non-object in /var/www/shop/Api.php on line 12"
_JSON = b'{"success":false,"message":"Your request has been blocked by the firewall of your host"}'
_LARGE = 9_000_000  # bytes


def _fault(code: str, text: str, status: int = 200) -> Trouble:
    """Return a trouble: a fault instead of the reply, in the protocol of the reply.

    If PHP itself dies, with status 500, only its SOAP server sends a text: by XML-RPC the body is empty.
    """
    by_xmlrpc = xmlrpc.client.dumps(xmlrpc.client.Fault(int(code), text), methodresponse=True) if status == OK else ""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body><SOAP-ENV:Fault>'
        f"<faultcode>{code}</faultcode><faultstring>{text}</faultstring></SOAP-ENV:Fault></SOAP-ENV:Body>"
        "</SOAP-ENV:Envelope>\n"
    ).encode()
    return lambda reply: (status, by_xmlrpc.encode() if b"<methodResponse>" in reply[:100] else body)


def _page(status: int, title: str, text: str = "") -> Trouble:
    """Return a trouble: an HTML page instead of the reply."""
    return lambda _: (status, page(title, text))


def _instead(body: bytes, status: int = 200) -> Trouble:
    """Return a trouble: another body instead of the reply."""
    return lambda _: (status, body)


def _first(pattern: bytes, replacement: bytes) -> Trouble:
    """Return a trouble: the reply with the first match of a pattern replaced."""
    return lambda reply: re.sub(pattern, replacement, reply, count=1)


def _raw_deflate(reply: bytes) -> bytes:
    """Return the reply compressed by deflate without a header."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(reply) + compressor.flush()


_SERVER = "SOAP-ENV:Server"
_IN_A_ROW = rb"(<(?:increment_id|customer_id|customer_address_id|sku|name>(?:increment_id|customer_id|sku)<)[^>]*>)"
_COLUMN = rb"(?:grand_total|total_qty|email|type)"
_A_COLUMN = rb"<member><name>%(c)b</name><value>.*?</value></member>|<(%(c)b)(?: [^<>]*)?>[^<]*</\1>" % {b"c": _COLUMN}
"""A column in each row of a list, by XML-RPC or by SOAP."""
_ITS_VALUE = rb">(?=[^<>]+</)(?![^<>]*</name>)"
"""Where the value of a column begins."""

TROUBLES: Mapping[str, Trouble] = MappingProxyType(
    {
        # PHP and Magento
        "fault": _fault("1", "No date part in '' found."),
        "fault-php": _fault(_SERVER, "Call to undefined method Varien_Object::getX()", 500),
        "fault-0": _fault("0", "Unknown Error"),
        "fault-property": _fault(_SERVER, "SOAP-ERROR: Encoding: object has no 'code' property", 500),
        "fault-encoding": _fault(_SERVER, "SOAP-ERROR: Encoding: string 'Bj\\xf6...' is not a valid utf-8 string", 500),
        "fault-schema": _fault("WSDL", "SOAP-ERROR: Parsing Schema: unexpected &lt;foo&gt; in sequence", 500),
        "fault-wsdl": _fault("WSDL", "SOAP-ERROR: Parsing WSDL: Couldn't load from 'http://shop.example/'", 500),
        "fault-extension": _fault("0", "Unable to load Soap extension on the server"),
        "fault-memory": _fault(_SERVER, "Allowed memory size of 134217728 bytes exhausted", 500),
        "fault-time": _fault(_SERVER, "Maximum execution time of 30 seconds exceeded", 500),
        "fault-database": _fault("1", "SQLSTATE[HY000]: General error: 2006 MySQL server has gone away"),
        "notice": lambda reply: _NOTICE + reply,
        "notice-behind": lambda reply: reply + _NOTICE,
        "fatal": _instead(_FATAL),
        "fatal-page": _instead(b"<html><body><b>" + _FATAL.replace(b":", b"</b>:", 1) + b"</body></html>"),
        "fatal-500": _instead(_FATAL, 500),
        "debug": lambda reply: b"array(1) { }\n" + reply,
        "report": _page(503, "Error", "There has been an error processing your request. Error log record number: 7"),
        "report-200": _page(
            200, "Error", "There has been an error processing your request. Error log record number: 7"
        ),
        "empty": _instead(b""),
        "half": lambda reply: reply[: len(reply) // 2],
        # Servers between PHP and the client
        "bot-check": _page(503, "Just a moment...", "Checking your browser."),
        "firewall": _page(406, "Not Acceptable!", "This error was generated by Mod_Security."),
        "json": _instead(_JSON),
        "json-403": _instead(_JSON, 403),
        "page": _page(200, "My shop"),
        "gzip": lambda reply: gzip.compress(reply, mtime=0),
        "zlib": zlib.compress,
        "deflate": _raw_deflate,
        "short-length": lambda reply: (200, reply, -20),
        "long-length": lambda reply: (200, reply, 20),
        "blanks": lambda reply: b"\n\xef\xbb\xbf \xef\xbb\xbf\r\n" + reply + b"\n\xef\xbb\xbf\n",
        **{
            f"http-{status}": _page(status, f"{status}")
            for status in (400, 401, 403, 404, 405, 409, 418, 429, 500, 501, 502, 503, 504, 508, 520)
        },
        # Rows
        "markup": _first(_IN_A_ROW, rb"\1<"),
        "control-character": _first(_IN_A_ROW, b"\\1\x0b"),
        "not-utf-8": _first(_IN_A_ROW, b"\\1\xf6"),
        "undeclared": _first(_IN_A_ROW, rb"<colour>red</colour>\1"),
        "doubled": _first(rb"(<(\w+)[^<>]*>[^<>]*</\2>)", rb"\1\1"),
        "comment": _first(_IN_A_ROW, rb"<!-- -->\1"),
        "cdata": _first(_IN_A_ROW, rb"\1<![CDATA[a]]>"),
        "wrong-count": _first(rb"\[(\d+)\]", rb"[9\1]"),
        "wrong-type": _first(rb'<item xsi:type="[^"]*"', b'<item xsi:type="xsd:string"'),
        "column-missing": lambda reply: re.sub(_A_COLUMN, b"", reply),
        "value-changed": lambda reply: re.sub(
            _A_COLUMN, lambda column: re.sub(_ITS_VALUE, b">1", column[0], count=1), reply
        ),
        "large": lambda reply: re.sub(_IN_A_ROW, lambda tag: tag[1] + b"a" * _LARGE, reply, count=1),
    }
)
"""The troubles by name, as on the command line.

>>> "bot-check" in TROUBLES
True
"""
