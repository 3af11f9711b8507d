# SPDX-License-Identifier: BSD-2-Clause
"""What servers of other programs have in common: processes, directories and ports, none of which is
left when a context ends, and the feed (feed.c) that their data comes from."""

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
from log import Log
from place import BUILD, NOBODY, BenchError, Place

START_SECONDS = 20.0
TCP_LISTEN = "0A"  # in /proc/net/tcp


class Group:
    """A process and its descendants, which end with it: they are in a process group of their own."""

    def __init__(
        self,
        command: list[str],
        stdin: Union[int, IO[bytes]] = subprocess.DEVNULL,
        stdout: Optional[int] = None,
    ) -> None:
        self.name = Path(command[0]).name
        self.log = Log()
        self.root = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=self.log if stdout is None else stdout,
            stderr=self.log,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The first process of it."""
        return self.root.pid

    def output(self) -> str:
        """All that it said so far."""
        return self.log.text().strip()

    def ended(self) -> bool:
        """Whether the first process of it is gone. It is not reaped, so that its number stays its own."""
        if self.root.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def cpu_at_end(self) -> float:
        """Wait for the end of one without descendants. Return: the CPU time that it used, in seconds."""
        _, status, usage = os.wait4(self.pid, 0)
        self.root.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime + usage.ru_stime

    def kill(self) -> None:
        """End all of it. Nothing here has anything to save."""
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
    """A directory in memory, as far as there is one, that everyone may read. Its name tells whose it is."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix=f"dmacast-bench-{os.getpid()}-", dir=memory))
    try:
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def directory_of_nobody() -> Iterator[Path]:
    """The same, where a process of nobody may write."""
    with directory() as path:
        if os.geteuid() == 0:
            shutil.chown(path, *NOBODY)
        yield path


def free_port() -> int:
    """A port that nobody has. The kernel gives it to nobody soon who does not ask for it."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def _listens(pid: int, port: int) -> bool:
    """Whether someone listens there, in the network of that process."""
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == TCP_LISTEN and int(fields[1].split(":")[1], 16) == port:
            return True
    return False


def wait_until_listening(server: Group, port: int) -> None:
    """Back when it does; an error when it ends before."""
    end = time.monotonic() + START_SECONDS
    while not server.ended() and time.monotonic() < end:
        if _listens(server.pid, port):
            return
        time.sleep(0.005)
    raise BenchError(f"{server.name} does not start:\n{server.output()}")


def wait_for_output(server: Group, source: Group, text: str) -> None:
    """Back when the server says that; an error when it, or its source, ends before."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and not server.ended() and not source.ended():
        if text in server.output():
            return
        time.sleep(0.005)
    raise BenchError(f"{server.name} does not start:\n{source.output()}\n{server.output()}")


@contextmanager
def feed(cell: Cell, place: Place, arguments: list[str], stdout: Optional[int] = None) -> Iterator[Group]:
    """The feed, beside the clients: it is not to take the server's CPU."""
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
def pipe_of_feed(cell: Cell, place: Place, port: int) -> Iterator[int]:
    """The end of a pipe to read the feed from. It begins when all clients are connected to the port."""
    reader, writer = os.pipe()
    try:
        with feed(cell, place, ["--await", str(cell.clients), "--port", str(port)], stdout=writer):
            os.close(writer)
            writer = -1
            yield reader
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
