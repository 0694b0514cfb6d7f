"""Lists whose rows carry no id: rows without a number, and rows that share a number."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from conftest import stopper

import magento_pager
from magento_pager import FilterIgnoredError, Prefix, dump, verify
from magento_pager.cli import run
from magento_pager.fake import Shop
from magento_pager.walk.paginator import Paginator

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from magento_pager import ListName, Pager, Query
    from magento_pager.walk.pages import Row

LISTS: list[tuple[str, ListName]] = [
    ("20.0.20", "shipments"),
    ("1.7.0.2", "shipments"),
    ("1.4.1.1", "shipments"),
    ("1.4.1.1", "invoices"),
    ("1.6.2.0", "invoices"),
]
WAYS: list[dict[str, Any]] = [{}, {"strategy": "prefix"}, {"window": 50}, {"check": "full"}, {"lookahead": False}]
PLACES = {"null": [99], "empty": [99], "nulls": [99, -20], "near": [99, 100], "far": [5, -20], "three": [3, 4, -9]}
NUMBER = "100000777"
LATER = "2031-01-01 00:00:00"


@contextmanager
def spoiled(profile: str, entity: ListName, how: str) -> Iterator[tuple[Shop, Pager, list[int]]]:
    """Start a shop with some broken rows among 150 or 195, and yield their ids.

    `null` and `empty`: one has no number; `nulls`: two; `near` and `far`: two share one, or three do for `three`.
    """
    with Shop(profile=profile, orders=300) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        ids = sorted(shop.database.ids(entity))
        places = {
            "null": [99],
            "empty": [99],
            "nulls": [99, -20],
            "near": [99, 100],
            "far": [5, -20],
            "three": [3, 4, -9],
        }
        bad = [ids[place] for place in places[how]]
        number = {"null": None, "nulls": None, "empty": ""}.get(how, NUMBER)
        for one in bad:
            assert shop.database.update(entity, one, {"increment_id": number})
        yield shop, pager, bad


def created(shop: Shop, entity: ListName) -> dict[int, str]:
    """Give each row a different time, and return these times."""
    times = {
        number: f"2021-01-01 00:{place // 60:02}:{place % 60:02}"
        for place, number in enumerate(shop.database.ids(entity))
    }
    for number, time in times.items():
        shop.database.update(entity, number, {"created_at": time})
    return times


@pytest.mark.sampled
@pytest.mark.parametrize("how", ["null", "nulls", "empty", "near", "far", "three"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("profile", "entity"), LISTS)
def test_each_row_is_delivered_or_named(profile: str, entity: ListName, way: dict[str, Any], how: str) -> None:
    """Rows that share a number are read separately by id; rows without a number are named."""
    with spoiled(profile, entity, how) as (shop, pager, bad):
        times = created(shop, entity)
        pages = list(pager.list(entity, **way).pages())
        named = [row.id for page in pages for row in page.quarantined]
        assert named == (bad if how in {"null", "nulls"} else [])
        received = Counter(row["created_at"] for page in pages for row in page.rows)
        assert received == Counter(time for number, time in times.items() if number not in named)
        assert all("nor increment_id" in row.reason for page in pages for row in page.quarantined)
        assert len(shop.log) < 400


@pytest.mark.slow
@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("how", ["near", "far", "null"])
def test_a_walk_can_be_resumed_between_such_rows(how: str) -> None:
    """The cursor of each page delivers the rest once."""
    with spoiled("20.0.20", "shipments", how) as (shop, pager, bad):
        times = created(shop, "shipments")
        paginator = pager.shipments(window=100)
        pages = list(paginator.pages())
        for number, page in enumerate(pages):
            received = [row["increment_id"] for before in pages[: number + 1] for row in before.rows]
            rest = list(paginator.pages(page.cursor, received))
            delivered = [row["created_at"] for one in (*pages[: number + 1], *rest) for row in one.rows]
            assert Counter(delivered) == Counter(time for one, time in times.items() if how != "null" or one not in bad)


@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "entity"), LISTS)
@pytest.mark.parametrize("how", ["null", "near", "far"])
def test_an_increment_of_such_rows_only(tmp_path: Path, profile: str, entity: ListName, how: str) -> None:
    """It does not fail although no other row changed: any row proves that the server works."""
    with spoiled(profile, entity, how) as (shop, pager, bad):
        state, out = tmp_path / "state.json", tmp_path / "rows-{time}.ndjson"
        first = dump(pager.list(entity), out, state=state)
        assert first.rows + len(first.left_out) == shop.database.count(entity)
        for number in bad:
            shop.database.update(entity, number, {"updated_at": LATER})
        new = [shop.database.insert(entity, {"increment_id": None, "updated_at": None}) for _ in range(2)]
        twins = [shop.database.insert(entity, {"increment_id": "7", "updated_at": None}) for _ in range(2)]
        report = dump(pager.list(entity), tmp_path / "second.ndjson", state=state, overwrite=True)
        assert [row.id for row in report.left_out] == [*(bad if how == "null" else []), *new]
        received = [json.loads(line)["increment_id"] for line in (tmp_path / "second.ndjson").read_text().splitlines()]
        assert Counter(received) == Counter(["7"] * len(twins) + ([] if how == "null" else [NUMBER] * len(bad)))


def test_an_increment_of_one_broken_row_only() -> None:
    """The row is named, even if every row has an id, and if the user's condition selects no other row."""
    with Shop(orders=300) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        bad = sorted(shop.database.ids("orders"))[100]
        shop.database.update("orders", bad, {"updated_at": LATER, "status": "odd"})
        shop.change(trouble="fault", trouble_rows=[bad])
        since = magento_pager.walk.changes.timestamp_of(LATER)
        for options in ({"updated_since": since}, {"where": [("status", "eq", "odd")]}):
            pages = list(pager.orders(**options).pages())
            assert [row.id for page in pages for row in page.quarantined] == [bad]
            assert not any(page.rows for page in pages)


def test_the_command_names_such_rows_and_ends_with_status_3(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each row is named."""
    with spoiled("20.0.20", "shipments", "null") as (shop, _, bad):
        where = ["--url", shop.url, "--user", shop.user, "--key", shop.key]
        assert run(["dump", "shipments", *where, "--out", str(tmp_path / "rows.ndjson")]) == 3
    assert f"Skipped id {bad[0]} of shipments:" in capfd.readouterr().err


class Deaf:
    """A server that sends the same rows without ids for every query."""

    def fetch(self, query: Query) -> Generator[Row]:  # noqa: ARG002  that is the point
        """Yield all rows."""
        yield from ({"increment_id": f"{number}"} for number in (1, 2, 2, 3))


@pytest.mark.usefixtures("wire")
def test_several_rows_for_one_id_show_a_dropped_condition() -> None:
    """Rows are not treated as duplicates if the server ignores conditions."""
    with pytest.raises(FilterIgnoredError, match="4 rows were returned for id 0: the server dropped a condition"):
        list(Paginator(Deaf(), Prefix(), "id", "increment_id", window=10))


@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "entity"), LISTS)
@pytest.mark.parametrize("how", ["near", "far", "three", "null"])
def test_a_record_never_belongs_to_another_row(profile: str, entity: ListName, how: str) -> None:
    """The shop returns the record of one row for their number; the others are skipped by name."""
    with spoiled(profile, entity, how) as (shop, pager, bad):
        times = created(shop, entity)
        pages = list(pager.list(entity, details=True).pages())
        rows = [row for page in pages for row in page.rows]
        ids = [int(row[f"{entity[:-1]}_id"]) for row in rows]
        assert [row["created_at"] for row in rows] == [times[number] for number in ids]
        named = [row.id for page in pages for row in page.quarantined]
        assert sorted([*ids, *named]) == sorted(times)
        assert named == (bad if how == "null" else bad[1:])


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "entity"), LISTS)
@pytest.mark.parametrize("how", ["near", "far", "null"])
@pytest.mark.parametrize("options", [{}, {"details": True}])
@pytest.mark.parametrize("name", ["rows.ndjson", "rows.csv"])
def test_verify_compares_each_of_these_rows(  # noqa: PLR0917
    tmp_path: Path, profile: str, entity: ListName, how: str, options: dict[str, Any], name: str
) -> None:
    """Two in the shop and two in the output are no difference, and a named row is not missing."""
    with spoiled(profile, entity, how) as (shop, pager, bad):
        created(shop, entity)
        report = dump(pager.list(entity, **options), tmp_path / name)
        verification = verify(pager, tmp_path / name, entity, report=report)
        assert (verification.counts, verification.left_out + verification.unread) == ({}, len(report.left_out))
        shop.database.update(entity, bad[0], {"created_at": LATER})
        if how != "null":
            assert verify(pager, tmp_path / name, entity, report=report).counts == {"changed": 1}
            shop.database.delete(entity, bad[0])
            counts = verify(pager, tmp_path / name, entity, report=report).counts
            assert counts in ({"repeated": 1}, {"changed": 1})


@pytest.mark.sampled
@pytest.mark.parametrize("how", ["near", "far", "three"])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_table_with_the_number_as_key_names_the_duplicates(tmp_path: Path, how: str, *, stopped: bool) -> None:
    """It keeps the first row, and the report has the ids of the others; a resumed dump does the same."""
    with spoiled("20.0.20", "shipments", how) as (shop, pager, bad):
        out = tmp_path / "shop.sqlite"
        if stopped:
            with pytest.raises(KeyboardInterrupt):
                dump(pager.shipments(window=50), out, progress=stopper(3, KeyboardInterrupt))
        report = dump(pager.shipments(window=50), out, resume=True)
        assert [row.id for row in report.left_out] == bad[1:]
        assert all(f"another row has the same increment_id, {NUMBER}" in row.reason for row in report.left_out)
        with closing(sqlite3.connect(out)) as database:
            assert database.execute("SELECT count(*) FROM shipments").fetchone()[0] == report.rows
        assert report.rows + len(report.left_out) == shop.database.count("shipments")
        assert verify(pager, out, "shipments", report=report).ok


def test_an_interrupted_increment_resumes_in_a_table(tmp_path: Path) -> None:
    """The table has rows of earlier runs as well: that they return now does not mean that a reply is wrong."""
    out, state = tmp_path / "shop.sqlite", tmp_path / "state.json"
    with Shop(orders=300) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        dump(pager.shipments(window=20), out, state=state)
        changed = sorted(shop.database.ids("shipments"))[::5]
        for number in changed:
            shop.database.update("shipments", number, {"updated_at": LATER})
        with pytest.raises(KeyboardInterrupt):
            dump(pager.shipments(window=20), out, state=state, progress=stopper(3, KeyboardInterrupt))
        report = dump(pager.shipments(window=20), out, state=state)
    assert report.rows == len(changed)
    assert not report.left_out
