"""A gateway that gives up on one row, on wide windows, or because the shop is down."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from conftest import slow_after

import magento_pager
from magento_pager import TransportError
from magento_pager.fake import Shop
from magento_pager.fake.api import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager import Pager
    from magento_pager.fake.api import Answer, Context

_ORDERS = re.compile(rb'<(?:order_id xsi:type="xsd:string"|name>order_id</name><value><\w+)>(\d+)<')
PAGE = b"<html><head><title>Gateway Time-out</title></head></html>"


class ShopBehindGateway(Shop):
    """A shop behind a gateway that gives up on replies with one order, on large ones, or for some calls.

    Attributes:
        poison: the order whose replies never arrive.
        most: rows in a reply that arrives; 0 for any number.
        down: calls that get no answer, whatever they are.
        status: what the gateway says.
        scans: False where samples, which look at the whole table, take longer than the gateway waits.
        sampled: orders that came in samples.
    """

    poison = most = down = 0
    status = 504
    scans = True
    sampled: tuple[int, ...] = ()

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer, or not."""
        return self._passed(body, super().soap(body, context))

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer, or not; records come."""
        answer = super().xmlrpc(body, context)
        return self._passed(body, answer) if b"<methodName>call<" in body else answer

    def _passed(self, body: bytes, answer: Answer) -> Answer:
        reply = b"".join(answer.pieces)
        ids = tuple(map(int, _ORDERS.findall(reply)))
        poisoned = self.poison in ids
        rows = (answer.call.rows or 0) if answer.call else 0
        sample = b">regexp<" in body
        if sample:
            self.sampled += ids
        if self.down or poisoned or (self.most and rows > self.most) or (sample and not self.scans):
            self.down = max(0, self.down - 1)
            return whole(self.status, "text/html", PAGE, answer.call)
        return whole(answer.status, answer.content_type, reply, answer.call)


@pytest.fixture
def shop() -> Iterator[ShopBehindGateway]:
    """Return a shop of 2,000 orders."""
    with ShopBehindGateway(orders=2_000) as running:
        yield running


@pytest.fixture
def pager(shop: ShopBehindGateway, wire: str, hurried: None) -> Iterator[Pager]:  # noqa: ARG001  fixtures
    """Return a pager for it by either protocol, which does not sleep."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as connected:
        yield connected


@pytest.mark.parametrize("status", slow_after(2, [503, 504, 502, 524]))
def test_one_order_that_never_arrives(shop: ShopBehindGateway, pager: Pager, status: int) -> None:
    """It is skipped by name in at most 60 more calls; every other order is returned."""
    expected = [order["order_id"] for order in pager.orders()]
    plain = len(shop.log)
    shop.poison, shop.status = int(expected[1_000]), status
    pages = list(pager.orders().pages())
    assert [row["order_id"] for page in pages for row in page.rows] == [*expected[:1_000], *expected[1_001:]]
    assert [one.id for page in pages for one in page.quarantined] == [shop.poison]
    assert len(shop.log) - plain <= plain + 60


@pytest.mark.parametrize("status", [502, 504])
def test_windows_that_are_too_large_are_narrowed_at_once(shop: ShopBehindGateway, pager: Pager, status: int) -> None:
    """Also the first one, before any row is known; the narrower width is kept."""
    expected = [order["order_id"] for order in pager.orders()]
    before = len(shop.log)
    shop.most, shop.status = 200, status
    assert [order["order_id"] for order in pager.orders()] == expected
    assert len(shop.log) - before <= 100


@pytest.mark.parametrize("status", slow_after(1, [502, 503]))
@pytest.mark.parametrize("calls", [1, 3, 6])
def test_a_shop_that_is_down_for_a_while_is_waited_for(
    shop: ShopBehindGateway, pager: Pager, calls: int, status: int
) -> None:
    """No row is skipped."""
    expected = [order["order_id"] for order in pager.orders()]
    found: list[str] = []
    shop.status = status
    for page in pager.orders(window=500, lookahead=False).pages():
        found += (row["order_id"] for row in page.rows)
        assert not page.quarantined
        shop.down = calls if len(found) < 1_000 else 0
    assert found == expected


@pytest.mark.parametrize("status", [502, 503])
@pytest.mark.parametrize("details", [False, True])
def test_the_first_order_never_arrives(shop: ShopBehindGateway, pager: Pager, status: int, *, details: bool) -> None:
    """No row was read before it that could be requested again: another one is searched for, and returned."""
    expected = [order["order_id"] for order in pager.orders(last=100, details=details)]
    before = len(shop.log)
    shop.poison, shop.status = int(expected[0]), status
    pages = list(pager.orders(last=100, details=details).pages())
    assert [row["order_id"] for page in pages for row in page.rows] == expected[1:]
    assert [one.id for page in pages for one in page.quarantined] == [shop.poison]
    assert len(shop.log) - 2 * before <= 60


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, 504])
def test_a_shop_that_stays_down_gets_few_more_calls(shop: ShopBehindGateway, pager: Pager, status: int) -> None:
    """No other row can be read, so none is skipped; the search takes fewer calls than the patience."""
    shop.down, shop.status = 10_000, status
    with pytest.raises(TransportError, match=f"HTTP {status}"):
        list(pager.orders().pages())
    assert 10_000 - shop.down <= 120


@pytest.mark.slow
@pytest.mark.parametrize("status", slow_after(2, [503, 504, 502, 524]))
def test_an_order_that_breaks_a_sample_is_skipped(shop: ShopBehindGateway, pager: Pager, status: int) -> None:
    """The sample is repeated with other digits, without waiting."""
    expected = [order["order_id"] for order in pager.orders()]
    plain, began = len(shop.log), time.monotonic()
    shop.poison, shop.status = max(shop.sampled), status
    pages = list(pager.orders().pages())
    assert [int(row["order_id"]) for page in pages for row in page.rows] == [
        one for one in map(int, expected) if one != shop.poison
    ]
    assert [one.id for page in pages for one in page.quarantined] == [shop.poison]
    assert len(shop.log) - plain <= plain + 60
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("status", [503, 504])
def test_a_walk_works_without_samples(shop: ShopBehindGateway, pager: Pager, status: int) -> None:
    """If the gateway gives up on each of them; a plan, which needs them, says so."""
    expected = list(pager.orders())
    plain, began = len(shop.log), time.monotonic()
    shop.scans, shop.status = False, status
    assert list(pager.orders()) == expected
    assert len(shop.log) - plain <= plain + 30
    assert time.monotonic() - began < 60
    with pytest.raises(TransportError, match=f"HTTP {status}"):
        pager.orders().plan()
