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
