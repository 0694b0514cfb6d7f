"""What nobody may read is taken out of words from outside: of the server, of a proxy, and of libraries that quote them.

What lives here: how a secret is found again in a text that repeats it whole or in part, encoded or broken into lines,
and in the value of a header or the address of a proxy. Which secrets there are is the business of those who send them.
"""

from __future__ import annotations

import html
import logging
import re
from base64 import b64decode
from bisect import bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PART = 8
"""Characters of a secret in a row that are already too many; PHP's own traces show the first 15 of an argument."""
MOST_ENCODINGS = 2  # one within another, as of an address in a page
HIDDEN = "***"

_ESCAPE = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(["'/\\]))""")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_BLANKS = re.compile(r"[\x00-\x20\x7f+]+")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});?")
_PERCENT = re.compile(r"%([0-9a-fA-F]{2})")
_SHAPES = re.compile(
    r"(?<=//)[^/@\s<>\"']+(?=@)"  # a password in an address
    r"|\b[0-9a-fA-F]{32,}(?::\w+)?\b"  # a session, or a hash
    r"|<(?:\w+:)?(?:password_hash|rp_token)\b[^<>/]*>([^<]+)"
    r"|<name>(?:password_hash|rp_token)</name>\s*<value>\s*(?:<string>)?([^<]+)"
)
_OF_A_LOGIN = re.compile(r"<(?:[\w.-]+:)?(?:loginReturn|result|sessionId|apiKey)\b[^>]*>([^<]+)")


def redacted(text: str, *secrets: str) -> str:
    """Return a text without what nobody may read: `secrets`, passwords in addresses, session ids and hashes.

    Where a secret is found encoded (for an address, for HTML or XML, with backslashes), the text comes back decoded.

    >>> redacted("http://me:pw@shop.example: no row with sessid = '0123456789abcdef0123456789abcdef'")
    "http://***@shop.example: no row with sessid = '***'"
    >>> redacted("Access denied for key s3same.", "s3same")
    'Access denied for key ***.'
    >>> redacted("login('me', 's3same & ke...'), key=s3same+%26+key&amp;x=1", "s3same & key")
    "login('me', '***...'), key=***&x=1"
    """
    parts = {part for secret in filter(None, secrets) for form in _forms(secret) for part in _parts(form)}
    candidate = text
    for _ in range(1 + MOST_ENCODINGS):
        dense = _dense(candidate)
        if found := {part for part in parts if part in dense}:
            text = candidate = _hidden(candidate, found)
        decoded = _decoded(candidate)
        if decoded == candidate:
            break
        candidate = decoded
    text = re.sub(r"(?<=//)[^/@\s]+(?=@)", HIDDEN, text)
    return re.sub(r"\b[0-9a-fA-F]{32,}(:\w+)?\b", HIDDEN, text)


def redacted_body(body: bytes, *secrets: str, login: bool = False) -> bytes:
    r"""Return a body without what `redacted` takes out of a text; all else stays as it is, byte by byte.

    Args:
        body: in any encoding that has ASCII in it.
        secrets: what nobody may read.
        login: it is of a login: the key and the session in it are hidden whatever they look like.

    >>> redacted_body(b"<a>\xff &quot; s3same &amp;amp;\nkey %26c</a>", "s3same & key")
    b'<a>\xff &quot; *** %26c</a>'
    """
    text = body.decode("latin-1")
    hidden = [found.span(found.lastindex or 0) for found in _SHAPES.finditer(text)]
    hidden += [found.span(1) for found in _OF_A_LOGIN.finditer(text)] if login else []
    parts = {
        part for secret in filter(None, secrets) for form in _forms(secret) for part in _parts(_BLANKS.sub("", form))
    }
    traced = _Traced(text)
    for _ in range(1 + MOST_ENCODINGS):
        hidden += traced.replaced(_BLANKS, lambda _: "").origins_of(parts)
        decoded = traced.replaced(_ESCAPE, lambda found: found[3] or chr(int(found[1] or found[2], 16)))
        decoded = decoded.replaced(_ENTITY, lambda found: html.unescape(found[0]))
        decoded = decoded.replaced(_PERCENT, lambda found: chr(int(found[1], 16)))
        if decoded.text == traced.text:
            break
        traced = decoded
    shown, end = [], 0
    for first, last in sorted(hidden):
        if first >= end:
            shown += [text[end:first], HIDDEN]
        end = max(end, last)
    return "".join([*shown, text[end:]]).encode("latin-1")


class _Traced:
    """A text, and where in the text that it was made of each of its characters comes from.

    Attributes:
        text: as it is now.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._before: _Traced | None = None
        self._here, self._there = [0], [0]  # from a place here on it goes on as from a place there

    def replaced(self, pattern: re.Pattern[str], becomes: Callable[[re.Match[str]], str]) -> _Traced:
        """Return the text with something else in place of what a pattern finds."""
        pieces, end, length = [], 0, 0
        made = _Traced("")
        made._before = self
        for found in pattern.finditer(self.text):
            new, (first, last) = becomes(found), found.span()
            pieces += [self.text[end:first], new]
            length += first - end
            made._here += [length, length + len(new)]
            made._there += [first, last]
            length, end = length + len(new), last
        made.text = "".join([*pieces, self.text[end:]])
        return made

    def origins_of(self, parts: Iterable[str]) -> list[tuple[int, int]]:
        """Return where in the first text of all these parts of this one come from."""
        return [
            (self.origin(found.start()), self.origin(found.start() + len(part) - 1, end=True))
            for part in parts
            if part in self.text
            for found in re.finditer(f"(?={re.escape(part)})", self.text)
        ]

    def origin(self, place: int, *, end: bool = False) -> int:
        """Return the first place that a character comes from, or the one behind its last."""
        if self._before is None:
            return place + end
        last = bisect_right(self._here, place) - 1
        there = self._there[last] + place - self._here[last]
        if end and last + 1 < len(self._here) and self._here[last + 1] == place + 1:
            there = self._there[last + 1] - 1
        return self._before.origin(there, end=end)


def _forms(secret: str) -> Iterator[str]:
    """A secret, and the same with its UTF-8 and Latin-1 confused; without what may come or go on the way."""
    dense = _dense(secret)
    yield dense
    if not dense.isascii():
        yield dense.encode().decode("latin-1")
        yield dense.encode("latin-1", "replace").decode("utf-8", "replace")


def _parts(secret: str) -> Iterator[str]:
    """Every part of it that is too long to be shown; all of it where it is short."""
    length = min(PART, len(secret))
    return filter(None, (secret[start : start + length] for start in range(len(secret) - length + 1)))


def _dense(text: str) -> str:
    """A text without white space, and without "+", which may stand for it."""
    return "".join(text.split()).replace("+", "")


def _hidden(text: str, parts: Iterable[str]) -> str:
    """A text without what these parts, which may overlap, cover of it."""
    places = [place for place, character in enumerate(text) if not character.isspace() and character != "+"]
    dense = "".join(text[place] for place in places)
    spans = [
        (places[found.start()], places[found.start() + len(part) - 1] + 1)
        for part in parts
        for found in re.finditer(f"(?={re.escape(part)})", dense)
    ]
    shown, end = "", 0
    for first, last in sorted(spans):
        if first >= end:
            shown += text[end:first] + HIDDEN
        end = max(end, last)
    return shown + text[end:]


def _decoded(text: str) -> str:
    """A text in one line with its percent signs, entities and backslashes undone, once."""

    def character(escape: re.Match[str]) -> str:
        return escape[3] or chr(int(escape[1] or escape[2], 16))

    return _CONTROLS.sub(" ", unquote(html.unescape(_ESCAPE.sub(character, text))))


def login_in_header(value: str) -> tuple[str, str]:
    """Return the user and password in the value of a header; empty texts where there are none.

    >>> login_in_header("Basic bWU6cHc="), login_in_header("Bearer abc")
    (('me', 'pw'), ('', ''))
    """
    scheme, _, encoded = value.partition(" ")
    login = ""
    if scheme.lower() == "basic":
        with suppress(ValueError):
            login = b64decode(encoded, validate=True).decode("latin-1")
    user, _, password = login.partition(":")
    return user, password


def login_in_address(proxy: str) -> tuple[str, str]:
    """Return the user and password in the address of a proxy, as they are sent to it; empty texts where there are none.

    >>> login_in_address("http://me:p%40ss@127.0.0.1:3128"), login_in_address("me:pw@proxy.example:3128")
    (('me', 'p@ss'), ('me', 'pw'))
    >>> login_in_address("http://[::1]:3128/")
    ('', '')
    """
    user, _, password = proxy.rpartition("://")[2].rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)


class Redactor(Protocol):
    """Who knows what nobody may read."""

    def redacted(self, text: str) -> str:
        """Return a text without it."""


class _LibraryLogs(logging.Filter):
    """Redacts what libraries log: urllib3 repeats headers that it cannot read, in a warning, and zeep addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.redactors: WeakSet[Redactor] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass; one with a secret without it, and without the traceback that repeats it."""
        shown = text = record.getMessage()
        for redactor in tuple(self.redactors):
            shown = redactor.redacted(shown)
        if shown != text:
            record.msg, record.args, record.exc_info = shown, (), None
        return True


_LIBRARY_LOGS = _LibraryLogs()


def redact_library_logs(redactor: Redactor) -> None:
    """Redact what urllib3 and zeep log, for as long as `redactor` is alive."""
    _LIBRARY_LOGS.redactors.add(redactor)
    for name in tuple(logging.root.manager.loggerDict):
        if name.startswith(("urllib3.", "zeep.")):
            logging.getLogger(name).addFilter(_LIBRARY_LOGS)
