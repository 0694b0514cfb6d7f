"""What walks deliver while 1 call in 20 is answered with a lie, see `lying`.

    python -m benchmarks.lies [SEEDS] [--lie KIND]... [--walk NAME]... [--honest]

By default 20 seeds of each lie for each walk in each of the ways below, which takes some minutes. A JSON line for each
lie and walk, and one for each lie: of so many walks `lied` were told such a lie. They ended

- `exact`: every row once, in order, in a page whose window it lies in;
- `loud`: with an error, and all rows before its cursor were exact;
- `late`: with an error, but a row before its cursor came too early, as can show only where it comes again;
- `skipped`: whole, but rows that exist are named as broken;
- `repeated`: wrong, silently, where two calls or more told the same lie about each of the rows that are wrong;
- `endless`: not, after a thousand calls;
- `silent`: wrong, silently.

`examples` names ways and seeds of the last two.

With `--honest` nobody lies: how many calls walks take in the layout of the demo shop, and on 200 random ones.
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

from benchmarks.lying import CATCHABLE, UNSEEN, EndlessError, Kind, LyingList
from benchmarks.readings import Reading, eav, honest, random_ids, random_layout
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
UNHURRIED = 1e6  # seconds that a call may take: windows do not depend on how busy this machine is
WAYS: Mapping[str, Mapping[str, Any]] = {
    "wide": {"goal": Goal(seconds=UNHURRIED)},
    "narrow": {"goal": Goal(rows=100, seconds=UNHURRIED)},
    "window": {"window": 100},
    "lookahead": {"goal": Goal(rows=100, seconds=UNHURRIED), "lookahead": True},
    "resumed": {"goal": Goal(rows=100, seconds=UNHURRIED)},
    "partitions": {"goal": Goal(rows=100, seconds=UNHURRIED)},
}
"""Options of the walk by the way in which it is walked. `resumed` stops in the middle and resumes with the cursor."""
PARTITIONS = 4
LAYOUTS = ("dense", "gaps", "clusters", "demo")
DEMOS = (2_000, 20_000, 200_000)
RANDOM_LAYOUTS = 200
MOST_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Subject:
    """What is walked: a list, the name of a strategy, and how the server reads conditions."""

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
class Walked:
    """How a walk ended.

    Attributes:
        ending: in one word.
        lies: how many it was told.
        calls: how many it made.
        error: what ended it early; None where nothing did.
        lost: ids of rows that are missing before the end, and are not named as skipped.
        added: ids of rows that came twice, or in the wrong place.
        skipped: ids that are named as skipped.
        hidden: ids of rows that some reply left out.
    """

    ending: Ending
    lies: int
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


def walk(source: LyingList, strategy: str, **options: Any) -> Paginator:
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
    """Walk in one of the ways; one that is resumed stops at the first page with rows that reaches the middle."""
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
    """What pages brought, beside what they should have.

    Attributes:
        source: knows the truth.
        position: the id at which the next page should begin.
        lost: ids of rows that are missing, and are not named as skipped.
        added: ids of rows that came twice, or in the wrong place.
        early: those of them that came before their place.
        skipped: ids that are named as skipped.
    """

    source: LyingList
    position: int = 0
    lost: set[int] = field(default_factory=set)
    added: set[int] = field(default_factory=set)
    early: set[int] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)

    def add(self, page: Page) -> None:
        """Take a page into account."""
        ids = self.source.ids
        assert page.window.first == self.position, f"{page.window} does not follow {self.position}"
        self.position = page.window.last + 1
        skipped = {one.id for one in page.quarantined}
        came = [self.source.number(row) for row in page.rows]
        due = ids[bisect_left(ids, page.window.first) : bisect_left(ids, self.position)]
        assert came == sorted(came), f"the page of {page.window} is not in order"
        self.skipped |= skipped
        self.lost |= set(due).difference(came, skipped)
        added = set(Counter(came) - Counter(due))
        self.added |= added
        self.early |= {number for number in added if number >= self.position}


def walked(subject: Subject, way: str, kind: Kind | None, seed: int) -> Walked:
    """Walk, and look at what came of it; nothing waits."""
    source = LyingList(LISTS[subject.entity], layout(LAYOUTS[seed % len(LAYOUTS)]), kind, seed, subject.reading)
    tally = Tally(source)
    error: Exception | None = None
    with patch.object(retrying, "BACKOFF", lambda _: 0.0):
        try:
            for page in pages(walk(source, subject.strategy, **WAYS[way]), way, source.ids[ROWS // 2]):
                tally.add(page)
        except (PagerError, EndlessError) as caught:
            error = caught
    assert error or tally.position == MAX_ID + 1, "the walk ended before the last id"
    told = Counter(number for lie in source.lies for number in lie.hidden | lie.added)
    wrong = tally.lost | tally.added
    ending: Ending = "exact"
    if isinstance(error, EndlessError):
        ending = "endless"
    elif error and wrong and wrong == tally.early:
        ending = "late"
    elif wrong:
        ending = "repeated" if all(told[number] > 1 for number in wrong) else "silent"
    elif error or tally.skipped:
        ending = "loud" if error else "skipped"
    return Walked(
        ending,
        len(source.lies),
        source.calls,
        error,
        frozenset(tally.lost),
        frozenset(tally.added),
        frozenset(tally.skipped),
        frozenset(number for lie in source.lies for number in lie.hidden),
    )


def cell(kind: Kind, name: str, walks: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Return how walks ended that were told one kind of lie.

    Args:
        kind: of lie.
        name: of the subject.
        walks: the way and the seed of each.
    """
    found = {f"{way} {seed}": walked(SUBJECTS[name], way, kind, seed) for way, seed in walks}
    for text, one in found.items():
        assert one.lies or one.ending == "exact", f"{kind}, {name}, {text}: {one.ending} without a lie"
    endings = Counter(one.ending for one in found.values() if one.lies)
    examples = [text for text, one in found.items() if one.ending in {"endless", "silent"}]
    return {
        "walks": len(found),
        "lied": endings.total(),
        **{ending: endings[ending] for ending in ENDINGS},
        "examples": examples[:MOST_EXAMPLES],
    }


def honest_calls(entity: ListName, ids: Sequence[int], reading: Reading = honest) -> int:
    """Return how many calls a walk takes by `auto`, where nobody lies."""
    source = LyingList(LISTS[entity], tuple(ids), reading=reading)
    rows = [source.number(row) for row in walk(source, "auto", goal=Goal(seconds=UNHURRIED))]
    assert rows == list(ids)
    return source.calls


def honest_lines() -> Iterator[dict[str, Any]]:
    """Count the calls of honest servers: of each demo shop, and of random layouts together and one by one."""
    lists: tuple[ListName, ...] = ("orders", "shipments")
    for entity in lists:
        for orders in DEMOS:
            ids = tuple(demo_ids(sizes(orders)[entity]))
            yield {"list": entity, "layout": f"demo, {orders} orders", "calls": honest_calls(entity, ids)}
        layouts: dict[str, list[tuple[Sequence[int], Reading]]] = {
            "random stretches and servers": [random_layout(seed) for seed in range(RANDOM_LAYOUTS // 2)],
            "random, even and thinned": [(random_ids(seed), honest) for seed in range(RANDOM_LAYOUTS // 2)],
        }
        for name, some in layouts.items():
            calls = [honest_calls(entity, *one) for one in some]
            yield {"list": entity, "layout": name, "calls": sum(calls), "each": calls}


def lying_lines(kinds: Sequence[Kind], names: Sequence[str], seeds: int) -> Iterator[dict[str, Any]]:
    """Walk while servers lie: a line for each lie and walk, and one for each lie."""
    totals = {}
    for kind in kinds:
        total: Counter[str] = Counter()
        for name in names:
            line = cell(kind, name, product(WAYS, range(seeds)))
            total.update({key: count for key, count in line.items() if isinstance(count, int)})
            yield {"lie": kind, "walk": name, **line}
        totals[kind] = {key: total[key] for key in ("walks", "lied", *ENDINGS)}
    for kind, sums in totals.items():
        yield {"lie": kind, "walk": "all", **sums}


def main(arguments: Sequence[str]) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lies")
    parser.add_argument("seeds", nargs="?", type=int, default=SEEDS, help="Seeds of each lie, walk and way.")
    parser.add_argument("--lie", action="append", choices=(*CATCHABLE, *UNSEEN), help="Only this lie.")
    parser.add_argument("--walk", action="append", choices=tuple(SUBJECTS), help="Only this walk.")
    parser.add_argument("--honest", action="store_true", help="Count the calls of honest servers.")
    options = parser.parse_args(arguments)
    kinds, names = options.lie or (*CATCHABLE, *UNSEEN), options.walk or tuple(SUBJECTS)
    for line in honest_lines() if options.honest else lying_lines(kinds, names, options.seeds):
        print(json.dumps({"benchmark": "lies", **line}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
