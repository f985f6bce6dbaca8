"""Chosen windows and their adjoint where neighbouring cells read neighbouring nodes.

A row of a window is blended, contiguously, from up to four rows of each input cell u: the stretch
of nodes that the output cells around it read. From these stretches the output cells are blended,
run by run.
"""

from __future__ import annotations

from numba import njit, uintp

from tensormask_numba._blend import INLINE, KERNEL, LINE, blend, fill
from tensormask_numba._prefetch import prefetch, prefetch_for_writing
from tensormask_numba._windows import node_of


@njit(**INLINE)
def _row_taps(i, node, node_map, cells, extents, image, offset, weight, at):
    """Fill, from ``at`` on, the places and weights of what row ``i`` of a window at ``node`` reads.

    Returns how many there are and the weight that they lack, exactly 0 where all are inside.
    """
    _, U, H, W = extents
    index, cell_weight, inside = cells
    low, share = node_of(i, len(inside), node, node_map)
    count, covered = 0, 0.0
    for a in range(2):
        for b in range(2):
            w = cell_weight[i, a] * (share if b else 1.0 - share)
            if w > 0 and 0 <= low + b < H:
                offset[at + count] = image + (index[i, a] * U * H + low + b) * W
                weight[at + count] = w
                covered += w
                count += 1
    whole = inside[i] and 0 <= low < H and (share == 0 or low + 1 < H)
    return count, 0.0 if whole else 1.0 - covered


@njit(**INLINE)
def _within(first, length, extent):
    """Return the part of a stretch of nodes from ``first`` on that lies in the input."""
    begin = min(max(-first, 0), length)
    return begin, max(min(extent - first, length), begin)


@njit(**KERNEL)
def read_runs(x, out, extents, index, rows, columns, buffers, pad, begin, end):
    """Fill the windows ``begin`` to ``end`` of the flat ``out`` (K, V', U') from the flat ``x``."""
    V, U, H, W = extents
    cells, node_map, stride = rows
    first_u, node, share, place, low_weight, high_weight, stretch, length = columns
    stretches, offset, row_weight = buffers
    U_out, V_out, one = len(low_weight), len(cells[2]), uintp(1)
    for k in range(begin, end):
        start = stride * index[k, 2]
        node_y, image = index[k, 1], index[k, 0] * V * U * H * W
        count, missing = _row_taps(
            0, node_y, node_map, cells, extents, image, offset, row_weight, 0
        )
        for i in range(V_out):
            taps, taps_ahead = (i & 1) * 4, 4 - (i & 1) * 4
            constant = row_weight.dtype.type(missing) * pad
            end = taps + count
            if i + 1 < V_out:
                count, missing = _row_taps(
                    i + 1, node_y, node_map, cells, extents, image, offset, row_weight, taps_ahead
                )
            for u in range(U):
                first, at = start + stretch[u], u * length
                a, b = _within(first, length, W)
                if length > LINE:  # worth it: of four rows of the next one, two are read now
                    for e in range(taps_ahead + (count == 4), taps_ahead + count, 1 + (count == 4)):
                        ahead = offset[e] + u * H * W + first
                        prefetch(x, ahead + a, ahead + b)
                fill(stretches, at, at + a, pad)
                fill(stretches, at + b, at + length, pad)
                blend(
                    stretches, uintp(at + a), uintp(b - a), x, offset, u * H * W + first + a,
                    row_weight, taps, end, constant,
                )  # fmt: skip
            for r in range(len(node)):
                u, s0, s1 = uintp(first_u[r]), share[r, 0], share[r, 1]
                to = uintp((k * V_out + i) * U_out) + u
                low, high = uintp(place[r, 0]), uintp(place[r, 1])
                for t in range(uintp(first_u[r + 1] - first_u[r])):
                    out[to + t] = low_weight[u + t] * (
                        s0 * stretches[low + t] + s1 * stretches[low + one + t]
                    ) + high_weight[u + t] * (
                        s0 * stretches[high + t] + s1 * stretches[high + one + t]
                    )


@njit(**INLINE)
def _spread_runs(stretches, g, at, columns):
    """Add a row of a window to the stretches that it was read from."""
    first_u, node, share, place, low_weight, high_weight, _, _ = columns
    one = uintp(1)
    for r in range(len(node)):
        u, s0, s1 = uintp(first_u[r]), share[r, 0], share[r, 1]
        low, high = uintp(place[r, 0]), uintp(place[r, 1])
        for t in range(uintp(first_u[r + 1] - first_u[r])):
            value = g[uintp(at) + u + t]
            below, above = low_weight[u + t] * value, high_weight[u + t] * value
            stretches[low + t] += s0 * below
            stretches[low + one + t] += s1 * below
            stretches[high + t] += s0 * above
            stretches[high + one + t] += s1 * above


@njit(**KERNEL)
def add_runs(g, out, extents, index, starts, rows, columns, buffers, readers, begin, end):
    """Add the flat ``g`` (K, V', U') to the samples of the flat ``out`` that it was read from.

    Windows are sorted by image, those of image n begin at ``starts[n]``. Tasks are the input cells
    v of each image: each is one thread's, which adds the windows in their order. ``readers`` are
    the first and the last + 1 of the rows that read a cell v.
    """
    V, U, H, W = extents
    cells, node_map, stride = rows
    stretch, length = columns[6], columns[7]
    stretches, offset, row_weight = buffers
    U_out, V_out, plane = len(columns[4]), len(cells[2]), U * H * W
    for task in range(begin, end):
        n, v = divmod(task, V)
        for k in range(starts[n], starts[n + 1]):
            start = stride * index[k, 2]
            for i in range(readers[v, 0], readers[v, 1]):
                count, _ = _row_taps(
                    i, index[k, 1], node_map, cells, extents, n * V * plane, offset, row_weight, 0
                )
                if not count:
                    continue
                fill(stretches, 0, len(stretches), row_weight.dtype.type(0))
                _spread_runs(stretches, g, (k * V_out + i) * U_out, columns)
                for e in range(count):
                    if not (n * V + v) * plane <= offset[e] < (n * V + v + 1) * plane:
                        continue
                    for u in range(U):
                        first = start + stretch[u]
                        a, b = _within(first, length, W)
                        to = uintp(offset[e] + u * H * W + first + a)
                        at = uintp(u * length + a)
                        if length > LINE:  # the next row of the window is added one node below
                            prefetch_for_writing(out, to + uintp(W), to + uintp(W + b - a))
                        for t in range(uintp(b - a)):
                            out[to + t] += row_weight[e] * stretches[at + t]
