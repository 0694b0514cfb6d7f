"""Increments: only what changed, said so that the server understands it, and nothing lost from one run to the next."""

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
from conftest import slow_after
from hypothesis import given, settings
from hypothesis import strategies as st
from test_matrix import CELLS, delivered
from test_resume import mortal  # noqa: F401  a fixture
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
"""An id behind the last one: what lies beyond is empty, and costs calls."""
NEVER = datetime(2036, 1, 1, tzinfo=UTC)
SAYS = frozenset({"orders", "creditmemos", "customers"})
"""Lists whose rows say when they were changed."""


def text(moment: datetime) -> str:
    """A moment as the shop writes it."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def stamps(shop: Shop, entity: str) -> list[tuple[str, int]]:
    """When each row was changed, and its id, the last change first."""
    at = list(LISTINGS[entity].table.columns).index("updated_at")
    rows = zip(cast("Database", shop.database).rows(LISTINGS[entity].table), shop.database.ids(entity), strict=True)
    return sorted(((str(row[at]), number) for row, number in rows), reverse=True)


def changed_last(shop: Shop, entity: str, number: int) -> tuple[datetime, set[int]]:
    """A moment since which so many rows were changed, or a few more in its second; and their ids."""
    known = stamps(shop, entity)
    since = known[number - 1][0] if number else text(NEVER)
    return datetime.fromisoformat(since).replace(tzinfo=UTC), {one for stamp, one in known if stamp >= since}


# --- how it is said ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "flavour", "entity"), CELLS)
def test_exactly_what_changed_comes_from_every_list_of_every_version(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName
) -> None:
    """None, too few to judge a strategy on, and many; with evidence for the condition."""
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
            assert changes.verified == ("rows" if entity in SAYS else "probe")


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("profile", "flavour", "entity"),
    [one for one in CELLS if one[1] == "rpc" and one[2] in {"orders", "shipments", "customers"}],
)
def test_with_a_strategy_by_name_the_same_or_a_refusal(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName
) -> None:
    """Two rows are too few to judge it on; the walk itself then shows whether it holds. A canary is among them."""
    shop = shop_of(profile, flavour)
    since, expected = changed_last(shop, entity, 2)
    refusals, right = [], 0
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        for strategy in STRATEGIES[1:]:
            try:
                rows, _ = delivered(pager.list(entity, strategy=strategy, updated_since=since, last=LAST))
            except PagerError as error:
                refusals.append(str(error))
            else:
                assert len(rows) == len(set(rows)) == len(expected), strategy
                right += 1
    assert right >= 3
    assert all("strateg" in words or "fault" in words for words in refusals), refusals


@dataclass
class Lying:
    """A source that does something else with the condition on time.

    Attributes:
        source: the honest one.
        lie: what is asked instead; None to leave the condition away. May raise.
        spoken: the fields that are lied about.
    """

    source: Source
    lie: Callable[[Condition], Condition | None]
    spoken: frozenset[str] = frozenset({"updated_at", "main_table.updated_at"})

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call."""
        told = [self.lie(one) if one.field in self.spoken else one for one in query.conditions]
        yield from self.source.fetch(replace(query, conditions=tuple(one for one in told if one)))


def refuse(condition: Condition) -> Condition:
    """A column of that name in two tables of the query."""
    raise FaultError("ambiguous", code="1", text=f"Column '{condition.field}' is ambiguous", operation="list")


LIES: dict[str, Callable[[Condition], Condition | None]] = {
    "dropped": lambda _: None,
    "read as =": lambda one: replace(one, operator="eq"),
    "later alone": lambda one: replace(one, operator="gt"),
    "the day alone": lambda one: replace(one, value=one.value[:10]),
    "by another clock": lambda one: replace(one, value=text(datetime.fromisoformat(one.value) + timedelta(hours=2))),
    "nothing": lambda one: replace(one, operator="null"),
    "refused": refuse,
}


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ["orders", "products", "shipments"])
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.usefixtures("hurried")
def test_a_server_that_does_not_understand_is_found_out(
    shop_of: Callable[[str, str], Shop], lie: str, entity: ListName
) -> None:
    """No row comes, and the error says what to do; only where rows do not say when may a shift go unseen."""
    shop = shop_of("20.0.20", "rpc")
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.list(entity, updated_since=NEVER)
        plan = replace(plan, source=Lying(plan.source, LIES[lie]))
        if entity != "orders" and lie in {"later alone", "the day alone", "by another clock"}:
            changes = next(plan.pages()).changes
            assert changes is not None
            assert changes.verified == "probe"
            return
        with pytest.raises(FilterIgnoredError, match="dump the whole list instead"):
            list(plan)


@pytest.mark.parametrize("entity", ["orders", "shipments"])
def test_the_next_spelling_is_taken_where_one_is_refused(shop_of: Callable[[str, str], Shop], entity: ListName) -> None:
    """An extension that joins a table with a column of that name does not end it."""
    shop = shop_of("1.7.0.2", "rpc")
    since, expected = changed_last(shop, entity, 40)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.list(entity, updated_since=since)
        pages = list(replace(plan, source=Lying(plan.source, refuse, frozenset({"updated_at"}))).pages())
        source = Lying(plan.source, refuse, frozenset({"updated_at"}))
        planned, parts = replace(plan, source=source).plan(), replace(plan, source=source).partitions(2)
    assert {id_of(row) for page in pages for row in page.rows} == expected
    assert pages[0].changes is not None
    assert str(pages[0].changes.conditions[0]).startswith("main_table.updated_at gteq")
    assert planned.rows.least <= len(expected) <= planned.rows.most
    assert "main_table.updated_at gteq" in str(planned.queries[0])
    assert (parts[0].next_id, parts[-1].last_id) == (0, magento_pager.MAX_ID)


def test_a_time_that_comes_twice_does_not_condemn_a_server(shop: Shop) -> None:
    """In the hour in which a database's summer time ends it may compare wrongly: the next row tells."""
    first, second, *_ = shop.database.ids("orders")
    shop.database.update("orders", first, {"updated_at": "2023-10-29 00:30:00"})
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(updated_since=NEVER)
        lie = Lying(plan.source, lambda one: replace(one, value=one.value.replace("10-29 00:", "10-29 01:")))
        changes = next(replace(plan, source=lie).pages()).changes
    assert changes is not None
    assert (changes.verified, changes.row) == ("rows", second)


@dataclass
class Restless:
    """A source whose rows are changed before each call, so many times.

    Attributes:
        shop: what holds them.
        source: what reads them.
        times: that something is still to happen.
    """

    shop: Shop
    source: Source
    times: int

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call."""
        if self.times:
            self.times -= 1
            for number in list(self.shop.database.ids("orders"))[:3]:
                self.shop.database.update("orders", number, {"updated_at": f"2030-01-01 00:00:{self.times:02}"})
        yield from self.source.fetch(query)


def test_a_row_that_is_changed_while_it_is_looked_at_does_not_condemn_a_server(shop: Shop) -> None:
    """It came since a second after it was changed, as it was changed again: the trial begins anew."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(updated_since=NEVER)
        changes = next(replace(plan, source=Restless(shop, plan.source, 12)).pages()).changes
    assert changes is not None
    assert changes.verified == "rows"


def test_an_empty_list_needs_no_trial() -> None:
    """Nothing can be kept back, so nothing is asked; what comes meanwhile is new."""
    with Shop(orders=0) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        pages = list(pager.orders(updated_since=NEVER).pages())
    assert not any(page.rows for page in pages)
    assert pages[0].changes is not None
    assert (pages[0].changes.verified, pages[0].changes.conditions) == ("empty", ())


def test_rows_without_a_time_are_not_taken_for_the_trial(shop: Shop) -> None:
    """The first that says when it was changed is; where none does, rows that are NULL among others do no harm."""
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
    """What the pages say they cost is what the shop answered."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        shop.clear_log()
        calls = sum(page.stats.calls for page in pager.shipments(updated_since=NEVER).pages())
        assert calls <= len(shop.log) <= calls + 1  # the last call asks whether the emptiness is to be believed


def test_a_time_without_a_zone_is_refused(shop: Shop) -> None:
    """Whose noon is it? And a second condition on that column would be lost."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        with pytest.raises(ValueError, match="has no time zone, and shops use UTC: write 2024-05-01T00:00:00Z"):
            pager.orders(updated_since=datetime(2024, 5, 1))  # noqa: DTZ001  that is the point
        with pytest.raises(ValueError, match="need a condition on the same field"):
            pager.orders(updated_since=NEVER, where=[("main_table.updated_at", "lt", "2024-01-01")])
        plan = pager.orders(updated_since=datetime.fromisoformat("2024-05-01T02:00:00+02:00"), strategy="range")
        assert str(next(plan.queries())).endswith("and updated_at gteq '2024-05-01 00:00:00'")


# --- what is remembered -----------------------------------------------------------------------------------------------

ASKED = Fingerprint("https://shop.example/", "orders", 0, 500)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
A_DAY, A_QUARTER = timedelta(days=1), timedelta(minutes=15)
DEEDS = st.lists(st.tuples(st.integers(0, 5000), st.sampled_from(["complete", "die", "die unseen"])), max_size=8)


@given(DEEDS, st.integers(0, 3600))
@settings(max_examples=25, deadline=None)
def test_between_two_runs_nothing_is_left_unasked(deeds: list[tuple[int, str]], late: int) -> None:
    """However runs end, each asks from before the last complete one began, and no later run asks for less than that."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "state.json")
        now, covered = NOON, None
        for seconds, ending in deeds:
            now += timedelta(seconds=seconds)
            with locked_state(path) as state:
                planned = state.plan(ASKED, now, late=timedelta(seconds=late), out="orders-{time}.ndjson")
                assert planned.begun <= now
                if covered is None:
                    assert planned.since is None
                else:
                    assert planned.since == covered - timedelta(seconds=late)
                if ending != "die unseen":
                    state.begin()
                if ending == "complete":
                    state.complete(planned.begun)
                    covered = planned.begun


def test_a_run_that_is_begun_again_is_the_same(tmp_path: Path) -> None:
    """Since when, until the output's name; only with another output there is nothing to go on with."""
    path = tmp_path / "state.json"
    out = str(tmp_path / "orders-{time}.ndjson")
    for number, later in enumerate((0, 60, 3600)):
        with locked_state(path) as state:
            planned = state.plan(ASKED, NOON + timedelta(seconds=later), out=out)
            assert (planned.begun, planned.since, planned.resumed) == (NOON, None, number > 0)
            assert planned.out == str(tmp_path / "orders-20240501T120000Z.ndjson")
            state.begin()
    with locked_state(path) as state:
        assert not state.plan(ASKED, NOON, out=str(tmp_path / "elsewhere-{time}.ndjson")).resumed
        state.plan(ASKED, NOON, out=out)
        state.complete(NOON)
    with locked_state(path) as state:
        planned = state.plan(ASKED, NOON + timedelta(days=1), out=out, late=timedelta(minutes=30))
        assert (planned.begun, planned.since) == (NOON + timedelta(days=1), NOON - timedelta(minutes=30))
        assert not planned.resumed


def test_one_state_holds_several_lists(tmp_path: Path) -> None:
    """Each has its own time, and what was asked for it."""
    path = tmp_path / "state.json"
    customers = replace(ASKED, entity="customers")
    for asked, at in ((ASKED, NOON), (customers, NOON + timedelta(hours=1))):
        with locked_state(path) as state:
            state.plan(asked, at)
            state.begin()
            state.complete(at)
    with locked_state(path) as state:
        assert state.plan(ASKED, NEVER, late=timedelta()).since == NOON
        assert state.plan(customers, NEVER, late=timedelta()).since == NOON + timedelta(hours=1)
        with pytest.raises(CheckpointMismatchError, match="where was nothing and is now status:eq:new"):
            state.plan(replace(ASKED, where=("status:eq:new",)), NEVER)


@pytest.mark.parametrize("sure", [False, True])
def test_a_clock_that_went_back_is_no_measure(tmp_path: Path, *, sure: bool) -> None:
    """What was changed since then may have any time, so everything is asked for; unless rows said when that was."""
    path = tmp_path / "state.json"
    with locked_state(path) as state:
        state.plan(ASKED, NOON)
        state.begin()
        state.complete(NOON, dated_by_rows=sure)
    with locked_state(path) as state:
        assert state.plan(ASKED, NOON - timedelta(minutes=5)).since == NOON - timedelta(minutes=10)
        planned = state.plan(ASKED, NOON - timedelta(minutes=15))
        assert state.clock_went_back is not sure
        assert planned.since == (NOON - timedelta(minutes=10) if sure else LONG_AGO)
        state.begin()
    with locked_state(path) as state:
        assert state.plan(ASKED, NOON).since == planned.since
        assert state.last == (NOON if sure else LONG_AGO)


def test_a_state_of_version_1_is_read(tmp_path: Path) -> None:
    """As it was written before rows said when a run began: between two runs, and with one on its way."""
    path = tmp_path / "state.json"
    for begun in (None, {"begun": "2024-05-01T12:00:00Z", "since": "2024-04-30T11:50:00Z", "out": None}):
        entry = {"asked": asdict(ASKED), "last": "2024-04-30T12:00:00Z", "begun": begun}
        path.write_text(json.dumps({"kind": "magento-pager state", "version": 1, "lists": [entry]}))
        with locked_state(path) as state:
            planned = state.plan(ASKED, NOON)
            assert (planned.begun, planned.since) == (NOON, NOON - timedelta(days=1, minutes=10))
            state.begin()
            state.complete(next_start(planned, state.last, rows=5, newest=None))
        with locked_state(path) as state:
            assert state.plan(ASKED, NOON + A_DAY).since == NOON - timedelta(days=1, minutes=10)


@dataclass
class Model:
    """Ten rows that change as time goes by, dated by a clock that differs from the right time.

    Attributes:
        changes: what is still to come: when, and which row.
        skew: how far that clock is ahead, in seconds.
        now: the right time.
        rows: of each row, the date and the number of its last change.
    """

    changes: list[tuple[int, int]]
    skew: int
    now: int = 0
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rows = dict.fromkeys(range(10), (self.skew, 0))

    def wait(self, seconds: int) -> None:
        """Let time go by."""
        self.now += seconds
        while self.changes and self.changes[0][0] <= self.now:
            when, row = self.changes.pop(0)
            self.rows[row] = (when + self.skew, self.rows[row][1] + 1)


def at(seconds: int) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


SKEWS = st.sampled_from([0, 0, 0, 86_400, -86_400, 900, -900, 7200, 40_000, -3_000_000, 3_000_000])
CHANGES = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 8)), max_size=40).map(sorted)
RUNS = st.lists(st.tuples(SKEWS, SKEWS, SKEWS, st.integers(0, 400), st.integers(0, 3000)), min_size=2, max_size=5)


@given(changes=CHANGES, runs=RUNS, skew=st.sampled_from([0, -900, 900, 7200]), future=st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_clock_can_lose_a_change(
    changes: list[tuple[int, int]], runs: list[tuple[int, int, int, int, int]], skew: int, *, future: bool
) -> None:
    """Whatever `Date` says before and after the middle of a run, and our own clock: in the end each change was read."""
    model, known = Model(changes, skew), dict.fromkeys(range(10), -1)
    if future:
        model.rows[9] = (10**9, 0)  # as an import leaves it
    calm = (0, 0, 0, 0, 10_000)
    with TemporaryDirectory() as folder, patch("time.monotonic", lambda: float(model.now)):
        for before, after, ours, slow, pause in (*runs, calm, calm):
            ahead = before
            with locked_state(Path(folder, "state.json")) as state:
                planned = state.plan(ASKED, at(model.now + ahead), local_now=at(model.now + ours), late=timedelta())
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
def test_a_damaged_state_is_no_first_run(tmp_path: Path, content: str) -> None:
    """It says what to do; and one of a newer version is not understood by half."""
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"is not a state file of this version .* use another state \(--state\)"):
        State(path)


def test_of_two_runs_at_a_time_one_is_refused(tmp_path: Path) -> None:
    """Until the first is over."""
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
def night(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """What cron runs, in a folder of its own, with a shop in the environment whose clock is set to noon."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAGENTO_URL", shop.base_url)
    monkeypatch.setenv("MAGENTO_API_USER", shop.user)
    monkeypatch.setenv("MAGENTO_API_KEY", shop.key)
    shop.change(clock=text(NOON))
    return lambda *arguments: run(["dump", *arguments])


def column_of(path: Path, table: str, key: str, column: str) -> dict[Any, Any]:
    """A column of a table, by key."""
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute(f"SELECT {key}, {column} FROM {table}").fetchall())  # noqa: S608  our own names


def test_a_nightly_line_is_one_command(
    shop: Shop, night: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first night brings all rows; the next what changed since the newest of them, into the same table."""
    line = ("orders", "--state", "state.json", "--out", "shop.sqlite", "--report", "report.json")
    first, second, *_ = shop.database.ids("orders")
    known = stamps(shop, "orders")
    newest = datetime.fromisoformat(known[0][0]).replace(tzinfo=UTC)
    assert night(*line) == 0
    report = json.loads(Path("report.json").read_text())
    assert (report["rows"], report["updated_since"]) == (200, None)
    shop.change(clock=text(NOON + timedelta(days=1)))
    shop.database.update("orders", first, {"status": "holded", "updated_at": text(NOON - timedelta(minutes=9))})
    shop.database.update("orders", second, {"status": "holded", "updated_at": text(newest - timedelta(minutes=12))})
    new = shop.database.insert("orders", {"status": "pending", "updated_at": text(NOON + timedelta(hours=1))})
    assert night(*line) == 0
    report = json.loads(Path("report.json").read_text())
    assert report["complete"]
    since = datetime.fromisoformat(report["updated_since"]["time"])
    assert timedelta(minutes=10) <= newest - since < timedelta(minutes=11), "ten minutes, and what the run took"
    assert report["rows"] == 2 + sum(stamp >= text(since) for stamp, _ in known)
    assert report["updated_since"]["condition"] == f"updated_at gteq '{text(since)}'"
    assert report["updated_since"]["verified"] == "rows"
    statuses = column_of(tmp_path / "shop.sqlite", "orders", "order_id", "status")
    assert (len(statuses), statuses[first], statuses[new]) == (201, "holded", "pending")
    assert statuses[second] != "holded", "that was committed more than ten minutes late"
    shop.change(clock=text(NOON + timedelta(days=2)))
    assert night(*line) == 0
    report = json.loads(Path("report.json").read_text())
    assert (report["rows"], report["updated_since"]["time"][:13]) == (1, "2024-05-01T12")
    assert capfd.readouterr().err.count("warning: The shop's clock says 2024-05-03T12:00:00Z, but this machine's") == 1


def test_each_run_has_a_file_of_its_own(shop: Shop, night: Callable[..., int], tmp_path: Path) -> None:
    """Named by the shop's clock; of lists whose rows do not say when they were changed as well."""
    line = ("shipments", "--state", "state.json", "--late", "1h", "--out", "shipments-{time}.csv")
    assert night(*line) == 0
    shop.change(clock=text(NOON + timedelta(days=1)))
    number = next(iter(shop.database.ids("shipments")))
    shop.database.update("shipments", number, {"updated_at": text(NOON - timedelta(minutes=59))})
    assert night(*line) == 0
    files = sorted(tmp_path.glob("*.csv"))
    assert [one.name for one in files] == ["shipments-20240501T120000Z.csv", "shipments-20240502T120000Z.csv"]
    assert [one.read_text().count("\n") for one in files] == [101, 2]


def test_since_by_itself(shop: Shop, night: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    """A time, or how long ago by the shop's clock; the summary says since when, and on what evidence."""
    first, *_ = shop.database.ids("orders")
    shop.database.update("orders", first, {"updated_at": text(NOON - timedelta(hours=2))})
    for since in ("2024-05-01T10:00:00Z", "2024-05-01T12:00:00+02:00", "2h", "120m"):
        assert night("orders", "--since", since) == 0
        out, err = capfd.readouterr()
        assert [json.loads(line)["order_id"] for line in out.splitlines()] == [str(first)]
        assert "Contains only orders changed since 2024-05-01 10:00:00 UTC." in err
    assert night("products", "--since", "1h") == 0
    assert "because products do not carry the time of their last change" in capfd.readouterr().err
    assert night("orders", "--since", "1h", "--out", "shop.db") == 0
    assert night("orders", "--since", "3h", "--out", "shop.db") == 0
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


@pytest.mark.parametrize(("arguments", "status", "words"), WRONG)
def test_mistakes_are_one_line(
    night: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    *,
    arguments: list[str],
    status: int,
    words: str,
) -> None:
    """With what to write instead, and before anything is touched."""
    assert night("orders", *arguments) == status
    err = capfd.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert [one.name for one in tmp_path.iterdir() if not one.name.endswith(".lock")] == []


def test_overlapping_runs_are_refused(night: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    """With exit status 1, which cron tells of."""
    with locked_state("state.json"):
        assert night("orders", "--state", "state.json", "--out", "shop.db") == 1
    assert "Another run that uses state.json has not ended: it holds state.json.lock" in capfd.readouterr().err


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ["orders", "products", "shipments"])
@pytest.mark.parametrize("ahead", [A_DAY, -A_DAY, timedelta(hours=-3), timedelta()])
@pytest.mark.parametrize("wrong", ["first", "second"])
def test_a_clock_that_is_wrong_for_one_run_loses_nothing(
    shop: Shop, night: Callable[..., int], tmp_path: Path, *, entity: ListName, ahead: timedelta, wrong: str
) -> None:
    """What changed between that run and the next one, by the right clock, comes with one of the runs behind it."""
    line = (entity, "--state", "state.json", "--out", "shop.sqlite")
    column, key = {"orders": "store_name", "products": "name", "shipments": "total_qty"}[entity], f"{entity[:-1]}_id"
    changed = sorted(shop.database.ids(entity))[:4]
    if entity == "shipments":
        key = "increment_id"
    for number, one in enumerate(changed):
        now = NOON + number * timedelta(hours=8)
        skew = ahead if wrong == ("first", "second", "", "")[number] else timedelta()
        shop.change(clock=text(now + skew))
        assert night(*line) == 0
        shop.database.update(entity, one, {column: str(7000 + number), "updated_at": text(now + timedelta(hours=1))})
    shop.change(clock=text(NOON + timedelta(days=3)))
    assert night(*line) == 0
    found = column_of(tmp_path / "shop.sqlite", entity, key, column)
    assert {str(7000 + number) for number in range(4)} <= {str(value).partition(".")[0] for value in found.values()}


@pytest.mark.parametrize("entity", ["orders", "customers", "products"])
def test_a_database_clock_behind_the_web_servers_loses_nothing(
    shop: Shop, night: Callable[..., int], tmp_path: Path, entity: ListName
) -> None:
    """What is changed right after a run began is dated a quarter of an hour before that, by the other clock."""
    line = (entity, "--state", "state.json", "--out", "shop.sqlite")
    column = {"orders": "store_name", "customers": "firstname", "products": "name"}[entity]
    first, second, *_ = sorted(shop.database.ids(entity))
    for number, one in enumerate((first, second)):
        now = NOON + number * A_DAY
        shop.change(clock=text(now))
        assert night(*line) == 0
        shop.database.update(entity, one, {column: f"late {number}", "updated_at": text(now - A_QUARTER)})
    shop.change(clock=text(NOON + 2 * A_DAY))
    assert night(*line) == 0
    found = column_of(tmp_path / "shop.sqlite", entity, f"{entity[:-1]}_id", column)
    assert (found[first], found[second]) == ("late 0", "late 1")


def test_a_table_that_is_gone_is_not_begun_with_changes(
    night: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """The state says that all rows before are in it; so neither is it believed that a stranger's dump is ours."""
    line = ("orders", "--state", "state.json", "--out", "shop.db")
    assert night(*line) == 0
    Path("shop.db").unlink()
    assert night(*line) == 2
    assert "has no finished table orders to add to. Dump all orders first" in capfd.readouterr().err
    assert night("orders", "--last", "5", "--out", "other.db") == 0
    for _ in range(2):
        assert night("orders", "--state", "other.json", "--out", "other.db") == 2
        assert "already has a table orders" in capfd.readouterr().err


def test_a_run_that_was_stopped_is_gone_on_with(
    shop: Shop, night: Callable[..., int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the same line, from where it stopped, and with its first beginning."""
    busy = ("--window", "20", "--strategy", "prefix")
    line = ("orders", "--state", "state.json", "--out", "orders-{time}.ndjson", *busy)
    shop.change(latency=0.05)
    pid = os.fork()
    if pid == 0:
        os._exit(run(["dump", *line]))
    mark = tmp_path / "orders-20240501T120000Z.ndjson.checkpoint"
    while not mark.exists():
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 143
    assert "--state state.json" in (err := capfd.readouterr().err)
    assert "--resume" not in err
    shop.change(clock=text(NOON + timedelta(hours=1)), latency=0.0)
    shop.clear_log()
    assert night(*line) == 0
    rows = [json.loads(one)["order_id"] for one in (tmp_path / mark.stem).read_text().splitlines()]
    assert len(rows) == len(set(rows)) == 200
    with locked_state("state.json") as state:
        known = json.loads(Path("state.json").read_text())["lists"][0]
        assert (known["last"], known["begun"]) == (iso(NOON - MARGIN), None), "as it was not read in one go"
        assert state.path == Path("state.json")


@pytest.mark.slow
@pytest.mark.parametrize("every", slow_after(1, [18, 4]))
@pytest.mark.parametrize("name", slow_after(1, ["shop.db", "orders-{time}.ndjson"]))
def test_killed_at_every_step_no_change_is_lost(
    *,
    shop: Shop,
    tmp_path: Path,
    night: Callable[..., int],
    mortal: Callable[..., dict[str, Any]],  # noqa: F811  a fixture
    name: str,
    every: int,
) -> None:
    """Whenever a night's run dies, the next one brings what that one should have."""
    where = ("--url", shop.url, "--user", shop.user, "--key", shop.key)
    options = ("--last", "99", "--window", "50", "--strategy", "prefix")
    line = ("orders", "--state", str(tmp_path / "state.json"), "--out", str(tmp_path / name), *options)
    for die_at in count(1, every):
        for one in tmp_path.iterdir():
            one.unlink()
        changed = random.Random(die_at).sample(sorted(shop.database.ids("orders"))[:60], 5)  # noqa: S311  a game
        shop.change(clock=text(NOON))
        assert night(*line) == 0
        shop.change(clock=text(NOON + timedelta(days=1)))
        for number in changed:
            shop.database.update("orders", number, {"store_name": f"night {die_at}", "updated_at": text(NOON)})
        ended = mortal("dump", *line, *where, die_at=die_at)
        assert ended["status"] in {0, -signal.SIGKILL}, ended
        shop.change(clock=text(NOON + timedelta(days=2)))
        assert night(*line) == 0
        if name == "shop.db":
            names = column_of(tmp_path / name, "orders", "order_id", "store_name")
        else:
            rows = [
                json.loads(one) for path in sorted(tmp_path.glob("*.ndjson")) for one in path.read_text().splitlines()
            ]
            names = {int(row["order_id"]): row["store_name"] for row in rows}
        assert {names[number] for number in changed} == {f"night {die_at}"}
        if ended["status"] == 0:
            break
    assert die_at > 30


# --- a history --------------------------------------------------------------------------------------------------------


@dataclass
class Writers:
    """Those who change a list while it is dumped, by a clock that they drive.

    Attributes:
        shop: whose list it is.
        entity: the list.
        column: holds the number of the last change of each row.
        chance: of what happens.
        now: the right time.
        behind: how far the clock that dates changes is behind it.
        ahead: how far the clock of the web server is ahead of it.
        latest: the number of the last change of each row that everybody sees.
        open: what was begun and is not committed: when, the row, the number, and whether it is a new row.
        done: what was done.
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
        """Do something, a little later: at most four minutes, so that nothing is committed ten minutes late."""
        self.now += timedelta(seconds=self.chance.randrange(240))
        self.shop.change(clock=text(self.now + self.ahead))
        kind = self.chance.choice(["insert", "update", "update", "late insert", "late update"])
        number = max(self.latest.keys() | self.open.keys()) + self.chance.randrange(1, 3)
        if "update" in kind:
            number = self.chance.choice(sorted(self.latest.keys() - self.open.keys()))
        self.open[number] = (self.now, self.done.total() + 1, "insert" in kind)
        self.done[kind] += 1
        for one, (begun, *_) in list(self.open.items()):
            if (one, kind[:4] != "late") == (number, True) or self.now - begun > timedelta(minutes=5):
                self.commit(one)

    def commit(self, number: int) -> None:
        """Let everybody see it."""
        begun, version, new = self.open.pop(number)
        row = {self.column: str(version), "updated_at": text(begun - self.behind)}
        if new:
            self.shop.database.insert(self.entity, {"entity_id": number, **row})
        else:
            self.shop.database.update(self.entity, number, row)
        self.latest[number] = version


class Busy(Shop):
    """A shop in which something happens after some of its calls, and which is behind a firewall now and then."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self._writers: Writers | None = None
        self._outages = 0.0
        self._one_at_a_time = threading.Lock()  # a call that the client broke off may end behind the next

    def record(self, call: Call) -> None:
        """Between two calls."""
        super().record(call)
        with self._one_at_a_time:
            if self._writers is not None and self._writers.chance.random() < 0.1:
                self._writers.act()
            if self._writers is not None and self._writers.chance.random() < self._outages:
                self.change(outage="firewall")

    def disturb(self, writers: Writers | None, outages: float = 0.0) -> None:
        """Let it happen from now on, or no longer, with an outage after such a share of calls."""
        with self._one_at_a_time:
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
def test_after_each_run_each_row_is_as_it_was_when_that_first_began(
    tmp_path: Path, *, profile: str, entity: str, column: str, key: str, seed: int
) -> None:
    """A thousand inserts, updates and late commits, between runs and during them; runs fail, and are run again."""
    live_through(tmp_path, profile, entity, column, key, seed)


@pytest.mark.parametrize(("profile", "entity", "column", "key", "seed"), slow_after(0, HISTORIES))
def test_the_same_with_clocks_that_differ(
    tmp_path: Path, *, profile: str, entity: str, column: str, key: str, seed: int
) -> None:
    """Changes are dated by a clock that is behind, and that of the web server is wrong in some nights."""
    live_through(tmp_path, profile, entity, column, key, seed, skewed=True)


@pytest.mark.exhaustive
@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("more", range(100, 2100, 100))
@pytest.mark.parametrize(("profile", "entity", "column", "key", "seed"), HISTORIES)
def test_more_histories(
    tmp_path: Path, *, profile: str, entity: str, column: str, key: str, seed: int, more: int, skewed: bool
) -> None:
    """The same with more seeds, and with clocks that agree or differ."""
    live_through(tmp_path, profile, entity, column, key, seed + more, skewed=skewed)


def live_through(  # noqa: PLR0917
    folder: Path, profile: str, entity: str, column: str, key: str, seed: int, *, skewed: bool = False
) -> None:
    """Dump a list that changes, night after night, and hold the table against what the list was."""
    chance = random.Random(seed)  # noqa: S311  a game
    statuses: Counter[int] = Counter()
    before: dict[int, int] = {}
    begun_anew = True
    with Busy(profile=profile, orders=120) as shop:
        writers = Writers(shop, entity, column, chance, behind=A_QUARTER if skewed else timedelta())
        where = ["--url", shop.url, "--user", shop.user, "--key", shop.key]
        files = ["--state", str(folder / "state.json"), "--out", str(folder / "shop.db")]
        line = ["dump", entity, *where, *files, "--last", "200000"]
        for number in count():
            for _ in range(chance.randrange(80)):
                writers.act()
            if begun_anew:
                before = dict(writers.latest)
            writers.ahead = chance.choice(WRONG_CLOCKS) if skewed else timedelta()
            shop.change(clock=text(writers.now + writers.ahead))
            calm = begun_anew and writers.done.total() >= ACTIONS
            shop.disturb(None if calm else writers, outages=0.3 if number % 4 == 2 else 0.0)
            status = run(line)
            shop.disturb(None)
            statuses[status] += 1
            begun_anew = status == 0
            if not begun_anew:
                continue
            table = column_of(folder / "shop.db", entity, key, column)
            found = {int(one) % 100_000_000: int(value) for one, value in table.items()}
            assert found.keys() >= before.keys()
            assert all(found[one] >= version for one, version in before.items())
            if calm:
                assert found == before
                break
    assert writers.done.keys() == {"insert", "update", "late insert", "late update"}
    assert statuses[0] >= 5
    assert statuses[1] >= 1
    assert statuses.keys() == {0, 1}
