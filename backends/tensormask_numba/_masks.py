"""Window masks into images and into COCO's RLE, compiled: what `tensormask_core.masks` looks for.

Both functions do the arithmetic of the core's own path, to the last bit, without its
intermediates. Work is shared out by window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import get_num_threads

from tensormask_numba._masks_paste import paste_window
from tensormask_numba._masks_rle import encode_window
from tensormask_numba._threads import run_in_threads

Array = npt.NDArray[Any]


def paste(
    windows: Array, boxes: Array, image_size: tuple[int, int], threshold: float | None
) -> Array:
    """Return the masks (K, H, W) of checked windows: values, or bool with a threshold."""
    level = None if threshold is None else windows.dtype.type(threshold)
    dtype = windows.dtype if level is None else np.dtype(bool)
    images = np.zeros((len(windows), *image_size), dtype)
    if level is not None and level <= 0:
        images[:] = True  # so is the 0 beyond the window
    values, corners = _compact(windows), boxes.tolist()

    def some(begin: int, end: int) -> None:
        for k in range(begin, end):
            paste_window(values[k], tuple(corners[k]), level, images[k])

    run_in_threads(some, len(values), get_num_threads())
    return images


def encode(
    windows: Array, boxes: Array, image_size: tuple[int, int], threshold: float
) -> list[bytes]:
    """Return the compressed RLE counts of each of the checked windows' masks."""
    bounds = _bounds(windows.dtype.type(threshold))
    values, corners = _compact(windows), boxes.tolist()
    counts = [b""] * len(values)

    def some(begin: int, end: int) -> None:
        for k in range(begin, end):
            found = encode_window(values[k], tuple(corners[k]), image_size, bounds)
            counts[k] = found.tobytes()

    run_in_threads(some, len(values), get_num_threads())
    return counts


def _compact(array: Array) -> Array:
    """Return a contiguous, writable array: one compiled version serves all."""
    return np.require(array, requirements=["C", "W"])


def _bounds(threshold: Any) -> Array:
    """Return what is surely below, at, and surely above a threshold, after interpolation.

    Two weights that sum up to 1 but for their rounding, two products and a sum err by less than 4
    units in the last place, and by less than the smallest normal number where values underflow.
    """
    kind = np.finfo(threshold.dtype)
    margin = 8 * (threshold * kind.eps + kind.tiny)
    return np.array([threshold - margin, threshold, threshold + margin])
