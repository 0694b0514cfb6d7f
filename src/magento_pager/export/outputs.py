"""Outputs: where a dump writes, and in what order its files appear and disappear.

Rows are written to FILE.part; FILE.checkpoint says how much of it counts. FILE itself appears in one step, once all
rows are in it and safe on disk, so an unfinished output is never mistaken for a finished one. The checkpoint stays next
to it, marked as finished, and says which dump made FILE. A killed process leaves one of these states:

    FILE     FILE.part   FILE.checkpoint   meaning                         resuming
    ------   ---------   ---------------   -----------------------------   -----------------------------------
    none     any         none              killed before the first page    starts the dump
    exists   any         none              the dump is unknown             refuses
    any      exists      unfinished        killed during the walk          cuts the part to the offset, resumes
    exists   none        unfinished, all   killed after the renaming       does the last steps
                         ids covered
    exists   any         finished          done; a part is of a dump       reports that, if the query is the same
                                           without its first page          and FILE has its length, or refuses
    none     any         finished          done, and FILE was removed      starts the dump

With `overwrite` a finished output is replaced; its checkpoint is valid until the first page of the new dump is safe.

A dump locks its part. The operating system releases the lock when the process ends, however it ends. A database keeps
all of this in itself, see `sqlite`.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from magento_pager.errors import CheckpointMismatchError, option
from magento_pager.export.checkpoints import load, refuse_other_query, save
from magento_pager.export.files import lock, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.export.layout import Layout
    from magento_pager.walk.pages import Misfit, Row


class Output(Protocol):
    """Destination of a dump. Any object with these attributes works; a subclass needs only `write`.

    A dump calls `begin`; `write` and `keep` for each page; `publish`; and `settle` once the report is written too. It
    calls `close` last, whatever happened before, and `flush` before that where it ends early.

    Attributes:
        path: the finished output; None where it is not a file.
        part: where rows are written until then.
        saved: the checkpoint to resume from, safe on disk; None to start from the beginning.
        finished: True where only `settle` remains to be called; `saved` is the checkpoint of the finished dump.
        position: how much of the output exists so far, in the output's own unit.

    >>> class Printed(Output):
    ...     def write(self, rows):
    ...         print([row["order_id"] for row in rows])
    >>> Printed().write([{"order_id": "3"}])
    ['3']
    """

    path: Path | None = None
    part: Path | None = None
    saved: Checkpoint | None = None
    finished: bool = False
    position: int = 0

    @property
    def names(self) -> tuple[Path, ...]:
        """Paths of all files that the output uses."""
        return ()

    def begin(self, start: Checkpoint) -> Checkpoint:
        """Lock the output, and discard what was written after its checkpoint.

        Args:
            start: the checkpoint of a dump without any page.

        Returns:
            The checkpoint to resume from, or `start` where there is none.

        Raises:
            CheckpointMismatchError: the checkpoint is of a dump with another query.
            BlockingIOError: another dump is writing to the output.
            OSError: the output cannot be written.
        """
        return self.saved or start

    def write(self, rows: Sequence[Row]) -> Sequence[Misfit]:
        """Write all rows of one page.

        Returns:
            The invalid values, where the output has typed values.

        Raises:
            OSError: some rows were not written; the position has not changed.
        """

    def keep(self, checkpoint: Checkpoint) -> None:
        """Save the rows written so far and then their checkpoint to disk; or wait for more pages, to save fewer times.

        Raises:
            OSError: the disk refused them; the last saved checkpoint is still valid.
        """
        self.saved = checkpoint

    def flush(self) -> None:
        """Save the rows and the checkpoint that `keep` has not saved yet."""
        return

    def publish(self) -> None:
        """Mark the output as finished: it has all rows."""
        self.finished = True

    def settle(self) -> None:
        """Mark the checkpoint as finished; the last step of a dump."""
        return

    def forget(self) -> None:
        """Delete the checkpoint of a finished dump that a state file remembers."""
        return

    def close(self) -> None:
        """Release the output, and delete what no checkpoint covers."""
        return

    def tail(self, offset: int) -> Iterator[Row]:  # noqa: ARG002  for outputs that can be read back
        """Yield the rows written from a position on."""
        return iter(())


class LockedOutput(Output):
    """Base of all outputs on disk: inspected when created, and locked from `begin` to `close`.

    Attributes:
        part_ending: suffix of the part's name.

    Args:
        path: the file, or the folder.
        layout: format and columns.
        resume: resume an unfinished dump.
        overwrite: replace a finished output and, without `resume`, an unfinished one.

    Raises:
        ValueError: something other than an output has that name.
        FileExistsError: there is an output that may be neither resumed nor replaced.
        CheckpointMismatchError: the checkpoint is damaged, or the part does not match it.
    """

    part_ending = ""
    _descriptor = -1
    _truncated = False

    def __init__(self, path: str | Path, layout: Layout, *, resume: bool = False, overwrite: bool = False) -> None:
        self.path: Path = Path(path)
        self.part: Path = self._sibling(self.part_ending)
        self._layout = layout
        self._resume = resume
        self._overwrite = overwrite
        self.saved, self.finished = self._inspect()
        if self.saved and not self.finished:
            self._check(self.saved)

    @abstractmethod
    def _inspect(self) -> tuple[Checkpoint | None, bool]:
        """Return the checkpoint of the output, if it has one to use, and whether the output is finished."""

    @abstractmethod
    def _check(self, saved: Checkpoint) -> None:
        """Refuse a part that does not match its checkpoint."""

    @abstractmethod
    def _size(self, path: Path) -> int | None:
        """Return the size in bytes, or None where nothing has that name; raise ValueError where it is not an output."""

    @abstractmethod
    def _open(self, create: int) -> int:
        """Return a descriptor of the part, for locking."""

    @abstractmethod
    def _truncate(self) -> None:
        """Cut the locked part to the position."""

    def begin(self, start: Checkpoint) -> Checkpoint:
        """Lock the part, and discard what was written after its checkpoint."""
        before = self.saved
        self._descriptor = lock(self.part, self._open(0 if before else os.O_CREAT))
        with ExitStack() as failed:
            failed.callback(self.close)
            self.saved, self.finished = self._inspect()
            if self.saved != before:
                raise BlockingIOError(f"Another dump has just changed {self.path}. Run this one again.")
            if self.saved:
                advice = f"Repeat the options of that dump, or start over with {option('overwrite')}."
                refuse_other_query(self.path, self.saved, start.fingerprint, advice)
            self.position = self.saved.offset if self.saved else 0
            self._truncate()
            failed.pop_all()
        return self.saved or start

    def close(self) -> None:
        """Release the part, and delete it where no checkpoint covers anything in it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            if self.saved is None and (self._truncated or not self._size(self.part)):
                self._remove()
            os.close(descriptor)

    def _remove(self) -> None:
        self.part.unlink(missing_ok=True)

    def _sibling(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)


class FileOutput(LockedOutput):
    """Base of text files and Parquet folders: their names, and a checkpoint next to them.

    Attributes:
        unit: the unit of the position, for messages.
    """

    part_ending = ".part"
    unit: str
    _checksum = 0  # CRC-32 of the part up to the position, once that is safe
    _latest: Checkpoint | None = None

    @abstractmethod
    def _measured(self, path: Path, offset: int | None = None) -> tuple[int, int]:
        """Return the length, at most `offset`, and the CRC-32 up to there."""

    @abstractmethod
    def _cut(self, offset: int) -> None:
        """Discard what is in the part after an offset, up to which `_measured` has just read it."""

    @abstractmethod
    def _sync(self) -> None:
        """Sync what was written to disk."""

    @property
    def names(self) -> tuple[Path, ...]:
        """Paths of all files that the output uses."""
        return (self.path, self.part, self._checkpoint_path, self._sibling(".part.old"), self._sibling(".part.tail"))

    @property
    def _checkpoint_path(self) -> Path:
        return self._sibling(".checkpoint")

    def _truncate(self) -> None:
        finished = False
        with suppress(FileNotFoundError, CheckpointMismatchError):
            finished = load(self._checkpoint_path).length is not None
        if self.saved is None and not finished:
            self.forget()  # first: a checkpoint without its part would be refused
            sync_folder(self.path)
        self._checksum = self.saved.checksum if self.saved else 0
        self._cut(self.position)
        self._truncated = True

    def keep(self, checkpoint: Checkpoint) -> None:
        """Save the rows written so far, and then the checkpoint that covers them."""
        self._latest = checkpoint
        self.flush()

    def flush(self) -> None:
        """Save the rows and the checkpoint that are not saved yet."""
        latest = self._latest
        if latest is None or latest is self.saved:
            return
        if self.saved is None or latest.offset != self.saved.offset:
            self._sync()
        latest = replace(latest, checksum=self._checksum)
        save(latest, self._checkpoint_path)
        self.saved = self._latest = latest

    def publish(self) -> None:
        """Rename the part, which has all rows, to its final name."""
        self.part.replace(self.path)
        sync_folder(self.path)
        self.finished = True

    def settle(self) -> None:
        """Mark the checkpoint as finished; the last step of a dump."""
        if self.saved and self.saved.length is None:
            self.saved = replace(self.saved, length=self._size(self.path))
            save(self.saved, self._checkpoint_path, safe=False)  # the previous checkpoint leads here again

    def forget(self) -> None:
        """Delete the checkpoint."""
        self._checkpoint_path.unlink(missing_ok=True)

    def _inspect(self) -> tuple[Checkpoint | None, bool]:
        final_size, part_size = self._size(self.path), self._size(self.part)
        if self._overwrite and not self._resume:
            return None, False
        saved = load(self._checkpoint_path) if self._checkpoint_path.exists() else None
        if saved and saved.length is None:  # unfinished
            if not self._resume:
                raise FileExistsError(
                    f"{self.part} is an unfinished dump. Resume it with {option('resume')}, or start over with "
                    f"{option('overwrite')}."
                )
            renamed = saved.complete and not part_size and final_size is not None
            if renamed and self._measured(self.path) == (saved.offset, saved.checksum):
                return saved, True
            if part_size is None:
                raise self._rows_lost(saved, "is missing")
            return saved, False
        if final_size is None or self._overwrite:
            return None, False
        advice = f"Choose another name, or replace it with {option('overwrite')}."
        if not self._resume:
            raise FileExistsError(f"{self.path} already exists. {advice}")
        if saved is None:
            raise FileExistsError(
                f"{self.path} already exists, without the {self._checkpoint_path.name} that tells which dump made it. "
                f"{advice}"
            )
        if final_size != saved.length:
            raise CheckpointMismatchError(
                f"{self.path} was changed after its dump finished: it had {saved.length} bytes and now has "
                f"{final_size}. {advice}",
                differences=(f"{self.path} had {saved.length} bytes and now has {final_size}",),
            )
        return saved, True

    def _check(self, saved: Checkpoint) -> None:
        count, checksum = self._measured(self.part, saved.offset)
        if count < saved.offset:
            raise self._rows_lost(saved, f"has only {count} {self.unit}")
        if checksum != saved.checksum:
            raise CheckpointMismatchError(
                f"{self.part} was changed after its checkpoint was saved: its checksum is wrong, so no row in it "
                f"can be trusted. Restore the file, or start over with {option('overwrite')}.",
                differences=(f"{self.part} had the CRC-32 {saved.checksum:08x} and now has {checksum:08x}",),
            )

    def _rows_lost(self, saved: Checkpoint, state: str) -> CheckpointMismatchError:
        return CheckpointMismatchError(
            f"{self.part} {state}, but its checkpoint covers {saved.offset}: rows are lost. Restore the file, or start "
            f"over with {option('overwrite')}.",
            differences=(f"{self.part} had {saved.offset} {self.unit} and now {state}",),
        )
