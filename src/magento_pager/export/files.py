"""Files: all of a change or none of it, safe from a power cut, and ours alone while we hold a lock."""

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

PIECE = 1 << 20  # bytes of a file that are read at a time


def replace_file(path: Path, data: bytes | memoryview, *, safe: bool = True) -> None:
    """Give a file new content, all of it or none: written beside it, made safe, and renamed.

    Unless `safe`, a power cut may undo the renaming. Where this fails with an OSError, the file is as it was.
    """
    beside = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if safe:
        sync_folder(path)


def locked(path: Path, descriptor: int) -> int:
    """Return the descriptor of a part, which is ours alone now.

    Raises:
        BlockingIOError: another dump has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between opening and locking it may have been given its name, or removed.
        alone = os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        alone = False
    except OSError:
        alone = True  # as far as can be known: a file system without locks
    if not alone:
        os.close(descriptor)
        raise BlockingIOError(f"another dump is writing {path}; wait for it, or choose another {option('out')}")
    return descriptor


def checksum_of(pieces: Iterable[bytes | memoryview], most: int | None = None) -> tuple[int, int]:
    """Return how many bytes there are, at most so many of them, and the CRC-32 of those.

    >>> checksum_of([b"some ", b"rows"]), checksum_of([b"some rows"]), checksum_of([b"some ", b"rows"], 4)
    ((9, 2126180060), (9, 2126180060), (4, 4140751950))
    """
    length = checksum = 0
    for piece in pieces:
        counted = piece if most is None else piece[: most - length]
        checksum = zlib.crc32(counted, checksum)
        length += len(counted)
        if length == most:
            break
    return length, checksum


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield the bytes of a file, a piece in memory at a time."""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write every byte, in as many steps as it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(path: Path) -> None:
    """Make the names in a file's folder safe: a rename is not before that."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network file systems know no such thing
            raise
    finally:
        os.close(descriptor)
