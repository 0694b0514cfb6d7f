"""Samples: which ids of a list exist, approximately, from one or two calls before a wide window is requested.

What lives here: the patterns of a sample, and the conclusions from the ids that match them. Pure: no requests.

A sample matches ids by their last digits. Its kinds of pattern suit different tables, and together they match about one
id in 350, in one scan of the table:

- *singles*, four fixed digits at the end, 1,000 apart: one id in every thousand, so that no dense stretch of 1,000 ids
  is missed, and the number of rows in a stretch follows from how many of these ids exist. Their last digits all differ,
  because steps of `auto_increment` never produce some last digits.
- *blocks*, four fixed digits followed by one, two or three free ones: for any step between ids up to 1,000, some id
  matches the free digits.
- *gaps*, three fixed digits, three free ones and a fixed last one: for steps of 1,000 and more. The fixed last digit
  limits a dense block to 1,000 rows instead of 10,000.

Servers before 1.6 do not support `regexp`: four `like` queries replace it there. The digits differ from sample to
sample and depend on the position only, so that a resumed walk sends the same queries as an uninterrupted one.
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
"""Number of patterns of each kind; of blocks, for each number of free digits."""
FREE = (1, 2, 3)
"""Free digits of the blocks."""
FIXED = 4
"""Fixed digits of every pattern, without extra digits."""
MOST_ROWS = 9_000
"""Most rows that a sample should return."""
COARSE = 2
"""Extra digits of the first sample. It is 100 times smaller and shows how large the next one may be."""
ROWS_TO_COUNT = 1_000
"""Most rows of a sample that is taken to count rows. Where few matched, a larger sample is taken."""


def extra_digits(rows: int) -> int:
    """Return how many extra digits a sample needs, where one with `COARSE` extra digits returned that many rows.

    >>> extra_digits(0), extra_digits(80), extra_digits(800), extra_digits(8_000)
    (0, 0, 1, 2)
    """
    return next(
        extra for extra in range(COARSE + 1) if (rows + 3) * 10 ** (COARSE - extra) <= MOST_ROWS or extra == COARSE
    )


def fewer_digits(rows: int) -> int:
    """Return the extra digits (0, -1 or -2) that a sample needs to count rows, where one without any returned `rows`.

    >>> fewer_digits(0), fewer_digits(7), fewer_digits(8), fewer_digits(98)
    (-2, -2, -1, 0)
    """
    return next((extra for extra in (-2, -1) if (rows + 3) * 10**-extra <= ROWS_TO_COUNT), 0)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern of the last digits of an id.

    Attributes:
        digits: the digits, `.` for any digit.
        stands_for: number of rows that each matching id represents, where rows lie as this kind of pattern expects.
        kind: patterns of one kind are counted together.
    """

    digits: str
    stands_for: int
    kind: str

    @property
    def run(self) -> int:
        """Number of neighbouring ids that it may match together.

        >>> [Pattern(digits, 1_000, "").run for digits in ("0517", "4083..", "391...6", "..4.")]
        [1, 100, 1000, 10]
        """
        return int(10 ** self.digits.lstrip(".").count("."))

    def cluster(self, number: int) -> int:
        """Return a number that neighbouring ids matched together share."""
        return number // int(10 ** len(self.digits.lstrip(".").lstrip("0123456789")))

    def ids_matched(self, ids: IdRange) -> int:
        """Return how many ids of a range it matches, whether rows have them or not.

        >>> Pattern("05", 1, "").ids_matched(IdRange(0, 405)), Pattern("1.", 1, "").ids_matched(IdRange(12, 110))
        (4, 9)
        """
        return _matched_below(self.digits, ids.last + 1) - _matched_below(self.digits, ids.first)


def _matched_below(digits: str, limit: int) -> int:
    """Count the numbers below a limit that end in these digits; shorter numbers do not count."""
    cycles, rest = divmod(limit, 10 ** len(digits))
    shorter = min(limit, 10 ** (len(digits) - 1)) if len(digits) > 1 else 0
    return int(cycles * 10 ** digits.count(".")) + _tails_below(digits, rest) - _tails_below(digits, shorter)


def _tails_below(digits: str, limit: int) -> int:
    """Count the digit strings of the same length, leading zeros included, that match and are below a limit."""
    count = 0
    for place, (digit, limit_digit) in enumerate(zip(digits, f"{limit:0{len(digits)}d}", strict=True)):
        rest: int = 10 ** digits[place + 1 :].count(".")
        if digit == ".":
            count += int(limit_digit) * rest
        elif digit != limit_digit:
            return count + (rest if digit < limit_digit else 0)
    return count


def patterns(seed: str, extra: int = 0) -> tuple[Pattern, ...]:
    """Return the patterns of a sample.

    Args:
        seed: determines the digits.
        extra: number of additional fixed digits: each makes the sample ten times smaller. Down to -2: larger.

    >>> of_orders = patterns("orders/0")
    >>> [len(pattern.digits) for pattern in of_orders][::9], len("|".join(pattern.digits for pattern in of_orders))
    ([4, 4, 7, 7], 192)
    """
    random = Random(seed)  # noqa: S311  not a secret: only an even spread
    last = random.sample(range(10), 10)
    rows_per_id: int = 10 ** (3 + extra)

    def digits(count: int) -> str:
        return "".join(str(random.randrange(10)) for _ in range(count))

    def middle() -> str:
        return digits(min(2, 2 + extra))

    result = [
        Pattern(f"{digits(extra)}{number}{middle()}{last[number]}", rows_per_id, "single") for number in range(SINGLES)
    ]
    result += [
        Pattern(digits(FIXED + extra) + "." * free, 10 * rows_per_id // BLOCKS, f"block {free}")
        for free in FREE
        for _ in range(BLOCKS)
    ]
    first = random.sample(range(10), 10)
    result += [
        Pattern(f"{digits(extra)}{first[number]}{middle()}...{number}", rows_per_id, "gap") for number in range(GAPS)
    ]
    return tuple(result)


def like_patterns(seed: str, extra: int = 0, free: Iterable[int] = range(4)) -> tuple[Pattern, ...]:
    """Return the patterns of a sample by `like`, one call each. Each matches one id in a thousand.

    Args:
        seed: determines the digits.
        extra: as for `patterns`.
        free: for each pattern, the number of free digits at its end.

    >>> [pattern.digits for pattern in like_patterns("orders/0")]
    ['468', '152.', '398..', '496...']
    """
    random = Random(seed)  # noqa: S311  not a secret
    result = []
    for count in free:
        fixed = "".join(str(random.randrange(10)) for _ in range(3 + extra))
        result.append(Pattern(fixed + "." * count, 10 ** (3 + extra), f"like {count}"))
    return tuple(result)


NO_CORRECTION: Mapping[str, int] = MappingProxyType({})


def narrow_patterns(seed: str, free: int) -> tuple[Pattern, ...]:
    """Return the pattern that samples a tenth of the ids of a narrow decimal block; none for a wider block.

    >>> [pattern.stands_for for pattern in narrow_patterns("orders/0", 4)], narrow_patterns("orders/0", 5)
    ([10], ())
    """
    if free > FIXED:
        return ()
    digit = str(Random(seed).randrange(10))  # noqa: S311  not a secret
    return (Pattern("." * (free - 2) + digit + "."[: free - 1], 10, "narrow"),)


@dataclass(frozen=True, slots=True)
class Sample:
    """Result of a sample.

    Attributes:
        hits: the ids that exist, in order, each with the pattern that matched it; empty where rows carry no id.
        rows: number of rows that were returned.
        patterns: the patterns.
        block: the ids that were sampled, inclusive.
    """

    hits: tuple[tuple[int, Pattern], ...]
    rows: int
    patterns: tuple[Pattern, ...]
    block: IdRange = ALL

    @property
    def fraction(self) -> float:
        """The fraction of all ids that was sampled."""
        return float(sum(10.0 ** -sum(digit != "." for digit in pattern.digits) for pattern in self.patterns))

    @property
    def estimate(self) -> int:
        """Approximate number of rows, if they lie evenly."""
        return round(self.rows / self.fraction)

    def reach(self, position: int, rows: int, corrected: Mapping[str, int] = NO_CORRECTION) -> int:
        """Return the last id of a window, from a position on, that is expected to hold at most about `rows` rows.

        Args:
            position: the first id, inclusive.
            rows: the most rows to expect.
            corrected: for a kind of pattern, how many rows each id that it matched has represented so far.

        Each kind of pattern makes its own estimate, and the highest one counts: rows at even distances may be matched
        by one kind only.

        >>> single = Pattern("000", 1_000, "single")
        >>> dense = Sample(tuple((number, single) for number in range(5_000, 15_000, 1_000)), 10, (single,))
        >>> dense.reach(0, 4_000), dense.reach(9_500, 4_000), dense.reach(12_500, 4_000), dense.reach(0, 100)
        (8999, 13999, 4294967295, 4000)
        """
        hits: dict[str, int] = {}
        for number, pattern in self.hits[bisect_left(self.hits, position, key=itemgetter(0)) :]:
            stands_for = corrected.get(pattern.kind, pattern.stands_for)
            most_hits = rows // stands_for
            hits[pattern.kind] = hits.get(pattern.kind, 0) + 1
            if most_hits == 0:  # the rows that this id represents begin somewhere before it
                return max(position, number - stands_for)
            if hits[pattern.kind] > most_hits:
                return max(position, number - 1)
        return MAX_ID

    def hits_in(self, ids: IdRange) -> tuple[tuple[int, Pattern], ...]:
        """Return the hits in a range of ids."""
        first, after = (bisect_left(self.hits, end, key=itemgetter(0)) for end in (ids.first, ids.last + 1))
        return self.hits[first:after]


def sample(tokens: Iterable[Token], by: Sequence[Pattern], block: IdRange | None = None) -> Sample:
    """Return the result of a sample of a block of ids, or of all ids, from the identifiers of the returned rows.

    >>> result = sample([70_624, 5, "100000014"], [Pattern("624", 1_000, "single")])
    >>> result.hits, result.rows, result.fraction
    (((70624, Pattern(digits='624', stands_for=1000, kind='single')),), 3, 0.001)
    """
    rows = list(tokens)
    hits = [(token, pattern) for token in rows if isinstance(token, int) for pattern in matching(token, by)]
    return Sample(tuple(sorted(hits, key=itemgetter(0))), len(rows), tuple(by), block or ALL)


def matching(number: int, among: Iterable[Pattern]) -> list[Pattern]:
    """Return the patterns that an id matches.

    >>> matching(70_624, [Pattern("624", 1_000, "single"), Pattern("873.", 1_000, "block 1")])
    [Pattern(digits='624', stands_for=1000, kind='single')]
    """
    text = str(number)
    return [pattern for pattern in among if re.fullmatch(pattern.digits, text[-len(pattern.digits) :])]


def head_of(block: IdRange) -> tuple[str, int]:
    """Return the common first digits of the ids of a block, as a regular expression, and how many free digits follow.

    Args:
        block: a decimal block, all ids of one length, or neighbouring tenths of one of these.

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


def regexp_query(key: str, by: Sequence[Pattern], block: IdRange | None = None, known: str = "") -> Query:
    """Return the query that samples by all patterns.

    Args:
        key: the name of the key in filters.
        by: the patterns.
        block: only these ids, see `head_of`; None for ids of every length.
        known: a pattern of ids of which some exist, so that the reply shows whether the server reads the regexp.

    >>> few = [Pattern("624", 1_000, ""), Pattern("873.", 1_000, "")]
    >>> str(regexp_query("entity_id", few)), str(regexp_query("entity_id", few, IdRange(120_000, 129_999), "19."))
    ("entity_id regexp '^.*(624|873.)$'", "entity_id regexp '^(12(.624|873.)|19.)$'")
    """
    head, tails = ".*", [pattern.digits for pattern in by]
    if block is not None:
        head, free = head_of(block)
        tails = ["." * (free - len(tail)) + tail for tail in tails if len(tail) <= free]
    sampled = f"{head}({'|'.join(tails)})"
    regexp = f"^({sampled}|{known})$" if known else f"^{sampled}$"
    return Query((Condition(key, "regexp", regexp),), IdRange(0, MAX_ID))


def like_query(key: str, pattern: Pattern, block: IdRange | None = None) -> Query:
    """Return the query that samples by one pattern.

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
