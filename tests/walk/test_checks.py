"""Replies that leave rows out, or hold those of another page: noticed, asked for again, and exact."""

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
class Lying(MemorySource):
    """A list whose reply to some queries is another one, once or always."""

    lie: Callable[[Query, list[int]], list[int] | None] = lambda *_: None
    always: bool = False
    lies: int = 0

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows, or the lie."""
        rows = list(super().fetch(query))
        numbers = sorted(int(row["increment_id"]) - 100_000_000 for row in rows)
        told = self.lie(query, numbers) if self.always or not self.lies else None
        if told is None or told == numbers:
            yield from rows
            return
        self.lies += 1
        yield from (self.row(number) for number in reversed(told))


def walk(source: MemorySource, strategy: Strategy | None = None, **options: Any) -> Paginator:
    """Return a walk over a list in memory."""
    candidates = () if strategy else (KeyRange(), Alias(), InList(), Prefix())
    identity = None if source.with_ids else "increment_id"
    return Paginator(source, strategy, "id", identity, "list", candidates=candidates, **options)


def asks_for(number: int) -> Callable[[Query, list[int]], bool]:
    """Whether a query is about an id, and not for a sample or the whole list."""
    return lambda query, _: number in query.span and len(query.span) < 100_000


@pytest.mark.parametrize("window", [None, 100])
@pytest.mark.parametrize("strategy", [None, Range(), Alias(), Prefix()], ids=lambda one: one.name if one else "auto")
@pytest.mark.parametrize(
    "told", [lambda rows: rows[:0], lambda rows: rows[: len(rows) // 2], lambda rows: rows[len(rows) // 2 :]]
)
@pytest.mark.parametrize("number", [550, 1_950, 4_450])
def test_an_empty_or_half_reply_among_full_ones(
    number: int, told: Callable[[list[int]], list[int]], strategy: Strategy | None, window: int | None
) -> None:
    """The rows come with the next window, or when the page is asked for again."""
    concerned = asks_for(number)
    source = Lying(range(1, 5_000), lie=lambda query, rows: told(rows) if concerned(query, rows) else None)
    assert list(walk(source, strategy, window=window)) == source.rows()
    assert source.lies == 1


def test_rows_that_a_sample_met_must_come() -> None:
    """A wide window is answered empty once, though a sample found rows in it."""
    ids = [*range(1, 3_000), *range(400_000, 402_000)]
    source = Lying(ids, lie=lambda query, rows: [] if rows and query.span.first > 3_000 else None)
    assert list(walk(source)) == source.rows()
    assert source.lies == 1


@pytest.mark.parametrize("with_ids", [True, False])
def test_the_open_end_is_answered_empty_once(with_ids: bool) -> None:  # noqa: FBT001  a parameter of pytest
    """The end of the list is not believed by itself."""
    last = 2**32 - 1
    source = Lying(range(1, 4_150), with_ids=with_ids, lie=lambda query, _: [] if query.span.last == last else None)
    assert list(walk(source, KeyRange(), window=1_000)) == source.rows()
    assert source.lies == 1


@pytest.mark.parametrize("back", [1, 2, 90])
def test_a_page_without_ids_that_is_an_older_one(back: int) -> None:
    """As a cache sends it: however far back the other page lies, it is asked for again."""

    def older(query: Query, rows: list[int]) -> list[int] | None:
        window = query.span
        return [one - 100 * back for one in rows] if rows and window == IdRange(9_500, 9_599) else None

    source = Lying(range(1, 12_000), with_ids=False, lie=older)
    assert list(walk(source, KeyRange(), window=100)) == source.rows()
    assert source.lies == 1


def test_a_number_that_came_before_and_exists_once_ends_the_walk() -> None:
    """A row of the next page came too early: when it comes again, what was delivered cannot be trusted."""
    early = asks_for(950)
    ids = [number for number in range(1, 3_000) if number % 10]
    source = Lying(ids, with_ids=False, lie=lambda query, rows: [*rows, 1_007] if early(query, rows) else None)
    with pytest.raises(FilterIgnoredError, match="only one row has it") as caught:
        list(walk(source, KeyRange(), window=100))
    assert caught.value.cursor is not None


@pytest.mark.parametrize("strategy", [KeyRange(), Prefix()], ids=lambda one: one.name)
@pytest.mark.parametrize("other", [1, 302, 2_999])
def test_a_number_far_from_all_others_of_a_page(other: int, strategy: Strategy) -> None:
    """The page is asked for again before it is delivered."""
    concerned = asks_for(950)
    source = Lying(
        [number for number in range(1, 3_000) if number % 10],
        with_ids=False,
        lie=lambda query, rows: sorted([*rows, other]) if concerned(query, rows) else None,
    )
    assert list(walk(source, strategy, window=100)) == source.rows()
    assert source.lies == 1


@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("query", range(15))
@pytest.mark.parametrize("told", ["none", "half", "others"])
def test_each_query_of_a_window_is_looked_at(told: str, query: int, with_ids: bool) -> None:  # noqa: FBT001
    """A window that takes 15 queries, as it begins at an odd id, comes whole though one of them brings few rows."""
    queries = list(Prefix().queries(IdRange(3_094, 3_999), None))
    block = queries[query].span

    def lie(query: Query, rows: list[int]) -> list[int] | None:
        if query.span != block:
            return None
        return {"none": [], "half": rows[: len(rows) // 2], "others": [one - 700 for one in rows]}[told]

    source = Lying(range(3_000, 6_000), with_ids=with_ids, lie=lie)
    paginator = walk(source, Prefix(), window=1_000, first=3_094, last=3_999)
    if told == "others" and with_ids:
        with pytest.raises(FilterIgnoredError):
            list(paginator)
    else:
        assert list(paginator) == source.rows()[94:1_000]
    assert source.lies == 1
    assert len(queries) == 15


@pytest.mark.parametrize("times", [1, 2])
def test_half_a_page_that_comes_twice_is_not_believed(times: int) -> None:
    """Where nothing but the same query can be asked, a reply that few rows make doubtful must come three times."""
    lies: list[Query] = []

    def lie(query: Query, rows: list[int]) -> list[int] | None:
        if query.span != IdRange(1_200, 1_299) or len(lies) == times:
            return None
        lies.append(query)
        return rows[:50]

    source = Lying(range(1, 3_000), lie=lie, always=True)
    assert list(walk(source, Prefix(), window=100)) == source.rows()
    assert len(lies) == times


def test_a_tenth_must_bring_what_the_wider_window_did() -> None:
    """Rows without ids, too many for a user's own window, are asked for in tenths, of which one comes empty."""
    asked: list[Query] = []

    def lie(query: Query, rows: list[int]) -> list[int] | None:
        asked.extend([query] if query.span == IdRange(4_000, 4_999) else [])
        return [] if rows and len(asked) == 2 else None

    source = Lying([*range(1, 2_600), *range(4_900, 6_000)], with_ids=False, lie=lie, always=True)
    assert list(walk(source, Prefix(), window=100)) == source.rows()
    assert source.lies == 1


def test_a_window_of_decimal_blocks_ends_at_a_round_id() -> None:
    """However far a sample reaches, no call is spent on single ids at its end: 112 calls, 158 before."""
    source = MemorySource([*range(1, 90), *range(41_357, 43_000), *range(87_654, 90_000)])
    paginator = Paginator(source, None, "id", candidates=(Prefix(),), goal=Goal(rows=100, seconds=1e6))
    windows = [page.window for page in paginator.pages()]
    assert all((window.last + 1) % 100 == 0 for window in windows[:-1])
    assert len(source.queries) < 120


def test_two_rows_with_one_number_are_delivered() -> None:
    """Where the shop has given a number twice, both rows come."""

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


def test_what_one_strategy_drops_is_found_by_another() -> None:
    """With check="full" each window is asked for by two strategies: a row that only one brings ends the walk."""

    def dropping(query: Query, rows: list[int]) -> list[int] | None:
        return [one for one in rows if one != 777] if "main_table" in str(query) else None

    source = Lying(range(1, 3_000), always=True, lie=dropping)
    assert len(list(walk(source))) == 2_998
    for strategy in (None, Alias()):
        with pytest.raises(FilterIgnoredError, match="only one of them returns row 777"):
            list(walk(source, strategy, check="full"))


def test_every_sixteenth_page_is_asked_for_by_another_strategy() -> None:
    """A condition that loses rows all the time shows there."""

    def losing(query: Query, rows: list[int]) -> list[int] | None:
        return [one for one in rows if one % 7] if "from" in str(query) else None

    with pytest.raises(FilterIgnoredError, match="disagree"):
        list(walk(Lying(range(1, 5_000), always=True, lie=losing), Range(), window=100))


def test_identities_are_remembered_in_little_memory() -> None:
    """Millions of them take 32 MB; none is forgotten before."""
    came = Identities()
    came.add(str(number) for number in range(200_000))
    assert all(str(number) in came for number in range(0, 200_000, 997))
    assert not any(str(number) in came for number in range(200_000, 400_000, 997))
    assert len(came) == 200_000


def test_a_resumed_dump_knows_what_came_before(tmp_path: Path) -> None:
    """Its output tells the numbers of the rows before, and the report how many calls checked others."""
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
    """Before anything is asked."""
    with pytest.raises(ValueError, match='check is "usual" or "full"'):
        walk(MemorySource([]), check="twice")
