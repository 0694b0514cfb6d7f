"""The index of an output: the key and a digest of each row, on disk, and the choice of rows to compare.

It is a temporary SQLite database with 16 bytes per row, so that neither the order nor the size of an output matters
(rows that were committed late are at its end).
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from itertools import chain, islice
from math import ceil
from random import Random
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import orjson

from magento_pager.export.values import typed_row
from magento_pager.walk.ranges import IdRange, read_id

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from magento_pager.lists import ListSpec
    from magento_pager.walk.pages import Row

Key: TypeAlias = int | str
"""A row's identifier: its id, or its identity in lists whose rows carry no id."""

WIDTHS = (10_000, 1_000, 100, 10)  # of the windows of a sample, in ids
ENOUGH_WINDOWS = 50  # windows with rows, enough to draw a sample from
MIN_EMPTY = 3  # least number of windows without rows in a sample


class Index:
    """Key and digest of each row of an output, on disk. A context manager; leaving it deletes the index.

    Attributes:
        rows: number of rows in the output.
        by_ids: True where rows are identified by their ids.
        columns: names of the columns that any row has.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        schema: ListSpec,
        *,
        typed: bool,
        list_columns: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """Read the rows of an output once, in any order.

        Args:
            rows: of the output.
            schema: the list.
            typed: True where rows have typed values instead of texts.
            list_columns: returns the columns of the rows in the shop's list. It is called where the output has full
                records of a list whose rows may carry no ids: such rows have few columns, and maybe not the id.

        Raises:
            ValueError: a row has neither an id nor an identity.
        """
        self.rows = 0
        self.columns: set[str] = set()
        self._schema = schema
        self._typed = typed
        rows = iter(rows)
        head = list(islice(rows, 1))
        full = head and schema.identity in head[0] and not schema.details.keys().isdisjoint(head[0])
        self._compared = list_columns() if full and list_columns else None
        self.by_ids = not head or (schema.key in head[0] and not full)
        # A temporary file of SQLite: it has no name, and closing it deletes it.
        self._database = sqlite3.connect("", isolation_level=None)
        try:
            self._database.execute("PRAGMA journal_mode = OFF")
            # Rows without ids may share an identity in the shop; two rows with one id are an error in the output.
            kind, conflict = ("INTEGER PRIMARY KEY", "ON CONFLICT (key) DO UPDATE SET repeated = TRUE")
            if not self.by_ids:
                kind, conflict = ("TEXT", "")
            self._database.execute(f"CREATE TABLE output (key {kind}, digest BLOB, repeated, matched)")
            self._database.execute("BEGIN")
            self._database.executemany(
                f"INSERT INTO output (key, digest) VALUES (?, ?) {conflict}",  # noqa: S608  a constant
                map(self._indexed, chain(head, rows)),
            )
            if not self.by_ids:
                self._database.execute("CREATE INDEX by_key ON output (key)")
            self._database.execute("COMMIT")
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    @property
    def bounds(self) -> tuple[Key, Key] | None:
        """Lowest and highest key; None without any row."""
        bounds: tuple[Key, Key] = self._database.execute("SELECT min(key), max(key) FROM output").fetchone()
        return bounds if self.rows else None

    def key_of(self, row: Row) -> Key:
        """Return the row's key, of the same kind as those of the output where possible.

        Raises:
            ValueError: the row has neither an id nor an identity, or its id is invalid.
        """
        key, identity = self._schema.key, self._schema.identity
        if key in row and (self.by_ids or identity not in row):
            return read_id(row[key])
        if identity is None or identity not in row:
            raise ValueError(
                f"a row of {self._schema.name} has no column {key}, so it cannot be identified: dump with that column"
            )
        return str(row[identity])

    def digest_of(self, row: Row) -> bytes:
        """Return the digest of the columns of an output's row that can be compared.

        Where a shop may send the same for an empty text and for no value, both have one digest, so that both flavours
        agree. So do a list or a record and its JSON, which tables have in undeclared columns.
        """
        content = {
            name: _parsed(value)
            for name, value in row.items()
            if value is not None
            and name not in self._schema.details
            and (self._compared is None or name in self._compared)
            and (value != "" or name not in self._schema.required)
        }
        return blake2b(orjson.dumps(content, _decimal, orjson.OPT_SORT_KEYS), digest_size=16).digest()

    def digest_of_shop_row(self, row: Row) -> bytes:
        """Return the digest of a row as the server sent it, over the columns that the output has."""
        if self._typed:
            row, _ = typed_row(self._schema, row)
        return self.digest_of({name: row[name] for name in row.keys() & self.columns})

    def lookup(self, window: IdRange, sent: Mapping[Key, bytes]) -> dict[Key, bytes]:
        """Return the digests of the output's rows in a window; without ids, of those with the keys of the shop's rows.

        Args:
            window: the ids, inclusive.
            sent: the digests of the shop's rows. Where several rows of the output have one key, each is matched to
                another row of the shop, preferably to one with the same digest.
        """
        if self.by_ids:
            within = "SELECT key, digest FROM output WHERE key BETWEEN ? AND ?"
            return dict(self._database.execute(within, (window.first, window.last)))
        matches: dict[Key, bytes] = {}
        for pair in sent.items():
            best = "SELECT rowid, digest FROM output WHERE key = ? AND matched IS NULL ORDER BY digest = ? DESC LIMIT 1"
            for rowid, digest in self._database.execute(best, pair).fetchall():
                self._database.execute("UPDATE output SET matched = TRUE WHERE rowid = ?", (rowid,))
                matches[pair[0]] = digest
        return matches

    def unmatched(self) -> Iterator[tuple[Key, bool]]:
        """Yield the key of each row without an id that was never looked up, and whether another row with it was."""
        if not self.by_ids:
            other = "SELECT 1 FROM output AS other WHERE other.key = output.key AND other.matched"
            query = f"SELECT key, EXISTS ({other}) FROM output WHERE matched IS NULL ORDER BY key"  # noqa: S608  a constant
            yield from ((key, bool(known)) for key, known in self._database.execute(query))

    def repeated(self) -> Iterator[Key]:
        """Yield the ids that the output has more than once."""
        return self._keys("SELECT key FROM output WHERE repeated ORDER BY key")

    def populated(self, width: int) -> list[int]:
        """Return the numbers of the windows of that width that have rows of the output, in order."""
        return list(self._keys("SELECT DISTINCT key / ? FROM output ORDER BY 1", width))

    def _keys(self, query: str, *parameters: int) -> Iterator[Any]:
        return (key for (key,) in self._database.execute(query, parameters))

    def _indexed(self, row: Row) -> tuple[Key, bytes]:
        self.rows += 1
        self.columns.update(row)
        return self.key_of(row), self.digest_of(row)


@dataclass(frozen=True, slots=True)
class Sample:
    """Ids to compare.

    Attributes:
        ranges: the ids, inclusive, in order.
        populated: number of windows in the sample in which the output has rows, and of all such windows.
        empty: number of windows in the sample in which the output has no rows.
        width: of the windows, in ids.
        end: all ids from here on are compared.
    """

    ranges: tuple[IdRange, ...]
    populated: tuple[int, int]
    empty: int
    width: int
    end: int

    def __str__(self) -> str:
        chosen, total = self.populated
        return (
            f"{chosen} of {total} windows of {self.width:,} ids with rows, {self.empty} windows without rows, and all "
            f"ids from {self.end} on"
        )


def draw_sample(index: Index, fraction: float, span: IdRange, seed: int) -> Sample:
    """Draw windows of ids: a fraction of those in which the output has rows, and some in which it has none.

    All ids after the output's last row are always included: new rows appear there.

    Args:
        index: of the output.
        fraction: more than 0, at most 1.
        span: the ids that the dump covered, inclusive.
        seed: the same seed draws the same windows.

    Raises:
        ValueError: rows carry no id.
    """
    if not index.by_ids:
        raise ValueError(
            "Rows of this list carry no id, so a sample cannot be drawn. Compare all rows, without a sample."
        )
    for width in WIDTHS:
        windows = index.populated(width)
        if len(windows) >= ENOUGH_WINDOWS:
            break
    random = Random(seed)  # noqa: S311  not for secrets
    chosen = set(random.sample(windows, min(len(windows), ceil(fraction * len(windows)))))
    populated = set(windows)
    top = max(int(index.bounds[1]) if index.bounds else -1, span.first - 1)
    first, end = span.first // width, max(windows, default=span.first // width - 1) + 1
    blank = (end - first) - len(windows)
    count = min(blank, max(MIN_EMPTY, ceil(fraction * len(windows) / 2)))
    empty: set[int] = set()
    while len(empty) < count:
        number = random.randrange(first, end)
        if number not in populated:
            empty.add(number)
    ranges = [IdRange(number * width, min(number * width + width - 1, top)) for number in sorted(chosen | empty)]
    if top < span.last:
        ranges.append(IdRange(top + 1, span.last))
    within = tuple(part for window in ranges if (part := window.intersection(span)))
    return Sample(within, (len(chosen), len(windows)), len(empty), width, top + 1)


def _parsed(value: object) -> object:
    """Parse a list or a record that is written as JSON; return any other value unchanged."""
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(value)
    return value


def _decimal(value: object) -> str:
    """Return a decimal as text without trailing zeros."""
    if isinstance(value, Decimal):
        return str(value.normalize())
    raise TypeError(f"{value!r} cannot be compared")
