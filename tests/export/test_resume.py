"""Dumps that are stopped and resumed: no row is lost, and none is dumped twice."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import needs_pyarrow, slow_after

from magento_pager.cli import run
from magento_pager.export.checkpoints import load, save
from magento_pager.export.sqlite import finished_tables
from magento_pager.export.stored import stored
from magento_pager.export.text import members
from magento_pager.fake import Shop
from magento_pager.walk.pages import Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    RunKillable = Callable[..., dict[str, Any]]

SCRIPT = Path(__file__).parents[1] / "killed_dumps.py"
KILLED = -signal.SIGKILL
STEPS_TO_BEGIN, STEPS_OF_A_PAGE, STEPS_TO_END = 10, 8, 14
STEPS_TO_RESUME = {"ndjson": 6, "csv": 6, "parquet": 7, "csv.gz": 10, "db": 10}
STEPS_OF_OTHER_PAGES = {"csv.gz": 16, "parquet": 12, "db": 5}
PARTS = 12
EVERY_PART = sorted(range(PARTS), key=lambda part: part % 5)
"""Part N kills dumps at the steps N, N + PARTS and so on; the first few parts are far apart."""
COST = {"calls", "empty_calls", "checks", "bytes", "seconds", "began"}
"""Report keys with the cost, which an interruption increases, and with times."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Return a small shop with two invalid times; tests leave it unchanged."""
    with Shop(orders=300) as shop:
        for number in (7, 44):
            shop.database.update("orders", number, {"updated_at": "2023-13-01 00:00:00"})
        yield shop


@pytest.fixture(scope="module")
def killable_run() -> Iterator[RunKillable]:
    """Return a function that runs the command line in a process that is killed on request."""
    with subprocess.Popen(  # noqa: S603  our own script
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run_killable(*arguments: str, **options: float) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"arguments": arguments, **options}) + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            return answer

        yield run_killable
        process.stdin.close()


class Files:
    """Files of a dump in their own folder, and the command that writes them."""

    def __init__(self, folder: Path, shop: Shop, *arguments: str, ending: str = "ndjson") -> None:
        self.out = folder / f"rows.{ending}"
        self.part = folder / f"rows.{ending}.part"
        self.checkpoint = folder / f"rows.{ending}.checkpoint"
        self.report_path = folder / "report.json"
        self.finished = {self.out.name, self.checkpoint.name, self.report_path.name} - {"rows.db.checkpoint"}
        self.folder = folder
        connection = ("--url", shop.url, "--user", shop.user, "--key", shop.key)
        self.command = ("dump", *arguments, *connection, "--out", str(self.out), "--report", str(self.report_path))

    def saved(self) -> dict[str, Any] | None:
        """Return the content of the checkpoint."""
        if self.out.suffix == ".db":
            with closing(sqlite3.connect(self.out)) as database:
                if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'magento_pager_dumps'").fetchone():
                    (text,) = database.execute("SELECT checkpoint FROM magento_pager_dumps").fetchone()
                    content: dict[str, Any] = json.loads(text)["content"]
                    return content
            return None
        return json.loads(self.checkpoint.read_bytes())["content"] if self.checkpoint.exists() else None

    def content(self) -> Any:
        """Return the finished output: the bytes of text, the rows of other formats; None if there is none."""
        if self.out.suffix in {".parquet", ".db"}:
            return list(stored(self.out)) if self.exists() else None
        return self.out.read_bytes() if self.out.exists() else None

    def exists(self) -> bool:
        """Return whether there is a finished output."""
        return self.out.exists() and (self.out.suffix != ".db" or bool(finished_tables(self.out)))

    def report(self) -> dict[str, Any]:
        """Return the report without the cost."""
        values = json.loads(self.report_path.read_text())
        return {name: value for name, value in values.items() if name not in COST}

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of the finished output."""
        return list(stored(self.out))

    def names(self) -> set[str]:
        """Return the names of all files."""
        return {file.name for file in self.folder.iterdir()}

    def clear(self) -> None:
        """Delete all files."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()


@pytest.fixture
def files_of(tmp_path: Path) -> Callable[..., Files]:
    """Return a function that returns a dump's files in their own folder."""
    numbers = count()

    def make(shop: Shop, *arguments: str, ending: str = "ndjson") -> Files:
        if ending == "parquet":
            needs_pyarrow()
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Files(folder, shop, *arguments, ending=ending)

    return make


SMALL = {"rows_in_part": 1, "text_in_member": 9_000}
"""A Parquet part for each page, and several gzip members."""


def uninterrupted(files: Files, killable_run: RunKillable | None = None, **options: int) -> tuple[Any, dict[str, Any]]:
    """Return the output and the report of a dump that is not stopped."""
    assert (killable_run(*files.command, **options)["status"] if killable_run else run([*files.command])) == 0
    expected = files.content(), files.report()
    assert files.names() == files.finished
    files.clear()
    return expected


def kill_after(files: Files, killable_run: RunKillable, *, past: int = 30, **options: int) -> dict[str, Any]:
    """Start a dump, kill it after an id, and return the content of its checkpoint."""
    for die_at in count(STEPS_TO_BEGIN, STEPS_OF_A_PAGE):
        files.clear()
        result = killable_run(*files.command, die_at=die_at, rows_in_part=1, **options)
        assert result["status"] == KILLED, "it finished before"
        saved = files.saved()
        if saved is not None and saved["cursor"]["next_id"] > past:
            return saved
    raise AssertionError


NARROW = {
    "orders": ("orders", "--window", "20", "--last", "99", "--strategy", "prefix"),
    "shipments": ("shipments", "--window", "20", "--last", "99", "--strategy", "prefix"),
}


KILLED_FORMATS = [
    ("orders", "ndjson"),
    ("orders", "parquet"),
    ("shipments", "db"),
    ("shipments", "ndjson"),
    ("orders", "csv"),
    ("orders", "csv.gz"),
    ("orders", "db"),
]
"""Lists with and without ids, in each format, Parquet with a part for each page. The first three differ most."""


@pytest.mark.sampled
@pytest.mark.parametrize("part", slow_after(2, EVERY_PART))
@pytest.mark.parametrize(("entity", "ending"), KILLED_FORMATS)
def test_a_dump_killed_at_every_step_of_every_page_is_the_same(
    *, entity: str, ending: str, part: int, shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """A dump killed again and again, at each step of each page, ends with the same output as one without kills."""
    pages = 3
    files = files_of(shop, *NARROW[entity], "--last", str(pages * 20 - 1), ending=ending)
    expected = uninterrupted(files, killable_run, **SMALL)
    assert bool(expected[1]["misfits"]) == (entity == "orders" and ending in {"parquet", "db"})
    a_page = STEPS_OF_OTHER_PAGES.get(ending, STEPS_OF_A_PAGE)
    resumed: set[int] = set()
    for number in range(part, STEPS_TO_BEGIN + a_page, PARTS):
        # The first run is killed at each step up to its first page; each later run one page further, to make progress.
        die_at, reached = number + 1, 0
        while (result := killable_run(*files.command, "--resume", die_at=die_at, **SMALL))["status"] == KILLED:
            saved = files.saved()
            before, reached = reached, saved["cursor"]["next_id"] if saved else 0
            resumed.add(reached)
            assert files.content() in (None, expected[0])
            die_at = STEPS_TO_RESUME[ending] + a_page + number % a_page + 1 if reached > before else die_at + 3
        assert result["status"] == 0, result
        assert (files.content(), files.report()) == expected
        assert files.names() == files.finished
        files.clear()
    assert len(resumed - {0}) == pages, f"the checkpoint of each page was resumed from: {resumed}"


@pytest.mark.sampled
@pytest.mark.parametrize("part", slow_after(2, EVERY_PART))
@pytest.mark.parametrize(("entity", "ending"), KILLED_FORMATS)
def test_a_dump_killed_at_every_step_of_its_end_is_the_same(
    *, entity: str, ending: str, part: int, shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """The last page, the renaming, the report and the final checkpoint: an output with its final name is complete."""
    files = files_of(shop, *NARROW[entity], ending=ending)
    expected = uninterrupted(files, killable_run, **SMALL)
    steps = killable_run(*files.command, **SMALL)["steps"]
    existed: set[bool] = set()
    for die_at in range(steps - STEPS_TO_END + part, steps + 1, PARTS):
        files.clear()
        assert killable_run(*files.command, die_at=die_at, **SMALL)["status"] == KILLED
        for step in (2, 5, 7, STEPS_TO_BEGIN + 1, 0):
            result = killable_run(*files.command, "--resume", die_at=step, **SMALL)
            existed.add(files.exists())
            assert files.content() in (None, expected[0])
            if result["status"] == 0:
                break
        assert (files.content(), files.report()) == expected
        assert files.names() == files.finished
    assert existed == {False, True} or part > 0, "the steps of the first part are before and after the renaming"


@pytest.mark.slow
@pytest.mark.parametrize("kills", slow_after(1, [2, 10]))
@pytest.mark.parametrize(("entity", "ending"), slow_after(3, KILLED_FORMATS))
def test_a_dump_killed_at_random_times_is_the_same(
    entity: str, ending: str, kills: int, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """SIGKILL comes from outside, at any time."""
    chance = random.Random(5)  # noqa: S311  not for secrets
    with Shop(orders=120, latency=0.005) as slow:
        files = files_of(slow, entity, "--window", "10", "--last", "150", ending=ending)
        expected = uninterrupted(files, killable_run, **SMALL)
        killed = 0
        while killed < kills:
            result = killable_run(*files.command, "--resume", die_after=chance.uniform(0.02, 0.5), **SMALL)
            killed += result["status"] == KILLED
            if result["status"] == 0:
                assert (files.content(), files.report()) == expected
                files.clear()
            else:
                assert result["status"] == KILLED, result
        assert killable_run(*files.command, "--resume", **SMALL)["status"] == 0
        assert (files.content(), files.report()) == expected


@pytest.mark.parametrize("step", slow_after(1, [20, 3]))
@pytest.mark.parametrize("ending", ["parquet", "db"])
def test_a_finished_output_is_replaced_only_by_a_complete_one(
    ending: str, step: int, shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """A dump over yesterday's, killed at any step, leaves one of the two outputs, or can be resumed.

    A folder has its name only after the second of two steps; a table is yesterday's until the first page is in it.
    """
    files = files_of(shop, *NARROW["orders"], ending=ending)
    yesterday = files_of(shop, "orders", "--last", "30", ending=ending)
    old, expected = uninterrupted(yesterday)[0], uninterrupted(files)
    both_options = [*files.command, "--resume", "--overwrite"]
    for die_at in count(2, step):
        files.clear()
        assert run([*yesterday.command, "--out", str(files.out), "--overwrite"]) == 0
        result = killable_run(*both_options, die_at=die_at, rows_in_part=1)
        assert files.content() in (None, old, expected[0])
        if result["status"] == 0:
            break
        assert run(both_options) == 0
        assert (files.content(), files.report()) == expected
        assert files.names() == files.finished
    assert die_at > 30


def test_resume_without_an_earlier_dump_starts_one(shop: Shop, files_of: Callable[..., Files]) -> None:
    """One command serves the first run and all later ones."""
    files = files_of(shop, "orders", "--last", "50")
    expected = uninterrupted(files)
    assert run([*files.command, "--resume"]) == 0
    assert (files.out.read_bytes(), files.report()) == expected


ENDINGS = ("ndjson", "csv", "csv.gz", "parquet", "db")


@pytest.mark.parametrize("ending", ENDINGS)
def test_resuming_a_finished_dump_reports_that(
    ending: str, shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """No call is made, and only the report is written, as it was the first time."""
    files = files_of(shop, "orders", "--last", "50", "--where", "store_id:neq:7", ending=ending)
    assert run([*files.command]) == 0
    expected = files.content(), files.report_path.read_bytes(), files.names()
    files.report_path.unlink()
    shop.clear_log()
    capfd.readouterr()
    for _ in range(2):
        assert run([*files.command, "--resume"]) == 0
        assert "is already complete: " in capfd.readouterr().err
        assert (files.content(), files.report_path.read_bytes(), files.names()) == expected
    assert shop.log == ()


def test_the_report_of_a_finished_dump_keeps_the_details(shop: Shop, files_of: Callable[..., Files]) -> None:
    """Although no call is made."""
    files = files_of(shop, "orders", "--last", "10", "--details")
    assert run([*files.command]) == 0
    report = files.report()
    assert report["details"]["way"] == "xml-rpc"
    assert run([*files.command, "--resume"]) == 0
    assert files.report() == report


def test_skipped_rows_are_reported_again(files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]) -> None:
    """With the same exit status as the first time."""
    with Shop(orders=60, profile="1.8.1.0", duplicate_address={7}) as shop:
        files = files_of(shop, "orders", "--last", "50")
        assert run([*files.command]) == 3
        report = files.report()
        capfd.readouterr()
        assert run([*files.command, "--resume"]) == 3
        assert "Skipped id 7 of orders" in capfd.readouterr().err
        assert files.report() == report


OTHER_QUERIES = [
    (("customers",), "entity was orders and is now customers"),
    (("orders", "--last", "49"), "last was 50 and is now 49"),
    (("orders", "--first", "1"), "first was 0 and is now 1"),
    (("orders", "--where", "status:eq:new"), "where was nothing and is now status:eq:new"),
    (("orders", "--columns", "order_id,status"), "columns was nothing and is now order_id and status"),
    (("orders", "--password-hash"), "password_hash was False and is now True"),
    (("orders", "--details"), "details was False and is now True"),
    (("orders", "--since", "2024-05-01T10:00:00Z"), "since was nothing and is now 2024-05-01T10:00:00Z"),
    (("orders", "--since", "2h"), "since was nothing and is now 20"),
]
TEXT_ONLY = [(("orders", "--typed"), "typed was False and is now True")]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_finished_dump_with_another_query_is_refused(
    ending: str, shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """The message names each difference, the shop included; no file is changed, not even the report."""
    files = files_of(shop, "orders", "--last", "50", ending=ending)
    assert run([*files.command]) == 0
    before = {path: path.read_bytes() for path in files.folder.rglob("*") if path.is_file()}
    ends = files.command[4:]
    cases = [*OTHER_QUERIES, *(TEXT_ONLY if ending[-2:] not in {"et", "db"} else [])]
    other_formats = {"parquet": "ndjson", "db": ""}
    if other := other_formats.get(ending, "parquet" if ending != "csv.gz" else "ndjson"):
        cases.append((("orders", "--format", other), ""))
    with Shop(orders=60) as elsewhere:
        commands = [
            (("dump", "--last", "50", *more, *ends), message)
            for more, message in cases
            if ending != "db" or more[0] == "orders"
        ]
        other_shop = [argument.replace(shop.url, elsewhere.url) for argument in files.command]
        commands.append((tuple(other_shop), f"shop was {shop.url} and is now {elsewhere.url}"))
        for command, message in commands:
            capfd.readouterr()
            if ending == "db" and "--since" in command:
                continue  # changed rows are added to the table
            assert run([*command, "--resume"]) == 2, command
            err = capfd.readouterr().err
            assert message in err, command
            assert {path: path.read_bytes() for path in files.folder.rglob("*") if path.is_file()} == before, command
            assert "--overwrite" in err or "--format" in command
    assert run([*files.command, "--resume"]) == 0


def test_the_same_shop_at_another_address_is_recognised(
    shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """The address in its WSDL counts; if the address is given as before, no call is needed."""
    files = files_of(shop, "orders", "--last", "50")
    assert run([*files.command]) == 0
    with_wsdl = [argument.replace(shop.url, f"{shop.url}?wsdl=1") for argument in files.command]
    assert run([*with_wsdl, "--resume"]) == 0
    longer = [argument.replace(shop.url, f"{shop.url.rstrip('/')}/?wsdl=1") for argument in files.command]
    assert run([*longer, "--resume"]) == 0
    assert capfd.readouterr().err.count("is already complete: ") == 2


@pytest.mark.parametrize("ending", ["ndjson", "db"])
def test_a_shop_with_another_form_of_its_address_is_the_same(
    ending: str, killable_run: RunKillable, shop: Shop, files_of: Callable[..., Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address for calls loses `/index.php`, as after a change of settings in the shop."""
    files = files_of(shop, *NARROW["orders"], ending=ending)
    expected = uninterrupted(files)
    kill_after(files, killable_run)
    monkeypatch.setattr("magento_pager.fake.server.SOAP_PATH", "/api/v2_soap/")
    moved = [argument.replace("/index.php", "") for argument in files.command]
    assert run([*moved, "--resume"]) == 0
    assert (files.content(), files.report()["rows"]) == (expected[0], expected[1]["rows"])


def test_a_state_with_another_form_of_the_address_is_continued(
    shop: Shop, files_of: Callable[..., Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run is an increment, and the state still has one list."""
    files = files_of(shop, "customers")
    command = [*files.command[:-4], "--state", str(files.folder / "state.json"), "--report", str(files.report_path)]
    assert run([*command, "--out", str(files.folder / "one-{time}.ndjson")]) == 0
    monkeypatch.setattr("magento_pager.fake.server.SOAP_PATH", "/api/v2_soap/index/")
    moved = [argument.replace("/index.php", "") for argument in command]
    assert run([*moved, "--out", str(files.folder / "two-{time}.ndjson")]) == 0
    assert files.report()["asked"]["since"]
    assert len(json.loads((files.folder / "state.json").read_bytes())["lists"]) == 1


@pytest.mark.parametrize("ending", ["ndjson", "csv", "csv.gz", "parquet"])
def test_a_finished_file_of_an_unknown_dump_is_refused(
    ending: str, shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """Without its checkpoint, with one of another version, or with another length than it had."""
    files = files_of(shop, "orders", "--last", "50", ending=ending)
    assert run([*files.command]) == 0
    kept = files.checkpoint.read_bytes()
    for data, message in (
        (b"", f"without the {files.checkpoint.name} that tells which dump made it"),
        (kept.replace(b'"version": 3', b'"version": 2'), "is a checkpoint of version 2"),
        (kept[:-9], "is damaged or cut short"),
        (kept, "was changed after its dump finished"),
    ):
        files.checkpoint.write_bytes(data)
        if not data:
            files.checkpoint.unlink()
        if data == kept:
            longer = files.out / "part-00000.parquet" if ending == "parquet" else files.out
            longer.write_bytes(longer.read_bytes() + b"more")
        capfd.readouterr()
        assert run([*files.command, "--resume"]) == 2
        err = capfd.readouterr().err
        assert message in err
        assert "--overwrite" in err
    assert run([*files.command, "--resume", "--overwrite"]) == 0
    assert run([*files.command, "--resume"]) == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_finished_output_that_was_removed_is_dumped_again(
    ending: str, shop: Shop, files_of: Callable[..., Files]
) -> None:
    """As by a loader that moves each file away; a checkpoint that remains does not prevent the dump."""
    files = files_of(shop, "orders", "--last", "50", ending=ending)
    expected = uninterrupted(files)
    assert run([*files.command]) == 0
    for options in ([], ["--resume"]):
        if ending == "db":
            with closing(sqlite3.connect(files.out)) as database:
                database.execute("DROP TABLE orders")
        else:
            shutil.rmtree(files.out) if ending == "parquet" else files.out.unlink()
        assert run([*files.command, *options]) == 0
        assert (files.content(), files.report()) == expected


def test_a_finished_file_is_kept_until_the_first_page_of_its_replacement(
    shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """After a kill before that, the file and its checkpoint are still yesterday's."""
    files = files_of(shop, *NARROW["orders"])
    yesterday = files_of(shop, "orders", "--last", "30")
    old_command = [argument.replace(str(yesterday.folder), str(files.folder)) for argument in yesterday.command]
    for option in ("--overwrite", "--resume"):
        for die_at in count(1, 4):
            files.clear()
            assert run(old_command) == 0
            old = files.out.read_bytes(), files.checkpoint.read_bytes()
            result = killable_run(*files.command, "--overwrite", option, die_at=die_at)
            assert result["status"] == KILLED
            if files.checkpoint.read_bytes() != old[1]:
                break
            assert files.out.read_bytes() == old[0]
            assert run([*old_command, "--resume"]) == 0
        assert die_at > STEPS_TO_BEGIN


def test_an_unfinished_dump_is_not_discarded_without_an_option(
    shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable, capfd: pytest.CaptureFixture[str]
) -> None:
    """It may be hours of work: `--resume` or `--overwrite` is required."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    expected = uninterrupted(files)
    saved = kill_after(files, killable_run)
    capfd.readouterr()
    assert run([*files.command]) == 2
    assert "Resume it with --resume, or start over with --overwrite" in capfd.readouterr().err
    assert files.saved() == saved
    assert run([*files.command, "--overwrite"]) == 0
    assert (files.out.read_bytes(), files.report()) == expected


def test_resume_with_overwrite_resumes_unfinished_and_replaces_finished_dumps(
    shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """For nightly dumps: the old file stays until the new one is complete."""
    files = files_of(shop, *NARROW["orders"])  # with a strategy that needs no rows for a probe
    expected = uninterrupted(files)
    files.out.write_bytes(b"yesterday\n")  # of an older version, which left no checkpoint
    both_options = [*files.command, "--resume", "--overwrite"]
    assert killable_run(*both_options, die_at=STEPS_TO_BEGIN + 2 * STEPS_OF_A_PAGE)["status"] == KILLED
    assert files.out.read_bytes() == b"yesterday\n"
    saved = files.saved()
    assert saved is not None
    assert run(both_options) == 0
    assert (files.out.read_bytes(), files.report()) == expected
    last = max(place for place, call in enumerate(shop.log) if call.operation == "login")
    rows = sum(call.rows for call in shop.log[last:])  # before that may be the page that the killed run was waiting for
    assert rows == expected[1]["rows"] - saved["counters"]["rows"], "it was resumed"


def test_resume_and_overwrite_need_a_file(capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output can be neither resumed nor replaced."""
    for option in ("--resume", "--overwrite"):
        assert run(["dump", option]) == 2
        assert "needs --out" in capfd.readouterr().err
    assert run(["dump", "--out", "x", "--lookback", "5"]) == 2
    assert "--lookback needs --resume" in capfd.readouterr().err


def cut(files: Files) -> None:
    """Truncate the part before the offset of its checkpoint."""
    files.part.write_bytes(files.part.read_bytes()[:100])


def flip(files: Files) -> None:
    """Flip a bit of the checkpoint."""
    data = bytearray(files.checkpoint.read_bytes())
    position = data.index(b'"offset"') + len('"offset": ')
    data[position] ^= 1
    files.checkpoint.write_bytes(data)


DAMAGES: list[tuple[Callable[[Files], object], str]] = [
    (lambda files: files.part.unlink(), "is missing, but its checkpoint covers"),
    (cut, "has only 100 bytes, but its checkpoint covers"),
    (flip, "is damaged: its checksum is wrong"),
    (lambda files: files.checkpoint.write_bytes(files.checkpoint.read_bytes()[:200]), "is damaged or cut short"),
    (lambda files: files.checkpoint.write_bytes(b""), "is damaged or cut short"),
    (lambda files: files.checkpoint.write_text('{"rows": 5}'), "is not a checkpoint of magento-pager"),
    (
        lambda files: files.checkpoint.write_text(
            files.checkpoint.read_text().replace('"version": 3', '"version": 4', 1)
        ),
        "is a checkpoint of version 4",
    ),
    (
        lambda files: files.checkpoint.write_text(
            files.checkpoint.read_text().replace('"version": 3', '"version": 2', 1)
        ),
        "is a checkpoint of version 2",
    ),
]


def test_damaged_files_are_refused_and_not_changed(
    shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable, capfd: pytest.CaptureFixture[str]
) -> None:
    """The message says what is wrong and what to do; `--overwrite` starts over."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    kill_after(files, killable_run)
    kept = {file: file.read_bytes() for file in (files.part, files.checkpoint)}
    for damage, message in DAMAGES:
        for file, data in kept.items():
            file.write_bytes(data)
        damage(files)
        damaged = {file.name: file.read_bytes() for file in files.folder.iterdir()}
        capfd.readouterr()
        assert run([*files.command, "--resume"]) == 2
        (err,) = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("warning")]
        assert message in err
        assert "--overwrite" in err
        assert {file.name: file.read_bytes() for file in files.folder.iterdir()} == damaged
    assert run([*files.command, "--overwrite"]) == 0


OTHER_DUMPS = [
    (["customers", "--last", "99"], "entity was orders and is now customers"),
    (["orders", "--last", "98"], "last was 99 and is now 98"),
    (["orders", "--last", "99", "--first", "1"], "first was 0 and is now 1"),
    (
        ["orders", "--last", "99", "--where", "status:eq:new", "--where", "store_id:eq:1"],
        "where was nothing and is now status:eq:new and store_id:eq:1",
    ),
    (["orders", "--last", "99", "--format", "csv"], "format was ndjson and is now csv"),
    (["orders", "--last", "99", "--columns", "order_id,status"], "columns was nothing and is now order_id and status"),
    (["orders", "--last", "99", "--typed"], "typed was False and is now True"),
    (["orders", "--last", "99", "--password-hash"], "password_hash was False and is now True"),
]


def flip_bit(path: Path, position: int) -> None:
    """Change a byte, but not the length."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def covered_bytes(files: Files, offset: int) -> dict[Path, int]:
    """Return how many bytes of each file the checkpoint covers; later ones were written after it."""
    if files.part.is_dir():
        return {path: path.stat().st_size for path in sorted(files.part.iterdir())[:offset]}
    if files.part.name != "rows.csv.gz.part":
        return {files.part: offset}
    text = end = 0
    for more, member_end in members(files.part):
        text, end = text + len(more), member_end
        if text >= offset:
            break
    return {files.part: end, files.part.with_name(files.part.name + ".tail"): max(0, offset - text)}


@pytest.mark.slow
@pytest.mark.parametrize("places", slow_after(1, [3, 20]))
@pytest.mark.parametrize("ending", ["ndjson", "csv", "csv.gz", "parquet"])
def test_a_part_that_was_changed_in_place_is_refused(  # noqa: PLR0917  fixtures
    ending: str,
    places: int,
    shop: Shop,
    files_of: Callable[..., Files],
    killable_run: RunKillable,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One changed byte that the checkpoint covers is enough; no file is changed."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99", ending=ending)
    expected = uninterrupted(files)
    for options in ({}, {"text_in_member": 4000}) if ending == "csv.gz" else ({},):
        files.clear()
        saved = kill_after(files, killable_run, **options)
        for path, covered in covered_bytes(files, saved["offset"]).items():
            kept = path.read_bytes()
            for position in {*range(0, covered, max(1, covered // places)), 4 % max(1, covered)} if covered else ():
                flip_bit(path, position)
                before = {file: file.read_bytes() for file in files.folder.rglob("*") if file.is_file()}
                capfd.readouterr()
                assert run([*files.command, "--resume"]) == 2, (path, position)
                err = capfd.readouterr().err
                assert "was changed after" in err or "has only" in err
                assert "--overwrite" in err
                assert {file: file.read_bytes() for file in files.folder.rglob("*") if file.is_file()} == before
                path.write_bytes(kept)
        assert run([*files.command, "--resume"]) == 0
        assert (files.content(), files.report()) == expected or ending == "csv.gz"


def test_a_table_that_does_not_match_its_checkpoint_is_refused(
    shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable, capfd: pytest.CaptureFixture[str]
) -> None:
    """Deleted rows, a dropped table, a damaged database."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99", ending="db")
    expected = uninterrupted(files)
    kill_after(files, killable_run)
    kept = files.out.read_bytes()
    for statement, message in (
        ("DELETE FROM orders WHERE order_id < 5", "rows, but its checkpoint counts"),
        ("DROP TABLE orders", "has 0 rows, but its checkpoint counts"),
        ("", "is damaged"),
    ):
        if statement:
            with closing(sqlite3.connect(files.out)) as database, database:
                database.execute(statement)
        else:
            data = bytearray(kept)
            data[-9000:] = bytes(9000)
            files.out.write_bytes(data)
        capfd.readouterr()
        assert run([*files.command, "--resume"]) == 2
        err = capfd.readouterr().err
        assert message in err
        assert "--overwrite" in err
        files.out.write_bytes(kept)
    assert run([*files.command, "--resume"]) == 0
    assert (files.content(), files.report()) == expected


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["ndjson.gz", "csv.gz"])
@pytest.mark.parametrize("width", [("--window", "15"), ("--rows-per-call", "10")], ids=["window", "automatic"])
def test_gzipped_text_has_the_same_bytes_wherever_it_was_stopped(
    width: tuple[str, str], ending: str, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """Killed at every page, and resumed with windows of other widths: members do not depend on pages."""
    with Shop(orders=100) as shop:
        files = files_of(shop, "orders", "--last", "120", "--strategy", "prefix", ending=ending)
        contents = set()
        for other in ("--window", "40"), ():  # the output does not depend on pages
            files.clear()
            assert killable_run(*files.command, *other, text_in_member=20_000)["status"] == 0
            contents.add(files.content())
        (expected,) = contents
        assert len(list(members(files.out))) > 3
        files.clear()
        reached, stops, die_at = 0, 0, STEPS_TO_BEGIN
        while (result := killable_run(*files.command, *width, "--resume", die_at=die_at, text_in_member=20_000))[
            "status"
        ] == KILLED:
            saved = files.saved()
            before, reached = reached, saved["cursor"]["next_id"] if saved else 0
            stops += reached > before
            die_at = STEPS_TO_BEGIN + 10 if reached > before else die_at + 7
        assert result["status"] == 0, result
        assert files.content() == expected
        assert stops > 3


def test_an_unfinished_dump_with_another_query_is_refused(
    shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable, capfd: pytest.CaptureFixture[str]
) -> None:
    """The message has the old and the new value of each difference; strategy and window may change."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    expected = uninterrupted(files)
    saved = kill_after(files, killable_run)
    ends = files.command[6:]
    for arguments, message in OTHER_DUMPS:
        capfd.readouterr()
        assert run(["dump", *arguments, *ends, "--resume"]) == 2
        assert message in capfd.readouterr().err
    with Shop(orders=300) as other:
        elsewhere = [argument.replace(shop.url, other.url) for argument in files.command]
        assert run([*elsewhere, "--resume"]) == 2
        assert f"shop was {shop.url} and is now {other.url}" in capfd.readouterr().err
    assert files.saved() == saved
    assert run(["dump", "orders", "--last", "99", "--strategy", "prefix", "--window", "40", *ends, "--resume"]) == 0
    assert files.out.read_bytes() == expected[0]
    assert files.report()["digest"] == expected[1]["digest"]


@pytest.mark.parametrize("ending", ["ndjson", "parquet", "db"])
def test_two_dumps_cannot_write_one_output(
    ending: str,
    shop: Shop,
    files_of: Callable[..., Files],
    killable_run: RunKillable,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A run that starts before the last one has ended is refused, and changes nothing."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99", ending=ending)
    expected = uninterrupted(files)
    saved = kill_after(files, killable_run)
    descriptor = os.open(files.out if ending == "db" else files.part, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for option in ("--resume", "--overwrite"):
            capfd.readouterr()
            assert run([*files.command, option]) == 1
            assert "Another dump is writing" in capfd.readouterr().err
        assert files.saved() == saved
    finally:
        os.close(descriptor)
    assert run([*files.command, "--resume"]) == 0
    assert (files.content(), files.report()) == expected


def test_a_dump_that_fails_before_its_first_page_leaves_nothing(
    files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """The same command works once the cause is fixed; the report has the error."""
    with Shop(orders=50, denied={"orders"}) as shop:
        files = files_of(shop, "orders")
        assert run([*files.command]) == 1
        assert "--resume" not in capfd.readouterr().err
        assert files.names() == {files.report_path.name}
        report = files.report()
        assert (report["complete"], report["rows"]) == (False, 0)
        assert "a right is missing" in report["error"]
        shop.change(denied=())
        assert run([*files.command]) == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 1)], ids=["SIGINT", "SIGTERM", "failure"]
)
def test_a_stopped_dump_shows_the_command_to_resume_it(
    number: signal.Signals | None, status: int, files_of: Callable[..., Files]
) -> None:
    """The line on standard error ends with that command, and has no secret."""
    with Shop(orders=300, latency=0.1) as shop:
        files = files_of(shop, "orders", "--window", "10", "--last", "99", "--where", "store_id:neq:7 7")
        shop.change(latency=0.0)
        expected = uninterrupted(files)
        shop.change(latency=0.1)
        command = [sys.executable, "-m", "magento_pager", *files.command, "--header", "X-Pass: letmein"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as dumping:  # noqa: S603  our own command
            while not files.checkpoint.exists():
                assert dumping.poll() is None
            if number is None:
                shop.change(outage="firewall")
            else:
                dumping.send_signal(number)
            _, err = dumping.communicate(timeout=60)
        if number is not None:
            assert shop.log[-1].operation == "endSession"
        assert dumping.returncode == status
        saved, report = files.saved(), files.report()
        assert saved is not None
        line = err.splitlines()[-1]
        assert f"{saved['counters']['rows']:,} orders are safe in {files.part}. Resume with: magento-pager dump" in line
        assert (report["complete"], report["rows"]) == (False, saved["counters"]["rows"])
        assert shop.key not in line
        assert "letmein" not in line
        shop.change(outage="", latency=0.0)
        resuming = shlex.split(line.partition("magento-pager dump ")[2])
        resuming[resuming.index("--key") + 1] = shop.key
        del resuming[resuming.index("--header") : resuming.index("--header") + 2]
        assert run(["dump", *resuming]) == 0
        assert (files.out.read_bytes(), files.report()) == expected


def test_a_dump_stopped_by_a_full_disk_can_be_resumed(
    shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """Rows written before are safe; the others follow once there is room."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    expected = uninterrupted(files)
    result = killable_run(*files.command, file_limit=len(expected[0]) * 2 // 3)
    assert result["status"] == 1
    line = result["stderr"].splitlines()[-1]
    assert "the output could not be written: File too large" in line
    assert "--resume" in line
    saved = files.saved()
    assert saved is not None
    assert 0 < saved["counters"]["rows"] < expected[1]["rows"]
    assert files.report()["rows"] == saved["counters"]["rows"]
    assert run([*files.command, "--resume"]) == 0
    assert (files.out.read_bytes(), files.report()) == expected


def test_a_disk_without_room_for_a_page_is_left_clean(
    shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """Rows that no checkpoint covers are deleted."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    result = killable_run(*files.command, file_limit=2000)
    assert (result["status"], files.names()) == (1, {files.report_path.name})
    assert "--resume" not in result["stderr"]


def test_a_full_standard_output(shop: Shop) -> None:
    """One line and exit status 1, without a traceback of Python after it."""
    command = [sys.executable, "-m", "magento_pager", "dump", "--url", shop.url, "--user", shop.user]
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(  # noqa: S603  our own command
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "MAGENTO_API_KEY": shop.key},
        )
    assert result.returncode == 1
    assert result.stderr == "magento-pager: the output could not be written: No space left on device\n"


def test_paths_that_cannot_be_written_are_refused_early(
    shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A read-only folder, a missing folder, a device, a report that cannot be written: before any call."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    if os.access(closed, os.W_OK):
        closed = Path("/sys")  # root may write where it is forbidden, but not there
    for name, message in (
        (f"{closed}/rows.ndjson", "Permission denied"),
        ("/nonexistent/rows.ndjson", "No such file or directory"),
        ("/dev/null", "is not a regular file"),
    ):
        command = [*files_of(shop, "orders").command]
        command[command.index("--out") + 1] = name
        assert run([*command, "--overwrite"]) in {1, 2}
        assert message in capfd.readouterr().err
    command[command.index("--out") + 1] = str(tmp_path / "rows.ndjson")
    command[command.index("--report") + 1] = "/nonexistent/report.json"
    shop.clear_log()
    assert run(command) == 1
    assert "/nonexistent/report.json" in capfd.readouterr().err
    assert shop.log == ()
    command[command.index("--report") + 1] = command[command.index("--out") + 1]
    assert run(command) == 2


def test_skipped_rows_are_reported_with_exit_status_3(
    shop: Shop, files_of: Callable[..., Files], killable_run: RunKillable, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rows skipped or repaired before an interruption are in the summary and in the report."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    kill_after(files, killable_run)
    saved = load(files.checkpoint)
    save(replace(saved, quarantined=(Quarantined(4, "fault 1:\nsame id"),), repaired=(5, 6)), files.checkpoint)
    capfd.readouterr()
    assert run([*files.command, "--resume"]) == 3
    _, summary, skipped, repaired = capfd.readouterr().err.splitlines()
    assert summary.endswith("Complete: every id from 0 to 99 accounted for, 1 of them skipped.")
    assert skipped == "Skipped id 4 of orders: fault 1: same id"
    assert repaired == "Repaired 2 orders by removing characters that XML does not allow: ids 5, 6."
    report = files.report()
    assert report["quarantined"] == [{"id": 4, "reason": "fault 1:\nsame id"}]
    assert (report["repaired"], report["complete"]) == ([5, 6], True)
    assert files.out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "options", "status"),
    [
        ({"duplicate_address": {7, 44}}, (), 3),
        ({"control_characters": {7, 44}}, (), 3),
        ({"control_characters": {7, 44}}, ("--repair", "control-characters"), 0),
    ],
    ids=["two addresses", "control characters", "repaired"],
)
def test_skipped_and_repaired_rows_survive_kills(
    trouble: dict[str, set[int]],
    options: tuple[str, ...],
    status: int,
    files_of: Callable[..., Files],
    killable_run: RunKillable,
) -> None:
    """A dump of a shop with two rows that fail, killed after the first of them and resumed."""
    with Shop(orders=100, profile="1.8.1.0", **trouble) as shop:  # type: ignore[arg-type]  # options of the shop
        files = files_of(shop, "orders", "--window", "20", "--last", "99", *options)
        assert run([*files.command]) == status
        expected = files.out.read_bytes(), files.report()
        reported = [row["id"] for row in expected[1]["quarantined"]] if status else expected[1]["repaired"]
        assert reported == [7, 44]
        ids = [number for number in shop.database.ids("orders") if number < 100]
        assert len(files.rows()) == len(ids) - 2 * (status == 3)
        kill_after(files, killable_run, past=20)
        assert killable_run(*files.command, "--resume", die_at=STEPS_TO_BEGIN + STEPS_OF_A_PAGE)["status"] == KILLED
        assert run([*files.command, "--resume"]) == status
        assert (files.out.read_bytes(), files.report()) == expected


LATE = {"orders": ("order_id", 60), "shipments": ("increment_id", 60)}


@pytest.mark.parametrize(
    ("entity", "lookback", "ending"),
    slow_after(
        3,
        [
            ("orders", 0, "ndjson"),
            ("orders", 50, "parquet"),
            ("shipments", 50, "db"),
            ("shipments", 0, "ndjson"),
            ("orders", 50, "ndjson"),
            ("shipments", 50, "ndjson"),
            ("orders", 50, "csv.gz"),
            ("orders", 50, "db"),
        ],
    ),
)
def test_a_row_committed_late_is_found_by_looking_back(
    entity: str, lookback: int, ending: str, files_of: Callable[..., Files], killable_run: RunKillable
) -> None:
    """With `--lookback` a row that appears below the cursor is dumped; without it is not; none is dumped twice."""
    name, number = LATE[entity]
    with Shop(orders=300) as shop:
        shop.database.delete(entity, number)
        files = files_of(shop, entity, "--window", "20", "--last", "199", ending=ending)
        assert kill_after(files, killable_run, past=number)["cursor"]["next_id"] == 80
        shop.database.insert(entity, {"entity_id": number, "increment_id": "late"})
        lookback_options = ["--lookback", str(lookback)] if lookback else []
        for die_at in (30, 0):  # the first one is killed in the middle, so two runs look back
            result = killable_run(*files.command, "--resume", *lookback_options, die_at=die_at, rows_in_part=1)
            assert result["status"] == (KILLED if die_at else 0), result
        rows = files.rows()
        assert len({row[name] for row in rows}) == len(rows), "no row is dumped twice"
        late = [row for row in rows if row["increment_id"] == "late"]
        assert len(late) == bool(lookback)
        ids = [row_id for row_id in shop.database.ids(entity) if row_id < 200]
        assert len(rows) == files.report()["rows"] == len(ids) - (not lookback)
        if lookback:
            assert rows[-1] not in late, "it is where it was found, so the file is not in order of id"
            digest = files.report()["digest"]
            assert run([*files.command, "--overwrite"]) == 0
            assert files.report()["digest"] == digest, "the digest does not depend on the order"
