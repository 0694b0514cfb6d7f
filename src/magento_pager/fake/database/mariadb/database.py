"""The rows, kept by MariaDB in tables that are made when the database is opened and dropped when it is closed.

Rows are made up by the other database, SQLite's, and copied here; what is asked, inserted and changed afterwards is
between the caller and MariaDB. Several threads may read and write at once: each reader sees the tables as they were
when its statement began, writers take turns. Rows are streamed, never gathered.
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
from magento_pager.fake.database.changes import checked
from magento_pager.fake.database.mariadb.schema import ATTRIBUTES_OF, creations, own_columns
from magento_pager.fake.database.mariadb.selects import statement, whole
from magento_pager.fake.database.mariadb.server import InvalidRowError, RefusedError, Server
from magento_pager.fake.database.queries import Asked, fatal, refusal
from magento_pager.fake.database.records import looked_up
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
"""Tables that an error names."""
_BEYOND_UTF8 = re.compile("[\U00010000-\U0010ffff]")


class MariaDatabase:
    """The tables of a shop in a MariaDB: takes the calls of `Database`, which keeps them in SQLite.

    Args:
        url: where, as `mysql://user:password@host:port/name`, see `server.read_address`. The database of that name is
            created, and dropped by `close`; or it exists and is empty, and is left empty.

    Raises:
        ValueError: an impossible address, a database that is not empty, or no driver.
        ConnectionError: the server cannot be reached, or refuses the user or the database.
    """

    def __init__(self, url: str) -> None:
        self._server = Server(url)
        self._lock = threading.RLock()
        self._made: list[str] = []
        self._closed = False
        self._owned = self._server.create()
        try:
            self._refuse_tables()
            for name, creation in creations().items():
                with self._server.changing() as connection:
                    connection.query(creation)
                self._made.append(name)
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
        """Drop everything that was made. Replies that are still being read break off.

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
                elif self._made:
                    connection.query(f"DROP TABLE {', '.join(reversed(self._made))}")

    def _refuse_tables(self) -> None:
        """Never touch what somebody else made."""
        found = [str(name) for (name,) in self._asked("SHOW TABLES")]
        if found:
            some = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
            raise ValueError(f"{self._server} is not empty, it has {some}: name one that is empty or does not exist")

    # --- filling -----------------------------------------------------------------------------------------------------

    def populate(self, orders: int | Iterable[int] = 2_000) -> None:
        """Fill an empty database with a made-up shop.

        Args:
            orders: how many orders; or their ids, and then nothing else is made.
        """
        with sqlite.Database() as maker:
            maker.populate(orders)
            self._copy(maker, LISTINGS)

    def fill(self, lists: Mapping[str, Rows]) -> None:
        """Add rows that are given; columns that are not given are made up.

        Raises:
            ValueError: an id comes twice or is no id, or a value does not fit its column.
        """
        with sqlite.Database() as maker:
            maker.fill(lists)
            self._copy(maker, lists)

    def load(self, name: str, ids: Iterable[int], parents: Iterable[int] = (), expected: int = 0) -> None:
        """Add made-up rows; see `Database.load`.

        Raises:
            ValueError: an id comes twice, or is none.
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
        """Make up rows, elsewhere, that come after those that are here and know the orders they belong to."""
        if parents and name != "orders":
            wanted = ", ".join(map(str, parents))
            orders = list(self._asked(f"SELECT * FROM {ORDER.name} WHERE entity_id IN ({wanted})"))
            maker.fill({"orders": Rows(tuple(ORDER.columns), orders)})
        maker.load(name, ids, parents, expected, self.count(name))

    def _copy(self, maker: sqlite.Database, names: Iterable[str]) -> None:
        """Copy lists as they were made, each of them whole or not at all."""
        for name in names:
            with self._changing(name) as cursor:
                for table in (ORDER, ADDRESS) if name == "orders" else (LISTINGS[name].table,):
                    _insert(cursor, table, maker.rows(table))

    # --- changing ----------------------------------------------------------------------------------------------------

    def insert(self, name: str, row: Mapping[str, Cell]) -> int:
        """Add one row while the shop runs.

        Args:
            name: the list.
            row: its columns; those not given are made up. Without `entity_id` it gets the next one.

        Returns:
            Its id.
        """
        with self._lock, sqlite.Database() as maker:
            given, order = row.get("entity_id"), row.get("order_id")
            key = self._next_id(name) if given is None else int(str(given))
            self._make(maker, name, [key], [] if order is None else [int(str(order))])
            maker.update(name, key, row)
            self._copy(maker, [name])
            return key

    def update(self, name: str, entity_id: int, changes: Mapping[str, Cell]) -> bool:
        """Change columns of one row; whether there was such a row.

        `billing_` and `shipping_` before a column of an address change the order's address.

        Raises:
            ValueError: there is no such column, or a value does not fit it.
        """
        table, asked = LISTINGS[name].table, checked(name, changes)
        attributes = ATTRIBUTES_OF[table.name]
        own = {column: _storable(value) for column, value in asked.own.items() if column not in attributes}
        with self._changing(name) as cursor:
            assigned = ", ".join(f"{column} = %s" for column in own) or "entity_id = entity_id"
            sql = f"UPDATE {table.name} SET {assigned} WHERE entity_id = %s"
            if not cursor.execute(sql, (*own.values(), entity_id)):
                return False
            for (kind, column), value in asked.addresses.items():
                sql = f"UPDATE {ADDRESS.name} SET {column} = %s WHERE parent_id = %s AND address_type = %s"
                cursor.execute(sql, (_storable(value), entity_id, kind))
            for column in attributes.keys() & asked.own.keys():
                one = attributes[column]
                sql = f"DELETE FROM {one.table} WHERE entity_id = %s AND attribute_id = %s"
                cursor.execute(sql, (entity_id, one.number))
                _insert_values(cursor, table, column, [(entity_id, asked.own[column])])
            return True

    def delete(self, name: str, entity_id: int) -> bool:
        """Delete one row, and what belongs to it alone; whether there was such a row."""
        with self._changing(name) as cursor:
            return cursor.execute(f"DELETE FROM {LISTINGS[name].table.name} WHERE entity_id = %s", (entity_id,)) > 0

    def duplicate_address(self, order: int, kind: str = "billing") -> None:
        """Give an order a second address of that kind: every list that returns the order fails from now on."""
        columns = ", ".join(one for one in ADDRESS.columns if one != "entity_id")
        with self._changing("orders") as cursor:
            cursor.execute(
                f"INSERT INTO {ADDRESS.name} ({columns})"
                f" SELECT {columns} FROM {ADDRESS.name} WHERE parent_id = %s AND address_type = %s LIMIT 1",
                (order, kind),
            )

    @contextlib.contextmanager
    def _changing(self, name: str) -> Iterator[Cursor]:
        """Change a list: all of it is kept, or nothing.

        Raises:
            ValueError: an id comes twice, or a value does not fit its column.
        """
        try:
            with self._lock, self._server.changing() as connection, connection.cursor() as cursor:
                yield cursor
        except InvalidRowError as error:
            raise ValueError(f"{name}: {error}") from None

    def _next_id(self, name: str) -> int:
        ((number,),) = self._asked(f"SELECT coalesce(max(entity_id), 0) + 1 FROM {LISTINGS[name].table.name}")
        return int(number)

    # --- reading -----------------------------------------------------------------------------------------------------

    def count(self, name: str) -> int:
        """How many rows a list has."""
        ((number,),) = self._asked(f"SELECT count(*) FROM {LISTINGS[name].table.name}")
        return int(number)

    def ids(self, name: str) -> Iterator[int]:
        """The ids of a list, in order."""
        sql = f"SELECT entity_id FROM {LISTINGS[name].table.name} ORDER BY entity_id"
        return (int(number) for (number,) in self._asked(sql))

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
        """The rows that a list call returns; see `Database.select`.

        Raises:
            ShopFault: before the first row: a field, the SQL or the store is refused; while iterating: an order comes
                a second time, because it has two addresses of a kind.
            PhpFatal: before the first row: PHP dies of the query; at any time: the server cannot be reached.
        """
        asked = Asked(profile, flavour, listing, simple, complex, store, nested)
        sql = statement(asked)
        reply = self._server.reading(sql)
        with _refused(asked, sql):
            names = next(reply)
        rows = _once(reply, names) if listing.joined else reply
        return _as_listed(rows, names, asked, sql)

    def record(self, name: str, key: str, *, by_id: bool = False) -> Record | None:
        """One record in full; None if there is none.

        Args:
            name: the list it is of.
            key: its increment id; of a customer the id; of a product the SKU or the id.
            by_id: the key is a product's id, even if it is the SKU of another.

        Raises:
            PhpFatal: the server cannot be reached.
        """
        try:
            return looked_up(name, key, self._find, by_id=by_id)
        except ConnectionError as error:
            raise fatal(str(error)) from None

    def _find(self, table: Table, wanted: Mapping[str, Cell]) -> Record | None:
        """The first row with these values, all columns."""
        where = " AND ".join(f"`e`.`{column}` = %s" for column in wanted)
        reply = self._server.reading(f"{whole(table)} WHERE {where} LIMIT 1", tuple(wanted.values()))
        names = next(reply)
        return next((dict(zip(names, row, strict=True)) for row in reply), None)

    def _asked(self, sql: str) -> Iterator[Sequence[Any]]:
        """The rows of a statement of our own."""
        reply = self._server.reading(sql)
        next(reply)
        return reply


@contextlib.contextmanager
def _refused(asked: Asked, sql: str) -> Iterator[None]:
    """What the server says becomes what the shop makes of it."""
    try:
        yield
    except RefusedError as error:
        raise refusal(asked, str(error), sql) from None
    except ConnectionError as error:
        raise fatal(str(error)) from None


def _insert(cursor: Cursor, table: Table, rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows that have all columns of a table, attributes included."""
    columns = own_columns(table)
    places = [list(table.columns).index(column) for column in columns]
    kept = [[_storable(cell) for cell in row] for row in rows]
    names, values = ", ".join(columns), ", ".join(["%s"] * len(columns))
    cursor.executemany(
        f"INSERT INTO {table.name} ({names}) VALUES ({values})", [[row[place] for place in places] for row in kept]
    )
    key = list(table.columns).index("entity_id")
    for place, column in enumerate(table.columns):
        if column in ATTRIBUTES_OF[table.name]:
            _insert_values(cursor, table, column, ((row[key], row[place]) for row in kept))


def _insert_values(cursor: Cursor, table: Table, code: str, values: Iterable[tuple[int, Cell]]) -> None:
    """Insert the values of an attribute, by id; NULL is no row."""
    one = ATTRIBUTES_OF[table.name][code]
    sql = f"INSERT INTO {one.table} (attribute_id, entity_id, value) VALUES ({one.number}, %s, %s)"
    cursor.executemany(sql, [(key, _storable(value)) for key, value in values if value is not None])


def _storable(value: Cell | tuple[str, ...]) -> Any:
    """A value as MySQL keeps it in utf8, which ends at U+FFFF: what is beyond becomes a question mark for each byte.

    >>> _storable("Emoji \N{GRINNING FACE}"), _storable(5)
    ('Emoji ????', 5)
    """
    return _BEYOND_UTF8.sub("????", value) if isinstance(value, str) else value


def _once(rows: Iterable[Sequence[Any]], names: Sequence[str]) -> Iterator[Sequence[Any]]:
    """The rows, as far as a collection of PHP takes them: an order that comes again spoils the reply.

    Raises:
        ShopFault: while iterating.
    """
    key = names.index("entity_id")
    seen: set[int] = set()
    for row in rows:
        if row[key] in seen:
            raise same_id(row[key])
        seen.add(row[key])
        yield row


def _as_listed(rows: Iterable[Sequence[Any]], names: Sequence[str], asked: Asked, sql: str) -> Iterator[Row]:
    """The columns that the list shows, in its order. Of several with one name the last counts, as in PHP."""
    listing, places = asked.listing, {name: place for place, name in enumerate(names)}
    sources = dict(listing.aliases)
    if listing.name in asked.profile.missing_ids:
        del sources[listing.key_field]
    nothing = len(names)
    shown = itemgetter(*(places.get(sources.get(column, column), nothing) for column in listing.columns), nothing)
    with _refused(asked, sql):
        for row in rows:
            found = shown((*row, None))[:-1]
            yield (*found[:-2], *map(sqlite.members, found[-2:])) if listing.name == "products" else found
