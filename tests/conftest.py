"""What the tests share: where the recordings are, and an embedded shop for each version and flavour."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import responses

from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"

SPOKEN = [
    ("1.4.1.1", "rpc"),
    ("1.6.2.0", "rpc"),
    ("1.7.0.2", "rpc"),
    ("1.7.0.2", "wsi"),
    ("1.8.1.0", "rpc"),
    ("1.8.1.0", "wsi"),
    ("20.0.20", "rpc"),
    ("20.0.20", "wsi"),
]
"""Every version and flavour the embedded shop plays as delivered."""


def missing(reason: str) -> None:
    """Skip the test, or fail it on a continuous-integration machine, which must have everything."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; a continuous-integration machine must have it")
    pytest.skip(reason)


def needs_pyarrow() -> None:
    """Skip or fail the test where Parquet is not to be had."""
    if find_spec("pyarrow") is None:
        missing("pyarrow is not installed")


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of recordings from a live server."""
    if not SAMPLES.is_dir():
        missing("the recordings are not beside this checkout")
    return SAMPLES


@pytest.fixture(scope="session")
def shop_of() -> Iterator[Callable[[str, str], Shop]]:
    """An embedded shop of 2,000 orders for a version and flavour, started once; tests must leave it as it was."""
    shops: dict[tuple[str, str], Shop] = {}
    with ExitStack() as stack:

        def get(profile: str, flavour: str) -> Shop:
            if (profile, flavour) not in shops:
                shops[profile, flavour] = stack.enter_context(Shop(profile=profile, flavour=flavour))  # type: ignore[arg-type]  # a literal
            return shops[profile, flavour]

        yield get


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """HTTP without a network."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def shop() -> Iterator[Shop]:
    """An embedded shop of its own, to be changed by the test."""
    with Shop(orders=200) as running:
        yield running


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sleeps finds that the time has passed, and no time has."""
    slept = 0.0
    clock = time.monotonic

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += seconds

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: clock() + slept)
