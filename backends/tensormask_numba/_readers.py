"""Which runs of output cells read each input cell: the tables of the adjoint of strided runs.

A run's cells are put together as two rows of ``s * W_out`` nodes, weighted for the input cells
below and above. An input cell is a sum of such rows, each shifted to the node where its run begins.
The rows of the last ``slots`` runs are kept, in turns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tensormask_core.plan import Plan
from tensormask_numba._tables import Array, Runs, ranges_of, whole_stride


class Readers(NamedTuple):
    """What reads the input cells u; entries are rows that are added to a cell.

    Attributes:
        runs: (U, 2) the first and the last + 1 of the runs that read a cell.
        start: (U + 1,) where each cell's entries begin.
        row: (E,) which of the rows an entry adds: two of each run, of ``slots`` runs.
        shift: (E,) the node where that row begins.
        share: (E,) its weight.
        span: (U, 2) the nodes from and to which anything reads a cell.
        slots: how many runs read a cell at most.
        margin: how many nodes apart rows begin that are added to a cell, at most.
    """

    runs: Array
    start: Array
    row: Array
    shift: Array
    share: Array
    span: Array
    slots: int
    margin: int

    def offsets(self, pitch: int) -> Array:
        """Return, (E,), where node 0 is in rows ``pitch`` apart that begin with the margin."""
        return self.row * pitch + self.margin - self.shift


def readers_of(plan: Plan, runs: Runs) -> Readers:
    """Return what reads the input cells u."""
    cells, width, total = plan.window_in[1], plan.grid_in[1], whole_stride(plan) * plan.grid_out[1]
    inside = (runs.node < width) & (runs.node + total >= 0)
    reads = inside[:, None] & (runs.cell < cells)  # (R, 2)
    run, side, tap = np.nonzero(reads[:, :, None] & (runs.share != 0)[:, None])
    order = np.argsort(runs.cell[run, side], kind="stable")
    run, side, tap = run[order], side[order], tap[order]
    start = np.searchsorted(runs.cell[run, side], np.arange(cells + 1))
    shift = runs.node[run] + tap
    of_cell, shifts = ranges_of(start, run), ranges_of(start, shift)
    slots, apart = (max(1, int(np.diff(ranges).max())) for ranges in (of_cell, shifts))
    reach = np.where(np.diff(shifts) > 0, shifts + np.array([0, total - 1]), 0)
    return Readers(
        runs=of_cell,
        start=start,
        row=2 * (run % slots) + side,
        shift=shift,
        share=runs.share[run, tap],
        span=reach.clip(0, width),
        slots=slots,
        margin=apart - 1,
    )
