"""The dense transform and its adjoint: one kernel that applies two matrices, rows then columns."""

from __future__ import annotations

from typing import Any

import numba
from numba import cuda, int32, int64, uint32, uint64

from tensormask_numba._cuda._elements import ELEMENTS, accessors
from tensormask_numba._cuda._tables import ROWS, SLOT_BITS, slots_of

LANES = 4
"""Columns that a thread reads at once: independent reads hide each other's latency."""
SLOT_MASK = (1 << SLOT_BITS) - 1


def _walk(thread: Any, threads: Any, nodes: Any) -> Any:
    """Return cell and node of a thread's first column in a box, and the step to its next one."""
    width = int32(nodes)
    cell, node = divmod(int32(thread), width)
    cells, step = divmod(int32(threads), width)
    return int32(cell), int32(node), int32(cells), int32(step), width


def _next_column(walk: Any) -> Any:
    """Return a walk one step further; to add is cheaper than to divide."""
    cell, node, cells, step, width = walk
    cell, node = int32(cell + cells), int32(node + step)
    if node >= width:
        cell, node = int32(cell + 1), int32(node - width)
    return cell, node, cells, step, width


def _slot_of(columns: Any, tile: Any, walk: Any) -> Any:
    """Return where a column that the tile reads lies in shared memory."""
    shift, nodes, pitch = columns.phase[tile, 0], columns.phase[tile, 1], columns.phase[tile, 2]
    remainder = walk[1] & ((1 << shift) - 1)
    return int32(walk[0] * pitch + remainder * nodes + (walk[1] >> shift))


def _row_gatherer(load: Any, compute: Any) -> Any:  # noqa: C901  (the function within)
    """Return the first half of the kernel of tiles."""
    walk_of, next_column, slot_of = (
        cuda.jit(device=True)(f) for f in (_walk, _next_column, _slot_of)
    )

    def gather_rows(  # noqa: C901  (loops that are unrolled)
        x: Any, rows: Any, columns: Any, place: Any, cells: Any
    ) -> None:
        """Blend the rows of a group, as far as the tile reads them, into shared memory."""
        n, group, tile = place
        value, total = cuda.local.array(LANES, compute), cuda.local.array((LANES, ROWS), compute)
        offset, slot = cuda.local.array(LANES, int64), cuda.local.array(LANES, int32)
        count, threads = columns.size[tile, 2] * columns.size[tile, 3], cuda.blockDim.x
        start = x.first + n * x.n + columns.corner[tile, 2] * x.u + columns.corner[tile, 3] * x.x
        walk = walk_of(cuda.threadIdx.x, threads, columns.size[tile, 3])
        for base in range(cuda.threadIdx.x, count, LANES * threads):
            for lane in range(LANES):
                inside = base + lane * threads < count
                slot[lane] = slot_of(columns, tile, walk) if inside else -1
                offset[lane] = start + walk[0] * x.u + walk[1] * x.x if inside else start
                walk = next_column(walk)
                for r in range(ROWS):
                    total[lane, r] = 0
            for e in range(rows.start[group], rows.start[group + 1]):
                row = rows.source[uint32(e)]
                for lane in range(LANES):
                    value[lane] = load(x.data[uint64(row + offset[lane])])
                for r in range(ROWS):
                    weight = rows.weight[uint32(e), r]
                    if weight != 0:
                        for lane in range(LANES):
                            total[lane, r] += weight * value[lane]
            for lane in range(LANES):
                if slot[lane] >= 0:
                    for r in range(ROWS):
                        cells[uint32(r), uint32(slot[lane])] = total[lane, r]

    return cuda.jit(device=True)(gather_rows)


def _column_gatherer(store: Any, compute: Any) -> Any:  # noqa: C901, PLR0915  (as above)
    """Return the second half of the kernel of tiles."""
    walk_of, next_column = cuda.jit(device=True)(_walk), cuda.jit(device=True)(_next_column)

    def gather_columns(  # noqa: C901  (loops that are unrolled)
        out: Any, rows: Any, columns: Any, place: Any, cells: Any, pad: Any
    ) -> None:
        """Blend the tile's columns out of shared memory and write them."""
        n, group, tile = place
        total = cuda.local.array(ROWS, compute)
        count, threads = columns.size[tile, 0] * columns.size[tile, 1], cuda.blockDim.x
        start = out.first + n * out.n
        start += columns.corner[tile, 0] * out.u + columns.corner[tile, 1] * out.x
        walk = walk_of(cuda.threadIdx.x, threads, columns.size[tile, 1])
        target, live = cuda.local.array(ROWS, int64), 0
        for r in range(ROWS):
            target[r] = start + rows.target[group, r]
            if rows.target[group, r] >= 0:
                live = r + 1
        for local in range(cuda.threadIdx.x, count, threads):
            column = columns.first[tile] + local
            for r in range(ROWS):
                total[r] = 0
            for t in range(columns.start[column], columns.start[column + 1]):
                tap = columns.tap[uint32(t)]
                weight, slot = columns.weight[uint32(tap >> SLOT_BITS)], uint32(tap & SLOT_MASK)
                for r in range(ROWS):
                    total[r] += weight * cells[uint32(r), slot]
            if pad != 0:
                for r in range(ROWS):
                    down, across = rows.missing[group, r], columns.missing[column]
                    missed = down + across - down * across
                    if missed > 0:
                        total[r] += pad * missed
            offset = walk[0] * out.u + walk[1] * out.x
            walk = next_column(walk)
            for r in range(ROWS):
                if r < live:
                    out.data[uint64(target[r] + offset)] = store(total[r])

    return cuda.jit(device=True)(gather_columns)


def make_tiled(name: str) -> Any:
    """Return the kernel of tiles for one dtype.

    A block owns the groups and tiles ``n, group, tile``. Where a weight is 0 nothing is added, so
    that an infinite sample stays with the outputs that read it.
    """
    load, store = accessors(name)
    compute = getattr(numba, ELEMENTS[name].compute)
    slots = slots_of(ELEMENTS[name].compute)
    gather_rows, gather_columns = _row_gatherer(load, compute), _column_gatherer(store, compute)

    def tiled(x: Any, out: Any, rows: Any, columns: Any, blocks: Any, pad: Any) -> None:
        cells = cuda.shared.array((ROWS, slots), compute)
        for block in range(cuda.blockIdx.x, blocks, cuda.gridDim.x):
            pair, tile = divmod(block, len(columns.first))
            n, group = divmod(pair, len(rows.target))
            gather_rows(x, rows, columns, (n, group, tile), cells)
            cuda.syncthreads()
            gather_columns(out, rows, columns, (n, group, tile), cells, pad)
            cuda.syncthreads()

    return cuda.jit(tiled)


def make_direct(name: str) -> Any:
    """Return the kernel without shared memory, for columns that read more than it holds."""
    load, store = accessors(name)
    compute = getattr(numba, ELEMENTS[name].compute)

    def direct(x: Any, out: Any, rows: Any, columns: Any, count: Any, pad: Any) -> None:
        width = len(columns.missing)
        for item in range(cuda.grid(1), count, cuda.gridsize(1)):
            pair, column = divmod(item, width)
            n, row = divmod(pair, len(rows.missing))
            total = compute(0)
            for i in range(rows.start[row], rows.start[row + 1]):
                base = x.first + n * x.n + rows.source[i]
                for j in range(columns.start[column], columns.start[column + 1]):
                    weight = rows.weight[i] * columns.weight[j]
                    total += weight * load(x.data[uint64(base + columns.source[j])])
            down, across = rows.missing[row], columns.missing[column]
            missed = down + across - down * across
            if missed > 0:
                total += pad * missed
            at = out.first + n * out.n + rows.target[row] + columns.target[column]
            out.data[uint64(at)] = store(total)

    return cuda.jit(direct)
