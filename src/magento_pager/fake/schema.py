"""The operations and types of the SOAP API, as data: what the WSDL says and what requests and replies are made of.

Field and operation names, their order and their types are facts of the API; the rows of the six lists come from
`lists`. This module knows nothing of XML. An operation that is not here is answered as PHP answers one that the WSDL
does not declare.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from magento_pager.fake.lists import Field, listing
from magento_pager.fake.profiles import PROFILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from magento_pager.fake.profiles import Flavour, Profile

_WSI_NAMES = {"storeView": "store"}
"""Arguments that have another name in WS-I."""

ANY_VALUE_VERSION = (1, 7, 0, 0)
"""The one version whose filters carry any type (RPC) or a list of strings (WS-I) where all others carry a string."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API.

    Attributes:
        name: as in the WSDL.
        inputs: its arguments, in order; the names are those of RPC.
        result: the one part of its RPC reply. In WS-I the part is always called `result`.
        since: the first version that has it.
        short: WS-I wraps its arguments in `loginParam`, not in `loginRequestParam`.
    """

    name: str
    inputs: tuple[Field, ...]
    result: Field
    since: tuple[int, ...] = ()
    short: bool = False

    def request_element(self, flavour: Flavour) -> str:
        """The element inside the SOAP body of a request.

        >>> OPERATIONS["login"].request_element("wsi"), OPERATIONS["storeList"].request_element("wsi")
        ('loginParam', 'storeListRequestParam')
        """
        if flavour == "rpc":
            return self.name
        return self.name + ("Param" if self.short else "RequestParam")

    def reply_element(self, flavour: Flavour) -> str:
        """The element inside the SOAP body of a reply.

        >>> OPERATIONS["login"].reply_element("rpc"), OPERATIONS["login"].reply_element("wsi")
        ('loginResponse', 'loginResponseParam')
        """
        return self.name + ("Response" if flavour == "rpc" else "ResponseParam")

    def reply_part(self, flavour: Flavour) -> Field:
        """The element that holds the result.

        >>> OPERATIONS["customerCustomerList"].reply_part("rpc").name
        'storeView'
        """
        return self.result if flavour == "rpc" else Field("result", self.result.type, required=True)

    def arguments(self, flavour: Flavour) -> tuple[Field, ...]:
        """The arguments by the names they have in that flavour.

        >>> [field.name for field in OPERATIONS["catalogProductList"].arguments("wsi")]
        ['sessionId', 'filters', 'store']
        """
        if flavour == "rpc":
            return self.inputs
        return tuple(replace(one, name=_WSI_NAMES.get(one.name, one.name)) for one in self.inputs)


def _field(text: str) -> Field:
    """A field from `name:type`, the type a string when not given; `?` at the end makes it optional.

    >>> _field("store_id:int"), _field("region?").required
    (Field(name='store_id', type='xsd:int', required=True), False)
    """
    name, _, kind = text.rstrip("?").partition(":")
    plain = kind or "string"
    return Field(name, f"xsd:{plain}" if plain in _SIMPLE else plain, required=not text.endswith("?"))


_SIMPLE = {"string", "int", "boolean", "double", "anyType"}


def _fields(names: str) -> tuple[Field, ...]:
    """Fields as in `_field`, separated by blanks."""
    return tuple(_field(one) for one in names.split())


def _optional(names: str) -> tuple[Field, ...]:
    """The same, all optional."""
    return tuple(_field(one + "?") for one in names.split())


def _operation(
    name: str,
    inputs: str,
    result: str,
    since: tuple[int, ...] = (),
    *,
    short: bool = False,
) -> Operation:
    """An operation from the short notation of its arguments and its result."""
    return Operation(name, _fields(inputs), _field(result), since, short)


_CREDITMEMOS_SINCE = (1, 6, 1, 0)

_ALL_OPERATIONS = (
    _operation("login", "username apiKey", "loginReturn", short=True),
    _operation("startSession", "", "startSessionReturn", short=True),
    _operation("endSession", "sessionId", "endSessionReturn:boolean", short=True),
    _operation("magentoInfo", "sessionId", "info:magentoInfoEntity", (1, 7, 0, 0)),
    _operation("storeList", "sessionId", "stores:storeEntityArray", (1, 6, 1, 0)),
    _operation("salesOrderList", "sessionId filters:filters", "result:salesOrderListEntityArray"),
    _operation("salesOrderInvoiceList", "sessionId filters:filters?", "result:salesOrderInvoiceEntityArray"),
    _operation("salesOrderShipmentList", "sessionId filters:filters?", "result:salesOrderShipmentEntityArray"),
    _operation(
        "salesOrderCreditmemoList",
        "sessionId filters:filters?",
        "result:salesOrderCreditmemoEntityArray",
        _CREDITMEMOS_SINCE,
    ),
    _operation("customerCustomerList", "sessionId filters:filters", "storeView:customerCustomerEntityArray"),
    _operation("catalogProductList", "sessionId filters:filters storeView?", "storeView:catalogProductEntityArray"),
    _operation("salesOrderInfo", "sessionId orderIncrementId", "result:salesOrderEntity"),
    _operation("salesOrderInvoiceInfo", "sessionId invoiceIncrementId", "result:salesOrderInvoiceEntity"),
    _operation("salesOrderShipmentInfo", "sessionId shipmentIncrementId", "result:salesOrderShipmentEntity"),
    _operation(
        "salesOrderCreditmemoInfo",
        "sessionId creditmemoIncrementId",
        "result:salesOrderCreditmemoEntity",
        _CREDITMEMOS_SINCE,
    ),
    _operation(
        "customerCustomerInfo",
        "sessionId customerId:int attributes:ArrayOfString?",
        "customerInfo:customerCustomerEntity",
    ),
    _operation("customerAddressList", "sessionId customerId:int", "result:customerAddressEntityArray"),
    _operation("customerAddressInfo", "sessionId addressId:int", "info:customerAddressEntityItem"),
    _operation(
        "catalogProductInfo",
        "sessionId productId storeView? attributes:catalogProductRequestAttributes? identifierType?",
        "info:catalogProductReturnEntity",
    ),
)

OPERATIONS: Mapping[str, Operation] = MappingProxyType({one.name: one for one in _ALL_OPERATIONS})
"""Every operation that the embedded shop answers, by name, as the newest version has it."""


def operations(profile: Profile) -> Mapping[str, Operation]:
    """The operations that the version has.

    >>> "magentoInfo" in operations(PROFILES["1.6.2.0"]), "magentoInfo" in operations(PROFILES["1.7.0.2"])
    (False, True)
    """
    found = {name: one for name, one in OPERATIONS.items() if profile.version >= one.since}
    for name in profile.lists:
        one = listing(name, profile)
        declared = found[one.operation]
        found[one.operation] = replace(declared, result=replace(declared.result, type=one.array_type))
    return MappingProxyType(found)


_ORDER_SCALARS = listing("orders", PROFILES["1.4.1.1"]).fields
"""The one record type of orders in old versions; newer ones still use it for the single record."""

_SALES_PART = "increment_id parent_id created_at updated_at is_active "
_WEEE = (
    "weee_tax_applied_amount weee_tax_applied_row_amount weee_tax_disposition weee_tax_row_disposition "
    "base_weee_tax_disposition base_weee_tax_row_disposition "
)

_RECORDS: Mapping[str, tuple[Field, ...]] = MappingProxyType(
    {
        "associativeEntity": _fields("key value"),
        "complexFilter": _fields("key value:associativeEntity"),
        "filters": _fields("filter:associativeArray? complex_filter:complexFilterArray?"),
        "magentoInfoEntity": _fields("magento_version magento_edition"),
        "storeEntity": _fields("store_id:int code website_id:int group_id:int name sort_order:int is_active:int"),
        "salesOrderEntity": (
            *_ORDER_SCALARS,
            *_optional(
                "gift_message shipping_address:salesOrderAddressEntity billing_address:salesOrderAddressEntity "
                "items:salesOrderItemEntityArray payment:salesOrderPaymentEntity "
                "status_history:salesOrderStatusHistoryEntityArray",
            ),
        ),
        "salesOrderAddressEntity": _optional(
            _SALES_PART + "address_type firstname middlename lastname company street city region postcode country_id "
            "telephone fax region_id address_id",
        ),
        "salesOrderItemEntity": _optional(
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
        "salesOrderPaymentEntity": _optional(
            _SALES_PART + "amount_ordered shipping_amount base_amount_ordered base_shipping_amount method po_number "
            "cc_type cc_number_enc cc_last4 cc_owner cc_exp_month cc_exp_year cc_ss_start_month cc_ss_start_year "
            "payment_id",
        ),
        "salesOrderStatusHistoryEntity": _optional(_SALES_PART + "is_customer_notified status comment"),
        "salesOrderInvoiceItemEntity": _optional(
            _SALES_PART + "weee_tax_applied qty cost price tax_amount row_total base_price base_tax_amount "
            "base_row_total base_weee_tax_applied_amount base_weee_tax_applied_row_amount "
            + _WEEE
            + "sku name order_item_id product_id item_id",
        ),
        "salesOrderInvoiceCommentEntity": _optional(_SALES_PART + "comment is_customer_notified comment_id"),
        "salesOrderShipmentItemEntity": _optional(
            _SALES_PART + "sku name order_item_id product_id weight price qty item_id",
        ),
        "salesOrderShipmentTrackEntity": _optional(_SALES_PART + "carrier_code title number order_id track_id"),
        "salesOrderShipmentCommentEntity": _optional(_SALES_PART + "comment is_customer_notified comment_id"),
        "salesOrderCreditmemoItemEntity": _optional(
            "item_id parent_id weee_tax_applied_row_amount base_price base_weee_tax_row_disposition tax_amount "
            "base_weee_tax_applied_amount weee_tax_row_disposition base_row_total discount_amount row_total "
            "weee_tax_applied_amount base_discount_amount base_weee_tax_disposition price_incl_tax base_tax_amount "
            "weee_tax_disposition base_price_incl_tax qty base_cost base_weee_tax_applied_row_amount price "
            "base_row_total_incl_tax row_total_incl_tax product_id order_item_id additional_data description "
            "weee_tax_applied sku name hidden_tax_amount base_hidden_tax_amount",
        ),
        "salesOrderCreditmemoCommentEntity": _optional(
            "parent_id created_at comment is_customer_notified comment_id is_visible_on_front",
        ),
        "customerAddressEntityItem": _optional(
            "customer_address_id:int created_at updated_at increment_id city company country_id fax firstname lastname "
            "middlename postcode prefix region region_id:int street suffix telephone is_default_billing:boolean "
            "is_default_shipping:boolean",
        ),
        "catalogProductRequestAttributes": _optional("attributes:ArrayOfString additional_attributes:ArrayOfString"),
        "catalogProductTierPriceEntity": _optional("customer_group_id website qty:int price:double"),
        "catalogProductReturnEntity": _optional(
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
        "ArrayOfString": "xsd:string",
        "associativeArray": "associativeEntity",
        "complexFilterArray": "complexFilter",
        "storeEntityArray": "storeEntity",
        "salesOrderListEntityArray": "salesOrderListEntity",
        "salesOrderEntityArray": "salesOrderEntity",
        "salesOrderItemEntityArray": "salesOrderItemEntity",
        "salesOrderStatusHistoryEntityArray": "salesOrderStatusHistoryEntity",
        "salesOrderInvoiceEntityArray": "salesOrderInvoiceEntity",
        "salesOrderInvoiceItemEntityArray": "salesOrderInvoiceItemEntity",
        "salesOrderInvoiceCommentEntityArray": "salesOrderInvoiceCommentEntity",
        "salesOrderShipmentEntityArray": "salesOrderShipmentEntity",
        "salesOrderShipmentItemEntityArray": "salesOrderShipmentItemEntity",
        "salesOrderShipmentTrackEntityArray": "salesOrderShipmentTrackEntity",
        "salesOrderShipmentCommentEntityArray": "salesOrderShipmentCommentEntity",
        "salesOrderCreditmemoEntityArray": "salesOrderCreditmemoEntity",
        "salesOrderCreditmemoItemEntityArray": "salesOrderCreditmemoItemEntity",
        "salesOrderCreditmemoCommentEntityArray": "salesOrderCreditmemoCommentEntity",
        "customerCustomerEntityArray": "customerCustomerEntity",
        "customerAddressEntityArray": "customerAddressEntityItem",
        "catalogProductEntityArray": "catalogProductEntity",
        "catalogProductTierPriceEntityArray": "catalogProductTierPriceEntity",
    },
)
"""The array types and what each is an array of."""


def records(profile: Profile, flavour: Flavour) -> Mapping[str, tuple[Field, ...]]:
    """The record types of the version: name to fields in declared order.

    >>> [field.name for field in records(PROFILES["20.0.20"], "rpc")["complexFilter"]]
    ['key', 'value']
    """
    rows = {one.row_type: one.fields for one in (listing(name, profile) for name in profile.lists)}
    found = {**rows, **_RECORDS}
    if profile.version == ANY_VALUE_VERSION:
        name, value = ("AnyType", "anyType") if flavour == "rpc" else ("Multi", "ArrayOfString")
        found[f"associative{name}Entity"] = _fields(f"key value:{value}")
        found["complexFilter"] = _fields(f"key value:associative{name}Entity")
    return MappingProxyType(found)
