"""Spellings: how a comparison on a column must be put, so that this server honours it.

What lives here: the trial of a form on rows that are known, for one bound or for the two of a range. Which
forms there are, and what is done where none holds, is said by who asks.

Nothing is trusted because it did not fault. A bound that is dropped brings more rows, one that is read as `=` hardly
any, and neither shows where rows do not carry the column. So each form is tried on a row that exists: it must come
where its value lies within the bounds, and must not where it lies below or above.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any, TypeAlias

from magento_pager.errors import FilterIgnoredError, RemoteError
from magento_pager.walk.conditions import ORDERS, Condition
from magento_pager.walk.flows import Flow, WindowRequest, attempt, filtered, first_piece_with_rows
from magento_pager.walk.ranges import IdRange
from magento_pager.walk.recovery import is_verdict
from magento_pager.walk.strategies import Prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from magento_pager.walk.pages import Token

ConditionForm: TypeAlias = tuple[tuple[str, str], ...]
"""A field and an operator for each bound: one, or a lower and an upper one."""
Around: TypeAlias = "Callable[[Any], Mapping[int, str]]"
"""Gives operands around what a row has in a column: -1 below it, 0 equal to it, 1 above it. Where the row has nothing
that can be read, -1 is below all values that there are, 1 above all of them, and there is no 0."""

TRIED = 3  # rows: the time of one may be in the hour that comes twice, where the database keeps summer time
INSIST = 4  # more attempts where a small reply fails
ATTEMPTS = 3  # at a row that is changed or deleted while it is looked at
STEPS = ((1, 1), (-1, -1), (-1, 1), (0, 0))
"""Where the bounds of each trial lie beside a row's value, the lower and the upper one: above it, below it, around it,
at it. The first two show a bound that is dropped, as most servers do, the third an operator that means `=`."""


@dataclass(frozen=True, slots=True)
class TrialRows:
    """Rows that are known.

    Attributes:
        span: ids, inclusive, that they have.
        tokens: what they are known by.
        operands: see `Around`; where they have a 0, of the only row.
    """

    span: IdRange
    tokens: frozenset[Token]
    operands: Mapping[int, str]

    @property
    def name(self) -> Token:
        """What one of them is known by."""
        return min(self.tokens, key=str)

    @property
    def says(self) -> bool:
        """True where the row says what it has in the column."""
        return 0 in self.operands


def find_form(
    looking: Callable[[], Flow[None]], key: str, column: str, around: Around, forms: Sequence[ConditionForm]
) -> Flow[tuple[ConditionForm | None, TrialRows | None]]:
    """Find out which of some forms this server honours, on rows at the low end of the ids.

    Args:
        looking: gives a walk over all ids that rests on `prefix`, in windows of some hundred ids. Its own conditions
            hold as well.
        key: what filters call the key.
        column: what rows call the column.
        around: gives the operands of the trials.
        forms: in order of preference.

    Returns:
        The first that holds, and the rows it was tried on; no form where none holds; no rows where there are none.

    Raises:
        RemoteError: a call failed in a way that says nothing of the condition: connection, login, rights.
    """
    rows: tuple[TrialRows, ...] = ()
    for _ in range(ATTEMPTS):
        before, rows = rows, (yield from _trial_rows(looking(), column, around))
        if not rows:
            return None, None
        if rows == before:
            break  # nothing has changed meanwhile, so the trials were fair
        for some, form in product(rows, forms):
            if (yield from _holds(form, some, key)):
                return form, some
    for form in () if rows[0].says else forms:  # these may have NULL there, as imports leave it, and others not
        every = tuple(Condition(*bound, around(None)[-1 if 1 in ORDERS[bound[1]] else 1]) for bound in form)
        reply = yield from attempt(WindowRequest(Prefix(key), rows[0].span, insist=INSIST, where=every))
        if isinstance(reply, RemoteError) or reply.rows:
            continue  # it is refused, or misread
        for some in (yield from _trial_rows(filtered(looking(), every), column, around)):
            if (yield from _holds(form, some, key)):
                return form, some
    return None, rows[0]


def _trial_rows(looking: Flow[None], column: str, around: Around) -> Flow[tuple[TrialRows, ...]]:
    """Find some of the first rows that say what they have in a column, else all of the first window that has any."""
    piece = yield from first_piece_with_rows(looking)
    if piece is None:
        return ()
    spans = (IdRange(token, token) if isinstance(token, int) else piece.window for token, _ in piece.rows)
    known = (
        TrialRows(span, frozenset([token]), around(row.get(column)))
        for span, (token, row) in zip(spans, piece.rows, strict=True)
    )
    everything = TrialRows(piece.window, frozenset(token for token, _ in piece.rows), around(None))
    return tuple(islice((some for some in known if some.says), TRIED)) or (everything,)


def _holds(form: ConditionForm, rows: TrialRows, key: str) -> Flow[bool]:
    """Find out whether rows come where their value lies within bounds that are spelled so, and else do not."""
    for steps in dict.fromkeys(steps[: len(form)] for steps in STEPS):
        if not rows.operands.keys() >= set(steps):
            continue
        bounds = list(zip(form, steps, strict=True))
        conditions = tuple(Condition(field, operator, rows.operands[step]) for (field, operator), step in bounds)
        there = all(-step in ORDERS[operator] for (_, operator), step in bounds)
        reply = yield from attempt(WindowRequest(Prefix(key), rows.span, insist=INSIST, where=conditions))
        if isinstance(reply, RemoteError):
            if not isinstance(reply, FilterIgnoredError) and not is_verdict(reply):  # a row came from outside of them
                raise reply
            return False
        if rows.tokens.isdisjoint(reply.tokens) is there:
            return False
    return True
