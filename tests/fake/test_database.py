"""The tables of the embedded shop: streaming, keys, changes during reading, order of rows, single records."""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager.fake.data import Rows
from magento_pager.fake.database.queries import ListCall, plan
from magento_pager.fake.database.sqlite import Database
from magento_pager.fake.faults import ShopFault
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.profiles import PROFILES, listing, profile

if TYPE_CHECKING:
    from collections.abc import Iterator

NEWEST = profile("20.0.20")


@pytest.fixture(scope="module")
def shop() -> Iterator[Database]:
    """Return a made-up shop that no test changes."""
    with Database() as database:
        database.populate(1000)
        yield database


@pytest.fixture
def small() -> Iterator[Database]:
    """Return a shop of ten orders, to be changed."""
    with Database() as database:
        database.populate(10)
        yield database


def rows(database: Database, name: str, *complex_: tuple[str, str, str], store: str = "") -> list[dict[str, Any]]:
    """Return the rows of a list as dicts."""
    requested = LISTINGS[name]
    selected = database.select(NEWEST, "rpc", requested, [], complex_, store=store)
    return [dict(zip(requested.columns, row, strict=True)) for row in selected]


def ids(database: Database, name: str, *complex_: tuple[str, str, str]) -> list[int]:
    """Return the ids that a query returns, in the order of the reply."""
    return [row[LISTINGS[name].key_field] for row in rows(database, name, *complex_)]


@pytest.mark.parametrize("name", LISTINGS)
def test_every_list_of_every_version_can_be_read(shop: Database, name: str) -> None:
    """A row has a value for each column that the version fills, and only the ids that the version omits are missing."""
    for version in PROFILES.values():
        if name in version.lists:
            requested = listing(name, version)
            selected = list(shop.select(version, "rpc", requested, [], []))
            assert len(selected) == shop.count(name)
            key = requested.columns.index(requested.key_field)
            assert all((row[key] is None) == (name in version.missing_ids) for row in selected)
            assert {len(row) for row in selected} == {len(requested.columns)}


def test_rows_are_streamed(shop: Database) -> None:
    """A reader can stop early, start again and leave many replies open at the same time."""
    replies = [shop.select(NEWEST, "rpc", LISTINGS["orders"], [], []) for _ in range(20)]
    assert [len(list(islice(reply, 3))) for reply in replies] == [3] * 20
    assert sum(1 for _ in replies[0]) == 997


WINDOWS = {
    "range": [("entity_id", "from", "100"), ("entity_id", "to", "200")],
    "two names": [("order_id", "gteq", "100"), ("main_table.entity_id", "lt", "200")],
    "list": [("entity_id", "in", "3,4,5")],
    "one": [("entity_id", "eq", " 5abc")],
    "more": [("entity_id", "from", "100"), ("entity_id", "to", "200"), ("status", "eq", "complete")],
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_use_the_key(shop: Database, name: str) -> None:
    """A bounded query reads along the key, as in MySQL, and not the whole table."""
    sql = plan(ListCall(NEWEST, "rpc", LISTINGS["orders"], [], WINDOWS[name])).select()
    steps = [str(step[3]) for step in shop._stream(f"EXPLAIN QUERY PLAN {sql}")]  # noqa: SLF001 -- the plan is no row
    assert any("main_table USING INTEGER PRIMARY KEY" in step for step in steps), steps
    assert not any(step.startswith("SCAN main_table") for step in steps), steps


def test_rows_are_in_the_order_of_the_index_that_mysql_would_use(shop: Database) -> None:
    """Rows are in the order of the key, unless another index leaves so few that MySQL would read along it."""
    everything = ids(shop, "orders")
    assert everything == sorted(everything)
    times = sorted(str(row["updated_at"]) for row in rows(shop, "orders"))
    few = ids(shop, "orders", ("updated_at", "gteq", times[-60]))
    assert len(few) == 60
    assert few != sorted(few)
    assert [str(row["updated_at"]) for row in rows(shop, "orders", ("updated_at", "gteq", times[-60]))] == times[-60:]
    many = ids(shop, "orders", ("updated_at", "gteq", times[100]))
    assert many == sorted(many)
    window = ids(shop, "orders", ("updated_at", "gteq", times[-60]), ("entity_id", "gteq", "3"))
    assert window == sorted(few)


def test_addresses_belong_to_orders(shop: Database) -> None:
    """Orders have the names of both addresses; one without a shipment has no shipping address, and no bare name."""
    selected = rows(shop, "orders")
    virtual = [row for row in selected if row["is_virtual"]]
    assert 10 < len(virtual) < 100
    assert all(row["shipping_firstname"] is row["firstname"] is row["telephone"] is None for row in virtual)
    assert all(row["billing_firstname"] == row["customer_firstname"] for row in selected)
    nameless = [row for row in selected if row["billing_lastname"] is None]
    assert nameless
    assert all(row["billing_name"] is None for row in nameless)
    filtered = ids(shop, "orders", ("shipping_lastname", "eq", "müller"))
    assert filtered == [row["order_id"] for row in selected if row["shipping_lastname"] == "Müller"]


def test_ids_at_both_ends_of_the_key_are_valid() -> None:
    """The key is INT UNSIGNED: 0 and 4294967295 are valid, one less or more is not."""
    with Database() as database:
        database.populate([0, 1, 4294967294, 4294967295])
        assert ids(database, "orders", ("entity_id", "gteq", "4294967295")) == [4294967295]
        assert ids(database, "orders", ("entity_id", "lteq", "0")) == [0]
        assert ids(database, "orders", ("entity_id", "like", "42949672__")) == [4294967294, 4294967295]
        assert rows(database, "orders", ("entity_id", "eq", "4294967295"))[0]["increment_id"][1:] == "4294967295"
        for wrong in (-1, 4294967296, 1):
            with pytest.raises(ValueError, match="orders: an id"):
                database.load("orders", [wrong])
        assert database.count("orders") == 4


@given(st.sets(st.integers(0, 4294967295), min_size=1, max_size=20), st.data())
def test_a_window_returns_exactly_its_ids(numbers: set[int], draw: st.DataObject) -> None:
    """Whatever the ids, a window returns those between its bounds, and `like` and `in` agree with plain Python."""
    ends = st.sampled_from(sorted(numbers)) | st.integers(0, 4294967295)
    first, last = draw.draw(ends), draw.draw(ends)
    with Database() as database:
        database.populate(sorted(numbers))
        window = (("entity_id", "from", str(first)), ("entity_id", "to", str(last)))
        assert ids(database, "orders", *window) == [number for number in sorted(numbers) if first <= number <= last]
        prefix = str(first)[:2]
        matching = ids(database, "orders", ("entity_id", "like", f"{prefix}%"))
        assert matching == [number for number in sorted(numbers) if str(number).startswith(prefix)]
        assert ids(database, "orders", ("entity_id", "in", f"{first}, {last}")) == sorted(numbers & {first, last})


# --- changes ---------------------------------------------------------------------------------------------------------


def test_rows_are_inserted_updated_and_deleted(small: Database) -> None:
    """Rows can be changed while the shop runs; missing values of new rows are made up."""
    assert small.insert("orders", {"status": "odd", "grand_total": 5, "billing_firstname": "Ada"}) == 14
    (row,) = rows(small, "orders", ("status", "eq", "odd"))
    assert (row["order_id"], row["grand_total"], row["billing_firstname"]) == (14, "5.0000", "Ada")
    assert row["subtotal"] is not None
    assert small.insert("invoices", {"entity_id": 77, "order_id": 14}) == 77
    assert rows(small, "invoices", ("entity_id", "eq", "77"))[0]["order_id"] == 14
    assert small.update("orders", 14, {"status": "changed"})
    assert not small.update("orders", 99, {"status": "changed"})
    assert not rows(small, "orders", ("status", "eq", "odd"))
    assert small.count("orders") == 11
    assert small.delete("orders", 14)
    assert not small.delete("orders", 14)
    assert 14 not in small.ids("orders")
    assert small.count("orders") == 10


def test_a_change_that_fails_changes_nothing(small: Database) -> None:
    """An unknown column or an existing id is refused, and the tables stay as before."""
    with pytest.raises(ValueError, match="no column 'colour'"):
        small.insert("orders", {"colour": "red"})
    with pytest.raises(ValueError, match="an id occurs twice"):
        small.insert("orders", {"entity_id": 3})
    assert small.count("orders") == len(rows(small, "orders")) == 10


def test_an_empty_database_can_be_read_and_filled() -> None:
    """Lists without rows are empty, and rows can be added to them one by one."""
    with Database() as database:
        assert all(rows(database, name) == [] for name in LISTINGS)
        database.insert("customers", {"entity_id": 5, "email": "Ada@example.com", "firstname": "Ada"})
        (row,) = rows(database, "customers", ("email", "eq", "ada@EXAMPLE.com"))
        assert (row["customer_id"], row["firstname"], row["website_id"]) == (5, "Ada", 1)


def test_a_reader_sees_the_table_as_it_was() -> None:
    """Changes do not affect a reply that has begun, but the next one."""
    with Database() as database:
        database.populate(2000)
        reply = database.select(NEWEST, "rpc", LISTINGS["orders"], [], [])
        next(reply)
        last = max(database.ids("orders"))
        assert database.delete("orders", last)
        database.insert("orders", {"entity_id": 300_000})
        database.insert("orders", {"entity_id": 300_001})
        assert 1 + sum(1 for _ in reply) == 2000
        assert ids(database, "orders", ("entity_id", "gteq", str(last))) == [300_000, 300_001]


def test_threads_read_and_write_at_the_same_time(small: Database) -> None:
    """Each reply is complete, and each change is kept."""
    counts: list[int] = []

    def read() -> None:
        counts.extend(len(rows(small, "orders")) for _ in range(20))

    def write() -> None:
        for _ in range(20):
            small.insert("orders", {})

    threads = [threading.Thread(target=work) for work in (read, write, read, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert small.count("orders") == 50
    assert len(counts) == 40
    assert all(10 <= count <= 50 for count in counts)


def test_given_rows_are_stored(small: Database) -> None:
    """Given values are kept, amounts with four decimals as in MySQL; a NULL stays NULL; missing columns are made up."""
    small.fill({"orders": Rows(("entity_id", "status", "grand_total", "customer_id"), [[500, "new", 7.5, None]])})
    (row,) = rows(small, "orders", ("entity_id", "eq", "500"))
    assert (row["status"], row["grand_total"], row["customer_id"]) == ("new", "7.5000", None)
    assert row["increment_id"]


# --- rows that spoil a reply -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["billing", "shipping"])
def test_an_order_with_two_addresses_of_a_kind_breaks_replies(small: Database, kind: str) -> None:
    """It breaks each reply it is in, and no other; deleting it helps."""
    shipped = next(row["order_id"] for row in rows(small, "orders") if not row["is_virtual"])
    small.duplicate_address(shipped, kind)
    requested = LISTINGS["orders"]
    for filters in ([], [("entity_id", "eq", str(shipped))]):
        with pytest.raises(ShopFault) as caught:
            small.select(NEWEST, "rpc", requested, [], filters)
        text = f'Item (Mage_Sales_Model_Order) with the same id "{shipped}" already exist'
        assert (caught.value.code, caught.value.text) == ("1", text)
    assert len(ids(small, "orders", ("entity_id", "neq", str(shipped)))) == 9
    small.delete("orders", shipped)
    assert len(ids(small, "orders")) == 9


def test_bytes_that_are_not_utf8_are_returned(small: Database) -> None:
    """The database returns the bytes unchanged; the encoder decides what to do with them."""
    small.update("orders", 3, {"customer_firstname": b"Bj\xf6rn", "billing_lastname": "A\x01B"})
    (row,) = rows(small, "orders", ("entity_id", "eq", "3"))
    assert row["customer_firstname"] == b"Bj\xf6rn"
    assert row["billing_lastname"] == "A\x01B"


# --- stores and single records ---------------------------------------------------------------------------------------


def test_a_store_restricts_products(shop: Database) -> None:
    """From 1.5.0 to 1.9 a store restricts products to its website; later it does not; an unknown store is a fault."""
    whole = rows(shop, "products")
    homeless = [row for row in whole if row["website_ids"] == ()]
    assert homeless
    for version, expected in (("1.8.1.0", len(whole) - len(homeless)), ("20.0.20", len(whole))):
        for store in ("1", "deutsch"):
            selected = shop.select(profile(version), "rpc", LISTINGS["products"], [], [], store=store)
            assert sum(1 for _ in selected) == expected
    assert rows(shop, "products", store="0") == rows(shop, "products", store="admin") == whole
    with pytest.raises(ShopFault) as caught:
        rows(shop, "products", store="nowhere")
    assert caught.value.code == "100"


@pytest.mark.parametrize("name", ["orders", "invoices", "shipments", "creditmemos"])
def test_a_record_is_found_by_its_increment_id(shop: Database, name: str) -> None:
    """A sales record has the same values as its row in the list, and its id."""
    requested = LISTINGS[name]
    for number, row in enumerate(rows(shop, name)[:20]):
        record = shop.record(name, row["increment_id"])
        assert record is not None
        assert record[requested.key_field] == list(islice(shop.ids(name), 20))[number]
        same = [column for column in row if column in record and row[column] is not None]
        assert len(same) > 2
        assert {column: record[column] for column in same} == {column: row[column] for column in same}
        assert record["items"]
    assert shop.record(name, "nope") is None


def test_an_order_in_full_has_its_parts(shop: Database) -> None:
    """It has its addresses, the right number of items, its payment and its history."""
    for row in rows(shop, "orders")[:50]:
        record = shop.record("orders", row["increment_id"])
        assert record is not None
        assert len(record["items"]) == row["total_item_count"]
        assert record["billing_address"]["firstname"] == row["billing_firstname"]
        assert (record["shipping_address"] == {}) == bool(row["is_virtual"])
        assert record["payment"]["amount_ordered"] == row["grand_total"]
        assert record["status_history"][0]["status"] == row["status"]


def test_customers_and_products_are_found_by_their_keys(shop: Database) -> None:
    """Customers are found by id, products by SKU or id."""
    customer, product = rows(shop, "customers")[4], rows(shop, "products")[4]
    record = shop.record("customers", str(customer["customer_id"]))
    assert record is not None
    assert record["email"] == customer["email"]
    by_sku, by_id = shop.record("products", product["sku"]), shop.record("products", str(product["product_id"]))
    assert by_sku == by_id
    assert by_sku is not None
    assert tuple(by_sku["categories"]) == product["category_ids"]
    assert shop.record("customers", "0") is None
