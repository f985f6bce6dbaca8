"""One table of a grid: the paper's numbers, ours over seeds, and the differences that matter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tensormask_zoo.ablations.grid import CONTRASTS, LINES, Contrast, Line
from tensormask_zoo.ablations.scores import METRICS
from tensormask_zoo.files import replacing, write_json

Result = dict[str, Any]
NONE = "–"


@dataclass(frozen=True)
class Spread:
    """Values over the seeds that could be measured."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean, NaN of none."""
        return mean(self.values) if self.values else math.nan

    @property
    def deviation(self) -> float:
        """Their sample standard deviation, 0 of a single one."""
        return stdev(self.values) if len(self.values) > 1 else 0.0

    def __format__(self, sign: str) -> str:
        if not self.values:
            return NONE
        deviation = f" ± {self.deviation:.1f}" if len(self.values) > 1 else ""
        return f"{self.mean:{sign}z.1f}{deviation}"


class Grid:
    """Results by protocol, row and seed.

    Args:
        results: as :mod:`tensormask_zoo.ablations.run` writes them.
    """

    def __init__(self, results: Iterable[Result]) -> None:
        self._results = {(r["protocol"], r["row"], r["seed"]): r for r in results}

    @property
    def protocols(self) -> list[str]:
        """Those that have results."""
        return sorted({protocol for protocol, _, _ in self._results})

    def of(self, protocol: str, row: str) -> list[Result]:
        """Return the results of a row, by seed."""
        keys = sorted(key for key in self._results if key[:2] == (protocol, row))
        return [self._results[key] for key in keys]

    def facts(self, protocol: str) -> tuple[str, str, float, float]:
        """Return how many images and iterations results are of, and the bounds of sizes."""
        results = [r for r in self._results.values() if r["protocol"] == protocol]
        counts = (sorted({r[name] for r in results}) for name in ("images", "iterations"))
        images, iterations = ("–".join(map(str, {c[0]: 0, c[-1]: 0})) for c in counts)
        return images, iterations, *results[0]["sizes_px"]

    def scores(self, protocol: str, row: str, metric: str) -> Spread:
        """Return a metric of a row over its seeds."""
        values = (one["scores"][metric] for one in self.of(protocol, row))
        return Spread(tuple(value for value in values if value is not None))

    def best(self, protocol: str, rows: Sequence[str], metric: str) -> str | None:
        """Return the best of ``rows`` on average, of those with results."""
        known = [row for row in rows if self.scores(protocol, row, metric).values]
        return max(known, key=lambda row: self.scores(protocol, row, metric).mean, default=None)

    def difference(self, protocol: str, contrast: Contrast) -> tuple[Spread, str | None]:
        """Return a contrast within each seed, and the row that was subtracted."""
        metric, than = contrast.metric, self.best(protocol, contrast.than, contrast.metric)
        ours = {one["seed"]: one["scores"][metric] for one in self.of(protocol, contrast.row)}
        other = {one["seed"]: one["scores"][metric] for one in self.of(protocol, than or "")}
        seeds = [seed for seed in ours if None not in (ours[seed], other.get(seed))]
        return Spread(tuple(ours[seed] - other[seed] for seed in seeds)), than


def write_table(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write ``table.md`` and ``table.json`` and return their paths."""
    grid = Grid(results)
    sections = [_section(grid, protocol) for protocol in grid.protocols]
    path = folder / "table.md"
    with replacing(path) as beside:
        beside.write_text("\n\n".join(["# Ablations", *sections]) + "\n", encoding="utf-8")
    lines = [
        {"table": line.table, "name": line.name, "paper": line.paper, **result}
        for protocol in grid.protocols
        for line in LINES
        for result in grid.of(protocol, line.row)
    ]
    return [path, write_json(lines, folder / "table.json")]


def _section(grid: Grid, protocol: str) -> str:
    """Return the lines and differences of a protocol as Markdown."""
    commands: dict[str, set[int]] = {}
    lines = [_line(grid, protocol, line, commands) for line in LINES]
    differences = [_difference(grid, protocol, contrast) for contrast in CONTRASTS]
    head = ["table", "row", "paper", *METRICS, "seeds", "command"]
    legend = (
        "Mask AP in percent: the paper's on COCO (AP / AP50 / AP75, where printed / S / M / L), "
        "then ours, mean ± standard deviation over seeds; {} images, {} iterations, objects small "
        "below {:g}² px and large from {:g}² px on."
    ).format(*grid.facts(protocol))
    runs = [
        f"{n}. `{command} --seeds {' '.join(map(str, sorted(seeds)))}`"
        for n, (command, seeds) in enumerate(commands.items(), start=1)
    ]
    parts = [
        f"## Protocol: {protocol}", legend, _markdown(head, lines), "Differences, within seeds:",
        _markdown(["table", "difference", "metric", "paper", "ours", "subtracted"], differences),
        "Commands:", "\n".join(runs),
    ]  # fmt: skip
    return "\n\n".join(parts)


def _line(grid: Grid, protocol: str, line: Line, commands: dict[str, set[int]]) -> list[str]:
    """Return the cells of a line, and note the command of its row."""
    results = grid.of(protocol, line.row)
    for result in results:
        commands.setdefault(result["command"], set()).add(result["seed"])
    paper = " / ".join(f"{value:.1f}" for value in line.paper) or NONE
    ours = [f"{grid.scores(protocol, line.row, metric):}" for metric in METRICS]
    number = str([*commands].index(results[-1]["command"]) + 1) if results else NONE
    return [line.table, line.name, paper, *ours, str(len(results)), number]


def _difference(grid: Grid, protocol: str, contrast: Contrast) -> list[str]:
    """Return the cells of a difference."""
    ours, than = grid.difference(protocol, contrast)
    paper = NONE if contrast.paper is None else f"{contrast.paper:+.1f}"
    subtracted = than if than and len(contrast.than) > 1 else NONE
    return [contrast.table, contrast.name, contrast.metric, paper, f"{ours:+}", subtracted]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
