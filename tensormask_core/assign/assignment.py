"""What a rule says about the windows of a grid, listing only the few that matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tensormask_core.grid import WindowGrid
from tensormask_core.grid_level import IntArray


@dataclass(frozen=True, eq=False)
class Assignment:
    """Labels of all windows of a grid: positive, negative or ignored.

    Three lists hold the few windows near objects; `rest` says what all unlisted windows are.
    For most rules they are negative, and `listed` holds the ignored ones. Where a rule learns
    from hard negatives alone the unlisted windows are ignored, and `listed` holds the negatives.

    Args:
        grid: The grid whose windows are labelled.
        window: (P,) int64, flat indices of the positive windows, ascending.
        object: (P,) int64, for each of them the row of its object in the boxes.
        ambiguous: Flat indices, ascending, of the windows that more than one object claims,
            whatever the rule makes of them.
        listed: Flat indices, ascending, of the ignored windows or, if `rest` is "ignored", of
            the negative ones.
        rest: What a window is that stands neither in `window` nor in `listed`.

    Example:
        >>> from tensormask_core.assign import TensorMaskRule
        >>> grid = WindowGrid.pyramid(image_size=(64, 96), levels=2)
        >>> found = TensorMaskRule()(grid, [[28, 18, 54, 38]])
        >>> found.window, found.y, found.x, found.size
        (array([356, 358]), array([7, 7]), array([10, 11]), array([0, 0]))
    """

    grid: WindowGrid
    window: IntArray
    object: IntArray
    ambiguous: IntArray
    listed: IntArray
    rest: Literal["negative", "ignored"] = "negative"

    @property
    def ignored(self) -> IntArray:
        """Windows kept out of the loss; computed over the whole grid if `rest` is "ignored"."""
        return self.listed if self.rest == "negative" else self._unlisted()

    @property
    def negative(self) -> IntArray:
        """Windows that stand for no object; computed over the whole grid unless all are listed."""
        return self.listed if self.rest == "ignored" else self._unlisted()

    @property
    def level(self) -> IntArray:
        """Level of each positive window, (P,)."""
        return self.grid.unravel(self.window).level

    @property
    def y(self) -> IntArray:
        """Row of each positive window, (P,)."""
        return self.grid.unravel(self.window).y

    @property
    def x(self) -> IntArray:
        """Column of each positive window, (P,)."""
        return self.grid.unravel(self.window).x

    @property
    def size(self) -> IntArray:
        """Which of its level's window sizes each positive window has, (P,)."""
        return self.grid.unravel(self.window).size

    def labels(self) -> NDArray[np.int8]:
        """Label of every window, dense.

        Returns:
            (len(grid),) int8: 1 positive, 0 negative, -1 ignored.

        Example:
            >>> from tensormask_core.assign import TensorMaskRule
            >>> grid = WindowGrid.pyramid(image_size=(64, 96), levels=2)
            >>> TensorMaskRule()(grid, [[28, 18, 54, 38]]).labels().nonzero()
            (array([356, 358]),)
        """
        rest, listed = (0, -1) if self.rest == "negative" else (-1, 0)
        labels = np.full(len(self.grid), rest, dtype=np.int8)
        labels[self.listed] = listed
        labels[self.window] = 1
        return labels

    def _unlisted(self) -> IntArray:
        """Flat indices of the windows in none of the lists."""
        unlisted = np.ones(len(self.grid), dtype=np.bool_)
        unlisted[self.listed] = False
        unlisted[self.window] = False
        return np.flatnonzero(unlisted).astype(np.int64)
