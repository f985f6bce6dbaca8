"""The Kronecker product of two sets of taps, applied and transposed: 4 + 4 taps instead of 16.

Each stage is a weighted sum of whole rows, which is what ``embedding_bag`` computes without
storing the four summands. The adjoint reads as well instead of writing: its bags are the same taps
sorted by the row that they read, so both are deterministic on every device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from tensormask_torch._taps import RowTaps


def apply_taps(x: Tensor, rows: RowTaps, columns: RowTaps) -> Tensor:
    """Return ``x`` (B, R, C) blended along both axes: (B, M_rows, M_columns), not contiguous."""
    down = _blend(x, rows)  # (B, M_rows, C)
    across = _blend(down.transpose(1, 2), columns)  # (B, M_columns, M_rows)
    return across.transpose(1, 2)


def apply_taps_adjoint(
    g: Tensor, rows: RowTaps, columns: RowTaps, extents: tuple[int, int]
) -> Tensor:
    """Return the adjoint (B, R, C) = (B, *extents) of :func:`apply_taps` at ``g``."""
    across = _spread(g.transpose(1, 2), columns, extents[1])  # (B, C, M_rows)
    return _spread(across.transpose(1, 2), rows, extents[0])


def _blend(x: Tensor, taps: RowTaps) -> Tensor:
    batch, extent, width = x.shape
    index, weight = _flatten(taps, batch, extent)
    out = embedding_bag(
        index, x.reshape(batch * extent, width), per_sample_weights=weight, mode="sum"
    )
    out = out.view(batch, -1, width)
    return out if taps.padding is None else out.add_(taps.padding[..., None])


def _spread(g: Tensor, taps: RowTaps, extent: int) -> Tensor:
    batch, _, width = g.shape
    index, weight = _flatten(taps, batch, extent)
    target, order = index.flatten().sort(stable=True)
    first = torch.searchsorted(target, torch.arange(batch * extent, device=g.device))
    out = embedding_bag(
        order // index.shape[1],
        g.reshape(-1, width),
        first,
        per_sample_weights=weight.flatten()[order],
        mode="sum",
    )
    return out.view(batch, extent, width)


def _flatten(taps: RowTaps, batch: int, extent: int) -> tuple[Tensor, Tensor]:
    """Return index and weight (B * M, 4) over the rows of all batches, one after the other."""
    start = torch.arange(0, batch * extent, extent, device=taps.row.device)
    index = taps.row + start[:, None, None]
    return index.view(-1, 4), taps.weight.expand(index.shape).reshape(-1, 4)
