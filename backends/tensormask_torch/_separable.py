"""The Kronecker product of two stages, applied and transposed: 4 + 4 taps instead of 16."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tensormask_torch._stage import Stage, blend, spread


def apply_stages(x: Tensor, rows: Stage, columns: Stage, pad_value: float) -> Tensor:
    """Return ``x`` (B, R, C) blended along both axes: (B, M_rows, M_columns), not contiguous."""
    down = blend(x, rows)  # (B, M_rows, C)
    across = blend(down.transpose(1, 2), columns)  # (B, M_columns, M_rows)
    if pad_value:
        _pad(across, columns.missing[:, :, None], rows.missing[:, None, :], pad_value)
    return across.transpose(1, 2)


def apply_stages_adjoint(g: Tensor, rows: Stage, columns: Stage) -> Tensor:
    """Return the adjoint (B, R, C) of :func:`apply_stages` at ``g`` (B, M_rows, M_columns)."""
    across = spread(g.transpose(1, 2), columns)  # (B, C, M_rows)
    return spread(across.transpose(1, 2), rows)


def _pad(out: Tensor, first: Tensor, second: Tensor, pad_value: float) -> None:
    """Add what the taps out of range read, given the weight that either stage misses."""
    missing = torch.addcmul(first, 1 - first, second)
    if math.isfinite(pad_value):
        out.add_(missing, alpha=pad_value)
    else:  # an infinite value must stay outside, where 0 times it would be NaN
        out.masked_fill_(missing > 0, pad_value)
