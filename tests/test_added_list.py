"""A seventh list, added as docs/contributing.md says and in no other way: all that is done with lists works on it.

The entries on that page are put into a copy of the sources, and the commands run from there.
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

COUNT = 500  # the coupons of the embedded shop, beside 2,000 orders
LIBRARY = """
from magento_pager import connect, doctor, verify
from magento_pager.fake import Shop
from magento_pager.export.stored import stored

with Shop() as shop, connect(shop.url, shop.user, shop.key) as pager:
    rows = list(pager.list("coupons", typed=True, where=[("times_used", "gteq", "5")]))
    print(0 < len(rows) < 500, {type(row["coupon_id"]) for row in rows}, type(rows[0]["discount_amount"]).__name__)
    print(verify(pager, "coupons.csv", report="report.json").ok, stored("coupons.csv").entity)
    print([one.state for one in doctor(shop.url, shop.user, shop.key).lists if one.entity == "coupons"])
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
    """Return a copy of the sources with the seventh list."""
    return with_coupons(tmp_path_factory.mktemp("seventh"))


class Run:
    """Python, with the seventh list.

    Attributes:
        sources: a copy of ours.
        folder: where it works.
    """

    def __init__(self, sources: Path, folder: Path) -> None:
        self.sources, self.folder = sources, folder

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Run it; what it prints, on both streams."""
        environment = {**os.environ, "PYTHONPATH": str(self.sources)}
        ended = subprocess.run(  # noqa: S603  our own
            [sys.executable, *arguments], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == status, ended.stderr
        return ended.stdout + ended.stderr

    def command(self, *arguments: str, status: int = 0) -> str:
        """Run our command on an embedded shop."""
        return self("-m", "magento_pager", *arguments, "--demo", status=status)


@pytest.fixture
def python(sources: Path, tmp_path: Path) -> Run:
    """Python, with the seventh list, in an empty folder."""
    return Run(sources, tmp_path)


def test_it_takes_forty_lines() -> None:
    """In the package's table and in the embedded shop together, and in no other file."""
    assert sorted(file for file, _ in entries()) == [
        *(f"magento_pager/{name}.py" for name in ("fake/data", "fake/lists", "lists", "lists"))
    ]
    assert 0 < size() <= 40


@pytest.mark.parametrize(
    "name", slow_after(1, ["coupons.ndjson", "coupons.sqlite", "coupons.csv.gz", "coupons.parquet"])
)
def test_it_is_dumped_and_verified(python: Run, name: str) -> None:
    """In every format, whose list is then seen from what is there; a change shows."""
    if name.endswith(".parquet") and find_spec("pyarrow") is None:
        missing("pyarrow is not installed")
    said = python.command("dump", "coupons", "--out", name, "--report", "report.json")
    assert said.startswith(f"{COUNT} coupons in")
    assert json.loads((python.folder / "report.json").read_text("utf-8"))["entity"] == "coupons"
    said = python.command("verify", name, "--report", "report.json")
    assert f"compared {COUNT} coupons in the shop with {COUNT} in {name}" in said
    assert "no differences" in said
    if name.endswith("ndjson"):
        path = python.folder / name
        path.write_text(path.read_text("utf-8").partition("\n")[2], encoding="utf-8")
        assert python.command("verify", name, status=1).startswith("missing   ")


@pytest.mark.slow
def test_it_is_planned_examined_and_asked_for_changes(python: Run) -> None:
    """The commands know it by its name, on an old version too."""
    assert json.loads(python.command("plan", "coupons", "--json"))["rows"]
    lines = python.command("doctor", "--profile", "1.4.1.1").splitlines()
    (line,) = (one for one in lines if one.startswith("coupons "))
    assert line.split()[1] == "pageable"
    for _ in range(2):
        said = python.command("dump", "coupons", "--out", "coupons.sqlite", "--state", "coupons.state")
        assert " coupons in " in said
    said = python.command("dump", "coupons", "--details", "--out", "more.ndjson", status=2)
    assert "coupons have no records in full" in said


def test_the_library_has_it(python: Run) -> None:
    """By name, typed and filtered, and in what compares and examines."""
    python.command("dump", "coupons", "--out", "coupons.csv", "--report", "report.json")
    assert python("-c", LIBRARY).splitlines() == [
        "True {<class 'int'>} Decimal",
        "True coupons",
        "['pageable']",
    ]


def test_spark_has_its_columns(python: Run) -> None:
    """As a table, `shop` first."""
    for module in ("pyarrow", "pyspark"):
        if find_spec(module) is None:
            missing(f"{module} is not installed")
    assert python("-c", SPARK) == "['shop', 'coupon_id', 'code'] timestamp[us, tz=UTC]\n"


@pytest.mark.slow
def test_type_checkers_know_it(python: Run) -> None:
    """The name of the list is one, another is not, and the copy of the sources has no fault."""
    if find_spec("mypy") is None:
        missing("mypy is not installed")
    (python.folder / "listing.py").write_text(TYPES, encoding="utf-8")
    said = python("-m", "mypy", "--strict", "listing.py", str(python.sources / "magento_pager" / "lists.py"), status=1)
    assert said.count(" error: ") == 1
    assert "Literal['vouchers']" in said
