"""A list that is added exactly as docs/contributing.md describes works with everything that works with lists.

The entries on that page are added to a copy of the sources, and the commands run from there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from added_list import entries, size, with_coupons
from conftest import missing, slow_after

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 500  # coupons of the embedded shop, which has 2,000 orders
LIBRARY = """
from magento_pager import connect, doctor, verify
from magento_pager.fake import Shop
from magento_pager.export.stored import stored

with Shop() as shop, connect(shop.url, shop.user, shop.key) as pager:
    rows = list(pager.list("coupons", typed=True, where=[("times_used", "gteq", "5")]))
    print(0 < len(rows) < 500, {type(row["coupon_id"]) for row in rows}, type(rows[0]["discount_amount"]).__name__)
    print(verify(pager, "coupons.csv", report="report.json").ok, stored("coupons.csv").entity)
    print([entry.state for entry in doctor(shop.url, shop.user, shop.key).lists if entry.entity == "coupons"])
"""
SPARK = """
from magento_pager.spark.columns import columns_of
from magento_pager.spark.source import parse_options

print(columns_of("coupons").names[:3], columns_of("coupons").field("updated_at").type)
"""
TYPES = """
import magento_pager

with magento_pager.connect("https://shop.example", "user", "key") as pager:
    pager.list("coupons")
    pager.list("vouchers")
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the sources with the added list."""
    return with_coupons(tmp_path_factory.mktemp("coupons"))


class Run:
    """Python with the added list.

    Attributes:
        sources: the copy of the sources.
        folder: the working directory.
    """

    def __init__(self, sources: Path, folder: Path) -> None:
        self.sources, self.folder = sources, folder

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Run Python, and return its output on both streams."""
        environment = {**os.environ, "PYTHONPATH": str(self.sources)}
        process = subprocess.run(  # noqa: S603  our own command
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert process.returncode == status, process.stderr
        return process.stdout + process.stderr

    def command(self, *arguments: str, status: int = 0) -> str:
        """Run `magento-pager` with `--demo`, and return its output."""
        return self("-m", "magento_pager", *arguments, "--demo", status=status)


@pytest.fixture
def python(sources: Path, tmp_path: Path) -> Run:
    """Return Python with the added list, in an empty folder."""
    return Run(sources, tmp_path)


def test_a_list_takes_at_most_forty_lines() -> None:
    """The entries are in the package's table and in the embedded shop, and in no other file."""
    assert sorted(file for file, _ in entries()) == [
        *(f"magento_pager/{name}.py" for name in ("fake/data", "fake/lists", "lists", "lists"))
    ]
    assert 0 < size() <= 40


@pytest.mark.parametrize(
    "name", slow_after(1, ["coupons.ndjson", "coupons.sqlite", "coupons.csv.gz", "coupons.parquet"])
)
def test_the_list_is_dumped_and_verified(python: Run, name: str) -> None:
    """In every format `verify` recognises the list from the output, and reports a missing row."""
    if name.endswith(".parquet") and find_spec("pyarrow") is None:
        missing("pyarrow is not installed")
    printed = python.command("dump", "coupons", "--out", name, "--report", "report.json")
    assert printed.startswith(f"Exported {COUNT} coupons to {name} in")
    assert json.loads((python.folder / "report.json").read_text("utf-8"))["entity"] == "coupons"
    printed = python.command("verify", name, "--report", "report.json")
    assert f"compared {COUNT} coupons in the shop with {COUNT} in {name}" in printed
    assert "no differences" in printed
    if name.endswith("ndjson"):
        path = python.folder / name
        path.write_text(path.read_text("utf-8").partition("\n")[2], encoding="utf-8")
        assert python.command("verify", name, status=1).startswith("missing   ")


@pytest.mark.slow
def test_the_list_is_planned_examined_and_read_incrementally(python: Run) -> None:
    """The commands accept its name, on an old version too."""
    assert json.loads(python.command("plan", "coupons", "--json"))["rows"]
    lines = python.command("doctor", "--profile", "1.4.1.1").splitlines()
    (line,) = (line for line in lines if line.startswith("coupons "))
    assert line.split()[1] == "pageable"
    for _ in range(2):
        printed = python.command("dump", "coupons", "--out", "coupons.sqlite", "--state", "coupons.state")
        assert " to coupons.sqlite in " in printed
    printed = python.command("dump", "coupons", "--details", "--out", "more.ndjson", status=2)
    assert "coupons have no records in full" in printed


def test_the_library_reads_the_list(python: Run) -> None:
    """The list is read by name, typed and filtered, and works with `verify` and `doctor`."""
    python.command("dump", "coupons", "--out", "coupons.csv", "--report", "report.json")
    assert python("-c", LIBRARY).splitlines() == [
        "True {<class 'int'>} Decimal",
        "True coupons",
        "['pageable']",
    ]


def test_spark_knows_the_columns_of_the_list(python: Run) -> None:
    """Its table has `shop` as the first column, and the types of the list."""
    for module in ("pyarrow", "pyspark"):
        if find_spec(module) is None:
            missing(f"{module} is not installed")
    assert python("-c", SPARK) == "['shop', 'coupon_id', 'code'] timestamp[us, tz=UTC]\n"


@pytest.mark.slow
def test_type_checkers_know_the_name_of_the_list(python: Run) -> None:
    """The name of the list is valid, another name is not, and the copy of the sources has no error."""
    if find_spec("mypy") is None:
        missing("mypy is not installed")
    (python.folder / "listing.py").write_text(TYPES, encoding="utf-8")
    lists = str(python.sources / "magento_pager" / "lists.py")
    printed = python("-m", "mypy", "--strict", "listing.py", lists, status=1)
    assert printed.count(" error: ") == 1
    assert "Literal['vouchers']" in printed
