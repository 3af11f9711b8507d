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

    part: str  # of the benchmark: matrix, latency, peers
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
    memory: str  # of the ring, in the server's words
    seconds: float
    bytes: int  # of payload, to all clients together
    client_min: float  # bytes per second of the slowest client, 0: not known
    client_median: float
    client_max: float
    server_cpu: float
    client_cpu: float
    softirq_cpu: float  # of the kernel's threads for the network's work, for both sides
    other_cpu: float  # of everything else on the machine
    stolen_cpu: float  # of a virtual machine, by its host, warm-up included
    tries: int  # of which this one was the least disturbed
    latency_p50: float = 0
    latency_p99: float = 0
    latency_p999: float = 0
    latency_max: float = 0
    overflows: int = 0  # of the null peer: packets that it was too slow for

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.bytes / self.seconds

    @property
    def cpu_per_gb(self) -> float:
        """Seconds of the server's CPU time for 10^9 bytes."""
        return self.server_cpu / (self.bytes / 1e9)

    @property
    def all_cpu_per_gb(self) -> float:
        """The same with the clients' and ksoftirqd's; with the null peer's, in whose context ACKs are taken."""
        return (self.server_cpu + self.client_cpu + self.softirq_cpu) / (self.bytes / 1e9)

    @property
    def disturbance(self) -> float:
        """So many CPUs were at something else."""
        return (self.other_cpu + self.stolen_cpu) / self.seconds


COLUMNS = [field.name for field in fields(Sample)]
_TYPES = {"str": str, "int": int, "float": float}


class Writer:
    """Writes samples, each at once: what was measured is there, however the run ends."""

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
        text = row.get(field.name)
        try:
            values[field.name] = _TYPES[str(field.type)](text)  # type: ignore[operator]
        except (TypeError, ValueError):
            raise BenchError(f"{where}: {field.name} is {text!r}, expected {field.type}") from None
    sample = Sample(**values)  # type: ignore[arg-type]
    if sample.seconds <= 0 or sample.bytes <= 0:
        raise BenchError(f"{where}: nothing was received")
    return sample


def _rows(file: IO[str], path: Path) -> Iterable[Sample]:
    lines = [line for line in file if not line.startswith("#")]
    reader = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
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
