# SPDX-License-Identifier: BSD-2-Clause
"""Medians, and ratios of what was measured in the same round.

A ratio is taken within a round, and then the median of all rounds': what disturbed a whole round is
not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, sqrt
from statistics import median
from typing import Callable, Iterator

from cell import describe
from sample import Sample
from server import measure_of

Value = Callable[[Sample], float]
Series = dict[int, Sample]  # the samples of one server in one cell, by round
Who = tuple[str, str]  # name and mode of a server


@dataclass(frozen=True, order=True)
class Where:
    """The cell of a sample."""

    part: str
    transport: str
    pages: str
    block: int
    clients: int
    feed: str

    def __str__(self) -> str:
        return describe(self.transport, self.clients, self.block, self.pages)


@dataclass(frozen=True)
class Spread:
    """The median of some numbers, and how far they reach."""

    median: float
    low: float
    high: float
    values: tuple[float, ...]

    @property
    def count(self) -> int:
        """How many there were."""
        return len(self.values)


@dataclass(frozen=True)
class Pair:
    """A ratio of two servers in a cell."""

    cell: Where
    mode: str
    ratio: Spread

    @property
    def median(self) -> float:
        """Of the rounds' ratios."""
        return self.ratio.median

    @property
    def where(self) -> str:
        """The cell and the mode, for people."""
        return f"{self.cell}, {self.mode}" if self.mode else str(self.cell)


Cells = dict[Where, dict[Who, Series]]


def spread(values: list[float]) -> Spread:
    """Of at least one number."""
    return Spread(median(values), min(values), max(values), tuple(values))


def interval(values: list[float]) -> tuple[float, float]:
    """Where the median of many such numbers would be, in 95 of 100 cases (by the ranks around it)."""
    ranked = sorted(values)
    rank = max(0, floor(len(ranked) / 2 - 0.98 * sqrt(len(ranked))))
    return ranked[rank], ranked[-1 - rank]


def by_cell(samples: list[Sample]) -> Cells:
    """The samples of each server in each cell."""
    cells: Cells = {}
    for sample in samples:
        where = Where(
            sample.part, sample.transport, sample.pages, sample.block, sample.clients, sample.feed
        )
        servers = cells.setdefault(where, {})
        servers.setdefault((sample.server, sample.mode), {})[sample.round] = sample
    return dict(sorted(cells.items()))


def level(series: Series, value: Value) -> Spread:
    """What a server reaches."""
    return spread([value(sample) for sample in series.values()])


def ratio(over: Series, under: Series, value: Value) -> Spread | None:
    """Of the rounds that both took part in, if there are any."""
    both = [number for number in over if number in under]
    ratios = [value(over[number]) / value(under[number]) for number in both if value(under[number])]
    return spread(ratios) if ratios else None


def paired(samples: list[Sample], value: Value, over: str, under: str) -> Iterator[Pair]:
    """One program to another that is its measure, in the same mode, in each cell that has both."""
    for where, servers in by_cell(samples).items():
        for (name, mode), series in servers.items():
            other = servers.get((under, measure_of(mode, where.transport)))
            if name != over or not other:
                continue
            spread_ = ratio(series, other, value)
            if spread_:
                yield Pair(where, mode, spread_)
