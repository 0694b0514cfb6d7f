"""Where a dump goes: which names it has, and in what order they come and go.

What lives here: what all outputs do, and FILE, FILE.part, FILE.checkpoint and the lock of those that are a file or a
folder. What is in them is known elsewhere: the rows to the sinks, the checkpoint to `checkpoints`; a database keeps all
of it in itself, see `sqlite`.

FILE.part takes the rows and FILE.checkpoint says how much of it counts. FILE itself appears in one step once all rows
are in it and safe, so an unfinished output is never mistaken for a finished one. The checkpoint stays beside it, marked
as finished: it says of which dump FILE is. At whatever moment a process is killed, one of these is found:

    FILE    FILE.part   FILE.checkpoint   that is                         resuming
    -----   ---------   ---------------   -----------------------------   -----------------------------------
    none    any         none              before the first page           begins
    there   any         none              nobody knows of which dump      refuses
    any     there       unfinished        a walk on its way               cuts the part to the offset, goes on
    there   none        of the end        behind the renaming             does the rest
    there   any         finished          done; a part is of a dump       says so, if the same is asked for and
                                          before its first page           FILE has its length, or refuses
    none    any         finished          done, and FILE taken away       begins

With `overwrite` what is finished is replaced; its checkpoint holds until the first page of the new dump is safe.

A folder takes the place of another in two steps, as no system does it in one: the old one is called FILE.part.old
between them, and FILE is not there. Resuming does the rest. Packed text has FILE.part.tail, see `packed`.

A dump holds a lock on its part. The system lifts it when the process ends, however it ends.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from magento_pager.errors import CheckpointMismatchError
from magento_pager.export.checkpoints import load, refuse_changes, save
from magento_pager.export.files import locked, sync_folder
from magento_pager.export.packed import PackedBody
from magento_pager.export.parquet import FolderBody
from magento_pager.export.sinks import Output, TextBody
from magento_pager.export.sqlite import SqliteOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.export.sinks import FileSink, Layout
    from magento_pager.walk.reading import Row
    from magento_pager.walk.walking import Misfit


def open_output(
    path: str | Path, layout: Layout, *, resume: bool = False, overwrite: bool = False, into_existing: bool = False
) -> Output:
    """The output of that name, looked at and not yet touched.

    Args:
        path: the file, or the folder.
        layout: what is asked for.
        resume: go on with what is unfinished.
        overwrite: replace what is finished, and, without `resume`, what is unfinished.
        into_existing: add to a finished table and leave it finished: rows that are in it already are replaced, by
            their id. For increments; SQLite only, see `SqliteOutput`.

    Raises:
        ValueError: what is there is something else, or the format needs a package that is missing.
        FileExistsError: what is there may neither be resumed nor be replaced.
        CheckpointMismatchError: the checkpoint is damaged, or the part is not what it says.
    """
    if layout.format == "sqlite":
        return SqliteOutput(path, layout, resume=resume, overwrite=overwrite, into_existing=into_existing)
    if into_existing:
        raise ValueError(f"rows can be put into a finished table of SQLite, and not into {layout.name}")
    return FileOutput(path, layout, resume=resume, overwrite=overwrite)


class Body(Protocol):
    """What is in a part, which is one file or a folder of them.

    Attributes:
        unit: of the sink's position.
    """

    unit: str

    def open(self, path: Path, create: int) -> int:
        """A descriptor of the part, to be locked."""

    def length(self, path: Path) -> int | None:
        """Its bytes on disk; None where there is nothing.

        Raises:
            ValueError: there is something else.
        """

    def checksum(self, path: Path, offset: int | None = None) -> tuple[int, int]:
        """How much there is, at most up to an offset, and the CRC-32 of that."""

    def cut(self, path: Path, descriptor: int, offset: int, checksum: int) -> FileSink:
        """Throw away what is beyond an offset, whose `checksum` was asked for; the sink that goes on from there."""

    def move(self, part: Path, path: Path) -> None:
        """Give a part its name; what has the name may be put aside for that."""

    def tidy(self, part: Path) -> None:
        """Remove what is left beside a part that was given its name."""

    def remove(self, path: Path) -> None:
        """Remove a part, if it is there."""

    def read(self, path: Path, offset: int) -> Iterator[Row]:
        """The rows that were written from an offset on."""


def _body(layout: Layout) -> Body:
    if layout.format == "parquet":
        return FolderBody(layout)
    return PackedBody(layout) if layout.packed else TextBody(layout)


class FileOutput(Output):
    """A dump to a file or a folder. Making it only looks at what is there; `begin` is the first to change anything.

    Attributes:
        path: the file that appears in the end.
        part: where rows go until then.
        mark: the checkpoint's file.
        saved: the checkpoint to go on from; None to begin anew.
        finished: True where nothing is left to be done but `settle`.

    Raises:
        ValueError: what is there is no regular file.
        FileExistsError: what is there may neither be resumed nor be replaced.
        CheckpointMismatchError: the checkpoint is damaged, or FILE.part is not what it says.
    """

    def __init__(self, path: str | Path, layout: Layout, *, resume: bool = False, overwrite: bool = False) -> None:
        self.path: Path = Path(path)
        self.part: Path = self.path.with_name(self.path.name + ".part")
        self.mark = self.path.with_name(self.path.name + ".checkpoint")
        self._body = _body(layout)
        self._resume = resume
        self._overwrite = overwrite
        self._descriptor: int | None = None
        self._sink: FileSink | None = None
        self._latest: Checkpoint | None = None
        self.saved, self.finished = self._found()
        if self.saved and not self.finished:
            self._check(self.saved)

    @property
    def names(self) -> tuple[Path, ...]:
        """All names that are taken."""
        beside = (self.part.with_name(self.part.name + ending) for ending in (".old", ".tail"))
        return (self.path, self.part, self.mark, *beside)

    def begin(self, start: Checkpoint) -> Checkpoint:
        """Take hold of the part, and cut it back to what counts."""
        before = self.saved
        self._descriptor = locked(self.part, self._body.open(self.part, 0 if before else os.O_CREAT))
        try:
            self.saved, self.finished = self._found()
            refuse_changes(self.path, before, self.saved, start)
            if self.saved is None and not self._is_of_a_finished_one():
                self.mark.unlink(missing_ok=True)  # first: a checkpoint without its part would be refused
                sync_folder(self.path)
            counted = (self.saved.offset, self.saved.checksum) if self.saved else (0, 0)
            self._sink = self._body.cut(self.part, self._descriptor, *counted)
        except BaseException:
            self.close()
            raise
        self.position = self._sink.position
        return self.saved or start

    def write(self, rows: Sequence[Row]) -> Sequence[Misfit]:
        """Take the rows of one page."""
        if self._sink is None:
            raise ValueError(f"{self.part} is not open")
        misfits = self._sink.write(rows)
        self.position = self._sink.position
        return misfits

    def keep(self, checkpoint: Checkpoint) -> None:
        """Make safe what was written, and then the checkpoint that counts it; or wait for more."""
        if self._sink is None:
            raise ValueError(f"{self.part} is not open")
        self._latest = checkpoint
        if checkpoint.complete or not self._sink.waiting:
            self.flush()

    def flush(self) -> None:
        """Make safe what waits."""
        latest = self._latest
        if self._sink is None or latest is None or latest is self.saved:
            return
        if self.saved is None or latest.offset != self.saved.offset:
            self._sink.sync()
        latest = replace(latest, checksum=self._sink.checksum)
        save(latest, self.mark)
        self.saved = self._latest = latest

    def publish(self) -> None:
        """Give the file its name: all rows are in it."""
        if self._sink is None:
            raise ValueError(f"{self.part} is not open")
        self._sink.finish()
        self._body.move(self.part, self.path)
        sync_folder(self.path)
        self._body.tidy(self.part)
        self.finished = True

    def settle(self) -> None:
        """Mark the checkpoint as that of a finished dump; the last step."""
        self._body.tidy(self.part)  # a kill may have left something
        if self.saved and self.saved.length is None:
            self.saved = replace(self.saved, length=self._body.length(self.path))
            save(self.saved, self.mark, safe=False)  # the one before leads here again

    def forget(self) -> None:
        """Remove the checkpoint."""
        self.mark.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the part file, and remove it where nothing in it counts."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if self.saved is None and (self._sink or not self._body.length(self.part)):
                self._body.remove(self.part)
            os.close(descriptor)

    def tail(self, offset: int) -> Iterator[Row]:
        """The rows that are in the part from a position on."""
        return self._body.read(self.part, offset)

    def _found(self) -> tuple[Checkpoint | None, bool]:
        """The checkpoint to go on from, or of what is finished, and whether it is."""
        there, length = self._body.length(self.path), self._body.length(self.part)
        if self._overwrite and not self._resume:
            return None, False
        saved = load(self.mark) if self.mark.exists() else None
        if saved and saved.length is None:  # unfinished
            if not self._resume:
                raise FileExistsError(
                    f"{self.part} is an unfinished dump: go on with --resume, or throw it away with --overwrite"
                )
            renamed = saved.complete and not length and there is not None
            if renamed and self._body.checksum(self.path) == (saved.offset, saved.checksum):
                return saved, True
            if length is None:
                raise self._lost(saved, "is missing")
            return saved, False
        if there is None or self._overwrite:
            return None, False
        if not self._resume:
            raise FileExistsError(f"{self.path} exists already; choose another name or allow it with --overwrite")
        if saved is None:
            raise FileExistsError(
                f"{self.path} is there, and no {self.mark.name} that says of which dump it is: choose another name, or "
                "replace it with --overwrite"
            )
        if there != saved.length:
            raise CheckpointMismatchError(
                f"{self.path} has {there} bytes, and had {saved.length} when its dump was finished: choose another "
                "name, or replace it with --overwrite",
                differences=(f"{self.path} had {saved.length} bytes and now has {there}",),
            )
        return saved, True

    def _check(self, saved: Checkpoint) -> None:
        """Refuse a part that is not what its checkpoint counts, or no longer."""
        count, checksum = self._body.checksum(self.part, saved.offset)
        if count < saved.offset:
            raise self._lost(saved, f"has only {count} {self._body.unit}")
        if checksum != saved.checksum:
            raise CheckpointMismatchError(
                f"{self.part} was changed since its checkpoint was made: its checksum is wrong, so no row in it is "
                "sure; put it back as it was, or begin anew with --overwrite",
                differences=(f"{self.part} had the CRC-32 {saved.checksum:08x} and now has {checksum:08x}",),
            )

    def _lost(self, saved: Checkpoint, found: str) -> CheckpointMismatchError:
        return CheckpointMismatchError(
            f"{self.part} {found}, and its checkpoint counts {saved.offset}: rows are lost; put it back, or begin anew "
            "with --overwrite",
            differences=(f"{self.part} had {saved.offset} {self._body.unit} and now {found}",),
        )

    def _is_of_a_finished_one(self) -> bool:
        """Whether the checkpoint is that of a finished output, which it describes until a page of a new one is safe."""
        try:
            return self.mark.exists() and load(self.mark).length is not None
        except CheckpointMismatchError:
            return False
