"""Start-up time of `magento-pager`: from the command to its help, and to the first requests of a dump.

    python -m benchmarks.startup [ROUNDS [WSDL]]

A JSON line for each side: milliseconds of CPU and of wall time, medians of many rounds in which the sides take turns,
and its CPU over that of `python -c pass` and of `python -c "import requests"`. All sides use the same interpreter, with
cached bytecode. A dump is timed until it requests the WSDL, and until its first call, the login. The server replies
immediately, with the WSDL of our embedded shop or of a file: reading that of a live shop takes three times as long.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from statistics import median
from threading import Thread

from magento_pager.fake.profiles import profile
from magento_pager.fake.wsdl import wsdl

ROUNDS = 25
PYTHON, SCRIPT = sys.executable, str(Path(sys.executable).with_name("magento-pager"))
"""This Python, and the command installed next to it."""
SIDES = {
    "python": (PYTHON, "-c", "pass"),
    "requests": (PYTHON, "-c", "import requests"),
    "help": (SCRIPT, "--help"),
    "dump, to the WSDL": (SCRIPT, "dump", "orders"),
    "dump, to the login": (SCRIPT, "dump", "orders"),
}
ENDED_BY = {"dump, to the WSDL": "GET", "dump, to the login": "POST"}


class Requests(BaseHTTPRequestHandler):
    """Answers with the WSDL, until the request that ends the command."""

    server: Shop

    def do_GET(self) -> None:
        """Send the WSDL."""
        if not self.server.kill_at("GET"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.document)))
            self.end_headers()
            self.wfile.write(self.server.document)

    def do_POST(self) -> None:
        """Send no reply, because the client has been killed."""
        self.server.kill_at("POST")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Shop(HTTPServer):
    """A server for a dump: it has a WSDL, and kills the command at a request."""

    def __init__(self, document: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.url = f"http://127.0.0.1:{self.server_port}/"
        address = f'address location="{self.url}index.php/api/v2_soap/"'
        self.document = re.sub(rb'address location="[^"]*"', address.encode(), document)
        self.pid, self.ended_by, self.at = 0, "", 0.0

    def kill_at(self, method: str) -> bool:
        """Kill the command if this is the request to end it; return whether it is."""
        if method == self.ended_by:
            self.at = time.perf_counter()
            os.kill(self.pid, signal.SIGKILL)
        return method == self.ended_by

    def timed(self, side: str) -> tuple[float, float]:
        """Run a command; return the seconds of its CPU, user and system, and its wall time."""
        settings = {"MAGENTO_URL": self.url, "MAGENTO_API_USER": "demo", "MAGENTO_API_KEY": "demo-key"}
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        to_null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
        self.ended_by, self.at, began = ENDED_BY.get(side, ""), 0.0, time.perf_counter()
        self.pid = os.posix_spawn(SIDES[side][0], SIDES[side], environment | settings, file_actions=to_null)
        _, status, usage = os.wait4(self.pid, 0)
        ended = self.at or time.perf_counter()
        assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if self.ended_by else 0), side
        return usage.ru_utime + usage.ru_stime, ended - began


@dataclass
class Times:
    """Seconds of a side, by round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def measured(document: bytes, rounds: int) -> dict[str, Times]:
    """Return the times of each side, without the first round, which compiles bytecode."""
    times = {side: Times() for side in SIDES}
    with Shop(document) as shop:
        Thread(target=shop.serve_forever, daemon=True).start()
        for number in range(rounds + 1):
            for side, side_times in times.items():
                cpu, wall = shop.timed(side)
                if number:
                    side_times.cpu.append(cpu)
                    side_times.wall.append(wall)
        shop.shutdown()
    return times


def main(arguments: list[str]) -> int:
    """Print the figures."""
    rounds = int(arguments[0]) if arguments else ROUNDS
    document = Path(arguments[1]).read_bytes() if arguments[1:] else wsdl(profile("20.0.20"), "rpc", "")
    times = measured(document, rounds)
    cpu = {side: median(side_times.cpu) for side, side_times in times.items()}
    for side, side_times in times.items():
        figures = {"cpu_ms": round(cpu[side] * 1e3, 1), "wall_ms": round(median(side_times.wall) * 1e3, 1)}
        ratios = {f"of_{peer}": round(cpu[side] / cpu[peer], 2) for peer in ("python", "requests")}
        print(json.dumps({"benchmark": "startup", "side": side, **figures, **ratios}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
