"""A made-up list of coupons: the entries shown in docs/contributing.md, added to a copy of the sources."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import magento_pager

PACKAGE = Path(magento_pager.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "contributing.md"
BLOCK = re.compile(r'^```py title="src/(?P<file>[^":]+): (?P<name>\w+)"\n(?P<lines>.*?)^```$', re.MULTILINE | re.DOTALL)


def entries() -> dict[tuple[str, str], str]:
    """Return the lines of each entry on the page, by file and by the name of the collection to extend."""
    return {
        (block["file"], block["name"]): block["lines"] for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))
    }


def size(*, of: str = "") -> int:
    """Return the number of lines of the entries, in files whose path contains a text."""
    return sum(bool(line.strip()) for (file, _), text in entries().items() if of in file for line in text.splitlines())


def with_coupons(folder: Path, more: str = "") -> Path:
    """Copy the sources, and add each entry at the end of its collection; `more` are further lines of the `Listing`."""
    copy = folder / "src"
    shutil.copytree(PACKAGE, copy / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for (file, name), lines in entries().items():
        added = lines.removesuffix("    ),\n") + more.lstrip("\n") + "    ),\n" if name == "_LISTINGS" else lines
        path = copy / file
        path.write_text(_appended(path.read_text(encoding="utf-8"), name, added), encoding="utf-8")
    return copy


def _appended(source: str, name: str, added: str) -> str:
    """Return a module with lines added before the closing bracket of a collection."""
    (value,) = (
        statement.value
        for statement in ast.parse(source).body
        if isinstance(statement, ast.AnnAssign | ast.Assign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Name) and target.id == name and statement.value is not None
    )
    assert value.end_lineno is not None
    lines = source.splitlines(keepends=True)
    last = value.end_lineno - 1
    assert lines[last].strip() in {")", "]", "}"}, f"{name} does not end with a bracket on a line of its own"
    assert lines[last - 1].rstrip().endswith(",")
    return "".join([*lines[:last], added, *lines[last:]])
