"""The taps of one pair of axes, said once per period: small however large the grid is.

Along (u, x), output ``(cell, turn * phases + phase)`` reads input ``(cell', turn * stride +
node)`` for a list of (cell', node) that depends on (cell, phase) alone. Nodes that leave the grid
read padding. The adjoint is the same list with input and output exchanged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Periodic:
    """The taps of one pair of axes: (V, H) or (U, W).

    Attributes:
        extent_in: cells and nodes that are read.
        extent_out: cells and nodes that are written.
        stride: input nodes per turn.
        phases: output nodes per turn.
        place: (T, 4) output cell, output phase, input cell, input node of each of T taps, sorted.
        weight: (T,) positive.
        cell_missing: (cells_out,) the weight of cells outside the window; exactly 0 where none is.
    """

    extent_in: tuple[int, int]
    extent_out: tuple[int, int]
    stride: int
    phases: int
    place: Array
    weight: Array
    cell_missing: Array

    def transposed(self) -> Periodic:
        """Return the taps of the adjoint."""
        cell_out, phase, cell_in, node = self.place.T
        turn, phase_in = np.divmod(node, self.stride)
        place = np.stack([cell_in, phase_in, cell_out, phase - turn * self.phases], axis=1)
        order = np.lexsort(place.T[::-1])
        nothing = np.zeros(self.extent_in[0])
        return Periodic(
            self.extent_out,
            self.extent_in,
            self.phases,
            self.stride,
            place[order],
            self.weight[order],
            nothing,
        )

    def dense(self) -> tuple[Array, Array, Array]:
        """Return input (cell, node) and weight of each (cell, phase), padded with weight 0.

        Shapes are (cells_out, phases, K, 2) and (cells_out, phases, K); the third is the number
        of taps that are no padding, (cells_out, phases).
        """
        entry = self.place[:, 0] * self.phases + self.place[:, 1]
        count = np.bincount(entry, minlength=self.extent_out[0] * self.phases)
        rank = np.arange(len(entry)) - (np.cumsum(count) - count)[entry]
        shape = (len(count), max(1, count.max(initial=1)))
        source, weight = np.zeros((*shape, 2), np.int64), np.zeros(shape)
        source[entry, rank], weight[entry, rank] = self.place[:, 2:], self.weight
        grid = (self.extent_out[0], self.phases)
        return source.reshape(*grid, -1, 2), weight.reshape(*grid, -1), count.reshape(grid)


@lru_cache(maxsize=64)
def periodic_taps(plan: Plan, axis: int) -> Periodic:
    """Return the taps along (V, H) for ``axis`` 0 or (U, W) for 1."""
    p, q, d = plan.node_map
    common = math.gcd(p, d)
    phases, cells = d // common, cell_taps(plan, axis)
    centred = 2 * np.arange(plan.window_out[axis]) - (plan.window_out[axis] - 1)
    low, rest = np.divmod(p * np.arange(phases) + q * centred[:, None], d)  # (V_out, P)
    shape = (*low.shape, 2, 2)  # (V_out, P, cell, node)
    node_weight = np.stack([1.0 - rest / d, rest / d], axis=-1)
    weight = cells.weight[:, None, :, None] * node_weight[:, :, None, :]
    columns = (
        np.arange(len(low))[:, None, None, None],
        np.arange(phases)[:, None, None],
        cells.index[:, None, :, None],
        np.stack([low, low + 1], axis=-1)[:, :, None, :],
    )
    place = np.stack([np.broadcast_to(column, shape) for column in columns], axis=-1)
    kept = weight > 0
    return Periodic(
        (plan.window_in[axis], plan.grid_in[axis]),
        (plan.window_out[axis], plan.grid_out[axis]),
        p // common,
        phases,
        place[kept],
        weight[kept],
        np.where(cells.inside, 0.0, 1.0 - cells.weight.sum(-1)),
    )
