"""Chosen windows of a plan laid out for the kernels."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps
from tensormask_numba._tables import runs_of, whole_stride

Array = NDArray[Any]


class WindowCopies(NamedTuple):
    """The tables of plans where every cell of a window is one sample of the input.

    Attributes:
        extents: (V, U, H, W) of the input.
        stride: input nodes from one output node to the next.
        rows: (V_out,) the nodes that the rows of the window at node 0 read, in order.
        columns: (U_out,) the nodes that its columns read, in order.
        inside: (2,) the first and the last + 1 of the columns that read any input cell u.
        readers: (V + 1,) the first row that reads each input cell v, and the last + 1 of all.
        down: (V_out,) samples from the window's node, in cell (0, 0), to those that rows read.
        across: (U_out,) how many more it is to those that columns read.
        runs: (R + 1,) where columns begin that read samples which follow each other.
    """

    extents: tuple[int, int, int, int]
    stride: int
    rows: Array
    columns: Array
    inside: Array
    readers: Array
    down: Array
    across: Array
    runs: Array


class WindowRuns(NamedTuple):
    """The tables of plans with a whole stride.

    Attributes:
        rows: the taps between cells v, the node map, and the stride along x.
        columns: the tables of runs of cells u, and of the stretches of nodes that they read.
        readers: (V, 2) the first and the last + 1 of the output rows that read an input cell v.
        stretches: the extent of all stretches.
    """

    rows: tuple[Any, ...]
    columns: tuple[Any, ...]
    readers: Array
    stretches: int

    def buffers(self, pad: float = 0.0) -> tuple[Array, Array, Array]:
        """Return the intermediates of one thread."""
        dtype = self.columns[2].dtype
        return np.full(self.stretches, pad, dtype), np.zeros(8, np.int64), np.zeros(8, dtype)


@lru_cache(maxsize=64)
def window_copies(plan: Plan) -> WindowCopies | None:
    """Return the tables, or None where anything is blended."""
    weights = np.concatenate([cell_taps(plan, axis).weight for axis in range(2)])
    (rows, over), (columns, across_over) = (_nodes(plan, axis) for axis in range(2))
    if not whole_stride(plan) or (weights % 1).any() or over.any() or across_over.any():
        return None
    v, u = (_cells_read(plan, axis) for axis in range(2))
    V, U, H, W = plan.shape_in
    across = u * H * W + columns
    runs = np.flatnonzero(np.append(np.diff(across, prepend=across[0]) != 1, True))
    return WindowCopies(
        plan.shape_in, whole_stride(plan), rows, columns, np.searchsorted(u, (0, U)),
        np.searchsorted(v, np.arange(V + 1)), (v * U * H + rows) * W, across, runs,
    )  # fmt: skip


@lru_cache(maxsize=64)
def window_runs(plan: Plan, dtype: np.dtype[Any]) -> WindowRuns | None:
    """Return the tables, or None where the stride is a fraction and each window has its own."""
    stride = whole_stride(plan)
    if not stride:
        return None
    runs, cells = runs_of(plan, dtype, plan.window_out[1]), plan.window_in[1]
    stretch, length = _stretches(runs.u, runs.node, runs.cell, cells)
    place = runs.cell * length + np.where(
        runs.cell < cells, runs.node[:, None] - stretch[runs.cell], 0
    )
    columns = (runs.u, runs.node, runs.share, place, *runs.weight, stretch, length)
    rows = (between_cells(plan, 0), plan.node_map, stride)
    return WindowRuns(rows, columns, _readers(plan), (cells + 1) * length)


def between_cells(plan: Plan, axis: int) -> tuple[Array, Array, Array]:
    """Return the taps between cells along one pair of axes."""
    taps = cell_taps(plan, axis)
    return taps.index, taps.weight, taps.inside


def _nodes(plan: Plan, axis: int) -> tuple[Array, Array]:
    """Return the lower node that each cell of the window at node 0 reads, and if it is between."""
    _, q, d = plan.node_map
    extent = plan.window_out[axis]
    low, rest = np.divmod(q * (2 * np.arange(extent) - (extent - 1)), d)
    return low, rest > 0


def _cells_read(plan: Plan, axis: int) -> Array:
    """Return the input cell that each cell copies, in order: -1 or the extent if it is beyond."""
    taps, extent = cell_taps(plan, axis), plan.window_out[axis]
    cell = np.where(taps.weight[:, 0] > 0, taps.index[:, 0], taps.index[:, 1])
    beyond = np.where(np.arange(extent) < extent / 2, -1, plan.window_in[axis])
    return np.where(taps.inside, cell, beyond)


def _stretches(first: Array, node: Array, cell: Array, cells: int) -> tuple[Array, int]:
    """Return the first node that is read of each input cell u, and the most nodes of any.

    One more stretch stands for the cells beyond the window.
    """
    stretch = np.full(cells + 1, np.iinfo(np.int64).max)
    last = np.full(cells + 1, np.iinfo(np.int64).min)
    for side in range(2):
        np.minimum.at(stretch, cell[:, side], node)
        np.maximum.at(last, cell[:, side], node + np.diff(first) + 1)
    read = last > stretch
    read[cells] = False
    longest = max(int(np.diff(first).max()) + 1, int((last - stretch)[read].max(initial=0)))
    return np.where(read, stretch, 0), longest


def _readers(plan: Plan) -> Array:
    """Return the first and the last + 1 of the output rows that read each input cell v."""
    taps = cell_taps(plan, 0)
    cell = np.arange(plan.window_in[0])
    reads = ((taps.index[:, :, None] == cell) & (taps.weight[:, :, None] > 0)).any(1)
    bounds = np.stack((reads.argmax(0), len(reads) - reads[::-1].argmax(0)), -1)
    return np.where(reads.any(0)[:, None], bounds, 0)
