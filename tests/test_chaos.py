"""Calls that fail in every way: a walk returns every row once and skips none, or ends with a cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from chaos_proxy import KINDS, ChaosProxy, Fault, in_turn, no_faults, randomly
from conftest import slow_after
from walk_results import WalkResult, walk_result

import magento_pager
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from magento_pager import ListName

WITHOUT_IDS = ("shipments", "invoices")  # invoices up to 1.7.0.0
TIMEOUT = 1.0  # seconds: what a fault that is waited out costs here


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the waits between attempts in seconds, without waiting."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


class Place(NamedTuple):
    """A list of a shop of some version and size."""

    profile: str
    entity: ListName
    orders: int
    window: int | None

    def walk(self, proxy: ChaosProxy) -> WalkResult:
        """Walk it through a proxy whose faults begin with the first call that a walk makes, and end before the last."""
        choose, proxy.choose = proxy.choose, no_faults
        with magento_pager.connect(proxy.url, "demo", "demo-key", timeout=TIMEOUT, wait=60) as pager:
            pages = pager.list(self.entity, window=self.window).pages()
            proxy.choose = choose
            found = walk_result(pages)
            proxy.choose = no_faults
        return found


def nothing_is_missing(found: WalkResult, shop: Shop, entity: str) -> None:
    """Check that the walk returned each row of the shop once, in order if rows have an id, and skipped none."""
    assert found.error is None
    assert found.quarantined == {}
    assert (sorted(found.ids) if entity in WITHOUT_IDS else found.ids) == sorted(shop.database.ids(entity))


def chaos(
    place: Place, seed: int, fraction: float = 0.05, kinds: Collection[Fault] = KINDS
) -> tuple[WalkResult, ChaosProxy]:
    """Walk while a fraction of all calls fail."""
    with Shop(profile=place.profile, orders=place.orders) as shop, ChaosProxy(shop) as proxy:
        with magento_pager.connect(proxy.url, shop.user, shop.key, timeout=TIMEOUT, wait=60) as pager:
            proxy.choose = randomly(seed, fraction, kinds)
            found = walk_result(pager.list(place.entity, window=place.window).pages())
            proxy.choose = no_faults
        nothing_is_missing(found, shop, place.entity)
    return found, proxy


@pytest.mark.slow
@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("orders", slow_after(1, [1650, 6600]))
def test_many_windows_while_one_call_in_twenty_fails(orders: int) -> None:
    """No row is missing and none is returned twice; the wide version has 2,000 windows."""
    found, proxy = chaos(Place("20.0.20", "orders", orders, 4), seed=5)
    assert found.windows >= orders * 0.29
    assert proxy.faults >= len(proxy.operations) * 0.03
    assert all(proxy.counts[kind] for kind in KINDS) or orders < 6600


PLACES = [
    Place("1.7.0.2", "shipments", 1000, 20),
    Place("1.7.0.2", "customers", 1500, 5),
    Place("1.6.2.0", "invoices", 600, None),
    Place("1.4.1.1", "orders", 600, 10),
    Place("20.0.20", "products", 1500, 1),
]


@pytest.mark.slow
@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place.profile} {place.entity}")
def test_other_lists_while_one_call_in_twelve_fails(place: Place, seed: int) -> None:
    """Lists without ids, lists that need a known row, old versions: no row is missing or returned twice."""
    _, proxy = chaos(place, seed, fraction=0.08)
    assert proxy.faults


@pytest.mark.parametrize("kinds", slow_after(1, [["500", "empty", "short"], ["reset", "503", "page"]]), ids=str)
def test_a_server_that_fails_one_call_in_five(kinds: list[Fault]) -> None:
    """Random failures are no row's fault: none is skipped, though windows of one id fail more than once."""
    _, proxy = chaos(Place("20.0.20", "orders", 200, 5), seed=3, fraction=0.2, kinds=kinds)
    assert proxy.faults >= 10


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(100, 110))
@pytest.mark.parametrize("place", [*PLACES, Place("20.0.20", "orders", 6400, 4)], ids=str)
def test_more_chaos(place: Place, seed: int) -> None:
    """The same with more seeds and larger tables."""
    chaos(place._replace(orders=place.orders * 3), seed)


EACH = [
    Place("20.0.20", "orders", 120, 10),
    Place("1.7.0.2", "shipments", 120, None),
    Place("1.7.0.2", "customers", 120, 10),
]


@pytest.fixture(scope="module", params=EACH, ids=lambda place: f"{place.profile} {place.entity}")
def small(request: pytest.FixtureRequest) -> Iterator[tuple[Place, Shop, ChaosProxy]]:
    """Return a small list, and a proxy in front of it."""
    place: Place = request.param
    with Shop(profile=place.profile, orders=place.orders) as shop, ChaosProxy(shop) as proxy:
        yield place, shop, proxy


def one_fault_at_each_call(small: tuple[Place, Shop, ChaosProxy], first: int, step: int, skip: int = 1) -> None:
    """Walk once for each call of a walk, or some, and fail that call; the kind of failure changes each time."""
    place, shop, proxy = small
    calm_walk = place.walk(proxy)
    nothing_is_missing(calm_walk, shop, place.entity)
    proxy.operations.clear()
    place.walk(proxy)
    calls = len(proxy.operations) - 3  # all but those that begin and end a session
    for number in range(0, calls, skip):
        kind = KINDS[(first + number // skip * step) % len(KINDS)]
        proxy.choose = in_turn([*[None] * number, kind])
        found = place.walk(proxy)
        nothing_is_missing(found, shop, place.entity)
        assert found.strategies == calm_walk.strategies, f"{kind} at call {number} was taken for an answer"


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("skip", slow_after(1, [14, 2]))  # steps of 2 through the kinds: no common factor with their 15
def test_one_failure_at_each_few_calls(small: tuple[Place, Shop, ChaosProxy], skip: int) -> None:
    """Whichever call fails, of the probe, the samples or the comparisons, the walk continues as without it."""
    one_fault_at_each_call(small, first=7, step=2, skip=skip)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(len(KINDS)))
def test_every_failure_at_each_call(small: tuple[Place, Shop, ChaosProxy], first: int) -> None:
    """The same with each kind of failure at each call."""
    one_fault_at_each_call(small, first, step=1)


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize("sick", [2, 5, 9, 30])
@pytest.mark.parametrize("kind", ["500", "short", "reset", "page", "503"])
def test_a_server_that_fails_for_a_while(small: tuple[Place, Shop, ChaosProxy], kind: Fault, sick: int) -> None:
    """Several calls fail in the middle of a walk: no row is skipped for it."""
    place, shop, proxy = small
    with magento_pager.connect(proxy.url, shop.user, shop.key, timeout=TIMEOUT, wait=60) as pager:
        found = WalkResult()
        for number, page in enumerate(pager.list(place.entity, window=10).pages()):
            found.add(page)
            if number == 3:
                proxy.choose = in_turn([kind] * sick)
        proxy.choose = no_faults
    nothing_is_missing(found, shop, place.entity)


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize("kind", ["500", "empty", "reset"])
def test_a_server_that_keeps_failing(small: tuple[Place, Shop, ChaosProxy], kind: Fault) -> None:
    """The walk ends with a cursor and skips no row; it is resumed when the server works."""
    place, shop, proxy = small
    with magento_pager.connect(proxy.url, shop.user, shop.key, timeout=TIMEOUT, wait=60) as pager:
        plan = pager.list(place.entity, window=10, patience=0.2, lookahead=False)  # else a page more is there already
        pages = plan.pages()
        found = WalkResult()
        for _ in range(3):
            found.add(next(pages))
        proxy.choose = lambda _: kind
        rest = walk_result(pages)
        proxy.choose = no_faults
        assert rest.error is not None
        assert rest.error.cursor == found.cursor
        assert (rest.ids, rest.quarantined) == ([], {})
        for page in plan.pages(resume=rest.error.cursor):
            found.add(page)
    nothing_is_missing(found, shop, place.entity)


@pytest.mark.usefixtures("wire")
def test_retry_after_and_timeouts_are_waited_for(small: tuple[Place, Shop, ChaosProxy], naps: list[float]) -> None:
    """The pause of `Retry-After` before the next attempt, and after a timeout as long again."""
    place, shop, proxy = small
    proxy.choose = in_turn(["503 later"])
    nothing_is_missing(place.walk(proxy), shop, place.entity)
    assert max(naps) == 1.0
    naps.clear()
    proxy.choose = in_turn(["stall"])
    nothing_is_missing(place.walk(proxy), shop, place.entity)
    assert max(naps) >= TIMEOUT * 0.9
