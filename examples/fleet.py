"""Read several shops in parallel processes, with nothing but the standard library.

The orders of each shop are divided into partitions, one for each concurrent call that the shop may get. A partition
consists of plain values, so any engine can pass it to another process. For Apache Spark, use `magento_pager.spark`.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from typing import Any

from magento_pager import Cursor, connect
from magento_pager.fake import Shop


def partitions_of(shop: tuple[str, str, str], count: int) -> tuple[Cursor, ...]:
    """Divide the orders of a shop into partitions."""
    with connect(*shop) as pager:
        return pager.orders().partitions(count)


def read(shop: tuple[str, str, str], partition: Cursor) -> list[dict[str, Any]]:
    """Return the orders of a partition; called in another process."""
    with connect(*shop) as pager:
        return [row for page in pager.orders().pages(resume=partition) for row in page.rows]


if __name__ == "__main__":
    with ExitStack() as stack:
        shops = [stack.enter_context(Shop(profile=name, orders=400)) for name in ("1.4.1.1", "1.8.1.0", "20.0.20")]
        fleet = [(shop.url, shop.user, shop.key) for shop in shops]
        pool = stack.enter_context(ProcessPoolExecutor(2, mp_context=get_context("spawn")))
        tasks = [(shop, partition) for shop in fleet for partition in partitions_of(shop, count=2)]
        rows = pool.map(read, *zip(*tasks, strict=True))
        for (shop, partition), orders in zip(tasks, rows, strict=True):
            ids = f"ids {partition.next_id} to {partition.last_id}"
            print(f"shop {fleet.index(shop)}, {ids}: {len(orders)} orders")
        print(f"{len(tasks)} partitions of {len(fleet)} shops")
