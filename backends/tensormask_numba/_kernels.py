"""Two kernels, parallel and without atomics: read some windows, and add some windows back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True, inline="always")
def node_taps(node, map_, cells, extent, low, high_weight, low_weight):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, PLR0913  (numba types it)
    """Fill the two spatial neighbours of each cell of a window at ``node`` and their weights."""
    p, q, d = map_
    for i in range(cells):
        numerator = p * node + q * (2 * i - (cells - 1))
        below = numerator // d
        fraction = (numerator - below * d) / d
        low[i] = below
        low_weight[i] = (1.0 - fraction) if 0 <= below < extent else 0.0
        high_weight[i] = fraction if 0 <= below + 1 < extent else 0.0


@njit(cache=True, nogil=True, parallel=True, fastmath={"contract"})
def read_windows(x, index, rows, columns, maps, pad_value, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913  (numba types it)
    """Fill ``out`` (K, V', U') from ``x`` (N, V, U, H, W); a window is one thread's work.

    ``rows`` and ``columns`` are (index, weight) tables (V', 2) and (U', 2) of the cells' taps.
    """
    v_index, v_weight = rows
    u_index, u_weight = columns
    windows, v_cells, u_cells = out.shape
    height, width = x.shape[3], x.shape[4]
    for k in prange(windows):
        y_low, x_low = np.empty(v_cells, np.int64), np.empty(u_cells, np.int64)
        y_weight, x_weight = np.empty((2, v_cells)), np.empty((2, u_cells))
        node_taps(index[k, 1], maps, v_cells, height, y_low, y_weight[1], y_weight[0])
        node_taps(index[k, 2], maps, u_cells, width, x_low, x_weight[1], x_weight[0])
        image = x[index[k, 0]]
        for i in range(v_cells):
            for j in range(u_cells):
                total, covered = 0.0, 0.0
                for a in range(4):
                    down = v_weight[i, a & 1] * y_weight[a >> 1, i]
                    if down == 0.0:
                        continue
                    v, y = v_index[i, a & 1], y_low[i] + (a >> 1)
                    for b in range(4):
                        weight = down * u_weight[j, b & 1] * x_weight[b >> 1, j]
                        if weight != 0.0:
                            covered += weight
                            total += weight * image[v, u_index[j, b & 1], y, x_low[j] + (b >> 1)]
                # Weights of inner cells add up to 1 but for rounding: an infinite pad stays out.
                if covered < 1.0 - 1e-9:
                    total += (1.0 - covered) * pad_value
                out[k, i, j] = total


@njit(cache=True, nogil=True, parallel=True, fastmath={"contract"})
def add_windows(g, index, order, starts, rows, columns, maps, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, PLR0913  (numba types it)
    """Add ``g`` (K, V', U') to the samples of ``out`` (N, V, U, H, W) that it was read from.

    ``order`` lists the windows of image n from ``starts[n]`` on. An image is one thread's work,
    so that sums are the same from run to run.
    """
    v_index, v_weight = rows
    u_index, u_weight = columns
    _, v_cells, u_cells = g.shape
    height, width = out.shape[3], out.shape[4]
    for n in prange(out.shape[0]):
        y_low, x_low = np.empty(v_cells, np.int64), np.empty(u_cells, np.int64)
        y_weight, x_weight = np.empty((2, v_cells)), np.empty((2, u_cells))
        image = out[n]
        for place in range(starts[n], starts[n + 1]):
            k = order[place]
            node_taps(index[k, 1], maps, v_cells, height, y_low, y_weight[1], y_weight[0])
            node_taps(index[k, 2], maps, u_cells, width, x_low, x_weight[1], x_weight[0])
            for i in range(v_cells):
                for a in range(4):
                    down = v_weight[i, a & 1] * y_weight[a >> 1, i]
                    if down == 0.0:
                        continue
                    v, y = v_index[i, a & 1], y_low[i] + (a >> 1)
                    for j in range(u_cells):
                        value = down * g[k, i, j]
                        for b in range(4):
                            weight = u_weight[j, b & 1] * x_weight[b >> 1, j]
                            if weight != 0.0:
                                image[v, u_index[j, b & 1], y, x_low[j] + (b >> 1)] += (
                                    weight * value
                                )
