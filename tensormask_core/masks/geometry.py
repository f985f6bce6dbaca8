"""Tight boxes and overlaps of dense masks."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from tensormask_core.errors import LayoutError
from tensormask_core.masks._checks import check_rank, check_same_length, to_host

BLOCK = 1 << 16  # pixels of each mask held as floats at a time


def tight_boxes(masks: Any) -> Any:
    """Return the smallest box around each mask.

    Args:
        masks: (N, H, W) bool or numbers; not 0 counts as mask.

    Returns:
        (N, 4) float32 XYXY in px on the device of `masks`, half-open: x1 is the last column + 1.
        Empty masks give zeros.

    Raises:
        LayoutError: if `masks` has not three axes.

    Example:
        >>> import numpy as np
        >>> tight_boxes(np.array([[[0, 0, 0], [0, 1, 1]]])).tolist()
        [[1.0, 1.0, 3.0, 2.0]]
    """
    check_rank("tight_boxes", "masks", "(N, H, W)", masks)
    xp, device = array_api_compat.array_namespace(masks), array_api_compat.device(masks)
    count, height, width = masks.shape
    if not count or not height or not width:
        return xp.zeros((count, 4), dtype=xp.float32, device=device)
    found = _as_bool(xp, masks)
    y0, y1 = _first_and_end(xp, xp.any(found, axis=2))
    x0, x1 = _first_and_end(xp, xp.any(found, axis=1))
    return xp.astype(xp.stack([x0, y0, x1, y1], axis=1), xp.float32)


def mask_iou(a: Any, b: Any, *, crowd: Any = None) -> Any:
    """Return the intersection over union of each pair of dense masks, as a matrix product.

    Args:
        a: (N, H, W) bool or numbers; not 0 counts as mask. Detections, where `crowd` is given.
        b: (M, H, W) of the same library and device.
        crowd: (M,) which `b` are crowd regions: for these the union is the area of `a` alone, as
            COCO defines it.

    Returns:
        (N, M) float32 in [0, 1]; 0 where both masks are empty.

    Raises:
        LayoutError: for wrong ranks, different image sizes or a `crowd` of another length.
        TypeError: if `a` and `b` are of different array libraries.

    Example:
        >>> import numpy as np
        >>> a, b = np.array([[[1, 1, 0]]]), np.array([[[0, 1, 1]], [[1, 1, 1]]])
        >>> mask_iou(a, b, crowd=[False, True]).tolist() == [[np.float32(1 / 3), 1.0]]
        True
    """
    check_rank("mask_iou", "a", "(N, H, W)", a)
    check_rank("mask_iou", "b", "(M, H, W)", b)
    if a.shape[1:] != b.shape[1:]:
        raise LayoutError(
            f"mask_iou expects masks of one image size, got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    xp, device = array_api_compat.array_namespace(a, b), array_api_compat.device(a)
    is_crowd = np.zeros(b.shape[0], dtype=bool) if crowd is None else to_host(crowd).astype(bool)
    check_same_length("mask_iou", ("masks in b", b.shape[0]), ("crowd", is_crowd.size))
    common, area_a, area_b = _overlaps(xp, a, b)
    union = area_a[:, None] + area_b[None, :] - common
    crowds = xp.asarray(is_crowd.reshape(1, -1), device=device)
    union = xp.where(crowds, area_a[:, None] + xp.zeros_like(union), union)
    return xp.astype(common / xp.where(union > 0, union, xp.ones_like(union)), xp.float32)


def _as_bool(xp: Any, masks: Any) -> Any:
    """Return masks as bool."""
    return masks if masks.dtype == xp.bool else masks != 0


def _first_and_end(xp: Any, hit: Any) -> tuple[Any, Any]:
    """Return the first index set in each row of `hit` (N, L) and the last + 1; 0, 0 for none."""
    number = xp.astype(hit, xp.int32)
    first = xp.argmax(number, axis=1)
    end = hit.shape[1] - xp.argmax(xp.flip(number, axis=1), axis=1)
    some = xp.astype(xp.any(hit, axis=1), first.dtype)
    return first * some, end * some


def _overlaps(xp: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Return common pixels (N, M) and the areas (N,) and (M,), summed over blocks of pixels."""
    device = array_api_compat.device(a)
    number = _counting_dtype(xp, device)
    pixels = a.shape[1] * a.shape[2]
    flat_a = xp.reshape(_as_bool(xp, a), (a.shape[0], pixels))
    flat_b = xp.reshape(_as_bool(xp, b), (b.shape[0], pixels))
    common = xp.zeros((a.shape[0], b.shape[0]), dtype=number, device=device)
    area_a = xp.zeros(a.shape[0], dtype=number, device=device)
    area_b = xp.zeros(b.shape[0], dtype=number, device=device)
    for at in range(0, pixels, BLOCK):
        end = min(at + BLOCK, pixels)
        block_a = xp.astype(flat_a[:, at:end], number)
        block_b = xp.astype(flat_b[:, at:end], number)
        common = common + xp.matmul(block_a, xp.matrix_transpose(block_b))
        area_a = area_a + xp.sum(block_a, axis=1)
        area_b = area_b + xp.sum(block_b, axis=1)
    return common, area_a, area_b


def _counting_dtype(xp: Any, device: Any) -> Any:
    """Return float64 where the device has it: autocast and TF32, which round counts, spare it."""
    dtypes = xp.__array_namespace_info__().dtypes(device=device, kind="real floating")
    return dtypes.get("float64", xp.float32)
