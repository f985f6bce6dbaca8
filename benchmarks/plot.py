"""Draw the results: time over lam, over H x W, over dtype and over K, each with its floor.

Run `python benchmarks/plot.py`; it reads results/*.json and writes SVG beside them. A panel holds
the cases that differ in nothing but the quantity of its x axis.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from _harness import Case, Row
from _problem import ITEM_BYTES
from _results import FOLDER, check_result
from matplotlib.figure import Figure

FLOOR = {"color": "black", "linestyle": "--", "linewidth": 1.0, "marker": ""}
CURVE = {"linewidth": 1.0, "marker": "o", "markersize": 3.0, "capsize": 2.0}
COLUMNS = 2
PANEL_INCHES = (4.2, 2.8)
FEWEST = 3  # values of x that make a curve

Panel = tuple[tuple[str, Any], ...]  # what all cases of a panel share


@dataclass(frozen=True, slots=True)
class Sweep:
    """One quantity that cases vary: its label, the fields of a case that hold it, its value."""

    name: str
    label: str
    fields: tuple[str, ...]
    value: Callable[[Case], Any]
    logarithmic: bool = True

    def rank(self, case: Case) -> int:
        """Where a case stands on the axis, from left to right."""
        value = self.value(case)
        return value if self.logarithmic else list(ITEM_BYTES).index(value)


SWEEPS = (
    Sweep("lam", "lam", ("lam",), lambda case: case["lam"]),
    Sweep("hw", "H x W", ("H", "W"), lambda case: int(case["H"]) * int(case["W"])),
    Sweep("k", "windows K", ("K",), lambda case: case["K"]),
    Sweep("dtype", "dtype", ("dtype",), lambda case: case["dtype"], logarithmic=False),
)


def panels_of(rows: Sequence[Row], sweep: Sweep) -> dict[Panel, list[Row]]:
    """Return the rows by what their cases share apart from the sweep's fields."""
    panels: dict[Panel, list[Row]] = defaultdict(list)
    for row in rows:
        if set(sweep.fields) <= set(row["case"]):
            kept = (item for item in row["case"].items() if item[0] not in sweep.fields)
            panels[tuple(kept)].append(row)
    return {
        panel: rows
        for panel, rows in panels.items()
        if len({sweep.value(row["case"]) for row in rows}) >= FEWEST
    }


def draw(result: dict[str, Any], sweep: Sweep) -> Figure | None:
    """Return the figure of one sweep of a result, or None where the result does not hold it."""
    panels = panels_of(result["rows"], sweep)
    if not panels:
        return None
    lines = -(-len(panels) // COLUMNS)
    width, height = PANEL_INCHES
    figure = Figure(figsize=(COLUMNS * width, lines * height))
    grid = figure.subplots(lines, COLUMNS, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, (panel, rows) in zip(grid.flat, panels.items(), strict=False):
        _draw_panel(axes, sweep, rows, result["baseline"])
        axes.set_title(", ".join(f"{name} {value}" for name, value in _telling(panel, panels)))
    handles = {line.get_label(): line for axes in figure.axes for line in _curves(axes)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"{_machine(result)}, {result['date'][:10]}; median and quartiles")
    return figure


def save(result: dict[str, Any], stem: str, folder: Path) -> list[Path]:
    """Write the figures that a result holds; return their paths."""
    paths = []
    for sweep in SWEEPS:
        with mpl.rc_context(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": stem,  # equal results make equal files
                "font.size": 8,
                "figure.constrained_layout.use": True,
            }
        ):
            figure = draw(result, sweep)
            if figure is None:
                continue
            paths.append(folder / f"{stem}_over_{sweep.name}.svg")
            figure.savefig(paths[-1], metadata={"Date": None})
    return paths


def _draw_panel(axes: Any, sweep: Sweep, rows: Sequence[Row], baseline: str) -> None:
    curves: dict[str, list[tuple[Any, float, float, float]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: sweep.rank(row["case"])):
        q1, median, q3 = (1e3 * row["seconds"][name] for name in ("q1", "median", "q3"))
        point = (sweep.value(row["case"]), median, median - q1, q3 - median)
        curves[row["contender"]].append(point)
    if sweep.logarithmic:
        axes.set_xscale("log")
        values = sorted({sweep.value(row["case"]) for row in rows})
        axes.set_xticks(values, [f"{value:,}" for value in values])
        axes.set_xticks([], minor=True)
    axes.set_yscale("log")
    for name, points in curves.items():
        x, median, below, above = zip(*points, strict=True)
        style = {**CURVE, **FLOOR} if name == baseline else CURVE
        axes.errorbar(x, median, yerr=(below, above), label=name, **style)
    axes.set_xlabel(sweep.label)
    axes.set_ylabel("ms")


def _curves(axes: Any) -> Any:
    return axes.get_legend_handles_labels()[0]


def _telling(panel: Panel, panels: dict[Panel, list[Row]]) -> Panel:
    """Return what tells a panel from the others, or all of it where there is one."""
    if len(panels) == 1:
        return panel
    return tuple(item for item in panel if any(item not in other for other in panels))


def _machine(result: dict[str, Any]) -> str:
    gpu = result["machine"]["gpu"]
    return str(gpu["name"]) if gpu else f"{result['machine']['cpu']}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--results", type=Path, default=FOLDER, help="folder of *.json")
    folder = parser.parse_args(arguments).results
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text())
        check_result(result)
        for written in save(result, path.stem, folder):
            print(f"written to {written}")


if __name__ == "__main__":
    main()
