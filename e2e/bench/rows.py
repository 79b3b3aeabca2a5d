"""The rows of the benchmark and who measures them.

A module registers a function for the rows it fills (`@measures(ROW, ...)`); adding a figure touches nothing else.
A figure that was missed is written down as missed; nothing here rounds, drops outliers or tries again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Values = Mapping[str, Sequence[float]]
"""Row id -> every measured value, in the row's unit."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to do. `runs`: repetitions of a row that is a time; `away_seconds`: how long a part stays away;
    `hog_seconds`: how long the CPU hogs run."""

    runs: int
    away_seconds: float
    hog_seconds: float


FULL = Effort(runs=20, away_seconds=60, hog_seconds=600)
QUICK = Effort(runs=3, away_seconds=10, hog_seconds=20)


def p99(values: Sequence[float]) -> float:
    """The 99th percentile by nearest rank: with fewer than 100 values, the worst one."""
    ordered = sorted(values)
    return ordered[math.ceil(0.99 * len(ordered)) - 1]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `reach` says it for people, `holds` decides; None = a row for comparison, nothing to reach."""

    id: str
    what: str
    unit: str
    reach: str
    holds: Callable[[Sequence[float]], bool] | None

    def summary(self, values: Sequence[float]) -> dict[str, object]:
        return {
            "id": self.id,
            "what": self.what,
            "unit": self.unit,
            "n": len(values),
            "min": round(min(values), 2),
            "median": round(statistics.median(values), 2),
            "p99": round(p99(values), 2),
            "max": round(max(values), 2),
            "reach": self.reach,
            "reached": None if self.holds is None else self.holds(values),
        }


Measure = Callable[[Effort], Values]
_registry: list[tuple[tuple[Row, ...], Measure]] = []


def measures(*rows: Row) -> Callable[[Measure], Measure]:
    """Register a function that measures these rows together."""

    def register(function: Measure) -> Measure:
        _registry.append((rows, function))
        return function

    return register


def registered() -> list[tuple[tuple[Row, ...], Measure]]:
    return list(_registry)


def at_most(limit: float, unit: str, *, of: str = "p99") -> tuple[str, Callable[[Sequence[float]], bool]]:
    """The usual promise: the worst (or 99th percentile) is at most that much."""
    picks: dict[str, Callable[[Sequence[float]], float]] = {"p99": p99, "max": max, "median": statistics.median}
    pick = picks[of]
    return f"{of} <= {limit:g} {unit}", lambda values: pick(values) <= limit


def row(id_: str, what: str, unit: str, limit: float, *, of: str = "p99") -> Row:
    """A row with the usual promise."""
    reach, holds = at_most(limit, unit, of=of)
    return Row(id_, what, unit, reach, holds)


_PLANNED_MS = 20.0


def planned_row(id_: str, what: str) -> Row:
    """The outages of something that is done in order: nothing lost in at least 19 of 20 runs, and never for long."""

    def holds(outages: Sequence[float]) -> bool:
        return sum(outage > 0 for outage in outages) <= len(outages) / 20 and max(outages) <= _PLANNED_MS

    return Row(id_, what, "ms", f"0 in 19 of 20 runs, never > {_PLANNED_MS:g} ms", holds)
