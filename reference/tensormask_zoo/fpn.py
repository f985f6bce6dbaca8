"""Feature pyramid network with mean fusion (TensorMask, section 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from tensormask_zoo.trunk import STEM

FINEST_STRIDE = 4  # px: of every trunk's first stage
NormLayer = Callable[[int], nn.Module]


class Trunk(Protocol):
    """What a backbone needs of a trunk; see :mod:`tensormask_zoo.trunk`."""

    stem_channels: int
    widths: tuple[int, ...]

    def __call__(self, images: Tensor, /) -> dict[str, Tensor]:
        """Return the maps of (N, 3, H, W) images by name."""


class MeanFPN(nn.Module):
    """Top-down pyramid in which each level is the mean of its lateral and the level above.

    TensorMask replaces FPN's sum by the mean, which keeps the scale of all levels equal.

    Args:
        widths: channels of the input maps, finest first, each half the size of the one before.
        channels: channels of every output.
        levels: how many maps to return: coarse ones beyond the inputs are made by strided
            convolutions of the last input map, as RetinaNet's P6 and P7.
        norm: makes the normalisation after each convolution, which helps training from scratch;
            the published pyramid has none.
    """

    def __init__(
        self, widths: Sequence[int], channels: int, *, levels: int, norm: NormLayer | None = None
    ) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_conv(width, channels, 1, norm) for width in widths)
        self.output = nn.ModuleList(_conv(channels, channels, 3, norm) for _ in widths[:levels])
        extra_levels = max(0, levels - len(widths))
        extra_in = (widths[-1], *[channels] * extra_levels)
        self.extra = nn.ModuleList(
            nn.Conv2d(extra_in[k], channels, 3, stride=2, padding=1) for k in range(extra_levels)
        )
        self.channels = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return maps of (N, channels, H_k, W_k), finest first."""
        merged = [self.lateral[-1](maps[-1])]
        for lateral, finer in zip(self.lateral[-2::-1], maps[-2::-1], strict=True):
            above = F.interpolate(merged[0], size=finer.shape[-2:], mode="nearest")
            merged.insert(0, (lateral(finer) + above) / 2)
        outputs = [output(x) for output, x in zip(self.output, merged, strict=False)]
        coarsest = maps[-1]
        for k, conv in enumerate(self.extra):
            coarsest = conv(coarsest if k == 0 else F.relu(coarsest))
            outputs.append(coarsest)
        return outputs


def _conv(c_in: int, c_out: int, kernel: int, norm: NormLayer | None) -> nn.Module:
    conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=norm is None)
    return conv if norm is None else nn.Sequential(conv, norm(c_out))


class Backbone(nn.Module):
    """A trunk with a feature pyramid on top.

    Args:
        trunk: see :mod:`tensormask_zoo.trunk`.
        channels: channels of each pyramid level.
        levels: how many levels to return; coarser ones than the trunk has are added.
        norm: see :class:`MeanFPN`.

    Returns:
        From ``forward``, the list of levels at strides 4, 8, 16, ... and the trunk's stem map at
        stride 2, which masks finer than stride 4 start from.
    """

    stride = FINEST_STRIDE

    def __init__(
        self, trunk: nn.Module, *, channels: int, levels: int, norm: NormLayer | None = None
    ) -> None:
        super().__init__()
        widths: tuple[int, ...] = trunk.widths  # type: ignore[assignment]  # see Trunk
        self.trunk = trunk
        self.fpn = MeanFPN(widths, channels, levels=levels, norm=norm)
        self.levels = levels
        self.coarsest_stride = self.stride * 2 ** (len(widths) - 1)
        self.channels = channels
        self.stem_channels: int = trunk.stem_channels  # type: ignore[assignment]  # see Trunk

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the pyramid levels and the stem map of (N, 3, H, W) normalised images."""
        maps = self.trunk(images)
        stem = maps[STEM]
        return self.fpn([maps[str(k)] for k in range(len(maps) - 1)]), stem
