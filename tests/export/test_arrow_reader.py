"""Lists as Arrow: the batches of a paginator, and the reader that DuckDB, pandas and polars take."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from conftest import missing, needs_pyarrow

from magento_pager import PagerError, Paginator, connect, dump
from magento_pager.export.arrow import arrow
from magento_pager.fake import Shop
from magento_pager.walk.strategies import Range

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from magento_pager import ListName, Page, Pager

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """A shop of its own, in which one row is like no other."""
    with Shop(orders=300) as running:
        yield running


@pytest.fixture
def pager(shop: Shop) -> Iterator[Pager]:
    """A session."""
    needs_pyarrow()
    with connect(shop.url, shop.user, shop.key) as found:
        yield found


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ["orders", "shipments", "customers", "products"])
@pytest.mark.parametrize("more", [{}, {"typed": True}, {"details": True}, {"password_hash": True}], ids=str)
def test_batches_are_a_dump_as_parquet(pager: Pager, entity: ListName, more: dict[str, Any], tmp_path: Path) -> None:
    """The same columns in the same order with the same values, one batch for each page that has rows."""
    paginator = pager.list(entity, window=100, last=400, **more)
    dump(paginator, tmp_path / "rows.parquet")
    expected = arrow().parquet.read_table(tmp_path / "rows.parquet")
    batches = list(paginator.record_batches())
    assert arrow().Table.from_batches(batches) == expected
    assert [one.num_rows for one in batches] == [len(page.rows) for page in paginator.pages() if page.rows]
    reader = paginator.to_arrow_reader()
    assert isinstance(reader, arrow().RecordBatchReader)
    assert reader.schema == expected.schema
    assert reader.read_all() == expected


def test_rows_need_not_have_the_same_keys(pager: Pager) -> None:
    """What a row lacks is null, and the columns are those of the list whatever rows come."""
    paginator = pager.orders(window=100)
    rows = list(paginator)
    assert len({tuple(row) for row in rows}) > 1
    table = paginator.to_arrow_reader().read_all()
    for name in ("total_paid", "coupon_code", "order_id"):
        found = [None if one is None else str(one) for one in table.column(name).to_pylist()]
        wanted = [row.get(name) for row in rows]
        assert [one and Decimal(one) if name == "total_paid" else one for one in found] == [
            one and Decimal(one) if name == "total_paid" else one for one in wanted
        ]


def test_a_page_is_asked_for_when_it_is_read(shop: Shop, pager: Pager) -> None:
    """Nothing is asked before, and no more than is read."""

    def asked() -> int:
        return sum(call.operation == "salesOrderList" for call in shop.log)

    before = asked()
    reader = pager.orders(window=20, strategy="range", lookahead=False).to_arrow_reader()
    assert asked() == before
    first = reader.read_next_batch()
    at_first = asked()
    assert at_first > before
    assert 0 < first.num_rows <= 20
    reader.read_next_batch()
    assert asked() - at_first <= 2
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read_next_batch()


@pytest.mark.parametrize("how", ["close", "with", "forget"])
def test_a_reader_that_is_closed_ends_the_walk(pager: Pager, how: str) -> None:
    """At once, in the middle of the list."""
    pages, ended = Paginator.pages, list[str]()

    def watched(self: Paginator, *given: Any) -> Iterator[Page]:
        try:
            yield from pages(self, *given)
        finally:
            ended.append(how)

    with patch.object(Paginator, "pages", watched):
        reader = pager.orders(window=10, lookahead=True).to_arrow_reader()
        reader.read_next_batch()
        assert not ended
        if how == "close":
            reader.close()
        elif how == "with":
            with reader:
                pass
        else:
            del reader
        assert ended == [how]


def test_a_cursor_resumes(pager: Pager) -> None:
    """The batches of partitions are those of the list."""
    paginator = pager.orders(window=50)
    found = [one for part in paginator.partitions(3) for one in paginator.record_batches(part)]
    assert arrow().Table.from_batches(found) == paginator.to_arrow_reader().read_all()


@pytest.mark.parametrize("engine", ["duckdb", "pandas", "polars"])
def test_engines_take_a_list(pager: Pager, engine: str) -> None:
    """Counts and sums by status are those of the rows."""
    if find_spec(engine) is None:
        missing(f"{engine} is not installed")
    paginator = pager.orders(window=100, lookahead=True)
    rows = list(paginator)
    expected = {
        status: (count, sum(Decimal(row["grand_total"]) for row in rows if row["status"] == status))
        for status, count in Counter(row["status"] for row in rows).items()
    }
    with paginator.to_arrow_reader() as orders:
        if engine == "duckdb":
            import duckdb  # noqa: PLC0415  may be missing

            query = "SELECT status, count(*), sum(grand_total) FROM orders GROUP BY status"
            with duckdb.connect() as database:
                found = database.sql(query).fetchall()
        elif engine == "pandas":
            frame = orders.read_pandas().groupby("status")["grand_total"].agg(["count", "sum"])
            found = list(frame.itertuples())
        else:
            pl: Any = import_module("polars")
            found = pl.DataFrame(orders).group_by("status").agg(pl.len(), pl.col("grand_total").sum()).rows()
    assert {status: (count, total) for status, count, total in found} == expected


def test_what_does_not_fit_is_null_and_named() -> None:
    """In a warning for each page, of all that are invalid the first ones."""
    needs_pyarrow()
    with Shop(orders=60) as shop, connect(shop.url, shop.user, shop.key) as pager:
        shop.database.update("orders", 7, {"updated_at": "2023-13-01 00:00:00"})
        with pytest.warns(
            UserWarning, match=r"1 invalid value replaced by null: updated_at of 7: '2023-13-01 00:00:00'"
        ):
            table = pager.orders().to_arrow_reader().read_all()
    rows = {row["order_id"]: row for row in table.to_pylist()}
    assert rows[7]["updated_at"] is None
    assert all(row["updated_at"] for number, row in rows.items() if number != 7)


def test_a_row_that_is_skipped_is_named() -> None:
    """A walk that leaves out a row does not do so silently."""
    needs_pyarrow()
    with Shop(profile="1.8.1.0", orders=60) as shop, connect(shop.url, shop.user, shop.key) as pager:
        shop.database.update("orders", 7, {"customer_firstname": "B\x02b"})
        with pytest.warns(UserWarning, match="Row 7 is skipped"):
            table = pager.orders(patience=0).to_arrow_reader().read_all()
        assert 7 not in table.column("order_id").to_pylist()


def test_an_error_of_the_walk(pager: Pager) -> None:
    """Batches raise it as it is; the reader as an error of Arrow with the same words."""

    def fail(page: Page) -> Page:
        if page.window.first:
            raise PagerError("the shop is gone")
        return page

    paginator = pager.orders(window=20)
    paginator = replace(paginator, stages=(*paginator.stages, fail))
    with pytest.raises(PagerError, match="the shop is gone"):
        list(paginator.record_batches())
    with pytest.raises((ValueError, OSError), match="the shop is gone"):
        paginator.to_arrow_reader().read_all()


def test_without_pyarrow_one_line_says_so(pager: Pager) -> None:
    """At once, and not when the first row is wanted."""
    words = r"need pyarrow.*: pip install 'magento-pager\[parquet\]'"
    with patch.dict(sys.modules, {"pyarrow.compute": None}):
        with pytest.raises(ValueError, match=words):
            pager.orders().record_batches()
        with pytest.raises(ValueError, match=words):
            pager.orders().to_arrow_reader()


def test_lists_of_others_have_no_columns_that_are_known(pager: Pager) -> None:
    """A paginator of one's own says so."""
    own = Paginator(pager.orders().source, Range(), "order_id")
    with pytest.raises(ValueError, match="only the lists of a Pager"):
        own.record_batches()
