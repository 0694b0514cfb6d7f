"""The result of a walk, gathered from its pages, for tests that compare it with the rows of a shop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from magento_pager import Page, PagerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from magento_pager import Cursor
    from magento_pager.walk.pages import Row


@dataclass(slots=True)
class WalkResult:
    """The result of a walk.

    Attributes:
        ids: of the rows, in the order in which they were delivered.
        quarantined: ids of skipped rows, with the reasons.
        repaired: ids of repaired rows.
        strategies: names of those that delivered the rows.
        windows: number of pages with rows.
        cursor: of the last page; None if there was no page.
        error: the error that ended the walk early; None if there was none.
    """

    ids: list[int] = field(default_factory=list)
    quarantined: dict[int, str] = field(default_factory=dict)
    repaired: list[int] = field(default_factory=list)
    strategies: set[str] = field(default_factory=set)
    windows: int = 0
    cursor: Cursor | None = None
    error: PagerError | None = None

    def add(self, page: Page) -> None:
        """Add a page: each of its ids must lie in its window, and no skipped id may occur twice."""
        ids = [id_of(row) for row in page.rows]
        skipped = {row.id: row.reason for row in page.quarantined}
        assert all(number in page.window for number in [*ids, *skipped, *page.repaired])
        assert not skipped.keys() & (self.quarantined.keys() | set(ids))
        self.ids += ids
        self.quarantined |= skipped
        self.repaired += page.repaired
        self.strategies.add(page.stats.strategy)
        self.windows += bool(page.rows)
        self.cursor = page.cursor


def walk_result(pages: Iterable[Page]) -> WalkResult:
    """Walk to the end, or to the error that ends the walk, and return the result."""
    result = WalkResult()
    try:
        for page in pages:
            result.add(page)
    except PagerError as error:
        result.error = error
    return result


def id_of(row: Row) -> int:
    """Return the id of a row of the embedded shop, from its increment id where it has one.

    Not all rows of sales lists carry their own id.

    >>> id_of({"increment_id": "300100017", "order_id": "5"}), id_of({"customer_id": "8", "group_id": "1"})
    (100017, 8)
    """
    if "product_id" in row:
        return int(row["product_id"])
    return int(row["customer_id"]) if "group_id" in row else int(row["increment_id"]) % 100_000_000
