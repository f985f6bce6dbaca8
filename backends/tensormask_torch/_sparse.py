"""Chosen windows and their adjoint: gather the patches that each window reads, then blend them.

The patches of a window are about four times as large as the window, whatever the map's extent and
the batch are. Rows are pairs (v, node of v's patch), columns pairs (u, node of u's patch).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_torch._patches import patch_tables, patches_of
from tensormask_torch._separable import apply_stages, apply_stages_adjoint
from tensormask_torch._stage import Stage

# Windows are taken in groups whose patches have about this many samples, to bound the memory.
_GROUP_SAMPLES = 1 << 20


def windows(x: Tensor, plan: Plan, index: Tensor) -> Tensor:
    """Return the windows (K, *plan.window_out) of ``x`` (N, *plan.shape_in) at ``index`` (K, 3)."""
    out = x.new_empty((len(index), *plan.window_out))
    if not x.numel():
        return out.fill_(plan.pad_value)
    flat, dtype = x.reshape(-1), torch.promote_types(x.dtype, torch.float32)
    for part in _groups(plan, index, dtype):
        sample, stages = _patches(plan, index[part].long(), dtype)
        patch = flat.index_select(0, sample.view(-1)).view(sample.shape).to(dtype)
        out[part] = apply_stages(patch, *stages, plan.pad_value)
    return out


def windows_adjoint(g: Tensor, plan: Plan, index: Tensor, batch: int) -> Tensor:
    """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
    dtype = torch.promote_types(g.dtype, torch.float32)
    out = torch.zeros((batch, *plan.shape_in), dtype=dtype, device=g.device)
    if out.numel() and g.numel():
        for part in _groups(plan, index, dtype):
            sample, stages = _patches(plan, index[part].long(), dtype)
            patch = apply_stages_adjoint(g[part].to(dtype), *stages)
            out.view(-1).scatter_add_(0, sample.view(-1), patch.view(-1))
    return out.to(g.dtype)


def _groups(plan: Plan, index: Tensor, dtype: torch.dtype) -> Iterator[slice]:
    """Yield the windows in groups whose patches are of bounded size."""
    rows, columns = (patch_tables(plan, axis, index.device, dtype).node for axis in range(2))
    size = max(1, _GROUP_SAMPLES // (rows.shape[1] * columns.shape[1]))
    for start in range(0, len(index), size):
        yield slice(start, start + size)


def _patches(plan: Plan, index: Tensor, dtype: torch.dtype) -> tuple[Tensor, tuple[Stage, Stage]]:
    """Return the place of every sample in (N, V, U, H, W), (K, V*L, U*L), and how to blend them."""
    v, u, h, w = plan.shape_in
    y, rows = patches_of(plan, 0, index[:, 1], dtype)
    x, columns = patches_of(plan, 1, index[:, 2], dtype)
    cells = index[:, 0, None, None] * v + _cells(v, index)  # (K, V, 1)
    down = cells * (u * h * w) + torch.unflatten(y, 1, (v, -1)) * w  # (K, V, L)
    across = _cells(u, index) * (h * w) + torch.unflatten(x, 1, (u, -1))  # (K, U, L)
    return down.flatten(1)[:, :, None] + across.flatten(1)[:, None, :], (rows, columns)


def _cells(extent: int, index: Tensor) -> Tensor:
    return torch.arange(extent, device=index.device)[:, None]
