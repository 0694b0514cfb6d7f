"""Damaged replies by XML-RPC: the rows are those of expat for the same bytes, or an error is raised.

By default a thousand damaged replies are tried. To try more, set their number: `MAGENTO_PAGER_FUZZ=200000 pytest
tests/shop/test_xmlrpc_fuzz.py`; each run then tries new ones.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree as ET

from conftest import SAMPLES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_decoder_fuzz import MORE, XML_TOKENS, Damage, damages, numbers
from test_xmlrpc_rows import ROWS, recordings, rendered

from magento_pager.errors import MalformedReplyError
from magento_pager.shop import xmlrpc
from magento_pager.shop.decoding import ReplyFaultError
from magento_pager.shop.failures import BLANK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATH = ["methodResponse", "params", "param", "value", "array", "data", "value", "struct"]
ODD_ROWS: list[dict[str, Any]] = [
    {"order_id": 1, "text": "a &amp; b", "empty": "", "list": [], "ids": [3, "&lt;5", None]},
    {"order_id": 2, "text": "&quot;&#13;", "record": {"x": "y"}, "records": [{"order_id": 3}, {"order_id": 4}]},
    {"order_id": 5, "note": None},
    {"order_id": 6, "note": "\n \u20ac"},
]
TOKENS = [
    *XML_TOKENS,
    b"&quot;",
    b"</struct>",
    b"<struct>",
    b"<struct/>",
    b"</struct ></value>",
    b"</struct></value><value><struct>",
    b"</value><value><struct>",
    b"<value/>",
    b"<value>7</value>",
    b"<value><nil/></value>",
    b"<nil/>",
    b"<data/>",
    b"</data>",
    b"<array><data>",
    b"</data></array>",
    b"<array><data><value><int>7</int></value></data></array>",
    b"<string>x</string>",
    b"<int>7</int>",
    b"<i4> 7 </i4>",
    b"<double>7.</double>",
    b"<boolean>1</boolean>",
    b"<member><name>order_id</name><value><int>7</int></value></member>",
    b"<member><name>x</name><value><struct><member><name>y</name><value>z</value></member></struct></value></member>",
    b"<params>",
    b"<fault/>",
    b' id="r1"',
    b' xmlns="urn:x"',
    b' xmlns:x="urn:x"',
    b"x:",
]


@cache
def valid_replies() -> list[bytes]:
    """Return our own replies, and the recorded ones if they are available."""
    read_by_us = [rendered(ROWS), rendered(ODD_ROWS), rendered(ODD_ROWS[:1]).replace(b"><", b">\n<")]
    folder = SAMPLES / "xmlrpc"
    names = [*recordings(), "fault_login.response.xml", "multicall_mixed.response.xml"] if folder.is_dir() else []
    return read_by_us + [(folder / name).read_bytes() for name in names]


def read_by_expat(body: bytes) -> tuple[list[Any], bool]:
    """Return the rows that ended before the first error of expat, or before the end, and whether it was the end."""
    parser: ET.XMLPullParser[ET.Element] = ET.XMLPullParser(["start", "end"])
    path: list[str] = []
    found: list[Any] = []
    whole = True
    try:
        parser.feed(body.strip(BLANK))
        parser.close()
    except (ET.ParseError, LookupError, ValueError):  # no XML, or in another encoding
        whole = False
    with suppress(ET.ParseError):
        for event, element in cast("Iterator[tuple[str, ET.Element]]", parser.read_events()):
            if event == "start":
                path.append(element.tag)
            else:
                if path == PATH:
                    found.append(value_by_expat(element))
                path.pop()
    return found, whole


def value_by_expat(typed: ET.Element) -> Any:
    """Return the value of a type of XML-RPC; an invalid one is equal to nothing else."""
    try:
        if typed.tag == "struct":
            names = [member[0].text or "" for member in typed]
            values = [inner_by_expat(member[1]) for member in typed]
            return dict(zip(names, values, strict=True)) if len(set(names)) == len(names) else object()
        if typed.tag == "array":
            return [inner_by_expat(value) for value in typed[0]]
    except IndexError:
        return object()
    text = typed.text or ""
    number = text.strip().removesuffix(".")
    return {"nil": None, "string": text, "boolean": number == "1"}.get(typed.tag, number)


def inner_by_expat(value: ET.Element) -> Any:
    """Return the content of a <value>."""
    return value_by_expat(value[0]) if len(value) else value.text or ""


def read_by_us(pieces: Iterator[bytes]) -> tuple[list[dict[str, Any]], str]:
    """Return our rows, and the error after them, if any."""
    found: list[dict[str, Any]] = []
    try:
        found.extend(xmlrpc.rows(pieces, "call"))
    except (MalformedReplyError, ReplyFaultError) as error:
        return found, f"{type(error)} {error}"
    return found, ""


def chopped(body: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Return a body in pieces of these sizes, repeated."""
    start = place = 0
    while start < len(body):
        size = sizes[place % len(sizes)]
        yield body[start : start + size]
        start, place = start + size, place + 1


def check(body: bytes, sizes: Sequence[int]) -> bool:
    """Compare the readings of a body; return True if it was read to its end."""
    found, error = read_by_us(iter([body]))
    assert read_by_us(chopped(body, sizes)) == (found, error), "pieces matter"
    expected, whole = read_by_expat(body)
    assert found == expected[: len(found)]
    assert error or (whole and len(found) == len(expected))
    return not error


@settings(
    max_examples=MORE or 400,
    derandomize=not MORE,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    which=numbers,
    damage=damages(TOKENS),
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=5) | st.just([1 << 12]),
)
def test_damage_never_changes_rows(which: int, damage: list[Damage], sizes: list[int]) -> None:
    """A damaged reply is refused, or read as expat reads it, however its bytes arrive."""
    replies = valid_replies()
    body = replies[which % len(replies)]
    for one in damage:
        body = one.done(body)
    check(body, sizes)


def test_some_damaged_replies_are_readable() -> None:
    """Otherwise nothing would be compared with expat."""
    bodies = [
        Damage("insert", 2, place, 0, token).done(body)
        for body in valid_replies()
        for place in range(0, 200, 21)
        for token in (b"7", b"&amp;", b"&#10;", b"\r\n")
    ]
    assert sum(check(body, [1000]) for body in bodies) > 50
