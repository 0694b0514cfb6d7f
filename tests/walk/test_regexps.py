"""Patterns are exact, in the portable alphabet, as short as promised, and never longer than a peer's."""

from __future__ import annotations

import doctest
import os
import random
import re
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import chain, pairwise, product, repeat
from pathlib import Path

import pytest
from benchmarks.regexps import PEERS, Unavailable, exact, portable
from conftest import slow_after
from hypothesis import given
from hypothesis import strategies as st

from magento_pager.walk.ranges import IdRange
from magento_pager.walk.regexps import MOST_DIGITS, explain, ids_regexp, range_regexp

PAGE = Path(__file__).parents[2] / "docs/explanation/regexps.md"
IDS = st.integers(0, 10**11)
LETTERS = re.compile(r"[0-9^$()|\[\].,{}-]+")
COUNT = re.compile(r"\{(\d+)(?:,(\d+))?\}")


def seeded(number: int) -> random.Random:
    """Return a generator of the same choices in every run."""
    return random.Random(number)  # noqa: S311 - no secret


def near(first: int, last: int, chooser: random.Random, count: int) -> list[int]:
    """Return ids at and around the bounds, of other lengths, and anywhere."""
    size = len(str(last))
    around = [max(0, bound + step) for bound in (first, last) for step in (-1, 0, 1)]
    shifted = [first // 10, last * 10, 10 ** (size - 1), 10**size, max(0, 10 ** (size - 1) - 1)]
    while len(around) + len(shifted) < count:
        bound, power = chooser.choice((first, last)), 10 ** chooser.randrange(size + 1)
        shifted.append(max(0, bound + chooser.randrange(-power, power + 1)))
    return (around + shifted)[:count]


def windows(chooser: random.Random) -> tuple[int, int]:
    """Return a range as walks request it, as people write it, or any."""
    top = 10 ** chooser.randrange(1, 11)
    first = chooser.randrange(top)
    match chooser.randrange(4):
        case 0:
            return first, first + chooser.choice((1, 10, 100, 250, 1000, 10_000)) - 1
        case 1:
            return first, first + chooser.randrange(10 ** chooser.randrange(1, 9))
        case 2:
            return chooser.randrange(min(first + 1, 10 ** chooser.randrange(1, 10))), first
        case _:
            other = chooser.randrange(top)
            return min(first, other), max(first, other)


# --- exact -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("strict", slow_after(1, [True, False]))
def test_a_million_ids_against_integer_comparison(strict: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """On ranges to 10^10 and ids near and far, a pattern in Python's re agrees with comparing integers."""
    chooser = seeded(7)
    for _ in range(10_000):
        first, last = windows(chooser)
        search = re.compile(range_regexp(first, last, strict=strict)).search
        for number in near(first, last, chooser, 100):
            assert (search(str(number)) is not None) == (first <= number <= last), (first, last, number, search)


def flat(pattern: str) -> list[str]:
    """Return the alternatives of an anchored pattern with every group multiplied out, which match the same ids."""

    def alternation(start: int) -> tuple[list[str], int]:
        found, parts, place = [], [""], start
        while place < len(pattern) and pattern[place] != ")":
            if pattern[place] == "|":
                found += parts
                parts, place = [""], place + 1
                continue
            if pattern[place] == "(":
                inner, place = alternation(place + 1)
                parts = [before + tail for before, tail in product(parts, inner)]
            else:
                parts = [part + pattern[place] for part in parts]
            place += 1
        return found + parts, place

    pattern = pattern.removeprefix("^").removesuffix("$")
    return alternation(0)[0]


BELOW = 2000
SUBJECTS = list(map(str, range(BELOW + 300)))


@cache
def matched(pattern: str) -> int:
    """Return the ids up to a little above 2,000 that Python's re matches, as bits."""
    search = re.compile(pattern).search
    return sum(1 << number for number, subject in enumerate(SUBJECTS) if search(subject))


def wrong(first: int, below: int, strict: bool) -> list[tuple[int, int]]:  # noqa: FBT001 - mapped over
    """Return the ranges from an id on whose pattern does not match exactly their ids."""
    found = []
    for last in range(first, below):
        bits = 0
        for alternative in flat(range_regexp(first, last, strict=strict)):
            bits |= matched(f"^{alternative}$")
        if bits != (2 << last) - (1 << first):
            found.append((first, last))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("below", "strict"), [(250, True), pytest.param(BELOW, False, marks=pytest.mark.exhaustive)])
def test_every_small_range_by_brute_force(below: int, strict: bool) -> None:  # noqa: FBT001 - by name
    """Every range below 2,000 matches every id from 0 to 2,299 exactly when it should."""
    with ProcessPoolExecutor() as pool:
        work = pool.map(wrong, range(below), repeat(below), repeat(strict), chunksize=50)
        assert list(chain.from_iterable(work)) == []


def test_a_pattern_matches_like_its_multiplied_out_form() -> None:
    """The brute force above multiplies groups out: in re, the whole patterns match the same ids."""
    chooser = seeded(3)
    for _ in range(300):
        first, last = sorted(chooser.choices(range(BELOW), k=2))
        assert matched(range_regexp(first, last)) == (2 << last) - (1 << first)


SMALL = st.integers(0, 5000)
MEMBERS = st.one_of(SMALL, st.builds(lambda first, more: IdRange(first, first + more), SMALL, st.integers(0, 700)))


@given(st.lists(MEMBERS, min_size=1), st.booleans())
def test_sets_are_exact(members: list[int | IdRange], strict: bool) -> None:  # noqa: FBT001 - by name
    """The pattern of a set of ids and ranges matches these ids and no others."""
    ids = {number for member in members for number in (member if isinstance(member, IdRange) else [member])}
    search = re.compile(ids_regexp(members, strict=strict)).search
    assert {number for number in range(6000) if search(str(number))} == ids


@given(IDS, IDS, st.lists(IDS, max_size=4), st.booleans())
def test_a_window_with_canaries_is_exact(
    number: int,
    other: int,
    canaries: list[int],
    strict: bool,  # noqa: FBT001 - by name
) -> None:
    """A wide window and a few ids beside it are matched without looking at each id of the window."""
    window = IdRange(min(number, other), max(number, other))
    search = re.compile(ids_regexp([window, *canaries], strict=strict)).search
    for bound in (window.first, window.last, *canaries):
        for subject in (max(0, bound - 1), bound, bound + 1, bound // 10, bound * 10):
            assert (search(str(subject)) is not None) == (subject in window or subject in canaries)


@given(IDS, IDS, st.booleans())
def test_open_ended_ranges_are_exact(first: int, other: int, strict: bool) -> None:  # noqa: FBT001 - by name
    """Without a last id every id from the first on is matched, however long."""
    search = re.compile(range_regexp(first, None, strict=strict)).search
    for subject in (other, first, max(0, first - 1), first + 1, first * 10, 10**MOST_DIGITS - 1):
        assert (search(str(subject)) is not None) == (subject >= first)


@given(IDS, IDS)
def test_strict_patterns_match_only_canonical_integers(number: int, other: int) -> None:
    """On a column of text, they match no leading zeros, letters, signs, spaces or decimals."""
    first, last = min(number, other), max(number, other)
    search = re.compile(range_regexp(first, last, strict=True)).search
    for text in (
        f"0{last}",
        f"{last}a",
        f"a{last}",
        f"-{last}",
        f" {last}",
        f"{last} ",
        f"{last}.0",
        f"{last}x"[1:],
        "",
    ):
        assert not search(text)


# --- portable --------------------------------------------------------------------------------------------------------


def check_letters(pattern: str) -> None:
    """Check that a pattern has no letter, count or group that some engine might read differently."""
    assert LETTERS.fullmatch(pattern), pattern
    assert re.fullmatch(r"\^[^$]*\$", pattern)
    assert all(before == "[" for before, letter in pairwise(pattern) if letter == "^"), pattern
    assert not re.search(r"\(\||\|\||\|\)|\(\)|\{,|\}\{", pattern), f"an empty alternative or count in {pattern}"
    for low, high in COUNT.findall(pattern):
        assert int(low) <= int(high or low) <= 255


@given(IDS, IDS, st.lists(IDS, max_size=5), st.booleans())
def test_the_alphabet_is_portable(number: int, other: int, more: list[int], strict: bool) -> None:  # noqa: FBT001 - by name
    r"""No `?`, no `\d`, no `(?:`, no `{,n}`, no empty alternative, no count above 255; strict has no `.` either."""
    for pattern in (
        range_regexp(min(number, other), max(number, other), strict=strict),
        range_regexp(number, None, strict=strict),
        ids_regexp([number, other, *more], strict=strict),
    ):
        check_letters(pattern)
        if strict:
            assert "." not in pattern
            assert "[^" not in pattern


# --- short -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "strict", "most"),
    slow_after(
        2,
        [
            (100, False, 34.7),
            (100, True, 41.6),
            (10, False, 20.6),
            (250, False, 40.7),
            (1000, False, 51.5),
            (10_000, False, 68.5),
        ],
    ),
)
def test_mean_length_of_windows(width: int, strict: bool, most: float) -> None:  # noqa: FBT001 - by name
    """Windows at random offsets below 10^8 take no more bytes on average than promised."""
    chooser = seeded(width)
    firsts = chooser.choices(range(10**8), k=20_000)
    assert sum(len(range_regexp(number, number + width - 1, strict=strict)) for number in firsts) / len(firsts) <= most


def test_mean_length_of_aligned_windows() -> None:
    """Windows aligned to a power of ten, below 10^6, take 7.9 bytes on average."""
    blocks = [IdRange(first, first + width - 1) for width in (100, 1000, 10_000) for first in range(0, 10**6, width)]
    assert sum(len(range_regexp(block.first, block.last)) for block in blocks) / len(blocks) <= 7.9


@pytest.mark.parametrize(("below", "most"), slow_after(1, [(10**6, 161), (10**8, 171)]))
def test_mean_length_of_five_windows(below: int, most: float) -> None:
    """Five windows of 100 together are as short as promised: 161 bytes below 10^6, and two digits more each to 10^8."""
    chooser = seeded(11)
    five = [ids_regexp(IdRange(first, first + 99) for first in chooser.choices(range(below), k=5)) for _ in range(3000)]
    assert sum(map(len, five)) / len(five) <= most


def test_mean_length_of_windows_with_gaps() -> None:
    """A window of 1,000 with 5 % of its ids missing takes no more bytes on average than promised."""
    chooser = seeded(11)
    firsts = chooser.choices(range(10**8), k=100)
    holes = [ids_regexp(chooser.sample(range(first, first + 1000), 950)) for first in firsts]
    assert sum(map(len, holes)) / len(holes) <= 362


@pytest.mark.parametrize(
    ("first", "last", "length"),
    [
        # One alternative for both bounds, [15]2[3-9][0-2], where these are alike, and a 2 in the count of 1[^01]{3}.
        (11222, 15292, len("^1(1[^01]{3}|[15]2[3-9][0-2]|52[^9].|(1[3-9]|[2-4].|5[01])..)$")),
        # The same with classes that also hold the ids between the bounds, each side with a step of its own.
        (10979, 19998, len("^1([^9]9[7-9]9|.9[89][^9]|[^0]([^9].|9[^9]).)$")),
        (10002, 19092, len("^1([^9](0[^0]|[^0].).|.0[^9][2-9]|[^0]0.[0-2])$")),
    ],
)
def test_one_alternative_serves_both_bounds(first: int, last: int, length: int) -> None:
    """Three overlapping alternatives replace four where bounds are alike; integer programming finds none shorter."""
    pattern = range_regexp(first, last)
    assert len(pattern) == length
    assert [number for number in range(10_000, 20_000) if re.search(pattern, str(number))] == [*range(first, last + 1)]


def narrow(chooser: random.Random) -> tuple[int, int]:
    """Return a range of at most a few hundred ids, rarely of a thousand: some peers need each id."""
    width = chooser.choices(
        (chooser.randint(1, 30), chooser.randint(1, 120), chooser.randint(1, 300), 1000), (50, 35, 14, 1)
    )
    first = chooser.randrange(10 ** chooser.randrange(1, 11))
    return first, first + width[0] - 1


@pytest.mark.parametrize("count", [2000, pytest.param(100_000, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", sorted(PEERS))
def test_never_longer_than_a_peer(name: str, count: int) -> None:
    """Range by range, on 100,000 ranges, the peer's pattern in portable letters is not shorter than ours."""
    peer = PEERS[name]
    chooser = seeded(5)
    ranges = [narrow(chooser) if peer.enumerates else windows(chooser) for _ in range(count)]
    try:
        theirs = peer.patterns(ranges)
    except Unavailable as why:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(why))
    for (first, last), pattern in zip(ranges, theirs, strict=True):
        ours, other = range_regexp(first, last), portable(pattern)
        # One of them has the empty pattern for a single id, which is short, but not of that id.
        assert len(ours) <= len(other) or not exact(other, first, last, chooser), (first, last, ours, other)


# --- refused, explained ----------------------------------------------------------------------------------------------


def test_impossible_ranges_are_refused() -> None:
    """No id, a reversed range, a negative id and an id of too many digits are refused."""
    with pytest.raises(ValueError, match="no id"):
        ids_regexp([])
    for first, last in ((5, 4), (-1, 4)):
        with pytest.raises(ValueError, match=r"first id|begin"):
            range_regexp(first, last)
    with pytest.raises(ValueError, match="digits"):
        ids_regexp([10**MOST_DIGITS])
    with pytest.raises(TypeError):
        range_regexp("5", 7)  # type: ignore[arg-type]


@given(IDS, IDS)
def test_the_explanation_ends_with_the_pattern(number: int, other: int) -> None:
    """The tree is followed by its branches side by side, which match the same ids, and by the pattern itself."""
    first, last = min(number, other), max(number, other)
    *_, together, pattern = explain(first, last).splitlines()
    assert range_regexp(first, last) in pattern.split()
    search = re.compile(together.split()[3]).search
    for subject in (first, last, max(0, first - 1), last + 1, (first + last) // 2):
        assert (search(str(subject)) is not None) == (first <= subject <= last)


def test_the_examples_of_the_docs_page_are_right() -> None:
    """The examples of the page on regexps print what the page shows."""
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert tried > 5
    assert not failed
