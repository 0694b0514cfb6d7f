"""Replies that lack rows, or hold rows of another page: detected, requested again, and exact in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from memory_source import MemorySource

import magento_pager
from magento_pager import (
    Alias,
    FilterIgnoredError,
    Goal,
    IdRange,
    InList,
    KeyRange,
    Paginator,
    Prefix,
    Range,
    Strategy,
)
from magento_pager.fake import Shop
from magento_pager.walk.checks import Identities

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from magento_pager import Query
    from magento_pager.walk.pages import Row


@dataclass
class Misleading(MemorySource):
    """A list that gives a wrong reply to some queries, once or always."""

    wrong_reply: Callable[[Query, list[int]], list[int] | None] = lambda *_: None
    always: bool = False
    wrong_replies: int = 0

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows, or the wrong ones."""
        rows = list(super().fetch(query))
        numbers = sorted(int(row["increment_id"]) - 100_000_000 for row in rows)
        answer = self.wrong_reply(query, numbers) if self.always or not self.wrong_replies else None
        if answer is None or answer == numbers:
            yield from rows
            return
        self.wrong_replies += 1
        yield from (self.row(number) for number in reversed(answer))


def walk(source: MemorySource, strategy: Strategy | None = None, **options: Any) -> Paginator:
    """Return a walk over a list in memory."""
    candidates = () if strategy else (KeyRange(), Alias(), InList(), Prefix())
    identity = None if source.with_ids else "increment_id"
    return Paginator(source, strategy, "id", identity, "list", candidates=candidates, **options)


def concerns(number: int) -> Callable[[Query, list[int]], bool]:
    """Return a check whether a query is for an id, and not for a sample or the whole list."""
    return lambda query, _: number in query.span and len(query.span) < 100_000


@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize(
    "strategy", [None, Range(), Alias(), Prefix()], ids=lambda strategy: strategy.name if strategy else "auto"
)
@pytest.mark.parametrize(
    "answer", [lambda rows: rows[:0], lambda rows: rows[: len(rows) // 2], lambda rows: rows[len(rows) // 2 :]]
)
@pytest.mark.parametrize("number", [550, 1_950, 4_450])
def test_an_empty_or_half_reply_among_full_ones_is_corrected(
    number: int, answer: Callable[[list[int]], list[int]], strategy: Strategy | None, window: int | None
) -> None:
    """The rows are returned with the next window, or when the page is requested again."""
    concerned = concerns(number)
    source = Misleading(
        range(1, 5_000), wrong_reply=lambda query, rows: answer(rows) if concerned(query, rows) else None
    )
    assert list(walk(source, strategy, window=window)) == source.rows()
    assert source.wrong_replies == 1


def test_rows_that_a_sample_found_must_be_in_the_reply() -> None:
    """A wide window is answered empty once, although a sample found rows in it."""
    ids = [*range(1, 3_000), *range(400_000, 402_000)]
    source = Misleading(ids, wrong_reply=lambda query, rows: [] if rows and query.span.first > 3_000 else None)
    assert list(walk(source)) == source.rows()
    assert source.wrong_replies == 1


@pytest.mark.parametrize("with_ids", [True, False])
def test_an_empty_reply_at_the_open_end_is_requested_again(with_ids: bool) -> None:  # noqa: FBT001  a parameter of pytest
    """A single empty reply does not prove the end of the list."""
    last = 2**32 - 1
    source = Misleading(
        range(1, 4_150), with_ids=with_ids, wrong_reply=lambda query, _: [] if query.span.last == last else None
    )
    assert list(walk(source, KeyRange(), window=1_000)) == source.rows()
    assert source.wrong_replies == 1


@pytest.mark.parametrize("back", [1, 2, 90])
def test_an_older_page_without_ids_is_requested_again(back: int) -> None:
    """As a cache may send it: however far back that page is, the right one is requested."""

    def older(query: Query, rows: list[int]) -> list[int] | None:
        window = query.span
        return [number - 100 * back for number in rows] if rows and window == IdRange(9_500, 9_599) else None

    source = Misleading(range(1, 12_000), with_ids=False, wrong_reply=older)
    assert list(walk(source, KeyRange(), window=100)) == source.rows()
    assert source.wrong_replies == 1


def test_a_number_received_twice_that_exists_once_ends_the_walk() -> None:
    """A row of the next page was sent too early: when it is sent again, the delivered rows cannot be trusted."""
    early = concerns(950)
    ids = [number for number in range(1, 3_000) if number % 10]
    source = Misleading(
        ids, with_ids=False, wrong_reply=lambda query, rows: [*rows, 1_007] if early(query, rows) else None
    )
    with pytest.raises(FilterIgnoredError, match="only one row has it") as caught:
        list(walk(source, KeyRange(), window=100))
    assert caught.value.cursor is not None


@pytest.mark.parametrize("strategy", [KeyRange(), Prefix()], ids=lambda strategy: strategy.name)
@pytest.mark.parametrize("other", [1, 302, 2_999])
def test_a_page_with_a_number_far_from_all_others_is_requested_again(other: int, strategy: Strategy) -> None:
    """The second reply decides whether the number belongs there."""
    concerned = concerns(950)
    source = Misleading(
        [number for number in range(1, 3_000) if number % 10],
        with_ids=False,
        wrong_reply=lambda query, rows: sorted([*rows, other]) if concerned(query, rows) else None,
    )
    assert list(walk(source, strategy, window=100)) == source.rows()
    assert source.wrong_replies == 1


@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("query", range(15))
@pytest.mark.parametrize("answer", ["none", "half", "others"])
def test_each_query_of_a_window_is_checked(answer: str, query: int, with_ids: bool) -> None:  # noqa: FBT001
    """A window that takes 15 queries, because it begins at an odd id, is complete although one returns few rows."""
    queries = list(Prefix().queries(IdRange(3_094, 3_999), None))
    block = queries[query].span

    def wrong_reply(query: Query, rows: list[int]) -> list[int] | None:
        if query.span != block:
            return None
        return {"none": [], "half": rows[: len(rows) // 2], "others": [number - 700 for number in rows]}[answer]

    source = Misleading(range(3_000, 6_000), with_ids=with_ids, wrong_reply=wrong_reply)
    paginator = walk(source, Prefix(), window=1_000, first=3_094, last=3_999)
    if answer == "others" and with_ids:
        with pytest.raises(FilterIgnoredError):
            list(paginator)
    else:
        assert list(paginator) == source.rows()[94:1_000]
    assert source.wrong_replies == 1
    assert len(queries) == 15


@pytest.mark.parametrize("times", [1, 2])
def test_half_a_page_without_an_equivalent_query_needs_three_replies(times: int) -> None:
    """Where only the same query is possible, a doubtful reply with few rows must be returned three times."""
    wrong_replies: list[Query] = []

    def wrong_reply(query: Query, rows: list[int]) -> list[int] | None:
        if query.span != IdRange(1_200, 1_299) or len(wrong_replies) == times:
            return None
        wrong_replies.append(query)
        return rows[:50]

    source = Misleading(range(1, 3_000), wrong_reply=wrong_reply, always=True)
    assert list(walk(source, Prefix(), window=100)) == source.rows()
    assert len(wrong_replies) == times


def test_tenths_must_return_the_rows_of_the_wider_window() -> None:
    """Rows without ids, too many for a user's own window, are requested in tenths, of which one is empty."""
    queries: list[Query] = []

    def wrong_reply(query: Query, rows: list[int]) -> list[int] | None:
        queries.extend([query] if query.span == IdRange(4_000, 4_999) else [])
        return [] if rows and len(queries) == 2 else None

    source = Misleading([*range(1, 2_600), *range(4_900, 6_000)], with_ids=False, wrong_reply=wrong_reply, always=True)
    assert list(walk(source, Prefix(), window=100)) == source.rows()
    assert source.wrong_replies == 1


def test_a_window_of_decimal_blocks_ends_at_a_round_id() -> None:
    """However far a sample reaches, no call is spent on single ids at its end: 112 calls, 158 before."""
    source = MemorySource([*range(1, 90), *range(41_357, 43_000), *range(87_654, 90_000)])
    paginator = Paginator(source, None, "id", candidates=(Prefix(),), goal=Goal(rows=100, seconds=1e6))
    windows = [page.window for page in paginator.pages()]
    assert all((window.last + 1) % 100 == 0 for window in windows[:-1])
    assert len(source.queries) < 120


def test_two_rows_with_the_same_number_are_delivered() -> None:
    """Where the shop has given a number twice, both rows are delivered."""

    class Shared(MemorySource):
        def row(self, number: int) -> Row:
            return super().row(777 if number == 1_777 else number)

        def fetch(self, query: Query) -> Generator[Row]:
            if query.conditions[0].field == "increment_id":
                yield from [self.row(777), self.row(777)]
            else:
                yield from super().fetch(query)

    source = Shared(range(1, 3_000), with_ids=False)
    rows = walk(source, KeyRange(), window=100)
    assert sorted(row["increment_id"] for row in rows) == sorted(row["increment_id"] for row in source.rows())


def test_a_row_that_one_strategy_drops_ends_a_full_check() -> None:
    """With check="full" each window is requested by two strategies: a row that only one returns ends the walk."""

    def dropping(query: Query, rows: list[int]) -> list[int] | None:
        return [number for number in rows if number != 777] if "main_table" in str(query) else None

    source = Misleading(range(1, 3_000), always=True, wrong_reply=dropping)
    assert len(list(walk(source))) == 2_998
    for strategy in (None, Alias()):
        with pytest.raises(FilterIgnoredError, match="only one of them returns row 777"):
            list(walk(source, strategy, check="full"))


def test_every_sixteenth_page_is_compared_with_another_strategy() -> None:
    """This reveals a condition that always loses rows."""

    def losing(query: Query, rows: list[int]) -> list[int] | None:
        return [number for number in rows if number % 7] if "from" in str(query) else None

    with pytest.raises(FilterIgnoredError, match="disagree"):
        list(walk(Misleading(range(1, 5_000), always=True, wrong_reply=losing), Range(), window=100))


def test_identities_take_little_memory() -> None:
    """Up to 3 million of them take 32 MB, and none is forgotten."""
    received = Identities()
    received.add(str(number) for number in range(200_000))
    assert all(str(number) in received for number in range(0, 200_000, 997))
    assert not any(str(number) in received for number in range(200_000, 400_000, 997))
    assert len(received) == 200_000


def test_a_resumed_dump_knows_the_earlier_rows(tmp_path: Path) -> None:
    """It reads their numbers from the output, and the report counts the calls that checked others."""
    with Shop(orders=3_000) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        report = magento_pager.dump(pager.shipments(window=100), tmp_path / "all.ndjson")
        assert report.as_json()["checks"] >= 2

        def stop(progress: Any) -> None:
            if progress.rows > 500:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            magento_pager.dump(pager.shipments(window=100), tmp_path / "some.ndjson", progress=stop)
        magento_pager.dump(pager.shipments(window=100), tmp_path / "some.ndjson", resume=True)
        assert (tmp_path / "some.ndjson").read_bytes() == (tmp_path / "all.ndjson").read_bytes()
        twice = magento_pager.dump(pager.shipments(check="full"), tmp_path / "twice.ndjson")
        assert twice.as_json()["verified"] == "twice"
        lines = [sorted((tmp_path / f"{name}.ndjson").read_bytes().splitlines()) for name in ("twice", "all")]
        assert lines[0] == lines[1]  # without ids they are in order within a page alone


def test_only_usual_and_full_are_checks() -> None:
    """Another value is refused before any call."""
    with pytest.raises(ValueError, match='check is "usual" or "full"'):
        walk(MemorySource([]), check="twice")
