"""The progress of a dump: what it says, on a terminal and to a log, and what it costs."""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from memory_source import MemorySource

from magento_pager import MAX_ID, KeyRange, Paginator, Prefix, Range, dump
from magento_pager.cli import progress, run
from magento_pager.cli.progress import Standing
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = re.compile(
    r"(?P<rows>[\d,]+) of about (?P<of>[\d,]+) orders \((?P<share>\d+)%\), [\d,]+/s, about [\d min]+ s left, "
    r"ids \d+-\d+, \d+ calls"
)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop with so many orders that a sample tells how many there are."""
    with Shop(orders=15_000) as shop:
        monkeypatch.setenv("MAGENTO_URL", shop.url)
        yield shop


@pytest.fixture(autouse=True)
def at_once(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop in the environment, and no waiting for what is said every so often."""
    for name, value in {"URL": shop.url, "API_USER": shop.user, "API_KEY": shop.key}.items():
        monkeypatch.setenv(f"MAGENTO_{name}", value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)


def test_plain_lines_go_to_a_log(large: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a terminal each line stands by itself, rows rise, and the estimate is near what comes."""
    assert run(["dump", "--window", "1000", "--out", "orders.ndjson"]) == 0
    rows = len(Path("orders.ndjson").read_text(encoding="utf-8").splitlines())
    lines = [found for line in capfd.readouterr().err.splitlines() if (found := LINE.fullmatch(line))]
    assert len(lines) > 5
    shares = [int(line["share"]) for line in lines]
    assert [int(line["rows"].replace(",", "")) for line in lines] == sorted(
        int(line["rows"].replace(",", "")) for line in lines
    )
    assert shares == sorted(shares)
    assert shares[0] < 30
    assert shares[-1] == 100
    assert all(0.6 * rows <= int(line["of"].replace(",", "")) <= 1.4 * rows for line in lines)
    assert large.log


def test_a_live_line_goes_to_a_terminal(large: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal there is one line, which changes, and nothing of it is left at the end but the account."""
    ours, theirs = pty.openpty()
    seen = bytearray()

    def look() -> None:
        while data := _read(ours):
            seen.extend(data)

    looking = threading.Thread(target=look)
    looking.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("TERM", "xterm")
        assert run(["dump", "--window", "200", "--out", "orders.ndjson"]) == 0
        monkeypatch.undo()
    looking.join()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert LINE.search(text)
    assert text.rstrip().endswith("Complete: every id accounted for.")
    assert b"\x1b[2K" in seen, "the line is wiped"
    assert large.log


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # so a terminal ends
        return b""


def test_progress_makes_no_calls(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump that says all the time how far it is asks what one asks that never does."""
    logs: list[int] = []
    for every in (0.0, 1e9):
        monkeypatch.setattr(progress, "PLAIN_EVERY", every)
        shop.clear_log()
        assert run(["dump", "--out", f"{len(logs)}.ndjson"]) == 0
        logs.append(len(shop.log))
    assert logs[0] == logs[1]


@pytest.mark.parametrize("window", [None, 1_000])
def test_pages_say_what_is_ahead_of_them(window: int | None) -> None:
    """From the fourth page on, near the truth; at the end nothing is ahead; and the sample costs nothing more."""
    ids = [*range(1, 20_000), *range(50_000, 60_000)]
    source = MemorySource(ids)
    walk = Paginator(source, None, "id", operation="list", window=window, candidates=(KeyRange(), Prefix()))
    pages = list(walk.pages())
    told = [(page.window.last, page.ahead) for page in pages if page.ahead is not None]
    assert len(told) >= len(pages) - 3
    for last, ahead in told:
        assert abs(ahead - sum(number > last for number in ids)) <= 0.1 * len(ids)
    assert told[-1] == (MAX_ID, 0)
    samples = [query for query, _ in source.queries if query.conditions[0].operator == "regexp"]
    assert len(samples) == 2


def test_nothing_is_said_where_nothing_is_known() -> None:
    """A few rows tell no sample anything, and rows without ids are met nowhere."""
    for source in (MemorySource(range(1, 900)), MemorySource(range(1, 20_000), with_ids=False)):
        identity = None if source.with_ids else "increment_id"
        walk = Paginator(source, None, "id", identity, operation="list", candidates=(KeyRange(), Prefix()))
        pages = list(walk.pages())
        assert {page.ahead for page in pages} == {None}


def test_retries_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The failures of all pages so far are said, as long as there are any."""
    paginator = Paginator(MemorySource(range(30)), Range(), "id", operation="list", window=10, last=29)
    pages = [
        replace(page, stats=replace(page.stats, retries=retries))
        for page, retries in zip(paginator.pages(), (0, 2, 1), strict=True)
    ]
    monkeypatch.setattr(Paginator, "pages", lambda *_: iter(pages))
    with progress.progress("orders") as shown:
        dump(paginator, tmp_path / "rows", progress=shown)
    ends = [line.partition(", ids ")[2].split(", ") for line in capfd.readouterr().err.splitlines()]
    assert [end[0] for end in ends] == ["0-9", "10-19", "20-29"]
    assert [end[2:] for end in ends] == [[], ["2 retries"], ["3 retries"]]


def test_what_is_left_is_told_by_rows() -> None:
    """Nothing is left of what is done, and nobody knows of what was not sampled."""
    assert Standing("orders", 600, 7, 0, "0-9", 100.0, ahead=400).left == pytest.approx(4)
    assert Standing("orders", 600, 7, 0, "0-9", 100.0, ahead=0).left == 0
    assert Standing("orders", 600, 7, 0, "0-9", 100.0).left is None
