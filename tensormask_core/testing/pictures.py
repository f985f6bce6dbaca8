"""Small cases computed by hand: one pair of axes drawn as a table, cells down, nodes across.

Along (V, H) and (U, W) the transform is the same, so with ``pad_value`` 0 the input
``p[v, y] * p[u, x]`` becomes ``P[v, y] * P[u, x]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tensormask_core.testing.case import Case, Values
from tensormask_core.units import Units

Table = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Picture:
    """What one pair of axes holds before and after a transform."""

    case: Case
    before: Table
    after: Table

    def arrays(self) -> tuple[Values, Values]:
        """Return input and output (1, V, U, H, W)."""
        tables = np.array(self.before), np.array(self.after)
        before, after = (np.einsum("vy,ux->vuyx", table, table)[None] for table in tables)
        return before, after


PICTURES = (
    # aligned to natural: cell v reads node y + v, so the upper row moves right
    Picture(
        Case((3, 3), (3, 3), Units(1, 1), Units(1, 1), 1),
        ((1, 2, 3), (4, 5, 6), (7, 8, 9)),
        ((0, 1, 2), (4, 5, 6), (8, 9, 0)),
    ),
    # natural to aligned: the other way
    Picture(
        Case((3, 3), (3, 3), Units(1, 1), Units(1, 1), -1),
        ((1, 2, 3), (4, 5, 6), (7, 8, 9)),
        ((2, 3, 0), (4, 5, 6), (0, 7, 8)),
    ),
    # alpha 2: two nodes per cell
    Picture(
        Case((3, 3), (3, 3), Units(2, 1), Units(2, 1), 1),
        ((1, 2, 3), (4, 5, 6), (7, 8, 9)),
        ((0, 0, 1), (4, 5, 6), (9, 0, 0)),
    ),
    # even window: cells at -1/2 and +1/2, halfway between two nodes
    Picture(
        Case((2, 2), (3, 3), Units(1, 1), Units(1, 1), 1),
        ((2, 4, 6), (2, 4, 6)),
        ((1, 3, 5), (3, 5, 3)),
    ),
    # twice finer cells: positions -1/4, 1/4, 3/4, 5/4; the outermost cell is repeated ...
    Picture(
        Case((2, 2), (1, 1), Units(2, 1), Units(1, 1), 0, vu_border="edge"),
        ((4,), (8,)),
        ((4,), (5,), (7,), (8,)),
    ),
    # ... or blended with the padding
    Picture(
        Case((2, 2), (1, 1), Units(2, 1), Units(1, 1), 0),
        ((4,), (8,)),
        ((3,), (5,), (7,), (6,)),
    ),
    # 2 cells to 3, nearest: positions -1/6, 1/2, 7/6; halves go up; then each reads y + v
    Picture(
        Case((2, 2), (3, 3), Units(1.5, 1), Units(1, 1), 1, "nearest", "edge"),
        ((1, 2, 3), (4, 5, 6)),
        ((0, 1, 2), (4, 5, 6), (5, 6, 0)),
    ),
    # every second node
    Picture(
        Case((1, 1), (5, 5), Units(1, 1), Units(1, 2), 0),
        ((1, 2, 3, 4, 5),),
        ((1, 3, 5),),
    ),
    # swap: one cell over four nodes becomes two cells over two; rows of y = -1/2, 3/2; 1/2, 5/2
    Picture(
        Case((1, 1), (4, 4), Units(2, 1), Units(1, 2), 1, vu_border="edge"),
        ((0, 4, 8, 12),),
        ((0, 6), (2, 10)),
    ),
)

PADDED = Case((3, 1), (3, 1), Units(1, 1), Units(1, 1), 1, pad_value=9)
"""The first picture along rows alone, with 9 outside."""


def padded_arrays() -> tuple[Values, Values]:
    """Return input and output (1, 3, 1, 3, 1) of :data:`PADDED`."""
    before = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    after = np.array([[9.0, 1, 2], [4, 5, 6], [8, 9, 9]])
    return before[None, :, None, :, None], after[None, :, None, :, None]
