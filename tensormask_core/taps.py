"""Taps: which samples each output reads and with which weight, as numpy tables.

The map on (v, y) knows nothing of (u, x), so one pair of axes is described at a time
(``axis`` 0: V and H, ``axis`` 1: U and W) and an operator is the Kronecker product of two tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tensormask_core.plan import Plan

Axis = int


@dataclass(frozen=True, slots=True)
class Taps:
    """Two neighbours of each coordinate; a neighbour that is out of range has weight 0.

    Attributes:
        index: (..., 2) int64, clamped into range so that it can always be read.
        weight: (..., 2) float64. The weight missing from 1 belongs to the pad value.
        inside: (...) bool, True where no weight is missing.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float64]
    inside: NDArray[np.bool_]


@lru_cache(maxsize=512)
def cell_taps(plan: Plan, axis: Axis) -> Taps:
    """Return the taps along V (``axis`` 0) or U (1), of shape (V_out, 2)."""
    p, q = plan.cell_map
    extent = plan.window_in[axis]
    numerator = p * _doubled_offsets(plan, axis) + q * (extent - 1)  # over 2 * q
    if plan.mode == "nearest":
        index = (numerator + q) // (2 * q)
        low, fraction = index, np.zeros(index.shape)
    else:
        low, fraction = np.divmod(numerator, 2 * q)
        fraction = fraction / (2 * q)
    if plan.vu_border == "edge":
        low, fraction = _clamp(low, fraction, extent)
    return _freeze(_taps(low, fraction, extent))


def node_taps(plan: Plan, axis: Axis, nodes: NDArray[np.int64]) -> Taps:
    """Return the taps along H (``axis`` 0) or W (1) at output ``nodes`` (K,): (K, V_out, 2)."""
    p, q, d = plan.node_map
    numerator = p * nodes[:, None] + q * _doubled_offsets(plan, axis)  # (K, V_out)
    low, remainder = np.divmod(numerator, d)
    return _taps(low, remainder / d, plan.grid_in[axis])


@lru_cache(maxsize=64)
def grid_taps(plan: Plan, axis: Axis) -> Taps:
    """Return the taps along H (``axis`` 0) or W (1) at all output nodes: (H_out, V_out, 2)."""
    return _freeze(node_taps(plan, axis, np.arange(plan.grid_out[axis])))


def _doubled_offsets(plan: Plan, axis: Axis) -> NDArray[np.int64]:
    extent = plan.window_out[axis]
    return 2 * np.arange(extent) - (extent - 1)


def _taps(low: NDArray[np.int64], fraction: NDArray[np.float64], extent: int) -> Taps:
    index = np.stack([low, low + 1], axis=-1)
    weight = np.stack([1.0 - fraction, fraction], axis=-1)
    in_range = (index >= 0) & (index < extent)
    inside = (in_range | (weight == 0)).all(axis=-1)
    return Taps(np.clip(index, 0, max(extent - 1, 0)), np.where(in_range, weight, 0.0), inside)


def _clamp(
    low: NDArray[np.int64], fraction: NDArray[np.float64], extent: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Move coordinates beyond the outermost cells onto them."""
    outside = (low < 0) | (low >= extent - 1)
    return np.clip(low, 0, max(extent - 1, 0)), np.where(outside, 0.0, fraction)


def _freeze(taps: Taps) -> Taps:
    for table in (taps.index, taps.weight, taps.inside):
        table.setflags(write=False)
    return taps
