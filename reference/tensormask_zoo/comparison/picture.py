"""The recall curves of all systems in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tensormask_zoo.comparison.systems import SYSTEMS
from tensormask_zoo.proposals.curves import save_recall_curves
from tensormask_zoo.proposals.recall import RecallCurves

KINDS = ("mask", "box", "boundary")


def save_pictures(results: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw ``SIZE-KIND.png`` for masks, boxes and contours, means over seeds.

    Args:
        results: as :mod:`tensormask_zoo.comparison.run` writes them.
        folder: of the files.
    """
    paths = []
    for size in sorted({one["protocol"] for one in results}):
        for kind in KINDS:
            curves = {
                system.title: mean_curves([one["curves"][kind] for one in found])
                for name, system in SYSTEMS.items()
                if (found := [r for r in results if (r["protocol"], r["row"]) == (size, name)])
            }
            path = folder / f"{size}-{kind}.png"
            paths.append(save_recall_curves(curves, path, title=f"{kind}, {size} models"))
    return paths


def mean_curves(curves: Sequence[dict[str, Any]]) -> RecallCurves:
    """Return the mean of curves of one kind, as results hold them.

    Example:
        >>> curve = {"counts": [1, 10], "thresholds": [0.5], "recall": [[0.0, 0.5]]}
        >>> mean_curves([curve, curve | {"recall": [[0.5, 1.0]]}]).recall.tolist()
        [[0.25, 0.75]]
    """
    recall = np.mean([one["recall"] for one in curves], axis=0)
    counts, thresholds = (np.array(curves[0][name]) for name in ("counts", "thresholds"))
    return RecallCurves(counts, thresholds, recall)
