"""Records: one row in full, requested by SOAP or XML-RPC, in the form that the WSDL promises.

What lives here: the call for one record, the call for many, and the check that a reply contains the requested records.
`details` decides which records to request, and what to do about one that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from magento_pager.errors import FaultError, MalformedReplyError, RemoteError
from magento_pager.shop.decoding import Anything, Array, Leaf, Struct, is_list
from magento_pager.shop.failures import LostListError, fault_error
from magento_pager.walk.isolation import MOST_SKIPPED_IN_A_ROW
from magento_pager.walk.ranges import MAX_ID
from magento_pager.walk.reading import refusals_saved

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from magento_pager.lists import RecordCall
    from magento_pager.shop.connection import Connection
    from magento_pager.shop.decoding import Shape
    from magento_pager.shop.xmlrpc import Argument
    from magento_pager.walk.flows import Answer, Record

OF_ALL_RECORDS = frozenset({"2", "3", "4", "5", "6", "WSDL", "Sender", "env:VersionMismatch"})
"""Codes of faults that do not concern a single record: the session, a right, the call itself."""

_XSD = "{http://www.w3.org/2001/XMLSchema}"
_WHOLE = re.compile(r"\s*([+-]?)0*([0-9]*)", re.ASCII)
_MAX_INT = (1 << 63) - 1  # PHP's highest int


def as_declared(value: Any, declared: Shape, *, tells_empty: bool = True) -> Any:
    """Convert a value of SOAP or XML-RPC to the form of rows: the texts that SOAP sends, in lists and dicts.

    A NULL is an absent key, and so is an empty record, such as the shipping address of an order without one. A list is
    always present, and may be empty. Fields that the WSDL does not declare are dropped.

    Args:
        value: as decoded from SOAP or XML-RPC.
        declared: the shape of the value by the WSDL.
        tells_empty: this server's SOAP writes an empty text as a line break, as from 1.8 on; before that it is an
            absent key, as a NULL is, in the fields that WS-I requires.

    Raises:
        MalformedReplyError: the WSDL declares a record or a list, and the value is something else.

    >>> number, text = Leaf(f"{_XSD}int", integer=True), Leaf(f"{_XSD}string")
    >>> address = Struct("address", {"city": text, "region_id": number, "fax": text}, ordered=False)
    >>> as_declared([{"city": "Bonn", "region_id": None, "fax": "", "vat": "x"}], Array("addresses", address))
    [{'city': 'Bonn', 'fax': ''}]
    >>> as_declared({"1": {"city": True, "region_id": "7 of 9"}}, Array("addresses", address), tells_empty=False)
    [{'city': '1', 'region_id': '7'}]
    """
    if isinstance(declared, Anything):
        return _undeclared(value)
    if isinstance(declared, Array):
        return _list(value, declared.item, tells_empty=tells_empty)
    if isinstance(declared, Struct) and is_list(declared):
        ((name, item),) = declared.fields.items()
        inner = value[name] if isinstance(value, Mapping) and value.keys() == {name} else value
        return _list(inner, item, tells_empty=tells_empty)
    if value is None:
        return None
    if isinstance(declared, Leaf):
        return _text(value, declared, tells_empty=tells_empty)
    if value == []:
        value = {}  # PHP does not distinguish them
    if not isinstance(value, Mapping):
        raise _wrong_kind(value, "record")
    shapes = declared.fields.items()
    fields = {name: as_declared(value.get(name), shape, tells_empty=tells_empty) for name, shape in shapes}
    blank = () if tells_empty else declared.required  # for these SOAP sends the same for "" and NULL
    present = {name: part for name, part in fields.items() if part is not None and (part != "" or name not in blank)}
    return present or None


def _undeclared(value: Any) -> Any:
    """Convert a value without a declared type to the texts that SOAP sends.

    >>> _undeclared({"a": [True, "1.5"], "b": None})
    {'a': ['true', '1.5']}
    """
    if isinstance(value, Mapping):
        return {name: item for name, part in value.items() if (item := _undeclared(part)) is not None}
    if isinstance(value, list):
        return [_undeclared(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else value


def _list(value: Any, item: Shape, *, tells_empty: bool) -> list[Any]:
    """Convert a list. PHP's lists are maps, and are sent with their keys unless those are 0, 1, 2 and so on."""
    if not isinstance(value, Mapping | list | None):
        raise _wrong_kind(value, "list")
    values = value.values() if isinstance(value, Mapping) else value or ()
    parts = [as_declared(item_value, item, tells_empty=tells_empty) for item_value in values]
    if isinstance(item, Struct) and None in parts:
        raise MalformedReplyError("a record in a list is empty", remedy="isolate")
    return [part for part in parts if part is not None]


def _wrong_kind(value: Any, declared: str) -> MalformedReplyError:
    """Return the error for a single value instead of a declared list or record."""
    if value == "Array":  # PHP's text for a list
        return LostListError("XML-RPC", f"the reply has the text 'Array' instead of a {declared}")
    kinds: Mapping[type, str] = {str: "text", dict: "record"}
    kind = kinds.get(type(value), type(value).__name__)
    return MalformedReplyError(f"the reply has a {kind} instead of a {declared}", remedy="isolate")


def _text(value: Any, declared: Leaf, *, tells_empty: bool) -> str:
    """Convert a single value of XML-RPC to the text that PHP writes for SOAP."""
    if declared.type == f"{_XSD}boolean":
        return "false" if not value or (isinstance(value, str) and value in {"0", "false"}) else "true"
    if isinstance(value, bool):
        value = "1" if value else ""
    text = value if isinstance(value, str) else "Array"  # PHP's text for a list
    if declared.integer:
        sign, digits = _WHOLE.match(text).groups()  # type: ignore[union-attr]  # it matches any text
        return str(max(-_MAX_INT - 1, min(_MAX_INT, int(f"{sign}{digits[:20] or 0}"))))
    if declared.type == f"{_XSD}double":
        with suppress(ValueError):
            return f"{float(text):.14G}"
        return "0"
    return "" if tells_empty and text == "\n" else text


@dataclass(frozen=True, slots=True)
class SoapRecords:
    """One record by one call of SOAP."""

    connection: Connection
    part: RecordCall
    name: str = "soap"

    def fetch(self, keys: Sequence[str], *, repair: bool = False) -> list[Answer]:
        """Request the only key."""
        (key,) = keys
        try:
            value = self.connection.record(self.part.soap, key, right=self.part.right, repair=repair)
        except FaultError as fault:
            if fault.remedy == "retry" or fault.code in OF_ALL_RECORDS or "not present" in fault.text:
                raise
            return [_about_one(fault)]
        with refusals_saved(self.connection):
            return [_checked(value, key, self.part, self.connection)]


@dataclass(frozen=True, slots=True)
class XmlRpcRecords:
    """Many records by one call of XML-RPC."""

    connection: Connection
    part: RecordCall
    name: str = "xml-rpc"

    def fetch(self, keys: Sequence[str], *, repair: bool = False) -> list[Answer]:
        """Request all keys at once."""
        calls = [call for key in keys for call in self._calls(key)]
        with refusals_saved(self.connection):
            results = iter(self.connection.multi_call(calls, right=self.part.right, repair=repair))
            answers = [self._answer(key, [next(results) for _ in self._calls(key)]) for key in keys]
            if many_failed(answers, self.part):  # for instance because the database stopped during the call
                reason = f"{self.part.xmlrpc}: too many records cannot be read ({answers[-1]})"
                raise RemoteError(reason, remedy="retry")
        return answers

    def _calls(self, key: str) -> list[tuple[str, Sequence[Argument]]]:
        """Return the calls for one key; a result without its key is requested before and after one with it."""
        call = (self.part.xmlrpc, (key, *self.part.arguments))
        return [call, (self.part.echo, (key, [])), call] if self.part.echo else [call]  # no attributes but the id

    def _answer(self, key: str, results: Sequence[Any]) -> Answer:
        faults = [self._fault(result) for result in results if isinstance(result, dict) and result.get("isFault")]
        if faults:
            return faults[0]
        answer, *same = (_checked(result, key, self.part, self.connection) for result in results[::2])
        for echo in results[1::2]:
            named = echo.get(self.part.key) if isinstance(echo, dict) else None
            if named != key:
                raise wrong_record(self.part, key, named)
            if same != [answer]:
                raise wrong_record(self.part, key, "two different lists")
        return answer

    def _fault(self, result: Mapping[str, Any]) -> RemoteError:
        """Return a fault about one record; raise one that is about all."""
        code, text = (str(result.get(name) or "") for name in ("faultCode", "faultMessage"))
        fault = fault_error(code, text, self.part.xmlrpc, self.part.right)
        if fault.remedy == "retry" or code in OF_ALL_RECORDS:
            raise fault
        return _about_one(fault)


def _checked(value: Any, key: str, part: RecordCall, connection: Connection) -> Record:
    """Return a value in its declared form; raise an error if it is not the requested record."""
    shape = connection.record_shape(part.soap)
    record: Record | None = as_declared(value, shape, tells_empty=connection.tells_empty)
    if record is None or isinstance(record, list) != (part.into is not None):
        raise MalformedReplyError(f"{part.soap}: the record of {part.key} {key} is empty", remedy="isolate")
    if isinstance(record, dict) and record.get(part.key) != key:
        raise wrong_record(part, key, record.get(part.key))
    if isinstance(record, list) and not all(0 < number <= MAX_ID for number in address_ids(record)):
        raise MalformedReplyError(f"{part.soap}: an address of {part.key} {key} has no id", remedy="isolate")
    return record


def wrong_record(part: RecordCall, key: str, named: object) -> RemoteError:
    """Return the error for a reply with another record."""
    return RemoteError(
        f"{part.soap}: {part.key} {key} was requested, and the shop returned {str(named)[:50]}", remedy="isolate"
    )


def address_ids(addresses: Iterable[Mapping[str, str]]) -> list[int]:
    """Return the ids of addresses; 0 for one without an id."""
    return [int(address.get("customer_address_id", "0")) for address in addresses]


def _about_one(fault: RemoteError) -> RemoteError:
    """Return a fault about one record, with a remedy that does not affect other records."""
    fault.remedy = "isolate" if fault.remedy == "stop" else fault.remedy
    return fault


def is_deleted(answer: Answer, part: RecordCall) -> bool:
    """Return whether the answer says that the record does not exist."""
    return isinstance(answer, FaultError) and answer.code == part.missing


def many_failed(answers: Collection[Answer], part: RecordCall) -> bool:
    """Return whether so many of the last answers failed that the server is failing; deleted records do not count."""
    latest = islice(reversed(list(answers)), MOST_SKIPPED_IN_A_ROW)
    failed = [isinstance(answer, RemoteError) and not is_deleted(answer, part) for answer in latest]
    return len(failed) == MOST_SKIPPED_IN_A_ROW and all(failed)
