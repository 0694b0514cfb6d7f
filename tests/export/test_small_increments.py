"""Small increments: few changes take at most five calls, and unusual replies a full walk with the same rows."""

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

MAX_CALLS = 5  # of a small increment
CELLS = [
    (profile, entity)
    for profile in ("20.0.20", "1.8.1.0", "1.7.0.2", "1.6.2.0", "1.4.1.1")
    for entity in ("orders", "customers", "products", "invoices", "shipments", "creditmemos")
    if (profile, entity) != ("1.4.1.1", "creditmemos")
]


def calls_since(runs: ScheduledRuns) -> int:
    """Return the number of calls since the last time, without logins and logouts."""
    calls = sum(call.operation not in {"login", "endSession", ""} for call in runs.shop.log)
    runs.shop.clear_log()
    return calls


@pytest.mark.sampled
@pytest.mark.parametrize("wire", ["soap", "xml-rpc"])
@pytest.mark.parametrize(("profile", "entity"), CELLS)
def test_a_small_increment_takes_five_calls(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName, wire: str
) -> None:
    """With no, one, or half of the rows changed, and new rows whose dates are wrong."""
    runs = scheduled_runs(profile, entity, orders=200)
    options: dict[str, Any] = {"wire": wire, "columns": "declared"}
    all_ids = sorted(runs.run(**options)[0])
    for changed in ([], all_ids[2:3], all_ids[::2], all_ids[-1:]):
        for number in changed:
            runs.change(number)
        new = [runs.insert("2019-02-03 04:05:06")] if changed else []
        calls_since(runs)
        ids, report = runs.run(**options)
        assert {*changed, *new} <= set(ids)
        assert len(ids) == len(set(ids)) < len(all_ids)
        assert calls_since(runs) <= MAX_CALLS
        assert report.complete
        all_ids += new


@pytest.mark.parametrize("entity", ["orders", "customers"])
def test_a_deleted_newest_row_proves_nothing(scheduled_runs: Callable[..., ScheduledRuns], entity: ListName) -> None:
    """The walk chooses the condition again, and the next increment is small again."""
    runs = scheduled_runs("20.0.20", entity)
    all_ids = runs.run()[0]
    assert runs.entry()["newest"] in all_ids
    runs.shop.database.delete(entity, runs.entry()["newest"])
    changed = runs.change(all_ids[7])
    calls_since(runs)
    assert changed in runs.run()[0]
    assert calls_since(runs) > MAX_CALLS
    runs.run()
    assert calls_since(runs) <= MAX_CALLS


@pytest.mark.slow
def test_an_increment_with_many_changes_is_read_in_windows(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """A sample by the last digits of ids shows that there are many."""
    runs = scheduled_runs("20.0.20", "orders", orders=12_000)
    all_ids = runs.run()[0]
    for number in all_ids[:11_000]:
        runs.change(number)
    calls_since(runs)
    ids, _ = runs.run()
    assert set(all_ids[:11_000]) <= set(ids)
    assert max(call.rows for call in runs.shop.log) < 5_000


@dataclass
class OddSource:
    """A source that changes the replies to certain queries, a number of times.

    Attributes:
        source: an honest one.
        kind: returns whether the reply to a query is changed.
        rows: returns the rows of the changed reply.
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
        """Yield the rows of one call, changed or not."""
        if not self.times or not self.kind(query):
            yield from self.source.fetch(query)
            return
        self.times -= 1
        kept = tuple(condition for condition in query.conditions if condition.field != self.drop)
        yield from self.rows(list(self.source.fetch(replace(query, conditions=kept))))


def with_odd_source(**fields: Any) -> Callable[[Paginator], Paginator]:
    """Return a function that gives a paginator such a source."""

    def change(paginator: Paginator) -> Paginator:
        return replace(paginator, source=OddSource(paginator.source, **fields))

    return change


def requests_all_changed(query: Query) -> bool:
    """Return whether a query requests all changed rows with known ids."""
    bounds = {condition.operator for condition in query.conditions if condition.field == "entity_id"}
    return bounds == {"to"}


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ["orders", "invoices", "shipments"])
@pytest.mark.parametrize("rows", [lambda rows: rows[:-3], lambda rows: rows[3:], lambda _: []])
def test_a_reply_without_some_changed_rows_is_not_accepted(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName, rows: Callable[[list[Row]], list[Row]]
) -> None:
    """An equivalent query must return the same rows. Where rows carry no ids, the next increment returns them."""
    runs = scheduled_runs("20.0.20", entity)
    all_ids = runs.run()[0]
    changed = {runs.change(number) for number in all_ids[10:40]}
    runs.prepare = with_odd_source(kind=requests_all_changed, rows=rows)
    ids = set(runs.run()[0])
    if entity == "shipments":  # without ids, five calls are not enough: the next increment reads these times again
        runs.prepare = lambda paginator: paginator
        ids |= set(runs.run()[0])
    assert changed <= ids


@pytest.mark.parametrize("entity", ["orders", "invoices", "shipments", "products"])
def test_a_dropped_condition_returns_no_unchanged_rows(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName
) -> None:
    """Where rows have no time of change, the last row reveals it."""
    runs = scheduled_runs("20.0.20", entity, orders=100)
    all_ids = runs.run()[0]
    changed = {runs.change(number) for number in all_ids[-5:]}

    def small(query: Query) -> bool:
        """Return whether a query is one of a small increment."""
        key = next(condition for condition in query.conditions if condition.field == "entity_id")
        return key.operator in {"to", "lteq"} or key.value.startswith("%")

    runs.prepare = with_odd_source(kind=small, drop="updated_at", times=3)
    ids = set(runs.run()[0])
    assert changed <= ids
    assert len(ids) < len(all_ids)


def test_ids_in_steps_of_two_are_sampled_by_an_ending_that_occurs(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """As with two databases that write in turn: a sample by digits that no id ends with would find no change."""
    runs = scheduled_runs("20.0.20", "orders", orders=4_000)
    for number in list(runs.shop.database.ids("orders")):
        if number % 2:
            runs.shop.database.delete("orders", number)
    all_ids = runs.run()[0]
    for number in all_ids:
        runs.change(number)
    calls_since(runs)
    assert set(runs.run()[0]) == set(all_ids)
    assert next(call for call in runs.shop.log if call.conditions).rows > 0


def test_after_a_week_rows_without_ids_must_be_returned_twice(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """Because no later run reads them again."""
    runs = scheduled_runs("20.0.20", "shipments")
    all_ids = runs.run()[0]
    runs.advance(timedelta(days=7))
    changed = {runs.change(number) for number in all_ids[10:40]}
    runs.prepare = with_odd_source(kind=requests_all_changed, rows=lambda rows: rows[5:])
    with pytest.warns(UserWarning, match="The shop's clock says"):
        assert changed <= set(runs.run()[0])


@pytest.mark.sampled
@pytest.mark.parametrize("options", [{"window": 50}, {"parallel": 2}, {"lookahead": False}, {"details": True}])
@pytest.mark.parametrize("entity", ["orders", "shipments"])
def test_options_of_a_walk_apply_to_small_increments(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName, options: dict[str, Any]
) -> None:
    """The changed rows, and few others."""
    runs = scheduled_runs("20.0.20", entity)
    all_ids = runs.run(**options)[0]
    changed = {runs.change(number) for number in all_ids[3:90:3]}
    ids, _ = runs.run(**options)
    assert changed <= set(ids)
    assert len(ids) < len(all_ids)
