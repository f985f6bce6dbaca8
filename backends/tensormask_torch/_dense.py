"""The dense transform and its adjoint: rows are pairs (v, y), columns pairs (u, x)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps, grid_taps
from tensormask_torch._separable import apply_stages, apply_stages_adjoint
from tensormask_torch._stage import Stage, make_rows


def transform(x: Tensor, plan: Plan) -> Tensor:
    """Return the output (N, *plan.shape_out) of ``x`` (N, *plan.shape_in)."""
    if not x.numel():
        return x.new_full((x.shape[0], *plan.shape_out), plan.pad_value)
    pairs = apply_stages(_pair_axes(x), *_stages(x, plan), plan.pad_value)  # (N, V*H, U*W)
    return _part_axes(pairs, plan.shape_out, x.dtype)


def transform_adjoint(g: Tensor, plan: Plan) -> Tensor:
    """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
    if not g.numel():
        return g.new_zeros((g.shape[0], *plan.shape_in))
    pairs = apply_stages_adjoint(_pair_axes(g), *_stages(g, plan))
    return _part_axes(pairs, plan.shape_in, g.dtype)


def _pair_axes(x: Tensor) -> Tensor:
    """Return (N, V, U, H, W) as (N, V*H, U*W), in the dtype to compute in."""
    pairs = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return pairs.to(torch.promote_types(x.dtype, torch.float32))


def _part_axes(pairs: Tensor, shape: tuple[int, int, int, int], dtype: torch.dtype) -> Tensor:
    """Undo :func:`_pair_axes` for (V, U, H, W) = ``shape``; the result is contiguous."""
    v, u, h, w = shape
    apart = torch.unflatten(torch.unflatten(pairs, 2, (u, w)), 1, (v, h)).transpose(2, 3)
    return torch.empty(apart.shape, dtype=dtype, device=pairs.device).copy_(apart)


def _stages(x: Tensor, plan: Plan) -> tuple[Stage, Stage]:
    dtype = torch.promote_types(x.dtype, torch.float32)
    return _stage(plan, 0, x.device, dtype), _stage(plan, 1, x.device, dtype)


@lru_cache(maxsize=64)
def _stage(plan: Plan, axis: int, device: torch.device, dtype: torch.dtype) -> Stage:
    """Return the taps of the pairs (v, y) for ``axis`` 0, (u, x) for 1: V_out * H_out rows."""
    cells, nodes = cell_taps(plan, axis), grid_taps(plan, axis)
    extent = plan.grid_in[axis]
    row = cells.index[:, None, :, None] * extent + nodes.index.swapaxes(0, 1)[:, :, None, :]
    weight = cells.weight[:, None, :, None] * nodes.weight.swapaxes(0, 1)[:, :, None, :]
    inside = cells.inside[:, None] & nodes.inside.T
    missing = np.where(inside, 0.0, 1.0 - weight.sum((-1, -2)))
    return Stage(
        make_rows(row.reshape(1, -1, 4), plan.window_in[axis] * extent, device),
        torch.tensor(weight.reshape(1, -1, 4), dtype=dtype, device=device),
        torch.tensor(missing.reshape(1, -1), dtype=dtype, device=device),
    )
