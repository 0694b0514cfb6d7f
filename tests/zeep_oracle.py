"""What zeep itself makes of a reply: the oracle that our decoder is compared with.

Rows must be equal field by field, but for what is documented: numbers and booleans stay the server's text, NULL is an
absent key, and an empty text is one, where zeep finds nothing or, from 1.8 on, a line break.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import zeep
from lxml import etree
from zeep.helpers import serialize_object

from magento_pager.shop import wsdl
from magento_pager.shop.wsdl import reply_shape

ENCODING_SCHEMA = Path(wsdl.__file__).with_name("encoding.xsd").read_bytes()


class Oracle:
    """zeep on one WSDL, without a network."""

    def __init__(self, wsdl: bytes) -> None:
        documents = {
            "http://127.0.0.1/?wsdl=1": wsdl,
            "http://schemas.xmlsoap.org/soap/encoding/": ENCODING_SCHEMA,
        }
        transport = SimpleNamespace(load=documents.__getitem__)
        self.client = zeep.Client("http://127.0.0.1/?wsdl=1", transport=transport)
        service = next(iter(self.client.wsdl.services.values()))
        self.binding: Any = next(iter(service.ports.values())).binding

    def shape(self, operation: str) -> Any:
        """What the decoder is told of an operation's replies."""
        return reply_shape(self.binding.get(operation))

    def rows(self, operation: str, body: bytes) -> list[Any]:
        """Return the rows zeep gives for a reply with status 200; raises whatever zeep raises."""
        response = SimpleNamespace(
            status_code=200, headers={"Content-Type": "text/xml; charset=utf-8"}, content=body, encoding="utf-8"
        )
        result = self.binding.process_reply(self.client, self.binding.get(operation), response)
        if result is None:
            return []
        rows = serialize_object(result, dict)
        assert isinstance(rows, list), rows
        return rows


def same_rows(ours: list[dict[str, Any]], theirs: list[Any], body: bytes) -> bool:
    """True where our rows are those that zeep gave for the same body."""
    same = _Same(line_broken=etree.fromstring(body).text == "\n", nils=b":nil" in body)
    return len(ours) == len(theirs) and all(same.value(one, other) for one, other in zip(ours, theirs, strict=True))


class _Same:
    """Equality, but for what is documented."""

    def __init__(self, *, line_broken: bool, nils: bool) -> None:
        self.line_broken = line_broken
        self.nils = nils

    def value(self, ours: Any, theirs: Any) -> bool:
        if isinstance(ours, list):  # which is a record of one field in WS-I
            theirs = theirs["complexObjectArray"] if isinstance(theirs, dict) else theirs or []
        if isinstance(theirs, dict):
            return isinstance(ours, dict) and self.struct(ours, theirs)
        if isinstance(theirs, list):
            if isinstance(ours, list) and len(ours) > len(theirs):
                ours = [one for one in ours if one != ""]
            return (
                isinstance(ours, list)
                and len(ours) == len(theirs)
                and all(self.value(one, other) for one, other in zip(ours, theirs, strict=True))
            )
        if isinstance(theirs, bool):
            return isinstance(ours, str) and (ours.strip().lower() in {"true", "1"}) == theirs
        if isinstance(theirs, int):
            return isinstance(ours, str) and int(ours) == theirs
        return bool(ours == theirs) or (self.line_broken and theirs == "\n" and ours == "")

    def struct(self, ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
        present = {name: value for name, value in theirs.items() if value is not None}
        if ours == present:
            return True
        if self.nils:  # zeep makes an empty list of a nil array; to us it is NULL
            present = {name: value for name, value in present.items() if name in ours or not _hollow(value)}
        present |= {name: [] for name in ours if ours[name] == [] and name not in present}  # WS-I's empty element
        present |= {name: "" for name in ours if ours[name] == "" and name not in present}
        return ours.keys() == present.keys() and all(self.value(ours[name], present[name]) for name in ours)


def _hollow(value: Any) -> bool:
    return value in ([], None) or (isinstance(value, dict) and all(_hollow(part) for part in value.values()))
