"""The benchmarks work, and their figures are correct; shown by small runs."""

from __future__ import annotations

import doctest
import importlib
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from benchmarks import cells
from benchmarks.runs import measured, serving
from benchmarks.wrong_replies import ENDINGS, honest_lines
from conftest import missing, needs_pyarrow, needs_pymysql

ROOT = Path(__file__).parents[1]
MODULES = (
    "cells",
    "decode",
    "details",
    "dump",
    "fleet",
    "increments",
    "memory",
    "naive",
    "parallel",
    "protocols",
    "runs",
    "scale",
    "scans",
    "server_cost",
    "shop",
    "startup",
    "typed",
    "unreliable",
    "wrong_replies",
)
MEGABYTES = 100


def lines_of(name: str, *arguments: str) -> list[dict[str, Any]]:
    """Run a benchmark as a command, and return the JSON lines that it prints."""
    if name in {"scans", "server_cost"}:
        needs_pymysql()
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert {line["benchmark"] for line in lines} == {name}
    return lines


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    """The examples in the docstrings of a benchmark work."""
    if name in {"scans", "server_cost"}:
        needs_pymysql()
    assert doctest.testmod(importlib.import_module(f"benchmarks.{name}")).failed == 0


def test_the_memory_of_a_command_is_measured() -> None:
    """A command that fills 100 MB more has a peak that is 100 MB higher."""
    idle, busy = (
        measured([sys.executable, "-c", f"held = b'x' * {size} * 1_000_000"]).peak for size in (1, MEGABYTES + 1)
    )
    assert 0.9 < (busy - idle) / (MEGABYTES * 1e6) < 1.1


def test_a_command_that_fails_is_not_measured() -> None:
    """It ends the benchmark with the message of the command."""
    with pytest.raises(RuntimeError, match=r"ended with 3: no luck"):
        measured([sys.executable, "-c", "import sys; sys.stderr.write('no luck'); sys.exit(3)"])


def test_a_shop_in_another_process_executes_commands(tmp_path: Path) -> None:
    """It changes settings, is dumped completely, returns each call once, and refuses unknown commands."""
    with serving(30) as shop:
        assert shop.command(knobs={"latency_per_row": 0.001}) is None
        shop.dump(tmp_path / "orders.ndjson")
        assert len((tmp_path / "orders.ndjson").read_bytes().splitlines()) == 30
        assert sum(call["operation"] == "login" for call in shop.calls()) == 1
        assert shop.calls() == []
        with pytest.raises(RuntimeError, match="no command"):
            shop.command(dance=True)


def test_a_cell_is_recorded_with_and_without_stops(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows, calls by kind and the checkpoint are recorded, also for a dump that is resumed after each page."""
    chosen = [cells.Cell("20.0.20", "wsi", "creditmemos", variant) for variant in ("sqlite", "resume ndjson")]
    plain, resumed = cells.recorded_shop(chosen).values()
    assert (plain["exit"], resumed["exit"]) == (0, 0)
    assert (plain["report"]["rows"], resumed["report"]["rows"]) == (50, 48)
    assert (plain["largest"], plain["calls"]["salesOrderCreditmemoList rows"]) == (48, 2)
    assert (plain["calls"]["login"], resumed["calls"]["login"] > 1) == (1, True)
    assert plain["checkpoint"]["content.cursor.next_id"] == 2**32 > resumed["checkpoint"]["content.cursor.next_id"]
    assert "20.0.20 wsi: 2 cells" in capsys.readouterr().err


@pytest.mark.slow
def test_two_recordings_of_one_checkout_are_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quick recording has a cell of each variant, each as expected, and a second recording is the same."""
    before, after = tmp_path / "before", tmp_path / "after"
    for path in (before, after):
        assert cells.main(["record", str(path), "--quick"]) == 0
    recording = json.loads(before.read_text())
    by_variant = {name.split(" ", 3)[3]: cell for name, cell in recording.items()}
    assert by_variant.keys() == set(cells.VARIANTS)
    for variant, cell in by_variant.items():
        if variant.startswith("by ") and cell["exit"] == 1:  # not every strategy works for each list of each version
            assert cell["report"]["error"], variant
            continue
        assert cell["exit"] == 3 * ("poison" in variant), variant
        assert len(cell["output"]) == 1, variant
        assert cell["calls"]["login"] > 2 * ("resume" in variant), variant
        assert any(kind.endswith(" rows") for kind in cell["calls"]), variant
        assert cell["checkpoint"]["version"] == 3, variant
    assert recording == json.loads(after.read_text())
    assert cells.main(["compare", str(before), str(after)]) == 0
    printed = capsys.readouterr().out
    assert "differing: none\nnew keys: none\n" in printed
    assert "(1.000)" in printed
    assert "more calls" not in printed


def test_cells_that_differ_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other bytes, statuses and report values fail; new keys and checkpoints do not; more calls are reported."""
    before, after = tmp_path / "before", tmp_path / "after"
    cell = {
        "exit": 0,
        "output": {"out.csv": "a:1"},
        "report": {"rows": 1},
        "checkpoint": {"offset": 1},
        "calls": {"login": 1, "salesOrderList rows": 1},
        "largest": 1,
    }

    def compare(status: int, *ignored: str, **changed: Any) -> str:
        before.write_text(json.dumps({"first": cell, "other": cell}))
        after.write_text(json.dumps({"first": cell, "other": cell | changed, "more": cell}))
        assert cells.main(["compare", str(before), str(after), *ignored]) == status
        return capsys.readouterr().out

    assert "2 cells in both, 0 only before, 1 only after\n" in compare(0)
    assert "differs: other: exit 0 -> 3\n" in compare(1, exit=3)
    assert "differs: other: output {'out.csv': 'a:1'} -> {'out.csv': 'b:1'}\n" in compare(1, output={"out.csv": "b:1"})
    assert "differs: other: output " in compare(1, output={"out.csv": "a:1", "out.csv.part": "a:1"})
    assert "differs: other: report.rows 1 -> 2\n" in compare(1, report={"rows": 2})
    assert "differing: none" in compare(0, "--ignore", "report.rows", report={"rows": 2})
    assert "new keys: report.late in 1 cells" in compare(0, report={"rows": 1, "late": 0})
    assert "differing: checkpoint.offset in 1 cells" in compare(0, checkpoint={"offset": 2})
    fewer = compare(0, calls={"login": 1})
    assert "calls of auto, all: 4 -> 3 (0.750)" in fewer
    assert "calls of auto, rows: 2 -> 1 (0.500)" in fewer
    assert "more calls" not in fewer
    more = compare(0, calls={"login": 1, "salesOrderList checks": 2}, largest=7)
    assert "more calls: other: 2 -> 3\n" in more
    assert "largest reply after: 7 rows, other\n" in more
    after.write_text("{}")
    assert cells.main(["compare", str(before), str(after)]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_dump_takes_less_cpu_than_the_naive_loop(flavour: str) -> None:
    """Both return the same rows, and curl gets the same replies."""
    if shutil.which("curl") is None:
        missing("curl is not installed")
    figures = lines_of("dump", "--flavour", flavour, "--orders", "300", "--curl-orders", "60")
    naive, text, digest, no_latency, live, known_rows = figures
    assert naive["identical"]
    assert naive["naive_us_per_row"] > naive["us_per_row"]
    assert text["json_us"] > text["ours_us"] > 0 < digest["ours_us"]
    assert no_latency["call_ms"] == 0
    assert live["call_ms"] == 40
    assert known_rows["curl_calls"] < known_rows["calls"]
    for line in (no_latency, live, known_rows):
        assert line["calls"] > 1
        assert line["ours_s"] > 0 < line["curl_s"]


@pytest.mark.slow
def test_typed_formats_are_measured() -> None:
    """Each format has its cost, compared with that of NDJSON."""
    needs_pyarrow()
    plain, *others = lines_of("typed", "--orders", "60", "--rounds", "1")
    assert (plain["format"], plain["ratio"]) == ("ndjson", 1)
    assert {line["format"] for line in others} == {"ndjson typed", "csv typed", "parquet", "sqlite"}
    assert all(line["ratio"] > 0 < line["peak_mb"] for line in others)


@pytest.mark.slow
def test_many_records_in_a_call_take_less_time() -> None:
    """Many records in a call take fewer calls and less time than one record in a call."""
    many, single = lines_of("details", "40")
    assert (many["orders"], single["orders"]) == (40, 40)
    assert many["calls"] < 10
    assert single["calls"] >= 40
    assert many["ratio"] > single["ratio"] > 0


@pytest.mark.slow
def test_fleet_measures_the_loop_and_spark() -> None:
    """Both read the same number of rows, and both have a rate."""
    if find_spec("pyspark") is None or find_spec("pyarrow") is None or shutil.which("java") is None:
        missing("pyspark, pyarrow or Java is not installed")
    (line,) = lines_of("fleet", "3", "30", "2")
    assert (line["shops"], line["orders"], line["tasks"]) == (3, 30, 2)
    assert line["loop_shops_per_minute"] > 0 < line["spark_shops_per_minute"]


def test_outcomes_with_wrong_replies_are_counted() -> None:
    """Walks that got a wrong reply are counted by how they ended, for each walk and in total."""
    one, other, both = lines_of(
        "wrong_replies", "1", "--kind", "empty", "--walk", "orders range", "--walk", "shipments auto"
    )
    assert [line["walk"] for line in (one, other, both)] == ["orders range", "shipments auto", "all"]
    endings = [both[ending] for ending in ENDINGS]
    assert (one["walks"], both["walks"]) == (6, 12)
    assert 12 >= both["affected"] == sum(endings) == one["affected"] + other["affected"] > 0


def test_calls_on_correct_servers_are_counted() -> None:
    """They are few, and more for a larger shop."""
    small, large = islice(honest_lines(), 2)
    assert (small["list"], small["layout"]) == ("orders", "demo, 2000 orders")
    assert 0 < small["calls"] < large["calls"] < 30


@pytest.mark.slow
def test_increments_take_few_calls() -> None:
    """No list of any version takes more than five calls when few rows changed."""
    *increments, all_lists = lines_of("increments", "120")
    assert len(increments) == 3 * 29
    assert all(line["within_limit"] for line in increments)
    assert all_lists["calls"] <= 5 * all_lists["lists"] == 30


@pytest.mark.slow
def test_protocols_return_the_same_rows() -> None:
    """SOAP and XML-RPC are measured for each list, with the same rows."""
    lines = lines_of("protocols", "40")
    assert [line["wire"] for line in lines] == ["soap", "xml-rpc"] * 6
    assert all(one["rows"] == other["rows"] for one, other in zip(lines[::2], lines[1::2], strict=True))


def test_memory_is_measured_and_compared() -> None:
    """Each size has its peak, and the last line compares the smallest with the largest."""
    small, large, growth = lines_of("memory", "60", "30", "--window", "100")
    assert (small["orders"], large["orders"]) == (30, 60)
    assert small["page_rows"] <= large["page_rows"] <= 100
    assert growth["growth_mb"] == pytest.approx(large["peak_mb"] - small["peak_mb"], abs=0.11)


@pytest.mark.slow
def test_parallel_compares_auto_with_the_best_fixed_number() -> None:
    """Each number of calls has its rate, and a dump from a starving pool ends."""
    fixed, auto, starved = lines_of("parallel", "--orders", "100", "--workers", "2", "--parallel", "1", "auto")
    assert (fixed["parallel"], auto["parallel"]) == ("1", "auto")
    assert auto["best_fixed"] == 1
    assert auto["ratio"] == pytest.approx(fixed["orders_per_s"] / auto["orders_per_s"], rel=0.05)
    assert starved["four_at_once_s"] > 0 < starved["one_at_a_time_s"]


@pytest.mark.slow
def test_calls_of_a_small_shop_are_few() -> None:
    """Every list of every version has its number of calls."""
    lines = lines_of("calls", "60")
    assert len({(line["profile"], line["list"]) for line in lines}) == len(lines) == 29
    assert all(line["calls"] <= line["per_1700"] + 5 for line in lines)
    assert all(line["rows"] >= line["largest"] > 0 for line in lines)


@pytest.mark.slow
def test_scale_measures_growth_and_the_first_row() -> None:
    """Each size has its costs, each cost its growth, and the first call returns the first row."""
    *dumps, calls, wall, cpu, first = lines_of("scale", "30", "60", "90")
    assert [line["orders"] for line in dumps] == [30, 60, 90]
    assert [line["figure"].split()[-1] for line in (calls, wall, cpu)] == ["calls", "wall_s", "client_cpu_s"]
    assert first["calls"] == 1
    assert first["page_rows"] > 0


@pytest.mark.slow
def test_server_cost_of_key_ranges_is_minimal() -> None:
    """With a key range only the returned rows are read, otherwise every order of the table."""
    if not all(shutil.which(name, path="/usr/sbin:/usr/bin:/bin") for name in ("mariadbd", "mariadb-install-db")):
        missing("MariaDB is not installed")
    costs = {line["strategy"]: line for line in lines_of("server_cost", "640")}
    for name in ("range", "alias", "mapped", "in-list", "single-filter"):
        assert costs[name]["ratio"] == 1, costs[name]
    for name in ("naive alternation", "prefix", "regexp"):
        assert costs[name]["examined"] == 640, costs[name]
    assert costs["naive alternation"]["times_naive"] == 1


@pytest.mark.slow
def test_full_table_scans_are_few() -> None:
    """A dump scans the table at most about three times, and an increment of orders never."""
    if not all(shutil.which(name, path="/usr/sbin:/usr/bin:/bin") for name in ("mariadbd", "mariadb-install-db")):
        missing("MariaDB is not installed")
    lines = lines_of("scans", "6000")
    assert {line["scans"] for line in lines if (line["list"], line["run"]) == ("orders", "increment")} == {0.0}
    assert all(line["scans"] <= 3.5 for line in lines if line["run"] == "dump")


@pytest.mark.slow
def test_startup_of_help_and_dump() -> None:
    """The help takes more CPU than Python alone and less than requests; a dump up to its first call takes more."""
    times = {line["side"]: line for line in lines_of("startup", "3")}
    assert times["help"]["of_python"] > 1 > times["help"]["of_requests"] > 0
    assert times["dump, to the login"]["wall_ms"] > times["requests"]["wall_ms"]
    assert times["dump, to the WSDL"]["of_requests"] > 1
