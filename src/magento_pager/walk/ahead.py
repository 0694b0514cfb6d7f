"""Reading ahead: while one page is decoded and written, the server already works on the next.

What lives here: the threads that read windows before they are needed, the number of concurrent calls that pays off, and
discarding replies that are no longer needed. The walk decides which windows come next; the reader checks the replies.

The walking thread takes all decisions. Each other thread reads one window, signals when a row arrives, and ends. They
are daemon threads, so a process that is stopped does not wait for the reply of a slow server.
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
"""The most concurrent calls that `auto` tries."""
STALLED = "WSDL"  # the fault code of a call that found no second worker for the WSDL it needs
GAIN = 1.25  # throughput that twice as many calls must reach: less is not worth the extra workers
HALF = 0.5  # of the gain of one more call on a server with a free worker
ROUNDS = 4  # before a neighbouring number is tried again
LONGEST = 64  # the most rounds to wait when trying never helps


class Tuner:
    """Finds the number of concurrent calls with the highest throughput, like congestion control.

    The throughput is the number of calls divided by the time that each takes per row. The number is doubled while the
    throughput rises by `GAIN`; then, every few rounds, one call more or less is tried, and kept if that call adds more,
    or less, than half of its fair fraction. A server that computes one call at a time answers two half as fast: nothing
    is gained, and the limit stays at one. It knows no threads and no clock.

    Attributes:
        limit: the number of concurrent calls to use.
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
        """Learn from a reply.

        Args:
            limit: the limit when the call was made; replies from another limit than the present one are ignored.
            seconds_per_row: seconds from the request to the first row, divided by the number of rows.
        """
        if limit != self.limit:
            return
        self._samples.append(seconds_per_row)
        if len(self._samples) < max(2, limit):
            return
        rate = limit / max(sum(self._samples) / len(self._samples), 1e-9)
        self._samples.clear()
        if self._before is None:
            self._end_round(rate)
        else:
            self._end_trial(*self._before, rate)

    def _end_round(self, rate: float) -> None:
        """End a round at the best known number of calls, and maybe start a trial of another number."""
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

    def _end_trial(self, limit: int, rate: float, measured: float) -> None:
        """Keep the tried number if `measured` is enough; else return to `limit`, whose throughput was `rate`."""
        self._before = None
        if self._doubling:
            kept = measured >= rate * GAIN
            self._doubling = kept and self.limit < self._most
        elif self.limit > limit:
            kept = measured >= rate * (1 + HALF / limit)
        else:
            kept = measured >= rate * (1 - HALF / limit)
        self._patience = ROUNDS if kept else min(2 * self._patience, LONGEST)
        if not kept:
            self.limit = limit


class Job:
    """One request, answered by its own thread.

    Attributes:
        request: the window, and how to read it.
        limit: the limit of concurrent calls when it started.
        done: True once it has ended.
        has_rows: True once a row has arrived.
    """

    def __init__(self, request: WindowRequest, limit: int) -> None:
        self.request = request
        self.limit = limit
        self.done = self.has_rows = False
        self._abandoned = False
        self._reply: Reply | None = None
        self._error: BaseException | None = None

    @property
    def answered(self) -> bool:
        """True once a row has arrived, or the request has ended."""
        return self.has_rows or self.done

    def result(self) -> Reply:
        """Return the reply, or raise the error of the request. It works once, because the rows are not kept."""
        if self._error is not None:
            raise self._error
        reply, self._reply = self._reply, None
        if reply is None:
            raise RuntimeError(f"ids {self.request.window} are still being read, or their reply was already returned")
        return reply

    def abandon(self) -> None:
        """End at the next row, because the reply is not needed, and make no further call."""
        self._abandoned = True

    def run(self, reader: Reader, limiter: CallLimiter, changed: threading.Condition) -> None:
        """Read the window once; `result` returns the reply or raises the error."""
        try:
            with closing(reader.read(self.request, limiter)) as reading:
                next(reading)  # waits for a slot
                while not self._abandoned:
                    next(reading)
                    if not self.has_rows:
                        with changed:
                            self.has_rows = True
                            changed.notify_all()
        except StopIteration as ended:
            self._reply = ended.value
        except BaseException as error:  # noqa: BLE001  - `result` raises it
            self._error = error
        with changed:
            self.done = True
            changed.notify_all()


class ReadAhead:
    """The windows that are being read, in order.

    Attributes:
        limit: the limit of concurrent calls.
    """

    def __init__(self, reader: Reader, limiter: CallLimiter, tuner: Tuner | None = None) -> None:
        """Initialize without windows.

        Args:
            reader: reads windows.
            limiter: limits all calls of the walk, including these.
            tuner: sets the number of concurrent calls; None to keep the limit of the limiter.
        """
        self._reader = reader
        self._limiter = limiter
        self._tuner = tuner
        self._changed = threading.Condition()
        self._queue: deque[Job] = deque()
        self._running: list[Job] = []

    @property
    def limit(self) -> int:
        """The limit of concurrent calls."""
        return self._limiter.limit

    def read(self, request: WindowRequest, following: Callable[[IdRange], IdRange | None]) -> Reply:
        """Return the reply to a request; meanwhile, request the windows after it.

        Args:
            request: the window, and how to read it.
            following: returns the window after a given one; None where it is unknown.

        Raises:
            PagerError: as `Reader.read`; windows that were read ahead are dropped.
        """
        if self._queue and not _same(self._queue[0].request, request):
            self.drop()
        job = self._queue.popleft() if self._queue else self._start(request)
        try:
            with self._changed:
                while True:
                    self._running = [running for running in self._running if not running.done]
                    if job.has_rows:
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
        """Discard the windows that were read ahead."""
        for job in self._queue:
            job.abandon()
        self._queue.clear()

    def close(self) -> None:
        """Discard all windows, including those being read."""
        self.drop()
        for job in self._running:
            job.abandon()

    def _fill(self, job: Job, request: WindowRequest, following: Callable[[IdRange], IdRange | None]) -> None:
        """Request more windows up to the limit, but none after a window without rows."""
        while len(self._queue) < self.limit + self.limit // 2:  # replies arrive out of order: some are ready early
            if sum(not running.answered for running in self._running) >= self.limit:
                return
            latest = self._queue[-1] if self._queue else job
            if latest.done and not latest.has_rows:
                return
            window = following(latest.request.window)
            if window is None:
                return
            self._queue.append(self._start(replace(request, window=window)))

    def _start(self, request: WindowRequest) -> Job:
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
        """Make one call at a time from now on, if concurrent calls blocked each other."""
        if isinstance(error, FaultError) and error.code == STALLED and self.limit > 1:
            log.warning(
                "%s: %d concurrent calls each needed a second worker of the server, for its WSDL, and got none (%s). "
                "From now on calls are made one at a time.",
                error.operation,
                self.limit,
                error.text,
            )
            self._limiter.limit, self._tuner = 1, None


def _same(request: WindowRequest, other: WindowRequest) -> bool:
    return (request.window, request.where) == (other.window, other.where) and request.strategy is other.strategy
