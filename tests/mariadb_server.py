"""A MariaDB of the tests' own: Debian's server in a temporary folder, on a socket only, ended when it is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from conftest import missing, needs_pymysql

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pymysql

_NEEDED = ("mariadbd", "mariadb-install-db")
_PATIENCE = 60.0
"""Seconds in which a server must be ready."""
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class MariaDb:
    """A running server.

    Attributes:
        socket: the path of its socket; root needs no password.
    """

    socket: str

    def url(self, name: str = "", user: str = "root") -> str:
        """Return the address of a database, by default of one that nobody else uses."""
        return f"mysql://{user}@/{name or f'test_{next(_NUMBERS)}'}?unix_socket={quote(self.socket)}"

    def connect(self, **options: Any) -> pymysql.Connection[Any]:
        """Return a connection, in autocommit mode; root's unless the options say otherwise."""
        import pymysql  # noqa: PLC0415 -- may be missing where these tests are skipped

        return pymysql.connect(**{"unix_socket": self.socket, "user": "root", "autocommit": True, **options})

    def run(self, *statements: str) -> list[str]:
        """Execute statements as root; the first column of the rows of the last one."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return [str(row[0]) for row in cursor.fetchall()]


@contextmanager
def running_mariadb() -> Iterator[MariaDb]:
    """A server with nothing in it; without one installed the test is skipped, or fails where `CI` is set."""
    found = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in _NEEDED}
    for name, path in found.items():
        if path is None:
            missing(f"{name} is not installed")
    needs_pymysql()
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))  # short: the path of a socket has at most 107 characters
    try:
        socket, data = folder / "socket", folder / "data"
        options = ["--no-defaults", f"--datadir={data}"] + ["--user=root"] * (os.geteuid() == 0)
        subprocess.run(  # noqa: S603 -- found above
            [str(found["mariadb-install-db"]), *options, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            capture_output=True,
        )
        options += [f"--socket={socket}", "--skip-networking", "--performance-schema=OFF", "--skip-log-bin"]
        options += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"]
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(  # noqa: S603 -- found above
                [str(found["mariadbd"]), *options], stdout=log, stderr=log
            ) as process,
        ):
            try:
                _await(process, folder / "log")
                yield MariaDb(str(socket))
            finally:
                process.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server says that it is ready."""
    latest = time.monotonic() + _PATIENCE
    while b"ready for connections" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > latest:
            raise RuntimeError(f"mariadbd does not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
