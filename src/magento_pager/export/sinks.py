"""Sinks: the formats of an output. A sink takes whole pages and says after each how much of the output counts.

A sink does not know the output's names, nor when it is safe on a disk: that is `outputs`' work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import orjson

from magento_pager.export.checkpoints import write_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from magento_pager.walk.reading import Row


BATCH = 256
"""Rows that are made into text at a time: the text of a whole page would take half as much memory as its rows."""


class Sink(Protocol):
    """A format of rows.

    Attributes:
        position: bytes of the output so far. One that is cut back to a position, and given to a new sink that begins
            there, goes on as if nothing had happened.
    """

    position: int

    def write(self, rows: Sequence[Row]) -> None:
        """Hand the rows of one page to the system, all of them; nothing is kept back.

        Raises:
            OSError: some were not taken; the position is as it was.
        """


class NdjsonSink:
    """One JSON object per line, in UTF-8."""

    def __init__(self, descriptor: int, position: int = 0) -> None:
        """Go on where a file stands.

        Args:
            descriptor: of the open file. Python's own layers would keep bytes back after a failure.
            position: bytes that are in it.
        """
        self.position = position
        self._descriptor = descriptor

    def write(self, rows: Sequence[Row]) -> None:
        """Write the rows of one page."""
        written = 0
        for start in range(0, len(rows), BATCH):
            data = b"".join(map(line, rows[start : start + BATCH]))
            write_all(self._descriptor, data)
            written += len(data)
        self.position += written


def line(row: Row) -> bytes:
    r"""A row as one line: no blanks between its parts, and no character escaped that JSON can hold as it is.

    >>> line({"order_id": "3", "customer_firstname": "Łukasz"}).decode()
    '{"order_id":"3","customer_firstname":"Łukasz"}\n'
    """
    return orjson.dumps(row) + b"\n"


def read_back(path: Path, start: int) -> Iterator[Row]:
    """The rows that a file holds from an offset on."""
    with path.open("rb") as stream:
        stream.seek(start)
        yield from map(orjson.loads, stream)
