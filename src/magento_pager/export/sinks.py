"""Sinks: where rows go. A sink takes whole pages and is told when there will be no more.

A file is written under a name of its own (FILE.part) and gets its real one only when it is complete: an unfinished
output is never mistaken for a finished one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magento_pager.walk.reading import Row


class Sink(Protocol):
    """Where rows go."""

    def write(self, rows: Sequence[Row]) -> None:
        """Take the rows of one page."""

    def close(self, *, complete: bool) -> None:
        """Let go of everything; `complete` says that all rows came."""


class NdjsonSink:
    """One JSON object per line, in UTF-8, to a stream that is not closed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows of one page."""
        self._stream.write(b"".join(line(row) for row in rows))

    def close(self, *, complete: bool) -> None:  # noqa: ARG002  a stream is what it is
        """Flush."""
        self._stream.flush()


class NdjsonFile:
    """One JSON object per line, in UTF-8, to a file that appears when it is complete.

    Raises:
        FileExistsError: there is such a file, and it may not be overwritten.
        OSError: the folder cannot be written to.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        if self.path.exists() and not overwrite:
            raise FileExistsError(f"{self.path} exists already; choose another name or allow it with --overwrite")
        self._stream = self.part.open("wb")
        self._sink = NdjsonSink(self._stream)

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows of one page."""
        self._sink.write(rows)

    def close(self, *, complete: bool) -> None:
        """Give the file its name where it is complete; leave it as FILE.part where not."""
        with self._stream:
            self._sink.close(complete=complete)
            os.fsync(self._stream.fileno())
        if complete:
            self.part.replace(self.path)


def line(row: Row) -> bytes:
    r"""A row as one line.

    >>> line({"order_id": "3", "customer_firstname": "Łukasz"}).decode()
    '{"order_id": "3", "customer_firstname": "Łukasz"}\n'
    """
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"
