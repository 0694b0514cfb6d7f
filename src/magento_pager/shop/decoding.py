"""Bytes of SOAP to rows: streaming and strict.

What lives here: reading a reply as it arrives, and refusing every reply that is not exactly what the WSDL promises.
The shape of the reply is given as plain data (`ReplyShape`); this module knows neither zeep nor HTTP.

A row equals what zeep gives for the same bytes, with four exceptions: numbers and booleans stay the server's text; a
list of WS-I is a list, where zeep has a record of one field; a NULL, which the server omits or marks as nil, is an
absent key; and an empty text is `""`, where zeep has None or a line break. Up to 1.7 an empty text is an empty element,
as is a NULL in a required field of WS-I, which stays absent. From 1.8 on the server writes a line break between all
tags, so an empty text arrives as a line break.

Rows differ only in their texts and in which columns are NULL. So every *form* of row (all its bytes except the texts)
is parsed and checked once, in full. A later row with the same form, byte for byte, and with texts that contain no
markup and nothing an XML parser would change, can only mean that form with those texts: it is read by splitting,
without the parser. Every other row goes through the parser and every check.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from magento_pager.errors import MalformedReplyError
from magento_pager.shop.failures import LostListError
from magento_pager.shop.streaming import UNFIT, RowStream, parsed_small, without_references

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from lxml.etree import _Element as Element

    from magento_pager.shop.failures import Purpose
    from magento_pager.walk.pages import Row

SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
SOAP_12 = "{http://www.w3.org/2003/05/soap-envelope}"  # occurs in one fault: the request was not SOAP 1.1
ARRAY_TYPE = "{http://schemas.xmlsoap.org/soap/encoding/}arrayType"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
TRUE = frozenset({"true", "1"})

MOST_FORMS = 1000
"""Forms remembered: bounds the memory for a server that never sends the same form twice."""

_ARRAY_TYPE = re.compile(r"([^\[\]]+)\[([0-9]{1,10})\]")
_UNFIT = re.compile(f"[{UNFIT}]")
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")

_PRINTED = frozenset({"br", "b", "font", "pre"})
"""Tags in the notices of PHP; no shop has columns with these names."""


class ReplyFaultError(Exception):
    """The reply is a fault, of SOAP or XML-RPC. `shop.connection` turns it into an error that says what to do.

    Attributes:
        code: as the server sent it.
        text: as the server sent it.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class UnpromisedReplyError(MalformedReplyError):
    """A well-formed reply of another shape than the WSDL's; the shop may have been upgraded meanwhile."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value, read as the server's text.

    Attributes:
        type: the qualified name of its type.
        integer: True if the text must be a whole number.
    """

    type: str
    integer: bool = False


@dataclass(frozen=True, slots=True)
class Array:
    """A list of values: in RPC the element's children, whatever their tag.

    Attributes:
        type: the qualified name of its type.
        item: the shape of its values.
    """

    type: str
    item: Shape


@dataclass(frozen=True, slots=True)
class Struct:
    """Named fields.

    Attributes:
        type: the qualified name of its type.
        fields: by name, in declared order.
        ordered: True if the fields must be in the declared order (WS-I).
        required: the fields that must be present (in WS-I; in RPC none must, as zeep reads it).
        repeated: the fields that may occur more than once and are read as a list (WS-I's complexObjectArray).
        open: True if it may have further fields, each of them `ANYTHING`.
    """

    type: str
    fields: Mapping[str, Shape]
    ordered: bool
    required: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    open: bool = False


@dataclass(frozen=True, slots=True)
class Anything:
    """A value whose type only the reply shows: a text, a list, a dict, or NULL."""


Shape = Leaf | Array | Struct | Anything
ANYTHING = Anything()


@dataclass(frozen=True, slots=True)
class ReplyShape:
    """The shape of the reply of a list.

    Attributes:
        operation: for messages.
        reply: the qualified tag of the element in the body.
        result: the tag of the element that contains the rows.
        type: the qualified name of that element's type.
        item: the tag of a row.
        row: the fields of a row.
        counted: True if the element with the rows must state their number (RPC).
    """

    operation: str
    reply: str
    result: str
    type: str
    item: str
    row: Struct
    counted: bool = False


@dataclass(frozen=True, slots=True)
class RecordShape:
    """The shape of a reply with one record in full, or with the list of what belongs to one.

    Attributes:
        operation: for messages.
        reply: the qualified tag of the element in the body.
        result: the tag of the element in that one.
        value: the shape of its value.
    """

    operation: str
    reply: str
    result: str
    value: Shape


class Forms:
    """The forms of row found so far, kept from reply to reply because all replies of a list share them.

    A form consists of bytes. It means the same wherever its prefixes stand for the same namespaces, and the server
    either always or never writes line breaks between tags. `len` is the number of forms. Several replies may be read
    at once.
    """

    def __init__(self) -> None:
        self._known: tuple[Mapping[str | None, str], bool, dict[tuple[str, ...], _Form]] = {}, False, {}

    def __len__(self) -> int:
        return len(self._known[2])

    def under(self, namespaces: Mapping[str | None, str], *, line_broken: bool) -> dict[tuple[str, ...], _Form]:
        """Return the forms for these prefixes; a server that changes them begins with none."""
        known = self._known
        if (namespaces, line_broken) != known[:2]:
            known = self._known = namespaces, line_broken, {}
        return known[2]


def decode(pieces: Iterable[bytes], shape: ReplyShape, forms: Forms | None = None) -> Generator[Row]:
    """Yield the rows of a reply, each as soon as its bytes have arrived.

    Rows are yielded before the end of the reply is known: they are complete only if the generator ends without an
    error.

    Args:
        pieces: the body, in pieces of any size.
        shape: of the reply, by the WSDL.
        forms: of earlier replies of the same shape; they save time and change no row.

    Raises:
        ReplyFaultError: the reply is a SOAP fault.
        MalformedReplyError: the reply is not what the WSDL promises.
    """
    return _Rows(shape, Forms() if forms is None else forms).read(pieces)


def decode_record(body: bytes, shape: RecordShape) -> Any:
    """Return the value of a reply that is not a list of rows, read as strictly as rows are, and in the same form.

    Raises:
        ReplyFaultError: the reply is a SOAP fault.
        MalformedReplyError: the reply is not what the WSDL promises.
    """
    reply = decode_small(body, shape.operation)
    values = _Values(shape.operation)
    if [reply.tag, *(child.tag for child in reply)] != [shape.reply, shape.result]:
        raise values.refusal(f"it does not contain one <{shape.result}> in <{shape.reply}>")
    values.line_broken = breaks_lines(reply)
    return values.value(reply[0], shape.value)


def decode_small(body: bytes, operation: str, purpose: Purpose = "rows") -> Element:
    """Return the element in the body of a short reply, such as that of `login`.

    Raises:
        ReplyFaultError: the reply is a SOAP fault.
        MalformedReplyError: the reply is not a SOAP envelope.
    """
    return _payload(parsed_small(body, operation, purpose), operation)


def breaks_lines(element: Element) -> bool:
    """Return True if an element's server writes a line break between all tags, and so distinguishes "" from NULL."""
    return element.getroottree().getroot().text == "\n"


def is_list(shape: Shape) -> bool:
    """Return True for a list in either flavour: an array of RPC, or a record of one repeated field."""
    return isinstance(shape, Array) or (isinstance(shape, Struct) and shape.repeated == shape.fields.keys())


def plain(element: Element) -> Any:
    """Return a short reply's value: the text of an element, or its children by tag.

    >>> from lxml import etree
    >>> plain(etree.fromstring("<info><version>1.9.4.5</version><edition>Community</edition></info>"))
    {'version': '1.9.4.5', 'edition': 'Community'}
    """
    if len(element) == 0:
        return element.text
    return {child.tag: plain(child) for child in element}


class _Values:
    """Reads elements by their shape, strictly.

    Attributes:
        operation: for messages.
        namespaces: in scope for values whose elements declare none.
        declares: elements may declare namespaces.
        line_broken: the server writes a line break between all tags.
    """

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.namespaces: Mapping[str | None, str] = {}
        self.declares = True
        self.line_broken = False

    def value(self, element: Element, shape: Shape, *, optional: bool = False) -> Any:
        """Return the value of an element; None for NULL.

        Args:
            element: as the server sent it.
            shape: by the WSDL.
            optional: the server would have omitted the element for NULL.
        """
        if isinstance(shape, Anything):
            return self._anything(element)
        if self._check_attributes(element, shape.type, array=isinstance(shape, Array)):
            if len(element) or element.text is not None:
                raise self.refusal(f"<{element.tag}> is nil but not empty")
            return None
        if isinstance(shape, Leaf):
            return self._text(element, shape, optional=optional)
        if isinstance(shape, Struct) and is_list(shape):
            (name,) = shape.fields
            return self._fields(element, shape)[name]
        if len(element) == 0 and not element.attrib:
            return None
        if isinstance(shape, Struct):
            return self._fields(element, shape)
        if element.attrib:
            if len(element) == 0 and ARRAY_TYPE not in element.attrib:
                raise LostListError(self.operation, f"<{element.tag}> has no length")
            self._check_length(element, len(element))
        values = (self._item(child, shape.item) for child in element)
        return [value for value in values if value is not None]

    def _anything(self, element: Element) -> Any:
        """Return a value by its content: a list, a map of PHP, a record, or a text."""
        unknown = set(element.attrib) - {XSI_TYPE, NIL, ARRAY_TYPE}
        if unknown:
            raise self.refusal(f"<{element.tag}> has an attribute {min(map(str, unknown))}")
        if element.get(NIL) in TRUE:
            return None
        kind, tags = element.get(XSI_TYPE, "").rpartition(":")[2], {child.tag for child in element}
        if kind == "Map" and all([part.tag for part in item] == ["key", "value"] for item in element):
            return {item[0].text or "": self._anything(item[1]) for item in element}
        if ARRAY_TYPE in element.attrib or kind.endswith("Array") or tags in ({"item"}, {"complexObjectArray"}):
            if ARRAY_TYPE in element.attrib:
                self._check_length(element, len(element))
            return [self._anything(child) for child in element]
        if not len(element):
            text = element.text or ""
            return "" if text == "\n" and self.line_broken else text
        if len(tags) < len(element):
            raise self.refusal(f"<{element.tag}> has a field twice")
        return {str(child.tag): value for child in element if (value := self._anything(child)) is not None}

    def _item(self, element: Element, shape: Shape) -> Any:
        """Return the value of an array's item, which is never a record without any field."""
        value = self.value(element, shape)
        if isinstance(shape, Struct) and not shape.repeated and len(element) == 0 and element.get(NIL) not in TRUE:
            raise LostListError(self.operation, f"a list contains an empty <{element.tag}>")
        return value

    def _text(self, element: Element, shape: Leaf, *, optional: bool) -> str | None:
        if len(element):
            raise self.refusal(f"<{element.tag}> contains markup instead of text")
        text = element.text
        if text is None:
            return None if self._is_null(element, shape, optional=optional) else ""
        if text == "\n" and self.line_broken:
            return ""
        if shape.integer:
            self._check_integer(element.tag, text)
        return text

    def _is_null(self, element: Element, shape: Leaf, *, optional: bool) -> bool:
        """Return True if an empty element is NULL, not an empty text."""
        return shape.integer or (XSI_TYPE not in element.attrib and (self.line_broken or not optional))

    def _fields(self, element: Element, shape: Struct) -> Row:
        self._check_tags([child.tag for child in element], shape)
        row: Row = {name: [] for name in shape.repeated}
        for child in element:
            name = child.tag
            if name in shape.repeated:
                row[name].append(self._item(child, shape.fields[name]))
                continue
            field = shape.fields.get(name, ANYTHING)
            value = self.value(child, field, optional=shape.ordered and name not in shape.required)
            if value is not None:
                row[name] = value
        return row

    def _check_tags(self, tags: list[str], shape: Struct) -> None:
        """Refuse fields that are undeclared, duplicate, missing, or out of order."""
        for tag in tags:
            if tag not in shape.fields and not shape.open:
                printed = ". PHP prints a notice into it. Switch display_errors off on the server"
                raise self.refusal(
                    f"a row contains <{tag}>, which the WSDL does not declare{printed if tag in _PRINTED else ''}"
                )
        single = [tag for tag in tags if tag not in shape.repeated]
        if len(set(single)) < len(single):
            duplicate = next(tag for tag in single if single.count(tag) > 1)
            raise self.refusal(f"a row contains <{duplicate}> twice")
        for name in shape.required.difference(tags):
            raise self.refusal(f"a row lacks <{name}>")
        if shape.ordered:
            order = {name: place for place, name in enumerate(shape.fields)}
            declared = [tag for tag in tags if tag in order]
            if declared != sorted(declared, key=lambda tag: order[tag]):
                raise self.refusal("the fields of a row are not in the order the WSDL declares")

    def _check_attributes(self, element: Element, declared: str, *, array: bool = False) -> bool:
        """Refuse an attribute that contradicts the declared type; return True if one says nil.

        Args:
            element: with the attributes.
            declared: the qualified name of its type.
            array: it may state how many values it has, see `_check_length`.
        """
        nil = False
        for name, value in cast("dict[str, str]", element.attrib).items():
            if name == XSI_TYPE:
                if self._qualified(element, value) != declared:
                    raise self.refusal(f"<{element.tag}> is typed {value!r}, not {declared}")
            elif name == NIL and value in TRUE | {"false", "0"}:
                nil = value in TRUE
            elif name != ARRAY_TYPE or not array:
                raise self.refusal(f"<{element.tag}> has an attribute {name}")
        return nil

    def _check_length(self, element: Element, held: int) -> str:
        """Refuse an array of RPC whose stated number of values is wrong; return the name of their type."""
        text = element.get(ARRAY_TYPE, "")
        announced = _ARRAY_TYPE.fullmatch(text)
        if not announced:
            raise self.refusal(f"<{element.tag}> does not state how many rows it has (its arrayType is {text!r})")
        kind, count = announced.groups()
        if int(count) != held:
            raise self.refusal(f"<{element.tag}> announces {count} rows and has {held}")
        return kind

    def _qualified(self, element: Element, name: str) -> str:
        """Return the qualified name for a name with a prefix."""
        prefix, _, local = name.rpartition(":")
        namespaces = element.nsmap if self.declares else self.namespaces
        return f"{{{namespaces.get(prefix or None, '')}}}{local}"

    def _check_integer(self, name: str, text: str) -> None:
        if not _INTEGER.fullmatch(text) and not (text == "" and self.line_broken):
            raise self.refusal(f"<{name}> is not a number: {text[:50]!r}")

    def refusal(self, reason: str) -> UnpromisedReplyError:
        """Return the error for a reply that differs from the WSDL; a single row may be the cause."""
        message = f"{self.operation}: the reply is not what the WSDL promises: {reason}"
        return UnpromisedReplyError(message, remedy="isolate")


class _Rows(_Values, RowStream):
    """Turns the bytes of one reply into rows, and checks at the end that they are complete."""

    def __init__(self, shape: ReplyShape, forms: Forms) -> None:
        RowStream.__init__(self, shape.operation, shape.item)
        _Values.__init__(self, shape.operation)
        self._shape = shape
        self._memory = forms
        self._count = 0
        self._result: Element | None = None  # contains the rows; None before the first row
        self.declares = False
        self._forms: dict[tuple[str, ...], _Form] = {}
        leaves = {name: field for name, field in shape.row.fields.items() if isinstance(field, Leaf)}
        self._formal = len(leaves) == len(shape.row.fields) and not shape.row.open  # nested fields have too many forms
        self._integers = frozenset(name for name, leaf in leaves.items() if leaf.integer)

    def _recognised(self, segment: bytes) -> Row | None:
        if not self._between_rows:
            return None
        try:
            parts = segment.decode().split(">")
        except UnicodeDecodeError:
            return None
        form = self._forms.get(tuple(parts[1::2]))
        if form is None or (texts := form.texts(parts)) is None:
            return None
        row: Row = dict(zip(form.names, texts, strict=True))
        if "" in texts:
            for name in form.nulls:
                if row[name] == "":
                    del row[name]
        if self.line_broken and "\n" in texts:
            row = {name: "" if text == "\n" else text for name, text in row.items()}
        for name in self._integers & row.keys() if self._integers else ():
            self._check_integer(name, row[name])
        self._count += 1
        return row

    def _parsed(self, segment: bytes) -> Sequence[Row]:
        between_rows, self.declares = self._between_rows, self.declares or b"xmlns" in segment
        rows = super()._parsed(segment)
        if rows and self._last is not None:
            self.declares = False
            if between_rows and len(rows) == 1 and self._formal and len(self._forms) < MOST_FORMS:
                self._learn(segment.rpartition(b"<")[0], self._last)
        return rows

    def _check_end(self, root: Element) -> None:
        reply = _payload(root, self.operation)
        if reply.tag != self._shape.reply:
            raise self.refusal(f"it answers with <{reply.tag}> instead of <{self._shape.reply}>")
        if [child.tag for child in reply] != [self._shape.result]:
            raise self.refusal(f"it does not contain one <{self._shape.result}>")
        if set(reply.attrib) - {f"{SOAP}encodingStyle"}:
            raise self.refusal(f"<{reply.tag}> has an attribute {min(map(str, reply.attrib))}")
        result = reply[0]
        unexpected = next((child for child in result if child is not self._last), None)
        if unexpected is not None:
            raise self.refusal(f"there is a <{unexpected.tag}> among the rows")
        if self._check_attributes(result, self._shape.type, array=True):
            raise self.refusal(f"<{result.tag}> is nil")
        if self._shape.counted or ARRAY_TYPE in result.attrib:
            kind = self._check_length(result, self._count)
            if self._qualified(result, kind) != self._shape.row.type:
                raise self.refusal(f"<{result.tag}> contains {kind}, not {self._shape.row.type}")

    def _row(self, element: Element) -> Row | None:
        parent = element.getparent()
        if parent is None or (parent is not self._result and not self._is_result(parent)):
            return None
        self._advance(element, parent)
        self._count += 1
        row = self.value(element, self._shape.row)
        if row is None or len(element) == 0:
            raise self.refusal("a row is empty")
        return cast("Row", row)

    def _is_result(self, element: Element) -> bool:
        """Return True for the element that contains the rows, in its place in the envelope, and remember it."""
        above = list(element.iterancestors())
        expected = [self._shape.result, self._shape.reply, SOAP + "Body", SOAP + "Envelope"]
        if self._result is not None or [element.tag, *(part.tag for part in above)] != expected:
            return False
        self._result = element
        self.namespaces = element.nsmap
        self.line_broken = above[-1].text == "\n"
        self._forms = self._memory.under(self.namespaces, line_broken=self.line_broken)
        return True

    def _learn(self, segment: bytes, element: Element) -> None:
        """Remember the form of a row that was parsed and passed every check."""
        parts = segment.decode(errors="replace").split(">")
        tags = tuple(parts[1::2])
        if any("nil" in tag for tag in tags):  # a nil field must be empty, which a form does not check
            return
        row = self._shape.row
        leaves = cast("Mapping[str, Leaf]", row.fields)
        names, nulls = [], []
        for field in element:
            names.append(field.tag)
            if self._is_null(field, leaves[names[-1]], optional=row.ordered and names[-1] not in row.required):
                nulls.append(names[-1])
        form = _Form.of(parts, names, nulls)
        if form:
            self._forms[tags] = form


@dataclass(frozen=True, slots=True)
class _Form:
    """The parts of a form of row, except the tags that it is looked up by.

    Attributes:
        names: of the fields, in order.
        nulls: the fields that are NULL, not an empty text, when they are empty.
        start: the start tag of the row.
        ends: each field's end tag. All tags are without their last character, a ">".
    """

    names: tuple[str, ...]
    nulls: Sequence[str]
    start: str
    ends: Sequence[str]

    @classmethod
    def of(cls, parts: Sequence[str], names: Sequence[str], nulls: Sequence[str]) -> _Form | None:
        """Return the form of a row, given its parts between ">" and the names of its fields; None if it has none.

        Unless a tag is that of an empty element, a field has two ">". If there are no more ">" than the fields need,
        none is part of a text, and every other part is a text with the beginning of its end tag.
        """
        if len(parts) != 2 * len(names) + 2 or any(part.endswith("/") for part in parts):
            return None
        return cls(tuple(names), nulls, parts[0], [part[part.rfind("</") :] for part in parts[2::2]])

    def texts(self, parts: Sequence[str]) -> Sequence[str] | None:
        """Return the texts of a row; None unless it has this form and its texts are plain.

        Args:
            parts: the row before its end tag, split at each ">"; the tags it is looked up by are already compared.
        """
        if parts[0] != self.start or len(parts) != 2 * len(self.ends) + 2:
            return None
        texts = list(map(str.removesuffix, parts[2::2], self.ends))
        joined = " ".join(texts)
        if "<" in joined or (not joined.isprintable() and _UNFIT.search(joined)):  # "<": also where an end tag differs
            return None
        return without_references(texts, joined)


def _payload(root: Element, operation: str) -> Element:
    """Return the one element in the body of an envelope."""
    soap = next((namespace for namespace in (SOAP, SOAP_12) if root.tag == namespace + "Envelope"), None)
    if soap is None:
        raise MalformedReplyError(
            f"{operation}: the reply is not a SOAP envelope but <{root.tag}>",
            remedy="isolate",
        )
    bodies = root.findall(soap + "Body")
    if len(bodies) != 1 or len(bodies[0]) != 1:
        raise MalformedReplyError(
            f"{operation}: the reply's envelope does not have one body with one element", remedy="isolate"
        )
    payload = bodies[0][0]
    if payload.tag == SOAP + "Fault":
        raise ReplyFaultError((payload.findtext("faultcode") or "").strip(), payload.findtext("faultstring") or "")
    if payload.tag == SOAP_12 + "Fault":
        code, reason = (payload.findtext(f"{SOAP_12}{path}") for path in ("Code/{*}Value", "Reason/{*}Text"))
        raise ReplyFaultError((code or "").strip(), reason or "")
    return payload
