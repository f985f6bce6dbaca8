"""How well a network segments the object of a patch: DeepMask's measure in validation."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensormask_zoo.evaluation import MISSING
from tensormask_zoo.proposals.truth import Floats


def patch_ious(probabilities: Any, truth: Any, *, threshold: float = 0.5) -> Floats:
    """Return the IoU of predicted and true masks of patches.

    Args:
        probabilities: (K, V, U) in [0, 1], tensors or arrays.
        truth: (K, V, U) in [0, 1], of the same size; mask above 0.5.
        threshold: mask above it; 0.5 is the published measure, logit 0.

    Returns:
        (K,) in [0, 1]; 1 where both masks are empty.

    Raises:
        ValueError: the shapes differ or are not (K, V, U).

    Example:
        >>> patch_ious([[[0.9, 0.8, 0.1]]], [[[1, 0, 0]]]).tolist()
        [0.5]
    """
    found, true = _host(probabilities) > threshold, _host(truth) > 0.5
    if found.ndim != 3 or found.shape != true.shape:
        raise ValueError(
            f"patch_ious expects two arrays (K, V, U) of one shape, "
            f"got {found.shape} and {true.shape}"
        )
    common = (found & true).sum(axis=(1, 2))
    union = (found | true).sum(axis=(1, 2))
    return np.where(union > 0, common / np.maximum(union, 1), 1.0)


MEASURES = ("mean IoU", "median IoU", "IoU >= .5", "IoU >= .7")


class PatchEvaluator:
    """Collects patches and computes mean and median IoU and the share of good ones.

    Example:
        >>> evaluator = PatchEvaluator()
        >>> evaluator.add([[[0.9, 0.8, 0.1]]], [[[1, 0, 0]]])
        >>> evaluator.compute()
        {'mean IoU': 0.5, 'median IoU': 0.5, 'IoU >= .5': 1.0, 'IoU >= .7': 0.0}
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all patches."""
        self._ious: list[Floats] = []

    def add(self, probabilities: Any, truth: Any) -> None:
        """Add patches (K, V, U) that hold an object; see :func:`patch_ious`."""
        self._ious.append(patch_ious(probabilities, truth))

    def compute(self) -> dict[str, float]:
        """Return the measures in [0, 1], or -1 without patches.

        DeepMask's released code chooses its model by ``IoU >= .7``.
        """
        ious = np.concatenate([*self._ious, np.zeros(0)])
        if not ious.size:
            return dict.fromkeys(MEASURES, MISSING)
        shares = (ious.mean(), np.median(ious), (ious >= 0.5).mean(), (ious >= 0.7).mean())
        return {name: float(value) for name, value in zip(MEASURES, shares, strict=True)}


def _host(values: Any) -> Any:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
