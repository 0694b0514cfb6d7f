"""`doctor`: its findings and exit status for healthy shops and for each kind of trouble."""

from __future__ import annotations

import json
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
from conftest import slow_after

from magento_pager import Diagnosis, ListFinding, connect, doctor
from magento_pager.cli import run
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from magento_pager.lists import ListName


@pytest.mark.parametrize("entity", ["orders", "products"])
def test_a_list_whose_replies_all_break_cannot_be_paged(entity: ListName) -> None:
    """No row is left to test a strategy on; the finding quotes the shop."""
    with Shop(orders=40, trouble="fault", trouble_list=entity) as shop:
        shop.change(trouble_rows=list(shop.database.ids(entity)))
        (finding,) = (one for one in doctor(shop.url, shop.user, shop.key).lists if one.entity == entity)
    assert finding.state == "trouble"
    assert "no strategy could be tried, because no reply with rows could be read: " in finding.advice
    assert "No date part in" in finding.advice


def test_a_list_whose_first_replies_break_can_be_paged() -> None:
    """A dump skips these rows and names them."""
    with Shop(orders=200, trouble="fault", trouble_list="orders") as shop:
        shop.change(trouble_rows=sorted(shop.database.ids("orders"))[:12])
        (finding,) = (one for one in doctor(shop.url, shop.user, shop.key).lists if one.entity == "orders")
    assert (finding.state, finding.strategy) == ("pageable", "prefix")


@pytest.mark.parametrize(
    ("profile", "flavour", "strategies", "words"),
    [
        ("20.0.20", "rpc", ("key-range", "key-range"), "1.8 or newer"),
        ("1.7.0.2", "wsi", ("key-range", "in-list"), "1.7.0.1 to 1.7.0.2"),
        ("1.6.2.0", "rpc", ("key-range", "key-range"), "1.4.2 to 1.7.0.0"),
    ],
)
def test_a_healthy_shop(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, strategies: tuple[str, str], words: str
) -> None:
    """Each list is pageable, by the strategy that auto takes; the finding names the server."""
    shop = shop_of(profile, flavour)
    found = doctor(shop.base_url, shop.user, shop.key)
    lists = {one.entity: one for one in found.lists}
    assert found.healthy
    assert found.flavour == flavour
    assert {one.state for one in found.lists} == {"pageable"}
    assert (lists["orders"].strategy, lists["customers"].strategy) == strategies
    assert lists["orders"].probe is not None
    assert words in lists["orders"].probe.server
    assert found.wsdl_seconds is not None
    assert found.clock_difference is not None
    assert abs(found.clock_difference) < 5


def test_a_list_that_the_version_lacks_is_no_trouble(shop_of: Callable[[str, str], Shop]) -> None:
    """Before 1.6.1 there are no credit memos."""
    shop = shop_of("1.4.1.1", "rpc")
    found = doctor(shop.url, shop.user, shop.key)
    assert found.healthy
    assert {one.entity: one.state for one in found.lists}["creditmemos"] == "absent"
    assert "1.6.1" in str(found)


def test_a_missing_right_is_named() -> None:
    """A list the user may not read cannot be paged."""
    with Shop(orders=20, denied=["products"]) as shop:
        found = doctor(shop.url, shop.user, shop.key)
    assert not found.healthy
    assert {one.state for one in found.lists if one.entity == "products"} == {"denied"}
    assert "Retrieve products data" in str(found)


@pytest.mark.parametrize("no_xmlrpc", [False, True])
def test_a_shop_with_only_broken_filters_is_advised_to_leave_ws_i(no_xmlrpc: bool) -> None:  # noqa: FBT001
    """WS-I on 1.5.1 to 1.6.2 breaks every filter; XML-RPC reads the lists all the same, where it is not blocked."""
    with Shop(orders=80, profile="1.6.2.0", flavour="wsi", broken_wsi=True, no_xmlrpc=no_xmlrpc) as shop:
        found = doctor(shop.url, shop.user, shop.key)
    assert not found.healthy
    (sentence,) = (one for one in found.advice if "WS-I" in one)
    assert ("page them by XML-RPC" in sentence) is not no_xmlrpc
    for one in found.lists:
        assert one.xmlrpc
        assert one.xmlrpc.state == ("unlike" if no_xmlrpc else "alike")
        assert ("use XML-RPC: --wire xml-rpc" in one.advice) is not no_xmlrpc


@pytest.mark.parametrize(
    ("outage", "words"),
    [
        ("wsdl", "Enable the WSDL cache"),
        ("schema", "schemas.xmlsoap.org"),
        ("firewall", "bot protection"),
        ("maintenance", "maintenance"),
    ],
)
def test_each_outage_has_a_sentence_that_says_what_to_do(outage: str, words: str) -> None:
    """Trouble of the whole shop is reported once."""
    with Shop(orders=5, outage=outage) as shop:  # type: ignore[arg-type]  # a literal
        found = doctor(shop.url, shop.user, shop.key)
    assert not found.healthy
    assert words in str(found)


def test_it_takes_the_options_of_connect(shop_of: Callable[[str, str], Shop]) -> None:
    """`doctor` takes the options of `connect`; an unknown option or an impossible value is an error."""
    assert signature(doctor).parameters == signature(connect).parameters
    shop = shop_of("20.0.20", "rpc")
    assert doctor(shop.url, shop.user, shop.key, timeout=9.0, wait=0.0, headers={"X-A": "b"}, allow_hosts=["a"]).healthy
    with pytest.raises(TypeError, match="patient"):
        doctor(shop.url, shop.user, shop.key, patient=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="timeout"):
        doctor(shop.url, shop.user, shop.key, timeout=0.0)


def test_long_names_of_lists_stand_apart() -> None:
    """The table separates the name of a list from its state, however long the name is."""
    findings = (ListFinding("creditmemo_comments", "absent"), ListFinding("orders", "pageable"))
    lines = str(Diagnosis("http://a", lists=findings)).splitlines()
    assert [line.split() for line in lines[1:]] == [["creditmemo_comments", "absent"], ["orders", "pageable"]]


def test_the_command(shop_of: Callable[[str, str], Shop], capfd: pytest.CaptureFixture[str]) -> None:
    """The exit status is 0 for a healthy shop, else 1; --json prints JSON; no output contains the key."""
    shop = shop_of("20.0.20", "rpc")
    arguments = ["doctor", "--url", shop.url, "--user", shop.user]
    assert run([*arguments, "--key", shop.key, "--json"]) == 0
    out = capfd.readouterr().out
    assert json.loads(out)["healthy"] is True
    assert shop.key not in out
    assert run([*arguments, "--key", "wrong-key-of-mine"]) == 1
    out = capfd.readouterr().out
    assert "the user or key is wrong, or a right is missing" in out
    assert "wrong-key-of-mine" not in out
    assert run(["doctor", "--url", "http://shop.example", "--user", "a", "--key", "b"]) == 1
    assert "plain http" in capfd.readouterr().out


SKIPPED = "have no increment_id: dump skips and reports them, and exits with status 3"
STOPS = f"{SKIPPED}, or stops after 20 of them in a row"
DELIVERED = "have no increment_id: dump writes them; with --details it skips and reports them, and exits with status 3"


@dataclass
class Numberless:
    """A shop with rows that have no number, and how doctor and dump treat them.

    Attributes:
        name: the list.
        count: of those rows.
        advice: what `doctor` says, or how that begins.
        status: that `dump` exits with.
        version: of the shop.
        flavour: of the shop.
    """

    name: ListName
    count: int
    advice: str
    status: int
    version: str = "20.0.20"
    flavour: str = "rpc"


NUMBERLESS = [
    Numberless("shipments", 1, f"1 row(s) {SKIPPED}; assign one", 3),
    Numberless("shipments", 2, f"2 row(s) {SKIPPED}; assign one", 3, flavour="wsi"),
    Numberless("shipments", 2, f"2 row(s) {SKIPPED}; assign one", 3, version="1.4.1.1"),
    Numberless("shipments", 2, f"2 row(s) {SKIPPED}; assign one", 3, version="1.7.0.2", flavour="wsi"),
    Numberless("invoices", 2, f"2 row(s) {SKIPPED}; assign one", 3, version="1.6.2.0"),
    Numberless("shipments", 25, f"25 row(s) {STOPS}; assign one", 1),
    Numberless("shipments", 120, f"more than 100 rows {STOPS}; assign one", 1),
    Numberless("invoices", 2, f"2 row(s) {DELIVERED}; assign one", 0),
    Numberless("creditmemos", 2, "", 0),
    Numberless("shipments", 0, "", 0),
]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("case", slow_after(3, NUMBERLESS), ids=str)
def test_rows_without_a_number(case: Numberless, tmp_path: Path) -> None:
    """If the number identifies rows, dump treats rows without one as doctor said."""
    name = case.name
    with Shop(orders=600, profile=case.version, flavour=case.flavour) as shop:  # type: ignore[arg-type]  # a literal
        ids = sorted(shop.database.ids(name))
        numberless = ids[len(ids) // 3 :][: case.count]
        for number in numberless:
            shop.database.update(name, number, {"increment_id": None})
        found = doctor(shop.url, shop.user, shop.key)
        assert found.healthy
        assert {one.entity: one.advice for one in found.lists}[name].startswith(case.advice)
        assert case.advice or not any(one.advice for one in found.lists if one.state == "pageable")
        out, report = tmp_path / "rows.ndjson", tmp_path / "report.json"
        where = ["--url", shop.url, "--user", shop.user, "--key", shop.key, "--wait", "0"]
        assert run(["dump", name, *where, "--out", str(out), "--report", str(report)]) == case.status
        if case.status != 1:
            skipped = [one["id"] for one in json.loads(report.read_bytes())["quarantined"]]
            assert skipped == (numberless if case.status else [])
            assert len(out.read_bytes().splitlines()) == len(ids) - len(skipped)
        if DELIVERED in case.advice:
            assert run(["dump", name, *where, "--details", "--out", str(out), "--overwrite"]) == 3


@pytest.mark.sampled
@pytest.mark.parametrize("places", slow_after(3, [[0], [-2, -1], [0, 1, 5, -1], [1], [2], [-1]]))
@pytest.mark.parametrize("options", [{}, {"strategy": "prefix"}, {"window": 50}])
def test_rows_without_a_number_cost_no_other(places: list[int], options: dict[str, Any]) -> None:
    """Wherever they are, including the first and the last row."""
    with Shop(orders=120) as shop, connect(shop.url, shop.user, shop.key) as pager:
        ids = sorted(shop.database.ids("shipments"))
        numberless = sorted(ids[place] for place in places)
        for number in numberless:
            shop.database.update("shipments", number, {"increment_id": None})
        pages = list(pager.shipments(patience=0.0, **options).pages())
        assert [one.id for page in pages for one in page.quarantined] == numberless
        assert sum(len(page.rows) for page in pages) == len(ids) - len(numberless)


def test_a_filter_that_is_ignored_is_no_evidence() -> None:
    """A shop that ignores the filter for rows without a number gives no evidence about them."""
    with Shop(orders=60) as shop:
        answer = shop.soap
        shop.soap = lambda body, context: answer(body.replace(b">null<", b">notnull<"), context)  # type: ignore[method-assign]
        found = doctor(shop.url, shop.user, shop.key)
    assert found.healthy
    assert [one.advice for one in found.lists] == [""] * 6
