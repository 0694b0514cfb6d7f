"""Seconds for records in full: by both of our ways, beside the loop that asks for one order after the other by zeep.

`python -m benchmarks.details [ORDERS]` prints one JSON line for each way; `ratio` says how many times fewer seconds it
takes than the loop. The list is at hand in all cases: what is measured is what the records add. The shop takes 30 ms
for a call, and what its own work takes for each record in it, about 1 ms; a live OpenMage 20.0.20 took 4.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import zeep

import magento_pager
from benchmarks.naive import Offline
from benchmarks.runs import serving
from magento_pager.lists import ORDERS
from magento_pager.shop.details import Details

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.runs import Served
    from magento_pager import Page, Pager

CALL = 0.030
"""Seconds that each call takes at least."""


def one_by_one(shop: Served, keys: Sequence[str]) -> float:
    """Seconds that zeep takes for these orders, one call each."""
    client = zeep.Client(f"{shop.url}?wsdl=1", transport=Offline())  # type: ignore[no-untyped-call]  # zeep's
    session = client.service.login(shop.user, shop.key)
    began = time.perf_counter()
    for key in keys:
        assert client.service.salesOrderInfo(session, key).increment_id == key
    return time.perf_counter() - began


def by_stage(pager: Pager, pages: Sequence[Page], way: str) -> float:
    """Seconds that our stage takes for the orders of these pages, the choice of the way included."""
    details = Details(pager.connection, ORDERS)
    began = time.perf_counter()
    rows = [row for page in pages for row in details(page).rows]
    seconds = time.perf_counter() - began
    assert all(row["items"] for row in rows)
    assert len(rows) == sum(len(page.rows) for page in pages)
    assert details.way == way
    return seconds


def main(orders: int) -> None:
    """Print the figures."""
    with serving(orders) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        pages = list(pager.orders().pages())
        keys = [row["increment_id"] for page in pages for row in page.rows]
        shop.obey(knobs={"latency": CALL})
        naive = one_by_one(shop, keys)
        for way in ("xml-rpc", "soap"):
            shop.obey(knobs={"no_xmlrpc": way == "soap"})
            shop.calls()
            seconds = by_stage(pager, pages, way)
            figures = {
                "benchmark": "details",
                "figure": f"orders in full by {way}",
                "orders": len(keys),
                "call_ms": round(CALL * 1000),
                "calls": len(shop.calls()),
                "seconds": round(seconds, 2),
                "one_by_one_s": round(naive, 2),
                "ratio": round(naive / seconds, 2),
            }
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
