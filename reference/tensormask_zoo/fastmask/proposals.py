"""From window scores and masks to proposals: the best windows, tight boxes, mask NMS (5.3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tensormask_core.masks import rle_iou, tight_boxes
from tensormask_zoo.image_batching import ImageSize
from tensormask_zoo.tensormask.postprocess import Detections, PostProcess
from tensormask_zoo.tensormask.results import WindowMasks, as_rles

# The windows that are decoded are the proposals; the paper names no suppression of overlaps.
PROPOSALS = PostProcess(score_threshold=0.0, candidates=1000, nms_iou=1.0, detections=1000)


def best_windows(logits: Tensor, limits: PostProcess) -> tuple[Tensor, Tensor]:
    """Return index and score of the best windows, best first; equal ones in window order.

    Args:
        logits: (M,) of all windows of an image.
        limits: threshold and count.
    """
    scores, order = logits.float().sigmoid().sort(descending=True, stable=True)
    count = min(limits.candidates, int((scores > limits.score_threshold).sum()))
    return order[:count], scores[:count]


def boxes_of_masks(masks: Tensor, windows: Tensor) -> Tensor:
    """Return the tight boxes of window masks: (K, 4) XYXY px, without area where masks are empty.

    Args:
        masks: (K, V, U) bool.
        windows: (K, 4) XYXY px.

    Example:
        >>> mask = torch.tensor([[[False, True], [False, True]]])
        >>> boxes_of_masks(mask, torch.tensor([[10.0, 20, 30, 40]])).tolist()
        [[20.0, 20.0, 30.0, 40.0]]
    """
    cells: Tensor = tight_boxes(masks)
    v, u = masks.shape[1:]
    corner = windows[:, [0, 1, 0, 1]]
    sides = windows[:, [2, 3, 2, 3]] - corner
    return corner + cells * sides / cells.new_tensor([u, v, u, v])


def suppress(
    found: Detections, masks: list[WindowMasks], image_size: ImageSize, limits: PostProcess
) -> tuple[Detections, list[WindowMasks]]:
    """Keep the best proposals, of two whose masks overlap by more than the limit the better one.

    Args:
        found: proposals, best first.
        masks: their masks, in the coordinates of the image.
        image_size: (H, W) in px, in which masks are compared.
        limits: ``nms_iou``, where 1 keeps all (the released demo uses 0.5), and ``detections``.
    """
    kept = list(range(len(found.scores)))
    if limits.nms_iou < 1:
        rles = as_rles(found, masks, image_size)
        overlap = np.asarray(rle_iou(rles, rles)) > limits.nms_iou
        kept = []
        for row in range(len(rles)):
            if not overlap[row, kept].any():
                kept.append(row)
    kept = kept[: limits.detections]
    if len(kept) == len(found.scores):
        return found, masks
    chosen = torch.tensor(kept, dtype=torch.int64)
    return _take(found, masks, chosen.to(found.scores.device))


def _take(
    found: Detections, masks: list[WindowMasks], kept: Tensor
) -> tuple[Detections, list[WindowMasks]]:
    """Return the proposals ``kept`` (D',) with their masks."""
    new_row = torch.full((len(found.scores),), -1, device=kept.device)
    new_row[kept] = torch.arange(len(kept), device=kept.device)
    groups = []
    for group in masks:
        stays = new_row[group.rows] >= 0
        rows = new_row[group.rows][stays]
        groups.append(WindowMasks(rows, group.probabilities[stays], group.boxes[stays]))
    fields = {name: getattr(found, name)[kept] for name in ("boxes", "labels", "scores", "window")}
    return replace(found, **fields), groups
