"""New rows: what came after the last run is found by its id, whatever `updated_at` says."""

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
"""What `updated_at` of a row may be that no increment asks for."""
GENERATIONS = ("20.0.20", "1.7.0.2", "1.6.2.0", "1.4.1.1")
LISTS: tuple[ListName, ...] = ("orders", "customers", "products", "invoices", "shipments", "creditmemos")
CELLS = [
    (profile, entity) for profile in GENERATIONS for entity in LISTS if (profile, entity) != ("1.4.1.1", "creditmemos")
]


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "entity"), CELLS)
def test_new_rows_come_whatever_their_dates(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName
) -> None:
    """Each once, beside those that changed; the night after, none of them."""
    line = scheduled_runs(profile, entity)
    every = sorted(line.run()[0])
    assert every == sorted(line.shop.database.ids(entity))
    changed = [line.change(number) for number in every[3:40:7]]
    new = [line.insert(one) for one in UNDATED * 2]
    came, report = line.run()
    assert len(came) == len(set(came))
    assert set(came) >= {*changed, *new}
    said = report.as_json()["updated_since"]
    assert (said["new_from"], said["new_rows"]) == (max(every) + 1, len(new))
    assert not set(new) & set(line.run()[0])
    later = line.insert(None)
    assert later in line.run()[0]


class Stop(Exception):  # noqa: N818  nothing went wrong
    """Ends a run."""


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "step"), slow_after(1, [*((one, 3) for one in GENERATIONS), (GENERATIONS[0], 1)]))
@pytest.mark.parametrize("entity", ["orders", "shipments", "customers"])
def test_a_run_that_stops_in_either_stretch_is_resumed(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName, step: int
) -> None:
    """After whichever page: each row comes once, in one file."""
    line = scheduled_runs(profile, entity, orders=150)
    every = line.run(window=50)[0]
    before = line.state.read_text()
    expected = {line.change(number) for number in sorted(every)[::9]} | {line.insert(None) for _ in range(25)}
    stretches = set()
    for after in count(1, step):
        line.state.write_text(before)
        try:
            line.run(stopper(after, Stop), window=50)
        except Stop as stop:
            reached: Any = stop
            saved = reached.dumped.checkpoint
            stretches.add("changed" if saved.cursor.next_id < saved.fingerprint.new_from else "new")
        else:
            break
        came, report = line.run(window=50)
        assert len(came) == len(set(came))
        assert expected <= set(came)
        assert report.as_json()["updated_since"]["new_rows"] == 25
    assert stretches == {"changed", "new"}


@pytest.mark.sampled
@pytest.mark.parametrize("profile", GENERATIONS)
@pytest.mark.parametrize("entity", ["orders", "shipments", "customers", "products"])
def test_the_oldest_rows_may_have_no_dates_at_all(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName
) -> None:
    """As an import leaves them: the condition is tried on the first rows that it can bring."""
    line = scheduled_runs(profile, entity)
    every = sorted(line.shop.database.ids(entity))
    for place, number in enumerate(every[:-4]):
        line.shop.database.update(entity, number, {"updated_at": UNDATED[place % 2]})
    line.run()
    changed, new = line.change(every[-2]), line.insert(None)
    came = line.run()[0]
    assert {changed, new} <= set(came) <= {new, *every[-4:]}


def undo(state: Path, **names: Any) -> None:
    """Write a state as an older version did, with some values of its list changed."""
    content = json.loads(state.read_text())
    entry = content["lists"][0]
    del entry["new_from"], entry["asked"]["new_from"]
    (entry["begun"] or {}).pop("new_from", None)
    entry.update(names)
    state.write_text(json.dumps(content))


@pytest.mark.parametrize("entity", ["orders", "shipments"])
def test_a_state_of_an_older_version_goes_on(scheduled_runs: Callable[..., ScheduledRuns], entity: ListName) -> None:
    """The next run does what it did; the one after it knows where new ids begin, and fetches what it is not sure of."""
    line = scheduled_runs("1.7.0.2", entity)
    line.run()
    undo(line.state)
    line.change(sorted(line.shop.database.ids(entity))[10])
    unseen, seen = line.insert(None), line.insert(magento_time(datetime.now(UTC)))
    with pytest.raises(Stop):
        line.run(stopper(1, Stop))
    undo(line.state)
    came, report = line.run()
    assert unseen not in came
    assert seen in came
    assert report.as_json()["updated_since"]["new_from"] is None
    assert line.entry()["new_from"] is not None
    later = line.insert(None)
    assert later in line.run()[0]
    assert line.entry()["new_from"] == later + 1
    assert later not in line.run()[0]


@pytest.mark.parametrize("entity", ["orders", "shipments"])
def test_an_older_increment_without_a_row_does_not_say_that_all_are_new(
    scheduled_runs: Callable[..., ScheduledRuns], entity: ListName
) -> None:
    """Nothing is known then."""
    line = scheduled_runs("20.0.20", entity)
    line.run()
    undo(line.state, last="2035-01-01T00:00:00Z", sure=True)
    assert line.run()[0] == []
    assert line.entry()["new_from"] is None


@pytest.mark.parametrize("entity", ["orders", "shipments", "products"])
def test_a_list_that_was_empty(scheduled_runs: Callable[..., ScheduledRuns], entity: ListName) -> None:
    """All that comes is new."""
    line = scheduled_runs("20.0.20", entity)
    for number in line.shop.database.ids(entity):
        line.shop.database.delete(entity, number)
    assert line.run()[0] == []
    assert line.entry()["new_from"] == 0
    first = line.insert("2009-02-03 04:05:06", entity_id=0)
    assert line.run()[0] == [first]
    second = line.insert(None)
    assert line.run()[0][-1:] == [second]
    assert second not in line.run()[0]


def test_the_last_rows_are_deleted(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """Where new ids begin never falls: of a table that begins anew, rows are found by their time alone."""
    line = scheduled_runs("20.0.20", "orders")
    every = sorted(line.run()[0])
    for number in every[-20:]:
        line.shop.database.delete("orders", number)
    line.run()
    assert line.entry()["new_from"] == every[-1] + 1
    undated = line.insert(None)
    dated = line.insert(magento_time(datetime.now(UTC) + timedelta(minutes=10)))
    assert undated < dated < every[-1]
    came = line.run()[0]
    assert dated in came
    assert undated not in came
    assert line.entry()["new_from"] == every[-1] + 1
    new = line.insert(None, entity_id=every[-1] + 1)
    assert new in line.run()[0]


def test_the_largest_id_there_can_be(scheduled_runs: Callable[..., ScheduledRuns]) -> None:
    """Behind it nothing is new, and nothing is asked."""
    line = scheduled_runs("20.0.20", "orders")
    line.insert(None, entity_id=MAX_ID)
    line.run()
    assert line.entry()["new_from"] == MAX_ID + 1
    line.run()
    assert line.entry()["new_from"] == MAX_ID + 1


@pytest.mark.parametrize("profile", ["20.0.20", "1.4.1.1"])
@pytest.mark.parametrize("entity", ["orders", "shipments", "customers"])
def test_nothing_new_costs_one_call(
    scheduled_runs: Callable[..., ScheduledRuns], profile: str, entity: ListName
) -> None:
    """One bound, open at its end; where rows carry no ids, once more to see which is the last of those that came."""
    line = scheduled_runs(profile, entity)
    last = max(line.run()[0])
    for new in (0, 5):
        for _ in range(new):
            line.insert(None)
        line.shop.clear_log()
        line.run()
        names = [[name for name, *_ in one.conditions] for one in line.shop.log]
        asked = [one for one in line.shop.log if [name for name, *_ in one.conditions] == ["entity_id"]]
        above = [one for one in asked if one.conditions[0][1] == "gteq" and int(one.conditions[0][2]) >= last]
        assert len(above) == (2 if entity == "shipments" and new else 1), names


@dataclass
class Stumbling:
    """A source that leaves rows out of the first reply to the open end of the ids, as a replica or a cache would.

    Attributes:
        source: the honest one.
        keep: which rows it leaves in, of all in their order.
        asked: calls for the open end.
    """

    source: Source
    keep: slice
    asked: list[Query] = field(default_factory=list)

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of one call."""
        rows = self.source.fetch(query)
        if [one.operator for one in query.conditions] != ["gteq"]:
            yield from rows
            return
        self.asked.append(query)
        found = list(rows)
        yield from found[self.keep] if len(self.asked) == 1 else found


@pytest.mark.parametrize("keep", [slice(0), slice(1), slice(1, None), slice(15), slice(15, None)])
def test_a_reply_that_leaves_new_rows_out_is_noticed(keep: slice) -> None:
    """The row before them must come, and behind many rows there may be more."""
    with Shop(orders=100) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        last = max(shop.database.ids("orders"))
        new = [shop.database.insert("orders", {"updated_at": None}) for _ in range(30)]
        paginator = pager.orders(updated_since=NEVER, new_from=last + 1)
        source = Stumbling(paginator.source, keep)
        came = [int(row["order_id"]) for row in replace(paginator, source=source)]
    if keep == slice(1):
        assert came in ([], new), "the row before them came, and no other: nobody can tell"
    else:
        assert came == new
    assert len(source.asked) > 1 or keep == slice(1)


@pytest.mark.parametrize("keep", [slice(0), slice(1), slice(1, None), slice(3), slice(3, None)])
def test_a_reply_without_ids_that_leaves_new_rows_out_is_noticed(keep: slice) -> None:
    """It must come twice."""
    with Shop(orders=100) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        last = max(shop.database.ids("shipments"))
        for number in range(6):
            shop.database.insert("shipments", {"increment_id": f"90000000{number}", "updated_at": None})
        paginator = pager.shipments(updated_since=NEVER, new_from=last + 1)
        source = Stumbling(paginator.source, keep)
        came = [row["increment_id"] for row in replace(paginator, source=source)]
    assert came == [f"90000000{number}" for number in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("entity", ["orders", "shipments"])
@pytest.mark.parametrize(
    "options", slow_after(1, [{"window": 10}, {}, {"check": "full"}, {"last": 200_000}, {"strategy": "prefix"}])
)
def test_many_new_rows_come_as_any_others(entity: ListName, options: dict[str, Any]) -> None:
    """Or where each window is asked for twice, or there is a last id: by the usual walk, cursor by cursor."""
    with Shop(orders=150) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        last = max(shop.database.ids(entity))
        new = [shop.database.insert(entity, {"updated_at": None}) for _ in range(120)]
        paginator = pager.list(entity, updated_since=NEVER, new_from=last + 1, **options)
        pages = list(paginator.pages())
        assert [one.window.first for one in pages[1:]] == [one.window.last + 1 for one in pages[:-1]]
        assert sorted(id_of(row) for page in pages for row in page.rows) == new
        assert all(len(page.rows) <= options.get("window", 120) for page in pages)
        for number, page in enumerate(pages):
            rest = [id_of(row) for later in pages[number + 1 :] for row in later.rows]
            assert sorted(id_of(row) for one in paginator.pages(page.cursor) for row in one.rows) == sorted(rest)


def test_more_new_rows_than_a_reply_should_hold() -> None:
    """The call is given up, and the rows come in windows."""
    with Shop(orders=20) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        paginator = pager.orders(updated_since=NEVER, new_from=0, goal=magento_pager.Goal(rows=3))
        pages = list(paginator.pages())
        assert [int(row["order_id"]) for page in pages for row in page.rows] == sorted(shop.database.ids("orders"))
        assert all(len(page.rows) < 15 for page in pages)


def test_a_new_row_that_breaks_its_replies_is_named_and_asked_for_again(
    scheduled_runs: Callable[..., ScheduledRuns],
) -> None:
    """As long as it is the last one; its neighbours come."""
    line = scheduled_runs("20.0.20", "orders")
    line.run()
    good, bad = line.insert(None), line.insert(None)
    line.shop.change(trouble="fault", trouble_rows=[bad])
    came, report = line.run()
    assert came[-1] == good
    assert [one.id for one in report.left_out] == [bad]
    assert [one.id for one in line.run()[1].left_out] == [bad]
    line.shop.change(trouble="")
    assert bad in line.run()[0]


def test_plan_and_partitions_know_new_rows() -> None:
    """They are among the rows, and in exactly one partition."""
    with Shop(orders=300) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        every = sorted(shop.database.ids("orders"))
        for number in every[::5]:
            shop.database.update("orders", number, {"updated_at": "2035-01-01 00:00:00"})
        new = {shop.database.insert("orders", {"updated_at": None}) for _ in range(40)}
        paginator = pager.orders(updated_since=datetime(2034, 1, 1, tzinfo=UTC), new_from=every[-1] + 1)
        expected = new.union(every[::5])
        planned = paginator.plan()
        assert planned.rows.least <= len(expected) <= planned.rows.most
        assert (planned.last_id, planned.proved) == (max(new), True)
        for n in (1, 3):
            came = [int(row["order_id"]) for part in paginator.partitions(n) for row in _rows(paginator, part)]
            assert sorted(came) == sorted(expected)
        spoken = replace(paginator, strategy=magento_pager.KeyRange(), last=every[-1] + 5000, window=100_000)
        said = ["updated_at" in str(query) for query in spoken.queries()]
        assert said == sorted(said, reverse=True)
        assert {True, False} == set(said)


def _rows(paginator: magento_pager.Paginator, part: magento_pager.Cursor) -> Iterator[Row]:
    return (row for page in paginator.pages(part) for row in page.rows)


def test_what_makes_no_sense_is_refused() -> None:
    """Before anything is asked; and a cursor of another walk."""
    with Shop(orders=10) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        with pytest.raises(ValueError, match="new_from is for updated_since: give that as well"):
            pager.orders(new_from=5)
        for wrong in (-1, MAX_ID + 2):
            with pytest.raises(ValueError, match=f"new_from is an id, .* not {wrong}"):
                pager.orders(updated_since=NEVER, new_from=wrong)
        for kind in (True, "5", 5.0):
            with pytest.raises(TypeError, match="new_from is an id, a whole number"):
                pager.orders(updated_since=NEVER, new_from=kind)  # type: ignore[arg-type]  # the point
        one, other = (pager.orders(updated_since=NEVER, new_from=number) for number in (5, 6))
        cursor = replace(next(one.pages()).cursor, next_id=2)
        with pytest.raises(ValueError, match="`new_from`: the rows before it are not those"):
            other.pages(cursor)


@pytest.mark.parametrize("wrong", [-1, 4_294_967_297, "7", 1.5, True])
def test_a_state_whose_id_is_none_is_damaged(scheduled_runs: Callable[..., ScheduledRuns], wrong: object) -> None:
    """It is one line, and nothing is overwritten."""
    line = scheduled_runs("20.0.20", "orders")
    line.run()
    content = json.loads(line.state.read_text())
    content["lists"][0]["new_from"] = wrong
    line.state.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="is not a state file of this version"):
        line.run()


def test_the_summary_says_how_many_are_new(
    scheduled_runs: Callable[..., ScheduledRuns], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And where new ids begin."""
    line = scheduled_runs("20.0.20", "orders")
    where = ["--url", line.shop.url, "--user", line.shop.user, "--key", line.shop.key]
    for new in (0, 3):
        for _ in range(new):
            line.insert(None)
        files = ["--state", str(tmp_path / "s.json"), "--out", str(tmp_path / "shop.sqlite")]
        assert run(["dump", "orders", *where, *files]) == 0
    begin = max(line.shop.database.ids("orders")) - 2
    assert f", and 3 new ones with an id from {begin} on." in capfd.readouterr().err


# --- the last id ------------------------------------------------------------------------------------------------------


@given(
    st.sets(st.integers(0, 3000) | st.integers(0, MAX_ID), min_size=1, max_size=60),
    st.integers(0, 100),
    st.integers(0, 30),
)
def test_the_last_id_is_found(ids: set[int], margin: int, later: int) -> None:
    """Of the rows that were delivered: those that came since do not count. In few calls where ids lie closely."""
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
    """What comes of a flow that asks for the open end of some ids, and its calls."""
    answer: Any = None
    for calls in count():
        try:
            item = flow.send(answer)
        except StopIteration as ended:
            return ended.value, calls
        assert isinstance(item, WindowRequest)
        answer = Reply(tuple((f"row {number}", {}) for number in sorted(ids) if number in item.window))
    raise AssertionError
