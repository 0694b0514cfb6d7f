"""A MariaDB server: its address, connections set up as by Magento, and errors as PHP shows them.

The only module that uses the driver, PyMySQL, which is an extra and is imported when a shop first needs it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pymysql

    from magento_pager.fake.data import Cell

    Connection: TypeAlias = pymysql.Connection[Any]

_PORT = 3306
_EXAMPLE = "mysql://USER:PASSWORD@HOST:PORT/NAME, or mysql://USER:PASSWORD@/NAME?unix_socket=PATH"
_BATCH = 256
"""Rows fetched at a time."""

_MEANINGS = {
    "21000": "Cardinality violation",
    "22003": "Numeric value out of range",
    "22007": "Invalid datetime format",
    "23000": "Integrity constraint violation",
    "42000": "Syntax error or access violation",
    "42S02": "Base table or view not found",
    "42S22": "Column not found",
}
"""The text of PDO after an SQLSTATE; `General error` after the others."""
_INVALID = {"22", "23"}
"""The classes of SQLSTATE for a value that does not fit, and for a duplicate key."""


class RefusedError(Exception):
    """The database refuses a statement; the text is that of PDO."""


class InvalidRowError(ValueError):
    """The database refuses a row; the text is its reason."""


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a database.

    Attributes:
        user: the name to log in with.
        password: its password; not shown.
        host: a name or an address; not used with a socket.
        port: of TCP.
        unix_socket: the path of a socket; empty: TCP.
        name: of the database.
    """

    user: str
    password: str = field(repr=False)
    host: str
    port: int
    unix_socket: str
    name: str

    def __str__(self) -> str:
        return f"database {self.name!r} at {self.unix_socket or f'{self.host}:{self.port}'}"


def read_address(url: str) -> Address:
    """Read an address.

    Args:
        url: `mysql://user:password@host:port/name`, or with `?unix_socket=/path`. User, password and name may be
            percent-encoded. The default user is root, the default host localhost, the default port 3306.

    Raises:
        ValueError: the address is invalid. The message does not show it, because it may have a password.

    >>> print(read_address("mysql://shop:secret@db.example/demo"))
    database 'demo' at db.example:3306
    >>> read_address("mysql://me:p%40ss@/demo?unix_socket=/run/mysqld.sock").password
    'p@ss'
    >>> read_address("sqlite:///demo.db")
    Traceback (most recent call last):
    ...
    ValueError: The address of a database has the form mysql://USER:PASSWORD@HOST:PORT/NAME, \
or mysql://USER:PASSWORD@/NAME?unix_socket=PATH.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError:
        raise ValueError(f"The address of a database has the form {_EXAMPLE}.") from None
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    name = unquote(parts.path.removeprefix("/"))
    if parts.scheme != "mysql" or not name or "/" in name or parts.fragment or options.keys() - {"unix_socket"}:
        raise ValueError(f"The address of a database has the form {_EXAMPLE}.")
    return Address(
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        host=parts.hostname or "localhost",
        port=port,
        unix_socket=options.get("unix_socket", ""),
        name=name,
    )


class Server:
    """A MariaDB server, and one database on it for the shop.

    Each reply and each change has a connection of its own, as each request in PHP.

    Args:
        url: its address, see `read_address`. No connection is opened yet.

    Raises:
        ValueError: the address is invalid, or the driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self._address = read_address(url)
        try:
            import pymysql  # noqa: PLC0415 -- an extra
        except ImportError:
            raise ValueError(
                "A shop on MariaDB needs PyMySQL. Run `pip install 'magento-pager[mariadb]'`, or name no database.",
            ) from None
        self._driver = pymysql
        self._reading: set[int] = set()

    def __str__(self) -> str:
        return str(self._address)

    @property
    def name(self) -> str:
        """The name of the database, in backticks."""
        return "`" + self._address.name.replace("`", "``") + "`"

    @contextlib.contextmanager
    def changing(self, *, inside: bool = True) -> Iterator[Connection]:
        """Open a connection for changes: all of them are kept, or none.

        A value that does not fit its column is refused here, and not truncated as for Magento.

        Args:
            inside: use the database; otherwise none.

        Raises:
            ConnectionError: the server cannot be reached, refuses the user or the database, or closed the connection.
            InvalidRowError: in the block: a duplicate key, or a value that does not fit its column.
            RefusedError: in the block: any other error.
        """
        connection = self._connect(sql_mode="STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO", inside=inside)
        try:
            connection.begin()
            yield connection
            connection.commit()
        except self._driver.Error as error:
            if (error.sqlstate or "")[:2] in _INVALID:
                raise InvalidRowError(str(error.args[-1])) from None
            raise self._translated(error) from None
        finally:
            connection.close()  # which rolls back what is not committed

    def reading(self, sql: str, values: Sequence[Cell] = ()) -> Iterator[Sequence[Any]]:
        """Run a query, and yield the names of the columns and then the rows while they are received.

        The first `next` returns the names, or raises any error of the statement.

        Raises:
            RefusedError: the database refuses the statement.
            ConnectionError: the server cannot be reached, or closed the connection.
        """
        connection = self._connect(sql_mode="")  # Magento sets no mode
        number: int = connection.thread_id()  # type: ignore[no-untyped-call]  # its stub has no types
        self._reading.add(number)
        cursor: Any = connection.cursor(self._driver.cursors.SSCursor)
        try:
            cursor.execute(sql, values or None)
            yield tuple(column[0] for column in cursor.description)
            while rows := cursor.fetchmany(_BATCH):
                yield from rows
        except self._driver.Error as error:
            raise self._translated(error) from None
        finally:
            self._reading.discard(number)
            if cursor._result is not None:  # noqa: SLF001
                # The reply was not read to its end: the driver would read the rest, even from a closed connection.
                cursor._result.unbuffered_active = False  # noqa: SLF001
            connection.close()

    def stop_reading(self, connection: Connection) -> None:
        """Stop every reply that is still being read, because a table that is read cannot be dropped."""
        for number in list(self._reading):
            with contextlib.suppress(self._driver.Error):  # the reply has ended
                connection.query(f"KILL {number}")

    def create(self) -> bool:
        """Create the database, and return whether it did not exist before."""
        try:
            with self.changing(inside=False) as connection:
                connection.query(f"CREATE DATABASE {self.name} CHARACTER SET utf8 COLLATE utf8_general_ci")
        except RefusedError:
            return False  # it exists, or the user has no right; whether it can be used shows at its first use
        return True

    def _connect(self, sql_mode: str, *, inside: bool = True) -> Connection:
        """Open a connection in utf8, as Magento does, and in UTC, so that times do not depend on the machine.

        Integers are returned as `int`, all other values as the texts that the server sends.
        """
        kinds = self._driver.constants.FIELD_TYPE
        integers = (kinds.TINY, kinds.SHORT, kinds.INT24, kinds.LONG, kinds.LONGLONG)
        conversions: dict[Any, Any] = {**self._driver.converters.encoders, **dict.fromkeys(integers, int)}
        address = self._address
        try:
            return self._driver.connect(
                user=address.user,
                password=address.password.encode(),
                host=address.host,
                port=address.port,
                unix_socket=address.unix_socket or None,
                database=address.name if inside else None,
                charset="utf8",
                collation="utf8_general_ci",
                sql_mode=sql_mode,
                init_command="SET time_zone = '+00:00'",
                conv=conversions,
                ssl_disabled=bool(address.unix_socket),  # loading certificates takes longer than everything else
                client_flag=self._driver.constants.CLIENT.FOUND_ROWS,  # an unchanged row counts, too
            )
        except self._driver.Error as error:
            raise ConnectionError(f"{self}: {error.args[-1]}") from None

    def _translated(self, error: pymysql.Error) -> Exception:
        """Return the server's error for a statement, with the text of PDO, or a ConnectionError if it is lost.

        Only errors of the server have an SQLSTATE; one of class 70 is sent before the server closes the connection.
        """
        number, text = (*error.args, "", "")[:2]
        state = error.sqlstate or ""
        if not state or state.startswith("70"):
            return ConnectionError(f"{self}: {text or number}")
        return RefusedError(f"SQLSTATE[{state}]: {_MEANINGS.get(state, 'General error')}: {number} {text}")
