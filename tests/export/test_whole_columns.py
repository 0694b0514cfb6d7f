"""Whole columns at once: the same values and the same invalid values as one by one, whatever the rows contain."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from conftest import needs_pyarrow
from hypothesis import given, settings
from hypothesis import strategies as st

from magento_pager import Cursor
from magento_pager.export import arrow, values
from magento_pager.export.checkpoints import Checkpoint, Fingerprint
from magento_pager.export.layout import Layout
from magento_pager.export.sqlite import SqliteOutput, columns_of, quoted
from magento_pager.export.values import OTHER_COLUMNS
from magento_pager.lists import LISTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from magento_pager.lists import Kind
    from magento_pager.walk.pages import Misfit, Row

COLUMNS: dict[Kind, tuple[str, ...]] = {
    "integer": ("order_id", "store_id", "quote_id"),
    "decimal": ("grand_total", "weight"),
    "datetime": ("created_at", "updated_at"),
    "text": ("status", "items", "extra", OTHER_COLUMNS, "STATUS"),
}
KINDS = {column: kind for kind, columns in COLUMNS.items() for column in columns}
PLAIN: dict[Kind, st.SearchStrategy[str]] = {
    "integer": st.integers(0, 10**12).map(str),
    "decimal": st.decimals(-(10**8), 10**8, places=4).map(lambda value: format(value, "f")),
    "datetime": st.datetimes().map(lambda time: time.isoformat(" ", "seconds")),
    "text": st.text(st.characters(codec="utf-8"), max_size=8),
}
ODD: list[Any] = [
    *("", " ", "0", "-0", "-1", "+1", "0012", "5.0000", "5.", ".5", "5.5", "-5.0", "0x1F", "0X1f", "1_0", "1,5", "١٢"),
    *("1e3", "1E3", "1e0003", "1e-9", "1e-10", "1e30", "0e5", "1.0E+25", "NaN", "nan", "inf", "-Infinity", "null"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809", "9" * 5000),
    *(
        "9" * 29,
        "9" * 30,
        "9" * 29 + ".999999999",
        "0." + "0" * 8 + "1",
        "0.0000000001",
        "1.0000000000",
        "1." + "0" * 99,
    ),
    *("0" * 70 + "1", "0" * 120 + "1", "0" * 120 + "5.", "-" + "0" * 64, "1." + "0" * 99, "123456789012345.6"),
    *("-0.0000", "-00.50", "000000012345678901.5", "0.1234567890123456", "1\n", "\n1", "1\n2", "1\0", "7 ", "\t7"),
    *("0000-00-00 00:00:00", "0000-00-00 00:00:00.000", "0000-00-00", "0000-01-01 00:00:00", "0001-01-01 00:00:00"),
    *(
        "2023-02-29 00:00:00",
        "2024-02-29 23:59:59",
        "2023-01-01 24:00:00",
        "2023-01-01 23:59:60",
        "2023-13-01 00:00:00",
    ),
    *("2023-01-01T00:00:00", "2023-01-01 00:00:00Z", "2023-01-01 00:00:00.5", "2023-01-01 00:00:00.1234567"),
    *("2023-01-01 00:00:00.", "2023-01-01", "9999-12-31 23:59:59.999999", "10000-01-01 00:00:00", "2023-1-1 00:00:00"),
    *("2023-13-01 00:00:00", "12345678901.2345"),
    *(None, [], ["1"], {}, {"a": ["b"]}, "[]", "\ud800", '"', "\\", "\u2028", "\0", "ÿ", "💶"),
]


@st.composite
def batches(draw: st.DrawFn) -> list[Row]:
    """Draw rows. Most columns have only texts in the usual format, some have any texts; some cells are missing."""
    names = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=6, unique=True))
    odd = {name: draw(st.integers(0, 2)) == 0 for name in names}
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        row: Row = {}
        for name in draw(st.permutations(names)) if draw(st.booleans()) else names:
            plain = PLAIN[KINDS[name]]
            if draw(st.integers(0, 5)):
                row[name] = draw(st.one_of(st.sampled_from(ODD), st.text(max_size=6), plain) if odd[name] else plain)
        rows.append(row)
    return rows


def layouts(form: Any) -> Iterator[Layout]:
    """Yield layouts with all columns, with and without details, and with selected ones."""
    yield Layout(LISTS["orders"], form)
    yield Layout(LISTS["orders"], form, details=True)
    yield Layout(LISTS["orders"], form, columns=("grand_total", "order_id", "extra", "items", "updated_at"))
    yield Layout(LISTS["orders"], form, columns=(OTHER_COLUMNS, "order_id", "store_id"))


def at_once(rows: Sequence[Row], layout: Layout, misfits: list[Misfit]) -> Any:
    """Convert whole columns: the code under test."""
    (batch,) = arrow.batches_of(rows, layout, arrow.arrow_schema(layout), misfits)
    return batch


def one_by_one(rows: Sequence[Row], layout: Layout, misfits: list[Misfit]) -> Any:
    """Convert value by value: the reference."""
    return arrow.batch_from_values(list(layout.values(rows, misfits)), arrow.arrow_schema(layout))


def outcome(convert: Callable[..., Any], rows: Sequence[Row], layout: Layout) -> tuple[Any, list[Misfit]]:
    """Return a batch and its invalid values, or the type of the error."""
    misfits: list[Misfit] = []
    try:
        batch = convert(rows, layout, misfits)
        batch.validate(full=True)
    except (ValueError, TypeError) as error:
        return type(error), []
    return batch, misfits


@settings(max_examples=100)
@given(batches())
def test_columns_at_once_are_values_one_by_one(rows: list[Row]) -> None:
    """The same batches, and the same invalid values in the same order; or the same error."""
    needs_pyarrow()
    for layout in layouts("parquet"):
        assert outcome(at_once, rows, layout) == outcome(one_by_one, rows, layout)


@pytest.mark.parametrize("kind", ["integer", "decimal", "datetime"])
@pytest.mark.parametrize("others", [(), ("",), ("0000-00-00 00:00:00",)])
def test_each_odd_value_alone_in_its_column(kind: Kind, others: tuple[str, ...]) -> None:
    """Nothing else in the column requires a conversion value by value."""
    needs_pyarrow()
    layout = Layout(LISTS["orders"], "parquet")
    for value in ODD:
        rows: list[Row] = [{COLUMNS[kind][1]: cell} for cell in (value, *others)]
        assert outcome(at_once, rows, layout) == outcome(one_by_one, rows, layout), repr(value)[:99]


def test_a_decimal_with_many_zeros_is_converted() -> None:
    """However many zeros follow its decimal point."""
    needs_pyarrow()
    layout = Layout(LISTS["orders"], "parquet")
    for zeros in (1, 8, 9, 28, 29, 30, 99):
        for text in ("-1." + "0" * zeros, "2.5" + "0" * zeros):
            misfits: list[Misfit] = []
            batch = at_once([{"grand_total": text}], layout, misfits)
            assert batch.column("grand_total").to_pylist() == [Decimal(text)], text
            assert not misfits
        misfits = []
        at_once([{"grand_total": "1" + "0" * zeros}], layout, misfits)
        assert bool(misfits) == (zeros > 28)


def test_plain_columns_are_not_converted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python converts no value of a page with dates, amounts and empty cells."""
    needs_pyarrow()
    rows: list[Row] = [
        {"order_id": str(number), "store_id": "" if number % 2 else "-1", "grand_total": f"-{number}.5000"}
        | ({"created_at": "2023-10-01 04:52:26", "updated_at": "0000-00-00 00:00:00"} if number % 3 else {})
        for number in range(100)
    ]
    layout = Layout(LISTS["orders"], "parquet")
    expected = one_by_one(rows, layout, [])
    monkeypatch.setattr(arrow, "value_of", None)
    monkeypatch.setattr(values, "value_of", None)
    assert at_once(rows, layout, []) == expected


def test_many_rows_are_many_batches() -> None:
    """No batch has more than `ROWS_AT_ONCE` rows, and together they have all rows in order."""
    needs_pyarrow()
    layout = Layout(LISTS["orders"], "parquet")
    rows: list[Row] = [{"order_id": str(number)} for number in range(2 * arrow.ROWS_AT_ONCE + 1)]
    parts = list(arrow.batches_of(rows, layout, arrow.arrow_schema(layout), []))
    assert [part.num_rows for part in parts] == [arrow.ROWS_AT_ONCE, arrow.ROWS_AT_ONCE, 1]
    assert [number for part in parts for number in part.column("order_id").to_pylist()] == list(range(len(rows)))


def table(path: Path, rows: Sequence[Row], layout: Layout) -> Any:
    """Return a table's columns, cells with SQLite types, and invalid values; or the type of the error."""
    with closing(SqliteOutput(path, layout)) as output:
        output.begin(
            Checkpoint(Fingerprint("https://shop.example/", "orders", 0, 9, (), "sqlite"), Cursor("list", 0, 9))
        )
        try:
            misfits = output.write(rows)
        except (ValueError, TypeError, OSError) as error:
            return type(error)
        connection = output._connection  # noqa: SLF001  it sees what is not committed yet
        assert connection is not None
        columns = columns_of(connection, "orders")
        cells = ", ".join(f"{quoted(name)}, typeof({quoted(name)})" for name in columns)
        return columns, connection.execute(f"SELECT {cells} FROM orders").fetchall(), misfits  # noqa: S608  quoted


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(batches())
def test_a_table_is_the_same_as_one_by_one(rows: list[Row]) -> None:
    """The same columns, values, SQLite types and invalid values; or the same error."""
    rows = [row | {"order_id": str(number)} for number, row in enumerate(rows)]
    for layout in layouts("sqlite"):
        with TemporaryDirectory() as folder:
            at_once = table(Path(folder, "a.db"), rows, layout)
            with patch.object(SqliteOutput, "_column", side_effect=ValueError):
                assert table(Path(folder, "b.db"), rows, layout) == at_once


@pytest.mark.parametrize("kind", ["integer", "decimal", "datetime"])
def test_each_odd_value_in_a_table(kind: Kind, tmp_path: Path) -> None:
    """With a plain value and an empty one in its column."""
    layout = Layout(LISTS["orders"], "sqlite")
    plain = {"integer": "7", "decimal": "7.5000", "datetime": "2023-10-01 04:52:26"}
    for number, value in enumerate(ODD):
        cells = (value, plain[kind], "")
        rows: list[Row] = [{"order_id": str(order_id), COLUMNS[kind][1]: cell} for order_id, cell in enumerate(cells)]
        at_once = table(tmp_path / f"{number}.db", rows, layout)
        with patch.object(SqliteOutput, "_column", side_effect=ValueError):
            assert table(tmp_path / f"{number}-old.db", rows, layout) == at_once, repr(value)[:99]


def test_plain_columns_of_a_table_are_not_converted_one_by_one(tmp_path: Path) -> None:
    """Dates, amounts, empty cells and texts are written without a conversion in Python."""
    rows: list[Row] = [
        {"order_id": str(number), "store_id": "" if number % 2 else "-1", "grand_total": f"-{number}.5000"}
        | ({"created_at": "2023-10-01 04:52:26", "status": "new"} if number % 3 else {})
        for number in range(100)
    ]
    layout = Layout(LISTS["orders"], "sqlite")
    with patch("magento_pager.export.sqlite.value_of", None), patch("magento_pager.export.sqlite._bindable", None):
        columns, cells, misfits = table(tmp_path / "a.db", rows, layout)
    assert (len(columns), len(cells), misfits) == (len(layout.declared), 100, [])
