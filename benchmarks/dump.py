"""A whole `dump` to NDJSON, from start to exit status, compared with a naive script and with curl.

    python -m benchmarks.dump [--flavour rpc|wsi] [--orders N] [--curl-orders N]

- **CPU of the client compared with a naive zeep loop** (`benchmarks.naive`). The naive loop gets a list of the windows
  with rows; a real one would also request thousands without any. `ratio` is its CPU over ours, start-up included on
  both sides; the rows are asserted to be equal. `us_per_row` is ours without the CPU of a dump of ten orders.
- **Wall time compared with curl**, which sends the same calls one after another over one connection and discards the
  replies, from a server without latency and from one with that of a live server: 40 ms a call and 0.24 ms an order.
  `ratio` is our time over curl's, so 1 would be perfect; the replies are asserted to have the same rows and bytes.
- **Wall time compared with curl that knows where the rows are**, with the latency of a live server: it requests only
  the windows of 3,000 ids that have rows, so `ratio` is the cost of finding, checking and writing them.
- **Steps of the client** after the decoder (for which see `benchmarks.decode`): a row to text, where `ratio` is
  Python's own `json` over ours, and its digest.

Each JSON line has the flavour. CPU is the minimum of several runs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen
from xml.sax.saxutils import escape

from benchmarks.decode import minimum_cpu
from benchmarks.runs import CALL, ROW, Served, measured, serving
from benchmarks.shop import envelope
from magento_pager.export.digests import Digest
from magento_pager.export.text import line as as_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIST = "salesOrderList"
WINDOW, WIDE = 100, 3_000
ROUNDS = 3
PAGE = 2_000
STEP_ROUNDS = 10
FEW_ORDERS = 10
"""Orders of a dump whose cost is nearly only start-up."""
OURS = "ours.ndjson"
ITEM = {"rpc": "item", "wsi": "complexObjectArray"}


def request(flavour: str, session: str, conditions: Sequence[Sequence[str]]) -> bytes:
    """Return the request of a list with these conditions: (field, operator, value).

    >>> request("rpc", "5", [("entity_id", "to", "9")]).partition(b"<e:Body>")[2].partition(b"</e:Body>")[0]
    b'<n:salesOrderList><sessionId>5</sessionId><filters><complex_filter><item><key>entity_id</key><value><key>to</key>\
<value>9</value></value></item></complex_filter></filters></n:salesOrderList>'
    """
    item = ITEM[flavour]
    inner = "".join(
        f"<{item}><key>{field}</key><value><key>{operator}</key><value>{escape(value)}</value></value></{item}>"
        for field, operator, value in conditions
    )
    filters = f"<filters><complex_filter>{inner}</complex_filter></filters>"
    return envelope(flavour, LIST, f"<sessionId>{session}</sessionId>{filters}")


def session_of(shop: Served, flavour: str) -> str:
    """Log in and return a new session."""
    names = f"<username>{shop.user}</username><apiKey>{shop.key}</apiKey>"
    with urlopen(Request(shop.url, envelope(flavour, "login", names)), timeout=60) as answer:  # noqa: S310 - our own shop
        session = re.search(rb">([0-9a-f]{32,})<", answer.read())
    assert session, "the shop refused the login"
    return session[1].decode()


def replayed(
    shop: Served, flavour: str, calls: Sequence[dict[str, Any]], folder: Path
) -> tuple[float, list[tuple[int, int]]]:
    """Return curl's seconds for these calls, one after another over one connection, and the cost of each reply."""
    session = session_of(shop, flavour)
    config = ["silent", "show-error"]
    for number, call in enumerate(calls):
        body = folder / f"{number}.xml"
        body.write_bytes(request(flavour, session, call["conditions"]))
        # Without an empty `Expect`, curl would first ask the server whether it may send a long body.
        config += ["fail", f'url = "{shop.url}"', f'data-binary = "@{body}"', 'header = "Expect:"']
        config += ['output = "/dev/null"', "next"]
    (folder / "curl").write_text("\n".join(config[:-1]), encoding="utf-8")
    shop.calls()
    run = measured(["curl", "--config", str(folder / "curl")])
    return run.wall, cost(shop.calls())


def cost(calls: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    """Return rows and bytes of each reply to a list."""
    return [(call["rows"], call["bytes"]) for call in calls if call["operation"] == LIST]


def compare_naive(orders: int, flavour: str, folder: Path) -> dict[str, object]:
    """Return the CPU of the client, ours and that of the naive loop."""
    ours, theirs = folder / OURS, folder / "naive.ndjson"
    with serving(FEW_ORDERS, "--flavour", flavour) as shop:
        start_up = min(shop.dump(ours).cpu for _ in range(ROUNDS))
    with serving(orders, "--flavour", flavour) as shop:
        cpu = min(shop.dump(ours).cpu for _ in range(ROUNDS))
        starts = starts_of(ours, WINDOW)
        (folder / "starts").write_text("\n".join(map(str, starts)), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.naive", str(folder / "starts"), str(theirs)]
        naive = measured(command, shop.environment).cpu
    same = sum(our_row == plain(row) for our_row, row in zip(rows_in(ours), rows_in(theirs), strict=True))
    assert same == orders, f"only {same} of {orders} rows are equal"
    return {
        "figure": "CPU of the client compared with a naive zeep loop",
        "orders": orders,
        "ours_s": round(cpu, 2),
        "naive_s": round(naive, 2),
        "start_up_s": round(start_up, 2),
        "us_per_row": round((cpu - start_up) * 1e6 / orders, 1),
        "naive_us_per_row": round(naive * 1e6 / orders, 1),
        "naive_calls": len(starts),
        "ratio": round(naive / cpu, 1),
        "identical": True,
    }


def compare_curl(orders: int, flavour: str, folder: Path) -> Iterator[dict[str, object]]:
    """Yield the wall time, ours and curl's, without and with the latency of a live server; then with known ids."""
    with serving(orders, "--flavour", flavour) as shop:
        for latency, per_row in ((0.0, 0.0), (CALL, ROW)):
            shop.command(knobs={"latency": latency, "latency_per_row": per_row})
            shop.calls()
            run = shop.dump(folder / OURS)
            calls = [call for call in shop.calls() if call["operation"] == LIST]
            curl, replies = replayed(shop, flavour, calls, folder)
            assert replies == cost(calls), "the replies to curl differ"
            yield {
                "figure": "wall time compared with curl",
                "orders": orders,
                "call_ms": latency * 1e3,
                "row_ms": round(per_row * 1e3, 2),
                "calls": len(calls),
                "ours_s": round(run.wall, 2),
                "curl_s": round(curl, 2),
                "client_cpu_s": round(run.cpu, 2),
                "ratio": round(run.wall / curl, 3),
            }
        windows = [{"conditions": between(start)} for start in starts_of(folder / OURS, WIDE)]
        curl, replies = replayed(shop, flavour, windows, folder)
        assert sum(rows for rows, _ in replies) == orders, "the windows of curl do not contain every order"
        yield {
            "figure": "wall time compared with curl that knows where the rows are",
            "orders": orders,
            "calls": len(calls),
            "curl_calls": len(windows),
            "ours_s": round(run.wall, 2),
            "curl_s": round(curl, 2),
            "ratio": round(run.wall / curl, 3),
        }


def between(start: int) -> list[tuple[str, str, str]]:
    """Return the conditions of a wide window, see `magento_pager.walk.strategies`."""
    first, last = str(start), str(start + WIDE - 1)
    return [("entity_id", "from", first), ("entity_id", "to", last), ("main_table.entity_id", "from", first)]


def starts_of(path: Path, width: int) -> list[int]:
    """Return the first ids of the windows of this width that contain orders of a file."""
    return sorted({int(row["order_id"]) // width * width for row in rows_in(path)})


def steps(path: Path) -> Iterator[dict[str, object]]:
    """Yield the CPU per row of the steps of a dump after decoding."""
    rows = list(islice(rows_in(path), PAGE))
    seconds = minimum_cpu(
        {
            "ours": lambda: [as_line(row) for row in rows],
            "json": lambda: [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows],
            "digest": lambda: Digest().plus(rows, "order_id"),
        },
        STEP_ROUNDS,
    )
    per_row = {name: round(cpu * 1e6 / len(rows), 1) for name, cpu in seconds.items()}
    yield {
        "figure": "a row to text",
        "ours_us": per_row["ours"],
        "json_us": per_row["json"],
        "ratio": round(seconds["json"] / seconds["ours"], 1),
    }
    yield {"figure": "digest of a row", "ours_us": per_row["digest"]}


def rows_in(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of an NDJSON file."""
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def plain(row: dict[str, Any]) -> dict[str, str]:
    r"""Return a row of zeep in our form: without NULLs, numbers as text, empty texts empty.

    >>> plain({"customer_id": 7, "coupon_code": None, "customer_note": "\n"})
    {'customer_id': '7', 'customer_note': ''}
    """
    return {name: "" if value == "\n" else str(value) for name, value in row.items() if value is not None}


def figures(orders: int, curl_orders: int, flavour: str, folder: Path) -> Iterator[dict[str, object]]:
    """Yield the figures, without those for 0 orders."""
    if orders:
        yield compare_naive(orders, flavour, folder)
        yield from steps(folder / OURS)
    if curl_orders:
        yield from compare_curl(curl_orders, flavour, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dump")
    parser.add_argument("--flavour", choices=["rpc", "wsi"], default="rpc")
    parser.add_argument("--orders", type=int, default=20_000, help="orders for the comparison with the naive loop")
    parser.add_argument("--curl-orders", type=int, default=100_000, help="orders for the comparison with curl")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for line in figures(options.orders, options.curl_orders, options.flavour, folder):
            print(json.dumps({"benchmark": "dump", "flavour": options.flavour, **line}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
