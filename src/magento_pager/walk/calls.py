"""The driver: the one place that asks a source on behalf of a flow.

What lives here: retries, the limit of calls, what is asked ahead, and the count of all of it. Which windows come next
is the flow's to say; what a reply must be like is the reader's.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

from magento_pager.errors import PagerError, RemoteError
from magento_pager.walk.flows import NOTHING, Piece, advance
from magento_pager.walk.pages import Page, PageStats

if TYPE_CHECKING:
    from collections.abc import Generator

    from magento_pager.walk.ahead import Ahead
    from magento_pager.walk.flows import Ask, Flow
    from magento_pager.walk.pages import Cursor
    from magento_pager.walk.reading import Reader, Reply

T = TypeVar("T")


class Calls:
    """Answers the asks of one flow after the other.

    Attributes:
        spent: calls that were made, failed ones included.
    """

    def __init__(self, reader: Reader, ahead: Ahead | None = None) -> None:
        """Begin.

        Args:
            reader: reads windows.
            ahead: asks for windows before their turn; None to ask for one after the other.
        """
        self._reader = reader
        self._ahead = ahead
        self._ready_at = 0.0
        self.spent = 0
        self._reset()

    def of(self, reader: Reader, ahead: Ahead | None) -> Self:
        """Answer from another reader from now on, and go on counting."""
        self._reader, self._ahead = reader, ahead
        return self

    def result(self, flow: Flow[T]) -> T:
        """Drive a flow to its end, and return what it ends with; pieces are dropped.

        Raises:
            RemoteError: the flow let a failure pass.
        """
        answer: Reply | RemoteError | None = None
        with closing(flow):
            while True:
                try:
                    item = advance(flow, answer)
                except StopIteration as ended:
                    value: T = ended.value
                    return value
                answer = NOTHING if isinstance(item, Piece) else self._answered(item)

    def pages(self, flow: Flow[None], cursor: Cursor) -> Generator[Page]:
        """The pages of a walk.

        Args:
            flow: covers all ids from the cursor on, in order.
            cursor: where it begins.

        Raises:
            PagerError: the walk cannot go on; its `cursor` says where to resume.
        """
        answer: Reply | RemoteError | None = None
        try:
            with closing(flow):
                while True:
                    item = advance(flow, answer)
                    if not isinstance(item, Piece):
                        answer = self._answered(item)
                        continue
                    page = self._page(item, cursor)
                    cursor = page.cursor
                    del item
                    yield page
                    del page  # or its rows take memory while the next ones come
                    answer = NOTHING
        except StopIteration:
            return
        except PagerError as error:
            error.cursor = cursor
            raise
        finally:
            if self._ahead is not None:
                self._ahead.close()

    def _answered(self, ask: Ask) -> Reply | RemoteError:
        """The reply to an ask, or its failure once waiting did not help."""
        time.sleep(max(0.0, self._ready_at - time.monotonic()))
        reader = self._reader
        if ask.repair and reader.repairing is not None:
            reader = replace(reader, source=reader.repairing)
        if ask.where or ask.bare:
            reader = replace(reader, where=(*reader.where, *ask.where), bare=ask.bare)

        def attempt() -> Reply:
            if ask.unchecked:
                return reader.unchecked(ask.strategy, ask.window, ask.known, ask.unchecked)
            if ask.following is None or self._ahead is None:
                return reader.attempt(ask.strategy, ask.window, ask.known)
            return self._ahead.read(ask.strategy, ask.window, ask.known, ask.following)

        try:
            reply = reader.persistently(attempt, insist=ask.insist, failed=self._failed)
        except RemoteError as error:
            self._failed()
            self._ready_at = time.monotonic() + error.pause
            return error
        self.spent += reply.calls
        self._calls += reply.calls
        self._empty_calls += reply.empty_calls
        return reply

    def _failed(self) -> None:
        self.spent += 1
        self._retries += 1

    def _reset(self) -> None:
        """Count for the next page."""
        self._began = time.monotonic()
        self._calls = self._empty_calls = self._retries = 0

    def _page(self, piece: Piece, cursor: Cursor) -> Page:
        """A piece as a page, with what it cost."""
        stats = PageStats(
            piece.strategy,
            piece.asked_by,
            self._calls,
            self._empty_calls,
            time.monotonic() - self._began,
            piece.by_ids,
            self._retries,
            self._ahead.limit if self._ahead else 1,
        )
        self._reset()
        rows = tuple(row for _, row in piece.rows)
        after = replace(cursor, next_id=piece.window.last + 1)
        return Page(piece.window, rows, after, stats, piece.quarantined, piece.repaired, ahead=piece.ahead)
