"""DeepMask: a window is positive for an object of canonical size near its centre."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from tensormask_core.assign.assignment import Assignment
from tensormask_core.assign.candidates import as_boxes, longest_of, windows_near
from tensormask_core.assign.claims import settle
from tensormask_core.grid import WindowGrid
from tensormask_core.grid_level import check_positive


@dataclass(frozen=True, kw_only=True)
class DeepMaskRule:
    """Label windows as DeepMask draws its training patches. The default is the released code's.

    A patch is canonical for an object whose longer side is `object_px` of `patch_px` and whose
    centre is the patch's. With all lengths scaled by (longer side of window / `patch_px`):

    - positive: at most `positive_shift_px` from canonical along each axis and at most
      `positive_octaves` in scale (borders included);
    - ignored: not positive, but less than `negative_shift_px` (Euclidean) and less than
      `negative_octaves` from canonical for some object;
    - negative: all others.

    DeepMask cuts one patch per object, so it says nothing of windows that are positive for
    several; the one with the nearest centre gets it (then the smaller, then the first).

    The released code (160 px patches, better AR than the original) draws patches and knows no
    grid. Two of its ways have no place on one and are left out: score positives are cut exactly
    at the object's centre (here the jitter of its mask patches bounds the positives), and its
    distances compare points of differently scaled images without rescaling them.
    InstanceFCN takes its positives "as in DeepMask": `DeepMaskRule.paper()` on its 168 px windows.

    Args:
        patch_px: Side of the patch.
        object_px: Longer side of a canonical object in it.
        positive_shift_px: Largest shift of a positive along each axis.
        positive_octaves: Largest deviation in scale of a positive, in powers of two.
        negative_shift_px: Shift from which a window is negative.
        negative_octaves: Deviation in scale from which a window is negative.

    Raises:
        UnitError: If a constant is not positive and finite.

    Source: DeepMask, section on training; the released sampler of DeepMask and SharpMask.

    Example:
        >>> from tensormask_core.grid import GridLevel
        >>> grid = WindowGrid((GridLevel(21, 21, sigma_hw=16, windows_px=((160, 160),)),))
        >>> found = DeepMaskRule()(grid, [[114, 114, 206, 206]])
        >>> found.y.tolist(), found.x.tolist()
        ([9, 9, 9, 10, 10, 10, 11, 11, 11], [9, 10, 11, 9, 10, 11, 9, 10, 11])
        >>> len(found.ignored)
        16
    """

    patch_px: float = 160.0
    object_px: float = 92.0
    positive_shift_px: float = 16.0
    positive_octaves: float = 0.25
    negative_shift_px: float = 48.0
    negative_octaves: float = 2.5

    def __post_init__(self) -> None:
        for field in fields(self):
            check_positive(field.name, getattr(self, field.name))

    @classmethod
    def paper(cls) -> DeepMaskRule:
        """Return the rule of the original DeepMask: 224 px patches, 128 px objects.

        Example:
            >>> DeepMaskRule.paper().negative_shift_px
            32.0
        """
        return cls(patch_px=224.0, object_px=128.0, negative_shift_px=32.0, negative_octaves=1.0)

    def __call__(self, grid: WindowGrid, boxes: ArrayLike) -> Assignment:
        """Label the windows of `grid` for objects with these boxes.

        Args:
            grid: The windows, of one size on each level of the image pyramid.
            boxes: (N, 4) XYXY px, any array-like on the CPU. Boxes without area are allowed and
                never positive.

        Returns:
            The sparse labels; `ignored` lists the windows between positive and negative.

        Raises:
            LayoutError: If `boxes` is not (N, 4).
            ValueError: If a box is not finite or ends before it starts; names its row.
        """
        objects = as_boxes(boxes)
        scale = grid.kinds.longest_px / self.patch_px  # (K,) px per px of the patch
        with np.errstate(divide="ignore"):  # an object without area is infinitely far in scale
            octaves = np.log2(longest_of(objects)[:, None] / (self.object_px * scale))  # (N, K)
        alike = np.abs(octaves) <= self.positive_octaves
        related = np.abs(octaves) < self.negative_octaves
        radius = max(self.positive_shift_px, self.negative_shift_px) * scale
        near = windows_near(grid, objects, radius, alike | related)
        unit = scale[near.kind]
        positive = near.centred(self.positive_shift_px * unit[:, None])
        positive &= alike[near.object, near.kind]
        close = near.distance_squared < (self.negative_shift_px * unit) ** 2
        close &= related[near.object, near.kind]
        claims = settle(near, positive)
        ignored = np.setdiff1d(near.window[close], claims.window)
        return Assignment(grid, claims.window, claims.object, claims.ambiguous, ignored)
