#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Split the instructions that bench/qemu/count.c counted over what they are for."""

from __future__ import annotations

import argparse
import bisect
import sys
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

from cell import format_size, parse_size

USER, KERNEL, READ, RECYCLE, SEND, COMPLETIONS, WAIT, TRANSMIT, RECEIVE, INTERRUPT, SOFTIRQ, CALLBACK, GUARD, ENGINE, \
    TICK = range(15)
# Phases in the daemon's own context, and those that any task may be interrupted for.
OWN = {"daemon": [USER], "wait": [WAIT, KERNEL], "read": [READ], "recycle": [RECYCLE], "send": [SEND],
       "completions": [COMPLETIONS]}
ANYWHERE = {"card": [TRANSMIT], "receive": [RECEIVE], "interrupts": [INTERRUPT, SOFTIRQ],
            "callback": [CALLBACK], "guard": [GUARD]}
CALLS = {"sendmsg": SEND, "recvmmsg": COMPLETIONS, "epoll_wait": WAIT, "packet": TRANSMIT, "interrupt": INTERRUPT}

# Rows of fewer blocks are left out of the table: blocks that are in the ring at the ends of the time blur them.
MIN_BLOCKS = 50


class Counts:
    """What one file says."""

    def __init__(self, path: Path) -> None:
        self.tasks: dict[str, Counter] = {}
        self.entries: Counter = Counter()
        self.blocks: list[tuple[int, int, int]] = []  # phase, address, instructions
        for line in path.read_text().splitlines():
            kind, *words = line.split()
            if kind == "task":
                self.tasks.setdefault(words[0], Counter())[int(words[1])] = int(words[2])
            elif kind == "entries":
                self.entries[int(words[0])] = int(words[1])
            else:
                self.blocks.append((int(words[0]), int(words[1], 16), int(words[3])))

    def daemon(self) -> Counter:
        """The task that sends."""
        return max(self.tasks.values(), key=lambda task: task[SEND])

    def parts(self) -> dict[str, int]:
        """Instructions by part."""
        daemon = self.daemon()
        everywhere: Counter = sum(self.tasks.values(), Counter())
        parts = {name: sum(daemon[phase] for phase in phases) for name, phases in OWN.items()}
        return parts | {name: sum(everywhere[phase] for phase in phases) for name, phases in ANYWHERE.items()}

    def functions(self, symbols: Path) -> Counter:
        """Instructions by phase and function."""
        table = sorted((int(words[0], 16), words[2]) for words in map(str.split, symbols.read_text().splitlines()))
        starts = [start for start, _ in table]
        found: Counter = Counter()
        for phase, address, count in self.blocks:
            index = bisect.bisect(starts, address) - 1
            found[phase, table[index][1] if phase != USER and index >= 0 else "-"] += count
        return found


HEADS = {"daemon": "user code", "wait": "waiting", "read": "reading", "recycle": "recycling", "send": "sending",
         "completions": "completions", "card": "card's driver", "receive": "receiving ACKs", "interrupts": "interrupts",
         "callback": "DMA callback", "guard": "guard"}


def row_of(arguments: argparse.Namespace, counts: Counts) -> dict[str, str]:
    """One row: instructions a block, a client and a KiB, and how often functions were called for a block."""
    blocks = counts.entries[CALLBACK]
    if not blocks:
        sys.exit(f"{arguments.counts}: no block was filled")
    parts = counts.parts()
    total = sum(parts.values())
    kib = blocks * arguments.block * arguments.clients / 1024
    row = {"mode": arguments.mode, "block": format_size(arguments.block), "clients": str(arguments.clients),
           "blocks": str(blocks), "per_block": f"{total / blocks:.0f}",
           "per_block_and_client": f"{total / blocks / arguments.clients:.0f}", "per_kib": f"{total / kib:.1f}"}
    row |= {name: f"{count / kib:.2f}" for name, count in parts.items()}
    return row | {name: f"{counts.entries[phase] / blocks / arguments.clients:.2f}" for name, phase in CALLS.items()}


def print_functions(arguments: argparse.Namespace, counts: Counts) -> None:
    """Print the functions that take the most instructions."""
    blocks = counts.entries[CALLBACK]
    for (phase, name), count in counts.functions(arguments.symbols).most_common(arguments.functions):
        print(f"    {count / blocks:12.0f} a block  phase {phase:2}  {name}")


def print_table(path: Path) -> None:
    """Print a table of rows."""
    print(f"| mode | block | clients | a block and client | a KiB | {' | '.join(HEADS.values())} |")
    print("| --- |" + " ---: |" * (4 + len(HEADS)))
    for line in path.read_text().splitlines():
        row = dict(word.split("=", 1) for word in line.split())
        if int(row["blocks"]) < MIN_BLOCKS:
            continue
        mode = {"always": "zero-copy", "never": "copying"}.get(row["mode"], row["mode"])
        cells = [mode, row["block"], row["clients"], row["per_block_and_client"], row["per_kib"],
                 *(f"{float(row[name]):.1f}" for name in HEADS)]
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    """Print a row, or a table of rows."""
    parser = argparse.ArgumentParser(prog="bench/device_split.py", description=__doc__)
    parser.add_argument("counts", type=Path, help="counts, or with --table rows")
    parser.add_argument("--table", action="store_true", help="print rows as a table")
    parser.add_argument("--mode", default="always")
    parser.add_argument("--block", type=parse_size, default="256K")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--symbols", type=Path, help="/proc/kallsyms of the guest, for --functions")
    parser.add_argument("--functions", type=int, default=0, help="print the functions with the most instructions")
    arguments = parser.parse_args()
    if arguments.table:
        print_table(arguments.counts)
        return
    counts = Counts(arguments.counts)
    print(" ".join(f"{name}={value}" for name, value in row_of(arguments, counts).items()))
    if arguments.functions:
        print_functions(arguments, counts)


if __name__ == "__main__":
    main()
