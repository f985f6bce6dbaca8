"""Recall by count of proposals and by IoU, and the averages that the papers report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tensormask_zoo.evaluation import MISSING
from tensormask_zoo.proposals.matching import (
    AREA_RANGES_PX2,
    COCO_THRESHOLDS,
    SIZES,
    THRESHOLDS,
    Matches,
)
from tensormask_zoo.proposals.truth import Floats

REPORTED = (10, 100, 1000)
BY_SIZE = 100  # the count at which FastMask reports small, medium and large objects


def log_counts(most: int = 1000, per_decade: int = 10) -> npt.NDArray[np.int64]:
    """Return counts of proposals from 1 to ``most``, evenly spaced in the logarithm.

    Example:
        >>> log_counts(10, per_decade=4).tolist()
        [1, 2, 3, 6, 10]
    """
    steps = max(1, round(per_decade * np.log10(most)))
    return np.unique(np.geomspace(1, most, steps + 1).round().astype(np.int64))


COUNTS = np.union1d(log_counts(), REPORTED)


@dataclass(frozen=True)
class RecallCurves:
    """Recall of objects of all sizes, to be drawn.

    Attributes:
        counts: (N,) proposals per image.
        thresholds: (T,) IoU: COCO's ten and 1.0.
        recall: (T, N) in [0, 1], or -1 without any object.
    """

    counts: npt.NDArray[np.int64]
    thresholds: Floats
    recall: Floats

    def average(self) -> Floats:
        """Return the average recall (N,) over COCO's thresholds."""
        average: Floats = self.recall[COCO_THRESHOLDS].mean(axis=0)
        return average


def recall_of(matches: Sequence[Matches], counts: npt.ArrayLike) -> Floats:
    """Return the share of objects (A, T, N) that the best ``counts`` proposals of an image find.

    Args:
        matches: of all images.
        counts: (N,) of proposals.

    Returns:
        Recall in [0, 1] for each range of areas, IoU threshold and count; -1 where a range has
        no object.
    """
    sizes = len(AREA_RANGES_PX2)
    limits = np.asarray(counts)
    found = np.zeros((sizes, len(THRESHOLDS), len(limits)))
    objects = np.zeros(sizes)
    for one in matches:
        hit = one.ranks[..., None] < limits  # (A, T, G, N)
        found += (hit & one.counted[:, None, :, None]).sum(axis=2)
        objects += one.counted.sum(axis=1)
    known = objects > 0
    found[known] /= objects[known, None, None]
    found[~known] = MISSING
    return found


def curves_of(matches: Sequence[Matches]) -> RecallCurves:
    """Return recall over log-spaced counts and over IoU thresholds."""
    return RecallCurves(COUNTS, THRESHOLDS, recall_of(matches, COUNTS)[0])


def metrics_of(matches: Sequence[Matches]) -> dict[str, float]:
    """Return what the papers report, each in [0, 1], or -1 where there is no object to find.

    Returns:
        ``AR@10 AR@100 AR@1000``: average recall over IoU 0.5 to 0.95 (COCO). ``AUC`` and
        ``AUCS AUCM AUCL``: :func:`area_under_log_counts` of it (SharpMask, Table 4).
        ``ARS@100 ARM@100 ARL@100``: by size of the objects (FastMask, Table 1). ``VOC@...``:
        :func:`voc_average` (InstanceFCN, Table 1). ``AR max``: :func:`upper_bound`, over all
        proposals (SharpMask, Table 2).
    """
    recall = recall_of(matches, COUNTS)  # (A, T, N)
    average = recall[:, COCO_THRESHOLDS].mean(axis=1)  # (A, N)
    voc = voc_average(recall[0])
    at = {count: int(np.searchsorted(COUNTS, count)) for count in REPORTED}
    metrics = {f"AR@{count}": float(average[0, place]) for count, place in at.items()}
    for size, curve in zip(SIZES, average, strict=True):
        metrics[f"AUC{size}"] = area_under_log_counts(COUNTS, curve)
    for size, curve in zip(SIZES[1:], average[1:], strict=True):
        metrics[f"AR{size}@{BY_SIZE}"] = float(curve[at[BY_SIZE]])
    metrics |= {f"VOC@{count}": float(voc[place]) for count, place in at.items()}
    return metrics | {"AR max": upper_bound(matches)}


def area_under_log_counts(counts: npt.ArrayLike, values: npt.ArrayLike) -> float:
    """Return the mean of ``values`` over the logarithm of ``counts``, by trapezia.

    The papers average "across all proposal counts" and leave the spacing open; the logarithmic
    one agrees with their numbers, a linear one is far above them. A value of -1 throughout stays.

    Example:
        >>> round(area_under_log_counts([1, 10, 100, 1000], [3, 12.6, 24.5, 33.1]), 1)
        18.4
    """
    x, y = np.log(np.asarray(counts, float)), np.asarray(values, float)
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum() / (x[-1] - x[0]))


def voc_average(recall: Floats) -> Floats:
    """Return twice the integral of recall (T, ...) over IoU from 0.5 to 1.0, by trapezia.

    The average recall of Hosang et al. 2016, which InstanceFCN and the first DeepMask report for
    VOC; the step, 0.05 here, is not in the papers. A value of -1 throughout stays.

    Example:
        >>> voc_average(np.ones((11, 1))).tolist()
        [1.0]
    """
    steps = np.diff(THRESHOLDS).reshape(-1, *[1] * (recall.ndim - 1))
    total: Floats = (2 * steps * (recall[1:] + recall[:-1]) / 2).sum(axis=0)
    return total.round(12)  # 0.05 has no exact sum


def upper_bound(matches: Sequence[Matches]) -> float:
    """Return the average recall that the best order of the proposals could reach.

    An object counts at a threshold when any proposal overlaps it as much. Masks of different
    objects share no pixels, so no mask overlaps two of them by more than half: for masks this
    is what the best one-to-one matching gives, for boxes a bound to it.
    """
    best = np.concatenate([one.best_iou for one in matches] or [np.zeros(0)])
    if not best.size:
        return MISSING
    return float((best[:, None] >= THRESHOLDS[COCO_THRESHOLDS]).mean())
