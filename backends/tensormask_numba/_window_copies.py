"""Chosen windows and their adjoint where every cell of a window is one sample of the input.

So it is with cells of InstanceFCN's assembly, and where the units stay and the window is odd.
From the window's own node all its samples are equally far away wherever it is: a table of one
window serves all of them, and nothing is blended.
"""

from __future__ import annotations

from numba import njit, uintp

from tensormask_numba._blend import INLINE, KERNEL, fill
from tensormask_numba._registers import prefetch

_AHEAD = 2  # windows: what lies between rows of theirs that are read together is skipped


@njit(**INLINE)
def _within(start, node, extent, begin, end):
    """Return which of the cells from ``begin`` to ``end`` read inside; their nodes are in order."""
    while begin < end and not 0 <= start + node[begin] < extent:
        begin += 1
    while begin < end and not 0 <= start + node[end - 1] < extent:
        end -= 1
    return begin, end


@njit(**INLINE)
def _gather(out, to, x, base, offset, begin, end):
    """Write the samples of the cells from ``begin`` to ``end`` of a window."""
    to, base = uintp(to), uintp(base)
    for cell in range(uintp(begin), uintp(end)):
        out[to + cell] = x[base + offset[cell]]


@njit(**INLINE)
def _scatter(out, base, offset, g, at, begin, end):
    """Add the cells from ``begin`` to ``end`` of a window to their samples."""
    at, base = uintp(at), uintp(base)
    for cell in range(uintp(begin), uintp(end)):
        out[base + offset[cell]] += g[at + cell]


@njit(**INLINE)
def _fetch(x, base, ends):
    """Fetch what a window reads: no two rows or cells of it share a cache line."""
    base, one = uintp(base), uintp(1)
    for end in range(uintp(len(ends))):
        prefetch(x, base + ends[end], base + ends[end] + one)


@njit(**KERNEL)
def copy_windows(x, out, extents, index, tables, pad, begin, end):
    """Fill the windows ``begin`` to ``end`` of the flat ``out`` (K, V', U') from the flat ``x``."""
    V, U, H, W = extents
    stride, rows, columns, cells, readers, offset, ends = tables
    U_out, size = len(columns), len(offset)
    for k in range(begin, end):
        ahead = min(k + 1, end - 1)
        node = stride * (index[ahead, 1] * W + index[ahead, 2])
        _fetch(x, index[ahead, 0] * V * U * H * W + node, ends)
        y, left, to = stride * index[k, 1], stride * index[k, 2], k * size
        base = index[k, 0] * V * U * H * W + y * W + left
        first, last = _within(y, rows, H, readers[0], readers[V])
        a, b = _within(left, columns, W, cells[0], cells[1])
        first, last = first * U_out, last * U_out
        fill(out, to, to + first, pad)
        if b - a == U_out:  # rows that follow each other are copied as one
            _gather(out, to, x, base, offset, first, last)
        else:
            for row in range(first, last, U_out):
                fill(out, to + row, to + row + a, pad)
                _gather(out, to, x, base, offset, row + a, row + b)
                fill(out, to + row + b, to + row + U_out, pad)
        fill(out, to + last, to + size, pad)


@njit(**KERNEL)
def add_copies(g, out, extents, index, starts, tables, begin, end):
    """Add the flat ``g`` (K, V', U') to the samples of the flat ``out`` that it was copied from.

    Windows are sorted by image, those of image n begin at ``starts[n]``. Tasks are the input cells
    v of each image: each is one thread's, which adds the windows in their order. All tasks of an
    image are done in one go over its windows.
    """
    V, U, H, W = extents
    stride, rows, columns, cells, readers, offset, _ = tables
    U_out, size = len(columns), len(offset)
    for n in range(begin // V, -(-end // V)):
        low, high = readers[max(begin - n * V, 0)], readers[min(end - n * V, V)]
        for k in range(starts[n], starts[n + 1]):
            y, left, at = stride * index[k, 1], stride * index[k, 2], k * size
            base = n * V * U * H * W + y * W + left
            first, last = _within(y, rows, H, low, high)
            a, b = _within(left, columns, W, cells[0], cells[1])
            first, last = first * U_out, last * U_out
            ahead = at + _AHEAD * size
            prefetch(g, uintp(ahead + first), uintp(ahead + last))
            if b - a == U_out:
                _scatter(out, base, offset, g, at, first, last)
            else:
                for row in range(first, last, U_out):
                    _scatter(out, base, offset, g, at, row + a, row + b)
