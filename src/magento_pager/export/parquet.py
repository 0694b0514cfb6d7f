"""Parquet: a folder of part files, each of which is complete or missing. Needs pyarrow, see `arrow`.

All part files have one schema. Its columns are fixed before the first row, so undeclared ones go into the last column,
`other_columns`, as a JSON object.

A part file has many pages, because a file for each would be slow to read. Pages are kept in memory, compressed, until
there are enough rows or half a minute is over. The checkpoint does not cover them yet: a dump that is killed reads them
again, while one that is interrupted or fails writes them first.

No system can replace one folder by another in one step. Between the two steps the old one is named FILE.part.old, and
FILE does not exist; resuming does the second step.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import zlib
from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Any

from magento_pager.errors import option
from magento_pager.export.arrow import arrow, arrow_schema, batches_of
from magento_pager.export.files import checksum_of, pieces_of, replace_file, sync_folder
from magento_pager.export.layout import BATCH
from magento_pager.export.outputs import FileOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.export.layout import Layout
    from magento_pager.walk.pages import Misfit, Row

ROWS_IN_PART = 20_000
ROWS_IN_GROUP = 5_000
"""Rows kept in memory as Arrow batches, about 3 kB each for orders."""
SECONDS_OF_PART = 30.0
"""Longest time for which pages wait in memory: the most that a kill can cost."""
PART = re.compile(r"part-[0-9]{5,}[.]parquet([.]new)?")
"""Names of part files, and of part files that are being written."""


def part_name(number: int) -> str:
    """Return the name of a part file.

    >>> part_name(7)
    'part-00007.parquet'
    """
    return f"part-{number:05}.parquet"


def parts(folder: Path) -> int:
    """Return the number of part files, counted from the first one to the first gap."""
    names = {file.name for file in folder.iterdir()}
    return next(number for number in count() if part_name(number) not in names)


def remove(folder: Path) -> None:
    """Delete a folder with its content, if it exists."""
    if folder.exists():
        shutil.rmtree(folder)


class ParquetOutput(FileOutput):
    """A folder of part files. The position is their number, including the one in memory."""

    unit = "parts"

    def __init__(self, path: str | Path, layout: Layout, *, resume: bool = False, overwrite: bool = False) -> None:
        self._schema = arrow_schema(layout)
        self._stream = BytesIO()  # the part file in memory
        self._writer: Any = None
        self._batches: list[pa.RecordBatch] = []  # of the next row group
        self._rows, self._began = 0, 0.0  # of the part file in memory
        super().__init__(path, layout, resume=resume, overwrite=overwrite)

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Add the rows of one page."""
        misfits: list[Misfit] = []
        if self._writer is None and (rows or self.position == 0):  # an empty list gets one part, for its columns
            self.position += 1
            self._began = time.monotonic()
            self._writer = arrow().parquet.ParquetWriter(self._stream, self._schema, compression="zstd")
        for batch in batches_of(rows, self._layout, self._schema, misfits):
            self._batches.append(batch)
            if sum(waiting.num_rows for waiting in self._batches) >= ROWS_IN_GROUP:
                self._write_group()
        self._rows += len(rows)
        return misfits

    def keep(self, checkpoint: Checkpoint) -> None:
        """Save the rows written so far and then the checkpoint; or wait for more rows."""
        self._latest = checkpoint
        full = self._rows >= ROWS_IN_PART or time.monotonic() - self._began >= SECONDS_OF_PART
        if checkpoint.complete or self._writer is None or full:
            self.flush()

    def publish(self) -> None:
        """Rename the folder to its final name, after moving an old output away."""
        remove(self._old)
        if self.path.exists():
            self.path.replace(self._old)
        super().publish()
        remove(self._old)

    def settle(self) -> None:
        """Mark the checkpoint as finished; the last step of a dump."""
        remove(self._old)  # a kill may have left it
        super().settle()

    def tail(self, offset: int) -> Iterator[Row]:
        """Yield the rows written from a position on."""
        # The position includes the part file that was in memory, to which a later page was added.
        return read_parts(self.part, self._layout, max(0, offset - 1))

    @property
    def _old(self) -> Path:
        """Name of the old output while the part replaces it."""
        return self._sibling(".part.old")

    def _remove(self) -> None:
        remove(self.part)

    def _open(self, create: int) -> int:
        if create:
            self.part.mkdir(exist_ok=True)
        return os.open(self.part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _size(self, path: Path) -> int | None:
        if not path.exists():
            return None
        if not path.is_dir() or not all(PART.fullmatch(file.name) for file in path.iterdir()):
            raise ValueError(
                f"{path} exists, but it is not a folder of Parquet part files. Choose another {option('out')}."
            )
        return sum(file.stat().st_size for file in path.iterdir())

    def _measured(self, path: Path, offset: int | None = None) -> tuple[int, int]:
        length = parts(path) if offset is None else min(offset, parts(path))
        pieces = (piece for number in range(length) for piece in pieces_of(path / part_name(number)))
        return length, checksum_of(pieces)[1]

    def _cut(self, offset: int) -> None:
        covered = {part_name(number) for number in range(offset)}
        for file in sorted(self.part.iterdir()):
            if file.name not in covered:
                file.unlink()
        sync_folder(self.part / part_name(0))

    def _sync(self) -> None:
        """Write the part file in memory to disk."""
        if self._writer is not None:
            self._write_group()
            self._writer.close()
            data = self._stream.getbuffer()
            replace_file(self.part / part_name(self.position - 1), data)
            self._checksum = zlib.crc32(data, self._checksum)
            self._stream, self._writer, self._rows = BytesIO(), None, 0

    def _write_group(self) -> None:
        """Write the waiting batches as a row group."""
        if self._batches:
            self._writer.write_table(arrow().Table.from_batches(self._batches))
        self._batches = []


def columns_of(folder: Path) -> list[str]:
    """Return the columns of the part files in a folder."""
    return list(arrow().parquet.read_schema(folder / part_name(0)).names)


def read_parts(folder: Path, layout: Layout, start: int = 0) -> Iterator[Row]:
    """Yield the rows of the part files in a folder, from file number `start` on, one batch in memory at a time."""
    for number in range(start, parts(folder)):
        with arrow().parquet.ParquetFile(folder / part_name(number)) as file:
            for batch in file.iter_batches(BATCH):
                yield from map(layout.restored, batch.to_pylist())
