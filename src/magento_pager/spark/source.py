"""The data source: what Spark calls, and the options it is given.

What lives here: options, and the classes whose methods Spark knows by name. An instance is pickled and goes to other
machines, so it holds names and references alone.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from magento_pager.export.arrow import batch_from_values
from magento_pager.lists import LISTS, WireName
from magento_pager.spark.columns import ERRORS, columns_of, ddl, select_columns
from magento_pager.spark.failures import FailureFolder
from magento_pager.spark.filters import Selection
from magento_pager.spark.reading import Behaviour, ShopPart, plan_parts, read_part
from magento_pager.spark.shops import FleetShop, read_shops
from magento_pager.spark.streaming import FleetStream, Schedule
from magento_pager.walk.changes import format_timestamp
from magento_pager.walk.reading import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql.datasource import Filter
    from pyspark.sql.types import StructType

    from magento_pager.lists import ListName

SHOP_ERRORS = "shop_errors"
OPTIONS = (
    "entity",
    "shops",
    "onShopError",
    "shopErrors",
    "updatedSince",
    "patience",
    "repair",
    "wire",
    "late",
    "every",
)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the options ask for.

    Attributes:
        wanted: which rows.
        shops: of which shops.
        behaviour: what to do when one fails.
        schedule: of a stream.
    """

    wanted: Selection
    shops: tuple[FleetShop, ...]
    behaviour: Behaviour
    schedule: Schedule


class MagentoDataSource(DataSource):
    """Lists of many shops as one DataFrame: `spark.dataSource.register(MagentoDataSource)`, then the format `magento`.

    The first column is `shop`, the name of the row's shop; the others are those of a dump as Parquet. No shop is asked
    by more tasks at once than its `parallel` allows, which is 1 unless the file of shops says otherwise.

    Options, all texts:

    - `entity`: orders, invoices, shipments, creditmemos, customers or products; or `shop_errors`, for what is missing.
    - `shops`: path of the file of shops, see the guide; not for `shop_errors`.
    - `onShopError`: `fail` (unless given) or `skip`, which goes on without a shop that fails, and notes it.
    - `shopErrors`: the folder where failures are noted, that all executors and the driver see; needed by `skip` and by
      the entity `shop_errors`.
    - `updatedSince`: only rows changed then or later: a time with a zone, such as `2024-05-01T10:00:00Z`.
    - `patience`: seconds for which a call to a shop is made again before the shop counts as failing; 300 unless given.
    - `repair`: `true` reads rows in which control characters break the XML, without those characters.
    - `wire`: `soap` (unless given), `xml-rpc`, or `auto` for whichever costs a shop less; the columns are the same.
    - `late`: for streams, seconds after which a change is taken to be committed; 600 unless given.
    - `every`: for streams, seconds between two looks at the shops, at least; 600 unless given.
    """

    @classmethod
    def name(cls) -> str:
        """The name of the format."""
        return "magento"

    def schema(self) -> str:
        """The columns of the list.

        Raises:
            ValueError: an option that cannot be right.
        """
        return ddl(self._columns)

    def reader(self, schema: StructType) -> DataSourceReader:
        """What reads the list once."""
        if self._entity == SHOP_ERRORS:
            return FailuresReader(self._failures, self._chosen(schema))
        # Spark refuses a reader that takes filters unless its setting is on. Only where it is, it loads this module.
        taking = "pyspark.sql.worker.data_source_pushdown_filters" in sys.modules
        return (FilteringReader if taking else FleetReader)(self._asked, self._chosen(schema))

    def streamReader(self, schema: StructType) -> FleetStream:  # noqa: N802  Spark's name
        """What reads changes as they come.

        Raises:
            ValueError: what a stream cannot do.
        """
        if self._entity == SHOP_ERRORS:
            raise ValueError(f"{SHOP_ERRORS} is no stream; read it with spark.read")
        if self._asked.wanted.since is not None:
            raise ValueError("updatedSince is not for streams, which know since when; leave it away")
        return FleetStream(
            self._asked.wanted, self._asked.shops, self._asked.behaviour, self._asked.schedule, self._chosen(schema)
        )

    @property
    def _entity(self) -> str:
        _check_names(self.options)
        entity = self.options.get("entity", "")
        if entity not in LISTS and entity != SHOP_ERRORS:
            raise ValueError(f"the option entity is one of {', '.join(LISTS)} and {SHOP_ERRORS}, not {entity!r}")
        return entity

    @property
    def _columns(self) -> pa.Schema:
        return ERRORS if self._entity == SHOP_ERRORS else columns_of(self._asked.wanted.entity)

    def _chosen(self, schema: StructType) -> pa.Schema:
        return select_columns({one.name: one.dataType.simpleString() for one in schema.fields}, self._columns)

    @property
    def _failures(self) -> FailureFolder:
        if not self.options.get("shopErrors"):
            raise ValueError("give the option shopErrors, the folder where failures are noted")
        return FailureFolder(self.options["shopErrors"])

    @property
    def _asked(self) -> ReadOptions:
        return parse_options(cast("ListName", self._entity), self.options)


def parse_options(entity: ListName, options: Mapping[str, str]) -> ReadOptions:
    """What options ask for. Their names may be in any case.

    Raises:
        ValueError: one that cannot be right.
        OSError: the file of shops cannot be read.
    """
    _check_names(options)
    given = {name.lower(): value for name, value in options.items()}
    on_error = given.get("onshoperror", "fail")
    if on_error not in {"fail", "skip"}:
        raise ValueError(f"the option onShopError is fail or skip, not {on_error!r}")
    folder = FailureFolder(given["shoperrors"]) if given.get("shoperrors") else None
    if on_error == "skip" and folder is None:
        raise ValueError("nothing is skipped silently: with onShopError=skip give the option shopErrors, a folder")
    if "shops" not in given:
        raise ValueError("give the option shops, the path of the file of shops")
    repair = given.get("repair", "false").lower()
    if repair not in {"true", "false"}:
        raise ValueError(f"the option repair is true or false, not {given['repair']!r}")
    wire = given.get("wire", "soap")
    if wire not in get_args(WireName):
        raise ValueError(f"the option wire is one of {', '.join(get_args(WireName))}, not {wire!r}")
    return ReadOptions(
        Selection(entity, since=_since(given)),
        read_shops(given["shops"]),
        Behaviour(
            _seconds("patience", given, PATIENCE),
            repair == "true",
            cast("Literal['fail', 'skip']", on_error),
            folder,
            cast("WireName", wire),
        ),
        Schedule(timedelta(seconds=_seconds("late", given, 600)), timedelta(seconds=_seconds("every", given, 600))),
    )


def _check_names(options: Mapping[str, str]) -> None:
    """Refuse an option that would be ignored."""
    if unknown := sorted({name.lower() for name in options} - {name.lower() for name in OPTIONS}):
        raise ValueError(f"there is no option {unknown[0]!r}; the options are {', '.join(OPTIONS)}")


def _since(given: Mapping[str, str]) -> datetime | None:
    """The time that the option `updatedSince` says."""
    if "updatedsince" not in given:
        return None
    try:
        since = datetime.fromisoformat(given["updatedsince"])
    except ValueError:
        form = "a time with a zone, such as 2024-05-01T10:00:00Z"
        raise ValueError(f"the option updatedSince is {form}, not {given['updatedsince']!r}") from None
    format_timestamp(since)  # refuses a time without a zone
    return since


def _seconds(name: str, given: Mapping[str, str], default: float) -> float:
    """Seconds that an option says.

    >>> _seconds("late", {}, 600), _seconds("late", {"late": "90"}, 600)
    (600, 90.0)
    """
    try:
        seconds = float(given.get(name, default))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"the option {name} is seconds, 0 or more, not {given[name]!r}")
    return seconds if name in given else default


class FleetReader(DataSourceReader):
    """A list of all shops, once."""

    def __init__(self, options: ReadOptions, columns: pa.Schema) -> None:
        self.wanted = options.wanted
        self._shops = options.shops
        self._behaviour = options.behaviour
        self._columns = columns

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_shops": ()}  # it goes to each task, which is told of its own shop by its partition

    def partitions(self) -> Sequence[InputPartition]:
        """As many for each shop as tasks may ask it at once."""
        return plan_parts(self._shops, self.wanted, self._behaviour)

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The rows of a partition."""
        if isinstance(partition, ShopPart):  # for no partition at all, Spark makes up one
            yield from read_part(partition, self.wanted, self._behaviour, self._columns)


class FilteringReader(FleetReader):
    """The same, asking shops for fewer rows where filters allow it."""

    def pushFilters(self, filters: list[Filter]) -> Iterable[Filter]:  # noqa: N802  Spark's name
        """Take what can be taken. Spark applies all of them again, as a shop may send too much."""
        self.wanted = self.wanted.with_filters(filters)
        return filters


class FailuresReader(DataSourceReader):
    """What is missing of lists that were read with `onShopError=skip`."""

    def __init__(self, failures: FailureFolder, columns: pa.Schema) -> None:
        self._failures = failures
        self._columns = columns

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:  # noqa: ARG002  there is only one
        """All of them."""
        yield batch_from_values(list(self._failures.read()), self._columns)
