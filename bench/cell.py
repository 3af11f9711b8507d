# SPDX-License-Identifier: BSD-2-Clause
"""A cell of the matrix: the conditions under which servers are compared."""

from __future__ import annotations

import re
from dataclasses import dataclass

LOOPBACK = "loopback"
NULL = "null"  # imaginary clients, see nullpeer.c
SMALL = "small"  # a ring in pages of 4 KiB
HUGE = "huge"  # a ring in huge pages

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text: str) -> int:
    """The number of bytes of a size such as 256K."""
    match = re.fullmatch(r"([1-9][0-9]*)([KMG]?)", text)
    if not match:
        raise ValueError(f"{text}: expected a size such as 256K")
    return int(match[1]) * _UNITS[match[2]]


def format_size(size: int) -> str:
    """The shortest text that parse_size() reads as this size."""
    for unit in "GMK":
        if size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def format_clients(count: int) -> str:
    """A number of clients, as text."""
    return "1 client" if count == 1 else f"{count} clients"


def describe(transport: str, clients: int, block: int, pages: str) -> str:
    """A cell, as text."""
    huge = ", huge pages" if pages == HUGE else ""
    return f"{transport}, {format_clients(clients)}, {format_size(block)}{huge}"


@dataclass(frozen=True)
class Cell:
    """The properties common to compared servers. Ratios are taken only within a cell."""

    part: str  # part of the benchmark: matrix, formats, latency, peers, fed
    transport: str
    pages: str
    clients: int
    block: int  # bytes
    ring: int  # bytes
    feed: str = "max"  # or the rate of a paced feed, such as 100M/s
    form: str = "resident"  # form of the pattern: dmacastd --pattern-form
    send_buffer: int = 0  # SO_SNDBUF in bytes, 0: the kernel's default
    stalled: int = 0  # clients that never read

    @property
    def paced(self) -> bool:
        """Whether the feed has a rate, so that latency is measured."""
        return self.feed != "max"

    def __str__(self) -> str:
        where = describe(self.transport, self.clients, self.block, self.pages)
        where += f", {self.feed}" if self.paced else ""
        return f"{where}, {self.stalled} stalled" if self.stalled else where
