"""XML-RPC, the oldest API of the shop, at its own address: one login, then `call` and `multiCall` by path.

The same sessions, rights and records as SOAP; lists take nested filters, which reach the collection as they are, and
give every column. Only what SOAP has too is answered; any other path is invalid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from magento_pager.fake import php, xmlrpc_wire
from magento_pager.fake.api import MEMORY_EXHAUSTED, PAGE_TYPE, REPLY_TYPE, Call, about, troubled, whole
from magento_pager.fake.attributes import ConfigurableType
from magento_pager.fake.declarations import Field
from magento_pager.fake.faults import PhpFatal, ShopFault
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.poison import poisoned, shallow
from magento_pager.fake.profiles import listing
from magento_pager.fake.tables import OLD_ORDER_NAMES
from magento_pager.fake.troubles import Troubled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from magento_pager.fake.api import Answer, Api, Context
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.php import Php
    from magento_pager.fake.profiles import Profile
    from magento_pager.fake.replies import Value
    from magento_pager.fake.settings import Settings
    from magento_pager.fake.xmlrpc_wire import Request

INVALID_PATH = ("3", "Invalid api path.")
INTERNAL_ERROR = "Internal Error. Please see log for details."
WRONG_ARGUMENTS = ("623", "Calling parameters do not match signature")

_SIGNATURES = {
    "login": (("string",), ("string", "string")),
    "startSession": ((),),
    "endSession": (("string",),),
    "call": (("string", "string"), ("string", "string", "array")),
    "multiCall": (("string",), ("string", "array"), ("string", "array", "array")),
}
"""The methods, and the types of arguments that each can be called with."""
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


_MIDDLE_NAMES_SINCE = (1, 9)
"""The first version that selects the middle names of an order's addresses."""


@dataclass(frozen=True, slots=True)
class XmlRpc:
    """The XML-RPC side of a shop.

    Attributes:
        api: what it shares with SOAP.
    """

    api: Api

    def answer(self, body: bytes, context: Context) -> Answer:
        """Answer one request. Its faults are HTTP 200, too."""
        call, profile = Call(""), context.settings.profile
        try:
            request = xmlrpc_wire.read(body)
            call = Call(request.method)
            result, rows = self._called(request, context.settings)
            if context.settings.nested_arrays_lost:
                result = shallow(result)
            self.api.take_time(rows, context)
            call = replace(call, rows=rows)
            text = xmlrpc_wire.reply(result, profile)
        except ShopFault as fault:
            if not fault.code.lstrip("-").isdecimal():  # PHP's own: there is nobody left to write a fault
                return whole(fault.status, PAGE_TYPE, b"", replace(call, fault=fault.code))
            text = xmlrpc_wire.fault(int(fault.code), fault.text, profile)
            call = replace(call, fault=fault.code)
        except PhpFatal as fatal:
            return whole(fatal.status, PAGE_TYPE, fatal.body.encode(), replace(call, fault="fatal"))
        except Troubled:
            return troubled(self.answer(body, context.without_trouble()), context.settings.trouble)
        return whole(200, REPLY_TYPE, text.encode("utf-8", "surrogateescape"), call)

    def _called(self, request: Request, settings: Settings) -> tuple[Value, int]:
        """The result of a method, and how many rows or records are in it."""
        if request.method not in _SIGNATURES:
            raise ShopFault("620", f'Method "{request.method}" does not exist')
        if request.types not in _SIGNATURES[request.method]:
            raise ShopFault(*WRONG_ARGUMENTS)
        arguments = [*request.arguments, *[None] * 3]
        session = None if arguments[0] is None else php.text(arguments[0])
        if request.method == "login":
            return self.api.login(session, None if arguments[1] is None else php.text(arguments[1]), settings), 0
        if request.method == "startSession":
            return self.api.start_session(settings), 0
        if request.method == "endSession":
            self.api.sessions.end(session or "")
            return True, 0
        self.api.admit(session, settings)
        configurable = ConfigurableType()
        given = arguments[1 + (request.method == "call")]
        members = given if isinstance(given, list) else []
        if request.method == "call":
            return self._by_path(php.text(arguments[1]), members, settings, configurable)
        results = [self._element(one, settings, configurable) for one in members]
        return [result for result, _ in results], sum(rows for _, rows in results)

    def _element(self, call: Php, settings: Settings, configurable: ConfigurableType) -> tuple[Value, int]:
        """One element of a `multiCall`: a path and its arguments. Its fault stands among the results."""
        parts = dict(enumerate(call)) if isinstance(call, list) else {}
        if isinstance(call, dict):
            parts = {place: call.get(str(place)) for place in (0, 1)}
        if isinstance(parts.get(0), list | dict):
            raise PhpFatal("explode(): Argument #2 ($string) must be of type string, array given")
        path, given = php.text(parts.get(0, "")), parts.get(1)
        try:
            return self._by_path(path, [] if given is None else given, settings, configurable)
        except ShopFault as fault:
            text = INTERNAL_ERROR if fault.code == "1" else fault.text  # only a single call tells what happened
            return {"isFault": True, "faultCode": fault.code, "faultMessage": text}, 0

    def _by_path(self, path: str, given: Php, settings: Settings, configurable: ConfigurableType) -> tuple[Value, int]:
        """The result of `resource.method`; more words behind these two do no harm.

        Args:
            path: which.
            given: the arguments: a list of them, or a single one.
            settings: of the shop.
            configurable: what this request remembers of configurable products.
        """
        profile = settings.profile
        resource, method, *_ = *path.split("."), "", ""
        if (about_what := _ABOUT.get(f"{resource}.{method}")) is not None:
            return about(about_what, profile), 1
        book = resource == "customer_address"
        name = "customers" if book else _LISTS.get(resource, "")
        methods = {"list", "info"} if name and LISTINGS[name].details else {"list"}
        if name not in profile.lists or method not in methods:
            raise ShopFault(*INVALID_PATH)
        self.api.permit(name, settings)
        if given == [] and not profile.php5 and (method == "info" or name == "customers"):
            raise PhpFatal(f"Too few arguments to function {method}(), 0 passed")
        if method == "list" and not book:
            filters, store = _positional(given, "filters", "store")
            rows = list(self._entries(name, filters, store, settings))
            if 0 < settings.memory_limit_rows < len(rows):
                raise PhpFatal(MEMORY_EXHAUSTED)
            return rows, len(rows)
        key, second, _, identifier = _positional(given, "", "", "", "")
        number = None if key is None else php.text(key)
        if book:
            if method == "list" and settings.meets("customers", number):
                raise Troubled
            return self.api.addresses(number) if method == "list" else self.api.address(number), 1
        kind = None if identifier is None else php.text(identifier)
        found = self.api.record(name, number, settings, kind, configurable)
        if name == "customers" and isinstance(second, list):  # the second argument: which attributes
            found = {field: value for field, value in found.items() if field in {"customer_id", *map(php.text, second)}}
        return found, 1

    def _entries(self, name: str, filters: Php, store: Php, settings: Settings) -> Iterator[Mapping[str, Value]]:
        """The rows of a list, each with all of its columns, NULLs included; customers have only what is not NULL."""
        asked = _with_everything(listing(name, settings.profile), settings.profile)
        found = self.api.tables.select(
            settings.profile, "rpc", asked, (), (), store=php.text(store), nested={} if filters is None else filters
        )
        columns = asked.columns
        for row in poisoned(found, asked, settings, self.api.troubled(listing(name, settings.profile), settings)):
            entry = dict(zip(columns, row, strict=True))
            if name == "customers":
                entry = {field: value for field, value in entry.items() if value is not None}
            elif name == "orders":
                entry |= {old: entry[new] for old, new in OLD_ORDER_NAMES.items()}
            yield entry


def _positional(given: Php, *names: str) -> list[Php]:
    """The arguments of a method with parameters of these names: from a list, a single value, or by name.

    >>> _positional({"store": 1}, "filters", "store"), _positional("abc", "filters", "store"), _positional([1, 2], "x")
    ([None, 1], ['abc', None], [1])
    """
    if isinstance(given, dict) and not all(map(str.isdecimal, given)):
        if unknown := given.keys() - set(names):
            raise PhpFatal(f"Unknown named parameter ${min(unknown)}")
        return [given.get(name) for name in names]
    members = list(given.values()) if isinstance(given, dict) else given if isinstance(given, list) else [given]
    return [*members, *[None] * len(names)][: len(names)]


def _with_everything(asked: Listing, profile: Profile) -> Listing:
    """The list with all that the shop selects, declared in the WSDL or not. Of sales lists the id comes last.

    >>> from magento_pager.fake.profiles import profile
    >>> _with_everything(LISTINGS["shipments"], profile("20.0.20")).columns
    ('increment_id', 'created_at', 'total_qty', 'shipment_id')
    """
    if asked.renamed:
        return asked
    known = asked.attributes
    if known is None:
        names = [*(asked.selected or (*asked.table.columns, *asked.joined)), asked.key_field]
    else:
        names = [*asked.columns, *(one for one in asked.table.columns if one in known.static | known.joined)]
    hidden = {"entity_id"}
    if known is None and profile.version < _MIDDLE_NAMES_SINCE:
        hidden.add("middlename")
    return replace(asked, fields=tuple(Field(one) for one in dict.fromkeys(names) if one not in hidden))
