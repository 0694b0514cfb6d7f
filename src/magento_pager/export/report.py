"""The report of a dump: what was delivered, what it cost, and how far it can be trusted. A view of its checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from magento_pager.errors import option

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.walk.pages import Quarantined
    from magento_pager.walk.ranges import IdRange


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a dump is, once a page was taken.

    Attributes:
        rows: in the output, of all runs.
        fresh: those of this run.
        calls: that were made for them, in all runs.
        retries: calls of this run that were made again.
        window: the ids of the page, inclusive.
        next_id: every id below is covered.
        ahead: rows still expected, about; None where that is unknown.
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
    """What a dump says of itself, over all of its runs.

    Attributes:
        checkpoint: what is safe.
        complete: True once every id asked for was covered and the output has its name.
        error: what stopped the dump, or None.
        details: the way by which records in full came last, and why it is no faster one; None without them.
        path: where the rows go; None where that is no file.
        part: where the rows are that are safe, as long as there is something to go on with; else None.
        published: True once the output has its name.
        already: True where nothing was left to be done.
    """

    checkpoint: Checkpoint
    complete: bool = False
    error: str | None = None
    details: Mapping[str, str | None] | None = None
    path: Path | None = None
    part: Path | None = None
    published: bool = False
    already: bool = False

    @property
    def rows(self) -> int:
        """Rows in the output, of all runs."""
        return self.checkpoint.counters.rows

    @property
    def calls(self) -> int:
        """Calls that were made for them."""
        return self.checkpoint.counters.calls

    @property
    def left_out(self) -> tuple[Quarantined, ...]:
        """Rows that had to be left out, each with the reason."""
        return self.checkpoint.quarantined

    def __str__(self) -> str:
        saved, asked, counters = self.checkpoint, self.checkpoint.fingerprint, self.checkpoint.counters
        lines = []
        if self.already:
            lines.append(f"{self.path} is complete already; nothing to do ({option('overwrite')} dumps anew)")
        lines += [f"left out: id {one.id} of {asked.entity}: {' '.join(one.reason.split())}" for one in self.left_out]
        if saved.repaired:
            ids = ", ".join(map(str, saved.repaired))
            lines.append(f"repaired, characters that XML forbids taken out: ids {ids}")
        lines += [f"did not fit, null in the output: {misfits}" for misfits in saved.misfits]
        cost = f"{counters.calls} calls ({counters.empty_calls} empty), {counters.seconds:.1f} s"
        state, end = ("complete", asked.last) if self.complete else ("not complete", saved.cursor.next_id - 1)
        account = f"{counters.rows} {asked.entity} in {cost}; {state}: every id from {asked.first} to {end} was covered"
        account += f" (verified: {counters.verified})"
        account += f", but {len(self.left_out)} left out, see above" if self.left_out else ""
        account += f"; {saved.changes}" if saved.changes else ""
        if asked.new_from is not None:
            account += f", or new: {counters.new} rows of ids from {asked.new_from} on"
        account += "".join(f"; {one}" for one in saved.bounds)
        account += self._by_wire
        return "\n".join([*lines, account])

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
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
                    "column": one.column,
                    "by": one.by,
                    "condition": " and ".join(map(str, one.sent)),
                    "here": " and ".join(map(str, one.here)) or None,
                    "verified": one.verified,
                    "row": one.row,
                }
                for one in self.checkpoint.bounds
            ],
            "quarantined": [asdict(one) for one in self.checkpoint.quarantined],
            "repaired": list(self.checkpoint.repaired),
            "details": self.details and dict(self.details),
            **(self.checkpoint.wire or {"wire": None, "wire_reason": None, "undeclared_columns": []}),
            "misfits": [
                {
                    "column": one.column,
                    "count": one.count,
                    "first": [{"id": row.id, "value": row.value} for row in one.first],
                }
                for one in self.checkpoint.misfits
            ],
            "digest": str(self.checkpoint.digest),
            "digests": self.checkpoint.digest.as_json(),
            "complete": self.complete,
            "error": self.error,
        }

    @property
    def _by_wire(self) -> str:
        """In words, by which wire rows came, where that is not the usual one or there is something to say of it."""
        used, asked = self.checkpoint.wire or {}, self.checkpoint.fingerprint
        if used.get("wire") == "soap" and used["wire_reason"] is None:
            return ""
        said = f"; by {used['wire']}" if used.get("wire") else ""
        said += f" ({used['wire_reason']})" if used.get("wire_reason") else ""
        if asked.all_columns and (names := used.get("undeclared_columns")):
            said += f"; {len(names)} column{'s' * (len(names) > 1)} that SOAP does not declare: {', '.join(names)}"
        return said

    @property
    def _since(self) -> dict[str, Any] | None:
        """Since when rows were wanted, and the evidence that the server understood; None where all were."""
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
