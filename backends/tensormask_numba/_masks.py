"""Window masks into images and into COCO's RLE, compiled: what `tensormask_core.masks` looks for.

Both functions do the arithmetic of the core's own path, to the last bit, without its
intermediates. Work is shared out by window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tensormask_numba._masks_paste import paste_window
from tensormask_numba._masks_rle import encode_window

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
    for window, box, image in zip(_compact(windows), boxes.tolist(), images, strict=True):
        paste_window(window, tuple(box), level, image)
    return images


def encode(
    windows: Array, boxes: Array, image_size: tuple[int, int], threshold: float
) -> list[bytes]:
    """Return the compressed RLE counts of each of the checked windows' masks."""
    bounds = _bounds(windows.dtype.type(threshold))
    return [
        encode_window(window, tuple(box), image_size, bounds).tobytes()
        for window, box in zip(_compact(windows), boxes.tolist(), strict=True)
    ]


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
