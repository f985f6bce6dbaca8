"""The `segmentation` field of a COCO annotation, in each of its forms, to compressed RLE."""

from __future__ import annotations

from typing import Any

import numpy as np

from tensormask_core.errors import LayoutError
from tensormask_core.masks._checks import check_size
from tensormask_core.masks._pycocotools import coco_mask
from tensormask_core.masks.polygon import polygons_to_rle


def annotation_to_rle(segmentation: Any, image_size: tuple[int, int]) -> dict[str, Any]:
    """Return the compressed RLE of a COCO segmentation.

    Args:
        segmentation: a list of polygons, an uncompressed RLE (`counts` a list of runs), or a
            compressed RLE (`counts` as str, as JSON holds it, or bytes).
        image_size: (H, W) in px.

    Returns:
        `{"size": [H, W], "counts": bytes}`.

    Raises:
        LayoutError: if an RLE's size is not `image_size`.
        ValueError: for broken polygons (see `polygons_to_mask`), runs that do not sum up to H * W
            pixels, or something that is none of the three forms.
        ImportError: without pycocotools.

    Example:
        >>> annotation_to_rle({"size": [2, 2], "counts": [2, 2]}, (2, 2))
        {'size': [2, 2], 'counts': b'22'}
        >>> annotation_to_rle({"size": [2, 2], "counts": "22"}, (2, 2))
        {'size': [2, 2], 'counts': b'22'}
    """
    size = check_size("annotation_to_rle", "image_size", image_size)
    if isinstance(segmentation, list | tuple):
        return polygons_to_rle(segmentation, size)
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise ValueError(
            "expected a list of polygons or an RLE with 'size' and 'counts', "
            f"got {_shortened(segmentation)}"
        )
    if segmentation["size"] not in (list(size), size):
        raise LayoutError(f"expected an RLE of size {list(size)}, got {segmentation['size']}")
    return _rle(segmentation["counts"], size)


def _rle(counts: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Return the compressed RLE of counts in any form, once they are known to fit the image."""
    if isinstance(counts, list | tuple):
        _check_runs(list(counts), counts, size)
        rle: dict[str, Any] = {"size": list(size), "counts": list(counts)}
        return dict(coco_mask().frPyObjects(rle, *size))
    if not isinstance(counts, str | bytes):
        raise ValueError(f"expected RLE counts as list, str or bytes, got {_shortened(counts)}")
    packed = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    _check_runs(_unpacked(packed), counts, size)
    return {"size": list(size), "counts": packed}


def _check_runs(runs: list[Any], shown: Any, size: tuple[int, int]) -> None:
    """Raise unless runs are whole, not negative and fill the image: pycocotools does not ask."""
    whole = all(isinstance(run, int | np.integer) and run >= 0 for run in runs)
    if not whole or sum(runs) != size[0] * size[1]:
        total = sum(runs) if whole else "runs that are no counts"
        raise ValueError(
            f"expected RLE runs that sum up to {size[0]} x {size[1]} = {size[0] * size[1]} px, "
            f"got {total} from {_shortened(shown)}"
        )


def _unpacked(packed: bytes) -> list[int]:
    """Return the runs of compressed counts.

    A run is written in groups of 5 bits, lowest first, as character 48 + group (+ 32 if more
    follow), its last group holding the sign; from the fourth on as the difference to the run
    two before.
    """
    runs: list[int] = []
    value = shift = 0
    for byte in packed:
        group = byte - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        value -= (group & 16) << (shift - 4)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs


def _shortened(value: Any) -> str:
    """Return how a value looks, at most 80 characters of it."""
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
