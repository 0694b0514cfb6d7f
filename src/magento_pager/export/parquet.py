"""Parquet: a folder of part files, each of which is whole or not there.

What lives here: rows as Arrow tables, parts, and reading them back. Needs pyarrow, which is imported on first use. What
the folder is called, and how many of its parts count, is known to `outputs` and to the checkpoint.

The parts have one schema: integers are int64, decimals decimal128(38, 9), moments timestamp[us, UTC], all else is
string; lists and records are JSON. Its columns are fixed before the first row, so those that are not declared go into
the last one, `other_columns`, as a JSON object.

A part holds many pages, as a file for each would be slow to read; until there are rows enough, or half a minute is
over, they wait in memory, packed. So the checkpoint stays behind by as many pages: a dump that is killed reads them
again, and one that is interrupted or fails writes them first.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

from magento_pager.export.files import checksum_of, pieces_of, replace_file, sync_folder
from magento_pager.export.sinks import BATCH, plain, restored
from magento_pager.export.values import FRACTION_DIGITS, WHOLE_DIGITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    import pyarrow as pa

    from magento_pager.export.sinks import FileSink, Layout
    from magento_pager.lists import Kind
    from magento_pager.walk.reading import Row
    from magento_pager.walk.walking import Misfit

ROWS_IN_PART = 20_000
ROWS_IN_GROUP = 5_000
"""Rows that are in memory as Arrow has them, some 3 kB each for orders."""
SECONDS_OF_PART = 30.0
"""What a kill may cost at most."""
PART = re.compile(r"part-[0-9]{5,}[.]parquet([.]new)?")
"""The names of part files, and of those that are being written."""


def arrow() -> ModuleType:
    """The package pyarrow.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: PLC0415  a quarter of a second that other formats need not spend
    except ImportError:
        raise ValueError("Parquet needs pyarrow: pip install 'magento-pager[parquet]'") from None
    return pyarrow


def part_name(number: int) -> str:
    """The name of a part file.

    >>> part_name(7)
    'part-00007.parquet'
    """
    return f"part-{number:05}.parquet"


def parts(folder: Path) -> int:
    """How many parts there are, from the first on without a gap."""
    names = {one.name for one in folder.iterdir()}
    number = 0
    while part_name(number) in names:
        number += 1
    return number


class ParquetSink:
    """Rows into part files. The position is the number of parts, the one that waits in memory included."""

    def __init__(self, folder: Path, layout: Layout, position: int = 0, checksum: int = 0) -> None:
        """Go on with a folder that has so many parts, and with the CRC-32 of their bytes."""
        self.checksum = checksum
        self._arrow = arrow()
        self._folder = folder
        self._layout = layout
        self._written = position
        self._schema = arrow_schema(layout)
        self._stream = BytesIO()
        self._writer: Any = None
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._in_memory = 0
        self._began = 0.0

    @property
    def position(self) -> int:
        """The number of parts."""
        return self._written + (self._writer is not None)

    @property
    def waiting(self) -> bool:
        """True where a part is begun that may grow."""
        short = self._rows < ROWS_IN_PART and time.monotonic() - self._began < SECONDS_OF_PART
        return self._writer is not None and short

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Take the rows of one page."""
        misfits: list[Misfit] = []
        if self._writer is None and (rows or self.position == 0):  # without rows one part tells of the columns
            self._began = time.monotonic()
            self._writer = self._arrow.parquet.ParquetWriter(self._stream, self._schema, compression="zstd")
        for start in range(0, len(rows), BATCH):
            values = list(self._layout.values(rows[start : start + BATCH], misfits))
            self._batches.append(filled(values, self._schema))
            self._in_memory += len(values)
            if self._in_memory >= ROWS_IN_GROUP:
                self._pack()
        self._rows += len(rows)
        return misfits

    def sync(self) -> None:
        """Write the part that waits."""
        if self._writer is not None:
            self._pack()
            self._writer.close()
            data = self._stream.getbuffer()
            replace_file(self._folder / part_name(self._written), data)
            self._written += 1
            self.checksum = zlib.crc32(data, self.checksum)
            self._stream, self._writer, self._rows = BytesIO(), None, 0

    def finish(self) -> None:
        """Nothing is left to do."""

    def _pack(self) -> None:
        """Make a row group of what is in memory."""
        if self._batches:
            self._writer.write_table(self._arrow.Table.from_batches(self._batches))
        self._batches, self._in_memory = [], 0


class FolderBody:
    """A folder of Parquet parts."""

    unit = "parts"

    def __init__(self, layout: Layout) -> None:
        arrow()
        self._layout = layout

    def open(self, path: Path, create: int) -> int:
        """Open the folder."""
        if create:
            path.mkdir(exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def length(self, path: Path) -> int | None:
        """The bytes of its parts. A folder with anything else is not ours to replace."""
        if not path.exists():
            return None
        if not path.is_dir() or not all(PART.fullmatch(one.name) for one in path.iterdir()):
            raise ValueError(f"{path} is no folder of part files, which a dump as Parquet is; choose another --out")
        return sum(one.stat().st_size for one in path.iterdir())

    def checksum(self, path: Path, offset: int | None = None) -> tuple[int, int]:
        """How many parts there are, and the CRC-32 of their bytes, one part after the other."""
        found = parts(path) if offset is None else min(offset, parts(path))
        pieces = (piece for number in range(found) for piece in pieces_of(path / part_name(number)))
        return found, checksum_of(pieces)[1]

    def cut(self, path: Path, descriptor: int, offset: int, checksum: int) -> FileSink:  # noqa: ARG002  the path is needed for names
        """Remove later parts, and what was never finished."""
        counted = {part_name(number) for number in range(offset)}
        for one in sorted(path.iterdir()):
            if one.name not in counted:
                one.unlink()
        sync_folder(path / part_name(0))
        return ParquetSink(path, self._layout, offset, checksum)

    def move(self, part: Path, path: Path) -> None:
        """Rename it, once what has the name is out of the way."""
        self.tidy(part)
        if path.exists():
            path.replace(_old(part))
        part.replace(path)

    def tidy(self, part: Path) -> None:
        """Remove what was put aside."""
        self.remove(_old(part))

    def remove(self, path: Path) -> None:
        """Remove it with all that is in it."""
        if path.exists():
            shutil.rmtree(path)

    def read(self, path: Path, offset: int) -> Iterator[Row]:
        """The rows of its parts."""
        # A position counts the part that waits, to which a later page was added.
        return read_parts(path, self._layout, max(0, offset - 1))


def _old(part: Path) -> Path:
    """What has the name is called that while a part takes its place."""
    return part.with_name(part.name + ".old")


def filled(values: Sequence[Mapping[str, Any]], columns: pa.Schema) -> pa.RecordBatch:
    """Values as a batch: a column that is not in a row is null, and lists and records are text where text is wanted."""
    text = arrow().string()
    arrays = [
        arrow().array([_fit(row.get(one.name), text=one.type == text) for row in values], one.type) for one in columns
    ]
    found: pa.RecordBatch = arrow().RecordBatch.from_arrays(arrays, schema=columns)
    return found


def _fit(value: Any, *, text: bool) -> Any:
    """A value for a column: lists and records are text in one of text."""
    return plain(value) if text and value is not None and not isinstance(value, str) else value


def arrow_schema(layout: Layout) -> pa.Schema:
    """The schema of every part."""
    types: dict[Kind, pa.DataType] = {
        "integer": arrow().int64(),
        "decimal": arrow().decimal128(WHOLE_DIGITS + FRACTION_DIGITS, FRACTION_DIGITS),
        "datetime": arrow().timestamp("us", tz="UTC"),
        "text": arrow().string(),
    }
    found: pa.Schema = arrow().schema([(name, types[layout.schema.kind(name)]) for name in layout.header])
    return found


def columns_of(folder: Path) -> list[str]:
    """The columns of the parts in a folder."""
    return list(arrow().parquet.read_schema(folder / part_name(0)).names)


def read_parts(folder: Path, layout: Layout, start: int = 0) -> Iterator[Row]:
    """The rows of the parts in a folder from one of them on, a group in memory at a time."""
    for number in range(start, parts(folder)):
        with arrow().parquet.ParquetFile(folder / part_name(number)) as file:
            for batch in file.iter_batches(BATCH):
                for row in batch.to_pylist():
                    yield restored(row, layout)
