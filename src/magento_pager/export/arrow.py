r"""Rows as batches of Arrow, with the columns of a dump as Parquet. Needs pyarrow, imported on first use.

Integers are int64, decimals decimal128(38, 9), times timestamp[us, UTC]; all else is string, lists and records as JSON.

A whole column is converted at once. Arrow reads the rows as JSON, which takes fewer steps than to collect the cells of
each column in Python, and casts a column whose texts are all written as Magento writes them. A column with any other
text is converted value by value, as `typed_row` does it, and so are rows that hold what no such JSON can.

`pyarrow.array` is left to the latter: it imports pandas, where that is installed, which takes a quarter of a second.
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
"""Rows that are converted at a time: fewer take more time, and the text of more takes memory beside the rows."""
PLAIN: Mapping[Kind, str] = MappingProxyType(
    {
        "integer": r"\A-?[0-9]{1,19}\z",
        "decimal": rf"\A-?[0-9]{{1,{WHOLE_DIGITS}}}(?:\.[0-9]{{1,{FRACTION_DIGITS}}})?\z",
        "datetime": r"\A[12][0-9]{3}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?\z",
    }
)
"""Texts of which Arrow makes the value that `value_of` does, or refuses them. It misreads others: 0x1F, 5000 digits."""
NOTHING: Mapping[Kind, str] = MappingProxyType(
    {"integer": r"\A\z", "decimal": r"\A\z", "datetime": r"\A(?:0000-00-00 00:00:00(?:\.0*)?)?\z"}
)
"""Texts that stand for nothing."""
SHOWN, SHOWN_CHARACTERS = 10, 60
"""Invalid values of a page that a warning names, and how much of each."""


@dataclass(frozen=True, slots=True)
class ArrowTables:
    """Makes tables of the pages of a paginator, a page in memory at a time.

    Attributes:
        layout: of a dump of the same as Parquet.
    """

    layout: Layout

    def batches(self, paginator: Paginator, resume: Cursor | None) -> Iterator[pa.RecordBatch]:
        """Return the rows of each page that has any as a batch.

        Raises:
            ValueError: pyarrow is not installed, or the cursor is of another walk.
        """
        columns = arrow_schema(self.layout)
        stages = tuple(one for one in paginator.stages if not isinstance(one, TypedPages))
        pages = cast("Generator[Page]", replace(paginator, stages=stages).pages(resume))
        return self._converted(pages, columns)

    def reader(self, paginator: Paginator, resume: Cursor | None) -> pa.RecordBatchReader:
        """Return what reads a page when it is read. Closing it closes the pages.

        Raises:
            ValueError: as `batches`.
        """
        reader = arrow().RecordBatchReader
        inner = reader.from_batches(arrow_schema(self.layout), self.batches(paginator, resume))
        found: pa.RecordBatchReader = reader.from_stream(inner)  # to close `inner` itself would not let go of the pages
        return found

    def _converted(self, pages: Generator[Page], columns: pa.Schema) -> Iterator[pa.RecordBatch]:
        with closing(pages):
            for page in pages:
                misfits: list[Misfit] = []
                found = list(batches_of(page.rows, self.layout, columns, misfits))
                _warn(page, misfits)
                del page  # or its rows take memory while the batch is used
                if found:
                    yield from arrow().Table.from_batches(found).combine_chunks().to_batches()


def _warn(page: Page, misfits: Sequence[Misfit]) -> None:
    """Warn of what is missing of a page."""
    for row in page.quarantined:
        warnings.warn(f"row {row.id} is skipped, every reply that it is in fails: {row.reason}", stacklevel=2)
    if misfits:
        shown = ", ".join(f"{one.column} of {one.id}: {one.value[:SHOWN_CHARACTERS]!r}" for one in misfits[:SHOWN])
        warnings.warn(f"{len(misfits)} values did not fit, and are null ({shown})", stacklevel=2)


def arrow() -> ModuleType:
    """Return the package pyarrow.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import pyarrow.compute  # noqa: PLC0415  a quarter of a second that other formats need not spend
        import pyarrow.json  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        raise ValueError(
            "Parquet needs pyarrow, as do batches of Arrow: pip install 'magento-pager[parquet]'"
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
    found: pa.Schema = arrow().schema([(name, types[layout.schema.kind(name)]) for name in layout.header])
    return found


def batches_of(
    rows: Sequence[Row], layout: Layout, columns: pa.Schema, misfits: list[Misfit]
) -> Iterable[pa.RecordBatch]:
    """Yield rows as batches, and add the invalid values, which are null, to `misfits`.

    Args:
        rows: as the server sent them.
        layout: of Parquet.
        columns: its `arrow_schema`.
        misfits: takes the invalid values, in the order of the rows.
    """
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield _batch_of(rows[start : start + ROWS_AT_ONCE], layout, columns, misfits)


def filled(values: Sequence[Mapping[str, Any]], columns: pa.Schema) -> pa.RecordBatch:
    """Return values as a batch: a column that a row lacks is null; lists and records are text where text is wanted."""
    arrays = []
    for one in columns:
        cells = [row.get(one.name) for row in values]
        if one.type == arrow().string():
            cells = [cell if cell is None or isinstance(cell, str) else plain(cell) for cell in cells]
        arrays.append(arrow().array(cells, one.type))
    found: pa.RecordBatch = arrow().RecordBatch.from_arrays(arrays, schema=columns)
    return found


def _batch_of(rows: Sequence[Row], layout: Layout, columns: pa.Schema, misfits: list[Misfit]) -> pa.RecordBatch:
    picked = list(layout.picked(rows))
    try:
        texts = _texts(picked, layout, columns)
    except (ValueError, TypeError, OverflowError):  # lone surrogates, a list where a number belongs, gigabytes, ...
        return filled(list(layout.values(rows, misfits)), columns)
    arrays, invalid = [], False
    for one in columns:
        found, kind = texts.get(one.name), layout.schema.kind(one.name)
        if found is None:
            found = arrow().nulls(len(rows), one.type)
        elif kind != "text" and (found := _cast(found, kind, one.type)) is None:
            values, some = _values([row.get(one.name) for row in picked], kind)
            found, invalid = arrow().array(values, one.type), invalid or some
        arrays.append(found)
    if invalid:
        list(layout.values(rows, misfits))  # once more, which brings them in the order of the rows
    batch: pa.RecordBatch = arrow().RecordBatch.from_arrays(arrays, schema=columns)
    return batch


def _texts(rows: Sequence[Row], layout: Layout, columns: pa.Schema) -> dict[str, pa.Array[Any]]:
    """Return the texts of each column that any of the rows has.

    Raises:
        ValueError, TypeError, OverflowError: there is something else in a column than text, lists and records.
    """
    there = set[str]().union(*rows)
    names = [name for name in columns.names if name in there]
    if nested := layout.schema.nested & there:
        rows = [row | {name: _flat(row[name]) for name in nested & row.keys()} for row in rows]
    if not names:
        return {}
    data = bytearray()  # to join the lines takes several times as long, for they would all be in memory beside it
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


def _cast(texts: pa.Array[Any], kind: Kind, wanted: pa.DataType) -> pa.Array[Any] | None:
    """Return the values of a column; None where they must be looked at one by one."""
    compute, match = arrow().compute, arrow().compute.match_substring_regex
    if compute.all(match(texts, PLAIN[kind])).as_py() is False:
        texts = compute.if_else(match(texts, NOTHING[kind]), arrow().nulls(len(texts), texts.type), texts)
        if compute.all(match(texts, PLAIN[kind])).as_py() is False:
            return None
    try:
        if kind == "datetime":
            texts = texts.cast(arrow().timestamp("us"))
        found: pa.Array[Any] = texts.cast(wanted)
    except arrow().ArrowInvalid:
        return None
    return found


def _values(cells: Iterable[Any], kind: Kind) -> tuple[list[Any], bool]:
    """Return the values of a column, looked at one by one, and whether any was invalid."""
    values, invalid = [], False
    for cell in cells:
        try:
            values.append(None if cell is None else value_of(cell, kind))
        except ValueError:
            values.append(None)
            invalid = True
    return values, invalid
