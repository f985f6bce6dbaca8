"""The adjoint of the dense transform: the same three kinds of columns, without atomics.

A task owns an input cell u, or a few that follow each other. It spreads to rows (v, y) of one run
of output cells v after the other and keeps those of the last two: ``planes[run % 2][v][y]``. From
these the rows of the input cells v between the two are blended, each of them once.
"""

from __future__ import annotations

from numba import njit, uintp

from tensormask_numba._blend import INLINE, KERNEL, LINE, blend, blend_shifted, fill
from tensormask_numba._registers import prefetch, transpose


@njit(**INLINE)
def _gather_rows(out, extents, n, u, cells, rows, planes):
    """Blend the rows of input cells v, whose readers are all known, at input cell ``u``."""
    V, U, H, W = extents
    (start, offset, weight, _), _, _, _ = rows
    for v in range(cells[0], cells[1]):
        for y in range(H):
            pair = v * H + y
            blend(
                out, uintp((((n * V + v) * U + u) * H + y) * W), uintp(W), planes, offset, 0,
                weight, start[pair], start[pair + 1], weight.dtype.type(0),
            )  # fmt: skip


@njit(**KERNEL)
def adjoint_shifted(g, out, extents_in, extents_out, rows, columns, planes, begin, end):
    """Do adjoint tasks of plans with stride 1."""
    V, U, _, _ = extents_in
    V_out, U_out, H_out, W_out = extents_out
    _, run, low, reach = rows
    start, offset, shift, weight, span = columns
    runs, plane, zero = len(run) - 1, len(planes) // 2, weight.dtype.type(0)
    for number in range(begin, end):
        n, u = divmod(number, U)
        done = 0
        for k in range(runs):
            for v in range(run[k], run[k + 1]):
                if reach[v, 0] < reach[v, 1]:
                    row = reach[v, 0] * W_out
                    blend_shifted(
                        planes, (k & 1) * plane + (v - run[k]) * H_out * W_out + row,
                        reach[v, 1] - reach[v, 0], W_out, g, offset,
                        (n * V_out + v) * U_out * H_out * W_out + row, shift, weight, start[u],
                        start[u + 1], zero, zero, (span[u, 0], span[u, 1], span[u, 2], span[u, 3]),
                    )  # fmt: skip
            final = low[k + 1] if k + 1 < runs else V
            _gather_rows(out, extents_in, n, u, (done, final), rows, planes)
            done = max(done, final)


@njit(**INLINE)
def _spread_nodes(target, to, width, source, at, total, weight, w, node, share):
    """Add what a run's cells read at each t back to a row."""
    first, last = min(max(0, node), width), max(min(width, node + total + 1), 0)
    last = max(first, last)
    s0, s1 = share
    one = uintp(1)
    t0, a, b = uintp(to + first), uintp(at + first - node), uintp(w + first - node)
    if s1 == 0:
        for i in range(uintp(last - first)):
            target[t0 + i] += weight[b + i] * source[a + i]
    else:
        for i in range(uintp(last - first)):
            target[t0 + i] += s0 * (weight[b + i] * source[a + i]) + s1 * (
                weight[b + i - one] * source[a + i - one]
            )


@njit(**KERNEL)
def adjoint_runs(g, out, extents_in, extents_out, rows, columns, buffers, begin, end):
    """Do adjoint tasks of plans whose cells read consecutive nodes, each with a stride."""
    V, U, _, W = extents_in
    V_out, U_out, H_out, W_out = extents_out
    _, run, low, reach = rows
    first_u, readers, cell, node, share, weight = columns
    planes, row = buffers
    step = H_out * W_out
    cells = len(planes)
    runs, plane, stride = len(run) - 1, planes.shape[1] // 2, (len(row) - 2 * LINE) // step
    total = stride * W_out
    parts = -(-U // cells)
    for number in range(begin, end):
        n, part = divmod(number, parts)
        first, last = part * cells, min(part * cells + cells, U)
        done = 0
        for k in range(runs):
            for v in range(run[k], run[k + 1]):
                y_first, count = reach[v, 0], reach[v, 1] - reach[v, 0]
                if count <= 0:
                    continue
                to = (k & 1) * plane + ((v - run[k]) * H_out + y_first) * W
                for u in range(first, last):
                    fill(planes[u - first], to, to + count * W, weight.dtype.type(0))
                for r in range(readers[part, 0], readers[part, 1]):
                    length = first_u[r + 1] - first_u[r]
                    if length < stride:
                        fill(row, 0, len(row), weight.dtype.type(0))
                    at = ((n * V_out + v) * U_out + first_u[r]) * step + y_first * W_out
                    transpose(
                        g, uintp(at), uintp(step), row, uintp(LINE), uintp(stride),
                        uintp(count * W_out), uintp(length),
                    )  # fmt: skip
                    if v + 1 < V_out:
                        ahead = at + U_out * step
                        prefetch(g, ahead, ahead + length * step)
                    for side in range(2):
                        u = cell[r, side]
                        if first <= u < last:
                            for y in range(count):
                                _spread_nodes(
                                    planes[u - first], to + y * W, W, row, LINE + y * total, total,
                                    weight, (2 * r + side) * (total + 2) + 1, node[r],
                                    (share[r, 0], share[r, 1]),
                                )  # fmt: skip
            final = low[k + 1] if k + 1 < runs else V
            for u in range(first, last):
                _gather_rows(out, extents_in, n, u, (done, final), rows, planes[u - first])
            done = max(done, final)


@njit(**KERNEL)
def adjoint_pairs(g, out, extents_in, extents_out, rows, columns, planes, begin, end):
    """Do adjoint tasks of any plan, one sample at a time."""
    V, U, _, W = extents_in
    V_out, U_out, H_out, W_out = extents_out
    _, run, low, reach = rows
    start, offset, weight = columns
    runs, plane = len(run) - 1, len(planes) // 2
    for number in range(begin, end):
        n, u = divmod(number, U)
        done = 0
        for k in range(runs):
            for v in range(run[k], run[k + 1]):
                for y in range(reach[v, 0], reach[v, 1]):
                    at = (n * V_out + v) * U_out * H_out * W_out + y * W_out
                    to = (k & 1) * plane + ((v - run[k]) * H_out + y) * W
                    for i in range(W):
                        total = weight.dtype.type(0)
                        for e in range(start[u * W + i], start[u * W + i + 1]):
                            total += weight[e] * g[uintp(at + offset[e])]
                        planes[uintp(to + i)] = total
            final = low[k + 1] if k + 1 < runs else V
            _gather_rows(out, extents_in, n, u, (done, final), rows, planes)
            done = max(done, final)
