"""Replies: values to bytes, in the shape of the recorded replies of PHP's SoapServer, element by element.

A record or a scalar is written whole. A list is written in three parts, so that it can be streamed: an opening that
needs the number of rows, one piece per row, a closing. Knows the types in `schema`; knows neither HTTP nor the
database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import compress
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

from magento_pager.fake.declarations import Field
from magento_pager.fake.faults import ShopFault
from magento_pager.fake.schema import ARRAYS, records

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager.fake.declarations import Flavour, Operation
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.profiles import Profile

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_NAMESPACES = {
    "SOAP-ENC": "http://schemas.xmlsoap.org/soap/encoding/",
    "xsd": "http://www.w3.org/2001/XMLSchema",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_FOOT = "</SOAP-ENV:Body></SOAP-ENV:Envelope>\n"

Scalar: TypeAlias = str | bytes | int | float | None
Value: TypeAlias = Scalar | Sequence["Value"] | Mapping[str, "Value"]
"""A value of a reply: a scalar as the database holds it, a sequence for an array, a mapping for a record."""
Row: TypeAlias = Sequence[Value]
"""The values of one row of a list, in the order of the columns of its listing."""

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""What XML 1.0 forbids, but for lone surrogates, which stand for bytes that are not UTF-8."""
_ILLEGAL_BYTES = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
"""The same in UTF-8."""
_SUSPECTS = bytes({*range(0x20), *b"&<>"} - {*b"\0\t\n"})
"""The bytes that text may not contain as they are."""


_NULL = type(None)


def legible(value: Value, profile: Profile) -> Value:
    r"""A value as the version lets it out of the API, whatever the protocol: from 1.9.3 without what XML forbids.

    >>> from magento_pager.fake.profiles import profile
    >>> legible({"name": "A\x01B", "other": b"Bj\xf6rn"}, profile("20.0.20"))
    {'name': 'A&#1;B', 'other': None}
    >>> legible(["A\x01B"], profile("1.8.1.0"))
    ['A\x01B']

    Raises:
        ShopFault: text is not UTF-8, and the version does not leave it out.
    """
    if isinstance(value, Mapping):
        return {name: legible(one, profile) for name, one in value.items()}
    if _is_array(value):
        return [legible(one, profile) for one in value]
    if not isinstance(value, str | bytes):
        return value
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    try:
        text.encode()
    except UnicodeEncodeError as error:
        if profile.drops_invalid_utf8:
            return None
        start = f"{text[: error.start]}\\x{ord(text[error.start]) & 0xFF:02x}..."
        message = f"SOAP-ERROR: Encoding: string '{start}' is not a valid utf-8 string"
        raise ShopFault("SOAP-ENV:Server", message, 500) from None
    return _ILLEGAL.sub(lambda found: f"&#{ord(found[0])};", text) if profile.escapes_controls else text


def escaped(text: str) -> str:
    r"""Text inside an element, as libxml writes it.

    >>> escaped("Tom & Jerry\r")
    'Tom &amp; Jerry&#13;'
    """
    return escape(text, quote=False).replace("\r", "&#13;")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What rows have in common whose values have the same types, column by column.

    Attributes:
        template: the row, with a place for each value that is not NULL.
        present: for each column, whether it is not NULL.
        numbers: the places of numbers.
        usual: all values are texts or numbers that go out as they are, and nothing that is required is missing.
    """

    template: bytes
    present: Sequence[bool]
    numbers: Sequence[int]
    usual: bool


@dataclass(frozen=True, slots=True)
class Encoder:
    """How one version and flavour writes.

    Attributes:
        profile: the version.
        flavour: `rpc` or `wsi`.
    """

    profile: Profile
    flavour: Flavour

    def reply(self, operation: Operation, result: Value) -> bytes:
        """A whole reply.

        Args:
            operation: what was called.
            result: a scalar, a record or a sequence, as the operation declares.

        Raises:
            ShopFault: see `legible`.
        """
        kind = len(result) if _is_array(result) else None
        part = self._element(operation.reply_part(self.flavour), result, self._records())
        return self._broken(self._head(operation, kind) + part + self._foot(operation)).encode()

    def fault(self, fault: ShopFault) -> bytes:
        """A fault. Magento's own are broken into lines as replies are, those of PHP are not."""
        text = escaped(fault.text)
        if fault.code == "VersionMismatch":  # PHP cannot tell in which version it was asked, and answers in SOAP 1.2
            document = (
                '<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope"><env:Body><env:Fault>'
                f"<env:Code><env:Value>env:{fault.code}</env:Value></env:Code>"
                f"<env:Reason><env:Text>{text}</env:Text></env:Reason></env:Fault></env:Body></env:Envelope>\n"
            )
        else:
            document = (
                f'<SOAP-ENV:Envelope xmlns:SOAP-ENV="{ENVELOPE}"><SOAP-ENV:Body><SOAP-ENV:Fault>'
                f"<faultcode>{fault.code}</faultcode><faultstring>{text}</faultstring></SOAP-ENV:Fault>{_FOOT}"
            )
        return (_DECLARATION + (self._broken(document) if fault.code.isdecimal() else document)).encode()

    def opening(self, operation: Operation, rows: int) -> bytes:
        """A reply that is a list, up to its first row.

        Args:
            operation: a list operation.
            rows: how many will follow.
        """
        part = operation.reply_part(self.flavour)
        array = self._array_tag(part, rows) + (">" if rows else "/>")
        return self._broken(self._head(operation, rows) + array).encode()

    def closing(self, operation: Operation, rows: int) -> bytes:
        """The same list from after its last row to the end."""
        end = f"</{operation.reply_part(self.flavour).name}>" if rows else ""
        return (self._break + self._broken(end + self._foot(operation))).encode()

    def rows(self, listing: Listing) -> Callable[[Row], bytes]:
        """A function that writes one row of a list: values in the order of `listing.columns`.

        It raises ShopFault as `legible` does. Most rows of a list have values in the same columns, so it keeps one
        template for each such set and fills it; a row with anything unusual in it takes the careful way.
        """
        declared = {field.name: field for field in listing.fields}
        fields = [declared[name] for name in listing.columns]
        tag = self._tag(self._item, listing.row_type)
        known = self._records()
        between = self._break
        shapes: dict[tuple[type, ...], _Shape] = {}

        def carefully(row: Row) -> bytes:
            pairs = zip(fields, row, strict=True)
            content = "".join([self._element(field, value, known) for field, value in pairs])
            return (between + self._broken(self._closed(tag, self._item, content))).encode()

        def shape(types: tuple[type, ...]) -> _Shape:
            present = [kind is not _NULL for kind in types]
            shown = [(field, kind) for field, kind in zip(fields, types, strict=True) if kind is not _NULL]
            tags = "".join(f"{self._tag(field.name, field.type)}>%b</{field.name}>" for field, _ in shown)
            template = between + self._broken(self._closed(tag, self._item, tags))
            numbers = [place for place, (_, kind) in enumerate(shown) if kind is int]
            usual = bool(shown) and all(
                (field.type == "xsd:string" and kind in {str, int}) or (field.type == "xsd:int" and kind is int)
                for field, kind in shown
            )
            complete = not any(field.required for field, kind in zip(fields, types, strict=True) if kind is _NULL)
            return shapes.setdefault(types, _Shape(template.encode(), present, numbers, usual and complete))

        def quickly(row: Row) -> bytes:
            types = tuple(map(type, row))
            found = shapes.get(types) or shape(types)
            if not found.usual:
                return carefully(row)
            values = list(compress(row, found.present))
            for place in found.numbers:
                values[place] = str(values[place])
            try:
                text = "\0".join(values).encode()  # type: ignore[arg-type]  # the shape says that all are text now
            except UnicodeEncodeError:
                return carefully(row)
            if len(text.translate(None, _SUSPECTS)) != len(text) or b"\xef\xbf" in text:
                text = self._escaped(text)
            parts = tuple(text.split(b"\0"))
            if len(parts) != len(values):
                return carefully(row)
            filled = found.template % parts
            return filled.replace(b"></", b">\n</") if between and b"" in parts else filled

        return quickly

    def _escaped(self, text: bytes) -> bytes:
        """Text in UTF-8 as `legible` and `escaped` leave it."""
        if self.profile.escapes_controls:
            text = _ILLEGAL_BYTES.sub(lambda found: b"&#%d;" % ord(found[0].decode()), text)
        return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;").replace(b"\r", b"&#13;")

    @property
    def _item(self) -> str:
        """The element of one item of an array."""
        return "item" if self.flavour == "rpc" else "complexObjectArray"

    @property
    def _break(self) -> str:
        """What stands between a tag that ends and one that begins."""
        return "\n" if self.profile.breaks_between_tags else ""

    def _broken(self, text: str) -> str:
        """The text as it leaves the server: from 1.8 with a line break between any two tags, so also in empty texts."""
        return text.replace("><", ">\n<") if self.profile.breaks_between_tags else text

    def _records(self) -> Mapping[str, tuple[Field, ...]]:
        """The record types of this version."""
        return records(self.profile, self.flavour)

    def _head(self, operation: Operation, items: int | None) -> str:
        """A reply up to its result. PHP declares namespaces in the order in which it first needs them.

        Args:
            operation: what was called.
            items: the length of an array; None when the result is none.
        """
        order = ("xsd", "xsi", "SOAP-ENC") if items is None else ("SOAP-ENC", "xsd", "xsi")
        if items == 0:
            order = ("SOAP-ENC", "xsi", "xsd")
        names = "".join(f' xmlns:{one}="{_NAMESPACES[one]}"' for one in order)
        encoded = f'{names} SOAP-ENV:encodingStyle="{_NAMESPACES["SOAP-ENC"]}"' if self.flavour == "rpc" else ""
        return (
            f'{_DECLARATION}<SOAP-ENV:Envelope xmlns:SOAP-ENV="{ENVELOPE}" xmlns:ns1="{self.profile.namespace}"'
            f"{encoded}><SOAP-ENV:Body><ns1:{operation.reply_element(self.flavour)}>"
        )

    def _foot(self, operation: Operation) -> str:
        """A reply after its result."""
        return f"</ns1:{operation.reply_element(self.flavour)}>{_FOOT}"

    def _tag(self, name: str, kind: str) -> str:
        """A start tag without its end."""
        return f'<{name} xsi:type="{_qualified(kind)}"' if self.flavour == "rpc" else f"<{name}"

    def _array_tag(self, field: Field, items: int) -> str:
        """The start tag of an array without its end."""
        if self.flavour == "wsi":
            return f"<{field.name}"
        length = f'SOAP-ENC:arrayType="{_qualified(ARRAYS[field.type])}[{items}]"'
        return f'<{field.name} {length} xsi:type="{_qualified(field.type)}"'

    def _closed(self, tag: str, name: str, content: str) -> str:
        """An element from its start tag; one without any child is written short."""
        return f"{tag}>{content}</{name}>" if content else f"{tag}/>"

    def _element(self, field: Field, value: Value, known: Mapping[str, tuple[Field, ...]]) -> str:
        """One element with all inside it; the empty string when a NULL is left out."""
        if _is_array(value):
            item = Field(self._item, ARRAYS[field.type], required=True)
            inner = "".join([self._element(item, one, known) for one in value])
            return self._closed(self._array_tag(field, len(value)), field.name, inner)
        if isinstance(value, Mapping):
            parts = [self._element(one, value.get(one.name), known) for one in known[field.type]]
            return self._closed(self._tag(field.name, field.type), field.name, "".join(parts))
        if value is not None and (field.type in ARRAYS or field.type in known):
            return f"{self._tag(field.name, field.type)}/>"  # PHP finds no member in a scalar, and counts none
        text = None if value is None else _scalar(value, field.type, self.profile)
        if text is not None:
            return f"{self._tag(field.name, field.type)}>{text}</{field.name}>"
        if not field.required:
            return ""
        return f'<{field.name} xsi:nil="true"/>' if self.flavour == "rpc" else f"<{field.name}/>"


def _is_array(value: Value) -> TypeGuard[Sequence[Value]]:
    """Whether a value is an array."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _qualified(kind: str) -> str:
    """A type as an attribute names it."""
    return kind if kind.startswith("xsd:") else f"ns1:{kind}"


def _scalar(value: Value, kind: str, profile: Profile) -> str | None:
    """The text of a scalar of that type; None when it is left out.

    Raises:
        ShopFault: see `legible`.

    >>> from magento_pager.fake.profiles import profile
    >>> _scalar("a key", "xsd:boolean", profile("20.0.20")), _scalar("12abc", "xsd:int", profile("20.0.20"))
    ('true', '12')
    """
    if kind == "xsd:boolean":  # PHP's truth: a confirmation key becomes "true"
        return "false" if value in {"", "0", 0} else "true"
    if kind == "xsd:int":
        digits = re.match(r"\s*[-+]?\d+", str(value))
        return str(int(digits[0])) if digits else "0"
    if kind == "xsd:double":  # at most 14 digits, as PHP is delivered
        return f"{float(str(value)):.14G}"
    sent = legible(value, profile)
    return None if sent is None else escaped(str(sent))
