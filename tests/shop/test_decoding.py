"""The decoder: it reads valid replies as zeep does, and refuses all others, in bounded memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsdls import LISTS, Flavour, wsdl
from zeep_oracle import Oracle, same_rows

from magento_pager.errors import MalformedReplyError
from magento_pager.shop.decoding import (
    MOST_FORMS,
    Array,
    Forms,
    Leaf,
    RecordShape,
    ReplyFaultError,
    ReplyShape,
    Struct,
    UnpromisedReplyError,
    decode,
    decode_record,
    decode_small,
)
from magento_pager.shop.streaming import LONGEST_ROW, MOST_MARKUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from magento_pager.shop.decoding import Shape

ORACLES: dict[Flavour, Oracle] = {"rpc": Oracle(wsdl("rpc")), "wsi": Oracle(wsdl("wsi"))}
SHAPES: dict[Flavour, ReplyShape] = {flavour: oracle.shape("salesOrderList") for flavour, oracle in ORACLES.items()}
FIELDS = LISTS["salesOrderList"]
XSD = "{http://www.w3.org/2001/XMLSchema}"
STRING = Leaf(f"{XSD}string")
ROWS: list[dict[str, str]] = [
    {"order_id": str(number), "increment_id": f"1000{number}", "status": "complete", "customer_note": "as\never"}
    for number in range(1, 6)
]


def rendered(flavour: Flavour, rows: Iterable[dict[str, str]], *, broken: bool = True) -> bytes:
    """Return a reply to salesOrderList as PHP would write it.

    Args:
        flavour: rpc or wsi.
        rows: fields and their content, ready for XML.
        broken: whether the server is of 1.8 or newer, which writes a line break between all tags.
    """
    kind = ' xsi:type="xsd:string"' if flavour == "rpc" else ""
    item, start = ("item", '<item xsi:type="ns1:salesOrderListEntity">')
    head = (
        'xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"'
    )
    answer = "salesOrderListResponse"
    rows = list(rows)
    result = (
        f'<result SOAP-ENC:arrayType="ns1:salesOrderListEntity[{len(rows)}]" xsi:type="ns1:salesOrderListEntityArray">'
    )
    if flavour == "wsi":
        item, start, head, answer, result = (
            "complexObjectArray",
            "<complexObjectArray>",
            "",
            f"{answer}Param",
            "<result>",
        )
    inner = "".join(
        start + "".join(f"<{name}{kind}>{text}</{name}>" for name, text in row.items()) + f"</{item}>" for row in rows
    )
    text = (
        f'<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/" xmlns:ns1="urn:Magento" {head}>'
        f"<SOAP-ENV:Body><ns1:{answer}>{result}{inner}</result></ns1:{answer}></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    )
    if broken:
        text = text.replace("><", ">\n<")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def cut(body: bytes, size: int) -> Iterator[bytes]:
    """Return a body in pieces of a size."""
    return (body[start : start + size] for start in range(0, len(body), size))


def decoded(flavour: Flavour, body: bytes, size: int = 1 << 16) -> list[dict[str, Any]]:
    """Return all rows of a body that arrives in pieces of a size."""
    return list(decode(cut(body, size), SHAPES[flavour]))


# What is accepted

# Texts that are hard on parsers, beside what hypothesis thinks of.
AWKWARD = [
    "",
    "\n",
    " ",
    "a\nb",
    "]]>",
    "</item>",
    '"type="xsd:string">',
    "&amp;",
    "\xa0",
    "\u2028",
    "é\t",
    "\U0001f600",
]
characters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
texts = st.sampled_from(AWKWARD) | st.text(characters | st.sampled_from("\n\t&<>"), max_size=12)
some_rows = st.lists(
    st.fixed_dictionaries({FIELDS[0]: st.integers(1, 99).map(str)}, optional=dict.fromkeys(FIELDS[1:], texts)).map(
        lambda row: {name: row[name] for name in FIELDS if name in row}
    ),
    max_size=12,
)


@settings(deadline=None)  # zeep takes its time
@given(rows=some_rows, flavour=st.sampled_from(["rpc", "wsi"]), broken=st.booleans(), size=st.integers(1, 300))
def test_texts_are_read_unchanged(rows: list[dict[str, str]], flavour: Flavour, *, broken: bool, size: int) -> None:
    """Whatever the texts are, and however the reply is cut, rows equal the rendered ones and those of zeep."""
    body = rendered(flavour, ({name: escape(text) for name, text in row.items()} for row in rows), broken=broken)
    # From 1.8 on a server writes an empty text as a line break, which cannot be told from a real one.
    expected = [{name: "" if broken and text == "\n" else text for name, text in row.items()} for row in rows]
    ours = decoded(flavour, body, size)
    assert ours == expected
    assert same_rows(ours, ORACLES[flavour].rows("salesOrderList", body), body)


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("&#13;&#10;", "\r\n"),
        ("a&#13;\nb", "a\r\nb"),
        ("a\tb", "a\tb"),
        ("&#x41;&#233;", "Aé"),
        ("&quot;&apos;", "\"'"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a > b", "a > b"),
        ("&amp;#1;", "&#1;"),  # how servers from 1.9.3 on send a control character
        ("&amp;lt;b&gt;", "&lt;b>"),
        ("\x7f\x85", "\x7f\x85"),
        (' xsi:type="xsd:string">a', ' xsi:type="xsd:string">a'),
        ("\n\n", "\n\n"),
    ],
)
@pytest.mark.parametrize("place", [0, 3])
def test_references_and_line_ends_are_normalised(flavour: Flavour, raw: str, text: str, place: int) -> None:
    """In a row of a new form as in a row of a known form."""
    rows = [dict(row) for row in ROWS]
    rows[place]["customer_note"] = raw
    body = rendered(flavour, rows)
    ours = decoded(flavour, body)
    assert ours[place]["customer_note"] == text
    assert same_rows(ours, ORACLES[flavour].rows("salesOrderList", body), body)


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_row_is_yielded_with_its_last_byte(flavour: Flavour) -> None:
    """Long before the reply ends."""
    body = rendered(flavour, ROWS)
    end = b"</item>" if flavour == "rpc" else b"</complexObjectArray>"
    third = sum(len(part) + len(end) for part in body.split(end)[:3])
    asked = 0

    def pieces() -> Iterator[bytes]:
        nonlocal asked
        for asked in range(len(body)):
            yield body[asked : asked + 1]

    rows = decode(pieces(), SHAPES[flavour])
    assert [next(rows)["order_id"] for _ in range(3)] == ["1", "2", "3"]
    assert asked == third - 1


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_an_empty_list_has_no_rows(flavour: Flavour) -> None:
    """In its short and its long form."""
    body = rendered(flavour, [], broken=False)
    assert decoded(flavour, body) == []
    assert decoded(flavour, body.replace(b"></result>", b"/>")) == []
    assert decoded(flavour, rendered(flavour, [])) == []


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_byte_order_mark_is_harmless(flavour: Flavour) -> None:
    """A PHP file saved with one sends it before every reply."""
    assert decoded(flavour, b"\xef\xbb\xbf" + rendered(flavour, ROWS)) == ROWS


def test_null_is_an_absent_key() -> None:
    """Nil, empty and absent elements are all NULL."""
    row = '<order_id xsi:type="xsd:string">7</order_id><status xsi:nil="true"/><increment_id/>'
    body = rendered("rpc", [{}]).replace(b">\n</item>", f">{row}</item>".encode())
    assert decoded("rpc", body) == [{"order_id": "7"}]


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_an_empty_text_is_not_null(flavour: Flavour, size: int) -> None:
    """Up to 1.7 an empty text is an empty element, in rows that are parsed and in rows that are recognised."""
    rows = [row | {"customer_note": "" if place % 2 else "said"} for place, row in enumerate(ROWS)]
    rows += [{"order_id": "6", "customer_note": ""}, {"order_id": "7", "status": "", "customer_note": ""}]
    body = rendered(flavour, rows, broken=False)
    forms = Forms()
    assert list(decode(cut(body, size), SHAPES[flavour], forms)) == rows
    assert list(decode(cut(body, size), SHAPES[flavour], forms)) == rows


def test_an_empty_text_is_null_where_wsi_requires_the_field() -> None:
    """A server up to 1.7 sends the same for both; one from 1.8 on sends a line break."""
    fields = dict.fromkeys(("product_id", "name", "note"), STRING)
    row = Struct("{urn:Magento}catalogProductEntity", fields, ordered=True, required=frozenset({"product_id", "name"}))
    shape = replace(PRODUCTS["wsi"], row=row)
    sent = [
        f"<complexObjectArray><product_id>{number}</product_id><name></name><note></note></complexObjectArray>"
        for number in range(1, 5)
    ]
    body = product_reply(*sent)
    assert list(decode([body], shape)) == [{"product_id": str(number), "note": ""} for number in range(1, 5)]
    body = body.replace(b"\n", b" ").replace(b"><", b">\n<")
    assert list(decode([body], shape)) == [
        {"product_id": str(number), "name": "", "note": ""} for number in range(1, 5)
    ]


def test_forms_do_not_outlive_an_upgrade() -> None:
    """The same empty element is an empty text up to 1.7, and NULL in WS-I from 1.8 on."""
    forms = Forms()
    row = "<complexObjectArray><order_id>7</order_id><status></status></complexObjectArray>"
    old = rendered("wsi", [], broken=False).replace(b"<result>", b"<result>" + row.encode() * 4)
    new = old.replace(b"<SOAP-ENV:Body>", b"\n<SOAP-ENV:Body>")
    for body, expected in ((old, {"status": ""}), (new, {}), (old, {"status": ""})):
        assert list(decode([body], SHAPES["wsi"], forms)) == [{"order_id": "7"} | expected] * 4


def test_a_row_with_a_nil_field_has_no_form() -> None:
    """A nil field must stay empty, also in a row that otherwise equals an earlier one."""
    nil = '<status xsi:nil="true">%s</status>'
    row = f'<item><order_id xsi:type="xsd:string">7</order_id>{nil}</item>'
    body = rendered("rpc", [], broken=False).replace(b"Entity[0]", b"Entity[4]")
    head, _, tail = body.partition(b"</result>")
    rows = "".join(row % ("x" if place == 3 else "") for place in range(4)).encode()
    with pytest.raises(MalformedReplyError, match="is nil but not empty"):
        list(decode([head + rows + b"</result>" + tail], SHAPES["rpc"]))


def test_more_forms_than_are_remembered_are_read() -> None:
    """Each of them twice."""
    names = [f"field_{number}" for number in range(12)]
    shape = ReplyShape(
        "salesOrderList",
        "{urn:Magento}salesOrderListResponse",
        "result",
        "{urn:Magento}salesOrderListEntityArray",
        "item",
        Struct("{urn:Magento}salesOrderListEntity", dict.fromkeys(names, STRING), ordered=False),
    )
    sets = [
        {name: str(mask) for place, name in enumerate(names) if mask >> place & 1} for mask in range(1, MOST_FORMS * 2)
    ]
    rows = [row for row in sets for _ in range(2)]
    forms = Forms()
    assert list(decode(cut(rendered("rpc", rows), 5000), shape, forms)) == rows
    assert len(forms) == MOST_FORMS


def test_forms_outlive_a_reply() -> None:
    """Forms remembered from one reply change no row of the next."""
    forms = Forms()
    for rows in (ROWS, ROWS[::-1], [], ROWS[:1]):
        assert list(decode([rendered("rpc", rows)], SHAPES["rpc"], forms)) == rows


def test_forms_do_not_outlive_their_prefixes() -> None:
    """Under other prefixes the same bytes have another meaning: a known form is checked again."""
    forms = Forms()
    body = rendered("rpc", ROWS)
    assert list(decode([body], SHAPES["rpc"], forms)) == ROWS
    other = body.replace(b'xmlns:xsd="http://www.w3.org/2001/XMLSchema"', b'xmlns:xsd="urn:other"')
    other = b"</item>".join(  # a first row without types, which is parsed and found to be right
        [
            part.replace(b' xsi:type="xsd:string"', b"") if place == 0 else part
            for place, part in enumerate(other.split(b"</item>"))
        ]
    )
    rows = decode([other], SHAPES["rpc"], forms)
    assert next(rows) == ROWS[0]
    with pytest.raises(MalformedReplyError, match="is typed 'xsd:string'"):
        next(rows)


def test_a_row_without_end_tags_has_no_form() -> None:
    """A ">" in a text could replace the end tag, so such a row proves nothing about later ones."""
    head, _, tail = rendered("rpc", [], broken=False).replace(b"Entity[0]", b"Entity[4]").partition(b"</result>")
    rows = [b"<item><order_id/>x>y</item>"] * 3 + [b"<item><order_id/>5x>y</item>"]
    body = head + b"".join(rows) + b"</result>" + tail
    ours = decoded("rpc", body)
    assert ours == [{}] * 4
    assert same_rows(ours, ORACLES["rpc"].rows("salesOrderList", body), body)


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize("before", [b"<junk>", b"<item><status/></item>\n<junk>\n<item>nothing</item>"])
def test_look_alikes_are_not_recognised(before: bytes, size: int) -> None:
    """Text that looks like a row of a known form is not a row inside another element."""
    end = b"</item>"
    parts = rendered("rpc", ROWS).split(end)
    parts[3] = b"\n" + before + parts[3]
    parts[5] = b"\n</junk>" + parts[5]
    rows: list[dict[str, Any]] = []
    with pytest.raises(MalformedReplyError, match="there is a <junk> among the rows"):
        rows.extend(decode(cut(end.join(parts), size), SHAPES["rpc"]))
    assert [row for row in rows if row] == ROWS[:3]


PRODUCTS = {  # with lists inside, as catalogProductList has them
    "rpc": ReplyShape(
        "catalogProductList",
        "{urn:Magento}catalogProductListResponse",
        "storeView",
        "{urn:Magento}catalogProductEntityArray",
        "item",
        Struct(
            "{urn:Magento}catalogProductEntity",
            {
                "product_id": Leaf(f"{XSD}int", integer=True),
                "category_ids": Array("{urn:Magento}ArrayOfString", STRING),
            },
            ordered=False,
        ),
    ),
    "wsi": ReplyShape(
        "catalogProductList",
        "{urn:Magento}catalogProductListResponse",
        "storeView",
        "{urn:Magento}catalogProductEntityArray",
        "complexObjectArray",
        Struct(
            "{urn:Magento}catalogProductEntity",
            {
                "product_id": Leaf(f"{XSD}int", integer=True),
                "category_ids": Struct(
                    "{urn:Magento}ArrayOfString",
                    {"complexObjectArray": STRING},
                    ordered=True,
                    repeated=frozenset({"complexObjectArray"}),
                ),
            },
            ordered=True,
            required=frozenset({"product_id"}),
        ),
    ),
}


def product_reply(*rows: str) -> bytes:
    """Return a reply to catalogProductList with these rows."""
    return f"""<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"
          xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/"
          xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body>
        <n:catalogProductListResponse xmlns:n="urn:Magento"><storeView>{"".join(rows)}</storeView>
        </n:catalogProductListResponse></e:Body></e:Envelope>""".encode()


@pytest.mark.parametrize("size", [1, 1 << 16])
def test_lists_in_rows_are_not_rows(size: int) -> None:
    """The items of a list inside a row have the tag of a row, but are values of its field."""
    two = "<category_ids><item>3</item><item>5</item></category_ids>"
    body = product_reply(f"<item><product_id>1</product_id>{two}</item><item><product_id>2</product_id></item>")
    rows = list(decode(cut(body, size), PRODUCTS["rpc"]))
    assert rows == [{"product_id": "1", "category_ids": ["3", "5"]}, {"product_id": "2"}]
    body = body.replace(b"item>", b"complexObjectArray>")
    rows = list(decode(cut(body, size), PRODUCTS["wsi"]))
    assert rows == [{"product_id": "1", "category_ids": ["3", "5"]}, {"product_id": "2"}]


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ("<category_ids/>", {}),
        ('<category_ids xsi:nil="true"/>', {}),
        ('<category_ids SOAP-ENC:arrayType="x[0]"/>', {"category_ids": []}),
        ('<category_ids SOAP-ENC:arrayType="x[2]"><item>3</item><item/></category_ids>', None),
    ],
)
def test_an_empty_list_is_not_null(ids: str, expected: dict[str, Any] | None, size: int) -> None:
    """An empty list in RPC states that it is a list; items that are NULL are dropped, as by zeep."""
    body = product_reply(f"<item><product_id>1</product_id>{ids}</item>")
    rows = list(decode(cut(body, size), PRODUCTS["rpc"]))
    assert rows == [{"product_id": "1"} | ({"category_ids": ["3"]} if expected is None else expected)]


# What is refused


def damaged(flavour: Flavour, old: str, new: str, place: int) -> bytes:
    """Return a reply in which the first `old` in one row is replaced by `new`."""
    end = b"</item>" if flavour == "rpc" else b"</complexObjectArray>"
    parts = rendered(flavour, ROWS).split(end)
    head, row = parts[place].rpartition(b"<order_id")[::2]
    row = b"<order_id" + row
    if old.encode() not in row:  # the start of the row, then
        assert old.encode() in head
        head = head[::-1].replace(old.encode()[::-1], new.encode()[::-1], 1)[::-1]
    parts[place] = head + row.replace(old.encode(), new.encode(), 1)
    return end.join(parts)


ANY_ROW = {
    "notice": (
        "<status",
        "<br /><b>Warning</b>: x on line 4<br /><status",
        "PHP prints a notice into it. Switch display",
    ),
    "unknown field": ("<status", "<colour>red</colour><status", "which the WSDL does not declare"),
    "field twice": ("<status", "<status>new</status><status", "a row contains <status> twice"),
    "markup in a text": ("complete", "<b>complete</b>", "contains markup instead of text"),
    "qualified field": ("<status", "<ns1:status>new</ns1:status><status", "does not declare"),
    "comment": ("complete", "com<!-- -->plete", "a comment"),
    "comment around a field": ("<status", "<!--<status", "a comment"),
    "cdata": ("complete", "<![CDATA[complete]]>", "CDATA"),
    "processing instruction": ("complete", "com<?php ?>plete", "processing instruction"),
    "doctype": ("complete", "<!DOCTYPE a>", "document type"),
    "entity": ("complete", "&harmless;", "malformed"),
    "forbidden reference": ("complete", "&#1;", "malformed"),
    "control character": ("complete", "com\x01plete", "malformed"),
    "null byte": ("complete", "com\x00plete", "malformed"),
    "noncharacter": ("complete", "com\ufffeplete", "malformed"),
    "bare ampersand": ("complete", "this & that", "malformed"),
    "bare less-than": ("complete", "this < that", "malformed"),
    "unclosed": ("</status>", "", "malformed"),
    "crossed": ("</status>", "</order_id>", "malformed"),
    "attribute": ("<status", '<status id="ref1"', "has an attribute id"),
    "reference": ("<status", '<status href="#ref1"', "has an attribute href"),
    "nil with content": (
        "<status",
        '<status xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"',
        "is nil but not empty",
    ),
    "foreign type": (
        "<customer_note",
        '<customer_note xmlns:j="http://www.w3.org/2001/XMLSchema-instance" j:type="ns1:filters"',
        "is typed 'ns1:filters'|malformed",  # in RPC a second xsi:type is no XML at all
    ),
    "deep nesting": ("complete", "<a>" * 3000 + "</a>" * 3000, "malformed"),
}


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize("place", [0, 1, 4])
@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
@pytest.mark.parametrize("damage", ANY_ROW)
def test_a_damaged_row_is_refused(damage: str, flavour: Flavour, place: int, size: int) -> None:
    """In the first row, in one of a new form, and in one of a known form."""
    old, new, message = ANY_ROW[damage]
    body = damaged(flavour, old, new, place)
    rows: list[dict[str, Any]] = []
    with pytest.raises(MalformedReplyError, match=message) as caught:
        rows.extend(decode(cut(body, size), SHAPES[flavour]))
    assert rows == ROWS[: len(rows)]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('xsd:string">c', 'xsd:int">c', "is typed 'xsd:int'"),
        ('xsd:string">c', 'nowhere:string">c', "is typed 'nowhere:string'"),
        ("ns1:salesOrderListEntity", "ns1:filters", "is typed 'ns1:filters'"),
        ("ns1:salesOrderListEntity", "xsd:string", "is typed 'xsd:string'"),
        ('xsi:type="ns1:salesOrderListEntity"', 'xsi:nil="true"', "is nil but not empty"),
    ],
)
def test_another_type_than_declared_is_refused(old: str, new: str, message: str, place: int) -> None:
    """In RPC every element states its type, which must be the declared one."""
    with pytest.raises(MalformedReplyError, match=message):
        decoded("rpc", damaged("rpc", old, new, place))


@pytest.mark.parametrize("place", [0, 3])
def test_the_order_of_fields_matters_in_wsi(place: int) -> None:
    """WS-I declares a sequence; in RPC the fields may be in any order."""
    first, second = "<status>complete</status>", "<customer_note>as\never</customer_note>"
    body = damaged("wsi", f"{first}\n{second}", f"{second}\n{first}", place)
    with pytest.raises(MalformedReplyError, match="not in the order"):
        decoded("wsi", body)
    assert decoded("rpc", rendered("rpc", [dict(reversed(row.items())) for row in ROWS])) == ROWS


@pytest.mark.parametrize("text", ["abc", "1.5", "", "0x10", "1 2", "\u0661"])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_text_instead_of_a_number_is_refused(text: str, place: int) -> None:
    """An empty element is NULL."""
    shape = replace(
        PRODUCTS["rpc"],
        row=replace(PRODUCTS["rpc"].row, fields={"product_id": Leaf(f"{XSD}int", integer=True), "sku": STRING}),
    )
    numbers = ["1", "-2", "+3", " 4 "]
    rows = [f"<item><product_id>{number}</product_id><sku>a</sku></item>" for number in numbers]
    assert [row["product_id"] for row in decode([product_reply(*rows)], shape)] == numbers
    rows[place] = f"<item><product_id>{text}</product_id><sku>a</sku></item>"
    if text == "":
        assert list(decode([product_reply(*rows)], shape))[place] == {"sku": "a"}
    else:
        with pytest.raises(MalformedReplyError, match="is not a number"):
            list(decode([product_reply(*rows)], shape))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("<complexObjectArray/>", "a row is empty"),
        ("<complexObjectArray> </complexObjectArray>", "a row is empty"),
        ("<complexObjectArray><category_ids/></complexObjectArray>", "a row lacks <product_id>"),
        ("<complexObjectArray><product_id>1</product_id><category_ids>3</category_ids></complexObjectArray>", None),
        (
            (
                "<complexObjectArray><product_id>1</product_id><category_ids><complexObjectArray>3<b/></complexObjectArray>"
                "</category_ids></complexObjectArray>"
            ),
            "contains markup",
        ),
        (
            (
                "<complexObjectArray><product_id>1</product_id><category_ids><item>3</item></category_ids>"
                "</complexObjectArray>"
            ),
            "contains <item>",
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 16])
def test_an_invalid_row_is_refused(row: str, message: str | None, size: int) -> None:
    """Empty rows, rows without a required field, and lists of something else."""
    good = "<complexObjectArray><product_id>1</product_id></complexObjectArray>"
    body = product_reply(good, row)
    if message is None:  # a text where a list should be is passed over, by us as by zeep
        rows = [{"product_id": "1"}, {"product_id": "1", "category_ids": []}]
        assert list(decode(cut(body, size), PRODUCTS["wsi"])) == rows
    else:
        with pytest.raises(MalformedReplyError, match=message):
            list(decode(cut(body, size), PRODUCTS["wsi"]))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("x[2]", "<category_ids> announces 2 rows and has 1"),
        ("x[]", "<category_ids> does not state how many rows it has"),
        ("x", "<category_ids> does not state how many rows it has"),
        ("", "<category_ids> does not state how many rows it has"),
    ],
)
def test_a_list_in_a_row_with_a_wrong_length_is_refused(kind: str, message: str) -> None:
    """A list inside a row states its length too."""
    ids = f'<category_ids SOAP-ENC:arrayType="{kind}"><item>3</item></category_ids>'
    with pytest.raises(MalformedReplyError, match=message):
        list(decode([product_reply(f"<item><product_id>1</product_id>{ids}</item>")], PRODUCTS["rpc"]))


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("size", [3, 1 << 16])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_row_without_fields_is_refused(count: int, size: int, *, broken: bool) -> None:
    """Neither the parser nor, from the third row on, a known form accepts it."""
    body = rendered("rpc", [*ROWS[:2], *[{}] * count], broken=broken)
    with pytest.raises(MalformedReplyError, match="a row is empty"):
        list(decode(cut(body, size), SHAPES["rpc"]))


LOST = "the bug of Magento 1.9.3.0, .* Update the shop to 1.9.3.1 or later, or patch"
TYPED = 'xsi:type="n:ArrayOfString"'


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_lost_list_in_a_row_is_refused(place: int) -> None:
    """Magento 1.9.3.0 turns it into the text "Array", and PHP that into a list without a length: not an empty list."""
    empty = f'<category_ids SOAP-ENC:arrayType="xsd:string[0]" {TYPED}/>'
    lists = [f"<category_ids {TYPED}/>" if number == place else empty for number in range(4)]
    rows = [f"<item><product_id>{number}</product_id>{one}</item>" for number, one in enumerate(lists)]
    body = product_reply(*rows).replace(
        b'<n:catalogProductListResponse xmlns:n="urn:Magento">', b"<n:catalogProductListResponse>"
    )
    body = body.replace(
        b"<e:Envelope", b'<e:Envelope xmlns:n="urn:Magento" xmlns:xsd="http://www.w3.org/2001/XMLSchema"'
    )
    with pytest.raises(MalformedReplyError, match=rf"<category_ids> has no length\. This is {LOST}") as caught:
        list(decode([body], PRODUCTS["rpc"]))
    assert caught.value.remedy == "stop"
    assert not isinstance(caught.value, UnpromisedReplyError)  # another WSDL would not help
    good = body.replace(f"<category_ids {TYPED}/>".encode(), empty.encode())
    assert [row["category_ids"] for row in decode([good], PRODUCTS["rpc"])] == [[]] * 4


EMPTY_ITEM = '<item xsi:type="n:Item"/>'


def record_reply(content: str) -> bytes:
    """Return a reply to salesOrderInfo."""
    return f"""<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:n="urn:Magento"
          xmlns:SOAP-ENC="http://schemas.xmlsoap.org/soap/encoding/" xmlns:xsd="http://www.w3.org/2001/XMLSchema"
          xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body>
        <n:reply><result>{content}</result></n:reply></e:Body></e:Envelope>""".encode()


def order_shape(flavour: Flavour) -> RecordShape:
    """Return the shape of an order with items and a payment."""
    item, payment = (
        Struct(f"{{urn:Magento}}{name}", {"name": STRING}, ordered=flavour == "wsi") for name in ("Item", "Payment")
    )
    items: Shape = Array("{urn:Magento}Items", item)
    if flavour == "wsi":
        several = frozenset({"complexObjectArray"})
        items = Struct("{urn:Magento}Items", {"complexObjectArray": item}, ordered=True, repeated=several)
    fields = {"items": items, "payment": payment}
    order = Struct("{urn:Magento}Order", fields, ordered=flavour == "wsi")
    return RecordShape("salesOrderInfo", "{urn:Magento}reply", "result", order)


@pytest.mark.parametrize(
    ("flavour", "items"),
    [
        (
            "rpc",
            f'<items SOAP-ENC:arrayType="n:Item[2]" xsi:type="n:Items">{EMPTY_ITEM * 2}</items>',
        ),
        ("rpc", '<items SOAP-ENC:arrayType="n:Item[1]" xsi:type="n:Items">\n<item xsi:type="n:Item"></item>\n</items>'),
        ("rpc", '<items SOAP-ENC:arrayType="n:Item[1]" xsi:type="n:Items"><item/></items>'),
        ("rpc", '<items xsi:type="n:Items"/>'),
        ("rpc", '<items xsi:type="n:Items">Array</items>'),
        ("wsi", "<items><complexObjectArray/><complexObjectArray/></items>"),
        ("wsi", "<items>\n<complexObjectArray/>\n</items>"),
        ("wsi", "<items><complexObjectArray><name>a</name></complexObjectArray><complexObjectArray/></items>"),
    ],
)
def test_a_lost_list_in_a_record_is_refused(flavour: Flavour, items: str) -> None:
    """Magento 1.9.3.0 turns each item into the text "Array", and PHP that into an empty item."""
    with pytest.raises(MalformedReplyError, match=LOST) as caught:
        decode_record(record_reply(items), order_shape(flavour))
    assert caught.value.remedy == "stop"


@pytest.mark.parametrize(
    ("flavour", "content", "expected"),
    [
        ("rpc", '<items SOAP-ENC:arrayType="n:Item[0]" xsi:type="n:Items"/>', {"items": []}),
        ("rpc", '<items xsi:nil="true" xsi:type="n:Items"/>', {}),
        ("rpc", '<payment xsi:type="n:Payment"/>', {"payment": {}}),
        ("wsi", "<items/>", {"items": []}),
        ("wsi", "<payment/>", {}),
    ],
)
def test_a_record_may_lack_its_parts(flavour: Flavour, content: str, expected: dict[str, Any]) -> None:
    """A list that is really empty states it, and an order may have no payment."""
    assert decode_record(record_reply(content), order_shape(flavour)) == expected


@pytest.mark.parametrize("count", [0, 5])
@pytest.mark.parametrize(
    "announced",
    [
        "",
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[]"',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[-{}]"',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[+{}]"',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[{},{}]"',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[][{}]"',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[{}][{}]"',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[ {} ]"',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[{}"',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity{}"',
        'SOAP-ENC:arrayType="[{}]"',
        'SOAP-ENC:arrayType="{}"',
        'SOAP-ENC:arrayType=""',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[\N{FULLWIDTH DIGIT FIVE}]"',
        'SOAP-ENC:arrayType="ns1:salesOrderListEntity[%s{}]"' % ("0" * 5000),
        'SOAP-ENC:arrayType="ns1:salesOrderInvoiceEntity[{}]"',
        'SOAP-ENC:arrayType="xsd:string[{}]"',
        'SOAP-ENC:arrayType="salesOrderListEntity[{}]"',
        'xsi:nil="true"',
    ],
)
def test_a_list_must_state_its_length(announced: str, count: int) -> None:
    """In RPC; otherwise missing rows would not be noticed."""
    body = rendered("rpc", ROWS[:count]).decode()
    head, _, tail = body.partition(f'SOAP-ENC:arrayType="ns1:salesOrderListEntity[{count}]"')
    assert tail
    with pytest.raises(MalformedReplyError, match=r"does not state how many|> contains |is nil"):
        decoded("rpc", (head + announced.replace("{}", str(count)) + tail).encode())


DOCUMENT = {
    "too few announced": ("Entity[5]", "Entity[4]", "announces 4 rows and has 5"),
    "too many announced": ("Entity[5]", "Entity[6]", "announces 6 rows and has 5"),
    "wrong type of result": ("ns1:salesOrderListEntityArray", "ns1:filters", "is typed 'ns1:filters'"),
    "another list's rows": ("salesOrderListResponse", "salesOrderInvoiceListResponse", "answers with .*InvoiceList"),
    "another namespace": ('"urn:Magento"', '"urn:Other"', "urn:Other"),
    "another result": ("result", "storeView", "does not contain one <result>"),
    "second result": ("</result>", "</result><result/>", "does not contain one <result>"),
    "unexpected element before the rows": ('Array">', 'Array"><junk/>', "markup among the rows"),
    "unexpected element after the rows": ("</result>", "<junk/></result>", "there is a <junk> among the rows"),
    "unexpected element between rows": ("</item>", "</item><junk/>", "markup among the rows"),
    "row in a wrapper": ("</result>", "<junk><item/></junk></result>", "there is a <junk> among the rows"),
    "row next to the result": ("</result>", "</result><item/>", "does not contain one <result>"),
    "look-alike in the header": ("<SOAP-ENV:Body>", "<SOAP-ENV:Header><item/></SOAP-ENV:Header><SOAP-ENV:Body>", None),
    "second body": ("</SOAP-ENV:Body>", "</SOAP-ENV:Body><SOAP-ENV:Body/>", "not have one body"),
    "fault after the rows": ("</SOAP-ENV:Body>", "<SOAP-ENV:Fault/></SOAP-ENV:Body>", "not have one body"),
    "no body": ("SOAP-ENV:Body", "SOAP-ENV:Torso", "not have one body"),
    "no envelope": ("SOAP-ENV:Envelope", "SOAP-ENV:Letter", "not a SOAP envelope but"),
    "trailing junk": ("</SOAP-ENV:Envelope>", "</SOAP-ENV:Envelope>junk", "something follows the reply"),
    "trailing element": ("</SOAP-ENV:Envelope>", "</SOAP-ENV:Envelope><item/>", "something follows the reply"),
    "php notice before": ("<?xml", "<br />\n<b>Notice</b>: <?xml", "not XML; it begins with 'Notice:"),
    "blank line before": ("<?xml", "\n<?xml", None),
    "byte order marks before": ("<?xml", "\ufeff \ufeff\r\n<?xml", None),
    "blanks and byte order marks behind": ("</SOAP-ENV:Envelope>", "</SOAP-ENV:Envelope>\n\ufeff\t\ufeff\n", None),
    "doctype": ("?>", '?><!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd">', "document type"),
    "internal entity": ("?>", '?><!DOCTYPE a [<!ENTITY e "harmless">]>', "document type"),
    "external entity": ("?>", '?><!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]>', "document type"),
    "billion laughs": ("?>", '?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>', "document type"),
    "stylesheet": ("?>", '?><?xml-stylesheet href="x"?>', "processing instruction"),
    "declared as utf-16": ('"UTF-8"', '"UTF-16"', "encoded in 'UTF-16', not in UTF-8"),
    "declared as utf-7": ('"UTF-8"', '"UTF-7"', "encoded in 'UTF-7', not in UTF-8"),
    "declared as latin": ('"UTF-8"', "'iso-8859-1'", "encoded in 'iso-8859-1', not in UTF-8"),
    "result that is a reference": ("<result", '<result href="#r"', "has an attribute href"),
}


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
@pytest.mark.parametrize("damage", DOCUMENT)
def test_a_damaged_document_is_refused(damage: str, size: int) -> None:
    """The elements around the rows must be as declared, however the reply is cut."""
    old, new, message = DOCUMENT[damage]
    body = rendered("rpc", ROWS).replace(
        old.encode(), new.encode(), 2 if old.startswith("SOAP") or old == "result" else 1
    )
    assert body != rendered("rpc", ROWS)
    if damage == "another list's rows":
        body = body.replace(old.encode(), new.encode())
    if message is None:  # a header is no business of the rows, nor is what does not show
        assert decoded("rpc", body, size) == ROWS
        return
    with pytest.raises(MalformedReplyError, match=message) as caught:
        decoded("rpc", body, size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the reply is empty"),
        (b"\n", "the reply is empty"),
        (b"OK", "not XML; it begins with 'OK'"),
        (b'{"error": 1}', "not XML"),
        (b"<!DOCTYPE html><html><body>Please log in</body></html>", r"a page of HTML arrived .*\('Please log in'\)"),
        (b"<html><body>Please log in</body></html>", r"a page of HTML arrived .*\('Please log in'\)"),
        (b"<br />\n<b>Fatal error</b>: x", "not XML; it begins with 'Fatal error: x': PHP failed with this message"),
        (b"<pre>SQLSTATE[42S22]</pre>", "not XML; it begins with 'SQLSTATE"),
        (rendered("rpc", ROWS).decode().encode("utf-16"), "encoded in 'UTF-16'"),
        (rendered("rpc", ROWS).decode().encode("utf-16-le"), "encoded in 'UTF-16'"),
        (rendered("rpc", ROWS).replace(b"complete", b"Bj\xf6rn", 1), "malformed"),
        (rendered("rpc", ROWS).replace(b"complete", b"Bj\xf6rn"), "malformed"),
        (b"<?xml version='1.0'?><a>" + b"<b>" * 10_000, "malformed"),
    ],
)
def test_a_body_that_is_not_a_reply_is_refused(body: bytes, message: str, size: int) -> None:
    """Pages, nothing, other encodings: the message quotes the beginning."""
    for short in (False, True):
        with pytest.raises(MalformedReplyError, match=message) as caught:
            decode_small(body, "login") if short else decoded("rpc", body, size)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flavour", ["rpc", "wsi"])
def test_a_reply_that_is_cut_short_is_refused(flavour: Flavour) -> None:
    """Wherever a reply ends too soon, its rows are followed by an error."""
    body = rendered(flavour, ROWS[:3]).rstrip()
    for length in range(len(body)):
        rows: list[dict[str, Any]] = []
        with pytest.raises(MalformedReplyError):
            rows.extend(decode([body[:length]], SHAPES[flavour]))
        assert rows == ROWS[: len(rows)]


@pytest.mark.parametrize("place", range(40))
def test_a_document_type_across_two_pieces_is_found(place: int) -> None:
    """Wherever a piece ends."""
    body = rendered("rpc", ROWS).replace(b"?>", b"?><!DOCTYPE a>", 1)
    start = body.index(b"<!DOCTYPE") - 20 + place
    with pytest.raises(MalformedReplyError, match="document type"):
        list(decode([body[:start], body[start:]], SHAPES["rpc"]))


FAULT = """<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault><faultcode>{}</faultcode>
  <faultstring>{}</faultstring></e:Fault></e:Body></e:Envelope>"""
FAULT_12 = """<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault><e:Code>
  <e:Value>{}</e:Value></e:Code><e:Reason><e:Text>{}</e:Text></e:Reason></e:Fault></e:Body></e:Envelope>"""


@pytest.mark.parametrize("size", [1, 1 << 16])
@pytest.mark.parametrize("form", [FAULT, FAULT_12])
@pytest.mark.parametrize(
    ("code", "text"), [("5", "Session expired."), ("SOAP-ENV:Server", "a\nb"), ("1", ""), ("", "x")]
)
def test_a_fault_keeps_its_code_and_text(form: str, code: str, text: str, size: int) -> None:
    """A fault of either SOAP version, in a list as in a short reply."""
    body = form.format(code, text).encode()
    with pytest.raises(ReplyFaultError) as caught:
        decoded("rpc", body, size)
    assert (caught.value.code, caught.value.text) == (code, text)
    with pytest.raises(ReplyFaultError) as caught:
        decode_small(body, "login")
    assert (caught.value.code, caught.value.text) == (code, text)


# What is bounded


def endless(start: bytes, part: bytes) -> tuple[Iterator[bytes], list[int]]:
    """Return a reply without an end, in pieces of about 64 KiB, and how many of them were read."""
    piece = part * (1 + 65536 // len(part))
    taken: list[int] = []

    def count(one: bytes) -> bytes:
        taken.append(len(one))
        return one

    return map(count, chain([start], repeat(piece))), taken


@pytest.mark.parametrize("size", [1 << 16, 1 << 24])
def test_a_large_row_is_read(size: int) -> None:
    """With a text of 8 MB, such as a mail with attachments, and its neighbours."""
    large = b"a" * 8_000_000
    body = rendered("rpc", ROWS).replace(b"complete", large, 1)
    rows = decoded("rpc", body, size)
    assert len(rows) == len(ROWS)
    assert max(len(value) for row in rows for value in row.values()) == len(large)


@pytest.mark.parametrize("row", [b"a" * (LONGEST_ROW + (1 << 17)), b"<a/>" * (MOST_MARKUP + (1 << 17))])
def test_a_row_that_is_too_large_is_isolated(row: bytes) -> None:
    """So that it can be skipped by name; it is not kept in memory."""
    with pytest.raises(MalformedReplyError, match="no row ends") as caught:
        decoded("rpc", rendered("rpc", ROWS).replace(b"complete", row, 1), 1 << 16)
    assert caught.value.remedy == "isolate"


HEAD = rendered("rpc", ROWS).partition(b"</result>")[0]


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (HEAD, b"<junk/>"),
        (HEAD, b"<junk>"),
        (HEAD, b"<junk>" + b"<item>x</item>" * 100),
        (HEAD + b"<junk>", b"<item>x</item>"),
        (HEAD, b" "),
        (HEAD + b"<item><status>", b"a"),
        (HEAD + b"<item>", b"<status/>"),
        (HEAD + b"<item a='", b"a"),
        (HEAD.replace(b"<result", b"<rows"), b"<item>x</item>"),
        (b"<a>", b"<item>x</item>"),
        (b"<a", b" "),
        (b"", b" "),
        (b"<!--", b"a"),
    ],
)
def test_an_endless_reply_is_refused_early(start: bytes, part: bytes) -> None:
    """Without the end of a row, the reply is refused before it takes much memory."""
    pieces, taken = endless(start, part)
    with pytest.raises(MalformedReplyError):
        list(decode(pieces, SHAPES["rpc"]))
    assert sum(taken) < LONGEST_ROW + 3 * (1 << 17)


def test_rows_are_freed() -> None:
    """A reply of very many rows keeps only one of them: memory does not grow with the reply."""
    end = b"</item>"
    first, *rows, _ = rendered("rpc", ROWS).split(end)
    plain, odd = rows[1] + end, rows[1].replace(b"complete", b"a > b") + end  # one is recognised, the other parsed
    total = 20_000
    pieces = chain(
        [(first + end).replace(b"[5]", b"[%d]" % (2 * total + 1))], repeat((plain + odd) * 100, total // 100)
    )
    tail = [b"</result></ns1:salesOrderListResponse></SOAP-ENV:Body></SOAP-ENV:Envelope>"]
    forms = Forms()
    before = resident()
    for count, _ in enumerate(decode(chain(pieces, tail), SHAPES["rpc"], forms)):  # noqa: B007  the last is looked at
        pass
    assert count == 2 * total
    assert resident() - before < 20_000_000, "of some 17 MB of reply, tens of MB as a tree"


def resident() -> int:
    """Return the bytes of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  no ordinary file
        return int(file.read().split()[1]) * 4096
