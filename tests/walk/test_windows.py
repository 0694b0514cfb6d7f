"""Widths of windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager import MAX_ID, Goal
from magento_pager.walk.windows import Pace


@given(
    position=st.integers(0, MAX_ID),
    width=st.integers(1, 10**10),
    fixed=st.one_of(st.none(), st.integers(1, 10**5)),
    decimal=st.booleans(),
)
def test_a_window_ends_below_a_multiple_of_its_width(
    position: int, width: int, fixed: int | None, *, decimal: bool
) -> None:
    """A window starts at the position of the walk and is never empty."""
    pace = Pace.start(Goal(), fixed, decimal=decimal)
    pace = Pace(pace.goal, pace.fixed, pace.decimal, width)
    window = pace.window(position, MAX_ID)
    assert window.first == position
    assert (window.last + 1) % width == 0 or window.last == MAX_ID


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 100)), max_size=30),
    st.one_of(st.none(), st.integers(1, 5000)),
)
def test_windows_advance_after_any_reply(answers: list[tuple[int, float]], fixed: int | None) -> None:
    """After any replies the width is at least 1, and where there are rows it is the user's width."""
    pace, position = Pace.start(Goal(), fixed), 0
    for rows, seconds in answers:
        if position > MAX_ID:
            break
        window = pace.window(position, MAX_ID)
        pace = pace.after(window, min(rows, len(window)), seconds)
        assert pace.width >= 1
        if rows and fixed:
            assert pace.width == fixed
        position = window.last + 1


def steady(pace: Pace, density: float, seconds_per_row: float, windows: int = 12) -> Pace:
    """Return the pace after some windows of a given density and speed."""
    position = 10**8
    for _ in range(windows):
        window = pace.window(position, MAX_ID)
        rows = max(1, round(len(window) * density))
        pace = pace.after(window, rows, rows * seconds_per_row)
        position = window.last + 1
    return pace


@pytest.mark.parametrize("density", [1, 0.5, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("decimal", [False, True])
def test_a_call_aims_at_a_number_of_rows(density: float, *, decimal: bool) -> None:
    """For any density of ids, a window soon contains about as many rows as the goal."""
    pace = steady(Pace.start(Goal(rows=2000, seconds=1000), decimal=decimal), density, 0.0001)
    assert 900 <= pace.width * density <= 8000


def test_a_call_aims_at_a_time_and_recovers() -> None:
    """A server that slows down tenfold gets windows of a tenth, and of the old width when it is fast again."""
    pace = steady(Pace.start(Goal(rows=2000, seconds=1.0)), 1.0, 0.0005)
    assert pace.width == 2000
    pace = steady(pace, 1.0, 0.005)
    assert pace.width == 200
    pace = steady(pace, 1.0, 0.0005)
    assert pace.width == 2000


def test_gaps_are_covered_in_powers_of_ten() -> None:
    """After each empty window, the next one reaches to the next power of ten."""
    pace, position, ends = Pace.start(Goal(), 250), 5250, []
    while position <= MAX_ID:
        window = pace.window(position, MAX_ID)
        pace = pace.after(window, 0, 0.1)
        position = window.last + 1
        ends.append(window.last)
    assert ends == [5499, 5999, 9999, 99_999, 999_999, 9_999_999, 99_999_999, 999_999_999, MAX_ID]


def test_invalid_goals_and_widths_are_refused() -> None:
    """A goal of no rows or no time, or a window without ids, is an error."""
    with pytest.raises(ValueError, match="a goal needs at least 1 row"):
        Goal(rows=0)
    with pytest.raises(ValueError, match="a goal needs at least 1 row"):
        Goal(seconds=0)
    with pytest.raises(ValueError, match="at least 1 id wide"):
        Pace.start(Goal(), 0)
