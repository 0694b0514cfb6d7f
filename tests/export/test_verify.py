"""Verification: every difference between an output and the shop is found, and nothing else is reported."""

from __future__ import annotations

import json
import re
import tracemalloc
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks.readings import honest
from conftest import missing, set_environment
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_source import MemorySource

from magento_pager import MAX_ID, Difference, IdRange, InList, Paginator, Prefix, Range, connect, dump, verify
from magento_pager.cli import run
from magento_pager.export import verification
from magento_pager.export.index import Index, draw_sample
from magento_pager.export.verification import Origin, Tally, differences, matching_blocks
from magento_pager.fake import Shop
from magento_pager.lists import ListSpec, columns
from magento_pager.shop.connection import Connection
from magento_pager.walk.evidence import ProbeReport, Trial, independent_strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from magento_pager import Condition, ListName
    from magento_pager.fake.declarations import Flavour
    from magento_pager.walk.pages import Row

SCHEMA = ListSpec("orders", "listIt", "id", "Read", columns("id:int increment_id"), identity="increment_id")


@pytest.fixture
def dumped(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that dumps a list of the shop and returns the arguments to verify it with its report."""
    set_environment(monkeypatch, shop)
    monkeypatch.chdir(tmp_path)

    def dump(entity: str = "orders", name: str = "rows.ndjson", *options: str) -> list[str]:
        assert run(["dump", entity, "--out", name, "--report", "report.json", *options]) in {0, 3}
        return ["verify", name, entity, "--report", "report.json"]

    return dump


def indexed(rows: list[Row]) -> Index:
    """Return the index of some rows of a list in memory."""
    return Index(rows, SCHEMA, typed=False)


def without_calls(summary: str) -> str:
    """Return a summary without the number of calls, which depends on the speed of the shop."""
    return re.sub(r"\d+ calls", "calls", summary)


def differences_of(source: MemorySource, rows: list[Row], ranges: IdRange | None = None) -> set[tuple[str, int | str]]:
    """Return the differences between a list in memory and rows of an output."""
    span = ranges or IdRange(0, MAX_ID)
    paginator = Paginator(source, Range(), "id", "increment_id", "list", first=span.first, last=span.last)
    with indexed(rows) as index:
        return {(difference.kind, difference.key) for difference in differences(paginator, index, Origin(), Tally())}


@settings(max_examples=40, deadline=None)
@given(
    both=st.sets(st.integers(0, 6_000), max_size=60),
    shop_only=st.sets(st.integers(0, 6_000), max_size=60),
    file_only=st.sets(st.integers(0, 6_000), max_size=60),
    order=st.randoms(use_true_random=False),
    with_ids=st.booleans(),
)
def test_the_differences_are_those_of_the_two_sets(
    both: set[int], shop_only: set[int], file_only: set[int], order: Random, *, with_ids: bool
) -> None:
    """Missing, extra, changed and repeated rows are each named once, whatever the order of the output."""
    source = MemorySource(both | shop_only, with_ids=with_ids)
    rows = [source.row(number) for number in sorted(both | file_only)]
    changed = {number for number in both if number % 5 == 0}
    repeated = {number for number in both if number % 7 == 0}
    for row in rows:
        if int(row["increment_id"]) - 100_000_000 in changed:
            row["status"] = "another"
    rows += [source.row(number) | ({"status": "another"} if number in changed else {}) for number in repeated]
    order.shuffle(rows)

    def key(number: int) -> int | str:
        return number if with_ids else f"{100_000_000 + number}"

    assert differences_of(source, rows) == (
        {("missing", key(number)) for number in shop_only - both - file_only}
        | {("extra", key(number)) for number in file_only - both - shop_only}
        | {("changed", key(number)) for number in changed}
        | {("repeated", key(number)) for number in repeated}
    )


def test_rows_lost_by_the_strategy_of_the_dump_are_found() -> None:
    """A server loses rows of a range but not of a list of ids: the same strategy would agree with the dump."""

    def losing(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
        lossy = any(condition.operator == "from" for condition in conditions)
        return [number for number in honest(conditions, ids) if not (lossy and number % 50 == 3)]

    source = MemorySource(range(1, 1_000), losing)
    dump = list(Paginator(source, Range(), "id", operation="list"))
    assert len(dump) == 979
    assert differences_of(source, dump) == set()
    paginator = Paginator(source, InList(), "id", operation="list")
    with indexed(dump) as index:
        lost = [difference.key for difference in differences(paginator, index, Origin(), Tally())]
    assert lost == list(range(3, 1_000, 50))


@given(
    st.sets(st.integers(0, 100_000), min_size=1, max_size=300),
    st.floats(0.01, 1),
    st.integers(0, 5),
    st.sampled_from([IdRange(0, MAX_ID), IdRange(0, 100_000), IdRange(0, 54_321)]),
)
def test_a_sample_has_the_windows_that_it_reports(ids: set[int], fraction: float, seed: int, span: IdRange) -> None:
    """Its ranges are separate, in order and within the dumped ids, and always include the end."""
    ids = {number for number in ids if number in span} or {0}
    source = MemorySource(ids)
    with indexed(source.rows()) as index:
        sample = draw_sample(index, fraction, span, seed)
        assert sample == draw_sample(index, fraction, span, seed)
    assert all(before.last < after.first for before, after in zip(sample.ranges, sample.ranges[1:], strict=False))
    assert all(window in span for window in sample.ranges)
    windows = [window for window in sample.ranges if window.first < sample.end]
    populated = [window for window in windows if any(number in window for number in ids)]
    assert (len(populated), len(windows) - len(populated)) == (sample.populated[0], sample.empty)
    assert sample.populated[0] >= fraction * sample.populated[1]
    assert sample.end > max(ids)
    assert sample.end > span.last or sample.ranges[-1] == IdRange(sample.end, span.last)


def test_an_independent_strategy_works_differently() -> None:
    """After a dump by a range, another form of a range is used only where nothing else works."""

    def probed(*working: str) -> ProbeReport:
        trials = tuple(Trial(name, "", 3, 3, (), None, 0.1, "holds") for name in working)
        return ProbeReport("list", working[0] if working else None, 3, 5, trials)

    assert independent_strategy(probed("range", "alias", "in-list"), frozenset({"range"})) == "in-list"
    assert independent_strategy(probed("range", "alias"), frozenset({"alias"})) == "prefix"
    assert independent_strategy(probed("in-list"), frozenset({"in-list"})) == "prefix"
    assert independent_strategy(probed("alias"), frozenset({"prefix"})) == "alias"
    assert independent_strategy(probed("alias"), frozenset({"prefix", "range"})) == "alias"
    assert independent_strategy(probed(), frozenset({"prefix"})) == "single-filter"


def test_the_index_takes_little_memory() -> None:
    """Rows are indexed on disk: memory does not grow with their number."""

    def peak(count: int) -> int:
        rows = ({"id": str(number), "increment_id": str(number), "status": "x" * 200} for number in range(count))
        tracemalloc.start()
        with Index(rows, SCHEMA, typed=False) as index:
            assert index.rows == count
            size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(30_000) < peak(3_000) + 200_000


def test_digests_of_a_report_are_compared() -> None:
    """The number of equal blocks is returned, or None where one differs."""
    source = MemorySource([5, 1_000_005, 1_000_006])
    paginator = Paginator(source, Prefix(), "id", operation="list")
    tally = Tally()
    with indexed(source.rows()) as index:
        assert not list(differences(paginator, index, Origin(), tally))
    digests = {block["first"]: block["digest"] for block in tally.digest.as_json()}
    assert matching_blocks(Origin(digests=digests), tally.digest) == 2
    assert matching_blocks(Origin(digests=digests | {0: "0" * 32}), tally.digest) is None


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["rows.ndjson", "rows.csv", "rows.csv.gz", "rows.sqlite", "rows.parquet"])
@pytest.mark.parametrize("entity", ["orders", "shipments", "customers", "products"])
def test_every_format_can_be_verified(
    dumped: Callable[..., list[str]], shop: Shop, capfd: pytest.CaptureFixture[str], name: str, entity: str
) -> None:
    """Nothing differs right after a dump, typed values are compared as such, and a change is found."""
    if name.endswith(".parquet") and find_spec("pyarrow") is None:
        missing("pyarrow is not installed")
    verifying = dumped(entity, name)
    assert run(verifying) == 0
    out, err = capfd.readouterr()
    assert out == ""
    count = len(list(shop.database.ids(entity)))
    assert f"compared {count} {entity} in the shop with {count} in {name}" in err
    assert "by in-list (dumped by key-range)" in err
    began = json.loads(Path("report.json").read_text(encoding="utf-8"))["began"]
    assert f"no differences: complete as of {began.replace('+00:00', 'Z')}\n" in err
    assert "the digests of all 1 blocks" in err
    if entity != "products":
        number = sorted(shop.database.ids(entity))[7]
        field = {"orders": "status", "shipments": "total_qty", "customers": "email"}[entity]
        shop.database.update(entity, number, {field: "17"})
        assert run(verifying) == 1
        out, err = capfd.readouterr()
        assert out.startswith("changed   ")
        assert out.count("\n") == 1
        assert "different: 1 changed" in err
        assert "digests" not in err


def change_orders(shop: Shop) -> list[int]:
    """Delete an order, change another one after the dump, and return the ids before that."""
    ids = sorted(shop.database.ids("orders"))
    shop.database.delete("orders", ids[3])
    shop.database.update("orders", ids[5], {"status": "holded", "updated_at": "2099-01-01 00:00:00"})
    return ids


def test_the_library_verifies_as_the_command_does(
    dumped: Callable[..., list[str]], shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same differences, counts and lines, whether the report is a file or a dict."""
    verifying = dumped()
    ids = change_orders(shop)
    capfd.readouterr()
    assert run(verifying) == 1
    out, err = capfd.readouterr()
    received: list[Difference] = []
    with connect(shop.url, shop.user, shop.key) as pager:
        compared = verify(pager, "rows.ndjson", report="report.json", found=received.append)
        by_dict = verify(
            pager, Path("rows.ndjson"), "orders", report=json.loads(Path("report.json").read_text("utf-8"))
        )
    assert (compared.differences, compared.counts) == (by_dict.differences, by_dict.counts)
    assert list(map(str, received)) == list(map(str, compared.differences)) == out.splitlines()
    assert without_calls(str(compared)) == without_calls(str(by_dict)) == without_calls(err.rstrip("\n"))
    assert (compared.counts, compared.since) == ({"extra": 1, "changed": 1}, {"changed": 1})
    assert (compared.rows, compared.held, compared.strategy) == (len(ids) - 1, len(ids), "in-list")
    assert compared.complete
    assert not compared.ok


def test_a_report_object_can_be_used_to_verify(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report of `dump` need not be written to a file."""
    monkeypatch.chdir(tmp_path)
    with connect(shop.url, shop.user, shop.key) as pager:
        report = dump(pager.customers(last=300, where=[("group_id", "eq", "1")]), "rows.csv")
        compared = verify(pager, "rows.csv", report=report)
    assert compared.ok
    assert 0 < compared.rows == report.rows
    assert "(dumped by key-range)" in str(compared)
    assert "the time of the file" not in str(compared)


def test_verify_uses_the_query_in_the_report(dumped: Callable[..., list[str]], shop: Shop) -> None:
    """Arguments override the report, and the report overrides the defaults."""
    dumped("orders", "rows.ndjson", "--last", "900", "--where", "store_id:eq:1")
    part: dict[str, Any] = {"where": [("store_id", "eq", "1")], "last": 900}
    with connect(shop.url, shop.user, shop.key) as pager:
        assert verify(pager, "rows.ndjson", report="report.json").ok
        assert verify(pager, "rows.ndjson", report="report.json", sample=0.1, seed=3).ok
        assert verify(pager, "rows.ndjson", **part, strategy="prefix").strategy == "prefix"
        assert verify(pager, "rows.ndjson", **part, strategy=InList()).ok
        assert verify(pager, "rows.ndjson", last=900).counts.keys() == {"missing"}
        later = verify(pager, "rows.ndjson", report="report.json", first=200)
        assert later.ok
        assert later.rows < later.held
        assert verify(pager, "rows.ndjson", report="report.json", where=()).counts.keys() == {"missing"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": 0.0}, "more than 0 and at most 1"),
        ({"sample": 1.5}, "more than 0 and at most 1"),
        ({"strategy": "magic"}, "there is no strategy"),
        ({"name": "coupons"}, "there is no list"),
        ({"report": {"strategy": "range"}}, "The report is not a report of a dump"),
        ({"report": "rows.ndjson"}, "rows.ndjson is not a report"),
    ],
)
def test_invalid_arguments_are_refused_before_any_call(
    dumped: Callable[..., list[str]], shop: Shop, options: dict[str, Any], message: str
) -> None:
    """They raise ValueError."""
    dumped()
    with connect(shop.url, shop.user, shop.key) as pager:
        shop.clear_log()
        with pytest.raises(ValueError, match=message):
            verify(pager, "rows.ndjson", **options)
        assert not list(shop.log)


def test_many_differences_do_not_fill_memory(
    dumped: Callable[..., list[str]], shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first ones are kept; all are counted, and passed to the callback."""
    dumped()
    monkeypatch.setattr(verification, "KEPT", 7)
    received: list[Difference] = []
    with connect(shop.url, shop.user, shop.key) as pager:
        compared = verify(pager, "rows.ndjson", last=20, found=received.append)
    assert compared.counts == {}
    Path("none.ndjson").write_text("")
    with connect(shop.url, shop.user, shop.key) as pager:
        compared = verify(pager, "none.ndjson", "orders", found=received.append)
    assert len(received) == compared.counts["missing"] == len(list(shop.database.ids("orders")))
    assert compared.differences == tuple(received[:7])


def test_later_changes_in_the_shop_are_distinguished(
    dumped: Callable[..., list[str]], shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """Changes after the dump do not make it incomplete; earlier ones do. The exit status is 1 for both."""
    verifying = dumped()
    ids = change_orders(shop)
    assert run(verifying) == 1
    out, err = capfd.readouterr()
    assert out.splitlines() == [
        f"extra     {ids[3]}  not in the shop; possibly deleted since the dump",
        f"changed   {ids[5]}  updated 2099-01-01 00:00:00, since the dump",
    ]
    assert "complete as of 20" in err
    assert "since then the shop has changed: 1 extra, 1 changed (1 since then)" in err
    shop.database.update("orders", ids[6], {"status": "holded"})
    assert run(verifying) == 1
    out, err = capfd.readouterr()
    assert f"changed   {ids[6]}  updated 20" in out
    assert "different: 1 extra, 2 changed (1 since then)" in err
    assert "complete" not in err


def test_rows_that_the_file_lost_or_has_twice(
    dumped: Callable[..., list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A removed line is missing, a copied one is repeated; the order of lines does not matter."""
    verifying = dumped()
    path = tmp_path / "rows.ndjson"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    ids = [json.loads(line)["order_id"] for line in lines]
    path.write_text("".join([*lines[:4], *lines[5:50], *lines[51:], lines[50], lines[9]]), encoding="utf-8")
    assert run(verifying) == 1
    out, err = capfd.readouterr()
    assert sorted(line.split()[:2] for line in out.splitlines()) == [["missing", ids[4]], ["repeated", ids[9]]]
    assert "different: 1 repeated, 1 missing" in err


def test_a_sample(dumped: Callable[..., list[str]], shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """A sample reads fewer rows, is described, is the same with the same seed, and at 100% finds everything."""
    verifying = dumped()
    ids = sorted(shop.database.ids("orders"))
    assert run([*verifying, "--sample", "5%", "--seed", "1"]) == 0
    err = capfd.readouterr().err
    assert "sample: " in err
    assert "for the ids of the sample" in err
    assert f"compared {len(ids)} " not in err
    described = [line for line in err.splitlines() if line.startswith("sample: ")]
    assert run([*verifying, "--sample", "0.05", "--seed", "1"]) == 0
    assert described == [line for line in capfd.readouterr().err.splitlines() if line.startswith("sample: ")]
    shop.database.update("orders", ids[50], {"status": "holded"})
    new = shop.database.insert("orders", {"increment_id": "900000001", "status": "new", "store_id": 1})
    assert run([*verifying, "--sample", "100%"]) == 1
    out = capfd.readouterr().out
    assert [line.split()[:2] for line in out.splitlines()] == [["changed", str(ids[50])], ["missing", str(new)]]
    assert run([*verifying, "--sample", "1%"]) == 1, "the end is always included"
    assert f"missing   {new}" in capfd.readouterr().out
    assert run([*verifying, "--sample", "0%"]) == 2
    assert "is not a fraction" in capfd.readouterr().err


def test_rows_without_ids_cannot_be_sampled(
    dumped: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    """Windows of ids cannot be drawn; all rows can be compared."""
    verifying = dumped("shipments")
    assert run([*verifying, "--sample", "2%"]) == 2
    assert "Compare all rows, without a sample" in capfd.readouterr().err


def test_the_report_has_the_query_of_the_dump(
    dumped: Callable[..., list[str]], shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """The comparison uses the bounds, conditions and columns of the dump."""
    ids = sorted(shop.database.ids("orders"))
    bounds = ["--first", str(ids[10]), "--last", str(ids[150])]
    verifying = dumped("orders", "rows.csv", *bounds, "--where", "store_id:eq:1", "--columns", "order_id,status")
    assert run(verifying) == 0
    err = capfd.readouterr().err
    assert "not compared, because the file does not have them: " in err
    assert run(verifying[:3]) == 1, "without the report all orders are expected"
    out, err = capfd.readouterr()
    assert "missing   " in out
    assert "different: " in err
    assert run([*verifying[:3], *bounds, "--where", "store_id:eq:1"]) == 0
    assert "the time of the file" in capfd.readouterr().err


@pytest.mark.parametrize(("before", "after"), [("rpc", "wsi"), ("wsi", "rpc")])
@pytest.mark.parametrize("name", ["customers", "products"])
def test_both_flavours_agree_about_empty_texts(
    dumped: Callable[..., list[str]], shop: Shop, name: str, before: Flavour, after: Flavour
) -> None:
    """Also up to 1.7, where WS-I sends the same for an empty product name and for none."""
    first, second, *_ = shop.database.ids(name)
    empty = "firstname" if name == "customers" else "name"
    shop.database.update(name, first, {empty: ""})
    shop.set_profile("1.7.0.2", flavour=before)
    columns = ["--columns", f"{name[:-1]}_id,{empty}"]
    verifying = dumped(name, "rows.ndjson", *columns)
    shop.set_profile("1.7.0.2", flavour=after)
    assert run(verifying) == 0
    shop.database.update(name, second, {empty: ""})
    assert run(verifying) == 1


def test_rows_without_an_identifier_are_refused(
    dumped: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    """A file without the id column cannot be compared, and the message says so."""
    assert run(dumped("orders", "rows.csv", "--columns", "status,grand_total")) == 2
    assert "has no column order_id" in capfd.readouterr().err


def test_details_are_reported_as_not_compared(
    dumped: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    """The summary names columns that rows of the list do not have."""
    verifying = dumped("orders", "rows.ndjson", "--details", "--last", "30")
    assert run(verifying) == 0
    assert "not compared, because rows of the list do not have them: billing_address" in capfd.readouterr().err


def test_a_row_that_cannot_be_read_is_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dump skipped and reported it; so does the comparison."""
    monkeypatch.chdir(tmp_path)
    with Shop(orders=60) as shop:
        broken = sorted(shop.database.ids("orders"))[20]
        shop.change(duplicate_address=[broken])
        asking = ["--url", shop.url, "--user", shop.user, "--key", shop.key]
        assert run(["dump", "--out", "rows.ndjson", "--report", "report.json", *asking]) == 3
        assert run(["verify", "rows.ndjson", "--report", "report.json", *asking]) == 0
        shop.change(duplicate_address=[])
        assert run(["verify", "rows.ndjson", "--report", "report.json", *asking]) == 0
        assert run(["verify", "rows.ndjson", *asking]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"complete": False}, "is not complete"),
        ({"asked": {"since": "2024-01-01T00:00:00+00:00"}}, "has only the rows changed since"),
        ({"digests": None}, "is not a report of a dump"),
        ({"asked": {"entity": "orders"}}, "of a dump of orders, but rows.ndjson has customers"),
    ],
)
def test_unusable_reports_are_refused(
    dumped: Callable[..., list[str]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    change: dict[str, object],
    message: str,
) -> None:
    """Those of an incomplete dump, of another list, and files that are not reports."""
    verifying = dumped("customers")
    path = tmp_path / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert run(verifying) == 2
    assert message in capfd.readouterr().err


@pytest.mark.sampled
@pytest.mark.parametrize("profile", ["1.4.1.1", "1.6.2.0", "1.7.0.2"])
@pytest.mark.parametrize("entity", ["orders", "invoices", "customers"])
def test_old_versions(
    shop_of: Callable[[str, str], Shop],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    profile: str,
    entity: str,
) -> None:
    """Whatever a version honours, there is a second strategy that returns the same rows."""
    shop = shop_of(profile, "rpc")
    asking = ["--url", shop.url, "--user", shop.user, "--key", shop.key]
    out, report = str(tmp_path / "rows.ndjson"), str(tmp_path / "report.json")
    assert run(["dump", entity, "--out", out, "--report", report, *asking]) == 0
    assert run(["verify", out, entity, "--report", report, *asking]) == 0
    strategy, dumped_by = capfd.readouterr().err.rpartition(", by ")[2].split(" calls")[0].split(" (dumped by ")
    assert strategy not in dumped_by.split(", ")


@pytest.mark.parametrize(
    ("profile", "entity"),
    [("20.0.20", "shipments"), ("1.4.1.1", "invoices"), ("20.0.20", "invoices"), ("20.0.20", "creditmemos")],
)
def test_full_records_are_compared_by_the_columns_of_their_list(tmp_path: Path, profile: str, entity: ListName) -> None:
    """Rows in the list of shipments have no id, and few columns of a full record."""
    with Shop(profile=profile, orders=100) as shop, connect(shop.url, shop.user, shop.key) as pager:
        report = dump(pager.list(entity, details=True), tmp_path / "rows.ndjson")
        assert verify(pager, tmp_path / "rows.ndjson", entity, report=report).counts == {}
        first, second, *_ = sorted(shop.database.ids(entity))
        shop.database.update(entity, first, {"increment_id": "7"})
        shop.database.update(entity, second, {"created_at": "2031-01-01 00:00:00"})
        counts = verify(pager, tmp_path / "rows.ndjson", entity, report=report).counts
        key = "changed" if entity == "creditmemos" else "extra"
        assert counts == ({"changed": 2} if key == "changed" else {"changed": 1, "extra": 1, "missing": 1})


@pytest.mark.sampled
@pytest.mark.filterwarnings("ignore:options is not a known column")
@pytest.mark.parametrize(
    "written",
    [("sqlite", ()), ("ndjson", ()), ("csv", ()), ("csv", ("order_id", "options")), ("parquet", ())],
)
@pytest.mark.parametrize("value", [{"b": "1", "a": ["2", {"c": "3"}]}, ["7"], [], {}, "[no list", '{"a":"1"}'])
def test_undeclared_lists_and_records_are_compared(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: tuple[str, tuple[str, ...]], value: object
) -> None:
    """In every format: an extension's column may have any type, and a table has it as JSON."""
    ending, columns = written
    if ending == "parquet" and find_spec("pyarrow") is None:
        missing("pyarrow is not installed")
    original = Connection.rows
    change: list[object] = [value]

    def rows(self: Connection, *arguments: Any, repair: bool = False) -> Iterator[dict[str, Any]]:
        return ({**row, "options": change[0]} for row in original(self, *arguments, repair=repair))

    monkeypatch.setattr(Connection, "rows", rows)
    path = tmp_path / f"orders.{ending}"
    with connect(shop.url, shop.user, shop.key) as pager:
        dump(pager.orders(last=50), path, columns=columns)
        assert not verify(pager, path, "orders", last=50).differences
        change[0] = ["another"]
        assert verify(pager, path, "orders", last=50).differences
