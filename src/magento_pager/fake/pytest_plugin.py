"""pytest fixtures for the tests of any client of Magento: an embedded shop per test.

Installed with the package; nothing to import. Loading this module costs next to nothing, because the shop itself is
imported by the first test that uses one.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from magento_pager.fake import Shop


@pytest.fixture
def magento_shops() -> Iterator[Callable[..., Shop]]:
    """Return a function that starts an embedded shop, with the arguments of `magento_pager.fake.Shop`.

    Each shop is stopped at the end of the test. Example: `magento_shops(profile="1.7.0.2", flavour="wsi", orders=50)`.
    """
    from magento_pager.fake import Shop  # noqa: PLC0415 -- see above

    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Shop(**options))


@pytest.fixture
def magento_shop(magento_shops: Callable[..., Shop]) -> Shop:
    """Return an embedded shop of the newest profile, RPC, with 100 orders: `magento_shop.url`, `.user`, `.key`."""
    return magento_shops(orders=100)
