# SPDX-License-Identifier: BSD-2-Clause
"""A sample: one measurement of one server, a row of the CSV file."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Iterable

from place import BenchError

NOTICE = "# SPDX-License-Identifier: BSD-2-Clause\n"


@dataclass(frozen=True)
class Sample:
    """The fields are the columns. Seconds, bytes, and bytes per second; latency 0: not measured."""

    part: str  # part of the benchmark: matrix, formats, latency, peers, fed
    round: int
    at: float  # seconds since the run began
    transport: str
    pages: str
    clients: int
    block: int
    ring: int
    feed: str
    form: str
    server: str
    mode: str
    memory: str  # memory of the ring, as reported by the server
    seconds: float
    bytes: int  # payload, to all clients together
    client_min: float  # bytes per second of the slowest client, 0: unknown
    client_median: float
    client_max: float
    server_cpu: float
    client_cpu: float
    softirq_cpu: float  # the kernel's threads ksoftirqd, for both sides
    other_cpu: float  # everything else on the machine
    stolen_cpu: float  # taken by the host of a virtual machine, including the warm-up
    tries: int  # number of attempts; this is the least disturbed one
    latency_p50: float = 0
    latency_p99: float = 0
    latency_p999: float = 0
    latency_max: float = 0
    overflows: int = 0  # packets lost because the null peer was too slow
    stalled: int = 0  # clients that never read
    server_memory: float = 0  # resident bytes and bytes in send queues; 0: not measured

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.bytes / self.seconds

    @property
    def cpu_per_gb(self) -> float:
        """Seconds of the server's CPU time for 10^9 bytes; 0 if there are none."""
        return self.server_cpu / (self.bytes / 1e9) if self.bytes else 0

    @property
    def all_cpu_per_gb(self) -> float:
        """The same, including clients (or the null peer, in whose context ACKs are processed) and ksoftirqd."""
        together = self.server_cpu + self.client_cpu + self.softirq_cpu
        return together / (self.bytes / 1e9) if self.bytes else 0

    @property
    def disturbance(self) -> float:
        """The number of CPUs used by something else."""
        return (self.other_cpu + self.stolen_cpu) / self.seconds


COLUMNS = [field.name for field in fields(Sample)]
NEW_COLUMNS = {"stalled", "server_memory"}  # older files do not have them
_TYPES = {"str": str, "int": int, "float": float}


class Writer:
    """Writes each sample at once, so that it is kept however the run ends."""

    def __init__(self, file: IO[str]) -> None:
        self.file = file
        self.csv = csv.writer(file, lineterminator="\n")
        file.write(NOTICE)
        self.csv.writerow(COLUMNS)

    def write(self, sample: Sample) -> None:
        """Add a row."""
        values = (getattr(sample, name) for name in COLUMNS)
        self.csv.writerow(
            format(value, ".6g") if isinstance(value, float) else value for value in values
        )
        self.file.flush()


def _parse(row: dict[str, str], where: str) -> Sample:
    values = {}
    for field in fields(Sample):
        text = row.get(field.name, "0" if field.name in NEW_COLUMNS else None)
        try:
            values[field.name] = _TYPES[str(field.type)](text)  # type: ignore[operator]
        except (TypeError, ValueError):
            raise BenchError(f"{where}: {field.name} is {text!r}, expected {field.type}") from None
    sample = Sample(**values)  # type: ignore[arg-type]
    if sample.seconds <= 0 or (sample.bytes <= 0 and not sample.stalled):
        raise BenchError(f"{where}: nothing was received")
    return sample


def _rows(file: IO[str], path: Path) -> Iterable[Sample]:
    lines = [line for line in file if not line.startswith("#")]
    reader = csv.DictReader(lines)
    found = NEW_COLUMNS.union(reader.fieldnames or [])
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise BenchError(f"{path}: no samples: there is no column {missing[0]}")
    for number, row in enumerate(reader, 1):
        yield _parse(row, f"{path}: sample {number}")


def read(path: Path) -> list[Sample]:
    """All samples of a file."""
    try:
        with path.open(newline="") as file:
            return list(_rows(file, path))
    except OSError as error:
        raise BenchError(f"{path}: {error.strerror}") from None
