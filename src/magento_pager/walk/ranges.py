"""Ranges of ids, inclusive at both ends.

All arithmetic of ids lives here: splitting, tiling at multiples of a width, and decimal blocks, the base-ten
counterpart of `ipaddress.summarize_address_range`. This module knows no filter, no server and no pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ID = 4_294_967_295
"""The largest possible id: the key is INT UNSIGNED in every version.

>>> MAX_ID == 2**32 - 1
True
"""
LARGEST_NUMBER = (1 << 63) - 1
"""The largest id or count that an option takes: Python's ranges cannot be longer."""


def read_id(value: object) -> int:
    """Return the id that a row carries: digits without a leading zero, at most `MAX_ID`.

    The database writes an id in one way only. Anything else that `int` accepts was altered in transit: "3_6" may have
    been 36, or 306, or two ids.

    Args:
        value: text, or an int from a source that returns numbers.

    Raises:
        ValueError: it is not an id.

    >>> read_id("36"), read_id("0"), read_id(36)
    (36, 0, 36)
    >>> read_id("3_6")
    Traceback (most recent call last):
    ...
    ValueError: '3_6' is not an id
    """
    text = value if isinstance(value, str) else str(value) if type(value) is int else ""
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID)) and (text[0] != "0" or text == "0"):
        number = int(text)
        if number <= MAX_ID:
            return number
    raise ValueError(f"{value!r} is not an id")


@dataclass(frozen=True, slots=True, order=True)
class IdRange:
    """The ids from `first` to `last`, both included.

    Raises:
        TypeError: a bound is not an int.
        ValueError: a bound is negative, or `first` is above `last`: an empty range cannot be built.

    >>> IdRange(5, 7)
    IdRange(first=5, last=7)
    >>> list(IdRange(5, 7)), len(IdRange(5, 7)), 6 in IdRange(5, 7)
    ([5, 6, 7], 3, True)
    """

    first: int
    last: int

    def __post_init__(self) -> None:
        if type(self.first) is not int or type(self.last) is not int:
            raise TypeError(f"the bounds of a range of ids are ints, not {self.first!r} and {self.last!r}")
        if self.first < 0:
            raise ValueError(f"an id is at least 0, so a range cannot begin at {self.first}")
        if self.first > self.last:
            raise ValueError(f"the first id, {self.first}, is above the last, {self.last}; swap them")

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def __contains__(self, value: object) -> bool:
        if isinstance(value, IdRange):
            return self.first <= value.first and value.last <= self.last
        return isinstance(value, int) and self.first <= value <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def intersection(self, other: IdRange) -> IdRange | None:
        """Return the ids in both, or None where there are none.

        >>> IdRange(1, 5).intersection(IdRange(4, 9)), IdRange(1, 2).intersection(IdRange(4, 9))
        (IdRange(first=4, last=5), None)
        """
        first, last = max(self.first, other.first), min(self.last, other.last)
        return IdRange(first, last) if first <= last else None

    def halves(self) -> tuple[IdRange, IdRange]:
        """Return two ranges that cover this one, the first no shorter than the second.

        Raises:
            ValueError: the range is a single id.

        >>> IdRange(0, 4).halves()
        (IdRange(first=0, last=2), IdRange(first=3, last=4))
        """
        if self.first == self.last:
            raise ValueError(f"the range {self} is a single id and cannot be split")
        middle = (self.first + self.last) // 2
        return IdRange(self.first, middle), IdRange(middle + 1, self.last)

    def tile(self, width: int) -> Iterator[IdRange]:
        """Cover the range with windows that end just below the next multiple of `width` (at least 1).

        >>> list(IdRange(95, 205).tile(100))
        [IdRange(first=95, last=99), IdRange(first=100, last=199), IdRange(first=200, last=205)]
        """
        if width < 1:
            raise ValueError(f"a window is at least 1 id wide, not {width}")
        first = self.first
        while first <= self.last:
            last = min(self.last, first - first % width + width - 1)
            yield IdRange(first, last)
            first = last + 1

    def tenths(self) -> Iterator[IdRange]:
        """Cover the range with at most ten windows, at multiples of the greatest power of ten below its length.

        >>> [str(part) for part in IdRange(100, 149).tenths()]
        ['100-109', '110-119', '120-129', '130-139', '140-149']
        """
        return self.tile(10 ** max(0, len(str(len(self) - 1)) - 1))

    def prefix(self) -> str:
        """Return the digits that all ids begin with; all must have the same length.

        >>> IdRange(1200, 1234).prefix(), IdRange(1999, 4000).prefix(), IdRange(77, 77).prefix()
        ('12', '', '77')
        """
        pairs = zip(str(self.first), str(self.last), strict=True)
        return "".join(digit for digit, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def blocks(self) -> Iterator[IdRange]:
        """Cover the range, in order, with the fewest decimal blocks.

        A block is all ids of one length that share a prefix, which may be empty: exactly what one `like` with free
        digits after a fixed prefix matches. `like '12__'` is 1200-1299, `like '___'` is 100-999, `like '_'` is 0-9.

        >>> [str(block) for block in IdRange(98, 1210).blocks()]
        ['98-98', '99-99', '100-999', '1000-1099', '1100-1199', '1200-1209', '1210-1210']
        """
        first = self.first
        while first <= self.last:
            last = max(end for end in _block_ends(first) if end <= self.last)
            yield IdRange(first, last)
            first = last + 1


def _block_ends(first: int) -> Iterator[int]:
    """Yield the last ids of the blocks that begin at `first`, shortest block first."""
    size = 1
    while first % size == 0 and size <= max(first, 1):
        yield first + size - 1
        size *= 10
    if first == 0:
        yield 9
    elif size == first * 10 and first > 1:  # a power of ten: every id of this length (but `_` would match 0 as well)
        yield size - 1
