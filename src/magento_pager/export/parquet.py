"""Parquet: a folder of part files, each of which is whole or not there. Needs pyarrow, see `arrow`.

The part files have one schema. Its columns are fixed before the first row, so those that are not declared go into the
last one, `other_columns`, as a JSON object.

A part file holds many pages, as a file for each would be slow to read; until there are rows enough, or half a minute is
over, they wait in memory, compressed. So the checkpoint stays behind by as many pages: a dump that is killed reads them
again, and one that is interrupted or fails writes them first.

A folder takes the place of another in two steps, as no system does it in one: the old one is called FILE.part.old
between them, and FILE is not there. Resuming does the rest.
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
"""Rows that are in memory as Arrow has them, some 3 kB each for orders."""
SECONDS_OF_PART = 30.0
"""What a kill may cost at most."""
PART = re.compile(r"part-[0-9]{5,}[.]parquet([.]new)?")
"""The names of part files, and of those that are being written."""


def part_name(number: int) -> str:
    """Return the name of a part file.

    >>> part_name(7)
    'part-00007.parquet'
    """
    return f"part-{number:05}.parquet"


def parts(folder: Path) -> int:
    """Return how many part files there are, from the first on without a gap."""
    names = {one.name for one in folder.iterdir()}
    return next(number for number in count() if part_name(number) not in names)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, where there is one."""
    if folder.exists():
        shutil.rmtree(folder)


class ParquetOutput(FileOutput):
    """A folder of part files. The position is their number, the one that waits in memory included."""

    unit = "parts"

    def __init__(self, path: str | Path, layout: Layout, *, resume: bool = False, overwrite: bool = False) -> None:
        self._schema = arrow_schema(layout)
        self._stream = BytesIO()  # the part file that waits
        self._writer: Any = None
        self._batches: list[pa.RecordBatch] = []  # of the row group that waits
        self._rows, self._began = 0, 0.0  # of the part file
        super().__init__(path, layout, resume=resume, overwrite=overwrite)

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Take the rows of one page."""
        misfits: list[Misfit] = []
        if self._writer is None and (rows or self.position == 0):  # without rows one part tells of the columns
            self.position += 1
            self._began = time.monotonic()
            self._writer = arrow().parquet.ParquetWriter(self._stream, self._schema, compression="zstd")
        for one in batches_of(rows, self._layout, self._schema, misfits):
            self._batches.append(one)
            if sum(batch.num_rows for batch in self._batches) >= ROWS_IN_GROUP:
                self._write_group()
        self._rows += len(rows)
        return misfits

    def keep(self, checkpoint: Checkpoint) -> None:
        """Make safe what was written, and the checkpoint; or wait for more rows."""
        self._latest = checkpoint
        full = self._rows >= ROWS_IN_PART or time.monotonic() - self._began >= SECONDS_OF_PART
        if checkpoint.complete or self._writer is None or full:
            self.flush()

    def publish(self) -> None:
        """Give the folder its name, once what has the name is out of the way."""
        remove(self._old)
        if self.path.exists():
            self.path.replace(self._old)
        super().publish()
        remove(self._old)

    def settle(self) -> None:
        """Mark the checkpoint as that of a finished dump; the last step."""
        remove(self._old)  # a kill may have left it
        super().settle()

    def tail(self, offset: int) -> Iterator[Row]:
        """Yield the rows from a position on."""
        # It counts the part file that waits, to which a later page was added.
        return read_parts(self.part, self._layout, max(0, offset - 1))

    @property
    def _old(self) -> Path:
        """What has the name, while the part takes its place."""
        return self._beside(".part.old")

    def _remove(self) -> None:
        remove(self.part)

    def _open(self, create: int) -> int:
        if create:
            self.part.mkdir(exist_ok=True)
        return os.open(self.part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _size(self, path: Path) -> int | None:
        if not path.exists():
            return None
        if not path.is_dir() or not all(PART.fullmatch(one.name) for one in path.iterdir()):
            advice = f"choose another {option('out')}"
            raise ValueError(f"{path} is no folder of part files, which a dump as Parquet is; {advice}")
        return sum(one.stat().st_size for one in path.iterdir())

    def _measured(self, path: Path, offset: int | None = None) -> tuple[int, int]:
        found = parts(path) if offset is None else min(offset, parts(path))
        pieces = (piece for number in range(found) for piece in pieces_of(path / part_name(number)))
        return found, checksum_of(pieces)[1]

    def _cut(self, offset: int) -> None:
        counted = {part_name(number) for number in range(offset)}
        for one in sorted(self.part.iterdir()):
            if one.name not in counted:
                one.unlink()
        sync_folder(self.part / part_name(0))

    def _sync(self) -> None:
        """Write the part file that waits."""
        if self._writer is not None:
            self._write_group()
            self._writer.close()
            data = self._stream.getbuffer()
            replace_file(self.part / part_name(self.position - 1), data)
            self._checksum = zlib.crc32(data, self._checksum)
            self._stream, self._writer, self._rows = BytesIO(), None, 0

    def _write_group(self) -> None:
        """Make a row group of what is in memory."""
        if self._batches:
            self._writer.write_table(arrow().Table.from_batches(self._batches))
        self._batches = []


def columns_of(folder: Path) -> list[str]:
    """Return the columns of the part files in a folder."""
    return list(arrow().parquet.read_schema(folder / part_name(0)).names)


def read_parts(folder: Path, layout: Layout, start: int = 0) -> Iterator[Row]:
    """Yield the rows of the part files in a folder from one of them on, a batch in memory at a time."""
    for number in range(start, parts(folder)):
        with arrow().parquet.ParquetFile(folder / part_name(number)) as file:
            for batch in file.iter_batches(BATCH):
                yield from map(layout.restored, batch.to_pylist())
