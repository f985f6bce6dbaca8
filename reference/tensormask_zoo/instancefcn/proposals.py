"""From scored windows to proposals: candidates, binary masks, NMS (InstanceFCN, section 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image, nms

from tensormask_zoo.tensormask.postprocess import Detections, PostProcess
from tensormask_zoo.tensormask.results import boxes_of_masks

ImageSize = tuple[int, int]

PROPOSALS = PostProcess(score_threshold=0.0, candidates=6000, nms_iou=0.8, detections=1000)
"""NMS as in the paper, 1000 proposals at most; all windows of all scales compete. How many the
paper passes to NMS is not known: 6000 is Faster R-CNN's number."""


class Candidates(NamedTuple):
    """Windows (K,) of an image, best first.

    Attributes:
        window: (K,) flat index.
        scores: (K,) in [0, 1].
        boxes: (K, 4) XYXY px of the windows.
    """

    window: Tensor
    scores: Tensor
    boxes: Tensor


def best_windows(objectness: Tensor, limits: PostProcess) -> tuple[Tensor, Tensor]:
    """Return the flat indices (K,) of the best windows, best first, and their scores (K,).

    Args:
        objectness: (M,) logits of all windows.
        limits: threshold and number of candidates.

    Example:
        >>> best_windows(torch.tensor([0.0, 3.0, -9.0]), PostProcess(score_threshold=0.1))[0]
        tensor([1, 0])
    """
    logits, window = objectness.float().sort(descending=True, stable=True)
    scores = logits.sigmoid()
    count = min(limits.candidates, int((scores > limits.score_threshold).sum()))
    return window[:count], scores[:count]


def propose(
    masks: Tensor, candidates: Candidates, image_size: ImageSize, limits: PostProcess
) -> tuple[Detections, Tensor]:
    """Drop empty masks and near-duplicates.

    Args:
        masks: (K, m, m) bool, the candidates' masks.
        candidates: scores and places of the windows.
        image_size: (H, W) px.
        limits: NMS threshold and number of proposals.

    Returns:
        The proposals, whose boxes are the tight boxes of the masks within the image, and which
        candidates (D,) they are.
    """
    boxes = clip_boxes_to_image(boxes_of_masks(masks, candidates.boxes), image_size)
    some = (boxes[:, 2:] > boxes[:, :2]).all(dim=1).nonzero()[:, 0]
    kept = some[nms(boxes[some], candidates.scores[some], limits.nms_iou)[: limits.detections]]
    labels = torch.ones_like(kept)
    window, scores = candidates.window[kept], candidates.scores[kept]
    return Detections(boxes[kept], labels, scores, window), kept
