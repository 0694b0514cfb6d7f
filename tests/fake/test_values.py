"""MySQL's reading of values and WHERE clauses: laws, and special cases that were checked on a live MariaDB."""

from __future__ import annotations

import re
import warnings
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager.fake.database import values
from magento_pager.fake.database.reading import Scope, SqlError, read
from magento_pager.fake.database.syntax import Operation, ParseError, parse
from magento_pager.fake.tables import ADDRESS, ORDER

ORDERS = Scope({"main_table": ORDER, "billing_o_a": ADDRESS, "shipping_o_a": ADDRESS}, {}, first_line=3)


@given(st.integers(-(10**12), 10**12), st.text(" \t\n", max_size=3), st.sampled_from(["", " ", "abc", ",7", ".0", "e"]))
def test_a_number_is_read_at_the_beginning(number: int, before: str, after: str) -> None:
    """Blanks before a number and any text after it are ignored."""
    assert values.number(f"{before}{number}{after}") == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_of_any_size_are_read(number: float) -> None:
    """A float is read as it was written."""
    assert values.number(repr(number)) == number


def test_numbers_too_large_for_a_double_are_the_largest_double() -> None:
    """Comparisons with them are still correct."""
    assert values.number("1e999") == -values.number("-1e999") > 1e308


@given(st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31)), st.sampled_from("-/.:~"), st.sampled_from(" T"))  # noqa: DTZ001 -- the database knows no zones
def test_times_are_read_in_any_form(timestamp: datetime, punctuation: str, between: str) -> None:
    """Times are the same with any punctuation, with none, or with years of two digits; the result reads the same."""
    written = timestamp.replace(microsecond=0).strftime("%Y-%m-%d %H:%M:%S")
    day, time = written.split()
    spelled = day.replace("-", punctuation) + between + time.replace(":", punctuation)
    digits = re.sub(r"\D", "", written)
    assert {values.time_of(form) for form in (written, spelled, digits, spelled[2:], f" {spelled} abc")} == {written}


@given(st.text())
def test_any_text_is_read_as_a_time(text: str) -> None:
    """A text that is not a date is the zero time, and each time is sorted as text."""
    time = values.time_of(text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{6})?", time)
    assert values.time_of(time) == time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-03-05 02", "2024-03-05 02:00:00"),
        ("2024-03-05 02:00:", "2024-03-05 02:00:00"),
        ("2024-03-05 02:00:00.5", "2024-03-05 02:00:00.500000"),
        ("20240305", "2024-03-05 00:00:00"),
        ("240305", "2024-03-05 00:00:00"),
        ("99-12-31", "1999-12-31 00:00:00"),
        ("2024-03-00", "2024-03-00 00:00:00"),
        ("2024-02-30", "2024-02-30 00:00:00"),
        *(
            (text, values.ZERO_TIME)
            for text in (
                "2024",
                "2024-03",
                "2024-03-%",
                "2024--03-05",
                "2024-03-32",
                "2024-03-05 25:00:00",
                "20240305 020000",
                "202403050200",
                "now",
                "",
            )
        ),
    ],
)
def test_times_are_read_as_by_a_live_database(text: str, time: str) -> None:
    """Partial and impossible dates are read as by MariaDB 10.11."""
    assert values.time_of(text) == time


@given(st.dates().map(str), st.integers(1, 3))
def test_times_are_sorted_as_dates(day: str, days: int) -> None:
    """A later day is a greater text."""
    if day < "9999-12-20":
        later = datetime.fromisoformat(day) + timedelta(days=days)
        assert values.time_of(day) < values.time_of(f"{later:%Y-%m-%d}".zfill(10))


@given(st.text(), st.text())
def test_collation_ignores_case_and_blanks_at_the_end(first: str, second: str) -> None:
    """Comparing is symmetrical, and folding keeps the length."""
    assert values.collate(first, second) == -values.collate(second, first)
    assert values.collate(first, first + "  ") == 0
    assert len(values.folded(first)) == len(first)


PATTERNS = st.text("1a%_\\.Ä", max_size=6)


@given(st.text("1aÄ.%\\", max_size=6), PATTERNS)
def test_like_agrees_with_a_plain_matcher(text: str, pattern: str) -> None:
    """Each text matches itself with its wildcards escaped."""

    def matches(text: str, pattern: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "%":
            return any(matches(text[at:], pattern[1:]) for at in range(len(text) + 1))
        if pattern[0] == "_":
            return bool(text) and matches(text[1:], pattern[1:])
        literal, rest = pattern[0], pattern[1:]
        if literal == "\\" and rest:
            literal, rest = rest[0], rest[1:]
        return bool(text) and values.folded(text[0]) == values.folded(literal) and matches(text[1:], rest)

    assert values.like(text, pattern) == matches(text, pattern)
    assert values.like(text, re.sub(r"([%_\\])", r"\\\1", text))


@given(st.lists(st.text("ab1 ", max_size=3), max_size=5), st.text("abAB1 ", max_size=3))
def test_find_in_set_returns_the_position(members: list[str], needle: str) -> None:
    """It ignores case, and returns 0 for a text that is not in the list."""
    lowered = [member.lower() for member in members]
    expected = lowered.index(needle.lower()) + 1 if needle.lower() in lowered and ",".join(members) else 0
    assert values.find_in_set(needle, ",".join(members)) == expected


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=20), st.integers(0, 10**10))
def test_a_regexp_of_alternatives_matches_exactly_its_ids(ids: list[int], other: int) -> None:
    """A list of ids as a regular expression matches these ids and no others."""
    pattern = values.regexp(f"^({'|'.join(map(str, ids))})$")
    assert all(pattern.search(str(number)) for number in ids)
    assert bool(pattern.search(str(other))) == (other in ids)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^12[0-9]{3}$", "12345", True),
        ("^[[:digit:]]+$", "12345", True),
        ("^[^[:digit:]]", "12345", False),
        ("[[:<:]]b[[:>:]]", "a b c", True),
        ("COMPLETE", "complete", True),
        ("(?i)complete", "COMPLETE", True),
        ("x{,2}y", "xxy", False),
        ("x{,2}y", "x{,2}y", True),
        ("[]a]", "]", True),
        ("[a-c-]", "-", True),
        (r"[\d.]", "5", True),
        (r"\Qa.b\E", "a.b", True),
        (r"\Qa.b\E", "axb", False),
        ("", "anything", True),
        ("^[[:alpha:]]$", "é", True),
        ("é", "e", False),
    ],
)
def test_regexps_are_read_as_by_mariadb(pattern: str, text: str, matches: bool) -> None:  # noqa: FBT001 -- a column of the table
    """Where the regular expressions of MariaDB and Python differ, they are MariaDB's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bool(values.regexp(pattern).search(text)) == matches


@pytest.mark.parametrize("pattern", ["(", "[a", "a{2", "*", "[[:nope:]]", "[z-a]", "(?P<"])
def test_invalid_regexps_are_refused(pattern: str) -> None:
    """MariaDB refuses the same, except an unclosed repetition, which is ordinary text."""
    if pattern == "a{2":
        assert values.regexp(pattern).search("a{2")
        return
    with pytest.raises(values.RegexError):
        values.regexp(pattern)


def test_a_regexp_has_a_maximum_size() -> None:
    """More than 5,040 alternatives of five digits are too large: 30,243 bytes, as on the live server."""
    fits = "|".join(str(10_000 + number) for number in range(5_040))
    assert len(f"^({fits})$") == 30_243
    assert values.regexp(f"^({fits})$").search("12345")
    with pytest.raises(values.RegexError, match="too large"):
        values.regexp(f"^({fits}|99999)$")


# --- clauses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clause", "error"),
    [
        ("(nope = '1')", "1054 Unknown column 'nope' in 'WHERE'"),
        ("(e.entity_id = '1')", "1054 Unknown column 'e.entity_id' in 'WHERE'"),
        ("(MAIN_TABLE.entity_id = '1')", "1054 Unknown column 'MAIN_TABLE.entity_id' in 'WHERE'"),
        ("(a.b.c = '1')", "1054 Unknown column 'a.b.c' in 'WHERE'"),
        ("(`entity_id ` = '1')", "1054 Unknown column 'entity_id ' in 'WHERE'"),
        ("(Entity_Id = '1')", "1052 Column 'Entity_Id' in WHERE is ambiguous"),
        ("(status IS 'NULL')", "1064 You have an error in your SQL syntax"),
        ("( = '1')", "1064 You have an error"),
        ("(status)) = '1')", "1064 You have an error"),
        ("(select = '1')", "1064 You have an error"),
        ("(status = '1", "1064 You have an error"),
        ("(FIND_IN_SET('1', '2', nope))", "1582 Incorrect parameter count"),
        ("(SLEEP('1') = '1')", "1305 FUNCTION"),
        ("(status REGEXP '(')", "1139 Regex error"),
    ],
)
def test_invalid_clauses_are_refused(clause: str, error: str) -> None:
    """Names, syntax, functions and patterns are refused with MySQL's own number and text."""
    with pytest.raises(SqlError) as caught:
        read(clause, ORDERS)
    assert error in str(caught.value)


def test_a_syntax_error_shows_the_place() -> None:
    """It quotes the statement from the place where the parser stopped, and the line."""
    with pytest.raises(SqlError, match=r"use near ''NULL'\)' at line 3$"):
        read("(status IS 'NULL')", ORDERS)


@pytest.mark.parametrize(
    ("clause", "sql"),
    [
        ("main_table.entity_id >= '5abc'", "(main_table.entity_id >= 5)"),
        ("`main_table`.`ENTITY_ID` < '5.5'", "(main_table.entity_id < 5.5)"),
        ("main_table.entity_id IN('3', ' 4', 'x')", "(main_table.entity_id IN (3, 4, 0))"),
        ("grand_total = '5'", "(CAST(main_table.grand_total AS REAL) = 5)"),
        ("created_at > '2024-03'", "(main_table.created_at > '0000-00-00 00:00:00')"),
        ("status = 'a''b'", "(main_table.status = 'a''b' COLLATE mysql_ci)"),
        ("status LIKE '5%'", "(mysql_like(main_table.status, '5%'))"),
        ("quote_id LIKE '5%'", "(CAST(main_table.quote_id AS TEXT) LIKE '5%' ESCAPE '\\')"),
        ("status = 'a' 'b'", "(main_table.status = 'ab' COLLATE mysql_ci)"),
        ("status != NULL", "(main_table.status <> NULL)"),
        ("NOT status <=> '1' || is_virtual BETWEEN '0' AND 1", None),
        ("status /* a comment */ = '1' # and another", None),
        ("-is_virtual + 1.5e0 * 2 % 3 >= .5 AND TRUE IS NOT FALSE", None),
    ],
)
def test_comparisons_depend_on_the_types_of_both_sides(clause: str, sql: str | None) -> None:
    """Numbers are compared as numbers, dates as dates, texts by the collation; the rest of the grammar is read."""
    written = read(f"({clause})" if "#" not in clause else clause, ORDERS).sql
    assert sql is None or written == sql


def test_long_lists_are_read() -> None:
    """A list of a hundred thousand values is a single token."""
    members = ", ".join(f"'{number}'" for number in range(100_000))
    tree = parse(f"(entity_id IN({members}))")
    assert isinstance(tree, Operation)
    assert len(tree.operands) == 100_001


@given(st.text("()'`=<>!. ,ANDORINab1%-#/*\\", max_size=30))
def test_no_text_breaks_the_parser(text: str) -> None:
    """Whatever an old version inserts into its SQL is either read or refused."""
    try:
        parse(f"({text} = '1')")
    except ParseError as error:
        assert str(error) == "" or f"({text} = '1')".endswith(str(error))  # noqa: PT017 -- both outcomes are right
