# SPDX-License-Identifier: BSD-2-Clause
"""One measurement: start a server, run clients, stop both. Or measurements of several servers at the same
time, in time slices.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Iterator

from cell import LOOPBACK, NULL, Cell
from child import Child
from log import Log
from place import BUILD, BenchError, Place
from sample import Sample
from server import Running, Server

# CPUs used by other processes above which a measurement is disturbed.
CALM = 0.2

# Timeout for connecting 512 clients, in addition to the measured time.
PATIENCE_SECONDS = 20.0

# Warm-up per client, in seconds: congestion windows and real clients' receive buffers grow slowly.
WARMUP_OF_A_CLIENT = {LOOPBACK: 0.0016, NULL: 0.0008}

# Pause between connections to other programs, and to the daemon beside them: some have short listen queues.
CONNECT_PACE = "500us"
CONNECTING = "4"  # pending connections to the null peer's servers

# Number of clients that doubles the length of a time slice; minimum number of slices per measurement.
SLICED_CLIENTS = 256
MIN_SLICES = 4

Report = dict[str, str]


@dataclass(frozen=True)
class Way:
    """Parameters of a measurement."""

    seconds: float
    warmup: float
    tries: int = 3
    poll: bool = False  # clients on loopback never sleep
    null_poll: bool = False  # the null peer never sleeps
    coalesce: float = 0  # interval at which the null peer looks for packets, in seconds; 0: packets wake it
    slice: float = 0  # time slice of servers measured at the same time, in seconds; 0: one after the other

    def warmup_of(self, cell: Cell) -> float:
        """The warm-up in seconds. The slow start of many connections takes longer."""
        return self.warmup + cell.clients * WARMUP_OF_A_CLIENT[cell.transport]

    def slice_of(self, cell: Cell) -> float:
        """The length of a time slice in seconds, 0: none. Each slice must be long enough to serve many clients."""
        return self.slice * (1 + cell.clients / SLICED_CLIENTS)

    def measured(self, cell: Cell) -> float:
        """The measured time in seconds: at least some slices."""
        return max(self.seconds, MIN_SLICES * self.slice_of(cell))

    def seconds_of(self, cell: Cell) -> float:
        """The duration in seconds, including the warm-up."""
        return self.warmup_of(cell) + self.measured(cell)


def _stolen() -> float:
    """CPU time in seconds that the host of this virtual machine gave to others."""
    with open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")


def _sink(cell: Cell, running: Running, way: Way) -> list[str]:
    command = [str(BUILD / "bench/sink"), "--connect", running.address]
    command += ["--listen"] if running.connects else []
    command += ["--stalled", str(cell.stalled)] if cell.stalled else []
    command += ["--clients", str(cell.clients), "--server-pid", str(running.pid)]
    command += ["--seconds", f"{way.measured(cell) * 1000:.0f}ms"]
    command += ["--warmup", f"{way.warmup_of(cell) * 1000:.0f}ms"]
    if way.poll:
        command += ["--poll"]
    if cell.part == "latency":
        command += ["--latency", "--block-size", str(cell.block), "--pattern-form", cell.form]
    if cell.part in ("peers", "fed"):
        command += ["--pace", CONNECT_PACE]
    if running.request:
        command += ["--send", str(running.request)]
    return command + _sliced(cell, way)


def _sliced(cell: Cell, way: Way) -> list[str]:
    return ["--slice", f"{way.slice_of(cell) * 1000:.0f}ms"] if way.slice else []


def _nullpeer(cell: Cell, running: Running, way: Way) -> list[str]:
    command = [str(BUILD / "bench/nullpeer"), "--clients", str(cell.clients)]
    command += ["--server-pid", str(running.pid), "--connect-timeout", "20s"]
    command += ["--seconds", f"{way.measured(cell):.3f}", "--warmup", f"{way.warmup_of(cell):.3f}"]
    if way.null_poll:
        command += ["--poll"]
    elif way.coalesce:
        command += ["--coalesce", f"{way.coalesce * 1e6:.0f}us"]
    if cell.part == "peers":
        command += ["--connecting", CONNECTING]
    if running.request:
        command += ["--send", str(running.request)]
    return [*command, *_sliced(cell, way), running.address]


def parse_report(text: str) -> Report:
    """Parse a line of key=value pairs."""
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def _give_up(*_: object) -> None:
    raise BenchError("the clients do not end")


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Raise BenchError if the context takes longer."""
    before = signal.signal(signal.SIGALRM, _give_up)
    # Repeated, because there may be several clients that do not end.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _Clients:
    """The clients of a server, one process."""

    def __init__(self, command: list[str]) -> None:
        self.result, self.complaints = Log(), Log()
        self.child = Child(
            command, stdin=subprocess.DEVNULL, stdout=self.result, stderr=self.complaints
        )

    def go_on(self) -> None:
        """Continue after the time slices of the others."""
        self.child.send_signal(signal.SIGCONT)

    def ended(self) -> bool:
        """Wait until they have ended or are stopped. Return: whether they have ended."""
        event = os.waitid(os.P_PID, self.child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if event and event.si_code == os.CLD_STOPPED:
            os.waitid(os.P_PID, self.child.pid, os.WSTOPPED)
            return False
        self.child.wait()
        return True

    def report(self) -> Report:
        """Their report, after their end."""
        result = self.result.text()
        if self.child.returncode != 0:
            raise BenchError(f"the clients failed: {self.complaints.text().strip()} {result}")
        return parse_report(result)

    def end(self) -> None:
        """Kill them."""
        self.child.kill()
        self.child.wait()

    def close(self) -> None:
        """Kill them and delete their output."""
        self.end()
        self.result.close()
        self.complaints.close()


def _numbers(report: Report, transport: str) -> dict[str, float]:
    """The numbers in a report of sink or nullpeer, by the field names of a sample."""
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
        "server_memory": number.get("server_memory", 0),
    }
    for key in ("min", "median", "max"):
        numbers[f"client_{key}"] = number.get(key, 0)
    for key in ("p50", "p99", "p999", "max"):
        numbers[f"latency_{key}"] = number.get(f"latency_{key}", 0)
    return numbers


@dataclass
class _Run:
    """The state of a server's measurement."""

    server: Server
    cell: Cell
    place: Place
    running: Running | None = None
    clients: _Clients | None = None
    numbers: dict[str, float] | None = None
    error: BenchError | None = None
    stack: ExitStack = field(default_factory=ExitStack)  # cleanup

    def start(self) -> None:
        """Start the server."""
        assert self.server.run
        try:
            self.running = self.stack.enter_context(self.server.run(self.cell, self.place))
        except BenchError as error:
            self.error = error

    def goes_on(self) -> bool:
        """Whether the measurement is not complete."""
        return not self.numbers and not self.error

    def have_slice(self, way: Way) -> None:
        """Run server and clients: for a time slice, or to their end if there are no slices."""
        assert self.running
        try:
            if self.clients:
                self.clients.go_on()
            else:
                program = _nullpeer if self.cell.transport == NULL else _sink
                self.clients = _Clients(self.place.client(program(self.cell, self.running, way)))
                self.stack.callback(self.clients.close)
            if self.clients.ended():
                self._take(_numbers(self.clients.report(), self.cell.transport))
        except BenchError as error:
            self.error = error
            if self.clients:
                self.clients.end()

    def measure_itself(self, way: Way) -> None:
        """Measure a program that is its own client."""
        assert self.server.measure
        try:
            measured = self.server.measure(self.cell, self.place, way.seconds)
            self._take({"softirq_cpu": 0, "other_cpu": 0, **asdict(measured)})
        except BenchError as error:
            self.error = error

    def _take(self, numbers: dict[str, float]) -> None:
        if numbers["bytes"] <= 0 and not self.cell.stalled:
            raise BenchError("nothing was received")
        self.numbers = numbers

    def finish(self) -> None:
        """End both. A server that ends with an error invalidates its measurement."""
        try:
            self.stack.close()
        except BenchError as error:
            self.error = self.error or error


def _run_together(servers: tuple[Server, ...], cell: Cell, place: Place, way: Way) -> list[_Run]:
    """Measure all these servers at the same time."""
    runs = [_Run(server, cell, place.of(number)) for number, server in enumerate(servers)]
    with ExitStack() as stack:
        for run in runs:
            stack.callback(run.finish)
            run.start()
        with _patience(PATIENCE_SECONDS + way.seconds_of(cell) * len(runs)):
            while any(run.goes_on() for run in runs):
                for run in runs:
                    if run.goes_on():
                        run.have_slice(way)
    return runs


def _sample(run: _Run, stolen: float) -> Sample:
    """The row of a measurement. The caller fills in round, time and tries."""
    assert run.numbers
    circumstances = {
        key: value for key, value in asdict(run.cell).items() if key not in ("send_buffer",)
    }
    return Sample(
        round=0, at=0, server=run.server.name, mode=run.server.mode,
        memory=run.running.memory if run.running else "", tries=1,
        stolen_cpu=stolen * run.numbers["seconds"], **circumstances, **run.numbers,
    )  # fmt: skip


@dataclass
class Outcome:
    """The results of a measurement, and its errors."""

    samples: list[Sample]
    errors: list[BenchError]

    @property
    def disturbance(self) -> float:
        """The disturbance of the most disturbed sample."""
        return max((sample.disturbance for sample in self.samples), default=0)

    def is_better(self, other: Outcome) -> bool:
        """Whether it has more samples than the other, or less disturbance."""
        return (-len(self.samples), self.disturbance) < (-len(other.samples), other.disturbance)


def _once(servers: tuple[Server, ...], cell: Cell, place: Place, way: Way) -> Outcome:
    began, stolen_before = time.monotonic(), _stolen()
    if servers[0].measure:
        runs = [_Run(server, cell, place) for server in servers]
        for run in runs:
            run.measure_itself(way)
    else:
        runs = _run_together(servers, cell, place, way)
    stolen = (_stolen() - stolen_before) / (time.monotonic() - began)
    return Outcome(
        [_sample(run, stolen) for run in runs if not run.error],
        [BenchError(f"{run.server}: {cell}: {run.error}") for run in runs if run.error],
    )


def measure(servers: tuple[Server, ...], cell: Cell, place: Place, way: Way) -> Outcome:
    """
    Measure servers at the same time. Repeat the measurement if it is disturbed or fails; the least
    disturbed attempt counts.
    """
    way = replace(way, slice=way.slice if len(servers) > 1 else 0)
    best = None
    for number in range(1, way.tries + 1):
        outcome = _once(servers, cell, place, way)
        if best is None or outcome.is_better(best):
            best = outcome
        if not outcome.errors and outcome.disturbance <= CALM:
            break
        for error in outcome.errors if number < way.tries else []:
            print(f"\nbench/run: {error}; trying again", file=sys.stderr)
    assert best
    best.samples = [replace(sample, tries=number) for sample in best.samples]
    return best
