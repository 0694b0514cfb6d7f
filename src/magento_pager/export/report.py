"""The report of a dump: what was delivered, what it cost, and how far it can be trusted. A view of its checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.walk.pages import Quarantined


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
            "bytes": counters.bytes,
            "seconds": counters.seconds,
            "first_id": counters.first_id,
            "last_id": counters.last_id,
            "verified": counters.verified,
            "updated_since": self._since,
            "quarantined": [asdict(one) for one in self.checkpoint.quarantined],
            "repaired": list(self.checkpoint.repaired),
            "details": self.details and dict(self.details),
            "misfits": [
                {
                    "column": misfits.column,
                    "count": misfits.count,
                    "first": [{"id": one.id, "value": one.value} for one in misfits.first],
                }
                for misfits in self.checkpoint.misfits
            ],
            "digest": str(self.checkpoint.digest),
            "digests": self.checkpoint.digest.as_json(),
            "complete": self.complete,
            "error": self.error,
        }

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
        }
