"""The pytest fixtures for users, in another test session."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

USERS_TESTS = """
from urllib.request import urlopen

seen = []

def test_one_shop(magento_shop):
    with urlopen(magento_shop.url + "?wsdl=1") as reply:
        assert b"salesOrderList" in reply.read()
    seen.append(magento_shop)

def test_shops_of_any_kind(magento_shops):
    old = magento_shops(profile="1.4.1.1", orders=10)
    new = magento_shops(flavour="wsi", orders=20, latency=0)
    assert (old.database.count("orders"), new.database.count("orders")) == (10, 20)
    assert old.url != new.url
    seen.extend([old, new])

def test_they_end_with_their_test():
    assert len(seen) == 3
    for shop in seen:
        try:
            shop.url
        except RuntimeError:
            continue
        raise AssertionError("it still runs")
"""


@pytest.mark.parametrize("warnings", ["error"])
def test_shops_of_the_fixtures_stop_with_their_tests(tmp_path: Path, warnings: str) -> None:
    """Both fixtures work without an import and without a warning."""
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", warnings, "-p", "no:cacheprovider", str(tmp_path)]
    command += ["-p", "magento_pager.fake.pytest_plugin", "-c", str(tmp_path / "none.ini"), "--rootdir", str(tmp_path)]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    ended = subprocess.run(  # noqa: S603 -- our own interpreter
        command,
        capture_output=True,
        check=False,
        text=True,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout


def test_loading_the_plugin_loads_no_shop() -> None:
    """Each start of pytest imports the plugin, so it must cost next to nothing."""
    code = "import sys, magento_pager.fake.pytest_plugin; print('magento_pager.fake.shop' in sys.modules)"
    ended = subprocess.run(  # noqa: S603 -- our own interpreter
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
    )
    assert ended.stdout.strip() == "False"
