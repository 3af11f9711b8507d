# SPDX-License-Identifier: BSD-2-Clause
"""Servers that are measured: the common part, the daemon and the bare loop.

A server is started for one measurement and stopped after it. peers.py has the servers of other programs.
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, ContextManager, Iterator, Optional

from cell import HUGE, LOOPBACK, Cell
from child import Child
from log import Log
from place import BUILD, BenchError, Place

ZEROCOPY = "zerocopy"
COPY = "copy"
AUTO = "auto"
DAEMON = "dmacastd"
FRAMED = "dmacastd framed"  # with a header before each block
HTTP = "dmacastd http"  # the raw bytes after the head of an answer
BARE = "bareloop"
BARE_AGAIN = "bareloop again"  # the same server: shows the noise
YARDSTICKS = ("nginx", "iperf3")  # send data from memory, without a feed
FED = "input"  # mode of the daemon with the feed of other programs

START_SECONDS = 20.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    pid: int  # this process and its descendants count for CPU time
    address: str  # HOST:PORT
    memory: str = ""  # memory of its ring, as it reports it
    request: Optional[Path] = None  # a file that each client sends first
    connects: bool = False  # it connects to its clients, which listen at the address
    payload: Optional[Callable[[bytes], bytes]] = None  # extracts the feed from what a client receives


@dataclass(frozen=True)
class Measured:
    """The report of a program that is server and clients and measures itself. See sample.py."""

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
    measure: Optional[Callable[[Cell, Place, float], Measured]] = None  # instead of run, for a number of seconds
    single: bool = True  # a single process, so that SIGSTOP stops all of it: needed for time slices

    def __str__(self) -> str:
        return f"{self.name}:{self.mode}" if self.mode else self.name


class Process:
    """A server's process and its output."""

    def __init__(self, command: list[str]) -> None:
        self.name = Path(command[-1] if len(command) == 1 else command[0]).name
        self.log = Log()
        self.child = Child(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self.child.pid

    def output(self) -> str:
        """The output until now."""
        return self.log.text()

    def wait_for(self, expression: str) -> re.Match[str]:
        """Wait for output that matches the expression."""
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
        """End it, even if it is stopped. A bad exit status is an error."""
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
        """Kill it."""
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
    """The message for a ring that is not in huge pages."""
    return (
        f'the ring must be in huge pages, but is in "{memory}"; to fix it, use\n'
        "    echo madvise >/sys/kernel/mm/transparent_hugepage/enabled\n"
        "or vm.nr_hugepages (sysctl), or let bench/run do it while it runs, with "
        "--allow-huge-pages; without them: --pages small"
    )


def ring_memory(output: str, cell: Cell) -> str:
    """The memory of the server's ring; raise an error if it is not that of the cell."""
    match = re.search(r"((?:memfd|anonymous), .*)$", output, re.MULTILINE)
    memory = match[1] if match else ""
    of_huge = re.search(r" [MG]iB pages", memory)
    some = re.search(r"([0-9]+) MiB of it in transparent huge pages", memory)
    huge = bool(of_huge) or (some is not None and int(some[1]) << 20 == cell.ring)
    if cell.pages == HUGE and not huge:
        raise BenchError(huge_pages_are_missing(memory))
    if cell.pages != HUGE and (of_huge or some):
        raise BenchError(f'the ring must be in small pages, but is in "{memory}"')
    return memory


@contextmanager
def _listening(command: list[str], cell: Cell, place: Place) -> Iterator[Running]:
    with process(place.server(command)) as child:
        child.name = Path(command[0]).name
        address = child.wait_for(r"listening on (\S+:[0-9]+)$")[1]
        yield Running(child.pid, address, ring_memory(child.output(), cell))


def _common(cell: Cell, place: Place) -> list[str]:
    """Options common to the daemon and the bare loop."""
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


def _daemon_command(mode: str, cell: Cell, place: Place) -> list[str]:
    zerocopy = {ZEROCOPY: "always", COPY: "never", AUTO: "auto"}[mode]
    command = [str(BUILD / "dmacastd"), "--lag-policy", "block", "--zerocopy", zerocopy]
    return command + _common(cell, place)


def daemon(mode: str) -> Server:
    """dmacastd, configured so that no client loses a byte."""

    def run(cell: Cell, place: Place) -> ContextManager[Running]:
        return _listening(_daemon_command(mode, cell, place), cell, place)

    return Server(DAEMON, mode, run)


def framed(mode: str) -> Server:
    """dmacastd with framed clients, otherwise as daemon()."""

    def run(cell: Cell, place: Place) -> ContextManager[Running]:
        return _listening(_daemon_command(mode, cell, place) + ["--format", "framed"], cell, place)

    return Server(FRAMED, mode, run)


HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def http(mode: str) -> Server:
    """dmacastd with clients that ask for the feed by HTTP, otherwise as daemon()."""

    @contextmanager
    def run(cell: Cell, place: Place) -> Iterator[Running]:
        with tempfile.NamedTemporaryFile() as request:
            request.write(HTTP_REQUEST)
            request.flush()
            command = _daemon_command(mode, cell, place) + ["--format", "http"]
            with _listening(command, cell, place) as running:
                yield replace(running, request=Path(request.name))

    return Server(HTTP, mode, run)


def bare(mode: str, name: str = BARE) -> Server:
    """The bare loop."""

    def run(cell: Cell, place: Place) -> ContextManager[Running]:
        command = [str(BUILD / "bench/bareloop"), f"--{mode}"]
        return _listening(command + _common(cell, place), cell, place)

    return Server(name, mode, run)


def reference_mode(mode: str, transport: str) -> str:
    """The mode of the bare loop with which a mode of the daemon is compared.

    With "auto" the daemon must find the right mode by itself: copying on loopback.
    """
    if mode == AUTO:
        return COPY if transport == LOOPBACK else ZEROCOPY
    return mode
