"""The lists that take filters: one table with everything about each list, as data. Imports nothing of the package.

It has the names of a list in calls and in rows, the types of its columns, the additional columns of a complete record,
and exceptions on some versions. A list that is not in `LISTS` does not exist for this package; docs/contributing.md
explains how to add one. The embedded shop does not read this table: the tests must not share its errors.

The type of a column is that of Magento's own table, not of the WSDL (which declares everything as a string, and
`confirmation` of customers, which holds a key, as a boolean):

- integer: ids, counts, flags. From -2^63 to 2^63 - 1; zeros after a decimal point are accepted, other digits are not.
- decimal: amounts, rates, weights, quantities. Exact; at most 29 digits before the point and 9 after it, of which
  Magento's own columns use 8 and 4.
- datetime: timestamps, `YYYY-MM-DD HH:MM:SS`, which Magento keeps in UTC. A date of birth is a day and not a timestamp,
  so it stays text.
- text: everything else, including text that only looks like a number: order numbers, postcodes, coupon codes.

Source: the WSDLs, the code and `api.xml` of every version from 1.3.0 to 20.18.0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

ListName: TypeAlias = Literal[
    "orders",
    "invoices",
    "shipments",
    "creditmemos",
    "customers",
    "products",
]
"""Names of the lists, in the library and on the command line.

>>> name: ListName = "orders"
"""
Kind: TypeAlias = Literal["integer", "decimal", "datetime", "text"]
"""Type of a column."""
Wire: TypeAlias = Literal["soap", "xml-rpc"]
"""A protocol by which rows are read."""
WireName: TypeAlias = Literal["soap", "xml-rpc", "auto"]
"""Names of the protocols in the option `wire`.

>>> wire: WireName = "xml-rpc"
"""
ColumnSet: TypeAlias = Literal["declared", "all"]
"""Columns of rows: those that the shop's WSDL declares, or all that XML-RPC sends.

>>> columns: ColumnSet = "all"
"""
DAYS = frozenset(
    {"dob", "customer_dob"}
    | {f"{name}_{end}_date" for name in ("special", "news") for end in ("from", "to")}
    | {"custom_design_from", "custom_design_to"}
)
"""Magento's own columns and attributes that hold days, which are text in rows."""


@dataclass(frozen=True, slots=True)
class RecordCall:
    """The call for the complete record, or for a further list, of one row, for `details`.

    Attributes:
        soap: the operation of SOAP.
        xmlrpc: the method of XML-RPC.
        key: the field of a row whose value identifies the record.
        missing: the code of the fault that means that there is no such record.
        right: the right that the API user's role needs.
        columns: the columns that only a complete record has, each with its type, in order.
        arguments: further arguments, after the key, by XML-RPC.
        into: the field of the row that takes the reply, where that is a list; None where it is a record whose fields
            are added to those of the row.
        echo: a method of XML-RPC whose reply identifies the record, where the reply of the call does not.
        share: types of rows that one `multiCall` may combine; any other type needs a call of its own. None: the rows
            have no types, and any number may be combined.
        row: the operation of SOAP that returns the columns of one row, where `soap` does not.
    """

    soap: str
    xmlrpc: str
    key: str
    missing: str
    right: str
    columns: Mapping[str, Kind]
    arguments: tuple[str | None, ...] = ()
    into: str | None = None
    echo: str | None = None
    share: frozenset[str] | None = None
    row: str | None = None


@dataclass(frozen=True, slots=True)
class ListSpec:
    """Description of one list.

    Attributes:
        name: its name for users.
        operation: the SOAP operation.
        key: the name of the id in rows; filters may use `entity_id` for every list.
        right: the right that the API user's role needs.
        columns: the columns of its rows, each with its type, in the order of the WSDL. Other columns are text.
        record: the call for the complete record of a row; None where there is none.
        nested: columns, of rows or of records, that are lists or records themselves.
        required: columns of rows that WS-I requires: up to 1.7 it sends the same for an empty text and for NULL.
        flat: True for a sales list kept in one table since 1.4.1, where `main_table.entity_id` is another name of the
            key; False for customers and products, whose key has no second name from 1.7.0.1 on.
        identity: another column that no two rows share, for lists whose rows carry no id on some servers; else None.
        since: the first version with the list; None where every version has it.
        spellings: for a field that some version misreads by its plain name, the name that filters must use.
        comparable: columns that every version has in the list's own table, so that a shop's comparison of their values
            keeps at least the rows that Spark's keeps.
        reports_changes: True where its rows carry `updated_at`.
        marks: columns that distinguish rows of this list from those of others, each with a rank: where a file has
            several, the highest rank decides.
        path: the method of XML-RPC; empty where there is none.
        cheaper: the protocol (`wire`) by which a server sends 1,000 rows in less time. Orders and credit memos have
            many columns, and XML-RPC sends each with its name, NULL or not: measured on OpenMage 20.0.20, see docs.
    """

    name: ListName
    operation: str
    key: str
    right: str
    columns: Mapping[str, Kind]
    record: RecordCall | None = None
    nested: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    flat: bool = True
    identity: str | None = None
    since: str | None = None
    spellings: Mapping[str, str] = field(default_factory=dict)
    comparable: frozenset[str] = frozenset()
    reports_changes: bool = False
    marks: Mapping[str, int] = field(default_factory=dict)
    path: str = ""
    cheaper: Wire = "xml-rpc"

    @property
    def details(self) -> Mapping[str, Kind]:
        """The columns that only a complete record has, each with its type."""
        return self.record.columns if self.record else {}

    @property
    def dates(self) -> frozenset[str]:
        """The columns that a filter compares as dates: timestamps, and days, which are text in rows.

        >>> sorted(LISTS["customers"].dates & {"created_at", "dob", "email"})
        ['created_at', 'dob']
        """
        return DAYS.union(name for name, kind in (*self.columns.items(), *self.details.items()) if kind == "datetime")

    @property
    def numbers(self) -> frozenset[str]:
        """The columns that a filter compares as numbers.

        >>> "grand_total" in LISTS["orders"].numbers, "increment_id" in LISTS["orders"].numbers
        (True, False)
        """
        kinds = (*self.columns.items(), *self.details.items())
        return frozenset(name for name, kind in kinds if kind in {"integer", "decimal"})

    def kind(self, column: str) -> Kind:
        """Return the type of a column; a column that is not declared is text.

        >>> LISTS["orders"].kind("grand_total"), LISTS["orders"].kind("gift_wrapping")
        ('decimal', 'text')
        """
        return self.columns.get(column) or self.details.get(column, "text")

    def has(self, field: str) -> bool:
        """Return whether a filter may name a field on every shop.

        >>> LISTS["orders"].has("status"), LISTS["orders"].has("entity_id"), LISTS["orders"].has("stat")
        (True, True, False)
        """
        return field.lower() in self._fields

    def similar(self, field: str) -> list[str]:
        """Return at most two fields similar to this one, first those that begin with it, because these fit best.

        >>> LISTS["orders"].similar("stat"), LISTS["orders"].similar("zip")
        (['status', 'state'], [])
        >>> LISTS["products"].similar("typ")
        ['type_id', 'type']
        """
        from difflib import get_close_matches  # noqa: PLC0415  only for mistakes

        close = get_close_matches(field, sorted(set(self._fields)), 3)
        return sorted(close, key=lambda name: -len(name) if name.startswith(field) else 0)[:2]

    @property
    def _fields(self) -> list[str]:
        return ["entity_id", *self.columns, *self.details, *self.spellings.values()]


def columns(names: str) -> Mapping[str, Kind]:
    """Return columns with their types from words: `name:int`, `name:dec`, `name:at`, or a plain name for text.

    >>> dict(columns("order_id:int status"))
    {'order_id': 'integer', 'status': 'text'}
    """
    kinds: dict[str, Kind] = {"": "text", "int": "integer", "dec": "decimal", "at": "datetime"}
    parts = (word.partition(":") for word in names.split())
    return MappingProxyType({name: kinds[kind] for name, _, kind in parts})


ORDERS = ListSpec(
    "orders",
    "salesOrderList",
    "order_id",
    "Sales/Order/Retrieve orders info",
    columns(
        """
        increment_id store_id:int created_at:at updated_at:at customer_id:int tax_amount:dec shipping_amount:dec
        discount_amount:dec subtotal:dec grand_total:dec total_paid:dec total_refunded:dec total_qty_ordered:dec
        total_canceled:dec total_invoiced:dec total_online_refunded:dec total_offline_refunded:dec base_tax_amount:dec
        base_shipping_amount:dec base_discount_amount:dec base_subtotal:dec base_grand_total:dec base_total_paid:dec
        base_total_refunded:dec base_total_qty_ordered:dec base_total_canceled:dec base_total_invoiced:dec
        base_total_online_refunded:dec base_total_offline_refunded:dec billing_address_id:int billing_firstname
        billing_lastname shipping_address_id:int shipping_firstname shipping_lastname billing_name shipping_name
        store_to_base_rate:dec store_to_order_rate:dec base_to_global_rate:dec base_to_order_rate:dec weight:dec
        store_name remote_ip status state applied_rule_ids global_currency_code base_currency_code store_currency_code
        order_currency_code shipping_method shipping_description customer_email customer_firstname customer_lastname
        quote_id:int is_virtual:int customer_group_id:int customer_note_notify:int customer_is_guest:int email_sent:int
        order_id:int gift_message_id:int coupon_code protect_code base_discount_canceled:dec base_discount_invoiced:dec
        base_discount_refunded:dec base_shipping_canceled:dec base_shipping_invoiced:dec base_shipping_refunded:dec
        base_shipping_tax_amount:dec base_shipping_tax_refunded:dec base_subtotal_canceled:dec
        base_subtotal_invoiced:dec base_subtotal_refunded:dec base_tax_canceled:dec base_tax_invoiced:dec
        base_tax_refunded:dec base_total_invoiced_cost:dec discount_canceled:dec discount_invoiced:dec
        discount_refunded:dec shipping_canceled:dec shipping_invoiced:dec shipping_refunded:dec shipping_tax_amount:dec
        shipping_tax_refunded:dec subtotal_canceled:dec subtotal_invoiced:dec subtotal_refunded:dec tax_canceled:dec
        tax_invoiced:dec tax_refunded:dec can_ship_partially:int can_ship_partially_item:int edit_increment:int
        forced_do_shipment_with_invoice:int payment_authorization_expiration:int paypal_ipn_customer_notified:int
        quote_address_id:int adjustment_negative:dec adjustment_positive:dec base_adjustment_negative:dec
        base_adjustment_positive:dec base_shipping_discount_amount:dec base_subtotal_incl_tax:dec base_total_due:dec
        payment_authorization_amount:dec shipping_discount_amount:dec subtotal_incl_tax:dec total_due:dec customer_dob
        customer_middlename customer_prefix customer_suffix customer_taxvat discount_description ext_customer_id
        ext_order_id hold_before_state hold_before_status original_increment_id relation_child_id relation_child_real_id
        relation_parent_id relation_parent_real_id x_forwarded_for customer_note total_item_count:int
        customer_gender:int hidden_tax_amount:dec base_hidden_tax_amount:dec shipping_hidden_tax_amount:dec
        base_shipping_hidden_tax_amount:dec hidden_tax_invoiced:dec base_hidden_tax_invoiced:dec hidden_tax_refunded:dec
        base_hidden_tax_refunded:dec shipping_incl_tax:dec base_shipping_incl_tax:dec base_customer_balance_amount:dec
        customer_balance_amount:dec base_customer_balance_invoiced:dec customer_balance_invoiced:dec
        base_customer_balance_refunded:dec customer_balance_refunded:dec base_customer_balance_total_refunded:dec
        customer_balance_total_refunded:dec gift_cards base_gift_cards_amount:dec gift_cards_amount:dec
        base_gift_cards_invoiced:dec gift_cards_invoiced:dec base_gift_cards_refunded:dec gift_cards_refunded:dec
        reward_points_balance:int base_reward_currency_amount:dec reward_currency_amount:dec
        base_reward_currency_amount_invoiced:dec reward_currency_amount_invoiced:dec
        base_reward_currency_amount_refunded:dec reward_currency_amount_refunded:dec reward_points_balance_refunded:int
        reward_points_balance_to_refund:int reward_salesrule_points:int firstname lastname telephone postcode
        parent_id:int is_active:int
        """
    ),
    RecordCall(
        "salesOrderInfo",
        "sales_order.info",
        "increment_id",
        "100",
        "Sales/Order/Retrieve orders info",
        columns("gift_message shipping_address billing_address items payment status_history"),
    ),
    nested=frozenset({"shipping_address", "billing_address", "items", "payment", "status_history"}),
    comparable=frozenset({"increment_id", "store_id", "status", "state", "created_at"}),
    reports_changes=True,
    marks={"base_grand_total": 3},
    path="sales_order.list",
    cheaper="soap",
)
INVOICES = ListSpec(
    "invoices",
    "salesOrderInvoiceList",
    "invoice_id",
    "Sales/Order/Invoice/Retrieve invoice info",
    columns(
        """
        increment_id parent_id:int store_id:int created_at:at updated_at:at is_active:int global_currency_code
        base_currency_code store_currency_code order_currency_code store_to_base_rate:dec store_to_order_rate:dec
        base_to_global_rate:dec base_to_order_rate:dec subtotal:dec base_subtotal:dec base_grand_total:dec
        discount_amount:dec base_discount_amount:dec shipping_amount:dec base_shipping_amount:dec tax_amount:dec
        base_tax_amount:dec billing_address_id:int billing_firstname billing_lastname order_id:int order_increment_id
        order_created_at:at state:int grand_total:dec invoice_id:int
        """
    ),
    RecordCall(
        "salesOrderInvoiceInfo",
        "sales_order_invoice.info",
        "increment_id",
        "100",
        "Sales/Order/Order invoice/Retrieve invoice info",
        columns("items comments"),
    ),
    nested=frozenset({"items", "comments"}),
    identity="increment_id",  # rows of 1.4.1.0 to 1.7.0.0 have no id
    spellings={"order_id": "main_table.order_id"},  # 1.5.0.0 to 1.7.0.0 read order_id as the invoice's id
    comparable=frozenset({"increment_id", "store_id", "order_id", "state", "created_at"}),
    marks={"invoice_id": 4, "order_id": 2},  # rows up to 1.7.0.0 have only the id of their order
    path="sales_order_invoice.list",
)
SHIPMENTS = ListSpec(
    "shipments",
    "salesOrderShipmentList",
    "shipment_id",
    "Sales/Order/Shipment/Retrieve shipment info",
    columns(
        """
        increment_id parent_id:int store_id:int created_at:at updated_at:at is_active:int shipping_address_id:int
        shipping_firstname shipping_lastname order_id:int order_increment_id order_created_at:at total_qty:dec
        shipment_id:int
        """
    ),
    RecordCall(
        "salesOrderShipmentInfo",
        "sales_order_shipment.info",
        "increment_id",
        "100",
        "Sales/Order/Order shipments/Retrieve shipment info",
        columns("items tracks comments"),
    ),
    nested=frozenset({"items", "tracks", "comments"}),
    identity="increment_id",  # rows have no id from 1.4.1.0 on
    comparable=frozenset({"increment_id", "store_id", "order_id", "created_at"}),
    marks={"shipment_id": 4, "total_qty": 4},
    path="sales_order_shipment.list",
)
CREDITMEMOS = ListSpec(
    "creditmemos",
    "salesOrderCreditmemoList",
    "creditmemo_id",
    "Sales/Order/Credit memo/Retrieve credit memo list",
    columns(
        """
        updated_at:at created_at:at increment_id transaction_id global_currency_code base_currency_code
        order_currency_code store_currency_code cybersource_token invoice_id:int billing_address_id:int
        shipping_address_id:int state:int creditmemo_status:int email_sent:int order_id:int tax_amount:dec
        shipping_tax_amount:dec base_tax_amount:dec base_adjustment_positive:dec base_grand_total:dec adjustment:dec
        subtotal:dec discount_amount:dec base_subtotal:dec base_adjustment:dec base_to_global_rate:dec
        store_to_base_rate:dec base_shipping_amount:dec adjustment_negative:dec subtotal_incl_tax:dec
        shipping_amount:dec base_subtotal_incl_tax:dec base_adjustment_negative:dec grand_total:dec
        base_discount_amount:dec base_to_order_rate:dec store_to_order_rate:dec base_shipping_tax_amount:dec
        adjustment_positive:dec store_id:int hidden_tax_amount:dec base_hidden_tax_amount:dec
        shipping_hidden_tax_amount:dec base_shipping_hidden_tax_amnt:dec shipping_incl_tax:dec
        base_shipping_incl_tax:dec base_customer_balance_amount:dec customer_balance_amount:dec
        bs_customer_bal_total_refunded:dec customer_bal_total_refunded:dec base_gift_cards_amount:dec
        gift_cards_amount:dec gw_base_price:dec gw_price:dec gw_items_base_price:dec gw_items_price:dec
        gw_card_base_price:dec gw_card_price:dec gw_base_tax_amount:dec gw_tax_amount:dec gw_items_base_tax_amount:dec
        gw_items_tax_amount:dec gw_card_base_tax_amount:dec gw_card_tax_amount:dec base_reward_currency_amount:dec
        reward_currency_amount:dec reward_points_balance:int reward_points_balance_refund:int creditmemo_id:int
        """
    ),
    RecordCall(
        "salesOrderCreditmemoInfo",
        "sales_order_creditmemo.info",
        "increment_id",
        "100",
        "Sales/Order/Order credit memo/Retrieve credit memo info",
        columns("items comments"),
    ),
    nested=frozenset({"items", "comments"}),
    since="1.6.1.0",
    comparable=frozenset({"increment_id", "store_id", "order_id", "state", "created_at"}),
    reports_changes=True,
    marks={"creditmemo_id": 5},
    path="sales_order_creditmemo.list",
    cheaper="soap",
)
CUSTOMERS = ListSpec(
    "customers",
    "customerCustomerList",
    "customer_id",
    "Customers/Retrieve customer info",
    columns(
        """
        customer_id:int created_at:at updated_at:at increment_id store_id:int website_id:int created_in email firstname
        middlename lastname group_id:int prefix suffix dob taxvat confirmation password_hash
        """
    ),
    # The record of a customer has no more fields than the row; its addresses are a list of their own.
    RecordCall(
        "customerAddressList",
        "customer_address.list",
        "customer_id",
        "101",
        "Customers/Addresses/Retrieve address info",
        columns("addresses"),
        into="addresses",
        echo="customer.info",
        row="customerCustomerInfo",
    ),
    nested=frozenset({"addresses"}),
    flat=False,
    comparable=frozenset({"store_id", "website_id", "group_id", "email", "created_at"}),
    reports_changes=True,
    marks={"customer_id": 1},
    path="customer.list",
)
PRODUCTS = ListSpec(
    "products",
    "catalogProductList",
    "product_id",
    "Catalog/Product/Retrieve products data",
    columns("product_id:int sku name set type category_ids website_ids"),
    RecordCall(
        "catalogProductInfo",
        "catalog_product.info",
        "product_id",
        "101",
        "Catalog/Product/Retrieve products data",
        columns(
            """
            categories websites created_at:at updated_at:at type_id description short_description weight:dec status:int
            url_key url_path visibility:int has_options:int gift_message_available:int price:dec special_price:dec
            special_from_date special_to_date tax_class_id:int tier_price meta_title meta_keyword meta_description
            custom_design custom_layout_update options_container additional_attributes
            """
        ),
        arguments=("0", None, "id"),  # no store, all attributes, by id: a SKU may look the same
        share=frozenset({"simple", "virtual", "downloadable", "grouped", "bundle"}),  # not configurable, see `details`
    ),
    required=frozenset({"product_id", "sku", "name", "set", "type", "category_ids", "website_ids"}),
    nested=frozenset({"category_ids", "website_ids", "categories", "websites", "tier_price", "additional_attributes"}),
    flat=False,
    spellings={"type": "type_id", "set": "attribute_set_id"},  # these two have other names in filters
    comparable=frozenset({"sku"}),
    marks={"product_id": 1},
    path="catalog_product.list",
)

_SPECS: tuple[ListSpec, ...] = (
    ORDERS,
    INVOICES,
    SHIPMENTS,
    CREDITMEMOS,
    CUSTOMERS,
    PRODUCTS,
)
LISTS: dict[str, ListSpec] = {spec.name: spec for spec in _SPECS}
"""The lists by name.

>>> LISTS["orders"].operation
'salesOrderList'
"""


def list_spec(name: str) -> ListSpec:
    """Return the list with a name.

    Raises:
        ValueError: there is no such list.
    """
    if name not in LISTS:
        raise ValueError(f"there is no list {name!r}; the lists are {', '.join(LISTS)}")
    return LISTS[name]


def list_of(operation: str) -> ListSpec | None:
    """Return the list with an operation of SOAP or a method of XML-RPC; None where it is not one of Magento's.

    >>> list_of("salesOrderList") is list_of("sales_order.list") is ORDERS, list_of("ListDocuments")
    (True, None)
    """
    return next((spec for spec in LISTS.values() if operation in {spec.operation, spec.path}), None)


def wire_and_columns(wire: WireName | None, columns: ColumnSet | None) -> tuple[WireName, bool]:
    """Return the protocol (`wire`) to use, and whether to return all columns, from the options of `Pager.list`.

    Raises:
        ValueError: an unknown name; or all columns by SOAP, which sends only those that the WSDL declares.

    >>> wire_and_columns(None, None), wire_and_columns("xml-rpc", None), wire_and_columns(None, "all")
    (('soap', False), ('xml-rpc', True), ('xml-rpc', True))
    """
    if wire not in (None, *get_args(WireName)):
        raise ValueError(f"there is no wire {wire!r}; the wires are {', '.join(get_args(WireName))}")
    if columns not in (None, *get_args(ColumnSet)):
        raise ValueError(f'columns is "declared" or "all", not {columns!r}')
    if columns == "all" and wire == "soap":
        raise ValueError("SOAP sends only the columns that the WSDL declares; use xml-rpc for all columns")
    all_columns = columns == "all" or (wire == "xml-rpc" and columns is None)
    return ("xml-rpc" if columns == "all" else wire or "soap"), all_columns
