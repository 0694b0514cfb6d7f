"""The help of a command: its options in groups, then examples. Options and arguments carry what their help needs."""

from __future__ import annotations

import shutil
from inspect import cleandoc
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OTHER = "Other options"
GROUPS = (
    "Shop",
    "Rows",
    "Comparison",
    "Output",
    "Resuming and increments",
    "Load on the shop",
    "Strategy and protocol",
    "Connection",
    "Embedded shop",
    "Embedded server",
    "Limits and speed",
    "Faults to imitate",
    OTHER,
)
"""Headings of groups, in the order in which a help shows them."""

WIDEST_TERM, NARROW = 26, 60
"""The text of a longer term is on the next line, and so is each in a narrower terminal, in columns."""


class Option(click.Option):
    """An option of a group."""

    def __init__(self, *names: Any, group: str = OTHER, **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.group = group


class Argument(click.Argument):
    """An argument with a help text; its metavar stands for it in usage lines and in messages."""

    def __init__(self, *names: Any, help: str, metavar: str, **settings: Any) -> None:  # noqa: A002  as of an option
        super().__init__(*names, metavar=metavar, **settings)
        self.help, self.term = help, metavar

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's
        """Return it as the usage line shows it."""
        return [self.term if self.required else f"[{self.term}]"]

    def get_error_hint(self, ctx: click.Context | None) -> str:  # noqa: ARG002  click's
        """Return it as messages name it."""
        return f"'{self.term}'"


class Helped(click.Command):
    """A command whose help has groups of options and a section with examples.

    Attributes:
        examples: pairs: the purpose of an example, and its command line.
    """

    def __init__(self, *names: Any, examples: Sequence[tuple[str, str]] = (), **settings: Any) -> None:
        super().__init__(*names, **settings)
        self.examples = tuple(examples)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all of the help."""
        width = ctx.terminal_width or min(shutil.get_terminal_size().columns, ctx.max_content_width or 80)
        formatter.width = width
        self.format_usage(ctx, formatter)
        for paragraph in cleandoc(self.help or "").split("\n\n"):
            formatter.write(f"\n{wrapped(paragraph, width, 2)}")
        for heading, entries in self.sections(ctx):
            formatter.write(f"\n{heading}:\n")
            column = min(WIDEST_TERM, max(len(term) for term, _ in entries))
            for term, text in entries:
                formatter.write(entry(term, text, width, column))
        if self.examples:
            formatter.write("\nExamples:\n")
        for purpose, line in self.examples:
            formatter.write(f"  # {purpose}\n  {line}\n")

    def sections(self, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Yield the heading of each group, with the terms in it and their texts."""
        parameters = self.get_params(ctx)
        if arguments := [(each.term, text_of(each)) for each in parameters if isinstance(each, Argument)]:
            yield "Arguments", arguments
        options = [each for each in parameters if isinstance(each, click.Option) and not each.hidden]
        for group in GROUPS:
            if members := [option for option in options if getattr(option, "group", OTHER) == group]:
                yield group, [(term_of(option, ctx), text_of(option)) for option in members]


def term_of(option: click.Option, ctx: click.Context) -> str:
    """Return the names of an option, the short one first, and its metavar."""
    record = option.get_help_record(ctx)
    return record[0] if record else ""


def text_of(parameter: click.Option | Argument) -> str:
    """Return the help of an option or argument, with its variable and its default."""
    notes = [f"env: {parameter.envvar}"] if isinstance(parameter.envvar, str) else []
    shows = parameter.show_default if isinstance(parameter, click.Option) else not parameter.required
    # From 8.3 on, click has a value of its own for "no default".
    if shows and isinstance(parameter.default, str | int | float | tuple) and parameter.default not in ("", ()):
        notes.append(f"default: {parameter.default}")
    return " ".join([parameter.help or "", *(f"[{note}]" for note in notes)])


def entry(term: str, text: str, width: int, column: int) -> str:
    """Return a term and its text in two columns, or one below the other if they do not fit.

    Args:
        term: the term.
        text: its text.
        width: columns of the terminal.
        column: columns for terms.

    >>> print(entry("--first ID", "First id, inclusive.", 60, 12), end="")
      --first ID    First id, inclusive.
    >>> print(entry("--first ID", "First id, inclusive.", 40, 12), end="")
      --first ID
          First id, inclusive.
    """
    if width < NARROW:
        return f"  {term}\n{wrapped(text, width, 6)}"
    lines = wrapped(text, width, column + 4)
    return f"  {term:<{column}}  {lines[column + 4 :]}" if len(term) <= column else f"  {term}\n{lines}"


def wrapped(text: str, width: int, indent: int) -> str:
    """Return a text in lines of a width, indented, with no word broken."""
    lines = wrap(" ".join(text.split()), max(20, width - indent), break_long_words=False, break_on_hyphens=False)
    return "".join(f"{'':<{indent}}{line}\n" for line in lines)
