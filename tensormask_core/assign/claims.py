"""From claims of objects on windows to at most one object per window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tensormask_core.assign.candidates import BoolArray, Candidates
from tensormask_core.grid_level import IntArray


@dataclass(frozen=True)
class Claims:
    """Windows claimed by objects, each listed once, ascending."""

    window: IntArray
    object: IntArray  # the nearest claimant
    contested: BoolArray  # claimed by more than one

    @property
    def ambiguous(self) -> IntArray:
        """Windows claimed by more than one object."""
        return self.window[self.contested]


def settle(near: Candidates, claimed: BoolArray) -> Claims:
    """Give each claimed window to the object with the nearest centre.

    Of equally near objects the smaller one wins, then the first. A window's contest is kept in
    `contested` for the rules in which nobody wins one.
    """
    window, owner = near.window[claimed], near.object[claimed]
    box = near.box[claimed]
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    order = np.lexsort((owner, area, near.distance_squared[claimed], window))
    window, owner = window[order], owner[order]
    start = np.flatnonzero(np.diff(window, prepend=-1))
    counts = np.diff(start, append=len(window))
    return Claims(window[start], owner[start], counts > 1)
