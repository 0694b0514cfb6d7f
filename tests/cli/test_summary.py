"""The summary of a dump: its text for each outcome, with `--quiet` and with `--verbose`."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import set_environment

from magento_pager import connect, dump
from magento_pager.cli import run
from magento_pager.export.checkpoints import Counters, Misfits
from magento_pager.fake import Shop
from magento_pager.walk.pages import Bounds, Changes, Misfit, Quarantined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager import Report


@pytest.fixture(scope="module")
def small() -> Iterator[Shop]:
    """Return a shop of 1,200 orders."""
    with Shop(orders=1200) as running:
        yield running


@pytest.fixture(autouse=True)
def environment(small: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment to the shop, in an empty folder."""
    set_environment(monkeypatch, small)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def report(small: Shop, tmp_path: Path) -> Report:
    """Return the report of a complete dump of all orders."""
    with connect(small.url, small.user, small.key) as pager:
        return dump(pager.orders(), tmp_path / "orders.ndjson")


def test_a_complete_dump_is_summarised_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Rows, file, time, and that nothing is missing: on standard error, and nothing else."""
    assert run(["dump", "orders", "--out", "orders.ndjson"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"Exported 1,200 orders to orders\.ndjson in \d+\.\d s\. Complete: every id accounted for\.\n", err
    )


def test_standard_output_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    """Where no file is given."""
    assert run(["dump", "orders"]) == 0
    assert "Exported 1,200 orders to standard output in " in capfd.readouterr().err


def test_part_of_the_ids_and_one_row(small: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """The ids are named where not all were requested, and one row is a singular."""
    first = str(min(small.database.ids("orders")))
    assert run(["dump", "--first", first, "--last", first]) == 0
    assert "Exported 1 order to standard output" in (err := capfd.readouterr().err)
    assert f"Complete: every id from {first} to {first} accounted for." in err


def test_quiet_leaves_errors_only(capfd: pytest.CaptureFixture[str]) -> None:
    """No summary and no warning, with the long name and the short one; an error is still one line."""
    for name in ("--quiet", "-q"):
        assert run(["dump", name, "--columns", "nonsense", "--out", "o.csv", "--overwrite"]) == 0
        assert capfd.readouterr() == ("", "")
    assert run(["dump", "-q", "--out", "o.csv"]) == 2
    assert capfd.readouterr().err.startswith("magento-pager: ")


def test_verbose_adds_what_the_dump_cost(capfd: pytest.CaptureFixture[str]) -> None:
    """Calls, bytes, the check, the strategy and the protocol; each call is a line before the summary."""
    assert run(["dump", "shipments", "--verbose", "--out", "s.ndjson"]) == 0
    lines = capfd.readouterr().err.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("Exported ")]
    assert re.fullmatch(r"Made \d+ calls, \d+ without rows, \d+ to check others\.", lines[at + 1])
    assert re.fullmatch(r"Received [\d,]+ bytes, after decompression\.", lines[at + 2])
    assert lines[at + 3].startswith("Checked: rows carry no id, ")
    assert lines[at + 4] == "Read by the strategy key-range over SOAP."
    assert any(line.startswith("salesOrderShipmentList") for line in lines[:at])
    assert os.environ["MAGENTO_API_KEY"] not in "".join(lines)


def test_quiet_and_verbose_exclude_each_other(capfd: pytest.CaptureFixture[str]) -> None:
    """The message says what to do."""
    assert run(["dump", "-q", "-v"]) == 2
    assert "use either --quiet or --verbose, not both" in capfd.readouterr().err


def test_skipped_repaired_and_invalid_values_follow_the_summary(report: Report) -> None:
    """Skipped and repaired rows and invalid values are a sentence each."""
    saved = replace(
        report.checkpoint,
        quarantined=(Quarantined(4, "fault 1:\nsame id"),),
        repaired=(5,),
        misfits=(Misfits("updated_at", 12, (Misfit("7", "updated_at", "2023-13-01"),)),),
    )
    assert str(replace(report, checkpoint=saved)).splitlines()[1:] == [
        "Skipped id 4 of orders: fault 1: same id",
        "Repaired 1 order by removing characters that XML does not allow: ids 5.",
        "Wrote null for 12 invalid values of updated_at (id 7: '2023-13-01', ...).",
    ]
    assert "Complete: every id accounted for, 1 of them skipped." in str(replace(report, checkpoint=saved))


def test_the_summary_names_since_and_weak_evidence(report: Report) -> None:
    """The time, the new rows, and the lists whose rows do not say when they changed."""
    tried = Changes("2024-05-01 10:00:00", "updated_at", "gteq", "rows", 3, 5)
    query = replace(report.checkpoint.fingerprint, new_from=2001)
    counters = replace(report.checkpoint.counters, new=3)
    saved = replace(report.checkpoint, changes=tried, fingerprint=query, counters=counters)
    since = "Contains only orders changed since 2024-05-01 10:00:00 UTC"
    assert str(replace(report, checkpoint=saved)).endswith(f"\n{since}, and 3 new ones with an id from 2001 on.")
    assert "Tried updated_at gteq on row 3 before it was used." in replace(report, checkpoint=saved).cost
    weak = replace(report.checkpoint, changes=replace(tried, verified="probe"))
    assert str(replace(report, checkpoint=weak)).endswith("because orders do not carry the time of their last change.")


def test_a_range_that_was_only_tried_is_in_the_summary(report: Report) -> None:
    """One whose rows were all checked is among the costs."""
    bounds = Bounds("created_at", (), (), "rows", 3)
    checked = replace(report, checkpoint=replace(report.checkpoint, bounds=(bounds,)))
    tried = replace(report, checkpoint=replace(report.checkpoint, bounds=(replace(bounds, verified="probe"),)))
    assert "Range of created_at: " not in str(checked)
    assert "Range of created_at: " in checked.cost
    assert "tried but not checked, because rows do not carry created_at" in str(tried)


def test_an_unfinished_dump_says_what_is_safe(report: Report) -> None:
    """And how to resume."""
    cursor = replace(report.checkpoint.cursor, next_id=500)
    saved = replace(report.checkpoint, cursor=cursor, counters=Counters(rows=470))
    stopped = replace(report, checkpoint=saved, complete=False, part=Path("orders.ndjson.part"))
    assert str(stopped) == (
        "Not complete: 470 orders are safe in orders.ndjson.part, every id from 0 to 499 accounted for; "
        "use resume=True (--resume) to continue."
    )
    assert "resume" not in str(replace(stopped, part=None))


def test_a_finished_dump_is_found_again(capfd: pytest.CaptureFixture[str]) -> None:
    """The summary says that nothing was done, and how to do it again; the report is the first one."""
    command = ["dump", "orders", "--out", "orders.ndjson", "--report", "report.json"]
    assert run(command) == 0
    first = Path("report.json").read_text(encoding="utf-8")
    capfd.readouterr()
    assert run([*command, "--resume"]) == 0
    assert capfd.readouterr().err == (
        "orders.ndjson is already complete: 1,200 orders, every id accounted for. "
        "Nothing was exported; use --overwrite to export it again.\n"
    )
    assert Path("report.json").read_text(encoding="utf-8") == first
    assert json.loads(first)["verified"] == "ids"
