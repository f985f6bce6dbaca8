"""Patches: the part of (H, W) that each cell of a window reads, as tables.

Cell v of the input is read by few outputs of a window, and they look at few nodes. Moving the
window moves these nodes alike, except that a fractional stride passes through phases: the node
``p * y / d`` of :attr:`Plan.node_map` is a whole number plus one of ``d / gcd(p, d)`` fractions.
So everything but the window's place is a table with an entry for each phase, most often just one.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps
from tensormask_torch._stage import Rows, Stage, make_rows

Array = NDArray[Any]


class Patches(NamedTuple):
    """Tables along one pair of axes for P phases; nodes are relative to the window's place.

    Attributes:
        node: (P, V * L) int64, the L nodes of each cell's patch.
        rows: which of those V * L rows each of V_out outputs reads.
        place: (P, V_out, 2) int64, the nodes that each output reads.
        weight: (P, V_out, 2 cells, 2 nodes), as if every node were in range.
        missing: (V_out,), the weight of cells beyond the window.
    """

    node: Tensor
    rows: Rows
    place: Tensor
    weight: Tensor
    missing: Tensor


def patches_of(plan: Plan, axis: int, at: Tensor, dtype: torch.dtype) -> tuple[Tensor, Stage]:
    """Return the nodes (K, V * L) of the windows at nodes ``at`` (K,) and how to blend them.

    Nodes out of range are clamped, so that they can be read, and weigh nothing.
    """
    p, _, d = plan.node_map
    start = at * p
    shift = start.div(d, rounding_mode="floor")
    tables = patch_tables(plan, axis, at.device, dtype)
    if len(tables.node) > 1:
        phase = (start - shift * d) // math.gcd(p, d)
        tables = _at_phase(tables, phase)
    last = plan.grid_in[axis] - 1
    place = tables.place + shift[:, None, None]  # (K, V_out, 2)
    weight = tables.weight * (place.clamp(0, last) == place)[:, :, None, :]
    missing = (tables.weight - weight).sum((-1, -2)) + tables.missing
    node = (tables.node + shift[:, None]).clamp(0, last)
    return node, Stage(tables.rows, weight.flatten(2), missing)


def _at_phase(tables: Patches, phase: Tensor) -> Patches:
    """Return the tables of each window's phase, so that P becomes K."""
    rows = Rows(*(table[phase] for table in tables.rows))
    node, place, weight = (t[phase] for t in (tables.node, tables.place, tables.weight))
    return Patches(node, rows, place, weight, tables.missing)


@lru_cache(maxsize=256)
def patch_tables(plan: Plan, axis: int, device: torch.device, dtype: torch.dtype) -> Patches:
    """Return the tables of a plan along (V, H) for ``axis`` 0 or (U, W) for 1."""
    cells, extent = cell_taps(plan, axis), plan.window_in[axis]
    low, fraction = nodes_by_phase(plan, axis)
    place = np.stack((low, low + 1), -1)
    nodes = np.stack((1 - fraction, fraction), -1)
    start, length = _patch_bounds(cells.index, cells.weight, low, fraction > 0, extent)
    # Neighbours of weight 0 may lie outside the patch; any row will do for them.
    within = (place[:, :, None, :] - start[:, cells.index][..., None]).clip(0, length - 1)
    row = cells.index[:, :, None] * length + within  # (P, V_out, 2, 2)
    node = (start[..., None] + np.arange(length)).reshape(len(start), -1)
    weight = cells.weight[:, :, None] * nodes[:, :, None, :]
    missing = np.where(cells.inside, 0.0, 1.0 - cells.weight.sum(-1))
    return Patches(
        torch.tensor(node, device=device),
        make_rows(row.reshape(*low.shape, 4), extent * length, device),
        torch.tensor(place, device=device),
        torch.tensor(weight, dtype=dtype, device=device),
        torch.tensor(missing, dtype=dtype, device=device),
    )


def nodes_by_phase(plan: Plan, axis: int) -> tuple[Array, Array]:
    """Return the lower node and the fraction, (P, V_out), of a window in each phase."""
    p, q, d = plan.node_map
    phases = np.arange(0, d, math.gcd(p, d))
    extent = plan.window_out[axis]
    low, rest = np.divmod(phases[:, None] + q * (2 * np.arange(extent) - (extent - 1)), d)
    return low, rest / d


def _patch_bounds(
    cell: Array, weight: Array, low: Array, between: Array, extent: int
) -> tuple[Array, int]:
    """Return the first node (P, V) that each cell is read at, and the longest patch's extent."""
    reads = ((cell[..., None] == np.arange(extent)) & (weight != 0)[..., None]).any(1)
    read = reads.any(0)  # (V,)
    far = abs(low).max(initial=0) + 2
    start = np.where(reads, low[..., None], far).min(1)  # (P, V)
    stop = np.where(reads, (low + between)[..., None], -far).max(1)
    return np.where(read, start, 0), int(np.where(read, stop - start, 0).max()) + 1
