"""Lets the reference show doctests as code: griffe, which reads the docstrings, calls this for each object.

Google's style wants examples in a section of their own; here they stand where they belong in the text. This module
knows text only.
"""

# ruff: noqa: INP001  docs are no package; griffe loads this file by its path

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!$).*)*", re.MULTILINE)


def fenced(docstring: str) -> str:
    r"""A docstring with each of its doctests in a fence.

    >>> fenced("Adds.\n\n>>> add(1, 2)\n3\n\nMore.")
    'Adds.\n\n```pycon\n>>> add(1, 2)\n3\n```\n\nMore.'
    """
    return _EXAMPLE.sub(lambda example: f"```pycon\n{example[0]}\n```", docstring)


class Doctests(griffe.Extension):
    """Puts a fence around the doctests of every docstring."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called once for each object, when all of it is known."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
