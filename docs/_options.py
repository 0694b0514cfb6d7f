"""Let the reference show the options of `Pager.list` for each of its shortcuts: griffe calls this for each class.

Griffe reads code without running it, so it does not see the signature that their decorator gives them.
"""

# ruff: noqa: INP001  docs are not a package; griffe loads this file by its path

from __future__ import annotations

from typing import Any

import griffe


class Options(griffe.Extension):
    """Give methods with the decorator `_shortcut` the parameters of `list`, except the name of the list."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Handle a class whose members are known."""
        for method in cls.functions.values():
            if any(str(decorator.value) == "_shortcut" for decorator in method.decorators):
                shared = (parameter for parameter in cls["list"].parameters if parameter.name != "entity")
                method.parameters = griffe.Parameters(*shared)
