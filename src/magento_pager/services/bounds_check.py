"""The test of which bounds the service of a `SoapSource` honours, with the evidence.

A service that drops a bound answers as if nothing were wrong. So each kind of query of a walk is tried on the rows of a
first page: the service must return the requested rows and no others.
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


class BoundedSource(Protocol):
    """The tested source: a `SoapSource`."""

    @property
    def key(self) -> Key:
        """The column that windows are ranges of."""

    def number_of(self, row: Row) -> int:
        """Return the number for the key of a row."""

    def as_sent(self, condition: Condition) -> Condition:
        """Return a condition with the key as the service writes it."""

    def read(self, query: Query) -> Iterable[Row]:
        """Return the rows of one call without checking their keys."""


@dataclass(frozen=True, slots=True)
class BoundsTrial:
    """One tested kind of query, and its outcome.

    Attributes:
        query: the conditions as text.
        honoured: True if the service returned the requested rows and no others.
        outcome: the rows it returned, as text.
    """

    query: str
    honoured: bool
    outcome: str

    def __str__(self) -> str:
        return f"{'works' if self.honoured else 'FAILS':6}  {self.query}: {self.outcome}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The bounds that a service honours.

    Attributes:
        tried: the trial of each kind of query that a walk needs.
        rows: how many rows the trials used.
    """

    tried: tuple[BoundsTrial, ...]
    rows: int

    @property
    def ok(self) -> bool:
        """True if every trial succeeded, with one row at least."""
        return bool(self.rows) and all(trial.honoured for trial in self.tried)

    def __str__(self) -> str:
        verdict = "a walk can rely on it" if self.ok else "a walk cannot rely on it"
        return "\n".join([*map(str, self.tried), f"tried on {self.rows} rows: {verdict}"])


def check_bounds(paginator: Paginator, source: BoundedSource) -> Evidence:
    """Try each kind of query that a walk needs on the first rows of a list."""
    try:
        rows = next((page.rows for page in paginator.pages() if page.rows), ())
    except RemoteError as error:
        return Evidence((BoundsTrial("the first page", honoured=False, outcome=str(error)),), 0)
    places = sorted(source.number_of(row) for row in rows)
    if not places:
        return Evidence((BoundsTrial("the first page", honoured=False, outcome="it has no rows to test with"),), 0)
    low, middle, high, end = places[0], places[len(places) // 2], places[-1], source.key.highest
    tried: list[BoundsTrial] = []
    for title, first, last in (
        ("one key", middle, middle),
        ("the first half of a page", low, middle),
        ("the second half", middle, high),
        ("bounds without rows", high, low) if low < high else ("one key once more", low, low),
        ("the upper bound alone", None, middle),
        ("the last possible key", end, end),
    ):
        tried.append(_trial(source, places, first, last, title))
        if not tried[-1].honoured:  # the next reply might be the whole table
            break
    return Evidence(tuple(tried), len(places))


def _trial(source: BoundedSource, places: Sequence[int], first: int | None, last: int, title: str) -> BoundsTrial:
    """Try one kind of query; if the service honours it, the reply is not larger than the page of the rows."""
    field = source.key.field
    bounds = [("from", first)] if first is not None else []
    conditions = tuple(Condition(field, operator, str(bound)) for operator, bound in (*bounds, ("to", last)))
    query = " and ".join(f"{bound.operator} {source.as_sent(bound).value}" for bound in conditions)
    expected = [place for place in places if (first is None or first <= place) and place <= last]
    try:
        received = sorted(source.number_of(row) for row in source.read(Query(conditions, ANYWHERE)))
    except RemoteError as error:
        return BoundsTrial(f"{title}, {field} {query}", honoured=False, outcome=str(error))
    # There may be rows above the page, and new rows since: only the requested ones count.
    known = [place for place in received if places[0] <= place <= places[-1]]
    beyond = [place for place in received if (first is not None and place < first) or place > last]
    if beyond:
        outcome = f"{len(beyond)} of {len(received)} rows were not requested, such as {source.key.text(beyond[0])}"
    elif len(known) < len(expected):
        outcome = f"{len(known)} of {len(expected)} rows were returned"
    else:
        outcome = f"{len(received)} rows were returned, all of them requested"
    return BoundsTrial(
        f"{title}, {field} {query}", honoured=not beyond and len(known) >= len(expected), outcome=outcome
    )
