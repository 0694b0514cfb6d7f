"""Whose turn it is to call the server: so many calls under way at once, and a rest after each.

A call is under way until its first row arrives: PHP has then built the whole reply, and computes no more. So with one
call at a time no time is lost between two of them, and yet the server never works on two. It knows no rows and no ids.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Turn:
    """One call.

    Attributes:
        waited: seconds from the request to the first row, or to the end where none came; None until then.
        seconds: from the request to the end; 0.0 until then.
    """

    def __init__(self, leave: Callable[[float], None], watch: Callable[[], None]) -> None:
        self.waited: float | None = None
        self.seconds = 0.0
        self._began = time.monotonic()
        self._leave = leave
        self._watch = watch

    def arrived(self) -> None:
        """A row arrived."""
        if self.waited is None:
            self._over()
        self._watch()

    def end(self) -> None:
        """Nothing more will."""
        self.seconds = time.monotonic() - self._began
        if self.waited is None:
            self._over()

    def _over(self) -> None:
        self.waited = time.monotonic() - self._began
        self._leave(self.waited)


class Turnstile:
    """Lets so many calls be under way at once, and each place rest after its call.

    Attributes:
        limit: calls under way at once, at least 1.
    """

    def __init__(self, limit: int = 1, nice: float = 0.0) -> None:
        """Begin.

        Args:
            limit: calls under way at once, at least 1.
            nice: how long a place rests after a call, in times of what the call took.
        """
        self.limit = limit
        self._nice = nice
        self._under_way = 0
        self._resting: list[float] = []
        self._left = threading.Condition()

    @contextmanager
    def call(self, watch: Callable[[], None] = lambda: None) -> Iterator[Turn]:
        """Wait for a place, and hold it until the first row of one call, or until it ends.

        Args:
            watch: called at every row.
        """
        self._enter()
        turn = Turn(self._leave, watch)
        try:
            yield turn
        finally:
            turn.end()

    def _enter(self) -> None:
        with self._left:
            while True:
                now = time.monotonic()
                while self._resting and self._resting[0] <= now:
                    heappop(self._resting)
                if self._under_way + len(self._resting) < self.limit:
                    self._under_way += 1
                    return
                self._left.wait(self._resting[0] - now if self._resting else None)

    def _leave(self, seconds: float) -> None:
        with self._left:
            self._under_way -= 1
            if self._nice:
                heappush(self._resting, time.monotonic() + self._nice * seconds)
            self._left.notify_all()
