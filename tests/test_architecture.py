"""Who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = Path(__file__).parents[1] / "src" / "magento_pager"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for path in MODULES}
WALK_ORDER = [
    "names",
    "ranges",
    "regexps",
    "conditions",
    "strategies",
    "windows",
    "limiter",
    "pages",
    "flows",
    "reading",
    "recovery",
    "sampling",
    "estimating",
    "where_check",
    "gaps",
    "isolation",
    "evidence",
    "trials",
    "checks",
    "work",
    "walk",
    "added",
    "duplicates",
    "ahead",
    "calls",
    "condition_forms",
    "changes",
    "increment",
    "bounds",
    "planning",
    "partitions",
    "paginator",
]


def imports(path: Path, *, typed: bool = False) -> set[str]:
    """Return the modules that a file imports when it runs; with `typed`, also those that only type checkers see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and isinstance(branch.test, ast.Name) and branch.test.id == "TYPE_CHECKING"
        for node in ast.walk(branch)
        if not typed
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in checked:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if names <= NAMES else names | {node.module or ""}
    return found


def name_of(path: Path) -> str:
    """Return a file's place in the package, such as walk.ranges."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def ours(path: Path, *, typed: bool = False) -> set[str]:
    """Return the places in the package that a file imports, such as walk.ranges."""
    return {one.removeprefix("magento_pager.") for one in imports(path, typed=typed) & NAMES}


def room(place: str) -> str:
    """Return the first part of a place."""
    return place.partition(".")[0]


def circles(graph: Mapping[str, set[str]]) -> set[str]:
    """Return the modules that are part of a circle of imports, or between two.

    >>> sorted(circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}))
    ['b', 'c']
    """
    left = set(graph)
    while free := {one for one in left if not graph[one] & left or not any(one in graph[another] for another in left)}:
        left -= free
    return left


def test_no_imports_form_a_circle() -> None:
    """Each module can be understood after those it imports, for type checkers as well."""
    graph = {name_of(path): ours(path, typed=True) for path in MODULES}
    assert circles(graph) == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_its_neighbours(path: Path) -> None:
    """The walk knows no network and no files, shop and export not each other, and the fake none of them."""
    allowed = {
        "lists": set(),
        "walk": {"walk", "errors", "lists"},
        "shop": {"walk", "shop", "errors", "lists"},
        "export": {"walk", "export", "errors", "lists"},
        "services": {"walk", "services", "errors", "lists"},
        "fake": {"fake"},
        "errors": set(),
    }
    mine = room(name_of(path))
    for place in ours(path):
        assert room(place) in allowed.get(mine, {room(place)}), f"{name_of(path)} imports {place}"


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path).startswith("walk.")], ids=name_of)
def test_the_walk_is_layered(path: Path) -> None:
    """Inside the walk a module imports only those before it."""
    before = WALK_ORDER[: WALK_ORDER.index(path.stem)] if path.stem in WALK_ORDER else []
    for place in ours(path):
        if room(place) == "walk":
            assert place.partition(".")[2].partition(".")[0] in before, f"{path.stem} imports {place}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_wsdl_imports_zeep(path: Path) -> None:
    """One module knows it for shops, and one for other services."""
    if name_of(path) not in {"shop.wsdl", "services.calling"}:
        assert not any(one == "zeep" or one.startswith("zeep.") for one in imports(path))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_fleet_imports_spark(path: Path) -> None:
    """An extra that takes hundreds of megabytes is one folder's affair, and nothing imports that folder."""
    if room(name_of(path)) != "spark":
        tops = {".".join(one.split(".")[:2]) for one in imports(path)}
        assert not any(one.split(".")[0] == "pyspark" or one == "magento_pager.spark" for one in tops)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_imports_the_command_line(path: Path) -> None:
    """The command line is on top."""
    if room(name_of(path)) not in {"cli", "__main__"}:
        assert "magento_pager.cli" not in {".".join(one.split(".")[:2]) for one in imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_opens_with_what_it_is_for(path: Path) -> None:
    """Each module has a docstring and stays readable in one sitting."""
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 760, "make a folder of that name"


LONGEST_MODULE, LONGEST_FUNCTION, MOST_PARAMETERS = 500, 60, 8
LONG_MODULES = {
    "shop.decoding",
    "walk.regexps",
}
"""Modules that may be longer: regexps and decoding for good, the others until they are rebuilt."""


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_newcomer_can_read_it(path: Path) -> None:
    """A function fits on a screen and takes few parameters that are no keywords; a module is read in one sitting."""
    text = path.read_text(encoding="utf-8")
    assert (len(text.splitlines()) > LONGEST_MODULE) == (name_of(path) in LONG_MODULES)
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef):
            first = function.body[1] if ast.get_docstring(function) and len(function.body) > 1 else function.body[0]
            assert (function.end_lineno or 0) - first.lineno < LONGEST_FUNCTION, function.name
            assert len(function.args.posonlyargs + function.args.args) <= MOST_PARAMETERS + 1, function.name


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_private_names_stay_at_home(path: Path) -> None:
    """What begins with an underscore is no other module's affair."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("magento_pager"):
            assert not [one.name for one in node.names if one.name.startswith("_")]
