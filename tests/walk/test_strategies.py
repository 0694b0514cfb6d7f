"""Laws of strategies: whatever the window, the queries cover it, and an honest server answers with its rows."""

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
    """Every id of the window lies in the span of a query, and no id in two."""
    spans = [query.span for query in strategy.queries(window, known)]
    end = window.first - 1
    for span in spans:
        assert span.first == end + 1
        end = span.last
    assert end >= window.last


@named
@given(windows(), known_ids)
def test_an_honest_server_answers_with_the_span_and_the_canary(
    strategy: Strategy, window: IdRange, known: int | None
) -> None:
    """What the conditions say is the span, no id less and none more, and the canary."""
    near = sorted({*window, max(0, window.first - 1), min(window.last + 1, MAX_ID), known or 0})
    for query in strategy.queries(window, known):
        got = set(honest(query.conditions, near))
        assert got == {number for number in near if number in query.span} | ({query.canary} - {None})


@named
@given(windows(), known_ids)
def test_no_value_can_be_altered_on_its_way(strategy: Strategy, window: IdRange, known: int | None) -> None:
    """No value holds what a server replaces."""
    for query in strategy.queries(window, known):
        for condition in query.conditions:
            assert "?" not in condition.value
            assert "{{" not in condition.value


@pytest.mark.parametrize("strategy", [InList(), Regexp()], ids=lambda strategy: strategy.name)
@given(windows(), st.integers(0, 3000))
def test_where_rows_could_be_missing_unseen_a_canary_is_asked_for(
    strategy: Strategy, window: IdRange, known: int
) -> None:
    """The known id is in every query, and never as the first of a list, which is all that old servers read."""
    for query in strategy.queries(window, known):
        assert query.canary == known
        (condition,) = query.conditions
        if condition.operator == "in":
            assert condition.value.split(",")[-1] == str(known)
            assert condition.value.split(",").count(str(known)) == 1


@given(windows())
def test_the_upper_bound_is_on_the_name_that_may_survive_alone(window: IdRange) -> None:
    """From 1.7.0.1 the mapped name's condition wins: from the low end that lie costs few rows."""
    (query,) = Mapped("product_id").queries(window, None)
    assert [(condition.field, condition.operator) for condition in query.conditions] == [
        ("entity_id", "from"),
        ("product_id", "to"),
    ]


def test_all_ids_there_can_be_take_ten_prefixes() -> None:
    """Emptiness costs one call for each length of id."""
    assert len(list(Prefix().queries(IdRange(0, MAX_ID), None))) == 10


def test_a_long_list_is_cut() -> None:
    """An `in` list stays below the usual limit of a request."""
    queries = list(InList(widest=100).queries(IdRange(950, 1249), 7))
    assert [len(query.span) for query in queries] == [50, 100, 100, 50]
    assert all(query.canary == 7 for query in queries)


def test_the_class_of_a_users_own_strategy_does_not_matter() -> None:
    """An object with a name and the method is a strategy."""

    class Own:
        name = "own"

        def queries(self, window: IdRange, known: int | None) -> object:
            return Range().queries(window, known)

    assert isinstance(Own(), Strategy)
    assert not isinstance(object(), Strategy)
