"""What commands show while they run: on a terminal, in a log, and without more calls."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import set_environment
from memory_source import MemorySource

from magento_pager import MAX_ID, KeyRange, Paginator, Prefix, Range, dump
from magento_pager.cli import progress, run
from magento_pager.cli.progress import Standing
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BAR = re.compile(r"[\d,]+ of about [\d,]+ orders(?P<bar>  [━─]+)?  \d+%(  [\d min]+ s left)?(  [\d,]+/s)?")
LINE = re.compile(
    r"(?P<rows>[\d,]+) of about (?P<of>[\d,]+) orders \((?P<share>\d+)%\), [\d,]+/s, about [\d min]+ s left, "
    r"ids \d+-\d+, \d+ calls"
)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Return a shop with enough orders for a sample to estimate their number."""
    with Shop(orders=15_000) as shop:
        monkeypatch.setenv("MAGENTO_URL", shop.url)
        yield shop


@pytest.fixture(autouse=True)
def at_once(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment to the shop, and print plain lines without delay."""
    set_environment(monkeypatch, shop)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)


def test_plain_lines_go_to_a_log(large: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a terminal, each state is a line; rows rise, and the estimate is close."""
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


@pytest.mark.parametrize("columns", [80, 40])
def test_a_bar_goes_to_a_terminal(large: Shop, terminal: Callable[..., str], columns: int) -> None:
    """On a terminal one line changes and never wraps; in the end only the summary is left."""
    text = terminal(["dump", "--window", "200", "--out", "orders.ndjson"], columns)
    shown = [line for line in states(text) if "of about" in line]
    assert len(shown) > 3
    for line in shown:
        assert len(line) < columns
        found = BAR.fullmatch(line)
        assert found, line
        assert bool(found["bar"]) == (columns == 80)
    assert re.fullmatch(r"Exported 15,000 orders to orders\.ndjson in .* accounted for\.", states(text)[-1])
    assert "\x1b[32m" in text
    assert large.log


def test_no_color_and_a_dumb_terminal_are_respected(
    large: Shop, terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR removes colours; a dumb terminal gets no line that changes."""
    monkeypatch.setenv("NO_COLOR", "1")
    text = terminal(["dump", "--window", "500", "--out", "orders.ndjson"], 80)
    assert "%" in text
    assert "\x1b[32m" not in text
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in terminal(["dump", "--window", "500", "--out", "again.ndjson"], 80)
    assert large.log


def test_rows_on_standard_output_are_not_mixed_with_the_bar() -> None:
    """The program that reads them may print to the same terminal, so only the summary is written there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "magento_pager", "dump"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as dumping:  # noqa: S603  our own command
        rows, _ = dumping.communicate(timeout=60)
    os.close(theirs)
    text = b"".join(iter(lambda: _read(ours), b"")).decode()
    os.close(ours)
    assert rows.count(b"\n") == 200
    assert re.fullmatch(r"Exported 200 orders to standard output in .* accounted for\.\r\n", text)


def test_messages_stand_above_the_bar(terminal: Callable[..., str]) -> None:
    """Warnings and log records are separate lines; `--quiet` prints nothing."""
    text = terminal(["dump", "--window", "100", "-v", "--columns", "nonsense", "--out", "a.csv"], 80)
    lines = states(text)
    assert any(line.startswith("warning: ") and "nonsense" in line for line in lines)
    assert any(line.startswith("salesOrderList: requesting ids ") for line in lines)
    assert terminal(["dump", "-q", "--columns", "nonsense", "--out", "b.csv"], 80) == ""


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["plan"], [r"Connecting to http://.*\.\.\.", r"Logging in\.\.\.", r"Sampling orders\.\.\."]),
        (["plan", "--demo"], [r"Starting the embedded shop\.\.\.", r"Sampling orders\.\.\."]),
        (
            ["doctor"],
            [
                r"Connecting to http://.*\.\.\.",
                r"Checking orders \(1 of 6\)\.\.\.",
                r"Checking products \(6 of 6\)\.\.\.",
            ],
        ),
        (
            ["verify", "orders.ndjson"],
            [
                r"Testing strategies on orders\.\.\.",
                r"Reading orders\.ndjson\.\.\.",
                r"Comparing ids 0 to [\d,]+: [\d,]+ of about 200 rows",
            ],
        ),
    ],
)
def test_commands_show_what_they_do(
    command: list[str], shown: list[str], terminal: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    """On a terminal in one line, which is wiped in the end; elsewhere as lines, with `--verbose` only."""
    assert run(["dump", "--out", "orders.ndjson"]) == 0
    capfd.readouterr()
    text = terminal(command, 80)
    order = re.compile(".*".join(shown), re.DOTALL)
    assert order.search("\n".join(states(text)))
    assert not re.search(r"\.\.\.|Comparing", re.split(r"\x1b\[2K", text)[-1])
    capfd.readouterr()
    assert run(command) == 0
    assert not re.search("|".join(shown), capfd.readouterr().err)
    assert run([*command, "--verbose"]) == 0
    assert order.search(err := capfd.readouterr().err)
    assert "\x1b" not in err
    assert run([*command, "--quiet"]) == 0
    assert capfd.readouterr().err == ""


def test_verbose_lines_hold_no_secret(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """Each call is a line, without the key, the login of the web server and headers."""
    where = ["--basic-auth", "web:passphrase", "--header", "X-Token: hush"]
    for command in (["dump", "--last", "50"], ["plan"], ["doctor"]):
        run([*command, *where, "--verbose"])
        err = capfd.readouterr().err
        assert "login: HTTP 200" in err
        assert not any(secret in err for secret in (shop.key, "passphrase", "hush"))


def states(text: str) -> list[str]:
    """Return each state of the lines of a terminal, without colours."""
    text = re.sub(r"\x1b\[\d*m", "", text)
    return [line for line in re.split(r"\r\x1b\[2K|\r?\n", text) if line]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command whose standard error is a terminal, and return what it wrote there."""

    def run_on_terminal(arguments: list[str], columns: int) -> str:
        ours, theirs = pty.openpty()
        seen = bytearray()

        def look() -> None:
            while data := _read(ours):
                seen.extend(data)

        looking = threading.Thread(target=look)
        looking.start()
        with monkeypatch.context() as patch, os.fdopen(theirs, "w", encoding="utf-8") as stream:
            patch.setattr(sys, "stderr", stream)
            patch.setenv("COLUMNS", str(columns))
            patch.setattr(progress, "BAR_EVERY", 0.0)
            assert run(arguments) == 0
        looking.join()
        os.close(ours)
        return seen.decode()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return run_on_terminal


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # so a terminal ends
        return b""


def test_progress_makes_no_calls(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump that shows every page makes as many calls as one that shows none."""
    logs: list[int] = []
    for every in (0.0, 1e9):
        monkeypatch.setattr(progress, "PLAIN_EVERY", every)
        shop.clear_log()
        assert run(["dump", "--out", f"{len(logs)}.ndjson"]) == 0
        logs.append(len(shop.log))
    assert logs[0] == logs[1]


@pytest.mark.parametrize("window", [None, 1_000])
def test_pages_estimate_the_rows_ahead(window: int | None) -> None:
    """The estimate is close from the fourth page on and 0 at the end, and takes no calls of its own."""
    ids = [*range(1, 20_000), *range(50_000, 60_000)]
    source = MemorySource(ids)
    walk = Paginator(source, None, "id", operation="list", window=window, candidates=(KeyRange(), Prefix()))
    pages = list(walk.pages())
    known = [(page.window.last, page.ahead) for page in pages if page.ahead is not None]
    assert len(known) >= len(pages) - 3
    for last, ahead in known:
        assert abs(ahead - sum(number > last for number in ids)) <= 0.1 * len(ids)
    assert known[-1] == (MAX_ID, 0)
    samples = [query for query, _ in source.queries if query.conditions[0].operator == "regexp"]
    assert len(samples) == 2


def test_there_is_no_estimate_without_evidence() -> None:
    """There is no estimate for a few rows, or for rows without ids."""
    for source in (MemorySource(range(1, 900)), MemorySource(range(1, 20_000), with_ids=False)):
        identity = None if source.with_ids else "increment_id"
        walk = Paginator(source, None, "id", identity, operation="list", candidates=(KeyRange(), Prefix()))
        pages = list(walk.pages())
        assert {page.ahead for page in pages} == {None}


def test_retries_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Retries of all pages are added up, and shown if there are any."""
    paginator = Paginator(MemorySource(range(30)), Range(), "id", operation="list", window=10, last=29)
    pages = [
        replace(page, stats=replace(page.stats, retries=retries))
        for page, retries in zip(paginator.pages(), (0, 2, 1), strict=True)
    ]
    monkeypatch.setattr(Paginator, "pages", lambda *_: iter(pages))
    dump(paginator, tmp_path / "rows", progress=progress.progress("orders"))
    ends = [line.partition(", ids ")[2].split(", ") for line in capfd.readouterr().err.splitlines()]
    assert [end[0] for end in ends] == ["0-9", "10-19", "20-29"]
    assert [end[2:] for end in ends] == [[], ["2 retries"], ["3 retries"]]


def test_the_time_left_follows_from_the_rows_ahead() -> None:
    """The time left is 0 at the end, and unknown without an estimate."""
    assert Standing("orders", 600, 7, 0, "0-9", 100.0, ahead=400).left == pytest.approx(4)
    assert Standing("orders", 600, 7, 0, "0-9", 100.0, ahead=0).left == 0
    assert Standing("orders", 600, 7, 0, "0-9", 100.0).left is None
