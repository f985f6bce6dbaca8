"""The masks of COCO annotations: what is wrong with them, and the drawing of a part of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from tensormask_core.masks import annotation_to_rle, decode
from tensormask_zoo.data.crops import Region

EMPTY = "empty mask"
BROKEN_RLE = "RLE that is broken or does not fill the image"
BROKEN_POLYGON = "polygon that cannot be drawn"


def problem_of(segmentation: Any, size: tuple[int, int]) -> str | None:
    """Say why a segmentation cannot be used; polygons are not drawn for that.

    Args:
        segmentation: `[[x0, y0, x1, y1, ...], ...]` in px, or `{"size": [H, W], "counts": ...}`.
        size: (H, W) of the image.

    Returns:
        A few words, the same for each kind of problem; None when all is well.

    Example:
        >>> problem_of([[1, 2, 3, 4]], (9, 9))
        'polygon with fewer than 3 points'
    """
    if not segmentation:
        return "no segmentation"
    if isinstance(segmentation, dict):
        return _problem_of_rle(segmentation, size)
    if isinstance(segmentation, list):
        return next(filter(None, map(_problem_of_polygon, segmentation)), None)
    return "segmentation that is neither polygons nor RLE"


def draw(segmentation: Any, size: tuple[int, int], region: Region) -> NDArray[np.uint8]:
    """Draw the part of a mask that lies in a region; nothing is drawn of one that does not.

    Args:
        segmentation: One that `problem_of` finds no fault with.
        size: (H, W) of the image.
        region: Rows and columns to draw.

    Returns:
        (height, width) uint8, 1 where the object is; a copy, so that the whole can be freed.

    Raises:
        ValueError: The mask is empty everywhere or cannot be drawn; the text is a reason such as
            `problem_of` gives.
    """
    try:
        rle = annotation_to_rle(segmentation, size)
    except ValueError:
        raise ValueError(BROKEN_POLYGON if isinstance(segmentation, list) else BROKEN_RLE) from None
    if not coco_mask.area(rle):
        raise ValueError(EMPTY)
    if not _reaches(coco_mask.toBbox(rle), region):
        return np.zeros([span.stop - span.start for span in region], np.uint8)
    mask: NDArray[np.uint8] = decode([rle])[0][region].astype(np.uint8)
    return mask


def _problem_of_polygon(polygon: Any) -> str | None:
    """Say why one polygon cannot be drawn."""
    if not isinstance(polygon, list) or not all(isinstance(x, int | float) for x in polygon):
        return "polygon that is no list of numbers"
    if len(polygon) % 2:
        return "polygon with an odd number of coordinates"
    if len(polygon) < 6:
        return "polygon with fewer than 3 points"
    if not all(map(math.isfinite, polygon)):
        return "polygon with a coordinate that is not finite"
    return None


def _problem_of_rle(rle: dict[str, Any], size: tuple[int, int]) -> str | None:
    """Say why run lengths are not those of a mask of this size."""
    if rle.get("size") != list(size):
        return "RLE of another size than its image"
    try:
        return None if coco_mask.area(annotation_to_rle(rle, size)) else EMPTY
    except ValueError:
        return BROKEN_RLE


def _reaches(bbox: NDArray[np.float64], region: Region) -> bool:
    """Tell whether an XYWH box in px has a pixel in a region."""
    x, y, width, height = bbox
    rows, columns = region
    in_rows = y < rows.stop and y + height > rows.start
    return bool(in_rows and x < columns.stop and x + width > columns.start)
