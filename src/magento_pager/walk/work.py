"""Work: what of a walk is still to be covered, and the parts of what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from magento_pager.walk.windows import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.errors import RemoteError
    from magento_pager.walk.ranges import IdRange
    from magento_pager.walk.windows import Pace


class Work(NamedTuple):
    """Ids still to be covered.

    Attributes:
        ids: the range, inclusive.
        cause: why it is asked for in parts: the failure of a wider window; None where there was none.
        suspect: True where the failing row must be in here if all parts before it came.
        crowded: True where a reply said how many rows there are in this and other tenths, so that no sample is needed.
        again: True where it brought no row, and is asked for once more.
        tried: True where it failed in a way that may pass, and the server was well right after that.
    """

    ids: IdRange
    cause: RemoteError | None = None
    suspect: bool = False
    crowded: bool = False
    again: bool = False
    tried: bool = False


def parts_of(ids: IdRange, cause: RemoteError | None, pace: Pace) -> Iterator[Work]:
    """The parts of ids that failed, the last one first: decimal blocks where they are wide, else halves."""
    decimal = pace.decimal or len(ids) > 10 * pace.safe
    parts = list(ids.tile(part(ids, decimal=True)) if decimal else ids.halves())
    isolating = cause is not None and cause.remedy == "isolate"
    for place, one in enumerate(reversed(parts)):
        yield Work(one, cause, suspect=isolating and place == 0)
