"""Dumps from Python: one call does what the command line does."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from conftest import set_environment
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
    """Return a pager that is logged in."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        yield pager


class Rows(Output):
    """A custom output: rows in memory."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, rows: Sequence[dict[str, Any]]) -> tuple[()]:
        """Add the rows of a page."""
        self.rows += rows
        return ()


class Plain:
    """An output that inherits nothing, and resumes from what was kept."""

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
        """Return the number of rows: an empty output is false, and must still be used."""
        return len(self.rows)

    def begin(self, start: Any) -> Any:
        """Return the checkpoint that was kept."""
        return self.saved or start

    def write(self, rows: Sequence[dict[str, Any]]) -> tuple[()]:
        """Add the rows of a page."""
        self.rows += rows
        return ()

    def keep(self, checkpoint: Any) -> None:
        """Keep the checkpoint."""
        self.saved = checkpoint

    def flush(self) -> None:
        """Do nothing: no rows wait to be written."""

    publish = settle = forget = flush

    def close(self) -> None:
        """Count the calls."""
        self.closed += 1

    def tail(self, offset: int) -> Iterator[dict[str, Any]]:
        """Yield all rows from an offset on."""
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
    """The same rows as bytes, and the same report except for times; `progress` is called after each page."""
    pages: list[Progress] = []
    paginator = pager.orders(window=50, where=[("status", "neq", "x:y")])
    report = dump(paginator, tmp_path / name, report=tmp_path / "report.json", progress=pages.append)
    set_environment(monkeypatch, shop)
    (tmp_path / "cli").mkdir()
    files = ["--out", str(tmp_path / "cli" / name), "--report", str(tmp_path / "cli.json")]
    assert run(["dump", "--window", "50", "--where", "status:neq:x:y", *files]) == 0
    by_library, by_command = (json.loads((tmp_path / file).read_text()) for file in ("report.json", "cli.json"))
    for content in (by_library, by_command):
        del content["seconds"], content["began"], content["bytes"]
    assert by_library == by_command
    assert by_library["rows"] == report.rows == pages[-1].rows > 0
    assert (report.complete, report.published, report.path) == (True, True, tmp_path / name)
    assert capfd.readouterr().err.partition(" to ")[0] == str(report).partition(" to ")[0]
    if name.startswith("orders.") and "parquet" not in name:
        assert (tmp_path / name).read_bytes() == (tmp_path / "cli" / name).read_bytes()
    assert dump(paginator, tmp_path / name, resume=True).already
    assert run(["dump", "--window", "50", "--where", "status:neq:x:y", *files, "--resume"]) == 0


def test_an_error_that_stops_a_dump_has_the_report(
    pager: Pager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report is in the error and in its file, and resuming writes the other rows, each once."""
    paginator = pager.orders(window=50)
    whole = dump(paginator, tmp_path / "whole.ndjson")
    pages = Paginator.pages

    def two_pages(self: Paginator, resume: Any = None) -> Iterator[Any]:
        yield from islice(pages(self, resume), 2)
        raise TransportError("no answer")

    monkeypatch.setattr(Paginator, "pages", two_pages)
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


def test_a_custom_output_receives_every_row(pager: Pager) -> None:
    """Rows have the selected columns, and typed values on request."""
    rows = Rows()
    report = dump(pager.orders(window=50), rows, columns=("order_id", "grand_total"), typed=True)
    assert [row["order_id"] for row in rows.rows] == [int(row["order_id"]) for row in pager.orders()]
    assert {frozenset(row) for row in rows.rows} == {frozenset({"order_id", "grand_total"})}
    assert (report.complete, report.rows, report.path) == (True, len(rows.rows), None)
    typed = Rows()
    assert str(dump(pager.orders(typed=True), typed).checkpoint.digest) == str(report.checkpoint.digest)
    assert isinstance(typed.rows[0]["order_id"], int)


def test_a_custom_output_needs_no_base_class() -> None:
    """Any object with these methods can be resumed, for any list."""
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


def test_the_output_is_flushed_before_the_session_ends() -> None:
    """Logging out may take longer than a process has after a signal."""
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
    """The first run dumps all rows, the next one those that changed: to one table, or to a new file for each run."""
    table, state = tmp_path / "shop.sqlite", tmp_path / "state.json"
    whole = dump(pager.orders(), table, state=state)
    assert whole.rows == 200
    second = dump(pager.orders(), table, state=state, late=timedelta())
    assert second.rows < whole.rows
    assert second.checkpoint.fingerprint.since
    with pytest.raises(ValueError, match=r"Use a new file for each run"):
        dump(pager.orders(), tmp_path / "orders.ndjson", state=tmp_path / "other.json")
    report = dump(pager.orders(), tmp_path / "orders-{time}.ndjson", state=tmp_path / "other.json")
    assert report.path is not None
    assert report.path.name.startswith("orders-2")
    with pytest.raises(ValueError, match=r"Remove updated_since \(--since\)"):
        dump(pager.orders(updated_since=timedelta(days=1)), tmp_path / "a.db", state=tmp_path / "third.json")
    assert shop.log


def test_an_unknown_column_is_a_warning(pager: Pager, tmp_path: Path) -> None:
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


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_options_that_do_not_go_together_are_refused(
    pager: Pager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    """Before any file is touched; the message names the arguments, and the options of the command line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        dump(pager.orders(), "orders.csv", **options)
    with pytest.raises(ValueError, match=r"overwrite=True \(--overwrite\) needs path \(--out\)"):
        dump(pager.orders(), None, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_the_lists_are_public() -> None:
    """The columns and kinds of a list can be looked up."""
    spec = magento_pager.LISTS["orders"]
    assert isinstance(spec, magento_pager.ListSpec)
    assert (spec.key, spec.kind("grand_total")) == ("order_id", "decimal")


def test_a_list_that_cannot_be_paged_has_its_evidence_in_the_error(
    pager: Pager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has its own report and that of the dump."""
    evidence = ProbeReport("salesOrderList", None, 0, 0, ())

    def failing(*_: object, **__: object) -> None:
        raise NoStrategyError("none works", report=evidence)

    monkeypatch.setattr(Calls, "pages", failing)
    with pytest.raises(NoStrategyError) as stopped:
        dump(pager.orders(first=1), tmp_path / "orders.ndjson")
    assert stopped.value.report is evidence
    assert stopped.value.dumped is not None
    assert stopped.value.dumped.error == "none works"


def test_standard_output_without_a_descriptor_is_refused(pager: Pager, capsys: pytest.CaptureFixture[str]) -> None:
    """In a notebook rows cannot be written there: the message says what to do instead."""
    with pytest.raises(ValueError, match=r"Standard output is not a file here, for example in a notebook\. Set path"):
        dump(pager.orders(), None)
    assert not capsys.readouterr().out
