"""The pool of PHP workers: a number of places, given out first come, first served.

A SOAP call holds one place and, while PHP has not kept the WSDL, needs a second one for the request in which the shop
fetches its own WSDL. When every place is held by such a call, nobody gets a second one until the first gives up.
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
class _Turn:
    """One who waits."""

    called: threading.Event = field(default_factory=threading.Event)
    granted: bool = False


class Workers:
    """A fair pool.

    Args:
        count: places; 0: without limit.

    >>> pool = Workers(1)
    >>> with pool.place() as first, pool.place(timeout=0) as second:
    ...     first, second
    (True, False)
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._limited = count > 0
        self._waiting: deque[_Turn] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def place(self, timeout: float | None = None) -> Iterator[bool]:
        """Hold a place; gives whether one became free in time.

        Args:
            timeout: seconds to wait; None: until there is one.
        """
        held = not self._limited or self._taken(timeout)
        try:
            yield held
        finally:
            if held and self._limited:
                self._give()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        with self._lock:
            return len(self._waiting)

    def close(self) -> None:
        """Send all away who wait; the shop ends."""
        with self._lock:
            for turn in self._waiting:
                turn.called.set()
            self._waiting.clear()

    def _taken(self, timeout: float | None) -> bool:
        """Take a place, behind all who wait already."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            turn = _Turn()
            self._waiting.append(turn)
        turn.called.wait(timeout)
        with self._lock:
            if not turn.called.is_set():
                self._waiting.remove(turn)
            return turn.granted

    def _give(self) -> None:
        """Give a place back: to the one who waits longest, if anybody does."""
        with self._lock:
            if self._waiting:
                turn = self._waiting.popleft()
                turn.granted = True
                turn.called.set()
            else:
                self._free += 1
