"""A dump to a file: which names it has, and in what order they come and go.

What lives here: FILE, FILE.part, FILE.checkpoint and the lock. What is in them is known elsewhere: the rows to the
sink, the checkpoint to `checkpoints`.

FILE.part takes the rows and FILE.checkpoint says how much of it counts. FILE itself appears in one step once all rows
are in it and safe, so an unfinished output is never mistaken for a finished one. At whatever moment a process is
killed, one of these is found:

    FILE.part   FILE.checkpoint   that is                     resuming
    ---------   ---------------   -------------------------   -----------------------------------
    none        none              not begun, or FILE is done  begins, or says that it is done
    there       none              before the first page       begins
    there       there             a walk on its way           cuts the part to the offset, goes on
    none        of the end        behind the renaming         removes the checkpoint

A dump holds a lock on its part file. The system lifts it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from magento_pager.errors import CheckpointMismatchError
from magento_pager.export.checkpoints import load, save, sync_folder
from magento_pager.export.sinks import NdjsonSink, read_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.walk.reading import Row


class FileOutput:
    """The files of one dump. Making it only looks at what is there; `begin` is the first to change anything.

    Attributes:
        path: the file that appears in the end.
        part: where rows go until then.
        mark: the checkpoint's file.
        saved: the checkpoint to go on from; None to begin anew.
        finished: True where nothing is left to be done but `settle`.

    Raises:
        ValueError: what is there is no regular file.
        FileExistsError: what is there may neither be gone on with nor be replaced.
        CheckpointMismatchError: the checkpoint is damaged, or FILE.part is not what it says.
    """

    def __init__(self, path: str | Path, *, resume: bool = False, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.mark = self.path.with_name(self.path.name + ".checkpoint")
        self._resume = resume
        self._overwrite = overwrite
        self._descriptor: int | None = None
        self.saved, self.finished = self._found()

    def begin(self, start: Checkpoint) -> tuple[Checkpoint, NdjsonSink]:
        """Take hold of the part file, and cut it back to what counts.

        Args:
            start: the checkpoint of a dump that has not begun.

        Returns:
            The checkpoint to go on from, which is `start` where there is none, and the sink that takes the rows.

        Raises:
            CheckpointMismatchError: something else was asked for when the checkpoint was made.
            BlockingIOError: another dump is writing this file.
            OSError: the file cannot be written.
        """
        going_on = self.saved is not None
        self._descriptor = self._locked(0 if going_on else os.O_CREAT)
        try:
            self.saved, self.finished = self._found()
            self._check(start, going_on=going_on)
            if self.saved is None:
                self.mark.unlink(missing_ok=True)  # first: a checkpoint without its part would be refused
                sync_folder(self.path)
            offset = self.saved.offset if self.saved else 0
            os.ftruncate(self._descriptor, offset)
            os.lseek(self._descriptor, offset, os.SEEK_SET)
        except BaseException:
            self.close()
            raise
        return self.saved or start, NdjsonSink(self._descriptor, offset)

    @property
    def begun(self) -> bool:
        """True while the part file is ours."""
        return self._descriptor is not None

    def keep(self, checkpoint: Checkpoint) -> None:
        """Make safe what was written, and then the checkpoint that counts it.

        Raises:
            OSError: the disk did not take it; the checkpoint before this one holds.
        """
        if self._descriptor is None:
            raise ValueError(f"{self.part} is not open")
        if self.saved is None or checkpoint.offset != self.saved.offset:
            os.fsync(self._descriptor)
        save(checkpoint, self.mark)
        self.saved = checkpoint

    def publish(self) -> None:
        """Give the file its name: all rows are in it."""
        self.part.replace(self.path)
        sync_folder(self.path)
        self.finished = True

    def settle(self) -> None:
        """Forget the checkpoint; the last step."""
        self.mark.unlink(missing_ok=True)  # another dump that resumed may have come first

    def close(self) -> None:
        """Let go of the part file, and remove it where nothing in it counts."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if self.saved is None:
                self.part.unlink(missing_ok=True)
            os.close(descriptor)

    def tail(self, offset: int) -> Iterator[Row]:
        """The rows that are in the part file from an offset on."""
        return read_back(self.part, offset)

    def _found(self) -> tuple[Checkpoint | None, bool]:
        """The checkpoint to go on from, and whether nothing is left to be done."""
        there = self.path.exists()
        for one in (self.path, self.part):
            if one.exists() and not one.is_file():
                raise ValueError(f"{one} is no regular file; leave --out away and redirect standard output")
        if self.mark.exists() and self._resume:
            saved = load(self.mark)
            size = self.part.stat().st_size if self.part.exists() else None
            if saved.complete and there and not size and self.path.stat().st_size == saved.offset:
                return saved, True
            if size is None or size < saved.offset:
                found = "is missing" if size is None else f"has only {size} bytes"
                raise CheckpointMismatchError(
                    f"{self.part} {found}, and its checkpoint counts {saved.offset}: rows are lost; put the file back, "
                    "or begin anew with --overwrite",
                    differences=(f"{self.part} had {saved.offset} bytes and now {found}",),
                )
            return saved, False
        if self.mark.exists() and not self._overwrite:
            raise FileExistsError(
                f"{self.part} is an unfinished dump: go on with --resume, or throw it away with --overwrite"
            )
        if there and not self._overwrite:
            if self._resume:
                return None, True
            raise FileExistsError(f"{self.path} exists already; choose another name or allow it with --overwrite")
        return None, False

    def _check(self, start: Checkpoint, *, going_on: bool) -> None:
        """Refuse what is not as it was before the lock, and a checkpoint of something else."""
        if self.finished or going_on is not (self.saved is not None):
            raise BlockingIOError(f"another dump has just been at {self.path}; try again")
        if self.saved and (differences := self.saved.fingerprint.differences(start.fingerprint)):
            raise CheckpointMismatchError(
                f"{self.mark} is of a dump that asked for something else: {'; '.join(differences)}; ask for the "
                "same again, or begin anew with --overwrite",
                differences=differences,
            )

    def _locked(self, create: int) -> int:
        """The part file, opened, for us alone."""
        descriptor = os.open(self.part, os.O_RDWR | os.O_CLOEXEC | create, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking it may have been given its name, or removed.
            alone = os.path.samestat(os.fstat(descriptor), self.part.stat())
        except (BlockingIOError, FileNotFoundError):
            alone = False
        except OSError:
            alone = True  # as far as can be known: a file system without locks
        if not alone:
            os.close(descriptor)
            raise BlockingIOError(f"another dump is writing {self.part}; wait for it, or choose another --out")
        return descriptor
