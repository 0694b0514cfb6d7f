"""The attributes of a product that a call returns. Pure: from dicts to dicts.

Known from the source of every version, and seen on a live server: in each request PHP has one object for the type
"configurable", which keeps the attributes of the first such product. A `multiCall` returns these attributes for all
later configurable products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL_SET = 9
"""The id of an attribute set made by an import, without the attributes in `_MISSING`. Other sets have all of them."""

_MISSING = frozenset(["special_price", "meta_title", "meta_keyword", "meta_description", "options_container", "weight"])
_FIXED = frozenset(["product_id", "sku", "set", "type", "categories", "websites"])
"""Fields that are returned for every product, whatever its attributes."""


class ConfigurableType:
    """The type "configurable" in one request.

    >>> first = {"product_id": 3, "type": "configurable", "set": SMALL_SET, "weight": "1.0000", "color": 2}
    >>> second = {"product_id": 4, "type": "configurable", "set": 4, "weight": "2.0000", "color": 2, "manufacturer": 1}
    >>> request = ConfigurableType()
    >>> request.shown(first), request.shown(second)
    ({'product_id': 3, 'type': 'configurable', 'set': 9}, {'product_id': 4, 'type': 'configurable', 'set': 4})
    >>> ConfigurableType().shown(second)
    {'product_id': 4, 'type': 'configurable', 'set': 4, 'weight': '2.0000', 'color': 2}
    """

    def __init__(self) -> None:
        self._kept: frozenset[str] | None = None

    def shown(self, product: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record of a product of any type, with the attributes that this request returns."""
        attributes = frozenset(product)
        if product["set"] == SMALL_SET:
            attributes -= _MISSING
        if product["type"] == "configurable":
            if self._kept is None:
                self._kept = attributes - {_super_attribute(product)}
            attributes = self._kept
        return {name: value for name, value in product.items() if name in attributes or name in _FIXED}


def _super_attribute(product: Mapping[str, Any]) -> str:
    """Return the attribute that tells the variants of a configurable product apart, which the product itself lacks."""
    return "color" if product["product_id"] % 2 else "manufacturer"
