# SPDX-License-Identifier: BSD-2-Clause
"""The figures of the report, as SVG. Equal samples give equal files."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cell import HUGE, NULL, SMALL, format_clients, format_size
from sample import Sample
from server import BARE, COPY, DAEMON, ZEROCOPY
from statistic import Spread, Value, by_cell, level
from table import MODE_WORDS, all_milliseconds, gigabytes, milliseconds
from targets import zerocopy_gain

COLOURS = {
    (DAEMON, ZEROCOPY): "#0b6e4f",
    (BARE, ZEROCOPY): "#7bc8a4",
    (DAEMON, COPY): "#b5502a",
    (BARE, COPY): "#eab08f",
}
STYLES = {SMALL: "-", HUGE: ":"}
PAGE_WORDS = {SMALL: "", HUGE: ", huge pages"}
CLIENT_COLOURS = ["#1b3a5b", "#2f74b5", "#6aaed6", "#a9cfe5"]

plt.rcParams.update({
    "svg.hashsalt": "dmacast",  # otherwise ids are random
    "svg.fonttype": "none",
    "font.size": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
})  # fmt: skip


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    head, body = path.read_text(encoding="utf-8").split("\n", 1)
    notice = "<!-- SPDX-License-Identifier: BSD-2-Clause -->"
    lines = [head, notice, *(line.rstrip() for line in body.splitlines())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _line(axes: Axes, points: dict[int, Spread], colour: str, style: str, label: str) -> None:
    """Medians over numbers of clients or sizes, with the range as a band."""
    x = sorted(points)
    axes.plot(x, [points[at].median for at in x], style, color=colour, label=label, marker=".")
    if style == "-":
        low, high = [points[at].low for at in x], [points[at].high for at in x]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _over_clients(axes: Axes, samples: list[Sample], value: Value) -> None:
    lines: dict[tuple[str, str, str], dict[int, Spread]] = {}
    for where, servers in by_cell(samples).items():
        for (name, mode), series in servers.items():
            line = lines.setdefault((where.pages, name, mode), {})
            line[where.clients] = level(series, value)
    for (pages, name, mode), points in lines.items():
        colour = COLOURS.get((name, mode))
        if colour:
            label = f"{name}, {MODE_WORDS[mode]}{PAGE_WORDS[pages]}"
            _line(axes, points, colour, STYLES[pages], label)
    axes.set_xscale("log", base=2)
    clients = sorted({sample.clients for sample in samples})
    axes.set_xticks(clients, [str(count) for count in clients])
    axes.minorticks_off()


def transport(samples: list[Sample], name: str, path: Path) -> bool:
    """Throughput and CPU time over the number of clients, for each block size."""
    mine = [sample for sample in samples if (sample.part, sample.transport) == ("matrix", name)]
    blocks = sorted({sample.block for sample in mine})
    if not mine:
        return False
    rows: list[tuple[str, Value]] = [("GB/s", gigabytes), ("server's CPU, ms per GB", milliseconds)]
    if name == NULL:
        rows.append(("CPU with the null peer's, ms per GB", all_milliseconds))
    figure, grid = plt.subplots(
        len(rows), len(blocks), figsize=(3.2 * len(blocks), 2.4 * len(rows) + 0.7),
        sharex=True, sharey="row", squeeze=False,
    )  # fmt: skip
    for (label, value), line in zip(rows, grid):
        for block, axes in zip(blocks, line):
            _over_clients(axes, [sample for sample in mine if sample.block == block], value)
        line[0].set_ylabel(label)
        line[0].set_ylim(bottom=0)  # applies to the whole row, which shares the axis
    for block, axes in zip(blocks, grid[0]):
        axes.set_title(f"{name}, blocks of {format_size(block)}")
    for axes in grid[-1]:
        axes.set_xlabel("clients")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, fontsize=7)
    figure.tight_layout(rect=(0, 0.6 / figure.get_figheight(), 1, 1))
    _save(figure, path)
    return True


def gain(samples: list[Sample], path: Path) -> bool:
    """The gain of zero-copy, over the block size."""
    pairs = zerocopy_gain(samples, lambda sample: sample.cpu_per_gb)
    if not pairs:
        return False
    figure, axes = plt.subplots(figsize=(5, 3.2))
    counts = sorted({pair.cell.clients for pair in pairs})
    for pages in (SMALL, HUGE):
        for number, count in enumerate(counts):
            points = {
                pair.cell.block: pair.ratio
                for pair in pairs
                if (pair.cell.clients, pair.cell.pages) == (count, pages)
            }
            if points:
                label = format_clients(count) + PAGE_WORDS[pages]
                colour = CLIENT_COLOURS[number % len(CLIENT_COLOURS)]
                _line(axes, points, colour, STYLES[pages], label)
    axes.set_xscale("log", base=2)
    blocks = sorted({pair.cell.block for pair in pairs})
    axes.set_xticks(blocks, [format_size(block) for block in blocks])
    axes.minorticks_off()
    axes.axhline(1, color="#888888", linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("block size")
    axes.set_title("dmacastd on the null peer: CPU per GB, copying to zero-copy")
    axes.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    _save(figure, path)
    return True


def _bars(axes: Axes, names: list[str], spreads: list[Spread], colours: list[str]) -> None:
    medians = [spread.median for spread in spreads]
    reach = [
        [spread.median - spread.low for spread in spreads],
        [spread.high - spread.median for spread in spreads],
    ]
    axes.barh(names, medians, color=colours, xerr=reach, error_kw={"elinewidth": 0.8})
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)


def peers(samples: list[Sample], path: Path) -> bool:
    """Throughput and CPU time of other programs, for each number of clients."""
    cells = by_cell([sample for sample in samples if sample.part == "peers"])
    if not cells:
        return False
    heights = [len(servers) + 3 for servers in cells.values()]
    figure, grid = plt.subplots(
        len(cells), 2, figsize=(9, 0.21 * sum(heights)), squeeze=False, height_ratios=heights
    )
    for (where, servers), line in zip(cells.items(), grid):
        names = [f"{name} {mode}".strip() for name, mode in servers]
        colours = ["#0b6e4f" if name == DAEMON else "#9aa5b1" for name, _ in servers]
        for axes, value in zip(line, (gigabytes, milliseconds)):
            spreads = [level(series, value) for series in servers.values()]
            _bars(axes, names, spreads, colours)
        line[0].set_title(f"{where}: GB/s")
        line[1].set_title("server's CPU, ms per GB")
        line[1].set_yticklabels([])
    figure.tight_layout()
    _save(figure, path)
    return True


def latency(samples: list[Sample], path: Path) -> bool:
    """Percentiles of the latency of each server."""
    cells = by_cell([sample for sample in samples if sample.part == "latency"])
    if not cells:
        return False
    percentiles: list[tuple[str, Value]] = [
        ("p50", lambda sample: sample.latency_p50 * 1e6),
        ("p99", lambda sample: sample.latency_p99 * 1e6),
        ("p99.9", lambda sample: sample.latency_p999 * 1e6),
    ]
    figure, grid = plt.subplots(
        1, len(cells), figsize=(3.2 * len(cells), 3.2), sharey=True, squeeze=False
    )
    for (where, servers), axes in zip(cells.items(), grid[0]):
        for number, ((name, mode), series) in enumerate(sorted(servers.items())):
            spreads = [level(series, value) for _, value in percentiles]
            x = [at + 0.2 * (number - (len(servers) - 1) / 2) for at in range(len(spreads))]
            reach = [
                [spread.median - spread.low for spread in spreads],
                [spread.high - spread.median for spread in spreads],
            ]
            axes.errorbar(x, [spread.median for spread in spreads], yerr=reach, fmt="o",
                          color=COLOURS.get((name, mode), "#9aa5b1"), elinewidth=0.8, markersize=4,
                          label=f"{name}, {MODE_WORDS.get(mode, mode)}")  # fmt: skip
        axes.set_xticks(range(len(percentiles)), [name for name, _ in percentiles])
        axes.set_yscale("log")
        axes.grid(axis="x", visible=False)
        axes.set_title(f"{where}")
    grid[0][0].set_ylabel("us from a full block to its last byte")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, fontsize=7)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    _save(figure, path)
    return True


FIGURES: dict[str, Callable[[list[Sample], Path], bool]] = {
    "loopback": lambda samples, path: transport(samples, "loopback", path),
    "null": lambda samples, path: transport(samples, "null", path),
    "gain": gain,
    "peers": peers,
    "latency": latency,
}
