"""Ids in unusual spellings, in replies and on the command line: no row is delivered under a guessed id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from walk_results import WalkResult

import magento_pager
from magento_pager import MAX_ID, MalformedReplyError
from magento_pager.cli import run
from magento_pager.fake import Shop
from magento_pager.fake.api import whole
from magento_pager.lists import LISTS, ListName
from magento_pager.walk.ranges import read_id

if TYPE_CHECKING:
    from magento_pager.fake.api import Answer, Context
    from magento_pager.fake.declarations import Flavour

ODD = [
    "",
    "+{}",
    "-{}",
    "0{}",
    "00000000000{}",
    " {}",
    "{} ",
    "{}\n",
    "\u00a0{}",
    "{}.0",
    "{}e0",
    "{},0",
    "0x{}",
    "{}_0",
    "1_{}",
    "{}L",
    "'{}",
    "\u200b{}",
    "9" * 5000,
    "Array",
]
"""Spellings with `{}` for the number, and other texts; `int` accepts half of them."""


def spelled(spelling: str, number: int) -> str:
    """Draw an id in an unusual spelling."""
    return spelling.format(number)


def fullwidth(number: int) -> str:
    """Return an id in digits of another script."""
    return str(number).translate({ord("0") + digit: chr(0xFF10 + digit) for digit in range(10)})


@pytest.mark.parametrize("number", [36, 97, 4294967295])
@pytest.mark.parametrize("spelling", ODD)
def test_an_unusual_spelling_is_not_an_id(spelling: str, number: int) -> None:
    """Only the spelling of the database is, up to the largest id of the column type."""
    text = spelled(spelling, number)
    with pytest.raises(ValueError, match="is not an id"):
        read_id(text)


@pytest.mark.parametrize(
    "value",
    [None, "\u0663\u0666", "\uff13\uff16", "\u00b2", 36.0, True, -1, MAX_ID + 1, str(MAX_ID + 1), b"36", [36], "-0"],
)
def test_other_types_and_scripts_are_not_ids(value: object) -> None:
    """Digits of other scripts and values of other types are refused."""
    with pytest.raises(ValueError, match="is not an id"):
        read_id(value)


@given(st.integers(0, MAX_ID))
def test_plain_digits_are_an_id(number: int) -> None:
    """So is an int, from a source that returns numbers."""
    assert read_id(str(number)) == read_id(number) == number


class Misspelling(Shop):
    """A shop that spells the id of one row unusually.

    Attributes:
        names: the field with the id, the id, and how it is spelled.
    """

    names: tuple[str, int, str] | None = None

    def soap(self, body: bytes, context: Context) -> Answer:
        """Answer by SOAP."""
        return self._misspelled(super().soap(body, context), "<{}(?: [^>]*)?>")

    def xmlrpc(self, body: bytes, context: Context) -> Answer:
        """Answer by XML-RPC."""
        return self._misspelled(super().xmlrpc(body, context), "<name>{}</name><value><(?:string|int)>")

    def _misspelled(self, answer: Answer, before: str) -> Answer:
        if self.names is None:
            return answer
        field, number, text = self.names
        given = b"".join(answer.pieces)
        altered = re.sub(f"({before.format(field)}){number}<".encode(), rb"\g<1>" + text.encode() + b"<", given)
        return whole(answer.status, answer.content_type, altered, answer.call)


SPELLINGS = ["0{}", "+{}", " {}", "{}.0", "1_{}", "0x{}", "{}e0", "", "none"]


@pytest.mark.sampled
@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
@pytest.mark.parametrize("name", [name for name in get_args(ListName) if name != "shipments"])  # which carry no ids
@pytest.mark.parametrize("spelling", [*SPELLINGS, None])
def test_a_row_with_an_unusual_id_is_skipped_by_name(
    name: ListName, flavour: Flavour, spelling: str | None, wire: str
) -> None:
    """All its neighbours are delivered, each under its own id."""
    with Misspelling(flavour=flavour, orders=120) as shop:
        ids = sorted(shop.database.ids(name))
        odd = ids[len(ids) // 2]
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            walk = pager.list(name, window=10, patience=0.0)
            walk.probe()
            shop.names = LISTS[name].key, odd, fullwidth(odd) if spelling is None else spelled(spelling, odd)
            result = WalkResult()
            for page in walk.pages():
                result.add(page)
    if (name, flavour, spelling, wire) == (
        "invoices",
        "wsi",
        "",
        "soap",
    ):  # as if it had no id: its number identifies it
        assert (sorted(result.ids), result.quarantined) == (ids, {})
        return
    assert result.ids == [number for number in ids if number != odd]
    assert list(result.quarantined) == [odd]
    assert re.search("which is not an id|(is not a|is no|as a) number", result.quarantined[odd])


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", [0, 20, -1])
def test_an_unusual_id_is_never_delivered(place: int, spelling: str) -> None:
    """This includes rows read before the walk begins, and ids that are not numbers: the walk may fail."""
    with Misspelling(orders=60) as shop:
        ids = sorted(shop.database.ids("orders"))
        shop.names = "order_id", ids[place], spelled(spelling, ids[place])
        delivered: list[Any] = []
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            try:
                delivered += pager.orders(patience=0.0)
            except MalformedReplyError as error:
                assert "which is not an id" in str(error)  # noqa: PT017  both outcomes are valid
        for row in delivered:
            assert row["order_id"].isdecimal()
            assert int(row["order_id"]) != ids[place]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_unusual_id_in_a_record_is_never_delivered(spelling: str) -> None:
    """Rows of shipments have no ids, but their records do: these are checked as strictly."""
    with Misspelling(orders=60, no_xmlrpc=True) as shop:
        odd = sorted(shop.database.ids("shipments"))[5]
        shop.names = "shipment_id", odd, spelled(spelling, odd)
        delivered: list[Any] = []
        with (
            magento_pager.connect(shop.url, shop.user, shop.key) as pager,
            pytest.raises(MalformedReplyError, match="which is not an id"),
        ):
            delivered.extend(pager.shipments(details=True, patience=0.0))
    assert all(row["shipment_id"] != spelled(spelling, odd) for row in delivered)


@pytest.mark.parametrize("value", ["3_6", "+36", " 36", "036", "\uff13\uff16", "1_0"])
@pytest.mark.parametrize("command", [["dump", "--demo", "--first"], ["dump", "--demo", "--last"], ["regexp", "5"]])
def test_bounds_on_the_command_line_need_plain_digits(
    command: list[str], value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other spellings are refused, and the message suggests a number."""
    assert run([*command, value]) == 2
    message = capsys.readouterr().err
    assert f"{value!r} is not written in plain digits. Did you mean {int(value)}?" in message
