"""Isolation: what becomes of the one thing whose reply fails all by itself, be it a row or a record.

What lives here: the proof that the server is well although this one does not come, and its fate: read after all,
repaired, or skipped by name. As flows; how it was found among others is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from magento_pager.errors import MalformedReplyError, RemoteError
from magento_pager.walk.flows import Flow, Reply, WindowRequest, filtered, find_known, first_rows, settled
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.recovery import action
from magento_pager.walk.strategies import Prefix

G = TypeVar("G")
T = TypeVar("T")

Asking: TypeAlias = Callable[[int, bool], Flow[T]]
"""Asks for the one thing again: how often to insist, and whether to repair what it brings."""

Looking: TypeAlias = Callable[[], Iterable[Flow[G | None]]]
"""Looks for something else that works, in likely places first."""

SINGLE_ROW_RETRIES = 4  # more attempts at a row whose failure may be the server's
MOST_IN_A_ROW = 20  # rows skipped: then the server is unwell, not the rows


class Fate(NamedTuple, Generic[T]):
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
        good: what came last, if anything did.
        skipped: in a row.
    """

    operation: str
    works: Callable[[G], Flow[bool]]
    repair: bool = False
    good: G | None = None
    skipped: int = 0

    def came(self, good: G | None) -> None:
        """Remember that something came; None for what may not come again."""
        self.skipped = 0
        self.good = good if good is not None else self.good

    def alone(
        self, name: str, error: RemoteError, request_again: Asking[T], others: Looking[G] | None
    ) -> Flow[Fate[T]]:
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
            repaired = yield from settled(request_again(0, True))  # noqa: FBT003  see Asking
            if not isinstance(repaired, RemoteError):
                return Fate(repaired, repaired=True)
        if others is not None:
            yield from self._check_well(name, error, others)
            again = yield from settled(request_again(SINGLE_ROW_RETRIES if error.remedy == "split" else 0, False))  # noqa: FBT003
            if not isinstance(again, RemoteError):
                return Fate(again)
            if again.remedy != "retry" and action(again, narrowed=True) == "stop":
                raise again
            error = again
            yield from self._check_well(name, error, others)
        self.skipped += 1
        if self.skipped == MOST_IN_A_ROW:
            raise error if others is None else self.unwell(name, error)
        return Fate(None, str(error))

    def unwell(self, name: str, error: RemoteError) -> RemoteError:
        """Return the error that too many failures are."""
        self.skipped = 0
        return RemoteError(
            f"{self.operation}: {MOST_IN_A_ROW} rows in a row could not be read, the last is {name} ({error}): the "
            "server is unwell; resume when it is not"
        )

    def _check_well(self, name: str, error: RemoteError, others: Looking[G]) -> Flow[None]:
        """Raise unless what came before, or something else, can be read now."""
        if self.good is not None:
            came = yield from settled(self.works(self.good))
            if isinstance(came, RemoteError):
                raise RemoteError(
                    f"{self.operation}: {name} cannot be read ({error}), and neither can {self.good}, which could "
                    f"before ({came}): the server is unwell; resume when it is not"
                ) from came
            if came:
                return
            self.good = None  # it was deleted
        for looking in others():
            self.good = yield from looking
            if self.good is not None:
                return
        raise error


class Good(NamedTuple):
    """A row that came, in a reply of its own, and the window that it came in: it should come again."""

    reply: Reply
    window: IdRange

    def __str__(self) -> str:
        return f"a row of ids {self.window}"


def first_good(looking: Flow[None]) -> Flow[Good | None]:
    """Look for a row; None where there is none."""
    piece = yield from first_rows(looking)
    return Good(Reply(piece.rows[:1]), piece.window) if piece else None


def comes_again(key: str, good: Good) -> Flow[bool]:
    """Read again a row that came before, though it may no longer be wanted; False where it was deleted."""
    known = yield from filtered(find_known(good.reply, good.window, key, insist=MAX_ID), (), any_row=True)
    if known is None:
        return False
    reply = yield WindowRequest(Prefix(key), IdRange(known.id, known.id), insist=MAX_ID, any_row=True)
    return known.token in reply.tokens
