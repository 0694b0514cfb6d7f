"""Laws of strategies: the queries cover any window, and a correct server returns its rows."""

from __future__ import annotations

import pytest
from benchmarks.readings import honest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager import (
    MAX_ID,
    Alias,
    IdRange,
    InList,
    Mapped,
    Prefix,
    Range,
    Regexp,
    SingleFilter,
    Strategy,
)

ALL: list[Strategy] = [Range(), Alias(), Mapped("customer_id"), InList(), Prefix(), Regexp(), SingleFilter()]
named = pytest.mark.parametrize("strategy", ALL, ids=lambda strategy: strategy.name)


@st.composite
def windows(draw: st.DrawFn) -> IdRange:
    """Return a window of up to 300 ids anywhere."""
    first = draw(st.one_of(st.integers(0, 3000), st.integers(0, MAX_ID)))
    return IdRange(first, draw(st.integers(first, min(MAX_ID, first + 299))))


known_ids = st.one_of(st.none(), st.integers(0, 3000))


@named
@given(windows(), known_ids)
def test_spans_cover_the_window(strategy: Strategy, window: IdRange, known: int | None) -> None:
    """Every id of the window is in the span of one query only."""
    spans = [query.span for query in strategy.queries(window, known)]
    end = window.first - 1
    for span in spans:
        assert span.first == end + 1
        end = span.last
    assert end >= window.last


@named
@given(windows(), known_ids)
def test_a_correct_server_returns_the_span_and_the_canary(
    strategy: Strategy, window: IdRange, known: int | None
) -> None:
    """The conditions match exactly the ids of the span, and the canary."""
    near = sorted({*window, max(0, window.first - 1), min(window.last + 1, MAX_ID), known or 0})
    for query in strategy.queries(window, known):
        got = set(honest(query.conditions, near))
        assert got == {number for number in near if number in query.span} | ({query.canary} - {None})


@named
@given(windows(), known_ids)
def test_no_value_holds_what_a_server_replaces(strategy: Strategy, window: IdRange, known: int | None) -> None:
    """No value holds `?` or another sequence that a server replaces."""
    for query in strategy.queries(window, known):
        for condition in query.conditions:
            assert "?" not in condition.value
            assert "{{" not in condition.value


@pytest.mark.parametrize("strategy", [InList(), Regexp()], ids=lambda strategy: strategy.name)
@given(windows(), st.integers(0, 3000))
def test_each_query_with_a_canary_requests_the_known_id_last(strategy: Strategy, window: IdRange, known: int) -> None:
    """The known id is in every query, and never as the first of a list, which is all that old servers read."""
    for query in strategy.queries(window, known):
        assert query.canary == known
        (condition,) = query.conditions
        if condition.operator == "in":
            assert condition.value.split(",")[-1] == str(known)
            assert condition.value.split(",").count(str(known)) == 1


@given(windows())
def test_the_upper_bound_is_on_the_name_whose_condition_survives(window: IdRange) -> None:
    """From 1.7.0.1 the mapped name's condition wins: at the low end of the ids that returns few rows too many."""
    (query,) = Mapped("product_id").queries(window, None)
    assert [(condition.field, condition.operator) for condition in query.conditions] == [
        ("entity_id", "from"),
        ("product_id", "to"),
    ]


def test_all_possible_ids_take_ten_prefixes() -> None:
    """A gap costs one call for each length of id."""
    assert len(list(Prefix().queries(IdRange(0, MAX_ID), None))) == 10


def test_a_long_in_list_is_split() -> None:
    """An `in` list stays below the usual limit of a request."""
    queries = list(InList(widest=100).queries(IdRange(950, 1249), 7))
    assert [len(query.span) for query in queries] == [50, 100, 100, 50]
    assert all(query.canary == 7 for query in queries)


def test_any_object_with_a_name_and_queries_is_a_strategy() -> None:
    """A user's own strategy needs no base class."""

    class Own:
        name = "own"

        def queries(self, window: IdRange, known: int | None) -> object:
            return Range().queries(window, known)

    assert isinstance(Own(), Strategy)
    assert not isinstance(object(), Strategy)
