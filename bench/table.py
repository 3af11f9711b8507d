# SPDX-License-Identifier: BSD-2-Clause
"""The tables of the report, as Markdown."""

from __future__ import annotations

from statistics import median
from typing import Optional

from cell import HUGE, LOOPBACK, NULL, SMALL, format_size
from environment import Facts
from memory_row import MemoryRow
from sample import Sample
from server import BARE, BARE_AGAIN, COPY, DAEMON, FED, FRAMED, HTTP, ZEROCOPY, reference_mode
from statistic import Series, ServerKey, Value, Where, by_cell, level, paired, ratio
from targets import Result, daemon_beside, format_spread

MODE_WORDS = {ZEROCOPY: "zero-copy", COPY: "copy"}
PAGE_WORDS = {SMALL: "ring in 4 KiB pages", HUGE: "ring in huge pages"}
CLIENT_WORDS = {LOOPBACK: "the clients'", NULL: "the null peer's"}


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A Markdown table. The first columns are text, the others numbers."""
    line = ["---"] * left + ["--:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, line, *rows]) + "\n"


def gigabytes(sample: Sample) -> float:
    """Throughput in GB/s."""
    return sample.rate / 1e9


def milliseconds(sample: Sample) -> float:
    """The server's CPU time in ms per GB."""
    return sample.cpu_per_gb * 1e3


def all_milliseconds(sample: Sample) -> float:
    """The CPU time including clients and ksoftirqd, in ms per GB."""
    return sample.all_cpu_per_gb * 1e3


def _rate_text(series: Optional[Series]) -> str:
    return f"{level(series, gigabytes).median:.2f}" if series else ""


def _cpu_text(series: Optional[Series]) -> str:
    if not series:
        return ""
    return f"{level(series, milliseconds).median:.0f} ({level(series, all_milliseconds).median:.0f})"


def _ratio_text(over: Optional[Series], under: Optional[Series], value: Value) -> str:
    spread = ratio(over, under, value) if over and under else None
    return format_spread(spread) if spread else ""


def _server_columns(
    servers: dict[ServerKey, Series], modes: list[str], transport: str, text, value: Value
) -> list[str]:
    row = []
    for mode in modes:
        mine = servers.get((DAEMON, mode))
        measure = servers.get((BARE, reference_mode(mode, transport)))
        row += [text(mine), text(measure), _ratio_text(mine, measure, value)]
    return row


def _daemon_modes(cells: dict[Where, dict[ServerKey, Series]]) -> list[str]:
    modes = list(
        dict.fromkeys(mode for servers in cells.values() for name, mode in servers if name == DAEMON)
    )
    return sorted(modes, key=lambda mode: [ZEROCOPY, COPY].index(mode) if mode in MODE_WORDS else 2)


def _matrix_tables(
    cells: dict[Where, dict[ServerKey, Series]], modes: list[str], transport: str, pages: str
) -> str:
    head = ["clients", "block"]
    for mode in modes:
        head += [f"{MODE_WORDS.get(mode, mode)}: dmacastd", "bare loop", "ratio"]
    both = ZEROCOPY in modes and COPY in modes
    rates, cpus = [], []
    for where, servers in cells.items():
        name = [str(where.clients), format_size(where.block)]
        rates.append(name + _server_columns(servers, modes, transport, _rate_text, lambda s: s.rate))
        cpu = _server_columns(servers, modes, transport, _cpu_text, lambda s: s.cpu_per_gb)
        if both:
            copying, pinning = servers.get((DAEMON, COPY)), servers.get((DAEMON, ZEROCOPY))
            cpu.append(_ratio_text(copying, pinning, lambda s: s.cpu_per_gb))
        cpus.append(name + cpu)
    gain = ["copy to zero-copy"] if both else []
    return (
        f"**Throughput in GB/s, {transport}, {PAGE_WORDS[pages]}**\n\n{table(head, rates, 0)}\n"
        f"**The server's CPU time in ms per GB (with {CLIENT_WORDS[transport]} and ksoftirqd's), "
        f"{transport}, {PAGE_WORDS[pages]}**\n\n{table(head + gain, cpus, 0)}"
    )


def matrix(samples: list[Sample], transport: str) -> str:
    """Throughput and CPU time of the daemon beside the bare loop."""
    texts = []
    cells = by_cell([
        sample for sample in samples if sample.part == "matrix" and sample.transport == transport
    ])  # fmt: skip
    modes = _daemon_modes(cells)
    for pages in (SMALL, HUGE):
        mine = {where: servers for where, servers in cells.items() if where.pages == pages}
        if mine:
            texts.append(_matrix_tables(mine, modes, transport, pages))
    return "\n".join(texts) or "Not measured.\n"


def targets(results: list[Result]) -> str:
    """Each target, with its worst cell."""
    rows = []
    for result in results:
        word = "yes" if result.met else "**no**" if result.measured else "not measured"
        worst = result.worst if result.measured else ""
        within = result.within if result.measured else ""
        rows.append([
            result.target, result.limit, word, within, result.always_missed, result.middle,
            worst, result.where,
        ])  # fmt: skip
    head = [
        "target", "limit", "met", "cells within", "missed in every round", "all: median (95 %)",
        "worst cell", "which",
    ]  # fmt: skip
    return table(head, rows, 8)


def environment(facts: Facts) -> str:
    """The environment of the measurements."""
    return table(["", ""], [[key, value] for key, value in facts.items()], 2)


def noise(samples: list[Sample]) -> str:
    """The difference of two equal servers, and other activity of the machine."""
    rows = []
    for transport in dict.fromkeys(sample.transport for sample in samples):
        mine = [sample for sample in samples if sample.transport == transport]
        rates = [_reach(series) for series in _bare_series(mine)]
        again = [_control_text(mine, value) for value in (lambda s: s.rate, lambda s: s.cpu_per_gb)]
        busy = [sample.disturbance for sample in mine]
        rows.append([
            transport, str(len(mine)), str(max(sample.round for sample in mine)), *again,
            f"{median(rates):.0%}, {max(rates):.0%}" if rates else "",
            f"{median(busy):.2f}, {max(busy):.2f}",
            str(sum(sample.tries > 1 for sample in mine)),
            str(sum(sample.overflows > 0 for sample in mine)),
        ])  # fmt: skip
    head = [
        "transport", "measurements", "rounds", "bare loop to itself: rate", "CPU per GB",
        "bare loop, all rounds: range of the rate (median cell, worst cell)",
        "other CPUs busy (median, worst)", "measured again", "with overflows of the null peer",
    ]  # fmt: skip
    return table(head, rows)


def _bare_series(samples: list[Sample]) -> list[Series]:
    cells = by_cell([sample for sample in samples if sample.part == "matrix"])
    return [
        series for servers in cells.values() for (name, _), series in servers.items() if name == BARE
    ]


def _reach(series: Series) -> float:
    spread = level(series, gigabytes)
    return (spread.high - spread.low) / spread.median


def _control_text(samples: list[Sample], value: Value) -> str:
    return "; ".join(
        f"{MODE_WORDS.get(pair.mode, pair.mode)} {format_spread(pair.ratio)}"
        for pair in paired(samples, value, BARE_AGAIN, BARE)
    )


def formats(samples: list[Sample]) -> str:
    """The daemon with framed and with HTTP clients beside the daemon with raw ones."""
    rows = []
    cells = by_cell([sample for sample in samples if sample.part == "formats"])
    for where, servers in cells.items():
        for (name, mode), series in servers.items():
            raw = servers.get((DAEMON, mode))
            if name not in (FRAMED, HTTP) or not raw:
                continue
            rows.append([
                where.transport, str(where.clients), format_size(where.block), PAGE_WORDS[where.pages],
                MODE_WORDS.get(mode, mode), name.removeprefix(f"{DAEMON} "), _cpu_text(series), _cpu_text(raw),
                _ratio_text(series, raw, lambda s: s.cpu_per_gb),
                _ratio_text(series, raw, lambda s: s.rate),
            ])  # fmt: skip
    head = [
        "transport", "clients", "block", "pages", "mode", "format", "CPU ms/GB", "raw", "CPU per GB to raw", "rate",
    ]  # fmt: skip
    return table(head, rows, 6) if rows else "Not measured.\n"


def latency(samples: list[Sample]) -> str:
    """The time from a full block to its last byte at a client."""
    rows = []
    cells = by_cell([sample for sample in samples if sample.part == "latency"])
    for where, servers in cells.items():
        for (name, mode), series in servers.items():
            if name != DAEMON:
                continue
            measure = servers.get((BARE, mode))
            rows.append([
                str(where.clients), format_size(where.block), MODE_WORDS[mode],
                _latency_text(series), _latency_text(measure),
                _ratio_text(series, measure, lambda s: s.latency_p99),
            ])  # fmt: skip
    head = ["clients", "block", "mode", "dmacastd: p50 / p99 / p99.9 us", "bare loop", "ratio of p99"]
    return table(head, rows, 0) if rows else "Not measured.\n"


def _latency_text(series: Optional[Series]) -> str:
    if not series:
        return ""
    values: list[Value] = [
        lambda s: s.latency_p50, lambda s: s.latency_p99, lambda s: s.latency_p999
    ]  # fmt: skip
    return " / ".join(f"{level(series, value).median * 1e6:.0f}" for value in values)


def peers(samples: list[Sample]) -> str:
    """The daemon beside other programs."""
    rows = []
    cells = by_cell([sample for sample in samples if sample.part == "peers"])
    for where, servers in cells.items():
        for (name, mode), series in servers.items():
            mine = servers.get((DAEMON, daemon_beside(name)))
            other = None if name == DAEMON else series
            rows.append([
                where.transport, str(where.clients), f"{name} {mode}".strip(),
                _rate_text(series), _cpu_text(series),
                _ratio_text(mine, other, lambda s: s.rate),
                _ratio_text(mine, other, lambda s: s.cpu_per_gb),
            ])  # fmt: skip
    head = [
        "transport", "clients", "server", "GB/s", "CPU ms/GB (with the clients' and ksoftirqd's)",
        "dmacastd to it: rate", "CPU per GB",
    ]  # fmt: skip
    return table(head, rows, 3) if rows else "Not measured.\n"


def _fed_cpu_text(series: Series) -> str:
    """The server's CPU time; none if nothing was received."""
    return f"{level(series, milliseconds).median:.0f}" if level(series, gigabytes).median else ""


def _fed_rows(samples: list[Sample], stalled: bool) -> list[list[str]]:
    rows = []
    for where, servers in by_cell(samples).items():
        mine = servers.get((DAEMON, FED))
        for (name, _), series in servers.items() if bool(where.stalled) == stalled else []:
            other = None if name == DAEMON or not _fed_cpu_text(series) else series
            slowest = level(series, lambda s: s.client_min / 1e6)
            held = level(series, lambda s: s.server_memory / (1 << 20))
            rows.append([
                where.feed, str(where.clients), name, _rate_text(series), format_spread(slowest, 0),
                _fed_cpu_text(series), _ratio_text(other, mine, lambda s: s.cpu_per_gb),
                *([format_spread(held, 0)] if stalled else []),
            ])  # fmt: skip
    return rows


def fed(samples: list[Sample], facts: Facts, results: list[Result]) -> str:
    """Programs that send one feed to many clients, beside the daemon with the same feed."""
    mine = [sample for sample in samples if sample.part == "fed"]
    if not mine:
        return "Not measured.\n"
    head = [
        "feed", "clients", "server", "GB/s", "slowest client, MB/s", "CPU ms/GB", "CPU per GB to dmacastd",
    ]  # fmt: skip
    known = ("date", "revision", "kernel", "CPU")
    words = [facts[key] for key in known if key in facts]
    words += [f"{key.split(' ')[1]} {value}" for key, value in facts.items() if key.startswith("package ")]
    return (
        f"{len({sample.round for sample in mine})} rounds; {'; '.join(words)}.\n\n{targets(results)}\n"
        f"{table(head, _fed_rows(mine, False), 3)}\n"
        "**With one client that never reads; the rates are those of the other clients**\n\n"
        f"{table([*head, 'memory of the server, MiB'], _fed_rows(mine, True), 3)}"
    )


def memory(rows: list[MemoryRow]) -> str:
    """The daemon's user memory."""
    texts = [
        [str(row.clients), str(row.anonymous_kib), str(row.rest_kib),
         str(row.client_bytes) if row.clients else ""]
        for row in rows
    ]  # fmt: skip
    head = ["clients", "anonymous KiB", "KiB without the ring", "bytes for each client"]
    return table(head, texts, 0) if rows else "Not measured.\n"
