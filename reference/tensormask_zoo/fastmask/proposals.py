"""From window scores and masks to proposals: the best windows, mask NMS (5.3)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tensormask_core.masks import rle_iou
from tensormask_zoo.image_batching import ImageSize
from tensormask_zoo.tensormask.postprocess import Detections, PostProcess
from tensormask_zoo.tensormask.results import WindowMasks, as_rles, take

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
    return take(found, masks, chosen.to(found.scores.device))
