"""The SOAP calls: a request body to an answer. What the shop does, without HTTP.

Order matters and follows the live server: the request is read, then the session checked, then the right, then the
arguments, then the database asked. Rows are written while they are read; a reply up to `HELD` bytes is held, so that
its length is known as on a live server, a longer one is sent in pieces and never held.
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

HELD = 32 * 2**20
"""Bytes of a reply that are held before the rest is sent in pieces: about 7,500 orders."""
_ENDLESS = 2**32
"""More rows than there can be ids."""
_PIECE = 2**18
"""Bytes that are handed to the socket at a time."""
MEMORY_EXHAUSTED = "Allowed memory size of 536870912 bytes exhausted (tried to allocate 2097152 bytes)"

REPLY_TYPE = "text/xml; charset=UTF-8"
PHP_FAULT_TYPE = "text/xml; charset=utf-8"
PAGE_TYPE = "text/html; charset=UTF-8"

MISSING_ARGUMENT = ("6", 'Required parameter is missing, for more details see "exception.log".')
ACCESS_DENIED = ("2", "Access denied.")
SESSION_EXPIRED = ("5", "Session expired. Try to relogin.")
BROKEN = ("1", "Call to a member function getMethod() on bool")

_DETAILS = {one.name: (name, one.inputs[1].name) for name, listed in LISTINGS.items() for one in listed.details}
"""The operations that give a record or what belongs to it: of which list, and the argument that names it."""


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
        """The rows of a list that pass its filters; ShopFault or PhpFatal before the first."""
        ...

    def record(self, list_name: str, key: str, *, by_id: bool = False) -> Mapping[str, Value] | None:
        """One record in full, by increment id or, for customers and products, by id; None when there is none.

        Args:
            list_name: the list it is of.
            key: which; of a product it may be the SKU.
            by_id: it is a product's id, even if it is the SKU of another.
        """
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call in the log of the shop.

    Attributes:
        operation: its name; empty when the request could not be read.
        conditions: (field, operator, value) as sent; a simple filter has an empty operator.
        rows: rows, or records, in the reply.
        bytes: of the reply's body, before compression.
        seconds: from the request to the last of the reply.
        fault: the fault code; empty when there was none.
    """

    operation: str
    conditions: tuple[tuple[str, str, str], ...] = ()
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client, and what goes into the log.

    Attributes:
        status: of HTTP.
        content_type: of the body.
        pieces: the body.
        length: of the body in bytes, as announced; None: not known. With a length and without pieces the connection
            ends where the body should begin.
        call: the entry of the log, its bytes and seconds yet unknown; None for what is not a call.
        php: PHP answered, so that there is a cookie.
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
    """An answer with a body that is at hand.

    >>> whole(404, PAGE_TYPE, b"nothing here").length
    12
    """
    return Answer(status, content_type, (body,), len(body), call)


def troubled(answer: Answer, name: str) -> Answer:
    """What becomes of an answer in a trouble of that name."""
    found = TROUBLES[name](b"".join(answer.pieces))
    status, body, wrong = (answer.status, found, 0) if isinstance(found, bytes) else (*found, 0)[:3]
    kind = answer.content_type if status == answer.status else PAGE_TYPE
    return replace(answer, status=status, content_type=kind, pieces=(body,), length=len(body) + wrong)


@dataclass(frozen=True, slots=True)
class Context:
    """What one request is answered under.

    Attributes:
        settings: of the shop when the request came.
        started: when that was, by `time.monotonic`.
    """

    settings: Settings
    started: float

    def without_trouble(self) -> Context:
        """The same, in a shop whose replies are in no trouble."""
        return replace(self, settings=replace(self.settings, trouble=""))

    @property
    def encoder(self) -> Encoder:
        """What writes the reply."""
        return Encoder(self.settings.profile, self.settings.flavour)


def faulty(fault: ShopFault, context: Context, call: Call = Call("")) -> Answer:
    """The answer that a fault is."""
    kind = REPLY_TYPE if fault.status == HTTPStatus.OK else PHP_FAULT_TYPE
    if fault.code == "VersionMismatch":
        kind = "application/soap+xml; charset=utf-8"
    return whole(fault.status, kind, context.encoder.fault(fault), replace(call, fault=fault.code))


@dataclass(frozen=True, slots=True)
class Api:
    """The API of a shop.

    Attributes:
        tables: the database.
        sessions: the session table.
        user: the name of the one API user.
        key: its key.
        pause: waits for a number of seconds, or less when the shop ends.
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

    def troubled(self, asked: Listing, settings: Settings) -> set[str]:
        """The ids of rows of a list whose replies are in trouble, and their numbers, by which others know them."""
        found = set[str]()
        for number in settings.in_trouble_at(asked.name):
            where = [("entity_id", "eq", str(number))]
            rows = self.tables.select(settings.profile, settings.flavour, asked, (), where)
            numbers = (dict(zip(asked.columns, row, strict=True)).get("increment_id") for row in rows)
            found |= {str(number), *(str(one) for one in numbers if one)}
        return found

    def login(self, user: str | None, key: str | None, settings: Settings) -> str:
        """Open a session and give its id.

        Raises:
            ShopFault: the name or the key is missing or wrong.
        """
        if not user or not key:
            raise ShopFault(*MISSING_ARGUMENT)
        if (user, key) != (self.user, self.key):
            raise ShopFault(*ACCESS_DENIED)
        return self.sessions.login(user, settings.session_timeout, length=_id_length(settings))

    def start_session(self, settings: Settings) -> str:
        """The id of a session that nobody is logged in to."""
        return self.sessions.draw(_id_length(settings))

    def admit(self, session: str | None, settings: Settings) -> None:
        """Renew a session.

        Raises:
            ShopFault: it is not open.
        """
        if not self.sessions.renew(session or "", settings.session_timeout):
            raise ShopFault(*SESSION_EXPIRED)

    def permit(self, list_name: str | None, settings: Settings) -> None:
        """Check the right to a list; None is what everybody may.

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
        """One record in full.

        Args:
            list_name: the list it is of.
            key: which.
            settings: of the shop.
            identifier: of a product: `id` or `sku`, whichever the key is; None: the SKU, or else the id.
            configurable: what this request remembers of configurable products; None: nothing yet.

        Raises:
            ShopFault: there is none of that key, or it is broken.
        """
        by_id = (identifier or "").lower() == "id"
        found = None if key is None else self.tables.record(list_name, key, by_id=by_id)
        if found is None:
            raise ShopFault(*LISTINGS[list_name].missing_fault)
        if settings.meets(list_name, found[LISTINGS[list_name].key_field]):
            raise Troubled
        if list_name == "orders" and found["order_id"] in settings.broken_records:
            raise ShopFault(*BROKEN)
        if list_name == "products":
            return (configurable or ConfigurableType()).shown(found)
        return spoiled(found, settings) if list_name == "orders" else found

    def addresses(self, customer: str | None) -> Sequence[Mapping[str, Value]]:
        """The addresses of a customer.

        Raises:
            ShopFault: there is no such customer.
        """
        found = None if customer is None else self.tables.record("customers", customer)
        if found is None:
            raise ShopFault("101", "Customer not exists.")  # the resource of addresses counts its faults anew
        return addresses(found)

    def address(self, key: str | None) -> Mapping[str, Value]:
        """One address.

        Raises:
            ShopFault: there is none of that id.
        """
        number = int(key) if key and key.strip().isdecimal() else 0
        customer = self.tables.record("customers", str(owner(number)))
        for one in addresses(customer) if customer else ():
            if one["customer_address_id"] == number:
                return one
        raise ShopFault("102", "Address not exists.")

    def take_time(self, rows: int, context: Context) -> None:
        """Wait until the call has taken as long as the settings demand.

        Args:
            rows: in the reply.
            context: of the request.

        Raises:
            ShopFault: PHP gave up before that.
        """
        settings = context.settings
        planned, limit = settings.latency + rows * settings.latency_per_row, settings.max_execution_time
        late = 0 < limit < planned
        self.pause(max(0.0, context.started + (limit if late else planned) - time.monotonic()))
        if late:
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
        """The result of an operation that is not a list."""
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
        """The result of an operation that needs no session."""
        texts = request.texts
        if request.operation.name == "login":
            return self.login(texts["username"], texts["apiKey"], settings)
        if request.operation.name == "startSession":
            return self.start_session(settings)
        self.sessions.end(texts["sessionId"] or "")
        return True

    def _list(self, asked: Listing, request: Request, call: Call, context: Context) -> Answer:
        """Answer a list call: its rows are written while they are read."""
        settings, encoder, operation = context.settings, context.encoder, request.operation
        write = encoder.rows(asked)

        def rows(shape: Listing) -> Iterable[Row]:
            filters, store = request.filters, request.texts.get("storeView") or ""
            found = self.tables.select(
                settings.profile,
                settings.flavour,
                shape,
                filters.simple,
                filters.complex,
                store=store,
            )
            return poisoned(found, shape, settings, self.troubled(asked, settings))

        limit = settings.memory_limit_rows or _ENDLESS
        held, more = _held(map(write, rows(asked)), limit)
        count, length = len(held), sum(map(len, held))
        if more and count <= limit:  # too long to hold; RPC announces the count, and a fault must come before any row
            held, count = [], sum(1 for _ in islice(rows(_narrow(asked)), limit + 1))
        if count > limit and settings.memory_failure == "fault":
            self.take_time(0, context)
            raise ShopFault("SOAP-ENV:Server", MEMORY_EXHAUSTED, 500)
        self.take_time(count, context)
        call = replace(call, rows=count)
        if count > limit:
            return Answer(200, REPLY_TYPE, (), length, replace(call, rows=0, fault="memory"))
        opening, closing = encoder.opening(operation, count), encoder.closing(operation, count)
        body = chain((opening,), map(write, rows(asked)) if more else held, (closing,))
        return Answer(200, REPLY_TYPE, _grouped(body), None if more else len(opening) + length + len(closing), call)


def _narrow(asked: Listing) -> Listing:
    """The list with as few columns as it can have: the id, and the lists of ids that a row is only whole with.

    >>> _narrow(LISTINGS["orders"]).columns, _narrow(LISTINGS["products"]).columns
    (('order_id',), ('product_id', 'category_ids', 'website_ids'))
    """
    return replace(
        asked, fields=tuple(one for one in asked.fields if one.name == asked.key_field or one.type in ARRAYS)
    )


def _conditions(filters: Filters) -> tuple[tuple[str, str, str], ...]:
    """The filters as the log shows them."""
    return (*((name, "", value) for name, value in filters.simple), *filters.complex)


def _id_length(settings: Settings) -> int:
    """Characters of a session id."""
    return 64 if settings.profile.long_session_ids else 32


def about(operation: str, profile: Profile) -> Value:
    """The result of an operation that tells about the shop itself."""
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


def _held(pieces: Iterable[bytes], rows: int) -> tuple[list[bytes], bool]:
    """The first pieces, and whether more may follow: it stops behind `HELD` bytes, or behind that many rows.

    >>> _held([b"one", b"two"], 1), _held([b"one", b"two"], 2)
    (([b'one', b'two'], True), ([b'one', b'two'], False))
    """
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > HELD or len(held) > rows:
            return held, True
    return held, False


def _grouped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces.

    >>> list(_grouped([b"<", b"row", b">"]))
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
