# SPDX-License-Identifier: BSD-2-Clause
"""Medians, and ratios of measurements in the same round.

A ratio is taken within a round, followed by the median over all rounds, so that a disturbance of a whole
round cancels out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, sqrt
from statistics import median
from typing import Callable, Iterator

from cell import describe
from sample import Sample
from server import reference_mode

Value = Callable[[Sample], float]
Series = dict[int, Sample]  # the samples of one server in one cell, by round
ServerKey = tuple[str, str]  # name and mode of a server


@dataclass(frozen=True, order=True)
class Where:
    """The cell of a sample."""

    part: str
    transport: str
    pages: str
    block: int
    clients: int
    feed: str
    stalled: int = 0

    def __str__(self) -> str:
        return describe(self.transport, self.clients, self.block, self.pages)


@dataclass(frozen=True)
class Spread:
    """The median and the range of some numbers."""

    median: float
    low: float
    high: float
    values: tuple[float, ...]

    @property
    def count(self) -> int:
        """The number of values."""
        return len(self.values)


@dataclass(frozen=True)
class Pair:
    """A ratio of two servers in a cell."""

    cell: Where
    mode: str
    ratio: Spread

    @property
    def median(self) -> float:
        """The median of the rounds' ratios."""
        return self.ratio.median

    @property
    def where(self) -> str:
        """The cell and the mode, as text."""
        return f"{self.cell}, {self.mode}" if self.mode else str(self.cell)


Cells = dict[Where, dict[ServerKey, Series]]


def spread(values: list[float]) -> Spread:
    """The spread of at least one number."""
    return Spread(median(values), min(values), max(values), tuple(values))


def interval(values: list[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the median, from the ranks around it."""
    ranked = sorted(values)
    rank = max(0, floor(len(ranked) / 2 - 0.98 * sqrt(len(ranked))))
    return ranked[rank], ranked[-1 - rank]


def by_cell(samples: list[Sample]) -> Cells:
    """The samples of each server in each cell."""
    cells: Cells = {}
    for sample in samples:
        where = Where(
            sample.part, sample.transport, sample.pages, sample.block, sample.clients, sample.feed,
            sample.stalled,
        )
        servers = cells.setdefault(where, {})
        servers.setdefault((sample.server, sample.mode), {})[sample.round] = sample
    return dict(sorted(cells.items()))


def level(series: Series, value: Value) -> Spread:
    """The spread of a server's values."""
    return spread([value(sample) for sample in series.values()])


def ratio(over: Series, under: Series, value: Value) -> Spread | None:
    """The ratio in the rounds that both have, or None."""
    both = [number for number in over if number in under]
    ratios = [value(over[number]) / value(under[number]) for number in both if value(under[number])]
    return spread(ratios) if ratios else None


def paired(samples: list[Sample], value: Value, over: str, under: str) -> Iterator[Pair]:
    """Ratios of one program to its reference, in the same mode, in each cell that has both."""
    for where, servers in by_cell(samples).items():
        for (name, mode), series in servers.items():
            other = servers.get((under, reference_mode(mode, where.transport)))
            if name != over or not other:
                continue
            spread_ = ratio(series, other, value)
            if spread_:
                yield Pair(where, mode, spread_)
