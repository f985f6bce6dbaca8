"""Cheap grey textures in [0, 1], and the mixing of two colours by one of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]  # (H, W) in [0, 1]
Texture = Callable[[np.random.Generator, int, int], Grey]

STRIPE_PERIOD_PX = (3.0, 12.0)
BLOB_PX = 8  # distance of the random values between which blobs are interpolated
ATLAS_STEP_PX = 256  # atlases come in multiples of this, so that few are ever made


def stripes(rng: np.random.Generator, height: int, width: int) -> Grey:
    """Draw waves of a random direction and period."""
    period_px = rng.uniform(*STRIPE_PERIOD_PX)
    phase = _ramp(rng, height, width) * (2 * math.pi / period_px)
    grey: Grey = 0.5 + 0.5 * np.sin(phase + rng.uniform(0, 2 * math.pi))
    return grey


def gradient(rng: np.random.Generator, height: int, width: int) -> Grey:
    """Draw an even slope in a random direction, 0 at one corner and 1 at the opposite one."""
    ramp = _ramp(rng, height, width)
    ramp -= ramp.min()
    return ramp / max(float(ramp.max()), 1.0)


def grain(rng: np.random.Generator, height: int, width: int) -> Grey:
    """Draw independent noise in each pixel."""
    return _atlas_window(rng, height, width, cell_px=1)


def blobs(rng: np.random.Generator, height: int, width: int) -> Grey:
    """Draw smooth noise."""
    return _atlas_window(rng, height, width, cell_px=BLOB_PX)


TEXTURES: tuple[Texture, ...] = (stripes, gradient, grain, blobs)


def plain(rng: np.random.Generator, height: int, width: int) -> Grey:
    """Draw one grey."""
    return np.zeros((height, width), dtype=np.float32)


def random_paint(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    texture: Texture | None = None,
    contrast: float = 0.4,
) -> NDArray[np.float32]:
    """Fill a rectangle with one texture between two random colours.

    Args:
        rng: Source of all random choices.
        height: Rows.
        width: Columns.
        texture: Which texture; one of `TEXTURES` at random by default.
        contrast: How far the second colour may lie from the first, in each channel.

    Returns:
        (3, height, width) float32 in [0, 1].

    Example:
        >>> random_paint(np.random.default_rng(0), 4, 6).shape
        (3, 4, 6)
    """
    texture = texture or TEXTURES[rng.integers(len(TEXTURES))]
    grey = texture(rng, height, width)
    first = rng.random(3, dtype=np.float32)
    second = np.clip(first + rng.uniform(-contrast, contrast, 3), 0, 1).astype(np.float32)
    return first[:, None, None] + (second - first)[:, None, None] * grey


def _ramp(rng: np.random.Generator, height: int, width: int) -> Grey:
    """Project pixel positions onto a random direction, in px."""
    angle = rng.uniform(0, 2 * math.pi)
    rows = np.arange(height, dtype=np.float32) * math.sin(angle)
    ramp: Grey = rows[:, None] + np.arange(width, dtype=np.float32) * math.cos(angle)
    return ramp


def _atlas_window(rng: np.random.Generator, height: int, width: int, cell_px: int) -> Grey:
    """Cut a random window out of a noise picture that is made once."""
    steps = -(-max(height, width) // ATLAS_STEP_PX)
    side = (steps + 1) * ATLAS_STEP_PX
    top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    return _noise_atlas(side, cell_px)[top : top + height, left : left + width]


@lru_cache(maxsize=8)
def _noise_atlas(side: int, cell_px: int) -> Grey:
    """Interpolate a fixed square of uniform noise, one random value every `cell_px`."""
    coarse = np.random.default_rng(cell_px).random((side // cell_px + 2,) * 2, dtype=np.float32)
    index, weight = np.divmod(np.arange(side, dtype=np.float32) / cell_px, 1)
    first = index.astype(np.intp)
    rows = coarse[first] + weight[:, None] * (coarse[first + 1] - coarse[first])
    atlas = rows[:, first] + weight * (rows[:, first + 1] - rows[:, first])
    atlas.setflags(write=False)  # shared by all pictures
    return np.asarray(atlas, dtype=np.float32)
