"""Asking ahead: while one page is decoded and written, the server already works on the next.

What lives here: the threads that wait for windows before their turn, how many calls pay, and what becomes of replies
that nobody wants any more. Which windows come next is the walk's to say; what a reply must be like is the reader's.

All decisions are taken by the one thread that walks. The others read one window each, tell that something arrived, and
end; they are daemons, so that a process which is told to end does not wait for an old server's answer.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from magento_pager.errors import FaultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager.walk.flows import Reply, WindowRequest
    from magento_pager.walk.limiter import CallLimiter
    from magento_pager.walk.ranges import IdRange
    from magento_pager.walk.reading import Reader

log = logging.getLogger(__name__)

MOST = 8
"""Calls under way that `auto` tries at most."""
STALLED = "WSDL"  # the fault's code when a call found no second worker for the WSDL it needs
GAIN = 1.25  # of twice as many calls: less is not worth a worker to each
HALF = 0.5  # of what one more call would bring if the server had a worker to spare
ROUNDS = 4  # before a neighbouring number is tried again
LONGEST = 64  # and at most so many, when it never helps


class Tuner:
    """Finds how many calls under way bring the most rows, as congestion control does.

    What so many calls bring is their number over the time that each takes for a row. The number is doubled while that
    rises by `GAIN`; then, every few rounds, one more or one less is tried, and kept if the one call in question brings
    more, or less, than half of its share. A server that computes one call at a time answers two half as fast: nothing
    is gained, and one is what it is asked for. It knows no threads and no clock.

    Attributes:
        limit: calls to have under way.
    """

    def __init__(self, most: int = MOST) -> None:
        self.limit = 1
        self._most = most
        self._samples: list[float] = []
        self._before: tuple[int, float] | None = None
        self._doubling = True
        self._rounds = 0
        self._patience = ROUNDS
        self._upwards = True

    def after(self, limit: int, seconds_per_row: float) -> None:
        """Take a reply into account.

        Args:
            limit: as it was when the call was made; of another than the present one nothing is learnt.
            seconds_per_row: from the request to the first row, over the rows.
        """
        if limit != self.limit:
            return
        self._samples.append(seconds_per_row)
        if len(self._samples) < max(2, limit):
            return
        rate = limit / max(sum(self._samples) / len(self._samples), 1e-9)
        self._samples.clear()
        if self._before is None:
            self._tried_nothing(rate)
        else:
            self._tried(*self._before, rate)

    def _tried_nothing(self, rate: float) -> None:
        """A round at the number that is thought best is over."""
        self._rounds += 1
        if self._doubling:
            self._try(min(2 * self.limit, self._most), rate)
        elif self._rounds >= self._patience:
            self._try(min(self.limit + 1, self._most) if self._upwards else max(self.limit - 1, 1), rate)
            self._upwards = not self._upwards

    def _try(self, limit: int, rate: float) -> None:
        self._rounds = 0
        if limit != self.limit:
            self._before, self.limit = (self.limit, rate), limit

    def _tried(self, limit: int, rate: float, now: float) -> None:
        """A round at another number than `limit`, which brought `rate`, brought `now`."""
        self._before = None
        if self._doubling:
            kept = now >= rate * GAIN
            self._doubling = kept and self.limit < self._most
        elif self.limit > limit:
            kept = now >= rate * (1 + HALF / limit)
        else:
            kept = now >= rate * (1 - HALF / limit)
        self._patience = ROUNDS if kept else min(2 * self._patience, LONGEST)
        if not kept:
            self.limit = limit


class Job:
    """One request, answered by a thread of its own.

    Attributes:
        request: the window, and how to read it.
        limit: calls that might be under way when it began.
        done: True once it ended.
        rows_came: True once a row arrived.
    """

    def __init__(self, request: WindowRequest, limit: int) -> None:
        self.request = request
        self.limit = limit
        self.done = self.rows_came = False
        self._abandoned = False
        self._reply: Reply | None = None
        self._error: BaseException | None = None

    @property
    def answered(self) -> bool:
        """True once a row arrived, or the end."""
        return self.rows_came or self.done

    def result(self) -> Reply:
        """Return the reply, once, for its rows are not kept; or raise what was raised instead."""
        if self._error is not None:
            raise self._error
        reply, self._reply = self._reply, None
        if reply is None:
            raise RuntimeError(f"ids {self.request.window} are still being read, or were taken")
        return reply

    def abandon(self) -> None:
        """End at the next row, as nobody wants them, and send no further request."""
        self._abandoned = True

    def run(self, reader: Reader, limiter: CallLimiter, changed: threading.Condition) -> None:
        """Read the window once; whatever comes of it is for `result`."""
        try:
            with closing(reader.read(self.request, limiter)) as reading:
                next(reading)  # a place was waited for
                while not self._abandoned:
                    next(reading)
                    if not self.rows_came:
                        with changed:
                            self.rows_came = True
                            changed.notify_all()
        except StopIteration as ended:
            self._reply = ended.value
        except BaseException as error:  # noqa: BLE001  - it is raised where the window's turn comes
            self._error = error
        with changed:
            self.done = True
            changed.notify_all()


class ReadAhead:
    """The windows that are being read, in their order.

    Attributes:
        limit: calls that may be under way at once.
    """

    def __init__(self, reader: Reader, limiter: CallLimiter, tuner: Tuner | None = None) -> None:
        """Begin with nothing.

        Args:
            reader: reads windows.
            limiter: counts the calls, these and all others of the walk.
            tuner: says how many may be under way; None to leave it at what the limiter allows.
        """
        self._reader = reader
        self._limiter = limiter
        self._tuner = tuner
        self._changed = threading.Condition()
        self._queue: deque[Job] = deque()
        self._running: list[Job] = []

    @property
    def limit(self) -> int:
        """Calls that may be under way at once."""
        return self._limiter.limit

    def read(self, request: WindowRequest, following: Callable[[IdRange], IdRange | None]) -> Reply:
        """Return the rows of a window; meanwhile those that follow are asked for.

        Args:
            request: the window, and how to read it.
            following: the window to ask for behind another one, likewise; None where that is not known.

        Raises:
            PagerError: as `Reader.read`; what was asked for ahead is dropped.
        """
        if self._queue and not _same(self._queue[0].request, request):
            self.drop()
        job = self._queue.popleft() if self._queue else self._started(request)
        try:
            with self._changed:
                while True:
                    self._running = [one for one in self._running if not one.done]
                    if job.rows_came:
                        self._fill(job, request, following)
                    if job.done:
                        break
                    self._changed.wait()
            reply = job.result()
        except BaseException as error:
            self.drop()
            self._fall_back(error)
            raise
        self._tune(job, reply)
        return replace(reply, ahead=self._queue[0].request.window if self._queue else None)

    def drop(self) -> None:
        """Throw away what was asked for ahead."""
        for job in self._queue:
            job.abandon()
        self._queue.clear()

    def close(self) -> None:
        """Throw away everything."""
        self.drop()
        for job in self._running:
            job.abandon()

    def _fill(self, job: Job, request: WindowRequest, following: Callable[[IdRange], IdRange | None]) -> None:
        """Request as much more as may be under way, up to a window that turned out empty."""
        while len(self._queue) < self.limit + self.limit // 2:  # replies come out of order: some are ready early
            if sum(not one.answered for one in self._running) >= self.limit:
                return
            latest = self._queue[-1] if self._queue else job
            if latest.done and not latest.rows_came:
                return
            window = following(latest.request.window)
            if window is None:
                return
            self._queue.append(self._started(replace(request, window=window)))

    def _started(self, request: WindowRequest) -> Job:
        job = Job(request, self.limit)
        self._running.append(job)
        arguments = (self._reader, self._limiter, self._changed)
        threading.Thread(target=job.run, args=arguments, name=f"ids {request.window}", daemon=True).start()
        return job

    def _tune(self, job: Job, reply: Reply) -> None:
        if self._tuner is not None and reply.rows:
            self._tuner.after(job.limit, reply.waited / len(reply.rows))
            self._limiter.limit = self._tuner.limit

    def _fall_back(self, error: BaseException) -> None:
        """From now on one call at a time, where several starved each other."""
        if isinstance(error, FaultError) and error.code == STALLED and self.limit > 1:
            log.warning(
                "%s: of %d calls at once each needed a second worker of the server, for its WSDL, and got none (%s); "
                "from now on it is asked one at a time",
                error.operation,
                self.limit,
                error.text,
            )
            self._limiter.limit, self._tuner = 1, None


def _same(one: WindowRequest, other: WindowRequest) -> bool:
    return one.window == other.window and one.strategy is other.strategy and one.where == other.where
