"""Finished outputs by name, read back whatever their format."""

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
LOOKED_AT = 100
"""Rows that say whether a text file is typed."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A finished output. Iterate it for its rows, in the order in which they lie there, as often as you like.

    Rows are as `typed_row` makes them where the output is typed, but that a Decimal may have lost or gained zeros at
    its end, and as the server sent them where it is not. What is null is an absent key in both.

    Attributes:
        path: the file or the folder.
        layout: how it is written.
    """

    path: Path
    layout: Layout

    @property
    def entity(self) -> ListName:
        """The list that the rows are of."""
        return self.layout.schema.name

    @property
    def typed(self) -> bool:
        """True where rows have values, not texts."""
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
    """Turn whatever is wrong with the bytes of an output into a ValueError that names it."""
    try:
        yield
    except (
        *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError),  # of what lines hold
        *(EOFError, gzip.BadGzipFile, zlib.error, sqlite3.Error),
    ) as error:
        words = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read, it is damaged or no output of ours: {words}") from None


def stored(path: str | Path, entity: str | None = None, spec: ListSpec | None = None) -> Stored:
    """Return the finished output of that name.

    Args:
        path: a file of NDJSON, CSV or SQLite, or a folder of Parquet.
        entity: the list it is of; None to see it from its columns, or from the one table that there is.
        spec: the list, where it is not Magento's; then there is nothing to see.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is none of ours, or which list it is of cannot be seen.
    """
    path = Path(path)
    if entity is not None and spec is None:
        spec = list_spec(entity)
    if path.is_dir():
        if not (path / PARQUET_FOLDER).exists():
            raise ValueError(f"{path} is a folder without {PARQUET_FOLDER}")
        with readable(path):
            columns = parquet.columns_of(path)
        return Stored(path, Layout(spec or _spec_of(columns, path), "parquet"))
    with path.open("rb") as file:
        start = file.read(len(SQLITE))
    if start == SQLITE:
        with readable(path):
            tables = sqlite.finished_tables(path)
        if spec is None and len(tables) != 1:
            raise ValueError(f"{path} holds {' and '.join(tables) or 'no finished list'}: name the list to read")
        return Stored(path, Layout(spec or LISTS[tables[0]], "sqlite"))
    return _text(path, spec, gzipped=start.startswith(GZIP))


def _text(path: Path, spec: ListSpec | None, *, gzipped: bool) -> Stored:
    """Return a file of text: its first byte tells NDJSON from CSV, and its first rows whether they are typed."""
    columns: Collection[str] = ()
    with readable(path):
        with gzip.open(path) if gzipped else path.open("rb") as stream:
            first = stream.readline()
        is_csv = bool(first) and not first.startswith(b"{")
        if is_csv:
            columns = [str(one) for one in next(csv_cells([first.decode()]))]
        anything = Layout(spec or LISTS["orders"], "csv" if is_csv else "ndjson", gzipped=gzipped)
        found = list(islice(read_text(path, anything), LOOKED_AT))
    layout = replace(anything, schema=spec or _spec_of(columns or {name for row in found for name in row}, path))
    return Stored(path, replace(layout, typed=_typed(found, layout)))


def _typed(rows: Iterable[Row], layout: Layout) -> bool:
    """Return whether text holds values: numbers, or times that are not as the server writes them."""
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
    raise ValueError(f"the columns of {path} do not tell which list it is of: name it")
