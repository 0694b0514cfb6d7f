"""The command line: arguments to library calls, and errors to one line and an exit status. No logic of its own.

Exit status: 0 done; 1 failed; 2 usage; 3 complete but with quarantined ids; 130 and 143 interrupted by Ctrl-C and
SIGTERM; 141 the reader of our output went away.

What a command needs is imported by that command, so that `--help` costs little more than Python itself.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from magento_pager.cli.dumps import STRATEGY_NAMES, dump
from magento_pager.cli.ending import NoReaderError, StoppedError, as_usage_error, say, stoppable
from magento_pager.cli.serving import serve
from magento_pager.cli.shops import shop, shop_options

__all__ = ["STRATEGY_NAMES", "cli", "main", "run"]

INTERRUPTED, NO_READER = 130, 141


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and give its exit status."""
    try:
        ended = cli.main(arguments, prog_name="magento-pager", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context and isinstance(error, click.UsageError) else ""
        say(f"magento-pager: {error.format_message().rstrip('.')}{hint}")
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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="magento-pager")
def cli() -> None:
    """Every row of a Magento 1.x or OpenMage shop, exactly once, through a SOAP API that has no paging."""


@click.command()
@shop_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def doctor(*, as_json: bool, **options: Any) -> None:
    """Say whether this shop can be paged, by which strategies, and what to do where not.

    Exit status 1 if a list that the shop has cannot be paged.
    """
    import json

    from magento_pager.doctor import examine

    with as_usage_error(), stoppable(), shop(options) as where:
        diagnosis = examine(*where)
    click.echo(json.dumps(diagnosis.as_json(), indent=2) if as_json else str(diagnosis))
    if not diagnosis.healthy:
        click.get_current_context().exit(1)


@click.command()
@click.argument("first", type=click.IntRange(min=0))
@click.argument("last", type=click.IntRange(min=0))
@click.option(
    "--field",
    default="entity_id",
    show_default=True,
    metavar="NAME",
    help="The field it is for. Any but the integer keys of the six lists may hold text: the pattern is strict.",
)
@click.option("--strict", is_flag=True, help="Use [0-9] instead of . and [^...], as for a field of text.")
@click.option("--explain", "explained", is_flag=True, help="Print the tree of digits and how it becomes the pattern.")
def regexp(first: int, last: int, *, field: str, strict: bool, explained: bool) -> None:
    """Print the shortest portable regexp that matches the ids from FIRST to LAST, inclusive."""
    from magento_pager.walk.ranges import IdRange
    from magento_pager.walk.regexps import explain, range_regexp
    from magento_pager.walk.strategies import INTEGER_KEYS

    with as_usage_error():
        IdRange(first, last)
        click.echo((explain if explained else range_regexp)(first, last, strict=strict or field not in INTEGER_KEYS))


for command in (dump, doctor, regexp, serve):
    cli.add_command(command)
