"""The report of a dump: what was delivered, what it cost, and how far it can be trusted. A view of its checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magento_pager.export.checkpoints import Checkpoint


@dataclass(frozen=True, slots=True)
class Report:
    """What a dump says of itself, over all of its runs.

    Attributes:
        checkpoint: what is safe.
        complete: True once every id asked for was covered and the output has its name.
        error: what stopped the dump, or None.
    """

    checkpoint: Checkpoint
    complete: bool = False
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        counters = self.checkpoint.counters
        return {
            "entity": self.checkpoint.fingerprint.entity,
            "strategy": " + ".join(counters.strategies),
            "rows": counters.rows,
            "calls": counters.calls,
            "empty_calls": counters.empty_calls,
            "bytes": counters.bytes,
            "seconds": counters.seconds,
            "first_id": counters.first_id,
            "last_id": counters.last_id,
            "verified": counters.verified,
            "quarantined": [asdict(one) for one in self.checkpoint.quarantined],
            "repaired": list(self.checkpoint.repaired),
            "digest": str(self.checkpoint.digest),
            "digests": self.checkpoint.digest.as_json(),
            "complete": self.complete,
            "error": self.error,
        }
