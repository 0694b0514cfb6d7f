"""The doctor: what it says of healthy shops and of each trouble, and its exit status."""

from __future__ import annotations

import json
from inspect import signature
from typing import TYPE_CHECKING

import pytest

from magento_pager import Diagnosis, ListFinding, connect, doctor
from magento_pager.cli import run
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("profile", "flavour", "strategies", "words"),
    [
        ("20.0.20", "rpc", ("range", "range"), "1.8 or newer"),
        ("1.7.0.2", "wsi", ("alias", "in-list"), "1.7.0.1 to 1.7.0.2"),
        ("1.6.2.0", "rpc", ("range", "mapped"), "1.4.2 to 1.7.0.0"),
    ],
)
def test_a_healthy_shop(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, strategies: tuple[str, str], words: str
) -> None:
    """Each list is pageable, by the strategy that auto takes, and the server is named."""
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


def test_a_missing_right_is_told_with_its_name() -> None:
    """A list the user may not read cannot be paged."""
    with Shop(orders=20, denied=["products"]) as shop:
        found = doctor(shop.url, shop.user, shop.key)
    assert not found.healthy
    assert {one.state for one in found.lists if one.entity == "products"} == {"denied"}
    assert "Retrieve products data" in str(found)


def test_a_shop_whose_filters_are_all_broken_is_told_to_leave_ws_i() -> None:
    """WS-I on 1.5.1 to 1.6.2 breaks every filter."""
    with Shop(orders=20, profile="1.6.2.0", flavour="wsi", broken_wsi=True) as shop:
        found = doctor(shop.url, shop.user, shop.key)
    assert not found.healthy
    assert any("WS-I" in sentence for sentence in [*found.advice, *(one.advice for one in found.lists)])


@pytest.mark.parametrize(
    ("outage", "words"),
    [
        ("wsdl", "enable the WSDL cache"),
        ("schema", "schemas.xmlsoap.org"),
        ("firewall", "bot protection"),
        ("maintenance", "maintenance"),
    ],
)
def test_each_outage_has_a_sentence_that_says_what_to_do(outage: str, words: str) -> None:
    """What is wrong with the whole shop is told as such."""
    with Shop(orders=5, outage=outage) as shop:  # type: ignore[arg-type]  # a literal
        found = doctor(shop.url, shop.user, shop.key)
    assert not found.healthy
    assert words in str(found)


def test_it_takes_what_connect_takes(shop_of: Callable[[str, str], Shop]) -> None:
    """The same options by the same names; a wrong name is an error, and so is a value that cannot be right."""
    assert signature(doctor).parameters == signature(connect).parameters
    shop = shop_of("20.0.20", "rpc")
    assert doctor(shop.url, shop.user, shop.key, timeout=9.0, wait=0.0, headers={"X-A": "b"}, allow_hosts=["a"]).healthy
    with pytest.raises(TypeError, match="patient"):
        doctor(shop.url, shop.user, shop.key, patient=3)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="timeout"):
        doctor(shop.url, shop.user, shop.key, timeout=0.0)


def test_long_names_of_lists_stand_apart() -> None:
    """Whatever a list is called, its name does not run into its state."""
    findings = (ListFinding("creditmemo_comments", "absent"), ListFinding("orders", "pageable"))
    lines = str(Diagnosis("http://a", lists=findings)).splitlines()
    assert [line.split() for line in lines[1:]] == [["creditmemo_comments", "absent"], ["orders", "pageable"]]


def test_the_command(shop_of: Callable[[str, str], Shop], capfd: pytest.CaptureFixture[str]) -> None:
    """Exit status 0 for a healthy shop and 1 for another; JSON where asked for; the key in none of it."""
    shop = shop_of("20.0.20", "rpc")
    arguments = ["doctor", "--url", shop.url, "--user", shop.user]
    assert run([*arguments, "--key", shop.key, "--json"]) == 0
    out = capfd.readouterr().out
    assert json.loads(out)["healthy"] is True
    assert shop.key not in out
    assert run([*arguments, "--key", "wrong-key-of-mine"]) == 1
    out = capfd.readouterr().out
    assert "wrong user or key and for a missing right" in out
    assert "wrong-key-of-mine" not in out
    assert run(["doctor", "--url", "http://shop.example", "--user", "a", "--key", "b"]) == 1
    assert "plain http" in capfd.readouterr().out
