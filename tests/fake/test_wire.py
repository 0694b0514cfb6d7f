"""Replies as bytes, without PHP: the fast writer of rows equals the slow one, and versions change texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from magento_pager.fake import PROFILES, ShopFault, profile
from magento_pager.fake.profiles import listing
from magento_pager.fake.replies import Encoder
from magento_pager.fake.schema import operations

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager.fake.declarations import Flavour

SPOKEN = [(name, flavour) for name, profile_ in PROFILES.items() for flavour in profile_.flavours]
TEXTS = st.text(max_size=6) | st.sampled_from(
    ["", "\n", "&<>\r", "\x01", "\0", "\ufffe", "\udcf6", "日本", "0", "true"]
)
VALUES = st.none() | TEXTS | st.binary(max_size=4) | st.integers(0, 2**32) | st.floats(0, 1e6)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, Flavour, str, list[dict[str, Any]]]:
    """Return a version, a flavour, one of its lists, and records for it with any values that a database may have."""
    version, flavour = draw(st.sampled_from(SPOKEN))
    name = draw(st.sampled_from(profile(version).lists))
    requested = listing(name, profile(version))
    arrays = {field.name: st.lists(TEXTS, max_size=2) for field in requested.fields if field.type == "ArrayOfString"}
    columns = st.sampled_from([column for column in requested.columns if column not in arrays])
    record = st.builds(
        lambda scalars, ids: scalars | ids,
        st.dictionaries(columns, VALUES, max_size=6),
        st.fixed_dictionaries(arrays),
    )
    return version, flavour, name, draw(st.lists(record, max_size=3))


@given(written())
@example(("20.0.20", "rpc", "orders", [{"firstname": "a\0b", "lastname": "\0"}]))
@example(("1.7.0.2", "wsi", "orders", [{"firstname": "\0\0"}, {"order_id": 1}]))
def test_rows_written_one_by_one_equal_the_whole_reply(sent: tuple[str, Flavour, str, list[dict[str, Any]]]) -> None:
    """Opening, rows and closing together are the whole reply, and fail where it fails."""
    version, flavour, name, records = sent
    requested, encoder = listing(name, profile(version)), Encoder(profile(version), flavour)
    operation = operations(profile(version))[requested.operation]
    size, write = len(records), encoder.rows(requested)

    def one_by_one() -> bytes:
        rows = [write([record.get(column) for column in requested.columns]) for record in records]
        return b"".join([encoder.opening(operation, size), *rows, encoder.closing(operation, size)])

    assert _outcome(one_by_one) == _outcome(lambda: encoder.reply(operation, records))


def _outcome(write: Callable[[], bytes]) -> bytes | str:
    """Return the bytes, or the text of the fault instead."""
    try:
        return write()
    except ShopFault as fault:
        return fault.text


@given(TEXTS, TEXTS)
def test_the_newest_version_always_writes_xml(first: str, last: str) -> None:
    """Whatever a name contains, a reply from 1.9.3 on can be parsed, and has the name or omits it."""
    newest = profile("20.0.20")
    for flavour in newest.flavours:
        encoder, requested = Encoder(newest, flavour), listing("orders", newest)
        operation = operations(newest)[requested.operation]
        body = encoder.reply(operation, [{"firstname": first, "lastname": last}])
        (result,) = etree.fromstring(body).iter("result")
        texts = {field.tag: field.text for row in result for field in row}
        for name, text in (("firstname", first), ("lastname", last)):
            if any("\ud800" <= character <= "\udfff" for character in text):
                assert name not in texts
            elif not any(ord(character) < 32 or character in "\ufffe\uffff" for character in text):
                assert texts[name] == (text or "\n")


@pytest.mark.parametrize(
    ("version", "text"),
    [("1.7.0.2", None), ("1.8.1.0", "\n"), ("20.0.20", "\n")],
)
def test_an_empty_text_is_a_line_break_from_1_8_on(version: str, text: str | None) -> None:
    """The line break that newer versions add between tags is also added in empty elements."""
    old = profile(version)
    encoder = Encoder(old, "rpc")
    body = encoder.reply(operations(old)["salesOrderList"], [{"firstname": ""}])
    (element,) = etree.fromstring(body).iter("firstname")
    assert element.text == text


def test_a_null_is_omitted_unless_the_field_is_required() -> None:
    """An optional field is absent, a required one is nil in RPC and empty in WS-I."""
    newest = profile("20.0.20")
    row: dict[str, Any] = {
        "product_id": "1",
        "sku": "a",
        "name": None,
        "set": "4",
        "type": "simple",
        "category_ids": [],
    }
    bodies = {
        flavour: Encoder(newest, flavour).reply(operations(newest)["catalogProductList"], [row])
        for flavour in newest.flavours
    }
    assert b'<name xsi:nil="true"/>' in bodies["rpc"]
    assert b"<name/>" in bodies["wsi"]
    assert b'<category_ids SOAP-ENC:arrayType="xsd:string[0]" xsi:type="ns1:ArrayOfString"/>' in bodies["rpc"]
    customer = Encoder(newest, "rpc").reply(operations(newest)["customerCustomerList"], [{"customer_id": 1}])
    assert b"increment_id" not in customer


def test_a_confirmation_key_becomes_true() -> None:
    """The WSDL declares the key as a boolean, so PHP converts it."""
    newest = profile("20.0.20")
    encoder = Encoder(newest, "wsi")
    rows: list[dict[str, Any]] = [{"confirmation": "d41d8cd9"}, {"confirmation": None}, {"confirmation": "0"}]
    body = encoder.reply(operations(newest)["customerCustomerList"], rows)
    assert [element.text for element in etree.fromstring(body).iter("confirmation")] == ["true", "false"]
