"""What nobody may read is taken out of words from outside: of the server, of a proxy, and of libraries that quote them.

What lives here: how a secret is found again in a text that repeats it whole or in part, encoded or broken into lines,
and in the value of a header or the address of a proxy. Which secrets there are is the business of those who send them.
"""

from __future__ import annotations

import html
import logging
import re
from base64 import b64decode
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PART = 8
"""Characters of a secret in a row that are already too many; PHP's own traces show the first 15 of an argument."""
MOST_ENCODINGS = 2  # one within another, as of an address in a page
HIDDEN = "***"

_ESCAPE = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(["'/\\]))""")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


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
