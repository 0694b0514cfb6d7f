"""The plan: an estimate within its interval, from a few small calls, and the cost of the walk."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import pytest
from benchmarks.readings import honest, last_per_column, random_ids, random_layout
from conftest import set_environment, slow_after
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

MOST_CALLS = 12  # of a plan where rows carry ids, without the test of a named strategy
CANDIDATES: tuple[Strategy, ...] = (KeyRange(), Range(), Alias(), InList(), Prefix(), Regexp(), SingleFilter())
DRAWN = Random(5)  # noqa: S311  not a secret

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
    """Return a walk over a list in memory."""
    identity = None if source.with_ids else "increment_id"
    return Paginator(source, strategy, "id", identity, "list", candidates=CANDIDATES, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layout", "with_ids"),
    [(layout, with_ids) for layout in LAYOUTS for with_ids in (True, False) if with_ids or layout != "a million"],
)
def test_the_number_of_rows_is_within_the_interval(layout: str, *, with_ids: bool) -> None:
    """With ids in the rows the interval is narrow; the calls are few and small."""
    ids = list(LAYOUTS[layout])
    source = MemorySource(ids, with_ids=with_ids)
    plan = paginator(source).plan()
    assert plan.rows.least <= len(ids) <= plan.rows.most, plan
    assert plan.rows.least <= plan.rows.about <= plan.rows.most
    if with_ids:
        assert plan.last_id == max(ids, default=None)
        assert (plan.first_id is None) is (not ids)
        assert plan.first_id is None or 0 <= plan.first_id - min(ids) <= 1_000
        assert plan.rows.most - plan.rows.least <= 0.4 * len(ids)
    assert plan.proved
    assert plan.spent == len(source.queries) <= (MOST_CALLS if with_ids else 3 * MOST_CALLS)
    assert source.largest <= 3 * ROWS_TO_COUNT


@pytest.mark.slow
@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("layouts", [random_ids, lambda seed: random_layout(seed)[0]], ids=["here", "of the trials"])
@pytest.mark.parametrize("count", slow_after(1, [40, 100]))
def test_the_interval_of_two_standard_errors_is_rarely_wrong(
    layouts: Callable[[int], list[int]], count: int, *, with_ids: bool
) -> None:
    """On many layouts, with jumps and even distances, it is wrong in at most one case in twenty."""
    missed = []
    for seed in range(count):
        ids = layouts(seed)
        estimate = paginator(MemorySource(ids, with_ids=with_ids)).plan().rows
        if not estimate.least <= len(ids) <= estimate.most:
            missed.append((seed, estimate, len(ids)))
    assert len(missed) <= count // 20, missed


def test_few_ids_are_counted_one_by_one() -> None:
    """If every id was read, the number is exact."""
    for ids in ([], [5], range(1, 900), [3_000_000_000]):
        estimate = paginator(MemorySource(ids)).plan().rows
        assert estimate.least == estimate.about == estimate.most == len(list(ids))


def test_the_interval_covers_kinds_of_patterns_that_disagree() -> None:
    """Rows at an even distance of 1,000 are found by single ids never or always: it covers both."""
    for seed in "abcdefgh":
        ids = range(10_000_137, 18_000_137, 1_000)
        of = patterns(seed, -1)
        estimate = estimated([sample((number for number in ids if matching(number, of)), of)], [IdRange(1_000, MAX_ID)])
        assert estimate.least <= 8_000 <= estimate.most
        assert estimate.most - estimate.least > 2_000


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3_000_000), st.integers(1, 60_000), st.sampled_from([1, 2, 3, 10])),
        min_size=1,
        max_size=3,
    )
)
def test_plans_take_few_calls_and_prove_the_right_end(stretches: list[tuple[int, int, int]]) -> None:
    """On any layout the calls are few, and a proved end is the end of the rows."""
    ids = sorted({number for first, count, step in stretches for number in range(first, first + count * step, step)})
    source = MemorySource(ids)
    plan = paginator(source).plan()
    assert plan.spent == len(source.queries) <= MOST_CALLS
    assert plan.first_id is not None
    assert plan.first_id >= ids[0]
    assert plan.last_id is not None
    assert plan.last_id == ids[-1] if plan.proved else plan.last_id <= ids[-1]
    assert plan.rows.least <= plan.rows.about <= plan.rows.most
    assert plan.rows.most >= len(ids) / 4, "short ranges can be missed, but not most of the rows"


@pytest.mark.sampled
@pytest.mark.parametrize("strategy", [KeyRange(), Range(), InList(), Prefix(), Regexp()], ids=lambda one: one.name)
@pytest.mark.parametrize("layout", ["7 mod 10", "a far jump", "dense", "begins high"])
@pytest.mark.parametrize("window", [None, 1_000])
def test_the_planned_calls_are_close_to_those_of_the_walk(strategy: Strategy, layout: str, window: int | None) -> None:
    """A walk takes from half to twice the planned calls; with decimal blocks from a third to three times."""
    source = MemorySource(LAYOUTS[layout])
    walk = paginator(source, strategy, window=window, goal=Goal(rows=2_000, seconds=100))
    plan = walk.plan()
    source.queries.clear()
    rows = sum(len(page.rows) for page in walk.pages())
    assert rows == len(list(LAYOUTS[layout]))
    factor = 3 if isinstance(strategy, Prefix) else 2
    assert plan.calls / factor <= len(source.queries) <= factor * plan.calls
    assert plan.strategy == strategy.name
    assert window is None or plan.window == window


def test_a_plan_counts_only_the_selected_rows() -> None:
    """`first`, `last` and `where` apply, and no other ids are requested."""
    source = MemorySource(range(1, 300_000))
    plan = paginator(source, Range(), first=20_500, last=31_000).plan()
    assert plan.rows.least <= 10_501 <= plan.rows.most
    assert plan.rows.most < 12_500
    assert plan.first_id is not None
    assert plan.first_id >= 20_500
    assert source.largest <= 3 * ROWS_TO_COUNT
    assert str(plan.queries[0]).startswith("entity_id from")


def test_a_plan_uses_a_strategy_that_the_server_honours() -> None:
    """A server that keeps only the last condition drops one bound of a range: the plan uses another strategy."""
    source = MemorySource(range(1, 5_000), last_per_column)
    plan = paginator(source).plan()
    assert plan.strategy == "in-list"
    assert plan.rows.least <= 4_999 <= plan.rows.most
    assert source.largest <= 4_999


def test_the_plan_of_single_filter_includes_its_large_replies() -> None:
    """Every reply of single-filter contains the whole rest of the table, and the bytes include that."""
    table = MemorySource(range(1, 50_000))
    bounded, unbounded = (paginator(Counting(table), one).plan() for one in (Range(), SingleFilter()))
    assert bounded.bytes is not None
    assert unbounded.bytes is not None
    assert 5 * bounded.bytes < unbounded.bytes
    assert table.largest <= 3 * ROWS_TO_COUNT


class Counting(MemorySource):
    """A list in memory that counts 100 bytes per row."""

    def __init__(self, table: MemorySource) -> None:
        super().__init__(table.ids, queries=table.queries)
        self.bytes_received = 0

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows."""
        for row in super().fetch(query):
            self.bytes_received += 100
            yield row


def test_bytes_are_those_of_the_rows() -> None:
    """The size of a row is measured in the window that the plan reads."""
    plan = paginator(Counting(MemorySource(range(1, 20_001))), Range()).plan()
    assert plan.bytes is not None
    assert 0.9 * 2_000_000 <= plan.bytes <= 1.1 * 2_000_000


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize(
    ("profile", "flavour", "entity"),
    [("20.0.20", "rpc", "orders"), ("20.0.20", "wsi", "customers"), ("1.7.0.2", "rpc", "shipments")],
)
def test_a_plan_of_a_shop_over_http(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName
) -> None:
    """It has calls, bytes and time, and leaves no reply half-read."""
    shop = shop_of(profile, flavour)
    with connect(shop.url, shop.user, shop.key) as pager:
        before = len(shop.log)
        plan = pager.list(entity).plan()
        assert len(shop.log) - before == plan.spent <= MOST_CALLS
        received = pager.connection.bytes_received
        rows = len(list(pager.list(entity)))
        received = pager.connection.bytes_received - received
    assert plan.rows.least <= rows <= plan.rows.most
    assert plan.bytes is not None
    assert received / 4 <= plan.bytes <= 4 * received  # rows without ids are compared: some are requested twice
    assert 0 <= plan.seconds < 60  # in tenths: it is 0 on a fast machine
    assert len(plan.queries) == 3


def test_a_failing_call_ends_the_plan(shop: Shop) -> None:
    """The error of the shop is raised, and there is no estimate."""
    with connect(shop.url, shop.user, shop.key) as pager:
        shop.change(outage="firewall")
        with pytest.raises(RemoteError):
            pager.orders(patience=0).plan()


class Breaking(MemorySource):
    """A list in memory with a row that breaks every reply it is in."""

    broken = -1

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows, or fail with a malformed reply."""
        for row in super().fetch(query):
            if row["id"] == str(self.broken):
                raise MalformedReplyError("malformed", remedy="isolate")
            yield row


def test_a_row_that_breaks_its_reply_is_avoided() -> None:
    """A sample with such a row is replaced by another, and the plan is made."""
    source = Breaking(range(1, 9_000))
    paginator(source).plan()
    densest = max(
        (query for query, _ in source.queries if query.conditions[0].operator == "regexp"),
        key=lambda query: len(honest(query.conditions, list(source.ids))),
    )
    source.broken = honest(densest.conditions, list(source.ids))[-1]
    source.queries.clear()
    plan = paginator(source).plan()
    assert densest in [query for query, _ in source.queries], "the plan sampled the broken row"
    assert plan.rows.least <= 8_999 <= plan.rows.most


def test_the_command_prints_the_plan(
    shop: Shop, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints text, or JSON."""
    set_environment(monkeypatch, shop)
    assert run(["plan", "orders", "--window", "50"]) == 0
    out = capfd.readouterr().out
    assert "rows      " in out
    assert "window    50 ids" in out
    assert out.count("query     ") == 3
    assert run(["plan", "orders", "--json", "--where", "status:eq:complete"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert set(report) == set(Plan.__dataclass_fields__)
    assert report["rows"]["most"] < 200
    assert "status eq 'complete'" in report["queries"][0]


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
