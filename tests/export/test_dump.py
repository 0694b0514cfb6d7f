"""Dumps from the library: what the command line does, by one call."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from memory_source import MemorySource

import magento_pager
from magento_pager import NoStrategyError, Output, Paginator, ProbeReport, Progress, Range, TransportError, dump
from magento_pager.cli import run
from magento_pager.export.dumping import Task
from magento_pager.export.jobs import Job
from magento_pager.walk.calls import Calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from magento_pager import Pager
    from magento_pager.fake import Shop


@pytest.fixture
def pager(shop: Shop) -> Iterator[Pager]:
    """Logged in there."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        yield pager


class Rows(Output):
    """An output of one's own: rows in memory."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, rows: Sequence[dict[str, Any]]) -> tuple[()]:
        """Take the rows of a page."""
        self.rows += rows
        return ()


class Plain:
    """One that inherits nothing, and goes on with what was kept."""

    path: Path | None = None
    part: Path | None = None
    names: tuple[Path, ...] = ()

    def __init__(self, saved: Any = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.saved = saved
        self.finished = False
        self.closed = 0
        self.position = 0

    def __len__(self) -> int:
        """Count the rows: an output is one as well while it is empty, and so false."""
        return len(self.rows)

    def begin(self, start: Any) -> Any:
        """Go on with what was kept."""
        return self.saved or start

    def write(self, rows: Sequence[dict[str, Any]]) -> tuple[()]:
        """Take the rows of a page."""
        self.rows += rows
        return ()

    def keep(self, checkpoint: Any) -> None:
        """Note what is safe."""
        self.saved = checkpoint

    def flush(self) -> None:
        """Nothing waits."""

    publish = settle = forget = flush

    def close(self) -> None:
        """Note it."""
        self.closed += 1

    def tail(self, offset: int) -> Iterator[dict[str, Any]]:
        """Give all rows."""
        return iter(self.rows[offset:])


@pytest.mark.parametrize("name", ["orders.ndjson", "orders.csv.gz", "orders.parquet", "shop.sqlite"])
def test_the_library_writes_what_the_command_line_writes(
    shop: Shop,
    pager: Pager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    *,
    name: str,
) -> None:
    """The same bytes of rows, and the same report but for the time it took; each page is told."""
    told: list[Progress] = []
    paginator = pager.orders(window=50, where=[("status", "neq", "x:y")])
    report = dump(paginator, tmp_path / name, report=tmp_path / "report.json", progress=told.append)
    for variable, value in (("URL", shop.url), ("API_USER", shop.user), ("API_KEY", shop.key)):
        monkeypatch.setenv(f"MAGENTO_{variable}", value)
    (tmp_path / "cli").mkdir()
    other = ["--out", str(tmp_path / "cli" / name), "--report", str(tmp_path / "cli.json")]
    assert run(["dump", "--window", "50", "--where", "status:neq:x:y", *other]) == 0
    ours, theirs = (json.loads((tmp_path / one).read_text()) for one in ("report.json", "cli.json"))
    for one in (ours, theirs):
        del one["seconds"], one["began"], one["bytes"]
    assert ours == theirs
    assert ours["rows"] == report.rows == told[-1].rows > 0
    assert (report.complete, report.published, report.path) == (True, True, tmp_path / name)
    assert capfd.readouterr().err.partition(" to ")[0] == str(report).partition(" to ")[0]
    if name.startswith("orders.") and "parquet" not in name:
        assert (tmp_path / name).read_bytes() == (tmp_path / "cli" / name).read_bytes()
    assert dump(paginator, tmp_path / name, resume=True).already
    assert run(["dump", "--window", "50", "--where", "status:neq:x:y", *other, "--resume"]) == 0


def test_what_stops_a_dump_tells_what_is_safe(pager: Pager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error carries the report, the report file has it, and resuming brings the rest, each row once."""
    paginator = pager.orders(window=50)
    whole = dump(paginator, tmp_path / "whole.ndjson")
    pages = Paginator.pages

    def two(self: Paginator, resume: Any = None) -> Iterator[Any]:
        yield from islice(pages(self, resume), 2)
        raise TransportError("no answer")

    monkeypatch.setattr(Paginator, "pages", two)
    with pytest.raises(TransportError) as stopped:
        dump(paginator, tmp_path / "orders.ndjson", report=tmp_path / "report.json")
    report = stopped.value.dumped
    assert "Not complete: " in str(report)
    assert report is not None
    assert (report.complete, report.error, report.part) == (False, "no answer", tmp_path / "orders.ndjson.part")
    assert (tmp_path / "report.json").read_text() == json.dumps(report.as_json(), indent=2) + "\n"
    assert 0 < report.rows < whole.rows
    monkeypatch.undo()
    with pytest.raises(FileExistsError, match="unfinished"):
        dump(paginator, tmp_path / "orders.ndjson")
    assert dump(paginator, tmp_path / "orders.ndjson", resume=True).rows == whole.rows
    assert (tmp_path / "orders.ndjson").read_bytes() == (tmp_path / "whole.ndjson").read_bytes()


def test_an_output_of_ones_own(pager: Pager) -> None:
    """It gets every row, with the columns and values that are asked for."""
    rows = Rows()
    report = dump(pager.orders(window=50), rows, columns=("order_id", "grand_total"), typed=True)
    assert [row["order_id"] for row in rows.rows] == [int(row["order_id"]) for row in pager.orders()]
    assert {frozenset(row) for row in rows.rows} == {frozenset({"order_id", "grand_total"})}
    assert (report.complete, report.rows, report.path) == (True, len(rows.rows), None)
    typed = Rows()
    assert str(dump(pager.orders(typed=True), typed).checkpoint.digest) == str(report.checkpoint.digest)
    assert isinstance(typed.rows[0]["order_id"], int)


def test_an_output_that_inherits_nothing_goes_on() -> None:
    """Any object with these methods will do, and any list."""
    paginator = Paginator(MemorySource(range(30)), Range(), "id", operation="list", window=10, last=29)
    first = Plain()
    stop = RuntimeError("enough")

    def stopping(_: Progress) -> None:
        raise stop

    with pytest.raises(RuntimeError, match="enough"):
        dump(paginator, first, progress=stopping, overwrite=True)
    assert first.closed == 1
    rest = Plain(first.saved)
    report = dump(paginator, rest)
    assert [int(row["id"]) for row in first.rows + rest.rows] == list(range(30))
    assert report.rows == 30


def test_what_waits_is_safe_before_the_session_is_ended() -> None:
    """To log out may take longer than whoever sends signals is willing to wait."""
    paginator, output = (
        Paginator(MemorySource(range(30)), Range(), "id", operation="list", window=10, last=29),
        Plain(None),
    )
    flushed = []

    def stopping(_: Progress) -> None:
        raise RuntimeError("enough")

    output.flush = lambda: flushed.append(output.saved)  # type: ignore[method-assign]
    with Task(Job(magento_pager.LISTS["orders"], output)) as task:
        with pytest.raises(RuntimeError, match="enough") as stopped:
            task.run(paginator, stopping)
        assert len(flushed) == 1
        assert stopped.value.dumped.rows == 10  # type: ignore[attr-defined]


def test_increments_with_a_state(shop: Shop, pager: Pager, tmp_path: Path) -> None:
    """The first run brings all, the next one what changed, each into a file of its own, or into one table."""
    into, state = tmp_path / "shop.sqlite", tmp_path / "state.json"
    whole = dump(pager.orders(), into, state=state)
    assert whole.rows == 200
    next_one = dump(pager.orders(), into, state=state, late=timedelta())
    assert next_one.rows < whole.rows
    assert next_one.checkpoint.fingerprint.since
    with pytest.raises(ValueError, match=r"Use a new file for each run"):
        dump(pager.orders(), tmp_path / "orders.ndjson", state=tmp_path / "other.json")
    report = dump(pager.orders(), tmp_path / "orders-{time}.ndjson", state=tmp_path / "other.json")
    assert report.path is not None
    assert report.path.name.startswith("orders-2")
    with pytest.raises(ValueError, match=r"Remove updated_since \(--since\)"):
        dump(pager.orders(updated_since=timedelta(days=1)), tmp_path / "a.db", state=tmp_path / "third.json")
    assert shop.log


def test_a_column_that_nobody_knows_is_a_warning(pager: Pager, tmp_path: Path) -> None:
    """It is empty unless the shop sends it."""
    with pytest.warns(UserWarning, match="sttaus is not a known column of orders"):
        dump(pager.orders(last=5), tmp_path / "orders.csv", columns=("order_id", "sttaus"))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"lookback": 5}, r"lookback \(--lookback\) needs resume=True \(--resume\)\. Set both"),
    ({"late": timedelta()}, r"late \(--late\) needs state \(--state\)\. Set that as well"),
    ({"state": "s", "resume": True}, r"state \(--state\) resumes by itself\. Remove resume=True \(--resume\)"),
    ({"state": "s"}, r"overwrite=True \(--overwrite\) keeps only the rows of the last run"),
    ({"format": "csv", "columns": ("status",), "resume": True, "lookback": 5}, r"Add it to columns \(--columns\)"),
]


@pytest.mark.parametrize(("options", "words"), WRONG)
def test_what_does_not_go_together_is_said_in_python_and_for_the_command_line(
    pager: Pager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    """Whoever calls the library reads what to pass, before anything is touched; the command line says its own."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        dump(pager.orders(), "orders.csv", **options)
    with pytest.raises(ValueError, match=r"overwrite=True \(--overwrite\) needs path \(--out\)"):
        dump(pager.orders(), None, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_the_lists_are_public() -> None:
    """Their columns and what they hold can be looked up."""
    spec = magento_pager.LISTS["orders"]
    assert isinstance(spec, magento_pager.ListSpec)
    assert (spec.key, spec.kind("grand_total")) == ("order_id", "decimal")


def test_a_list_that_cannot_be_paged_keeps_its_evidence(
    pager: Pager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stops a dump tells what is safe beside what it has to say itself."""
    evidence = ProbeReport("salesOrderList", None, 0, 0, ())

    def failing(*_: object, **__: object) -> None:
        raise NoStrategyError("none holds", report=evidence)

    monkeypatch.setattr(Calls, "pages", failing)
    with pytest.raises(NoStrategyError) as stopped:
        dump(pager.orders(first=1), tmp_path / "orders.ndjson")
    assert stopped.value.report is evidence
    assert stopped.value.dumped is not None
    assert stopped.value.dumped.error == "none holds"


def test_standard_output_without_a_descriptor_is_named(pager: Pager, capsys: pytest.CaptureFixture[str]) -> None:
    """In a notebook rows cannot be written there: the message says what to do instead, and nothing is lost."""
    with pytest.raises(ValueError, match=r"Standard output is not a file here, for example in a notebook\. Set path"):
        dump(pager.orders(), None)
    assert not capsys.readouterr().out
