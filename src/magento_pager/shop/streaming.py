"""The reading of a reply as it arrives: in bounded memory, through every guard, to the elements of its rows.

What lives here: what SOAP and XML-RPC have in common. The structure of a reply and the meaning of its rows are left to
`decoding` (SOAP) and `xmlrpc`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lxml import etree

from magento_pager.errors import MalformedReplyError
from magento_pager.shop.failures import BLANK
from magento_pager.shop.guards import check_markup, malformed, prolog_end

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from lxml.etree import _Element as Element

    from magento_pager.shop.failures import Purpose
    from magento_pager.walk.pages import Row

LONGEST_ROW = 1 << 23
"""The limit for the bytes of one row."""
MOST_MARKUP = 1 << 20
"""The limit for the elements and attributes of one row: a tree takes a hundred bytes of memory for each."""
UNFIT = "\x00-\x08\x0b-\x1f\ufffe\uffff"
"""For a pattern: the characters that XML forbids in a text, and the carriage return, which XML changes."""

_REFERENCES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "#13": "\r"}  # the ones that PHP writes
_REFERENCE = re.compile("&(amp|lt|gt|quot|#13);")
_PARSER_OPTIONS: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
}

Text = TypeVar("Text", str, "str | None")


class RowStream(ABC):
    """Turns the bytes of one reply into rows, and checks at the end that they are complete.

    Bytes whose meaning is clear without a parser are read without one (`_recognised`); all others go through the parser
    and every check. A subclass defines what its rows are.

    Attributes:
        operation: for messages.
    """

    def __init__(self, operation: str, tag: str) -> None:
        """Begin a reply.

        Args:
            operation: for messages.
            tag: of the element that ends a row; it may also occur inside rows.
        """
        self.operation = operation
        self._end_tag = b"</" + tag.encode() + b">"
        self._parser = etree.XMLPullParser(events=("end",), tag=tag, **_PARSER_OPTIONS)
        self._begun = False
        self._end = b""  # the latest bytes
        self._idle = 0  # bytes parsed since the last row
        self._idle_markup = 0  # elements and attributes parsed since the last row
        self._last: Element | None = None  # the last row parsed; the rows before it were dropped
        self._between_rows = False  # the next byte directly follows the end tag of a row

    def read(self, pieces: Iterable[bytes]) -> Generator[Row]:
        """Yield each row as soon as its bytes have arrived; `pieces` are the body, in pieces of any size."""
        end_tag = self._end_tag
        waiting = bytearray()
        markup = 0
        for piece in pieces:
            if end_tag in piece:
                data = bytes(waiting) + piece
            else:
                searched = max(len(waiting) - len(end_tag) + 1, 0)  # each byte is searched once, even in small pieces
                waiting += piece
                data = bytes(waiting) if waiting.find(end_tag, searched) >= 0 else b""
            if data:
                *segments, rest = data.split(end_tag)
                waiting, markup = bytearray(rest), _markup(rest)
                for segment in segments:
                    row = self._recognised(segment)
                    if row is not None:
                        yield row
                    else:
                        yield from self._parsed(segment + end_tag)
            else:
                markup += _markup(piece)
            if len(waiting) > LONGEST_ROW or markup > MOST_MARKUP:
                raise self._too_long()
        yield from self._parsed(bytes(waiting).rstrip(BLANK))
        try:
            root = self._parser.close()
        except etree.XMLSyntaxError as error:
            raise malformed(self.operation, error, self._end, closing=True) from None
        self._check_end(root)

    @abstractmethod
    def refusal(self, reason: str) -> Exception:
        """Return the error for a reply of another form than promised: a single row may be the cause."""

    @abstractmethod
    def _recognised(self, segment: bytes) -> Row | None:
        """Return the row of these bytes, which lack the last end tag; None if only a parser can tell."""

    @abstractmethod
    def _row(self, element: Element) -> Row | None:
        """Return the row of an element, after every check; None if the element only has the tag of a row."""

    @abstractmethod
    def _check_end(self, root: Element) -> None:
        """Refuse a reply that is a fault, that lacks its result, or that contains anything but its rows."""

    def _parsed(self, segment: bytes) -> Sequence[Row]:
        """Return the rows that end in these bytes."""
        self._between_rows = False
        segment = segment if self._begun else segment.lstrip(BLANK)
        start = 0 if self._begun else prolog_end(segment, self.operation)
        self._begun = True
        check_markup(segment[start:], self.operation)
        self._end = segment
        try:
            self._parser.feed(segment)
        except etree.XMLSyntaxError as error:
            raise malformed(self.operation, error, segment) from None
        elements = [element for _, element in cast("Iterator[tuple[str, Element]]", self._parser.read_events())]
        results = [self._row(element) for element in elements]
        rows = [row for row in results if row is not None]
        if rows:
            self._idle = self._idle_markup = 0
            # The parser is directly after the last row if nothing followed it.
            self._between_rows = (
                results[-1] is not None and elements[-1].getnext() is None and elements[-1].tail is None
            )
        else:
            self._idle, self._idle_markup = self._idle + len(segment), self._idle_markup + _markup(segment)
        if self._idle > LONGEST_ROW or self._idle_markup > MOST_MARKUP:
            raise self._too_long()
        return rows

    def _advance(self, element: Element, parent: Element) -> None:
        """Drop the row before an element, which becomes the last row; refuse anything between them."""
        before = element.getprevious()
        if before is not self._last:
            raise self.refusal("there is other markup among the rows")
        if before is not None:
            parent.remove(before)
        self._last = element

    def _too_long(self) -> MalformedReplyError:
        return MalformedReplyError(
            f"{self.operation}: no row ends within {LONGEST_ROW} bytes or {MOST_MARKUP} elements of the reply",
            remedy="isolate",
        )


def parsed_small(body: bytes, operation: str, purpose: Purpose = "rows") -> Element:
    """Parse a whole reply with every guard, and return its root.

    Raises:
        MalformedReplyError: it is not XML, or XML that no shop sends.
    """
    body = body.strip(BLANK)
    check_markup(body[prolog_end(body, operation, purpose) :], operation)
    parser = etree.XMLParser(**_PARSER_OPTIONS)
    try:
        parser.feed(body)
    except etree.XMLSyntaxError as error:
        raise malformed(operation, error, body) from None
    try:
        return parser.close()
    except etree.XMLSyntaxError as error:
        raise malformed(operation, error, body, closing=True) from None


def without_references(texts: Sequence[Text], source: str) -> Sequence[Text] | None:
    """Return texts with their references resolved; None if there are references that PHP does not write.

    Args:
        texts: may contain references.
        source: the bytes they are from; all its references are in the texts.

    >>> without_references(["a", None, "&lt;b&amp;lt;"], "<a>&lt;b&amp;lt;")
    ['a', None, '<b&lt;']
    >>> without_references(["&#65;"], "&#65;") is None
    True
    """
    if "&" not in source:
        return texts
    if source.count("&") != len(_REFERENCE.findall(source)):
        return None
    return [_REFERENCE.sub(_resolved, text) if text and "&" in text else text for text in texts]


def _resolved(reference: re.Match[str]) -> str:
    """Return the character that a reference stands for."""
    return _REFERENCES[reference[1]]


def _markup(part: bytes) -> int:
    """Return an upper bound for the elements and attributes in a part of a reply."""
    return part.count(b"<") + part.count(b"=")
