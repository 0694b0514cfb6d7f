"""Walks on a server that gives a wrong reply in 1 call of 20: exact, or an error, wherever a client can detect it.

`python -m benchmarks.wrong_replies` prints the numbers of all kinds of wrong replies and walks.
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

RARELY_MISSED: dict[tuple[str, str], float] = {
    **{("empty", f"{name} prefix"): 0.1 for name in ("orders", "customers", "shipments")},
    ("empty", "customers auto"): 0.03,
    ("empty", "customers auto, 1.7.0.2"): 0.04,
    **{("half", name): 0.03 for name in ("orders range", "orders auto", "customers auto")},
    **{("previous page", name): 0.03 for name in ("shipments prefix", "shipments auto")},
    ("row of another page", "shipments prefix"): 0.02,
    ("503, then another page", "shipments auto"): 0.02,
}
"""Kinds of wrong replies and walks of which some silently end wrong, and the highest fraction of those affected: a wide
block with few rows, two wrong replies about the same rows, and rows without ids received before the walk began.
"""
IS_OF_KIND: dict[Kind, Callable[[list[int], list[int]], bool]] = {
    "empty": lambda _, returned: not returned,
    "half": lambda rows, returned: returned in (rows[: len(rows) // 2], rows[len(rows) - len(rows) // 2 :]),
    "previous page": lambda rows, returned: rows[0] // 100 - 1 == returned[0] // 100 == returned[-1] // 100,
    "older page": lambda rows, returned: rows[0] // 100 - 1 > returned[0] // 100 == returned[-1] // 100,
    "row twice": lambda rows, returned: len(returned) == len(rows) + 1 and set(returned) == set(rows),
    "row of another page": lambda rows, returned: len(set(returned)) == len(rows) + 1 and set(returned) > set(rows),
    "503, then another page": lambda rows, returned: rows[0] // 100 > returned[0] // 100 == returned[-1] // 100,
    "row dropped": lambda rows, returned: len(returned) == len(rows) - 1 and set(returned) < set(rows),
    "replica behind once": lambda rows, returned: returned == rows[: len(returned)],
    "replica behind": lambda rows, returned: returned == rows[: len(returned)],
}
"""For each kind, whether the returned rows are a wrong reply of that kind; a page has one hundred ids."""


CASES = [(kind, name, number) for number, (kind, name) in enumerate(product(DETECTABLE, SUBJECTS))]


@pytest.mark.parametrize(("kind", "name", "number"), [case for case in CASES if case[:2] not in RARELY_MISSED])
@pytest.mark.parametrize("whole", slow_after(1, [False, True]))
def test_detectable_wrong_replies_are_detected(kind: Detectable, name: str, number: int, *, whole: bool) -> None:
    """No walk loses, duplicates or misplaces a row without an error; the quick tier walks each in half of the ways."""
    ways, seeds = (list(WAYS), range(SEEDS // 2)) if whole else (list(WAYS)[number % 2 :: 2], [number % SEEDS])
    counts = cell(kind, name, product(ways, seeds))
    assert counts["silent"] == counts["endless"] == 0, f"wrong_replies --kind '{kind}' --walk '{name}': {counts}"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), RARELY_MISSED)
def test_wrong_replies_are_missed_as_rarely_as_known(kind: Detectable, name: str) -> None:
    """Of the other kinds, no more walks silently end wrong than is known."""
    counts = cell(kind, name, product(WAYS, range(SEEDS)))
    wrong, most = counts["silent"] + counts["endless"], RARELY_MISSED[kind, name]
    assert 0 < wrong <= most * counts["affected"], f"wrong_replies --kind '{kind}' --walk '{name}': {counts}"


@pytest.mark.parametrize("seeds", slow_after(1, [1, SEEDS]))
@pytest.mark.parametrize("kind", UNDETECTABLE)
def test_undetectable_wrong_replies_lose_only_the_hidden_rows(kind: Undetectable, seeds: int) -> None:
    """A walk loses only the rows that the server hid, and delivers none twice; the test prints how many do so."""
    walks = product(enumerate(SUBJECTS.values()), ("narrow", "lookahead", "resumed"), range(seeds))
    outcomes = [outcome_of(subject, way, kind, number + seed) for (number, subject), way, seed in walks]
    affected = [outcome for outcome in outcomes if outcome.wrong_replies]
    assert all(outcome.lost <= outcome.hidden and not outcome.added for outcome in affected)
    print(f"{kind}: of {len(affected)} walks {dict(Counter(outcome.ending for outcome in affected))}")  # noqa: T201  a rate, with -s


def replies(source: UnreliableList) -> Iterator[tuple[list[int], list[int]]]:
    """Request windows of 100 ids, as a walk without checks does: yield the rows of each, and the returned ones."""
    correct = UnreliableList(source.spec, source.ids)
    for window in IdRange(0, 3_199).tile(100):
        (query,) = Range().queries(window, None)
        try:
            returned = list(source.fetch(query))
        except TransportError as error:
            assert (error.remedy, error.status) == ("retry", 503)  # noqa: PT017  most queries are answered
            returned = list(source.fetch(query))
        rows = [correct.number(row) for row in correct.fetch(query)]
        yield rows[::-1], [source.number(row) for row in returned][::-1]


@pytest.mark.parametrize("kind", IS_OF_KIND)
def test_one_call_of_twenty_gets_a_wrong_reply(kind: Kind) -> None:
    """Every wrong reply is of its kind, and is recorded with the ids that are wrong in it."""
    wrong = calls = 0
    for seed in range(SEEDS):
        source, repeated = (UnreliableList(LISTS["orders"], layout("dense"), kind, seed) for _ in range(2))
        wrong_replies: list[tuple[AbstractSet[int], AbstractSet[int]]] = []
        for rows, returned in replies(source):
            if rows != returned:
                assert IS_OF_KIND[kind](rows, returned), (rows, returned)
                wrong_replies.append((set(rows) - set(returned), set(Counter(returned) - Counter(rows))))
        assert [(reply.hidden, reply.added) for reply in source.wrong_replies] == wrong_replies
        assert len(list(replies(repeated))) == 32
        assert repeated.wrong_replies == source.wrong_replies, "the same wrong replies each time"
        wrong, calls = wrong + len(wrong_replies), calls + source.calls
    assert calls / 40 < wrong < calls / 12 or "replica" in kind
    assert wrong


@pytest.mark.sampled
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SUBJECTS)
def test_a_correct_server_is_walked_exactly(name: str, way: str) -> None:
    """Without wrong replies every walk is exact, so the harness itself is correct."""
    outcome = outcome_of(SUBJECTS[name], way, None, 0)
    assert (outcome.ending, outcome.wrong_replies, outcome.error) == ("exact", 0, None)


def test_lost_duplicate_and_skipped_rows_are_counted_separately() -> None:
    """Missing and additional rows are counted page by page, whether rows carry ids or not."""
    source = UnreliableList(LISTS["shipments"], layout("dense"))
    first, second, *_ = pages(walk(source, "range", window=100), "window", ROWS)
    number = source.number(first.rows[0])
    tally = Tally(source)
    tally.add(first)
    assert not tally.lost | tally.added | tally.skipped
    tally.add(replace(second, rows=(first.rows[0], *second.rows[1:])))
    assert (tally.lost, tally.added, tally.early) == ({source.number(second.rows[0])}, {number}, set())
    tally = Tally(source)
    tally.add(replace(first, rows=(*first.rows, second.rows[0])))
    assert tally.added == tally.early == {source.number(second.rows[0])}
    tally = Tally(source)
    tally.add(replace(first, rows=first.rows[1:], quarantined=(Quarantined(number, "broken"),)))
    assert (tally.lost, tally.added, tally.skipped) == (set(), set(), {number})
    with pytest.raises(AssertionError, match="does not follow"):
        tally.add(first)
