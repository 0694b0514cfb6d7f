"""What a reply becomes where something is wrong with it, or with what stands between PHP and the client.

What lives here: one table of troubles by name, each of which makes another answer of a sound one. When a reply meets
its trouble is decided elsewhere, by the settings.
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
"""Gives a body for a body: the HTTP status before it and the bytes by which Content-Length is wrong behind it."""


class Troubled(Exception):  # noqa: N818  no error of the shop's
    """A row was met whose replies are in trouble."""


_NOTICE = b"<br />\n<b>Notice</b>:  Undefined variable: total in <b>/var/www/shop/Api.php</b> on line <b>12</b><br />\n"
_FATAL = b"Fatal error: Call to a member function getName() on a non-object in /var/www/shop/Api.php on line 12"
_JSON = b'{"success":false,"message":"Your request has been blocked by the firewall of your host"}'
_LARGE = 9_000_000  # bytes of a text


def _fault(code: str, text: str, status: int = 200) -> Trouble:
    """A fault instead of the reply, by its wire.

    What PHP itself dies of, which is status 500, only its SOAP server puts into words: by XML-RPC the body is empty.
    """
    by_xmlrpc = xmlrpc.client.dumps(xmlrpc.client.Fault(int(code), text), methodresponse=True) if status == OK else ""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body><SOAP-ENV:Fault>'
        f"<faultcode>{code}</faultcode><faultstring>{text}</faultstring></SOAP-ENV:Fault></SOAP-ENV:Body>"
        "</SOAP-ENV:Envelope>\n"
    ).encode()
    return lambda given: (status, by_xmlrpc.encode() if b"<methodResponse>" in given[:100] else body)


def _page(status: int, title: str, text: str = "") -> Trouble:
    """A page of HTML instead of the reply."""
    return lambda _: (status, page(title, text))


def _instead(body: bytes, status: int = 200) -> Trouble:
    """Something else instead of the reply."""
    return lambda _: (status, body)


def _first(pattern: bytes, becomes: bytes) -> Trouble:
    """The reply with another beginning of what a pattern finds first."""
    return lambda given: re.sub(pattern, becomes, given, count=1)


def _packed(given: bytes) -> bytes:
    """Deflate without a head."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(given) + packer.flush()


_SERVER = "SOAP-ENV:Server"
_IN_A_ROW = rb"(<(?:increment_id|customer_id|customer_address_id|sku|name>(?:increment_id|customer_id|sku)<)[^>]*>)"
_COLUMN = rb"(?:grand_total|total_qty|email|type)"
_A_COLUMN = rb"<member><name>%(c)b</name><value>.*?</value></member>|<(%(c)b)(?: [^<>]*)?>[^<]*</\1>" % {b"c": _COLUMN}
"""A column in each row of a list, by XML-RPC or by SOAP."""
_ITS_VALUE = rb">(?=[^<>]+</)(?![^<>]*</name>)"
"""Where its value begins."""

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
        "notice": lambda given: _NOTICE + given,
        "notice-behind": lambda given: given + _NOTICE,
        "fatal": _instead(_FATAL),
        "fatal-page": _instead(b"<html><body><b>" + _FATAL.replace(b":", b"</b>:", 1) + b"</body></html>"),
        "fatal-500": _instead(_FATAL, 500),
        "debug": lambda given: b"array(1) { }\n" + given,
        "report": _page(503, "Error", "There has been an error processing your request. Error log record number: 7"),
        "report-200": _page(
            200, "Error", "There has been an error processing your request. Error log record number: 7"
        ),
        "empty": _instead(b""),
        "half": lambda given: given[: len(given) // 2],
        # What stands in between
        "bot-check": _page(503, "Just a moment...", "Checking your browser."),
        "firewall": _page(406, "Not Acceptable!", "This error was generated by Mod_Security."),
        "json": _instead(_JSON),
        "json-403": _instead(_JSON, 403),
        "page": _page(200, "My shop"),
        "gzip": lambda given: gzip.compress(given, mtime=0),
        "zlib": zlib.compress,
        "deflate": _packed,
        "short-length": lambda given: (200, given, -20),
        "long-length": lambda given: (200, given, 20),
        "blanks": lambda given: b"\n\xef\xbb\xbf \xef\xbb\xbf\r\n" + given + b"\n\xef\xbb\xbf\n",
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
        "column-missing": lambda given: re.sub(_A_COLUMN, b"", given),
        "value-changed": lambda given: re.sub(
            _A_COLUMN, lambda found: re.sub(_ITS_VALUE, b">1", found[0], count=1), given
        ),
        "large": lambda given: re.sub(_IN_A_ROW, lambda found: found[1] + b"a" * _LARGE, given, count=1),
    }
)
"""By name, in the words of a command line."""
