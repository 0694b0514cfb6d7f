"""Whose turn it is to call the server: so many calls under way at once, and a rest after each.

A call is under way until its first row arrives: PHP has then built the whole reply, and computes no more. So with one
call at a time no time is lost between two of them, and yet the server never works on two. It knows no rows and no ids.
"""

from __future__ import annotations

import threading
import time
from heapq import heappop, heappush
from typing import Self
from weakref import WeakSet


class Call:
    """One call, as a context: it begins when there is a place for it, and frees that at the first row or at the end.

    Attributes:
        waited: seconds from the request to the first row, or to the end where none came; None until then.
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
        """Tell that a row arrived."""
        if self.waited is None:
            self.waited = time.monotonic() - self._began
            self._limiter.leave(self.waited)


class CallsUnderWay:
    """What all walks over the lists of one shop know of its calls: how many are under way, and which places rest.

    As many may be under way as the walk that allows the most of them does.
    """

    def __init__(self) -> None:
        self.under_way = 0
        self.resting: list[float] = []
        self.changed = threading.Condition()
        self.limiters: WeakSet[CallLimiter] = WeakSet()

    @property
    def free(self) -> bool:
        """Whether another call may be made now."""
        while self.resting and self.resting[0] <= time.monotonic():
            heappop(self.resting)
        return self.under_way + len(self.resting) < max(one.limit for one in self.limiters)


class CallLimiter:
    """Lets so many calls of a shop be under way at once, and each place rest after its call.

    Attributes:
        limit: calls under way at once, at least 1.
    """

    def __init__(self, limit: int = 1, nice: float = 0.0, calls: CallsUnderWay | None = None) -> None:
        """Begin.

        Args:
            limit: calls under way at once, at least 1.
            nice: how long a place rests after a call, in times of what the call took.
            calls: shared with other walks over lists of the same shop; None where there are none.
        """
        self.limit = limit
        self._nice = nice
        self._calls = calls or CallsUnderWay()
        with self._calls.changed:
            self._calls.limiters.add(self)

    def call(self) -> Call:
        """Return a call, which waits for its place when it is entered."""
        return Call(self)

    def enter(self) -> None:
        """Wait for a place, and take it."""
        calls = self._calls
        with calls.changed:
            while not calls.free:
                calls.changed.wait(calls.resting[0] - time.monotonic() if calls.resting else None)
            calls.under_way += 1

    def leave(self, seconds: float) -> None:
        """Give a place back, and let it rest for a call that took so many seconds."""
        calls = self._calls
        with calls.changed:
            calls.under_way -= 1
            if self._nice:
                heappush(calls.resting, time.monotonic() + self._nice * seconds)
            calls.changed.notify_all()
