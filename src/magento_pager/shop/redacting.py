"""The removal of secrets from texts of the server, of a proxy, and of libraries that quote them.

What lives here: the search for a secret in a text that repeats it whole or in part, encoded or broken into lines, and
in the value of a header or the address of a proxy. The sender of secrets provides them.
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
"""Consecutive characters of a secret that must not be shown; PHP's own traces show the first 15 of an argument."""
MOST_ENCODINGS = 2  # nested, as of an address in a page
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
    """Return a text without secrets: `secrets`, passwords in addresses, session ids and hashes.

    If a secret is found encoded (for an address, for HTML or XML, with backslashes), the decoded text is returned.

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
        if matches := {part for part in parts if part in dense}:
            text = candidate = _hidden(candidate, matches)
        decoded = _decoded(candidate)
        if decoded == candidate:
            break
        candidate = decoded
    text = re.sub(r"(?<=//)[^/@\s]+(?=@)", HIDDEN, text)
    return re.sub(r"\b[0-9a-fA-F]{32,}(:\w+)?\b", HIDDEN, text)


def redacted_body(body: bytes, *secrets: str, login: bool = False) -> bytes:
    r"""Return a body without the secrets that `redacted` removes from a text; all other bytes stay the same.

    Args:
        body: in any encoding that extends ASCII.
        secrets: to be removed.
        login: the body is of a login: hide its key and session, whatever they look like.

    >>> redacted_body(b"<a>\xff &quot; s3same &amp;amp;\nkey %26c</a>", "s3same & key")
    b'<a>\xff &quot; *** %26c</a>'
    """
    text = body.decode("latin-1")
    hidden = [match.span(match.lastindex or 0) for match in _SHAPES.finditer(text)]
    hidden += [match.span(1) for match in _OF_A_LOGIN.finditer(text)] if login else []
    parts = {
        part for secret in filter(None, secrets) for form in _forms(secret) for part in _parts(_BLANKS.sub("", form))
    }
    traced = _Traced(text)
    for _ in range(1 + MOST_ENCODINGS):
        hidden += traced.replaced(_BLANKS, lambda _: "").origins_of(parts)
        decoded = traced.replaced(_ESCAPE, lambda match: match[3] or chr(int(match[1] or match[2], 16)))
        decoded = decoded.replaced(_ENTITY, lambda match: html.unescape(match[0]))
        decoded = decoded.replaced(_PERCENT, lambda match: chr(int(match[1], 16)))
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
    """A text made from another one, and the origin of each of its characters in that one.

    Attributes:
        text: after the replacements.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._source: _Traced | None = None
        self._offsets, self._source_offsets = [0], [0]  # text from the one on is equal to the source from the other on

    def replaced(self, pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str]) -> _Traced:
        """Return the text with the matches of a pattern replaced."""
        pieces, end, length = [], 0, 0
        made = _Traced("")
        made._source = self
        for match in pattern.finditer(self.text):
            new, (first, last) = replacement(match), match.span()
            pieces += [self.text[end:first], new]
            length += first - end
            made._offsets += [length, length + len(new)]
            made._source_offsets += [first, last]
            length, end = length + len(new), last
        made.text = "".join([*pieces, self.text[end:]])
        return made

    def origins_of(self, parts: Iterable[str]) -> list[tuple[int, int]]:
        """Return the spans of the original text that these parts of this one come from."""
        return [
            (self.origin(match.start()), self.origin(match.start() + len(part) - 1, end=True))
            for part in parts
            if part in self.text
            for match in re.finditer(f"(?={re.escape(part)})", self.text)
        ]

    def origin(self, place: int, *, end: bool = False) -> int:
        """Return a character's first place in the original text, or with `end` the place after its last."""
        if self._source is None:
            return place + end
        last = bisect_right(self._offsets, place) - 1
        source_place = self._source_offsets[last] + place - self._offsets[last]
        if end and last + 1 < len(self._offsets) and self._offsets[last + 1] == place + 1:
            source_place = self._source_offsets[last + 1] - 1
        return self._source.origin(source_place, end=end)


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret, and the same with UTF-8 and Latin-1 confused; without characters that often change."""
    dense = _dense(secret)
    yield dense
    if not dense.isascii():
        yield dense.encode().decode("latin-1")
        yield dense.encode("latin-1", "replace").decode("utf-8", "replace")


def _parts(secret: str) -> Iterator[str]:
    """Yield every part of a secret that is too long to be shown; the whole of a short one."""
    length = min(PART, len(secret))
    return filter(None, (secret[start : start + length] for start in range(len(secret) - length + 1)))


def _dense(text: str) -> str:
    """Return a text without white space, and without "+", which may stand for it."""
    return "".join(text.split()).replace("+", "")


def _hidden(text: str, parts: Iterable[str]) -> str:
    """Return a text without these parts, which may overlap."""
    places = [place for place, character in enumerate(text) if not character.isspace() and character != "+"]
    dense = "".join(text[place] for place in places)
    spans = [
        (places[match.start()], places[match.start() + len(part) - 1] + 1)
        for part in parts
        for match in re.finditer(f"(?={re.escape(part)})", dense)
    ]
    shown, end = "", 0
    for first, last in sorted(spans):
        if first >= end:
            shown += text[end:first] + HIDDEN
        end = max(end, last)
    return shown + text[end:]


def _decoded(text: str) -> str:
    """Return a text on one line with its percent signs, entities and backslashes decoded once."""

    def character(escape: re.Match[str]) -> str:
        return escape[3] or chr(int(escape[1] or escape[2], 16))

    return _CONTROLS.sub(" ", unquote(html.unescape(_ESCAPE.sub(character, text))))


def login_in_header(value: str) -> tuple[str, str]:
    """Return the user and password in the value of a header; empty texts if there are none.

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
    """Return the user and password in the address of a proxy, as sent to it; empty texts if there are none.

    >>> login_in_address("http://me:p%40ss@127.0.0.1:3128"), login_in_address("me:pw@proxy.example:3128")
    (('me', 'p@ss'), ('me', 'pw'))
    >>> login_in_address("http://[::1]:3128/")
    ('', '')
    """
    user, _, password = proxy.rpartition("://")[2].rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)


class Redactor(Protocol):
    """Removes secrets from texts."""

    def redacted(self, text: str) -> str:
        """Return a text without secrets."""


class _LibraryLogs(logging.Filter):
    """Redacts the logs of libraries: urllib3 warns with headers that it cannot read, and zeep with addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.redactors: WeakSet[Redactor] = WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        """Accept every record; remove secrets from its message, and then also its traceback."""
        shown = text = record.getMessage()
        for redactor in tuple(self.redactors):
            shown = redactor.redacted(shown)
        if shown != text:
            record.msg, record.args, record.exc_info = shown, (), None
        return True


_LIBRARY_LOGS = _LibraryLogs()


def redact_library_logs(redactor: Redactor) -> None:
    """Redact the logs of urllib3 and zeep while `redactor` is alive."""
    _LIBRARY_LOGS.redactors.add(redactor)
    for name in tuple(logging.root.manager.loggerDict):
        if name.startswith(("urllib3.", "zeep.")):
            logging.getLogger(name).addFilter(_LIBRARY_LOGS)
