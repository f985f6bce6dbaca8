"""Gather tables: one stage of the separable transform, and its transpose, as sums of ``take``.

The array-API standard reads by index (``take``) but cannot write by index. So the adjoint is a
gather as well: its table lists, for each input sample, the outputs that read it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps, grid_taps


class Table(NamedTuple):
    """``out[r] = sum over t of weight[t, r] * in[source[t, r]]``.

    Attributes:
        source: (T, R) int64 into the flattened pair of axes; 0 where the weight is 0.
        weight: (T, R) float64.
    """

    source: NDArray[np.int64]
    weight: NDArray[np.float64]


@lru_cache(maxsize=128)
def forward_table(plan: Plan, axis: int) -> Table:
    """Return the table from (V, H) to (V_out, H_out), or from (U, W) with ``axis`` 1."""
    return _table(*_entries(plan, axis), plan.window_out[axis] * plan.grid_out[axis])


@lru_cache(maxsize=128)
def adjoint_table(plan: Plan, axis: int) -> Table:
    """Return the transposed table: from (V_out, H_out) to (V, H)."""
    target, source, weight = _entries(plan, axis)
    return _table(source, target, weight, plan.window_in[axis] * plan.grid_in[axis])


def _entries(
    plan: Plan, axis: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (output, input, weight) of all non-zero taps, flat indices."""
    cells, nodes = cell_taps(plan, axis), grid_taps(plan, axis)
    down = nodes.index.swapaxes(0, 1)[:, :, None, :]  # (V_out, H_out, 1, 2)
    source = cells.index[:, None, :, None] * plan.grid_in[axis] + down  # (V_out, H_out, 2, 2)
    weight = cells.weight[:, None, :, None] * nodes.weight.swapaxes(0, 1)[:, :, None, :]
    taps = weight.reshape(-1, 4)
    target, tap = np.nonzero(taps)
    return target, source.reshape(-1, 4)[target, tap], taps[target, tap]


def _table(
    target: NDArray[np.int64],
    source: NDArray[np.int64],
    weight: NDArray[np.float64],
    extent: int,
) -> Table:
    """Return the sums by target, filled up with weight 0 to the longest of them."""
    order = np.argsort(target, kind="stable")
    target, source, weight = target[order], source[order], weight[order]
    count = np.bincount(target, minlength=extent)
    term = np.arange(target.size) - (np.cumsum(count) - count)[target]
    terms = int(count.max(initial=0))
    table = Table(np.zeros((terms, extent), np.int64), np.zeros((terms, extent)))
    table.source[term, target] = source
    table.weight[term, target] = weight
    return table
