"""Small increments: the rows that changed since the last run, in a handful of calls where there are few.

What lives here: how few calls suffice where an earlier run knows a row that proves the condition on time. As a flow.
Where a reply is not as expected, or too much changed, it returns None, and the walk does the work as usual.

- First, the changed rows whose ids have the same last two digits are requested: they show about how many changed.
- Then one reply returns all changed rows of the old ids. Where rows have a time of change, the newest row of the last
  run must be among them, unless it was deleted. Where they have none, the last row of the old ids is requested alone:
  as changed since 1970 it must be returned. If it is not among the changed rows, or these are not nearly all rows, the
  condition was not dropped. Otherwise no row may be returned as changed since the end of 2037.
- An equivalent query must return the same rows, except where rows carry no ids and the next run reads them repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from magento_pager.errors import RemoteError
from magento_pager.walk.changes import FORMS, LONG_AGO, NOT_SOON, format_timestamp
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.flows import Exactly, Flow, Reply, WindowRequest, attempt
from magento_pager.walk.pages import Changes, KnownRow
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.recovery import FEW_ATTEMPTS
from magento_pager.walk.strategies import Prefix, SingleFilter

if TYPE_CHECKING:
    from datetime import datetime

    from magento_pager.walk.pages import Token
    from magento_pager.walk.walk import Walk

ENDINGS = 100  # last two digits of ids: about a hundredth of all rows share them
MOST_WITH_ENDING = 33
"""Most changed rows with one ending. More mean that over 2,000 rows changed, which the walk reads in windows."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """Facts from an earlier run that prove the condition on time in this one.

    Attributes:
        reports_changes: rows have a time of change.
        newest: where they do, the id of the row that changed last; it must be returned again unless it was deleted.
        rows: approximate number of rows; None where that is unknown.
        overlaps: the next run will read again what changed since the last one.
    """

    reports_changes: bool
    newest: int | None = None
    rows: int | None = None
    overlaps: bool = False


class SmallIncrement(NamedTuple):
    """Rows that changed.

    Attributes:
        changes: the condition that was sent, and the evidence.
        reply: the changed rows of the old ids.
        last: the last known row of them, which must be returned with the new ones; None where it is not known.
    """

    changes: Changes
    reply: Reply
    last: KnownRow | None


def small_increment(walk: Walk, old: IdRange, since: datetime, run: LastRun) -> Flow[SmallIncrement | None]:
    """Find all changed rows of the old ids, where they are few; return None where the walk has to find them.

    Args:
        walk: the walk of the list.
        old: the ids of the last run, inclusive, from 0 on; the last one belongs to a row, or did.
        since: the time of the oldest change, inclusive.
        run: facts from the last run.
    """
    field, operator = FORMS[0]
    changed = Condition(field, operator, format_timestamp(since))
    last = None if run.reports_changes else (yield from _last_row(walk, old.last, changed))
    if last is None and not run.reports_changes:
        return None
    few = yield from _changed_with_ending(walk, old, changed)
    if few is None:
        return None
    bound = SingleFilter(walk.key)
    request = WindowRequest(bound, old, where=(changed,), most=walk.pace(bound).safe_width)
    reply = yield from _reply_or_none(request)
    if reply is None or not few <= set(reply.tokens) or (walk.window and not reply.by_ids):  # such a page cannot be cut
        return None
    if last is None and run.newest not in reply.tokens:
        return None
    if last is not None and last.token in reply.tokens and (run.rows is None or 4 * len(reply.rows) > 3 * run.rows):
        # Nearly all rows changed, or the condition was dropped.
        never = (replace(changed, value=format_timestamp(NOT_SOON)),)
        after_2037 = yield from _reply_or_none(replace(request, where=never, check=True))
        if after_2037 is None or after_2037.rows:
            return None
    elif last is None or isinstance(last.token, int) or not run.overlaps:
        equivalent = Query((Condition(walk.key, "lteq", str(old.last)),), old)
        repeated = yield from _reply_or_none(replace(request, strategy=Exactly(equivalent), check=True))
        if repeated is None or repeated.tokens != reply.tokens:
            return None
    row = run.newest if last is None else last.token
    return SmallIncrement(Changes(changed.value, field, operator, "probe" if last else "rows", row, 0), reply, last)


def _changed_with_ending(walk: Walk, old: IdRange, changed: Condition) -> Flow[set[Token] | None]:
    """Return the changed rows whose ids end as the last one's does; None where they are many.

    That ending occurs, unlike some others: in a table whose ids go up by two, half of the endings are missing.
    """
    with_ending = Query((Condition(walk.key, "like", f"%{old.last % ENDINGS:02}"),), IdRange(0, MAX_ID))
    request = WindowRequest(
        Exactly(with_ending), IdRange(0, MAX_ID), where=(changed,), most=MOST_WITH_ENDING, check=True
    )
    reply = yield from _reply_or_none(request)
    return None if reply is None else {token for token in reply.tokens if isinstance(token, str) or token in old}


def _last_row(walk: Walk, last: int, changed: Condition) -> Flow[KnownRow | None]:
    """Return the row of an id, as one that changed since 1970; None where it is not returned."""
    since_1970 = (replace(changed, value=format_timestamp(LONG_AGO)),)
    reply = yield from _reply_or_none(
        WindowRequest(Prefix(walk.key), IdRange(last, last), where=since_1970, check=True)
    )
    return KnownRow(last, reply.tokens[0]) if reply is not None and reply.rows else None


def _reply_or_none(request: WindowRequest) -> Flow[Reply | None]:
    """Return the reply to a request; None where it fails, because the walk will report any problem."""
    reply = yield from attempt(replace(request, attempts=FEW_ATTEMPTS))
    return None if isinstance(reply, RemoteError) else reply
