"""Small nights: what changed since the last run, in a handful of calls where that is little.

What lives here: how few calls suffice when an earlier run left a row behind that proves the condition on time. As a
flow. Wherever a reply is not what it must be, or too much changed, there is no answer, and the walk is as any other.

- A block of ids with the same two last digits is asked for first, with the condition: it tells about how many changed.
- Then all rows of the old ids come in one reply, with the condition. Where rows say when they changed, the newest row
  of the last run must be among them: it changed since, or was deleted. Where they do not say it, the last row of the
  old ids is tried alone: since 1970 it must come. If it is not among the changed rows, or these are not nearly
  all rows, the condition was not dropped; else no row may come since the end of 2037.
- The same rows must come in another form; but where they carry no ids, and the next run reads them again anyway.
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

ENDINGS = 100  # of ids: a hundredth of all rows has the same one
MOST_ENDED_ALIKE = 33
"""Rows of one ending that changed: where there are more, more than 2,000 did, and the walk takes them in windows."""


@dataclass(frozen=True, slots=True)
class LastRun:
    """What an earlier run left behind that proves the condition on time in this one.

    Attributes:
        says: rows say when they were changed.
        newest: where they do, the id of the one that was changed last; it must come again unless it was deleted.
        rows: how many rows there were, about; None where that is unknown.
        overlaps: the next run will read again what changed since the last one.
    """

    says: bool
    newest: int | None = None
    rows: int | None = None
    overlaps: bool = False


class SmallIncrement(NamedTuple):
    """What changed.

    Attributes:
        changes: how the server was told so, and the evidence.
        reply: the rows of the old ids.
        last: the last row of them that is known, which must come with the new ones; None where it is not known.
    """

    changes: Changes
    reply: Reply
    last: KnownRow | None


def small_increment(walk: Walk, old: IdRange, since: datetime, run: LastRun) -> Flow[SmallIncrement | None]:
    """Find all rows of the old ids that changed, where they are few; None where the walk has to find them.

    Args:
        walk: knows the list.
        old: the ids of the last run, inclusive, from 0 on; the last one is of a row, or was.
        since: the time from which on rows changed.
        run: what the last run left behind.
    """
    field, operator = FORMS[0]
    changed = Condition(field, operator, format_timestamp(since))
    last = None if run.says else (yield from _last_row(walk, old.last, changed))
    if last is None and not run.says:
        return None
    few = yield from _few(walk, old, changed)
    if few is None:
        return None
    bound = SingleFilter(walk.key)
    request = WindowRequest(bound, old, where=(changed,), most=walk.pace(bound).safe_width)
    reply = yield from _asked(request)
    if reply is None or not few <= set(reply.tokens) or (walk.window and not reply.by_ids):  # such a page is not cut
        return None
    if last is None and run.newest not in reply.tokens:
        return None
    if last is not None and last.token in reply.tokens and (run.rows is None or 4 * len(reply.rows) > 3 * run.rows):
        never = (replace(changed, value=format_timestamp(NOT_SOON)),)  # so many changed, or the condition was dropped
        none = yield from _asked(replace(request, where=never, check=True))
        if none is None or none.rows:
            return None
    elif last is None or isinstance(last.token, int) or not run.overlaps:
        other = Query((Condition(walk.key, "lteq", str(old.last)),), old)
        again = yield from _asked(replace(request, strategy=Exactly(other), check=True))
        if again is None or again.tokens != reply.tokens:
            return None
    proof = run.newest if last is None else last.token
    return SmallIncrement(Changes(changed.value, field, operator, "probe" if last else "rows", proof, 0), reply, last)


def _few(walk: Walk, old: IdRange, changed: Condition) -> Flow[set[Token] | None]:
    """Find the changed rows whose ids end as the last one's does; None where they are many.

    That ending occurs, which not every one does: in a table whose ids go up by two, half of them are missing.
    """
    ended_alike = Query((Condition(walk.key, "like", f"%{old.last % ENDINGS:02}"),), IdRange(0, MAX_ID))
    request = WindowRequest(
        Exactly(ended_alike), IdRange(0, MAX_ID), where=(changed,), most=MOST_ENDED_ALIKE, check=True
    )
    reply = yield from _asked(request)
    return None if reply is None else {token for token in reply.tokens if isinstance(token, str) or token in old}


def _last_row(walk: Walk, last: int, changed: Condition) -> Flow[KnownRow | None]:
    """Find the row of an id, which is to have changed since 1970; None where it does not come."""
    ever = (replace(changed, value=format_timestamp(LONG_AGO)),)
    reply = yield from _asked(WindowRequest(Prefix(walk.key), IdRange(last, last), where=ever, check=True))
    return KnownRow(last, reply.tokens[0]) if reply is not None and reply.rows else None


def _asked(request: WindowRequest) -> Flow[Reply | None]:
    """Send the request; None where that fails, as whatever is wrong shows in the walk."""
    reply = yield from attempt(replace(request, attempts=FEW_ATTEMPTS))
    return None if isinstance(reply, RemoteError) else reply
