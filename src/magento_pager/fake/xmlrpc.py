"""XML-RPC, the oldest API of the shop, at its own address: one login, then `call` and `multiCall` by path.

The same sessions, rights and records as SOAP; lists take nested filters, which no parser spoils, and give every column.
Only what SOAP has too is answered; any other path is not callable.
"""

from __future__ import annotations

import re
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from magento_pager.fake.api import PAGE_TYPE, REPLY_TYPE, Call, about, troubled, whole
from magento_pager.fake.attributes import ConfigurableType
from magento_pager.fake.declarations import Field
from magento_pager.fake.faults import PhpFatal, ShopFault
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.poison import poisoned, shallow
from magento_pager.fake.profiles import Parser, listing
from magento_pager.fake.replies import legible
from magento_pager.fake.troubles import Troubled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.fake.api import Answer, Api, Context
    from magento_pager.fake.profiles import Profile
    from magento_pager.fake.replies import Value
    from magento_pager.fake.settings import Settings

INVALID_PATH = ("3", "Invalid api path.")
NOT_CALLABLE = ("4", "Resource path is not callable.")
INTERNAL_ERROR = "Internal Error. Please see log for details."
NO_METHOD = ("620", "Method does not exist")
UNREADABLE = ("631", "Failed to parse request")

_BETWEEN_TAGS = re.compile(r">\n<(?!/string>)")
_LISTS = {
    name: one.name
    for one in LISTINGS.values()
    for name in (one.resource, one.resource.removeprefix("sales_").removeprefix("catalog_"))
}
"""The lists by the resource they belong to, under its full and its short name."""
_ABOUT = {
    "core_magento.info": "magentoInfo",
    "magento.info": "magentoInfo",
    "core_store.list": "storeList",
    "store.list": "storeList",
}


@dataclass(frozen=True, slots=True)
class XmlRpc:
    """The XML-RPC side of a shop.

    Attributes:
        api: what it shares with SOAP.
    """

    api: Api

    def answer(self, body: bytes, context: Context) -> Answer:
        """Answer one request. Its faults are HTTP 200, too."""
        call = Call("")
        try:
            method, arguments = _read(body)
            call = Call(method)
            result, rows = self._called(method, arguments, context.settings)
            if context.settings.nested_arrays_lost:
                result = shallow(result)
            self.api.take_time(rows, context)
            call = replace(call, rows=rows)
            text = _dumped((result,))
        except ShopFault as fault:
            code = int(fault.code) if fault.code.isdecimal() else 1
            text = _dumped(xmlrpc.client.Fault(code, fault.text))
            call = replace(call, fault=fault.code)
        except PhpFatal as fatal:
            return whole(fatal.status, PAGE_TYPE, fatal.body.encode(), replace(call, fault="fatal"))
        except Troubled:
            return troubled(self.answer(body, context.without_trouble()), context.settings.trouble)
        return whole(200, REPLY_TYPE, text.encode(), call)

    def _called(self, method: str, arguments: Sequence[Any], settings: Settings) -> tuple[Any, int]:
        """The result of a method, and how many rows or records are in it."""
        session = _nth(arguments, 0)
        if method == "login":
            return self.api.login(session, _nth(arguments, 1), settings), 0
        if method == "startSession":
            return self.api.start_session(settings), 0
        if method == "endSession":
            self.api.sessions.end(str(session))
            return True, 0
        if method not in {"call", "multiCall"}:
            raise ShopFault(*NO_METHOD)
        self.api.admit(session, settings)
        configurable = ConfigurableType()
        if method == "call":
            return self._by_path(str(_nth(arguments, 1)), _nth(arguments, 2), settings, configurable)
        results = [self._element(one, settings, configurable) for one in _nth(arguments, 1) or ()]
        return [result for result, _ in results], sum(rows for _, rows in results)

    def _element(self, call: Any, settings: Settings, configurable: ConfigurableType) -> tuple[Any, int]:
        """One element of a `multiCall`: a path, or a path and its arguments. Its fault stands among the results."""
        parts = [call] if isinstance(call, str) else call
        try:
            return self._by_path(str(_nth(parts, 0)), _nth(parts, 1), settings, configurable)
        except ShopFault as fault:
            text = INTERNAL_ERROR if fault.code == "1" else fault.text  # only a single call tells what happened
            return {"isFault": True, "faultCode": fault.code, "faultMessage": text}, 0

    def _by_path(
        self, path: str, arguments: Any, settings: Settings, configurable: ConfigurableType
    ) -> tuple[Any, int]:
        """The result of `resource.method`; arguments that are no list stand for a list of one."""
        profile = settings.profile
        given = arguments if isinstance(arguments, list) else [arguments]
        first, store = _nth(given, 0), _nth(given, 1)
        key = None if first is None else str(first)
        if path in _ABOUT:
            return _sent(about(_ABOUT[path], profile), profile), 1
        resource, _, method = path.rpartition(".")
        if resource == "customer_address" and method in {"list", "info"}:
            self.api.permit("customers", settings)
            if method == "list" and settings.meets("customers", key):
                raise Troubled
            return _sent(self.api.addresses(key) if method == "list" else self.api.address(key), profile), 1
        name = _LISTS.get(resource)
        if name is None or name not in profile.lists:
            raise ShopFault(*INVALID_PATH)
        if method != "list" and (method != "info" or not LISTINGS[name].details):
            raise ShopFault(*NOT_CALLABLE)
        self.api.permit(name, settings)
        if method == "info":
            found = self.api.record(name, key, settings, _nth(given, 3), configurable)
            if name == "customers" and isinstance(store, list):  # the second argument: which attributes
                found = {field: value for field, value in found.items() if field in {"customer_id", *store}}
            return _sent(found, profile), 1
        rows = [_sent(one, profile) for one in self._entries(name, first, str(store or ""), settings)]
        return rows, len(rows)

    def _entries(self, name: str, filters: Any, store: str, settings: Settings) -> Iterator[Mapping[str, Value]]:
        """The rows of a list, each with all of its columns, NULLs included."""
        profile = settings.profile
        asked = listing(name, profile)
        if not asked.selected:  # the shop gives all that the table has
            more = (one for one in asked.table.columns if one not in {"entity_id", *asked.columns})
            asked = replace(asked, fields=(*asked.fields, *map(Field, more)))
        simple, complex_ = _conditions(filters)
        plainly = replace(profile, parser=Parser.MERGED, parsers={}, splits_lists=True)
        rows = self.api.tables.select(plainly, "rpc", asked, simple, complex_, store=store)
        for row in poisoned(rows, asked, settings, self.api.troubled(listing(name, profile), settings)):
            yield dict(zip(asked.columns, row, strict=True))


def _read(body: bytes) -> tuple[str, Sequence[Any]]:
    """The method of a request and its arguments."""
    try:
        arguments, method = xmlrpc.client.loads(body)
    except (ExpatError, ValueError, xmlrpc.client.Error):
        raise ShopFault(*UNREADABLE) from None
    if method is None:
        raise ShopFault(*UNREADABLE)
    return method, arguments


def _dumped(result: Any) -> str:
    """A reply, without line breaks between tags as PHP has none. A carriage return goes out as a reference."""
    text = xmlrpc.client.dumps(result, methodresponse=True, allow_none=True, encoding="UTF-8")
    return _BETWEEN_TAGS.sub("><", text.replace("\r", "&#13;"))


def _sent(value: Value, profile: Profile) -> Value:
    """A value as XML-RPC sends it. An empty record is an empty list: PHP does not tell them apart.

    Numbers from the database are text, as PHP's driver gave them up to 8.0; the newest version runs on 8.2.

    >>> from magento_pager.fake.profiles import profile
    >>> _sent({"store_id": 2, "is_active": True, "address": {}}, profile("1.8.1.0"))
    {'store_id': '2', 'is_active': True, 'address': []}
    >>> _sent({"store_id": 2}, profile("20.0.20"))
    {'store_id': 2}
    """
    if isinstance(value, Mapping):
        return {name: _sent(one, profile) for name, one in value.items()} if value else []
    if isinstance(value, list | tuple):
        return [_sent(one, profile) for one in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and profile.version >= (20,) and value <= xmlrpc.client.MAXINT:
        return value
    return legible(str(value) if isinstance(value, int | float) else value, profile)


def _conditions(filters: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
    """Nested filters as pairs and triples: field to value, or field to values by operator.

    >>> _conditions({"status": "new", "entity_id": {"from": 1, "to": 9}, "store_id": {"in": [1, 2]}})
    ([('status', 'new')], [('entity_id', 'from', '1'), ('entity_id', 'to', '9'), ('store_id', 'in', '1,2')])
    """
    simple, complex_ = [], []
    for field, condition in filters.items() if isinstance(filters, Mapping) else ():
        if not isinstance(condition, Mapping):
            simple.append((field, str(condition)))
            continue
        for operator, value in condition.items():
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            complex_.append((field, operator, text))
    return simple, complex_


def _nth(values: Any, number: int) -> Any:
    """A member of a list, None where it ends before.

    >>> _nth(["a"], 0), _nth(["a"], 1)
    ('a', None)
    """
    return values[number] if isinstance(values, Sequence) and len(values) > number else None
