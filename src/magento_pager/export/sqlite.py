"""SQLite: a table for each list, in one file that may hold them all.

The rows of a page and the checkpoint that covers them are one transaction, so each page is in the table exactly once,
whenever a process is killed; there is no FILE.part and no FILE.checkpoint. A table is finished when its row in
`magento_pager_dumps` says so.

- Integers are INTEGER. Decimals are DECIMAL, which SQLite keeps as a number: compared and sorted as such, and exact up
  to 15 digits; one that has more is null and reported. Times are TEXT as in RFC 3339, in UTC, `2023-10-01T04:52:26Z`,
  which sort as they follow each other. Lists and records are JSON.
- The primary key is the id, or the identity where rows carry no id. A row that is there already is replaced.
- A column that is not declared is added, as TEXT, when it is first met.

A dump holds a lock on the file from beginning to end, so lists are dumped into it one after the other. Reading it
meanwhile is allowed.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from types import NoneType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from magento_pager.errors import CheckpointMismatchError, option
from magento_pager.export.checkpoints import decoded, encoded
from magento_pager.export.layout import BATCH, plain
from magento_pager.export.outputs import LockedOutput
from magento_pager.export.values import all_plain, value_of
from magento_pager.walk.pages import Misfit
from magento_pager.walk.ranges import read_id

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.export.layout import Layout
    from magento_pager.lists import Kind
    from magento_pager.walk.pages import Row

DUMPS = "magento_pager_dumps"
EXACT_DIGITS = 15
"""Digits that a number of SQLite keeps, as any IEEE double does."""
PATIENCE = 60.0
"""Seconds to wait for whoever else writes to the file."""
TYPES: dict[Kind, str] = {"integer": "INTEGER", "decimal": "DECIMAL", "datetime": "TEXT", "text": "TEXT"}


class SqliteOutput(LockedOutput):
    """A list in a database. Making it only looks at what is there; `begin` and the first page change it.

    Rows that changed since are put into a finished table with `into_existing`: the table stays finished, the rows of
    each page replace those with their keys, and the checkpoint of that dump, which is another one, is committed with
    them, under the name `ENTITY increment`, until `settle` forgets it.

    The position is one above the highest id; 0 where rows carry none.
    """

    def __init__(
        self,
        path: str | Path,
        layout: Layout,
        *,
        resume: bool = False,
        overwrite: bool = False,
        into_existing: bool = False,
    ) -> None:
        self._schema = layout.schema
        self._entity = layout.schema.name
        self._table = quoted(self._entity)
        self._name = f"{self._entity} increment" if into_existing else self._entity
        self._into_existing = into_existing
        self._connection: sqlite3.Connection | None = None
        self._anew = False  # throw away the table that there is, with the first page
        super().__init__(path, layout, resume=resume, overwrite=overwrite)

    @property
    def names(self) -> tuple[Path, ...]:
        """The files that are ours."""
        return (self.path, self._beside("-journal"))

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Insert the rows of one page; those that are there already are replaced."""
        misfits: list[Misfit] = []
        with as_os_error():
            connection = self._begun()
            if self._anew:
                connection.execute(f"DROP TABLE IF EXISTS {self._table}")
                self._anew = False
            for start in range(0, len(rows), BATCH):
                batch = rows[start : start + BATCH]
                picked = list(self._layout.picked(batch))
                there = set[str]().union(*picked)
                key, columns = self._prepared(connection, picked, there)
                names = [name for name in columns if name in there]  # the others are NULL, also in what is replaced
                places = ", ".join(quoted(columns[name]) for name in names)
                updates = ", ".join(f"{place} = excluded.{place}" for place in map(quoted, columns.values()))
                try:
                    bound: Iterable[Sequence[Any]] = zip(*[self._column(picked, name) for name in names], strict=True)
                except ValueError:  # an invalid value, which the next line names
                    values = self._layout.values(batch, misfits)
                    bound = [self._bound(row, names, misfits) for row in list(values)]
                connection.executemany(
                    f"INSERT INTO {self._table} ({places}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608  quoted
                    f" ON CONFLICT ({quoted(key)}) DO UPDATE SET {updates}",
                    bound,
                )
        ids = (read_id(row[self._schema.key]) for row in rows if self._schema.key in row)
        self.position = max(self.position, *(number + 1 for number in ids), 0)
        return misfits

    def keep(self, checkpoint: Checkpoint) -> None:
        """End the transaction of the page, with the checkpoint in it."""
        with self._transaction() as connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {DUMPS} "
                "(name TEXT PRIMARY KEY, state TEXT NOT NULL, checkpoint TEXT NOT NULL)"
            )
            self._set(connection, "unfinished", checkpoint)
        self.saved = checkpoint

    def publish(self) -> None:
        """Say that the table is finished."""
        assert self.saved is not None  # noqa: S101  the last page was kept
        with self._transaction() as connection:
            if not columns_of(connection, self._entity):  # no row was met
                self._create(connection, self._schema.key)
            self._set(connection, "finished", self.saved)
        self.finished = True

    def settle(self) -> None:
        """Mark the checkpoint as that of a finished dump; or forget it, where the table has that of the dump before."""
        if self.saved is None:
            return
        with self._transaction() as connection:
            if self._into_existing:
                connection.execute(f"DELETE FROM {DUMPS} WHERE name = ?", (self._name,))  # noqa: S608  a constant
            else:
                self._set(connection, "settled", self.saved)

    def close(self) -> None:
        """Let go of the database; a page that was not kept is not in it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()  # before the lock's descriptor: closing that lifts the locks of this process
        super().close()

    def tail(self, offset: int) -> Iterator[Row]:
        """Yield the rows with an id from there on, with what they are told apart by; all, where rows carry no id.

        Not the latter in a table with rows of other dumps: there it does not say which came now.
        """
        with closing(connected(self.path)) as connection:
            for key in (name for name, is_key in columns_of(connection, self._entity).items() if is_key):
                rows = connection.execute(f"SELECT {quoted(key)} FROM {self._table}")  # noqa: S608  quoted
                every = not self._into_existing
                yield from ({key: str(one)} for (one,) in rows if (every if isinstance(one, str) else one >= offset))

    def _prepared(
        self, connection: sqlite3.Connection, rows: Sequence[Row], there: set[str]
    ) -> tuple[str, dict[str, str]]:
        """Have a table with all columns of these rows, and return its key, and by name what its columns are called."""
        schema, columns = self._schema, columns_of(connection, self._entity)
        if columns and connection.execute(f"SELECT 1 FROM {self._table} LIMIT 1").fetchone() is None:  # noqa: S608  quoted
            connection.execute(f"DROP TABLE {self._table}")  # it was made before anybody knew whether rows carry ids
            columns = {}
        if not columns:
            self._create(connection, schema.key if schema.key in rows[0] else schema.identity or schema.key)
            columns = columns_of(connection, self._entity)
        (key,) = (name for name, is_key in columns.items() if is_key)
        if any(key not in row for row in rows):  # SQLite would make up an id
            raise CheckpointMismatchError(
                f"the rows in {self._entity} are told apart by {key}, which new ones do not carry: begin anew "
                f"with {option('overwrite')}"
            )
        places = {name_of(place): place for place in columns}
        found = () if places.keys() >= there else dict.fromkeys(name for row in rows for name in row)
        for name in (one for one in found if one not in places):
            alike = sum(name.lower() == other.lower() for other in places)  # which is the same to SQLite
            places[name] = f"{name} ({alike + 1})" if alike else name
            connection.execute(
                f"ALTER TABLE {self._table} ADD COLUMN {quoted(places[name])} {TYPES[schema.kind(name)]}"
            )
        return key, places

    def _create(self, connection: sqlite3.Connection, key: str) -> None:
        definitions = [
            f"{quoted(name)} {TYPES[self._schema.kind(name)]}{' NOT NULL PRIMARY KEY' * (name == key)}"
            for name in dict.fromkeys((*self._layout.declared, key))
        ]
        connection.execute(f"CREATE TABLE {self._table} ({', '.join(definitions)})")

    def _column(self, rows: Sequence[Row], name: str) -> list[Any]:
        """Return the values of a column for the statement, converted at once where all of them are written plainly.

        Raises:
            ValueError: one is invalid.
        """
        kind = self._schema.kind(name)
        cells: list[Any] = [row.get(name) for row in rows]
        if kind == "text":
            return cells if {*map(type, cells)} <= {str, NoneType} else [_bindable(cell) for cell in cells]
        try:
            found = _plain_values(set(cells) - {None, ""}, kind)
        except (TypeError, ValueError):
            return [None if cell is None else _bindable(value_of(cell, kind)) for cell in cells]
        return list(map(found.get, cells))

    def _bound(self, row: Row, columns: Sequence[str], misfits: list[Misfit]) -> list[Any]:
        """Return the values of a row for the statement."""
        bound = []
        for name in columns:
            value = row.get(name)
            try:
                bound.append(_bindable(value))
            except ValueError:
                misfits.append(Misfit(self._layout.label(row), name, plain(value)))
                bound.append(None)
        return bound

    def _set(self, connection: sqlite3.Connection, state: str, checkpoint: Checkpoint) -> None:
        connection.execute(
            f"INSERT OR REPLACE INTO {DUMPS} VALUES (?, ?, ?)",  # noqa: S608  a constant
            (self._name, state, encoded(checkpoint).decode()),
        )

    def _begun(self) -> sqlite3.Connection:
        """Return the connection, with a transaction on its way; a dump that was found to be finished has none yet."""
        connection = self._connection = self._connection or connected(self.path)
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        return connection

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """Yield the connection, and commit."""
        with as_os_error(self.path):
            connection = self._begun()
            yield connection
            connection.execute("COMMIT")

    def _open(self, create: int) -> int:  # noqa: ARG002  one that is gone is made, and found to be another
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _take(self) -> None:
        self._connection = connected(self.path)
        self._anew = self.saved is None and not self._into_existing

    def _size(self, path: Path) -> int | None:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no regular file")
        return path.stat().st_size if path.exists() else None

    def _found(self) -> tuple[Checkpoint | None, bool]:
        dumps, there = dict[str, tuple[str, str]](), False
        if self._size(self.path):
            with as_os_error(self.path), closing(connected(self.path)) as connection:
                dumps, there = _dumps(connection), bool(columns_of(connection, self._entity))
        state, saved = dumps.get(self._name, ("", ""))
        if self._into_existing and (not there or dumps.get(self._entity, ("unfinished", ""))[0] == "unfinished"):
            raise ValueError(f"{self.path} holds no finished {self._entity}: dump them first")
        if state != "unfinished" and not there:
            return None, False  # somebody dropped the table
        if self._resume and (state in {"unfinished", "finished"} or (state == "settled" and not self._overwrite)):
            return decoded(saved.encode(), f"the checkpoint of {self._name} in {self.path}"), state != "unfinished"
        if self._overwrite or (self._into_existing and not state):
            return None, False
        if state == "unfinished":
            raise FileExistsError(
                f"{self._name} in {self.path} is an unfinished dump: go on with {option('resume')}, or throw it away "
                f"with {option('overwrite')}"
            )
        raise FileExistsError(
            f"{self.path} has a table {self._entity} already; choose another name or replace it with "
            f"{option('overwrite')}"
        )

    def _check(self, saved: Checkpoint) -> None:
        advice = f"put the database back as it was, or begin anew with {option('overwrite')}"
        with as_os_error(self.path), closing(connected(self.path)) as connection:
            columns = columns_of(connection, self._entity)
            sound, count = "ok", 0
            try:
                if columns:
                    (sound,) = connection.execute(f"PRAGMA quick_check({self._table})").fetchone()
                    (count,) = connection.execute(f"SELECT count(*) FROM {self._table}").fetchone()  # noqa: S608  quoted
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorname != "SQLITE_CORRUPT":
                    raise
                sound, count = str(error), 0
        if sound != "ok":
            raise CheckpointMismatchError(f"{self._entity} in {self.path} are damaged ({sound}): {advice}")
        # Two rows with one number are one row of the table; an increment replaces rows.
        by_ids = not columns or columns.get(self._schema.key)
        if count != saved.counters.rows and by_ids and not self._into_existing:
            raise CheckpointMismatchError(
                f"{self._entity} in {self.path} have {count} rows, and their checkpoint counts {saved.counters.rows}: "
                f"{advice}",
                differences=(f"{self._entity} had {saved.counters.rows} rows and now have {count}",),
            )


def _bindable(value: Any) -> str | int | None:
    """Return a value as SQLite is given it.

    Raises:
        ValueError: it would lose digits.
    """
    if isinstance(value, Decimal) and len(value.normalize().as_tuple().digits) > EXACT_DIGITS:
        raise ValueError(f"{value} has more than {EXACT_DIGITS} digits")
    return value if value is None or isinstance(value, str | int) else plain(value)


def _plain_values(texts: set[str], kind: Kind) -> dict[str, str | int]:
    """Return what SQLite is given for each text of a column.

    Raises:
        TypeError, ValueError: one is no text, is not written plainly, or is no day of the calendar.

    >>> _plain_values({"2023-10-01 04:52:26"}, "datetime"), _plain_values({"-0.5000"}, "decimal")
    ({'2023-10-01 04:52:26': '2023-10-01T04:52:26Z'}, {'-0.5000': '-0.5000'})
    """
    if not all_plain(texts, kind) or (kind == "decimal" and max(map(len, texts), default=0) > EXACT_DIGITS):
        raise ValueError("one is to be looked at by itself")
    if kind == "integer":
        return {text: int(text) for text in texts}
    if kind == "decimal":
        return {text: text for text in texts}
    return {text: datetime.fromisoformat(text).isoformat() + "Z" for text in texts}


def connected(path: Path) -> sqlite3.Connection:
    """Return a connection to a database that is there. What a killed process left half done is undone.

    Raises:
        ValueError: it is no database.
        OSError: it cannot be opened.
    """
    with as_os_error(path):
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, isolation_level=None, timeout=PATIENCE
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException as error:
            connection.close()
            if isinstance(error, sqlite3.DatabaseError) and error.sqlite_errorname == "SQLITE_NOTADB":
                raise ValueError(f"{path} is no database of SQLite") from None
            raise
    return connection


@contextmanager
def as_os_error(path: Path | None = None) -> Generator[None]:
    """Raise what SQLite could not do as an error like that of any file."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error), path and str(path)) from error


def quoted(name: str) -> str:
    """Return a name as SQL has it, whatever is in it.

    >>> quoted('set')
    '"set"'
    """
    return '"' + name.replace('"', '""') + '"'


def name_of(place: str) -> str:
    """Return the name of a column, which is called otherwise where another differs from it only by case.

    >>> name_of("PONumber"), name_of("ponumber (2)")
    ('PONumber', 'ponumber')
    """
    return place.partition(" (")[0]


def columns_of(connection: sqlite3.Connection, table: str) -> dict[str, bool]:
    """Return the columns of a table, and whether each is its primary key; none where there is no such table."""
    return {str(one[1]): bool(one[5]) for one in connection.execute(f"PRAGMA table_info({quoted(table)})")}


def finished_tables(path: Path) -> list[str]:
    """Return the lists that are finished in a database."""
    with closing(connected(path)) as connection:
        return [name for name, (state, _) in _dumps(connection).items() if state != "unfinished" and " " not in name]


def read_table(path: Path, layout: Layout) -> Iterator[Row]:
    """Yield the rows of a table, in the order of their keys.

    Raises:
        ValueError: there is no finished table of that list.
    """
    entity = layout.schema.name
    if entity not in finished_tables(path):
        raise ValueError(f"{path} holds no finished {entity}")
    with closing(connected(path)) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute(f"SELECT * FROM {quoted(entity)} ORDER BY rowid"):  # noqa: S608  quoted
            yield layout.restored({name_of(place): row[place] for place in row.keys()})  # noqa: SIM118  no mapping


def _dumps(connection: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    """Return by name the state and the checkpoint of each dump."""
    if not columns_of(connection, DUMPS):
        return {}
    return {name: (state, saved) for name, state, saved in connection.execute(f"SELECT * FROM {DUMPS}")}  # noqa: S608
