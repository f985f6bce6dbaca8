"""Chosen windows and their adjoint where every cell of a window is one sample of the input.

So it is with cells of InstanceFCN's assembly, and where the units stay and the window is odd.
From the window's own node all its samples are equally far away wherever it is: a table of one
window serves all of them, and nothing is blended.
"""

from __future__ import annotations

from numba import njit, uintp

from tensormask_numba._blend import INLINE, KERNEL, fill
from tensormask_numba._lanes import ADD, COPY
from tensormask_numba._prefetch import prefetch, prefetch_for_writing

_READ_OFTEN = 2  # times that all samples were read, after which the cache has what it can hold


def _by_rows(move):
    """Return what moves a few columns of each row, and fetches samples ``ahead`` of theirs."""

    @njit(**INLINE)
    def move_rows(x, at, ahead, window, to, down, pitch, rows):
        one = uintp(1)
        for row in range(uintp(rows[0]), uintp(rows[1])):
            sample = at + uintp(down[row])
            move(x, sample, window, to + row * pitch)
            if ahead:
                prefetch(x, sample + ahead, sample + ahead + one)

    return move_rows


def _by_runs(lanes):
    """Return what moves ``rows`` and ``columns`` of a window, a few neighbours at a time."""
    eight, four, two, one = map(_by_rows, lanes)

    @njit(**INLINE)
    def move_runs(x, base, ahead, window, to, tables, rows, columns):
        down, pitch, ahead = tables.down, uintp(len(tables.across)), uintp(ahead)
        for run in range(len(tables.runs) - 1):
            u, end = max(tables.runs[run], columns[0]), min(tables.runs[run + 1], columns[1])
            if u >= end:
                continue
            at, place, count = uintp(base + tables.across[u]), uintp(to + u), uintp(end - u)
            for _ in range(count >> uintp(3)):
                eight(x, at, ahead, window, place, down, pitch, rows)
                at, place = at + uintp(8), place + uintp(8)
            if count & uintp(4):
                four(x, at, ahead, window, place, down, pitch, rows)
                at, place = at + uintp(4), place + uintp(4)
            if count & uintp(2):
                two(x, at, ahead, window, place, down, pitch, rows)
                at, place = at + uintp(2), place + uintp(2)
            if count & uintp(1):
                one(x, at, ahead, window, place, down, pitch, rows)

    return move_runs


_copy, _add = _by_runs(COPY), _by_runs(ADD)


@njit(**INLINE)
def _within(start, node, extent, begin, end):
    """Return which of the cells from ``begin`` to ``end`` read inside; their nodes are in order."""
    while begin < end and not 0 <= start + node[begin] < extent:
        begin += 1
    while begin < end and not 0 <= start + node[end - 1] < extent:
        end -= 1
    return begin, end


@njit(**INLINE)
def _sample(index, k, tables):
    """Return the sample of window k's node in cell (0, 0), and the node."""
    V, U, H, W = tables.extents
    y, x = tables.stride * index[k, 1], tables.stride * index[k, 2]
    return index[k, 0] * V * U * H * W + y * W + x, y, x


@njit(**KERNEL)
def copy_windows(x, out, index, tables, pad, begin, end):
    """Fill the windows ``begin`` to ``end`` of the flat ``out`` (K, V', U') from the flat ``x``."""
    V, _, H, W = tables.extents
    size = len(tables.rows) * len(tables.columns)
    warm = begin + _READ_OFTEN * len(x) // size
    for k in range(begin, end):
        base, y, left = _sample(index, k, tables)
        to, following = k * size, min(k + 1, end - 1)
        ahead = _sample(index, following, tables)[0] - base if k < warm else 0
        prefetch_for_writing(out, uintp(following * size), uintp((following + 1) * size))
        rows = _within(y, tables.rows, H, tables.readers[0], tables.readers[V])
        columns = _within(left, tables.columns, W, tables.inside[0], tables.inside[1])
        if (rows[1] - rows[0]) * (columns[1] - columns[0]) < size:
            fill(out, to, to + size, pad)
        _copy(x, base, ahead, out, to, tables, rows, columns)


@njit(**KERNEL)
def add_copies(g, out, index, tables, begin, end):
    """Add the flat ``g`` (K, V', U') to the samples of the flat ``out`` that it was copied from.

    Tasks are the input cells v of each image: each is one thread's, which adds the windows in
    their order.
    """
    V, _, H, W = tables.extents
    size = len(tables.rows) * len(tables.columns)
    for k in range(len(index)):
        low, high = max(begin - index[k, 0] * V, 0), min(end - index[k, 0] * V, V)
        if low >= high:
            continue
        base, y, left = _sample(index, k, tables)
        following = min(k + 1, len(index) - 1) * size
        prefetch(g, uintp(following), uintp(following + size))
        rows = _within(y, tables.rows, H, tables.readers[low], tables.readers[high])
        columns = _within(left, tables.columns, W, tables.inside[0], tables.inside[1])
        _add(out, base, 0, g, k * size, tables, rows, columns)
