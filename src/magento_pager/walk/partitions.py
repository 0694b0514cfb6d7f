"""Where to cut a list, so that several may read it at once: ranges of ids of about as many rows each.

What lives here: the cuts, and the samples they rest on, as a flow. Who reads the ranges, and where, is not known.

Every id lies in exactly one range, whatever the samples show: they decide how even the ranges are, and nothing else.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from magento_pager.walk.gaps import EVEN
from magento_pager.walk.planning import take_survey
from magento_pager.walk.ranges import IdRange
from magento_pager.walk.strategies import Prefix
from magento_pager.walk.trials import Choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from magento_pager.walk.flows import Flow
    from magento_pager.walk.walk import Walk

STEPS = tuple(10**power for power in range(9, 0, -1))
ROUND = 20  # a cut is at a round number, which windows begin at, where that moves it by no more than a part of so many
NARROW = 100  # ids, which are not looked at more closely
MOST_CALLS = 24  # to cut a list


def cut(walk: Walk, span: IdRange, count: int) -> Flow[tuple[IdRange, ...]]:
    """Cover a range of ids, in order, with parts of about as many rows each, from at most 24 calls.

    Args:
        walk: how the list is walked.
        span: the ids to cover, inclusive.
        count: parts at most, at least 1; fewer where fewer rows were met.

    Raises:
        RemoteError: a call failed.
    """
    survey = yield from take_survey(walk, span, Choice(Prefix(walk.key)), EVEN)
    while not survey.numbered and survey.gaps.calls + len(survey.read) + 10 <= MOST_CALLS:
        stretches = survey.stretches()
        sampled = [one for one in stretches if one[0] != survey.read[0][0]] if survey.read else stretches
        ids, rows = max(sampled, key=lambda one: one[1], default=(span, 0.0))
        if len(ids) < NARROW or 2 * count * rows < sum(rows for _, rows in stretches):
            break  # no cut lies in there, or it hardly matters where
        block = next(one.block for one in survey.samples if one.block.intersection(ids))
        tenths = yield from survey.gaps.sample_tenths(block)
        survey.samples = [one for one in survey.samples if one.block != block] + tenths
    met = len(survey.ids) or sum(one.rows for one in survey.samples) + sum(len(reply.rows) for _, reply in survey.read)
    return even_parts(survey.stretches(), span, max(1, min(count, met)))


def even_parts(stretches: Sequence[tuple[IdRange, float]], span: IdRange, count: int) -> tuple[IdRange, ...]:
    """Cover a range of ids, in order, with parts of about as many rows each.

    Args:
        stretches: where rows are, in order, and how many.
        span: the ids to cover, inclusive.
        count: parts at most.

    >>> [str(part) for part in even_parts([(IdRange(1, 800), 800.0)], IdRange(0, 9999), 4)]
    ['0-199', '200-399', '400-599', '600-9999']
    """
    ends = list(accumulate((rows for _, rows in stretches), initial=0.0))
    total, cuts = ends[-1], [span.first]

    def below(number: int) -> float:
        place = bisect_right(stretches, number, key=lambda one: one[0].first) - 1
        if place < 0:
            return 0.0
        ids, rows = stretches[place]
        return ends[place] + rows * min(1.0, (number - ids.first) / len(ids))

    for number in range(1, count) if total else ():
        wanted = total * number / count
        place = bisect_left(ends, wanted) - 1
        ids, rows = stretches[place]
        exact = ids.first + round(len(ids) * (wanted - ends[place]) / rows)
        rounded = ((exact + step // 2) // step * step for step in STEPS)
        cut = next((cut for cut in rounded if abs(below(cut) - wanted) <= total / count / ROUND), exact)
        if cuts[-1] < cut <= span.last:
            cuts.append(cut)
    return tuple(IdRange(first, after - 1) for first, after in pairwise([*cuts, span.last + 1]))
