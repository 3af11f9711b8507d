# SPDX-License-Identifier: BSD-2-Clause
"""The plan of a run: which servers are compared in which cells, in what order.

Each round goes through all cells, so that a machine that becomes slower affects all alike, and an interrupted
run has equally many samples of each. Within a cell the servers of a group are measured at the same time, in time
slices, or one directly after the other, as are servers with several processes. The order changes with the round.
It matters, because a server gets the memory that its predecessor has freed: an even number of rounds is fair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterator

from cell import HUGE, LOOPBACK, NULL, SMALL, Cell
from measurement import Way
from peers import FED_DAEMON, FED_PEERS, PEERS, iperf3, iperf3_obstacle
from server import (
    AUTO, BARE_AGAIN, COPY, YARDSTICKS, ZEROCOPY, Server, bare, daemon, framed, http, reference_mode,
)  # fmt: skip

# The cell in which the bare loop is measured twice.
CONTROL_CLIENTS, CONTROL_BLOCK = 8, 256 << 10

LATENCY_CLIENTS = 8
LATENCY_RATE = 100  # MiB/s
LATENCY_SECONDS = 1.2
LATENCY_BLOCKS = 300  # minimum, for the 99th percentile

FORMAT_BLOCK = 256 << 10
FORMAT_CLIENTS = 64  # maximum

PEER_BLOCK = 256 << 10
PEER_SECONDS = 0.3  # some are slow, and send in bursts


FED_CLIENTS = 64  # maximum
FED_RATE = "100M/s"
FED_SECONDS = 1.0  # as fast as it goes: nats-server holds its publisher up for 0.1 s at a time, or more
FED_WARMUP = 0.3
FED_PACED_SECONDS = 1.5
STALLED_OF = 8  # clients, one of which never reads


@dataclass(frozen=True)
class Contest:
    """A cell, and the servers that are compared in it; those of a group are measured together."""

    cell: Cell
    groups: tuple[tuple[Server, ...], ...]
    way: Way

    def batches(self, number: int) -> list[tuple[Server, ...]]:
        """The servers that are measured at the same time, in the order of the round with this number."""
        groups = _rotate(self.groups, number // 2)
        if self.way.slice:
            return [batch for group in groups for batch in _batches(_turned(group, number))]
        return [(server,) for group in groups for server in _rotate(group, number)]

    def servers(self) -> list[Server]:
        """All servers."""
        return [server for group in self.groups for server in group]

    def seconds(self) -> float:
        """The estimated duration of a round in seconds."""
        around = 0.04 + 0.0002 * self.cell.clients + (0.02 if self.cell.transport == NULL else 0)
        if self.cell.part in ("peers", "fed"):
            around += 0.1 + 0.001 * self.cell.clients  # they start and accept slowly
        return sum(
            around + (max(1, self.way.seconds) if server.measure else self.way.seconds_of(self.cell))
            for server in self.servers()
        )


def _batches(group: tuple[Server, ...]) -> list[tuple[Server, ...]]:
    """Servers that can share the machine in time slices, together; the others, one after the other."""
    together = tuple(server for server in group if server.single)
    alone = [(server,) for server in group if not server.single]
    return [together, *alone] if group[0].single else [*alone, together]


def _turned(items: tuple, number: int) -> tuple:
    """Rotate the order, and reverse it in every other round."""
    items = _rotate(items, number // 2)
    return items[::-1] if number % 2 else items


def _rotate(items: tuple, by: int) -> tuple:
    by %= len(items)
    return items[by:] + items[:by]


@dataclass(frozen=True)
class Choice:
    """The requested part of the matrix."""

    transports: list[str]
    pages: list[str]
    clients: list[int]
    blocks: list[int]
    modes: list[str]
    ring: int
    form: str
    send_buffer: int
    sparse: bool = False  # only the cells of one row and one column

    def cells(self) -> Iterator[Cell]:
        """The cells of the matrix."""
        for transport in self.transports:
            for pages in self.pages:
                for block in self.blocks:
                    for clients in self.clients:
                        if self.sparse and CONTROL_CLIENTS != clients and CONTROL_BLOCK != block:
                            continue
                        yield Cell(
                            "matrix", transport, pages, clients, block, self.ring,
                            form=self.form, send_buffer=self.send_buffer,
                        )  # fmt: skip


def _groups(cell: Cell, modes: list[str]) -> tuple[tuple[Server, ...], ...]:
    groups = []
    for bare_mode in (ZEROCOPY, COPY):
        daemons = [daemon(mode) for mode in modes if reference_mode(mode, cell.transport) == bare_mode]
        if not daemons:
            continue
        group = [bare(bare_mode), *daemons]
        if (cell.clients, cell.block, cell.pages) == (CONTROL_CLIENTS, CONTROL_BLOCK, SMALL):
            group.append(bare(bare_mode, BARE_AGAIN))
        groups.append(tuple(group))
    # On loopback a zero-copy server leaves memory in small pieces, which costs copying ones a quarter more CPU time.
    return tuple(groups) if cell.transport == LOOPBACK else (sum(groups, ()),)


def matrix(choice: Choice, way: Way) -> list[Contest]:
    """The daemon beside the bare loop, each as fast as it can."""
    return [Contest(cell, _groups(cell, choice.modes), way) for cell in choice.cells()]


def formats(choice: Choice, way: Way) -> list[Contest]:
    """The daemon with framed and with HTTP clients beside the daemon with raw ones."""
    contests = []
    for cell in choice.cells():
        if cell.block != FORMAT_BLOCK or cell.clients > FORMAT_CLIENTS:
            continue
        if HUGE in choice.pages and cell.pages != HUGE:
            continue
        if choice.sparse and cell.clients != CONTROL_CLIENTS:
            continue
        sets = [(daemon(mode), framed(mode), http(mode)) for mode in choice.modes]
        # On loopback zero-copy and copying are apart, as in the matrix.
        groups = tuple(sets) if cell.transport == LOOPBACK else (sum(sets, ()),)
        contests.append(Contest(replace(cell, part="formats"), groups, way))
    return contests


def latency(choice: Choice, way: Way) -> list[Contest]:
    """A paced feed on loopback: the time from a full block to the arrival of its last byte."""
    contests = []
    for block in choice.blocks:
        if choice.sparse and block != CONTROL_BLOCK:
            continue
        cell = Cell(
            "latency", LOOPBACK, SMALL, LATENCY_CLIENTS, block, choice.ring, f"{LATENCY_RATE}M/s",
            choice.form, choice.send_buffer,
        )  # fmt: skip
        groups = tuple((bare(mode), daemon(mode)) for mode in choice.modes if mode != AUTO)
        seconds = max(way.seconds, LATENCY_SECONDS, LATENCY_BLOCKS * block / (LATENCY_RATE << 20))
        contests.append(Contest(cell, groups, replace(way, seconds=seconds, slice=0)))
    return contests


def _peer_servers(cell: Cell) -> Iterator[tuple[Server, str]]:
    """Servers of other programs, each with the reason why it cannot run in the cell, or an empty text."""
    for peer in PEERS:
        yield peer.server, peer.obstacle(cell)
    yield Server("iperf3", "", None, iperf3, single=False), iperf3_obstacle(cell)


def peers(choice: Choice, way: Way) -> tuple[list[Contest], list[str]]:
    """Other programs. Those with a feed are compared with the daemon with the same feed, those that send
    data from memory with the daemon with a resident pattern. Return: also what is left out, and why.
    """
    way = replace(way, seconds=max(way.seconds, PEER_SECONDS))
    contests = []
    left_out: dict[tuple[Server, str, str], list[str]] = {}
    for transport in choice.transports:
        for clients in [CONTROL_CLIENTS] if choice.sparse else choice.clients:
            cell = Cell("peers", transport, SMALL, clients, PEER_BLOCK, choice.ring, form=choice.form)
            fed, yardsticks = [FED_DAEMON], [daemon(AUTO)]
            for server, obstacle in _peer_servers(cell):
                if obstacle:
                    left_out.setdefault((server, transport, obstacle), []).append(str(clients))
                else:
                    (yardsticks if server.name in YARDSTICKS else fed).append(server)
            groups = tuple(tuple(group) for group in (fed, yardsticks) if len(group) > 1)
            if groups:
                contests.append(Contest(cell, groups, way))
    return contests, [
        f"{server} on {transport}, clients {', '.join(counts)}: {obstacle}"
        for (server, transport, obstacle), counts in left_out.items()
    ]


def _fed_cells(choice: Choice) -> Iterator[Cell]:
    def cell(clients: int, feed: str, stalled: int = 0) -> Cell:
        return Cell(
            "fed", LOOPBACK, SMALL, clients, PEER_BLOCK, choice.ring, feed, choice.form, stalled=stalled
        )

    counts = [clients for clients in choice.clients if clients <= FED_CLIENTS]
    for feed in ("max", FED_RATE):
        yield from (cell(clients, feed) for clients in counts)
    yield cell(STALLED_OF, FED_RATE, 1)


def fed(choice: Choice, way: Way) -> tuple[list[Contest], list[str]]:
    """Programs that send one feed to many clients, with the same queue, beside the daemon with the same feed:
    as fast as it goes, at a rate, and with a client that never reads. They are measured one after the other,
    because a paced feed cannot be stopped. Return: also what is left out, and why.
    """
    contests, left_out = [], []
    for cell in _fed_cells(choice):
        seconds = FED_PACED_SECONDS if cell.paced else FED_SECONDS
        obstacles = [(peer, peer.obstacle(cell)) for peer in FED_PEERS]
        servers = [FED_DAEMON, *(peer.server for peer, obstacle in obstacles if not obstacle)]
        left_out += [f"{peer.server} in {cell}: {obstacle}" for peer, obstacle in obstacles if obstacle]
        if len(servers) > 1:
            warmup = max(way.warmup, FED_WARMUP)
            its_way = replace(way, seconds=max(way.seconds, seconds), warmup=warmup, slice=0)
            contests.append(Contest(cell, (tuple(servers),), its_way))
    return contests, left_out


def rounds(contests: list[Contest], count: int) -> Iterator[tuple[int, Contest, tuple[Server, ...]]]:
    """All measurements in their order; rounds count from 1."""
    for number in range(count):
        for contest in contests:
            for servers in contest.batches(number):
                yield number + 1, contest, servers


def max_together(contests: list[Contest]) -> int:
    """The maximum number of servers measured at the same time."""
    return max((len(batch) for contest in contests for batch in contest.batches(0)), default=1)


def describe(contests: list[Contest], count: int) -> str:
    """The plan as text: a line for each part, and the total."""
    lines = []
    total = 0
    for part in dict.fromkeys(contest.cell.part for contest in contests):
        mine = [contest for contest in contests if contest.cell.part == part]
        number = sum(len(contest.servers()) for contest in mine) * count
        seconds = sum(contest.seconds() for contest in mine) * count
        way = mine[0].way
        lengths = " or ".join(f"{length:g}" for length in sorted({contest.way.seconds for contest in mine}))
        total += seconds
        slices = f" in slices of {way.slice * 1000:g} ms" if way.slice else ""
        lines.append(
            f"{part}: {len(mine)} cells, {number} measurements of {lengths} s{slices}"
            f" after {way.warmup:g} s and more: about {format_time(seconds)}"
        )
    lines.append(f"{count} rounds: about {format_time(total)}, and more where measurements are repeated")
    return "\n".join(lines)


def format_time(seconds: float) -> str:
    """A time as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


