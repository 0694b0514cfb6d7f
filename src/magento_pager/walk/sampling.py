"""Thin samples: which ids of a list exist, about, from a call or two, before a wide window is asked for.

What lives here: the patterns, and what follows from the ids they bring. Pure: nothing is asked here.

A sample takes the ids that end in one of some fixed digits. Its four kinds of pattern are made for four kinds of
tables, and together they bring about one id in 350, in one scan of the table:

- *singles*, four fixed digits at the end, 1,000 apart: one id in every thousand, so that no dense stretch of 1,000 ids
  is missed, and the number of rows in a stretch follows from how many of them exist. Their last digits are all
  different, since `auto_increment` steps leave whole residues empty.
- *blocks*, four fixed digits and one, two or three free ones behind them: whatever the step between ids is, up to
  1,000, the free digits meet it.
- *gaps*, three fixed digits, three free ones and a fixed last one: steps of 1,000 and more, where an aligned
  dense block answers with 1,000 rows and not with 10,000.

Servers before 1.6 know no `regexp`: four `like` stand for it there. Digits differ from sample to sample, and follow
from where it is taken, so that a resumed walk asks what an uninterrupted one asks.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from operator import itemgetter
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING

from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import MAX_ID, IdRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from magento_pager.walk.pages import Token

ALL = IdRange(0, MAX_ID)
SINGLES, GAPS, BLOCKS = 10, 10, 3
"""How many patterns there are of each kind; of blocks, for each number of free digits."""
FREE = (1, 2, 3)
"""Free digits of the blocks."""
FIXED = 4
"""Fixed digits of every pattern, in the thickest sample."""
MOST_ROWS = 9_000
"""Rows that a sample should bring at most."""
THIN = 2
"""A first sample is so many powers of ten thinner: it tells how thick the one that counts may be."""
TELLING = 1_000
"""Rows that a sample brings at most which is taken to count them: a thicker one is taken where few came."""


def thickness(rows: int) -> int:
    """Return how thin a sample must be, in powers of ten, where one that was `THIN` brought so many rows.

    >>> thickness(0), thickness(80), thickness(800), thickness(8_000)
    (0, 0, 1, 2)
    """
    return next(thin for thin in range(THIN + 1) if (rows + 3) * 10 ** (THIN - thin) <= MOST_ROWS or thin == THIN)


def thicker(rows: int) -> int:
    """Return how much thicker than the thickest a sample must be to count rows, where that brought so many.

    >>> thicker(0), thicker(7), thicker(8), thicker(98)
    (-2, -2, -1, 0)
    """
    return next((thin for thin in (-2, -1) if (rows + 3) * 10**-thin <= TELLING), 0)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern of the last digits of an id.

    Attributes:
        digits: the digits, `.` where any will do.
        stands_for: how many rows each matching id stands for, where rows lie as this kind of pattern expects them.
        kind: patterns of one kind are counted together.
    """

    digits: str
    stands_for: int
    kind: str

    @property
    def run(self) -> int:
        """How many neighbours it may meet at once.

        >>> [Pattern(digits, 1_000, "").run for digits in ("0517", "4083..", "391...6", "..4.")]
        [1, 100, 1000, 10]
        """
        return int(10 ** self.digits.lstrip(".").count("."))

    def cluster(self, number: int) -> int:
        """Return what ids that it may meet at once have in common."""
        return number // int(10 ** len(self.digits.lstrip(".").lstrip("0123456789")))

    def looked_at(self, ids: IdRange) -> int:
        """Return how many ids of a range it matches, rows or not.

        >>> Pattern("05", 1, "").looked_at(IdRange(0, 405)), Pattern("1.", 1, "").looked_at(IdRange(12, 110))
        (4, 9)
        """
        return _matched_below(self.digits, ids.last + 1) - _matched_below(self.digits, ids.first)


def _matched_below(digits: str, limit: int) -> int:
    """Count the numbers below a limit that end so; shorter numbers do not."""
    cycles, rest = divmod(limit, 10 ** len(digits))
    shorter = min(limit, 10 ** (len(digits) - 1)) if len(digits) > 1 else 0
    return int(cycles * 10 ** digits.count(".")) + _tails_below(digits, rest) - _tails_below(digits, shorter)


def _tails_below(digits: str, limit: int) -> int:
    """Count the tails of as many digits, leading zeros included, that match and are below a limit."""
    count = 0
    for place, (digit, of_limit) in enumerate(zip(digits, f"{limit:0{len(digits)}d}", strict=True)):
        rest: int = 10 ** digits[place + 1 :].count(".")
        if digit == ".":
            count += int(of_limit) * rest
        elif digit != of_limit:
            return count + (rest if digit < of_limit else 0)
    return count


def patterns(seed: str, thin: int = 0) -> tuple[Pattern, ...]:
    """Return the patterns of a sample.

    Args:
        seed: decides the digits.
        thin: how many more digits are fixed, so that a sample is as many powers of ten thinner; fewer, down to -2,
            so that it is thicker.

    >>> found = patterns("orders/0")
    >>> [len(one.digits) for one in found][::9], len("|".join(one.digits for one in found))
    ([4, 4, 7, 7], 192)
    """
    random = Random(seed)  # noqa: S311  no secret: an even spread
    last = random.sample(range(10), 10)
    each: int = 10 ** (3 + thin)

    def digits(count: int) -> str:
        return "".join(str(random.randrange(10)) for _ in range(count))

    def between() -> str:
        return digits(min(2, 2 + thin))

    found = [Pattern(f"{digits(thin)}{number}{between()}{last[number]}", each, "single") for number in range(SINGLES)]
    found += [
        Pattern(digits(FIXED + thin) + "." * free, 10 * each // BLOCKS, f"block {free}")
        for free in FREE
        for _ in range(BLOCKS)
    ]
    first = random.sample(range(10), 10)
    found += [Pattern(f"{digits(thin)}{first[number]}{between()}...{number}", each, "gap") for number in range(GAPS)]
    return tuple(found)


def like_patterns(seed: str, thin: int = 0, free: Iterable[int] = range(4)) -> tuple[Pattern, ...]:
    """Return the patterns of a sample by `like`, one call each: one id in a thousand by each.

    Args:
        seed: decides the digits.
        thin: as for `patterns`.
        free: digits at the end of each that may be any.

    >>> [one.digits for one in like_patterns("orders/0")]
    ['468', '152.', '398..', '496...']
    """
    random = Random(seed)  # noqa: S311  no secret
    found = []
    for count in free:
        fixed = "".join(str(random.randrange(10)) for _ in range(3 + thin))
        found.append(Pattern(fixed + "." * count, 10 ** (3 + thin), f"like {count}"))
    return tuple(found)


NOTHING_LEARNT: Mapping[str, int] = MappingProxyType({})


def narrow_patterns(seed: str, free: int) -> tuple[Pattern, ...]:
    """Return the one pattern of a sample of a narrow decimal block, a tenth of its ids; none where it is not narrow.

    >>> [one.stands_for for one in narrow_patterns("orders/0", 4)], narrow_patterns("orders/0", 5)
    ([10], ())
    """
    if free > FIXED:
        return ()
    digit = str(Random(seed).randrange(10))  # noqa: S311  no secret
    return (Pattern("." * (free - 2) + digit + "."[: free - 1], 10, "narrow"),)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a sample has shown of the ids of a list.

    Attributes:
        hits: the ids that exist, in order, each with the pattern by which it came; empty where rows carry no id.
        rows: how many rows came by it.
        of: the patterns.
        block: the ids that were sampled, inclusive.
    """

    hits: tuple[tuple[int, Pattern], ...]
    rows: int
    of: tuple[Pattern, ...]
    block: IdRange = ALL

    @property
    def fraction(self) -> float:
        """So many of all ids were looked at."""
        return float(sum(10.0 ** -sum(digit != "." for digit in one.digits) for one in self.of))

    @property
    def estimate(self) -> int:
        """Rows there are, about, where they lie evenly."""
        return round(self.rows / self.fraction)

    def reach(self, position: int, rows: int, worth: Mapping[str, int] = NOTHING_LEARNT) -> int:
        """Return the last id up to which hardly more rows than that are to be expected, from a position on.

        Args:
            position: the first id, inclusive.
            rows: the most that may be expected.
            worth: for a kind of pattern, how many rows each id that it met stood for so far.

        Each kind of pattern makes its own estimate, and the highest counts: rows that lie evenly at some distance may
        be met by one kind alone.

        >>> single = Pattern("000", 1_000, "single")
        >>> dense = Sample(tuple((number, single) for number in range(5_000, 15_000, 1_000)), 10, (single,))
        >>> dense.reach(0, 4_000), dense.reach(9_500, 4_000), dense.reach(12_500, 4_000), dense.reach(0, 100)
        (8999, 13999, 4294967295, 4000)
        """
        seen: dict[str, int] = {}
        for number, pattern in self.hits[bisect_left(self.hits, position, key=itemgetter(0)) :]:
            stands_for = worth.get(pattern.kind, pattern.stands_for)
            bearable = rows // stands_for
            seen[pattern.kind] = seen.get(pattern.kind, 0) + 1
            if bearable == 0:  # the stretch that this id stands for begins somewhere before it
                return max(position, number - stands_for)
            if seen[pattern.kind] > bearable:
                return max(position, number - 1)
        return MAX_ID

    def hits_in(self, ids: IdRange) -> tuple[tuple[int, Pattern], ...]:
        """Return the hits in a range of ids."""
        first, after = (bisect_left(self.hits, end, key=itemgetter(0)) for end in (ids.first, ids.last + 1))
        return self.hits[first:after]


def sample(tokens: Iterable[Token], of: Sequence[Pattern], block: IdRange | None = None) -> Sample:
    """Return what the rows that came by some patterns show, of a block of ids or of all.

    >>> found = sample([70_624, 5, "100000014"], [Pattern("624", 1_000, "single")])
    >>> found.hits, found.rows, found.fraction
    (((70624, Pattern(digits='624', stands_for=1000, kind='single')),), 3, 0.001)
    """
    found = list(tokens)
    hits = [(token, pattern) for token in found if isinstance(token, int) for pattern in matching(token, of)]
    return Sample(tuple(sorted(hits, key=itemgetter(0))), len(found), tuple(of), block or ALL)


def matching(number: int, among: Iterable[Pattern]) -> list[Pattern]:
    """Return the patterns that an id matches.

    >>> matching(70_624, [Pattern("624", 1_000, "single"), Pattern("873.", 1_000, "block 1")])
    [Pattern(digits='624', stands_for=1000, kind='single')]
    """
    text = str(number)
    return [one for one in among if re.fullmatch(one.digits, text[-len(one.digits) :])]


def head_of(block: IdRange) -> tuple[str, int]:
    """Return what the ids of a block begin with, as a regular expression, and how many free digits follow.

    Args:
        block: a decimal block, all ids of one length, or a run of neighbouring tenths of one of these.

    >>> head_of(IdRange(120_000, 129_999)), head_of(IdRange(1_000, 9_999)), head_of(IdRange(125_000, 129_999))
    (('12', 4), ('', 4), ('12[5-9]', 3))
    """
    head, digits = block.prefix(), len(str(block.first))
    free = digits - len(head)
    if free == 0:
        return head, 0
    low, high = str(block.first)[len(head)], str(block.last)[len(head)]
    if high == "9" and low == ("0" if head else "1" if digits > 1 else "0"):
        return head, free
    return f"{head}[{low}-{high}]", free - 1


def regexp_query(key: str, of: Sequence[Pattern], block: IdRange | None = None, witness: str = "") -> Query:
    """Return the one call that samples by all patterns.

    Args:
        key: what filters call the key.
        of: the patterns.
        block: only these ids, see `head_of`; None for ids of every length.
        witness: a pattern of ids of which some are known to exist, so that the reply shows whether it was understood.

    >>> few = [Pattern("624", 1_000, ""), Pattern("873.", 1_000, "")]
    >>> str(regexp_query("entity_id", few)), str(regexp_query("entity_id", few, IdRange(120_000, 129_999), "19."))
    ("entity_id regexp '^.*(624|873.)$'", "entity_id regexp '^(12(.624|873.)|19.)$'")
    """
    head, tails = ".*", [one.digits for one in of]
    if block is not None:
        head, free = head_of(block)
        tails = ["." * (free - len(tail)) + tail for tail in tails if len(tail) <= free]
    sampled = f"{head}({'|'.join(tails)})"
    pattern = f"^({sampled}|{witness})$" if witness else f"^{sampled}$"
    return Query((Condition(key, "regexp", pattern),), IdRange(0, MAX_ID))


def like_query(key: str, pattern: Pattern, block: IdRange | None = None) -> Query:
    """Return the call that samples by one pattern.

    >>> pattern = Pattern("873.", 1_000, "")
    >>> str(like_query("entity_id", pattern)), str(like_query("entity_id", pattern, IdRange(120_000, 129_999)))
    ("entity_id like '%873_'", "entity_id like '12873_'")
    """
    head = "%"
    if block is not None:
        head = block.prefix()
        head += "_" * (len(str(block.first)) - len(head) - len(pattern.digits))
    like = head + pattern.digits.replace(".", "_")
    return Query((Condition(key, "like", like),), IdRange(0, MAX_ID))
