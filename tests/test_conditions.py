"""What a user's own conditions may say, and when a row contradicts one."""

from __future__ import annotations

from typing import Any

import pytest

from magento_pager.walk.conditions import Condition, checked_where, contradicts

REFUSED = [
    (("status", "between", "1"), "all would read it as '='"),
    (("status", "GTEQ", "1"), "all would read it as '='"),
    (("status", ">=", "1"), "did you mean 'gteq'"),
    (("status", "moreq", "1"), "did you mean 'gteq'"),
    (("entity_id", "gt", "5"), "needs conditions on the key"),
    (("ENTITY_ID", "gt", "5"), "needs conditions on the key"),
    (("main_table.Entity_Id", "gt", "5"), "needs conditions on the key"),
    (("order_id", "gt", "5"), "needs conditions on the key"),
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
def test_what_a_server_would_misread_is_refused(condition: tuple[str, str, str], reason: str) -> None:
    """A condition that some server misreads silently is refused with the reason."""
    with pytest.raises(ValueError, match=reason.replace("{", r"\{").replace("?", r"\?")):
        checked_where([condition], ("entity_id", "order_id"))


@pytest.mark.parametrize("second", ["status", "STATUS", "main_table.status", "Main_Table.Status"])
def test_two_conditions_on_one_field_are_refused(second: str) -> None:
    """However the field is spelt, one of the two would be dropped."""
    with pytest.raises(ValueError, match="second condition on one field"):
        checked_where([("status", "neq", "closed"), (second, "neq", "canceled")])


@pytest.mark.parametrize("given", ["status:eq:x", ("status", "eq"), ("status", "eq", 5), "abc", None])
def test_what_is_no_condition_is_refused(given: Any) -> None:
    """Anything but a Condition or three texts is a TypeError that shows the form."""
    with pytest.raises(TypeError, match=r'\("status", "eq", "complete"\)'):
        checked_where([given])


def test_honest_conditions_pass() -> None:
    """Conditions that every server reads alike pass unchanged, whatever form they have."""
    pair: list[Any] = [Condition("status", "eq", "complete"), ("main_table.created_at", "gteq", "2024-01-01 00:00:00")]
    assert checked_where(pair) == (pair[0], Condition("main_table.created_at", "gteq", "2024-01-01 00:00:00"))


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
        (("created_at", "from", "2024-01-01"), {"created_at": "2023-12-31 23:59:59"}),
        (("created_at", "to", "2024-01-31"), {"created_at": "2024-01-31 00:00:01"}),
        (("status", "null", "1"), {"status": "pending"}),
    ],
)
def test_a_row_that_does_not_satisfy_is_seen(condition: tuple[str, str, str], row: dict[str, str]) -> None:
    """Where a row certainly does not satisfy a condition, the server dropped it."""
    assert contradicts(Condition(*condition), row)


@pytest.mark.parametrize(
    ("condition", "row"),
    [
        (("status", "eq", "complete"), {"status": "Complete "}),
        (("status", "eq", "complete"), {}),
        (("grand_total", "eq", "10"), {"grand_total": "10.0000"}),
        (("grand_total", "eq", "10abc"), {"grand_total": "10.0000"}),
        (("firstname", "eq", "Zoe"), {"firstname": "Zoë"}),
        (("firstname", "like", "Zo_"), {"firstname": "Zoë"}),
        (("firstname", "gt", "B"), {"firstname": "a"}),
        (("created_at", "to", "2024-01-31"), {"created_at": "2024-01-31 00:00:00"}),
        (("created_at", "from", "2024-01-31"), {"created_at": "2024-01-31 00:00:00"}),
        (("created_at", "gteq", "2024"), {"created_at": "2023-01-31 00:00:00"}),
        (("status", "like", r"a\_b"), {"status": "a_b"}),
        (("status", "notnull", "1"), {"status": "x"}),
        (("status", "regexp", "^x$"), {"status": "y"}),
        (("category_ids", "eq", "1"), {"category_ids": ["2"]}),
    ],
)
def test_where_only_the_database_knows_there_is_no_alarm(
    condition: tuple[str, str, str], row: dict[str, object]
) -> None:
    """Collations, casts and missing fields are no reason to stop an honest server."""
    assert not contradicts(Condition(*condition), row)


def test_parsing_keeps_colons_in_the_value() -> None:
    """FIELD:OP:VALUE is cut twice only."""
    assert Condition.parse("created_at:gteq:2024-01-01 10:20:30").value == "2024-01-01 10:20:30"
    with pytest.raises(ValueError, match="FIELD:OP:VALUE"):
        Condition.parse("status=complete")
