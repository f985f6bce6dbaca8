"""The best that a set of windows could reach: every true mask, as a window would show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tensormask_core.masks import crop_and_resize, encode, rle_iou, windows_to_rle
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.proposals.truth import Floats, boxes_of

CANDIDATES = 8  # windows tried for an object


def reachable(
    windows: npt.ArrayLike,
    window_size: tuple[int, int],
    target: Mapping[str, Any],
    *,
    threshold: float = 0.5,
) -> ImageResult:
    """Return the best proposal for each object that its windows allow, whatever the network.

    The mask of the object is sampled in the window's cells and pasted back. Of the windows, those
    are tried that cover most of the object's box, the smallest first: the others cut it off or
    show it in coarser cells. The recall of these proposals bounds that of a network with such
    windows: its share of the loss is the windows' own.

    Args:
        windows: (K, 4) XYXY px.
        window_size: (V, U) cells of a window's mask.
        target: ``boxes`` (N, 4) and ``masks`` (N, H, W) of the image.
        threshold: the least value of a pixel of the mask, as in inference.

    Returns:
        One proposal per object, crowds included, in their order, all with score 1; none where
        there is no window.

    Example:
        >>> mask = np.zeros((1, 32, 32))
        >>> mask[:, 8:24, 8:24] = 1
        >>> target = {"boxes": np.array([[8, 8, 24, 24]]), "masks": mask}
        >>> reachable([[0, 0, 16, 16], [4, 4, 28, 28]], (12, 12), target).boxes.tolist()
        [[8.0, 8.0, 24.0, 24.0]]
    """
    given = np.asarray(windows, np.float64).reshape(-1, 4)
    masks = np.asarray(target["masks"])
    boxes = np.asarray(target["boxes"], np.float64).reshape(-1, 4)
    rles = [
        _best(mask, given[_nearest(box, given)], window_size, threshold)
        for mask, box in zip(masks, boxes, strict=True)
        if len(given)
    ]
    return ImageResult(boxes_of(rles), np.ones(len(rles), np.int64), np.ones(len(rles)), rles)


def _nearest(box: Floats, windows: Floats) -> npt.NDArray[np.intp]:
    """Return the windows that cover most of a box, the smallest first among equals."""
    common = np.minimum(windows[:, 2:], box[2:]) - np.maximum(windows[:, :2], box[:2])
    covered = common.clip(min=0).prod(axis=1).round(6)
    area = (windows[:, 2:] - windows[:, :2]).prod(axis=1)
    return np.lexsort((area, -covered))[:CANDIDATES]


def _best(mask: Any, windows: Floats, window_size: tuple[int, int], threshold: float) -> Any:
    """Return the RLE of the mask as the best window shows it."""
    object_of = np.zeros(len(windows), np.int64)
    cells = crop_and_resize(mask[None].astype(np.uint8), windows, window_size, object=object_of)
    shown = windows_to_rle(cells, windows, mask.shape, threshold=threshold)
    return shown[int(rle_iou(shown, encode(mask[None]))[:, 0].argmax())]
