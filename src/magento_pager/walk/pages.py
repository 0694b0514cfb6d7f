"""What a walk delivers: pages, where each leaves off, and what it cost. Values, and who makes tables of them."""

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
"""One record as the server sent it: text by field name; a field that is NULL there is an absent key."""

Token: TypeAlias = int | str
"""What a row is known by: its id, or its identity in lists whose rows carry no id."""


def row_order(token: Token) -> tuple[int, int | str]:
    """Return what rows are sorted by: ids before identities, of those the shorter ones first, as numbers in text are.

    >>> sorted(["100000002", "99", 5, "100000001"], key=row_order)
    [5, '99', '100000001', '100000002']
    """
    return (0, token) if isinstance(token, int) else (len(token), token)


class KnownRow(NamedTuple):
    """A row known to exist, which may serve as a canary."""

    id: int
    token: Token


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a walk stands: plain values, fit for JSON.

    Attributes:
        operation: the list that is walked; a cursor of another is refused.
        next_id: the first id not yet covered, inclusive; above `last_id` when the walk is done.
        last_id: the last id to cover, inclusive, frozen when the walk began.
        version: of this form.
        asked: a digest of `where`, `since` and `new_from`; None in a cursor that does not say. Another is refused.
    """

    operation: str
    next_id: int
    last_id: int
    version: int = CURSOR_VERSION
    asked: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PageStats:
    """What a page cost.

    Attributes:
        strategy: the name of the one that carries rows on this walk.
        asked_by: the name of the one that asked for this window: the same, or one that crosses what that cannot.
        calls: requests answered for it, samples and tests before it included.
        empty_calls: those of them that brought no row.
        seconds: spent waiting for and reading the answers.
        by_ids: True where every row was checked by its own id; False where rows carry none.
        twice: True where two strategies brought the same rows.
        checks: calls among them that checked others.
        retries: attempts before it that failed, and were made again or in narrower windows.
        parallel: calls that might be under way at once.
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
    """A row that is left out because every reply it is in fails, while others arrive.

    Attributes:
        id: its id.
        reason: the message of that failure: the server's words and what they mean, or what is wrong with its reply.
    """

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that is no value of its column's type, and so is null in a typed row.

    Attributes:
        id: what the row is told apart by: its id, or its identity where it carries none.
        column: the column.
        value: what the server sent.
    """

    id: str
    column: str
    value: str


@dataclass(frozen=True, slots=True)
class Changes:
    """How a server was told to send only what changed, and the evidence that it understood: plain values, fit for JSON.

    Attributes:
        since: the moment, inclusive, in UTC as the server writes it.
        field: what the condition is on; empty where none is sent, since the list has no row that it could keep back.
        operator: how it is compared.
        verified: `rows`: rows say when they were changed, so the condition was tried to the second on one of them, and
            every row that comes is held against it; `probe`: they do not say, so that the trial is all there is: rows
            came since 1970, and since the end of 2037 none did; `empty`: there was no row to try it on.
        row: what the row is known by on which it was tried, one of several where they do not say.
        calls: made to find rows and to try it on them.
    """

    since: str
    field: str
    operator: str
    verified: Verified
    row: Token | None
    calls: int

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What goes with every query: one condition, or none.

        >>> Changes("2024-05-01 10:00:00", "", "", "empty", None, 9).conditions
        ()
        """
        return (Condition(self.field, self.operator, self.since),) if self.field else ()

    def __str__(self) -> str:
        evidence = {
            "rows": f"{self.field} {self.operator}, tried on row {self.row}, and every row is held against it",
            "probe": f"{self.field} {self.operator}, which rests on a trial alone: rows do not say when they changed",
            "empty": "no row to try that on",
        }
        return f"changed since {self.since} UTC ({evidence[self.verified]})"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How a server was told both bounds of a range on one column, and the evidence that it understood: plain values.

    Attributes:
        column: what the range is on.
        sent: the bounds that go with every query, as this server is told them.
        here: the bounds that the server would have dropped, and that are applied to the rows that it sends; of a list
            without a row to try anything on, both.
        verified: `rows`: rows carry the column, so it was tried on one of them whether the server honours what is sent,
            to the second for dates, and every row that comes is held against it; `probe`: they do not carry it, so that
            the trial is all there is: rows came between bounds far apart, and none above or below all values; `empty`:
            no row has a value there, so there was none to try it on.
        row: what the row is known by on which it was tried, one of several where they do not carry the column.
        calls: made to find rows and to try it on them.
    """

    column: str
    sent: tuple[Condition, ...]
    here: tuple[Condition, ...]
    verified: Verified
    row: Token | None
    calls: int = 0

    @property
    def by(self) -> Literal["server", "here"]:
        """Who applies the range: the server alone, or the client as well."""
        return "here" if self.here else "server"

    def __str__(self) -> str:
        by_server = f"{' and '.join(map(str, self.sent))} by the server"
        by_client = f", {' and '.join(map(str, self.here))} here" if self.here else ""
        evidence = {
            "rows": f"tried on row {self.row}, and every row is held against it",
            "probe": f"which rests on a trial alone: rows do not carry {self.column}",
            "empty": "no row to try that on",
        }
        return f"range: {by_server}{by_client} ({evidence[self.verified]})"


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of one window: whole, checked and sorted.

    Attributes:
        window: the ids covered, inclusive.
        rows: all rows of the window, by id; by identity where rows carry no id. May be empty.
        cursor: where the walk goes on once this page is safe.
        stats: what it cost.
        quarantined: ids of the window whose rows are left out, with the reason.
        repaired: ids of the window whose rows are only readable after characters were taken out that XML forbids.
        misfits: values of typed rows that are null because they did not fit.
        changes: how the server was told to send only what changed; None where all rows are wanted.
        bounds: how the server was told each range among the conditions.
        ahead: rows expected behind this page, about, by the walk's own sample of the ids; None where none was taken,
            it met too few rows to tell, or rows carry no ids.
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
    """Makes tables of Arrow of the pages of a paginator."""

    def batches(self, paginator: Walker_contra, resume: Cursor | None) -> Iterator[pa.RecordBatch]:
        """Return the rows of each page that has any as a batch."""

    def reader(self, paginator: Walker_contra, resume: Cursor | None) -> pa.RecordBatchReader:
        """Return what reads a page when it is read."""


def require_tables(tables: Tables[Walker_contra] | None) -> Tables[Walker_contra]:
    """Return who makes tables.

    Raises:
        ValueError: nobody does.
    """
    if tables is None:
        raise ValueError(
            "only the lists of a Pager have columns that are known: make tables of rows of others yourself"
        )
    return tables
