"""Rectangles of a map, and what convolutions give there alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

Span = tuple[int, int]
"""From the first to before the last."""


class Region(NamedTuple):
    """Some rows and columns of a map."""

    rows: Span
    columns: Span

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def grown(self, by: int, extent: Sequence[int]) -> Region:
        """Return the region with ``by`` more on all sides, as far as a map (H, W) has them."""
        sides = zip(self, extent, strict=True)
        return Region(*((max(0, a - by), min(n, b + by)) for (a, b), n in sides))

    def of(self, part: Tensor, whole: Region | None = None) -> Tensor:
        """Return the region of ``part`` (..., H, W), which shows the region ``whole``."""
        (top, bottom), (left, right) = self
        down, across = (0, 0) if whole is None else (whole.rows[0], whole.columns[0])
        return part[..., top - down : bottom - down, left - across : right - across]


def tiles(region: Region, longest: int) -> Iterator[Region]:
    """Yield tiles of about one shape that cover ``region``, no side longer than ``longest``.

    Example:
        >>> list(tiles(Region((-1, 4), (0, 3)), 3))
        [Region(rows=(-1, 1), columns=(0, 3)), Region(rows=(1, 4), columns=(0, 3))]
    """
    for rows in _spans(region.rows, longest):
        for columns in _spans(region.columns, longest):
            yield Region(rows, columns)


def convs_in(layers: nn.Sequential, x: Tensor, region: Region) -> Tensor:
    """Return ``layers`` applied to ``x`` (N, C, H, W), in ``region`` only, channels last.

    They see as much around it as they look at, and no more than the map: so what lies beyond the
    map's border is their own padding. With channels last, convolutions need no copies of maps.

    Args:
        layers: 3x3 convolutions of stride 1 and padding 1, with elementwise layers between them.
        x: the map.
        region: inside the map.
    """
    reach = sum(isinstance(layer, nn.Conv2d) for layer in layers)
    seen = region.grown(reach, x.shape[-2:])
    y: Tensor = layers(seen.of(x).contiguous(memory_format=torch.channels_last))
    return region.of(y, seen)


def convs_by_tiles(layers: nn.Sequential, x: Tensor, longest: int) -> Tensor:
    """Return ``layers`` applied to ``x`` in the memory of a tile and the result; no gradients."""
    whole = Region((0, x.shape[-2]), (0, x.shape[-1]))
    result: Tensor | None = None
    for tile in tiles(whole, longest):
        y = convs_in(layers, x, tile)
        if result is None:
            result = y.new_empty((len(y), *whole.shape, y.shape[1])).permute(0, 3, 1, 2)
        tile.of(result).copy_(y)
    return x if result is None else result


def _spans(span: Span, longest: int) -> list[Span]:
    first, stop = span
    count = -(-(stop - first) // longest)
    ends = [first + (stop - first) * k // count for k in range(count + 1)]
    return list(pairwise(ends))
