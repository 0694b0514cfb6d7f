"""The settings of the embedded shop, as one frozen value: its version and every knob.

The shop reads its settings once per request, so a change between two requests is, for a client, a change of the server.
Plain values only: each field is also an option of the command line. Their effects are implemented elsewhere.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.troubles import TROUBLES

if TYPE_CHECKING:
    from magento_pager.fake.declarations import Flavour
    from magento_pager.fake.profiles import Profile

TroubleAt: TypeAlias = Literal["calls", "wsdl", "everything", "lists", "records"]
TroubleBy: TypeAlias = Literal["both", "soap", "xmlrpc"]
Outage: TypeAlias = Literal["", "maintenance", "database", "wsdl", "schema", "firewall", "redirect"]
MemoryFailure: TypeAlias = Literal["fault", "empty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The version and the behaviour of a shop.

    Attributes:
        profile: the version.
        flavour: `rpc` or `wsi`.
        latency: minimum time of a SOAP or XML-RPC call in seconds, the shop's own work included.
        latency_per_row: seconds that each row or record adds to that.
        memory_limit_rows: a list with more rows exhausts the memory of PHP; 0: no limit. A live server with 34 kB per
            order held about 3,700 orders in 128 MB.
        memory_failure: the reply in that case: `fault`, HTTP 500 while the rows are loaded; `empty`, HTTP 200 with the
            length of the reply and no body, as when memory runs out while the reply is sent. By XML-RPC it is always
            HTTP 500 without a body.
        max_execution_time: seconds after which PHP aborts a call; 0: never.
        workers: PHP workers, each busy with one request at a time; 0: as many as needed.
        wsdl_cache: whether PHP caches the WSDL. By default it does not: each SOAP call needs a second worker that sends
            the shop's own WSDL, and as many concurrent calls as there are workers block each other.
        socket_timeout: seconds that a call waits for its own WSDL.
        session_timeout: seconds without a call after which a session has expired.
        body_limit: maximum size of a request body in bytes; a larger one is refused with HTTP 413. 0: no limit.
        gzip: compress replies for clients that accept it; not the default.
        outage: a failure of the whole shop: `maintenance` and `database` answer HTTP 503 with a page; `wsdl`
            and `schema` fail each call because PHP cannot load the shop's WSDL or the schema of SOAP encoding (RPC
            only); `firewall` answers 403 and `redirect` 302, to another scheme, with a page.
        denied: lists that the API user has no right to.
        duplicate_address: ids of orders with a second billing address: a list with one of them is a fault.
        invalid_utf8: ids of orders with a name that is not UTF-8.
        control_characters: ids of orders with a name that contains a control character.
        broken_records: ids of orders that are in lists, but whose full record is a fault.
        trouble: a defect of replies, by name in `TROUBLES`, caused by PHP, a firewall, a proxy or a row. Empty: none.
        trouble_rows: ids of rows; only replies with one of these rows or records have the trouble, and the whole reply
            to a `multiCall` with one. Empty: every reply.
        trouble_list: the list of those rows.
        trouble_at: without `trouble_rows`, the replies that have the trouble: those to `calls`, the `wsdl`, or
            `everything`. With `trouble_rows`: `lists` or `records` for these alone, any other value for both.
        trouble_by: the protocol whose replies have the trouble: `soap`, `xmlrpc`, or `both`.
        nested_arrays_lost: the bug of 1.9.3.0: each array inside an array of a result is sent as the text "Array", such
            as the items of an order, or the ids of categories in a list of products.
        no_xmlrpc: the address of XML-RPC is not found.
        base_url: the shop's own address in its configuration, as `http://shop.example/`. A request for another host is
            answered as a live shop does: the WSDL redirects, a call is a fault. Empty: the host of each request.
        clock: the fixed time of the shop's clock, as `2024-05-01 12:00:00` in UTC, for its `Date` headers. Empty: the
            clock of this machine.

    Raises:
        ValueError: a number is below zero, or a word or a time is not valid.
    """

    profile: Profile
    flavour: Flavour = "rpc"
    latency: float = 0.0
    latency_per_row: float = 0.0
    memory_limit_rows: int = 0
    memory_failure: MemoryFailure = "fault"
    max_execution_time: float = 0.0
    workers: int = 0
    wsdl_cache: bool = False
    socket_timeout: float = 60.0
    session_timeout: float = 3600.0
    body_limit: int = 1_048_576
    gzip: bool = False
    outage: Outage = ""
    denied: frozenset[str] = frozenset()
    duplicate_address: frozenset[int] = frozenset()
    invalid_utf8: frozenset[int] = frozenset()
    control_characters: frozenset[int] = frozenset()
    broken_records: frozenset[int] = frozenset()
    trouble: str = ""
    trouble_rows: frozenset[int] = frozenset()
    trouble_list: str = "orders"
    trouble_at: TroubleAt = "calls"
    trouble_by: TroubleBy = "both"
    nested_arrays_lost: bool = False
    no_xmlrpc: bool = False
    base_url: str = ""
    clock: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"{field.name} must not be below zero: {value}")
        if self.outage not in get_args(Outage):
            raise ValueError(
                f"There is no outage {self.outage!r}. Choose one of {', '.join(filter(None, get_args(Outage)))}."
            )
        if self.memory_failure not in get_args(MemoryFailure):
            raise ValueError(
                f"memory_failure must be {' or '.join(get_args(MemoryFailure))}, not {self.memory_failure!r}."
            )
        if self.trouble and self.trouble not in TROUBLES:
            raise ValueError(f"There is no trouble {self.trouble!r}. Choose one of {', '.join(TROUBLES)}.")
        if self.trouble_at not in get_args(TroubleAt):
            raise ValueError(f"trouble_at must be one of {', '.join(get_args(TroubleAt))}, not {self.trouble_at!r}.")
        if self.trouble_by not in get_args(TroubleBy):
            raise ValueError(f"trouble_by must be one of {', '.join(get_args(TroubleBy))}, not {self.trouble_by!r}.")
        if self.trouble_list not in LISTINGS:
            raise ValueError(
                f"There is no list {self.trouble_list!r} for trouble_list. The lists are {', '.join(LISTINGS)}."
            )
        unknown = sorted(set(self.denied) - set(LISTINGS))
        if unknown:
            raise ValueError(f"There is no list {unknown[0]!r} to deny. The lists are {', '.join(LISTINGS)}.")
        self.now  # noqa: B018  refuses an invalid time

    def seen_by(self, protocol: Literal["soap", "xmlrpc"]) -> Settings:
        """Return the settings for a protocol: without a trouble of the other one."""
        return self if self.trouble_by in {"both", protocol} else replace(self, trouble="")

    def meets(self, list_name: str, number: object) -> bool:
        """Return whether replies with the record of this row have the trouble."""
        applies = bool(self.trouble) and list_name == self.trouble_list and self.trouble_at != "lists"
        return applies and str(number) in map(str, self.trouble_rows)

    def in_trouble_at(self, list_name: str) -> frozenset[int]:
        """Return the ids of the rows that cause the trouble in replies to a list."""
        applies = bool(self.trouble) and list_name == self.trouble_list and self.trouble_at != "records"
        return self.trouble_rows if applies else frozenset()

    def in_trouble(self, kind: Literal["calls", "wsdl"]) -> bool:
        """Return whether every reply of that kind has the trouble."""
        return bool(self.trouble) and not self.trouble_rows and self.trouble_at in {kind, "everything"}

    @property
    def now(self) -> float:
        """The time of the shop's clock, in seconds since 1970.

        >>> from magento_pager.fake.profiles import profile
        >>> Settings(profile=profile("1.7.0.2"), clock="2024-05-01 12:00:00").now
        1714564800.0
        """
        return datetime.fromisoformat(self.clock).replace(tzinfo=UTC).timestamp() if self.clock else time.time()
