"""Masks of chosen windows, without the mask tensors of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn

from tensormask_zoo.tensormask.fused_features import FusedFeatures
from tensormask_zoo.tensormask.mask_head import Finest, MaskHead
from tensormask_zoo.tensormask.regions import Region
from tensormask_zoo.tensormask.tile_masks import TileMasks, nodes_of, tiles_of

TILE = {"cpu": 56, "cuda": 176}
"""Sides of tiles, nodes: larger ones share more of their surroundings and launch fewer kernels,
smaller ones take less memory and leave out more of the grid."""

Group = tuple[int, int, Tensor]
"""A level, a window size and the windows (K, 3) that have them: image, y and x."""
FeaturesIn = Callable[[int, Region], Tensor]


class MaskTensors:
    """The mask tensors of a batch, which are made for the windows that are asked for.

    A bipyramid's tensor holds V x U values per node of the finest grid, and what it is predicted
    from lies on that grid too: most of the mask branch's memory. Without gradients both are made in
    tiles of the grid, where windows are.

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
        """Return mask logits (K, V', U') of the windows ``index`` (K, 3): image, y, x.

        The level's features are made whole and kept until those of another level are.
        """
        features = self.features(level)
        if torch.is_grad_enabled() or not self.head.design.variant.bipyramid:
            return self.head.masks(self.head.predict(features, size, level), index, level)

        def of_image(image: int, _: set[int]) -> FeaturesIn:
            return lambda _, region: region.of(features[image : image + 1])

        made = TileMasks(self.head, level, size, index, features)
        _fill([made], features, of_image)
        return made.masks

    def every_mask(self, groups: Sequence[Group]) -> list[Tensor]:
        """Return the :meth:`masks` of each group, of which no other will be asked for.

        No map of a bipyramid's finest grid is made whole, unless it is normalised.
        """
        if self._finest is not None or not self._takes_tiles():
            return [self.masks(*group) for group in groups]

        def of_image(image: int, ks: set[int]) -> FeaturesIn:
            maps = [x[image : image + 1] for x in (*self._levels, self._stem)]
            return FusedFeatures(self.head, maps[:-1], maps[-1], ks, tile_side(maps[-1]))

        made = [TileMasks(self.head, *group, self._levels[0]) for group in groups]
        _fill(made, self._stem if self.head.design.finer else self._levels[0], of_image)
        return [group.masks for group in made]

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

    def _takes_tiles(self) -> bool:
        """Whether maps of the finest grid can be made, and need not be kept, in parts."""
        if torch.is_grad_enabled() or not self.head.design.variant.bipyramid:
            return False
        return not any(isinstance(layer, nn.GroupNorm) for layer in self.head.tower)


def tile_side(x: Tensor) -> int:
    """Return the longest side of tiles on a tensor's device."""
    return TILE.get(x.device.type, TILE["cuda"])


def _fill(
    made: Sequence[TileMasks], finest: Tensor, of_image: Callable[[int, set[int]], FeaturesIn]
) -> None:
    """Fill in the masks of some groups, those of a level following each other.

    Args:
        made: the groups.
        finest: a map (N, C, H, W) of the finest grid.
        of_image: takes an image and its levels; returns what makes a level's features in a region.
    """
    images, _, *extent = finest.shape
    for image in range(images):
        mine = [group for group in made if (group.image == image).any()]
        features_in = of_image(image, {group.k for group in mine})
        for tile in tiles_of(extent, tile_side(finest)):
            part = nodes_of(tile, extent)
            for k, of_level in groupby(mine, key=lambda group: group.k):
                touching = [(g, rows) for g in of_level if len(rows := g.rows(image, tile))]
                features = features_in(k, part) if touching else finest
                for group, rows in touching:
                    group.add(rows, features, part, tile)
