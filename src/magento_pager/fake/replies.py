"""Replies: values to bytes, in the form of the recorded replies of PHP's SoapServer, element by element.

A record or a scalar is written at once. A list is written in three parts, so that it can be streamed: an opening that
needs the number of rows, one piece per row, a closing. Uses the types in `schema`, and knows neither HTTP nor the
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
"""A value of a reply: a scalar as in the database, a sequence for an array, a mapping for a record."""
Row: TypeAlias = Sequence[Value]
"""The values of one row of a list, in the order of the columns of its listing."""

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
"""Characters that XML 1.0 forbids, except lone surrogates, which stand for bytes that are not UTF-8."""
_ILLEGAL_BYTES = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")
"""The same in UTF-8."""
_UNSAFE = bytes({*range(0x20), *b"&<>"} - {*b"\0\t\n"})
"""The bytes that text may not contain unescaped."""


_NULL = type(None)


def legible(value: Value, profile: Profile) -> Value:
    r"""Return a value as the version sends it by either protocol: from 1.9.3 without characters that XML forbids.

    >>> from magento_pager.fake.profiles import profile
    >>> legible({"name": "A\x01B", "other": b"Bj\xf6rn"}, profile("20.0.20"))
    {'name': 'A&#1;B', 'other': None}
    >>> legible(["A\x01B"], profile("1.8.1.0"))
    ['A\x01B']

    Raises:
        ShopFault: a text is not UTF-8, and the version does not omit it.
    """
    if isinstance(value, Mapping):
        return {name: legible(member, profile) for name, member in value.items()}
    if _is_array(value):
        return [legible(member, profile) for member in value]
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
    return _ILLEGAL.sub(lambda match: f"&#{ord(match[0])};", text) if profile.escapes_controls else text


def escaped(text: str) -> str:
    r"""Return text inside an element, as libxml writes it.

    >>> escaped("Tom & Jerry\r")
    'Tom &amp; Jerry&#13;'
    """
    return escape(text, quote=False).replace("\r", "&#13;")


@dataclass(frozen=True, slots=True)
class _Shape:
    """The form of rows whose values have the same types, column by column.

    Attributes:
        template: the row, with a placeholder for each value that is not NULL.
        present: for each column, whether it is not NULL.
        numbers: the indexes of numbers.
        simple: all values are texts or numbers that are sent as they are, and no required value is missing.
    """

    template: bytes
    present: Sequence[bool]
    numbers: Sequence[int]
    simple: bool


@dataclass(frozen=True, slots=True)
class Encoder:
    """The encoder of one version and flavour.

    Attributes:
        profile: the version.
        flavour: `rpc` or `wsi`.
    """

    profile: Profile
    flavour: Flavour

    def reply(self, operation: Operation, result: Value) -> bytes:
        """Return a whole reply.

        Args:
            operation: the called operation.
            result: a scalar, a record or a sequence, as the operation declares.

        Raises:
            ShopFault: see `legible`.
        """
        items = len(result) if _is_array(result) else None
        part = self._element(operation.reply_part(self.flavour), result, self._records())
        return self._broken(self._head(operation, items) + part + self._foot(operation)).encode()

    def fault(self, fault: ShopFault) -> bytes:
        """Return a fault. Those of Magento have the line breaks of replies, those of PHP do not."""
        text = escaped(fault.text)
        if fault.code == "VersionMismatch":  # PHP answers in SOAP 1.2, because it does not know the version
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
        """Return the reply to a list call, up to its first row.

        Args:
            operation: a list operation.
            rows: the number of rows that follow.
        """
        part = operation.reply_part(self.flavour)
        array = self._array_tag(part, rows) + (">" if rows else "/>")
        return self._broken(self._head(operation, rows) + array).encode()

    def closing(self, operation: Operation, rows: int) -> bytes:
        """Return the reply to a list call, from the end of its last row."""
        end = f"</{operation.reply_part(self.flavour).name}>" if rows else ""
        return (self._break + self._broken(end + self._foot(operation))).encode()

    def rows(self, listing: Listing) -> Callable[[Row], bytes]:
        """Return a function that writes one row of a list: values in the order of `listing.columns`.

        It raises ShopFault as `legible` does. Most rows of a list have values in the same columns, so it keeps a
        template for each such set; a row with anything unusual in it is written element by element.
        """
        declared = {field.name: field for field in listing.fields}
        fields = [declared[name] for name in listing.columns]
        tag = self._tag(self._item, listing.row_type)
        known = self._records()
        line_break = self._break
        shapes: dict[tuple[type, ...], _Shape] = {}

        def write_elements(row: Row) -> bytes:
            pairs = zip(fields, row, strict=True)
            content = "".join([self._element(field, value, known) for field, value in pairs])
            return (line_break + self._broken(self._closed(tag, self._item, content))).encode()

        def shape(types: tuple[type, ...]) -> _Shape:
            present = [kind is not _NULL for kind in types]
            shown = [(field, kind) for field, kind in zip(fields, types, strict=True) if kind is not _NULL]
            tags = "".join(f"{self._tag(field.name, field.type)}>%b</{field.name}>" for field, _ in shown)
            template = line_break + self._broken(self._closed(tag, self._item, tags))
            numbers = [index for index, (_, kind) in enumerate(shown) if kind is int]
            simple = bool(shown) and all(
                (field.type == "xsd:string" and kind in {str, int}) or (field.type == "xsd:int" and kind is int)
                for field, kind in shown
            )
            complete = not any(field.required for field, kind in zip(fields, types, strict=True) if kind is _NULL)
            return shapes.setdefault(types, _Shape(template.encode(), present, numbers, simple and complete))

        def fill_template(row: Row) -> bytes:
            types = tuple(map(type, row))
            row_shape = shapes.get(types) or shape(types)
            if not row_shape.simple:
                return write_elements(row)
            values = list(compress(row, row_shape.present))
            for index in row_shape.numbers:
                values[index] = str(values[index])
            try:
                text = "\0".join(values).encode()  # type: ignore[arg-type]  # all are text now
            except UnicodeEncodeError:
                return write_elements(row)
            if len(text.translate(None, _UNSAFE)) != len(text) or b"\xef\xbf" in text:
                text = self._escaped(text)
            parts = tuple(text.split(b"\0"))
            if len(parts) != len(values):
                return write_elements(row)
            filled = row_shape.template % parts
            return filled.replace(b"></", b">\n</") if line_break and b"" in parts else filled

        return fill_template

    def _escaped(self, text: bytes) -> bytes:
        """Return text in UTF-8 with the changes of `legible` and `escaped`."""
        if self.profile.escapes_controls:
            text = _ILLEGAL_BYTES.sub(lambda match: b"&#%d;" % ord(match[0].decode()), text)
        return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b">", b"&gt;").replace(b"\r", b"&#13;")

    @property
    def _item(self) -> str:
        """The element of one item of an array."""
        return "item" if self.flavour == "rpc" else "complexObjectArray"

    @property
    def _break(self) -> str:
        """The text between two tags."""
        return "\n" if self.profile.breaks_between_tags else ""

    def _broken(self, text: str) -> str:
        """Return the text as sent: from 1.8 with a line break between any two tags, and therefore in empty texts."""
        return text.replace("><", ">\n<") if self.profile.breaks_between_tags else text

    def _records(self) -> Mapping[str, tuple[Field, ...]]:
        """Return the record types of this version."""
        return records(self.profile, self.flavour)

    def _head(self, operation: Operation, items: int | None) -> str:
        """Return a reply up to its result. PHP declares namespaces in the order of their first use.

        Args:
            operation: the called operation.
            items: the length of an array; None if the result is not an array.
        """
        order = ("xsd", "xsi", "SOAP-ENC") if items is None else ("SOAP-ENC", "xsd", "xsi")
        if items == 0:
            order = ("SOAP-ENC", "xsi", "xsd")
        names = "".join(f' xmlns:{prefix}="{_NAMESPACES[prefix]}"' for prefix in order)
        encoded = f'{names} SOAP-ENV:encodingStyle="{_NAMESPACES["SOAP-ENC"]}"' if self.flavour == "rpc" else ""
        return (
            f'{_DECLARATION}<SOAP-ENV:Envelope xmlns:SOAP-ENV="{ENVELOPE}" xmlns:ns1="{self.profile.namespace}"'
            f"{encoded}><SOAP-ENV:Body><ns1:{operation.reply_element(self.flavour)}>"
        )

    def _foot(self, operation: Operation) -> str:
        """Return a reply after its result."""
        return f"</ns1:{operation.reply_element(self.flavour)}>{_FOOT}"

    def _tag(self, name: str, kind: str) -> str:
        """Return a start tag without the closing bracket."""
        return f'<{name} xsi:type="{_qualified(kind)}"' if self.flavour == "rpc" else f"<{name}"

    def _array_tag(self, field: Field, items: int) -> str:
        """Return the start tag of an array without the closing bracket."""
        if self.flavour == "wsi":
            return f"<{field.name}"
        length = f'SOAP-ENC:arrayType="{_qualified(ARRAYS[field.type])}[{items}]"'
        return f'<{field.name} {length} xsi:type="{_qualified(field.type)}"'

    def _closed(self, tag: str, name: str, content: str) -> str:
        """Return an element from its start tag; an empty one is self-closing."""
        return f"{tag}>{content}</{name}>" if content else f"{tag}/>"

    def _element(self, field: Field, value: Value, known: Mapping[str, tuple[Field, ...]]) -> str:
        """Return one element with its content; an empty string if a NULL is omitted."""
        if _is_array(value):
            item = Field(self._item, ARRAYS[field.type], required=True)
            inner = "".join([self._element(item, member, known) for member in value])
            return self._closed(self._array_tag(field, len(value)), field.name, inner)
        if isinstance(value, Mapping):
            parts = [self._element(member, value.get(member.name), known) for member in known[field.type]]
            return self._closed(self._tag(field.name, field.type), field.name, "".join(parts))
        if value is not None and (field.type in ARRAYS or field.type in known):
            return f"{self._tag(field.name, field.type)}/>"  # for PHP a scalar has no members
        text = None if value is None else _scalar(value, field.type, self.profile)
        if text is not None:
            return f"{self._tag(field.name, field.type)}>{text}</{field.name}>"
        if not field.required:
            return ""
        return f'<{field.name} xsi:nil="true"/>' if self.flavour == "rpc" else f"<{field.name}/>"


def _is_array(value: Value) -> TypeGuard[Sequence[Value]]:
    """Return whether a value is an array."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _qualified(kind: str) -> str:
    """Return a type as the value of an attribute."""
    return kind if kind.startswith("xsd:") else f"ns1:{kind}"


def _scalar(value: Value, kind: str, profile: Profile) -> str | None:
    """Return the text of a scalar of that type; None if it is omitted.

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
    if kind == "xsd:double":  # at most 14 digits, by default in PHP
        return f"{float(str(value)):.14G}"
    text = legible(value, profile)
    return None if text is None else escaped(str(text))
