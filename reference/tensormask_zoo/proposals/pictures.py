"""Proposals in pictures: those that found the objects, or the best ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tensormask_core.masks import decode, rle_iou
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.pictures import overlay
from tensormask_zoo.proposals.truth import Truth

PICTURED = 10  # proposals of a picture whose objects nobody knows
COUNTED = 100  # proposals that may find an object in a picture whose objects are known
FOUND_IOU = 0.5


def draw_found(
    image: Tensor, result: ImageResult, target: Mapping[str, Any], *, count: int = COUNTED
) -> Tensor:
    """Draw, for each object, the proposal that overlaps it most, with their IoU.

    Of the best ``count`` proposals, as the papers' figures do; objects without any of IoU 0.5
    are left out.

    Args:
        image: RGB (3, H, W) in [0, 1].
        result: proposals of the image.
        target: its objects, see :meth:`Truth.of`.
        count: of the best proposals.

    Returns:
        RGB (3, H', W') in [0, 1], see :func:`tensormask_zoo.pictures.overlay`.
    """
    best = _best(result)[:count]
    overlap = rle_iou([result.rles[row] for row in best], Truth.of(target).rles)  # (D, G)
    found = np.flatnonzero(overlap.max(axis=0, initial=0.0) >= FOUND_IOU)
    rows = [int(best[overlap[:, g].argmax()]) for g in found]
    return _draw(image, result, rows, [f"{overlap[:, g].max():.2f}" for g in found])


def draw_best(
    image: Tensor, result: ImageResult, *, count: int = PICTURED, score_threshold: float = 0.0
) -> Tensor:
    """Draw the best proposals with their scores, of near-duplicates the better one only.

    Args:
        image: RGB (3, H, W) in [0, 1].
        result: proposals of the image.
        count: drawn at most.
        score_threshold: lowest score drawn.
    """
    kept: list[int] = []
    for row in _best(result):
        if len(kept) == count or result.scores[row] < score_threshold:
            break
        shown = [result.rles[other] for other in kept]
        if rle_iou([result.rles[row]], shown).max(initial=0.0) <= FOUND_IOU:
            kept.append(int(row))
    return _draw(image, result, kept, [f"{result.scores[row]:.2f}" for row in kept])


def _best(result: ImageResult) -> Any:
    """Return the rows of the proposals, best first."""
    return np.argsort(-np.asarray(result.scores), kind="stable")


def _draw(
    image: Tensor, result: ImageResult, rows: Sequence[int], captions: Sequence[str]
) -> Tensor:
    masks = torch.zeros(0, *image.shape[-2:], dtype=torch.bool)
    if len(rows):
        masks = torch.from_numpy(decode([result.rles[row] for row in rows])).bool()
    boxes = torch.from_numpy(np.asarray(result.boxes, np.float32).reshape(-1, 4)[list(rows)])
    return overlay(image, masks, boxes, captions)
