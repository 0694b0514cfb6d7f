"""Typed values instead of texts: valid, empty and invalid ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magento_pager import connect
from magento_pager.export.values import FRACTION_DIGITS, INTEGERS, WHOLE_DIGITS, typed_row, value_of
from magento_pager.fake import PROFILES, Shop
from magento_pager.fake.profiles import listing
from magento_pager.lists import LISTS, Kind
from magento_pager.walk.pages import Misfit
from magento_pager.walk.reading import row_label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager import ListName


REFUSED: list[tuple[Kind, str]] = [
    ("integer", "12a"),
    ("integer", "1.5"),
    ("integer", " 1"),
    ("integer", "١٢"),
    ("integer", "9223372036854775808"),
    ("integer", "-9223372036854775809"),
    ("integer", "9" * 5000),
    ("decimal", "1,5"),
    ("decimal", "NaN"),
    ("decimal", "Infinity"),
    ("decimal", "1e"),
    ("decimal", "e3"),
    ("decimal", "."),
    ("decimal", "1e30"),
    ("decimal", "1e999"),
    ("decimal", "1.0E-10"),
    ("decimal", "+-1"),
    ("decimal", "1_0"),
    ("decimal", "0x1"),
    ("decimal", "1 "),
    ("decimal", "--1"),
    ("decimal", "0.0000000001"),
    ("decimal", "1" * 30),
    ("datetime", "2023-02-29 00:00:00"),
    ("datetime", "2023-00-00 00:00:00"),
    ("datetime", "2023-01-01"),
    ("datetime", "2023-01-01T00:00:00"),
    ("datetime", "2023-01-01 25:00:00"),
    ("datetime", "yesterday"),
]


@pytest.mark.parametrize("entity", list(LISTS))
def test_every_column_of_every_version_is_declared(entity: str) -> None:
    """Each field that any version's WSDL declares for a list is a column or a detail in the table of lists."""
    schema = LISTS[entity]
    declared = {*schema.columns, *schema.details}
    for profile in PROFILES.values():
        if entity in profile.lists:
            for field in listing(entity, profile).fields:
                assert field.name in declared, f"{field.name} of {profile}"
                assert (field.name in schema.nested) >= (not field.type.startswith("xsd:")), field
                if field.type == "xsd:int":
                    assert schema.kind(field.name) == "integer", field
    assert schema.kind(schema.key) == "integer"
    assert not set(schema.columns) & set(schema.details)
    assert schema.nested <= declared


def test_columns_that_only_look_like_numbers_are_text() -> None:
    """Such as postcodes, and a confirmation key that the WSDL declares as boolean."""
    for entity, columns in {
        "orders": ("increment_id", "postcode", "telephone", "coupon_code", "customer_dob", "ext_order_id"),
        "customers": ("increment_id", "confirmation", "dob", "taxvat"),
        "products": ("sku", "set"),
    }.items():
        assert {LISTS[entity].kind(column) for column in columns} == {"text"}


@given(st.integers(INTEGERS.start, INTEGERS.stop - 1))
def test_every_64_bit_integer_is_valid(number: int) -> None:
    """Also with zeros after a decimal point."""
    assert value_of(str(number), "integer") == number
    assert value_of(f"{number}.0000", "integer") == number


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=FRACTION_DIGITS).filter(
        lambda value: abs(value) < Decimal(10) ** WHOLE_DIGITS
    )
)
def test_every_decimal_within_bounds_keeps_its_digits(value: Decimal) -> None:
    """Whatever the precision of Python's decimal context is."""
    text = format(value, "f")
    assert format(value_of(text, "decimal"), "f") == text


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("1.0E-5", "0.000010"),
        ("-1.5e-4", "-0.00015"),
        ("1e3", "1000"),
        ("1.25E+2", "125"),
        ("1.0E+25", "10000000000000000000000000"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("5.", "5"),
        ("+1.5", "1.5"),
        ("+0", "0"),
        ("0E-9", "0.000000000"),
        ("1.00000000000E-2", "0.0100000000000"),
    ],
)
def test_a_float_of_php_is_an_exact_decimal(text: str, digits: str) -> None:
    """In every notation, and it is written with all its digits."""
    value = value_of(text, "decimal")
    assert format(value, "f") == str(value) == digits or (value == 0 and format(value, "f") == digits)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_time_is_valid(time: datetime) -> None:
    """In MySQL's format, with fractions of a second and without."""
    text = time.isoformat(" ").removesuffix("+00:00")
    value = value_of(text, "datetime")
    assert value == time
    assert value.utcoffset() == timedelta(0)


@pytest.mark.parametrize(("kind", "text"), REFUSED)
def test_an_invalid_value_is_null_and_reported(kind: Kind, text: str) -> None:
    """The other values of the row are kept, and the report has the invalid text."""
    column = {"integer": "store_id", "decimal": "tax_amount", "datetime": "created_at"}[kind]
    row, misfits = typed_row(LISTS["orders"], {"order_id": "5", column: text, "status": "new"})
    assert row == {"order_id": 5, column: None, "status": "new"}
    assert misfits == (Misfit("5", column, text),)


@pytest.mark.parametrize("text", ["", "0000-00-00 00:00:00", "0000-00-00 00:00:00.000000"])
def test_empty_texts_and_zero_dates_are_null(text: str) -> None:
    """They are not reported as invalid."""
    assert typed_row(LISTS["orders"], {"created_at": text}) == ({"created_at": None}, ())


def test_a_list_in_a_column_of_numbers_is_invalid() -> None:
    """In a column of text it is kept."""
    row, misfits = typed_row(LISTS["orders"], {"order_id": "5", "store_id": ["1"], "extras": ["2"]})
    assert row == {"order_id": 5, "store_id": None, "extras": ["2"]}
    assert misfits == (Misfit("5", "store_id", '["1"]'),)


@given(
    st.sampled_from(list(LISTS)).flatmap(
        lambda entity: st.tuples(
            st.just(entity),
            st.dictionaries(
                st.sampled_from([*LISTS[entity].columns, "undeclared"]),
                st.one_of(st.text(), st.sampled_from(["7", "0.5000", "2023-01-01 00:00:00"])),
            ),
        )
    )
)
def test_no_value_is_lost_silently(entity_and_row: tuple[str, dict[str, str]]) -> None:
    """Each value of a row is in the typed row, or was empty, or is reported."""
    entity, row = entity_and_row
    typed, misfits = typed_row(LISTS[entity], row)
    assert typed.keys() == row.keys()
    for name, value in typed.items():
        reported = [misfit for misfit in misfits if misfit.column == name]
        if value is None:
            assert row[name] in {"", "0000-00-00 00:00:00"} or reported == [
                Misfit(row_label(row, LISTS[entity].key, LISTS[entity].identity), name, row[name])
            ]
        else:
            assert not reported
            if isinstance(value, str):
                assert value == row[name]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Return a shop in which one value is not a time."""
    with Shop(orders=60) as shop:
        shop.database.update("orders", 7, {"updated_at": "2023-13-01 00:00:00"})
        yield shop


def test_typed_lists_have_typed_values(shop: Shop) -> None:
    """Rows have int, Decimal and datetime; a page reports its invalid values; without `typed` all values are text."""
    with connect(shop.url, shop.user, shop.key) as pager:
        pages = list(pager.orders(typed=True, last=99).pages())
        rows: list[dict[str, Any]] = [row for page in pages for row in page.rows]
        plain = list(pager.orders(last=99))
    assert [typed_row(LISTS["orders"], row)[0] for row in plain] == rows
    kinds = {type(row[name]) for row in rows for name in ("order_id", "store_id")}
    assert kinds == {int}
    assert {type(row["grand_total"]) for row in rows} == {Decimal}
    assert {row["created_at"].tzinfo for row in rows} == {UTC}
    assert [misfit for page in pages for misfit in page.misfits] == [Misfit("7", "updated_at", "2023-13-01 00:00:00")]
    assert all(isinstance(value, str) for row in plain for value in row.values())


@pytest.mark.parametrize("entity", list(LISTS))
def test_every_column_of_a_full_record_is_declared(entity: ListName, shop: Shop) -> None:
    """So tables have it from the start, and lists and records are known to be nested."""
    schema = LISTS[entity]
    with connect(shop.url, shop.user, shop.key) as pager:
        rows = list(pager.list(entity, details=True, last=40))
    assert rows
    for row in rows:
        assert row.keys() <= {*schema.columns, *schema.details}
        assert {name for name, value in row.items() if not isinstance(value, str)} <= schema.nested


def test_password_hashes_are_exported_only_on_request(shop: Shop) -> None:
    """They are in the server's rows, and in ours only with `password_hash`."""
    with connect(shop.url, shop.user, shop.key) as pager:
        without, with_hash = list(pager.customers(last=99)), list(pager.customers(last=99, password_hash=True))
    assert not any("password_hash" in row for row in without)
    assert any("password_hash" in row for row in with_hash)
    assert [{name: row[name] for name in row if name != "password_hash"} for row in with_hash] == without
