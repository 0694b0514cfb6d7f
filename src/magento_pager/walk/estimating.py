"""Estimates of the number of rows, with their error, computed from samples. Pure.

Each pattern of a sample is a replicate: it matches its own ids, and the differences between the patterns show how far
off all of them may be. A pattern that matches many neighbouring ids at once learns little more from them than from one,
so it has less weight. Where hardly any row was found the patterns cannot differ, so the error allows for hidden rows:
of three rows in a sample, none is found in one case in twenty.

Rows at even distances, of 100 or 1,000, are found by patterns of one kind either all or never. Then the kinds disagree
by more than chance, and the interval covers the result of each of them.
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

EVEN_KINDS = frozenset({"single", "like 0"})
"""Kinds of patterns whose hits are spread like the rows: they never match neighbouring ids."""
HIDDEN = 3.0  # of this many rows in a sample none is found in one case in twenty
FEW = 4  # patterns, as in samples by `like`
SURE = 3.0  # standard errors beyond which kinds of patterns disagree


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number estimated from samples.

    Attributes:
        about: the best estimate.
        least: the low end of the interval.
        most: its high end. All three are equal if the number is known.

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
    """Round to the nearest number of two significant digits, or down or up to three.

    >>> rounded(98_213), rounded(98_213, up=True), rounded(98_813, up=False), rounded(7)
    (98000, 98300, 98800, 7)
    """
    power: int = 10 ** max(0, len(str(number)) - (2 if up is None else 3))
    if up is None:
        return (number + power // 2) // power * power
    return -(-number // power) * power if up else number // power * power


class PatternHits(NamedTuple):
    """Hits of one pattern in a range of ids.

    Attributes:
        kind: the kind of the pattern; the patterns of a kind form one estimate.
        run: number of neighbouring ids that the pattern matches at once.
        matched: number of ids that it matches in the range.
        hits: number of these ids that exist.
        squares: sum of the squares of the hits in each run.
    """

    kind: str
    run: int
    matched: int
    hits: float
    squares: float


class Guess(NamedTuple):
    """Estimated number of rows in some ids of one length.

    Attributes:
        about: the best estimate.
        variance: the variance of the estimate.
        hidden: number of rows that all patterns may have missed.
        fewer: by how much some kinds of patterns are below `about`.
        more: by how much some kinds of patterns are above `about`.
    """

    about: float
    variance: float = 0.0
    hidden: float = 0.0
    fewer: float = 0.0
    more: float = 0.0


def estimated(samples: Sequence[Sample], unknown: Sequence[IdRange]) -> Estimate:
    """Estimate the number of rows among ids that were not read.

    Args:
        samples: samples of blocks without common ids, or of the same block by other kinds of patterns.
        unknown: the ids, as inclusive ranges in order. Ids outside all blocks count as having no rows.

    >>> from magento_pager.walk.sampling import matching, patterns, sample
    >>> tried = patterns("orders/0")
    >>> result = sample((number for number in range(1_000, 98_213) if matching(number, tried)), tried)
    >>> estimated([result], [IdRange(1_000, MAX_ID)])
    Estimate(about=98032, least=92802, most=103262)
    """
    guesses = []
    for block in dict.fromkeys(sample.block for sample in samples):
        of_block = [sample for sample in samples if sample.block == block]
        for length in range(1, len(str(MAX_ID)) + 1):
            ids = IdRange(10 ** (length - 1) if length > 1 else 0, min(10**length - 1, MAX_ID)).intersection(block)
            parts = [part for stretch in unknown if ids and (part := ids.intersection(stretch))]
            if ids and parts:
                guesses.append(_guessed(of_block, ids, parts))
    about = sum(guess.about for guess in guesses)
    error = 2 * sqrt(sum(guess.variance for guess in guesses)) + max((guess.hidden for guess in guesses), default=0.0)
    least = about - error - sum(guess.fewer for guess in guesses)
    most = about + error + sum(guess.more for guess in guesses)
    highest = sum(map(len, unknown))
    return Estimate(min(round(about), highest), max(0, round(least)), min(round(most), highest))


def placed(samples: Sequence[Sample], ids: IdRange) -> tuple[list[int], float]:
    """Return sampled ids in order that each represent the same number of rows, and that number.

    Args:
        samples: as in `estimated`, of rows with ids.
        ids: the range of ids to return, inclusive.
    """
    rows = estimated(samples, [ids]).about
    by_kind: dict[str, list[tuple[int, Pattern]]] = {}
    for number, pattern in (hit for sample in samples for hit in sample.hits if hit[0] in ids):
        by_kind.setdefault(pattern.kind, []).append((number, pattern))
    even = [hit for kind in EVEN_KINDS for hit in by_kind.get(kind, [])]
    if sum(pattern.stands_for for _, pattern in even) < rows / 2:  # these kinds miss rows at even distances
        even = max(
            by_kind.values(),
            key=lambda hits: len({(pattern, pattern.cluster(number)) for number, pattern in hits}),
            default=[],
        )
    return sorted(number for number, _ in even), rows / max(1, len(even))


def _guessed(samples: Sequence[Sample], ids: IdRange, parts: Sequence[IdRange]) -> Guess:
    """Estimate the rows among some ids of one length from samples of their block."""
    size = sum(map(len, parts))
    if any(sample.rows and not sample.hits for sample in samples):
        counts, rows = [], sum(sample.rows for sample in samples)
        sampled = sum(pattern.ids_matched(ids) for sample in samples for pattern in sample.patterns)
        density = rows / sampled if sampled else 0.0
        for place, sample in enumerate(samples):
            matched = sum(pattern.ids_matched(ids) for pattern in sample.patterns)
            rows_per_id = sample.rows / matched if matched else 0.0
            for pattern in sample.patterns:
                count = pattern.ids_matched(ids)
                hits = count * rows_per_id
                at_once = max(min(10, pattern.run), pattern.run * density)  # unknown without ids
                counts.append(PatternHits(str(place), pattern.run, count, hits, hits * at_once))
        guess = guessed(len(ids), [count for count in counts if count.matched], numbered=False)
        fraction = size / len(ids)
        if fraction == 1:
            return guess
        most = (
            guess.about + guess.more + guess.hidden + 2 * sqrt(guess.variance)
        )  # these ids may have all rows, or none
        return Guess(guess.about * fraction, fewer=guess.about * fraction, more=most - guess.about * fraction)
    clusters_of: dict[Pattern, Counter[int]] = {pattern: Counter() for sample in samples for pattern in sample.patterns}
    for number, pattern in (hit for sample in samples for hit in sample.hits):
        if any(number in part for part in parts):
            clusters_of[pattern][pattern.cluster(number)] += 1
    counts = [
        PatternHits(pattern.kind, pattern.run, matched, clusters.total(), sum(hits**2 for hits in clusters.values()))
        for pattern, clusters in clusters_of.items()
        if (matched := sum(map(pattern.ids_matched, parts)))
    ]
    return guessed(size, counts, numbered=True)


def guessed(size: int, counts: Sequence[PatternHits], *, numbered: bool) -> Guess:
    """Estimate the number of rows among some ids.

    Args:
        size: the number of ids.
        counts: the hits of each pattern that matches some of these ids.
        numbered: True where the pattern that found each row is known.

    Two kinds that agree, and two that do not:

    >>> singles = [PatternHits("single", 1, 90, 9, 9)] * 9
    >>> [round(part) for part in guessed(9_000, [*singles, PatternHits("block", 100, 200, 20, 40)], numbered=True)]
    [900, 0, 30, 0, 0]
    >>> [round(part) for part in guessed(9_000, [*singles, PatternHits("block", 100, 200, 90, 90)], numbered=True)]
    [4050, 13578, 27, 3450, 1281]
    """
    kinds: dict[str, list[PatternHits]] = {}
    for count in counts:
        kinds.setdefault(count.kind, []).append(count)
    weighted = [
        (1 / (_at_once(group) if numbered else max(count.run for count in group)), count)
        for group in kinds.values()
        for count in group
    ]
    matched = sum(weight * count.matched for weight, count in weighted)
    if not matched:
        return Guess(0.0, hidden=size)
    scale, replicates = size / matched, len(weighted)
    about = scale * sum(weight * count.hits for weight, count in weighted)
    variance = scale**2 * sum(weight**2 * count.squares for weight, count in weighted)  # as if rows were scattered
    if numbered and replicates > 1:
        few = (
            (1 + 2 / (replicates - 1)) ** 2 * replicates / (replicates - 1)
        )  # few replicates underestimate their spread
        between = sum((weight * (count.hits - about / size * count.matched)) ** 2 for weight, count in weighted)
        # Many patterns cover all last digits: if some digits are rarer, patterns differ more than their sum errs.
        variance = (min if replicates > FEW else max)(variance, scale**2 * few * between)
    results = []  # of each kind alone: rows, their error, the length of a run, and the number of independent hits
    for group in kinds.values():
        factor, hits = size / sum(count.matched for count in group), sum(count.hits for count in group)
        error = factor * (SURE * sqrt(sum(count.squares for count in group)) if hits else HIDDEN * _at_once(group))
        results.append((factor * hits, error, group[0].run, hits / _at_once(group)))
    hidden = HIDDEN * scale
    if not any(abs(rows - about) > hypot(error, SURE * sqrt(variance)) for rows, error, _, _ in results):
        return Guess(about, variance, hidden)
    # The widest patterns find rows at any distance; but without ids the number found at once is unknown.
    nonzero = [result for result in results if result[0]]
    best = max(nonzero, key=lambda result: (result[2] if numbered else -result[2], result[3]))[0]
    low = min(rows - error if rows else 0.0 for rows, error, _, _ in results if rows or best > error)
    high = max(rows + error for rows, error, _, _ in results if rows)
    return Guess(best, variance, hidden, max(0.0, best - low), max(0.0, high - best))


def _at_once(group: Sequence[PatternHits]) -> float:
    """Return how many rows a kind of pattern finds at once; the length of its run if it found none."""
    hits = sum(count.hits for count in group)
    return sum(count.squares for count in group) / hits if hits else group[0].run
