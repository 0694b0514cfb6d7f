"""The report of a dump: what was written, what it cost, and how it was checked. A view of its checkpoint."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from magento_pager.errors import option
from magento_pager.lists import LISTS
from magento_pager.walk.ranges import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.walk.pages import Bounds, Changes, Quarantined
    from magento_pager.walk.ranges import IdRange

VERIFIED = {
    "ids": "every row by its own id",
    "sampled": "rows carry no id, so the rows of different windows were compared with each other",
    "twice": "every window was read by two strategies, which returned the same rows",
}
"""How rows were checked, for each value of `Counters.verified`."""

PROTOCOLS = {"soap": "SOAP", "xml-rpc": "XML-RPC"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a dump is after a page.

    Attributes:
        rows: rows in the output, of all runs.
        fresh: rows written by this run.
        calls: calls made for them, in all runs.
        retries: calls that this run repeated.
        window: the ids of the page, inclusive.
        next_id: every id below is covered.
        ahead: estimate of the rows still expected; None if unknown.

    >>> from magento_pager import IdRange
    >>> Progress(rows=500, fresh=500, calls=3, retries=0, window=IdRange(0, 999), next_id=1000).rows
    500
    """

    rows: int
    fresh: int
    calls: int
    retries: int
    window: IdRange
    next_id: int
    ahead: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a dump, over all of its runs. Its text is the summary that the command line prints.

    Attributes:
        checkpoint: what is safe.
        complete: True once every requested id is covered and the output has its name.
        error: message of the error that stopped the dump, or None.
        details: how full records were last read, and why no faster way was used; None without `details`.
        path: where the rows go; None if that is not a file.
        part: where the safe rows are while the dump can be resumed; else None.
        published: True once the output has its name.
        already: True if nothing was left to do.
        to_standard_output: True if the rows go to standard output.
    """

    checkpoint: Checkpoint
    complete: bool = False
    error: str | None = None
    details: Mapping[str, str | None] | None = None
    path: Path | None = None
    part: Path | None = None
    published: bool = False
    already: bool = False
    to_standard_output: bool = False

    @property
    def rows(self) -> int:
        """Rows in the output, of all runs."""
        return self.checkpoint.counters.rows

    @property
    def calls(self) -> int:
        """Calls made for them."""
        return self.checkpoint.counters.calls

    @property
    def left_out(self) -> tuple[Quarantined, ...]:
        """Rows that were skipped, each with the reason."""
        return self.checkpoint.quarantined

    @property
    def counted(self) -> str:
        """The rows in the output, as text: `2,000 orders`."""
        return counted(self.rows, self.checkpoint.fingerprint.entity)

    @property
    def cost(self) -> str:
        """What the dump cost and how its rows were checked, one sentence a line: `--verbose` adds it to the summary."""
        return "\n".join(self._cost_lines())

    def __str__(self) -> str:
        return "\n".join([self._headline(), *self._notes()])

    def _headline(self) -> str:
        counters = self.checkpoint.counters
        if self.already:
            again = f"Nothing was exported; use {option('overwrite')} to export it again."
            return f"{shown(self.path)} is already complete: {self.counted}, {self._covered()}. {again}"
        if self.complete:
            target = "standard output" if self.to_standard_output else shown(self.path)
            to = f" to {target}" if target else ""
            return f"Exported {self.counted}{to} in {elapsed(counters.seconds)}. Complete: {self._covered()}."
        if self.part is None:
            return f"Not complete: {self.counted} written, {self._covered()}."
        are, resume = "is" if self.rows == 1 else "are", f"use {option('resume')} to continue"
        return f"Not complete: {self.counted} {are} safe in {shown(self.part)}, {self._covered()}; {resume}."

    def _covered(self) -> str:
        """Return the ids that are covered, as text."""
        query = self.checkpoint.fingerprint
        last = query.last if self.complete else self.checkpoint.cursor.next_id - 1
        if last < query.first:
            return "no id accounted for"
        ids = "every id" if (query.first, last) == (0, MAX_ID) else f"every id from {query.first} to {last}"
        skipped = f", {len(self.left_out)} of them skipped" if self.left_out else ""
        return f"{ids} accounted for{skipped}"

    def _notes(self) -> Iterator[str]:
        """Return what the reader may have to act on, one sentence for each."""
        saved, query = self.checkpoint, self.checkpoint.fingerprint
        for row in self.left_out:
            yield f"Skipped id {row.id} of {query.entity}: {' '.join(row.reason.split())}"
        if saved.repaired:
            ids = ", ".join(map(str, saved.repaired))
            rows = counted(len(saved.repaired), query.entity)
            yield f"Repaired {rows} by removing characters that XML does not allow: ids {ids}."
        for invalid in saved.misfits:
            values = ", ".join(f"id {value.id}: {value.value!r}" for value in invalid.first)
            values += ", ..." if invalid.count > len(invalid.first) else ""
            number = f"{invalid.count:,} invalid value{'s' * (invalid.count > 1)}"
            yield f"Wrote null for {number} of {invalid.column} ({values})."
        if saved.changes:
            yield self._since_line(saved.changes)
        for bounds in saved.bounds:
            if bounds.verified == "probe":
                yield _bounds_line(bounds)

    def _since_line(self, changes: Changes) -> str:
        query = self.checkpoint.fingerprint
        line = f"Contains only {query.entity} changed since {changes.since} UTC"
        if query.new_from is not None:
            line += f", and {self.checkpoint.counters.new:,} new ones with an id from {query.new_from} on"
        if changes.verified == "probe":
            line += (
                f". This was tried but not checked, because {query.entity} do not carry the time of their last change"
            )
        return f"{line}."

    def _cost_lines(self) -> Iterator[str]:
        saved, counters = self.checkpoint, self.checkpoint.counters
        checks = f", {counters.checks:,} to check others" if counters.checks else ""
        calls = f"{counters.calls:,} call{'s' * (counters.calls != 1)}"
        yield f"Made {calls}, {counters.empty_calls:,} without rows{checks}."
        if counters.bytes:
            yield f"Received {counters.bytes:,} bytes, after decompression."
        yield f"Checked: {VERIFIED.get(counters.verified, counters.verified)}."
        wire = saved.wire or {}
        protocol = f" over {PROTOCOLS[wire['wire']]}" if wire.get("wire") else ""
        reason = f" ({wire['wire_reason']})" if wire.get("wire_reason") else ""
        if counters.strategies:
            yield f"Read by the strategy {' and '.join(counters.strategies)}{protocol}{reason}."
        if names := wire.get("undeclared_columns"):
            yield f"Columns that SOAP does not declare: {', '.join(names)}."
        if self.details and self.details.get("way"):
            why = f" ({self.details['why']})" if self.details.get("why") else ""
            way = self.details["way"]
            yield f"Read full records over {PROTOCOLS.get(str(way), way)}{why}."
        if saved.changes and saved.changes.field:
            tried = "" if saved.changes.row is None else f" on row {saved.changes.row}"
            yield f"Tried {saved.changes.field} {saved.changes.operator}{tried} before it was used."
        for bounds in saved.bounds:
            if bounds.verified != "probe":
                yield _bounds_line(bounds)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        counters = self.checkpoint.counters
        return {
            "entity": self.checkpoint.fingerprint.entity,
            "asked": asdict(self.checkpoint.fingerprint),
            "began": self.checkpoint.began or None,
            "strategy": " + ".join(counters.strategies),
            "rows": counters.rows,
            "calls": counters.calls,
            "empty_calls": counters.empty_calls,
            "checks": counters.checks,
            "bytes": counters.bytes,
            "seconds": counters.seconds,
            "first_id": counters.first_id,
            "last_id": counters.last_id,
            "verified": counters.verified,
            "updated_since": self._since,
            "bounds": [
                {
                    "column": bounds.column,
                    "by": bounds.by,
                    "condition": " and ".join(map(str, bounds.sent)),
                    "here": " and ".join(map(str, bounds.here)) or None,
                    "verified": bounds.verified,
                    "row": bounds.row,
                }
                for bounds in self.checkpoint.bounds
            ],
            "quarantined": [asdict(skipped) for skipped in self.checkpoint.quarantined],
            "repaired": list(self.checkpoint.repaired),
            "details": self.details and dict(self.details),
            **(self.checkpoint.wire or {"wire": None, "wire_reason": None, "undeclared_columns": []}),
            "misfits": [
                {
                    "column": invalid.column,
                    "count": invalid.count,
                    "first": [{"id": row.id, "value": row.value} for row in invalid.first],
                }
                for invalid in self.checkpoint.misfits
            ],
            "digest": str(self.checkpoint.digest),
            "digests": self.checkpoint.digest.as_json(),
            "complete": self.complete,
            "error": self.error,
        }

    @property
    def _since(self) -> dict[str, Any] | None:
        """The time of `since` and the evidence that the server honours it; None without `since`."""
        changes = self.checkpoint.changes
        if not self.checkpoint.fingerprint.since:
            return None
        return {
            "time": self.checkpoint.fingerprint.since,
            "condition": " and ".join(map(str, changes.conditions)) if changes else None,
            "verified": changes.verified if changes else None,
            "row": changes.row if changes else None,
            "new_from": self.checkpoint.fingerprint.new_from,
            "new_rows": self.checkpoint.counters.new,
        }


def counted(rows: int, entity: str) -> str:
    """Return a number of rows as text.

    >>> counted(2_000, "orders"), counted(1, "orders"), counted(1, "Tickets")
    ('2,000 orders', '1 order', '1 row of Tickets')
    """
    if rows != 1:
        return f"{rows:,} {entity}"
    return f"1 {entity.removesuffix('s')}" if entity in LISTS else f"1 row of {entity}"


def shown(path: Path | None) -> str:
    """Return a path as the user would write it: relative if it is below the current folder; empty for None."""
    with suppress(OSError, ValueError):  # the current folder is gone, or the path is elsewhere
        return "" if path is None else str(path.relative_to(path.cwd()))
    return str(path)


def elapsed(seconds: float) -> str:
    """Return a length of time as text.

    >>> elapsed(1.46), elapsed(75)
    ('1.5 s', '1 min 15 s')
    """
    from magento_pager.walk.planning import duration  # noqa: PLC0415  not before the login

    return f"{max(0.1, seconds):.1f} s" if seconds < 60 else duration(seconds)  # noqa: PLR2004


def _bounds_line(bounds: Bounds) -> str:
    """Return how a range of a column was applied, and how that was checked."""
    by_server = " and ".join(map(str, bounds.sent))
    by_client = " and ".join(map(str, bounds.here))
    applied = " and ".join(
        f"{conditions} {where}"
        for conditions, where in ((by_server, "by the server"), (by_client, "by the client"))
        if conditions
    )
    evidence = {
        "rows": f"tried on row {bounds.row}, then checked on every row",
        "probe": f"tried but not checked, because rows do not carry {bounds.column}",
        "empty": "not tried, because there is no row to try it on",
    }[bounds.verified]
    return f"Range of {bounds.column}: {applied} ({evidence})."
