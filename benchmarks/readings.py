"""How servers read conditions, and ids as in real shops, for lists in memory in tests and benchmarks."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from magento_pager import MAX_ID, FaultError
from magento_pager.lists import LISTS
from magento_pager.walk.strategies import KEY

if TYPE_CHECKING:
    from magento_pager import Condition

Reading = Callable[["tuple[Condition, ...]", list[int]], list[int]]
"""How a server reads conditions: returns the matching ids, in order."""


def honest(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
    """Apply every condition."""
    for condition in conditions:
        ids = satisfying(condition, ids)
    return ids


def last_per_column(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
    """Apply only the last condition on a column, whatever the case or qualifier of its name."""
    return honest(conditions[-1:], ids)


def no_lists(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
    """Read only the first id of a list, because lists are not split; match nothing by a regexp, which is unknown."""
    for condition in conditions:
        if condition.operator == "in":
            ids = [number for number in ids if number == int(condition.value.split(",")[0])]
        elif condition.operator == "regexp":
            ids = []
        else:
            ids = satisfying(condition, ids)
    return ids


def spelled_once(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
    """Read as 1.7.0.2: the last condition of each name counts, and order_id, customer_id and so on mean entity_id."""
    keys = {spec.key for spec in LISTS.values()}
    last = {KEY if condition.field in keys else condition.field: condition for condition in conditions}
    return honest(tuple(last.values()), ids)


def mapped_apart(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
    """Read as 1.4.1.1: the last condition of each name, as written, counts; lists and regexps are unknown."""
    return no_lists(tuple({condition.field: condition for condition in conditions}.values()), ids)


def eav(conditions: tuple[Condition, ...], ids: list[int]) -> list[int]:
    """Read as customers of 1.7.0.2: as `spelled_once`, and the qualified name is a fault."""
    if any(condition.field.startswith("main_table.") for condition in conditions):
        raise FaultError("Invalid attribute name", code="101", text="Invalid attribute name", operation="list")
    return spelled_once(conditions, ids)


def satisfying(condition: Condition, ids: list[int]) -> list[int]:
    """Return the ids that satisfy one condition on the key."""
    operand = condition.value
    match condition.operator:
        case "from" | "gteq":
            return ids[bisect_left(ids, int(operand)) :]
        case "to":
            return ids[: bisect_right(ids, int(operand))]
        case "eq":
            number = int(operand) - (100_000_000 if condition.field == "increment_id" else 0)
            return [number] if number in ids else []
        case "in":
            listed = set(map(int, operand.split(",")))
            return [number for number in ids if number in listed]
        case "like" | "regexp":
            text = operand.strip("^$")
            if condition.operator == "like":
                text = operand.replace("_", "[0-9]").replace("%", "[0-9]*")
            matches = re.compile(text).fullmatch
            return [number for number in ids if matches(str(number))]
    raise AssertionError(f"the list in memory does not know {condition}")


def random_layout(seed: int) -> tuple[list[int], Reading]:
    """Return one to three ranges of ids anywhere, with steps and holes, and how their server reads conditions."""
    chance = Random(seed)  # noqa: S311  no secret
    ids: set[int] = set()
    for _ in range(chance.randrange(1, 4)):
        start, step = chance.randrange(10 ** chance.randrange(1, 10)), chance.choice([1, 1, 2, 3, 10])
        stop = min(MAX_ID, start + step * chance.randrange(100, 20_000))
        holes = chance.choice([0, 0.1, 0.5])
        ids |= {number for number in range(start, stop, step) if chance.random() >= holes}
    return sorted(ids), chance.choice([honest, spelled_once, eav])


def random_ids(seed: int) -> list[int]:
    """Return ids as in real shops, and worse: up to four ranges, dense, thinned, or at equal distances."""
    random = Random(seed)  # noqa: S311  no secret
    ids: set[int] = set()
    for _ in range(random.randint(1, 4)):
        first, step = int(10 ** random.uniform(0, 8)), random.choice([1, 1, 1, 2, 3, 7, 10, 10, 100, 1000])
        count, kept = int(10 ** random.uniform(1, 4.7)), random.choice([1, 1, 0.9, 0.5, 0.1])
        stretch = range(first, min(first + count * step, MAX_ID), step)
        ids.update(number for number in stretch if random.random() < kept)
    return sorted(ids)
