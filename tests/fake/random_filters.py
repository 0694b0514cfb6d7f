"""Random filters that no client would send: fields, operators and values chance from a seed, valid and invalid ones.

Those of SOAP are pairs and triples, those of XML-RPC anything that a struct can contain.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from magento_pager.fake.lists import LISTINGS
from magento_pager.fake.profiles import PROFILES, listing
from magento_pager.fake.tables import ADDRESS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from magento_pager.fake.data import Cell
    from magento_pager.fake.database import Database
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.profiles import Profile

FIELDS = {
    "orders": """
        order_id entity_id ENTITY_ID main_table.entity_id customer_id status Status store_id created_at CREATED_AT
        main_table.updated_at increment_id grand_total weight billing_firstname shipping_lastname billing_o_a.firstname
        shipping_o_a.postcode shipping_o_a.entity_id firstname postcode customer_email is_virtual customer_note
        coupon_code nope `entity_id` `main_table`.`status` MAIN_TABLE.status customer_firstname total_paid parent_id
    """,
    "invoices": """
        invoice_id entity_id ENTITY_ID main_table.entity_id order_id state grand_total created_at increment_id store_id
        order_currency_code e.entity_id total_qty
    """,
    "shipments": "shipment_id entity_id order_id total_qty created_at increment_id customer_id `increment_id` store_id",
    "creditmemos": "creditmemo_id entity_id order_id state adjustment created_at increment_id invoice_id",
    "customers": """
        customer_id entity_id email Email firstname lastname middlename dob created_at UPDATED_AT group_id store_id
        website_id increment_id taxvat nope prefix
    """,
    "products": """
        product_id entity_id sku SKU type type_id set attribute_set_id name price weight status visibility created_at
        has_options url_key
    """,
}
OPERATORS = """
eq neq like nlike in nin is notnull null gt lt gteq lteq finset regexp from to seq sneq moreq gte GTEQ between Like
"""
ODD_VALUES = r"""
2023 2023-10 2023-10-0 now NULL null 0 1 00 +5 1e1 99999999999 -1 true % _ %% \ \% a\_b ' " it's ß Ö ö% müller MULLER
muller %ü% %u% ANNA . [ [[:digit:]]+ ^[0-9]{3}$ ( a{2 * + x* \d+ ^\d{2}$ (?i)anna $ ^$ a|b complete|pending ^comp
COMPLETE complete,pending , ,, 3,4,6 3,,4 abc,3 3.0,4.0 2023-10-05,2023-10-06 12:00 10:00:00
"""
WITH_BLANKS = ["", " ", "  ", "MÜLLER ", "anna ", "  anna", "complete, pending", "3, 4"]


@dataclass(frozen=True, slots=True)
class Filters:
    """One list call."""

    profile: Profile
    listing: Listing
    simple: tuple[tuple[str, str], ...]
    complex: tuple[tuple[str, str, str], ...]
    nested: Any = None


def random_filters(seed: int, count: int, database: Database) -> Iterator[Filters]:
    """Return that many list calls; most of their values are from the rows of a shop, unchanged or slightly changed."""
    chance = random.Random(seed)  # noqa: S311 -- the same each time
    cells = _cells(database)

    def condition(name: str) -> tuple[str, str, str]:
        field = chance.choice(FIELDS[name].split())
        odd = chance.random() < 0.3
        value = (
            chance.choice(ODD_VALUES.split() + WITH_BLANKS)
            if odd
            else _changed(chance, _cell(chance, name, field, cells))
        )
        return field, chance.choice(OPERATORS.split()), value

    for _ in range(count):
        profile = chance.choice(list(PROFILES.values()))
        name = chance.choice(profile.lists)
        complex_ = [condition(name) for _ in range(chance.choice([0, 1, 1, 1, 1, 2, 2, 3]))]
        if len(complex_) > 1 and chance.random() < 0.4:
            complex_[1] = (complex_[0][0], *complex_[1][1:])
        simple = [condition(name) for _ in range(chance.choice([0, 0, 0, 1, 2] if complex_ else [1, 2]))]
        yield Filters(
            profile,
            listing(name, profile),
            tuple((field, value) for field, _, value in simple),
            tuple(complex_),
        )


def random_nested(seed: int, count: int, database: Database) -> Iterator[Filters]:
    """Return that many list calls by XML-RPC."""
    chance = random.Random(seed)  # noqa: S311 -- the same each time
    nested = _Nested(chance, _cells(database))
    for _ in range(count):
        profile = chance.choice(list(PROFILES.values()))
        name = chance.choice(profile.lists)
        yield Filters(profile, listing(name, profile), (), (), nested.filters(name))


ODD_DATE = re.compile(r"(?!\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?\Z).*\d{4}-\d\d-\d\d", re.DOTALL)
"""A date with further text: among several values MariaDB reads it in a special way, which is not emulated."""


@dataclass(frozen=True)
class _Nested:
    """A generator of the filters of calls by XML-RPC."""

    chance: random.Random
    cells: dict[str, list[tuple[Cell, ...]]]

    def filters(self, name: str) -> Any:
        """Return the argument of a call; rarely not a struct."""
        fields = [self.chance.choice([*FIELDS[name].split(), ""]) for _ in range(self.chance.choice([1, 1, 1, 2, 3]))]
        by_field = {field: self.condition(name, field) for field in fields}
        odd: list[Any] = [list(by_field.values()), list(by_field), 7, "abc", True, [], {}]
        return self.chance.choice(odd) if self.chance.random() < 0.03 else by_field

    def condition(self, name: str, field: str, depth: int = 0) -> Any:
        """Return a value, values by operator, or several of these."""
        chance = self.chance
        if depth < 2 and chance.random() < 0.2:
            several = [self.condition(name, field, depth + 1) for _ in range(chance.choice([0, 1, 2, 2, 3]))]
            words = chance.sample(["0", "1", "foo", "x"], 4)
            return several if chance.random() < 0.5 else dict(zip(words, several, strict=False))
        if chance.random() < 0.2:
            return self.scalar(name, field)
        words = chance.sample([*OPERATORS.split(), "from", "to", "from", "to"], chance.choice([1, 1, 1, 2, 2, 3]))
        by_operator = {word: self.value(name, field, many=word in {"in", "nin"}) for word in words}
        if chance.random() < 0.1:
            by_operator[chance.choice(["date", "datetime"])] = chance.choice([True, "1", 0, ""])
        return by_operator

    def value(self, name: str, field: str, *, many: bool) -> Any:
        """Return the value of an operator; rarely an array, unless the operator takes one."""
        chance = self.chance
        if chance.random() < (0.2 if many else 0.8):
            return self.scalar(name, field)
        members = [self.scalar(name, field) for _ in range(chance.choice([0, 1, 3, 40] if many else [0, 1, 1, 2, 5]))]
        members = [member for member in members if not (isinstance(member, str) and ODD_DATE.match(member))]
        if members and chance.random() < 0.2:
            members[0] = members[1:]
        return dict(zip("abcdef", members, strict=False)) if chance.random() < 0.3 else members

    def scalar(self, name: str, field: str) -> Any:
        """Return a value of any type, mostly from the rows."""
        chance = self.chance
        text = _cell(chance, name, field, self.cells)
        odd = [chance.choice(ODD_VALUES.split() + WITH_BLANKS), chance.choice([None, True, False])]
        # No fractions, because MariaDB rounds them to use a secondary index.
        numbers = [chance.randrange(-2, 300), chance.choice([7.0, 1e20, 100.0, 20231005.0])]
        return chance.choice([text, _changed(chance, text), int(text) if text.isdecimal() else text, *odd, *numbers])


def _cells(database: Database) -> dict[str, list[tuple[Cell, ...]]]:
    """Return the values of each column of each table."""
    return {
        table.name: list(zip(*database.rows(table), strict=True))
        for table in (*(entry.table for entry in LISTINGS.values()), ADDRESS)
    }


def _cell(chance: random.Random, name: str, field: str, cells: dict[str, list[tuple[Cell, ...]]]) -> str:
    """Return a value of the column of a field, or of the key."""
    column = field.rpartition(".")[2].strip("`").lower()
    column = {"set": "attribute_set_id", "type": "type_id"}.get(column, column)
    places = [
        (table.name, list(table.columns).index(own_name))
        for table in (LISTINGS[name].table, ADDRESS)
        for own_name in (column, column.removeprefix("billing_").removeprefix("shipping_"))
        if own_name in table.columns
    ]
    table, place = chance.choice(places[:1] * 3 + [(LISTINGS[name].table.name, 0)])
    return str(chance.choice(cells[table][place]))


def _changed(chance: random.Random, value: str) -> str:
    """Return a value, unchanged or slightly changed."""
    forms = [
        *[value] * 4,
        f"{value} ",
        f" {value}",
        f"{value}.0",
        f"{value}abc",
        f"{value[:-1]}_",
        f"{value[:2]}%",
        f"%{value[-1:]}",
        f"{value},{value}1",
        f"{value}, 7",
        f"-{value}",
        f"{value}e1",
        f"0x{value}",
        value[:4],
        value[:7],
        value[:10],
        value.upper(),
        value.lower(),
        f"?{value}",
        f"{value[:2]}?",
        f"^{value[:2]}.?$",
        "{{fieldName}}",
    ]
    return chance.choice(forms)
