"""Ids in odd spellings, on the wire and on the command line: no row is delivered under a number that was guessed."""

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
"""Spellings that `{}` is put into, or other texts; `int` takes half of them."""


def spelled(spelling: str, number: int) -> str:
    """An id in an odd spelling."""
    return spelling.format(number)


def fullwidth(number: int) -> str:
    """An id in digits of another script."""
    return str(number).translate({ord("0") + digit: chr(0xFF10 + digit) for digit in range(10)})


@pytest.mark.parametrize("number", [36, 97, 4294967295])
@pytest.mark.parametrize("spelling", ODD)
def test_no_odd_spelling_is_an_id(spelling: str, number: int) -> None:
    """Only what the database writes is one, up to the greatest that a column can hold."""
    text = spelled(spelling, number)
    with pytest.raises(ValueError, match="is not an id"):
        read_id(text)


@pytest.mark.parametrize(
    "value",
    [None, "\u0663\u0666", "\uff13\uff16", "\u00b2", 36.0, True, -1, MAX_ID + 1, str(MAX_ID + 1), b"36", [36], "-0"],
)
def test_nothing_else_is_an_id(value: object) -> None:
    """Neither digits of other scripts nor values of other types."""
    with pytest.raises(ValueError, match="is not an id"):
        read_id(value)


@given(st.integers(0, MAX_ID))
def test_what_the_database_writes_is_an_id(number: int) -> None:
    """Plain digits, or a number from a source that has numbers."""
    assert read_id(str(number)) == read_id(number) == number


class Misspelling(Shop):
    """A shop that spells the id of one row oddly.

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
def test_a_row_whose_id_is_odd_is_skipped_by_name(
    name: ListName, flavour: Flavour, spelling: str | None, wire: str
) -> None:
    """All its neighbours are delivered, and no row under another id than its own."""
    with Misspelling(flavour=flavour, orders=120) as shop:
        ids = sorted(shop.database.ids(name))
        odd = ids[len(ids) // 2]
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            walk = pager.list(name, window=10, patience=0.0)
            walk.probe()
            shop.names = LISTS[name].key, odd, fullwidth(odd) if spelling is None else spelled(spelling, odd)
            found = WalkResult()
            for page in walk.pages():
                found.add(page)
    if (name, flavour, spelling, wire) == ("invoices", "wsi", "", "soap"):  # as if it had none: known by its number
        assert (sorted(found.ids), found.quarantined) == (ids, {})
        return
    assert found.ids == [number for number in ids if number != odd]
    assert list(found.quarantined) == [odd]
    assert re.search("which is not an id|(is no|as a) number", found.quarantined[odd])


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", [0, 20, -1])
def test_an_odd_id_is_delivered_nowhere(place: int, spelling: str) -> None:
    """Not even where rows are looked at before the walk begins, and where it is no number at all: it may fail."""
    with Misspelling(orders=60) as shop:
        ids = sorted(shop.database.ids("orders"))
        shop.names = "order_id", ids[place], spelled(spelling, ids[place])
        delivered: list[Any] = []
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            try:
                delivered += pager.orders(patience=0.0)
            except MalformedReplyError as error:
                assert "which is not an id" in str(error)  # noqa: PT017  both outcomes are right
        for row in delivered:
            assert row["order_id"].isdecimal()
            assert int(row["order_id"]) != ids[place]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_odd_id_in_a_record_is_delivered_nowhere(spelling: str) -> None:
    """The rows of shipments have no ids, their records do: those are read no less strictly."""
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
def test_bounds_are_written_in_plain_digits(command: list[str], value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no plain number is refused, with what it was taken for."""
    assert run([*command, value]) == 2
    message = capsys.readouterr().err
    assert f"{value!r} is not written in plain digits. Did you mean {int(value)}?" in message
