"""Another SOAP service: an ERP lists its invoices by number, such as INV-000123, compared as text.

python examples/erp_invoices.py https://erp.example/invoices?wsdl invoices.csv
"""

from __future__ import annotations

import sys

import zeep

from magento_pager import Condition, PaddedNumbers, Paginator, SoapSource, dump


def arguments(conditions: tuple[Condition, ...]) -> dict[str, str]:
    """Return the filters of the operation; both are inclusive."""
    names = {"from": "From", "to": "Until"}
    return {names[one.operator]: one.value for one in conditions}


def invoices(wsdl: str) -> Paginator:
    """Return every invoice of the ERP."""
    client = zeep.Client(wsdl, transport=zeep.Transport(operation_timeout=60))
    key = PaddedNumbers("InvoiceNo", 6, prefix="INV-")
    return SoapSource(client.service.FindInvoices, arguments, key, url=wsdl).paginator("invoices")


if __name__ == "__main__":
    report = dump(invoices(sys.argv[1]), sys.argv[2], resume=True)
    print(f"{report.rows} invoices in {report.calls} calls")
