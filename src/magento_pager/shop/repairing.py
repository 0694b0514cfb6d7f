"""Characters that XML forbids, taken out of a reply's bytes before they are parsed, as strictly as ever.

Servers before 1.9.3 send a control character in a customer's name as it is, and the whole reply is no XML. What is
taken out here is only what XML 1.0 allows nowhere, as a character or as a reference to one; nothing else is touched,
and nothing that is wrong in another way gets any better.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_SUSPECT = re.compile(
    rb"[\x00-\x08\x0b\x0c\x0e-\x1f]"  # control characters but tab and the two line ends
    rb"|\xef\xbf[\xbe\xbf]"  # U+FFFE and U+FFFF; in UTF-8 their first byte begins a character and nothing else
    rb"|&#(?:([0-9]{1,8})|x([0-9A-Fa-f]{1,8}));"
)
_FORBIDDEN = frozenset({*range(0x20), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF} - {0x9, 0xA, 0xD})
"""Numbers that XML 1.0 does not allow as characters. Those beyond all characters are not for us to mend."""
_BEGUN = re.compile(rb"(?:\xef\xbf?|&(?:#(?:[0-9]{0,8}|x[0-9A-Fa-f]{0,8}))?)\Z")
"""The beginning, at the end of a piece, of what may turn out to be forbidden."""


def without_forbidden(pieces: Iterable[bytes], taken_out: Callable[[int], None] = lambda _: None) -> Iterator[bytes]:
    r"""A body in UTF-8 without the characters that XML 1.0 forbids, raw or as references.

    Args:
        pieces: the body, in pieces of any size.
        taken_out: told, for each piece, how many characters were taken out of it.

    >>> list(without_forbidden([b"A\x01B&#x", b"1;C &amp;#1; &#65;\n\xef", b"\xbf\xbe!"]))
    [b'AB', b'C &amp;#1; &#65;\n', b'!']
    """
    rest = b""
    for piece in pieces:
        data = rest + piece
        begun = _BEGUN.search(data)
        data, rest = (data[: begun.start()], data[begun.start() :]) if begun else (data, b"")
        data, count = _cleaned(data)
        taken_out(count)
        if data:
            yield data
    if rest:
        yield rest


def _cleaned(data: bytes) -> tuple[bytes, int]:
    """The bytes without what is forbidden, and how many characters that was."""
    count = 0

    def replacement(found: re.Match[bytes]) -> bytes:
        nonlocal count
        decimal, hexadecimal = found.groups()
        number = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else 0
        if number not in _FORBIDDEN:
            return found[0]
        count += 1
        return b""

    return _SUSPECT.sub(replacement, data), count
