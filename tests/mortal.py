"""A process that runs dumps in children which die when they are told to: at a step that leaves a trace, or in a while.

Run as a script. It reads a request on each line of standard input and answers each with a line, both JSON:

- `arguments`: of the command line.
- `die_at`: the number of the step that kills the child, from 1 on: it dies before the step is done, or, where bytes are
  written, when half of them are. 0: none does.
- `die_after`: seconds after which the child is killed from outside; 0: it is not.
- `file_limit`: bytes that a file may have; 0: as many as there is room for.
- `rows_in_part`: rows after which a part of Parquet is whole; 0: as many as usual.
- `text_in_member`: bytes of text in a member of gzip; 0: as many as usual.

The answer holds `status`, the exit status or minus the number of the signal, `steps`, the number of steps begun, and
`said`, what the child said on standard error.

Children are forked, as to start Python for each would take longer than what it is to do.
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
"""What of `os` leaves a trace on a disk."""


def count_steps(counter: mmap.mmap, die_at: int) -> None:
    """Count each step, and let the one with that number kill this process."""

    def is_last() -> bool:
        number = int.from_bytes(counter[:8]) + 1
        counter[:8] = number.to_bytes(8)
        return number == die_at

    for name in STEPS:
        original = getattr(os, name)

        def step(*arguments: Any, original: Any = original, name: str = name, **options: Any) -> Any:
            if is_last():
                if name == "write":
                    original(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        setattr(os, name, step)
    connect = sqlite3.connect

    def connected(*arguments: Any, **options: Any) -> sqlite3.Connection:
        before = ""

        def statement(text: str) -> None:
            nonlocal before
            alike, before = text[:40] == before, text[:40]
            if not alike and is_last():  # the rows of a page are one step
                os.kill(os.getpid(), signal.SIGKILL)

        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(statement)
        return connection

    sqlite3.connect = connected  # type: ignore[assignment]  # called alike


def child(request: dict[str, Any], counter: mmap.mmap, said: int) -> None:
    """Do what is asked for, and end."""
    os.dup2(said, 2)
    if request.get("file_limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_limit"], resource.RLIM_INFINITY))
    parquet.ROWS_IN_PART = request.get("rows_in_part") or parquet.ROWS_IN_PART
    text.TEXT_IN_MEMBER = request.get("text_in_member") or text.TEXT_IN_MEMBER
    count_steps(counter, request.get("die_at", 0))
    os._exit(run(request["arguments"]))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Let a child do what is asked for, and say how it ended."""
    with mmap.mmap(-1, 8) as counter, tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            child(request, counter, said.fileno())
        if request.get("die_after"):
            time.sleep(request["die_after"])
            os.kill(pid, signal.SIGKILL)
        _, ended = os.waitpid(pid, 0)
        said.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(ended),
            "steps": int.from_bytes(counter[:8]),
            "said": said.read().decode(),
        }


if __name__ == "__main__":
    for given in sys.stdin:
        print(json.dumps(answer(json.loads(given))), flush=True)  # noqa: T201  this is how it answers
