"""Calibrated scores: what precision a score stands for (TensorMask, appendix A.5).

Scores of different models and classes cannot be compared: 0.4 may be sure for one and a guess for
another. A detection's calibrated score is the precision, on a validation set, of all detections of
its class that score as high. It is for pictures and thresholds; AP does not change by it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tensormask_zoo.files import write_json

CALIBRATION_IOU = 0.5  # masks that overlap so much are found
PICTURED_PRECISION = 0.6  # of the detections in the paper's pictures
DECIMALS = 3  # of a precision; with more, COCO's 500,000 detections make a file of megabytes


@dataclass(frozen=True)
class Curve:
    """Precision over score of one class, as steps.

    Attributes:
        scores: rising; the precision holds for scores up to this, from the one before on.
        precision: rising, in [0, 1].
    """

    scores: tuple[float, ...] = ()
    precision: tuple[float, ...] = ()

    def __call__(self, scores: Tensor) -> Tensor:
        """Return the precision of each score (D,); a curve without steps returns the scores."""
        if not self.scores:
            return scores
        steps = scores.new_tensor(self.scores, dtype=torch.float64)
        step = torch.searchsorted(steps, scores.double()).clamp(max=len(steps) - 1)
        return scores.new_tensor(self.precision)[step]


@dataclass(frozen=True)
class Calibration:
    """The curves of all classes, in the order of their labels 1, 2, ...

    Example:
        >>> known = Calibration({"cat": Curve((0.3, 0.9), (0.5, 1.0)), "dog": Curve()})
        >>> known(torch.tensor([0.2, 0.4, 0.4]), torch.tensor([1, 1, 2])).tolist()
        [0.5, 1.0, 0.4000000059604645]
    """

    curves: Mapping[str, Curve]

    def __call__(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the calibrated scores of detections.

        Args:
            scores: (D,) in [0, 1].
            labels: (D,) from 1.

        Returns:
            (D,) in [0, 1]; the score itself for a class that the validation set does not show.
        """
        calibrated = scores.clone()
        for label, curve in enumerate(self.curves.values(), start=1):
            mine = labels == label
            calibrated[mine] = curve(scores[mine])
        return calibrated

    def write(self, path: Path) -> Path:
        """Write the curves as JSON and return its path."""
        classes = {
            name: {"score": curve.scores, "precision": curve.precision}
            for name, curve in self.curves.items()
        }
        return write_json({"mask_iou": CALIBRATION_IOU, "classes": classes}, path)

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read what :meth:`write` wrote."""
        classes = json.loads(path.read_text())["classes"]
        return cls(
            {
                name: Curve(tuple(curve["score"]), tuple(curve["precision"]))
                for name, curve in classes.items()
            }
        )


def precision_of_scores(scores: ArrayLike, correct: ArrayLike) -> Curve:
    """Return the precision of all detections of at least a score, made monotone.

    Precision over falling scores goes up and down; as COCO's, the curve takes at each point the
    best of this recall and all higher ones.

    Args:
        scores: (D,) of the detections of one class, in any order.
        correct: (D,) whether each found an object.

    Example:
        >>> precision_of_scores([0.9, 0.8, 0.7, 0.6], [True, False, True, False])
        Curve(scores=(0.6, 0.8, 0.9), precision=(0.5, 0.667, 1.0))
    """
    scores, correct = np.asarray(scores, np.float64), np.asarray(correct, bool)
    order = np.argsort(-scores, kind="stable")
    falling, found = scores[order], np.cumsum(correct[order])
    last = np.append(falling[1:] != falling[:-1], True)[: len(falling)]  # of equal scores
    precision = (found / np.arange(1, len(found) + 1))[last][::-1]
    rising, best = falling[last][::-1], np.maximum.accumulate(precision).round(DECIMALS)
    step = np.append(best[1:] != best[:-1], True)[: len(best)]
    return Curve(tuple(rising[step].tolist()), tuple(best[step].tolist()))


def calibrate(evaluation: Any, class_names: Sequence[str]) -> Calibration:
    """Return the curves of a finished ``COCOeval`` at its first IoU, for objects of all sizes."""
    found: dict[int, list[tuple[Any, Any]]] = defaultdict(list)
    shown: set[int] = set()
    everything = evaluation.params.areaRng[0]
    for one in evaluation.evalImgs:  # one per class, area and image, None where nothing is
        if one is None or one["aRng"] != everything:
            continue
        counts = ~one["dtIgnore"][0].astype(bool)  # what lies in a crowd is neither right nor wrong
        found[one["category_id"]].append(
            (np.asarray(one["dtScores"])[counts], one["dtMatches"][0][counts] > 0)
        )
        if not np.all(one["gtIgnore"]):
            shown.add(one["category_id"])
    return Calibration(
        {
            name: _joined(found[label]) if label in shown else Curve()
            for label, name in enumerate(class_names, start=1)
        }
    )


def _joined(images: Sequence[tuple[Any, Any]]) -> Curve:
    """Return the curve of all images' detections of a class."""
    scores, correct = (np.concatenate(part) for part in zip(*images, strict=True))
    return precision_of_scores(scores, correct)
