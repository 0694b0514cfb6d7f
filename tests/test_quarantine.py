"""Rows that break every reply: each is skipped and named with the server's text, and no other row is.

The embedded shop breaks orders itself. For other lists, a proxy breaks the replies.
"""

from __future__ import annotations

import re
import xmlrpc.client
from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from chaos_proxy import ChaosProxy
from conftest import slow_after
from connections import fault
from walk_results import WalkResult, walk_result

import magento_pager
from magento_pager import RemoteError
from magento_pager.cli import run
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Unpack

    from magento_pager import ListName, Pager, StrategyName
    from magento_pager.fake import Knobs
    from magento_pager.fake.settings import MemoryFailure

    Pick = Callable[[list[int]], list[int]]

ORDERS = 120
STRATEGIES = ("auto", "range", "alias", "in-list", "prefix", "regexp", "single-filter")
PICKS: dict[str, Pick] = {
    "one": lambda ids: [ids[60]],
    "the first": lambda ids: ids[:1],
    "the first four": lambda ids: ids[:4],
    "the second": lambda ids: ids[1:2],
    "the last": lambda ids: ids[-1:],
    "both ends": lambda ids: [ids[0], ids[-1]],
    "neighbours": lambda ids: ids[50:53],
    "either side of a jump": lambda ids: [
        next(n for n in reversed(ids) if n < 100_000),
        next(n for n in ids if n >= 100_000),
    ],
    "some": lambda ids: ids[5::17],
}
WORDS = {
    "duplicate_address": r"fault 1, 'Item .* with the same id \"{id}\" already exist': the row has two addresses",
    "invalid_utf8": r"Encoding: string .* is not a valid utf-8 string.*: a row contains text that is not UTF-8",
    "control_characters": r"malformed: PCDATA invalid Char value 1",
}
"""Reasons for skipping a row, by the option of the shop that breaks it."""
MOST_CALLS = 1200  # a normal walk takes about 40, one with broken rows about 800, an endless one any number


class Place(NamedTuple):
    """A shop whose orders can be broken, a pager for it, and the ids of its orders."""

    shop: Shop
    pager: Pager
    ids: list[int]

    def poison(self, **knobs: Unpack[Knobs]) -> None:
        """Break these orders, and no others."""
        self.shop.change(duplicate_address=[], invalid_utf8=[], control_characters=[])
        self.shop.change(**knobs)
        self.shop.clear_log()

    def walk(self, **options: Any) -> WalkResult:
        """Walk over all orders."""
        result = WalkResult()
        for page in self.pager.orders(**{"window": 10, "patience": 0.0, **options}).pages():
            result.add(page)
            assert len(self.shop.log) < MOST_CALLS
        return result


@pytest.fixture(scope="module")
def place_of() -> Iterator[Callable[[str], Place]]:
    """Return a function that starts a shop for a version, and connects to it, once."""
    with ExitStack() as stack:

        @cache
        def get(profile: str) -> Place:
            shop = stack.enter_context(Shop(profile=profile, orders=ORDERS))
            pager = stack.enter_context(magento_pager.connect(shop.url, shop.user, shop.key))
            return Place(shop, pager, sorted(shop.database.ids("orders")))

        yield get


def assert_only_these_skipped(result: WalkResult, bad: list[int], ids: list[int]) -> None:
    """Assert that every other row was delivered once, in order."""
    assert sorted(result.quarantined) == sorted(bad)
    assert result.ids == [number for number in ids if number not in bad]


@pytest.mark.sampled
@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_only_broken_rows_are_skipped_by_each_strategy(
    place_of: Callable[[str], Place], strategy: str, pick: str
) -> None:
    """They are named with the server's text, anywhere in the table, and all their neighbours are delivered."""
    place = place_of("20.0.20")
    bad = PICKS[pick](place.ids)
    place.poison(duplicate_address=bad)
    result = place.walk(strategy=strategy)
    assert_only_these_skipped(result, bad, place.ids)
    for number, reason in result.quarantined.items():
        assert re.search(WORDS["duplicate_address"].format(id=number), reason)


@pytest.mark.sampled
@pytest.mark.parametrize("knob", WORDS)
@pytest.mark.parametrize(("profile", "window"), [("1.4.1.1", None), ("1.6.2.0", 7), ("1.7.0.2", 7), ("1.8.1.0", None)])
def test_every_kind_of_broken_row_on_every_version(
    place_of: Callable[[str], Place], profile: str, knob: str, window: int | None, wire: str
) -> None:
    """Servers before 1.9.3 fail on text that is not UTF-8, and send control characters that break the XML."""
    place = place_of(profile)
    bad = [place.ids[0], *place.ids[30:33], place.ids[-1]]
    knobs: Knobs = {knob: bad}  # type: ignore[misc]  # one of `WORDS`
    place.poison(**knobs)
    result = place.walk(window=window)
    assert_only_these_skipped(result, bad, place.ids)
    words = "HTTP 500; PHP failed" if (wire, knob) == ("xml-rpc", "invalid_utf8") else WORDS[knob]
    for number, reason in result.quarantined.items():
        assert re.search(words.format(id=number), reason)


@pytest.mark.parametrize("wire", ["soap", "xml-rpc"], indirect=True)
@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("pick", slow_after(1, reversed(PICKS)))
def test_control_characters_are_removed_if_allowed(place_of: Callable[[str], Place], pick: str) -> None:
    """All rows are delivered in order; only the repaired ones are named."""
    place = place_of("1.7.0.2")
    bad = PICKS[pick](place.ids)
    place.poison(control_characters=bad)
    result = place.walk(repair=True)
    assert result.ids == place.ids
    assert result.repaired == sorted(bad)
    assert result.quarantined == {}


@pytest.mark.slow
@pytest.mark.usefixtures("wire")
def test_a_whole_table_of_control_characters_is_repaired(place_of: Callable[[str], Place]) -> None:
    """Any number of repaired rows is not a sign of a failing server."""
    place = place_of("1.8.1.0")
    place.poison(control_characters=place.ids)
    result = place.walk(repair=True)
    assert result.ids == result.repaired == place.ids


@pytest.mark.usefixtures("wire")
def test_repair_fixes_only_control_characters(place_of: Callable[[str], Place]) -> None:
    """Rows that are broken in another way are skipped."""
    place, ids = place_of("1.7.0.2"), place_of("1.7.0.2").ids
    place.poison(control_characters=ids[20:22], invalid_utf8=ids[22:24], duplicate_address=ids[40:41])
    result = place.walk(repair=True)
    assert_only_these_skipped(result, [*ids[22:24], ids[40]], ids)
    assert result.repaired == ids[20:22]


@pytest.mark.slow
@pytest.mark.usefixtures("wire")
def test_nineteen_rows_in_a_row_are_skipped_and_twenty_end_the_walk(place_of: Callable[[str], Place]) -> None:
    """The walk continues after nineteen, and ends at the twentieth, with a cursor and all rows before it."""
    place, ids = place_of("20.0.20"), place_of("20.0.20").ids
    place.poison(duplicate_address=ids[40:59])
    assert_only_these_skipped(place.walk(), ids[40:59], ids)
    place.poison(duplicate_address=ids[40:60])
    plan = place.pager.orders(window=10)
    result = walk_result(plan.pages())
    assert isinstance(result.error, RemoteError)
    assert "20 rows in a row" in str(result.error)
    assert result.ids == ids[:40]
    assert sorted(result.quarantined) == ids[40:59]
    assert result.error.cursor == result.cursor
    place.poison(duplicate_address=ids[40:59])  # one row was fixed in the shop
    for page in plan.pages(resume=result.error.cursor):
        result.add(page)
    assert_only_these_skipped(result, ids[40:59], ids)


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize("orders", [1, 2, 3, 15])
@pytest.mark.parametrize("strategy", ["auto", "prefix", "single-filter"])
def test_a_table_of_broken_rows_only_is_an_error(orders: int, strategy: StrategyName) -> None:
    """No row proves that the server works, so the walk ends with an error and is not complete."""
    with Shop(orders=orders) as shop:
        shop.change(duplicate_address=list(shop.database.ids("orders")))
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            result = walk_result(pager.orders(strategy=strategy, window=10).pages())
        assert len(shop.log) < MOST_CALLS
        assert result.error is not None
        assert "with the same id" in str(result.error)
        assert (result.ids, result.quarantined) == ([], {})


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize(
    ("profile", "entity", "window"),
    [
        ("20.0.20", "shipments", 10),
        ("1.7.0.2", "shipments", None),
        ("1.6.2.0", "invoices", 10),
        ("1.6.2.0", "customers", None),
        ("1.7.0.2", "customers", 10),
    ],
)
def test_lists_without_ids_and_lists_of_other_tables(
    profile: str, entity: ListName, window: int | None, wire: str
) -> None:
    """A broken row is named by its id, even if rows carry no ids."""
    with Shop(profile=profile, orders=200) as shop, ChaosProxy(shop) as proxy:
        ids = sorted(shop.database.ids(entity))
        bad = [ids[0], *ids[20:22], ids[-1]]
        # Only lists contain these: a number of nine digits, and a mail address.
        words = "Item with the same id already exist"
        by_xmlrpc = xmlrpc.client.dumps(xmlrpc.client.Fault(1, words), methodresponse=True).encode()
        body = fault("1", words) if wire == "soap" else by_xmlrpc
        before, behind = (
            ("", "</increment_id>") if wire == "soap" else ("<name>increment_id</name><value><string>", "<")
        )
        marks = [
            f">cust{one}@" if entity == "customers" else f"{before}{store}{one:08d}{behind}"
            for one in bad
            for store in (1, 2, 3)
        ]
        proxy.poison = {mark.encode(): body for mark in marks}
        with magento_pager.connect(proxy.url, shop.user, shop.key) as pager:
            result = walk_result(pager.list(entity, window=window).pages())
        assert result.error is None
        result.ids.sort()
        assert_only_these_skipped(result, bad, ids)
        assert all("fault 1, 'Item with the same id already exist': " in one for one in result.quarantined.values())
        assert proxy.counts["poison"] < 100


class Narrow(NamedTuple):
    """A list on a server whose replies can contain only some of its rows."""

    profile: str
    entity: ListName
    strategy: StrategyName
    orders: int
    rows: int
    failure: MemoryFailure
    window: int | None = None


NARROW = [
    Narrow("20.0.20", "orders", "auto", 3000, 300, "fault"),
    Narrow("20.0.20", "orders", "prefix", 3000, 300, "empty"),
    Narrow("20.0.20", "orders", "auto", 1000, 40, "fault", window=500),
    Narrow("20.0.20", "orders", "auto", 300, 3, "empty"),
    Narrow("20.0.20", "orders", "regexp", 2000, 120, "fault"),
    Narrow("20.0.20", "shipments", "auto", 2000, 100, "empty"),
    Narrow("1.7.0.2", "customers", "auto", 3000, 70, "fault"),
    Narrow("1.4.1.1", "orders", "auto", 1000, 50, "empty"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("given", slow_after(2, NARROW), ids=lambda one: f"{one.entity} {one.strategy} {one.rows}")
def test_a_server_with_little_memory(given: Narrow) -> None:
    """Windows get narrower: all rows are delivered, and the calls stay within a few times the minimum."""
    profile, entity, strategy, orders, rows, failure, window = given
    with Shop(profile=profile, orders=orders, memory_limit_rows=rows, memory_failure=failure) as shop:
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            result = walk_result(pager.list(entity, strategy=strategy, window=window).pages())
        ids = sorted(shop.database.ids(entity))
        assert result.error is None
        assert result.quarantined == {}
        assert sorted(result.ids) == ids
        failed = sum(call.fault != "" for call in shop.log)
        answered = len(shop.log) - failed
        fewest = -(-len(ids) // rows)
        assert answered <= 100 + 8 * fewest  # 100: the probe, and covering all possible ids
        assert failed <= 20 + fewest


@pytest.mark.usefixtures("wire")
def test_a_server_with_little_time() -> None:
    """A window that takes longer than the time limit of PHP is split."""
    with Shop(orders=600, latency_per_row=0.001, max_execution_time=0.1) as shop:
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            result = walk_result(pager.orders().pages())
        assert result.error is None
        assert result.ids == sorted(shop.database.ids("orders"))
        assert any(call.fault for call in shop.log)


@pytest.mark.parametrize("knob", ["duplicate_address", "invalid_utf8"])
def test_the_reason_explains_the_fault(knob: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The line that names a row has the code and text of the fault, and what to do about it."""
    with Shop(profile="1.7.0.2", orders=20) as shop:
        bad = sorted(shop.database.ids("orders"))[3]
        shop.change(duplicate_address=[bad] if knob == "duplicate_address" else [])
        shop.change(invalid_utf8=[bad] if knob == "invalid_utf8" else [])
        assert run(["dump", "--url", shop.url, "--user", shop.user, "--key", shop.key]) == 3
    line = next(line for line in capfd.readouterr().err.splitlines() if line.startswith(f"Skipped id {bad} "))
    assert re.search(WORDS[knob].format(id=bad), line)


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("trouble", ["notice", "json", "fault-0", "firewall"])
def test_the_failure_is_reported_if_no_row_can_be_read(trouble: str) -> None:
    """It is not reported as twenty broken rows: no other row proves that the server works."""
    with Shop(orders=60) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        shop.change(trouble=trouble)
        with pytest.raises(RemoteError, match=r"^(salesOrderList|sales_order\.list): (the reply|fault|HTTP)") as caught:
            list(pager.orders())
        assert "in a row" not in str(caught.value)
        shop.change(trouble="")
