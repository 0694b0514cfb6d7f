"""The XML of XML-RPC: values as PHP and Zend read them, and replies byte by byte as on a live server."""

from __future__ import annotations

import xmlrpc.client
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager.fake import PhpFatal, ShopFault, profile
from magento_pager.fake.xmlrpc_wire import fault, read, reply

if TYPE_CHECKING:
    from pathlib import Path

NEWEST = profile("20.0.20")


def request(*values: str, method: str = "call") -> bytes:
    """Return a request with these values, each an element."""
    params = "".join(f"<param>{value}</param>" for value in values)
    return f"<methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>".encode()


MEMBERS = [
    "<member><name>a</name><value>1</value></member>",
    "<member><name>b</name></member>",
    "<member><name>a</name><value>2</value><value>3</value></member>",
    "<member><value>4</value></member>",
]


# The rest of this table was seen with PHP 8.2's SimpleXML.
@pytest.mark.parametrize(
    ("inside", "kind", "value"),
    [
        ("7", "string", "7"),
        (" ", "string", " "),
        ("", "string", ""),
        ("a&amp;b &lt;", "string", "a&amp;b &lt;"),  # text without a type is kept as it is in the XML
        ("a&amp;\nb", "string", "a&\nb"),  # unless it has a line break
        ("<![CDATA[x<y]]>", "string", "<![CDATA[x<y]]>"),
        ("Größe &#233;", "string", "Größe é"),
        ('<x:int xmlns:x="http://u">7</x:int>', "string", '<x:int xmlns:x="http://u">7</x:int>'),
        ("<string>a&amp;b</string>", "string", "a&b"),
        ("<string/>", "string", ""),
        ("<string>a<b/>c</string>", "string", "ac"),
        ("<string>x</string><int>8</int>", "string", "x"),
        ("x<int>7</int>y", "int", 7),
        ("\n  <int>7</int>", "int", 7),
        ("<i4>7</i4>", "int", 7),
        ("<i8>7</i8>", "i8", "7"),
        ("<int> 7 </int>", "int", 7),
        ("<int>+7</int>", "int", 7),
        ("<int>007</int>", "int", 7),
        ("<int>-7</int>", "int", -7),
        ("<int>1e3</int>", "int", 1000),
        ("<int>7.9</int>", "int", 7),
        ("<int>7abc</int>", "int", 7),
        ("<int>0x1A</int>", "int", 0),
        ("<int>.5</int>", "int", 0),
        ("<int/>", "int", 0),
        ('<int a="1">7<!-- seven --></int>', "int", 7),
        ("<int><![CDATA[7]]></int>", "int", 7),
        ("<int>9223372036854775808</int>", "int", 9223372036854775807),
        ("<int>-99999999999999999999</int>", "int", -9223372036854775808),
        ("<double>1e1</double>", "double", 10.0),
        ("<double>abc</double>", "double", 0.0),
        ("<double>0.123456789012345678</double>", "double", 0.12345678901235),
        ("<boolean>0</boolean>", "boolean", False),
        ("<boolean/>", "boolean", False),
        ("<boolean>false</boolean>", "boolean", True),
        ("<nil/>", "nil", None),
        ("<nil>5</nil>", "nil", None),
        ("<base64>MTA=</base64>", "base64", "10"),
        ("<base64> M T A w </base64>", "base64", "100"),
        ("<dateTime.iso8601>20230101T00:00:00</dateTime.iso8601>", "dateTime.iso8601", "20230101T00:00:00"),
        ("<dateTime.iso8601>2023-02-30 1:02</dateTime.iso8601>", "dateTime.iso8601", "20230302T01:02:00"),
        ("<dateTime.iso8601>5</dateTime.iso8601>", "dateTime.iso8601", "19700101T00:00:05"),
        ("<array><data/></array>", "array", []),
        ("<array><x/><data><value>1</value><x/><value><nil/></value></data></array>", "array", ["1", None]),
        ("<struct/>", "struct", {}),
        ("<struct>text</struct>", "struct", {}),
        (
            f"<struct>{''.join(MEMBERS)}</struct>",
            "struct",
            {"a": "2"},
        ),
    ],
)
def test_values_are_read_as_by_php(inside: str, kind: str, value: Any) -> None:
    """Each form of a value has the type and the value that it has in PHP."""
    parsed = read(request(f"<value>{inside}</value>"))
    assert (parsed.types, parsed.arguments) == ((kind,), [value])


@pytest.mark.parametrize(
    "value",
    [
        "<value><nosuch>7</nosuch></value>",
        "<value><INT>7</INT></value>",
        "<value><int>abc</int></value>",
        "<value><int>9a</int></value>",
        "<value><int>99999999999999999999</int></value>",
        "<value><int>1e400</int></value>",
        "<value><int>7</int><int>8</int></value>",
        "<value><!-- seven --><int>7</int></value>",
        "<value><?seven ?><int>7</int></value>",
        '<value a="1"><int>7</int></value>',
        '<value a="1">7</value>',
        "<value><array/></value>",
        "<value><array><value>7</value></array></value>",
        "<value><array><data><value><nosuch/></value></data></array></value>",
        "<value><dateTime.iso8601>tomorrow or so</dateTime.iso8601></value>",
        "<value><dateTime.iso8601>20231301T00:00:00</dateTime.iso8601></value>",
    ],
)
def test_an_invalid_value_is_fault_636(value: str) -> None:
    """Unknown types, invalid or too large numbers, and anything that hides the type."""
    with pytest.raises(ShopFault, match="fault 636: Error creating xmlrpc value"):
        read(request(value))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 630),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><methodCall><methodName>&b;</methodName></methodCall>", 631),
        (b"<methodCall>", 632),
        (b"no XML", 632),
        (b"<methodCall/>", 632),
        (b"<methodCall><methodName/></methodCall>", 632),
        (b"<methodCall><methodName>0</methodName></methodCall>", 632),
        (b"<methodCall><methodName>a\x01</methodName></methodCall>", 632),
        (b"\n<?xml version='1.0'?><methodCall><methodName>a</methodName></methodCall>", 632),
        (b"<?xml version='1.0' encoding='nosuch'?><methodCall><methodName>a</methodName></methodCall>", 632),
        (b"<methodCall><methodName>a</methodName><params><param/></params></methodCall>", 633),
    ],
)
def test_invalid_requests_are_faults(body: bytes, code: int) -> None:
    """Each kind of invalid request has its own number."""
    with pytest.raises(ShopFault) as caught:
        read(body)
    assert caught.value.code == str(code)


def test_a_text_instead_of_an_array_kills_php() -> None:
    """PHP calls a method of the text."""
    with pytest.raises(PhpFatal, match="children"):
        read(request("<value><array>text</array></value>"))


def test_the_outer_elements_may_have_any_name() -> None:
    """Any root and any param is accepted, in any declared encoding."""
    body = (
        '<?xml version="1.0" encoding="ISO-8859-1"?><x><y/><methodName>go</methodName>'
        "<params><z><value>Größe</value></z></params></x>"
    )
    assert read(body.encode("iso-8859-1")).arguments == ["Größe"]
    assert read(b"<x><methodName>go</methodName></x>").types == ()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1)
    | st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Z"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner, min_size=1),
    max_leaves=12,
)


@given(VALUES)
def test_requests_of_pythons_client_are_read(value: Any) -> None:
    """They are read as the values that were given to the client."""
    body = xmlrpc.client.dumps((value,), "call", allow_none=True)
    assert read(body.encode()).arguments == [value]


@given(VALUES)
def test_pythons_client_reads_the_replies(value: Any) -> None:
    """It returns the values that were written."""
    assert xmlrpc.client.loads(reply(value, NEWEST))[0] == (value,)


@pytest.mark.parametrize("folder", ["xmlrpc", "whole-shop/xmlrpc"])
def test_replies_are_equal_to_the_recorded_ones(samples: Path, folder: str) -> None:
    """The values that a client reads from each recorded reply or fault are written byte by byte as recorded."""
    paths = sorted((samples / folder).glob("*.response.xml"))
    compared = 0
    for path in paths:
        body = path.read_bytes()
        if not body or "pre193" in path.name:  # an HTTP 500, or no XML
            continue
        try:
            written = reply(xmlrpc.client.loads(body)[0][0], NEWEST)  # type: ignore[arg-type]  # any value
        except xmlrpc.client.Fault as known:
            written = fault(known.faultCode, known.faultString, NEWEST)
        assert written.encode() == body, path.name
        compared += 1
    assert compared > 15


def test_control_characters_are_as_recorded(samples: Path) -> None:
    """From 1.9.3 on they are escaped, before they are raw, which is not XML."""
    for name, version in (("unicode_control", "20.0.20"), ("unicode_control_pre193", "1.8.1.0")):
        body = (samples / "xmlrpc" / f"{name}.response.xml").read_text(encoding="utf-8")
        written = reply([{"customer_firstname": "A\x01B\x0bC"}], profile(version))
        member = written[written.index("<member>") : written.index("</struct>")]
        assert member in body
