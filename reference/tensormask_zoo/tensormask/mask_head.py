"""The mask head: mask tensors of every level, and the masks of chosen windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from tensormask_core import Aligned, Natural, ops
from tensormask_zoo.tensormask.mask_design import MaskDesign, Window
from tensormask_zoo.tensormask.upsample import bring_to
from tensormask_zoo.towers import HeadWidths, conv_tower, init_conv

PAD_LOGIT = -6.0  # sigmoid(-6) = 0.0025: "no mask here", as published

Masks = Natural[Tensor] | Aligned[Tensor]


class Finest(NamedTuple):
    """What every level of a bipyramid is fused with.

    Attributes:
        features: the tower's output on the finest level.
        grid: (N, C, H, W) at stride ``sigma_vu``: these features, and the stem's where cells are
            finer than the level.
    """

    features: Tensor
    grid: Tensor


class MaskHead(nn.Module):
    """Mask tensors of every level, by any of :data:`MASK_HEADS` of the paper.

    On a feature pyramid a level predicts V/lam x U/lam cells on its own grid, lam strides long;
    on a bipyramid it predicts V x U cells on the finest grid, one stride long, with features that
    are brought there and fused with the finest level's. What the paper calls the head's operator
    (align2nat, up_bilinear, up_align2nat, swap_align2nat) follows from the units of what is
    predicted and of what is asked for.

    Args:
        channels: channels of the pyramid levels.
        stem_channels: channels of the stem map of stride 2.
        windows: the (V, U) of each window size, in strides of its level.
        design: which head, with its numbers.
        widths: channels and depth of the tower.

    Raises:
        ValueError: ``lam`` does not divide a window.
    """

    def __init__(
        self,
        channels: int,
        *,
        stem_channels: int,
        windows: Sequence[Window],
        design: MaskDesign,
        widths: HeadWidths,
    ) -> None:
        super().__init__()
        self.design = design
        self.windows = tuple(windows)
        self.coarse = tuple(design.coarse(window) for window in self.windows)
        width, norm = widths.mask_channels, widths.norm_groups
        self.tower = conv_tower(channels, width, widths.depth, norm)
        self.stem = conv_tower(stem_channels, width, 1, norm) if design.finer else None
        self.fuse = conv_tower(width, width, 1, norm) if design.variant.bipyramid else None
        self.cells = nn.ModuleList(init_conv(nn.Conv2d(width, v * u, 1)) for v, u in self.coarse)

    def cells_of(self, level: int, size: int) -> Window:
        """Return the (V', U') of the natural masks of a level and window size."""
        _, units = self.design.units(level)
        cells_per_stride = int(units.sigma_hw // units.sigma_vu)
        v, u = self.windows[size]
        return v * cells_per_stride, u * cells_per_stride

    def finest(self, level0: Tensor, stem: Tensor) -> Finest | None:
        """Return what a bipyramid's levels are fused with; None on a feature pyramid."""
        if self.fuse is None:
            return None
        features: Tensor = self.tower(level0)
        if self.stem is None:
            return Finest(features, features)
        on_stem = self.stem(stem)
        return Finest(features, on_stem + self._on_grid(features, on_stem))

    def forward(self, level: Tensor, finest: Finest | None, k: int) -> list[Masks]:
        """Return the tensors (N, V/lam, U/lam, H, W) of level ``k``, one per window size."""
        features = self.features(level, finest, k)
        return [self.predict(features, size, k) for size in range(len(self.windows))]

    def features(self, level: Tensor, finest: Finest | None, k: int) -> Tensor:
        """Return what level ``k`` predicts its cells from, (N, C, H, W)."""
        features: Tensor
        features = finest.features if finest is not None and k == 0 else self.tower(level)
        if finest is not None and self.fuse is not None:
            features = self.fuse(self._on_grid(features, finest.grid) + finest.grid)
        return features

    def predict(self, features: Tensor, size: int, k: int) -> Masks:
        """Return the tensor (N, V/lam, U/lam, H, W) of level ``k`` and a window size."""
        units, _ = self.design.units(k)
        tensor = ops.from_channels(self.cells[size](features), self.coarse[size])
        return self.design.variant.representation(tensor, units.sigma_vu, units.sigma_hw)

    def masks(self, tensor: Masks, index: Tensor, k: int) -> Tensor:
        """Return mask logits (K, V', U') of the windows ``index`` (K, 3) of level ``k``."""
        return tensor.windows(index, **self._natural(k))

    def dense(self, tensor: Masks, k: int) -> Natural[Tensor]:
        """Return the mask logits (N, V', U', H_k, W_k) of all windows of level ``k``."""
        return tensor.natural(**self._natural(k))

    def _natural(self, k: int) -> Any:
        """Return what the natural masks of level ``k`` are asked for with."""
        _, units = self.design.units(k)
        return {
            "sigma_vu": units.sigma_vu,
            "sigma_hw": units.sigma_hw,
            "pad_value": PAD_LOGIT,
            "mode": self.design.variant.mode,
            "vu_border": self.design.vu_border,
        }

    def _on_grid(self, features: Tensor, finest: Tensor) -> Tensor:
        return bring_to(finest, features, self.design.upsample)
