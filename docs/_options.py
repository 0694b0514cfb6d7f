"""Lets the reference show the options of `Pager.list` at each of its shortcuts: griffe calls this for each class.

Griffe reads code without running it, so it does not see the signature that their decorator gives them.
"""

# ruff: noqa: INP001  docs are no package; griffe loads this file by its path

from __future__ import annotations

from typing import Any

import griffe


class Options(griffe.Extension):
    """Gives the methods with the decorator `_shortcut` the parameters of `list`, but for the name of the list."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Called once for each class, when all of it is known."""
        for method in cls.functions.values():
            if any(str(one.value) == "_shortcut" for one in method.decorators):
                shared = (one for one in cls["list"].parameters if one.name != "entity")
                method.parameters = griffe.Parameters(*shared)
