"""Small nights: what little changed takes at most five calls, and whatever is odd goes the long way, exact."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from scheduled_runs import ScheduledRuns

    from magento_pager import ListName, Paginator, Query
    from magento_pager.walk.pages import Row

MOST = 5  # calls of a small night
CELLS = [
    (profile, entity)
    for profile in ("20.0.20", "1.8.1.0", "1.7.0.2", "1.6.2.0", "1.4.1.1")
    for entity in ("orders", "customers", "products", "invoices", "shipments", "creditmemos")
    if (profile, entity) != ("1.4.1.1", "creditmemos")
]


def lists_called(line: ScheduledRuns) -> int:
    """Calls for lists since the last time."""
    found = sum(call.operation not in {"login", "endSession", ""} for call in line.shop.log)
    line.shop.clear_log()
    return found


@pytest.mark.sampled
@pytest.mark.parametrize("wire", ["soap", "xml-rpc"])
@pytest.mark.parametrize(("profile", "entity"), CELLS)
def test_a_small_night_takes_five_calls(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName, wire: str
) -> None:
    """None, one, or half of the rows changed; and new ones, whose dates say nothing."""
    line = scheduled_runs(profile, entity, orders=200)
    asked: dict[str, Any] = {"wire": wire, "columns": "declared"}
    every = sorted(line.run(**asked)[0])
    for changed in ([], every[2:3], every[::2], every[-1:]):
        for number in changed:
            line.change(number)
        new = [line.insert("2019-02-03 04:05:06")] if changed else []
        lists_called(line)
        came, report = line.run(**asked)
        assert {*changed, *new} <= set(came)
        assert len(came) == len(set(came)) < len(every)
        assert lists_called(line) <= MOST
        assert report.complete
        every += new


@pytest.mark.parametrize("entity", ["orders", "customers"])
def test_the_newest_row_that_was_deleted_is_no_proof(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName
) -> None:
    """The walk finds out again how the server is asked, and the night after is small again."""
    line = scheduled_runs("20.0.20", entity)
    every = line.run()[0]
    assert line.entry()["newest"] in every
    line.shop.database.delete(entity, line.entry()["newest"])
    changed = line.change(every[7])
    lists_called(line)
    assert changed in line.run()[0]
    assert lists_called(line) > MOST
    line.run()
    assert lists_called(line) <= MOST


@pytest.mark.slow
def test_a_night_with_many_changes_asks_for_no_unbounded_reply(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """In windows, as any walk; the ending of ids tells that there are many."""
    line = scheduled_runs("20.0.20", "orders", orders=12_000)
    every = line.run()[0]
    for number in every[:11_000]:
        line.change(number)
    lists_called(line)
    came, _ = line.run()
    assert set(every[:11_000]) <= set(came)
    assert max(call.rows for call in line.shop.log) < 5_000


@dataclass
class Odd:
    """A source that does something else with queries of a kind, so many times.

    Attributes:
        source: an honest one.
        kind: whether a query is of that kind.
        rows: what becomes of the rows.
        drop: the field whose conditions are dropped; empty for none.
        times: how often.
    """

    source: Any
    kind: Callable[[Query], bool]
    rows: Callable[[list[Row]], list[Row]] = lambda rows: rows
    drop: str = ""
    times: int = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def fetch(self, query: Query) -> Generator[Row]:
        """Give other rows."""
        if not self.times or not self.kind(query):
            yield from self.source.fetch(query)
            return
        self.times -= 1
        kept = tuple(one for one in query.conditions if one.field != self.drop)
        yield from self.rows(list(self.source.fetch(replace(query, conditions=kept))))


def odd(**how: Any) -> Callable[[Paginator], Paginator]:
    """Give paginators such a source."""

    def change(paginator: Paginator) -> Paginator:
        return replace(paginator, source=Odd(paginator.source, **how))

    return change


def asks_for_all(query: Query) -> bool:
    """Whether a query asks for all old rows that changed."""
    bounds = {one.operator for one in query.conditions if one.field == "entity_id"}
    return bounds == {"to"}


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ["orders", "invoices", "shipments"])
@pytest.mark.parametrize("rows", [lambda rows: rows[:-3], lambda rows: rows[3:], lambda _: []])
def test_a_reply_that_leaves_changed_rows_out_is_not_believed(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName, rows: Callable[[list[Row]], list[Row]]
) -> None:
    """Another form must bring the same; else the walk does it. Where rows carry no ids, the next night brings them."""
    line = scheduled_runs("20.0.20", entity)
    every = line.run()[0]
    changed = {line.change(number) for number in every[10:40]}
    line.prepare = odd(kind=asks_for_all, rows=rows)
    came = set(line.run()[0])
    if (
        entity == "shipments"
    ):  # without ids, five calls do not suffice for that: the next night looks back over this one
        line.prepare = lambda paginator: paginator
        came |= set(line.run()[0])
    assert changed <= came


@pytest.mark.parametrize("entity", ["orders", "invoices", "shipments", "products"])
def test_a_condition_that_is_dropped_brings_no_unchanged_rows(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName
) -> None:
    """Where rows do not say when they changed, the last one shows it."""
    line = scheduled_runs("20.0.20", entity, orders=100)
    every = line.run()[0]
    changed = {line.change(number) for number in every[-5:]}

    def small(query: Query) -> bool:
        """Whether it is one of a small night."""
        key = next(one for one in query.conditions if one.field == "entity_id")
        return key.operator in {"to", "lteq"} or key.value.startswith("%")

    line.prepare = odd(kind=small, drop="updated_at", times=3)
    came = set(line.run()[0])
    assert changed <= came
    assert len(came) < len(every)


def test_ids_that_go_up_by_two_have_the_ending_that_is_asked_for(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """As with two databases that write in turn: an ending that no id has would tell of no change."""
    line = scheduled_runs("20.0.20", "orders", orders=4_000)
    for number in list(line.shop.database.ids("orders")):
        if number % 2:
            line.shop.database.delete("orders", number)
    every = line.run()[0]
    for number in every:
        line.change(number)
    lists_called(line)
    assert set(line.run()[0]) == set(every)
    assert next(call for call in line.shop.log if call.conditions).rows > 0


def test_after_a_week_rows_without_ids_must_come_twice(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """As no later run reads them again."""
    line = scheduled_runs("20.0.20", "shipments")
    every = line.run()[0]
    line.advance(timedelta(days=7))
    changed = {line.change(number) for number in every[10:40]}
    line.prepare = odd(kind=asks_for_all, rows=lambda rows: rows[5:])
    with pytest.warns(UserWarning, match="The shop's clock says"):
        assert changed <= set(line.run()[0])


@pytest.mark.sampled
@pytest.mark.parametrize("options", [{"window": 50}, {"parallel": 2}, {"lookahead": False}, {"details": True}])
@pytest.mark.parametrize("entity", ["orders", "shipments"])
def test_options_of_a_walk_hold_for_small_nights(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName, options: dict[str, Any]
) -> None:
    """Exactly what changed, with pages no wider than was asked for."""
    line = scheduled_runs("20.0.20", entity)
    every = line.run(**options)[0]
    changed = {line.change(number) for number in every[3:90:3]}
    came, _ = line.run(**options)
    assert changed <= set(came)
    assert len(came) < len(every)
