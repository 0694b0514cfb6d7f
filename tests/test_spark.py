"""Fleets on Spark: many embedded shops, Spark in local mode with retries, and the same rows as from the pager."""

from __future__ import annotations

import doctest
import importlib
import json
import operator
import os
import pickle
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SPOKEN, missing
from hypothesis import given
from hypothesis import strategies as st

from magento_pager import PagerError, connect
from magento_pager.fake import Shop
from magento_pager.fake.api import Answer
from magento_pager.lists import LISTS
from magento_pager.walk.changes import format_timestamp
from magento_pager.walk.conditions import contradicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from magento_pager import ListName
    from magento_pager.fake.api import Context

KEY = "the-key-that-nobody-may-see"
PUSHDOWN = "spark.sql.python.filterPushdown.enabled"
NEEDED = ("pyspark", "pyarrow")
INSTALLED = all(find_spec(name) for name in NEEDED)

if INSTALLED:
    from pyspark.sql import datasource
    from pyspark.sql.streaming.datasource import ReadAllAvailable
    from pyspark.sql.types import StringType, StructField, StructType

    from magento_pager.spark.columns import columns_of
    from magento_pager.spark.failures import FailureFolder
    from magento_pager.spark.filters import Selection
    from magento_pager.spark.reading import Behaviour, plan_parts, read_part
    from magento_pager.spark.shops import FleetShop, read_shops, resolve
    from magento_pager.spark.source import MagentoDataSource, parse_options
    from magento_pager.spark.streaming import Schedule

    FAIL = Behaviour(0.0)

pytestmark = [
    pytest.mark.slow,  # a JVM alone takes longer than most other files
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
]


@pytest.fixture(autouse=True)
def _needs_spark() -> None:
    """Skip or fail where Spark's packages are missing."""
    if not INSTALLED:
        missing("pyspark or pyarrow is not installed")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Return Spark in local mode, with two tasks at a time, each tried four times."""
    if not INSTALLED:
        missing("pyspark or pyarrow is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        missing("Java is not installed")
    from pyspark.sql import SparkSession  # noqa: PLC0415  not installed everywhere

    folder = tmp_path_factory.mktemp("spark")
    environment = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1", "FLEET_KEY": KEY}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        builder = SparkSession.builder.master("local[2,4]").appName("fleet")
        settings = {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "512m",
            "spark.local.dir": str(folder / "scratch"),
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.python.worker.reuse": "true",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            PUSHDOWN: "true",
        }
        for name, value in settings.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        session.dataSource.register(MagentoDataSource)
        yield session
        session.stop()


class FailingShop(Shop):
    """A shop that is unavailable for a number of calls, from a given one on.

    Attributes:
        fails_at: number of the first SOAP call, from 0, that fails.
        failures: number of calls that fail.
        calls: number of calls so far.
        at_once: highest number of concurrent SOAP calls.
    """

    fails_at, failures, calls, at_once, _concurrent = -1, 0, 0, 0, 0

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer a call, or fail with HTTP status 503."""
        number, self.calls = self.calls, self.calls + 1
        if self.fails_at <= number < self.fails_at + self.failures:
            page = b"<html><body>Service Unavailable</body></html>"
            return Answer(503, "text/html", iter([page]), len(page))
        self._concurrent += 1
        self.at_once = max(self.at_once, self._concurrent)
        try:
            time.sleep(0.005)  # long enough for calls to overlap
            return super().soap(body, context)
        finally:
            self._concurrent -= 1


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Callable[..., tuple[list[FailingShop], str]]]:
    """Return a function that starts shops and writes the file that names them."""
    with ExitStack() as stack:

        def start(count: int, *, orders: int = 60, **fields: Any) -> tuple[list[FailingShop], str]:
            versions = [version for version, flavour in SPOKEN if flavour == "rpc"]
            shops = [
                stack.enter_context(
                    FailingShop(profile=versions[number % len(versions)], orders=orders + number, key=KEY)
                )
                for number in range(count)
            ]
            path = tmp_path / "shops.json"
            path.write_text(json.dumps([entry(f"shop-{number}", shop, **fields) for number, shop in enumerate(shops)]))
            return shops, str(path)

        yield start


def entry(name: str, shop: Shop, **fields: Any) -> dict[str, Any]:
    """Return the entry of a shop in the file."""
    return {"name": name, "url": shop.url, "user": shop.user, "key": "env:FLEET_KEY"} | fields


def load(spark: SparkSession, path: str, entity: str = "orders", **options: str) -> DataFrame:
    """Return a list of a fleet."""
    return spark.read.format("magento").options(entity=entity, shops=path, patience="0", **options).load()


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    """Return rows in order, with undeclared columns and without nulls."""
    rows = [{name: value for name, value in row.items() if value is not None} for row in frame.toArrow().to_pylist()]
    return in_order(row | json.loads(row.pop("other_columns", "{}")) for row in rows)


def ids_of(shop: Shop) -> list[int]:
    """Return the ids of a shop's orders, in order."""
    return list(shop.database.ids("orders"))


def in_order(rows: Any) -> list[dict[str, Any]]:
    """Sort rows by shop and number."""
    return sorted(rows, key=lambda row: (row["shop"], row.get("increment_id", ""), row.get("customer_id", 0)))


def expected(shops: Sequence[Shop], entity: ListName = "orders") -> list[dict[str, Any]]:
    """Return the rows of these shops from the pager, without nulls."""
    rows = []
    for number, shop in enumerate(shops):
        with connect(shop.url, shop.user, shop.key) as pager:
            rows += [
                {"shop": f"shop-{number}"} | {name: value for name, value in row.items() if value is not None}
                for row in pager.list(entity, typed=True)
            ]
    return in_order(rows)


def test_twenty_shops_of_several_versions(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """Each row is returned once, although one shop fails during its task, and no shop has two calls at once.

    The values are those of the pager. Rows of failed attempts are discarded.
    """
    shops, path = fleet(20)
    expected_rows = expected(shops)
    failing = shops[7]
    failing.clear_log()
    failing.fails_at, failing.failures = failing.calls + 4, 3
    frame = load(spark, path)
    rows = rows_of(frame)
    assert max(shop.at_once for shop in shops) == 1
    assert len(rows) == sum(60 + number for number in range(20))
    assert rows == expected_rows
    assert sum(call.operation == "login" for call in failing.log) > 1
    assert frame.columns[0] == "shop"
    assert dict(frame.dtypes)["grand_total"] == "decimal(38,9)"


@pytest.mark.parametrize("entity", ["shipments", "customers"])
def test_other_lists(spark: SparkSession, fleet: Callable[..., Any], entity: ListName) -> None:
    """Lists whose rows carry no ids, and lists other than sales."""
    shops, path = fleet(3)
    assert rows_of(load(spark, path, entity)) == expected(shops, entity)


@pytest.mark.parametrize("wire", ["xml-rpc", "auto"])
def test_rows_are_read_by_xml_rpc_on_request(spark: SparkSession, fleet: Callable[..., Any], wire: str) -> None:
    """The same rows, from each part of a shop."""
    shops, path = fleet(3, parallel=2)
    expected_rows = expected(shops, "customers")
    for shop in shops:
        shop.clear_log()
    assert rows_of(load(spark, path, "customers", wire=wire)) == expected_rows
    by_soap = [call for shop in shops for call in shop.log if call.operation == "customerCustomerList"]
    assert bool(by_soap) == (wire == "auto"), "auto compares the protocols"
    assert all(sum(call.operation == "call" for call in shop.log) > 2 for shop in shops)


def test_a_shop_with_parallel_is_read_by_several_tasks(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """It has that many partitions, which together return each row once."""
    shops, path = fleet(2, orders=300, parallel=2)
    frame = load(spark, path)
    assert frame.rdd.getNumPartitions() == 4
    assert rows_of(frame) == expected(shops)
    assert max(shop.at_once for shop in shops) <= 2


def test_a_shop_that_keeps_failing_fails_the_job(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """After its last attempt the job ends with the shop's name and the reason, and without its key."""
    shops, path = fleet(2)
    shops[1].fails_at, shops[1].failures = 0, 1_000
    with pytest.raises(Exception, match="Shop shop-1, orders: ") as caught:
        rows_of(load(spark, path))
    assert KEY not in str(caught.value)


def test_failures_are_skipped_and_recorded(spark: SparkSession, fleet: Callable[..., Any], tmp_path: Path) -> None:
    """Rows of other shops are returned, the failures tell what is missing, and a later reading clears them."""
    shops, path = fleet(4)
    expected_rows = expected(shops)
    shops[1].fails_at, shops[1].failures = 0, 1_000_000
    broken = ids_of(shops[2])[9]
    shops[2].database.duplicate_address(broken)
    options = {"onShopError": "skip", "shopErrors": str(tmp_path / "errors")}
    rows = rows_of(load(spark, path, **options))
    assert len(rows) < len(expected_rows) - 1
    assert rows == [
        row for row in expected_rows if row["shop"] != "shop-1" and (row["shop"], row["order_id"]) != ("shop-2", broken)
    ]
    errors = spark.read.format("magento").options(entity="shop_errors", shopErrors=options["shopErrors"]).load()
    failures = {row["shop"]: row for row in errors.toArrow().to_pylist()}
    assert failures.keys() == {"shop-1", "shop-2"}
    assert (failures["shop-1"]["kind"], failures["shop-1"]["next_id"], failures["shop-1"]["id"]) == ("shop", 0, None)
    assert (failures["shop-2"]["kind"], failures["shop-2"]["id"]) == ("row", broken)
    assert KEY not in str(failures)
    shops[1].fails_at = -1_000_001
    shops[2].database.delete("orders", broken)
    assert len(rows_of(load(spark, path, **options))) == len(expected_rows) - 1
    assert errors.count() == 0


def test_a_row_that_cannot_be_read_fails_the_job(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """Unless `onShopError` is `skip`, no row is skipped."""
    shops, path = fleet(1)
    broken = ids_of(shops[0])[9]
    shops[0].database.duplicate_address(broken)
    with pytest.raises(Exception, match=f"Every reply that includes row {broken} fails"):
        rows_of(load(spark, path))


def test_filters_are_sent_to_shops(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """Shops receive the filters on ids, times and statuses, and shops that are filtered out are not called."""
    shops, path = fleet(4, orders=200)
    all_rows = [row for row in expected(shops) if row["shop"] != "shop-3"]
    since = sorted(row["updated_at"] for row in all_rows)[len(all_rows) // 2]
    for shop in shops:
        shop.clear_log()
    text = f"{since:%Y-%m-%d %H:%M:%S}"
    frame = load(spark, path).where(
        f"shop != 'shop-9' and shop in ('shop-0', 'shop-1', 'shop-2') and order_id between 20 and 150 "
        f"and status = 'complete' and updated_at >= timestamp '{text}' and grand_total > 0"
    )
    rows = rows_of(frame)
    assert rows == [
        row
        for row in all_rows
        if 20 <= row["order_id"] <= 150 and row["status"] == "complete" and row["updated_at"] >= since
    ]
    assert rows
    assert not shops[3].log
    for shop in shops[:3]:
        lists = [call for call in shop.log if call.operation == "salesOrderList"]
        assert all(("status", "eq", "complete") in call.conditions for call in lists)
        assert any(("updated_at", "gteq", text) in call.conditions for call in lists)
        assert sum(call.rows for call in lists) < 400


def test_without_pushdown_filters_are_not_sent(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """Without Spark's setting, shops send all rows, and the result is the same."""
    shops, path = fleet(1, orders=50)
    expected_rows = [row for row in expected(shops) if row["status"] == "complete"]
    shops[0].clear_log()
    spark.conf.set(PUSHDOWN, "false")
    try:
        assert rows_of(load(spark, path).where("status = 'complete'")) == expected_rows
    finally:
        spark.conf.set(PUSHDOWN, "true")
    assert not any(field == "status" for call in shops[0].log for field, *_ in call.conditions)


def test_contradicting_filters_make_no_call(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """No row can match filters that exclude each other."""
    shops, path = fleet(1)
    assert load(spark, path).where("order_id > 50 and order_id < 20").count() == 0
    assert load(spark, path).where("shop = 'no-shop'").count() == 0
    assert not shops[0].calls


def test_a_schema_selects_columns(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """In its own order; another type than that of the column is refused."""
    _, path = fleet(1)
    reader = spark.read.format("magento").options(entity="orders", shops=path)
    frame = reader.schema("order_id bigint, shop string").load()
    assert frame.toArrow().column_names == ["order_id", "shop"]
    assert frame.count() == 60
    with pytest.raises(Exception, match="The column order_id is bigint, not int"):
        reader.schema("order_id int").load().collect()


def test_speculation_is_refused(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """No shop is called where Spark may call it a second time at once."""
    shops, path = fleet(1)
    spark.sparkContext.setLocalProperty("spark.speculation", "true")
    try:
        with pytest.raises(Exception, match=r"spark\.speculation is on"):
            load(spark, path).collect()
    finally:
        spark.sparkContext.setLocalProperty("spark.speculation", "false")
    assert not shops[0].calls


def test_no_key_is_in_a_plan_or_a_pickle(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """They have only references."""
    _, path = fleet(2, parallel=2)
    frame = load(spark, path)
    plan = frame._jdf.queryExecution().toString()  # noqa: SLF001  as `explain` prints it
    assert "magento" in plan
    assert KEY not in plan
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEET_KEY", KEY)
        shops = read_shops(path)
        parts = plan_parts(shops, Selection("orders"), FAIL)
    assert len(parts) == 4
    assert KEY.encode() not in pickle.dumps(parts)
    assert KEY not in repr(parts)


def test_the_code_in_the_guide_runs(spark: SparkSession, fleet: Callable[..., Any], tmp_path: Path) -> None:
    """Block by block, with a fleet of embedded shops."""
    shops, path = fleet(2)
    page = (Path(__file__).parents[1] / "docs/how-to/many-shops.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert Path(path) == tmp_path / "shops.json"
    names: dict[str, Any] = {"spark": spark}
    for block in blocks:
        exec(block.replace("/fleet/", f"{tmp_path}/"), names)  # noqa: S102  a page of this repository
    assert len(blocks) == 4
    assert names["missing"].count() == 0
    for folder in ("orders", "changes"):
        assert rows_of(spark.read.parquet(str(tmp_path / folder))) == expected(shops)


def test_a_task_receives_no_other_shop(fleet: Callable[..., Any]) -> None:
    """The data sent to each task does not grow with the fleet."""
    _, path = fleet(1)
    fields = {"url": "https://shop.example/", "user": "me", "key": "env:FLEET_KEY"}
    sizes = set()
    for count in (1, 1_000):
        Path(path).write_text(json.dumps([fields | {"name": f"shop-{number}"} for number in range(count)]))
        source = MagentoDataSource({"entity": "orders", "shops": path})
        schema = StructType([StructField("shop", StringType())])
        reader, stream = source.reader(schema), source.streamReader(schema)
        assert (
            len(reader.partitions()) == len(stream.partitions({}, stream.latestOffset({}, ReadAllAvailable()))) == count
        )
        sizes.add((len(pickle.dumps(reader)), len(pickle.dumps(stream))))
    assert len(sizes) == 1


# --- streams ----------------------------------------------------------------------------------------------------------


class FileStream:
    """A stream to files that is run several times from one checkpoint."""

    def __init__(self, spark: SparkSession, path: str, folder: Path) -> None:
        self._spark = spark
        self._path = path
        self._folder = folder

    def run(self) -> None:
        """Read the changes up to now, and end."""
        reader = self._spark.readStream.format("magento").options(entity="orders", shops=self._path)
        frame = reader.options(patience="0", late="0").load().select("shop", "order_id", "updated_at", "status")
        query = (
            frame.writeStream.format("json")
            .option("checkpointLocation", str(self._folder / "checkpoint"))
            .trigger(availableNow=True)
            .start(str(self._folder / "rows"))
        )
        query.awaitTermination()

    def rows(self) -> list[tuple[str, int, str, str]]:
        """Return all rows so far: shop, id, time and status."""
        frame = self._spark.read.schema("shop string, order_id bigint, updated_at timestamp, status string")
        rows = frame.json(str(self._folder / "rows")).toArrow().to_pylist()
        return sorted(
            (row["shop"], row["order_id"], f"{row['updated_at']:%Y-%m-%d %H:%M:%S}", row["status"]) for row in rows
        )


def change_order(shop: Shop, order: int, status: str) -> str:
    """Change an order now, wait until that second is over, and return its time."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    shop.database.update("orders", order, {"status": status, "updated_at": now})
    while f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}" == now:
        time.sleep(0.05)
    return now


def test_a_stream_delivers_each_change_once(spark: SparkSession, fleet: Callable[..., Any], tmp_path: Path) -> None:
    """After a failed batch and restarts from the checkpoint, no change is lost, and none is delivered twice."""
    shops, path = fleet(3, orders=30)
    ids = [ids_of(shop)[number] for number, shop in enumerate(shops)]
    stream = FileStream(spark, path, tmp_path)
    stream.run()
    first = stream.rows()
    assert len(first) == 30 + 31 + 32
    stream.run()
    assert stream.rows() == first, "nothing has changed"

    later = [("shop-0", ids[0], change_order(shops[0], ids[0], "holded"), "holded")]
    shops[1].fails_at, shops[1].failures = shops[1].calls, 1_000
    with pytest.raises(Exception, match="Shop shop-1, orders: "):
        stream.run()
    later.append(("shop-2", ids[2], change_order(shops[2], ids[2], "closed"), "closed"))
    shops[1].fails_at = -1_001
    stream.run()
    stream.run()
    later.append(("shop-1", ids[1], change_order(shops[1], ids[1], "holded"), "holded"))
    later.append(("shop-0", ids[0], change_order(shops[0], ids[0], "closed"), "closed"))
    stream.run()
    assert stream.rows() == sorted([*first, *later])


def test_when_batches_end() -> None:
    """A batch ends `late` before now, and `every` after the last one at the earliest; ends never decrease."""
    schedule, now = Schedule(timedelta(minutes=10), timedelta(minutes=30)), datetime(2024, 5, 1, 12, 0, 5, 999, UTC)
    begun = schedule.next_offset({}, ["a", "b"], now)
    assert begun == dict.fromkeys("ab", "2024-05-01T11:50:05+00:00")
    assert schedule.next_offset(begun, ["a", "b"], now + timedelta(minutes=29)) == begun
    assert schedule.next_offset(begun, ["a", "b"], now + timedelta(minutes=29), at_once=True) != begun
    after = schedule.next_offset(begun, ["a", "c"], now + timedelta(minutes=30))
    assert after == {"a": "2024-05-01T12:20:05+00:00", "b": begun["b"], "c": "2024-05-01T12:20:05+00:00"}
    assert schedule.next_offset(after, ["a"], now, at_once=True) == after


def test_a_shop_with_a_slow_clock_is_not_read(spark: SparkSession, fleet: Callable[..., Any], tmp_path: Path) -> None:
    """The shop could still write rows for times in the batch."""
    shops, path = fleet(1)
    shops[0].change(clock="2024-05-01 12:00:00")
    with pytest.raises(Exception, match="The shop's clock says 2024-05-01 12:00"):
        FileStream(spark, path, tmp_path).run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entity": "shipments"}, "have no time of change"),
        ({"onShopError": "skip", "shopErrors": "errors"}, "A stream cannot skip shops"),
        ({"updatedSince": "2024-05-01T10:00:00Z"}, "updatedSince is not for streams"),
    ],
)
def test_options_that_do_not_work_with_streams_are_refused(
    fleet: Callable[..., Any], options: dict[str, str], message: str
) -> None:
    """Before any shop is called."""
    _, path = fleet(1)
    source = MagentoDataSource({"entity": "orders", "shops": path} | options)
    with pytest.raises(ValueError, match=message):
        source.streamReader(StructType())


# --- without Spark running --------------------------------------------------------------------------------------------


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "EqualTo": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqual": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqual": operator.le,
}
TIMES = st.datetimes(datetime(2024, 1, 1), datetime(2024, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001  see timezones


@given(
    st.lists(st.tuples(st.sampled_from(sorted(COMPARED)), st.integers(-3, 12))),
    st.lists(st.tuples(st.sampled_from(sorted(COMPARED)), st.sampled_from(["created_at", "updated_at"]), TIMES)),
    st.integers(0, 9),
    st.dictionaries(st.sampled_from(["created_at", "updated_at"]), TIMES.map(lambda at: at.replace(microsecond=0))),
)
def test_no_filter_excludes_a_row_that_spark_keeps(
    ids: list[tuple[str, int]], bounds: list[tuple[str, str, datetime]], row: int, times: dict[str, datetime]
) -> None:
    """A row that all of Spark's filters keep is in the selection for the shop."""
    filters = [getattr(datasource, name)(("order_id",), number) for name, number in ids]
    filters += [getattr(datasource, name)((column,), bound) for name, column, bound in bounds]
    kept = all(COMPARED[name](row, number) for name, number in ids) and all(
        column in times and COMPARED[name](times[column], bound) for name, column, bound in bounds
    )
    selection = Selection("orders").with_filters(filters)
    if kept:
        texts = {column: f"{time:%Y-%m-%d %H:%M:%S}" for column, time in times.items()}
        assert selection.first <= row <= selection.last
        assert selection.since is None or texts["updated_at"] >= format_timestamp(selection.since)
        assert not any(contradicts(condition, texts) for condition in selection.where)


@pytest.mark.parametrize("version", [version for version, flavour in SPOKEN if flavour == "rpc"])
def test_shops_honour_filters_on_comparable_columns(version: str) -> None:
    """On every version and list, a condition on such a column returns the rows with the value, and no fault."""
    with Shop(profile=version, orders=120) as shop, connect(shop.url, shop.user, shop.key) as pager:
        for entity, columns in ((spec.name, spec.comparable) for spec in LISTS.values()):
            if (entity, version) == ("creditmemos", "1.4.1.1"):
                continue  # Magento has the list since 1.6.1
            rows = list(pager.list(entity))
            for column in sorted(columns):
                values = [row[column] for row in rows if row.get(column)]
                value = values[len(values) // 2] if values else "1"
                operators = ("eq", "gteq", "lteq") if column == "created_at" else ("eq",)
                for operation in operators:
                    matching = list(pager.list(entity, where=[(column, operation, value)]))
                    assert not values or value in [row[column] for row in matching], (entity, column)
                    if values and operation == "eq":
                        assert len(matching) == values.count(value), (entity, column)
                if values and column in LISTS[entity].numbers | LISTS[entity].dates:
                    span = [(column, "gteq", value), (column, "lteq", value)]
                    assert len(list(pager.list(entity, where=span))) == values.count(value), (entity, column)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entity": "order"}, "The option entity must be one of"),
        ({"onShopError": "stop"}, "fail or skip"),
        ({"onShopError": "skip"}, "onShopError=skip needs the option shopErrors"),
        ({"shop": "shops.json"}, "no option 'shop'"),
        ({"entity": "shop_errors", "shopErors": "folder"}, "no option 'shoperors'"),
        ({"sinse": "2024-05-01T10:00:00Z"}, "no option 'sinse'"),
        ({"wire": "rest"}, "The option wire must be one of soap, xml-rpc, auto, not 'rest'"),
        ({"repair": "yes"}, "true or false, not 'yes'"),
        ({"updatedSince": "yesterday"}, "a time with a zone, such as 2024-05-01T10:00:00Z, not 'yesterday'"),
        ({"patience": "soon"}, "patience must be a number of seconds"),
        ({"late": "-1"}, "late must be a number of seconds"),
        ({"updatedSince": "2024-05-01"}, "has no time zone"),
    ],
)
def test_invalid_options_are_refused(fleet: Callable[..., Any], change: dict[str, str], message: str) -> None:
    """When the list is loaded, before any shop is called."""
    _, path = fleet(1)
    with pytest.raises(ValueError, match=message):
        MagentoDataSource({"entity": "orders", "shops": path} | change).schema()


def test_a_list_without_shops_is_refused() -> None:
    """The option and the file are required; failures need their folder."""
    with pytest.raises(ValueError, match="option shops"):
        parse_options("orders", {})
    with pytest.raises(FileNotFoundError):
        parse_options("orders", {"shops": "nowhere.json"})
    with pytest.raises(ValueError, match="option shopErrors"):
        _ = MagentoDataSource({"entity": "shop_errors"})._failures  # noqa: SLF001  used by its reader


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be a JSON list"),
        ('{"name": "a"}', "must be a JSON list"),
        ('[{"name": "a", "url": "u", "user": "me"}]', "lacks the field 'key'"),
        ('[{"name": "a", "url": "u", "user": "me", "key": "env:K", "keys": 1}]', "unknown field 'keys'"),
        ('[{"name": "a", "url": "u", "user": "me", "key": "SECRET"}]', "env:NAME or file:PATH"),
        (
            '[{"name": "a", "url": "u", "user": "me", "key": "env:K", "basic_auth": "me:SECRET"}]',
            "basic_auth must be env",
        ),
        ('[{"name": "a", "url": "http://me:SECRET@a/", "user": "me", "key": "env:K"}]', "url has"),
        ('[{"name": "a", "url": "u", "user": "me", "key": "env:K", "parallel": 0}]', "parallel must be a number"),
        ('[{"name": "a", "url": "u", "user": "me", "key": "env:K", "nice": "x"}]', "nice must be a number"),
        ('[{"name": "", "url": "u", "user": "me", "key": "env:K"}]', "name must be text"),
        ("[" + ",".join(['{"name": "a", "url": "u", "user": "me", "key": "env:K"}'] * 2) + "]", "'a' twice"),
    ],
)
def test_an_invalid_file_of_shops_is_refused(content: str, message: str, tmp_path: Path) -> None:
    """The message names the shop and the field, and repeats nothing that may be secret."""
    path = tmp_path / "shops.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_shops(path)
    assert "SECRET" not in str(caught.value)


def test_credentials_are_looked_up_when_a_shop_is_called(shop: Shop, tmp_path: Path) -> None:
    """User and key come from a file or a variable; if it is missing, the message has the reference."""
    (tmp_path / "key").write_text(f"{shop.key}\nsecond line\n")
    fields = {"name": "a", "url": shop.url, "user": "env:FLEET_USER", "key": f"file:{tmp_path / 'key'}"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEET_USER", shop.user)
        with FleetShop(**fields).connect() as pager:  # type: ignore[arg-type]  # all are text
            assert next(iter(pager.orders()))
    with pytest.raises(ValueError, match="env:FLEET_USER was not found on this machine"):
        FleetShop(**fields).connect()  # type: ignore[arg-type]  # all are text
    with pytest.raises(ValueError, match="was not found"):
        resolve(f"file:{tmp_path}")


def test_a_shop_that_cannot_be_split_is_one_part(caplog: pytest.LogCaptureFixture) -> None:
    """Planning continues, and the task reports the error."""
    shop = FleetShop("a", "http://127.0.0.1:9/", "me", "env:NOT_SET", parallel=3)
    (part,) = plan_parts([shop], Selection("orders"), FAIL)
    assert (part.cursor.next_id, part.parts) == (0, 1)
    assert "splitting it into parts failed" in caplog.text
    with pytest.raises(PagerError, match="Shop a, orders: env:NOT_SET"):
        list(read_part(part, Selection("orders"), FAIL, columns_of("orders")))


def test_rows_that_need_repair_are_read_on_request(tmp_path: Path) -> None:
    """A row with a character that XML forbids fails the task, or is recorded, or is read without the character."""
    with Shop(profile="1.7.0.2", orders=100, key=KEY) as shop:
        broken = ids_of(shop)[9]
        shop.change(control_characters=[broken])
        (tmp_path / "key").write_text(KEY)
        selection = Selection("orders")
        (part,) = plan_parts([FleetShop("a", shop.url, shop.user, f"file:{tmp_path / 'key'}")], selection, FAIL)
        with pytest.raises(PagerError, match=f"Every reply that includes row {broken} fails"):
            list(read_part(part, selection, FAIL, columns_of("orders")))
        folder = FailureFolder(str(tmp_path / "errors"))
        for repair, lost in ((False, 1), (True, 0)):
            behaviour = Behaviour(0.0, repair=repair, on_error="skip", failures=folder)
            batches = list(read_part(part, selection, behaviour, columns_of("orders")))
            assert sum(batch.num_rows for batch in batches) == 100 - lost
            assert [(failure["kind"], failure["id"]) for failure in folder.read()] == [("row", broken)] * lost


@pytest.mark.parametrize("name", ["columns", "filters", "shops", "source", "streaming"])
def test_examples_in_docstrings(name: str) -> None:
    """Each example has the result that it shows."""
    module = importlib.import_module(f"magento_pager.spark.{name}")
    results = doctest.testmod(module)
    assert results.attempted > results.failed == 0


def test_the_package_does_not_import_pyspark() -> None:
    """Neither do any of its public names."""
    code = "import sys, magento_pager as m; [getattr(m, name) for name in m.__all__]; print('pyspark' in sys.modules)"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert completed.stdout == "False\n"
