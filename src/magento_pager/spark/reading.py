"""The work of a task: to read one part of a list of one shop into batches of rows.

What lives here: a part as Spark pickles it, the planning of parts, and the reading of one. Spark discards the rows of a
task that fails, and starts it again, so a part is always read from its first id, and nothing is kept between attempts.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from pyspark import TaskContext
from pyspark.sql.datasource import InputPartition

from magento_pager.errors import PagerError
from magento_pager.lists import LISTS
from magento_pager.spark.columns import batches, layout_of
from magento_pager.spark.failures import Failure, FailureFolder
from magento_pager.walk.changes import FIELD, timestamp_of
from magento_pager.walk.pages import Cursor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import pyarrow as pa

    from magento_pager.lists import WireName
    from magento_pager.pager import Pager
    from magento_pager.spark.filters import Selection
    from magento_pager.spark.shops import FleetShop
    from magento_pager.walk.pages import Misfit, Page, Row
    from magento_pager.walk.paginator import Paginator

log = logging.getLogger(__name__)

PLANNED_AT_ONCE = 8  # shops that are split into parts at the same time
MAX_NAMED = 5  # invalid values in a warning


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Behaviour of a task when a shop fails.

    Attributes:
        patience: seconds for which a call is retried before the shop counts as failing.
        repair: read rows in which control characters break the XML, without those characters.
        on_error: `fail` ends the task with an error; `skip` ends the part, and records what is missing.
        failures: folder for those records.
        wire: the protocol to read rows with; "auto" compares the two in each task.
    """

    patience: float
    repair: bool = False
    on_error: Literal["fail", "skip"] = "fail"
    failures: FailureFolder | None = None
    wire: WireName = "soap"


@dataclass(frozen=True)
class ShopPart(InputPartition):
    """Part of a shop's list, read by one task.

    Attributes:
        shop: with references to its credentials, not with the credentials.
        cursor: where the part begins and ends.
        number: number of the part in the shop's list, from 0.
        parts: number of parts of the list.
        since: rows changed at this time or later; None for all.
        until: rows changed before this time; None for all.
    """

    shop: FleetShop
    cursor: Cursor
    number: int = 0
    parts: int = 1
    since: datetime | None = None
    until: datetime | None = None


def plan_parts(shops: Sequence[FleetShop], selection: Selection, behaviour: Behaviour) -> list[ShopPart]:
    """Return the parts for tasks to read: for each shop as many as the tasks that may call it at once.

    A shop that only one task may call is one part. Others are sampled from here to be split; a shop for which that
    fails is one part, whose task reports the error.
    """
    if selection.first > selection.last:
        return []
    selected = [shop for shop in shops if selection.shops is None or shop.name in selection.shops]
    with ThreadPoolExecutor(PLANNED_AT_ONCE) as pool:
        split = pool.map(lambda shop: _parts(shop, selection, behaviour), selected)
        return [part for parts in split for part in parts]


def _parts(shop: FleetShop, selection: Selection, behaviour: Behaviour) -> list[ShopPart]:
    whole = Cursor(LISTS[selection.entity].operation, selection.first, selection.last)
    cursors: Sequence[Cursor] = (whole,)
    if shop.parallel > 1:
        try:
            with shop.connect() as pager:
                cursors = _paginator(pager, shop, selection, replace(behaviour, patience=0.0)).partitions(shop.parallel)
        except (PagerError, ValueError, OSError) as error:
            log.warning("Shop %s is read by one task, because splitting it into parts failed: %s", shop.name, error)
    return [ShopPart(shop, cursor, number, len(cursors), selection.since) for number, cursor in enumerate(cursors)]


@dataclass(slots=True)
class _Reading:
    """Progress of a task.

    Attributes:
        part: the part to read.
        entity: the list.
        cursor: at the first id that is not read yet.
        failures: the rows missing so far.
    """

    part: ShopPart
    entity: str
    cursor: Cursor
    failures: list[Failure] = field(default_factory=list)

    def add_failure(self, kind: Literal["shop", "row"], message: str, row: int | None = None) -> None:
        """Record missing rows."""
        start = self.part.cursor
        bounds = start.next_id, start.last_id, self.cursor.next_id
        self.failures.append(Failure(self.part.shop.name, self.entity, kind, *bounds, row, message))


def read_part(
    part: ShopPart, selection: Selection, behaviour: Behaviour, columns: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a part, a page at a time.

    Raises:
        ValueError: Spark may run tasks twice at once.
        PagerError: the shop or a row of it cannot be read, and `on_error` is `fail`.
    """
    refuse_speculation()
    reading = _Reading(part, selection.entity, part.cursor)
    try:
        yield from _batches(part, selection, behaviour, columns, reading)
    except (PagerError, ValueError, OSError) as error:
        if behaviour.failures is None or behaviour.on_error == "fail":
            raise PagerError(f"Shop {part.shop.name}, {selection.entity}: {error}") from None
        log.warning("Shop %s is skipped from id %d on: %s", part.shop.name, reading.cursor.next_id, error)
        reading.add_failure("shop", str(error))
    if behaviour.failures is not None:
        behaviour.failures.note(part.shop.name, selection.entity, part.number, part.parts, reading.failures)


def _batches(
    part: ShopPart, selection: Selection, behaviour: Behaviour, columns: pa.Schema, reading: _Reading
) -> Iterator[pa.RecordBatch]:
    layout = layout_of(selection.entity)
    with part.shop.connect(wait=behaviour.patience) as pager:
        if part.until is not None:
            _check_clock(pager, part.until)
        paginator = _paginator(pager, part.shop, replace(selection, since=part.since), behaviour)
        for page in paginator.pages(part.cursor):
            _record_skipped(page, behaviour, reading)
            rows = page.rows if part.until is None else [row for row in page.rows if _changed_before(row, part.until)]
            if rows:
                misfits: list[Misfit] = []
                yield from batches(part.shop.name, rows, layout, columns, misfits)
                if misfits:
                    named = ", ".join(f"{misfit.column} of {misfit.id}" for misfit in misfits[:MAX_NAMED])
                    log.warning("Shop %s: %d invalid values are null: %s", part.shop.name, len(misfits), named)
            reading.cursor = page.cursor


def _record_skipped(page: Page, behaviour: Behaviour, reading: _Reading) -> None:
    """Record the skipped rows of a page as failures.

    Raises:
        PagerError: there are skipped rows, and `on_error` is `fail`.
    """
    for row in page.quarantined:
        if behaviour.on_error == "fail":
            raise PagerError(
                f"Every reply that includes row {row.id} fails: {row.reason}. To read it, set the option repair. To "
                "skip it, set the option onShopError to skip."
            )
        reading.add_failure("row", row.reason, row.id)


def _paginator(pager: Pager, shop: FleetShop, selection: Selection, behaviour: Behaviour) -> Paginator:
    return pager.list(
        selection.entity,
        first=selection.first,
        last=selection.last,
        where=selection.where,
        updated_since=selection.since,
        patience=behaviour.patience,
        repair=behaviour.repair,
        wire=behaviour.wire,
        columns="declared",
        nice=shop.nice,
    )


def _changed_before(row: Row, until: datetime) -> bool:
    """Return whether a row was changed before, or has no time of change: later changes belong to a later batch."""
    changed = timestamp_of(row.get(FIELD))
    return changed is None or changed < until


def _check_clock(pager: Pager, until: datetime) -> None:
    """Refuse to read a time range that the shop's clock has not reached.

    Raises:
        PagerError: by its clock, the shop may still change rows at times before `until`.
    """
    now = pager.connection.clock
    if now is not None and now < until:
        raise PagerError(
            f"The shop's clock says {now:%Y-%m-%d %H:%M:%S} UTC, but changes up to {until:%H:%M:%S} should be read. "
            "Correct the clocks, or set the option late to more seconds than they differ."
        )


def refuse_speculation() -> None:
    """Refuse to run where Spark may run a task twice at once.

    Raises:
        ValueError: spark.speculation is on.
    """
    context = TaskContext.get()
    if context is not None and context.getLocalProperty("spark.speculation") == "true":
        raise ValueError(
            "spark.speculation is on: Spark would start a second task for a slow shop, which makes the shop slower and "
            "exceeds its `parallel`. Set spark.speculation to false."
        )
