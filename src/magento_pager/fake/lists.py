"""The six lists: what they are called, what their rows hold, how they fail. Data, no behaviour.

Field names and their order are those of the WSDL; which of them a server fills is from the recorded replies and from
the SELECT of each list. Nothing here depends on rows or on SQL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magento_pager.fake.profiles import Profile


@dataclass(frozen=True, slots=True)
class Field:
    """One element of a row type.

    Attributes:
        name: the element.
        type: `xsd:string`, `xsd:int`, `xsd:boolean`, or the name of a type of the WSDL itself, without a prefix.
        required: declared without `minOccurs="0"`: a NULL is sent as nil instead of being left out.
    """

    name: str
    type: str = "xsd:string"
    required: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """One list operation.

    Attributes:
        name: as on the command line.
        operation: the SOAP operation.
        resource: the resource of XML-RPC; its list method is `resource.list`.
        table: the table behind `main_table` (or `e`, on EAV lists).
        model: the PHP class of one row, as it appears in faults.
        aliases: filter names that stand for a column.
        key_field: the field of a row that carries `entity_id`.
        eav: customers and products: fields are attributes, aliases of tables do not work.
        joined: orders: two address tables are joined, so that bare column names can be ambiguous.
        row_type: the WSDL type of a row.
        array_type: the WSDL type of the whole list.
        fields: the declared fields of a row, in order.
        columns: the names of those that a server fills, in declared order: the shape of the tuples of `select`.
        rpc_result: the part of an RPC reply that holds the list; in WS-I it is always `result`.
        filter_fault: the code of an invalid field name caught by the API.
        sql_fault: the code of a database error.
        missing_fault: (code, text) when a record asked for by id does not exist.
    """

    name: str
    operation: str
    resource: str
    table: str
    model: str
    aliases: Mapping[str, str]
    key_field: str
    eav: bool
    joined: bool
    row_type: str
    array_type: str
    fields: tuple[Field, ...]
    columns: tuple[str, ...]
    rpc_result: str
    filter_fault: str
    sql_fault: str
    missing_fault: tuple[str, str]


def _strings(names: str) -> tuple[Field, ...]:
    """Optional text fields from their names, separated by blanks."""
    return tuple(Field(name) for name in names.split())


def _filled(fields: tuple[Field, ...], absent: str) -> tuple[str, ...]:
    """The names of all fields but those that no server fills."""
    return tuple(field.name for field in fields if field.name not in absent.split())


_ORDER_FIELDS_FIRST = """
increment_id store_id created_at updated_at customer_id tax_amount shipping_amount discount_amount subtotal grand_total
total_paid total_refunded total_qty_ordered total_canceled total_invoiced total_online_refunded total_offline_refunded
base_tax_amount base_shipping_amount base_discount_amount base_subtotal base_grand_total base_total_paid
base_total_refunded base_total_qty_ordered base_total_canceled base_total_invoiced base_total_online_refunded
base_total_offline_refunded billing_address_id billing_firstname billing_lastname shipping_address_id
shipping_firstname shipping_lastname billing_name shipping_name store_to_base_rate store_to_order_rate
base_to_global_rate base_to_order_rate weight store_name remote_ip status state applied_rule_ids global_currency_code
base_currency_code store_currency_code order_currency_code shipping_method shipping_description customer_email
customer_firstname customer_lastname quote_id is_virtual customer_group_id customer_note_notify customer_is_guest
email_sent order_id gift_message_id
"""

_ORDER_FIELDS_LATER = """
coupon_code protect_code base_discount_canceled base_discount_invoiced base_discount_refunded base_shipping_canceled
base_shipping_invoiced base_shipping_refunded base_shipping_tax_amount base_shipping_tax_refunded
base_subtotal_canceled base_subtotal_invoiced base_subtotal_refunded base_tax_canceled base_tax_invoiced
base_tax_refunded base_total_invoiced_cost discount_canceled discount_invoiced discount_refunded shipping_canceled
shipping_invoiced shipping_refunded shipping_tax_amount shipping_tax_refunded subtotal_canceled subtotal_invoiced
subtotal_refunded tax_canceled tax_invoiced tax_refunded can_ship_partially can_ship_partially_item edit_increment
forced_do_shipment_with_invoice payment_authorization_expiration paypal_ipn_customer_notified quote_address_id
adjustment_negative adjustment_positive base_adjustment_negative base_adjustment_positive
base_shipping_discount_amount base_subtotal_incl_tax base_total_due payment_authorization_amount
shipping_discount_amount subtotal_incl_tax total_due customer_dob customer_middlename customer_prefix customer_suffix
customer_taxvat discount_description ext_customer_id ext_order_id hold_before_state hold_before_status
original_increment_id relation_child_id relation_child_real_id relation_parent_id relation_parent_real_id
x_forwarded_for customer_note total_item_count customer_gender hidden_tax_amount base_hidden_tax_amount
shipping_hidden_tax_amount base_shipping_hidden_tax_amount hidden_tax_invoiced base_hidden_tax_invoiced
hidden_tax_refunded base_hidden_tax_refunded shipping_incl_tax base_shipping_incl_tax
"""

_ORDER_FIELDS_ENTERPRISE = """
base_customer_balance_amount customer_balance_amount base_customer_balance_invoiced customer_balance_invoiced
base_customer_balance_refunded customer_balance_refunded base_customer_balance_total_refunded
customer_balance_total_refunded gift_cards base_gift_cards_amount gift_cards_amount base_gift_cards_invoiced
gift_cards_invoiced base_gift_cards_refunded gift_cards_refunded reward_points_balance base_reward_currency_amount
reward_currency_amount base_reward_currency_amount_invoiced reward_currency_amount_invoiced
base_reward_currency_amount_refunded reward_currency_amount_refunded reward_points_balance_refunded
reward_points_balance_to_refund reward_salesrule_points
"""
"""Declared, but columns of the commercial edition: no row has them."""

_ORDER_FIELDS_RENAMED = """
forced_do_shipment_with_invoice payment_authorization_expiration base_shipping_hidden_tax_amount
"""
"""Declared, but the columns got shorter names in 1.6: no row has them."""

_ORDER_FIELDS_ADDRESS = "firstname lastname telephone postcode"

_ORDER_FIELDS = _strings(
    _ORDER_FIELDS_FIRST + _ORDER_FIELDS_LATER + _ORDER_FIELDS_ENTERPRISE + _ORDER_FIELDS_ADDRESS,
)

_INVOICE_FIELDS = (
    *_strings("""
increment_id parent_id store_id created_at updated_at is_active global_currency_code base_currency_code
store_currency_code order_currency_code store_to_base_rate store_to_order_rate base_to_global_rate base_to_order_rate
subtotal base_subtotal base_grand_total discount_amount base_discount_amount shipping_amount base_shipping_amount
tax_amount base_tax_amount billing_address_id billing_firstname billing_lastname order_id order_increment_id
order_created_at state grand_total invoice_id
"""),
    Field("items", "salesOrderInvoiceItemEntityArray"),
    Field("comments", "salesOrderInvoiceCommentEntityArray"),
)

_SHIPMENT_FIELDS = (
    *_strings("""
increment_id parent_id store_id created_at updated_at is_active shipping_address_id shipping_firstname
shipping_lastname order_id order_increment_id order_created_at total_qty shipment_id
"""),
    Field("items", "salesOrderShipmentItemEntityArray"),
    Field("tracks", "salesOrderShipmentTrackEntityArray"),
    Field("comments", "salesOrderShipmentCommentEntityArray"),
)

_CREDITMEMO_ENTERPRISE = """
base_customer_balance_amount customer_balance_amount bs_customer_bal_total_refunded customer_bal_total_refunded
base_gift_cards_amount gift_cards_amount gw_base_price gw_price gw_items_base_price gw_items_price gw_card_base_price
gw_card_price gw_base_tax_amount gw_tax_amount gw_items_base_tax_amount gw_items_tax_amount gw_card_base_tax_amount
gw_card_tax_amount base_reward_currency_amount reward_currency_amount reward_points_balance
reward_points_balance_refund
"""

_CREDITMEMO_FIELDS = (
    *_strings(
        """
updated_at created_at increment_id transaction_id global_currency_code base_currency_code order_currency_code
store_currency_code cybersource_token invoice_id billing_address_id shipping_address_id state creditmemo_status
email_sent order_id tax_amount shipping_tax_amount base_tax_amount base_adjustment_positive base_grand_total
adjustment subtotal discount_amount base_subtotal base_adjustment base_to_global_rate store_to_base_rate
base_shipping_amount adjustment_negative subtotal_incl_tax shipping_amount base_subtotal_incl_tax
base_adjustment_negative grand_total base_discount_amount base_to_order_rate store_to_order_rate
base_shipping_tax_amount adjustment_positive store_id hidden_tax_amount base_hidden_tax_amount
shipping_hidden_tax_amount base_shipping_hidden_tax_amnt shipping_incl_tax base_shipping_incl_tax
"""
        + _CREDITMEMO_ENTERPRISE
        + "creditmemo_id",
    ),
    Field("items", "salesOrderCreditmemoItemEntityArray"),
    Field("comments", "salesOrderCreditmemoCommentEntityArray"),
)

_CUSTOMER_FIELDS = (
    Field("customer_id", "xsd:int"),
    *_strings("created_at updated_at increment_id"),
    Field("store_id", "xsd:int"),
    Field("website_id", "xsd:int"),
    *_strings("created_in email firstname middlename lastname"),
    Field("group_id", "xsd:int"),
    *_strings("prefix suffix dob taxvat"),
    Field("confirmation", "xsd:boolean"),
    Field("password_hash"),
)

_PRODUCT_FIELDS = (
    *(Field(name, required=True) for name in ("product_id", "sku", "name", "set", "type")),
    Field("category_ids", "ArrayOfString", required=True),
    Field("website_ids", "ArrayOfString", required=True),
)

_ORDERS = Listing(
    name="orders",
    operation="salesOrderList",
    resource="sales_order",
    table="sales_flat_order",
    model="Mage_Sales_Model_Order",
    aliases=MappingProxyType({"order_id": "entity_id"}),
    key_field="order_id",
    eav=False,
    joined=True,
    row_type="salesOrderListEntity",
    array_type="salesOrderListEntityArray",
    fields=_ORDER_FIELDS,
    columns=_filled(_ORDER_FIELDS, _ORDER_FIELDS_ENTERPRISE + _ORDER_FIELDS_RENAMED),
    rpc_result="result",
    filter_fault="101",
    sql_fault="1",
    missing_fault=("100", "Requested order not exists."),
)

_INVOICES = replace(
    _ORDERS,
    name="invoices",
    operation="salesOrderInvoiceList",
    resource="sales_order_invoice",
    table="sales_flat_invoice",
    model="Mage_Sales_Model_Order_Invoice",
    aliases=MappingProxyType({"invoice_id": "entity_id"}),
    key_field="invoice_id",
    joined=False,
    row_type="salesOrderInvoiceEntity",
    array_type="salesOrderInvoiceEntityArray",
    fields=_INVOICE_FIELDS,
    columns=(
        "increment_id",
        "created_at",
        "order_currency_code",
        "order_id",
        "state",
        "grand_total",
        "invoice_id",
    ),
    filter_fault="0",
    missing_fault=("100", "Requested invoice does not exist."),
)

_SHIPMENTS = replace(
    _INVOICES,
    name="shipments",
    operation="salesOrderShipmentList",
    resource="sales_order_shipment",
    table="sales_flat_shipment",
    model="Mage_Sales_Model_Order_Shipment",
    aliases=MappingProxyType({"shipment_id": "entity_id"}),
    key_field="shipment_id",
    row_type="salesOrderShipmentEntity",
    array_type="salesOrderShipmentEntityArray",
    fields=_SHIPMENT_FIELDS,
    columns=("increment_id", "created_at", "total_qty", "shipment_id"),
    filter_fault="101",
    missing_fault=("100", "Requested shipment not exists."),
)

_CREDITMEMOS = replace(
    _INVOICES,
    name="creditmemos",
    operation="salesOrderCreditmemoList",
    resource="sales_order_creditmemo",
    table="sales_flat_creditmemo",
    model="Mage_Sales_Model_Order_Creditmemo",
    aliases=MappingProxyType({"creditmemo_id": "entity_id"}),
    key_field="creditmemo_id",
    row_type="salesOrderCreditmemoEntity",
    array_type="salesOrderCreditmemoEntityArray",
    fields=_CREDITMEMO_FIELDS,
    columns=_filled(_CREDITMEMO_FIELDS, _CREDITMEMO_ENTERPRISE + "items comments"),
    filter_fault="101",
    sql_fault="101",
    missing_fault=("100", "Requested credit memo does not exist."),
)

_CUSTOMERS = replace(
    _ORDERS,
    name="customers",
    operation="customerCustomerList",
    resource="customer",
    table="customer_entity",
    model="Mage_Customer_Model_Customer",
    aliases=MappingProxyType({"customer_id": "entity_id"}),
    key_field="customer_id",
    eav=True,
    joined=False,
    row_type="customerCustomerEntity",
    array_type="customerCustomerEntityArray",
    fields=_CUSTOMER_FIELDS,
    columns=_filled(_CUSTOMER_FIELDS, ""),
    rpc_result="storeView",
    filter_fault="101",
    missing_fault=("102", "Customer not exists."),
)

_PRODUCTS = replace(
    _CUSTOMERS,
    name="products",
    operation="catalogProductList",
    resource="catalog_product",
    table="catalog_product_entity",
    model="Mage_Catalog_Model_Product",
    aliases=MappingProxyType({"product_id": "entity_id", "set": "attribute_set_id", "type": "type_id"}),
    key_field="product_id",
    row_type="catalogProductEntity",
    array_type="catalogProductEntityArray",
    fields=_PRODUCT_FIELDS,
    columns=_filled(_PRODUCT_FIELDS, ""),
    filter_fault="0",
    missing_fault=("101", "Product not exists."),
)

LISTINGS: Mapping[str, Listing] = MappingProxyType(
    {one.name: one for one in (_ORDERS, _INVOICES, _SHIPMENTS, _CREDITMEMOS, _CUSTOMERS, _PRODUCTS)},
)
"""The lists of the newest version, by name."""

_OLD_CUSTOMER_FIELDS = tuple(
    one
    for one in _CUSTOMER_FIELDS
    if one.name not in {"middlename", "prefix", "suffix", "dob", "taxvat", "confirmation"}
)


def listing(name: str, profile: Profile) -> Listing:
    """The list as that version declares it.

    Up to 1.5.0.1 orders have another row type, with fewer fields, and up to 1.4.1 customers have 12 fields.

    Raises:
        ValueError: that version has no such list.

    >>> from magento_pager.fake.profiles import profile
    >>> listing("customers", profile("1.4.1.1")).columns[:3]
    ('customer_id', 'created_at', 'updated_at')
    >>> listing("creditmemos", profile("1.4.1.1"))
    Traceback (most recent call last):
    ...
    ValueError: 1.4.1.1 has no list 'creditmemos': it has orders, invoices, shipments, customers, products
    """
    if name not in profile.lists:
        raise ValueError(f"{profile.name} has no list {name!r}: it has {', '.join(profile.lists)}")
    newest = LISTINGS[name]
    if name == "orders" and profile.version < (1, 5, 1, 0):
        declared = _strings("increment_id parent_id store_id created_at updated_at is_active")
        declared += tuple(one for one in _strings(_ORDER_FIELDS_FIRST) if one not in declared)
        return replace(
            newest,
            row_type="salesOrderEntity",
            array_type="salesOrderEntityArray",
            fields=declared,
            columns=_filled(declared, "parent_id is_active"),
        )
    if name == "customers" and profile.version < (1, 4, 2, 0):
        return replace(newest, fields=_OLD_CUSTOMER_FIELDS, columns=_filled(_OLD_CUSTOMER_FIELDS, ""))
    return newest
