"""What the tests share: their tiers, where the recordings are, and an embedded shop for each version and flavour."""

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
"""Every version and flavour the embedded shop plays as delivered."""


# The same examples every time, and a busy machine is no failure; --hypothesis-profile=explore draws others.
settings.register_profile("explore", deadline=None)
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return over how many processes a run is spread: whole tiers over the cores, at most four; chosen files over none.

    Each process starts servers of its own, and a container may see more cores than it has.
    """
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS and config.option.capture != "no"
    return min(4, os.cpu_count() or 1) if whole else 0


def by_xmlrpc(patch: pytest.MonkeyPatch) -> None:
    """Read lists by XML-RPC where no wire is named, in this process."""

    def chosen(wire: Any, columns: Any) -> tuple[Any, bool]:
        return ("xml-rpc", False) if wire is columns is None else wire_and_columns(wire, columns)

    for module in ("pager", "cli.dumps"):
        patch.setattr(f"magento_pager.{module}.wire_and_columns", chosen)


@pytest.hookimpl(tryfirst=True)  # before -m chooses by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark `slow` the cases of a test marked `sampled` that the quick tier does not run."""
    tests: dict[tuple[pytest.Item | pytest.Collector | None, str], list[pytest.Function]] = {}
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        if isinstance(item, pytest.Function) and "sampled" in marks and "slow" not in marks:
            tests.setdefault((item.parent, item.originalname), []).append(item)
    for cases in tests.values():
        spread = sample([case.callspec.params for case in cases])
        for number, case in enumerate(cases):
            if number not in spread:
                case.add_marker(pytest.mark.slow)


def sample(cases: Sequence[Mapping[str, object]], most: int = 6) -> set[int]:
    """Return the numbers of a few cases, the same ones every time: together they have many of the parameters' values.

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
    """Print one line about all that was skipped: how many tests, and what each of them misses."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
    if reasons:
        counts = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"skipped {counts}", yellow=True)


def slow(value: Any) -> ParameterSet:
    """Return a value, or a tuple of values, as parameters marked `slow`."""
    return pytest.param(*value if type(value) is tuple else [value], marks=pytest.mark.slow)


def slow_after(count: int, values: Iterable[Any]) -> list[Any]:
    """Return these values as parameters: the first ones for the quick tier, the others marked `slow`."""
    return [value if number < count else slow(value) for number, value in enumerate(values)]


def stopper(after: int, error: type[BaseException]) -> Callable[[object], None]:
    """Return what raises when it is called that often, such as a progress that stops a dump."""
    calls = count(1)

    def stop(_: object) -> None:
        if next(calls) == after:
            raise error

    return stop


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it on a continuous-integration machine, which must have everything."""
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; a continuous-integration machine must have it")
    pytest.skip(reason)


def needs_pyarrow() -> None:
    """Skip or fail the test where Parquet is not to be had."""
    if find_spec("pyarrow") is None:
        missing("pyarrow is not installed")


def needs_pymysql() -> None:
    """Skip or fail the test where no MariaDB can be reached from Python."""
    if find_spec("pymysql") is None:
        missing("PyMySQL is not installed")


@pytest.fixture(scope="session")
def samples() -> Path:
    """Return the folder of recordings from a live server."""
    if not SAMPLES.is_dir():
        missing("the recordings are not beside this checkout")
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
    """HTTP without a network."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def shop() -> Iterator[Shop]:
    """Return an embedded shop of its own, to be changed by the test."""
    with Shop(orders=200) as running:
        yield running


@pytest.fixture(params=["soap", slow("xml-rpc")])
def wire(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the wire by which lists are read where none is named; XML-RPC with the columns that SOAP has."""
    if request.param == "xml-rpc":
        by_xmlrpc(monkeypatch)
    return str(request.param)


@pytest.fixture
def scheduled_runs(tmp_path: Path) -> Iterator[Callable[..., ScheduledRuns]]:
    """Begin the nights of a list; its shop ends with the test."""
    with ExitStack() as stack:

        def begin(profile: str, entity: ListName, *, orders: int = 300, **how: Any) -> ScheduledRuns:
            return ScheduledRuns(stack.enter_context(Shop(profile=profile, orders=orders, **how)), tmp_path, entity)

        yield begin


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sleeps finds that the time has passed, and no time has.

    That goes for the test's own thread. Others sleep: one that is left of another test and looks about every so often
    would let the time pass as fast as it can.
    """
    slept = 0.0
    clock, nap, own = time.monotonic, time.sleep, threading.get_ident()

    def sleep(seconds: float) -> None:
        nonlocal slept
        if threading.get_ident() == own:
            slept += seconds
        else:
            nap(seconds)

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: clock() + slept)
