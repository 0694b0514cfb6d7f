"""The filters of XML-RPC: the SQL of each version for PHP values, nested in any way."""

from __future__ import annotations

from typing import Any

import pytest

from magento_pager.fake import Database, PhpFatal, profile
from magento_pager.fake.filters import conditions
from magento_pager.fake.lists import LISTINGS

ALL = ("1.4.1.1", "1.6.2.0", "1.7.0.2", "1.8.1.0", "20.0.20")
OLD, NEW = ALL[:1], ALL[1:]


def where(version: str, name: str, nested: Any) -> str:
    """Return the conditions of a call, without backticks and the name of the table."""
    sql_conditions = conditions(profile(version), "rpc", LISTINGS[name], (), (), nested=nested)
    return " AND ".join(sql_conditions.where).replace("`", "").replace("main_table.", "")


@pytest.mark.parametrize(
    ("condition", "versions", "sql"),
    [
        ({"from": 5, "to": "9"}, ALL, "entity_id >= 5 AND entity_id <= '9'"),
        ({"to": 9, "from": 5}, ALL, "entity_id >= 5 AND entity_id <= 9"),
        ({"from": 5, "to": None}, ALL, "entity_id >= 5"),
        ({"from": None, "to": 9}, ALL, "entity_id <= 9"),
        ({"from": None, "to": None}, NEW, "entity_id >= ''"),
        ({"from": None, "to": None}, OLD, "((entity_id = '') OR (entity_id = ''))"),
        ({"from": "", "to": False}, ALL, "entity_id >= '' AND entity_id <= ''"),
        ({"from": True, "to": 7.5}, ALL, "entity_id >= '1' AND entity_id <= 7.5"),
        ({"from": [5], "to": {"x": 9}}, ALL, "entity_id >= 5 AND entity_id <= 9"),
        ({"from": [], "to": 9}, ALL, "entity_id >= NULL AND entity_id <= 9"),
        ({"from": [5, 6]}, ALL, "entity_id >= 5, 6"),
        ({"eq": 3, "from": 5, "in": [1]}, ALL, "entity_id >= 5"),
        ({"lt": 9, "gt": 5}, NEW, "entity_id < 9"),
        ({"lt": 9, "gt": 5}, OLD, "entity_id > 5"),
        ({"eq": None}, NEW, "entity_id = ''"),
        ({"eq": None}, OLD, "((entity_id = ''))"),
        ({"null": None}, NEW, "entity_id IS NULL"),
        ({"null": None}, OLD, "((entity_id = ''))"),
        ({"null": False, "eq": 7}, OLD, "entity_id = 7"),
        ({"notnull": 0}, ALL, "entity_id IS NOT NULL"),
        ({"moreq": 5}, NEW, "((entity_id = '5'))"),
        ({"moreq": 5}, OLD, "entity_id >= 5"),
        ({"regexp": "^5"}, NEW, "entity_id REGEXP '^5'"),
        ({"regexp": "^5"}, OLD, "((entity_id = '^5'))"),
        ({"seq": ""}, NEW, "entity_id IS NULL"),
        ({"sneq": None}, NEW, "entity_id IS NOT NULL"),
        ({"sneq": "0"}, NEW, "entity_id != '0'"),
        ({"seq": [5]}, NEW, "entity_id = 5"),
        ({"seq": ""}, OLD, "((entity_id = ''))"),
        ({"is": None}, NEW, "entity_id IS ''"),
        ({"in": [5, "x", None, True, 7.0]}, ALL, "entity_id IN(5, 'x', '', '1', 7)"),
        ({"in": []}, ALL, "entity_id IN(NULL)"),
        ({"in": [[], 5]}, ALL, "entity_id IN(, 5)"),
        ({"in": [[1, [2]], 5]}, ALL, "entity_id IN(1, 2, 5)"),
        ({"in": "1,2"}, ALL, "entity_id IN('1,2')"),
        ({"nin": 5}, ALL, "entity_id NOT IN(5)"),
        ({"finset": 5}, ALL, "FIND_IN_SET(5, entity_id)"),
        (5, ALL, "entity_id = '5'"),
        (7.0, ALL, "entity_id = '7'"),
        (1e20, ALL, "entity_id = '1.0E+20'"),
        (-1, ALL, "entity_id = '-1'"),
        (None, ALL, "entity_id = ''"),
        (True, ALL, "entity_id = '1'"),
        ({"GTEQ": 5, "foo": 6}, ALL, "((entity_id = '5') OR (entity_id = '6'))"),
        ({"foo": {"eq": 5}}, ALL, "((entity_id = 5))"),
        ({"foo": 1, "eq": 5}, ALL, "entity_id = 5"),
        ([5, "7"], ALL, "((entity_id = '5') OR (entity_id = '7'))"),
        ([{"from": 1, "to": 2}, {"eq": 5}], ALL, "((entity_id >= 1 AND entity_id <= 2) OR (entity_id = 5))"),
        ([[{"eq": 5}], 7], ALL, "((((entity_id = 5))) OR (entity_id = '7'))"),
        ({"0": {"eq": 5}, "1": 7}, ALL, "((entity_id = 5) OR (entity_id = '7'))"),
        ([], ALL, "()"),
        ([{}, {"eq": 5}], ALL, "((()) OR (entity_id = 5))"),
        ({"eq": "?"}, ALL, "entity_id = ''''"),
        ({"eq": "{{fieldName}}"}, NEW, "entity_id = 'entity_id'"),
        ({"eq": "{{fieldName}}"}, OLD, "entity_id = '{{fieldName}}'"),
        ({"eq": "a\0b"}, NEW, "entity_id = 'ab'"),
        ({"from": "2024-02-30 10:00", "date": True}, NEW, "entity_id >= '2024-03-01 10:00:00'"),
        ({"from": "2024-02-30 10:00", "date": True}, OLD, "entity_id >= '2024-03-01'"),
        ({"to": "2024-02-01", "datetime": 1}, ALL, "entity_id <= '2024-02-01 00:00:00'"),
        ({"to": 5, "datetime": "1"}, ALL, "entity_id <= '1970-01-01 00:00:05'"),
        ({"to": "soon", "datetime": "1"}, ALL, "entity_id <= '1970-01-01 00:00:00'"),
        ({"to": "", "date": "1"}, ALL, "entity_id <= NULL"),
        ({"to": "soon", "date": "0", "datetime": []}, ALL, "entity_id <= 'soon'"),
    ],
)
def test_conditions_on_a_field_become_sql(condition: Any, versions: tuple[str, ...], sql: str) -> None:
    """The SQL by the id's own name, on flat lists, for each of the versions."""
    for version in versions:
        assert where(version, "orders", {"order_id": condition}) == sql, version


@pytest.mark.parametrize(
    ("nested", "versions", "sql"),
    [
        ({"order_id": 5, "status": "new"}, ALL[2:], "status = 'new' AND entity_id = '5'"),
        ({"order_id": 5, "status": "new"}, ALL[:2], "entity_id = '5' AND status = 'new'"),
        ({"order_id": {"from": 5}, "status": 1, "entity_id": {"to": 9}}, ALL[2:], "status = '1' AND entity_id >= 5"),
        ({"entity_id": {"from": 5}, "order_id": {"to": 9}}, ALL[2:], "entity_id <= 9"),
        ({"entity_id": {"from": 5}, "order_id": {"to": 9}}, ALL[:2], "entity_id >= 5 AND entity_id <= 9"),
        (["x"], ALL, "0 = 'x'"),
        ([{"from": 5, "to": 9}], ALL, "0 >= 5 AND 0 <= 9"),
        ({}, ALL, ""),
        ([], ALL, ""),
        (5, ALL, ""),
        ("abc", ALL, ""),
        (True, ALL, ""),
    ],
)
def test_conditions_on_two_names_of_a_column(nested: Any, versions: tuple[str, ...], sql: str) -> None:
    """Up to 1.6.2 both conditions count; later only that on the alias."""
    for version in versions:
        assert where(version, "orders", nested) == sql, version


def test_old_credit_memos_map_names() -> None:
    """Their code mapped the names in 1.6.2 already; that of invoices did so by XML-RPC, and not by SOAP."""
    both = {"entity_id": {"from": 5}, "creditmemo_id": {"to": 9}}
    assert where("1.6.2.0", "creditmemos", both) == "entity_id <= 9"
    assert where("1.6.2.0", "invoices", {"invoice_id": 5}) == "entity_id = '5'"


@pytest.mark.parametrize("name", ["customers", "products"])
@pytest.mark.parametrize("version", ALL)
def test_a_number_as_a_field_kills_php(version: str, name: str) -> None:
    """PHP looks it up as the id of an attribute, which does not exist."""
    for nested in (["x"], {"0": {"eq": 1}}, {" 7.5": 1}):
        with pytest.raises(PhpFatal, match="getAttributeCode"):
            where(version, name, nested)


def test_an_array_as_a_date_kills_php() -> None:
    """PHP's `strtotime` accepts only a text."""
    with pytest.raises(PhpFatal, match="strtotime"):
        where("20.0.20", "orders", {"created_at": {"from": ["2024-01-01"], "date": True}})


@pytest.mark.parametrize(
    "condition",
    [
        [{"from": key, "to": key} for key in range(3, 9_003, 3)],
        {"in": list(range(3, 9_003, 3))},
        {"in": [*range(3, 9_003, 3), "x"]},
    ],
    ids=["ranges", "ids", "ids and a text"],
)
def test_thousands_of_ranges_and_ids_in_one_call(condition: Any) -> None:
    """They work although SQLite does not allow a tree of a thousand levels, as MySQL does."""
    with Database() as database:
        database.populate(100)
        expected = [key for key in database.ids("orders") if key % 3 == 0 and key < 9_003]
        requested = LISTINGS["orders"]
        selected = database.select(profile("20.0.20"), "rpc", requested, (), (), nested={"entity_id": condition})
        index = requested.columns.index("order_id")
        assert sorted(row[index] for row in selected) == expected != []  # type: ignore[type-var]  # ids are numbers
