"""Options of the library: a wrong one is an error at run time, and an editor shows it before that."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from inspect import Parameter, signature
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from conftest import missing

import magento_pager
from magento_pager import STRATEGIES, ListName, Pager, Paginator
from magento_pager.lists import LISTS
from magento_pager.shop.wires import WIRES

NOBODY: Any = None
"""A connection that is never used: no shop is called before the first row is read."""


@pytest.mark.parametrize("name", LISTS)
def test_an_unknown_option_is_refused(name: ListName) -> None:
    """Otherwise the option would be ignored, and all rows returned."""
    calls: list[tuple[Any, list[str]]] = [(Pager.list, [name]), (getattr(Pager, name), [])]
    misspelled = ("updated_sinse", "Window", "since", "filters", "entity", "candidates", "key")
    for (method, arguments), option in product(calls, misspelled):
        with pytest.raises(TypeError, match=option):
            method(Pager(NOBODY), *arguments, **{option: None})


def test_options_are_keyword_only() -> None:
    """Nobody must guess what `orders(50)` means."""
    with pytest.raises(TypeError, match="positional"):
        Pager(NOBODY).orders(50)  # type: ignore[call-arg]  # the point


@pytest.mark.parametrize("name", LISTS)
def test_every_list_shows_the_same_options(name: ListName) -> None:
    """In `help`, IPython and editors: each by name, with its type and its default."""
    self, entity, *options = signature(Pager.list).parameters.values()
    assert entity.name == "entity"
    assert list(signature(getattr(Pager, name)).parameters.values()) == [self, *options]
    assert {option.kind for option in options} == {Parameter.KEYWORD_ONLY}
    assert all(option.annotation is not Parameter.empty and option.default is not Parameter.empty for option in options)
    assert "updated_since" in {option.name for option in options}


def test_connect_and_paginator_refuse_unknown_options() -> None:
    """Unknown options raise TypeError before any shop is called."""
    with pytest.raises(TypeError, match="retries"):
        magento_pager.connect("http://localhost/", "me", "key", retries=3)  # type: ignore[call-arg]  # the point
    with pytest.raises(TypeError, match="updated_since"):
        Paginator(NOBODY, None, "id", updated_since=None)  # type: ignore[call-arg]  # the point


@pytest.mark.parametrize("since", ["2024-05-01", "2h", 5, True])
def test_updated_since_that_is_not_a_datetime_is_refused(since: Any) -> None:
    """The message says that it must be an aware datetime."""
    with pytest.raises(TypeError, match="aware datetime"):
        Pager(NOBODY).orders(updated_since=since)


def test_literal_types_name_all_lists_and_strategies() -> None:
    """The types of names agree with the tables of lists and strategies."""
    assert get_args(ListName) == tuple(LISTS)
    assert ("auto", *(strategy.name for strategy in WIRES["soap"].strategies(LISTS["orders"]))) == STRATEGIES


WRONG = {
    "pager.orders(updated_sinse=None)": '"updated_sinse"',
    'pager.orders(strategy="fast")': '"strategy"',
    'pager.products(window="ten")': '"window"',
    'pager.list("quotes")': "incompatible type",
    "pager.customers(50)": "positional",
}


@pytest.mark.slow
def test_a_type_checker_reports_wrong_options(tmp_path: Path) -> None:
    """It reports each wrong call, and accepts a right one."""
    if find_spec("mypy") is None:
        missing("mypy is not installed")
    valid = 'pager.shipments(window=10, strategy="range", updated_since=None, typed=True).partitions(4)'
    lines = ["from magento_pager import Pager", "def walk(pager: Pager) -> None:", f"    {valid}"]
    path = tmp_path / "walk.py"
    path.write_text("\n".join([*lines, *(f"    {call}" for call in WRONG)]) + "\n")
    mypy = [
        sys.executable,
        "-m",
        "mypy",
        "--follow-imports=silent",
        "--config-file=",
        f"--cache-dir={tmp_path}",
        str(path),
    ]
    source = Path(magento_pager.__file__).parents[1]
    completed = subprocess.run(mypy, capture_output=True, text=True, check=False, env={"MYPYPATH": str(source)})  # noqa: S603
    errors = [line for line in completed.stdout.splitlines() if ": error: " in line]
    assert len(errors) == len(WRONG), completed.stdout + completed.stderr
    for number, (error, message) in enumerate(zip(errors, WRONG.values(), strict=True), len(lines) + 1):
        assert f"walk.py:{number}: error: " in error
        assert message in error
