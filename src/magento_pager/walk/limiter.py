"""The limit of concurrent calls to a server, and the pause after each.

A call counts until its first row arrives: PHP has then built the whole reply, and stops computing. So with one call at
a time no time is lost between calls, and the server still never works on two. This module knows no rows and no ids.
"""

from __future__ import annotations

import threading
import time
from heapq import heappop, heappush
from typing import Self
from weakref import WeakSet


class Call:
    """One call, as a context: it starts when a slot is free, and frees the slot at the first row or at the end.

    Attributes:
        waited: seconds from the request to the first row, or to the end if there was none; None until then.
        seconds: from the request to the end; 0.0 until then.
    """

    def __init__(self, limiter: CallLimiter) -> None:
        self.waited: float | None = None
        self.seconds = 0.0
        self._limiter = limiter

    def __enter__(self) -> Self:
        self._limiter.enter()
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.arrived()
        self.seconds = time.monotonic() - self._began

    def arrived(self) -> None:
        """Record that a row arrived; only the first one counts."""
        if self.waited is None:
            self.waited = time.monotonic() - self._began
            self._limiter.leave(self.waited)


class CallsUnderWay:
    """The calls of one shop, shared by all walks over its lists: calls in progress, and slots that are pausing.

    The limit is the highest one of these walks.
    """

    def __init__(self) -> None:
        self.under_way = 0
        self.resting: list[float] = []
        self.changed = threading.Condition()
        self.limiters: WeakSet[CallLimiter] = WeakSet()

    @property
    def free(self) -> bool:
        """Whether another call may start now."""
        while self.resting and self.resting[0] <= time.monotonic():
            heappop(self.resting)
        return self.under_way + len(self.resting) < max(limiter.limit for limiter in self.limiters)


class CallLimiter:
    """Limits the concurrent calls to a shop, and lets each slot pause after its call.

    Attributes:
        limit: concurrent calls, at least 1.
    """

    def __init__(self, limit: int = 1, nice: float = 0.0, calls: CallsUnderWay | None = None) -> None:
        """Begin.

        Args:
            limit: concurrent calls, at least 1.
            nice: how long a slot pauses after a call, as a multiple of the time that the call took.
            calls: shared with other walks over lists of the same shop; None if there are no others.
        """
        self.limit = limit
        self._nice = nice
        self._calls = calls or CallsUnderWay()
        with self._calls.changed:
            self._calls.limiters.add(self)

    def call(self) -> Call:
        """Return a call, which waits for a slot when it is entered."""
        return Call(self)

    def enter(self) -> None:
        """Wait for a slot, and take it."""
        calls = self._calls
        with calls.changed:
            while not calls.free:
                calls.changed.wait(calls.resting[0] - time.monotonic() if calls.resting else None)
            calls.under_way += 1

    def leave(self, seconds: float) -> None:
        """Return a slot, and let it pause after a call that took `seconds`."""
        calls = self._calls
        with calls.changed:
            calls.under_way -= 1
            if self._nice:
                heappush(calls.resting, time.monotonic() + self._nice * seconds)
            calls.changed.notify_all()
