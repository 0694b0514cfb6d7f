"""The public library, against the embedded shop over HTTP, in both flavours."""

from __future__ import annotations

import itertools
import operator as operators
from typing import TYPE_CHECKING, Any

import pytest

import magento_pager
from magento_pager import (
    STRATEGIES,
    FilterIgnoredError,
    Goal,
    IdRange,
    NoStrategyError,
    Pager,
    Query,
    Range,
    RemoteError,
)
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from magento_pager import ListName, StrategyName

ENTITIES = ["orders", "invoices", "shipments", "creditmemos", "customers", "products"]
NEW = [("20.0.20", "rpc"), ("20.0.20", "wsi"), ("1.7.0.2", "rpc"), ("1.7.0.2", "wsi")]


def ids_of(shop: Shop, entity: str) -> list[int]:
    """Return the ids in the shop."""
    return sorted(shop.database.ids(entity))


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize(("profile", "flavour"), NEW)
def test_every_row_of_every_list(shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: str) -> None:
    """Without options every list is delivered completely, each row once, in order of id."""
    shop = shop_of(profile, flavour)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        paginator = getattr(pager, entity)()
        rows = list(paginator)
    expected = ids_of(shop, entity)
    assert len(rows) == len(expected)
    if entity == "shipments":
        assert len({row["increment_id"] for row in rows}) == len(expected)
    else:
        assert [int(row[paginator.id_field]) for row in rows] == expected


@pytest.mark.sampled
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("entity", ["orders", "customers"])
@pytest.mark.parametrize(("profile", "flavour"), NEW)
def test_a_named_strategy_is_exact_or_refused(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName, strategy: StrategyName
) -> None:
    """A strategy that the server does not honour ends with a clear error, never with wrong rows."""
    shop = shop_of(profile, flavour)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        paginator = pager.list(entity, strategy=strategy, last=4000)
        try:
            rows = list(paginator)
        except RemoteError as error:
            outcome = str(error)
        else:
            outcome = "exact"
            assert [int(row[paginator.id_field]) for row in rows] == [
                one for one in ids_of(shop, entity) if one <= 4000
            ]
    assert (outcome == "exact") == ((strategy, entity, profile) in HOLDS)
    assert "\n" not in outcome


HOLDS = {
    (strategy, entity, profile)
    for profile in ("20.0.20", "1.7.0.2")
    for entity in ("orders", "customers")
    for strategy in STRATEGIES[1:]
    if strategy in {"in-list", "prefix", "regexp", "single-filter"}
    or (strategy == "key-range" and (profile, entity) != ("1.7.0.2", "customers"))
    or (strategy == "range" and profile == "20.0.20")
    or (strategy == "alias" and entity == "orders")
}


def test_base_address_endpoint_and_wsdl_are_all_accepted(shop_of: Callable[[str, str], Shop]) -> None:
    """Users can give any of the three addresses."""
    shop = shop_of("20.0.20", "rpc")
    for url in (shop.base_url, shop.base_url.rstrip("/"), shop.url, shop.url.rstrip("/"), shop.url + "?wsdl=1"):
        with magento_pager.connect(url, shop.user, shop.key) as pager:
            assert next(iter(pager.orders()))["order_id"]


def test_rows_are_plain_dicts_of_text(shop_of: Callable[[str, str], Shop]) -> None:
    """json, pandas and pyarrow accept a row unchanged."""
    shop = shop_of("20.0.20", "rpc")
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        row = next(iter(pager.orders(window=100)))
        product = next(iter(pager.products(window=100)))
    assert type(row) is dict
    assert {type(value) for value in row.values()} == {str}
    assert isinstance(product["website_ids"], list)


def test_where_selects_rows_on_the_server(shop_of: Callable[[str, str], Shop]) -> None:
    """The server applies `where` in every window."""
    shop = shop_of("1.7.0.2", "wsi")
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        every = [row["order_id"] for row in pager.orders() if row["status"] == "complete"]
        narrowed = [row["order_id"] for row in pager.orders(where=[("status", "eq", "complete")])]
    assert every
    assert narrowed == every


def test_a_field_that_old_servers_misread_is_sent_in_an_unambiguous_form(shop_of: Callable[[str, str], Shop]) -> None:
    """Up to 1.7.0.0 the plain order_id of an invoice means its own id; the qualified name is unambiguous."""
    for profile in ("1.6.2.0", "20.0.20"):
        shop = shop_of(profile, "rpc")
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            order = next(iter(pager.invoices()))["order_id"]
            rows = list(pager.invoices(where=[("order_id", "eq", order)]))
        assert [row["order_id"] for row in rows] == [order]


@pytest.mark.parametrize("field", ["entity_id", "order_id", "ENTITY_ID", "main_table.entity_id"])
def test_conditions_on_the_key_are_refused(shop_of: Callable[[str, str], Shop], field: str) -> None:
    """The walk itself filters by key; `first` and `last` replace such a condition."""
    shop = shop_of("20.0.20", "rpc")
    with (
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
        pytest.raises(ValueError, match="use first and last"),
    ):
        pager.orders(where=[(field, "gt", "5")])


def test_unknown_names_are_refused_with_a_list_of_known_names(shop_of: Callable[[str, str], Shop]) -> None:
    """The error for a wrong name lists the valid ones."""
    shop = shop_of("20.0.20", "rpc")
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        with pytest.raises(ValueError, match="the strategies are auto, key-range, range"):
            pager.orders(strategy="fastest")  # type: ignore[arg-type]  # the point
        with pytest.raises(ValueError, match="the lists are orders, invoices"):
            pager.list("quotes")  # type: ignore[arg-type]  # the point


def test_a_list_that_the_shop_lacks_is_refused(shop_of: Callable[[str, str], Shop]) -> None:
    """Before 1.6.1 there is no list of credit memos, and the error explains that."""
    shop = shop_of("1.4.1.1", "rpc")
    with (
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
        pytest.raises(RemoteError, match=r"no creditmemos; Magento has that list since 1\.6\.1"),
    ):
        list(pager.creditmemos())


def test_a_wrong_key_is_reported_with_a_missing_right() -> None:
    """The server sends the same fault for a wrong key and a missing right, so the error names both."""
    with Shop(orders=5, denied=["customers"]) as shop:
        with pytest.raises(RemoteError, match="the user or key is wrong, or a right is missing"):
            magento_pager.connect(shop.url, shop.user, "wrong")
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            assert len(list(pager.orders())) == 5
            with pytest.raises(RemoteError, match="Retrieve customer info"):
                list(pager.customers())


def test_leaving_the_block_ends_the_session() -> None:
    """The context manager logs in once and logs out at the end."""
    with Shop(orders=5) as shop:
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            list(pager.orders())
            list(pager.customers())
        names = [call.operation for call in shop.log]
    assert names.count("login") == 1
    assert names[-1] == "endSession"


def test_a_strategy_that_is_not_honoured_is_refused_before_use(shop_of: Callable[[str, str], Shop]) -> None:
    """On 1.7.0.2 a range loses its lower bound: the error reports it and names the strategy to use."""
    shop = shop_of("1.7.0.2", "rpc")
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        with pytest.raises(NoStrategyError, match=r"unexpected rows .* use the strategy key-range") as caught:
            next(iter(pager.orders(strategy="range")))
        assert caught.value.report.holds("range") is False
        with pytest.raises(NoStrategyError, match=r"Invalid attribute name.* use the strategy in-list"):
            next(iter(pager.customers(strategy="alias")))


def test_a_named_strategy_ends_when_the_shop_stops_honouring_it() -> None:
    """The walk ends at the first unexpected row, and no such row is delivered."""
    with Shop(profile="1.8.1.0") as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        rows = iter(pager.orders(strategy="range", window=50))
        delivered = [next(rows) for _ in range(100)]
        shop.set_profile("1.7.0.2")
        with pytest.raises(FilterIgnoredError, match="prefix works on every version") as caught:
            delivered.extend(rows)
        assert caught.value.cursor is not None
        rest = list(pager.orders(first=caught.value.cursor.next_id))
        assert [int(row["order_id"]) for row in [*delivered, *rest]] == ids_of(shop, "orders")


def test_auto_changes_the_strategy_when_the_shop_changes() -> None:
    """Auto probes again and continues at this window, with a strategy that is honoured now."""
    with Shop(profile="1.8.1.0") as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        strategies: set[str] = set()
        delivered: list[dict[str, Any]] = []
        for page in pager.customers(window=50).pages():
            delivered += page.rows
            strategies.add(page.stats.strategy)
            if len(delivered) > 100:
                shop.set_profile("1.7.0.2")
        assert strategies == {"key-range", "in-list"}
        assert [int(row["customer_id"]) for row in delivered] == ids_of(shop, "customers")


def test_a_custom_strategy_object_is_accepted(shop_of: Callable[[str, str], Shop]) -> None:
    """An object with a name and `queries` needs no registration."""

    class Halves:
        name = "halves"

        def queries(self, window: IdRange, known: int | None) -> Iterator[Query]:
            for part in window.halves() if len(window) > 1 else (window,):
                yield from Range().queries(part, known)

    shop = shop_of("20.0.20", "wsi")
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        rows = list(pager.orders(strategy=Halves(), window=200))
    assert [int(row["order_id"]) for row in rows] == ids_of(shop, "orders")


def test_auto_has_no_queries_offline(shop_of: Callable[[str, str], Shop]) -> None:
    """The strategy is chosen by testing the server."""
    shop = shop_of("20.0.20", "rpc")
    with (
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
        pytest.raises(ValueError, match="name a strategy"),
    ):
        pager.orders().queries()


def test_queries_makes_no_call(shop_of: Callable[[str, str], Shop]) -> None:
    """The queries of a strategy can be printed without a call."""
    shop = shop_of("20.0.20", "rpc")
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        before = len(shop.log)
        query = next(pager.orders(strategy="alias", window=100).queries())
        assert str(query) == "entity_id from '0' and main_table.entity_id to '99'"
        assert len(shop.log) == before


@pytest.mark.slow
def test_windows_follow_the_speed_of_the_server() -> None:
    """A server that slows down a hundredfold gets narrower windows, and the old width when it is fast again."""
    rows: dict[float, list[int]] = {0.0001: [], 0.01: [], 0.0: []}
    with Shop(orders=6000) as shop, magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        pages = pager.orders(goal=Goal(rows=200, seconds=0.1), strategy="range", first=100, last=5000).pages()
        for pace, sizes in rows.items():
            shop.change(latency_per_row=pace)
            sizes += [len(page.rows) for page in itertools.islice(pages, 9)]
    fast, slow, again = (sorted(sizes[3:])[3] for sizes in rows.values())
    assert slow * 4 < fast
    assert slow * 4 < again


DATES = [
    ("orders", "created_at"),
    ("orders", "updated_at"),
    ("orders", "customer_dob"),
    ("invoices", "order_created_at"),
    ("shipments", "main_table.created_at"),
    ("creditmemos", "updated_at"),
    ("customers", "dob"),
    ("customers", "CREATED_AT"),
    ("products", "created_at"),
    ("products", "special_from_date"),
]


@pytest.mark.parametrize(("entity", "field"), DATES)
def test_a_date_column_needs_a_complete_date(entity: ListName, field: str) -> None:
    """In every list, checked before any call; the value sent is the start of the day."""
    nobody: Any = None
    with pytest.raises(ValueError, match=r"whole date, such as 2024-01-05"):
        Pager(nobody).list(entity, where=[(field, "gteq", "2024-01")])
    paginator = Pager(nobody).list(entity, strategy="range", where=[(field, "to", "2024-01-05")])
    assert str(next(paginator.queries())).endswith(f"and {field} to '2024-01-05 00:00:00'")


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "flavour"), [*NEW, ("1.4.1.1", "rpc")])
@pytest.mark.parametrize("operator", ["gt", "gteq", "lt", "lteq", "from", "to", "eq", "neq"])
def test_a_date_means_its_midnight_on_every_version(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, operator: str
) -> None:
    """The rows are those that Python selects by comparing text."""
    shop = shop_of(profile, flavour)
    compare = {"gteq": "ge", "from": "ge", "lteq": "le", "to": "le", "neq": "ne"}.get(operator, operator)
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        rows = list(pager.orders(last=400))
        day = rows[len(rows) // 2]["created_at"][:10]
        expected = [row for row in rows if getattr(operators, compare)(row["created_at"], f"{day} 00:00:00")]
        assert list(pager.orders(last=400, where=[("created_at", operator, day)])) == expected


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize("value", ["2", "9", "1000000010", "1000000000000"])
@pytest.mark.parametrize("operator", ["lteq", "lt", "gteq", "gt"])
def test_a_column_of_text_that_looks_like_numbers_is_compared_as_text(
    shop_of: Callable[[str, str], Shop], operator: str, value: str
) -> None:
    """Magento stores increment_id as text, so "100000001" is below "2"; a correct server causes no error."""
    shop = shop_of("20.0.20", "rpc")
    satisfied = {"lteq": operators.le, "lt": operators.lt, "gteq": operators.ge, "gt": operators.gt}[operator]
    with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
        numbers = [row["increment_id"] for row in pager.orders(last=400)]
        expected = [number for number in numbers if satisfied(number, value)]
        found = pager.orders(last=400, where=[("increment_id", operator, value)])
        assert [row["increment_id"] for row in found] == expected


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("fault", "fault 1, \"No date part in '' found.\""),
        ("fatal", "Fatal error: Call to a member function getName()"),
        ("http-500", "HTTP 500"),
        ("empty", "the reply is empty"),
        ("control-character", "a row contains a character that XML forbids"),
    ],
)
@pytest.mark.parametrize("entity", ["orders", "shipments", "products"])
def test_a_probe_reports_the_error_that_breaks_every_reply(entity: ListName, trouble: str, words: str) -> None:
    """No row can be read to test a strategy on; an empty list is a different case."""
    with Shop(orders=40, trouble=trouble, trouble_list=entity) as shop:
        shop.change(trouble_rows=list(shop.database.ids(entity)))
        with magento_pager.connect(shop.url, shop.user, shop.key) as pager:
            for exhaustive in (False, True):
                with pytest.raises(NoStrategyError, match="no strategy could be tried") as caught:
                    pager.list(entity).probe(exhaustive=exhaustive)
                assert words in str(caught.value)
            assert pager.list(entity, where=[("created_at", "gteq", "2037-01-01")]).probe().rows_known == 0
