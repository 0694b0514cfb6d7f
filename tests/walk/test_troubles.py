"""Failures during a walk: smaller windows, skipped rows and retries; on a list in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_source import MemorySource

from magento_pager import (
    MAX_ID,
    Alias,
    Cursor,
    FaultError,
    IdRange,
    InList,
    MalformedReplyError,
    PagerError,
    Paginator,
    Prefix,
    Range,
    Regexp,
    RemoteError,
    SingleFilter,
    Strategy,
    TransportError,
)
from magento_pager.walk.isolation import MOST_SKIPPED_IN_A_ROW
from magento_pager.walk.windows import Goal, Pace, part_width

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from magento_pager import Page, Query
    from magento_pager.walk.pages import Row

STRATEGIES: tuple[Strategy, ...] = (Range(), Alias(), InList(), Prefix(), Regexp())


def duplicate(number: int) -> RemoteError:
    """Return the error of a row that breaks every reply that contains it."""
    text = f'Item with the same id "{number}" already exist'
    return FaultError(text, code="1", text=text, operation="list", remedy="isolate")


@dataclass
class FailingList(MemorySource):
    """A list on a server that fails.

    Attributes:
        poisoned: ids whose rows break their replies.
        memory: the most rows in a reply.
        failure: returns the error that a poisoned row causes.
        down: number of next calls that fail.
        failed: number of failed calls.
    """

    poisoned: frozenset[int] = frozenset()
    memory: int = 10**9
    failure: Callable[[int], RemoteError] = duplicate
    down: int = 0
    failed: int = field(default=0, init=False)

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows, unless the server fails."""
        rows = list(super().fetch(query))
        numbers = [int(row["increment_id"]) - 100_000_000 for row in rows]
        self.failed += 1
        if self.down:
            self.down -= 1
            raise TransportError("HTTP 500", remedy="split", status=500)
        if broken := sorted(self.poisoned & set(numbers)):
            raise self.failure(broken[0])
        if len(rows) > self.memory:
            raise FaultError("memory", code="SOAP-ENV:Server", text="memory", operation="list", remedy="split")
        self.failed -= 1
        yield from rows


def walk(source: FailingList, strategy: Strategy | None = None, **options: object) -> Paginator:
    """Return a walk without a probe."""
    identity = None if source.with_ids else "increment_id"
    return Paginator(source, strategy or Range(), "id", identity, "list", patience=0.0, **options)  # type: ignore[arg-type]


def delivered(pages: list[Page]) -> list[int]:
    """Return the ids of all rows, in order."""
    return [int(row["increment_id"]) - 100_000_000 for page in pages for row in page.rows]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("window", [None, 100])
def test_only_broken_rows_are_skipped(strategy: Strategy, *, with_ids: bool, window: int | None) -> None:
    """Each is named with the server's text, and its neighbours are delivered: the first, the last, two in a row."""
    ids = [*range(5, 3000), *range(70_000, 70_010)]
    poisoned = {5, 6, 777, 1000, 1999, 2999, 70_009}
    source = FailingList(ids, with_ids=with_ids, poisoned=frozenset(poisoned))
    pages = list(walk(source, strategy, window=window).pages())
    assert delivered(pages) == [number for number in ids if number not in poisoned]
    left_out = [row for page in pages for row in page.quarantined]
    assert [row.id for row in left_out] == sorted(poisoned)
    assert all(f'same id "{row.id}"' in row.reason for row in left_out)
    assert all(row.id in page.window for page in pages for row in page.quarantined)
    assert pages[-1].cursor.next_id > MAX_ID


@settings(deadline=None, max_examples=40)
@given(
    ids=st.sets(st.integers(0, 400), min_size=1, max_size=120),
    poisoned=st.sets(st.integers(0, 400), max_size=12),
    memory=st.integers(1, 50),
    window=st.one_of(st.none(), st.integers(1, 90)),
    strategy=st.sampled_from(STRATEGIES),
)
def test_every_row_is_delivered_or_named(
    ids: set[int], poisoned: set[int], memory: int, window: int | None, strategy: Strategy
) -> None:
    """After any failure, rows are delivered once or skipped by name, or the walk ends with an error and a cursor."""
    source = FailingList(ids, poisoned=frozenset(poisoned), memory=max(memory, 2))
    pages: list[Page] = []
    try:
        pages.extend(page for page in walk(source, strategy, window=window).pages())
    except PagerError as error:
        assert not ids - poisoned, "only if no other row proves that the server works"
        assert error.cursor is not None  # noqa: PT017  both outcomes are valid
        return
    assert delivered(pages) == sorted(ids - poisoned)
    assert [row.id for page in pages for row in page.quarantined] == sorted(ids & poisoned)


@pytest.mark.parametrize("memory", [1000, 130])
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_replies_that_are_too_large_make_windows_narrower(strategy: Strategy, memory: int) -> None:
    """The replies fit the server, and few calls are wasted on larger ones."""
    source = FailingList(range(1, 6000), memory=memory)
    pages = list(walk(source, strategy).pages())
    assert delivered(pages) == list(source.ids)
    assert not any(page.quarantined for page in pages)
    carrying = sum(bool(page.rows) for page in pages)
    assert carrying <= 4 * 6000 / memory + 30
    assert source.failed <= carrying / 4 + 30


def test_windows_grow_again_after_a_failure() -> None:
    """They double up to the width that failed, and grow slowly from there."""
    wide = IdRange(0, 10**6 - 1)
    pace = Pace.start(Goal(rows=1600)).after_failure(wide).after_failure(wide).after_failure(wide)
    assert pace.rows == 200
    rows = [(pace := pace.after(IdRange(0, 999), 1000, 0.1)).rows for _ in range(60)]
    assert rows[:2] == [210, 220]
    assert rows == sorted(rows)
    assert rows[-1] == 1600
    fixed = Pace.start(Goal(), 100).after_failure(IdRange(0, 99))
    assert (fixed.fixed_width, fixed.window(0, 999), fixed.window(77, 999)) == (50, IdRange(0, 49), IdRange(77, 126))
    assert fixed.after(IdRange(0, 1), 2, 0.1).fixed_width == 50, "a small part of a window shows nothing"


def test_a_temporary_outage_loses_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server fails on every request, down to one id, and then works again."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    source = FailingList(range(1, 500))
    pages: list[Page] = []
    for page in Paginator(source, Range(), "id", None, "list", window=50).pages():
        pages.append(page)
        if page.window == IdRange(100, 149):
            source.down = 12
    assert delivered(pages) == list(source.ids)
    assert not any(page.quarantined for page in pages)


def test_a_permanent_outage_skips_no_row() -> None:
    """A row that could be read before fails as well: the walk ends, with the cursor of the first missing row."""
    source = FailingList(range(1, 500))
    pages: list[Page] = []

    def fill() -> None:
        for page in walk(source, window=50).pages():
            pages.append(page)
            if page.window == IdRange(100, 149):
                source.down = 10**6

    with pytest.raises(RemoteError, match="neither can a row of ids 100-149") as caught:
        fill()
    assert caught.value.cursor == Cursor("list", 150, MAX_ID)
    assert delivered(pages) == list(range(1, 150))


@pytest.mark.parametrize("count", [MOST_SKIPPED_IN_A_ROW - 1, MOST_SKIPPED_IN_A_ROW])
def test_twenty_failing_rows_in_a_row_end_the_walk(count: int) -> None:
    """Nineteen in a row are skipped; at the twentieth the walk ends."""
    poisoned = frozenset(range(100, 100 + count))
    source = FailingList(range(1, 500), poisoned=poisoned)
    pages: list[Page] = []
    if count < MOST_SKIPPED_IN_A_ROW:
        pages.extend(walk(source, window=50).pages())
        assert {row.id for page in pages for row in page.quarantined} == poisoned
        return
    with pytest.raises(RemoteError, match="in a row could not be read") as caught:
        pages.extend(walk(source, window=50).pages())
    assert caught.value.cursor == Cursor("list", 119, MAX_ID)


def test_a_known_row_that_breaks_is_replaced() -> None:
    """A known row that becomes unreadable in the middle of a walk costs some calls; only this row is skipped."""
    source = FailingList(range(1, 2000))
    pages: list[Page] = []
    for page in walk(source, InList(), window=50).pages():
        pages.append(page)
        if page.window.last > 500:
            source.poisoned = frozenset({1})
    assert delivered(pages) == list(source.ids)


def test_a_row_whose_xml_is_broken_is_repaired_if_allowed() -> None:
    """Read without the characters that XML forbids, it is delivered and named; a fault is not repaired."""

    def malformed(number: int) -> RemoteError:
        return MalformedReplyError(f"broken at {number}", remedy="isolate")

    for failure, repaired in ((malformed, [7]), (duplicate, [])):
        source = FailingList(range(1, 50), poisoned=frozenset({7}), failure=failure)
        pages = list(walk(source, repairing=MemorySource(range(1, 50))).pages())
        assert [number for page in pages for number in page.repaired] == repaired
        assert delivered(pages) == [number for number in source.ids if number != 7 or repaired]
        assert [row.id for page in pages for row in page.quarantined] == [7][len(repaired) :]


def test_single_filter_skips_only_the_broken_row() -> None:
    """Each of its replies contains the rest of the list, so one row breaks all replies before it; none is lost."""
    source = FailingList(range(1, 60), poisoned=frozenset({40}))
    pages = list(walk(source, SingleFilter(), window=20).pages())
    assert delivered(pages) == [number for number in source.ids if number != 40]


def test_a_gateway_timeout_makes_windows_narrower(monkeypatch: pytest.MonkeyPatch) -> None:
    """A permanent 504 for a wide window may be caused by its width."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)

    class Tired(MemorySource):
        def fetch(self, query: Query) -> Generator[Row]:
            if len(query.span) > 60:
                raise TransportError("HTTP 504", remedy="retry", status=504)
            yield from super().fetch(query)

    source = Tired(range(1, 300))
    rows = list(Paginator(source, Range(), "id", None, "list", window=100, last=299, patience=0.0))
    assert rows == source.rows()


@given(first=st.integers(0, 10**6), width=st.integers(2, 10**6), decimal=st.booleans())
def test_a_part_is_narrower(first: int, width: int, *, decimal: bool) -> None:
    """Splitting ends at one id."""
    window = IdRange(first, first + width - 1)
    assert 1 <= part_width(window, decimal=decimal) < width
