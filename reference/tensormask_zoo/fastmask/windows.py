"""Sliding windows on a pyramid of maps: where they are, what they see, their normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tensormask_core import LayoutError, WindowGrid
from tensormask_core.grid import GridLevel, WindowIndex
from tensormask_zoo.image_batching import ImageSize


def window_grid(image_size: ImageSize, strides: Sequence[float], cells: int = 10) -> WindowGrid:
    """Return where the windows of an image are.

    A map of h x w cells has (h + 1)(w + 1) windows: the one at (i, j) covers the cells i - 5 to
    i + 4 and j - 5 to j + 4, zeros beyond the map. It is centred on the pixel point
    ``stride * (i, j)``, so windows reach over every border of the image.

    Args:
        image_size: (H, W) in px, without the padding of a batch.
        strides: of the maps in px.
        cells: rows and columns of a window, even.

    Example:
        >>> grid = window_grid((64, 96), (16, 24))
        >>> len(grid), grid.boxes([0]).tolist()
        (55, [[-80.0, -80.0, 80.0, 80.0]])
    """
    height, width = image_size
    return WindowGrid(
        tuple(
            GridLevel(
                math.ceil(height / stride) + 1,
                math.ceil(width / stride) + 1,
                sigma_hw=stride,
                windows_px=((cells * stride, cells * stride),),
            )
            for stride in strides
        )
    )


@dataclass(frozen=True)
class WindowTable:
    """The cells of all maps of a batch as rows, of which every window takes some.

    Attributes:
        cells: (M, C), maps with their zero padding, flattened in the order map, image, y, x.
        weight: (M,) how many windows see each cell.
        first_row: (L,) first row of each map.
        extent: (L, 2) padded rows and columns of each map.
        window: cells of a side of a window.
    """

    cells: Tensor
    weight: Tensor
    first_row: tuple[int, ...]
    extent: tuple[tuple[int, int], ...]
    window: int

    @classmethod
    def of(
        cls,
        maps: Sequence[Tensor],
        sizes: Sequence[ImageSize],
        strides: Sequence[float],
        window: int,
    ) -> WindowTable:
        """Cut maps to their own images and pad them with zeros.

        Args:
            maps: (N, C, h, w) each, of a batch of images padded to one size. What lies beyond an
                image's own ceil(H / stride) rows and columns is read as zero, as if it came alone.
            sizes: (H, W) of each image in px.
            strides: of the maps in px.
            window: cells of a side of a window, even.

        Raises:
            LayoutError: ``window`` is odd, so that no window would be centred on a node.
        """
        if window % 2:
            raise LayoutError(f"FastMask's windows expect an even number of cells, got {window}")
        tables, weights, extents = [], [], []
        for x, stride in zip(maps, strides, strict=True):
            own = torch.tensor([[math.ceil(side / stride) for side in size] for size in sizes])
            padded = F.pad(x * _inside(own, x), (window // 2,) * 4)
            rows, columns = padded.shape[-2:]
            tables.append(padded.permute(0, 2, 3, 1).flatten(0, 2))
            weights.append(_times_seen(own, (rows, columns), window).flatten())
            extents.append((rows, columns))
        starts = np.cumsum([0, *(len(table) for table in tables)])[:-1]
        weight = torch.cat(weights).to(maps[0].device)
        return cls(torch.cat(tables), weight, tuple(starts.tolist()), tuple(extents), window)

    def rows(self, image: int, place: WindowIndex) -> Tensor:
        """Return the rows of the cells of some windows of an image: (K, V, U).

        Args:
            image: index in the batch.
            place: level, y and x of each window in :func:`window_grid`'s grid of that image.
        """
        start, extent = np.asarray(self.first_row), np.asarray(self.extent)
        rows, columns = extent[place.level].T
        corner = start[place.level] + (image * rows + place.y) * columns + place.x  # (K,)
        step = np.arange(self.window)
        column = step[:, None] * columns[:, None, None] + step  # (K, V, U)
        return torch.from_numpy(corner[:, None, None] + column).to(self.cells.device)

    def windows(self, rows: Tensor) -> Tensor:
        """Return what the windows with these cells (K, V, U) see: (K, V, U, C)."""
        return self.cells.index_select(0, rows.flatten()).view(*rows.shape, self.cells.shape[1])


class WindowNorm(nn.Module):
    """Batch norm over all windows of all maps (section 4.1), computed without any window.

    A cell counts once for each window that sees it, so the statistics are a weighted mean over
    the cells of the maps, the zeros around them included.

    Args:
        channels: C.
        eps: added to the variance.
        momentum: share of a batch in the running statistics, which evaluation uses.

    Example:
        >>> table = WindowTable.of([torch.ones(1, 2, 3, 3)], [(3, 3)], [1], window=2)
        >>> normalised = WindowNorm(2)(table).cells
        >>> (normalised * table.weight[:, None]).sum(0).abs().max().item() < 1e-4
        True
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, table: WindowTable) -> WindowTable:
        """Return the table with normalised cells."""
        cells = table.cells.to(self.weight.dtype)
        mean, variance = self.running_mean, self.running_var
        if self.training:
            mean, variance = _weighted_moments(cells, table.weight.to(cells.dtype))
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(variance.detach(), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return replace(table, cells=(cells - mean) * scale + self.bias)


def _weighted_moments(cells: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance (C,) of the rows of ``cells`` (M, C)."""
    share = (weight / weight.sum())[:, None]  # no matrix product: autocast would round it
    mean = (share * cells).sum(dim=0)
    return mean, (share * (cells - mean).square()).sum(dim=0)


def _inside(own: Tensor, x: Tensor) -> Tensor:
    """Return where the maps (N, C, h, w) show their own image: (N, 1, h, w), 1 or 0."""
    rows, columns = (torch.arange(side) < own[:, k, None] for k, side in enumerate(x.shape[-2:]))
    return (rows[:, None, :, None] & columns[:, None, None, :]).to(x)


def _times_seen(own: Tensor, extent: tuple[int, int], window: int) -> Tensor:
    """Return how many windows see each padded cell: (N, rows, columns)."""
    rows, columns = (_times_seen_along(own[:, k], extent[k], window) for k in (0, 1))
    return (rows[:, :, None] * columns[:, None, :]).float()


def _times_seen_along(own: Tensor, extent: int, window: int) -> Tensor:
    """Along one axis: windows 0 to ``own`` (N,), window i sees the cells i to i + window - 1."""
    cell = torch.arange(extent)
    first, last = (cell - window + 1).clamp(min=0), torch.minimum(cell, own[:, None])
    return (last - first + 1).clamp(min=0)  # (N, extent)
