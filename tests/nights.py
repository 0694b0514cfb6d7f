"""A shop, and what cron does to it night after night: for tests of increments."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from walked import id_of

import magento_pager
from magento_pager import dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from magento_pager import ListName, Paginator, Report
    from magento_pager.fake import Shop


def text(moment: datetime) -> str:
    """A moment as the shop writes it."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"


class Nights:
    """A shop, and what cron does to it.

    Attributes:
        shop: the shop.
        night: how many runs were complete.
        asked: what is done to each paginator before it is dumped.
    """

    def __init__(self, shop: Shop, folder: Path, entity: ListName) -> None:
        self.shop = shop
        self.night = 0
        self.asked: Callable[[Paginator], Paginator] = lambda paginator: paginator
        self._folder = folder
        self._entity = entity
        self._dusk = datetime.now(UTC)
        self._begin()

    @property
    def state(self) -> Path:
        """The state file."""
        return self._folder / "state.json"

    def run(self, progress: Callable[[object], None] | None = None, **options: Any) -> tuple[list[int], Report]:
        """Dump what is new and changed, and return the ids in the order in which they came, with the report."""
        out = self._folder / "rows-{time}.ndjson"
        with magento_pager.connect(self.shop.url, self.shop.user, self.shop.key) as pager:
            paginator = self.asked(pager.list(self._entity, **options))
            report = dump(paginator, out, state=self.state, progress=progress)
        assert report.path is not None
        rows = [json.loads(line) for line in report.path.read_text().splitlines()]
        self.night += 1
        self._begin()
        return list(map(id_of, rows)), report

    def entry(self) -> dict[str, Any]:
        """What the state remembers of the list."""
        found: dict[str, Any] = json.loads(self.state.read_text())["lists"][0]
        return found

    def insert(self, updated_at: str | None, **columns: Any) -> int:
        """Add a row, and return its id."""
        return self.shop.database.insert(self._entity, {"updated_at": updated_at, **columns})

    def change(self, number: int) -> int:
        """Change a row today, and return its id."""
        assert self.shop.database.update(self._entity, number, {"updated_at": text(self._now - timedelta(minutes=5))})
        return number

    @property
    def _now(self) -> datetime:
        """The time of the next run: twenty minutes after the last one."""
        return self._dusk + timedelta(minutes=20 * self.night)

    def _begin(self) -> None:
        self.shop.change(clock=text(self._now))
