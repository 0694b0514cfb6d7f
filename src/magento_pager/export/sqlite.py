"""SQLite: a table for each list, in one file for all lists.

The rows of a page and the checkpoint that covers them are one transaction, so each page is in the table exactly once,
whenever a process is killed; there is no FILE.part and no FILE.checkpoint. A table is finished when its row in
`magento_pager_dumps` says so.

- Integers are INTEGER. Decimals are DECIMAL, which SQLite stores as a number: compared and sorted as such, and exact up
  to 15 digits; one with more digits is null and reported. Times are TEXT as in RFC 3339, in UTC,
  `2023-10-01T04:52:26Z`, which sort in order of time. Lists and records are JSON.
- The primary key is the id, or the identity where rows carry no id. A row replaces an existing one with its key.
- A column that is not declared is added, as TEXT, with the first row that has it.

A dump locks the file from start to end, so lists are dumped into it one after the other. Reading the file during a dump
is allowed.
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
"""Digits that SQLite stores exactly, like any IEEE double."""
PATIENCE = 60.0
"""Seconds to wait for another process that writes to the file."""
TYPES: dict[Kind, str] = {"integer": "INTEGER", "decimal": "DECIMAL", "datetime": "TEXT", "text": "TEXT"}


class SqliteOutput(LockedOutput):
    """A list in a database. Creating the object only inspects the file; `begin` and the first page change it.

    With `into_existing`, changed rows are added to a finished table: the table stays finished, the rows of each page
    replace those with their keys, and the checkpoint of the increment is committed with them, under the name `ENTITY
    increment`, until `settle` deletes it.

    The position is the highest id plus one; 0 where rows carry no id.
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
        self._replace_table = False  # drop the existing table with the first page
        super().__init__(path, layout, resume=resume, overwrite=overwrite)

    @property
    def names(self) -> tuple[Path, ...]:
        """Paths of all files that the output uses."""
        return (self.path, self._sibling("-journal"))

    def write(self, rows: Sequence[Row]) -> list[Misfit]:
        """Insert the rows of one page; they replace existing ones with their keys."""
        misfits: list[Misfit] = []
        with as_os_error():
            connection = self._in_transaction()
            if self._replace_table:
                connection.execute(f"DROP TABLE IF EXISTS {self._table}")
                self._replace_table = False
            for start in range(0, len(rows), BATCH):
                batch = rows[start : start + BATCH]
                picked = list(self._layout.picked(batch))
                present = set[str]().union(*picked)
                key, columns = self._prepare_table(connection, picked, present)
                names = [name for name in columns if name in present]  # the others become NULL, in replaced rows too
                sql_names = ", ".join(quoted(columns[name]) for name in names)
                updates = ", ".join(f"{name} = excluded.{name}" for name in map(quoted, columns.values()))
                try:
                    bound: Iterable[Sequence[Any]] = zip(*[self._column(picked, name) for name in names], strict=True)
                except ValueError:  # an invalid value, which the next line reports
                    values = self._layout.values(batch, misfits)
                    bound = [self._bound(row, names, misfits) for row in list(values)]
                connection.executemany(
                    f"INSERT INTO {self._table} ({sql_names}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608  quoted
                    f" ON CONFLICT ({quoted(key)}) DO UPDATE SET {updates}",
                    bound,
                )
        ids = (read_id(row[self._schema.key]) for row in rows if self._schema.key in row)
        self.position = max(self.position, *(number + 1 for number in ids), 0)
        return misfits

    def keep(self, checkpoint: Checkpoint) -> None:
        """Commit the rows of the page with the checkpoint."""
        with self._transaction() as connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {DUMPS} "
                "(name TEXT PRIMARY KEY, state TEXT NOT NULL, checkpoint TEXT NOT NULL)"
            )
            self._set(connection, "unfinished", checkpoint)
        self.saved = checkpoint

    def publish(self) -> None:
        """Mark the table as finished."""
        assert self.saved is not None  # noqa: S101  the last page was kept
        with self._transaction() as connection:
            if not columns_of(connection, self._entity):  # the list has no row
                self._create(connection, self._schema.key)
            self._set(connection, "finished", self.saved)
        self.finished = True

    def settle(self) -> None:
        """Mark the checkpoint as finished; or delete that of an increment, as the table keeps the first dump's."""
        if self.saved is None:
            return
        with self._transaction() as connection:
            if self._into_existing:
                connection.execute(f"DELETE FROM {DUMPS} WHERE name = ?", (self._name,))  # noqa: S608  a constant
            else:
                self._set(connection, "settled", self.saved)

    def close(self) -> None:
        """Close the database, without a page that was not kept."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()  # first: closing the locked descriptor releases all locks of this process
        super().close()

    def tail(self, offset: int) -> Iterator[Row]:
        """Yield the keys of the rows with an id of at least `offset`; those of all rows, where rows carry no id.

        In a table with rows of other dumps, yield no rows without ids: their dump is unknown.
        """
        with closing(connected(self.path)) as connection:
            for key in (name for name, is_key in columns_of(connection, self._entity).items() if is_key):
                rows = connection.execute(f"SELECT {quoted(key)} FROM {self._table}")  # noqa: S608  quoted
                every = not self._into_existing
                yield from (
                    {key: str(value)} for (value,) in rows if (every if isinstance(value, str) else value >= offset)
                )

    def _prepare_table(
        self, connection: sqlite3.Connection, rows: Sequence[Row], present: set[str]
    ) -> tuple[str, dict[str, str]]:
        """Create the table, add missing columns, and return its key and the SQL name of each column."""
        schema, columns = self._schema, columns_of(connection, self._entity)
        if columns and connection.execute(f"SELECT 1 FROM {self._table} LIMIT 1").fetchone() is None:  # noqa: S608  quoted
            connection.execute(f"DROP TABLE {self._table}")  # it was created before a row showed whether rows carry ids
            columns = {}
        if not columns:
            self._create(connection, schema.key if schema.key in rows[0] else schema.identity or schema.key)
            columns = columns_of(connection, self._entity)
        (key,) = (name for name, is_key in columns.items() if is_key)
        if any(key not in row for row in rows):  # SQLite would invent an id
            raise CheckpointMismatchError(
                f"Rows of the table {self._entity} in {self.path} are identified by {key}, which new rows do not "
                f"have. Start over with {option('overwrite')}."
            )
        sql_names = {name_of(sql_name): sql_name for sql_name in columns}
        ordered = () if sql_names.keys() >= present else dict.fromkeys(name for row in rows for name in row)
        for name in (column for column in ordered if column not in sql_names):
            alike = sum(name.lower() == other.lower() for other in sql_names)  # SQLite ignores case
            sql_names[name] = f"{name} ({alike + 1})" if alike else name
            connection.execute(
                f"ALTER TABLE {self._table} ADD COLUMN {quoted(sql_names[name])} {TYPES[schema.kind(name)]}"
            )
        return key, sql_names

    def _create(self, connection: sqlite3.Connection, key: str) -> None:
        definitions = [
            f"{quoted(name)} {TYPES[self._schema.kind(name)]}{' NOT NULL PRIMARY KEY' * (name == key)}"
            for name in dict.fromkeys((*self._layout.declared, key))
        ]
        connection.execute(f"CREATE TABLE {self._table} ({', '.join(definitions)})")

    def _column(self, rows: Sequence[Row], name: str) -> list[Any]:
        """Return the values of a column for SQL, converted all at once where each has the usual format.

        Raises:
            ValueError: a value is invalid.
        """
        kind = self._schema.kind(name)
        cells: list[Any] = [row.get(name) for row in rows]
        if kind == "text":
            return cells if {*map(type, cells)} <= {str, NoneType} else [_bindable(cell) for cell in cells]
        try:
            values = _plain_values(set(cells) - {None, ""}, kind)
        except (TypeError, ValueError):
            return [None if cell is None else _bindable(value_of(cell, kind)) for cell in cells]
        return list(map(values.get, cells))

    def _bound(self, row: Row, columns: Sequence[str], misfits: list[Misfit]) -> list[Any]:
        """Return the values of a row for SQL."""
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

    def _in_transaction(self) -> sqlite3.Connection:
        """Return the connection, in a transaction; open it first for a dump that was already finished."""
        connection = self._connection = self._connection or connected(self.path)
        if not connection.in_transaction:
            connection.execute("BEGIN IMMEDIATE")
        return connection

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        """Yield the connection in a transaction, and commit it."""
        with as_os_error(self.path):
            connection = self._in_transaction()
            yield connection
            connection.execute("COMMIT")

    def _open(self, create: int) -> int:  # noqa: ARG002  a deleted file is created, and not recognised
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _truncate(self) -> None:
        self._connection = connected(self.path)
        self._replace_table = self.saved is None and not self._into_existing

    def _size(self, path: Path) -> int | None:
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is not a regular file. Choose another {option('out')}.")
        return path.stat().st_size if path.exists() else None

    def _inspect(self) -> tuple[Checkpoint | None, bool]:
        dumps, has_table = dict[str, tuple[str, str]](), False
        if self._size(self.path):
            with as_os_error(self.path), closing(connected(self.path)) as connection:
                dumps, has_table = _dumps(connection), bool(columns_of(connection, self._entity))
        state, saved = dumps.get(self._name, ("", ""))
        if self._into_existing and (not has_table or dumps.get(self._entity, ("unfinished", ""))[0] == "unfinished"):
            raise ValueError(
                f"{self.path} has no finished table {self._entity} to add to. Dump all {self._entity} first."
            )
        if state != "unfinished" and not has_table:
            return None, False  # the table was dropped
        if self._resume and (state in {"unfinished", "finished"} or (state == "settled" and not self._overwrite)):
            return decoded(saved.encode(), f"The checkpoint of {self._name} in {self.path}"), state != "unfinished"
        if self._overwrite or (self._into_existing and not state):
            return None, False
        if state == "unfinished":
            raise FileExistsError(
                f"The dump of {self._name} in {self.path} is unfinished. Resume it with {option('resume')}, or start "
                f"over with {option('overwrite')}."
            )
        raise FileExistsError(
            f"{self.path} already has a table {self._entity}. Choose another file, or replace the table with "
            f"{option('overwrite')}."
        )

    def _check(self, saved: Checkpoint) -> None:
        advice = f"Restore the database, or start over with {option('overwrite')}."
        with as_os_error(self.path), closing(connected(self.path)) as connection:
            columns = columns_of(connection, self._entity)
            integrity, count = "ok", 0
            try:
                if columns:
                    (integrity,) = connection.execute(f"PRAGMA quick_check({self._table})").fetchone()
                    (count,) = connection.execute(f"SELECT count(*) FROM {self._table}").fetchone()  # noqa: S608  quoted
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorname != "SQLITE_CORRUPT":
                    raise
                integrity, count = str(error), 0
        if integrity != "ok":
            raise CheckpointMismatchError(f"The table {self._entity} in {self.path} is damaged ({integrity}). {advice}")
        # Rows that share a number are one row of the table, and an increment replaces rows.
        by_ids = not columns or columns.get(self._schema.key)
        if count != saved.counters.rows and by_ids and not self._into_existing:
            raise CheckpointMismatchError(
                f"The table {self._entity} in {self.path} has {count} rows, but its checkpoint counts "
                f"{saved.counters.rows}. {advice}",
                differences=(f"{self._entity} had {saved.counters.rows} rows and now have {count}",),
            )


def _bindable(value: Any) -> str | int | None:
    """Return a value for SQLite.

    Raises:
        ValueError: SQLite would lose digits of it.
    """
    if isinstance(value, Decimal) and len(value.normalize().as_tuple().digits) > EXACT_DIGITS:
        raise ValueError(f"{value} has more than {EXACT_DIGITS} digits")
    return value if value is None or isinstance(value, str | int) else plain(value)


def _plain_values(texts: set[str], kind: Kind) -> dict[str, str | int]:
    """Return the SQLite value of each text in a column.

    Raises:
        TypeError, ValueError: a value is not text, does not have the usual format, or is not a date in the calendar.

    >>> _plain_values({"2023-10-01 04:52:26"}, "datetime"), _plain_values({"-0.5000"}, "decimal")
    ({'2023-10-01 04:52:26': '2023-10-01T04:52:26Z'}, {'-0.5000': '-0.5000'})
    """
    if not all_plain(texts, kind) or (kind == "decimal" and max(map(len, texts), default=0) > EXACT_DIGITS):
        raise ValueError("a value must be converted on its own")
    if kind == "integer":
        return {text: int(text) for text in texts}
    if kind == "decimal":
        return {text: text for text in texts}
    return {text: datetime.fromisoformat(text).isoformat() + "Z" for text in texts}


def connected(path: Path) -> sqlite3.Connection:
    """Return a connection to an existing database, after rolling back the transaction of a killed process.

    Raises:
        ValueError: the file is not a database.
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
                raise ValueError(f"{path} is not an SQLite database. Choose another file.") from None
            raise
    return connection


@contextmanager
def as_os_error(path: Path | None = None) -> Generator[None]:
    """Raise errors of SQLite as OSError, like those of other files."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(errno.EIO, str(error), path and str(path)) from error


def quoted(name: str) -> str:
    """Return a name quoted for SQL.

    >>> quoted('set')
    '"set"'
    """
    return '"' + name.replace('"', '""') + '"'


def name_of(sql_name: str) -> str:
    """Return the name of a column, which has a suffix in SQL where another name differs from it only by case.

    >>> name_of("PONumber"), name_of("ponumber (2)")
    ('PONumber', 'ponumber')
    """
    return sql_name.partition(" (")[0]


def columns_of(connection: sqlite3.Connection, table: str) -> dict[str, bool]:
    """Return the columns of a table, and whether each is its primary key; an empty dict where the table is missing."""
    return {str(column[1]): bool(column[5]) for column in connection.execute(f"PRAGMA table_info({quoted(table)})")}


def finished_tables(path: Path) -> list[str]:
    """Return the names of the finished lists in a database."""
    with closing(connected(path)) as connection:
        return [name for name, (state, _) in _dumps(connection).items() if state != "unfinished" and " " not in name]


def read_table(path: Path, layout: Layout) -> Iterator[Row]:
    """Yield the rows of a table, in order of key.

    Raises:
        ValueError: the database has no finished table of that list.
    """
    entity = layout.schema.name
    if entity not in finished_tables(path):
        raise ValueError(f"{path} has no finished table {entity}.")
    with closing(connected(path)) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute(f"SELECT * FROM {quoted(entity)} ORDER BY rowid"):  # noqa: S608  quoted
            yield layout.restored({name_of(sql_name): row[sql_name] for sql_name in row.keys()})  # noqa: SIM118  not a mapping


def _dumps(connection: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    """Return the state and the checkpoint of each dump, by name."""
    if not columns_of(connection, DUMPS):
        return {}
    return {name: (state, saved) for name, state, saved in connection.execute(f"SELECT * FROM {DUMPS}")}  # noqa: S608
