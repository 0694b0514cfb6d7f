"""Doubles: rows without ids that share an identity, where an output can hold one of them alone.

What lives here: a stage that keeps the first of them and leaves the others out by name, as a flow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from magento_pager.walk.checks import Identities
from magento_pager.walk.conditions import Condition
from magento_pager.walk.flows import NOTHING, Flow, Piece, Reply, attempt_flow, filtered, find_row, relayed
from magento_pager.walk.pages import KnownRow, Quarantined

if TYPE_CHECKING:
    from collections.abc import Iterable

    from magento_pager.walk.flows import Item


class FirstOfEach:
    """A stage of a walk that leaves out, by name, rows whose identity another row had."""

    def __init__(self, key: str, identity_field: str) -> None:
        """Get ready.

        Args:
            key: what filters call the key.
            identity_field: what rows without ids are known by.
        """
        self._key = key
        self._identity_field = identity_field
        self._came = Identities()

    def add(self, identities: Iterable[str]) -> None:
        """Remember identities of rows that came before the walk."""
        self._came.add(identities)

    def through(self, walk: Flow[None]) -> Flow[None]:
        """Go on with a walk, without the rows that share an identity with one before."""
        yield from relayed(walk, self._relay)

    def _relay(self, item: Item) -> Flow[Reply]:
        if not isinstance(item, Piece):
            return (yield item)
        doubles = {token for token, _ in item.rows if isinstance(token, str) and token in self._came}
        self._came.add(token for token, _ in item.rows if isinstance(token, str))
        if doubles:
            skipped = list(item.quarantined)
            for token in sorted(doubles):
                condition = Condition(self._identity_field, "eq", token)
                known = yield from attempt_flow(filtered(find_row(item.window, self._key), (condition,), any_row=True))
                number = known.id if isinstance(known, KnownRow) else item.window.first
                reason = f"another row has its {self._identity_field}, {token}, by which this output tells rows apart"
                skipped.append(Quarantined(number, reason))
            rows = tuple(pair for pair in item.rows if pair[0] not in doubles)
            item = replace(item, rows=rows, quarantined=tuple(sorted(skipped, key=lambda one: one.id)))
        yield item
        return NOTHING
