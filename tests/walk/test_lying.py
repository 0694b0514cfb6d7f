"""Walks on a server that lies in 1 call of 20: exact, or ended with an error, wherever a client can see the lie.

The numbers of all lies and walks: `python -m benchmarks.wrong_replies`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest
from benchmarks.unreliable import DETECTABLE, UNDETECTABLE, Detectable, Kind, Undetectable, UnreliableList
from benchmarks.wrong_replies import ROWS, SEEDS, SUBJECTS, WAYS, Tally, cell, layout, outcome_of, pages, walk
from conftest import slow_after

from magento_pager import IdRange, Range, TransportError
from magento_pager.lists import LISTS
from magento_pager.walk.pages import Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

NOT_FOR_SURE: dict[tuple[str, str], float] = {
    **{("empty", f"{name} prefix"): 0.1 for name in ("orders", "customers", "shipments")},
    ("empty", "customers auto"): 0.03,
    ("empty", "customers auto, 1.7.0.2"): 0.04,
    **{("half", name): 0.03 for name in ("orders range", "orders auto", "customers auto")},
    **{("previous page", name): 0.03 for name in ("shipments prefix", "shipments auto")},
    ("row of another page", "shipments prefix"): 0.02,
    ("503, then another page", "shipments auto"): 0.02,
}
"""Lies and walks of which some end wrong silently, and the most of those that were told such a lie: a wide block that
holds few rows, two lies about the same rows, and rows without ids that came before the walk began.
"""
LIES: dict[Kind, Callable[[list[int], list[int]], bool]] = {
    "empty": lambda _, came: not came,
    "half": lambda rows, came: came in (rows[: len(rows) // 2], rows[len(rows) - len(rows) // 2 :]),
    "previous page": lambda rows, came: rows[0] // 100 - 1 == came[0] // 100 == came[-1] // 100,
    "older page": lambda rows, came: rows[0] // 100 - 1 > came[0] // 100 == came[-1] // 100,
    "row twice": lambda rows, came: len(came) == len(rows) + 1 and set(came) == set(rows),
    "row of another page": lambda rows, came: len(set(came)) == len(rows) + 1 and set(came) > set(rows),
    "503, then another page": lambda rows, came: rows[0] // 100 > came[0] // 100 == came[-1] // 100,
    "row dropped": lambda rows, came: len(came) == len(rows) - 1 and set(came) < set(rows),
    "replica behind once": lambda rows, came: came == rows[: len(came)],
    "replica behind": lambda rows, came: came == rows[: len(came)],
}
"""Whether rows that came instead of others are a lie of this kind; a page has the ids of one hundred."""


CASES = [(kind, name, number) for number, (kind, name) in enumerate(product(DETECTABLE, SUBJECTS))]


@pytest.mark.parametrize(("kind", "name", "number"), [case for case in CASES if case[:2] not in NOT_FOR_SURE])
@pytest.mark.parametrize("whole", slow_after(1, [False, True]))
def test_lies_that_can_be_seen_are_seen(kind: Detectable, name: str, number: int, *, whole: bool) -> None:
    """No walk loses, doubles or misplaces a row without an error; in the quick tier each in half of the ways."""
    ways, seeds = (list(WAYS), range(SEEDS // 2)) if whole else (list(WAYS)[number % 2 :: 2], [number % SEEDS])
    found = cell(kind, name, product(ways, seeds))
    assert found["silent"] == found["endless"] == 0, f"wrong_replies --kind '{kind}' --walk '{name}': {found}"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), NOT_FOR_SURE)
def test_lies_that_are_seldom_missed(kind: Detectable, name: str) -> None:
    """Of the others no more walks end wrong silently than is known."""
    found = cell(kind, name, product(WAYS, range(SEEDS)))
    wrong, most = found["silent"] + found["endless"], NOT_FOR_SURE[kind, name]
    assert 0 < wrong <= most * found["affected"], f"wrong_replies --kind '{kind}' --walk '{name}': {found}"


@pytest.mark.parametrize("seeds", slow_after(1, [1, SEEDS]))
@pytest.mark.parametrize("kind", UNDETECTABLE)
def test_lies_that_cannot_be_seen_do_no_more_harm(kind: Undetectable, seeds: int) -> None:
    """A walk loses the rows that the server hid and no others, and delivers none twice; how many do so is printed."""
    walks = product(enumerate(SUBJECTS.values()), ("narrow", "lookahead", "resumed"), range(seeds))
    found = [outcome_of(subject, way, kind, number + seed) for (number, subject), way, seed in walks]
    lied = [one for one in found if one.wrong_replies]
    assert all(one.lost <= one.hidden and not one.added for one in lied)
    print(f"{kind}: of {len(lied)} walks {dict(Counter(one.ending for one in lied))}")  # noqa: T201  a rate, with -s


def asked(source: UnreliableList) -> Iterator[tuple[list[int], list[int]]]:
    """Ask for windows of 100 ids, as a walk without checks does: the rows of each, and those that came."""
    honest = UnreliableList(source.spec, source.ids)
    for window in IdRange(0, 3_199).tile(100):
        (query,) = Range().queries(window, None)
        try:
            came = list(source.fetch(query))
        except TransportError as error:
            assert (error.remedy, error.status) == ("retry", 503)  # noqa: PT017  most queries are answered
            came = list(source.fetch(query))
        yield [honest.number(row) for row in honest.fetch(query)][::-1], [source.number(row) for row in came][::-1]


@pytest.mark.parametrize("kind", LIES)
def test_one_call_of_twenty_is_answered_with_a_lie(kind: Kind) -> None:
    """Every reply that is not the truth is a lie of its kind, and remembered, with the ids that are wrong in it."""
    wrong = calls = 0
    for seed in range(SEEDS):
        source, again = (UnreliableList(LISTS["orders"], layout("dense"), kind, seed) for _ in range(2))
        lies: list[tuple[AbstractSet[int], AbstractSet[int]]] = []
        for rows, came in asked(source):
            if rows != came:
                assert LIES[kind](rows, came), (rows, came)
                lies.append((set(rows) - set(came), set(Counter(came) - Counter(rows))))
        assert [(lie.hidden, lie.added) for lie in source.wrong_replies] == lies
        assert len(list(asked(again))) == 32
        assert again.wrong_replies == source.wrong_replies, "the same lies each time"
        wrong, calls = wrong + len(lies), calls + source.calls
    assert calls / 40 < wrong < calls / 12 or "replica" in kind
    assert wrong


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SUBJECTS)
def test_an_honest_server_is_walked_exactly(name: str, way: str) -> None:
    """Where nobody lies nothing is wrong, and what is wrong is not the harness."""
    found = outcome_of(SUBJECTS[name], way, None, 0)
    assert (found.ending, found.wrong_replies, found.error) == ("exact", 0, None)


def test_rows_that_are_lost_doubled_or_skipped_are_told_apart() -> None:
    """What pages lack or have too much is noticed page by page, whether rows carry ids or not."""
    source = UnreliableList(LISTS["shipments"], layout("dense"))
    one, other, *_ = pages(walk(source, "range", window=100), "window", ROWS)
    number = source.number(one.rows[0])
    tally = Tally(source)
    tally.add(one)
    assert not tally.lost | tally.added | tally.skipped
    tally.add(replace(other, rows=(one.rows[0], *other.rows[1:])))
    assert (tally.lost, tally.added, tally.early) == ({source.number(other.rows[0])}, {number}, set())
    tally = Tally(source)
    tally.add(replace(one, rows=(*one.rows, other.rows[0])))
    assert tally.added == tally.early == {source.number(other.rows[0])}
    tally = Tally(source)
    tally.add(replace(one, rows=one.rows[1:], quarantined=(Quarantined(number, "broken"),)))
    assert (tally.lost, tally.added, tally.skipped) == (set(), set(), {number})
    with pytest.raises(AssertionError, match="does not follow"):
        tally.add(one)
