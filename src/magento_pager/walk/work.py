"""Work of a walk: the ranges that remain to be covered, and the parts of ranges that failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from magento_pager.walk.ranges import IdRange
from magento_pager.walk.windows import part_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.errors import RemoteError
    from magento_pager.walk.windows import Pace


class Work(NamedTuple):
    """A range of ids that remains to be covered.

    Attributes:
        ids: the range, inclusive.
        cause: the failure of a wider window, which made it a part; None if it is not a part.
        suspect: True where this part must contain the failing row if all parts before it could be read.
        dense: True for a tenth of a window whose number of rows is known from a reply, so no sample is needed.
        recheck: True where it returned no row, and is requested once more.
        retried: True where it had a temporary failure, and the server worked right after that.
    """

    ids: IdRange
    cause: RemoteError | None = None
    suspect: bool = False
    dense: bool = False
    recheck: bool = False
    retried: bool = False


class Stack(list[Work]):
    """The ranges that remain to be covered; the next one is the last item."""

    _rows_expected = 0  # in the remaining tenths of a dense window

    @property
    def dense(self) -> bool:
        """Whether the next range is a tenth of a dense window."""
        return bool(self) and self[-1].dense

    def split_dense(self, window: IdRange, work: Work, rows: int) -> None:
        """Push the tenths of a window that contains `rows` rows."""
        if not work.dense:
            self._rows_expected = rows
        self += [Work(tenth, dense=True) for tenth in reversed(list(window.tenths()))]

    def rows_expected(self, work: Work) -> int:
        """Return the least number of rows: one if dense tenths follow, all missing rows in the last tenth."""
        if not work.dense:
            return 0
        return min(self._rows_expected, 1) if self.dense else self._rows_expected

    def count_rows(self, rows: int) -> None:
        """Record the rows of a tenth; once all are found, merge the remaining tenths into one window."""
        self._rows_expected -= rows
        if self._rows_expected <= 0 and self.dense:
            first = self[-1].ids.first
            while self and self[-1].dense:
                last = self.pop().ids.last
            self.append(Work(IdRange(first, last), dense=True))


def parts_of(ids: IdRange, cause: RemoteError | None, pace: Pace) -> Iterator[Work]:
    """Yield the parts of a range that failed, the last one first: decimal blocks if it is wide, else halves."""
    decimal = pace.decimal or len(ids) > 10 * pace.safe_width
    parts = list(ids.tile(part_width(ids, decimal=True)) if decimal else ids.halves())
    isolating = cause is not None and cause.remedy == "isolate"
    for place, part in enumerate(reversed(parts)):
        yield Work(part, cause, suspect=isolating and place == 0)
