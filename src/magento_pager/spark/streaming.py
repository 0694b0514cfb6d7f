"""Changes as they come: a stream whose offsets say for each shop up to which moment it was read.

What lives here: the moments. A batch holds, of each shop, the rows whose `updated_at` lies from the end of the batch
before, inclusive, to its own end, exclusive. So a change is in exactly one batch: no offset, restart or repetition of
a batch that was not finished can bring it twice, and a row that is changed again meanwhile is part of a later batch.

A transaction may commit after the moment that its rows say. Increments read a little before the last run once more; a
stream cannot, as rows would come twice. It looks back by waiting instead: a batch ends `late` before now.

The first batch is the whole list, rows that do not say when they were changed included.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql.datasource import DataSourceStreamReader
from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow

from magento_pager.lists import LISTS
from magento_pager.spark.reading import ShopPart, read_part
from magento_pager.walk.pages import Cursor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from pyspark.sql.datasource import InputPartition
    from pyspark.sql.streaming.datasource import ReadLimit

    from magento_pager.spark.filters import Selection
    from magento_pager.spark.reading import Behaviour
    from magento_pager.spark.shops import FleetShop

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When batches end.

    Attributes:
        late: how long after its `updated_at` a change is taken to be committed.
        every: between the ends of two batches, at least.
    """

    late: timedelta
    every: timedelta

    def next_offset(
        self, start: dict[str, str], names: Sequence[str], now: datetime, *, at_once: bool = False
    ) -> dict[str, str]:
        """The offset that follows another: by shop, up to which moment it is read.

        Args:
            start: the offset so far. What it says of shops that are no longer there is kept, should they come back.
            names: the shops that are there.
            now: what time it is.
            at_once: take what there is, however little time went by.

        >>> schedule, now = Schedule(timedelta(minutes=10), timedelta(hours=1)), datetime(2024, 5, 1, 12, tzinfo=UTC)
        >>> schedule.next_offset({"a": "2024-05-01T11:40:00+00:00"}, ["a", "b"], now)
        {'a': '2024-05-01T11:40:00+00:00', 'b': '2024-05-01T11:50:00+00:00'}
        """
        end = (now - self.late).replace(microsecond=0)
        due = timedelta() if at_once else self.every
        later = (name for name in names if name not in start or end - datetime.fromisoformat(start[name]) >= due)
        return start | {name: max(start.get(name, ""), end.isoformat()) for name in later}


class FleetStream(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """The changes of a list in all shops. Only names, moments and references are held, and nothing is asked here."""

    def __init__(
        self,
        wanted: Selection,
        shops: Sequence[FleetShop],
        behaviour: Behaviour,
        schedule: Schedule,
        columns: pa.Schema,
    ) -> None:
        """Raise ValueError where no stream can be exact."""
        if not LISTS[wanted.entity].reports_changes:
            raise ValueError(
                f"rows of {wanted.entity} do not say when they were changed, so a stream could not tell which it has "
                "brought already; read them with spark.read and the option updatedSince"
            )
        if behaviour.on_error == "skip":
            raise ValueError(
                "a stream cannot skip: the changes that it passes over would never come again; leave onShopError away, "
                "and give shops that fail often a stream of their own"
            )
        self._wanted = wanted
        self._shops = tuple(shops)
        self._behaviour = behaviour
        self._schedule = schedule
        self._columns = columns
        self._stop_at: datetime | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_shops": ()}  # it goes to each task, which is told of its own shop by its partition

    def initialOffset(self) -> dict[str, str]:  # noqa: N802  Spark's name
        """Nothing was read of any shop."""
        return {}

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802  Spark's name
        """Take what there is now, and end."""
        self._stop_at = datetime.now(UTC)

    def latestOffset(self, start: dict[str, str], limit: ReadLimit) -> dict[str, str]:  # noqa: ARG002, N802  Spark's own
        """Up to which moment each shop can be read."""
        names = [one.name for one in self._shops]
        return self._schedule.next_offset(
            start, names, self._stop_at or datetime.now(UTC), at_once=self._stop_at is not None
        )

    def partitions(self, start: dict[str, str], end: dict[str, str]) -> Sequence[InputPartition]:
        """One for each shop of which there is more to read."""
        by_name = {one.name: one for one in self._shops}
        whole = Cursor(LISTS[self._wanted.entity].operation, self._wanted.first, self._wanted.last)
        found = []
        for name, until in end.items():
            if name in by_name and until != start.get(name):
                since = datetime.fromisoformat(start[name]) if name in start else None
                part = ShopPart(by_name[name], whole, since=since, until=datetime.fromisoformat(until))
                found.append(part)
            elif until != start.get(name):
                log.warning("shop %s is not in the file of shops any more, and is not read", name)
        return found

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """The changes of one shop."""
        if isinstance(partition, ShopPart):
            yield from read_part(partition, self._wanted, self._behaviour, self._columns)
