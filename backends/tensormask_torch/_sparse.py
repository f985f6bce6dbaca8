"""Chosen windows and their adjoint: gather the patch that each window reads, then blend it.

Cell (v, u) of a window's input is read by few of its outputs, which look at a small patch of
(H, W). Together the patches are about four times as large as the window, whatever the map's extent
and the batch are. Rows are pairs (v, row of v's patch), columns pairs (u, column of u's patch).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps
from tensormask_torch._separable import apply_taps, apply_taps_adjoint
from tensormask_torch._taps import RowTaps, Taps, cells, nodes, row_taps

# Windows are taken in groups whose patches have about this many samples, to bound the memory.
_GROUP_SAMPLES = 1 << 22


class Patch(NamedTuple):
    """Where the windows read along one pair of axes.

    Attributes:
        node: (K, V * L) int64, the nodes of each cell's patch, clamped into range.
        taps: how the K * V_out outputs blend them.
    """

    node: Tensor
    taps: RowTaps


def windows(x: Tensor, plan: Plan, index: Tensor) -> Tensor:
    """Return the windows (K, *plan.window_out) of ``x`` (N, *plan.shape_in) at ``index`` (K, 3)."""
    if not (x.numel() and len(index)):
        return x.new_full((len(index), *plan.window_out), plan.pad_value)
    dtype = torch.promote_types(x.dtype, torch.float32)
    flat = x.reshape(-1)
    parts = [_windows(flat, plan, part, dtype) for part in _groups(plan, index)]
    return torch.cat(parts).contiguous()


def windows_adjoint(g: Tensor, plan: Plan, index: Tensor, batch: int) -> Tensor:
    """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
    dtype = torch.promote_types(g.dtype, torch.float32)
    spread = g.new_zeros((batch, *plan.shape_in), dtype=dtype)
    if spread.numel() and g.numel():
        flat, groups = spread.view(-1), _groups(plan, index)
        for part, grad in zip(groups, torch.split(g, len(groups[0])), strict=True):
            _add_windows(flat, plan, part, grad.to(dtype))
    return spread.to(g.dtype)


def _windows(flat: Tensor, plan: Plan, index: Tensor, dtype: torch.dtype) -> Tensor:
    rows, columns = (_patch(plan, axis, index, dtype) for axis in range(2))
    sample = _samples(plan, index, rows, columns)  # (K, V*L, U*L)
    patch = flat.index_select(0, sample.view(-1)).view(sample.shape).to(dtype)
    return apply_taps(patch, rows.taps, columns.taps).to(flat.dtype)


def _add_windows(flat: Tensor, plan: Plan, index: Tensor, g: Tensor) -> None:
    rows, columns = (_patch(plan, axis, index, g.dtype) for axis in range(2))
    sample = _samples(plan, index, rows, columns)
    patch = apply_taps_adjoint(g, rows.taps, columns.taps, (sample.shape[1], sample.shape[2]))
    flat.scatter_add_(0, sample.view(-1), patch.view(-1))


def _groups(plan: Plan, index: Tensor) -> tuple[Tensor, ...]:
    samples = [plan.window_in[axis] * _reach(plan, axis)[1] for axis in range(2)]
    return torch.split(index.long(), max(1, _GROUP_SAMPLES // (samples[0] * samples[1])))


def _samples(plan: Plan, index: Tensor, rows: Patch, columns: Patch) -> Tensor:
    """Return the flat place in (N, V, U, H, W) of every sample of the patches."""
    v, u, h, w = plan.shape_in
    cell_v = torch.arange(v, device=index.device).repeat_interleave(rows.node.shape[1] // v)
    cell_u = torch.arange(u, device=index.device).repeat_interleave(columns.node.shape[1] // u)
    down = (index[:, :1] * v + cell_v) * (u * h * w) + rows.node * w  # (K, V*L)
    across = cell_u * (h * w) + columns.node  # (K, U*L)
    return down[:, :, None] + across[:, None, :]


def _patch(plan: Plan, axis: int, index: Tensor, dtype: torch.dtype) -> Patch:
    offset, length = _reach(plan, axis)
    p, _, d = plan.node_map
    at = index[:, 1 + axis]
    start = p * at[:, None] + torch.tensor(offset, device=index.device)
    start = start.div(d, rounding_mode="floor")  # (K, V)
    cell = Taps(*(table[None] for table in cells(plan, axis, index.device)))  # (1, V', 2)
    node = nodes(plan, axis, at)  # (K, V', 2)
    first = start[:, cell.place[0]]  # (K, V', 2 cells)
    # Neighbours of weight 0 may lie outside the patch; any sample will do for them.
    inside = (node.place[:, :, None, :] - first[..., None]).clamp(0, length - 1)
    taps = row_taps(cell.place[..., None] * length + inside, cell, node, plan.pad_value, dtype)
    read = start[..., None] + torch.arange(length, device=index.device)  # (K, V, L)
    return Patch(read.clamp(0, plan.grid_in[axis] - 1).flatten(1), taps)


@lru_cache(maxsize=512)
def _reach(plan: Plan, axis: int) -> tuple[NDArray[np.int64], int]:
    """Return the first node numerator that each cell is read at, and the longest patch's extent."""
    taps, extent = cell_taps(plan, axis), plan.window_out[axis]
    _, q, d = plan.node_map
    numerator = q * (2 * np.arange(extent) - (extent - 1))[:, None]  # (V_out, 1), over d
    is_cell = taps.index[..., None] == np.arange(plan.window_in[axis])
    reads = (is_cell & (taps.weight != 0)[..., None]).any(1)  # (V_out, V)
    far = abs(numerator).max(initial=0)
    low = np.where(reads, numerator, far).min(0, initial=far)
    high = np.where(reads, numerator, -far).max(0, initial=-far)
    return low, math.ceil((high - low).max(initial=0) / d) + 2
