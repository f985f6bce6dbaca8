"""The outlines of the generated shapes, as tests on coordinates.

Each function takes coordinates `(p, q)` in which the shape is inscribed in the unit circle, p to
the right and q downwards, as broadcastable float arrays, and returns where the shape is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.floating[Any]]
Where = NDArray[np.bool_]
Silhouette = Callable[[Grid, Grid], Where]

RING_HOLE = 0.55  # radius of the hole: the ring stays 2 px wide in the smallest default shape
CROSS_ARM = 0.33  # half width of an arm


def disc(p: Grid, q: Grid) -> Where:
    """Fill the unit circle."""
    return p * p + q * q <= 1


def ring(p: Grid, q: Grid) -> Where:
    """Fill the unit circle but for a concentric hole."""
    squared = p * p + q * q
    return (squared <= 1) & (squared >= RING_HOLE**2)


def rectangle(p: Grid, q: Grid) -> Where:
    """Fill the square inscribed in the unit circle (an aspect makes it a rectangle)."""
    return np.maximum(np.abs(p), np.abs(q)) <= math.sqrt(0.5)


def cross(p: Grid, q: Grid) -> Where:
    """Fill two equal bars that cross at the centre."""
    a, b = np.abs(p), np.abs(q)
    reach = math.sqrt(1 - CROSS_ARM**2)
    inside: Where = (np.minimum(a, b) <= CROSS_ARM) & (np.maximum(a, b) <= reach)
    return inside


def triangle(p: Grid, q: Grid) -> Where:
    """Fill the equilateral triangle inscribed in the unit circle."""
    return _behind_lines(p, q, lines=3, distance=math.cos(math.pi / 3), crossed=0)


def star(p: Grid, q: Grid) -> Where:
    """Fill the pentagram inscribed in the unit circle: at most one of its five lines is crossed."""
    return _behind_lines(p, q, lines=5, distance=math.cos(2 * math.pi / 5), crossed=1)


SILHOUETTES: dict[str, Silhouette] = {
    "disc": disc,
    "rectangle": rectangle,
    "triangle": triangle,
    "star": star,
    "ring": ring,
    "cross": cross,
}


def _behind_lines(p: Grid, q: Grid, *, lines: int, distance: float, crossed: int) -> Where:
    """Find the points that cross at most so many of the lines that surround the centre evenly."""
    angles = 2 * math.pi * np.arange(lines) / lines
    inner = np.stack([p * math.sin(a) + q * math.cos(a) <= distance for a in angles])
    return np.asarray(np.count_nonzero(inner, axis=0) >= lines - crossed)
