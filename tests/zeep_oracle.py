"""zeep's own reading of a reply, with which our decoder is compared.

Rows must be equal field by field, with documented exceptions: numbers and booleans stay the server's text, NULL is an
absent key, and an empty text is an empty text, where zeep returns None or, from 1.8 on, a line break.
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
        """Return the shape of an operation's replies, for our decoder."""
        return reply_shape(self.binding.get(operation))

    def rows(self, operation: str, body: bytes) -> list[Any]:
        """Return zeep's rows of a reply with status 200; errors of zeep are not caught."""
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
    """Return whether our rows equal those of zeep for the same body."""
    same = _Same(line_broken=etree.fromstring(body).text == "\n", nils=b":nil" in body)
    return len(ours) == len(theirs) and all(same.value(our_row, row) for our_row, row in zip(ours, theirs, strict=True))


class _Same:
    """Equality, with the documented exceptions."""

    def __init__(self, *, line_broken: bool, nils: bool) -> None:
        self.line_broken = line_broken
        self.nils = nils

    def value(self, ours: Any, theirs: Any) -> bool:
        if isinstance(ours, list):  # in WS-I it is a record with one field
            theirs = theirs["complexObjectArray"] if isinstance(theirs, dict) else theirs or []
        if isinstance(theirs, dict):
            return isinstance(ours, dict) and self.struct(ours, theirs)
        if isinstance(theirs, list):
            if isinstance(ours, list) and len(ours) > len(theirs):
                ours = [item for item in ours if item != ""]
            return (
                isinstance(ours, list)
                and len(ours) == len(theirs)
                and all(self.value(our_item, item) for our_item, item in zip(ours, theirs, strict=True))
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
        if self.nils:  # for zeep a nil array is an empty list; for us it is NULL
            present = {name: value for name, value in present.items() if name in ours or not _is_empty(value)}
        present |= {name: [] for name in ours if ours[name] == [] and name not in present}  # WS-I's empty element
        present |= {name: "" for name in ours if ours[name] == "" and name not in present}
        return ours.keys() == present.keys() and all(self.value(ours[name], present[name]) for name in ours)


def _is_empty(value: Any) -> bool:
    return value in ([], None) or (isinstance(value, dict) and all(_is_empty(part) for part in value.values()))
