"""The order in which the sparse adjoint visits windows: by image, then from top to bottom.

A tile of a plane then sums over one run of windows, whose ends are found on the device. Windows at
one place keep the order of the index, so every sum is taken in one order, run after run.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from tensormask_core.plan import Plan
from tensormask_torch._triton_patches import place_of, reader_tables

TILE = (16, 64)  # nodes of a plane per program of the adjoint


def order_windows(plan: Plan, index: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """Return windows in order (K,) and the runs (N, V, tiles along H, 2) that reach each tile."""
    base, span, reach = _reach(plan, index.device)
    p, d, _ = place_of(plan)
    image, y = index[:, 0].long(), index[:, 1].long()
    shift = (y * p).div(d, rounding_mode="floor")
    key = image * span + (shift - base).clamp(0, span - 1)
    key, order = torch.where((image < 0) | (image >= batch), -1, key).sort(stable=True)
    wanted = reach + span * torch.arange(batch, device=index.device)[:, None, None, None]
    begin = torch.searchsorted(key, wanted[..., 0].contiguous())
    end = torch.searchsorted(key, wanted[..., 1].contiguous(), right=True)
    return order, torch.stack((begin, end), -1)


@lru_cache(maxsize=128)
def _reach(plan: Plan, device: torch.device) -> tuple[int, int, Tensor]:
    """Return the least shift that matters, how many do, and which reach each tile: (V, tiles, 2).

    The last counts shifts from the least on.
    """
    tables = reader_tables(plan, 0)
    length, first = tables.reader.shape[2], tables.first
    start = np.arange(0, plan.grid_in[0], TILE[0])
    lowest = start - (length - 1) - first.max(0)[:, None]  # (V, tiles)
    highest = start + (TILE[0] - 1) - first.min(0)[:, None]
    base = int(lowest.min())
    reach = torch.tensor(np.stack((lowest, highest), -1) - base, device=device)
    return base, int(highest.max()) - base + 1, reach
