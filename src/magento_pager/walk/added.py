"""New rows: those with ids after the last one of an earlier walk, and the search for the last id.

What lives here: one call for the open end of the ids, where few rows are likely, and the search for the id of the last
row where rows carry none. As flows. Where there are many rows after all, `walk` covers them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from magento_pager.errors import RemoteError
from magento_pager.walk.checks import WORTH_A_CALL
from magento_pager.walk.flows import NOTHING, Flow, Piece, Reply, WindowRequest, attempt, relayed
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.recovery import FEW_ATTEMPTS
from magento_pager.walk.strategies import SingleFilter
from magento_pager.walk.windows import cut_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from magento_pager.walk.flows import Item
    from magento_pager.walk.pages import KnownRow
    from magento_pager.walk.walk import Walk

GROWTH = 8  # times as many ids in each step, while rows are found


def cover_added(walk: Walk, ids: IdRange, received: Iterable[str] = (), last: KnownRow | None = None) -> Flow[None]:
    """Cover the ids after those of an earlier walk: in one call where few rows are likely, otherwise as any others.

    Args:
        walk: covers the ids where one call does not suffice.
        ids: the ids, inclusive. The one before them belongs to a row, or did.
        received: identities of rows without ids that were received before.
        last: the row before them, if it was just received; None where it is not known.

    Raises: as `Walk.flow`.
    """
    bound = SingleFilter(walk.key)
    rest: IdRange | None = ids
    if not walk.candidates or walk.twice or ids.last != MAX_ID:
        yield from walk.flow(ids, identities=received)
        return
    while rest is not None:
        reply = yield from _above(walk, rest, bound, last if rest is ids else None)
        if reply is None or (reply.rows and walk.window and not reply.by_ids):  # such a page cannot be cut
            yield from walk.flow(rest, identities=received)
            return
        end = reply.ids[-1] if reply.by_ids and len(reply.rows) >= WORTH_A_CALL else MAX_ID  # more rows are likely
        yield from cut_pieces(reply, IdRange(rest.first, end), walk.window)
        rest = IdRange(end + 1, MAX_ID) if end < MAX_ID else None


def cut_pieces(reply: Reply, ids: IdRange, width: int | None) -> Iterator[Piece]:
    """Yield the rows of a single-bound reply as pieces, cut where the user fixed the width of windows."""
    name = SingleFilter().name
    for tile in cut_at(ids, reply.ids, width) if width else [ids]:
        rows = tuple(pair for pair in reply.rows if isinstance(pair[0], str) or pair[0] in tile)
        yield Piece(tile, rows, name, name, reply.by_ids)


def _above(walk: Walk, ids: IdRange, bound: SingleFilter, last: KnownRow | None) -> Flow[Reply | None]:
    """Request all rows of the open end by one bound; return None where there are many, or the call failed.

    The row before them must be returned as well, where rows carry ids or it is known. A reply without it is accepted if
    two replies agree, because the row may have been deleted; so is a reply whose rows carry no ids.
    """
    with_previous = last is not None or (walk.identity_field is None and ids.first > 0)
    first = ids.first - 1 if with_previous else ids.first
    most = walk.pace(bound).safe_width
    previous: Reply | None = None
    for check in (False, True, True):
        request = WindowRequest(bound, IdRange(first, MAX_ID), attempts=FEW_ATTEMPTS, most=most, check=check)
        reply = yield from attempt(request)
        if isinstance(reply, RemoteError):
            return None
        rows = tuple(
            pair
            for pair in reply.rows
            if (pair[0] in ids if isinstance(pair[0], int) else last is None or pair[0] != last.token)
        )
        if len(rows) < len(reply.rows) or (previous is not None and previous.tokens == reply.tokens):
            return Reply(rows)
        previous = reply
    return None


class LastRow:
    """Search for the id of a walk's last row, where rows carry none.

    Attributes:
        id: the id of the last delivered row; None where it was not found, or rows carry their ids.
    """

    def __init__(self, key: str, first: int, last: int) -> None:
        """Prepare the search.

        Args:
            key: the name of the key in filters.
            first: a page begins at this id; rows below do not count.
            last: the last id of the walk, inclusive.
        """
        self.id: int | None = None
        self._key = key
        self._first, self._last = first, last
        self._latest: Piece | None = None

    def through(self, walk: Flow[None]) -> Flow[None]:
        """Run a walk; at its end, request the id."""
        yield from relayed(walk, self._relay)

    def _relay(self, item: Item) -> Flow[Reply]:
        if not isinstance(item, Piece):
            return (yield item)
        if item.rows and item.window.first >= self._first:
            self._latest = None if item.by_ids else item
        if item.window.last == self._last and self._latest is not None:
            self.id = yield from last_id(self._latest, self._key)
        yield item
        return NOTHING


def last_id(piece: Piece, key: str) -> Flow[int | None]:
    """Return the id of the last row of a piece whose rows carry none; None where a call failed.

    N rows have N different ids, which gives a lower limit for the last one. From there on the steps grow as long as
    rows of the piece are found; then they are halved.
    """
    received = {token for token, _ in piece.rows}
    lowest, highest, step, growing = piece.window.first + len(received) - 1, piece.window.last, 1, True
    while lowest < highest:
        number = min(lowest + step, highest)
        reply = yield from attempt(
            WindowRequest(SingleFilter(key), IdRange(number, MAX_ID), tokens_only=True, unchecked=MAX_ID)
        )
        if isinstance(reply, RemoteError):
            return None
        matched = len(received.intersection(reply.tokens))
        if matched:
            lowest = number + matched - 1
        else:
            highest, growing = number - 1, False
        step = GROWTH * step if growing else max(1, (highest - lowest + 1) // 2)
    return lowest
