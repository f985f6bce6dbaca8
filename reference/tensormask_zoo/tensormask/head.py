"""The head: class and box towers, and the tensor-bipyramid mask branch (sections 4 to 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tensormask_core import Aligned, ops
from tensormask_zoo.towers import Norm, conv_tower, init_conv, prior_bias

PAD_LOGIT = -6.0  # sigmoid(-6) = 0.0025: "no mask here", as published
PRIOR = 0.01  # probability of an object before training

Window = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class HeadWidths:
    """Channels and depth of the towers; the defaults are the paper's."""

    class_channels: int = 256
    box_channels: int = 128
    mask_channels: int = 128
    depth: int = 4
    norm_groups: Norm = None
    share_towers: bool = False  # one tower for class and box, to save time on a CPU


class ClassBoxHead(nn.Module):
    """Class logits and box deltas of every window of every level.

    ``forward`` returns logits (N, M, num_classes) and deltas (N, M, 4) over all M windows in the
    order of :class:`tensormask_core.WindowGrid`: level, y, x, window size.
    """

    def __init__(self, channels: int, *, sizes: int, num_classes: int, widths: HeadWidths) -> None:
        super().__init__()
        self.num_classes = num_classes
        tower = (widths.depth, widths.norm_groups)
        self.class_tower = conv_tower(channels, widths.class_channels, *tower)
        self.box_tower = (
            None if widths.share_towers else conv_tower(channels, widths.box_channels, *tower)
        )
        box_in = widths.class_channels if widths.share_towers else widths.box_channels
        self.logits = nn.Conv2d(widths.class_channels, sizes * num_classes, 3, padding=1)
        self.deltas = nn.Conv2d(box_in, sizes * 4, 3, padding=1)
        init_conv(self.logits, prior_bias(PRIOR))
        init_conv(self.deltas)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Apply both branches to every level."""
        logits, deltas = [], []
        for level in levels:
            class_features = self.class_tower(level)
            box_features = self.box_tower(level) if self.box_tower else class_features
            logits.append(_per_window(self.logits(class_features), self.num_classes))
            deltas.append(_per_window(self.deltas(box_features), 4))
        return torch.cat(logits, dim=1), torch.cat(deltas, dim=1)


class BipyramidMaskHead(nn.Module):
    """Aligned mask tensors for the levels of a tensor bipyramid.

    Every level's features are brought to the finest grid, fused with the finest level's, and
    predict V x U aligned cells there; swap_align2nat takes them to their own level. Where mask
    cells are finer than the finest level's stride, the fusion happens at ``sigma_vu`` and the
    trunk's stem map joins it.

    Args:
        channels: channels of the pyramid levels.
        stem_channels: channels of the stem map of stride 2.
        windows: the (V, U) of each window size, in cells of the aligned tensor.
        stride: stride of the finest level, px.
        sigma_vu: length of a mask cell, px: ``stride``, or 2.
        widths: see :class:`HeadWidths`.
    """

    def __init__(
        self,
        channels: int,
        *,
        stem_channels: int,
        windows: Sequence[Window],
        stride: int,
        sigma_vu: int,
        widths: HeadWidths,
    ) -> None:
        super().__init__()
        if sigma_vu not in (stride, 2):
            raise ValueError(f"sigma_vu expects {stride} (the finest stride) or 2, got {sigma_vu}")
        self.windows = tuple(windows)
        self.stride, self.sigma_vu = stride, sigma_vu
        width = widths.mask_channels
        self.tower = conv_tower(channels, width, widths.depth, widths.norm_groups)
        self.stem = conv_tower(stem_channels, width, 1, widths.norm_groups) if self.finer else None
        self.fuse = conv_tower(width, width, 1, widths.norm_groups)
        self.cells = nn.ModuleList(init_conv(nn.Conv2d(width, v * u, 1)) for v, u in self.windows)

    @property
    def finer(self) -> bool:
        """Whether mask cells are finer than the finest level's stride."""
        return self.sigma_vu < self.stride

    def cells_of(self, level: int, size: int) -> Window:
        """Return the (V', U') of the natural masks of a level and window size."""
        lam = self.stride * 2**level // self.sigma_vu
        v, u = self.windows[size]
        return v * lam, u * lam

    def finest(self, level0: Tensor, stem: Tensor) -> Tensor:
        """Return the map (N, C, H, W) at stride ``sigma_vu`` that every level is fused with."""
        features: Tensor = self.tower(level0)
        if self.stem is None:
            return features
        return self.stem(stem) + _upsample(features, stem)  # type: ignore[no-any-return]  # Tensor

    def forward(self, level: Tensor, finest: Tensor, k: int) -> list[Aligned[Tensor]]:
        """Return the aligned tensors (N, V, U, H, W) of level ``k``, one per window size."""
        features = self.tower(level)
        fused = self.fuse(_upsample(features, finest) + finest)
        sigma_vu = self.stride * 2**k
        return [
            Aligned(ops.from_channels(cells(fused), window), sigma_vu, self.sigma_vu)
            for cells, window in zip(self.cells, self.windows, strict=True)
        ]

    def masks(self, aligned: Aligned[Tensor], index: Tensor, k: int) -> Tensor:
        """Return mask logits (K, V', U') of the windows ``index`` (K, 3) of level ``k``."""
        return aligned.windows(
            index, sigma_vu=self.sigma_vu, sigma_hw=self.stride * 2**k, pad_value=PAD_LOGIT
        )


def _per_window(x: Tensor, values: int) -> Tensor:
    """Turn (N, sizes * values, H, W) into (N, H * W * sizes, values)."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, h * w * (c // values), values)


def _upsample(features: Tensor, finest: Tensor) -> Tensor:
    """Upsample by the power of two that covers ``finest``, cropped to its extent."""
    height, width = finest.shape[-2:]
    scale = 1
    while features.shape[-2] * scale < height or features.shape[-1] * scale < width:
        scale *= 2
    if scale == 1:
        return features
    upsampled = F.interpolate(features, scale_factor=scale, mode="bilinear", align_corners=False)
    return upsampled[..., :height, :width]
