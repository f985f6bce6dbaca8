"""The rows of a grid as bars beside the paper's."""

from __future__ import annotations

from pathlib import Path

from tensormask_zoo.ablations.grid import LINES
from tensormask_zoo.ablations.table import Grid
from tensormask_zoo.files import replacing


def save_bars(grid: Grid, path: Path) -> Path:
    """Draw the AP of every line with results, ours (mean, deviation over seeds) and the paper's."""
    import matplotlib  # noqa: PLC0415  (slow to import, and needed once per run)

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  (as above, after the choice of canvas)

    series = ["paper", *grid.protocols]
    lines = [line for line in LINES if any(grid.of(p, line.row) for p in grid.protocols)]
    height = 0.8 / len(series)
    figure, axes = plt.subplots(figsize=(8, 1 + 0.3 * len(lines)), layout="constrained")
    for n, name in enumerate(series):
        at = [k + (n - (len(series) - 1) / 2) * height for k in range(len(lines))]
        if name == "paper":
            values = [line.paper[0] if line.paper else 0.0 for line in lines]
            axes.barh(at, values, height, color="lightgrey", label="paper (COCO)")
            continue
        spreads = [grid.scores(name, line.row, "AP") for line in lines]
        means, deviations = [s.mean for s in spreads], [s.deviation for s in spreads]
        axes.barh(at, means, height, xerr=deviations, label=f"ours, {name}")
    axes.set_yticks(range(len(lines)), [f"{line.table}: {line.name}" for line in lines])
    axes.set(xlabel="mask AP, %", ylim=(len(lines) - 0.5, -0.5))  # the first line on top
    axes.legend()
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=120)
    plt.close(figure)
    return path
