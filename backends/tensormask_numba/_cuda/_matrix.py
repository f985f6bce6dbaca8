"""Matrix: which pairs (v, y) of an operand each pair of the result reads, and with what weight.

The operator is the Kronecker product of one such matrix for (V, H) and one for (U, W); its adjoint
is the product of the transposed ones. So a kernel that applies two matrices serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps, grid_taps

Array = NDArray[Any]
Extents = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """The entries of one stage that are not 0, sorted by result.

    Pairs (cell, node) are numbered ``cell * nodes + node``.

    Attributes:
        shape: extents (cells, nodes) of the result.
        shape_in: extents (cells, nodes) of the operand.
        stride: operand nodes per result node, as (numerator, denominator).
        result: (T,) int64, the pair that is written.
        operand: (T,) int64, the pair that is read.
        weight: (T,) float64.
        missing: (cells * nodes,) float64, the weight of taps out of range, exactly 0 without any.
    """

    shape: Extents
    shape_in: Extents
    stride: Extents
    result: Array
    operand: Array
    weight: Array
    missing: Array


def matrix_of(plan: Plan, axis: int, *, adjoint: bool) -> Matrix:
    """Return the matrix of (V, H) for ``axis`` 0, of (U, W) for 1."""
    cells, nodes = cell_taps(plan, axis), grid_taps(plan, axis)
    shape_in = plan.window_in[axis], plan.grid_in[axis]
    shape = plan.window_out[axis], plan.grid_out[axis]
    across = cells.index[:, None, :, None] * shape_in[1]
    operand = across + nodes.index.swapaxes(0, 1)[:, :, None, :]
    weight = cells.weight[:, None, :, None] * nodes.weight.swapaxes(0, 1)[:, :, None, :]
    inside = (cells.inside[:, None] & nodes.inside.T).ravel()
    missing = np.where(inside, 0.0, 1.0 - weight.sum((-1, -2)).ravel())
    result, operand, weight = _entries(operand.reshape(-1, 4), weight.reshape(-1, 4))
    if not adjoint:
        return Matrix(shape, shape_in, plan.s, result, operand, weight, missing)
    order = np.argsort(operand, kind="stable")
    nothing = np.zeros(shape_in[0] * shape_in[1])
    entries = operand[order], result[order], weight[order]
    return Matrix(shape_in, shape, (plan.s[1], plan.s[0]), *entries, nothing)


def _entries(operand: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Return result, operand and weight of the entries that are not 0."""
    result = np.broadcast_to(np.arange(len(operand))[:, None], operand.shape)
    present = weight != 0
    return result[present], operand[present], weight[present]
