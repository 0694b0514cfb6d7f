"""Results of a walk: pages, the cursor and cost of each, and the protocol that turns them into Arrow tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from magento_pager.walk.conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from magento_pager.walk.ranges import IdRange

Walker_contra = TypeVar("Walker_contra", contravariant=True)

CURSOR_VERSION = 1
Verified: TypeAlias = Literal["rows", "probe", "empty"]


Row: TypeAlias = dict[str, Any]
"""One record as the server sent it: text by field name. A field that is NULL in the database is an absent key."""

Token: TypeAlias = int | str
"""A row's identifier: its id, or its identity in lists whose rows carry no id."""


def row_order(token: Token) -> tuple[int, int | str]:
    """Return the sort key of a row: ids before identities, and shorter identities first, like numbers in text.

    >>> sorted(["100000002", "99", 5, "100000001"], key=row_order)
    [5, '99', '100000001', '100000002']
    """
    return (0, token) if isinstance(token, int) else (len(token), token)


class KnownRow(NamedTuple):
    """A row known to exist. A query that must return it shows whether the server misread a condition."""

    id: int
    token: Token


@dataclass(frozen=True, slots=True)
class Cursor:
    """Position of a walk: plain values that can be stored as JSON.

    Attributes:
        operation: the list; a cursor of another list is refused.
        next_id: the first id not yet covered; above `last_id` when the walk is complete.
        last_id: the last id to cover, inclusive, fixed when the walk began.
        version: the version of this format.
        asked: a digest of `where`, `since` and `new_from`; None if unknown. A cursor with another digest is refused.

    >>> Cursor("salesOrderList", next_id=500, last_id=999).next_id
    500
    """

    operation: str
    next_id: int
    last_id: int
    version: int = CURSOR_VERSION
    asked: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PageStats:
    """Cost of a page.

    Attributes:
        strategy: the name of the strategy that reads the rows of this walk.
        asked_by: the name of the strategy that read this window: the same, or one that can read wider windows.
        calls: answered calls for the page, including samples and tests before it.
        empty_calls: calls among them that returned no row.
        seconds: time spent waiting for and reading the replies.
        by_ids: True where every row was checked by its own id; False where rows carry none.
        twice: True where two strategies returned the same rows.
        checks: calls among them that checked other calls.
        retries: failed attempts that were repeated, or replaced by narrower windows.
        parallel: the limit of concurrent calls.

    >>> PageStats("key-range", "key-range", calls=2, empty_calls=1, seconds=0.4).calls
    2
    """

    strategy: str
    asked_by: str
    calls: int
    empty_calls: int
    seconds: float
    by_ids: bool = True
    retries: int = 0
    parallel: int = 1
    checks: int = 0
    twice: bool = False


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A skipped row: every reply that contains it fails, while other rows can be read.

    Attributes:
        id: its id.
        reason: the error message: the server's text and its meaning, or what is wrong with the reply.
    """

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that is invalid for its column's type, and therefore null in a typed row.

    Attributes:
        id: the row's identifier: its id, or its identity where it carries no id.
        column: the name of the column.
        value: what the server sent.
    """

    id: str
    column: str
    value: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The condition that selects changed rows, and the evidence that the server honours it: plain values for JSON.

    Attributes:
        since: the timestamp, inclusive, in UTC as the server writes it.
        field: the field of the condition; empty if none is sent because the list has no rows.
        operator: the operator of the condition.
        verified: `rows`: rows carry the time of their last change, so the condition was tested to the second on one of
            them, and every row is checked; `probe`: they do not, so the test is the only evidence: rows were returned
            for changes since 1970, and none for changes since the end of 2037; `empty`: there was no row to test it on.
        row: the identifier of the row it was tested on; one of several where rows do not carry the time.
        calls: calls to find rows and to test the condition.
    """

    since: str
    field: str
    operator: str
    verified: Verified
    row: Token | None
    calls: int

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions to add to every query: one, or none.

        >>> Changes("2024-05-01 10:00:00", "", "", "empty", None, 9).conditions
        ()
        """
        return (Condition(self.field, self.operator, self.since),) if self.field else ()

    def __str__(self) -> str:
        condition = f"{self.field} {self.operator}"
        evidence = {
            "rows": f"{condition}, tested on row {self.row}; every row is checked",
            "probe": f"{condition}, tested before the walk; rows do not carry the time of their last change",
            "empty": "no row to test it on",
        }
        return f"changed since {self.since} UTC ({evidence[self.verified]})"


@dataclass(frozen=True, slots=True)
class Bounds:
    """The two bounds of a range on one column, and the evidence that the server honours them: plain values.

    Attributes:
        column: the column of the range.
        sent: the bounds added to every query, in the form that this server honours.
        here: the bounds that the server ignores, so the client applies them to the rows it receives; both bounds for a
            list without a row to test on.
        verified: `rows`: rows carry the column, so the bounds sent were tested on one of them, to the second for dates,
            and every row is checked; `probe`: they do not, so the test is the only evidence: rows were returned between
            bounds far apart, and none above or below all values; `empty`: no row has a value in the column, so there
            was none to test on.
        row: the identifier of the row they were tested on; one of several where rows do not carry the column.
        calls: calls to find rows and to test the bounds.

    >>> Bounds("created_at", (), (), "empty", None).by
    'server'
    """

    column: str
    sent: tuple[Condition, ...]
    here: tuple[Condition, ...]
    verified: Verified
    row: Token | None
    calls: int = 0

    @property
    def by(self) -> Literal["server", "here"]:
        """Where the range is applied: "server" for the server alone, "here" for the client as well."""
        return "here" if self.here else "server"

    def __str__(self) -> str:
        by_server = f"{' and '.join(map(str, self.sent))} by the server"
        by_client = f", {' and '.join(map(str, self.here))} by the client" if self.here else ""
        evidence = {
            "rows": f"tested on row {self.row}; every row is checked",
            "probe": f"tested before the walk; rows do not carry {self.column}",
            "empty": "no row to test it on",
        }
        return f"range: {by_server}{by_client} ({evidence[self.verified]})"


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one window: complete, checked and sorted.

    Attributes:
        window: the ids covered, inclusive.
        rows: all rows of the window, by id; by identity where rows carry no id. May be empty.
        cursor: where to resume once this page is stored.
        stats: the cost of the page.
        quarantined: ids of the window whose rows are skipped, with the reason.
        repaired: ids of the window whose rows are readable only without the characters that XML forbids.
        misfits: values that are null in typed rows because they are invalid for their column.
        changes: the condition that selects changed rows; None if all rows are requested.
        bounds: the bounds of each range among the conditions.
        ahead: estimated number of rows after this page, from a sample of the ids; None where there is no sample, it
            returned too few rows, or rows carry no ids.

    >>> from magento_pager import IdRange
    >>> stats = PageStats("key-range", "key-range", calls=1, empty_calls=1, seconds=0.1)
    >>> Page(IdRange(0, 9), (), Cursor("salesOrderList", 10, 99), stats).cursor.next_id
    10
    """

    window: IdRange
    rows: tuple[Row, ...]
    cursor: Cursor
    stats: PageStats
    quarantined: tuple[Quarantined, ...] = ()
    repaired: tuple[int, ...] = ()
    misfits: tuple[Misfit, ...] = ()
    changes: Changes | None = None
    bounds: tuple[Bounds, ...] = ()
    ahead: int | None = None


class Tables(Protocol[Walker_contra]):
    """Converts the pages of a paginator to Arrow."""

    def batches(self, paginator: Walker_contra, resume: Cursor | None) -> Iterator[pa.RecordBatch]:
        """Yield a batch for each page that has rows."""

    def reader(self, paginator: Walker_contra, resume: Cursor | None) -> pa.RecordBatchReader:
        """Return a reader that requests each page when it is read."""


def require_tables(tables: Tables[Walker_contra] | None) -> Tables[Walker_contra]:
    """Return the converter to Arrow.

    Raises:
        ValueError: there is none.
    """
    if tables is None:
        raise ValueError("the columns of this list are not known; only the lists of a Pager can be converted to Arrow")
    return tables
