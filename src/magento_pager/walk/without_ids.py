"""Rows without ids: what is wrong with them shows only beside other replies.

What lives here: the comparison of a page with the one before it, and with what another strategy brings. As flows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from magento_pager.errors import FilterIgnoredError
from magento_pager.walk.flows import Ask, Flow
from magento_pager.walk.ranges import MAX_ID, IdRange
from magento_pager.walk.strategies import Prefix, SingleFilter

if TYPE_CHECKING:
    from magento_pager.walk.flows import Reply
    from magento_pager.walk.pages import Token
    from magento_pager.walk.strategies import Strategy

COMPARED_EVERY = 16  # pages


class WithoutIds:
    """The checks of rows that carry no id: what is wrong with them shows only beside other replies."""

    def __init__(self, key: str, operation: str, identity_field: str | None) -> None:
        """Begin with nothing.

        Args:
            key: what filters call the key.
            operation: the name of the list, for messages.
            identity_field: what rows are known by.
        """
        self._key = key
        self._operation = operation
        self._identity_field = identity_field
        self._before: frozenset[Token] = frozenset()
        self._pages = 0

    def check(self, answer: Reply, window: IdRange, strategy: Strategy | None) -> Flow[None]:
        """Compare a page with the one before, and every sixteenth one with what another strategy brings.

        Args:
            answer: the reply to be checked.
            window: the ids it covers.
            strategy: the walk's own, where it asked; None where another one did.

        Raises:
            FilterIgnoredError: the server misread a condition.
        """
        now = frozenset(answer.tokens)
        if again := self._before & now:
            raise FilterIgnoredError(
                f"{self._operation}: {self._identity_field} {min(map(str, again))} came twice around ids "
                f"{window}: the server dropped a condition; use another strategy (prefix holds on every version)",
                span=window,
            )
        if strategy is not None:
            if self._pages % COMPARED_EVERY == 0:
                yield from self._compare(now, window, strategy)
            self._pages += 1
        self._before = now  # unless it is asked for again

    def _compare(self, first: frozenset[Token], window: IdRange, strategy: Strategy) -> Flow[None]:
        """Ask again in a way that holds everywhere: without ids, rows that are missing show in no other way.

        That is `prefix`, or at the low end of the ids the upper bound alone, in a single call.
        Rows may come and go between two calls; but one that was there before a call and after it was there meanwhile.
        """
        low = window.first == 0 and window.last < MAX_ID
        other = SingleFilter(self._key) if low else Prefix(self._key)
        second = set((yield Ask(other, window)).tokens)
        if first == second:
            return
        third = set((yield Ask(strategy, window)).tokens)
        fourth = set((yield Ask(other, window)).tokens)
        if lost := ((second & fourth) - third) | ((first & third) - second):
            raise FilterIgnoredError(
                f"{self._operation}: {strategy.name} and {other.name} disagree about ids {window}: only one "
                f"brings {self._identity_field} {min(map(str, lost))}; the server misreads a condition; use the "
                "strategy prefix",
                span=window,
            )
