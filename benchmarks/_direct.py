"""A direct kernel of swap_align2nat on the CPU, as the operator was published for CUDA.

One output after the other, each as a CUDA thread does it: its indices and coordinates are computed
from its number, its 16 taps are read, and its adjoint adds to the same 16 taps. Arrays have less
than 2^31 elements. This baseline shows what the operator costs without the structure that the
backends use. (A nest of loops, which need not divide to find the indices, takes 0.4 of the time.)
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
    extents = _extents(x.shape), _extents(out.shape[3:])
    _gather(x.reshape(-1), out.reshape(-1), np.int32(lam), *extents, x.dtype.type(pad_value))
    return out


def swap_align2nat_adjoint(g: Array, shape: tuple[int, ...], lam: int) -> Array:
    """Return the adjoint at ``g``, of the input's ``shape`` (N, V, U, H, W)."""
    spread = np.zeros(shape, g.dtype)
    extents = _extents(shape), _extents(g.shape[3:])
    _scatter(g.reshape(-1), spread.reshape(-1), np.int32(lam), *extents)
    return spread


def _extents(shape: tuple[int, ...]) -> tuple[np.int32, ...]:
    """Return extents in the type that the published kernel computes indices in."""
    return tuple(map(np.int32, shape))


def _shape_out(shape: tuple[int, ...], lam: int) -> tuple[int, ...]:
    n, v, u, h, w = shape
    return n, lam * v, lam * u, -(-h // lam), -(-w // lam)


Place = tuple[Any, Any, Any, Any]  # cell and node, and the weights of the cell and node after


@njit(cache=True)
def _place(i: int, r: int, lam: int, cells_out: int, cells_in: int) -> Place:
    """Return between which cells and nodes output (i, r) of one pair of axes lies."""
    v = np.float32(i) - np.float32(0.5) * np.float32(cells_out - 1)
    cell = v / np.float32(lam) + np.float32(0.5) * np.float32(cells_in - 1)
    node = np.float32(lam * r) + v
    low, lower = np.int32(np.floor(cell)), np.int32(np.floor(node))
    return low, lower, cell - np.float32(low), node - np.float32(lower)


@njit(cache=True)
def _output(k: int, lam: int, shape: Any, grid: Any) -> tuple[int, Place, Place]:
    """Return the image of output ``k`` and what it lies between, rows and columns."""
    _, cells_v, cells_u, _, _ = shape
    h, w = grid
    c, k = k % w, k // w
    r, k = k % h, k // h
    j, k = k % (lam * cells_u), k // (lam * cells_u)
    i, n = k % (lam * cells_v), k // (lam * cells_v)
    rows = _place(i, r, lam, lam * cells_v, cells_v)
    return n, rows, _place(j, c, lam, lam * cells_u, cells_u)


@njit(cache=True)
def _tap(n: int, rows: Place, columns: Place, t: int, shape: Any) -> tuple[Any, Any]:
    """Return the offset of tap ``t`` of 16, -1 outside, and its weight."""
    _, cells_v, cells_u, h, w = shape
    dv, dy, du, dx = t & 1, t >> 1 & 1, t >> 2 & 1, t >> 3
    one = np.float32(1)
    weight = (rows[2] if dv else one - rows[2]) * (rows[3] if dy else one - rows[3])
    weight *= (columns[2] if du else one - columns[2]) * (columns[3] if dx else one - columns[3])
    v, y, u, x = rows[0] + dv, rows[1] + dy, columns[0] + du, columns[1] + dx
    inside = 0 <= v < cells_v and 0 <= y < h and 0 <= u < cells_u and 0 <= x < w
    return ((((n * cells_v + v) * cells_u + u) * h + y) * w + x if inside else -1), weight


@njit(cache=True)
def _gather(x: Array, out: Array, lam: int, shape: Any, grid: Any, pad_value: float) -> None:
    for k in range(len(out)):
        n, rows, columns = _output(np.int32(k), lam, shape, grid)
        total = x.dtype.type(0)
        for t in range(16):
            offset, weight = _tap(n, rows, columns, t, shape)
            total += weight * (pad_value if offset < 0 else x[offset])
        out[k] = total


@njit(cache=True)
def _scatter(g: Array, spread: Array, lam: int, shape: Any, grid: Any) -> None:
    for k in range(len(g)):
        n, rows, columns = _output(np.int32(k), lam, shape, grid)
        for t in range(16):
            offset, weight = _tap(n, rows, columns, t, shape)
            if offset >= 0:
                spread[offset] += weight * g[k]
