"""The report of a dump: what was delivered, what it cost, and how far it can be trusted.

Plain counters over pages; it does not know where they come from.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magento_pager.walk.walking import Page


@dataclass(slots=True)
class Report:
    """What a dump says of itself, page by page.

    Attributes:
        entity: the list.
        strategy: the names of the strategies that carried rows: one, or more where the server changed in the middle.
        rows: rows delivered.
        calls: requests answered, soundings included.
        empty_calls: those that brought no row.
        bytes: of all replies, unpacked.
        seconds: from the beginning to the last page.
        first_id: the lowest id delivered; None where rows carry none.
        last_id: the highest id delivered; None where rows carry none.
        verified: "ids" where every row was checked by its own id; "sampled" where rows carry none, so that only their
            being unlike each other could be.
        quarantined: ids left out, each with the server's words.
        complete: True once every id asked for was covered.
        error: what stopped the dump, or None.
    """

    entity: str
    strategy: list[str] = field(default_factory=list)
    rows: int = 0
    calls: int = 0
    empty_calls: int = 0
    bytes: int = 0
    seconds: float = 0.0
    first_id: int | None = None
    last_id: int | None = None
    verified: str = "ids"
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = False
    error: str | None = None
    _began: float = field(default_factory=time.monotonic, repr=False)

    def add(self, page: Page, id_field: str, received: int) -> None:
        """Count a page that is safe.

        Args:
            page: the page.
            id_field: what its rows call the key.
            received: bytes of all replies so far.
        """
        self.rows += len(page.rows)
        self.calls += page.stats.calls
        self.empty_calls += page.stats.empty_calls
        self.bytes = received
        self.seconds = round(time.monotonic() - self._began, 3)
        if page.stats.strategy not in self.strategy:
            self.strategy.append(page.stats.strategy)
        if page.rows and not page.stats.by_ids:
            self.verified = "sampled"
        elif page.rows:
            self.first_id = self.first_id if self.first_id is not None else int(page.rows[0][id_field])
            self.last_id = int(page.rows[-1][id_field])
        self.complete = page.cursor.next_id > page.cursor.last_id

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values; `strategy` is one text."""
        values = asdict(self)
        del values["_began"]
        return values | {"strategy": " + ".join(self.strategy)}
