"""The types of the six lists: which columns their rows are known to have, and what each value is.

Data and one conversion, from the server's text to a value. It does not know what takes the values.

The server sends text alone. What a column holds is what Magento's own table declares for it, not what the WSDL says
(which calls everything a string, and `confirmation` of customers, which holds a key, a boolean):

- integer: ids, counts, flags. From -2^63 to 2^63 - 1; zeros behind a point are taken, other digits there are not.
- decimal: amounts, rates, weights, quantities. Exact; at most 29 digits before the point and 9 behind it, of which
  Magento's own columns use 8 and 4.
- datetime: moments, `YYYY-MM-DD HH:MM:SS`, which Magento keeps in UTC. A date of birth is a day and no moment, so it
  stays text.
- text: all else, so also what only looks like a number: numbers of orders, postcodes, codes of coupons.

Where there is nothing, nothing can be lost: an empty text, and the zero date that MySQL has for no date, are null in a
column of another kind than text. Every other value that does not fit is null too, and it is reported: a `Misfit`.

A column that is not declared is text, whatever is in it. What is no text at all, but a list or a record (the items of
an order), is left as it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from magento_pager.walk.walking import Misfit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from magento_pager.walk.reading import Row
    from magento_pager.walk.walking import Page

Kind: TypeAlias = Literal["integer", "decimal", "datetime", "text"]

OTHER_COLUMNS = "other_columns"
"""Where formats with fixed columns put those that are not declared: one JSON object, the last column."""
SECRET = "password_hash"  # noqa: S105  a name
"""The column that is dropped unless it is asked for."""

WHOLE_DIGITS, FRACTION_DIGITS = 29, 9
INTEGERS = range(-(1 << 63), 1 << 63)

_INTEGER = re.compile(r"(-?[0-9]+)(?:\.0*)?")
_DECIMAL = re.compile(rf"-?0*[0-9]{{1,{WHOLE_DIGITS}}}(?:\.[0-9]{{1,{FRACTION_DIGITS}}}0*)?")
_DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?")
_NO_DATE = re.compile(r"0000-00-00 00:00:00(?:\.0*)?")


@dataclass(frozen=True, slots=True)
class Schema:
    """What is known of the rows of one list.

    Attributes:
        entity: the list, as `orders`.
        key: what rows call the id.
        columns: those of the list, each with its kind, in order.
        identity: another column that no two rows share, where rows may carry no id; else None.
        details: columns that only a record in full has, each with its kind, in order.
        nested: those columns that are lists or records.
    """

    entity: str
    key: str
    columns: Mapping[str, Kind]
    identity: str | None = None
    details: Mapping[str, Kind] = field(default_factory=dict)
    nested: frozenset[str] = frozenset()

    def kind(self, column: str) -> Kind:
        """What a column holds.

        >>> SCHEMAS["orders"].kind("grand_total"), SCHEMAS["orders"].kind("gift_wrapping")
        ('decimal', 'text')
        """
        return self.columns.get(column) or self.details.get(column, "text")

    def typed(self, row: Row, known_by: str | None = None) -> tuple[Row, tuple[Misfit, ...]]:
        """A row with values, and what did not fit, which is None in it.

        Args:
            row: as the server sent it.
            known_by: what it is told apart by, where its id is not among its columns.

        >>> row = {"order_id": "7", "tax_amount": "0.5000", "total_due": "n/a", "status": "new", "total_paid": ""}
        >>> SCHEMAS["orders"].typed(row)
        ({'order_id': 7, 'tax_amount': Decimal('0.5000'), 'total_due': None, 'status': 'new', 'total_paid': None}, \
(Misfit(id='7', column='total_due', value='n/a'),))
        """
        values: Row = {}
        misfits: list[Misfit] = []
        for column, value in row.items():
            kind = self.kind(column)
            if kind == "text" or value is None:
                values[column] = value
                continue
            try:
                values[column] = value_of(value, kind)
            except ValueError:
                values[column] = None
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                misfits.append(Misfit(known_by or self.known_by(row), column, text))
        return values, tuple(misfits)

    def known_by(self, row: Row) -> str:
        """What a row is told apart by: its id, or its identity where it carries no id.

        >>> SCHEMAS["shipments"].known_by({"increment_id": "100000014", "total_qty": "3.0000"})
        '100000014'
        """
        return str(row.get(self.key, row.get(self.identity or self.key, "?")))


def value_of(text: Any, kind: Kind) -> Any:
    """The value that a text stands for; None where it stands for nothing.

    Raises:
        ValueError: it does not fit.

    >>> value_of("2023-10-01 04:52:26", "datetime")
    datetime.datetime(2023, 10, 1, 4, 52, 26, tzinfo=datetime.timezone.utc)
    >>> value_of("-750.7600", "decimal"), value_of("0012", "integer"), value_of("0000-00-00 00:00:00", "datetime")
    (Decimal('-750.7600'), 12, None)
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no text")  # noqa: TRY004  what does not fit is a ValueError, whatever it is
    return _VALUES[kind](text) if text else None


def _integer(text: str) -> int:
    found = _INTEGER.fullmatch(text)
    if found and len(text) < 64 and (value := int(found[1])) in INTEGERS:  # noqa: PLR2004  longer is no such number
        return value
    raise ValueError(f"{text} is no integer of 64 bits")


def _decimal(text: str) -> Decimal:
    if _DECIMAL.fullmatch(text):
        return Decimal(text)
    raise ValueError(f"{text} is no decimal of {WHOLE_DIGITS} and {FRACTION_DIGITS} digits")


def _datetime(text: str) -> datetime | None:
    if _DATETIME.fullmatch(text):
        return None if _NO_DATE.fullmatch(text) else datetime.fromisoformat(text).replace(tzinfo=UTC)
    raise ValueError(f"{text} is no moment")


_VALUES: Mapping[Kind, Callable[[str], Any]] = MappingProxyType(
    {"integer": _integer, "decimal": _decimal, "datetime": _datetime, "text": str}
)

_KINDS: Mapping[str, Kind] = {"": "text", "int": "integer", "dec": "decimal", "at": "datetime"}


def _columns(names: str) -> Mapping[str, Kind]:
    """Columns from names between blanks, each `name:int`, `name:dec` or `name:at`, or a plain name for text.

    >>> dict(_columns("order_id:int status"))
    {'order_id': 'integer', 'status': 'text'}
    """
    parts = (one.partition(":") for one in names.split())
    return MappingProxyType({name: _KINDS[kind] for name, _, kind in parts})


ORDERS = Schema(
    "orders",
    "order_id",
    _columns(
        """
        increment_id store_id:int created_at:at updated_at:at customer_id:int tax_amount:dec
        shipping_amount:dec discount_amount:dec subtotal:dec grand_total:dec total_paid:dec
        total_refunded:dec total_qty_ordered:dec total_canceled:dec total_invoiced:dec
        total_online_refunded:dec total_offline_refunded:dec base_tax_amount:dec base_shipping_amount:dec
        base_discount_amount:dec base_subtotal:dec base_grand_total:dec base_total_paid:dec
        base_total_refunded:dec base_total_qty_ordered:dec base_total_canceled:dec base_total_invoiced:dec
        base_total_online_refunded:dec base_total_offline_refunded:dec billing_address_id:int
        billing_firstname billing_lastname shipping_address_id:int shipping_firstname shipping_lastname
        billing_name shipping_name store_to_base_rate:dec store_to_order_rate:dec base_to_global_rate:dec
        base_to_order_rate:dec weight:dec store_name remote_ip status state applied_rule_ids
        global_currency_code base_currency_code store_currency_code order_currency_code shipping_method
        shipping_description customer_email customer_firstname customer_lastname quote_id:int is_virtual:int
        customer_group_id:int customer_note_notify:int customer_is_guest:int email_sent:int order_id:int
        gift_message_id:int coupon_code protect_code base_discount_canceled:dec base_discount_invoiced:dec
        base_discount_refunded:dec base_shipping_canceled:dec base_shipping_invoiced:dec
        base_shipping_refunded:dec base_shipping_tax_amount:dec base_shipping_tax_refunded:dec
        base_subtotal_canceled:dec base_subtotal_invoiced:dec base_subtotal_refunded:dec
        base_tax_canceled:dec base_tax_invoiced:dec base_tax_refunded:dec base_total_invoiced_cost:dec
        discount_canceled:dec discount_invoiced:dec discount_refunded:dec shipping_canceled:dec
        shipping_invoiced:dec shipping_refunded:dec shipping_tax_amount:dec shipping_tax_refunded:dec
        subtotal_canceled:dec subtotal_invoiced:dec subtotal_refunded:dec tax_canceled:dec tax_invoiced:dec
        tax_refunded:dec can_ship_partially:int can_ship_partially_item:int edit_increment:int
        forced_do_shipment_with_invoice:int payment_authorization_expiration:int
        paypal_ipn_customer_notified:int quote_address_id:int adjustment_negative:dec
        adjustment_positive:dec base_adjustment_negative:dec base_adjustment_positive:dec
        base_shipping_discount_amount:dec base_subtotal_incl_tax:dec base_total_due:dec
        payment_authorization_amount:dec shipping_discount_amount:dec subtotal_incl_tax:dec total_due:dec
        customer_dob customer_middlename customer_prefix customer_suffix customer_taxvat
        discount_description ext_customer_id ext_order_id hold_before_state hold_before_status
        original_increment_id relation_child_id relation_child_real_id relation_parent_id
        relation_parent_real_id x_forwarded_for customer_note total_item_count:int customer_gender:int
        hidden_tax_amount:dec base_hidden_tax_amount:dec shipping_hidden_tax_amount:dec
        base_shipping_hidden_tax_amount:dec hidden_tax_invoiced:dec base_hidden_tax_invoiced:dec
        hidden_tax_refunded:dec base_hidden_tax_refunded:dec shipping_incl_tax:dec
        base_shipping_incl_tax:dec base_customer_balance_amount:dec customer_balance_amount:dec
        base_customer_balance_invoiced:dec customer_balance_invoiced:dec base_customer_balance_refunded:dec
        customer_balance_refunded:dec base_customer_balance_total_refunded:dec
        customer_balance_total_refunded:dec gift_cards base_gift_cards_amount:dec gift_cards_amount:dec
        base_gift_cards_invoiced:dec gift_cards_invoiced:dec base_gift_cards_refunded:dec
        gift_cards_refunded:dec reward_points_balance:int base_reward_currency_amount:dec
        reward_currency_amount:dec base_reward_currency_amount_invoiced:dec
        reward_currency_amount_invoiced:dec base_reward_currency_amount_refunded:dec
        reward_currency_amount_refunded:dec reward_points_balance_refunded:int
        reward_points_balance_to_refund:int reward_salesrule_points:int firstname lastname telephone
        postcode parent_id:int is_active:int
        """
    ),
    details=_columns("gift_message shipping_address billing_address items payment status_history"),
    nested=frozenset({"shipping_address", "billing_address", "items", "payment", "status_history"}),
)
INVOICES = Schema(
    "invoices",
    "invoice_id",
    _columns(
        """
        increment_id parent_id:int store_id:int created_at:at updated_at:at is_active:int
        global_currency_code base_currency_code store_currency_code order_currency_code
        store_to_base_rate:dec store_to_order_rate:dec base_to_global_rate:dec base_to_order_rate:dec
        subtotal:dec base_subtotal:dec base_grand_total:dec discount_amount:dec base_discount_amount:dec
        shipping_amount:dec base_shipping_amount:dec tax_amount:dec base_tax_amount:dec
        billing_address_id:int billing_firstname billing_lastname order_id:int order_increment_id
        order_created_at:at state:int grand_total:dec invoice_id:int
        """
    ),
    identity="increment_id",
    details=_columns("items comments"),
    nested=frozenset({"items", "comments"}),
)
SHIPMENTS = Schema(
    "shipments",
    "shipment_id",
    _columns(
        """
        increment_id parent_id:int store_id:int created_at:at updated_at:at is_active:int
        shipping_address_id:int shipping_firstname shipping_lastname order_id:int order_increment_id
        order_created_at:at total_qty:dec shipment_id:int
        """
    ),
    identity="increment_id",
    details=_columns("items tracks comments"),
    nested=frozenset({"items", "tracks", "comments"}),
)
CREDITMEMOS = Schema(
    "creditmemos",
    "creditmemo_id",
    _columns(
        """
        updated_at:at created_at:at increment_id transaction_id global_currency_code base_currency_code
        order_currency_code store_currency_code cybersource_token invoice_id:int billing_address_id:int
        shipping_address_id:int state:int creditmemo_status:int email_sent:int order_id:int tax_amount:dec
        shipping_tax_amount:dec base_tax_amount:dec base_adjustment_positive:dec base_grand_total:dec
        adjustment:dec subtotal:dec discount_amount:dec base_subtotal:dec base_adjustment:dec
        base_to_global_rate:dec store_to_base_rate:dec base_shipping_amount:dec adjustment_negative:dec
        subtotal_incl_tax:dec shipping_amount:dec base_subtotal_incl_tax:dec base_adjustment_negative:dec
        grand_total:dec base_discount_amount:dec base_to_order_rate:dec store_to_order_rate:dec
        base_shipping_tax_amount:dec adjustment_positive:dec store_id:int hidden_tax_amount:dec
        base_hidden_tax_amount:dec shipping_hidden_tax_amount:dec base_shipping_hidden_tax_amnt:dec
        shipping_incl_tax:dec base_shipping_incl_tax:dec base_customer_balance_amount:dec
        customer_balance_amount:dec bs_customer_bal_total_refunded:dec customer_bal_total_refunded:dec
        base_gift_cards_amount:dec gift_cards_amount:dec gw_base_price:dec gw_price:dec
        gw_items_base_price:dec gw_items_price:dec gw_card_base_price:dec gw_card_price:dec
        gw_base_tax_amount:dec gw_tax_amount:dec gw_items_base_tax_amount:dec gw_items_tax_amount:dec
        gw_card_base_tax_amount:dec gw_card_tax_amount:dec base_reward_currency_amount:dec
        reward_currency_amount:dec reward_points_balance:int reward_points_balance_refund:int
        creditmemo_id:int
        """
    ),
    details=_columns("items comments"),
    nested=frozenset({"items", "comments"}),
)
CUSTOMERS = Schema(
    "customers",
    "customer_id",
    _columns(
        """
        customer_id:int created_at:at updated_at:at increment_id store_id:int website_id:int created_in
        email firstname middlename lastname group_id:int prefix suffix dob taxvat confirmation password_hash
        """
    ),
    details=_columns("addresses"),
    nested=frozenset({"addresses"}),
)
PRODUCTS = Schema(
    "products",
    "product_id",
    _columns("product_id:int sku name set type category_ids website_ids"),
    details=_columns(
        """
        categories websites created_at:at updated_at:at type_id description short_description weight:dec
        status:int url_key url_path visibility:int has_options:int gift_message_available:int price:dec
        special_price:dec special_from_date special_to_date tax_class_id:int tier_price meta_title
        meta_keyword meta_description custom_design custom_layout_update options_container
        additional_attributes
        """
    ),
    nested=frozenset({"category_ids", "website_ids", "categories", "websites", "tier_price", "additional_attributes"}),
)

SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {one.entity: one for one in (ORDERS, INVOICES, SHIPMENTS, CREDITMEMOS, CUSTOMERS, PRODUCTS)}
)
"""What is known of each list, by entity."""


def typed_pages(schema: Schema) -> Callable[[Page], Page]:
    """What types the rows of a page, for `Paginator.stages`."""

    def typed(page: Page) -> Page:
        found = [schema.typed(row) for row in page.rows]
        misfits = (misfit for _, more in found for misfit in more)
        return replace(page, rows=tuple(row for row, _ in found), misfits=(*page.misfits, *misfits))

    return typed


def without_secrets(page: Page) -> Page:
    """A page whose rows have no `password_hash`, for `Paginator.stages`."""
    if not any(SECRET in row for row in page.rows):
        return page
    rows = ({name: value for name, value in row.items() if name != SECRET} for row in page.rows)
    return replace(page, rows=tuple(rows))
