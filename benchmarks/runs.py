"""What the benchmarks of whole runs share: an embedded shop in a process of its own, and commands whose cost is known.

Linux counts the memory of the process that starts a command as the command's own. So a command is started by this very
file, run by a Python of its own, which is small because it imports nothing of the project.
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
"""Seconds that each call and each order cost a live OpenMage 20.0.20, about."""
OURS = (sys.executable, "-m", "magento_pager")


@dataclass(frozen=True, slots=True)
class Run:
    """What a command cost.

    Attributes:
        wall: seconds.
        cpu: seconds, user's and system's together.
        peak: bytes of memory at most.
        said: what it printed on standard output.
    """

    wall: float
    cpu: float
    peak: int
    said: str


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    r"""Run a command to its end.

    Args:
        command: and its arguments.
        environment: variables that it gets besides ours.

    Raises:
        RuntimeError: it failed.

    >>> run = measured([sys.executable, "-c", "print(5)"])
    >>> run.said, 0 < run.cpu, run.peak > 1_000_000
    ('5\n', True, True)
    """
    process = subprocess.run(
        [sys.executable, "-I", "-S", __file__, *command],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    complaint, _, last = process.stderr.rstrip("\n").rpartition("\n")
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {complaint[-2000:]}")
    return Run(**json.loads(last), said=process.stdout)


def measure(command: Sequence[str]) -> int:
    """Run a command, say on standard error what it cost, and give its exit status."""
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], list(command), os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    # The line break parts it from what the command said.
    cost = {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss * 1024}
    print(f"\n{json.dumps(cost)}", file=sys.stderr)
    return os.waitstatus_to_exitcode(status)


@dataclass(frozen=True, slots=True)
class Served:
    """An embedded shop that runs elsewhere.

    Attributes:
        url: where calls go.
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
        """The variables that lead our command line to it."""
        return {"MAGENTO_URL": self.url, "MAGENTO_API_USER": self.user, "MAGENTO_API_KEY": self.key}

    def obey(self, **command: Any) -> Any:
        """Have it carry out one command of `serve --control`, and give what came of it.

        Raises:
            RuntimeError: it refused.
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
        taken: list[dict[str, Any]] = self.obey(log=True)
        return taken

    def dump(self, out: Path, *options: str) -> Run:
        """Have our command line write every order to a file."""
        return measured((*OURS, "dump", "--out", str(out), "--overwrite", *options), self.environment)


@contextmanager
def serving(orders: int, *options: str) -> Iterator[Served]:
    """An embedded shop with so many orders, ended when the block is left.

    Args:
        orders: how many; the other lists follow.
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
    """Return the next line of JSON that the shop says."""
    assert stream is not None
    text = stream.readline()
    if not text:
        raise RuntimeError("the embedded shop ended")
    answer: dict[str, Any] = json.loads(text)
    return answer


if __name__ == "__main__":
    sys.exit(measure(sys.argv[1:]))
