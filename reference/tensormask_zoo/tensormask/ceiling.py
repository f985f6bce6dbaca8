"""The ceiling: what true windows with true targets would score, pasted like predictions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tensormask_zoo.image_batching import Target
from tensormask_zoo.tensormask.model import TensorMask
from tensormask_zoo.tensormask.postprocess import Detections
from tensormask_zoo.tensormask.results import WindowMasks, rescale
from tensormask_zoo.tensormask.targets import find_positives, mask_targets


def ceiling_of(
    model: TensorMask, image: Tensor, target: Target
) -> tuple[Detections, list[WindowMasks]]:
    """Return perfect detections in the coordinates of ``image``, whatever size the model sees."""
    batch, (seen,) = model.transform([image], [target])
    size = (image.shape[-2], image.shape[-1])
    return rescale(*true_detections(model, seen), batch.image_sizes[0], size)


def true_detections(model: TensorMask, target: Target) -> tuple[Detections, list[WindowMasks]]:
    """Return one perfect detection for each object that the rule gives a window.

    Args:
        model: whose grid, rule and mask cells are measured.
        target: of one image, in the coordinates that the model would see.

    Returns:
        What :meth:`TensorMask.detect` returns for an image.
    """
    height, width = target["masks"].shape[-2:]
    found = find_positives(model.rule, model.grid((height, width)), [target])
    # Any window of an object will do; the first is on the finest level that may hold it.
    _, first = np.unique(found.windows.object.numpy(), return_index=True)
    chosen = torch.from_numpy(first)
    windows = found.windows.subset(chosen)
    detections = Detections(
        boxes=found.boxes[chosen],
        labels=found.labels[chosen] + 1,
        scores=torch.ones(len(chosen)),
        window=windows.window,
    )
    masks = []
    for level, size, rows in windows.groups():
        cells = model.mask_head.cells_of(level, size)
        values = mask_targets([target], windows, rows, cells, model.mask_targets)
        masks.append(WindowMasks(rows, values, windows.window_boxes[rows]))
    return detections, masks
