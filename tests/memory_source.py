"""A list in memory, as a `Source`: it applies conditions exactly, or as a given old server does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.readings import Reading, honest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from magento_pager import Query
    from magento_pager.walk.pages import Row


@dataclass
class MemorySource:
    """Rows with these ids.

    Attributes:
        ids: of the rows; may change between calls.
        reading: how conditions are read.
        with_ids: False for rows that carry no id.
        queries: every query so far, with the number of rows it returned.
        closed: number of replies that were closed before their end.
    """

    ids: Iterable[int]
    reading: Reading = honest
    with_ids: bool = True
    queries: list[tuple[Query, int]] = field(default_factory=list)
    closed: int = 0

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the matching rows, highest id first, because a server guarantees no order."""
        matching = self.reading(query.conditions, sorted(self.ids))
        self.queries.append((query, len(matching)))
        try:
            for number in reversed(matching):
                yield self.row(number)
        except GeneratorExit:
            self.closed += 1
            raise

    def row(self, number: int) -> Row:
        """Return the row with this id."""
        row = {"increment_id": f"{100_000_000 + number}"}
        return {"id": str(number), **row} if self.with_ids else row

    def rows(self) -> list[Row]:
        """Return all rows, in order."""
        return [self.row(number) for number in sorted(self.ids)]

    @property
    def largest(self) -> int:
        """Number of rows in the largest reply."""
        return max(rows for _, rows in self.queries)

    @property
    def empty(self) -> int:
        """Number of calls that returned no rows."""
        return sum(not rows for _, rows in self.queries)
