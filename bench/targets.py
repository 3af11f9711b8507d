# SPDX-License-Identifier: BSD-2-Clause
"""The daemon's targets, and whether it meets them: each one with its worst cell."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, median
from typing import Callable, Iterable, Optional

from cell import HUGE, LOOPBACK, NULL, format_size
from memory_row import MemoryRow
from sample import Sample
from server import AUTO, BARE, COPY, DAEMON, FED, FRAMED, HTTP, YARDSTICKS, ZEROCOPY, reference_mode
from statistic import Pair, Series, Spread, Value, Where, by_cell, interval, paired, ratio, spread

MEMORY_CLIENTS = 10000
MEMORY_LIMIT = 4096
FLAT = 0.15
TOGETHER = "the same, server, clients and ksoftirqd together"
LARGE_BLOCK = 256 << 10
SMALL_BLOCK = 64 << 10
FED_GAIN = 1.3  # minimum CPU per GB of other programs to the daemon with the same feed, with one client


@dataclass(frozen=True)
class Result:
    """A target and its result."""

    target: str
    limit: str
    worst: str = "not measured"
    where: str = ""
    within: str = "0 of 0"  # cells
    always_missed: str = ""  # number of cells that missed it in every round
    middle: str = ""  # median of all rounds of all cells, with its confidence interval
    met: bool = False

    @property
    def measured(self) -> bool:
        """Whether there are measurements for it."""
        return self.within != "0 of 0"


def _rate(sample: Sample) -> float:
    return sample.rate


def _cpu(sample: Sample) -> float:
    return sample.cpu_per_gb


def _all_cpu(sample: Sample) -> float:
    return sample.all_cpu_per_gb


def _p99(sample: Sample) -> float:
    return sample.latency_p99


def format_spread(value: Spread, digits: int = 2) -> str:
    """The median, and the range if there are several values."""
    text = f"{value.median:.{digits}f}"
    if value.count > 1:
        text += f" ({value.low:.{digits}f}-{value.high:.{digits}f})"
    return text


def middle_of(pairs: list[Pair]) -> str:
    """The median of all rounds' ratios in all cells, with its 95 % confidence interval."""
    values = [value for pair in pairs for value in pair.ratio.values]
    low, high = interval(values)
    return f"{median(values):.2f} ({low:.2f}-{high:.2f})"


def judge(target: str, pairs: Iterable[Pair], limit: float, at_least: bool) -> Result:
    """Judge a target: the median ratio of every cell must keep the limit."""
    sign = ">=" if at_least else "<="
    found = sorted(pairs, key=lambda pair: pair.median, reverse=not at_least)

    def keeps(value: float) -> bool:
        return (value >= limit) == at_least or value == limit

    return _result(target, f"{sign} {limit:g}", found, keeps, middle_of(found) if found else "")


def _result(
    target: str, limit: str, pairs: list[Pair], keeps: Callable[[float], bool], middle: str = ""
) -> Result:
    """The result for pairs, of which the first is the worst."""
    if not pairs:
        return Result(target, limit)
    good = sum(keeps(pair.median) for pair in pairs)
    missed = sum(not any(map(keeps, pair.ratio.values)) for pair in pairs)
    return Result(
        target, limit, format_spread(pairs[0].ratio), pairs[0].where,
        f"{good} of {len(pairs)}", str(missed), middle, good == len(pairs),
    )  # fmt: skip


def _against_bare(samples: list[Sample]) -> list[Result]:
    """Targets relative to the bare loop. On loopback copying and zero-copy are separate, because only copying
    is meant to be used there. The context in which a zero-copy packet is sent, and there copied, is random, so
    all CPU time is judged, too.
    """
    sizes: list[tuple[str, Callable[[int], bool], float, float]] = [
        ("blocks of 256 KiB and more", lambda block: block >= LARGE_BLOCK, 0.95, 1.05),
        ("blocks of 64 KiB", lambda block: block == SMALL_BLOCK, 0.9, 1.1),
    ]
    places: list[tuple[str, str, list[str]]] = [
        ("loopback, copying", LOOPBACK, [COPY]),
        ("loopback, zero-copy", LOOPBACK, [ZEROCOPY]),
        ("null", NULL, [COPY, ZEROCOPY]),
    ]
    results = []
    for place, transport, modes in places:
        for size, wanted, rate_limit, cpu_limit in sizes:
            mine = [
                sample for sample in samples
                if sample.part == "matrix" and sample.transport == transport
                and wanted(sample.block) and reference_mode(sample.mode, transport) in modes
            ]  # fmt: skip
            text = f"to the bare loop, {place}, {size}"
            rates = paired(mine, _rate, DAEMON, BARE)
            results.append(judge(f"throughput {text}", rates, rate_limit, True))
            cpus = paired(mine, _cpu, DAEMON, BARE)
            results.append(judge(f"CPU per GB {text}", cpus, cpu_limit, False))
            if modes == [ZEROCOPY]:
                both = paired(mine, _all_cpu, DAEMON, BARE)
                results.append(
                    judge(f"{TOGETHER}, {size}", both, cpu_limit, False)
                )
    return results


def zerocopy_gain(samples: list[Sample], value: Value) -> list[Pair]:
    """The gain of zero-copy over copying for the daemon, on the null peer."""
    pairs = []
    for where, servers in by_cell(samples).items():
        copying, pinning = servers.get((DAEMON, COPY)), servers.get((DAEMON, ZEROCOPY))
        if where.part != "matrix" or where.transport != NULL or not copying or not pinning:
            continue
        gain = ratio(copying, pinning, value)
        if gain:
            pairs.append(Pair(where, "", gain))
    return pairs


def _gain(samples: list[Sample]) -> list[Result]:
    """The gain on huge pages. The tables show pages of 4 KiB for information."""
    results = []
    for block, limit in ((1 << 20, 2.2), (LARGE_BLOCK, 1.7)):
        pairs = [
            pair for pair in zerocopy_gain(samples, _cpu)
            if (pair.cell.pages, pair.cell.block) == (HUGE, block)
        ]  # fmt: skip
        text = f"CPU per GB, copying to zero-copy, null, huge pages, {format_size(block)}"
        results.append(judge(text, pairs, limit, True))
    return results


def flatness(samples: list[Sample], value: Value) -> list[Pair]:
    """The daemon's CPU time per GB, relative to the mean over all numbers of clients in the same round."""
    lines: dict[tuple[str, str, int, str], dict[Where, Series]] = {}
    for where, servers in by_cell(samples).items():
        for (name, mode), series in servers.items():
            if where.part == "matrix" and name == DAEMON:
                line = (where.transport, where.pages, where.block, mode)
                lines.setdefault(line, {})[where] = series
    pairs = []
    for (_, _, _, mode), points in lines.items():
        common = set.intersection(*(set(series) for series in points.values()))
        means = {
            number: mean(value(series[number]) for series in points.values()) for number in common
        }
        for where, series in points.items() if common and len(points) > 1 else []:
            ratios = [value(series[number]) / means[number] for number in sorted(common)]
            pairs.append(Pair(where, mode, spread(ratios)))
    return pairs


def _flat(samples: list[Sample]) -> list[Result]:
    results = []
    ways: list[tuple[str, str, Value]] = [
        (f"CPU per client-GB to the mean of all numbers of clients, {LOOPBACK}", LOOPBACK, _cpu),
        (TOGETHER, LOOPBACK, _all_cpu),
        (f"CPU per client-GB to the mean of all numbers of clients, {NULL}", NULL, _cpu),
    ]
    for text, transport, value in ways:
        pairs = [pair for pair in flatness(samples, value) if pair.cell.transport == transport]
        pairs.sort(key=lambda pair: abs(pair.median - 1), reverse=True)
        results.append(
            _result(text, f"1 +- {FLAT:g}", pairs, lambda value: abs(value - 1) <= FLAT)
        )
    return results


def daemon_beside(name: str) -> str:
    """The mode of the daemon with which a peer is compared."""
    return AUTO if name in YARDSTICKS else FED


def to_peers(samples: list[Sample], value: Value, wanted: Callable[[str], bool]) -> list[Pair]:
    """The daemon's ratios to other programs, in the cells in which they can run."""
    pairs = []
    for where, servers in by_cell(samples).items():
        for (name, mode), series in servers.items():
            mine = servers.get((DAEMON, daemon_beside(name)))
            if where.part != "peers" or name == DAEMON or not wanted(name) or not mine:
                continue
            ahead = ratio(mine, series, value)
            if ahead:
                pairs.append(Pair(where, f"{name} {mode}".strip(), ahead))
    return pairs


def is_broker(name: str) -> bool:
    """Whether this is ncat --broker, which has its own targets."""
    return name == "ncat"


def _peers(samples: list[Sample]) -> list[Result]:
    others = lambda name: not is_broker(name)  # noqa: E731
    return [
        judge("throughput to ncat --broker", to_peers(samples, _rate, is_broker), 3, True),
        judge("CPU per GB to ncat --broker", to_peers(samples, _cpu, is_broker), 1, False),
        judge("throughput to each other peer", to_peers(samples, _rate, others), 1, True),
        judge("CPU per GB to each other peer", to_peers(samples, _cpu, others), 1, False),
    ]


def fed_pairs(samples: list[Sample], value: Value) -> list[Pair]:
    """The ratios of other programs to the daemon, both with a feed, in the same cell."""
    pairs = []
    for where, servers in by_cell(samples).items():
        mine = servers.get((DAEMON, FED))
        for (name, _), series in servers.items():
            theirs = ratio(series, mine, value) if mine else None
            if where.part == "fed" and name != DAEMON and theirs:
                pairs.append(Pair(where, f"{where.feed}, {name}", theirs))
    return pairs


def fed_results(samples: list[Sample]) -> list[Result]:
    """Targets of the daemon with a feed: not among results(), because that part is measured on request."""
    pairs = [pair for pair in fed_pairs(samples, _cpu) if not pair.cell.stalled]
    one = [pair for pair in pairs if pair.cell.clients == 1]
    return [
        judge("CPU per GB of each program to dmacastd, 1 client", one, FED_GAIN, True),
        judge("CPU per GB of each program to dmacastd, all cells", pairs, 1, True),
    ]


def _formats(samples: list[Sample]) -> list[Result]:
    mine = [sample for sample in samples if sample.part == "formats"]
    return [
        judge(f"CPU per GB {text} to raw, blocks of 256 KiB", paired(mine, _cpu, name, DAEMON), 1.03, False)
        for text, name in (("framed", FRAMED), ("HTTP", HTTP))
    ]


def _latency(samples: list[Sample]) -> Result:
    mine = [sample for sample in samples if sample.part == "latency"]
    text = "99th percentile of latency to the bare loop, 8 clients"
    return judge(text, paired(mine, _p99, DAEMON, BARE), 1.2, False)


def _memory(rows: list[MemoryRow]) -> Result:
    text = f"user memory of a client, {MEMORY_CLIENTS} clients"
    limit = f"< {MEMORY_LIMIT} bytes"
    row: Optional[MemoryRow] = next((row for row in rows if row.clients == MEMORY_CLIENTS), None)
    if not row:
        return Result(text, limit)
    good = row.client_bytes < MEMORY_LIMIT
    return Result(text, limit, f"{row.client_bytes} bytes", "", f"{int(good)} of 1", "", "", good)


def results(samples: list[Sample], memory: list[MemoryRow]) -> list[Result]:
    """All targets."""
    return [
        *_against_bare(samples), *_gain(samples), *_flat(samples), *_formats(samples),
        *_peers(samples), _latency(samples), _memory(memory),
    ]  # fmt: skip
