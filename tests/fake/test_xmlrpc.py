"""XML-RPC at its own address: the same shop through Python's own client."""

from __future__ import annotations

import json
import xmlrpc.client
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import requests
from clients import envelope
from lxml import etree

from magento_pager.fake import PROFILES, Shop
from magento_pager.fake.api import Context
from magento_pager.fake.lists import LISTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from magento_pager.fake.profiles import Profile


class Remote:
    """A client that is logged in."""

    def __init__(self, shop: Shop) -> None:
        self._url = shop.xmlrpc_url
        self.session = str(self.raw("login", shop.user, shop.key))

    def raw(self, method: str, *arguments: Any) -> Any:
        """Call a method."""
        transport = xmlrpc.client.Transport()
        with closing(transport), xmlrpc.client.ServerProxy(self._url, transport, allow_none=True) as proxy:
            return getattr(proxy, method)(*arguments)

    def call(self, path: str, *arguments: Any) -> Any:
        """Call by path."""
        return self.raw("call", self.session, path, list(arguments))

    def fault(self, method: str, *arguments: Any) -> int:
        """Return the code of the fault that a method ends in."""
        with pytest.raises(xmlrpc.client.Fault) as caught:
            self.raw(method, *arguments)
        return caught.value.faultCode


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Return a shop that the tests do not change."""
    with Shop(orders=120) as running:
        yield running


@pytest.fixture(scope="module")
def remote(shop: Shop) -> Remote:
    """Return a client of the shop."""
    return Remote(shop)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_nested_bounds_are_exact_on_every_version_and_every_list(profile: Profile) -> None:
    """A closed range, or a list of ids, in a struct is read correctly by every parser."""
    with Shop(profile=profile, orders=800) as shop:
        remote = Remote(shop)
        for name in profile.lists:
            path = f"{LISTINGS[name].resource}.list"
            numbers = [key for key in shop.database.ids(name) if 10 <= key <= 30]
            assert len(remote.call(path, {"entity_id": {"from": 10, "to": 30}})) == len(numbers) > 0
            assert len(remote.call(path, {"entity_id": {"in": numbers[:3]}})) == 3


def test_a_list_has_every_column_and_explicit_nulls(remote: Remote, shop: Shop) -> None:
    """It returns NULLs that SOAP omits, and columns that are not in the WSDL."""
    (order,) = remote.call("order.list", {"entity_id": 3})
    assert order["order_id"] == 3
    assert "coupon_rule_name" in order
    assert None in order.values()
    assert "entity_id" not in order
    assert {type(value) for value in order.values()} == {str, int, type(None)}
    assert len(order) > len([value for value in order.values() if value is not None])
    assert remote.call("order.list", {"status": "no such status"}) == []
    assert len(remote.call("order.list")) == shop.database.count("orders")


def test_each_element_of_a_multi_call_has_a_result_or_a_fault(remote: Remote) -> None:
    """The fault of an element is among the results of the others."""
    orders = remote.call("order.list", {"entity_id": {"to": 10}})
    calls: list[Any] = [["sales_order.info", [order["increment_id"]]] for order in orders]
    calls[2:2] = [["sales_order.info", ["none"]], ["no.such"], ["order.fly", []], ["store.list"]]
    results = remote.raw("multiCall", remote.session, calls)
    assert results[2] == {"isFault": True, "faultCode": "100", "faultMessage": "Requested order not exists."}
    assert [result["faultCode"] for result in results[3:5]] == ["3", "3"]
    assert [store["code"] for store in results[5]] == ["default", "deutsch", "nihongo"]
    assert [result["order_id"] for result in results[:2] + results[6:]] == [order["order_id"] for order in orders]
    assert results[0]["items"][0]["order_id"] == results[0]["order_id"]


@pytest.mark.parametrize("path", ["sales_order_invoice", "order_shipment", "sales_order_creditmemo"])
def test_documents_in_full_have_items_and_comments(remote: Remote, path: str) -> None:
    """Invoices, shipments and credit memos are found by their increment ids."""
    first = remote.call(f"{path}.list")[0]
    record = remote.call(f"{path}.info", first["increment_id"])
    assert record["increment_id"] == first["increment_id"]
    assert record["items"]
    assert "comments" in record


def test_customers_and_products_are_found_by_their_keys(remote: Remote) -> None:
    """Customers by id, their addresses by the customer's or their own id; products by id or SKU."""
    assert remote.call("customer.info", "3")["customer_id"] == 3
    book = remote.call("customer_address.list", 3)
    assert [remote.call("customer_address.info", address["customer_address_id"]) for address in book] == book
    product = remote.call("product.list", {"entity_id": 3})[0]
    assert remote.call("product.info", product["sku"])["product_id"] == 3
    assert remote.call("core_magento.info") == {"magento_version": "1.9.4.5", "magento_edition": "Community"}


def test_faults_have_the_codes_of_soap_and_http_200(remote: Remote, shop: Shop) -> None:
    """The numbered faults are the same; an unknown method has Zend's number."""
    session = remote.session
    assert remote.fault("login", "demo", "wrong") == 2
    assert remote.fault("login", "", "") == 6
    assert remote.fault("call", "no session", "order.list") == 5
    assert remote.fault("call", session, "nothing") == 3
    assert remote.fault("call", session, "order.explode") == 3
    assert remote.fault("call", session, "order.list", [{"no_such_field": "1"}]) == 1
    assert remote.fault("explode") == 620
    shop.change(denied=["orders"])
    assert remote.fault("call", session, "order.list") == 2
    shop.change(denied=())


def test_an_invalid_request_is_a_fault() -> None:
    """Anything that cannot be parsed, or is a reply, is a fault with HTTP 200."""
    with Shop(orders=1) as shop:
        for body, code in (
            (b"", 630),
            (b"<a>", 632),
            (b"<a/>", 632),
            (xmlrpc.client.dumps((1,), methodresponse=True).encode(), 632),
            (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a><methodName>&b;</methodName></a>", 631),
        ):
            answer = shop.xmlrpc(body, Context(shop.settings, 0.0))
            assert answer.status == 200
            with pytest.raises(xmlrpc.client.Fault) as caught:
                xmlrpc.client.loads(b"".join(answer.pieces))
            assert caught.value.faultCode == code


def test_sessions_are_those_of_soap(remote: Remote, shop: Shop) -> None:
    """Both protocols share one table, and ending a session ends it for both."""
    session = shop.sessions.login(shop.user, 60)
    assert remote.raw("call", session, "order.list", [{"entity_id": 3}])
    assert remote.raw("endSession", session) is True
    assert remote.fault("call", session, "order.list") == 5
    assert remote.fault("call", remote.raw("startSession"), "order.list") == 5


def test_calls_are_in_the_log(shop: Shop, remote: Remote) -> None:
    """Each has the number of its rows or records."""
    shop.clear_log()
    remote.raw("multiCall", remote.session, [["order.list", [{"entity_id": {"to": 6}}]], ["customer.info", ["3"]]])
    (logged,) = shop.log
    assert (logged.operation, logged.rows, logged.fault) == ("multiCall", 4, "")
    assert logged.bytes > 1000


def test_control_characters_are_escaped_from_1_9_3_on() -> None:
    """Older versions send them raw, which is not XML."""
    with Shop(orders=5, control_characters=[3]) as shop:
        remote = Remote(shop)
        assert remote.call("order.list", {"entity_id": 3})[0]["customer_firstname"] == "A&#1;B"
        shop.set_profile("1.8.1.0")
        with pytest.raises(Exception, match="not well-formed"):
            remote.call("order.list", {"entity_id": 3})


def test_numbers_are_text_up_to_php_8_0_and_numbers_later() -> None:
    """PHP's driver has changed; the newest version runs on the newest PHP."""
    with Shop(orders=5) as shop:
        remote = Remote(shop)
        assert remote.call("order.list")[0]["order_id"] == 3
        shop.set_profile("1.8.1.0")
        assert remote.call("order.list")[0]["order_id"] == "3"


def test_a_product_is_found_by_sku_or_id() -> None:
    """A SKU that looks like the id of another product is read as the SKU, unless `id` is given."""
    with Shop(orders=100) as shop:
        remote = Remote(shop)
        shop.database.update("products", 4, {"sku": "3"})
        assert remote.call("product.info", "3")["product_id"] == 4
        assert remote.call("product.info", "3", "0", None, "ID")["product_id"] == 3
        assert remote.call("product.info", "3", "0", None, "sku")["product_id"] == 4


def test_a_missing_address_is_an_empty_list() -> None:
    """In PHP an empty record is the same as an empty list."""
    with Shop(orders=60) as shop:
        remote = Remote(shop)
        virtual = [row for row in remote.call("order.list") if str(row["is_virtual"]) == "1"]
        assert virtual
        assert all(remote.call("order.info", row["increment_id"])["shipping_address"] == [] for row in virtual)


def test_a_carriage_return_is_escaped() -> None:
    """An XML parser would read a raw one as a line break."""
    with Shop(orders=5) as shop:
        shop.database.update("orders", 3, {"customer_note": "one\r\ntwo"})
        assert Remote(shop).call("order.list", {"entity_id": 3})[0]["customer_note"] == "one\r\ntwo"


def test_only_a_single_call_has_the_text_of_an_internal_error() -> None:
    """The list has the order; in a `multiCall` only the log of the server has the error."""
    with Shop(orders=5, broken_records=[4]) as shop:
        remote = Remote(shop)
        assert len(remote.call("order.list")) == 5
        keys = [row["increment_id"] for row in remote.call("order.list", {"entity_id": {"in": [3, 4]}})]
        order, fault = remote.raw("multiCall", remote.session, [["order.info", [key]] for key in keys])
        assert order["order_id"] == 3
        assert fault == {
            "isFault": True,
            "faultCode": "1",
            "faultMessage": "Internal Error. Please see log for details.",
        }
        with pytest.raises(xmlrpc.client.Fault, match="getMethod"):
            remote.call("order.info", keys[1])


def test_a_shop_may_have_no_xmlrpc() -> None:
    """Its address is not found, while SOAP answers."""
    with Shop(orders=1, no_xmlrpc=True) as shop:
        with pytest.raises(xmlrpc.client.ProtocolError, match="404"):
            Remote(shop)
        shop.change(no_xmlrpc=False)
        assert Remote(shop).session


def test_arguments_of_other_types_are_a_fault(remote: Remote) -> None:
    """Zend checks the types of the arguments of each method first."""
    session = remote.session
    for method, arguments in (
        ("call", [session, "order.list", {"entity_id": 3}]),
        ("call", [session, "order.list", None]),
        ("call", [session, "order.list", "3"]),
        ("call", [session, "order.list", [], []]),
        ("call", [session, 3]),
        ("call", [None, "order.list"]),
        ("call", []),
        ("multiCall", [session, {"0": ["order.list"]}]),
        ("login", ["demo", 5]),
        ("startSession", [session]),
        ("endSession", []),
    ):
        assert remote.fault(method, *arguments) == 623, (method, arguments)
    assert remote.fault("nothing", {}) == 620
    assert remote.fault("login", "demo") == 6


def test_paths_have_two_words(remote: Remote) -> None:
    """Two words in lower case, separated by a dot; further words after them are ignored."""
    session = remote.session
    assert len(remote.call("sales_order.list.of.all", {"entity_id": [3, 4]})) == 2
    for path in (
        "",
        "sales_order",
        "sales_order.",
        ".list",
        "SALES_ORDER.LIST",
        "sales_order.items",
        "a.list",
        " order.list",
    ):
        assert remote.fault("call", session, path, [{}]) == 3, path


def test_forms_of_an_element_of_a_multi_call(remote: Remote) -> None:
    """A path, or a path and its arguments: a list, a struct by name, or a single one that is not an array."""
    filters = {"entity_id": 3}
    calls: list[Any] = [
        ["order.list", [filters]],
        ["order.list", {"filters": filters}],
        {"0": "order.list", "1": [filters]},
        ["order.list", {"0": filters}],
        ["order.list"],
        ["order.list", "abc"],
        ["order.list", [filters, "more", "and more"]],
        "order.list",  # its first letter is the path
        5,
        [],
        [None],
    ]
    results = remote.raw("multiCall", remote.session, calls)
    rows = [len(result) if isinstance(result, list) else result["faultCode"] for result in results]
    assert rows == [1, 1, 1, 1, 120, 120, 1, "3", "3", "3", "3"]
    assert remote.raw("multiCall", remote.session) == []


@pytest.mark.parametrize(
    ("calls", "status"),
    [
        ([["order.list", {"entity_id": 3}]], 500),  # an unknown argument by name
        ([["customer.list", [["x"]]]], 500),
        ([["customer.list"]], 500),  # the only list whose filters are a required argument
        ([["order.info", []]], 500),
        ([[["order.list"], []]], 500),
        ([["customer.list", [{"entity_id": {}}]]], 503),
        ([["product.list", [{"entity_id": {"regexp": "("}}]]], 503),
    ],
)
def test_fatal_errors_end_a_whole_multi_call(remote: Remote, calls: Any, status: int) -> None:
    """PHP dies, or Magento prints its report: there is no reply at all, and the log has the error."""
    with pytest.raises(xmlrpc.client.ProtocolError) as caught:
        remote.raw("multiCall", remote.session, [["order.list", [{"entity_id": 3}]], *calls])
    assert caught.value.errcode == status


def test_a_database_error_has_another_text_in_a_multi_call(remote: Remote) -> None:
    """A single call has the SQL, a `multiCall` only a general text, except for credit memos."""
    with pytest.raises(xmlrpc.client.Fault) as caught:
        remote.call("order.list", {"nope": 1})
    assert "1054 Unknown column 'nope' in 'WHERE', query was: SELECT" in caught.value.faultString
    calls = [[f"{path}.list", [{"nope": 1}]] for path in ("order", "order_creditmemo", "customer", "product")]
    results = remote.raw("multiCall", remote.session, calls)
    assert [result["faultCode"] for result in results] == ["1", "101", "101", "0"]
    assert results[0]["faultMessage"] == "Internal Error. Please see log for details."
    assert "1054" in results[1]["faultMessage"]
    assert results[2]["faultMessage"] == "Invalid attribute name: nope"


def test_lack_of_memory_or_time_returns_an_empty_body(shop: Shop, remote: Remote) -> None:
    """HTTP 500 without a body, where SOAP still has a fault."""
    for knobs in ({"memory_limit_rows": 5}, {"latency": 0.02, "max_execution_time": 0.01}):
        shop.change(**knobs)
        with pytest.raises(xmlrpc.client.ProtocolError, match="500"):
            remote.call("order.list")
        shop.change(memory_limit_rows=0, latency=0.0, max_execution_time=0.0)
    assert remote.call("order.list")


def test_columns_of_each_list(remote: Remote) -> None:
    """There are more than in SOAP, with explicit NULLs; customers have no NULLs; ids of products are arrays."""
    (order,) = remote.call("order.list", {"order_id": 3})
    assert (
        order["forced_shipment_with_invoice"] is order["forced_do_shipment_with_invoice"] is order["middlename"] is None
    )
    assert len(order) >= 151
    (invoice,) = remote.call("order_invoice.list", {"invoice_id": 3})
    columns = "order_id increment_id created_at state grand_total order_currency_code invoice_id"
    assert list(invoice) == columns.split()
    (shipment,) = remote.call("order_shipment.list", {"shipment_id": 3})
    assert list(shipment) == ["increment_id", "created_at", "total_qty", "shipment_id"]
    assert shipment["shipment_id"] is None
    customers = remote.call("customer.list", {})
    assert all(None not in row.values() and row["disable_auto_group_change"] == 0 for row in customers)
    assert not {"entity_id", "entity_type_id", "attribute_set_id"} & set().union(*customers)
    assert len({len(row) for row in customers}) > 1
    products = remote.call("product.list")
    assert list(products[0]) == ["product_id", "sku", "name", "set", "type", "category_ids", "website_ids"]
    assert {type(row["category_ids"]) for row in products} == {list}
    assert [] in [row["category_ids"] for row in products]


BLOCKED = {"http-403": "403", "http-404": "404", "page": None, "fatal": None, "report": "503"}


@pytest.mark.parametrize("name", BLOCKED)
def test_trouble_may_affect_one_protocol_only(shop: Shop, remote: Remote, name: str) -> None:
    """SOAP works if a host blocks XML-RPC or PHP breaks it, and the other way round."""
    shop.change(trouble=name, trouble_by="xmlrpc")
    with pytest.raises(Exception, match=BLOCKED[name] or "syntax error|not well-formed|mismatched"):
        remote.call("order.list")
    assert soap_rows(shop, "orders")
    shop.change(trouble_by="soap")
    assert remote.call("order.list")
    with pytest.raises(AssertionError):
        soap_rows(shop, "orders")
    shop.change(trouble="", trouble_by="both")


def test_trouble_of_rows_may_affect_one_protocol_only(shop: Shop, remote: Remote) -> None:
    """Only lists with the row by that protocol have it, and a whole `multiCall` with the row."""
    shop.change(trouble="http-500", trouble_rows=[7], trouble_at="lists", trouble_by="xmlrpc")
    assert len(remote.call("order.list", {"entity_id": {"to": 6}})) == 3
    for method, path in (("call", "order.list"), ("multiCall", [["store.list"], ["order.list"]])):
        with pytest.raises(xmlrpc.client.ProtocolError, match="500"):
            remote.raw(method, remote.session, path)
    assert len(soap_rows(shop, "orders")) == shop.database.count("orders")
    shop.change(trouble="", trouble_rows=(), trouble_at="calls", trouble_by="both")


CARRIED = {
    "orders": "grand_total",
    "invoices": "grand_total",
    "shipments": "total_qty",
    "creditmemos": "grand_total",
    "customers": "email",
    "products": "type",
}


@pytest.mark.parametrize("name", CARRIED)
def test_one_protocol_may_lack_a_column_or_change_a_value(shop: Shop, remote: Remote, name: str) -> None:
    """As with a module that changes one of them: nothing else differs."""
    path, column = f"{LISTINGS[name].resource}.list", CARRIED[name]

    def rows() -> tuple[list[dict[str, Any]], list[dict[str, str | None]]]:
        return remote.call(path, {}), soap_rows(shop, name)

    before = rows()
    for place, protocol in enumerate(("xmlrpc", "soap")):
        shop.change(trouble="column-missing", trouble_by=protocol)  # type: ignore[arg-type]  # a word of it
        less = rows()
        shop.change(trouble="value-changed")
        other = rows()
        shop.change(trouble="", trouble_by="both")
        assert less[1 - place] == other[1 - place] == before[1 - place]
        for row, fewer, changed in zip(before[place], less[place], other[place], strict=True):
            assert fewer == {field: value for field, value in row.items() if field != column}
            assert changed == row | {column: f"1{row[column]}"}


def soap_rows(shop: Shop, name: str) -> list[dict[str, str | None]]:
    """Return the rows of a list by SOAP, as texts by field."""
    session = shop.sessions.login(shop.user, 60)
    arguments = f"<sessionId>{session}</sessionId><filters/><storeView/>"
    body = envelope(f"<n:{LISTINGS[name].operation}>{arguments}</n:{LISTINGS[name].operation}>")
    reply = requests.post(shop.url, data=body, timeout=10)
    assert reply.status_code == 200
    try:
        document = etree.fromstring(reply.content)
    except etree.XMLSyntaxError:
        raise AssertionError(reply.text) from None
    return [{field.tag: field.text for field in row} for row in document.iter("item") if len(row)]


def test_calls_need_no_second_worker() -> None:
    """A call by SOAP needs a second worker for the shop's own WSDL; XML-RPC has no WSDL."""
    with Shop(orders=20, workers=2, socket_timeout=0.05) as shop, ThreadPoolExecutor(6) as pool:
        remote = Remote(shop)
        with shop.workers.place():  # a worker that is busy with another call
            with pytest.raises(AssertionError):
                soap_rows(shop, "orders")
            assert len(remote.call("order.list")) == 20
        assert len(soap_rows(shop, "orders")) == 20
        assert [len(rows) for rows in pool.map(remote.call, ["order.list"] * 12)] == [20] * 12
    with Shop(orders=20, workers=1, socket_timeout=0.05) as shop:
        assert len(Remote(shop).call("order.list")) == 20
        with pytest.raises(AssertionError):
            soap_rows(shop, "orders")


def test_two_concurrent_soap_calls_block_two_workers() -> None:
    """Each occupies a worker and waits for another until the first one times out; by XML-RPC both are answered."""
    with Shop(orders=20, workers=2, socket_timeout=0.3, latency=0.6) as shop, ThreadPoolExecutor(2) as pool:
        remote = Remote(shop)
        assert [len(rows) for rows in pool.map(remote.call, ["order.list"] * 2)] == [20, 20]

        def faulty(_: int) -> bool:
            try:
                soap_rows(shop, "orders")
            except AssertionError:
                return True
            return False

        assert any(pool.map(faulty, range(2)))


def test_columns_of_modules_are_in_xmlrpc_only(tmp_path: Path) -> None:
    """They are not in the WSDL; they can be set, changed and filtered."""
    content = {
        "orders": {"columns": ["entity_id", "erp_number"], "rows": [[3, "X-1"], [4, None]]},
        "customers": {"columns": ["entity_id", "loyalty_code"], "rows": [[3, "ü&<>"], [4, None]]},
    }
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with Shop(rows=path) as shop:
        remote = Remote(shop)
        assert [row["erp_number"] for row in remote.call("order.list")] == ["X-1", None]
        assert [row.get("loyalty_code") for row in remote.call("customer.list", {})] == ["ü&<>", None]
        assert not {"erp_number", "loyalty_code"} & set().union(
            *soap_rows(shop, "orders"), *soap_rows(shop, "customers")
        )
        shop.database.update("orders", 4, {"erp_number": "Y"})
        assert [row["order_id"] for row in remote.call("order.list", {"erp_number": "Y"})] == [4]
        assert [row["customer_id"] for row in remote.call("customer.list", {"loyalty_code": {"notnull": 1}})] == [3]


def test_a_made_up_shop_has_columns_that_soap_lacks(remote: Remote, shop: Shop) -> None:
    """Some rows have values in them, in every list that selects its whole table."""
    for name in ("orders", "creditmemos", "customers"):
        declared = {field.name for field in LISTINGS[name].fields}
        rows = remote.call(f"{LISTINGS[name].resource}.list", {})
        more = set().union(*rows) - declared
        filled = [field for field in more if any(row.get(field) for row in rows)]
        assert filled, name
        assert any(row.get(field) is None for row in rows for field in filled)
    assert shop.database.count("creditmemos") == 6
