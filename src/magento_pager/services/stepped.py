"""Lists of other SOAP services that are read step by step: by a count and an offset, by the last row, or by a token.

Such a service says where the next rows are only when it sends some. The walk counts rows by their step and their place
in it, so that pages, cursors, checks and outputs are what they are for any list.
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
"""Rows that a step may have: so many numbers are kept for it."""
KEPT = 2
"""Steps whose rows are in memory: the walk begins each window behind the last row of the one before."""


@dataclass(slots=True)
class _Progress:
    """How far a walk has come.

    Attributes:
        begins: where each step begins that is known.
        ended: the last of them is the last one.
        rows: of the latest steps.
        numbers: of their rows, by identity.
        seen: for each identity so far, the step that had it.
    """

    begins: list[Any] = field(default_factory=lambda: [None])
    ended: bool = False
    rows: dict[int, list[Row]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SteppedSource(Service):
    """A list of a SOAP service that is read step by step; `paginator` walks it, a page for each step.

    A row that an earlier step had is left out; a step with no other rows ends the walk with an error. Where steps are
    told by an offset, a row that is deleted meanwhile shifts those behind it: one of them can then be missed, and such
    a service gives no way to see it. A walk that is resumed in another process reads the steps before once more, and
    leaves out their rows. One walk of a source at a time; it remembers what all rows are known by.

    Attributes:
        operation: of zeep, or a function that calls one; as of `SoapSource`.
        arguments: makes the arguments of the operation, by name, from where a step begins: None for the first one, then
            what `following` returned.
        following: says where the next step begins, from what the operation returned, its rows, and where it began; None
            behind the last one.
        identity: the column that no two rows share.
        rows: as of `SoapSource`.
        remedies: likewise.
        url: likewise.
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
        """Return what walks the list; `options` are those of `Paginator`, but for `first`, `last` and `window`."""
        options = {"identity_field": self.identity, "window": MOST_IN_STEP, **options}
        return Paginator(self, Range(NO_FIELD), NO_FIELD, operation=name, key=NO_FIELD, **options)

    def place(self, row: Row) -> int:
        """Return the number of a row that came lately."""
        return self._walks[0].numbers[row[self.identity]]

    def columns(self, _: str) -> tuple[dict[str, Kind], frozenset[str]]:
        """Return the columns of rows as the WSDL declares them; see `Call.columns`."""
        return self._call.columns(self.identity)

    def fetch(self, query: Query) -> Generator[Row]:
        """The rows of some numbers, by as many calls as there are steps among them that were not read yet.

        Raises:
            RemoteError: a call failed; or something else than numbers is asked for.
        """
        asked = as_bounds(query.conditions, lambda one: one.field != NO_FIELD)
        bounds = {one.operator: int(one.value) for one in asked}
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
        """Read a step, and remember where the next one begins; without rows that an earlier step had."""
        result, rows = self._call.answer(self.arguments(walk.begins[step]))
        fresh = {}
        for row in rows:
            name = row.get(self.identity)
            if not isinstance(name, str):
                raise MalformedReplyError(
                    f"{self.name}: a row came without {self.identity}, which tells it from others"
                )
            if walk.seen.setdefault(name, step) == step:
                fresh[name] = row
        if len(rows) > MOST_IN_STEP or (rows and not fresh):
            said = f"more than {MOST_IN_STEP} rows" if fresh else "the same rows as before, wherever it should begin"
            raise MalformedReplyError(f"{self.name}: a step has {said}")
        if step == len(walk.begins) - 1 and not walk.ended:
            behind = self.following(result, rows, walk.begins[step])
            walk.begins += [] if behind is None else [behind]
            walk.ended = behind is None
        walk.numbers |= {name: step * MOST_IN_STEP + place for place, name in enumerate(fresh)}
        walk.rows[step] = list(fresh.values())
        for row in walk.rows.pop(step - KEPT, ()):
            del walk.numbers[row[self.identity]]
        return walk.rows[step]
