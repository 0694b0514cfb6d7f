"""The index of an output: the key and a digest of each row, on disk, and which of them to compare.

It is a temporary SQLite database of 16 bytes a row, so that neither the order nor the size of an output matters (rows
that came late stand at its end).
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
"""What a row is known by: its id, or its identity in lists whose rows carry no id."""

WIDTHS = (10_000, 1_000, 100, 10)  # ids in a window of a sample
ENOUGH_WINDOWS = 50  # with rows, to draw a sample from
FEWEST_EMPTY = 3  # windows without rows in a sample


class Index:
    """What an output holds, on disk: the key and a digest of each row. A context manager; leaving it forgets all.

    Attributes:
        rows: of the output.
        by_ids: True where they are known by ids.
        columns: those that any row has.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        schema: ListSpec,
        *,
        typed: bool,
        sent: Callable[[], Collection[str]] | None = None,
    ) -> None:
        """Read the rows of an output once, in any order.

        Args:
            rows: of the output.
            schema: the list.
            typed: whether they are values rather than texts.
            sent: gives the columns that the list brings. It is called where rows are in full, and their list may carry
                no ids: such a list brings few columns, and maybe not the one of the id.

        Raises:
            ValueError: they have neither an id nor an identity.
        """
        self.rows = 0
        self.columns: set[str] = set()
        self._schema = schema
        self._typed = typed
        rows = iter(rows)
        head = list(islice(rows, 1))
        short = head and schema.identity in head[0] and not schema.details.keys().isdisjoint(head[0])
        self._compared = sent() if short and sent else None
        self.by_ids = not head or (schema.key in head[0] and not short)
        # SQLite's own temporary file: it has no name, and is gone when it is closed.
        self._database = sqlite3.connect("", isolation_level=None)
        try:
            self._database.execute("PRAGMA journal_mode = OFF")
            # Rows without ids may share an identity in the shop; two with one id are a fault of the output.
            kind, conflict = ("INTEGER PRIMARY KEY", "ON CONFLICT (key) DO UPDATE SET again = TRUE")
            if not self.by_ids:
                kind, conflict = ("TEXT", "")
            self._database.execute(f"CREATE TABLE output (key {kind}, digest BLOB, again, seen)")
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
        """The lowest and the highest key; None where there is no row."""
        found: tuple[Key, Key] = self._database.execute("SELECT min(key), max(key) FROM output").fetchone()
        return found if self.rows else None

    def key_of(self, row: Row) -> Key:
        """Return what a row is known by: as the output's are, where it can be.

        Raises:
            ValueError: it has neither an id nor an identity, or an id that is none.
        """
        key, identity = self._schema.key, self._schema.identity
        if key in row and (self.by_ids or identity not in row):
            return read_id(row[key])
        if identity is None or identity not in row:
            raise ValueError(f"a row of {self._schema.name} has no column {key}: without it nobody knows which it is")
        return str(row[identity])

    def digest_of(self, row: Row) -> bytes:
        """Return the digest of a row of the output, of what can be compared.

        An empty text and nothing are one where a shop may send the same for both, so that both flavours agree. So are a
        list or a record and its JSON, in which tables hold those of columns that nobody declared.
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

    def digest_of_sent(self, row: Row) -> bytes:
        """Return the digest of a row as the server sent it, of the columns that the output has."""
        if self._typed:
            row, _ = typed_row(self._schema, row)
        return self.digest_of({name: row[name] for name in row.keys() & self.columns})

    def lookup(self, window: IdRange, sent: Mapping[Key, bytes]) -> dict[Key, bytes]:
        """Return the digests of the output's rows in a window; of rows without ids those with the keys of the shop's.

        Args:
            window: the ids, inclusive.
            sent: the digests of the shop's rows. Of several rows with one key, each stands for another one of the
                shop's: best one that is the same.
        """
        if self.by_ids:
            within = "SELECT key, digest FROM output WHERE key BETWEEN ? AND ?"
            return dict(self._database.execute(within, (window.first, window.last)))
        held: dict[Key, bytes] = {}
        for pair in sent.items():
            best = "SELECT rowid, digest FROM output WHERE key = ? AND seen IS NULL ORDER BY digest = ? DESC LIMIT 1"
            for place, digest in self._database.execute(best, pair).fetchall():
                self._database.execute("UPDATE output SET seen = TRUE WHERE rowid = ?", (place,))
                held[pair[0]] = digest
        return held

    def unseen(self) -> Iterator[tuple[Key, bool]]:
        """Yield the keys of rows without ids that were never looked up, and whether another row with it was."""
        if not self.by_ids:
            other = "SELECT 1 FROM output AS other WHERE other.key = output.key AND other.seen"
            left = f"SELECT key, EXISTS ({other}) FROM output WHERE seen IS NULL ORDER BY key"  # noqa: S608  a constant
            yield from ((key, bool(known)) for key, known in self._database.execute(left))

    def repeated(self) -> Iterator[Key]:
        """Yield the ids that the output has more than once."""
        return self._keys("SELECT key FROM output WHERE again ORDER BY key")

    def populated(self, width: int) -> list[int]:
        """Return the numbers of the windows of that width that hold rows of the output, in order."""
        return list(self._keys("SELECT DISTINCT key / ? FROM output ORDER BY 1", width))

    def _keys(self, query: str, *parameters: int) -> Iterator[Any]:
        return (key for (key,) in self._database.execute(query, parameters))

    def _indexed(self, row: Row) -> tuple[Key, bytes]:
        self.rows += 1
        self.columns.update(row)
        return self.key_of(row), self.digest_of(row)


@dataclass(frozen=True, slots=True)
class Sample:
    """Which ids to ask about, of all.

    Attributes:
        ranges: the ids, inclusive, in order.
        populated: windows among them in which the output has rows, and how many there are in all.
        empty: windows among them in which it has none.
        width: of the windows, in ids.
        end: the first id of the last range, from which on everything is asked for.
    """

    ranges: tuple[IdRange, ...]
    populated: tuple[int, int]
    empty: int
    width: int
    end: int

    def __str__(self) -> str:
        some, of = self.populated
        return (
            f"{some} of {of} windows of {self.width:,} ids that hold rows, {self.empty} of those that hold none, and "
            f"all from id {self.end} on"
        )


def draw_sample(index: Index, fraction: float, span: IdRange, seed: int) -> Sample:
    """Draw windows of ids: a fraction of those in which the output has rows, and some in which it has none.

    What is behind the output's last row is always asked for: that is where new rows come.

    Args:
        index: of the output.
        fraction: more than 0, at most 1.
        span: the ids that the dump covered, inclusive.
        seed: the same one draws the same windows.

    Raises:
        ValueError: the rows carry no id.
    """
    if not index.by_ids:
        raise ValueError("these rows carry no id, so none can be drawn from their ids: compare all, without a sample")
    for width in WIDTHS:
        windows = index.populated(width)
        if len(windows) >= ENOUGH_WINDOWS:
            break
    random = Random(seed)  # noqa: S311  no secret: an even spread
    chosen = set(random.sample(windows, min(len(windows), ceil(fraction * len(windows)))))
    populated = set(windows)
    top = max(int(index.bounds[1]) if index.bounds else -1, span.first - 1)
    first, beyond = span.first // width, max(windows, default=span.first // width - 1) + 1
    blank = (beyond - first) - len(windows)
    wanted = min(blank, max(FEWEST_EMPTY, ceil(fraction * len(windows) / 2)))
    empty: set[int] = set()
    while len(empty) < wanted:
        number = random.randrange(first, beyond)
        if number not in populated:
            empty.add(number)
    ranges = [IdRange(number * width, min(number * width + width - 1, top)) for number in sorted(chosen | empty)]
    if top < span.last:
        ranges.append(IdRange(top + 1, span.last))
    within = tuple(shared for one in ranges if (shared := one.intersection(span)))
    return Sample(within, (len(chosen), len(windows)), len(empty), width, top + 1)


def _parsed(value: object) -> object:
    """Return a list or a record that is written as JSON, and any other value as it is."""
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        with suppress(orjson.JSONDecodeError):
            return orjson.loads(value)
    return value


def _decimal(value: object) -> str:
    """Return a decimal without what only looks different: zeros at its end."""
    if isinstance(value, Decimal):
        return str(value.normalize())
    raise TypeError(f"{value!r} cannot be compared")
