"""Made-up rows: the same each time, and as varied as in a real shop. Rows read from files."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager.fake.data import PEOPLE, ids, read_rows, sizes, step
from magento_pager.fake.database.sqlite import Database
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.profiles import profile

if TYPE_CHECKING:
    from pathlib import Path


def orders(count: int) -> list[dict[str, Any]]:
    """Return the orders of a made-up shop."""
    with Database() as database:
        database.populate(count)
        columns = LISTINGS["orders"].columns
        rows = database.select(profile("20.0.20"), "rpc", LISTINGS["orders"], [], [])
        return [dict(zip(columns, row, strict=True)) for row in rows]


@given(st.integers(0, 5000))
def test_ids_are_increasing_with_gaps(count: int) -> None:
    """There are as many ids as requested, increasing, with holes and a jump."""
    numbers = list(ids(count))
    assert len(numbers) == count
    assert all(first < second for first, second in pairwise(numbers))
    assert not numbers or numbers[0] == 3
    assert count < 20 or numbers[-1] >= 100_000


def test_the_demo_shop_has_gaps() -> None:
    """It has single holes, gaps of a hundred ids, one of two thousand, and a jump."""
    numbers = list(ids(2000))
    gaps = sorted({second - first for first, second in pairwise(numbers)})
    assert gaps[:2] == [1, 2]
    assert any(100 <= gap < 110 for gap in gaps)
    assert any(2000 <= gap < 2010 for gap in gaps)
    assert gaps[-1] > 90_000


@given(st.integers(0, 10**7))
def test_rows_span_at_most_three_years(count: int) -> None:
    """The times of the rows of any table are spread over at most three years, at least a second apart."""
    assert 1 <= step(count) <= 4740
    assert step(count) == 1 or step(count) * count <= 3 * 366 * 86400


def test_a_shop_is_the_same_each_time() -> None:
    """Two shops of the same size have equal rows."""
    assert orders(300) == orders(300)


def test_orders_are_varied() -> None:
    """Orders have 50 to 75 fields, NULLs, empty texts, texts of several lines, and names in many alphabets."""
    rows = orders(1000)
    present = [sum(value is not None for value in row.values()) for row in rows]
    assert 50 <= min(present) <= 62
    assert 66 <= max(present) <= 75
    assert {row["customer_firstname"] for row in rows} == {first for first, _ in PEOPLE}
    assert {row["status"] for row in rows} >= {"complete", "pending", "canceled", "holded", "closed"}
    assert any("\n" in row["store_name"] for row in rows)
    assert any(row["customer_note"] == "" for row in rows)
    assert any(row["customer_id"] is None for row in rows)
    assert len({row["increment_id"] for row in rows}) == len(rows)
    assert all(row["created_at"] <= row["updated_at"] for row in rows)
    assert [row["created_at"] for row in rows] == sorted(row["created_at"] for row in rows)


def test_documents_belong_to_orders_that_exist() -> None:
    """Each made-up invoice, shipment and credit memo belongs to a made-up order."""
    with Database() as database:
        database.populate(400)
        order_ids = set(database.ids("orders"))
        for name in ("invoices", "creditmemos"):
            columns = LISTINGS[name].columns
            rows = database.select(profile("20.0.20"), "rpc", LISTINGS[name], [], [])
            belongs = [row[columns.index("order_id")] for row in rows]
            assert len(set(belongs)) == len(belongs) == sizes(400)[name]
            assert order_ids.issuperset(belongs)


def test_rows_are_read_from_a_file(tmp_path: Path) -> None:
    """A file of rows gives each list its columns and values."""
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"orders": {"columns": ["entity_id", "status"], "rows": [[3, "new"], [5, None]]}}))
    (name,) = read_rows(path)
    with Database() as database:
        database.fill(read_rows(path))
        assert (name, list(database.ids("orders")), database.count("invoices")) == ("orders", [3, 5], 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "an object of lists"),
        ('{"quotes": {}}', "no such list"),
        ('{"orders": []}', "needs `columns` and `rows`"),
        ('{"orders": {"columns": ["status"], "rows": []}}', "entity_id is missing"),
        ('{"orders": {"columns": ["entity_id", "colour"], "rows": []}}', "no column 'colour'"),
        ('{"orders": {"columns": ["entity_id"], "rows": [[1, 2]]}}', "row 0 does not have 1 values"),
    ],
)
def test_invalid_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    """The message is one line that names the file and the problem."""
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_rows(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("rows", [[[3], [3]], [[-1]], [["x"]]])
def test_invalid_ids_are_refused(rows: list[list[Any]], tmp_path: Path) -> None:
    """A duplicate, negative or invalid id is a ValueError, and the database stays usable."""
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"orders": {"columns": ["entity_id"], "rows": rows}}))
    with Database() as database:
        with pytest.raises(ValueError, match=r"id|invalid literal"):
            database.fill(read_rows(path))
        assert database.count("orders") == 0
        database.populate(20)
        assert database.count("orders") == 20
