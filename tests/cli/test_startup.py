"""The modules that a command imports before its first call to a shop, because they delay it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "import sys; from magento_pager.cli import run; run(sys.argv[1:]); print('loaded:', *sys.modules)"
OTHERS = {"pyarrow", "pyspark", "rich.console", "sqlite3", "statistics", "difflib", "asyncio"}
"""Modules that a dump as text never needs."""
OURS = {"examination", "fake", *(f"export.{one}" for one in ("arrow", "parquet", "sqlite", "stored", "verification"))}
WALKING = {"pager", "shop.details", "shop.sources", "walk.paginator", "walk.planning", "walk.walk"}


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Return a small shop."""
    with Shop(orders=30) as running:
        yield running


def loaded(shop: Shop, key: str, *arguments: str) -> set[str]:
    """Return the modules that a command had loaded when it ended, ours by their place in the package."""
    environment = {"MAGENTO_URL": shop.url, "MAGENTO_API_USER": shop.user, "MAGENTO_API_KEY": key}
    command = [sys.executable, "-c", RUN, *arguments]
    ended = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)  # noqa: S603
    _, _, names = ended.stdout.partition("loaded: ")
    return {one.removeprefix("magento_pager.") for one in names.split()}


def test_nothing_that_walks_is_loaded_before_the_login(shop: Shop, tmp_path: Path) -> None:
    """A dump with a wrong key ends at its first call, and has loaded little more than that needs."""
    shop.clear_log()
    found = loaded(shop, "wrong", "dump", "--out", str(tmp_path / "orders.ndjson"))
    assert [call.operation for call in shop.log] == ["login"]
    assert "shop.connection" in found
    assert found & (OTHERS | OURS | WALKING) == set()


def test_a_dump_as_text_loads_no_other_format(shop: Shop, tmp_path: Path) -> None:
    """A whole dump as NDJSON loads neither SQLite nor Parquet, nor the modules of verify."""
    found = loaded(shop, shop.key, "dump", "--out", str(tmp_path / "orders.ndjson"))
    assert (tmp_path / "orders.ndjson").read_text().count("\n") == 30
    assert found >= WALKING
    assert found & OTHERS == set()
    assert found & (OURS - {"export.arrow"}) == set()


def test_the_help_loads_no_network(shop: Shop) -> None:
    """The help is printed without requests, lxml or zeep."""
    assert loaded(shop, shop.key, "dump", "--help") & {"requests", "lxml", "zeep", "urllib3", "export.dumping"} == set()
