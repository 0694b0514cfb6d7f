"""Increments: only changed rows, by a condition that the server honours, and none lost from one run to the next."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import pytest
from conftest import set_environment, slow_after
from hypothesis import given, settings
from hypothesis import strategies as st
from test_matrix import CELLS, delivered
from test_resume import killable_run  # noqa: F401  a fixture
from walk_results import id_of

import magento_pager
from magento_pager import STRATEGIES, FilterIgnoredError, PagerError
from magento_pager.cli import run
from magento_pager.errors import CheckpointMismatchError, FaultError
from magento_pager.export.checkpoints import Fingerprint
from magento_pager.export.increments import MARGIN, Newest, State, iso, locked_state, next_start
from magento_pager.fake import Shop
from magento_pager.fake.lists import LISTINGS
from magento_pager.walk.changes import LONG_AGO

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from magento_pager import ListName, Query
    from magento_pager.fake import Database
    from magento_pager.fake.api import Call
    from magento_pager.walk.conditions import Condition
    from magento_pager.walk.pages import Row
    from magento_pager.walk.reading import Source

LAST = 150_000
"""An id after the last row: a longer gap would cost calls."""
NEVER = datetime(2036, 1, 1, tzinfo=UTC)
DATED = frozenset({"orders", "creditmemos", "customers"})
"""Lists whose rows have a time of change."""


def text(time: datetime) -> str:
    """Return a time as the shop writes it."""
    return f"{time:%Y-%m-%d %H:%M:%S}"


def stamps(shop: Shop, entity: str) -> list[tuple[str, int]]:
    """Return each row's time of change and id, the last change first."""
    position = list(LISTINGS[entity].table.columns).index("updated_at")
    rows = zip(cast("Database", shop.database).rows(LISTINGS[entity].table), shop.database.ids(entity), strict=True)
    return sorted(((str(row[position]), number) for row, number in rows), reverse=True)


def changed_last(shop: Shop, entity: str, number: int) -> tuple[datetime, set[int]]:
    """Return a time since which a number of rows changed, or a few more in the same second; and their ids."""
    known = stamps(shop, entity)
    since = known[number - 1][0] if number else text(NEVER)
    return datetime.fromisoformat(since).replace(tzinfo=UTC), {row_id for stamp, row_id in known if stamp >= since}


# --- the condition ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "flavour", "entity"), CELLS)
def test_every_list_of_every_version_returns_exactly_the_changed_rows(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName
) -> None:
    """With no, few and many changed rows; with evidence for the condition."""
    shop = shop_of(profile, flavour)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        for number in (0, 2, 40):
            since, expected = changed_last(shop, entity, number)
            pages = list(pager.list(entity, updated_since=since).pages())
            ids = [id_of(row) for page in pages for row in page.rows]
            assert len(ids) == len(set(ids))
            assert set(ids) == expected
            changes = pages[0].changes
            assert changes is not None
            assert (changes.field, changes.operator, changes.since) == ("updated_at", "gteq", text(since))
            assert changes.verified == ("rows" if entity in DATED else "probe")


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("profile", "flavour", "entity"),
    [cell for cell in CELLS if cell[1] == "rpc" and cell[2] in {"orders", "shipments", "customers"}],
)
def test_every_strategy_returns_the_changed_rows_or_refuses(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName
) -> None:
    """Two rows are too few for a probe; the walk itself shows whether the strategy works, also with a known row."""
    shop = shop_of(profile, flavour)
    since, expected = changed_last(shop, entity, 2)
    refusals, successes = [], 0
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        for strategy in STRATEGIES[1:]:
            try:
                rows, _ = delivered(pager.list(entity, strategy=strategy, updated_since=since, last=LAST))
            except PagerError as error:
                refusals.append(str(error))
            else:
                assert len(rows) == len(set(rows)) == len(expected), strategy
                successes += 1
    assert successes >= 3
    assert all("strateg" in message or "fault" in message for message in refusals), refusals


@dataclass
class MisreadingSource:
    """A source that misreads the condition on time.

    Attributes:
        source: an honest one.
        misread: returns the condition that is applied instead, or None to drop it. May raise.
        fields: the fields whose conditions are misread.
    """

    source: Source
    misread: Callable[[Condition], Condition | None]
    fields: frozenset[str] = frozenset({"updated_at", "main_table.updated_at"})

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of one call."""
        applied = [self.misread(one) if one.field in self.fields else one for one in query.conditions]
        yield from self.source.fetch(replace(query, conditions=tuple(filter(None, applied))))


def refuse(condition: Condition) -> Condition:
    """Fail, as with a column of that name in two tables of the query."""
    raise FaultError("ambiguous", code="1", text=f"Column '{condition.field}' is ambiguous", operation="list")


MISREADINGS: dict[str, Callable[[Condition], Condition | None]] = {
    "dropped": lambda _: None,
    "read as =": lambda condition: replace(condition, operator="eq"),
    "only later times": lambda condition: replace(condition, operator="gt"),
    "only the day": lambda condition: replace(condition, value=condition.value[:10]),
    "by another clock": lambda condition: replace(
        condition, value=text(datetime.fromisoformat(condition.value) + timedelta(hours=2))
    ),
    "no rows": lambda condition: replace(condition, operator="null"),
    "refused": refuse,
}


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ["orders", "products", "shipments"])
@pytest.mark.parametrize("misreading", MISREADINGS)
@pytest.mark.usefixtures("hurried")
def test_a_misread_condition_is_detected(
    shop_of: Callable[[str, str], Shop], misreading: str, entity: ListName
) -> None:
    """No row is returned, and the error gives advice; but where rows have no time of change, a shift is undetected."""
    shop = shop_of("20.0.20", "rpc")
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.list(entity, updated_since=NEVER)
        plan = replace(plan, source=MisreadingSource(plan.source, MISREADINGS[misreading]))
        if entity != "orders" and misreading in {"only later times", "only the day", "by another clock"}:
            changes = next(plan.pages()).changes
            assert changes is not None
            assert changes.verified == "probe"
            return
        with pytest.raises(FilterIgnoredError, match="dump the whole list instead"):
            list(plan)


@pytest.mark.parametrize("entity", ["orders", "shipments"])
def test_the_next_condition_form_is_used_where_one_is_refused(
    shop_of: Callable[[str, str], Shop], entity: ListName
) -> None:
    """An extension that joins a table with a column of that name does not end the walk."""
    shop = shop_of("1.7.0.2", "rpc")
    since, expected = changed_last(shop, entity, 40)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.list(entity, updated_since=since)
        pages = list(replace(plan, source=MisreadingSource(plan.source, refuse, frozenset({"updated_at"}))).pages())
        source = MisreadingSource(plan.source, refuse, frozenset({"updated_at"}))
        estimate, parts = replace(plan, source=source).plan(), replace(plan, source=source).partitions(2)
    assert {id_of(row) for page in pages for row in page.rows} == expected
    assert pages[0].changes is not None
    assert str(pages[0].changes.conditions[0]).startswith("main_table.updated_at gteq")
    assert estimate.rows.least <= len(expected) <= estimate.rows.most
    assert "main_table.updated_at gteq" in str(estimate.queries[0])
    assert (parts[0].next_id, parts[-1].last_id) == (0, magento_pager.MAX_ID)


def test_a_repeated_hour_is_not_taken_for_a_misread_condition(shop: Shop) -> None:
    """A database may compare wrongly in the hour in which summer time ends: the next row decides."""
    first, second, *_ = shop.database.ids("orders")
    shop.database.update("orders", first, {"updated_at": "2023-10-29 00:30:00"})
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(updated_since=NEVER)
        source = MisreadingSource(
            plan.source, lambda one: replace(one, value=one.value.replace("10-29 00:", "10-29 01:"))
        )
        changes = next(replace(plan, source=source).pages()).changes
    assert changes is not None
    assert (changes.verified, changes.row) == ("rows", second)


@dataclass
class ChangingSource:
    """A source whose rows change before each call, a number of times.

    Attributes:
        shop: the shop with the rows.
        source: reads the rows.
        times: how often they still change.
    """

    shop: Shop
    source: Source
    times: int

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of one call."""
        if self.times:
            self.times -= 1
            for number in list(self.shop.database.ids("orders"))[:3]:
                self.shop.database.update("orders", number, {"updated_at": f"2030-01-01 00:00:{self.times:02}"})
        yield from self.source.fetch(query)


def test_a_row_that_changes_during_the_trial_is_not_taken_for_a_misread_condition(shop: Shop) -> None:
    """It is returned for a time after its change, because it changed again: the trial starts over."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(updated_since=NEVER)
        changes = next(replace(plan, source=ChangingSource(shop, plan.source, 12)).pages()).changes
    assert changes is not None
    assert changes.verified == "rows"


def test_an_empty_list_needs_no_trial() -> None:
    """There is no row to miss; rows added during the run are new."""
    with Shop(orders=0) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        pages = list(pager.orders(updated_since=NEVER).pages())
    assert not any(page.rows for page in pages)
    assert pages[0].changes is not None
    assert (pages[0].changes.verified, pages[0].changes.conditions) == ("empty", ())


def test_rows_without_a_time_are_not_used_for_the_trial(shop: Shop) -> None:
    """The first row with a time of change is used; in lists without such times, rows with NULL do no harm."""
    first, second, third, *_ = shop.database.ids("orders")
    shop.database.update("orders", first, {"updated_at": None})
    shop.database.update("orders", second, {"updated_at": "0000-00-00 00:00:00"})
    shop.database.update("shipments", next(iter(shop.database.ids("shipments"))), {"updated_at": None})
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        orders = next(pager.orders(updated_since=NEVER).pages()).changes
        shipments = next(pager.shipments(updated_since=NEVER).pages()).changes
    assert orders is not None
    assert (orders.verified, orders.row) == ("rows", third)
    assert shipments is not None
    assert shipments.verified == "probe"


def test_the_calls_of_the_trial_are_counted(shop: Shop) -> None:
    """The cost that pages report is the number of calls that the shop answered."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        shop.clear_log()
        calls = sum(page.stats.calls for page in pager.shipments(updated_since=NEVER).pages())
        assert calls <= len(shop.log) <= calls + 1  # the last call confirms that the list is empty


def test_a_time_without_a_zone_is_refused(shop: Shop) -> None:
    """So is a second condition on that column, which would be lost."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        with pytest.raises(ValueError, match="has no time zone, and shops use UTC: write 2024-05-01T00:00:00Z"):
            pager.orders(updated_since=datetime(2024, 5, 1))  # noqa: DTZ001  under test
        with pytest.raises(ValueError, match="need a condition on the same field"):
            pager.orders(updated_since=NEVER, where=[("main_table.updated_at", "lt", "2024-01-01")])
        plan = pager.orders(updated_since=datetime.fromisoformat("2024-05-01T02:00:00+02:00"), strategy="range")
        assert str(next(plan.queries())).endswith("and updated_at gteq '2024-05-01 00:00:00'")


# --- the state file ---------------------------------------------------------------------------------------------------

QUERY = Fingerprint("https://shop.example/", "orders", 0, 500)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
A_DAY, A_QUARTER = timedelta(days=1), timedelta(minutes=15)
RUN_ENDINGS = st.lists(
    st.tuples(st.integers(0, 5000), st.sampled_from(["complete", "die", "die before it is recorded"])), max_size=8
)


@given(RUN_ENDINGS, st.integers(0, 3600))
@settings(max_examples=25, deadline=None)
def test_no_time_range_is_skipped_between_two_runs(endings: list[tuple[int, str]], late: int) -> None:
    """However runs end, each one reads from before the start of the last complete one."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "state.json")
        now, covered = NOON, None
        for seconds, ending in endings:
            now += timedelta(seconds=seconds)
            with locked_state(path) as state:
                planned = state.plan(QUERY, now, late=timedelta(seconds=late), out="orders-{time}.ndjson")
                assert planned.begun <= now
                if covered is None:
                    assert planned.since is None
                else:
                    assert planned.since == covered - timedelta(seconds=late)
                if ending != "die before it is recorded":
                    state.begin()
                if ending == "complete":
                    state.complete(planned.begun)
                    covered = planned.begun


def test_a_run_that_is_started_again_is_the_same(tmp_path: Path) -> None:
    """It has the same times and the same output; with another output there is nothing to resume."""
    path = tmp_path / "state.json"
    out = str(tmp_path / "orders-{time}.ndjson")
    for number, later in enumerate((0, 60, 3600)):
        with locked_state(path) as state:
            planned = state.plan(QUERY, NOON + timedelta(seconds=later), out=out)
            assert (planned.begun, planned.since, planned.resumed) == (NOON, None, number > 0)
            assert planned.out == str(tmp_path / "orders-20240501T120000Z.ndjson")
            state.begin()
    with locked_state(path) as state:
        assert not state.plan(QUERY, NOON, out=str(tmp_path / "elsewhere-{time}.ndjson")).resumed
        state.plan(QUERY, NOON, out=out)
        state.complete(NOON)
    with locked_state(path) as state:
        planned = state.plan(QUERY, NOON + timedelta(days=1), out=out, late=timedelta(minutes=30))
        assert (planned.begun, planned.since) == (NOON + timedelta(days=1), NOON - timedelta(minutes=30))
        assert not planned.resumed


def test_one_state_has_several_lists(tmp_path: Path) -> None:
    """Each has its own time and its own query."""
    path = tmp_path / "state.json"
    customers = replace(QUERY, entity="customers")
    for query, time in ((QUERY, NOON), (customers, NOON + timedelta(hours=1))):
        with locked_state(path) as state:
            state.plan(query, time)
            state.begin()
            state.complete(time)
    with locked_state(path) as state:
        assert state.plan(QUERY, NEVER, late=timedelta()).since == NOON
        assert state.plan(customers, NEVER, late=timedelta()).since == NOON + timedelta(hours=1)
        with pytest.raises(CheckpointMismatchError, match="where was nothing and is now status:eq:new"):
            state.plan(replace(QUERY, where=("status:eq:new",)), NEVER)


@pytest.mark.parametrize("dated_by_rows", [False, True])
def test_after_a_clock_went_back_all_changes_are_read(tmp_path: Path, *, dated_by_rows: bool) -> None:
    """Later changes may have any time by that clock; unless the time of the last run comes from its rows."""
    path = tmp_path / "state.json"
    with locked_state(path) as state:
        state.plan(QUERY, NOON)
        state.begin()
        state.complete(NOON, dated_by_rows=dated_by_rows)
    with locked_state(path) as state:
        assert state.plan(QUERY, NOON - timedelta(minutes=5)).since == NOON - timedelta(minutes=10)
        planned = state.plan(QUERY, NOON - timedelta(minutes=15))
        assert state.clock_went_back is not dated_by_rows
        assert planned.since == (NOON - timedelta(minutes=10) if dated_by_rows else LONG_AGO)
        state.begin()
    with locked_state(path) as state:
        assert state.plan(QUERY, NOON).since == planned.since
        assert state.last == (NOON if dated_by_rows else LONG_AGO)


def test_a_state_of_version_1_is_read(tmp_path: Path) -> None:
    """As older versions wrote it: between two runs, and during one."""
    path = tmp_path / "state.json"
    for begun in (None, {"begun": "2024-05-01T12:00:00Z", "since": "2024-04-30T11:50:00Z", "out": None}):
        entry = {"asked": asdict(QUERY), "last": "2024-04-30T12:00:00Z", "begun": begun}
        path.write_text(json.dumps({"kind": "magento-pager state", "version": 1, "lists": [entry]}))
        with locked_state(path) as state:
            planned = state.plan(QUERY, NOON)
            assert (planned.begun, planned.since) == (NOON, NOON - timedelta(days=1, minutes=10))
            state.begin()
            state.complete(next_start(planned, state.last, rows=5, newest=None))
        with locked_state(path) as state:
            assert state.plan(QUERY, NOON + A_DAY).since == NOON - timedelta(days=1, minutes=10)


@dataclass
class Model:
    """Ten rows that change over time, dated by a clock that differs from the correct time.

    Attributes:
        changes: the future changes: time and row.
        skew: seconds by which that clock is ahead.
        now: the correct time.
        rows: date and number of each row's last change.
    """

    changes: list[tuple[int, int]]
    skew: int
    now: int = 0
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = dict.fromkeys(range(10), (self.skew, 0))

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds
        while self.changes and self.changes[0][0] <= self.now:
            when, row = self.changes.pop(0)
            self.rows[row] = (when + self.skew, self.rows[row][1] + 1)


def at(seconds: int) -> datetime:
    """Return the time a number of seconds after noon."""
    return NOON + timedelta(seconds=seconds)


SKEWS = st.sampled_from([0, 0, 0, 86_400, -86_400, 900, -900, 7200, 40_000, -3_000_000, 3_000_000])
CHANGES = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 8)), max_size=40).map(sorted)
RUNS = st.lists(st.tuples(SKEWS, SKEWS, SKEWS, st.integers(0, 400), st.integers(0, 3000)), min_size=2, max_size=5)


@given(changes=CHANGES, runs=RUNS, skew=st.sampled_from([0, -900, 900, 7200]), future=st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_wrong_clock_loses_a_change(
    changes: list[tuple[int, int]], runs: list[tuple[int, int, int, int, int]], skew: int, *, future: bool
) -> None:
    """Whatever `Date` says in each half of a run, and whatever this machine's clock says, each change is read."""
    model, known = Model(changes, skew), dict.fromkeys(range(10), -1)
    if future:
        model.rows[9] = (10**9, 0)  # as after an import
    calm = (0, 0, 0, 0, 10_000)
    with TemporaryDirectory() as folder, patch("time.monotonic", lambda: float(model.now)):
        for before, after, local, slow, pause in (*runs, calm, calm):
            ahead = before
            with locked_state(Path(folder, "state.json")) as state:
                planned = state.plan(QUERY, at(model.now + ahead), local_now=at(model.now + local), late=timedelta())
                state.begin()
                newest = Newest(planned.latest or NOON, lambda: at(model.now + ahead))  # noqa: B023  called in here
                rows = 0
                for row in range(10):
                    model.wait(slow)
                    ahead = after if row == 5 else ahead
                    date, version = model.rows[row]
                    if planned.since is None or at(date) >= planned.since:
                        newest.add([{"updated_at": text(at(date))}])
                        known[row], rows = version, rows + 1
                start = next_start(planned, state.last, rows=rows, newest=newest.time)
                state.complete(start, dated_by_rows=newest.time is not None)
            model.wait(pause)
    assert known == {row: version for row, (_, version) in model.rows.items()}


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"kind": "magento-pager checkpoint", "version": 1}', '{"kind": "magento-pager state"}']
)
def test_a_damaged_state_is_refused(tmp_path: Path, content: str) -> None:
    """It is not taken for a first run; the message says what to do."""
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"is not a state file of this version .* use another state \(--state\)"):
        State(path)


def test_of_two_concurrent_runs_one_is_refused(tmp_path: Path) -> None:
    """Until the first one ends."""
    path = tmp_path / "state.json"
    with (
        locked_state(path),
        pytest.raises(BlockingIOError, match=r"Another run .* holds .*state\.json\.lock"),
        locked_state(path),
    ):
        pass
    with locked_state(path):
        pass


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def run_dump(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return the nightly command, in its own folder, for a shop whose clock is set to noon."""
    monkeypatch.chdir(tmp_path)
    set_environment(monkeypatch, shop, shop.base_url)
    shop.change(clock=text(NOON))
    return lambda *arguments: run(["dump", *arguments])


def column_of(path: Path, table: str, key: str, column: str) -> dict[Any, Any]:
    """Return a column of a table, by key."""
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute(f"SELECT {key}, {column} FROM {table}").fetchall())  # noqa: S608  our own names


def test_one_command_serves_every_night(
    shop: Shop, run_dump: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first run dumps all rows; the next one the rows changed since, to the same table."""
    arguments = ("orders", "--state", "state.json", "--out", "shop.sqlite", "--report", "report.json")
    first, second, *_ = shop.database.ids("orders")
    known = stamps(shop, "orders")
    newest = datetime.fromisoformat(known[0][0]).replace(tzinfo=UTC)
    assert run_dump(*arguments) == 0
    report = json.loads(Path("report.json").read_text())
    assert (report["rows"], report["updated_since"]) == (200, None)
    shop.change(clock=text(NOON + timedelta(days=1)))
    shop.database.update("orders", first, {"status": "holded", "updated_at": text(NOON - timedelta(minutes=9))})
    shop.database.update("orders", second, {"status": "holded", "updated_at": text(newest - timedelta(minutes=12))})
    new = shop.database.insert("orders", {"status": "pending", "updated_at": text(NOON + timedelta(hours=1))})
    assert run_dump(*arguments) == 0
    report = json.loads(Path("report.json").read_text())
    assert report["complete"]
    since = datetime.fromisoformat(report["updated_since"]["time"])
    assert timedelta(minutes=10) <= newest - since < timedelta(minutes=11), "ten minutes, and the time of the run"
    assert report["rows"] == 2 + sum(stamp >= text(since) for stamp, _ in known)
    assert report["updated_since"]["condition"] == f"updated_at gteq '{text(since)}'"
    assert report["updated_since"]["verified"] == "rows"
    statuses = column_of(tmp_path / "shop.sqlite", "orders", "order_id", "status")
    assert (len(statuses), statuses[first], statuses[new]) == (201, "holded", "pending")
    assert statuses[second] != "holded", "it was committed more than ten minutes late"
    shop.change(clock=text(NOON + timedelta(days=2)))
    assert run_dump(*arguments) == 0
    report = json.loads(Path("report.json").read_text())
    assert (report["rows"], report["updated_since"]["time"][:13]) == (1, "2024-05-01T12")
    assert capfd.readouterr().err.count("warning: The shop's clock says 2024-05-03T12:00:00Z, but this machine's") == 1


def test_each_run_has_its_own_file(shop: Shop, run_dump: Callable[..., int], tmp_path: Path) -> None:
    """Named by the shop's clock; also for lists whose rows have no time of change."""
    arguments = ("shipments", "--state", "state.json", "--late", "1h", "--out", "shipments-{time}.csv")
    assert run_dump(*arguments) == 0
    shop.change(clock=text(NOON + timedelta(days=1)))
    number = next(iter(shop.database.ids("shipments")))
    shop.database.update("shipments", number, {"updated_at": text(NOON - timedelta(minutes=59))})
    assert run_dump(*arguments) == 0
    files = sorted(tmp_path.glob("*.csv"))
    assert [file.name for file in files] == ["shipments-20240501T120000Z.csv", "shipments-20240502T120000Z.csv"]
    assert [file.read_text().count("\n") for file in files] == [101, 2]


def test_since_without_a_state(shop: Shop, run_dump: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    """A time, or a time span before the shop's clock; the summary has the time and the evidence."""
    first, *_ = shop.database.ids("orders")
    shop.database.update("orders", first, {"updated_at": text(NOON - timedelta(hours=2))})
    for since in ("2024-05-01T10:00:00Z", "2024-05-01T12:00:00+02:00", "2h", "120m"):
        assert run_dump("orders", "--since", since) == 0
        out, err = capfd.readouterr()
        assert [json.loads(line)["order_id"] for line in out.splitlines()] == [str(first)]
        assert "Contains only orders changed since 2024-05-01 10:00:00 UTC." in err
    assert run_dump("products", "--since", "1h") == 0
    assert "because products do not carry the time of their last change" in capfd.readouterr().err
    assert run_dump("orders", "--since", "1h", "--out", "shop.db") == 0
    assert run_dump("orders", "--since", "3h", "--out", "shop.db") == 0
    assert list(column_of(Path("shop.db"), "orders", "order_id", "status")) == [first]


WRONG = [
    (["--since", "2024-05-01"], 2, "has no time zone. Write 2024-05-01T00:00:00Z for UTC, or an offset"),
    (["--since", "yesterday"], 2, "is not a time. Use the form 2024-05-01T10:00:00Z, or a period"),
    (["--since", "2h", "--where", "updated_at:lt:2024-05-01"], 2, "need a condition on the same field"),
    (["--late", "2h"], 2, "--late needs --state"),
    (["--state", "s", "--late", "soon"], 2, "not a length of time"),
    (["--state", "s", "--since", "2h"], 2, "Remove --since"),
    (["--state", "s", "--resume", "--out", "f.db"], 2, "Remove --resume"),
    (["--state", "s", "--report", "./s"], 2, "are the same file"),
    (["--state", "s", "--out", "f.csv"], 2, "--out orders-{time}.ndjson"),
    (["--state", "/nonexistent/folder/s", "--out", "f.db"], 1, "No such file or directory"),
]


@pytest.mark.parametrize(("arguments", "status", "message"), WRONG)
def test_mistakes_are_one_line(
    run_dump: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    *,
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    """It says what to write instead, and nothing is written."""
    assert run_dump("orders", *arguments) == status
    err = capfd.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir() if not file.name.endswith(".lock")] == []


def test_overlapping_runs_are_refused(run_dump: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    """With exit status 1, which cron reports."""
    with locked_state("state.json"):
        assert run_dump("orders", "--state", "state.json", "--out", "shop.db") == 1
    assert "Another run that uses state.json has not ended: it holds state.json.lock" in capfd.readouterr().err


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ["orders", "products", "shipments"])
@pytest.mark.parametrize("ahead", [A_DAY, -A_DAY, timedelta(hours=-3), timedelta()])
@pytest.mark.parametrize("wrong", ["first", "second"])
def test_a_clock_that_is_wrong_for_one_run_loses_nothing(
    shop: Shop, run_dump: Callable[..., int], tmp_path: Path, *, entity: ListName, ahead: timedelta, wrong: str
) -> None:
    """Rows changed between that run and the next one are in one of the later runs."""
    arguments = (entity, "--state", "state.json", "--out", "shop.sqlite")
    column, key = {"orders": "store_name", "products": "name", "shipments": "total_qty"}[entity], f"{entity[:-1]}_id"
    changed = sorted(shop.database.ids(entity))[:4]
    if entity == "shipments":
        key = "increment_id"
    for number, row_id in enumerate(changed):
        now = NOON + number * timedelta(hours=8)
        skew = ahead if wrong == ("first", "second", "", "")[number] else timedelta()
        shop.change(clock=text(now + skew))
        assert run_dump(*arguments) == 0
        shop.database.update(entity, row_id, {column: str(7000 + number), "updated_at": text(now + timedelta(hours=1))})
    shop.change(clock=text(NOON + timedelta(days=3)))
    assert run_dump(*arguments) == 0
    values = column_of(tmp_path / "shop.sqlite", entity, key, column)
    assert {str(7000 + number) for number in range(4)} <= {str(value).partition(".")[0] for value in values.values()}


@pytest.mark.parametrize("entity", ["orders", "customers", "products"])
def test_a_database_clock_behind_the_web_servers_loses_nothing(
    shop: Shop, run_dump: Callable[..., int], tmp_path: Path, entity: ListName
) -> None:
    """Rows changed right after the start of a run are dated a quarter of an hour before it."""
    arguments = (entity, "--state", "state.json", "--out", "shop.sqlite")
    column = {"orders": "store_name", "customers": "firstname", "products": "name"}[entity]
    first, second, *_ = sorted(shop.database.ids(entity))
    for number, row_id in enumerate((first, second)):
        now = NOON + number * A_DAY
        shop.change(clock=text(now))
        assert run_dump(*arguments) == 0
        shop.database.update(entity, row_id, {column: f"late {number}", "updated_at": text(now - A_QUARTER)})
    shop.change(clock=text(NOON + 2 * A_DAY))
    assert run_dump(*arguments) == 0
    values = column_of(tmp_path / "shop.sqlite", entity, f"{entity[:-1]}_id", column)
    assert (values[first], values[second]) == ("late 0", "late 1")


def test_an_increment_is_refused_without_its_table(
    run_dump: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """All earlier rows must be in the table; nor is the table of another dump used."""
    arguments = ("orders", "--state", "state.json", "--out", "shop.db")
    assert run_dump(*arguments) == 0
    Path("shop.db").unlink()
    assert run_dump(*arguments) == 2
    assert "has no finished table orders to add to. Dump all orders first" in capfd.readouterr().err
    assert run_dump("orders", "--last", "5", "--out", "other.db") == 0
    for _ in range(2):
        assert run_dump("orders", "--state", "other.json", "--out", "other.db") == 2
        assert "already has a table orders" in capfd.readouterr().err


def test_a_stopped_run_is_resumed_by_the_same_command(
    shop: Shop, run_dump: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It continues where it stopped, and keeps its first start."""
    slow = ("--window", "20", "--strategy", "prefix")
    arguments = ("orders", "--state", "state.json", "--out", "orders-{time}.ndjson", *slow)
    shop.change(latency=0.05)
    pid = os.fork()
    if pid == 0:
        os._exit(run(["dump", *arguments]))
    mark = tmp_path / "orders-20240501T120000Z.ndjson.checkpoint"
    while not mark.exists():
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 143
    assert "--state state.json" in (err := capfd.readouterr().err)
    assert "--resume" not in err
    shop.change(clock=text(NOON + timedelta(hours=1)), latency=0.0)
    shop.clear_log()
    assert run_dump(*arguments) == 0
    rows = [json.loads(row)["order_id"] for row in (tmp_path / mark.stem).read_text().splitlines()]
    assert len(rows) == len(set(rows)) == 200
    with locked_state("state.json") as state:
        known = json.loads(Path("state.json").read_text())["lists"][0]
        assert (known["last"], known["begun"]) == (iso(NOON - MARGIN), None), "because one run did not read all of it"
        assert state.path == Path("state.json")


@pytest.mark.slow
@pytest.mark.parametrize("step", slow_after(1, [18, 4]))
@pytest.mark.parametrize("name", slow_after(1, ["shop.db", "orders-{time}.ndjson"]))
def test_killed_at_every_step_no_change_is_lost(
    *,
    shop: Shop,
    tmp_path: Path,
    run_dump: Callable[..., int],
    killable_run: Callable[..., dict[str, Any]],  # noqa: F811  a fixture
    name: str,
    step: int,
) -> None:
    """Whenever a run is killed, the next one dumps its rows."""
    where = ("--url", shop.url, "--user", shop.user, "--key", shop.key)
    options = ("--last", "99", "--window", "50", "--strategy", "prefix")
    arguments = ("orders", "--state", str(tmp_path / "state.json"), "--out", str(tmp_path / name), *options)
    for die_at in count(1, step):
        for file in tmp_path.iterdir():
            file.unlink()
        changed = random.Random(die_at).sample(sorted(shop.database.ids("orders"))[:60], 5)  # noqa: S311  a game
        shop.change(clock=text(NOON))
        assert run_dump(*arguments) == 0
        shop.change(clock=text(NOON + timedelta(days=1)))
        for number in changed:
            shop.database.update("orders", number, {"store_name": f"killed at {die_at}", "updated_at": text(NOON)})
        result = killable_run("dump", *arguments, *where, die_at=die_at)
        assert result["status"] in {0, -signal.SIGKILL}, result
        shop.change(clock=text(NOON + timedelta(days=2)))
        assert run_dump(*arguments) == 0
        if name == "shop.db":
            names = column_of(tmp_path / name, "orders", "order_id", "store_name")
        else:
            rows = [
                json.loads(row) for path in sorted(tmp_path.glob("*.ndjson")) for row in path.read_text().splitlines()
            ]
            names = {int(row["order_id"]): row["store_name"] for row in rows}
        assert {names[number] for number in changed} == {f"killed at {die_at}"}
        if result["status"] == 0:
            break
    assert die_at > 30


# --- a history --------------------------------------------------------------------------------------------------------


@dataclass
class Writers:
    """Writers that change a list while it is dumped, and advance the clock.

    Attributes:
        shop: the shop with the list.
        entity: the list.
        column: the column with the number of each row's last change.
        chance: decides what happens.
        now: the correct time.
        behind: time by which the clock that dates changes is behind.
        ahead: time by which the web server's clock is ahead.
        latest: number of the last committed change of each row.
        open: uncommitted changes by row: time, number of the change, and whether the row is new.
        done: how often each kind of change was made.
    """

    shop: Shop
    entity: str
    column: str
    chance: random.Random
    now: datetime = NOON
    behind: timedelta = timedelta()
    ahead: timedelta = timedelta()
    latest: dict[int, int] = field(default_factory=dict)
    open: dict[int, tuple[datetime, int, bool]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.latest = dict.fromkeys(self.shop.database.ids(self.entity), 0)
        for number in self.latest:
            self.shop.database.update(self.entity, number, {self.column: "0"})

    def act(self) -> None:
        """Make a change at most four minutes later, so that nothing is committed ten minutes late."""
        self.now += timedelta(seconds=self.chance.randrange(240))
        self.shop.change(clock=text(self.now + self.ahead))
        kind = self.chance.choice(["insert", "update", "update", "late insert", "late update"])
        number = max(self.latest.keys() | self.open.keys()) + self.chance.randrange(1, 3)
        if "update" in kind:
            number = self.chance.choice(sorted(self.latest.keys() - self.open.keys()))
        self.open[number] = (self.now, self.done.total() + 1, "insert" in kind)
        self.done[kind] += 1
        for row_id, (begun, *_) in list(self.open.items()):
            if (row_id, kind[:4] != "late") == (number, True) or self.now - begun > timedelta(minutes=5):
                self.commit(row_id)

    def commit(self, number: int) -> None:
        """Commit the change of a row."""
        begun, version, new = self.open.pop(number)
        row = {self.column: str(version), "updated_at": text(begun - self.behind)}
        if new:
            self.shop.database.insert(self.entity, {"entity_id": number, **row})
        else:
            self.shop.database.update(self.entity, number, row)
        self.latest[number] = version


class ChangingShop(Shop):
    """A shop that changes after some of its calls, and is sometimes blocked by a firewall."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._writers: Writers | None = None
        self._outages = 0.0
        self._lock = threading.Lock()  # a call that the client aborted may end after the next one

    def record(self, call: Call) -> None:
        """Record a call, and make changes after it."""
        super().record(call)
        with self._lock:
            if self._writers is not None and self._writers.chance.random() < 0.1:
                self._writers.act()
            if self._writers is not None and self._writers.chance.random() < self._outages:
                self.change(outage="firewall")

    def disturb(self, writers: Writers | None, outages: float = 0.0) -> None:
        """Start or stop changes, with an outage after this fraction of calls."""
        with self._lock:
            self._writers, self._outages = writers, outages
            self.change(outage="")


HISTORIES = [
    ("20.0.20", "orders", "store_name", "order_id", 1),
    ("1.4.1.1", "orders", "store_name", "order_id", 2),
    ("1.7.0.2", "customers", "firstname", "customer_id", 3),
    ("1.6.2.0", "products", "name", "product_id", 4),
    ("20.0.20", "shipments", "total_qty", "increment_id", 5),
]
ACTIONS = 1000
WRONG_CLOCKS = [timedelta(), timedelta(), A_DAY, -A_DAY, A_QUARTER, timedelta(hours=-3)]


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "entity", "column", "key", "seed"), slow_after(1, HISTORIES))
def test_after_each_run_every_row_is_at_least_as_new_as_its_start(
    tmp_path: Path, *, profile: str, entity: str, column: str, key: str, seed: int
) -> None:
    """With a thousand inserts, updates and late commits, between and during runs; failed runs are repeated."""
    check_history(tmp_path, profile, entity, column, key, seed)


@pytest.mark.parametrize(("profile", "entity", "column", "key", "seed"), slow_after(0, HISTORIES))
def test_the_same_with_different_clocks(
    tmp_path: Path, *, profile: str, entity: str, column: str, key: str, seed: int
) -> None:
    """A clock that is behind dates changes, and the web server's clock is wrong for some runs."""
    check_history(tmp_path, profile, entity, column, key, seed, skewed=True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("more", range(100, 2100, 100))
@pytest.mark.parametrize(("profile", "entity", "column", "key", "seed"), HISTORIES)
def test_more_histories(
    tmp_path: Path, *, profile: str, entity: str, column: str, key: str, seed: int, more: int, skewed: bool
) -> None:
    """The same with more seeds, and with equal or different clocks."""
    check_history(tmp_path, profile, entity, column, key, seed + more, skewed=skewed)


def check_history(  # noqa: PLR0917
    folder: Path, profile: str, entity: str, column: str, key: str, seed: int, *, skewed: bool = False
) -> None:
    """Dump a changing list again and again, and compare the table with the list."""
    chance = random.Random(seed)  # noqa: S311  a game
    statuses: Counter[int] = Counter()
    before: dict[int, int] = {}
    new_run = True
    with ChangingShop(profile=profile, orders=120) as shop:
        writers = Writers(shop, entity, column, chance, behind=A_QUARTER if skewed else timedelta())
        where = ["--url", shop.url, "--user", shop.user, "--key", shop.key]
        files = ["--state", str(folder / "state.json"), "--out", str(folder / "shop.db")]
        arguments = ["dump", entity, *where, *files, "--last", "200000"]
        for number in count():
            for _ in range(chance.randrange(80)):
                writers.act()
            if new_run:
                before = dict(writers.latest)
            writers.ahead = chance.choice(WRONG_CLOCKS) if skewed else timedelta()
            shop.change(clock=text(writers.now + writers.ahead))
            calm = new_run and writers.done.total() >= ACTIONS
            shop.disturb(None if calm else writers, outages=0.3 if number % 4 == 2 else 0.0)
            status = run(arguments)
            shop.disturb(None)
            statuses[status] += 1
            new_run = status == 0
            if not new_run:
                continue
            table = column_of(folder / "shop.db", entity, key, column)
            versions = {int(row_id) % 100_000_000: int(value) for row_id, value in table.items()}
            assert versions.keys() >= before.keys()
            assert all(versions[row_id] >= version for row_id, version in before.items())
            if calm:
                assert versions == before
                break
    assert writers.done.keys() == {"insert", "update", "late insert", "late update"}
    assert statuses[0] >= 5
    assert statuses[1] >= 1
    assert statuses.keys() == {0, 1}
