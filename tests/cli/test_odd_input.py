"""Odd input of every kind: a command ends with a status and a message of one line, never with a traceback.

Options, files and headers are drawn by a seed. The quick tier draws a few, the slow tier many.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import click
import pytest
from chaos_proxy import ChaosProxy
from conftest import set_environment, slow_after

from magento_pager.cli import all_commands, run
from magento_pager.cli.ending import StoppedError
from magento_pager.fake import Shop
from magento_pager.fake.control import execute

if TYPE_CHECKING:
    from collections.abc import Iterator

Command: TypeAlias = Callable[..., int]
"""Runs a command against a small shop, and checks its exit status and its messages."""

SEEDS = slow_after(1, range(12))
DRAWN = 40  # in each test of a seed

NUMBERS = ["0", "-1", "1", "1_0", "+5", " 5", "5 ", "07", "0x10", "0.5", ".5", "5.", "1e3", "1e-400", "1e400"]
NUMBERS += ["nan", "inf", "-inf", "9" * 400, "9" * 5000, "4294967296", "18446744073709551616", "\uff11\uff12", "\u0663"]
TEXTS = [
    "",
    " ",
    "a" * 5000,
    "\x00",
    "a\x00b",
    "\x1b[31m",
    "\n",
    "a\nb",
    "\ud800",
    "\udcff",
    "\u00e9",
    "\U0001f642",
    "%s{}",
]
TEXTS += ["{time}", "{", ":", "a:", "a:b:c", "true", "None", "auto", "100%", "0%", "--", "-"]
TIMES = ["2024-02-30", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00", "2024-01-01T00:00:00+24:00"]
TIMES += ["999999w", "0s", "created_at:gteq:2024-01", "created_at:in:,", "updated_at:lt:9999-99-99 99:99:99"]
PLACES = ["/", ".", "..", "/dev/null", "/dev/full", "/proc/nonexistent/x", "https://", "http://[", "http://a b/"]
PLACES += ["http://x:99999/", "http://x:port/", "//", "ftp://x", "http://127.0.0.1:1/", "mysql://a:b@c:d/e", "mysql://"]
ODD = [*NUMBERS, *TEXTS, *TIMES, *PLACES]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run commands in a folder of their own, with a shop of ten orders in the environment."""

    def stop(_: float) -> None:
        raise StoppedError(signal.SIGTERM)

    def command(*arguments: str) -> int:
        capfd.readouterr()
        status = run(list(arguments))
        printed = capfd.readouterr().err
        assert status in {0, 1, 2, 3}, (arguments, printed)
        assert "Traceback" not in printed, (arguments, printed)
        errors = [line for line in printed.splitlines() if line.startswith("magento-pager: ")]
        differing = status == 1 and arguments[0] in {"verify", "doctor"}
        assert len(errors) == (status in {1, 2}) or (differing and not errors), (arguments, printed)
        if errors:
            assert printed.endswith(errors[0] + "\n"), (arguments, printed)
            assert errors[0].isprintable(), (arguments, printed)
        return status

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("magento_pager.cli.serving.time", SimpleNamespace(sleep=stop))
    with Shop(orders=10) as shop:
        set_environment(monkeypatch, shop)
        yield command


def values() -> list[tuple[str, click.Parameter]]:
    """Return every parameter that takes a value, with its command."""
    commands = all_commands().items()
    return [(name, one) for name, command in commands for one in command.params if not getattr(one, "is_flag", False)]


USUAL = {"dump": ["orders", "--last", "5"], "plan": ["orders"], "verify": ["rows.ndjson", "orders"], "doctor": []}
USUAL |= {"serve": ["--orders", "1"], "regexp": ["0", "5"]}
SLOW_BY_DESIGN = {("nice", "1e3"), ("orders", "4294967296"), ("wait", "1e3"), ("wait", "4294967296")}


@pytest.mark.parametrize("seed", SEEDS)
def test_odd_values_of_options(ended: Command, seed: int) -> None:
    """Numbers, texts, times and paths that no option of that kind expects."""
    chance = random.Random(seed)  # noqa: S311  no secret
    assert ended("dump", *USUAL["dump"], "--out", "rows.ndjson") == 0
    for name, parameter in chance.sample(values(), DRAWN):
        value = chance.choice(ODD)
        if (parameter.name, value) in SLOW_BY_DESIGN:
            continue
        if isinstance(parameter, click.Option):
            ended(name, *USUAL[name], f"{parameter.opts[0]}={value}")
        else:
            ended(name, value, *USUAL[name][1:])


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["dump", "plan", "verify", "doctor", "serve", "regexp"])
@pytest.mark.parametrize("value", ["nan", "inf", "1_0", "\uff11\uff12", "1e400", "9" * 400, "-1", "1e3x"])
def test_numbers_are_in_plain_digits(ended: Command, name: str, value: str) -> None:
    """No option accepts one of these as a number, except that ids of `regexp` may be large."""
    ended("dump", *USUAL["dump"], "--out", "rows.ndjson")
    for command, parameter in values():
        kinds = (click.types.IntParamType, click.types.FloatParamType)
        if command == name and isinstance(parameter.type, kinds) and isinstance(parameter, click.Option):
            assert ended(name, *USUAL[name], f"{parameter.opts[0]}={value}") == 2, parameter.name


BYTES = [b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf{}", b"{", b"[[", b"[" * 100_000, b'{"a":' * 100_000, b"null", b"NaN"]
BYTES += [b"1e999", b"9" * 5000, b'"x', b"{}{}", b"{}\n{}", b"\x1f\x8b", gzip.compress(b"{}")[:-3], b"PAR1", b"\n"]
BYTES += [b"SQLite format 3\0", b"SQLite format 3\0" + bytes(500), b"a,b\n1\n", b'a,b\n"', b"order_id\n1,2,3\n"]
BYTES += [b'{"order_id":[]}\n', b'{"order_id":"5"}\n5\n', b'{"order_id":"1","updated_at":5}\n', b"[]\n"]
VALUES: list[Any] = [None, True, 0, -1, 1.5, 1e308, float("inf"), float("nan"), 10**400, 1 << 63, "", "x", "3_6"]
VALUES += ["\ud800", "a\x00b", "\n", "2024-05-01T10:00:00", "9999-12-31T23:59:59-23:00", [], {}, [1], {"a": 1}, [[]]]


def spoilt(document: Any, chance: random.Random) -> Any:
    """Return a document in which one value is replaced or removed."""
    document = copy.deepcopy(document)
    places: list[tuple[Any, Any]] = []

    def look(part: Any) -> None:
        for key in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
            places.append((part, key))
            look(part[key])

    look(document)
    part, key = chance.choice(places)
    if chance.random() < 0.2:
        del part[key]
    else:
        part[key] = copy.deepcopy(chance.choice(VALUES))
    return document


def spoilt_bytes(data: bytes, chance: random.Random) -> bytes:
    """Return bytes of which some are changed or removed."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(found) + 1)
        found[at : at + chance.choice([0, 1, 1, 20, len(found)])] = chance.randbytes(chance.choice([0, 1, 1, 3]))
    return bytes(found)


def odd_files(chance: random.Random, usual: bytes) -> Iterator[bytes]:
    """Yield contents of a file that no reader expects."""
    for _ in range(DRAWN // 2):
        kind = chance.randrange(4)
        if kind == 0:
            yield chance.choice(BYTES)
        elif kind == 1:
            yield spoilt_bytes(usual, chance)
        else:
            yield json.dumps(spoilt(json.loads(usual), chance)).encode()


ROWS = {
    "orders": {"columns": ["entity_id", "status", "grand_total"], "rows": [[1, "new", 5.5], [2, None, None]]},
    "customers": {"columns": ["entity_id", "email"], "rows": [[1, "a@b.example"]]},
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["rows", "report", "state", "key"])
def test_odd_files(ended: Command, kind: str, seed: int) -> None:
    """Rows to serve, the report of a dump, the state of the last run, and a key."""
    chance = random.Random(seed)  # noqa: S311  no secret
    path = Path("file")
    odd, usual = {
        "rows": (partial(ended, "serve", "--rows", "file"), json.dumps(ROWS)),
        "report": (partial(ended, "verify", "rows.ndjson", "orders", "--report", "file"), None),
        "state": (partial(ended, "dump", *USUAL["dump"], "--out", "rows.db", "--state", "file"), None),
        "key": (partial(ended, "dump", *USUAL["dump"], "--key-file", "file"), '["a key"]'),
    }[kind]
    if kind == "report":
        ended("dump", *USUAL["dump"], "--out", "rows.ndjson", "--report", "file")
    elif kind == "state":
        odd()
    content = path.read_bytes() if usual is None else usual.encode()
    for data in odd_files(chance, content):
        path.write_bytes(data)
        odd()


@pytest.mark.parametrize("row", [[[1], "new"], [{"a": 1}, "new"], [1, ["new"]], [1, {"a": 1}], ["x", "new"], [1]])
def test_rows_to_serve_hold_values(row: list[Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The message names the list and the row."""
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"orders": {"columns": ["entity_id", "status"], "rows": [row]}}))
    assert run(["serve", "--rows", str(path)]) == 1
    assert "rows.json: orders: row 0" in capfd.readouterr().err


@pytest.mark.parametrize("ending", ["ndjson", "csv", "db", "ndjson.gz"])
@pytest.mark.parametrize("seed", SEEDS)
def test_odd_outputs(ended: Command, ending: str, seed: int) -> None:
    """The output to verify was changed, or is something else."""
    chance = random.Random(seed)  # noqa: S311  no secret
    path = Path(f"rows.{ending}")
    ended("dump", *USUAL["dump"], "--out", str(path))
    usual = path.read_bytes()
    for _ in range(DRAWN // 4):
        path.write_bytes(spoilt_bytes(usual, chance) if chance.random() < 0.7 else chance.choice(BYTES))
        ended("verify", str(path), *chance.choice([["orders"], []]))


DATES = [
    "Wed, 01 May 2024 10:00:00",
    "Wed, 01 May 2024 10:00:00 -0000",
    "Fri, 31 Dec 9999 23:59:59 -2300",
    "",
    "x",
    ",",
]
DATES += ["Mon, 01 Jan 0001 00:00:00 +2300", "Wed, 01 May 2024 10:00:00 +9999", "Wed, 32 May 2024 10:00:00 GMT", "-1"]
DATES += ["Wed, 01 May 99999 10:00:00 GMT", "2024-05-01T10:00:00Z", "9" * 400, "\xff", "nan", "1 1 1 1 1 1 1"]
HEADERS = [("Date", one) for one in DATES] + [("Retry-After", one) for one in DATES]
HEADERS += [("Content-Type", one) for one in ("", "x", "text/xml; charset=utf-99", 'text/xml; charset="')]
HEADERS += [("Content-Encoding", one) for one in ("", "gzip", "br", "gzip, gzip", "x")]
HEADERS += [("Location", one) for one in ("", "/", "http://[", "javascript:x")] + [("X", "a" * 60_000), ("Server", "")]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.usefixtures("hurried")
def test_odd_headers(ended: Command, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Headers of every reply, including those with the WSDL."""
    chance = random.Random(seed)  # noqa: S311  no secret
    commands = [[*USUAL["dump"], "--state", "state", "--out", "rows.db"], [*USUAL["dump"], "--since", "2h"]]
    commands = [["dump", *one] for one in commands] + [["plan"], ["doctor"]]
    with Shop(orders=10) as shop, ChaosProxy(shop) as proxy:
        monkeypatch.setenv("MAGENTO_URL", proxy.url)
        for name, value in chance.sample(HEADERS, DRAWN // 8):
            proxy.headers = {name: value}
            proxy.choose = lambda called: "503 later" if called and chance.random() < 0.02 else None
            ended(*chance.choice(commands), "--timeout", "2")


@pytest.mark.parametrize("seed", SEEDS)
def test_odd_lines_to_a_running_shop(seed: int) -> None:
    """Each gets a reply, and the shop keeps running."""
    chance = random.Random(seed)  # noqa: S311  no secret
    lines: list[Any] = [
        {"insert": ["orders", {"entity_id": 5, "status": "new"}]},
        {"update": ["orders", 3, {"status": "closed", "billing_firstname": "A"}]},
        {"delete": ["orders", 5]},
        {"profile": ["20.0.20", "wsi"]},
        {"knobs": {"latency": 0.0, "gzip": True, "clock": "2024-05-01 12:00:00"}},
    ]
    with Shop(orders=10) as shop:
        for _ in range(DRAWN):
            line = json.dumps(spoilt(chance.choice(lines), chance))
            assert execute(shop, line).keys() in ({"ok"}, {"error"}), line
        assert execute(shop, "[" * 100_000).keys() == {"error"}
