"""Polygons, as COCO writes them, into masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensormask_core.masks._checks import check_size
from tensormask_core.masks._pycocotools import coco_mask

FARTHEST_PX = 1 << 20  # pycocotools walks along every edge; a coordinate of 1e12 takes it down


def polygons_to_rle(polygons: Sequence[Any], image_size: tuple[int, int]) -> dict[str, Any]:
    """Return the compressed RLE of the union of polygons; see `polygons_to_mask`.

    Example:
        >>> polygons_to_rle([[1, 0, 2, 0, 2, 2, 1, 2]], (2, 2))
        {'size': [2, 2], 'counts': b'22'}
    """
    height, width = check_size("polygons_to_rle", "image_size", image_size)
    if not len(polygons):
        raise ValueError("expected at least one polygon, got none: the object has no mask; skip it")
    checked = [_checked(position, polygon) for position, polygon in enumerate(polygons)]
    coco = coco_mask()
    merged: dict[str, Any] = coco.merge(coco.frPyObjects(checked, height, width))
    return merged


def polygons_to_mask(polygons: Sequence[Any], image_size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return the mask that is the union of polygons.

    Args:
        polygons: one object's polygons, each a flat list [x0, y0, x1, y1, ...] in px.
        image_size: (H, W) in px.

    Returns:
        (H, W) bool, as pycocotools rasterises them.

    Raises:
        ValueError: for no polygon, or one with fewer than 3 points, an odd number of coordinates,
            or coordinates that are not finite or far beyond any image; names its position.
        ImportError: without pycocotools.

    Example:
        >>> polygons_to_mask([[1, 0, 3, 0, 3, 2, 1, 2]], (2, 4)).astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    mask = coco_mask().decode(polygons_to_rle(polygons, image_size))
    return np.ascontiguousarray(mask).astype(bool)


def _checked(position: int, polygon: Any) -> list[float]:
    """Return a polygon that can be rasterised."""
    try:
        points = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"polygon {position} is no flat list of numbers: {polygon!r}") from error
    problem = _problem(points)
    if problem:
        raise ValueError(f"polygon {position} {problem}: {points.tolist()}")
    flat: list[float] = points.tolist()
    return flat


def _problem(points: npt.NDArray[np.float64]) -> str | None:
    """Say what is wrong with a polygon, if anything is."""
    if points.ndim != 1:
        return "is no flat list [x0, y0, x1, y1, ...]"
    if points.size % 2:
        return f"has an odd number of coordinates ({points.size})"
    if points.size < 6:
        return f"has {points.size // 2} points, expected at least 3"
    if not np.isfinite(points).all():
        return "has coordinates that are not finite"
    if np.abs(points).max() > FARTHEST_PX:
        return f"has coordinates beyond {FARTHEST_PX} px"
    return None
