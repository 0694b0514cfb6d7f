"""How many rows there are, about, and how sure that is: what follows from samples. Pure.

Each pattern of a sample is a replicate: it looks at its own ids, and how far the patterns differ says how far off all
of them may be. A pattern that meets many neighbours at once tells little more by them than by one, and counts the
less. Where hardly any row was met the patterns cannot differ, so as many rows are allowed for as may hide from them: of
three in a sample, none is met in one case of twenty.

Rows that lie at even distances, of 100 or 1,000, are met by patterns of one kind all or never. Then the kinds disagree
by more than chance, and the bar reaches over what each of them says.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import hypot, sqrt
from typing import TYPE_CHECKING, NamedTuple

from magento_pager.walk.ranges import MAX_ID, IdRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magento_pager.walk.sampling import Pattern, Sample

EVENLY = frozenset({"single", "like 0"})
"""Kinds of patterns whose hits lie as the rows do, none of them beside another."""
HIDDEN = 3.0  # of so many rows in a sample none is met in one case of twenty
FEW = 4  # patterns, as of samples by `like`
SURE = 3.0  # standard errors beyond which kinds of patterns disagree


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was sampled.

    Attributes:
        about: the best guess.
        least: the low end of the bar.
        most: its high end; all three are the same where the number is known.

    >>> print(Estimate(98_213, 90_214, 105_871), Estimate(7, 7, 7), sep="; ")
    about 98,000 (between 90,200 and 106,000); 7
    """

    about: int
    least: int
    most: int

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.about:,}"
        least, most = rounded(self.least, up=False), rounded(self.most, up=True)
        return f"about {rounded(self.about):,} (between {least:,} and {most:,})"


def rounded(number: int, *, up: bool | None = None) -> int:
    """The nearest number of two significant digits, or the next of three down or up.

    >>> rounded(98_213), rounded(98_213, up=True), rounded(98_813, up=False), rounded(7)
    (98000, 98300, 98800, 7)
    """
    power: int = 10 ** max(0, len(str(number)) - (2 if up is None else 3))
    if up is None:
        return (number + power // 2) // power * power
    return -(-number // power) * power if up else number // power * power


class Met(NamedTuple):
    """What one pattern met in a stretch of ids.

    Attributes:
        kind: patterns of one kind say together how many rows there are.
        run: how many neighbours the pattern meets at once, if all of them exist.
        looked_at: how many ids it matches there.
        hits: how many of them exist.
        squares: the sum of the squares of how many it met at once.
    """

    kind: str
    run: int
    looked_at: int
    hits: float
    squares: float


class Guess(NamedTuple):
    """How many rows a cell has.

    Attributes:
        about: the best guess.
        variance: of it.
        hidden: so many may hide from all patterns.
        fewer: than about, as some kinds of patterns say.
        more: than about, likewise.
    """

    about: float
    variance: float = 0.0
    hidden: float = 0.0
    fewer: float = 0.0
    more: float = 0.0


def estimated(samples: Sequence[Sample], unknown: Sequence[IdRange]) -> Estimate:
    """Say how many rows there are among the ids that were not looked at one by one.

    Args:
        samples: of blocks that have no id in common, or of the same block by patterns of other kinds.
        unknown: ids, in order, each range inclusive. What lies in no block has no rows that are known of.

    >>> from magento_pager.walk.sampling import matching, patterns, sample
    >>> of = patterns("orders/0")
    >>> found = sample((number for number in range(1_000, 98_213) if matching(number, of)), of)
    >>> estimated([found], [IdRange(1_000, MAX_ID)])
    Estimate(about=98032, least=92802, most=103262)
    """
    guesses = []
    for block in dict.fromkeys(one.block for one in samples):
        of_block = [one for one in samples if one.block == block]
        for length in range(1, len(str(MAX_ID)) + 1):
            ids = IdRange(10 ** (length - 1) if length > 1 else 0, min(10**length - 1, MAX_ID)).intersection(block)
            parts = [part for stretch in unknown if ids and (part := ids.intersection(stretch))]
            if ids and parts:
                guesses.append(_guessed(of_block, ids, parts))
    about = sum(one.about for one in guesses)
    error = 2 * sqrt(sum(one.variance for one in guesses)) + max((one.hidden for one in guesses), default=0.0)
    least, most = about - error - sum(one.fewer for one in guesses), about + error + sum(one.more for one in guesses)
    highest = sum(map(len, unknown))
    return Estimate(min(round(about), highest), max(0, round(least)), min(round(most), highest))


def placed(samples: Sequence[Sample], ids: IdRange) -> tuple[list[int], float]:
    """Return ids of rows, in order, that stand for equally many rows each, and for how many.

    Args:
        samples: as for `estimated`, of rows with ids.
        ids: where to look, inclusive.
    """
    rows = estimated(samples, [ids]).about
    found: dict[str, list[tuple[int, Pattern]]] = {}
    for number, pattern in (hit for one in samples for hit in one.hits if hit[0] in ids):
        found.setdefault(pattern.kind, []).append((number, pattern))
    even = [hit for kind in EVENLY for hit in found.get(kind, [])]
    if sum(pattern.stands_for for _, pattern in even) < rows / 2:  # these miss rows at even distances
        even = max(
            found.values(),
            key=lambda hits: len({(pattern, pattern.cluster(number)) for number, pattern in hits}),
            default=[],
        )
    return sorted(number for number, _ in even), rows / max(1, len(even))


def _guessed(samples: Sequence[Sample], ids: IdRange, parts: Sequence[IdRange]) -> Guess:
    """What samples of a block say of some of its ids, which are all of one length."""
    size = sum(map(len, parts))
    if any(one.rows and not one.hits for one in samples):
        met, rows = [], sum(one.rows for one in samples)
        sampled = sum(pattern.ids_matched(ids) for one in samples for pattern in one.patterns)
        density = rows / sampled if sampled else 0.0
        for place, one in enumerate(samples):
            looked_at = sum(pattern.ids_matched(ids) for pattern in one.patterns)
            each = one.rows / looked_at if looked_at else 0.0
            for pattern in one.patterns:
                count = pattern.ids_matched(ids)
                at_once = max(min(10, pattern.run), pattern.run * density)  # nobody sees how many
                met.append(Met(str(place), pattern.run, count, count * each, count * each * at_once))
        guess = guessed(len(ids), [one for one in met if one.looked_at], numbered=False)
        share = size / len(ids)
        if share == 1:
            return guess
        most = guess.about + guess.more + guess.hidden + 2 * sqrt(guess.variance)  # all may lie in these ids, or none
        return Guess(guess.about * share, fewer=guess.about * share, more=most - guess.about * share)
    found: dict[Pattern, Counter[int]] = {pattern: Counter() for one in samples for pattern in one.patterns}
    for number, pattern in (hit for one in samples for hit in one.hits):
        if any(number in part for part in parts):
            found[pattern][pattern.cluster(number)] += 1
    met = [
        Met(pattern.kind, pattern.run, count, clusters.total(), sum(hits**2 for hits in clusters.values()))
        for pattern, clusters in found.items()
        if (count := sum(map(pattern.ids_matched, parts)))
    ]
    return guessed(size, met, numbered=True)


def guessed(size: int, met: Sequence[Met], *, numbered: bool) -> Guess:
    """Say how many rows there are among some ids.

    Args:
        size: how many ids.
        met: what each pattern met that looked at some of them.
        numbered: True where it is known which pattern met a row.

    Two kinds that agree, and two that do not:

    >>> singles = [Met("single", 1, 90, 9, 9)] * 9
    >>> [round(part) for part in guessed(9_000, [*singles, Met("block", 100, 200, 20, 40)], numbered=True)]
    [900, 0, 30, 0, 0]
    >>> [round(part) for part in guessed(9_000, [*singles, Met("block", 100, 200, 90, 90)], numbered=True)]
    [4050, 13578, 27, 3450, 1281]
    """
    kinds: dict[str, list[Met]] = {}
    for one in met:
        kinds.setdefault(one.kind, []).append(one)
    weighted = [
        (1 / (_at_once(group) if numbered else max(one.run for one in group)), one)
        for group in kinds.values()
        for one in group
    ]
    looked_at = sum(weight * one.looked_at for weight, one in weighted)
    if not looked_at:
        return Guess(0.0, hidden=size)
    scale, count = size / looked_at, len(weighted)
    about = scale * sum(weight * one.hits for weight, one in weighted)
    variance = scale**2 * sum(weight**2 * one.squares for weight, one in weighted)  # as if they were scattered
    if numbered and count > 1:
        few = (1 + 2 / (count - 1)) ** 2 * count / (count - 1)  # replicates know little of their own spread
        between = sum((weight * (one.hits - about / size * one.looked_at)) ** 2 for weight, one in weighted)
        # Many patterns have all last digits: where ids of each are not as many, they differ more than all of them err.
        variance = (min if count > FEW else max)(variance, scale**2 * few * between)
    own = []  # what each kind says alone: rows, the error of that, ids met at once if all exist, and hits that tell
    for group in kinds.values():
        each, hits = size / sum(one.looked_at for one in group), sum(one.hits for one in group)
        error = each * (SURE * sqrt(sum(one.squares for one in group)) if hits else HIDDEN * _at_once(group))
        own.append((each * hits, error, group[0].run, hits / _at_once(group)))
    hidden = HIDDEN * scale
    if not any(abs(rows - about) > hypot(error, SURE * sqrt(variance)) for rows, error, _, _ in own):
        return Guess(about, variance, hidden)
    # The widest patterns meet rows at any distance; but where rows carry no ids, nobody sees how many at once.
    best = max((one for one in own if one[0]), key=lambda one: (one[2] if numbered else -one[2], one[3]))[0]
    low = min(rows - error if rows else 0.0 for rows, error, _, _ in own if rows or best > error)
    high = max(rows + error for rows, error, _, _ in own if rows)
    return Guess(best, variance, hidden, max(0.0, best - low), max(0.0, high - best))


def _at_once(group: Sequence[Met]) -> float:
    """How many ids a kind of pattern meets at once; as many as there can be, where it met none."""
    hits = sum(one.hits for one in group)
    return sum(one.squares for one in group) / hits if hits else group[0].run
