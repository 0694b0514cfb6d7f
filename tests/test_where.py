"""Conditions on which the server fails: one message at once, and no row is skipped for it."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from conftest import set_environment

import magento_pager
from magento_pager import RemoteError
from magento_pager.cli import run
from magento_pager.fake import Shop
from magento_pager.fake.api import whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from magento_pager import ListName, Pager
    from magento_pager.fake.api import Answer, Context

MOST_CALLS = 9
MISSPELLED: dict[ListName, tuple[str, str]] = {
    "orders": ("stat", "status"),
    "invoices": ("grand_totl", "grand_total"),
    "shipments": ("increment", "increment_id"),
    "creditmemos": ("stat", "state"),
    "customers": ("emial", "email"),
    "products": ("skuu", "sku"),
}
VERSIONS = [("20.0.20", False), ("1.8.1.0", True), ("1.7.0.2", False), ("1.7.0.2", True), ("1.4.1.1", False)]


class Guarded(Shop):
    """A shop that refuses some calls.

    Attributes:
        word: calls that hold it are refused.
        answer: the HTTP status and the body of the refusal.
        down: calls that fail by themselves, by their number; others do not.
    """

    word = b"\0"
    answer = (403, b"<html><title>403 Forbidden</title>")
    down: frozenset[int] = frozenset()
    calls = 0

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer the call, or refuse it."""
        return self._guarded(body, super().soap(body, context))

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer the call, or refuse it."""
        return self._guarded(body, super().xmlrpc(body, context))

    def _guarded(self, body: bytes, answer: Answer) -> Answer:
        self.calls += 1
        if self.word in body or self.calls in self.down:
            status, page = self.answer if self.word in body else (503, b"down")
            return whole(status, "text/html", page, answer.call)
        return answer


@contextmanager
def pager_of(shop: Shop) -> Iterator[Pager]:
    """Yield a logged-in pager of a running shop, so that only calls of walks are counted."""
    with shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        next(iter(pager.orders()))
        yield pager


def refusal(shop: Shop, pager: Pager, entity: ListName, **options: Any) -> str:
    """Return the message of the error that ends a walk after a few calls."""
    before = len(shop.log)
    with pytest.raises(RemoteError) as caught:
        list(pager.list(entity, **options))
    assert len(shop.log) - before <= MOST_CALLS
    return str(caught.value)


@pytest.mark.usefixtures("wire")
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(("profile", "php5"), VERSIONS)
def test_a_misspelled_field_is_named_at_once(profile: str, php5: bool) -> None:  # noqa: FBT001  a parameter
    """On every list, even if the server gives no reason or PHP crashes."""
    shop = Shop(profile=profile, php5=php5, orders=200)
    with pager_of(shop) as pager:
        for entity, (field, meant) in MISSPELLED.items():
            if entity == "creditmemos" and profile == "1.4.1.1":
                continue
            message = refusal(shop, pager, entity, where=[(field, "eq", "x")])
            assert repr(field) in message
            assert f"did you mean {meant!r}" in message


@pytest.mark.usefixtures("wire")
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("entity", list(MISSPELLED))
def test_a_value_that_the_server_refuses_is_named_at_once(entity: ListName) -> None:
    """The server answers with a fault or, for customers and products, with an error report of status 503."""
    shop = Shop(orders=200)
    with pager_of(shop) as pager:
        message = refusal(shop, pager, entity, where=[("updated_at", "regexp", "[")])
    assert "answers without where updated_at regexp '[', and fails with it: " in message
    assert "SQLSTATE[42000]" in message or "HTTP 503, 'There has been an error processing your request'" in message


@pytest.mark.usefixtures("wire")
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("answer", [(403, b"Forbidden"), (406, b"mod_security"), (200, b"Fatal error: no"), (500, b"")])
def test_a_condition_that_a_firewall_refuses_is_named(answer: tuple[int, bytes]) -> None:
    """The text of the firewall is quoted; of several conditions, the one that fails alone is named."""
    shop = Guarded(orders=200)
    where = [("status", "neq", "x"), ("increment_id", "neq", "' union select"), ("state", "neq", "x")]
    with pager_of(shop) as pager:
        shop.word, shop.answer = b"union select", answer
        message = refusal(shop, pager, "orders", where=where, window=100)
    assert 'without where increment_id neq "\' union select", and fails' in message
    assert answer[1].decode() in message
    assert "--window" not in message


@pytest.mark.usefixtures("hurried")
def test_a_misspelled_field_is_named_with_a_time_and_for_a_plan() -> None:
    """The test of the time condition, a plan, or partitions may fail on it first."""
    shop = Shop(orders=200)
    with pager_of(shop) as pager:
        products = pager.products(where=[("skuu", "eq", "x")])
        for ask in (products.plan, lambda: products.partitions(3), products.probe):
            with pytest.raises(RemoteError, match="products have no standard field 'skuu'"):
                ask()
        message = refusal(
            shop, pager, "products", where=[("skuu", "eq", "x")], updated_since=datetime(2020, 1, 1, tzinfo=UTC)
        )
    assert "products have no standard field 'skuu'" in message


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("trouble", ["fault", "fatal", "http-500", "http-504", "control-character"])
def test_a_broken_row_is_not_blamed_on_the_condition(trouble: str) -> None:
    """The first row breaks the first reply; it is skipped by name, and all others are delivered."""
    with Shop(orders=200) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        expected = [row["order_id"] for row in pager.orders()]
        shop.change(trouble=trouble, trouble_rows=[int(expected[0])])
        pages = list(pager.orders(where=[("status", "neq", "x")]).pages())
    assert [row["order_id"] for page in pages for row in page.rows] == expected[1:]
    assert [row.id for page in pages for row in page.quarantined] == [int(expected[0])]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("down", [range(1, 2), range(1, 7), [1, 3], [1, 3, 5, 7, 9], range(1, 40, 2)])
def test_a_temporary_outage_is_not_blamed_on_the_condition(down: list[int]) -> None:
    """A condition is the cause only if it fails several times, and calls without it work before and after."""
    shop = Guarded(orders=200)
    with pager_of(shop) as pager:
        expected = [row["order_id"] for row in pager.orders()]
        shop.calls, shop.down = 0, frozenset(down)
        assert [row["order_id"] for row in pager.orders(where=[("status", "neq", "x")])] == expected


def test_the_check_takes_no_call_if_none_fails() -> None:
    """The number of calls equals that of a walk without conditions."""
    shop = Shop(orders=200)
    with pager_of(shop) as pager:
        counts = Counter[bool]()
        for where in ([], [("status", "neq", "x")]):
            before = len(shop.log)
            list(pager.orders(where=where))
            counts[bool(where)] = len(shop.log) - before
    assert counts[True] == counts[False]


@pytest.mark.usefixtures("hurried")
def test_the_command_line_prints_one_line(
    shop: Shop, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit status is 1, and no output is left that looks finished."""
    set_environment(monkeypatch, shop)
    out = tmp_path / "a.ndjson"
    assert run(["dump", "products", "--where", "skuu:eq:x", "--out", str(out)]) == 1
    assert "products have no standard field 'skuu' (did you mean 'sku'?)" in capfd.readouterr().err
    assert not out.exists()


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("call", [1, 3, 9, 10])
def test_no_wide_window_is_requested_without_the_condition(call: int) -> None:
    """A condition that few rows meet makes windows wide; a failed one is not repeated for all rows."""
    shop = Guarded(orders=20_000)
    with pager_of(shop) as pager:
        shop.clear_log()
        shop.down = frozenset({shop.calls + call})
        rows = list(pager.orders(where=[("increment_id", "eq", "no such order")]))
    assert rows == []
    assert max(one.rows for one in shop.log) <= 1_000
