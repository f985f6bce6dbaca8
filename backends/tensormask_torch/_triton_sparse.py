"""Chosen windows on CUDA and their adjoint, as Triton kernels without atomics.

Neither looks at a value of ``index`` on the host, so both may be captured in a CUDA graph. A window
whose batch is out of range is NaN, and gives no gradient to anything.
"""

from __future__ import annotations

import math

import triton
from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_torch._triton_launch import compute_dtype, constant, hold, on_device
from tensormask_torch._triton_order import TILE, order_windows
from tensormask_torch._triton_patches import place_of, readers, reads
from tensormask_torch._triton_sparse_kernels import windows_adjoint_kernel, windows_kernel

_BLOCK = 256  # cells of a window per program


def windows(x: Tensor, plan: Plan, index: Tensor) -> Tensor:
    """Return the windows (K, *plan.window_out) of ``x`` (N, *plan.shape_in) at ``index`` (K, 3)."""
    out = x.new_empty((len(index), *plan.window_out))
    if not out.numel():
        return out
    if not x.numel():
        return out.fill_(plan.pad_value)
    dtype = compute_dtype(x)
    rows, columns = (reads(plan, axis, dtype, x.device) for axis in range(2))
    pad = constant(plan.pad_value, dtype, x.device)
    hold((*rows, *columns, pad), x.device)
    blocks = triton.cdiv(plan.window_out[0] * plan.window_out[1], _BLOCK)
    with on_device(x.device):
        windows_kernel[(len(index) * blocks,)](
            x, out, index, pad, *rows, *columns, *place_of(plan),
            x.shape[0], *plan.grid_in, *plan.window_out, *x.stride(), *index.stride(), blocks,
            PAD=plan.pad_value != 0, FINITE=math.isfinite(plan.pad_value), BLOCK=_BLOCK,
            enable_fp_fusion=True,
        )  # fmt: skip
    return out


def windows_adjoint(g: Tensor, plan: Plan, index: Tensor, batch: int) -> Tensor:
    """Return the adjoint (batch, *plan.shape_in) at ``g`` (K, *plan.window_out)."""
    out = g.new_empty((batch, *plan.shape_in))
    if not out.numel() or not g.numel():
        return out.zero_()
    dtype = compute_dtype(g)
    rows, columns = (readers(plan, axis, dtype, g.device) for axis in range(2))
    order, bounds = order_windows(plan, index, batch)
    hold((*rows, *columns), g.device)
    tiles = tuple(triton.cdiv(plan.grid_in[axis], TILE[axis]) for axis in range(2))
    with on_device(g.device):
        windows_adjoint_kernel[(out[:, :, :, 0, 0].numel() * tiles[0] * tiles[1],)](
            g, out, index, order, bounds, *rows, *columns, *place_of(plan),
            *plan.shape_in, *tiles, *g.stride(), *index.stride(),
            LENGTH_Y=rows.reader.shape[2], LENGTH_X=columns.reader.shape[2],
            TAPS_Y=rows.reader.shape[3], TAPS_X=columns.reader.shape[3],
            TILE_Y=TILE[0], TILE_X=TILE[1], num_warps=8, enable_fp_fusion=True,
        )  # fmt: skip
    return out
