"""The command line: arguments to library calls, and errors to one line and an exit status. No logic of its own.

Exit status: 0 done; 1 failed; 2 usage; 3 complete but with quarantined ids; 130 and 143 interrupted by Ctrl-C and
SIGTERM; 141 the reader of our output went away.

What a command needs is imported by that command, and the command itself when it is run, so that `--help` costs little
more than Python and click.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import NoReturn, cast

import click

from magento_pager.cli.ending import NoReaderError, RefusedError, StoppedError
from magento_pager.cli.terminal import say
from magento_pager.errors import printable

INTERRUPTED, NO_READER = 130, 141
LASTING = 100_000  # objects that modules and a WSDL are made of, about: there is no garbage to look for among them
COMMANDS = {
    "dump": ("dumps", "Write every row of a list, in order of id: as NDJSON, CSV, Parquet or into a table of SQLite."),
    "plan": ("reading", "Say how many rows a list has, about, and what a dump of it would cost."),
    "verify": (
        "reading",
        "Compare FILE, which `dump` made, with the shop, row by row, through another strategy than the dump's.",
    ),
    "doctor": ("reading", "Say whether this shop can be paged, by which strategies, and what to do where not."),
    "regexp": ("reading", "Print the shortest portable regexp that matches the ids from FIRST to LAST, inclusive."),
    "serve": ("serving", "Run an embedded shop until Ctrl-C or SIGTERM."),
}
"""Each command's module and first sentence, which its own help repeats."""


def all_commands() -> dict[str, click.Command]:
    """Return every command by its name."""
    return {name: _imported(name) for name in COMMANDS}


def _imported(name: str) -> click.Command:
    return cast("click.Command", getattr(import_module(f"{__name__}.{COMMANDS[name][0]}"), name))


class Commands(click.Group):
    """Commands that are imported when they are run, or when their own help is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's
        """Return their names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  click's
        """Import the command of that name."""
        return _imported(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is meant; refuse an unknown one with one that is like it."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            like = get_close_matches(name, COMMANDS, 1)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {like[0]!r}?" if like else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  click's
        """Write the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, sentence) for name, (_, sentence) in COMMANDS.items()])


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    gc.set_threshold(LASTING)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not know every character
    try:
        _check(arguments)
        ended = cli.main(arguments, prog_name="magento-pager", standalone_mode=False)
    except click.ClickException as error:
        say(f"magento-pager: {_message(error)}")
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except StoppedError as stopped:
        return 128 + stopped.number
    except NoReaderError:
        # Whoever read our output has enough; Python must not complain of it again as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    return ended if isinstance(ended, int) else 0  # a status where the command ended by Context.exit


def _message(error: click.ClickException) -> str:
    """The message of an error, with the command that shows the help where it does not say what to do itself."""
    message = error.format_message()
    if not isinstance(error, click.UsageError):
        return "\n".join(map(printable, message.split("\n")))  # some errors of a shop are followed by a table
    context = error.ctx
    if context is None or isinstance(error, RefusedError):
        return printable(message)
    return f"{printable(message).rstrip('.')}. See `{context.command_path} --help`."


def _check(arguments: list[str]) -> None:
    """Refuse what cannot be the name of a file, nor be sent: no shell lets it through."""
    for argument in arguments:
        with suppress(UnicodeEncodeError):
            if b"\0" not in os.fsencode(argument):
                continue
        raise click.UsageError(f"{argument!r} has a character that no file and no shop can be told")


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,  # with no_args_is_help, click 8.1 prints to stdout and exits with 0
    subcommand_metavar="COMMAND [ARGS]...",
)
@click.version_option(package_name="magento-pager")
@click.pass_context
def cli(context: click.Context) -> None:
    """Every row of a Magento 1.x / OpenMage list exactly once, with every id accounted for."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)
