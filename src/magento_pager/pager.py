"""The entry points of the library: `connect`, and a `Pager` for the lists of a shop."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, cast

from magento_pager.export.arrow import ArrowTables
from magento_pager.export.increments import earlier, shop_time, warn_of_clock
from magento_pager.export.layout import Layout
from magento_pager.export.values import TypedPages, without_secrets
from magento_pager.lists import ListSpec, list_spec, wire_and_columns
from magento_pager.shop.connection import Connection
from magento_pager.shop.details import Details
from magento_pager.shop.saving import ReplyFolder
from magento_pager.shop.transport import HttpOptions
from magento_pager.shop.wires import WIRES, Wires, paginator_options, warn_of_one_call
from magento_pager.walk.bounds import ColumnRange, as_conditions
from magento_pager.walk.changes import refuse_with_since
from magento_pager.walk.conditions import Condition, bound_pairs, checked_where, column_of
from magento_pager.walk.limiter import CallsUnderWay
from magento_pager.walk.paginator import Paginator
from magento_pager.walk.ranges import MAX_ID
from magento_pager.walk.reading import PATIENCE
from magento_pager.walk.strategies import KEY, Strategy
from magento_pager.walk.walk import DEFAULT_GOAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from magento_pager.lists import ColumnSet, ListName, Wire, WireName
    from magento_pager.walk.bounds import Where
    from magento_pager.walk.names import Check, StrategyName
    from magento_pager.walk.paginator import Stage
    from magento_pager.walk.windows import Goal

P = ParamSpec("P")
R = TypeVar("R")


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
    save_replies: str | Path | None = None,
) -> Pager:
    """Connect to a shop: fetch its WSDL and log in.

    Args:
        url: the shop's base address, or the address of any of its APIs or of its WSDL.
        user: the API user (System, Web Services, SOAP users).
        key: the API key.
        timeout: time limit for one call, in seconds, more than 0.
        wait: seconds for which to retry fetching the WSDL and logging in, after failures that may pass; 0 to try once.
        headers: HTTP headers for every call and every document of the shop.
        basic_auth: user and password of the web server's own login, not of the API; sent like `headers`.
        ca_bundle: path of the certificates to trust, instead of the system's.
        proxy: address of an HTTP proxy; by default that of the environment, such as `HTTP_PROXY`.
        legacy_tls: also accept TLS 1.0 and the ciphers of its time.
        insecure_http: also send the key over plain http to a host that is not this machine.
        allow_hosts: further hosts, each HOST (any port) or HOST:PORT. The key, `basic_auth` and `headers` are bound to
            the scheme, host and port of `url`. The WSDL may direct calls to these hosts too, with all of these secrets;
            documents are fetched from them without secrets.
        save_replies: a folder for the request and the raw reply of each call that fails, created if it is missing. The
            files are for the shop's admin and contain customers' data. At most 16 MiB of a reply, 1,000 files and
            256 MiB in all.

    Raises:
        ValueError: an argument is invalid.
        FaultError: the shop refuses this user and key.
        TransportError: the shop cannot be reached.
        MalformedReplyError: the address does not answer like a Magento.

    >>> from magento_pager.fake import Shop
    >>> with Shop(orders=3) as shop, connect(shop.url, shop.user, shop.key) as pager:
    ...     [order["order_id"] for order in pager.orders()]
    ['3', '4', '6']
    """
    options = http_options(
        timeout=timeout,
        wait=wait,
        headers=headers,
        basic_auth=basic_auth,
        ca_bundle=ca_bundle,
        proxy=proxy,
        legacy_tls=legacy_tls,
        insecure_http=insecure_http,
        allow_hosts=allow_hosts,
        save_replies=save_replies,
    )
    connection = Connection(url, user, key, options)
    try:
        connection.login()
    except BaseException:
        connection.close()
        raise
    return Pager(connection)


def http_options(
    *,
    wait: float = 0.0,
    headers: Mapping[str, str] | None = None,
    allow_hosts: Iterable[str] = (),
    save_replies: str | Path | None = None,
    **others: Any,
) -> HttpOptions:
    """Return the options of HTTP, from the options of `connect`."""
    return HttpOptions(
        patience=wait,
        headers=dict(headers or {}),
        allow_hosts=frozenset(allow_hosts),
        save_replies=ReplyFolder(save_replies) if save_replies else None,
        **others,
    )


def with_options_of(other: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Give a function the parameters of another one, so that they are written once."""
    shown = signature(other)

    def with_signature(function: Callable[..., R]) -> Callable[P, R]:
        returned = signature(function).return_annotation
        function.__signature__ = shown.replace(return_annotation=returned)  # type: ignore[attr-defined]  # inspect's
        return cast("Callable[P, R]", function)

    return with_signature


def _options_of(
    listing: Callable[Concatenate[Any, ListName, P], Paginator],
) -> Callable[[Callable[..., Paginator]], Callable[Concatenate[Pager, P], Paginator]]:
    """Give a method the signature of `listing` without the name of the list, so that it is written once."""
    shown = signature(listing)
    itself, _entity, *options = shown.parameters.values()

    def with_signature(method: Callable[..., Paginator]) -> Callable[Concatenate[Pager, P], Paginator]:
        method.__signature__ = shown.replace(parameters=[itself, *options])  # type: ignore[attr-defined]  # inspect's
        return cast("Callable[Concatenate[Pager, P], Paginator]", method)

    return with_signature


class Pager:
    """The lists of one shop. It is a context manager: leaving it ends the session.

    Each method returns a `Paginator` for one list. Iterate it for rows, use `.pages()` for pages, or `.queries()` for
    the queries without sending them. All methods take the options of `list`; an unknown option is a TypeError.

    >>> from magento_pager.fake import Shop
    >>> with Shop(orders=3) as shop, connect(shop.url, shop.user, shop.key) as pager:
    ...     len(list(pager.orders(where={"status": "complete"})))
    1
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._calls_under_way = CallsUnderWay()
        self._compared: dict[str, tuple[Wire, str]] = {}

    def __repr__(self) -> str:
        return f"<Pager of {self.connection.redacted(self.connection.address)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self.connection.close()

    def list(
        self,
        entity: ListName,
        *,
        window: int | None = None,
        strategy: StrategyName | Strategy = "auto",
        first: int = 0,
        last: int = MAX_ID,
        where: Where = (),
        goal: Goal = DEFAULT_GOAL,
        patience: float = PATIENCE,
        updated_since: datetime | timedelta | None = None,
        new_from: int | None = None,
        repair: bool = False,
        details: bool = False,
        lookahead: bool | None = None,
        parallel: int | Literal["auto"] = 1,
        wsdl_cache: bool = False,
        nice: float = 0.0,
        check: Check = "usual",
        typed: bool = False,
        password_hash: bool = False,
        wire: WireName | None = None,
        columns: ColumnSet | None = None,
    ) -> Paginator:
        """Return a paginator for the list of that name; nothing is sent before it is used.

        Args:
            entity: orders, invoices, shipments, creditmemos, customers or products.
            window: ids in each window with rows, at least 1; None to aim at `goal`.
            strategy: a name from `STRATEGIES`, or a custom object with a name and a method `queries`.
            first: the first id to cover, inclusive.
            last: the last id to cover, inclusive; by default the highest possible id.
            where: further conditions, each (field, operator, value); rows satisfy all of them. Or a mapping of fields
                to values, to (operator, value), or to `between(start, end)`. Conditions that some server would silently
                misread are refused. Two on one column are a range of dates or numbers, a lower and an upper bound.
            goal: rows and seconds that a call should take, if `window` is None.
            patience: seconds for which a failing window is retried, at growing intervals, if the failure may pass.
            updated_since: only rows changed at that time or later: an aware datetime, or a timedelta for how long ago
                by the shop's clock. It does not find deleted rows, nor rows whose `updated_at` is NULL, except those of
                `new_from`.
            new_from: with `updated_since`, the first id of new rows, at most 4294967296: rows with this id or a higher
                one are included whatever their `updated_at` says. Pass the highest id that you have, plus 1.
            repair: read rows in which control characters break the XML, as servers before 1.9.3 send them, without
                those characters, and report their ids; otherwise they are skipped and reported.
            details: rows in full: with the items of an order, its addresses, payment and history, and the same for the
                other lists. Takes more calls, and pages have at most 250 rows.
            lookahead: request the next window while a page is decoded and used; still one call at a time. By default
                True, and False with `details`.
            parallel: concurrent calls, at least 1; "auto" raises the number as long as that brings more rows, by
                XML-RPC or with `wsdl_cache`; otherwise it stays at one, and a warning says so.
            wsdl_cache: state that the shop's WSDL cache is on. By default it is off, and a server fetches its own WSDL
                during each SOAP call with a second worker of PHP: as many concurrent calls as workers block the shop.
            nice: seconds to pause after a call, for each second that the call took.
            check: "full" requests each window by two strategies and compares them. Takes twice the calls, and more if
                the second strategy takes a call for each decimal block.
            typed: rows with int, Decimal and aware datetime in UTC for the columns known to contain these, instead of
                the server's text. An invalid value is None, and in the `misfits` of its page.
            password_hash: include that column of customers, which is dropped otherwise, and `rp_token`, which XML-RPC
                sends.
            wire: the protocol: "soap", "xml-rpc", or "auto" for the one that costs the shop less, once known rows were
                equal by both. By default "soap", and "xml-rpc" for all columns.
            columns: "declared" for those of the shop's WSDL, or "all" for those that extensions added too, which
                XML-RPC sends, as text. By default "all" with `wire="xml-rpc"`, otherwise "declared".

        Raises:
            ValueError: an unknown entity or strategy, a window below 1, `first` above `last`, a refused condition, a
                time without a zone.
            TypeError: an unknown option, or an object that is not a strategy, a condition or a datetime.
        """
        spec, now = list_spec(entity), None
        if isinstance(updated_since, timedelta):
            now = shop_time(self.connection.clock)
            updated_since = earlier(now, updated_since)
        conditions = as_conditions(where)
        if updated_since is not None:
            refuse_with_since(conditions)
        plain_conditions, ranges = _checked(conditions, spec)
        stages: tuple[Stage, ...] = () if password_hash else (without_secrets,)
        if details:
            stages = (Details(self.connection, spec, goal=goal, repair=repair), *stages)
        if typed:
            stages = (*stages, TypedPages(spec))
        wire, all_columns = wire_and_columns(wire, columns)
        options = {
            name: paginator_options(
                name,
                self.connection,
                spec,
                strategy=strategy,
                repair=repair,
                all_columns=all_columns,
                parallel=parallel,
                wsdl_cache=wsdl_cache,
            )
            for name in WIRES
            if wire in {name, "auto"}
        }
        paginator = Paginator(
            id_field=spec.key,
            identity_field=spec.identity,
            operation=spec.operation,
            where=plain_conditions,
            ranges=ranges,
            window=window,
            first=first,
            last=last,
            goal=goal,
            patience=patience,
            since=updated_since,
            new_from=new_from,
            lookahead=not details if lookahead is None else lookahead,
            nice=nice,
            check=check,
            stages=stages,
            asked=conditions,
            calls_under_way=self._calls_under_way,
            wires=Wires(spec, options, self._compared) if wire == "auto" else None,
            tables=ArrowTables(Layout(spec, "parquet", details=details, password_hash=password_hash)),
            **next(iter(options.values())),
        )
        if wire == "soap":
            warn_of_one_call(parallel, paginator.parallel)
        if now is not None:  # a warning comes after all errors
            warn_of_clock(now)
        return paginator

    _shortcut = _options_of(list)  # noqa: A003  the method above

    @_shortcut
    def orders(self, **options: Any) -> Paginator:
        """Return a paginator for the orders."""
        return self.list("orders", **options)

    @_shortcut
    def invoices(self, **options: Any) -> Paginator:
        """Return a paginator for the invoices. Up to Magento 1.7.0.0 their rows carry no id."""
        return self.list("invoices", **options)

    @_shortcut
    def shipments(self, **options: Any) -> Paginator:
        """Return a paginator for the shipments. Their rows carry no id."""
        return self.list("shipments", **options)

    @_shortcut
    def creditmemos(self, **options: Any) -> Paginator:
        """Return a paginator for the credit memos. Magento has the list since 1.6.1."""
        return self.list("creditmemos", **options)

    @_shortcut
    def customers(self, **options: Any) -> Paginator:
        """Return a paginator for the customers."""
        return self.list("customers", **options)

    @_shortcut
    def products(self, **options: Any) -> Paginator:
        """Return a paginator for the products of all websites."""
        return self.list("products", **options)


def _checked(where: tuple[Condition, ...], spec: ListSpec) -> tuple[tuple[Condition, ...], tuple[ColumnRange, ...]]:
    """Check the user's conditions; return single ones with the server's field names, and ranges of a column."""
    checked = [
        replace(condition, field=spec.spellings.get(condition.field, condition.field))
        for condition in checked_where(where, (KEY, spec.key), spec.dates, spec.numbers)
    ]
    pairs = bound_pairs(checked)
    ranges = []
    for column, (lower, upper) in pairs.items():
        # Servers that keep one condition for each field take the second name for another field.
        names = (f"main_table.{column}", f"main_table.{column.upper()}") if spec.flat else (column.upper(), column)
        ranges.append(ColumnRange(lower, upper, names, number=column in spec.numbers))
    single = tuple(condition for condition in checked if column_of(condition.field) not in pairs)
    return single, tuple(ranges)
