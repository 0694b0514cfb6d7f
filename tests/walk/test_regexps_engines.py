"""Every engine that Magento's databases ever matched with reads our patterns alike.

MariaDB (PCRE2) over a column of integers, ICU (MySQL from 8.0.4), PCRE2 itself, Henry Spencer's library in LLVM's
version (a near relative of MySQL's to 5.7) and glibc's. Each is asked which of the same ids the same patterns match,
and has to agree with comparing integers.
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
    """Return an engine that is a Python module."""
    try:
        return importlib.import_module(module)
    except ImportError:
        missing(f"the Python package {module} is not installed")


@cache
def ids() -> tuple[int, ...]:
    """Ids of every length, many of them small, many beside another."""
    chooser = random.Random(1)  # noqa: S311 - no secret
    anywhere = [chooser.randrange(10 ** chooser.randrange(1, 10)) for _ in range(250)] + [MAX_ID, 10**9, 10**9 - 1]
    near = [one + chooser.randrange(-150, 150) for one in chooser.choices(anywhere, k=150)]
    return tuple(sorted({one for one in [*range(120), *range(980, 1020), *anywhere, *near] if 0 <= one <= MAX_ID}))


@cache
def patterns() -> tuple[tuple[str, Summary], ...]:
    """Patterns of ranges, open ones too, and of sets, and what each has to match; every third is strict."""
    chooser = random.Random(2)  # noqa: S311 - no secret
    found = []
    for number in range(3000):
        one, other = sorted(chooser.choices(ids(), k=2))
        first, last = max(0, one + chooser.randrange(-1, 2)), other + chooser.randrange(2)
        strict = number % 3 == 0
        if number % 10 == 9:
            canary = chooser.choice(ids())
            few = chooser.choices(ids(), k=chooser.randrange(8))
            window = IdRange(first, first + chooser.randrange(200))
            wanted = {subject for subject in ids() if subject in window or subject == canary or subject in few}
            found.append((ids_regexp([window, canary, *few], strict=strict), (len(wanted), sum(wanted))))
        else:
            end = None if number % 10 == 8 else max(first, last)
            wanted = {subject for subject in ids() if first <= subject and (end is None or subject <= end)}
            found.append((range_regexp(first, end, strict=strict), (len(wanted), sum(wanted))))
    return tuple(found)


def disagreements(summaries: list[Summary]) -> list[tuple[str, Summary, Summary]]:
    """Return the patterns that an engine read differently."""
    return [
        (pattern, wanted, found)
        for (pattern, wanted), found in zip(patterns(), summaries, strict=True)
        if wanted != found
    ]


def summed(matched: list[int]) -> Summary:
    """Return what is compared of the ids that a pattern matched."""
    return len(matched), sum(matched)


def test_icu() -> None:
    """MySQL from 8.0.4 matches with ICU."""
    icu = installed("icu")
    subjects = [(one, icu.UnicodeString(str(one))) for one in ids()]

    def matched(pattern: str) -> list[int]:
        matcher = icu.RegexPattern.compile(pattern, 0).matcher(icu.UnicodeString(""))
        return [one for one, subject in subjects if matcher.reset(subject).find()]

    assert disagreements([summed(matched(pattern)) for pattern, _ in patterns()]) == []


def test_pcre2() -> None:
    """MariaDB matches with PCRE2."""
    pcre2 = installed("pcre2")
    subjects = [(one, str(one)) for one in ids()]

    def matched(pattern: str) -> list[int]:
        compiled = pcre2.compile(pattern)
        return [one for one, subject in subjects if compiled.search(subject)]

    assert disagreements([summed(matched(pattern)) for pattern, _ in patterns()]) == []


@pytest.mark.slow
def test_glibc(tmp_path: Path) -> None:
    """Glibc's extended regular expressions of glibc, by way of grep."""
    grep = shutil.which("grep") or missing("grep is not installed")
    subjects = tmp_path / "ids"
    subjects.write_text("".join(f"{one}\n" for one in ids()))

    def matched(pattern: str) -> list[int]:
        done = subprocess.run([grep, "-E", pattern, subjects], capture_output=True, check=False, env={"LC_ALL": "C"})  # noqa: S603
        assert done.returncode in {0, 1}, done.stderr
        return list(map(int, done.stdout.split()))

    assert disagreements([summed(matched(pattern)) for pattern, _ in patterns()]) == []


@pytest.mark.slow
def test_henry_spencer(tmp_path: Path) -> None:
    """LLVM's descendant of Henry Spencer's library, with which MySQL matched up to 5.7."""
    compiler = shutil.which("c++") or missing("a C++ compiler is not installed")
    config = shutil.which("llvm-config") or shutil.which("llvm-config-14") or missing("llvm-config is not installed")
    flags = run([config, "--cxxflags", "--ldflags", "--libs", "support", "--system-libs"]).split()
    run([compiler, str(LLVM_SOURCE), "-o", str(tmp_path / "matches"), *flags])
    (tmp_path / "ids").write_text("".join(f"{one}\n" for one in ids()))
    (tmp_path / "patterns").write_text("".join(f"{pattern}\n" for pattern, _ in patterns()))
    lines = run([str(tmp_path / name) for name in ("matches", "ids", "patterns")]).splitlines()
    assert [line for line in lines if line.startswith("invalid")] == []
    assert disagreements([(int(count), int(total)) for count, total in map(str.split, lines)]) == []


@pytest.fixture(scope="module")
def mariadb() -> Iterator[list[str]]:
    """Start a MariaDB in a temporary folder, reached only on its socket; yield the command of its client."""
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
    rows = ",".join(f"({one})" for one in ids())
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
