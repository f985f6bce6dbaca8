"""Which part of an image to read, and at what size: chosen before any mask is decoded.

A microscopy image may hold hundreds of objects; drawing only what a crop shows keeps memory small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

Region = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Crop:
    """Rows and columns to read, in px of the image, and the (H, W) to which they are resized."""

    region: Region
    out_size: tuple[int, int]


class ChooseCrop(Protocol):
    """Chooses what to read of an image of (H, W) px."""

    def __call__(self, height: int, width: int) -> Crop:
        """Choose anew at each call, from torch's random numbers."""


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """Resize by a random factor and take a random part of at most a given size.

    Attributes:
        size: (H, W) of the part in px after resizing; less where the image is smaller.
        scale: Smallest and largest factor, drawn log-uniformly.

    Raises:
        ValueError: A scale that is not positive, or whose ends are swapped.

    Example:
        >>> RandomCrop((64, 64), scale=(2.0, 2.0))(200, 20).out_size
        (64, 40)
    """

    size: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"expected 0 < low <= high for scale, got {self.scale}")

    def __call__(self, height: int, width: int) -> Crop:
        """Draw a factor and a place."""
        low, high = self.scale
        factor = low * (high / low) ** torch.rand(()).item()
        rows, out_height = _random_part(height, self.size[0], factor)
        columns, out_width = _random_part(width, self.size[1], factor)
        return Crop((rows, columns), (out_height, out_width))


@dataclass(frozen=True, slots=True)
class ShortSide:
    """Resize the whole image so that its short side has one of the given lengths.

    Attributes:
        sides: Lengths in px, one is drawn per image: (800,) fixed, (640, 672, ..., 800) jittered.
        longest: Bound for the long side in px; the short side gives way.

    Example:
        >>> ShortSide((40,), longest=100)(200, 400).out_size
        (40, 80)
    """

    sides: tuple[int, ...]
    longest: int = 1333

    def __call__(self, height: int, width: int) -> Crop:
        """Draw one of the lengths."""
        side = self.sides[int(torch.randint(len(self.sides), ()))]
        factor = min(side / min(height, width), self.longest / max(height, width))
        out_size = (max(round(height * factor), 1), max(round(width * factor), 1))
        return Crop((slice(0, height), slice(0, width)), out_size)


def whole(height: int, width: int) -> Crop:
    """Read everything as it is.

    Args:
        height: Rows in px.
        width: Columns in px.

    Returns:
        The crop that changes nothing.
    """
    return Crop((slice(0, height), slice(0, width)), (height, width))


def _random_part(side: int, wanted: int, factor: float) -> tuple[slice, int]:
    """Choose a span that has `wanted` px after resizing, or the whole side if that has fewer."""
    if round(side * factor) <= wanted:
        return slice(0, side), max(round(side * factor), 1)
    span = min(max(round(wanted / factor), 1), side)
    start = int(torch.randint(side - span + 1, ()))
    return slice(start, start + span), wanted
