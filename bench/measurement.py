# SPDX-License-Identifier: BSD-2-Clause
"""One measurement: a server is started, clients are run, both are gone again."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from cell import NULL, Cell
from place import BUILD, BenchError, Place
from sample import Sample
from server import Running, Server

# More than so much of a CPU for other processes disturbs a measurement.
CALM = 0.2

PATIENCE_SECONDS = 60.0

Report = dict[str, str]


@dataclass(frozen=True)
class Way:
    """How to measure."""

    seconds: float
    warmup: float
    tries: int = 3
    poll: bool = False  # clients on loopback never sleep
    null_poll: bool = False  # nor do those of the null peer


def _stolen() -> float:
    """CPU time that the host of a virtual machine gave to others, in seconds."""
    with open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def _sink(cell: Cell, running: Running, way: Way) -> list[str]:
    command = [str(BUILD / "bench/sink"), "--connect", running.address]
    command += ["--clients", str(cell.clients), "--server-pid", str(running.pid)]
    command += ["--seconds", f"{way.seconds * 1000:.0f}ms"]
    command += ["--warmup", f"{way.warmup * 1000:.0f}ms"]
    if way.poll:
        command += ["--poll"]
    if cell.paced:
        command += ["--latency", "--block-size", str(cell.block)]
    if running.request:
        command += ["--send", str(running.request)]
    return command


def _nullpeer(cell: Cell, running: Running, way: Way) -> list[str]:
    command = [str(BUILD / "bench/nullpeer"), "--clients", str(cell.clients)]
    command += ["--server-pid", str(running.pid), "--connect-timeout", "20s"]
    command += ["--seconds", f"{way.seconds:.3f}", "--warmup", f"{way.warmup:.3f}"]
    if way.null_poll:
        command += ["--poll"]
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
            timeout=PATIENCE_SECONDS + way.seconds + way.warmup,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"{cell}: the clients do not come to an end") from None
    if done.returncode != 0:
        raise BenchError(f"{cell}: the clients failed: {done.stderr.strip()} {done.stdout}")
    return parse_report(done.stdout)


def _sample(cell: Cell, server: Server, memory: str, report: Report, stolen: float) -> Sample:
    """What the report of sink or nullpeer says, in the same words."""
    number = {key: float(value) for key, value in report.items()}
    null = cell.transport == NULL
    return Sample(
        part=cell.part,
        round=0,
        at=0,
        transport=cell.transport,
        pages=cell.pages,
        clients=cell.clients,
        block=cell.block,
        ring=cell.ring,
        feed=cell.feed,
        form=cell.form,
        server=server.name,
        mode=server.mode,
        memory=memory,
        seconds=number["seconds"],
        bytes=int(report["bytes_total" if null else "bytes"]),
        client_min=number.get("min", 0),
        client_median=number.get("median", 0),
        client_max=number.get("max", 0),
        server_cpu=number["server_cpu"],
        client_cpu=number["cpu" if null else "sink_cpu"],
        other_cpu=number["other_cpu"],
        stolen_cpu=stolen,
        tries=1,
        latency_p50=number.get("latency_p50", 0),
        latency_p99=number.get("latency_p99", 0),
        latency_p999=number.get("latency_p999", 0),
        latency_max=number.get("latency_max", 0),
        overflows=int(number.get("overflows", 0)),
    )


def _once(server: Server, cell: Cell, place: Place, way: Way) -> Sample:
    try:
        with server.run(cell, place) as running:
            stolen = _stolen()
            report = _run_clients(cell, place, running, way)
            stolen = _stolen() - stolen
        sample = _sample(cell, server, running.memory, report, stolen)
    except BenchError as error:
        raise BenchError(f"{server}: {error}") from None
    if sample.bytes <= 0:
        raise BenchError(f"{server}: {cell}: nothing was received")
    return sample


def measure(server: Server, cell: Cell, place: Place, way: Way) -> Sample:
    """Measure, again when something disturbs it. Of several tries the least disturbed one counts."""
    best = None
    for number in range(1, way.tries + 1):
        sample = _once(server, cell, place, way)
        if best is None or sample.disturbance < best.disturbance:
            best = sample
        if sample.disturbance <= CALM:
            break
    assert best
    return Sample(**{**best.__dict__, "tries": number})
