"""Damaged replies: the decoder returns exactly the rows of zeep for the same bytes, or raises an error.

By default a few thousand damaged replies are tried. To try more, set their number: `MAGENTO_PAGER_FUZZ=200000 pytest
tests/shop/test_decoder_fuzz.py`; each run then tries new ones.
"""

from __future__ import annotations

import logging
import os
import re
from functools import cache
from typing import Any, NamedTuple

import pytest
from conftest import SAMPLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_decoding import ROWS, rendered
from wsdls import Flavour, wsdl
from zeep_oracle import Oracle, same_rows

from magento_pager.errors import MalformedReplyError
from magento_pager.shop.decoding import Forms, ReplyFaultError, decode
from magento_pager.shop.failures import BLANK

MORE = int(os.environ.get("MAGENTO_PAGER_FUZZ", "0"))
FLAVOURS: tuple[Flavour, ...] = ("rpc", "wsi")
RECORDINGS = [
    "catalogProductList",
    "customerCustomerList",
    "salesOrderCreditmemoList",
    "salesOrderInvoiceList",
    "salesOrderList_5rows",
    "salesOrderList_empty",
    "salesOrderList_empty_string_becomes_newline",
    "salesOrderList_null_row",
    "salesOrderShipmentList",
]


class Reply(NamedTuple):
    """A valid reply to begin with."""

    oracle: Oracle
    operation: str
    body: bytes


@cache
def valid_replies() -> list[Reply]:
    """Return our own replies, and the recorded ones if they are available."""
    replies: list[Reply] = []
    for flavour in FLAVOURS:
        ours = Oracle(wsdl(flavour))
        replies += [
            Reply(ours, "salesOrderList", rendered(flavour, ROWS)),
            Reply(ours, "salesOrderList", rendered(flavour, [*ROWS[:2], *({"order_id": "9"},) * 3], broken=False)),
        ]
        folder = SAMPLES / flavour
        if folder.is_dir():
            theirs = Oracle((folder / "wsdl.xml").read_bytes())
            replies += [
                Reply(theirs, name.partition("_")[0], (folder / f"{name}.response.xml").read_bytes())
                for name in RECORDINGS
            ]
    return replies


XML_TOKENS = [
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<?a?>",
    b"<!DOCTYPE a>",
    b"&amp;",
    b"&lt;",
    b"&#10;",
    b"&#1;",
    b"&e;",
    b"&",
    b"<",
    b">",
    b"/>",
    b"</",
    b'"',
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b"\x00",
    b"\x01",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xef\xbf\xbe",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"7",
]
TOKENS = [
    *XML_TOKENS,
    b"<item>",
    b"</item>",
    b"<item/>",
    b"<complexObjectArray>",
    b"</complexObjectArray>",
    b"<complexObjectArray/>",
    b"<result>",
    b"</result>",
    b"<result/>",
    b"<order_id>5</order_id>",
    b'<increment_id xsi:type="xsd:string">5</increment_id>',
    b"<name/>",
    b"ns1:",
    b' xsi:nil="true"',
    b' xsi:nil="0"',
    b' xsi:type="xsd:string"',
    b' xsi:type="xsd:int"',
    b' xsi:type="xsd:boolean"',
    b' xsi:type="xsd:base64Binary"',
    b' xsi:type="ns1:salesOrderShipmentEntity"',
    b' xsi:type="ns1:filters"',
    b' id="r1"',
    b' href="#r1"',
    b' xmlns="urn:OpenMage"',
    b' xmlns:xsi="urn:other"',
    b' xmlns:xsd="urn:other"',
    b' xmlns:ns1="urn:other"',
    b' SOAP-ENC:arrayType="xsd:string[1]"',
]
_TAG = re.compile(rb"<[^<>]*>")
_ELEMENT = re.compile(rb"<([\w:-]+)([ ][^<>]*)?>[^<>]*</\1>\n?")
_TEXT = re.compile(rb"(?<=>)[^<>]*(?=<)")
_NAME = re.compile(rb"(?<=</)[\w:-]+|(?<=<)[\w:-]+")
_VALUE = re.compile(rb'(?<=")[^"<>]*(?=")')
_NUMBER = re.compile(rb"\d+")
PIECES = [_TAG, _ELEMENT, _TEXT, _NAME, _VALUE, _NUMBER]
"""What damage aims at: parts of a reply, so that not every damaged one is malformed at first sight."""


class Damage(NamedTuple):
    """One change, as plain numbers that are taken modulo the length."""

    deed: str
    kind: int
    here: int
    there: int
    token: bytes

    def done(self, body: bytes) -> bytes:
        """Return the body after the change."""
        first, second = self._part(body, self.here), self._part(body, self.there)
        start, end = first
        if self.deed == "delete":
            return body[:start] + body[end:]
        if self.deed == "insert":
            return body[:start] + self.token + body[start:]
        if self.deed == "append":
            return body[:end] + self.token + body[end:]
        if self.deed == "replace":
            return body[:start] + self.token + body[end:]
        if self.deed == "attribute":  # behind the name of a tag
            tags = list(_TAG.finditer(body))
            place = tags[self.here % len(tags)].end() - 1 if tags else 0
            return body[:place] + self.token + body[place:]
        if self.deed == "rename":  # both tags of an element, or a name wherever it stands
            return body.replace(body[start:end], body[slice(*second)]) if end > start else body
        if self.deed == "cut":
            return body[: self.here % (len(body) + 1)]
        return body[: second[0]] + body[start:end] + body[second[0] :]  # copy

    def _part(self, body: bytes, which: int) -> tuple[int, int]:
        parts = list(PIECES[self.kind].finditer(body))
        return parts[which % len(parts)].span() if parts else (0, 0)


DEEDS = ["delete", "insert", "append", "replace", "attribute", "attribute", "rename", "copy", "cut"]
numbers = st.integers(0, 10_000)


def damages(tokens: list[bytes]) -> st.SearchStrategy[list[Damage]]:
    """Return a strategy for a few changes with these tokens."""
    kinds = st.integers(0, len(PIECES) - 1)
    one = st.builds(Damage, st.sampled_from(DEEDS), kinds, numbers, numbers, st.sampled_from(tokens))
    return st.lists(one, min_size=1, max_size=3)


@settings(
    max_examples=MORE or 1000,
    derandomize=not MORE,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(which=numbers, damage=damages(TOKENS), size=st.sampled_from([3, 100, 1 << 16]))
def test_damage_never_changes_rows(which: int, damage: list[Damage], size: int) -> None:
    """A damaged reply is refused, or read as zeep reads it; also with forms known from the valid reply."""
    replies = valid_replies()
    reply = replies[which % len(replies)]
    body = reply.body
    for one in damage:
        body = one.done(body)
    shape = reply.oracle.shape(reply.operation)
    forms = Forms()
    list(decode([reply.body], shape, forms))
    outcomes = [_outcome(body, size, shape, known) for known in (Forms(), forms)]
    assert outcomes[0] == outcomes[1]
    if isinstance(outcomes[0], list):
        body = body.strip(BLANK)  # which we skip around a reply, and zeep does not
        theirs = reply.oracle.rows(reply.operation, body)
        assert same_rows(outcomes[0], theirs, body)


def _outcome(body: bytes, size: int, shape: Any, forms: Forms) -> list[dict[str, Any]] | type[Exception]:
    """Return the rows, or the error that is raised instead."""
    try:
        return list(decode((body[start : start + size] for start in range(0, len(body), size)), shape, forms))
    except (MalformedReplyError, ReplyFaultError) as error:
        return type(error)


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> None:
    """Silence zeep, which logs each text that is not a number."""
    logging.getLogger("zeep").setLevel(logging.CRITICAL)


def test_some_damaged_replies_are_readable() -> None:
    """Otherwise nothing would be compared with zeep."""
    read = 0
    for reply in valid_replies():
        shape = reply.oracle.shape(reply.operation)
        for place in range(0, 200, 7):
            for token in (b"7", b"&amp;", b"\n"):
                body = Damage("insert", 2, place, 0, token).done(reply.body)
                outcome = _outcome(body, 1 << 16, shape, Forms())
                if isinstance(outcome, list):
                    read += 1
                    assert same_rows(outcome, reply.oracle.rows(reply.operation, body), body)
    assert read > 100
