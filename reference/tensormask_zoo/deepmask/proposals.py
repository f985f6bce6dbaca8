"""From the best windows to proposals: their places, and the boxes of their masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tensormask_core import WindowGrid
from tensormask_core.masks import paste, tight_boxes
from tensormask_zoo.tensormask.postprocess import Detections
from tensormask_zoo.tensormask.results import WindowMasks, take

MASK = 0.5  # a pixel is mask from this value on
BUDGET = 1 << 24  # pixels of pasted masks held at a time


def found_windows(grid: WindowGrid, window: Tensor) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Yield the windows (K,) with flat indices by level.

    Yields:
        Level, (k,) which of the windows, (k, 2) their y and x, (k, 4) their boxes XYXY px.
    """
    flat = window.cpu().numpy()
    place = grid.unravel(flat)
    boxes = torch.from_numpy(grid.boxes(flat)).float()
    level = torch.from_numpy(place.level)
    index = torch.stack([torch.from_numpy(place.y), torch.from_numpy(place.x)], dim=1)
    for k in torch.unique(level).tolist():
        rows = (level == k).nonzero()[:, 0]
        yield k, *(x.to(window.device) for x in (rows, index[rows], boxes[rows]))


def kept_proposals(
    scores: Tensor, window: Tensor, groups: Sequence[WindowMasks], image_size: tuple[int, int]
) -> tuple[Detections, list[WindowMasks]]:
    """Return proposals with the boxes of their masks; those with an empty mask are dropped."""
    boxes = scores.new_zeros((len(scores), 4))
    for group in groups:
        boxes[group.rows] = mask_boxes(group.probabilities, group.boxes, image_size)
    kept = (boxes[:, 2] > boxes[:, 0]).nonzero()[:, 0]
    every = Detections(boxes, torch.ones_like(window), scores, window)
    return take(every, list(groups), kept)


def mask_boxes(probabilities: Tensor, windows: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return the smallest box (K, 4) XYXY px around each mask in its image; zeros where empty.

    Args:
        probabilities: (K, V, U) masks of windows.
        windows: (K, 4) XYXY px of these windows.
        image_size: (H, W) px.

    Example:
        >>> window = torch.zeros(1, 4, 4)
        >>> window[0, 1:3, 1:] = 1
        >>> mask_boxes(window, torch.tensor([[-4.0, 0, 4, 8]]), (8, 8)).tolist()
        [[0.0, 2.0, 4.0, 6.0]]
    """
    some = max(1, BUDGET // (image_size[0] * image_size[1]))
    boxes = [
        tight_boxes(paste(masks, where, image_size, threshold=MASK))
        for masks, where in zip(
            torch.split(probabilities, some), torch.split(windows, some), strict=True
        )
    ]
    return torch.cat(boxes) if boxes else windows.new_zeros((0, 4))
