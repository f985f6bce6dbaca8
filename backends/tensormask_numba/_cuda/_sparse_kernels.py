"""Chosen windows and their adjoint; both read, neither needs an atomic addition."""

from __future__ import annotations

import math
from typing import Any

import numba
from numba import cuda

from tensormask_numba._cuda._elements import ELEMENTS, accessors

STRIP = 4096
"""Samples of a plane (n, v, u) that a block of the adjoint owns, in shared memory."""


def _place(nodes: Any, at: Any) -> Any:
    """Return the whole node that a window ``at`` stands at, and its phase."""
    p, d, step = nodes.scale
    start = numba.int64(at) * p
    shift = start // d
    return shift, (start - shift * d) // step


def _tap(nodes: Any, place: Any, cell: Any, which: Any) -> Any:
    """Return cell, node and weight of one of the four taps of an output cell, and what it loses."""
    shift, phase = place
    weight = nodes.weight[cell, which >> 1] * nodes.fraction[phase, cell]
    if which & 1 == 0:
        weight = nodes.weight[cell, which >> 1] - weight
    node = shift + nodes.low[phase, cell] + (which & 1)
    lost = weight
    if 0 <= node < nodes.extent:
        lost -= weight
    return nodes.cell[cell, which >> 1], node, weight - lost, lost


def _reach(nodes: Any, place: Any, cell: Any, start: Any, stop: Any) -> Any:
    """Return the part of ``[start, stop)`` at whose nodes a window reads an input cell."""
    begin, end = nodes.start[cell], nodes.start[cell + 1]
    if begin == end:
        return start, start
    # Lows grow or fall along the window, so its ends are the extremes.
    low = place[0] + nodes.low[place[1], nodes.reader[begin]]
    high = place[0] + nodes.low[place[1], nodes.reader[end - 1]]
    if low > high:
        low, high = high, low
    return low if low > start else start, high + 2 if high + 2 < stop else stop


def _share(nodes: Any, place: Any, entry: Any, node: Any) -> Any:
    """Return the weight with which the reader ``entry`` of a cell reads it at a node."""
    reader = nodes.reader[entry]
    fraction, upper = nodes.fraction[place[1], reader], node - place[0]
    upper -= nodes.low[place[1], reader]
    share = nodes.share[entry] * fraction
    if upper == 0:
        share = nodes.share[entry] - share
    if upper < 0 or upper > 1:
        share -= share
    return share


def make_windows(name: str) -> Any:  # noqa: C901, PLR0915  (the kernel within)
    """Return the kernel of chosen windows: a thread makes one sample out of 16.

    The batch index cannot be checked without waiting for the device: windows of an image that is
    not there are NaN.
    """
    load, store = accessors(name)
    compute = getattr(numba, ELEMENTS[name].compute)
    place, tap = (cuda.jit(device=True)(f) for f in (_place, _tap))

    def windows(x: Any, out: Any, index: Any, rows: Any, columns: Any, pad: Any) -> None:
        width = len(columns.missing)
        for item in range(cuda.grid(1), len(out), cuda.gridsize(1)):
            pair, u = divmod(item, width)
            k, v = divmod(pair, len(rows.missing))
            n, total = numba.int64(index[k, 0]), compute(0)
            if n < 0 or n >= x.extent:
                out[item] = store(compute(math.nan))
                continue
            down, across = place(rows, index[k, 1]), place(columns, index[k, 2])
            lost_v, lost_u = rows.missing[v], columns.missing[u]
            for i in range(4):
                v_in, y_in, weight, lost = tap(rows, down, v, i)
                lost_v += lost
                row = x.first + n * x.n + v_in * x.v + y_in * x.y
                for j in range(4):
                    u_in, x_in, share, lost = tap(columns, across, u, j)
                    if i == 0:
                        lost_u += lost
                    if weight * share != 0:
                        value = load(x.data[numba.uint64(row + u_in * x.u + x_in * x.x)])
                        total += weight * share * value
            missed = lost_v + lost_u - lost_v * lost_u
            if missed > 0:
                total += pad * missed
            out[item] = store(total)

    return cuda.jit(windows)


def _window_adder(load: Any, compute: Any) -> Any:  # noqa: C901, PLR0915  (functions within)
    """Return the function that adds one window to a strip of a plane."""
    reach, share = cuda.jit(device=True)(_reach), cuda.jit(device=True)(_share)

    def gathered(g: Any, base: Any, rows: Any, columns: Any, at: Any) -> Any:
        """Sum the outputs of one window that read the sample at node (y, x) of cell (v, u)."""
        down, across, (v, u), (y, x) = at
        total = compute(0)
        for i in range(rows.start[v], rows.start[v + 1]):
            weight = share(rows, down, i, y)
            if weight != 0:
                row = base + rows.reader[i] * g.v
                for j in range(columns.start[u], columns.start[u + 1]):
                    part = weight * share(columns, across, j, x)
                    if part != 0:
                        total += part * load(g.data[numba.uint64(row + columns.reader[j] * g.u)])
        return total

    gathered = cuda.jit(device=True)(gathered)

    def add_window(g: Any, base: Any, rows: Any, columns: Any, at: Any, strip: Any) -> None:
        """Add a window's patch to the strip, as far as it lies there."""
        down, across, (v, u) = at
        first, size, total = strip
        above, below = first // columns.extent, (first + size - 1) // columns.extent + 1
        top, bottom = reach(rows, down, v, above, below)
        left, right = reach(columns, across, u, 0, columns.extent)
        wide = right - left
        if bottom <= top or wide <= 0:
            return
        for part in range(cuda.threadIdx.x, (bottom - top) * wide, cuda.blockDim.x):
            y, x = top + part // wide, left + part % wide
            sample = y * columns.extent + x - first
            if 0 <= sample < size:
                total[sample] += gathered(g, base, rows, columns, (down, across, (v, u), (y, x)))

    return cuda.jit(device=True)(add_window)


def make_windows_adjoint(name: str) -> Any:
    """Return the kernel of the adjoint of chosen windows.

    A block owns a strip of a plane (n, v, u) and adds the windows of image n to it one after the
    other, so that the sum does not depend on chance; it is rounded once, when it is written.
    """
    load, store = accessors(name)
    compute = getattr(numba, ELEMENTS[name].compute)
    place, add_window = cuda.jit(device=True)(_place), _window_adder(load, compute)

    def windows_adjoint(g: Any, out: Any, index: Any, rows: Any, columns: Any, blocks: Any) -> None:
        total = cuda.shared.array(STRIP, compute)
        plane = rows.extent * columns.extent
        for block in range(cuda.blockIdx.x, blocks, cuda.gridDim.x):
            rest, strip = divmod(block, (plane + STRIP - 1) // STRIP)
            rest, u = divmod(rest, len(columns.start) - 1)
            n, v = divmod(rest, len(rows.start) - 1)
            first = strip * STRIP
            size = STRIP if first + STRIP < plane else plane - first
            for sample in range(cuda.threadIdx.x, size, cuda.blockDim.x):
                total[sample] = 0
            cuda.syncthreads()
            for k in range(len(index)):
                if index[k, 0] == n:
                    at = place(rows, index[k, 1]), place(columns, index[k, 2]), (v, u)
                    add_window(g, g.first + k * g.n, rows, columns, at, (first, size, total))
                    cuda.syncthreads()
            start = out.first + n * out.n + v * out.v + u * out.u + first
            for sample in range(cuda.threadIdx.x, size, cuda.blockDim.x):
                out.data[numba.uint64(start + sample)] = store(total[sample])
            cuda.syncthreads()

    return cuda.jit(windows_adjoint)
