"""The progress of a dump: what it says, on a terminal and to a log, and what it costs."""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from memory import Memory

from magento_pager import Paginator, Range, TransportError, dump
from magento_pager.cli import progress, run
from magento_pager.cli.progress import Standing

if TYPE_CHECKING:
    from pathlib import Path

    from magento_pager.fake import Shop

LINE = re.compile(
    r"(?P<rows>[\d,]+) of about (?P<of>[\d,]+) orders, (?P<share>\d+)% of ids, [\d,]+/s, about \d+ s left, "
    r"ids \d+-\d+, \d+ calls"
)


@pytest.fixture(autouse=True)
def at_once(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop in the environment, and no waiting for what is said every so often."""
    for name, value in {"URL": shop.url, "API_USER": shop.user, "API_KEY": shop.key}.items():
        monkeypatch.setenv(f"MAGENTO_{name}", value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    monkeypatch.setattr(progress, "ESTIMATED_AFTER", 0.0)


def test_plain_lines_go_to_a_log(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a terminal each line stands by itself, rows and ids rise, and the estimate is near what comes."""
    assert run(["dump", "--window", "20", "--out", "orders.ndjson"]) == 0
    lines = [found for line in capfd.readouterr().err.splitlines() if (found := LINE.fullmatch(line))]
    assert len(lines) > 5
    rows = [int(line["rows"]) for line in lines]
    shares = [int(line["share"]) for line in lines]
    assert rows == sorted(rows)
    assert shares == sorted(shares)
    assert shares[0] < 30
    assert all(150 <= int(line["of"]) <= 250 for line in lines)


def test_a_live_line_goes_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
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
        assert run(["dump", "--window", "20", "--out", "orders.ndjson"]) == 0
        monkeypatch.undo()
    looking.join()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert LINE.search(text)
    assert text.rstrip().endswith("(verified: ids)")
    assert b"\x1b[2K" in seen, "the line is wiped"


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # so a terminal ends
        return b""


def test_the_estimate_costs_ten_calls_and_a_short_dump_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked to know what is left is little, and is not asked for a dump that takes no time."""
    shop.clear_log()
    assert run(["dump", "--out", "one.ndjson"]) == 0
    estimated = len(shop.log)
    monkeypatch.setattr(progress, "ESTIMATED_AFTER", 1e9)
    shop.clear_log()
    assert run(["dump", "--out", "another.ndjson"]) == 0
    assert 0 < estimated - len(shop.log) <= progress.ESTIMATING


def test_an_estimate_that_fails_stops_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A shop that cannot answer for the moment is asked for rows as ever, and progress says what is known."""

    def failing(*_: object) -> None:
        raise TransportError("no answer")

    monkeypatch.setattr(Paginator, "survey", failing)
    assert run(["dump", "--window", "50", "--out", "orders.ndjson"]) == 0
    err = capfd.readouterr().err
    assert re.search(r"^\d+ orders, [\d,]+/s, ids \d+-\d+, \d+ calls$", err, re.MULTILINE)
    assert shop.log


def test_retries_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The failures of all pages so far are said, as long as there are any."""
    monkeypatch.setattr(progress, "ESTIMATED_AFTER", 1e9)
    paginator = Paginator(Memory(range(30)), Range(), "id", operation="list", window=10, last=29)
    pages = [
        replace(page, stats=replace(page.stats, retries=retries))
        for page, retries in zip(paginator.pages(), (0, 2, 1), strict=True)
    ]
    monkeypatch.setattr(Paginator, "pages", lambda *_: iter(pages))
    with progress.progress("orders", paginator) as shown:
        dump(paginator, tmp_path / "rows", progress=shown)
    ends = [line.partition(", ids ")[2].split(", ") for line in capfd.readouterr().err.splitlines()]
    assert [end[0] for end in ends] == ["0-9", "10-19", "20-29"]
    assert [end[2:] for end in ends] == [[], ["2 retries"], ["3 retries"]]


def test_more_rows_than_were_thought() -> None:
    """An estimate that was too low does not count backwards: what is left is told by the ids."""
    standing = Standing("orders", 1_200, 7, 0, "0-9", 100.0, covered=0.5, of=1_000)
    assert standing.left == pytest.approx(12)
    assert Standing("orders", 600, 7, 0, "0-9", 100.0, covered=0.5, of=1_000).left == pytest.approx(4)
    assert Standing("orders", 600, 7, 0, "0-9", 100.0).left is None
