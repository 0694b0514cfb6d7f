"""The rows in SQLite, in a temporary file that is deleted when the database is closed.

Several threads may read and write at the same time: each reader has a connection and sees the tables as they were when
it began, as with InnoDB; writers take turns. Rows are streamed.
"""

# ruff: noqa: S608 -- the names in the SQL here are those of `tables`, the values are parameters or made by `reading`

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Sized
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from magento_pager.fake import data
from magento_pager.fake.database import reading
from magento_pager.fake.database.changes import checked_changes, stored
from magento_pager.fake.database.queries import ListCall, plan
from magento_pager.fake.database.records import find_record
from magento_pager.fake.faults import same_id
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.tables import ADDRESS, ORDER, Kind, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from magento_pager.fake.data import Cell, Recipe, Rows
    from magento_pager.fake.database.queries import Query
    from magento_pager.fake.database.records import Record
    from magento_pager.fake.declarations import Flavour
    from magento_pager.fake.filters import Complex, Simple
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.php import Php
    from magento_pager.fake.profiles import Profile

Row: TypeAlias = "tuple[Cell | tuple[str, ...], ...]"
"""One row of a list, in the order of `listing.columns`; the two lists of ids of a product are tuples."""

_LAST_ID = 4294967295
_BATCH = 256
"""Rows fetched at a time."""
_LOAD_BATCH = 50_000
"""Ids loaded at a time."""
_LATE_COLUMNS_ROWS = 20_000
"""Minimum number of rows for adding constant columns after the rows, see `_finish`."""
_SELECTIVE = 5
"""MySQL is assumed to use a secondary index if at most one row in this many matches."""
_INDEX_ROWS = 4_000
"""Minimum number of matching rows for making an index; below, reading the whole table is as fast."""


class Database:
    """The tables of a shop.

    Create it, fill it with `populate` or `fill`, and close it; or use it as a context manager.

    >>> with Database() as database:
    ...     database.populate(orders=10)
    ...     database.count("orders"), list(database.ids("orders"))[:3]
    (10, [3, 4, 6])
    """

    def __init__(self) -> None:
        self._directory = tempfile.mkdtemp(prefix="magento-pager-")
        self._path = str(Path(self._directory, "shop.sqlite"))
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.RLock()
        self._writer = self._connect()
        self._writer.execute("PRAGMA journal_mode = MEMORY")  # until the first reader
        self._unfinished: dict[str, tuple[Table, Recipe]] = {}
        self._shared = False
        self._duplicated: set[int] = set()
        self._closed = False
        self._counts: dict[str, int] = {}
        for name, listing in LISTINGS.items():
            self._create(listing.table, data.RECIPES[name])
        self._create(ADDRESS, data.ADDRESSES[0][0])
        self._writer.execute("CREATE TABLE person (number INTEGER PRIMARY KEY, first, last)")
        self._writer.executemany("INSERT INTO person VALUES (?, ?, ?)", _numbered(data.PEOPLE))
        self._writer.execute("CREATE TABLE view (number INTEGER PRIMARY KEY, store, code, name)")
        self._writer.executemany("INSERT INTO view VALUES (?, ?, ?, ?)", _numbered(data.STORE_VIEWS))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete everything. Replies that are still being read are cut off."""
        with self._lock:
            self._closed = True
            for connection in (self._writer, *self._idle):
                connection.close()
            self._idle.clear()
        shutil.rmtree(self._directory, ignore_errors=True)

    # --- filling -----------------------------------------------------------------------------------------------------

    def populate(self, orders: int | Iterable[int] = 2_000) -> None:
        """Fill an empty database with a made-up shop.

        Args:
            orders: the number of orders; or their ids, and then no other rows are made.
        """
        if not isinstance(orders, int):
            self.load("orders", orders)
            return
        for name, size in data.sizes(orders).items():
            # If there are half as many shipments as orders, they belong to every second order, and so on.
            parents = islice(data.ids(orders), 0, None, max(1, orders // max(1, size)))
            self.load(name, data.ids(size), parents, size)

    def load(
        self,
        name: str,
        ids: Iterable[int],
        parents: Iterable[int] = (),
        expected: int = 0,
        before: int = 0,
    ) -> None:
        """Add made-up rows.

        Args:
            name: the list.
            ids: their ids, 0 to 4294967295, each once, none of an existing row.
            parents: the ids of the orders they belong to; the row's own id if there are fewer.
            expected: the number of rows, if `ids` has no length; decides how close in time they are.
            before: the number of rows of the list in another database; the new ones are later in time.

        Raises:
            ValueError: an id occurs twice, or is invalid.
        """
        table, recipe = LISTINGS[name].table, data.RECIPES[name]
        orders, expected = iter(parents), expected or (len(ids) if isinstance(ids, Sized) else 0)
        pairs = ((number, next(orders, number)) for number in ids)
        with self._lock, self._transaction(name):
            valid = f"CHECK (id BETWEEN 0 AND {_LAST_ID})"
            self._writer.execute(f"CREATE TEMP TABLE fresh (n INTEGER PRIMARY KEY, id INTEGER {valid}, parent INTEGER)")
            if expected < _LATE_COLUMNS_ROWS:
                self._finish_all()
            before += self._count(name)
            while batch := [(before + n, *pair) for n, pair in enumerate(islice(pairs, _LOAD_BATCH))]:
                before += len(batch)
                step = data.step(max(expected, before))
                try:
                    self._writer.executemany("INSERT INTO fresh VALUES (?, ?, ?)", batch)
                    self._make(table, recipe, step)
                except sqlite3.IntegrityError:
                    raise ValueError(f"{name}: an id occurs twice, or is not between 0 and {_LAST_ID}") from None
                if table is ORDER:
                    for addresses, condition in data.ADDRESSES:
                        self._make(ADDRESS, addresses, step, condition)
                self._writer.execute("DELETE FROM fresh")
            self._writer.execute("DROP TABLE fresh")
            self._finish(table)
            self._finish(ADDRESS)

    def fill(self, lists: Mapping[str, Rows]) -> None:
        """Add given rows; missing columns are made up.

        Raises:
            ValueError: an id occurs twice, or is invalid.
        """
        for name, content in lists.items():
            key = content.columns.index("entity_id")
            self.load(name, (int(str(row[key])) for row in content.rows))
            table = LISTINGS[name].table
            columns = [table.columns[column] for column in content.columns]
            with self._lock, self._transaction(name):
                assignments = ", ".join(f"{column} = ?" for column in content.columns)
                sql = f"UPDATE {table.name} SET {assignments} WHERE entity_id = ?"
                self._writer.executemany(sql, ((*map(stored, columns, row), row[key]) for row in content.rows))

    def _create(self, table: Table, recipe: Recipe) -> None:
        """Create a table with the columns that differ from row to row; `_finish` adds the others."""
        self._writer.execute(_create_table(table, recipe.values, {}))
        self._unfinished[table.name] = (table, recipe)

    def _finish(self, table: Table, *, empty: bool = False) -> None:
        """Add the columns that are the same in all rows. Added after the rows, they take no space in them."""
        if (unfinished := self._unfinished.pop(table.name, None)) is None:
            return
        _, recipe = unfinished
        if empty:  # a hundred columns at once are faster than one by one
            self._writer.execute(f"DROP TABLE {table.name}")
            self._writer.execute(_create_table(table, table.columns, recipe.defaults))
            return
        for column in table.columns:
            if column not in recipe.values:
                definition = _column_definition(table, column, recipe.defaults)
                self._writer.execute(f"ALTER TABLE {table.name} ADD COLUMN {definition}")

    def _finish_all(self) -> None:
        """Finish all tables, before rows are read or changed."""
        for table, _ in list(self._unfinished.values()):
            self._finish(table, empty=True)

    def _make(self, table: Table, recipe: Recipe, step: int, condition: str = "1") -> None:
        """Insert the rows that the recipe makes from the ids in `fresh`."""
        columns, values = ", ".join(recipe.values), ", ".join(recipe.values.values())
        defaults = "".join(f", {column}" for column in recipe.defaults) if table.name not in self._unfinished else ""
        constants = "".join(f", {_literal(value)}" for value in recipe.defaults.values()) if defaults else ""
        seeds = f"SELECT n, id, parent, {step} AS step, {data.randoms()} FROM fresh"
        if recipe.derived:
            derived = ", ".join(f"{data.DERIVED[name]} AS {name}" for name in recipe.derived)
            seeds = f"SELECT *, {derived} FROM ({seeds})"
        sql = (
            f"WITH drawn AS {'MATERIALIZED' if recipe.derived else ''} ({seeds})"
            f" INSERT INTO {table.name} ({columns}{defaults}) SELECT {values}{constants} FROM drawn"
            f" CROSS JOIN person ON person.number = a % {len(data.PEOPLE)}"
            f" CROSS JOIN view ON view.number = b % {len(data.STORE_VIEWS)}"
            f" LEFT JOIN {ORDER.name} AS o ON o.entity_id = parent WHERE {condition}"
        )
        self._writer.execute(sql)

    # --- changing ----------------------------------------------------------------------------------------------------

    def insert(self, name: str, row: Mapping[str, Cell]) -> int:
        """Add one row while the shop runs.

        Args:
            name: the list.
            row: values by column; missing ones are made up. Without `entity_id` it gets the next id.

        Returns:
            The id of the row.
        """
        with self._lock, self._transaction(name):
            self._finish_all()
            entity_id = row.get("entity_id")
            key = self._next_id(name) if entity_id is None else int(str(entity_id))
            self.load(name, [key], [int(str(row["order_id"]))] if row.get("order_id") is not None else [])
            self._update(name, key, row)
            return key

    def update(self, name: str, entity_id: int, changes: Mapping[str, Cell]) -> bool:
        """Change columns of one row, and return whether the row exists.

        `billing_` and `shipping_` before a column of an address change the order's address.
        """
        with self._lock, self._transaction(name):
            self._finish_all()
            return self._update(name, entity_id, changes)

    def delete(self, name: str, entity_id: int) -> bool:
        """Delete one row, and return whether the row existed."""
        with self._lock, self._transaction(name):
            if name == "orders":
                self._duplicated.discard(entity_id)
                self._writer.execute(f"DELETE FROM {ADDRESS.name} WHERE parent_id = ?", (entity_id,))
            sql = f"DELETE FROM {LISTINGS[name].table.name} WHERE entity_id = ?"
            return self._writer.execute(sql, (entity_id,)).rowcount > 0

    def duplicate_address(self, order: int, kind: str = "billing") -> None:
        """Add a second address of that kind to an order, so that every list with the order fails from now on."""
        with self._lock, self._transaction("orders"):
            self._finish_all()
            where = "parent_id = ? AND address_type = ? LIMIT 1"
            columns = ", ".join(column for column in ADDRESS.columns if column != "entity_id")
            self._writer.execute(
                f"INSERT INTO {ADDRESS.name} (entity_id, {columns})"
                f" SELECT entity_id + 10000000000, {columns} FROM {ADDRESS.name} WHERE {where}",
                (order, kind),
            )
            self._duplicated.add(order)

    def _update(self, name: str, entity_id: int, changes: Mapping[str, Cell]) -> bool:
        checked = checked_changes(name, changes)
        for (kind, column), value in checked.addresses.items():
            sql = f"UPDATE {ADDRESS.name} SET {column} = ? WHERE parent_id = ? AND address_type = ?"
            self._writer.execute(sql, (value, entity_id, kind))
        assignments = ", ".join(f"{column} = ?" for column in checked.own) or "entity_id = entity_id"
        sql = f"UPDATE {LISTINGS[name].table.name} SET {assignments} WHERE entity_id = ?"
        return self._writer.execute(sql, (*checked.own.values(), entity_id)).rowcount > 0

    def _next_id(self, name: str) -> int:
        sql = f"SELECT coalesce(max(entity_id), 0) + 1 FROM {LISTINGS[name].table.name}"
        return int(self._writer.execute(sql).fetchone()[0])

    # --- reading -----------------------------------------------------------------------------------------------------

    def count(self, name: str) -> int:
        """Return the number of rows in a list."""
        with self._lock:
            if name not in self._counts:
                self._counts[name] = self._count(name)
            return self._counts[name]

    def _count(self, name: str) -> int:
        return int(self._writer.execute(f"SELECT count(*) FROM {LISTINGS[name].table.name}").fetchone()[0])

    def ids(self, name: str) -> Iterator[int]:
        """Return the ids of a list, in order."""
        sql = f"SELECT entity_id FROM {LISTINGS[name].table.name} ORDER BY entity_id"
        return (int(str(row[0])) for row in self._stream(sql))

    def select(
        self,
        profile: Profile,
        flavour: Flavour,
        listing: Listing,
        simple: Simple,
        complex: Complex,  # noqa: A002 -- the API's own word
        *,
        store: str = "",
        nested: Php = None,
    ) -> Iterator[Row]:
        """Return the rows that a list call returns.

        Args:
            profile: the version.
            flavour: `rpc` or `wsi`.
            listing: the list, of that version.
            simple: fields and values of `filter`, in the order sent.
            complex: fields, operators and values of `complex_filter`, in the order sent.
            store: the store of a product list: an id or a code; empty, `0` and `admin` are all stores.
            nested: the filters of a call by XML-RPC, instead of `simple` and `complex`; none if it is not an array.

        Raises:
            ShopFault: before the first row: a field, the SQL or the store is refused.
            PhpFatal: before the first row: the query kills PHP.
        """
        query = plan(ListCall(profile, flavour, listing, simple, complex, store, nested))
        return self._rows(query, listing)

    def record(self, name: str, key: str, *, by_id: bool = False) -> Record | None:
        """Return one record in full; None if there is none.

        Args:
            name: its list.
            key: its increment id; for a customer the id; for a product the SKU or the id.
            by_id: the key is a product's id, even if it is the SKU of another product.
        """
        return find_record(name, key, self._find, by_id=by_id)

    def rows(self, table: Table) -> Iterator[Row]:
        """Return all rows of a table, in the order of `table.columns`."""
        return self._stream(f"SELECT {', '.join(table.columns)} FROM {table.name}")

    def _find(self, table: Table, values: Mapping[str, Cell]) -> Record | None:
        """Return the first row with these values, with all columns."""
        for column in {"increment_id", "sku"} & values.keys():
            self._index(table, column)
        where = " AND ".join(f"{column} = ?" for column in values)
        sql = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {where} LIMIT 1"
        rows = self._stream(sql, tuple(values.values()))
        return next((dict(zip(table.columns, row, strict=True)) for row in rows), None)

    def _rows(self, query: Query, listing: Listing) -> Iterator[Row]:
        """Return the rows of a valid query, after a check for orders with two addresses of a kind."""
        if listing.joined and self._duplicated:
            self._refuse_duplicates(query)
        rows = self._stream(query.select() + self._order(query, listing))
        if listing.name != "products":
            return rows
        return ((*row[:-2], split_ids(row[-2]), split_ids(row[-1])) for row in rows)

    def _refuse_duplicates(self, query: Query) -> None:
        """Raise the fault of a list with an order that has two addresses of a kind, and so two rows with one id."""
        suspects = f"{query.key} IN ({', '.join(map(str, self._duplicated))})"
        sql = f"{query.select(query.key, suspects)} GROUP BY 1 HAVING count(*) > 1 LIMIT 1"
        for (entity_id,) in self._stream(sql):
            raise same_id(entity_id)

    def _order(self, query: Query, listing: Listing) -> str:
        """Return ORDER BY for the order in which MySQL's choice of an index returns the rows, as the query names none.

        MySQL reads along a secondary index that excludes most rows; the rows are then not in the order of ids.
        """
        if not query.driver:
            return ""
        few = self.count(listing.name) // _SELECTIVE
        column = listing.table.columns[query.driver.partition(".")[2]]
        if column.kind is Kind.TIME and few > _INDEX_ROWS:
            self._index(listing.table, column.name)
        sql = f"SELECT count(*) FROM ({query.select('1')} LIMIT {few + 1})"
        ((count,),) = self._stream(sql)
        return f" ORDER BY {query.driver}, {query.key}" if int(str(count)) <= few else ""

    def _index(self, table: Table, column: str) -> None:
        """Make an index at its first use: most shops never need it, and loading is faster without."""
        with self._lock:
            self._writer.execute(f"CREATE INDEX IF NOT EXISTS {table.name}_{column} ON {table.name} ({column})")

    def _stream(self, sql: str, parameters: Sequence[Cell] = ()) -> Iterator[Row]:
        """Yield the rows of a SELECT, on a connection of its own."""
        with self._borrowed() as connection:
            cursor = connection.execute(sql, parameters)
            while batch := cursor.fetchmany(_BATCH):
                yield from batch

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection for reading."""
        with self._lock:
            if not self._shared:
                self._finish_all()
                self._writer.execute("PRAGMA journal_mode = WAL")
                self._shared = True
            connection = self._idle.pop() if self._idle else self._connect()
        try:
            yield connection
        finally:
            with self._lock:
                if self._closed:
                    connection.close()
                else:
                    self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA temp_store = MEMORY")
        reading.register(connection)
        return connection

    @contextlib.contextmanager
    def _transaction(self, name: str) -> Iterator[None]:
        """Keep all changes of a list inside the block, or none; a nested block belongs to the outer one."""
        self._counts.pop(name, None)
        if self._writer.in_transaction:
            yield
            return
        unfinished = dict(self._unfinished)
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._writer.execute("ROLLBACK")
            self._unfinished = unfinished
            raise
        self._writer.execute("COMMIT")


def _numbered(rows: Iterable[Sequence[Cell]]) -> Iterator[tuple[Cell, ...]]:
    """Return rows with their number, from 0, as the first column."""
    return ((number, *row) for number, row in enumerate(rows))


def split_ids(text: Cell | tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids in a text joined by commas; none for an empty text.

    >>> split_ids("3,20"), split_ids("")
    (('3', '20'), ())
    """
    return tuple(text.split(",")) if isinstance(text, str) and text else ()


def _column_definition(table: Table, column: str, defaults: Mapping[str, Cell]) -> str:
    """Return a column with its type: without one SQLite would not use the index of a key that is compared with it."""
    kind = "INTEGER" if table.columns[column].kind is Kind.INT else "TEXT"
    return f"{column} {kind} DEFAULT {_literal(defaults[column])}" if column in defaults else f"{column} {kind}"


def _create_table(table: Table, columns: Iterable[str], defaults: Mapping[str, Cell]) -> str:
    """Return CREATE TABLE. The addresses of an order are next to each other, so that one look-up finds them."""
    definitions = ", ".join(_column_definition(table, column, defaults) for column in columns)
    if table is ADDRESS:
        return (
            f"CREATE TABLE {table.name} ({definitions}, PRIMARY KEY (parent_id, address_type, entity_id)) WITHOUT ROWID"
        )
    return f"CREATE TABLE {table.name} ({definitions}, PRIMARY KEY (entity_id))"


def _literal(value: Cell) -> str:
    """Return a default as SQL."""
    return str(value) if isinstance(value, int | float) else reading.literal(str(value))
