"""Write the parts of these pages that follow from the code: `python -m docs._generate`, from the checkout's root.

Such a part is between two comments, `generated: NAME` and `end of NAME`; the rest of a page is written by hand.
A test fails where a page is not what this would write.
"""

# ruff: noqa: INP001  docs are not a package

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
    """Return every command with its options and examples, as `--help` shows them."""
    parts = []
    for name, command in all_commands().items():
        # The settings of the group, as when it is run, because a command caches its help option.
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
    escaped = " ".join(text.split()).replace("[", "\\[")  # otherwise taken for a link
    return f"`{term}`\n:   {escaped}\n"


def strategies_by_version() -> str:
    """Return the outcome of each strategy on each list of each version of the embedded shop, as measured."""
    outcomes = {version: outcomes_on(version, "rpc") for version in PROFILES}
    wsi_versions = [name for name, profile in PROFILES.items() if "wsi" in profile.flavours]
    differing = [name for name in wsi_versions if outcomes_on(name, "wsi") != outcomes[name]]
    parts = []
    for name in LISTS:
        rows = [
            [f"`{strategy}`", *(outcomes[version][name, strategy] for version in PROFILES)]
            for strategy in magento_pager.STRATEGIES
        ]
        parts += [f"## {name.capitalize()}", "", _table(["strategy", *PROFILES], rows), ""]
    flavours = f"they differ on {', '.join(differing)}" if differing else "both flavours gave the same"
    parts += [f"The WS-I flavour was measured as well, on {', '.join(wsi_versions)}: {flavours}.", ""]
    by_xmlrpc = {version: outcomes_on(version, "rpc", "xml-rpc") for version in PROFILES}
    strategies = ["auto", *(strategy.name for strategy in WIRES["xml-rpc"].strategies(LISTS["orders"]))]
    rows = [
        [name, f"`{strategy}`", *(by_xmlrpc[version][name, strategy] for version in PROFILES)]
        for name in LISTS
        for strategy in strategies
    ]
    return "\n".join([*parts, "## By XML-RPC", "", _table(["list", "strategy", *PROFILES], rows)])


def outcomes_on(version: str, flavour: Flavour, wire: Wire = "soap") -> Mapping[tuple[str, str], str]:
    """Return the outcome of each (list, strategy) on a version; for "auto", the strategy that it chose.

    Raises:
        AssertionError: a walk ended without an error, but with other rows than the shop has.
    """
    outcomes: dict[tuple[str, str], str] = {}
    with (
        Shop(profile=version, flavour=flavour, orders=ORDERS) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        by_number = increment_ids(cast("Database", shop.database))
        for name in (spec.name for spec in LISTS.values()):
            expected = [row_id for row_id in shop.database.ids(name) if row_id <= LAST_ID]
            names = {"auto", *(strategy.name for strategy in WIRES[wire].strategies(LISTS[name]))}
            for strategy in (name for name in magento_pager.STRATEGIES if name in names):
                paginator = pager.list(name, strategy=strategy, window=20, last=LAST_ID, wire=wire)
                try:
                    pages = list(paginator.pages())
                except RemoteError as error:
                    outcomes[name, strategy] = _refusal(error)
                    continue
                delivered = [
                    int(row[paginator.id_field]) if paginator.id_field in row else by_number[name][row["increment_id"]]
                    for page in pages
                    for row in page.rows
                ]
                if sorted(delivered) != expected:
                    raise AssertionError(f"{strategy} gave a wrong table of {name} on {version}, {flavour}")
                outcomes[name, strategy] = f"`{pages[-1].stats.strategy}`" if strategy == "auto" else "**exact**"
    return outcomes


def _refusal(error: RemoteError) -> str:
    """Return an error as the page's legend names it."""
    if isinstance(error, NoStrategyError):
        (trial,) = error.report.trials
        fault = re.search(r"fault (\S+),", trial.fault or "")
        return f"fault {fault[1]}" if fault else "unexpected rows" if trial.stray else "rows missing"
    return "no ids" if isinstance(error, FilterIgnoredError) else "no such list"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def filters_by_version() -> str:
    """Return the rules that the tests check on the embedded shop, by chapter: the query and each version's answer."""
    document = tomllib.loads(RULES.read_text(encoding="utf-8"))
    columns, rows = document["rows"]["orders"]["columns"], document["rows"]["orders"]["rows"]
    parts = ["## The rows", "", "Orders; the other lists have the same ids:", ""]
    parts += [_table(columns, [[_cell(cell) for cell in row] for row in rows]), ""]
    for chapter in dict.fromkeys(rule["chapter"] for rule in document["rules"]):
        rules = [rule for rule in document["rules"] if rule["chapter"] == chapter]
        parts += [f"## {chapter}", "", _table(["rule", "query", *PROFILES], map(_rule, rules)), ""]
    return "\n".join(parts).rstrip()


def _rule(rule: Mapping[str, Any]) -> list[str]:
    """Return a rule as a row: its text, its query, and each version's answer."""
    query = [_code(f"{field} = {value!r}") for field, value in rule.get("simple", ())]
    query += [_code(f"{field} {operator} {value!r}") for field, operator, value in rule.get("complex", ())]
    plain, php5 = (
        {version: answer for versions, answer in rule.get(key, ()) for version in versions.split()}
        for key in ("answers", "php5")
    )
    answers = [
        f"{plain[version]}<br>PHP 5: {php5[version]}"
        if php5.get(version, plain.get(version)) != plain.get(version)
        else plain.get(version, "no list")
        for version in PROFILES
    ]
    return [rule["rule"], "<br>".join([f"{rule['list']}:", *(query or ["nothing"])]), *answers]


def _cell(value: object) -> str:
    return "NULL" if value == "NULL" else _code(repr(value)) if isinstance(value, str) else str(value)


def _code(text: str) -> str:
    """Return a text as code, also if it contains backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def columns() -> str:
    """Return the columns of each list by their kinds, those of full records in a column of their own."""
    parts = []
    for name, schema in LISTS.items():
        rows = []
        for kind in ("integer", "decimal", "datetime", "text"):
            cells = (
                ", ".join(f"`{name}`{'*' * (name in schema.nested)}" for name, its in columns.items() if its == kind)
                for columns in (schema.columns, schema.details)
            )
            rows.append([kind, *cells])
        parts += [f"## {name.capitalize()}", "", _table(["kind", "columns", "details"], rows), ""]
    return "\n".join(parts).rstrip().replace("`*", "`\\*")


def report_keys() -> str:
    """Return every key of a report with the type of its value and its meaning."""
    entries = (f"`{key.path}` {key.kind}\n:   {key.meaning[0].upper()}{key.meaning[1:]}.\n" for key in keys())
    return "\n".join(entries).rstrip()


GENERATED: Mapping[str, tuple[str, Callable[[], str]]] = {
    "cli": ("reference/cli.md", cli_reference),
    "columns": ("reference/columns.md", columns),
    "report": ("reference/report.md", report_keys),
    "filters": ("reference/filters.md", filters_by_version),
    "strategies": ("reference/strategies.md", strategies_by_version),
}
"""Each generated part: its page and what writes it."""


def with_part(page: str, name: str, part: str) -> str:
    r"""Return the text of a page with a generated part in its place.

    Raises:
        ValueError: the page has no such place.

    >>> with_part("# A\n<!-- generated: x -->\nold\n<!-- end of x -->\n", "x", "new")
    '# A\n<!-- generated: x -->\n\nnew\n\n<!-- end of x -->\n'
    """
    opening, closing = f"<!-- generated: {name} -->", f"<!-- end of {name} -->"
    before, begun, rest = page.partition(opening)
    _, ended, after = rest.partition(closing)
    if not (begun and ended):
        raise ValueError(f"the page has no part between {opening} and {closing}")
    return f"{before}{opening}\n\n{part}\n\n{closing}{after}"


def main() -> None:
    """Update every generated part."""
    for name, (page, generate) in GENERATED.items():
        path = DOCS / page
        path.write_text(with_part(path.read_text(encoding="utf-8"), name, generate()), encoding="utf-8")


if __name__ == "__main__":
    main()
