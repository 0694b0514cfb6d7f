"""Walks by XML-RPC behave like walks by SOAP: the same bytes in each format, and the same reaction to failures."""

from __future__ import annotations

import json
import re
from itertools import count
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pytest
from conftest import needs_pyarrow, slow_after, stopper
from test_matrix import CELLS, delivered

from magento_pager import LISTS, STRATEGIES, PagerError, connect, dump
from magento_pager.cli import run
from magento_pager.export.stored import stored
from magento_pager.fake import Shop
from magento_pager.fake.api import whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from magento_pager import ListName, Pager, StrategyName
    from magento_pager.fake.api import Answer, Context

BY_XML_RPC: dict[str, Any] = {"wire": "xml-rpc", "columns": "declared"}
OWN = [name for name in STRATEGIES[1:] if name not in {"alias", "mapped"}]
"""The strategies that XML-RPC supports."""


def dumped(pager: Pager, entity: ListName, path: Path, **options: Any) -> bytes:
    """Return the bytes of a dump."""
    dump(pager.list(entity, **options), path, overwrite=True)
    return path.read_bytes()


@pytest.mark.sampled
@pytest.mark.parametrize("strategy", OWN)
@pytest.mark.parametrize(("profile", "flavour", "entity"), CELLS)
def test_each_strategy_is_exact_on_every_list_of_every_version(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName, strategy: StrategyName
) -> None:
    """It ignores the filters of SOAP; the oldest has no `regexp`, and rows without ids cannot reveal extra rows."""
    shop, last = shop_of(profile, flavour), 1500
    expected = [number for number in shop.database.ids(entity) if number <= last]
    with connect(shop.url, shop.user, shop.key) as pager:
        paginator = pager.list(entity, strategy=strategy, last=last, **BY_XML_RPC)
        without_ids = entity == "shipments" or (entity == "invoices" and profile < "1.7")
        if (strategy, profile) == ("regexp", "1.4.1.1") or (strategy == "single-filter" and without_ids):
            with pytest.raises(PagerError, match="use the strategy key-range"):
                list(paginator)
            return
        rows, strategies = delivered(paginator)
    assert strategies == {strategy}
    assert len(rows) == len(set(rows)) == len(expected)


@pytest.mark.sampled
@pytest.mark.parametrize("profile", ["1.4.1.1", "1.6.2.0", "1.7.0.2", "1.8.1.0", "20.0.20"])
@pytest.mark.parametrize(("operator", "stores"), [("in", {"1", "2"}), ("nin", {"0", "3"})])
def test_a_list_of_values_is_honoured_on_every_version(
    shop_of: Callable[[str, str], Shop], profile: str, operator: str, stores: set[str]
) -> None:
    """By SOAP, servers before 1.7.0.1 compare with a single text."""
    shop = shop_of(profile, "rpc")
    with connect(shop.url, shop.user, shop.key) as pager:
        rows = [row for row in pager.orders(last=600) if row["store_id"] in stores]
        assert list(pager.orders(last=600, where=[("store_id", operator, "1,2")], **BY_XML_RPC)) == rows != []


class Lying(Shop):
    """A shop behind a proxy that gives wrong answers to a few calls of lists.

    Attributes:
        lie: `empty`, `earlier`: what came for another call, `half`: without the last rows; nothing where it is empty.
    """

    lie = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._calls = count(1)
        self._kept = b""

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer by XML-RPC."""
        answer = super().xmlrpc(body, context)
        given = body = b"".join(answer.pieces)
        if self.lie and next(self._calls) % 9 == 0:
            rows = re.findall(rb"<value><struct>.*?</struct></value>", given, re.DOTALL)
            dropped = {"empty": len(rows), "half": len(rows) // 2}.get(self.lie, 0)
            for row in rows[len(rows) - dropped :]:
                body = body.replace(row, b"", 1)
            body = self._kept if self.lie == "earlier" and self._kept else body
        elif answer.call and answer.call.rows:
            self._kept = given
        return whole(answer.status, answer.content_type, body, answer.call)


@pytest.mark.sampled
@pytest.mark.parametrize("lie", ["empty", "earlier", "half"])
@pytest.mark.parametrize("entity", LISTS)
def test_a_wrong_answer_in_nine_calls_loses_no_row(entity: ListName, lie: str) -> None:
    """The checks are the same as by SOAP."""
    with Lying(orders=900) as shop, connect(shop.url, shop.user, shop.key) as pager:
        expected = list(pager.list(entity, window=30))
        shop.lie = lie
        received = list(pager.list(entity, window=30, **BY_XML_RPC))
    if entity == "shipments":  # sorted by page, and the pages differ
        received, expected = (sorted(rows, key=itemgetter("increment_id")) for rows in (received, expected))
    assert received == expected


@pytest.mark.parametrize("entity", slow_after(1, ["shipments", "customers", "orders"]))
def test_a_dump_resumed_after_each_page_is_the_same(tmp_path: Path, entity: ListName) -> None:
    """This holds even if the protocol changes after each page."""
    with Shop(orders=300) as shop, connect(shop.url, shop.user, shop.key) as pager:
        expected = dumped(pager, entity, tmp_path / "whole", window=40)
        for name, wires in {"one": [BY_XML_RPC], "both": [BY_XML_RPC, {"wire": "soap"}]}.items():
            path = tmp_path / name
            for number in count():
                paginator = pager.list(entity, window=40, **wires[number % len(wires)])
                try:
                    dump(paginator, path, resume=True, progress=stopper(1, InterruptedError))
                except InterruptedError:
                    continue
                break
            assert path.read_bytes() == expected
            assert number > 5


@pytest.mark.parametrize("entity", slow_after(1, ["customers", "shipments", "orders", "products"]))
@pytest.mark.parametrize("form", slow_after(2, ["parquet", "sqlite", "csv"]))
def test_a_dump_in_each_format_can_be_verified_by_the_other_protocol(
    tmp_path: Path, entity: ListName, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no difference, and the rows are those of a dump by SOAP."""
    if form == "parquet":
        needs_pyarrow()
    with Shop(orders=200) as shop:
        where = ["--url", shop.url, "--user", shop.user, "--key", shop.key]
        wires = {"soap": ["--wire", "soap"], "xml-rpc": ["--wire", "xml-rpc", "--declared-columns"]}
        for wire, options in wires.items():
            path = tmp_path / f"{wire}.{form}"
            assert run(["dump", entity, *where, *options, "--out", str(path), "--format", form]) == 0
            other_wire = "soap" if wire == "xml-rpc" else "xml-rpc"
            assert run(["verify", str(path), entity, *where, *wires[other_wire]]) == 0
            assert "no differences" in "".join(capsys.readouterr())
        by_soap, by_xmlrpc = (list(stored(tmp_path / f"{wire}.{form}", entity)) for wire in wires)
    assert by_xmlrpc == by_soap


@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "flavour"), [("1.4.1.1", "rpc"), ("1.7.0.2", "wsi"), ("20.0.20", "rpc")])
@pytest.mark.parametrize("entity", ["orders", "customers", "products", "shipments"])
@pytest.mark.parametrize("details", [False, True])
def test_typed_rows_are_the_same_by_both_protocols(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName, *, details: bool
) -> None:
    """They are equal with and without details."""
    shop = shop_of(profile, flavour)
    with connect(shop.url, shop.user, shop.key) as pager:
        by_soap, by_xmlrpc = (
            list(pager.list(entity, typed=True, last=600, details=details, **how)) for how in ({}, BY_XML_RPC)
        )
    assert by_xmlrpc == by_soap
    assert any(type(value) is not str for row in by_soap for value in row.values())


@pytest.mark.slow
def test_parallel_calls_do_not_block_a_shop_of_two_workers() -> None:
    """By SOAP each call needs a second worker for the WSDL; by XML-RPC none is needed."""
    with (
        Shop(orders=400, workers=2, socket_timeout=0.5, latency=0.02) as shop,
        connect(shop.url, shop.user, shop.key) as pager,
    ):
        expected = list(pager.orders(window=25))
        shop.clear_log()
        assert list(pager.orders(window=25, parallel=4, **BY_XML_RPC)) == expected
        assert {(call.operation, call.fault) for call in shop.log} == {("call", "")}
        shop.clear_log()
        assert list(pager.orders(window=25, parallel=4)) == expected
        assert any(call.fault == "WSDL" for call in shop.log), "SOAP was not blocked either, so the test proves nothing"


def test_a_session_that_expires_between_any_two_calls_is_renewed(shop: Shop) -> None:
    """Each expired session takes one more login."""
    with connect(shop.url, shop.user, shop.key) as pager:
        expected = list(pager.orders(window=20))
        shop.clear_log()
        rows: list[Any] = []
        for page in pager.orders(window=20, lookahead=False, **BY_XML_RPC).pages():
            rows += page.rows
            shop.sessions.end_all()
    assert rows == expected
    assert sum(call.operation == "login" for call in shop.log) == sum(call.fault == "5" for call in shop.log) > 3


def test_a_known_row_that_is_deleted_is_replaced_by_another(shop: Shop) -> None:
    """`in-list` needs a known row in every call."""
    with connect(shop.url, shop.user, shop.key) as pager:
        expected = sorted(shop.database.ids("orders"))
        received: list[int] = []
        for page in pager.orders(strategy="in-list", window=20, lookahead=False, **BY_XML_RPC).pages():
            received += (int(row["order_id"]) for row in page.rows)
            for number in received if 0 < len(received) < 100 else ():
                shop.database.delete("orders", number)
    assert received == expected


def test_replies_are_saved_without_secrets(shop: Shop, tmp_path: Path) -> None:
    """Files contain the request with its filters and the reply, but no key, session id or password hash."""
    ids = sorted(shop.database.ids("customers"))
    with connect(shop.url, shop.user, shop.key, save_replies=tmp_path) as pager:
        shop.change(trouble="undeclared", trouble_rows=[ids[3]], trouble_list="customers")
        skipped = [row for page in pager.customers(patience=0.0, **BY_XML_RPC).pages() for row in page.quarantined]
        session = pager.connection._session_id  # noqa: SLF001  must not be in the files
    assert [row.id for row in skipped] == [ids[3]]
    assert "(request and reply: " in skipped[0].reason
    contents = [file.read_bytes() for file in tmp_path.iterdir()]
    assert any(b"<colour>red</colour>" in file and f"<string>{ids[3]}</string>".encode() in file for file in contents)
    for secret in (shop.key, str(session)):
        assert not any(secret.encode() in file for file in contents)


@pytest.mark.parametrize("entity", slow_after(1, ["customers", "orders", "products"]))
def test_increments_are_the_same_by_both_protocols(tmp_path: Path, entity: ListName) -> None:
    """Changed and new rows are equal, with alternating protocols and one state file."""
    with Shop(orders=200) as shop, connect(shop.url, shop.user, shop.key) as pager:
        states: dict[str, list[dict[str, Any]]] = {"soap": [{}], "xml-rpc": [BY_XML_RPC], "both": [{}, BY_XML_RPC]}
        ids = sorted(shop.database.ids(entity))
        for night in range(3):
            rows: dict[str, list[Any]] = {}
            for name, wires in states.items():
                out, state = tmp_path / f"{name}-{{time}}.ndjson", tmp_path / f"{name}.state"
                report = dump(pager.list(entity, **wires[night % len(wires)]), out, state=state, overwrite=True)
                assert report.path is not None
                rows[name] = [json.loads(line) for line in report.path.read_text().splitlines()]
            assert rows["xml-rpc"] == rows["both"] == rows["soap"] != []
            shop.database.update(entity, ids[night], {"updated_at": f"2035-01-0{night + 1} 00:00:00"})
            shop.database.insert(entity, {"entity_id": ids[-1] + 1 + night, "updated_at": None})
