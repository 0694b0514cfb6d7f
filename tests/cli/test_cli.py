"""The command line, as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click
import pytest
from conftest import set_environment

import magento_pager
from magento_pager.cli import COMMANDS, all_commands, cli, run
from magento_pager.cli.ending import SignalHandler, StoppedError, stoppable
from magento_pager.cli.options import ShopOptions
from magento_pager.fake import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """Return a small shop."""
    with Shop(orders=300) as running:
        yield running


@pytest.fixture(autouse=True)
def known(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment to the shop."""
    set_environment(monkeypatch, shop, shop.base_url)


def process(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start the command in its own process."""
    command = [sys.executable, "-m", "magento_pager", *arguments]
    return subprocess.Popen(  # noqa: S603  our own command
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def one_line(text: str) -> str:
    """Return a message, which must be one line."""
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize("entity", ["orders", "invoices", "shipments", "creditmemos", "customers", "products"])
def test_dump_writes_every_row_and_a_report(shop: Shop, tmp_path: Path, entity: str) -> None:
    """Rows are NDJSON in order of id; the report counts them and says how they were checked."""
    out, report_path = tmp_path / "rows.ndjson", tmp_path / "report.json"
    assert run(["dump", entity, "--window", "100", "--out", str(out), "--report", str(report_path)]) == 0
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    report = json.loads(report_path.read_text(encoding="utf-8"))
    ids = sorted(shop.database.ids(entity))
    assert len(rows) == report["rows"] == len(ids)
    assert report["complete"] is True
    assert report["quarantined"] == []
    assert report["entity"] == entity
    assert report["calls"] > report["empty_calls"]
    assert report["bytes"] > 100 * len(ids)
    if entity == "shipments":
        assert (report["verified"], report["first_id"], report["last_id"]) == ("sampled", None, None)
    else:
        assert (report["verified"], report["first_id"], report["last_id"]) == ("ids", ids[0], ids[-1])
    left = {out.name, f"{out.name}.checkpoint", report_path.name}
    assert {path.name for path in tmp_path.iterdir()} == left, "no part file is"


def test_rows_go_to_standard_output_and_messages_to_standard_error(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Standard output holds rows and nothing else."""
    assert run(["dump"]) == 0
    out, err = capfdbinary.readouterr()
    assert [int(json.loads(line)["order_id"]) for line in out.splitlines()][:3] != []
    assert b"Exported 300 orders to standard output in " in err


def test_first_last_and_where(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """Bounds are inclusive, and conditions are ANDed."""
    ids = sorted(shop.database.ids("orders"))
    first, last = ids[10], ids[50]
    arguments = [
        "--first",
        str(first),
        "--last",
        str(last),
        "--where",
        "status:eq:complete",
        "--where",
        "store_id:eq:1",
    ]
    assert run(["dump", "orders", *arguments]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert rows
    assert all(first <= int(row["order_id"]) <= last for row in rows)
    assert {(row["status"], row["store_id"]) for row in rows} == {("complete", "1")}


def test_an_existing_file_is_not_touched(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An existing file stays unchanged without --overwrite."""
    out = tmp_path / "orders.ndjson"
    out.write_text("precious")
    assert run(["dump", "--out", str(out)]) == 2
    assert "replace it with --overwrite" in one_line(capfd.readouterr().err)
    assert out.read_text() == "precious"
    assert run(["dump", "--out", str(out), "--overwrite"]) == 0
    assert out.read_text().count("\n") == 300


def test_an_unfinished_output_does_not_get_its_name(tmp_path: Path) -> None:
    """The rows of a failed dump are in FILE.part, and the report says that the dump is not complete."""
    out, report_path = tmp_path / "orders.ndjson", tmp_path / "report.json"
    with Shop(orders=300, latency=0.1) as failing:
        arguments = ["--window", "5", "--out", str(out), "--report", str(report_path)]
        dumping = process("dump", *arguments, env={**os.environ, "MAGENTO_URL": failing.url})
        while not (tmp_path / "orders.ndjson.checkpoint").exists():  # until the first page is safe
            assert dumping.poll() is None
            time.sleep(0.05)
        failing.change(outage="firewall")
        _, err = dumping.communicate(timeout=60)
    assert dumping.returncode == 1
    assert "bot protection" in one_line(err)
    assert not out.exists()
    assert (tmp_path / "orders.ndjson.part").stat().st_size > 0
    report = json.loads(report_path.read_text())
    assert report["complete"] is False
    assert 0 < report["rows"] < 300
    assert "bot protection" in report["error"]


def test_without_a_command_the_help_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    """A script that forgot the command fails, with every version of click."""
    assert run([]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("Usage: magento-pager [OPTIONS] COMMAND [ARGS]...")


MISTAKES = [
    (["dmp"], 2, "Did you mean `magento-pager dump`?"),
    (["dump", "quotes"], 2, "'orders', 'invoices'"),
    (["dump", "--widow", "5"], 2, "--window"),
    (["dump", "--window", "0"], 2, "x>=1"),
    (["dump", "--demo", "--window", "5", "--rows-per-call", "9"], 2, "Use either"),
    (["dump", "--seconds-per-call", "0"], 2, "x>0"),
    (["dump", "--parallel", "0"], 2, "neither auto nor a number"),
    (["dump", "--parallel", "many"], 2, "neither auto nor a number"),
    (["dump", "--nice", "-1"], 2, "x>=0"),
    (["dump", "--strategy", "fastest"], 2, "'single-filter'"),
    (["dump", "--first", "10", "--last", "5"], 2, "above the last"),
    (["dump", "--where", "status"], 2, "FIELD:OP:VALUE"),
    (["dump", "--where", "status:equals:x"], 2, "would read it as '='"),
    (["dump", "--where", "entity_id:gt:5"], 2, "use first and last"),
    (["dump", "--where", "created_at:gteq:"], 2, "empty value"),
    (["dump", "--demo", "--where", "created_at:gteq:2024-01"], 2, "a whole date, such as 2024-01-05"),
    (["plan", "--demo", "--where", "updated_at:eq:01/05/2024"], 2, "a whole date, such as 2024-01-05"),
    (["plan", "--offline", "--strategy", "range", "--where", "created_at:to:now"], 2, "a whole date, such as"),
    (["dump", "--header", "nonsense"], 2, "NAME:VALUE"),
    (["dump", "--basic-auth", "nonsense"], 2, "USER:PASSWORD"),
    (["dump", "--overwrite"], 2, "--overwrite needs --out"),
    (["dump", "--profile", "1.7.0.2"], 2, "Add --demo"),
    (["dump", "--demo", "--profile", "1.2.3"], 2, "20.0.20"),
    (["dump", "--demo", "--profile", "1.4.1.1", "--flavour", "wsi"], 2, "speaks rpc"),
    (["dump", "--out", "/nonexistent/folder/rows.ndjson"], 1, "No such file or directory"),
    (["dump", "--url", "ftp://shop.example"], 2, "must begin with http"),
    (["dump", "--url", "http://shop.example/"], 2, "--insecure-http"),
    (["dump", "--url", "http://127.0.0.1:9/"], 1, "Connection refused"),
    (["dump", "--timeout", "0"], 2, "more than 0 seconds"),
    (["regexp", "5", "4"], 2, "above the last"),
    (["regexp", "five", "4"], 2, "not a valid integer"),
    (["serve", "--profile", "9.9"], 2, "20.0.20"),
]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    MISTAKES,
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_line_that_says_what_to_do(
    arguments: list[str], status: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A wrong command is one message on standard error and an exit status, without a traceback."""
    assert run(arguments) == status
    out, err = capfd.readouterr()
    assert out == ""
    assert words in one_line(err)


def test_without_a_shop_the_message_names_the_options(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The option, the variable and the demo."""
    monkeypatch.delenv("MAGENTO_URL")
    assert run(["dump"]) == 2
    assert one_line(capfd.readouterr().err) == (
        "magento-pager: No shop given. Set --url or MAGENTO_URL, or use --demo.\n"
    )


def test_a_wrong_key(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names both causes, and never the key."""
    monkeypatch.setenv("MAGENTO_API_KEY", "hunter2-wrong")
    assert run(["dump"]) == 1
    err = one_line(capfd.readouterr().err)
    assert "the user or key is wrong, or a right is missing" in err
    assert "hunter2" not in err


def test_the_key_from_a_file(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its first line is used, and not the environment; a file that other users can read causes a warning."""
    path = tmp_path / "key"
    path.write_text(f"{shop.key}\nsomething else\n")
    path.chmod(0o600)
    monkeypatch.setenv("MAGENTO_API_KEY", "another")
    dumping = ["dump", "--last", "5", "--key-file", str(path)]
    assert run(dumping) == 0
    assert "warning" not in capfd.readouterr().err
    path.chmod(0o644)
    assert run(dumping) == 0
    assert f"warning: other users of this machine can read {path}; run chmod 600 {path}" in capfd.readouterr().err
    assert run([*dumping, "--key", "k"]) == 2
    assert "Use either --key or --key-file, not both." in one_line(capfd.readouterr().err)
    path.write_text("\n")
    assert run(dumping) == 2
    assert "the first line of" in one_line(capfd.readouterr().err)


def test_the_key_on_the_command_line_is_warned_about(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """Every process of the machine can read the command line."""
    assert run(["dump", "--last", "5", "--key", shop.key]) == 0
    assert "warning: other users of this machine can read --key" in capfd.readouterr().err


def test_the_key_is_asked_for_on_a_terminal(shop: Shop) -> None:
    """The typed key is not shown; without a terminal, a message names the options instead."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "MAGENTO_API_KEY"}
    with process("dump", "--last", "5", env=environment, stdin=theirs, start_new_session=True) as dumping:
        os.close(theirs)
        assert dumping.stderr is not None
        prompt = dumping.stderr.read(len("API key: "))  # the terminal discards what is typed before that
        os.write(ours, shop.key.encode() + b"\n")
        out, err = dumping.communicate(timeout=60)
    seen = b""
    with suppress(OSError):  # so a terminal ends whose other side is closed
        while True:
            seen += os.read(ours, 1000)
    os.close(ours)
    assert dumping.returncode == 0, err
    assert out.count("\n") == sum(number <= 5 for number in shop.database.ids("orders"))
    assert prompt == "API key: "
    assert shop.key not in err + out + seen.decode()
    with process("dump", "--last", "5", env=environment, stdin=subprocess.DEVNULL) as dumping:
        _, err = dumping.communicate(timeout=60)
    assert (dumping.returncode, "Set --key or MAGENTO_API_KEY" in err) == (2, True)


def test_a_page_instead_of_a_shop(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """The message says that there is no API at the address."""
    assert run(["dump", "--url", shop.base_url + "somewhere/else/?wsdl=1"]) == 1
    assert "Check the shop's address" in one_line(capfd.readouterr().err)


def test_a_message_names_the_option_of_the_command_line(capfd: pytest.CaptureFixture[str]) -> None:
    """A refusal names the option to set, without its form in Python."""
    assert run(["dump", "--url", "http://shop.example/"]) == 2
    message = one_line(capfd.readouterr().err)
    assert message.endswith("Use https, or allow http with --insecure-http\n")
    assert "insecure_http" not in message


def test_regexp_prints_the_pattern(capfd: pytest.CaptureFixture[str]) -> None:
    """The pattern is that of `range_regexp`."""
    assert run(["regexp", "12345", "12444"]) == 0
    assert capfd.readouterr().out == magento_pager.range_regexp(12345, 12444) + "\n"
    assert run(["regexp", "12345", "12444", "--strict"]) == 0
    assert capfd.readouterr().out == magento_pager.range_regexp(12345, 12444, strict=True) + "\n"


def test_the_demo_needs_no_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first command of the README exports all orders of the embedded shop."""
    monkeypatch.delenv("MAGENTO_URL")
    out, report = tmp_path / "orders.ndjson", tmp_path / "report.json"
    assert run(["dump", "--demo", "--window", "100", "--out", str(out), "--report", str(report)]) == 0
    assert out.read_text(encoding="utf-8").count("\n") == 2000
    assert json.loads(report.read_text())["empty_calls"] <= 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_its_address_and_ends_by_a_signal(number: signal.Signals) -> None:
    """One line of JSON when ready; a signal ends it cleanly."""
    serving = process("serve", "--profile", "1.7.0.2", "--flavour", "wsi", "--orders", "20")
    assert serving.stdout is not None
    ready = json.loads(serving.stdout.readline())
    with magento_pager.connect(ready["url"], ready["user"], ready["key"]) as pager:
        assert len(list(pager.orders())) == 20
    serving.send_signal(number)
    out, err = serving.communicate(timeout=30)
    assert (serving.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_dump_ends_its_session(number: signal.Signals, status: int, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM leave a part file, end the session and give the shell's own exit status."""
    with Shop(orders=300, latency=0.2) as slow:
        environment = {**os.environ, "MAGENTO_URL": slow.url}
        dumping = process("dump", "--window", "5", "--out", str(tmp_path / "o.ndjson"), env=environment)
        while not (tmp_path / "o.ndjson.checkpoint").exists():  # until the first page is safe
            assert dumping.poll() is None
            time.sleep(0.05)
        dumping.send_signal(number)
        _, err = dumping.communicate(timeout=30)
        names = [call.operation for call in slow.log]
    assert dumping.returncode == status
    assert re.search(r"^Interrupted\. [0-9]+ orders are safe in .*\. Resume with: .* --resume$", one_line(err))
    assert "endSession" in names[-2:]  # the call that was given up may be answered after it
    assert not (tmp_path / "o.ndjson").exists()


def test_a_signal_waits_for_a_step_that_must_not_be_interrupted() -> None:
    """It stops the dump after the step; if nothing is left to stop then, it is discarded."""
    done = []

    def work(handler: SignalHandler) -> None:
        with handler.deferred(discard=True):
            os.kill(os.getpid(), signal.SIGINT)
            done.append("the last step")
        with handler.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("a step")
        done.append("never")

    with stoppable() as handler, pytest.raises(StoppedError) as stopped:
        work(handler)
    assert stopped.value.number == signal.SIGTERM
    assert done == ["the last step", "a step"]


def test_a_reader_that_closes_the_output_ends_the_dump_silently() -> None:
    """`dump | head -1` ends quietly with the shell's own exit status."""
    with Shop(orders=2000) as shop:
        dumping = process("dump", "--demo", env={**os.environ, "MAGENTO_URL": shop.url})
        assert dumping.stdout is not None
        dumping.stdout.readline()
        dumping.stdout.close()
        assert dumping.wait(timeout=60) == 141
        assert dumping.stderr is not None
        assert dumping.stderr.read() == ""
        dumping.stderr.close()


def commands() -> list[tuple[str, click.Command]]:
    """Return every command with its name."""
    return [("", cli), *all_commands().items()]


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_and_option_has_help(
    name: str, command: click.Command, capfd: pytest.CaptureFixture[str]
) -> None:
    """No command and no option lacks a help text."""
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.name}"
    assert run([*filter(None, [name]), "--help"]) == 0
    assert "Usage: magento-pager" in capfd.readouterr().out


def test_the_options_of_a_shop_do_not_show_its_key() -> None:
    """A traceback or a log may contain their repr."""
    given = {one.name: "hunter2" for one in fields(ShopOptions)}
    assert "hunter2" not in repr(ShopOptions(**given))  # type: ignore[arg-type]


def test_the_table_of_commands_repeats_their_first_sentences() -> None:
    """The help of the group is written without importing a command."""
    for name, command in all_commands().items():
        assert command.name == name
        assert (command.help or "").partition("\n\n")[0].replace("\n", " ") == COMMANDS[name][1]
