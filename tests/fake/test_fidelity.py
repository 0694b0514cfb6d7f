"""The embedded shop gives the answers of a live server: the ids or the fault code of every recorded query."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
from benchmarks.fidelity import (
    PARSERS,
    RECORDED,
    SAMPLES,
    Line,
    Recorded,
    XmlRpcLine,
    answer,
    fractions,
    increment_ids,
    main,
    read_lines,
    recorded_shop,
)
from conftest import slow

from magento_pager.fake.profiles import profile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from magento_pager.fake.database.sqlite import Database

needs_recordings = pytest.mark.usefixtures("samples")

GROUPS = [
    (parser, flavour, name)
    for parser, version in PARSERS.items()
    for flavour in (*profile(version).flavours, "xmlrpc")
    for name in profile(version).lists
    if (parser, flavour, name) != ("1620", "rpc", "creditmemos")  # their old code was missing on the live server
]


@cache
def recorded() -> Mapping[tuple[str, str, str], list[Recorded]]:
    """Return the recorded lines by group."""
    by_group: defaultdict[tuple[str, str, str], list[Recorded]] = defaultdict(list)
    for line in (line for name in RECORDED for line in read_lines(SAMPLES / name)):
        by_group[line.group].append(line)
    return by_group


@pytest.fixture(scope="module")
def shop() -> Iterator[Database]:
    """Return a database with the rows of the live server."""
    with recorded_shop() as database:
        yield database


@pytest.fixture(scope="module")
def known(shop: Database) -> dict[str, Mapping[str, int]]:
    """Return the ids by increment id."""
    return increment_ids(shop)


@needs_recordings
@pytest.mark.parametrize(
    ("parser", "flavour", "name"),
    # Orders by XML-RPC have 151 columns, and an ignored filter returns all orders.
    [slow(group) if group[1:] == ("xmlrpc", "orders") else group for group in GROUPS],
)
def test_recorded_queries_have_the_recorded_answers(
    shop: Database,
    known: dict[str, Mapping[str, int]],
    parser: str,
    flavour: str,
    name: str,
) -> None:
    """Each recorded query of a parser, flavour and list returns the recorded ids or the recorded fault.

    Those by XML-RPC are whole requests and replies; each element of a `multiCall` is compared by itself.
    """
    lines = recorded()[parser, flavour, name]
    assert len(lines) > 40
    wrong = [f"{line} but got {returned}" for line in lines if (returned := answer(shop, line, known)) != line.answer]
    assert not wrong, "\n".join(wrong)


@needs_recordings
def test_every_recorded_line_is_in_a_tested_group() -> None:
    """The test above uses all recorded lines."""
    assert set(recorded()) == set(GROUPS)


@needs_recordings
def test_a_wrong_answer_lowers_the_fraction(shop: Database) -> None:
    """A line with another answer counts as wrong."""
    right = recorded()[GROUPS[0]][0]
    wrong = Line(right.parser, "rpc", right.list, (), (("nope", "eq", "1"),), right.answer)
    assert [line["fraction"] for line in fractions(shop, [right, wrong])] == [0.5, 0.5]


@needs_recordings
def test_a_wrong_element_of_a_multi_call_lowers_the_fraction(shop: Database) -> None:
    """A line counts as wrong if one of its results differs."""
    lines = [line for line in recorded()["modern", "xmlrpc", "orders"] if isinstance(line, XmlRpcLine)]
    right = next(line for line in lines if line.method == "multiCall" and len(line.lists) > 5)
    first, *others = right.answer.split()
    wrong = replace(right, answer=" ".join([*others, first]))
    assert [line["fraction"] for line in fractions(shop, [right, wrong])] == [0.5, 0.5]
    assert any("fault:3" in line.answer.split() for line in lines)


@pytest.mark.slow
@needs_recordings
def test_the_benchmark_prints_a_line_for_each_group(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints one JSON line for each group and one for all, and succeeds if all answers are alike."""
    assert main([str(SAMPLES / "truth.ndjson")]) == 0
    groups = [group for group in GROUPS if group[1] != "xmlrpc"]
    assert len(capsys.readouterr().out.splitlines()) == len(groups) + 1
