"""The dense transform as ranges of independent tasks: three kernels for three kinds of columns.

A task owns a run of output cells v and a chunk of nodes y. It blends rows (v, y), which lie
contiguously along x, of one input cell u after the other and keeps those of the last two:
``planes[u % 2][v][y]``. From these the output cells u between the two are blended.

So the intermediates are two planes of about the input's size, which stay in the cache, each output
is written once, and its value does not depend on the number of threads.
"""

from __future__ import annotations

from numba import njit, uintp

from tensormask_numba._blend import INLINE, KERNEL, LINE, blend, blend_shifted, fill
from tensormask_numba._registers import prefetch, prefetch_for_writing, transpose


@njit(**INLINE)
def row_pitch(width):
    """Return the samples from one row of a plane to the next: its nodes, with margins."""
    return (width // LINE + 2) * LINE


@njit(**INLINE)
def _blend_rows(x, extents, n, cells, rows, task, planes, plane, pitch, margin):
    """Blend the rows of a task that read the input cells u from the first to before the last."""
    V, U, H, W, H_out = extents
    (start, offset, weight, constant), run, _, reach = rows
    k, first, last, chunk = task
    for u in range(cells[0], cells[1]):
        lift = (n * V * U + u) * H * W
        for y in range(first, last):
            for v in range(run[k], run[k + 1]):
                if reach[v, 0] <= y < reach[v, 1]:
                    pair = v * H_out + y
                    to = (u & 1) * plane + ((v - run[k]) * chunk + y - first) * pitch + margin
                    blend(
                        planes, uintp(to), uintp(W), x, offset, lift, weight, start[pair],
                        start[pair + 1], constant[pair],
                    )  # fmt: skip


@njit(**INLINE)
def _pad_outside(out, to, plane, cells, inside, read, first, last, pad):
    """Fill the planes of the cells u that read nothing, or of all of them."""
    for u in range(cells):
        if not (read and inside[0] <= u < inside[1]):
            fill(out, to + u * plane + first, to + u * plane + last, pad)


@njit(**KERNEL)
def transform_shifted(
    x, out, extents_in, extents_out, chunk, pad, rows, columns, planes, begin, end
):
    """Do tasks of plans with stride 1, where an output row is a sum of shifted rows."""
    V, U, H, W = extents_in
    V_out, U_out, H_out, W_out = extents_out
    _, run, _, reach = rows
    start, offset, shift, weight, constant, span, cells, inside = columns
    runs, chunks, plane = len(run) - 1, -(-H_out // chunk), len(planes) // 2
    for number in range(begin, end):
        n, rest = divmod(number, runs * chunks)
        part, k = divmod(rest, runs)
        first, last = part * chunk, min(part * chunk + chunk, H_out)
        extents, task = (V, U, H, W, H_out), (k, first, last, chunk)
        for v in range(run[k], run[k + 1]):
            to = (n * V_out + v) * U_out * H_out * W_out
            read = reach[v, 0] < last and reach[v, 1] > first
            _pad_outside(
                out, to, H_out * W_out, U_out, inside, read, first * W_out, last * W_out, pad
            )
        ready = 0
        for u in range(inside[0], inside[1]):
            new = (max(ready, cells[u, 0]), cells[u, 1])
            _blend_rows(x, extents, n, new, rows, task, planes, plane, W_out, 0)
            ready = max(ready, new[1])
            for v in range(run[k], run[k + 1]):
                y_first, y_last = max(reach[v, 0], first), min(reach[v, 1], last)
                if y_first >= y_last:
                    continue
                to = ((n * V_out + v) * U_out + u) * H_out * W_out
                fill(out, to + first * W_out, to + y_first * W_out, pad)
                fill(out, to + y_last * W_out, to + last * W_out, pad)
                blend_shifted(
                    out, to + y_first * W_out, y_last - y_first, W_out, planes, offset,
                    ((v - run[k]) * chunk + y_first - first) * W_out, shift, weight, start[u],
                    start[u + 1], constant[u], pad,
                    (span[u, 0], span[u, 1], span[u, 2], span[u, 3]),
                )  # fmt: skip


@njit(**INLINE)
def _blend_nodes(target, to, total, source, low, high, weight, at, bounds, share, pad):
    """Write what a run's cells read at each t, from the rows ``low`` and ``high`` of its cells."""
    lo, hi = bounds
    fill(target, to, to + lo, pad)
    fill(target, to + hi, to + total, pad)
    one = uintp(1)
    t0, w0, w1 = uintp(to + lo), uintp(at + lo), uintp(at + total + 2 + lo)
    a, b = uintp(low + lo), uintp(high + lo)
    s0, s1 = share
    if s1 == 0:
        for t in range(uintp(hi - lo)):
            target[t0 + t] = weight[w0 + t] * source[a + t] + weight[w1 + t] * source[b + t]
    else:
        for t in range(uintp(hi - lo)):
            target[t0 + t] = weight[w0 + t] * (
                s0 * source[a + t] + s1 * source[a + one + t]
            ) + weight[w1 + t] * (s0 * source[b + t] + s1 * source[b + one + t])


@njit(**INLINE)
def _fetch_rows(x, lift, width, offset, begin, end):
    """Fetch rows that will be blended. Every other one: their neighbours are fetched for others."""
    for e in range(begin, end, 2):
        prefetch(x, lift + offset[e], lift + offset[e] + width)


@njit(**INLINE)
def _begin_cells(out, to, count, step, edges, pad):
    """Pad ``count`` cells' nodes but for those from y_first to y_last, and fetch these."""
    first, y_first, y_last, last = edges
    for at in range(to, to + count * step, step):
        fill(out, at + first, at + y_first, pad)
        prefetch_for_writing(out, at + y_first, at + y_last)
        fill(out, at + y_last, at + last, pad)


@njit(**KERNEL)
def transform_runs(x, out, extents_in, extents_out, chunk, pad, rows, columns, buffers, begin, end):
    """Do tasks of plans whose cells read consecutive nodes, each with a stride.

    All nodes that a run's cells read are consecutive: they are blended as one row, (W_out, s),
    whose transpose are rows of the output.
    """
    V, U, H, W = extents_in
    V_out, U_out, H_out, W_out = extents_out
    (row_start, row_offset, _, _), run, _, reach = rows
    first_u, cell, node, share, weight, bounds, inside = columns
    planes, row = buffers
    pitch, total = row_pitch(W), len(row) // chunk
    runs, chunks = len(run) - 1, -(-H_out // chunk)
    plane = (len(planes) - pitch) // 2
    stride = total // W_out
    step = H_out * W_out
    for number in range(begin, end):
        n, rest = divmod(number, runs * chunks)
        part, k = divmod(rest, runs)
        first, last = part * chunk, min(part * chunk + chunk, H_out)
        extents, task = (V, U, H, W, H_out), (k, first, last, chunk)
        for v in range(run[k], run[k + 1]):
            to = (n * V_out + v) * U_out * step
            read = reach[v, 0] < last and reach[v, 1] > first
            _pad_outside(out, to, step, U_out, inside, read, first * W_out, last * W_out, pad)
        ready = 0
        for r in range(len(node)):
            u, length = first_u[r], first_u[r + 1] - first_u[r]
            if not inside[0] <= u < inside[1]:
                continue
            needed = cell[r, 0] + 1 if cell[r, 1] == U else cell[r, 1] + 1
            _blend_rows(x, extents, n, (ready, needed), rows, task, planes, plane, pitch, LINE)
            ready = max(ready, needed)
            low, high = (cell[r, 0] & 1) * plane, (cell[r, 1] & 1) * plane
            for v in range(run[k], run[k + 1]):
                y_first, y_last = max(reach[v, 0], first), min(reach[v, 1], last)
                if y_first >= y_last:
                    continue
                to = ((n * V_out + v) * U_out + u) * step
                edges = (first * W_out, y_first * W_out, y_last * W_out, last * W_out)
                _begin_cells(out, to, length, step, edges, pad)
                for y in range(y_first, y_last):
                    if ready < U:  # of the input cell that comes next
                        lift, pair = (n * V * U + ready) * H * W, v * H_out + y
                        _fetch_rows(x, lift, W, row_offset, row_start[pair], row_start[pair + 1])
                    at = ((v - run[k]) * chunk + y - first) * pitch + node[r] + LINE
                    _blend_nodes(
                        row, (y - y_first) * total, total, planes,
                        2 * plane + node[r] + LINE if cell[r, 0] == U else low + at,
                        2 * plane + node[r] + LINE if cell[r, 1] == U else high + at,
                        weight, 2 * r * (total + 2) + 1, (bounds[r, 0], bounds[r, 1]),
                        (share[r, 0], share[r, 1]), pad,
                    )  # fmt: skip
                transpose(
                    row, uintp(0), uintp(stride), out, uintp(to + y_first * W_out), uintp(step),
                    uintp(length), uintp((y_last - y_first) * W_out),
                )  # fmt: skip


@njit(**KERNEL)
def transform_pairs(x, out, extents_in, extents_out, chunk, pad, rows, columns, planes, begin, end):
    """Do tasks of any plan, one output sample at a time."""
    V, U, H, W = extents_in
    V_out, U_out, H_out, W_out = extents_out
    _, run, _, reach = rows
    start, offset, weight, constant, cells = columns
    runs, chunks, plane = len(run) - 1, -(-H_out // chunk), len(planes) // 2
    for number in range(begin, end):
        n, rest = divmod(number, runs * chunks)
        part, k = divmod(rest, runs)
        first, last = part * chunk, min(part * chunk + chunk, H_out)
        extents, task = (V, U, H, W, H_out), (k, first, last, chunk)
        ready = 0
        for u in range(U_out):
            new = (max(ready, cells[u, 0]), cells[u, 1])
            _blend_rows(x, extents, n, new, rows, task, planes, plane, W, 0)
            ready = max(ready, new[1])
            for v in range(run[k], run[k + 1]):
                for y in range(first, last):
                    to = (((n * V_out + v) * U_out + u) * H_out + y) * W_out
                    if not reach[v, 0] <= y < reach[v, 1]:
                        fill(out, to, to + W_out, pad)
                        continue
                    at = ((v - run[k]) * chunk + y - first) * W
                    for i in range(W_out):
                        pair = u * W_out + i
                        total = constant[pair]
                        for e in range(start[pair], start[pair + 1]):
                            total += weight[e] * planes[uintp(at + offset[e])]
                        out[uintp(to + i)] = total
