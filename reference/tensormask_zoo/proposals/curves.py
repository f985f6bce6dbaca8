"""Recall over the count of proposals and over IoU, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tensormask_zoo.files import replacing
from tensormask_zoo.pictures import PALETTE
from tensormask_zoo.proposals.recall import REPORTED, RecallCurves

DASHES = ("solid", "dashed", "dotted")
COLUMNS = 5  # of the legend


def save_recall_curves(
    curves: Mapping[str, RecallCurves],
    path: Path,
    *,
    counts: Sequence[int] = REPORTED,
    title: str = "",
) -> Path:
    """Draw the recall of some systems as SharpMask's and FastMask's papers do.

    Args:
        curves: name of a system to its curves of one kind, see :meth:`ProposalEvaluator.curves`.
        path: of the PNG.
        counts: of proposals, each with a panel of recall over IoU.
        title: of the picture.

    Returns:
        The path.

    Raises:
        ValueError: a count is none of those that the curves were measured at.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import, and seldom needed)

    panels = 1 + len(counts)
    figure = Figure(figsize=(4 * panels, 4.4), layout="constrained")
    first, *others = figure.subplots(1, panels, squeeze=False)[0]
    for line, (name, curve) in zip(_lines(len(curves)), curves.items(), strict=True):
        first.plot(curve.counts, curve.average(), label=name, **line)
        for axes, count in zip(others, counts, strict=True):
            axes.plot(curve.thresholds, curve.recall[:, _place(curve, count)], **line)
    first.set(xscale="log", xlabel="proposals per image", ylabel="average recall", ylim=(0, 1))
    for axes, count in zip(others, counts, strict=True):
        axes.set(xlabel="IoU", ylabel=f"recall at {count} proposals", xlim=(0.5, 1), ylim=(0, 1))
    _finish(figure, first, title, named=bool(curves))
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=120)
    return path


def _lines(count: int) -> list[dict[str, str]]:
    """Return lines that can be told apart: other dashes where the colours begin again."""
    places = (divmod(n, len(PALETTE)) for n in range(count))
    return [{"color": PALETTE[n], "linestyle": DASHES[turn % len(DASHES)]} for turn, n in places]


def _place(curve: RecallCurves, count: int) -> int:
    place = np.flatnonzero(curve.counts == count)
    if not place.size:
        raise ValueError(f"expected a count of {curve.counts.tolist()}, got {count}")
    return int(place[0])


def _finish(figure: Any, first: Any, title: str, *, named: bool) -> None:
    """Add grids, the title and one legend."""
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    if named:
        figure.legend(loc="outside lower center", ncols=COLUMNS)
    figure.suptitle(title)
