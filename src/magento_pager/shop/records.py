"""Records: what the shop says of one row in full, in either of two ways, in the form that the WSDL promises.

What lives here: the call for one record and the call for many, and the check that a reply is about what was asked for.
Which records are wanted, and what becomes of one that does not come, is known to `details`.
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
"""Codes of faults that are no matter of one record: the session, a right, the call itself."""

_XSD = "{http://www.w3.org/2001/XMLSchema}"
_WHOLE = re.compile(r"\s*([+-]?)0*([0-9]*)", re.ASCII)
_MOST = (1 << 63) - 1  # PHP's greatest int, where it stops counting


def fitted(value: Any, promised: Shape, *, tells_empty: bool = True) -> Any:
    """A value of either way in the one form that rows have: the texts that SOAP sends, in lists and dicts.

    A NULL is an absent key, and so is an empty record, such as the shipping address of an order without one; a list is
    always there, and empty where the shop has none. What the WSDL does not promise is left out.

    Args:
        value: as decoded from SOAP or XML-RPC.
        promised: what the WSDL says of it.
        tells_empty: this server's SOAP writes an empty text as a line break, as from 1.8 on; before that it is an
            absent key, as a NULL is, in the fields that WS-I requires.

    Raises:
        MalformedReplyError: a record or a list is promised, and the value is something else.

    >>> number, text = Leaf(f"{_XSD}int", integer=True), Leaf(f"{_XSD}string")
    >>> address = Struct("address", {"city": text, "region_id": number, "fax": text}, ordered=False)
    >>> fitted([{"city": "Bonn", "region_id": None, "fax": "", "vat": "x"}], Array("addresses", address))
    [{'city': 'Bonn', 'fax': ''}]
    >>> fitted({"1": {"city": True, "region_id": "7 of 9"}}, Array("addresses", address), tells_empty=False)
    [{'city': '1', 'region_id': '7'}]
    """
    if isinstance(promised, Anything):
        return _as_it_is(value)
    if isinstance(promised, Array):
        return _fitted_list(value, promised.item, tells_empty=tells_empty)
    if isinstance(promised, Struct) and is_list(promised):
        ((name, item),) = promised.fields.items()
        inner = value[name] if isinstance(value, Mapping) and value.keys() == {name} else value
        return _fitted_list(inner, item, tells_empty=tells_empty)
    if value is None:
        return None
    if isinstance(promised, Leaf):
        return _text(value, promised, tells_empty=tells_empty)
    if value == []:
        value = {}  # which PHP cannot tell apart
    if not isinstance(value, Mapping):
        raise _misfit(value, "record")
    fields = {name: fitted(value.get(name), field, tells_empty=tells_empty) for name, field in promised.fields.items()}
    blank = () if tells_empty else promised.required  # where SOAP sends an empty text as it sends NULL
    return {name: one for name, one in fields.items() if one is not None and (one != "" or name not in blank)} or None


def _as_it_is(value: Any) -> Any:
    """A value of no promised type, with the texts that SOAP sends.

    >>> _as_it_is({"a": [True, "1.5"], "b": None})
    {'a': ['true', '1.5']}
    """
    if isinstance(value, Mapping):
        return {name: found for name, one in value.items() if (found := _as_it_is(one)) is not None}
    if isinstance(value, list):
        return [_as_it_is(one) for one in value]
    return str(value).lower() if isinstance(value, bool) else value


def _fitted_list(value: Any, item: Shape, *, tells_empty: bool) -> list[Any]:
    """The members of a list; PHP's lists are maps, and come with their keys where those are not 0, 1, 2 and so on."""
    if not isinstance(value, Mapping | list | None):
        raise _misfit(value, "list")
    values = value.values() if isinstance(value, Mapping) else value or ()
    parts = [fitted(one, item, tells_empty=tells_empty) for one in values]
    if isinstance(item, Struct) and None in parts:
        raise MalformedReplyError("a record in a list is empty", remedy="isolate")
    return [part for part in parts if part is not None]


def _misfit(value: Any, promised: str) -> MalformedReplyError:
    """What a single value means where a list or a record is promised."""
    if value == "Array":  # which is what PHP makes of one
        return LostListError("XML-RPC", f"the text 'Array' came instead of a {promised}")
    kinds: Mapping[type, str] = {str: "text", dict: "record"}
    kind = kinds.get(type(value), type(value).__name__)
    return MalformedReplyError(f"a {kind} came instead of a {promised}", remedy="isolate")


def _text(value: Any, promised: Leaf, *, tells_empty: bool) -> str:
    """A single value as PHP writes it for SOAP, whatever it was for XML-RPC."""
    if promised.type == f"{_XSD}boolean":
        return "false" if not value or (isinstance(value, str) and value in {"0", "false"}) else "true"
    if isinstance(value, bool):
        value = "1" if value else ""
    text = value if isinstance(value, str) else "Array"  # which is what PHP makes of one
    if promised.integer:
        sign, digits = _WHOLE.match(text).groups()  # type: ignore[union-attr]  # it matches any text
        return str(max(-_MOST - 1, min(_MOST, int(f"{sign}{digits[:20] or 0}"))))
    if promised.type == f"{_XSD}double":
        with suppress(ValueError):
            return f"{float(text):.14G}"
        return "0"
    return "" if tells_empty and text == "\n" else text


@dataclass(frozen=True, slots=True)
class SoapRecords:
    """One record by one call."""

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
    """Many records by one call."""

    connection: Connection
    part: RecordCall
    name: str = "xml-rpc"

    def fetch(self, keys: Sequence[str], *, repair: bool = False) -> list[Answer]:
        """Request all keys at once."""
        calls = [call for key in keys for call in self._calls(key)]
        with refusals_saved(self.connection):
            results = iter(self.connection.multi_call(calls, right=self.part.right, repair=repair))
            answers = [self._answer(key, [next(results) for _ in self._calls(key)]) for key in keys]
            if many_failed(answers, self.part):  # such as when the database went away amid the call
                words = f"{self.part.xmlrpc}: too many records cannot be read ({answers[-1]})"
                raise RemoteError(words, remedy="retry")
        return answers

    def _calls(self, key: str) -> list[tuple[str, Sequence[Argument]]]:
        """Return the calls for one key; what names no record is asked for before and after what does."""
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
                raise another(self.part, key, named)
            if same != [answer]:
                raise another(self.part, key, "two different lists")
        return answer

    def _fault(self, result: Mapping[str, Any]) -> RemoteError:
        """Return a fault about one record; raise one that is about all."""
        code, text = (str(result.get(name) or "") for name in ("faultCode", "faultMessage"))
        fault = fault_error(code, text, self.part.xmlrpc, self.part.right)
        if fault.remedy == "retry" or code in OF_ALL_RECORDS:
            raise fault
        return _about_one(fault)


def _checked(value: Any, key: str, part: RecordCall, connection: Connection) -> Record:
    """A value in its form; an error where it is not what was asked for."""
    shape = connection.record_shape(part.soap)
    found: Record | None = fitted(value, shape, tells_empty=connection.tells_empty)
    if found is None or isinstance(found, list) != (part.into is not None):
        raise MalformedReplyError(f"{part.soap}: the record of {part.key} {key} is empty", remedy="isolate")
    if isinstance(found, dict) and found.get(part.key) != key:
        raise another(part, key, found.get(part.key))
    if isinstance(found, list) and not all(0 < number <= MAX_ID for number in address_ids(found)):
        raise MalformedReplyError(f"{part.soap}: an address of {part.key} {key} has no id", remedy="isolate")
    return found


def another(part: RecordCall, key: str, named: object) -> RemoteError:
    """Return the error that a reply about another record is."""
    return RemoteError(
        f"{part.soap}: asked for {part.key} {key}, the shop answered with {str(named)[:50]}", remedy="isolate"
    )


def address_ids(found: Iterable[Mapping[str, str]]) -> list[int]:
    """Return the ids of addresses; 0 where one has none."""
    return [int(one.get("customer_address_id", "0")) for one in found]


def _about_one(fault: RemoteError) -> RemoteError:
    """Return a fault that says nothing of other records, as such."""
    fault.remedy = "isolate" if fault.remedy == "stop" else fault.remedy
    return fault


def is_gone(answer: Answer, part: RecordCall) -> bool:
    """Return whether the record is not there any more."""
    return isinstance(answer, FaultError) and answer.code == part.missing


def many_failed(answers: Collection[Answer], part: RecordCall) -> bool:
    """Return whether the last answers are so many failures that the server is unwell; deleted records are none."""
    latest = islice(reversed(list(answers)), MOST_SKIPPED_IN_A_ROW)
    failed = [isinstance(answer, RemoteError) and not is_gone(answer, part) for answer in latest]
    return len(failed) == MOST_SKIPPED_IN_A_ROW and all(failed)
