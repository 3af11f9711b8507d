# SPDX-License-Identifier: BSD-2-Clause
"""Places where servers and clients run: CPUs and network."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterator

from cell import LOOPBACK, NULL

HERE = Path(__file__).parent
BUILD = Path(os.environ.get("BUILD", "build"))

# User and group of processes that must not run as root.
NOBODY = ("nobody", "nogroup")


class BenchError(Exception):
    """An error that a user can fix: printed without a traceback."""


def _dies_with_us(command: list[str], as_nobody: bool = False) -> list[str]:
    """Wrap a command so that it ends with this process, even if that is killed."""
    user = []
    if as_nobody and os.geteuid() == 0:
        user = ["--reuid", NOBODY[0], "--regid", NOBODY[1], "--clear-groups"]
    return ["setpriv", *user, "--pdeathsig", "KILL", "--", *command]


@dataclass(frozen=True)
class Place:
    """Prefixes of the commands of servers and clients; each ends in exec(). All processes that are
    started in this way end with this process.
    """

    transport: str
    host: str  # address at which servers listen
    server_prefix: tuple[str, ...]
    client_prefix: tuple[str, ...]
    others: tuple[Place, ...] = ()  # equal places, if servers measured at the same time need one each

    def server(self, command: list[str], as_nobody: bool = False) -> list[str]:
        """The command of a server in this place. It keeps its process id."""
        return [*self.server_prefix, *_dies_with_us(command, as_nobody)]

    def client(self, command: list[str]) -> list[str]:
        """The command of clients in this place."""
        return [*self.client_prefix, *_dies_with_us(command)]

    def of(self, number: int) -> Place:
        """The place of the server with this number, from 0, of several at the same time."""
        return self.others[number - 1] if self.others and number else self


def pins(pinned: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Prefixes that pin the server to one CPU and its clients to another.

    On the same CPU they exchange memory in its cache, which is fast but not representative.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if not pinned or len(cpus) < 2:
        return (), ()
    return ("taskset", "-c", str(cpus[0])), ("taskset", "-c", str(cpus[1]))


# The machine's own network, with its settings, on any CPU.
OWN_LOOPBACK = Place(LOOPBACK, "127.0.0.1", (), ())


@contextmanager
def _namespace() -> Iterator[tuple[str, ...]]:
    """A network namespace made by nullnet: the prefix that enters it. It ends with the process that holds it."""
    holder = subprocess.Popen(
        [HERE / "nullnet", "sh", "-c", "echo ready; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert holder.stdin and holder.stdout and holder.stderr
    try:
        if holder.stdout.readline() != b"ready\n":
            raise BenchError(f"bench/nullnet: {holder.stderr.read().decode().strip()}")
        yield "nsenter", f"--net=/proc/{holder.pid}/ns/net"
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
        holder.stderr.close()


@contextmanager
def loopback(pinned: bool, _: int) -> Iterator[Place]:
    """Loopback of a namespace with the null peer's settings, or the machine's own if there can be none."""
    server, client = pins(pinned)
    with ExitStack() as stack:
        enter: tuple[str, ...] = ()
        try:
            enter = stack.enter_context(_namespace())
        except BenchError as error:
            print(f"{error}: loopback is the machine's own, with its settings", file=sys.stderr)
        yield Place(LOOPBACK, OWN_LOOPBACK.host, enter + server, enter + client)


def null_needs() -> None:
    """Raise an error if a requirement of the null peer is missing."""
    if os.geteuid() != 0:
        raise BenchError(
            "the null peer needs root, for a network namespace and a BPF program; without it: "
            "--transports loopback"
        )
    if not os.access(BUILD / "bench/nullpeer", os.X_OK):
        raise BenchError(
            f"no {BUILD}/bench/nullpeer: make bench-programs builds it if clang and libbpf-dev "
            "are installed; without it: --transports loopback"
        )


@contextmanager
def null(pinned: bool, count: int) -> Iterator[Place]:
    """The wires of the null peer, one for each server measured at the same time."""
    null_needs()
    server, client = pins(pinned)
    with ExitStack() as stack:
        wires = []
        for _ in range(count):
            enter = stack.enter_context(_namespace())
            wires.append(Place(NULL, "10.78.0.1", enter + server, enter + client))
        yield replace(wires[0], others=tuple(wires[1:]))


PLACES = {LOOPBACK: loopback, NULL: null}
