"""Chosen windows and their adjoint."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps
from tensormask_cupy._device import Array, Device, sum_dtype

_THREADS = 256
_TILE = 32, 128  # cells of a window that a block of `windows` owns
_TAPS_BYTES = 72  # of shared memory per row and column of a tile
_SAMPLES = 8  # of a plane that a thread of `windows_adjoint` owns


def windows(device: Device, x: Any, plan: Plan, index: Any) -> Any:
    """Return the windows (K, *plan.window_out) of ``x`` at ``index`` (K, 3)."""
    x, index = device.xp.ascontiguousarray(x), _contiguous(device, index)
    _check_batch(device, index, x.shape[0])
    out = device.xp.empty((len(index), *plan.window_out), x.dtype)
    if not x.size:
        out[...] = plan.pad_value
    if not (x.size and out.size):
        return out
    tile = [min(pair) for pair in zip(_TILE, plan.window_out, strict=True)]
    across = [-(-extent // step) for extent, step in zip(plan.window_out, tile, strict=True)]
    blocks = len(index) * across[0] * across[1]
    (*rows, _), (*columns, _) = _tables(device, plan, str(x.dtype))
    sizes = (blocks, *x.shape, *plan.window_out, *tile, *plan.node_map)
    arguments = (x, index, out, *rows, *columns, *sizes, plan.pad_value)
    grid = blocks, min(_THREADS, device.largest_block), sum(tile) * _TAPS_BYTES
    device.launch("windows", str(x.dtype), grid, arguments)
    return out


def windows_adjoint(device: Device, g: Any, plan: Plan, index: Any, batch: int) -> Any:
    """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
    xp, g, index = device.xp, device.xp.ascontiguousarray(g), _contiguous(device, index)
    _check_batch(device, index, batch)
    out = xp.empty((batch, *plan.shape_in), g.dtype)
    if not g.size:
        out[...] = 0
    if not (g.size and out.size):
        return out
    order = xp.argsort(index[:, 0], kind="stable")
    start = xp.searchsorted(index[order, 0], xp.arange(batch + 1))
    (v_cell, v_weight, _, v_span), (u_cell, u_weight, _, u_span) = _tables(
        device, plan, str(g.dtype)
    )
    planes = batch * plan.window_in[0] * plan.window_in[1]
    threads = min(_THREADS, device.largest_block)
    tiles = -(-plan.grid_in[0] * plan.grid_in[1] // (_SAMPLES * threads))
    arrays = (g, index, order, start, out, v_cell, v_weight, v_span, u_cell, u_weight, u_span)
    sizes = (planes * tiles, tiles, *plan.shape_in, *plan.window_out, *plan.node_map)
    grid = planes * tiles, threads, 0
    device.launch("windows_adjoint", str(g.dtype), grid, (*arrays, *sizes))
    return out


def _contiguous(device: Device, index: Any) -> Any:
    return device.xp.ascontiguousarray(index, dtype=np.int64)


def _check_batch(device: Device, index: Any, batch: int) -> None:
    """Raise where looking costs nothing; elsewhere the kernels make such windows NaN."""
    if device.observable and ((index[:, 0] < 0) | (index[:, 0] >= batch)).any():
        raise IndexError(f"index expects batch indices in [0, {batch}), got {index[:, 0]}")


@lru_cache(maxsize=64)
def _tables(device: Device, plan: Plan, dtype: str) -> list[tuple[Any, ...]]:
    """Return for (V, H), then (U, W): cells, their weights, what they miss, and who reads them."""
    total = sum_dtype(dtype)
    tables = []
    for axis in range(2):
        cells = cell_taps(plan, axis)
        missing = np.where(cells.inside, 0.0, 1.0 - cells.weight.sum(-1))
        span = _readers(cells.index, cells.weight, plan.window_in[axis])
        host = cells.index.astype(np.int32), cells.weight.astype(total), missing.astype(total), span
        tables.append(device.upload(host))
    return tables


def _readers(index: Array, weight: Array, extent: int) -> Array:
    """Return the first output cell that reads each input cell, and the one behind the last."""
    reads = ((index[..., None] == np.arange(extent)) & (weight > 0)[..., None]).any(1)
    first = reads.argmax(0)
    last = len(reads) - reads[::-1].argmax(0)
    return np.where(reads.any(0)[:, None], np.stack([first, last], axis=1), 0).astype(np.int32)
