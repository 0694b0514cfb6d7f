"""Filters version by version: the rules of filter_rules.toml, and laws of the parsers and of quoting."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager.fake.data import Rows
from magento_pager.fake.database.sqlite import Database
from magento_pager.fake.database.syntax import Operation, Text, parse
from magento_pager.fake.faults import PhpFatal, ShopFault
from magento_pager.fake.filters import conditions, parsed, quoted, quoted_name
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.profiles import OPERATORS, PROFILES, Profile, listing, on_php5, profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.fake.api import Tables
    from magento_pager.fake.declarations import Flavour

DOCUMENT = tomllib.loads(Path(__file__).with_name("filter_rules.toml").read_text(encoding="utf-8"))
IDS = [3, 5, 10, 12, 20, 103]


@dataclass(frozen=True)
class Case:
    """One rule on one version."""

    rule: dict[str, Any]
    profile: Profile
    answer: str

    def __str__(self) -> str:
        return f"{self.profile.name}{' on PHP 5' if self.profile.php5 else ''}: {self.rule['rule']}"


def cases() -> Iterator[Case]:
    """Yield every rule with each of its versions."""
    for rule in DOCUMENT["rules"]:
        for versions, answer in rule["answers"]:
            yield from (Case(rule, profile(name), answer) for name in versions.split())
        for versions, answer in rule.get("php5", ()):
            yield from (Case(rule, on_php5(profile(name)), answer) for name in versions.split())


@pytest.fixture(scope="module")
def shop() -> Iterator[Database]:
    """Return a database with the rows of the rules."""
    with Database() as database:
        for name, content in DOCUMENT["rows"].items():
            rows = [[None if value == "NULL" else value for value in row] for row in content["rows"]]
            database.fill({name: Rows(tuple(content["columns"]), rows)})
        yield database


def answer(database: Tables, version: Profile, flavour: Flavour, rule: dict[str, Any]) -> str:
    """Return the answer to the query of a rule, in the form of the rules."""
    requested = listing(rule["list"], version)
    simple = [tuple(entry) for entry in rule.get("simple", ())]
    complex_ = [tuple(entry) for entry in rule.get("complex", ())]
    index = requested.columns.index("increment_id" if requested.name in version.missing_ids else requested.key_field)
    try:
        keys = [row[index] for row in database.select(version, flavour, requested, simple, complex_)]
    except ShopFault as fault:
        return f"fault {fault.code}"
    except PhpFatal as fatal:
        return f"fatal {fatal.status}"
    if requested.name in version.missing_ids:
        by_increment_id = {row[1]: row[0] for row in DOCUMENT["rows"][requested.name]["rows"]}
        keys = [by_increment_id[number] for number in keys]
    ids = sorted(int(str(key)) for key in keys)
    return "all" if ids == IDS else " ".join(map(str, ids)) or "none"


@pytest.mark.parametrize("case", list(cases()), ids=str)
def test_each_version_follows_the_rule(shop: Database, case: Case) -> None:
    """Each version answers the query of a rule as expected, in each of its flavours."""
    for flavour in case.profile.flavours:
        assert answer(shop, case.profile, flavour, case.rule) == case.answer, flavour


def test_every_rule_covers_every_version() -> None:
    """No rule omits a version, unless the version lacks the list."""
    for rule in DOCUMENT["rules"]:
        named = " ".join(versions for versions, _ in rule["answers"]).split()
        assert named == [version.name for version in PROFILES.values() if rule["list"] in version.lists], rule["rule"]


def test_every_operator_has_a_rule() -> None:
    """There is a rule with each operator of any version."""
    tested = {operator for rule in DOCUMENT["rules"] for _, operator, _ in rule.get("complex", ())}
    assert {*OPERATORS, "moreq"} <= tested


@pytest.mark.parametrize("name", ["orders", "shipments", "customers"])
def test_wsi_of_1_6_2_breaks_every_filter(shop: Database, name: str) -> None:
    """In WS-I every filter of 1.6.2.0 is an error: the operator is read as the field. From source, not seen."""
    version = replace(profile("1.6.2.0"), flavours=("rpc", "wsi"))
    whole = {"list": name}
    assert answer(shop, version, "wsi", whole) == "all"
    for query in ({"complex": [["entity_id", "gteq", "5"]]}, {"simple": [["entity_id", "5"]]}):
        assert answer(shop, version, "rpc", whole | query) != "all"
        assert answer(shop, version, "wsi", whole | query).startswith("fault ")


def test_wsi_creditmemos_of_1_6_2_are_not_filtered(shop: Database) -> None:
    """In WS-I the filters of credit memos are not bound to their argument from 1.6.1 to 1.7.0.0."""
    version = replace(profile("1.6.2.0"), flavours=("rpc", "wsi"))
    query = {"list": "creditmemos", "complex": [["entity_id", "gteq", "20"]]}
    assert answer(shop, version, "wsi", query) == "all"
    assert answer(shop, version, "rpc", query) == "20 103"


def test_php5_refuses_versions_that_need_a_newer_php() -> None:
    """20.0.20 cannot run on PHP 5."""
    with pytest.raises(ValueError, match=r"20\.0\.20"):
        on_php5(profile("20.0.20"))


def test_database_errors_quote_the_query() -> None:
    """The text of an SQL fault has the error and the whole statement, as on a live server."""
    with Database() as database, pytest.raises(ShopFault) as caught:
        database.select(profile("20.0.20"), "rpc", LISTINGS["invoices"], [], [("nope", "eq", "3")])
    assert caught.value.text == (
        "SQLSTATE[42S22]: Column not found: 1054 Unknown column 'nope' in 'WHERE', query was: SELECT "
        "`main_table`.`entity_id`, `main_table`.`order_id`, `main_table`.`increment_id`, `main_table`.`created_at`, "
        "`main_table`.`state`, `main_table`.`grand_total`, `main_table`.`order_currency_code` "
        "FROM `sales_flat_invoice` AS `main_table` WHERE (`nope` = '3')"
    )
    assert caught.value.status == 200


FIELDS = st.sampled_from(["status", "state", "store_id", "created_at", "increment_id"])
CONDITIONS = st.lists(
    st.tuples(FIELDS, st.sampled_from(["eq", "gteq", "lt", "like", "from", "between"]), st.text("a1%_", max_size=3)),
    max_size=5,
    unique_by=lambda condition: condition[0],
)


@given(complex_=CONDITIONS)
def test_conditions_on_different_names_are_read_alike(complex_: list[tuple[str, str, str]]) -> None:
    """If no name occurs twice, all versions pass on the same conditions."""
    orders = LISTINGS["orders"]
    read = [parsed(version, "rpc", orders, [], complex_) for version in PROFILES.values()]
    assert all(conditions_ == read[0] for conditions_ in read)
    assert len(read[0]) == len(complex_)


@given(simple=st.lists(st.tuples(FIELDS, st.text(max_size=3)), max_size=4), complex_=CONDITIONS)
def test_flavours_are_read_alike(simple: list[tuple[str, str]], complex_: list[tuple[str, str, str]]) -> None:
    """The filters of a version are the same in WS-I, if WS-I works."""
    for version in PROFILES.values():
        if "wsi" in version.flavours:
            rpc, wsi = (
                conditions(version, flavour, LISTINGS["orders"], simple, complex_) for flavour in ("rpc", "wsi")
            )
            assert rpc == wsi


@given(st.text())
def test_quoting_survives_the_parser(text: str) -> None:
    """MySQL reads a quoted value as the original value."""
    assert parse(quoted(text)) == Text(text)


@given(st.text(st.characters(exclude_characters="."), min_size=1))
def test_quoted_names_survive_the_parser(name: str) -> None:
    """MySQL reads a name in backticks as the original name."""
    tree = parse(f"{quoted_name(name)} = '1'")
    assert isinstance(tree, Operation)
    assert str(tree.operands[0]) == f"Name(parts=({name!r},))"
