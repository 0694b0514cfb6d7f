"""The removal of characters that XML forbids from a reply's bytes, before they are parsed as strictly as always.

Servers before 1.9.3 send a control character in a customer's name as it is, and the whole reply is not valid XML. Only
characters that XML 1.0 allows nowhere are removed, and references to them; all other bytes stay the same, and no other
error is repaired.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SUSPECT = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]"  # control characters except tab, line feed and carriage return
    rb"|\xef\xbf[\xbe\xbf]"  # U+FFFE and U+FFFF; in UTF-8 their first byte only occurs at the start of a character
    rb"|&#(?:([0-9]{1,8})|x([0-9A-Fa-f]{1,8}));"
)
_FORBIDDEN = frozenset({*range(0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF} - {0x9, 0xA, 0xD})
"""Numbers that XML 1.0 does not allow as characters. Numbers above all characters are not repaired."""
_BEGUN = re.compile(rb"(?:\xef\xbf?|&(?:#(?:[0-9]{0,8}|x[0-9A-Fa-f]{0,8}))?)\Z")
"""The beginning of a forbidden character or reference at the end of a piece."""


def without_forbidden(pieces: Iterable[bytes], on_removed: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    r"""Yield a body in UTF-8 without the characters that XML 1.0 forbids, raw or as references.

    Args:
        pieces: the body, in pieces of any size.
        on_removed: called for each piece with the number of characters removed from it.

    >>> list(without_forbidden([b"A\x01B&#x", b"1;C &amp;#1; &#65;\n\xef", b"\xbf\xbe!"]))
    [b'AB', b'C &amp;#1; &#65;\n', b'!']
    """
    rest = b""
    for piece in pieces:
        data = rest + piece
        begun = _BEGUN.search(data)
        data, rest = (data[: begun.start()], data[begun.start() :]) if begun else (data, b"")
        data, count = _cleaned(data)
        on_removed(count)
        if data:
            yield data
    if rest:
        yield rest


def _cleaned(data: bytes) -> tuple[bytes, int]:
    """Return the bytes without forbidden characters, and how many were removed."""
    count = 0

    def replacement(match: re.Match[bytes]) -> bytes:
        nonlocal count
        decimal, hexadecimal = match.groups()
        number = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else 0
        if number not in _FORBIDDEN:
            return match[0]
        count += 1
        return b""

    return _SUSPECT.sub(replacement, data), count
