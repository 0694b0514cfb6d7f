"""Partitions: every id in exactly one, about the same number of rows in each, and together the rows of one walk."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from conftest import slow_after
from hypothesis import given
from hypothesis import strategies as st
from memory_source import MemorySource

from magento_pager import MAX_ID, Cursor, IdRange, KeyRange, Paginator, Prefix, connect
from magento_pager.fake import Shop
from magento_pager.walk.partitions import even_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from magento_pager import ListName

CUT = [(version, entity) for version in ("1.4.1.1", "1.7.0.2", "20.0.20") for entity in ("orders", "shipments")]


def texts(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return rows in a form that can be sorted and compared."""
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def rows_of(paginator: Paginator, partition: Cursor) -> list[dict[str, Any]]:
    """Return the rows of a partition."""
    return [row for page in paginator.pages(partition) for row in page.rows]


@st.composite
def stretches(draw: st.DrawFn) -> list[tuple[IdRange, float]]:
    """Draw ranges with estimated numbers of rows, inside a span or not."""
    edges = sorted(draw(st.sets(st.integers(1, MAX_ID), max_size=8)) | {0, MAX_ID + 1})
    ranges = [IdRange(first, after - 1) for first, after in pairwise(edges)]
    return [(one, draw(st.floats(0, 1e6))) for one in ranges if draw(st.booleans())]


@given(stretches(), st.integers(0, MAX_ID), st.integers(0, MAX_ID), st.integers(1, 50))
def test_every_id_is_in_exactly_one_part(seen: list[tuple[IdRange, float]], one: int, other: int, count: int) -> None:
    """For any samples, the parts follow each other without a gap from the first id to the last."""
    span = IdRange(min(one, other), max(one, other))
    parts = even_parts(seen, span, count)
    assert 1 <= len(parts) <= count
    assert (parts[0].first, parts[-1].last) == (span.first, span.last)
    assert all(after.first == before.last + 1 for before, after in pairwise(parts))


@given(st.integers(1, 20), st.integers(100, 100_000))
def test_evenly_spread_rows_make_even_parts(count: int, rows: int) -> None:
    """In a dense list no part is more than a tenth too large, up to the rounding of its ends."""
    parts = even_parts([(IdRange(1, rows), float(rows))], IdRange(1, rows), count)
    assert max(len(part) for part in parts) <= rows / count * 1.1 + 1


LAYOUTS = {
    "dense": range(1, 50_000),
    "a jump": [*range(1, 20_000), *range(1_000_000, 1_020_000)],
    "every hundredth": range(37, 2_000_000, 100),
    "every second": range(1, 150_000, 2),
}


@pytest.mark.parametrize("with_ids", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_partitions_have_about_the_same_number_of_rows(layout: str, *, with_ids: bool) -> None:
    """They take at most 24 calls; where rows carry no ids they are less even."""
    ids = LAYOUTS[layout]
    source = MemorySource(ids, with_ids=with_ids)
    identity = None if with_ids else "increment_id"
    parts = Paginator(source, None, "id", identity, "list", candidates=(KeyRange(), Prefix())).partitions(4)
    assert len(source.queries) <= 24
    sizes = [sum(part.next_id <= number <= part.last_id for number in ids) for part in parts]
    assert sum(sizes) == len(ids)
    assert max(sizes) <= (1.3 if with_ids else 2.5) * len(ids) / 4


def test_few_rows_make_few_partitions() -> None:
    """There are no more partitions than rows found."""
    source = MemorySource([5, 900])
    assert len(Paginator(source, None, "id", None, "list", candidates=(KeyRange(), Prefix())).partitions(8)) <= 2


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize(("version", "entity"), slow_after(2, CUT))
def test_the_rows_of_all_partitions_are_those_of_one_walk(version: str, entity: ListName) -> None:
    """Read by other connections from pickled cursors, with or without ids in rows, no row is repeated or lost."""
    with Shop(profile=version, orders=2000) as shop:
        with connect(shop.url, shop.user, shop.key) as pager:
            parts = pickle.dumps(pager.list(entity).partitions(4))
            whole = texts(pager.list(entity))
        with connect(shop.url, shop.user, shop.key) as pager:
            by_part = [rows_of(pager.list(entity), part) for part in pickle.loads(parts)]  # noqa: S301  from above
    assert texts(row for rows in by_part for row in rows) == whole
    assert len(by_part) == 4
    assert max(map(len, by_part)) < 1.5 * len(whole) / 4


@pytest.mark.usefixtures("wire")
def test_conditions_and_times_apply_in_every_partition(shop_of: Callable[[str, str], Shop]) -> None:
    """Partitions of a selection are sized by its rows, and return no other row."""
    shop = shop_of("20.0.20", "rpc")
    with connect(shop.url, shop.user, shop.key) as pager:
        whole = sorted(row["updated_at"] for row in pager.orders())
        since = datetime.fromisoformat(whole[len(whole) // 2]).replace(tzinfo=UTC)
        orders = pager.orders(updated_since=since, where=[("status", "eq", "complete")], first=100, last=3_000)
        parts = orders.partitions(3)
        rows = [row for part in parts for row in rows_of(orders, part)]
        assert (parts[0].next_id, parts[-1].last_id) == (100, 3_000)
        assert texts(rows) == texts(orders)
        assert {row["status"] for row in rows} == {"complete"}


def test_one_partition_costs_no_call(shop: Shop) -> None:
    """With one partition, no sample is taken."""
    with connect(shop.url, shop.user, shop.key) as pager:
        shop.clear_log()
        assert pager.orders(first=5).partitions(1) == (Cursor("salesOrderList", 5, MAX_ID),)
        assert not shop.log
        assert len(pager.orders().partitions(3)) == 3
        assert len(shop.log) <= 24


def test_a_partition_can_be_resumed(shop: Shop) -> None:
    """The cursor of a page, stored as JSON, delivers the rest of its partition and no more."""
    with connect(shop.url, shop.user, shop.key) as pager:
        orders = pager.orders(window=20)
        part = orders.partitions(2)[0]
        pages = orders.pages(part)
        first = next(page for page in pages if page.rows)
        pages.close()  # type: ignore[attr-defined]  # it is a generator
        rest = rows_of(orders, Cursor(**json.loads(json.dumps(asdict(first.cursor)))))
        assert texts([*first.rows, *rest]) == texts(rows_of(orders, part))
        assert rest


def test_an_empty_list_is_one_partition() -> None:
    """Without rows there is nothing to divide."""
    with Shop(orders=0) as shop, connect(shop.url, shop.user, shop.key) as pager:
        (part,) = pager.orders().partitions(8)
        assert rows_of(pager.orders(), part) == []


def test_less_than_one_partition_is_refused(shop: Shop) -> None:
    """Zero or fewer is an error."""
    with connect(shop.url, shop.user, shop.key) as pager, pytest.raises(ValueError, match="must be at least 1"):
        pager.orders().partitions(0)
