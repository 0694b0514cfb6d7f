"""Dumps that are stopped, by whatever, and gone on with: nothing is lost and nothing comes twice."""

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

    Ask = Callable[..., dict[str, Any]]

SCRIPT = Path(__file__).parents[1] / "killed_dumps.py"
KILLED = -signal.SIGKILL
STEPS_TO_BEGIN, STEPS_OF_A_PAGE, STEPS_TO_END = 10, 8, 14
STEPS_TO_RESUME = {"ndjson": 6, "csv": 6, "parquet": 7, "csv.gz": 10, "db": 10}
STEPS_OF_OTHER_PAGES = {"csv.gz": 16, "parquet": 12, "db": 5}
PARTS = 12
EVERY_PART = sorted(range(PARTS), key=lambda part: part % 5)
"""What is killed at steps a part, a part + PARTS and so on; the first few parts are far apart."""
COST = {"calls", "empty_calls", "checks", "bytes", "seconds", "began"}
"""What a report says of the price, which an interruption raises, and of the hour."""


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """A small shop with values that are no moments; tests leave it as it was."""
    with Shop(orders=300) as running:
        for number in (7, 44):
            running.database.update("orders", number, {"updated_at": "2023-13-01 00:00:00"})
        yield running


@pytest.fixture(scope="module")
def mortal() -> Iterator[Ask]:
    """Runs the command line in a process that dies when it is told to."""
    with subprocess.Popen(  # noqa: S603  our own script
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(*arguments: str, **how: float) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"arguments": arguments, **how}) + "\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            return answer

        yield ask
        process.stdin.close()


class Files:
    """The files of a dump in a folder of their own, and the command that makes them."""

    def __init__(self, folder: Path, shop: Shop, *arguments: str, ending: str = "ndjson") -> None:
        self.out = folder / f"rows.{ending}"
        self.part = folder / f"rows.{ending}.part"
        self.mark = folder / f"rows.{ending}.checkpoint"
        self.report_path = folder / "report.json"
        self.finished = {self.out.name, self.mark.name, self.report_path.name} - {"rows.db.checkpoint"}
        self.folder = folder
        where = ("--url", shop.url, "--user", shop.user, "--key", shop.key)
        self.command = ("dump", *arguments, *where, "--out", str(self.out), "--report", str(self.report_path))

    def saved(self) -> dict[str, Any] | None:
        """What the checkpoint says."""
        if self.out.suffix == ".db":
            with closing(sqlite3.connect(self.out)) as database:
                if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'magento_pager_dumps'").fetchone():
                    (text,) = database.execute("SELECT checkpoint FROM magento_pager_dumps").fetchone()
                    content: dict[str, Any] = json.loads(text)["content"]
                    return content
            return None
        return json.loads(self.mark.read_bytes())["content"] if self.mark.exists() else None

    def content(self) -> Any:
        """What is in the finished output: the bytes of text, the rows of all else; None if there is none."""
        if self.out.suffix in {".parquet", ".db"}:
            return list(stored(self.out)) if self.whole() else None
        return self.out.read_bytes() if self.out.exists() else None

    def whole(self) -> bool:
        """Whether there is an output that is taken for finished."""
        return self.out.exists() and (self.out.suffix != ".db" or bool(finished_tables(self.out)))

    def report(self) -> dict[str, Any]:
        """What the report says, but for the price."""
        values = json.loads(self.report_path.read_text())
        return {name: value for name, value in values.items() if name not in COST}

    def rows(self) -> list[dict[str, str]]:
        """The rows of the finished output."""
        return list(stored(self.out))

    def names(self) -> set[str]:
        """The files there are."""
        return {one.name for one in self.folder.iterdir()}

    def clear(self) -> None:
        """Remove them all."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()


@pytest.fixture
def files_of(tmp_path: Path) -> Callable[..., Files]:
    """A dump into a folder of its own."""
    numbers = count()

    def make(shop: Shop, *arguments: str, ending: str = "ndjson") -> Files:
        if ending == "parquet":
            needs_pyarrow()
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return Files(folder, shop, *arguments, ending=ending)

    return make


SMALL = {"rows_in_part": 1, "text_in_member": 9_000}
"""A part of Parquet for each page, and some members of gzip."""


def uninterrupted(files: Files, mortal: Ask | None = None, **how: int) -> tuple[Any, dict[str, Any]]:
    """What a dump writes that nothing stops, and its report."""
    assert (mortal(*files.command, **how)["status"] if mortal else run([*files.command])) == 0
    found = files.content(), files.report()
    assert files.names() == files.finished
    files.clear()
    return found


def started(files: Files, mortal: Ask, *, past: int = 30, **how: int) -> dict[str, Any]:
    """Begin a dump and kill it once it is past an id; what its checkpoint says."""
    for die_at in count(STEPS_TO_BEGIN, STEPS_OF_A_PAGE):
        files.clear()
        assert mortal(*files.command, die_at=die_at, rows_in_part=1, **how)["status"] == KILLED, "it was done before"
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
"""Lists with ids and without; each format, in Parquet with a part for each page. The first three are the unlikest."""


@pytest.mark.sampled
@pytest.mark.parametrize("part", slow_after(2, EVERY_PART))
@pytest.mark.parametrize(("entity", "ending"), KILLED_FORMATS)
def test_killed_at_every_step_of_every_page_nothing_differs(
    *, entity: str, ending: str, part: int, shop: Shop, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """A dump that dies again and again, at each step of each page, ends with what one has that is left alone."""
    pages = 3
    files = files_of(shop, *NARROW[entity], "--last", str(pages * 20 - 1), ending=ending)
    expected = uninterrupted(files, mortal, **SMALL)
    assert bool(expected[1]["misfits"]) == (entity == "orders" and ending in {"parquet", "db"})
    a_page = STEPS_OF_OTHER_PAGES.get(ending, STEPS_OF_A_PAGE)
    resumed: set[int] = set()
    for number in range(part, STEPS_TO_BEGIN + a_page, PARTS):
        # The first run dies at each step up to its first page; each other one page later, so that it gets somewhere.
        die_at, reached = number + 1, 0
        while (ended := mortal(*files.command, "--resume", die_at=die_at, **SMALL))["status"] == KILLED:
            saved = files.saved()
            before, reached = reached, saved["cursor"]["next_id"] if saved else 0
            resumed.add(reached)
            assert files.content() in (None, expected[0])
            die_at = STEPS_TO_RESUME[ending] + a_page + number % a_page + 1 if reached > before else die_at + 3
        assert ended["status"] == 0, ended
        assert (files.content(), files.report()) == expected
        assert files.names() == files.finished
        files.clear()
    assert len(resumed - {0}) == pages, f"the checkpoint of each page was resumed from: {resumed}"


@pytest.mark.sampled
@pytest.mark.parametrize("part", slow_after(2, EVERY_PART))
@pytest.mark.parametrize(("entity", "ending"), KILLED_FORMATS)
def test_killed_at_every_step_to_the_end_nothing_differs(
    *, entity: str, ending: str, part: int, shop: Shop, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """The last page, the renaming, the report and the last word of the checkpoint: what has its name is whole."""
    files = files_of(shop, *NARROW[entity], ending=ending)
    expected = uninterrupted(files, mortal, **SMALL)
    steps = mortal(*files.command, **SMALL)["steps"]
    named: set[bool] = set()
    for die_at in range(steps - STEPS_TO_END + part, steps + 1, PARTS):
        files.clear()
        assert mortal(*files.command, die_at=die_at, **SMALL)["status"] == KILLED
        for again in (2, 5, 7, STEPS_TO_BEGIN + 1, 0):
            ended = mortal(*files.command, "--resume", die_at=again, **SMALL)
            named.add(files.whole())
            assert files.content() in (None, expected[0])
            if ended["status"] == 0:
                break
        assert (files.content(), files.report()) == expected
        assert files.names() == files.finished
    assert named == {False, True} or part > 0, "the steps of the first part lie on both sides of the renaming"


@pytest.mark.slow
@pytest.mark.parametrize("kills", slow_after(1, [2, 10]))
@pytest.mark.parametrize(("entity", "ending"), slow_after(3, KILLED_FORMATS))
def test_killed_at_random_moments_and_resumed_nothing_differs(
    entity: str, ending: str, kills: int, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """SIGKILL comes from outside, in the middle of whatever goes on."""
    chance = random.Random(5)  # noqa: S311  a game
    with Shop(orders=120, latency=0.005) as slow:
        files = files_of(slow, entity, "--window", "10", "--last", "150", ending=ending)
        expected = uninterrupted(files, mortal, **SMALL)
        killed = 0
        while killed < kills:
            ended = mortal(*files.command, "--resume", die_after=chance.uniform(0.02, 0.5), **SMALL)
            killed += ended["status"] == KILLED
            if ended["status"] == 0:
                assert (files.content(), files.report()) == expected
                files.clear()
            else:
                assert ended["status"] == KILLED, ended
        assert mortal(*files.command, "--resume", **SMALL)["status"] == 0
        assert (files.content(), files.report()) == expected


@pytest.mark.parametrize("every", slow_after(1, [20, 3]))
@pytest.mark.parametrize("ending", ["parquet", "db"])
def test_what_was_finished_is_replaced_by_what_is_whole(
    ending: str, every: int, shop: Shop, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """Killed at any step of a night's dump over yesterday's, a folder or a table is one of the two, or can be made so.

    A folder has its name only behind the second of two steps; a table is yesterday's until the first page is in it.
    """
    files = files_of(shop, *NARROW["orders"], ending=ending)
    yesterday = files_of(shop, "orders", "--last", "30", ending=ending)
    old, expected = uninterrupted(yesterday)[0], uninterrupted(files)
    both = [*files.command, "--resume", "--overwrite"]
    for die_at in count(2, every):
        files.clear()
        assert run([*yesterday.command, "--out", str(files.out), "--overwrite"]) == 0
        ended = mortal(*both, die_at=die_at, rows_in_part=1)
        assert files.content() in (None, old, expected[0])
        if ended["status"] == 0:
            break
        assert run(both) == 0
        assert (files.content(), files.report()) == expected
        assert files.names() == files.finished
    assert die_at > 30


def test_resuming_what_never_began_begins(shop: Shop, files_of: Callable[..., Files]) -> None:
    """One command serves the first night and every other."""
    files = files_of(shop, "orders", "--last", "50")
    expected = uninterrupted(files)
    assert run([*files.command, "--resume"]) == 0
    assert (files.out.read_bytes(), files.report()) == expected


ENDINGS = ("ndjson", "csv", "csv.gz", "parquet", "db")


@pytest.mark.parametrize("ending", ENDINGS)
def test_resuming_what_is_finished_says_so(
    ending: str, shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked, nothing is touched but the report, which is the first one again."""
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


def test_the_report_says_again_how_records_in_full_came(shop: Shop, files_of: Callable[..., Files]) -> None:
    """Though nothing is asked that would tell."""
    files = files_of(shop, "orders", "--last", "10", "--details")
    assert run([*files.command]) == 0
    report = files.report()
    assert report["details"]["way"] == "xml-rpc"
    assert run([*files.command, "--resume"]) == 0
    assert files.report() == report


def test_what_was_left_out_is_named_again(files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]) -> None:
    """With the exit status of the first time."""
    with Shop(orders=60, profile="1.8.1.0", duplicate_address={7}) as shop:
        files = files_of(shop, "orders", "--last", "50")
        assert run([*files.command]) == 3
        report = files.report()
        capfd.readouterr()
        assert run([*files.command, "--resume"]) == 3
        assert "Skipped id 7 of orders" in capfd.readouterr().err
        assert files.report() == report


FINISHED_OTHERWISE = [
    (("customers",), "entity was orders and is now customers"),
    (("orders", "--last", "49"), "last was 50 and is now 49"),
    (("orders", "--first", "1"), "first was 0 and is now 1"),
    (("orders", "--where", "status:eq:new"), "where was nothing and is now status:eq:new"),
    (("orders", "--columns", "order_id,status"), "columns was nothing and is now order_id and status"),
    (("orders", "--password-hash"), "password_hash was False and is now True"),
    (("orders", "--details"), "details was False and is now True"),
    (("orders", "--since", "2024-05-01T10:00:00Z"), "since was  and is now 2024-05-01T10:00:00Z"),
    (("orders", "--since", "2h"), "since was  and is now 20"),
]
UNPACKED = [(("orders", "--typed"), "typed was False and is now True")]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_finished_dump_of_something_else_is_refused(
    ending: str, shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """Each part of the question that differs is named, the shop included; nothing is touched, the report neither."""
    files = files_of(shop, "orders", "--last", "50", ending=ending)
    assert run([*files.command]) == 0
    before = {path: path.read_bytes() for path in files.folder.rglob("*") if path.is_file()}
    ends = files.command[4:]
    cases = [*FINISHED_OTHERWISE, *(UNPACKED if ending[-2:] not in {"et", "db"} else [])]
    others = {"parquet": "ndjson", "db": ""}
    if other := others.get(ending, "parquet" if ending != "csv.gz" else "ndjson"):
        cases.append((("orders", "--format", other), ""))
    with Shop(orders=60) as elsewhere:
        commands = [
            (("dump", "--last", "50", *more, *ends), words)
            for more, words in cases
            if ending != "db" or more[0] == "orders"
        ]
        there = [one.replace(shop.url, elsewhere.url) for one in files.command]
        commands.append((tuple(there), f"shop was {shop.url} and is now {elsewhere.url}"))
        for command, words in commands:
            capfd.readouterr()
            if ending == "db" and "--since" in command:
                continue  # what changed is put into the table
            assert run([*command, "--resume"]) == 2, command
            err = capfd.readouterr().err
            assert words in err, command
            assert {path: path.read_bytes() for path in files.folder.rglob("*") if path.is_file()} == before, command
            assert "--overwrite" in err or "--format" in command
    assert run([*files.command, "--resume"]) == 0


def test_the_same_shop_by_another_address_is_asked_where_its_calls_go(
    shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """What counts is the address in its WSDL; only where the address was given as before is it known without a call."""
    files = files_of(shop, "orders", "--last", "50")
    assert run([*files.command]) == 0
    spelled = [one.replace(shop.url, f"{shop.url}?wsdl=1") for one in files.command]
    assert run([*spelled, "--resume"]) == 0
    longer = [one.replace(shop.url, f"{shop.url.rstrip('/')}/?wsdl=1") for one in files.command]
    assert run([*longer, "--resume"]) == 0
    assert capfd.readouterr().err.count("is already complete: ") == 2


@pytest.mark.parametrize("ending", ["ndjson", "db"])
def test_a_shop_whose_address_is_spelled_otherwise_now(
    ending: str, mortal: Ask, shop: Shop, files_of: Callable[..., Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/index.php` goes from where calls go, as with another setting of the shop: it is the same shop."""
    files = files_of(shop, *NARROW["orders"], ending=ending)
    expected = uninterrupted(files)
    started(files, mortal)
    monkeypatch.setattr("magento_pager.fake.server.SOAP_PATH", "/api/v2_soap/")
    moved = [one.replace("/index.php", "") for one in files.command]
    assert run([*moved, "--resume"]) == 0
    assert (files.content(), files.report()["rows"]) == (expected[0], expected[1]["rows"])


def test_a_state_of_a_shop_whose_address_is_spelled_otherwise_now(
    shop: Shop, files_of: Callable[..., Files], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run goes on from the last one, and the state has one list."""
    files = files_of(shop, "customers")
    command = [*files.command[:-4], "--state", str(files.folder / "state.json"), "--report", str(files.report_path)]
    assert run([*command, "--out", str(files.folder / "one-{time}.ndjson")]) == 0
    monkeypatch.setattr("magento_pager.fake.server.SOAP_PATH", "/api/v2_soap/index/")
    moved = [one.replace("/index.php", "") for one in command]
    assert run([*moved, "--out", str(files.folder / "two-{time}.ndjson")]) == 0
    assert files.report()["asked"]["since"]
    assert len(json.loads((files.folder / "state.json").read_bytes())["lists"]) == 1


@pytest.mark.parametrize("ending", ["ndjson", "csv", "csv.gz", "parquet"])
def test_a_finished_file_that_nobody_knows_is_refused(
    ending: str, shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """Without its checkpoint, with one of another version, or with another length than it had."""
    files = files_of(shop, "orders", "--last", "50", ending=ending)
    assert run([*files.command]) == 0
    kept = files.mark.read_bytes()
    for data, words in (
        (b"", f"without the {files.mark.name} that tells which dump made it"),
        (kept.replace(b'"version": 3', b'"version": 2'), "is a checkpoint of version 2"),
        (kept[:-9], "is damaged or cut short"),
        (kept, "was changed after its dump finished"),
    ):
        files.mark.write_bytes(data)
        if not data:
            files.mark.unlink()
        if data == kept:
            longer = files.out / "part-00000.parquet" if ending == "parquet" else files.out
            longer.write_bytes(longer.read_bytes() + b"more")
        capfd.readouterr()
        assert run([*files.command, "--resume"]) == 2
        err = capfd.readouterr().err
        assert words in err
        assert "--overwrite" in err
    assert run([*files.command, "--resume", "--overwrite"]) == 0
    assert run([*files.command, "--resume"]) == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_finished_output_that_was_taken_away_is_dumped_again(
    ending: str, shop: Shop, files_of: Callable[..., Files]
) -> None:
    """As a loader does that moves each night's file; a checkpoint that stayed is no reason to do nothing."""
    files = files_of(shop, "orders", "--last", "50", ending=ending)
    expected = uninterrupted(files)
    assert run([*files.command]) == 0
    for words in ([], ["--resume"]):
        if ending == "db":
            with closing(sqlite3.connect(files.out)) as database:
                database.execute("DROP TABLE orders")
        else:
            shutil.rmtree(files.out) if ending == "parquet" else files.out.unlink()
        assert run([*files.command, *words]) == 0
        assert (files.content(), files.report()) == expected


def test_what_replaces_a_finished_file_leaves_it_whole_until_its_first_page(
    shop: Shop, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """Killed before that, the file and its checkpoint are still those of yesterday."""
    files = files_of(shop, *NARROW["orders"])
    yesterday = files_of(shop, "orders", "--last", "30")
    asked = [one.replace(str(yesterday.folder), str(files.folder)) for one in yesterday.command]
    for word in ("--overwrite", "--resume"):
        for die_at in count(1, 4):
            files.clear()
            assert run(asked) == 0
            old = files.out.read_bytes(), files.mark.read_bytes()
            ended = mortal(*files.command, "--overwrite", word, die_at=die_at)
            assert ended["status"] == KILLED
            if files.mark.read_bytes() != old[1]:
                break
            assert files.out.read_bytes() == old[0]
            assert run([*asked, "--resume"]) == 0
        assert die_at > STEPS_TO_BEGIN


def test_an_unfinished_dump_is_not_thrown_away_unasked(
    shop: Shop, files_of: Callable[..., Files], mortal: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    """Hours of work need a word: --resume or --overwrite."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    expected = uninterrupted(files)
    saved = started(files, mortal)
    capfd.readouterr()
    assert run([*files.command]) == 2
    assert "Resume it with --resume, or start over with --overwrite" in capfd.readouterr().err
    assert files.saved() == saved
    assert run([*files.command, "--overwrite"]) == 0
    assert (files.out.read_bytes(), files.report()) == expected


def test_both_words_go_on_with_the_unfinished_and_replace_the_finished(
    shop: Shop, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """--resume --overwrite is for every night: the old file stays until the new one is whole."""
    files = files_of(shop, *NARROW["orders"])  # with a strategy that needs no rows for a probe
    expected = uninterrupted(files)
    files.out.write_bytes(b"yesterday\n")  # of an older version, which left no checkpoint
    both = [*files.command, "--resume", "--overwrite"]
    assert mortal(*both, die_at=STEPS_TO_BEGIN + 2 * STEPS_OF_A_PAGE)["status"] == KILLED
    assert files.out.read_bytes() == b"yesterday\n"
    saved = files.saved()
    assert saved is not None
    assert run(both) == 0
    assert (files.out.read_bytes(), files.report()) == expected
    last = max(place for place, call in enumerate(shop.log) if call.operation == "login")
    rows = sum(call.rows for call in shop.log[last:])  # before it may be the page that the killed run was waiting for
    assert rows == expected[1]["rows"] - saved["counters"]["rows"], "it went on"


def test_without_a_file_nothing_can_be_resumed(capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output cannot be cut back."""
    for option in ("--resume", "--overwrite"):
        assert run(["dump", option]) == 2
        assert "needs --out" in capfd.readouterr().err
    assert run(["dump", "--out", "x", "--lookback", "5"]) == 2
    assert "--lookback needs --resume" in capfd.readouterr().err


def cut(files: Files) -> None:
    """Leave less of the part than its checkpoint counts."""
    files.part.write_bytes(files.part.read_bytes()[:100])


def flip(files: Files) -> None:
    """Change a byte of the checkpoint."""
    data = bytearray(files.mark.read_bytes())
    at = data.index(b'"offset"') + len('"offset": ')
    data[at] ^= 1
    files.mark.write_bytes(data)


DAMAGES: list[tuple[Callable[[Files], object], str]] = [
    (lambda files: files.part.unlink(), "is missing, but its checkpoint covers"),
    (cut, "has only 100 bytes, but its checkpoint covers"),
    (flip, "is damaged: its checksum is wrong"),
    (lambda files: files.mark.write_bytes(files.mark.read_bytes()[:200]), "is damaged or cut short"),
    (lambda files: files.mark.write_bytes(b""), "is damaged or cut short"),
    (lambda files: files.mark.write_text('{"rows": 5}'), "is not a checkpoint of magento-pager"),
    (
        lambda files: files.mark.write_text(files.mark.read_text().replace('"version": 3', '"version": 4', 1)),
        "is a checkpoint of version 4",
    ),
    (
        lambda files: files.mark.write_text(files.mark.read_text().replace('"version": 3', '"version": 2', 1)),
        "is a checkpoint of version 2",
    ),
]


def test_what_is_damaged_is_refused_and_left_as_it_is(
    shop: Shop, files_of: Callable[..., Files], mortal: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    """The message says what is wrong and what to do; --overwrite is the way out."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    started(files, mortal)
    kept = {one: one.read_bytes() for one in (files.part, files.mark)}
    for damage, words in DAMAGES:
        for one, data in kept.items():
            one.write_bytes(data)
        damage(files)
        found = {one.name: one.read_bytes() for one in files.folder.iterdir()}
        capfd.readouterr()
        assert run([*files.command, "--resume"]) == 2
        (err,) = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("warning")]
        assert words in err
        assert "--overwrite" in err
        assert {one.name: one.read_bytes() for one in files.folder.iterdir()} == found
    assert run([*files.command, "--overwrite"]) == 0


OTHERWISE = [
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


def changed_in_place(path: Path, at: int) -> None:
    """Change a byte, but not the length."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def counted(files: Files, offset: int) -> dict[Path, int]:
    """How many bytes of each file count; what is behind them was written after the checkpoint."""
    if files.part.is_dir():
        return {path: path.stat().st_size for path in sorted(files.part.iterdir())[:offset]}
    if files.part.name != "rows.csv.gz.part":
        return {files.part: offset}
    text = end = 0
    for more, ended in members(files.part):
        text, end = text + len(more), ended
        if text >= offset:
            break
    return {files.part: end, files.part.with_name(files.part.name + ".tail"): max(0, offset - text)}


@pytest.mark.slow
@pytest.mark.parametrize("places", slow_after(1, [3, 20]))
@pytest.mark.parametrize("ending", ["ndjson", "csv", "csv.gz", "parquet"])
def test_a_part_that_was_changed_in_place_is_refused(  # noqa: PLR0917  fixtures
    ending: str, places: int, shop: Shop, files_of: Callable[..., Files], mortal: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    """One byte anywhere in what counts is enough; nothing is touched. What lies behind that is thrown away anyhow."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99", ending=ending)
    expected = uninterrupted(files)
    for how in ({}, {"text_in_member": 4000}) if ending == "csv.gz" else ({},):
        files.clear()
        saved = started(files, mortal, **how)
        for path, counts in counted(files, saved["offset"]).items():
            kept = path.read_bytes()
            for at in {*range(0, counts, max(1, counts // places)), 4 % max(1, counts)} if counts else ():
                changed_in_place(path, at)
                before = {one: one.read_bytes() for one in files.folder.rglob("*") if one.is_file()}
                capfd.readouterr()
                assert run([*files.command, "--resume"]) == 2, (path, at)
                err = capfd.readouterr().err
                assert "was changed after" in err or "has only" in err
                assert "--overwrite" in err
                assert {one: one.read_bytes() for one in files.folder.rglob("*") if one.is_file()} == before
                path.write_bytes(kept)
        assert run([*files.command, "--resume"]) == 0
        assert (files.content(), files.report()) == expected or ending == "csv.gz"


def test_a_table_that_is_not_what_its_checkpoint_counts_is_refused(
    shop: Shop, files_of: Callable[..., Files], mortal: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rows that are gone, a table that is gone, a database that is damaged."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99", ending="db")
    expected = uninterrupted(files)
    started(files, mortal)
    kept = files.out.read_bytes()
    for statement, words in (
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
        assert words in err
        assert "--overwrite" in err
        files.out.write_bytes(kept)
    assert run([*files.command, "--resume"]) == 0
    assert (files.content(), files.report()) == expected


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["ndjson.gz", "csv.gz"])
@pytest.mark.parametrize("width", [("--window", "15"), ("--rows-per-call", "10")], ids=["window", "automatic"])
def test_packed_text_has_the_same_bytes_wherever_it_was_stopped(
    width: tuple[str, str], ending: str, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """Killed at every page, and resumed in windows of other widths: members are of text and not of pages."""
    with Shop(orders=100) as shop:
        files = files_of(shop, "orders", "--last", "120", "--strategy", "prefix", ending=ending)
        found = set()
        for other in ("--window", "40"), ():  # what is written knows nothing of pages
            files.clear()
            assert mortal(*files.command, *other, text_in_member=20_000)["status"] == 0
            found.add(files.content())
        (expected,) = found
        assert len(list(members(files.out))) > 3
        files.clear()
        reached, stops, die_at = 0, 0, STEPS_TO_BEGIN
        while (ended := mortal(*files.command, *width, "--resume", die_at=die_at, text_in_member=20_000))[
            "status"
        ] == KILLED:
            saved = files.saved()
            before, reached = reached, saved["cursor"]["next_id"] if saved else 0
            stops += reached > before
            die_at = STEPS_TO_BEGIN + 10 if reached > before else die_at + 7
        assert ended["status"] == 0, ended
        assert files.content() == expected
        assert stops > 3


def test_another_question_is_no_continuation(
    shop: Shop, files_of: Callable[..., Files], mortal: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each part that differs is named with what it was and what it is; a strategy or a window may change."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    expected = uninterrupted(files)
    saved = started(files, mortal)
    ends = files.command[6:]
    for arguments, words in OTHERWISE:
        capfd.readouterr()
        assert run(["dump", *arguments, *ends, "--resume"]) == 2
        assert words in capfd.readouterr().err
    with Shop(orders=300) as other:
        elsewhere = [one.replace(shop.url, other.url) for one in files.command]
        assert run([*elsewhere, "--resume"]) == 2
        assert f"shop was {shop.url} and is now {other.url}" in capfd.readouterr().err
    assert files.saved() == saved
    assert run(["dump", "orders", "--last", "99", "--strategy", "prefix", "--window", "40", *ends, "--resume"]) == 0
    assert files.out.read_bytes() == expected[0]
    assert files.report()["digest"] == expected[1]["digest"]


@pytest.mark.parametrize("ending", ["ndjson", "parquet", "db"])
def test_two_dumps_do_not_write_one_output(
    ending: str, shop: Shop, files_of: Callable[..., Files], mortal: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run that overtakes the last one is turned away, and harms nothing."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99", ending=ending)
    expected = uninterrupted(files)
    saved = started(files, mortal)
    held = os.open(files.out if ending == "db" else files.part, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        for word in ("--resume", "--overwrite"):
            capfd.readouterr()
            assert run([*files.command, word]) == 1
            assert "Another dump is writing" in capfd.readouterr().err
        assert files.saved() == saved
    finally:
        os.close(held)
    assert run([*files.command, "--resume"]) == 0
    assert (files.content(), files.report()) == expected


def test_a_dump_that_fails_before_its_first_page_leaves_nothing(
    files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str]
) -> None:
    """The same command works once the cause is gone; the report says what it was."""
    with Shop(orders=50, denied={"orders"}) as shop:
        files = files_of(shop, "orders")
        assert run([*files.command]) == 1
        assert "--resume" not in capfd.readouterr().err
        assert files.names() == {files.report_path.name}
        report = files.report()
        assert (report["complete"], report["rows"]) == (False, 0)
        assert "missing right" in report["error"]
        shop.change(denied=())
        assert run([*files.command]) == 0


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 1)], ids=["SIGINT", "SIGTERM", "failure"]
)
def test_what_stops_a_dump_says_how_to_go_on(
    number: signal.Signals | None, status: int, files_of: Callable[..., Files]
) -> None:
    """The line on standard error ends with a command that does it, and holds no secret."""
    with Shop(orders=300, latency=0.1) as shop:
        files = files_of(shop, "orders", "--window", "10", "--last", "99", "--where", "store_id:neq:7 7")
        shop.change(latency=0.0)
        expected = uninterrupted(files)
        shop.change(latency=0.1)
        command = [sys.executable, "-m", "magento_pager", *files.command, "--header", "X-Pass: letmein"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as dumping:  # noqa: S603  our own command
            while not files.mark.exists():
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
        again = shlex.split(line.partition("magento-pager dump ")[2])
        again[again.index("--key") + 1] = shop.key
        del again[again.index("--header") : again.index("--header") + 2]
        assert run(["dump", *again]) == 0
        assert (files.out.read_bytes(), files.report()) == expected


def test_a_full_disk_ends_a_dump_that_can_be_resumed(shop: Shop, files_of: Callable[..., Files], mortal: Ask) -> None:
    """What the disk took before is safe; the rest comes once there is room."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    expected = uninterrupted(files)
    ended = mortal(*files.command, file_limit=len(expected[0]) * 2 // 3)
    assert ended["status"] == 1
    line = ended["stderr"].splitlines()[-1]
    assert "the output could not be written: File too large" in line
    assert "--resume" in line
    saved = files.saved()
    assert saved is not None
    assert 0 < saved["counters"]["rows"] < expected[1]["rows"]
    assert files.report()["rows"] == saved["counters"]["rows"]
    assert run([*files.command, "--resume"]) == 0
    assert (files.out.read_bytes(), files.report()) == expected


def test_a_disk_without_room_for_a_page_is_left_as_it_was(
    shop: Shop, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """What does not count is not kept."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    ended = mortal(*files.command, file_limit=2000)
    assert (ended["status"], files.names()) == (1, {files.report_path.name})
    assert "--resume" not in ended["stderr"]


def test_a_full_standard_output(shop: Shop) -> None:
    """One line and exit status 1, without a complaint of Python's behind it."""
    command = [sys.executable, "-m", "magento_pager", "dump", "--url", shop.url, "--user", shop.user]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(  # noqa: S603  our own command
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "MAGENTO_API_KEY": shop.key},
        )
    assert ended.returncode == 1
    assert ended.stderr == "magento-pager: the output could not be written: No space left on device\n"


def test_places_that_cannot_be_written(
    shop: Shop, files_of: Callable[..., Files], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A folder that is read-only, a folder that is not there, a report that cannot be had: known before any row."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    if os.access(closed, os.W_OK):
        closed = Path("/sys")  # root may write where it is forbidden, but not there
    for name, words in (
        (f"{closed}/rows.ndjson", "Permission denied"),
        ("/nonexistent/rows.ndjson", "No such file or directory"),
        ("/dev/null", "is not a regular file"),
    ):
        command = [*files_of(shop, "orders").command]
        command[command.index("--out") + 1] = name
        assert run([*command, "--overwrite"]) in {1, 2}
        assert words in capfd.readouterr().err
    command[command.index("--out") + 1] = str(tmp_path / "rows.ndjson")
    command[command.index("--report") + 1] = "/nonexistent/report.json"
    shop.clear_log()
    assert run(command) == 1
    assert "/nonexistent/report.json" in capfd.readouterr().err
    assert shop.log == ()
    command[command.index("--report") + 1] = command[command.index("--out") + 1]
    assert run(command) == 2


def test_rows_left_out_are_named_and_the_status_is_three(
    shop: Shop, files_of: Callable[..., Files], mortal: Ask, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was quarantined or repaired before an interruption is in the last word and in the report."""
    files = files_of(shop, "orders", "--window", "25", "--last", "99")
    started(files, mortal)
    saved = load(files.mark)
    save(replace(saved, quarantined=(Quarantined(4, "fault 1:\nsame id"),), repaired=(5, 6)), files.mark)
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
    ("poison", "options", "status"),
    [
        ({"duplicate_address": {7, 44}}, (), 3),
        ({"control_characters": {7, 44}}, (), 3),
        ({"control_characters": {7, 44}}, ("--repair", "control-characters"), 0),
    ],
    ids=["two addresses", "control characters", "repaired"],
)
def test_quarantine_and_repairs_survive_kills(
    poison: dict[str, set[int]], options: tuple[str, ...], status: int, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """A dump of a shop with two rows that break their pages, killed after the first of them and gone on with."""
    with Shop(orders=100, profile="1.8.1.0", **poison) as shop:  # type: ignore[arg-type]  # knobs
        files = files_of(shop, "orders", "--window", "20", "--last", "99", *options)
        assert run([*files.command]) == status
        expected = files.out.read_bytes(), files.report()
        named = [one["id"] for one in expected[1]["quarantined"]] if status else expected[1]["repaired"]
        assert named == [7, 44]
        there = [number for number in shop.database.ids("orders") if number < 100]
        assert len(files.rows()) == len(there) - 2 * (status == 3)
        started(files, mortal, past=20)
        assert mortal(*files.command, "--resume", die_at=STEPS_TO_BEGIN + STEPS_OF_A_PAGE)["status"] == KILLED
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
    entity: str, lookback: int, ending: str, files_of: Callable[..., Files], mortal: Ask
) -> None:
    """With --lookback a row that appeared below the cursor is in the file, once; without it is not; none is twice."""
    name, number = LATE[entity]
    with Shop(orders=300) as shop:
        shop.database.delete(entity, number)
        files = files_of(shop, entity, "--window", "20", "--last", "199", ending=ending)
        assert started(files, mortal, past=number)["cursor"]["next_id"] == 80
        shop.database.insert(entity, {"entity_id": number, "increment_id": "late"})
        looking = ["--lookback", str(lookback)] if lookback else []
        for die_at in (30, 0):  # the first time it dies in the middle, and looks back twice
            ended = mortal(*files.command, "--resume", *looking, die_at=die_at, rows_in_part=1)
            assert ended["status"] == (KILLED if die_at else 0), ended
        rows = files.rows()
        assert len({row[name] for row in rows}) == len(rows), "none is twice"
        late = [row for row in rows if row["increment_id"] == "late"]
        assert len(late) == bool(lookback)
        there = [one for one in shop.database.ids(entity) if one < 200]
        assert len(rows) == files.report()["rows"] == len(there) - (not lookback)
        if lookback:
            assert rows[-1] not in late, "it stands where it was found, in a file not in order of id"
            digest = files.report()["digest"]
            assert run([*files.command, "--overwrite"]) == 0
            assert files.report()["digest"] == digest, "the digest knows no order"
