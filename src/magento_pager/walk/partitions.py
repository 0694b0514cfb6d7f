"""Partitions of a list for several readers: ranges of ids with about the same number of rows each.

What lives here: the cut points, and the samples they are computed from, as a flow. It knows nothing about the readers.

Every id is in exactly one range, whatever the samples show: the samples only decide how even the ranges are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise
from operator import itemgetter
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
ROUND = 20  # a cut moves to a round id, where windows begin, if that shifts at most 1/20 of the rows of a part
NARROW = 100  # ids: narrower ranges are not sampled again
MOST_CALLS = 24  # to partition a list


def cut(walk: Walk, span: IdRange, count: int) -> Flow[tuple[IdRange, ...]]:
    """Cover a range of ids, in order, with parts of about the same number of rows, using at most 24 calls.

    Args:
        walk: how the list is walked.
        span: the ids to cover, inclusive.
        count: the largest number of parts, at least 1; there are fewer if the samples show fewer rows.

    Raises:
        RemoteError: a call failed.
    """
    survey = yield from take_survey(walk, span, Choice(Prefix(walk.key)), EVEN)
    while not survey.numbered and survey.gaps.calls + len(survey.read) + 10 <= MOST_CALLS:
        stretches = survey.stretches()
        sampled = [stretch for stretch in stretches if stretch[0] != survey.read[0][0]] if survey.read else stretches
        ids, rows = max(sampled, key=itemgetter(1), default=(span, 0.0))
        if len(ids) < NARROW or 2 * count * rows < sum(rows for _, rows in stretches):
            break  # the densest range contains no cut, or its exact place hardly matters
        block = next(sample.block for sample in survey.samples if sample.block.intersection(ids))
        tenths = yield from survey.gaps.sample_tenths(block)
        survey.samples = [sample for sample in survey.samples if sample.block != block] + tenths
    rows_read = sum(len(reply.rows) for _, reply in survey.read)
    row_count = len(survey.ids) or rows_read + sum(sample.rows for sample in survey.samples)
    return even_parts(survey.stretches(), span, max(1, min(count, row_count)))


def even_parts(stretches: Sequence[tuple[IdRange, float]], span: IdRange, count: int) -> tuple[IdRange, ...]:
    """Cover a range of ids, in order, with parts of about the same number of rows.

    Args:
        stretches: ranges of ids in order, each with its approximate number of rows.
        span: the ids to cover, inclusive.
        count: the largest number of parts.

    >>> [str(part) for part in even_parts([(IdRange(1, 800), 800.0)], IdRange(0, 9999), 4)]
    ['0-199', '200-399', '400-599', '600-9999']
    """
    ends = list(accumulate((rows for _, rows in stretches), initial=0.0))
    total, cuts = ends[-1], [span.first]

    def rows_below(number: int) -> float:
        place = bisect_right(stretches, number, key=lambda stretch: stretch[0].first) - 1
        if place < 0:
            return 0.0
        ids, rows = stretches[place]
        return ends[place] + rows * min(1.0, (number - ids.first) / len(ids))

    for number in range(1, count) if total else ():
        target = total * number / count
        place = bisect_left(ends, target) - 1
        ids, rows = stretches[place]
        exact = ids.first + round(len(ids) * (target - ends[place]) / rows)
        rounded = ((exact + step // 2) // step * step for step in STEPS)
        cut = next((cut for cut in rounded if abs(rows_below(cut) - target) <= total / count / ROUND), exact)
        if cuts[-1] < cut <= span.last:
            cuts.append(cut)
    return tuple(IdRange(first, after - 1) for first, after in pairwise([*cuts, span.last + 1]))
