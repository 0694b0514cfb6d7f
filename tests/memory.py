"""A list in memory, as a `Source`: it reads conditions as an honest server does, or as a given old one."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from magento_pager import Condition, Query
    from magento_pager.walk.pages import Row


Reading = Callable[["tuple[Condition, ...]", list[int]], list[int]]
"""How a server reads conditions: which of the ids, in order, come back."""


def honest(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
    """Every condition, as asked."""
    for condition in conditions:
        ids = satisfying(condition, ids)
    return ids


def last_per_column(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
    """Only the last condition on a column, however its name is spelt."""
    return honest(conditions[-1:], ids)


def no_lists(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
    """Lists are not split, so their first id alone is read; regexps are unknown, so nothing equals them."""
    for condition in conditions:
        if condition.operator == "in":
            ids = [number for number in ids if number == int(condition.value.split(",")[0])]
        elif condition.operator == "regexp":
            ids = []
        else:
            ids = satisfying(condition, ids)
    return ids


def satisfying(condition: Condition, ids: list[int]) -> list[int]:
    """The ids that satisfy one condition on the key, as asked."""
    operand = condition.value
    match condition.operator:
        case "from" | "gteq":
            return ids[bisect_left(ids, int(operand)) :]
        case "to":
            return ids[: bisect_right(ids, int(operand))]
        case "in":
            wanted = set(map(int, operand.split(",")))
            return [number for number in ids if number in wanted]
        case "like" | "regexp":
            text = operand.strip("^$")
            if condition.operator == "like":
                text = operand.replace("_", "[0-9]").replace("%", "[0-9]*")
            matches = re.compile(text).fullmatch
            return [number for number in ids if matches(str(number))]
    raise AssertionError(f"the list in memory does not know {condition}")


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
