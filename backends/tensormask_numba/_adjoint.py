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


@njit(**KERNEL)
def adjoint_runs(g, out, extents_in, extents_out, rows, columns, buffers, begin, end):
    """Do adjoint tasks of plans whose cells read consecutive nodes, each with a stride.

    A few rows of the runs that read an input cell are put together at a time, and blended. Rows of
    nodes have margins of zeros, since the runs reach different nodes.
    """
    V, U, _, W = extents_in
    V_out, U_out, H_out, W_out = extents_out
    _, run, low, reach = rows
    (stride, chunk, pitch, margin, slots), (first_u, weight), entries = columns
    readers, start, offset, share, span = entries
    planes, nodes = buffers
    zero, step, cells = weight.dtype.type(0), H_out * W_out, len(planes)
    frame = uintp(len(weight) // (2 * (len(first_u) - 1)))
    runs, plane, half = len(run) - 1, planes.shape[1] // 2, len(nodes) // (2 * slots)
    parts = -(-U // cells)
    for number in range(begin, end):
        n, part = divmod(number, parts)
        first, last = part * cells, min(part * cells + cells, U)
        done = 0
        for k in range(runs):
            for v in range(run[k], run[k + 1]):
                of_run = (k & 1) * plane + (v - run[k]) * H_out * W
                for y in range(reach[v, 0], reach[v, 1], chunk):
                    count = min(chunk, reach[v, 1] - y)
                    ready = 0
                    for u in range(first, last):
                        for r in range(max(ready, readers[u, 0]), readers[u, 1]):
                            length, w = first_u[r + 1] - first_u[r], uintp(2 * r) * frame
                            at = ((n * V_out + v) * U_out + first_u[r]) * step + y * W_out
                            slot = r % slots * 2 * half
                            if length < stride:
                                fill(nodes, slot, slot + 2 * half, zero)
                            weigh_phases(
                                (g, nodes, weight),
                                (
                                    uintp(at), uintp(step), uintp(length), uintp(W_out),
                                    uintp(count),
                                ),
                                (
                                    uintp(slot + margin), uintp(slot + half + margin),
                                    uintp(pitch), uintp(stride), w, w + frame,
                                ),
                            )  # fmt: skip
                            if v + 1 < V_out:
                                for ahead in range(at, at + length * step, step):
                                    cell = ahead + U_out * step
                                    prefetch(g, cell, cell + count * W_out)
                        ready = max(ready, readers[u, 1])
                        for i in range(count):
                            to = of_run + (y + i) * W
                            fill(planes[u - first], to, to + span[u, 0], zero)
                            blend(
                                planes[u - first], uintp(to + span[u, 0]),
                                uintp(span[u, 1] - span[u, 0]), nodes, offset,
                                i * pitch + span[u, 0], share, start[u], start[u + 1], zero,
                            )  # fmt: skip
                            fill(planes[u - first], to + span[u, 1], to + W, zero)
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
