"""Changing a running shop by words: one JSON object in, one out. The command line reads them from standard input.

What Python does with `shop.change`, `shop.set_profile` and `shop.database`, a line of text does here, so that a shop
in another process, or one driven from another language, can change under its clients too.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager.fake.shop import Shop


def obey(shop: Shop, line: str) -> dict[str, Any]:
    """Carry out one command.

    Args:
        shop: a running shop.
        line: a JSON object with one key:

            - `{"profile": "1.7.0.2"}` or `{"profile": ["20.0.20", "wsi"]}`: become another version;
            - `{"knobs": {"latency": 0.5}}`: turn knobs, named as in `Settings`;
            - `{"insert": ["orders", {"entity_id": 5}]}`: add a row; what is not given is made up;
            - `{"update": ["orders", 5, {"status": "closed"}]}`: change one;
            - `{"delete": ["orders", 5]}`: remove one;
            - `{"log": true}`: the calls answered since the last time, forgotten hereby.

    Returns:
        `{"ok": ...}` with what the change gave (the new id, or whether there was such a row), or `{"error": ...}`.
    """
    commands: dict[str, Callable[[Any], Any]] = {
        "profile": lambda given: shop.set_profile(
            *([given] if isinstance(given, str) else given[:1]), **_flavour(given)
        ),
        "knobs": lambda given: shop.change(**given),
        "insert": lambda given: shop.database.insert(*given),
        "update": lambda given: shop.database.update(*given),
        "delete": lambda given: shop.database.delete(*given),
        "log": lambda _: _taken(shop),
    }
    try:
        ((command, given),) = json.loads(line).items()
        return {"ok": commands[command](given)}
    except KeyError as error:
        return {"error": f"no command {error}; the commands are {', '.join(commands)}"}
    except Exception as error:  # noqa: BLE001  whatever is wrong with a line, the shop goes on
        return {"error": f"{type(error).__name__}: {error}"}


def _taken(shop: Shop) -> list[dict[str, Any]]:
    calls = [asdict(call) for call in shop.log]
    shop.clear_log()
    return calls


def _flavour(given: object) -> dict[str, Any]:
    return {"flavour": given[1]} if isinstance(given, list) and len(given) > 1 else {}
