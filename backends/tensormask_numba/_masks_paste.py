"""Paste window masks into images: each pixel under a window is written once, nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from tensormask_numba._masks_taps import nearest_cell, reached, taps


@njit(cache=True, nogil=True)
def paste_window(window: Any, box: Any, threshold: Any, image: Any) -> None:
    """Write a window at `box` into an image (H, W): values or, with a threshold, bool.

    Goes row by row; two blended lines of the window are all that is held.
    """
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        return
    cells_v, cells_u = window.shape
    rows = reached(y0, y1, cells_v, image.shape[0])
    cols = reached(x0, x1, cells_u, image.shape[1])
    row_cell, row_weight = taps(y0, y1, cells_v, rows, window.dtype)
    col_cell, col_weight = taps(x0, x1, cells_u, cols, window.dtype)
    lines = np.empty((2, len(col_cell)), window.dtype)
    blended = -2  # the row of cells that lines[0] holds: none yet
    for at in range(len(row_cell)):
        if row_cell[at] != blended:
            blended = row_cell[at]
            for tap in range(2):
                line = window[nearest_cell(blended + tap, cells_v)]
                _blend_cols(line, col_cell, col_weight, lines[tap])
        _write_row(lines, row_weight[:, at], threshold, image[rows[0] + at, cols[0] : cols[1]])


@njit(cache=True, nogil=True)
def _blend_cols(line: Any, cell: Any, weight: Any, out: Any) -> None:
    """Interpolate a row of cells at each column of pixels."""
    for c in range(len(cell)):
        low = line[nearest_cell(cell[c], len(line))] * weight[0, c]
        out[c] = low + line[nearest_cell(cell[c] + 1, len(line))] * weight[1, c]


@njit(cache=True, nogil=True)
def _write_row(lines: Any, weight: Any, threshold: Any, out: Any) -> None:
    """Interpolate between two lines into a row of pixels."""
    low, high = weight
    for c in range(len(out)):
        value = lines[0, c] * low + lines[1, c] * high
        if threshold is None:
            out[c] = value
        else:
            out[c] = value >= threshold
