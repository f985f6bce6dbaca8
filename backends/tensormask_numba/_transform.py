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
def _fetch(out, cells, upcoming, y, row):
    """Fetch what pair y of the input cell to come reads, and ``row`` of what is written in place.

    Of the rows that are read every other one: their neighbours are fetched for others. The input
    cell begins at ``lift``, not before the end of x if there is none; the cells that are written
    next begin at ``ahead``, below 0 if that is not to be fetched.
    """
    (x, lift, offset, start, length), ahead = upcoming
    if lift < len(x):
        for e in range(start[y], start[y + 1], 2):
            prefetch(x, lift + offset[e], lift + offset[e] + length)
    if ahead >= 0:
        _, step, count, width = cells
        begin = -(-row * width // LINE) * LINE
        for to in range(ahead, ahead + count * step, step):
            prefetch_for_writing(out, to + begin, to + row * width + width)


@njit(**INLINE)
def _write_rows(arrays, cells, rows, source, scale, span, upcoming, pair):
    """Write rows of cells that lie between two planes, and padding above and below.

    Meanwhile what comes next is fetched, row by row: all at once would take as long as the wait.

    Args:
        arrays: what is written to, the planes, the weights.
        cells: where the first begins, samples to the next one, how many there are, nodes of a row.
        rows: the first, the first and the last + 1 that read anything, and the last + 1.
        source: where the first row is in both planes, samples to their next rows, the stride, where
            the weights of both begin.
        scale: as :func:`blend_phases` takes it.
        span: likewise.
        upcoming: as :func:`_fetch` takes it.
        pair: the number of the pair (v, 0) of these cells.
    """
    target = arrays[0]
    (to, step, length, width), (top, above, below, bottom) = cells, rows
    low, high, low_pitch, high_pitch, stride, w0, w1 = source
    for cell in range(to, to + length * step, step):
        fill(target, cell, cell + (above - top) * width, scale[2])
        fill(target, cell + (below - top) * width, cell + (bottom - top) * width, scale[2])
    for y in range(above, below):
        row = y - top
        _fetch(target, cells, upcoming, pair + y, row)
        blend_phases(
            arrays, (uintp(to + row * width), uintp(step), uintp(length)),
            (uintp(low + row * low_pitch), uintp(high + row * high_pitch), stride, w0, w1),
            scale, span,
        )  # fmt: skip


@njit(**INLINE)
def _side(cell, cells, plane, pitch):
    """Return where the first row of an input cell's plane is, and samples from one to the next.

    What lies beyond the cells is one row of padding after both planes.
    """
    if cell == cells:
        return 2 * plane, 0
    return (cell & 1) * plane, pitch


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

    Rows are collected in a tile, unless it is empty, and go from there past the caches.
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
            sides = (_side(cell[r, 0], U, plane, pitch), _side(cell[r, 1], U, plane, pitch))
            (low, low_pitch), (high, high_pitch) = sides
            low, high, w = low + margin + node[r], high + margin + node[r], uintp(2 * r) * frame
            scale = (share[r, 0], share[r, 1], pad)
            span = (uintp(W_out), bounds[r, 0], bounds[r, 1])
            most = max(1, len(tile) // (length * W_out)) if tiled else chunk
            lift = (n * V * U + ready) * H * W if ready < U else len(x)
            upcoming = (x, lift, row_offset, row_start, W)
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
                    size, begin_row = (bottom - top) * W_out, top * W_out
                    at = (v - run[k]) * chunk + top - first
                    _write_rows(
                        (tile if tiled else out, planes, weight),
                        (0 if tiled else to + begin_row, size if tiled else step, length, W_out),
                        (top, above, below, bottom),
                        (
                            low + at * low_pitch, high + at * high_pitch, low_pitch, high_pitch,
                            uintp(stride), w, w + frame,
                        ),
                        scale, span,
                        (upcoming, -1 if tiled or W_out >= _LONG else ahead + begin_row),
                        v * H_out,
                    )  # fmt: skip
                    if tiled:
                        _stream_cells(out, to + begin_row, step, length, tile, size)
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
