"""The recall of proposals that know nothing of the image, beside which a network has to stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tensormask_zoo.proposals.evaluator import ProposalEvaluator
from tensormask_zoo.proposals.recall import REPORTED
from tensormask_zoo.proposals.sliding_windows import sliding_windows
from tensormask_zoo.proposals.truth import Truth

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the objects' longer sides: five scales of windows


def window_recall(
    targets: Iterable[Mapping[str, Any]], counts: Sequence[int] = REPORTED, *, shape: str = "box"
) -> dict[str, float]:
    """Return the average recall of windows on a regular grid, as many as are counted.

    The windows know the objects' sizes: their five scales are quantiles of the longer sides of all
    objects.

    Args:
        targets: of all images, see :meth:`Truth.of`.
        counts: of windows per image, of those that :func:`metrics_of` reports.
        shape: of their masks, see :func:`sliding_windows`.

    Returns:
        ``mask AR@10``, ``box AR@100``, ... in [0, 1], or -1 without any object.

    Example:
        >>> from tensormask_zoo.data.shapes import Shapes
        >>> found = window_recall([Shapes(length=1)[0][1]], counts=(100,))
        >>> sorted(found), 0 <= found["mask AR@100"] < 0.5
        (['box AR@100', 'mask AR@100'], True)
    """
    images = [(target["masks"].shape[-2:], Truth.of(target)) for target in targets]
    sides = _sides_px([truth for _, truth in images])
    evaluators = {count: ProposalEvaluator() for count in counts}
    for size, truth in images:
        for count, evaluator in evaluators.items():
            found = sliding_windows(size, count, sides_px=sides, shape=shape)
            evaluator.add(found, truth)
    metrics = {count: evaluator.compute() for count, evaluator in evaluators.items()}
    return {
        f"{kind} AR@{count}": metrics[count][f"{kind} AR@{count}"]
        for kind in ("mask", "box")
        for count in counts
    }


def _sides_px(truths: Sequence[Truth]) -> list[float] | None:
    """Return quantiles of the longer sides of all objects, None where there is no object."""
    boxes = np.concatenate([np.zeros((0, 4)), *(truth.boxes for truth in truths)])
    longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return np.quantile(longer, QUANTILES).clip(min=1).tolist() if len(longer) else None
