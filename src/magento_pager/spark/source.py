"""The data source: the classes that Spark calls, and their options.

What lives here: options, and the classes whose methods Spark calls by name. Instances are pickled and sent to other
machines, so they hold only names and references.
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
    """Parsed options.

    Attributes:
        selection: the rows to read.
        shops: all shops of the fleet.
        behaviour: what a task does when a shop fails.
        schedule: when batches of a stream end.
    """

    selection: Selection
    shops: tuple[FleetShop, ...]
    behaviour: Behaviour
    schedule: Schedule


class MagentoDataSource(DataSource):
    """Lists of many shops as one DataFrame: `spark.dataSource.register(MagentoDataSource)`, then the format `magento`.

    The first column is `shop`, the name of the row's shop; the others are those of a Parquet dump. No more tasks call a
    shop at once than its `parallel` in the file of shops, by default 1.

    Options, all as text:

    - `entity`: orders, invoices, shipments, creditmemos, customers or products; or `shop_errors`, the missing rows.
    - `shops`: path of the file of shops, see the guide; not for `shop_errors`.
    - `onShopError`: `fail` (default), or `skip` to continue without a shop that fails, and record the failure.
    - `shopErrors`: folder for the records of failures, accessible to all executors and the driver; required for `skip`
      and for the entity `shop_errors`.
    - `updatedSince`: only rows changed at this time or later: a time with a zone, such as `2024-05-01T10:00:00Z`.
    - `patience`: seconds for which a call is retried before the shop counts as failing; default 300.
    - `repair`: `true` reads rows in which control characters break the XML, without those characters.
    - `wire`: the protocol: `soap` (default), `xml-rpc`, or `auto` for the cheaper one; the columns are the same.
    - `late`: for streams, seconds after which a change is assumed to be committed; default 600.
    - `every`: for streams, least number of seconds between two batches; default 600.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return "magento"

    def schema(self) -> str:
        """Return the columns of the list.

        Raises:
            ValueError: an option is invalid.
        """
        return ddl(self._columns)

    def reader(self, schema: StructType) -> DataSourceReader:
        """Return a reader that reads the list once."""
        if self._entity == SHOP_ERRORS:
            return FailuresReader(self._failures, self._selected(schema))
        # Spark refuses a reader with filters unless its setting is on, and loads this module only then.
        pushdown = "pyspark.sql.worker.data_source_pushdown_filters" in sys.modules
        return (FilteringReader if pushdown else FleetReader)(self._read_options, self._selected(schema))

    def streamReader(self, schema: StructType) -> FleetStream:  # noqa: N802  Spark's name
        """Return a reader of the stream of changes.

        Raises:
            ValueError: an option does not work with a stream.
        """
        if self._entity == SHOP_ERRORS:
            raise ValueError(f"{SHOP_ERRORS} cannot be a stream. Read it with spark.read.")
        if self._read_options.selection.since is not None:
            raise ValueError("The option updatedSince is not for streams, which set the time themselves. Remove it.")
        return FleetStream(
            self._read_options.selection,
            self._read_options.shops,
            self._read_options.behaviour,
            self._read_options.schedule,
            self._selected(schema),
        )

    @property
    def _entity(self) -> str:
        _check_names(self.options)
        entity = self.options.get("entity", "")
        if entity not in LISTS and entity != SHOP_ERRORS:
            raise ValueError(f"The option entity must be one of {', '.join(LISTS)} and {SHOP_ERRORS}, not {entity!r}.")
        return entity

    @property
    def _columns(self) -> pa.Schema:
        return ERRORS if self._entity == SHOP_ERRORS else columns_of(self._read_options.selection.entity)

    def _selected(self, schema: StructType) -> pa.Schema:
        return select_columns({field.name: field.dataType.simpleString() for field in schema.fields}, self._columns)

    @property
    def _failures(self) -> FailureFolder:
        if not self.options.get("shopErrors"):
            raise ValueError("Set the option shopErrors to the folder with the records of failures.")
        return FailureFolder(self.options["shopErrors"])

    @property
    def _read_options(self) -> ReadOptions:
        return parse_options(cast("ListName", self._entity), self.options)


def parse_options(entity: ListName, options: Mapping[str, str]) -> ReadOptions:
    """Parse options, whose names may be in any case.

    Raises:
        ValueError: an option is invalid.
        OSError: the file of shops cannot be read.
    """
    _check_names(options)
    given = {name.lower(): value for name, value in options.items()}
    on_error = given.get("onshoperror", "fail")
    if on_error not in {"fail", "skip"}:
        raise ValueError(f"The option onShopError must be fail or skip, not {on_error!r}.")
    folder = FailureFolder(given["shoperrors"]) if given.get("shoperrors") else None
    if on_error == "skip" and folder is None:
        raise ValueError("onShopError=skip needs the option shopErrors, a folder for the records of failures. Set it.")
    if "shops" not in given:
        raise ValueError("Set the option shops to the path of the file of shops.")
    repair = given.get("repair", "false").lower()
    if repair not in {"true", "false"}:
        raise ValueError(f"The option repair must be true or false, not {given['repair']!r}.")
    wire = given.get("wire", "soap")
    if wire not in get_args(WireName):
        raise ValueError(f"The option wire must be one of {', '.join(get_args(WireName))}, not {wire!r}.")
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
    """Refuse unknown options."""
    if unknown := sorted({name.lower() for name in options} - {name.lower() for name in OPTIONS}):
        raise ValueError(f"There is no option {unknown[0]!r}. The options are {', '.join(OPTIONS)}.")


def _since(given: Mapping[str, str]) -> datetime | None:
    """Return the value of the option `updatedSince`."""
    if "updatedsince" not in given:
        return None
    try:
        since = datetime.fromisoformat(given["updatedsince"])
    except ValueError:
        form = "a time with a zone, such as 2024-05-01T10:00:00Z"
        raise ValueError(f"The option updatedSince must be {form}, not {given['updatedsince']!r}.") from None
    format_timestamp(since)  # refuses a time without a zone
    return since


def _seconds(name: str, given: Mapping[str, str], default: float) -> float:
    """Return the value of an option in seconds.

    >>> _seconds("late", {}, 600), _seconds("late", {"late": "90"}, 600)
    (600, 90.0)
    """
    try:
        seconds = float(given.get(name, default))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"The option {name} must be a number of seconds, 0 or more, not {given[name]!r}.")
    return seconds if name in given else default


class FleetReader(DataSourceReader):
    """Reader of a list of all shops."""

    def __init__(self, options: ReadOptions, columns: pa.Schema) -> None:
        self.selection = options.selection
        self._shops = options.shops
        self._behaviour = options.behaviour
        self._columns = columns

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_shops": ()}  # sent to each task, whose partition has its shop

    def partitions(self) -> Sequence[InputPartition]:
        """Return as many partitions for each shop as tasks may call it at once."""
        return plan_parts(self._shops, self.selection, self._behaviour)

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition."""
        if isinstance(partition, ShopPart):  # Spark passes another object where there is no partition
            yield from read_part(partition, self.selection, self._behaviour, self._columns)


class FilteringReader(FleetReader):
    """Reader that sends filters to shops, so that they send fewer rows."""

    def pushFilters(self, filters: list[Filter]) -> Iterable[Filter]:  # noqa: N802  Spark's name
        """Use the filters that a shop can apply, and return all, because Spark applies them again."""
        self.selection = self.selection.with_filters(filters)
        return filters


class FailuresReader(DataSourceReader):
    """Reader of the failures of lists that were read with `onShopError=skip`."""

    def __init__(self, failures: FailureFolder, columns: pa.Schema) -> None:
        self._failures = failures
        self._columns = columns

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:  # noqa: ARG002  there is only one
        """Yield all failures."""
        yield batch_from_values(list(self._failures.read()), self._columns)
