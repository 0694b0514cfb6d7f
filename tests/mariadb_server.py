"""A MariaDB for the tests: Debian's server in a temporary folder, on a socket only, stopped at the end of a block."""

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

_PROGRAMS = ("mariadbd", "mariadb-install-db")
_START_TIMEOUT = 60.0
"""Seconds until a server must be ready."""
_NUMBERS = count(1)


@dataclass(frozen=True, slots=True)
class MariaDb:
    """A running server.

    Attributes:
        socket: the path of its socket; root needs no password.
    """

    socket: str

    def url(self, name: str = "", user: str = "root") -> str:
        """Return the address of a database, by default of a new one."""
        return f"mysql://{user}@/{name or f'test_{next(_NUMBERS)}'}?unix_socket={quote(self.socket)}"

    def connect(self, **options: Any) -> pymysql.Connection[Any]:
        """Return a connection, in autocommit mode, by default as root."""
        import pymysql  # noqa: PLC0415 -- may be missing where these tests are skipped

        return pymysql.connect(**{"unix_socket": self.socket, "user": "root", "autocommit": True, **options})

    def run(self, *statements: str) -> list[str]:
        """Execute statements as root, and return the first column of the rows of the last one."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return [str(row[0]) for row in cursor.fetchall()]


@contextmanager
def running_mariadb() -> Iterator[MariaDb]:
    """Run a server without databases; if none is installed the test is skipped, or fails if `CI` is set."""
    programs = {name: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in _PROGRAMS}
    for name, path in programs.items():
        if path is None:
            missing(f"{name} is not installed")
    needs_pymysql()
    server, install = (programs[name] for name in _PROGRAMS)
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))  # short: the path of a socket has at most 107 characters
    try:
        socket, data = folder / "socket", folder / "data"
        options = ["--no-defaults", f"--datadir={data}"] + ["--user=root"] * (os.geteuid() == 0)
        subprocess.run(  # noqa: S603 -- found above
            [
                str(install),
                *options,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
        )
        options += [f"--socket={socket}", "--skip-networking", "--performance-schema=OFF", "--skip-log-bin"]
        options += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"]
        with (
            (folder / "log").open("wb") as log,
            subprocess.Popen(  # noqa: S603 -- found above
                [str(server), *options], stdout=log, stderr=log
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
    """Wait until the server is ready."""
    deadline = time.monotonic() + _START_TIMEOUT
    while b"ready for connections" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"mariadbd does not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
