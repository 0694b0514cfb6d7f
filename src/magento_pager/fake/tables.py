"""The tables of the lists: their columns, and the attributes of customers and products. Data.

A name that is missing here is an unknown column on the server too. The sales tables are those of 1.6 and later, without
the columns of the commercial edition, as on the recorded shop. Two names are custom, as on many shops: `erp_number`, a
column of orders that a module added, and `loyalty_code`, an attribute of customers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import isfinite
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_cell(value: object) -> bool:
    """Return whether a column can store a value: no list, no integer of more than 64 bits, no lone surrogates.

    >>> is_cell("5"), is_cell(None), is_cell([5]), is_cell(1 << 63), is_cell(float("nan"))
    (True, True, False, False, False)
    """
    match value:
        case str():
            return value.isascii() or value.encode("utf-8", "ignore").decode() == value
        case int():
            return -(1 << 63) <= value < 1 << 63
        case float():
            return isfinite(value)
    return value is None or isinstance(value, bytes)


class Kind(Enum):
    """The types as which MySQL compares values."""

    INT = "int"
    DECIMAL = "decimal"
    TEXT = "text"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Column:
    """One column, with its name as created."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Table:
    """One table.

    Attributes:
        name: as in MySQL, and in SQLite.
        columns: by name in lower case, because MySQL ignores the case of columns.
        indexed: the columns with a secondary index, which decide the order of rows when MySQL reads along one.
    """

    name: str
    columns: Mapping[str, Column]
    indexed: frozenset[str]


def table(table_name: str, indexed: str, *, ints: str, decimals: str = "", times: str = "", texts: str = "") -> Table:
    """Return a table from the names of its columns, kind by kind, separated by blanks."""
    kinds = ((Kind.INT, ints), (Kind.DECIMAL, decimals), (Kind.TIME, times), (Kind.TEXT, texts))
    columns = {name: Column(name, kind) for kind, names in kinds for name in names.split()}
    return Table(table_name, MappingProxyType(columns), frozenset(indexed.split()))


_HIDDEN_TAX = """
hidden_tax_amount base_hidden_tax_amount shipping_hidden_tax_amount base_shipping_hidden_tax_amnt shipping_incl_tax
base_shipping_incl_tax
"""
_RATES = "store_to_base_rate store_to_order_rate base_to_global_rate base_to_order_rate"
_CURRENCIES = "global_currency_code base_currency_code store_currency_code order_currency_code"

ORDER = table(
    "sales_flat_order",
    "status state store_id customer_id increment_id created_at updated_at ext_order_id quote_id",
    ints="""
entity_id is_virtual store_id customer_id can_ship_partially can_ship_partially_item customer_is_guest
customer_note_notify billing_address_id customer_group_id edit_increment email_sent forced_shipment_with_invoice
payment_auth_expiration quote_address_id quote_id shipping_address_id total_item_count customer_gender
paypal_ipn_customer_notified gift_message_id
""",
    decimals="""
base_discount_amount base_discount_canceled base_discount_invoiced base_discount_refunded base_grand_total
base_shipping_amount base_shipping_canceled base_shipping_invoiced base_shipping_refunded base_shipping_tax_amount
base_shipping_tax_refunded base_subtotal base_subtotal_canceled base_subtotal_invoiced base_subtotal_refunded
base_tax_amount base_tax_canceled base_tax_invoiced base_tax_refunded base_total_canceled base_total_invoiced
base_total_invoiced_cost base_total_offline_refunded base_total_online_refunded base_total_paid
base_total_qty_ordered base_total_refunded discount_amount discount_canceled discount_invoiced discount_refunded
grand_total shipping_amount shipping_canceled shipping_invoiced shipping_refunded shipping_tax_amount
shipping_tax_refunded subtotal subtotal_canceled subtotal_invoiced subtotal_refunded tax_amount tax_canceled
tax_invoiced tax_refunded total_canceled total_invoiced total_offline_refunded total_online_refunded total_paid
total_qty_ordered total_refunded adjustment_negative adjustment_positive base_adjustment_negative
base_adjustment_positive base_shipping_discount_amount base_subtotal_incl_tax base_total_due
payment_authorization_amount shipping_discount_amount subtotal_incl_tax total_due weight hidden_tax_invoiced
base_hidden_tax_invoiced hidden_tax_refunded base_hidden_tax_refunded
"""
    + _RATES
    + _HIDDEN_TAX,
    times="customer_dob created_at updated_at",
    texts="""
state status coupon_code protect_code shipping_description increment_id applied_rule_ids customer_email
customer_firstname customer_lastname customer_middlename customer_prefix customer_suffix customer_taxvat
discount_description ext_customer_id ext_order_id hold_before_state hold_before_status original_increment_id
relation_child_id relation_child_real_id relation_parent_id relation_parent_real_id remote_ip shipping_method
store_name x_forwarded_for customer_note coupon_rule_name erp_number
"""
    + _CURRENCIES,
)

ADDRESS = table(
    "sales_flat_order_address",
    "parent_id",
    ints="""
entity_id parent_id customer_address_id quote_address_id region_id customer_id vat_is_valid vat_request_success
""",
    texts="""
fax region postcode lastname street city email telephone country_id firstname address_type prefix middlename suffix
company vat_id vat_request_id vat_request_date
""",
)

INVOICE = table(
    "sales_flat_invoice",
    "store_id grand_total order_id state increment_id created_at",
    ints="entity_id store_id billing_address_id is_used_for_refund order_id email_sent can_void_flag state "
    "shipping_address_id",
    decimals="""
base_grand_total shipping_tax_amount tax_amount base_tax_amount base_shipping_tax_amount base_discount_amount
grand_total shipping_amount subtotal_incl_tax base_subtotal_incl_tax base_shipping_amount total_qty subtotal
base_subtotal discount_amount base_total_refunded
"""
    + _RATES
    + _HIDDEN_TAX,
    times="created_at updated_at",
    texts="transaction_id increment_id discount_description " + _CURRENCIES,
)

SHIPMENT = table(
    "sales_flat_shipment",
    "store_id total_qty increment_id order_id created_at updated_at",
    ints="entity_id store_id email_sent order_id customer_id shipping_address_id billing_address_id shipment_status",
    decimals="total_weight total_qty",
    times="created_at updated_at",
    texts="increment_id packages shipping_label",
)

CREDITMEMO = table(
    "sales_flat_creditmemo",
    "store_id order_id creditmemo_status increment_id state created_at updated_at",
    ints="entity_id store_id order_id email_sent creditmemo_status state shipping_address_id billing_address_id "
    "invoice_id",
    decimals="""
adjustment_positive base_shipping_tax_amount base_discount_amount grand_total base_adjustment_negative
base_subtotal_incl_tax shipping_amount subtotal_incl_tax adjustment_negative base_shipping_amount base_adjustment
base_subtotal discount_amount subtotal adjustment base_grand_total base_adjustment_positive base_tax_amount
shipping_tax_amount tax_amount
"""
    + _RATES
    + _HIDDEN_TAX,
    times="created_at updated_at",
    texts="cybersource_token transaction_id increment_id discount_description " + _CURRENCIES,
)

CUSTOMER = table(
    "customer_entity",
    "store_id website_id email",
    ints="entity_id entity_type_id attribute_set_id website_id group_id store_id is_active disable_auto_group_change "
    "default_billing default_shipping gender",
    times="created_at updated_at dob rp_token_created_at",
    texts="email increment_id created_in prefix firstname middlename lastname suffix password_hash taxvat confirmation "
    "rp_token loyalty_code",
)

PRODUCT = table(
    "catalog_product_entity",
    "attribute_set_id sku",
    ints="entity_id entity_type_id attribute_set_id has_options required_options status visibility tax_class_id "
    "manufacturer color is_recurring",
    decimals="price special_price cost weight msrp",
    times="created_at updated_at special_from_date special_to_date news_from_date news_to_date",
    texts="""
type_id sku name description short_description url_key url_path meta_title meta_keyword meta_description image
small_image thumbnail custom_design custom_layout_update page_layout options_container gift_message_available
country_of_manufacture category_ids website_ids
""",
)

_KINDS = ("billing", "shipping")
ORDER_JOINS: Mapping[str, str] = MappingProxyType({f"{kind}_o_a": kind for kind in _KINDS})
"""The two tables joined to orders, by alias: their types of address."""
ORDER_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        **{f"{kind}_{name}": f"{kind}_o_a.{name}" for kind in _KINDS for name in ("firstname", "lastname")},
        **{f"{kind}_name": f"{kind}_o_a.firstname || ' ' || {kind}_o_a.lastname" for kind in _KINDS},
        # Selected for both addresses under one name: the later one, shipping, is returned.
        **{name: f"shipping_o_a.{name}" for name in ("firstname", "middlename", "lastname", "telephone", "postcode")},
    },
)
"""The fields of an order that come from those tables, and the SQL of each."""
OLD_ORDER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "forced_do_shipment_with_invoice": "forced_shipment_with_invoice",
        "payment_authorization_expiration": "payment_auth_expiration",
        "base_shipping_hidden_tax_amount": "base_shipping_hidden_tax_amnt",
    },
)
"""Columns of orders that had another name before 1.6: an order still has them under both names."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """The fields of an EAV list.

    Attributes:
        exact: columns known to the code by name, in this case only.
        static: attributes stored as columns of the entity's own table: found in the database, in any case.
        joined: attributes with a table of their own, joined when filtered by: a row without a value never matches.
    """

    exact: frozenset[str]
    static: frozenset[str]
    joined: frozenset[str]


def attributes(exact: str, static: str, joined: str) -> Attributes:
    """Return attributes from their names, separated by blanks."""
    return Attributes(frozenset(exact.split()), frozenset(static.split()), frozenset(joined.split()))


CUSTOMER_ATTRIBUTES = attributes(
    exact="entity_id entity_type_id attribute_set_id increment_id",
    static="website_id store_id email group_id created_at updated_at disable_auto_group_change",
    joined="""
created_in prefix firstname middlename lastname suffix dob password_hash default_billing default_shipping taxvat
confirmation gender rp_token rp_token_created_at loyalty_code
""",
)

PRODUCT_ATTRIBUTES = attributes(
    exact="entity_id entity_type_id attribute_set_id type_id",
    static="sku created_at updated_at has_options required_options category_ids",
    joined="""
name description short_description price special_price special_from_date special_to_date cost weight manufacturer
meta_title meta_keyword meta_description image small_image thumbnail color news_from_date news_to_date status
url_key url_path visibility custom_design custom_layout_update page_layout options_container tax_class_id
gift_message_available country_of_manufacture msrp is_recurring
""",
)
