"""Training windows: which are sampled, and what their score, attention and mask should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tensormask_core import WindowGrid
from tensormask_core.assign import Assignment
from tensormask_core.grid_level import IntArray
from tensormask_core.masks import crop_and_resize
from tensormask_zoo.image_batching import Target
from tensormask_zoo.tensormask.targets import Rule


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How many windows of an image are trained; the defaults are the released code's.

    Which windows are negative is the rule's to say: the released code's rule names hard ones
    only, the paper's all that are not positive.

    Attributes:
        positives: at most so many windows with an object; only these train masks.
        negatives: at most so many without.
        balanced: at most as many negatives as positives, but one in an image without positives:
            the paper's "roughly 1:1".
    """

    positives: int = 32
    negatives: int = 32
    balanced: bool = False


@dataclass(frozen=True)
class Sample:
    """Windows of one image that are trained.

    Attributes:
        window: (S,) flat indices, positives first.
        object: (P,) row in the target of the object of each positive.
    """

    window: IntArray
    object: IntArray

    @property
    def positive(self) -> IntArray:
        """Flat indices of the positive windows, (P,)."""
        return self.window[: len(self.object)]


def sample_windows(rule: Rule, grid: WindowGrid, target: Target, sampling: Sampling) -> Sample:
    """Label the windows of an image and draw those that are trained; crowds are background.

    Raises:
        ValueError: a box ends before it starts or is not finite.
    """
    kept = _not_crowds(target)
    boxes = target["boxes"].as_subclass(Tensor).cpu()[kept]
    return draw(rule(grid, boxes.numpy()), kept.numpy(), sampling)


def draw(found: Assignment, objects: IntArray, sampling: Sampling) -> Sample:
    """Draw positive and negative windows at random, by torch's generator.

    Args:
        found: labels of the windows.
        objects: (N,) row in the target of each object that the rule saw.
        sampling: how many.
    """
    rows = _some(np.arange(len(found.window)), sampling.positives)
    most = min(sampling.negatives, max(1, len(rows))) if sampling.balanced else sampling.negatives
    window = np.concatenate([found.window[rows], _some(found.negative, most)])
    return Sample(window, objects[found.object[rows]])


def attention_targets(window_boxes: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """Return the share of each window cell that its object's box covers: (P, V, U) in [0, 1].

    Args:
        window_boxes: (P, 4) XYXY px.
        boxes: (P, 4) XYXY px, the objects'.
        cells: rows and columns of a window.

    Example:
        >>> window, box = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[0.0, 1, 3, 4]])
        >>> attention_targets(window, box, 2).tolist()
        [[[0.5, 0.25], [1.0, 0.5]]]
    """
    step = torch.arange(cells + 1, device=boxes.device) / cells
    covered = []
    for k in (1, 0):  # rows, columns
        low, high = window_boxes[:, k, None], window_boxes[:, k + 2, None]
        edges = low + (high - low) * step  # (P, cells + 1)
        start = torch.maximum(edges[:, :-1], boxes[:, k, None])
        end = torch.minimum(edges[:, 1:], boxes[:, k + 2, None])
        covered.append((end - start).clamp(min=0) * cells / (high - low))
    return covered[0][:, :, None] * covered[1][:, None, :]


def mask_targets(
    target: Target, sample: Sample, window_boxes: Tensor, cells: int, *, soft: bool
) -> Tensor:
    """Return what the masks of the positive windows should be: (P, cells, cells) in [0, 1]."""
    masks = target["masks"].as_subclass(Tensor)
    objects = torch.from_numpy(sample.object).to(masks.device)
    return crop_and_resize(masks, window_boxes, (cells, cells), object=objects, soft=soft).float()  # type: ignore[no-any-return]  # of any array library


def check_targets(targets: Sequence[Target] | None, images: int) -> Sequence[Target]:
    """Refuse targets that would train something else without a word.

    Raises:
        ValueError: no target, or not one per image, or masks and boxes of different objects.
    """
    if targets is None:
        raise ValueError("training expects targets, got None; call .eval() to detect")
    if len(targets) != images:
        raise ValueError(
            f"training expects one target per image, got {images} images and {len(targets)} targets"
        )
    for n, target in enumerate(targets):
        boxes, masks = len(target["boxes"]), len(target["masks"])
        if boxes != masks:
            raise ValueError(f"target {n} expects a mask per box, got {boxes} boxes, {masks} masks")
    return targets


def _not_crowds(target: Target) -> Tensor:
    crowd = target.get("iscrowd", torch.zeros(len(target["boxes"])))
    return (crowd.cpu() == 0).nonzero()[:, 0]


def _some(candidates: IntArray, most: int) -> IntArray:
    """Return at most so many of the candidates, at random."""
    chosen: IntArray = candidates[torch.randperm(len(candidates))[:most].numpy()]
    return chosen
