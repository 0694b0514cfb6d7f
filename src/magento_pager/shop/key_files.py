"""Files that hold a key or a password."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOOKED_AT = 65_536  # bytes


def read_key(path: Path) -> str:
    """Return the first line of a file without white space at its ends; UTF-8, or UTF-16 where it begins by saying so.

    Raises:
        ValueError: it is empty, or no text.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        found = stream.read(LOOKED_AT)
    encoding = "utf-16" if found.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
    try:
        line = found.decode(encoding).partition("\n")[0].strip()
    except UnicodeDecodeError:
        line = ""
    if not line.isprintable() or not line:
        raise ValueError(f"the first line of {path} is empty, or no text in UTF-8: a key is expected there")
    return line
