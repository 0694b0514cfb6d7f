"""The script that most people write first: zeep, and windows of 100 ids, each a regexp that lists all of its ids.

`python -m benchmarks.naive STARTS FILE` reads the first ids of the windows from the file STARTS, one per line, and
writes every order in them to FILE, one JSON object per line. The shop is set by MAGENTO_URL, MAGENTO_API_USER and
MAGENTO_API_KEY. Unlike most such scripts, it can read the WSDL offline.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import zeep
from zeep.helpers import serialize_object

WINDOW = 100


class Offline(zeep.Transport):
    """Zeep's transport, with a local copy of the schema that the WSDL imports."""

    def load(self, url: str) -> bytes:
        """Return the document at an address."""
        if "schemas.xmlsoap.org/soap/encoding" in url:
            return resources.files("magento_pager.shop").joinpath("encoding.xsd").read_bytes()
        loaded: bytes = super().load(url)  # type: ignore[no-untyped-call]  # zeep's
        return loaded


def alternation(first: int, width: int = WINDOW) -> str:
    """Return the regexp of a window.

    >>> alternation(200, 4)
    '^(200|201|202|203)$'
    """
    return f"^({'|'.join(map(str, range(first, first + width)))})$"


def filters(client: Any, namespace: str, pattern: str) -> Any:
    """Return the filter of a window, in zeep's own types, whose names are the same in both flavours."""
    types = client.type_factory(namespace)
    value = types.associativeEntity(key="regexp", value=pattern)
    item = types.complexFilter(key="entity_id", value=value)
    return types.filters(complex_filter=types.complexFilterArray([item]))


def main(starts: str, out: str) -> None:
    """Write all orders of these windows."""
    client = zeep.Client(f"{os.environ['MAGENTO_URL']}?wsdl=1", transport=Offline())  # type: ignore[no-untyped-call]  # zeep's
    (namespace,) = {binding.name.namespace for binding in client.wsdl.bindings.values()}
    session = client.service.login(os.environ["MAGENTO_API_USER"], os.environ["MAGENTO_API_KEY"])
    with Path(out).open("w", encoding="utf-8") as stream:
        for first in map(int, Path(starts).read_text().split()):
            reply = client.service.salesOrderList(session, filters(client, namespace, alternation(first)))
            rows = getattr(reply, "complexObjectArray", reply) or []
            stream.writelines(json.dumps(serialize_object(row, dict), ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
