"""Files: atomic changes that survive a power cut, locks, and checksums."""

from __future__ import annotations

import errno
import fcntl
import os
import zlib
from typing import TYPE_CHECKING

from magento_pager.errors import option

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PIECE = 1 << 20  # bytes of a file read at a time


def replace_file(path: Path, data: bytes | memoryview, *, safe: bool = True) -> None:
    """Replace the content of a file as a whole: write a new file next to it, sync it, and rename it.

    Unless `safe`, a power cut may undo the renaming. Where this raises OSError, the file is unchanged.
    """
    new = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    if safe:
        sync_folder(path)


def lock(path: Path, descriptor: int) -> int:
    """Lock a part for this process, and return its descriptor.

    Raises:
        BlockingIOError: another dump has locked it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking, another dump may have renamed or deleted it.
        owned = os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        owned = False
    except OSError:
        owned = True  # probably: the file system has no locks
    if not owned:
        os.close(descriptor)
        raise BlockingIOError(f"Another dump is writing {path}. Wait until it ends, or choose another {option('out')}.")
    return descriptor


def checksum_of(pieces: Iterable[bytes | memoryview], limit: int | None = None) -> tuple[int, int]:
    """Return the number of bytes, at most `limit`, and the CRC-32 of that many.

    >>> checksum_of([b"some ", b"rows"]), checksum_of([b"some rows"]), checksum_of([b"some ", b"rows"], 4)
    ((9, 2126180060), (9, 2126180060), (4, 4140751950))
    """
    length = checksum = 0
    for piece in pieces:
        counted = piece if limit is None else piece[: limit - length]
        checksum = zlib.crc32(counted, checksum)
        length += len(counted)
        if length == limit:
            break
    return length, checksum


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield the content of a file, one piece in memory at a time."""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all bytes, with as many system calls as needed."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(path: Path) -> None:
    """Sync the folder of a file: only then does a rename survive a power cut."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network file systems cannot do this
            raise
    finally:
        os.close(descriptor)
