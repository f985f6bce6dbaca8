"""From logits to detections: threshold, top windows, class-wise NMS (zoo-facts 5.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from tensormask_core import WindowGrid
from tensormask_zoo.tensormask.boxes import decode_boxes


@dataclass(frozen=True, kw_only=True)
class PostProcess:
    """Limits of the detections of an image; the defaults are the published ones."""

    score_threshold: float = 0.05
    candidates: int = 6000
    nms_iou: float = 0.5
    detections: int = 100


@dataclass(frozen=True)
class Detections:
    """Detections of one image, best first.

    Attributes:
        boxes: (D, 4) XYXY px, not clipped.
        labels: (D,) from 1.
        scores: (D,) in [0, 1].
        window: (D,) flat index of each detection's window.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    window: Tensor


def select(logits: Tensor, deltas: Tensor, grid: WindowGrid, limits: PostProcess) -> Detections:
    """Return the detections of one image.

    Args:
        logits: (M, num_classes) of all windows.
        deltas: (M, 4).
        grid: where the M windows are.
        limits: thresholds and counts.
    """
    scores = logits.float().sigmoid().flatten()
    above = (scores > limits.score_threshold).nonzero()[:, 0]
    scores, order = scores[above].sort(descending=True, stable=True)
    flat = above[order[: limits.candidates]]
    scores = scores[: limits.candidates]
    window, label = flat // logits.shape[1], flat % logits.shape[1]
    window_boxes = torch.from_numpy(grid.boxes(window.cpu().numpy()))
    boxes = decode_boxes(deltas[window].float(), window_boxes.to(deltas.device, torch.float32))
    keep = batched_nms(boxes, scores, label, limits.nms_iou)[: limits.detections]
    return Detections(boxes[keep], label[keep] + 1, scores[keep], window[keep])
