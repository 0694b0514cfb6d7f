"""A shop whose changes are dumped again and again, as cron does, for the tests of increments."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from walk_results import id_of

import magento_pager
from magento_pager import dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from magento_pager import ListName, Paginator, Report
    from magento_pager.fake import Shop


def magento_time(time: datetime) -> str:
    """Return a time as the shop writes it."""
    return f"{time:%Y-%m-%d %H:%M:%S}"


class ScheduledRuns:
    """Runs of one list of a shop with one state file, twenty minutes apart by the shop's clock.

    Attributes:
        shop: the shop.
        prepare: called with each paginator before it is dumped; returns the paginator to dump.
    """

    def __init__(self, shop: Shop, folder: Path, entity: ListName) -> None:
        self.shop = shop
        self.prepare: Callable[[Paginator], Paginator] = lambda paginator: paginator
        self._folder = folder
        self._entity = entity
        self._now = datetime.now(UTC)
        self.advance(timedelta())

    @property
    def state(self) -> Path:
        """The state file."""
        return self._folder / "state.json"

    def run(self, progress: Callable[[object], None] | None = None, **options: Any) -> tuple[list[int], Report]:
        """Dump what is new and changed, and return the ids in the order of the file, with the report."""
        out = self._folder / "rows-{time}.ndjson"
        with magento_pager.connect(self.shop.url, self.shop.user, self.shop.key) as pager:
            paginator = self.prepare(pager.list(self._entity, **options))
            report = dump(paginator, out, state=self.state, progress=progress)
        assert report.path is not None
        rows = [json.loads(line) for line in report.path.read_text().splitlines()]
        self.advance(timedelta(minutes=20))
        return list(map(id_of, rows)), report

    def entry(self) -> dict[str, Any]:
        """Return what the state file holds about the list."""
        entry: dict[str, Any] = json.loads(self.state.read_text())["lists"][0]
        return entry

    def insert(self, updated_at: str | None, **columns: Any) -> int:
        """Add a row, and return its id."""
        return self.shop.database.insert(self._entity, {"updated_at": updated_at, **columns})

    def change(self, number: int) -> int:
        """Change a row five minutes before the next run, and return its id."""
        changed_at = magento_time(self._now - timedelta(minutes=5))
        assert self.shop.database.update(self._entity, number, {"updated_at": changed_at})
        return number

    def advance(self, time: timedelta) -> None:
        """Set the shop's clock forward."""
        self._now += time
        self.shop.change(clock=magento_time(self._now))
