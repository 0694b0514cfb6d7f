"""Which bounds the service behind a `SoapSource` honours: tried on rows that are there, with the evidence.

A service that drops a bound answers as if nothing were wrong. So each way in which a walk asks is tried on rows that a
first page brought: those that were asked for must come, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from magento_pager.errors import RemoteError
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import MAX_ID, IdRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from magento_pager.services.keys import Key
    from magento_pager.walk.pages import Row
    from magento_pager.walk.paginator import Paginator

ANYWHERE = IdRange(0, MAX_ID)


class Honouring(Protocol):
    """What is tried: a `SoapSource`."""

    @property
    def key(self) -> Key:
        """What the list is cut by."""

    def number_of(self, row: Row) -> int:
        """Return the number that stands for the key of a row."""

    def said(self, one: Condition) -> Condition:
        """Return a condition with the key as the service writes it."""

    def read(self, query: Query) -> Iterable[Row]:
        """Return the rows of one call, whatever their keys are."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One way of asking, and what came of it.

    Attributes:
        asked: the conditions, in words.
        honoured: True where the rows came that were asked for, and no others.
        outcome: what came, in words.
    """

    asked: str
    honoured: bool
    outcome: str

    def __str__(self) -> str:
        return f"{'holds' if self.honoured else 'FAILS':6}  {self.asked}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a service honours.

    Attributes:
        tried: each way of asking that a walk needs.
        rows: how many rows it was tried on.
    """

    tried: tuple[Tried, ...]
    rows: int

    @property
    def ok(self) -> bool:
        """True where all of it holds, on one row at least."""
        return bool(self.rows) and all(one.honoured for one in self.tried)

    def __str__(self) -> str:
        verdict = "a walk can rest on it" if self.ok else "no walk can rest on it"
        return "\n".join([*map(str, self.tried), f"tried on {self.rows} rows: {verdict}"])


def tried_on(paginator: Paginator, source: Honouring) -> Evidence:
    """Try each way of asking that a walk needs on the first rows of a list."""
    try:
        rows = next((page.rows for page in paginator.pages() if page.rows), ())
    except RemoteError as error:
        return Evidence((Tried("the first page", honoured=False, outcome=str(error)),), 0)
    places = sorted(source.number_of(row) for row in rows)
    if not places:
        return Evidence((Tried("the first page", honoured=False, outcome="there are no rows to try anything on"),), 0)
    low, middle, high, end = places[0], places[len(places) // 2], places[-1], source.key.highest
    tried: list[Tried] = []
    for what, first, last in (
        ("one key", middle, middle),
        ("the first half of a page", low, middle),
        ("the second half", middle, high),
        ("bounds that leave nothing", high, low) if low < high else ("one key once more", low, low),
        ("the upper bound alone", None, middle),
        ("the last key there can be", end, end),
    ):
        tried.append(_trial(source, places, first, last, what))
        if not tried[-1].honoured:  # the next answer might be the whole table
            break
    return Evidence(tuple(tried), len(places))


def _trial(source: Honouring, places: Sequence[int], first: int | None, last: int, what: str) -> Tried:
    """Ask in one way; where it is honoured, no answer is larger than the page that the rows are of."""
    field = source.key.field
    bounds = [("from", first)] if first is not None else []
    conditions = tuple(Condition(field, operator, str(bound)) for operator, bound in (*bounds, ("to", last)))
    asked = " and ".join(f"{one.operator} {source.said(one).value}" for one in conditions)
    wanted = [place for place in places if (first is None or first <= place) and place <= last]
    try:
        came = sorted(source.number_of(row) for row in source.read(Query(conditions, ANYWHERE)))
    except RemoteError as error:
        return Tried(f"{what}, {field} {asked}", honoured=False, outcome=str(error))
    # Above the page there may be others, and rows may have come since: what counts is what was asked for.
    known = [place for place in came if places[0] <= place <= places[-1]]
    beyond = [place for place in came if (first is not None and place < first) or place > last]
    if beyond:
        outcome = f"{len(beyond)} of {len(came)} rows were not asked for, such as {source.key.text(beyond[0])}"
    elif len(known) < len(wanted):
        outcome = f"{len(known)} of {len(wanted)} rows came"
    else:
        outcome = f"{len(came)} rows came, none that was not asked for"
    return Tried(f"{what}, {field} {asked}", honoured=not beyond and len(known) >= len(wanted), outcome=outcome)
