"""Duplicates: rows without ids that share an identity, for outputs that can store only one of them.

What lives here: a stage that keeps the first row and skips the others by name, as a flow.
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
    """A stage of a walk that skips, by name, rows whose identity another row had before."""

    def __init__(self, key: str, identity_field: str) -> None:
        """Initialize the stage.

        Args:
            key: what filters call the key.
            identity_field: the field that identifies rows without ids.
        """
        self._key = key
        self._identity_field = identity_field
        self._identities = Identities()

    def add(self, identities: Iterable[str]) -> None:
        """Record identities of rows stored before the walk."""
        self._identities.add(identities)

    def through(self, walk: Flow[None]) -> Flow[None]:
        """Run a walk without the rows that share an identity with an earlier row."""
        yield from relayed(walk, self._relay)

    def _relay(self, item: Item) -> Flow[Reply]:
        if not isinstance(item, Piece):
            return (yield item)
        duplicates = {token for token, _ in item.rows if isinstance(token, str) and token in self._identities}
        self._identities.add(token for token, _ in item.rows if isinstance(token, str))
        if duplicates:
            skipped = list(item.quarantined)
            for token in sorted(duplicates):
                condition = Condition(self._identity_field, "eq", token)
                known = yield from attempt_flow(filtered(find_row(item.window, self._key), (condition,), any_row=True))
                number = known.id if isinstance(known, KnownRow) else item.window.first
                reason = (
                    f"another row has the same {self._identity_field}, {token}, which identifies rows in this output"
                )
                skipped.append(Quarantined(number, reason))
            rows = tuple(pair for pair in item.rows if pair[0] not in duplicates)
            item = replace(item, rows=rows, quarantined=tuple(sorted(skipped, key=lambda row: row.id)))
        yield item
        return NOTHING
