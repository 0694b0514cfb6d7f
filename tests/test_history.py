"""Rows that are inserted and deleted during a walk: permanent rows are returned once, and none is returned twice.

A writer changes the shop between calls, as its customers do: it inserts rows at the end, deletes some, and commits
some late, with an id below others that are there already. It records all rows and the permanent ones.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from conftest import slow_after
from walk_results import id_of

import magento_pager
from magento_pager import Goal
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Generator

    from magento_pager import ListName, Paginator, Query, StrategyName
    from magento_pager.walk.pages import Row
    from magento_pager.walk.reading import Source


@dataclass
class History:
    """A list that changes, with what was in it when; a `Source`, which changes it before each call.

    Attributes:
        shop: whose list it is.
        entity: the list.
        source: the list at the time of each call.
        chance: of what happens.
        fraction: of calls before which something happens.
        lasting: rows that were there all the time.
        ever: rows that were there at any time.
        done: what was done.
        latest: the first id that was asked for last.
        canaries: ids that served as one.
    """

    shop: Shop
    entity: str
    source: Source
    chance: random.Random
    fraction: float
    lasting: set[int] = field(init=False)
    ever: set[int] = field(init=False)
    done: Counter[str] = field(default_factory=Counter)
    latest: int = 0
    canaries: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.lasting = set(self.shop.database.ids(self.entity))
        self.ever = set(self.lasting)

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of one call, before which the list may change."""
        while self.chance.random() < self.fraction:
            self.change()
        self.latest = query.span.first
        if query.canary is not None:
            self.canaries.add(query.canary)
        yield from self.source.fetch(query)

    def change(self) -> None:
        """Insert, delete or commit late, anywhere or close to the walk's position."""
        present = sorted(self.shop.database.ids(self.entity))
        near = [number for number in present if abs(number - self.latest) < 100] or present
        match self.chance.choice(["insert", "delete", "delete near", "late", "late near"]):
            case "insert":
                self.insert("insert", present[-1] + self.chance.randrange(1, 4))
            case "delete":
                self.delete("delete", self.chance.choice(present))
            case "delete near":
                self.delete("delete near", self.chance.choice(near))
            case "late":
                self.insert("late", self.chance.randrange(1, present[-1]))
            case _:
                self.insert("late near", self.chance.choice(near) + self.chance.randrange(-5, 6))

    def insert(self, kind: str, number: int) -> None:
        """Insert a row with a new id."""
        if number > 0 and number not in self.ever:
            self.shop.database.insert(self.entity, {"entity_id": number})
            self.ever.add(number)
            self.done[kind] += 1

    def delete(self, kind: str, number: int) -> None:
        """Delete a row."""
        if self.shop.database.delete(self.entity, number):
            self.lasting.discard(number)
            self.done[kind] += 1


def walk_while_changing(
    shop: Shop, plan: Paginator, entity: str, seed: int, fraction: float
) -> tuple[Paginator, History]:
    """Walk over a list that changes."""
    history = History(shop, entity, plan.source, random.Random(seed), fraction)  # noqa: S311  no secret
    return replace(plan, source=history), history


def the_contract_holds(history: History, ids: list[int]) -> None:
    """Rows that always existed were returned exactly once, temporary ones at most once, and no others."""
    assert max(Counter(ids).values(), default=1) == 1
    assert set(ids) <= history.ever
    assert history.lasting <= set(ids)


SMALL = Goal(rows=40)  # so that a small list takes many windows
WALKS: list[tuple[str, ListName, StrategyName, int | None]] = [
    ("20.0.20", "orders", "auto", None),
    ("1.7.0.2", "customers", "auto", 20),
    ("20.0.20", "orders", "auto", 1),
    ("20.0.20", "orders", "in-list", 7),
    ("20.0.20", "orders", "prefix", 10),
    ("20.0.20", "orders", "single-filter", 100),
    ("1.6.2.0", "customers", "mapped", 50),
    ("1.6.2.0", "orders", "regexp", 100),
    ("1.4.1.1", "orders", "alias", None),
    ("20.0.20", "products", "auto", None),
    ("1.7.0.2", "shipments", "auto", 20),
    ("20.0.20", "shipments", "prefix", None),
    ("1.6.2.0", "invoices", "auto", 10),
]


def walk(profile: str, entity: ListName, strategy: StrategyName, window: int | None, seed: int) -> History:
    """Walk a list that changes, and check the contract against its history."""
    with Shop(profile=profile, orders=400) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        calm = pager.list(entity, strategy=strategy, window=window, goal=SMALL)
        plan, history = walk_while_changing(shop, calm, entity, seed, 0.4)
        ids = [id_of(row) for page in plan.pages() for row in page.rows]
        the_contract_holds(history, ids)
        return history


@pytest.mark.parametrize(("profile", "entity", "strategy", "window"), slow_after(2, WALKS))
def test_rows_inserted_and_deleted_during_a_walk(
    profile: str, entity: ListName, strategy: StrategyName, window: int | None, wire: str
) -> None:
    """Inserted, deleted or committed late, before or after the walk's position: the contract holds."""
    if wire == "xml-rpc" and strategy in {"alias", "mapped"}:
        pytest.skip(f"{strategy} is a strategy of SOAP alone")
    done: Counter[str] = Counter()
    for seed in range(2):
        done += walk(profile, entity, strategy, window, seed).done
    assert done.keys() >= {"insert", "delete", "delete near", "late"}


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(100, 140))
@pytest.mark.parametrize(("profile", "entity", "strategy", "window"), WALKS)
def test_more_histories(profile: str, entity: ListName, strategy: StrategyName, window: int | None, seed: int) -> None:
    """The same with more seeds."""
    walk(profile, entity, strategy, window, seed)


@pytest.mark.parametrize("wire", ["soap", "xml-rpc"], indirect=True)
@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("window", slow_after(1, [None, 10]))
def test_the_contract_holds_across_resumes(window: int | None) -> None:
    """A walk that is interrupted and resumed after every third page, while rows change, is one walk."""
    with Shop(orders=400) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan, history = walk_while_changing(shop, pager.orders(window=window, goal=SMALL), "orders", 7, 0.2)
        ids: list[int] = []
        cursor, begun = None, 0
        while cursor is None or cursor.next_id <= cursor.last_id:
            begun += 1
            for page, _ in zip(plan.pages(resume=cursor), range(3), strict=False):
                ids += map(id_of, page.rows)
                cursor = page.cursor
    assert begun > 2
    the_contract_holds(history, ids)
    assert ids == sorted(ids)


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("strategy", ["in-list", "regexp"])
def test_a_known_row_that_is_deleted(strategy: StrategyName) -> None:
    """The walk finds out that the server is honest, and chooses another known row."""
    with Shop(orders=300) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan, history = walk_while_changing(shop, pager.orders(strategy=strategy, window=20), "orders", 1, 0.0)
        ids: list[int] = []
        for number, page in enumerate(plan.pages()):
            ids += map(id_of, page.rows)
            if number in {6, 12}:
                for gone in ids:  # the canary is among them
                    history.delete("canary", gone)
        the_contract_holds(history, ids)
        assert ids == sorted(ids)
        assert len(history.canaries & history.ever - history.lasting) > 1, "more than one was deleted"


@pytest.mark.parametrize("window", [None, 10])
def test_a_row_committed_late_is_found_by_the_next_walk(window: int | None) -> None:
    """Below the cursor this walk cannot find it; above the requested ids it does."""
    with Shop(orders=300) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(window=window, last=290, goal=SMALL, lookahead=False)  # else a window more was asked for
        gaps = sorted(set(range(1, 290)) - set(shop.database.ids("orders")))
        ids: list[int] = []
        below: list[int] = []
        above: list[int] = []
        for page in plan.pages():
            ids += map(id_of, page.rows)
            if page.window.last >= 100 and not below:
                below = [number for number in gaps if number <= page.window.last]
                above = [number for number in gaps if number > page.window.last]
                for number in gaps:
                    shop.database.insert("orders", {"entity_id": number})
        assert not set(below) & set(ids)
        assert set(above) <= set(ids)
        assert below
        assert above
        assert sorted(map(id_of, plan)) == sorted([*ids, *below])
