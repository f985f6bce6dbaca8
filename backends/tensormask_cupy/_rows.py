"""Rows (v, y): which input rows each output row sums up, in groups that share what they read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tensormask_cupy._periodic import Array, Periodic

ROWS = 4  # output rows per block; the kernel's ROWS


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Tables of groups of ``ROWS`` output rows; the last group is filled with rows to skip.

    Attributes:
        first: (groups * ROWS + 1,) int32, where each row's taps begin.
        source: (T,) int64, the offset in the input image of the row that a tap reads.
        weight: (T,) of the taps.
        target: (groups * ROWS,) int64, the offset in the output image; -1 is no row.
        missing: (groups * ROWS,) the weight of taps outside.
    """

    first: Array
    source: Array
    weight: Array
    target: Array
    missing: Array


def make_rows(taps: Periodic, columns: Periodic) -> Rows:
    """Return the tables of the rows of ``taps``, of images with the columns of ``columns``."""
    cells, nodes = taps.extent_out
    turn, phase = np.divmod(np.arange(nodes), taps.phases)
    source, weight, count = (table[:, phase] for table in taps.dense())  # (cells, nodes, K, ...)
    node = source[..., 1] + (turn * taps.stride)[:, None]
    valid = np.arange(weight.shape[-1]) < count[..., None]
    inside = valid & (node >= 0) & (node < taps.extent_in[1])
    missing = taps.cell_missing[:, None] + np.where(valid & ~inside, weight, 0.0).sum(-1)
    offset = _row_offset(source[..., 0], node, taps.extent_in[1], columns.extent_in)
    target = _row_offset(np.arange(cells)[:, None], np.arange(nodes), nodes, columns.extent_out)
    order = _neighbours(source[..., 0].reshape(cells * nodes, -1), node.reshape(cells * nodes, -1))
    taken = np.where(inside, 1, 0).reshape(cells * nodes, -1)[order].astype(bool)
    filled = -(-len(order) // ROWS) * ROWS
    first = np.zeros(filled + 1, np.int32)
    first[1 : len(order) + 1] = taken.sum(-1)
    return Rows(
        np.cumsum(first, dtype=np.int32),
        offset.reshape(cells * nodes, -1)[order][taken],
        weight.reshape(cells * nodes, -1)[order][taken],
        _fill(target.reshape(-1)[order], filled, -1),
        _fill(missing.reshape(-1)[order], filled, 0.0),
    )


def _row_offset(cell: Array, node: Array, nodes: int, columns: tuple[int, int]) -> Array:
    """Return where row (cell, node) of an image (V, U, H, W) begins."""
    cells_across, width = columns
    return (cell * (cells_across * nodes) + node) * width


def _neighbours(cell: Array, node: Array) -> Array:
    """Return the rows so that ROWS in a row read two by two of neighbouring cells and nodes."""
    cell, node = cell[:, 0], node[:, 0]
    return np.lexsort((node % 2, cell % 2, node // 2, cell // 2))


def _fill(table: Array, length: int, value: float) -> Array:
    return np.pad(table, (0, length - len(table)), constant_values=value)
