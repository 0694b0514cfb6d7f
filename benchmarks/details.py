"""Seconds for records in full: by both of our ways, compared with a zeep loop that requests one order after the other.

`python -m benchmarks.details [ORDERS] [LIST]` prints one JSON line for each way; `ratio` is the time of the loop over
ours, for orders only. The list itself is read before: the records alone are measured. The shop takes 30 ms for a call,
plus its own work for each record, about 1 ms; a live OpenMage 20.0.20 took 4 ms. Addresses of customers take longer
than other records, because no reply names the customer, and every fourth customer of this shop has no address.
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
from magento_pager.lists import LISTS, ORDERS
from magento_pager.shop.details import Details
from magento_pager.shop.sources import ListSource
from magento_pager.walk.calls import Calls
from magento_pager.walk.flows import Flow, Piece
from magento_pager.walk.pages import Cursor
from magento_pager.walk.ranges import MAX_ID
from magento_pager.walk.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.runs import Served
    from magento_pager import Page, Pager
    from magento_pager.lists import ListName, ListSpec

CALL = 0.030
"""Minimum seconds of each call."""


def one_by_one(shop: Served, keys: Sequence[str]) -> float:
    """Return zeep's seconds for these orders, one call each."""
    client = zeep.Client(f"{shop.url}?wsdl=1", transport=Offline())  # type: ignore[no-untyped-call]  # zeep's
    session = client.service.login(shop.user, shop.key)
    began = time.perf_counter()
    for key in keys:
        assert client.service.salesOrderInfo(session, key).increment_id == key
    return time.perf_counter() - began


def by_stage(pager: Pager, spec: ListSpec, pages: Sequence[Page], way: str) -> float:
    """Return the seconds of our stage for the rows of these pages, including the choice of the way."""
    details = Details(pager.connection, spec)

    def walk() -> Flow[None]:
        for page in pages:
            yield Piece(page.window, tuple((int(row[spec.key]), row) for row in page.rows), "", "")

    calls, start = Calls(Reader(ListSource(pager.connection, spec), spec.key)), Cursor(spec.operation, 0, MAX_ID)
    began = time.perf_counter()
    rows = [row for page in calls.pages(details.through(walk()), start) for row in page.rows]
    seconds = time.perf_counter() - began
    assert all(row.keys() & spec.details.keys() for row in rows)
    assert len(rows) == sum(len(page.rows) for page in pages)
    assert details.way == way
    return seconds


def main(orders: int, name: ListName = "orders") -> None:
    """Print the figures."""
    spec = LISTS[name]
    with serving(orders) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        pages = list(pager.list(name).pages())
        rows = [row for page in pages for row in page.rows]
        shop.command(knobs={"latency": CALL})
        naive = one_by_one(shop, [row["increment_id"] for row in rows]) if spec is ORDERS else None
        for way in ("xml-rpc", "soap"):
            shop.command(knobs={"no_xmlrpc": way == "soap"})
            shop.calls()
            seconds = by_stage(pager, spec, pages, way)
            figures = {
                "benchmark": "details",
                "figure": f"{name} in full by {way}",
                name: len(rows),
                "call_ms": round(CALL * 1000),
                "calls": len(shop.calls()),
                "seconds": round(seconds, 2),
            }
            if naive is not None:
                figures |= {"one_by_one_s": round(naive, 2), "ratio": round(naive / seconds, 2)}
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400, *sys.argv[2:3])  # type: ignore[arg-type]  # a list's name
