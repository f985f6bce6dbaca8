"""Boundary IoU: how well contours agree (Cheng, Girshick, Dollár, Berg and Kirillov, CVPR 2021).

Mask IoU hardly sees the contour of a large object. Boundary IoU is the IoU of the parts of two
masks that lie within a distance of their contours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tensormask_core.masks import decode, encode, rle_iou
from tensormask_zoo.proposals.truth import Floats, Record

DIAGONAL_SHARE = 0.02  # the paper's distance for COCO: 2 % of the image diagonal
Bools = npt.NDArray[np.bool_]


def boundary_iou(
    a: Sequence[Record], b: Sequence[Record], *, share: float = DIAGONAL_SHARE
) -> Floats:
    """Return the boundary IoU (N, M) of two lists of masks.

    Args:
        a: N compressed RLEs.
        b: M compressed RLEs of the same image size.
        share: distance from the contour, of the image diagonal.

    Returns:
        In [0, 1]; 0 where both are empty.

    Raises:
        ValueError: the image sizes differ.

    Example:
        >>> square, framed = np.zeros((1, 50, 50)), np.zeros((1, 50, 50))
        >>> square[:, 10:40, 10:40] = 1
        >>> framed[:, 10:40, 10:40] = 1
        >>> framed[:, 15:35, 15:35] = 0  # a hole: contours within, too
        >>> boundary_iou(encode(square), encode(framed)).round(2).tolist()
        [[0.58]]
    """
    sizes = {tuple(rle["size"]) for rle in (*a, *b)}
    if len(sizes) > 1:
        raise ValueError(f"boundary_iou expects masks of one image size, got {sorted(sizes)}")
    return rle_iou(boundaries(a, share=share), boundaries(b, share=share))


def boundaries(rles: Sequence[Record], *, share: float = DIAGONAL_SHARE) -> list[Record]:
    """Return the parts of masks that lie within a distance of their contours.

    The edge of the image is a contour. Distances are those of the chessboard, as in the authors'
    evaluation: eight neighbours are one pixel away.

    Args:
        rles: N compressed RLEs.
        share: the distance, of the image diagonal; at least one pixel.
    """
    return [encode(_boundary(decode([rle])[0], _width_px(rle["size"], share))[None])[0]
            for rle in rles]  # fmt: skip


def _width_px(image_size: Sequence[int], share: float) -> int:
    return max(1, round(share * math.hypot(*image_size)))


def _boundary(mask: Bools, width_px: int) -> Bools:
    """Return a mask (H, W) without its inside; only the box around it is looked at."""
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    boundary = np.zeros_like(mask)
    if rows.size:
        part = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        boundary[part] = mask[part] & ~_inside(mask[part], width_px)
    return boundary


def _inside(mask: Bools, width_px: int) -> Bools:
    """Return where the square of ``width_px`` around a pixel is all mask, by summed areas."""
    side = 2 * width_px + 1
    framed = np.pad(mask, width_px).cumsum(axis=0, dtype=np.int32).cumsum(axis=1)
    total = np.pad(framed, ((1, 0), (1, 0)))
    covered = (
        total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    )
    inside: Bools = covered == side * side
    return inside
