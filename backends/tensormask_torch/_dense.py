"""The dense transform and its adjoint: rows are pairs (v, y), columns pairs (u, x)."""

from __future__ import annotations

import torch
from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_torch._separable import apply_taps, apply_taps_adjoint
from tensormask_torch._taps import RowTaps, Taps, cells, nodes, row_taps


def transform(x: Tensor, plan: Plan) -> Tensor:
    """Return the output (N, *plan.shape_out) of ``x`` (N, *plan.shape_in)."""
    v, u, h, w = plan.shape_out
    if not x.numel():
        return x.new_full((x.shape[0], v, u, h, w), plan.pad_value)
    out = apply_taps(_pair_axes(x), *_taps(x, plan))  # (N, V*H, U*W)
    return _part_axes(out, plan.shape_out, x.dtype)


def transform_adjoint(g: Tensor, plan: Plan) -> Tensor:
    """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
    v, u, h, w = plan.shape_in
    if not g.numel():
        return g.new_zeros((g.shape[0], v, u, h, w))
    out = apply_taps_adjoint(_pair_axes(g), *_taps(g, plan), (v * h, u * w))
    return _part_axes(out, plan.shape_in, g.dtype)


def _pair_axes(x: Tensor) -> Tensor:
    """Return (N, V, U, H, W) as (N, V*H, U*W), in the dtype to compute in."""
    pairs = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return pairs.to(torch.promote_types(x.dtype, torch.float32))


def _part_axes(pairs: Tensor, shape: tuple[int, int, int, int], dtype: torch.dtype) -> Tensor:
    """Undo :func:`_pair_axes` for (V, U, H, W) = ``shape``; the result is contiguous."""
    v, u, h, w = shape
    apart = torch.unflatten(torch.unflatten(pairs, 2, (u, w)), 1, (v, h)).transpose(2, 3)
    return torch.empty(apart.shape, dtype=dtype, device=pairs.device).copy_(apart)


def _taps(x: Tensor, plan: Plan) -> tuple[RowTaps, RowTaps]:
    dtype = torch.promote_types(x.dtype, torch.float32)
    rows, columns = (_axis_taps(plan, axis, x.device, dtype) for axis in range(2))
    return rows, columns


def _axis_taps(plan: Plan, axis: int, device: torch.device, dtype: torch.dtype) -> RowTaps:
    """Return the taps of the pairs (v, y), or (u, x): (1, V_out * H_out, 4)."""
    cell = Taps(*(table.unsqueeze(1) for table in cells(plan, axis, device)))  # (V', 1, 2)
    at = torch.arange(plan.grid_out[axis], device=device)
    node = Taps(*(table.transpose(0, 1) for table in nodes(plan, axis, at)))  # (V', H', 2)
    extent = plan.grid_in[axis]
    row = cell.place[..., :, None] * extent + node.place.clamp(0, extent - 1)[..., None, :]
    return row_taps(row[None], cell, node, plan.pad_value, dtype)
