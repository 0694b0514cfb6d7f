"""Replies that are mixed up: no row ever gets the fields of another record, by either protocol, in any list."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
import xmlrpc.client
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

import magento_pager
from magento_pager import RemoteError
from magento_pager.cli import run
from magento_pager.fake import Shop
from magento_pager.fake.api import whole
from magento_pager.lists import LISTS
from magento_pager.shop.details import Details, _Owners
from magento_pager.walk.ranges import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from magento_pager import Pager
    from magento_pager.fake.api import Answer, Context
    from magento_pager.lists import ListName
    from magento_pager.walk.pages import Row

Results: TypeAlias = "list[Any]"

ALWAYS = 1_000_000

NAMED = re.compile(
    rb"(<(?:orderIncrementId|invoiceIncrementId|shipmentIncrementId|creditmemoIncrementId|customerId|productId|product)"
    rb"\b[^>]*>)([^<]+)<"
)
"""The element of a SOAP request that names the record, and its text."""
FLAVOURS = ["rpc", "wsi"]


class Muddled(Shop):
    """A shop, or a proxy in front of it, that mixes up its replies.

    Attributes:
        replies: how many replies are still to be mixed up.
        other: whose record is given instead of one, by SOAP, or in all of a `multiCall`.
        mixed: what becomes of the results of a `multiCall`.
        age: answer as so many requests of that way before, or as the first one.
        sent: the replies of this walk, by way.
        honest: rows of lists in full, by way, when nothing is mixed up.
        asked: the keys asked for by SOAP, and by `multiCall` the paths and keys of each call.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.replies = 0
        self.other: Callable[[str], str] = lambda key: key
        self.mixed: Callable[[Results], Results] = lambda results: results
        self.age = 0
        self.honest: dict[tuple[str, str], list[Row]] = {}
        self.asked: list[str] = []
        self.called: list[list[Any]] = []
        self.sent: dict[str, list[bytes]] = {"soap": [], "xml-rpc": []}

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer by SOAP, possibly with another record."""
        found = NAMED.search(body)
        if found is None:
            return super().soap(body, context)
        self.asked.append(found[2].decode())
        due = self._due()
        if due:
            name = self.other(found[2].decode())
            body = NAMED.sub(lambda one: one[1] + name.encode() + b"<", body)
        return self._kept("soap", super().soap(body, context), due=due)

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer by XML-RPC, possibly with other records or in another order."""
        arguments: Any = xmlrpc.client.loads(body)[0]
        if len(arguments) != 2:  # a call for a list
            return super().xmlrpc(body, context)
        session, calls = arguments
        self.called.append(list(calls))
        due = self._due()
        if due:
            calls = [[path, [self.other(key), *more]] for path, (key, *more) in calls]
            body = xmlrpc.client.dumps((session, calls), "multiCall", allow_none=True).encode()
        answer = super().xmlrpc(body, context)
        results: Any = xmlrpc.client.loads(b"".join(answer.pieces))[0][0]
        if due:
            results = self.mixed(results)
        text = xmlrpc.client.dumps((results,), methodresponse=True, allow_none=True, encoding="UTF-8")
        mixed = whole(200, answer.content_type, text.replace("\r", "&#13;").encode(), answer.call)
        return self._kept("xml-rpc", mixed, due=due)

    def _due(self) -> bool:
        """Return whether this reply must be mixed up."""
        self.replies -= 1
        return self.replies >= 0

    def _kept(self, way: str, answer: Answer, *, due: bool) -> Answer:
        """Return the answer, or an older one."""
        sent = self.sent[way]
        sent.append(b"".join(answer.pieces))
        body = sent[max(0, len(sent) - 1 - self.age)] if due else sent[-1]
        return whole(answer.status, answer.content_type, body, answer.call)


@pytest.fixture(scope="module")
def shops() -> Iterator[dict[str, tuple[Muddled, Pager]]]:
    """Return a shop for each flavour."""
    with ExitStack() as stack:
        running = {flavour: stack.enter_context(Muddled(orders=120, flavour=flavour)) for flavour in FLAVOURS}
        yield {
            flavour: (shop, stack.enter_context(magento_pager.connect(shop.url, shop.user, shop.key)))
            for flavour, shop in running.items()
        }


@dataclass
class Case:
    """One list of one shop.

    Attributes:
        shop: the shop.
        pager: for it.
        name: of the list.
    """

    shop: Muddled
    pager: Pager
    name: ListName

    @property
    def key(self) -> str:
        """The field by which records are requested."""
        record = LISTS[self.name].record
        assert record is not None
        return record.key

    def walked(self, by: str, replies: int = 0) -> tuple[list[Row], dict[int, str]]:
        """Return the rows of the list in full, and why others are not among them.

        Args:
            by: the way that the records come.
            replies: how many are mixed up, from when the way is chosen.
        """
        rows: list[Row] = []
        left_out: dict[int, str] = {}
        chosen = False
        self.shop.change(no_xmlrpc=by == "soap")
        self.shop.replies, self.shop.sent = 0, {"soap": [], "xml-rpc": []}
        paginator = self.pager.list(self.name, details=True, patience=0.0, window=9, last=26, strategy="range")
        details = Details.of(paginator.stages)
        assert details is not None
        for page in paginator.pages():
            rows += page.rows
            left_out |= {one.id: one.reason for one in page.quarantined}
            if details.way and not chosen:
                chosen, self.shop.replies = True, replies
                assert details.way == by
        return rows, left_out

    def expect(self, by: str) -> Sequence[Row]:
        """Return the rows as they are when nothing is mixed up."""
        known = self.shop.honest
        if (self.name, by) not in known:
            known[self.name, by], left_out = self.walked(by)
            assert left_out == {}
        return known[self.name, by]

    def check(self, by: str, replies: int) -> None:
        """Check that the rows are right and missing ones are named, or that the walk ends with an error.

        One limit is known: where SOAP says each time that a customer has no addresses, nothing tells otherwise.
        """
        expected = self.expect(by)
        try:
            rows, left_out = self.walked(by, replies)
        except RemoteError:
            assert replies > 1
            return
        right = {row[self.key]: row for row in expected}
        assert len(rows) + len(left_out) == len(expected)
        assert left_out == {} or replies > 1
        for row in rows:
            mute = replies == ALWAYS and row.get("addresses") == []
            assert row == (right[row[self.key]] | {"addresses": []} if mute else right[row[self.key]])


def shifted(keys: Sequence[str], by: int) -> Callable[[str], str]:
    """Return each record in the place of another, all at the same distance."""
    places = {key: place for place, key in enumerate(keys)}
    return lambda key: keys[(places[key] + by) % len(keys)]


def swapped(keys: Sequence[str]) -> Callable[[str], str]:
    """Return each record in the place of its neighbour."""
    places = {key: place for place, key in enumerate(keys)}
    return lambda key: keys[min(places[key] ^ 1, len(keys) - 1)]


def at_random(keys: Sequence[str]) -> Callable[[str], str]:
    """Return random records in the places of others."""
    draw = random.Random(7)  # noqa: S311  no secret
    return lambda _: draw.choice(keys)


OTHERS: dict[str, Callable[[Sequence[str]], Callable[[str], str]]] = {
    "adjacent": swapped,
    "the next": lambda keys: shifted(keys, 1),
    "far away": lambda keys: shifted(keys, len(keys) // 2),
    "random": at_random,
    "always the first": lambda keys: lambda _: keys[0],
    "always the last": lambda keys: lambda _: keys[-1],
}


def shuffled(results: Results) -> Results:
    """Return the results in random order."""
    return random.Random(11).sample(results, len(results))  # noqa: S311  no secret


def two_of_them(first: int, distance: int) -> Callable[[Results], Results]:
    """Return the results with two of them exchanged."""

    def swap(results: Results) -> Results:
        one, other = first % len(results), (first + distance) % len(results)
        results[one], results[other] = results[other], results[one]
        return results

    return swap


def pairs_of_lists(results: Results) -> Results:
    """Return the results with each list exchanged with the next list."""
    places = [place for place, one in enumerate(results) if isinstance(one, list)] or list(range(len(results)))
    for one, other in zip(places[1::2], places[2::2], strict=False):
        results[one], results[other] = results[other], results[one]
    return results


def faulty(results: Results) -> Results:
    """Return the results with a fault in the place of one."""
    results[len(results) // 2] = {"isFault": True, "faultCode": "1", "faultMessage": "Internal Error."}
    return results


def gone(results: Results) -> Results:
    """Return the results with the fault of a deleted record in the place of one."""
    results[-1] = {"isFault": True, "faultCode": "101", "faultMessage": "Not there."}
    return results


MIXED: dict[str, Callable[[Results], Results]] = {
    **{f"two, {distance} apart": two_of_them(7, distance) for distance in (1, 2, 3, 6)},
    "two at the beginning": two_of_them(0, 1),
    "two lists at the beginning": two_of_them(0, 3),
    "all by one": lambda results: [*results[1:], results[0]],
    "all by three": lambda results: [*results[3:], *results[:3]],
    "all by half": lambda results: [*results[len(results) // 2 :], *results[: len(results) // 2]],
    "backwards": lambda results: results[::-1],
    "random": shuffled,
    "pairs of lists": pairs_of_lists,
    "one repeated": lambda results: [*results[:-1], results[0]],
    "all the same": lambda results: [results[0]] * len(results),
    "one too few": lambda results: results[:-1],
    "one too few at the beginning": lambda results: results[1:],
    "one too many": lambda results: [*results, results[0]],
    "none": lambda _: [],
    "one lost, one twice": lambda results: [*results[:3], *results[4:], results[-1]],
    "a fault": faulty,
    "not there": gone,
}
ODD: dict[str, Any] = {
    "nothing": None,
    "a truth": True,
    "a number": 7,
    "a text": "Bonn",
    "an empty list": [],
    "a list of nothing": [None],
    "a list of texts": ["Bonn", "Köln"],
    "a list of lists": [[]],
    "an empty record in a list": [{"city": None}],
    "a record": {"customer_id": 3, "increment_id": 7, "product_id": ["3"]},
    "an id of nonsense": [{"customer_address_id": "many"}],
    "an id beyond all": [{"customer_address_id": "9" * 30}],
    "no id": [{"city": "Bonn"}],
    "a fault without words": {"isFault": True},
    "a fault of lists": {"isFault": True, "faultCode": [], "faultMessage": {"a": []}},
}


@pytest.fixture(params=LISTS)
def muddled(request: pytest.FixtureRequest, shops: dict[str, tuple[Muddled, Pager]]) -> Iterator[Case]:
    """Return a list of a shop, one flavour for half of the tests; the shop is honest again afterwards."""
    shop, pager = shops[FLAVOURS[sum(request.node.callspec.indices.values()) % 2]]
    yield Case(shop, pager, request.param)
    shop.other, shop.mixed, shop.age = (lambda key: key), (lambda results: results), 0


@pytest.mark.sampled
@pytest.mark.parametrize("how", MIXED)
def test_results_of_one_call_are_mixed_up(muddled: Case, how: str) -> None:
    """In one reply the rows are still right; in every reply they are right, or reported as skipped."""
    muddled.expect("xml-rpc")
    muddled.shop.mixed = MIXED[how]
    for replies in (1, ALWAYS):
        muddled.check("xml-rpc", replies)


@pytest.mark.sampled
@pytest.mark.parametrize("how", OTHERS)
@pytest.mark.parametrize("by", ["xml-rpc", "soap"])
def test_replies_of_other_requests(muddled: Case, how: str, by: str) -> None:
    """One of them, some, or every one."""
    keys = [row[muddled.key] for row in muddled.expect(by)]
    muddled.shop.other = OTHERS[how](keys)
    for replies in (1, 3, ALWAYS):
        muddled.check(by, replies)


@pytest.mark.sampled
@pytest.mark.parametrize("age", [1, 1_000])
@pytest.mark.parametrize("by", ["xml-rpc", "soap"])
def test_older_replies(muddled: Case, age: int, by: str) -> None:
    """Of a cache that ignores the request."""
    muddled.expect(by)
    muddled.shop.age = age
    for replies in (1, 3, ALWAYS):
        muddled.check(by, replies)


@pytest.mark.sampled
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_results_of_another_kind(muddled: Case, odd: Any) -> None:
    """Whatever is in the place of a record, the result is an error at worst."""
    muddled.expect("xml-rpc")
    for places, replies in ((slice(0, 1), 1), (slice(1, 2), 1), (slice(2, None, 2), ALWAYS)):

        def spoil(results: Results, places: slice = places) -> Results:
            results[places] = [odd] * len(results[places])
            return results

        muddled.shop.mixed = spoil
        muddled.check("xml-rpc", replies)


@pytest.fixture
def single() -> Iterator[tuple[Muddled, Pager]]:
    """Return a shop that a test may change, and a pager for it."""
    with Muddled(orders=600) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        yield shop, pager


def walk_with_skipped_rows(pager: Pager, name: ListName, **options: Any) -> tuple[list[Row], dict[int, str]]:
    """Return the rows of a list in full, and the reasons for the skipped ones."""
    pages = list(pager.list(name, details=True, patience=0.0, **options).pages())
    left_out = {one.id: one.reason for page in pages for one in page.quarantined}
    return [row for page in pages for row in page.rows], left_out


def test_multicall_costs_no_further_call(single: tuple[Muddled, Pager]) -> None:
    """A customer's own record, and the repeated list, are in the same call."""
    shop, pager = single
    shop.clear_log()
    rows, _ = walk_with_skipped_rows(pager, "customers", window=1_000)
    customers = len(rows)
    assert customers == 180
    operations = [call.operation for call in shop.log if call.operation != "customerCustomerList"]
    assert operations.count("customerAddressList") == 1
    assert len(operations) <= 6
    paths = [path for calls in shop.called for path, _ in calls]
    assert paths.count("customer_address.list") == 2 * paths.count("customer.info") == 2 * (customers + 1)


@pytest.mark.parametrize(("version", "most"), [("20.0.20", 1.35), ("1.6.2.0", 2.1)])
def test_calls_to_confirm_addresses_by_soap(version: str, most: float) -> None:
    """One call without a default address, and a few lists of customers from 1.7.0.1 on."""
    with (
        Muddled(orders=600, profile=version, no_xmlrpc=True) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        plain = list(pager.customers(window=1_000))
        lists = sum(call.operation == "customerCustomerList" for call in shop.log)
        shop.clear_log()
        rows, left_out = walk_with_skipped_rows(pager, "customers", window=1_000)
        calls = len(shop.log) - lists
    assert (len(rows), left_out) == (len(plain), {})
    assert calls <= most * len(rows)


@pytest.mark.parametrize("instead", [(b">default_billing<", b">website_id<"), (b">default_billing<", b">unknown<")])
def test_a_shop_that_does_not_filter_by_default_addresses(
    single: tuple[Muddled, Pager], instead: tuple[bytes, bytes]
) -> None:
    """By SOAP each list of addresses is requested twice; a reply of too many customers is not read to its end."""
    shop, pager = single
    shop.change(no_xmlrpc=True)
    expected = walk_with_skipped_rows(pager, "customers", window=1_000)
    answer = shop.soap

    def misread(body: bytes, context: Context) -> Answer:
        other = body.replace(*instead)
        return answer(other.replace(b">in<", b">notnull<").replace(b">eq<", b">notnull<"), context)

    shop.soap = misread  # type: ignore[method-assign]  # as a module would
    shop.asked.clear()
    assert walk_with_skipped_rows(pager, "customers", window=1_000, strategy="range") == expected
    assert 2 * len(expected[0]) <= len(shop.asked) <= 2 * len(expected[0]) + 1


def test_a_page_of_one_customer(single: tuple[Muddled, Pager]) -> None:
    """By SOAP, with and without addresses."""
    shop, pager = single
    shop.change(no_xmlrpc=True)
    assert [len(row["addresses"]) for row in walk_with_skipped_rows(pager, "customers", first=7, last=7)[0]] == [2]
    assert [len(row["addresses"]) for row in walk_with_skipped_rows(pager, "customers", first=8, last=8)[0]] == [0]


def with_addresses_of(shop: Muddled, liar: str, other: str) -> None:
    """Make the shop always return another customer's addresses for a customer."""
    shop.other, shop.replies = (lambda key: other if key == liar else key), ALWAYS
    shop.database.update("customers", int(liar), {"default_billing": 2 * int(other), "default_shipping": None})


@pytest.mark.parametrize("window", [5, 1_000])
def test_an_address_never_belongs_to_two_customers(single: tuple[Muddled, Pager], window: int) -> None:
    """On one page both are skipped; on later pages the second one is."""
    shop, pager = single
    expected, _ = walk_with_skipped_rows(pager, "customers", window=window)
    shop.change(no_xmlrpc=True)
    with_addresses_of(shop, "3", "21")
    rows, left_out = walk_with_skipped_rows(pager, "customers", window=window)
    assert left_out.keys() == ({21} if window == 5 else {3, 21})
    assert all("another customer has" in reason for reason in left_out.values())
    kept = {row["customer_id"]: row for row in rows}
    assert [kept.get(row["customer_id"], row) for row in expected if row["customer_id"] != "3"] == [
        row for row in expected if row["customer_id"] != "3"
    ]


def test_a_walk_can_be_repeated(single: tuple[Muddled, Pager]) -> None:
    """The customers keep their addresses."""
    shop, pager = single
    shop.change(no_xmlrpc=True)
    customers = pager.customers(details=True, last=30)
    assert list(customers) == list(customers)


def test_skipped_customers_end_a_dump_with_status_3(single: tuple[Muddled, Pager], tmp_path: Path) -> None:
    """The report has them, like any skipped row."""
    shop, _ = single
    shop.change(no_xmlrpc=True)
    with_addresses_of(shop, "3", "21")
    report = tmp_path / "report.json"
    arguments = ["--url", shop.url, "--user", shop.user, "--key", shop.key, "--out", str(tmp_path / "customers.ndjson")]
    assert run(["dump", "customers", *arguments, "--details", "--last", "40", "--report", str(report)]) == 3
    assert [one["id"] for one in json.loads(report.read_bytes())["quarantined"]] == [3, 21]


@pytest.mark.parametrize("without", [False, True])
def test_two_orders_of_one_number(single: tuple[Muddled, Pager], *, without: bool) -> None:
    """The shop returns the record of the first for both: the second is skipped by name."""
    shop, pager = single
    shop.change(no_xmlrpc=without)
    numbers = {row["order_id"]: row["increment_id"] for row in pager.orders(last=40)}
    shop.database.update("orders", 20, {"increment_id": numbers["9"]})
    rows, left_out = walk_with_skipped_rows(pager, "orders", last=40)
    assert [row["order_id"] for row in rows] == [number for number in numbers if number != "20"]
    assert all(item["order_id"] == row["order_id"] for row in rows for item in row["items"])
    assert left_out.keys() == {20}
    assert "order_id 9 instead of 20" in left_out[20]


def test_addresses_with_forbidden_characters_are_repaired(single: tuple[Muddled, Pager]) -> None:
    """With `repair`; each list is requested twice, as always."""
    shop, pager = single
    shop.change(no_xmlrpc=True)
    expected = list(pager.customers(details=True, last=40))
    answer = shop.soap

    def spoil(body: bytes, context: Context) -> Answer:
        given = answer(body, context)
        text = b"".join(given.pieces).replace(b'<street xsi:type="xsd:string">Street 7', b"\\0\x01")
        return whole(given.status, given.content_type, text.replace(b"\\0", b"<street>Street 7"), given.call)

    shop.soap = spoil  # type: ignore[method-assign]  # as an extension would
    pages = list(pager.customers(details=True, last=40, repair=True, patience=0.0).pages())
    assert [row for page in pages for row in page.rows] == expected
    assert [number for page in pages for number in page.repaired] == [7]


def configurables(rows: Sequence[Row]) -> list[str]:
    """Return the ids of configurable products."""
    return [row["product_id"] for row in rows if row["type"] == "configurable"]


@pytest.mark.parametrize("version", ["1.4.1.1", "1.7.0.2", "20.0.20"])
def test_configurable_products_keep_their_attributes(version: str) -> None:
    """Each record equals that of a SOAP call, although the shop loses attributes in a call of two such products."""
    with (
        Muddled(orders=600, profile=version) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        ids = configurables(list(pager.products()))
        assert len(ids) > 5
        for number in ids[::2]:
            shop.database.update("products", int(number), {"attribute_set_id": 9})
        for number, kind in zip(ids[3::4], ("simple-configurable", "grouped", "bundle", "booking"), strict=False):
            shop.database.update("products", int(number), {"type_id": kind})
        fast, left_out = walk_with_skipped_rows(pager, "products", window=1_000)
        calls = shop.called[:]
        shop.change(no_xmlrpc=True)
        assert (fast, left_out) == walk_with_skipped_rows(pager, "products", window=1_000)
    kinds = {row["product_id"]: row["type"] for row in fast}
    shared = {"simple", "virtual", "grouped", "bundle"}
    together = [[kinds[key] for _, (key, *_) in call] for call in calls]
    assert sum(map(len, together)) == len(fast) + 1
    assert max(sum(kind not in shared for kind in kinds) for kinds in together) == 1
    others = sum(kind not in shared for kind in kinds.values())
    assert others <= len(together) <= others + 4, "as few calls as that takes"


def test_the_embedded_shop_loses_attributes_of_configurable_products(single: tuple[Muddled, Pager]) -> None:
    """As Magento does: all such products in one call have the attributes of the first one."""
    shop, pager = single
    ids = configurables(list(pager.products()))
    shop.database.update("products", int(ids[0]), {"attribute_set_id": 9})
    pager.connection.login()
    calls = [("catalog_product.info", (number, "0", None, "id")) for number in ids]
    together = pager.connection.multi_call(calls, right="")
    alone = [pager.connection.multi_call([call], right="")[0] for call in calls]
    assert together[0] == alone[0]
    assert "weight" not in together[0]
    for one, other in zip(together[1:], alone[1:], strict=True):
        assert one.keys() == together[0].keys()
        assert "weight" in other
        assert ("color" in other) != ("manufacturer" in other)


@pytest.mark.slow
def test_owners_of_addresses_take_little_memory() -> None:
    """Four bytes per address if their ids are close together."""
    owners = _Owners()
    tracemalloc.start()
    for address in range(1, 200_001):
        owners.give(address, address // 2)
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert used < 200_000 * 10
    assert (owners.of(7), owners.of(MAX_ID)) == (3, 0)
    owners.give(MAX_ID, MAX_ID)
    assert owners.of(MAX_ID) == MAX_ID
