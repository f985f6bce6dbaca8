"""Which pixels of an image axis a window reaches, and the two cells that each of them reads.

The arithmetic of `tensormask_core.masks.paste`, operation by operation, for one window: positions
in float64, weights rounded to the type of the windows. LLVM fuses no product with a sum unless it
is told to, so the results are the same to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def reached(low: float, high: float, cells: int, extent: int) -> tuple[int, int]:
    """Return the first pixel whose square the window touches, and the end."""
    half_cell = max(high - low, 0.0) / (2 * cells)
    first = min(max(np.floor(low - half_cell), 0.0), float(extent))
    end = min(max(np.ceil(max(low, high) + half_cell), 0.0), float(extent))
    return int(first), int(end)


@njit(cache=True, nogil=True)
def taps(
    low: float, high: float, cells: int, pixels: tuple[int, int], dtype: Any
) -> tuple[Any, Any]:
    """Return the cell below each pixel centre, from -1 to `cells`, and the weights (2, pixels)."""
    first, end = pixels
    below = np.empty(max(end - first, 0), np.int64)
    weight = np.zeros((2, len(below)), dtype)
    per_px = cells / (high - low)
    for at in range(len(below)):
        index = (first + at + 0.5 - low) * per_px - 0.5
        cell = int(min(max(np.floor(index), -1.0), float(cells)))
        above_share = min(max(index - cell, 0.0), 1.0)
        below[at] = cell
        if 0 <= cell < cells:
            weight[0, at] = 1 - above_share
        if 0 <= cell + 1 < cells:
            weight[1, at] = above_share
    return below, weight


@njit(cache=True, nogil=True)
def nearest_cell(cell: int, cells: int) -> int:
    """Return an existing cell to read, of which a missing one takes nothing."""
    return min(max(cell, 0), cells - 1)
