"""What came of a walk, gathered from its pages, for tests that compare it with what a shop holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from magento_pager import Page, PagerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from magento_pager import Cursor
    from magento_pager.walk.pages import Row


@dataclass(slots=True)
class Walked:
    """What came of a walk.

    Attributes:
        ids: of the rows, in the order in which they came.
        quarantined: ids of rows left out, and why.
        repaired: ids of rows that were.
        strategies: which carried the rows.
        windows: pages with rows.
        cursor: of the last page; None where there was none.
        error: what ended the walk before its end; None where nothing did.
    """

    ids: list[int] = field(default_factory=list)
    quarantined: dict[int, str] = field(default_factory=dict)
    repaired: list[int] = field(default_factory=list)
    strategies: set[str] = field(default_factory=set)
    windows: int = 0
    cursor: Cursor | None = None
    error: PagerError | None = None

    def add(self, page: Page) -> None:
        """Take a page; its id must lie in its window, and be named once."""
        ids = [id_of(row) for row in page.rows]
        left_out = {one.id: one.reason for one in page.quarantined}
        assert all(number in page.window for number in [*ids, *left_out, *page.repaired])
        assert not left_out.keys() & (self.quarantined.keys() | set(ids))
        self.ids += ids
        self.quarantined |= left_out
        self.repaired += page.repaired
        self.strategies.add(page.stats.strategy)
        self.windows += bool(page.rows)
        self.cursor = page.cursor


def walked(pages: Iterable[Page]) -> Walked:
    """What comes of a walk to its end, or to the error that ends it."""
    found = Walked()
    try:
        for page in pages:
            found.add(page)
    except PagerError as error:
        found.error = error
    return found


def id_of(row: Row) -> int:
    """The id of a row of the embedded shop, by its number where there is one: not all rows of sales hold their own id.

    >>> id_of({"increment_id": "300100017", "order_id": "5"}), id_of({"customer_id": "8", "group_id": "1"})
    (100017, 8)
    """
    if "product_id" in row:
        return int(row["product_id"])
    return int(row["customer_id"]) if "group_id" in row else int(row["increment_id"]) % 100_000_000
