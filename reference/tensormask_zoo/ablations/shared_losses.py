"""The losses of TensorMasks that share features, class and box head: what is shared, once.

The numbers are those of :meth:`TensorMask.losses`; windows are labelled, and mask targets made,
once for all models instead of once for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tensormask_zoo.image_batching import ImageSize, Target
from tensormask_zoo.tensormask import TensorMask, losses
from tensormask_zoo.tensormask.boxes import encode_boxes
from tensormask_zoo.tensormask.deltas_at import deltas_at
from tensormask_zoo.tensormask.mask_tensors import MaskTensors
from tensormask_zoo.tensormask.targets import Positives, Windows, find_positives, mask_targets

Features = tuple[list[Tensor], Tensor]  # pyramid levels and stem map


def summed_losses(
    models: Sequence[TensorMask], features: Features, image_size: ImageSize, targets: list[Target]
) -> dict[str, Tensor]:
    """Return the sum over ``models`` of each loss.

    Args:
        models: with one class and box head, one rule and one ``mask_share``.
        features: of a batch.
        image_size: padded (H, W) of the batch.
        targets: in the coordinates of the batch.
    """
    model = models[0]
    found = find_positives(model.rule, model.grid(image_size), targets)
    total = _class_and_box_losses(model, features[0], found)
    total = {name: value * len(models) for name, value in total.items()}
    images = max(1, round(model.mask_share * len(targets)))
    windows = found.windows.subset((found.windows.image < images).nonzero()[:, 0])
    some = [level[:images] for level in features[0]], features[1][:images]
    goals = _Goals(targets, windows)
    total["loss_mask"] = torch.stack([_mask_loss(one, some, goals) for one in models]).sum()
    return total


def _class_and_box_losses(
    model: TensorMask, levels: list[Tensor], found: Positives
) -> dict[str, Tensor]:
    head, windows = model.class_box_head, found.windows
    logits, deltas = head(levels, every_box=False)
    where = (windows.image, windows.window)
    count = max(1, len(windows.window))
    total = {"loss_classifier": losses.focal_star(logits.float(), (*where, found.labels)) / count}
    if head.deltas is not None:
        chosen = deltas_at(head, levels, windows) if deltas is None else deltas[where]
        goals = encode_boxes(found.boxes, windows.window_boxes)
        total["loss_box_reg"] = losses.box_loss(chosen.float(), goals) / count
    return total


class _Goals:
    """Mask targets of some windows, each made when first asked for."""

    def __init__(self, targets: list[Target], windows: Windows) -> None:
        self.windows, self._targets = windows, targets
        self.groups = list(windows.groups())
        self._made: dict[Any, Tensor] = {}

    def __call__(self, group: int, cells: tuple[int, int], kind: Any) -> Tensor:
        """Return the targets of ``groups[group]`` for masks of ``cells``."""
        key = (group, cells, kind)
        if key not in self._made:
            rows = self.groups[group][2]
            self._made[key] = mask_targets(self._targets, self.windows, rows, cells, kind)
        return self._made[key]


def _mask_loss(model: TensorMask, features: Features, goals: _Goals) -> Tensor:
    head, total = model.mask_head, features[1].new_zeros((), dtype=torch.float32)
    tensors = MaskTensors(head, *features)
    for group, (level, size, rows) in enumerate(goals.groups):
        goal = goals(group, head.cells_of(level, size), model.mask_targets)
        logits = tensors.masks(level, size, goals.windows.index(rows))
        total = total + losses.mask_loss(logits, goal)
    return total / max(1, len(goals.windows.window))
