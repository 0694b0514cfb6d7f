"""The addresses of a customer, made up from the customer's record, the same each time. Pure: from dicts to dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PER_CUSTOMER = 2
"""Address ids for each customer: addresses 2n and 2n + 1 belong to customer n."""
_CITIES = ("Berlin", "Kraków", "São Paulo", "東京", "New York")


def addresses(customer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the addresses of a customer: none for every fourth customer, otherwise one or two.

    >>> [(address["customer_address_id"], address["is_default_billing"]) for address in addresses({"customer_id": 7})]
    [(14, True), (15, False)]
    >>> addresses({"customer_id": 8})
    []
    """
    number = int(customer["customer_id"])
    return [_address(customer, number, index) for index in range(min(number % 4, PER_CUSTOMER))]


def owner(address: int) -> int:
    """Return the id of the customer that an address id belongs to.

    >>> owner(15)
    7
    """
    return address // PER_CUSTOMER


def _address(customer: Mapping[str, Any], number: int, index: int) -> dict[str, Any]:
    """Return one address."""
    return {
        "customer_address_id": number * PER_CUSTOMER + index,
        "created_at": customer.get("created_at"),
        "updated_at": customer.get("updated_at"),
        "city": _CITIES[(number + index) % len(_CITIES)],
        "country_id": "DE",
        "firstname": customer.get("firstname"),
        "lastname": customer.get("lastname"),
        "postcode": f"{number % 100_000:05}",
        "region": "Région é",
        "street": f"Street {number}\nFlat {index + 1}",
        "telephone": f"+49 {number}",
        "is_default_billing": index == 0,
        "is_default_shipping": index == 0,
    }
