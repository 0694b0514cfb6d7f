"""How walks end when 1 call in 20 gets a wrong reply, see `benchmarks.unreliable`.

    python -m benchmarks.wrong_replies [SEEDS] [--kind KIND]... [--walk NAME]... [--honest]

By default 20 seeds of each kind of wrong reply, for each walk in each of the ways below, which takes some minutes.
Prints a JSON line for each kind and walk, and one for each kind. `affected` of the walks got such a reply. They ended

- `exact`: every row once, in order, in a page whose window contains it;
- `loud`: with an error, and all rows before its cursor were exact;
- `late`: with an error, but a row before its cursor came too early, which shows only when the row is returned again;
- `skipped`: to the end, but rows that exist are reported as skipped;
- `repeated`: wrong without an error, where at least two calls were wrong about each of the wrong rows;
- `endless`: stopped by the benchmark, after a thousand calls;
- `silent`: wrong without an error.

`examples` names ways and seeds of the last two.

With `--honest` all replies are right: counts the calls of walks in the layout of the demo shop, and on 200 random ones.
"""

from __future__ import annotations

import argparse
import json
import sys
from bisect import bisect_left
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args
from unittest.mock import patch

from benchmarks.readings import Reading, eav, honest, random_ids, random_layout
from benchmarks.unreliable import DETECTABLE, UNDETECTABLE, EndlessError, Kind, UnreliableList
from magento_pager import MAX_ID, Goal, PagerError, Paginator
from magento_pager.fake.data import ids as demo_ids
from magento_pager.fake.data import sizes
from magento_pager.lists import LISTS
from magento_pager.shop.wires import WIRES, strategy_for
from magento_pager.walk import reading as retrying

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from magento_pager import Page
    from magento_pager.lists import ListName

Ending: TypeAlias = Literal["exact", "loud", "late", "skipped", "repeated", "endless", "silent"]
ENDINGS: tuple[Ending, ...] = get_args(Ending)

SEEDS = 20
ROWS = 3_000
NO_TIME_LIMIT = 1e6  # seconds for a call, so that windows do not depend on how busy this machine is
WAYS: Mapping[str, Mapping[str, Any]] = {
    "wide": {"goal": Goal(seconds=NO_TIME_LIMIT)},
    "narrow": {"goal": Goal(rows=100, seconds=NO_TIME_LIMIT)},
    "window": {"window": 100},
    "lookahead": {"goal": Goal(rows=100, seconds=NO_TIME_LIMIT), "lookahead": True},
    "resumed": {"goal": Goal(rows=100, seconds=NO_TIME_LIMIT)},
    "partitions": {"goal": Goal(rows=100, seconds=NO_TIME_LIMIT)},
}
"""Options of the walk by the name of the way. `resumed` stops in the middle and resumes with the cursor."""
PARTITIONS = 4
LAYOUTS = ("dense", "gaps", "clusters", "demo")
DEMOS = (2_000, 20_000, 200_000)
RANDOM_LAYOUTS = 200
MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Subject:
    """A walk: a list, the name of a strategy, and how the server reads conditions."""

    entity: ListName
    strategy: str
    reading: Reading = honest


SUBJECTS: Mapping[str, Subject] = {
    **{f"orders {name}": Subject("orders", name) for name in ("range", "alias", "in-list", "prefix", "auto")},
    **{f"customers {name}": Subject("customers", name) for name in ("prefix", "auto")},
    "customers auto, 1.7.0.2": Subject("customers", "auto", eav),
    **{f"shipments {name}": Subject("shipments", name) for name in ("prefix", "auto")},
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a walk.

    Attributes:
        ending: one of `ENDINGS`.
        wrong_replies: number of wrong replies.
        calls: number of calls.
        error: the error that ended it early; None if there was none.
        lost: ids of rows that are missing before the end, and are not reported as skipped.
        added: ids of rows that were delivered twice, or in the wrong place.
        skipped: ids that are reported as skipped.
        hidden: ids of rows that some reply lacked.
    """

    ending: Ending
    wrong_replies: int
    calls: int
    error: Exception | None
    lost: frozenset[int]
    added: frozenset[int]
    skipped: frozenset[int]
    hidden: frozenset[int]


@cache
def layout(name: str) -> tuple[int, ...]:
    """Return the ids of about 3,000 rows.

    >>> [len(layout(name)) for name in LAYOUTS]
    [3000, 3000, 3000, 3000]
    """
    chance = Random(name)  # noqa: S311  no secret
    stretches = {
        "dense": [range(1, 4_000)],
        "gaps": [range(1, 1_200), range(1_350, 2_600), range(4_900, 9_000)],
        "clusters": [range(40, 1_100), range(60_000, 61_200), range(2_000_000, 2_004_000)],
    }
    if name == "demo":
        return tuple(demo_ids(ROWS))
    ids = (number for stretch in stretches[name] for number in stretch if chance.random() < 9 / 10)
    return tuple(number for number, _ in zip(ids, range(ROWS), strict=False))


def walk(source: UnreliableList, strategy: str, **options: Any) -> Paginator:
    """Return a walk over a list in memory, as the façade makes it."""
    spec = source.spec
    return Paginator(
        source,
        strategy_for(strategy, spec),
        id_field=spec.key,
        identity_field=spec.identity,
        operation=spec.operation,
        candidates=WIRES["soap"].strategies(spec),
        **options,
    )


def pages(paginator: Paginator, way: str, middle: int) -> Iterator[Page]:
    """Walk in one of the ways; a resumed walk stops at the first page with rows that reaches the middle."""
    if way == "partitions":
        for partition in paginator.partitions(PARTITIONS):
            yield from paginator.pages(partition)
        return
    cursor = None
    with closing(paginator.pages()) as first:  # type: ignore[type-var]  # it is a generator
        for page in first:
            yield page
            if way == "resumed" and page.rows and page.window.last >= middle:
                cursor = page.cursor
                break
    if cursor is not None:
        yield from paginator.pages(cursor)


@dataclass
class Tally:
    """Compares the rows of pages with those of the list.

    Attributes:
        source: the list.
        position: the id at which the next page should begin.
        lost: ids of rows that are missing, and are not reported as skipped.
        added: ids of rows that were delivered twice, or in the wrong place.
        early: those of them that were delivered before their place.
        skipped: ids that are reported as skipped.
    """

    source: UnreliableList
    position: int = 0
    lost: set[int] = field(default_factory=set)
    added: set[int] = field(default_factory=set)
    early: set[int] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)

    def add(self, page: Page) -> None:
        """Compare a page."""
        ids = self.source.ids
        assert page.window.first == self.position, f"{page.window} does not follow {self.position}"
        self.position = page.window.last + 1
        skipped = {row.id for row in page.quarantined}
        delivered = [self.source.number(row) for row in page.rows]
        expected = ids[bisect_left(ids, page.window.first) : bisect_left(ids, self.position)]
        assert delivered == sorted(delivered), f"the page of {page.window} is not in order"
        self.skipped |= skipped
        self.lost |= set(expected).difference(delivered, skipped)
        added = set(Counter(delivered) - Counter(expected))
        self.added |= added
        self.early |= {number for number in added if number >= self.position}


def outcome_of(subject: Subject, way: str, kind: Kind | None, seed: int) -> Outcome:
    """Walk without waiting between attempts, and return the outcome."""
    source = UnreliableList(LISTS[subject.entity], layout(LAYOUTS[seed % len(LAYOUTS)]), kind, seed, subject.reading)
    tally = Tally(source)
    error: Exception | None = None
    with patch.object(retrying, "BACKOFF", lambda _: 0.0):
        try:
            for page in pages(walk(source, subject.strategy, **WAYS[way]), way, source.ids[ROWS // 2]):
                tally.add(page)
        except (PagerError, EndlessError) as caught:
            error = caught
    assert error or tally.position == MAX_ID + 1, "the walk ended before the last id"
    times_wrong = Counter(number for reply in source.wrong_replies for number in reply.hidden | reply.added)
    wrong = tally.lost | tally.added
    ending: Ending = "exact"
    if isinstance(error, EndlessError):
        ending = "endless"
    elif error and wrong and wrong == tally.early:
        ending = "late"
    elif wrong:
        ending = "repeated" if all(times_wrong[number] > 1 for number in wrong) else "silent"
    elif error or tally.skipped:
        ending = "loud" if error else "skipped"
    return Outcome(
        ending,
        len(source.wrong_replies),
        source.calls,
        error,
        frozenset(tally.lost),
        frozenset(tally.added),
        frozenset(tally.skipped),
        frozenset(number for reply in source.wrong_replies for number in reply.hidden),
    )


def cell(kind: Kind, name: str, walks: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Return how walks with one kind of wrong replies ended.

    Args:
        kind: of wrong replies.
        name: of the subject.
        walks: the way and the seed of each.
    """
    outcomes = {f"{way} {seed}": outcome_of(SUBJECTS[name], way, kind, seed) for way, seed in walks}
    for walk_name, outcome in outcomes.items():
        correct = not outcome.wrong_replies
        assert not correct or outcome.ending == "exact", f"{kind}, {name}, {walk_name}: {outcome.ending}"
    endings = Counter(outcome.ending for outcome in outcomes.values() if outcome.wrong_replies)
    examples = [name for name, outcome in outcomes.items() if outcome.ending in {"endless", "silent"}]
    return {
        "walks": len(outcomes),
        "affected": endings.total(),
        **{ending: endings[ending] for ending in ENDINGS},
        "examples": examples[:MOST_EXAMPLES],
    }


def honest_calls(entity: ListName, ids: Sequence[int], reading: Reading = honest) -> int:
    """Return the number of calls of a walk by `auto` on a server that replies correctly."""
    source = UnreliableList(LISTS[entity], tuple(ids), reading=reading)
    rows = [source.number(row) for row in walk(source, "auto", goal=Goal(seconds=NO_TIME_LIMIT))]
    assert rows == list(ids)
    return source.calls


def honest_lines() -> Iterator[dict[str, Any]]:
    """Count the calls on correct servers: for each demo shop, and for random layouts, in total and one by one."""
    lists: tuple[ListName, ...] = ("orders", "shipments")
    for entity in lists:
        for orders in DEMOS:
            ids = tuple(demo_ids(sizes(orders)[entity]))
            yield {"list": entity, "layout": f"demo, {orders} orders", "calls": honest_calls(entity, ids)}
        layouts: dict[str, list[tuple[Sequence[int], Reading]]] = {
            "random stretches and servers": [random_layout(seed) for seed in range(RANDOM_LAYOUTS // 2)],
            "random, even and thinned": [(random_ids(seed), honest) for seed in range(RANDOM_LAYOUTS // 2)],
        }
        for name, pairs in layouts.items():
            calls = [honest_calls(entity, *layout_and_reading) for layout_and_reading in pairs]
            yield {"list": entity, "layout": name, "calls": sum(calls), "each": calls}


def unreliable_lines(kinds: Sequence[Kind], names: Sequence[str], seeds: int) -> Iterator[dict[str, Any]]:
    """Walk on unreliable servers: yield a line for each kind and walk, and one for each kind."""
    totals = {}
    for kind in kinds:
        total: Counter[str] = Counter()
        for name in names:
            line = cell(kind, name, product(WAYS, range(seeds)))
            total.update({key: count for key, count in line.items() if isinstance(count, int)})
            yield {"kind": kind, "walk": name, **line}
        totals[kind] = {key: total[key] for key in ("walks", "affected", *ENDINGS)}
    for kind, sums in totals.items():
        yield {"kind": kind, "walk": "all", **sums}


def main(arguments: Sequence[str]) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wrong_replies")
    parser.add_argument("seeds", nargs="?", type=int, default=SEEDS, help="Number of seeds per kind, walk and way.")
    parser.add_argument(
        "--kind",
        action="append",
        choices=(*DETECTABLE, *UNDETECTABLE),
        help="Only this kind.",
    )
    parser.add_argument("--walk", action="append", choices=tuple(SUBJECTS), help="Only this walk.")
    parser.add_argument("--honest", action="store_true", help="Count the calls on servers that reply correctly.")
    options = parser.parse_args(arguments)
    kinds, names = options.kind or (*DETECTABLE, *UNDETECTABLE), options.walk or tuple(SUBJECTS)
    for line in honest_lines() if options.honest else unreliable_lines(kinds, names, options.seeds):
        print(json.dumps({"benchmark": "wrong_replies", **line}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
