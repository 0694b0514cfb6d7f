"""The embedded shop for its users: start it, get its address, change it while it runs, stop it.

Connects the parts and owns everything that exists as long as the shop: database, sessions, settings, log, threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urljoin

from magento_pager.fake.api import Api
from magento_pager.fake.data import read_rows
from magento_pager.fake.database import Database, MariaDatabase
from magento_pager.fake.database.mariadb import Server
from magento_pager.fake.profiles import on_php5, profile
from magento_pager.fake.server import SOAP_PATH, XMLRPC_PATH, WebServer
from magento_pager.fake.sessions import CookieLocks, Sessions
from magento_pager.fake.settings import Settings
from magento_pager.fake.workers import Workers
from magento_pager.fake.xmlrpc import XmlRpc

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack

    from magento_pager.fake.api import Answer, Call, Context
    from magento_pager.fake.declarations import Flavour
    from magento_pager.fake.profiles import Profile
    from magento_pager.fake.settings import MemoryFailure, Outage, TroubleAt, TroubleBy

LOGGED = 100_000
"""Maximum number of calls in the log."""
_POLL = 0.01
"""Seconds between two checks whether the shop must stop."""


class Knobs(TypedDict, total=False):
    """The knobs of a shop, each documented at `Settings`: a field there, an argument and an option elsewhere.

    >>> sorted(Knobs.__annotations__)[:3]
    ['base_url', 'body_limit', 'broken_records']
    """

    latency: float
    latency_per_row: float
    memory_limit_rows: int
    memory_failure: MemoryFailure
    max_execution_time: float
    workers: int
    wsdl_cache: bool
    socket_timeout: float
    session_timeout: float
    body_limit: int
    gzip: bool
    outage: Outage
    denied: Collection[str]
    duplicate_address: Collection[int]
    invalid_utf8: Collection[int]
    control_characters: Collection[int]
    broken_records: Collection[int]
    trouble: str
    trouble_rows: Collection[int]
    trouble_list: str
    trouble_at: TroubleAt
    trouble_by: TroubleBy
    nested_arrays_lost: bool
    no_xmlrpc: bool
    base_url: str
    clock: str


class Shop:
    """An embedded Magento: a real SOAP server on loopback.

    Use it as a context manager, or call `start` and `stop`. A stopped shop can be started again, with its initial data.

    Args:
        profile: the version: a name of `PROFILES`, or a `Profile`.
        flavour: `rpc` or `wsi`.
        orders: the number of made-up orders; the other lists are in proportion.
        rows: a file of rows to serve instead.
        database: a MariaDB for the tables, `mysql://user:password@host:port/name`, or with
            `?unix_socket=/path`; needs the extra `mariadb`. The database of that name is created and, when the shop
            stops, dropped; or it exists and is empty. By default SQLite, with MySQL's reading of queries emulated.
        host: the address to listen on.
        port: 0 takes a free one.
        user: the name of the one API user.
        key: its key.
        php5: behave as an old version on PHP 5 with all of its own classes, see `Profile`.
        broken_wsi: let 1.6.2.0 speak WS-I, in which every filter is broken. Known from source, never seen.
        knobs: see `Settings`.

    Raises:
        ValueError: an unknown profile, a flavour that the version does not speak, an invalid address of a database or
            no driver for it, or an invalid knob.

    >>> with Shop(orders=10) as shop:
    ...     shop.url.endswith("/index.php/api/v2_soap/")
    True
    """

    def __init__(
        self,
        *,
        profile: str | Profile = "20.0.20",
        flavour: Flavour = "rpc",
        orders: int = 2000,
        rows: str | Path | None = None,
        database: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        user: str = "demo",
        key: str = "demo-key",
        php5: bool = False,
        broken_wsi: bool = False,
        **knobs: Unpack[Knobs],
    ) -> None:
        self.user = user
        self.key = key
        self.sessions = Sessions()
        self.cookies = CookieLocks()
        self._orders = orders
        self._rows = rows
        self._open = partial(MariaDatabase, database) if database else Database
        if database:
            Server(database)  # reports a wrong address or a missing driver now, and not when the shop is started
        self._listen = (host, port)
        version = _version(profile, flavour, php5=php5, broken_wsi=broken_wsi)
        self._settings = replace(Settings(profile=version, flavour=flavour), **_plain(knobs))
        self._workers = Workers(self._settings.workers)
        self._log: deque[Call] = deque(maxlen=LOGGED)
        self._ending = threading.Event()
        self._running: _Running | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Make up the data and listen. The shop answers requests when this returns.

        Raises:
            RuntimeError: it is already running.
            OSError: the port is in use, or the server of the database cannot be reached.
            ValueError: the rows are invalid or do not fit their columns, or the database is not empty.
        """
        if self._running is not None:
            raise RuntimeError("The shop is already running.")
        self._ending.clear()
        database = _filled(self._open(), self._orders, self._rows)
        api = Api(database, self.sessions, self.user, self.key, self._ending.wait)
        try:
            server = WebServer(self._listen, self)
        except OSError:
            database.close()
            raise
        thread = threading.Thread(target=server.serve_forever, args=(_POLL,), name="embedded shop")
        self._running = _Running(database, api, XmlRpc(api), server, thread)
        thread.start()

    def stop(self) -> None:
        """Close all connections and delete all data. Do nothing if the shop is not running."""
        running, self._running = self._running, None
        if running is None:
            return
        running.server.hang_up()
        self._ending.set()
        self._workers.close()
        running.server.server_close()
        running.thread.join()
        running.database.close()
        self.sessions.end_all()

    @property
    def base_url(self) -> str:
        """The front page of the shop."""
        return f"http://{self._parts.server.host}/"

    @property
    def url(self) -> str:
        """The address for SOAP calls; with `?wsdl=1` added, that of the WSDL."""
        return urljoin(self.base_url, SOAP_PATH)

    @property
    def xmlrpc_url(self) -> str:
        """The address for XML-RPC calls."""
        return urljoin(self.base_url, XMLRPC_PATH)

    @property
    def database(self) -> Database | MariaDatabase:
        """The tables, to be read and changed while the shop runs."""
        return self._parts.database

    @property
    def settings(self) -> Settings:
        """The current settings."""
        return self._settings

    @property
    def workers(self) -> Workers:
        """The current pool of PHP workers."""
        return self._workers

    @property
    def log(self) -> tuple[Call, ...]:
        """The calls answered so far, oldest first, at most the last 100,000."""
        return tuple(self._log)

    def clear_log(self) -> None:
        """Delete the calls answered so far."""
        self._log.clear()

    def change(self, **knobs: Unpack[Knobs]) -> None:
        """Change settings while the shop runs, from the next request on.

        Raises:
            ValueError: an invalid value.
        """
        changed = replace(self._settings, **_plain(knobs))
        if changed.workers != self._settings.workers:
            self._workers = Workers(changed.workers)
        self._settings = changed

    def set_profile(
        self,
        profile: str | Profile,
        *,
        flavour: Flavour | None = None,
        php5: bool = False,
        broken_wsi: bool = False,
    ) -> None:
        """Switch to another version while running, as after an upgrade; data and sessions stay.

        Args:
            profile: see `Shop`.
            flavour: None keeps it.
            php5: see `Shop`.
            broken_wsi: see `Shop`.

        Raises:
            ValueError: see `Shop`.
        """
        flavour = flavour or self._settings.flavour
        version = _version(profile, flavour, php5=php5, broken_wsi=broken_wsi)
        self._settings = replace(self._settings, profile=version, flavour=flavour)

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer a SOAP request; called by the web server."""
        return self._parts.api.answer(body, context)

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer an XML-RPC request; called by the web server."""
        return self._parts.xmlrpc.answer(body, context)

    def record(self, call: Call) -> None:
        """Add a call to the log; called by the web server."""
        self._log.append(call)

    @property
    def _parts(self) -> _Running:
        """The parts of the running shop."""
        if self._running is None:
            raise RuntimeError("The shop is not running. Start it, or use it in a with statement.")
        return self._running


@dataclass(frozen=True, slots=True)
class _Running:
    """The parts of a running shop."""

    database: Database | MariaDatabase
    api: Api
    xmlrpc: XmlRpc
    server: WebServer
    thread: threading.Thread


def _filled(database: Database | MariaDatabase, orders: int, rows: str | Path | None) -> Database | MariaDatabase:
    """Fill a database with the rows of a file, or with made-up ones, and return it; close it if that fails."""
    try:
        if rows is None:
            database.populate(orders)
        else:
            database.fill(read_rows(Path(rows)))
    except BaseException:
        database.close()
        raise
    return database


def _version(name: str | Profile, flavour: Flavour, *, php5: bool, broken_wsi: bool) -> Profile:
    """Return the profile of a version.

    >>> _version("1.6.2.0", "wsi", php5=False, broken_wsi=False)
    Traceback (most recent call last):
    ...
    ValueError: 1.6.2.0 speaks rpc, not 'wsi'
    """
    version = profile(name) if isinstance(name, str) else name
    if php5:
        version = on_php5(version)
    if broken_wsi:
        version = replace(version, flavours=("rpc", "wsi"))
    if flavour not in version.flavours:
        raise ValueError(f"{version.name} speaks {' and '.join(version.flavours)}, not {flavour!r}")
    return version


def _plain(knobs: Knobs) -> dict[str, Any]:
    """Return the knobs as fields of `Settings`: collections become sets."""
    return {
        name: frozenset(value) if isinstance(value, Collection) and not isinstance(value, str) else value
        for name, value in knobs.items()
    }
