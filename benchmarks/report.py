"""What a benchmark found: series of measurements, single facts, and targets that pass or fail."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.machine import Load, Patience

_WIDTH = 58


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one series: all but `count` in the series' unit."""

    median: float
    least: float
    p95: float
    count: int


@dataclass(frozen=True, slots=True)
class Target:
    """A promise. `passed` tells whether it was kept."""

    label: str
    value: float
    bound: float
    unit: str
    at_most: bool

    @property
    def passed(self) -> bool:
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self) -> str:
        word = "at most" if self.at_most else "at least"
        verdict = "PASS" if self.passed else "FAIL"
        return f"{verdict}  {self.label:{_WIDTH - 4}} {_number(self.value)} {self.unit} (target: {word} {self.bound:g})"


@dataclass(slots=True)
class Section:
    """One benchmark's findings, in the order in which they were made."""

    name: str
    title: str
    load: Load
    series: dict[str, Summary] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def add(self, label: str, values: Sequence[float], unit: str = "ms") -> float:
        """A series. Returns its median."""
        summary = summarize(values)
        self.series[f"{label} ({unit})"] = summary
        self.lines.append(
            f"      {label:{_WIDTH - 4}} {_number(summary.median)} {unit}"
            f"   min {_number(summary.least)}  p95 {_number(summary.p95)}  n {summary.count}"
        )
        return summary.median

    def fact(self, label: str, value: float, unit: str = "") -> None:
        """A number of its own."""
        self.facts[f"{label} ({unit})" if unit else label] = value
        self.lines.append(f"      {label:{_WIDTH - 4}} {_number(value)} {unit}".rstrip())

    def head(self, text: str) -> None:
        """A heading above what follows."""
        self.lines.append(f"   {text}")

    def patience(self, patience: Patience) -> None:
        """How much others disturbed it."""
        self.fact("measurements made again because others disturbed them", patience.repeated)
        self.fact("measurements kept though others disturbed them", patience.accepted)

    def at_most(self, label: str, value: float, bound: float, unit: str) -> None:
        """A target that is kept by `value` not above `bound`."""
        self._target(Target(label, value, bound, unit, at_most=True))

    def at_least(self, label: str, value: float, bound: float, unit: str) -> None:
        """A target that is kept by `value` not below `bound`."""
        self._target(Target(label, value, bound, unit, at_most=False))

    def _target(self, target: Target) -> None:
        self.targets.append(target)
        self.lines.append(str(target))

    def text(self) -> str:
        """All of it, for people."""
        return "\n".join([f"{self.name}: {self.title}  [{self.load}]", *self.lines, ""])

    def json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "name": self.name,
            "title": self.title,
            "load": {"average": self.load.average, "busy_cores": self.load.busy_cores},
            "series": {
                label: {"median": s.median, "min": s.least, "p95": s.p95, "n": s.count}
                for label, s in self.series.items()
            },
            "facts": self.facts,
            "targets": [
                {
                    "label": target.label,
                    "value": target.value,
                    "bound": target.bound,
                    "unit": target.unit,
                    "sense": "at most" if target.at_most else "at least",
                    "passed": target.passed,
                }
                for target in self.targets
            ],
        }


def summarize(values: Sequence[float]) -> Summary:
    """Raises ValueError for no values at all."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    return Summary(statistics.median(ordered), ordered[0], p95, len(ordered))


def _number(value: float) -> str:
    return f"{value:9,.0f}" if abs(value) >= 1000 else f"{value:9.2f}"
