"""The probe: the choice of a strategy by the returned ids, in a bounded number of calls on any layout of ids."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from benchmarks.readings import Reading, eav, honest, mapped_apart, no_lists, random_layout, spelled_once
from conftest import slow, slow_after
from hypothesis import given
from hypothesis import strategies as st
from memory_source import MemorySource

from magento_pager import (
    MAX_ID,
    Alias,
    FaultError,
    FilterIgnoredError,
    Goal,
    IdRange,
    InList,
    KeyRange,
    MalformedReplyError,
    Mapped,
    NoStrategyError,
    Paginator,
    Prefix,
    ProbeReport,
    Query,
    Range,
    Regexp,
    SingleFilter,
    Strategy,
    TransportError,
    Trial,
)
from magento_pager.walk.evidence import FoundRows, known_rows, range_to_split
from magento_pager.walk.recovery import is_verdict

if TYPE_CHECKING:
    from collections.abc import Generator

    from magento_pager import Condition
    from magento_pager.walk.pages import Row

CANDIDATES: tuple[Strategy, ...] = (
    KeyRange(),
    Range(),
    Alias(),
    Mapped("order_id"),
    InList(),
    Prefix(),
    Regexp(),
    SingleFilter(),
)
TARGET = 2000


def auto(source: MemorySource, **options: object) -> Paginator:
    """Return a walk that chooses its strategy, with windows that do not depend on how busy this machine is."""
    identity = None if source.with_ids else "increment_id"
    options = {"goal": Goal(seconds=1e6), **options}
    return Paginator(source, None, "id", identity, "list", candidates=CANDIDATES, **options)  # type: ignore[arg-type]


SERVERS: list[tuple[Reading, str, str]] = [
    (honest, "key-range", "1.8 or newer"),
    (spelled_once, "key-range", "1.7.0.1 to 1.7.0.2"),
    (eav, "in-list", "1.7.0.1 to 1.7.0.2"),
    (mapped_apart, "key-range", "up to 1.5"),
]


@pytest.mark.parametrize(("server", "chosen", "words"), SERVERS, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("with_ids", [True, False])
def test_the_first_honoured_strategy_is_chosen(server: Reading, chosen: str, words: str, *, with_ids: bool) -> None:
    """The report names the strategy, the evidence, and the kind of server."""
    source = MemorySource([*range(3, 2000), *range(5000, 5100)], server, with_ids=with_ids)
    report = auto(source).probe(exhaustive=True)
    assert report.chosen == chosen
    assert words in report.server
    by_name = {trial.strategy: trial for trial in report.trials}
    assert report.calls == len(source.queries) + 2 * sum(trial.verdict == "faults" for trial in report.trials)
    assert by_name[chosen].verdict == "holds"
    assert by_name[chosen].returned == by_name[chosen].expected > 0
    if server is eav:
        assert by_name["alias"].verdict == "faults"
        assert by_name["alias"].fault == "Invalid attribute name"
    if server in {spelled_once, eav}:
        assert by_name["range"].verdict == "ignored"
        assert by_name["range"].stray
    assert list(auto(source)) == source.rows()


@pytest.mark.parametrize("server", [server for server, _, _ in SERVERS], ids=lambda server: server.__name__)
@pytest.mark.parametrize("strategy", CANDIDATES, ids=lambda strategy: strategy.name)
def test_a_named_strategy_is_exact_or_refused_with_the_one_to_use(server: Reading, strategy: Strategy) -> None:
    """A strategy chosen by name is tested in the same way before it is used."""
    source = MemorySource([*range(3, 2000), *range(5000, 5100)], server)
    paginator = Paginator(source, strategy, "id", None, "list", candidates=CANDIDATES)
    try:
        rows = list(paginator)
    except NoStrategyError as error:
        best = auto(source).probe().chosen
        assert best != strategy.name
        assert f"use the strategy {best}" in str(error)  # noqa: PT017  either outcome may be right
        assert error.report.holds(strategy.name) is False  # noqa: PT017
        assert error.cursor is not None  # noqa: PT017
    else:
        assert rows == source.rows()


LAYOUTS: dict[str, range | list[int]] = {
    "nothing": [],
    "a million dense behind a gap of a million": range(1_000_000, 2_000_000),
    "dense across millions": range(2_600_000, 4_000_000),
    "one at the last possible id": [MAX_ID],
    "1 to 3": [1, 2, 3],
    "dense from 0": range(30_000),
    "odd": range(1, 60_000, 2),
    "7 mod 10": range(7, 200_000, 10),
    "two far clusters": [*range(1, 3000), *range(3_000_000_000, 3_000_020_000)],
    **{f"every 1000th at {residue}": range(residue, 2_000_000, 1000) for residue in (0, 1, 7, 10, 99, 137, 500, 999)},
}


LARGE = [name for name in LAYOUTS if "million" in name]
"""Seconds each, as they have a million rows and more."""


def check_bounds(source: MemorySource, layout: str) -> None:
    """Check that the rows are exact, and that the probe, each reply and the number of calls are bounded."""
    report = auto(source).probe()
    search = report.calls - len(report.trials)
    assert search <= 30 + 1, layout  # one more confirms an empty list, or that `like` works
    assert len(report.trials) <= 12, layout
    assert not source.queries or source.largest <= 5 * TARGET, layout
    source.queries.clear()
    expected = iter(source.rows())
    count = 0
    for row in auto(source):
        assert row == next(expected), layout
        count += 1
    assert next(expected, None) is None, layout
    assert source.largest <= 5 * TARGET, layout
    assert len(source.queries) <= 3 * count / TARGET + 60, layout


@pytest.mark.parametrize("layout", [slow(name) if name in LARGE else name for name in LAYOUTS])
def test_no_reply_is_unbounded_and_calls_are_few(layout: str) -> None:
    """On each fixed layout the walk returns the table exactly, in few calls with small replies."""
    check_bounds(MemorySource(LAYOUTS[layout]), layout)


@pytest.mark.parametrize("block", slow_after(1, range(20)))
def test_no_reply_is_unbounded_on_random_layouts(block: int) -> None:
    """The same on 200 seeded tables, with one to three ranges of ids anywhere, with steps and gaps."""
    for seed in range(10 * block, 10 * block + 10):
        check_bounds(MemorySource(*random_layout(seed)), f"seed {seed}")


@pytest.mark.parametrize(
    "layout", [*(name for name in LAYOUTS if name not in {"nothing", *LARGE}), *slow_after(3, range(20))]
)
def test_rows_without_ids_cost_some_calls_more(layout: str | int) -> None:
    """Where the rows of a sample have no known place, ranges with rows are found digit by digit."""
    ids = random_layout(layout)[0] if isinstance(layout, int) else LAYOUTS[layout]
    source = MemorySource(ids, with_ids=False)
    report = auto(source).probe()
    assert report.calls <= 30 + 12
    assert source.largest <= 5 * TARGET
    source.queries.clear()
    assert list(auto(source)) == source.rows()
    assert source.largest <= 5 * TARGET
    assert len(source.queries) <= 3 * len(ids) / TARGET + 130


@given(st.lists(st.integers(0, 3000), unique=True, min_size=3, max_size=300))
def test_known_rows_lie_on_all_sides_of_the_window(ids: list[int]) -> None:
    """Rows lie below, inside and above the window, and inside it all rows are known."""
    known = known_rows([FoundRows(IdRange(0, 3000), tuple(sorted(ids)))])
    assert known is not None
    assert known.inside == frozenset(number for number in ids if number in known.window)
    assert any(isinstance(number, int) and number < known.window.first for number in known.outside)
    assert any(isinstance(number, int) and number > known.window.last for number in known.outside)


def test_fewer_than_three_rows_prove_nothing() -> None:
    """Two rows cannot lie below, inside and above: prefix needs no proof."""
    assert known_rows([FoundRows(IdRange(0, 999), (1, 2))]) is None
    assert range_to_split([FoundRows(IdRange(0, 9), ("A", "B"))]) is None
    source = MemorySource([5, 900], no_lists)
    report = auto(source).probe()
    assert (report.chosen, report.trials, report.rows_known) == (None, (), 2)
    assert "too few rows" in report.server
    assert {page.stats.strategy for page in auto(source).pages()} == {"key-range"}
    assert list(auto(source)) == source.rows()


def test_an_empty_table_is_confirmed_by_one_bound() -> None:
    """Where `like` returns nothing although there are rows, the error says so."""
    source = MemorySource([])
    assert list(auto(source)) == []
    assert any(query.conditions[0].operator == "gteq" for query, _ in source.queries)

    def deaf(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
        return honest(conditions, ids) if conditions[0].operator in {"gteq", "to"} else []

    for ids in (range(100), range(5000, 5100)):
        with pytest.raises(NoStrategyError, match="switch WS-I off") as caught:
            list(auto(MemorySource(ids, deaf)))
        assert caught.value.report.chosen is None


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (TransportError("", remedy="stop", status=500), True),
        (TransportError("", remedy="retry", status=503), False),
        (TransportError("", remedy="stop", status=403), False),
        (FaultError("", code="101", text="", operation=""), True),
        (FaultError("", code="0", text="", operation=""), True),
        (FaultError("", code="SOAP-ENV:Server", text="", operation=""), True),
        (FaultError("", code="2", text="Access denied.", operation=""), False),
        (FaultError("", code="5", text="", operation=""), False),
        (FaultError("", code="WSDL", text="", operation="", remedy="retry"), False),
        (FaultError("", code="SOAP-ENV:Server", text="", operation="", remedy="split"), True),
        (MalformedReplyError("", remedy="retry"), False),
        (MalformedReplyError("", remedy="isolate"), True),
        (FilterIgnoredError("", span=IdRange(0, 1)), False),
    ],
)
def test_which_failures_are_a_verdict(error: Exception, *, verdict: bool) -> None:
    """A refused filter is a verdict on the strategy; a refused login is not."""
    assert is_verdict(error) is verdict


def test_a_failure_that_is_not_a_verdict_ends_the_probe() -> None:
    """A missing right is reported as such, with a cursor, and no strategy is blamed."""

    class Denied(MemorySource):
        def fetch(self, query: Query) -> Generator[Row]:
            if self.ids:
                raise FaultError("denied", code="2", text="Access denied.", operation="list")
            yield from super().fetch(query)

    with pytest.raises(FaultError, match="denied") as caught:
        list(auto(Denied([1, 2, 3])))
    assert caught.value.cursor is not None


def test_missing_rows_without_ids_are_detected() -> None:
    """The comparison with another strategy detects a server that loses rows."""

    def lossy(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
        numbers = honest(conditions, ids)
        return numbers if conditions[0].operator == "like" or len(numbers) < 500 else numbers[:-1]

    source = MemorySource(range(1, 80_000), lossy, with_ids=False)
    with pytest.raises(FilterIgnoredError, match=r"disagree about ids .*; use a strategy"):
        list(auto(source))


def test_the_report_is_a_table_and_json() -> None:
    """It prints as a table, and its values are JSON."""
    report = auto(MemorySource(range(1, 500), spelled_once)).probe(exhaustive=True)
    text = str(report)
    assert text.splitlines()[0].startswith("list: the server keeps the last condition per field")
    assert "range" in text
    assert "unexpected rows (1)" in text
    values = json.loads(json.dumps(report.as_json()))
    assert values["chosen"] == "key-range"
    assert [trial["verdict"] for trial in values["trials"]][:2] == ["holds", "ignored"]
    assert report.holds("prefix") is None


def test_each_combination_of_verdicts_describes_a_server() -> None:
    """One sentence for each combination that versions produce."""

    def sentence(**verdicts: str) -> str:
        trials = tuple(
            Trial(name.replace("_", "-"), "", 1, 1, (), None, 0.0, verdict)  # type: ignore[arg-type]
            for name, verdict in verdicts.items()
        )
        return ProbeReport("list", None, 3, 1, trials).server

    assert "1.8 or newer." in sentence(range="holds", in_list="holds")
    assert "1.4.2 to 1.7.0.0" in sentence(range="holds", in_list="ignored")
    assert "1.8 or newer, or" in sentence(range="holds")
    assert "1.7.0.1 to 1.7.0.2" in sentence(range="ignored", in_list="holds")
    assert "1.6.0.0 to 1.7.0.0" in sentence(range="ignored", in_list="ignored", regexp="holds")
    assert "up to 1.5" in sentence(range="ignored", in_list="ignored", regexp="ignored")
    assert "up to 1.7.0.2" in sentence(range="ignored")


def test_auto_changes_the_strategy_when_the_server_changes() -> None:
    """A server that stops honouring a strategy in the middle is probed again, and the window is requested again."""
    source = MemorySource(range(1, 3000))
    delivered: list[Row] = []
    strategies: set[str] = set()
    for page in auto(source, window=50).pages():
        delivered += page.rows
        strategies.add(page.stats.strategy)
        if len(delivered) > 1000:
            source.reading = eav
    assert delivered == source.rows()
    assert strategies == {"key-range", "in-list"}


def test_auto_gives_up_on_a_server_that_passes_trials_but_fails() -> None:
    """A strategy that works in the probe but not in the walk is not tried forever."""

    def two_faced(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
        first = conditions[0]
        high = any(condition.operator == "to" and int(condition.value) > 2000 for condition in conditions)
        high = high or (first.operator == "in" and any(int(number) > 2000 for number in first.value.split(",")))
        if first.operator == "regexp":
            return []
        return ids if high and first.operator in {"from", "in"} else honest(conditions, ids)

    source = MemorySource(range(1, 5000), two_faced)
    with pytest.raises(FilterIgnoredError) as caught:
        list(auto(source, window=500))
    assert caught.value.cursor is not None
    assert caught.value.cursor.next_id == 2000


def test_a_deleted_canary_is_replaced() -> None:
    """A row that was deleted during a walk is not a reason to distrust the server."""
    ids = list(range(1, 3000))
    source = MemorySource(ids)
    paginator = Paginator(source, InList(), "id", None, "list", window=50, candidates=CANDIDATES)
    delivered: list[Row] = []
    for page in paginator.pages():
        delivered += page.rows
        if len(delivered) > 500 and ids[0] == 1:
            ids[:10] = []
    assert [int(row["id"]) for row in delivered] == list(range(1, 3000))
