"""The two protocols: the same rows by SOAP and by XML-RPC, the choice of `auto`, and its reason in the report."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SPOKEN, needs_pyarrow

import magento_pager
from magento_pager import FaultError, RemoteError
from magento_pager.cli import run
from magento_pager.errors import FilterIgnoredError
from magento_pager.export.dumping import dump
from magento_pager.fake import Shop
from magento_pager.fake.api import whole
from magento_pager.lists import LISTS
from magento_pager.shop.sources import nested_filters
from magento_pager.walk.conditions import Condition
from magento_pager.walk.ranges import IdRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from magento_pager import ListName, Pager
    from magento_pager.fake.api import Answer, Context
    from magento_pager.fake.declarations import Flavour

CELLS = [
    (profile, flavour, entity)
    for profile, flavour in SPOKEN
    for entity in LISTS
    if (profile, entity) != ("1.4.1.1", "creditmemos")
]

TOKEN = "0123456789abcdef-a-token"


@pytest.fixture
def pager(shop: Shop) -> Iterator[Pager]:
    """Return a pager for the shop."""
    with magento_pager.connect(shop.url, shop.user, shop.key) as found:
        yield found


def written(pager: Pager, entity: ListName, path: Path, **options: Any) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes of a dump, and its report."""
    report = dump(pager.list(entity, **options), path, overwrite=True)
    return path.read_bytes(), report.as_json()


def called(shop: Shop) -> list[str]:
    """Return the calls since the last time."""
    found = [call.operation for call in shop.log]
    shop.clear_log()
    return found


@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "flavour", "entity"), CELLS)
def test_both_protocols_give_the_same_bytes(
    shop_of: Callable[[str, str], Shop], tmp_path: Path, profile: str, flavour: str, entity: ListName
) -> None:
    """By a key range on every version; `all_columns` only adds columns."""
    shop = shop_of(profile, flavour)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        by_soap, _ = written(pager, entity, tmp_path / "soap")
        by_xmlrpc, report = written(pager, entity, tmp_path / "xml-rpc", wire="xml-rpc", columns="declared")
        assert by_xmlrpc == by_soap
        assert (report["wire"], report["strategy"]) == ("xml-rpc", "key-range")
        by_auto, report = written(pager, entity, tmp_path / "auto", wire="auto")
        assert by_auto == by_soap
        assert report["wire"] == LISTS[entity].cheaper, report["wire_reason"]
        by_all, report = written(pager, entity, tmp_path / "all", wire="xml-rpc")
    rows = [json.loads(line) for line in by_soap.splitlines()]
    wider = [json.loads(line) for line in by_all.splitlines()]
    assert len(rows) == len(wider) == shop.database.count(entity)
    more = set()
    for row, wide in zip(rows, wider, strict=True):
        assert {name: wide.get(name) for name in row} == row
        more |= wide.keys() - row.keys()
    declared = set().union(*rows) | LISTS[entity].columns.keys()
    assert more - declared <= set(report["undeclared_columns"])


@pytest.mark.parametrize("entity", LISTS)
def test_a_shop_whose_filters_are_broken_by_ws_i_is_read_by_xml_rpc(tmp_path: Path, entity: ListName) -> None:
    """SOAP fails there; `auto` compares XML-RPC with records by SOAP, and chooses it."""
    with Shop(profile="1.6.2.0", orders=80) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        expected, _ = written(pager, entity, tmp_path / "rpc")
    with (
        Shop(profile="1.6.2.0", flavour="wsi", broken_wsi=True, orders=80) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        with pytest.raises(RemoteError):
            list(pager.list(entity, patience=0.0))
        found, _ = written(pager, entity, tmp_path / "xml-rpc", wire="xml-rpc", columns="declared")
        assert found == expected
        found, report = written(pager, entity, tmp_path / "auto", wire="auto", patience=0.0)
        assert found == expected
    assert report["wire"] == "xml-rpc"
    assert report["wire_reason"].startswith("rows cannot be read by SOAP: ")
    assert "rows were equal to their records by SOAP" in report["wire_reason"]


def test_auto_reads_orders_by_soap_and_other_lists_by_xml_rpc(shop: Shop, pager: Pager) -> None:
    """It takes two more calls, once for each list: the same range of ids by both."""
    called(shop)
    assert len(list(pager.orders(wire="auto"))) == 200
    assert set(called(shop)) == {"salesOrderList"}
    pages = list(pager.customers(wire="auto").pages())
    calls = called(shop)
    assert calls[:2] == ["customerCustomerList", "call"]
    assert set(calls[2:]) == {"call"}
    assert sum(page.stats.calls for page in pages) == len(calls)
    assert list(pager.customers(wire="auto")) == [row for page in pages for row in page.rows]
    assert set(called(shop)) == {"call"}


def test_soap_is_used_where_xml_rpc_is_blocked(tmp_path: Path) -> None:
    """The report says why; if XML-RPC was requested by name, it is an error."""
    with (
        Shop(orders=100, no_xmlrpc=True) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        expected, _ = written(pager, "invoices", tmp_path / "soap")
        found, report = written(pager, "invoices", tmp_path / "auto", wire="auto")
        assert found == expected
        assert report["wire"] == "soap"
        assert report["wire_reason"].startswith("XML-RPC fails: sales_order_invoice.list: ")
        with pytest.raises(RemoteError, match=r"^sales_order_invoice\.list: "):
            list(pager.invoices(wire="xml-rpc", patience=0.0))


def test_a_protocol_that_fails_during_a_walk_is_replaced_by_the_other(tmp_path: Path) -> None:
    """From the failed page on; no row is lost or returned twice."""
    with Shop(orders=900) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        expected, _ = written(pager, "invoices", tmp_path / "soap")
        asked = pager.invoices(wire="auto", window=200, patience=0.0, lookahead=False)

        def block(progress: Any) -> None:
            if progress.rows > 300:
                shop.change(no_xmlrpc=True)

        report = dump(asked, tmp_path / "auto", progress=block).as_json()
    assert (tmp_path / "auto").read_bytes() == expected
    assert report["wire"] == "soap"
    assert report["wire_reason"].startswith("rows cannot be read by XML-RPC: ")


class Fenced(Shop):
    """A shop with a firewall that answers some calls.

    Attributes:
        fences: the answers by what is found in a call: HTTP status and body.
        fenced: how many calls were answered so.
    """

    fences: tuple[tuple[bytes, int, bytes], ...] = ()
    fenced = 0

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer by SOAP."""
        return self._fenced(body) or super().soap(body, context)

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer by XML-RPC."""
        return self._fenced(body) or super().xmlrpc(body, context)

    def _fenced(self, body: bytes) -> Answer | None:
        for words, status, page in self.fences:
            if words in body:
                self.fenced += 1
                return whole(status, "text/html", page)
        return None


BLOCKED = {
    403: b"<html><title>403 Forbidden</title></html>",
    404: b"<html><title>404 Not Found</title></html>",
    405: b"Method Not Allowed",
    200: b"<!DOCTYPE html><html><title>My shop</title></html>",
    500: b"",
    503: b"<html><title>Maintenance</title></html>",
}
"""What answers at the address of XML-RPC where a host blocks it, by HTTP status."""


@pytest.mark.sampled
@pytest.mark.parametrize("status", BLOCKED)
@pytest.mark.parametrize("entity", ["invoices", "shipments", "customers"])
@pytest.mark.parametrize("when", ["before", "amid"])
@pytest.mark.usefixtures("hurried")
def test_a_host_may_block_xml_rpc_at_any_time(tmp_path: Path, status: int, entity: ListName, when: str) -> None:
    """The dump has the same bytes, and the report says why it continued by SOAP."""
    fences = ((b"<methodCall", status, BLOCKED[status]),)
    with Fenced(orders=600) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        expected, _ = written(pager, entity, tmp_path / "soap", window=100)
        shop.fences = fences if when == "before" else ()
        asked = pager.list(entity, wire="auto", window=100)

        def block(progress: Any) -> None:
            shop.fences = fences if progress.rows > 150 else shop.fences

        report = dump(asked, tmp_path / "auto", progress=block).as_json()
    assert (tmp_path / "auto").read_bytes() == expected
    assert (report["wire"], report["quarantined"]) == ("soap", [])
    begin = "XML-RPC fails: " if when == "before" else "rows cannot be read by XML-RPC: "
    assert report["wire_reason"].startswith(begin)
    assert f"{LISTS[entity].path}: " in report["wire_reason"]
    assert ("a page of HTML" if status == 200 else f"HTTP {status}") in report["wire_reason"]
    assert ("the host has no XML-RPC, or blocks it" in report["wire_reason"]) == (status in {403, 404, 405})


@pytest.mark.parametrize("status", [403, 500])
@pytest.mark.usefixtures("hurried")
def test_lists_by_soap_may_fail_during_a_walk(tmp_path: Path, status: int) -> None:
    """If records by SOAP are equal to the rows by XML-RPC, XML-RPC replaces SOAP."""
    fences = ((b"salesOrderList", status, BLOCKED[status]),)
    with Fenced(orders=600) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        expected, _ = written(pager, "orders", tmp_path / "soap")

        def block(progress: Any) -> None:
            shop.fences = fences if progress.rows > 150 else shop.fences

        report = dump(pager.orders(wire="auto", window=100), tmp_path / "auto", progress=block).as_json()
    assert (tmp_path / "auto").read_bytes() == expected
    assert report["wire"] == "xml-rpc"
    assert report["wire_reason"].startswith("rows cannot be read by SOAP: ")


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Shop]:
    """Return a shop with an empty text and NULL, and with a password reset token."""
    path = tmp_path / "rows.json"
    customers = {"columns": ["entity_id", "email", "rp_token"], "rows": [[1, "a@b.example", TOKEN], [2, "", None]]}
    orders = {"columns": ["entity_id", "coupon_rule_name", "coupon_code"], "rows": [[1, "", ""], [2, None, None]]}
    path.write_text(json.dumps({"orders": orders, "customers": customers}))
    with Shop(rows=path) as running:
        yield running


@pytest.mark.parametrize("entity", ["customers", "orders"])
@pytest.mark.usefixtures("hurried")
def test_each_walk_of_a_paginator_can_change_the_protocol(entity: ListName) -> None:
    """Also after another walk did, such as those of partitions in threads."""
    with Fenced(orders=600) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        expected = list(pager.list(entity))
        paginator = pager.list(entity, wire="auto", window=50, lookahead=False)
        walks = [paginator.pages(part) for part in paginator.partitions(3)]
        rows = [list(next(walk).rows) for walk in walks]
        shop.fences = ((b"salesOrderList", 403, BLOCKED[403]), (b"customer.list", 403, BLOCKED[403]))
        for found, walk in zip(rows, walks, strict=True):
            found += [row for page in walk for row in page.rows]
    assert [row for found in rows for row in found] == expected


def test_the_comparison_is_made_once_if_both_protocols_fail() -> None:
    """The records are not requested a second time; the error is that of SOAP."""
    with Fenced(orders=60) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        shop.fences = ((b"customerCustomerList", 403, BLOCKED[403]), (b"<methodCall", 404, BLOCKED[404]))
        shop.clear_log()
        with pytest.raises(RemoteError, match=r"^customerCustomerList: HTTP 403; ") as caught:
            list(pager.customers(wire="auto", patience=0.0))
        assert caught.value.cursor == magento_pager.Cursor("customerCustomerList", 0, magento_pager.MAX_ID, asked="")
        assert shop.fenced <= 4


class Altered(Shop):
    """A shop that sends other values by XML-RPC than by SOAP.

    Attributes:
        pattern: what is altered in replies.
        becomes: what takes its place.
    """

    pattern, becomes = b"$^", b""

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer by XML-RPC."""
        answer = super().xmlrpc(body, context)
        reply = re.sub(self.pattern, self.becomes, b"".join(answer.pieces))
        return whole(answer.status, answer.content_type, reply, answer.call)


def test_rows_that_differ_are_read_by_soap() -> None:
    """An extension may change one of the APIs: SOAP is the default."""
    with Altered(orders=200) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        expected = list(pager.customers())
        shop.pattern, shop.becomes = b"cust7@", b"other@"
        paginator = pager.customers(wire="auto")
        assert list(paginator) == expected
        used = paginator.wires.used()  # type: ignore[union-attr]  # it is "auto"
        assert used["wire"] == "soap"
        assert used["wire_reason"] == "XML-RPC returns another 'email' for row 7 than SOAP"
        assert list(pager.customers(wire="xml-rpc", columns="declared")) != expected


@pytest.mark.parametrize("empty", [{}, {"coupon_code": ""}], ids=str)
def test_a_list_instead_of_a_text_becomes_the_text_array(empty: dict[str, str]) -> None:
    """As PHP writes it by SOAP, whatever else is in the row."""
    with Altered(orders=3) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        shop.pattern = rb"(<name>status</name><value>)<string>[^<]*</string>"
        shop.becomes = rb"\1<array><data><value><string>new</string></value></data></array>"
        for number in shop.database.ids("orders"):
            shop.database.update("orders", number, empty)
        rows = list(pager.orders(wire="xml-rpc", columns="declared", patience=0.0))
    assert [row["status"] for row in rows] == ["Array"] * 3


def test_a_value_of_another_form_is_reported() -> None:
    """With the call and the column, for the author of the extension."""
    with Altered(orders=60) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        ids = sorted(shop.database.ids("products"))
        shop.pattern = (
            rb"(<name>product_id</name>.{0,40}>%d<.*?<name>category_ids</name><value>)<array>.*?</array>" % ids[2]
        )
        shop.becomes = rb"\1<string>3,4</string>"
        pages = list(pager.products(wire="xml-rpc", columns="declared", patience=0.0).pages())
    (skipped,) = (one for page in pages for one in page.quarantined)
    assert skipped.id == ids[2]
    assert skipped.reason == "catalog_product.list: category_ids: the reply has a text instead of a list"


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_null_is_not_an_empty_text(odd: Shop, flavour: Flavour) -> None:
    """NULL is an absent key, and an empty text is present, declared or not, on servers whose SOAP confuses them."""
    for profile in ("1.7.0.2", "20.0.20"):
        odd.set_profile(profile, flavour=flavour)
        with magento_pager.connect(odd.url, odd.user, odd.key) as pager:
            first, second = pager.orders(columns="all")
            assert (first["coupon_code"], first["coupon_rule_name"]) == ("", "")
            assert not {"coupon_code", "coupon_rule_name"} & second.keys()


def test_the_password_reset_token_is_dropped(odd: Shop, tmp_path: Path) -> None:
    """Like `password_hash`, unless it is requested."""
    with magento_pager.connect(odd.url, odd.user, odd.key) as pager:
        assert not any("rp_token" in row for row in pager.customers(wire="xml-rpc"))
        found, report = written(pager, "customers", tmp_path / "out", columns="all")
        assert TOKEN.encode() not in found
        assert "rp_token" in report["undeclared_columns"]
        first, _ = pager.customers(columns="all", password_hash=True)
        assert first["rp_token"] == TOKEN


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet", "sqlite"])
def test_all_columns_are_in_each_format(
    shop: Shop, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As text; the report names them, and `verify` compares them."""
    if form == "parquet":
        needs_pyarrow()
    path, report = tmp_path / f"customers.{form}", tmp_path / "report.json"
    where = ["--url", shop.url, "--user", shop.user, "--key", shop.key]
    out = ["--out", str(path), "--format", form]
    assert run(["dump", "customers", "--verbose", "--all-columns", *where, *out, "--report", str(report)]) == 0
    report_keys = json.loads(report.read_text())
    assert report_keys["wire"] == "xml-rpc"
    assert "disable_auto_group_change" in report_keys["undeclared_columns"]
    assert "Columns that SOAP does not declare: " in capsys.readouterr().err
    content = path.read_bytes() if path.is_file() else b"".join(one.read_bytes() for one in path.iterdir())
    assert b"disable_auto_group_change" in content
    assert run(["verify", str(path), *where, "--report", str(report)]) == 0
    assert "not compared, because the file does not have them: password_hash\n" in capsys.readouterr().err


def test_a_dump_is_resumed_by_the_other_protocol_only_with_the_same_columns(pager: Pager, tmp_path: Path) -> None:
    """The protocol may change, the columns may not."""
    expected, _ = written(pager, "orders", tmp_path / "whole")
    path = tmp_path / "part"

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dump(pager.orders(window=50), path, progress=stop)
    with pytest.raises(magento_pager.CheckpointMismatchError, match="all_columns was False and is now True"):
        dump(pager.orders(wire="xml-rpc"), path, resume=True)
    dump(pager.orders(wire="xml-rpc", columns="declared", window=50), path, resume=True)
    assert path.read_bytes() == expected


def test_options_that_do_not_go_together(pager: Pager) -> None:
    """The message is one line with the possible values."""
    with pytest.raises(ValueError, match="use xml-rpc for all columns"):
        pager.orders(wire="soap", columns="all")
    with pytest.raises(ValueError, match="there is no wire 'rest'; the wires are soap, xml-rpc, auto"):
        pager.orders(wire="rest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='columns is "declared" or "all", not'):
        pager.orders(columns=["sku"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"not 'all'\. To get the columns .* use pager\.orders\(columns=\"all\"\)"):
        dump(pager.orders(), None, columns="all")
    with pytest.raises(ValueError, match="the strategy alias is for SOAP; by XML-RPC there are auto, key-range"):
        pager.orders(wire="xml-rpc", strategy="alias")


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [("", "eq", "1")],
        [("entity_id", "from", "")],
        [("entity_id", "to", "")],
        [("entity_id", "in", "")],
        [("entity_id", "between", "1")],
        [("entity_id", "FROM", "1")],
    ],
)
def test_no_call_can_return_the_whole_table(shop: Shop, pager: Pager, conditions: list[tuple[str, str, str]]) -> None:
    """Conditions that a server would silently misread are refused before they are sent."""
    asked = [Condition(*one) for one in conditions]
    called(shop)
    with pytest.raises(ValueError, match=r"^sales_order\.list: "):
        nested_filters(asked, "sales_order.list", IdRange(0, 9))
    empty: tuple[dict[str, dict[str, str]], ...] = ({}, {"entity_id": {}})
    for filters in empty:
        with pytest.raises(ValueError, match="its whole table"):
            list(pager.connection.xmlrpc_rows(LISTS["orders"], filters))
    assert called(shop) == []


def test_two_conditions_on_a_field_are_a_range_or_refused() -> None:
    """As a list they would be an OR, and together the server would drop one."""
    bounds = [Condition("created_at", "from", "2024-01-01"), Condition("created_at", "to", "2024-02-01")]
    assert nested_filters(bounds, "a.list", IdRange(0, 9)) == {"created_at": {"from": "2024-01-01", "to": "2024-02-01"}}
    for other in (Condition("created_at", "lt", "2024-01-31"), Condition("created_at", "to", "2024-01-31")):
        with pytest.raises(FilterIgnoredError, match="XML-RPC takes one condition on created_at"):
            nested_filters([*bounds, other], "a.list", IdRange(0, 9))


def test_lists_of_values_are_sent_as_arrays_and_ids_as_text(pager: Pager) -> None:
    """A text with commas would be its first id, and an integer of XML-RPC ends at 2147483647."""
    filters = nested_filters(
        [Condition("entity_id", "in", "3,4000000000"), Condition("store_id", "null", "")], "a.list", IdRange(0, 9)
    )
    assert filters == {"entity_id": {"in": ["3", "4000000000"]}, "store_id": {"null": "1"}}
    asked = pager.orders(wire="xml-rpc", strategy="in-list", window=50, first=4_294_967_200)
    assert list(asked) == []


def test_doctor_and_plan_report_both_protocols(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The doctor tries both; a plan is for the one that a dump would choose."""
    where = ["--url", shop.url, "--user", shop.user, "--key", shop.key]
    assert run(["doctor", *where]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line.strip() for line in lines if "by XML-RPC: key-range" in line]
    assert len(found) == len(LISTS)
    assert all("were equal by both" in line for line in found)
    assert run(["plan", "invoices", "--wire", "auto", *where]) == 0
    assert "wire      xml-rpc: " in capsys.readouterr().out
    assert run(["plan", "orders", "--wire", "xml-rpc", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out)["wire"] == "xml-rpc"


@pytest.mark.parametrize(
    ("options", "most"),
    [({}, 1), ({"wire": "auto"}, 1), ({"wsdl_cache": True}, 8), ({"wire": "xml-rpc"}, 8)],
    ids=["soap", "auto takes soap", "wsdl cache", "xml-rpc"],
)
def test_parallel_auto_never_blocks_a_shop_by_soap(
    shop: Shop, pager: Pager, options: dict[str, Any], most: int
) -> None:
    """A stock server needs a second worker for each SOAP call, and none by XML-RPC."""
    shop.change(latency=0.02)
    asked = {"window": 5, "parallel": "auto", **options}
    if most > 1:
        pages = list(pager.orders(**asked).pages())
        assert max(page.stats.parallel for page in pages) > 1
    else:
        with pytest.warns(UserWarning, match="parallel auto stays at one call at a time by SOAP"):
            pages = list(pager.orders(**asked).pages())
        assert {page.stats.parallel for page in pages} == {1}
    assert sum(len(page.rows) for page in pages) == 200


def test_a_fault_by_xml_rpc_names_the_column(pager: Pager) -> None:
    """As one by SOAP does, although the operation has another name."""
    with pytest.raises(
        (FaultError, RemoteError), match=r"orders have no (column |standard field )?'stat'.*did you mean '?stat"
    ):
        list(pager.orders(wire="xml-rpc", where=[("stat", "eq", "new")]))
