"""Where a dump goes: which names it has, and in what order they come and go.

What lives here: what all outputs do, and FILE, FILE.part, FILE.checkpoint and the lock of those that are a file or a
folder. What is in them is known elsewhere: the rows to the sinks, the checkpoint to `checkpoints`; a database keeps all
of it in itself, see `sqlite`.

FILE.part takes the rows and FILE.checkpoint says how much of it counts. FILE itself appears in one step once all rows
are in it and safe, so an unfinished output is never mistaken for a finished one. At whatever moment a process is
killed, one of these is found:

    FILE.part   FILE.checkpoint   that is                     resuming
    ---------   ---------------   -------------------------   -----------------------------------
    none        none              not begun, or FILE is done  begins, or says that it is done
    there       none              before the first page       begins
    there       there             a walk on its way           cuts the part to the offset, goes on
    none        of the end        behind the renaming         removes the checkpoint

A folder takes the place of another in two steps, as no system does it in one: the old one is called FILE.part.old
between them, and FILE is not there. Resuming does the rest.

A dump holds a lock on its part. The system lifts it when the process ends, however it ends.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from magento_pager.errors import CheckpointMismatchError
from magento_pager.export.checkpoints import load, locked, refuse_changes, save, sync_folder
from magento_pager.export.parquet import FolderBody
from magento_pager.export.sinks import ENDINGS, TextSink, read_text
from magento_pager.export.sqlite import SqliteOutput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.export.checkpoints import Checkpoint
    from magento_pager.export.sinks import Format, Layout, Sink
    from magento_pager.walk.reading import Row


class Output(Protocol):
    """Where a dump goes. Making one only looks at what is there; `begin` is the first to change anything.

    In order: `begin`; for each page `keep`, once the sink took its rows; `publish` and, when all that follows a dump is
    done too, `settle`. `close` comes last, whatever happened before. A dump that ends early calls `flush` before it.

    Attributes:
        path: what appears in the end.
        part: where rows go until then.
        saved: the checkpoint to go on from, which is safe; None to begin anew.
        finished: True where nothing is left to be done but `settle`.
    """

    path: Path
    part: Path
    saved: Checkpoint | None
    finished: bool

    @property
    def names(self) -> tuple[Path, ...]:
        """All names that are taken."""

    @property
    def begun(self) -> bool:
        """True while the part is ours."""

    def begin(self, start: Checkpoint) -> tuple[Checkpoint, Sink]:
        """Take hold of the part, and cut it back to what counts.

        Args:
            start: the checkpoint of a dump that has not begun.

        Returns:
            The checkpoint to go on from, which is `start` where there is none, and the sink that takes the rows.

        Raises:
            CheckpointMismatchError: something else was asked for when the checkpoint was made.
            BlockingIOError: another dump is writing there.
            OSError: it cannot be written.
        """

    def keep(self, checkpoint: Checkpoint) -> None:
        """Make safe what was written, and the checkpoint that counts it; or wait for more, where that costs less.

        Raises:
            OSError: the disk did not take it; the checkpoint that was safe holds.
        """

    def flush(self) -> None:
        """Make safe what waits.

        Raises:
            OSError: see `keep`.
        """

    def publish(self) -> None:
        """Say that it is finished: all rows are in it."""

    def settle(self) -> None:
        """Forget the checkpoint; the last step."""

    def close(self) -> None:
        """Let go of the part, and remove it where nothing in it counts."""

    def tail(self, offset: int) -> Iterator[Row]:
        """The rows that were written from a position on."""


def format_of(path: str | Path) -> tuple[Format, bool]:
    """The format that the ending of a name stands for, and whether it is packed by gzip.

    >>> format_of("orders.csv.gz"), format_of("orders.ndjson"), format_of("shop.db")
    (('csv', True), ('ndjson', False), ('sqlite', False))
    """
    path = Path(path)
    packed = path.suffix.lower() == ".gz"
    ending = (path.with_suffix("") if packed else path).suffix.lower()
    return ENDINGS.get(ending, "ndjson"), packed


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
        FileExistsError: what is there may neither be gone on with nor be replaced.
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
        unit: of its measure.
    """

    unit: str

    def open(self, path: Path, create: int) -> int:
        """A descriptor of the part, to be locked."""

    def measure(self, path: Path) -> int | None:
        """How much there is, in the measure of the sink's position; None where there is nothing.

        Raises:
            ValueError: there is something else.
        """

    def cut(self, path: Path, descriptor: int, offset: int) -> Sink:
        """Throw away what is beyond an offset; the sink that goes on from there."""

    def move(self, part: Path, path: Path, old: Path) -> None:
        """Give a part its name; what has the name may be put aside for that, under another one."""

    def remove(self, path: Path) -> None:
        """Remove a part, if it is there."""

    def read(self, path: Path, offset: int) -> Iterator[Row]:
        """The rows that were written from an offset on."""


class TextBody:
    """One file of text."""

    unit = "bytes"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def open(self, path: Path, create: int) -> int:
        """Open the file."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | create, 0o666)

    def measure(self, path: Path) -> int | None:
        """Its bytes."""
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no regular file; leave --out away and redirect standard output")
        return path.stat().st_size if path.exists() else None

    def cut(self, path: Path, descriptor: int, offset: int) -> Sink:  # noqa: ARG002  the descriptor is enough
        """Truncate it."""
        os.ftruncate(descriptor, offset)
        os.lseek(descriptor, offset, os.SEEK_SET)
        return TextSink(descriptor, self._layout, offset)

    def move(self, part: Path, path: Path, old: Path) -> None:  # noqa: ARG002  no need to put anything aside
        """Rename it, over what has the name."""
        part.replace(path)

    def remove(self, path: Path) -> None:
        """Unlink it."""
        path.unlink(missing_ok=True)

    def read(self, path: Path, offset: int) -> Iterator[Row]:
        """Its lines."""
        return read_text(path, self._layout, offset)


class FileOutput:
    """A dump to a file or a folder. Making it only looks at what is there; `begin` is the first to change anything.

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

    def __init__(self, path: str | Path, layout: Layout, *, resume: bool = False, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.mark = self.path.with_name(self.path.name + ".checkpoint")
        self._old = self.path.with_name(self.path.name + ".part.old")
        self._body: Body = FolderBody(layout) if layout.format == "parquet" else TextBody(layout)
        self._resume = resume
        self._overwrite = overwrite
        self._descriptor: int | None = None
        self._sink: Sink | None = None
        self._latest: Checkpoint | None = None
        self.saved, self.finished = self._found()

    @property
    def names(self) -> tuple[Path, ...]:
        """All names that are taken."""
        return (self.path, self.part, self.mark, self._old)

    def begin(self, start: Checkpoint) -> tuple[Checkpoint, Sink]:
        """Take hold of the part, and cut it back to what counts."""
        before = self.saved
        self._descriptor = locked(self.part, self._body.open(self.part, 0 if before else os.O_CREAT))
        try:
            self.saved, self.finished = self._found()
            refuse_changes(self.path, before, self.saved, start, finished=self.finished)
            if self.saved is None:
                self.mark.unlink(missing_ok=True)  # first: a checkpoint without its part would be refused
                sync_folder(self.path)
            self._sink = self._body.cut(self.part, self._descriptor, self.saved.offset if self.saved else 0)
        except BaseException:
            self.close()
            raise
        return self.saved or start, self._sink

    @property
    def begun(self) -> bool:
        """True while the part is ours."""
        return self._descriptor is not None

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
        save(latest, self.mark)
        self.saved = latest

    def publish(self) -> None:
        """Give the file its name: all rows are in it."""
        self._body.move(self.part, self.path, self._old)
        sync_folder(self.path)
        self._body.remove(self._old)
        self.finished = True

    def settle(self) -> None:
        """Forget the checkpoint; the last step."""
        self._body.remove(self._old)  # a kill may have left it
        self.mark.unlink(missing_ok=True)  # another dump that resumed may have come first

    def close(self) -> None:
        """Let go of the part file, and remove it where nothing in it counts."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if self.saved is None:
                self._body.remove(self.part)
            os.close(descriptor)

    def tail(self, offset: int) -> Iterator[Row]:
        """The rows that are in the part from a position on."""
        return self._body.read(self.part, offset)

    def _found(self) -> tuple[Checkpoint | None, bool]:
        """The checkpoint to go on from, and whether nothing is left to be done."""
        there, size = self._body.measure(self.path), self._body.measure(self.part)
        if self.mark.exists() and self._resume:
            saved = load(self.mark)
            if saved.complete and not size and there == saved.offset:
                return saved, True
            if size is None or size < saved.offset:
                found = "is missing" if size is None else f"has only {size} {self._body.unit}"
                raise CheckpointMismatchError(
                    f"{self.part} {found}, and its checkpoint counts {saved.offset}: rows are lost; put it back, or "
                    "begin anew with --overwrite",
                    differences=(f"{self.part} had {saved.offset} {self._body.unit} and now {found}",),
                )
            return saved, False
        if self.mark.exists() and not self._overwrite:
            raise FileExistsError(
                f"{self.part} is an unfinished dump: go on with --resume, or throw it away with --overwrite"
            )
        if there is not None and not self._overwrite:
            if self._resume:
                return None, True
            raise FileExistsError(f"{self.path} exists already; choose another name or allow it with --overwrite")
        return None, False
