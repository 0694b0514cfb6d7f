"""The help of each command: groups, examples, and no line that a terminal breaks."""

from __future__ import annotations

import re
import shlex

import pytest

from magento_pager.cli import all_commands, cli, run
from magento_pager.cli.help import GROUPS, Helped, Option

COMMANDS = {"": cli, **all_commands()}


def help_of(name: str, columns: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """Return what a terminal of that width shows."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run([*filter(None, [name]), "--help"]) == 0
    return capfd.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [80, 100])
def test_no_word_is_broken_and_no_line_too_long(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each word of each help text stands on one line, and each line fits."""
    shown = help_of(name, columns, monkeypatch, capfd)
    assert max(map(len, shown.splitlines())) <= columns
    words = set(shown.split())
    command = COMMANDS[name]
    assert isinstance(command, Helped)
    for parameter in command.params:
        assert set((getattr(parameter, "help", "") or "").split()) <= words, parameter.name
    assert set((command.help or "").split()) <= words


@pytest.mark.parametrize("name", COMMANDS)
def test_a_narrow_terminal_shows_texts_below_their_options(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """At 40 columns only names, examples and single words may be longer than a line."""
    for line in help_of(name, 40, monkeypatch, capfd).splitlines():
        assert len(line) <= 40 or line.startswith(("  -", "  magento-pager", "  #", "Usage")) or " " not in line.strip()


@pytest.mark.parametrize("name", all_commands())
def test_options_have_groups(name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Each option is of a known group, under whose heading the help shows it, in the order of the groups."""
    shown = help_of(name, 80, monkeypatch, capfd)
    options = [one for one in COMMANDS[name].params if isinstance(one, Option)]
    groups = {one.group for one in options}
    assert groups <= set(GROUPS)
    headings = [line[:-1] for line in shown.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert [one for one in headings if one in GROUPS] == [one for one in GROUPS if one in {*groups, GROUPS[-1]}]
    for one in options:
        _, _, below = shown.partition(f"\n{one.group}:\n")
        assert one.opts[0] in below.partition("\n\n")[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_examples_that_can_be_run(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Three to five, at the end of its help; each is understood, whatever files it names."""
    command = COMMANDS[name]
    assert isinstance(command, Helped)
    assert 3 <= len(command.examples) <= 5
    _, _, examples = help_of(name, 80, monkeypatch, capfd).partition("\nExamples:\n")
    monkeypatch.setattr("click.Path.convert", lambda _, value, *__: value)
    for purpose, line in command.examples:
        assert f"  # {purpose}\n  {line}\n" in examples
        program, called, *arguments = shlex.split(line)
        assert program == "magento-pager"
        if "--help" not in arguments:
            all_commands()[called].make_context(called, arguments)


@pytest.mark.parametrize("name", all_commands())
def test_help_texts_are_sentences(name: str) -> None:
    """Each begins with a capital and ends with a full stop, before what is in brackets."""
    for parameter in COMMANDS[name].params:
        text = re.sub(r"( \[[^]]*\])+$", "", getattr(parameter, "help", "") or "")
        assert re.match(r"[A-Z]", text), parameter.name
        assert text.endswith("."), parameter.name


def test_lists_and_strategies_have_short_names_in_usage_lines(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Their values are in the help texts."""
    shown = help_of("dump", 80, monkeypatch, capfd)
    assert shown.startswith("Usage: magento-pager dump [OPTIONS] [LIST]\n")
    assert "--strategy STRATEGY" in shown
    assert "key-range" in shown
    assert "[default: auto]" in shown
    assert "[env: MAGENTO_URL]" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["orders"], "No such command 'orders'. Did you mean `magento-pager dump orders`?"),
        (["order", "--demo"], "No such command 'order'. Did you mean `magento-pager dump orders`?"),
        (["creditmemo"], "No such command 'creditmemo'. Did you mean `magento-pager dump creditmemos`?"),
        (["verfiy"], "No such command 'verfiy'. Did you mean `magento-pager verify`?"),
        (["xyz"], "No such command 'xyz'. Run `magento-pager --help` for the commands."),
        (["dump", "order"], "Invalid value for 'LIST': 'order' is not a list. Did you mean 'orders'?"),
        (["dump", "--url"], "Option '--url' requires an argument. See `magento-pager dump --help`."),
        (["plan", "orders", "x"], "Got unexpected extra argument (x). See `magento-pager plan --help`."),
    ],
)
def test_usage_errors_say_what_to_do(arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One line each."""
    assert run(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"magento-pager: {message}")
    assert err.count("\n") == 1


def test_what_is_missing_is_named_with_its_option_and_variable(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the order in which they are needed."""
    for name in ("MAGENTO_URL", "MAGENTO_API_USER", "MAGENTO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", None)
    for command in ("dump", "plan", "doctor"):
        assert run([command]) == 2
        assert capfd.readouterr().err == "magento-pager: No shop given. Set --url or MAGENTO_URL, or use --demo.\n"
    assert run(["dump", "--url", "http://127.0.0.1:1"]) == 2
    assert "No API user given. Set --user or MAGENTO_API_USER, or use --demo." in capfd.readouterr().err
    assert run(["dump", "--url", "http://127.0.0.1:1", "--user", "u"]) == 2
    assert "No API key given. Set --key or MAGENTO_API_KEY, or use --demo." in capfd.readouterr().err
