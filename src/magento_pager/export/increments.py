"""Increments: what a nightly run must remember, so that the next one asks for all that changed since, and hardly more.

What lives here: the state file, its lock, and the times in it. It does not know lists, outputs or servers: it is told
what is asked for, and what time it is by the server's own clock.

A state file holds for each list of a shop:

    last    begun   that is                     the next run asks for
    -----   -----   -------------------------   -------------------------------------------------------
    none    there   a first run on its way      all rows
    there   none    between two runs            what changed since `last`, and a little before
    there   there   a later run on its way      the same as the one before, and goes on where that stopped

`last` is when the last complete run *began*: what was changed while it went on may lie behind where it was. The little
before is for transactions that were on their way then. A run that is begun again keeps its first beginning. `last`
moves only once the output is safe: who is killed between the two reads the same changes again, and loses none.

A run holds a lock on FILE.lock, which stays. The system lifts it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magento_pager.errors import CheckpointMismatchError
from magento_pager.export.checkpoints import Fingerprint, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator

KIND, VERSION = "magento-pager state", 1
TIME = "{time}"
"""What in the name of an output stands for the time at which its run began."""
LATE = timedelta(minutes=10)
"""How much before the last run is read once more: what was begun then may have been committed after it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        begun: when it began, the first time, by the server's clock.
        since: rows that changed then or later are wanted; None for all.
        out: where they go; None for standard output.
        again: True where it was begun before, with the same output, and was not completed.
    """

    begun: datetime
    since: datetime | None
    out: str | None
    again: bool = False


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is remembered of one list.

    Attributes:
        asked: what was asked for; `since` is not part of it.
        last: when the last complete run began; None before there was one.
        begun: the run on its way, or that was stopped; None where there is none.
    """

    asked: Fingerprint
    last: datetime | None = None
    begun: Run | None = None


class State:
    """A state file, held by us alone.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        """Read it, if it is there; use `held` to have it for us alone.

        Raises:
            ValueError: it is no state file, or one that a newer version wrote.
        """
        self.path = path
        self._entries = _read(path)
        self._current: _Entry | None = None

    def plan(self, asked: Fingerprint, now: datetime, *, late: timedelta = LATE, out: str | None = None) -> Run:
        """The run to come, or the one to go on with. Nothing is written yet.

        Args:
            asked: what is asked for.
            now: the time by the server's clock, before anything was read.
            late: how much before the last run to read once more.
            out: where rows go, with `TIME` for the time at which the run began; None for standard output.

        Raises:
            CheckpointMismatchError: what is remembered of this list is of something else, or of a time to come.
        """
        asked = replace(asked, since="")
        entry = self._entry(asked)
        if differences := entry.asked.differences(asked):
            raise CheckpointMismatchError(
                f"{self.path} is of runs that asked for something else: {'; '.join(differences)}; ask for the same "
                "again, or begin anew with another --state",
                differences=differences,
            )
        before = entry.begun
        if before is None and entry.last is not None and now < entry.last - late:
            raise CheckpointMismatchError(
                f"{self.path}: the last run began at {iso(entry.last)} by the shop's clock, and there it is only "
                f"{iso(now)} now, so no time tells what changed since; dump all rows, with another --state"
            )
        if before is None:
            run = Run(now.replace(microsecond=0), entry.last - late if entry.last else None, None)
        else:
            run = before
        path = named(out, run.begun)
        run = replace(run, out=path, again=before is not None and before.out == path)
        self._current = replace(entry, begun=run)
        return run

    def begin(self) -> None:
        """Note that the run is on its way: its output is there to be written, and not one that was finished before.

        Raises:
            OSError: the file cannot be written.
        """
        if self._current is not None:
            self._write(self._current)

    def complete(self) -> None:
        """Note that all rows of the run are safe where they go.

        Raises:
            OSError: the file cannot be written; the next run is this one again.
        """
        if self._current is not None and self._current.begun is not None:
            self._write(replace(self._current, last=self._current.begun.begun, begun=None))

    def _entry(self, asked: Fingerprint) -> _Entry:
        known = (one for one in self._entries if (one.asked.shop, one.asked.entity) == (asked.shop, asked.entity))
        return next(known, _Entry(asked))

    def _write(self, entry: _Entry) -> None:
        key = entry.asked.shop, entry.asked.entity
        others = (one for one in self._entries if (one.asked.shop, one.asked.entity) != key)
        self._entries = (*others, entry)
        content = {"kind": KIND, "version": VERSION, "lists": list(map(_content, self._entries))}
        replace_file(self.path, json.dumps(content, indent=1, default=iso).encode() + b"\n")


@contextmanager
def held(path: str | Path) -> Iterator[State]:
    """A state file, and its lock until the block ends.

    Raises:
        BlockingIOError: another run holds it.
        ValueError: see `State`.
        OSError: its folder cannot be written.
    """
    path = Path(path)
    lock = path.with_name(path.name + ".lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"another run holds {lock}: it is still on its way; wait for it, or give each list a --state of its own"
            ) from None
        yield State(path)
    finally:
        os.close(descriptor)


def named(out: str | None, begun: datetime) -> str | None:
    """The path of an output, absolute, with the time at which its run began.

    >>> named("/exports/orders-{time}.ndjson", datetime(2024, 5, 1, 10, tzinfo=UTC)), named(None, datetime.now(UTC))
    ('/exports/orders-20240501T100000Z.ndjson', None)
    """
    stamp = f"{begun.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    return None if out is None else str(Path(out.replace(TIME, stamp)).absolute())


def iso(moment: datetime) -> str:
    """A moment as in RFC 3339, in UTC, to the second.

    >>> iso(datetime(2024, 5, 1, 10, tzinfo=UTC))
    '2024-05-01T10:00:00Z'
    """
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def _read(path: Path) -> tuple[_Entry, ...]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return ()
    except ValueError:
        content = None
    try:
        if (content["kind"], content["version"]) == (KIND, VERSION):
            return tuple(map(_entry, content["lists"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise ValueError(
        f"{path} is no state of this version of magento-pager, or a damaged one; begin anew with another --state, or "
        "move it away"
    )


def _entry(content: dict[str, Any]) -> _Entry:
    asked: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content["asked"].items()
    }
    begun = content["begun"]
    run = Run(datetime.fromisoformat(begun["begun"]), _moment(begun["since"]), begun["out"]) if begun else None
    return _Entry(Fingerprint(**asked), _moment(content["last"]), run)


def _content(entry: _Entry) -> dict[str, Any]:
    begun = entry.begun and {name: value for name, value in asdict(entry.begun).items() if name != "again"}
    return {"asked": asdict(entry.asked), "last": entry.last, "begun": begun}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
