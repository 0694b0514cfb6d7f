"""Our patterns compared with exact solutions: the shortest possible ones in bytes, found by integer programming.

The solutions cover all patterns without `?` whose alternatives are classes, free digits, counts and at most one group
each. The group may be optional and has such alternatives itself. Digits that the bounds do not distinguish are in a
class together or not at all, except two that may be written separately. Such a pattern is a choice from a tree: every
alternative may be taken or not, at its price in bytes, one in a group only with its group; and a taken alternative must
match each id. An alternative stays inside a range exactly if its least and its greatest word of each length do.

Nothing here knows how `magento_pager.walk.regexps` works: it only gets the length to beat, so that HiGHS either proves
that nothing is shorter or finds a shorter pattern.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations, groupby, pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from magento_pager.walk.regexps import range_regexp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

pytestmark = pytest.mark.optimal
if not os.environ.get("CI"):
    pytest.importorskip("scipy", reason="exact solutions need the extra `optimal`")

Digits = tuple[int, ...]
Word = tuple[int, ...]


# --- letters and their price -----------------------------------------------------------------------------------------


@lru_cache(None)
def written(digits: Digits) -> str:
    """Return the shortest class of exactly these digits."""
    if len(digits) == 10:
        return "."
    if len(digits) == 1:
        return str(digits[0])
    others = tuple(digit for digit in range(10) if digit not in digits)
    return min(f"[{listed(digits)}]", f"[^{listed(others)}]", key=len)


def listed(digits: Digits) -> str:
    """Return the inside of a class."""
    text = ""
    for _, run in groupby(enumerate(digits), lambda pair: pair[1] - pair[0]):
        first, *more = (digit for _, digit in run)
        text += f"{first}-{more[-1]}" if len(more) > 1 else "".join(map(str, [first, *more]))
    return text


class Factor(NamedTuple):
    """A class with a count."""

    digits: Digits
    text: str
    least: int = 1
    most: int = 1


def sequence(factors: Iterable[Factor]) -> str:
    """Return factors one after the other, with equal neighbours counted together."""
    text = ""
    for same, run in groupby(factors, lambda factor: factor.text):
        together = list(run)
        least, most = sum(one.least for one in together), sum(one.most for one in together)
        if least == most:
            text += min(same * least, f"{same}{{{least}}}", key=len)
        else:
            text += min((same * n + f"{same}{{{least - n},{most - n}}}" for n in range(least + 1)), key=len)
    return text


def edges(low: int, high: int, *, first: bool = False) -> list[int]:
    """Return where the digits at one place change that a pair of bounds distinguishes."""
    cuts = sorted({0, 10, low, low + 1, high, high + 1} | ({1} if first else set()))
    return sorted({*cuts, *(one + 1 for one, other in pairwise(cuts) if other - one == 2)})


def classes(cuts: Sequence[int]) -> list[Factor]:
    """Return the useful classes: those without gaps, and pairs of digits, which are a byte shorter."""
    found = {tuple(range(low, high)) for low, high in combinations(cuts, 2)}
    found |= set(combinations([low for low, high in pairwise(cuts) if high - low == 1], 2))
    return [Factor(digits, written(digits)) for digits in sorted(found)]


# --- the tree of what may be taken -----------------------------------------------------------------------------------


@dataclass(eq=False)
class Choice:
    """An alternative, or a group with its alternatives: its price, bar included, and the ids it matches, as bits."""

    price: int
    matches: int
    below: list[Choice] | None = None


class Problem:
    """The ids of a range, by words that represent all ids the bounds do not distinguish, and the possible choices."""

    def __init__(self, bounds: dict[int, tuple[Word, Word]], *, leading: bool) -> None:
        self.bounds, self.leading, self.longest = bounds, leading, max(bounds)
        self.cuts = {
            (size, place): edges(low[place], high[place], first=leading and place == 0 and size > 1)
            for size, (low, high) in bounds.items()
            for place in range(size)
        }
        self.words = [
            word
            for size, (low, high) in bounds.items()
            for word in product(*(self.cuts[size, place][:-1] for place in range(size)))
            if low <= word <= high and (word[0] or size == 1 or not leading)
        ]
        self.of_size = {
            size: sum(1 << number for number, word in enumerate(self.words) if len(word) == size) for size in bounds
        }
        self.held: dict[tuple[Digits, int, int], int] = {}

    def holds(self, digits: Digits, size: int, place: int) -> int:
        """Return the words of a length whose digit at a place, with all equivalent ones, is in the class."""
        key = digits, size, place
        if key not in self.held:
            atoms = {low for low, high in pairwise(self.cuts[size, place]) if set(range(low, high)) <= set(digits)}
            self.held[key] = sum(
                1 << number for number, word in enumerate(self.words) if len(word) == size and word[place] in atoms
            )
        return self.held[key]

    def inside(self, size: int, least: Word, most: Word) -> bool:
        """Return whether words of a length that begin like these can all be inside the range."""
        low, high = self.bounds[size]
        return least >= low[: len(least)] and most <= high[: len(most)]

    def context(self, before: tuple[Factor, ...], after: tuple[Factor, ...]) -> list[Choice]:
        """Return everything that may be taken between two bounds."""
        raise NotImplementedError


class OneLength(Problem):
    """Words of one length: every alternative has a class for each place."""

    def __init__(self, low: str, high: str) -> None:
        super().__init__({len(low): (tuple(map(int, low)), tuple(map(int, high)))}, leading=False)
        self.at = [classes(self.cuts[self.longest, place]) for place in range(self.longest)]

    def context(self, before: tuple[Factor, ...], after: tuple[Factor, ...]) -> list[Choice]:
        """Return sequences of a class for each place, and groups between them."""
        start, end = len(before), self.longest - len(after)
        choices = [
            Choice(len(sequence(one)) + 1, bits) for one, bits in self.filled(before, after, (), start, end) if bits
        ]
        return undominated(choices) + [
            Choice(group.price, 0, below)
            for group in self.groups(before, after, start, end)
            if len(below := self.context(before + group.prefix, group.suffix + after)) > 1
        ]

    def groups(
        self, before: tuple[Factor, ...], after: tuple[Factor, ...], start: int, end: int
    ) -> Iterator[Surroundings]:
        """Return what may stand around a group, unless something else costs as little and leaves as much to it."""
        found = []
        for left, right in combinations(range(start, end + 1), 2):
            if right - left < 2 or (left, right) == (start, end):
                continue
            for prefix in product(*self.at[start:left]):
                if not self.begins(before + prefix):
                    continue
                for suffix in product(*self.at[right:end]):
                    least, most = self.room(before + prefix, suffix + after, left, right)
                    matches = self.spanned(left, right, least, most)
                    for place, one in [*enumerate(before + prefix), *enumerate(suffix + after, right)]:
                        matches &= self.holds(one.digits, self.longest, place)
                    if matches:
                        price = len(sequence(prefix)) + len(sequence(suffix)) + 2
                        found.append(Surroundings((left, right), prefix, suffix, price, matches, least, most))
        kept: list[Surroundings] = []
        for group in sorted(found, key=lambda group: (-group.matches.bit_count(), group.price)):
            if not any(group.worse(other) for other in kept):
                kept.append(group)
                yield group

    def room(self, before: tuple[Factor, ...], after: tuple[Factor, ...], left: int, right: int) -> tuple[int, int]:
        """Return the least and the greatest word that may stand between two bounds, as numbers."""
        (low, high), size = self.bounds[self.longest], right - left
        (before_least, before_most), (after_least, after_most) = ends(before), ends(after)
        least, most = 0, 10**size - 1
        if before_least == low[:left]:
            least = number(low[left:right]) + (after_least < low[right:])
        if before_most == high[:left]:
            most = number(high[left:right]) - (after_most > high[right:])
        return least, most

    @lru_cache(None)  # noqa: B019 - a problem does not live long
    def spanned(self, left: int, right: int, least: int, most: int) -> int:
        """Return the words whose part is between two numbers."""
        return sum(1 << place for place, word in enumerate(self.words) if least <= number(word[left:right]) <= most)

    def begins(self, factors: Sequence[Factor]) -> bool:
        """Return whether words with this beginning can all be inside the range."""
        return self.inside(self.longest, *ends(factors))

    def filled(
        self, before: tuple[Factor, ...], after: tuple[Factor, ...], done: tuple[Factor, ...], start: int, end: int
    ) -> Iterator[tuple[tuple[Factor, ...], int]]:
        """Return every sequence between two factors that stays inside the range, with what all three together match."""
        if start == end:
            together = (*before, *done, *after)
            if self.begins(together):
                bits = self.of_size[self.longest]
                for place, one in enumerate(together):
                    bits &= self.holds(one.digits, self.longest, place)
                yield done, bits
            return
        for one in self.at[start]:
            if self.begins((*before, *done, one)):
                yield from self.filled(before, after, (*done, one), start + 1, end)


class Surroundings(NamedTuple):
    """Factors around a group, and what remains for the group: the words, and the bounds of its alternatives."""

    places: tuple[int, int]
    prefix: tuple[Factor, ...]
    suffix: tuple[Factor, ...]
    price: int
    matches: int
    least: int
    most: int

    def worse(self, other: Surroundings) -> bool:
        """Return whether the other one replaces this for any alternatives, at the same price or less."""
        return (
            other.places == self.places
            and other.price <= self.price
            and self.matches & ~other.matches == 0
            and other.least <= self.least
            and self.most <= other.most
        )


def number(word: Word) -> int:
    """Return the digits of a word as a number.

    >>> number((0, 4, 2))
    42
    """
    return int("".join(map(str, word)))


def ends(factors: Sequence[Factor]) -> tuple[Word, Word]:
    """Return the least and the greatest word of a sequence."""
    return tuple(one.digits[0] for one in factors), tuple(one.digits[-1] for one in factors)


class Lengths(Problem):
    """Integers of any length: factors may be repeated, groups be optional. Words with a leading 0 are not ids."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(
            {
                size: tuple(
                    tuple(map(int, str(bound)))
                    for bound in (max(first, 10 ** (size - 1)) if size > 1 else first, min(last, 10**size - 1))
                )  # type: ignore[misc]
                for size in range(len(str(first)), len(str(last)) + 1)
            },
            leading=True,
        )

    @lru_cache(None)  # noqa: B019 - a problem does not live long
    def between(self, least: int, most: int, *, behind: bool = False) -> list[Factor]:
        """Return the useful classes where that many digits may precede, or follow."""
        found = [
            cuts
            for (size, place), cuts in self.cuts.items()
            if least <= (size - 1 - place if behind else place) <= most
        ]
        return classes(sorted(set(chain.from_iterable(found))))

    def context(self, before: tuple[Factor, ...], after: tuple[Factor, ...]) -> list[Choice]:
        """Return sequences of all shapes, and groups between them."""
        room = self.longest - sum(one.most for one in (*before, *after))
        choices = undominated(
            Choice(len(sequence(one)) + 1, bits)
            for shape in shapes(room)
            for one, bits in self.filled(before, after, (), shape)
            if bits
        )
        for prefix in self.parts(room - 2, before):
            for suffix in self.parts(room - 2 - sum(one.most for one in prefix), after, behind=True):
                for optional in (False, True) if prefix or suffix else ():
                    alone = self.matched((*before, *prefix, *suffix, *after)) if optional else 0
                    if alone is None:
                        continue
                    below = self.context(before + prefix, suffix + after)
                    if len(below) > 1:
                        price = len(sequence(prefix)) + len(sequence(suffix)) + 2 + 5 * optional
                        choices.append(Choice(price, alone, below))
        return choices

    def parts(self, room: int, outside: tuple[Factor, ...], *, behind: bool = False) -> Iterator[tuple[Factor, ...]]:
        """Return what may stand before or after a group, within what is outside of it."""
        yield ()
        for shape in shapes(room):
            places = self.places(outside, shape[::-1] if behind else shape)
            choices = [self.between(*place, behind=behind) for place in places]
            for factors in product(*(choices[::-1] if behind else choices)):
                yield tuple(one._replace(least=low, most=high) for one, (low, high) in zip(factors, shape, strict=True))

    def places(self, outside: Iterable[Factor], shape: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Return the least and the greatest number of digits farther out than each factor."""
        least, most = sum(one.least for one in outside), sum(one.most for one in outside)
        for low, high in shape:
            yield least, most + high - 1
            least, most = least + low, most + high

    def filled(
        self,
        before: tuple[Factor, ...],
        after: tuple[Factor, ...],
        done: tuple[Factor, ...],
        shape: tuple[tuple[int, int], ...],
    ) -> Iterator[tuple[tuple[Factor, ...], int]]:
        """Return each sequence of a shape between two factors that stays inside, with what all three match together."""
        bits = self.matched((*before, *done, *(Factor((), "", *one) for one in shape[len(done) :]), *after))
        if bits is None:
            return
        if len(done) == len(shape):
            yield done, bits
            return
        least, most = shape[len(done)]
        ((first, last),) = self.places((*before, *done), [(least, most)])
        for one in self.between(first, last):
            yield from self.filled(before, after, (*done, one._replace(least=least, most=most)), shape)

    def matched(self, factors: Sequence[Factor]) -> int | None:
        """Return the words that a sequence matches; None if it is outside. A factor without digits is not known yet."""
        found = 0
        for counts in product(*(range(one.least, one.most + 1) for one in factors)):
            places = [one for one, count in zip(factors, counts, strict=True) for _ in range(count)]
            size = len(places)
            known = places[: next((place for place, one in enumerate(places) if not one.digits), size)]
            if not size or (not known and size not in self.bounds):
                continue
            least, most = ends(known)
            if size > 1 and least and least[0] == 0:
                if most[0] == 0:
                    continue  # it matches nothing but words with a leading 0
                least = (known[0].digits[1], *least[1:])
            if size not in self.bounds or not self.inside(size, least, most):
                return None
            bits = self.of_size[size] if len(known) == size else 0
            for place, one in enumerate(known):
                bits &= self.holds(one.digits, size, place)
            found |= bits
        return found


@lru_cache(None)
def shapes(room: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the counts of the factors of sequences of at most that many digits; at most two are variable."""
    found: list[tuple[tuple[int, int], ...]] = []
    counts = [(1, 1), *((least, most) for most in range(1, room + 1) for least in range(most))]
    stack: list[tuple[tuple[int, int], ...]] = [()]
    while stack:
        shape = stack.pop()
        found += [shape] if shape else []
        for count in counts:
            longer = (*shape, count)
            if sum(most for _, most in longer) <= room and sum(least != most for least, most in longer) < 3:
                stack.append(longer)
    return tuple(found)


# --- the solution ----------------------------------------------------------------------------------------------------


def undominated(choices: Iterable[Choice]) -> list[Choice]:
    """Return the alternatives that no other one replaces at the same price or less."""
    kept: list[Choice] = []
    for one in sorted(choices, key=lambda one: (-one.matches.bit_count(), one.price)):
        if not any(one.matches & ~other.matches == 0 and other.price <= one.price for other in kept):
            kept.append(one)
    return kept


def reduced(choices: Sequence[Choice], need: int, above: Sequence[Choice] = ()) -> list[Choice]:
    """Return the choices without those that another one, here or outside the group, always replaces."""

    def does(many: Iterable[Choice], one: Choice) -> bool:
        return any(one.matches & need & ~other.matches == 0 and other.price <= one.price for other in many)

    def replaces(group: Choice, other: Choice) -> bool:
        assert group.below is not None
        assert other.below is not None
        alone = [one for one in group.below if one.below is None]
        groups = [one for one in group.below if one.below is not None]
        return (
            group.price <= other.price
            and other.matches & need & ~group.matches == 0
            and all(
                does(chain(alone, outside), one) if one.below is None else any(replaces(two, one) for two in groups)
                for one in other.below
            )
        )

    alternatives = undominated(
        Choice(one.price, one.matches & need)
        for one in choices
        if one.below is None and one.matches & need and not does(above, one)
    )
    outside = [*above, *alternatives]
    groups = [
        Choice(one.price, one.matches, below)
        for one in choices
        if one.below is not None and len(below := reduced(one.below, need, outside)) > 1
    ]
    kept: list[Choice] = []
    for one in sorted(groups, key=lambda one: (one.price, -len(one.below or ()))):
        if not any(replaces(other, one) for other in kept):
            kept.append(one)
    return [*alternatives, *kept]


def everything(choices: Iterable[Choice], group: int = -1, start: int = 0) -> list[tuple[Choice, int]]:
    """Return all choices, each with the number of its group, which precedes it."""
    found: list[tuple[Choice, int]] = []
    for one in choices:
        found.append((one, group))
        if one.below is not None:
            found += everything(one.below, start + len(found) - 1, start + len(found))
    return found


def hardest(tree: Sequence[Choice], words: int) -> list[int]:
    """Return words such that, if each of them is matched, all are."""
    columns = everything(tree)
    by_word = [
        (frozenset(number for number, (one, _) in enumerate(columns) if one.matches >> word & 1), word)
        for word in range(words)
    ]
    kept: list[tuple[frozenset[int], int]] = []
    for matching, word in sorted(by_word, key=lambda pair: len(pair[0])):
        if not any(other <= matching for other, _ in kept):
            kept.append((matching, word))
    return [word for _, word in kept]


def matching(columns: Sequence[tuple[Choice, int]], taken: Sequence[float], word: int) -> tuple[float, list[int]]:
    """Return how far a word is matched where choices are taken in part, and the choices that determine it.

    A group matches a word at most as far as the group is taken, and as far as its alternatives are taken.
    """
    inside: dict[int, tuple[float, list[int]]] = {-1: (0.0, [])}
    for number in range(len(columns) - 1, -1, -1):
        one, group = columns[number]
        much, which = inside.pop(number, (0.0, []))
        if one.matches >> word & 1 or taken[number] < much:
            much, which = taken[number], [number]
        if which:
            before, others = inside.get(group, (0.0, []))
            inside[group] = before + much, others + which
    return inside[-1]


SLACK = 1e-3
"""How far a figure may be from exact; prices are integers, so what is above the limit is above it by one."""


def shorter_than(limit: int, problem: Problem) -> int | None:
    """Return the length of the shortest pattern, without anchors, if it is below the limit; else None, proved.

    Where choices may be taken in part, the cheapest way is found quickly, and no pattern is cheaper. This is done again
    and again: with a row for every word that is not matched in full yet, and without the choices that are not in any
    pattern below the limit, according to their reduced costs. Integer programming solves the rest, if any.
    """
    import numpy as np  # noqa: PLC0415 - a group of its own
    from scipy.optimize import Bounds, LinearConstraint, linprog, milp  # noqa: PLC0415

    tree = problem.context((), ())
    words = hardest(tree, len(problem.words))
    columns = everything(reduced(tree, sum(1 << word for word in words)))
    covers = [[n for n, (one, _) in enumerate(columns) if one.matches >> word & 1] for word in words]
    while True:
        prices, matrix, least = program(columns, covers)
        found = linprog(prices, A_ub=-matrix, b_ub=-least, bounds=(0, 1), method="highs-ds")
        assert found.status in {0, 2}, found.message
        if found.fun is None or found.x is None or found.fun > limit + SLACK:
            return None
        beyond = (found.fun + found.lower.marginals > limit + SLACK).tolist()
        taken = found.x.tolist()
        more = [which for word in words for much, which in [matching(columns, taken, word)] if much < 1 - SLACK]
        if not more and not any(beyond[:-1]):
            break
        columns, covers = without(beyond, columns, covers + more)
    best = milp(
        prices,
        constraints=[LinearConstraint(matrix, least, np.inf), LinearConstraint(prices, -np.inf, limit)],
        integrality=np.ones(len(prices), int),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    assert best.status in {0, 2}, best.message
    return None if best.fun is None else round(best.fun) - 1


def program(columns: Sequence[tuple[Choice, int]], covers: Sequence[Sequence[int]]) -> tuple[Any, Any, Any]:
    """Return the prices, the rows and the minimum of each row.

    The last column represents the parentheses that several alternatives at the top need.
    """
    import numpy as np  # noqa: PLC0415
    from scipy.sparse import coo_array  # noqa: PLC0415

    size = len(columns) + 1
    rows: list[tuple[dict[int, int], int]] = [(dict.fromkeys(cover, 1), 1) for cover in covers]
    groups = {n: {n: -2} for n, (one, _) in enumerate(columns) if one.below is not None}  # two alternatives, or none
    for number, (_, group) in enumerate(columns):
        if group >= 0:
            rows.append(({number: -1, group: 1}, 0))
            groups[group][number] = 1
    rows += [(terms, 0) for terms in groups.values()]
    top = [number for number, (_, group) in enumerate(columns) if group < 0]
    rows.append(({**dict.fromkeys(top, -1), size - 1: len(top)}, -1))
    places = [(row, column) for row, (terms, _) in enumerate(rows) for column in terms]
    values = [float(value) for terms, _ in rows for value in terms.values()]
    matrix = coo_array((values, tuple(zip(*places, strict=True))), shape=(len(rows), size)).tocsr()
    return np.array([one.price for one, _ in columns] + [2], float), matrix, np.array([least for _, least in rows])


def without(
    beyond: Sequence[bool], columns: Sequence[tuple[Choice, int]], covers: Iterable[Sequence[int]]
) -> tuple[list[tuple[Choice, int]], list[list[int]]]:
    """Return the columns that may be in a pattern below the limit, and the rows by their new numbers."""
    numbers = {-1: -1}
    kept: list[tuple[Choice, int]] = []
    for number, (one, group) in enumerate(columns):
        if not beyond[number] and group in numbers:
            numbers[number] = len(kept)
            kept.append((one, numbers[group]))
    return kept, [[numbers[number] for number in cover if number in numbers] for cover in covers]


def excess_of_tail(bounds: tuple[str, str]) -> tuple[int, tuple[str, str]]:
    """Return how many bytes too long our pattern of a tail after a common digit is."""
    low, high = bounds
    length = len(range_regexp(int(f"1{low}"), int(f"1{high}"))) - len("^1$")
    best = shorter_than(length, OneLength(low, high))
    return (0 if best is None else length - best), bounds


def excess_across_lengths(bounds: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Return how many bytes too long our pattern of a range is."""
    length = len(range_regexp(*bounds)) - len("^$")
    best = shorter_than(length, Lengths(*bounds))
    return (0 if best is None else length - best), bounds


def tails(size: int, count: int, seed: int) -> list[tuple[str, str]]:
    """Return pairs of bounds of one length with different first digits."""
    chooser = random.Random(seed)  # noqa: S311 - no secret
    found: list[tuple[str, str]] = []
    while len(found) < count:
        low, high = (f"{one:0{size}}" for one in sorted(chooser.choices(range(10**size), k=2)))
        if low[0] != high[0]:
            found.append((low, high))
    return found


def test_the_solver_finds_a_pattern_as_long_as_ours() -> None:
    """Given a limit of one more byte, the solver finds a pattern exactly as long as ours: its proofs are meaningful."""
    for low, high in [*tails(2, 30, 0), *tails(3, 30, 0), *tails(4, 3, 0)]:
        length = len(range_regexp(int(f"1{low}"), int(f"1{high}"))) - len("^1$")
        assert shorter_than(length + 1, OneLength(low, high)) == length
    for first, last in ((0, 99), (5, 37), (1, 93), (57, 149), (0, 999), (10, 150)):
        length = len(range_regexp(first, last)) - len("^$")
        assert shorter_than(length + 1, Lengths(first, last)) == length


def test_every_range_below_a_hundred() -> None:
    """No pattern of a range below 100, of one length or of two, is shorter than ours."""
    ranges = [(first, last) for first in range(100) for last in range(first, 100)]
    with ProcessPoolExecutor() as pool:
        assert [one for one in pool.map(excess_across_lengths, ranges, chunksize=100) if one[0]] == []


def test_every_tail_of_two_digits() -> None:
    """No pattern of a tail of two digits, after a common beginning, is shorter than ours."""
    pairs = [(f"{low:02}", f"{high:02}") for low in range(100) for high in range(low, 100) if low // 10 != high // 10]
    with ProcessPoolExecutor() as pool:
        assert [one for one in pool.map(excess_of_tail, pairs, chunksize=100) if one[0]] == []


SHARES = [(3, 0, 400), (3, 400, 5000), (4, 0, 25), (4, 25, 500)]
ACROSS_LENGTHS = [(0, 10), (10, 200)]


@pytest.mark.parametrize(("size", "start", "end"), SHARES, ids=["share-3", "others-3", "share-4", "others-4"])
def test_tails_of_three_and_four_digits(size: int, start: int, end: int) -> None:
    """No pattern of a seeded tail of three or four digits is shorter than ours."""
    chosen = tails(size, end, size)[start:]
    with ProcessPoolExecutor() as pool:
        assert [one for one in pool.map(excess_of_tail, chosen, chunksize=5) if one[0]] == []


def test_tails_with_equal_digits_after_the_first() -> None:
    """No pattern of tails like 1222 to 5292 is shorter than ours, where one alternative may serve both bounds."""
    seeded = tails(4, 12_000, 7)
    chosen = [(low, high) for low, high in seeded if low[1] == high[1] and (low[2] == "0" or high[2] == "9")]
    with ProcessPoolExecutor() as pool:
        assert [one for one in pool.map(excess_of_tail, chosen, chunksize=5) if one[0]] == []


@pytest.mark.parametrize(("start", "end"), ACROSS_LENGTHS, ids=["share", "others"])
def test_ranges_across_lengths_of_three_digits(start: int, end: int) -> None:
    """No pattern of a seeded range from one or two digits to three is shorter than ours."""
    chooser = random.Random(1)  # noqa: S311 - no secret
    ranges = [(chooser.randrange(100), chooser.randrange(100, 1000)) for _ in range(end)][start:]
    with ProcessPoolExecutor() as pool:
        assert [one for one in pool.map(excess_across_lengths, ranges) if one[0]] == []
