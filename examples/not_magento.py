"""Another SOAP service, not Magento: a warehouse lists its documents by number, all that match, unpaged.

    python examples/not_magento.py https://warehouse.example/documents?wsdl documents.ndjson

What differs from a shop is which arguments say "from this number to that one", and what a row calls its number.
"""

from __future__ import annotations

import sys
from typing import Any

import zeep

from magento_pager import Condition, Numbers, Paginator, SoapSource, dump


def arguments(conditions: tuple[Condition, ...]) -> dict[str, Any]:
    """Return the filters of the operation; `from` and `to` are both inclusive."""
    names = {"from": "FirstNo", "to": "LastNo"}
    return {names[one.operator]: int(one.value) for one in conditions}


def documents(wsdl: str) -> Paginator:
    """Return every document of the warehouse, whose numbers are 32 bits wide."""
    client = zeep.Client(wsdl, transport=zeep.Transport(operation_timeout=60))
    key = Numbers("DocNo", last=2_147_483_647)
    source = SoapSource(client.service.ListDocuments, arguments, key, remedies={"too many rows": "split"}, url=wsdl)
    return source.paginator("documents")


if __name__ == "__main__":
    report = dump(documents(sys.argv[1]), sys.argv[2], resume=True)
    print(f"{report.rows} documents in {report.calls} calls")
