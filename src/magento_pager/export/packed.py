"""Text that is packed by gzip: the same bytes for the same rows, whatever the pages were and wherever it was stopped.

What lives here: members, their ends, and reading them back. What the rows look like as text is known to `sinks`.

A member of gzip cannot be continued, and members that end where pages do would tell of the pages. So each member
holds `TEXT_IN_MEMBER` bytes of text, and the last one what is left. Positions are bytes of *text*. The text behind the
last whole member waits in FILE.part.tail, as it is, until there is enough of it. So at whatever moment a process is
killed, the text that a checkpoint counts is there: the whole members, and as much as is missing of

- the member after them, where that is whole: it was written after the checkpoint, and begins with the same text;
- else FILE.part.tail, which is replaced only once the members before it are safe.
"""

from __future__ import annotations

import os
import zlib
from itertools import chain
from typing import TYPE_CHECKING

from magento_pager.export.files import PIECE, checksum_of, pieces_of, replace_file, write_all
from magento_pager.export.sinks import TextBody, TextSink, gzipped, rows_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from magento_pager.export.sinks import Layout
    from magento_pager.walk.reading import Row
    from magento_pager.walk.walking import Misfit

TEXT_IN_MEMBER = 1 << 19
"""Bytes. A file of smaller members is larger; one of larger members has more text to be written again for each page."""
HEADER = zlib.compressobj(wbits=31).flush()[:10]
"""What each member begins with; it knows no time."""


def members(path: Path) -> Iterator[tuple[bytes, int]]:
    """The text of each whole member of a file, in order, and where in the file the member ends."""
    with path.open("rb") as file:
        data, end = b"", 0
        while True:
            data += file.read(PIECE) if len(data) < len(HEADER) else b""
            if not data.startswith(HEADER):  # no checksum of gzip covers it
                return
            unpacker, texts = zlib.decompressobj(wbits=31), []
            while not unpacker.eof:
                if not data:
                    return
                try:
                    texts.append(unpacker.decompress(data))
                except zlib.error:
                    return
                end += len(data) - len(unpacker.unused_data)
                data = unpacker.unused_data or file.read(PIECE)
            yield b"".join(texts), end


def lines_of(pieces: Iterable[bytes], start: int = 0) -> Iterator[bytes]:
    r"""The lines of a text that comes in pieces.

    Args:
        pieces: the text.
        start: bytes to leave out.

    >>> list(lines_of([b"a row\nano", b"the", b"r\n"], 2))
    [b'row\n', b'another\n']
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece[start:]).split(b"\n")
        start = max(0, start - len(piece))
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest


def tail_of(part: Path) -> Path:
    """Where the text waits that is in no member yet."""
    return part.with_name(part.name + ".tail")


class PackedSink(TextSink):
    """Rows as text, into members of gzip."""

    def __init__(  # noqa: PLR0917  as for text, and the tail
        self, descriptor: int, layout: Layout, position: int, checksum: int, tail: Path, text: bytes
    ) -> None:
        """Go on where a file stands.

        Args:
            descriptor: of the open file, which holds whole members.
            layout: what is asked for.
            position: bytes of text in the file and the tail.
            checksum: their CRC-32.
            tail: the file of the text that is in no member yet.
            text: what it holds.
        """
        super().__init__(descriptor, layout, position, checksum)
        self._tail = tail
        self._text = text

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Take the rows of one page, and write the members that are whole with them."""
        misfits: list[Misfit] = []
        position, checksum, text = self.position, self.checksum, self._text
        for data in self._texts(rows, misfits):
            position, checksum, text = position + len(data), zlib.crc32(data, checksum), text + data
            while len(text) >= TEXT_IN_MEMBER:
                self._put(text[:TEXT_IN_MEMBER])
                text = text[TEXT_IN_MEMBER:]
        self.position, self.checksum, self._text = position, checksum, text
        return misfits

    def sync(self) -> None:
        """Make the members safe, and then the tail."""
        super().sync()
        replace_file(self._tail, self._text)

    def finish(self) -> None:
        """Write the last member, and remove the tail, all of which is in it; a file without any member is no gzip."""
        if self._text or os.fstat(self._descriptor).st_size == 0:
            self._put(self._text)
            super().sync()
        self._tail.unlink(missing_ok=True)

    def _put(self, text: bytes) -> None:
        write_all(self._descriptor, b"".join(gzipped([text])))


class PackedBody(TextBody):
    """One file of text that is packed by gzip, and its tail."""

    unit = "bytes of text"

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._end, self._text = 0, b""  # of the members that count, and what counts of the text behind them

    def checksum(self, path: Path, offset: int | None = None) -> tuple[int, int]:
        """How many bytes of text there are, and their CRC-32."""
        return checksum_of(self._texts(path, offset), offset)

    def cut(self, path: Path, descriptor: int, offset: int, checksum: int) -> PackedSink:
        """Throw away later members; what counts of the first of them becomes the tail before that."""
        replace_file(tail_of(path), self._text)
        os.ftruncate(descriptor, self._end)
        os.lseek(descriptor, self._end, os.SEEK_SET)
        return PackedSink(descriptor, self._layout, offset, checksum, tail_of(path), self._text)

    def remove(self, path: Path) -> None:
        """Unlink it, and its tail."""
        super().remove(path)
        tail_of(path).unlink(missing_ok=True)

    def read(self, path: Path, offset: int) -> Iterator[Row]:
        """Its lines, and those of the tail."""
        texts = chain((text for text, _ in members(path)), pieces_of(tail_of(path)))
        return rows_in(lines_of(texts, offset), self._layout, headed=offset == 0)

    def _texts(self, path: Path, offset: int | None) -> Iterator[bytes]:
        """The text up to an offset, wherever it lies, or that of all members; notes what `cut` needs."""
        counted, self._end, self._text = 0, 0, b""
        for text, end in members(path):
            if offset is not None and counted + len(text) > offset:
                self._text = text[: offset - counted]
                break
            counted, self._end = counted + len(text), end
            yield text
        else:
            if offset is not None and tail_of(path).exists():
                self._text = tail_of(path).read_bytes()[: offset - counted]
        yield self._text
