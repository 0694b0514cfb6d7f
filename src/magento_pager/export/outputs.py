"""Outputs: where a dump goes, and in what order the names of a file or a folder come and go.

FILE.part takes the rows and FILE.checkpoint says how much of it counts. FILE itself appears in one step once all rows
are in it and safe, so an unfinished output is never mistaken for a finished one. The checkpoint stays beside it, marked
as finished: it says of which dump FILE is. Whenever a process is killed, one of these is found:

    FILE    FILE.part   FILE.checkpoint   that is                         resuming
    -----   ---------   ---------------   -----------------------------   -----------------------------------
    none    any         none              before the first page           begins
    there   any         none              nobody knows of which dump      refuses
    any     there       unfinished        a walk on its way               cuts the part to the offset, resumes
    there   none        of the end        behind the renaming             does the rest
    there   any         finished          done; a part is of a dump       says so, if the same is asked for and
                                          before its first page           FILE has its length, or refuses
    none    any         finished          done, and FILE taken away       begins

With `overwrite` what is finished is replaced; its checkpoint holds until the first page of the new dump is safe.

A dump holds a lock on its part. The system lifts it when the process ends, however it ends. A database keeps all of
this in itself, see `sqlite`.
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
from magento_pager.export.files import locked, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.export.layout import Layout
    from magento_pager.walk.pages import Misfit, Row


class Output(Protocol):
    """Where a dump goes. Any object with these attributes will do; a class that inherits needs only `write`.

    In order: `begin`; for each page `write` and `keep`; `publish` and, when all that follows a dump is done too,
    `settle`. `close` comes last, whatever happened before. A dump that ends early calls `flush` before it.

    Attributes:
        path: what appears in the end; None where that is no file.
        part: where rows go until then.
        saved: the checkpoint to resume from, which is safe; None to begin anew.
        finished: True where nothing is left to be done but `settle`; `saved` says of which dump it is.
        position: how much of the output there is so far, in the output's own measure.
    """

    path: Path | None = None
    part: Path | None = None
    saved: Checkpoint | None = None
    finished: bool = False
    position: int = 0

    @property
    def names(self) -> tuple[Path, ...]:
        """All names of files that are taken."""
        return ()

    def begin(self, start: Checkpoint) -> Checkpoint:
        """Take hold of what was looked at before, and cut it back to what counts.

        Args:
            start: the checkpoint of a dump that has not begun.

        Returns:
            The checkpoint to resume from, which is `start` where there is none.

        Raises:
            CheckpointMismatchError: something else was asked for when the checkpoint was made.
            BlockingIOError: another dump is writing there.
            OSError: it cannot be written.
        """
        return self.saved or start

    def write(self, rows: Sequence[Row]) -> Sequence[Misfit]:
        """Take the rows of one page, all of them.

        Returns:
            The invalid values, where values are written.

        Raises:
            OSError: some were not taken; the position is as it was.
        """

    def keep(self, checkpoint: Checkpoint) -> None:
        """Make safe what was written, and the checkpoint that counts it; or wait for more, where that costs less.

        Raises:
            OSError: the disk did not take it; the checkpoint that was safe holds.
        """
        self.saved = checkpoint

    def flush(self) -> None:
        """Make safe what waits."""
        return

    def publish(self) -> None:
        """Say that it is finished: all rows are in it."""
        self.finished = True

    def settle(self) -> None:
        """Mark the checkpoint as that of a finished dump; the last step."""
        return

    def forget(self) -> None:
        """Remove the checkpoint of a finished dump that something else remembers."""
        return

    def close(self) -> None:
        """Let go of it, and remove what does not count."""
        return

    def tail(self, offset: int) -> Iterator[Row]:  # noqa: ARG002  for those that can be read back
        """Yield the rows that were written from a position on."""
        return iter(())


class LockedOutput(Output):
    """What all outputs on disk share: they are looked at when they are made, and locked from `begin` to `close`.

    Attributes:
        part_ending: what is behind the name of the part.

    Args:
        path: the file, or the folder.
        layout: what is asked for.
        resume: resume what is unfinished.
        overwrite: replace what is finished, and, without `resume`, what is unfinished.

    Raises:
        ValueError: what is there is something else.
        FileExistsError: what is there may neither be resumed nor be replaced.
        CheckpointMismatchError: the checkpoint is damaged, or the part is not what it says.
    """

    part_ending = ""
    _descriptor = -1
    _cut_back = False

    def __init__(self, path: str | Path, layout: Layout, *, resume: bool = False, overwrite: bool = False) -> None:
        self.path: Path = Path(path)
        self.part: Path = self._beside(self.part_ending)
        self._layout = layout
        self._resume = resume
        self._overwrite = overwrite
        self.saved, self.finished = self._found()
        if self.saved and not self.finished:
            self._check(self.saved)

    @abstractmethod
    def _found(self) -> tuple[Checkpoint | None, bool]:
        """Return the checkpoint to resume from, or of what is finished, and whether it is."""

    @abstractmethod
    def _check(self, saved: Checkpoint) -> None:
        """Refuse a part that is not what its checkpoint counts, or no longer."""

    @abstractmethod
    def _size(self, path: Path) -> int | None:
        """Return bytes on disk, or None where there is nothing; raise a ValueError where it is something else."""

    @abstractmethod
    def _open(self, create: int) -> int:
        """Return a descriptor of the part, to be locked."""

    @abstractmethod
    def _take(self) -> None:
        """Cut the part, which is ours now, back to the position."""

    def begin(self, start: Checkpoint) -> Checkpoint:
        """Take hold of the part, and cut it back to what counts."""
        before = self.saved
        self._descriptor = locked(self.part, self._open(0 if before else os.O_CREAT))
        with ExitStack() as failed:
            failed.callback(self.close)
            self.saved, self.finished = self._found()
            if self.saved != before:
                raise BlockingIOError(f"another dump has just been at {self.path}; try again")
            if self.saved:
                advice = f"ask for the same again, or begin anew with {option('overwrite')}"
                refuse_other_query(self.path, self.saved, start.fingerprint, advice)
            self.position = self.saved.offset if self.saved else 0
            self._take()
            failed.pop_all()
        return self.saved or start

    def close(self) -> None:
        """Let go of the part, and remove it where nothing in it counts."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            if self.saved is None and (self._cut_back or not self._size(self.part)):
                self._remove()
            os.close(descriptor)

    def _remove(self) -> None:
        self.part.unlink(missing_ok=True)

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)


class FileOutput(LockedOutput):
    """What a file of text and a folder of Parquet share: their names, and a checkpoint beside them.

    Attributes:
        unit: of the position, in words.
    """

    part_ending = ".part"
    unit: str
    _checksum = 0  # CRC-32 of what counts of the part, once it is safe
    _latest: Checkpoint | None = None

    @abstractmethod
    def _measured(self, path: Path, offset: int | None = None) -> tuple[int, int]:
        """Return how much there is, at most up to an offset, and the CRC-32 of that."""

    @abstractmethod
    def _cut(self, offset: int) -> None:
        """Throw away what is in the part beyond an offset, up to which it was measured."""

    @abstractmethod
    def _sync(self) -> None:
        """Make safe what was written."""

    @property
    def names(self) -> tuple[Path, ...]:
        """All names that are taken."""
        return (self.path, self.part, self._saved_at, self._beside(".part.old"), self._beside(".part.tail"))

    @property
    def _saved_at(self) -> Path:
        return self._beside(".checkpoint")

    def _take(self) -> None:
        of_a_finished_one = False
        with suppress(FileNotFoundError, CheckpointMismatchError):
            of_a_finished_one = load(self._saved_at).length is not None
        if self.saved is None and not of_a_finished_one:
            self.forget()  # first: a checkpoint without its part would be refused
            sync_folder(self.path)
        self._checksum = self.saved.checksum if self.saved else 0
        self._cut(self.position)
        self._cut_back = True

    def keep(self, checkpoint: Checkpoint) -> None:
        """Make safe what was written, and then the checkpoint that counts it."""
        self._latest = checkpoint
        self.flush()

    def flush(self) -> None:
        """Make safe what waits."""
        latest = self._latest
        if latest is None or latest is self.saved:
            return
        if self.saved is None or latest.offset != self.saved.offset:
            self._sync()
        latest = replace(latest, checksum=self._checksum)
        save(latest, self._saved_at)
        self.saved = self._latest = latest

    def publish(self) -> None:
        """Give the part its name: all rows are in it."""
        self.part.replace(self.path)
        sync_folder(self.path)
        self.finished = True

    def settle(self) -> None:
        """Mark the checkpoint as that of a finished dump; the last step."""
        if self.saved and self.saved.length is None:
            self.saved = replace(self.saved, length=self._size(self.path))
            save(self.saved, self._saved_at, safe=False)  # the one before leads here again

    def forget(self) -> None:
        """Remove the checkpoint."""
        self._saved_at.unlink(missing_ok=True)

    def _found(self) -> tuple[Checkpoint | None, bool]:
        there, length = self._size(self.path), self._size(self.part)
        if self._overwrite and not self._resume:
            return None, False
        saved = load(self._saved_at) if self._saved_at.exists() else None
        if saved and saved.length is None:  # unfinished
            if not self._resume:
                raise FileExistsError(
                    f"{self.part} is an unfinished dump: go on with {option('resume')}, or throw it away with "
                    f"{option('overwrite')}"
                )
            renamed = saved.complete and not length and there is not None
            if renamed and self._measured(self.path) == (saved.offset, saved.checksum):
                return saved, True
            if length is None:
                raise self._lost(saved, "is missing")
            return saved, False
        if there is None or self._overwrite:
            return None, False
        advice = f"choose another name, or replace it with {option('overwrite')}"
        if not self._resume:
            raise FileExistsError(
                f"{self.path} exists already; choose another name or allow it with {option('overwrite')}"
            )
        if saved is None:
            raise FileExistsError(
                f"{self.path} is there, and no {self._saved_at.name} that says of which dump it is: {advice}"
            )
        if there != saved.length:
            raise CheckpointMismatchError(
                f"{self.path} has {there} bytes, and had {saved.length} when its dump was finished: {advice}",
                differences=(f"{self.path} had {saved.length} bytes and now has {there}",),
            )
        return saved, True

    def _check(self, saved: Checkpoint) -> None:
        count, checksum = self._measured(self.part, saved.offset)
        if count < saved.offset:
            raise self._lost(saved, f"has only {count} {self.unit}")
        if checksum != saved.checksum:
            raise CheckpointMismatchError(
                f"{self.part} was changed since its checkpoint was made: its checksum is wrong, so no row in it is "
                f"sure; put it back as it was, or begin anew with {option('overwrite')}",
                differences=(f"{self.part} had the CRC-32 {saved.checksum:08x} and now has {checksum:08x}",),
            )

    def _lost(self, saved: Checkpoint, found: str) -> CheckpointMismatchError:
        return CheckpointMismatchError(
            f"{self.part} {found}, and its checkpoint counts {saved.offset}: rows are lost; put it back, or begin anew "
            f"with {option('overwrite')}",
            differences=(f"{self.part} had {saved.offset} {self.unit} and now {found}",),
        )
