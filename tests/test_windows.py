"""How wide windows get, and what soundings say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory import honest

from magento_pager import MAX_ID, Goal, IdRange
from magento_pager.walk.windows import Pace, narrowed, sounding


@given(
    position=st.integers(0, MAX_ID),
    width=st.integers(1, 10**10),
    fixed=st.one_of(st.none(), st.integers(1, 10**5)),
    decimal=st.booleans(),
)
def test_a_window_ends_below_a_multiple_of_its_width_or_with_its_length(
    position: int, width: int, fixed: int | None, *, decimal: bool
) -> None:
    """A window starts where the walk stands and is never empty."""
    pace = Pace.start(Goal(), fixed, decimal=decimal)
    pace = Pace(pace.goal, pace.fixed, pace.decimal, width)
    window = pace.window(position, MAX_ID)
    assert window.first == position
    ends = {MAX_ID, 10 ** len(str(position)) - 1}
    assert (window.last + 1) % width == 0 or window.last in ends


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 100)), max_size=30),
    st.one_of(st.none(), st.integers(1, 5000)),
)
def test_windows_advance_whatever_comes_back(answers: list[tuple[int, float]], fixed: int | None) -> None:
    """Any answers leave a width of at least 1, and the user's own width where rows are."""
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
    """The pace after some windows of a given density and speed."""
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
    """Whatever part of the ids exists, a window soon holds about as many rows as wanted."""
    pace = steady(Pace.start(Goal(rows=2000, seconds=1000), decimal=decimal), density, 0.0001)
    assert 900 <= pace.width * density <= 8000


def test_a_call_aims_at_a_time_and_recovers() -> None:
    """A server that slows down tenfold is asked for a tenth, and for as much as before when it is quick again."""
    pace = steady(Pace.start(Goal(rows=2000, seconds=1.0)), 1.0, 0.0005)
    assert pace.width == 2000
    pace = steady(pace, 1.0, 0.005)
    assert pace.width == 200
    pace = steady(pace, 1.0, 0.0005)
    assert pace.width == 2000


def test_emptiness_is_crossed_in_powers_of_ten() -> None:
    """Each empty window is followed by one that reaches to the next power of ten."""
    pace, position, ends = Pace.start(Goal(), 250), 5250, []
    while position <= MAX_ID:
        window = pace.window(position, MAX_ID)
        pace = pace.after(window, 0, 0.1)
        position = window.last + 1
        ends.append(window.last)
    assert ends == [5499, 5999, 9999, 99_999, 999_999, 9_999_999, 99_999_999, 999_999_999, MAX_ID]


@given(st.integers(10**4, MAX_ID - 10**5), st.integers(10_001, 10**9), st.sampled_from([None, 100, 2000]))
def test_a_sounding_takes_its_part_of_the_window(first: int, width: int, fixed: int | None) -> None:
    """A sounding matches ids of every last digit, spread over the window, and far fewer than the window has."""
    window = IdRange(first, min(first + width - 1, 10 ** len(str(first)) - 1))
    pace = Pace.start(Goal(), fixed)
    asked = sounding(window, pace)
    if asked is None:
        assert len(window) <= pace.safe or len(window) < 10**4
        return
    pattern = asked.query.conditions[0].value
    free = pattern.count("_")
    assert len(pattern) == len(str(first))
    assert asked.query.span.first <= window.first <= window.last <= asked.query.span.last
    assert len(asked.query.span) == 10**free * asked.ids_per_sampled
    assert pattern.endswith("_"), "every last digit is met: auto_increment steps leave whole residues empty"


@given(st.integers(0, 99), st.integers(10, 99))
def test_a_sounding_meets_every_stretch_longer_than_its_spacing(offset: int, thousands: int) -> None:
    """A dense stretch as long as the spacing, anywhere in the window, is found."""
    window = IdRange(10**6, 2 * 10**6 - 1)
    asked = sounding(window, Pace.start(Goal()), below=10**6)
    assert asked is not None
    start = thousands * 10_000 + 10**6 + offset * 100 - 100_000
    stretch = [number for number in range(start, start + 2 * asked.spacing) if number in window]
    assert honest(asked.query.conditions, stretch)


def test_what_would_be_too_much_is_narrowed() -> None:
    """A sounding that stands for more rows than one reply should hold shortens the window to before them."""
    pace, window = Pace.start(Goal(rows=2000)), IdRange(10**6, 10**7 - 1)
    asked = sounding(window, pace)
    assert asked is not None
    assert narrowed(window, asked, [], 0, pace) == window
    assert narrowed(window, asked, [5_000_000], 4, pace) == window, "4 sampled rows stand for 4,000, which is bearable"
    assert narrowed(window, asked, [5_149_000 + n for n in range(1000)], 1000, pace).last == 4_999_999
    assert len(narrowed(window, asked, None, 1000, pace)) == 10**6
    dense = narrowed(window, asked, list(range(1_000_000, 1_000_999)), 999, pace)
    assert len(dense) == 1000


def test_impossible_goals_are_refused() -> None:
    """A goal of nothing, or a window of no id, is refused with a reason."""
    with pytest.raises(ValueError, match="aims at 1 row or more"):
        Goal(rows=0)
    with pytest.raises(ValueError, match="aims at 1 row or more"):
        Goal(seconds=0)
    with pytest.raises(ValueError, match="at least 1 id wide"):
        Pace.start(Goal(), 0)
