"""Text: NDJSON and CSV, plain or gzipped, to a file or to standard output.

- NDJSON: one object per line, in UTF-8. If typed, integers and decimals are numbers with all their digits, and times
  are strings as in RFC 3339, in UTC: `2023-10-01T04:52:26Z`.
- CSV: RFC 4180, in UTF-8, with a header. An empty cell is NULL and `""` is an empty text, as in PostgreSQL. Lists and
  records are JSON. The columns are fixed before the first row, so undeclared ones go into the last column,
  `other_columns`, as a JSON object: nothing that a server sends is lost.
- gzip: the same bytes for the same rows, whatever the pages were and wherever a dump was stopped. A gzip member cannot
  be continued, and members that end with pages would depend on the pages. So each member has `TEXT_IN_MEMBER` bytes of
  text, and the last one the rest. Positions are bytes of *text*. On standard output each page is a member, so that a
  reader receives it at once.

Text after the last whole member is stored uncompressed in FILE.part.tail until it fills a member. So after a kill, the
text that a checkpoint covers exists: in the whole members, and, for the rest, in the next member, if that is whole (it
was written after the checkpoint, and starts with the same text), otherwise in FILE.part.tail, which is replaced only
once the members before it are safe on disk.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zlib
from decimal import Decimal
from gzip import GzipFile
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from magento_pager.errors import option
from magento_pager.export.files import PIECE, checksum_of, pieces_of, replace_file, write_all
from magento_pager.export.layout import BATCH, Layout, json_number, plain
from magento_pager.export.outputs import FileOutput, Output

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.walk.pages import Misfit, Row

TEXT_IN_MEMBER = 1 << 19
"""Bytes. Smaller members make the file larger; with larger ones, more text is rewritten for each page."""
LINE_END = "\r\n"  # of CSV

_TO_QUOTE = re.compile(r'[",\r\n]')
_CELL = re.compile(r'("[^"]*(?:""[^"]*)*"|[^,]*)(,|\Z)')


class TextOutput(FileOutput):
    """A text file; if gzipped, with FILE.part.tail."""

    def __init__(self, path: str | Path, layout: Layout, *, resume: bool = False, overwrite: bool = False) -> None:
        self.unit = "bytes of text" if layout.gzipped else "bytes"
        self._members_end, self._rest = 0, b""  # gzipped: end of the covered members, and the text after it
        super().__init__(path, layout, resume=resume, overwrite=overwrite)

    @property
    def _tail(self) -> Path:
        """File for the text that is in no member yet."""
        return self._sibling(".part.tail")

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Write the rows of one page; if gzipped, the members that they complete."""
        misfits: list[Misfit] = []
        position, checksum, rest = self.position, self._checksum, self._rest
        for data in texts(rows, self._layout, misfits, header=position == 0):
            position, checksum = position + len(data), zlib.crc32(data, checksum)
            if not self._layout.gzipped:
                write_all(self._descriptor, data)
                continue
            rest += data
            while len(rest) >= TEXT_IN_MEMBER:
                self._write_member(rest[:TEXT_IN_MEMBER])
                rest = rest[TEXT_IN_MEMBER:]
        self.position, self._checksum, self._rest = position, checksum, rest
        return misfits

    def publish(self) -> None:
        """Write the rest of the text as the last member, and rename the file to its final name."""
        if self._layout.gzipped:
            if self._rest or self._size(self.part) == 0:  # a gzip file needs at least one member
                self._write_member(self._rest)
                os.fsync(self._descriptor)
            self._tail.unlink(missing_ok=True)
        super().publish()

    def tail(self, offset: int) -> Iterator[Row]:
        """Yield the rows from an offset on, those in FILE.part.tail included."""
        if not self._layout.gzipped:
            return read_text(self.part, self._layout, offset)
        pieces = chain((text for text, _ in members(self.part)), pieces_of(self._tail))
        return rows_in(lines_of(pieces, offset), self._layout, header=offset == 0)

    def _write_member(self, text: bytes) -> None:
        write_all(self._descriptor, zlib.compress(text, wbits=31))

    def _open(self, create: int) -> int:
        return os.open(self.part, os.O_RDWR | os.O_CLOEXEC | create, 0o666)

    def _size(self, path: Path) -> int | None:
        if path.exists() and not path.is_file():
            raise ValueError(
                f"{path} is not a regular file. To write to it, remove {option('out')} and redirect standard output."
            )
        return path.stat().st_size if path.exists() else None

    def _measured(self, path: Path, offset: int | None = None) -> tuple[int, int]:
        if not self._layout.gzipped:
            return checksum_of(pieces_of(path), offset)
        return checksum_of((text for text, _ in members(path)) if offset is None else self._text_until(offset), offset)

    def _text_until(self, offset: int) -> Iterator[bytes]:
        """Yield the text of the gzipped part up to an offset, and remember what `_cut` needs."""
        position, self._members_end, self._rest = 0, 0, b""
        for text, end in members(self.part):
            if position + len(text) > offset:
                self._rest = text[: offset - position]
                break
            position, self._members_end = position + len(text), end
            yield text
        else:
            if self._tail.exists():
                self._rest = self._tail.read_bytes()[: offset - position]
        yield self._rest

    def _cut(self, offset: int) -> None:
        if self._layout.gzipped:
            replace_file(self._tail, self._rest)  # the covered text of a later member, before that is discarded
            offset = self._members_end
        os.ftruncate(self._descriptor, offset)
        os.lseek(self._descriptor, offset, os.SEEK_SET)

    def _sync(self) -> None:
        os.fsync(self._descriptor)
        if self._layout.gzipped:
            replace_file(self._tail, self._rest)

    def _remove(self) -> None:
        super()._remove()
        if self._layout.gzipped:
            self._tail.unlink(missing_ok=True)


class StandardOutput(Output):
    """Text to standard output, whose descriptor is looked up when the dump begins."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._descriptor = -1

    def begin(self, start: Checkpoint) -> Checkpoint:
        """Look up the descriptor of standard output.

        Raises:
            ValueError: there is none, as in a notebook.
        """
        try:
            self._descriptor = sys.stdout.fileno()
        except (OSError, ValueError):
            raise ValueError(
                f"Standard output is not a file here, for example in a notebook. Set {option('out')} to write to one."
            ) from None
        return super().begin(start)

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Write the rows of one page; if gzipped, as one member."""
        misfits: list[Misfit] = []
        position = self.position
        pieces = texts(rows, self._layout, misfits, header=position == 0)
        for data in gzip_member(pieces) if self._layout.gzipped and (rows or not position) else pieces:
            write_all(self._descriptor, data)
            position += len(data)
        self.position = position
        return misfits


def texts(rows: Sequence[Row], layout: Layout, misfits: list[Misfit], *, header: bool) -> Iterator[bytes]:
    """Yield rows as text, a batch at a time; with `header`, yield that first, where the format has one."""
    is_csv, columns = layout.format == "csv", layout.header
    if header and is_csv:
        yield (",".join(map(cell, columns)) + LINE_END).encode()
    for start in range(0, len(rows), BATCH):
        batch = layout.values(rows[start : start + BATCH], misfits)
        yield b"".join([csv_line(row, columns) for row in batch] if is_csv else map(line, batch))


def line(row: Row) -> bytes:
    r"""Return a row as one line of JSON, without spaces and with as few escapes as possible.

    >>> line({"order_id": 3, "tax_amount": Decimal("0.5000"), "customer_firstname": "Łukasz"}).decode()
    '{"order_id":3,"tax_amount":0.5000,"customer_firstname":"Łukasz"}\n'
    """
    return orjson.dumps(row, json_number, orjson.OPT_UTC_Z) + b"\n"  # its own OPT_APPEND_NEWLINE takes twice as long


def csv_line(row: Row, columns: Sequence[str]) -> bytes:
    r"""Return a row as a line of CSV with these columns.

    >>> row = {"order_id": "3", "customer_note": 'a "gift",\nplease', "coupon_code": ""}
    >>> csv_line(row, ["order_id", "customer_note", "coupon_code", "total_due"])
    b'3,"a ""gift"",\nplease","",\r\n'
    """
    return (",".join([cell(row.get(name)) for name in columns]) + LINE_END).encode()


def cell(value: Any) -> str:
    """Return a value as a CSV cell: nothing for None, two quotation marks for an empty text.

    >>> cell(None), cell(""), cell("a,b"), cell(Decimal("5.0000")), cell(["10"])
    ('', '""', '"a,b"', '5.0000', '"[""10""]"')
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else plain(value)
    return '"' + text.replace('"', '""') + '"' if not text or _TO_QUOTE.search(text) else text


def read_text(path: Path, layout: Layout, start: int = 0) -> Iterator[Row]:
    """Yield the rows of a file from an offset on, which must be the end of a page; see `rows_in`."""
    with GzipFile(path) if layout.gzipped else path.open("rb") as stream:
        stream.seek(start)
        yield from rows_in(stream, layout, header=start == 0)


def rows_in(lines: Iterable[bytes], layout: Layout, *, header: bool) -> Iterator[Row]:
    """Yield the rows in lines, without null values; with `header`, the first line is a header where CSV has one."""
    if layout.format == "csv":
        cells = csv_cells(line.decode() for line in lines)
        columns = [str(name) for name in next(cells, ())] if header else layout.header
        rows: Iterator[Row] = (dict(zip(columns, values, strict=True)) for values in cells)
    elif layout.typed:
        rows = (json.loads(line, parse_float=Decimal) for line in lines)
    else:
        rows = map(orjson.loads, lines)
    return map(layout.restored, rows)


def csv_cells(lines: Iterable[str]) -> Iterator[list[str | None]]:
    r"""Yield the cells of each record: None for an empty cell, "" for an empty text.

    Raises:
        ValueError: a quoted cell does not end.

    >>> list(csv_cells(['a,"b,\r\n', '""c"" d",\r\n', ',"",3\r\n']))
    [['a', 'b,\r\n"c" d', None], [None, '', '3']]
    """
    record = ""
    for line in lines:
        record += line
        if record.count('"') % 2:
            continue  # a line break inside a quoted cell
        text, record = record.removesuffix("\n").removesuffix("\r"), ""
        cells: list[str | None] = []
        for match in _CELL.finditer(text):
            content = match[1]
            cells.append(content[1:-1].replace('""', '"') if content.startswith('"') else content or None)
            if not match[2]:
                break
        yield cells
    if record:
        raise ValueError("the last quoted cell does not end, so the file is cut short")


def lines_of(pieces: Iterable[bytes], start: int = 0) -> Iterator[bytes]:
    r"""Yield the lines of a text in pieces, without its first `start` bytes.

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


def gzip_member(texts: Iterable[bytes]) -> Iterator[bytes]:
    r"""Yield text as one gzip member, without a time in its header.

    >>> from gzip import decompress
    >>> decompress(b"".join(gzip_member([b"a row\n", b"another\n"])))
    b'a row\nanother\n'
    """
    compressor = zlib.compressobj(wbits=31)
    for text in texts:
        yield compressor.compress(text)
    yield compressor.flush()


HEADER = zlib.compress(b"", wbits=31)[:10]
"""First bytes of each member."""


def members(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the text of each whole member of a file, and the position in the file at which the member ends."""
    with path.open("rb") as file:
        data, end = b"", 0
        while True:
            data += file.read(PIECE) if len(data) < len(HEADER) else b""
            if not data.startswith(HEADER):  # gzip has no checksum of it
                return
            decompressor, texts = zlib.decompressobj(wbits=31), []
            while not decompressor.eof:
                if not data:
                    return
                try:
                    texts.append(decompressor.decompress(data))
                except zlib.error:
                    return
                end += len(data) - len(decompressor.unused_data)
                data = decompressor.unused_data or file.read(PIECE)
            yield b"".join(texts), end
