"""The embedded shop on a real MariaDB: the recorded answers, the answers of SQLite, and whole walks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args

import pytest
from benchmarks.fidelity import RECORDED, SAMPLES, answer, increment_ids, read_lines, recorded_shop
from conftest import SPOKEN, slow_after
from mariadb_server import running_mariadb
from random_filters import random_filters, random_nested
from test_filters import DOCUMENT, cases
from test_filters import answer as answer_of_rule

import magento_pager
from magento_pager import STRATEGIES, ListName, PagerError
from magento_pager.fake import Database, MariaDatabase, PhpFatal, Shop, ShopFault
from magento_pager.fake.data import Rows, read_rows
from magento_pager.fake.database.mariadb.selects import statement
from magento_pager.fake.database.queries import ListCall
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.profiles import PROFILES, listing, profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mariadb_server import MariaDb
    from random_filters import Filters

    from magento_pager import StrategyName
    from magento_pager.fake.profiles import Profile

NEWEST = profile("20.0.20")
EMOJI = "\N{GRINNING FACE}"


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """Return a server for all tests."""
    with running_mariadb() as server:
        yield server


@pytest.fixture(scope="module")
def both(mariadb: MariaDb) -> Iterator[tuple[MariaDatabase, Database]]:
    """Return the same made-up shop on MariaDB and on SQLite; no test changes it."""
    with MariaDatabase(mariadb.url()) as real, Database() as emulated:
        for database in (real, emulated):
            database.populate(300)
            _without_emoji(database)
        yield real, emulated


@pytest.fixture
def small(mariadb: MariaDb) -> Iterator[MariaDatabase]:
    """Return a shop of ten orders, to be changed."""
    with MariaDatabase(mariadb.url()) as database:
        database.populate(10)
        yield database


def _without_emoji(database: MariaDatabase | Database) -> None:
    """Remove the emoji from names, because MySQL's utf8 has none."""
    for name, field in (("orders", "billing_firstname"), ("customers", "firstname"), ("products", "name")):
        for row in rows(database, name, (field, "like", "%Emoji%")):
            plain = row[field].replace(EMOJI, "").replace("????", "")
            fields = ("billing_firstname", "shipping_firstname", "customer_firstname") if name == "orders" else (field,)
            database.update(name, row[LISTINGS[name].key_field], dict.fromkeys(fields, plain))


def rows(database: MariaDatabase | Database, name: str, *complex_: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Return the rows of a list as dicts."""
    requested = LISTINGS[name]
    selected = database.select(NEWEST, "rpc", requested, [], complex_)
    return [dict(zip(requested.columns, row, strict=True)) for row in selected]


def ids(database: MariaDatabase, name: str, *complex_: tuple[str, str, str]) -> list[int]:
    """Return the ids that a query returns, sorted, because no query requests an order."""
    return sorted(row[LISTINGS[name].key_field] for row in rows(database, name, *complex_))


# --- the same answers ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("every", slow_after(1, [20, 1]))
def test_recorded_queries_have_the_recorded_answers(mariadb: MariaDb, samples: Path, every: int) -> None:
    """All recorded queries, by SOAP and XML-RPC, of every parser, return the recorded ids or the recorded fault."""
    with MariaDatabase(mariadb.url()) as database, recorded_shop() as emulated:
        database.fill(read_rows(SAMPLES / "dataset.json"))
        known = increment_ids(emulated)
        lines = [line for name in RECORDED for line in read_lines(samples / "filters" / name)]
        sampled = lines[::every]
        wrong = [
            f"{line} but returned {returned}"
            for line in sampled
            if (returned := answer(database, line, known)) != line.answer
        ]
    assert len(lines) > 5000
    assert not wrong, "\n".join(wrong)


def test_each_version_follows_every_rule(mariadb: MariaDb) -> None:
    """The rules of filter_rules.toml hold on every version and flavour, PHP 5 included."""
    with MariaDatabase(mariadb.url()) as database:
        for name, content in DOCUMENT["rows"].items():
            rows_ = [[None if value == "NULL" else value for value in row] for row in content["rows"]]
            database.fill({name: Rows(tuple(content["columns"]), rows_)})
        wrong = [
            f"{case} in {flavour}: {returned}, not {case.answer}"
            for case in cases()
            for flavour in case.profile.flavours
            if (returned := answer_of_rule(database, case.profile, flavour, case.rule)) != case.answer
        ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("seed", slow_after(1, [1, 2, 3]))
def test_random_filters_are_read_as_by_sqlite(both: tuple[MariaDatabase, Database], seed: int) -> None:
    """Both databases return the same rows, or a fault with the same code and error."""
    real, emulated = both
    _assert_alike(both, list(random_filters(seed, 1500, emulated)))
    assert real.count("orders") == emulated.count("orders")


@pytest.mark.slow
@pytest.mark.parametrize("seed", slow_after(1, [1, 2, 3]))
def test_random_nested_filters_are_read_as_by_sqlite(both: tuple[MariaDatabase, Database], seed: int) -> None:
    """The same for the filters of XML-RPC: any PHP value, nested in any way."""
    _assert_alike(both, list(random_nested(seed, 1500, both[1])))


def _assert_alike(both: tuple[MariaDatabase, Database], calls: list[Filters]) -> None:
    """Check that both databases answer every call alike, and that the calls differ enough."""
    answers = [
        [_answer(database_answer, call.profile, call.listing, call.simple, call.complex, call.nested) for call in calls]
        for database_answer in both
    ]
    wrong = [
        f"{call}: {on_real}, not {ours}" for call, on_real, ours in zip(calls, *answers, strict=True) if on_real != ours
    ]
    assert not wrong, "\n".join(wrong)
    assert len({str(database_answer) for database_answer in answers[0]}) > 150, "the filters are too much alike"
    assert sum(database_answer[0].startswith("f") for database_answer in answers[0] if database_answer) > 100, (
        "no faults among them"
    )


def _answer(  # noqa: PLR0917 -- a call
    database: MariaDatabase | Database, version: Profile, requested: Any, simple: Any, complex_: Any, nested: Any
) -> list[str]:
    """Return the ids or increment ids of the rows; or the fault, its SQLSTATE and its number."""
    index = requested.columns.index("increment_id" if requested.name in version.missing_ids else requested.key_field)
    try:
        return sorted(
            str(row[index]) for row in database.select(version, "rpc", requested, simple, complex_, nested=nested)
        )
    except ShopFault as fault:
        return [f"fault {fault.code}", *_error(fault.text)]
    except PhpFatal as fatal:
        return [f"fatal {fatal.status}", *_error(fatal.reason)]


def _error(text: str) -> list[str]:
    """Return SQLSTATE, meaning and number of a database error, without its text; the whole text of other faults."""
    if not text.startswith("SQLSTATE"):
        return [text]
    state, meaning, rest = text.split(": ", 2)
    return [state, meaning, rest.split(" ", 1)[0]]


@pytest.mark.parametrize("version", PROFILES.values(), ids=lambda version: version.name)
def test_rows_have_the_same_values(both: tuple[MariaDatabase, Database], version: Profile) -> None:
    """Every column of every list has the same values of the same types in both databases."""
    for name in version.lists:
        requested = listing(name, version)
        real, emulated = (list(database.select(version, "rpc", requested, [], [])) for database in both)
        assert sorted(real, key=str) == sorted(emulated, key=str)
        assert real


def test_records_have_the_same_values(both: tuple[MariaDatabase, Database]) -> None:
    """A record in full is the same in both databases, whatever key it is found by."""
    real, emulated = both
    for name, key in (("customers", "customer_id"), ("products", "sku"), ("products", "product_id")):
        for row in islice(rows(emulated, name), 0, None, 7):
            assert real.record(name, str(row[key])) == emulated.record(name, str(row[key]))
    for name in ("orders", "invoices", "shipments", "creditmemos"):
        for row in islice(rows(emulated, name), 0, None, 7):
            assert real.record(name, row["increment_id"]) == emulated.record(name, row["increment_id"]) is not None
        assert real.record(name, "nope") is None


@pytest.mark.parametrize("version", ["1.8.1.0", "20.0.20"])
def test_a_store_restricts_products(both: tuple[MariaDatabase, Database], version: str) -> None:
    """A store restricts products to its website on the versions that do so."""
    for store in ("", "0", "1", "deutsch"):
        rows_ = [
            sorted(database.select(profile(version), "rpc", LISTINGS["products"], [], [], store=store))
            for database in both
        ]
        assert rows_[0] == rows_[1] != []
    with pytest.raises(ShopFault, match="fault 100"):
        both[0].select(profile(version), "rpc", LISTINGS["products"], [], [], store="nowhere")


def test_faults_have_the_errors_of_mariadb(both: tuple[MariaDatabase, Database]) -> None:
    """The fault has MariaDB's error and the statement; for customers they are only in PHP's log."""
    real, _ = both
    with pytest.raises(ShopFault) as caught:
        real.select(NEWEST, "rpc", LISTINGS["invoices"], [], [("entity_id", "regexp", "(")])
    assert caught.value.text == (
        "SQLSTATE[42000]: Syntax error or access violation: 1139 Regex error 'missing closing parenthesis at offset 1'"
        ", query was: SELECT `main_table`.`entity_id`, `main_table`.`order_id`, `main_table`.`increment_id`, "
        "`main_table`.`created_at`, `main_table`.`state`, `main_table`.`grand_total`, "
        "`main_table`.`order_currency_code` FROM `sales_flat_invoice` AS `main_table` WHERE (`entity_id` REGEXP '(')"
    )
    with pytest.raises(PhpFatal, match="1139 Regex error") as died:
        real.select(NEWEST, "rpc", LISTINGS["customers"], [], [("entity_id", "regexp", "(")])
    assert died.value.status == 503


# --- what the tables are ---------------------------------------------------------------------------------------------


@pytest.fixture
def described(mariadb: MariaDb) -> Iterator[str]:
    """Return the name of a database with the tables of a shop."""
    with MariaDatabase(mariadb.url("described")):
        yield "described"


def test_columns_are_those_of_magento(mariadb: MariaDb, described: str) -> None:
    """Types, character set and keys are those that Magento creates."""
    with mariadb.connect(database=described) as connection, connection.cursor() as cursor:

        def shown(statement: str, first: int, second: int) -> dict[str, Any]:
            cursor.execute(statement)
            return {row[first]: row[second] for row in cursor.fetchall()}

        order = shown("SHOW COLUMNS FROM sales_flat_order", 0, 1)
        assert {name: order[name] for name in ("entity_id", "store_id", "increment_id", "status", "grand_total")} == {
            "entity_id": "int(10) unsigned",
            "store_id": "smallint(5) unsigned",
            "increment_id": "varchar(50)",
            "status": "varchar(32)",
            "grand_total": "decimal(12,4)",
        }
        assert (order["created_at"], order["customer_dob"]) == ("timestamp", "datetime")
        assert shown("SHOW COLUMNS FROM sales_flat_invoice", 0, 1)["state"] == "int(11)"
        assert shown("SHOW COLUMNS FROM catalog_product_entity_decimal", 0, 1)["value"] == "decimal(12,4)"
        assert "firstname" not in shown("SHOW COLUMNS FROM customer_entity", 0, 1)
        assert set(shown("SHOW TABLE STATUS", 0, 14).values()) == {"utf8mb3_general_ci"}
        keys = shown("SHOW INDEX FROM sales_flat_shipment", 4, 1)
    assert keys == {
        **dict.fromkeys(["entity_id", "increment_id"], 0),
        **dict.fromkeys(["created_at", "order_id", "store_id", "total_qty", "updated_at"], 1),
    }


@pytest.mark.parametrize(
    ("condition", "type_"), [(("entity_id", "in", "3,4,6"), "range"), (("entity_id", "regexp", "^[346]$"), "ALL")]
)
def test_windows_use_the_key(mariadb: MariaDb, condition: tuple[str, str, str], type_: str) -> None:
    """For MariaDB a list of ids is a range of the primary key; a regexp reads the whole table."""
    list_call = ListCall(NEWEST, "rpc", LISTINGS["orders"], [], [condition])
    with MariaDatabase(mariadb.url("explained")) as database:
        database.populate(100)
        assert ids(database, "orders", condition) == [3, 4, 6]
        with mariadb.connect(database="explained") as connection, connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {statement(list_call)}")
            plans = {row[2]: row[3] for row in cursor.fetchall()}
    assert plans["main_table"] == type_


# --- changes ---------------------------------------------------------------------------------------------------------


def test_rows_are_inserted_updated_and_deleted(small: MariaDatabase) -> None:
    """Rows can be changed while the shop runs; missing values of new rows are made up."""
    assert small.insert("orders", {"status": "odd", "grand_total": 5, "billing_firstname": "Ada"}) == 14
    (row,) = rows(small, "orders", ("status", "eq", "odd"))
    assert (row["order_id"], row["grand_total"], row["billing_firstname"]) == (14, "5.0000", "Ada")
    assert row["created_at"] == max(order["created_at"] for order in rows(small, "orders"))
    assert small.insert("invoices", {"entity_id": 77, "order_id": 14}) == 77
    (invoice,) = rows(small, "invoices", ("entity_id", "eq", "77"))
    assert (invoice["order_id"], invoice["grand_total"]) == (14, "5.0000")
    assert small.update("orders", 14, {"status": "changed"})
    assert small.update("orders", 14, {"status": "changed"}), "a row that stays as it was is a row"
    assert not small.update("orders", 99, {"status": "changed"})
    assert not rows(small, "orders", ("status", "eq", "odd"))
    assert small.count("orders") == 11
    assert small.delete("orders", 14)
    assert not small.delete("orders", 14)
    assert 14 not in small.ids("orders")
    assert small.insert("orders", {"entity_id": 14}) == 14, "its addresses went with it"


def test_attributes_of_customers_are_stored(small: MariaDatabase) -> None:
    """Values in value tables can be changed, deleted and filtered like columns; NULL has no row."""
    key = small.insert("customers", {"email": "ada@example.com", "firstname": "Ada", "taxvat": None})
    assert rows(small, "customers", ("taxvat", "eq", "")) == []
    assert small.update("customers", key, {"firstname": "Grace", "taxvat": "DE1", "group_id": 2})
    (row,) = rows(small, "customers", ("firstname", "eq", "grace"), ("taxvat", "like", "de_"))
    assert (row["customer_id"], row["email"], row["group_id"]) == (key, "ada@example.com", 2)
    assert small.update("customers", key, {"firstname": None})
    assert rows(small, "customers", ("email", "eq", "ADA@example.com"))[0]["firstname"] is None
    assert rows(small, "customers", ("firstname", "neq", "x"), ("entity_id", "eq", str(key))) == []
    assert small.delete("customers", key)
    assert not rows(small, "customers", ("taxvat", "eq", "DE1"))


def test_a_change_that_fails_changes_nothing(small: MariaDatabase) -> None:
    """An unknown column, an existing id or a value that does not fit is refused; the tables stay as before."""
    before = rows(small, "orders")
    with pytest.raises(ValueError, match="no column 'colour'"):
        small.insert("orders", {"colour": "red"})
    with pytest.raises(ValueError, match="orders: Duplicate entry '3' for key 'PRIMARY'"):
        small.insert("orders", {"entity_id": 3})
    with pytest.raises(ValueError, match="Data too long for column 'status'"):
        small.update("orders", 3, {"status": "x" * 33})
    with pytest.raises(ValueError, match="orders: Data too long for column 'status'"):
        small.fill({"orders": Rows(("entity_id", "status"), [[500, "fine"], [501, "x" * 33]])})
    with pytest.raises(ValueError, match="Incorrect string value"):
        small.update("orders", 3, {"customer_firstname": b"Bj\xf6rn"})
    with pytest.raises(ValueError, match="Incorrect datetime value"):
        small.update("customers", 3, {"dob": "yesterday"})
    assert rows(small, "orders") == before


def test_ids_at_both_ends_of_the_key_are_valid(mariadb: MariaDb) -> None:
    """The key is INT UNSIGNED: 0 and 4294967295 are valid ids."""
    with MariaDatabase(mariadb.url()) as database:
        database.populate([0, 1, 4294967294, 4294967295])
        assert ids(database, "orders", ("entity_id", "gteq", "4294967295")) == [4294967295]
        assert ids(database, "orders", ("entity_id", "lteq", "0")) == [0]
        assert ids(database, "orders", ("entity_id", "like", "42949672__")) == [4294967294, 4294967295]
        database.load("invoices", [7], [4294967295])
        assert rows(database, "invoices")[0]["order_id"] == 4294967295


def test_an_emoji_is_stored_as_question_marks(small: MariaDatabase) -> None:
    """MySQL's utf8 ends at U+FFFF, as in Magento."""
    small.update("orders", 3, {"billing_firstname": f"Ada {EMOJI}", "customer_firstname": "山田 Łukasz"})
    (row,) = rows(small, "orders", ("entity_id", "eq", "3"))
    assert (row["billing_firstname"], row["customer_firstname"]) == ("Ada ????", "山田 Łukasz")


@pytest.mark.parametrize("kind", ["billing", "shipping"])
def test_an_order_with_two_addresses_of_a_kind_breaks_replies(small: MariaDatabase, kind: str) -> None:
    """It breaks each reply it is in, and no other; deleting it helps."""
    shipped = next(row["order_id"] for row in rows(small, "orders") if not row["is_virtual"])
    small.duplicate_address(shipped, kind)
    for filters in ([], [("entity_id", "eq", str(shipped))]):
        with pytest.raises(ShopFault) as caught:
            rows(small, "orders", *filters)
        text = f'Item (Mage_Sales_Model_Order) with the same id "{shipped}" already exist'
        assert (caught.value.code, caught.value.text) == ("1", text)
    assert len(ids(small, "orders", ("entity_id", "neq", str(shipped)))) == 9
    small.delete("orders", shipped)
    assert len(ids(small, "orders")) == 9


# --- streaming, and the end ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_reader_sees_the_table_as_it_was(mariadb: MariaDb) -> None:
    """Changes do not affect a reply that has begun; many replies can be open, and can be left open."""
    with MariaDatabase(mariadb.url()) as database:
        database.populate(1500)
        replies = [database.select(NEWEST, "rpc", LISTINGS["orders"], [], []) for _ in range(20)]
        assert [len(list(islice(reply, 3))) for reply in replies] == [3] * 20
        last = max(database.ids("orders"))
        assert database.delete("orders", last)
        database.insert("orders", {"entity_id": 300_000})
        assert sum(1 for _ in replies[0]) == 1497
        assert max(database.ids("orders")) == 300_000
    with pytest.raises(PhpFatal, match="connection"):
        list(replies[1])


def test_threads_read_and_write_at_the_same_time(small: MariaDatabase) -> None:
    """Each reply is complete, and each change is kept."""
    counts: list[int] = []

    def read() -> None:
        counts.extend(len(rows(small, "orders")) for _ in range(10))

    def write() -> None:
        for _ in range(10):
            small.insert("orders", {})

    threads = [threading.Thread(target=work) for work in (read, write, read, write)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert small.count("orders") == 30
    assert len(counts) == 20
    assert all(10 <= count <= 30 for count in counts)


def test_a_created_database_is_dropped_with_the_shop(mariadb: MariaDb) -> None:
    """A database that did not exist is created and dropped; an existing empty one stays, empty."""
    url = mariadb.url("made_by_the_shop")
    shop = Shop(orders=5, database=url)
    for _ in range(2):
        with shop:
            assert shop.database.count("orders") == 5
            assert mariadb.run("SHOW DATABASES LIKE 'made_by_the_shop'")
        assert mariadb.run("SHOW DATABASES LIKE 'made_by_the_shop'") == []
    mariadb.run("CREATE DATABASE made_before")
    with MariaDatabase(mariadb.url("made_before")):
        assert "sales_flat_order" in mariadb.run("SHOW TABLES FROM made_before")
    assert mariadb.run("SHOW TABLES FROM made_before") == []


def test_a_database_with_tables_is_refused(mariadb: MariaDb) -> None:
    """Existing tables are neither dropped nor changed nor filled."""
    mariadb.run("CREATE DATABASE used", "CREATE TABLE used.sales_flat_order (a INT)", "CREATE TABLE used.mine (a INT)")
    shop = Shop(orders=5, database=mariadb.url("used"))
    with pytest.raises(ValueError, match=r"'used' at .* has tables: mine, sales_flat_order. Name an empty"):
        shop.start()
    assert mariadb.run("SHOW TABLES FROM used") == ["mine", "sales_flat_order"]
    assert mariadb.run("SELECT count(*) FROM used.sales_flat_order") == ["0"]


def test_a_user_needs_rights_on_the_database_only(mariadb: MariaDb) -> None:
    """A password may have any character, and is in no message."""
    mariadb.run(
        "CREATE DATABASE allowed",
        "CREATE USER 'shop'@'localhost' IDENTIFIED BY 'p@ss/wörd?'",
        "GRANT ALL ON allowed.* TO 'shop'@'localhost'",
        "CREATE DATABASE read_only",
        "GRANT SELECT ON read_only.* TO 'shop'@'localhost'",
    )
    user = "shop:p%40ss%2Fw%C3%B6rd%3F"
    with Shop(orders=5, database=mariadb.url("allowed", user)) as shop:
        assert shop.database.count("orders") == 5
    assert mariadb.run("SHOW TABLES FROM allowed") == []
    for url, message in (
        (mariadb.url("forbidden", user), "Access denied for user 'shop'@'localhost' to database 'forbidden'"),
        (mariadb.url("read_only", user), "CREATE command denied"),
        (mariadb.url("allowed", "shop:wr%40ng"), "Access denied for user 'shop'@'localhost'"),
        ("mysql://shop:wr%40ng@127.0.0.1:1/allowed", "Can't connect to MySQL server on '127.0.0.1'"),
    ):
        with pytest.raises(ConnectionError, match=message) as caught:
            Shop(database=url).start()
        assert "wr@ng" not in str(caught.value)
        assert "p@ss" not in str(caught.value)


def test_a_shop_survives_the_loss_of_its_database(mariadb: MariaDb) -> None:
    """A call returns the page of a Magento without its database, and works again when the database is back."""
    with Shop(orders=5, database=mariadb.url("goes_away")) as shop:
        mariadb.run("CREATE USER 'other'@'localhost'", "RENAME USER 'root'@'localhost' TO 'away'@'localhost'")
        away = mariadb.connect(user="away")
        try:
            with pytest.raises(PhpFatal) as caught:
                shop.database.select(NEWEST, "rpc", LISTINGS["orders"], [], [])
            assert caught.value.status == 503
        finally:
            away.query("RENAME USER 'away'@'localhost' TO 'root'@'localhost'")
            away.close()
        assert len(rows(shop.database, "orders")) == 5


def test_without_the_driver_the_shop_says_what_to_install() -> None:
    """Without PyMySQL a shop on SQLite still works."""
    code = (
        "import sys; sys.modules['pymysql'] = None\n"
        "from magento_pager.fake import Shop\n"
        "with Shop(orders=1): pass\n"
        "Shop(database='mysql://root@localhost/demo')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)  # noqa: S603
    assert ended.stderr.splitlines()[-1] == (
        "ValueError: A shop on MariaDB needs PyMySQL. Run `pip install 'magento-pager[mariadb]'`, or name no database."
    )


# --- whole walks -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shop_as(mariadb: MariaDb) -> Iterator[Callable[[str, Any], Shop]]:
    """Return a function that turns one shop on MariaDB into any version and flavour."""
    with Shop(orders=400, database=mariadb.url()) as shop:

        def become(version: str, flavour: Any) -> Shop:
            shop.set_profile(version, flavour=flavour)
            return shop

        yield become


@pytest.fixture(scope="module")
def seeded() -> Iterator[Database]:
    """Return the same shop on SQLite, with the expected rows."""
    with Database() as database:
        database.populate(400)
        yield database


@pytest.mark.sampled
@pytest.mark.parametrize(("version", "flavour"), SPOKEN)
def test_auto_delivers_exactly_the_table(
    shop_as: Callable[[str, Any], Shop], seeded: Database, version: str, flavour: str
) -> None:
    """For every list of every version and flavour no row is missing and none is delivered twice."""
    shop, increments = shop_as(version, flavour), increment_ids(seeded)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        for name in get_args(ListName):
            if name not in profile(version).lists:
                continue
            paginator = pager.list(name)
            if name in profile(version).missing_ids:
                delivered = [increments[name][row["increment_id"]] for row in paginator]
            else:
                delivered = [int(row[paginator.id_field]) for row in paginator]
            assert sorted(delivered) == list(seeded.ids(name)), name


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize(("version", "flavour"), SPOKEN)
def test_a_strategy_by_name_is_exact_or_an_error(
    shop_as: Callable[[str, Any], Shop], seeded: Database, version: str, flavour: str, strategy: StrategyName
) -> None:
    """On each list it delivers exactly the rows up to the last id, or raises an error; it is never silently wrong."""
    shop = shop_as(version, flavour)
    last = 200
    exact = []
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        for entity in get_args(ListName):
            if entity not in profile(version).lists:
                continue
            try:
                delivered = list(pager.list(entity, strategy=strategy, last=last))
            except PagerError:
                continue
            exact.append(entity)
            expected = sum(number <= last for number in seeded.ids(entity))
            assert len(delivered) == expected > 0
    if strategy == "prefix" or (strategy == "regexp" and version != "1.4.1.1"):
        assert exact == list(profile(version).lists)
    if strategy == "single-filter":  # rows after the last id are recognised by their ids
        assert set(profile(version).lists) - set(profile(version).missing_ids) <= set(exact)


def test_the_command_line_serves_a_shop_on_mariadb(mariadb: MariaDb, tmp_path: Path) -> None:
    """The shop is served and dumped completely, and leaves nothing in the server."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    serve = [sys.executable, "-m", "magento_pager", "serve", "--orders", "50", "--database", mariadb.url("served")]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, env=environment) as process:  # noqa: S603 -- our own
        assert process.stdout is not None
        shop = json.loads(process.stdout.readline())
        out = tmp_path / "orders.ndjson"
        dump = [sys.executable, "-m", "magento_pager", "dump", "orders", "--out", str(out)]
        dump += ["--url", shop["url"], "--user", shop["user"], "--key", shop["key"]]
        subprocess.run(dump, check=True, capture_output=True)  # noqa: S603 -- our own
        process.send_signal(signal.SIGTERM)
    assert len(out.read_text().splitlines()) == 50
    assert mariadb.run("SHOW DATABASES LIKE 'served'") == []
