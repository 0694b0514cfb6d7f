"""The session: begun once, renewed when it is lost, always ended, and nothing is sent after its end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from chaos_proxy import ChaosProxy, in_turn
from connections import UP_TO_400, connection_to, operations
from walk_results import id_of, walk_result

import magento_pager
from magento_pager import FaultError
from magento_pager.lists import CUSTOMERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager import ListName, Pager, StrategyName
    from magento_pager.fake import Shop
    from magento_pager.shop.connection import Connection

LISTS: tuple[ListName, ...] = ("orders", "invoices", "shipments", "customers", "products")


CALLS: dict[str, Callable[[Connection], object]] = {
    "magentoInfo": lambda connection: connection.call("magentoInfo"),
    "customerCustomerList": lambda connection: len(list(connection.rows(CUSTOMERS, UP_TO_400))),
    "customerCustomerInfo": lambda connection: len(connection.record("customerCustomerInfo", "7", right="")),
    "multiCall": lambda connection: connection.multi_call([("customer.info", ["7"])], right="")[0]["customer_id"],
}
"""Every kind of call that is made in a session."""


def all_of(pager: Pager, entity: ListName, window: int) -> list[int]:
    """Return the ids of a list, walked with this pager."""
    return sorted(id_of(row) for row in pager.list(entity, window=window))


@pytest.mark.parametrize("operation", CALLS)
def test_every_kind_of_call_is_sent_again_in_a_new_session(shop: Shop, operation: str) -> None:
    """Once: if the new session expires too, the fault is raised."""
    call = CALLS[operation]
    with connection_to(shop) as connection:
        assert call(connection)
        shop.sessions.end_all()
        shop.clear_log()
        assert call(connection)
        assert operations(shop) == [operation, "login", operation]
        shop.change(session_timeout=0.0)
        shop.clear_log()
        with pytest.raises(FaultError, match=rf"^{operation}: fault 5, .*a new login did not help"):
            call(connection)
        assert operations(shop) == [operation, "login", operation]


@pytest.mark.parametrize("operation", [operation for operation in CALLS if operation != "multiCall"])
def test_a_call_survives_a_new_session_and_a_new_wsdl(shop: Shop, operation: str) -> None:
    """After an upgrade that ended all sessions."""
    call = CALLS[operation]
    with connection_to(shop) as connection:
        connection.login()
        shop.set_profile("1.8.1.0", flavour="wsi")
        shop.sessions.end_all()
        shop.clear_log()
        assert call(connection)
        assert operations(shop) == ["", operation, "login", operation]
        assert connection.flavour == "wsi"


@pytest.mark.parametrize("strategy", ["range", "prefix"])
def test_a_session_that_ends_in_the_middle_of_a_window(shop: Shop, strategy: StrategyName, wire: str) -> None:
    """There is one more login, the request is repeated, and the window is delivered once."""
    with ChaosProxy(shop) as proxy, magento_pager.connect(proxy.url, shop.user, shop.key) as pager:
        # A window over 130 ids takes several calls of `prefix`; each second of all calls finds no session.
        proxy.choose = in_turn([None, "expire"] * 10, "salesOrderList" if wire == "soap" else "sales_order.list")
        found = walk_result(pager.orders(strategy=strategy, first=50, last=179).pages())
        assert found.error is None
        assert found.ids == [number for number in shop.database.ids("orders") if 50 <= number <= 179]
        assert proxy.counts["expire"] > 2
        assert operations(shop).count("login") == 1 + proxy.counts["expire"]
        assert len(shop.sessions) == 1


@pytest.mark.usefixtures("wire")
def test_a_session_ended_by_someone_else(shop: Shop) -> None:
    """For instance by an administrator who ends all sessions between two pages."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        ids: list[int] = []
        for number, page in enumerate(pager.orders(window=20).pages()):
            ids += map(id_of, page.rows)
            if number % 4 == 0:
                shop.sessions.end_all()
        assert ids == sorted(shop.database.ids("orders"))
    names = operations(shop)
    faults = sum(call.fault == "5" for call in shop.log)
    assert faults > 2
    assert names.count("login") == 1 + faults


@pytest.mark.usefixtures("wire")
def test_a_session_that_never_lasts_ends_the_walk(shop: Shop) -> None:
    """The error says what to check, and has a cursor."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(window=20)
        pages = plan.pages()
        ids = [id_of(row) for _ in range(4) for row in next(pages).rows]
        shop.change(session_timeout=0.0)
        shop.clear_log()
        found = walk_result(pages)
        ids += found.ids  # of a window that was asked for ahead
        assert isinstance(found.error, FaultError)
        assert found.error.code == "5"
        assert "session timeout" in str(found.error)
        assert operations(shop).count("login") <= 2
        shop.change(session_timeout=3600.0)
        assert found.error.cursor is not None
        ids += walk_result(plan.pages(resume=found.error.cursor)).ids
        assert ids == sorted(shop.database.ids("orders"))


def test_many_threads_share_one_login(shop: Shop) -> None:
    """Walks over different lists, each in its own thread, need one session."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager, ThreadPoolExecutor(len(LISTS)) as threads:
        found = dict(zip(LISTS, threads.map(lambda entity: all_of(pager, entity, 30), LISTS), strict=True))
        assert len(shop.sessions) == 1
    assert found == {entity: sorted(shop.database.ids(entity)) for entity in LISTS}
    names = operations(shop)
    assert (names.count("login"), names.count("endSession"), names[-1]) == (1, 1, "endSession")
    assert len(shop.sessions) == 0


@pytest.mark.usefixtures("wire")
def test_many_threads_lose_one_session(shop: Shop) -> None:
    """Each time one of them logs in, and the others use its session."""
    lost = 0
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager, ThreadPoolExecutor(len(LISTS)) as threads:
        walks = [threads.submit(all_of, pager, entity, 5) for entity in LISTS]
        while not all(walk.done() for walk in walks):
            calls_before = len(shop.log)
            while len(shop.log) < calls_before + 60 and not all(walk.done() for walk in walks):
                threading.Event().wait(0.002)
            if len(shop.log) >= calls_before + 60:
                shop.sessions.end_all()
                lost += 1
        assert [walk.result() for walk in walks] == [sorted(shop.database.ids(entity)) for entity in LISTS]
        assert len(shop.sessions) <= 1
    assert lost > 1
    assert operations(shop).count("login") <= 1 + lost


def test_the_session_ends_when_the_block_fails(shop: Shop) -> None:
    """Also after an exception in the user's code during a walk."""

    def use() -> None:
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            for number, _ in enumerate(pager.orders(window=10)):
                1 / (30 - number)

    with pytest.raises(ZeroDivisionError):
        use()
    assert "endSession" in operations(shop)[-2:]  # a window asked for ahead may end behind it
    assert len(shop.sessions) == 0


@pytest.mark.usefixtures("wire")
def test_nothing_is_sent_after_the_end(shop: Shop) -> None:
    """An open walk and a new one raise the error that the connection is closed; not even a login is sent."""
    with ChaosProxy(shop) as proxy:
        with magento_pager.connect(proxy.url, shop.user, shop.key) as pager:
            plan = pager.orders(window=10)
            pages = plan.pages()
            next(pages)
        asked = list(proxy.operations)
        assert asked[-1] == "endSession"
        with pytest.raises(ValueError, match="closed"):
            list(pages)
        with pytest.raises(ValueError, match="closed"):
            list(plan)
        with pytest.raises(ValueError, match="closed"):
            pager.connection.login()
        pager.close()
        assert proxy.operations == asked


@pytest.mark.usefixtures("wire")
def test_threads_that_walk_while_the_session_is_ended(shop: Shop) -> None:
    """They get the error that the connection is closed; none begins another session, and nothing is sent afterwards."""
    with ChaosProxy(shop) as proxy, ThreadPoolExecutor(3) as threads:
        pager = magento_pager.connect(proxy.url, shop.user, shop.key)
        walks = [threads.submit(all_of, pager, entity, 1) for entity in ("orders", "invoices", "products")]
        while len(proxy.operations) < 40:
            threading.Event().wait(0.002)
        pager.close()
        for walk in walks:
            with pytest.raises(ValueError, match="closed"):
                walk.result()
        assert "login" not in proxy.operations[proxy.operations.index("endSession") :]
        assert (
            proxy.operations[-1] == "endSession" or len(proxy.operations) - proxy.operations.index("endSession") <= 3
        )  # under way
        assert len(shop.sessions) == 0
