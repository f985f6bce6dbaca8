"""Taps as tensors: which cells and nodes each output row reads, and with which weight.

They are those of :mod:`tensormask_core.taps`. Nodes are computed on the device of the window
index, which nobody waits for; cells do not depend on it and come from the core's tables.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_core.taps import cell_taps


class Taps(NamedTuple):
    """The two neighbours of each coordinate along one axis; see the core's class.

    Attributes:
        place: (..., 2) int64. Nodes are not clamped: they may be out of range.
        weight: (..., 2) float64, 0 where a neighbour is out of range.
        inside: (...) bool, True where no weight is missing.
    """

    place: Tensor
    weight: Tensor
    inside: Tensor


class RowTaps(NamedTuple):
    """The four rows that each output row of a stage blends; B is 1 where batches agree.

    Attributes:
        row: (B, M, 4) int64, rows of the stage's input.
        weight: (B, M, 4) of the dtype to compute in.
        padding: (B, M), what padding adds to the row, or None where that is nothing.
    """

    row: Tensor
    weight: Tensor
    padding: Tensor | None


def cells(plan: Plan, axis: int, device: torch.device) -> Taps:
    """Return the cells (V_out, 2) along V (``axis`` 0) or U (1)."""
    index, weight, inside = (torch.tensor(table, device=device) for table in cell_taps(plan, axis))
    return Taps(index, weight, inside)


def nodes(plan: Plan, axis: int, at: Tensor) -> Taps:
    """Return the nodes (K, V_out, 2) along H (``axis`` 0) or W (1) at output nodes ``at`` (K,)."""
    p, q, d = plan.node_map
    extent = plan.window_out[axis]
    doubled = 2 * torch.arange(extent, device=at.device) - (extent - 1)
    numerator = p * at[:, None] + q * doubled  # (K, V_out)
    low = numerator.div(d, rounding_mode="floor")
    fraction = (numerator - low * d).double() / d
    index = torch.stack((low, low + 1), -1)
    weight = torch.stack((1 - fraction, fraction), -1)
    in_range = (index >= 0) & (index < plan.grid_in[axis])
    inside = (in_range | (weight == 0)).all(-1)
    return Taps(index, weight * in_range, inside)


def row_taps(row: Tensor, cell: Taps, node: Taps, pad_value: float, dtype: torch.dtype) -> RowTaps:
    """Combine cells and nodes that broadcast to (B, M', M'', 2) into the taps of one stage.

    ``row`` (B, M', M'', 2 cells, 2 nodes) says where the stage keeps each of the four samples.
    """
    weight = cell.weight[..., :, None] * node.weight[..., None, :]
    batch = row.shape[0]
    padding = None
    if pad_value:
        # Exactly 0 where every tap is inside, so that an infinite pad value stays outside.
        outside = ~(cell.inside & node.inside)
        padding = torch.where(outside, pad_value * (1 - weight.sum((-1, -2))), 0.0)
        padding = padding.reshape(batch, -1).to(dtype)
    return RowTaps(row.reshape(batch, -1, 4), weight.reshape(batch, -1, 4).to(dtype), padding)
