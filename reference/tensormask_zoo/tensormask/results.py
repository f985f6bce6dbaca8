"""Results: detections with their window masks, and what users make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from tensormask_core import WindowGrid
from tensormask_core.masks import paste, tight_boxes, windows_to_rle
from tensormask_zoo.image_batching import ImageSize
from tensormask_zoo.tensormask.mask_tensors import MaskTensors
from tensormask_zoo.tensormask.postprocess import Detections
from tensormask_zoo.tensormask.targets import Windows


@dataclass(frozen=True)
class WindowMasks:
    """Masks of some detections of an image, all of one size.

    Attributes:
        rows: (K,) which detections.
        probabilities: (K, V, U) in [0, 1].
        boxes: (K, 4) XYXY px of their windows.
    """

    rows: Tensor
    probabilities: Tensor
    boxes: Tensor


def by_image(found: Sequence[Detections], grid: WindowGrid) -> Windows:
    """Return the windows of all detections of a batch."""
    image = torch.cat([torch.full_like(f.window, n) for n, f in enumerate(found)])
    rows = torch.cat([torch.arange(len(f.window), device=f.window.device) for f in found])
    return Windows.of(grid, image, torch.cat([f.window for f in found]), rows)


def window_masks(
    tensors: MaskTensors, found: Sequence[Detections], grid: WindowGrid
) -> list[list[WindowMasks]]:
    """Evaluate the masks of the detections only, all images of a level and size at once."""
    windows = by_image(found, grid)
    results: list[list[WindowMasks]] = [[] for _ in found]
    groups = list(windows.groups_by_image())
    asked = [
        (level, size, windows.index(torch.cat([rows for _, rows in by])))
        for level, size, by in groups
    ]
    for (_, _, by), logits in zip(groups, tensors.every_mask(asked), strict=True):
        parts = torch.split(logits.float().sigmoid(), [len(rows) for _, rows in by])
        for (image, rows), mine in zip(by, parts, strict=True):
            boxes = windows.window_boxes[rows]
            results[image].append(WindowMasks(windows.object[rows], mine, boxes))
    return results


def rescale(
    found: Detections, masks: list[WindowMasks], resized: ImageSize, original: ImageSize
) -> tuple[Detections, list[WindowMasks]]:
    """Take boxes from the resized to the original image, clip them and drop empty ones.

    Windows are scaled with separate factors for rows and columns and are not clipped.
    """
    down, across = original[0] / resized[0], original[1] / resized[1]
    factors = found.boxes.new_tensor([across, down, across, down])
    boxes = clip_boxes_to_image(found.boxes * factors, original)
    kept = ((boxes[:, 2:] > boxes[:, :2]).all(dim=1)).nonzero()[:, 0]
    moved = [replace(group, boxes=group.boxes * factors) for group in masks]
    return take(replace(found, boxes=boxes), moved, kept)


def take(
    found: Detections, masks: list[WindowMasks], kept: Tensor
) -> tuple[Detections, list[WindowMasks]]:
    """Return the detections ``kept`` (D',) only, with their masks."""
    new_row = torch.full((len(found.scores),), -1, device=kept.device)
    new_row[kept] = torch.arange(len(kept), device=kept.device)
    groups = []
    for group in masks:
        rows = new_row[group.rows]
        stays = rows >= 0
        groups.append(WindowMasks(rows[stays], group.probabilities[stays], group.boxes[stays]))
    fields = {name: getattr(found, name)[kept] for name in ("boxes", "labels", "scores", "window")}
    return replace(found, **fields), groups


def boxes_of_masks(masks: Tensor, windows: Tensor) -> Tensor:
    """Return the tight boxes (K, 4) XYXY px of window masks, without area where one is empty.

    Args:
        masks: (K, V, U) bool.
        windows: (K, 4) XYXY px.

    Example:
        >>> mask = torch.tensor([[[False, True], [False, True]]])
        >>> boxes_of_masks(mask, torch.tensor([[10.0, 20, 30, 40]])).tolist()
        [[20.0, 20.0, 30.0, 40.0]]
    """
    v, u = masks.shape[1:]
    corner = windows[:, :2]
    cell = (windows[:, 2:] - corner) / windows.new_tensor([u, v])  # (K, 2)
    cells: Tensor = tight_boxes(masks)
    return corner.repeat(1, 2) + cells * cell.repeat(1, 2)


def as_torchvision(
    found: Detections, masks: list[WindowMasks], image_size: ImageSize
) -> dict[str, Tensor]:
    """Return ``boxes``, ``labels``, ``scores`` and ``masks`` (D, 1, H, W) in [0, 1]."""
    canvas = found.boxes.new_zeros((len(found.boxes), *image_size))
    for group in masks:
        canvas[group.rows] = paste(group.probabilities, group.boxes, image_size)
    return {
        "boxes": found.boxes,
        "labels": found.labels,
        "scores": found.scores,
        "masks": canvas[:, None],
    }


def as_rles(
    found: Detections, masks: list[WindowMasks], image_size: ImageSize, threshold: float = 0.5
) -> list[dict[str, Any]]:
    """Return one COCO RLE per detection, without a full image per mask."""
    rles: list[dict[str, Any]] = [{}] * len(found.boxes)
    for group in masks:
        encoded = windows_to_rle(
            group.probabilities.cpu(), group.boxes.cpu(), image_size, threshold=threshold
        )
        for row, rle in zip(group.rows.tolist(), encoded, strict=True):
            rles[row] = rle
    return rles
