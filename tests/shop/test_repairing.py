"""Characters that XML forbids: exactly those are removed from a reply, and the rest is read as strictly as always."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import pytest
from connections import FLAVOURS, connection_to
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from test_decoding import ROWS, SHAPES, cut, rendered, some_rows

from magento_pager.errors import MalformedReplyError
from magento_pager.fake import Shop
from magento_pager.lists import ORDERS
from magento_pager.shop.decoding import decode
from magento_pager.shop.repairing import without_forbidden
from magento_pager.shop.sources import ListSource
from magento_pager.walk.conditions import Condition, Query
from magento_pager.walk.ranges import IdRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsdls import Flavour

    from magento_pager.shop.connection import Connection

NUMBERS = sorted({*range(0x20), 0xFFFE, 0xFFFF} - {0x9, 0xA, 0xD})
raw = st.sampled_from(NUMBERS).map(lambda number: chr(number).encode())
references = st.builds(
    lambda number, form: (form % number).encode(),
    st.sampled_from([*NUMBERS, 0xD800, 0xDFFF]),
    st.sampled_from(["&#%d;", "&#x%x;", "&#x%X;", "&#%05d;", "&#x%08x;"]),
)


def repaired(body: bytes, size: int) -> bytes:
    """Return the rest of a body that arrives in pieces of a size."""
    return b"".join(without_forbidden(cut(body, size)))


@st.composite
def insertions(draw: st.DrawFn, flavour: Flavour) -> tuple[bytes, bytes, int]:
    """Return a reply, the same with forbidden characters in it, and how many those are."""
    rows = [{name: escape(text) for name, text in row.items()} for row in draw(some_rows)]
    clean = rendered(flavour, rows, broken=draw(st.booleans()))
    characters = [one.encode() for one in clean.decode()]
    places = draw(st.lists(st.integers(0, len(characters)), max_size=8, unique=True))
    for place in sorted(places, reverse=True):
        characters.insert(place, draw(raw | references))
    return clean, b"".join(characters), len(places)


@given(st.data(), st.sampled_from(["rpc", "wsi"]), st.integers(1, 60))
def test_inserted_characters_are_removed(data: st.DataObject, flavour: Flavour, size: int) -> None:
    """With forbidden characters anywhere, raw or as references, a repaired reply has the rows of the clean one."""
    clean, spoiled, count = data.draw(insertions(flavour))
    counted: list[int] = []
    pieces = without_forbidden(cut(spoiled, size), counted.append)
    rows = list(decode(pieces, SHAPES[flavour]))
    assert rows == list(decode([clean], SHAPES[flavour]))
    assert repaired(spoiled, size) == clean
    assert sum(counted) == count


@given(
    st.binary(max_size=60)
    | st.lists(raw | references | st.sampled_from([b"&", b"#", b"x", b"1", b";", b"\xef", b"\xbf"])).map(b"".join),
    st.integers(1, 9),
)
def test_the_size_of_pieces_does_not_matter(body: bytes, size: int) -> None:
    """The result does not depend on where the bytes are cut."""
    assert repaired(body, size) == repaired(body, len(body) + 1)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.integers(1, 9))
def test_no_other_character_is_changed(text: str, size: int) -> None:
    """A text without forbidden characters stays the same; of another one, every allowed character stays."""
    allowed = "".join(one for one in text if ord(one) not in NUMBERS and one not in "&;")
    assert repaired(allowed.encode(), size).decode() == allowed
    assert repaired(text.replace("&", "+").encode(), size).decode() == "".join(
        one for one in text.replace("&", "+") if ord(one) not in NUMBERS
    )


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize(
    "kept",
    [
        b"&amp;#1;",  # a text that says &#1;, as servers from 1.9.3 on send it
        b"&#9;&#10;&#13;&#x9;&#xA;&#xd;\t\n\r",
        b"&#32;&#x7f;&#xFFFD;&#x10000;&#65533;",
        b"&#;&#x;&#X1;&#1&#x1 &# 1;& #1;",
        b"&#0000000001;&#x000000001;",  # longer than anybody writes them; the parser refuses it
        b"&#1114112;&#99999999;",  # beyond all characters
        b"\xef\xbf\xbd\xef\xbe\xbf",  # U+FFFD and U+FFBF
        b"Bj\xf6rn\xff\xc0\x80\xed\xa0\x80",  # not UTF-8
        b"\xef",
        b"\xef\xbf",
        b"&",
        b"&#",
        b"&#x",
        b"&#x1",
        b"&#12345678",
    ],
)
def test_allowed_characters_are_kept(kept: bytes, size: int) -> None:
    """Also other references, other damage, and beginnings without an end."""
    assert repaired(kept, size) == kept


@pytest.mark.parametrize(
    "number", [*range(0x20), 0x7F, 0x85, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x10000]
)
def test_the_parser_agrees(number: int) -> None:
    """A character or reference is removed if, and only if, the parser refuses it."""
    for written in (b"&#%d;" % number, b"&#x%X;" % number, chr(number).encode("utf-8", "surrogatepass")):
        if number in range(0xD800, 0xE000) and not written.startswith(b"&"):
            continue  # no character, and not UTF-8
        try:
            etree.fromstring(b"<a>" + written + b"</a>")
        except etree.XMLSyntaxError:
            assert repaired(written, 1) == b""
        else:
            assert repaired(written, 1) == written


@pytest.mark.parametrize("damage", [b"&#x000000001;", b"&harmless;", b"<b/>", b"Bj\xf6rn", b"a & b", b"<!-- \x01 -->"])
def test_other_damage_is_still_refused(damage: bytes) -> None:
    """The removal of characters repairs nothing else."""
    body = rendered("rpc", ROWS).replace(b"complete", damage, 1).replace(b"100002", b"10\x010002")
    with pytest.raises(MalformedReplyError):
        list(decode(without_forbidden([body]), SHAPES["rpc"]))


def test_markup_made_by_the_removal_is_refused() -> None:
    """A document type that only appears by the removal is found."""
    body = rendered("rpc", ROWS).replace(b"?>", b"?><\x01!DOCTYPE a>", 1)
    with pytest.raises(MalformedReplyError, match="document type"):
        list(decode(without_forbidden([body]), SHAPES["rpc"]))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_source_that_repairs(flavour: Flavour) -> None:
    """If an old shop sends a control character raw, the row is returned without it."""
    with Shop(profile="1.8.1.0", flavour=flavour, orders=50) as shop, connection_to(shop) as connection:
        first, second, *_ = sorted(shop.database.ids("orders"))
        (before,) = fetched(connection, first, repair=False)
        shop.change(control_characters={first})
        with pytest.raises(MalformedReplyError, match="--repair control-characters") as caught:
            list(fetched(connection, first, repair=False))
        assert caught.value.remedy == "isolate"
        assert connection.characters_removed == 0
        (row,) = fetched(connection, first, repair=True)
        assert row.keys() == before.keys()
        changed = {name for name in row if row[name] != before[name]}
        assert changed
        assert {row[name] for name in changed} == {"AB"}
        removed = connection.characters_removed
        assert removed >= len(changed)
        assert list(fetched(connection, second, repair=True)) == list(fetched(connection, second, repair=False))
        assert connection.characters_removed == removed


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_text_that_is_not_utf_8_is_not_repaired(flavour: Flavour) -> None:
    """The server cannot encode it: it stays a fault."""
    with Shop(profile="1.8.1.0", flavour=flavour, orders=50) as shop, connection_to(shop) as connection:
        first, *_ = sorted(shop.database.ids("orders"))
        shop.change(invalid_utf8={first})
        with pytest.raises(Exception, match="Encoding"):
            list(fetched(connection, first, repair=True))


def fetched(connection: Connection, number: int, *, repair: bool) -> Iterator[dict[str, Any]]:
    """Return the row of one id."""
    query = Query((Condition("entity_id", "eq", str(number)),), IdRange(number, number), None)
    return ListSource(connection, ORDERS, repair=repair).fetch(query)
