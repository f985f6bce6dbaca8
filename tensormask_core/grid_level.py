"""One level of windows, and the kinds of windows that levels hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tensormask_core.errors import LayoutError, UnitError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class GridLevel:
    """One level of a `WindowGrid`: `height` x `width` nodes, each the centre of some windows.

    Node (y, x) lies at the pixel point `offset_px + sigma_hw * (y, x)`.

    Args:
        height: Rows of nodes, 0 or more.
        width: Columns of nodes, 0 or more.
        sigma_hw: Distance between neighbouring nodes in px.
        windows_px: The (height, width) in px of each window size at every node.
        offset_px: Pixel point (y, x) of node (0, 0).

    Raises:
        LayoutError: If an extent is negative or no whole number, or there is no window size.
        UnitError: If a length is not finite, or a stride or window side is not positive.

    Example:
        The windows of FastMask at receptive unit 16 over a 4 x 6 map:

        >>> GridLevel(4 + 1, 6 + 1, sigma_hw=16, windows_px=((160, 160),)).count
        35
    """

    height: int
    width: int
    sigma_hw: float
    windows_px: tuple[tuple[float, float], ...]
    offset_px: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_extents("GridLevel", (self.height, self.width))
        check_positive("sigma_hw", self.sigma_hw)
        if np.shape(self.windows_px)[1:] != (2,):
            raise LayoutError(
                "GridLevel expects windows_px as one or more (height, width) pairs, "
                f"got {self.windows_px}"
            )
        for side in np.ravel(self.windows_px):
            check_positive("a side of windows_px", float(side))
        if not np.isfinite(self.offset_px).all():
            raise UnitError(f"offset_px must be finite px, got {self.offset_px}")

    @property
    def count(self) -> int:
        """Number of windows on this level."""
        return self.height * self.width * len(self.windows_px)


@dataclass(frozen=True)
class WindowKinds:
    """The K pairs of level and window size of a grid, as parallel arrays over the pairs.

    A rule that treats all windows of one level and size alike works on these few rows, not on
    the windows. All arrays are (K,) or (K, 2) with rows before columns; lengths are in px.
    """

    level: IntArray
    size: IntArray
    extent: IntArray  # (K, 2) nodes
    sigma_hw: FloatArray
    offset_px: FloatArray  # (K, 2)
    window_px: FloatArray  # (K, 2)

    @classmethod
    def of(cls, levels: Sequence[GridLevel]) -> WindowKinds:
        """Collect the kinds of some levels, in the order (level, size)."""
        pairs = [(k, s) for k, level in enumerate(levels) for s in range(len(level.windows_px))]
        owners = [levels[k] for k, _ in pairs]
        return cls(
            level=np.array([k for k, _ in pairs], dtype=np.int64),
            size=np.array([s for _, s in pairs], dtype=np.int64),
            extent=np.array([(level.height, level.width) for level in owners], dtype=np.int64),
            sigma_hw=np.array([level.sigma_hw for level in owners], dtype=np.float64),
            offset_px=np.array([level.offset_px for level in owners], dtype=np.float64),
            window_px=np.array([levels[k].windows_px[s] for k, s in pairs], dtype=np.float64),
        )

    @property
    def longest_px(self) -> FloatArray:
        """Longer side of each kind's window, (K,) px."""
        longest: FloatArray = self.window_px.max(axis=1)
        return longest


def check_extents(name: str, extents: Sequence[int]) -> None:
    """Refuse anything but two whole numbers of 0 or more."""
    if len(extents) != 2 or any(side < 0 or side != int(side) for side in extents):
        raise LayoutError(f"{name} expects whole (height, width) of 0 or more, got {extents}")


def check_positive(name: str, value: float) -> None:
    """Refuse a length or ratio that is not positive and finite."""
    if not (math.isfinite(value) and value > 0):
        raise UnitError(f"{name} must be a positive, finite number, got {value}")
