"""What a task does: one part of a list of one shop, into batches of rows.

What lives here: a part as Spark carries it, the planning of parts, and the reading of one. Spark throws away the rows
of a task that fails, and begins it again; so a part is read from its beginning each time, and nothing outlives it.
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

PLANNED_AT_ONCE = 8  # shops that are to be cut into parts
SHOWN = 5  # values in a warning


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a task does when a shop fails.

    Attributes:
        patience: seconds for which a call is made again, before the shop counts as failing.
        repair: read rows in which control characters break the XML without those characters.
        on_error: `fail` ends the task; `skip` ends the part, and notes what is missing.
        failures: where that is noted.
        wire: the protocol by which rows come; "auto" compares the two in each task.
    """

    patience: float
    repair: bool = False
    on_error: Literal["fail", "skip"] = "fail"
    failures: FailureFolder | None = None
    wire: WireName = "soap"


@dataclass(frozen=True)
class ShopPart(InputPartition):
    """What one task reads.

    Attributes:
        shop: with references to its credentials, not with them.
        cursor: where the part begins and ends.
        number: which part of the shop's list it is, from 0.
        parts: how many there are.
        since: rows changed then or later are wanted; None for all.
        until: and those that were not changed then or later; None for all.
    """

    shop: FleetShop
    cursor: Cursor
    number: int = 0
    parts: int = 1
    since: datetime | None = None
    until: datetime | None = None


def plan_parts(shops: Sequence[FleetShop], wanted: Selection, behaviour: Behaviour) -> list[ShopPart]:
    """The parts that tasks read: as many for each shop as may ask it at once.

    A shop that one task may ask at a time is not looked at. One that several may ask is sampled, from here; where that
    fails it is one part, whose task will say what is wrong.
    """
    if wanted.first > wanted.last:
        return []
    chosen = [one for one in shops if wanted.shops is None or one.name in wanted.shops]
    with ThreadPoolExecutor(PLANNED_AT_ONCE) as pool:
        cut = pool.map(lambda one: _parts(one, wanted, behaviour), chosen)
        return [part for parts in cut for part in parts]


def _parts(shop: FleetShop, wanted: Selection, behaviour: Behaviour) -> list[ShopPart]:
    whole = Cursor(LISTS[wanted.entity].operation, wanted.first, wanted.last)
    cursors: Sequence[Cursor] = (whole,)
    if shop.parallel > 1:
        try:
            with shop.connect() as pager:
                cursors = _paginator(pager, shop, wanted, replace(behaviour, patience=0.0)).partitions(shop.parallel)
        except (PagerError, ValueError, OSError) as error:
            log.warning("shop %s is read by one task, since it could not be cut into parts: %s", shop.name, error)
    return [ShopPart(shop, cursor, number, len(cursors), wanted.since) for number, cursor in enumerate(cursors)]


@dataclass(slots=True)
class _Reading:
    """How far a task has come.

    Attributes:
        part: what it reads.
        entity: the list.
        cursor: the first id that is not covered.
        failures: what is missing.
    """

    part: ShopPart
    entity: str
    cursor: Cursor
    failures: list[Failure] = field(default_factory=list)

    def miss(self, kind: Literal["shop", "row"], message: str, row: int | None = None) -> None:
        """Remember what is missing."""
        whole = self.part.cursor
        bounds = whole.next_id, whole.last_id, self.cursor.next_id
        self.failures.append(Failure(self.part.shop.name, self.entity, kind, *bounds, row, message))


def read_part(part: ShopPart, wanted: Selection, behaviour: Behaviour, columns: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of a part, a page at a time.

    Raises:
        ValueError: Spark runs tasks twice.
        PagerError: the shop cannot be read, or a row of it, and `fail` is what to do then.
    """
    refuse_speculation()
    reading = _Reading(part, wanted.entity, part.cursor)
    try:
        yield from _batches(part, wanted, behaviour, columns, reading)
    except (PagerError, ValueError, OSError) as error:
        if behaviour.failures is None or behaviour.on_error == "fail":
            raise PagerError(f"shop {part.shop.name}, {wanted.entity}: {error}") from None
        log.warning("shop %s is left out from id %d on: %s", part.shop.name, reading.cursor.next_id, error)
        reading.miss("shop", str(error))
    if behaviour.failures is not None:
        behaviour.failures.note(part.shop.name, wanted.entity, part.number, part.parts, reading.failures)


def _batches(
    part: ShopPart, wanted: Selection, behaviour: Behaviour, columns: pa.Schema, reading: _Reading
) -> Iterator[pa.RecordBatch]:
    layout = layout_of(wanted.entity)
    with part.shop.connect(wait=behaviour.patience) as pager:
        if part.until is not None:
            _check_clock(pager, part.until)
        paginator = _paginator(pager, part.shop, replace(wanted, since=part.since), behaviour)
        for page in paginator.pages(part.cursor):
            _take_note(page, behaviour, reading)
            rows = page.rows if part.until is None else [row for row in page.rows if _settled(row, part.until)]
            if rows:
                misfits: list[Misfit] = []
                yield from batches(part.shop.name, rows, layout, columns, misfits)
                if misfits:
                    shown = ", ".join(f"{one.column} of {one.id}" for one in misfits[:SHOWN])
                    log.warning(
                        "shop %s: %d values are null, as they do not fit: %s", part.shop.name, len(misfits), shown
                    )
            reading.cursor = page.cursor


def _take_note(page: Page, behaviour: Behaviour, reading: _Reading) -> None:
    """Rows that are left out are missing as much as those of a shop that fails.

    Raises:
        PagerError: there are some, and `fail` is what to do then.
    """
    for one in page.quarantined:
        if behaviour.on_error == "fail":
            raise PagerError(
                f"row {one.id} breaks every reply that it is in: {one.reason}; read it with the option repair, or go "
                "on without it with the option onShopError set to skip"
            )
        reading.miss("row", one.reason, one.id)


def _paginator(pager: Pager, shop: FleetShop, wanted: Selection, behaviour: Behaviour) -> Paginator:
    return pager.list(
        wanted.entity,
        first=wanted.first,
        last=wanted.last,
        where=wanted.where,
        updated_since=wanted.since,
        patience=behaviour.patience,
        repair=behaviour.repair,
        wire=behaviour.wire,
        columns="declared",
        nice=shop.nice,
    )


def _settled(row: Row, until: datetime) -> bool:
    """True where a row was changed before, or does not say when: a later change is part of a later batch."""
    changed = timestamp_of(row.get(FIELD))
    return changed is None or changed < until


def _check_clock(pager: Pager, until: datetime) -> None:
    """Refuse to read what a shop has yet to write.

    Raises:
        PagerError: its clock says that it may still change rows at times before `until`.
    """
    now = pager.connection.clock
    if now is not None and now < until:
        raise PagerError(
            f"its clock is at {now:%Y-%m-%d %H:%M:%S} UTC, before {until:%H:%M:%S}, up to which "
            "changes were to be read; set the clocks right, or the option late to more than they differ"
        )


def refuse_speculation() -> None:
    """Refuse to run where Spark may run a task twice at once.

    Raises:
        ValueError: it may.
    """
    context = TaskContext.get()
    if context is not None and context.getLocalProperty("spark.speculation") == "true":
        raise ValueError(
            "spark.speculation is on: Spark would ask a shop that is slow a second time at once, which makes it slower "
            "and breaks the limit of its `parallel`; set spark.speculation to false"
        )
