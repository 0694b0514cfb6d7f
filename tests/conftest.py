"""Shared parts of the tests: the tiers, the recordings, and an embedded shop for each version and flavour."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import responses
from hypothesis import settings
from scheduled_runs import ScheduledRuns

from magento_pager.fake import Shop
from magento_pager.lists import wire_and_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from _pytest.mark import ParameterSet

    from magento_pager import ListName

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
"""Every version of the embedded shop, with its flavours."""


# The same examples every time, without deadlines for busy machines; --hypothesis-profile=explore draws others.
settings.register_profile("explore", deadline=None)
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of processes: for a whole tier the number of cores, at most four; for chosen files none.

    Each process starts its own servers, and a container may report more cores than it has.
    """
    is_whole_tier = config.args_source is pytest.Config.ArgsSource.TESTPATHS and config.option.capture != "no"
    return min(4, os.cpu_count() or 1) if is_whole_tier else 0


def by_xmlrpc(patch: pytest.MonkeyPatch) -> None:
    """Read lists by XML-RPC if no protocol (`wire`) is named, in this process."""

    def choose(wire: Any, columns: Any) -> tuple[Any, bool]:
        return ("xml-rpc", False) if wire is columns is None else wire_and_columns(wire, columns)

    for module in ("pager", "cli.dumps"):
        patch.setattr(f"magento_pager.{module}.wire_and_columns", choose)


@pytest.hookimpl(tryfirst=True)  # before -m chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `slow` the cases of a test marked `sampled` that are not in the quick tier."""
    tests: dict[tuple[pytest.Item | pytest.Collector | None, str], list[pytest.Function]] = {}
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if isinstance(item, pytest.Function) and "sampled" in marks and "slow" not in marks:
            tests.setdefault((item.parent, item.originalname), []).append(item)
    for cases in tests.values():
        chosen = sample([case.callspec.params for case in cases])
        for number, case in enumerate(cases):
            if number not in chosen:
                case.add_marker(pytest.mark.slow)


def sample(cases: Sequence[Mapping[str, object]], most: int = 6) -> set[int]:
    """Return the numbers of a few cases, always the same ones, that together have many of the parameters' values.

    >>> sorted(sample([{"version": version, "flavour": flavour} for version in "678" for flavour in "rw"]))
    [0, 3, 4]
    """
    values = [{(name, repr(value)) for name, value in case.items()} for case in cases]
    missing_values = set().union(*values)
    chosen: set[int] = set()
    while missing_values and len(chosen) < most:
        best = max(range(len(cases)), key=lambda number: len(values[number] & missing_values))
        chosen.add(best)
        missing_values -= values[best]
    return chosen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line about skipped tests: their number for each reason."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
    if reasons:
        counts = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"skipped {counts}", yellow=True)


def slow(value: Any) -> ParameterSet:
    """Return a value, or a tuple of values, as parameters marked `slow`."""
    return pytest.param(*value if type(value) is tuple else [value], marks=pytest.mark.slow)


def slow_after(count: int, values: Iterable[Any]) -> list[Any]:
    """Return values as parameters: the first `count` for the quick tier, the others marked `slow`."""
    return [value if number < count else slow(value) for number, value in enumerate(values)]


def stopper(after: int, error: type[BaseException]) -> Callable[[object], None]:
    """Return a function that raises an error at that call, such as a progress that stops a dump."""
    calls = count(1)

    def stop(_: object) -> None:
        if next(calls) == after:
            raise error

    return stop


def set_environment(monkeypatch: pytest.MonkeyPatch, shop: Shop, url: str = "") -> None:
    """Set the environment of commands to a shop, by its usual address unless another one is given."""
    for name, value in {"URL": url or shop.url, "API_USER": shop.user, "API_KEY": shop.key}.items():
        monkeypatch.setenv(f"MAGENTO_{name}", value)


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it on a continuous-integration machine, which must have everything."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; a continuous-integration machine must have it")
    pytest.skip(reason)


def needs_pyarrow() -> None:
    """Skip or fail the test if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        missing("pyarrow is not installed")


def needs_pymysql() -> None:
    """Skip or fail the test if PyMySQL is not installed."""
    if find_spec("pymysql") is None:
        missing("PyMySQL is not installed")


@pytest.fixture(scope="session")
def samples() -> Path:
    """Return the folder of recordings from a live server."""
    if not SAMPLES.is_dir():
        missing("the recordings are not next to this checkout")
    return SAMPLES


@pytest.fixture(scope="session")
def shop_of() -> Iterator[Callable[[str, str], Shop]]:
    """Return a function for the embedded shop of a version and flavour, with 1,000 orders; tests must not change it."""
    shops: dict[tuple[str, str], Shop] = {}
    with ExitStack() as stack:

        def get(profile: str, flavour: str) -> Shop:
            if (profile, flavour) not in shops:
                shops[profile, flavour] = stack.enter_context(Shop(profile=profile, flavour=flavour, orders=1000))  # type: ignore[arg-type]  # a literal
            return shops[profile, flavour]

        yield get


@pytest.fixture
def web() -> Iterator[responses.RequestsMock]:
    """Return a mock of HTTP, without a network."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Return a new embedded shop that the test may change."""
    with Shop(orders=200) as running:
        yield running


@pytest.fixture(params=["soap", slow("xml-rpc")])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the protocol (`wire`) by which lists are read if none is named; XML-RPC with the columns of SOAP."""
    if request.param == "xml-rpc":
        by_xmlrpc(monkeypatch)
    return str(request.param)


@pytest.fixture
def scheduled_runs(tmp_path: Path) -> Iterator[Callable[..., ScheduledRuns]]:
    """Return a function that starts a shop for scheduled runs of a list; the shop is stopped at the end of the test."""
    with ExitStack() as stack:

        def begin(profile: str, entity: ListName, *, orders: int = 300, **options: Any) -> ScheduledRuns:
            return ScheduledRuns(stack.enter_context(Shop(profile=profile, orders=orders, **options)), tmp_path, entity)

        yield begin


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip sleeps of the test's own thread: the clock advances, but no time passes.

    Other threads sleep as usual, because a thread of another test that polls would advance the clock as fast as it can.
    """
    slept = 0.0
    clock, original_sleep, own_thread = time.monotonic, time.sleep, threading.get_ident()

    def sleep(seconds: float) -> None:
        nonlocal slept
        if threading.get_ident() == own_thread:
            slept += seconds
        else:
            original_sleep(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: clock() + slept)
