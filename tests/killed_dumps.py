"""A process that runs dumps in children and kills them on request: at a step that changes the disk, or after a time.

Run as a script. It reads one JSON request from each line of standard input and answers with a line of JSON:

- `arguments`: of the command line.
- `die_at`: number of the step that kills the child, from 1 on: it dies before the step is done or, if the step writes
  bytes, after half of them. 0: never.
- `die_after`: seconds after which the child is killed from outside. 0: never.
- `file_limit`: maximum size of a file in bytes. 0: no limit.
- `rows_in_part`: rows after which a part of Parquet is complete. 0: the default.
- `text_in_member`: bytes of text in a member of gzip. 0: the default.

The answer holds `status`, the exit status or minus the number of the signal, `steps`, the number of steps begun, and
`stderr`, the child's standard error.

Children are forked, because to start Python for each would take longer than the dump.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import suppress
from typing import Any

import magento_pager.export.dumping
import magento_pager.pager  # noqa: F401  imported once, before all children
from magento_pager.cli import run
from magento_pager.export import parquet, text
from magento_pager.export.arrow import arrow

with suppress(ValueError):  # the tests of Parquet say that it is missing
    arrow()

STEPS = ("open", "write", "fsync", "replace", "unlink", "ftruncate", "mkdir", "rmdir")
"""Functions of `os` that change the disk."""


def count_steps(counter: mmap.mmap, die_at: int) -> None:
    """Count each step, and kill this process at the step with that number."""

    def is_last_step() -> bool:
        number = int.from_bytes(counter[:8]) + 1
        counter[:8] = number.to_bytes(8)
        return number == die_at

    for name in STEPS:
        original = getattr(os, name)

        def step(*arguments: Any, original: Any = original, name: str = name, **options: Any) -> Any:
            if is_last_step():
                if name == "write":
                    original(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        setattr(os, name, step)
    connect = sqlite3.connect

    def connect_and_trace(*arguments: Any, **options: Any) -> sqlite3.Connection:
        previous = ""

        def statement(text: str) -> None:
            nonlocal previous
            is_same, previous = text[:40] == previous, text[:40]
            if not is_same and is_last_step():  # the inserts of a page count as one step
                os.kill(os.getpid(), signal.SIGKILL)

        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(statement)
        return connection

    sqlite3.connect = connect_and_trace  # type: ignore[assignment]  # same arguments


def child(request: dict[str, Any], counter: mmap.mmap, stderr: int) -> None:
    """Run the command line of the request, and exit."""
    os.dup2(stderr, 2)
    if request.get("file_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"], resource.RLIM_INFINITY))
    parquet.ROWS_IN_PART = request.get("rows_in_part") or parquet.ROWS_IN_PART
    text.TEXT_IN_MEMBER = request.get("text_in_member") or text.TEXT_IN_MEMBER
    count_steps(counter, request.get("die_at", 0))
    os._exit(run(request["arguments"]))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run a request in a child, and return its outcome."""
    with mmap.mmap(-1, 8) as counter, tempfile.TemporaryFile() as stderr:
        pid = os.fork()
        if pid == 0:
            child(request, counter, stderr.fileno())
        if request.get("die_after"):
            time.sleep(request["die_after"])
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        stderr.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(status),
            "steps": int.from_bytes(counter[:8]),
            "stderr": stderr.read().decode(),
        }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)  # noqa: T201  the protocol of this script
