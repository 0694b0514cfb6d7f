"""Lists of other SOAP services that are read step by step: by an offset, by the last row, or by a token.

Such a service only tells where the next rows are when it sends the previous ones. The walk numbers rows by their step
and their place in it, so that pages, cursors, checks and outputs work as for any list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from magento_pager.errors import MalformedReplyError
from magento_pager.services.calling import Service
from magento_pager.services.soap import NO_FIELD, as_bounds
from magento_pager.walk.paginator import Paginator
from magento_pager.walk.ranges import MAX_ID
from magento_pager.walk.strategies import Range

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from magento_pager.errors import Remedy
    from magento_pager.lists import Kind
    from magento_pager.services.calling import Rows
    from magento_pager.walk.conditions import Query
    from magento_pager.walk.pages import Row

MOST_IN_STEP = 100_000
"""Rows that a step may have: that many numbers are reserved for it."""
KEPT = 2
"""Steps whose rows are kept in memory: the walk begins each window after the last row of the one before."""


@dataclass(slots=True)
class _Progress:
    """The progress of a walk.

    Attributes:
        begins: the position of each known step.
        ended: True if the last known step is the last one.
        rows: of the latest steps.
        numbers: of their rows, by identity.
        steps: the step of each identity so far.
    """

    begins: list[Any] = field(default_factory=lambda: [None])
    ended: bool = False
    rows: dict[int, list[Row]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SteppedSource(Service):
    """A list of a SOAP service that is read step by step; `paginator` walks it, a page for each step.

    A row of an earlier step is skipped; a step with only such rows ends the walk with an error. If steps begin at an
    offset, a row that is deleted meanwhile shifts the rows after it: one of them can be missed, and such a service
    offers no way to notice it. A walk that is resumed in another process reads the earlier steps once more, and skips
    their rows. Only one walk of a source at a time; it remembers the identities of all rows.

    Attributes:
        operation: of zeep, or a function that calls one; see `SoapSource`.
        arguments: makes the arguments of the operation, by name, from the position of a step: None for the first one,
            then the value that `following` returned.
        following: returns the position of the next step from the operation's result, its rows, and the position of
            this step; None after the last one.
        identity: the column that no two rows share.
        rows: see `SoapSource`.
        remedies: see `SoapSource`.
        url: see `SoapSource`.

    >>> source = SteppedSource(lambda **_: [{"No": "7"}], lambda place: {}, lambda result, rows, place: None, "No")
    >>> list(source.paginator("documents"))
    [{'No': '7'}]
    """

    operation: Callable[..., Any]
    arguments: Callable[[Any], Mapping[str, Any]]
    following: Callable[[Any, list[Row], Any], Any]
    identity: str
    rows: Rows | None = None
    remedies: Mapping[str, Remedy] = field(default_factory=dict)
    url: str = ""
    _walks: list[_Progress] = field(default_factory=lambda: [_Progress()], init=False, compare=False, repr=False)

    def paginator(self, name: str, **options: Any) -> Paginator:
        """Return a paginator for the list; `options` are those of `Paginator` except `first`, `last` and `window`."""
        options = {"identity_field": self.identity, "window": MOST_IN_STEP, **options}
        return Paginator(self, Range(NO_FIELD), NO_FIELD, operation=name, key=NO_FIELD, **options)

    def place(self, row: Row) -> int:
        """Return the number of a row of the latest steps."""
        return self._walks[0].numbers[row[self.identity]]

    def columns(self, _: str) -> tuple[dict[str, Kind], frozenset[str]]:
        """Return the declared columns of rows, see `Call.columns`."""
        return self._call.columns(self.identity)

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of some numbers, by one call for each of their steps that was not read yet.

        Raises:
            RemoteError: a call failed, or a condition is not on the numbers.
        """
        conditions = as_bounds(query.conditions, lambda condition: condition.field != NO_FIELD)
        bounds = {bound.operator: int(bound.value) for bound in conditions}
        first, last = bounds.get("from", 0), min(bounds.get("to", MAX_ID), MAX_ID)
        if first == 0:  # a walk begins
            self._walks[0] = _Progress()
        walk = self._walks[0]
        for step in range(first // MOST_IN_STEP, last // MOST_IN_STEP + 1):
            while len(walk.begins) <= step and not walk.ended:
                self._read(walk, len(walk.begins) - 1)
            if step >= len(walk.begins):
                return
            kept = walk.rows.get(step)
            for row in self._read(walk, step) if kept is None else kept:
                if first <= walk.numbers[row[self.identity]] <= last:
                    yield row

    def _read(self, walk: _Progress, step: int) -> list[Row]:
        """Read a step, remember where the next one begins, and return its rows without those of earlier steps."""
        result, rows = self._call.answer(self.arguments(walk.begins[step]))
        fresh = {}
        for row in rows:
            name = row.get(self.identity)
            if not isinstance(name, str):
                raise MalformedReplyError(f"{self.name}: a row has no {self.identity}, which must identify it")
            if walk.steps.setdefault(name, step) == step:
                fresh[name] = row
        if len(rows) > MOST_IN_STEP or (rows and not fresh):
            fact = f"more than {MOST_IN_STEP} rows" if fresh else "only rows of earlier steps: its position is ignored"
            raise MalformedReplyError(f"{self.name}: a step has {fact}")
        if step == len(walk.begins) - 1 and not walk.ended:
            position = self.following(result, rows, walk.begins[step])
            walk.begins += [] if position is None else [position]
            walk.ended = position is None
        walk.numbers |= {name: step * MOST_IN_STEP + place for place, name in enumerate(fresh)}
        walk.rows[step] = list(fresh.values())
        for row in walk.rows.pop(step - KEPT, ()):
            del walk.numbers[row[self.identity]]
        return walk.rows[step]
