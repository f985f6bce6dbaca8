"""Proposals without a network: windows on a regular grid at several scales, to be compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tensormask_core.masks import windows_to_rle
from tensormask_zoo.evaluation import ImageResult
from tensormask_zoo.proposals.truth import Floats, boxes_of

OCTAVES = 5
CELLS = 64  # of the picture that stands for an ellipse, per side
SHAPES = ("box", "ellipse")


def sliding_windows(
    image_size: Sequence[int],
    n: int,
    *,
    sides_px: Sequence[float] | None = None,
    shape: str = "box",
) -> ImageResult:
    """Return at most ``n`` square windows, spread over scales and places.

    The windows of a scale are apart by a share of their side, the least one that gives at most
    ``n`` windows. The largest come first; what 100 windows reach is told by asking for 100, not
    by the first 100 of 1000.

    Args:
        image_size: (H, W) px.
        n: at least 1.
        sides_px: of the windows, such as quantiles of the objects of a data set; by default the
            short side of the image and its halves, to 1/16.
        shape: the mask is the window (``"box"``) or the ellipse in it (``"ellipse"``).

    Returns:
        Proposals with scores from 1 falling to above 0, label 1.

    Raises:
        ValueError: ``n`` or a side is below 1, or there is no such shape.

    Example:
        >>> found = sliding_windows((96, 128), 100)
        >>> len(found.rles), found.boxes[0].tolist()
        (98, [16.0, 0.0, 112.0, 96.0])
    """
    height, width = image_size
    default = [max(1.0, min(height, width) / 2**octave) for octave in range(OCTAVES)]
    sides = np.sort(default if sides_px is None else np.asarray(sides_px, float))[::-1]
    if n < 1 or not sides.size or sides[-1] < 1 or shape not in SHAPES:
        raise ValueError(
            f"expected n >= 1, sides of at least 1 px and a shape of {SHAPES}, "
            f"got {n}, {sides.tolist()} and {shape!r}"
        )
    windows = _windows((height, width), sides, _step(height, width, sides, n))[:n]
    pictures = np.broadcast_to(_picture(shape), (len(windows), CELLS, CELLS))
    rles = windows_to_rle(pictures, windows, (height, width))
    scores = 1 - np.arange(len(windows)) / len(windows)
    return ImageResult(boxes_of(rles), np.ones(len(windows), np.int64), scores, rles)


def _step(height: int, width: int, sides: Floats, n: int) -> float:
    """Return the least share of a side, by halving, that leaves at most ``n`` windows."""
    low, high = 1 / sides[0], max(height, width) / sides[-1]  # steps of a pixel; one per scale
    for _ in range(40):
        middle = (low + high) / 2
        count = sum(_places(height, s, middle) * _places(width, s, middle) for s in sides)
        low, high = (low, middle) if count <= n else (middle, high)
    return float(high)


def _places(length: int, side: float, step: float) -> int:
    return max(1, int((length - side) / (step * side)) + 1)


def _windows(image_size: tuple[int, int], sides: Floats, step: float) -> Floats:
    """Return (K, 4) XYXY px, evenly spread from edge to edge; sides that do not fit, centred."""
    windows = []
    for side in sides:
        corners = []
        for length in image_size:
            places = _places(length, side, step)
            alone = places == 1
            corners.append(
                np.array([(length - side) / 2]) if alone else np.linspace(0, length - side, places)
            )
        y0, x0 = (grid.ravel() for grid in np.meshgrid(*corners, indexing="ij"))
        windows.append(np.stack([x0, y0, x0 + side, y0 + side], axis=1))
    return np.concatenate(windows)


def _picture(shape: str) -> Floats:
    """Return the mask of a window, (CELLS, CELLS)."""
    if shape == "box":
        return np.ones((CELLS, CELLS))
    centre = (2 * np.arange(CELLS) + 1) / CELLS - 1
    return (np.hypot(centre[:, None], centre) <= 1).astype(np.float64)
