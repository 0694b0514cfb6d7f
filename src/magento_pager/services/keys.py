"""Keys of lists that are not Magento's: which number stands for which key, in the order in which the service compares.

The walk counts from 0 to 4,294,967,295 and knows nothing else. What a service knows its rows by is turned into such
numbers here, and bounds into the service's words.
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
"""Of an alphabet: two digits each."""


class Key(Protocol):
    """What a list is cut by."""

    @property
    def field(self) -> str:
        """The column, as rows call it."""

    @property
    def identity(self) -> str:
        """The column that no two rows share: the same one, or another where several rows have one key."""

    @property
    def highest(self) -> int:
        """The greatest number there can be, at most 4,294,967,295."""

    @property
    def alone(self) -> bool:
        """True where a number stands for one row at most."""

    def text(self, number: int, *, upper: bool = False) -> str:
        """Return a bound as the service takes it, inclusive; `upper` for an upper one."""

    def number(self, text: str) -> int:
        """Return the number that stands for a key.

        Raises:
            ValueError: it is none of this kind.
        """


@dataclass(frozen=True, slots=True)
class Numbers:
    """Whole numbers of any width, which the service compares as numbers.

    Where `first` and `last` are more than 32 bits apart, a number of the walk stands for several ids in a row, and a
    window is no narrower: give them as close together as they are known.

    >>> key = Numbers("Id", first=10**15, last=10**15 + 999_999)
    >>> key.text(7), key.number("1000000000000007"), key.highest
    ('1000000000000007', 7, 999999)
    >>> key = Numbers("Id", last=2**63 - 1)
    >>> key.text(3), key.text(3, upper=True), key.number("6442450943")
    ('6442450944', '8589934591', 2)

    Attributes:
        field: the column.
        first: the least id there can be.
        last: the greatest that the service takes; 2,147,483,647 where its WSDL says `xsd:int`.

    Raises:
        ValueError: `first` is negative, or above `last`.
    """

    field: str
    first: int = 0
    last: int = MAX_ID

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise ValueError(f"ids are 0 or more, and the first is at most the last, not {self.first} and {self.last}")

    @property
    def identity(self) -> str:
        """The same column: no two rows have one number."""
        return self.field

    @property
    def plain(self) -> bool:
        """True where ids are the walk's own numbers."""
        return self.first == 0 and self.last <= MAX_ID

    @property
    def highest(self) -> int:
        """The number of the last id."""
        return (self.last - self.first) // self._each

    @property
    def alone(self) -> bool:
        """True where ids are at most 32 bits apart."""
        return self._each == 1

    @property
    def _each(self) -> int:
        """So many ids have one number."""
        return -(-(self.last - self.first + 1) // (MAX_ID + 1))

    def text(self, number: int, *, upper: bool = False) -> str:
        """Return the first id of a number; the last one, for an upper bound."""
        return str(min(self.last, self.first + number * self._each + (self._each - 1) * upper))

    def number(self, text: str) -> int:
        """Return the number of an id."""
        if self.plain:
            return read_id(text)
        if re.fullmatch("0|[1-9][0-9]*", text, re.ASCII) and self.first <= int(text[:999]) <= self.last:
            return (int(text) - self.first) // self._each
        raise ValueError(f"{text!r} is no id from {self.first} to {self.last}")


@dataclass(frozen=True, slots=True)
class PaddedNumbers:
    """Numbers in text of one width, with zeros in front and perhaps a prefix, such as INV-000123.

    The service may compare them as text, which is the same order. A key of another width ends the walk with an error.

    >>> key = PaddedNumbers("InvoiceNo", 6, prefix="INV-")
    >>> key.text(123), key.number("INV-000123"), key.highest
    ('INV-000123', 123, 999999)
    >>> key.number("INV-0001234")
    Traceback (most recent call last):
    ...
    ValueError: 'INV-0001234' is not INV- and 6 digits

    Attributes:
        field: the column.
        digits: how many, from 1 to 9.
        prefix: what stands before them in every key.

    Raises:
        ValueError: more digits than the walk counts, or none.
    """

    field: str
    digits: int
    prefix: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.digits < len(str(MAX_ID)):
            raise ValueError(f"a padded number has 1 to {len(str(MAX_ID)) - 1} digits, not {self.digits}")

    @property
    def identity(self) -> str:
        """The same column: no two rows have one number."""
        return self.field

    @property
    def alone(self) -> bool:
        """True."""
        return True

    @property
    def highest(self) -> int:
        """The number with nines alone."""
        return int("9" * self.digits)

    def text(self, number: int, *, upper: bool = False) -> str:  # noqa: ARG002  both bounds look alike
        """Return the key of a number."""
        return f"{self.prefix}{number:0{self.digits}}"

    def number(self, text: str) -> int:
        """Return the number of a key."""
        digits = text.removeprefix(self.prefix)
        if self.prefix + digits == text and re.fullmatch(f"[0-9]{{{self.digits}}}", digits):
            return int(digits)
        raise ValueError(f"{text!r} is not {self.prefix} and {self.digits} digits")


@dataclass(frozen=True, slots=True)
class Times:
    """Moments from 1970 to 2106, counted in seconds; several rows may have one.

    >>> key = Times("ModifiedAt", "ContactId")
    >>> key.number("2024-05-01T10:00:00"), key.text(1714557600), key.number("2024-05-01T10:00:00.750")
    (1714557600, '2024-05-01T10:00:00', 1714557600)
    >>> Times("ModifiedAt", "ContactId", fractions=True).text(1714557600, upper=True)
    '2024-05-01T10:00:00.999999'
    >>> key = Times("ModifiedAt", "ContactId", utc=True)
    >>> key.number("2024-05-01T12:00:00+02:00"), key.text(1714557600)
    (1714557600, '2024-05-01T10:00:00Z')

    Attributes:
        field: the column, whose times are written as in ISO 8601.
        identity: another column, that no two rows share.
        utc: times carry their zone, and bounds are sent in UTC; False where they are all of one clock, whichever.
        fractions: the service keeps fractions of a second, so that an upper bound must have them.
    """

    field: str
    identity: str
    utc: bool = False
    fractions: bool = False

    @property
    def alone(self) -> bool:
        """False: several rows may be of one second."""
        return False

    @property
    def highest(self) -> int:
        """A second in 2106."""
        return MAX_ID

    def text(self, number: int, *, upper: bool = False) -> str:
        """Return a moment; an upper bound is the end of its second."""
        found = datetime.fromtimestamp(number, UTC).replace(tzinfo=None).isoformat()
        return found + ".999999" * (upper and self.fractions) + "Z" * self.utc

    def number(self, text: str) -> int:
        """Return the second of a moment."""
        moment = datetime.fromisoformat(text)
        if (moment.tzinfo is not None) != self.utc:
            raise ValueError(f"{text!r} has {'no' if self.utc else 'a'} zone: say so by utc={not self.utc}")
        seconds = int((moment if self.utc else moment.replace(tzinfo=UTC)).replace(microsecond=0).timestamp())
        if not 0 <= seconds <= MAX_ID:
            raise ValueError(f"{text!r} is not from 1970 to 2106")
        return seconds


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts over a declared alphabet, of a service that has no bounds, but can say which texts begin in some way.

    The walk tells them apart by their first characters, 9 of them where the alphabet has at most 9, else 4. Where more
    rows begin alike than a reply can hold, they cannot be parted. A key with a character from outside of the alphabet
    ends the walk with an error where it comes; but nothing is asked for that would bring it.

    >>> key = Texts("ArticleNo", "0123456789ABCDEF-")
    >>> key.number("A7-0004711"), key.text(11081701)
    (11081701, 'A7-0')
    >>> list(Texts("ArticleNo", "AB").beginnings(100_000_000, 219_999_999))
    [('starts with', 'A'), ('eq', 'B'), ('starts with', 'BA')]

    Attributes:
        field: the column.
        alphabet: the characters that keys are made of, in any order, at most 99.

    Raises:
        ValueError: the alphabet is empty, too large, or holds a character twice.
    """

    field: str
    alphabet: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.alphabet) <= MOST_CHARACTERS or len(set(self.alphabet)) < len(self.alphabet):
            raise ValueError(f"an alphabet is 1 to {MOST_CHARACTERS} different characters, not {self.alphabet!r}")

    @property
    def identity(self) -> str:
        """The same column: no two rows have one text."""
        return self.field

    @property
    def alone(self) -> bool:
        """False: keys that begin alike have one number."""
        return False

    @property
    def highest(self) -> int:
        """The number of the last character, again and again."""
        return self.number(self.alphabet[-1] * self._counted)

    @property
    def _digits(self) -> int:
        """For a character; 0, or 00, stands for the end of the text."""
        return len(str(len(self.alphabet)))

    @property
    def _counted(self) -> int:
        """How many characters the number of a key is made of."""
        return (len(str(MAX_ID)) - 1) // self._digits

    def number(self, text: str) -> int:
        """Return the number of a text."""
        if strange := sorted(set(text) - set(self.alphabet)):
            raise ValueError(f"{text!r} holds {strange[0]!r}, which is not in the alphabet {self.alphabet!r}")
        if not text:
            raise ValueError("'' is no key")
        codes = [f"{self.alphabet.index(one) + 1:0{self._digits}}" for one in text[: self._counted]]
        return int("".join(codes).ljust(self._counted * self._digits, "0"))

    def text(self, number: int, *, upper: bool = False) -> str:  # noqa: ARG002  for messages alone
        """Return how the keys of a number begin."""
        digits = f"{number:0{self._counted * self._digits}}"
        codes = (int(digits[place : place + self._digits]) for place in range(0, len(digits), self._digits))
        found = takewhile(lambda code: 0 < code <= len(self.alphabet), codes)
        return "".join(self.alphabet[code - 1] for code in found)

    def beginnings(self, first: int, last: int, head: str = "") -> Iterator[tuple[str, str]]:
        """Yield what to ask for to have all keys of some numbers, inclusive: "starts with" or "eq", and with what.

        `head` is what they begin with.
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
        for one in self.alphabet:
            yield from self.beginnings(first, last, head + one)
