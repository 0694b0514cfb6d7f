"""Finished outputs of any format, read back."""

from __future__ import annotations

import gzip
import sqlite3
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from magento_pager.export import parquet, sqlite
from magento_pager.export.layout import Layout
from magento_pager.export.text import csv_cells, read_text
from magento_pager.lists import LISTS, list_spec

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator

    from magento_pager.lists import ListName, ListSpec
    from magento_pager.walk.pages import Row

GZIP, SQLITE, PARQUET_FOLDER = b"\x1f\x8b", b"SQLite format 3\0", "part-00000.parquet"
SAMPLE_ROWS = 100
"""Rows that are checked to find out whether a text file is typed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A finished output. Iterate over it for its rows, in the order of the file, as often as you like.

    Where the output is typed, rows are as from `typed_row`, except that a Decimal may have lost or gained trailing
    zeros; otherwise they are as the server sent them. A null value is a missing key in both.

    Attributes:
        path: the file or the folder.
        layout: its format and columns.
    """

    path: Path
    layout: Layout

    @property
    def entity(self) -> ListName:
        """Name of the list."""
        return self.layout.schema.name

    @property
    def typed(self) -> bool:
        """True where rows have typed values instead of the server's text."""
        return self.layout.has_values

    def __iter__(self) -> Iterator[Row]:
        with readable(self.path):
            if self.layout.format == "parquet":
                yield from parquet.read_parts(self.path, self.layout)
            elif self.layout.format == "sqlite":
                yield from sqlite.read_table(self.path, self.layout)
            else:
                yield from read_text(self.path, self.layout)


@contextmanager
def readable(path: Path) -> Generator[None]:
    """Turn every error that damaged content can cause into a ValueError that names the output."""
    try:
        yield
    except (
        *(
            ValueError,
            TypeError,
            LookupError,
            ArithmeticError,
            AttributeError,
            RecursionError,
        ),  # from the content of a line
        *(EOFError, gzip.BadGzipFile, zlib.error, sqlite3.Error),
    ) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read. It is damaged, or magento-pager did not write it: {reason}") from None


def stored(path: str | Path, entity: str | None = None, spec: ListSpec | None = None) -> Stored:
    """Return the finished output of that name.

    Args:
        path: an NDJSON, CSV or SQLite file, or a folder of Parquet files.
        entity: name of the list; None to find it from the columns, or from the only table.
        spec: the list of another SOAP service.

    Raises:
        FileNotFoundError: there is no such output.
        ValueError: magento-pager did not write it, or the list cannot be found out.
    """
    path = Path(path)
    if entity is not None and spec is None:
        spec = list_spec(entity)
    if path.is_dir():
        if not (path / PARQUET_FOLDER).exists():
            raise ValueError(f"{path} is not a Parquet dump: the folder has no {PARQUET_FOLDER}.")
        with readable(path):
            columns = parquet.columns_of(path)
        return Stored(path, Layout(spec or _spec_of(columns, path), "parquet"))
    with path.open("rb") as file:
        start = file.read(len(SQLITE))
    if start == SQLITE:
        with readable(path):
            tables = sqlite.finished_tables(path)
        if spec is None and len(tables) != 1:
            raise ValueError(f"{path} has {' and '.join(tables) or 'no finished list'}. Name the list to read.")
        return Stored(path, Layout(spec or LISTS[tables[0]], "sqlite"))
    return _text(path, spec, gzipped=start.startswith(GZIP))


def _text(path: Path, spec: ListSpec | None, *, gzipped: bool) -> Stored:
    """Return a text file. Its first byte distinguishes NDJSON from CSV; its first rows show whether it is typed."""
    columns: Collection[str] = ()
    with readable(path):
        with gzip.open(path) if gzipped else path.open("rb") as stream:
            first = stream.readline()
        is_csv = bool(first) and not first.startswith(b"{")
        if is_csv:
            columns = [str(name) for name in next(csv_cells([first.decode()]))]
        layout = Layout(spec or LISTS["orders"], "csv" if is_csv else "ndjson", gzipped=gzipped)
        rows = list(islice(read_text(path, layout), SAMPLE_ROWS))
    layout = replace(layout, schema=spec or _spec_of(columns or {name for row in rows for name in row}, path))
    return Stored(path, replace(layout, typed=_typed(rows, layout)))


def _typed(rows: Iterable[Row], layout: Layout) -> bool:
    """Return whether rows of text have typed values: numbers, or times that are not in the server's format."""
    return any(
        isinstance(value, int | float | Decimal | datetime)
        or (isinstance(value, str) and layout.schema.kind(name) == "datetime" and value[10:11] == "T")
        for row in rows
        for name, value in row.items()
    )


def _spec_of(columns: Collection[str], path: Path) -> ListSpec:
    ranks = {rank: name for name, spec in LISTS.items() for column, rank in spec.marks.items() if column in columns}
    if ranks:
        return LISTS[ranks[max(ranks)]]
    raise ValueError(f"The columns of {path} do not show which list it is. Name the list.")
