"""Dump the invoices of an ERP, a SOAP service that filters by numbers such as INV-000123, compared as text.

    python examples/erp_invoices.py https://erp.example/invoices?wsdl invoices.csv

To resume a dump that was stopped, run the same command again.
"""

from __future__ import annotations

import sys

import zeep

from magento_pager import Condition, PaddedNumbers, Paginator, SoapSource, dump


def arguments(conditions: tuple[Condition, ...]) -> dict[str, str]:
    """Translate the conditions of a query to the arguments of the operation. Both bounds are inclusive."""
    names = {"from": "From", "to": "Until"}
    return {names[condition.operator]: condition.value for condition in conditions}


def invoices(wsdl: str) -> Paginator:
    """Return all invoices of the ERP."""
    client = zeep.Client(wsdl, transport=zeep.Transport(operation_timeout=60))
    key = PaddedNumbers("InvoiceNo", 6, prefix="INV-")
    return SoapSource(client.service.FindInvoices, arguments, key, url=wsdl).paginator("invoices")


if __name__ == "__main__":
    report = dump(invoices(sys.argv[1]), sys.argv[2], resume=True)
    print(f"{report.rows} invoices in {report.calls} calls")
