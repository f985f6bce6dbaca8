"""What a bipyramid predicts its cells from, in any part of the finest grid."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from torch import Tensor

from tensormask_zoo.tensormask.mask_head import MaskHead
from tensormask_zoo.tensormask.regions import Region, convs_by_tiles, convs_in
from tensormask_zoo.tensormask.upsample import bring_part, scale_to, source_of

FUSE_REACH = 1  # of the one convolution that fuses


class _Finest(NamedTuple):
    """Part of the finest level and of the grid that every level is fused with."""

    region: Region
    level: Tensor
    grid: Tensor


class FusedFeatures:
    """The fused features of all levels of one image, made region by region.

    The finest level's tower and what is fused with it are the large maps of the mask branch; here
    they never are whole. The towers of the coarser levels are small and made at once.

    Args:
        head: a bipyramid without group norms, which take whole maps; without gradients.
        levels: the pyramid levels (1, C, H_k, W_k).
        stem: the trunk's stem map.
        ks: the levels that will be asked for.
        longest: side of the tiles in which their towers are made.
    """

    def __init__(
        self,
        head: MaskHead,
        levels: Sequence[Tensor],
        stem: Tensor,
        ks: Collection[int],
        longest: int,
    ) -> None:
        self._head, self._levels, self._stem = head, levels, stem
        self._towers = {
            k: convs_by_tiles(head.tower, levels[k], longest)
            for k in range(1, len(levels))
            if k in ks
        }
        self._last: _Finest | None = None

    @property
    def extent(self) -> tuple[int, int]:
        """(H, W) of the finest grid."""
        on = self._levels[0] if self._head.stem is None else self._stem
        return on.shape[-2], on.shape[-1]

    def __call__(self, k: int, region: Region) -> Tensor:
        """Return what level ``k`` predicts the nodes of ``region`` from, (1, C, h, w)."""
        fuse, around = self._head.fuse, region.grown(FUSE_REACH, self.extent)
        if fuse is None:
            raise TypeError("FusedFeatures expects a bipyramid, got a head that fuses nothing")
        _, level, grid = self._finest(around)
        if k > 0:
            level = self._level(k, around)
        return region.of(fuse(level + grid), around)

    def _finest(self, region: Region) -> _Finest:
        if self._last is None or self._last.region != region:
            self._last = None  # before the next one is made
            grid = level = self._level(0, region)
            if self._head.stem is not None:
                grid = convs_in(self._head.stem, self._stem, region) + level
            self._last = _Finest(region, level, grid)
        return self._last

    def _level(self, k: int, region: Region) -> Tensor:
        """Return the tower's output on level ``k``, brought to a region of the finest grid."""
        level = self._levels[k]
        scale = scale_to(self.extent, level.shape[-2:])
        source = source_of(region, scale, level.shape[-2:]) if scale > 1 else region
        if k == 0:
            features = convs_in(self._head.tower, level, source)
        else:
            features = source.of(self._towers[k])
        return bring_part(features, source, region, scale, self._head.design.upsample)
