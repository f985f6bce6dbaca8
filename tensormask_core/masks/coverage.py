"""Ground truth into windows: the share of each window cell that a mask covers."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from tensormask_core.errors import LayoutError
from tensormask_core.masks._checks import (
    Boxes,
    check_rank,
    check_same_length,
    check_size,
    host_boxes,
    to_host,
)
from tensormask_core.masks._spans import (
    Floats,
    Ints,
    Span,
    covering_span,
    groups_by_size,
    take_rows,
)

BUDGET = 1 << 20  # pixels gathered at a time: some 10 MB of intermediates, one 800x1300 image
RING = {"zero": 0, "ring": 1}  # pixels outside the image that repeat the edge pixel


def crop_and_resize(
    masks: Any,
    boxes: Any,
    size: tuple[int, int],
    *,
    object: Any = None,
    soft: bool = True,
    threshold: float = 0.5,
    outside: str = "zero",
) -> Any:
    """Return how much of each cell of each window is covered by the window's mask.

    The box filter with exact, possibly fractional edges: the mask is taken as constant on each
    pixel (pixel (r, c) is the square [r, r+1) x [c, c+1)) and integrated over each of the V x U
    equal cells of the box. If box edges and cell edges are whole pixels, this is the mean
    over the block of pixels under the cell.

    With `outside="ring"`, `soft=False` and windows of whole-pixel cells the result is the published
    TensorMask target (RoIAlign, sampling_ratio 0, aligned, >= 0.5): that RoIAlign treats pixel
    indices -1 and H as inside, so the one-pixel ring around the image repeats its edge pixel.

    Args:
        masks: (N, H, W) bool, integer or float; values are averaged as they are (0 and 1).
        boxes: (K, 4) XYXY in px, of any library; may be fractional and may leave the image.
        size: (V, U), cells per window.
        object: (K,) the mask that each box reads; left out, box k reads mask k.
        soft: return coverage (float32) or, if False, `coverage >= threshold` (bool).
        threshold: the least coverage of a cell that counts as mask.
        outside: what lies outside the image: "zero", or "ring" (see above).

    Returns:
        (K, V, U) on the device of `masks`: float32 in [0, 1] for masks of 0 and 1, or bool.
        Boxes without area are all 0.

    Raises:
        LayoutError: for wrong ranks or lengths, non-finite boxes, an object out of range, a size
            that is not two positive numbers or an unknown `outside`.

    Example:
        >>> import numpy as np
        >>> mask = np.array([[[0, 0, 1, 1], [0, 1, 1, 1]]], dtype=bool)
        >>> crop_and_resize(mask, [[0, 0, 4, 2]], (1, 2)).tolist()
        [[[0.25, 1.0]]]
        >>> crop_and_resize(mask, [[0.5, 0, 2.5, 2]], (1, 1), soft=False).tolist()
        [[[True]]]
    """
    check_rank("crop_and_resize", "masks", "(N, H, W)", masks)
    window = check_size("crop_and_resize", "size", size)
    corners = host_boxes("crop_and_resize", boxes)
    source = _checked_object(object, len(corners), masks.shape[0])
    if outside not in RING:
        raise LayoutError(f"crop_and_resize expects outside in {sorted(RING)}, got {outside!r}")
    coverage = _coverage(masks, corners, source, window, RING[outside])
    return coverage if soft else coverage >= threshold


def _checked_object(index: Any, boxes: int, masks: int) -> Ints:
    """Return which mask each box reads, on the host."""
    if index is None:
        check_same_length("crop_and_resize without object", ("boxes", boxes), ("masks", masks))
        return np.arange(masks)
    host = to_host(index).astype(np.int64).reshape(-1)
    check_same_length("crop_and_resize", ("boxes", boxes), ("object", host.size))
    if host.size and not 0 <= host.min() <= host.max() < masks:
        raise LayoutError(
            f"crop_and_resize expects object in [0, {masks}) for {masks} masks, "
            f"got values from {host.min()} to {host.max()}"
        )
    return host


def _coverage(masks: Any, boxes: Boxes, source: Ints, window: tuple[int, int], ring: int) -> Any:
    """Return the coverage (K, V, U) of checked arguments, in groups of boxes of similar size."""
    xp, device = array_api_compat.array_namespace(masks), array_api_compat.device(masks)
    _, height, width = masks.shape
    if not len(boxes) or not height or not width:
        return xp.zeros((len(boxes), *window), dtype=xp.float32, device=device)
    touched = np.minimum(boxes[:, [3, 2]] - boxes[:, [1, 0]], (height, width))
    groups = list(groups_by_size(np.maximum(touched, window), BUDGET))
    parts = [_group_coverage(masks, boxes[g], source[g], window, ring) for g in groups]
    place = np.argsort(np.concatenate(groups))
    return xp.take(xp.concat(parts), xp.asarray(place, device=device), axis=0)


def _group_coverage(
    masks: Any, boxes: Boxes, source: Ints, window: tuple[int, int], ring: int
) -> Any:
    """Return the coverage (n, V, U) of boxes that are gathered together."""
    xp, device = array_api_compat.array_namespace(masks), array_api_compat.device(masks)
    _, height, width = masks.shape
    y_edges, x_edges = _cell_edges(boxes, window, ring)
    rows = covering_span(y_edges[:, 0], y_edges[:, -1], height + 2 * ring)
    cols = covering_span(x_edges[:, 0], x_edges[:, -1], width + 2 * ring)
    patch = masks[
        xp.asarray(source[:, None, None], device=device),
        xp.asarray(np.clip(rows.index - ring, 0, height - 1)[:, :, None], device=device),
        xp.asarray(np.clip(cols.index - ring, 0, width - 1)[:, None, :], device=device),
    ]  # (n, rows, cols)
    by_rows = _cell_sums(xp, patch, y_edges, rows)  # (n, V, cols)
    sums = _cell_sums(xp, xp.matrix_transpose(by_rows), x_edges, cols)  # (n, U, V)
    area = xp.asarray(_cell_area(boxes, window), dtype=xp.float32, device=device)
    return xp.matrix_transpose(sums) / area


def _cell_edges(boxes: Boxes, window: tuple[int, int], ring: int) -> tuple[Floats, Floats]:
    """Return the edges of the cells, (K, V + 1) along y and (K, U + 1) along x."""
    (x0, y0, x1, y1), (cells_v, cells_u) = boxes.T[:, :, None] + ring, window
    step_v, step_u = np.arange(cells_v + 1), np.arange(cells_u + 1)
    return y0 + (y1 - y0) * step_v / cells_v, x0 + (x1 - x0) * step_u / cells_u


def _cell_area(boxes: Boxes, window: tuple[int, int]) -> Floats:
    """Return the area of a cell of each box (K, 1, 1); infinite where the box has none."""
    sides = boxes[:, 2:] - boxes[:, :2]
    area = sides.prod(axis=1) / (window[0] * window[1])
    return np.where((sides > 0).all(axis=1), area, np.inf)[:, None, None]


def _cell_sums(xp: Any, values: Any, edges: Floats, span: Span) -> Any:
    """Integrate `values` (n, length, R) along axis 1 between successive `edges` (n, cells + 1).

    The running sum up to an edge is its value at the whole pixel below plus a fraction of the next
    step. Whole and fractional parts are differenced apart, so the sums of masks of 0 and 1 over
    whole pixels are exact, and no digits are lost to long running sums elsewhere.
    """
    steps = xp.astype(values, xp.float32)
    total = xp.cumulative_sum(steps, axis=1, dtype=xp.float32, include_initial=True)
    local = edges - span.start[:, None]
    below = np.clip(np.floor(local), 0, span.length - 1).astype(np.int64)
    whole = take_rows(xp, total, below)
    sums = whole[:, 1:, :] - whole[:, :-1, :]
    fraction = np.clip(local - below, 0, 1)[:, :, None]
    if not fraction.any():
        return sums
    device = array_api_compat.device(values)
    part = take_rows(xp, steps, below) * xp.asarray(fraction, dtype=xp.float32, device=device)
    return sums + (part[:, 1:, :] - part[:, :-1, :])
