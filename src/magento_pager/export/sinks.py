"""Sinks, and the formats that are text: NDJSON and CSV, as they are or packed by gzip.

What lives here: what a sink is, what is asked of an output, and how rows become text and text rows again. A sink does
not know the output's names, nor when it is safe on a disk: that is `outputs`' work. Packed files, Parquet and SQLite
have modules of their own.

- NDJSON: one object per line, in UTF-8. Typed, integers and decimals are numbers with all their digits and moments are
  texts as in RFC 3339, in UTC: `2023-10-01T04:52:26Z`.
- CSV: RFC 4180, in UTF-8, with a header. Nothing at all is NULL and `""` is an empty text, as PostgreSQL has it. Lists
  and records are JSON. The columns are fixed before the first row, so those that are not declared go into the last one,
  `other_columns`, as a JSON object: nothing that a server sends is lost.
- gzip: see `packed`; on standard output a member for each page, so that whoever reads has each page at once.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from gzip import GzipFile
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from magento_pager.export.files import checksum_of, pieces_of, write_all
from magento_pager.export.formats import TYPED_ALWAYS, Format
from magento_pager.export.values import OTHER_COLUMNS, SECRET, typed_row
from magento_pager.walk.reading import row_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.lists import ListSpec
    from magento_pager.walk.reading import Row
    from magento_pager.walk.walking import Misfit

BATCH = 256
"""Rows that are made into text at a time: the text of a whole page would take half as much memory as its rows."""
LINE_END = "\r\n"  # of CSV

_TO_QUOTE = re.compile(r'[",\r\n]')
_CELL = re.compile(r'("[^"]*(?:""[^"]*)*"|[^,]*)(,|\Z)')


@dataclass(frozen=True, slots=True)
class Layout:
    """What is asked of an output.

    Attributes:
        schema: of the list.
        format: how rows are written.
        packed: by gzip; text only.
        columns: those to write, in this order; empty for all.
        typed: values instead of the server's text, as Parquet and SQLite always have.
        details: rows are records in full.
        secret: rows have `password_hash`.

    Raises:
        ValueError: what does not go together.
    """

    schema: ListSpec
    format: Format = "ndjson"
    packed: bool = False
    columns: tuple[str, ...] = ()
    typed: bool = False
    details: bool = False
    secret: bool = False

    def __post_init__(self) -> None:
        if self.packed and self.format in TYPED_ALWAYS:
            raise ValueError(f"gzip is for text, and {self.format} is none (Parquet is packed as it is)")
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"a column is named twice: {', '.join(self.columns)}")
        if SECRET in self.columns and not self.secret:
            raise ValueError(f"{SECRET} is dropped unless it is asked for: add --password-hash")
        keys = {self.schema.key, self.schema.identity or self.schema.key}
        if self.format == "sqlite" and self.columns and not keys.intersection(self.columns):
            raise ValueError(f"a table needs the column that its rows are told apart by: {' or '.join(sorted(keys))}")

    @property
    def has_values(self) -> bool:
        """True where values are written and not the server's text."""
        return self.typed or self.format in TYPED_ALWAYS

    @property
    def name(self) -> str:
        """The format, as in a fingerprint.

        >>> from magento_pager.lists import LISTS
        >>> Layout(LISTS["orders"], "csv", packed=True).name
        'csv.gz'
        """
        return self.format + ".gz" * self.packed

    @property
    def unknown(self) -> tuple[str, ...]:
        """Columns that are asked for and that no row is known to have."""
        known = {*self.schema.columns, *self.schema.details, OTHER_COLUMNS}
        return tuple(one for one in self.columns if one not in known)

    @property
    def declared(self) -> tuple[str, ...]:
        """The columns of a table, but for those that are found later."""
        if self.columns:
            return self.columns
        names = (*self.schema.columns, *(self.schema.details if self.details else ()))
        return tuple(one for one in names if self.secret or one != SECRET)

    @property
    def header(self) -> tuple[str, ...]:
        """The columns of a format that fixes them before the first row."""
        return self.columns or (*self.declared, OTHER_COLUMNS)

    def label(self, row: Row) -> str:
        """Return what a row is called: its id, or its identity where it carries no id."""
        return row_label(row, self.schema.key, self.schema.identity)

    def values(self, rows: Iterable[Row], misfits: list[Misfit]) -> Iterator[Row]:
        """Rows as they are to be written: the columns that are asked for, and typed where that is.

        Args:
            rows: as the server sent them.
            misfits: takes what does not fit.
        """
        fixed = set(self.header) if self.format in {"csv", "parquet"} else None
        for row in rows:
            picked = row
            if fixed is not None and OTHER_COLUMNS in fixed and not fixed.issuperset(row):
                picked = {name: value for name, value in row.items() if name in fixed}
                other = {name: value for name, value in row.items() if name not in fixed}
                picked[OTHER_COLUMNS] = json_text(other)
            elif self.columns:
                picked = {name: row[name] for name in self.columns if name in row}
            if self.has_values:
                picked, found = typed_row(self.schema, picked, self.label(row))
                misfits += found
            yield picked


class Output(Protocol):
    """Where a dump goes. Any object with these attributes will do; a class that inherits needs only `write`.

    In order: `begin`; for each page `write` and `keep`; `publish` and, when all that follows a dump is done too,
    `settle`. `close` comes last, whatever happened before. A dump that ends early calls `flush` before it.

    Attributes:
        path: what appears in the end; None where that is no file.
        part: where rows go until then.
        saved: the checkpoint to go on from, which is safe; None to begin anew.
        finished: True where nothing is left to be done but `settle`; `saved` says of which dump it is.
        position: how much of the output there is so far, in the output's own measure.
    """

    path: Path | None = None
    part: Path | None = None
    saved: Checkpoint | None = None
    finished: bool = False
    position: int = 0

    @property
    def names(self) -> tuple[Path, ...]:
        """All names of files that are taken."""
        return ()

    def begin(self, start: Checkpoint) -> Checkpoint:
        """Take hold of what was looked at before, and cut it back to what counts.

        Args:
            start: the checkpoint of a dump that has not begun.

        Returns:
            The checkpoint to go on from, which is `start` where there is none.

        Raises:
            CheckpointMismatchError: something else was asked for when the checkpoint was made.
            BlockingIOError: another dump is writing there.
            OSError: it cannot be written.
        """
        return self.saved or start

    def write(self, rows: Sequence[Row]) -> Sequence[Misfit]:
        """Take the rows of one page, all of them.

        Returns:
            The values that do not fit, where values are written.

        Raises:
            OSError: some were not taken; the position is as it was.
        """

    def keep(self, checkpoint: Checkpoint) -> None:
        """Make safe what was written, and the checkpoint that counts it; or wait for more, where that costs less.

        Raises:
            OSError: the disk did not take it; the checkpoint that was safe holds.
        """
        self.saved = checkpoint

    def flush(self) -> None:
        """Make safe what waits."""
        return

    def publish(self) -> None:
        """Say that it is finished: all rows are in it."""
        self.finished = True

    def settle(self) -> None:
        """Mark the checkpoint as that of a finished dump; the last step."""
        return

    def forget(self) -> None:
        """Remove the checkpoint of a finished dump that something else remembers."""
        return

    def close(self) -> None:
        """Let go of it, and remove what does not count."""
        return

    def tail(self, offset: int) -> Iterator[Row]:  # noqa: ARG002  for those that can be read back
        """The rows that were written from a position on."""
        return iter(())


class FileSink(Protocol):
    """What takes rows for a file, or a folder of files; see `Output`."""

    @property
    def position(self) -> int:
        """How much there is so far."""

    @property
    def waiting(self) -> bool:
        """True while it would rather take more rows before it is made safe."""

    def write(self, rows: Sequence[Row]) -> Sequence[Misfit]:
        """Take the rows of one page."""

    def sync(self) -> None:
        """Make safe what was taken."""

    @property
    def checksum(self) -> int:
        """CRC-32 of the bytes up to the position, once they are safe."""

    def finish(self) -> None:
        """Write what ends the output, once all rows are taken and safe.

        Raises:
            OSError: the disk did not take it.
        """


class TextSink(Output):
    """Rows as text, into an open file."""

    waiting = False

    def __init__(self, descriptor: int, layout: Layout, position: int = 0, checksum: int = 0) -> None:
        """Go on where a file stands.

        Args:
            descriptor: of the open file. Python's own layers would keep bytes back after a failure.
            layout: what is asked for.
            position: bytes that are in it.
            checksum: their CRC-32.
        """
        self.position = position
        self.checksum = checksum
        self._descriptor = descriptor
        self._layout = layout
        self._line = csv_lines(layout.header) if layout.format == "csv" else line

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Write the rows of one page; nothing is kept back."""
        misfits: list[Misfit] = []
        position, checksum = self.position, self.checksum
        texts = self._texts(rows, misfits)
        for data in gzipped(texts) if self._layout.packed and (rows or not position) else texts:
            write_all(self._descriptor, data)
            position, checksum = position + len(data), zlib.crc32(data, checksum)
        self.position, self.checksum = position, checksum
        return misfits

    def sync(self) -> None:
        """Make it safe."""
        os.fsync(self._descriptor)

    def finish(self) -> None:
        """Nothing is left to do."""

    def _texts(self, rows: Sequence[Row], misfits: list[Misfit]) -> Iterator[bytes]:
        if self.position == 0 and self._layout.format == "csv":  # even where there is no row
            yield (",".join(map(cell, self._layout.header)) + LINE_END).encode()
        for start in range(0, len(rows), BATCH):
            yield b"".join(map(self._line, self._layout.values(rows[start : start + BATCH], misfits)))


class StandardOutput(TextSink):
    """Rows as text, to standard output, which is looked up when the dump begins."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(-1, layout)

    def begin(self, start: Checkpoint) -> Checkpoint:
        """Find its descriptor.

        Raises:
            ValueError: it has none, as in a notebook.
        """
        try:
            self._descriptor = sys.stdout.fileno()
        except (OSError, ValueError):
            raise ValueError("standard output is no file here, as in a notebook: give a path (--out)") from None
        return super().begin(start)


class TextBody:
    """One file of text."""

    unit = "bytes"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def open(self, path: Path, create: int) -> int:
        """Open the file."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | create, 0o666)

    def length(self, path: Path) -> int | None:
        """Its bytes."""
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no regular file; leave --out away and redirect standard output")
        return path.stat().st_size if path.exists() else None

    def checksum(self, path: Path, offset: int | None = None) -> tuple[int, int]:
        """How many bytes there are, and their CRC-32."""
        return checksum_of(pieces_of(path), offset)

    def cut(self, path: Path, descriptor: int, offset: int, checksum: int) -> TextSink:  # noqa: ARG002  the descriptor is enough
        """Truncate it."""
        os.ftruncate(descriptor, offset)
        os.lseek(descriptor, offset, os.SEEK_SET)
        return TextSink(descriptor, self._layout, offset, checksum)

    def move(self, part: Path, path: Path) -> None:
        """Rename it, over what has the name."""
        part.replace(path)

    def tidy(self, part: Path) -> None:
        """Nothing is left."""

    def remove(self, path: Path) -> None:
        """Unlink it."""
        path.unlink(missing_ok=True)

    def read(self, path: Path, offset: int) -> Iterator[Row]:
        """Its lines."""
        return read_text(path, self._layout, offset)


def gzipped(texts: Iterable[bytes]) -> Iterator[bytes]:
    r"""Text as one member of gzip, with a header that knows no time.

    >>> from gzip import decompress
    >>> decompress(b"".join(gzipped([b"a row\n", b"another\n"])))
    b'a row\nanother\n'
    """
    packer = zlib.compressobj(wbits=31)
    for text in texts:
        yield packer.compress(text)
    yield packer.flush()


def line(row: Row) -> bytes:
    r"""A row as one line: no blanks between its parts, and no character escaped that JSON can hold as it is.

    >>> line({"order_id": 3, "tax_amount": Decimal("0.5000"), "customer_firstname": "Łukasz"}).decode()
    '{"order_id":3,"tax_amount":0.5000,"customer_firstname":"Łukasz"}\n'
    """
    return orjson.dumps(row, _number, orjson.OPT_UTC_Z) + b"\n"  # its own OPT_APPEND_NEWLINE takes twice as long


def json_text(value: Any) -> str:
    """A list or a record as JSON.

    >>> json_text(["10", "12"])
    '["10","12"]'
    """
    return orjson.dumps(value, _number, orjson.OPT_UTC_Z).decode()


def csv_lines(header: Sequence[str]) -> Callable[[Row], bytes]:
    r"""What makes a row a line of CSV with these columns.

    >>> csv_lines(["order_id", "customer_note", "coupon_code", "total_due"])(
    ...     {"order_id": "3", "customer_note": 'a "gift",\nplease', "coupon_code": ""}
    ... )
    b'3,"a ""gift"",\nplease","",\r\n'
    """
    return lambda row: (",".join([cell(row.get(name)) for name in header]) + LINE_END).encode()


def cell(value: Any) -> str:
    """A value as a cell of CSV: nothing for None, two quotation marks for an empty text.

    >>> cell(None), cell(""), cell("a,b"), cell(Decimal("5.0000")), cell(["10"])
    ('', '""', '"a,b"', '5.0000', '"[""10""]"')
    """
    if value is None:
        return ""
    text = value if isinstance(value, str) else plain(value)
    if not text or _TO_QUOTE.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def plain(value: Any) -> str:
    """A value as text, with all its digits, and moments as in RFC 3339.

    >>> from datetime import UTC
    >>> plain(datetime(2023, 10, 1, 4, 52, 26, tzinfo=UTC)), plain(Decimal("0E-9")), plain({"a": "1"})
    ('2023-10-01T04:52:26Z', '0.000000000', '{"a":"1"}')
    """
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return format(value, "f") if isinstance(value, Decimal) else json_text(value)


def _number(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(f"{value!r} has no form as JSON")


def read_text(path: Path, layout: Layout, start: int = 0) -> Iterator[Row]:
    """The rows that a file holds from the end of a page on; see `rows_in`.

    Args:
        path: the file.
        layout: how it was written.
        start: bytes of text to leave out.
    """
    with GzipFile(path) if layout.packed else path.open("rb") as stream:
        stream.seek(start)
        yield from rows_in(stream, layout, headed=start == 0)


def rows_in(lines: Iterable[bytes], layout: Layout, *, headed: bool) -> Iterator[Row]:
    """The rows that lines hold, as the server sent them or typed, as they were written.

    What is null is left out, as where the server sent nothing.

    Args:
        lines: each with its end.
        layout: how they were written.
        headed: the first line is the header, where the format has one.
    """
    if layout.format == "csv":
        cells = csv_cells(line.decode() for line in lines)
        header = [str(name) for name in next(cells, ())] if headed else layout.header
        rows: Iterator[Row] = (dict(zip(header, values, strict=True)) for values in cells)
    elif layout.typed:
        rows = (json.loads(line, parse_float=Decimal) for line in lines)
    else:
        rows = map(orjson.loads, lines)
    for row in rows:
        yield restored(row, layout)


def csv_cells(lines: Iterable[str]) -> Iterator[list[str | None]]:
    r"""The cells of each record: None for nothing, "" for an empty text.

    Raises:
        ValueError: a quotation does not end.

    >>> list(csv_cells(['a,"b,\r\n', '""c"" d",\r\n', ',"",3\r\n']))
    [['a', 'b,\r\n"c" d', None], [None, '', '3']]
    """
    record = ""
    for one in lines:
        record += one
        if record.count('"') % 2:
            continue  # a line break inside a quotation
        found, record = record.removesuffix("\n").removesuffix("\r"), ""
        cells: list[str | None] = []
        for match in _CELL.finditer(found):
            text = match[1]
            cells.append(text[1:-1].replace('""', '"') if text.startswith('"') else text or None)
            if not match[2]:
                break
        yield cells
    if record:
        raise ValueError("the last quotation does not end: the file is cut short")


def restored(row: Row, layout: Layout) -> Row:
    """A row that was written, as it was before: values of their types, lists and records, without what is null."""
    schema = layout.schema
    found: Row = {}
    for name, value in row.items():
        if value is None:
            continue
        if name == OTHER_COLUMNS and layout.format in {"csv", "parquet"}:
            found |= orjson.loads(value)
        elif name in schema.nested and isinstance(value, str):
            found[name] = orjson.loads(value) if value[:1] in {"[", "{"} else value
        elif layout.has_values:
            found[name] = _VALUES[schema.kind(name)](value)
        else:
            found[name] = value
    return found


def _decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _datetime(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


_VALUES: dict[str, Callable[[Any], Any]] = {
    "integer": int,
    "decimal": _decimal,
    "datetime": _datetime,
    "text": lambda value: value,
}
