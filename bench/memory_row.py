# SPDX-License-Identifier: BSD-2-Clause
"""The table of bench/memory, as CSV."""

from __future__ import annotations

import csv
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from place import HERE, BenchError
from sample import NOTICE

COLUMNS = ["clients", "anonymous_kib", "file_kib", "shared_kib", "rest_kib", "client_bytes"]


@dataclass(frozen=True)
class MemoryRow:
    """The user memory of the daemon for a number of clients."""

    clients: int
    anonymous_kib: int
    file_kib: int
    shared_kib: int
    rest_kib: int  # everything except the ring
    client_bytes: int  # additional memory per client; 0 without clients


def measure(counts: list[int], path: Path) -> None:
    """Run bench/memory and store its table."""
    command = [str(HERE / "memory"), " ".join(str(count) for count in counts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line.split() for line in done.stdout.splitlines() if re.match(r" *[0-9]", line)]
    if len(rows) != len(counts) + 1:
        raise BenchError(f"bench/memory: {done.stderr.strip()}")
    with path.open("w", encoding="ascii") as file:
        file.write(NOTICE)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([0 if word == "-" else int(word) for word in row] for row in rows)


def read(path: Path) -> list[MemoryRow]:
    """The rows of a file; none if it is missing, because this part is optional."""
    if not path.exists():
        return []
    lines = [line for line in path.read_text(encoding="ascii").splitlines() if line[:1] != "#"]
    try:
        return [MemoryRow(*map(int, line.split(","))) for line in lines[1:]]
    except (TypeError, ValueError):
        raise BenchError(f"{path}: expected a row of {len(COLUMNS)} numbers") from None
