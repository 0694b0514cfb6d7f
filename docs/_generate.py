"""Writes the parts of these pages that follow from the code: `python -m docs._generate`, from the checkout's root.

A page holds such a part between two comments, `generated: NAME` and `end of NAME`; the rest of it is written by hand.
A test fails where a page is not what this would write.
"""

# ruff: noqa: INP001  docs are no package; only this file of them is code

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from benchmarks.fidelity import increment_ids
from docs._report import keys

import magento_pager
from magento_pager import FilterIgnoredError, NoStrategyError, RemoteError
from magento_pager.cli import all_commands, cli
from magento_pager.fake import PROFILES, Shop
from magento_pager.lists import LISTS
from magento_pager.shop.wires import WIRES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from magento_pager.fake import Database
    from magento_pager.fake.declarations import Flavour
    from magento_pager.lists import Wire

DOCS = Path(__file__).parent
RULES = DOCS.parent / "tests" / "fake" / "filter_rules.toml"
ORDERS, LAST_ID = 100, 150
WIDE = 1_000  # columns, so that no usage line is broken


def cli_reference() -> str:
    """Every command with its options and examples, in the words of `--help`."""
    parts = []
    for name, command in all_commands().items():
        # With the group's own settings, as when it is run: a command keeps the help option it was first asked for.
        settings = {**cli.context_settings, "max_content_width": WIDE, "terminal_width": WIDE}
        context = click.Context(command, info_name=f"magento-pager {name}", **settings)
        parts += [f"## {name}", "", f"```text\n{command.get_usage(context)}\n```", ""]
        parts += [f"{' '.join(text.split())}\n" for text in (command.help or "").split("\n\n")]
        examples = "\n".join(f"# {purpose}\n{line}" for purpose, line in command.examples)
        parts += [f"```sh\n{examples}\n```\n"]
        for heading, entries in command.sections(context):
            parts += [f"**{heading}**\n", *(_definition(*entry) for entry in entries)]
    return "\n".join(parts).rstrip()


def _definition(term: str, text: str) -> str:
    escaped = " ".join(text.split()).replace("[", "\\[")  # else taken for a reference
    return f"`{term}`\n:   {escaped}\n"


def strategies_by_version() -> str:
    """What each strategy came to, on each list of each version that the embedded shop plays: measured, not assumed."""
    outcomes = {version: outcomes_on(version, "rpc") for version in PROFILES}
    spoken = [name for name, profile in PROFILES.items() if "wsi" in profile.flavours]
    differing = [name for name in spoken if outcomes_on(name, "wsi") != outcomes[name]]
    parts = []
    for name in LISTS:
        rows = [
            [f"`{one}`", *(outcomes[version][name, one] for version in PROFILES)] for one in magento_pager.STRATEGIES
        ]
        parts += [f"## {name.capitalize()}", "", _table(["strategy", *PROFILES], rows), ""]
    flavours = f"they differ on {', '.join(differing)}" if differing else "both flavours gave the same"
    parts += [f"The WS-I flavour was measured as well, on {', '.join(spoken)}: {flavours}.", ""]
    by_xmlrpc = {version: outcomes_on(version, "rpc", "xml-rpc") for version in PROFILES}
    names = ["auto", *(one.name for one in WIRES["xml-rpc"].strategies(LISTS["orders"]))]
    rows = [
        [name, f"`{one}`", *(by_xmlrpc[version][name, one] for version in PROFILES)] for name in LISTS for one in names
    ]
    return "\n".join([*parts, "## By XML-RPC", "", _table(["list", "strategy", *PROFILES], rows)])


def outcomes_on(version: str, flavour: Flavour, wire: Wire = "soap") -> Mapping[tuple[str, str], str]:
    """What each (list, strategy) comes to on a version; of "auto", which strategy it takes.

    Raises:
        AssertionError: a walk ended without an error and yet with other rows than the shop has.
    """
    found: dict[tuple[str, str], str] = {}
    with (
        Shop(profile=version, flavour=flavour, orders=ORDERS) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        by_number = increment_ids(cast("Database", shop.database))
        for name in (spec.name for spec in LISTS.values()):
            truth = [one for one in shop.database.ids(name) if one <= LAST_ID]
            names = {"auto", *(one.name for one in WIRES[wire].strategies(LISTS[name]))}
            for strategy in (one for one in magento_pager.STRATEGIES if one in names):
                paginator = pager.list(name, strategy=strategy, window=20, last=LAST_ID, wire=wire)
                try:
                    pages = list(paginator.pages())
                except RemoteError as error:
                    found[name, strategy] = _refusal(error)
                    continue
                delivered = [
                    int(row[paginator.id_field]) if paginator.id_field in row else by_number[name][row["increment_id"]]
                    for page in pages
                    for row in page.rows
                ]
                if sorted(delivered) != truth:
                    raise AssertionError(f"{strategy} gave a wrong table of {name} on {version}, {flavour}")
                found[name, strategy] = f"`{pages[-1].stats.strategy}`" if strategy == "auto" else "**exact**"
    return found


def _refusal(error: RemoteError) -> str:
    """An error in a word or two, those of the page's legend."""
    if isinstance(error, NoStrategyError):
        (trial,) = error.report.trials
        fault = re.search(r"fault (\S+),", trial.fault or "")
        return f"fault {fault[1]}" if fault else "unexpected rows" if trial.stray else "rows missing"
    return "no ids" if isinstance(error, FilterIgnoredError) else "no such list"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def filters_by_version() -> str:
    """The rules that the tests ask the embedded shop, chapter by chapter: what is asked and what each version gives."""
    document = tomllib.loads(RULES.read_text(encoding="utf-8"))
    columns, rows = document["rows"]["orders"]["columns"], document["rows"]["orders"]["rows"]
    parts = ["## The rows", "", "Orders; the other lists have the same ids:", ""]
    parts += [_table(columns, [[_cell(cell) for cell in row] for row in rows]), ""]
    for chapter in dict.fromkeys(rule["chapter"] for rule in document["rules"]):
        rules = [rule for rule in document["rules"] if rule["chapter"] == chapter]
        parts += [f"## {chapter}", "", _table(["rule", "query", *PROFILES], map(_rule, rules)), ""]
    return "\n".join(parts).rstrip()


def _rule(rule: Mapping[str, Any]) -> list[str]:
    """A rule as a row: in words, as a query, and each version's answer."""
    asked = [_code(f"{field} = {value!r}") for field, value in rule.get("simple", ())]
    asked += [_code(f"{field} {operator} {value!r}") for field, operator, value in rule.get("complex", ())]
    plain, php5 = (
        {version: answer for versions, answer in rule.get(key, ()) for version in versions.split()}
        for key in ("answers", "php5")
    )
    answers = [
        f"{plain[one]}<br>PHP 5: {php5[one]}"
        if php5.get(one, plain.get(one)) != plain.get(one)
        else plain.get(one, "no list")
        for one in PROFILES
    ]
    return [rule["rule"], "<br>".join([f"{rule['list']}:", *(asked or ["nothing"])]), *answers]


def _cell(value: object) -> str:
    return "NULL" if value == "NULL" else _code(repr(value)) if isinstance(value, str) else str(value)


def _code(text: str) -> str:
    """A text as code, whatever it holds."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def columns() -> str:
    """The columns of each list by their kinds, details apart."""
    parts = []
    for name, schema in LISTS.items():
        rows = []
        for kind in ("integer", "decimal", "datetime", "text"):
            cells = (
                ", ".join(f"`{one}`{'*' * (one in schema.nested)}" for one, its in columns.items() if its == kind)
                for columns in (schema.columns, schema.details)
            )
            rows.append([kind, *cells])
        parts += [f"## {name.capitalize()}", "", _table(["kind", "columns", "details"], rows), ""]
    return "\n".join(parts).rstrip().replace("`*", "`\\*")


def report_keys() -> str:
    """Every key of a report with the type of its value and its meaning."""
    return _table(["key", "type", "meaning"], [[f"`{key.path}`", key.kind, key.meaning] for key in keys()])


GENERATED: Mapping[str, tuple[str, Callable[[], str]]] = {
    "cli": ("reference/cli.md", cli_reference),
    "columns": ("reference/columns.md", columns),
    "report": ("reference/report.md", report_keys),
    "filters": ("reference/filters.md", filters_by_version),
    "strategies": ("reference/strategies.md", strategies_by_version),
}
"""Each generated part: its page and what writes it."""


def with_part(page: str, name: str, part: str) -> str:
    r"""The text of a page with a generated part in its place.

    Raises:
        ValueError: the page has no such place.

    >>> with_part("# A\n<!-- generated: x -->\nold\n<!-- end of x -->\n", "x", "new")
    '# A\n<!-- generated: x -->\n\nnew\n\n<!-- end of x -->\n'
    """
    opening, closing = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.partition(opening)
    _, ended, after = rest.partition(closing)
    if not (found and ended):
        raise ValueError(f"the page has no part between {opening} and {closing}")
    return f"{before}{opening}\n\n{part}\n\n{closing}{after}"


def main() -> None:
    """Bring every generated part up to date."""
    for name, (page, generate) in GENERATED.items():
        path = DOCS / page
        path.write_text(with_part(path.read_text(encoding="utf-8"), name, generate()), encoding="utf-8")


if __name__ == "__main__":
    main()
