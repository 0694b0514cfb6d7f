r"""Rows as Arrow batches, with the columns of a Parquet dump. Needs pyarrow, imported on first use.

Integers are int64, decimals decimal128(38, 9), times timestamp[us, UTC]; everything else is string, lists and records
as JSON.

A whole column is converted at once. Arrow reads the rows as JSON, which is faster than collecting the cells of each
column in Python, and casts a column whose texts all have Magento's usual format. A column with any other text is
converted value by value, as in `typed_row`, and so are rows that JSON cannot represent.

Only those use `pyarrow.array`: it imports pandas, where that is installed, which takes a quarter of a second.
"""

from __future__ import annotations

import warnings
from contextlib import closing
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import orjson

from magento_pager.export.layout import plain
from magento_pager.export.values import FRACTION_DIGITS, WHOLE_DIGITS, TypedPages, value_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
    from types import ModuleType

    import pyarrow as pa

    from magento_pager.export.layout import Layout
    from magento_pager.lists import Kind
    from magento_pager.walk.pages import Cursor, Misfit, Page, Row
    from magento_pager.walk.paginator import Paginator

ROWS_AT_ONCE = 1_024
"""Rows converted at a time: fewer take more time, and the text of more takes more memory."""
PLAIN: Mapping[Kind, str] = MappingProxyType(
    {
        "integer": r"\A-?[0-9]{1,19}\z",
        "decimal": rf"\A-?[0-9]{{1,{WHOLE_DIGITS}}}(?:\.[0-9]{{1,{FRACTION_DIGITS}}})?\z",
        "datetime": r"\A[12][0-9]{3}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?\z",
    }
)
"""Texts that Arrow converts to the same value as `value_of`, or refuses. It misreads others: 0x1F, 5000 digits."""
EMPTY: Mapping[Kind, str] = MappingProxyType(
    {"integer": r"\A\z", "decimal": r"\A\z", "datetime": r"\A(?:0000-00-00 00:00:00(?:\.0*)?)?\z"}
)
"""Texts that mean "no value"."""
MAX_NAMED, MAX_CHARACTERS = 10, 60
"""Invalid values of a page that a warning names, and the characters of each."""


@dataclass(frozen=True, slots=True)
class ArrowTables:
    """Converter of a paginator's pages to Arrow, one page in memory at a time.

    Attributes:
        layout: that of a Parquet dump of the same query.
    """

    layout: Layout

    def batches(self, paginator: Paginator, resume: Cursor | None) -> Iterator[pa.RecordBatch]:
        """Return a batch for each page that has rows.

        Raises:
            ValueError: pyarrow is not installed, or the cursor is of another walk.
        """
        columns = arrow_schema(self.layout)
        stages = tuple(stage for stage in paginator.stages if not isinstance(stage, TypedPages))
        pages = cast("Generator[Page]", replace(paginator, stages=stages).pages(resume))
        return self._converted(pages, columns)

    def reader(self, paginator: Paginator, resume: Cursor | None) -> pa.RecordBatchReader:
        """Return a reader that fetches each page when it is needed. Closing it closes the paginator's pages.

        Raises:
            ValueError: as in `batches`.
        """
        reader = arrow().RecordBatchReader
        inner = reader.from_batches(arrow_schema(self.layout), self.batches(paginator, resume))
        outer: pa.RecordBatchReader = reader.from_stream(inner)  # closing `inner` would not close the pages
        return outer

    def _converted(self, pages: Generator[Page], columns: pa.Schema) -> Iterator[pa.RecordBatch]:
        with closing(pages):
            for page in pages:
                misfits: list[Misfit] = []
                batches = list(batches_of(page.rows, self.layout, columns, misfits))
                _warn(page, misfits)
                del page  # frees its rows while the batch is used
                if batches:
                    yield from arrow().Table.from_batches(batches).combine_chunks().to_batches()


def _warn(page: Page, misfits: Sequence[Misfit]) -> None:
    """Warn of skipped rows and invalid values of a page."""
    for row in page.quarantined:
        warnings.warn(
            f"Row {row.id} is skipped, because every reply that includes it fails: {row.reason}", stacklevel=2
        )
    if misfits:
        named = ", ".join(
            f"{misfit.column} of {misfit.id}: {misfit.value[:MAX_CHARACTERS]!r}" for misfit in misfits[:MAX_NAMED]
        )
        count = f"{len(misfits)} invalid value{'s' * (len(misfits) != 1)}"
        warnings.warn(f"{count} replaced by null: {named}", stacklevel=2)


def arrow() -> ModuleType:
    """Return the package pyarrow.

    Raises:
        ValueError: pyarrow is not installed.
    """
    try:
        import pyarrow.compute  # noqa: PLC0415  takes a quarter of a second, which other formats save
        import pyarrow.json  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        raise ValueError(
            "Parquet and Arrow batches need pyarrow. Install it with: pip install 'magento-pager[parquet]'"
        ) from None
    return pyarrow


def arrow_schema(layout: Layout) -> pa.Schema:
    """Return the columns of an output with their types."""
    types: dict[Kind, pa.DataType] = {
        "integer": arrow().int64(),
        "decimal": arrow().decimal128(WHOLE_DIGITS + FRACTION_DIGITS, FRACTION_DIGITS),
        "datetime": arrow().timestamp("us", tz="UTC"),
        "text": arrow().string(),
    }
    schema: pa.Schema = arrow().schema([(name, types[layout.schema.kind(name)]) for name in layout.header])
    return schema


def batches_of(
    rows: Sequence[Row], layout: Layout, columns: pa.Schema, misfits: list[Misfit]
) -> Iterable[pa.RecordBatch]:
    """Yield rows as batches, and add their invalid values, which become null, to `misfits`.

    Args:
        rows: as the server sent them.
        layout: of Parquet.
        columns: its `arrow_schema`.
        misfits: list to add the invalid values to, in the order of the rows.
    """
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield _batch_of(rows[start : start + ROWS_AT_ONCE], layout, columns, misfits)


def batch_from_values(values: Sequence[Mapping[str, Any]], columns: pa.Schema) -> pa.RecordBatch:
    """Return typed rows as a batch: a missing column is null; lists and records in a text column are JSON."""
    arrays = []
    for column in columns:
        cells = [row.get(column.name) for row in values]
        if column.type == arrow().string():
            cells = [cell if cell is None or isinstance(cell, str) else plain(cell) for cell in cells]
        arrays.append(arrow().array(cells, column.type))
    batch: pa.RecordBatch = arrow().RecordBatch.from_arrays(arrays, schema=columns)
    return batch


def _batch_of(rows: Sequence[Row], layout: Layout, columns: pa.Schema, misfits: list[Misfit]) -> pa.RecordBatch:
    picked = list(layout.picked(rows))
    try:
        texts = _texts(picked, layout, columns)
    except (ValueError, TypeError, OverflowError):  # lone surrogates, a list instead of a number, gigabytes, ...
        return batch_from_values(list(layout.values(rows, misfits)), columns)
    arrays, invalid = [], False
    for column in columns:
        cells, kind = texts.get(column.name), layout.schema.kind(column.name)
        if cells is None:
            cells = arrow().nulls(len(rows), column.type)
        elif kind != "text" and (cells := _cast(cells, kind, column.type)) is None:
            values, column_invalid = _values([row.get(column.name) for row in picked], kind)
            cells, invalid = arrow().array(values, column.type), invalid or column_invalid
        arrays.append(cells)
    if invalid:
        list(layout.values(rows, misfits))  # converts again, to report the invalid values in the order of the rows
    batch: pa.RecordBatch = arrow().RecordBatch.from_arrays(arrays, schema=columns)
    return batch


def _texts(rows: Sequence[Row], layout: Layout, columns: pa.Schema) -> dict[str, pa.Array[Any]]:
    """Return the texts of each column that any row has.

    Raises:
        ValueError, TypeError, OverflowError: a column has something other than text, lists and records.
    """
    present = set[str]().union(*rows)
    names = [name for name in columns.names if name in present]
    if nested := layout.schema.nested & present:
        rows = [row | {name: _flat(row[name]) for name in nested & row.keys()} for row in rows]
    if not names:
        return {}
    data = bytearray()  # joining the lines takes several times as long, because all of them would be in memory as well
    for row in rows:
        data += orjson.dumps(row)
        data += b"\n"
    table = arrow().json.read_json(
        arrow().BufferReader(data),
        arrow().json.ReadOptions(use_threads=False, block_size=len(data) + 1),
        arrow().json.ParseOptions(
            explicit_schema=arrow().schema([(name, arrow().string()) for name in names]),
            unexpected_field_behavior="ignore",
        ),
    )
    return {name: table.column(name).combine_chunks() for name in names}


def _flat(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else plain(value)


def _cast(texts: pa.Array[Any], kind: Kind, target: pa.DataType) -> pa.Array[Any] | None:
    """Return the values of a column; None where they must be converted one by one."""
    compute, match = arrow().compute, arrow().compute.match_substring_regex
    if compute.all(match(texts, PLAIN[kind])).as_py() is False:
        texts = compute.if_else(match(texts, EMPTY[kind]), arrow().nulls(len(texts), texts.type), texts)
        if compute.all(match(texts, PLAIN[kind])).as_py() is False:
            return None
    try:
        if kind == "datetime":
            texts = texts.cast(arrow().timestamp("us"))
        values: pa.Array[Any] = texts.cast(target)
    except arrow().ArrowInvalid:
        return None
    return values


def _values(cells: Iterable[Any], kind: Kind) -> tuple[list[Any], bool]:
    """Return the values of a column, converted one by one, and whether any was invalid."""
    values, invalid = [], False
    for cell in cells:
        try:
            values.append(None if cell is None else value_of(cell, kind))
        except ValueError:
            values.append(None)
            invalid = True
    return values, invalid
