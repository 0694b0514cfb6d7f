"""The driver: the one place that asks a source on behalf of a flow.

What lives here: retries, the limit of calls, what is asked ahead, and the count of all of it. Which windows come next
is the flow's to say; what a reply must be like is the reader's.
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
    """Answers the requests of one flow after the other.

    Attributes:
        spent: calls that were made, failed ones included.
    """

    def __init__(
        self,
        reader: Reader,
        patience: float = PATIENCE,
        limiter: CallLimiter | None = None,
        where_check: WhereCheck | None = None,
    ) -> None:
        """Begin.

        Args:
            reader: reads windows.
            patience: seconds for which a call is tried again, ever more slowly, where its failure may pass.
            limiter: holds back each call until there is room for it; None for one at a time.
            where_check: ends flows where the server fails at the user's own conditions; None where there are none.
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
        """Request windows before their turn from now on.

        Args:
            tuner: says how many calls may be under way; None to leave it at what the limiter allows.
        """
        self._ahead = ReadAhead(self._reader, self._limiter, tuner)

    def result(self, flow: Flow[T]) -> T:
        """Drive a flow to its end, and return what it ends with; pieces are dropped.

        Raises:
            RemoteError: the flow let a failure pass.
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
            cursor: where it begins.

        Raises:
            PagerError: the walk cannot go on.
        """
        with closing(self._pieces(flow)) as pieces:
            for piece in pieces:
                page = self._page(piece, cursor)
                cursor = page.cursor
                del piece  # or its rows take memory while the next ones come
                yield page
                del page

    def _pieces(self, flow: Flow[T]) -> Generator[Piece, None, T]:
        """Drive a flow, and yield what it delivers."""
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
                        answer = self._answered(item)
                    del item
        finally:
            if self._ahead is not None:
                self._ahead.close()

    def _answered(self, request: WindowRequest | RecordsRequest) -> Reply | RemoteError:
        """Return the reply to a request, or its failure once waiting did not help."""
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
                failed=self._again,
            )
        except RemoteError as error:
            self._failed()
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

    def _again(self, error: BaseException | None, seconds: float) -> None:
        log.info("again in %.1f s: %s", seconds, error)
        self._failed()

    def _failed(self) -> None:
        self.spent += 1
        self._retries += 1

    def _reset(self) -> None:
        """Count for the next page."""
        self._began = time.monotonic()
        self._calls = self._empty_calls = self._checks = self._retries = 0

    def _page(self, piece: Piece, cursor: Cursor) -> Page:
        """Return a piece as a page, with what it cost."""
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
