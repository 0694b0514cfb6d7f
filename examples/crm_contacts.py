"""Another SOAP service: a CRM lists its contacts by the time at which they were modified, and by nothing else.

    python examples/crm_contacts.py https://crm.example/contacts?wsdl contacts.ndjson 2023-11-14T00:00:00

The last argument is a moment before the first contact was modified; or that of the last run, for what changed since.
"""

from __future__ import annotations

import sys

import zeep

from magento_pager import Condition, Paginator, SoapSource, Times, dump


def arguments(conditions: tuple[Condition, ...]) -> dict[str, str]:
    """Return the filters of the operation; both are inclusive."""
    names = {"from": "Since", "to": "Until"}
    return {names[one.operator]: one.value for one in conditions}


def contacts(wsdl: str, since: str) -> Paginator:
    """Return every contact of the CRM that was modified at a moment or later."""
    client = zeep.Client(wsdl, transport=zeep.Transport(operation_timeout=60))
    key = Times("ModifiedAt", "ContactId")
    return SoapSource(client.service.ContactsModified, arguments, key, url=wsdl).paginator("contacts", first=since)


if __name__ == "__main__":
    report = dump(contacts(sys.argv[1], sys.argv[3]), sys.argv[2], overwrite=True)
    print(f"{report.rows} contacts in {report.calls} calls")
