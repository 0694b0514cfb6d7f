"""The documentation: its examples run, and its lists are complete. tests/test_site.py tests the built pages.

The blocks of a page are run in order, in an empty folder, with an embedded shop of 2,000 orders. Its `url`, `user` and
`key` are names for Python and variables for the shell:

- `python` is run; with a title it is saved as a file of that name instead. A `text` block right after it is what it
  prints.
- `console` is run in a shell, line by line where a line begins with `$ `; the lines below a command are what it prints.
  Lines that install something are left to the continuous integration, which runs them on a bare machine; a shop that is
  served is ended once it is ready.
- `sh` is run in the README, line by line: it has no prompts, because most places where it is read copy whole blocks.
- Any other block is not run.

In the output, `...` stands for anything.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from itertools import pairwise, zip_longest
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import click
import pytest
from conftest import slow
from docs._diagrams import DIAGRAMS
from docs._generate import GENERATED, with_part
from docs._report import keys

import magento_pager
import magento_pager.fake
from magento_pager.cli import all_commands
from magento_pager.export.stored import stored
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^```(?P<language>\w*)(?P<options>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
DURATION = re.compile(r"(?<=\bin )\d+(\.\d+)? s\b")
INCLUDED = "--8<--"  # a file of the checkout, which other tests run
FIRST_READ = (ROOT / "README.md", DOCS / "tutorial.md")
INSTALLING = ("python3 -m venv", ".venv/bin/", "pip install")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        language: the word after the fence.
        title: the file to save it as, or an empty text.
        text: its content.
        line: the line of the page on which the content begins.
        printed: the content of a `text` block right after it, or None.
    """

    language: str
    title: str
    text: str
    line: int
    printed: str | None = None


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    fences = list(FENCE.finditer(page))
    for fence, following in zip_longest(fences, fences[1:]):
        title = re.search(r'title="([^"]*)"', fence["options"])
        is_output = following is not None and following["language"] == "text"
        adjacent = following is not None and page[fence.end() : following.start()].strip() == ""
        printed = following["text"] if following is not None and is_output and adjacent else None
        line = page.count("\n", 0, fence.start()) + 2
        yield Block(fence["language"], title[1] if title else "", fence["text"], line, printed)


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Yield the commands of a block, each with its output; an empty text if none is shown."""
    text = block.text if block.language == "console" else re.sub(r"^", "$ ", block.text.rstrip(), flags=re.MULTILINE)
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        if not any(word in command for word in INSTALLING):
            yield command, printed


def compare(where: str, shown: str, printed: str) -> None:
    """Fail if the output differs from the one shown, except in durations."""
    checker = doctest.OutputChecker()
    shown, printed = (DURATION.sub("... s", text) for text in (shown, printed))
    example = doctest.Example("", shown)
    if not checker.check_output(example.want, printed, doctest.ELLIPSIS):
        pytest.fail(f"{where}\n{checker.output_difference(example, printed, doctest.ELLIPSIS)}")


def pages() -> list[Path]:
    """Return every page with something to run."""
    files = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    runnable = ("python", "console")
    return [page for page in files if any(block.language in runnable for block in blocks(page.read_text("utf-8")))]


def name_of(page: Path) -> str:
    """Return the path of a page in the checkout."""
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    """Return the shop of all pages, as `serve` starts it."""
    with Shop(profile="20.0.20", flavour="rpc") as running:
        yield running


@pytest.mark.parametrize("page", [one if one in FIRST_READ else slow(one) for one in pages()], ids=name_of)
def test_what_a_page_shows_runs(page: Path, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block runs unchanged, after those before it, and prints what the page shows."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__page__", "url": shop.url, "user": shop.user, "key": shop.key}
    try:
        for block in blocks(page.read_text(encoding="utf-8")):
            run(block, f"{name_of(page)}:{block.line}", names, shop)
    finally:
        for started in names.values():
            if isinstance(started, Shop):
                started.stop()  # a page that failed must not leave a shop running


def run(block: Block, where: str, names: dict[str, Any], shop: Shop) -> None:
    """Run or save a block, as its language says, in the current folder."""
    part = ": " in block.title  # of a file: tests/test_added_list.py puts it there
    if block.title and not part and not block.text.startswith(INCLUDED):
        Path(block.title).write_text(block.text, encoding="utf-8")
    elif block.language == "python" and not block.title:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile("\n" * (block.line - 1) + block.text, where, "exec"), names)  # noqa: S102  our own page
        if block.printed is not None:
            compare(where, block.printed, printed.getvalue())
    elif block.language == "console" or (block.language == "sh" and where.startswith("README")):
        for command, shown in commands(block):
            status, output = shell(command, shop)
            assert status == 0, f"{where}: {command}\n{output}"
            if shown:
                compare(f"{where}: {command}", shown, output)


def shell(command: str, shop: Shop) -> tuple[int, str]:
    """Run a command as a reader would, in the current folder, with the shop in the environment.

    Returns:
        Its exit status, and its output on both streams.
    """
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MAGENTO_URL": shop.url,
        "MAGENTO_API_USER": shop.user,
        "MAGENTO_API_KEY": shop.key,
    }
    serves = command.startswith("magento-pager serve ")
    with subprocess.Popen(  # noqa: S603  our own page
        ["bash", "-o", "pipefail", "-c", f"exec {command}" if serves else command],  # noqa: S607  the reader's own bash
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        ready = running.stdout.readline() if serves and running.stdout else ""
        if serves:
            running.terminate()
        printed, _ = running.communicate()
    return running.returncode, ready + printed


def nightly_lines() -> Iterator[tuple[str, str]]:
    """Yield each page with a command for a nightly job, and that command."""
    for page in sorted(DOCS.rglob("*.md")):
        _, heading, recipe = page.read_text(encoding="utf-8").partition("\n## A nightly job in one line\n")
        if heading:
            block = next(block for block in blocks(recipe) if "dump" in block.text)
            yield name_of(page), next((command for command, _ in commands(block)), block.text.strip())


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), list(nightly_lines()))
def test_a_nightly_job_fetches_what_changed_since_the_previous_run(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the second and the third run, the output holds the rows as they are then."""
    monkeypatch.chdir(tmp_path)
    with Shop(orders=30, clock="2024-05-01 12:00:00") as shop:
        for night in range(1, 4):
            now = f"2024-05-0{night} 12:00:00"
            shop.change(clock=now)
            shop.database.update("orders", 3, {"status": f"night {night}", "updated_at": now})
            shop.database.insert("orders", {"entity_id": 1000 + night, "increment_id": "new", "updated_at": now})
            status, output = shell(line, shop)
            assert status == 0, f"{page}: {output}"
            (out,) = (path for path in tmp_path.iterdir() if path.name in {"orders.ndjson", "shop.sqlite"})
            rows = {int(row["order_id"]): row for row in stored(out, "orders")}
            assert (len(rows), rows[3]["status"]) == (30 + night, f"night {night}"), f"{page}: {line}"
            assert rows[1000 + night]["increment_id"] == "new"


def test_the_pages_have_commands_for_a_nightly_job() -> None:
    """A heading that is worded otherwise would be found by no test."""
    assert [page for page, _ in nightly_lines()] == ["docs/how-to/incremental-sync.md", "docs/how-to/resume.md"]


def test_another_output_than_the_page_shows_is_detected() -> None:
    """Another output fails; one that differs only in a duration or where the page has `...` does not."""
    compare("here", "2000 orders in 0.4 s.\n", "2000 orders in 12 s.\n")
    compare("here", "2000 orders in ... calls\n", "2000 orders in 60 calls\n")
    with pytest.raises(pytest.fail.Exception):
        compare("here", "2000 orders in ... calls\n", "1999 orders in 60 calls\n")
    (block,) = blocks("```console\n$ magento-pager --version\nmagento-pager, version ...\n$ pip install x\n```\n")
    assert list(commands(block)) == [("magento-pager --version", "magento-pager, version ...\n")]
    first, second = blocks('```python title="a.py"\npass\n```\n\n```text\nx\n```\n')
    assert (first.title, first.printed, second.language) == ("a.py", "x\n", "text")


@pytest.mark.parametrize(
    "name",
    [slow(one) if one == "strategies" else one for one in GENERATED],  # it walks every list of every version
)
def test_generated_parts_are_up_to_date(name: str) -> None:
    """Each generated part is what `python -m docs._generate` would write."""
    if name == "cli" and version("click").startswith("8.1."):
        pytest.skip("click 8.1 formats usage lines differently")
    page, generate = GENERATED[name]
    text = (DOCS / page).read_text(encoding="utf-8")
    assert text == with_part(text, name, generate()), f"docs/{page} is stale: run python -m docs._generate"


@pytest.mark.parametrize("name", DIAGRAMS)
def test_diagrams_are_up_to_date(name: str) -> None:
    """Each diagram is what `python -m docs._diagrams` would write, in the colour of the text around it."""
    drawn = (DOCS / f"diagrams/{name}.svg").read_text(encoding="utf-8")
    assert drawn == DIAGRAMS[name](), f"docs/diagrams/{name}.svg is stale: run python -m docs._diagrams"
    assert set(re.findall(r'(?:fill|stroke)="([^"]*)"', drawn)) == {"currentColor", "none"}


def links() -> Iterator[tuple[str, str, str]]:
    """Yield each link to a whole page: the page it is on, its text, and the title of the page it leads to."""
    for page in sorted(DOCS.rglob("*.md")):
        for text, target in re.findall(r"(?<!!)\[([^\]]+)\]\(([^)#: ]+\.md)\)", page.read_text(encoding="utf-8")):
            title = re.search(r"^# (.*)", (page.parent / target).read_text(encoding="utf-8"), re.MULTILINE)
            yield name_of(page), " ".join(text.split()), title[1] if title else ""


def test_a_link_that_reads_like_a_title_has_the_title_of_its_page() -> None:
    """A reader who follows a link sees at once that this is the page that was named."""
    titled = [link for link in links() if link[1][0].isupper()]
    assert len(titled) > 20
    assert [link for link in titled if link[1] not in link[2]] == []


def every_parameter() -> Iterator[tuple[str, str]]:
    """Yield each command with each of its options."""
    for name, command in all_commands().items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield from ((name, spelling) for spelling in parameter.opts)


@pytest.mark.parametrize(("command", "option"), list(every_parameter()))
def test_the_cli_reference_has_every_option(command: str, option: str) -> None:
    """Each command is a chapter, and each of its options has an entry there."""
    chapters = re.split(r"^## ", (DOCS / "reference/cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    (chapter,) = [one for one in chapters if one.startswith(f"{command}\n")]
    assert re.search(rf"^`(-\w, )?{re.escape(option)}(, --\w+)?( [^`]+)?`\n:   \S", chapter, re.MULTILINE)


@pytest.mark.parametrize("name", magento_pager.__all__)
def test_the_library_reference_has_every_public_name(name: str) -> None:
    """Every name that can be imported is documented."""
    assert f"\n::: magento_pager.{name}\n" in (DOCS / "reference/api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", magento_pager.fake.__all__)
def test_the_embedded_shop_has_every_public_name(name: str) -> None:
    """Every name that can be imported from the embedded shop is documented."""
    assert f"\n::: magento_pager.fake.{name}\n" in (DOCS / "reference/embedded-shop.md").read_text(encoding="utf-8")


@cache
def messages() -> str:
    """Return every text in the package's code, without the values that are filled in at run time."""
    texts = []
    for path in sorted((ROOT / "src/magento_pager").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr | ast.Constant):
                parts = node.values if isinstance(node, ast.JoinedStr) else [node]
                texts += ["".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in parts)]
    return "\n".join(texts)


def quoted_messages() -> list[str]:
    """Return the parts that never change of the package's messages that the page on errors quotes."""
    page = (DOCS / "reference/errors.md").read_text(encoding="utf-8")
    ours = page.partition("## Connections")[2].partition("## Not an error")[0]
    quotes = re.findall(r"^\| `([^`]+)`", ours, re.MULTILINE)
    filled_in = r"\.\.\.|\b[A-Z]-[A-Z]\b|\b[A-Z]\b|'|\b[0-9]+\b|\(|\)|: |; |single-filter|creditmemos"
    return [
        piece.strip(" ,") for quote in quotes for piece in re.split(filled_in, quote) if len(piece) > len("short one")
    ]


@pytest.mark.parametrize("piece", quoted_messages())
def test_the_messages_that_the_page_on_errors_quotes_exist(piece: str) -> None:
    """A message that was reworded must be reworded there too. Messages of Python's own libraries are excepted."""
    assert piece in messages() or piece in {"Connection refused", "Name or service not known", "IncompleteRead"}


def reports(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the reports of dumps that have all there is to report: skipped rows, invalid values, ranges, an error."""
    day = magento_pager.between("2023-10-01", "2023-10-03")
    with (
        Shop(orders=60, duplicate_address={7}) as shop,
        magento_pager.connect(shop.url, shop.user, shop.key) as pager,
    ):
        shop.database.update("orders", 9, {"created_at": "yesterday"})
        since = datetime(2023, 10, 2, tzinfo=UTC)
        walks = [
            pager.orders(),
            pager.orders(where={"created_at": day}, updated_since=since, new_from=50),
            pager.orders(details=True, columns="all", wire="xml-rpc"),
            pager.shipments(window=50),
        ]
        for number, walk in enumerate(walks):
            yield magento_pager.dump(walk, folder / f"{number}.ndjson", typed=True).as_json()
        shop.change(outage="maintenance")
        with pytest.raises(magento_pager.PagerError) as failed:
            magento_pager.dump(pager.orders(patience=0), folder / "failed.ndjson")
        yield failed.value.dumped.as_json()


def described(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of each key in a report, with the JSON type of its value."""
    names = {str: "string", bool: "boolean", int: "number", float: "number", NoneType: "null", dict: "object"}
    if path:
        yield path, names.get(type(value), "list")
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from described(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from (pair for pair in described(inner, f"{path}[]") if pair[0] != f"{path}[]")


def test_the_page_on_reports_describes_every_key(tmp_path: Path) -> None:
    """A real report has no key that is not described, none of another type, and every described key is in one."""
    known = {key.path: key.kind for key in keys()}
    met = {pair for report in reports(tmp_path) for pair in described(report)}
    assert {path for path, _ in met} == set(known)
    for path, kind in met:
        assert known[path] == "any" or kind in re.findall(r"\w+", known[path]), (path, kind)


def examples_of_constants() -> Iterator[tuple[str, str]]:
    """Yield each constant of the package whose description has an example, which pytest does not find, with that."""
    for path in sorted((ROOT / "src/magento_pager").rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for pair in pairwise(body):
            match pair:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ) if ">>>" in text:
                    yield name, text


@pytest.mark.parametrize(("name", "text"), [pytest.param(*pair, id=pair[0]) for pair in examples_of_constants()])
def test_the_examples_of_constants_run(name: str, text: str) -> None:
    """An example in the description of a constant prints what it shows."""
    names = {name: getattr(module, name) for module in (magento_pager, magento_pager.fake) for name in module.__all__}
    test = doctest.DocTestParser().get_doctest(text, names, name, None, None)
    assert doctest.DocTestRunner().run(test).failed == 0
