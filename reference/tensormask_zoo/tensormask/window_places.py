"""Where windows are, looked up on the device that their indices are on."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from tensormask_core import WindowGrid


class _Tables(NamedTuple):
    """A grid's few numbers; kinds are its pairs of level and window size."""

    start: Tensor  # (levels,) first flat index
    sizes: Tensor  # (levels,) window sizes at each node
    width: Tensor  # (levels,) nodes of a row
    kind: Tensor  # (levels,) first kind
    stride: Tensor  # (kinds, 1) px
    offset: Tensor  # (kinds, 2) px, x and y
    half: Tensor  # (kinds, 2) px, half of the width and the height


def places_of(grid: WindowGrid, window: Tensor) -> Tensor:
    """Return level, y, x and window size (P, 4) of flat indices (P,)."""
    tables = _tables(grid, window.device)
    level = torch.bucketize(window, tables.start[1:], right=True)
    rest, sizes = window - tables.start[level], tables.sizes[level]
    node, width = rest // sizes, tables.width[level]
    return torch.stack([level, node // width, node % width, rest % sizes], dim=1)


def boxes_of(grid: WindowGrid, place: Tensor) -> Tensor:
    """Return the boxes (P, 4) XYXY px of places (P, 4), float32 and not clipped."""
    tables = _tables(grid, place.device)
    kind = tables.kind[place[:, 0]] + place[:, 3]
    centre = tables.offset[kind] + tables.stride[kind] * place[:, [2, 1]]
    half = tables.half[kind]
    return torch.cat([centre - half, centre + half], dim=1)


@lru_cache(maxsize=64)
def _tables(grid: WindowGrid, device: torch.device) -> _Tables:
    sizes = torch.tensor([len(level.windows_px) for level in grid.levels])
    count = torch.tensor([level.count for level in grid.levels])
    kinds = grid.kinds
    px = [torch.from_numpy(table).float() for table in (kinds.offset_px, kinds.window_px / 2)]
    tables = _Tables(
        start=count.cumsum(0) - count,
        sizes=sizes,
        width=torch.tensor([level.width for level in grid.levels]),
        kind=sizes.cumsum(0) - sizes,
        stride=torch.from_numpy(kinds.sigma_hw).float()[:, None],
        offset=px[0].flip(1),
        half=px[1].flip(1),
    )
    return _Tables(*(table.to(device) for table in tables))
