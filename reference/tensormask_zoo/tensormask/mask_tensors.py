"""Mask tensors level by level: made when a level is needed, and kept while it is the last one."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tensormask_zoo.tensormask.mask_head import Finest, MaskHead, Masks


class MaskTensors:
    """The mask tensors of a batch.

    A level's tensors hold V x U values per node of the finest grid, most of the mask branch's
    memory. So whoever asks goes through one level after the other.

    Args:
        head: predicts them.
        levels: the pyramid levels.
        stem: the trunk's stem map.
    """

    def __init__(self, head: MaskHead, levels: Sequence[Tensor], stem: Tensor) -> None:
        self.head = head
        self._levels, self._stem = levels, stem
        self._finest: tuple[Finest | None] | None = None
        self._last: tuple[int, list[Masks]] = (-1, [])

    def masks(self, level: int, size: int, index: Tensor) -> Tensor:
        """Return mask logits (K, V', U') of the windows ``index`` (K, 3): image, y, x."""
        if level != self._last[0]:
            self._last = (-1, [])  # before the next one is made
            self._last = (level, self.head(self._levels[level], self._grid(), level))
        return self.head.masks(self._last[1][size], index, level)

    def _grid(self) -> Finest | None:
        if self._finest is None:
            self._finest = (self.head.finest(self._levels[0], self._stem),)
        return self._finest[0]
