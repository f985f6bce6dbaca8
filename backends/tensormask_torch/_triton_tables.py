"""Tables of the dense Triton kernel: which rows and columns each output reads, and in which order.

Rows are pairs (v, y), columns pairs (u, x). Transposed tables make the same kernel the adjoint.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps, grid_taps
from tensormask_torch._triton_tiles import Tiles, cut_into_tiles

Array = NDArray[Any]
Strides = tuple[int, ...]

# Rows that share most of what they read follow one another: blocks of cells by nodes.
_BLOCK_CELLS, _BLOCK_NODES = 4, 8


class Pairs(NamedTuple):
    """What each of M outputs along one pair of axes reads; E entries, those of weight 0 last.

    Attributes:
        source: (M, E) int64, pairs of the input, -1 where there are fewer.
        weight: (M, E) float64.
        missing: (M,) float64, the weight of taps out of range, exactly 0 where there are none.
    """

    source: Array
    weight: Array
    missing: Array


class RowTable(NamedTuple):
    """Rows in the order in which they are computed; offsets are in elements.

    Attributes:
        source: (M, E) int64, where each row that is read begins, -1 where none is read.
        weight: (M, E).
        target: (M,) int64, where the row that is written begins.
        padding: (2, M), what padding adds to the row, and the share of it that is covered.
    """

    source: torch.Tensor
    weight: torch.Tensor
    target: torch.Tensor
    padding: torch.Tensor


class ColumnTable(NamedTuple):
    """Columns, cut into tiles of T columns that read at most P; offsets are in elements.

    Attributes:
        source: (T, P) integers, the columns that are read, -1 where there is none.
        slot: (T, Q, E) int32, which of those P each column reads.
        weight: (T, Q, E).
        target: (T, Q) integers, the columns that are written, -1 where there is none.
        padding: (T, Q), what padding adds to the column.
    """

    source: torch.Tensor
    slot: torch.Tensor
    weight: torch.Tensor
    target: torch.Tensor
    padding: torch.Tensor


@lru_cache(maxsize=128)
def dense_tables(
    plan: Plan, adjoint: bool, strides: Strides, dtype: torch.dtype, device: torch.device
) -> tuple[RowTable, ColumnTable]:
    """Return the tables of an operator, for an input of these ``strides`` (N, V, U, H, W)."""
    shape_in, shape_out = plan.shape_in, plan.shape_out
    if adjoint:
        shape_in, shape_out = shape_out, shape_in
    rows, columns = (_pairs(plan, axis, adjoint) for axis in range(2))
    reads = (strides[1:], shape_in[2:])
    writes = (contiguous(shape_out), shape_out[2:])
    order = _row_order(rows, plan, adjoint)
    rows = _filled(rows)
    row_table = (
        _offsets(rows.source[order], 0, *reads),
        rows.weight[order],
        _offsets(order, 0, *writes),
        _row_padding(rows.missing[order], plan.pad_value),
    )
    tiles = cut_into_tiles(columns.source, columns.weight, rows.source.shape[1], shape_out[3])
    column_table = (
        _narrow(_offsets(tiles.source, 1, *reads)),
        tiles.slot.astype(np.int32),
        tiles.weight,
        _narrow(_offsets(tiles.target, 1, *writes)),
        _column_padding(columns.missing, tiles, plan.pad_value),
    )
    return RowTable(*_on(row_table, dtype, device)), ColumnTable(*_on(column_table, dtype, device))


def contiguous(shape: tuple[int, ...]) -> Strides:
    """Return the strides of a contiguous tensor."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _pairs(plan: Plan, axis: int, adjoint: bool) -> Pairs:
    """Return what the pairs (v, y) read for ``axis`` 0, (u, x) for 1."""
    cells, nodes = cell_taps(plan, axis), grid_taps(plan, axis)
    extent = plan.grid_in[axis]
    source = cells.index[:, None, :, None] * extent + nodes.index.swapaxes(0, 1)[:, :, None, :]
    weight = cells.weight[:, None, :, None] * nodes.weight.swapaxes(0, 1)[:, :, None, :]
    inside = cells.inside[:, None] & nodes.inside.T
    missing = np.where(inside, 0.0, 1.0 - weight.sum((-1, -2))).ravel()
    source, weight = source.reshape(-1, 4), weight.reshape(-1, 4)
    target = np.broadcast_to(np.arange(len(source))[:, None], source.shape)
    if adjoint:
        count = plan.window_in[axis] * extent
        return Pairs(*_padded(source, target, weight, count), np.zeros(count))
    return Pairs(*_padded(target, source, weight, len(source)), missing)


def _padded(target: Array, source: Array, weight: Array, count: int) -> tuple[Array, Array]:
    """Return (sources, weights), (count, E) each, of the entries of each target; sources ascend."""
    kept = weight != 0
    target, source, weight = target[kept], source[kept], weight[kept]
    order = np.lexsort((source, target))
    target, source, weight = target[order], source[order], weight[order]
    number = np.bincount(target, minlength=count)
    place = np.arange(len(target)) - (np.cumsum(number) - number)[target]
    shape = (count, max(1, number.max(initial=0)))
    sources, weights = np.full(shape, -1), np.zeros(shape)
    sources[target, place], weights[target, place] = source, weight
    return sources, weights


def _filled(rows: Pairs) -> Pairs:
    """Return rows of E entries each, so that none is tested: the first stands for those missing.

    It shares its weight with its copies. A copy of weight 0 would turn infinity into NaN.
    """
    absent = rows.source < 0
    copies = 1 + absent.sum(1, keepdims=True)
    first = np.arange(absent.shape[1]) == 0
    source = np.where(absent, rows.source[:, :1], rows.source)
    weight = np.where(absent | first, rows.weight[:, :1] / copies, rows.weight)
    return Pairs(source, weight, rows.missing)


def _row_order(rows: Pairs, plan: Plan, adjoint: bool) -> Array:
    """Return the rows in blocks of neighbours in the input of the (not transposed) operator."""
    pair = np.arange(len(rows.source)) if adjoint else rows.source[:, 0]
    cell, node = np.divmod(pair, plan.grid_in[0])
    return np.lexsort((cell, node, cell // _BLOCK_CELLS, node // _BLOCK_NODES))


def _offsets(pair: Array, axis: int, strides: Strides, grid: tuple[int, ...]) -> Array:
    """Return the offsets of pairs (cell, node) in a tensor (V, U, H, W); -1 stays -1."""
    cell, node = np.divmod(pair, grid[axis])
    return np.where(pair < 0, -1, cell * strides[axis] + node * strides[axis + 2])


def _narrow(offsets: Array) -> Array:
    fits = offsets.max(initial=0) <= np.iinfo(np.int32).max
    return offsets.astype(np.int32) if fits else offsets


def _row_padding(missing: Array, pad_value: float) -> Array:
    # An infinite value stays where taps are missing: 0 times it, or its share, would be NaN.
    covered = 1.0 - missing if math.isfinite(pad_value) else np.ones_like(missing)
    return np.stack([_times(missing, pad_value), covered])


def _column_padding(missing: Array, tiles: Tiles, pad_value: float) -> Array:
    return _times(np.where(tiles.target < 0, 0.0, missing[tiles.target]), pad_value)


def _times(missing: Array, pad_value: float) -> Array:
    return np.multiply(missing, pad_value, out=np.zeros_like(missing), where=missing > 0)


def _on(tables: tuple[Array, ...], dtype: torch.dtype, device: torch.device) -> Any:
    for table in tables:
        kind = dtype if table.dtype.kind == "f" else None
        yield torch.tensor(np.ascontiguousarray(table), dtype=kind, device=device)
