"""The address book of a customer, made up from the customer's record, the same each time. Pure: from dicts to dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PER_CUSTOMER = 2
"""Ids that a customer's addresses take: address 2n and 2n + 1 belong to customer n."""
_CITIES = ("Berlin", "Kraków", "São Paulo", "東京", "New York")


def addresses(customer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The addresses of a customer: none for every fourth one, else one, or two.

    >>> [(one["customer_address_id"], one["is_default_billing"]) for one in addresses({"customer_id": 7})]
    [(14, True), (15, False)]
    >>> addresses({"customer_id": 8})
    []
    """
    number = int(customer["customer_id"])
    return [_address(customer, number, which) for which in range(min(number % 4, PER_CUSTOMER))]


def owner(address: int) -> int:
    """The id of the customer that an address would belong to.

    >>> owner(15)
    7
    """
    return address // PER_CUSTOMER


def _address(customer: Mapping[str, Any], number: int, which: int) -> dict[str, Any]:
    """One address."""
    return {
        "customer_address_id": number * PER_CUSTOMER + which,
        "created_at": customer.get("created_at"),
        "updated_at": customer.get("updated_at"),
        "city": _CITIES[(number + which) % len(_CITIES)],
        "country_id": "DE",
        "firstname": customer.get("firstname"),
        "lastname": customer.get("lastname"),
        "postcode": f"{number % 100_000:05}",
        "region": "Région é",
        "street": f"Street {number}\nFlat {which + 1}",
        "telephone": f"+49 {number}",
        "is_default_billing": which == 0,
        "is_default_shipping": which == 0,
    }
