"""Fleets on Spark: many embedded shops, Spark in local mode with retries, and rows that equal those of the pager."""

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
HERE = all(find_spec(one) for one in NEEDED)

if HERE:
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
    if not HERE:
        missing("pyspark or pyarrow is not installed")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Spark in this process and a Java, with two tasks at a time, each tried four times."""
    if not HERE:
        missing("pyspark or pyarrow is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        missing("Java is not installed")
    from pyspark.sql import SparkSession  # noqa: PLC0415  not to be had everywhere

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


class Mortal(Shop):
    """A shop that dies in the middle of a reading, and comes back when it was called some more times.

    Attributes:
        dies: the number of the SOAP call, from 0, that is not answered.
        down: how many calls are not answered.
        calls: how many there were.
        at_once: SOAP calls under way at the same time, at most.
    """

    dies, down, calls, at_once, _now = -1, 0, 0, 0, 0

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer, or say nothing but that the service is unavailable."""
        number, self.calls = self.calls, self.calls + 1
        if self.dies <= number < self.dies + self.down:
            page = b"<html><body>Service Unavailable</body></html>"
            return Answer(503, "text/html", iter([page]), len(page))
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            time.sleep(0.005)  # so that calls that might overlap do
            return super().soap(body, context)
        finally:
            self._now -= 1


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Callable[..., tuple[list[Mortal], str]]]:
    """Start shops, and write the file that names them."""
    with ExitStack() as stack:

        def started(count: int, *, orders: int = 60, **fields: Any) -> tuple[list[Mortal], str]:
            versions = [version for version, flavour in SPOKEN if flavour == "rpc"]
            shops = [
                stack.enter_context(Mortal(profile=versions[one % len(versions)], orders=orders + one, key=KEY))
                for one in range(count)
            ]
            path = tmp_path / "shops.json"
            path.write_text(json.dumps([entry(f"shop-{one}", shop, **fields) for one, shop in enumerate(shops)]))
            return shops, str(path)

        yield started


def entry(name: str, shop: Shop, **fields: Any) -> dict[str, Any]:
    """A shop as the file names it."""
    return {"name": name, "url": shop.url, "user": shop.user, "key": "env:FLEET_KEY"} | fields


def loaded(spark: SparkSession, path: str, entity: str = "orders", **options: str) -> DataFrame:
    """A list of a fleet."""
    return spark.read.format("magento").options(entity=entity, shops=path, patience="0", **options).load()


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    """Rows without nulls, what is not declared among them, in order."""
    rows = [{name: value for name, value in row.items() if value is not None} for row in frame.toArrow().to_pylist()]
    return in_order(row | json.loads(row.pop("other_columns", "{}")) for row in rows)


def some(shop: Shop) -> list[int]:
    """The ids of its orders, in order."""
    return list(shop.database.ids("orders"))


def in_order(rows: Any) -> list[dict[str, Any]]:
    """Rows by shop and number."""
    return sorted(rows, key=lambda row: (row["shop"], row.get("increment_id", ""), row.get("customer_id", 0)))


def expected(shops: Sequence[Shop], entity: ListName = "orders") -> list[dict[str, Any]]:
    """What the pager brings of these shops, nulls left out."""
    found = []
    for number, shop in enumerate(shops):
        with connect(shop.url, shop.user, shop.key) as pager:
            found += [
                {"shop": f"shop-{number}"} | {name: value for name, value in row.items() if value is not None}
                for row in pager.list(entity, typed=True)
            ]
    return in_order(found)


def test_twenty_shops_of_several_versions(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """Each row of each shop is there once, though one dies in the middle, and no shop is asked twice at once.

    The values are those of the pager. Rows of the attempts that fail are thrown away.
    """
    shops, path = fleet(20)
    wanted = expected(shops)
    mortal = shops[7]
    mortal.clear_log()
    mortal.dies, mortal.down = mortal.calls + 4, 3
    frame = loaded(spark, path)
    found = rows_of(frame)
    assert max(shop.at_once for shop in shops) == 1
    assert len(found) == sum(60 + one for one in range(20))
    assert found == wanted
    assert sum(call.operation == "login" for call in mortal.log) > 1
    assert frame.columns[0] == "shop"
    assert dict(frame.dtypes)["grand_total"] == "decimal(38,9)"


@pytest.mark.parametrize("entity", ["shipments", "customers"])
def test_other_lists(spark: SparkSession, fleet: Callable[..., Any], entity: ListName) -> None:
    """Lists whose rows carry no ids, and those that are no sales."""
    shops, path = fleet(3)
    assert rows_of(loaded(spark, path, entity)) == expected(shops, entity)


@pytest.mark.parametrize("wire", ["xml-rpc", "auto"])
def test_rows_come_by_xml_rpc_where_that_is_asked_for(
    spark: SparkSession, fleet: Callable[..., Any], wire: str
) -> None:
    """The same ones, from each part of a shop."""
    shops, path = fleet(3, parallel=2)
    wanted = expected(shops, "customers")
    for shop in shops:
        shop.clear_log()
    assert rows_of(loaded(spark, path, "customers", wire=wire)) == wanted
    by_soap = [call for shop in shops for call in shop.log if call.operation == "customerCustomerList"]
    assert bool(by_soap) == (wire == "auto"), "it compares"
    assert all(sum(call.operation == "call" for call in shop.log) > 2 for shop in shops)


def test_several_tasks_for_a_shop_that_allows_it(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """As many partitions as may ask a shop at once, and together they bring each row once."""
    shops, path = fleet(2, orders=300, parallel=2)
    frame = loaded(spark, path)
    assert frame.rdd.getNumPartitions() == 4
    assert rows_of(frame) == expected(shops)
    assert max(shop.at_once for shop in shops) <= 2


def test_a_shop_that_stays_away_fails_the_job(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """After its last attempt the job ends with the shop's name and the reason, and without its key."""
    shops, path = fleet(2)
    shops[1].dies, shops[1].down = 0, 1_000
    with pytest.raises(Exception, match="Shop shop-1, orders: ") as caught:
        rows_of(loaded(spark, path))
    assert KEY not in str(caught.value)


def test_failures_are_skipped_and_told(spark: SparkSession, fleet: Callable[..., Any], tmp_path: Path) -> None:
    """The rows of other shops come, the failures say what is missing, and a later reading clears them."""
    shops, path = fleet(4)
    wanted = expected(shops)
    shops[1].dies, shops[1].down = 0, 1_000_000
    broken = some(shops[2])[9]
    shops[2].database.duplicate_address(broken)
    options = {"onShopError": "skip", "shopErrors": str(tmp_path / "errors")}
    rows = rows_of(loaded(spark, path, **options))
    assert len(rows) < len(wanted) - 1
    assert rows == [
        row for row in wanted if row["shop"] != "shop-1" and (row["shop"], row["order_id"]) != ("shop-2", broken)
    ]
    errors = spark.read.format("magento").options(entity="shop_errors", shopErrors=options["shopErrors"]).load()
    told = {row["shop"]: row for row in errors.toArrow().to_pylist()}
    assert told.keys() == {"shop-1", "shop-2"}
    assert (told["shop-1"]["kind"], told["shop-1"]["next_id"], told["shop-1"]["id"]) == ("shop", 0, None)
    assert (told["shop-2"]["kind"], told["shop-2"]["id"]) == ("row", broken)
    assert KEY not in str(told)
    shops[1].dies = -1_000_001
    shops[2].database.delete("orders", broken)
    assert len(rows_of(loaded(spark, path, **options))) == len(wanted) - 1
    assert errors.count() == 0


def test_a_row_that_cannot_be_read_fails_the_job(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """Unless rows may be skipped, none is left out."""
    shops, path = fleet(1)
    broken = some(shops[0])[9]
    shops[0].database.duplicate_address(broken)
    with pytest.raises(Exception, match=f"Every reply that includes row {broken} fails"):
        rows_of(loaded(spark, path))


def test_filters_travel(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """Shops are asked for the ids, times and statuses that are wanted, and shops that are not wanted are not asked."""
    shops, path = fleet(4, orders=200)
    every = [row for row in expected(shops) if row["shop"] != "shop-3"]
    since = sorted(row["updated_at"] for row in every)[len(every) // 2]
    for shop in shops:
        shop.clear_log()
    text = f"{since:%Y-%m-%d %H:%M:%S}"
    frame = loaded(spark, path).where(
        f"shop != 'shop-9' and shop in ('shop-0', 'shop-1', 'shop-2') and order_id between 20 and 150 "
        f"and status = 'complete' and updated_at >= timestamp '{text}' and grand_total > 0"
    )
    found = rows_of(frame)
    assert found == [
        row
        for row in every
        if 20 <= row["order_id"] <= 150 and row["status"] == "complete" and row["updated_at"] >= since
    ]
    assert found
    assert not shops[3].log
    for shop in shops[:3]:
        lists = [call for call in shop.log if call.operation == "salesOrderList"]
        assert all(("status", "eq", "complete") in call.conditions for call in lists)
        assert any(("updated_at", "gteq", text) in call.conditions for call in lists)
        assert sum(call.rows for call in lists) < 400


def test_filters_stay_where_spark_does_not_send_them(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """Without Spark's setting the same rows come, and all of them travel."""
    shops, path = fleet(1, orders=50)
    wanted = [row for row in expected(shops) if row["status"] == "complete"]
    shops[0].clear_log()
    spark.conf.set(PUSHDOWN, "false")
    try:
        assert rows_of(loaded(spark, path).where("status = 'complete'")) == wanted
    finally:
        spark.conf.set(PUSHDOWN, "true")
    assert not any(field == "status" for call in shops[0].log for field, *_ in call.conditions)


def test_no_row_can_be_wanted(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """Filters that exclude each other cost no call."""
    shops, path = fleet(1)
    assert loaded(spark, path).where("order_id > 50 and order_id < 20").count() == 0
    assert loaded(spark, path).where("shop = 'no-shop'").count() == 0
    assert not shops[0].calls


def test_some_columns_in_another_order(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """A schema of one's own picks columns; a type of one's own is refused."""
    _, path = fleet(1)
    reader = spark.read.format("magento").options(entity="orders", shops=path)
    frame = reader.schema("order_id bigint, shop string").load()
    assert frame.toArrow().column_names == ["order_id", "shop"]
    assert frame.count() == 60
    with pytest.raises(Exception, match="The column order_id is bigint, not int"):
        reader.schema("order_id int").load().collect()


def test_speculation_is_refused(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """No shop is asked where Spark may ask it a second time at once."""
    shops, path = fleet(1)
    spark.sparkContext.setLocalProperty("spark.speculation", "true")
    try:
        with pytest.raises(Exception, match=r"spark\.speculation is on"):
            loaded(spark, path).collect()
    finally:
        spark.sparkContext.setLocalProperty("spark.speculation", "false")
    assert not shops[0].calls


def test_no_key_is_in_a_plan_or_a_pickle(spark: SparkSession, fleet: Callable[..., Any]) -> None:
    """What Spark shows and carries holds references alone."""
    _, path = fleet(2, parallel=2)
    frame = loaded(spark, path)
    plan = frame._jdf.queryExecution().toString()  # noqa: SLF001  what explain prints
    assert "magento" in plan
    assert KEY not in plan
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEET_KEY", KEY)
        shops = read_shops(path)
        parts = plan_parts(shops, Selection("orders"), FAIL)
    assert len(parts) == 4
    assert KEY.encode() not in pickle.dumps(parts)
    assert KEY not in repr(parts)


def test_what_the_guide_shows_runs(spark: SparkSession, fleet: Callable[..., Any], tmp_path: Path) -> None:
    """Its Spark code, block by block, with a fleet of ours in the place of the one in the guide."""
    shops, path = fleet(2)
    page = (Path(__file__).parents[1] / "docs/how-to/many-shops.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert Path(path) == tmp_path / "shops.json"
    names: dict[str, Any] = {"spark": spark}
    for block in blocks:
        exec(block.replace("/fleet/", f"{tmp_path}/"), names)  # noqa: S102  our own page
    assert len(blocks) == 4
    assert names["missing"].count() == 0
    for folder in ("orders", "changes"):
        assert rows_of(spark.read.parquet(str(tmp_path / folder))) == expected(shops)


def test_a_task_is_told_of_no_other_shop(fleet: Callable[..., Any]) -> None:
    """What goes to each task does not grow with the fleet."""
    _, path = fleet(1)
    fields = {"url": "https://shop.example/", "user": "me", "key": "env:FLEET_KEY"}
    sizes = set()
    for count in (1, 1_000):
        Path(path).write_text(json.dumps([fields | {"name": f"shop-{one}"} for one in range(count)]))
        source = MagentoDataSource({"entity": "orders", "shops": path})
        schema = StructType([StructField("shop", StringType())])
        reader, stream = source.reader(schema), source.streamReader(schema)
        assert (
            len(reader.partitions()) == len(stream.partitions({}, stream.latestOffset({}, ReadAllAvailable()))) == count
        )
        sizes.add((len(pickle.dumps(reader)), len(pickle.dumps(stream))))
    assert len(sizes) == 1


# --- streams ----------------------------------------------------------------------------------------------------------


class Streamed:
    """A stream into files, which is run again and again from one checkpoint."""

    def __init__(self, spark: SparkSession, path: str, folder: Path) -> None:
        self._spark = spark
        self._path = path
        self._folder = folder

    def run(self) -> None:
        """Take what there is now, and end."""
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
        """All that came so far: shop, id, time and status."""
        frame = self._spark.read.schema("shop string, order_id bigint, updated_at timestamp, status string")
        found = frame.json(str(self._folder / "rows")).toArrow().to_pylist()
        return sorted(
            (row["shop"], row["order_id"], f"{row['updated_at']:%Y-%m-%d %H:%M:%S}", row["status"]) for row in found
        )


def changed(shop: Shop, order: int, status: str) -> str:
    """Change an order now, and wait until that second is over."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    shop.database.update("orders", order, {"status": status, "updated_at": now})
    while f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}" == now:
        time.sleep(0.05)
    return now


def test_a_stream_brings_each_change_once(spark: SparkSession, fleet: Callable[..., Any], tmp_path: Path) -> None:
    """Through a batch that fails, and restarts from the checkpoint, nothing is lost and nothing comes twice."""
    shops, path = fleet(3, orders=30)
    ids = [some(shop)[number] for number, shop in enumerate(shops)]
    stream = Streamed(spark, path, tmp_path)
    stream.run()
    first = stream.rows()
    assert len(first) == 30 + 31 + 32
    stream.run()
    assert stream.rows() == first, "nothing has changed"

    later = [("shop-0", ids[0], changed(shops[0], ids[0], "holded"), "holded")]
    shops[1].dies, shops[1].down = shops[1].calls, 1_000
    with pytest.raises(Exception, match="Shop shop-1, orders: "):
        stream.run()
    later.append(("shop-2", ids[2], changed(shops[2], ids[2], "closed"), "closed"))
    shops[1].dies = -1_001
    stream.run()
    stream.run()
    later.append(("shop-1", ids[1], changed(shops[1], ids[1], "holded"), "holded"))
    later.append(("shop-0", ids[0], changed(shops[0], ids[0], "closed"), "closed"))
    stream.run()
    assert stream.rows() == sorted([*first, *later])


def test_when_batches_end() -> None:
    """A batch ends a little before now, no more often than is asked, never goes back, and knows lost shops."""
    schedule, now = Schedule(timedelta(minutes=10), timedelta(minutes=30)), datetime(2024, 5, 1, 12, 0, 5, 999, UTC)
    begun = schedule.next_offset({}, ["a", "b"], now)
    assert begun == dict.fromkeys("ab", "2024-05-01T11:50:05+00:00")
    assert schedule.next_offset(begun, ["a", "b"], now + timedelta(minutes=29)) == begun
    assert schedule.next_offset(begun, ["a", "b"], now + timedelta(minutes=29), at_once=True) != begun
    after = schedule.next_offset(begun, ["a", "c"], now + timedelta(minutes=30))
    assert after == {"a": "2024-05-01T12:20:05+00:00", "b": begun["b"], "c": "2024-05-01T12:20:05+00:00"}
    assert schedule.next_offset(after, ["a"], now, at_once=True) == after


def test_a_shop_whose_clock_is_behind_is_not_read(
    spark: SparkSession, fleet: Callable[..., Any], tmp_path: Path
) -> None:
    """A batch would end before the shop has written all of it."""
    shops, path = fleet(1)
    shops[0].change(clock="2024-05-01 12:00:00")
    with pytest.raises(Exception, match="The shop's clock says 2024-05-01 12:00"):
        Streamed(spark, path, tmp_path).run()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"entity": "shipments"}, "have no time of change"),
        ({"onShopError": "skip", "shopErrors": "errors"}, "A stream cannot skip shops"),
        ({"updatedSince": "2024-05-01T10:00:00Z"}, "updatedSince is not for streams"),
    ],
)
def test_what_a_stream_cannot_do(fleet: Callable[..., Any], options: dict[str, str], words: str) -> None:
    """It is refused before any shop is asked."""
    _, path = fleet(1)
    source = MagentoDataSource({"entity": "orders", "shops": path} | options)
    with pytest.raises(ValueError, match=words):
        source.streamReader(StructType())


# --- without Spark running --------------------------------------------------------------------------------------------


COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "EqualTo": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqual": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqual": operator.le,
}
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2024, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001  see timezones


@given(
    st.lists(st.tuples(st.sampled_from(sorted(COMPARED)), st.integers(-3, 12))),
    st.lists(st.tuples(st.sampled_from(sorted(COMPARED)), st.sampled_from(["created_at", "updated_at"]), MOMENTS)),
    st.integers(0, 9),
    st.dictionaries(st.sampled_from(["created_at", "updated_at"]), MOMENTS.map(lambda at: at.replace(microsecond=0))),
)
def test_no_filter_keeps_back_a_row_that_is_wanted(
    ids: list[tuple[str, int]], moments: list[tuple[str, str, datetime]], row: int, times: dict[str, datetime]
) -> None:
    """Whatever Spark asks for: a row that all of its filters keep is one that the shop is asked for."""
    filters = [getattr(datasource, name)(("order_id",), number) for name, number in ids]
    filters += [getattr(datasource, name)((column,), moment) for name, column, moment in moments]
    kept = all(COMPARED[name](row, number) for name, number in ids) and all(
        column in times and COMPARED[name](times[column], moment) for name, column, moment in moments
    )
    wanted = Selection("orders").with_filters(filters)
    if kept:
        texts = {column: f"{moment:%Y-%m-%d %H:%M:%S}" for column, moment in times.items()}
        assert wanted.first <= row <= wanted.last
        assert wanted.since is None or texts["updated_at"] >= format_timestamp(wanted.since)
        assert not any(contradicts(one, texts) for one in wanted.where)


@pytest.mark.parametrize("version", [version for version, flavour in SPOKEN if flavour == "rpc"])
def test_columns_that_are_pushed_are_understood(version: str) -> None:
    """On every version and list, a condition on such a column brings the rows that have the value, and no fault."""
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
                    found = list(pager.list(entity, where=[(column, operation, value)]))
                    assert not values or value in [row[column] for row in found], (entity, column)
                    if values and operation == "eq":
                        assert len(found) == values.count(value), (entity, column)
                if values and column in LISTS[entity].numbers | LISTS[entity].dates:
                    span = [(column, "gteq", value), (column, "lteq", value)]
                    assert len(list(pager.list(entity, where=span))) == values.count(value), (entity, column)


@pytest.mark.parametrize(
    ("change", "words"),
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
def test_options_that_cannot_be_right(fleet: Callable[..., Any], change: dict[str, str], words: str) -> None:
    """They are refused when the list is loaded, before any shop is asked."""
    _, path = fleet(1)
    with pytest.raises(ValueError, match=words):
        MagentoDataSource({"entity": "orders", "shops": path} | change).schema()


def test_a_list_without_shops_is_refused() -> None:
    """The option must be there, and so must the file; failures need their folder."""
    with pytest.raises(ValueError, match="option shops"):
        parse_options("orders", {})
    with pytest.raises(FileNotFoundError):
        parse_options("orders", {"shops": "nowhere.json"})
    with pytest.raises(ValueError, match="option shopErrors"):
        _ = MagentoDataSource({"entity": "shop_errors"})._failures  # noqa: SLF001  what its reader asks for


@pytest.mark.parametrize(
    ("content", "words"),
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
def test_a_file_of_shops_that_cannot_be_right(content: str, words: str, tmp_path: Path) -> None:
    """The message says which shop and what, and repeats nothing that may be secret."""
    path = tmp_path / "shops.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=words) as caught:
        read_shops(path)
    assert "SECRET" not in str(caught.value)


def test_credentials_are_looked_up_where_a_shop_is_called(shop: Shop, tmp_path: Path) -> None:
    """User and key come from a file or a variable; where neither is, the reference is named."""
    (tmp_path / "key").write_text(f"{shop.key}\nsecond line\n")
    fields = {"name": "a", "url": shop.url, "user": "env:FLEET_USER", "key": f"file:{tmp_path / 'key'}"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLEET_USER", shop.user)
        with FleetShop(**fields).connect() as pager:  # type: ignore[arg-type]  # texts all
            assert next(iter(pager.orders()))
    with pytest.raises(ValueError, match="env:FLEET_USER was not found on this machine"):
        FleetShop(**fields).connect()  # type: ignore[arg-type]  # texts all
    with pytest.raises(ValueError, match="was not found"):
        resolve(f"file:{tmp_path}")


def test_a_shop_that_cannot_be_cut_is_one_part(caplog: pytest.LogCaptureFixture) -> None:
    """Planning goes on, and the task will say what is wrong with the shop."""
    shop = FleetShop("a", "http://127.0.0.1:9/", "me", "env:NOT_SET", parallel=3)
    (part,) = plan_parts([shop], Selection("orders"), FAIL)
    assert (part.cursor.next_id, part.parts) == (0, 1)
    assert "splitting it into parts failed" in caplog.text
    with pytest.raises(PagerError, match="Shop a, orders: env:NOT_SET"):
        list(read_part(part, Selection("orders"), FAIL, columns_of("orders")))


def test_rows_that_need_repair_are_read_where_that_is_asked_for(tmp_path: Path) -> None:
    """A row with a character that XML forbids fails the task, or is noted, or comes without the character."""
    with Shop(profile="1.7.0.2", orders=100, key=KEY) as shop:
        broken = some(shop)[9]
        shop.change(control_characters=[broken])
        (tmp_path / "key").write_text(KEY)
        wanted = Selection("orders")
        (part,) = plan_parts([FleetShop("a", shop.url, shop.user, f"file:{tmp_path / 'key'}")], wanted, FAIL)
        with pytest.raises(PagerError, match=f"Every reply that includes row {broken} fails"):
            list(read_part(part, wanted, FAIL, columns_of("orders")))
        folder = FailureFolder(str(tmp_path / "errors"))
        for repair, lost in ((False, 1), (True, 0)):
            behaviour = Behaviour(0.0, repair=repair, on_error="skip", failures=folder)
            batches = list(read_part(part, wanted, behaviour, columns_of("orders")))
            assert sum(one.num_rows for one in batches) == 100 - lost
            assert [(one["kind"], one["id"]) for one in folder.read()] == [("row", broken)] * lost


@pytest.mark.parametrize("name", ["columns", "filters", "shops", "source", "streaming"])
def test_examples_in_docstrings(name: str) -> None:
    """What docstrings show is what functions do."""
    module = importlib.import_module(f"magento_pager.spark.{name}")
    tried = doctest.testmod(module)
    assert tried.attempted > tried.failed == 0


def test_nobody_else_imports_spark() -> None:
    """The package and its names do without pyspark."""
    code = "import sys, magento_pager as m; [getattr(m, one) for one in m.__all__]; print('pyspark' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert ended.stdout == "False\n"
