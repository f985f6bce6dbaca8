"""Paste window masks into images on a CUDA device: a memset, then the pixels under windows alone.

The arithmetic is that of `tensormask_core.masks.paste`, operation by operation and without fused
products, so the result is the same to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton
import triton.language as tl
from torch import Tensor

from tensormask_core.masks._spans import touched_pixels
from tensormask_core.masks.paste import cells_per_px, reach

TILE = (16, 128)  # pixels of one program: rows are written in whole sectors of memory
Array = npt.NDArray[Any]


def paste(
    windows: Tensor, boxes: Array, image_size: tuple[int, int], threshold: float | None
) -> Tensor:
    """Return the masks (K, H, W) of checked windows: values, or bool with a threshold."""
    height, width = image_size
    dtype = windows.dtype if threshold is None else torch.bool
    fill = threshold is not None and threshold <= 0  # the value beyond a window is 0
    images = torch.full((len(windows), height, width), fill, dtype=dtype, device=windows.device)
    pixels = _pixels(boxes, windows.shape[1:], image_size)
    tiles_y, tiles_x = _tiles(pixels)
    if not tiles_y * tiles_x:
        return images
    frames = _frames(boxes, windows.shape[1:], threshold)
    # Triton launches on the current device.
    with torch.cuda.device_of(windows):  # type: ignore[no-untyped-call]  # torch has no types here
        _paste_kernel[(len(windows) * tiles_y * tiles_x,)](
            windows.contiguous(),
            torch.from_numpy(frames).to(windows.device),
            torch.from_numpy(pixels).to(windows.device),
            images, *windows.shape[1:], height, width, tiles_y, tiles_x,
            HAS_THRESHOLD=threshold is not None, ROWS=TILE[0], COLS=TILE[1],
            enable_fp_fusion=False,
        )  # fmt: skip
    return images


def _pixels(boxes: Array, window: tuple[int, ...], image_size: tuple[int, int]) -> Array:
    """Return top, bottom, left and right (K, 4) of the pixels under each window."""
    x0, y0, x1, y1 = boxes.T
    top, bottom = touched_pixels(*reach(y0, y1, window[0]), image_size[0])
    left, right = touched_pixels(*reach(x0, x1, window[1]), image_size[1])
    pixels = np.stack([top, bottom, left, right], axis=1)
    pixels[(x1 <= x0) | (y1 <= y0)] = 0
    return pixels.astype(np.int32)


def _tiles(pixels: Array) -> tuple[int, int]:
    """Return how many tiles hold the pixels of any window, along y and along x."""
    rows = int(np.max(pixels[:, 1] - pixels[:, 0], initial=0))
    cols = int(np.max(pixels[:, 3] - pixels[:, 2], initial=0))
    return triton.cdiv(rows, TILE[0]), triton.cdiv(cols, TILE[1])


def _frames(boxes: Array, window: tuple[int, ...], threshold: float | None) -> Array:
    """Return origin and cells per pixel along y and x, and the threshold (K, 5).

    The threshold comes in memory because a number in an argument is cut to 32 bits.
    """
    x0, y0, x1, y1 = boxes.T
    per_y, per_x = cells_per_px(y0, y1, window[0]), cells_per_px(x0, x1, window[1])
    return np.stack([y0, per_y, x0, per_x, np.full(len(boxes), threshold or 0.0)], axis=1)


@triton.jit
def _paste_kernel(  # noqa: PLR0913, PLR0917  (a launch passes pointers and numbers, no structures)
    windows: tl.tensor, frames: tl.tensor, pixels: tl.tensor, images: tl.tensor,
    cells_v: tl.tensor, cells_u: tl.tensor, height: tl.tensor, width: tl.tensor,
    tiles_y: tl.tensor, tiles_x: tl.tensor,
    HAS_THRESHOLD: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
) -> None:  # fmt: skip
    """Write one tile of one window's pixels; a program beyond the window's last tile ends."""
    program = tl.program_id(0)
    k = program // (tiles_y * tiles_x)
    tile = program % (tiles_y * tiles_x)
    first_row = tl.load(pixels + 4 * k) + tile // tiles_x * ROWS
    first_col = tl.load(pixels + 4 * k + 2) + tile % tiles_x * COLS
    end_row, end_col = tl.load(pixels + 4 * k + 1), tl.load(pixels + 4 * k + 3)
    if first_row < end_row and first_col < end_col:
        frame = frames + 5 * k
        row = first_row + tl.arange(0, ROWS)
        col = first_col + tl.arange(0, COLS)
        dtype: tl.constexpr = windows.dtype.element_ty
        above, row_0, row_1 = _taps(row, tl.load(frame), tl.load(frame + 1), cells_v, dtype)
        left, col_0, col_1 = _taps(col, tl.load(frame + 2), tl.load(frame + 3), cells_u, dtype)
        window = windows + k.to(tl.int64) * cells_v * cells_u
        high = _line(window, above, left, col_0, col_1, cells_v, cells_u)
        low = _line(window, above + 1, left, col_0, col_1, cells_v, cells_u)
        value = high * row_0[:, None] + low * row_1[:, None]
        if HAS_THRESHOLD:
            value = value >= tl.load(frame + 4).to(dtype)
        offset = (k.to(tl.int64) * height + row)[:, None] * width + col[None, :]
        tl.store(images + offset, value, (row < end_row)[:, None] & (col < end_col)[None, :])


@triton.jit
def _taps(
    pixel: tl.tensor, low: tl.tensor, per_px: tl.tensor, cells: tl.tensor, dtype: tl.constexpr
) -> tl.tensor:
    """Return the cell below each pixel centre, from -1 to `cells`, and the two weights."""
    index = (pixel.to(tl.float64) + 0.5 - low) * per_px - 0.5
    below = tl.minimum(tl.maximum(tl.floor(index), -1.0), cells.to(tl.float64))
    share = tl.minimum(tl.maximum(index - below, 0.0), 1.0)
    cell = below.to(tl.int32)
    below_share = tl.where((cell >= 0) & (cell < cells), 1 - share, 0.0)
    above_share = tl.where(cell + 1 < cells, share, 0.0)  # -1 + 1 exists always
    return cell, below_share.to(dtype), above_share.to(dtype)


@triton.jit
def _line(
    window: tl.tensor,
    row: tl.tensor,
    col: tl.tensor,
    low_weight: tl.tensor,
    high_weight: tl.tensor,
    cells_v: tl.tensor,
    cells_u: tl.tensor,
) -> tl.tensor:
    """Interpolate rows of cells at each column of pixels, (ROWS, COLS)."""
    start = window + (tl.minimum(tl.maximum(row, 0), cells_v - 1) * cells_u)[:, None]
    low = tl.load(start + tl.minimum(tl.maximum(col, 0), cells_u - 1)[None, :])
    high = tl.load(start + tl.minimum(tl.maximum(col + 1, 0), cells_u - 1)[None, :])
    return low * low_weight[None, :] + high * high_weight[None, :]
