"""Chosen windows and their adjoint, 16 taps per cell: nothing but the windows is touched."""

from __future__ import annotations

import numpy as np
from numba import njit, uintp

from tensormask_numba._blend import INLINE, KERNEL

_OPTIONS = KERNEL | {"_nrt": True}  # they allocate tables, and rows are not short


@njit(**KERNEL)
def first_outside(index, batch):
    """Return the first window of an image that does not exist, or -1."""
    for k in range(len(index)):
        if not 0 <= index[k, 0] < batch:
            return k
    return -1


@njit(**INLINE)
def node_of(i, count, node, node_map):
    """Return the lower node that cell ``i`` of ``count`` reads, and how far beyond it: [0, 1)."""
    p, q, d = node_map
    numerator = p * node + q * (2 * i - (count - 1))
    low = numerator // d
    return low, (numerator - low * d) / d


@njit(**_OPTIONS, forceinline=True)
def _taps(node, node_map, cells, extent, steps, offset, weight, inside):
    """Fill the place (E, 4) and weight of all taps of a window's cells along one pair of axes.

    ``cells`` are the taps between cells: index, weight, inside; ``steps`` the elements from one
    cell and from one node to the next. Taps out of range have weight 0 and a legal place.
    """
    cell_index, cell_weight, cell_inside = cells
    cell_step, node_step = steps
    count = len(cell_inside)
    for i in range(count):
        low, share = node_of(i, count, node, node_map)
        inside[i] = cell_inside[i] and 0 <= low < extent and (share == 0 or low + 1 < extent)
        for b in range(2):
            at = min(max(low + b, 0), extent - 1)
            part = share if b else 1.0 - share
            if at != low + b:
                part = 0.0
            for a in range(2):
                offset[i, 2 * a + b] = cell_index[i, a] * cell_step + at * node_step
                weight[i, 2 * a + b] = cell_weight[i, a] * part


@njit(**_OPTIONS)
def read_windows(x, extents, index, rows, columns, node_map, pad, out, begin, end):
    """Fill the windows ``begin`` to ``end`` of ``out`` (K, V', U') from the flat ``x``."""
    V, U, H, W = extents
    _, V_out, U_out = out.shape
    row, row_weight = np.empty((V_out, 4), np.int64), np.empty((V_out, 4), x.dtype)
    column, column_weight = np.empty((U_out, 4), np.uintp), np.empty((U_out, 4), x.dtype)
    row_inside, column_inside = np.empty(V_out, np.bool_), np.empty(U_out, np.bool_)
    for k in range(begin, end):
        _taps(index[k, 1], node_map, rows, H, (U * H * W, W), row, row_weight, row_inside)
        _taps(index[k, 2], node_map, columns, W, (H * W, 1), column, column_weight, column_inside)
        image = index[k, 0] * V * U * H * W
        for i in range(V_out):
            out[k, i] = 0
            covered = x.dtype.type(0)
            for a in range(4):
                w = row_weight[i, a]
                if w != 0:
                    covered += w
                    base = uintp(image + row[i, a])
                    for j in range(U_out):
                        out[k, i, j] += w * (
                            column_weight[j, 0] * x[base + column[j, 0]]
                            + column_weight[j, 1] * x[base + column[j, 1]]
                            + column_weight[j, 2] * x[base + column[j, 2]]
                            + column_weight[j, 3] * x[base + column[j, 3]]
                        )
            if pad == 0:
                continue
            for j in range(U_out):
                if not (row_inside[i] and column_inside[j]):
                    missing = 1 - covered * (
                        column_weight[j, 0] + column_weight[j, 1]
                        + column_weight[j, 2] + column_weight[j, 3]
                    )  # fmt: skip
                    out[k, i, j] += missing * pad


@njit(**_OPTIONS)
def add_windows(g, extents, index, starts, rows, columns, node_map, out, begin, end):
    """Add ``g`` (K, V', U') to the samples of the flat ``out`` that it was read from.

    Windows are sorted by image, those of image n begin at ``starts[n]``. Tasks are the input cells
    v of each image: each is one thread's, which adds the windows in their order.
    """
    V, U, H, W = extents
    _, V_out, U_out = g.shape
    row, row_weight = np.empty((V_out, 4), np.int64), np.empty((V_out, 4), g.dtype)
    column, column_weight = np.empty((U_out, 4), np.uintp), np.empty((U_out, 4), g.dtype)
    row_inside, column_inside = np.empty(V_out, np.bool_), np.empty(U_out, np.bool_)
    cell_index = rows[0]
    for task in range(begin, end):
        n, v = divmod(task, V)
        image = n * V * U * H * W
        for k in range(starts[n], starts[n + 1]):
            _taps(index[k, 1], node_map, rows, H, (U * H * W, W), row, row_weight, row_inside)
            _taps(
                index[k, 2], node_map, columns, W, (H * W, 1), column, column_weight, column_inside
            )
            for i in range(V_out):
                for a in range(4):
                    w = row_weight[i, a]
                    if w == 0 or cell_index[i, a // 2] != v:
                        continue
                    base = uintp(image + row[i, a])
                    for j in range(U_out):
                        value = w * g[k, i, j]
                        for b in range(4):
                            if column_weight[j, b] != 0:
                                out[base + column[j, b]] += column_weight[j, b] * value
