"""Every regexp engine of Magento's databases reads our patterns alike.

MariaDB (PCRE2) over a column of integers, ICU (MySQL from 8.0.4), PCRE2 itself, Henry Spencer's library in LLVM's
version (close to that of MySQL up to 5.7) and glibc's. Each matches the same patterns against the same ids, and must
agree with comparing integers.
"""

from __future__ import annotations

import importlib
import os
import random
import shutil
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import missing

from magento_pager.walk.ranges import IdRange
from magento_pager.walk.regexps import ids_regexp, range_regexp

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engines
MAX_ID = 4_294_967_295
LLVM_SOURCE = Path(__file__).parent / "engines" / "llvm_regex.cpp"

Summary = tuple[int, int]
"""How many ids match a pattern, and their sum."""


def installed(module: str) -> Any:
    """Import an engine that is a Python module."""
    try:
        return importlib.import_module(module)
    except ImportError:
        missing(f"the Python package {module} is not installed")


@cache
def ids() -> tuple[int, ...]:
    """Return ids of every length, many of them small, many next to another."""
    chooser = random.Random(1)  # noqa: S311 - no secret
    anywhere = [chooser.randrange(10 ** chooser.randrange(1, 10)) for _ in range(250)] + [MAX_ID, 10**9, 10**9 - 1]
    near = [number + chooser.randrange(-150, 150) for number in chooser.choices(anywhere, k=150)]
    return tuple(
        sorted({number for number in [*range(120), *range(980, 1020), *anywhere, *near] if 0 <= number <= MAX_ID})
    )


@cache
def patterns() -> tuple[tuple[str, Summary], ...]:
    """Return patterns of ranges, open ones too, and of sets, with what each must match; every third is strict."""
    chooser = random.Random(2)  # noqa: S311 - no secret
    made = []
    for number in range(3000):
        low, high = sorted(chooser.choices(ids(), k=2))
        first, last = max(0, low + chooser.randrange(-1, 2)), high + chooser.randrange(2)
        strict = number % 3 == 0
        if number % 10 == 9:
            canary = chooser.choice(ids())
            few = chooser.choices(ids(), k=chooser.randrange(8))
            window = IdRange(first, first + chooser.randrange(200))
            expected = {subject for subject in ids() if subject in window or subject == canary or subject in few}
            made.append((ids_regexp([window, canary, *few], strict=strict), (len(expected), sum(expected))))
        else:
            end = None if number % 10 == 8 else max(first, last)
            expected = {subject for subject in ids() if first <= subject and (end is None or subject <= end)}
            made.append((range_regexp(first, end, strict=strict), (len(expected), sum(expected))))
    return tuple(made)


def disagreements(summaries: list[Summary]) -> list[tuple[str, Summary, Summary]]:
    """Return the patterns that an engine read differently."""
    return [
        (pattern, expected, found)
        for (pattern, expected), found in zip(patterns(), summaries, strict=True)
        if expected != found
    ]


def summed(matched: list[int]) -> Summary:
    """Return a summary of the ids that a pattern matched, for comparison."""
    return len(matched), sum(matched)


def test_icu() -> None:
    """MySQL from 8.0.4 matches with ICU."""
    icu = installed("icu")
    subjects = [(number, icu.UnicodeString(str(number))) for number in ids()]

    def matched(pattern: str) -> list[int]:
        matcher = icu.RegexPattern.compile(pattern, 0).matcher(icu.UnicodeString(""))
        return [number for number, subject in subjects if matcher.reset(subject).find()]

    assert disagreements([summed(matched(pattern)) for pattern, _ in patterns()]) == []


def test_pcre2() -> None:
    """MariaDB matches with PCRE2."""
    pcre2 = installed("pcre2")
    subjects = [(number, str(number)) for number in ids()]

    def matched(pattern: str) -> list[int]:
        compiled = pcre2.compile(pattern)
        return [number for number, subject in subjects if compiled.search(subject)]

    assert disagreements([summed(matched(pattern)) for pattern, _ in patterns()]) == []


@pytest.mark.slow
def test_glibc(tmp_path: Path) -> None:
    """Glibc matches extended regular expressions, here through grep."""
    grep = shutil.which("grep") or missing("grep is not installed")
    subjects = tmp_path / "ids"
    subjects.write_text("".join(f"{number}\n" for number in ids()))

    def matched(pattern: str) -> list[int]:
        done = subprocess.run([grep, "-E", pattern, subjects], capture_output=True, check=False, env={"LC_ALL": "C"})  # noqa: S603
        assert done.returncode in {0, 1}, done.stderr
        return list(map(int, done.stdout.split()))

    assert disagreements([summed(matched(pattern)) for pattern, _ in patterns()]) == []


@pytest.mark.slow
def test_henry_spencer(tmp_path: Path) -> None:
    """LLVM has a descendant of Henry Spencer's library, which MySQL used up to 5.7."""
    compiler = shutil.which("c++") or missing("a C++ compiler is not installed")
    config = shutil.which("llvm-config") or shutil.which("llvm-config-14") or missing("llvm-config is not installed")
    flags = run([config, "--cxxflags", "--ldflags", "--libs", "support", "--system-libs"]).split()
    run([compiler, str(LLVM_SOURCE), "-o", str(tmp_path / "matches"), *flags])
    (tmp_path / "ids").write_text("".join(f"{number}\n" for number in ids()))
    (tmp_path / "patterns").write_text("".join(f"{pattern}\n" for pattern, _ in patterns()))
    lines = run([str(tmp_path / name) for name in ("matches", "ids", "patterns")]).splitlines()
    assert [line for line in lines if line.startswith("invalid")] == []
    assert disagreements([(int(count), int(total)) for count, total in map(str.split, lines)]) == []


@pytest.fixture(scope="module")
def mariadb() -> Iterator[list[str]]:
    """Start a MariaDB in a temporary folder, on a socket only; yield the command of its client."""
    names = ("mariadbd", "mariadb-install-db", "mariadb")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    server, install, client = (shutil.which(name, path=path) or missing(f"{name} is not installed") for name in names)
    # The path of a socket must be short, so this is not pytest's folder.
    with tempfile.TemporaryDirectory(prefix="db") as folder:
        common = ["--no-defaults", f"--datadir={folder}/data", *(["--user=root"] if os.geteuid() == 0 else [])]
        run([install, *common, "--auth-root-authentication-method=normal"])
        command = [client, "--no-defaults", f"--socket={folder}/s", "--user=root", "--batch", "--skip-column-names"]
        running = subprocess.Popen(  # noqa: S603 - the server found above
            [server, *common, f"--socket={folder}/s", "--skip-networking", f"--pid-file={folder}/pid"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(300):
                if not subprocess.run([*command, "-e", "SELECT 1"], capture_output=True, check=False).returncode:  # noqa: S603 - the client found above
                    break
                assert running.poll() is None, "mariadbd ended while it started"
                time.sleep(0.1)
            yield command
        finally:
            running.terminate()
            running.wait(60)


def run(command: list[str], text: str = "") -> str:
    """Return what a program prints for a text on its standard input."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603 - engines only
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mariadb(mariadb: list[str]) -> None:
    """MariaDB's own REGEXP over a column INT UNSIGNED, as in a shop."""
    rows = ",".join(f"({number})" for number in ids())
    statements = [
        "CREATE DATABASE shop; USE shop; CREATE TABLE orders (entity_id INT UNSIGNED PRIMARY KEY);",
        f"INSERT INTO orders VALUES {rows};",  # noqa: S608 - integers
        *(
            f"SELECT COUNT(*), COALESCE(SUM(entity_id), 0) FROM orders WHERE entity_id REGEXP '{pattern}';"  # noqa: S608 - digits and brackets
            for pattern, _ in patterns()
        ),
    ]
    lines = run(mariadb, "\n".join(statements)).splitlines()
    assert disagreements([(int(count), int(total)) for count, total in map(str.split, lines)]) == []
