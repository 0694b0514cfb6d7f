"""The matrix: every list of every version and flavour, with auto and with each named strategy.

Claimed for the five versions the embedded shop plays; those between and before them are expected to work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conftest import SPOKEN

import magento_pager
from magento_pager import STRATEGIES, PagerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager import ListName, StrategyName
    from magento_pager.fake import Shop

FLAT = ("orders", "invoices", "shipments", "creditmemos")
EAV = ("customers", "products")
CELLS = [
    (profile, flavour, entity)
    for profile, flavour in SPOKEN
    for entity in FLAT + EAV
    if (profile, entity) != ("1.4.1.1", "creditmemos")
]


def first_that_holds(profile: str, entity: str) -> str:
    """Return the first strategy of the design table that a version honours for a list."""
    return "in-list" if profile == "1.7.0.2" and entity in EAV else "key-range"


def delivered(paginator: magento_pager.Paginator) -> tuple[list[str], set[str]]:
    """Return the identifiers of the rows of a walk, in order, and the strategies that read them."""
    rows: list[str] = []
    strategies: set[str] = set()
    for page in paginator.pages():
        rows += [row.get(paginator.id_field) or row["increment_id"] for row in page.rows]
        strategies.add(page.stats.strategy)
    return rows, strategies


def test_the_matrix_is_complete() -> None:
    """It has five versions in RPC, three in WS-I, and six lists, except credit memos on 1.4.1.1."""
    assert len(CELLS) == 47


@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "flavour", "entity"), CELLS)
def test_auto_delivers_exactly_the_rows_of_the_table(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName
) -> None:
    """No row is missing or repeated, and the strategy is the first that is honoured, as the first page shows."""
    shop = shop_of(profile, flavour)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        rows, strategies = delivered(pager.list(entity))
    count = shop.database.count(entity)
    assert len(rows) == len(set(rows)) == count
    assert strategies == {"key-range", first_that_holds(profile, entity)}
    if entity != "shipments" and (entity, profile) not in {("invoices", "1.4.1.1"), ("invoices", "1.6.2.0")}:
        assert rows == list(map(str, sorted(shop.database.ids(entity))))


@pytest.mark.sampled
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize(("profile", "flavour", "entity"), CELLS)
def test_a_named_strategy_is_exact_or_the_error_names_another(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName, strategy: StrategyName
) -> None:
    """A walk with wrong or missing rows never ends silently."""
    shop = shop_of(profile, flavour)
    last = 1500
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        expected = len([number for number in shop.database.ids(entity) if number <= last])
        try:
            rows, _ = delivered(pager.list(entity, strategy=strategy, last=last))
        except PagerError as error:
            outcome = str(error)
            assert "use the strategy" in outcome
            assert first_that_holds(profile, entity) in outcome or strategy == "single-filter"
        else:
            assert len(rows) == len(set(rows)) == expected
