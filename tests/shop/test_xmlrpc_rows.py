"""Rows by XML-RPC: equal to those of an independent reader, or refused, in bounded memory."""

from __future__ import annotations

import xmlrpc.client
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import pytest
from conftest import SAMPLES
from hypothesis import given
from hypothesis import strategies as st
from test_decoding import cut, endless, resident, texts

from magento_pager.errors import MalformedReplyError
from magento_pager.shop.decoding import ReplyFaultError
from magento_pager.shop.repairing import without_forbidden
from magento_pager.shop.streaming import LONGEST_ROW, MOST_MARKUP
from magento_pager.shop.xmlrpc import rows, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<methodResponse><params><param><value><array><data>'
TAIL = "</data></array></value></param></params></methodResponse>\n"
ROWS: list[dict[str, Any]] = [
    {"order_id": str(number), "status": "complete", "note": "as\never", "coupon": None, "ids": ["3", "5"]}
    for number in range(1, 6)
]
MALFORMED = "the reply is malformed"


def written(value: Any) -> str:
    """Return a value as PHP writes it; its text is ready for XML."""
    if isinstance(value, dict):
        return f"<value>{struct(value)}</value>"
    if isinstance(value, list):
        data = "".join(map(written, value))
        return f"<value><array>{f'<data>{data}</data>' if data else '<data/>'}</array></value>"
    if value is None:
        return "<value><nil/></value>"
    return (
        f"<value><string>{value}</string></value>" if isinstance(value, str) else f"<value><int>{value}</int></value>"
    )


def struct(row: dict[str, Any]) -> str:
    """Return a record as PHP writes it."""
    members = (f"<member><name>{name}</name>{written(value)}</member>" for name, value in row.items())
    return f"<struct>{''.join(members)}</struct>"


def rendered(records: Iterable[dict[str, Any]]) -> bytes:
    """Return a reply of a list."""
    return f"{HEAD}{''.join(map(written, records))}{TAIL}".encode()


def read(body: bytes, size: int = 1 << 16) -> list[dict[str, Any]]:
    """Return all rows of a body that arrives in pieces of a size."""
    return list(rows(cut(body, size), "call"))


def as_text(value: Any) -> Any:
    """Return a value of `xmlrpc.client` in our form, with numbers as text."""
    if isinstance(value, dict):
        return {name: as_text(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_text(one) for one in value]
    return str(value) if type(value) is int else value


def recordings() -> list[str]:
    """Return the recorded replies of lists, except the one that is not XML."""
    names = [path.name for path in sorted((SAMPLES / "xmlrpc").glob("*list*.response.xml"))]
    return [*names, "unicode_control.response.xml"] if names else ["none"]


# What is accepted


@pytest.mark.parametrize("size", [1, 100, 1 << 16])
@pytest.mark.parametrize("name", recordings())
def test_recorded_lists(name: str, size: int, samples: Path) -> None:
    """Each list of a live server is read as `xmlrpc.client` reads it."""
    body = (samples / "xmlrpc" / name).read_bytes()
    ((theirs,), _) = xmlrpc.client.loads(body, use_builtin_types=True)
    assert read(body, size) == as_text(theirs)
    assert bool(theirs) != ("empty" in name)


def test_a_recorded_control_character(samples: Path) -> None:
    """A server before 1.9.3 sends it raw: it is refused, and the row is read once it is removed."""
    body = (samples / "xmlrpc" / "unicode_control_pre193.response.xml").read_bytes()
    with pytest.raises(MalformedReplyError, match="a character that XML forbids") as caught:
        read(body)
    assert caught.value.remedy == "isolate"
    (row,) = rows(without_forbidden(cut(body, 100)), "call")
    assert row["order_id"] == "3"


lists = st.lists(texts | st.none() | st.integers(-9, 99), max_size=3)
scalars = texts | st.none() | st.integers(-(1 << 70), 1 << 70)
values = scalars | lists | st.dictionaries(st.sampled_from("ab"), scalars | lists, min_size=1, max_size=2)
some_rows = st.lists(
    st.dictionaries(st.sampled_from(["order_id", "größe", "a & b", "x"]), values, min_size=1), max_size=12
)


def escaped(value: Any) -> Any:
    """Return a value whose texts are ready for XML, as PHP escapes them."""
    if isinstance(value, dict):
        return {escaped(name): escaped(one) for name, one in value.items()}
    if isinstance(value, list):
        return [escaped(one) for one in value]
    return escape(value, {'"': "&quot;"}) if isinstance(value, str) else value


@given(records=some_rows, size=st.integers(1, 300))
def test_values_are_read_unchanged(records: list[dict[str, Any]], size: int) -> None:
    """Whatever the texts are, and however the reply is cut."""
    body = rendered(map(escaped, records))
    expected = as_text(records)
    assert read(body, size) == expected
    assert value_of(body, "call") == expected


ODD: dict[str, tuple[str, list[Any]]] = {
    "numbers": (
        "<int>7</int>|<i4>-7</i4>|<i8>9007199254740993</i8>|<double>1.</double>|<double>1.0E-5</double>",
        ["7", "-7", "9007199254740993", "1", "1.0E-5"],
    ),
    "booleans": ("<boolean>1</boolean>|<boolean>0</boolean>", [True, False]),
    "untyped": ("a &lt; b|| \n ", ["a < b", "", " \n "]),
    "texts": ("<string/>|<string></string>|<string> \n a \t</string>", ["", "", " \n a \t"]),
    "references": (
        "<string>&#13;&#10;&#x41;&quot;&apos;&amp;#1;&amp;lt;</string>|<string>&#38;&gt;</string>",
        ["\r\nA\"'&#1;&lt;", "&>"],
    ),
    "line ends": ("<string>a\r\nb\rc</string>", ["a\nb\nc"]),
    "unusual characters": ("<string>\x7f\x85\u2028\ufeff\U0001f600</string>", ["\x7f\x85\u2028\ufeff\U0001f600"]),
    "a text like markup": ('<string>a > b</string>|<string>a="b"</string>', ["a > b", 'a="b"']),
    "nothing": ("<nil/>|<nil></nil>|<nil />", [None, None, None]),
    "empty lists": ("<array><data/></array>|<array><data></data></array>|<array><data> </data></array>", [[], [], []]),
    "lists": (
        f"<array><data><value>a&amp;</value>{written(None)}</data></array>|<array><data>{written(['&amp;'])}</data></array>",
        [["a&", None], [["&"]]],
    ),
    "records": (
        f"{struct({'x': {'y': 'z'}})}|<struct/>",
        [{"x": {"y": "z"}}, {}],
    ),
    "records in a list": (
        f"<array><data>{written({'order_id': '9'})}{written({'order_id': '8'})}</data></array>",
        [[{"order_id": "9"}, {"order_id": "8"}]],
    ),
    "blanks between tags": ("\n <array> <data>\n<value> <int>1</int>\t</value> </data> </array> ", [["1"]]),
}


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize("place", [0, 1, 4])
@pytest.mark.parametrize("odd", ODD)
def test_odd_values(odd: str, place: int, size: int) -> None:
    """Values of every type, in a row that is parsed and in one that may be recognised."""
    sent, expected = ODD[odd]
    for value, text in zip(sent.split("|"), expected, strict=True):
        parts = list(map(written, ROWS))
        parts[place] = written({"order_id": "7", "x": "?"}).replace("<string>?</string>", value)
        assert read(f"{HEAD}{''.join(parts)}{TAIL}".encode(), size) == [
            {"order_id": "7", "x": text} if number == place else one for number, one in enumerate(ROWS)
        ]


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("><", ">\n<"),
        ("</struct>", "</struct >"),
        ("</struct></value>", "</struct>\n</value>"),
        ("<string>complete</string>", "complete"),
        ("<struct>", "<struct >"),
        ("<name>status", "<name>&#115;tatus"),
        ("<?xml", "\ufeff \ufeff\r\n<?xml"),
        ('<?xml version="1.0" encoding="UTF-8"?>', ""),
        ('"UTF-8"', "'utf8'"),
        (TAIL, TAIL + "\n\ufeff\t\ufeff\n"),
    ],
)
def test_blanks_make_no_difference(old: str, new: str, size: int) -> None:
    """Between tags, around the reply, and in them."""
    body = rendered(ROWS).decode()
    assert old in body
    odd = body.replace(old, new)
    expected = ROWS
    if (old, new) == ("><", ">\n<"):
        odd = odd.replace("<data/>", "<data>\n</data>")
    assert read(odd.encode(), size) == expected


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize("data", ["<data/>", "<data></data>", "<data>\n</data>"])
def test_an_empty_list_has_no_rows(data: str, size: int) -> None:
    """However it is written."""
    assert read(rendered([]).replace(b"<data></data>", data.encode()), size) == []


def test_a_row_is_yielded_when_its_struct_ends() -> None:
    """Long before the reply ends."""
    body = rendered(ROWS)
    third = sum(len(part) + len(b"</struct>") for part in body.split(b"</struct>")[:3])
    taken = 0

    def pieces() -> Iterable[bytes]:
        nonlocal taken
        for taken in range(1, len(body) + 1):
            yield body[taken - 1 : taken]

    reading = rows(pieces(), "call")
    assert [next(reading)["order_id"] for _ in range(3)] == ["1", "2", "3"]
    assert taken == third


# What is refused

DEEP = "<array><data><value>" * 300 + "</value></data></array>" * 300
ANY_ROW = {
    "notice": ("<member><name>status", "<br /><b>Warning</b>: x on line 4<br /><member><name>status", "not XML-RPC"),
    "unknown type": (
        "<string>complete</string>",
        "<dateTime.iso8601>20240101T00:00:00</dateTime.iso8601>",
        "a <dateTi",
    ),
    "member twice": ("<name>note</name>", "<name>status</name>", "two members 'status'"),
    "markup in a text": ("complete", "<b>complete</b>", "markup in <string>|text next to markup"),
    "text next to markup": ("<string>complete", "done <string>complete", "text next to markup"),
    "text behind a value": ("</string></value>", "</string></value>done", "text next to markup"),
    "text behind a member": ("<member><name>status", "done<member><name>status", "text next to markup"),
    "two values": ("<string>complete</string>", "<string>complete</string><nil/>", "2 elements instead of one"),
    "no value": (
        "<name>status</name><value><string>complete</string></value>",
        "<name>status</name>",
        "a <member> that",
    ),
    "no name": ("<name>status</name>", "", "a <member> that is not a <name>"),
    "name behind the value": (
        "<name>status</name><value><string>complete</string></value>",
        "<value><string>complete</string></value><name>status</name>",
        "a <member> that",
    ),
    "markup in a name": ("<name>status", "<name><b/>status", "markup in <name>|text next to markup"),
    "no member": ("<member><name>status", "<value/><member><name>status", "a <member> that"),
    "boolean": ("<string>complete</string>", "<boolean>true</boolean>", "a <boolean>"),
    "no number": ("<string>complete</string>", "<int>1 2</int>", "'1 2' as a number"),
    "no digits": ("<string>complete</string>", "<int/>", "'' as a number"),
    "blanks around a number": ("<string>complete</string>", "<int> 7</int>", "' 7' as a number"),
    "other digits": ("<string>complete</string>", "<int>\u0661</int>", "as a number"),
    "nil with content": ("<string>complete</string>", "<nil>x</nil>", "a <nil>"),
    "list without data": ("<string>complete</string>", "<array><value>1</value></array>", "<value> instead of <data>"),
    "another namespace": ("<string>complete", '<string xmlns="urn:x">complete', "a <{urn:x}string>"),
    "attribute": ("<string>complete", '<string id="r1">complete', "attributes"),
    "attribute of a name": ("<name>status", '<name x="">status', "attributes"),
    "comment": ("complete", "com<!-- -->plete", "a comment"),
    "cdata": ("complete", "<![CDATA[complete]]>", "CDATA"),
    "processing instruction": ("complete", "com<?php ?>plete", "processing instruction"),
    "doctype": ("complete", "<!DOCTYPE a>", "document type"),
    "entity": ("complete", "&harmless;", MALFORMED),
    "forbidden reference": ("complete", "&#1;", "a character that XML forbids"),
    "control character": ("complete", "com\x01plete", "a character that XML forbids"),
    "null byte": ("complete", "com\x00plete", MALFORMED),
    "noncharacter": ("complete", "com\ufffeplete", MALFORMED),
    "bare ampersand": ("complete", "this & that", MALFORMED),
    "bare less-than": ("complete", "this < that", MALFORMED),
    "end of CDATA": ("complete", "this ]]> that", MALFORMED),
    "unclosed": ("</string></value>", "</value>", MALFORMED),
    "crossed": ("</string></value>", "</value></string>", MALFORMED),
    "crossed in a list": ("<string>3</string>", "<string>3</int>", MALFORMED),
    "no number in a list": ("<string>3</string>", "<int>x</int>", "'x' as a number"),
    "deep nesting": ("<string>complete</string>", DEEP, MALFORMED),
    "empty record": (struct(ROWS[0])[8:-9], "", "a record without members"),
    "row that is a text": (
        struct(ROWS[0]),
        "<string>Array</string>",
        "among the rows",
    ),
    "row that is nothing": (struct(ROWS[0]), "<nil/>", "among the rows"),
    "row that is a list": (
        struct(ROWS[0]),
        "<array><data/></array>",
        "among the rows",
    ),
    "text in a row": ("<value><struct>", "<value>x<struct>", "text next to markup"),
    "text behind a row": ("</struct></value>", "</struct>x</value>", "text next to markup"),
    "text between rows": ("</struct></value>", "</struct></value>x", "text next to markup"),
    "row with more behind": ("</struct></value>", "</struct><nil/></value>", "2 elements instead of one"),
    "row with more before": ("<value><struct>", "<value><nil/><struct>", "2 elements instead of one"),
    "markup between rows": ("</struct></value>", "</struct></value><value/>", "among the rows"),
    "row in another element": ("<value><struct>", "<wert><struct>", "<wert> instead of <value>|malformed"),
}


def damaged(old: str, new: str, place: int) -> bytes:
    """Return a reply in which the first `old` in one row is replaced by `new`."""
    parts = list(map(written, ROWS))
    old = old.replace(struct(ROWS[0])[8:-9], struct(ROWS[place])[8:-9])
    assert old in parts[place]
    parts[place] = parts[place].replace(old, new, 1)
    return f"{HEAD}{''.join(parts)}{TAIL}".encode()


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize("place", [0, 1, 4])
@pytest.mark.parametrize("damage", ANY_ROW)
def test_a_damaged_row_is_refused(damage: str, place: int, size: int) -> None:
    """In a row that is parsed and in one that is recognised; a single row may be the cause."""
    old, new, message = ANY_ROW[damage]
    given: list[dict[str, Any]] = []
    with pytest.raises(MalformedReplyError, match=message) as caught:
        given.extend(rows(cut(damaged(old, new, place), size), "call"))
    assert given == ROWS[: len(given)]
    assert len(given) <= place + 1, "what stands behind a row may show later"
    assert caught.value.remedy == ("stop" if damage == "doctype" else "isolate")
    assert "\n" not in str(caught.value)


def test_invalid_utf_8_is_refused() -> None:
    """In any row."""
    for place in (0, 1, 4):
        with pytest.raises(MalformedReplyError, match=MALFORMED):
            read(damaged("complete", "Bjrn", place).replace(b"Bjrn", b"Bj\xf6rn"))


DOCUMENT = {
    "trailing junk": ("</methodResponse>", "</methodResponse>junk", "something follows the reply"),
    "trailing element": ("</methodResponse>", "</methodResponse><value/>", "something follows the reply"),
    "php notice behind": ("</methodResponse>", "</methodResponse>\n<b>Notice</b>: x", "something follows the reply"),
    "php notice before": ("<?xml", "<br />\n<b>Notice</b>: <?xml", "not XML; it begins with 'Notice:"),
    "doctype": ("?>", '?><!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd">', "document type"),
    "internal entity": ("?>", '?><!DOCTYPE a [<!ENTITY e "harmless">]>', "document type"),
    "stylesheet": ("?>", '?><?xml-stylesheet href="x"?>', "processing instruction"),
    "declared as utf-16": ('"UTF-8"', '"UTF-16"', "encoded in 'UTF-16', not in UTF-8"),
    "declared as latin": ('"UTF-8"', "'iso-8859-1'", "encoded in 'iso-8859-1', not in UTF-8"),
    "another root": ("methodResponse", "methodCall", "<methodCall> instead of <methodResponse>|cut short"),
    "another namespace": ("<methodResponse>", '<methodResponse xmlns="urn:x">', "instead of <methodResponse>"),
    "attribute of the root": ("<methodResponse>", '<methodResponse a="">', "attributes"),
    "attribute of the data": ("<array><data>", '<array><data a="">', "attributes"),
    "text before the rows": ("<array><data>", "<array><data>x", "text next to markup"),
    "text behind the rows": (
        "</data></array></value></param>",
        "</data></array>x</value></param>",
        "text next to markup",
    ),
    "no rows but a value": ("<array><data>", "<array><data><value>1</value>", "among the rows"),
    "two parameters": ("</param></params>", "</param><param><value>1</value></param></params>", "2 elements"),
    "a parameter before": ("<params><param>", "<params><param><value>1</value></param><param>", "2 elements"),
    "two data": ("</data></array></value></param>", "</data><data/></array></value></param>", "2 elements"),
    "two values": ("</array></value></param>", "</array></value><value/></param>", "2 elements"),
    "two types": ("</array></value></param>", "</array><nil/></value></param>", "2 elements"),
    "fault behind": ("</params>", "</params><fault/>", "2 elements"),
}


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize("damage", DOCUMENT)
def test_a_damaged_document_is_refused(damage: str, size: int) -> None:
    """The elements around the rows must be valid, however the reply is cut."""
    old, new, message = DOCUMENT[damage]
    body = rendered(ROWS).decode()
    head, middle, tail = body.rpartition(old) if old.startswith("</") else body.partition(old)
    odd = head + new + tail if middle and old != "methodResponse" else body.replace(old, new)
    assert odd != body
    given: list[dict[str, Any]] = []
    with pytest.raises(MalformedReplyError, match=message) as caught:
        given.extend(rows(cut(odd.encode(), size), "call"))
    assert given == ROWS[: len(given)]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("<boolean>0</boolean>", "<boolean> instead of <array>"),
        ("<string>Access denied</string>", "<string> instead of <array>"),
        ("Access denied", "0 elements instead of one in <value>"),
        ("", "0 elements instead of one in <value>"),
        ("<nil/>", "<nil> instead of <array>"),
        (struct(ROWS[0]), "<struct> instead of <array>"),
        ("<array><data><value>1</value></data></array>", "a <value> among the rows that is not a record"),
        ("<array/>", "0 elements instead of one in <array>"),
        ("<array><value/></array>", "<value> instead of <data>"),
    ],
)
def test_an_answer_that_is_not_a_list_is_refused(value: str, message: str, size: int) -> None:
    """Another value is not an empty list."""
    body = f"<methodResponse><params><param><value>{value}</value></param></params></methodResponse>".encode()
    with pytest.raises(MalformedReplyError, match=message) as caught:
        read(body, size)
    assert caught.value.remedy == "isolate"


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize(
    ("body", "message", "remedy"),
    [
        (b"", "the reply is empty", "split"),
        (b" \n", "the reply is empty", "split"),
        (b"OK", "not XML; it begins with 'OK'", "isolate"),
        (b"<!DOCTYPE html><html><body>Please log in</body></html>", "a page of HTML arrived", "retry"),
        (b"<br />\n<b>Fatal error</b>: x", "PHP failed with this message", "isolate"),
        (rendered(ROWS).decode().encode("utf-16"), "encoded in 'UTF-16'", "isolate"),
        (b"<?xml version='1.0'?><a>" + b"<b>" * 10_000, MALFORMED, "isolate"),
        (b"<methodResponse/>", "0 elements instead of one", "isolate"),
        (b"<methodResponse><params/></methodResponse>", "0 elements instead of one", "isolate"),
        (b"<e:Envelope xmlns:e='urn:x'/>", "instead of <methodResponse>", "isolate"),
    ],
)
def test_a_body_that_is_not_a_reply_is_refused(body: bytes, message: str, remedy: str, size: int) -> None:
    """Pages, nothing, other encodings, other documents: as for SOAP."""
    with pytest.raises(MalformedReplyError, match=message) as caught:
        read(body, size)
    assert caught.value.remedy == remedy
    assert "\n" not in str(caught.value)


def test_a_reply_that_is_cut_short_is_refused() -> None:
    """Wherever a reply ends too soon, its rows are followed by an error, and fewer rows may help."""
    body = rendered(ROWS[:3]).rstrip()
    for length in range(len(body)):
        given: list[dict[str, Any]] = []
        with pytest.raises(MalformedReplyError) as caught:
            given.extend(rows([body[:length]], "call"))
        assert given == ROWS[: len(given)]
        assert caught.value.remedy == "split"


@pytest.mark.parametrize("place", range(40))
def test_a_document_type_across_two_pieces_is_found(place: int) -> None:
    """Wherever a piece ends."""
    body = rendered(ROWS).replace(b"?>", b"?><!DOCTYPE a>", 1)
    start = body.index(b"<!DOCTYPE") - 20 + place
    with pytest.raises(MalformedReplyError, match="document type"):
        list(rows([body[:start], body[start:]], "call"))


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize(("code", "text"), [("5", "Session expired."), ("1", ""), ("-9", "a\n<b>")])
def test_a_fault_keeps_its_code_and_text(code: str, text: str, size: int) -> None:
    """It keeps its code and words."""
    body = xmlrpc.client.dumps(xmlrpc.client.Fault(int(code), text), methodresponse=True).encode()
    with pytest.raises(ReplyFaultError) as caught:
        read(body, size)
    assert (caught.value.code, caught.value.text) == (code, text)


@pytest.mark.parametrize("content", ["", "<value>x</value>", f"<value>{struct({'faultCode': '5'})}</value>"])
def test_a_fault_without_a_text_is_refused(content: str) -> None:
    """It may be anything."""
    with pytest.raises(MalformedReplyError, match=r"without a code or a text|0 elements instead of one in <fault>"):
        read(f"<methodResponse><fault>{content}</fault></methodResponse>".encode())


def test_look_alikes_are_not_recognised() -> None:
    """Text that looks like another row is not a row inside a row."""
    records = [ROWS[0], ROWS[1], {"x": [{"order_id": "66"}] * 3}, ROWS[2]]
    body = rendered(records)
    assert read(body) == records
    for size in (1, 40, 1 << 16):  # neither where an end tag is spelled otherwise
        odd = body.replace(b"</struct></value><value><struct>", b"</struct ></value><value><struct>", 2)
        assert read(odd, size) == read(body)


# What is bounded


@pytest.mark.parametrize("size", [1 << 16, 1 << 24])
def test_a_large_row_is_read(size: int) -> None:
    """With a text of 8 MB, and its neighbours."""
    large = "a" * 8_000_000
    given = read(damaged("complete", large, 2), size)
    assert [row["status"] for row in given] == ["complete", "complete", large, "complete", "complete"]


@pytest.mark.parametrize(
    "value",
    [
        "<string>" + "a" * (LONGEST_ROW + (1 << 17)) + "</string>",
        f"<array><data>{'<value/>' * (MOST_MARKUP + (1 << 17))}</data></array>",
    ],
)
def test_a_row_that_is_too_large_is_isolated(value: str) -> None:
    """So that it can be skipped by name; it is not kept in memory."""
    with pytest.raises(MalformedReplyError, match="no row ends") as caught:
        read(damaged("<string>complete</string>", value, 1))
    assert caught.value.remedy == "isolate"


BEGUN = rendered(ROWS).partition(b"</data></array></value></param>")[0]


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (BEGUN, b"<value/>"),
        (BEGUN, b"<value>"),
        (BEGUN, b" "),
        (BEGUN + b"<value><array><data>", b"<value><struct></struct></value>"),
        (BEGUN + b"<value><struct><member><name>", b"a"),
        (BEGUN + b"<value><struct>", b"<member><name>a</name><value/></member>"),
        (BEGUN + b"<value a='", b"a"),
        (b"<methodResponse>", b"<value><struct></struct></value>"),
        (b"<methodResponse", b" "),
        (b"", b" "),
    ],
)
def test_an_endless_reply_is_refused_early(start: bytes, part: bytes) -> None:
    """Without the end of a row, the reply is refused before it takes much memory."""
    pieces, taken = endless(start, part)
    with pytest.raises(MalformedReplyError):
        list(rows(pieces, "call"))
    assert sum(taken) < LONGEST_ROW + 3 * (1 << 17)


def test_rows_are_freed() -> None:
    """A reply of very many rows keeps only one of them: memory does not grow with the reply."""
    plain, odd = written(ROWS[1]).encode(), written(ROWS[2]).replace("complete", "a > b").encode()
    total = 20_000  # of each: one is recognised, the other parsed
    pieces = chain([HEAD.encode()], repeat((plain + odd) * 100, total // 100), [TAIL.encode()])
    before = resident()
    assert sum(1 for _ in rows(pieces, "call")) == 2 * total
    assert resident() - before < 20_000_000, "of some 15 MB of reply, tens of MB as a tree"
