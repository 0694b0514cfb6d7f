"""New rows: rows added after the last run are found by their ids, whatever `updated_at` says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from conftest import slow_after, stopper
from hypothesis import given
from hypothesis import strategies as st
from scheduled_runs import ScheduledRuns, magento_time
from walk_results import id_of

import magento_pager
from magento_pager import MAX_ID
from magento_pager.cli import run
from magento_pager.fake import Shop
from magento_pager.walk.added import last_id
from magento_pager.walk.flows import Flow, Piece, Reply, WindowRequest
from magento_pager.walk.ranges import IdRange

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from magento_pager import ListName, Query
    from magento_pager.walk.pages import Row
    from magento_pager.walk.reading import Source

NEVER = datetime(2036, 1, 1, tzinfo=UTC)
UNDATED = (None, "0000-00-00 00:00:00", "2009-02-03 04:05:06")
"""Values of `updated_at` that no increment reads."""
GENERATIONS = ("20.0.20", "1.7.0.2", "1.6.2.0", "1.4.1.1")
LISTS: tuple[ListName, ...] = ("orders", "customers", "products", "invoices", "shipments", "creditmemos")
CELLS = [
    (profile, entity) for profile in GENERATIONS for entity in LISTS if (profile, entity) != ("1.4.1.1", "creditmemos")
]


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "entity"), CELLS)
def test_new_rows_are_dumped_whatever_their_dates(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName
) -> None:
    """Each once, along with those that changed; the next increment has none of them."""
    runs = scheduled_runs(profile, entity)
    all_ids = sorted(runs.run()[0])
    assert all_ids == sorted(runs.shop.database.ids(entity))
    changed = [runs.change(number) for number in all_ids[3:40:7]]
    new = [runs.insert(date) for date in UNDATED * 2]
    ids, report = runs.run()
    assert len(ids) == len(set(ids))
    assert set(ids) >= {*changed, *new}
    since = report.as_json()["updated_since"]
    assert (since["new_from"], since["new_rows"]) == (max(all_ids) + 1, len(new))
    assert not set(new) & set(runs.run()[0])
    later = runs.insert(None)
    assert later in runs.run()[0]


class Stop(Exception):  # noqa: N818  nothing went wrong
    """Raised to stop a run."""


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize(
    ("profile", "step"), slow_after(1, [*((profile, 3) for profile in GENERATIONS), (GENERATIONS[0], 1)])
)
@pytest.mark.parametrize("entity", ["orders", "shipments", "customers"])
def test_a_run_that_stops_among_changed_or_new_rows_is_resumed(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName, step: int
) -> None:
    """After each page: each row is in the file once."""
    runs = scheduled_runs(profile, entity, orders=150)
    all_ids = runs.run(window=50)[0]
    before = runs.state.read_text()
    expected = {runs.change(number) for number in sorted(all_ids)[::9]} | {runs.insert(None) for _ in range(25)}
    stopped_among = set()
    for after in count(1, step):
        runs.state.write_text(before)
        try:
            runs.run(stopper(after, Stop), window=50)
        except Stop as stop:
            reached: Any = stop
            saved = reached.dumped.checkpoint
            stopped_among.add("changed" if saved.cursor.next_id < saved.fingerprint.new_from else "new")
        else:
            break
        ids, report = runs.run(window=50)
        assert len(ids) == len(set(ids))
        assert expected <= set(ids)
        assert report.as_json()["updated_since"]["new_rows"] == 25
    assert stopped_among == {"changed", "new"}


@pytest.mark.sampled
@pytest.mark.parametrize("profile", GENERATIONS)
@pytest.mark.parametrize("entity", ["orders", "shipments", "customers", "products"])
def test_the_oldest_rows_may_have_no_dates(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName
) -> None:
    """As after an import: the condition is tried on the first rows that it can return."""
    runs = scheduled_runs(profile, entity)
    all_ids = sorted(runs.shop.database.ids(entity))
    for place, number in enumerate(all_ids[:-4]):
        runs.shop.database.update(entity, number, {"updated_at": UNDATED[place % 2]})
    runs.run()
    changed, new = runs.change(all_ids[-2]), runs.insert(None)
    ids = runs.run()[0]
    assert {changed, new} <= set(ids) <= {new, *all_ids[-4:]}


def downgrade(state: Path, **names: Any) -> None:
    """Rewrite a state as by an older version, with some values of its list changed."""
    content = json.loads(state.read_text())
    entry = content["lists"][0]
    del entry["new_from"], entry["asked"]["new_from"]
    (entry["begun"] or {}).pop("new_from", None)
    entry.update(names)
    state.write_text(json.dumps(content))


@pytest.mark.parametrize("entity", ["orders", "shipments"])
def test_a_state_of_an_older_version_is_continued(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName
) -> None:
    """The next run does what that version did; the one after it knows where new ids begin."""
    runs = scheduled_runs("1.7.0.2", entity)
    runs.run()
    downgrade(runs.state)
    runs.change(sorted(runs.shop.database.ids(entity))[10])
    undated, dated = runs.insert(None), runs.insert(magento_time(datetime.now(UTC)))
    with pytest.raises(Stop):
        runs.run(stopper(1, Stop))
    downgrade(runs.state)
    ids, report = runs.run()
    assert undated not in ids
    assert dated in ids
    assert report.as_json()["updated_since"]["new_from"] is None
    assert runs.entry()["new_from"] is not None
    later = runs.insert(None)
    assert later in runs.run()[0]
    assert runs.entry()["new_from"] == later + 1
    assert later not in runs.run()[0]


@pytest.mark.parametrize("entity", ["orders", "shipments"])
def test_an_older_increment_without_a_row_leaves_new_ids_unknown(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName
) -> None:
    """It does not show where new ids begin."""
    runs = scheduled_runs("20.0.20", entity)
    runs.run()
    downgrade(runs.state, last="2035-01-01T00:00:00Z", sure=True)
    assert runs.run()[0] == []
    assert runs.entry()["new_from"] is None


@pytest.mark.parametrize("entity", ["orders", "shipments", "products"])
def test_a_list_that_was_empty(scheduled_runs: Callable[..., ScheduledRuns], entity: ListName) -> None:
    """All its rows are new."""
    runs = scheduled_runs("20.0.20", entity)
    for number in runs.shop.database.ids(entity):
        runs.shop.database.delete(entity, number)
    assert runs.run()[0] == []
    assert runs.entry()["new_from"] == 0
    first = runs.insert("2009-02-03 04:05:06", entity_id=0)
    assert runs.run()[0] == [first]
    second = runs.insert(None)
    assert runs.run()[0][-1:] == [second]
    assert second not in runs.run()[0]


def test_new_from_never_decreases(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """After the last rows are deleted, rows with lower ids are found only by their time."""
    runs = scheduled_runs("20.0.20", "orders")
    all_ids = sorted(runs.run()[0])
    for number in all_ids[-20:]:
        runs.shop.database.delete("orders", number)
    runs.run()
    assert runs.entry()["new_from"] == all_ids[-1] + 1
    undated = runs.insert(None)
    dated = runs.insert(magento_time(datetime.now(UTC) + timedelta(minutes=10)))
    assert undated < dated < all_ids[-1]
    ids = runs.run()[0]
    assert dated in ids
    assert undated not in ids
    assert runs.entry()["new_from"] == all_ids[-1] + 1
    new = runs.insert(None, entity_id=all_ids[-1] + 1)
    assert new in runs.run()[0]


def test_the_largest_possible_id(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """After it there can be no new rows, and none are requested."""
    runs = scheduled_runs("20.0.20", "orders")
    runs.insert(None, entity_id=MAX_ID)
    runs.run()
    assert runs.entry()["new_from"] == MAX_ID + 1
    runs.run()
    assert runs.entry()["new_from"] == MAX_ID + 1


@pytest.mark.parametrize("profile", ["20.0.20", "1.4.1.1"])
@pytest.mark.parametrize("entity", ["orders", "shipments", "customers"])
def test_nothing_new_costs_one_call(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName
) -> None:
    """A lower bound without an upper one; where rows carry no ids, a second one to find the last new id."""
    runs = scheduled_runs(profile, entity)
    last = max(runs.run()[0])
    for new in (0, 5):
        for _ in range(new):
            runs.insert(None)
        runs.shop.clear_log()
        runs.run()
        names = [[name for name, *_ in call.conditions] for call in runs.shop.log]
        by_id = [call for call in runs.shop.log if [name for name, *_ in call.conditions] == ["entity_id"]]
        above = [call for call in by_id if call.conditions[0][1] == "gteq" and int(call.conditions[0][2]) >= last]
        assert len(above) == (2 if entity == "shipments" and new else 1), names


@dataclass
class StaleSource:
    """A source whose first reply without an upper bound lacks rows, as from a replica or a cache.

    Attributes:
        source: an honest one.
        keep: slice of the rows that the reply has.
        open_queries: the queries without an upper bound.
    """

    source: Source
    keep: slice
    open_queries: list[Query] = field(default_factory=list)

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of one call."""
        rows = self.source.fetch(query)
        if [condition.operator for condition in query.conditions] != ["gteq"]:
            yield from rows
            return
        self.open_queries.append(query)
        all_rows = list(rows)
        yield from all_rows[self.keep] if len(self.open_queries) == 1 else all_rows


@pytest.mark.parametrize("keep", [slice(0), slice(1), slice(1, None), slice(15), slice(15, None)])
def test_a_reply_without_some_new_rows_is_detected(keep: slice) -> None:
    """It must include the last known row, and after many rows another reply is requested."""
    with Shop(orders=100) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        last = max(shop.database.ids("orders"))
        new = [shop.database.insert("orders", {"updated_at": None}) for _ in range(30)]
        paginator = pager.orders(updated_since=NEVER, new_from=last + 1)
        source = StaleSource(paginator.source, keep)
        ids = [int(row["order_id"]) for row in replace(paginator, source=source)]
    if keep == slice(1):
        assert ids in ([], new), "a reply with only the last known row cannot be detected"
    else:
        assert ids == new
    assert len(source.open_queries) > 1 or keep == slice(1)


@pytest.mark.parametrize("keep", [slice(0), slice(1), slice(1, None), slice(3), slice(3, None)])
def test_a_reply_without_ids_that_lacks_new_rows_is_detected(keep: slice) -> None:
    """Such a reply must be returned twice."""
    with Shop(orders=100) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        last = max(shop.database.ids("shipments"))
        for number in range(6):
            shop.database.insert("shipments", {"increment_id": f"90000000{number}", "updated_at": None})
        paginator = pager.shipments(updated_since=NEVER, new_from=last + 1)
        source = StaleSource(paginator.source, keep)
        ids = [row["increment_id"] for row in replace(paginator, source=source)]
    assert ids == [f"90000000{number}" for number in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("entity", ["orders", "shipments"])
@pytest.mark.parametrize(
    "options", slow_after(1, [{"window": 10}, {}, {"check": "full"}, {"last": 200_000}, {"strategy": "prefix"}])
)
def test_many_new_rows_are_walked_like_any_others(entity: ListName, options: dict[str, Any]) -> None:
    """Also with a full check or a last id: each cursor resumes the walk."""
    with Shop(orders=150) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        last = max(shop.database.ids(entity))
        new = [shop.database.insert(entity, {"updated_at": None}) for _ in range(120)]
        paginator = pager.list(entity, updated_since=NEVER, new_from=last + 1, **options)
        pages = list(paginator.pages())
        assert [page.window.first for page in pages[1:]] == [page.window.last + 1 for page in pages[:-1]]
        assert sorted(id_of(row) for page in pages for row in page.rows) == new
        assert all(len(page.rows) <= options.get("window", 120) for page in pages)
        for number, page in enumerate(pages):
            rest = [id_of(row) for later in pages[number + 1 :] for row in later.rows]
            assert sorted(id_of(row) for later in paginator.pages(page.cursor) for row in later.rows) == sorted(rest)


def test_more_new_rows_than_a_reply_should_have() -> None:
    """The call is abandoned, and the rows are read in windows."""
    with Shop(orders=20) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        paginator = pager.orders(updated_since=NEVER, new_from=0, goal=magento_pager.Goal(rows=3))
        pages = list(paginator.pages())
        assert [int(row["order_id"]) for page in pages for row in page.rows] == sorted(shop.database.ids("orders"))
        assert all(len(page.rows) < 15 for page in pages)


def test_a_new_row_that_fails_is_reported_and_requested_again(
    scheduled_runs: Callable[..., ScheduledRuns],
) -> None:
    """As long as it is the last row; the rows before it are dumped."""
    runs = scheduled_runs("20.0.20", "orders")
    runs.run()
    readable, failing = runs.insert(None), runs.insert(None)
    runs.shop.change(trouble="fault", trouble_rows=[failing])
    ids, report = runs.run()
    assert ids[-1] == readable
    assert [row.id for row in report.left_out] == [failing]
    assert [row.id for row in runs.run()[1].left_out] == [failing]
    runs.shop.change(trouble="")
    assert failing in runs.run()[0]


def test_plans_and_partitions_include_new_rows() -> None:
    """Each new row is in exactly one partition."""
    with Shop(orders=300) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        all_ids = sorted(shop.database.ids("orders"))
        for number in all_ids[::5]:
            shop.database.update("orders", number, {"updated_at": "2035-01-01 00:00:00"})
        new = {shop.database.insert("orders", {"updated_at": None}) for _ in range(40)}
        paginator = pager.orders(updated_since=datetime(2034, 1, 1, tzinfo=UTC), new_from=all_ids[-1] + 1)
        expected = new.union(all_ids[::5])
        plan = paginator.plan()
        assert plan.rows.least <= len(expected) <= plan.rows.most
        assert (plan.last_id, plan.proved) == (max(new), True)
        for n in (1, 3):
            ids = [int(row["order_id"]) for part in paginator.partitions(n) for row in _rows(paginator, part)]
            assert sorted(ids) == sorted(expected)
        by_range = replace(paginator, strategy=magento_pager.KeyRange(), last=all_ids[-1] + 5000, window=100_000)
        dated = ["updated_at" in str(query) for query in by_range.queries()]
        assert dated == sorted(dated, reverse=True)
        assert {True, False} == set(dated)


def _rows(paginator: magento_pager.Paginator, part: magento_pager.Cursor) -> Iterator[Row]:
    return (row for page in paginator.pages(part) for row in page.rows)


def test_invalid_new_from_is_refused() -> None:
    """Before any call; and so is a cursor of a walk with another `new_from`."""
    with Shop(orders=10) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        with pytest.raises(ValueError, match="new_from needs updated_since: give both"):
            pager.orders(new_from=5)
        for wrong in (-1, MAX_ID + 2):
            with pytest.raises(ValueError, match=f"new_from is an id, .* not {wrong}"):
                pager.orders(updated_since=NEVER, new_from=wrong)
        for kind in (True, "5", 5.0):
            with pytest.raises(TypeError, match="new_from is an id, a whole number"):
                pager.orders(updated_since=NEVER, new_from=kind)  # type: ignore[arg-type]  # the point
        first, second = (pager.orders(updated_since=NEVER, new_from=number) for number in (5, 6))
        cursor = replace(next(first.pages()).cursor, next_id=2)
        with pytest.raises(ValueError, match="`new_from`; use the same conditions"):
            second.pages(cursor)


@pytest.mark.parametrize("wrong", [-1, 4_294_967_297, "7", 1.5, True])
def test_a_state_with_an_invalid_id_is_refused(scheduled_runs: Callable[..., ScheduledRuns], wrong: object) -> None:
    """The state is damaged, and is not overwritten."""
    runs = scheduled_runs("20.0.20", "orders")
    runs.run()
    content = json.loads(runs.state.read_text())
    content["lists"][0]["new_from"] = wrong
    runs.state.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is not a state file of this version"):
        runs.run()


def test_the_summary_counts_new_rows(
    scheduled_runs: Callable[..., ScheduledRuns], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It also tells where new ids begin."""
    runs = scheduled_runs("20.0.20", "orders")
    where = ["--url", runs.shop.url, "--user", runs.shop.user, "--key", runs.shop.key]
    for new in (0, 3):
        for _ in range(new):
            runs.insert(None)
        files = ["--state", str(tmp_path / "s.json"), "--out", str(tmp_path / "shop.sqlite")]
        assert run(["dump", "orders", *where, *files]) == 0
    begin = max(runs.shop.database.ids("orders")) - 2
    assert f", and 3 new ones with an id from {begin} on." in capfd.readouterr().err


# --- the last id ------------------------------------------------------------------------------------------------------


@given(
    st.sets(st.integers(0, 3000) | st.integers(0, MAX_ID), min_size=1, max_size=60),
    st.integers(0, 100),
    st.integers(0, 30),
)
def test_last_id_finds_the_last_delivered_row(ids: set[int], margin: int, later: int) -> None:
    """Rows added since then do not count. Dense ids take one call."""
    window = IdRange(max(0, min(ids) - margin), min(MAX_ID, max(ids) + later + margin))
    rows: tuple[tuple[str, Row], ...] = tuple((f"row {number}", {}) for number in sorted(ids))
    flow = last_id(Piece(window, rows, "", "", by_ids=False), "entity_id")
    known = {*ids, *range(max(ids) + 1, max(ids) + 1 + later)}
    found, calls = driven(flow, known)
    assert found == max(ids)
    assert calls <= 60
    dense = Piece(IdRange(1000, MAX_ID), tuple((f"row {number}", {}) for number in range(1000, 1060)), "", "")
    assert driven(last_id(dense, "entity_id"), set(range(1000, 1060))) == (1059, 1)


def driven(flow: Flow[int | None], ids: set[int]) -> tuple[int | None, int]:
    """Return the result of a flow that requests some ids without an upper bound, and the number of its calls."""
    answer: Any = None
    for calls in count():
        try:
            item = flow.send(answer)
        except StopIteration as ended:
            return ended.value, calls
        assert isinstance(item, WindowRequest)
        answer = Reply(tuple((f"row {number}", {}) for number in sorted(ids) if number in item.window))
    raise AssertionError
