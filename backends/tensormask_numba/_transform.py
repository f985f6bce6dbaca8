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
from tensormask_numba._phases import blend_phases
from tensormask_numba._prefetch import prefetch, prefetch_for_writing
from tensormask_numba._streams import stream, wait_for_stores

_LONG = 2 * LINE  # samples: longer rows are fetched well by the processor itself


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
    """Do tasks of plans with stride 1, where an output row is a sum of shifted rows.

    Rows that are ``single`` samples of the input are read where they are.
    """
    V, U, H, W = extents_in
    V_out, U_out, H_out, W_out = extents_out
    (row_start, row_offset, _, _), run, _, reach = rows
    single, start, offset, shift, weight, constant, span, cells, inside = columns
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
            if not single:
                _blend_rows(x, extents, n, new, rows, task, planes, plane, W_out, 0)
            ready = max(ready, new[1])
            for v in range(run[k], run[k + 1]):
                y_first, y_last = max(reach[v, 0], first), min(reach[v, 1], last)
                if y_first >= y_last:
                    continue
                to = ((n * V_out + v) * U_out + u) * H_out * W_out
                fill(out, to + first * W_out, to + y_first * W_out, pad)
                fill(out, to + y_last * W_out, to + last * W_out, pad)
                columns_of_u = (span[u, 0], span[u, 1], span[u, 2], span[u, 3])
                if single:
                    at = n * V * U * H * W + row_offset[row_start[v * H_out + y_first]]
                    blend_shifted(
                        out, to + y_first * W_out, y_last - y_first, W_out, x, offset, at, shift,
                        weight, start[u], start[u + 1], constant[u], pad, columns_of_u,
                    )  # fmt: skip
                else:
                    at = ((v - run[k]) * chunk + y_first - first) * W_out
                    blend_shifted(
                        out, to + y_first * W_out, y_last - y_first, W_out, planes, offset, at,
                        shift, weight, start[u], start[u + 1], constant[u], pad, columns_of_u,
                    )  # fmt: skip


@njit(**INLINE)
def _fetch_rows(x, lift, width, offset, begin, end):
    """Fetch rows that will be blended. Every other one: their neighbours are fetched for others."""
    for e in range(begin, end, 2):
        prefetch(x, lift + offset[e], lift + offset[e] + width)


@njit(**INLINE)
def _fetch_cells(out, cells, done, width):
    """Fetch the cache lines of cells that begin in the row after ``done`` samples."""
    at, step, length = cells
    begin = -(-done // LINE) * LINE
    for to in range(at, at + length * step, step):
        prefetch_for_writing(out, to + begin, to + done + width)


@njit(**INLINE)
def _pad_rows(target, cells, rows, width, pad):
    """Fill rows, from the first to before the last, of cells that begin at ``cells``."""
    to, step, length = cells
    for cell in range(to, to + length * step, step):
        fill(target, cell + rows[0] * width, cell + rows[1] * width, pad)


@njit(**INLINE)
def _stream_cells(out, to, step, length, tile, size):
    """Write ``length`` cells of ``size`` samples, which a tile holds one after the other."""
    if size == step:
        stream(out, to, tile, 0, length * size)
    else:
        for k in range(length):
            stream(out, to + k * step, tile, k * size, size)


@njit(**KERNEL)
def transform_runs(x, out, extents_in, extents_out, chunk, pad, rows, columns, buffers, begin, end):
    """Do tasks of plans whose cells read consecutive nodes, each with a stride.

    Rows are collected in a tile, unless it is empty, and go from there past the caches. While a
    cell is written, what comes after it is fetched, row by row: all at once would take as long as
    the wait for it.
    """
    V, U, H, W = extents_in
    V_out, U_out, H_out, W_out = extents_out
    (row_start, row_offset, _, _), run, _, reach = rows
    stride, margin, first_u, cell, node, share, weight, bounds, inside = columns
    planes, tile = buffers
    tiled = len(tile) > 0
    runs, chunks, pitch = len(run) - 1, -(-H_out // chunk), row_pitch(W)
    plane = (len(planes) - pitch - 2 * margin) // 2
    step, frame = H_out * W_out, uintp(len(weight) // (2 * len(node)))
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
            _blend_rows(x, extents, n, (ready, needed), rows, task, planes, plane, pitch, margin)
            ready = max(ready, needed)
            low, high = (cell[r, 0] & 1) * plane, (cell[r, 1] & 1) * plane
            w = uintp(2 * r) * frame
            span = (uintp(W_out), bounds[r, 0], bounds[r, 1])
            most = max(1, len(tile) // (length * W_out)) if tiled else chunk
            for v in range(run[k], run[k + 1]):
                if reach[v, 0] >= last or reach[v, 1] <= first:
                    continue
                to = ((n * V_out + v) * U_out + u) * step
                ahead = to + U_out * step
                if v + 1 == run[k + 1]:
                    ahead = ((n * V_out + run[k]) * U_out + first_u[r + 1]) * step
                for top in range(first, last, most):
                    bottom = min(top + most, last)
                    above = min(max(reach[v, 0], top), bottom)
                    below = max(min(reach[v, 1], bottom), above)
                    size = (bottom - top) * W_out
                    target = tile if tiled else out
                    cells = (0, size, length) if tiled else (to + top * W_out, step, length)
                    _pad_rows(target, cells, (0, above - top), W_out, pad)
                    _pad_rows(target, cells, (below - top, bottom - top), W_out, pad)
                    for y in range(above, below):
                        if ready < U:  # of the input cell that comes next
                            lift, pair = (n * V * U + ready) * H * W, v * H_out + y
                            begin_row, end_row = row_start[pair], row_start[pair + 1]
                            _fetch_rows(x, lift, W, row_offset, begin_row, end_row)
                        if not tiled and W_out < _LONG:
                            done = (y - above) * W_out
                            _fetch_cells(out, (ahead + above * W_out, step, length), done, W_out)
                        at = ((v - run[k]) * chunk + y - first) * pitch
                        source = (
                            uintp(margin + node[r] + (2 * plane if cell[r, 0] == U else low + at)),
                            uintp(margin + node[r] + (2 * plane if cell[r, 1] == U else high + at)),
                            uintp(stride), w, w + frame,
                        )  # fmt: skip
                        blend_phases(
                            (target, planes, weight),
                            (uintp(cells[0] + (y - top) * W_out), uintp(cells[1]), uintp(length)),
                            source, (share[r, 0], share[r, 1], pad), span,
                        )  # fmt: skip
                    if tiled:
                        _stream_cells(out, to + top * W_out, step, length, tile, size)
    wait_for_stores()


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
