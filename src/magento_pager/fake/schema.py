"""The operations and types of the SOAP API, as data, for the WSDL, requests and replies.

Field and operation names, their order and their types are facts of the API; the row types of the six lists are in
`lists`. This module knows nothing of XML. An operation that is not here is answered as PHP answers one that the WSDL
does not declare.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from magento_pager.fake.declarations import operation, optional_fields, read_fields
from magento_pager.fake.lists import LISTINGS, OLD_ORDER_FIELDS
from magento_pager.fake.profiles import listing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from magento_pager.fake.declarations import Field, Flavour, Operation
    from magento_pager.fake.lists import Listing
    from magento_pager.fake.profiles import Profile

ANY_VALUE_VERSION = (1, 7, 0, 0)
"""The only version whose filters have values of any type (RPC) or lists of strings (WS-I), and not strings."""


_OF_THE_SHOP = (
    operation("login", "username apiKey", "loginReturn", short=True),
    operation("startSession", "", "startSessionReturn", short=True),
    operation("endSession", "sessionId", "endSessionReturn:boolean", short=True),
    operation("magentoInfo", "sessionId", "info:magentoInfoEntity", (1, 7, 0, 0)),
    operation("storeList", "sessionId", "stores:storeEntityArray", (1, 6, 1, 0)),
)
"""The operations that belong to no list."""


def _declared(lists: Collection[Listing]) -> Mapping[str, Operation]:
    """Return the operations of a shop with these lists, by name."""
    details = (operation for listing in lists for operation in listing.details)
    declared = (*_OF_THE_SHOP, *(listing.call for listing in lists), *details)
    return {operation.name: operation for operation in declared}


OPERATIONS: Mapping[str, Operation] = MappingProxyType(_declared(LISTINGS.values()))
"""Every operation that the embedded shop answers, by name, as the newest version has it."""


def operations(profile: Profile) -> Mapping[str, Operation]:
    """Return the operations that the version has.

    >>> from magento_pager.fake.profiles import PROFILES
    >>> "magentoInfo" in operations(PROFILES["1.6.2.0"]), "magentoInfo" in operations(PROFILES["1.7.0.2"])
    (False, True)
    """
    declared = _declared([listing(name, profile) for name in profile.lists])
    return MappingProxyType({name: entry for name, entry in declared.items() if profile.version >= entry.since})


_SALES_PART = "increment_id parent_id created_at updated_at is_active "
_WEEE = (
    "weee_tax_applied_amount weee_tax_applied_row_amount weee_tax_disposition weee_tax_row_disposition "
    "base_weee_tax_disposition base_weee_tax_row_disposition "
)

_RECORDS: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {
        "associativeEntity": read_fields("key value"),
        "complexFilter": read_fields("key value:associativeEntity"),
        "filters": read_fields("filter:associativeArray? complex_filter:complexFilterArray?"),
        "magentoInfoEntity": read_fields("magento_version magento_edition"),
        "storeEntity": read_fields("store_id:int code website_id:int group_id:int name sort_order:int is_active:int"),
        "salesOrderEntity": (
            *OLD_ORDER_FIELDS,
            *optional_fields(
                "gift_message shipping_address:salesOrderAddressEntity billing_address:salesOrderAddressEntity "
                "items:salesOrderItemEntityArray payment:salesOrderPaymentEntity "
                "status_history:salesOrderStatusHistoryEntityArray",
            ),
        ),
        "salesOrderAddressEntity": optional_fields(
            _SALES_PART + "address_type firstname middlename lastname company street city region postcode country_id "
            "telephone fax region_id address_id",
        ),
        "salesOrderItemEntity": optional_fields(
            "item_id order_id quote_item_id created_at updated_at product_id product_type product_options weight "
            "is_virtual sku name applied_rule_ids free_shipping is_qty_decimal no_discount qty_canceled qty_invoiced "
            "qty_ordered qty_refunded qty_shipped cost price base_price original_price base_original_price "
            "tax_percent tax_amount base_tax_amount tax_invoiced base_tax_invoiced discount_percent discount_amount "
            "base_discount_amount discount_invoiced base_discount_invoiced amount_refunded base_amount_refunded "
            "row_total base_row_total row_invoiced base_row_invoiced row_weight gift_message_id gift_message "
            "gift_message_available base_tax_before_discount tax_before_discount weee_tax_applied "
            "weee_tax_applied_amount weee_tax_applied_row_amount base_weee_tax_applied_amount "
            "base_weee_tax_applied_row_amount weee_tax_disposition weee_tax_row_disposition "
            "base_weee_tax_disposition base_weee_tax_row_disposition",
        ),
        "salesOrderPaymentEntity": optional_fields(
            _SALES_PART + "amount_ordered shipping_amount base_amount_ordered base_shipping_amount method po_number "
            "cc_type cc_number_enc cc_last4 cc_owner cc_exp_month cc_exp_year cc_ss_start_month cc_ss_start_year "
            "payment_id",
        ),
        "salesOrderStatusHistoryEntity": optional_fields(_SALES_PART + "is_customer_notified status comment"),
        "salesOrderInvoiceItemEntity": optional_fields(
            _SALES_PART + "weee_tax_applied qty cost price tax_amount row_total base_price base_tax_amount "
            "base_row_total base_weee_tax_applied_amount base_weee_tax_applied_row_amount "
            + _WEEE
            + "sku name order_item_id product_id item_id",
        ),
        "salesOrderInvoiceCommentEntity": optional_fields(_SALES_PART + "comment is_customer_notified comment_id"),
        "salesOrderShipmentItemEntity": optional_fields(
            _SALES_PART + "sku name order_item_id product_id weight price qty item_id",
        ),
        "salesOrderShipmentTrackEntity": optional_fields(_SALES_PART + "carrier_code title number order_id track_id"),
        "salesOrderShipmentCommentEntity": optional_fields(_SALES_PART + "comment is_customer_notified comment_id"),
        "salesOrderCreditmemoItemEntity": optional_fields(
            "item_id parent_id weee_tax_applied_row_amount base_price base_weee_tax_row_disposition tax_amount "
            "base_weee_tax_applied_amount weee_tax_row_disposition base_row_total discount_amount row_total "
            "weee_tax_applied_amount base_discount_amount base_weee_tax_disposition price_incl_tax base_tax_amount "
            "weee_tax_disposition base_price_incl_tax qty base_cost base_weee_tax_applied_row_amount price "
            "base_row_total_incl_tax row_total_incl_tax product_id order_item_id additional_data description "
            "weee_tax_applied sku name hidden_tax_amount base_hidden_tax_amount",
        ),
        "salesOrderCreditmemoCommentEntity": optional_fields(
            "parent_id created_at comment is_customer_notified comment_id is_visible_on_front",
        ),
        "customerAddressEntityItem": optional_fields(
            "customer_address_id:int created_at updated_at increment_id city company country_id fax firstname lastname "
            "middlename postcode prefix region region_id:int street suffix telephone is_default_billing:boolean "
            "is_default_shipping:boolean",
        ),
        "catalogProductRequestAttributes": optional_fields(
            "attributes:ArrayOfString additional_attributes:ArrayOfString"
        ),
        "catalogProductTierPriceEntity": optional_fields("customer_group_id website qty:int price:double"),
        "catalogProductReturnEntity": optional_fields(
            "product_id sku set type categories:ArrayOfString websites:ArrayOfString created_at updated_at type_id "
            "name description short_description weight status url_key url_path visibility category_ids:ArrayOfString "
            "website_ids:ArrayOfString has_options gift_message_available price special_price special_from_date "
            "special_to_date tax_class_id tier_price:catalogProductTierPriceEntityArray meta_title meta_keyword "
            "meta_description custom_design custom_layout_update options_container "
            "additional_attributes:associativeArray",
        ),
    },
)

ARRAYS: Mapping[str, str] = MappingProxyType(
    {
        **{f"{item}Array": item for item in (*_RECORDS, *(listing.row_type for listing in LISTINGS.values()))},
        "ArrayOfString": "xsd:string",
        "associativeArray": "associativeEntity",
        "customerAddressEntityArray": "customerAddressEntityItem",
    },
)
"""The array types and the types of their items."""


def records(profile: Profile, flavour: Flavour) -> Mapping[str, tuple[Field, ...]]:
    """Return the record types of the version: name to fields in declared order.

    >>> from magento_pager.fake.profiles import PROFILES
    >>> [field.name for field in records(PROFILES["20.0.20"], "rpc")["complexFilter"]]
    ['key', 'value']
    """
    lists = [listing(name, profile) for name in profile.lists]
    types = {**{row.row_type: row.fields for row in lists}, **_RECORDS}
    if profile.version == ANY_VALUE_VERSION:
        name, value = ("AnyType", "anyType") if flavour == "rpc" else ("Multi", "ArrayOfString")
        types[f"associative{name}Entity"] = read_fields(f"key value:{value}")
        types["complexFilter"] = read_fields(f"key value:associative{name}Entity")
    return MappingProxyType(types)
