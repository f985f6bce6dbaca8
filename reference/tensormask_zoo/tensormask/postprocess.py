"""From logits to detections: threshold, top windows, class-wise NMS (zoo-facts 5.4)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.ops import nms

NmsBoxes = Literal["boxes", "mask_boxes"]
ROUNDING = 1e-3  # logits; the exact test is made on the score


@dataclass(frozen=True, kw_only=True)
class PostProcess:
    """Limits of the detections of an image; the defaults are the published ones.

    Attributes:
        score_threshold: scores are above this.
        candidates: how many of the best pairs of window and class enter suppression.
        nms_iou: a box is suppressed by a better one of its class from this overlap on, exclusive.
        detections: how many are kept.
        nms: which boxes are compared and returned: the regressed ones, or those of the masks
            (appendix A.4), which a model without a box head has alone.
    """

    score_threshold: float = 0.05
    candidates: int = 6000
    nms_iou: float = 0.5
    detections: int = 100
    nms: NmsBoxes = "boxes"


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


@dataclass(frozen=True)
class Candidates:
    """Pairs of a window and a class of a batch, image after image, each image's best first.

    Attributes:
        image: (C,) index of the image in the batch.
        window: (C,) flat index of the window.
        label: (C,) class from 0.
        scores: (C,) in [0, 1].
    """

    image: Tensor
    window: Tensor
    label: Tensor
    scores: Tensor

    def subset(self, rows: Tensor) -> Candidates:
        """Return the candidates ``rows`` only."""
        return Candidates(self.image[rows], self.window[rows], self.label[rows], self.scores[rows])


def candidates(logits: Tensor, limits: PostProcess) -> Candidates:
    """Return the best pairs of window and class of each image; equals in the grid's order.

    Args:
        logits: (N, M, num_classes) of all windows.
        limits: the threshold and the count.
    """
    best = logits.amax(dim=2)  # (N, M)
    bound = best.new_full((len(best),), _logit(limits.score_threshold) - ROUNDING)
    if limits.candidates < best.shape[1]:
        # No window outside the best `candidates` by their best class can hold one of the best
        # `candidates` pairs, which spares looking at all pairs more than once.
        bound = bound.maximum(best.topk(limits.candidates).values[:, -1])
    image, window = (best >= bound[:, None]).nonzero(as_tuple=True)
    rows = logits[image, window]  # (R, num_classes)
    row, label = (rows >= bound[image, None]).nonzero(as_tuple=True)
    values = rows[row, label].float()
    order = values.argsort(descending=True, stable=True)
    order = order[image[row[order]].argsort(stable=True)]
    found = Candidates(image[row], window[row], label, values.sigmoid()).subset(order)
    first = torch.searchsorted(found.image, found.image)
    rank = torch.arange(len(first), device=first.device) - first
    return found.subset((found.scores > limits.score_threshold) & (rank < limits.candidates))


def suppress(
    found: Candidates, boxes: Tensor, images: int, limits: PostProcess
) -> list[Detections]:
    """Return the detections of each of ``images`` images: class-wise NMS, then the best.

    Args:
        found: the candidates.
        boxes: (C, 4) XYXY px of each.
        images: N.
        limits: overlap and count.
    """
    kept = class_wise_nms(boxes, found, limits.nms_iou)
    counts = torch.bincount(found.image[kept], minlength=images).tolist()
    return [
        Detections(boxes[rows], found.label[rows] + 1, found.scores[rows], found.window[rows])
        for rows in (part[: limits.detections] for part in torch.split(kept, counts))
    ]


def class_wise_nms(boxes: Tensor, found: Candidates, iou: float) -> Tensor:
    """Return the rows that no better box of their image and class overlaps by more than ``iou``.

    torchvision's ``batched_nms`` keeps classes apart by shifting boxes, in single precision and
    as if no coordinate were below zero. Boxes that are not clipped are, and may be 62 windows
    long: their overlaps would be rounded, and classes would meet.
    """
    group = found.image * (found.label.max() + 1 if len(found.label) else 1) + found.label
    boxes, scores = boxes.double(), found.scores.double()
    if boxes.is_cuda:  # one launch
        spread = boxes.max() - boxes.min() + 1 if len(boxes) else 0
        kept: Tensor = nms(boxes + (group * spread)[:, None], scores, iou)
        return kept.sort().values
    order = group.argsort(stable=True)
    sizes = torch.unique_consecutive(group[order], return_counts=True)[1].tolist()
    parts = [rows[nms(boxes[rows], scores[rows], iou)] for rows in torch.split(order, sizes)]
    return torch.cat([order[:0], *parts]).sort().values


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))
