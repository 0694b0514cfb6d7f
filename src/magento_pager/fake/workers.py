"""The pool of PHP workers: a number of places, first come, first served.

A SOAP call occupies one place and, while PHP has not cached the WSDL, needs a second one for the request in which the
shop fetches its own WSDL. When such calls occupy every place, none of them gets a second one until one times out.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request that waits for a place."""

    ready: threading.Event = field(default_factory=threading.Event)
    granted: bool = False


class Workers:
    """A fair pool.

    Args:
        count: number of places; 0: no limit.

    >>> pool = Workers(1)
    >>> with pool.place() as first, pool.place(timeout=0) as second:
    ...     first, second
    (True, False)
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._limited = count > 0
        self._waiting: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def place(self, timeout: float | None = None) -> Iterator[bool]:
        """Occupy a place; yields whether one became free in time.

        Args:
            timeout: seconds to wait; None: no limit.
        """
        granted = not self._limited or self._take(timeout)
        try:
            yield granted
        finally:
            if granted and self._limited:
                self._release()

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a place."""
        with self._lock:
            return len(self._waiting)

    def close(self) -> None:
        """Wake all waiting requests, without a place, because the shop is stopped."""
        with self._lock:
            for waiter in self._waiting:
                waiter.ready.set()
            self._waiting.clear()

    def _take(self, timeout: float | None) -> bool:
        """Take a place, after all requests that are already waiting; return whether there was one in time."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            waiter = _Waiter()
            self._waiting.append(waiter)
        waiter.ready.wait(timeout)
        with self._lock:
            if not waiter.ready.is_set():
                self._waiting.remove(waiter)
            return waiter.granted

    def _release(self) -> None:
        """Return a place: to the request that has waited longest, if there is one."""
        with self._lock:
            if self._waiting:
                waiter = self._waiting.popleft()
                waiter.granted = True
                waiter.ready.set()
            else:
                self._free += 1
