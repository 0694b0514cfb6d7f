"""Let the reference show doctests as code: griffe, which reads the docstrings, calls this for each object.

Google's style wants examples in a section of their own; here they are part of the text. This module knows text only.
"""

# ruff: noqa: INP001  docs are not a package; griffe loads this file by its path

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!$).*)*", re.MULTILINE)


def fenced(docstring: str) -> str:
    r"""Return a docstring with each of its doctests in a fence, with the empty lines that these print.

    >>> fenced("Adds.\n\n>>> add(1, 2)\n3\n\nMore.")
    'Adds.\n\n```pycon\n>>> add(1, 2)\n3\n```\n\nMore.'
    """
    return _EXAMPLE.sub(lambda example: f"```pycon\n{example[0].replace('<BLANKLINE>', '')}\n```", docstring)


class Doctests(griffe.Extension):
    """Put a fence around the doctests of every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Handle an object whose docstring is known."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
