"""Image scales: each window size in the image is one scale of it (InstanceFCN, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ImageSize = tuple[int, int]

SHORT_SIDES = tuple(600 * 1.5**n for n in (-4, -3, -2, -1, 0, 1))
"""118.5 to 900 px, in training and testing on VOC."""

DEEPMASK_FACTORS = tuple(2 ** (n / 2) for n in (-4, -3, -2, -1, 0, 1, 2))
"""For COCO the paper takes the scales of DeepMask: 1/4 to 2 times the image."""


@dataclass(frozen=True, kw_only=True)
class ImageScales:
    """The scales of an image, by its shorter side or relative to it.

    Training draws one of them, inference takes all.

    Args:
        short_sides: shorter side of the image at each scale, px.
        factors: scale factors instead, such as :data:`DEEPMASK_FACTORS`.
        longest: no side becomes longer than this, px; the paper limits none. An elongated image
            stays smaller.

    Raises:
        ValueError: no scale, or one that is not positive.

    Example:
        >>> [round(side, 1) for side in SHORT_SIDES]
        [118.5, 177.8, 266.7, 400.0, 600.0, 900.0]
        >>> ImageScales(short_sides=(400, 600)).of((300, 500))
        (1.3333333333333333, 2.0)
    """

    short_sides: Sequence[float] = SHORT_SIDES
    factors: Sequence[float] | None = None
    longest: float = 3000.0

    def __post_init__(self) -> None:
        values = self.short_sides if self.factors is None else self.factors
        if not values or not all(0 < value < math.inf for value in values):
            raise ValueError(f"ImageScales expects one or more positive numbers, got {values}")

    def of(self, image_size: ImageSize) -> tuple[float, ...]:
        """Return the scale factors of an image of (H, W) px."""
        shortest, longest = min(image_size), max(image_size)
        wanted = self.factors or [side / shortest for side in self.short_sides]
        least = math.nextafter(1 / shortest, 1.0)  # one pixel is left, whatever the rounding
        return tuple(max(min(factor, self.longest / longest), least) for factor in wanted)

    def draw(self) -> int:
        """Draw which of the scales to train on."""
        return int(torch.randint(len(self.factors or self.short_sides), ()))


def resized_size(image_size: ImageSize, factor: float) -> ImageSize:
    """Return the (H, W) of :func:`resize`: whole pixels, the rest is cut off."""
    return math.floor(image_size[0] * factor), math.floor(image_size[1] * factor)


def resize(image: Tensor, factor: float) -> Tensor:
    """Resize an image (3, H, W) by the same factor along both sides, whatever the rounding.

    Pixel point p of the image is at ``factor * p`` of the result, exactly, so that windows of the
    result are windows of the image in other units.

    Raises:
        ValueError: the image is not (3, H, W).

    Example:
        >>> resize(torch.zeros(3, 50, 75), 1.5).shape
        torch.Size([3, 75, 112])
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"an image expects (3, H, W), got shape {tuple(image.shape)}")
    if factor == 1:
        return image
    return F.interpolate(image[None], scale_factor=factor, mode="bilinear", antialias=True)[0]
