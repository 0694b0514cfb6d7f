"""An embedded Magento: a real SOAP server on loopback that misbehaves as real shops do.

For demos, for the tests of this package, and for the tests of any client of Magento 1.x or OpenMage. It shares no code
with the client in this package, so that it can be used to check it.

The names below are imported at their first use, because pytest loads the plugin in this package at each start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magento_pager.fake.api import Call
    from magento_pager.fake.database import Database, MariaDatabase
    from magento_pager.fake.faults import PhpFatal, ShopFault
    from magento_pager.fake.profiles import PROFILES, Profile, profile
    from magento_pager.fake.settings import Settings
    from magento_pager.fake.shop import Knobs, Shop
    from magento_pager.fake.troubles import TROUBLES

__all__ = [
    "PROFILES",
    "TROUBLES",
    "Call",
    "Database",
    "Knobs",
    "MariaDatabase",
    "PhpFatal",
    "Profile",
    "Settings",
    "Shop",
    "ShopFault",
    "profile",
]

_MODULES = {
    "PROFILES": "profiles",
    "TROUBLES": "troubles",
    "Call": "api",
    "Database": "database",
    "Knobs": "shop",
    "MariaDatabase": "database",
    "PhpFatal": "faults",
    "Profile": "profiles",
    "Settings": "settings",
    "Shop": "shop",
    "ShopFault": "faults",
    "profile": "profiles",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
