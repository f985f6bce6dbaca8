"""One stage of the separable transform: each output row is a weighted sum of four input rows.

That is what ``embedding_bag`` computes without storing the four summands. The adjoint reads as
well instead of writing: its bags are the same taps, sorted by the row that they read. So both are
deterministic on every device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag


class Rows(NamedTuple):
    """Which rows are read; the leading axis has extent B, or 1 where all batches agree.

    Attributes:
        row: (B, M, 4) int64, the rows of the input that each of M output rows reads.
        order: (B, 4 M) int64, the taps sorted by the row that they read.
        first: (B, R) int64, where each of the R input rows begins in ``order``.
    """

    row: Tensor
    order: Tensor
    first: Tensor


class Stage(NamedTuple):
    """The taps of one stage.

    Attributes:
        rows: which rows are read.
        weight: (B, M, 4) of the dtype to compute in.
        missing: (B, M), the weight of taps out of range, exactly 0 where there are none.
    """

    rows: Rows
    weight: Tensor
    missing: Tensor


def make_rows(row: NDArray[Any], extent: int, device: torch.device) -> Rows:
    """Return the rows to read, from ``row`` (B, M, 4) into an input of ``extent`` rows."""
    flat = row.reshape(len(row), -1)
    order = np.argsort(flat, axis=1, kind="stable")
    target = np.take_along_axis(flat, order, axis=1)
    first = np.stack([np.searchsorted(line, np.arange(extent)) for line in target])
    return Rows(*(torch.tensor(table, device=device) for table in (row, order, first)))


def blend(x: Tensor, stage: Stage) -> Tensor:
    """Return the output rows (B, M, C) of ``x`` (B, R, C)."""
    batch, extent, width = x.shape
    row = stage.rows.row + _starts(batch, extent, x.device)[:, None]
    out = embedding_bag(
        row.view(-1, 4),
        x.reshape(batch * extent, width),
        per_sample_weights=stage.weight.expand(row.shape).reshape(-1, 4),
        mode="sum",
    )
    return out.view(batch, -1, width)


def spread(g: Tensor, stage: Stage) -> Tensor:
    """Return the adjoint (B, R, C) of :func:`blend` at ``g`` (B, M, C)."""
    batch, extent, width = g.shape
    order = stage.rows.order.expand(batch, -1)
    weight = stage.weight.flatten(1).expand(batch, -1).gather(1, order)
    out = embedding_bag(
        (stage.rows.order // 4 + _starts(batch, extent, g.device)).view(-1),
        g.reshape(batch * extent, width),
        (stage.rows.first + _starts(batch, 4 * extent, g.device)).view(-1),
        per_sample_weights=weight.view(-1),
        mode="sum",
    )
    return out.view(batch, -1, width)


def _starts(batch: int, extent: int, device: torch.device) -> Tensor:
    """Return where each batch begins, (B, 1), when their rows are laid end to end."""
    return torch.arange(0, batch * extent, extent, device=device)[:, None]
