"""Window masks into the image: bilinear sampling of a window at the pixel centres under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from tensormask_core.masks._checks import (
    Boxes,
    check_rank,
    check_same_length,
    check_size,
    host_boxes,
)
from tensormask_core.masks._kernels import PASTE, run_kernel
from tensormask_core.masks._spans import (
    Floats,
    Ints,
    Span,
    covering_span,
    groups_by_size,
    take_rows,
)

CHUNK = 1 << 20  # pixels sampled at a time: some 20 MB of intermediates


def paste(
    windows: Any,
    boxes: Any,
    image_size: tuple[int, int],
    *,
    threshold: float | None = None,
    chunk: int = CHUNK,
) -> Any:
    """Return the image-sized masks of windows that lie at `boxes`.

    Pixel (r, c) reads its window at the centre (r + 1/2, c + 1/2), bilinearly between the centres
    of the window's cells; beyond the window the value is 0. This is
    `grid_sample(align_corners=False, padding_mode="zeros")`, the paste of the published
    TensorMask: near the border a window fades to 0 over one cell, half of it outside the box.

    Only the pixels that a box reaches are sampled. Where a compiled kernel is installed for the
    array's type it does the same arithmetic without intermediates.

    Args:
        windows: (K, V, U) probabilities (not logits).
        boxes: (K, 4) XYXY in px, the window's own box, of any library; may leave the image.
        image_size: (H, W) in px.
        threshold: return `value >= threshold` (bool); left out, return the values.
        chunk: how many pixels are sampled at a time where no kernel is installed; bounds the
            memory of the intermediates.

    Returns:
        (K, H, W) on the device of `windows`: bool, or the values as float32 (float64 for float64
        windows). Boxes without area give empty masks.

    Raises:
        LayoutError: for wrong ranks or lengths, non-finite boxes, an image size that is not two
            positive whole numbers.

    Example:
        >>> import numpy as np
        >>> window = np.ones((1, 1, 2))
        >>> paste(window, [[1, 0, 3, 1]], (1, 4)).tolist()
        [[[0.0, 1.0, 1.0, 0.0]]]
        >>> paste(window, [[1, 0, 3, 1]], (1, 4), threshold=0.5).tolist()
        [[[False, True, True, False]]]
    """
    values, corners = checked_windows("paste", windows, boxes)
    size = check_size("paste", "image_size", image_size)
    pasted = run_kernel(PASTE, values, corners, size, threshold)
    if pasted is NotImplemented:
        return paste_regions(values, corners, size, threshold, chunk)
    return pasted


def paste_regions(
    values: Any,
    boxes: Boxes,
    image_size: tuple[int, int],
    threshold: float | None,
    chunk: int = CHUNK,
) -> Any:
    """Paste checked windows of any library, in groups of boxes of similar size."""
    xp, device = array_api_compat.array_namespace(values), array_api_compat.device(values)
    fill = 0.0 if threshold is None else threshold <= 0  # the value beyond a window is 0
    images: list[Any] = [None] * len(boxes)
    for group in groups_by_size(box_reach(boxes, values.shape[1:], image_size), chunk):
        chosen = xp.take(values, xp.asarray(group, device=device), axis=0)
        region = sample_region(chosen, boxes[group], image_size)
        found = region.values if threshold is None else region.values >= threshold
        for k, index in enumerate(group):
            at = (int(region.rows.start[k]), int(region.cols.start[k]))
            images[int(index)] = _embed(xp, found[k, :, :], at, image_size, fill)
    if not images:
        dtype = values.dtype if threshold is None else xp.bool
        return xp.zeros((0, *image_size), dtype=dtype, device=device)
    return xp.stack(images)


@dataclass(frozen=True)
class Region:
    """The sampled pixels of K windows: `values` (K, rows.length, cols.length)."""

    values: Any
    rows: Span
    cols: Span


def checked_windows(name: str, windows: Any, boxes: Any) -> tuple[Any, Boxes]:
    """Return windows as floats of 32 or 64 bits and their boxes on the host."""
    check_rank(name, "windows", "(K, V, U)", windows)
    corners = host_boxes(name, boxes)
    check_same_length(name, ("windows", windows.shape[0]), ("boxes", len(corners)))
    check_size(name, "window extents (V, U)", windows.shape[1:])
    xp = array_api_compat.array_namespace(windows)
    return (windows if windows.dtype == xp.float64 else xp.astype(windows, xp.float32)), corners


def sample_region(windows: Any, boxes: Boxes, image_size: tuple[int, int]) -> Region:
    """Sample each window at the pixel centres that its box reaches."""
    xp = array_api_compat.array_namespace(windows)
    (x0, y0, x1, y1), (cells_v, cells_u) = boxes.T, windows.shape[1:]
    rows = covering_span(*reach(y0, y1, cells_v), image_size[0])
    cols = covering_span(*reach(x0, x1, cells_u), image_size[1])
    by_cols = _blend(xp, xp.matrix_transpose(windows), _cell_index(x0, x1, cells_u, cols))
    values = _blend(xp, xp.matrix_transpose(by_cols), _cell_index(y0, y1, cells_v, rows))
    return Region(values, rows, cols)  # (K, U, V) -> (K, cols, V) -> (K, rows, cols)


def box_reach(boxes: Boxes, window: tuple[int, int], image_size: tuple[int, int]) -> Floats:
    """Return height and width (K, 2) of what each box reaches in the image."""
    sides = boxes[:, [3, 2]] - boxes[:, [1, 0]]
    return np.clip(sides * (1 + 1 / np.asarray(window)) + 2, 1, image_size)


def reach(low: Floats, high: Floats, cells: int) -> tuple[Floats, Floats]:
    """Return the ends of an image axis between which pixel centres see a non-zero tap."""
    half_cell = np.maximum(high - low, 0) / (2 * cells)
    return low - half_cell, np.maximum(low, high) + half_cell


def cells_per_px(low: Floats, high: Floats, cells: int) -> Floats:
    """Return how many cells one pixel spans; any number without area."""
    side = high - low
    return cells / np.where(side > 0, side, 1)


def _cell_index(low: Floats, high: Floats, cells: int, span: Span) -> Floats:
    """Return the fractional cell index at each pixel centre (K, length); far out without area."""
    per_px = cells_per_px(low, high, cells)
    index = (span.index + 0.5 - low[:, None]) * per_px[:, None] - 0.5
    return np.where((high > low)[:, None], index, -1.0)


def _blend(xp: Any, values: Any, index: Floats) -> Any:
    """Interpolate axis 1 of `values` (K, cells, R) at `index` (K, P); outside it reads 0."""
    below = np.clip(np.floor(index), -1, values.shape[1]).astype(np.int64)
    above_share = np.clip(index - below, 0, 1)
    low = _tap(xp, values, below, 1 - above_share)
    return low + _tap(xp, values, below + 1, above_share)  # (K, P, R)


def _tap(xp: Any, values: Any, cell: Ints, weight: Floats) -> Any:
    """Return `weight * values[k, cell[k]]`, 0 where the cell does not exist."""
    device, cells = array_api_compat.device(values), values.shape[1]
    weight = np.where((cell >= 0) & (cell < cells), weight, 0)[:, :, None]
    scale = xp.asarray(weight, dtype=values.dtype, device=device)
    return take_rows(xp, values, np.clip(cell, 0, cells - 1)) * scale


def _embed(
    xp: Any, region: Any, at: tuple[int, int], image_size: tuple[int, int], fill: float
) -> Any:
    """Return `image_size` pixels of value `fill` with `region` placed at (row, column) `at`."""
    for axis in (1, 0):
        before, after = list(region.shape), list(region.shape)
        before[axis] = at[axis]
        after[axis] = image_size[axis] - at[axis] - region.shape[axis]
        like = {"dtype": region.dtype, "device": array_api_compat.device(region)}
        around = [
            xp.full(tuple(before), fill, **like),
            region,
            xp.full(tuple(after), fill, **like),
        ]
        region = xp.concat(around, axis=axis)
    return region
