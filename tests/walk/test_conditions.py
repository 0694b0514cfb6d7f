"""The rules for a user's own conditions, and when a row contradicts one."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from magento_pager.walk.conditions import Condition, checked_where, contradicts

REFUSED = [
    (("status", "between", "1"), "all would read it as '='"),
    (("status", "GTEQ", "1"), "all would read it as '='"),
    (("status", ">=", "1"), "did you mean 'gteq'"),
    (("status", "moreq", "1"), "did you mean 'gteq'"),
    (("entity_id", "gt", "5"), "needs its own conditions on the key"),
    (("ENTITY_ID", "gt", "5"), "needs its own conditions on the key"),
    (("main_table.Entity_Id", "gt", "5"), "needs its own conditions on the key"),
    (("order_id", "gt", "5"), "needs its own conditions on the key"),
    (("created_at", "gteq", ""), "empty value"),
    (("created_at", "from", ""), "empty value"),
    (("status", "in", ""), "empty value"),
    (("status", "eq", "what?"), "replace '?'"),
    (("status", "eq", "{{status}}"), "replace '{{"),
    (("status; drop table x", "eq", "1"), "a field is a name"),
    (("`status`", "eq", "1"), "a field is a name"),
    (("a.b.c", "eq", "1"), "a field is a name"),
    (("status ", "eq", "1"), "a field is a name"),
    (("stätus", "eq", "1"), "a field is a name"),
    (("status", "eq", "a\x01"), "control character"),
]


@pytest.mark.parametrize(("condition", "reason"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_condition_that_a_server_would_misread_is_refused(condition: tuple[str, str, str], reason: str) -> None:
    """A condition that some server misreads silently is refused with the reason."""
    with pytest.raises(ValueError, match=reason.replace("{", r"\{").replace("?", r"\?")):
        checked_where([condition], ("entity_id", "order_id"))


@pytest.mark.parametrize("second", ["status", "STATUS", "main_table.status", "Main_Table.Status"])
def test_two_conditions_on_one_field_are_refused(second: str) -> None:
    """Whatever name the field has, one of the two would be dropped."""
    with pytest.raises(ValueError, match="second condition on one field"):
        checked_where([("status", "neq", "closed"), (second, "neq", "canceled")])


@pytest.mark.parametrize("given", ["status:eq:x", ("status", "eq"), ("status", "eq", 5), "abc", None])
def test_other_values_than_conditions_are_refused(given: Any) -> None:
    """Any value except a Condition or three texts is a TypeError that shows the form."""
    with pytest.raises(TypeError, match=r'\("status", "eq", "complete"\)'):
        checked_where([given])


def test_valid_conditions_pass() -> None:
    """Conditions that every server reads alike pass unchanged, whatever form they have."""
    pair: list[Any] = [Condition("status", "eq", "complete"), ("main_table.created_at", "gteq", "2024-01-01 00:00:00")]
    assert checked_where(pair) == (pair[0], Condition("main_table.created_at", "gteq", "2024-01-01 00:00:00"))


NO_TIMES = [
    "2024",
    "2024-01",
    "2024-1-5",
    "2024-02-31",
    "2023-02-29",
    "2024-13-01",
    "2024-00-10",
    "0000-00-00",
    "0000-00-00 00:00:00",
    "01/05/2024",
    "05.01.2024",
    "20240105",
    "2024/01/05",
    "24-01-05",
    "2024-01-05T10:00:00",
    "2024-01-05T10:00:00Z",
    "2024-01-05 10:00:00Z",
    "2024-01-05 10:00:00+02:00",
    "2024-01-05 10:00",
    "2024-01-05 10",
    "2024-01-05 24:00:00",
    "2024-01-05 10:60:00",
    "2024-01-05 10:00:60",
    "2024-01-05 10:00:00.5",
    "2024-01-05  10:00:00",
    " 2024-01-05",
    "2024-01-05 ",
    "2024-01-05\n",
    "\uff12\uff10\uff12\uff14-01-05",  # full-width digits
    "yesterday",
    "now",
    "NULL",
    "1704412800",
    "2024-W01-5",
    "-2024-01-05",
    "12024-01-05",
]
COMPARING = ["eq", "neq", "gt", "gteq", "lt", "lteq", "from", "to", "in", "nin", "finset", "seq", "sneq"]


@pytest.mark.parametrize("value", NO_TIMES)
def test_a_date_column_needs_a_whole_date(value: str) -> None:
    """A database reads any text as some date, mostly one before all others, and silently returns wrong rows."""
    for field, operator in product(("created_at", "main_table.created_at", "Created_At"), COMPARING):
        with pytest.raises(
            ValueError, match=r"such as 2024-01-05, .* or a date and a time in UTC, such as 2024-01-05 "
        ):
            checked_where([(field, operator, value)], dates={"created_at"})
    assert checked_where([("my_date", "eq", value)], dates={"created_at"})


def test_a_time_with_a_zone_is_refused_with_a_suggestion_in_utc() -> None:
    """It is not sent, because some servers would ignore the zone."""
    with pytest.raises(ValueError, match=r"Did you mean 2024-01-05 08:30:00\?"):
        checked_where([("created_at", "gteq", "2024-01-05T10:30:00+02:00")], dates={"created_at"})


@pytest.mark.parametrize("operator", COMPARING)
def test_a_date_means_its_beginning(operator: str) -> None:
    """The time is sent as well, so that every server and the client compare with the same value."""
    for value in ("2024-02-29", "2024-02-29 00:00:00"):
        (condition,) = checked_where([("created_at", operator, value)], dates={"created_at"})
        assert condition == Condition("created_at", operator, "2024-02-29 00:00:00")
    (condition,) = checked_where([("created_at", operator, "2024-02-29 10:20:30")], dates={"created_at"})
    assert condition.value == "2024-02-29 10:20:30"


def test_each_date_of_a_list_is_checked() -> None:
    """Lists are split at commas, as on servers."""
    (condition,) = checked_where([("dob", "in", "1980-01-05,1990-12-31 01:02:03")], dates={"dob"})
    assert condition.value == "1980-01-05 00:00:00,1990-12-31 01:02:03"
    for value in ("1980-01-05,", "1980-01-05, 1990-12-31", "1980-01-05,1990-12"):
        with pytest.raises(ValueError, match="whole date"):
            checked_where([("dob", "in", value)], dates={"dob"})
    with pytest.raises(ValueError, match="whole date"):
        checked_where([("dob", "eq", "1980-01-05,1990-12-31")], dates={"dob"})


@pytest.mark.parametrize(("operator", "value"), [("like", "2024-01-%"), ("nlike", "2024%"), ("regexp", "^2024-0[1-3]")])
def test_a_pattern_for_a_date_column_stays_text(operator: str, value: str) -> None:
    """Patterns match the column as text; `null` compares nothing."""
    for condition in (Condition("created_at", operator, value), Condition("created_at", "null", "1")):
        assert checked_where([condition], dates={"created_at"}) == (condition,)


@pytest.mark.parametrize(
    ("condition", "row"),
    [
        (("status", "eq", "complete"), {"status": "pending"}),
        (("main_table.status", "eq", "complete"), {"status": "pending"}),
        (("status", "neq", "pending"), {"status": "pending"}),
        (("status", "in", "a,b"), {"status": "pending"}),
        (("status", "nin", "a,pending"), {"status": "pending"}),
        (("status", "like", "comp%"), {"status": "pending"}),
        (("sku", "like", "A_C"), {"sku": "ABBC"}),
        (("grand_total", "gt", "10"), {"grand_total": "10.0000"}),
        (("grand_total", "gteq", "10"), {"grand_total": "9.9999"}),
        (("grand_total", "lt", "10"), {"grand_total": "10.0000"}),
        (("grand_total", "lteq", "10"), {"grand_total": "10.0001"}),
        (("weight", "gteq", "1"), {"weight": "1.0E-5"}),
        (("weight", "to", "999"), {"weight": "1e3"}),
        (("weight", "lt", ".5"), {"weight": "+1.5"}),
        (("weight", "gt", "+1.5"), {"weight": ".5"}),
        (("weight", "eq", "1E+25"), {"weight": "-1.0E+25"}),
        (("STATUS", "eq", "complete"), {"status": "pending"}),
        (("main_table.CREATED_AT", "from", "2024-01-01"), {"created_at": "2023-12-31 23:59:59"}),
        (("created_at", "from", "2024-01-01"), {"created_at": "2023-12-31 23:59:59"}),
        (("created_at", "to", "2024-01-31"), {"created_at": "2024-01-31 00:00:01"}),
        (("created_at", "gteq", "2024-01-31"), {"created_at": "0000-00-00 00:00:00"}),
        (("status", "null", "1"), {"status": "pending"}),
        (("increment_id", "lteq", "0"), {"increment_id": "100000001"}),
        (("increment_id", "lteq", "100000000"), {"increment_id": "100000001"}),
        (("increment_id", "gt", "2000000000"), {"increment_id": "100000001"}),
        (("increment_id", "eq", "2"), {"increment_id": "100000001"}),
        (("increment_id", "in", "1,2"), {"increment_id": "100000001"}),
        (("store_id", "gteq", "2"), {"store_id": "1"}),
        (("store_id", "lt", "-1"), {"store_id": "1"}),
    ],
)
def test_a_row_that_contradicts_a_condition_is_detected(condition: tuple[str, str, str], row: dict[str, str]) -> None:
    """Where a row certainly does not satisfy a condition, the server dropped it."""
    assert contradicts(Condition(*condition), row)


@pytest.mark.parametrize(
    ("condition", "row"),
    [
        (("status", "eq", "complete"), {"status": "Complete "}),
        (("status", "eq", "complete"), {}),
        (("grand_total", "eq", "10"), {"grand_total": "10.0000"}),
        (("grand_total", "eq", "10abc"), {"grand_total": "10.0000"}),
        (("weight", "eq", "1e3"), {"weight": "1000.0000"}),
        (("weight", "eq", ".5"), {"weight": "+0.50"}),
        (("weight", "lteq", "0.00001"), {"weight": "1.0E-5"}),
        (("weight", "gteq", "5"), {"weight": "1e"}),
        (("weight", "gteq", "5"), {"weight": "."}),
        (("weight", "gteq", "5"), {"weight": "0x1"}),
        (("weight", "gteq", "5"), {"weight": "1_0"}),
        (("weight", "gteq", "5"), {"weight": "\u0661"}),
        (("weight", "gteq", "5"), {"weight": "nan"}),
        (("weight", "gteq", "5"), {"weight": "1e9999"}),
        (("firstname", "eq", "Zoe"), {"firstname": "Zoë"}),
        (("firstname", "like", "Zo_"), {"firstname": "Zoë"}),
        (("firstname", "gt", "B"), {"firstname": "a"}),
        (("created_at", "to", "2024-01-31"), {"created_at": "2024-01-31 00:00:00"}),
        (("created_at", "from", "2024-01-31"), {"created_at": "2024-01-31 00:00:00"}),
        (("created_at", "gteq", "2024"), {"created_at": "2023-01-31 00:00:00"}),
        (("created_at", "gteq", "2024-02-31"), {"created_at": "2023-01-31 00:00:00"}),
        (("created_at", "lteq", "0000-00-00"), {"created_at": "2023-01-31 00:00:00"}),
        (("status", "like", r"a\_b"), {"status": "a_b"}),
        (("status", "notnull", "1"), {"status": "x"}),
        (("status", "regexp", "^x$"), {"status": "y"}),
        (("category_ids", "eq", "1"), {"category_ids": ["2"]}),
        (("increment_id", "lteq", "2"), {"increment_id": "100000001"}),
        (("increment_id", "to", "10000001"), {"increment_id": "0100000001"}),
        (("increment_id", "lt", "2"), {"increment_id": "100000001"}),
        (("increment_id", "gteq", "100"), {"increment_id": "99"}),
        (("increment_id", "from", "1000000000"), {"increment_id": "99"}),
        (("increment_id", "gt", "1000"), {"increment_id": "2"}),
        (("postcode", "gt", "100.5"), {"postcode": "11"}),
        (("postcode", "lteq", "5"), {"postcode": "01234"}),
        (("postcode", "eq", "1.0"), {"postcode": "1"}),
        (("postcode", "lt", "1e1"), {"postcode": "100"}),
        (("store_id", "gteq", "10"), {"store_id": "9"}),
    ],
)
def test_a_row_that_only_the_database_can_judge_is_accepted(
    condition: tuple[str, str, str], row: dict[str, object]
) -> None:
    """Collations, casts and missing fields do not end a walk."""
    assert not contradicts(Condition(*condition), row)


def test_parsing_keeps_colons_in_the_value() -> None:
    """FIELD:OP:VALUE is split at the first two colons only."""
    assert Condition.parse("created_at:gteq:2024-01-01 10:20:30").value == "2024-01-01 10:20:30"
    with pytest.raises(ValueError, match="FIELD:OP:VALUE"):
        Condition.parse("status=complete")
