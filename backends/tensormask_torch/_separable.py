"""The Kronecker product of two stages, applied and transposed: 4 + 4 taps instead of 16."""

from __future__ import annotations

from torch import Tensor

from tensormask_torch._stage import Stage, blend, spread


def apply_stages(x: Tensor, rows: Stage, columns: Stage) -> Tensor:
    """Return ``x`` (B, R, C) blended along both axes: (B, M_rows, M_columns), not contiguous."""
    down = blend(x, rows)  # (B, M_rows, C)
    across = blend(down.transpose(1, 2), columns)  # (B, M_columns, M_rows)
    return across.transpose(1, 2)


def apply_stages_adjoint(g: Tensor, rows: Stage, columns: Stage) -> Tensor:
    """Return the adjoint (B, R, C) of :func:`apply_stages` at ``g`` (B, M_rows, M_columns)."""
    across = spread(g.transpose(1, 2), columns)  # (B, C, M_rows)
    return spread(across.transpose(1, 2), rows)
