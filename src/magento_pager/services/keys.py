"""Keys of lists of other services: a number for each key, in the order in which the service compares keys.

The walk counts from 0 to 4,294,967,295. This module turns the keys of a service's rows into such numbers, and bounds
back into keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from magento_pager.walk.ranges import MAX_ID, read_id

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CHARACTERS = 99
"""Of an alphabet: two digits for each character."""


class Key(Protocol):
    """The column whose values windows are ranges of."""

    @property
    def field(self) -> str:
        """The name of the column in rows."""

    @property
    def identity(self) -> str:
        """The column that no two rows share: the same one, or another if several rows may have the same key."""

    @property
    def highest(self) -> int:
        """The highest possible number, at most 4,294,967,295."""

    @property
    def alone(self) -> bool:
        """True if a number stands for one row at most."""

    def text(self, number: int, *, upper: bool = False) -> str:
        """Return the inclusive bound for a number as the service takes it; `upper` for an upper bound."""

    def number(self, text: str) -> int:
        """Return the number for a key.

        Raises:
            ValueError: the text is not a key of this kind.
        """


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers of any width, which the service compares as numbers.

    If `first` and `last` are more than 32 bits apart, a number of the walk stands for several consecutive ids, and no
    window can be narrower than those: give the closest bounds that you know.

    >>> key = Numbers("Id", first=10**15, last=10**15 + 999_999)
    >>> key.text(7), key.number("1000000000000007"), key.highest
    ('1000000000000007', 7, 999999)
    >>> key = Numbers("Id", last=2**63 - 1)
    >>> key.text(3), key.text(3, upper=True), key.number("6442450943")
    ('6442450944', '8589934591', 2)

    Attributes:
        field: the column.
        first: the lowest possible id.
        last: the highest id that the service takes; 2,147,483,647 if its WSDL says `xsd:int`.

    Raises:
        ValueError: `first` is negative, or above `last`.
    """

    field: str
    first: int = 0
    last: int = MAX_ID

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise ValueError(f"first must be 0 or more, and at most last, not {self.first} to {self.last}")

    @property
    def identity(self) -> str:
        """The same column: no two rows have the same number."""
        return self.field

    @property
    def plain(self) -> bool:
        """True if the ids themselves are the numbers of the walk."""
        return self.first == 0 and self.last <= MAX_ID

    @property
    def highest(self) -> int:
        """The number of the last id."""
        return (self.last - self.first) // self._ids_per_number

    @property
    def alone(self) -> bool:
        """True if the first and the last id are at most 32 bits apart."""
        return self._ids_per_number == 1

    @property
    def _ids_per_number(self) -> int:
        """How many ids have the same number."""
        return -(-(self.last - self.first + 1) // (MAX_ID + 1))

    def text(self, number: int, *, upper: bool = False) -> str:
        """Return the first id of a number, or the last one for an upper bound."""
        return str(min(self.last, self.first + number * self._ids_per_number + (self._ids_per_number - 1) * upper))

    def number(self, text: str) -> int:
        """Return the number of an id."""
        if self.plain:
            return read_id(text)
        if re.fullmatch("0|[1-9][0-9]*", text, re.ASCII) and self.first <= int(text[:999]) <= self.last:
            return (int(text) - self.first) // self._ids_per_number
        raise ValueError(f"{text!r} is not an id from {self.first} to {self.last}")


@dataclass(frozen=True, slots=True)
class PaddedNumbers:
    """Numbers as text of a fixed width, with leading zeros and an optional prefix, such as INV-000123.

    The service may compare them as text, which is the same order. A key of another width ends the walk with an error.

    >>> key = PaddedNumbers("InvoiceNo", 6, prefix="INV-")
    >>> key.text(123), key.number("INV-000123"), key.highest
    ('INV-000123', 123, 999999)
    >>> key.number("INV-0001234")
    Traceback (most recent call last):
    ...
    ValueError: 'INV-0001234' is not 'INV-' followed by 6 digits

    Attributes:
        field: the column.
        digits: their number, from 1 to 9.
        prefix: the text before the digits in every key.

    Raises:
        ValueError: `digits` is less than 1 or more than 9.
    """

    field: str
    digits: int
    prefix: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.digits < len(str(MAX_ID)):
            raise ValueError(f"digits must be 1 to {len(str(MAX_ID)) - 1}, not {self.digits}")

    @property
    def identity(self) -> str:
        """The same column: no two rows have the same number."""
        return self.field

    @property
    def alone(self) -> bool:
        """True."""
        return True

    @property
    def highest(self) -> int:
        """The number whose digits are all 9."""
        return int("9" * self.digits)

    def text(self, number: int, *, upper: bool = False) -> str:  # noqa: ARG002  both bounds look alike
        """Return the key of a number."""
        return f"{self.prefix}{number:0{self.digits}}"

    def number(self, text: str) -> int:
        """Return the number of a key."""
        digits = text.removeprefix(self.prefix)
        if self.prefix + digits == text and re.fullmatch(f"[0-9]{{{self.digits}}}", digits):
            return int(digits)
        raise ValueError(f"{text!r} is not {self.prefix!r} followed by {self.digits} digits")


@dataclass(frozen=True, slots=True)
class Times:
    """Timestamps from 1970 to 2106, counted in seconds; several rows may have the same one.

    >>> key = Times("ModifiedAt", "ContactId")
    >>> key.number("2024-05-01T10:00:00"), key.text(1714557600), key.number("2024-05-01T10:00:00.750")
    (1714557600, '2024-05-01T10:00:00', 1714557600)
    >>> Times("ModifiedAt", "ContactId", fractions=True).text(1714557600, upper=True)
    '2024-05-01T10:00:00.999999'
    >>> key = Times("ModifiedAt", "ContactId", utc=True)
    >>> key.number("2024-05-01T12:00:00+02:00"), key.text(1714557600)
    (1714557600, '2024-05-01T10:00:00Z')

    Attributes:
        field: the column, with times in ISO 8601.
        identity: another column, which no two rows share.
        utc: times carry their zone, and bounds are sent in UTC; False if all times are of the same unknown zone.
        fractions: the service stores fractions of a second, so an upper bound must include them.
    """

    field: str
    identity: str
    utc: bool = False
    fractions: bool = False

    @property
    def alone(self) -> bool:
        """False: several rows may have the same second."""
        return False

    @property
    def highest(self) -> int:
        """A second in 2106."""
        return MAX_ID

    def text(self, number: int, *, upper: bool = False) -> str:
        """Return a timestamp; an upper bound is the end of its second."""
        text = datetime.fromtimestamp(number, UTC).replace(tzinfo=None).isoformat()
        return text + ".999999" * (upper and self.fractions) + "Z" * self.utc

    def number(self, text: str) -> int:
        """Return the second of a timestamp."""
        timestamp = datetime.fromisoformat(text)
        if (timestamp.tzinfo is not None) != self.utc:
            raise ValueError(f"{text!r} has {'no' if self.utc else 'a'} time zone. Set utc={not self.utc}")
        seconds = int((timestamp if self.utc else timestamp.replace(tzinfo=UTC)).replace(microsecond=0).timestamp())
        if not 0 <= seconds <= MAX_ID:
            raise ValueError(f"{text!r} is not from 1970 to 2106")
        return seconds


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts over a declared alphabet, of a service without bounds that can search for the beginning of a text.

    The walk distinguishes them by their first characters: 9 if the alphabet has at most 9 characters, otherwise 4. Rows
    with the same beginning are always in one reply. A key with a character outside the alphabet ends the walk with an
    error if the service returns it, but no query looks for such keys.

    >>> key = Texts("ArticleNo", "0123456789ABCDEF-")
    >>> key.number("A7-0004711"), key.text(11081701)
    (11081701, 'A7-0')
    >>> list(Texts("ArticleNo", "AB").beginnings(100_000_000, 219_999_999))
    [('starts with', 'A'), ('eq', 'B'), ('starts with', 'BA')]

    Attributes:
        field: the column.
        alphabet: the characters of the keys, in any order, at most 99.

    Raises:
        ValueError: the alphabet is empty, too large, or contains a character twice.
    """

    field: str
    alphabet: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.alphabet) <= MOST_CHARACTERS or len(set(self.alphabet)) < len(self.alphabet):
            raise ValueError(f"the alphabet must be 1 to {MOST_CHARACTERS} different characters, not {self.alphabet!r}")

    @property
    def identity(self) -> str:
        """The same column: no two rows have the same text."""
        return self.field

    @property
    def alone(self) -> bool:
        """False: keys with the same beginning have the same number."""
        return False

    @property
    def highest(self) -> int:
        """The number of a text that repeats the last character."""
        return self.number(self.alphabet[-1] * self._counted)

    @property
    def _digits(self) -> int:
        """Digits for a character; 0, or 00, stands for the end of the text."""
        return len(str(len(self.alphabet)))

    @property
    def _counted(self) -> int:
        """How many characters of a key its number includes."""
        return (len(str(MAX_ID)) - 1) // self._digits

    def number(self, text: str) -> int:
        """Return the number of a text."""
        if unknown := sorted(set(text) - set(self.alphabet)):
            raise ValueError(f"{text!r} contains {unknown[0]!r}, which is not in the alphabet {self.alphabet!r}")
        if not text:
            raise ValueError("'' is not a key")
        codes = [f"{self.alphabet.index(character) + 1:0{self._digits}}" for character in text[: self._counted]]
        return int("".join(codes).ljust(self._counted * self._digits, "0"))

    def text(self, number: int, *, upper: bool = False) -> str:  # noqa: ARG002  only for messages
        """Return the beginning of the keys of a number."""
        digits = f"{number:0{self._counted * self._digits}}"
        codes = (int(digits[place : place + self._digits]) for place in range(0, len(digits), self._digits))
        valid = takewhile(lambda code: 0 < code <= len(self.alphabet), codes)
        return "".join(self.alphabet[code - 1] for code in valid)

    def beginnings(self, first: int, last: int, head: str = "") -> Iterator[tuple[str, str]]:
        """Yield the operators ("starts with" or "eq") and operands that find all keys of some numbers, inclusive.

        All of these keys begin with `head`.
        """
        if head:
            low = self.number(head)
            high = self.number((head + self.alphabet[-1] * self._counted)[: self._counted])
            if first <= low and high <= last:
                yield "starts with", head
            if high < first or last < low or (first <= low and high <= last):
                return
            if first <= low:
                yield "eq", head
        for character in self.alphabet:
            yield from self.beginnings(first, last, head + character)
