"""A dump on its way: pages to a sink, and a checkpoint that covers them.

Does not know where pages come from, what the output is called or how it is made safe.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from magento_pager.walk.reading import row_label

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.export.sinks import Sink
    from magento_pager.walk.reading import Row
    from magento_pager.walk.walking import Page


class Dump:
    """Takes pages, one after the other.

    Attributes:
        checkpoint: what is safe; replaced when a page is.
    """

    def __init__(
        self,
        start: Checkpoint,
        sink: Sink,
        *,
        id_field: str,
        identity_field: str | None = None,
        received: Callable[[], int] = lambda: 0,
        details: Callable[[], Mapping[str, str | None] | None] = lambda: None,
        keep: Callable[[Checkpoint], None] = lambda _: None,
    ) -> None:
        """Go on from a checkpoint.

        Args:
            start: where to go on.
            sink: takes the rows.
            id_field: what rows call the key.
            identity_field: another field that no two rows share, where rows may carry no id.
            received: says how many bytes came from the server so far.
            details: says by which way records in full come.
            keep: makes safe what the sink took, and the checkpoint.
        """
        self.checkpoint = start
        self._sink = sink
        self._id_field = id_field
        self._identity_field = identity_field
        self._received = received
        self._details = details
        self._keep = keep
        self._began = time.monotonic() - start.counters.seconds
        self._bytes_before = start.counters.bytes - received()

    def add(self, page: Page) -> Checkpoint:
        """Make a page safe.

        Returns:
            The checkpoint that covers it.

        Raises:
            OSError: the output did not take it; the checkpoint is the one before it.
        """
        misfits = self._sink.write(page.rows)
        return self._made(self.checkpoint.after(page, self._id_field, self._sink.position).with_misfits(misfits))

    def add_late(self, page: Page, known: Container[str]) -> Checkpoint:
        """Make safe what is new on a page below the cursor.

        Args:
            page: a page of ids that were covered before.
            known: what the rows in the output are known by, see `known_by`.

        Raises:
            OSError: see `add`.
        """
        rows = [row for row in page.rows if self.known_by(row) not in known]
        misfits = self._sink.write(rows)
        after = self.checkpoint.after_late(page, rows, self._id_field, self._sink.position)
        return self._made(after.with_misfits(misfits))

    def known_by(self, row: Row) -> str:
        """What no other row of the list has: its id, or its identity where rows carry no id."""
        return row_label(row, self._id_field, self._identity_field)

    def _made(self, checkpoint: Checkpoint) -> Checkpoint:
        counters = replace(
            checkpoint.counters,
            bytes=self._bytes_before + self._received(),
            seconds=round(time.monotonic() - self._began, 3),
        )
        checkpoint = replace(checkpoint, counters=counters, details=self._details())
        self._keep(checkpoint)
        self.checkpoint = checkpoint
        return checkpoint
