"""Files that contain a key or a password."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAX_READ = 65_536  # bytes


def read_key(path: Path) -> str:
    """Return the first line of a file, stripped; in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        ValueError: the line is empty, or not text.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(MAX_READ)
    encoding = "utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        line = content.decode(encoding).partition("\n")[0].strip()
    except UnicodeDecodeError:
        line = ""
    if not line.isprintable() or not line:
        raise ValueError(f"the first line of {path} must contain the key, but is empty or not text in UTF-8")
    return line
