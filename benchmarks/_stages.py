"""What TensorMask does one after the other to detect, each stage as a call of its own."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from tensormask_zoo.tensormask import TensorMask
from tensormask_zoo.tensormask.boxes import decode_boxes
from tensormask_zoo.tensormask.deltas_at import deltas_at
from tensormask_zoo.tensormask.mask_tensors import MaskTensors
from tensormask_zoo.tensormask.postprocess import candidates, suppress
from tensormask_zoo.tensormask.results import as_rles, window_masks
from tensormask_zoo.tensormask.targets import Windows


def stages_of(model: TensorMask, images: list[Tensor]) -> dict[str, Callable[[], object]]:
    """Return the stages by name; what a stage takes from those before it is made beforehand."""
    ((_, batch),) = model.transform.batches(images)
    tensors, size = batch.tensors, batch.image_sizes[0]
    grid = model.grid((tensors.shape[-2], tensors.shape[-1]))
    maps = model.backbone.trunk(tensors)
    levels, stem = model.backbone(tensors)
    logits, _ = model.class_box_head(levels, every_box=False)
    found = candidates(logits, model.limits)
    windows = Windows.of(grid, found.image, found.window, found.label)
    deltas = deltas_at(model.class_box_head, levels, windows)
    boxes = decode_boxes(deltas, windows.window_boxes)
    kept = suppress(found, boxes, len(tensors), model.limits)
    (masks,) = window_masks(MaskTensors(model.mask_head, levels, stem), kept, grid)
    return {
        "trunk": lambda: model.backbone.trunk(tensors),
        "pyramid": lambda: model.backbone.fpn([maps[str(k)] for k in range(len(maps) - 1)]),
        "class tower": lambda: [model.class_box_head.class_tower(level) for level in levels],
        "classes": lambda: model.class_box_head(levels, every_box=False),
        "candidates": lambda: candidates(logits, model.limits),
        "boxes": lambda: deltas_at(model.class_box_head, levels, windows),
        "suppression": lambda: suppress(found, boxes, len(tensors), model.limits),
        "masks": lambda: window_masks(MaskTensors(model.mask_head, levels, stem), kept, grid),
        "run lengths": lambda: as_rles(kept[0], masks, size),
    }
