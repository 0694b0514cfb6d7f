"""The speed of the embedded shop: rows served per second, by one process, to a client that only discards them.

    python -m benchmarks.shop [ORDERS]

One JSON line for each flavour. `ratio` is the rows per second over HTTP over those from the shop's database alone, in
the same run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import requests

from magento_pager.fake import Database, profile
from magento_pager.fake.profiles import listing
from magento_pager.walk.ranges import IdRange

WINDOW = 5_000
NAMESPACE = "urn:OpenMage"
PAIR = "<{item}><key>entity_id</key><value><key>{operator}</key><value>{value}</value></value></{item}>"


def envelope(flavour: str, operation: str, arguments: str) -> bytes:
    """Return a request, as small as the shop accepts it."""
    suffix = {"rpc": "", "wsi": "Param" if operation == "login" else "RequestParam"}[flavour]
    call = f"<n:{operation}{suffix}>{arguments}</n:{operation}{suffix}>"
    soap = "http://schemas.xmlsoap.org/soap/envelope/"
    return f'<e:Envelope xmlns:e="{soap}" xmlns:n="{NAMESPACE}"><e:Body>{call}</e:Body></e:Envelope>'.encode()


def filters(flavour: str, window: IdRange) -> str:
    """Return the filter of a window."""
    item = {"rpc": "item", "wsi": "complexObjectArray"}[flavour]
    pairs = (("from", window.first), ("to", window.last))
    inner = "".join(PAIR.format(item=item, operator=operator, value=value) for operator, value in pairs)
    return f"<filters><complex_filter>{inner}</complex_filter></filters>"


def database_rate(orders: int) -> tuple[float, int]:
    """Return the rows per second of the database alone, and the last id."""
    with Database() as database:
        database.populate(orders)
        newest = profile("20.0.20")
        began = time.perf_counter()
        rows = sum(1 for _ in database.select(newest, "rpc", listing("orders", newest), (), ()))
        return rows / (time.perf_counter() - began), max(database.ids("orders"))


def served(flavour: str, orders: int, last: int) -> float:
    """Return the rows per second over HTTP, from a shop in another process."""
    command = [sys.executable, "-m", "magento_pager", "serve", "--flavour", flavour, "--orders", str(orders)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shop, requests.Session() as session:
        assert shop.stdout is not None
        ready = json.loads(shop.stdout.readline())
        names = f"<username>{ready['user']}</username><apiKey>{ready['key']}</apiKey>"
        answer = session.post(ready["url"], envelope(flavour, "login", names), timeout=60).text
        session_id = re.search(r">([0-9a-f]{32,})<", answer)
        assert session_id, answer
        began = time.perf_counter()
        rows = 0
        for window in IdRange(0, last).tile(WINDOW):
            arguments = f"<sessionId>{session_id[1]}</sessionId>" + filters(flavour, window)
            body = session.post(ready["url"], envelope(flavour, "salesOrderList", arguments), timeout=600).content
            rows += body.count(b"<protect_code")
        seconds = time.perf_counter() - began
        shop.terminate()
    assert rows == orders, f"{rows} rows were received"
    return rows / seconds


def main() -> None:
    """Print the figures."""
    orders = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    database, last = database_rate(orders)
    for flavour in ("rpc", "wsi"):
        rate = served(flavour, orders, last)
        figures = {
            "figure": f"orders a second, {flavour}",
            "orders": orders,
            "served_per_second": round(rate),
            "read_per_second": round(database),
            "ratio": round(rate / database, 2),
        }
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
