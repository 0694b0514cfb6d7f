"""Who may call, and for how long: the session table of the shop, and the locks that PHP puts on its own sessions.

The two have nothing to do with each other. A session of the API is a row of a table, named in each call, renewed by
it. A PHP session is a file named by a cookie, locked for as long as a request that sent the cookie is answered.
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
        clock: seconds; only differences count.

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
        self._seen: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def login(self, user: str, timeout: float, *, length: int = 32) -> str:
        """Open one more session of a user, and forget those of the same user that have expired.

        Args:
            user: the name.
            timeout: seconds.
            length: of the id, in characters.
        """
        session = self.draw(length)
        with self._lock:
            limit = self._clock() - timeout
            self._seen = {one: row for one, row in self._seen.items() if row[0] != user or row[1] >= limit}
            self._seen[session] = (user, self._clock())
        return session

    def draw(self, length: int = 32) -> str:
        """An id that belongs to nobody, as `startSession` hands out."""
        return secrets.token_hex(length // 2)

    def renew(self, session: str, timeout: float) -> bool:
        """Whether a session is open; if so, its time starts again."""
        with self._lock:
            row = self._seen.get(session)
            if row is None or self._clock() - row[1] > timeout:
                return False
            self._seen[session] = (row[0], self._clock())
            return True

    def end(self, session: str) -> None:
        """Close a session; closing one that is not open is no mistake."""
        with self._lock:
            self._seen.pop(session, None)

    def end_all(self) -> None:
        """Close every session, as a restart of the shop or an impatient administrator does."""
        with self._lock:
            self._seen.clear()

    def __len__(self) -> int:
        with self._lock:
            return len(self._seen)


@dataclass(slots=True)
class _CookieLock:
    """The lock of one PHP session and how many requests hold it or wait for it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


class CookieLocks:
    """The locks of PHP sessions, by cookie: requests that send the same one are answered one after another."""

    def __init__(self) -> None:
        self._locks: dict[str, _CookieLock] = {}
        self._lock = threading.Lock()

    @contextmanager
    def held(self, cookie: str | None) -> Iterator[None]:
        """Hold the lock of a cookie; no cookie, no lock.

        >>> with CookieLocks().held("9k19"):
        ...     pass
        """
        if cookie is None:
            yield
            return
        with self._lock:
            one = self._locks.setdefault(cookie, _CookieLock())
            one.users += 1
        try:
            with one.lock:
                yield
        finally:
            with self._lock:
                one.users -= 1
                if not one.users:
                    del self._locks[cookie]
