"""The rows, kept by SQLite in a file of its own that goes when the database is closed.

Several threads may read and write at once: each reader has a connection and sees the tables as they were when it
began, as under InnoDB; writers take turns. Rows are streamed, never gathered.
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
from magento_pager.fake.database.changes import checked, stored
from magento_pager.fake.database.queries import Asked, plan
from magento_pager.fake.database.records import looked_up
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
"""Rows that are fetched at a time."""
_LOADED = 50_000
"""Ids that are handed over at a time."""
_WORTH_THE_TRICK = 20_000
"""Rows below which columns are simply written into each row."""
_SELECTIVE = 5
"""MySQL is taken to use a secondary index that leaves one row of so many, or fewer."""
_WORTH_AN_INDEX = 4_000
"""Rows below which reading the whole table is as quick."""


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
        self._writer.execute("PRAGMA journal_mode = MEMORY")  # until somebody else reads
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
        """Delete everything. Replies that are still being read break off."""
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
            orders: how many orders; or their ids, and then nothing else is made.
        """
        if not isinstance(orders, int):
            self.load("orders", orders)
            return
        for name, size in data.sizes(orders).items():
            # Half as many shipments as orders belong to every second order, and so on.
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
            ids: their ids, 0 to 4294967295, none twice, none of a row that exists.
            parents: the ids of the orders they belong to; the row's own id once they are used up.
            expected: how many rows there will be, if `ids` does not know; decides how close in time they are.
            before: how many rows of the list are kept elsewhere; the new ones come after them in time.

        Raises:
            ValueError: an id comes twice, or is none.
        """
        table, recipe = LISTINGS[name].table, data.RECIPES[name]
        orders, expected = iter(parents), expected or (len(ids) if isinstance(ids, Sized) else 0)
        pairs = ((one, next(orders, one)) for one in ids)
        with self._lock, self._transaction(name):
            possible = f"CHECK (id BETWEEN 0 AND {_LAST_ID})"
            self._writer.execute(
                f"CREATE TEMP TABLE fresh (n INTEGER PRIMARY KEY, id INTEGER {possible}, parent INTEGER)"
            )
            if expected < _WORTH_THE_TRICK:
                self._settle()
            before += self._count(name)
            while some := [(before + n, *pair) for n, pair in enumerate(islice(pairs, _LOADED))]:
                before += len(some)
                step = data.step(max(expected, before))
                try:
                    self._writer.executemany("INSERT INTO fresh VALUES (?, ?, ?)", some)
                    self._make(table, recipe, step)
                except sqlite3.IntegrityError:
                    raise ValueError(f"{name}: an id comes twice, or is not between 0 and {_LAST_ID}") from None
                if table is ORDER:
                    for made, condition in data.ADDRESSES:
                        self._make(ADDRESS, made, step, condition)
                self._writer.execute("DELETE FROM fresh")
            self._writer.execute("DROP TABLE fresh")
            self._finish(table)
            self._finish(ADDRESS)

    def fill(self, lists: Mapping[str, Rows]) -> None:
        """Add rows that are given; columns that are not given are made up.

        Raises:
            ValueError: an id comes twice, or is no id.
        """
        for name, given in lists.items():
            key = given.columns.index("entity_id")
            self.load(name, (int(str(row[key])) for row in given.rows))
            table = LISTINGS[name].table
            columns = [table.columns[column] for column in given.columns]
            with self._lock, self._transaction(name):
                assigned = ", ".join(f"{column} = ?" for column in given.columns)
                sql = f"UPDATE {table.name} SET {assigned} WHERE entity_id = ?"
                self._writer.executemany(sql, ((*map(stored, columns, row), row[key]) for row in given.rows))

    def _create(self, table: Table, recipe: Recipe) -> None:
        """Create a table with the columns that differ from row to row; `_finish` adds the others."""
        self._writer.execute(_created(table, recipe.values, {}))
        self._unfinished[table.name] = (table, recipe)

    def _finish(self, table: Table, *, empty: bool = False) -> None:
        """Add the columns that are the same in all rows. Added late, they take no room in the rows that exist."""
        if (unfinished := self._unfinished.pop(table.name, None)) is None:
            return
        _, recipe = unfinished
        if empty:  # a hundred columns at once are quicker than one by one
            self._writer.execute(f"DROP TABLE {table.name}")
            self._writer.execute(_created(table, table.columns, recipe.defaults))
            return
        for column in table.columns:
            if column not in recipe.values:
                declared = _declared(table, column, recipe.defaults)
                self._writer.execute(f"ALTER TABLE {table.name} ADD COLUMN {declared}")

    def _settle(self) -> None:
        """Finish all tables: from here on rows may be read and changed."""
        for table, _ in list(self._unfinished.values()):
            self._finish(table, empty=True)

    def _make(self, table: Table, recipe: Recipe, step: int, condition: str = "1") -> None:
        """Insert the rows that the recipe makes of the ids in `fresh`."""
        columns, values = ", ".join(recipe.values), ", ".join(recipe.values.values())
        defaults = "".join(f", {one}" for one in recipe.defaults) if table.name not in self._unfinished else ""
        made = "".join(f", {_literal(value)}" for value in recipe.defaults.values()) if defaults else ""
        seeds = f"SELECT n, id, parent, {step} AS step, {data.randoms()} FROM fresh"
        if recipe.drawn:
            drawn = ", ".join(f"{data.DRAWN[name]} AS {name}" for name in recipe.drawn)
            seeds = f"SELECT *, {drawn} FROM ({seeds})"
        sql = (
            f"WITH drawn AS {'MATERIALIZED' if recipe.drawn else ''} ({seeds})"
            f" INSERT INTO {table.name} ({columns}{defaults}) SELECT {values}{made} FROM drawn"
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
            row: its columns; those not given are made up. Without `entity_id` it gets the next one.

        Returns:
            Its id.
        """
        with self._lock, self._transaction(name):
            self._settle()
            given = row.get("entity_id")
            key = self._next_id(name) if given is None else int(str(given))
            self.load(name, [key], [int(str(row["order_id"]))] if row.get("order_id") is not None else [])
            self._update(name, key, row)
            return key

    def update(self, name: str, entity_id: int, changes: Mapping[str, Cell]) -> bool:
        """Change columns of one row; whether there was such a row.

        `billing_` and `shipping_` before a column of an address change the order's address.
        """
        with self._lock, self._transaction(name):
            self._settle()
            return self._update(name, entity_id, changes)

    def delete(self, name: str, entity_id: int) -> bool:
        """Delete one row; whether there was such a row."""
        with self._lock, self._transaction(name):
            if name == "orders":
                self._duplicated.discard(entity_id)
                self._writer.execute(f"DELETE FROM {ADDRESS.name} WHERE parent_id = ?", (entity_id,))
            sql = f"DELETE FROM {LISTINGS[name].table.name} WHERE entity_id = ?"
            return self._writer.execute(sql, (entity_id,)).rowcount > 0

    def duplicate_address(self, order: int, kind: str = "billing") -> None:
        """Give an order a second address of that kind: every list that returns the order fails from now on."""
        with self._lock, self._transaction("orders"):
            self._settle()
            where = "parent_id = ? AND address_type = ? LIMIT 1"
            columns = ", ".join(one for one in ADDRESS.columns if one != "entity_id")
            self._writer.execute(
                f"INSERT INTO {ADDRESS.name} (entity_id, {columns})"
                f" SELECT entity_id + 10000000000, {columns} FROM {ADDRESS.name} WHERE {where}",
                (order, kind),
            )
            self._duplicated.add(order)

    def _update(self, name: str, entity_id: int, changes: Mapping[str, Cell]) -> bool:
        asked = checked(name, changes)
        for (kind, column), value in asked.addresses.items():
            sql = f"UPDATE {ADDRESS.name} SET {column} = ? WHERE parent_id = ? AND address_type = ?"
            self._writer.execute(sql, (value, entity_id, kind))
        assigned = ", ".join(f"{column} = ?" for column in asked.own) or "entity_id = entity_id"
        sql = f"UPDATE {LISTINGS[name].table.name} SET {assigned} WHERE entity_id = ?"
        return self._writer.execute(sql, (*asked.own.values(), entity_id)).rowcount > 0

    def _next_id(self, name: str) -> int:
        sql = f"SELECT coalesce(max(entity_id), 0) + 1 FROM {LISTINGS[name].table.name}"
        return int(self._writer.execute(sql).fetchone()[0])

    # --- reading -----------------------------------------------------------------------------------------------------

    def count(self, name: str) -> int:
        """How many rows a list has."""
        with self._lock:
            if name not in self._counts:
                self._counts[name] = self._count(name)
            return self._counts[name]

    def _count(self, name: str) -> int:
        return int(self._writer.execute(f"SELECT count(*) FROM {LISTINGS[name].table.name}").fetchone()[0])

    def ids(self, name: str) -> Iterator[int]:
        """The ids of a list, in order."""
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
        """The rows that a list call returns.

        Args:
            profile: the version that is asked.
            flavour: `rpc` or `wsi`.
            listing: the list, of that version.
            simple: fields and values of `filter`, in the order sent.
            complex: fields, operators and values of `complex_filter`, in the order sent.
            store: the store of a product list: an id or a code; empty, `0` and `admin` are all stores.
            nested: instead of `simple` and `complex`, the filters of a call by XML-RPC; no array: none.

        Raises:
            ShopFault: before the first row: a field, the SQL or the store is refused.
            PhpFatal: before the first row: PHP dies of the query.
        """
        query = plan(Asked(profile, flavour, listing, simple, complex, store, nested))
        return self._rows(query, listing)

    def record(self, name: str, key: str, *, by_id: bool = False) -> Record | None:
        """One record in full; None if there is none.

        Args:
            name: the list it is of.
            key: its increment id; of a customer the id; of a product the SKU or the id.
            by_id: the key is a product's id, even if it is the SKU of another.
        """
        return looked_up(name, key, self._find, by_id=by_id)

    def rows(self, table: Table) -> Iterator[Row]:
        """All rows of a table, in the order of `table.columns`."""
        return self._stream(f"SELECT {', '.join(table.columns)} FROM {table.name}")

    def _find(self, table: Table, wanted: Mapping[str, Cell]) -> Record | None:
        """The first row with these values, all columns."""
        for column in {"increment_id", "sku"} & wanted.keys():
            self._index(table, column)
        where = " AND ".join(f"{column} = ?" for column in wanted)
        sql = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {where} LIMIT 1"
        rows = self._stream(sql, tuple(wanted.values()))
        return next((dict(zip(table.columns, row, strict=True)) for row in rows), None)

    def _rows(self, query: Query, listing: Listing) -> Iterator[Row]:
        """The rows of a query that is known to be sound, apart from orders with two addresses of a kind."""
        if listing.joined and self._duplicated:
            self._refuse_duplicates(query)
        rows = self._stream(query.select() + self._order(query, listing))
        if listing.name != "products":
            return rows
        return ((*row[:-2], members(row[-2]), members(row[-1])) for row in rows)

    def _refuse_duplicates(self, query: Query) -> None:
        """A collection refuses a second row of the same id: an order with two addresses of a kind spoils its page."""
        suspects = f"{query.key} IN ({', '.join(map(str, self._duplicated))})"
        sql = f"{query.select(query.key, suspects)} GROUP BY 1 HAVING count(*) > 1 LIMIT 1"
        for (entity_id,) in self._stream(sql):
            raise same_id(entity_id)

    def _order(self, query: Query, listing: Listing) -> str:
        """ORDER BY for the order in which MySQL's choice of an index gives the rows; nothing asks for one.

        It reads along a secondary index when that index excludes most rows; the rows are then not in the order of ids.
        """
        if not query.driver:
            return ""
        few = self.count(listing.name) // _SELECTIVE
        column = listing.table.columns[query.driver.partition(".")[2]]
        if column.kind is Kind.TIME and few > _WORTH_AN_INDEX:
            self._index(listing.table, column.name)
        sql = f"SELECT count(*) FROM ({query.select('1')} LIMIT {few + 1})"
        ((found,),) = self._stream(sql)
        return f" ORDER BY {query.driver}, {query.key}" if int(str(found)) <= few else ""

    def _index(self, table: Table, column: str) -> None:
        """Make an index at its first use: most shops are never asked for it, and loading is quicker without."""
        with self._lock:
            self._writer.execute(f"CREATE INDEX IF NOT EXISTS {table.name}_{column} ON {table.name} ({column})")

    def _stream(self, sql: str, parameters: Sequence[Cell] = ()) -> Iterator[Row]:
        """The rows of a SELECT, on a connection of its own."""
        with self._borrowed() as connection:
            cursor = connection.execute(sql, parameters)
            while some := cursor.fetchmany(_BATCH):
                yield from some

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading, returned afterwards."""
        with self._lock:
            if not self._shared:
                self._settle()
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
        """All of the changes of a list inside, or none; inside another one, part of it."""
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
    """Rows with their number, from 0, before them."""
    return ((number, *row) for number, row in enumerate(rows))


def members(text: Cell | tuple[str, ...]) -> tuple[str, ...]:
    """The ids in a list joined by commas; none of nothing.

    >>> members("3,20"), members("")
    (('3', '20'), ())
    """
    return tuple(text.split(",")) if isinstance(text, str) and text else ()


def _declared(table: Table, column: str, defaults: Mapping[str, Cell]) -> str:
    """A column with its type: without one SQLite would not compare it with a key by the key's index."""
    kind = "INTEGER" if table.columns[column].kind is Kind.INT else "TEXT"
    return f"{column} {kind} DEFAULT {_literal(defaults[column])}" if column in defaults else f"{column} {kind}"


def _created(table: Table, columns: Iterable[str], defaults: Mapping[str, Cell]) -> str:
    """CREATE TABLE. An order has its addresses beside each other, so that they are found with one look."""
    declared = ", ".join(_declared(table, column, defaults) for column in columns)
    if table is ADDRESS:
        return f"CREATE TABLE {table.name} ({declared}, PRIMARY KEY (parent_id, address_type, entity_id)) WITHOUT ROWID"
    return f"CREATE TABLE {table.name} ({declared}, PRIMARY KEY (entity_id))"


def _literal(value: Cell) -> str:
    """A default as SQL."""
    return str(value) if isinstance(value, int | float) else reading.literal(str(value))
