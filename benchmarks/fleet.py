"""Many shops: the rate in shops per minute of a plain loop, and of Spark on one machine.

    python -m benchmarks.fleet [SHOPS [ORDERS [TASKS]]]

Each shop is an embedded one whose calls take 40 ms plus 0.24 ms per row, like those of a live OpenMage 20.0.20. All
shops run in one separate process. The loop reads one shop after the other; Spark reads as many shops at a time as it
has tasks, each shop in one task. The time to start Spark and its first workers is printed separately, and is not part
of the rate. Prints one line of JSON. Needs the extra `spark`, and Java.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.runs import CALL, ROW
from magento_pager import connect
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

SHOPS, ORDERS, TASKS = 24, 300, 8
KEY = "demo-key"
SERVE = "serve"


def serve(count: int, orders: int) -> None:
    """Run that many shops, print their addresses, and stop at the end of standard input."""
    with ExitStack() as stack:
        created = (
            Shop(orders=orders, key=KEY, wsdl_cache=True, latency=CALL, latency_per_row=ROW) for _ in range(count)
        )
        shops = [stack.enter_context(shop) for shop in created]
        print(json.dumps([{"url": shop.url, "user": shop.user} for shop in shops]), flush=True)
        sys.stdin.read()


@contextmanager
def serving(count: int, orders: int) -> Iterator[list[dict[str, Any]]]:
    """Run that many shops in another process, and yield the entries of a file of shops."""
    command = [sys.executable, "-m", "benchmarks.fleet", SERVE, str(count), str(orders)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shops = json.loads(process.stdout.readline())
        yield [shop | {"name": f"shop-{number}", "key": "env:FLEET_KEY"} for number, shop in enumerate(shops)]
        process.communicate()


def loop(shops: list[dict[str, Any]]) -> int:
    """Read the orders of all shops, one shop after the other, and return their number."""
    rows = 0
    for shop in shops:
        with connect(shop["url"], shop["user"], KEY) as pager:
            rows += sum(len(page.rows) for page in pager.orders(typed=True).pages())
    return rows


def session(tasks: int) -> SparkSession:
    """Start Spark on this machine, with the data source and that many parallel tasks."""
    from pyspark.sql import SparkSession  # noqa: PLC0415  an extra

    from magento_pager.spark import MagentoDataSource  # noqa: PLC0415  an extra

    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1", "FLEET_KEY": KEY}
    builder = SparkSession.builder.master(f"local[{tasks}]").appName("benchmark")
    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.log.level": "OFF",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.dataSource.register(MagentoDataSource)
    return spark


def spark_rows(spark: SparkSession, shops: list[dict[str, Any]], folder: Path) -> int:
    """Read the orders of all shops by Spark, and return their number."""
    path = folder / f"shops-{len(shops)}.json"
    path.write_text(json.dumps(shops))
    frame = spark.read.format("magento").options(entity="orders", shops=str(path)).load()
    return len(frame.select("shop").toArrow())


def main(count: int = SHOPS, orders: int = ORDERS, tasks: int = TASKS) -> None:
    """Measure both."""
    with serving(count, orders) as shops, tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        loop_rows = loop(shops)
        loop_time = time.perf_counter() - began

        began = time.perf_counter()
        spark = session(tasks)
        spark_rows(spark, shops[: min(tasks, count)], Path(folder))
        start_time = time.perf_counter() - began
        began = time.perf_counter()
        fleet_rows = spark_rows(spark, shops, Path(folder))
        spark_time = time.perf_counter() - began
        spark.stop()
    assert loop_rows == fleet_rows == count * orders
    line = {
        "benchmark": "fleet",
        "shops": count,
        "orders": orders,
        "tasks": tasks,
        "cores": os.cpu_count(),
        "loop_seconds_per_shop": round(loop_time / count, 2),
        "loop_shops_per_minute": round(60 * count / loop_time, 1),
        "spark_shops_per_minute": round(60 * count / spark_time, 1),
        "times": round(loop_time / spark_time, 1),
        "start_s": round(start_time, 1),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    if sys.argv[1:2] == [SERVE]:
        serve(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
