"""A whole `dump` to NDJSON, from start to exit status, beside a naive script and beside curl.

    python -m benchmarks.dump [--flavour rpc|wsi] [--orders N] [--beside-curl N]

- **CPU of the client beside a naive zeep loop** (`benchmarks.naive`). The naive loop is told which windows hold rows; a
  real one would also ask for thousands that hold none. `ratio` is its CPU over ours, start-up included on both sides;
  the rows are asserted to be the same. `us_per_row` is ours without what a dump of ten orders costs.
- **Wall time beside curl**, which sends the same calls one after another over one connection and throws away the same
  replies, at no cost of the server and at that of a live one: 40 ms a call and 0.24 ms an order. `ratio` is our time
  over curl's, so 1 would be free; the replies are asserted to have the same rows and bytes.
- **Wall time beside curl that knows where the rows are**, at the cost of a live server: it asks for the windows of
  3,000 ids that hold rows and for nothing else, so that `ratio` is what finding, checking and writing them adds.
- **Steps of the client** behind the decoder (which `benchmarks.decode` measures): a row to text, where `ratio` is
  Python's own `json` over ours, and its digest.

Each JSON line names the flavour. CPU is the least of several runs.
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

from benchmarks.decode import least
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
FEW = 10
"""Orders of a dump that is hardly more than start-up."""
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
    """Return a session of its own."""
    names = f"<username>{shop.user}</username><apiKey>{shop.key}</apiKey>"
    with urlopen(Request(shop.url, envelope(flavour, "login", names)), timeout=60) as answer:  # noqa: S310 - our own shop
        found = re.search(rb">([0-9a-f]{32,})<", answer.read())
    assert found, "the shop does not let us in"
    return found[1].decode()


def replayed(
    shop: Served, flavour: str, calls: Sequence[dict[str, Any]], folder: Path
) -> tuple[float, list[tuple[int, int]]]:
    """Return curl's seconds for these calls, one after another over one connection, and the cost of each reply."""
    session = session_of(shop, flavour)
    config = ["silent", "show-error"]
    for number, call in enumerate(calls):
        body = folder / f"{number}.xml"
        body.write_bytes(request(flavour, session, call["conditions"]))
        # Without an empty `Expect`, curl would ask first whether it may send a long body.
        config += ["fail", f'url = "{shop.url}"', f'data-binary = "@{body}"', 'header = "Expect:"']
        config += ['output = "/dev/null"', "next"]
    (folder / "curl").write_text("\n".join(config[:-1]), encoding="utf-8")
    shop.calls()
    run = measured(["curl", "--config", str(folder / "curl")])
    return run.wall, cost(shop.calls())


def cost(calls: Sequence[dict[str, Any]]) -> list[tuple[int, int]]:
    """Return rows and bytes of each reply to a list."""
    return [(call["rows"], call["bytes"]) for call in calls if call["operation"] == LIST]


def beside_naive(orders: int, flavour: str, folder: Path) -> dict[str, object]:
    """CPU of the client, ours and the naive loop's."""
    ours, theirs = folder / OURS, folder / "naive.ndjson"
    with serving(FEW, "--flavour", flavour) as shop:
        start_up = min(shop.dump(ours).cpu for _ in range(ROUNDS))
    with serving(orders, "--flavour", flavour) as shop:
        cpu = min(shop.dump(ours).cpu for _ in range(ROUNDS))
        starts = starts_of(ours, WINDOW)
        (folder / "starts").write_text("\n".join(map(str, starts)), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.naive", str(folder / "starts"), str(theirs)]
        naive = measured(command, shop.environment).cpu
    same = sum(1 for one, other in zip(rows_in(ours), rows_in(theirs), strict=True) if one == plain(other))
    assert same == orders, f"only {same} of {orders} rows are the same"
    return {
        "figure": "CPU of the client beside a naive zeep loop",
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


def beside_curl(orders: int, flavour: str, folder: Path) -> Iterator[dict[str, object]]:
    """Wall time, ours and curl's, at no cost of the server and at that of a live one; then with ids known."""
    with serving(orders, "--flavour", flavour) as shop:
        for latency, per_row in ((0.0, 0.0), (CALL, ROW)):
            shop.obey(knobs={"latency": latency, "latency_per_row": per_row})
            shop.calls()
            run = shop.dump(folder / OURS)
            calls = [call for call in shop.calls() if call["operation"] == LIST]
            curl, answered = replayed(shop, flavour, calls, folder)
            assert answered == cost(calls), "curl was answered otherwise"
            yield {
                "figure": "wall time beside curl",
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
        curl, answered = replayed(shop, flavour, windows, folder)
        assert sum(rows for rows, _ in answered) == orders, "the windows of curl do not hold every order"
        yield {
            "figure": "wall time beside curl that knows where the rows are",
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
    """Where the windows of so many ids that hold orders of a file start."""
    return sorted({int(row["order_id"]) // width * width for row in rows_in(path)})


def steps(path: Path) -> Iterator[dict[str, object]]:
    """CPU for each row of what happens to the rows of a dump, once they are decoded."""
    rows = list(islice(rows_in(path), PAGE))
    seconds = least(
        {
            "ours": lambda: [as_line(row) for row in rows],
            "json": lambda: [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows],
            "digest": lambda: Digest().plus(rows, "order_id"),
        },
        STEP_ROUNDS,
    )
    spent = {name: round(one * 1e6 / len(rows), 1) for name, one in seconds.items()}
    yield {
        "figure": "a row to text",
        "ours_us": spent["ours"],
        "json_us": spent["json"],
        "ratio": round(seconds["json"] / seconds["ours"], 1),
    }
    yield {"figure": "digest of a row", "ours_us": spent["digest"]}


def rows_in(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of an NDJSON file."""
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def plain(row: dict[str, Any]) -> dict[str, str]:
    r"""Return a row of zeep's as ours are: no NULLs, numbers as text, and empty texts empty.

    >>> plain({"customer_id": 7, "coupon_code": None, "customer_note": "\n"})
    {'customer_id': '7', 'customer_note': ''}
    """
    return {name: "" if value == "\n" else str(value) for name, value in row.items() if value is not None}


def figures(orders: int, curled: int, flavour: str, folder: Path) -> Iterator[dict[str, object]]:
    """Yield all figures; without those that 0 orders are asked of."""
    if orders:
        yield beside_naive(orders, flavour, folder)
        yield from steps(folder / OURS)
    if curled:
        yield from beside_curl(curled, flavour, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dump")
    parser.add_argument("--flavour", choices=["rpc", "wsi"], default="rpc")
    parser.add_argument("--orders", type=int, default=20_000, help="of the dump beside the naive loop")
    parser.add_argument("--beside-curl", type=int, default=100_000, help="orders of the dump beside curl")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for one in figures(given.orders, given.beside_curl, given.flavour, folder):
            print(json.dumps({"benchmark": "dump", "flavour": given.flavour, **one}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
