"""Boxes of masks, for a model without a box head (appendix A.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from tensormask_zoo.tensormask.mask_tensors import MaskTensors
from tensormask_zoo.tensormask.results import boxes_of_masks
from tensormask_zoo.tensormask.targets import Windows

BUDGET = 1 << 24  # cells evaluated at a time: 64 MB of logits


def mask_boxes(tensors: MaskTensors, windows: Windows) -> Tensor:
    """Return the smallest box (P, 4) XYXY px around the mask of each window.

    A cell is mask from probability 1/2 on, and a box follows the edges of cells. Empty masks have
    boxes without area. Each window is evaluated once, however many classes it is a candidate of,
    and some at a time, so the memory does not grow with their number.
    """
    key = windows.image * (windows.window.max() + 1 if len(windows.window) else 1) + windows.window
    distinct, source = torch.unique(key, return_inverse=True)
    first = torch.empty_like(distinct)
    first[source] = torch.arange(len(source), device=source.device)  # any one of equal windows
    once = windows.subset(first)
    boxes = torch.zeros_like(once.window_boxes)
    for level, size, rows in once.groups():
        v, u = tensors.head.cells_of(level, size)
        for part in torch.split(rows, max(1, BUDGET // (v * u))):
            inside = tensors.masks(level, size, once.index(part)) >= 0
            boxes[part] = boxes_of_masks(inside, once.window_boxes[part])
    return boxes[source]
