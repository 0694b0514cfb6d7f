"""The SOAP calls: from the body of a request to an answer. What the shop does, without HTTP.

The order of the steps is that of a live server: read the request, check the session, the right and the arguments, and
then query the database. Rows are written while they are read. A reply of up to `BUFFERED` bytes is buffered, so that
its length is known, as on a live server; a longer one is sent in pieces.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

from magento_pager.fake.addresses import addresses, owner
from magento_pager.fake.attributes import ConfigurableType
from magento_pager.fake.data import STORE_VIEWS
from magento_pager.fake.faults import PhpFatal, ShopFault
from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.poison import poisoned, shallow, spoiled
from magento_pager.fake.profiles import listing
from magento_pager.fake.replies import Encoder
from magento_pager.fake.requests import read_request
from magento_pager.fake.schema import ARRAYS
from magento_pager.fake.troubles import TROUBLES, Troubled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from magento_pager.fake.declarations import Flavour
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.php import Php
    from magento_pager.fake.profiles import Profile
    from magento_pager.fake.replies import Row, Value
    from magento_pager.fake.requests import Filters, Request
    from magento_pager.fake.sessions import Sessions
    from magento_pager.fake.settings import Settings

BUFFERED = 32 * 2**20
"""Largest reply that is buffered, in bytes: about 7,500 orders."""
_NO_LIMIT = 2**32
"""More rows than there can be ids."""
_PIECE = 2**18
"""Bytes passed to the socket at a time."""
MEMORY_EXHAUSTED = "Allowed memory size of 536870912 bytes exhausted (tried to allocate 2097152 bytes)"

REPLY_TYPE = "text/xml; charset=UTF-8"
PHP_FAULT_TYPE = "text/xml; charset=utf-8"
PAGE_TYPE = "text/html; charset=UTF-8"

MISSING_ARGUMENT = ("6", 'Required parameter is missing, for more details see "exception.log".')
ACCESS_DENIED = ("2", "Access denied.")
SESSION_EXPIRED = ("5", "Session expired. Try to relogin.")
BROKEN = ("1", "Call to a member function getMethod() on bool")

_DETAILS = {
    operation.name: (name, operation.inputs[1].name)
    for name, listing_ in LISTINGS.items()
    for operation in listing_.details
}
"""The operations for a record or a part of it: the list, and the argument that identifies the record."""


class Tables(Protocol):
    """What the API needs of the database."""

    def select(
        self,
        profile: Profile,
        flavour: Flavour,
        listing: Listing,
        simple: Sequence[tuple[str, str]],
        complex: Sequence[tuple[str, str, str]],  # noqa: A002 -- the API's own word
        *,
        store: str = "",
        nested: Php = None,
    ) -> Iterator[Row]:
        """Return the rows of a list that match the filters; raises ShopFault or PhpFatal before the first row."""
        ...

    def record(self, list_name: str, key: str, *, by_id: bool = False) -> Mapping[str, Value] | None:
        """Return one record in full, by increment id or, for customers and products, by id; None if there is none.

        Args:
            list_name: its list.
            key: identifies the record; for a product it may be the SKU.
            by_id: the key is a product's id, even if it is the SKU of another product.
        """
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call in the log of the shop.

    Attributes:
        operation: its name; empty if the request could not be read.
        conditions: (field, operator, value) as sent; a simple filter has an empty operator.
        rows: number of rows or records in the reply.
        bytes: size of the reply's body, before compression.
        seconds: from the request to the end of the reply.
        fault: the fault code; empty if there was none.

    >>> Call("salesOrderList", rows=3).rows
    3
    """

    operation: str
    conditions: tuple[tuple[str, str, str], ...] = ()
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to the client, and the entry of the log.

    Attributes:
        status: of HTTP.
        content_type: of the body.
        pieces: the body.
        length: of the body in bytes, as announced; None if it is not known. With a length and without pieces the
            connection ends where the body should begin.
        call: the entry of the log, its bytes and seconds not yet known; None if the request is not a call.
        php: PHP answered, so there is a cookie.
        location: of a redirect.
    """

    status: int
    content_type: str
    pieces: Iterable[bytes]
    length: int | None
    call: Call | None = None
    php: bool = True
    location: str = ""


def whole(status: int, content_type: str, body: bytes, call: Call | None = None) -> Answer:
    """Return an answer with this body.

    >>> whole(404, PAGE_TYPE, b"nothing here").length
    12
    """
    return Answer(status, content_type, (body,), len(body), call)


def troubled(answer: Answer, name: str) -> Answer:
    """Return an answer with the trouble of that name."""
    result = TROUBLES[name](b"".join(answer.pieces))
    status, body, excess = (answer.status, result, 0) if isinstance(result, bytes) else (*result, 0)[:3]
    content_type = answer.content_type if status == answer.status else PAGE_TYPE
    return replace(answer, status=status, content_type=content_type, pieces=(body,), length=len(body) + excess)


@dataclass(frozen=True, slots=True)
class Context:
    """The context of one request.

    Attributes:
        settings: of the shop when the request arrived.
        started: when it arrived, by `time.monotonic`.
    """

    settings: Settings
    started: float

    def without_trouble(self) -> Context:
        """Return the same context without trouble."""
        return replace(self, settings=replace(self.settings, trouble=""))

    @property
    def encoder(self) -> Encoder:
        """The encoder of the reply."""
        return Encoder(self.settings.profile, self.settings.flavour)


def faulty(fault: ShopFault, context: Context, call: Call = Call("")) -> Answer:
    """Return the answer with a fault."""
    content_type = REPLY_TYPE if fault.status == HTTPStatus.OK else PHP_FAULT_TYPE
    if fault.code == "VersionMismatch":
        content_type = "application/soap+xml; charset=utf-8"
    return whole(fault.status, content_type, context.encoder.fault(fault), replace(call, fault=fault.code))


@dataclass(frozen=True, slots=True)
class Api:
    """The API of a shop.

    Attributes:
        tables: the database.
        sessions: the session table.
        user: the name of the one API user.
        key: its key.
        pause: waits for a number of seconds, or less if the shop is stopped.
    """

    tables: Tables
    sessions: Sessions
    user: str
    key: str
    pause: Callable[[float], object] = time.sleep

    def answer(self, body: bytes, context: Context) -> Answer:
        """Answer one SOAP request."""
        settings, call = context.settings, Call("")
        try:
            request = read_request(body, settings.profile, settings.flavour)
            call = Call(request.operation.name, _conditions(request.filters))
            return self._answered(request, call, context)
        except ShopFault as fault:
            return faulty(fault, context, call)
        except PhpFatal as fatal:
            return whole(fatal.status, PAGE_TYPE, fatal.body.encode(), replace(call, fault="fatal"))
        except Troubled:
            return troubled(self.answer(body, context.without_trouble()), settings.trouble)

    def troubled(self, requested: Listing, settings: Settings) -> set[str]:
        """Return the ids and the increment ids of the rows that cause trouble in replies to a list."""
        keys = set[str]()
        for number in settings.in_trouble_at(requested.name):
            where = [("entity_id", "eq", str(number))]
            rows = self.tables.select(settings.profile, settings.flavour, requested, (), where)
            increment_ids = (dict(zip(requested.columns, row, strict=True)).get("increment_id") for row in rows)
            keys |= {str(number), *(str(increment_id) for increment_id in increment_ids if increment_id)}
        return keys

    def login(self, user: str | None, key: str | None, settings: Settings) -> str:
        """Open a session and return its id.

        Raises:
            ShopFault: the name or the key is missing or wrong.
        """
        if not user or not key:
            raise ShopFault(*MISSING_ARGUMENT)
        if (user, key) != (self.user, self.key):
            raise ShopFault(*ACCESS_DENIED)
        return self.sessions.login(user, settings.session_timeout, length=_id_length(settings))

    def start_session(self, settings: Settings) -> str:
        """Return the id of a session without a user."""
        return self.sessions.draw(_id_length(settings))

    def admit(self, session: str | None, settings: Settings) -> None:
        """Renew a session.

        Raises:
            ShopFault: it is not open.
        """
        if not self.sessions.renew(session or "", settings.session_timeout):
            raise ShopFault(*SESSION_EXPIRED)

    def permit(self, list_name: str | None, settings: Settings) -> None:
        """Check the right to a list; None stands for operations that need no right.

        Raises:
            ShopFault: the user may not read the list.
        """
        if list_name in settings.denied:
            raise ShopFault(*ACCESS_DENIED)

    def record(
        self,
        list_name: str,
        key: str | None,
        settings: Settings,
        identifier: str | None = None,
        configurable: ConfigurableType | None = None,
    ) -> Mapping[str, Value]:
        """Return one record in full.

        Args:
            list_name: its list.
            key: identifies the record.
            settings: of the shop.
            identifier: whether the key of a product is its `id` or its `sku`; None: the SKU, or otherwise the id.
            configurable: the attributes of configurable products that this request keeps; None: none yet.

        Raises:
            ShopFault: there is no such record, or it is broken.
        """
        by_id = (identifier or "").lower() == "id"
        record = None if key is None else self.tables.record(list_name, key, by_id=by_id)
        if record is None:
            raise ShopFault(*LISTINGS[list_name].missing_fault)
        if settings.meets(list_name, record[LISTINGS[list_name].key_field]):
            raise Troubled
        if list_name == "orders" and record["order_id"] in settings.broken_records:
            raise ShopFault(*BROKEN)
        if list_name == "products":
            return (configurable or ConfigurableType()).shown(record)
        return spoiled(record, settings) if list_name == "orders" else record

    def addresses(self, customer: str | None) -> Sequence[Mapping[str, Value]]:
        """Return the addresses of a customer.

        Raises:
            ShopFault: there is no such customer.
        """
        record = None if customer is None else self.tables.record("customers", customer)
        if record is None:
            raise ShopFault("101", "Customer not exists.")  # the resource of addresses has fault codes of its own
        return addresses(record)

    def address(self, key: str | None) -> Mapping[str, Value]:
        """Return one address.

        Raises:
            ShopFault: there is no address with that id.
        """
        number = int(key) if key and key.strip().isdecimal() else 0
        customer = self.tables.record("customers", str(owner(number)))
        for address in addresses(customer) if customer else ():
            if address["customer_address_id"] == number:
                return address
        raise ShopFault("102", "Address not exists.")

    def take_time(self, rows: int, context: Context) -> None:
        """Wait until the call has taken the time that the settings demand.

        Args:
            rows: in the reply.
            context: of the request.

        Raises:
            ShopFault: the time is longer than `max_execution_time`.
        """
        settings = context.settings
        duration, limit = settings.latency + rows * settings.latency_per_row, settings.max_execution_time
        too_long = 0 < limit < duration
        self.pause(max(0.0, context.started + (limit if too_long else duration) - time.monotonic()))
        if too_long:
            seconds = f"{limit:g} second{'' if limit == 1 else 's'}"
            raise ShopFault("SOAP-ENV:Server", f"Maximum execution time of {seconds} exceeded", 500)

    def _answered(self, request: Request, call: Call, context: Context) -> Answer:
        """Answer a request that could be read."""
        operation, settings = request.operation, context.settings
        if operation.name in {"login", "startSession", "endSession"}:
            result: Value = self._session(request, settings)
            self.take_time(0, context)
            return whole(200, REPLY_TYPE, context.encoder.reply(operation, result), call)
        lists = {listing(name, settings.profile).operation: name for name in settings.profile.lists}
        name, argument = _DETAILS.get(operation.name, (lists.get(operation.name), ""))
        self.admit(request.texts["sessionId"], settings)
        self.permit(name, settings)
        if operation.name in lists:
            return self._list(listing(lists[operation.name], settings.profile), request, call, context)
        if settings.flavour == "wsi" and argument and request.texts[argument] is None:
            raise ShopFault(*MISSING_ARGUMENT)  # in RPC the method is called with a null instead
        result = self._result(operation.name, name, argument, request.texts, settings)
        if settings.nested_arrays_lost:
            result = shallow(result)
        self.take_time(1, context)
        return whole(200, REPLY_TYPE, context.encoder.reply(operation, result), replace(call, rows=1))

    def _result(
        self, operation: str, list_name: str | None, argument: str, texts: Mapping[str, str | None], settings: Settings
    ) -> Value:
        """Return the result of an operation that is not a list."""
        key = texts.get(argument)
        if operation == "customerAddressList" and settings.meets("customers", key):
            raise Troubled
        if operation == "customerAddressList":
            return self.addresses(key)
        if operation == "customerAddressInfo":
            return self.address(key)
        if list_name is None:
            return about(operation, settings.profile)
        return self.record(list_name, key, settings, texts.get("identifierType"))

    def _session(self, request: Request, settings: Settings) -> Value:
        """Return the result of an operation that needs no session."""
        texts = request.texts
        if request.operation.name == "login":
            return self.login(texts["username"], texts["apiKey"], settings)
        if request.operation.name == "startSession":
            return self.start_session(settings)
        self.sessions.end(texts["sessionId"] or "")
        return True

    def _list(self, requested: Listing, request: Request, call: Call, context: Context) -> Answer:
        """Answer a list call: its rows are written while they are read."""
        settings, encoder, operation = context.settings, context.encoder, request.operation
        write = encoder.rows(requested)

        def rows(shape: Listing) -> Iterable[Row]:
            filters, store = request.filters, request.texts.get("storeView") or ""
            selected = self.tables.select(
                settings.profile,
                settings.flavour,
                shape,
                filters.simple,
                filters.complex,
                store=store,
            )
            return poisoned(selected, shape, settings, self.troubled(requested, settings))

        limit = settings.memory_limit_rows or _NO_LIMIT
        buffered, more = _buffered(map(write, rows(requested)), limit)
        count, length = len(buffered), sum(map(len, buffered))
        if more and count <= limit:  # too long for the buffer; RPC needs the count, and any fault, before the first row
            buffered, count = [], sum(1 for _ in islice(rows(_narrow(requested)), limit + 1))
        if count > limit and settings.memory_failure == "fault":
            self.take_time(0, context)
            raise ShopFault("SOAP-ENV:Server", MEMORY_EXHAUSTED, 500)
        self.take_time(count, context)
        call = replace(call, rows=count)
        if count > limit:
            return Answer(200, REPLY_TYPE, (), length, replace(call, rows=0, fault="memory"))
        opening, closing = encoder.opening(operation, count), encoder.closing(operation, count)
        body = chain((opening,), map(write, rows(requested)) if more else buffered, (closing,))
        return Answer(200, REPLY_TYPE, _joined(body), None if more else len(opening) + length + len(closing), call)


def _narrow(requested: Listing) -> Listing:
    """Return the list with as few columns as possible: the id, and the arrays of ids that each row must have.

    >>> _narrow(LISTINGS["orders"]).columns, _narrow(LISTINGS["products"]).columns
    (('order_id',), ('product_id', 'category_ids', 'website_ids'))
    """
    return replace(
        requested,
        fields=tuple(field for field in requested.fields if field.name == requested.key_field or field.type in ARRAYS),
    )


def _conditions(filters: Filters) -> tuple[tuple[str, str, str], ...]:
    """Return the filters as the log shows them."""
    return (*((name, "", value) for name, value in filters.simple), *filters.complex)


def _id_length(settings: Settings) -> int:
    """Return the length of a session id, in characters."""
    return 64 if settings.profile.long_session_ids else 32


def about(operation: str, profile: Profile) -> Value:
    """Return the result of `magentoInfo` or `storeList`."""
    if operation == "magentoInfo":
        return {"magento_version": profile.magento_version, "magento_edition": "Community"}
    return [
        {
            "store_id": number,
            "code": code,
            "website_id": 1,
            "group_id": 1,
            "name": name.splitlines()[-1],
            "sort_order": number - 1,
            "is_active": 1,
        }
        for number, code, name in STORE_VIEWS
    ]


def _buffered(pieces: Iterable[bytes], rows: int) -> tuple[list[bytes], bool]:
    """Return the first pieces, and whether more may follow: it stops after `BUFFERED` bytes, or after that many rows.

    >>> _buffered([b"one", b"two"], 1), _buffered([b"one", b"two"], 2)
    (([b'one', b'two'], True), ([b'one', b'two'], False))
    """
    first: list[bytes] = []
    size = 0
    for piece in pieces:
        first.append(piece)
        size += len(piece)
        if size > BUFFERED or len(first) > rows:
            return first, True
    return first, False


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in fewer pieces.

    >>> list(_joined([b"<", b"row", b">"]))
    [b'<row>']
    """
    group: list[bytes] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(group)
            group, size = [], 0
    yield b"".join(group)
