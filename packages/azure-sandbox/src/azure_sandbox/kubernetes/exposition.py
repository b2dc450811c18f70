"""Metrics as Prometheus reads them: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass
class Metric:
    """One metric and its samples.

    Args:
        name: whole, with its prefix.
        help: what it counts.
        kind: gauge or counter.
        samples: labels and value of each.
    """

    name: str
    help: str
    kind: str = "gauge"
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, /, **labels: str) -> Metric:
        """Add a sample."""
        self.samples.append((labels, value))
        return self


def text_of(metrics: Iterable[Metric]) -> str:
    """The metrics that have samples, as text."""
    lines = []
    for metric in metrics:
        if not metric.samples:
            continue
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
        for labels, value in metric.samples:
            inside = ",".join(f'{name}="{_escaped(text)}"' for name, text in sorted(labels.items()))
            lines.append(f"{metric.name}{f'{{{inside}}}' if inside else ''} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if value != value:
        return "NaN"
    return repr(int(value)) if value == int(value) else repr(value)
