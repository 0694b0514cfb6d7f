"""Isolation: what becomes of the one thing whose reply fails all by itself, be it a row or a record.

What lives here: the proof that the server is well although this one does not come, and its fate: read after all,
repaired, or skipped by name. As flows; how it was found among others is not known here.
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
"""Asks for the one thing again: how often to insist, and whether to repair what it brings."""

FindOthers: TypeAlias = Callable[[], Iterable[Flow[G | None]]]
"""Looks for something else that works, in likely places first."""

SINGLE_ROW_RETRIES = 4  # more attempts at a row whose failure may be the server's
MOST_SKIPPED_IN_A_ROW = 20  # rows skipped: then the server is failing, not the rows


class Outcome(NamedTuple, Generic[T]):
    """What became of it.

    Attributes:
        value: what came after all; None where it is skipped.
        reason: why it is skipped: the server's words, or what is wrong with its reply; else empty.
        repaired: True where characters had to be removed.
    """

    value: T | None
    reason: str = ""
    repaired: bool = False

    @property
    def flawed(self) -> bool:
        """True where it is the one that broke the reply."""
        return self.repaired or self.value is None


@dataclass(slots=True)
class Isolation(Generic[G]):
    """Remembers something that works, and how many were skipped since it came.

    Attributes:
        operation: what is called, for messages.
        works: asks again for something that came before; False where it was deleted meanwhile.
        repair: read what control characters break without them.
        readable: what came last, if anything did.
        skipped: in a row.
    """

    operation: str
    still_works: Callable[[G], Flow[bool]]
    repair: bool = False
    readable: G | None = None
    skipped: int = 0

    def remember(self, readable: G | None) -> None:
        """Remember that something came; None for what may not come again."""
        self.skipped = 0
        self.readable = readable if readable is not None else self.readable

    def decide(
        self, name: str, error: RemoteError, request_again: RequestAgain[T], others: FindOthers[G] | None
    ) -> Flow[Outcome[T]]:
        """Decide about the one whose reply failed.

        Args:
            name: what it is called in messages.
            error: the failure.
            request_again: asks for it again.
            others: finds something else that works; None to skip whatever fails without asking whether others arrive.

        Raises:
            RemoteError: the server is failing, or nothing works beside which this one could be called broken; in the
                words of that failure alone where others were not asked for, since nothing came before.
        """
        if self.repair and isinstance(error, MalformedReplyError):
            repaired = yield from attempt_flow(request_again(0, True))  # noqa: FBT003  see RequestAgain
            if not isinstance(repaired, RemoteError):
                return Outcome(repaired, repaired=True)
        if others is not None:
            yield from self._check_well(name, error, others)
            again = yield from attempt_flow(request_again(SINGLE_ROW_RETRIES if error.remedy == "split" else 0, False))  # noqa: FBT003
            if not isinstance(again, RemoteError):
                return Outcome(again)
            if again.remedy != "retry" and action(again, narrowed=True) == "stop":
                raise again
            error = again
            yield from self._check_well(name, error, others)
        self.skipped += 1
        if self.skipped == MOST_SKIPPED_IN_A_ROW:
            raise error if others is None else self.failing_server(name, error)
        return Outcome(None, str(error))

    def failing_server(self, name: str, error: RemoteError) -> RemoteError:
        """Return the error that too many failures are."""
        self.skipped = 0
        return RemoteError(
            f"{self.operation}: {MOST_SKIPPED_IN_A_ROW} rows in a row could not be read, the last is {name} ({error}): "
            "the server is failing; resume when it works again"
        )

    def _check_well(self, name: str, error: RemoteError, others: FindOthers[G]) -> Flow[None]:
        """Raise unless what came before, or something else, can be read now."""
        if self.readable is not None:
            came = yield from attempt_flow(self.still_works(self.readable))
            if isinstance(came, RemoteError):
                raise RemoteError(
                    f"{self.operation}: {name} cannot be read ({error}), and neither can {self.readable}, which could "
                    f"before ({came}): the server is failing; resume when it works again"
                ) from came
            if came:
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
