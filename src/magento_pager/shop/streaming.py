"""A reply as it arrives: its bytes in bounded memory, through every guard, to the elements of its rows.

What lives here: what SOAP and XML-RPC have in common. What a reply is made of, and what its rows mean, is not known
here: `decoding` and `xmlrpc` know the one and the other wire.
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
"""Bytes that may come without the end of a row among them."""
MOST_MARKUP = 1 << 20
"""Elements and attributes that may be in them: the bound on memory, of which a tree takes a hundred bytes for each."""
UNFIT = "\x00-\x08\x0b-\x1f\ufffe\uffff"
"""For a pattern: the characters that XML forbids in a text, and the one it changes, a carriage return."""

_REFERENCES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "#13": "\r"}  # those that PHP writes
_REFERENCE = re.compile("&(amp|lt|gt|quot|#13);")
_PARSER_OPTIONS: dict[str, Any] = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
}

Text = TypeVar("Text", str, "str | None")


class RowStream(ABC):
    """Turns the bytes of one reply into rows, and knows at the end whether they were all.

    Bytes whose meaning is plain without a parser are read without one (`_recognised`); all others go through the parser
    and every check. A subclass says what its rows are.

    Attributes:
        operation: for messages.
    """

    def __init__(self, operation: str, tag: str) -> None:
        """Begin a reply.

        Args:
            operation: for messages.
            tag: of the element that ends a row; it may occur inside rows, too.
        """
        self.operation = operation
        self._end_tag = b"</" + tag.encode() + b">"
        self._parser = etree.XMLPullParser(events=("end",), tag=tag, **_PARSER_OPTIONS)
        self._begun = False
        self._end = b""  # the bytes that came last
        self._idle = 0  # bytes parsed since the last row
        self._idle_markup = 0  # elements and attributes, likewise
        self._last: Element | None = None  # the last row parsed; all before it were let go
        self._between_rows = False  # the next byte stands right behind the end tag of a row

    def read(self, pieces: Iterable[bytes]) -> Generator[Row]:
        """Yield the rows, each as soon as its bytes are in; `pieces` are the body, in pieces of any size."""
        end_tag = self._end_tag
        waiting = bytearray()
        markup = 0
        for piece in pieces:
            if end_tag in piece:
                data = bytes(waiting) + piece
            else:
                looked_at = max(len(waiting) - len(end_tag) + 1, 0)  # once is enough, however small the pieces are
                waiting += piece
                data = bytes(waiting) if waiting.find(end_tag, looked_at) >= 0 else b""
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
        """Return the row whose bytes these are, all but the last end tag; None where they must be parsed to be sure."""

    @abstractmethod
    def _row(self, element: Element) -> Row | None:
        """Return the row that an element is, after every check; None where it only has the tag of one."""

    @abstractmethod
    def _check_end(self, root: Element) -> None:
        """Refuse a reply that is a fault, that lacks its result, or that holds anything besides its rows."""

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
        found = [self._row(element) for element in elements]
        rows = [row for row in found if row is not None]
        if rows:
            self._idle = self._idle_markup = 0
            # The parser stands right behind the row that ended last if nothing followed it.
            self._between_rows = found[-1] is not None and elements[-1].getnext() is None and elements[-1].tail is None
        else:
            self._idle, self._idle_markup = self._idle + len(segment), self._idle_markup + _markup(segment)
        if self._idle > LONGEST_ROW or self._idle_markup > MOST_MARKUP:
            raise self._too_long()
        return rows

    def _advance(self, element: Element, parent: Element) -> None:
        """Let the row before an element go, which becomes the last; refuse what stands between them."""
        before = element.getprevious()
        if before is not self._last:
            raise self.refusal("markup stands among the rows")
        if before is not None:
            parent.remove(before)
        self._last = element

    def _too_long(self) -> MalformedReplyError:
        return MalformedReplyError(
            f"{self.operation}: for {LONGEST_ROW} bytes of the reply, or {MOST_MARKUP} elements, no row ends",
            remedy="isolate",
        )


def parsed_small(body: bytes, operation: str, purpose: Purpose = "rows") -> Element:
    """The root of a reply that is at hand as a whole, parsed with every guard.

    Raises:
        MalformedReplyError: it is no XML, or XML that no shop sends.
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
    """Texts with their references resolved; None where there are others than PHP writes.

    Args:
        texts: some that may hold references.
        source: where they are from: all references are in them.

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
    """The character that a reference stands for."""
    return _REFERENCES[reference[1]]


def _markup(part: bytes) -> int:
    """At most so many elements and attributes are in a part of a reply."""
    return part.count(b"<") + part.count(b"=")
