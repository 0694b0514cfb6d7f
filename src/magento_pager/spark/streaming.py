"""Stream of changes, whose offsets record for each shop the time up to which it was read.

What lives here: those times. A batch has, for each shop, the rows whose `updated_at` is between the end of the batch
before, inclusive, and its own end, exclusive. So each change is in exactly one batch: no restart and no repetition of
an unfinished batch can deliver it twice, and a row that is changed again during a batch is in a later one.

A transaction may be committed after the time in its rows. Increments therefore read a little before the last run once
more; a stream cannot, because it would deliver rows twice. It waits instead: a batch ends `late` before now.

The first batch is the whole list, including rows without a time of change.
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
        late: time after its `updated_at` when a change is assumed to be committed.
        every: least time between the ends of two batches.
    """

    late: timedelta
    every: timedelta

    def next_offset(
        self, start: dict[str, str], names: Sequence[str], now: datetime, *, at_once: bool = False
    ) -> dict[str, str]:
        """Return the offset after another: by shop, the time up to which it is read.

        Args:
            start: the current offset. Its entries for removed shops are kept, in case they return.
            names: names of the current shops.
            now: the current time.
            at_once: end a batch now, even before `every` has passed.

        >>> schedule, now = Schedule(timedelta(minutes=10), timedelta(hours=1)), datetime(2024, 5, 1, 12, tzinfo=UTC)
        >>> schedule.next_offset({"a": "2024-05-01T11:40:00+00:00"}, ["a", "b"], now)
        {'a': '2024-05-01T11:40:00+00:00', 'b': '2024-05-01T11:50:00+00:00'}
        """
        end = (now - self.late).replace(microsecond=0)
        due = timedelta() if at_once else self.every
        moved = (name for name in names if name not in start or end - datetime.fromisoformat(start[name]) >= due)
        return start | {name: max(start.get(name, ""), end.isoformat()) for name in moved}


class FleetStream(DataSourceStreamReader, SupportsTriggerAvailableNow):
    """Stream of the changes of a list in all shops. It holds only names, times and references, and calls no shop."""

    def __init__(
        self,
        selection: Selection,
        shops: Sequence[FleetShop],
        behaviour: Behaviour,
        schedule: Schedule,
        columns: pa.Schema,
    ) -> None:
        """Raise ValueError where a stream could not be exact."""
        if not LISTS[selection.entity].reports_changes:
            raise ValueError(
                f"Rows of {selection.entity} have no time of change, so a stream would not know which ones it has "
                "already delivered. Read them with spark.read and the option updatedSince."
            )
        if behaviour.on_error == "skip":
            raise ValueError(
                "A stream cannot skip shops: their changes would never be delivered. Remove the option onShopError, "
                "and use a separate stream for shops that fail often."
            )
        self._selection = selection
        self._shops = tuple(shops)
        self._behaviour = behaviour
        self._schedule = schedule
        self._columns = columns
        self._stop_at: datetime | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_shops": ()}  # sent to each task, whose partition has its shop

    def initialOffset(self) -> dict[str, str]:  # noqa: N802  Spark's name
        """Return the offset before anything is read."""
        return {}

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802  Spark's name
        """End the stream after the changes up to now."""
        self._stop_at = datetime.now(UTC)

    def latestOffset(self, start: dict[str, str], limit: ReadLimit) -> dict[str, str]:  # noqa: ARG002, N802  Spark's name
        """Return for each shop the time up to which it can be read now."""
        names = [shop.name for shop in self._shops]
        return self._schedule.next_offset(
            start, names, self._stop_at or datetime.now(UTC), at_once=self._stop_at is not None
        )

    def partitions(self, start: dict[str, str], end: dict[str, str]) -> Sequence[InputPartition]:
        """Return a partition for each shop whose end has changed."""
        by_name = {shop.name: shop for shop in self._shops}
        whole = Cursor(LISTS[self._selection.entity].operation, self._selection.first, self._selection.last)
        parts = []
        for name, until in end.items():
            if name in by_name and until != start.get(name):
                since = datetime.fromisoformat(start[name]) if name in start else None
                part = ShopPart(by_name[name], whole, since=since, until=datetime.fromisoformat(until))
                parts.append(part)
            elif until != start.get(name):
                log.warning("Shop %s is not read, because it is no longer in the file of shops.", name)
        return parts

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """Yield the changes of one shop."""
        if isinstance(partition, ShopPart):
            yield from read_part(partition, self._selection, self._behaviour, self._columns)
