"""The façade: `connect` to a shop, and page its six lists."""

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
from magento_pager.shop.wires import WIRES, Wires, attributes, warn_of_one_call
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
    """Fetch a shop's WSDL and log in.

    Args:
        url: the shop's base address, or that of any of its APIs or of its WSDL.
        user: the API user (System, Web Services, SOAP users).
        key: the API key.
        timeout: seconds one call may take in all, more than 0.
        wait: seconds to keep trying to reach the shop and log in, where a failure may pass.
        headers: sent to the shop with every call and every request for a document.
        basic_auth: user and password of the web server's own protection, not of the API; sent as `headers` are.
        ca_bundle: path of the certificates to trust, instead of the usual ones.
        proxy: address of an HTTP proxy; by default that of the environment, `HTTP_PROXY` and so on.
        legacy_tls: also accept TLS 1.0 and the ciphers of its time.
        insecure_http: also send the key over plain http to a host that is not this machine.
        allow_hosts: further hosts, each HOST (any port of it) or HOST:PORT. The key, `basic_auth` and `headers` are
            bound to the scheme, host and port of `url`. The WSDL may send calls to these hosts as well, with all of
            that; documents may come from them, and are asked for without it.
        save_replies: a folder, made if it is missing, for the request and the raw reply of each call that fails: for
            the shop's admin, as customers' data stays in. At most 16 MiB of a reply, 1,000 files and 256 MiB in all.

    Raises:
        ValueError: an argument that cannot be right.
        FaultError: the shop refuses this user and key.
        TransportError: the shop cannot be reached.
        MalformedReplyError: what answers there is no Magento.
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
    """Return how a shop is reached, from the options of `connect`."""
    return HttpOptions(
        patience=wait,
        headers=dict(headers or {}),
        allow_hosts=frozenset(allow_hosts),
        save_replies=ReplyFolder(save_replies) if save_replies else None,
        **others,
    )


def with_options_of(other: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Give a function the parameters of another one, so that these are written once."""
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
    """The lists of one shop. A context manager: leaving it ends the session.

    Each method returns a `Paginator` for one list; iterate it for rows, `.pages()` for pages, `.queries()` for what
    would be asked. All take the options of `list`; an unknown option is a TypeError.
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
        """Return the list of that name.

        Args:
            entity: orders, invoices, shipments, creditmemos, customers or products.
            window: ids in each window with rows, at least 1; None to aim at `goal`.
            strategy: a name out of `STRATEGIES`, or an object of your own with a name and a method `queries`.
            first: the first id to cover, inclusive.
            last: the last id to cover, inclusive; by default the last there can be.
            where: further conditions, (field, operator, value), all of which must hold; or a mapping of fields to
                values, to (operator, value), or to `between(start, end)`. Refused where some server would silently
                misread them. Two on one column are a range of dates or numbers, one lower and one upper bound.
            goal: rows and seconds that a call should bring, where `window` is None.
            patience: seconds for which a window is tried again, ever more slowly, where a failure may pass.
            updated_since: only rows that were changed at that time or later, an aware datetime, or how long ago that is
                by the shop's clock, a timedelta. Rows that were deleted are invisible to it, and so are those whose
                `updated_at` is NULL, but for those of `new_from`.
            new_from: with `updated_since`, the first id of new rows, at most 4294967296: rows with it or a higher one
                come whatever their `updated_at` says. That is the highest id that you have, plus 1.
            repair: read rows in which control characters break the XML, which servers before 1.9.3 send, without those
                characters, and name their ids; otherwise they are skipped, and named.
            details: rows in full: with the items of an order, its addresses, payment and history, and likewise for the
                other lists. Takes more calls, and pages have at most 250 rows.
            lookahead: ask for the next window while a page is decoded and used; still one call under way at a time. By
                default True, and False with `details`.
            parallel: calls that may be under way at once, at least 1; "auto" raises it as long as more rows come, by
                XML-RPC or with `wsdl_cache`: else it stays at one, and a warning says so.
            wsdl_cache: the shop's WSDL cache is on. Without it, as delivered, a server fetches its own WSDL during each
                SOAP call, with a second worker of PHP: as many calls at once as it has workers block the shop.
            nice: seconds to leave the shop alone after a call, for each second that the call took.
            check: "full" asks for each window by two strategies, and delivers what both bring; takes twice the calls,
                and more where the second strategy takes a call for each decimal block.
            typed: rows with int, Decimal and aware datetime in UTC for the columns that are known to hold those,
                instead of the server's text; what does not fit is None, and among the `misfits` of its page.
            password_hash: rows of customers with that column, which else is dropped, and with `rp_token`, which XML-RPC
                sends.
            wire: "soap", "xml-rpc", or "auto" for whichever costs the shop less, once known rows came equal by both. By
                default "soap", and "xml-rpc" for all columns.
            columns: "declared" for those of the shop's WSDL, or "all" for what extensions added as well, which
                XML-RPC sends, as text. By default "all" with `wire="xml-rpc"`, else "declared".

        Raises:
            ValueError: an unknown entity or strategy, a window below 1, `first` above `last`, a refused condition, a
                time without a zone.
            TypeError: an unknown option, or an object that is no strategy, no condition or no datetime.
        """
        spec, now = list_spec(entity), None
        if isinstance(updated_since, timedelta):
            now = shop_time(self.connection.clock)
            updated_since = earlier(now, updated_since)
        asked = as_conditions(where)
        if updated_since is not None:
            refuse_with_since(asked)
        sent, ranges = _checked(asked, spec)
        stages: tuple[Stage, ...] = () if password_hash else (without_secrets,)
        if details:
            stages = (Details(self.connection, spec, goal=goal, repair=repair), *stages)
        if typed:
            stages = (*stages, TypedPages(spec))
        wire, all_columns = wire_and_columns(wire, columns)
        by = {
            name: attributes(
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
            where=sent,
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
            asked=asked,
            calls_under_way=self._calls_under_way,
            wires=Wires(spec, by, self._compared) if wire == "auto" else None,
            tables=ArrowTables(Layout(spec, "parquet", details=details, password_hash=password_hash)),
            **next(iter(by.values())),
        )
        if wire == "soap":
            warn_of_one_call(parallel, paginator.parallel)
        if now is not None:  # it is no mistake, and says so last
            warn_of_clock(now)
        return paginator

    _shortcut = _options_of(list)  # noqa: A003  the method above

    @_shortcut
    def orders(self, **options: Any) -> Paginator:
        """Return every order."""
        return self.list("orders", **options)

    @_shortcut
    def invoices(self, **options: Any) -> Paginator:
        """Return every invoice. Up to Magento 1.7.0.0 their rows carry no id."""
        return self.list("invoices", **options)

    @_shortcut
    def shipments(self, **options: Any) -> Paginator:
        """Return every shipment. Their rows carry no id."""
        return self.list("shipments", **options)

    @_shortcut
    def creditmemos(self, **options: Any) -> Paginator:
        """Return every credit memo. Magento has the list since 1.6.1."""
        return self.list("creditmemos", **options)

    @_shortcut
    def customers(self, **options: Any) -> Paginator:
        """Return every customer."""
        return self.list("customers", **options)

    @_shortcut
    def products(self, **options: Any) -> Paginator:
        """Return every product, of all websites."""
        return self.list("products", **options)


def _checked(where: tuple[Condition, ...], spec: ListSpec) -> tuple[tuple[Condition, ...], tuple[ColumnRange, ...]]:
    """The user's own conditions as the server spells them, those of ranges apart."""
    checked = [
        replace(one, field=spec.spellings.get(one.field, one.field))
        for one in checked_where(where, (KEY, spec.key), spec.dates, spec.numbers)
    ]
    pairs = bound_pairs(checked)
    ranges = []
    for column, (lower, upper) in pairs.items():
        # A second name is a field of its own, on servers that keep one condition for each field.
        names = (f"main_table.{column}", f"main_table.{column.upper()}") if spec.flat else (column.upper(), column)
        ranges.append(ColumnRange(lower, upper, names, number=column in spec.numbers))
    return tuple(one for one in checked if column_of(one.field) not in pairs), tuple(ranges)
