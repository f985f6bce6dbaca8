"""The few windows near each object's centre: all that a rule has to look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tensormask_core.errors import LayoutError
from tensormask_core.grid import WindowGrid
from tensormask_core.grid_level import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

# Nodes by which the rectangle of candidates is widened, so that rounding never loses a window
# that the exact test would keep.
NODE_SLACK = 1e-6


@dataclass(frozen=True)
class Candidates:
    """Pairs of a window and an object near its centre, as parallel arrays over the C pairs."""

    window: IntArray  # flat index
    object: IntArray
    kind: IntArray  # row of grid.kinds
    centre: FloatArray  # (C, 2) yx px, of the window
    half: FloatArray  # (C, 2) yx px, half the window's sides
    shift: FloatArray  # (C, 2) yx px, object's centre - window's centre
    box: FloatArray  # (C, 4) XYXY px, of the object

    @property
    def distance_squared(self) -> FloatArray:
        """Squared distance of the two centres, (C,) px^2."""
        squared: FloatArray = (self.shift**2).sum(axis=1)
        return squared

    def contained(self) -> BoolArray:
        """Whether the window contains the object's box, borders included."""
        low, high = self.centre - self.half, self.centre + self.half
        inside = (low <= self.box[:, [1, 0]]) & (high >= self.box[:, [3, 2]])  # (C, 2)
        return inside[:, 0] & inside[:, 1]

    def centred(self, radius_px: FloatArray) -> BoolArray:
        """Whether the centres are within a radius along each axis, (C, 2) px, borders included."""
        within = np.abs(self.shift) <= radius_px  # (C, 2)
        return within[:, 0] & within[:, 1]


def as_boxes(boxes: ArrayLike) -> FloatArray:
    """Objects' boxes as (N, 4) float64; an empty list is no object.

    Raises:
        LayoutError: If the shape is not (N, 4).
        ValueError: If a box is not finite or ends before it starts; the message names the row.
    """
    array = np.asarray(boxes, dtype=np.float64)
    if array.shape == (0,):
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise LayoutError(f"boxes expects (N, 4) XYXY px, got shape {array.shape}")
    finite = np.isfinite(array).all(axis=1)
    wrong = np.flatnonzero(~finite | (array[:, :2] > array[:, 2:]).any(axis=1))
    if len(wrong):
        row = int(wrong[0])
        raise ValueError(
            "boxes expects finite x0 <= x1 and y0 <= y1 in px, "
            f"got {array[row].tolist()} in row {row}; remove or repair such objects"
        )
    return array


def centres_of(boxes: FloatArray) -> FloatArray:
    """Centres of (N, 4) XYXY boxes, (N, 2) yx px."""
    return ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, ::-1]


def longest_of(boxes: FloatArray) -> FloatArray:
    """Longer side of (N, 4) XYXY boxes, (N,) px."""
    longest: FloatArray = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)
    return longest


def windows_near(
    grid: WindowGrid, boxes: FloatArray, radius_px: FloatArray, admissible: BoolArray
) -> Candidates:
    """Find the windows whose centre is within a radius of an object's centre, per axis.

    The nodes concerned form a small rectangle that follows from the stride, so the work grows
    with the number of pairs found and not with the number of windows.

    Args:
        grid: The grid of windows, with K kinds.
        boxes: (N, 4) XYXY px.
        radius_px: (K,) or (N, K) px.
        admissible: (N, K), which kinds of window to look at for each object.

    Returns:
        The pairs; a rule tests them exactly.
    """
    kinds = grid.kinds
    centres = centres_of(boxes)
    thing, kind = np.nonzero(admissible)  # (Q,) pairs of an object and a kind
    radius = np.broadcast_to(radius_px, admissible.shape)[thing, kind]
    at = (centres[thing] - kinds.offset_px[kind]) / kinds.sigma_hw[kind, None]  # (Q, 2) nodes
    reach = radius[:, None] / kinds.sigma_hw[kind, None] + NODE_SLACK
    # Clipped before the cast: a box far outside the image must not overflow an integer.
    first = np.clip(np.ceil(at - reach), 0, kinds.extent[kind]).astype(np.int64)
    stop = np.clip(np.floor(at + reach) + 1, first, kinds.extent[kind]).astype(np.int64)
    pair, node = _nodes_of_rectangles(first, stop - first)
    thing, kind = thing[pair], kind[pair]
    centre = kinds.offset_px[kind] + kinds.sigma_hw[kind, None] * node  # (C, 2)
    return Candidates(
        window=grid.ravel(kinds.level[kind], node[:, 0], node[:, 1], kinds.size[kind]),
        object=thing,
        kind=kind,
        centre=centre,
        half=kinds.window_px[kind] / 2,
        shift=centres[thing] - centre,
        box=boxes[thing],
    )


def _nodes_of_rectangles(first: IntArray, extent: IntArray) -> tuple[IntArray, IntArray]:
    """List the nodes of Q rectangles, (Q, 2) each: the rectangle and the node of each, (C, 2)."""
    counts = extent.prod(axis=1)
    rectangle = np.repeat(np.arange(len(counts), dtype=np.int64), counts)  # (C,)
    rank = np.arange(len(rectangle), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    inside = np.stack(np.divmod(rank, extent[rectangle, 1]), axis=1)
    return rectangle, first[rectangle] + inside
