"""The plan: an estimate within its own bar, from few and small calls, and the cost of the walk it speaks of."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import pytest
from benchmarks.readings import honest, last_per_column, random_ids, random_layout
from conftest import slow_after
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_source import MemorySource

from magento_pager import (
    MAX_ID,
    Alias,
    Goal,
    IdRange,
    InList,
    KeyRange,
    MalformedReplyError,
    Paginator,
    Prefix,
    Range,
    Regexp,
    RemoteError,
    SingleFilter,
    connect,
)
from magento_pager.cli import run
from magento_pager.walk.estimating import estimated
from magento_pager.walk.planning import Plan
from magento_pager.walk.sampling import ROWS_TO_COUNT, matching, patterns, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from magento_pager import ListName, Query, Strategy
    from magento_pager.fake import Shop
    from magento_pager.walk.pages import Row

MOST_CALLS = 12  # of a plan where rows carry ids, without those that test a strategy chosen by name
CANDIDATES: tuple[Strategy, ...] = (KeyRange(), Range(), Alias(), InList(), Prefix(), Regexp(), SingleFilter())
DRAWN = Random(5)  # noqa: S311  no secret

LAYOUTS = {
    "none": [],
    "one": [5],
    "one high": [3_000_000_000],
    "only the last possible": [MAX_ID],
    "dense from 0": range(3_000),
    "dense": range(1, 98_213),
    "a million": range(1, 1_050_001),
    "just above a power of ten": range(1, 10_100),
    "gaps": [number for number in range(1, 4_000) if number % 13 and not 700 <= number <= 1_400],
    "every second at random": [number for number in range(1, 200_000) if DRAWN.random() < 0.5],
    "every hundredth at random": [number for number in range(1, 1_000_000) if DRAWN.random() < 0.01],
    "odd": range(1, 60_000, 2),
    "7 mod 10": range(7, 200_000, 10),
    "a jump": [*range(1, 2_000), *range(100_000, 101_000)],
    "a far jump": [*range(1, 20_000), *range(1_000_000, 1_020_000)],
    "two far clusters": [*range(1, 500), *range(3_000_000_000, 3_000_001_000)],
    "begins high": range(5_000_000, 5_070_000),
}


def paginator(source: MemorySource, strategy: Strategy | None = None, **options: object) -> Paginator:
    """A walk over a list in memory."""
    identity = None if source.with_ids else "increment_id"
    return Paginator(source, strategy, "id", identity, "list", candidates=CANDIDATES, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layout", "with_ids"),
    [(layout, with_ids) for layout in LAYOUTS for with_ids in (True, False) if with_ids or layout != "a million"],
)
def test_the_estimate_is_within_its_own_bar(layout: str, *, with_ids: bool) -> None:
    """The number of rows lies in the bar, and where rows carry ids the bar is narrow; few calls, and small ones."""
    ids = list(LAYOUTS[layout])
    source = MemorySource(ids, with_ids=with_ids)
    found = paginator(source).plan()
    assert found.rows.least <= len(ids) <= found.rows.most, found
    assert found.rows.least <= found.rows.about <= found.rows.most
    if with_ids:
        assert found.last_id == max(ids, default=None)
        assert (found.first_id is None) is (not ids)
        assert found.first_id is None or 0 <= found.first_id - min(ids) <= 1_000
        assert found.rows.most - found.rows.least <= 0.4 * len(ids)
    assert found.proved
    assert found.spent == len(source.queries) <= (MOST_CALLS if with_ids else 3 * MOST_CALLS)
    assert source.largest <= 3 * ROWS_TO_COUNT


@pytest.mark.slow
@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("layouts", [random_ids, lambda seed: random_layout(seed)[0]], ids=["here", "of the trials"])
@pytest.mark.parametrize("count", slow_after(1, [40, 100]))
def test_the_bar_of_two_standard_errors_misses_rarely(
    layouts: Callable[[int], list[int]], count: int, *, with_ids: bool
) -> None:
    """On many layouts, with jumps and even distances, the truth is outside in at most one case of twenty."""
    missed = []
    for seed in range(count):
        ids = layouts(seed)
        found = paginator(MemorySource(ids, with_ids=with_ids)).plan().rows
        if not found.least <= len(ids) <= found.most:
            missed.append((seed, found, len(ids)))
    assert len(missed) <= count // 20, missed


def test_few_ids_are_counted_one_by_one() -> None:
    """Where every id was looked at there is no bar."""
    for ids in ([], [5], range(1, 900), [3_000_000_000]):
        found = paginator(MemorySource(ids)).plan().rows
        assert found.least == found.about == found.most == len(list(ids))


def test_kinds_of_patterns_that_disagree_are_all_in_the_bar() -> None:
    """Rows at an even distance of 1,000 are met by single ids never or always: the bar reaches to both."""
    for seed in "abcdefgh":
        ids = range(10_000_137, 18_000_137, 1_000)
        of = patterns(seed, -1)
        found = estimated([sample((number for number in ids if matching(number, of)), of)], [IdRange(1_000, MAX_ID)])
        assert found.least <= 8_000 <= found.most
        assert found.most - found.least > 2_000


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3_000_000), st.integers(1, 60_000), st.sampled_from([1, 2, 3, 10])),
        min_size=1,
        max_size=3,
    )
)
def test_any_stretches_cost_few_calls_and_end_where_they_end(stretches: list[tuple[int, int, int]]) -> None:
    """Whatever stretches exist, the calls are few, and where the end is said to be proved it is the end."""
    ids = sorted({number for first, count, step in stretches for number in range(first, first + count * step, step)})
    source = MemorySource(ids)
    found = paginator(source).plan()
    assert found.spent == len(source.queries) <= MOST_CALLS
    assert found.first_id is not None
    assert found.first_id >= ids[0]
    assert found.last_id is not None
    assert found.last_id == ids[-1] if found.proved else found.last_id <= ids[-1]
    assert found.rows.least <= found.rows.about <= found.rows.most
    assert found.rows.most >= len(ids) / 4, "short stretches hide, but not most of what there is"


@pytest.mark.sampled
@pytest.mark.parametrize("strategy", [KeyRange(), Range(), InList(), Prefix(), Regexp()], ids=lambda one: one.name)
@pytest.mark.parametrize("layout", ["7 mod 10", "a far jump", "dense", "begins high"])
@pytest.mark.parametrize("window", [None, 1_000])
def test_the_calls_are_those_of_the_walk(strategy: Strategy, layout: str, window: int | None) -> None:
    """A walk takes between half and twice as many calls as its plan says; by decimal blocks a third and three times."""
    source = MemorySource(LAYOUTS[layout])
    walk = paginator(source, strategy, window=window, goal=Goal(rows=2_000, seconds=100))
    found = walk.plan()
    source.queries.clear()
    rows = sum(len(page.rows) for page in walk.pages())
    assert rows == len(list(LAYOUTS[layout]))
    factor = 3 if isinstance(strategy, Prefix) else 2
    assert found.calls / factor <= len(source.queries) <= factor * found.calls
    assert found.strategy == strategy.name
    assert window is None or found.window == window


def test_first_last_and_where_count() -> None:
    """Only the ids that are asked for are counted, and the rest of the table is not asked for."""
    source = MemorySource(range(1, 300_000))
    found = paginator(source, Range(), first=20_500, last=31_000).plan()
    assert found.rows.least <= 10_501 <= found.rows.most
    assert found.rows.most < 12_500
    assert found.first_id is not None
    assert found.first_id >= 20_500
    assert source.largest <= 3 * ROWS_TO_COUNT
    assert str(found.queries[0]).startswith("entity_id from")


def test_an_old_server_is_planned_with_what_holds_there() -> None:
    """A server that keeps the last condition alone drops one bound of a range: the plan uses what it honours."""
    source = MemorySource(range(1, 5_000), last_per_column)
    found = paginator(source).plan()
    assert found.strategy == "in-list"
    assert found.rows.least <= 4_999 <= found.rows.most
    assert source.largest <= 4_999


def test_one_bound_alone_is_told_what_it_costs() -> None:
    """Every reply of single-filter is the whole rest of the table, and so are the bytes."""
    table = MemorySource(range(1, 50_000))
    bounded, unbounded = (paginator(Counting(table), one).plan() for one in (Range(), SingleFilter()))
    assert bounded.bytes is not None
    assert unbounded.bytes is not None
    assert 5 * bounded.bytes < unbounded.bytes
    assert table.largest <= 3 * ROWS_TO_COUNT


class Counting(MemorySource):
    """A list in memory that counts the bytes of a row as one hundred."""

    def __init__(self, table: MemorySource) -> None:
        super().__init__(table.ids, queries=table.queries)
        self.bytes_received = 0

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows."""
        for row in super().fetch(query):
            self.bytes_received += 100
            yield row


def test_bytes_are_those_of_the_rows() -> None:
    """What a row weighs is measured by the plan's own window."""
    found = paginator(Counting(MemorySource(range(1, 20_001))), Range()).plan()
    assert found.bytes is not None
    assert 0.9 * 2_000_000 <= found.bytes <= 1.1 * 2_000_000


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize(
    ("profile", "flavour", "entity"),
    [("20.0.20", "rpc", "orders"), ("20.0.20", "wsi", "customers"), ("1.7.0.2", "rpc", "shipments")],
)
def test_a_shop(shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName) -> None:
    """A plan over the wire has calls, bytes and time, and leaves nothing half-read."""
    shop = shop_of(profile, flavour)
    with connect(shop.url, shop.user, shop.key) as pager:
        before = len(shop.log)
        found = pager.list(entity).plan()
        assert len(shop.log) - before == found.spent <= MOST_CALLS
        received = pager.connection.bytes_received
        rows = len(list(pager.list(entity)))
        received = pager.connection.bytes_received - received
    assert found.rows.least <= rows <= found.rows.most
    assert found.bytes is not None
    assert received / 4 <= found.bytes <= 4 * received  # rows without ids are compared: some come twice
    assert 0 <= found.seconds < 60  # in tenths: a quick machine has none
    assert len(found.queries) == 3


def test_a_failing_call_ends_the_plan(shop: Shop) -> None:
    """What ails the shop is said, and no estimate is made up."""
    with connect(shop.url, shop.user, shop.key) as pager:
        shop.change(outage="firewall")
        with pytest.raises(RemoteError):
            pager.orders(patience=0).plan()


class Breaking(MemorySource):
    """A list in memory with a row that breaks every reply it is in."""

    broken = -1

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows, or a malformed reply."""
        for row in super().fetch(query):
            if row["id"] == str(self.broken):
                raise MalformedReplyError("malformed", remedy="isolate")
            yield row


def test_a_row_that_breaks_its_reply_is_avoided() -> None:
    """A sample with such a row is taken elsewhere, and the plan stands."""
    source = Breaking(range(1, 9_000))
    paginator(source).plan()
    thickest = max(
        (query for query, _ in source.queries if query.conditions[0].operator == "regexp"),
        key=lambda query: len(honest(query.conditions, list(source.ids))),
    )
    source.broken = honest(thickest.conditions, list(source.ids))[-1]
    source.queries.clear()
    found = paginator(source).plan()
    assert thickest in [query for query, _ in source.queries], "it was met"
    assert found.rows.least <= 8_999 <= found.rows.most


def test_the_command(shop: Shop, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints the plan, as text or as JSON."""
    for name, value in {"URL": shop.url, "API_USER": shop.user, "API_KEY": shop.key}.items():
        monkeypatch.setenv(f"MAGENTO_{name}", value)
    assert run(["plan", "orders", "--window", "50"]) == 0
    out = capfd.readouterr().out
    assert "rows      " in out
    assert "window    50 ids" in out
    assert out.count("query     ") == 3
    assert run(["plan", "orders", "--json", "--where", "status:eq:complete"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert set(found) == set(Plan.__dataclass_fields__)
    assert found["rows"]["most"] < 200
    assert "status eq 'complete'" in found["queries"][0]


def test_offline_no_shop_is_called(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The queries of a named strategy need no address and no key."""
    for name in ("MAGENTO_URL", "MAGENTO_API_USER", "MAGENTO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    asking = ["plan", "--offline", "--strategy", "prefix", "--first", "100", "--last", "399", "--window", "100"]
    assert run(asking) == 0
    assert capfd.readouterr().out.splitlines() == [f"entity_id like '{digit}__'" for digit in "123"]
    assert run(["plan", "invoices", "--offline", "--strategy", "range", "--queries", "2", "--json"]) == 0
    assert len(json.loads(capfd.readouterr().out)) == 2
    assert run(["plan", "--offline"]) == 2
    assert "Name one with --strategy." in capfd.readouterr().err
