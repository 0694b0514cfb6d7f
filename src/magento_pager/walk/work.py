"""Work: what of a walk is still to be covered, and the parts of what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from magento_pager.walk.ranges import IdRange
from magento_pager.walk.windows import part_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.errors import RemoteError
    from magento_pager.walk.windows import Pace


class Work(NamedTuple):
    """Ids still to be covered.

    Attributes:
        ids: the range, inclusive.
        cause: why it is asked for in parts: the failure of a wider window; None where there was none.
        suspect: True where the failing row must be in here if all parts before it came.
        dense: True where a reply said how many rows there are in this and other tenths, so that no sample is needed.
        again: True where it brought no row, and is asked for once more.
        retried: True where it failed in a way that may pass, and the server was well right after that.
    """

    ids: IdRange
    cause: RemoteError | None = None
    suspect: bool = False
    dense: bool = False
    again: bool = False
    retried: bool = False


class Stack(list[Work]):
    """What is still to be covered, what comes next last."""

    _rows_expected = 0  # rows that the tenths of a dense window still hold

    @property
    def dense(self) -> bool:
        """Whether a tenth of a dense window comes next."""
        return bool(self) and self[-1].dense

    def split_dense(self, window: IdRange, work: Work, rows: int) -> None:
        """Push the tenths of a window, which hold so many rows together."""
        if not work.dense:
            self._rows_expected = rows
        self += [Work(tenth, dense=True) for tenth in reversed(list(window.tenths()))]

    def rows_expected(self, work: Work) -> int:
        """Return how many rows must come: of a tenth one, of the last tenth all that are still missing."""
        if not work.dense:
            return 0
        return min(self._rows_expected, 1) if self.dense else self._rows_expected

    def count_rows(self, rows: int) -> None:
        """Take rows of a tenth into account; where all are there, the other tenths are one window."""
        self._rows_expected -= rows
        if self._rows_expected <= 0 and self.dense:
            first = self[-1].ids.first
            while self and self[-1].dense:
                last = self.pop().ids.last
            self.append(Work(IdRange(first, last), dense=True))


def parts_of(ids: IdRange, cause: RemoteError | None, pace: Pace) -> Iterator[Work]:
    """The parts of ids that failed, the last one first: decimal blocks where they are wide, else halves."""
    decimal = pace.decimal or len(ids) > 10 * pace.safe_width
    parts = list(ids.tile(part_width(ids, decimal=True)) if decimal else ids.halves())
    isolating = cause is not None and cause.remedy == "isolate"
    for place, one in enumerate(reversed(parts)):
        yield Work(one, cause, suspect=isolating and place == 0)
