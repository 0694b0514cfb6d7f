"""Isolation: the decision about a single row or record whose request fails even when requested alone.

What lives here: the proof that the server works although this row or record cannot be read, and the outcome: it is read
after all, repaired, or skipped by name. As flows; how the row was found among others is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from magento_pager.errors import MalformedReplyError, RemoteError
from magento_pager.walk.flows import (
    Flow,
    Reply,
    WindowRequest,
    attempt_flow,
    filtered,
    find_known_row,
    first_piece_with_rows,
)
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.recovery import action
from magento_pager.walk.strategies import Prefix

G = TypeVar("G")
T = TypeVar("T")

RequestAgain: TypeAlias = Callable[[int, bool], Flow[T]]
"""Requests the row or record again. Arguments: how often to insist, and whether to repair the reply."""

FindOthers: TypeAlias = Callable[[], Iterable[Flow[G | None]]]
"""Searches for another row or record that can be read, in likely places first."""

SINGLE_ROW_RETRIES = 4  # for a row whose failure may be the server's fault
MOST_SKIPPED_IN_A_ROW = 20  # then the server is failing, not the rows


class Outcome(NamedTuple, Generic[T]):
    """Result of a decision about a row or record.

    Attributes:
        value: the row or record that was read after all; None if it is skipped.
        reason: why it is skipped: the server's text, or what is wrong with the reply; else empty.
        repaired: True where characters had to be removed.
    """

    value: T | None
    reason: str = ""
    repaired: bool = False

    @property
    def broken(self) -> bool:
        """True where this row or record broke the reply."""
        return self.repaired or self.value is None


@dataclass(slots=True)
class Isolation(Generic[G]):
    """Decides about failing rows or records; knows one that can be read, and how many were skipped since.

    Attributes:
        operation: the operation that is called, for messages.
        still_works: reads a row or record again that was read before; returns False if it was deleted meanwhile.
        repair: read rows that control characters break without these characters.
        readable: the last one that was read; None if there is none.
        skipped: number of rows skipped in a row.
    """

    operation: str
    still_works: Callable[[G], Flow[bool]]
    repair: bool = False
    readable: G | None = None
    skipped: int = 0

    def remember(self, readable: G | None) -> None:
        """Record that a row or record was read; None for one that may not be readable again."""
        self.skipped = 0
        self.readable = readable if readable is not None else self.readable

    def decide(
        self, name: str, error: RemoteError, request_again: RequestAgain[T], others: FindOthers[G] | None
    ) -> Flow[Outcome[T]]:
        """Decide about a row or record whose request failed.

        Args:
            name: its name in messages.
            error: the failure.
            request_again: requests it again.
            others: finds another one that can be read; None to skip without testing whether others can be read.

        Raises:
            RemoteError: the server is failing, or no other row or record can be read. It is the original failure where
                others were not tested, or none was found.
        """
        if self.repair and isinstance(error, MalformedReplyError):
            repaired = yield from attempt_flow(request_again(0, True))  # noqa: FBT003  see RequestAgain
            if not isinstance(repaired, RemoteError):
                return Outcome(repaired, repaired=True)
        if others is not None:
            yield from self._check_server(name, error, others)
            insist = SINGLE_ROW_RETRIES if error.remedy == "split" else 0
            result = yield from attempt_flow(request_again(insist, False))  # noqa: FBT003
            if not isinstance(result, RemoteError):
                return Outcome(result)
            if result.remedy != "retry" and action(result, narrowed=True) == "stop":
                raise result
            error = result
            yield from self._check_server(name, error, others)
        self.skipped += 1
        if self.skipped == MOST_SKIPPED_IN_A_ROW:
            raise error if others is None else self.failing_server(name, error)
        return Outcome(None, str(error))

    def failing_server(self, name: str, error: RemoteError) -> RemoteError:
        """Return the error for too many failures in a row."""
        self.skipped = 0
        return RemoteError(
            f"{self.operation}: {MOST_SKIPPED_IN_A_ROW} rows in a row could not be read, the last is {name} ({error}): "
            "the server is failing; resume when it works again"
        )

    def _check_server(self, name: str, error: RemoteError, others: FindOthers[G]) -> Flow[None]:
        """Raise an error unless the one read before, or another one, can be read now."""
        if self.readable is not None:
            exists = yield from attempt_flow(self.still_works(self.readable))
            if isinstance(exists, RemoteError):
                raise RemoteError(
                    f"{self.operation}: {name} cannot be read ({error}), and neither can {self.readable}, which could "
                    f"before ({exists}): the server is failing; resume when it works again"
                ) from exists
            if exists:
                return
            self.readable = None  # it was deleted
        for looking in others():
            self.readable = yield from looking
            if self.readable is not None:
                return
        raise error


class ReadableRow(NamedTuple):
    """A row that could be read, in a reply of its own, and the window that returned it."""

    reply: Reply
    window: IdRange

    def __str__(self) -> str:
        return f"a row of ids {self.window}"

    @classmethod
    def first_of(cls, looking: Flow[None]) -> Flow[ReadableRow | None]:
        """Find the first row of a walk; None where there is none."""
        piece = yield from first_piece_with_rows(looking)
        return cls(Reply(piece.rows[:1]), piece.window) if piece else None

    def still_exists(self, key: str) -> Flow[bool]:
        """Read the row again, even if it no longer meets the list's conditions; False where it was deleted."""
        known = yield from filtered(find_known_row(self.reply, self.window, key, insist=MAX_ID), (), any_row=True)
        if known is None:
            return False
        reply = yield WindowRequest(Prefix(key), IdRange(known.id, known.id), insist=MAX_ID, any_row=True)
        return known.token in reply.tokens
