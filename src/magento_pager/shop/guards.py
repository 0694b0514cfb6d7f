"""Guards: the checks of a reply before it is parsed, and the meaning of a parser's errors.

What lives here: checks of raw bytes. This module does not know what the XML contains.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lxml import etree

from magento_pager.errors import SMALLER, MalformedReplyError
from magento_pager.shop.failures import body_error, excerpt, is_page

if TYPE_CHECKING:
    from magento_pager.shop.failures import Purpose

_PROLOG = re.compile(rb"(<\?xml\s[^>?]*\?>)|<[A-Za-z]")
_REPLY_END = re.compile(rb"</([\w.-]+:)?(Envelope|methodResponse)\s*>")  # of SOAP and of XML-RPC
_HTML = re.compile(
    rb"<(a|b|body|br|center|div|em|font|h[1-6]|head|hr|i|p|pre|script|span|strong|style|table|title)[\s/>]",
    re.IGNORECASE,
)
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
_XML_CUT = re.compile(rb"<(?:\?(?:x(?:m(?:l(?:\s[^>]*)?)?)?)?)?")  # a reply of a few bytes
_ENCODING = re.compile(rb"""encoding\s*=\s*["']([^"']*)["']""")


class CutReplyError(MalformedReplyError):
    """A reply without its end."""


def prolog_end(start: bytes, operation: str, purpose: Purpose = "rows") -> int:
    """Return where the XML declaration ends, 0 without one; refuse anything but XML in UTF-8.

    Another encoding could hide markup from the checks of raw bytes.
    """
    if not start:
        raise MalformedReplyError(
            f"{operation}: the reply is empty: PHP failed, often for lack of memory. {SMALLER}", remedy="split"
        )
    if start.startswith(_UTF_16):
        raise _encoded(operation, "UTF-16")
    prolog = _PROLOG.match(start)
    if not prolog and _XML_CUT.fullmatch(start):
        raise _cut_short(operation, "only its beginning arrived")
    if not prolog or is_page(start) or _HTML.match(start):
        raise body_error(start, operation, purpose)
    encoding = _ENCODING.search(prolog[1] or b"")
    if encoding and encoding[1].lower() not in {b"utf-8", b"utf8"}:
        raise _encoded(operation, encoding[1].decode("ascii", "replace"))
    return prolog.end(1) if prolog[1] else 0


def _encoded(operation: str, encoding: str) -> MalformedReplyError:
    return MalformedReplyError(
        f"{operation}: the reply is encoded in {encoding!r}, not in UTF-8. Set the response charset of the shop's API "
        "to UTF-8",
        remedy="isolate",
    )


def check_markup(markup: bytes, operation: str) -> None:
    """Refuse markup that SOAP forbids, and comments and the like, which no shop sends and which could hide a row."""
    if b"<!" in markup or b"<?" in markup:
        attack = re.search(rb"<!(DOCTYPE|ENTITY)\b", markup, re.IGNORECASE)
        raise MalformedReplyError(
            f"{operation}: the reply contains a document type, a comment, a CDATA section or a processing instruction, "
            "which no shop sends. Find out who answers at this address",
            remedy="stop" if attack else "isolate",
        )


def malformed(operation: str, error: etree.XMLSyntaxError, end: bytes, *, closing: bool = False) -> MalformedReplyError:
    """Return the error for a parser's error about the last bytes or, when closing, about the end of the bytes."""
    reason = " ".join(str(error.msg).split())
    kind = int(error.code)  # type: ignore[attr-defined]  # one of etree.ErrorTypes, which the stubs do not know
    whole = _REPLY_END.search(end)
    if closing and not whole:
        return _cut_short(operation, reason)
    if whole and not closing and kind == etree.ErrorTypes.ERR_DOCUMENT_END:
        return MalformedReplyError(
            f"{operation}: something follows the reply ({excerpt(end[whole.end() :])!r}). PHP, a module or something "
            "in front of the shop adds it. Switch display_errors off on the server",
            remedy="isolate",
        )
    meaning = (
        "a row contains a character that XML forbids, so every window with it fails (--repair control-characters "
        "removes such characters)"
        if kind == etree.ErrorTypes.ERR_INVALID_CHAR and "not proper UTF-8" not in reason  # before libxml2 2.14
        else "a row is not valid XML, so every window with it fails"
    )
    return MalformedReplyError(f"{operation}: the reply is malformed: {reason}; {meaning}", remedy="isolate")


def _cut_short(operation: str, reason: str) -> CutReplyError:
    return CutReplyError(
        f"{operation}: the reply was cut short: {reason}. PHP failed, often for lack of memory. {SMALLER}",
        remedy="split",
    )
