"""FastMask: a window is positive for a roughly centred object that fills a good part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tensormask_core.assign.assignment import Assignment
from tensormask_core.assign.candidates import as_boxes, longest_of, windows_near
from tensormask_core.assign.claims import settle
from tensormask_core.grid import WindowGrid
from tensormask_core.grid_level import check_positive


@dataclass(frozen=True, kw_only=True)
class FastMaskRule:
    """Label windows as FastMask does. The default is the released code's rule.

    A window is positive for an object (borders included)

    - of the right size: longer side of object / longer side of window lies in `scale_range`;
    - in the right place: along each axis the centres are at most `centre_tolerance` sides of
      the window apart;
    - that it contains, as `contain` says.

    Of several such objects the one with the nearest centre gets the window (then the smaller,
    then the first).

    The released code learns from hard negatives alone: windows, positive for no object, that have
    some object's centre inside and satisfy exactly one of size and place for it. All others are
    ignored: nearly every window, so the assignment lists the negatives instead, and its
    `ignored` is computed over the whole grid when asked for.

    Args:
        scale_range: Smallest and largest share of the window's side.
        centre_tolerance: Largest distance of the centres, as a share of the window's side.
        contain: "centre" if the object's centre must lie in the window, "box" if its whole box.
        negatives: "hard" for those above, "all" for every window that is not positive.

    Raises:
        UnitError: If a share is not positive and finite.
        ValueError: If the range is empty or a word is unknown.

    Source: FastMask, section 5.2 "Ground truth assignment"; the released training code.

    Example:
        >>> from tensormask_core.grid import GridLevel
        >>> grid = WindowGrid((GridLevel(21, 21, sigma_hw=16, windows_px=((160, 160),)),))
        >>> found = FastMaskRule()(grid, [[120, 120, 200, 200]])
        >>> found.y.tolist(), found.x.tolist()
        ([9, 9, 9, 10, 10, 10, 11, 11, 11], [9, 10, 11, 9, 10, 11, 9, 10, 11])
        >>> len(found.negative), len(found.ignored)
        (112, 320)
    """

    scale_range: tuple[float, float] = (0.42, 0.68)
    centre_tolerance: float = 0.1
    contain: Literal["centre", "box"] = "centre"
    negatives: Literal["hard", "all"] = "hard"

    def __post_init__(self) -> None:
        low, high = self.scale_range
        for name, share in (("scale_range", low), ("scale_range", high)):
            check_positive(name, share)
        check_positive("centre_tolerance", self.centre_tolerance)
        if low > high:
            raise ValueError(f"scale_range expects (smallest, largest), got {self.scale_range}")
        if self.contain not in ("centre", "box"):
            raise ValueError(f"contain expects 'centre' or 'box', got {self.contain!r}")
        if self.negatives not in ("hard", "all"):
            raise ValueError(f"negatives expects 'hard' or 'all', got {self.negatives!r}")

    @classmethod
    def paper(cls, centre_tolerance: float = 0.1) -> FastMaskRule:
        """Return the rule as the paper states it.

        The window contains the whole object, which fills 0.4 to 0.8 of it; all other windows are
        negative. The paper puts the object's centre in a "central 10 x 10 rectangle" without a
        unit, so the tolerance of the released code stands in.

        Args:
            centre_tolerance: As in the class.

        Example:
            >>> FastMaskRule.paper().scale_range
            (0.4, 0.8)
        """
        return cls(
            scale_range=(0.4, 0.8),
            centre_tolerance=centre_tolerance,
            contain="box",
            negatives="all",
        )

    def __call__(self, grid: WindowGrid, boxes: ArrayLike) -> Assignment:
        """Label the windows of `grid` for objects with these boxes.

        Args:
            grid: The windows.
            boxes: (N, 4) XYXY px, any array-like on the CPU. Boxes without area are allowed and
                never positive.

        Returns:
            The sparse labels; with hard negatives, `rest` is "ignored".

        Raises:
            LayoutError: If `boxes` is not (N, 4).
            ValueError: If a box is not finite or ends before it starts; names its row.
        """
        objects = as_boxes(boxes)
        side = grid.kinds.longest_px  # (K,)
        longest = longest_of(objects)[:, None]
        low, high = self.scale_range
        fits = (low * side <= longest) & (longest <= high * side)  # (N, K)
        reach = np.where(fits, 0.5, self.centre_tolerance) * side
        looked_at = fits if self.negatives == "all" else np.ones_like(fits)
        near = windows_near(grid, objects, reach, looked_at)
        sized = fits[near.object, near.kind]
        inside = near.centred(near.half)
        placed = near.centred(2 * self.centre_tolerance * near.half)
        held = near.contained() if self.contain == "box" else inside
        claims = settle(near, sized & placed & held)
        none = np.empty(0, dtype=np.int64)
        if self.negatives == "all":
            return Assignment(grid, claims.window, claims.object, claims.ambiguous, none)
        hard = np.setdiff1d(near.window[inside & (sized != placed)], claims.window)
        return Assignment(grid, claims.window, claims.object, claims.ambiguous, hard, "ignored")
