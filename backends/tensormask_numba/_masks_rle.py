"""COCO's run-length encoding straight from window masks, without any pixels in between.

A column of pixels under a window is linear between cells. Where the two cells that a stretch of
pixels reads lie on one side of the threshold, the whole stretch does; only stretches that cross
it are sampled pixel by pixel, with the arithmetic of `paste`. Runs go through an encoder that
merges neighbours and writes compressed counts, so memory is that of the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tensormask_numba._masks_taps import nearest_cell, reached, taps

COUNT_BYTES = 13  # at most, of one 64-bit count in groups of 5 bits
START, END = 0, 1  # of the run that may still grow, as positions down the columns of the image
COUNTS, BEFORE, LAST = 2, 3, 4  # how many counts are written, and the last two of them
USED = 5  # bytes of the output


@njit(cache=True, nogil=True)
def encode_window(window: Any, box: Any, size: tuple[int, int], bounds: Any) -> Any:
    """Return the compressed counts of a window at `box` in an image of `size`, as bytes.

    `bounds` holds a value that is surely below the threshold, the threshold itself, and one surely
    above.
    """
    x0, y0, x1, y1 = box
    encoder, out = np.zeros(6, np.int64), np.empty(4096, np.uint8)
    if x1 > x0 and y1 > y0:
        out = _add_window(window, box, size, bounds, encoder, out)
    out = _with_room(out, encoder[USED] + 2 * COUNT_BYTES)
    _finish(size[0] * size[1], encoder, out)
    return out[: encoder[USED]]


@njit(cache=True, nogil=True)
def _add_window(
    window: Any, box: Any, size: tuple[int, int], bounds: Any, encoder: Any, out: Any
) -> Any:
    """Add the runs of one window, column by column; return the buffer, which may have grown."""
    (cells_v, cells_u), (x0, y0, x1, y1) = window.shape, box
    rows = reached(y0, y1, cells_v, size[0])
    cols = reached(x0, x1, cells_u, size[1])
    row_cell, row_weight = taps(y0, y1, cells_v, rows, window.dtype)
    col_cell, col_weight = taps(x0, x1, cells_u, cols, window.dtype)
    stretches = (_stretches(row_cell), row_cell, row_weight)
    by_cols = window.T.copy()  # (U, V): a column of cells lies together
    column = np.empty(cells_v, window.dtype)
    side = np.full(cells_v + 3, -1, np.int8)  # beyond the window lies 0, below any threshold
    for c in range(len(col_cell)):
        low = by_cols[nearest_cell(col_cell[c], cells_u)]
        high = by_cols[nearest_cell(col_cell[c] + 1, cells_u)]
        _blend_column(low, high, col_weight[:, c], bounds, column, side)
        out = _with_room(out, encoder[USED] + COUNT_BYTES * (len(row_cell) + 2))
        top = (cols[0] + c) * size[0] + rows[0]
        _add_column(stretches, column, side, bounds[1], top, encoder, out)
    return out


@njit(cache=True, nogil=True)
def _stretches(cell: Any) -> Any:
    """Return where the cell that pixels read changes, with both ends."""
    edges = np.empty(len(cell) + 1, np.int64)
    count = 0
    for at in range(len(cell)):
        if at == 0 or cell[at] != cell[at - 1]:
            edges[count] = at
            count += 1
    edges[count] = len(cell)
    return edges[: count + 1]


@njit(cache=True, nogil=True)
def _blend_column(low: Any, high: Any, weight: Any, bounds: Any, column: Any, side: Any) -> None:
    """Interpolate a column of cells; say of each cell v on which side it lies, in side[v + 1]."""
    low_weight, high_weight = weight
    below, _, above = bounds
    for v in range(len(column)):
        value = low[v] * low_weight + high[v] * high_weight
        column[v] = value
        side[v + 1] = (above <= value < np.inf) - (value <= below)


@njit(cache=True, nogil=True)
def _add_column(
    rows: Any, column: Any, side: Any, threshold: Any, top: int, encoder: Any, out: Any
) -> None:
    """Add the runs of one column of pixels, whose first is at position `top`."""
    stretch, cell, weight = rows
    for s in range(len(stretch) - 1):
        first, end = stretch[s], stretch[s + 1]
        below = cell[first]
        sides = side[below + 1] + side[below + 2]
        if sides == 2:
            _add_run(top + first, top + end, encoder, out)
        elif sides > -2:
            low = column[nearest_cell(below, len(column))]
            high = column[nearest_cell(below + 1, len(column))]
            _add_sampled(low, high, weight[:, first:end], threshold, top + first, encoder, out)


@njit(cache=True, nogil=True)
def _add_sampled(
    low: float, high: float, weight: Any, threshold: Any, top: int, encoder: Any, out: Any
) -> None:
    """Add the runs of pixels between two cells, sampled one by one."""
    start = -1
    for at in range(weight.shape[1]):
        inside = low * weight[0, at] + high * weight[1, at] >= threshold
        if inside and start < 0:
            start = at
        elif not inside and start >= 0:
            _add_run(top + start, top + at, encoder, out)
            start = -1
    if start >= 0:
        _add_run(top + start, top + weight.shape[1], encoder, out)


@njit(cache=True, nogil=True)
def _add_run(start: int, end: int, encoder: Any, out: Any) -> None:
    """Add mask pixels `start` to `end`, which may go on where the last run ended."""
    if encoder[COUNTS] and start == encoder[END]:
        encoder[END] = end
        return
    if encoder[COUNTS]:
        _write_count(encoder[END] - encoder[START], encoder, out)
    _write_count(start - encoder[END], encoder, out)
    encoder[START], encoder[END] = start, end


@njit(cache=True, nogil=True)
def _finish(pixels: int, encoder: Any, out: Any) -> None:
    """Write the last run and what follows it."""
    if encoder[COUNTS]:
        _write_count(encoder[END] - encoder[START], encoder, out)
    if encoder[END] < pixels:
        _write_count(pixels - encoder[END], encoder, out)


@njit(cache=True, nogil=True)
def _write_count(count: int, encoder: Any, out: Any) -> None:
    """Append a count as COCO does: from the fourth on relative to the one before the last.

    Groups of 5 bits, least first, as characters from "0" on; the bit above says that more follow,
    and the top bit of the last group is the sign.
    """
    rest = count - encoder[BEFORE] if encoder[COUNTS] > 2 else count
    encoder[COUNTS] += 1
    encoder[BEFORE], encoder[LAST] = encoder[LAST], count
    more = True
    while more:
        group = rest & 31
        rest >>= 5
        more = rest != (-1 if group & 16 else 0)
        out[encoder[USED]] = 48 + group + (32 if more else 0)
        encoder[USED] += 1


@njit(cache=True, nogil=True)
def _with_room(out: Any, size: int) -> Any:
    """Return a buffer of at least `size` bytes with the same content."""
    if size <= len(out):
        return out
    larger = np.empty(max(size, 2 * len(out)), np.uint8)
    larger[: len(out)] = out
    return larger
