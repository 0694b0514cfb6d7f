"""Helpers for benchmarks of whole runs: an embedded shop in another process, and commands whose cost is measured.

Linux counts the memory of the process that starts a command as the command's own. So a command is started by this file,
run by another Python, which is small because it imports nothing of the project.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

CALL, ROW = 0.040, 0.00024
"""Approximate seconds of each call, and of each order in it, on a live OpenMage 20.0.20."""
OURS = (sys.executable, "-m", "magento_pager")


@dataclass(frozen=True, slots=True)
class Run:
    """The cost of a command.

    Attributes:
        wall: wall time in seconds.
        cpu: CPU time in seconds, user and system.
        peak: peak memory in bytes.
        stdout: its standard output.
    """

    wall: float
    cpu: float
    peak: int
    stdout: str


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    r"""Run a command to its end.

    Args:
        command: the command and its arguments.
        environment: additional environment variables.

    Raises:
        RuntimeError: it failed.

    >>> run = measured([sys.executable, "-c", "print(5)"])
    >>> run.stdout, 0 < run.cpu, run.peak > 1_000_000
    ('5\n', True, True)
    """
    process = subprocess.run(
        [sys.executable, "-I", "-S", __file__, *command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    message, _, last = process.stderr.rstrip("\n").rpartition("\n")
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {message[-2000:]}")
    return Run(**json.loads(last), stdout=process.stdout)


def measure(command: Sequence[str]) -> int:
    """Run a command, print its cost on standard error, and return its exit status."""
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], list(command), os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    # The line break separates the cost from the output of the command.
    cost = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024}
    print(f"\n{json.dumps(cost)}", file=sys.stderr)
    return os.waitstatus_to_exitcode(status)


@dataclass(frozen=True, slots=True)
class Served:
    """An embedded shop in another process.

    Attributes:
        url: the address for calls.
        user: the API user.
        key: its key.
        process: the shop.
    """

    url: str
    user: str
    key: str
    process: subprocess.Popen[str]

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of our command line for this shop."""
        return {"MAGENTO_URL": self.url, "MAGENTO_API_USER": self.user, "MAGENTO_API_KEY": self.key}

    def command(self, **command: Any) -> Any:
        """Send one command of `serve --control`, and return its result.

        Raises:
            RuntimeError: the shop refused it.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = _line(self.process.stdout)
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer["ok"]

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls answered since the last time, see `fake.api.Call`."""
        calls: list[dict[str, Any]] = self.command(log=True)
        return calls

    def dump(self, out: Path, *options: str) -> Run:
        """Dump every order to a file by our command line."""
        return measured((*OURS, "dump", "--out", str(out), "--overwrite", *options), self.environment)


@contextmanager
def serving(orders: int, *options: str) -> Iterator[Served]:
    """Run an embedded shop with that many orders until the end of the block.

    Args:
        orders: their number; the other lists are in proportion.
        options: further ones of `serve`.
    """
    command = [*OURS, "serve", "--control", "--wsdl-cache", "--orders", str(orders), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = _line(process.stdout)
            yield Served(ready["url"], ready["user"], ready["key"], process)
        finally:
            process.terminate()


def _line(stream: IO[str] | None) -> dict[str, Any]:
    """Return the next line of JSON from the shop."""
    assert stream is not None
    text = stream.readline()
    if not text:
        raise RuntimeError("the embedded shop ended")
    answer: dict[str, Any] = json.loads(text)
    return answer


if __name__ == "__main__":
    sys.exit(measure(sys.argv[1:]))
