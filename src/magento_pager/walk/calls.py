"""The driver: the only module that calls a source on behalf of a flow.

What lives here: retries, the limit of calls, reading ahead, and counting. The flow decides which windows come next; the
reader checks the replies.
"""

from __future__ import annotations

import logging
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from magento_pager.errors import RemoteError
from magento_pager.walk.ahead import ReadAhead
from magento_pager.walk.flows import NOTHING, Piece, RecordsRequest, Reply, WindowRequest, advance
from magento_pager.walk.limiter import CallLimiter
from magento_pager.walk.pages import Page, PageStats
from magento_pager.walk.reading import PATIENCE, with_retries

if TYPE_CHECKING:
    from collections.abc import Generator

    from magento_pager.walk.ahead import Tuner
    from magento_pager.walk.flows import Flow
    from magento_pager.walk.pages import Cursor
    from magento_pager.walk.reading import Reader
    from magento_pager.walk.where_check import WhereCheck

T = TypeVar("T")

log = logging.getLogger(__name__)


class Calls:
    """Answers the requests of flows, one flow after another.

    Attributes:
        spent: calls made, including failed ones.
    """

    def __init__(
        self,
        reader: Reader,
        patience: float = PATIENCE,
        limiter: CallLimiter | None = None,
        where_check: WhereCheck | None = None,
    ) -> None:
        """Initialize the driver.

        Args:
            reader: reads windows.
            patience: seconds for which a call with a temporary failure is retried, with growing pauses.
            limiter: delays each call until a slot is free; None for one call at a time.
            where_check: ends flows where the server fails on the user's conditions; None if there are none.
        """
        self._reader = reader
        self._where_check = where_check
        self._patience = patience
        self._limiter = limiter or CallLimiter()
        self._ahead: ReadAhead | None = None
        self._ready_at = 0.0
        self.spent = 0
        self._reset()

    def read_ahead(self, tuner: Tuner | None) -> None:
        """Request windows before they are needed from now on.

        Args:
            tuner: sets the number of concurrent calls; None to keep the limit of the limiter.
        """
        self._ahead = ReadAhead(self._reader, self._limiter, tuner)

    def result(self, flow: Flow[T]) -> T:
        """Drive a flow to its end, and return its result; pieces are dropped.

        Raises:
            RemoteError: a call failed, and the flow did not handle it.
        """
        pieces = self._pieces(flow)
        while True:
            try:
                next(pieces)
            except StopIteration as ended:
                value: T = ended.value
                return value

    def pages(self, flow: Flow[None], cursor: Cursor) -> Generator[Page]:
        """Yield the pages of a walk.

        Args:
            flow: covers all ids from the cursor on, in order.
            cursor: the start of the walk.

        Raises:
            PagerError: the walk cannot continue.
        """
        with closing(self._pieces(flow)) as pieces:
            for piece in pieces:
                page = self._page(piece, cursor)
                cursor = page.cursor
                del piece  # or its rows take memory while the next ones arrive
                yield page
                del page

    def _pieces(self, flow: Flow[T]) -> Generator[Piece, None, T]:
        """Drive a flow, and yield its pieces."""
        answer: Reply | RemoteError | None = None
        flow = self._where_check.through(flow) if self._where_check else flow
        try:
            with closing(flow):
                while True:
                    try:
                        item = advance(flow, answer)
                    except StopIteration as ended:
                        value: T = ended.value
                        return value
                    if isinstance(item, Piece):
                        yield item
                        answer = NOTHING
                    else:
                        answer = self._answer(item)
                    del item
        finally:
            if self._ahead is not None:
                self._ahead.close()

    def _answer(self, request: WindowRequest | RecordsRequest) -> Reply | RemoteError:
        """Return the reply to a request, or its failure after retries did not help."""
        time.sleep(max(0.0, self._ready_at - time.monotonic()))
        patience = self._patience
        if isinstance(request, RecordsRequest) and request.patience is not None:
            patience = min(request.patience, patience)
        try:
            reply = with_retries(
                lambda: self._call(request),
                patience,
                insist=request.insist,
                attempts=request.attempts,
                failed=self._log_retry,
            )
        except RemoteError as error:
            self._count_failure()
            self._ready_at = time.monotonic() + error.pause
            return error
        self.spent += reply.calls
        self._calls += reply.calls
        self._empty_calls += reply.empty_calls
        self._checks += reply.calls if isinstance(request, WindowRequest) and request.check else 0
        return reply

    def _call(self, request: WindowRequest | RecordsRequest) -> Reply:
        """Make one call."""
        if isinstance(request, RecordsRequest):
            with self._limiter.call() as call:
                records = request.source.fetch(request.keys, repair=request.repair)
            return Reply(calls=1, seconds=call.seconds, records=tuple(records))
        if request.following is not None and self._ahead is not None:
            return self._ahead.read(request, request.following)
        reading = self._reader.read(request, self._limiter)
        while True:
            try:
                next(reading)
            except StopIteration as ended:
                reply: Reply = ended.value
                return reply

    def _log_retry(self, error: BaseException | None, seconds: float) -> None:
        log.info("retrying in %.1f s: %s", seconds, error)
        self._count_failure()

    def _count_failure(self) -> None:
        self.spent += 1
        self._retries += 1

    def _reset(self) -> None:
        """Reset the counters for the next page."""
        self._began = time.monotonic()
        self._calls = self._empty_calls = self._checks = self._retries = 0

    def _page(self, piece: Piece, cursor: Cursor) -> Page:
        """Return a piece as a page, with its cost."""
        stats = PageStats(
            piece.strategy,
            piece.asked_by,
            self._calls,
            self._empty_calls,
            time.monotonic() - self._began,
            piece.by_ids,
            self._retries,
            self._ahead.limit if self._ahead else 1,
            self._checks,
            piece.twice,
        )
        self._reset()
        rows = tuple(row for _, row in piece.rows)
        after = replace(cursor, next_id=piece.window.last + 1)
        return Page(piece.window, rows, after, stats, piece.quarantined, piece.repaired, ahead=piece.ahead)
