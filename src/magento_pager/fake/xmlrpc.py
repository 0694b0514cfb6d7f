"""XML-RPC, the oldest API of the shop, at its own address: one login, then `call` and `multiCall` by path.

The same sessions, rights and records as SOAP. Lists take nested filters, which are passed to the collection unchanged,
and return every column. Only paths with an operation in SOAP are answered; any other path is invalid.
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
"""The methods, and the types of arguments that each accepts."""
_LISTS = {
    resource: listing_.name
    for listing_ in LISTINGS.values()
    for resource in (listing_.resource, listing_.resource.removeprefix("sales_").removeprefix("catalog_"))
}
"""The lists by their resource, under its full and its short name."""
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
    """The XML-RPC API of a shop.

    Attributes:
        api: the part that it shares with SOAP.
    """

    api: Api

    def answer(self, body: bytes, context: Context) -> Answer:
        """Answer one request. Faults have HTTP status 200, too."""
        call, profile = Call(""), context.settings.profile
        try:
            request = xmlrpc_wire.read(body)
            call = Call(request.method)
            result, rows = self._call(request, context.settings)
            if context.settings.nested_arrays_lost:
                result = shallow(result)
            self.api.take_time(rows, context)
            call = replace(call, rows=rows)
            text = xmlrpc_wire.reply(result, profile)
        except ShopFault as fault:
            if not fault.code.lstrip("-").isdecimal():  # of PHP itself: nothing can write a fault any more
                return whole(fault.status, PAGE_TYPE, b"", replace(call, fault=fault.code))
            text = xmlrpc_wire.fault(int(fault.code), fault.text, profile)
            call = replace(call, fault=fault.code)
        except PhpFatal as fatal:
            return whole(fatal.status, PAGE_TYPE, fatal.body.encode(), replace(call, fault="fatal"))
        except Troubled:
            return troubled(self.answer(body, context.without_trouble()), context.settings.trouble)
        return whole(200, REPLY_TYPE, text.encode("utf-8", "surrogateescape"), call)

    def _call(self, request: Request, settings: Settings) -> tuple[Value, int]:
        """Return the result of a method, and the number of rows or records in it."""
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
        array = arguments[1 + (request.method == "call")]
        members = array if isinstance(array, list) else []
        if request.method == "call":
            return self._by_path(php.text(arguments[1]), members, settings, configurable)
        results = [self._element(member, settings, configurable) for member in members]
        return [result for result, _ in results], sum(rows for _, rows in results)

    def _element(self, call: Php, settings: Settings, configurable: ConfigurableType) -> tuple[Value, int]:
        """Return the result of one element of a `multiCall`: a path and its arguments. A fault is a result, too."""
        parts = dict(enumerate(call)) if isinstance(call, list) else {}
        if isinstance(call, dict):
            parts = {index: call.get(str(index)) for index in (0, 1)}
        if isinstance(parts.get(0), list | dict):
            raise PhpFatal("explode(): Argument #2 ($string) must be of type string, array given")
        path, arguments = php.text(parts.get(0, "")), parts.get(1)
        try:
            return self._by_path(path, [] if arguments is None else arguments, settings, configurable)
        except ShopFault as fault:
            text = INTERNAL_ERROR if fault.code == "1" else fault.text  # only a single call has the text of the error
            return {"isFault": True, "faultCode": fault.code, "faultMessage": text}, 0

    def _by_path(
        self, path: str, arguments: Php, settings: Settings, configurable: ConfigurableType
    ) -> tuple[Value, int]:
        """Return the result of `resource.method`; further words after these two are ignored.

        Args:
            path: of the method.
            arguments: a list of them, or a single one.
            settings: of the shop.
            configurable: the attributes of configurable products that this request keeps.
        """
        profile = settings.profile
        resource, method, *_ = *path.split("."), "", ""
        if (operation := _ABOUT.get(f"{resource}.{method}")) is not None:
            return about(operation, profile), 1
        is_address = resource == "customer_address"
        name = "customers" if is_address else _LISTS.get(resource, "")
        methods = {"list", "info"} if name and LISTINGS[name].details else {"list"}
        if name not in profile.lists or method not in methods:
            raise ShopFault(*INVALID_PATH)
        self.api.permit(name, settings)
        if arguments == [] and not profile.php5 and (method == "info" or name == "customers"):
            raise PhpFatal(f"Too few arguments to function {method}(), 0 passed")
        if method == "list" and not is_address:
            filters, store = _positional(arguments, "filters", "store")
            rows = list(self._entries(name, filters, store, settings))
            if 0 < settings.memory_limit_rows < len(rows):
                raise PhpFatal(MEMORY_EXHAUSTED)
            return rows, len(rows)
        key, second, _, identifier = _positional(arguments, "", "", "", "")
        number = None if key is None else php.text(key)
        if is_address:
            if method == "list" and settings.meets("customers", number):
                raise Troubled
            return self.api.addresses(number) if method == "list" else self.api.address(number), 1
        kind = None if identifier is None else php.text(identifier)
        record = self.api.record(name, number, settings, kind, configurable)
        if name == "customers" and isinstance(second, list):  # the second argument: the attributes to return
            record = {
                field: value for field, value in record.items() if field in {"customer_id", *map(php.text, second)}
            }
        return record, 1

    def _entries(self, name: str, filters: Php, store: Php, settings: Settings) -> Iterator[Mapping[str, Value]]:
        """Yield the rows of a list with all columns, NULLs included; those of customers without NULLs."""
        requested = _with_all_columns(listing(name, settings.profile), settings.profile)
        selected = self.api.tables.select(
            settings.profile, "rpc", requested, (), (), store=php.text(store), nested={} if filters is None else filters
        )
        columns = requested.columns
        for row in poisoned(
            selected, requested, settings, self.api.troubled(listing(name, settings.profile), settings)
        ):
            entry = dict(zip(columns, row, strict=True))
            if name == "customers":
                entry = {field: value for field, value in entry.items() if value is not None}
            elif name == "orders":
                entry |= {old: entry[new] for old, new in OLD_ORDER_NAMES.items()}
            yield entry


def _positional(arguments: Php, *names: str) -> list[Php]:
    """Return the arguments for parameters of these names: from a list, a single value, or by name.

    >>> _positional({"store": 1}, "filters", "store"), _positional("abc", "filters", "store"), _positional([1, 2], "x")
    ([None, 1], ['abc', None], [1])
    """
    if isinstance(arguments, dict) and not all(map(str.isdecimal, arguments)):
        if unknown := arguments.keys() - set(names):
            raise PhpFatal(f"Unknown named parameter ${min(unknown)}")
        return [arguments.get(name) for name in names]
    members = (
        list(arguments.values())
        if isinstance(arguments, dict)
        else arguments
        if isinstance(arguments, list)
        else [arguments]
    )
    return [*members, *[None] * len(names)][: len(names)]


def _with_all_columns(requested: Listing, profile: Profile) -> Listing:
    """Return the list with all columns that the shop selects, in the WSDL or not. In sales lists the id comes last.

    >>> from magento_pager.fake.profiles import profile
    >>> _with_all_columns(LISTINGS["shipments"], profile("20.0.20")).columns
    ('increment_id', 'created_at', 'total_qty', 'shipment_id')
    """
    if requested.renamed:
        return requested
    known = requested.attributes
    if known is None:
        names = [*(requested.selected or (*requested.table.columns, *requested.joined)), requested.key_field]
    else:
        names = [
            *requested.columns,
            *(column for column in requested.table.columns if column in known.static | known.joined),
        ]
    hidden = {"entity_id"}
    if known is None and profile.version < _MIDDLE_NAMES_SINCE:
        hidden.add("middlename")
    return replace(requested, fields=tuple(Field(column) for column in dict.fromkeys(names) if column not in hidden))
