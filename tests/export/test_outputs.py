"""Outputs of every format: rows are read back as they were written, and nothing is lost."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from conftest import needs_pyarrow
from hypothesis import given, settings
from hypothesis import strategies as st

import magento_pager.export.text
from magento_pager import CheckpointMismatchError, Cursor, IdRange, Page, PageStats
from magento_pager.cli import run
from magento_pager.export.arrow import arrow
from magento_pager.export.checkpoints import Checkpoint, Fingerprint
from magento_pager.export.dumping import Dump
from magento_pager.export.formats import ENDINGS, FORMATS, Format
from magento_pager.export.layout import Layout
from magento_pager.export.opening import open_output
from magento_pager.export.parquet import ROWS_IN_PART, parts
from magento_pager.export.sqlite import finished_tables
from magento_pager.export.stored import stored
from magento_pager.export.text import members
from magento_pager.export.text import texts as texts_of
from magento_pager.export.values import OTHER_COLUMNS, typed_row
from magento_pager.fake import Shop
from magento_pager.lists import LISTS
from magento_pager.walk.pages import Misfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from magento_pager.walk.pages import Row

LAST = 9_999
UNDECLARED = ["extra", "more, or less", OTHER_COLUMNS, "Extra", "EXTRA", "STATUS"]
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
values = {
    "integer": st.integers(-(1 << 63), (1 << 63) - 1).map(str),
    "decimal": st.decimals(-(10**8), 10**8, places=4).map(lambda value: format(value, "f")),
    "datetime": st.datetimes().map(lambda time: time.isoformat(" ", "seconds")),
    "text": texts,
}


@st.composite
def lists(draw: st.DrawFn) -> tuple[str, list[Row]]:
    """Draw a list and rows of it with valid values, in declared and undeclared columns, some of them missing."""
    entity = draw(st.sampled_from(["orders", "customers", "products"]))
    schema = LISTS[entity]
    columns = draw(st.lists(st.sampled_from([*schema.columns, *UNDECLARED]), max_size=8, unique=True))
    rows = []
    for number in draw(st.lists(st.integers(1, LAST), min_size=1, max_size=6, unique=True).map(sorted)):
        row: Row = {schema.key: str(number)}
        for name in columns:
            if name in schema.nested:
                row[name] = draw(st.lists(texts, max_size=3))
            elif name != schema.key and draw(st.booleans()):
                row[name] = draw(values[schema.kind(name)])
        rows.append(row)
    return entity, rows


def page_of(rows: Sequence[Row], first: int, last: int, key: str = "order_id") -> Page:
    """Return a page with these rows."""
    stats = PageStats("range", "range", 1, 0, 0.1, by_ids=all(key in row for row in rows))
    return Page(IdRange(first, last), tuple(rows), Cursor("list", last + 1, LAST), stats)


def start_of(layout: Layout) -> Checkpoint:
    """Return the checkpoint of a dump without any page."""
    fingerprint = Fingerprint("https://shop.example/", layout.schema.name, 0, LAST, (), layout.name)
    return Checkpoint(fingerprint, Cursor("list", 0, LAST))


@contextmanager
def dumping(path: Path, layout: Layout, **options: bool) -> Iterator[tuple[Dump, Any]]:
    """Yield a dump to an output, and the output."""
    with closing(open_output(path, layout, **options)) as output:
        checkpoint = output.begin(start_of(layout))
        schema = layout.schema
        dump = Dump(checkpoint, output, id_field=schema.key, identity_field=schema.identity)
        yield dump, output


def dumped(path: Path, layout: Layout, rows: Sequence[Row], pages: int = 2, **options: bool) -> Checkpoint:
    """Dump rows in a number of pages, and return the last checkpoint."""
    key = layout.schema.key
    with dumping(path, layout, **options) as (dump, output):
        size = -(-len(rows) // pages) or 1
        ends = [-1, *(int(rows[at - 1].get(key, at)) for at in range(size, len(rows), size)), LAST]
        for number, (before, last) in enumerate(pairwise(ends)):
            dump.add(page_of(rows[number * size : (number + 1) * size], before + 1, last, key))
        output.publish()
        output.settle()
        return dump.checkpoint


WRITTEN: list[tuple[Format, bool, bool]] = [
    ("ndjson", False, False),
    ("ndjson", True, True),
    ("csv", False, False),
    ("csv", True, False),
    ("csv", False, True),
    ("parquet", False, True),
    ("sqlite", False, True),
]


@pytest.mark.parametrize(("form", "gzipped", "typed"), WRITTEN)
@settings(max_examples=50, deadline=None)
@given(drawn=lists())
def test_rows_are_read_back_as_they_were_written(
    *, form: Format, gzipped: bool, typed: bool, drawn: tuple[str, list[Row]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By `stored`, with any values: texts, or typed values where the output is typed."""
    if form == "parquet":
        needs_pyarrow()
    entity, rows = drawn
    path = tmp_path_factory.mktemp("out") / "rows"
    layout = Layout(LISTS[entity], form, gzipped=gzipped, typed=typed, password_hash=True)
    checkpoint = dumped(path, layout, rows)
    output = stored(path, entity)
    assert (output.layout.format, checkpoint.misfits) == (form, ())
    expected = [typed_row(layout.schema, row)[0] for row in rows] if typed else rows
    expected = [{name: value for name, value in row.items() if value is not None} for row in expected]
    if typed and not output.typed:  # no value shows it
        assert not any(LISTS[entity].kind(name) == "datetime" and row[name] for row in rows for name in row)
        output = replace(output, layout=replace(output.layout, typed=True))
    assert list(output) == expected


@settings(deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from(["status", "customer_note", "coupon_code", "new"]), texts)))
def test_csv_is_read_the_same_by_other_readers(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Python's strict reader finds the header, the same cells, and undeclared columns as JSON in the last one."""
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    layout = Layout(LISTS["orders"], "csv")
    path.write_bytes(b"".join(texts_of(rows, layout, [], header=True)))
    with path.open(encoding="utf-8", newline="") as file:
        header, *records = csv.reader(file, strict=True)
    assert tuple(header) == (*LISTS["orders"].columns, OTHER_COLUMNS)
    for row, cells in zip(rows, records, strict=True):
        record = dict(zip(header, cells, strict=True))
        assert json.loads(record.pop(OTHER_COLUMNS) or "{}") == {name: row[name] for name in row if name == "new"}
        assert record == {name: row.get(name, "") for name in LISTS["orders"].columns}


def test_null_and_an_empty_text_differ_in_csv(tmp_path: Path) -> None:
    """As in PostgreSQL: an empty cell is NULL."""
    layout = Layout(LISTS["orders"], "csv", columns=("coupon_code", "order_id", "status"))
    dumped(tmp_path / "rows.csv", layout, [{"order_id": "1", "coupon_code": "", "subtotal": "5"}])
    assert (tmp_path / "rows.csv").read_bytes() == b'coupon_code,order_id,status\r\n"",1,\r\n'


def test_typed_text_keeps_all_digits(tmp_path: Path) -> None:
    """Decimals are not converted to binary fractions, and times are in UTC."""
    row = {"order_id": "1", "tax_amount": "12345678901234567890.1200", "created_at": "2023-10-01 04:52:26"}
    dumped(tmp_path / "rows", Layout(LISTS["orders"], typed=True), [row])
    expected = b'{"order_id":1,"tax_amount":12345678901234567890.1200,"created_at":"2023-10-01T04:52:26Z"}\n'
    assert (tmp_path / "rows").read_bytes() == expected
    assert next(iter(stored(tmp_path / "rows", "orders")))["tax_amount"] == Decimal(row["tax_amount"])


@pytest.mark.parametrize("form", ["ndjson", "csv"])
@pytest.mark.parametrize("gzipped", [False, True])
@settings(max_examples=15, deadline=None)
@given(
    cuts=st.sets(st.integers(1, 29), max_size=4),
    other_cuts=st.sets(st.integers(1, 29), max_size=4),
    member=st.integers(1, 900),
    part_of_a_page=st.binary(max_size=9),
)
def test_resumed_text_is_the_same_as_without_an_interruption(
    *,
    form: Format,
    gzipped: bool,
    cuts: set[int],
    other_cuts: set[int],
    member: int,
    part_of_a_page: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """After any page, with part of a page after it: the bytes do not depend on the pages, and the tail can be read."""
    folder = tmp_path_factory.mktemp("cut")
    layout = Layout(LISTS["orders"], form, gzipped=gzipped)
    rows = [{"order_id": str(number), "customer_note": 'a\r\n"b",' * (number % 3)} for number in range(30)]

    def pages(cuts: set[int]) -> list[Page]:
        ends = pairwise([0, *sorted(cuts), 30])
        return [page_of(rows[first:last], first, last - 1 if last < 30 else LAST) for first, last in ends]

    with patch.object(magento_pager.export.text, "TEXT_IN_MEMBER", member):
        with dumping(folder / "whole", layout) as (dump, output):
            for page in pages(other_cuts):
                dump.add(page)
            output.publish()
        before = since = 0
        for page in pages(cuts):
            with dumping(folder / "resumed", layout, resume=True) as (dump, output):
                assert list(output.tail(before)) == rows[since : page.window.first]
                before, since = dump.checkpoint.offset, page.window.first
                dump.add(page)
            with output.part.open("ab") as file:
                file.write(part_of_a_page)
        with dumping(folder / "resumed", layout, resume=True) as (_, output):
            output.publish()
    assert (folder / "resumed").read_bytes() == (folder / "whole").read_bytes()
    assert list(stored(folder / "resumed", "orders")) == rows
    assert {path.name for path in folder.iterdir()} == {"whole", "whole.checkpoint", "resumed", "resumed.checkpoint"}
    if gzipped:
        text = gzip.decompress((folder / "whole").read_bytes())
        pieces = [text[at : at + member] for at in range(0, len(text), member)]
        assert [member_text for member_text, _ in members(folder / "whole")] == pieces


def test_an_empty_gzipped_dump_is_resumed_next_to_an_older_file(tmp_path: Path) -> None:
    """Stopped before it was renamed, it continues its part, and not the older file."""
    path, layout = tmp_path / "rows.gz", Layout(LISTS["orders"], gzipped=True)
    dumped(path, layout, [{"order_id": "1", "status": "new"}])
    with dumping(path, layout, resume=True, overwrite=True) as (dump, _):
        dump.add(page_of([], 0, LAST))
    with dumping(path, layout, resume=True, overwrite=True) as (_, output):
        output.publish()
    assert gzip.decompress(path.read_bytes()) == b""


ORDER = {"order_id": "1", "created_at": "2023-10-01 04:52:26", "grand_total": "99.5000", "status": "new", "extra": "x"}


def test_all_parquet_parts_have_one_schema(tmp_path: Path) -> None:
    """Declared types in every part, whatever its rows have; undeclared columns as JSON in the last column."""
    needs_pyarrow()
    pq = arrow().parquet
    layout = Layout(LISTS["orders"], "parquet")
    with dumping(tmp_path / "rows", layout) as (dump, output):
        for number in range(3):
            dump.add(page_of([{**ORDER, "order_id": str(number)}] if number else [], number, number))
            output.flush()
        dump.add(page_of([], 3, LAST))
        output.publish()
        output.settle()
    files = sorted((tmp_path / "rows").iterdir())
    assert [file.name for file in files] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    (schema,) = {str(pq.read_schema(file).remove_metadata()): pq.read_schema(file) for file in files}.values()
    types = {name: str(schema.field(name).type) for name in ("order_id", "created_at", "grand_total", "status")}
    assert types == {
        "order_id": "int64",
        "created_at": "timestamp[us, tz=UTC]",
        "grand_total": "decimal128(38, 9)",
        "status": "string",
    }
    table = pq.read_table(tmp_path / "rows")
    assert table["order_id"].to_pylist() == [1, 2]
    assert table[OTHER_COLUMNS].to_pylist() == ['{"extra":"x"}'] * 2


def test_columns_that_differ_by_case_are_all_kept(tmp_path: Path) -> None:
    """SQLite ignores case in names: later columns get a number, and are read back with their own names."""
    path = tmp_path / "shop.db"
    rows = [{"order_id": "1", "PONumber": "a"}, {"order_id": "2", "ponumber": "b", "Status": "c", "status": "d"}]
    dumped(path, Layout(LISTS["orders"], "sqlite"), rows)
    with closing(sqlite3.connect(path)) as connection:
        cells = connection.execute('SELECT PONumber, "ponumber (2)", "Status (2)", status FROM orders').fetchall()
    assert cells == [("a", None, None, None), (None, "b", "c", "d")]
    assert list(stored(path, "orders")) == [{**row, "order_id": int(row["order_id"])} for row in rows]


def test_pages_wait_in_memory_for_a_full_part(tmp_path: Path) -> None:
    """The checkpoint does not cover rows in memory; a dump that ends early writes them first."""
    needs_pyarrow()
    layout = Layout(LISTS["orders"], "parquet")
    page = [{"order_id": str(number)} for number in range(100)]
    with dumping(tmp_path / "rows", layout) as (dump, output):
        dump.add(page_of(page[:50], 0, 49))
        assert (output.saved, parts(output.part)) == (None, 0)
        dump.add(page_of(page[50:], 50, 99))
        output.flush()
        assert output.saved == dump.checkpoint
        assert (parts(output.part), output.saved.offset) == (1, 1)
        dump.add(page_of([], 100, 199))
        assert output.saved == dump.checkpoint, "an empty page is kept at once"
        assert [row["order_id"] for row in output.tail(dump.checkpoint.offset_of(60))] == list(range(100))
        dump.add(page_of([{"order_id": str(200 + number)} for number in range(ROWS_IN_PART)], 200, 9_900))
        assert (output.saved, parts(output.part)) == (dump.checkpoint, 2), "a full part is written at once"


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    """`overwrite` is for dumps, not for other files with their name."""
    needs_pyarrow()
    folder = tmp_path / "rows.parquet"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="not a folder of Parquet part files"):
        open_output(folder, Layout(LISTS["orders"], "parquet"), overwrite=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="not a folder of Parquet part files"):
        open_output(tmp_path / "file", Layout(LISTS["orders"], "parquet"), overwrite=True)


def sql(path: Path, text: str) -> list[Any]:
    """Return the result of a query."""
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.execute(text))


TABLE = Layout(LISTS["orders"], "sqlite")


def test_a_table_compares_amounts_as_numbers(tmp_path: Path) -> None:
    """As text, 99.5 would be above 100. Times are text that sorts, and SQLite's functions read them."""
    path = tmp_path / "shop.db"
    rows = [{**ORDER, "order_id": str(number), "grand_total": f"{total}.5000"} for number, total in ((1, 99), (2, 100))]
    dumped(path, TABLE, rows)
    assert sql(path, "SELECT order_id FROM orders WHERE grand_total > 100 ORDER BY grand_total") == [(2,)]
    assert sql(path, "SELECT sum(grand_total), min(datetime(created_at)) FROM orders") == [
        (200.0, "2023-10-01 04:52:26")
    ]
    types = {name: kind for _, name, kind, *_ in sql(path, "PRAGMA table_info(orders)")}
    assert [types[name] for name in ("order_id", "grand_total", "created_at", "extra")] == [
        "INTEGER",
        "DECIMAL",
        "TEXT",
        "TEXT",
    ]


def test_a_number_with_too_many_digits_for_sqlite_is_invalid(tmp_path: Path) -> None:
    """SQLite stores 15 digits exactly; a number with one more is null, and reported."""
    amounts = {"1": "12345678901.2345", "2": "123456789012.3456"}
    checkpoint = dumped(
        tmp_path / "shop.db", TABLE, [{"order_id": number, "subtotal": text} for number, text in amounts.items()]
    )
    assert sql(tmp_path / "shop.db", "SELECT subtotal FROM orders") == [(12345678901.2345,), (None,)]
    (misfits,) = checkpoint.misfits
    assert misfits.first == (Misfit("2", "subtotal", "123456789012.3456"),)


def test_lists_share_a_database(tmp_path: Path) -> None:
    """Each has its own table and state; rows without an id are identified by their number."""
    path = tmp_path / "shop.db"
    dumped(path, TABLE, [ORDER])
    shipments = replace(TABLE, schema=LISTS["shipments"])
    dumped(path, shipments, [{"increment_id": "1-1", "total_qty": "2.0000"}, {"increment_id": "1-2"}])
    assert finished_tables(path) == ["orders", "shipments"]
    assert sql(path, "SELECT increment_id, total_qty FROM shipments") == [("1-1", 2), ("1-2", None)]
    assert next(iter(stored(path, "orders")))["order_id"] == 1
    assert next(iter(stored(path, "shipments")))["increment_id"] == "1-1"
    with pytest.raises(ValueError, match=r"has orders and shipments\. Name the list"):
        stored(path)
    with pytest.raises(ValueError, match="has no finished table customers"):
        list(stored(path, "customers"))


def test_a_finished_table_is_replaced_only_with_overwrite(tmp_path: Path) -> None:
    """And only with the first page of the new dump."""
    path = tmp_path / "shop.db"
    dumped(path, TABLE, [ORDER])
    with pytest.raises(
        FileExistsError, match=r"already has a table orders\. .* with overwrite=True \(--overwrite\)\.$"
    ):
        open_output(path, TABLE)
    with dumping(path, TABLE, overwrite=True):
        pass
    assert sql(path, "SELECT status FROM orders") == [("new",)]
    dumped(path, TABLE, [{"order_id": "2"}], overwrite=True)
    assert sql(path, "SELECT order_id FROM orders") == [(2,)]
    assert open_output(path, TABLE, resume=True).finished


def test_changed_rows_are_added_to_a_finished_table(tmp_path: Path) -> None:
    """Each replaces the whole row with its id, new columns are added, and the state of the dump is kept."""
    path = tmp_path / "shop.db"
    with pytest.raises(ValueError, match=r"has no finished table orders to add to\. Dump all orders first"):
        open_output(path, TABLE, into_existing=True)
    whole = dumped(path, TABLE, [{**ORDER, "order_id": str(number)} for number in (1, 2)])
    with dumping(path, TABLE, into_existing=True) as (dump, _):
        dump.add(page_of([{"order_id": "2", "status": "closed", "another": "y"}], 0, 5))
        checkpoint = dump.checkpoint
    assert finished_tables(path) == ["orders"], "it is still finished"
    with pytest.raises(FileExistsError, match=r"dump of orders increment .* is unfinished"):
        open_output(path, TABLE, into_existing=True)
    with dumping(path, TABLE, into_existing=True, resume=True) as (dump, output):
        assert dump.checkpoint == checkpoint
        dump.add(page_of([{"order_id": "7", "status": "new"}], 6, LAST))
        output.publish()
        output.settle()
    assert sql(path, "SELECT order_id, status, extra, another FROM orders") == [
        (1, "new", "x", None),
        (2, "closed", None, "y"),
        (7, "new", None, None),
    ]
    assert [name for (name,) in sql(path, "SELECT name FROM magento_pager_dumps")] == ["orders"]
    with closing(open_output(path, replace(TABLE), resume=True, overwrite=False)) as output:
        assert (output.saved, output.finished) == (whole, True)
    assert whole.complete


def test_rows_without_ids_are_refused_in_a_table_by_id(tmp_path: Path) -> None:
    """An empty table, or one by number, accepts them."""
    layout = replace(TABLE, schema=LISTS["invoices"])
    dumped(tmp_path / "a.db", layout, [{"invoice_id": "5", "increment_id": "i5"}])
    with dumping(tmp_path / "a.db", layout, into_existing=True) as (dump, _):
        dump.add(page_of([{"invoice_id": "6", "increment_id": "i6"}], 0, 6, "invoice_id"))
        with pytest.raises(CheckpointMismatchError, match=r"identified by invoice_id.* \(--overwrite\)"):
            dump.add(page_of([{"increment_id": "i7"}], 7, 9, "invoice_id"))
    dumped(tmp_path / "b.db", layout, [])
    with dumping(tmp_path / "b.db", layout, into_existing=True) as (dump, _):
        dump.add(page_of([{"increment_id": "i6"}], 0, 5, "invoice_id"))
        dump.add(page_of([{"invoice_id": "7", "increment_id": "i7"}], 6, 9, "invoice_id"))
    assert sql(tmp_path / "b.db", "SELECT increment_id, invoice_id FROM invoices") == [("i6", None), ("i7", 7)]


def test_a_file_that_is_not_a_database_is_never_overwritten(tmp_path: Path) -> None:
    """Whatever options are given; and only SQLite can add rows to a finished output."""
    (tmp_path / "shop.db").write_text("a letter" * 1000)
    with pytest.raises(ValueError, match="not an SQLite database"):
        open_output(tmp_path / "shop.db", TABLE, overwrite=True)
    with pytest.raises(ValueError, match=r"Only SQLite can add rows to a finished output, not csv\.gz"):
        open_output(tmp_path / "x", Layout(LISTS["orders"], "csv", gzipped=True), into_existing=True)


def test_every_ending_selects_an_existing_format() -> None:
    """NDJSON has no ending of its own: it is the default."""
    assert set(ENDINGS.values()) < set(FORMATS)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Return a small shop with two invalid values."""
    with Shop(orders=60) as shop:
        for number in (7, 44):
            shop.database.update("orders", number, {"updated_at": "2023-13-01 00:00:00"})
        yield shop


def command(shop: Shop, *arguments: str) -> list[str]:
    """Return the arguments of a dump of that shop."""
    return ["dump", *arguments, "--url", shop.url, "--user", shop.user, "--key", shop.key, "--last", "99"]


def test_a_digest_does_not_depend_on_the_format(shop: Shop, tmp_path: Path) -> None:
    """It is the same for the same rows in every format, with a password hash or without."""
    digests = set()
    needs_pyarrow()
    for name in ("a.ndjson", "a.csv", "a.csv.gz", "a.parquet", "a.db", "b.ndjson", "c.ndjson"):
        more = {"b.ndjson": ["--password-hash"], "c.ndjson": ["--columns", "email", "--typed"]}.get(name, [])
        out = ["--out", str(tmp_path / name), "--report", str(tmp_path / "report")]
        assert run(command(shop, "customers", *more, *out)) == 0
        digests.add(json.loads((tmp_path / "report").read_text())["digest"])
    assert len(digests) == 1
    (first, *_) = stored(tmp_path / "b.ndjson")
    assert "password_hash" in first
    for name in ("a.ndjson", "a.csv", "a.parquet", "a.db"):
        assert not any("password_hash" in row for row in stored(tmp_path / name))
    assert "password_hash" not in {column[1] for column in sql(tmp_path / "a.db", "PRAGMA table_info(customers)")}


def test_invalid_values_are_reported(shop: Shop, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """On standard error and in the report, with the ids; not where values are written as text."""
    files = ["--out", str(tmp_path / "rows"), "--report", str(tmp_path / "report"), "--overwrite"]
    assert run(command(shop, "orders", "--typed", *files)) == 0
    line = "Wrote null for 2 invalid values of updated_at (id 7: '2023-13-01 00:00:00', id 44: '2023-13-01 00:00:00')."
    assert line in capfd.readouterr().err.splitlines()
    assert json.loads((tmp_path / "report").read_text())["misfits"] == [
        {
            "column": "updated_at",
            "count": 2,
            "first": [{"id": number, "value": "2023-13-01 00:00:00"} for number in ("7", "44")],
        }
    ]
    assert run(command(shop, "orders", *files)) == 0
    assert "invalid value" not in capfd.readouterr().err
    assert json.loads((tmp_path / "report").read_text())["misfits"] == []


def test_selected_columns_are_written_in_their_order(
    shop: Shop, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In every format; an unknown column is empty, with a warning."""
    needs_pyarrow()
    for name in ("a.ndjson", "a.csv", "a.parquet", "a.db"):
        assert (
            run(command(shop, "orders", "--columns", "status, order_id,nonsense", "--out", str(tmp_path / name))) == 0
        )
        assert "warning: nonsense is not a known column of orders" in capfd.readouterr().err
        (first, *_) = stored(tmp_path / name, "orders")
        assert list(first) == ["status", "order_id"]
    assert run(command(shop, "orders", "--format", "csv", "--columns", "order_id")) == 0
    assert capfd.readouterr().out.startswith("order_id\r\n3\r\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "parquet", "--gzip", "--out", "x"], "gzip is for text"),
        (["--format", "parquet"], "cannot be written to standard output"),
        (["--format", "sqlite"], "cannot be written to standard output"),
        (["--columns", "status,status"], "A column is named twice"),
        (
            ["--columns", "email,password_hash"],
            "password_hash is not exported by default. To include it, add --password-hash",
        ),
        (["--columns", "status", "--out", "x.db"], "needs the column that identifies its rows: add order_id"),
        (
            ["--columns", "status", "--out", "x", "--resume", "--lookback", "5"],
            "--lookback needs the column order_id",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused_by_the_command(
    arguments: list[str],
    message: str,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before any call, and before anything is written."""
    monkeypatch.chdir(tmp_path)
    assert run(["dump", "orders", *arguments]) == 2
    assert message in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_lists_are_recognised_by_their_columns(shop: Shop, tmp_path: Path) -> None:
    """`stored` needs no name where the columns show it; otherwise it asks for one."""
    for entity in LISTS:
        for ending in ("ndjson", "csv", "ndjson.gz"):
            out = tmp_path / f"{entity}.{ending}"
            assert run(command(shop, entity, "--out", str(out))) == 0
            assert (stored(out).entity, stored(out).typed) == (entity, False)
    assert run(command(shop, "orders", "--columns", "status", "--out", str(tmp_path / "few"))) == 0
    with pytest.raises(ValueError, match="do not show which list"):
        stored(tmp_path / "few")
    assert {tuple(row) for row in stored(tmp_path / "few", "orders")} == {("status",)}
