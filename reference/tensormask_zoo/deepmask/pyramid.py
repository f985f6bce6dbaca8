"""The image pyramid: every scale of an image, and where its windows lie in the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tensormask_core import WindowGrid
from tensormask_core.grid import GridLevel
from tensormask_core.grid_level import check_positive
from tensormask_zoo.deepmask.padding import pad_border

Surround = Literal["grey", "symmetric"]
GREY = 0.5  # of RGB in [0, 1]


def half_octaves(first: float, last: float) -> tuple[float, ...]:
    """Return the scales from 2^first to 2^last, a factor of sqrt(2) apart.

    Example:
        >>> [round(scale, 2) for scale in half_octaves(-2, 0)]
        [0.25, 0.35, 0.5, 0.71, 1.0]
    """
    return tuple(2 ** (first + k / 2) for k in range(round(2 * (last - first)) + 1))


@dataclass(frozen=True, kw_only=True)
class PyramidInference:
    """How proposals are found in a whole image.

    Attributes:
        scales: of the image. The default is the released code's; "zoom" adds 2^1, which finds
            smaller objects in twice the time. The original network's are 2^-2 to 2^1.
        surround: what lies around the image, half a window on each side: grey as in the released
            code, or its mirror image.
        proposals: how many of the best windows of all scales together are kept.
        mask_threshold: the probability from which a pixel is mask; 0.1 on PASCAL.

    Raises:
        UnitError: a scale is not positive.
        ValueError: another value out of its range.
    """

    scales: Sequence[float] = field(default=half_octaves(-2.5, 0.5))
    surround: Surround = "grey"
    proposals: int = 500
    mask_threshold: float = 0.2

    def __post_init__(self) -> None:
        if not self.scales:
            raise ValueError("scales expects at least one, got none")
        for scale in self.scales:
            check_positive("a scale of the pyramid", scale)
        if self.surround not in ("grey", "symmetric"):
            raise ValueError(f"surround expects 'grey' or 'symmetric', got {self.surround!r}")
        if self.proposals < 1:
            raise ValueError(f"proposals expects at least 1, got {self.proposals}")
        if not 0 < self.mask_threshold < 1:
            raise ValueError(f"mask_threshold expects a share in (0, 1), got {self.mask_threshold}")


def usable_scales(scales: Sequence[float], image_size: tuple[int, int]) -> list[float]:
    """Return the scales at which an image keeps a pixel on each side; at least the largest.

    Example:
        >>> usable_scales((0.25, 0.5, 1.0), (3, 40))
        [0.5, 1.0]
    """
    shortest = min(image_size)
    return [scale for scale in scales if shortest * scale >= 1] or [max(scales)]


def at_scale(image: Tensor, scale: float) -> Tensor:
    """Resize an image (3, H, W) by a factor, with antialiasing.

    Pixel coordinates scale by exactly this factor; the last, incomplete row and column are cut.
    """
    if scale == 1:
        return image
    if min(image.shape[-2:]) * scale < 1:
        raise ValueError(
            f"an image of {tuple(image.shape[-2:])} px has no pixel left at scale {scale:g}"
        )
    return F.interpolate(image[None], scale_factor=scale, mode="bilinear", antialias=True)[0]


def surrounded(image: Tensor, *, window_px: int, stride: int, surround: Surround) -> Tensor:
    """Pad an image (3, H, W) so that windows are centred on every ``stride``-th pixel of it.

    Half a window on each side, and below and to the right what is missing to a multiple of the
    stride: the feature map then has ``ceil(H / stride) + 1`` rows of windows, the first centred
    on the image's edge.
    """
    half = window_px // 2
    missing = [-side % stride for side in image.shape[-2:]]
    sides = (half, half + missing[1], half, half + missing[0])
    if surround == "grey":
        return F.pad(image, sides, value=GREY)
    return pad_border(image[None], sides, "symmetric")[0]


@dataclass(frozen=True)
class Level:
    """What the network says of all windows of an image at one scale.

    Attributes:
        scale: of the image.
        scores: (H, W) logits.
        vectors: (C, H, W), from which masks are made.
        skips: (C_j, H_j, W_j) what masks are refined with, where they are; coarsest first.
    """

    scale: float
    scores: Tensor
    vectors: Tensor
    skips: tuple[Tensor, ...] = ()


def grid_of(levels: Sequence[Level], *, stride: int, window_px: int) -> WindowGrid:
    """Return where the windows of some levels are, in pixels of the image.

    Args:
        levels: of one image.
        stride: of the network.
        window_px: side of its window.

    Example:
        >>> level = Level(0.5, scores=torch.zeros(3, 4), vectors=torch.zeros(1, 3, 4))
        >>> grid_of([level], stride=16, window_px=160).boxes([5]).tolist()
        [[-128.0, -128.0, 192.0, 192.0]]
    """
    placed = []
    for level in levels:
        height, width = level.scores.shape
        side = window_px / level.scale
        placed.append(
            GridLevel(height, width, sigma_hw=stride / level.scale, windows_px=((side, side),))
        )
    return WindowGrid(tuple(placed))


def best_windows(score_maps: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Return the best windows of all scales together.

    Args:
        score_maps: (H, W) of each scale.
        count: how many to return at most.

    Returns:
        (K,) flat indices in the grid of the scales and (K,) scores, best first; equal scores in
        the order of the grid. Row and column of a flat index are its quotient and remainder
        counted from 0; the released code counts from 1 and so reads masks one cell up and to the
        right of the cells that were scored.

    Example:
        >>> best_windows([torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0], [4.0]])], 3)[0].tolist()
        [1, 3, 2]
    """
    scores = torch.cat([scores.flatten() for scores in score_maps])
    ranked, order = scores.sort(descending=True, stable=True)
    return order[:count], ranked[:count]
