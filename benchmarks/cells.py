"""Record the behaviour of a checkout with every list of the embedded shop, and compare two recordings.

    python -m benchmarks.cells record FILE [--quick]
    python -m benchmarks.cells compare BEFORE AFTER [--ignore KEY]...

A cell is a profile, a flavour, a list and a variant of `dump`. Only the command line and the embedded shop are used, so
this file runs unchanged against another checkout: put its `src` first on PYTHONPATH. For each cell a recording holds
the exit status, a digest of the output, the report and the checkpoint key by key, the calls by kind, and the rows of
the largest reply. It is deterministic: time passes only when the code sleeps, and the shop's clock is fixed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sqlite3
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager, redirect_stderr
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch
from urllib.parse import urlsplit

from magento_pager import STRATEGIES
from magento_pager.cli import main as command_line
from magento_pager.fake import PROFILES, Shop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Recording = Mapping[str, Mapping[str, Any]]

ORDERS, CLOCK = 1_000, "2024-05-01 12:00:00"
FEW_IDS = ("--last", "299")
PAGES = ("--window", "200", "--last", "999")
VARIANTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("ndjson", "csv", "sqlite", "parquet"), ()),
    "where": (),  # its condition depends on the list
    "since": ("--since", "190d"),
    "typed": ("--typed",),
    **dict.fromkeys(("details", "details parquet"), ("--details", *FEW_IDS)),
    "window": ("--window", "100"),
    **dict.fromkeys(("resume ndjson", "resume sqlite", "resume parquet"), PAGES),
    "poison": (),
    "poison repair": ("--repair", "control-characters"),
    "poison details": ("--details", *FEW_IDS),
    **{f"by {name}": ("--strategy", name) for name in STRATEGIES if name != "auto"},
}
"""Options by variant. The last word of a name may be a format. `resume` stops and resumes after each page."""
ONLY_ORDERS = {"resume sqlite", "resume parquet", "poison", "poison repair", "poison details"}
WHERE = {"orders": "status:eq:complete", "customers": "group_id:eq:1", "products": "type_id:eq:simple"}
POISON = {"duplicate_address": 60, "invalid_utf8": 90, "control_characters": 120, "broken_records": 150}
"""Knobs of the shop that break an order, and the index of that order."""
ROW = {"customers": "customer_id", "products": "product_id"}
"""The field that identifies a row; `increment_id` in the other lists, where not all rows hold their own id."""
LIST_CALL = re.compile(
    rb"(?:salesOrder(?:|Invoice|Shipment|Creditmemo)|customerCustomer|catalogProduct)List(?:RequestParam)?\b"
    rb"|\b(?:order|invoice|shipment|creditmemo|customer|product)\.list\b"
)
IGNORED_KEYS = {"seconds", "bytes", "checksum", "calls", "empty_calls"}
"""Keys of reports and checkpoints that differ from run to run, or count calls, which the recording has by kind."""
MAX_RUNS = 60


class Cell(NamedTuple):
    """One dump: a version and a flavour of the shop, a list, and a name of `VARIANTS`."""

    profile: str
    flavour: str
    entity: str
    variant: str

    @property
    def file(self) -> str:
        """The name of the output; its ending chooses the format."""
        ending = self.variant.rpartition(" ")[2]
        return f"out.{ending if ending in {'csv', 'sqlite', 'parquet'} else 'ndjson'}"

    @property
    def options(self) -> tuple[str, ...]:
        """The options of `dump`."""
        where = ("--where", WHERE.get(self.entity, "store_id:eq:1"))
        return where if self.variant == "where" else VARIANTS[self.variant]


def all_cells(*, quick: bool = False) -> list[Cell]:
    """Return every cell; or one of each variant, spread over versions and lists.

    >>> len({cell[:3] for cell in all_cells()}), len(all_cells(quick=True)) == len(VARIANTS)
    (47, True)
    """
    cells = [
        Cell(profile.name, flavour, entity, variant)
        for profile in PROFILES.values()
        for flavour in profile.flavours
        for entity in profile.lists
        for variant in VARIANTS
        if entity == "orders" or variant not in ONLY_ORDERS
    ]
    if not quick:
        return cells
    by_variant = ([cell for cell in cells if cell.variant == variant] for variant in VARIANTS)
    chosen = {group[11 * number % len(group)] for number, group in enumerate(by_variant)}
    return [cell for cell in cells if cell in chosen]


class Reply(NamedTuple):
    """A reply of the shop. `rows` are the identifying fields of the rows; None if the call was not for a list."""

    operation: str
    fault: bool
    rows: frozenset[bytes] | None


class WatchedShop(Shop):
    """An embedded shop that records its replies, and refuses all calls after a number of replies with a list."""

    def watch(self, entity: str, allowed: int | None) -> None:
        """Delete the recorded replies, and set the number of replies allowed; None: no limit."""
        self.change(outage="")
        self.field, self.allowed = ROW.get(entity, "increment_id").encode(), allowed
        self.replies: list[Reply] = []

    def soap(self, body: bytes, *more: Any) -> Any:
        """Answer a SOAP request."""
        return self._recorded(super().soap(body, *more), body)

    def xmlrpc(self, body: bytes, *more: Any) -> Any:
        """Answer an XML-RPC request."""
        return self._recorded(super().xmlrpc(body, *more), body)

    def _recorded(self, answer: Any, body: bytes) -> Any:
        pieces, rows = list(answer.pieces), None
        if LIST_CALL.search(body):
            value = rb"\b%b(?:[^<>]*>|</name>\s*<value>\s*(?:<\w+>)?)([^<>\s]+)<" % self.field
            rows = frozenset(re.findall(value, b"".join(pieces)))
            if self.allowed is not None:
                self.allowed -= 1
                self.change(outage="firewall" if self.allowed <= 0 else "")
        self.replies.append(Reply(answer.call.operation, bool(answer.call.fault), rows))
        return replace(answer, pieces=pieces)


def kinds(replies: Sequence[Reply]) -> Counter[str]:
    """Count calls by operation, and calls for lists by purpose as well.

    `rows` are the largest replies that together have every row; `probing` are other replies before the first of
    these, `checks` after it; `empty` replies have no row.

    >>> replies = [Reply("list", False, frozenset(rows)) for rows in ([b"1"], [b"1", b"2"], [b"3"], [], [b"2"])]
    >>> dict(kinds(replies))
    {'list probing': 1, 'list rows': 2, 'list empty': 1, 'list checks': 1}
    """
    keys: set[bytes] = set()
    carrying = []
    for number, reply in sorted(enumerate(replies), key=lambda item: (-len(item[1].rows or ()), -item[0])):
        if reply.rows and not reply.rows <= keys:
            carrying.append(number)
            keys |= reply.rows
    counts: Counter[str] = Counter()
    for number, reply in enumerate(replies):
        kind = "rows" if number in carrying else "probing" if number < min(carrying, default=number) else "checks"
        kind = "fault" if reply.fault else "" if reply.rows is None else kind if reply.rows else "empty"
        counts[f"{reply.operation} {kind}".rstrip()] += 1
    return counts


@contextmanager
def time_by_sleeping() -> Iterator[None]:
    """Let time pass only when the code sleeps, so that windows and retries do not depend on the machine."""
    now = time.monotonic()

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    random.seed(0)
    clocks = [patch(f"time.{name}", lambda: now) for name in ("monotonic", "perf_counter")]
    with patch("time.sleep", sleep), clocks[0], clocks[1]:
        yield


def run(shop: Shop, words: Iterable[str]) -> int:
    """Run the command line and return its exit status."""
    environment = {"MAGENTO_URL": shop.url, "MAGENTO_API_USER": shop.user, "MAGENTO_API_KEY": shop.key}
    arguments = patch.object(sys, "argv", ["magento-pager", *words])
    with patch.dict(os.environ, environment), arguments, Path(os.devnull).open("w") as null:
        try:
            with redirect_stderr(null), time_by_sleeping():
                command_line()
        except SystemExit as error:
            return int(error.code or 0)


def recorded(shop: WatchedShop, cell: Cell) -> dict[str, Any]:
    """Run a cell and return its recording."""
    orders = sorted(shop.database.ids("orders"))
    broken: Any = {knob: {orders[place]} if "poison" in cell.variant else () for knob, place in POISON.items()}
    shop.change(**broken)
    stopping = "resume" in cell.variant
    allowed, checkpoint, replies = 4, "{}", []
    with TemporaryDirectory() as folder:
        out, report = Path(folder, cell.file), Path(folder, "report")
        words = ["dump", cell.entity, "--out", str(out), "--report", str(report), *cell.options]
        for _ in range(MAX_RUNS):
            shop.watch(cell.entity, allowed if stopping else None)
            status = run(shop, [*words, "--resume"] if stopping else words)
            replies += shop.replies
            before, checkpoint = checkpoint, checkpoint_of(out) or checkpoint
            if not stopping or status != 1:
                break
            allowed += flat(before) == flat(checkpoint)  # the next page takes more calls
        text = report.read_text() if report.exists() else "{}"
        location = re.compile(f"{re.escape(urlsplit(shop.url).netloc)}|{re.escape(folder)}")
        return {
            "exit": status,
            "output": {path.name: digest(contents(path)) for path in (out, Path(f"{out}.part")) if path.exists()},
            "report": flat(location.sub("", text)),
            "checkpoint": flat(location.sub("", checkpoint)),
            "calls": dict(sorted(kinds(replies).items())),
            "largest": max((len(reply.rows or ()) for reply in replies), default=0),
        }


def flat(text: str) -> dict[str, Any]:
    """Return the values of a report or checkpoint by their paths; long values as digests.

    >>> flat('{"rows": 5, "seconds": 0.1, "asked": {"first": 0}, "quarantined": [{"id": 1}, {"id": 2}]}')
    {'rows': 5, 'asked.first': 0, 'quarantined.id': [1, 2]}
    """
    values, queue = {}, [("", json.loads(text))]
    while queue:
        path, value = queue.pop(0)
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            value = {key: [item.get(key) for item in value] for key in value[0]}
        if isinstance(value, dict):
            queue += [(f"{path}.{key}".lstrip("."), item) for key, item in value.items() if key not in IGNORED_KEYS]
        else:
            encoded = json.dumps(value)
            values[path] = digest(encoded.encode()) if len(encoded) > len("[0, 4294967295]") else value
    return values


def digest(data: bytes) -> str:
    """Return a short digest and the number of bytes.

    >>> digest(b"one")
    '2b86d8eeb0b3:3'
    """
    return f"{blake2b(data, digest_size=6).hexdigest()}:{len(data)}"


def checkpoint_of(out: Path) -> str:
    """Return the checkpoint of an output as JSON; an empty text if there is none."""
    checkpoint = Path(f"{out}.checkpoint")
    if checkpoint.exists():
        return checkpoint.read_text()
    if out.suffix == ".sqlite" and out.exists():
        with closing(sqlite3.connect(out)) as database:
            if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'magento_pager_dumps'").fetchone():
                return str(database.execute("SELECT checkpoint FROM magento_pager_dumps").fetchone()[0])
    return ""


def contents(path: Path) -> bytes:
    """Return the bytes of a text output, and the values of Parquet and SQLite, whose bytes may differ."""
    if path.suffix == ".parquet":
        from pyarrow import parquet  # noqa: PLC0415  an extra

        table = parquet.read_table(path)
        return f"{table.schema.remove_metadata()}\n{table.to_pylist()}".encode()
    if path.suffix != ".sqlite":
        return b"".join(file.read_bytes() for file in (sorted(path.iterdir()) if path.is_dir() else [path]))
    with closing(sqlite3.connect(path)) as database:
        names = sorted(name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        tables = [
            (
                database.execute(f'PRAGMA table_info("{name}")').fetchall(),
                sorted(map(repr, database.execute(f'SELECT * FROM "{name}"'))),  # noqa: S608  a name from the database
            )
            for name in names
            if name != "magento_pager_dumps"  # that is the checkpoint
        ]
    return repr(tables).encode()


def recorded_shop(cells: Sequence[Cell]) -> dict[str, Any]:
    """Run the cells of one version and flavour."""
    began, first = time.perf_counter(), cells[0]
    flavour: Any = first.flavour
    with WatchedShop(profile=first.profile, flavour=flavour, orders=ORDERS, clock=CLOCK) as shop:
        recording = {" ".join(cell): recorded(shop, cell) for cell in cells}
    seconds = time.perf_counter() - began
    print(f"{' '.join(first[:2])}: {len(cells)} cells, {seconds:.0f} s", file=sys.stderr, flush=True)
    return recording


def record(path: Path, *, quick: bool) -> int:
    """Run all cells, several shops in parallel, and write the recording, a line for each cell."""
    shops = [list(cells) for _, cells in groupby(all_cells(quick=quick), key=lambda cell: cell[:2])]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        cells = [cell for recording in pool.map(recorded_shop, shops) for cell in recording.items()]
    lines = (f"{json.dumps(name)}:{json.dumps(cell, separators=(',', ':'))}" for name, cell in cells)
    path.write_text("{{\n{}\n}}\n".format(",\n".join(lines)))
    return 0


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, str], set[str]]:
    """Return the differences of two recordings of a cell, by key, and the keys that only the later one has.

    >>> rest = {"output": {"out.csv": "2b86d8eeb0b3:3"}, "checkpoint": {}}
    >>> differences({"exit": 0, "report": {"rows": 5}, **rest}, {"exit": 3, "report": {"rows": 5, "more": 1}, **rest})
    ({'exit': '0 -> 3'}, {'report.more'})
    """
    old, new = (
        {"exit": side["exit"], "output": side["output"]}
        | {f"{part}.{key}": value for part in ("report", "checkpoint") for key, value in side[part].items()}
        for side in (before, after)
    )
    missing = "nothing"
    changed = {
        key: f"{value} -> {new.get(key, missing)}" for key, value in old.items() if value != new.get(key, missing)
    }
    return changed, new.keys() - old.keys()


def calls_of(recording: Recording, names: Iterable[str]) -> Counter[str]:
    """Add up the calls of cells: all, and by kind.

    >>> dict(calls_of({"a cell": {"calls": {"login": 1, "salesOrderList rows": 2}}}, ["a cell"]))
    {'all': 3, 'other': 1, 'rows': 2}
    """
    counts: Counter[str] = Counter()
    for name in names:
        for kind, count in recording[name]["calls"].items():
            counts.update({"all": count, kind.partition(" ")[2] or "other": count})
    return counts


def compare(before: Recording, after: Recording, ignored: Iterable[str] = ()) -> int:
    """Print the differences; return 1 if an output, an exit status or a report differs, or nothing can be compared."""
    names = [name for name in before if name in after]
    print(f"{len(names)} cells in both, {len(before) - len(names)} only before, {len(after) - len(names)} only after")
    differing: Counter[str] = Counter()
    added: Counter[str] = Counter()
    for name in names:
        changed, new = differences(before[name], after[name])
        reported = {key: change for key, change in changed.items() if key not in ignored}
        differing.update(reported.keys())
        added.update(new)
        if reported:
            print(f"differs: {name}: {'; '.join(f'{key} {change}' for key, change in reported.items())}")
    for title, counts in (("differing", differing), ("new keys", added)):
        print(f"{title}: {', '.join(f'{key} in {count} cells' for key, count in sorted(counts.items())) or 'none'}")
    by_auto = [name for name in names if " by " not in name]
    old, new_calls = (calls_of(side, by_auto) for side in (before, after))
    for kind in dict.fromkeys(("all", *sorted({*old, *new_calls}))):
        print(f"calls of auto, {kind}: {old[kind]} -> {new_calls[kind]} ({new_calls[kind] / max(1, old[kind]):.3f})")
    for name in names:
        fewer, more = (calls_of(side, [name])["all"] for side in (before, after))
        if more > fewer:
            print(f"more calls: {name}: {fewer} -> {more}")
    for title, side in (("before", before), ("after", after)):
        rows, name = max(((side[name]["largest"], name) for name in names), default=(0, "no cell"))
        print(f"largest reply {title}: {rows} rows, {name}")
    return int(not names or any(not key.startswith("checkpoint.") for key in differing))


def main(arguments: list[str]) -> int:
    """Record or compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cells")
    commands = parser.add_subparsers(dest="command", required=True)
    recorder = commands.add_parser("record", help="run every cell and write FILE")
    recorder.add_argument("file", type=Path)
    recorder.add_argument("--quick", action="store_true", help="run only one cell of each variant")
    comparer = commands.add_parser("compare", help="print the differences between two recordings")
    comparer.add_argument("before", type=Path)
    comparer.add_argument("after", type=Path)
    ignored = "accept differences of this key, such as report.strategy"
    comparer.add_argument("--ignore", action="append", default=[], metavar="KEY", help=ignored)
    options = parser.parse_args(arguments)
    if options.command == "record":
        return record(options.file, quick=options.quick)
    before, after = (json.loads(path.read_text()) for path in (options.before, options.after))
    return compare(before, after, options.ignore)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
