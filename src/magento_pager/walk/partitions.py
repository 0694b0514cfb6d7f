"""Where to cut a list, so that several may read it at once: ranges of ids of about as many rows each.

What lives here: the arithmetic of cuts on a survey. Who reads the ranges, and where, is not known.

Every id lies in exactly one range, whatever the survey saw: it decides how even the ranges are, and nothing else.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from magento_pager.walk.ranges import IdRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.walk.surveying import Survey

ROUND = 20  # a cut is at a round number, which windows begin at, where that moves it by no more than a part of so many


def shares(seen: Survey, span: IdRange, count: int) -> tuple[IdRange, ...]:
    """Cover a range of ids, in order, with parts of about as many rows each.

    Args:
        seen: a survey of it. Of rows without ids it knows only how many there are of each length of ids, so that such
            parts are less even.
        span: the ids to cover, inclusive.
        count: parts at most; fewer where there are fewer rows, and one where none was met.

    >>> from magento_pager.walk.surveying import Stratum, Survey
    >>> strata = (Stratum(IdRange(0, 999), 1000, 800), Stratum(IdRange(1000, 9999), 900, 0))
    >>> seen = Survey(strata, 800, 1, 800, proved=False, surprised=False, calls=2)
    >>> [str(part) for part in shares(seen, IdRange(0, 9999), 4)]
    ['0-199', '200-399', '400-599', '600-9999']
    """
    stretches = list(_stretches(seen, span))
    total = sum(rows for _, rows in stretches)
    cuts: list[int] = [span.first]
    below, number = 0.0, 1
    for ids, rows in stretches:
        while number < count and below + rows >= (wanted := total * number / count) and wanted > 0:
            cut = ids.first + round(len(ids) * (wanted - below) / rows)
            step = 10 ** (len(str(max(1, round(len(ids) * total / count / rows / ROUND)))) - 1)
            cut = (cut + step // 2) // step * step
            if cuts[-1] < cut <= min(span.last, ids.last + 1):
                cuts.append(cut)
            number += 1
        below += rows
    return tuple(IdRange(first, after - 1) for first, after in pairwise([*cuts, span.last + 1]))


def _stretches(seen: Survey, span: IdRange) -> Iterator[tuple[IdRange, float]]:
    """Where rows are, and how many: none below the first id that was met, and hardly any above the last."""
    met = span
    if seen.first_id is not None and seen.last_id is not None:
        met = IdRange(seen.first_id, seen.last_id).intersection(span) or span
    for one in seen.strata:
        if one.rows and (ids := one.ids.intersection(met)):
            yield ids, one.rows
