"""Several shops at once, by nothing but the standard library: partitions go to other processes, and rows come back.

Each shop is cut into as many partitions as it may be asked for at once; that is all the politeness there is to it. A
partition is plain values, so any engine can carry it: the same fleet on Apache Spark is `magento_pager.spark`.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from typing import Any

from magento_pager import Cursor, connect
from magento_pager.fake import Shop


def planned(shop: tuple[str, str, str], at_once: int) -> tuple[Cursor, ...]:
    """Return the partitions of a shop's orders."""
    with connect(*shop) as pager:
        return pager.orders().partitions(at_once)


def read(shop: tuple[str, str, str], partition: Cursor) -> list[dict[str, Any]]:
    """Return the orders of a partition, in a process that knows nothing else of the fleet."""
    with connect(*shop) as pager:
        return [row for page in pager.orders().pages(resume=partition) for row in page.rows]


if __name__ == "__main__":
    with ExitStack() as stack:
        running = [stack.enter_context(Shop(profile=one, orders=400)) for one in ("1.4.1.1", "1.8.1.0", "20.0.20")]
        fleet = [(shop.url, shop.user, shop.key) for shop in running]
        pool = stack.enter_context(ProcessPoolExecutor(2, mp_context=get_context("spawn")))
        tasks = [(shop, part) for shop in fleet for part in planned(shop, at_once=2)]
        rows = pool.map(read, *zip(*tasks, strict=True))
        for (shop, part), orders in zip(tasks, rows, strict=True):
            print(f"shop {fleet.index(shop)}, ids {part.next_id} to {part.last_id}: {len(orders)} orders")
        print(f"{len(tasks)} partitions of {len(fleet)} shops")
