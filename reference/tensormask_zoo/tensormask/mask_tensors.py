"""Masks of chosen windows, in the memory of a few rows of one level's tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tensormask_zoo.tensormask.mask_head import Finest, MaskHead

BUDGET = 1 << 22  # values of a band, if three rows of cells are not more: 16 MB


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
        self._buffer: Tensor | None = None

    def masks(self, level: int, size: int, index: Tensor) -> Tensor:
        """Return mask logits (K, V', U') of the windows ``index`` (K, 3): image, y, x."""
        features = self.features(level)
        if torch.is_grad_enabled() or not self.head.design.variant.bipyramid:
            return self.head.masks(self.head.predict(features, size, level), index, level)
        v, u = self.head.windows[size]
        bands = list(bands_of(v, BUDGET // (u * features[:, 0].numel())))
        buffer = self._space(features, bands[0].stop * u * features[:, 0].numel())
        masks = features.new_empty((len(index), *self.head.cells_of(level, size)))
        cells = masks.shape[1] // v
        for band in bands:
            tensor = self.head.predict_rows(features, size, level, (band.first, band.stop), buffer)
            # A band is a window of its own, centred some cells, or nodes of the level, away.
            away = index.new_tensor([0, (band.first + band.stop - v) // 2, 0])
            part = self.head.masks(tensor, index + away, level)
            start, stop = band.kept.start * cells, band.kept.stop * cells
            masks[:, band.first * cells :][:, start:stop] = part[:, start:stop]
        return masks

    def _space(self, features: Tensor, values: int) -> Tensor:
        """Return memory for so many values, the same every time: allocators leave gaps."""
        if self._buffer is None or len(self._buffer) < values:
            self._buffer = None  # before the next one is made
            self._buffer = features.new_empty(values)
        return self._buffer

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


def bands_of(v: int, longest: int) -> Iterator[Band]:
    """Yield bands that keep each of ``v`` rows once, with a neighbour where there is one.

    They have ``longest`` rows at most, but at least three or four.

    Masks are blended from neighbouring rows, so a band's first and last row serve the rows
    between. Bands are odd where ``v`` is, so that their centres are whole cells apart.

    Example:
        >>> [(band.first, band.stop) for band in bands_of(15, 6)]
        [(0, 5), (3, 8), (6, 11), (9, 14), (10, 15)]
    """
    longest = max(longest, 3)
    length = min(v, max(longest - (v - longest) % 2, 3 + (v - 3) % 2))
    kept = 0
    while kept < v:
        first = min(max(0, kept - 1), v - length)
        stop = first + length
        end = v if stop == v else stop - 1
        yield Band(first, stop, slice(kept - first, end - first))
        kept = end
