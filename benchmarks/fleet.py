"""Many shops: how many a minute are read by a plain loop, and how many by Spark on one machine.

    python -m benchmarks.fleet [SHOPS [ORDERS [TASKS]]]

Each shop is an embedded one whose calls take 40 ms and 0.24 ms for each row, as those of a live OpenMage 20.0.20. They
all run in one process of its own. The loop reads one shop after the other; Spark reads so many at once as it has tasks,
each shop by one of them. Time to start Spark and its first workers is given beside, and is no part of the rate. Prints
one line of JSON. Needs the extra `spark`, and Java.
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
    """Be so many shops, say where they are, and end when standard input does."""
    with ExitStack() as stack:
        made = (Shop(orders=orders, key=KEY, wsdl_cache=True, latency=CALL, latency_per_row=ROW) for _ in range(count))
        shops = [stack.enter_context(one) for one in made]
        print(json.dumps([{"url": shop.url, "user": shop.user} for shop in shops]), flush=True)
        sys.stdin.read()


@contextmanager
def serving(count: int, orders: int) -> Iterator[list[dict[str, Any]]]:
    """So many shops in another process, as a file of shops names them."""
    command = [sys.executable, "-m", "benchmarks.fleet", SERVE, str(count), str(orders)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shops = json.loads(process.stdout.readline())
        yield [one | {"name": f"shop-{number}", "key": "env:FLEET_KEY"} for number, one in enumerate(shops)]
        process.communicate()


def loop(shops: list[dict[str, Any]]) -> int:
    """Return the orders of all shops, one shop after the other."""
    rows = 0
    for shop in shops:
        with connect(shop["url"], shop["user"], KEY) as pager:
            rows += sum(len(page.rows) for page in pager.orders(typed=True).pages())
    return rows


def session(tasks: int) -> SparkSession:
    """Spark on this machine, with the data source, and so many tasks at once."""
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
    """Return the orders of all shops by Spark."""
    path = folder / f"shops-{len(shops)}.json"
    path.write_text(json.dumps(shops))
    frame = spark.read.format("magento").options(entity="orders", shops=str(path)).load()
    return len(frame.select("shop").toArrow())


def main(count: int = SHOPS, orders: int = ORDERS, tasks: int = TASKS) -> None:
    """Measure both."""
    with serving(count, orders) as shops, tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        looped = loop(shops)
        plain = time.perf_counter() - began

        began = time.perf_counter()
        spark = session(tasks)
        spark_rows(spark, shops[: min(tasks, count)], Path(folder))
        starting = time.perf_counter() - began
        began = time.perf_counter()
        parallel = spark_rows(spark, shops, Path(folder))
        fleet = time.perf_counter() - began
        spark.stop()
    assert looped == parallel == count * orders
    line = {
        "benchmark": "fleet",
        "shops": count,
        "orders": orders,
        "tasks": tasks,
        "cores": os.cpu_count(),
        "loop_seconds_per_shop": round(plain / count, 2),
        "loop_shops_per_minute": round(60 * count / plain, 1),
        "spark_shops_per_minute": round(60 * count / fleet, 1),
        "times": round(plain / fleet, 1),
        "start_s": round(starting, 1),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    if sys.argv[1:2] == [SERVE]:
        serve(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
