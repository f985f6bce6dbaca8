"""Masks of chosen windows, in the memory of a few rows of one level's tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tensormask_zoo.tensormask.mask_head import Finest, MaskHead

LONGEST_BAND = 5  # rows of cells; the two at its ends are made twice, 25 in all of 15


class Band(NamedTuple):
    """Some rows of a window's V cells: those that are made, and those of them that are kept."""

    first: int
    stop: int
    kept: slice


class MaskTensors:
    """The mask tensors of a batch, which are made for the windows that are asked for.

    A level's tensor holds V x U values per node of the finest grid, most of the mask branch's
    memory. So whoever asks goes through one level after the other; and without gradients a tensor
    is made in bands along V, each of which holds all that some rows of the masks are blended from.

    Args:
        head: predicts them.
        levels: the pyramid levels.
        stem: the trunk's stem map.
    """

    def __init__(self, head: MaskHead, levels: Sequence[Tensor], stem: Tensor) -> None:
        self.head = head
        self._levels, self._stem = levels, stem
        self._finest: tuple[Finest | None] | None = None
        self._last: tuple[int, Tensor] | None = None

    def masks(self, level: int, size: int, index: Tensor) -> Tensor:
        """Return mask logits (K, V', U') of the windows ``index`` (K, 3): image, y, x."""
        features = self.features(level)
        if torch.is_grad_enabled() or not self.head.design.variant.bipyramid:
            return self.head.masks(self.head.predict(features, size, level), index, level)
        v, _ = self.head.windows[size]
        cells = self.head.cells_of(level, size)[0] // v
        rows = []
        for band in bands_of(v):
            part = self.head.predict(features, size, level, (band.first, band.stop))
            # A band is a window of its own, centred some cells, or nodes of the level, away.
            away = (band.first + band.stop - v) // 2
            masks = self.head.masks(part, index + index.new_tensor([0, away, 0]), level)
            kept = slice(band.kept.start * cells, band.kept.stop * cells)
            rows.append(masks[:, kept])
        return torch.cat(rows, dim=1)

    def features(self, level: int) -> Tensor:
        """Return what the cells of a level are predicted from."""
        if self._last is None or level != self._last[0]:
            self._last = None  # before the next ones are made
            self._last = (level, self.head.features(self._levels[level], self._grid(), level))
        return self._last[1]

    def _grid(self) -> Finest | None:
        if self._finest is None:
            self._finest = (self.head.finest(self._levels[0], self._stem),)
        return self._finest[0]


def bands_of(v: int) -> Iterator[Band]:
    """Yield bands that keep each of ``v`` rows once, with a neighbour where there is one.

    Masks are blended from neighbouring rows, so a band's first and last row serve the rows
    between. Bands are odd where ``v`` is, so that their centres are whole cells apart.

    Example:
        >>> [(band.first, band.stop) for band in bands_of(15)]
        [(0, 5), (3, 8), (6, 11), (9, 14), (10, 15)]
    """
    length = min(v, LONGEST_BAND + (v - LONGEST_BAND) % 2)
    kept = 0
    while kept < v:
        first = min(max(0, kept - 1), v - length)
        stop = first + length
        end = v if stop == v else stop - 1
        yield Band(first, stop, slice(kept - first, end - first))
        kept = end
