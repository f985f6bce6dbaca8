"""One table of all systems: recall and cost over seeds, the papers' numbers, and differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tensormask_zoo.ablations.grid import Contrast
from tensormask_zoo.ablations.table import NONE, Grid, Spread
from tensormask_zoo.comparison.systems import BASELINE, CONTRASTS, SYSTEMS, System
from tensormask_zoo.files import replacing, write_json

Result = dict[str, Any]

METRICS = (
    "mask AR@10", "mask AR@100", "mask AR@1000", "mask AUC",
    "mask ARS@100", "mask ARM@100", "mask ARL@100",
    "box AR@100", "boundary AR@100",
)  # fmt: skip
UNTRAINED = "mask AR@100"
COSTS = {"seconds": ("s", 1.0), "parameters": ("M parameters", 1e6), "peak_bytes": ("MB", 1e6)}
LINES = {BASELINE: System(title="sliding windows, no network", model="none"), **SYSTEMS}
LEGEND = (
    "Average recall of proposals in percent, mean ± standard deviation over seeds; in brackets the "
    "paper's on COCO. Boundary: with the lesser of mask and boundary IoU. Untrained: the same "
    "network before its first step, of systems that are no variants. Sliding windows know the "
    "objects' sizes. Cost of one image, from pixels to run lengths: median seconds and peak memory "
    "on {device} ({threads} threads); {images} images."
)


def write_table(results: Sequence[Result], folder: Path) -> list[Path]:
    """Write ``table.md`` and ``table.json`` and return their paths.

    Args:
        results: as :mod:`tensormask_zoo.comparison.run` writes them.
        folder: of the files.
    """
    grid = Grid(results)
    path = folder / "table.md"
    with replacing(path) as beside:
        beside.write_text(f"# Proposal systems\n\n{sections(results)}\n", encoding="utf-8")
    lines = [
        {"title": system.title, "source": system.source, "paper": dict(system.paper), **result}
        for size in grid.protocols
        for name, system in LINES.items()
        for result in grid.of(size, name)
    ]
    for line in lines:
        line.pop("curves", None)
    return [path, write_json(lines, folder / "table.json")]


def sections(results: Sequence[Result]) -> str:
    """Return a section for each size of models as Markdown.

    Args:
        results: as :mod:`tensormask_zoo.comparison.run` writes them, or :func:`write_table`.
    """
    grid = Grid(results)
    return "\n\n".join(_section(grid, size) for size in grid.protocols)


def _section(grid: Grid, size: str) -> str:
    """Return the systems and differences of a size as Markdown."""
    names = [name for name in SYSTEMS if grid.of(size, name)]
    head = ["system", *METRICS, f"{UNTRAINED}, untrained", *(name for name, _ in COSTS.values())]
    head += ["iterations", "seeds", "paper"]
    lines = [_line(grid, size, name) for name in LINES if grid.of(size, name)]
    differences = [
        cells for contrast in CONTRASTS if (cells := _difference(grid, size, contrast)) is not None
    ]
    one = grid.of(size, names[0])[0]
    parts = [f"## {size.capitalize()} models", LEGEND.format(**one, **one["cost"])]
    parts.append(_markdown(head, lines))
    if differences:
        columns = ["table", "difference, within seeds", "metric", "paper", "ours"]
        parts.append(_markdown(columns, differences))
    return "\n\n".join([*parts, *_commands([r for name in names for r in grid.of(size, name)])])


def _line(grid: Grid, size: str, name: str) -> list[str]:
    """Return the cells of a system, or of sliding windows."""
    system, results = LINES[name], grid.of(size, name)
    recalls = [
        _with(f"{grid.scores(size, name, metric)}", system.paper.get(metric), ".1f")
        for metric in METRICS
    ]
    before = [one["untrained"][UNTRAINED] for one in results if one.get("untrained")]
    untrained = Spread(tuple(value for value in before if value is not None))
    costs = [NONE] * len(COSTS) if name == BASELINE else _costs(system, results)
    iterations = fmean(one.get("iterations", 0) for one in results)
    last = [f"{iterations:.0f}", str(len(results)), system.source or NONE]
    return [system.title, *recalls, f"{untrained}", *costs, *last]


def _costs(system: System, results: Sequence[Result]) -> list[str]:
    """Return the cells of the costs of an image."""
    return [
        _with(f"{fmean(one['cost'][key] for one in results) / unit:.3g}", system.paper.get(key))
        for key, (_, unit) in COSTS.items()
    ]


def _with(ours: str, paper: float | None, form: str = "g") -> str:
    return ours if paper is None else f"{ours} ({paper:{form}})"


def _difference(grid: Grid, size: str, contrast: Contrast) -> list[str] | None:
    """Return the cells of a difference, None where no seed has both."""
    spread, _ = grid.difference(size, contrast)
    if not spread.values:
        return None
    paper = NONE if contrast.paper is None else f"{contrast.paper:+.1f}"
    return [contrast.table or NONE, contrast.name, contrast.metric, paper, f"{spread:+}"]


def _commands(results: Sequence[Result]) -> list[str]:
    """Return the commands that gave the results, each with its systems and seeds."""
    found: dict[str, list[Result]] = {}
    for one in results:
        found.setdefault(one["command"], []).append(one)
    return [
        f"`{command} --systems {' '.join(dict.fromkeys(r['row'] for r in some))}"
        f" --seeds {' '.join(str(seed) for seed in sorted({r['seed'] for r in some}))}`"
        for command, some in found.items()
    ]


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
