"""Dump the contacts of a CRM, a SOAP service that can filter them only by the time of their last modification.

    python examples/crm_contacts.py https://crm.example/contacts?wsdl contacts.ndjson 2023-11-14T00:00:00

The last argument is the earliest modification time to read. For all contacts, choose a time before the first of them
was modified. For an incremental dump, use the time of the last run.
"""

from __future__ import annotations

import sys

import zeep

from magento_pager import Condition, Paginator, SoapSource, Times, dump


def arguments(conditions: tuple[Condition, ...]) -> dict[str, str]:
    """Translate the conditions of a query to the arguments of the operation. Both bounds are inclusive."""
    names = {"from": "Since", "to": "Until"}
    return {names[condition.operator]: condition.value for condition in conditions}


def contacts(wsdl: str, since: str) -> Paginator:
    """Return all contacts that were modified at a time or later."""
    client = zeep.Client(wsdl, transport=zeep.Transport(operation_timeout=60))
    key = Times("ModifiedAt", "ContactId")
    return SoapSource(client.service.ContactsModified, arguments, key, url=wsdl).paginator("contacts", first=since)


if __name__ == "__main__":
    report = dump(contacts(sys.argv[1], sys.argv[3]), sys.argv[2], overwrite=True)
    print(f"{report.rows} contacts in {report.calls} calls")
