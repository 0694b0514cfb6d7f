"""Properties of ranges of ids."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager import MAX_ID, IdRange
from magento_pager.walk.strategies import like_pattern

ids = st.integers(0, MAX_ID)


@st.composite
def ranges(draw: st.DrawFn, width: int = MAX_ID) -> IdRange:
    """Draw a range of at most `width` ids."""
    first = draw(ids)
    return IdRange(first, draw(st.integers(first, min(MAX_ID, first + width - 1))))


def covers(parts: list[IdRange], whole: IdRange) -> bool:
    """Return whether the parts cover the whole, in order and without a gap."""
    ends = [whole.first - 1, *(part.last for part in parts)]
    return all(part.first == end + 1 for part, end in zip(parts, ends, strict=False)) and ends[-1] == whole.last


@given(ranges(), st.integers(0, 9))
def test_tiles_cover_the_range_at_multiples_of_the_width(whole: IdRange, power: int) -> None:
    """Tiles cover the range in order, and all except the last end just below a multiple of the width."""
    width = 10**power if len(whole) // 10**power < 500 else len(whole)
    parts = list(whole.tile(width))
    assert covers(parts, whole)
    assert all((part.last + 1) % width == 0 for part in parts[:-1])
    assert all(len(part) <= width for part in parts)


@given(ranges())
def test_blocks_cover_the_range(whole: IdRange) -> None:
    """Decimal blocks cover the range in order, with at most 18 for each power of ten."""
    parts = list(whole.blocks())
    assert covers(parts, whole)
    assert len(parts) <= 18 * len(str(whole.last))


@given(ranges(width=5000))
def test_a_block_is_matched_by_one_like_pattern(whole: IdRange) -> None:
    """The pattern of a block matches its ids and no neighbouring id."""
    for block in whole.blocks():
        pattern = re.compile(like_pattern(block).replace("_", "[0-9]"))
        assert all(
            pattern.fullmatch(str(number)) for number in (block.first, block.last, sum((block.first, block.last)) // 2)
        )
        assert not pattern.fullmatch(str(block.last + 1))
        assert block.first == 0 or not pattern.fullmatch(str(block.first - 1))


@given(ranges(), ranges())
def test_intersection_is_commutative_and_inside_both_ranges(one: IdRange, other: IdRange) -> None:
    """The result does not depend on the order of the ranges."""
    both = one.intersection(other)
    assert both == other.intersection(one)
    if both is None:
        assert one.last < other.first or other.last < one.first
    else:
        assert both in one
        assert both in other


@given(ranges().filter(lambda whole: len(whole) > 1))
def test_halves_cover_the_range(whole: IdRange) -> None:
    """Two halves cover the range, and their lengths differ by at most one."""
    one, other = whole.halves()
    assert covers([one, other], whole)
    assert len(one) - len(other) in {0, 1}


@given(ranges(width=300), ids)
def test_an_id_is_in_a_range_between_its_bounds(whole: IdRange, number: int) -> None:
    """Membership is a comparison with both bounds."""
    assert (number in whole) == (whole.first <= number <= whole.last)
    assert list(whole) == list(range(whole.first, whole.last + 1))


def test_invalid_bounds_are_refused() -> None:
    """The error gives the reason."""
    with pytest.raises(ValueError, match="above the last"):
        IdRange(5, 4)
    with pytest.raises(ValueError, match="at least 0"):
        IdRange(-1, 4)
    with pytest.raises(TypeError, match="are ints"):
        IdRange(1.5, 4)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="are ints"):
        IdRange(first=True, last=4)
    with pytest.raises(ValueError, match="at least 1 id wide"):
        list(IdRange(1, 4).tile(0))
    with pytest.raises(ValueError, match="cannot be split"):
        IdRange(4, 4).halves()
    with pytest.raises(ValueError, match="not a decimal block"):
        like_pattern(IdRange(10, 20))
