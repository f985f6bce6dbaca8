"""A direct kernel of swap_align2nat on the CPU, as the operator was published for CUDA.

One output at a time: its coordinates are computed on the spot, its 16 taps are read, and its
adjoint adds to the same 16 taps. This baseline shows what the operator costs without the
structure that the backends use.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


def swap_align2nat(x: Array, lam: int, pad_value: float) -> Array:
    """Return swap_align2nat of ``x`` (N, V, U, H, W)."""
    out = np.empty(_shape_out(x.shape, lam), x.dtype)
    _gather(x, out, lam, x.dtype.type(pad_value))
    return out


def swap_align2nat_adjoint(g: Array, shape: tuple[int, ...], lam: int) -> Array:
    """Return the adjoint at ``g``, of the input's ``shape`` (N, V, U, H, W)."""
    spread = np.zeros(shape, g.dtype)
    _scatter(g, spread, lam)
    return spread


def _shape_out(shape: tuple[int, ...], lam: int) -> tuple[int, ...]:
    n, v, u, h, w = shape
    return n, lam * v, lam * u, -(-h // lam), -(-w // lam)


Tap = tuple[int, float]  # index along an axis, weight


@njit(cache=True)
def _taps(
    i: int, r: int, lam: int, cells_out: int, cells_in: int
) -> tuple[tuple[Tap, Tap], tuple[Tap, Tap]]:
    """Return the two cells and the two nodes that output (i, r) of one pair of axes reads."""
    v = i - (cells_out - 1) / 2
    cell, node = v / lam + (cells_in - 1) / 2, lam * r + v
    low, lower = int(np.floor(cell)), int(np.floor(node))
    p, q = cell - low, node - lower
    return ((low, 1 - p), (low + 1, p)), ((lower, 1 - q), (lower + 1, q))


@njit(cache=True)
def _gather(x: Array, out: Array, lam: int, pad_value: float) -> None:
    _, cells_v, cells_u, h, w = x.shape
    for n, i, j, r, c in np.ndindex(out.shape):
        cells, rows = _taps(i, r, lam, out.shape[1], cells_v)
        across, columns = _taps(j, c, lam, out.shape[2], cells_u)
        total = 0.0
        for v, weight_v in cells:
            for y, weight_y in rows:
                for u, weight_u in across:
                    for q, weight_q in columns:
                        inside = 0 <= v < cells_v and 0 <= y < h and 0 <= u < cells_u and 0 <= q < w
                        value = x[n, v, u, y, q] if inside else pad_value
                        total += weight_v * weight_y * weight_u * weight_q * value
        out[n, i, j, r, c] = total


@njit(cache=True)
def _scatter(g: Array, spread: Array, lam: int) -> None:
    _, cells_v, cells_u, h, w = spread.shape
    for n, i, j, r, c in np.ndindex(g.shape):
        cells, rows = _taps(i, r, lam, g.shape[1], cells_v)
        across, columns = _taps(j, c, lam, g.shape[2], cells_u)
        for v, weight_v in cells:
            for y, weight_y in rows:
                for u, weight_u in across:
                    for q, weight_q in columns:
                        if 0 <= v < cells_v and 0 <= y < h and 0 <= u < cells_u and 0 <= q < w:
                            weight = weight_v * weight_y * weight_u * weight_q
                            spread[n, v, u, y, q] += weight * g[n, i, j, r, c]
