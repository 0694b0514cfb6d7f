"""The options of the library: a wrong one is an error at run time, and before that in an editor."""

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
"""A connection that is never used: no shop is asked before the first row is wanted."""


@pytest.mark.parametrize("name", LISTS)
def test_an_unknown_option_is_refused(name: ListName) -> None:
    """It would be ignored otherwise, and the list come whole."""
    calls: list[tuple[Any, list[str]]] = [(Pager.list, [name]), (getattr(Pager, name), [])]
    misspelled = ("updated_sinse", "Window", "since", "filters", "entity", "candidates", "key")
    for (method, arguments), wrong in product(calls, misspelled):
        with pytest.raises(TypeError, match=wrong):
            method(Pager(NOBODY), *arguments, **{wrong: None})


def test_options_go_by_name_alone() -> None:
    """What 50 means is not for the reader to guess."""
    with pytest.raises(TypeError, match="positional"):
        Pager(NOBODY).orders(50)  # type: ignore[call-arg]  # the point


@pytest.mark.parametrize("name", LISTS)
def test_every_list_shows_the_same_options(name: ListName) -> None:
    """To `help`, to IPython, to an editor: by name, each with its type and its default."""
    itself, entity, *options = signature(Pager.list).parameters.values()
    assert entity.name == "entity"
    assert list(signature(getattr(Pager, name)).parameters.values()) == [itself, *options]
    assert {one.kind for one in options} == {Parameter.KEYWORD_ONLY}
    assert all(one.annotation is not Parameter.empty and one.default is not Parameter.empty for one in options)
    assert "updated_since" in {one.name for one in options}


def test_connect_and_paginator_refuse_unknown_options() -> None:
    """Before any shop is called."""
    with pytest.raises(TypeError, match="retries"):
        magento_pager.connect("http://localhost/", "me", "key", retries=3)  # type: ignore[call-arg]  # the point
    with pytest.raises(TypeError, match="updated_since"):
        Paginator(NOBODY, None, "id", updated_since=None)  # type: ignore[call-arg]  # the point


@pytest.mark.parametrize("since", ["2024-05-01", "2h", 5, True])
def test_a_time_that_is_none_is_refused(since: Any) -> None:
    """It is a datetime, and the message says so."""
    with pytest.raises(TypeError, match="aware datetime"):
        Pager(NOBODY).orders(updated_since=since)


def test_names_are_those_of_what_there_is() -> None:
    """They stand in one place, as types, and everything else is held against it."""
    assert get_args(ListName) == tuple(LISTS)
    assert ("auto", *(one.name for one in WIRES["soap"].strategies(LISTS["orders"]))) == STRATEGIES


WRONG = {
    "pager.orders(updated_sinse=None)": '"updated_sinse"',
    'pager.orders(strategy="fast")': '"strategy"',
    'pager.products(window="ten")': '"window"',
    'pager.list("quotes")': "incompatible type",
    "pager.customers(50)": "positional",
}


@pytest.mark.slow
def test_a_type_checker_sees_a_wrong_option(tmp_path: Path) -> None:
    """In an editor, before anything is run; and what is right passes."""
    if find_spec("mypy") is None:
        missing("mypy is not installed")
    right = 'pager.shipments(window=10, strategy="range", updated_since=None, typed=True).partitions(4)'
    lines = ["from magento_pager import Pager", "def walk(pager: Pager) -> None:", f"    {right}"]
    path = tmp_path / "walk.py"
    path.write_text("\n".join([*lines, *(f"    {one}" for one in WRONG)]) + "\n")
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
    done = subprocess.run(mypy, capture_output=True, text=True, check=False, env={"MYPYPATH": str(source)})  # noqa: S603
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == len(WRONG), done.stdout + done.stderr
    for number, (error, words) in enumerate(zip(errors, WRONG.values(), strict=True), len(lines) + 1):
        assert f"walk.py:{number}: error: " in error
        assert words in error
