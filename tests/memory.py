"""A list in memory, as a `Source`: it reads conditions as an honest server does, or as a given old one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.readings import Reading, honest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from magento_pager import Query
    from magento_pager.walk.pages import Row


@dataclass
class Memory:
    """Rows with these ids.

    Attributes:
        ids: of the rows; may change between calls.
        understands: how conditions are read.
        with_ids: False for rows that carry no id.
        asked: every query so far, and how many rows it brought.
        closed: how many replies were closed before their end.
    """

    ids: Iterable[int]
    understands: Reading = honest
    with_ids: bool = True
    asked: list[tuple[Query, int]] = field(default_factory=list)
    closed: int = 0

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows, highest id first: a server keeps no order."""
        found = self.understands(query.conditions, sorted(self.ids))
        self.asked.append((query, len(found)))
        try:
            for number in reversed(found):
                yield self.row(number)
        except GeneratorExit:
            self.closed += 1
            raise

    def row(self, number: int) -> Row:
        """The row of an id."""
        row = {"increment_id": f"{100_000_000 + number}"}
        return {"id": str(number), **row} if self.with_ids else row

    def rows(self) -> list[Row]:
        """All rows, in order."""
        return [self.row(number) for number in sorted(self.ids)]

    @property
    def largest(self) -> int:
        """Rows in the largest reply."""
        return max(rows for _, rows in self.asked)

    @property
    def empty(self) -> int:
        """Calls that brought nothing."""
        return sum(not rows for _, rows in self.asked)
