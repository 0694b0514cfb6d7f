"""The six lists that take filters, as data: what each is called, on the wire and in rows. No behaviour.

Source: the WSDLs and code of every version from 1.3.0 to 20.18.0; exceptions that matter to the walk stand beside the
list they concern.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Operation:
    """One list.

    Attributes:
        entity: what users call it, as in the command line.
        name: the SOAP operation.
        id_field: what its rows call the key; filters may use `entity_id` for every list.
        flat: True for a sales list kept in one table since 1.4.1, where `main_table.entity_id` also names the key;
            False for customers and products, whose key has no second name from 1.7.0.1 on.
        identity_field: another field no two rows share, for lists whose rows carry no id on some servers; else None.
        spellings: how a field must be put to the server where its plain name is misread by some version.
        since: the version that brought the list, or None where every version has it.
        right: what the API user's role must allow.
    """

    entity: str
    name: str
    id_field: str
    flat: bool
    right: str
    identity_field: str | None = None
    spellings: Mapping[str, str] = field(default_factory=dict)
    since: str | None = None


ORDERS = Operation("orders", "salesOrderList", "order_id", flat=True, right="Sales/Order/Retrieve orders info")
INVOICES = Operation(
    "invoices",
    "salesOrderInvoiceList",
    "invoice_id",
    flat=True,
    right="Sales/Order/Invoice/Retrieve invoice info",
    identity_field="increment_id",  # 1.4.1.0 to 1.7.0.0 leave the id out of the row
    spellings={"order_id": "main_table.order_id"},  # 1.5.0.0 to 1.7.0.0 take a plain order_id for the invoice's own id
)
SHIPMENTS = Operation(
    "shipments",
    "salesOrderShipmentList",
    "shipment_id",
    flat=True,
    right="Sales/Order/Shipment/Retrieve shipment info",
    identity_field="increment_id",  # from 1.4.1.0 on the id is never in the row
)
CREDITMEMOS = Operation(
    "creditmemos",
    "salesOrderCreditmemoList",
    "creditmemo_id",
    flat=True,
    right="Sales/Order/Credit memo/Retrieve credit memo list",
    since="1.6.1.0",
)
CUSTOMERS = Operation(
    "customers", "customerCustomerList", "customer_id", flat=False, right="Customers/Retrieve customer info"
)
PRODUCTS = Operation(
    "products",
    "catalogProductList",
    "product_id",
    flat=False,
    right="Catalog/Product/Retrieve products data",
    spellings={"type": "type_id", "set": "attribute_set_id"},  # rows and filters call these two differently
)

OPERATIONS: dict[str, Operation] = {
    operation.entity: operation for operation in (ORDERS, INVOICES, SHIPMENTS, CREDITMEMOS, CUSTOMERS, PRODUCTS)
}
"""The lists by entity."""
