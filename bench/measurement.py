# SPDX-License-Identifier: BSD-2-Clause
"""One measurement: a server is started, clients are run, both are gone again."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict, dataclass, replace

from cell import LOOPBACK, NULL, Cell
from place import BUILD, BenchError, Place
from sample import Sample
from server import Running, Server

# More than so much of a CPU for other processes disturbs a measurement.
CALM = 0.2

# For 512 clients to be there, beside all that is measured.
PATIENCE_SECONDS = 20.0

# Of the warm-up, in seconds. Connections begin slowly: congestion windows grow, and real clients' receive buffers.
WARMUP_OF_A_CLIENT = {LOOPBACK: 0.0016, NULL: 0.0008}

# Between connections to other programs, and to the daemon beside them: some have short listen queues.
CONNECT_PACE = "500us"
CONNECTING = "4"  # so many at once, to the null peer's servers

Report = dict[str, str]


@dataclass(frozen=True)
class Way:
    """How to measure."""

    seconds: float
    warmup: float
    tries: int = 3
    poll: bool = False  # clients on loopback never sleep
    null_poll: bool = False  # nor does the null peer
    coalesce: float = 0  # so long the null peer sleeps, in seconds; 0: until it is woken

    def warmup_of(self, cell: Cell) -> float:
        """So long before it, in seconds: the slow start of many connections takes longer."""
        return self.warmup + cell.clients * WARMUP_OF_A_CLIENT[cell.transport]

    def seconds_of(self, cell: Cell) -> float:
        """So long it takes, with what is before it."""
        return self.warmup_of(cell) + self.seconds


def _stolen() -> float:
    """CPU time that the host of a virtual machine gave to others, in seconds."""
    with open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def _sink(cell: Cell, running: Running, way: Way) -> list[str]:
    command = [str(BUILD / "bench/sink"), "--connect", running.address]
    command += ["--clients", str(cell.clients), "--server-pid", str(running.pid)]
    command += ["--seconds", f"{way.seconds * 1000:.0f}ms"]
    command += ["--warmup", f"{way.warmup_of(cell) * 1000:.0f}ms"]
    if way.poll:
        command += ["--poll"]
    if cell.paced:
        command += ["--latency", "--block-size", str(cell.block), "--pattern-form", cell.form]
    if cell.part == "peers":
        command += ["--pace", CONNECT_PACE]
    if running.request:
        command += ["--send", str(running.request)]
    return command


def _nullpeer(cell: Cell, running: Running, way: Way) -> list[str]:
    command = [str(BUILD / "bench/nullpeer"), "--clients", str(cell.clients)]
    command += ["--server-pid", str(running.pid), "--connect-timeout", "20s"]
    command += ["--seconds", f"{way.seconds:.3f}", "--warmup", f"{way.warmup_of(cell):.3f}"]
    if way.null_poll:
        command += ["--poll"]
    elif way.coalesce:
        command += ["--coalesce", f"{way.coalesce * 1e6:.0f}us"]
    if cell.part == "peers":
        command += ["--connecting", CONNECTING]
    if running.request:
        command += ["--send", str(running.request)]
    return [*command, running.address]


def parse_report(text: str) -> Report:
    """The pairs of a line of key=value."""
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def _run_clients(cell: Cell, place: Place, running: Running, way: Way) -> Report:
    """Have the clients of the place measure the server."""
    command = (_nullpeer if cell.transport == NULL else _sink)(cell, running, way)
    try:
        done = subprocess.run(
            place.client(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS + way.seconds_of(cell),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError("the clients do not come to an end") from None
    if done.returncode != 0:
        raise BenchError(f"the clients failed: {done.stderr.strip()} {done.stdout}")
    return parse_report(done.stdout)


def _sample(cell: Cell, server: Server, memory: str, numbers: dict[str, float]) -> Sample:
    """The row of a measurement; its round and its time are the caller's to say."""
    circumstances = {
        key: value for key, value in asdict(cell).items() if key not in ("send_buffer",)
    }
    return Sample(
        round=0, at=0, server=server.name, mode=server.mode, memory=memory, tries=1,
        **circumstances, **numbers,
    )  # fmt: skip


def _numbers(report: Report, transport: str) -> dict[str, float]:
    """What the report of sink or nullpeer says, by the names that a sample has."""
    null = transport == NULL
    number = {key: float(value) for key, value in report.items()}
    numbers = {
        "seconds": number["seconds"],
        "bytes": int(report["bytes_total" if null else "bytes"]),
        "server_cpu": number["server_cpu"],
        "client_cpu": number["cpu" if null else "sink_cpu"],
        "softirq_cpu": number["softirq_cpu"],
        "other_cpu": number["other_cpu"],
        "overflows": int(number.get("overflows", 0)),
    }
    for key in ("min", "median", "max"):
        numbers[f"client_{key}"] = number.get(key, 0)
    for key in ("p50", "p99", "p999", "max"):
        numbers[f"latency_{key}"] = number.get(f"latency_{key}", 0)
    return numbers


def _run_once(server: Server, cell: Cell, place: Place, way: Way) -> tuple[str, dict[str, float]]:
    """Return: the memory of the server's ring, and the numbers."""
    if server.measure:
        return "", {"softirq_cpu": 0, "other_cpu": 0, **asdict(server.measure(cell, place, way.seconds))}
    assert server.run
    with server.run(cell, place) as running:
        report = _run_clients(cell, place, running, way)
    return running.memory, _numbers(report, cell.transport)


def _once(server: Server, cell: Cell, place: Place, way: Way) -> Sample:
    before = _stolen()
    try:
        memory, numbers = _run_once(server, cell, place, way)
        if numbers["bytes"] <= 0:
            raise BenchError("nothing was received")
    except BenchError as error:
        raise BenchError(f"{server}: {cell}: {error}") from None
    return _sample(cell, server, memory, {**numbers, "stolen_cpu": _stolen() - before})


def measure(server: Server, cell: Cell, place: Place, way: Way) -> Sample:
    """
    Measure, again when something disturbs it, or it fails. Of several tries the least disturbed one
    counts.
    """
    best = None
    for number in range(1, way.tries + 1):
        try:
            sample = _once(server, cell, place, way)
        except BenchError as error:
            if not best and number == way.tries:
                raise
            print(f"\nbench/run: {error}; once more", file=sys.stderr)
            continue
        if best is None or sample.disturbance < best.disturbance:
            best = sample
        if sample.disturbance <= CALM:
            break
    assert best
    return replace(best, tries=number)
