"""The rows in MariaDB, in tables that are created when the database is opened and dropped when it is closed.

Rows are made up by the SQLite database and copied here; later queries, insertions and changes are executed by MariaDB.
Several threads may read and write at the same time: each reader sees the tables as they were when its statement began,
and writers take turns. Rows are streamed.
"""

# ruff: noqa: S608 -- the names in the SQL here are those of `tables` and `schema`, the values are parameters

from __future__ import annotations

import contextlib
import re
import threading
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from magento_pager.fake.data import Rows
from magento_pager.fake.database import sqlite
from magento_pager.fake.database.changes import checked_changes
from magento_pager.fake.database.mariadb.schema import ATTRIBUTES_OF, creations, own_columns
from magento_pager.fake.database.mariadb.selects import statement, whole
from magento_pager.fake.database.mariadb.server import InvalidRowError, RefusedError, Server
from magento_pager.fake.database.queries import ListCall, fatal, refusal
from magento_pager.fake.database.records import find_record
from magento_pager.fake.faults import same_id
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.tables import ADDRESS, ORDER, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from pymysql.cursors import Cursor

    from magento_pager.fake.data import Cell
    from magento_pager.fake.database.records import Record
    from magento_pager.fake.declarations import Flavour
    from magento_pager.fake.filters import Complex, Simple
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.php import Php
    from magento_pager.fake.profiles import Profile

Row: TypeAlias = sqlite.Row

_SHOWN = 5
"""Number of tables that an error message names."""
_BEYOND_UTF8 = re.compile("[\U00010000-\U0010ffff]")


class MariaDatabase:
    """The tables of a shop in a MariaDB, with the methods of `Database`, which stores them in SQLite.

    Args:
        url: `mysql://user:password@host:port/name`, see `server.read_address`. The database is created, and dropped by
            `close`; or it exists and is empty, and is left empty.

    Raises:
        ValueError: the address is invalid, the database is not empty, or the driver is missing.
        ConnectionError: the server cannot be reached, or refuses the user or the database.
    """

    def __init__(self, url: str) -> None:
        self._server = Server(url)
        self._lock = threading.RLock()
        self._created: list[str] = []
        self._closed = False
        self._owned = self._server.create()
        try:
            self._refuse_tables()
            for name, creation in creations().items():
                with self._server.changing() as connection:
                    connection.query(creation)
                self._created.append(name)
        except BaseException as error:
            self.close()
            if isinstance(error, RefusedError):
                raise ConnectionError(f"{self._server}: {error}") from None
            raise

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
        """Drop everything that was created. Replies that are still being read are cut off.

        Raises:
            ConnectionError: the server cannot be reached.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            with self._server.changing() as connection:
                self._server.stop_reading(connection)
                if self._owned:
                    connection.query(f"DROP DATABASE {self._server.name}")
                elif self._created:
                    connection.query(f"DROP TABLE {', '.join(reversed(self._created))}")

    def _refuse_tables(self) -> None:
        """Refuse a database that has tables."""
        tables = [str(name) for (name,) in self._query("SHOW TABLES")]
        if tables:
            names = ", ".join(tables[:_SHOWN]) + (", ..." if len(tables) > _SHOWN else "")
            raise ValueError(f"The {self._server} has tables: {names}. Name an empty or a new database.")

    # --- filling -----------------------------------------------------------------------------------------------------

    def populate(self, orders: int | Iterable[int] = 2_000) -> None:
        """Fill an empty database with a made-up shop.

        Args:
            orders: the number of orders; or their ids, and then no other rows are made.
        """
        with sqlite.Database() as maker:
            maker.populate(orders)
            self._copy(maker, LISTINGS)

    def fill(self, lists: Mapping[str, Rows]) -> None:
        """Add given rows; missing columns are made up.

        Raises:
            ValueError: an id occurs twice or is invalid, or a value does not fit its column.
        """
        with sqlite.Database() as maker:
            maker.fill(lists)
            self._copy(maker, lists)

    def load(self, name: str, ids: Iterable[int], parents: Iterable[int] = (), expected: int = 0) -> None:
        """Add made-up rows; see `Database.load`.

        Raises:
            ValueError: an id occurs twice, or is invalid.
        """
        with self._lock, sqlite.Database() as maker:
            self._make(maker, name, ids, list(parents), expected)
            self._copy(maker, [name])

    def _make(
        self,
        maker: sqlite.Database,
        name: str,
        ids: Iterable[int],
        parents: Sequence[int] = (),
        expected: int = 0,
    ) -> None:
        """Make up rows in SQLite that follow the existing ones and belong to existing orders."""
        if parents and name != "orders":
            parent_ids = ", ".join(map(str, parents))
            orders = list(self._query(f"SELECT * FROM {ORDER.name} WHERE entity_id IN ({parent_ids})"))
            maker.fill({"orders": Rows(tuple(ORDER.columns), orders)})
        maker.load(name, ids, parents, expected, self.count(name))

    def _copy(self, maker: sqlite.Database, names: Iterable[str]) -> None:
        """Copy lists from SQLite, each of them completely or not at all."""
        for name in names:
            with self._changing(name) as cursor:
                for table in (ORDER, ADDRESS) if name == "orders" else (LISTINGS[name].table,):
                    _insert(cursor, table, maker.rows(table))

    # --- changing ----------------------------------------------------------------------------------------------------

    def insert(self, name: str, row: Mapping[str, Cell]) -> int:
        """Add one row while the shop runs.

        Args:
            name: the list.
            row: values by column; missing ones are made up. Without `entity_id` it gets the next id.

        Returns:
            The id of the row.
        """
        with self._lock, sqlite.Database() as maker:
            entity_id, order = row.get("entity_id"), row.get("order_id")
            key = self._next_id(name) if entity_id is None else int(str(entity_id))
            self._make(maker, name, [key], [] if order is None else [int(str(order))])
            maker.update(name, key, row)
            self._copy(maker, [name])
            return key

    def update(self, name: str, entity_id: int, changes: Mapping[str, Cell]) -> bool:
        """Change columns of one row, and return whether the row exists.

        `billing_` and `shipping_` before a column of an address change the order's address.

        Raises:
            ValueError: there is no such column, or a value does not fit it.
        """
        table, checked = LISTINGS[name].table, checked_changes(name, changes)
        attributes = ATTRIBUTES_OF[table.name]
        own = {column: _storable(value) for column, value in checked.own.items() if column not in attributes}
        with self._changing(name) as cursor:
            assignments = ", ".join(f"{column} = %s" for column in own) or "entity_id = entity_id"
            sql = f"UPDATE {table.name} SET {assignments} WHERE entity_id = %s"
            if not cursor.execute(sql, (*own.values(), entity_id)):
                return False
            for (kind, column), value in checked.addresses.items():
                sql = f"UPDATE {ADDRESS.name} SET {column} = %s WHERE parent_id = %s AND address_type = %s"
                cursor.execute(sql, (_storable(value), entity_id, kind))
            for column in attributes.keys() & checked.own.keys():
                attribute = attributes[column]
                sql = f"DELETE FROM {attribute.table} WHERE entity_id = %s AND attribute_id = %s"
                cursor.execute(sql, (entity_id, attribute.number))
                _insert_values(cursor, table, column, [(entity_id, checked.own[column])])
            return True

    def delete(self, name: str, entity_id: int) -> bool:
        """Delete one row and the rows that belong to it, and return whether the row existed."""
        with self._changing(name) as cursor:
            return cursor.execute(f"DELETE FROM {LISTINGS[name].table.name} WHERE entity_id = %s", (entity_id,)) > 0

    def duplicate_address(self, order: int, kind: str = "billing") -> None:
        """Add a second address of that kind to an order, so that every list with the order fails from now on."""
        columns = ", ".join(column for column in ADDRESS.columns if column != "entity_id")
        with self._changing("orders") as cursor:
            cursor.execute(
                f"INSERT INTO {ADDRESS.name} ({columns})"
                f" SELECT {columns} FROM {ADDRESS.name} WHERE parent_id = %s AND address_type = %s LIMIT 1",
                (order, kind),
            )

    @contextlib.contextmanager
    def _changing(self, name: str) -> Iterator[Cursor]:
        """Keep all changes of a list inside the block, or none.

        Raises:
            ValueError: an id occurs twice, or a value does not fit its column.
        """
        try:
            with self._lock, self._server.changing() as connection, connection.cursor() as cursor:
                yield cursor
        except InvalidRowError as error:
            raise ValueError(f"{name}: {error}") from None

    def _next_id(self, name: str) -> int:
        ((number,),) = self._query(f"SELECT coalesce(max(entity_id), 0) + 1 FROM {LISTINGS[name].table.name}")
        return int(number)

    # --- reading -----------------------------------------------------------------------------------------------------

    def count(self, name: str) -> int:
        """Return the number of rows in a list."""
        ((number,),) = self._query(f"SELECT count(*) FROM {LISTINGS[name].table.name}")
        return int(number)

    def ids(self, name: str) -> Iterator[int]:
        """Return the ids of a list, in order."""
        sql = f"SELECT entity_id FROM {LISTINGS[name].table.name} ORDER BY entity_id"
        return (int(number) for (number,) in self._query(sql))

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
        """Return the rows that a list call returns; see `Database.select`.

        Raises:
            ShopFault: before the first row: a field, the SQL or the store is refused; while iterating: an order occurs
                twice, because it has two addresses of a kind.
            PhpFatal: before the first row: the query kills PHP; at any time: the server cannot be reached.
        """
        call = ListCall(profile, flavour, listing, simple, complex, store, nested)
        sql = statement(call)
        reply = self._server.reading(sql)
        with _refused(call, sql):
            names = next(reply)
        rows = _once(reply, names) if listing.joined else reply
        return _as_listed(rows, names, call, sql)

    def record(self, name: str, key: str, *, by_id: bool = False) -> Record | None:
        """Return one record in full; None if there is none.

        Args:
            name: its list.
            key: its increment id; for a customer the id; for a product the SKU or the id.
            by_id: the key is a product's id, even if it is the SKU of another product.

        Raises:
            PhpFatal: the server cannot be reached.
        """
        try:
            return find_record(name, key, self._find, by_id=by_id)
        except ConnectionError as error:
            raise fatal(str(error)) from None

    def _find(self, table: Table, values: Mapping[str, Cell]) -> Record | None:
        """Return the first row with these values, with all columns."""
        where = " AND ".join(f"`e`.`{column}` = %s" for column in values)
        reply = self._server.reading(f"{whole(table)} WHERE {where} LIMIT 1", tuple(values.values()))
        names = next(reply)
        return next((dict(zip(names, row, strict=True)) for row in reply), None)

    def _query(self, sql: str) -> Iterator[Sequence[Any]]:
        """Return the rows of a statement that is not from a client."""
        reply = self._server.reading(sql)
        next(reply)
        return reply


@contextlib.contextmanager
def _refused(call: ListCall, sql: str) -> Iterator[None]:
    """Turn errors of the server into those of the shop."""
    try:
        yield
    except RefusedError as error:
        raise refusal(call, str(error), sql) from None
    except ConnectionError as error:
        raise fatal(str(error)) from None


def _insert(cursor: Cursor, table: Table, rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows that have all columns of a table, attributes included."""
    columns = own_columns(table)
    places = [list(table.columns).index(column) for column in columns]
    stored = [[_storable(cell) for cell in row] for row in rows]
    names, values = ", ".join(columns), ", ".join(["%s"] * len(columns))
    cursor.executemany(
        f"INSERT INTO {table.name} ({names}) VALUES ({values})", [[row[place] for place in places] for row in stored]
    )
    key = list(table.columns).index("entity_id")
    for place, column in enumerate(table.columns):
        if column in ATTRIBUTES_OF[table.name]:
            _insert_values(cursor, table, column, ((row[key], row[place]) for row in stored))


def _insert_values(cursor: Cursor, table: Table, code: str, values: Iterable[tuple[int, Cell]]) -> None:
    """Insert the values of an attribute, by id; NULLs have no row."""
    attribute = ATTRIBUTES_OF[table.name][code]
    sql = f"INSERT INTO {attribute.table} (attribute_id, entity_id, value) VALUES ({attribute.number}, %s, %s)"
    cursor.executemany(sql, [(key, _storable(value)) for key, value in values if value is not None])


def _storable(value: Cell | tuple[str, ...]) -> Any:
    """Return a value as MySQL stores it in utf8: characters beyond U+FFFF become a question mark for each byte.

    >>> _storable("Emoji \N{GRINNING FACE}"), _storable(5)
    ('Emoji ????', 5)
    """
    return _BEYOND_UTF8.sub("????", value) if isinstance(value, str) else value


def _once(rows: Iterable[Sequence[Any]], names: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Yield the rows, and refuse an order that occurs twice, as PHP's collections do.

    Raises:
        ShopFault: while iterating, at the second row of an order.
    """
    key = names.index("entity_id")
    keys: set[int] = set()
    for row in rows:
        if row[key] in keys:
            raise same_id(row[key])
        keys.add(row[key])
        yield row


def _as_listed(rows: Iterable[Sequence[Any]], names: Sequence[str], call: ListCall, sql: str) -> Iterator[Row]:
    """Yield rows with the columns of the list, in its order. Of columns with one name the last counts, as in PHP."""
    listing, places = call.listing, {name: place for place, name in enumerate(names)}
    sources = dict(listing.aliases)
    if listing.name in call.profile.missing_ids:
        del sources[listing.key_field]
    null = len(names)  # the place of an additional NULL
    values_of = itemgetter(*(places.get(sources.get(column, column), null) for column in listing.columns), null)
    with _refused(call, sql):
        for row in rows:
            values = values_of((*row, None))[:-1]
            yield (*values[:-2], *map(sqlite.split_ids, values[-2:])) if listing.name == "products" else values
