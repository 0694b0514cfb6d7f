"""Condition forms: fields and operators for a comparison on a column, tried until this server honours one.

What lives here: the trial of a form on rows that exist, for one bound or for the two bounds of a range. The caller
lists the forms, and decides what to do where the server honours none.

That a query does not fail proves nothing. A dropped bound returns more rows, one that is read as `=` hardly any, and
neither is noticed where rows do not carry the column. So each form is tried on an existing row: it must be returned
where its value lies within the bounds, and must not be where it lies below or above.
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
"""A field and an operator for each bound: one bound, or a lower and an upper one."""
Around: TypeAlias = "Callable[[Any], Mapping[int, str]]"
"""Returns operands around the value that a row has in a column: -1 below it, 0 equal to it, 1 above it. Where the row
has no readable value, -1 is below all possible values, 1 is above all of them, and there is no 0."""

TRIED = 3  # rows: one may fall into the hour that occurs twice, where the database keeps summer time
INSIST = 4  # more attempts where a small reply fails
ATTEMPTS = 3  # where a row is changed or deleted during its trial
STEPS = ((1, 1), (-1, -1), (-1, 1), (0, 0))
"""Where the lower and the upper bound of each trial lie, relative to a row's value: above it, below it, around it, at
it. The first two reveal a dropped bound, which is common, the third an operator that is read as `=`."""


@dataclass(frozen=True, slots=True)
class TrialRows:
    """Existing rows on which condition forms are tried.

    Attributes:
        span: the range of their ids, inclusive.
        tokens: their identifiers.
        operands: see `Around`. With a 0, there is only one row.
    """

    span: IdRange
    tokens: frozenset[Token]
    operands: Mapping[int, str]

    @property
    def name(self) -> Token:
        """The identifier of one of them."""
        return min(self.tokens, key=str)

    @property
    def has_value(self) -> bool:
        """True where the row has a value in the column."""
        return 0 in self.operands


def find_form(
    prefix_walk: Callable[[], Flow[None]], key: str, column: str, around: Around, forms: Sequence[ConditionForm]
) -> Flow[tuple[ConditionForm | None, TrialRows | None]]:
    """Find out which condition form this server honours, on rows at the low end of the ids.

    Args:
        prefix_walk: returns a walk over all ids by `prefix`, in windows of some hundred ids. Its own
            conditions apply as well.
        key: the name of the key in filters.
        column: the name of the column in rows.
        around: returns the operands of the trials.
        forms: the forms, in order of preference.

    Returns:
        The first form that the server honours, and the rows on which it was tried; None for the form where the server
        honours none; None for the rows where there are none.

    Raises:
        RemoteError: a call failed in a way that says nothing about the condition: connection, login, rights.
    """
    rows: tuple[TrialRows, ...] = ()
    for _ in range(ATTEMPTS):
        before, rows = rows, (yield from _trial_rows(prefix_walk(), column, around))
        if not rows:
            return None, None
        if rows == before:
            break  # the rows did not change during the trials, so the results are valid
        for tried, form in product(rows, forms):
            if (yield from _is_honoured(form, tried, key)):
                return form, tried
    for form in () if rows[0].has_value else forms:  # these rows may have NULL there, as after an import, others not
        all_values = tuple(Condition(*bound, around(None)[-1 if 1 in ORDERS[bound[1]] else 1]) for bound in form)
        reply = yield from attempt(WindowRequest(Prefix(key), rows[0].span, insist=INSIST, where=all_values))
        if isinstance(reply, RemoteError) or reply.rows:
            continue  # refused, or misread
        for tried in (yield from _trial_rows(filtered(prefix_walk(), all_values), column, around)):
            if (yield from _is_honoured(form, tried, key)):
                return form, tried
    return None, rows[0]


def _trial_rows(prefix_walk: Flow[None], column: str, around: Around) -> Flow[tuple[TrialRows, ...]]:
    """Find some of the first rows that have a value in a column, else all rows of the first window that has any."""
    piece = yield from first_piece_with_rows(prefix_walk)
    if piece is None:
        return ()
    spans = (IdRange(token, token) if isinstance(token, int) else piece.window for token, _ in piece.rows)
    single = (
        TrialRows(span, frozenset([token]), around(row.get(column)))
        for span, (token, row) in zip(spans, piece.rows, strict=True)
    )
    window = TrialRows(piece.window, frozenset(token for token, _ in piece.rows), around(None))
    return tuple(islice((row for row in single if row.has_value), TRIED)) or (window,)


def _is_honoured(form: ConditionForm, rows: TrialRows, key: str) -> Flow[bool]:
    """Return whether rows are returned exactly where their value lies within bounds in this form."""
    for steps in dict.fromkeys(steps[: len(form)] for steps in STEPS):
        if not rows.operands.keys() >= set(steps):
            continue
        bounds = list(zip(form, steps, strict=True))
        conditions = tuple(Condition(field, operator, rows.operands[step]) for (field, operator), step in bounds)
        expected = all(-step in ORDERS[operator] for (_, operator), step in bounds)
        reply = yield from attempt(WindowRequest(Prefix(key), rows.span, insist=INSIST, where=conditions))
        if isinstance(reply, RemoteError):
            if not isinstance(reply, FilterIgnoredError) and not is_verdict(reply):  # a row from outside the span
                raise reply
            return False
        if rows.tokens.isdisjoint(reply.tokens) is expected:
            return False
    return True
