"""The command line: turns arguments into library calls, and errors into one line and an exit status.

Exit statuses: 0 done; 1 failed; 2 wrong usage; 3 complete, but rows were skipped; 130 and 143 interrupted by Ctrl-C and
SIGTERM; 141 the program that read the output has closed it.

Each command is imported when it is run, and imports what it needs itself, so that `--help` costs little more than
Python and click.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn, cast

import click

from magento_pager.cli.ending import NoReaderError, RefusedError, StoppedError
from magento_pager.cli.help import Helped
from magento_pager.cli.terminal import say
from magento_pager.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED, NO_READER = 130, 141
LONG_LIVED = 100_000  # about as many objects as modules and a WSDL have, among which there is no garbage to look for
COMMANDS = {
    "dump": ("dumps", "Export every row of a list, in order of id, as NDJSON, CSV, Parquet or SQLite."),
    "plan": ("reading", "Estimate how many rows a list has, and what a dump of it costs."),
    "verify": ("reading", "Compare FILE, made by `dump`, with the shop row by row, through another strategy."),
    "doctor": (
        "reading",
        "Check whether each list of a shop can be exported, by which strategy, and what to do if not.",
    ),
    "regexp": (
        "reading",
        "Print the shortest portable regular expression that matches the ids from FIRST to LAST, inclusive.",
    ),
    "serve": ("serving", "Run an embedded shop until Ctrl-C or SIGTERM."),
}
"""Each command's module and first sentence, which its own help repeats."""


def all_commands() -> dict[str, Helped]:
    """Return every command by its name."""
    return {name: _imported(name) for name in COMMANDS}


def _imported(name: str) -> Helped:
    return cast("Helped", getattr(import_module(f"{__name__}.{COMMANDS[name][0]}"), name))


class Commands(Helped, click.Group):
    """Commands that are imported when they are run, or when their own help is printed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's
        """Return their names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's
        """Import the command of that name."""
        return _imported(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of that name; refuse an unknown one with a hint."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise RefusedError(f"No such command {name!r}. {_hint(name)}", ctx)
        return super().resolve_command(ctx, args)

    def sections(self, ctx: click.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Yield the table of commands, without importing any, and the options."""
        yield "Commands", [(name, sentence) for name, (_, sentence) in COMMANDS.items()]
        yield from super().sections(ctx)


def _hint(name: str) -> str:
    """Return what to run instead of a command that does not exist."""
    from difflib import get_close_matches

    from magento_pager.cli.parameters import closest_list

    if entity := closest_list(name):
        return f"Did you mean `magento-pager dump {entity}`?"
    close = get_close_matches(name, COMMANDS, 1)
    return f"Did you mean `magento-pager {close[0]}`?" if close else "Run `magento-pager --help` for the commands."


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    gc.set_threshold(LONG_LIVED)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not show every character
    try:
        _check(arguments)
        ended = cli.main(arguments, prog_name="magento-pager", standalone_mode=False)
    except click.ClickException as error:
        say(f"magento-pager: {_message(error, arguments)}")
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except StoppedError as stopped:
        return 128 + stopped.number
    except NoReaderError:
        # The reader has closed our output; Python must not complain about that again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    return ended if isinstance(ended, int) else 0  # a status where the command ended by Context.exit


def _message(error: click.ClickException, arguments: list[str]) -> str:
    """Return the message of an error; if it does not say what to do itself, with the command that shows the help."""
    message = error.format_message()
    if not isinstance(error, click.UsageError):
        return "\n".join(map(printable, message.split("\n")))  # some errors of a shop are followed by a table
    if isinstance(error, RefusedError):
        return printable(message)
    path = ["magento-pager", *(name for name in arguments[:1] if name in COMMANDS)]
    sentence = message if message.endswith(("?", ".")) else f"{message}."
    return f"{printable(sentence)} See `{' '.join(path)} --help`."


def _check(arguments: list[str]) -> None:
    """Refuse characters that neither a file name nor a request can hold; no shell passes them on."""
    for argument in arguments:
        with suppress(UnicodeEncodeError):
            if b"\0" not in os.fsencode(argument):
                continue
        raise click.UsageError(f"{argument!r} has a character that neither a file name nor a request can hold.")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,  # with no_args_is_help, click 8.1 prints to stdout and exits with 0
    subcommand_metavar="COMMAND [ARGS]...",
    examples=[
        ("Try it without a shop", "magento-pager dump orders --demo --out orders.ndjson"),
        ("What can be exported from this shop?", "magento-pager doctor --url https://shop.example/ --user exporter"),
        ("Options of a command", "magento-pager dump --help"),
    ],
)
@click.version_option(package_name="magento-pager", help="Print the version and exit.")
@click.pass_context
def cli(context: click.Context) -> None:
    """Export every row of a Magento 1.x / OpenMage list exactly once, with every id accounted for."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)
