# SPDX-License-Identifier: BSD-2-Clause
"""Servers that are measured: what one is, and the daemon and the bare loop as such.

A server is started for one measurement and stopped after it. peers.py has those of other programs.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, ContextManager, Iterator, Optional

from cell import HUGE, LOOPBACK, Cell
from log import Log
from place import BUILD, BenchError, Place

ZEROCOPY = "zerocopy"
COPY = "copy"
AUTO = "auto"
DAEMON = "dmacastd"
BARE = "bareloop"
BARE_AGAIN = "bareloop again"  # the same: how far apart are two that do not differ?
YARDSTICKS = ("nginx", "iperf3")  # send what is in memory already, and have no feed
FED = "input"  # the mode of a daemon that has the feed of other programs

START_SECONDS = 20.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    pid: int  # CPU time is that of this process and its descendants
    address: str  # HOST:PORT
    memory: str = ""  # what its ring is in, in its own words
    request: Optional[Path] = None  # a file that each client sends first


@dataclass(frozen=True)
class Measured:
    """What a program says that is server and clients, and measures itself. See sample.py."""

    seconds: float
    bytes: int
    client_min: float
    client_median: float
    client_max: float
    server_cpu: float
    client_cpu: float


@dataclass(frozen=True)
class Server:
    """Something to measure. run() starts it, and stops it when the context is left."""

    name: str
    mode: str
    run: Optional[Callable[[Cell, Place], ContextManager[Running]]]
    measure: Optional[Callable[[Cell, Place, float], Measured]] = None  # instead, for so many seconds
    single: bool = True  # one process, whose CPU time and stop (SIGSTOP) are those of all of it: time slices are for such

    def __str__(self) -> str:
        return f"{self.name}:{self.mode}" if self.mode else self.name


class Process:
    """A server's process, and what it says."""

    def __init__(self, command: list[str]) -> None:
        self.name = Path(command[-1] if len(command) == 1 else command[0]).name
        self.log = Log()
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.pid

    def output(self) -> str:
        """All that it said so far."""
        return self.log.text()

    def wait_for(self, expression: str) -> re.Match[str]:
        """Wait until it says something like that."""
        end = time.monotonic() + START_SECONDS
        while True:
            ended = self.child.poll() is not None
            match = re.search(expression, self.output(), re.MULTILINE)
            if match:
                return match
            if ended or time.monotonic() > end:
                raise BenchError(f"{self.name} does not start:\n{self.output()}")
            time.sleep(0.003)

    def stop(self) -> None:
        """End it, stopped or not. One that did not end well is an error."""
        self.child.send_signal(signal.SIGTERM)
        self.child.send_signal(signal.SIGCONT)
        try:
            status = self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BenchError(f"{self.name} did not stop:\n{self.output()}") from None
        if status not in (0, -signal.SIGTERM):
            raise BenchError(f"{self.name} ended with status {status}:\n{self.output()}")

    def kill(self) -> None:
        """End it, without asking."""
        self.child.kill()
        self.child.wait()


@contextmanager
def process(command: list[str]) -> Iterator[Process]:
    """A process that ends with the context."""
    child = Process(command)
    try:
        yield child
        child.stop()
    finally:
        if child.child.returncode is None:
            child.kill()
        child.log.close()


def huge_pages_are_missing(memory: str) -> str:
    """What to say about a ring that was to be in huge pages."""
    return (
        f'the ring is to be in huge pages, but is in "{memory}"; mend it by\n'
        "    echo madvise >/sys/kernel/mm/transparent_hugepage/enabled\n"
        "or vm.nr_hugepages (sysctl), or let bench/run do it for the time it runs, by "
        "--allow-huge-pages; without them: --pages small"
    )


def ring_memory(output: str, cell: Cell) -> str:
    """What memory the server got, of which a cell of huge pages wants all to be huge."""
    match = re.search(r"((?:memfd|anonymous), .*)$", output, re.MULTILINE)
    memory = match[1] if match else ""
    of_huge = re.search(r" [MG]iB pages", memory)
    some = re.search(r"([0-9]+) MiB of it in transparent huge pages", memory)
    huge = bool(of_huge) or (some is not None and int(some[1]) << 20 == cell.ring)
    if cell.pages == HUGE and not huge:
        raise BenchError(huge_pages_are_missing(memory))
    if cell.pages != HUGE and (of_huge or some):
        raise BenchError(f'the ring is to be in small pages, but is in "{memory}"')
    return memory


@contextmanager
def _listening(command: list[str], cell: Cell, place: Place) -> Iterator[Running]:
    with process(place.server(command)) as child:
        child.name = Path(command[0]).name
        address = child.wait_for(r"listening on (\S+:[0-9]+)$")[1]
        yield Running(child.pid, address, ring_memory(child.output(), cell))


def _common(cell: Cell, place: Place) -> list[str]:
    """What the daemon and the bare loop are both told."""
    options = {
        "--listen": f"{place.host}:0",
        "--hold": str(cell.clients),
        "--block-size": str(cell.block),
        "--ring-size": str(cell.ring),
        "--pattern": cell.feed,
        "--pattern-form": cell.form,
        "--huge-pages": "auto" if cell.pages == HUGE else "never",
    }
    if cell.send_buffer:
        options["--send-buffer"] = str(cell.send_buffer)
    return [word for option in options.items() for word in option]


def daemon(mode: str) -> Server:
    """dmacastd, none of whose clients may lose a byte."""
    zerocopy = {ZEROCOPY: "always", COPY: "never", AUTO: "auto"}[mode]

    def run(cell: Cell, place: Place) -> ContextManager[Running]:
        command = [str(BUILD / "dmacastd"), "--lag-policy", "block", "--zerocopy", zerocopy]
        return _listening(command + _common(cell, place), cell, place)

    return Server(DAEMON, mode, run)


def bare(mode: str, name: str = BARE) -> Server:
    """The bare loop."""

    def run(cell: Cell, place: Place) -> ContextManager[Running]:
        command = [str(BUILD / "bench/bareloop"), f"--{mode}"]
        return _listening(command + _common(cell, place), cell, place)

    return Server(name, mode, run)


def measure_of(mode: str, transport: str) -> str:
    """The bare loop's mode that is the measure of a daemon's.

    With "auto" the daemon is to find out by itself what is right: on loopback, copying.
    """
    if mode == AUTO:
        return COPY if transport == LOOPBACK else ZEROCOPY
    return mode
