"""The session table of the shop, and the locks of PHP on its own sessions.

The two are unrelated. A session of the API is a row of a table; each call names it and renews it. A PHP session is a
file named by a cookie, locked while a request that sent the cookie is answered.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Sessions:
    """The sessions of the API, by id, safe to use from several threads.

    Args:
        clock: returns seconds; only differences matter.

    >>> now = [0.0]
    >>> sessions = Sessions(clock=lambda: now[0])
    >>> first = sessions.login("demo", timeout=10)
    >>> now[0] = 9.0
    >>> sessions.renew(first, timeout=10)
    True
    >>> now[0] = 18.0
    >>> sessions.renew(first, timeout=10)
    True
    >>> now[0] = 28.1
    >>> sessions.renew(first, timeout=10)
    False
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._active: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def login(self, user: str, timeout: float, *, length: int = 32) -> str:
        """Open another session of a user, and delete those of the same user that have expired.

        Args:
            user: the name.
            timeout: seconds.
            length: of the id, in characters.
        """
        session = self.draw(length)
        with self._lock:
            limit = self._clock() - timeout
            self._active = {key: row for key, row in self._active.items() if row[0] != user or row[1] >= limit}
            self._active[session] = (user, self._clock())
        return session

    def draw(self, length: int = 32) -> str:
        """Return a new session id without a user, as `startSession` does."""
        return secrets.token_hex(length // 2)

    def renew(self, session: str, timeout: float) -> bool:
        """Return whether a session is open; if so, restart its timeout."""
        with self._lock:
            row = self._active.get(session)
            if row is None or self._clock() - row[1] > timeout:
                return False
            self._active[session] = (row[0], self._clock())
            return True

    def end(self, session: str) -> None:
        """Close a session; do nothing if it is not open."""
        with self._lock:
            self._active.pop(session, None)

    def end_all(self) -> None:
        """Close every session, as a restart of the shop does."""
        with self._lock:
            self._active.clear()

    def __len__(self) -> int:
        with self._lock:
            return len(self._active)


@dataclass(slots=True)
class _CookieLock:
    """The lock of one PHP session, and the number of requests that hold it or wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class CookieLocks:
    """The locks of PHP sessions, by cookie: requests with the same cookie are answered one after another."""

    def __init__(self) -> None:
        self._locks: dict[str, _CookieLock] = {}
        self._lock = threading.Lock()

    @contextmanager
    def held(self, cookie: str | None) -> Iterator[None]:
        """Hold the lock of a cookie, if there is a cookie.

        >>> with CookieLocks().held("9k19"):
        ...     pass
        """
        if cookie is None:
            yield
            return
        with self._lock:
            entry = self._locks.setdefault(cookie, _CookieLock())
            entry.users += 1
        try:
            with entry.lock:
                yield
        finally:
            with self._lock:
                entry.users -= 1
                if not entry.users:
                    del self._locks[cookie]
