"""The adjoint of the dense transform: the same three kinds of columns, without atomics.

A task owns an input cell u, or a few that follow each other. It spreads to rows (v, y) of one run
of output cells v after the other and keeps those of the last two: ``planes[run % 2][v][y]``. From
these the rows of the input cells v between the two are blended, each of them once.
"""

from __future__ import annotations

from numba import njit, uintp

from tensormask_numba._blend import INLINE, KERNEL, blend, blend_shifted, fill
from tensormask_numba._prefetch import prefetch
from tensormask_numba._weighted_phases import weigh_phases


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
def _add_nodes(target, to, width, source, at, total, node, share):
    """Add a row of ``total`` nodes, the first of which is ``node``, to what they are between."""
    s0, s1 = share
    one, last = uintp(1), min(width, node + total)
    if s1 == 0:
        first = max(node, 0)
        t, a = uintp(to + first), uintp(at + first - node)
        for i in range(uintp(max(last - first, 0))):
            target[t + i] += source[a + i]
        return
    first = max(node + 1, 0)
    t, a, before = uintp(to + first), uintp(at + first - node), uintp(at + first - node - 1)
    for i in range(uintp(max(last - first, 0))):
        target[t + i] += s0 * source[a + i] + s1 * source[before + i]
    if 0 <= node < width:
        target[uintp(to + node)] += s0 * source[uintp(at)]
    if 0 <= node + total < width:
        target[uintp(to + node + total)] += s1 * source[uintp(at + total) - one]


@njit(**KERNEL)
def adjoint_runs(g, out, extents_in, extents_out, rows, columns, buffers, begin, end):
    """Do adjoint tasks of plans whose cells read consecutive nodes, each with a stride."""
    V, U, _, W = extents_in
    V_out, U_out, H_out, W_out = extents_out
    _, run, low, reach = rows
    stride, chunk, first_u, readers, cell, node, share, weight = columns
    planes, nodes = buffers
    zero, step, total = weight.dtype.type(0), H_out * W_out, stride * W_out
    cells, frame = len(planes), uintp(len(weight) // (2 * len(node)))
    runs, plane, half = len(run) - 1, planes.shape[1] // 2, len(nodes) // 2
    parts = -(-U // cells)
    for number in range(begin, end):
        n, part = divmod(number, parts)
        first, last = part * cells, min(part * cells + cells, U)
        done = 0
        for k in range(runs):
            for v in range(run[k], run[k + 1]):
                y_first, y_last = reach[v, 0], reach[v, 1]
                if y_first >= y_last:
                    continue
                to = (k & 1) * plane + (v - run[k]) * H_out * W
                for u in range(first, last):
                    fill(planes[u - first], to + y_first * W, to + y_last * W, zero)
                for r in range(readers[part, 0], readers[part, 1]):
                    if node[r] >= W or node[r] + total < 0:
                        continue
                    length, w = first_u[r + 1] - first_u[r], uintp(2 * r) * frame
                    if length < stride:
                        fill(nodes, 0, len(nodes), zero)
                    for y in range(y_first, y_last, chunk):
                        count = min(chunk, y_last - y)
                        at = ((n * V_out + v) * U_out + first_u[r]) * step + y * W_out
                        weigh_phases(
                            (g, nodes, weight),
                            (uintp(at), uintp(step), uintp(length), uintp(count * W_out)),
                            (uintp(0), uintp(half), uintp(stride), w, w + frame),
                        )  # fmt: skip
                        if v + 1 < V_out:
                            for ahead in range(at, at + length * step, step):
                                prefetch(
                                    g, ahead + U_out * step, ahead + U_out * step + count * W_out
                                )
                        for side in range(2):
                            u = cell[r, side]
                            if first <= u < last:
                                for i in range(count):
                                    _add_nodes(
                                        planes[u - first], to + (y + i) * W, W, nodes,
                                        side * half + i * total, total, node[r],
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
