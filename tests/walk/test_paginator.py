"""The walk: every row exactly once, in order, for any ids, and no wrong row from a server that misleads."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from benchmarks.readings import last_per_column, no_lists
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_source import MemorySource

from magento_pager import (
    MAX_ID,
    Alias,
    Condition,
    Cursor,
    FilterIgnoredError,
    Goal,
    IdRange,
    InList,
    MalformedReplyError,
    Page,
    PagerError,
    Paginator,
    Prefix,
    Query,
    Range,
    Regexp,
    SingleFilter,
    Strategy,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from magento_pager.walk.pages import Row

CARRIERS: list[Strategy] = [Range(), Alias(), InList(), Prefix(), Regexp(), SingleFilter()]
SAFE_WITHOUT_IDS: list[Strategy] = [Range(), Alias(), InList(), Prefix(), Regexp()]

LAYOUTS = {
    "none": [],
    "three": [1, 2, 3],
    "dense from 0": range(3000),
    "only the last possible": [MAX_ID],
    "gaps": [number for number in range(1, 4000) if number % 13 and not 700 <= number <= 1400],
    "odd": range(1, 6000, 2),
    "7 mod 10": range(7, 20_000, 10),
    "every 1000th": range(137, 600_000, 1000),
    "a jump": [*range(1, 2000), *range(100_000, 101_000)],
    "two far clusters": [*range(1, 500), *range(3_000_000_000, 3_000_001_000)],
}


def walk(source: MemorySource, strategy: Strategy, **options: object) -> Paginator:
    """Return a walk over a list in memory."""
    return Paginator(source, strategy, "id", "increment_id" if not source.with_ids else None, "list", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("strategy", CARRIERS, ids=lambda strategy: strategy.name)
@pytest.mark.parametrize("window", [None, 1000])
def test_every_row_exactly_once_in_order(layout: str, strategy: Strategy, window: int | None) -> None:
    """With any strategy that the server honours, the walk delivers the table."""
    source = MemorySource(LAYOUTS[layout])
    assert list(walk(source, strategy, window=window)) == source.rows()
    if strategy.name != "single-filter":
        assert source.largest <= 10_001


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("strategy", SAFE_WITHOUT_IDS, ids=lambda strategy: strategy.name)
def test_rows_without_ids_are_delivered_exactly_once(layout: str, strategy: Strategy) -> None:
    """Rows without ids are sorted by window and increment_id, and their pages have `by_ids` False."""
    source = MemorySource(LAYOUTS[layout], with_ids=False)
    pages = list(walk(source, strategy).pages())
    assert [row for page in pages for row in page.rows] == source.rows()
    assert not any(page.stats.by_ids for page in pages if page.rows)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 20_000), unique=True, max_size=400), st.integers(1, 700), st.sampled_from(CARRIERS))
def test_any_ids_any_window(ids: list[int], window: int, strategy: Strategy) -> None:
    """For any ids and any width all rows are delivered, and no window with rows is wider."""
    source = MemorySource(ids)
    pages = list(walk(source, strategy, window=window, last=20_000).pages())
    assert [row for page in pages for row in page.rows] == source.rows()
    assert all(len(page.window) <= window for page in pages if page.rows)


@given(st.lists(st.integers(0, 5000), unique=True, max_size=200), st.integers(0, 5000), st.integers(0, 5000))
def test_first_and_last_are_inclusive(ids: list[int], one: int, other: int) -> None:
    """Only the ids from first to last are requested and delivered, both ends included."""
    first, last = sorted([one, other])
    source = MemorySource(ids)
    rows = list(walk(source, Alias(), first=first, last=last))
    assert [int(row["id"]) for row in rows] == sorted(number for number in ids if first <= number <= last)


def test_windows_cover_all_possible_ids() -> None:
    """The pages of a whole walk cover every id from 0 to the last: that proves that it is complete."""
    pages = list(walk(MemorySource(LAYOUTS["a jump"]), Alias(), window=100).pages())
    position = 0
    for page in pages:
        assert page.window.first == position
        position = page.window.last + 1
        assert page.cursor.next_id == position
    assert position == MAX_ID + 1


@pytest.mark.parametrize("layout", ["gaps", "a jump", "every 1000th", "none"])
def test_a_walk_can_be_resumed_at_any_page(layout: str) -> None:
    """The cursor of a page delivers the rest, no row twice and none missing."""
    source = MemorySource(LAYOUTS[layout])
    paginator = walk(source, Alias(), window=500)
    whole = list(paginator.pages())
    for number, page in list(enumerate(whole))[:: len(whole) // 20 + 1]:
        rest = [row for later in paginator.pages(resume=page.cursor) for row in later.rows]
        assert rest == [row for later in whole[number + 1 :] for row in later.rows]


def test_a_cursor_of_another_list_is_refused() -> None:
    """A cursor belongs to one list and one version of the format."""
    paginator = walk(MemorySource([1]), Alias())
    with pytest.raises(ValueError, match="does not belong"):
        paginator.pages(resume=Cursor("other", 0, 5))
    with pytest.raises(ValueError, match="does not belong"):
        paginator.pages(resume=Cursor("list", 0, 5, version=99))


def test_a_cursor_of_other_conditions_is_refused() -> None:
    """They select other rows; a cursor without a digest, as older versions wrote it, is accepted."""
    complete, noon = Condition("entity_id", "gteq", "5"), datetime(2024, 5, 1, 12, tzinfo=UTC)
    paginator = walk(MemorySource(range(1, 400)), Alias(), window=100)
    narrow = [replace(paginator, where=(complete,)), replace(paginator, since=noon)]
    cursors = [replace(next(one.pages()).cursor, next_id=100) for one in (paginator, narrow[0])]
    for one, cursor in itertools.product(narrow, cursors[:1]):
        with pytest.raises(ValueError, match="another `where`, `since` or `new_from`"):
            one.pages(resume=cursor)
    with pytest.raises(ValueError, match="another `where`, `since` or `new_from`"):
        paginator.pages(resume=cursors[1])
    assert next(row["id"] for page in paginator.pages(resume=cursors[0]) for row in page.rows) == "100"
    assert next(narrow[0].pages(resume=cursors[1])).cursor.asked == cursors[1].asked
    assert next(narrow[0].pages(resume=Cursor("list", 100, 399))).window.first == 100
    assert {one.asked for one in narrow[0].partitions(2)} == {cursors[1].asked}


def test_no_call_is_made_before_the_first_row_is_requested() -> None:
    """A paginator makes no call by itself, and each iteration is a separate walk."""
    source = MemorySource([1, 2])
    paginator = walk(source, Alias())
    paginator.pages()
    iter(paginator)
    assert source.queries == []
    assert list(paginator) == list(paginator) == source.rows()


def test_an_empty_page_does_not_end_the_walk() -> None:
    """Rows after a gap of many windows are delivered."""
    source = MemorySource([1, 2, 3, 50_000_000])
    assert len(list(walk(source, Alias(), window=10))) == 4


def test_the_whole_key_space_takes_few_empty_calls() -> None:
    """Covering all possible ids costs a few dozen calls, not millions."""
    source = MemorySource(LAYOUTS["a jump"])
    list(walk(source, Alias(), window=100))
    assert source.empty <= 40


@pytest.mark.parametrize("window", [None, 100])
def test_dense_rows_after_a_gap_do_not_make_a_large_reply(window: int | None) -> None:
    """A sample is taken before a wide window is requested, so no reply has too many rows."""
    source = MemorySource(range(1_000_000, 1_030_000))
    assert len(list(walk(source, Alias(), window=window))) == 30_000
    assert source.largest <= 10_000


@pytest.mark.parametrize("seed", range(10))
def test_random_layouts_never_make_a_large_reply(seed: int) -> None:
    """On random clusters with random steps, no reply exceeds 10,000 rows and every row is delivered once."""
    chance = random.Random(seed)  # noqa: S311  not a secret
    ids: set[int] = set()
    for _ in range(chance.randrange(1, 5)):
        start, step = chance.randrange(10 ** chance.randrange(1, 10)), chance.choice([1, 1, 2, 3, 10])
        ids |= set(range(start, min(MAX_ID, start + step * chance.randrange(1, 20_000)), step))
    source = MemorySource(sorted(ids))
    assert [int(row["id"]) for row in walk(source, Alias())] == sorted(ids)
    assert source.largest <= 10_000


def test_a_dropped_bound_is_detected_at_the_first_unexpected_row() -> None:
    """A server that keeps only the last condition sends rows from outside the window; none is delivered."""
    source = MemorySource(range(1, 3000), last_per_column)
    pages = walk(source, Range(), window=100).pages()
    delivered = [next(pages)]
    with pytest.raises(FilterIgnoredError, match="dropped a condition") as caught:
        delivered += list(pages)
    error = caught.value
    assert error.stray
    assert error.stray[0] not in error.span
    assert error.cursor == delivered[-1].cursor
    assert source.closed == 1, "the connection is closed, the rest is not read"
    assert [row for page in delivered for row in page.rows] == source.rows()[:99]


@pytest.mark.parametrize("strategy", [InList(), Regexp()], ids=lambda strategy: strategy.name)
@pytest.mark.parametrize("with_ids", [True, False])
def test_a_missing_canary_is_detected(strategy: Strategy, *, with_ids: bool) -> None:
    """A server that reads a list as its first id, or supports no regexp, omits the known row."""
    source = MemorySource(range(1, 300), no_lists, with_ids=with_ids)
    with pytest.raises(FilterIgnoredError, match="was not returned") as caught:
        list(walk(source, strategy, window=10))
    assert caught.value.missing_canary in range(1, 300)


@pytest.mark.parametrize("strategy", [InList(), Regexp()], ids=lambda strategy: strategy.name)
@pytest.mark.parametrize("with_ids", [True, False])
def test_the_canary_is_delivered_once(strategy: Strategy, *, with_ids: bool) -> None:
    """The canary is in every reply, and is delivered only in its own window."""
    source = MemorySource(range(1, 300), with_ids=with_ids)
    assert list(walk(source, strategy, window=10)) == source.rows()
    assert any(query.canary not in query.span for query, _ in source.queries if query.canary)


def test_prefix_is_used_until_a_row_is_known() -> None:
    """Without a canary an empty reply to a list or a regexp proves nothing, so `prefix` finds the first rows."""
    source = MemorySource(range(5000, 5100))
    pages = list(walk(source, InList(), window=100).pages())
    names = [page.stats.asked_by for page in pages]
    first = next(number for number, page in enumerate(pages) if page.rows)
    assert set(names[: first + 1]) <= {"prefix", "single-filter"}
    assert all(query.canary for query, _ in source.queries if query.conditions[0].operator == "in")


def test_repeated_rows_without_ids_are_detected() -> None:
    """Without ids, a row on two pages shows a dropped bound."""
    source = MemorySource(range(1, 300), last_per_column, with_ids=False)
    with pytest.raises(FilterIgnoredError, match="only one of them returns row 1000"):
        list(walk(source, Range(), window=10))


def test_single_filter_is_refused_where_rows_carry_no_ids() -> None:
    """Rows after the window look like rows inside it."""
    with pytest.raises(FilterIgnoredError, match="rows carry no ids"):
        list(walk(MemorySource(range(1, 300), with_ids=False), SingleFilter(), window=10))


class Sends:
    """A source that sends the same rows for every query."""

    def __init__(self, *rows: Row) -> None:
        self.rows = rows

    def fetch(self, query: Query) -> Generator[Row]:  # noqa: ARG002  that is the point
        """Yield the rows."""
        yield from self.rows


@pytest.mark.parametrize("row", [{"sku": "A"}, {"id": ""}, {"id": "1a"}, {"id": None}])
def test_a_row_without_a_usable_id_is_refused(row: Row) -> None:
    """In a list whose rows must carry ids, a row without one ends the walk."""
    with pytest.raises(MalformedReplyError, match="which is not an id"):
        list(Paginator(Sends(row), Alias(), "id"))


def test_a_repeated_id_in_a_window_is_refused() -> None:
    """A server that repeats a row may be wrong about the others."""
    with pytest.raises(MalformedReplyError, match="row 5 was returned twice"):
        list(Paginator(Sends({"id": "5"}, {"id": "5"}), Alias(), "id"))


def test_where_is_sent_and_checked() -> None:
    """The user's condition is in every query, including samples; a row that contradicts it ends the walk."""
    condition = Condition("status", "eq", "complete")
    honest_source = Sends()
    assert list(Paginator(honest_source, Alias(), "id", where=(condition,))) == []
    source = Sends({"id": "5", "status": "pending"})
    with pytest.raises(FilterIgnoredError, match="ignored or misread where status eq 'complete'"):
        list(Paginator(source, Alias(), "id", where=(condition,)))
    queries: list[Query] = []

    class Notes:
        def fetch(self, query: Query) -> Generator[Row]:
            queries.append(query)
            yield from ()

    list(Paginator(Notes(), Alias(), "id", where=(condition,)))
    assert len(queries) > 5
    assert all(query.conditions[-1] == condition for query in queries)


class Flaky(MemorySource):
    """Fails every other call, in the middle of its rows."""

    calls = 0

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield some rows, then fail temporarily."""
        self.calls += 1
        yield from super().fetch(query)
        if self.calls % 2:
            raise TransportError("reset", remedy="retry")


def test_a_temporary_failure_is_retried_and_repeats_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page is complete or not delivered: rows of a failed attempt are discarded."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    source = Flaky(range(1, 500))
    assert list(walk(source, Alias(), window=50)) == source.rows()


def test_a_lasting_failure_ends_the_walk_with_a_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last attempt the error has a cursor to resume from."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)

    class Broken(MemorySource):
        down = False

        def fetch(self, query: Query) -> Generator[Row]:
            self.down = self.down or query.span.first >= 200
            if self.down:
                raise TransportError("down", remedy="retry")
            yield from super().fetch(query)

    delivered: list[Page] = []
    with pytest.raises(PagerError) as caught:
        delivered.extend(walk(Broken(range(1, 500)), Alias(), window=100, patience=0.5).pages())
    assert caught.value.cursor == Cursor("list", 200, MAX_ID)


def test_stages_change_every_page_and_a_failing_stage_loses_none() -> None:
    """Stages run in order; after a failure, the cursor points to the page where it happened."""
    failing = {300}

    def numbered(page: Page) -> Page:
        return replace(page, rows=tuple({**row, "page": page.window.first} for row in page.rows))

    def marked(page: Page) -> Page:
        if page.window.first in failing:
            raise TransportError("down", remedy="retry")
        return replace(page, rows=tuple({**row, "mark": f"{row['page']}!"} for row in page.rows))

    paginator = walk(MemorySource(range(1, 500)), Alias(), window=100, first=0, last=999, stages=(numbered, marked))
    delivered: list[Page] = []
    with pytest.raises(PagerError) as caught:
        delivered.extend(paginator.pages())
    assert caught.value.cursor == Cursor("list", 300, 999)
    failing.clear()
    rows = [row for page in paginator.pages(caught.value.cursor) for row in page.rows]
    assert [int(row["id"]) for row in rows] == [*range(300, 500)]
    assert {(row["page"], row["mark"]) for row in rows} == {(300, "300!"), (400, "400!")}


def test_a_custom_strategy_needs_no_registration() -> None:
    """Any object with a name and `queries` can read rows; other strategies cover wide gaps."""

    class Tens:
        name = "tens"

        def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:
            assert known is None
            assert len(window) <= 10_000
            for part in window.tile(10):
                yield from Range().queries(part, None)

    source = MemorySource([*range(1, 50), *range(3_000_000, 3_000_100)])
    pages = list(walk(source, Tens(), window=20).pages())
    assert [row for page in pages for row in page.rows] == source.rows()
    assert {page.stats.asked_by for page in pages} <= {"tens", "prefix", "single-filter"}
    assert {page.stats.strategy for page in pages} == {"tens"}


def test_queries_makes_no_call() -> None:
    """The queries of consecutive windows can be printed offline."""
    source = MemorySource([1])
    queries = walk(source, Alias(), window=100, first=50, last=249).queries()
    assert [str(query.span) for query in queries] == ["50-99", "100-199", "200-249"]
    assert source.queries == []


def test_prefix_and_regexp_round_widths_to_decimal_blocks() -> None:
    """A width of 1873 would cost 28 prefixes a window; 1000 costs one."""
    spans = [query.span for query in walk(MemorySource([]), Prefix(), window=1873, first=1000, last=3999).queries()]
    assert [str(span) for span in spans] == ["1000-1999", "2000-2999", "3000-3999"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"window": 0}, ValueError, "at least 1 id wide"),
        ({"first": 5, "last": 4}, ValueError, "above the last"),
        ({"first": -1}, ValueError, "at least 0"),
    ],
)
def test_invalid_options_are_refused_before_any_call(
    options: dict[str, int], error: type[Exception], words: str
) -> None:
    """A mistake of the caller is an error at once."""
    with pytest.raises(error, match=words):
        walk(MemorySource([]), Alias(), **options)
    with pytest.raises(TypeError, match="a strategy needs a name"):
        walk(MemorySource([]), "alias")  # type: ignore[arg-type]


def test_pages_count_their_calls() -> None:
    """The calls of all pages add up to the calls made."""
    source = MemorySource(LAYOUTS["gaps"])
    pages = list(walk(source, Prefix(), goal=Goal(rows=300)).pages())
    assert sum(page.stats.calls for page in pages) == len(source.queries)
    assert sum(page.stats.empty_calls for page in pages) == source.empty
