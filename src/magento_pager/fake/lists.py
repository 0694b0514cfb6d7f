"""The lists: their names, tables, fields and fault codes. Data.

Field names and their order are those of the WSDL. A server fills those that the table of the list has. Operations,
types, paths and columns follow from these data. Rows are made up in `data`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from magento_pager.fake import tables
from magento_pager.fake.declarations import Field, Operation, operation, optional_fields, read_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magento_pager.fake.tables import Attributes, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list.

    Attributes:
        name: as on the command line.
        operation: the SOAP operation, which ends in `List`.
        table: the table that queries call `main_table` (or `e`, on EAV lists).
        fields: the declared fields of a row, in order.
        since: the first version that has the list and its details.
        row_type: the WSDL type of a row; by default that of `salesCouponList` is `salesCouponEntity`.
        resource: the resource of XML-RPC; by default that of `salesCouponList` is `sales_coupon`.
        key_field: the field of a row that carries `entity_id`; by default that of `coupons` is `coupon_id`.
        inputs: the arguments of the operation.
        rpc_result: the part of an RPC reply that holds the list; in WS-I it is always `result`.
        details: the operations for one record or a part of it; the second argument of each identifies the record.
        selected: the columns that the shop selects; empty: all of the table.
        renamed: fields, and names in filters, for columns with another name, except the key.
        joined: of orders, which join two address tables, so bare column names can be ambiguous: the fields from these
            tables, and the SQL of each.
        attributes: of customers and products: the fields of an EAV list, where aliases of tables do not work.
        filter_fault: the fault code of an invalid attribute name.
        sql_fault: the code of a database error.
        missing_fault: (code, text) if the requested record does not exist.
    """

    name: str
    operation: str
    table: Table
    fields: tuple[Field, ...]
    since: tuple[int, ...] = ()
    row_type: str = ""
    resource: str = ""
    key_field: str = ""
    inputs: tuple[Field, ...] = read_fields("sessionId filters:filters?")
    rpc_result: str = "result"
    details: tuple[Operation, ...] = ()
    selected: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    joined: Mapping[str, str] = field(default_factory=dict)
    attributes: Attributes | None = None
    filter_fault: str = "101"
    sql_fault: str = "1"
    missing_fault: tuple[str, str] = ("100", "Requested record not exists.")

    def __post_init__(self) -> None:
        stem = self.operation.removesuffix("List")
        resource = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in stem)
        defaults = {"row_type": f"{stem}Entity", "resource": resource, "key_field": f"{self.name.removesuffix('s')}_id"}
        for name, value in defaults.items():
            object.__setattr__(self, name, getattr(self, name) or value)

    @property
    def eav(self) -> bool:
        """Whether the fields are attributes, as of customers and products."""
        return self.attributes is not None

    @property
    def aliases(self) -> Mapping[str, str]:
        """The fields, and names in filters, for columns with another name."""
        return {self.key_field: "entity_id", **self.renamed}

    @property
    def columns(self) -> tuple[str, ...]:
        """The fields that a server fills, in declared order: the shape of the tuples of `select`."""
        filled = {*(self.selected or self.table.columns), *self.aliases, *self.joined}
        return tuple(field.name for field in self.fields if field.name in filled)

    @property
    def call(self) -> Operation:
        """The list operation as the WSDL declares it."""
        return Operation(self.operation, self.inputs, Field(self.rpc_result, f"{self.row_type}Array", required=True))


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

_OLD_ORDER_FIELDS_FIRST = "increment_id parent_id store_id created_at updated_at is_active"
OLD_ORDER_FIELDS = optional_fields(" ".join(dict.fromkeys((_OLD_ORDER_FIELDS_FIRST + _ORDER_FIELDS_FIRST).split())))
"""Fields of the only record type of orders in old versions; newer ones still use it for single records."""


NEW_CUSTOMER_FIELDS = {"middlename", "prefix", "suffix", "dob", "taxvat", "confirmation"}

_LISTINGS = (
    Listing(
        name="orders",
        operation="salesOrderList",
        table=tables.ORDER,
        fields=optional_fields(
            f"{_ORDER_FIELDS_FIRST}{_ORDER_FIELDS_LATER}{_ORDER_FIELDS_ENTERPRISE}firstname lastname telephone postcode"
        ),
        row_type="salesOrderListEntity",
        inputs=read_fields("sessionId filters:filters"),
        details=(operation("salesOrderInfo", "sessionId orderIncrementId", "result:salesOrderEntity"),),
        joined=tables.ORDER_COLUMNS,
        missing_fault=("100", "Requested order not exists."),
    ),
    Listing(
        name="invoices",
        operation="salesOrderInvoiceList",
        table=tables.INVOICE,
        fields=optional_fields("""
increment_id parent_id store_id created_at updated_at is_active global_currency_code base_currency_code
store_currency_code order_currency_code store_to_base_rate store_to_order_rate base_to_global_rate base_to_order_rate
subtotal base_subtotal base_grand_total discount_amount base_discount_amount shipping_amount base_shipping_amount
tax_amount base_tax_amount billing_address_id billing_firstname billing_lastname order_id order_increment_id
order_created_at state grand_total invoice_id items:salesOrderInvoiceItemEntityArray
comments:salesOrderInvoiceCommentEntityArray
"""),
        details=(operation("salesOrderInvoiceInfo", "sessionId invoiceIncrementId", "result:salesOrderInvoiceEntity"),),
        selected=(
            "entity_id",
            "order_id",
            "increment_id",
            "created_at",
            "state",
            "grand_total",
            "order_currency_code",
        ),
        missing_fault=("100", "Requested invoice does not exist."),
    ),
    Listing(
        name="shipments",
        operation="salesOrderShipmentList",
        table=tables.SHIPMENT,
        fields=optional_fields("""
increment_id parent_id store_id created_at updated_at is_active shipping_address_id shipping_firstname
shipping_lastname order_id order_increment_id order_created_at total_qty shipment_id
items:salesOrderShipmentItemEntityArray tracks:salesOrderShipmentTrackEntityArray
comments:salesOrderShipmentCommentEntityArray
"""),
        details=(
            operation("salesOrderShipmentInfo", "sessionId shipmentIncrementId", "result:salesOrderShipmentEntity"),
        ),
        selected=("increment_id", "created_at", "total_qty"),
        missing_fault=("100", "Requested shipment not exists."),
    ),
    Listing(
        name="creditmemos",
        operation="salesOrderCreditmemoList",
        table=tables.CREDITMEMO,
        # Fields between base_shipping_incl_tax and creditmemo_id belong to the commercial edition: no row has them.
        fields=optional_fields("""
updated_at created_at increment_id transaction_id global_currency_code base_currency_code order_currency_code
store_currency_code cybersource_token invoice_id billing_address_id shipping_address_id state creditmemo_status
email_sent order_id tax_amount shipping_tax_amount base_tax_amount base_adjustment_positive base_grand_total
adjustment subtotal discount_amount base_subtotal base_adjustment base_to_global_rate store_to_base_rate
base_shipping_amount adjustment_negative subtotal_incl_tax shipping_amount base_subtotal_incl_tax
base_adjustment_negative grand_total base_discount_amount base_to_order_rate store_to_order_rate
base_shipping_tax_amount adjustment_positive store_id hidden_tax_amount base_hidden_tax_amount
shipping_hidden_tax_amount base_shipping_hidden_tax_amnt shipping_incl_tax base_shipping_incl_tax
base_customer_balance_amount customer_balance_amount bs_customer_bal_total_refunded customer_bal_total_refunded
base_gift_cards_amount gift_cards_amount gw_base_price gw_price gw_items_base_price gw_items_price gw_card_base_price
gw_card_price gw_base_tax_amount gw_tax_amount gw_items_base_tax_amount gw_items_tax_amount gw_card_base_tax_amount
gw_card_tax_amount base_reward_currency_amount reward_currency_amount reward_points_balance
reward_points_balance_refund creditmemo_id items:salesOrderCreditmemoItemEntityArray
comments:salesOrderCreditmemoCommentEntityArray
"""),
        since=(1, 6, 1, 0),
        details=(
            operation(
                "salesOrderCreditmemoInfo", "sessionId creditmemoIncrementId", "result:salesOrderCreditmemoEntity"
            ),
        ),
        sql_fault="101",
        missing_fault=("100", "Requested credit memo does not exist."),
    ),
    Listing(
        name="customers",
        operation="customerCustomerList",
        table=tables.CUSTOMER,
        fields=optional_fields("""
customer_id:int created_at updated_at increment_id store_id:int website_id:int created_in email firstname middlename
lastname group_id:int prefix suffix dob taxvat confirmation:boolean password_hash
"""),
        resource="customer",
        inputs=read_fields("sessionId filters:filters"),
        rpc_result="storeView",
        details=(
            operation(
                "customerCustomerInfo",
                "sessionId customerId:int attributes:ArrayOfString?",
                "customerInfo:customerCustomerEntity",
            ),
            operation("customerAddressList", "sessionId customerId:int", "result:customerAddressEntityArray"),
            operation("customerAddressInfo", "sessionId addressId:int", "info:customerAddressEntityItem"),
        ),
        attributes=tables.CUSTOMER_ATTRIBUTES,
        missing_fault=("102", "Customer not exists."),
    ),
    Listing(
        name="products",
        operation="catalogProductList",
        table=tables.PRODUCT,
        fields=read_fields("product_id sku name set type category_ids:ArrayOfString website_ids:ArrayOfString"),
        inputs=read_fields("sessionId filters:filters storeView?"),
        rpc_result="storeView",
        details=(
            operation(
                "catalogProductInfo",
                "sessionId productId storeView? attributes:catalogProductRequestAttributes? identifierType?",
                "info:catalogProductReturnEntity",
            ),
        ),
        selected=("sku", "name", "category_ids", "website_ids"),
        renamed={"set": "attribute_set_id", "type": "type_id"},
        attributes=tables.PRODUCT_ATTRIBUTES,
        filter_fault="0",
        missing_fault=("101", "Product not exists."),
    ),
)

LISTINGS: Mapping[str, Listing] = MappingProxyType({listing.name: listing for listing in _LISTINGS})
"""The lists of the newest version, by name."""
