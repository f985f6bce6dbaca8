"""COCO's run-length encoding: of dense masks, and straight from window masks.

Runs go down the columns of the image (column-major), the first run counts zeros. A compressed RLE
is `{"size": [H, W], "counts": bytes}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensormask_core.errors import LayoutError
from tensormask_core.masks._checks import (
    Boxes,
    check_rank,
    check_same_length,
    check_size,
    to_host,
)
from tensormask_core.masks._kernels import RLE, run_kernel
from tensormask_core.masks._pycocotools import coco_mask
from tensormask_core.masks._spans import Ints, groups_by_size
from tensormask_core.masks.paste import box_reach, checked_windows, sample_region

Rle = dict[str, Any]
CHUNK = 1 << 16  # pixels sampled at a time: some 2 MB of intermediates
Bools = npt.NDArray[np.bool_]


def encode(masks: Any) -> list[Rle]:
    """Return the compressed RLE of dense masks.

    Args:
        masks: (N, H, W) bool or numbers of any library; not 0 counts as mask.

    Returns:
        N dicts `{"size": [H, W], "counts": bytes}`.

    Raises:
        LayoutError: if `masks` has not three axes.
        ImportError: without pycocotools.

    Example:
        >>> import numpy as np
        >>> encode(np.array([[[0, 1], [0, 1]]]))
        [{'size': [2, 2], 'counts': b'22'}]
    """
    check_rank("encode", "masks", "(N, H, W)", masks)
    if not masks.shape[0]:
        return []
    dense = np.asfortranarray((to_host(masks) != 0).transpose(1, 2, 0), dtype=np.uint8)
    return list(coco_mask().encode(dense))


def decode(rles: Sequence[Rle]) -> Bools:
    """Return dense masks (N, H, W), bool, of compressed RLEs of one image size.

    Raises:
        LayoutError: if the sizes differ.
        ValueError: if the runs do not fit the size.
        ImportError: without pycocotools.

    Example:
        >>> decode([{"size": [2, 2], "counts": b"22"}]).astype(int).tolist()
        [[[0, 1], [0, 1]]]
    """
    sizes = sorted({tuple(rle["size"]) for rle in rles})
    if len(sizes) > 1:
        raise LayoutError(f"decode expects masks of one image size, got {sizes}")
    if not sizes:
        return np.zeros((0, 0, 0), dtype=bool)
    dense = coco_mask().decode(list(rles))  # (H, W, N)
    return np.ascontiguousarray(dense.transpose(2, 0, 1)).astype(bool)


def rle_iou(a: Sequence[Rle], b: Sequence[Rle], crowd: Any = None) -> npt.NDArray[np.float64]:
    """Return the intersection over union (N, M) of two lists of compressed RLEs.

    Args:
        a: N RLEs; the detections, where `crowd` is given.
        b: M RLEs of the same image size.
        crowd: (M,) which `b` are crowd regions, for which the union is the area of `a` alone.

    Raises:
        LayoutError: if `crowd` has another length than `b`.
        ImportError: without pycocotools.

    Example:
        >>> import numpy as np
        >>> a, b = encode(np.array([[[1, 1, 0]]])), encode(np.array([[[0, 1, 1]]]))
        >>> rle_iou(a, b).round(3).tolist(), rle_iou(a, b, [True]).tolist()
        ([[0.333]], [[0.5]])
    """
    is_crowd = np.zeros(len(b), dtype=bool) if crowd is None else to_host(crowd).astype(bool)
    check_same_length("rle_iou", ("RLEs in b", len(b)), ("crowd", is_crowd.size))
    if not len(a) or not len(b):
        return np.zeros((len(a), len(b)))
    overlaps = coco_mask().iou(list(a), list(b), [int(flag) for flag in is_crowd])
    return np.asarray(overlaps, dtype=np.float64)


def windows_to_rle(
    windows: Any, boxes: Any, image_size: tuple[int, int], *, threshold: float = 0.5
) -> list[Rle]:
    """Return the RLE of each window's mask in the image, without an image-sized mask.

    Equal to `encode(paste(windows, boxes, image_size, threshold=threshold))` of numpy windows.
    With the compiled kernel (`pip install 'tensormask-core[numba]'`) the memory is that of the
    result and no other library is needed. Without it, memory at any time is that of the parts of
    the image under some boxes, of 2^16 pixels together or under one box.

    Args:
        windows: (K, V, U) probabilities, of any library; from a device, the windows (not the
            pixels under them) are copied to the host.
        boxes: (K, 4) XYXY in px, the windows' own boxes; may leave the image.
        image_size: (H, W) in px.
        threshold: the least value of a pixel of the mask; greater than 0.

    Returns:
        K dicts `{"size": [H, W], "counts": bytes}`.

    Raises:
        LayoutError: as `paste`, and for a threshold that is not positive (then the zeros outside
            the window would be mask).
        ImportError: without pycocotools and the compiled kernel.

    Example:
        >>> import numpy as np
        >>> windows_to_rle(np.ones((1, 1, 1)), [[1, 0, 2, 2]], (2, 2))
        [{'size': [2, 2], 'counts': b'22'}]
    """
    values, corners = checked_windows("windows_to_rle", to_host(windows), boxes)
    size = check_size("windows_to_rle", "image_size", image_size)
    if not values.dtype.type(threshold) > 0:
        raise LayoutError(
            f"windows_to_rle expects a threshold above 0, got {threshold} of {values.dtype} values"
        )
    counts = run_kernel(RLE, values, corners, size, threshold)
    if counts is NotImplemented:
        return encode_regions(values, corners, size, threshold)
    return [{"size": list(size), "counts": packed} for packed in counts]


def encode_regions(
    values: npt.NDArray[Any], boxes: Boxes, image_size: tuple[int, int], threshold: float
) -> list[Rle]:
    """Encode checked windows, in groups of boxes of similar size."""
    if not len(boxes):
        return []
    rles: list[Rle] = [{}] * len(boxes)
    for group in groups_by_size(box_reach(boxes, values.shape[1:], image_size), CHUNK):
        region = sample_region(values[group], boxes[group], image_size)
        corner = zip(region.rows.start.tolist(), region.cols.start.tolist(), strict=True)
        for k, mask, at in zip(group, region.values >= threshold, corner, strict=True):
            rles[k] = {"size": list(image_size), "counts": _runs(mask, at, image_size)}
    return list(coco_mask().frPyObjects(rles, *image_size))


def _runs(region: Bools, at: tuple[int, int], image_size: tuple[int, int]) -> list[int]:
    """Return the run lengths in the whole image of a mask that is `region` at (row, column)."""
    height, width = image_size
    changes = _changes(region)
    position = (at[1] + changes[0]) * height + at[0] + changes[1]  # column-major
    # A run that goes on at the top of the next column ends and starts at one position.
    position, times = np.unique(position, return_counts=True)
    position = position[times == 1]
    runs = np.diff(position, prepend=0, append=height * width)
    if position.size and runs[-1] == 0:
        runs = runs[:-1]
    return [int(run) for run in runs]


def _changes(region: Bools) -> tuple[Ints, Ints]:
    """Return column and row of each place where a run of a column starts or has ended."""
    rows, cols = region.shape
    framed = np.zeros((cols, rows + 2), dtype=bool)
    framed[:, 1:-1] = region.T
    column, row = np.nonzero(framed[:, 1:] != framed[:, :-1])
    return column, row
