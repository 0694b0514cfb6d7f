"""Dump the documents of a warehouse, a SOAP service that is not Magento. It filters them by number, without pagination.

    python examples/not_magento.py https://warehouse.example/documents?wsdl documents.ndjson

Another service needs two things: a function that translates conditions to the arguments of the operation, and a key,
the field of a row that holds its number.
"""

from __future__ import annotations

import sys
from typing import Any

import zeep

from magento_pager import Condition, Numbers, Paginator, SoapSource, dump


def arguments(conditions: tuple[Condition, ...]) -> dict[str, Any]:
    """Translate the conditions of a query to the arguments of the operation. Both bounds are inclusive."""
    names = {"from": "FirstNo", "to": "LastNo"}
    return {names[condition.operator]: int(condition.value) for condition in conditions}


def documents(wsdl: str) -> Paginator:
    """Return all documents of the warehouse. Their numbers are signed integers of 32 bits."""
    client = zeep.Client(wsdl, transport=zeep.Transport(operation_timeout=60))
    key = Numbers("DocNo", last=2_147_483_647)
    source = SoapSource(client.service.ListDocuments, arguments, key, remedies={"too many rows": "split"}, url=wsdl)
    return source.paginator("documents")


if __name__ == "__main__":
    report = dump(documents(sys.argv[1]), sys.argv[2], resume=True)
    print(f"{report.rows} documents in {report.calls} calls")
