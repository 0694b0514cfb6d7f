"""Isolation: what becomes of an id whose reply fails all by itself.

What lives here: the proof that the server is well although the row does not come, and the row's fate: read after all,
repaired, or skipped by name. As flows; how the failing id was found is the walk's work.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from magento_pager.errors import FaultError, MalformedReplyError, RemoteError
from magento_pager.walk.flows import Ask, Flow, Piece, attempt, find_known, next_piece
from magento_pager.walk.pages import Quarantined
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.reading import Reply
from magento_pager.walk.recovery import action
from magento_pager.walk.strategies import Prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from magento_pager.walk.strategies import Strategy

SINGLE_ROW_RETRIES = 4  # more attempts at a row whose failure may be the server's
MOST_IN_A_ROW = 20  # rows skipped: then the server is unwell, not the rows


class Good(NamedTuple):
    """A reply that came: one of its rows should come again if the server is well."""

    reply: Reply
    window: IdRange


class Fate(NamedTuple):
    """What became of an id.

    Attributes:
        reply: its row, if it came after all.
        carrier: the strategy that brought it.
        skipped: the row, where it did not.
        repaired: its id, where characters had to be removed.
    """

    reply: Reply
    carrier: Strategy
    skipped: tuple[Quarantined, ...] = ()
    repaired: tuple[int, ...] = ()

    @property
    def flawed(self) -> bool:
        """Whether it is the row that broke the reply."""
        return bool(self.skipped or self.repaired)


class Isolation:
    """Remembers a row that works, and how many were skipped since one came."""

    def __init__(
        self, key: str, operation: str, beside: Callable[[int], Iterable[Flow[None]]] | None, *, repair: bool = False
    ) -> None:
        """Begin with nothing.

        Args:
            key: what filters call the key.
            operation: the name of the list, for messages.
            beside: looks for rows other than an id; None to skip a row without asking whether others arrive.
            repair: read a row in which control characters break the XML without them.
        """
        self._prefix = Prefix(key)
        self._operation = operation
        self._beside = beside
        self._repair = repair
        self._good: Good | None = None
        self._skipped = 0

    def came(self, reply: Reply, window: IdRange, *, repaired: bool) -> None:
        """Remember that rows came."""
        self._skipped = 0
        if not repaired:
            self._good = Good(replace(reply, rows=reply.rows[:1]), window)

    def alone(self, window: IdRange, error: RemoteError) -> Flow[Fate]:
        """Decide about one id whose reply failed.

        Raises:
            RemoteError: the server is unwell, or no row works beside which this one could be called broken.
        """
        if self._repair and isinstance(error, MalformedReplyError):
            repaired = yield from attempt(Ask(self._prefix, window, repair=True))
            if not isinstance(repaired, RemoteError):
                return Fate(repaired, self._prefix, repaired=(window.first,))
        if self._beside is not None:
            yield from self._check_well(window.first, error)
            insist = SINGLE_ROW_RETRIES if error.remedy == "split" else 0
            again = yield from attempt(Ask(self._prefix, window, insist=insist))
            if not isinstance(again, RemoteError):
                return Fate(again, self._prefix)
            if action(again, narrowed=True) == "stop":
                raise again
            error = again
            yield from self._check_well(window.first, error)
        self._skipped += 1
        if self._skipped == MOST_IN_A_ROW:
            raise RemoteError(
                f"{self._operation}: {MOST_IN_A_ROW} rows in a row could not be read, the last is id {window.first} "
                f"({error}): the server is unwell; resume when it is not"
            )
        reason = error.text if isinstance(error, FaultError) else str(error)
        return Fate(Reply((), 1, 1), self._prefix, skipped=(Quarantined(window.first, reason),))

    def _check_well(self, number: int, error: RemoteError) -> Flow[None]:
        """Raise unless a row that came before, or any other, can be read again."""
        for _ in range(2):  # the row may have been deleted
            for flow in self._beside(number) if self._beside and self._good is None else ():
                piece = yield from first_rows(flow)
                if piece:
                    self._good = Good(Reply(piece.rows[:1], 1, 0), piece.window)
                    break
            if self._good is None:
                raise error
            try:
                came = yield from self._comes_again(self._good)
            except RemoteError as other:
                raise RemoteError(
                    f"{self._operation}: id {number} cannot be read ({error}), and neither can a row of ids "
                    f"{self._good.window}, which could before ({other}): the server is unwell; resume when it is not"
                ) from other
            if came:
                return
            self._good = None
        raise error

    def _comes_again(self, good: Good) -> Flow[bool]:
        known = yield from find_known(good.reply, good.window, self._prefix.key, insist=MAX_ID)
        if known is None:
            return False
        reply = yield Ask(self._prefix, IdRange(known.id, known.id), insist=MAX_ID)
        return known.token in reply.tokens


def first_rows(flow: Flow[None]) -> Flow[Piece | None]:
    """Go on with a flow up to its first piece with rows; None where it has none."""
    while (piece := (yield from next_piece(flow))) is not None and not piece.rows:
        pass
    flow.close()
    return piece
