"""The dense transform on CUDA as one Triton kernel; with transposed tables it is the adjoint."""

from __future__ import annotations

from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_torch._triton_dense_kernel import dense_kernel
from tensormask_torch._triton_launch import compute_dtype, hold, on_device
from tensormask_torch._triton_tables import dense_tables

_ROWS = 32  # rows per program: one block of neighbours
_PROGRAMS = 2048  # with fewer of them a large device is not busy; then rows are spread wider
_UNROLL = 8  # row taps whose reads are in flight together


def transform(x: Tensor, plan: Plan) -> Tensor:
    """Return the output (N, *plan.shape_out) of ``x`` (N, *plan.shape_in)."""
    out = x.new_empty((x.shape[0], *plan.shape_out))
    return _apply(x, plan, False, out) if x.numel() else out.fill_(plan.pad_value)


def transform_adjoint(g: Tensor, plan: Plan) -> Tensor:
    """Return the adjoint (N, *plan.shape_in) at ``g`` (N, *plan.shape_out)."""
    out = g.new_empty((g.shape[0], *plan.shape_in))
    return _apply(g, plan, True, out) if g.numel() else out.zero_()


def _apply(x: Tensor, plan: Plan, adjoint: bool, out: Tensor) -> Tensor:
    if not out.numel():
        return out
    rows, columns = dense_tables(plan, adjoint, x.stride(), compute_dtype(x), x.device)
    hold((*rows, *columns), x.device)
    tiles, samples = columns.source.shape
    _, width, entries = columns.slot.shape
    programs = -(-len(rows.target) * tiles * x.shape[0] // _PROGRAMS)
    per_program = max(1, min(_ROWS, programs))
    groups = -(-len(rows.target) // per_program)
    with on_device(x.device):
        dense_kernel[(tiles * groups * x.shape[0],)](
            x, out, *rows, *columns,
            len(rows.target), per_program, groups, tiles, x.stride(0), out.stride(0),
            P=samples, Q=width, E=entries, TAPS=rows.source.shape[1],
            UNROLLED=rows.source.shape[1] <= _UNROLL,
            PAD=not adjoint and plan.pad_value != 0,
            num_warps=_warps(samples, width * entries), enable_fp_fusion=True,
        )  # fmt: skip
    return out


def _warps(samples: int, entries: int) -> int:
    """Return how many warps leave a thread about 4 samples and 16 entries to hold."""
    return max(4, min(8, max(samples // 128, entries // 512)))
