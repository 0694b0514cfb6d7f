"""The examples run as they are, and print what is expected here."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import missing, slow
from services import ARTICLES, INVOICES, NUMBERS, crm, erp, floor, modified, running, timestamps, warehouse

EXAMPLES = Path(__file__).parents[1] / "examples"

PRINTED = {
    "custom_strategy.py": [
        "20.0.20: 650 invoices, each once: True",
        "20.0.20: orders: salesOrderList: this server does not honour the strategy upper-case:",
        "1.7.0.2: 650 invoices, each once: True",
        "1.7.0.2: orders: salesOrderList: this server does not honour the strategy upper-case:",
    ],
    "crm_contacts.py": ["310 contacts in "],
    "dlt_pipeline.py": [
        "first run: 300 rows, 300 distinct orders, 0 lost",
        "second run: 301 rows, 301 distinct orders, 1 lost",
        "second run requested fewer rows: True",
    ],
    "erp_invoices.py": [f"{len(INVOICES)} invoices in "],
    "fleet.py": [
        *(f"shop 0, ids {ids} orders" for ids in ("0 to 199: 183", "200 to 4294967295: 217")),
        *(f"shop {shop}, ids {ids} orders" for shop in (1, 2) for ids in ("0 to 219: 201", "220 to 4294967295: 199")),
        "6 partitions of 3 shops",
    ],
    "nightly_sqlite.py": [
        "first night:  500 orders: ",
        "second night: 4 orders: 41 canceled, 11 closed, 286 complete, 17 holded, 2 lost, 1 new, ",
        "third night:  1 orders: ",
        "verify: extra     6",
    ],
    "not_magento.py": [f"{len(NUMBERS)} documents in "],
    "order_digest.py": ["25 new orders | #", "1 new orders | #"],
    "parquet_duckdb_pandas.py": [
        "2023-10-",
        "2023-10-",
        "best seller SKU-01001: 2 pieces",
        "best seller SKU-01008: 2 pieces",
        "pandas: 400 orders, ids are int64, the same turnover: True",
    ],
    "warehouse_articles.py": [f"{len(ARTICLES)} articles in "],
}
"""The beginning of each line that an example prints."""
SERVICES = {
    "crm_contacts.py": (crm(partial(modified, timestamps(300, 10))), ["contacts.ndjson", "2023-11-14T00:00:00"]),
    "erp_invoices.py": (erp(), ["invoices.csv"]),
    "not_magento.py": (warehouse(), ["documents.ndjson"]),
    "warehouse_articles.py": (floor(), ["articles.csv"]),
}
"""The fake service that an example reads, and its further arguments."""
REQUIREMENTS = {"dlt_pipeline.py": ("dlt", "duckdb"), "parquet_duckdb_pandas.py": ("duckdb", "pandas", "pyarrow")}
"""Packages that an example needs."""


@pytest.mark.parametrize(
    "example",
    [slow(path) if path.name in REQUIREMENTS else path for path in sorted(EXAMPLES.glob("[!_]*.py"))],
    ids=lambda path: path.name,
)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    """It succeeds without a warning, and prints the expected lines; an example without expected lines fails."""
    for module in REQUIREMENTS.get(example.name, ()):
        if find_spec(module) is None:
            missing(f"{module} is not installed")
    with ExitStack() as stack:
        service, arguments = SERVICES.get(example.name, (None, []))
        if service is not None:
            arguments = [stack.enter_context(running(service)), *arguments]
        process = subprocess.run(  # noqa: S603  our own example
            [sys.executable, "-W", "error", str(example), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (process.returncode, process.stderr) == (0, "")
    lines = process.stdout.splitlines()
    assert len(lines) == len(PRINTED[example.name])
    for line, beginning in zip(lines, PRINTED[example.name], strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("[!_]*.py")), ids=lambda path: path.name)
def test_an_example_uses_the_library(example: Path) -> None:
    """No example runs the command line."""
    words = ("subprocess", "os.system", "Popen", "magento_pager.cli", "execv")
    assert not [word for word in words if word in example.read_text(encoding="utf-8")]
