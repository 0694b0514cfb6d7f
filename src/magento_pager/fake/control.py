"""Commands that change a running shop: one JSON object in, one out. The command line reads them from standard input.

They do what `shop.change`, `shop.set_profile` and `shop.database` do in Python, so that a shop in another process, or
one controlled from another language, can be changed while clients use it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from magento_pager.fake.shop import Shop


def execute(shop: Shop, line: str) -> dict[str, Any]:
    """Execute one command.

    Args:
        shop: a running shop.
        line: a JSON object with one key:

            - `{"profile": "1.7.0.2"}` or `{"profile": ["20.0.20", "wsi"]}`: switch to another version;
            - `{"knobs": {"latency": 0.5}}`: change settings, named as in `Settings`;
            - `{"insert": ["orders", {"entity_id": 5}]}`: add a row; missing columns are made up;
            - `{"update": ["orders", 5, {"status": "closed"}]}`: change one;
            - `{"delete": ["orders", 5]}`: remove one;
            - `{"log": true}`: return the calls answered since the last time, and clear the log.

    Returns:
        `{"ok": ...}` with the result (the new id, or whether there was such a row), or `{"error": ...}`.
    """
    commands: dict[str, Callable[[Any], Any]] = {
        "profile": lambda argument: shop.set_profile(
            *([argument] if isinstance(argument, str) else argument[:1]), **_flavour(argument)
        ),
        "knobs": lambda argument: shop.change(**argument),
        "insert": lambda argument: shop.database.insert(*argument),
        "update": lambda argument: shop.database.update(*argument),
        "delete": lambda argument: shop.database.delete(*argument),
        "log": lambda _: _take_log(shop),
    }
    try:
        ((command, argument),) = json.loads(line).items()
        return {"ok": commands[command](argument)}
    except KeyError as error:
        return {"error": f"no command {error}; the commands are {', '.join(commands)}"}
    except Exception as error:  # noqa: BLE001  whatever is wrong with a line, the shop keeps running
        return {"error": f"{type(error).__name__}: {error}"}


def _take_log(shop: Shop) -> list[dict[str, Any]]:
    calls = [asdict(call) for call in shop.log]
    shop.clear_log()
    return calls


def _flavour(argument: object) -> dict[str, Any]:
    return {"flavour": argument[1]} if isinstance(argument, list) and len(argument) > 1 else {}
