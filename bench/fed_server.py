# SPDX-License-Identifier: BSD-2-Clause
"""Parts common to servers of other programs: processes, directories and ports, all of which are removed
when a context ends, and the feed (feed.c) from which their data comes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Iterator, Optional, Union

from cell import Cell
from child import Child
from log import Log
from place import BUILD, NOBODY, BenchError, Place
from server import Running

START_SECONDS = 20.0
TCP_LISTEN = "0A"  # in /proc/net/tcp


def program_path() -> str:
    """Directories of programs, including /usr/sbin for nginx."""
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def program(name: str) -> str:
    """The path of a program, or its name if it is not installed."""
    return shutil.which(name, path=program_path()) or name


class Group:
    """A process and its descendants, in a process group of their own, which end with it."""

    def __init__(
        self,
        command: list[str],
        stdin: Union[int, IO[bytes]] = subprocess.DEVNULL,
        stdout: Optional[int] = None,
    ) -> None:
        self.name = Path(command[0]).name
        self.log = Log()
        self.root = Child(
            command,
            stdin=stdin,
            stdout=self.log if stdout is None else stdout,
            stderr=self.log,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id of the first process."""
        return self.root.pid

    def output(self) -> str:
        """The output until now."""
        return self.log.text().strip()

    def ended(self) -> bool:
        """Whether the first process has ended. It is not reaped, so that its id is not reused."""
        return self.root.has_ended()

    def cpu_at_end(self) -> float:
        """Wait for the end of a process without descendants. Return: its CPU time in seconds."""
        _, status, usage = os.wait4(self.pid, 0)
        self.root.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime + usage.ru_stime

    def kill(self) -> None:
        """Kill all processes; none has anything to save."""
        if self.root.returncode is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.root.wait()
        self.log.close()


@contextmanager
def group(
    command: list[str],
    stdin: Union[int, IO[bytes]] = subprocess.DEVNULL,
    stdout: Optional[int] = None,
) -> Iterator[Group]:
    """A group that ends with the context."""
    it = Group(command, stdin, stdout)
    try:
        yield it
    finally:
        it.kill()


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that everyone may read, in memory if possible. Its name has the process id."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix=f"dmacast-bench-{os.getpid()}-", dir=memory))
    try:
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def directory_of_nobody() -> Iterator[Path]:
    """A directory in which a process of the user nobody may write."""
    with directory() as path:
        if os.geteuid() == 0:
            shutil.chown(path, *NOBODY)
        yield path


def free_port() -> int:
    """An unused port. The kernel does not soon assign it to another process."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _listens(pid: int, port: int) -> bool:
    """Whether the port has a listener, in the network namespace of the process."""
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == TCP_LISTEN and int(fields[1].split(":")[1], 16) == port:
            return True
    return False


def wait_until_listening(server: Group, port: int) -> None:
    """Wait until the server listens; raise an error if it ends first."""
    end = time.monotonic() + START_SECONDS
    while not server.ended() and time.monotonic() < end:
        if _listens(server.pid, port):
            return
        time.sleep(0.005)
    raise BenchError(f"{server.name} does not start:\n{server.output()}")


def wait_for_output(server: Group, source: Group, text: str) -> None:
    """Wait for this output of the server; raise an error if it, or its source, ends first."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and not server.ended() and not source.ended():
        if text in server.output():
            return
        time.sleep(0.005)
    raise BenchError(f"{server.name} does not start:\n{source.output()}\n{server.output()}")


@contextmanager
def feed(cell: Cell, place: Place, arguments: list[str], stdout: Optional[int] = None) -> Iterator[Group]:
    """The feed, on the clients' CPU so that it does not use the server's."""
    command = [
        str(BUILD / "bench/feed"),
        "--repeat", str(cell.ring),
        "--write-size", str(cell.block),
        "--rate", cell.feed,
        *arguments,
    ]  # fmt: skip
    with group(place.client(command), stdout=stdout) as it:
        it.name = "feed"
        yield it


@contextmanager
def pipe_of_feed(cell: Cell, place: Place, port: int, connections: int = 0) -> Iterator[int]:
    """The read end of a pipe with the feed, which begins when the port has this number of connections, by
    default all clients'.
    """
    reader, writer = os.pipe()
    arguments = ["--await", str(connections or cell.clients), "--port", str(port)]
    try:
        with feed(cell, place, arguments, stdout=writer):
            os.close(writer)
            writer = -1
            yield reader
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


@contextmanager
def fed_on_stdin(
    name: str, command: list[str], cell: Cell, place: Place, port: int
) -> Iterator[Running]:
    """A server that reads the feed from its standard input."""
    with pipe_of_feed(cell, place, port) as source:
        with group(place.server(command), stdin=source) as server:
            server.name = name
            wait_until_listening(server, port)
            yield Running(server.pid, f"{place.host}:{port}")
