"""The façade: `connect` to a shop, and page its six lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, TypedDict, Unpack

from magento_pager.export.values import typed_pages, without_secrets
from magento_pager.lists import ListSpec, list_spec
from magento_pager.shop.connection import Connection, ListSource
from magento_pager.shop.details import Details
from magento_pager.shop.transport import HttpOptions
from magento_pager.walk.changes import usual
from magento_pager.walk.conditions import Condition, checked_where
from magento_pager.walk.paginator import Paginator
from magento_pager.walk.ranges import MAX_ID
from magento_pager.walk.reading import PATIENCE
from magento_pager.walk.strategies import (
    KEY,
    Alias,
    InList,
    Mapped,
    Prefix,
    Range,
    Regexp,
    SingleFilter,
    Strategy,
)
from magento_pager.walk.walking import DEFAULT_GOAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from magento_pager.walk.paginator import Stage
    from magento_pager.walk.windows import Goal

STRATEGIES = ("auto", "range", "alias", "mapped", "in-list", "prefix", "regexp", "single-filter")
"""The names a strategy may be chosen by."""


class ListOptions(TypedDict, total=False):
    """What every list method takes, all of it by name and optional.

    Attributes:
        window: ids in each window with rows, at least 1; None to aim at `goal`.
        strategy: a name out of `STRATEGIES`, or an object of your own with a name and a method `queries`.
        first: the first id to cover, inclusive.
        last: the last id to cover, inclusive; by default the last there can be.
        where: further conditions, (field, operator, value), all of which must hold; refused where some server would
            silently misread them.
        goal: rows and seconds that a call should bring, where `window` is None.
        patience: seconds for which a window is tried again, ever more slowly, where a failure may pass.
        updated_since: only rows that were changed at that moment or later, an aware datetime. Rows that were deleted
            are invisible to it, and so are those whose `updated_at` is NULL.
        repair: read rows in which control characters break the XML, which servers before 1.9.3 send, without those
            characters, and name their ids; otherwise they are left out, and named.
        details: rows in full: with the items of an order, its addresses, payment and history, and likewise for the
            other lists. Takes more calls, which are made while no other is under way unless `parallel` says so.
        lookahead: ask for the next window while a page is decoded and used; still one call under way at a time.
        parallel: calls that may be under way at once, at least 1; "auto" raises it as long as more rows come.
        nice: seconds to leave the shop alone after a call, for each second that the call took.
        typed: rows with int, Decimal and aware datetime in UTC for the columns that are known to hold those, instead of
            the server's text; what does not fit is None, and among the `misfits` of its page.
        password_hash: rows of customers with that column, which else is dropped.
    """

    window: int | None
    strategy: str | Strategy
    first: int
    last: int
    where: Iterable[Condition | tuple[str, str, str]]
    goal: Goal
    patience: float
    updated_since: datetime | None
    repair: bool
    details: bool
    lookahead: bool
    parallel: int | Literal["auto"]
    nice: float
    typed: bool
    password_hash: bool


def connect(
    url: str,
    user: str,
    key: str,
    *,
    timeout: float = 120.0,
    wait: float = 0.0,
    headers: Mapping[str, str] | None = None,
    basic_auth: tuple[str, str] | None = None,
    ca_bundle: str | None = None,
    proxy: str | None = None,
    legacy_tls: bool = False,
    insecure_http: bool = False,
    allow_hosts: Iterable[str] = (),
) -> Pager:
    """Fetch a shop's WSDL and log in.

    Args:
        url: the shop's base address, its SOAP endpoint, or the address of its WSDL.
        user: the API user (System, Web Services, SOAP users).
        key: the API key.
        timeout: seconds one call may take in all, more than 0.
        wait: seconds to keep trying to reach the shop and log in, where a failure may pass.
        headers: sent with every call.
        basic_auth: user and password of the web server's own protection, not of the API.
        ca_bundle: path of the certificates to trust, instead of the usual ones.
        proxy: address of an HTTP proxy.
        legacy_tls: also accept TLS 1.0 and the ciphers of its time.
        insecure_http: also send the key over plain http to a host that is not this machine.
        allow_hosts: other hosts that the WSDL may send calls to.

    Raises:
        ValueError: an argument that cannot be right.
        FaultError: the shop refuses this user and key.
        TransportError: the shop cannot be reached.
        MalformedReplyError: what answers there is no Magento.
    """
    options = HttpOptions(
        timeout=timeout,
        patience=wait,
        headers=dict(headers or {}),
        basic_auth=basic_auth,
        ca_bundle=ca_bundle,
        proxy=proxy,
        legacy_tls=legacy_tls,
        insecure_http=insecure_http,
        allow_hosts=frozenset(allow_hosts),
    )
    connection = Connection(url, user, key, options)
    try:
        connection.login()
    except BaseException:
        connection.close()
        raise
    return Pager(connection)


class Pager:
    """The lists of one shop. A context manager: leaving it ends the session.

    Each method gives a `Paginator` for one list; iterate it for rows, `.pages()` for pages, `.queries()` for what would
    be asked. They share the arguments of `ListOptions`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def __repr__(self) -> str:
        return f"<Pager of {self.connection.address}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self.connection.close()

    def orders(self, **options: Unpack[ListOptions]) -> Paginator:
        """Every order."""
        return self.list("orders", **options)

    def invoices(self, **options: Unpack[ListOptions]) -> Paginator:
        """Every invoice. Up to Magento 1.7.0.0 their rows carry no id."""
        return self.list("invoices", **options)

    def shipments(self, **options: Unpack[ListOptions]) -> Paginator:
        """Every shipment. Their rows carry no id."""
        return self.list("shipments", **options)

    def creditmemos(self, **options: Unpack[ListOptions]) -> Paginator:
        """Every credit memo. Magento has the list since 1.6.1."""
        return self.list("creditmemos", **options)

    def customers(self, **options: Unpack[ListOptions]) -> Paginator:
        """Every customer."""
        return self.list("customers", **options)

    def products(self, **options: Unpack[ListOptions]) -> Paginator:
        """Every product, of all websites."""
        return self.list("products", **options)

    def list(self, entity: str, **options: Unpack[ListOptions]) -> Paginator:
        """The list of that name.

        Raises:
            ValueError: an unknown entity or strategy, a window below 1, `first` above `last`, a refused condition, a
                time without a zone.
            TypeError: an object that is no strategy or no condition.
        """
        spec = list_spec(entity)
        stages: list[Stage] = [self._details(spec, options)] if options.get("details") else []
        stages += [] if options.get("password_hash") else [without_secrets]
        stages += [typed_pages(spec)] if options.get("typed") else []
        where, since = tuple(options.get("where", ())), options.get("updated_since")
        asked = where if since is None else (*where, usual(since))
        conditions = (
            Condition(spec.spellings.get(condition.field, condition.field), condition.operator, condition.value)
            for condition in checked_where(asked, (KEY, spec.key))[: len(where)]
        )
        return Paginator(
            ListSource(self.connection, spec),
            strategy_for(options.get("strategy", "auto"), spec),
            id_field=spec.key,
            identity_field=spec.identity,
            operation=spec.operation,
            where=tuple(conditions),
            window=options.get("window"),
            first=options.get("first", 0),
            last=options.get("last", MAX_ID),
            goal=options.get("goal", DEFAULT_GOAL),
            patience=options.get("patience", PATIENCE),
            since=since,
            repairing=ListSource(self.connection, spec, repair=True) if options.get("repair") else None,
            candidates=candidates_for(spec),
            lookahead=options.get("lookahead", not options.get("details")),
            parallel=options.get("parallel", 1),
            nice=options.get("nice", 0.0),
            stages=tuple(stages),
        )

    def _details(self, spec: ListSpec, options: ListOptions) -> Details:
        return Details(
            self.connection,
            spec,
            goal=options.get("goal", DEFAULT_GOAL),
            patience=options.get("patience", PATIENCE),
            nice=options.get("nice", 0.0),
            repair=options.get("repair", False),
        )


def candidates_for(spec: ListSpec) -> tuple[Strategy, ...]:
    """The strategies for a list, in order of preference: key ranges first, then scans.

    >>> from magento_pager.lists import LISTS
    >>> [strategy.name for strategy in candidates_for(LISTS["customers"])]
    ['range', 'alias', 'mapped', 'in-list', 'prefix', 'regexp', 'single-filter']
    """
    return (Range(), Alias(), Mapped(spec.key), InList(), Prefix(), Regexp(), SingleFilter())


def strategy_for(strategy: str | Strategy, spec: ListSpec) -> Strategy | None:
    """The strategy of that name for a list, None for "auto"; an object of the user's own is taken as it is.

    Raises:
        ValueError: an unknown name.
    """
    if not isinstance(strategy, str):
        return strategy
    by_name = {known.name: known for known in candidates_for(spec)}
    if strategy not in STRATEGIES:
        raise ValueError(f"there is no strategy {strategy!r}; the strategies are {', '.join(STRATEGIES)}")
    return by_name.get(strategy)
