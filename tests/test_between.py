"""Ranges of dates and numbers: exactly their rows on every list of every version, or an error; and the evidence."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest
from conftest import SPOKEN, set_environment

import magento_pager
from magento_pager import LISTS, Condition, FilterIgnoredError, between, connect, dump, verify
from magento_pager.cli import run
from magento_pager.fake import Shop
from magento_pager.fake.lists import LISTINGS
from magento_pager.pager import Pager
from magento_pager.walk.conditions import column_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from magento_pager import ListName, Query, Source
    from magento_pager.fake.database import Database
    from magento_pager.walk.pages import Bounds, Page, Row

CELLS = [
    (profile, flavour, entity)
    for profile, flavour in SPOKEN
    for entity in LISTINGS
    if (profile, entity) != ("1.4.1.1", "creditmemos")
]
CARRIES = {"orders", "invoices", "shipments", "creditmemos", "customers"}
"""Lists whose rows carry `created_at` on every version."""
NOBODY: Any = None
JANUARY, FEBRUARY = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)


def held(shop: Shop, entity: str, column: str = "created_at") -> list[tuple[str, int]]:
    """Return the value of a column and the id of each row of a list, in order."""
    at = list(LISTINGS[entity].table.columns).index(column)
    rows = zip(cast("Database", shop.database).rows(LISTINGS[entity].table), shop.database.ids(entity), strict=True)
    return sorted((str(row[at]), number) for row, number in rows if row[at] is not None)


def brought(shop: Shop, entity: ListName, pages: Sequence[Page]) -> list[int]:
    """Return the ids of the rows of a walk, in order."""
    key = LISTS[entity].key
    numbers = dict(held(shop, entity, "increment_id")) if LISTS[entity].identity else {}
    rows = [row for page in pages for row in page.rows]
    return [int(row[key]) if row.get(key) else numbers[row["increment_id"]] for row in rows]


def of(pages: Sequence[Page]) -> Bounds:
    """Return the bounds that all pages of a walk report for its one range."""
    (bounds_of_pages,) = {page.bounds for page in pages}
    (bounds,) = bounds_of_pages
    return bounds


@pytest.mark.usefixtures("wire")
@pytest.mark.sampled
@pytest.mark.parametrize(("profile", "flavour", "entity"), CELLS)
def test_a_range_selects_exactly_its_rows_on_every_list_of_every_version(
    shop_of: Callable[[str, str], Shop], profile: str, flavour: str, entity: ListName
) -> None:
    """To the second at both ends, for all rows and for none; the server applies it, and the evidence shows how."""
    shop = shop_of(profile, flavour)
    rows = held(shop, entity)
    low, high = rows[len(rows) // 3][0], rows[len(rows) * 2 // 3][0]
    spans = [
        ("from", low, "to", high, {number for time, number in rows if low <= time <= high}),
        ("gt", low, "lteq", high, {number for time, number in rows if low < time <= high}),
        ("gteq", low, "lt", high, {number for time, number in rows if low <= time < high}),
        ("from", "2000-01-01", "lt", "2037-01-01", {number for _, number in rows}),
        ("gteq", low, "lt", low, set()),
        ("from", "2001-01-01", "to", "2001-02-01", set()),
    ]
    with connect(shop.url, shop.user, shop.key) as pager:
        for lower, start, upper, end, expected in spans:
            where = [("created_at", upper, end), ("created_at", lower, start)]
            pages = list(pager.list(entity, where=where).pages())
            ids = brought(shop, entity, pages)
            assert len(ids) == len(set(ids))
            assert set(ids) == expected
            bounds = of(pages)
            assert (bounds.column, bounds.by, bounds.here) == ("created_at", "server", ())
            assert bounds.verified == ("rows" if entity in CARRIES else "probe")
            assert [column_of(one.field) for one in bounds.sent] == ["created_at", "created_at"]


@pytest.mark.sampled
@pytest.mark.parametrize("profile", ["1.4.1.1", "1.6.2.0", "1.7.0.2", "20.0.20"])
@pytest.mark.parametrize(
    ("entity", "column"),
    [
        ("orders", "updated_at"),
        ("orders", "grand_total"),
        ("orders", "customer_id"),
        ("orders", "total_paid"),
        ("invoices", "order_id"),
        ("invoices", "base_grand_total"),
        ("shipments", "total_qty"),
        ("customers", "group_id"),
        ("customers", "dob"),
        ("products", "updated_at"),
    ],
)
def test_ranges_of_other_ordered_columns(
    shop_of: Callable[[str, str], Shop], profile: str, entity: ListName, column: str
) -> None:
    """Numbers and times are compared by value, and NULL is in no range."""
    shop = shop_of(profile, "rpc")
    rows = held(shop, entity, column)
    kind: Any = str if column in LISTS[entity].dates else Decimal
    values = sorted((kind(text), number) for text, number in rows)
    low, high = values[len(values) // 4][0], values[len(values) // 2][0]
    expected = {number for value, number in values if low <= value <= high}
    with connect(shop.url, shop.user, shop.key) as pager:
        pages = list(pager.list(entity, where={column: between(low, high)}).pages())
    assert expected
    assert set(brought(shop, entity, pages)) == expected
    assert of(pages).by == "server"


@pytest.mark.parametrize("profile", ["1.7.0.2", "20.0.20"])
def test_a_range_of_a_column_that_few_rows_have(profile: str) -> None:
    """If the first rows have no value, a row with one is searched for; if there is none, the range is empty."""
    with Shop(profile=profile, orders=1000) as shop, connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(where={"total_refunded": between(1, 9)})
        pages = list(plan.pages())
        assert (of(pages).verified, [row for page in pages for row in page.rows]) == ("empty", [])
        *_, late, last = shop.database.ids("orders")
        shop.database.update("orders", late, {"total_refunded": "9.0000"})
        shop.database.update("orders", last, {"total_refunded": "9.0100"})
        pages = list(plan.pages())
        assert brought(shop, "orders", pages) == [late]
        assert (of(pages).verified, of(pages).by, of(pages).row) == ("rows", "server", late)
        lying = Dropping(plan.source, lambda bounds: [replace(one, operator="eq") for one in bounds], "total_refunded")
        with pytest.raises(FilterIgnoredError, match="carry no total_refunded"):
            list(replace(plan, source=lying).pages())


# --- servers that drop a bound in every form --------------------------------------------------------------------------


@dataclass
class Dropping:
    """A source that changes the conditions on a column.

    Attributes:
        source: the source that reads the rows.
        change: returns the conditions to send instead.
        column: the column whose conditions are changed, in every form of its name.
    """

    source: Source
    change: Callable[[list[Condition]], list[Condition]]
    column: str = "created_at"

    def fetch(self, query: Query) -> Generator[Row]:
        """Yield the rows of one call."""
        affected = [condition for condition in query.conditions if column_of(condition.field) == self.column]
        others = [condition for condition in query.conditions if condition not in affected]
        yield from self.source.fetch(replace(query, conditions=(*others, *self.change(affected))))


def first_alone(conditions: list[Condition]) -> list[Condition]:
    """Keep the first of two conditions on one column."""
    return conditions[:1]


def last_alone(conditions: list[Condition]) -> list[Condition]:
    """Keep the last of two conditions on one column."""
    return conditions[-1:]


def month(shop: Shop, entity: str = "orders") -> tuple[list[tuple[str, str, str]], set[int]]:
    """Return conditions for the middle third of a list by date, and its ids."""
    rows = held(shop, entity)
    low, high = rows[len(rows) // 3][0], rows[len(rows) * 2 // 3][0]
    where = [("created_at", "from", low), ("created_at", "to", high)]
    return where, {number for time, number in rows if low <= time <= high}


@pytest.mark.sampled
@pytest.mark.parametrize("entity", ["orders", "customers", "shipments"])
@pytest.mark.parametrize("misreading", [first_alone, last_alone])
def test_a_bound_that_a_server_drops_is_applied_by_the_client(
    shop_of: Callable[[str, str], Shop], misreading: Callable[[list[Condition]], list[Condition]], entity: ListName
) -> None:
    """The lower bound is sent, the upper one removes rows after all checks of the walk; all ids are covered."""
    shop = shop_of("20.0.20", "rpc")
    where, expected = month(shop, entity)
    with connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.list(entity, where=where)
        plan = replace(plan, source=Dropping(plan.source, misreading))
        pages = list(plan.pages())
        parts = [page for part in plan.partitions(3) for page in plan.pages(part)]
        planned = plan.plan()
    ids = brought(shop, entity, pages)
    assert len(ids) == len(set(ids))
    assert set(ids) == set(brought(shop, entity, parts)) == expected
    assert pages[0].window.first == 0
    assert pages[-1].cursor.next_id > magento_pager.MAX_ID
    assert of(pages).by == of(parts).by == "here"
    assert list(map(str, of(pages).here)) == [f"created_at to '{where[1][2]}'"]
    assert list(map(str, of(pages).sent)) == [f"created_at from '{where[0][2]}'"]
    assert planned.rows.most >= len(expected)


@pytest.mark.parametrize(("entity", "column"), [("invoices", "updated_at"), ("products", "created_at")])
def test_rows_without_the_column_are_never_delivered_unfiltered(
    shop_of: Callable[[str, str], Shop], entity: ListName, column: str
) -> None:
    """If the server drops a bound and rows lack the column, no row is delivered, and the error says what to do."""
    shop = shop_of("20.0.20", "rpc")
    with connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.list(entity, where=[(column, word, time) for _, word, time in month(shop, entity)[0]])
        words = rf"{plan.operation}.*its rows carry no {column}; give one bound alone"
        for misreading in (first_alone, last_alone):
            with pytest.raises(FilterIgnoredError, match=words):
                next(replace(plan, source=Dropping(plan.source, misreading, column)).pages())


MISREADINGS: dict[str, Callable[[Condition], Condition | None]] = {
    "dropped": lambda _: None,
    "read as =": lambda bound: replace(bound, operator="eq"),
    "exclusive": lambda bound: replace(bound, operator={"from": "gt", "to": "lt"}.get(bound.operator, bound.operator)),
    "the day alone": lambda bound: replace(bound, value=bound.value[:10]),
    "upside down": lambda bound: replace(
        bound, operator={"from": "to", "to": "from"}.get(bound.operator, bound.operator)
    ),
    "nothing": lambda bound: replace(bound, operator="null"),
}


@pytest.mark.parametrize("misreading", MISREADINGS)
def test_a_server_that_misreads_bounds_is_detected(shop_of: Callable[[str, str], Shop], misreading: str) -> None:
    """However it reads them, no row is delivered, and the error says what to do."""
    shop = shop_of("20.0.20", "rpc")

    def misread(conditions: list[Condition]) -> list[Condition]:
        return [changed for bound in conditions if (changed := MISREADINGS[misreading](bound))]

    with connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(where=month(shop)[0])
        with pytest.raises(FilterIgnoredError, match="misreads one bound; give one bound alone"):
            next(replace(plan, source=Dropping(plan.source, misread)).pages())


def test_an_empty_list_needs_no_test_and_the_client_applies_both_bounds(shop: Shop) -> None:
    """A row that is added meanwhile must be between them."""
    for number in list(shop.database.ids("orders")):
        shop.database.delete("orders", number)
    with connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(where={"created_at": between(JANUARY, FEBRUARY)})
        pages = list(plan.pages())
    assert not any(page.rows for page in pages)
    assert (of(pages).verified, of(pages).by, of(pages).row) == ("empty", "here", None)


# --- resuming, dumping, verifying -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("wire")
@pytest.mark.parametrize("misreading", [None, last_alone])
def test_a_walk_resumes_only_with_the_same_bounds(
    shop_of: Callable[[str, str], Shop], misreading: Callable[[list[Condition]], list[Condition]] | None
) -> None:
    """A cursor from the middle resumes exactly; with another bound it is refused."""
    shop = shop_of("1.7.0.2", "rpc")
    where, expected = month(shop)
    with connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(where=where, window=200)
        if misreading:
            plan = replace(plan, source=Dropping(plan.source, misreading))
        pages = plan.pages()
        before = [next(pages) for _ in range(4)]
        cursor = before[-1].cursor
        after = list(plan.pages(cursor))
        for other in (
            [("created_at", "from", "2020-01-01"), where[1]],
            [where[0], ("created_at", "to", "2036-01-01")],
            [where[0], ("created_at", "lt", where[1][2])],
            where[:1],
        ):
            with pytest.raises(ValueError, match="belongs to a walk with another `where`"):
                next(pager.orders(where=other).pages(cursor))
    ids = brought(shop, "orders", [*before, *after])
    assert len(ids) == len(set(ids))
    assert set(ids) == expected


@pytest.mark.parametrize("profile", ["1.7.0.2", "20.0.20"])
def test_a_dump_reports_who_applied_the_bounds_and_can_be_verified(
    profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """On the command line, with --where twice; `verify` reads the range from the report, for samples as well."""
    with Shop(profile=profile, orders=400) as shop:
        set_environment(monkeypatch, shop)
        monkeypatch.chdir(tmp_path)
        day, end = (bound[2][:10] for bound in month(shop)[0])
        where = ["--where", f"created_at:from:{day}", "--where", f"created_at:lt:{end}"]
        assert run(["dump", "orders", "--verbose", *where, "--out", "a.ndjson", "--report", "a.json"]) == 0
        account = capfd.readouterr().err
        rows = [json.loads(line) for line in (tmp_path / "a.ndjson").read_text().splitlines()]
        expected = [number for time, number in held(shop, "orders") if f"{day} 00:00:00" <= time < f"{end} 00:00:00"]
        assert {int(row["order_id"]) for row in rows} == set(expected)
        (bounds,) = json.loads((tmp_path / "a.json").read_text())["bounds"]
        assert bounds == {
            "column": "created_at",
            "by": "server",
            "condition": f"created_at from '{day} 00:00:00' and main_table.created_at lt '{end} 00:00:00'",
            "here": None,
            "verified": "rows",
            "row": min(shop.database.ids("orders")),
        }
        assert f"{bounds['condition']} by the server (tried on row {bounds['row']}, then checked" in account
        assert run(["verify", "a.ndjson", "orders", "--report", "a.json"]) == 0
        assert run(["verify", "a.ndjson", "orders", *where, "--sample", "50%"]) == 0
        assert run(["plan", "orders", *where]) == 0
        assert "lt '" in capfd.readouterr().out


def test_a_dump_in_python_resumes_and_reports_a_bound_applied_by_the_client(shop: Shop, tmp_path: Path) -> None:
    """The checkpoint stores such a bound, and full records of rows outside it are not requested."""
    where, expected = month(shop)

    class StopError(Exception):
        pass

    def stop(_: object) -> None:
        raise StopError

    with connect(shop.url, shop.user, shop.key) as pager:
        plan = pager.orders(where=where, window=20, details=True)
        plan = replace(plan, source=Dropping(plan.source, last_alone))
        with pytest.raises(StopError):
            dump(plan, tmp_path / "a.ndjson", progress=stop)
        report = dump(plan, tmp_path / "a.ndjson", resume=True, report=tmp_path / "a.json")
        rows = [json.loads(line) for line in (tmp_path / "a.ndjson").read_text().splitlines()]
        assert {int(row["order_id"]) for row in rows} == expected
        assert all(row["items"] for row in rows)
        assert report.rows == len(expected)
        (bounds,) = json.loads((tmp_path / "a.json").read_text())["bounds"]
        assert (bounds["by"], bounds["here"]) == ("here", f"created_at to '{where[1][2]}'")
        assert dump(plan, tmp_path / "a.ndjson", resume=True).already
        assert verify(pager, tmp_path / "a.ndjson", "orders", where=where).ok


def test_increments_of_a_range(shop: Shop, tmp_path: Path) -> None:
    """`state` can be combined with a range of another column; with one of updated_at the error explains why not."""
    where, expected = month(shop)
    with connect(shop.url, shop.user, shop.key) as pager:
        out, state = tmp_path / "orders-{time}.ndjson", tmp_path / "state"
        assert dump(pager.orders(where=where), out, state=state).rows == len(expected)
        changed, outside = sorted(expected)[3], min(set(shop.database.ids("orders")) - expected)
        for number in (changed, outside):
            shop.database.update("orders", number, {"updated_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"})
        since = datetime.now(UTC) - timedelta(hours=1)
        assert [int(row["order_id"]) for row in pager.orders(where=where, updated_since=since)] == [changed]
        inside, beyond = (
            shop.database.insert("orders", {"created_at": time, "updated_at": "2002-02-02 00:00:00"})
            for time in (where[0][2], "2001-01-01 00:00:00")
        )
        report = dump(pager.orders(where=where), tmp_path / "again-{time}.ndjson", state=state)
        rows = {int(json.loads(line)["order_id"]) for line in cast("Path", report.path).read_text().splitlines()}
        assert {changed, inside} <= rows <= {*expected, inside}
        assert beyond not in rows
        assert report.checkpoint.bounds[0].by == "server"
        with pytest.raises(ValueError, match=r"updated_since .* need a condition on the same field"):
            dump(pager.orders(where={"updated_at": between(JANUARY, FEBRUARY)}), out, state=tmp_path / "other")
        for upper in ([], [("updated_at", "to", "2030-01-01")]):
            with pytest.raises(ValueError, match=r"updated_since .* need .* give its two bounds as conditions"):
                pager.orders(where=[("updated_at", "from", "2024-01-01"), *upper], updated_since=since)


# --- accepted forms --------------------------------------------------------------------------------------------------


def test_all_forms_of_a_range_are_equal() -> None:
    """A mapping or triples, and `between` of aware datetimes in any zone, or of text."""
    there = timezone(timedelta(hours=-5))
    forms: list[Any] = [
        [("created_at", "from", "2024-01-01"), ("created_at", "to", "2024-02-01")],
        [("created_at", "lteq", "2024-02-01"), ("created_at", "gteq", "2024-01-01 00:00:00")],
        [Condition("created_at", "to", "2024-02-01"), ("created_at", "from", "2024-01-01")],
        {"created_at": between(JANUARY, FEBRUARY)},
        {"created_at": between(JANUARY.astimezone(there), FEBRUARY.astimezone(there))},
        {"created_at": between(JANUARY - timedelta(microseconds=1), FEBRUARY + timedelta(microseconds=1))},
        {"created_at": between("2024-01-01", "2024-02-01")},
    ]
    found = {str(next(Pager(NOBODY).orders(strategy="prefix", where=form).queries())) for form in forms}
    assert found == {
        "entity_id like '_' and created_at from '2024-01-01 00:00:00' and created_at to '2024-02-01 00:00:00'"
    }


def test_a_mapping_holds_values_or_operators() -> None:
    """A text means equal; the conditions of a dump are the same as with triples."""
    mapping: dict[str, Any] = {
        "status": "complete",
        "grand_total": ("gteq", "100"),
        "base_grand_total": between(5, Decimal("7.50")),
    }
    plan = Pager(NOBODY).orders(where=mapping)
    assert list(map(str, plan.asked)) == [
        "status eq 'complete'",
        "grand_total gteq '100'",
        "base_grand_total from '5'",
        "base_grand_total to '7.50'",
    ]


@pytest.mark.parametrize(
    ("start", "end", "error", "words"),
    [
        (FEBRUARY, JANUARY, ValueError, "the start is after the end"),
        ("2024-02-01", "2024-01-31", ValueError, "the start is after the end"),
        ("10", "9.5", ValueError, "the start is after the end"),
        (Decimal(10), 9, ValueError, "the start is after the end"),
        (datetime(2024, 1, 1), FEBRUARY, ValueError, "has no time zone"),  # noqa: DTZ001  that is the point
        (JANUARY, datetime(2024, 2, 1), ValueError, "has no time zone"),  # noqa: DTZ001  that is the point
        ("2024-01", "2024-02", ValueError, "two bounds of the same kind"),
        ("a", "b", ValueError, "two bounds of the same kind"),
        (JANUARY, 5, ValueError, "two bounds of the same kind"),
        (Decimal("NaN"), Decimal("NaN"), ValueError, "two bounds of the same kind"),
        (date(2024, 1, 1), date(2024, 2, 1), TypeError, "an aware datetime"),
        (1.5, 2.5, TypeError, "an aware datetime, .*an int, a Decimal or a text"),
        (True, 2, TypeError, "an aware datetime"),
        (JANUARY, None, TypeError, "an aware datetime"),
    ],
)
def test_an_invalid_range_is_refused(start: Any, end: Any, error: type[Exception], words: str) -> None:
    """The error is one line that says what to give."""
    with pytest.raises(error, match=words):
        between(start, end)


def test_fractions_of_a_second_are_exact() -> None:
    """Rows have whole seconds: a range between two fractions selects the whole seconds between them."""
    half = timedelta(seconds=0.5)
    assert between(JANUARY + half, FEBRUARY + half) == between(JANUARY + 2 * half, FEBRUARY)
    assert between(JANUARY, FEBRUARY + half, half_open=True).end == "2024-02-01 00:00:01"
    assert between(JANUARY, JANUARY, half_open=True).start == "2024-01-01 00:00:00"


REFUSED: list[tuple[list[tuple[str, str, str]], str]] = [
    ([("created_at", "from", "2024-01-01"), ("created_at", "gteq", "2024-02-01")], "one lower bound .* one upper"),
    ([("created_at", "to", "2024-01-01"), ("main_table.created_at", "lt", "2024-02-01")], "one lower bound"),
    ([("created_at", "from", "2024-01-01"), ("created_at", "neq", "2024-02-01")], "one lower bound"),
    ([("status", "eq", "a"), ("status", "eq", "b")], "some servers would silently drop one of them"),
    (
        [("created_at", word, f"2024-0{number}-01") for number, word in enumerate(("from", "to", "lt"), 1)],
        "one lower bound",
    ),
    ([("increment_id", "from", "1"), ("INCREMENT_ID", "to", "2")], "increment_id is not known to hold any"),
    ([("grand_total", "from", "cheap"), ("grand_total", "to", "200")], "needs numbers as bounds, such as 100"),
    ([("grand_total", "from", "100"), ("grand_total", "to", "99.99")], "lower bound is above the upper one"),
    ([("created_at", "to", "2024-01-01"), ("created_at", "from", "2024-02-01")], "lower bound is above"),
    ([("created_at", "from", "2024-01"), ("created_at", "to", "2024-02-01")], "a whole date"),
    ([("order_id", "from", "1"), ("order_id", "to", "9")], "use first and last"),
]


@pytest.mark.parametrize(("where", "words"), REFUSED)
def test_two_conditions_on_a_column_must_be_a_range(where: list[tuple[str, str, str]], words: str) -> None:
    """They are refused before any call, with a message that explains how to give a range."""
    with pytest.raises(ValueError, match=words):
        Pager(NOBODY).orders(where=where)


@pytest.mark.parametrize("value", [5, None, ("gteq",), ("gteq", 5), {"gteq": "5"}, JANUARY])
def test_a_mapping_with_another_type_of_value_is_refused(value: Any) -> None:
    """The TypeError shows the accepted forms."""
    with pytest.raises(TypeError, match=r"a condition is"):
        Pager(NOBODY).orders(where={"grand_total": value})
