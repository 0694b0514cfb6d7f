"""Lists as Arrow: the batches of a paginator, and the reader for DuckDB, pandas and polars."""

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
    """Return a shop for this module."""
    with Shop(orders=300) as running:
        yield running


@pytest.fixture
def pager(shop: Shop) -> Iterator[Pager]:
    """Return a pager that is logged in."""
    needs_pyarrow()
    with connect(shop.url, shop.user, shop.key) as pager:
        yield pager


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ["orders", "shipments", "customers", "products"])
@pytest.mark.parametrize("more", [{}, {"typed": True}, {"details": True}, {"password_hash": True}], ids=str)
def test_batches_equal_a_parquet_dump(pager: Pager, entity: ListName, more: dict[str, Any], tmp_path: Path) -> None:
    """The same columns in the same order with the same values, one batch for each page that has rows."""
    paginator = pager.list(entity, window=100, last=400, **more)
    dump(paginator, tmp_path / "rows.parquet")
    expected = arrow().parquet.read_table(tmp_path / "rows.parquet")
    batches = list(paginator.record_batches())
    assert arrow().Table.from_batches(batches) == expected
    assert [batch.num_rows for batch in batches] == [len(page.rows) for page in paginator.pages() if page.rows]
    reader = paginator.to_arrow_reader()
    assert isinstance(reader, arrow().RecordBatchReader)
    assert reader.schema == expected.schema
    assert reader.read_all() == expected


def test_missing_keys_are_null(pager: Pager) -> None:
    """The columns are those of the list, whatever keys the rows have."""
    paginator = pager.orders(window=100)
    rows = list(paginator)
    assert len({tuple(row) for row in rows}) > 1
    table = paginator.to_arrow_reader().read_all()
    for name in ("total_paid", "coupon_code", "order_id"):
        cells = [None if cell is None else str(cell) for cell in table.column(name).to_pylist()]
        expected = [row.get(name) for row in rows]
        assert [cell and Decimal(cell) if name == "total_paid" else cell for cell in cells] == [
            cell and Decimal(cell) if name == "total_paid" else cell for cell in expected
        ]


def test_a_page_is_fetched_when_it_is_read(shop: Shop, pager: Pager) -> None:
    """The reader makes no call before that, and fetches no more pages than are read."""

    def calls() -> int:
        return sum(call.operation == "salesOrderList" for call in shop.log)

    before = calls()
    reader = pager.orders(window=20, strategy="range", lookahead=False).to_arrow_reader()
    assert calls() == before
    first = reader.read_next_batch()
    after_first = calls()
    assert after_first > before
    assert 0 < first.num_rows <= 20
    reader.read_next_batch()
    assert calls() - after_first <= 2
    reader.close()
    with pytest.raises(ValueError, match="closed"):
        reader.read_next_batch()


@pytest.mark.parametrize("how", ["close", "with", "forget"])
def test_closing_a_reader_ends_the_walk(pager: Pager, how: str) -> None:
    """Closing, leaving a `with` block and deleting the reader end the walk at once."""
    pages, ended = Paginator.pages, list[str]()

    def watched(self: Paginator, *arguments: Any) -> Iterator[Page]:
        try:
            yield from pages(self, *arguments)
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


def test_batches_of_partitions_are_those_of_the_list(pager: Pager) -> None:
    """Each partition is a cursor to resume from."""
    paginator = pager.orders(window=50)
    batches = [batch for part in paginator.partitions(3) for batch in paginator.record_batches(part)]
    assert arrow().Table.from_batches(batches) == paginator.to_arrow_reader().read_all()


@pytest.mark.parametrize("engine", ["duckdb", "pandas", "polars"])
def test_engines_read_a_list(pager: Pager, engine: str) -> None:
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
                groups = database.sql(query).fetchall()
        elif engine == "pandas":
            frame = orders.read_pandas().groupby("status")["grand_total"].agg(["count", "sum"])
            groups = list(frame.itertuples())
        else:
            pl: Any = import_module("polars")
            groups = pl.DataFrame(orders).group_by("status").agg(pl.len(), pl.col("grand_total").sum()).rows()
    assert {status: (count, total) for status, count, total in groups} == expected


def test_an_invalid_value_is_null_and_a_warning_names_it() -> None:
    """There is one warning for each page, with its first invalid values."""
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


def test_a_warning_names_a_skipped_row() -> None:
    """No row is skipped silently."""
    needs_pyarrow()
    with Shop(profile="1.8.1.0", orders=60) as shop, connect(shop.url, shop.user, shop.key) as pager:
        shop.database.update("orders", 7, {"customer_firstname": "B\x02b"})
        with pytest.warns(UserWarning, match="Row 7 is skipped"):
            table = pager.orders(patience=0).to_arrow_reader().read_all()
        assert 7 not in table.column("order_id").to_pylist()


def test_an_error_of_the_walk_is_raised(pager: Pager) -> None:
    """Batches raise the error itself; the reader raises an error of Arrow with the same message."""

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


def test_missing_pyarrow_is_an_error_with_advice(pager: Pager) -> None:
    """It is raised at once, and not when the first row is read."""
    message = r"need pyarrow.*: pip install 'magento-pager\[parquet\]'"
    with patch.dict(sys.modules, {"pyarrow.compute": None}):
        with pytest.raises(ValueError, match=message):
            pager.orders().record_batches()
        with pytest.raises(ValueError, match=message):
            pager.orders().to_arrow_reader()


def test_a_custom_paginator_has_no_known_columns(pager: Pager) -> None:
    """It refuses to make batches, and says why."""
    custom = Paginator(pager.orders().source, Range(), "order_id")
    with pytest.raises(ValueError, match="only the lists of a Pager"):
        custom.record_batches()
