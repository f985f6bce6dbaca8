"""TensorMask: a window is positive for the one object that it contains, fits and centres."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tensormask_core.assign.assignment import Assignment
from tensormask_core.assign.candidates import as_boxes, longest_of, windows_near
from tensormask_core.assign.claims import Claims, settle
from tensormask_core.errors import UnitError
from tensormask_core.grid import WindowGrid
from tensormask_core.grid_level import FloatArray, WindowKinds, check_positive


@dataclass(frozen=True, kw_only=True)
class TensorMaskRule:
    """Label windows as TensorMask does. The default is the published implementation's rule.

    A window is positive for an object if (borders included)

    - containment: it contains the object's box,
    - scale: its longer side minus `scale_margin` strides of its level is at most
      `max(scale_ratio * longer side of the object, small_window_px)`,
    - centrality: the centres are at most `centrality` units apart,
    - uniqueness: no other object satisfies all this too.

    All others are negative, none is ignored.

    The published implementation differs from the paper in the margin of one stride and in the
    unit of centrality: the level's stride, although a bipyramid's mask cells have one size on all
    levels. It is the default because its published model is better than the paper's (zoo: mask AP
    35.8 against 35.2). `TensorMaskRule.paper()` is the paper's rule.

    Args:
        scale_ratio: Longest window accepted, in longer sides of the object.
        scale_margin: Slack of the scale test in strides of the window's level.
        small_window_px: Windows whose longer side minus margin is at most this long pass the
            scale test for every object, so that tiny objects have a window. None takes
            the smallest window of the grid, minus its margin (44 - 4 = 40 px in the published
            model).
        centrality: Largest distance of the centres, in units of `centrality_unit`.
        centrality_unit: "level" for the stride of the window's level, or a length in px.
        ambiguous: What becomes of a window that several objects claim: "negative" as in the
            sources, or "nearest" to give it to the object with the nearest centre (then the
            smaller, then the first).

    Raises:
        UnitError: If a length or ratio is not positive and finite.
        ValueError: If `ambiguous` is neither word.

    Source: TensorMask, section 4.2 "Label assignment".

    Example:
        >>> grid = WindowGrid.pyramid(image_size=(128, 128), levels=3)
        >>> found = TensorMaskRule()(grid, [[40, 40, 70, 80], [8, 8, 20, 18]])
        >>> found.grid.boxes(found.window[:2]).tolist()
        [[-10.0, -10.0, 34.0, 34.0], [-6.0, -10.0, 38.0, 34.0]]
        >>> found.object[:2].tolist()
        [1, 1]
    """

    scale_ratio: float = 2.0
    scale_margin: float = 1.0
    small_window_px: float | None = None
    centrality: float = 1.0
    centrality_unit: Literal["level"] | float = "level"
    ambiguous: Literal["negative", "nearest"] = "negative"

    def __post_init__(self) -> None:
        check_positive("scale_ratio", self.scale_ratio)
        check_positive("centrality", self.centrality)
        if not math.isfinite(self.scale_margin):
            raise UnitError(f"scale_margin must be a finite number, got {self.scale_margin}")
        if self.centrality_unit != "level":
            check_positive("centrality_unit", _number(self.centrality_unit))
        if self.ambiguous not in ("negative", "nearest"):
            raise ValueError(f"ambiguous expects 'negative' or 'nearest', got {self.ambiguous!r}")

    @classmethod
    def paper(cls, sigma_vu: Literal["level"] | float = 4.0) -> TensorMaskRule:
        """Return the rule as the paper states it.

        No margin in the scale test, and centres at most one mask cell apart. Objects below the
        smallest assignable size go to windows of the smallest size (footnote 3).

        Args:
            sigma_vu: Size of a mask cell in px: one number for a bipyramid (4 px in the paper),
                "level" for a feature pyramid, where it is the stride of the level.

        Example:
            >>> TensorMaskRule.paper().centrality_unit
            4.0
        """
        return cls(scale_margin=0.0, centrality_unit=sigma_vu)

    def __call__(self, grid: WindowGrid, boxes: ArrayLike) -> Assignment:
        """Label the windows of `grid` for objects with these boxes.

        Args:
            grid: The windows.
            boxes: (N, 4) XYXY px, any array-like on the CPU. Boxes without area are allowed.

        Returns:
            The sparse labels.

        Raises:
            LayoutError: If `boxes` is not (N, 4).
            ValueError: If a box is not finite or ends before it starts; names its row.
        """
        objects = as_boxes(boxes)
        unit = self._unit_px(grid.kinds)
        side = grid.kinds.longest_px - self.scale_margin * grid.kinds.sigma_hw  # (K,)
        small = side.min() if self.small_window_px is None else self.small_window_px
        limit = np.maximum(self.scale_ratio * longest_of(objects), small)  # (N,)
        near = windows_near(grid, objects, self.centrality * unit, side <= limit[:, None])
        apart = ((near.shift / unit[near.kind, None]) ** 2).sum(axis=1)
        return self._label(grid, settle(near, near.contained() & (apart <= self.centrality**2)))

    def _unit_px(self, kinds: WindowKinds) -> FloatArray:
        """Unit of centrality of each kind of window, (K,) px."""
        if self.centrality_unit == "level":
            return kinds.sigma_hw
        return np.full(kinds.sigma_hw.shape, self.centrality_unit, dtype=np.float64)

    def _label(self, grid: WindowGrid, claims: Claims) -> Assignment:
        """Apply uniqueness."""
        keep = ~claims.contested if self.ambiguous == "negative" else slice(None)
        none = np.empty(0, dtype=np.int64)
        return Assignment(grid, claims.window[keep], claims.object[keep], claims.ambiguous, none)


def _number(value: object) -> float:
    """The value if it is a number; else the error a wrong word deserves."""
    if isinstance(value, Real):
        return float(value)
    raise UnitError(f"centrality_unit expects 'level' or a length in px, got {value!r}")
